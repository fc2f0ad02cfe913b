"""Makes the faults of a schedule happen, and ends them."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product

import trio
from faults.faulty_store import Crash
from network.byzantine import HostileKeys
from network.fault_schedule import BYZANTINE, CRASHES, Fault, FaultKind
from network.node_life import DATABASE, SimulatedNode
from network.scenario import Report, Scenario

from node.layout import SIGNER_DIRECTORY
from p2p.simulated import SimulatedFabric
from p2p.simulated_links import LinkFaults

SEVERED_AFTER_S = 6.0
"""A cut that lasts as long as this drops connections too."""

CRASH_OF = {
    FaultKind.CRASH_KEPT: Crash.KEEP_ALL,
    FaultKind.CRASH_DROPPED: Crash.DROP_UNSYNCED,
    FaultKind.CRASH_TORN: Crash.TORN_TAIL,
}

Restart = Callable[[SimulatedNode, float], None]
"""Brings a node back so many seconds after its end."""


class Cuts:
    """Which links are cut: the union of what every fault that lasts has cut."""

    def __init__(self, fabric: SimulatedFabric) -> None:
        self._fabric = fabric
        self._cut: dict[object, tuple[tuple[str, str], ...]] = {}

    def begin(self, owner: object, links: Iterable[tuple[str, str]]) -> None:
        """`owner` cuts these directed links, and nothing else any more."""
        self._cut[owner] = tuple(links)
        self._apply()

    def end(self, owner: object) -> None:
        """`owner` cuts nothing any more."""
        if self._cut.pop(owner, None) is not None:
            self._apply()

    def _apply(self) -> None:
        links = sorted({link for cut in self._cut.values() for link in cut})
        self._fabric.heal()
        for source, target in links:
            self._fabric.cut(source, target, sever_after_s=SEVERED_AFTER_S)


class Trouble:
    """One per run."""

    def __init__(
        self,
        scenario: Scenario,
        fabric: SimulatedFabric,
        nodes: Sequence[SimulatedNode],
        hostile: Mapping[int, HostileKeys],
        restart: Restart,
        report: Report,
    ) -> None:
        """`hostile` has the keys of the byzantine nodes, by the node's number."""
        self._scenario = scenario
        self._fabric = fabric
        self._nodes = nodes
        self._hostile = hostile
        self._restart = restart
        self._report = report
        self._cuts = Cuts(fabric)

    async def run(self, faults: Sequence[Fault]) -> None:
        """All of them; cancelled, it ends those that last. Crashed nodes come back by themselves."""
        async with trio.open_nursery() as nursery:
            for fault in faults:
                nursery.start_soon(self._happen, fault)

    async def _happen(self, fault: Fault) -> None:
        await trio.sleep_until(fault.at_s)
        kind = fault.kind
        self._fabric.note("fault", number=fault.number, kind=kind.value)
        if kind in CRASHES:
            self._crash(fault)
        elif kind is FaultKind.BLACKOUT:
            self._blackout(fault)
        elif kind in (FaultKind.FULL_DISK, FaultKind.FULL_SIGNER_DISK):
            self._fill_disk(fault)
        elif kind is FaultKind.CORRUPTION:
            with self._garbling(fault):
                await trio.sleep(fault.lasts_s)
        elif kind in BYZANTINE:
            with self._hostile[fault.nodes[0]].acting(fault):
                await trio.sleep(fault.lasts_s)
        elif kind is FaultKind.SLOW_DISK:
            with self._slow_disk(fault):
                await trio.sleep(fault.lasts_s)
        elif kind is FaultKind.CLOCK_STEP:
            with self._stepped_clock(fault):
                await trio.sleep(fault.lasts_s)
        elif kind is FaultKind.STORM:
            with self._storm(fault):
                await trio.sleep(fault.lasts_s)
        else:
            try:
                await self._cut(fault)
            finally:
                self._cuts.end(fault.number)

    # ---- crashes and disks

    def _may_fail(self, node: SimulatedNode) -> bool:
        """It runs, and so does at least half of the network without it."""
        others = sum(one.runs for one in self._nodes if one is not node)
        return node.runs and 2 * others >= len(self._nodes)

    def _crash(self, fault: Fault) -> None:
        node = self._nodes[fault.nodes[0]]
        if self._may_fail(node):
            self._count(fault.kind)
            self._fabric.note("crash", node=node.name, kind=fault.kind.value)
            node.crash(CRASH_OF[fault.kind])
            self._restart(node, fault.lasts_s)

    def _blackout(self, fault: Fault) -> None:
        for node in self._nodes:
            if node.handle is not None:
                self._count(FaultKind.CRASH_DROPPED)
                self._fabric.note("crash", node=node.name, kind=fault.kind.value)
                # A node that a full disk is about to end has its restart already.
                pending = node.may_end
                node.crash(Crash.DROP_UNSYNCED)
                if not pending:
                    self._restart(node, fault.lasts_s)

    def _fill_disk(self, fault: Fault) -> None:
        node = self._nodes[fault.nodes[0]]
        if self._may_fail(node):
            self._count(fault.kind)
            node.may_end = True
            disk = DATABASE if fault.kind is FaultKind.FULL_DISK else SIGNER_DIRECTORY
            node.disks[disk].fail_write(fault.amount)
            self._restart(node, fault.lasts_s)

    @contextmanager
    def _slow_disk(self, fault: Fault) -> Iterator[None]:
        node = self._nodes[fault.nodes[0]]
        self._count(fault.kind)
        node.disk_delay_s += fault.amount / 1000
        try:
            yield
        finally:
            node.disk_delay_s = max(0.0, node.disk_delay_s - fault.amount / 1000)

    # ---- clocks

    @contextmanager
    def _stepped_clock(self, fault: Fault) -> Iterator[None]:
        node = self._nodes[fault.nodes[0]]
        self._count(fault.kind)
        node.offset_ms += fault.amount
        try:
            yield
        finally:
            node.offset_ms -= fault.amount

    # ---- the wire

    @contextmanager
    def _storm(self, fault: Fault) -> Iterator[None]:
        self._count(fault.kind)
        self._fabric.set_faults(
            LinkFaults(
                loss=fault.amount / 100,
                delay_min_ms=5,
                delay_max_ms=0.9 * self._scenario.slot_ms,
                duplication=0.3,
            )
        )
        try:
            yield
        finally:
            self._fabric.set_faults(self._scenario.wire)

    @contextmanager
    def _garbling(self, fault: Fault) -> Iterator[None]:
        liar = self._nodes[fault.nodes[0]]
        faults = LinkFaults(delay_min_ms=20, delay_max_ms=100, corruption=fault.amount / 100)
        self._count(fault.kind)
        for node in self._nodes:
            if node is not liar:
                self._fabric.set_faults(faults, source=liar.name, target=node.name)
        try:
            yield
        finally:
            for node in self._nodes:
                if node is not liar:
                    self._fabric.set_faults(self._scenario.wire, source=liar.name, target=node.name)

    async def _cut(self, fault: Fault) -> None:
        names = [node.name for node in self._nodes]
        side = [names[number] for number in fault.nodes]
        rest = [name for name in names if name not in side]
        match fault.kind:
            case FaultKind.ONE_WAY:
                self._begin(fault, [(side[0], side[1])])
                await trio.sleep(fault.lasts_s)
            case FaultKind.BRIDGE:
                bridge = names[fault.amount]
                apart = [[one for one in part if one != bridge] for part in (side, rest)]
                self._begin(fault, _between(*apart))
                await trio.sleep(fault.lasts_s)
            case FaultKind.FLAPPING:
                with trio.move_on_after(fault.lasts_s):
                    while True:
                        self._begin(fault, _between(side, rest))
                        await trio.sleep(fault.amount / 1000)
                        self._cuts.end(fault.number)
                        await trio.sleep(fault.amount / 1000)
            case FaultKind.SWIZZLE:
                await self._swizzle(fault, names, side)
            case _:
                self._begin(fault, _between(side, rest))
                await trio.sleep(fault.lasts_s)

    async def _swizzle(self, fault: Fault, names: Sequence[str], victims: list[str]) -> None:
        """Clog one by one, unclog one by one in another order (after FoundationDB)."""
        pause_s = fault.lasts_s / (2 * len(victims))
        clogged: list[str] = []
        for victim in victims:
            clogged.append(victim)
            self._begin(fault, _around(clogged, names))
            await trio.sleep(pause_s)
        random.Random(f"swizzle/{self._scenario.seed}/{fault.number}").shuffle(clogged)
        while clogged:
            clogged.pop()
            self._cuts.begin(fault.number, _around(clogged, names))
            await trio.sleep(pause_s)

    def _begin(self, fault: Fault, links: Iterable[tuple[str, str]]) -> None:
        self._count(fault.kind)
        self._cuts.begin(fault.number, links)

    def _count(self, kind: FaultKind) -> None:
        self._report.faults[kind] += 1


def _between(one: Iterable[str], other: Iterable[str]) -> list[tuple[str, str]]:
    """All links from one side to the other, both ways."""
    return [link for a, b in product(list(one), list(other)) for link in ((a, b), (b, a))]


def _around(victims: Iterable[str], names: Iterable[str]) -> list[tuple[str, str]]:
    """All links of the victims, both ways."""
    everybody = list(names)
    return [link for a in victims for b in everybody if a != b for link in ((a, b), (b, a))]
