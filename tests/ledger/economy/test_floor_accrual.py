"""What an epoch pays to citizens' allowances: entitlement, release, funding, categories; and that it costs O(1)."""

from dataclasses import replace
from itertools import pairwise
from random import Random

import msgspec
import pytest
from builders.floor import MONTH_UNITS, NXT, FloorChain
from builders.ledger import block_context, devnet_rules

from ledger.accounts import F_FLOOR_ADDRESS, TREASURY_ADDRESS, Account, encode_account
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.economy.crisis import CrisisNeed
from ledger.economy.floor.accrual import accrue_floor, release_ppm, stability_ppm
from ledger.economy.floor.allowances import after_claim, after_spending, settled
from ledger.economy.floor.categories import CATEGORIES, divided, entitled_units, monthly_basket
from ledger.economy.floor.need import crisis_need, floor_need_units
from ledger.economy.floor.queries import floor_view
from ledger.economy.floor.records import EMPTY_FLOOR, FLOOR_KEY, Citizen, FloorState, read_floor, write_floor
from ledger.economy.floor.spending import FloorClaim
from ledger.epoch_steps import EpochChange
from ledger.epoch_transition import LEDGER_EPOCH_STEPS
from ledger.errors import ConservationBroken
from ledger.governed.parameters import (
    CRISIS_HORIZON_PPM,
    DEBT_CREDIT_UNITS_PER_MILLION_USD,
    FLOOR_FOOD_UNITS,
    FLOOR_RELEASE_LEAST_PPM,
    write_parameter,
)
from ledger.issuance import FLOWS_KEY, NO_FLOWS, encode_flows
from ledger.state import MappingState, Overlay, account_key
from ledger.transfer import move_units

BASKET = monthly_basket(MappingState({}))
LOW_BACKING = (DEBT_CREDIT_UNITS_PER_MILLION_USD.number, 1)
"""Floor credits of next to nothing: half of the income is released."""


def made_state(
    floor: FloorState, balance: int, circulating: int, conversion: int = 12_600_000
) -> MappingState:
    """A state of nothing but a floor."""
    overlay = Overlay(MappingState({}))
    write_parameter(overlay, DEBT_CREDIT_UNITS_PER_MILLION_USD, conversion)
    write_floor(overlay, floor)
    overlay.put(
        FLOWS_KEY, encode_flows(msgspec.structs.replace(NO_FLOWS, circulating_at_genesis=circulating))
    )
    values = {key: value for key, value in overlay.changes().items() if value is not None}
    values[account_key(F_FLOOR_ADDRESS)] = encode_account(Account(balance, 0))
    return MappingState(values)


def accrued(state: MappingState, epoch: int, month_epochs: int = 30) -> FloorState:
    """The floor after a transition to `epoch`, which writes nothing but the floor."""
    overlay = Overlay(state)
    context = block_context(devnet_rules(), epoch=epoch)
    context = replace(context, staking=replace(context.staking, epochs_per_year=12 * month_epochs))
    accrue_floor(overlay, EpochChange(context, read_floor(state).epoch, {}))
    assert list(overlay.changes()) == [FLOOR_KEY]
    return read_floor(overlay)


def test_basket_is_1150_nxt_a_month() -> None:
    assert dict(zip(CATEGORIES, BASKET, strict=True)) == {
        "food": 250 * NXT,
        "water": 50 * NXT,
        "housing": 400 * NXT,
        "energy": 150 * NXT,
        "healthcare": 200 * NXT,
        "connectivity": 75 * NXT,
        "recycling": 25 * NXT,
    }
    assert sum(BASKET) == MONTH_UNITS == 1_150 * NXT


def test_epochs_of_a_month_are_entitled_to_the_whole_month_however_they_are_cut() -> None:
    random = Random(1)
    for month_epochs in (7, 30, 1_344, 82_125):
        cuts = sorted({0, month_epochs, *(random.randrange(month_epochs) for _ in range(40))})
        parts = [entitled_units(MONTH_UNITS, one, later, month_epochs) for one, later in pairwise(cuts)]
        assert sum(parts) == MONTH_UNITS
        assert min(parts) > 0


def test_flooring_every_epoch_alone_would_lose_34_000_units_a_month() -> None:
    lost = MONTH_UNITS - 82_125 * (MONTH_UNITS // 82_125)
    assert lost == 34_000
    assert sum(entitled_units(MONTH_UNITS, one, one + 1, 82_125) for one in range(82_125)) == MONTH_UNITS


def test_no_unit_of_a_payment_is_lost_among_the_categories() -> None:
    random = Random(2)
    for _ in range(2_000):
        payment, epoch = random.randrange(10 ** random.randrange(1, 14)), random.randrange(10**9)
        parts = divided(payment, BASKET, epoch)
        assert sum(parts) == payment
        for part, weight in zip(parts, BASKET, strict=True):
            assert abs(part * MONTH_UNITS - payment * weight) < MONTH_UNITS, "less than a unit off"


def test_payments_of_three_units_reach_every_category_in_proportion() -> None:
    epochs = 10_000
    sums = [
        sum(column) for column in zip(*(divided(3, BASKET, epoch) for epoch in range(epochs)), strict=True)
    ]
    assert sum(sums) == 3 * epochs
    for got, weight in zip(sums, BASKET, strict=True):
        assert abs(got - 3 * epochs * weight // MONTH_UNITS) <= 10


def test_worked_example_of_the_readme() -> None:
    floor = msgspec.structs.replace(EMPTY_FLOOR, population=2, income_units=100 * NXT)
    first = accrued(made_state(floor, 100 * NXT, MAX_SUPPLY_UNITS, 9_450_000), 1)
    assert first.entitlement_units == 3_833_333_333
    assert first.release_ppm == 749_941
    assert first.held_back_units == 2_500_590_000
    assert first.payment_units == 3_749_705_000
    assert first.owed_units == 7_499_410_000
    assert first.accumulators == (
        815_153_261,
        163_030_652,
        1_304_245_218,
        489_091_956,
        652_122_609,
        244_545_978,
        81_515_326,
    )
    assert first.stability_ppm == 43_478
    second = accrued(made_state(first, 100 * NXT, MAX_SUPPLY_UNITS, 9_450_000), 2)
    assert second.entitlement_units == 3_833_333_333
    assert second.release_ppm == 750_045
    assert second.held_back_units == 625_034_973
    assert second.payment_units == 937_777_513
    assert second.owed_units == 9_374_965_026
    assert 100 * NXT - second.owed_units - second.held_back_units == 1
    citizen = settled(Citizen(bytes(32), 0, (0,) * 7, (0,) * 7, 0, 0), first)
    claimed = after_claim(citizen, 10 * NXT)
    assert claimed.left[:3] == (597_761_957, 119_552_391, 956_419_131)
    spent = after_spending(claimed, CATEGORIES.index("housing"), 5 * NXT)
    assert spent.left[2] == 456_419_131
    assert sum(spent.left) == first.payment_units - 15 * NXT
    assert settled(spent, second).left[2] == 782_602_614


def test_citizen_of_a_funded_floor_gets_its_entitlement() -> None:
    chain = FloorChain()
    chain.admit(0)
    chain.fund(2_000 * NXT)
    chain.go_to(1)
    assert chain.floor.payment_units == MONTH_UNITS // 30
    chain.go_to(30)
    view = chain.citizen(0)
    assert view.left_units == MONTH_UNITS
    assert all(abs(left - units) <= 2 for left, units in zip(view.citizen.left, BASKET, strict=True))
    assert chain.floor_faults() == []


def test_underfunded_floor_pays_everybody_the_same_share_and_keeps_the_rest() -> None:
    chain = FloorChain()
    chain.admit(0, 1, 2)
    chain.fund(100)
    chain.go_to(30)
    assert [chain.citizen(number).left_units for number in range(3)] == [33, 33, 33]
    assert chain.floor.owed_units == 99
    assert chain.system("F_FLOOR") == 100
    chain.fund(2)
    chain.go_to(31)
    assert chain.floor.payment_units == 1, "the unit that was left is shared now"
    assert chain.floor_faults() == []


def test_what_was_not_paid_is_no_debt_later() -> None:
    chain = FloorChain()
    chain.admit(0)
    chain.go_to(10)
    chain.fund(2_000 * NXT)
    chain.go_to(11)
    assert chain.citizen(0).left_units == entitled_units(MONTH_UNITS, 10, 11, 30)


def test_skipped_epochs_entitle_to_as_much_as_single_ones() -> None:
    one, other = FloorChain(month_epochs=7), FloorChain(month_epochs=7)
    for chain in (one, other):
        chain.admit(0)
        chain.fund(10_000 * NXT)
    for epoch in range(1, 41):
        one.go_to(epoch)
    other.go_to(40)
    assert one.citizen(0).left_units == other.citizen(0).left_units == 40 * MONTH_UNITS // 7
    assert one.floor.owed_units == other.floor.owed_units


def test_late_registrant_gets_nothing_of_the_past() -> None:
    chain = FloorChain()
    chain.admit(0)
    chain.fund(10_000 * NXT)
    chain.go_to(20)
    chain.admit(1)
    assert chain.citizen(1).left_units == 0
    chain.go_to(21)
    assert chain.citizen(1).left_units == chain.floor.payment_units
    assert chain.citizen(0).left_units == chain.citizen(1).left_units + 20 * MONTH_UNITS // 30
    assert chain.floor_faults() == []


def test_registration_in_the_first_block_after_a_downtime_brings_nothing_of_it() -> None:
    chain = FloorChain()
    chain.admit(0)
    chain.fund(10_000 * NXT)
    chain.attest(0, 1, chain.address(1))
    chain.epoch = 25
    assert chain.register(chain.accounts[1], 1) == ""
    assert chain.citizen(0).left_units == 25 * MONTH_UNITS // 30
    assert chain.citizen(1).left_units == 0


def test_nobody_is_paid_where_there_are_no_citizens() -> None:
    chain = FloorChain()
    chain.fund(100 * NXT)
    chain.go_to(5)
    assert (chain.floor.payment_units, chain.floor.owed_units) == (0, 0)
    assert chain.floor.accumulators == (0,) * 7
    assert chain.floor.stability_ppm == 1_000_000


def test_low_debt_backing_holds_half_of_the_income_back_at_most() -> None:
    chain = FloorChain(parameters=[LOW_BACKING])
    chain.admit(0)
    chain.fund(8 * NXT)
    chain.go_to(1)
    assert chain.floor.release_ppm == FLOOR_RELEASE_LEAST_PPM.default == 500_000
    assert chain.floor.held_back_units == 4 * NXT
    assert chain.citizen(0).left_units == 4 * NXT < chain.floor.entitlement_units
    chain.go_to(2)
    assert chain.floor.held_back_units == 2 * NXT
    chain.govern(FLOOR_RELEASE_LEAST_PPM, 1_000_000)
    chain.go_to(3)
    assert chain.floor.held_back_units == 0
    assert chain.citizen(0).left_units == 8 * NXT, "in the end all of it is paid"


def test_units_that_are_no_income_are_available_at_once() -> None:
    chain = FloorChain(parameters=[LOW_BACKING])
    chain.admit(0)
    overlay = Overlay(chain.reader)
    move_units(overlay, TREASURY_ADDRESS, F_FLOOR_ADDRESS, 8 * NXT)
    chain.apply(overlay.changes())
    chain.go_to(1)
    assert (chain.floor.held_back_units, chain.citizen(0).left_units) == (0, 8 * NXT)


def test_whole_transition_brings_income_of_the_policy_and_pays_it() -> None:
    chain = FloorChain()
    chain.steps = LEDGER_EPOCH_STEPS
    chain.admit(0, 1)
    for epoch in (1, 2, 5, 30):
        chain.go_to(epoch)
    assert chain.system("F_FLOOR") > 0
    assert 0 < 2 * chain.citizen(0).left_units == chain.floor.owed_units
    assert chain.send(chain.accounts[0], "floor_claim", FloorClaim(0)) == ""
    assert chain.floor_faults() == []
    assert chain.faults() == ()


def test_release_stays_within_its_bounds_whatever_the_credits_are() -> None:
    assert release_ppm(0, 10, 500_000) == 500_000
    assert release_ppm(7, 10, 500_000) == 700_000
    assert release_ppm(7, 10, 900_000) == 900_000
    assert release_ppm(10**40, 10, 500_000) == 1_000_000


def test_raised_basket_counts_for_the_interval_in_which_it_takes_effect() -> None:
    chain = FloorChain()
    chain.admit(0)
    chain.fund(10_000 * NXT)
    chain.go_to(1)
    before = chain.citizen(0).left_units
    chain.govern(FLOOR_FOOD_UNITS, 2 * FLOOR_FOOD_UNITS.default)
    chain.go_to(2)
    assert chain.citizen(0).left_units - before == entitled_units(1_400 * NXT, 1, 2, 30)


def test_stability_is_the_balance_over_a_months_requirement() -> None:
    assert stability_ppm(575 * NXT, 1, MONTH_UNITS) == 500_000
    assert stability_ppm(10**14, 1, MONTH_UNITS) == 1_000_000
    assert stability_ppm(0, 3, MONTH_UNITS) == 0
    assert stability_ppm(0, 0, MONTH_UNITS) == 1_000_000


def test_need_of_the_near_future_is_measured_against_what_is_not_owed() -> None:
    chain = FloorChain()
    chain.admit(0, 1)
    chain.fund(2_000 * NXT)
    assert crisis_need(chain.reader) == CrisisNeed(2_000 * NXT, 1_150 * NXT)
    chain.go_to(15)
    assert chain.floor.owed_units == 1_150 * NXT
    need = crisis_need(chain.reader)
    assert need == CrisisNeed(850 * NXT, 1_150 * NXT)
    assert need.lack_units == 300 * NXT
    chain.govern(CRISIS_HORIZON_PPM, 100_000)
    assert crisis_need(chain.reader) == CrisisNeed(850 * NXT, 230 * NXT)
    assert floor_need_units(chain.reader, 1_000_000) == 2_300 * NXT


def test_whole_supply_would_pay_869_citizens_for_a_month() -> None:
    chain = FloorChain()
    chain.admit(0)
    chain.fund(2_300 * NXT)
    view = floor_view(chain.reader, 0, chain.staking)
    assert view.citizens_payable_by_supply == 869
    assert view.citizens_payable == 2
    assert view.day_units == MONTH_UNITS * 12 // 365 == 3_780_821_917
    assert (view.required_day_units, view.required_month_units) == (view.day_units, MONTH_UNITS)
    assert view.free_units == 0, "the income waits for the transition"
    assert view.registrations_left == 63
    chain.go_to(1)
    assert floor_view(chain.reader, 1, chain.staking).free_units == 2_300 * NXT - chain.floor.owed_units


def test_floor_that_does_not_hold_what_it_owes_stops_the_chain() -> None:
    floor = msgspec.structs.replace(EMPTY_FLOOR, population=1, owed_units=11)
    with pytest.raises(ConservationBroken, match="10 units, expected 11"):
        accrued(made_state(floor, 10, MAX_SUPPLY_UNITS), 1)


class CountingState:
    """Counts what is asked for."""

    def __init__(self, values: dict[bytes, bytes]) -> None:
        self.values = values
        self.reads = 0

    def get(self, key: bytes) -> bytes | None:
        self.reads += 1
        return self.values.get(key)


def test_cost_of_the_accrual_depends_neither_on_citizens_nor_on_skipped_epochs() -> None:
    chain = FloorChain()
    chain.admit(0, 1, 2, 3)
    chain.fund(100_000 * NXT)
    crowd = msgspec.structs.replace(chain.floor, population=100_000)
    costs = set()
    for floor in (EMPTY_FLOOR, chain.floor, crowd):
        overlay = Overlay(chain.reader)
        write_floor(overlay, floor)
        state = {**chain.state, **overlay.changes()}
        for epochs in (1, 1_000, 10**9):
            counting = CountingState({key: value for key, value in state.items() if value is not None})
            after = Overlay(counting)
            accrue_floor(after, EpochChange(replace(chain.context(), epoch=epochs), 0, {}))
            reads = counting.reads
            costs.add((reads, len(after.changes())))
    [(reads, writes)] = costs
    assert reads <= 15
    assert writes == 1


def test_undo_of_a_transition_with_payments_is_exact() -> None:
    chain = FloorChain()
    chain.admit(0, 1)
    chain.fund(100 * NXT)
    before = dict(chain.state)
    chain.go_to(3)
    assert chain.state != before
    chain.apply(chain.outcomes[-1].previous)
    assert chain.state == before
