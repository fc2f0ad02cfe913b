"""Turns what happens into log lines and metrics. Only the node logs and counts; the packages below return events."""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from contextlib import closing

import trio

from consensus.events import (
    BlockAdded,
    BlockDisqualified,
    BlockRefused,
    ChainAdvanced,
    DuplicateLane,
    Event,
    PeriodFinalised,
    PeriodJustified,
)
from consensus.params import slot_start_ms
from consensus.stores import Head, read_finality_status, read_ghostdag, read_header, read_tips
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.execution import APPLIED, FAILED
from ledger.storage.audit import AuditReport, audit
from ledger.storage.store import Reader
from node.chain_context import ChainContext
from node.chain_writer import Resync, Subscription
from node.env import Workers
from node.logs import Log
from node.metrics import Metrics
from p2p.network import Network

LAG_EVERY_S = 1.0
COUNTED_BLOCKS = 8_192
"""Merged blocks that are remembered as counted: more than any reorganisation within the promised bounds merges anew."""
SIZES_EVERY_S = 15.0
AUDIT_LEAST_S = 60.0
AUDIT_SHARE = 0.01
"""An audit reads the whole state; it may take this part of one core's time."""

_RESULTS = {APPLIED: "applied", FAILED: "failed"}


class ChainMeter:
    """Follows the chain's updates."""

    def __init__(self, chain: ChainContext, workers: Workers, *, metrics: Metrics, log: Log) -> None:
        self._chain = chain
        self._workers = workers
        self._metrics = metrics
        self._log = log
        self._counted: OrderedDict[bytes, None] = OrderedDict()

    async def run(self, updates: Subscription) -> None:
        """Follow `updates` until the writer ends."""
        with updates:
            await self._show_head(updates.head)
            while True:
                try:
                    update = await updates.receive()
                except trio.EndOfChannel:
                    return
                if isinstance(update, Resync):
                    self._log.warning("metrics lost updates of the chain")
                else:
                    for event in update.events:
                        await self._count(event)
                await self._show_head(update.head)

    async def _count(self, event: Event) -> None:
        metrics = self._metrics
        match event:
            case BlockAdded(block_id=block, slot=slot, band=band, proposer=proposer):
                metrics.blocks_added.inc()
                self._log.debug("block added", block=block, slot=slot, band=band, proposer=proposer)
            case BlockRefused():
                pass  # The intake says it, with the peer.
            case DuplicateLane(slot=slot, band=band, block_ids=ids):
                metrics.duplicate_lanes.inc()
                self._log.warning("validator signed a lane twice", slot=slot, band=band, blocks=ids)
            case BlockDisqualified(block_id=block, reason=reason, detail=detail):
                metrics.blocks_disqualified.inc()
                self._log.warning("block disqualified", block=block, reason=reason, detail=detail)
            case ChainAdvanced():
                await self._count_advance(event)
            case PeriodJustified(certificate=certificate):
                self._log.debug(
                    "checkpoint justified",
                    period=certificate.target.period,
                    block=certificate.target.block_id,
                    votes=len(certificate.votes),
                )
            case PeriodFinalised(checkpoint=checkpoint, at_slot=slot):
                self._log.info(
                    "checkpoint finalised", period=checkpoint.period, block=checkpoint.block_id, at_slot=slot
                )

    async def _count_advance(self, event: ChainAdvanced) -> None:
        metrics, head = self._metrics, event.head
        ids = tuple(accepted.block_id for accepted in event.added)
        blues, reds = await self._workers.run_reader(lambda: self._colours(ids))
        new_blues, new_reds = self._take_new(blues), self._take_new(reds)
        metrics.blocks.labels("blue").inc(len(new_blues))
        metrics.blocks.labels("red").inc(len(new_reds))
        carriers = new_blues | new_reds
        results: Counter[str] = Counter()
        of_kind: Counter[tuple[int, str]] = Counter()
        for accepted in event.added:
            for receipt in accepted.receipts:
                result = _RESULTS.get(receipt.status, "skipped")
                results[result] += 1
                if receipt.block_id in carriers:
                    of_kind[receipt.kind, result] += 1
        for (kind, result), count in of_kind.items():
            metrics.transfers.labels(result).inc(count)
            metrics.transactions.labels(self._chain.registry.kind(kind).name, result).inc(count)
        if event.removed:
            metrics.reorg_depth.observe(len(event.removed))
        self._log.info(
            "chain advanced",
            block=head.id,
            slot=head.slot,
            blue_score=head.blue_score,
            added=len(event.added),
            removed=len(event.removed),
            blues=len(blues),
            reds=len(reds),
            transactions=results["applied"] + results["failed"],
        )

    def _colours(self, chain_blocks: tuple[bytes, ...]) -> tuple[list[bytes], list[bytes]]:
        """Blocks that these chain blocks merge: blue ones, red ones."""
        blues: list[bytes] = []
        reds: list[bytes] = []
        for block_id in chain_blocks:
            data = read_ghostdag(self._chain.store, block_id)
            if data is not None:
                blues += data.mergeset_blues
                reds += data.mergeset_reds
        return blues, reds

    def _take_new(self, blocks: list[bytes]) -> set[bytes]:
        """Those of them that were not counted before: siblings of one slot that relieve each other as head merge the
        same blocks."""
        new = set()
        for block_id in blocks:
            if block_id not in self._counted:
                new.add(block_id)
            self._counted[block_id] = None
            self._counted.move_to_end(block_id)
            if len(self._counted) > COUNTED_BLOCKS:
                self._counted.popitem(last=False)
        return new

    async def _show_head(self, head: Head) -> None:
        metrics = self._metrics
        metrics.blue_score.set(head.blue_score)
        metrics.head_timestamp.set(slot_start_ms(self._chain.params, head.slot) / 1000)
        await self._show_finality(head)
        metrics.tips.set(len(await self._workers.run_reader(lambda: read_tips(self._chain.store))))

    async def _show_finality(self, head: Head) -> None:
        status = await self._workers.run_reader(lambda: read_finality_status(self._chain.store))
        if status is not None:
            header = read_header(self._chain.store, status.finalised.block_id)
            self._metrics.justified_period.set(status.justified.period)
            self._metrics.finalised_period.set(status.finalised.period)
            self._metrics.finality_lag.set(head.slot - (0 if header is None else header.slot))


class _AuditInterrupted(Exception):
    """The node stops."""


class _InterruptibleReader:
    """A `Reader` whose iterations end with `_AuditInterrupted` once `interrupted` says so."""

    def __init__(self, reader: Reader, interrupted: Callable[[], bool]) -> None:
        self._reader = reader
        self._interrupted = interrupted

    def get(self, key: bytes) -> bytes | None:
        """See `Reader`."""
        return self._reader.get(key)

    def iterate(
        self, prefix: bytes, *, start: bytes | None = None, reverse: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """See `Reader`."""
        for entry in self._reader.iterate(prefix, start=start, reverse=reverse):
            if self._interrupted():
                raise _AuditInterrupted
            yield entry


class Auditor:
    """Counts all units on disk again, from time to time."""

    def __init__(self, chain: ChainContext, workers: Workers, *, metrics: Metrics, log: Log) -> None:
        self._chain = chain
        self._workers = workers
        self._metrics = metrics
        self._log = log
        self._interrupted = False
        self.error_units = 0
        """Sum of all accounts less the whole supply, at the last audit."""

    async def run(self) -> None:
        """Audit now and again until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._interrupt_when_cancelled)
            while True:
                started_s = trio.current_time()
                report = await self._workers.run_reader(self._audit)
                if report is not None:
                    self._show(report)
                took_s = trio.current_time() - started_s
                await trio.sleep(max(AUDIT_LEAST_S, took_s / AUDIT_SHARE))

    async def _interrupt_when_cancelled(self) -> None:
        """A thread is not cancelled, and an audit of millions of accounts takes longer than a shutdown may."""
        try:
            await trio.sleep_forever()
        finally:
            self._interrupted = True

    def _audit(self) -> AuditReport | None:
        """None when it was interrupted."""
        with closing(self._chain.store.snapshot()) as snapshot:
            try:
                return audit(_InterruptibleReader(snapshot, lambda: self._interrupted))
            except _AuditInterrupted:
                return None

    def _show(self, report: AuditReport) -> None:
        self.error_units = report.total_units - MAX_SUPPLY_UNITS
        self._metrics.conservation_error.set(self.error_units)
        self._metrics.supply.labels("circulating").set(report.circulating_units)
        self._metrics.supply.labels("reserved").set(report.reserved_units)
        self._metrics.economy.tokens.set(report.economy.tokens)
        self._metrics.economy.pools.set(report.economy.pools)
        self._metrics.economy.pooled.set(report.economy.pooled_units)
        for fault in report.faults:
            self._log.error("audit found a fault", fault=fault)


async def measure_process(chain: ChainContext, network: Network, metrics: Metrics) -> None:
    """Event loop lag, peers, size of the store; until cancelled."""
    next_size_s = trio.current_time()
    while True:
        due_s = trio.current_time() + LAG_EVERY_S
        await trio.sleep_until(due_s)
        metrics.loop_lag.set(max(0.0, trio.current_time() - due_s))
        directions = [info.direction for info in network.peers()]
        for direction in ("inbound", "outbound"):
            metrics.peers.labels(direction).set(directions.count(direction))
        if trio.current_time() >= next_size_s:
            next_size_s = trio.current_time() + SIZES_EVERY_S
            metrics.db_size.set(chain.store.size_bytes())
