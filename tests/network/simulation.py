"""A network of real nodes in one process: `run_node` with a virtual clock, a simulated wire and disks that forget.

Phase one: transfers are sent while the faults of a schedule happen. Phase two: all faults end, and within a deadline
all honest nodes hold the same chain with every transfer on it, and finality moves on. Nodes, flows, consensus and
ledger are the real ones; only `Env` differs. Byzantine nodes are real ones too, with hostile keys beside them.

Everything follows from the seed, and the trace hash at the end covers the wire and every committed head.
"""

import random
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import trio
from builders.deterministic import TraceHash, run_deterministic
from builders.ledger import devnet_genesis
from network.byzantine import HostileKeys, Offence
from network.checkers import Checkers
from network.liveness import await_agreement, await_punishment, check_ledgers
from network.node_life import SimulatedNode, Surroundings
from network.scenario import CALM, Report, RuleBroken, RunFailed, Scenario
from network.trouble import Trouble
from network.wire_watch import Statements, WatchedFabric
from network.workload import Workload

from consensus.events import ChainAdvanced
from consensus.evidence import chain_kinds
from consensus.params import params_from_genesis
from ledger.amounts import UNITS_PER_NXT
from ledger.genesis import chain_rules
from ledger.genesis_text import genesis_to_json
from node.chain_writer import ChainUpdate
from node.daemon import NodeHandle
from node.keystore import write_identity, write_validator_keys
from node.layout import operator_path

STAKE_UNITS = 1_000 * UNITS_PER_NXT

Script = Callable[["Simulation"], Awaitable[None]]
"""What a test does or waits for beside the faults."""


class Simulation:
    """One run."""

    def __init__(
        self,
        scenario: Scenario,
        directory: Path,
        *,
        script: Script | None = None,
        after: Script | None = None,
    ) -> None:
        """`script` runs in phase one, which ends without it; `after` when the nodes agree and still run."""
        self.scenario = scenario
        self.report = Report(nodes=scenario.nodes)
        self.trace = TraceHash()
        self.checkers = Checkers(may_conflict=scenario.may_halt)
        self._script = script
        self._after = after
        count = scenario.accounts
        self.genesis, self.validator_keys, keys = devnet_genesis(
            scenario.validators,
            count + scenario.nodes + scenario.byzantine_nodes,
            scenario.slot_ms,
            scenario.seed,
            stake_units=[STAKE_UNITS * weight for weight in scenario.stake_weights] or STAKE_UNITS,
        )
        self.params, self.rules = params_from_genesis(self.genesis), chain_rules(self.genesis)
        self.registry = chain_kinds(self.params)
        operators, hostile_accounts = keys[count : count + scenario.nodes], keys[count + scenario.nodes :]
        self.account_keys = keys[:count] + hostile_accounts

        names = tuple(f"node{number}" for number in range(scenario.nodes))
        honest = range(scenario.honest_validators)
        self.statements = Statements(
            {index: self.validator_keys[index].public_key for index in honest},
            {index: names[scenario.home_of(index)] for index in honest},
            self.params.genesis_hash,
        )
        self.fabric = WatchedFabric(
            scenario.seed, faults=scenario.wire, trace=self.trace, statements=self.statements
        )
        around = Surroundings(scenario.seed, self.fabric, names, scenario.may_halt)
        chance = random.Random(f"clocks/{scenario.seed}")
        self.nodes = [
            SimulatedNode(
                number,
                directory / name,
                around,
                chance.randint(-scenario.clock_offset_ms, scenario.clock_offset_ms),
                honest=number < scenario.honest_nodes,
            )
            for number, name in enumerate(names)
        ]
        self.hostile: dict[int, HostileKeys] = {}
        for node, operator in zip(self.nodes, operators, strict=True):
            node.directory.mkdir()
            (node.directory / "genesis.json").write_text(genesis_to_json(self.genesis), encoding="utf-8")
            write_identity(operator_path(node.directory), operator.seed)
            if node.honest:
                held = (
                    scenario.held[node.number]
                    if scenario.held
                    else tuple(honest[node.number :: scenario.honest_nodes])
                )
                keys_held = [self.validator_keys[index] for index in held]
                write_validator_keys(node.directory / "validators.json", keys_held)
            else:
                place = node.number - scenario.honest_nodes
                hostile = range(scenario.honest_validators, scenario.validators)
                self.hostile[node.number] = HostileKeys(
                    node,
                    {
                        index: self.validator_keys[index]
                        for index in hostile[place :: scenario.byzantine_nodes]
                    },
                    hostile_accounts[place],
                    self.fabric,
                    scenario.seed,
                    self.report,
                )
        self.workload = Workload(scenario, self.rules, keys[:count], self.nodes, self.report)
        self._lives: trio.Nursery | None = None
        self._trouble = Trouble(scenario, self.fabric, self.nodes, self.hostile, self.bring_back, self.report)

    @property
    def honest(self) -> list[SimulatedNode]:
        """The nodes that keep the rules."""
        return [node for node in self.nodes if node.honest]

    @property
    def offences(self) -> list[Offence]:
        """What hostile keys have done that others can prove."""
        return [offence for keys in self.hostile.values() for offence in keys.offences]

    async def run(self) -> Report:
        """Both phases. Errors: `RuleBroken`, and whatever a node raised."""
        scenario, report = self.scenario, self.report
        began_s, began_processor_s = time.perf_counter(), time.process_time()
        async with self.fabric, trio.open_nursery() as nursery:
            self._lives = nursery
            for node in self.nodes:
                nursery.start_soon(node.live, self._follow)
            async with trio.open_nursery() as troubles:
                troubles.start_soon(self.workload.run)
                troubles.start_soon(self._trouble.run, scenario.schedule())
                if self._script is not None:
                    await self._script(self)
                else:
                    await trio.sleep(scenario.virtual_seconds)
                troubles.cancel_scope.cancel()
            self.fabric.set_faults(CALM)
            for node in self.nodes:
                node.mend_disks()
            if scenario.byzantine_stays:
                for keys in self.hostile.values():
                    keys.stay_silent()
            report.finalised_under_faults = min(node.finalised_period for node in self.honest)
            if scenario.ends_agreed:
                await await_agreement(scenario, self.honest, self.workload, self.checkers, report)
                await await_punishment(self.honest, self.params, self.offences)
                check_ledgers(scenario, self.honest, self.genesis, self.registry, self.account_keys, report)
            if self._after is not None:
                await self._after(self)
            self._check_wire()
            report.virtual_seconds = trio.current_time()
            nursery.cancel_scope.cancel()
        report.statements = self.statements.count
        report.trace_hash = self.trace.hexdigest
        report.real_seconds = time.perf_counter() - began_s
        report.processor_seconds = time.process_time() - began_processor_s
        return report

    def bring_back(self, node: SimulatedNode, after_s: float) -> None:
        """The next life, some time after the end of this one."""

        async def live_again() -> None:
            await node.ended.wait()
            await trio.sleep(after_s)
            await node.live(self._follow)

        assert self._lives is not None
        self._lives.start_soon(live_again)

    async def _follow(self, node: SimulatedNode, handle: NodeHandle) -> None:
        """Beside a life of a node: check every commit, and put its head into the trace."""
        if not node.honest:
            await self.hostile[node.number].run(handle)
            return
        self.checkers.check_restart(node, handle)
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
                self.checkers.check_update(node, handle, update)
                self._check_wire()
                self.fabric.note(
                    "committed",
                    node=node.name,
                    head=update.head.id.hex(),
                    root=update.head.state_root.hex(),
                    final=node.finalised_period,
                    events=len(update.events),
                )

    def _check_wire(self) -> None:
        if self.statements.broken is not None:
            raise self.statements.broken
        if self.fabric.own_faults:
            raise RuleBroken(f"handlers raised: {list(self.fabric.own_faults)}")


def run_scenario(scenario: Scenario, *, script: Script | None = None, after: Script | None = None) -> Report:
    """One run in virtual time, the same every time. Errors: `RunFailed`, which says how to run it again."""
    with TemporaryDirectory(prefix="nexus-simulation-") as directory:
        simulation = Simulation(scenario, Path(directory), script=script, after=after)
        try:
            return run_deterministic(simulation.run, scenario.seed)
        except (Exception, ExceptionGroup) as error:
            raise RunFailed(scenario, error) from error
