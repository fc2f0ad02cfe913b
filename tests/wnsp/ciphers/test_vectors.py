"""The published vectors (for other languages) against the code, in whatever process: W6, W7.

`python tests/wnsp/ciphers/test_vectors.py` prints the vectors as the code makes them now.
"""

import ast
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from wnsp.ciphers.carriers import MODES
from wnsp.ciphers.passphrase import PassphraseKeys, PassphraseParameters, derive_key
from wnsp.ciphers.photons import canonical_frames
from wnsp.ciphers.prekeys import Prekey, PrekeyRing, announce_prekey, read_prekey
from wnsp.ciphers.sealed_body import (
    decode_message,
    encode_message,
    open_sealed,
    open_with_passphrase,
    seal,
    seal_with_passphrase,
)
from wnsp.ciphers.sealed_sender import open_from
from wnsp.identity import Identity
from wnsp.interference import interference_picture, plane_waves
from wnsp.wave_digest import FIRST, energy_uev, wave_digest
from wnsp.wave_signature import sign_wave, verify_wave

ROOT = Path(__file__).parents[3]
FILE = ROOT / "tests" / "vectors" / "wnsp_ciphers.json"

KEY = bytes(range(32))
NONCE = bytes(range(100, 124))
PLAINTEXT = "λ = 532 nm".encode()
CONTEXT = b"context"
SIGNER = Identity.from_seed(bytes(range(32, 64)))
PASSPHRASE = "correct horse battery"
PARAMETERS = PassphraseParameters(bytes(range(16)), 8_192, 1, 1)
PREKEY = Prekey(bytes(range(64, 96)), 1_000)


def shared_key_vectors() -> list[dict[str, Any]]:
    vectors = []
    for mode in MODES:
        message = seal(
            KEY,
            PLAINTEXT,
            mode,
            lambda size: NONCE,
            expiry=77,
            recipient=bytes(range(20)),
            sender_hint=bytes(range(8)),
            context=CONTEXT,
        )
        digest = wave_digest(FIRST, message.header, message.frames)
        vectors.append(
            {
                "mode": mode,
                "key": KEY.hex(),
                "nonce": NONCE.hex(),
                "plaintext": PLAINTEXT.hex(),
                "context": CONTEXT.hex(),
                "message": encode_message(message).hex(),
                "header_bytes": len(message.header),
                "frames": len(message.frames),
                "first_frames": [list(frame) for frame in list(message.frames)[:3]],
                "frames_sha256": hashlib.sha256(canonical_frames(message.frames)).hexdigest(),
                "energy_uev": energy_uev(message.frames),
                "wave_digest": digest.hex(),
                "plane_waves": [list(wave) for wave in plane_waves(digest)],
                "picture_128_sha256": hashlib.sha256(interference_picture(digest, 128).tobytes()).hexdigest(),
                "wave_signature": sign_wave(SIGNER, message.header, message.frames).hex(),
            }
        )
    return vectors


def passphrase_vector() -> dict[str, Any]:
    key = derive_key(PASSPHRASE, PARAMETERS)
    message = seal_with_passphrase(key, PLAINTEXT, "QIML", lambda size: NONCE)
    return {
        "passphrase": PASSPHRASE,
        "salt": PARAMETERS.salt.hex(),
        "memory_kib": PARAMETERS.memory_kib,
        "passes": PARAMETERS.passes,
        "lanes": PARAMETERS.lanes,
        "key": key.key.hex(),
        "commitment": key.commitment.hex(),
        "nonce": NONCE.hex(),
        "plaintext": PLAINTEXT.hex(),
        "message": encode_message(message).hex(),
    }


def made_now() -> dict[str, Any]:
    """All vectors that have no chance in them."""
    return {
        "signer": {"seed": SIGNER.seed.hex(), "public_key": SIGNER.public_key.hex()},
        "shared_key": shared_key_vectors(),
        "passphrase": passphrase_vector(),
        "signed_prekey": announce_prekey(PrekeyRing((PREKEY,)), SIGNER).hex(),
    }


def published() -> dict[str, Any]:
    vectors: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return vectors


def test_W7_the_code_makes_the_published_vectors() -> None:
    vectors = published()
    del vectors["sealed_sender"]
    assert made_now() == vectors


@pytest.mark.parametrize(("hash_seed", "language"), [("0", "C"), ("4242", "tr_TR.UTF-8")])
def test_W7_hash_seed_and_language_change_nothing(hash_seed: str, language: str) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "LANG": language, "LC_ALL": language}
    environment["PYTHONPATH"] = str(ROOT)
    printed = subprocess.run(
        [sys.executable, str(Path(__file__))], env=environment, capture_output=True, check=True, timeout=60
    ).stdout
    vectors = published()
    del vectors["sealed_sender"]
    assert json.loads(printed) == vectors


def test_the_published_messages_open() -> None:
    vectors = published()
    for vector in vectors["shared_key"]:
        message = decode_message(bytes.fromhex(vector["message"]))
        assert open_sealed(KEY, message, context=CONTEXT) == PLAINTEXT
        signature = bytes.fromhex(vector["wave_signature"])
        verify_wave(SIGNER.public_key, message.header, message.frames, signature)
    message = decode_message(bytes.fromhex(vectors["passphrase"]["message"]))
    assert open_with_passphrase(PassphraseKeys(PASSPHRASE), message) == PLAINTEXT


def test_the_published_message_to_a_prekey_opens() -> None:
    vectors = published()
    sealed = vectors["sealed_sender"]
    prekey = read_prekey(bytes.fromhex(vectors["signed_prekey"]), PREKEY.created_ms)
    assert prekey.public_key == PREKEY.public_key
    ring = PrekeyRing((Prekey(bytes.fromhex(sealed["prekey_private"]), PREKEY.created_ms),))
    message = decode_message(bytes.fromhex(sealed["message"]))
    opened = open_from(ring, SIGNER.public_key, message, context=bytes.fromhex(sealed["context"]))
    assert opened.payload == bytes.fromhex(sealed["payload"])
    assert opened.sender_key is not None
    assert opened.sender_key.hex() == sealed["sender_key"]


def exact_modules() -> list[Path]:
    """All modules whose numbers are hashed, signed or sent."""
    named = [ROOT / "wnsp" / f"{name}.py" for name in ("wave_digest", "wave_signature", "interference")]
    return named + sorted((ROOT / "wnsp" / "ciphers").glob("*.py"))


def inexact(source: str) -> list[str]:
    """Floats in a module: literals, division, functions and types that give them."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            found.append(f"line {node.lineno}: {node.value}")
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            found.append(f"line {node.lineno}: /")
        elif isinstance(node, ast.Name | ast.Attribute):
            name = node.id if isinstance(node, ast.Name) else node.attr
            if name in ("float", "round", "math", "mean", "sin", "cos", "true_divide") or name.startswith(
                "float"
            ):
                found.append(f"line {node.lineno}: {name}")
    return found


@pytest.mark.parametrize("path", exact_modules(), ids=lambda path: path.name)
def test_W6_there_is_no_float_in_wave_cryptography(path: Path) -> None:
    assert inexact(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "snippet", ["x = 0.5", "x = a / b", "x /= 2", "np.float64(1)", "float(x)", "np.sin(x)"]
)
def test_W6_the_rule_can_fail(snippet: str) -> None:
    assert inexact(snippet)


if __name__ == "__main__":
    print(json.dumps(made_now()))
