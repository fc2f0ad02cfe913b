"""One gossip message: how it is cut out of the stream, when it was seen, who signed it."""

from collections import OrderedDict

import trio
from libp2p.crypto.keys import KeyType
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.validators import PUBSUB_SIGNING_PREFIX

from p2p.errors import ProtocolFault

MAX_RPC_BYTES = 1_048_576
"""One frame on a gossip stream; other implementations take no more either."""
SEEN_TTL_S = 120.0
MAX_SEEN = 131_072


class SeenMessages:
    """Message ids of the last `SEEN_TTL_S`. libp2p's cache starts an OS thread that never ends and counts the time from
    the last look at an id."""

    def __init__(self) -> None:
        self._expiry: OrderedDict[bytes, float] = OrderedDict()

    def has(self, message_id: bytes) -> bool:
        """Whether it was added lately."""
        expiry = self._expiry.get(message_id)
        return expiry is not None and expiry > trio.current_time()

    def add(self, message_id: bytes) -> bool:
        """Whether it is new."""
        if self.has(message_id):
            return False
        now = trio.current_time()
        self._expiry.pop(message_id, None)
        self._expiry[message_id] = now + SEEN_TTL_S
        while len(self._expiry) > MAX_SEEN or next(iter(self._expiry.values())) <= now:
            self._expiry.popitem(last=False)
        return True


def take_frame(received: bytearray) -> bytes | None:
    """Cut the first frame (unsigned LEB128 length, bytes) off `received`; None while it is not all there. Errors:
    `ProtocolFault` as soon as the length is known to be too large."""
    length = 0
    for index in range(min(len(received), 4)):
        length |= (received[index] & 0x7F) << (7 * index)
        if received[index] < 0x80:
            if length > MAX_RPC_BYTES:
                raise ProtocolFault(
                    "oversized", f"gossip RPC of {length} bytes, the limit is {MAX_RPC_BYTES}"
                )
            end = index + 1 + length
            if len(received) < end:
                return None
            frame = bytes(received[index + 1 : end])
            del received[:end]
            return frame
    if len(received) >= 4:
        raise ProtocolFault("oversized", f"gossip RPC of 2^28 bytes or more, the limit is {MAX_RPC_BYTES}")
    return None


def check_signature(message: rpc_pb2.Message) -> None:
    """Ed25519 by the key inside the author's peer id. The `key` field is not needed then and is never decoded. Errors:
    `ProtocolFault`."""
    try:
        key = ID(message.from_id).extract_public_key()
    except Exception as error:
        raise ProtocolFault("malformed", f"author of a message: {error!r}") from error
    if key is None or key.get_type() is not KeyType.Ed25519:
        raise ProtocolFault("malformed", "the author's peer id holds no Ed25519 key")
    signed = rpc_pb2.Message(
        from_id=message.from_id, data=message.data, seqno=message.seqno, topicIDs=message.topicIDs
    )
    payload = PUBSUB_SIGNING_PREFIX.encode() + signed.SerializeToString()
    try:
        valid = key.verify(payload, message.signature)
    except Exception as error:
        raise ProtocolFault("invalid", f"signature of a message: {error!r}") from error
    if not valid:
        raise ProtocolFault("invalid", "signature of a message does not fit")
