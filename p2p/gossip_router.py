"""GossipSub's mesh, with what a remote peer can make it do bounded.

libp2p's router keeps the mesh (graft, prune, heartbeat, IHAVE); replaced here is all that sends messages: the original
puts a signed peer record into every RPC (and verifies it at every receipt), keeps each message 1000 deep to detect
equivocation, writes replays past the queue into the stream (mixing frames) and holds 100 messages for each peer that
never subscribes.
"""

import time
from collections.abc import Collection

import trio
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2

PROTOCOLS = (TProtocol("/meshsub/1.2.0"), TProtocol("/meshsub/1.1.0"))
DEGREE, DEGREE_LOW, DEGREE_HIGH = 6, 4, 12
"""Mesh peers per topic: aimed at, too few, too many (the specification's D, and a D_low of 4)."""
IDONTWANT_BYTES = 16_384
"""From this size on we tell the mesh at receipt that we have a message."""
MAX_CONTROL_ENTRIES = 64
"""Of each kind of control entry in one RPC."""
MAX_CONTROL_IDS = 512
"""Message ids in one RPC, all entries together."""
MAX_BACKOFF_S = 600
IWANT_BYTES_PER_S = 1_048_576
IWANT_BURST_BYTES = 4_194_304
"""What one peer may fetch with IWANT, so that a small request cannot take much of our upload (reliability N5)."""


class Router(GossipSub):  # type: ignore[misc]
    """GossipSub 1.1 and 1.2, scoring and the library's "protections" off (they drop our own messages)."""

    def __init__(self, heartbeat_s: float) -> None:
        super().__init__(
            protocols=PROTOCOLS,
            degree=DEGREE,
            degree_low=DEGREE_LOW,
            degree_high=DEGREE_HIGH,
            heartbeat_interval=heartbeat_s,
            adaptive_gossip_enabled=False,
            spam_protection_enabled=False,
            eclipse_protection_enabled=False,
        )
        self.scorer = None
        self._iwant_credit: dict[ID, tuple[float, float]] = {}

    async def publish(self, msg_forwarder: ID, pubsub_msg: rpc_pb2.Message) -> None:
        """Send an accepted message, or our own, to the mesh, and to further subscribers while the mesh is below its
        degree: a peer that has subscribed and is not grafted yet would miss the message, as only peers outside the
        mesh are told of it at the next heartbeat, and by then it is in."""
        self.mcache.put(pubsub_msg)
        rpc = rpc_pb2.RPC(publish=[pubsub_msg])
        topic = pubsub_msg.topicIDs[0]
        message_id = pubsub_msg.from_id + pubsub_msg.seqno
        recipients = set(self._get_peers_to_send([topic], msg_forwarder, ID(pubsub_msg.from_id), message_id))
        known = self.mesh.get(topic) or self.fanout.get(topic) or set()
        others = self.pubsub.peer_topics.get(topic, set()) - known
        recipients.update(self.select_from_minus(DEGREE - len(known), others, ()))
        for peer_id in recipients - {msg_forwarder, ID(pubsub_msg.from_id)}:
            self.send_rpc(peer_id, rpc)
        self.time_since_last_publish[topic] = int(time.time())
        await trio.lowlevel.checkpoint()

    async def emit_control_message(self, control_msg: rpc_pb2.ControlMessage, to_peer: ID) -> None:
        """Through the peer's queue, before messages."""
        self.send_rpc(to_peer, rpc_pb2.RPC(control=control_msg), priority=True)
        await trio.lowlevel.checkpoint()

    async def send_recent_messages(self, peer_id: ID, topic: str) -> None:
        """What the last heartbeats carried, for a peer that has just subscribed. In one RPC (split where it is larger
        than 1 MiB), as one for each message would be more than its queue of 32 takes."""
        recent = [self.mcache.get(message_id) for message_id in self.mcache.window(topic)]
        if recent:
            self.send_rpc(
                peer_id, rpc_pb2.RPC(publish=[message for message in recent if message is not None])
            )
        await trio.lowlevel.checkpoint()

    async def flush_pending_messages(self, peer_id: ID) -> None:
        """Nothing is ever pending: `send_recent_messages` covers the same race."""
        await trio.lowlevel.checkpoint()

    async def handle_iwant(self, iwant_msg: rpc_pb2.ControlIWant, sender_peer_id: ID) -> None:
        """Serve from the message cache, within the peer's credit."""
        now = trio.current_time()
        credit, since = self._iwant_credit.get(sender_peer_id, (float(IWANT_BURST_BYTES), now))
        credit = min(IWANT_BURST_BYTES, credit + (now - since) * IWANT_BYTES_PER_S)
        wanted: list[rpc_pb2.Message] = []
        for message_id in dict.fromkeys(iwant_msg.messageIDs):
            message = self.mcache.get(message_id)
            if message is not None and credit > 0:
                credit -= message.ByteSize()
                wanted.append(message)
        self._iwant_credit[sender_peer_id] = (credit, now)
        if wanted:
            self.send_rpc(sender_peer_id, rpc_pb2.RPC(publish=wanted))
        await trio.lowlevel.checkpoint()

    async def announce_large(self, message: rpc_pb2.Message, sender: ID) -> None:
        """Tell the mesh, except `sender`, not to send us this message again."""
        if len(message.data) < IDONTWANT_BYTES:
            return
        peers = {peer_id for topic in message.topicIDs for peer_id in self.mesh.get(topic, ())}
        for peer_id in peers - {sender}:
            if self.supports_protocol_feature(peer_id, "idontwant"):
                await self.emit_idontwant([message.from_id + message.seqno], peer_id)

    def remove_peer(self, peer_id: ID) -> None:
        """The peer has gone."""
        super().remove_peer(peer_id)
        self._iwant_credit.pop(peer_id, None)


def bounded_control(control: rpc_pb2.ControlMessage, topics: Collection[str]) -> rpc_pb2.ControlMessage:
    """The part of `control` that concerns our topics, cut to the limits above and without peer exchange (which would
    have us dial whatever addresses a peer names). The router keeps state for every topic it is told."""
    kept = rpc_pb2.ControlMessage()
    ids_left = MAX_CONTROL_IDS
    for ihave in control.ihave[:MAX_CONTROL_ENTRIES]:
        if ihave.topicID in topics and ids_left > 0:
            kept.ihave.add(topicID=ihave.topicID, messageIDs=ihave.messageIDs[:ids_left])
            ids_left -= len(ihave.messageIDs)
    for name in ("iwant", "idontwant"):
        for entry in getattr(control, name)[:MAX_CONTROL_ENTRIES]:
            if ids_left > 0:
                getattr(kept, name).add(messageIDs=entry.messageIDs[:ids_left])
                ids_left -= len(entry.messageIDs)
    kept.graft.extend(graft for graft in control.graft[:MAX_CONTROL_ENTRIES] if graft.topicID in topics)
    for prune in control.prune[:MAX_CONTROL_ENTRIES]:
        if prune.topicID in topics:
            kept.prune.add(topicID=prune.topicID, backoff=min(prune.backoff, MAX_BACKOFF_S))
    return kept
