"""The floor against a model that pays every citizen in every transition, in lists and fractions."""

from fractions import Fraction
from random import Random

import pytest
from builders.floor import MONTH_UNITS, NXT, FloorChain

from ledger.accounts import RESERVES
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.economy.floor.categories import CATEGORIES
from ledger.economy.floor.spending import FloorClaim, FloorSpend
from ledger.governed.parameters import (
    DEBT_CREDIT_UNITS_PER_MILLION_USD,
    FLOOR_CASH_PPM,
    FLOOR_PARAMETERS,
    FLOOR_RELEASE_LEAST_PPM,
)

MONTH_EPOCHS = 9


def whole(value: Fraction) -> int:
    return value.numerator // value.denominator


class Model:
    """What each citizen has, paid one by one; nothing is lazy and nothing is shared with the code."""

    def __init__(self) -> None:
        self.balance = 0
        self.held = 0
        self.income = 0
        self.epoch = 0
        self.basket = [units * NXT for units in (250, 50, 400, 150, 200, 75, 25)]
        self.conversion = 12_600_000
        self.least = 500_000
        self.cash = 1_000_000
        self.left: dict[int, int] = {}
        self.got: dict[int, int] = {}
        self.claimed: dict[int, int] = {}
        self.by_category: dict[int, list[Fraction]] = {}
        """Exact, without purchases and claims: only ever compared within what rounding may do."""
        self.payments = 0

    def pay(self, epoch: int, circulating: int) -> None:
        month = Fraction(sum(self.basket), MONTH_EPOCHS)
        entitlement = whole(month * epoch) - whole(month * self.epoch)
        years = Fraction(epoch, 12 * MONTH_EPOCHS)
        debt = (
            300 * 10**12 * Fraction(21, 20) ** whole(years) * (1 + Fraction(5, 100) * (years - whole(years)))
        )
        per_nxt = Fraction(whole(Fraction(whole(debt) * 10**6 * 10**8, circulating)), 10**6)
        number = max(1, len(self.left))
        credits = whole(number * per_nxt * self.conversion / 10**6)
        required = whole(Fraction(number * sum(self.basket) * 12, 365))
        release = max(self.least, min(10**6, whole(Fraction(credits * 10**6, required))))
        self.held = whole((self.held + self.income) * (1 - Fraction(release, 10**6)))
        self.income = 0
        self.epoch = epoch
        if self.left:
            available = self.balance - sum(self.left.values()) - self.held
            payment = min(entitlement, available // len(self.left))
            for number in self.left:
                self.left[number] += payment
                self.got[number] += payment
                for place, weight in enumerate(self.basket):
                    self.by_category[number][place] += Fraction(payment * weight, sum(self.basket))
        self.payments += 1

    def claimable(self, number: int) -> int:
        return max(0, min(self.left[number], self.got[number] * self.cash // 10**6 - self.claimed[number]))


def circulating(chain: FloorChain) -> int:
    return MAX_SUPPLY_UNITS - sum(chain.system(name) for name in RESERVES)


@pytest.mark.parametrize("seed", range(4))
def test_floor_pays_what_a_naive_model_pays_citizen_by_citizen(seed: int) -> None:
    random = Random(seed)
    chain, model = FloorChain(month_epochs=MONTH_EPOCHS), Model()
    spent = {number: [0] * len(CATEGORIES) for number in range(5)}
    claimed_any: set[int] = set()
    outcomes: set[str] = set()
    for _ in range(150):
        choice = random.randrange(8)
        number = random.randrange(5)
        if choice == 0:
            units = random.choice(
                (random.randrange(100), random.randrange(NXT), random.randrange(3_000 * NXT))
            )
            chain.fund(units)
            model.balance += units
            model.income += units
        elif choice in (1, 2):
            epoch = chain.epoch + random.choice((1, 1, 1, 2, 5, random.randrange(1, 200)))
            model.pay(epoch, circulating(chain))
            chain.go_to(epoch)
        elif choice == 3 and number not in model.left:
            chain.admit(number)
            model.left[number] = model.got[number] = model.claimed[number] = 0
            model.by_category[number] = [Fraction(0)] * len(CATEGORIES)
        elif choice == 4 and number in model.left:
            able = model.claimable(number)
            units = random.choice((0, able, able + 1, random.randrange(able + 1)))
            reason = chain.send(chain.accounts[number], "floor_claim", FloorClaim(units))
            outcomes.add(reason)
            if units > able:
                assert reason == "AllowanceExceeded"
            elif not able:
                assert reason == "NothingToClaim"
            else:
                assert reason == ""
                units = units or able
                model.left[number] -= units
                model.claimed[number] += units
                model.balance -= units
                claimed_any.add(number)
        elif choice == 5 and number in model.left:
            category = random.randrange(len(CATEGORIES))
            there = chain.citizen(number).citizen.left[category]
            units = random.choice((1, there, there + 1, random.randrange(there + 1))) or 1
            payload = FloorSpend(category, chain.address((number + 1) % 5), units)
            reason = chain.send(chain.accounts[number], "floor_spend", payload)
            outcomes.add(f"spend {reason}")
            assert reason == ("" if units <= there else "AllowanceExceeded")
            if not reason:
                model.left[number] -= units
                model.balance -= units
                spent[number][category] += units
        elif choice == 6:
            place = random.randrange(len(CATEGORIES))
            parameter = FLOOR_PARAMETERS[place]
            model.basket[place] = random.randrange(parameter.least, parameter.greatest + 1)
            chain.govern(parameter, model.basket[place])
        elif choice == 7:
            model.conversion = random.choice((1, 12_600_000, random.randrange(200_000, 700_000)))
            model.least = random.choice((500_000, 700_000, 1_000_000))
            model.cash = random.choice((1_000_000, random.randrange(1_000_001)))
            chain.govern(DEBT_CREDIT_UNITS_PER_MILLION_USD, model.conversion)
            chain.govern(FLOOR_RELEASE_LEAST_PPM, model.least)
            chain.govern(FLOOR_CASH_PPM, model.cash)
        assert chain.system("F_FLOOR") == model.balance
        assert (chain.floor.held_back_units, chain.floor.income_units) == (model.held, model.income)
        assert chain.floor.population == len(model.left)
        for citizen, left in model.left.items():
            view = chain.citizen(citizen)
            assert (view.left_units, view.claimable_units) == (left, model.claimable(citizen))
            if citizen not in claimed_any:
                for place, exact in enumerate(model.by_category[citizen]):
                    found = view.citizen.left[place] + spent[citizen][place]
                    assert abs(found - exact) <= model.payments
        assert chain.floor_faults() == []
    assert {"", "AllowanceExceeded", "spend ", "spend AllowanceExceeded"} <= outcomes
    assert chain.faults() == ()
    assert sum(model.got.values()) > MONTH_UNITS
