"""What the mempool judges a newcomer by: place in the sender's sequence, funds, replacement. And the records it keeps.

Pure functions that raise a class of `node.mempool_errors` or return nothing. Rows L4, N9, N10 of the threat table.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from ledger.transactions import SignedTransaction
from node.mempool_errors import (
    AccountQueueFull,
    AmountAboveBalance,
    BalanceTooLow,
    NonceGapTooWide,
    ReplacedTooOften,
    ReplacementFeeTooLow,
)

MAX_PENDING_PER_ACCOUNT = 64
"""Reliability row L4: one account cannot fill the pool."""
MAX_NONCE_GAP = 16
"""How far a nonce may lie beyond the first one that is missing (row L4)."""
REPLACEMENTS_PER_WINDOW = 5
REPLACEMENT_WINDOW_S = 60.0
"""Row N10: at most five replacements of one (account, nonce) within a minute."""

_RATE_SCALE = 1_000_000


class AccountState(Protocol):
    """What the mempool asks of an account: the next nonce, and the units that can pay fees."""

    @property
    def nonce(self) -> int: ...

    @property
    def balance(self) -> int: ...


@dataclass(frozen=True, slots=True)
class MempoolLimits:
    """Bounds of the pool (row N9)."""

    max_transactions: int = 50_000
    max_bytes: int = 64 * 1024 * 1024
    max_expiry_slots: int = 2**40
    """How far ahead an expiry slot may lie: blocks that carry a later one are invalid."""


@dataclass(frozen=True, slots=True)
class Admission:
    """A transaction came in."""

    transaction_id: bytes
    replaced: bytes | None
    """The transaction with the same sender and nonce that it pushed out."""
    evicted: tuple[bytes, ...]
    """Transactions that left to make room."""


@dataclass(slots=True)
class Entry:
    transaction: SignedTransaction
    rank: tuple[int, bytes]
    """(-fee rate, id): ascending order is best first."""
    received_s: float
    received_slot: int
    own: bool
    in_flight_slot: int = -1
    """Slot of the last block that carried it, or -1."""


@dataclass(slots=True)
class Queue:
    """One sender's pending transactions."""

    nonce: int
    """The account's next nonce on chain."""
    entries: dict[int, Entry] = field(default_factory=dict)
    """nonce -> entry; unordered, walked by counting nonces up."""
    own: int = 0
    """How many of the entries came from local clients: a sender with any is never evicted from."""
    head: tuple[tuple[int, bytes], int] | None = None
    """(rank, list number) under which the sender stands in the list of ready transactions."""
    replacements: dict[int, deque[float]] = field(default_factory=dict)


def fee_rate(transaction: SignedTransaction) -> int:
    """Millionths of a unit per byte, rounded down."""
    return transaction.body.fee * _RATE_SCALE // len(transaction.raw)


def first_missing(queue: Queue, nonce: int) -> int:
    while nonce in queue.entries:
        nonce += 1
    return nonce


def require_place(queue: Queue | None, nonce: int, account: AccountState) -> None:
    """Errors: `NonceGapTooWide`, `AccountQueueFull`."""
    missing = account.nonce if queue is None else first_missing(queue, account.nonce)
    if nonce - missing > MAX_NONCE_GAP:
        raise NonceGapTooWide(nonce, missing, MAX_NONCE_GAP)
    if queue is not None and len(queue.entries) >= MAX_PENDING_PER_ACCOUNT:
        raise AccountQueueFull(len(queue.entries), MAX_PENDING_PER_ACCOUNT)


def require_funds(
    others: Iterable[SignedTransaction], transaction: SignedTransaction, spends: int, account: AccountState
) -> None:
    """`others`: the sender's other pending transactions; `spends`: units that this one needs besides its fee.

    Errors: `AmountAboveBalance`, `BalanceTooLow`.
    """
    fee = transaction.body.fee
    if fee + spends > account.balance:
        raise AmountAboveBalance(fee + spends, account.balance)
    fees = fee + sum(other.body.fee for other in others)
    if fees > account.balance:
        raise BalanceTooLow(fees, account.balance)


def require_replacement(
    queue: Queue, old: Entry, transaction: SignedTransaction, least_fee: int, now_s: float
) -> None:
    """At least a tenth more, rounded up, and at least one least fee more, and not too often (row N10).

    Errors: `ReplacementFeeTooLow`, `ReplacedTooOften`.
    """
    fee, old_fee = transaction.body.fee, old.transaction.body.fee
    least = old_fee + max(-(-old_fee // 10), least_fee)
    if fee < least or fee_rate(transaction) < -old.rank[0]:
        raise ReplacementFeeTooLow(fee, least, -old.rank[0])
    times = queue.replacements.get(transaction.body.nonce)
    if times is not None:
        while times and times[0] <= now_s - REPLACEMENT_WINDOW_S:
            times.popleft()
        if len(times) >= REPLACEMENTS_PER_WINDOW:
            raise ReplacedTooOften(transaction.body.nonce, REPLACEMENTS_PER_WINDOW, REPLACEMENT_WINDOW_S)
