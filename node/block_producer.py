"""Makes our blocks: at the start of each slot, one for every lane whose scheduled proposer is one of our keys.

The wall clock says which slot it is, trio's clock says how long to sleep, and the two are compared anew at least once
a slot, so a clock that steps costs at most the slots that it skips. A slot is taken up once; when the clock has
stepped back we wait, and the signer would refuse anyway (reliability.md R16).

The template is a job on the writer. The signature is not: the signer writes its record to a disk or asks another
process, and the chain goes on meanwhile. Then the block takes the same way in as a peer's, and is gossiped when it is
in our own DAG, on disk. What the signer would refuse is asked before the template, from memory.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence

import trio

from consensus.blocks import Block, with_body
from consensus.errors import (
    BlockNotJudged,
    BodyMismatch,
    InvalidBlock,
    NoParentUsable,
    RevealWrong,
    SlotNotAvailable,
)
from consensus.params import slot_at, slot_start_ms
from consensus.prepare import PreparedBlock, prepare_decoded
from consensus.votes import Vote
from ledger.onion import NO_REVEAL
from ledger.storage.fail_points import fail_point
from node.chain_context import ChainContext
from node.chain_writer import ChainWriter, ChainWriterClosed
from node.flows.block_intake import BlockIntake
from node.flows.block_relay import BlockRelay
from node.flows.sync import Synchroniser
from node.logs import Log
from node.mempool import Mempool
from node.metrics import Metrics
from node.signing.errors import (
    AlreadySigned,
    DoppelgangerSeen,
    DoppelgangerWait,
    KeyUnknown,
    SignerUnavailable,
    SigningRefused,
)
from node.signing.guard import OwnValidators, SigningGuard

SHORTEST_SLEEP_S = 0.001

REFUSALS_BEFORE_DROP = 3
"""Slots whose templates must refuse a transaction before it is dropped: one state may lack what the next one has."""
REFUSALS_KEPT = 4_096

_RESULTS: tuple[tuple[type[SigningRefused], str], ...] = (
    (AlreadySigned, "signed_before"),
    (DoppelgangerWait, "waiting"),
    (DoppelgangerSeen, "doppelganger"),
    (SignerUnavailable, "signer_unavailable"),
)
"""What `nexus_proposals_total` counts a refusal as; any other is `refused`."""


class BlockProducer:
    """One per node with keys. `run` is the service."""

    def __init__(
        self,
        chain: ChainContext,
        own: OwnValidators,
        signer: SigningGuard,
        writer: ChainWriter,
        intake: BlockIntake,
        relay: BlockRelay,
        synchroniser: Synchroniser,
        mempool: Mempool,
        offered_votes: Callable[[int], tuple[Vote, ...]],
        *,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._chain = chain
        self._own = own
        self._signer = signer
        self._writer = writer
        self._intake = intake
        self._relay = relay
        self._synchroniser = synchroniser
        self._mempool = mempool
        self._offered_votes = offered_votes
        self._metrics = metrics
        self._log = log
        self._refusals: OrderedDict[bytes, tuple[int, int]] = OrderedDict()
        """Transaction id -> in how many slots a template of ours refused it, and the last of them."""
        self._last_slot = chain.now_slot()
        """The slot that was taken up last. The one in which we start is not: its blocks would come late."""

    async def run(self) -> None:
        """Propose until cancelled."""
        while True:
            slot = await self._next_slot()
            lanes = self._chain.schedule.of_slot(slot).lanes_of(self._own.at(slot), slot)
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
                # Slots that we took up while the clock was ahead are the signer's to refuse, key by key.
                self._log.warning("clock stepped back", slot=slot, last_slot=self._last_slot)
                self._last_slot = slot
            wait_ms = slot_start_ms(params, slot + 1) - now_ms
            # Never longer than a slot, so that a clock that jumps ahead is noticed.
            await trio.sleep(max(SHORTEST_SLEEP_S, min(wait_ms, params.slot_ms) / 1000))

    def _missed(self, slot: int) -> int:
        """Our lanes between the last slot taken up and `slot`; of at most 64 slots, or a jump would take long."""
        first = max(self._last_slot + 1, slot - 64, 1)
        return sum(
            len(self._chain.schedule.of_slot(one).lanes_of(self._own.at(one), one))
            for one in range(first, slot)
        )

    async def _propose(self, slot: int, band: int, index: int) -> None:
        params, key = self._chain.params, self._own.at(slot)[index]
        refusal = self._signer.refusal(key, slot)
        if refusal is not None:
            self._refused(slot, band, refusal)
            return
        started_s = trio.current_time()
        try:
            reveal = await self._reveal(slot, index, key)
            votes = self._offered_votes(slot)
            candidates = self._mempool.candidates(band, slot, limit_bytes=params.max_block_bytes)
            unsigned = await self._writer.call(
                lambda engine: engine.build_block(slot, band, index, candidates, votes, reveal=reveal),
                expected=(SlotNotAvailable, NoParentUsable, RevealWrong, BlockNotJudged),
            )
            self._drop_refused(unsigned.refused, slot)
            header = await self._signer.sign_block(key, unsigned.core)
        except SigningRefused as error:
            self._refused(slot, band, error)
            return
        except (SlotNotAvailable, NoParentUsable, RevealWrong, BlockNotJudged) as error:
            self._metrics.proposals.labels("failed").inc()
            self._log.warning("block could not be made", slot=slot, band=band, error=str(error))
            return
        block = with_body(header, unsigned.votes, [transaction.raw for transaction in unsigned.transactions])
        self._metrics.validation_seconds.labels("template").observe(trio.current_time() - started_s)
        try:
            prepared = self._prepared(block, slot)
        except (InvalidBlock, BodyMismatch, BlockNotJudged) as error:
            # A signer that does not sign what it was asked to.
            self._metrics.proposals.labels("failed").inc()
            self._log.error("own block is not valid", slot=slot, band=band, error=str(error))
            return
        refused = (await self._intake.take([prepared]))[0]
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
        fail_point("block_publish_before")
        await self._relay.publish(block)
        fail_point("block_publish_after")

    def _drop_refused(self, refused: Sequence[tuple[bytes, str]], slot: int) -> None:
        """Drop what templates of several slots refused: it pays no fee, and costs each template its execution."""
        for transaction_id, reason in refused:
            slots, last_slot = self._refusals.pop(transaction_id, (0, -1))
            slots += slot > last_slot
            if slots < REFUSALS_BEFORE_DROP:
                self._refusals[transaction_id] = slots, slot
            elif self._mempool.refuse(transaction_id, reason):
                self._log.debug("transaction dropped", transaction=transaction_id, reason=reason)
        while len(self._refusals) > REFUSALS_KEPT:
            self._refusals.popitem(last=False)

    async def _reveal(self, slot: int, index: int, key: bytes) -> bytes:
        """The validator's onion layer of the slot's epoch, none where its onion ends. Errors: `SigningRefused`."""
        schedule = self._chain.schedule.of_slot(slot)
        validator = schedule.validators.find(index)
        if validator is None:
            raise KeyUnknown(key)
        if not validator.reveals_in(schedule.epoch):
            self._log.warning("the onion is used up: renew it", validator=index, epoch=schedule.epoch)
            return NO_REVEAL
        layers = validator.layers_in(schedule.epoch)
        return await self._signer.reveal(key, validator.onion_generation, layers)

    def _refused(self, slot: int, band: int, error: SigningRefused) -> None:
        result = next((name for kind, name in _RESULTS if isinstance(error, kind)), "refused")
        self._metrics.proposals.labels(result).inc()
        if isinstance(error, AlreadySigned):
            self._metrics.double_sign_prevented.inc()
            self._log.warning("slot was signed for before", slot=slot, band=band, error=str(error))
        elif isinstance(error, DoppelgangerWait):
            self._log.debug("block was not signed", slot=slot, band=band, error=str(error))
        else:
            self._log.warning("block was not signed", slot=slot, band=band, error=str(error))

    def _prepared(self, block: Block, slot: int) -> PreparedBlock:
        chain = self._chain
        return prepare_decoded(block, chain.params, chain.rules, chain.registry, chain.schedule, slot)
