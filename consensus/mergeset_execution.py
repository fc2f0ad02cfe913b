"""Execution of merge sets, with the outcomes and decoded transactions that will be asked for again soon.

An outcome is a function of the merge set in consensus order (which begins with the selected parent, whose state it is
executed on), the slot, and the proposer where red blocks forfeit their fees to it; the votes that it counts first
follow from the same. A template's outcome is therefore
the one of the block that is made from it, and of its siblings with the same parents.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from consensus.blocks import Header
from consensus.body_validation import touches_of
from consensus.finality_tracking import FinalityTracker
from consensus.ghostdag import GhostdagData
from consensus.params import Params, epoch_at
from consensus.tables import Table
from ledger.execution import BlockContext, MergedBlock, Outcome, execute_mergeset
from ledger.registry import KindRegistry
from ledger.rules import ChainRules
from ledger.state import StateReader
from ledger.transactions import SignedTransaction, decode_transaction

OUTCOME_ENTRIES_KEPT = 200_000
"""State changes and receipts of remembered outcomes together: some 50 MB at most."""

TRANSACTION_BYTES_KEPT = 8 * 1024 * 1024
"""Raw bytes of the transactions that are kept decoded, in whole bodies; decoded they take six times as much. Not their
number: one with 256 legs takes 47 kB, and whoever proposes can fill blocks with them that nobody merges."""

BODY_WEIGHT = 256
"""What a body weighs beside its transactions: an empty one takes memory too."""

NO_PROPOSER = -1
"""In a key: nobody forfeits fees, so the proposer does not matter."""

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Recent(Generic[K, V]):
    """The most recently used values, bounded by the sum of their weights. The newest is kept whatever it weighs."""

    def __init__(self, limit: int) -> None:
        """`limit`: greatest sum of weights."""
        self._limit = limit
        self._total = 0
        self._entries: OrderedDict[K, tuple[V, int]] = OrderedDict()

    def get(self, key: K) -> V | None:
        """The value, which becomes the newest, or None."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: K, value: V, weight: int) -> None:
        """Remember `value`, and forget the oldest while there is too much."""
        old = self._entries.pop(key, None)
        if old is not None:
            self._total -= old[1]
        self._entries[key] = value, weight
        self._total += weight
        while self._total > self._limit and len(self._entries) > 1:
            _, (_, dropped) = self._entries.popitem(last=False)
            self._total -= dropped

    def __len__(self) -> int:
        return len(self._entries)


class MergesetExecutor:
    """Executes merge sets on a given state. Pure but for its bounded memory, which never changes a result."""

    def __init__(
        self,
        params: Params,
        rules: ChainRules,
        registry: KindRegistry,
        headers: Table[Header],
        bodies: Table[tuple[bytes, ...]],
        tracker: FinalityTracker,
    ) -> None:
        """`headers` and `bodies` hold every block that is merged; `tracker` gives the views of those that merge."""
        self.tracker = tracker
        self._params = params
        self._rules = rules
        self._registry = registry
        self._headers = headers
        self._bodies = bodies
        self._outcomes: Recent[Hashable, Outcome] = Recent(OUTCOME_ENTRIES_KEPT)
        self._transactions: Recent[bytes, tuple[SignedTransaction, ...]] = Recent(TRANSACTION_BYTES_KEPT)
        self.executions = 0
        """Merge sets executed so far; what was remembered does not count."""

    def remember_transactions(self, block_id: bytes, transactions: tuple[SignedTransaction, ...]) -> None:
        """Keep the decoded body of a block that is in the DAG now."""
        self._transactions.put(
            block_id, transactions, BODY_WEIGHT + sum(len(one.raw) for one in transactions)
        )

    def transactions(self, block_id: bytes) -> tuple[SignedTransaction, ...]:
        """The decoded body of a block of the DAG. Raises `MissingRecord`."""
        known = self._transactions.get(block_id)
        if known is None:
            bodies = self._bodies.get(block_id)
            known = tuple(decode_transaction(raw, self._registry) for raw in bodies)
            self.remember_transactions(block_id, known)
        return known

    def outcome(
        self,
        data: GhostdagData,
        slot: int,
        proposer: int,
        state_of_selected_parent: Callable[[], StateReader],
    ) -> Outcome:
        """What the merge set of `data` does when a block of `slot` by validator `proposer` merges it.

        The state is asked for only when the outcome is not remembered. Errors: `LedgerFault` and its classes.
        """
        key = data.mergeset, slot, proposer if data.mergeset_reds else NO_PROPOSER
        outcome = self._outcomes.get(key)
        if outcome is None:
            blues = set(data.mergeset_blues)
            merged = [self._merged_block(block, block in blues) for block in data.mergeset]
            view = self.tracker.view_of(data, slot)
            outcome = self.execute(
                state_of_selected_parent(),
                merged,
                slot,
                proposer,
                finalised_epoch=self.tracker.finalised_epoch(view),
                timely_votes=self.tracker.timely_votes(data.selected_parent, view, slot),
            )
            self._outcomes.put(key, outcome, 1 + len(outcome.changes) + len(outcome.receipts))
        return outcome

    def _merged_block(self, block: bytes, blue: bool) -> MergedBlock:
        header = self._headers.get(block)
        return MergedBlock(
            block,
            header.proposer,
            blue,
            self.transactions(block),
            epoch_at(self._params, header.slot),
            header.reveal if header.parents else b"",
        )

    def touches(self, transaction: SignedTransaction) -> int:
        """What the transaction takes of a block's room for touched records."""
        return touches_of(transaction, self._registry)

    def execute(
        self,
        state: StateReader,
        merged: Sequence[MergedBlock],
        slot: int,
        proposer: int,
        *,
        finalised_epoch: int,
        timely_votes: tuple[int, ...] = (),
    ) -> Outcome:
        """Execute `merged` on `state` and remember nothing."""
        self.executions += 1
        context = BlockContext(
            rules=self._rules,
            slot=slot,
            epoch=epoch_at(self._params, slot),
            finalised_epoch=finalised_epoch,
            merging_proposer=proposer,
            staking=self._params.staking,
            timely_votes=timely_votes,
        )
        return execute_mergeset(state, merged, context, self._registry)
