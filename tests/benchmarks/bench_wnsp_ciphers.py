"""Cost of wave cryptography: `python tests/benchmarks/bench_wnsp_ciphers.py`.

Best of many rounds for a message of 10,000 bytes in each mode: sealing and opening with the frames, without the key's
derivation, which happens once for a conversation and is a figure of its own.
"""

import os
import time
from collections.abc import Callable

from wnsp.ciphers.carriers import MODES
from wnsp.ciphers.passphrase import derive_key, new_parameters
from wnsp.ciphers.prekeys import announce_prekey, new_ring, read_prekey
from wnsp.ciphers.sealed_body import open_sealed, seal
from wnsp.ciphers.sealed_sender import open_from, seal_to
from wnsp.identity import Identity
from wnsp.interference import interference_picture
from wnsp.wave_digest import FIRST, wave_digest
from wnsp.wave_signature import sign_wave, verify_wave

PLAINTEXT = bytes(range(250)) * 40
ROUNDS = 50


def best_ms(act: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Milliseconds of the quickest of `rounds` calls."""
    took_s = []
    for _ in range(rounds):
        started = time.perf_counter()
        act()
        took_s.append(time.perf_counter() - started)
    return min(took_s) * 1_000


def run() -> dict[str, float]:
    """Figures by name, in milliseconds."""
    key = os.urandom(32)
    figures: dict[str, float] = {}
    for mode in MODES:
        message = seal(key, PLAINTEXT, mode, os.urandom)
        sealing = best_ms(lambda mode=mode: seal(key, PLAINTEXT, mode, os.urandom))
        opening = best_ms(lambda message=message: open_sealed(key, message))
        figures[f"P11 wave cipher, 10 kB in {mode}: seal and open, ms (goal <= 5)"] = sealing + opening
    identity = Identity.from_seed(os.urandom(32))
    ring = new_ring(0, os.urandom)
    prekey = read_prekey(announce_prekey(ring, identity), 0)
    sealed = seal_to(prekey, bytes(100), "FSE", 0, os.urandom, sender=identity)
    figures["100 bytes to a prekey, sender inside: seal, ms"] = best_ms(
        lambda: seal_to(prekey, bytes(100), "FSE", 0, os.urandom, sender=identity)
    )
    figures["100 bytes to a prekey, sender inside: open, ms"] = best_ms(
        lambda: open_from(ring, identity.public_key, sealed)
    )
    message = seal(key, PLAINTEXT, "FSE", os.urandom)
    signature = sign_wave(identity, message.header, message.frames)
    figures["wave signature over 10 kB in FSE: sign, ms"] = best_ms(
        lambda: sign_wave(identity, message.header, message.frames)
    )
    figures["wave signature over 10 kB in FSE: verify, ms"] = best_ms(
        lambda: verify_wave(identity.public_key, message.header, message.frames, signature)
    )
    digest = wave_digest(FIRST, message.header, message.frames)
    figures["interference picture, 256 by 256, ms"] = best_ms(lambda: interference_picture(digest), 10)
    figures["passphrase to key, Argon2id 64 MiB, 3 passes, ms"] = best_ms(
        lambda: derive_key("correct horse battery", new_parameters(os.urandom)), 3
    )
    return figures


if __name__ == "__main__":
    for name, figure in run().items():
        print(f"{name:70} {figure:10.3f}")
