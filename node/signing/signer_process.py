"""The signer as a process of its own: keys and protection store in, a socket out, until a signal.

The store's lock keeps a second process out, be it another signer or a node that signs with the same store (L22).
"""

import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from ledger.genesis import Genesis, genesis_hash
from node.keystore import read_validator_keys
from node.logs import Log, Redactor
from node.process import run_service
from node.signing.local_signer import LocalSigner
from node.signing.protection import SigningProtection, open_protection_store
from node.signing.signer_server import SignerServer


@dataclass(frozen=True, slots=True)
class SignerOptions:
    """What a signer process is told."""

    genesis: Genesis
    keys: Path
    socket: Path
    protection: Path
    """Directory of the slashing-protection store."""
    log_level: str = "info"
    log_format: str = "console"


def run_signer_process(options: SignerOptions) -> int:
    """Serve until a signal; the exit code, as a node's."""

    async def run(log: Log, redactor: Redactor) -> None:
        keys = read_validator_keys(options.keys)
        redactor.hide(key.seed for key in keys)
        chain = genesis_hash(options.genesis)
        with closing(open_protection_store(options.protection, create=True)) as store:
            protection = SigningProtection(store, chain, options.protection)
            await SignerServer(LocalSigner(keys, protection), chain, log=log).run(options.socket)

    return run_service(
        run,
        "signer",
        level=options.log_level,
        style=options.log_format,
        now_ms=lambda: time.time_ns() // 1_000_000,
    )
