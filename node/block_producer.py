"""Makes our blocks: at the start of each slot, one for every lane whose scheduled proposer is one of our keys.

The wall clock says which slot it is, trio's clock says how long to sleep, and the two are compared anew at least once
a slot, so a clock that steps costs at most the slots that it skips. A slot is taken up once; when the clock has
stepped back we wait, and the signer would refuse anyway (reliability.md R16).

Template, claim of the slot and signature are one job on the writer; then the block takes the same way in as a peer's,
and is gossiped when it is in our own DAG, on disk.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import trio

from consensus.blocks import Block
from consensus.engine import Engine
from consensus.errors import NoParentUsable, SlotNotAvailable
from consensus.params import slot_at, slot_start_ms
from consensus.prepare import PreparedBlock, prepare_decoded
from ledger.keys import KeyPair
from ledger.transactions import SignedTransaction
from node.chain_context import ChainContext
from node.chain_writer import ChainWriter, ChainWriterClosed
from node.flows.block_intake import BlockIntake
from node.flows.block_relay import BlockRelay
from node.flows.sync import Synchroniser
from node.logs import Log
from node.mempool import Mempool
from node.metrics import Metrics
from node.signer import AlreadySigned, BlockSigner

SHORTEST_SLEEP_S = 0.001


@dataclass(frozen=True, slots=True)
class OwnValidator:
    """A validator whose key we hold."""

    index: int
    key: KeyPair


class BlockProducer:
    """One per node with keys. `run` is the service."""

    def __init__(
        self,
        chain: ChainContext,
        validators: Sequence[OwnValidator],
        signer: BlockSigner,
        writer: ChainWriter,
        intake: BlockIntake,
        relay: BlockRelay,
        synchroniser: Synchroniser,
        mempool: Mempool,
        *,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._chain = chain
        self._keys = {validator.index: validator.key for validator in validators}
        self._signer = signer
        self._writer = writer
        self._intake = intake
        self._relay = relay
        self._synchroniser = synchroniser
        self._mempool = mempool
        self._metrics = metrics
        self._log = log
        self._last_slot = chain.now_slot()
        """The slot that was taken up last. The one in which we start is not: its blocks would come late."""

    async def run(self) -> None:
        """Propose until cancelled."""
        while True:
            slot = await self._next_slot()
            lanes = self._chain.schedule.of_slot(slot).lanes_of(self._keys, slot)
            for band, index in lanes:
                if not self._synchroniser.may_propose:
                    self._metrics.proposals.labels("synchronising").inc()
                    continue
                try:
                    await self._propose(slot, band, index)
                except ChainWriterClosed:
                    return

    async def _next_slot(self) -> int:
        """Wait for a slot that was not taken up yet, from 1 on."""
        params = self._chain.params
        while True:
            now_ms = self._chain.now_ms()
            slot = slot_at(params, now_ms)
            if slot > max(0, self._last_slot):
                missed = self._missed(slot)
                if missed:
                    self._metrics.proposals.labels("missed").inc(missed)
                    self._log.warning("own lanes were missed", lanes=missed, before_slot=slot)
                self._last_slot = slot
                return slot
            if slot < self._last_slot - 1:
                self._log.warning("clock stepped back", slot=slot, last_slot=self._last_slot)
            wait_ms = slot_start_ms(params, slot + 1) - now_ms
            # Never longer than a slot, so that a clock that jumps ahead is noticed.
            await trio.sleep(max(SHORTEST_SLEEP_S, min(wait_ms, params.slot_ms) / 1000))

    def _missed(self, slot: int) -> int:
        """Our lanes between the last slot taken up and `slot`; of at most 64 slots, or a jump would take long."""
        first = max(self._last_slot + 1, slot - 64, 1)
        return len(self._chain.schedule.lanes_of(self._keys, range(first, slot)))

    async def _propose(self, slot: int, band: int, index: int) -> None:
        params, key = self._chain.params, self._keys[index]
        candidates = self._mempool.candidates(band, slot, limit_bytes=params.max_block_bytes)
        started_s = trio.current_time()
        try:
            block = await self._writer.call(
                lambda engine: self._make(engine, slot, band, index, key, candidates),
                expected=(AlreadySigned, SlotNotAvailable, NoParentUsable),
            )
        except AlreadySigned as error:
            self._metrics.double_sign_prevented.inc()
            self._metrics.proposals.labels("signed_before").inc()
            self._log.warning("slot was signed for before", slot=slot, band=band, error=str(error))
            return
        except (SlotNotAvailable, NoParentUsable) as error:
            self._metrics.proposals.labels("failed").inc()
            self._log.warning("block could not be made", slot=slot, band=band, error=str(error))
            return
        self._metrics.validation_seconds.labels("template").observe(trio.current_time() - started_s)
        refused = (await self._intake.take([self._prepared(block, slot)]))[0]
        if refused is not None:
            self._metrics.proposals.labels("failed").inc()
            self._log.error("own block was refused", slot=slot, band=band, error=str(refused))
            return
        self._metrics.proposals.labels("made").inc()
        self._log.debug(
            "block proposed",
            block=block.header_id,
            slot=slot,
            band=band,
            validator=index,
            transactions=len(block.transactions),
        )
        await self._relay.publish(block)

    def _make(
        self,
        engine: Engine,
        slot: int,
        band: int,
        index: int,
        key: KeyPair,
        candidates: Sequence[SignedTransaction],
    ) -> Block:
        """On the writer. Errors: `AlreadySigned`, `SlotNotAvailable`, `NoParentUsable`."""
        if slot <= self._signer.last_slot(key.public_key):
            # Known before any work; the claim below is what makes sure.
            self._signer.claim(key.public_key, slot)
        unsigned = engine.build_block(slot, band, index, candidates)
        return self._signer.sign_once(key, slot, unsigned.sign)

    def _prepared(self, block: Block, slot: int) -> PreparedBlock:
        chain = self._chain
        return prepare_decoded(
            block, chain.params, chain.rules, chain.registry, chain.schedule.validators, slot
        )
