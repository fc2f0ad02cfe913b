"""What stands in for libp2p's `BasicHost` where its library code wants a host."""

import logging
import os
from collections.abc import Sequence
from typing import Any

from libp2p.crypto.keys import KeyPair, PrivateKey, PublicKey
from libp2p.custom_types import TProtocol
from libp2p.host.ping import ID as PING_PROTOCOL
from libp2p.host.ping import handle_ping
from libp2p.identity.identify.identify import ID as IDENTIFY_PROTOCOL
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.peer.id import ID
from libp2p.utils.varint import encode_varint_prefixed
from multiaddr import Multiaddr

from p2p.switch import Switch
from p2p.yamux_stream import YamuxStream

AGENT = "nexusos"


class LibraryHost:
    """The part of libp2p's host that its Pubsub uses."""

    def __init__(self, key_pair: KeyPair, switch: Switch) -> None:
        self._key_pair = key_pair
        self._switch = switch
        self.endpoints: tuple[str, ...] = ()
        """How others reach us."""
        switch.handlers[TProtocol(PING_PROTOCOL)] = handle_ping
        switch.handlers[TProtocol(IDENTIFY_PROTOCOL)] = self._identify

    def get_id(self) -> ID:
        return self._switch.own_id

    def get_private_key(self) -> PrivateKey:
        return self._key_pair.private_key

    def get_public_key(self) -> PublicKey:
        return self._key_pair.public_key

    def get_network(self) -> "LibraryHost":
        return self

    def register_notifee(self, notifee: object) -> None:
        """Nobody is notified: the switch calls Gossip itself."""

    def set_stream_handler(self, protocol: TProtocol, handler: Any) -> None:
        self._switch.handlers[protocol] = handler

    async def new_stream(self, peer_id: ID, protocols: Sequence[TProtocol]) -> YamuxStream:
        return await self._switch.new_stream(peer_id, protocols)

    async def _identify(self, stream: YamuxStream) -> None:
        """What we are, for implementations that ask; ours does not."""
        answer = Identify(
            protocol_version="ipfs/0.1.0",
            agent_version=AGENT,
            public_key=self._key_pair.public_key.serialize(),
            listen_addrs=[Multiaddr(endpoint).to_bytes() for endpoint in self.endpoints],
            observed_addr=Multiaddr(stream.muxed_conn.endpoint).to_bytes(),
            protocols=sorted(self._switch.handlers),
        )
        await stream.write(encode_varint_prefixed(answer.SerializeToString()))
        await stream.close()


def silence_library_logs() -> None:
    """Only `node` logs. libp2p writes warnings about whatever peers send to stderr; what matters of it reaches the node
    as events. With LIBP2P_DEBUG in the environment libp2p's logging stays as its own setup left it. This, the levels of
    two named loggers, is all that we change process-wide."""
    if "LIBP2P_DEBUG" not in os.environ:
        logging.getLogger("libp2p").setLevel(logging.CRITICAL + 1)
    logging.getLogger("trio.serve_listeners").setLevel(logging.CRITICAL + 1)
