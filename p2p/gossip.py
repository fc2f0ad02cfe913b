"""Gossip: signed messages on topics, read, checked, judged and forwarded.

libp2p's Pubsub keeps the subscriptions and writes to the peers; replaced here is everything between the bytes of a peer
and the mesh. In the original a message whose key does not decode ends the host, a raising validator ends the host, and
two peers that send the same message have it validated twice.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import trio
from google.protobuf.message import DecodeError
from libp2p.exceptions import BaseLibp2pError
from libp2p.network.stream.exceptions import StreamEOF, StreamError
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.pubsub.rpc_queue import OutBoundQueueSize, RpcQueue
from libp2p.utils.varint import encode_varint_prefixed

from p2p.buckets import Rate, TokenBucket
from p2p.errors import MessageTooLarge, ProtocolFault
from p2p.gossip_messages import MAX_RPC_BYTES, SeenMessages, check_signature, take_frame
from p2p.gossip_router import Router, bounded_control
from p2p.network import PeerId, Validator, Verdict
from p2p.switch import Switch, text_of
from p2p.tasks import GuardedTasks
from p2p.yamux_stream import YamuxStream

MAX_MESSAGE_BYTES = MAX_RPC_BYTES - 4_096
"""Largest `max_bytes` of a topic: the rest is for ids, key and signature."""
MAX_TOPIC_CHARACTERS = 256
MAX_SUBSCRIPTIONS_PER_RPC = 128
MAX_JUDGED_AT_ONCE = 16
"""Messages of one peer that wait for a validator or for room towards the mesh; above it we stop reading its stream."""
RPC_RATE = Rate(per_second=2_000, burst=4_000)
"""RPCs of one peer, each message in them counted too; above it we read its stream no faster."""
GREETING_RETRY_S, MAX_GREETING_RETRY_S = 0.5, 30.0
ROOM_WAIT_S = 1.0
"""How long a message waits at most for peers whose queues are nearly full, before it goes and they may lose it."""
NEARLY_FULL = OutBoundQueueSize * 3 // 4
SEQUENCE_NUMBER_BYTES = 8


@dataclass(frozen=True, slots=True)
class Topic:
    """What we do with the messages of a topic."""

    validator: Validator
    max_bytes: int


class Gossip(Pubsub):  # type: ignore[misc]
    """All gossip of one host. `first_sequence_number` must be above every one that this identity has used, as peers
    remember those. (libp2p starts from the time in seconds; a node with more than a message a second overtakes it.)"""

    seen_messages: Any

    def __init__(
        self,
        host: Any,
        switch: Switch,
        router: Router,
        tasks: GuardedTasks,
        *,
        validation_deadline_s: float,
        first_sequence_number: int,
        on_own_fault: Callable[[str, Exception], None],
    ) -> None:
        super().__init__(host, router, max_inbound_rpc_size=MAX_RPC_BYTES)
        self.seen_messages.stop()  # ends the library's thread
        self.seen_messages = SeenMessages()
        self.counter = first_sequence_number
        self.topics: dict[str, Topic] = {}
        self._manager = tasks
        self._switch = switch
        self._validation_deadline_s = validation_deadline_s
        self._on_own_fault = on_own_fault
        self._inbound: dict[ID, YamuxStream] = {}
        self._slots: dict[ID, trio.Semaphore] = {}
        self._room = trio.Event()
        self._slow: set[ID] = set()
        self._greeting: set[ID] = set()

    # Peers come and go

    def greet(self, peer_id: ID) -> None:
        """The peer has connected."""
        if peer_id not in self._greeting:
            self._greeting.add(peer_id)
            self.manager.run_task(self._open_gossip_stream, peer_id)

    async def _open_gossip_stream(self, peer_id: ID) -> None:
        """Open our stream to the peer and say what we subscribe to; again and again while it is connected, as a peer
        without a gossip stream would get nothing."""
        delay_s = GREETING_RETRY_S
        try:
            while peer_id not in self.peers and self._switch.is_connected(peer_id):
                try:
                    await self._handle_new_peer(peer_id)
                except BaseLibp2pError:
                    await trio.sleep(delay_s)
                    delay_s = min(2 * delay_s, MAX_GREETING_RETRY_S)
            stream = self.peers.get(peer_id)
            if stream is not None and stream.muxed_conn.is_closed:
                self.forget(peer_id)  # it went while we greeted
        finally:
            self._greeting.discard(peer_id)

    def forget(self, peer_id: ID) -> None:
        """The peer has gone."""
        self._clear_pending_announce_retries_for_peer(peer_id)
        self._forget_all_subscriptions(peer_id)
        self._slots.pop(peer_id, None)
        self._slow.discard(peer_id)
        if self.peers.pop(peer_id, None) is not None:
            self.peer_queues.pop(peer_id).close()
            self.router.remove_peer(peer_id)
        self._signal_room()

    def _stream_failed(self, stream: YamuxStream) -> None:
        """Our stream to a peer is dead. Without a fresh start neither side knows what the other subscribes to."""
        peer_id = stream.muxed_conn.peer_id
        if self.peers.get(peer_id) is stream:
            self.forget(peer_id)
            self._switch.drop(peer_id, "its gossip stream failed")

    def get_hello_packet(self) -> rpc_pb2.RPC:
        """All our subscriptions, without a signed peer record."""
        subscriptions = [rpc_pb2.RPC.SubOpts(subscribe=True, topicid=topic) for topic in self.topic_ids]
        return rpc_pb2.RPC(subscriptions=subscriptions)

    def _build_announce_rpc(self, topic_id: str, subscribe: bool) -> tuple[rpc_pb2.RPC, rpc_pb2.RPC.SubOpts]:
        entry = rpc_pb2.RPC.SubOpts(subscribe=subscribe, topicid=topic_id)
        return rpc_pb2.RPC(subscriptions=[entry]), entry

    # Sending

    async def take_part(self, name: str, topic: Topic) -> None:
        """Subscribe, or change the validator of a subscription. Errors: `ValueError` for an impossible limit."""
        if not 0 < topic.max_bytes <= MAX_MESSAGE_BYTES:
            raise ValueError(
                f"max_bytes of {topic.max_bytes} for {name}, possible are 1 to {MAX_MESSAGE_BYTES}"
            )
        self.topics[name] = topic
        await self.subscribe(name)

    async def publish_own(self, name: str, data: bytes) -> None:
        """Errors: `MessageTooLarge`."""
        topic = self.topics.get(name)
        limit = MAX_MESSAGE_BYTES if topic is None else topic.max_bytes
        if len(data) > limit:
            raise MessageTooLarge(name, len(data), limit)
        await self.publish(name, data)

    async def handle_sending_messages(self, peer_id: ID, stream: YamuxStream, queue: RpcQueue) -> None:
        """Write the queue of one peer to its stream; the only writer of that stream."""
        while (rpc := await queue.pop()) is not None and await self.write_msg(stream, rpc):
            if len(queue) <= NEARLY_FULL // 2:
                self._slow.discard(peer_id)
            self._signal_room()

    async def write_msg(self, stream: YamuxStream, rpc_msg: rpc_pb2.RPC) -> bool:
        """Whether the RPC is on its way."""
        try:
            await stream.write(encode_varint_prefixed(rpc_msg.SerializeToString()))
        except StreamError:
            self._stream_failed(stream)
            return False
        return True

    async def _wait_for_room(self, topic: str) -> None:
        """Wait while the queues of 32 of half the subscribers are nearly full, as then we send faster than we can: what
        comes on top of a full queue is lost silently. A slow minority is not waited for, and who used up the wait once
        not again before it has caught up: nobody can hold up the others by reading slowly."""
        with trio.move_on_after(ROOM_WAIT_S):
            while self._crowded(topic):
                await self._room.wait()
            return
        self._slow.update(self._crowded(topic))

    def _crowded(self, topic: str) -> list[ID]:
        in_time = [peer_id for peer_id in self.peer_topics.get(topic, ()) if peer_id not in self._slow]
        crowded = [peer_id for peer_id in in_time if len(self.peer_queues.get(peer_id, ())) >= NEARLY_FULL]
        return crowded if 2 * len(crowded) >= len(in_time) else []

    def _signal_room(self) -> None:
        self._room.set()
        self._room = trio.Event()

    # Receiving

    async def stream_handler(self, stream: YamuxStream) -> None:
        """Read one peer's gossip stream. Errors: `ProtocolFault`, `StreamError`; the switch's guard acts on them."""
        peer_id = stream.muxed_conn.peer_id
        earlier = self._inbound.pop(peer_id, None)
        if earlier is not None:
            earlier.reset_now()  # one stream per peer: a new one means that the other has failed
        self._inbound[peer_id] = stream
        slots = self._slots.setdefault(peer_id, trio.Semaphore(MAX_JUDGED_AT_ONCE))
        pace = TokenBucket(RPC_RATE, trio.current_time())
        received = bytearray()
        try:
            while True:
                frame = take_frame(received)
                if frame is None:
                    received += await stream.read()
                else:
                    cost = await self._take_rpc(peer_id, frame, slots)
                    pace.charge(cost, trio.current_time())
                    debt = -pace.level(trio.current_time())
                    await trio.sleep(max(0.0, debt / RPC_RATE.per_second))
        except StreamEOF:
            return
        finally:
            if self._inbound.get(peer_id) is stream:
                del self._inbound[peer_id]

    async def _take_rpc(self, peer_id: ID, frame: bytes, slots: trio.Semaphore) -> float:
        """What it costs of `RPC_RATE`."""
        try:
            rpc = rpc_pb2.RPC.FromString(frame)
        except DecodeError as error:
            raise ProtocolFault("malformed", f"gossip RPC of {len(frame)} bytes: {error}") from error
        if len(rpc.subscriptions) > MAX_SUBSCRIPTIONS_PER_RPC:
            raise ProtocolFault("oversized", f"{len(rpc.subscriptions)} subscriptions in one RPC")
        for subscription in rpc.subscriptions:
            if len(subscription.topicid) <= MAX_TOPIC_CHARACTERS:
                self.handle_subscription(peer_id, subscription)
        for message in rpc.publish:
            is_seen = self.seen_messages.has(message.from_id + message.seqno)
            if not is_seen and self._is_subscribed_to_msg(message):
                await slots.acquire()
                self.manager.run_task(self._take_message, peer_id, message, slots)
        if rpc.HasField("control"):
            control = bounded_control(rpc.control, self.topic_ids)
            await self.router.handle_rpc(rpc_pb2.RPC(control=control), peer_id)
        return 1.0 + len(rpc.publish)

    async def _take_message(self, peer_id: ID, message: rpc_pb2.Message, slots: trio.Semaphore) -> None:
        """The guard around one message: no exception gets past it."""
        try:
            await self.push_msg(peer_id, message)
        except ProtocolFault as fault:
            self._switch.punish(peer_id, fault)
        except Exception as error:  # noqa: BLE001 - the guard
            self._switch.punish(
                peer_id, ProtocolFault("transport", f"broke the reading of a message: {error!r}")
            )
        finally:
            slots.release()

    async def push_msg(self, msg_forwarder: ID, msg: rpc_pb2.Message) -> None:
        """Check, judge and forward a message of a peer, or send our own. Errors: `ProtocolFault`."""
        message_id = msg.from_id + msg.seqno
        if msg_forwarder != self.my_id:
            if self.seen_messages.has(message_id):
                return
            topic = self._topic_of(msg)
            check_signature(msg)
            # Marked before it is judged, so that copies from other peers are not judged as well; after the signature,
            # so that nobody can have a message of somebody else taken for seen.
            self.seen_messages.add(message_id)
            if msg.from_id == self.my_id.to_bytes():
                return
            await self.router.announce_large(msg, msg_forwarder)
            if (
                await self._judge(text_of(msg_forwarder), msg.topicIDs[0], topic, msg.data)
                is not Verdict.ACCEPT
            ):
                return
        else:
            self.seen_messages.add(message_id)
        await self._wait_for_room(msg.topicIDs[0])
        await self.router.publish(msg_forwarder, msg)

    def _topic_of(self, message: rpc_pb2.Message) -> Topic:
        if len(message.topicIDs) != 1 or len(message.seqno) != SEQUENCE_NUMBER_BYTES:
            raise ProtocolFault(
                "malformed",
                f"message with {len(message.topicIDs)} topics, sequence number {message.seqno.hex()}",
            )
        name = message.topicIDs[0]
        topic = self.topics[name]
        if len(message.data) > topic.max_bytes:
            raise ProtocolFault(
                "oversized", f"message of {len(message.data)} bytes on {name}, the limit is {topic.max_bytes}"
            )
        return topic

    async def _judge(self, peer: PeerId, name: str, topic: Topic, data: bytes) -> Verdict:
        """The validator's verdict; IGNORE when it raises or takes too long, which is our own fault."""
        with trio.move_on_after(self._validation_deadline_s):
            try:
                verdict = await topic.validator(peer, data)
            except Exception as error:  # noqa: BLE001 - foreign code at the boundary
                self._on_own_fault(f"validator of {name}", error)
                return Verdict.IGNORE
            return verdict
        self._on_own_fault(
            f"validator of {name}", TimeoutError(f"no verdict within {self._validation_deadline_s} s")
        )
        return Verdict.IGNORE
