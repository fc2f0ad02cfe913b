"""What every part of the node knows of its chain: rules, schedule, clock, and reads of the state at the sink."""

from collections.abc import Callable
from dataclasses import dataclass

from consensus.params import Params, slot_at
from consensus.schedule import Schedule
from ledger.accounts import EMPTY_ACCOUNT, Account, decode_account
from ledger.genesis import Genesis
from ledger.registry import KindRegistry
from ledger.rules import ChainRules
from ledger.state import account_key
from ledger.storage.state_store import LedgerStore
from ledger.storage.store import Store


@dataclass(frozen=True, slots=True)
class ChainContext:
    """Values that stay the same while the node runs, and two that are asked for anew each time."""

    genesis: Genesis
    params: Params
    rules: ChainRules
    registry: KindRegistry
    schedule: Schedule
    store: Store
    """For reads, from any thread."""
    now_ms: Callable[[], int]
    """Wall clock."""

    def now_slot(self) -> int:
        """The slot of this moment; below 0 before genesis."""
        return slot_at(self.params, self.now_ms())

    @property
    def ledger(self) -> LedgerStore:
        """State at the sink, receipts and the index of transactions."""
        return LedgerStore(self.store)

    def account(self, address: bytes) -> Account:
        """The account at a 20-byte address in the state at the sink."""
        raw = self.ledger.get(account_key(address))
        return EMPTY_ACCOUNT if raw is None else decode_account(raw)
