"""Founding pools, adding and removing liquidity, and what positions remember of it."""

from fractions import Fraction

import pytest
from builders.exchange import Market, found_pool, market, token_faults
from builders.failing_overlay import fail_at_every_write
from builders.ledger import merged_block
from builders.staking import NXT

from ledger.accounts import FEES_ADDRESS, SECTOR_ADDRESSES
from ledger.addresses import NXT_ASSET, address_of
from ledger.encoding import Record
from ledger.errors import LedgerError, RecipientRefused
from ledger.exchange.kinds import LiquidityAdd, LiquidityRemove, PoolCreate, Swap
from ledger.exchange.liquidity import add_liquidity, remove_liquidity
from ledger.exchange.pools import Pool, address_of_pair, decode_pool, effective_fee_bp, encode_pool, read_pool
from ledger.exchange.positions import (
    NO_POSITION,
    Position,
    lock_position,
    position_key,
    read_position,
    shares_held_before,
    with_added,
    with_removed,
)
from ledger.exchange.queries import pool_view, pools, position_view, positions_of
from ledger.execution import execute_mergeset
from ledger.governed.parameters import POOL_FEE_BP, write_parameter
from ledger.registry import Rejected
from ledger.state import Overlay, account_key, fee_credit_key
from ledger.tokens.records import asset_balance, credit_tokens, token_balance
from ledger.transfer import Transfer


@pytest.fixture(scope="module")
def founded() -> Market:
    return market("liquidity")


@pytest.fixture
def place(founded: Market) -> Market:
    """The founded market, its state as founded."""
    return founded.fresh()


def shares_of(place: Market, pool: bytes, index: int) -> int:
    address = address_of(place.chain.accounts[index].public_key)
    return read_position(place.chain.reader, pool, address).shares


def test_founder_gets_the_root_of_the_product_less_a_thousand_shares(place: Market) -> None:
    pool = found_pool(place.chain, place.founder, {place.a: 4_000, place.c: 9_000})
    assert place.last_result() == (*(4_000, 9_000)[:: 1 if place.a < place.c else -1], 5_000)
    record = read_pool(place.chain.reader, pool)
    assert record is not None and (record.shares, record.fee_bp) == (6_000, 30)
    assert shares_of(place, pool, 0) == 5_000
    assert place.reserves(place.a, place.c) == (4_000, 9_000)


def test_D3_first_liquidity_locks_a_thousand_shares_for_ever(place: Market) -> None:
    pool = found_pool(place.chain, place.founder, {place.a: 4_000, place.c: 9_000})
    first, second = sorted((place.a, place.c))
    payload = LiquidityRemove(first, second, 5_001, 0, 0)
    assert place.chain.send(place.founder, "liquidity_remove", payload) == "InsufficientShares"
    payload = LiquidityRemove(first, second, 5_000, 0, 0)
    assert place.chain.send(place.founder, "liquidity_remove", payload) == ""
    record = read_pool(place.chain.reader, pool)
    assert record is not None and record.shares == 1_000
    assert place.reserves(place.a, place.c) == (667, 1_500)
    assert read_position(place.chain.reader, pool, address_of(place.founder.public_key)) == NO_POSITION
    payload = LiquidityAdd(first, second, 10_000, 10_000, 1)
    assert place.chain.send(place.trader, "liquidity_add", payload) == ""
    assert token_faults(place.chain.store()) == []


def test_D3_pool_too_small_for_its_locked_shares_is_not_founded(place: Market) -> None:
    first, second = sorted((place.a, place.c))
    payload = PoolCreate(first, second, 30, 1_000, 1_000)
    assert place.chain.send(place.founder, "pool_create", payload) == "InsufficientLiquidity"
    assert read_pool(place.chain.reader, address_of_pair(first, second)) is None


def test_D3_donation_to_a_pool_is_no_transaction(place: Market) -> None:
    pool = address_of_pair(NXT_ASSET, place.a)
    with pytest.raises(RecipientRefused, match="recipient is a pool of the exchange"):
        place.chain.signed(place.trader, "transfer", Transfer(pool, 1, b""))


def test_D3_units_that_got_into_a_pool_mint_no_share_and_belong_to_all_providers(place: Market) -> None:
    """What no transaction can do, done to the state by hand: shares come from shares, never from balances."""
    pool = address_of_pair(NXT_ASSET, place.a)
    overlay = Overlay(place.chain.reader)
    before = read_pool(overlay, pool)
    credit_tokens(overlay, place.a, pool, 10**11)
    trader = address_of(place.trader.public_key)
    assert before is not None
    _, tokens, shares = add_liquidity(overlay, trader, pool, 10 * NXT, 10**12, 1, place.chain.context())
    assert Fraction(tokens, shares) >= Fraction(2 * 10**12 + 10**11, before.shares)
    back = remove_liquidity(overlay, trader, pool, shares, 0, 0, place.chain.context())
    assert back[1] <= tokens


def test_D3_making_one_share_dear_gives_the_attacker_a_thousandth_and_takes_a_unit_from_the_next(
    place: Market,
) -> None:
    """The classic: found with next to nothing, then lift the reserves, so that the next provider's shares round down.

    Donations are refused; what is left is trading against oneself, which pays all shares, 1,000 of 1,001 nobody's. And
    the next provider pays for the shares that it gets, not for those that it asked for.
    """
    chain = place.chain
    pool = found_pool(chain, place.founder, {place.a: 1_001, place.c: 1_001})
    assert shares_of(place, pool, 0) == 1
    assert chain.send(place.founder, "swap", Swap((place.a, place.c), 0, 10**12, 1)) == ""
    assert chain.send(place.founder, "swap", Swap((place.c, place.a), 0, 10**3, 1)) == ""
    mine = position_view(chain.reader, pool, address_of(place.founder.public_key))
    reserves = place.reserves(*sorted((place.a, place.c)))
    assert mine is not None
    assert (mine.first, mine.second) == (reserves[0] // 1_001, reserves[1] // 1_001)
    assert max(reserves) > 10**8
    next_one = LiquidityAdd(*sorted((place.a, place.c)), 10**10, 10**10, 1)
    assert chain.send(place.trader, "liquidity_add", next_one) == ""
    first, second, _ = place.last_result()
    theirs = position_view(chain.reader, pool, address_of(place.trader.public_key))
    assert theirs is not None
    assert 0 <= first - theirs.first <= 1 and 0 <= second - theirs.second <= 1


def test_pool_of_the_same_assets_is_founded_once(place: Market) -> None:
    payload = PoolCreate(NXT_ASSET, place.a, 50, 10 * NXT, 10**9)
    assert place.chain.send(place.trader, "pool_create", payload) == "PoolExists"


def test_pool_of_a_token_that_nobody_created_is_not_founded(place: Market) -> None:
    payload = PoolCreate(NXT_ASSET, b"u" * 20, 30, 10 * NXT, 10**9)
    assert place.chain.send(place.trader, "pool_create", payload) == "UnknownToken"
    assert place.reserves(NXT_ASSET, place.a) == (1_000 * NXT, 2 * 10**12)


def test_liquidity_is_taken_in_the_ratio_of_the_reserves_and_no_unit_more(place: Market) -> None:
    """Of 1 NXT and far too many tokens, only the tokens that go with 1 NXT are taken."""
    payload = LiquidityAdd(NXT_ASSET, place.a, NXT, 10**12, 1)
    pool = read_pool(place.chain.reader, address_of_pair(NXT_ASSET, place.a))
    assert place.chain.send(place.trader, "liquidity_add", payload) == ""
    first, second, shares = place.last_result()
    assert pool is not None
    assert shares == NXT * pool.shares // (1_000 * NXT)
    assert first == -(-shares * 1_000 * NXT // pool.shares) <= NXT
    assert second == -(-shares * 2 * 10**12 // pool.shares) <= 2 * 10**9


def test_D2_addition_below_the_signed_shares_is_rejected(place: Market) -> None:
    payload = LiquidityAdd(NXT_ASSET, place.a, NXT, 10**12, 2**62)
    assert place.chain.send(place.trader, "liquidity_add", payload) == "SlippageExceeded"


def test_D2_removal_below_the_signed_amounts_is_rejected(place: Market) -> None:
    for least in ((2**62, 0), (0, 2**62)):
        payload = LiquidityRemove(NXT_ASSET, place.a, 10**9, *least)
        assert place.chain.send(place.founder, "liquidity_remove", payload) == "SlippageExceeded"


def test_D1_adding_and_removing_gains_nothing(place: Market) -> None:
    place.chain.send(place.trader, "liquidity_add", LiquidityAdd(NXT_ASSET, place.a, 12_345_679, 10**12, 1))
    first, second, shares = place.last_result()
    place.chain.send(place.trader, "liquidity_remove", LiquidityRemove(NXT_ASSET, place.a, shares, 0, 0))
    back = place.last_result()
    assert (first - back[0], second - back[1]) in [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_shares_that_are_worth_nothing_are_not_thrown_away(place: Market) -> None:
    chain = place.chain
    found_pool(chain, place.founder, {place.a: 1_000, place.c: 10**10})
    for payload in (Swap((place.c, place.a), 0, 10**14 // 2, 1),):
        chain.send(place.trader, "swap", payload)
    first, second = sorted((place.a, place.c))
    assert chain.send(place.founder, "liquidity_remove", LiquidityRemove(first, second, 1, 0, 0)) == ""
    assert 0 in place.last_result()


@pytest.mark.parametrize("kind", ["liquidity_add", "liquidity_remove", "swap"])
def test_pool_that_does_not_exist_is_named(place: Market, kind: str) -> None:
    first, second = sorted((place.a, place.c))
    payload = {
        "liquidity_add": LiquidityAdd(first, second, 1_000, 1_000, 1),
        "liquidity_remove": LiquidityRemove(first, second, 1, 0, 0),
        "swap": Swap((first, second), 0, 1_000, 1),
    }[kind]
    assert place.chain.send(place.trader, kind, payload) == "UnknownPool"


@pytest.mark.parametrize(
    "payload",
    [
        PoolCreate(b"b" * 20, b"a" * 20, 30, 10**6, 10**6),
        PoolCreate(b"a" * 20, b"a" * 20, 30, 10**6, 10**6),
        PoolCreate(NXT_ASSET, b"a" * 20, 9, 10**6, 10**6),
        PoolCreate(NXT_ASSET, b"a" * 20, 51, 10**6, 10**6),
        PoolCreate(NXT_ASSET, b"a" * 20, 30, 0, 10**6),
        PoolCreate(NXT_ASSET, b"a" * 20, 30, 10**6, 2**63),
        LiquidityAdd(b"b" * 20, b"a" * 20, 1, 1, 1),
        LiquidityAdd(NXT_ASSET, b"a" * 20, 0, 1, 1),
        LiquidityRemove(NXT_ASSET, b"a" * 20, 0, 0, 0),
        LiquidityRemove(b"b" * 20, NXT_ASSET, 1, 0, 0),
    ],
)
def test_payload_out_of_range_never_becomes_a_transaction(place: Market, payload: Record) -> None:
    kinds = {PoolCreate: "pool_create", LiquidityAdd: "liquidity_add", LiquidityRemove: "liquidity_remove"}
    with pytest.raises(LedgerError):
        place.chain.signed(place.trader, kinds[type(payload)], payload)


def test_vote_sets_the_fee_of_one_pool_within_its_bounds(place: Market) -> None:
    pool, other = address_of_pair(NXT_ASSET, place.a), address_of_pair(NXT_ASSET, place.b)
    overlay = Overlay(place.chain.reader)
    write_parameter(overlay, POOL_FEE_BP, 50, pool)
    assert (effective_fee_bp(overlay, pool), effective_fee_bp(overlay, other)) == (50, 30)
    for fee in (9, 51):
        with pytest.raises(LedgerError, match="its bounds are 10 to 50"):
            write_parameter(overlay, POOL_FEE_BP, fee, pool)
    place.chain.apply(overlay.changes())
    place.chain.send(place.trader, "swap", Swap((NXT_ASSET, place.a), 0, NXT, 1))
    kept = NXT * 9_950
    assert place.last_result()[1] == kept * 2 * 10**12 // (1_000 * NXT * 10_000 + kept)


def test_system_account_can_provide_liquidity(place: Market) -> None:
    sector, pool = SECTOR_ADDRESSES[0], address_of_pair(NXT_ASSET, place.a)
    overlay = Overlay(place.chain.reader)
    overlay.debit(address_of(place.trader.public_key), 10 * NXT)
    overlay.credit(sector, 10 * NXT)
    credit_tokens(overlay, place.a, sector, 2 * 10**10)
    first, second, shares = add_liquidity(
        overlay, sector, pool, 10 * NXT, 2 * 10**10, 1, place.chain.context()
    )
    assert read_position(overlay, pool, sector).shares == shares
    assert overlay.account(sector).balance == 10 * NXT - first
    assert token_balance(overlay, sector, place.a) == 2 * 10**10 - second


def test_queries_list_pools_and_positions(place: Market) -> None:
    store, founder = place.chain.store(), address_of(place.founder.public_key)
    views = list(pools(store))
    assert len(views) == 4
    assert [view.pool.address for view in views] == sorted(view.pool.address for view in views)
    pool = address_of_pair(NXT_ASSET, place.a)
    view = pool_view(store, pool)
    assert view in views and view is not None
    assert (view.reserve_first, view.reserve_second, view.fee_bp) == (1_000 * NXT, 2 * 10**12, 30)
    held = list(positions_of(store, founder))
    assert len(held) == 4
    assert position_view(store, pool, founder) in held
    assert position_view(store, b"n" * 20, founder) is None
    [mine] = [one for one in held if one.pool.address == pool]
    assert 1_000 * NXT - mine.first < 1_000 * 1_000 * NXT // view.pool.shares + 2


def test_pool_record_round_trips() -> None:
    pool = Pool(b"p" * 20, NXT_ASSET, b"t" * 20, 30, 2**63 - 1, 1_000, 7, 3, 2**256 - 1, 2**200)
    assert decode_pool(b"p" * 20, encode_pool(pool)) == pool
    assert len(encode_pool(pool)) == 138
    for damaged in (b"", encode_pool(pool)[:-1], b"\xff" * 138):
        with pytest.raises(LedgerError):
            decode_pool(b"p" * 20, damaged)


# positions ------------------------------------------------------------------------------------------------------------


def test_locked_position_is_neither_removed_nor_lost(place: Market) -> None:
    pool, founder = address_of_pair(NXT_ASSET, place.a), address_of(place.founder.public_key)
    overlay = Overlay(place.chain.reader)
    lock_position(overlay, pool, founder, 3)
    lock_position(overlay, pool, founder, 2)
    lock_position(overlay, pool, b"n" * 20, 3)
    assert read_position(overlay, pool, founder).locked_until_epoch == 3
    assert overlay.get(position_key(pool, b"n" * 20)) is None
    place.chain.apply(overlay.changes())
    payload = LiquidityRemove(NXT_ASSET, place.a, 5, 0, 0)
    place.chain.epoch = 2
    assert place.chain.send(place.founder, "liquidity_remove", payload) == "PositionLocked"
    add = LiquidityAdd(NXT_ASSET, place.a, NXT, 10**12, 1)
    assert place.chain.send(place.founder, "liquidity_add", add) == ""
    assert read_position(place.chain.reader, pool, founder).locked_until_epoch == 3
    place.chain.epoch = 3
    assert place.chain.send(place.founder, "liquidity_remove", payload) == ""


def test_G5_shares_count_for_a_vote_only_when_they_were_there_before_its_snapshot() -> None:
    position = with_added(with_added(NO_POSITION, 100, 5, 0), 40, 9, 0)
    assert [shares_held_before(position, epoch) for epoch in (5, 6, 9, 10)] == [0, 100, 100, 140]


def test_G5_what_is_removed_are_the_newest_shares() -> None:
    position = with_removed(with_added(with_added(NO_POSITION, 100, 5, 0), 40, 9, 0), 50)
    assert position.shares == 90
    assert [shares_held_before(position, epoch) for epoch in (5, 6, 10)] == [0, 90, 90]
    assert with_removed(position, 90) == NO_POSITION


def test_G5_shares_borrowed_for_an_epoch_do_not_make_the_own_ones_older() -> None:
    before = with_added(NO_POSITION, 100, 5, 0)
    borrowed = with_added(before, 10**9, 9, 0)
    assert shares_held_before(borrowed, 9) == 100
    assert with_removed(borrowed, 10**9) == before


def test_additions_of_one_epoch_are_one() -> None:
    position = with_added(with_added(NO_POSITION, 1, 5, 0), 2, 5, 0)
    assert len(position.additions) == 1 and shares_held_before(position, 6) == 3


def test_too_many_additions_never_make_a_share_older() -> None:
    position, truth = NO_POSITION, []
    for epoch in range(40):
        shares = 1 + epoch * 7 % 11
        position = with_added(position, shares, epoch, 0)
        truth.append((epoch, shares))
        assert len(position.additions) <= 8
        assert [one.epoch for one in position.additions] == sorted({one.epoch for one in position.additions})
        for asked in range(epoch + 2):
            real = sum(shares for came, shares in truth if came < asked)
            assert 0 <= shares_held_before(position, asked) <= real
        assert shares_held_before(position, epoch + 1) == position.shares == sum(one for _, one in truth)


def test_additions_before_every_open_vote_are_forgotten_and_count() -> None:
    position = with_added(with_added(NO_POSITION, 100, 5, 0), 7, 30, 6)
    assert position == Position(107, position.additions[-1:], 0)
    assert shares_held_before(position, 6) == 100


# faults ---------------------------------------------------------------------------------------------------------------


def actions(place: Market) -> dict[str, Record]:
    first, second = sorted((place.a, place.c))
    return {
        "pool_create": PoolCreate(first, second, 30, 10**9, 10**9),
        "liquidity_add": LiquidityAdd(NXT_ASSET, place.a, NXT, 10**12, 1),
        "liquidity_remove": LiquidityRemove(*sorted((place.a, place.b)), 10**6, 0, 0),
    }


@pytest.mark.parametrize("kind", ["pool_create", "liquidity_add", "liquidity_remove"])
def test_L25_fault_at_any_write_leaves_the_root(place: Market, kind: str) -> None:
    place.chain.epoch = 1
    transaction = place.chain.signed(place.founder, kind, actions(place)[kind])
    registered = place.chain.registry.named(kind)
    assert registered is not None
    writes = fail_at_every_write(
        place.chain.state,
        lambda overlay: registered.apply(overlay, transaction, transaction.payload, place.chain.context()),
    )
    assert writes == 7


@pytest.mark.parametrize("kind", ["pool_create", "liquidity_add", "liquidity_remove"])
def test_kind_touches_no_more_records_than_it_pays_for_and_undoes(place: Market, kind: str) -> None:
    place.chain.go_to(1)
    transaction = place.chain.signed(place.founder, kind, actions(place)[kind])
    outcome = execute_mergeset(
        place.chain.reader,
        [merged_block([transaction], epoch=1)],
        place.chain.context(),
        place.chain.registry,
    )
    assert outcome.receipts[0].reason == ""
    of_the_fee = {account_key(transaction.sender), account_key(FEES_ADDRESS), fee_credit_key(0), b"lf"}
    registered = place.chain.registry.named(kind)
    assert registered is not None
    assert len(set(outcome.changes) - of_the_fee) == registered.touches(transaction.payload)
    before = dict(place.chain.state)
    place.chain.apply(outcome.changes)
    place.chain.apply(outcome.previous)
    assert place.chain.state == before


def test_rejection_leaves_every_reserve_where_it_was(place: Market) -> None:
    overlay = Overlay(place.chain.reader)
    poor, pool = b"p" * 20, address_of_pair(place.a, place.b)
    overlay.put(b"tb" + poor + min(place.a, place.b), (10**9).to_bytes(8, "big"))
    with pytest.raises(Rejected) as caught:
        add_liquidity(overlay, poor, pool, 10**8, 10**8, 1, place.chain.context())
    assert caught.value.reason == "InsufficientTokens"
    payload = LiquidityAdd(NXT_ASSET, place.a, 10**6 * NXT, 2**62, 1)
    before = place.reserves(NXT_ASSET, place.a)
    assert place.chain.send(place.trader, "liquidity_add", payload) in (
        "InsufficientBalance",
        "InsufficientTokens",
    )
    assert place.reserves(NXT_ASSET, place.a) == before
    assert asset_balance(place.chain.reader, pool, place.a) == 3 * 10**12
