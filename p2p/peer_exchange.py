"""`/nexus/peers/2`: ask connected peers for signed records of others. Bounded, typed, blind to others' networks.

    request = msgpack [2, limit, [record, ...]]     limit 1..32; 0..4 records of the asker, none for "don't tell"
    reply   = msgpack [answered_s, [record, ...]]   the answerer's clock; at most `limit` records
    record  = [address, issued_s, signature]        see `peer_records`

The request makes the asker known too, at the host that its connection comes from. Only canonical encodings count.
A record proves who says it; the dial proves the rest, as the transport binds a peer id to its key.
Addresses of a narrower scope than the asker's are neither told nor believed (`addresses.may_exchange`).
"""

import random
from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

import msgspec
import trio

from p2p.address_book import AddressBook, KnownAddress, shareable
from p2p.addresses import Scope, is_at, may_exchange, parse_address, scopes
from p2p.errors import AddressMalformed, RequestFailed, RequestRefused
from p2p.network import Network, PeerId, PeerInfo
from p2p.peer_records import (
    MAX_OWN_RECORDS,
    PeerRecord,
    clocks_agree,
    is_current,
    is_genuine,
    may_be_told,
    own_records,
)
from p2p.peers import Fault

PROTOCOL = "/nexus/peers/2"
MAX_RECORDS_IN_REPLY = 32
MAX_REQUEST_BYTES = 1_536
MAX_REPLY_BYTES = 16_384
REQUEST_TIMEOUT_S = 10.0


class PeersRequest(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Who else do you know? I can be dialled at these."""

    version: Literal[2]
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_RECORDS_IN_REPLY)]
    records: Annotated[tuple[PeerRecord, ...], msgspec.Meta(max_length=MAX_OWN_RECORDS)]


class PeersReply(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """These, and me."""

    answered_s: Annotated[int, msgspec.Meta(ge=0, le=2**53)]
    """Unix time of the answerer: whose clock differs cannot be blamed for stale records."""
    records: Annotated[tuple[PeerRecord, ...], msgspec.Meta(max_length=MAX_RECORDS_IN_REPLY)]


_Message = TypeVar("_Message", PeersRequest, PeersReply)

Report = Callable[[PeerId, Fault], None]
"""`GuardedNetwork.report`."""


def _decode(data: bytes, kind: type[_Message]) -> _Message | None:
    """None for anything but the one canonical encoding."""
    try:
        message = msgspec.msgpack.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return message if msgspec.msgpack.encode(message) == data else None


# Answering


async def serve_peer_exchange(
    network: Network, book: AddressBook, report: Report, *, rng: random.Random, clock: Callable[[], float]
) -> None:
    """Answer `PROTOCOL` from the book, and put the asker into it."""

    async def answer(peer: PeerId, data: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        request = _decode(data, PeersRequest)
        if request is None:
            report(peer, Fault.MALFORMED)
            raise RequestRefused("malformed peers request")
        asker = next((info for info in network.peers() if info.peer_id == peer), None)
        if asker is None:
            raise RequestRefused("you are not connected")
        if not all(_is_own(network, asker, record) for record in request.records):
            report(peer, Fault.INVALID)
            raise RequestRefused("a record in your name that you did not sign")
        now_s = clock()
        reply = PeersReply(max(0, int(now_s)), _records_for(network, asker, book, request.limit, rng, now_s))
        for record in request.records:
            _note_asker(asker, record, book, now_s)
        return msgspec.msgpack.encode(reply)

    await network.serve(PROTOCOL, answer, max_request_bytes=MAX_REQUEST_BYTES)


def _is_own(network: Network, asker: PeerInfo, record: PeerRecord) -> bool:
    """Whether the asker speaks of itself."""
    try:
        named = parse_address(record.address).peer_id
    except AddressMalformed:
        return False
    return named == asker.peer_id and is_genuine(network, record)


def _records_for(
    network: Network, asker: PeerInfo, book: AddressBook, limit: int, rng: random.Random, now_s: float
) -> tuple[PeerRecord, ...]:
    """Our own records, then those of addresses that worked for us, drawn as for our own dials, that the asker may
    know."""
    reach = scopes(asker.addresses)
    told = list(own_records(network, reach, now_s)[:limit])
    for entry in book.draw(rng, len(book), ()):
        if len(told) == limit:
            break
        if entry.peer_id in (asker.peer_id, network.peer_id) or not shareable(entry):
            continue
        if entry.record is None or not may_be_told(entry.record, now_s):
            continue
        if may_exchange(parse_address(entry.address), reach):
            told.append(entry.record)
    return tuple(sorted(told, key=lambda record: record.address))


def _note_asker(asker: PeerInfo, record: PeerRecord, book: AddressBook, now_s: float) -> None:
    """An asker that dialled us is alive and its key is proven, so its address, if it lies at the host it came from,
    counts as one that worked: a bootstrap node, which others dial and which dials nobody, knows these only."""
    if not is_current(record, now_s):
        return
    here = is_at(parse_address(record.address), asker.addresses[0]) if asker.addresses else False
    if here and asker.direction == "inbound" and book.add(record.address, now_s):
        book.succeeded(record.address, now_s)
    book.keep_record(record)


# Asking


async def ask_for_addresses(
    network: Network, book: AddressBook, peer: PeerInfo, report: Report, *, now_s: float
) -> int:
    """Ask one connected peer and put what it may tell us into the book; how many addresses were new. A reply that is
    malformed, holds a forged record, or holds a stale one by a clock like ours is reported. Errors: `RequestFailed`,
    `RequestRefused`."""
    reach = scopes(peer.addresses)
    asked = PeersRequest(2, MAX_RECORDS_IN_REPLY, own_records(network, reach, now_s))
    data = await network.request(
        peer.peer_id,
        PROTOCOL,
        msgspec.msgpack.encode(asked),
        max_reply_bytes=MAX_REPLY_BYTES,
        timeout_s=REQUEST_TIMEOUT_S,
    )
    reply = _decode(data, PeersReply)
    fault = Fault.MALFORMED if reply is None else _fault_of(network, book, reply, now_s)
    if fault is not None:
        report(peer.peer_id, fault)
    if reply is None or fault in (Fault.MALFORMED, Fault.INVALID):
        return 0
    new = 0
    for record in reply.records:
        if is_current(record, now_s) and _may_believe(network, record, reach):
            known = book.get(record.address)
            if known is None and book.add(record.address, now_s):
                new += 1
            book.keep_record(record)
    return new


def _fault_of(network: Network, book: AddressBook, reply: PeersReply, now_s: float) -> Fault | None:
    """The worst that the records of a reply say about the answerer."""
    try:
        for record in reply.records:
            parse_address(record.address)
    except AddressMalformed:
        return Fault.MALFORMED
    if not all(
        _is_kept(book.get(record.address), record) or is_genuine(network, record) for record in reply.records
    ):
        return Fault.INVALID
    stale = any(not is_current(record, now_s) for record in reply.records)
    return Fault.BAD_REPLY if stale and clocks_agree(reply.answered_s, now_s) else None


def _is_kept(known: KnownAddress | None, record: PeerRecord) -> bool:
    """Whether this very record was verified before."""
    return known is not None and known.record == record


def _may_believe(network: Network, record: PeerRecord, reach: tuple[Scope, ...]) -> bool:
    parsed = parse_address(record.address)
    if parsed.peer_id == network.peer_id or parsed.scope is Scope.NAME:
        return False
    return may_exchange(parsed, reach)


async def exchange_peers(
    network: Network,
    book: AddressBook,
    report: Report,
    *,
    rng: random.Random,
    every_s: float = 60.0,
    while_lonely_s: float = 10.0,
    enough_peers: int = 8,
    clock: Callable[[], float] = trio.current_time,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """The service: answers others, asks each newly connected outbound peer once, then one random peer about every
    `every_s` seconds (`while_lonely_s` below `enough_peers`). Runs until cancelled. Silence costs a peer nothing."""
    await serve_peer_exchange(network, book, report, rng=rng, clock=clock)
    task_status.started()
    asked: list[PeerId] = []
    last_round_s, jitter = trio.current_time(), 0.5 + rng.random()
    while True:
        peers = network.peers()
        asked = [peer for peer in asked if any(info.peer_id == peer for info in peers)]
        interval_s = every_s if len(peers) >= enough_peers else while_lonely_s
        turn = next(
            (info for info in peers if info.direction == "outbound" and info.peer_id not in asked), None
        )
        if turn is not None:
            asked.append(turn.peer_id)
        elif peers and trio.current_time() >= last_round_s + interval_s * jitter:
            turn = peers[rng.randrange(len(peers))]
            last_round_s, jitter = trio.current_time(), 0.5 + rng.random()
        if turn is None:
            await trio.sleep(1.0)
            continue
        try:
            await ask_for_addresses(network, book, turn, report, now_s=clock())
        except (RequestFailed, RequestRefused):
            continue
