"""Which of the candidates a new block carries: those that apply, in the block's own state, one after the other."""

from collections.abc import Iterable, Sequence
from itertools import islice

from consensus.blocks import MAX_TRANSACTIONS
from consensus.body_validation import check_expiry
from consensus.errors import ExpiryTooFar, TransactionExpired
from consensus.mergeset_execution import MergesetExecutor
from consensus.params import MAX_BLOCK_TOUCHES, Params
from consensus.virtual import ChangedState
from ledger.accounts import decode_account
from ledger.execution import APPLIED, FAILED, MergedBlock, Outcome
from ledger.state import StateReader, account_key
from ledger.transactions import SignedTransaction

HEADER_RESERVE_BYTES = 1_024
"""Room for the header and the array marks of a block: 12 parents, the longest band digest and all integers fit."""

TRANSACTION_MARK_BYTES = 3
"""MessagePack's mark before a transaction's bytes."""

ROUND_TRANSACTIONS = 512
"""Candidates that are executed at once."""

_NO_BLOCK = bytes(32)


class BodyBuilder:
    """Fills one body."""

    def __init__(
        self,
        executor: MergesetExecutor,
        params: Params,
        state: StateReader,
        slot: int,
        proposer: int,
        *,
        finalised_epoch: int,
        votes_bytes: int,
    ) -> None:
        """`state` is the new block's own: that of its selected parent with its merge set executed; `finalised_epoch` is
        of its view; `votes_bytes` is what its votes take."""
        self._executor = executor
        self._params = params
        self._state = state
        self._slot = slot
        self._proposer = proposer
        self._changes: dict[bytes, bytes | None] = {}
        self._chosen: list[SignedTransaction] = []
        self._finalised_epoch = finalised_epoch
        self._free_bytes = params.max_block_bytes - HEADER_RESERVE_BYTES - votes_bytes
        self._free_touches = MAX_BLOCK_TOUCHES
        self._held: dict[tuple[bytes, int], SignedTransaction] = {}
        """Candidates whose predecessor has not come yet, by sender and nonce."""
        self.refused: dict[bytes, str] = {}
        """Candidates that are due and break a rule of their kind: id -> reason. Nobody charges them a fee."""

    def fill(self, candidates: Iterable[SignedTransaction]) -> tuple[SignedTransaction, ...]:
        """The candidates to carry, in the order given but for those that must wait for a smaller nonce.

        Left out: expired, too large or too heavy for what is left, nonces with a gap before them, and whatever does
        not apply.
        """
        remaining = iter(candidates)
        while chunk := list(islice(remaining, ROUND_TRANSACTIONS)):
            self._take_round(chunk)
        return tuple(self._chosen)

    def _take_round(self, chunk: Sequence[SignedTransaction]) -> None:
        """Pick what follows on the senders' nonces and fits; keep what applies."""
        free_bytes, free_touches = self._free_bytes, self._free_touches
        picked: list[SignedTransaction] = []
        nonces: dict[bytes, int] = {}
        for candidate in chunk:
            transaction: SignedTransaction | None = candidate
            while transaction is not None:
                sender, nonce = transaction.sender, transaction.body.nonce
                following = nonces.get(sender)
                if following is None:
                    following = self._nonce_of(sender)
                if nonce != following:
                    if nonce > following:
                        self._held.setdefault((sender, nonce), transaction)
                    break
                size = len(transaction.raw) + TRANSACTION_MARK_BYTES
                touches = self._executor.touches(transaction)
                has_room = (
                    size <= free_bytes
                    and touches <= free_touches
                    and len(self._chosen) + len(picked) < MAX_TRANSACTIONS
                )
                if not has_room or not self._lives(transaction):
                    break
                free_bytes -= size
                free_touches -= touches
                picked.append(transaction)
                nonces[sender] = nonce + 1
                transaction = self._held.pop((sender, nonce + 1), None)
        outcome = self._execute(picked)
        if all(receipt.status == APPLIED for receipt in outcome.receipts):
            self._keep(picked, outcome)
            return
        for transaction in picked:
            outcome = self._execute([transaction])
            if outcome.applied:
                self._keep([transaction], outcome)
            for receipt in outcome.receipts:
                if receipt.status == FAILED:
                    self.refused[receipt.transaction_id] = receipt.reason

    def _keep(self, transactions: Sequence[SignedTransaction], outcome: Outcome) -> None:
        self._changes.update(outcome.changes)
        self._chosen.extend(transactions)
        self._free_bytes -= sum(len(transaction.raw) + TRANSACTION_MARK_BYTES for transaction in transactions)
        self._free_touches -= sum(map(self._executor.touches, transactions))

    def _execute(self, transactions: Sequence[SignedTransaction]) -> Outcome:
        merged = [MergedBlock(_NO_BLOCK, self._proposer, True, transactions)]
        return self._executor.execute(
            ChangedState(self._state, self._changes),
            merged,
            self._slot,
            self._proposer,
            finalised_epoch=self._finalised_epoch,
        )

    def _nonce_of(self, sender: bytes) -> int:
        raw = ChangedState(self._state, self._changes).get(account_key(sender))
        return 0 if raw is None else decode_account(raw).nonce

    def _lives(self, transaction: SignedTransaction) -> bool:
        try:
            check_expiry(transaction.body.expiry_slot, self._slot, self._params)
        except (TransactionExpired, ExpiryTooFar):
            return False
        return True
