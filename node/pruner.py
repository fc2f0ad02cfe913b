"""Keeps the disk bounded: what nothing needs any more is removed while the node works.

Slices of some hundred keys go through the chain writer like everything that changes the store, and after each the
writer is left alone for nine times as long, so blocks wait for a slice at most.
"""

from dataclasses import dataclass

import trio

from node.chain_context import ChainContext
from node.chain_writer import ChainWriter, ChainWriterClosed
from node.logs import Log
from node.metrics import Metrics

WRITER_SHARE = 0.1
"""Part of the writer's time that pruning takes at most."""

LEAST_PAUSE_S = 0.02


@dataclass(frozen=True, slots=True)
class RetentionSetting:
    """What the operator asked for."""

    archive: bool
    """Keep everything."""
    retention_slots: int
    """Slots below the finalised checkpoint to keep; the network's own number counts when it is greater."""


class BlockPruner:
    """One per node. `run` is the service."""

    def __init__(
        self,
        chain: ChainContext,
        writer: ChainWriter,
        setting: RetentionSetting,
        *,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._writer = writer
        self._setting = setting
        self._metrics = metrics
        self._log = log
        self._period_s = chain.params.period_slots * chain.params.slot_ms / 1000
        metrics.base_slot.set(writer.base.slot)

    async def run(self) -> None:
        """Prune once a period, until cancelled or the writer ends; at once, where an archive keeps everything."""
        if self._setting.archive:
            return
        while True:
            try:
                await self._prune()
            except ChainWriterClosed:
                return
            await trio.sleep(self._period_s)

    async def _prune(self) -> None:
        """Slice after slice until nothing is left to do."""
        removed, base_slot = 0, self._writer.base.slot
        while True:
            started_s = trio.current_time()
            done = await self._writer.call(lambda engine: engine.prune(self._setting.retention_slots))
            if done is None:
                break
            removed += done.removed_blocks
            self._metrics.pruned_blocks.inc(done.removed_blocks)
            self._metrics.base_slot.set(done.base.slot)
            took_s = trio.current_time() - started_s
            await trio.sleep(max(LEAST_PAUSE_S, took_s * (1 / WRITER_SHARE - 1)))
        if removed or self._writer.base.slot != base_slot:
            self._log.info("blocks pruned", blocks=removed, base_slot=self._writer.base.slot)
