"""The state as one transition sees it: an overlay over a reader, with a journal and nested rollback.

Accounts live decoded in a dict of their own and are encoded once, in `changes`. Every write leaves its old value in
the journal, so `rollback` undoes exactly what happened since a `checkpoint`, at a cost of what happened and not of what
is stored. A step is atomic when it takes a checkpoint, works, and rolls back on every way out but success.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from ledger.accounts import EMPTY_ACCOUNT, Account, decode_account, encode_account
from ledger.errors import StateKeyRefused

ACCOUNT_PREFIX = b"a"
"""State key of an account: `a` and the 20-byte address."""
FEE_CREDIT_PREFIX = b"f"
"""State key of a proposer's fee credit: `f` and its index, u64 big-endian; value u64 big-endian, cumulative units."""
ACCOUNT_KEY_BYTES = 21


class StateReader(Protocol):
    """Where an overlay finds what it has not written itself. It must not change while the overlay lives."""

    def get(self, key: bytes) -> bytes | None:
        """The value at a state key, or None."""
        ...


class StateListing(StateReader, Protocol):
    """A state that can be read and listed (`ledger.storage.state_store.LedgerStore`)."""

    def state(self, prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """All (state key, value) under a prefix, in key order."""
        ...


class MappingState:
    """A state held in a dict; for genesis, tests and simulation."""

    __slots__ = ("values",)

    def __init__(self, values: Mapping[bytes, bytes]) -> None:
        self.values = values

    def get(self, key: bytes) -> bytes | None:
        """The value at a state key, or None."""
        return self.values.get(key)


class _Absent:
    """The mark of a key that a table does not hold; a deleted value is None instead."""


_ABSENT: Final = _Absent()


def account_key(address: bytes) -> bytes:
    """State key of the account at a 20-byte address."""
    return ACCOUNT_PREFIX + address


def fee_credit_key(proposer: int) -> bytes:
    """State key of the fee credit of a validator index."""
    return FEE_CREDIT_PREFIX + proposer.to_bytes(8, "big")


class Overlay:
    """Writes on top of a `StateReader`, undoable in nested steps. An overlay is itself a reader for a further one."""

    __slots__ = ("_accounts", "_journal", "_loaded", "_loaded_units", "_reader", "_values")

    def __init__(self, reader: StateReader) -> None:
        self._reader = reader
        self._accounts: dict[bytes, Account] = {}
        self._loaded: dict[bytes, bytes | None] = {}
        """What the reader held for each account asked for; None for no account."""
        self._loaded_units = 0
        """Sum of the balances of the accounts in `_loaded`."""
        self._values: dict[bytes, bytes | None] = {}
        self._journal: list[Any] = []
        """Table, key, old value; table, key, old value … Flat: a tuple per write burdens the garbage collector."""

    # accounts -----------------------------------------------------------------------------------------------------

    def account(self, address: bytes) -> Account:
        """The account at a 20-byte address; `EMPTY_ACCOUNT` when there is none. Errors: `Malformed` state."""
        account = self._accounts.get(address)
        if account is None:
            account = self._load(address)
        return EMPTY_ACCOUNT if account is None else account

    def set_account(self, address: bytes, account: Account) -> None:
        """Replace the account at `address`, which exists from then on, even empty. Bounds are checked by `changes`."""
        accounts = self._accounts
        old: Account | _Absent | None = accounts.get(address)
        if old is None:
            old = self._load(address) or _ABSENT
        self._journal += (accounts, address, old)
        accounts[address] = account

    def debit(self, address: bytes, units: int, nonces: int = 0) -> Account | None:
        """Take `units` (>= 0) from an account and raise its nonce by `nonces`; the account as it is afterwards.

        None, and nothing written, when there is no such account or its balance is less than `units`.
        """
        accounts = self._accounts
        old = accounts.get(address) or self._load(address)
        if old is None or old.balance < units:
            return None
        self._journal += (accounts, address, old)
        accounts[address] = after = Account(old.balance - units, old.nonce + nonces)
        return after

    def credit(self, address: bytes, units: int) -> None:
        """Give `units` (>= 0) to an account, which exists from then on."""
        accounts = self._accounts
        old = accounts.get(address) or self._load(address)
        if old is None:
            self._journal += (accounts, address, _ABSENT)
            accounts[address] = Account(units, 0)
        else:
            self._journal += (accounts, address, old)
            accounts[address] = Account(old.balance + units, old.nonce)

    def _load(self, address: bytes) -> Account | None:
        """Ask the reader, once, for an account that `_accounts` does not hold."""
        if address in self._loaded:
            return None
        raw = self._reader.get(ACCOUNT_PREFIX + address)
        if raw is None:
            self._loaded[address] = None
            return None
        account = decode_account(raw)
        self._loaded[address] = raw
        self._loaded_units += account.balance
        self._accounts[address] = account
        return account

    # other records ------------------------------------------------------------------------------------------------

    def get(self, key: bytes) -> bytes | None:
        """The value at any state key, accounts included, or None."""
        if key[:1] == ACCOUNT_PREFIX and len(key) == ACCOUNT_KEY_BYTES:
            account = self.account(key[1:])
            return encode_account(account) if key[1:] in self._accounts else None
        value = self._values.get(key, _ABSENT)
        return self._reader.get(key) if isinstance(value, _Absent) else value

    def put(self, key: bytes, value: bytes) -> None:
        """Set the record at `key`. Errors: `StateKeyRefused` for an account's key, which has its own door."""
        self._write(key, value)

    def delete(self, key: bytes) -> None:
        """Remove the record at `key`; no error when there is none. Errors: `StateKeyRefused`."""
        self._write(key, None)

    def _write(self, key: bytes, value: bytes | None) -> None:
        if not key:
            raise StateKeyRefused(key, "it is empty")
        if key[:1] == ACCOUNT_PREFIX:
            raise StateKeyRefused(key, "accounts are written with set_account")
        values = self._values
        self._journal += (values, key, values.get(key, _ABSENT))
        values[key] = value

    # steps --------------------------------------------------------------------------------------------------------

    def checkpoint(self) -> int:
        """A mark to roll back to. Marks nest: rolling back to one undoes everything after it, later marks too."""
        return len(self._journal)

    def rollback(self, mark: int) -> None:
        """Undo every write since `checkpoint` returned `mark`."""
        journal = self._journal
        while len(journal) > mark:
            old, key, table = journal.pop(), journal.pop(), journal.pop()
            if old is _ABSENT:
                table.pop(key, None)
            else:
                table[key] = old

    # outcome ------------------------------------------------------------------------------------------------------

    def changes(self) -> dict[bytes, bytes | None]:
        """New value (None: deleted) of every key whose value differs from the reader's, in key order.

        Errors: `AccountOutOfRange` when an account is negative or too rich.
        """
        return self.differences()[0]

    def previous(self) -> dict[bytes, bytes | None]:
        """The reader's value (None: absent) of the keys of `changes`, in key order: all that an undo needs."""
        return self.differences()[1]

    def differences(self) -> tuple[dict[bytes, bytes | None], dict[bytes, bytes | None]]:
        """`changes` and `previous` in one pass."""
        new: dict[bytes, bytes | None] = {}
        old: dict[bytes, bytes | None] = {}
        loaded = self._loaded
        for address, account in self._accounts.items():
            before, now = loaded[address], encode_account(account)
            if now != before:
                key = ACCOUNT_PREFIX + address
                new[key] = now
                old[key] = before
        for key, value in self._values.items():
            stored = self._reader.get(key)
            if value != stored:
                new[key] = value
                old[key] = stored
        keys = sorted(new)
        return {key: new[key] for key in keys}, {key: old[key] for key in keys}

    def balance_drift(self) -> int:
        """Units of all touched accounts now, less what the reader held for them. 0 when money was conserved."""
        return sum([account.balance for account in self._accounts.values()]) - self._loaded_units
