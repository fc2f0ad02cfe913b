"""A hostile peer for tests: real TCP, Noise and (if wanted) Yamux below it, arbitrary bytes above."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio
from builders.hosts import TOPIC, seed
from libp2p.abc import ISecureConn
from libp2p.crypto.keys import KeyPair
from libp2p.custom_types import TProtocol
from libp2p.exceptions import BaseLibp2pError
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.validators import PUBSUB_SIGNING_PREFIX
from libp2p.utils.varint import encode_varint_prefixed

from p2p import transport
from p2p.addresses import parse_address
from p2p.gossip_router import PROTOCOLS
from p2p.identity import key_pair_from_seed, parse_peer_id, peer_id_of
from p2p.network import PeerId
from p2p.wire import Upgrader, agree_on, ask_for
from p2p.yamux import YamuxConnection
from p2p.yamux_stream import YamuxStream

GOSSIP = PROTOCOLS[0]


@dataclass(eq=False)
class Attacker:
    """A peer with an identity and an encrypted connection to its victim."""

    key_pair: KeyPair
    socket: transport.TcpStream
    secured: ISecureConn
    connection: YamuxConnection
    reads: bool = True
    """Whether it reads the streams that the victim opens."""

    @property
    def peer_id(self) -> PeerId:
        return peer_id_of(self.key_pair).to_base58()

    async def open(self, protocol: str) -> YamuxStream:
        """A stream with the protocol agreed on."""
        stream = self.connection.open_stream()
        await ask_for(stream, [TProtocol(protocol)])
        return stream

    async def gossip(self, *rpcs: rpc_pb2.RPC) -> YamuxStream:
        """A gossip stream on which these RPCs have been sent."""
        stream = await self.open(GOSSIP)
        for rpc in rpcs:
            await stream.write(encode_varint_prefixed(rpc.SerializeToString()))
        return stream

    async def serve(self, stream: YamuxStream) -> None:
        """Speak gossip with the victim, and say nothing."""
        try:
            await agree_on(stream, PROTOCOLS)
            while self.reads:
                await stream.read()
            await trio.sleep_forever()
        except BaseLibp2pError:
            pass

    def message(self, data: bytes, number: int, *, topic: str = TOPIC) -> rpc_pb2.Message:
        """A correctly signed message."""
        message = rpc_pb2.Message(
            from_id=peer_id_of(self.key_pair).to_bytes(),
            data=data,
            seqno=number.to_bytes(8),
            topicIDs=[topic],
        )
        message.signature = self.key_pair.private_key.sign(
            PUBSUB_SIGNING_PREFIX.encode() + message.SerializeToString()
        )
        return message


def grafting(topic: str = TOPIC) -> rpc_pb2.RPC:
    """Subscribes and asks into the mesh."""
    return rpc_pb2.RPC(
        subscriptions=[rpc_pb2.RPC.SubOpts(subscribe=True, topicid=topic)],
        control=rpc_pb2.ControlMessage(graft=[rpc_pb2.ControlGraft(topicID=topic)]),
    )


def endpoint(address: str) -> tuple[str, int]:
    """Host and port of a multiaddress."""
    parts = address.split("/")
    return parts[2], int(parts[4])


@asynccontextmanager
async def open_attacker(address: str, number: int = 666, *, runs: bool = True) -> AsyncIterator[Attacker]:
    """Connected and authenticated. With `runs=False` nothing reads or writes its Yamux: frozen, or for raw frames."""
    key_pair = key_pair_from_seed(seed(number))
    expected = parse_peer_id(parse_address(address).peer_id or "")
    socket = await transport.dial(*endpoint(address))
    secured, victim = await Upgrader(key_pair).upgrade(socket, expected)
    attacker: Attacker

    async def serve(stream: YamuxStream) -> None:
        await attacker.serve(stream)

    connection = YamuxConnection(
        secured, victim, endpoint=socket.endpoint, is_initiator=True, tick_s=1.0, misses=1_000, serve=serve
    )
    attacker = Attacker(key_pair, socket, secured, connection)
    async with trio.open_nursery() as nursery:
        if runs:
            nursery.start_soon(connection.run)
        try:
            yield attacker
        finally:
            connection.fail("the attack is over")
            await socket.close()
