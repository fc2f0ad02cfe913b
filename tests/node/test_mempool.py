"""The mempool: order, bounds, replacement, eviction, and what happens when the chain moves."""

import random
from collections.abc import Iterable

import pytest
from builders.wallets import RULES, address_number, key_number, transfer

from ledger.accounts import Account
from ledger.rules import minimum_fee
from ledger.transactions import SignedTransaction
from node.mempool import (
    IN_FLIGHT_SLOTS,
    MAX_AGE_S,
    WAITED_SLOTS,
    Mempool,
)
from node.mempool_errors import (
    AccountQueueFull,
    AlreadyPending,
    AmountAboveBalance,
    BalanceTooLow,
    ExpiryTooFar,
    MempoolFull,
    MempoolRejected,
    NonceGapTooWide,
    NonceTooLow,
    ReplacedTooOften,
    ReplacementFeeTooLow,
    TransactionExpired,
)
from node.mempool_rules import (
    MAX_NONCE_GAP,
    MAX_PENDING_PER_ACCOUNT,
    REPLACEMENT_WINDOW_S,
    REPLACEMENTS_PER_WINDOW,
    MempoolLimits,
    fee_rate,
)

RICH = Account(10**12, 0)
EPOCH_SLOTS = 100
BLOCK = 512 * 1024


def pool(transactions: int = 1_000, size: int = 10**7, *, lanes: int = 1) -> Mempool:
    """`lanes` 1: every sender belongs to lane 0."""
    return Mempool(
        MempoolLimits(transactions, size),
        lambda size_bytes: minimum_fee(RULES, size_bytes),
        lambda slot: slot // EPOCH_SLOTS,
        lambda sender, epoch: (sender[0] + epoch) % lanes,
        lambda transaction: transaction.payload.amount,
    )


def add(
    mempool: Mempool,
    transaction: SignedTransaction,
    account: Account = RICH,
    *,
    now_s: float = 0.0,
    slot: int = 1,
    own: bool = False,
) -> None:
    mempool.add(transaction, account, now_s=now_s, slot=slot, own=own)


def accounts(nonces: dict[bytes, int], balance: int = 10**12):
    return lambda sender: Account(balance, nonces.get(sender, 0))


def ids(transactions: Iterable[SignedTransaction]) -> list[bytes]:
    return [one.id for one in transactions]


def test_candidates_come_by_fee_rate_whatever_the_order_of_arrival() -> None:
    offers = [transfer(key_number(n), 0, fee=10_000 + 100 * n) for n in range(20)]
    expected = ids(sorted(offers, key=lambda one: (-fee_rate(one), one.id)))
    for seed in range(3):
        mempool = pool()
        shuffled = offers[:]
        random.Random(seed).shuffle(shuffled)
        for one in shuffled:
            add(mempool, one)
        assert ids(mempool.candidates(0, 1, limit_bytes=BLOCK)) == expected


def test_equal_fee_rates_are_ordered_by_id() -> None:
    mempool = pool()
    offers = [transfer(key_number(n), 0, fee=10_000) for n in range(10)]
    for one in offers:
        add(mempool, one)
    assert ids(mempool.candidates(0, 1, limit_bytes=BLOCK)) == sorted(ids(offers))


def test_a_high_fee_does_not_overtake_its_senders_earlier_nonce() -> None:
    mempool = pool()
    cheap, dear = transfer(key_number(1), 0, fee=5_000), transfer(key_number(1), 1, fee=90_000)
    other = transfer(key_number(2), 0, fee=6_000)
    for one in (dear, cheap, other):
        add(mempool, one)
    assert ids(mempool.candidates(0, 1, limit_bytes=BLOCK)) == [other.id, cheap.id, dear.id]


def test_nothing_after_a_missing_nonce_is_offered() -> None:
    mempool = pool()
    first, third = transfer(key_number(1), 0), transfer(key_number(1), 2)
    add(mempool, first)
    add(mempool, third)
    assert ids(mempool.candidates(0, 1, limit_bytes=BLOCK)) == [first.id]


def test_candidates_respect_the_limit_in_bytes() -> None:
    mempool = pool()
    for n in range(10):
        add(mempool, transfer(key_number(n), 0))
    size = len(transfer(key_number(0), 0).raw)
    assert len(mempool.candidates(0, 1, limit_bytes=3 * size + size // 2)) == 3


def test_a_transaction_that_does_not_fit_lets_smaller_ones_pass() -> None:
    mempool = pool()
    large, small = transfer(key_number(1), 0, fee=90_000, memo=bytes(250)), transfer(key_number(2), 0)
    add(mempool, large)
    add(mempool, small)
    assert ids(mempool.candidates(0, 1, limit_bytes=len(large.raw) - 1)) == [small.id]


def test_lanes_share_the_senders_until_their_transactions_have_waited() -> None:
    mempool = pool(lanes=6)
    offers = [transfer(key_number(n), 0) for n in range(30)]
    for one in offers:
        add(mempool, one, slot=10)
    early = [mempool.candidates(lane, 11, limit_bytes=BLOCK) for lane in range(6)]
    assert sorted(ids(sum(early, ()))) == sorted(ids(offers))
    for lane, chosen in enumerate(early):
        assert all(one.sender[0] % 6 == lane for one in chosen)
    late = mempool.candidates(3, 10 + WAITED_SLOTS, limit_bytes=BLOCK)
    assert sorted(ids(late)) == sorted(ids(offers))


def test_lanes_are_dealt_anew_each_epoch() -> None:
    mempool = pool(lanes=6)
    one = transfer(key_number(1), 0)
    slot = EPOCH_SLOTS - 1
    add(mempool, one, slot=slot)
    lane = one.sender[0] % 6
    assert ids(mempool.candidates(lane, slot, limit_bytes=BLOCK)) == [one.id]
    assert ids(mempool.candidates(lane, slot + 1, limit_bytes=BLOCK)) == []
    assert ids(mempool.candidates((lane + 1) % 6, slot + 1, limit_bytes=BLOCK)) == [one.id]


def test_what_a_block_carries_is_left_out_until_the_block_counts_as_lost() -> None:
    mempool = pool()
    carried, next_one = transfer(key_number(1), 0), transfer(key_number(1), 1)
    add(mempool, carried, slot=5)
    add(mempool, next_one, slot=5)
    mempool.on_block([carried.id], 6)
    assert ids(mempool.candidates(0, 7, limit_bytes=BLOCK)) == [next_one.id]
    assert ids(mempool.candidates(0, 6 + IN_FLIGHT_SLOTS, limit_bytes=BLOCK)) == [carried.id, next_one.id]


def test_what_expires_before_the_next_slot_is_refused_and_dropped() -> None:
    mempool = pool()
    with pytest.raises(TransactionExpired):
        add(mempool, transfer(key_number(1), 0, expiry_slot=7), slot=7)
    one = transfer(key_number(1), 0, expiry_slot=8)
    add(mempool, one, slot=7)
    assert mempool.expire(now_s=0, slot=8) == (one.id,)
    assert mempool.drop_reason(one.id) == "TransactionExpired"
    assert len(mempool) == mempool.size_bytes == 0


def test_an_expiry_that_no_block_may_carry_is_refused() -> None:
    limits = MempoolLimits(max_expiry_slots=50)
    mempool = Mempool(limits, lambda size: 0, lambda slot: 0, lambda sender, epoch: 0, lambda one: 0)
    add(mempool, transfer(key_number(1), 0, expiry_slot=57), slot=7)
    with pytest.raises(ExpiryTooFar):
        add(mempool, transfer(key_number(2), 0, expiry_slot=58), slot=7)


def test_a_used_nonce_is_refused() -> None:
    with pytest.raises(NonceTooLow):
        add(pool(), transfer(key_number(1), 4), Account(10**9, 5))


def test_the_same_bytes_are_refused_twice() -> None:
    mempool = pool()
    add(mempool, transfer(key_number(1), 0))
    with pytest.raises(AlreadyPending):
        add(mempool, transfer(key_number(1), 0))


def test_what_the_account_does_not_own_is_refused_at_once() -> None:
    mempool = pool()
    payment = transfer(key_number(1), 0, fee=10_000)
    needed = 10_000 + payment.payload.amount
    with pytest.raises(AmountAboveBalance) as refused:
        add(mempool, payment, Account(needed - 1, 0))
    assert (refused.value.needed, refused.value.balance) == (needed, needed - 1)
    add(mempool, payment, Account(needed, 0))


def test_fees_of_all_pending_must_be_payable() -> None:
    mempool = pool()
    poor = Account(15_000, 0)
    add(mempool, transfer(key_number(1), 0, fee=10_000), poor)
    with pytest.raises(BalanceTooLow):
        add(mempool, transfer(key_number(1), 1, fee=5_001), poor)
    add(mempool, transfer(key_number(1), 1, fee=5_000), poor)


def test_L4_an_account_has_at_most_64_pending_and_a_gap_of_16() -> None:
    mempool = pool()
    key = key_number(1)
    with pytest.raises(NonceGapTooWide):
        add(mempool, transfer(key, MAX_NONCE_GAP + 1))
    add(mempool, transfer(key, MAX_NONCE_GAP))
    for nonce in range(MAX_NONCE_GAP):
        add(mempool, transfer(key, nonce))
    for nonce in range(MAX_NONCE_GAP + 1, MAX_PENDING_PER_ACCOUNT):
        add(mempool, transfer(key, nonce))
    with pytest.raises(AccountQueueFull):
        add(mempool, transfer(key, MAX_PENDING_PER_ACCOUNT))
    assert len(mempool.pending_of(address_number(1))) == MAX_PENDING_PER_ACCOUNT


def test_L4_nothing_waits_longer_than_an_hour() -> None:
    mempool = pool()
    one, two = transfer(key_number(1), 0), transfer(key_number(2), 0)
    add(mempool, one, now_s=0)
    add(mempool, two, now_s=1)
    assert mempool.expire(now_s=MAX_AGE_S, slot=1) == (one.id,)
    assert two.id in mempool
    assert mempool.drop_reason(one.id) == "WaitedTooLong"


def test_N9_a_full_pool_evicts_the_lowest_fee_rate_and_refuses_less() -> None:
    mempool = pool(transactions=10)
    offers = [transfer(key_number(n), 0, fee=10_000 + n) for n in range(10)]
    for one in offers:
        add(mempool, one)
    with pytest.raises(MempoolFull):
        add(mempool, transfer(key_number(50), 0, fee=9_999))
    assert len(mempool) == 10
    better = transfer(key_number(51), 0, fee=20_000)
    assert mempool.add(better, RICH, now_s=0, slot=1).evicted == (offers[0].id,)
    assert mempool.drop_reason(offers[0].id) == "Evicted"
    assert mempool.fee_rate_floor() == fee_rate(offers[1])


def test_N9_the_byte_limit_holds_too() -> None:
    size = len(transfer(key_number(0), 0).raw)
    mempool = pool(size=10 * size)
    for n in range(40):
        try:
            add(mempool, transfer(key_number(n), 0, fee=4_000 + n))
        except MempoolFull:
            continue
        assert mempool.size_bytes <= 10 * size
    assert len(mempool) >= 9


def test_N9_eviction_takes_the_senders_later_nonces_too() -> None:
    mempool = pool(transactions=4)
    chain = [transfer(key_number(1), nonce, fee=fee) for nonce, fee in enumerate((50_000, 5_000, 60_000))]
    for one in chain:
        add(mempool, one)
    add(mempool, transfer(key_number(2), 0, fee=8_000))
    admission = mempool.add(transfer(key_number(3), 0, fee=9_000), RICH, now_s=0, slot=1)
    assert admission.evicted == (chain[1].id, chain[2].id)
    assert ids(mempool.pending_of(address_number(1))) == [chain[0].id]


def test_N9_own_transactions_are_never_evicted() -> None:
    mempool = pool(transactions=3)
    own = transfer(key_number(1), 0, fee=5_000)
    add(mempool, own, own=True)
    for n in range(2, 12):
        add(mempool, transfer(key_number(n), 0, fee=10_000 * n))
    assert own.id in mempool
    assert len(mempool) == 3


def test_N9_an_own_transaction_that_finds_no_room_gets_an_error() -> None:
    mempool = pool(transactions=2)
    for n in (1, 2):
        add(mempool, transfer(key_number(n), 0, fee=50_000), own=True)
    with pytest.raises(MempoolFull):
        add(mempool, transfer(key_number(3), 0, fee=90_000), own=True)


def test_N9_a_newcomer_never_evicts_its_own_predecessor() -> None:
    mempool = pool(transactions=2)
    first = transfer(key_number(1), 0, fee=5_000)
    add(mempool, first)
    add(mempool, transfer(key_number(2), 0, fee=50_000))
    with pytest.raises(MempoolFull):
        add(mempool, transfer(key_number(1), 1, fee=90_000))
    assert first.id in mempool


def test_N10_a_replacement_pays_a_tenth_and_a_least_fee_more() -> None:
    mempool = pool()
    old = transfer(key_number(1), 0, fee=100_000)
    add(mempool, old)
    with pytest.raises(ReplacementFeeTooLow):
        add(mempool, transfer(key_number(1), 0, fee=109_999))
    new = transfer(key_number(1), 0, fee=110_000)
    assert mempool.add(new, RICH, now_s=0, slot=1).replaced == old.id
    assert len(mempool) == 1 and mempool.drop_reason(old.id) == "Replaced"
    cheap = transfer(key_number(2), 0)
    add(mempool, cheap)
    with pytest.raises(ReplacementFeeTooLow):
        add(mempool, transfer(key_number(2), 0, fee=cheap.body.fee + minimum_fee(RULES, len(cheap.raw)) - 1))


def test_N10_a_larger_replacement_may_not_lower_the_fee_rate() -> None:
    mempool = pool()
    add(mempool, transfer(key_number(1), 0, fee=100_000))
    with pytest.raises(ReplacementFeeTooLow):
        add(mempool, transfer(key_number(1), 0, fee=130_000, memo=bytes(200)))


def test_N10_at_most_five_replacements_of_a_nonce_within_a_minute() -> None:
    mempool = pool()
    fee = 10_000
    add(mempool, transfer(key_number(1), 0, fee=fee))
    for _ in range(REPLACEMENTS_PER_WINDOW):
        fee *= 2
        add(mempool, transfer(key_number(1), 0, fee=fee), now_s=1)
    with pytest.raises(ReplacedTooOften):
        add(mempool, transfer(key_number(1), 0, fee=2 * fee), now_s=REPLACEMENT_WINDOW_S)
    add(mempool, transfer(key_number(1), 0, fee=2 * fee), now_s=REPLACEMENT_WINDOW_S + 1.5)


def test_accepted_transactions_leave_and_their_nonce_is_used() -> None:
    mempool = pool()
    first, rival, second = (
        transfer(key_number(1), 0),
        transfer(key_number(1), 0, amount=2),
        transfer(key_number(1), 1),
    )
    add(mempool, first)
    add(mempool, second)
    sender = first.sender
    mempool.on_chain_advanced([rival.id], (), accounts({sender: 1}), touched=[sender], now_s=0, slot=2)
    assert ids(mempool.pending_of(sender)) == [second.id]
    assert mempool.drop_reason(first.id) == "NonceTooLow"
    assert ids(mempool.candidates(0, 2, limit_bytes=BLOCK)) == [second.id]


def test_transactions_of_removed_chain_blocks_return_in_nonce_order() -> None:
    mempool = pool()
    chain = [transfer(key_number(1), nonce) for nonce in range(3)]
    for one in chain:
        add(mempool, one)
    sender = chain[0].sender
    mempool.on_chain_advanced(ids(chain), (), accounts({sender: 3}), now_s=0, slot=2)
    assert len(mempool) == 0
    back = mempool.on_chain_advanced((), chain[::-1], accounts({sender: 0}), now_s=0, slot=3)
    assert ids(back) == ids(chain) == ids(mempool.candidates(0, 3, limit_bytes=BLOCK))


def test_an_own_transaction_that_returns_is_still_our_own() -> None:
    mempool = pool(transactions=1)
    own = transfer(key_number(1), 0, fee=5_000)
    add(mempool, own, own=True)
    mempool.on_chain_advanced([own.id], (), accounts({own.sender: 1}), now_s=0, slot=2)
    mempool.on_chain_advanced((), [own], accounts({own.sender: 0}), now_s=0, slot=3)
    with pytest.raises(MempoolFull):
        add(mempool, transfer(key_number(2), 0, fee=90_000), slot=3)
    assert own.id in mempool


def naive_candidates(pending: dict[bytes, SignedTransaction], nonces: dict[bytes, int]) -> list[bytes]:
    """The definition: again and again the best transaction whose sender's earlier nonces are all chosen."""
    chosen: list[bytes] = []
    next_nonce = dict(nonces)
    remaining = dict(pending)
    while True:
        ready = [one for one in remaining.values() if one.body.nonce == next_nonce.get(one.sender, 0)]
        if not ready:
            return chosen
        best = min(ready, key=lambda one: (-fee_rate(one), one.id))
        chosen.append(best.id)
        next_nonce[best.sender] = best.body.nonce + 1
        del remaining[best.id]


@pytest.mark.parametrize("seed", range(6))
def test_random_operations_agree_with_a_plain_model(seed: int) -> None:
    chance = random.Random(seed)
    limit = 40
    mempool = pool(transactions=limit)
    keys = [key_number(n) for n in range(8)]
    nonces = {address_number(n): 0 for n in range(8)}
    settled: list[SignedTransaction] = []
    known: dict[bytes, SignedTransaction] = {}
    now_s, slot = 0.0, 1
    for _ in range(400):
        action = chance.random()
        if action < 0.75:
            number = chance.randrange(8)
            sender = address_number(number)
            one = transfer(
                keys[number],
                nonces[sender] + chance.randrange(5),
                fee=chance.randrange(5_000, 60_000),
                expiry_slot=slot + chance.randrange(1, 40),
            )
            before = {entry.id for entry in mempool.entries(limit)}
            try:
                admission = mempool.add(
                    one, Account(10**9, nonces[sender]), now_s=now_s, slot=slot, own=chance.random() < 0.1
                )
            except MempoolRejected:
                assert {entry.id for entry in mempool.entries(limit)} == before
            else:
                known[one.id] = one
                gone = {*admission.evicted, *([admission.replaced] if admission.replaced else [])}
                assert {entry.id for entry in mempool.entries(limit)} == (before | {one.id}) - gone
        elif action < 0.85:
            taken = mempool.candidates(0, slot, limit_bytes=chance.randrange(300, 2_000))
            for one in taken:
                nonces[one.sender] = one.body.nonce + 1
            settled.extend(taken)
            mempool.on_chain_advanced(
                ids(taken), (), accounts(nonces, 10**9), touched=nonces, now_s=now_s, slot=slot
            )
        elif action < 0.9 and settled:
            back = [settled.pop() for _ in range(min(len(settled), chance.randrange(1, 6)))]
            for one in back:
                nonces[one.sender] = min(nonces[one.sender], one.body.nonce)
            mempool.on_chain_advanced(
                (), back, accounts(nonces, 10**9), touched=nonces, now_s=now_s, slot=slot
            )
        else:
            now_s += 3
            slot += 1
            mempool.expire(now_s=now_s, slot=slot)
        pending = {one.id: one for one in mempool.entries(10_000)}
        assert len(pending) == len(mempool) <= limit
        assert mempool.size_bytes == sum(len(one.raw) for one in pending.values())
        by_sender: dict[bytes, list[int]] = {}
        for one in pending.values():
            assert one.body.nonce >= nonces[one.sender] and one.body.expiry_slot > slot
            by_sender.setdefault(one.sender, []).append(one.body.nonce)
        for used in by_sender.values():
            assert len(set(used)) == len(used) <= MAX_PENDING_PER_ACCOUNT
        assert ids(mempool.candidates(0, slot, limit_bytes=BLOCK)) == naive_candidates(pending, nonces)


class CountedRank(tuple[int, bytes]):
    """A rank that counts how often it is compared."""

    compared = 0

    def __lt__(self, other: tuple[int, bytes]) -> bool:
        CountedRank.compared += 1
        return tuple.__lt__(self, other)

    def __gt__(self, other: tuple[int, bytes]) -> bool:
        CountedRank.compared += 1
        return tuple.__gt__(self, other)


def test_an_insertion_into_a_large_pool_compares_logarithmically_often() -> None:
    def comparisons(total: int) -> int:
        mempool = pool(transactions=total + 1)
        mempool._ranked.extend(CountedRank((-n, bytes(32))) for n in range(total, 0, -1))
        CountedRank.compared = 0
        add(mempool, transfer(key_number(1), 0))
        return CountedRank.compared

    assert 8 <= comparisons(256) <= 10
    assert 14 <= comparisons(16_384) <= 16
