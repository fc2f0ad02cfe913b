"""Signed announcements: who can be reached, with which keys to seal to. README, Announcements."""

from dataclasses import replace

from wnsp.errors import SignatureInvalid
from wnsp.identity import Identity, verify
from wnsp.mesh.datagrams import Announcement, Prekey, announcement_core
from wnsp.mesh.errors import AnnouncementRefused
from wnsp.mesh.limits import CLOCK_SKEW_MS, HOP_LIMIT, MAX_LIFETIME_MS, SIGNATURE_BYTES

ANNOUNCEMENT_DOMAIN = b"nexus/mesh-announcement/v1"


def announcement_preimage(genesis: bytes, announcement: Announcement) -> bytes:
    """What is signed: one length byte, the domain, the genesis hash, the signed fields."""
    tag = bytes((len(ANNOUNCEMENT_DOMAIN),)) + ANNOUNCEMENT_DOMAIN
    return tag + genesis + announcement_core(announcement)


def sign_announcement(
    identity: Identity,
    genesis: bytes,
    sequence: int,
    expires_ms: int,
    gateway: bool,
    prekeys: tuple[Prekey, ...],
) -> Announcement:
    """Our own, at the start of its way: cost 0, all hops but the one it is about to take."""
    unsigned = Announcement(
        cost=0,
        hops=HOP_LIMIT - 1,
        public_key=identity.public_key,
        sequence=sequence,
        expires_ms=expires_ms,
        gateway=gateway,
        prekeys=prekeys,
        signature=bytes(SIGNATURE_BYTES),
    )
    return replace(unsigned, signature=identity.sign(announcement_preimage(genesis, unsigned)))


def validate_announcement(announcement: Announcement, genesis: bytes, now_ms: int) -> None:
    """Errors: `AnnouncementRefused` for its time or its signature."""
    if announcement.expires_ms <= now_ms:
        raise AnnouncementRefused(f"it expired at {announcement.expires_ms} ms, now is {now_ms} ms")
    latest_ms = now_ms + MAX_LIFETIME_MS + CLOCK_SKEW_MS
    if announcement.expires_ms > latest_ms:
        raise AnnouncementRefused(f"it expires at {announcement.expires_ms} ms, at the latest {latest_ms} ms")
    try:
        verify(announcement.public_key, announcement_preimage(genesis, announcement), announcement.signature)
    except SignatureInvalid:
        raise AnnouncementRefused(f"not signed by {announcement.public_key.hex()}") from None
