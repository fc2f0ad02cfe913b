"""The audit of tokens and pools: every token conserved, every pool solvent, every share somebody's."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from ledger.accounts import decode_account
from ledger.addresses import ADDRESS_BYTES, NXT_ASSET, POOL_MARK, is_pool_address
from ledger.errors import CodecError
from ledger.exchange.math import MINIMUM_SHARES
from ledger.exchange.pools import POOL_PREFIX, Pool, address_of_pair, decode_pool, reserves_of
from ledger.exchange.positions import POSITION_CODEC, POSITION_PREFIX, Position
from ledger.exchange.twap import MAX_OBSERVATIONS, read_observations
from ledger.state import ACCOUNT_PREFIX
from ledger.storage.state_store import LedgerStore
from ledger.tokens.records import (
    TOKEN_BALANCE_PREFIX,
    TOKEN_CODEC,
    TOKEN_PREFIX,
    TokenInfo,
    decode_balance,
)


@dataclass(frozen=True, slots=True)
class ExchangeFigures:
    """What the audit counted of tokens and pools."""

    tokens: int
    pools: int
    positions: int
    pooled_units: int
    """NXT in pools; it circulates."""
    latest_lock_epoch: int
    """Until when a vote has locked a position at most; 0: none is."""
    faults: list[str]


def audit_exchange(store: LedgerStore) -> ExchangeFigures:
    """Count tokens and pools again. Reads every record of them once.

    * Σ balances of a token == its supply, and nobody has 0 or something of a token that is none;
    * a pool lies where its assets say, has both, and its shares == Σ positions + 1,000 that nobody owns;
    * additions of a position ascend and sum to its shares at most; whatever lies at a pool's address is a pool's.
    """
    faults: list[str] = []
    tokens: dict[bytes, TokenInfo] = {}
    pools: dict[bytes, Pool] = {}
    pooled = positions = lock = 0
    try:
        tokens = _tokens(store)
        faults += _balances(store, tokens)
        pools = _pools(store)
        for pool in pools.values():
            faults += _pool_faults(store, pool, tokens)
        for key, value in store.state(ACCOUNT_PREFIX + POOL_MARK):
            holder = pools.get(key[len(ACCOUNT_PREFIX) :])
            pooled += decode_account(value).balance
            if holder is None or holder.first != NXT_ASSET:
                faults.append(f"NXT lies at {key[1:].hex()}, which is no pool of NXT")
        positions, lock, position_faults = _positions(store, pools)
        faults += position_faults
    except CodecError as error:
        faults.append(f"tokens or pools are damaged: {error}")
    return ExchangeFigures(len(tokens), len(pools), positions, pooled, lock, faults)


def _tokens(store: LedgerStore) -> dict[bytes, TokenInfo]:
    return {key[len(TOKEN_PREFIX) :]: TOKEN_CODEC.decode(value) for key, value in store.state(TOKEN_PREFIX)}


def _balances(store: LedgerStore, tokens: Mapping[bytes, TokenInfo]) -> list[str]:
    faults = []
    held: dict[bytes, int] = defaultdict(int)
    for key, value in store.state(TOKEN_BALANCE_PREFIX):
        units = decode_balance(value)
        held[key[len(TOKEN_BALANCE_PREFIX) + ADDRESS_BYTES :]] += units
        if not units:
            faults.append(f"a balance of 0 is kept: {key.hex()}")
    for token in sorted(held.keys() | tokens.keys()):
        info = tokens.get(token)
        if info is None:
            faults.append(f"{held[token]} units of token {token.hex()}, which is none")
        elif held[token] != info.supply:
            faults.append(
                f"balances of token {token.hex()} sum to {held[token]} units, its supply is {info.supply}: "
                f"off by {held[token] - info.supply}"
            )
    return faults


def _pools(store: LedgerStore) -> dict[bytes, Pool]:
    found = {}
    for key, value in store.state(POOL_PREFIX):
        address = key[len(POOL_PREFIX) :]
        found[address] = decode_pool(address, value)
    return found


def _pool_faults(store: LedgerStore, pool: Pool, tokens: Mapping[bytes, TokenInfo]) -> list[str]:
    name = pool.address.hex()
    faults = []
    if address_of_pair(pool.first, pool.second) != pool.address:
        faults.append(f"pool {name} does not lie where its assets say")
    faults += [
        f"pool {name} is of token {asset.hex()}, which is none"
        for asset in (pool.first, pool.second)
        if asset != NXT_ASSET and asset not in tokens
    ]
    reserves = reserves_of(store, pool)
    if min(reserves) < 1:
        faults.append(f"pool {name} holds {reserves[0]} and {reserves[1]} units, at least 1 of each expected")
    observations = read_observations(store, pool.address)
    epochs = [one.epoch for one in observations]
    if not 1 <= len(epochs) <= MAX_OBSERVATIONS or epochs != sorted(set(epochs)) or epochs[-1] != pool.epoch:
        faults.append(
            f"pool {name} has observations of the epochs {epochs}, 1 to {MAX_OBSERVATIONS} that ascend to "
            f"{pool.epoch} expected"
        )
    elif observations[-1].slot > pool.slot:
        faults.append(f"pool {name} was observed in slot {observations[-1].slot}, its sums reach {pool.slot}")
    least = min([pool.least_shares, *[one.least_shares for one in observations]])
    if least < MINIMUM_SHARES:
        faults.append(f"pool {name} says that it once had {least} shares; {MINIMUM_SHARES} can never leave")
    return faults


def _positions(store: LedgerStore, pools: Mapping[bytes, Pool]) -> tuple[int, int, list[str]]:
    """(positions, latest epoch that one is locked until, faults)."""
    faults = []
    shares: dict[bytes, int] = defaultdict(int)
    count = lock = 0
    for key, value in store.state(POSITION_PREFIX):
        owner = key[len(POSITION_PREFIX) : len(POSITION_PREFIX) + ADDRESS_BYTES]
        position = POSITION_CODEC.decode(value)
        count += 1
        lock = max(lock, position.locked_until_epoch)
        shares[key[len(POSITION_PREFIX) + ADDRESS_BYTES :]] += position.shares
        faults += [f"position of {owner.hex()}: {fault}" for fault in _position_faults(position)]
    for address in sorted(shares.keys() | pools.keys()):
        pool = pools.get(address)
        if pool is None or not is_pool_address(address):
            faults.append(f"{shares[address]} shares of {address.hex()}, which is no pool")
        elif shares[address] + MINIMUM_SHARES != pool.shares:
            faults.append(
                f"positions in pool {address.hex()} sum to {shares[address]} shares, with {MINIMUM_SHARES} "
                f"of nobody; it has {pool.shares}"
            )
    return count, lock, faults


def _position_faults(position: Position) -> list[str]:
    faults = []
    epochs = [one.epoch for one in position.additions]
    added = sum(one.shares for one in position.additions)
    if epochs != sorted(set(epochs)):
        faults.append(f"its additions do not ascend: epochs {epochs}")
    if added > position.shares or not position.shares:
        faults.append(f"{position.shares} shares, of which {added} were added lately")
    return faults
