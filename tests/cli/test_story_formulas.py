"""The story's own formulas and the ledger's give the same on random inputs: two writings of one specification."""

from fractions import Fraction
from random import Random

from cli.story import formulas
from ledger.accounts import SECTORS
from ledger.economy.allocation import SECTOR_WEIGHTS_PPM, sector_parts
from ledger.economy.debt_backing import floor_credit_units_per_day, grown_debt_usd, nxt_debt_backing_ratio
from ledger.economy.floor.accrual import release_ppm, required_units_per_day
from ledger.economy.floor.categories import CATEGORIES, divided, entitled_units
from ledger.economy.message_burn import message_price_units
from ledger.economy.monetary_policy import floor_income_units
from ledger.economy.nexus_equation import Coefficients, ControllerState, Signals, first_state, policy_output
from ledger.exchange.math import added_shares, amount_in, amount_out, first_shares, removed_amounts
from ledger.governance.deposits import deposit_units
from ledger.issuance import ONE
from ledger.oracle.medians import weighted_lower_median
from ledger.staking.rewards import epoch_budget

ROUNDS = 300


def test_names_and_weights_are_the_ledgers() -> None:
    assert formulas.SECTORS == SECTORS
    assert formulas.CATEGORIES == CATEGORIES
    assert tuple(weight * 10_000 for weight in formulas.SECTOR_WEIGHTS) == SECTOR_WEIGHTS_PPM


def test_messages_and_allocations_agree() -> None:
    random = Random(1)
    for _ in range(ROUNDS):
        message = (
            random.randrange(6),
            random.randrange(4),
            random.randint(1, 8_192),
            random.randrange(1_000_000),
        )
        assert formulas.message_units(*message) == message_price_units(*message)
        units, demands = random.randrange(10**12), [random.randint(100_000, 10_000_000) for _ in SECTORS]
        assert tuple(formulas.sector_parts(units, demands)) == sector_parts(units, demands)


def test_the_exchange_agrees() -> None:
    random = Random(2)
    for _ in range(ROUNDS):
        first, second, fee = (
            random.randint(10**6, 10**14),
            random.randint(10**6, 10**14),
            random.randint(10, 50),
        )
        amount = random.randint(1, first)
        assert formulas.swap_out(amount, first, second, fee) == amount_out(amount, first, second, fee)
        wanted = random.randint(1, second - 1)
        assert formulas.swap_in(wanted, first, second, fee) == amount_in(wanted, first, second, fee)
        shares = formulas.founding_shares(first, second)
        assert shares == first_shares(first, second)
        most = random.randint(first // 100, first), random.randint(second // 100, second)
        given, also, new = formulas.added_liquidity(*most, first, second, shares)
        assert (new, given, also) == added_shares(*most, first, second, shares)
        gone = random.randint(shares // 2, shares)
        assert formulas.removed_liquidity(gone, first, second, shares) == removed_amounts(
            gone, first, second, shares
        )


def test_the_floor_agrees() -> None:
    random = Random(3)
    for _ in range(ROUNDS):
        month, since = random.randint(1, 10**13), random.randrange(10**6)
        epoch, months = since + random.randrange(100), random.randint(1, 10**6)
        assert formulas.entitled_units(month, since, epoch, months) == entitled_units(
            month, since, epoch, months
        )
        basket = tuple(random.randint(1, 10**11) for _ in CATEGORIES)
        payment = random.randrange(10**9)
        assert tuple(formulas.by_category(payment, basket, epoch)) == divided(payment, basket, epoch)


def test_debt_backing_and_release_agree() -> None:
    random = Random(4)
    for _ in range(ROUNDS):
        debt, age, year = random.randint(10**12, 10**15), random.randrange(10**5), random.randint(1, 10**4)
        grown = formulas.grown_debt_usd(debt, age, year)
        if grown < 10**17:
            assert grown == grown_debt_usd(debt, 0, age, year)
        citizens, month, circulating = (
            random.randint(1, 10**6),
            random.randint(10**9, 10**12),
            random.randint(1, 10**14),
        )
        conversion, rate, least = (
            random.randint(1, 10**8),
            random.randint(1, 10**7),
            random.randint(500_000, 10**6),
        )
        credit = floor_credit_units_per_day(
            citizens, nxt_debt_backing_ratio(debt, circulating), conversion, rate
        )
        released = release_ppm(credit, required_units_per_day(citizens, month), least)
        assert formulas.released_ppm(citizens, month, debt, circulating, conversion, rate, least) == released


def test_medians_and_budgets_agree() -> None:
    random = Random(5)
    for _ in range(ROUNDS):
        weighed = [(random.randrange(20), random.randint(1, 50)) for _ in range(random.randint(1, 12))]
        assert formulas.weighted_lower_median(weighed) == weighted_lower_median(weighed)
        output, year = Fraction(random.randint(0, ONE), ONE), random.randint(1, 10**6)
        share, epoch = int(output * ONE), random.randrange(10**7)
        assert formulas.rewards_budget_units(epoch, year, output) == epoch_budget(epoch, year) * share >> 32
        income = formulas.floor_income_units(20_000, output, 3, year)
        assert income == floor_income_units(20_000, share, 3, year)


def test_the_nexus_equation_agrees_over_long_runs() -> None:
    random = Random(6)
    for _ in range(20):
        day = random.randint(1, 3_000)
        weights = {
            name: random.randrange(5_000_000)
            for name in ("alpha", "beta", "gamma", "delta", "kp", "ki", "kd")
        }
        coefficients = Coefficients(*weights.values())
        state: ControllerState | None = None
        error, integral = None, Fraction(0)
        for _ in range(60):
            seen = {name: random.randrange(2 * ONE + 1) for name in ("C", "D", "E", "x")}
            epochs = random.randint(1, day)
            before = first_state(seen["x"]) if state is None else state
            state, output = policy_output(before, Signals(*seen.values(), epochs, day), coefficients)
            signals = {name: Fraction(value, ONE) for name, value in seen.items()}
            told, error, integral = formulas.nexus_equation(signals, weights, error, integral, epochs, day)
            assert told * ONE == output
            assert integral * ONE * day == state.integral * day + state.remainder
            assert error * ONE == state.error


def test_G4_deposits_agree() -> None:
    for places in range(65):
        for base in (10**8, 10**9, 10**11, 10**13):
            assert formulas.proposal_deposit(base, places) == deposit_units(base, places)
