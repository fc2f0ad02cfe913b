"""What goes over the wire, read along: every signed block and vote of an honest validator, and none may contradict.

The fabric here is the real simulated one; it shows each new gossiped message to `Statements`, and it can do what only a
hostile peer does: tell different peers different things.
"""

from collections.abc import Callable, Iterable, Mapping

from network.scenario import RuleBroken

from consensus.blocks import Header, block_preimage, core_id, core_of, decode_block, encode_core, header_id
from consensus.vote_errors import VoteSignatureInvalid
from consensus.vote_pool import offence_of
from consensus.votes import Vote, decode_vote, verify_vote_signature
from ledger.errors import CodecError, SignatureInvalid
from ledger.keys import verify
from node.flows.compact_blocks import bare_block
from node.flows.wire import CompactBlock, read_block_message
from p2p.network import PeerId
from p2p.simulated import SimulatedFabric, Trace
from p2p.simulated_links import LinkFaults
from p2p.simulated_network import SimulatedNetwork
from wnsp.spectrum import BANDS


class Statements:
    """Blocks and votes of honest validators, in order of appearance. A pair that proves an offence ends the run."""

    def __init__(self, keys: Mapping[int, bytes], home: Mapping[int, PeerId], chain: bytes) -> None:
        """`keys` are the honest validators' public keys by index, `home` the nodes that sign with them, `chain` the
        genesis hash."""
        self._keys = keys
        self._home = home
        self._chain = chain
        self._votes: dict[int, dict[int, Vote]] = {}
        self._blocks: dict[tuple[int, int], bytes] = {}
        self._last_slot: dict[int, int] = {}
        self._last_link: dict[int, tuple[int, int]] = {}
        self._messages: set[bytes] = set()
        self.count = 0
        self.broken: RuleBroken | None = None
        """The first contradiction. Kept, because whoever sends must not fall over it."""

    def read(self, source: PeerId, topic_data: bytes) -> None:
        """A gossiped message, as its sender gave it to the wire."""
        if topic_data in self._messages:
            return
        self._messages.add(topic_data)
        try:
            self._vote(source, decode_vote(topic_data))
            return
        except CodecError:
            pass
        try:
            message = read_block_message(topic_data)
            if isinstance(message, CompactBlock):
                header = bare_block(message).header
            else:
                header = decode_block(message).header
        except CodecError:
            return
        self._block(source, header)

    def _vote(self, source: PeerId, vote: Vote) -> None:
        key = self._keys.get(vote.validator)
        if key is None:
            return
        try:
            verify_vote_signature(vote, key, self._chain)
        except VoteSignatureInvalid:
            return
        self.count += 1
        known = self._votes.setdefault(vote.validator, {})
        for other in known.values():
            offence = offence_of(other, vote)
            if offence is not None:
                self._break(f"honest validator {vote.validator}: {offence.value}: {other} and {vote}")
        link = vote.source.period, vote.target.period
        last = self._last_link.get(vote.validator, (0, 0))
        if source == self._home[vote.validator] and (link[0] < last[0] or link[1] <= last[1]):
            self._break(f"honest validator {vote.validator} voted for {link} after {last}")
        self._last_link[vote.validator] = max(last, link)
        known[vote.target.period] = vote

    def _block(self, source: PeerId, header: Header) -> None:
        key = self._keys.get(header.proposer)
        if key is None or not self._is_signed(header, key):
            return
        self.count += 1
        place, block = (header.slot, header.band), header_id(header)
        if self._blocks.setdefault(place, block) != block:
            self._break(f"honest validator {header.proposer} proposed twice in slot {header.slot}")
        last = self._last_slot.get(header.proposer, 0)
        if source == self._home[header.proposer] and header.slot <= last:
            self._break(f"honest validator {header.proposer} signed slot {header.slot} after slot {last}")
        self._last_slot[header.proposer] = max(last, header.slot)

    def _is_signed(self, header: Header, key: bytes) -> bool:
        """Anybody can write an honest validator's index into a header."""
        core = encode_core(core_of(header))
        if header.band >= len(BANDS) or header.band_digest != BANDS[header.band].digest(core):
            return False
        try:
            verify(key, block_preimage(self._chain, core_id(core), header.band_digest), header.signature)
        except SignatureInvalid:
            return False
        return True

    def _break(self, what: str) -> None:
        self.broken = self.broken or RuleBroken(what)


class WatchedFabric(SimulatedFabric):
    """A `SimulatedFabric` that is read along."""

    def __init__(self, seed: int, *, faults: LinkFaults, trace: Trace, statements: Statements) -> None:
        super().__init__(seed, faults=faults, trace=trace)
        self._statements = statements

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
        """As below; gossip is shown before the wire does anything to it."""
        if kind == "gossip":
            self._statements.read(source, data)
        super().send(source, target, connection, kind, data, deliver, duplicable=duplicable)

    def whisper(self, source: PeerId, targets: Iterable[PeerId], topic: str, data: bytes) -> None:
        """Gossip that only some peers hear from `source`. What they tell each other is theirs."""
        network = self._networks.get(source)
        if network is None:
            return
        chosen = frozenset(targets)

        def deliver(receiver: SimulatedNetwork, arrived: bytes) -> None:
            receiver.receive(source, topic, arrived)

        for peer, connection in network.connections():
            if peer in chosen and self.subscribes(peer, topic):
                self.send(source, peer, connection.number, "gossip", data, deliver, duplicable=True)
