"""What an epoch transition must have done: the steps of ledger.epoch_transition in their order, on the book.

One figure is not computed here but seen: what VALIDATOR_POOL pays as rewards follows from which blocks and votes the
chain has counted. It is taken from the chain, held against the budget of the monetary policy and, by `settle`, against
the validators' own records.
"""

from fractions import Fraction

from cli.story import formulas
from cli.story.world import (
    BONDED,
    DEPOSITS,
    F_FLOOR,
    FEES,
    RESERVE,
    SECTOR_ACCOUNTS,
    TREASURY,
    VALIDATOR_POOL,
    BookError,
    FeedBook,
    World,
)

PPM = formulas.PPM
DEBT_FEED = 1
FIRST_DEMAND_FEED = 10
MAX_MOVE_PPM = {DEBT_FEED: 10_000}
"""Of one epoch; 100,000 where nothing else stands here."""
COEFFICIENTS = ("alpha", "beta", "gamma", "delta", "kp", "ki", "kd")


def begin_epoch(world: World, epoch: int, pool_units: int | None) -> None:
    """The transition into `epoch`, after which VALIDATOR_POOL held `pool_units`; None: nobody looked, no rewards.

    Errors: `BookError` when the chain paid what no rule allows.
    """
    closing = world.epoch
    world.epoch = epoch
    _take_medians(world, closing)
    _close_proposals(world)
    _apply_policy(world, epoch - closing)
    _pay_rewards(world, closing, pool_units)
    _allocate_reserve(world)
    _share_with_floor(world)
    _guard_floor(world)
    _accrue_floor(world)


def _take_medians(world: World, closing: int) -> None:
    everything = sum(world.stakes.values())
    for number, reports in sorted(world.reports.items()):
        weighed = [(value, world.stakes[index]) for index, value in reports.items()]
        last = world.feeds.get(number)
        needed = everything if last is not None else 2 * everything
        if len(weighed) < 3 or 3 * sum(weight for _, weight in weighed) <= needed:
            continue
        value = formulas.weighted_lower_median(weighed)
        if last is not None:
            stale = number == DEBT_FEED and closing > last.fresh_through
            most_speak = 3 * sum(weight for _, weight in weighed) > 2 * everything
            epochs = closing - last.epoch if stale and most_speak else 1
            most = max(1, last.value * min(PPM, MAX_MOVE_PPM.get(number, 100_000) * epochs) // PPM)
            value = min(max(value, last.value - most), last.value + most)
        world.feeds[number] = FeedBook(value, closing, closing + max(8, world.calendar.day_epochs))
    world.reports = {}


def _close_proposals(world: World) -> None:
    for proposal in world.proposals.values():
        if proposal.status == "passed" and proposal.effect <= world.epoch:
            world.parameters[proposal.parameter] = proposal.value
            proposal.status = "executed"
    for proposal in world.proposals.values():
        if proposal.status != "open" or proposal.closes > world.epoch:
            continue
        if proposal.voted < proposal.quorum_units:
            world.pay("deposit lost", DEPOSITS, RESERVE, proposal.deposit)
            proposal.status = "no_quorum"
            continue
        world.pay("deposit back", DEPOSITS, proposal.proposer, proposal.deposit)
        if proposal.yes * PPM < proposal.threshold_ppm * proposal.voted:  # nobody of the story abstains
            proposal.status = "rejected"
            continue
        proposal.effect = world.epoch + proposal.lock_epochs
        proposal.status = "passed" if proposal.lock_epochs else "executed"


def _apply_policy(world: World, covered: int) -> None:
    calendar, parameters = world.calendar, world.parameters
    epochs = min(covered, calendar.day_epochs)

    def of_target(figure: int, per_day: int) -> Fraction:
        return formulas.q32(figure * calendar.day_epochs, per_day * epochs)

    signals = {
        "C": of_target(world.epoch_fees + world.epoch_messages, parameters["target_contribution"]),
        "D": formulas.q32(world.stability_ppm, PPM),
        "E": of_target(world.epoch_transactions, parameters["target_transactions"]),
        "x": formulas.q32(world.circulating, parameters["target_circulation"]),
    }
    coefficients = {name: parameters[f"policy_{name}"] for name in COEFFICIENTS}
    policy = world.policy
    policy.output, policy.error, policy.integral = formulas.nexus_equation(
        signals, coefficients, policy.error, policy.integral, epochs, calendar.day_epochs
    )
    brake = max(-policy.output, Fraction(0))
    policy.rise_ppm = int(brake * parameters["price_rise_limit"])
    world.epoch_fees = world.epoch_messages = world.epoch_transactions = 0
    income = formulas.floor_income_units(
        parameters["floor_income"], policy.output, epochs, calendar.year_epochs
    )
    income = min(income, world.balances[TREASURY])
    world.pay("policy: floor income", TREASURY, F_FLOOR, income)
    world.floor.income += income


def _pay_rewards(world: World, closing: int, pool_units: int | None) -> None:
    paid = 0 if pool_units is None else world.balances[VALIDATOR_POOL] - pool_units
    budget = formulas.rewards_budget_units(closing, world.calendar.year_epochs, world.policy.output)
    if not 0 <= paid <= budget:
        raise BookError(f"VALIDATOR_POOL paid {paid} units for epoch {closing}, its budget is {budget}")
    world.rewards += paid
    world.pay("rewards", VALIDATOR_POOL, BONDED, paid)
    world.pay("fees paid out", FEES, BONDED, world.balances[FEES])


def _allocate_reserve(world: World) -> None:
    units = world.balances[RESERVE] * world.parameters["reserve_share"] // PPM
    demands = []
    for place in range(len(SECTOR_ACCOUNTS)):
        feed = world.feeds.get(FIRST_DEMAND_FEED + place)
        demands.append(feed.value if feed is not None and world.epoch <= feed.fresh_through else PPM)
    for account, part in zip(SECTOR_ACCOUNTS, formulas.sector_parts(units, demands), strict=True):
        world.pay("allocation", RESERVE, account, part)


def _share_with_floor(world: World) -> None:
    shares = [(RESERVE, world.parameters["floor_reserve_share"])]
    shares += [(account, world.parameters["floor_sector_share"]) for account in SECTOR_ACCOUNTS]
    due = [(account, world.balances[account] * ppm // PPM) for account, ppm in shares]
    for account, units in due:
        world.pay("floor share", account, F_FLOOR, units)
        world.floor.income += units


def _month_units(world: World) -> int:
    return sum(_basket(world))


def _basket(world: World) -> list[int]:
    return [world.parameters[f"floor_{category}"] for category in formulas.CATEGORIES]


def _guard_floor(world: World) -> None:
    floor = world.floor
    need = floor.population * _month_units(world) * world.parameters["crisis_horizon"] // PPM
    have = world.balances[F_FLOOR] - floor.owed
    units = formulas.drain_units(have, need, world.balances[RESERVE], world.parameters["crisis_drain_limit"])
    world.drained += units
    world.pay("crisis drain", RESERVE, F_FLOOR, units)


def _accrue_floor(world: World) -> None:
    floor, calendar, month, parameters = world.floor, world.calendar, _month_units(world), world.parameters
    citizens = max(1, floor.population)
    released = formulas.released_ppm(
        citizens,
        month,
        debt_usd(world),
        world.circulating,
        parameters["debt_conversion"],
        parameters["debt_rate"],
        parameters["floor_release_least"],
    )
    floor.held_back = (floor.held_back + floor.income) * (PPM - released) // PPM
    floor.income = 0
    balance = world.balances[F_FLOOR]
    entitled = formulas.entitled_units(month, floor.epoch, world.epoch, calendar.month_epochs)
    payment = min(entitled, (balance - floor.owed - floor.held_back) // citizens) if floor.population else 0
    for citizen in world.citizens.values():
        parts = formulas.by_category(payment, _basket(world), world.epoch)
        citizen.left = [left + part for left, part in zip(citizen.left, parts, strict=True)]
    floor.owed += payment * floor.population
    floor.epoch = world.epoch
    world.stability_ppm = min(PPM, balance * PPM // (floor.population * month)) if floor.population else PPM


def debt_usd(world: World) -> int:
    """The world's debt that counts in the book's epoch."""
    feed = world.feeds.get(DEBT_FEED)
    if feed is None:
        return formulas.grown_debt_usd(formulas.START_DEBT_USD, world.epoch, world.calendar.year_epochs)
    if world.epoch <= feed.fresh_through:
        return feed.value
    return formulas.grown_debt_usd(feed.value, world.epoch - feed.epoch, world.calendar.year_epochs)
