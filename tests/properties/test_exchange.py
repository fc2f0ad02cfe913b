"""Random founding, adding, removing and swapping: solvency, k, shares, tokens (attacks D1, D3, D4; invariants 1, 2, 4).

NEXUS_EXCHANGE_STEPS sets the number of operations per seed (default 1,200; 250,000 make a million over the four seeds).
"""

import os
from itertools import pairwise
from math import isqrt
from random import Random

import pytest
from builders.ledger import STAKING, block_context, devnet_rules

from ledger.addresses import NXT_ASSET
from ledger.amounts import UNITS_PER_NXT
from ledger.exchange.liquidity import add_liquidity, create_pool, remove_liquidity
from ledger.exchange.math import GREATEST_FEE_BP, LEAST_FEE_BP, MAX_AMOUNT, MINIMUM_SHARES
from ledger.exchange.pools import address_of_pair, known_pool, read_pool, reserves_of
from ledger.exchange.positions import read_position, shares_held_before
from ledger.exchange.swapping import swap
from ledger.governed.parameters import POOL_FEE_BP, write_parameter
from ledger.registry import Rejected
from ledger.rules import BlockContext
from ledger.state import MappingState, Overlay
from ledger.tokens.records import TokenInfo, asset_balance, credit_tokens, token_balance, write_token

STEPS = int(os.environ.get("NEXUS_EXCHANGE_STEPS", "1200"))

PEOPLE = [bytes([number]) * 20 for number in range(1, 5)]
TOKENS = [bytes([number]) * 20 for number in (0xA1, 0xB2, 0xC3, 0xD4)]
ASSETS = [NXT_ASSET, *TOKENS]
PAIRS = [(one, other) for place, one in enumerate(ASSETS) for other in ASSETS[place + 1 :]]
POOLS = [address_of_pair(*pair) for pair in PAIRS]
RULES = devnet_rules()

SUPPLIES = (MAX_AMOUNT, 10**15, 10**9, 5_000)
"""From all that a token can have to hardly any."""


def beginning() -> Overlay:
    """Every person has a quarter of every token and 10,000 NXT."""
    overlay = Overlay(MappingState({}))
    for token, supply in zip(TOKENS, SUPPLIES, strict=True):
        write_token(overlay, token, TokenInfo(PEOPLE[0], "TOKEN", "Token", 0, supply // 4 * 4, 0))
        for person in PEOPLE:
            credit_tokens(overlay, token, person, supply // 4)
    for person in PEOPLE:
        overlay.credit(person, 10_000 * UNITS_PER_NXT)
    return overlay


def any_size(rng: Random, most: int) -> int:
    """1 to `most`, all magnitudes alike, and the ends more often."""
    if rng.random() < 0.1:
        return rng.choice((1, 2, max(1, most - 1), most))
    return 1 + rng.randrange(1 << rng.randrange(1, most.bit_length() + 1)) % most


class Watch:
    """What must hold between one operation and the next."""

    def __init__(self, overlay: Overlay) -> None:
        self.overlay = overlay
        self.pools: dict[bytes, tuple[int, int, int]] = {}
        """(first, second, shares) of every pool that there is."""

    def seen(self) -> dict[bytes, tuple[int, int, int]]:
        found = {}
        for address in POOLS:
            pool = read_pool(self.overlay, address)
            if pool is not None:
                found[address] = (*reserves_of(self.overlay, pool), pool.shares)
        return found

    def check(self, operation: str) -> None:
        before, after = self.pools, self.seen()
        for address, (first, second, shares) in after.items():
            assert first >= 1 and second >= 1 and shares >= MINIMUM_SHARES
            assert max(first, second, shares) <= MAX_AMOUNT
            assert isqrt(first * second) >= shares, (
                "a share is worth at least the root of k it was founded with"
            )
            if address not in before:
                continue
            old_first, old_second, old_shares = before[address]
            if operation != "remove":
                assert first * second >= old_first * old_second, "k fell"
            assert first * second * old_shares**2 >= old_first * old_second * shares**2, "a share lost value"
            if operation == "add" and shares > old_shares:
                new = shares - old_shares
                assert 0 <= (first - old_first) * old_shares - new * old_first < old_shares, (
                    "more dust than a unit"
                )
                assert 0 <= (second - old_second) * old_shares - new * old_second < old_shares
            if operation == "remove" and shares < old_shares:
                gone = old_shares - shares
                assert 0 <= gone * old_first - (old_first - first) * old_shares < old_shares
                assert 0 <= gone * old_second - (old_second - second) * old_shares < old_shares
        self.pools = after

    def check_sums(self) -> None:
        """Every token and every share, counted."""
        overlay, holders = self.overlay, (*PEOPLE, *POOLS)
        for token, supply in zip(TOKENS, SUPPLIES, strict=True):
            assert sum(token_balance(overlay, one, token) for one in holders) == supply // 4 * 4
        assert sum(overlay.account(one).balance for one in holders) == 40_000 * UNITS_PER_NXT
        for address, (_, _, shares) in self.pools.items():
            positions = [read_position(overlay, address, person) for person in PEOPLE]
            assert sum(position.shares for position in positions) + MINIMUM_SHARES == shares
            for position in positions:
                held = [shares_held_before(position, epoch) for epoch in (0, 3, 10, 100, 10**6)]
                assert all(0 <= one <= other for one, other in pairwise(held)) and held[-1] == position.shares


def one_operation(rng: Random, overlay: Overlay, context: BlockContext) -> tuple[str, tuple[int, ...]]:
    """(its name, what it gave); raises `Rejected`."""
    person = rng.choice(PEOPLE)
    first, second = pair = rng.choice(PAIRS)
    address = address_of_pair(*pair)
    have_first, have_second = (max(1, asset_balance(overlay, person, asset)) for asset in pair)
    match rng.randrange(10):
        case 0 if read_pool(overlay, address) is None:
            amounts = any_size(rng, have_first), any_size(rng, have_second)
            fee = rng.randrange(LEAST_FEE_BP, GREATEST_FEE_BP + 1)
            return "create", create_pool(overlay, person, first, second, fee, *amounts, context)
        case 0 | 1:
            amounts = any_size(rng, have_first), any_size(rng, have_second)
            return "add", add_liquidity(
                overlay, person, address, *amounts, rng.choice((0, 1, 10**6)), context
            )
        case 2:
            shares = any_size(rng, max(1, read_position(overlay, address, person).shares))
            return "remove", remove_liquidity(overlay, person, address, shares, 0, 0, context)
        case 3 if rng.random() < 0.1:
            write_parameter(overlay, POOL_FEE_BP, rng.randrange(LEAST_FEE_BP, GREATEST_FEE_BP + 1), address)
            return "fee", ()
        case _:
            path = tuple(rng.sample(ASSETS, rng.choice((2, 2, 2, 3, 4, 5))))
            exact = rng.randrange(2)
            most = asset_balance(overlay, person, path[0])
            if exact and read_pool(overlay, address_of_pair(*path[-2:])) is not None:
                most = asset_balance(overlay, address_of_pair(*path[-2:]), path[-1])
            limit = rng.choice((MAX_AMOUNT if exact else 1, 10**9))
            return "swap", swap(overlay, person, path, exact, any_size(rng, max(1, most)), limit, context)


@pytest.mark.parametrize("seed", range(4))
def test_D1_random_operations_never_drain_a_pool(seed: int) -> None:
    rng = Random(seed)
    overlay = beginning()
    watch = Watch(overlay)
    done: dict[str, int] = {}
    state: dict[bytes, bytes] = {}
    slot = 1
    for step in range(STEPS):
        slot += rng.choice((0, 0, 1, 7))
        context = block_context(RULES, slot=slot, epoch=slot // 32, staking=STAKING)
        mark = overlay.checkpoint()
        try:
            operation, result = one_operation(rng, overlay, context)
        except Rejected as rejected:
            overlay.rollback(mark)
            operation, result = rejected.reason, ()
        done[operation] = done.get(operation, 0) + 1
        assert all(0 <= number <= MAX_AMOUNT for number in result)
        watch.check(operation)
        if step % 100 == 0 or step == STEPS - 1:
            watch.check_sums()
        if step % 1_000 == 999:  # the journal would hold every value there ever was
            written = {**state, **overlay.changes()}
            state = {key: value for key, value in written.items() if value is not None}
            watch.overlay = overlay = Overlay(MappingState(state))
            watch.check("nothing")
    assert done.keys() >= {"create", "add", "remove", "swap", "SlippageExceeded", "UnknownPool"}, done
    assert "PoolInvariantBroken" not in done
    assert done["swap"] * 5 > STEPS, "the sequence exercised too little"


@pytest.mark.parametrize("seed", range(2))
def test_everybody_can_take_all_shares_home_and_the_pools_keep_the_locked_part(seed: int) -> None:
    rng = Random(100 + seed)
    overlay = beginning()
    for step in range(600):
        mark = overlay.checkpoint()
        try:
            one_operation(
                rng, overlay, block_context(RULES, slot=step + 1, epoch=step // 32, staking=STAKING)
            )
        except Rejected:
            overlay.rollback(mark)
    context = block_context(RULES, slot=700, epoch=22, staking=STAKING)
    left = [address for address in POOLS if read_pool(overlay, address) is not None]
    assert len(left) >= 4
    refused: list[str] = []
    for address in left:
        for person in PEOPLE:
            shares = read_position(overlay, address, person).shares
            if shares:
                try:
                    remove_liquidity(overlay, person, address, shares, 0, 0, context)
                except Rejected as rejected:
                    refused.append(rejected.reason)
        pool = known_pool(overlay, address)
        assert min(reserves_of(overlay, pool)) >= 1
        owned = sum(read_position(overlay, address, person).shares for person in PEOPLE)
        assert pool.shares == MINIMUM_SHARES + owned
    assert set(refused) <= {"AmountTooSmall"}, "only what is worth less than a unit of either stays"
