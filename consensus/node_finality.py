"""What this node holds for final: a local filter that follows the view of its sink and never falls.

A tip that does not contain the finalised checkpoint is never selected. When a block's view finalises a checkpoint on
another chain than one that is final already, at least a third of the stake has voted for both: nothing is switched,
both proofs are kept, the node halts (reliability.md, L14).
"""

from collections.abc import Sequence

from consensus.certificates import CERTIFICATE_CODEC, Certificate
from consensus.errors import FinalityConflict
from consensus.events import Event, PeriodFinalised, PeriodJustified
from consensus.finality import CHECKPOINT_CODEC, BlockFinality, FinalityView
from consensus.finality_proofs import (
    CONFLICT_CODEC,
    CONFLICT_KEY,
    FinalityConflictRecord,
    FinalityProof,
    ProofMaker,
    newly_justified,
)
from consensus.stores import (
    CERTIFICATES_PREFIX,
    FINALISED_KEY,
    ConsensusStores,
    number_key,
    read_certificate,
)
from consensus.votes import Checkpoint
from ledger.storage.store import WriteBatch


class NodeFinality:
    """The justified and the finalised checkpoint of one node. Written by the engine's thread."""

    def __init__(
        self, stores: ConsensusStores, proofs: ProofMaker, sink: bytes, finalised: Checkpoint
    ) -> None:
        """`finalised` as it is stored."""
        self._stores = stores
        self._proofs = proofs
        view = stores.finality.get(sink).view
        self.justified = view.justified
        """In the view of the sink. Immutable, replaced; any thread may read it."""
        self.finalised = finalised
        """Immutable, replaced, never lower; any thread may read it."""
        self._highest = finalised, sink
        """The highest checkpoint that the view of any block here has final, and such a block."""
        for tip in stores.dag.relations.tips():
            self._raise_highest(stores.finality.get(tip).view.finalised, tip)

    def conflict_with(self, view: FinalityView) -> tuple[Checkpoint, bytes] | None:
        """The final checkpoint that `view` contradicts, with a block in whose view it is final."""
        known, witness = self._highest
        if view.finalised == known or self._are_on_one_chain(known.block_id, view.finalised.block_id):
            return None
        return known, witness

    def note(self, block: bytes, finality: BlockFinality) -> None:
        """`block`, which contradicts nothing, is part of the DAG now."""
        if finality.view.finalised.period > self._highest[0].period:
            self._raise_highest(finality.view.finalised, block)

    def advance(self, batch: WriteBatch, added: Sequence[bytes], sink: bytes) -> list[Event]:
        """The selected chain gained the blocks `added`, ascending, and ends with `sink`: stage certificates and the
        finalised checkpoint."""
        stores = self._stores
        certificates: dict[int, Certificate] = {}
        events: list[Event] = []
        for block in added:
            view = stores.finality.get(block).view
            before = stores.finality.get(stores.dag.data.get(block).selected_parent).view
            if view == before:
                continue
            for target in newly_justified(before, view):
                known = self._certificate_of(certificates, target)
                # Known already when we left this chain and came back to it.
                made = self._proofs.certificate(block, target) if known is None else None
                if made is not None:
                    certificates[target.period] = made
                    events.append(PeriodJustified(made))
            if view.finalised.period > self.finalised.period:
                self._link(certificates, block, view)
                self.finalised = view.finalised
                batch.put(FINALISED_KEY, CHECKPOINT_CODEC.encode(view.finalised))
                events.append(PeriodFinalised(view.finalised, stores.headers.get(block).slot))
        for period, certificate in certificates.items():
            batch.put(CERTIFICATES_PREFIX + number_key(period), CERTIFICATE_CODEC.encode(certificate))
        self.justified = stores.finality.get(sink).view.justified
        return events

    def stage_conflict(
        self, batch: WriteBatch, ours: tuple[Checkpoint, bytes], block: bytes
    ) -> FinalityConflict:
        """Put both proofs into `batch`; the fault to raise once it is written.

        `ours` as `conflict_with` gave it for the view of `block`, whose records are staged.
        """
        known, witness = ours
        other = self._stores.finality.get(block).view.finalised
        record = FinalityConflictRecord(self._proofs.proof(witness, known), self._proofs.proof(block, other))
        batch.put(CONFLICT_KEY, CONFLICT_CODEC.encode(record))
        return FinalityConflict(known.block_id, other.block_id)

    def stage_foreign_conflict(self, batch: WriteBatch, theirs: FinalityProof) -> FinalityConflict:
        """As `stage_conflict`, for a proof of a chain that is not part of the DAG here."""
        known, witness = self._highest
        record = FinalityConflictRecord(self._proofs.proof(witness, known), theirs)
        batch.put(CONFLICT_KEY, CONFLICT_CODEC.encode(record))
        return FinalityConflict(known.block_id, theirs.checkpoint.block_id)

    def _link(self, certificates: dict[int, Certificate], block: bytes, view: FinalityView) -> None:
        """The stored certificate of the period after the finalised one has that as its source: it is what finalises."""
        for following in view.justified_chain:
            if following.period != view.finalised.period + 1:
                continue
            known = self._certificate_of(certificates, following)
            if known is None or known.source != view.finalised:
                made = self._proofs.certificate(block, following, view.finalised)
                if made is not None:
                    certificates[following.period] = made

    def _certificate_of(self, made: dict[int, Certificate], target: Checkpoint) -> Certificate | None:
        """The certificate for `target`, made just now or stored."""
        found = made.get(target.period) or read_certificate(self._stores.store, target.period)
        return found if found is not None and found.target == target else None

    def _raise_highest(self, checkpoint: Checkpoint, witness: bytes) -> None:
        if checkpoint.period > self._highest[0].period:
            self._highest = checkpoint, witness

    def _are_on_one_chain(self, one: bytes, other: bytes) -> bool:
        is_chain_ancestor = self._stores.dag.reachability.is_chain_ancestor
        return is_chain_ancestor(one, other) or is_chain_ancestor(other, one)
