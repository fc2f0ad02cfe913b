"""A whole network in one process: `SimulatedFabric` is the wire, each `SimulatedNetwork` on it an endpoint.

For deterministic simulation under trio's `MockClock(autojump_threshold=0)`: time is `trio.current_time()`, chance comes
from the seed, every loop runs in sorted order. What the wire can do to a message is in `simulated_links`.

Differences from sockets, on purpose: a connection comes up on both sides at one instant (no half-open handshakes); a
peer's subscriptions are known at once; messages of one connection may overtake each other; gossip is a flood.
"""

from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType

import trio

from p2p.addresses import parse_address
from p2p.errors import AddressMalformed, DialFailed
from p2p.network import PeerId
from p2p.simulated_links import LinkFaults, Links
from p2p.simulated_network import MAX_OWN_FAULTS, Connection, SimulatedNetwork
from p2p.simulated_schedule import Schedule

Trace = Callable[[str, Mapping[str, object]], None]
"""Called with a short name and the facts (text and numbers only) of each thing that happens on the wire."""

MAX_IN_FLIGHT_PER_LINK = 4_096
"""Messages on one directed link; more are lost, as from a full socket buffer."""
DIAL_TIMEOUT_S = 5.0
"""A dial that gets no answer; the handshake deadline of reliability N4."""
NOTICE_RETRY_S = 1.0
"""How often the end of a connection is told again over a cut link (a FIN that is sent again)."""


class SimulatedFabric:
    """The wire between simulated endpoints: `async with SimulatedFabric(seed) as fabric:`."""

    def __init__(self, seed: int, *, faults: LinkFaults | None = None, trace: Trace | None = None) -> None:
        self._links = Links(seed, faults or LinkFaults())
        self._schedule = Schedule()
        self._networks: dict[PeerId, SimulatedNetwork] = {}
        self._endpoints: dict[str, PeerId] = {}
        self._in_flight: dict[tuple[PeerId, PeerId], int] = {}
        self._trace = trace
        self._cut_epoch = 0
        self._numbers = 0
        self._nursery: trio.Nursery | None = None
        self._opened: AbstractAsyncContextManager[None] | None = None
        self.own_faults: deque[Exception] = deque(maxlen=MAX_OWN_FAULTS)
        """Exceptions that validators and handlers raised, with tracebacks. A test that expects none asserts so."""

    async def __aenter__(self) -> "SimulatedFabric":
        self._opened = self._running()
        await self._opened.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trail: TracebackType | None
    ) -> bool | None:
        assert self._opened is not None
        return await self._opened.__aexit__(kind, error, trail)

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[None]:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._schedule.run)
            yield
            nursery.cancel_scope.cancel()

    # Endpoints

    @asynccontextmanager
    async def join(self, peer_id: PeerId, *, endpoint: str | None = None) -> AsyncIterator[SimulatedNetwork]:
        """A running endpoint; leaving the block closes it. A crashed peer id may join again.

        `endpoint` is the multiaddress without /p2p/ that others dial, "/memory/<peer id>" if not given. Give an
        "/ip4/…" one to try the address rules. Errors: `ValueError` when peer id or endpoint is in use,
        `AddressMalformed`.
        """
        endpoint = endpoint or f"/memory/{peer_id}"
        parse_address(f"{endpoint}/p2p/{peer_id}")
        if peer_id in self._networks or endpoint in self._endpoints:
            raise ValueError(f"{peer_id} at {endpoint} is on the wire already")
        if self._nursery is None:
            raise RuntimeError("the fabric is not running: async with SimulatedFabric(seed) as fabric")
        network = SimulatedNetwork(self, peer_id, endpoint)
        self._networks[peer_id] = network
        self._endpoints[endpoint] = peer_id
        self.note("joined", peer=peer_id)
        try:
            await self._nursery.start(network.run_tasks)
            yield network
        finally:
            self._remove(network, "closed by the peer")
            network.close(crashed=False)

    def crash(self, peer_id: PeerId) -> None:
        """The peer's process dies: its deliveries and handlers are cancelled, nothing in flight reaches it, the others
        see `PeerDisconnected`. Calls on its network block for ever, as a dead process does; cancel its tasks.
        Errors: `KeyError` when it isn't there."""
        network = self._networks[peer_id]
        self.note("crashed", peer=peer_id)
        self._remove(network, "connection reset")
        network.close(crashed=True)

    def _remove(self, network: SimulatedNetwork, reason: str) -> None:
        if self._networks.get(network.peer_id) is not network:
            return
        del self._networks[network.peer_id]
        del self._endpoints[network.endpoint]
        for other, connection in network.connections():
            self.tell_closed(other, network.peer_id, connection.number, reason)

    def running(self) -> tuple[PeerId, ...]:
        """Peers on the wire, sorted."""
        return tuple(sorted(self._networks))

    # Faults

    def set_faults(
        self, faults: LinkFaults, *, source: PeerId | None = None, target: PeerId | None = None
    ) -> None:
        """From now on, for the link source -> target, or (without both) for all links, forgetting special ones."""
        self._links.set_faults(faults, source, target)
        self.note("faults", source=source or "*", target=target or "*", faults=repr(faults))

    def partition(self, groups: Sequence[Sequence[PeerId]], *, sever_after_s: float | None = None) -> None:
        """Only peers with a group in common reach each other. A peer in several groups is a bridge; peers in none form
        one more group. Messages are lost when the link is cut at sending or at arrival. Connections outlive it, as TCP
        does, unless it lasts `sever_after_s`: then they drop on both sides, as health checks make them."""
        self._links.partition(groups)
        self._note_cut(sever_after_s, groups=repr([list(group) for group in groups]))

    def cut(self, source: PeerId, target: PeerId, *, sever_after_s: float | None = None) -> None:
        """One way: nothing passes from source to target any more."""
        self._links.cut(source, target)
        self._note_cut(sever_after_s, source=source, target=target)

    def heal(self) -> None:
        """Ends all partitions and cuts; link faults stay (`set_faults(LinkFaults())` ends those)."""
        self._cut_epoch += 1
        self._links.heal()
        self.note("healed")

    def _note_cut(self, sever_after_s: float | None, **facts: object) -> None:
        self._cut_epoch += 1
        epoch = self._cut_epoch
        self.note("cut", **facts)
        if sever_after_s is not None:
            self._schedule.after(sever_after_s, lambda: self._sever(epoch, sever_after_s))

    def _sever(self, epoch: int, after_s: float) -> None:
        if epoch != self._cut_epoch:
            return
        for peer_id in self.running():
            for other, connection in self._networks[peer_id].connections():
                if not self._is_open_both_ways(peer_id, other):
                    self._networks[peer_id].drop(other, connection.number, f"no answer for {after_s} s")

    # What endpoints use

    def is_open(self, source: PeerId, target: PeerId) -> bool:
        """Whether the link carries anything now."""
        return self._links.is_open(source, target)

    def note(self, event: str, **facts: object) -> None:
        """One line of the trace; time is added."""
        if self._trace is not None:
            self._trace(event, {"at_s": trio.current_time(), **facts})

    def next_number(self) -> int:
        """Numbers for connections and requests; never used twice."""
        self._numbers += 1
        return self._numbers

    def subscribes(self, peer_id: PeerId, topic: str) -> bool:
        """Whether the peer takes part in the topic now."""
        network = self._networks.get(peer_id)
        return network is not None and topic in network.topics()

    def send(
        self,
        source: PeerId,
        target: PeerId,
        connection: int,
        kind: str,
        data: bytes,
        deliver: Callable[[SimulatedNetwork, bytes], None],
        *,
        duplicable: bool = False,
    ) -> None:
        """Put a message on the wire. `deliver` is called with the target for each copy that arrives while the target
        still holds that connection. Never waits."""
        link = (source, target)
        if not self.is_open(source, target):
            self.note("lost", kind=kind, source=source, target=target, why="cut at sending")
            return
        if self._in_flight.get(link, 0) >= MAX_IN_FLIGHT_PER_LINK:
            self.note("lost", kind=kind, source=source, target=target, why="link full")
            return
        arrivals = self._links.fate(source, target, data, duplicable=duplicable)
        if not arrivals:
            self.note("lost", kind=kind, source=source, target=target, why="loss")
        for arrival in arrivals:
            self._in_flight[link] = self._in_flight.get(link, 0) + 1
            self._schedule.after(
                arrival.delay_s,
                lambda arrived=arrival.data: self._arrive(link, connection, kind, arrived, deliver),  # type: ignore[misc]
            )

    def _arrive(
        self,
        link: tuple[PeerId, PeerId],
        connection: int,
        kind: str,
        data: bytes,
        deliver: Callable[[SimulatedNetwork, bytes], None],
    ) -> None:
        self._in_flight[link] -= 1
        source, target = link
        network = self._networks.get(target)
        if network is None or not network.holds(source, connection):
            self.note("lost", kind=kind, source=source, target=target, why="no such connection")
        elif not self.is_open(source, target):
            self.note("lost", kind=kind, source=source, target=target, why="cut at arrival")
        else:
            deliver(network, data)

    def tell_closed(self, observer: PeerId, peer: PeerId, connection: int, reason: str) -> None:
        """Let the observer know, a link delay later, that its connection to `peer` has ended; again until it passes."""

        def tell() -> None:
            network = self._networks.get(observer)
            if network is None or not network.holds(peer, connection):
                return
            if self.is_open(peer, observer):
                network.drop(peer, connection, reason)
            else:
                self._schedule.after(NOTICE_RETRY_S, tell)

        self._schedule.after(self._links.delay_s(peer, observer), tell)

    async def dial(self, dialler: SimulatedNetwork, address: str) -> PeerId:
        """Connect both sides after one round trip. Errors: `DialFailed`, `AddressMalformed`."""
        parsed = parse_address(address)
        if parsed.peer_id is None:
            raise AddressMalformed(address)
        source = dialler.peer_id
        if parsed.peer_id == source or parsed.endpoint == dialler.endpoint:
            raise DialFailed(address, "that is this node itself")
        if dialler.holds(parsed.peer_id):
            return parsed.peer_id
        far = self._endpoints.get(parsed.endpoint)
        if far is None:
            await trio.sleep(self._links.delay_s(source, source))
            await dialler.alive()
            raise DialFailed(address, "connection refused")
        there = self._links.fate(source, far, b"", duplicable=False)
        back = self._links.fate(far, source, b"", duplicable=False)
        lost = not (there and back and self._is_open_both_ways(source, far))
        await trio.sleep(DIAL_TIMEOUT_S if lost else there[0].delay_s + back[0].delay_s)
        await dialler.alive()
        target = self._networks.get(far)
        if lost or not self._is_open_both_ways(source, far):
            raise DialFailed(address, f"no answer within {DIAL_TIMEOUT_S} s")
        if target is None:
            raise DialFailed(address, "connection refused")
        if target.peer_id != parsed.peer_id:
            raise DialFailed(address, f"expected peer {parsed.peer_id}, found {target.peer_id}")
        self._connect(dialler, target)
        return target.peer_id

    def _is_open_both_ways(self, one: PeerId, other: PeerId) -> bool:
        return self.is_open(one, other) and self.is_open(other, one)

    def _connect(self, dialler: SimulatedNetwork, target: SimulatedNetwork) -> None:
        """One connection per pair. A side that still holds an ended one sees it drop first."""
        old = dialler.connection_to(target.peer_id)
        if old is not None and target.holds(dialler.peer_id, old.number):
            return
        number = self.next_number()
        self.note("connected", source=dialler.peer_id, target=target.peer_id, connection=number)
        dialler.add(target.peer_id, Connection(number, target.endpoint, "outbound"))
        target.add(dialler.peer_id, Connection(number, dialler.endpoint, "inbound"))
