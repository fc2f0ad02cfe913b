"""Signatures over five dimensions: one Ed25519 signature, and five digests that say which dimension was changed.

225 bytes: algorithm, the digests of wavelength, amplitude, phase, polarisation and time, the signature. The
signature is checked first; only then do the digests mean anything. Source: wnsp/CRYPTOGRAPHY.md, Wave signature.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

from wnsp.ciphers.errors import DimensionsDiffer, NotAfterParents, OutsideLifetime, WaveSignatureInvalid
from wnsp.ciphers.photons import DIMENSIONS, PhotonFrames, dimension_bytes
from wnsp.errors import KeyRefused, SignatureInvalid
from wnsp.identity import Identity, verify

ED25519: Final = 1
"""The only algorithm so far; the byte leaves room for one that quantum computers do not break."""

SIGNATURE_BYTES: Final = 225
DIGEST_BYTES: Final = 32
SIGNING_DOMAIN: Final = b"nexus/wave5d/v1|"
ROOT_PERSON: Final = b"wnsp5d-root"


def dimension_digests(frames: PhotonFrames) -> tuple[bytes, ...]:
    """Five digests of 32 bytes: BLAKE2b-256, personalised `wnsp5d-0` to `wnsp5d-4`, of a dimension's values (u32)."""
    return tuple(
        blake2b(
            dimension_bytes(frames, dimension),
            digest_size=DIGEST_BYTES,
            person=b"wnsp5d-" + str(dimension).encode("ascii"),
        ).digest()
        for dimension in range(len(DIMENSIONS))
    )


def sign_wave(identity: Identity, header: bytes, frames: PhotonFrames) -> bytes:
    """The wave signature, 225 bytes. Put the genesis id into the header where the signature is used on a chain."""
    digests = dimension_digests(frames)
    return bytes((ED25519,)) + b"".join(digests) + identity.sign(_signed_bytes(header, digests))


def verify_wave(public_key: bytes, header: bytes, frames: PhotonFrames, signature: bytes) -> None:
    """Raises `WaveSignatureInvalid`, or `DimensionsDiffer` with the names of the dimensions that were changed."""
    digests = signed_digests(public_key, header, signature)
    found = dimension_digests(frames)
    differing = tuple(
        name for name, signed, own in zip(DIMENSIONS, digests, found, strict=True) if signed != own
    )
    if differing:
        raise DimensionsDiffer(differing)


def signed_digests(public_key: bytes, header: bytes, signature: bytes) -> tuple[bytes, ...]:
    """The five digests that the key has signed for this header. Raises `WaveSignatureInvalid`."""
    if len(signature) != SIGNATURE_BYTES or signature[0] != ED25519:
        raise WaveSignatureInvalid
    digests = tuple(signature[1 + 32 * index : 33 + 32 * index] for index in range(len(DIMENSIONS)))
    try:
        verify(public_key, _signed_bytes(header, digests), signature[161:])
    except (SignatureInvalid, KeyRefused):
        raise WaveSignatureInvalid from None
    return digests


def check_time(created: int, expiry: int, parents_created: Iterable[int], now: int) -> None:
    """The time rule, all in one unit (slots): later than every parent, within the lifetime.

    Raises `NotAfterParents`, `OutsideLifetime`.
    """
    for parent in parents_created:
        if created <= parent:
            raise NotAfterParents(created, parent)
    if not created <= now <= expiry:
        raise OutsideLifetime(now, created, expiry)


def _signed_bytes(header: bytes, digests: tuple[bytes, ...]) -> bytes:
    root = blake2b(blake2b(header, digest_size=DIGEST_BYTES).digest(), digest_size=64, person=ROOT_PERSON)
    for digest in digests:
        root.update(digest)
    return SIGNING_DOMAIN + root.digest()
