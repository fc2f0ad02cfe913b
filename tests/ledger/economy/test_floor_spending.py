"""Claims and purchases: what an allowance buys, what is refused, and what leaves F_FLOOR."""

from random import Random

import pytest
from builders.floor import MONTH_UNITS, NXT, FloorChain

from ledger.accounts import F_FLOOR_ADDRESS, TREASURY_ADDRESS
from ledger.addresses import NXT_ASSET, pool_address
from ledger.economy.apportionment import largest_remainder
from ledger.economy.floor.categories import CATEGORIES
from ledger.economy.floor.spending import FLOOR_CLAIM, FLOOR_SPEND, FloorClaim, FloorSpend
from ledger.errors import Malformed, PayloadInvalid, RecipientRefused
from ledger.governed.parameters import FLOOR_CASH_PPM
from ledger.issuance import read_flows

FOOD, WATER = CATEGORIES.index("food"), CATEGORIES.index("water")


def paid_chain(**options: object) -> FloorChain:
    """Accounts 0 and 1 are citizens and have a whole month."""
    chain = FloorChain(**options)  # type: ignore[arg-type]
    chain.admit(0, 1)
    chain.fund(10_000 * NXT)
    chain.go_to(30)
    return chain


def claim(chain: FloorChain, number: int, units: int) -> str:
    return chain.send(chain.accounts[number], "floor_claim", FloorClaim(units))


def spend(chain: FloorChain, number: int, category: int, units: int, recipient: bytes | None = None) -> str:
    payload = FloorSpend(category, chain.address(4) if recipient is None else recipient, units)
    return chain.send(chain.accounts[number], "floor_spend", payload)


def test_claim_of_nothing_named_pays_everything() -> None:
    chain = paid_chain()
    before, fund, flows = (
        chain.account(chain.accounts[0]).balance,
        chain.system("F_FLOOR"),
        read_flows(chain.reader),
    )
    assert claim(chain, 0, 0) == ""
    fee = chain.outcomes[-1].receipts[-1].fee
    assert chain.result() == (MONTH_UNITS,)
    assert chain.account(chain.accounts[0]).balance == before + MONTH_UNITS - fee
    assert chain.system("F_FLOOR") == fund - MONTH_UNITS
    assert read_flows(chain.reader).issued_units == flows.issued_units + MONTH_UNITS
    assert chain.citizen(0).left_units == 0
    assert chain.floor.paid_units == MONTH_UNITS
    assert chain.floor.owed_units == MONTH_UNITS, "the other citizen's"
    assert chain.floor_faults() == []


def test_claim_takes_from_all_categories_in_proportion() -> None:
    chain = paid_chain()
    before = chain.citizen(0).citizen.left
    assert claim(chain, 0, 115 * NXT) == ""
    after = chain.citizen(0).citizen.left
    taken = [one - other for one, other in zip(before, after, strict=True)]
    assert sum(taken) == 115 * NXT
    assert all(abs(part - left // 10) <= 1 for part, left in zip(taken, before, strict=True))
    assert chain.floor_faults() == []


def test_settled_claim_and_lazy_claim_pay_the_same() -> None:
    one, other = FloorChain(), FloorChain()
    for chain in (one, other):
        chain.admit(0)
        chain.fund(10_000 * NXT)
    for epoch in range(1, 12):
        one.go_to(epoch)
        other.go_to(epoch)
        assert claim(one, 0, 0) == ""
    assert claim(other, 0, 0) == ""
    assert one.citizen(0).citizen.claimed_units == other.citizen(0).citizen.claimed_units
    assert one.citizen(0).citizen.left == other.citizen(0).citizen.left == (0,) * 7


def test_claim_above_the_allowance_is_refused() -> None:
    chain = paid_chain()
    assert claim(chain, 0, MONTH_UNITS + 1) == "AllowanceExceeded"
    assert claim(chain, 0, MONTH_UNITS) == ""
    assert claim(chain, 0, 1) == "AllowanceExceeded"
    assert claim(chain, 0, 0) == "NothingToClaim"


def test_only_citizens_claim_and_spend() -> None:
    chain = paid_chain()
    assert claim(chain, 2, 0) == "NotCitizen"
    assert spend(chain, 2, FOOD, 1) == "NotCitizen"


def test_part_that_may_be_money_is_not_outrun_by_many_claims() -> None:
    chain = paid_chain(parameters=[(FLOOR_CASH_PPM.number, 400_000)])
    assert chain.citizen(0).claimable_units == 460 * NXT
    assert claim(chain, 0, 460 * NXT + 1) == "AllowanceExceeded"
    assert claim(chain, 0, 0) == ""
    assert chain.result() == (460 * NXT,)
    assert claim(chain, 0, 0) == "NothingToClaim"
    assert spend(chain, 0, FOOD, 100 * NXT) == ""
    assert claim(chain, 0, 0) == "NothingToClaim", "spending frees no money"
    chain.go_to(60)
    assert claim(chain, 0, 0) == ""
    assert chain.result() == (460 * NXT,)
    assert chain.floor_faults() == []


def test_no_money_at_all_when_governance_says_so() -> None:
    chain = paid_chain(parameters=[(FLOOR_CASH_PPM.number, 0)])
    assert claim(chain, 0, 0) == "NothingToClaim"
    assert spend(chain, 0, FOOD, 250 * NXT) == ""


def test_lowered_part_takes_nothing_back() -> None:
    chain = paid_chain()
    assert claim(chain, 0, 1_000 * NXT) == ""
    chain.govern(FLOOR_CASH_PPM, 100_000)
    assert chain.citizen(0).claimable_units == 0
    assert chain.citizen(0).left_units == 150 * NXT
    assert chain.floor_faults() == []


def test_purchase_pays_the_merchant_out_of_its_category() -> None:
    chain = paid_chain()
    merchant, left = chain.account(chain.accounts[4]).balance, chain.citizen(0).citizen.left
    assert spend(chain, 0, FOOD, 40 * NXT) == ""
    assert chain.result() == (40 * NXT,)
    assert chain.account(chain.accounts[4]).balance == merchant + 40 * NXT
    after = chain.citizen(0).citizen
    assert after.left == (left[FOOD] - 40 * NXT, *left[1:])
    assert (after.spent_units, after.claimed_units) == (40 * NXT, 0)
    assert chain.floor_faults() == []


def test_purchase_above_the_categorys_allowance_is_refused_although_others_are_full() -> None:
    chain = paid_chain()
    left = chain.citizen(0).citizen.left[WATER]
    assert spend(chain, 0, WATER, left + 1) == "AllowanceExceeded"
    assert chain.citizen(0).citizen.left[WATER] == left
    assert spend(chain, 0, WATER, left) == ""
    assert spend(chain, 0, WATER, 1) == "AllowanceExceeded"
    assert spend(chain, 0, FOOD, 1) == ""


def test_purchase_from_oneself_is_refused() -> None:
    chain = paid_chain()
    assert spend(chain, 0, FOOD, 1, recipient=chain.address(0)) == "OwnAddress"


@pytest.mark.parametrize("recipient", [F_FLOOR_ADDRESS, TREASURY_ADDRESS, pool_address(NXT_ASSET, b"t" * 20)])
def test_purchase_from_a_reserved_address_is_refused_in_isolation(recipient: bytes) -> None:
    with pytest.raises(RecipientRefused):
        FLOOR_SPEND.check_payload(FloorSpend(FOOD, recipient, 1), FloorChain().rules)


def test_purchase_of_nothing_is_refused_in_isolation() -> None:
    with pytest.raises(PayloadInvalid):
        FLOOR_SPEND.check_payload(FloorSpend(FOOD, b"m" * 20, 0), FloorChain().rules)


@pytest.mark.parametrize("category", [-1, 7, 255])
def test_unknown_category_does_not_decode(category: int) -> None:
    raw = FLOOR_SPEND.payload_codec.encode(FloorSpend(category, b"m" * 20, 1))
    with pytest.raises(Malformed):
        FLOOR_SPEND.payload_codec.decode(raw)


def test_claim_above_the_supply_does_not_decode() -> None:
    raw = FLOOR_CLAIM.payload_codec.encode(FloorClaim(10**14 + 1))
    with pytest.raises(Malformed):
        FLOOR_CLAIM.payload_codec.decode(raw)


def test_two_claims_in_one_merge_set_are_paid_once() -> None:
    chain = paid_chain()
    first = chain.signed(chain.accounts[0], "floor_claim", FloorClaim(0))
    second = chain.signed(chain.accounts[0], "floor_claim", FloorClaim(0), nonce=first.body.nonce + 1)
    assert chain.run(first, second) == ["", "NothingToClaim"]
    assert chain.floor.paid_units == MONTH_UNITS
    assert chain.floor_faults() == []


def test_undo_of_a_claim_and_a_purchase_is_exact() -> None:
    chain = paid_chain()
    for act in (lambda: claim(chain, 0, 7), lambda: spend(chain, 1, FOOD, 9)):
        before = dict(chain.state)
        assert act() == ""
        chain.apply(chain.outcomes[-1].previous)
        assert chain.state == before


def test_largest_remainder_loses_nothing_and_takes_no_more_than_there_is() -> None:
    random = Random(3)
    for _ in range(2_000):
        weights = [random.randrange(10 ** random.randrange(1, 15)) for _ in range(7)]
        weights[random.randrange(7)] += 1
        units = random.randrange(sum(weights) + 1)
        parts = largest_remainder(units, weights)
        assert sum(parts) == units
        for part, weight in zip(parts, weights, strict=True):
            assert 0 <= part <= weight
            assert abs(part * sum(weights) - units * weight) < sum(weights)


def test_equal_remainders_go_to_the_first() -> None:
    assert largest_remainder(2, (1, 1, 1)) == (1, 1, 0)
    assert largest_remainder(10, (0, 1, 2)) == (0, 3, 7)
