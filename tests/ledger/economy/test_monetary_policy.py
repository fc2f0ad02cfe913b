"""The step `policy`: what it sees, what it sets, what it pays, and how near it is to floats from units on."""

from random import Random

import pytest
from builders.failing_overlay import fail_at_every_write
from builders.ledger import STAKING, transfer
from builders.staking import NXT, StakingChain

from ledger.accounts import F_FLOOR_ADDRESS, RESERVES, TREASURY_ADDRESS, VALIDATOR_POOL_ADDRESS
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.economy.floor.records import read_floor, write_floor
from ledger.economy.message_burn import Message, message_price_units
from ledger.economy.monetary_policy import (
    POLICY_CODEC,
    PolicyRecord,
    apply_policy,
    floor_income_units,
    read_policy,
)
from ledger.economy.nexus_equation import SIGNAL_LIMIT
from ledger.epoch_steps import EpochChange, EpochStep, EpochSteps
from ledger.epoch_transition import LEDGER_EPOCH_STEPS, begin_epoch
from ledger.governed.parameters import (
    FLOOR_INCOME_PPM,
    POLICY_ALPHA_PPM,
    POLICY_BETA_PPM,
    POLICY_DELTA_PPM,
    POLICY_GAMMA_PPM,
    POLICY_KD_PPM,
    POLICY_KI_PPM,
    POLICY_KP_PPM,
    PRICE_RISE_LIMIT_PPM,
    TARGET_CIRCULATION_UNITS,
    TARGET_CONTRIBUTION_UNITS_PER_DAY,
    TARGET_TRANSACTIONS_PER_DAY,
    Parameter,
    write_parameter,
)
from ledger.issuance import (
    ONE,
    burn_units,
    issue_units,
    read_flows,
    read_issuance_share,
    read_price_rise_ppm,
)
from ledger.oracle.medians import take_medians
from ledger.oracle.records import Report, write_report
from ledger.staking.rewards import epoch_budget, pay_rewards
from ledger.state import MappingState, Overlay

BUDGET = epoch_budget(0, STAKING.epochs_per_year)
DAY = STAKING.day_epochs
POLICY_ONLY = EpochSteps(
    tuple(
        step
        for step in LEDGER_EPOCH_STEPS.steps
        if step.name in ("policy", "rewards", "validators", "snapshot")
    )
)


def policy(chain: StakingChain) -> PolicyRecord:
    record = read_policy(chain.reader)
    assert record is not None
    return record


def governed(chain: StakingChain, *values: tuple[Parameter, int]) -> None:
    overlay = Overlay(chain.reader)
    for parameter, value in values:
        write_parameter(overlay, parameter, value)
    chain.apply(overlay.changes())


def circulate(chain: StakingChain, units: int) -> None:
    """Bring circulation to `units`, out of TREASURY and back into it."""
    overlay = Overlay(chain.reader)
    more = units - read_flows(overlay).circulating_units
    if more > 0:
        issue_units(overlay, TREASURY_ADDRESS, b"c" * 20, more)
    else:
        burn_units(overlay, b"c" * 20, TREASURY_ADDRESS, -more)
    chain.apply(overlay.changes())


def at_circulation(part_ppm: int, **arguments: object) -> StakingChain:
    """A chain that has so much of its target of 200,000 NXT, and that has been so for a while."""
    chain = StakingChain(steps=POLICY_ONLY, **arguments)  # type: ignore[arg-type]
    governed(chain, (TARGET_CIRCULATION_UNITS, 200_000 * NXT))
    circulate(chain, 200_000 * NXT * part_ppm // 1_000_000)
    return chain


def identity_holds(chain: StakingChain) -> bool:
    reserved = sum(chain.system(name) for name in RESERVES)
    return MAX_SUPPLY_UNITS - reserved == read_flows(chain.reader).circulating_units


def owed(chain: StakingChain, index: int) -> int:
    record = chain.validator(index)
    return record.own_units - record.own_paid_units


# order ----------------------------------------------------------------------------------------------------------------


def test_policy_stands_before_the_rewards_and_after_the_oracle() -> None:
    names = [step.name for step in LEDGER_EPOCH_STEPS.steps]
    assert names.index("oracle") < names.index("policy") == names.index("rewards") - 1


# what a young chain gets ----------------------------------------------------------------------------------------------


def test_young_chain_issues_its_whole_budget() -> None:
    chain = StakingChain()
    assert read_policy(chain.reader) is None
    chain.run(proposers=(0,), carrier_reveals=True)
    chain.go_to(1)
    assert policy(chain).output == ONE == read_issuance_share(chain.reader)
    assert read_price_rise_ppm(chain.reader) == 0
    assert owed(chain, 0) == BUDGET // 2
    assert chain.faults() == ()


def test_floor_gets_its_income_out_of_the_treasury_and_nothing_is_issued_by_it() -> None:
    chain = StakingChain(steps=POLICY_ONLY)
    before, circulating = chain.system("TREASURY"), read_flows(chain.reader).circulating_units
    chain.go_to(1)
    income = 10_000 * NXT // STAKING.epochs_per_year
    assert income == 1_014_713
    assert policy(chain).floor_income_units == income == chain.system("F_FLOOR")
    assert chain.system("TREASURY") == before - income
    assert read_floor(chain.reader).income_units == income
    assert read_flows(chain.reader).circulating_units == circulating
    assert identity_holds(chain)


def test_floor_income_of_a_year_is_the_yearly_part() -> None:
    assert floor_income_units(20_000, ONE, 12, 12) == 10_000 * NXT
    assert floor_income_units(20_000, ONE // 2, 12, 12) == 5_000 * NXT
    assert floor_income_units(20_000, 0, 12, 12) == 0


@pytest.mark.parametrize(("skipped", "counted"), [(1, 1), (9, 9), (DAY, DAY), (DAY + 1, DAY), (100_000, DAY)])
def test_skipped_epochs_bring_the_floor_a_day_s_income_at_most(skipped: int, counted: int) -> None:
    chain = StakingChain(steps=POLICY_ONLY)
    chain.go_to(skipped)
    assert policy(chain).epochs == counted
    assert chain.system("F_FLOOR") == 10_000 * NXT * counted // STAKING.epochs_per_year


def test_floor_income_is_never_more_than_the_treasury_holds() -> None:
    chain = StakingChain(steps=POLICY_ONLY)
    overlay = Overlay(chain.reader)
    left = 700_000
    overlay.debit(TREASURY_ADDRESS, chain.system("TREASURY") - left)
    overlay.credit(VALIDATOR_POOL_ADDRESS, chain.system("TREASURY") - left)
    chain.apply(overlay.changes())
    chain.go_to(1)
    assert (chain.system("TREASURY"), chain.system("F_FLOOR")) == (0, left)
    chain.go_to(2)
    assert (policy(chain).floor_income_units, policy(chain).floor_income_total_units) == (0, left)
    assert chain.faults() == ()


# between and below ----------------------------------------------------------------------------------------------------


def test_part_of_the_output_is_that_part_of_rewards_and_floor_income() -> None:
    chain = at_circulation(900_000)
    chain.run(proposers=(0,), carrier_reveals=True)
    chain.go_to(1)
    share = policy(chain).output
    assert 0 < share < ONE
    assert read_issuance_share(chain.reader) == share
    assert owed(chain, 0) == (BUDGET * share >> 32) // 2
    assert chain.system("F_FLOOR") == 10_000 * NXT * share // STAKING.epochs_per_year >> 32
    assert identity_holds(chain)
    assert chain.faults() == ()


def test_too_much_circulation_stops_issuance_and_makes_messages_dearer() -> None:
    chain = at_circulation(1_500_000)
    pools = chain.system("VALIDATOR_POOL"), chain.system("TREASURY")
    chain.run(proposers=(0,), carrier_reveals=True)
    chain.go_to(1)
    assert policy(chain).output == -ONE
    assert read_issuance_share(chain.reader) == 0
    assert read_price_rise_ppm(chain.reader) == PRICE_RISE_LIMIT_PPM.default == 500_000
    assert (chain.system("VALIDATOR_POOL"), chain.system("TREASURY")) == pools
    assert (owed(chain, 0), chain.system("F_FLOOR")) == (0, 0)
    message = Message(0, 1, b"tea", 10**9)
    assert chain.send(chain.accounts[0], "message", message) == ""
    assert chain.outcomes[-1].receipts[0].result == (message_price_units(0, 1, 3) * 3 // 2,)
    assert identity_holds(chain)


def test_fees_are_paid_out_also_when_nothing_is_issued() -> None:
    chain = at_circulation(1_500_000)
    chain.run(transfer(chain.accounts[0], chain.rules, 0, b"t" * 20, 5), proposers=(2,))
    fee = chain.outcomes[-1].receipts[0].fee
    chain.go_to(1)
    assert policy(chain).output == -ONE
    assert owed(chain, 2) == fee
    assert identity_holds(chain)


def test_rise_is_over_when_the_output_is_positive_again() -> None:
    chain = at_circulation(1_500_000)
    chain.go_to(1)
    circulate(chain, 100_000 * NXT)
    chain.go_to(DAY)
    assert policy(chain).output == ONE == read_issuance_share(chain.reader)
    assert read_price_rise_ppm(chain.reader) == 0


def test_rise_is_bounded_by_its_governed_limit() -> None:
    chain = at_circulation(1_500_000)
    governed(chain, (PRICE_RISE_LIMIT_PPM, 0))
    chain.go_to(1)
    assert (policy(chain).output, read_price_rise_ppm(chain.reader)) == (-ONE, 0)


# signals --------------------------------------------------------------------------------------------------------------


def test_signals_are_the_epoch_s_figures_over_the_targets_of_its_time() -> None:
    chain = StakingChain(steps=POLICY_ONLY)
    governed(
        chain,
        (TARGET_CONTRIBUTION_UNITS_PER_DAY, 2 * NXT),
        (TARGET_TRANSACTIONS_PER_DAY, 10_000),
        (TARGET_CIRCULATION_UNITS, 300_000 * NXT),
    )
    overlay = Overlay(chain.reader)
    floor = read_floor(overlay)
    write_floor(
        overlay, type(floor)(*(getattr(floor, name) for name in floor.__struct_fields__[:-1]), 250_000)
    )
    chain.apply(overlay.changes())
    chain.send(chain.accounts[0], "message", Message(2, 2, b"m" * 5, 10**9))
    chain.run(transfer(chain.accounts[1], chain.rules, 0, b"t" * 20, 5))
    flows = read_flows(chain.reader)
    contributed = flows.epoch_fee_units + flows.epoch_message_units
    assert contributed > message_price_units(2, 2, 5)
    chain.go_to(3)
    seen = policy(chain)
    assert seen.contribution == (contributed * DAY << 32) // (2 * NXT * 3)
    assert seen.activity == (2 * DAY << 32) // (10_000 * 3)
    assert seen.distribution == ONE // 4
    assert seen.circulation == (flows.circulating_units << 32) // (300_000 * NXT)
    assert (seen.epoch, seen.epochs, seen.circulating_units) == (0, 3, flows.circulating_units)
    chain.go_to(4)
    assert (policy(chain).contribution, policy(chain).activity) == (0, 0), "an epoch's figures count once"


def test_signal_counts_for_twice_its_target_at_most() -> None:
    chain = StakingChain(steps=POLICY_ONLY)
    governed(chain, (TARGET_CONTRIBUTION_UNITS_PER_DAY, NXT))
    chain.send(chain.accounts[0], "message", Message(0, 3, b"m" * 8_000, 10**14))
    chain.go_to(1)
    assert policy(chain).contribution == SIGNAL_LIMIT


def test_governed_coefficients_count_from_the_next_transition_on() -> None:
    chain = at_circulation(1_000_000)
    chain.go_to(1)
    governed(
        chain,
        (POLICY_ALPHA_PPM, 0),
        (POLICY_BETA_PPM, 600_000),
        (POLICY_GAMMA_PPM, 0),
        (POLICY_DELTA_PPM, 0),
        (POLICY_KP_PPM, 0),
        (POLICY_KI_PPM, 0),
        (POLICY_KD_PPM, 0),
    )
    chain.go_to(2)
    assert policy(chain).output == ONE * 600_000 // 1_000_000


def test_record_fits_its_greatest_size() -> None:
    most, least = 2**63 - 1, -(2**63)
    widest = PolicyRecord(*[most] * 8, least, least, most, least, most, most, most)
    assert POLICY_CODEC.decode(POLICY_CODEC.encode(widest)) == widest


# against floats, from units on ----------------------------------------------------------------------------------------


class FloatPolicy:
    """The equation with floats for everything, units included; defaults throughout."""

    def __init__(self) -> None:
        self.integral = 0.0
        self.error: float | None = None

    def step(self, contributed: int, transactions: int, circulating: int, epochs: int) -> float:
        days = epochs / DAY
        c = min(contributed / (1_000e8 * days), 2.0)
        e = min(transactions / (864_000 * days), 2.0)
        x = min(circulating / 200_000e8, 2.0)
        error = 1.0 - x
        slope = 0.0 if self.error is None else min(max((error - self.error) / days, -1.0), 1.0)
        present = 0.1 * c + 0.1 + 0.1 * e - 0.3 * x + 3.0 * error + 0.1 * slope
        after = self.integral + error * days
        if error > 0:
            after = min(after, max(self.integral, (1.0 - present) / 0.1))
        if error < 0:
            after = max(after, min(self.integral, (-1.0 - present) / 0.1))
        self.integral, self.error = min(max(after, -1.0), 1.0), error
        return min(max(present + 0.1 * self.integral, -1.0), 1.0)


@pytest.mark.parametrize("seed", range(3))
def test_D7_the_chain_s_output_stays_within_the_stated_bound_of_floats_from_units_on(seed: int) -> None:
    """MONETARY_POLICY.md, Against floats: what the signals' rounding adds, most of it through the derivative."""
    source = Random(seed)
    chain = at_circulation(950_000)
    model, epoch, worst, days = FloatPolicy(), 0, 0.0, 0.0
    within = 0
    for _ in range(150):
        overlay = Overlay(chain.reader)
        if source.random() < 0.2:
            issue_units(overlay, TREASURY_ADDRESS, b"c" * 20, source.randrange(1, 9_000 * NXT))
        elif source.random() < 0.3:
            burn_units(overlay, b"c" * 20, TREASURY_ADDRESS, source.randrange(1, 11_000 * NXT))
        chain.apply(overlay.changes())
        if source.random() < 0.5:
            chain.send(chain.accounts[0], "message", Message(1, 3, b"m" * source.randrange(1, 900), 10**12))
        epochs = source.choice((1, 1, 2, 40, 3_000))
        flows = read_flows(chain.reader)
        epoch += epochs
        chain.go_to(epoch)
        covered = min(epochs, DAY)
        days += covered / DAY
        expected = model.step(
            flows.epoch_fee_units + flows.epoch_message_units,
            flows.epoch_transactions,
            flows.circulating_units,
            covered,
        )
        worst = max(worst, abs(policy(chain).output / 2**32 - expected))
        within += -ONE < policy(chain).output < ONE
    signals = 0.1 + 0.1 + 0.1 + 0.3 + 3.0 + 0.1 * (1 + days) + 2 * (2 * 0.1 * DAY)
    assert worst <= (1 + signals) * 2.0**-32 + 2.0**-40 < 2.0**-21
    assert within > 50
    assert identity_holds(chain)


def test_D7_equal_chains_hold_equal_bytes() -> None:
    def run() -> dict[bytes, bytes]:
        chain = at_circulation(980_000)
        source = Random(11)
        for epoch in range(1, 12):
            chain.send(chain.accounts[0], "message", Message(3, 2, b"m" * source.randrange(1, 500), 10**12))
            chain.go_to(3 * epoch)
        return chain.state

    assert run() == run()


# all or none ----------------------------------------------------------------------------------------------------------


def eventful() -> StakingChain:
    """All that either step can write: a positive output, a full treasury, and reports with an outlier."""
    chain = at_circulation(900_000)
    chain.send(chain.accounts[0], "message", Message(3, 2, b"m", 10**12))
    chain.go_to(1)
    overlay = Overlay(chain.reader)
    for feed, values in (
        (1, (10**14, 10**14, 2 * 10**14)),
        (2, (100, 100, 500)),
        (14, (10**6, 10**6, 10**6)),
    ):
        for index, value in enumerate(values):
            write_report(overlay, index, Report(feed, value))
    chain.apply(overlay.changes())
    chain.send(chain.accounts[0], "message", Message(3, 2, b"m", 10**12))
    return chain


@pytest.mark.parametrize(("step", "writes"), [(take_medians, 3 + 3 + 1), (apply_policy, 1 + 2 + 2 + 1 + 1)])
def test_D6_fault_at_any_write_of_a_step_leaves_the_root(step: EpochStep, writes: int) -> None:
    chain = eventful()
    chain.epoch = 2
    change = EpochChange(chain.context(), 1, {})
    assert fail_at_every_write(chain.state, lambda overlay: step(overlay, change)) == writes  # type: ignore[operator]


def test_D6_fault_at_any_write_of_the_transition_leaves_the_root() -> None:
    chain = eventful()
    chain.epoch = 2
    context = chain.context()
    assert fail_at_every_write(chain.state, lambda overlay: begin_epoch(overlay, context)) > 8 + 7


def test_undo_of_a_transition_restores_every_byte() -> None:
    chain = eventful()
    before = dict(chain.state)
    chain.go_to(2)
    assert chain.state != before
    chain.apply(chain.outcomes[-1].previous)
    assert chain.state == before


def test_circulation_is_explained_to_the_unit_over_a_random_run() -> None:
    source = Random(9)
    chain = at_circulation(1_000_000)
    chain.steps = LEDGER_EPOCH_STEPS
    for epoch in range(1, 40):
        circulate(chain, source.randrange(90_000, 310_000) * NXT)
        kind = source.randrange(3)
        if kind == 0:
            chain.send(chain.accounts[0], "message", Message(3, 2, b"m" * source.randrange(1, 99), 10**12))
        elif kind == 1:
            chain.run(proposers=(0, 1), votes=(0, 2), carrier_reveals=True)
        chain.go_to(epoch * 2)
        assert identity_holds(chain)
    assert chain.faults() == ()


def test_worked_example_of_the_specification() -> None:
    """MONETARY_POLICY.md, Worked example."""
    chain = StakingChain(
        steps=EpochSteps((EpochStep("policy", apply_policy), EpochStep("rewards", pay_rewards)))
    )
    overlay = Overlay(chain.reader)
    flows = read_flows(overlay)
    issue_units(overlay, TREASURY_ADDRESS, b"c" * 20, 450_000 * NXT - flows.circulating_units)
    chain.apply(overlay.changes())
    before = Overlay(MappingState(chain.state)).account(F_FLOOR_ADDRESS).balance
    chain.go_to(1)
    seen = policy(chain)
    assert seen.circulation == 3_865_470_566
    assert seen.error == 429_496_730
    assert (seen.integral, seen.remainder) == (159_072, 2_330)
    assert seen.output == 558_361_657
    assert seen.floor_income_units == 131_916 == chain.system("F_FLOOR") - before
    assert BUDGET * seen.output >> 32 == 79_149
    assert FLOOR_INCOME_PPM.default == 20_000
