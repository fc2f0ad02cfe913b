"""What must always hold (ledger.md), asked of one merge set by what it changed, and of a whole state by counting again.

Nothing here trusts the transition: figures come from the bytes of the state before and after.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from pkgutil import walk_packages

import ledger
from ledger.accounts import (
    DEPOSITS_ADDRESS,
    F_FLOOR_ADDRESS,
    FEES_ADDRESS,
    RESERVES,
    SYSTEM_ADDRESSES,
    Account,
    decode_account,
)
from ledger.addresses import is_pool_address
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.economy.floor.queries import audit_floor
from ledger.economy.floor.records import CITIZEN_CODEC, CITIZEN_PREFIX, read_floor
from ledger.exchange.math import MINIMUM_SHARES
from ledger.exchange.pools import POOL_PREFIX, Pool, decode_pool
from ledger.exchange.positions import POSITION_CODEC, POSITION_PREFIX
from ledger.exchange.reasons import POOL_INVARIANT_BROKEN
from ledger.execution import APPLIED, SKIPPED, Outcome
from ledger.governance.queries import proposals, votes
from ledger.governance.records import ABSTAIN, NO, OPEN, OPEN_KEY, YES, read_due, read_proposal
from ledger.issuance import FLOWS_KEY, read_flows
from ledger.staking.records import ACTIVITY_PREFIX
from ledger.state import ACCOUNT_PREFIX, FEE_CREDIT_PREFIX, MappingState, StateListing, account_key
from ledger.storage.state_store import LedgerStore
from ledger.tokens.records import (
    TOKEN_BALANCE_PREFIX,
    TOKEN_CODEC,
    TOKEN_PREFIX,
    asset_balance,
    decode_balance,
)
from ledger.transactions import SignedTransaction

State = Mapping[bytes, bytes]

_SYMBOL = re.compile(r"(?:[A-Z][a-z]+)+", re.ASCII)
_RESERVE_KEYS = [account_key(address) for address, name in SYSTEM_ADDRESSES.items() if name in RESERVES]


@cache
def named_reasons() -> frozenset[str]:
    """Every CamelCase constant of the ledger's modules: nothing else may stand in a receipt."""
    found = set()
    for module in walk_packages(ledger.__path__, "ledger."):
        for name, value in vars(import_module(module.name)).items():
            if name.isupper() and type(value) is str and _SYMBOL.fullmatch(value):
                found.add(value)
    return frozenset(found - {POOL_INVARIANT_BROKEN})


def applied(state: State, changes: Mapping[bytes, bytes | None]) -> dict[bytes, bytes]:
    """The state with changes (or an undo) written into it."""
    after = dict(state)
    for key, value in changes.items():
        if value is None:
            after.pop(key, None)
        else:
            after[key] = value
    return after


def account_in(state: State, key: bytes) -> Account:
    """The account under a state key; decoding refuses what is out of range."""
    raw = state.get(key)
    return Account(0, 0) if raw is None else decode_account(raw)


# one merge set --------------------------------------------------------------------------------------------------------


def check_step(
    before: State,
    after: State,
    outcome: Outcome,
    transactions: Sequence[SignedTransaction],
    transition: bool,
) -> None:
    """All that can be judged by what one merge set changed; `transition`: it was the first of an epoch."""
    check_undo(before, after, outcome)
    check_money(before, after, outcome)
    check_tokens(before, after, outcome)
    check_pools(before, after, outcome)
    check_receipts(outcome, transactions)
    check_nonces(before, after, outcome, transactions)
    if not transition and len(transactions) == 1 and outcome.receipts[0].status != APPLIED:
        check_nothing_done(outcome, transactions[0])
    check_identities(after)


def check_undo(before: State, after: State, outcome: Outcome) -> None:
    """The undo gives the old bytes, and the changes the new ones once more."""
    assert list(outcome.changes) == sorted(outcome.changes) == list(outcome.previous)
    undone = applied(after, outcome.previous)
    assert undone == before, "undo is not exact"
    assert applied(undone, outcome.changes) == after, "redo is not exact"


def check_money(before: State, after: State, outcome: Outcome) -> None:
    """No unit appears or vanishes; no balance is out of range."""
    drift = 0
    for key in outcome.changes:
        if key[:1] == ACCOUNT_PREFIX:
            drift += account_in(after, key).balance - account_in(before, key).balance
    assert drift == 0, f"{drift} units of NXT appeared"


def check_tokens(before: State, after: State, outcome: Outcome) -> None:
    """Every token's balances change together by what its supply changes; burned and left are what was created."""
    drift: dict[bytes, int] = defaultdict(int)
    for key in outcome.changes:
        if key.startswith(TOKEN_BALANCE_PREFIX):
            assert after.get(key) != bytes(8), "an empty token balance is written"
            drift[key[-20:]] += decode_balance(after.get(key)) - decode_balance(before.get(key))
        elif key.startswith(TOKEN_PREFIX):
            info = TOKEN_CODEC.decode(after[key])
            drift[key[len(TOKEN_PREFIX) :]] -= info.supply
            if key in before:
                known = TOKEN_CODEC.decode(before[key])
                drift[key[len(TOKEN_PREFIX) :]] += known.supply
                assert info.supply + info.burned == known.supply + known.burned
    assert not any(drift.values()), f"tokens are not conserved: {dict(drift)}"


def _touched_pools(outcome: Outcome) -> set[bytes]:
    found = set()
    for key in outcome.changes:
        if key[:1] == ACCOUNT_PREFIX and is_pool_address(key[1:]):
            found.add(key[1:])
        elif key.startswith((POOL_PREFIX, POSITION_PREFIX)):
            found.add(key[-20:])
        elif key.startswith(TOKEN_BALANCE_PREFIX) and is_pool_address(key[2:22]):
            found.add(key[2:22])
    return found


def _pool(state: State, address: bytes) -> tuple[Pool | None, int, int]:
    """(record, product of the reserves, shares)."""
    raw = state.get(POOL_PREFIX + address)
    if raw is None:
        return None, 0, 0
    pool = decode_pool(address, raw)
    reader = MappingState(state)
    first, second = asset_balance(reader, address, pool.first), asset_balance(reader, address, pool.second)
    assert first > 0 and second > 0, "a pool was emptied"
    return pool, first * second, pool.shares


def check_pools(before: State, after: State, outcome: Outcome) -> None:
    """k never falls over a swap, the value of a share never at all; every share but the first 1,000 has an owner."""
    owned: dict[bytes, int] = defaultdict(int)
    for key in outcome.changes:
        if key.startswith(POSITION_PREFIX):
            for state, sign in ((after, 1), (before, -1)):
                if key in state:
                    owned[key[-20:]] += sign * POSITION_CODEC.decode(state[key]).shares
    for address in sorted(_touched_pools(outcome)):
        known, k_before, shares_before = _pool(before, address)
        pool, k_after, shares_after = _pool(after, address)
        assert pool is not None
        founded = MINIMUM_SHARES if known is None else 0
        assert shares_after - shares_before == owned[address] + founded, "shares that nobody owns"
        # k ÷ shares² is the square of a share's value; with equal shares it is k itself.
        assert k_after * shares_before**2 >= k_before * shares_after**2, (
            f"k fell from {k_before} to {k_after} with {shares_before} and {shares_after} shares"
        )


def check_receipts(outcome: Outcome, transactions: Sequence[SignedTransaction]) -> None:
    """One receipt per transaction; reasons are named ones, and only where something went wrong."""
    assert [receipt.transaction_id for receipt in outcome.receipts] == [one.id for one in transactions]
    for receipt in outcome.receipts:
        if receipt.status == APPLIED:
            assert receipt.reason == ""
        else:
            assert receipt.reason in named_reasons(), f"{receipt.reason!r} is no named reason"
            assert receipt.result == ()


def check_nonces(
    before: State, after: State, outcome: Outcome, transactions: Sequence[SignedTransaction]
) -> None:
    """Of every sender the charged transactions are its next nonces, one after the other."""
    following: dict[bytes, int] = {}
    for transaction, receipt in zip(transactions, outcome.receipts, strict=True):
        key = account_key(transaction.sender)
        nonce = following.setdefault(key, account_in(before, key).nonce)
        if receipt.status != SKIPPED:
            assert transaction.body.nonce == nonce
            following[key] = nonce + 1
    for key in outcome.changes:
        if key[:1] == ACCOUNT_PREFIX:
            assert account_in(after, key).nonce == following.get(key, account_in(before, key).nonce)


def check_nothing_done(outcome: Outcome, transaction: SignedTransaction) -> None:
    """A single transaction that was not applied has changed its sender's nonce and balance, and where the fee went."""
    allowed = {account_key(transaction.sender), account_key(FEES_ADDRESS), FLOWS_KEY}
    prefixes = (FEE_CREDIT_PREFIX, ACTIVITY_PREFIX)
    others = [key for key in outcome.changes if key not in allowed and not key.startswith(prefixes)]
    assert not others, f"a transaction that failed wrote {others}"
    if outcome.receipts[0].status == SKIPPED:
        assert not [key for key in outcome.changes if key[:1] == ACCOUNT_PREFIX]


def check_identities(state: State) -> None:
    """What circulates, what the floor owes, what DEPOSITS holds: each against its own record."""
    reader = MappingState(state)
    held = sum(account_in(state, key).balance for key in _RESERVE_KEYS)
    counted = read_flows(reader).circulating_units
    assert MAX_SUPPLY_UNITS - held == counted, f"{MAX_SUPPLY_UNITS - held} circulate, {counted} were counted"
    floor = read_floor(reader)
    owed = 0
    for key, value in state.items():
        if key.startswith(CITIZEN_PREFIX):
            citizen = CITIZEN_CODEC.decode(value)
            owed += sum(citizen.left) + sum(floor.accumulators) - sum(citizen.seen)
    assert floor.owed_units == owed, f"citizens are owed {owed}, the floor counts {floor.owed_units}"
    balance = account_in(state, account_key(F_FLOOR_ADDRESS)).balance
    assert balance >= floor.owed_units + floor.held_back_units + floor.income_units
    deposits = 0
    for due in read_due(reader, OPEN_KEY):
        proposal = read_proposal(reader, due.id)
        assert proposal is not None and proposal.status == OPEN
        deposits += proposal.deposit_units
    assert account_in(state, account_key(DEPOSITS_ADDRESS)).balance == deposits, "deposits and open proposals"


# a whole state --------------------------------------------------------------------------------------------------------


def audit_economy(store: LedgerStore) -> list[str]:
    """Everything counted again, record by record, beside what `ledger.storage.audit` counts."""
    balance = decode_account(store.get(account_key(F_FLOOR_ADDRESS)) or b"").balance
    _, floor_faults = audit_floor(store, balance)
    return [*floor_faults, *_token_faults(store), *_pool_faults(store), *_vote_faults(store)]


def _token_faults(store: StateListing) -> Iterator[str]:
    sums: Counter[bytes] = Counter()
    for key, value in store.state(TOKEN_BALANCE_PREFIX):
        sums[key[-20:]] += decode_balance(value)
    for key, value in store.state(TOKEN_PREFIX):
        token = key[len(TOKEN_PREFIX) :]
        supply = TOKEN_CODEC.decode(value).supply
        if sums.pop(token, 0) != supply:
            yield f"balances of token {token.hex()} are not its supply, {supply}"
    if sums:
        yield "balances of tokens that nobody created"


def _pool_faults(store: StateListing) -> Iterator[str]:
    owned: Counter[bytes] = Counter()
    for key, value in store.state(POSITION_PREFIX):
        owned[key[-20:]] += POSITION_CODEC.decode(value).shares
    for key, value in store.state(POOL_PREFIX):
        pool = decode_pool(key[len(POOL_PREFIX) :], value)
        if owned.pop(pool.address, 0) + MINIMUM_SHARES != pool.shares:
            yield f"positions of pool {pool.address.hex()} are not its {pool.shares} shares"
    if owned:
        yield "positions in pools that nobody founded"


def _vote_faults(store: StateListing) -> Iterator[str]:
    for proposal in proposals(store):
        units, ballots = Counter({NO: 0, YES: 0, ABSTAIN: 0}), 0
        for _, vote in votes(store, proposal.id):
            units[vote.choice] += vote.units
            ballots += 1
        counted = {NO: proposal.no_units, YES: proposal.yes_units, ABSTAIN: proposal.abstain_units}
        if counted != units or ballots != proposal.ballots:
            yield f"the votes on proposal {proposal.id} are {units}, it counts {counted}"
