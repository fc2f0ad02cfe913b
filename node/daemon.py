"""The node: everything it consists of, wired on one page.

Order of opening: stores, engine, writer, network, services, RPC. The way out is the reverse: the RPC and the flows
stop first, then the connections close, the writer finishes what it has, and the stores close. Each step has a bound;
together they stay below eight seconds.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from consensus.engine import Engine
from consensus.evidence import chain_kinds
from consensus.params import epoch_at, params_from_genesis
from consensus.prepare import PreparedBlock
from consensus.vote_judging import VoteJudge
from consensus.votes import Vote
from ledger.genesis import Genesis, genesis_hash
from ledger.rules import minimum_fee
from ledger.storage.store import Store
from node.block_producer import BlockProducer
from node.chain_context import ChainContext
from node.chain_writer import ChainWriter
from node.config import NodeConfig
from node.economy_meter import EconomyMeter
from node.env import Env, NetworkSettings
from node.evidence_reporter import EvidenceReporter
from node.finalised_keeper import FinalisedKeeper
from node.flows.block_fetch import BlockFetcher, serve_blocks
from node.flows.block_intake import BlockIntake, IntakeOutlets, MissingBlocks
from node.flows.block_relay import BlockRelay
from node.flows.compact_blocks import Completer, serve_block_transactions
from node.flows.finality_floor import FinalityFloor
from node.flows.finality_watch import FinalityWatch
from node.flows.judging import BlockJudge
from node.flows.peer_status import PeerStatuses
from node.flows.recent_blocks import RecentBlocks
from node.flows.snapshot_serving import SnapshotServer
from node.flows.sync import Synchroniser
from node.flows.sync_session import SyncParts
from node.flows.sync_sources import SyncSources
from node.flows.transaction_relay import TransactionRelay
from node.flows.vote_relay import VoteRelay
from node.joining import begin_at_checkpoint
from node.layout import data_directory, database_directory, endpoints_path, snapshots_directory
from node.logs import Log, Redactor, open_log
from node.measuring import Auditor, ChainMeter, measure_process
from node.mempool import Mempool
from node.mempool_rules import MempoolLimits
from node.mempool_upkeep import MempoolUpkeep
from node.metrics import Metrics, MetricsAddress, serve_metrics
from node.opening import (
    opened_signer,
    opened_store,
    operator_account,
    peer_identity,
    read_address_book,
    read_genesis,
    read_peer_book,
    running_writer,
    write_endpoints,
)
from node.peer_watch import FaultReport, PeerWatch, guard_limits, save_addresses, save_bans
from node.pruner import BlockPruner, RetentionSetting
from node.services import Services
from node.signatures import SignatureVerifier
from node.signing.guard import OwnValidators, SigningGuard, vote_observer, watch_blocks
from node.voter import Voter
from p2p.address_book import AddressBook
from p2p.discovery import keep_connected
from p2p.guarded import GuardedNetwork, open_guarded
from p2p.network import PeerId
from p2p.peer_exchange import exchange_peers

if TYPE_CHECKING:
    from node.rpc.server import RpcAddress

OUTLET_CAPACITY = 256
"""Of each of `IntakeOutlets`."""


@dataclass(frozen=True, slots=True)
class NodeHandle:
    """A running node, for whoever started it."""

    services: Services
    rpc: "RpcAddress | None"
    """None when the RPC is off."""
    metrics: MetricsAddress | None
    """None when metrics are off."""


async def run_node(
    env: Env,
    config: NodeConfig,
    *,
    log: Log | None = None,
    redactor: Redactor | None = None,
    task_status: trio.TaskStatus[NodeHandle] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run a node until cancelled; started when everything serves.

    Errors (those of running services come in an exception group): `ConfigError`, `GenesisInvalid`, `KeyFileError`;
    `StoreError`; `BindFailed`, `RpcBindFailed`, `MetricsBindFailed`; `ConsensusFault` and `LedgerFault`.
    """
    redactor = Redactor() if redactor is None else redactor
    if log is None:
        log = open_log(level=config.log_level, style=config.log_format, now_ms=env.now_ms, redactor=redactor)
    directory = data_directory(config)
    genesis = read_genesis(config)
    directory.mkdir(parents=True, exist_ok=True)
    identity = peer_identity(env, directory)
    operator = operator_account(env, directory)
    redactor.hide([identity, operator.seed])
    book = read_address_book(env, directory, log)
    peer_book = read_peer_book(env, directory, log)
    metrics = Metrics(process=config.metrics_port >= 0)

    async with (
        opened_signer(env, config, genesis_hash(genesis), redactor) as signer,
        opened_store(env, database_directory(directory)) as store,
    ):
        await begin_at_checkpoint(
            env, config, genesis, store, identity, book, peer_book, metrics=metrics, log=log
        )
        engine = await env.workers.run_writer(lambda: _open_engine(store, genesis))
        chain = ChainContext(
            genesis, engine.params, engine.rules, engine.registry, engine.schedule, store, env.now_ms
        )
        signing = (
            None
            if signer is None
            else SigningGuard(signer, chain.params, env.workers, now_ms=env.now_ms, metrics=metrics, log=log)
        )
        if signing is not None:
            await signing.refresh()
        own = OwnValidators(chain.schedule, signing)
        log.info(
            "chain opened",
            chain=chain.params.chain_id,
            network=chain.params.network,
            genesis=chain.params.genesis_hash,
            head=engine.head.id,
            slot=engine.head.slot,
            blue_score=engine.head.blue_score,
            validators=own.indices(chain.now_slot()),
        )
        for public_key in own.strangers(chain.now_slot()):
            log.warning("key belongs to no validator of this network", public_key=public_key)
        writer = ChainWriter(engine, env.workers, observe=metrics.db_write_seconds.observe)
        settings = NetworkSettings(identity, config.p2p_listen, config.max_connections, config.p2p_announce)
        max_inbound = max(1, config.max_connections - config.outbound_peers)
        async with (
            running_writer(writer),
            env.open_network(settings) as wire,
            open_guarded(wire, peer_book, guard_limits(chain.params, max_inbound)) as network,
            trio.open_nursery() as nursery,
        ):
            report = FaultReport(network, metrics=metrics, log=log)
            verifier = SignatureVerifier(env.workers, chain.rules)
            mempool = _open_mempool(config, chain)
            missing, to_fetch = trio.open_memory_channel[MissingBlocks](OUTLET_CAPACITY)
            lagging, to_catch_up = trio.open_memory_channel[PeerId](OUTLET_CAPACITY)
            publish, to_publish = trio.open_memory_channel[PreparedBlock](OUTLET_CAPACITY)
            floor = FinalityFloor(store, lambda: writer.finalised.block_id)
            judge, recent = BlockJudge(chain, env.workers), RecentBlocks()
            vote_judge = VoteJudge(
                store, chain.params, chain.schedule, engine.genesis_id, engine.verified_votes
            )
            intake = BlockIntake(
                chain,
                writer,
                verifier,
                mempool,
                IntakeOutlets(missing, lagging, publish),
                floor,
                report=report,
                metrics=metrics,
                log=log,
            )
            fetcher = BlockFetcher(chain, network, judge, floor, lagging, report=report, log=log)
            completer = Completer(network, judge, env.workers, report=report, metrics=metrics, log=log)
            blocks = BlockRelay(
                chain,
                writer,
                intake,
                judge,
                completer,
                mempool,
                network,
                recent,
                floor,
                missing,
                report=report,
                metrics=metrics,
                log=log,
            )
            statuses = PeerStatuses(chain, writer, network, random=env.random, report=report, log=log)
            finality_watch = FinalityWatch(chain, writer, network, env.workers, report=report, log=log)
            synchroniser = Synchroniser(
                SyncParts(
                    chain,
                    writer,
                    network,
                    env.workers,
                    intake,
                    judge,
                    floor,
                    SyncSources(statuses),
                    report,
                    finality_watch.found_fork,
                ),
                statuses,
                alone=not config.bootstrap,
                metrics=metrics,
                log=log,
            )
            transactions = TransactionRelay(
                chain, mempool, verifier, network, report=report, metrics=metrics, log=log
            )
            evidence = EvidenceReporter(
                chain,
                operator,
                mempool,
                transactions.submit,
                chance=env.random,
                metrics=metrics,
                log=log,
            )
            votes = VoteRelay(
                chain,
                vote_judge,
                network,
                env.workers,
                found_conflict=evidence.found_conflict,
                observed=_nobody if signing is None else vote_observer(signing, own, chain.params),
                report=report,
                metrics=metrics,
                log=log,
            )
            upkeep = MempoolUpkeep(chain, mempool, transactions, env.workers, metrics=metrics, log=log)
            meter = ChainMeter(chain, env.workers, metrics=metrics, log=log)
            economy_meter = EconomyMeter(chain, env.workers, metrics.economy)
            failure = Failure()
            nursery.start_soon(failure.raise_reported)
            pruner = BlockPruner(
                chain,
                writer,
                RetentionSetting(config.archive, config.retention_slots),
                metrics=metrics,
                log=log,
            )
            keeper = FinalisedKeeper(chain, writer, env.workers, archive=config.archive, log=log)
            snapshots = SnapshotServer(
                chain,
                writer,
                keeper,
                network,
                env.workers,
                snapshots_directory(directory),
                report=report,
                log=log,
            )
            auditor = Auditor(chain, env.workers, metrics=metrics, log=log)
            watch = PeerWatch(network, statuses, metrics=metrics, log=log)
            services = Services(
                config=config,
                genesis=genesis,
                params=chain.params,
                rules=chain.rules,
                registry=chain.registry,
                schedule=chain.schedule,
                store=store,
                workers=env.workers,
                now_ms=env.now_ms,
                chain_writer=writer,
                mempool=mempool,
                network=network,
                metrics=metrics,
                own_validators=lambda: own.indices(chain.now_slot()),
                signing=signing,
                voters=votes.voters,
                submit_transactions=transactions.submit,
                sync_status=lambda: synchroniser.status,
                peer_score=network.score,
                fail=failure.report,
                finalised=keeper,
                conservation_error_units=lambda: auditor.error_units,
            )

            await serve_blocks(network, chain, recent, env.workers, report=report)
            await serve_block_transactions(network, chain, recent, env.workers, report=report)
            await nursery.start(intake.run)
            await nursery.start(fetcher.run, to_fetch, intake)
            await nursery.start(blocks.run, to_publish)
            await nursery.start(statuses.run)
            await nursery.start(finality_watch.run)
            await nursery.start(synchroniser.run, to_catch_up)
            await nursery.start(transactions.run)
            await nursery.start(votes.run, writer.subscribe())
            nursery.start_soon(evidence.run, writer.subscribe())
            nursery.start_soon(upkeep.run, writer.subscribe())
            nursery.start_soon(meter.run, writer.subscribe())
            nursery.start_soon(economy_meter.run, writer.subscribe())
            nursery.start_soon(auditor.run)
            nursery.start_soon(keeper.run, writer.subscribe())
            await nursery.start(snapshots.run)
            nursery.start_soon(pruner.run)
            nursery.start_soon(measure_process, chain, network, metrics)
            if signing is not None:
                nursery.start_soon(signing.run)
                nursery.start_soon(watch_blocks, signing, own, writer.subscribe())
                producer = BlockProducer(
                    chain,
                    own,
                    signing,
                    writer,
                    intake,
                    blocks,
                    synchroniser,
                    mempool,
                    votes.offered,
                    metrics=metrics,
                    log=log,
                )
                nursery.start_soon(producer.run)
                voter = Voter(
                    chain,
                    signing,
                    own,
                    vote_judge,
                    votes,
                    synchroniser,
                    env.workers,
                    metrics=metrics,
                    log=log,
                )
                nursery.start_soon(voter.run)
            rpc = await _start_rpc(nursery, services)
            serving = await _start_metrics(nursery, config, metrics)
            nursery.start_soon(watch.run)
            nursery.start_soon(save_addresses, book, directory, log)
            nursery.start_soon(save_bans, network, directory, log, lambda: env.now_ms() / 1000)
            await _start_discovery(nursery, env, config, network, book)

            _tell_endpoints(directory, network, rpc, serving, log)
            log.info("node started", peer_id=network.peer_id, listening=network.listen_addresses)
            task_status.started(NodeHandle(services, rpc, serving))
            try:
                await trio.sleep_forever()
            finally:
                endpoints_path(directory).unlink(missing_ok=True)
                log.info("node stopping", head=writer.head.id, slot=writer.head.slot)


def _open_engine(store: Store, genesis: Genesis) -> Engine:
    return Engine.open(store, genesis, chain_kinds(params_from_genesis(genesis)))


def _open_mempool(config: NodeConfig, chain: ChainContext) -> Mempool:
    params, rules, schedule = chain.params, chain.rules, chain.schedule
    return Mempool(
        MempoolLimits(config.mempool_max_transactions, config.mempool_max_bytes, params.max_expiry_slots),
        minimum_fee=lambda size_bytes: minimum_fee(rules, size_bytes),
        epoch_of=lambda slot: epoch_at(params, slot),
        lane_of=lambda sender, epoch: schedule.of_epoch(epoch).mempool_lane(sender),
        spends=lambda transaction: chain.registry.kind(transaction.body.kind).spends(transaction.payload),
    )


def _nobody(_: Vote) -> None:
    """A node without keys has no doppelganger."""


class Failure:
    """A fault that a client's question brought up; raised in the node's nursery, where it ends the process."""

    def __init__(self) -> None:
        self._error: Exception | None = None
        self._reported = trio.Event()

    def report(self, error: Exception) -> None:
        """The first one counts."""
        self._error = self._error or error
        self._reported.set()

    async def raise_reported(self) -> None:
        """Wait for one."""
        await self._reported.wait()
        if self._error is not None:
            raise self._error


async def _start_rpc(nursery: trio.Nursery, services: Services) -> "RpcAddress | None":
    config, metrics = services.config, services.metrics
    if config.rpc_port < 0:
        return None
    # Imported here: a simulation and a node without RPC need no web server.
    from node.rpc.methods import NodeMethods
    from node.rpc.server import serve_rpc

    def observe(method: str, code: str, seconds: float) -> None:
        metrics.rpc_requests.labels(method, code).inc()
        metrics.rpc_seconds.observe(seconds)

    async def serve(task_status: "trio.TaskStatus[RpcAddress]" = trio.TASK_STATUS_IGNORED) -> None:
        await serve_rpc(
            NodeMethods(services),
            host=config.rpc_host,
            port=config.rpc_port,
            further_hosts=config.rpc_allowed_hosts,
            observe=observe,
            task_status=task_status,
        )

    address: RpcAddress = await nursery.start(serve)
    return address


async def _start_metrics(
    nursery: trio.Nursery, config: NodeConfig, metrics: Metrics
) -> MetricsAddress | None:
    if config.metrics_port < 0:
        return None

    async def serve(task_status: trio.TaskStatus[MetricsAddress] = trio.TASK_STATUS_IGNORED) -> None:
        async with serve_metrics(metrics, config.metrics_host, config.metrics_port) as address:
            task_status.started(address)
            await trio.sleep_forever()

    address: MetricsAddress = await nursery.start(serve)
    return address


async def _start_discovery(
    nursery: trio.Nursery, env: Env, config: NodeConfig, network: GuardedNetwork, book: AddressBook
) -> None:
    """Dial and exchange addresses. Errors: `AddressMalformed` for a bootstrap address that is none."""

    def clock_s() -> float:
        return env.now_ms() / 1000

    await nursery.start(
        partial(
            keep_connected,
            network,
            book,
            config.bootstrap,
            rng=env.random,
            target_outbound=config.outbound_peers,
            clock=clock_s,
        )
    )
    await nursery.start(partial(exchange_peers, network, book, network.report, rng=env.random, clock=clock_s))


def _tell_endpoints(
    directory: Path,
    network: GuardedNetwork,
    rpc: "RpcAddress | None",
    serving: MetricsAddress | None,
    log: Log,
) -> None:
    write_endpoints(
        endpoints_path(directory),
        {
            "rpc": "" if rpc is None else rpc.url,
            "metrics": "" if serving is None else f"http://{serving.host}:{serving.port}/metrics",
            "p2p": list(network.listen_addresses),
        },
        log,
    )
