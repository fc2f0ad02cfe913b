"""A hostile key holder beside a real node that has no keys: it sees what the node sees and signs whatever it likes.

It builds with the node's own engine and speaks from the node's place in the network. Between faults it keeps the rules,
so its stake counts for finality; within one it acts as the fault says.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import trio
from network.fault_schedule import Fault, FaultKind
from network.hostile_blocks import HostileBlocks
from network.hostile_votes import HostileVotes, false_evidence
from network.node_life import SimulatedNode
from network.scenario import Report
from network.wire_watch import WatchedFabric

from consensus.params import period_at, slot_at, slot_start_ms
from consensus.voting import vote_slot
from ledger.keys import KeyPair
from ledger.transactions import SignedTransaction
from node.chain_writer import ChainWriterClosed
from node.daemon import NodeHandle
from node.services import Services


@dataclass(frozen=True, slots=True)
class Offence:
    """Something provable that other nodes could see."""

    validator: int
    kind: FaultKind
    slot: int


class HostileKeys:
    """The keys of one byzantine node. `run` is the service, once per life of the node."""

    def __init__(
        self,
        node: SimulatedNode,
        keys: Mapping[int, KeyPair],
        account: KeyPair,
        fabric: WatchedFabric,
        seed: int,
        report: Report,
    ) -> None:
        """`keys` by validator index; `account` is funded."""
        self.keys = dict(keys)
        self.account = account
        self.chance = random.Random(f"hostile/{seed}/{node.name}")
        self.offences: list[Offence] = []
        self._node = node
        self._fabric = fabric
        self._report = report
        self._strategies: dict[FaultKind, None] = {}
        self._held: list[tuple[int, Callable[[], None]]] = []
        """(slot, what to send then)"""

    @contextmanager
    def acting(self, fault: Fault) -> Iterator[None]:
        """From now on, until the block is left."""
        self._strategies[fault.kind] = None
        try:
            yield
        finally:
            self._strategies.pop(fault.kind, None)

    def stay_silent(self) -> None:
        """For the rest of the run: no block, no vote."""
        self._strategies = {FaultKind.SILENT_LANE: None, FaultKind.SILENT_VOTE: None}

    async def run(self, handle: NodeHandle) -> None:
        """Act in each slot until cancelled or the node ends."""
        services = handle.services
        blocks, votes = HostileBlocks(self, services), HostileVotes(self, services)
        last = slot_at(services.params, services.now_ms())
        try:
            while True:
                last = slot = await self._next_slot(handle, last)
                self._let_go(slot)
                accusation = await self._accusation(services, slot)
                for band, index in services.schedule.of_slot(slot).lanes_of(self.keys, slot):
                    await blocks.take_lane(slot, band, index, accusation)
                period = period_at(services.params, slot)
                if period > 0 and slot == vote_slot(services.params, period):
                    votes.take_period(period)
        except ChainWriterClosed:
            return

    async def _accusation(self, services: Services, slot: int) -> SignedTransaction | None:
        """Evidence that is none, given to the node's own mempool too, from which honest blocks would take it."""
        if FaultKind.FALSE_EVIDENCE not in self._strategies:
            return None
        made = await false_evidence(services, self.account, next(iter(self.keys.values())), slot)
        await services.submit_transactions([made.raw])
        return made

    # ---- what blocks and votes ask of their holder

    def strategy(self, acts: Sequence[FaultKind]) -> FaultKind | None:
        """One of those that are on; None: keep the rules."""
        on = [act for act in acts if act in self._strategies]
        return self.chance.choice(on) if on else None

    def note(self, kind: FaultKind) -> None:
        """It was done."""
        self._report.faults[kind] += 1
        self._fabric.note("byzantine", node=self._node.name, kind=kind.value)

    def prove(self, validator: int, kind: FaultKind, slot: int) -> None:
        """It was done for others to see and to prove."""
        self.note(kind)
        self.offences.append(Offence(validator, kind, slot))

    def hold_back(self, until_slot: int, send: Callable[[], None]) -> None:
        """Send it in a later slot."""
        self._held.append((until_slot, send))

    def tell(self, peers: Sequence[str], topic: str, data: bytes) -> None:
        """Gossip to these peers only."""
        self._fabric.whisper(self._node.name, peers, topic, data)

    def _let_go(self, slot: int) -> None:
        due = [one for one in self._held if one[0] <= slot]
        self._held = [one for one in self._held if one[0] > slot]
        for _, send in due:
            send()

    async def _next_slot(self, handle: NodeHandle, last: int) -> int:
        """Wait for a slot after `last`."""
        services = handle.services
        while True:
            now_ms = services.now_ms()
            slot = slot_at(services.params, now_ms)
            if slot > max(0, last):
                return slot
            wait_ms = slot_start_ms(services.params, slot + 1) - now_ms
            await trio.sleep(max(0.001, min(wait_ms, services.params.slot_ms) / 1000))
