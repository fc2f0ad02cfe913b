"""Rotating prekeys: what is sealed today cannot be opened with what is stolen after the prekey was deleted.

A prekey is an X25519 key pair. It is announced, signed by the identity, for seven days at most; the next one is made
after 24 hours; the private half is deleted after 14 days, so that a message of the mesh (at most seven days on its way)
always finds it. All times are milliseconds of one clock that comes in as an argument.
Byte table: wnsp/CRYPTOGRAPHY.md, Prekeys.
"""

from dataclasses import dataclass
from hashlib import blake2b

from wnsp.ciphers.errors import PrekeyNotSigned, PrekeyStale, WrongSize
from wnsp.ciphers.header import PREKEY_ID_BYTES
from wnsp.ciphers.keys import Entropy
from wnsp.ciphers.recipients import new_private_key, public_key_of
from wnsp.errors import KeyRefused, SignatureInvalid
from wnsp.identity import Identity, verify

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
ROTATE_AFTER_MS = DAY_MS
USABLE_MS = 7 * DAY_MS
LONGEST_WAY_MS = 7 * DAY_MS
"""A message's greatest lifetime in the mesh."""
DELETE_AFTER_MS = USABLE_MS + LONGEST_WAY_MS
CLOCK_SKEW_MS = 10 * 60 * 1_000
"""How far ahead of ours another's clock may be."""

ID_PERSON = b"wnsp-prekey-id"
SIGNATURE_DOMAIN = b"nexus/wnsp/v2/prekey|"
SIGNED_PREKEY_BYTES = 32 + 32 + 8 + 64


@dataclass(frozen=True, slots=True)
class Prekey:
    """A key pair of ours."""

    private_key: bytes
    created_ms: int

    @property
    def public_key(self) -> bytes:
        """32 bytes."""
        return public_key_of(self.private_key)

    def __repr__(self) -> str:
        return (
            f"Prekey(id={prekey_id(self.public_key).hex()}, created_ms={self.created_ms}, private_key=hidden)"
        )


@dataclass(frozen=True, slots=True)
class PrekeyRing:
    """Our prekeys, the oldest first. The last is the one to announce."""

    prekeys: tuple[Prekey, ...]


@dataclass(frozen=True, slots=True)
class SignedPrekey:
    """Somebody's prekey, checked: what a sender seals to."""

    identity_key: bytes
    """Ed25519, 32 bytes."""
    public_key: bytes
    """X25519, 32 bytes."""
    created_ms: int


def prekey_id(public_key: bytes) -> bytes:
    """8 bytes that tell the recipient which of its prekeys a message is for."""
    return blake2b(public_key, digest_size=PREKEY_ID_BYTES, person=ID_PERSON).digest()


def new_ring(now_ms: int, entropy: Entropy) -> PrekeyRing:
    """A ring with one fresh prekey."""
    return PrekeyRing((Prekey(new_private_key(entropy), now_ms),))


def rotate(ring: PrekeyRing, now_ms: int, entropy: Entropy) -> PrekeyRing:
    """The ring as it should be now: a new prekey when the last is a day old, without those of 14 days and more.

    Call it at least once an hour and store the result over the old ring: deleting is what protects. A clock that was
    wrong by 14 days or more in either direction costs the prekeys made under it.
    """
    kept = tuple(prekey for prekey in ring.prekeys if abs(now_ms - prekey.created_ms) < DELETE_AFTER_MS)
    if not kept or not -CLOCK_SKEW_MS <= now_ms - kept[-1].created_ms < ROTATE_AFTER_MS:
        kept += (Prekey(new_private_key(entropy), now_ms),)
    return PrekeyRing(kept)


def find_prekey(ring: PrekeyRing, identifier: bytes) -> Prekey | None:
    """The prekey of that id, if it is not deleted yet."""
    return next((prekey for prekey in ring.prekeys if prekey_id(prekey.public_key) == identifier), None)


def announce_prekey(ring: PrekeyRing, identity: Identity) -> bytes:
    """The last prekey, signed: 136 bytes for announcements."""
    newest = ring.prekeys[-1]
    claim = identity.public_key + newest.public_key + newest.created_ms.to_bytes(8, "big")
    return claim + identity.sign(SIGNATURE_DOMAIN + claim)


def read_prekey(data: bytes, now_ms: int) -> SignedPrekey:
    """The announced prekey, its signature and age checked. Whether the identity is the right one is the caller's.

    Raises `WrongSize`, `PrekeyNotSigned`, `PrekeyStale`.
    """
    if len(data) != SIGNED_PREKEY_BYTES:
        raise WrongSize("signed prekey", SIGNED_PREKEY_BYTES, len(data))
    claim, signature = data[:72], data[72:]
    try:
        verify(claim[:32], SIGNATURE_DOMAIN + claim, signature)
    except (SignatureInvalid, KeyRefused):
        raise PrekeyNotSigned(claim[:32]) from None
    prekey = SignedPrekey(claim[:32], claim[32:64], int.from_bytes(claim[64:], "big"))
    check_age(prekey, now_ms)
    return prekey


def check_age(prekey: SignedPrekey, now_ms: int) -> None:
    """Raises `PrekeyStale` when nothing should be sealed to the prekey any more, or yet."""
    age_ms = now_ms - prekey.created_ms
    if not -CLOCK_SKEW_MS <= age_ms < USABLE_MS:
        raise PrekeyStale(age_ms, -CLOCK_SKEW_MS, USABLE_MS)
