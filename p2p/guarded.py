"""`GuardedNetwork`: limits, scores and bans over any `Network`. The same code in simulation and on real sockets.

Down: what peers send passes a token bucket before our code sees it, and every fault lowers the sender's score; at the
ban the peer is closed and refused. Up: the `Network` interface again. Sideways: we keep our own sending within the
limits that our peers apply to us, so that no flood makes honest nodes ban each other (see the README).
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields

import trio

from p2p.addresses import ban_groups, parse_address
from p2p.buckets import BucketTable, Rate, TokenBucket, message_cost
from p2p.errors import PeerBanned, RequestRefused, RequestTimeout
from p2p.event_queue import EventQueue
from p2p.guard_limits import GuardLimits, GuardStats
from p2p.network import (
    Handler,
    Network,
    NetworkEvent,
    PeerConnected,
    PeerDisconnected,
    PeerId,
    PeerInfo,
    PeerMisbehaved,
    Validator,
    Verdict,
)
from p2p.peers import Ban, Fault, PeerBook

DISCONNECT_TIMEOUT_S = 5.0
RETRY_DISCONNECT_S = 1.0


class GuardedNetwork:
    """Keeps `p2p.network.Network`. Works while `run` runs; `open_guarded` does both."""

    def __init__(self, network: Network, peer_book: PeerBook, limits: GuardLimits | None = None) -> None:
        self._network = network
        self._book = peer_book
        self._limits = limits or GuardLimits()
        self._events = EventQueue()
        self._admitted: dict[PeerId, PeerInfo] = {}
        self._leaving: dict[PeerId, None] = {}
        self._expelled_for: dict[PeerId, str] = {}
        self._leaving_grew = trio.Event()
        self._banned = trio.Event()
        self._in_flight: dict[PeerId, int] = {}
        self._asking: dict[PeerId, tuple[trio.Semaphore, int]] = {}
        self._incoming: BucketTable[tuple[str, PeerId]] = BucketTable(self._limits.max_buckets)
        self._outgoing: BucketTable[tuple[str, PeerId]] = BucketTable(self._limits.max_buckets)
        self._counts = dict.fromkeys((counter.name for counter in fields(GuardStats)), 0)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """The service: takes the events of the network below and closes banned peers. Runs until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._take_events)
            nursery.start_soon(self._close_leaving)
            task_status.started()

    # Scores

    def report(self, peer: PeerId, fault: Fault) -> None:
        """Count a fault of `peer`; at the ban its connection closes, and those of its neighbourhood."""
        self._count("faults_of_peers")
        endpoints = self._endpoints(peer)
        if self._book.report(peer, fault, trio.current_time(), endpoints).newly_banned:
            self._note_ban(fault.value)

    def ban(self, peer: PeerId, reason: str, *, duration_s: float | None = None) -> None:
        """Ban at once (24 h if not said otherwise)."""
        endpoints = self._endpoints(peer)
        self._book.ban(peer, trio.current_time(), reason=reason, endpoints=endpoints, duration_s=duration_s)
        self._note_ban(reason)

    def pardon(self, subject: str) -> bool:
        """Lift the ban of a peer id or group; whether there was one."""
        return self._book.pardon(subject)

    def score(self, peer: PeerId) -> float:
        """0 is spotless, -100 banned."""
        return self._book.score(peer, trio.current_time())

    async def wait_for_ban(self) -> None:
        """Until the next peer is banned: whoever keeps bans over a restart saves them then."""
        await self._banned.wait()

    def bans(self) -> tuple[Ban, ...]:
        """Bans in force, sorted."""
        return self._book.bans(trio.current_time())

    @property
    def stats(self) -> GuardStats:
        """Counters as they are now."""
        return GuardStats(**self._counts)

    # The Network interface

    @property
    def peer_id(self) -> PeerId:
        """Our own identity."""
        return self._network.peer_id

    @property
    def listen_addresses(self) -> tuple[str, ...]:
        """As of the network below."""
        return self._network.listen_addresses

    def sign(self, data: bytes) -> bytes:
        """As of the network below."""
        return self._network.sign(data)

    def has_signed(self, peer: PeerId, data: bytes, signature: bytes) -> bool:
        """As of the network below."""
        return self._network.has_signed(peer, data, signature)

    def topics(self) -> tuple[str, ...]:
        """Topics subscribed to, sorted."""
        return self._network.topics()

    def peers(self) -> tuple[PeerInfo, ...]:
        """Connected peers that are not refused, sorted by id."""
        return tuple(
            info for info in self._network.peers() if not self._refuses(info.peer_id, info.addresses)
        )

    async def next_event(self) -> NetworkEvent:
        """The next event; waits for one. Connections that were refused give none, but their faults do. A ban shows as
        the reason of `PeerDisconnected`: "banned: " and the fault."""
        return await self._events.get()

    async def subscribe(self, topic: str, validator: Validator, *, max_bytes: int) -> None:
        """As below, with the bucket before `validator` and the score after it."""
        rate = self._limits.gossip.get(topic, self._limits.gossip_default)

        async def judge(peer: PeerId, data: bytes) -> Verdict:
            if self._refuses(peer):
                return self._judged(Verdict.IGNORE)
            now_s = trio.current_time()
            cost = message_cost(len(data), self._limits.bytes_per_token)
            if not self._incoming.bucket((topic, peer), rate, now_s).take(cost, now_s):
                self._count("gossip_over_limit")
                self.report(peer, Fault.GOSSIP_RATE)
                return Verdict.IGNORE
            verdict = await validator(peer, data)
            if verdict is Verdict.REJECT:
                self.report(peer, Fault.INVALID)
            elif verdict is Verdict.ACCEPT and not self._may_forward(topic, peer, cost):
                self._count("gossip_not_forwarded")
                verdict = Verdict.IGNORE
            return self._judged(verdict)

        await self._network.subscribe(topic, judge, max_bytes=max_bytes)

    async def publish(self, topic: str, data: bytes) -> None:
        """As below; waits while we have published more than the peers take. Goes before all forwarding."""
        cost = message_cost(len(data), self._limits.bytes_per_token)
        rate = self._sending_rate(topic)
        bucket = self._outgoing.bucket((topic, ""), rate, trio.current_time())
        reserve = -rate.burst * (1 - self._limits.send_share)
        await _take_when_possible(bucket, cost, floor=reserve)
        await self._network.publish(topic, data)

    async def serve(self, protocol: str, handler: Handler, *, max_request_bytes: int) -> None:
        """As below, with bucket and in-flight limit before `handler`. What is above them is refused, not queued."""
        rate = self._limits.requests.get(protocol, self._limits.request_default)

        async def answer(peer: PeerId, data: bytes) -> bytes:
            if self._refuses(peer):
                raise RequestRefused("this node has banned you")
            now_s = trio.current_time()
            bucket = self._incoming.bucket((protocol, peer), rate, now_s)
            if not bucket.take(1.0, now_s):
                self._count("requests_over_limit")
                self.report(peer, Fault.REQUEST_RATE)
                raise RequestRefused(
                    f"rate limit of {rate.per_second}/s, wait {bucket.wait_s(1.0, now_s):.1f} s"
                )
            self._enter(peer)
            try:
                reply = await handler(peer, data)
            finally:
                self._leave(peer)
            if len(reply) > self._limits.max_reply_bytes:
                self._count("faults_of_ours")
                raise RequestRefused(
                    f"the reply has {len(reply)} bytes, the limit is {self._limits.max_reply_bytes}; ask for less"
                )
            bucket.charge(self._reply_cost(len(reply)), trio.current_time())
            self._count("requests_answered")
            return reply

        await self._network.serve(protocol, answer, max_request_bytes=max_request_bytes)

    async def request(
        self, peer: PeerId, protocol: str, data: bytes, *, max_reply_bytes: int, timeout_s: float
    ) -> bytes:
        """As below; waits its turn within `timeout_s` so that the peer's limits hold."""
        rate = self._limits.requests.get(protocol, self._limits.request_default).scaled(
            self._limits.send_share
        )
        most = 1.0 + self._reply_cost(min(max_reply_bytes, self._limits.max_reply_bytes))
        with trio.move_on_after(timeout_s) as patience:
            async with self._turn(peer):
                bucket = self._outgoing.bucket((protocol, peer), rate, trio.current_time())
                await _take_when_possible(bucket, most)
                self._count("requests_sent")
                left_s = max(0.0, patience.deadline - trio.current_time())
                try:
                    reply = await self._network.request(
                        peer, protocol, data, max_reply_bytes=max_reply_bytes, timeout_s=left_s
                    )
                except RequestRefused:
                    bucket.charge(1.0 - most, trio.current_time())
                    raise
                bucket.charge(1.0 + self._reply_cost(len(reply)) - most, trio.current_time())
                return reply
        raise RequestTimeout(peer, protocol, timeout_s)

    @asynccontextmanager
    async def _turn(self, peer: PeerId) -> AsyncIterator[None]:
        """At most `max_in_flight` of our requests to one peer at once; kept only while somebody asks it."""
        semaphore, users = self._asking.get(peer, (trio.Semaphore(self._limits.max_in_flight), 0))
        self._asking[peer] = (semaphore, users + 1)
        try:
            async with semaphore:
                yield
        finally:
            users = self._asking[peer][1] - 1
            if users:
                self._asking[peer] = (semaphore, users)
            else:
                del self._asking[peer]

    async def connect(self, address: str) -> PeerId:
        """As below. Errors besides: `PeerBanned`, `AddressMalformed`."""
        parsed = parse_address(address)
        remaining_s = self._book.ban_remaining_s(parsed.peer_id, trio.current_time(), (parsed.endpoint,))
        if remaining_s > 0:
            raise PeerBanned(address, remaining_s)
        return await self._network.connect(address)

    async def disconnect(self, peer: PeerId) -> None:
        """As below."""
        await self._network.disconnect(peer)

    # Admission

    async def _take_events(self) -> None:
        while True:
            event = await self._network.next_event()
            match event:
                case PeerConnected(peer=info):
                    self._leaving.pop(info.peer_id, None)
                    refusal = self._refusal(info)
                    if refusal is not None:
                        self._count("peers_refused")
                        self._expel(info.peer_id, refusal)
                        continue
                    self._admitted[info.peer_id] = info
                case PeerDisconnected(peer_id=peer):
                    self._leaving.pop(peer, None)
                    if self._admitted.pop(peer, None) is None:
                        continue
                    event = PeerDisconnected(peer, self._expelled_for.pop(peer, event.reason))
                case PeerMisbehaved(peer_id=""):
                    self._count("faults_of_ours")
                case PeerMisbehaved(peer_id=peer, fault=text):
                    self.report(peer, fault_of(text))
            self._events.put(event)

    def _refusal(self, info: PeerInfo) -> str | None:
        """Why a new connection may not stay."""
        if self._book.is_banned(info.peer_id, trio.current_time(), info.addresses):
            return "banned"
        if info.direction == "outbound":
            return None
        inbound = [known for known in self._admitted.values() if known.direction == "inbound"]
        inbound = [known for known in inbound if known.peer_id != info.peer_id]
        if len(inbound) >= self._limits.max_inbound:
            return f"{len(inbound)} inbound peers, the limit is {self._limits.max_inbound}"
        for group in ban_groups(info.addresses):
            there = sum(1 for known in inbound if group in ban_groups(known.addresses))
            if there >= self._limits.max_inbound_per_group:
                return (
                    f"{there} inbound peers from {group}, the limit is {self._limits.max_inbound_per_group}"
                )
        return None

    def _note_ban(self, reason: str) -> None:
        self._count("bans")
        self._banned.set()
        self._banned = trio.Event()
        self._expel_banned(reason)

    def _expel_banned(self, reason: str) -> None:
        now_s = trio.current_time()
        for info in self._network.peers():
            if self._book.is_banned(info.peer_id, now_s, info.addresses):
                self._expel(info.peer_id, f"banned: {reason}")

    def _expel(self, peer: PeerId, reason: str) -> None:
        self._leaving[peer] = None
        if peer in self._admitted:
            self._expelled_for[peer] = reason
        self._leaving_grew.set()

    async def _close_leaving(self) -> None:
        """Until an expelled peer has gone it is refused everything; a close that hangs is tried again."""
        while True:
            await self._leaving_grew.wait()
            self._leaving_grew = trio.Event()
            for peer in sorted(self._leaving):
                if peer in self._leaving:
                    with trio.move_on_after(DISCONNECT_TIMEOUT_S):
                        await self._network.disconnect(peer)
            connected = {info.peer_id for info in self._network.peers()}
            for peer in sorted(self._leaving):
                if peer not in connected:
                    del self._leaving[peer]
            if self._leaving:
                self._leaving_grew.set()
                await trio.sleep(RETRY_DISCONNECT_S)

    def _refuses(self, peer: PeerId, endpoints: tuple[str, ...] = ()) -> bool:
        if peer in self._leaving:
            return True
        return self._book.is_banned(peer, trio.current_time(), endpoints or self._endpoints(peer))

    def _endpoints(self, peer: PeerId) -> tuple[str, ...]:
        info = self._admitted.get(peer)
        if info is not None:
            return info.addresses
        return next((known.addresses for known in self._network.peers() if known.peer_id == peer), ())

    # Accounts

    def _enter(self, peer: PeerId) -> None:
        mine, total = self._in_flight.get(peer, 0), sum(self._in_flight.values())
        if mine >= self._limits.max_in_flight or total >= self._limits.max_in_flight_total:
            self._count("requests_over_limit")
            raise RequestRefused(
                f"{mine} requests of yours are in flight, the limit is {self._limits.max_in_flight} "
                f"({total} of all peers, the limit is {self._limits.max_in_flight_total})"
            )
        self._in_flight[peer] = mine + 1

    def _leave(self, peer: PeerId) -> None:
        self._in_flight[peer] -= 1
        if self._in_flight[peer] == 0:
            del self._in_flight[peer]

    def _sending_rate(self, topic: str) -> Rate:
        return self._limits.gossip.get(topic, self._limits.gossip_default).scaled(self._limits.send_share)

    def _may_forward(self, topic: str, peer: PeerId, cost: float) -> bool:
        """All forwarding shares one bucket. Its lower half is for what each peer is guaranteed, and of that the lower
        half for the peers that we chose ourselves: so a flood below our limits cannot take the place of what they
        send."""
        now_s, rate = trio.current_time(), self._sending_rate(topic)
        info = self._admitted.get(peer)
        if info is not None and info.direction == "outbound":
            guaranteed = rate.scaled(0.25 / self._limits.outbound_peers)
            key, floor = f"outbound {peer}", 0.0
        else:
            guaranteed = rate.scaled(0.25 / self._limits.max_inbound)
            key, floor = peer, rate.burst / 4
        own = self._outgoing.bucket((topic, key), guaranteed, now_s)
        within = own.take(cost, now_s)
        everybody = self._outgoing.bucket((topic, ""), rate, now_s)
        if everybody.take(cost, now_s, floor=floor if within else rate.burst / 2):
            return True
        if within:
            own.charge(-cost, now_s)
        return False

    def _reply_cost(self, size: int) -> float:
        return size / self._limits.bytes_per_token

    def _judged(self, verdict: Verdict) -> Verdict:
        match verdict:
            case Verdict.ACCEPT:
                self._count("gossip_accepted")
            case Verdict.IGNORE:
                self._count("gossip_ignored")
            case Verdict.REJECT:
                self._count("gossip_rejected")
        return verdict

    def _count(self, counter: str) -> None:
        self._counts[counter] += 1


async def _take_when_possible(bucket: TokenBucket, cost: float, *, floor: float = 0.0) -> None:
    while True:
        if bucket.take(cost, trio.current_time(), floor=floor):
            return
        await trio.sleep(bucket.wait_s(cost, trio.current_time(), floor=floor))


def fault_of(text: str) -> Fault:
    """The fault that a `PeerMisbehaved` names: the value of a `Fault`, anything else is `Fault.TRANSPORT`."""
    try:
        return Fault(text)
    except ValueError:
        return Fault.TRANSPORT


@asynccontextmanager
async def open_guarded(
    network: Network, peer_book: PeerBook, limits: GuardLimits | None = None
) -> AsyncIterator[GuardedNetwork]:
    """A guarded network whose service runs inside the block. Nothing else may read `network.next_event()`."""
    guarded = GuardedNetwork(network, peer_book, limits)
    async with trio.open_nursery() as nursery:
        await nursery.start(guarded.run)
        yield guarded
        nursery.cancel_scope.cancel()
