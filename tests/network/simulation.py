"""A network of real nodes in one process: `run_node` with a virtual clock, a simulated wire and disks that forget.

Phase one: transfers are sent while the wire loses, delays and doubles messages, while nodes are cut off, crash (with
and without their unsynced writes) and meet a full disk. Phase two: all faults end, and within a deadline all nodes
hold the same chain with every transfer on it. Nodes, flows, consensus and ledger are the real ones; only `Env` differs.

Everything follows from the seed, and the trace hash at the end covers the wire and every committed head.
"""

import io
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import trio
from builders.deterministic import TraceHash, run_deterministic
from builders.ledger import GENESIS_TIME_MS, devnet_genesis, transfer
from faults.faulty_store import Crash, FaultyDisk
from network.oracle import RuleBroken, check_accounts, check_conservation, is_settled

from consensus.events import ChainAdvanced
from consensus.stores import Head, chain_index, read_header
from ledger.addresses import address_of
from ledger.genesis import chain_rules
from ledger.genesis_text import genesis_to_json
from ledger.keys import KeyPair
from ledger.storage.errors import StoreError
from ledger.storage.store import Store
from ledger.transactions import SignedTransaction
from node.chain_writer import ChainUpdate
from node.config import NodeConfig
from node.daemon import NodeHandle, run_node
from node.env import Env, InlineWorkers, NetworkSettings
from node.keystore import write_validator_keys
from node.logs import Redactor, open_log
from p2p.network import Network
from p2p.simulated import SimulatedFabric
from p2p.simulated_links import LinkFaults

AGREEMENT_DEADLINE_S = 60.0
"""Faults off: three periods of eight slots, and as much again for back-offs that began under faults."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """What one run does."""

    seed: int
    virtual_seconds: float = 90.0
    """Of phase one."""
    nodes: int = 6
    validators: int = 12
    accounts: int = 12
    transfers_per_second: float = 4.0
    conflict_share: float = 0.1
    """Part of the transfers that a sender signs twice with one nonce, for two nodes."""
    wire: LinkFaults = field(
        default_factory=lambda: LinkFaults(loss=0.05, delay_min_ms=20, delay_max_ms=300, duplication=0.05)
    )
    fault_every_s: float = 10.0
    """About how often a node crashes, the wire is cut, or a disk fails. 0: never."""
    clock_offset_ms: int = 100
    """Each node's clock is wrong by up to this much."""
    trouble: "Callable[[Simulation, trio.Nursery], Awaitable[None]] | None" = None
    """What goes wrong, instead of random faults. Lives that it restarts belong into the nursery."""


@dataclass(slots=True)
class Report:
    """What a run came to. A run that breaks a rule raises instead."""

    trace_hash: str = ""
    virtual_seconds: float = 0.0
    real_seconds: float = 0.0
    blue_score: int = 0
    head: str = ""
    transfers: int = 0
    conflicts: int = 0
    """Pairs of which exactly one could be applied."""
    crashes: int = 0
    cuts: int = 0
    disk_failures: int = 0
    deepest_reorganisation: int = 0
    agreed_after_s: float = 0.0
    """Virtual seconds from the end of the faults."""

    def lines(self) -> list[str]:
        """For people; the last line is the trace hash."""
        speed = self.virtual_seconds / max(self.real_seconds, 0.001)
        return [
            f"{self.virtual_seconds:.0f} virtual seconds in {self.real_seconds:.1f} s: {speed:.1f} per second",
            f"head {self.head[:16]}, blue score {self.blue_score}, deepest reorganisation "
            f"{self.deepest_reorganisation} blocks",
            f"{self.transfers} transfers and {self.conflicts} conflicting pairs, each applied once; no unit lost",
            f"{self.crashes} crashes, {self.cuts} cuts, {self.disk_failures} disk failures; agreed "
            f"{self.agreed_after_s:.1f} s after their end",
            f"trace {self.trace_hash}",
        ]


class SimulatedNode:
    """One node over all its lives."""

    def __init__(self, name: str, directory: Path, chance: random.Random, offset_ms: int) -> None:
        self.name = name
        self.directory = directory
        self.offset_ms = offset_ms
        self.life = 0
        self.disks = {
            store: FaultyDisk(chance.getrandbits(32), f"{name}/{store}") for store in ("db", "signer")
        }
        self.handle: NodeHandle | None = None
        self.scope = trio.CancelScope()
        self.ended = trio.Event()
        self.may_end = False
        """This life was told to crash, or one of its writes to fail."""
        self.committed: Head | None = None
        """The last head that the node told of: it must be there after any crash."""
        self.log = io.StringIO()

    def crash_disks(self, kind: Crash) -> None:
        """What happens to the writes when the process ends."""
        for disk in self.disks.values():
            disk.crash(kind)


@dataclass(slots=True)
class Wallet:
    """Sends one transfer after the other, each again until the chain has it."""

    key: KeyPair
    home: SimulatedNode
    nonce: int = 0
    pending: tuple[SignedTransaction, ...] = ()
    """One transfer, or two with one nonce."""


class Simulation:
    """One run."""

    def __init__(self, scenario: Scenario, directory: Path) -> None:
        self.scenario = scenario
        self.chance = random.Random(f"scenario/{scenario.seed}")
        self.report = Report()
        self.trace = TraceHash()
        self.genesis, validator_keys, self.account_keys = devnet_genesis(
            scenario.validators, scenario.accounts, seed=scenario.seed
        )
        self.rules = chain_rules(self.genesis)
        self.fabric = SimulatedFabric(scenario.seed, faults=scenario.wire, trace=self.trace)
        self.nodes: list[SimulatedNode] = []
        for number in range(scenario.nodes):
            place = directory / f"node{number}"
            place.mkdir()
            (place / "genesis.json").write_text(genesis_to_json(self.genesis), encoding="utf-8")
            write_validator_keys(place / "validators.json", validator_keys[number :: scenario.nodes])
            offset_ms = self.chance.randint(-scenario.clock_offset_ms, scenario.clock_offset_ms)
            self.nodes.append(SimulatedNode(place.name, place, self.chance, offset_ms))
        self.wallets = [
            Wallet(key, self.nodes[number % scenario.nodes]) for number, key in enumerate(self.account_keys)
        ]

    async def run(self) -> Report:
        """Both phases. Errors: `RuleBroken`, and whatever a node raised."""
        started_s = time.perf_counter()
        async with self.fabric, trio.open_nursery() as nursery:
            for node in self.nodes:
                nursery.start_soon(self._live, node)
            async with trio.open_nursery() as troubles:
                troubles.start_soon(self._send_transfers)
                if self.scenario.trouble is not None:
                    troubles.start_soon(self.scenario.trouble, self, nursery)
                elif self.scenario.fault_every_s:
                    troubles.start_soon(self._make_trouble, nursery)
                await trio.sleep(self.scenario.virtual_seconds)
                troubles.cancel_scope.cancel()
            self.fabric.heal()
            self.fabric.set_faults(LinkFaults())
            healed_s = trio.current_time()
            await self._await_agreement()
            self.report.agreed_after_s = trio.current_time() - healed_s
            self._check_ledgers()
            if self.fabric.own_faults:
                raise RuleBroken(f"handlers raised: {list(self.fabric.own_faults)}")
            self.report.virtual_seconds = trio.current_time()
            nursery.cancel_scope.cancel()
        self.report.trace_hash = self.trace.hexdigest
        self.report.real_seconds = time.perf_counter() - started_s
        return self.report

    # ---- a node's life

    def _now_ms(self) -> int:
        return GENESIS_TIME_MS + int(trio.current_time() * 1000)

    def _env(self, node: SimulatedNode) -> Env:
        """The outside of one life."""
        life = f"{self.scenario.seed}/{node.name}/{node.life}"

        def open_store(path: Path) -> Store:
            return node.disks[path.name].open()

        def open_network(_settings: NetworkSettings) -> AbstractAsyncContextManager[Network]:
            return self.fabric.join(node.name)

        return Env(
            now_ms=lambda: self._now_ms() + node.offset_ms,
            random=random.Random(life),
            entropy=random.Random(f"secrets/{life}").randbytes,
            open_store=open_store,
            open_network=open_network,
            workers=InlineWorkers(),
        )

    def _config(self, node: SimulatedNode) -> NodeConfig:
        """Everybody knows the next two."""
        number, count = self.nodes.index(node), len(self.nodes)
        known = [self.nodes[(number + step) % count].name for step in (1, 2)]
        return NodeConfig(
            dir=str(node.directory),
            p2p_listen=(f"/memory/{node.name}",),
            bootstrap=tuple(f"/memory/{name}/p2p/{name}" for name in known if name != node.name),
            outbound_peers=min(4, count - 1),
            rpc_port=-1,
            metrics_port=-1,
        )

    async def _live(self, node: SimulatedNode) -> None:
        """One life, from start to its end, whatever ends it."""
        node.life += 1
        node.may_end = False
        node.scope, node.ended = trio.CancelScope(), trio.Event()
        log = open_log(level="info", style="json", now_ms=self._now_ms, redactor=Redactor(), stream=node.log)
        env, config = self._env(node), self._config(node)

        async def run(task_status: trio.TaskStatus[NodeHandle]) -> None:
            await run_node(env, config, log=log, task_status=task_status)

        try:
            with node.scope:
                async with trio.open_nursery() as nursery:
                    node.handle = await nursery.start(run)
                    self._check_restart(node, node.handle)
                    await self._follow(node, node.handle)
        except BaseExceptionGroup as group:
            if group.split(StoreError)[1] is not None or not node.may_end:
                raise
            node.crash_disks(Crash.KEEP_ALL)
        finally:
            node.handle = None
            node.ended.set()

    async def _follow(self, node: SimulatedNode, handle: NodeHandle) -> None:
        """Every committed head into the trace."""
        with handle.services.chain_writer.subscribe(capacity=10_000) as updates:
            while True:
                try:
                    update = await updates.receive()
                except trio.EndOfChannel:
                    return  # the writer has failed, and `run_node` says how
                assert isinstance(update, ChainUpdate)
                for event in update.events:
                    if isinstance(event, ChainAdvanced):
                        depth = len(event.removed)
                        self.report.deepest_reorganisation = max(self.report.deepest_reorganisation, depth)
                node.committed = update.head
                self.fabric.note(
                    "committed",
                    node=node.name,
                    head=update.head.id.hex(),
                    root=update.head.state_root.hex(),
                    events=len(update.events),
                )

    def _check_restart(self, node: SimulatedNode, handle: NodeHandle) -> None:
        """Every batch is synced before anybody hears of it, so no crash takes it back."""
        committed = node.committed
        if committed is not None and read_header(handle.services.store, committed.id) is None:
            raise RuleBroken(f"{node.name} lost committed block {committed.id.hex()} over a restart")

    def crash(self, node: SimulatedNode, kind: Crash) -> None:
        """The process dies, now."""
        self.report.crashes += 1
        node.may_end = True
        node.handle = None
        self.fabric.note("crash", node=node.name, kind=kind.name)
        self.fabric.crash(node.name)
        node.crash_disks(kind)
        node.scope.cancel()

    async def restart(self, node: SimulatedNode, after_s: float) -> None:
        """The next life, some time after the end of this one."""
        await node.ended.wait()
        await trio.sleep(after_s)
        await self._live(node)

    # ---- phase one

    async def _make_trouble(self, nursery: trio.Nursery) -> None:
        pause_s = self.scenario.fault_every_s
        while True:
            await trio.sleep(self.chance.uniform(0.5, 1.5) * pause_s)
            node = self.chance.choice(self.nodes)
            match self.chance.choice(("crash", "crash", "partition", "one way", "disk")):
                case "crash" if self._may_fail(node):
                    self.crash(node, self.chance.choice(list(Crash)))
                    nursery.start_soon(self.restart, node, self.chance.uniform(0.5, 15.0))
                case "disk" if self._may_fail(node):
                    self.report.disk_failures += 1
                    node.may_end = True
                    node.disks[self.chance.choice(("db", "signer"))].fail_write(self.chance.randint(1, 5))
                    nursery.start_soon(self.restart, node, self.chance.uniform(0.5, 15.0))
                case "partition":
                    self._partition()
                    await trio.sleep(self.chance.uniform(2.0, 2 * pause_s))
                    self.fabric.heal()
                case "one way":
                    self.report.cuts += 1
                    other = self.chance.choice([one for one in self.nodes if one is not node])
                    self.fabric.cut(node.name, other.name, sever_after_s=6.0)
                    await trio.sleep(self.chance.uniform(2.0, pause_s))
                    self.fabric.heal()

    def _may_fail(self, node: SimulatedNode) -> bool:
        """It runs, and so does half of the network without it."""
        running = [one for one in self.nodes if one.handle is not None and not one.may_end]
        return node in running and len(running) > len(self.nodes) // 2

    def _partition(self) -> None:
        self.report.cuts += 1
        names = [node.name for node in self.nodes]
        self.chance.shuffle(names)
        middle = self.chance.randint(1, len(names) - 1)
        near, far = names[:middle], names[middle:]
        if self.chance.random() < 0.3:
            near.append(far[0])  # a bridge
        self.fabric.partition([near, far], sever_after_s=self.chance.choice((None, 6.0)))

    async def _send_transfers(self) -> None:
        while True:
            await trio.sleep(self.chance.expovariate(self.scenario.transfers_per_second))
            wallet = self.chance.choice(self.wallets)
            handle = wallet.home.handle
            if handle is None:
                continue
            if wallet.pending and not self._is_done(wallet, handle):
                await self._submit(wallet.home, wallet.pending[0])
                continue
            self._sign_next(wallet)
            await self._submit(wallet.home, wallet.pending[0])
            if len(wallet.pending) == 2:
                await self._submit(self.chance.choice(self.nodes), wallet.pending[1])
            elif self.chance.random() < 0.2:
                await self._submit(self.chance.choice(self.nodes), wallet.pending[0])

    def _is_done(self, wallet: Wallet, handle: NodeHandle) -> bool:
        return any(is_settled(handle.services.store, one.id) for one in wallet.pending)

    def _sign_next(self, wallet: Wallet) -> None:
        """The wallet's next transfer; sometimes two that contradict each other."""
        wallet.nonce += 1 if wallet.pending else 0
        count = 2 if self.chance.random() < self.scenario.conflict_share else 1
        self.report.conflicts += count - 1
        self.report.transfers += 2 - count
        wallet.pending = tuple(
            transfer(
                wallet.key,
                self.rules,
                wallet.nonce,
                address_of(self.chance.choice(self.account_keys).public_key),
                self.chance.randint(1, 1_000_000),
            )
            for _ in range(count)
        )

    async def _submit(self, node: SimulatedNode, transaction: SignedTransaction) -> None:
        if node.handle is not None:
            await node.handle.services.submit_transactions([transaction.raw])

    # ---- phase two

    async def _await_agreement(self) -> None:
        """Until all nodes hold the same chain and it has everything that was sent. Errors: `RuleBroken`."""
        deadline_s = trio.current_time() + AGREEMENT_DEADLINE_S
        slot_ms = self.genesis.slot_ms
        while True:
            # Late in a slot: its blocks, made at its start, have arrived.
            await trio.sleep(((slot_ms * 17 // 20 - self._now_ms()) % slot_ms + 1) / 1000)
            disagreement = self._disagreement()
            if disagreement is None:
                return
            if trio.current_time() > deadline_s:
                raise RuleBroken(f"{AGREEMENT_DEADLINE_S:.0f} s after the faults: {disagreement}")
            for wallet in self.wallets:
                for transaction in wallet.pending:
                    await self._submit(self.chance.choice(self.nodes), transaction)

    def _disagreement(self) -> str | None:
        """Why the network does not agree yet, or None."""
        handles = [node.handle for node in self.nodes if node.handle is not None]
        if len(handles) < len(self.nodes):
            return f"{len(self.nodes) - len(handles)} nodes do not run"
        heads = [handle.services.head for handle in handles]
        if len({(head.id, head.state_root) for head in heads}) != 1:
            shown = [(head.slot, head.blue_score, head.id.hex()[:8]) for head in heads]
            return f"heads (slot, blue score, id) differ: {shown}"
        slot = (self._now_ms() - GENESIS_TIME_MS) // self.genesis.slot_ms
        if heads[0].slot < slot - 1:
            return f"the head is of slot {heads[0].slot} in slot {slot}"
        waiting = sum(not self._is_done(one, handles[0]) for one in self.wallets if one.pending)
        return f"{waiting} transfers are not on the chain" if waiting else None

    def _check_ledgers(self) -> None:
        """All nodes hold the same, and the oracle agrees with it."""
        stores = {node.name: node.handle.services.store for node in self.nodes if node.handle is not None}
        for name, store in stores.items():
            check_conservation(name, store)
            check_accounts(name, store, self.genesis, self.account_keys)
        handle = self.nodes[0].handle
        assert handle is not None
        head = handle.services.head
        self.report.blue_score, self.report.head = head.blue_score, head.id.hex()
        for index in range(head.chain_index + 1):
            if len({chain_index(store, index) for store in stores.values()}) != 1:
                raise RuleBroken(f"chains differ at index {index}")


def run_scenario(scenario: Scenario) -> Report:
    """One run in virtual time, the same every time. Errors: `RuleBroken`, and whatever a node raised."""
    with TemporaryDirectory(prefix="nexus-simulation-") as directory:
        simulation = Simulation(scenario, Path(directory))
        return run_deterministic(simulation.run, scenario.seed)
