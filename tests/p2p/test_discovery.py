"""`keep_connected` and the exchange of addresses, over the simulated network."""

import itertools
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest
import trio
from builders.deterministic import on_virtual_time
from builders.simulated_peers import TOPIC, Inbox, address_of, in_a_line, joined

from p2p.address_book import AddressBook
from p2p.addresses import diversity_group, parse_address
from p2p.discovery import DialPolicy, keep_connected
from p2p.errors import AddressMalformed, DialFailed, RequestRefused
from p2p.network import PeerId
from p2p.peer_exchange import (
    MAX_RECORDS_IN_REPLY,
    MAX_REPLY_BYTES,
    MAX_REQUEST_BYTES,
    PROTOCOL,
    PeersReply,
    PeersRequest,
    ask_for_addresses,
    exchange_peers,
    serve_peer_exchange,
)
from p2p.peer_records import MAX_AGE_S, MAX_AHEAD_S, TOLD_WITHIN_S, PeerRecord, signed_part
from p2p.peers import Fault
from p2p.simulated import SimulatedFabric
from p2p.simulated_identity import sign_as
from p2p.simulated_network import SimulatedNetwork


def new_book(name: str = "") -> AddressBook:
    """An empty one."""
    return AddressBook(name.encode().ljust(16, b"\0"))


class CountingNetwork:
    """Forwards to a simulated network and keeps when each address was dialled."""

    def __init__(self, network: SimulatedNetwork) -> None:
        self._network = network
        self.dialled: list[tuple[float, str]] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._network, name)

    async def connect(self, address: str) -> PeerId:
        """Counted."""
        self.dialled.append((trio.current_time(), address))
        return await self._network.connect(address)


@asynccontextmanager
async def keeping_connected(
    network: object, book: AddressBook, bootstrap: Sequence[str], *, target: int = 8, seed: int = 1
) -> AsyncIterator[None]:
    """The service in the background."""
    async with trio.open_nursery() as nursery:

        async def service() -> None:
            await keep_connected(
                network,  # type: ignore[arg-type]
                book,
                bootstrap,
                rng=random.Random(seed),
                target_outbound=target,
            )

        nursery.start_soon(service)
        yield
        nursery.cancel_scope.cancel()


# keep_connected


@on_virtual_time
async def test_it_dials_the_bootstrap_peers_and_the_book_up_to_the_target() -> None:
    names = [f"p{number}" for number in range(12)]
    async with SimulatedFabric(1) as fabric, joined(fabric, ["a"]) as (a,), joined(fabric, names):
        book = new_book()
        for name in names[2:]:
            book.add(address_of(name), now_s=0)
        async with keeping_connected(a, book, [address_of(name) for name in names[:2]], target=5):
            await trio.sleep(20)
            connected = [info.peer_id for info in a.peers()]
            assert len(connected) == 5
            assert {"p0", "p1"} <= set(connected)


@on_virtual_time
async def test_N8_it_never_dials_itself() -> None:
    async with SimulatedFabric(1) as fabric, joined(fabric, ["a"]) as (a,):
        network, book = CountingNetwork(a), new_book()
        book.add(address_of("a"), now_s=0)
        book.add("/ip4/203.0.113.1/tcp/1/p2p/a", now_s=0)
        async with keeping_connected(network, book, [address_of("a")]):
            await trio.sleep(100)
        assert network.dialled == []


@on_virtual_time
async def test_a_peer_that_is_connected_to_us_is_not_dialled() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["b", "a"]) as (_, a):
        network = CountingNetwork(a)
        async with keeping_connected(network, new_book(), [address_of("b")]):
            await trio.sleep(100)
        assert network.dialled == []


@on_virtual_time
async def test_it_reconnects_after_the_peer_restarts() -> None:
    async with (
        SimulatedFabric(1) as fabric,
        joined(fabric, ["a"]) as (a,),
        keeping_connected(a, new_book(), [address_of("b")]),
    ):
        async with fabric.join("b"):
            await trio.sleep(60)
            fabric.crash("b")
        await trio.sleep(1)
        assert a.peers() == ()
        async with fabric.join("b"):
            await trio.sleep(10)
            assert [info.peer_id for info in a.peers()] == ["b"]


@on_virtual_time
async def test_it_never_gives_up_and_waits_longer_each_time() -> None:
    async with SimulatedFabric(1) as fabric, joined(fabric, ["a"]) as (a,):
        network = CountingNetwork(a)
        async with keeping_connected(network, new_book(), [address_of("b")]):
            await trio.sleep(3_600)
            times = [at_s for at_s, _ in network.dialled]
            gaps = [after - before for before, after in itertools.pairwise(times)]
            assert gaps[0] < 3
            assert min(gaps[7:]) >= 30 and max(gaps) <= 92
            assert len({round(gap, 3) for gap in gaps[7:]}) > 10
            assert len(times) < 100
            async with fabric.join("b"):
                await trio.sleep(92)
                assert [info.peer_id for info in a.peers()] == ["b"]


@on_virtual_time
async def test_a_peer_that_drops_us_at_once_is_not_dialled_in_a_tight_loop() -> None:
    async with SimulatedFabric(1) as fabric, joined(fabric, ["a", "b"]) as (a, b):
        network = CountingNetwork(a)

        async def refuse_everybody() -> None:
            while True:
                for info in b.peers():
                    await b.disconnect(info.peer_id)
                await trio.sleep(0.05)

        async with trio.open_nursery() as nursery, keeping_connected(network, new_book(), [address_of("b")]):
            nursery.start_soon(refuse_everybody)
            await trio.sleep(600)
            nursery.cancel_scope.cancel()
        assert 8 < len(network.dialled) < 30


@on_virtual_time
async def test_N4_a_dial_that_hangs_does_not_hold_up_the_others() -> None:
    async with SimulatedFabric(1) as fabric, joined(fabric, ["a", "dead", "b"]) as (a, *_):
        fabric.partition([["a", "b"], ["dead"]])
        async with keeping_connected(a, new_book(), [address_of("dead"), address_of("b")]):
            await trio.sleep(1)
            assert [info.peer_id for info in a.peers()] == ["b"]


@on_virtual_time
async def test_N1_outbound_peers_come_from_at_least_four_slash_16() -> None:
    """100 sybil addresses of one /16 against 8 of others: the sybils get two of eight places."""
    async with SimulatedFabric(1) as fabric, trio.open_nursery() as nursery:
        book = new_book("secret")

        async def listen(name: PeerId, endpoint: str) -> None:
            async with fabric.join(name, endpoint=endpoint):
                await trio.sleep_forever()

        for number in range(100):
            nursery.start_soon(listen, f"sybil-{number}", f"/ip4/203.0.113.{number + 1}/tcp/1")
            book.add(f"/ip4/203.0.113.{number + 1}/tcp/1/p2p/sybil-{number}", now_s=0)
        for number in range(8):
            nursery.start_soon(listen, f"honest-{number}", f"/ip4/{20 + number}.0.0.1/tcp/1")
            book.add(f"/ip4/{20 + number}.0.0.1/tcp/1/p2p/honest-{number}", now_s=0)
        await trio.sleep(1)
        async with fabric.join("a") as a, keeping_connected(a, book, []):
            await trio.sleep(60)
            groups = [diversity_group(parse_address(info.addresses[0])) for info in a.peers()]
            assert len(groups) == 8
            assert groups.count("203.0.0.0/16") <= 2
            assert len(set(groups)) >= 4
        nursery.cancel_scope.cancel()


@on_virtual_time
async def test_N1_the_anchors_of_the_last_run_are_dialled_first() -> None:
    names = [f"p{number}" for number in range(40)]
    async with SimulatedFabric(1) as fabric, joined(fabric, names):
        book = new_book()
        for name in names:
            book.add(address_of(name), now_s=0)
        async with fabric.join("a") as a, keeping_connected(a, book, [], target=4):
            await trio.sleep(60)
            before = sorted(info.peer_id for info in a.peers())
        restored = AddressBook.from_bytes(book.to_bytes())
        assert sorted(parse_address(anchor).peer_id or "" for anchor in restored.anchors) == before
        async with fabric.join("a") as a, keeping_connected(a, restored, [], target=4, seed=99):
            await trio.sleep(5)
            assert sorted(info.peer_id for info in a.peers()) == before


@on_virtual_time
async def test_what_it_learns_by_dialling_goes_into_the_book() -> None:
    async with SimulatedFabric(1) as fabric, joined(fabric, ["a", "b"]) as (a, _):
        book = new_book()
        book.add(address_of("nobody"), now_s=0)
        async with keeping_connected(a, book, [address_of("b")]):
            await trio.sleep(30)
        good, bad = book.get(address_of("b")), book.get(address_of("nobody"))
        assert good is not None and good.last_success_s is not None and good.failures == 0
        assert bad is not None and bad.last_success_s is None and bad.failures >= 3


@on_virtual_time
async def test_a_bootstrap_address_without_an_id_is_refused_at_the_start() -> None:
    async with SimulatedFabric(1) as fabric, joined(fabric, ["a"]) as (a,):
        for bad in ("/ip4/127.0.0.1/tcp/1", "nonsense"):
            with pytest.raises(AddressMalformed):
                await keep_connected(a, new_book(), [bad], rng=random.Random(1))


@on_virtual_time
async def test_a_dial_that_never_ends_is_given_up_at_its_deadline() -> None:
    class HangingNetwork(CountingNetwork):
        async def connect(self, address: str) -> PeerId:
            self.dialled.append((trio.current_time(), address))
            await trio.sleep_forever()
            raise DialFailed(address, "unreachable")

    async with SimulatedFabric(1) as fabric, joined(fabric, ["a"]) as (a,):
        network = HangingNetwork(a)
        async with keeping_connected(network, new_book(), [address_of("b")]):
            await trio.sleep(30)
        gap_s = network.dialled[1][0] - network.dialled[0][0]
        assert DialPolicy().dial_timeout_s < gap_s < DialPolicy().dial_timeout_s + 3


# The exchange of addresses


class Reports:
    """Collects what is reported."""

    def __init__(self) -> None:
        self.faults: list[tuple[PeerId, Fault]] = []

    def __call__(self, peer: PeerId, fault: Fault) -> None:
        self.faults.append((peer, fault))


def canonical(message: PeersRequest | PeersReply) -> bytes:
    """As it goes over the wire."""
    return msgspec.msgpack.encode(message)


def clock() -> float:
    """Seconds for the book."""
    return trio.current_time()


async def ask_raw(network: SimulatedNetwork, peer: PeerId, data: bytes) -> PeersReply:
    """Ask without our own code between."""
    reply = await network.request(peer, PROTOCOL, data, max_reply_bytes=20_000, timeout_s=1)
    return msgspec.msgpack.decode(reply, type=PeersReply)


async def discover(network: SimulatedNetwork, bootstrap: str, target: int) -> None:
    """Both services of one node."""
    rng, book = random.Random(network.peer_id), new_book(network.peer_id)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: exchange_peers(network, book, Reports(), rng=rng))
        await keep_connected(network, book, [bootstrap], rng=rng, target_outbound=target)


@on_virtual_time
async def test_two_nodes_that_know_only_the_bootstrap_node_find_each_other() -> None:
    async with (
        SimulatedFabric(1) as fabric,
        joined(fabric, ["boot", "a", "c"]) as networks,
        trio.open_nursery() as nursery,
    ):
        for network in networks:
            nursery.start_soon(discover, network, address_of("boot"), 8)
        await trio.sleep(40)
        assert [len(network.peers()) for network in networks] == [2, 2, 2]
        nursery.cancel_scope.cancel()


def record_of(address: str, issued_s: int = 0, *, signer: str | None = None) -> PeerRecord:
    """Signed by whom the address names, or by another."""
    peer_id = signer or parse_address(address).peer_id or ""
    return PeerRecord(address, issued_s, sign_as(peer_id, signed_part(address, issued_s)))


def book_that_knows(*addresses: str, issued_s: int = 0) -> AddressBook:
    """All of them worked, and their nodes signed them."""
    book = new_book()
    for address in addresses:
        book.add(address, now_s=0)
        book.succeeded(address, now_s=0)
        book.keep_record(record_of(address, issued_s))
    return book


def test_a_request_and_its_reply_have_the_bytes_of_the_readme() -> None:
    signature = sign_as(
        "b", bytes.fromhex("6e657875732f706565722d7265636f72642f7631000000000065000000") + b"/memory/b/p2p/b"
    )
    record = PeerRecord("/memory/b/p2p/b", 0x65000000, signature)
    assert record == record_of("/memory/b/p2p/b", 0x65000000)
    written = b"\x93\xaf/memory/b/p2p/b\xce\x65\x00\x00\x00\xc4\x40" + signature
    assert canonical(PeersRequest(2, 32, ())) == bytes.fromhex("93022090")
    assert canonical(PeersReply(0x65000001, (record,))) == bytes.fromhex("92ce6500000191") + written


def test_the_largest_request_and_reply_are_within_their_limits() -> None:
    longest = PeerRecord("/" * 256, 2**53, bytes(64))
    assert len(canonical(PeersRequest(2, 32, (longest,) * 4))) <= MAX_REQUEST_BYTES
    assert len(canonical(PeersReply(2**53, (longest,) * 32))) <= MAX_REPLY_BYTES


@on_virtual_time
async def test_only_addresses_that_worked_are_told_and_never_more_than_asked_for() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        book = book_that_knows(*(address_of(f"p{number}") for number in range(50, 100)))
        for number in range(50):
            book.add(address_of(f"p{number}"), now_s=0)
            book.keep_record(record_of(address_of(f"p{number}")))
        await serve_peer_exchange(b, book, Reports(), rng=random.Random(1), clock=clock)
        for limit in (1, 5, MAX_RECORDS_IN_REPLY):
            reply = await ask_raw(a, "b", canonical(PeersRequest(2, limit, ())))
            assert len(reply.records) == limit
            told = [record.address for record in reply.records if record.address != address_of("b")]
            assert len(told) == limit - 1
            assert all(int(address.rsplit("/p", 1)[1]) >= 50 for address in told)


@on_virtual_time
async def test_N7_the_asker_becomes_known_at_its_own_host_unless_it_says_no() -> None:
    async with (
        SimulatedFabric(1) as fabric,
        fabric.join("b") as b,
        fabric.join("open", endpoint="/ip4/203.0.113.9/tcp/55555") as listening,
        fabric.join("liar", endpoint="/ip4/203.0.113.11/tcp/55555") as liar,
        fabric.join("shy", endpoint="/ip4/203.0.113.10/tcp/55555") as shy,
    ):
        book, reports = new_book(), Reports()
        await serve_peer_exchange(b, book, reports, rng=random.Random(1), clock=clock)
        for network, address in (
            (listening, "/ip4/203.0.113.9/tcp/4001/p2p/open"),
            (liar, "/ip4/198.51.100.1/tcp/4001/p2p/liar"),
            (shy, ""),
        ):
            await network.connect(address_of("b"))
            records = (record_of(address),) if address else ()
            await ask_raw(network, "b", canonical(PeersRequest(2, 5, records)))
        assert [entry.address for entry in book.known()] == ["/ip4/203.0.113.9/tcp/4001/p2p/open"]
        assert reports.faults == []


@pytest.mark.parametrize(
    ("asker", "told"),
    [
        ("/ip4/127.0.0.1/tcp/9", ["global", "loopback", "private"]),
        ("/ip4/10.0.0.9/tcp/9", ["global", "private"]),
        ("/ip4/198.51.100.9/tcp/9", ["global"]),
    ],
)
@on_virtual_time
async def test_loopback_and_private_addresses_stay_where_they_mean_something(
    asker: str, told: list[str]
) -> None:
    async with SimulatedFabric(1) as fabric, fabric.join("b") as b, fabric.join("a", endpoint=asker) as a:
        book = book_that_knows(
            "/ip4/127.0.0.1/tcp/1/p2p/loopback",
            "/ip4/192.168.0.1/tcp/1/p2p/private",
            "/ip4/203.0.113.1/tcp/1/p2p/global",
            "/dns4/example.org/tcp/1/p2p/name",
        )
        await serve_peer_exchange(b, book, Reports(), rng=random.Random(1), clock=clock)
        await a.connect(address_of("b"))
        reply = await ask_raw(a, "b", canonical(PeersRequest(2, 32, ())))
        assert sorted(record.address.rsplit("/", 1)[1] for record in reply.records) == told


@on_virtual_time
async def test_N7_the_answerer_speaks_for_itself_too_so_its_record_stays_fresh() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        await serve_peer_exchange(b, new_book(), Reports(), rng=random.Random(1), clock=clock)
        book = book_that_knows(address_of("b"))
        await trio.sleep(MAX_AGE_S)
        assert await ask_for_addresses(a, book, a.peers()[0], Reports(), now_s=clock()) == 0
        known = book.get(address_of("b"))
        assert known is not None and known.record is not None
        assert MAX_AGE_S <= known.record.issued_s <= clock()


async def answering(network: SimulatedNetwork, reply: bytes) -> None:
    """Make the network answer every request for addresses with these bytes."""

    async def answer(peer: PeerId, data: bytes) -> bytes:
        return reply

    await network.serve(PROTOCOL, answer, max_request_bytes=MAX_REQUEST_BYTES)


@on_virtual_time
async def test_N7_a_peer_on_the_internet_cannot_send_us_dialling_into_our_own_network() -> None:
    async with (
        SimulatedFabric(1) as fabric,
        fabric.join("a") as a,
        fabric.join("b", endpoint="/ip4/198.51.100.9/tcp/9") as b,
    ):
        addresses = (
            "/ip4/127.0.0.1/tcp/22/p2p/x",
            "/ip4/192.168.0.1/tcp/80/p2p/x",
            "/ip6/::ffff:10.0.0.1/tcp/80/p2p/x",
            "/dns4/internal.example.org/tcp/80/p2p/x",
            "/memory/x/p2p/x",
            "/ip4/203.0.113.1/tcp/80/p2p/a",
            "/ip4/203.0.113.1/tcp/80/p2p/good",
        )
        await answering(b, canonical(PeersReply(0, tuple(map(record_of, addresses)))))
        await a.connect("/ip4/198.51.100.9/tcp/9/p2p/b")
        book, reports = new_book(), Reports()
        assert await ask_for_addresses(a, book, a.peers()[0], reports, now_s=0) == 1
        assert [entry.peer_id for entry in book.known()] == ["good"]
        assert reports.faults == []


def written(*records: PeerRecord, answered_s: int = 0) -> bytes:
    """A reply."""
    return canonical(PeersReply(answered_s, records))


GOOD = record_of(address_of("x"))
LATE_S = 10 * MAX_AGE_S


@pytest.mark.parametrize(
    "forged",
    [
        record_of(address_of("x"), signer="b"),
        PeerRecord(GOOD.address, GOOD.issued_s + 1, GOOD.signature),
        PeerRecord(address_of("y"), GOOD.issued_s, GOOD.signature),
        PeerRecord("/memory/elsewhere/p2p/x", GOOD.issued_s, GOOD.signature),
        PeerRecord("/memory/nobody", 0, GOOD.signature),
        PeerRecord(GOOD.address, 0, sign_as("x", b"/memory/x/p2p/x")),
    ],
    ids=[
        "by another identity",
        "kept alive",
        "other id",
        "other endpoint",
        "no id",
        "without the domain tag",
    ],
)
@on_virtual_time
async def test_N7_a_forged_record_is_refused_with_its_whole_reply_and_costs_score(
    forged: PeerRecord,
) -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        await answering(b, written(record_of(address_of("good")), forged))
        book, reports = new_book(), Reports()
        assert await ask_for_addresses(a, book, a.peers()[0], reports, now_s=0) == 0
        assert len(book) == 0
        assert reports.faults == [("b", Fault.INVALID)]


@pytest.mark.parametrize(
    ("age_s", "believed"),
    [(0, True), (MAX_AGE_S, True), (MAX_AGE_S + 1, False), (-MAX_AHEAD_S, True), (-MAX_AHEAD_S - 1, False)],
)
@pytest.mark.parametrize("apart_s", [0, MAX_AHEAD_S, MAX_AHEAD_S + 1])
@on_virtual_time
async def test_N7_a_stale_record_is_refused_and_costs_score_unless_the_clocks_differ(
    apart_s: int, age_s: int, believed: bool
) -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        told = record_of(address_of("x"), LATE_S - age_s)
        await answering(b, written(told, record_of(address_of("y"), LATE_S), answered_s=LATE_S + apart_s))
        book, reports = new_book(), Reports()
        await ask_for_addresses(a, book, a.peers()[0], reports, now_s=LATE_S)
        assert [entry.peer_id for entry in book.known()] == (["x", "y"] if believed else ["y"])
        blamed = not believed and apart_s <= MAX_AHEAD_S
        assert reports.faults == ([("b", Fault.BAD_REPLY)] if blamed else [])


@on_virtual_time
async def test_N7_a_record_is_passed_on_for_twenty_hours_so_that_no_honest_peer_is_blamed() -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        known = book_that_knows(address_of("x"), issued_s=0)
        times = iter([TOLD_WITHIN_S, TOLD_WITHIN_S + 1])
        await serve_peer_exchange(b, known, Reports(), rng=random.Random(1), clock=lambda: next(times))
        told = [
            [record.address for record in (await ask_raw(a, "b", canonical(PeersRequest(2, 9, ())))).records]
            for _ in range(2)
        ]
        assert told == [[address_of("b"), address_of("x")], [address_of("b")]]
        assert TOLD_WITHIN_S + 2 * MAX_AHEAD_S < MAX_AGE_S


@on_virtual_time
async def test_N7_an_older_record_does_not_replace_a_newer_one() -> None:
    book = book_that_knows(address_of("x"), issued_s=50)
    book.keep_record(record_of(address_of("x"), 49))
    known = book.get(address_of("x"))
    assert known is not None and known.record == record_of(address_of("x"), 50)


@pytest.mark.parametrize(
    "record",
    [
        record_of(address_of("x")),
        record_of(address_of("a"), signer="x"),
        PeerRecord("nonsense", 0, GOOD.signature),
    ],
    ids=["of another peer", "forged", "no address"],
)
@on_virtual_time
async def test_N7_whoever_asks_in_anothers_name_is_refused_and_loses_score(record: PeerRecord) -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        book, reports = new_book(), Reports()
        await serve_peer_exchange(b, book, reports, rng=random.Random(1), clock=clock)
        with pytest.raises(RequestRefused, match="did not sign"):
            await ask_raw(a, "b", canonical(PeersRequest(2, 5, (record,))))
        assert len(book) == 0
        assert reports.faults == [("a", Fault.INVALID)]


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        b"\xc1",
        bytes.fromhex("9200" + "dc0000"),
        canonical(PeersReply(0, ())) + b"\0",
        canonical(PeersReply(0, (GOOD,) * 33)),
        canonical(PeersReply(0, (PeerRecord("/memory/" + "x" * 300, 0, GOOD.signature),))),
        canonical(PeersReply(0, (PeerRecord("nonsense", 0, GOOD.signature),))),
        canonical(PeersReply(0, (PeerRecord(GOOD.address, 0, bytes(63)),))),
        canonical(PeersReply(0, (PeerRecord(GOOD.address, -1, GOOD.signature),))),
        msgspec.msgpack.encode([0, [["/memory/x/p2p/x", 0, GOOD.signature, 1]]]),
        msgspec.msgpack.encode([["/memory/x/p2p/x"]]),
        b"\x92\x00" + b"\x91" * 10_000,
    ],
    ids=range(12),
)
@on_virtual_time
async def test_C6_a_malformed_reply_is_reported_and_teaches_us_nothing(reply: bytes) -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        await answering(b, reply)
        book, reports = new_book(), Reports()
        assert await ask_for_addresses(a, book, a.peers()[0], reports, now_s=0) == 0
        assert len(book) == 0
        assert reports.faults == [("b", Fault.MALFORMED)]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"",
        b"\x93\x02\x00\x90",
        b"\x93\x02\x21\x90",
        b"\x93\x01\x05\x00",
        b"\x93\x01\x05\x90",
        b"\x92\x02\x05",
        b"\x93\x02\xcc\x05\x90",
        canonical(PeersRequest(2, 5, (GOOD,) * 5)),
    ],
    ids=range(8),
)
@on_virtual_time
async def test_C6_a_malformed_request_is_refused_and_reported(request_bytes: bytes) -> None:
    async with SimulatedFabric(1) as fabric, in_a_line(fabric, ["a", "b"]) as (a, b):
        reports = Reports()
        await serve_peer_exchange(b, new_book(), reports, rng=random.Random(1), clock=clock)
        with pytest.raises(RequestRefused, match="malformed"):
            await a.request("b", PROTOCOL, request_bytes, max_reply_bytes=100, timeout_s=1)
        assert reports.faults == [("a", Fault.MALFORMED)]


@on_virtual_time
async def test_twenty_nodes_with_one_bootstrap_address_become_one_network() -> None:
    names = [f"n{number:02}" for number in range(20)]
    async with (
        SimulatedFabric(1) as fabric,
        joined(fabric, names) as networks,
        trio.open_nursery() as nursery,
    ):
        inboxes = [Inbox() for _ in names]
        for network, inbox in zip(networks, inboxes, strict=True):
            await network.subscribe(TOPIC, inbox.judge, max_bytes=100)
            nursery.start_soon(discover, network, address_of("n00"), 4)
        await trio.sleep(120)
        outbound = [
            [info for info in network.peers() if info.direction == "outbound"] for network in networks
        ]
        assert min(len(network.peers()) for network in networks) >= 4
        assert max(map(len, outbound)) <= 4
        fabric.crash("n00")
        await networks[1].publish(TOPIC, b"without the bootstrap node")
        await trio.sleep(5)
        assert [len(inbox.messages) for inbox in inboxes] == [0, 0] + [1] * 18
        nursery.cancel_scope.cancel()
