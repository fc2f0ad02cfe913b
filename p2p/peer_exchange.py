"""`/nexus/peers/1`: ask connected peers for addresses of others. Bounded, typed, and blind to other people's networks.

    request = msgpack [1, limit, port]        limit 1..32; the port that the asker listens on, 0 for "don't tell"
    reply   = msgpack [[address, ...]]        at most `limit`, each with /p2p/, at most 256 characters

The request makes the asker known too: at the host that its connection comes from, with its port.
Only canonical encodings count. An address is a claim: the dial proves it, as the transport binds a peer id to its key.
Addresses of a narrower scope than the asker's are neither told nor believed (`addresses.may_exchange`).
"""

import random
from collections.abc import Callable
from typing import Annotated, Literal, TypeVar

import msgspec
import trio

from p2p.address_book import AddressBook, shareable
from p2p.addresses import MAX_ADDRESS_CHARACTERS, Scope, listening_at, may_exchange, parse_address, scopes
from p2p.errors import AddressMalformed, RequestFailed, RequestRefused
from p2p.network import Network, PeerId, PeerInfo
from p2p.peers import Fault

PROTOCOL = "/nexus/peers/1"
MAX_ADDRESSES_IN_REPLY = 32
MAX_REQUEST_BYTES = 8
MAX_REPLY_BYTES = 16_384
REQUEST_TIMEOUT_S = 10.0

_Address = Annotated[str, msgspec.Meta(max_length=MAX_ADDRESS_CHARACTERS)]


class PeersRequest(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """Who else do you know? I listen on this port (any but 0 on /memory, which has none)."""

    version: Literal[1]
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_ADDRESSES_IN_REPLY)]
    listen_port: Annotated[int, msgspec.Meta(ge=0, le=65_535)]


class PeersReply(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """These."""

    addresses: Annotated[tuple[_Address, ...], msgspec.Meta(max_length=MAX_ADDRESSES_IN_REPLY)]


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
        reply = PeersReply(_addresses_for(asker, book, request.limit, rng))
        if request.listen_port and asker.direction == "inbound":
            _note_asker(asker, request.listen_port, book, clock())
        return msgspec.msgpack.encode(reply)

    await network.serve(PROTOCOL, answer, max_request_bytes=MAX_REQUEST_BYTES)


def _addresses_for(asker: PeerInfo, book: AddressBook, limit: int, rng: random.Random) -> tuple[str, ...]:
    """Addresses that worked for us, drawn as for our own dials, that the asker may know."""
    reach = scopes(asker.addresses)
    told: list[str] = []
    for entry in book.draw(rng, len(book), ()):
        if len(told) == limit:
            break
        if entry.peer_id == asker.peer_id or not shareable(entry):
            continue
        if may_exchange(parse_address(entry.address), reach):
            told.append(entry.address)
    return tuple(sorted(told))


def _note_asker(asker: PeerInfo, port: int, book: AddressBook, now_s: float) -> None:
    """It is alive and its key is proven, so its address counts as one that worked: a bootstrap node, which others dial
    and which dials nobody, knows these only."""
    for endpoint in asker.addresses[:1]:
        address = listening_at(endpoint, port, asker.peer_id)
        if address is not None and book.add(address, now_s):
            book.succeeded(address, now_s)


def _own_port(network: Network) -> int:
    for address in network.listen_addresses:
        try:
            port = parse_address(address).port
        except AddressMalformed:
            continue
        return 1 if port is None else port
    return 0


async def ask_for_addresses(
    network: Network, book: AddressBook, peer: PeerInfo, report: Report, *, now_s: float
) -> int:
    """Ask one connected peer and put what it may tell us into the book; how many were new. A malformed reply is
    reported. Errors: `RequestFailed`, `RequestRefused`."""
    request = msgspec.msgpack.encode(PeersRequest(1, MAX_ADDRESSES_IN_REPLY, _own_port(network)))
    data = await network.request(
        peer.peer_id, PROTOCOL, request, max_reply_bytes=MAX_REPLY_BYTES, timeout_s=REQUEST_TIMEOUT_S
    )
    reply = _decode(data, PeersReply)
    if reply is None:
        report(peer.peer_id, Fault.MALFORMED)
        return 0
    try:
        claims = [(address, parse_address(address)) for address in reply.addresses]
    except AddressMalformed:
        report(peer.peer_id, Fault.MALFORMED)
        return 0
    reach = scopes(peer.addresses)
    new = 0
    for address, parsed in claims:
        if parsed.peer_id in (None, network.peer_id) or parsed.scope is Scope.NAME:
            continue
        if may_exchange(parsed, reach) and book.get(address) is None and book.add(address, now_s):
            new += 1
    return new


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
