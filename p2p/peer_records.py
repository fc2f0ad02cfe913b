"""Signed peer records: "I can be dialled here", said by the identity that the address names.

    record   = msgpack [address, issued_s, signature]
    signed   = "nexus/peer-record/v1" 0x00, issued_s as 8 bytes big-endian, the address in UTF-8

Whoever passes a record on cannot change it, keep it alive or make one up for another's identity. What a signature
does not prove is that the host is the signer's: an identity is free, so only the dial proves an address, and the
limits by neighbourhood count hosts (`address_book`).
"""

from collections.abc import Sequence
from typing import Annotated

import msgspec

from p2p.addresses import MAX_ADDRESS_CHARACTERS, Scope, may_exchange, parse_address
from p2p.errors import AddressMalformed
from p2p.network import Network

MAX_AGE_S = 86_400
"""Older records are stale: their node has been silent for a day, or has moved."""
TOLD_WITHIN_S = 72_000
"""A record is passed on for 20 hours. The other 4 are for its way, so that nobody is blamed for its last hop."""
MAX_AHEAD_S = 600
"""How far the clocks of honest nodes may differ."""
MAX_OWN_RECORDS = 4
SIGNATURE_BYTES = 64

_DOMAIN = b"nexus/peer-record/v1\0"


class PeerRecord(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """One address of one node, in its own words. A later `issued_s` replaces an earlier one."""

    address: Annotated[str, msgspec.Meta(max_length=MAX_ADDRESS_CHARACTERS)]
    """With /p2p/ and the signer's id."""
    issued_s: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    """Unix time of the signature."""
    signature: Annotated[bytes, msgspec.Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)]


def signed_part(address: str, issued_s: int) -> bytes:
    """The bytes under the signature."""
    return _DOMAIN + issued_s.to_bytes(8) + address.encode()


def own_records(network: Network, reach: Sequence[Scope], now_s: float) -> tuple[PeerRecord, ...]:
    """What we say of ourselves to a peer at these scopes: our listening addresses that mean something there."""
    records: list[PeerRecord] = []
    for address in network.listen_addresses:
        try:
            parsed = parse_address(address)
        except AddressMalformed:
            continue
        if parsed.scope is not Scope.NAME and may_exchange(parsed, tuple(reach)):
            signature = network.sign(signed_part(address, int(now_s)))
            records.append(PeerRecord(address, int(now_s), signature))
    return tuple(records[:MAX_OWN_RECORDS])


def is_genuine(network: Network, record: PeerRecord) -> bool:
    """Whether the identity in the address signed the record. False for an address that is none or names nobody."""
    try:
        signer = parse_address(record.address).peer_id
    except AddressMalformed:
        return False
    if signer is None:
        return False
    return network.has_signed(signer, signed_part(record.address, record.issued_s), record.signature)


def is_current(record: PeerRecord, now_s: float) -> bool:
    """Whether the record may still be believed: at most a day old and hardly from the future."""
    return -MAX_AHEAD_S <= now_s - record.issued_s <= MAX_AGE_S


def may_be_told(record: PeerRecord, now_s: float) -> bool:
    """Whether the record may be passed on now: whoever gets it, by a clock like ours, finds it current."""
    return 0 <= int(now_s) - record.issued_s <= TOLD_WITHIN_S


def clocks_agree(their_s: float, our_s: float) -> bool:
    """Whether two clocks are near enough for one to blame the other for stale records."""
    return abs(their_s - our_s) <= MAX_AHEAD_S
