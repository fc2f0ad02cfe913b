"""The pruning service: it follows finality, leaves the writer room, and an archive has none."""

import pytest
import trio
from builders.history import History, make_history, tiny_engine

from consensus.engine import Engine
from node.chain_context import ChainContext
from node.chain_writer import ChainWriter
from node.env import InlineWorkers
from node.logs import Redactor, open_log
from node.metrics import Metrics
from node.opening import running_writer
from node.pruner import BlockPruner, RetentionSetting
from node.rpc.chain_methods import _block_json, _dag_json
from node.rpc.protocol import RpcError
from node.rpc.schema import GetBlock, GetDag


@pytest.fixture(scope="module")
def past() -> History:
    return make_history(2, 190, presence=0.3)


def live_to(past: History, slot: int, engine: Engine) -> None:
    for block in past.blocks:
        if block.block.header.slot <= slot and not engine.has_block(block.block_id):
            engine.process_blocks([engine.prepare_decoded(block.block, block.block.header.slot)])


def context(engine: Engine, past: History) -> ChainContext:
    return ChainContext(
        past.chain.genesis,
        engine.params,
        engine.rules,
        engine.registry,
        engine.schedule,
        engine.stores.store,
        lambda: 0,
    )


def service(
    engine: Engine, past: History, writer: ChainWriter, setting: RetentionSetting
) -> tuple[BlockPruner, Metrics]:
    metrics = Metrics(process=False)
    log = open_log(level="error", style="json", now_ms=lambda: 0, redactor=Redactor())
    return BlockPruner(context(engine, past), writer, setting, metrics=metrics, log=log), metrics


def value(metrics: Metrics, name: str) -> float:
    found = metrics.registry.get_sample_value(name)
    assert found is not None
    return found


async def test_blocks_are_pruned_as_finality_moves_on(
    past: History, autojump_clock: trio.testing.MockClock
) -> None:
    engine = tiny_engine(past.chain)
    live_to(past, 170, engine)
    writer = ChainWriter(engine, InlineWorkers())
    pruner, metrics = service(engine, past, writer, RetentionSetting(False, 0))
    async with running_writer(writer), trio.open_nursery() as nursery:
        nursery.start_soon(pruner.run)
        await trio.sleep(7)
        first = engine.base.slot
        assert first > 0
        assert value(metrics, "nexus_base_slot") == first
        removed = value(metrics, "nexus_pruned_blocks_total")
        assert removed > 20
        live_to(past, 190, engine)
        await trio.sleep(9)
        assert engine.base.slot > first
        assert value(metrics, "nexus_pruned_blocks_total") > removed
        nursery.cancel_scope.cancel()


async def test_an_archive_keeps_everything(past: History, autojump_clock: trio.testing.MockClock) -> None:
    engine = tiny_engine(past.chain)
    live_to(past, 190, engine)
    before = dict(engine.stores.store.iterate(b""))
    writer = ChainWriter(engine, InlineWorkers())
    pruner, _ = service(engine, past, writer, RetentionSetting(True, 0))
    async with running_writer(writer):
        await pruner.run()
    assert dict(engine.stores.store.iterate(b"")) == before


def test_a_pruned_block_is_refused_by_name(past: History) -> None:
    engine = tiny_engine(past.chain)
    live_to(past, 190, engine)
    old = engine.stores.chain.get((5).to_bytes(8, "big"))
    while engine.prune() is not None:
        pass
    store, base = engine.stores.store, engine.base
    with pytest.raises(RpcError, match=f"from slot {base.slot} on") as caught:
        _block_json(store, GetBlock(index=5), engine.registry)
    assert (caught.value.code, caught.value.hint) == ("Pruned", "ask a node that runs with --archive")
    with pytest.raises(RpcError) as caught:
        _block_json(store, GetBlock(id=old.hex()), engine.registry)
    assert caught.value.code == "BlockNotFound"
    assert f"slot {base.slot}" in caught.value.hint
    with pytest.raises(RpcError) as caught:
        _dag_json(store, GetDag(last_slot=5))
    assert caught.value.code == "Pruned"
    shown = _block_json(store, GetBlock(index=base.chain_index), engine.registry)
    assert shown["id"] == base.block_id.hex()
    assert _dag_json(store, GetDag(limit=500))["blocks"]
