"""How a person stands on the chain: as a commitment that tells nobody who it is.

    commitment := H(0f "nexus/person/v1" ‖ blinding secret, 32 bytes ‖ what identifies the person, UTF-8)

What identifies somebody (a number of a register, a name with a birthday) can be guessed; without the blinding secret
the guess cannot be tested. Registrar and person keep the secret: the same person with the same secret gives the same
commitment at every registrar, and one commitment registers once.
"""

from __future__ import annotations

import argparse
import os

from cli.exits import CommandFailed, ExitCode

BLINDING_BYTES = 32


def person_commitment(text: str, blinding: bytes) -> bytes:
    """32 bytes for a person under a blinding secret of 32 bytes."""
    from ledger.hashing import digest, tagged

    return digest(tagged("nexus/person/v1"), blinding, text.encode())


def add_person_options(parser: argparse.ArgumentParser) -> None:
    """`--person TEXT [--blinding HEX]` or `--commitment HEX`."""
    person = parser.add_mutually_exclusive_group(required=True)
    person.add_argument(
        "--person", metavar="TEXT", help="what identifies the person; it does not leave this machine"
    )
    person.add_argument(
        "--commitment", type=_hex32, metavar="HEX", help="its commitment, as `attest` printed it"
    )
    parser.add_argument(
        "--blinding",
        type=_hex32,
        metavar="HEX",
        help="the secret that `attest` printed; keep it with the person",
    )


def _hex32(text: str) -> bytes:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != BLINDING_BYTES or text != raw.hex():
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not 64 lower-case hex digits")
    return raw


def person_of(options: argparse.Namespace, *, make: bool = False) -> tuple[bytes, bytes | None]:
    """(commitment, blinding secret where it is known); with `make` a missing secret is made.

    Errors: `CommandFailed` USAGE for a person without a secret, where it cannot be new.
    """
    if options.commitment is not None:
        return options.commitment, None
    blinding = options.blinding
    if blinding is None and not make:
        raise CommandFailed(
            ExitCode.USAGE,
            "--person needs the --blinding secret that `nexus floor attest` printed (or give --commitment)",
        )
    if blinding is None:
        blinding = os.urandom(BLINDING_BYTES)
    return person_commitment(options.person, blinding), blinding
