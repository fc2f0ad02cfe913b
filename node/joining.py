"""The phase before a node has a chain: a network of its own, until the store is filled from a checkpoint."""

import trio

from consensus.params import params_from_genesis
from ledger.genesis import Genesis
from ledger.storage.store import Store
from node.config import NodeConfig
from node.env import Env, NetworkSettings
from node.logs import Log
from node.metrics import Metrics
from node.newcomer import Newcomer, checkpoint_to_begin_with
from node.peer_watch import FaultReport, guard_limits
from p2p.address_book import AddressBook
from p2p.discovery import keep_connected
from p2p.guarded import open_guarded
from p2p.peers import PeerBook


async def begin_at_checkpoint(
    env: Env,
    config: NodeConfig,
    genesis: Genesis,
    store: Store,
    identity: bytes,
    book: AddressBook,
    peer_book: PeerBook,
    *,
    metrics: Metrics,
    log: Log,
) -> None:
    """Fill the store from the configured checkpoint when it needs that; otherwise nothing.

    Errors: `ConfigError`; `BindFailed`; the store's.
    """
    params = params_from_genesis(genesis)
    checkpoint = await env.workers.run_reader(
        lambda: checkpoint_to_begin_with(store, params, config.checkpoint, env.now_ms())
    )
    if checkpoint is None:
        return
    settings = NetworkSettings(identity, config.p2p_listen, config.max_connections, config.p2p_announce)
    max_inbound = max(1, config.max_connections - config.outbound_peers)
    log.info("store begins at a checkpoint", period=checkpoint.period, block=checkpoint.block_id)

    def clock_s() -> float:
        return env.now_ms() / 1000

    async with (
        env.open_network(settings) as wire,
        open_guarded(wire, peer_book, guard_limits(params, max_inbound)) as network,
        trio.open_nursery() as nursery,
    ):

        async def dial(task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
            await keep_connected(
                network,
                book,
                config.bootstrap,
                rng=env.random,
                target_outbound=config.outbound_peers,
                clock=clock_s,
                task_status=task_status,
            )

        await nursery.start(dial)
        newcomer = Newcomer(
            store,
            genesis,
            params,
            checkpoint,
            network,
            env.workers,
            report=FaultReport(network, metrics=metrics, log=log),
            log=log,
        )
        await newcomer.run()
        nursery.cancel_scope.cancel()
