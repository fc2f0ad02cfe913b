"""The book: replays the story from its first page and holds the result against what the chain shows, to the unit.

Everything is replayed at every settling: the slots in which transactions were taken may still change while they are not
final, and with them the epoch whose flows they belong to.
"""

from copy import deepcopy
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from cli.exits import CommandFailed, ExitCode
from cli.story.chain import Call, Chain, Look, status_call, take_status
from cli.story.entries import DROPPED, Entry, apply_entry
from cli.story.epochs import begin_epoch
from cli.story.formulas import ONE
from cli.story.readings import Reading, common_figures, figures_of, readings_of
from cli.story.world import (
    BONDED,
    DEPOSITS,
    POOL,
    BookError,
    FeedBook,
    FloorBook,
    PolicyBook,
    World,
)


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure that the book does not explain."""

    figure: str
    expected: int | str
    found: int | str


def first_page(chain: Chain, names: dict[str, bytes]) -> World:
    """The world as the story finds it; `names` of those whose balances it keeps, with their addresses."""
    calls: list[Call] = [("floor_getStatus", {}), ("governance_getParameters", {})]
    calls += [("oracle_getFeeds", {}), ("validator_list", {})]
    calls += [("ledger_getAccount", {"address": chain.text(address)}) for address in names.values()]
    status, policy, found = chain.together(calls)
    floor, parameters, feeds, validators, *accounts = found
    _require_quiet(status)
    balances = {name: int(units) for name, units in status["reserves"].items()}
    balances |= {BONDED: int(status["bonded"]), DEPOSITS: int(status["deposits"]), POOL: 0}
    balances |= {name: int(account["balance"]) for name, account in zip(names, accounts, strict=True)}
    stakes = {one["index"]: int(one["effective_stake"]) for one in validators["validators"]}
    supply, step, running = status["supply"], policy["last_step"], policy["running_epoch"]
    remembered = PolicyBook(rise_ppm=status["price_rise_ppm"])
    if step is not None:
        day = chain.calendar.day_epochs
        remembered.error = Fraction(int(step["error_q32"]), ONE)
        remembered.integral = Fraction(
            int(step["integral_q32"]) * day + int(step["integral_remainder"]), ONE * day
        )
    return World(
        calendar=chain.calendar,
        epoch=int(status["epoch"]),
        balances=balances,
        parameters={
            one["name"]: int(one["value"]) for one in parameters["parameters"] if not one["per_subject"]
        },
        stakes=stakes,
        own_stakes={one["index"]: int(one["self_stake"]) for one in validators["validators"]},
        total_stake=sum(int(one["self_stake"]) + int(one["delegated"]) for one in validators["validators"]),
        circulating_at_genesis=int(supply["circulating_at_genesis"]),
        issued=int(supply["issued"]),
        burned=int(supply["burned"]),
        floor=FloorBook(
            epoch=int(floor["last_accrual"]["epoch"]),
            population=int(floor["population"]),
            owed=int(floor["owed"]),
            held_back=int(floor["held_back"]),
            income=int(floor["waiting_income"]),
            paid=int(floor["paid"]),
        ),
        feeds={
            one["number"]: FeedBook(int(one["value"]), int(one["value_epoch"]), int(one["fresh_through"]))
            for one in feeds["feeds"]
            if one["value"] is not None
        },
        policy=remembered,
        epoch_fees=int(running["fees"]),
        epoch_messages=int(running["message_burns"]),
        epoch_transactions=int(running["transactions"]),
        stability_ppm=floor["last_accrual"]["stability_ppm"],
    )


def _require_quiet(status: Any) -> None:
    """The book follows the story alone. Errors: `CommandFailed` REJECTED when the devnet has business of its own."""
    if int(status["deposits"]):
        raise CommandFailed(
            ExitCode.REJECTED,
            "proposals of others are open in this devnet; wait for their end, or choose another --dir",
        )
    for sector in status["sectors"]:
        if sector["token"] is not None:
            raise CommandFailed(
                ExitCode.REJECTED,
                f"sector {sector['name']} seeds a pool with its token in this devnet, which the story's book does not "
                "follow; choose another --dir",
            )


class Book:
    """The first page, what happened since, and the settling."""

    def __init__(self, chain: Chain, names: dict[str, bytes]) -> None:
        self.chain = chain
        self.names = names
        self.first = first_page(chain, names)
        self.entries: list[Entry] = []
        self.world = deepcopy(self.first)
        self.token = ""
        """Id of the story's token in hex, once there is one."""
        self.checked = 0
        """Figures of the last settling."""

    def settle(self) -> list[Difference]:
        """Replay and compare; a difference counts when it stays. Errors: `CommandFailed`."""
        found: list[Difference] = []
        attempts = 0

        def compared() -> bool:
            nonlocal found, attempts
            attempts += 1
            asked = readings_of(self.world, self.names, self.chain, self.token)
            found = self._compare(asked)
            # What came into the book by this very replay was not asked for yet.
            whole = len(asked) == len(readings_of(self.world, self.names, self.chain, self.token))
            return (not found and whole) or attempts == MAX_ATTEMPTS

        self.chain.wait("settling", compared)
        return found

    def _compare(self, readings: list[Reading]) -> list[Difference]:
        unsettled = [entry for entry in self.entries if not entry.final]
        calls = [status_call(entry) for entry in unsettled]
        status, policy, results = self.chain.together(calls + [call for call, _ in readings])
        for entry, told in zip(unsettled, results, strict=False):
            take_status(entry, told)
        if not all(entry.is_settled for entry in self.entries):
            return [Difference("transactions on the chain", len(self.entries), "fewer")]
        epoch = int(status["epoch"])
        try:
            self.world, differences = replayed(self.first, self.entries, self.chain.looks, epoch)
        except BookError as error:
            return [Difference("the rules", "kept", str(error))]
        actual = common_figures(status, policy)
        for (_, told_by), result in zip(readings, results[len(calls) :], strict=True):
            actual |= told_by(result)
        expected = figures_of(self.world)
        self.checked = len(actual)
        return differences + [
            Difference(figure, expected.get(figure, "not in the book"), found)
            for figure, found in actual.items()
            if expected.get(figure) != found
        ]


MAX_ATTEMPTS = 12
"""Looks until a difference counts: a reorganisation may be under way in the first."""


def replayed(
    first: World, entries: list[Entry], looks: dict[int, Look], epoch: int
) -> tuple[World, list[Difference]]:
    """(the world in `epoch`, results of transactions that differ). Errors: `BookError`, `CommandFailed`."""
    world, differences = deepcopy(first), []
    slots = world.calendar.epoch_slots
    closed = {begun: look.closed for begun, look in looks.items()}
    transitions, later = [], epoch
    while later > first.epoch:
        transitions.append(later)
        before = closed.get(later, later - 1)
        later = max(first.epoch, before) if before >= 0 else first.epoch
    steps: list[tuple[int, int, Entry | None]] = [(begun, -1, None) for begun in transitions]
    steps += [(entry.slot // slots, entry.number, entry) for entry in entries if entry.status != DROPPED]
    for begun, _, entry in sorted(steps, key=_by_epoch_and_slot):
        if entry is None:
            look = looks.get(begun)
            if look is None:
                raise CommandFailed(
                    ExitCode.TIMEOUT,
                    f"epoch {begun} passed unseen: this machine is too slow for the slots; use longer ones (--slot-ms)",
                )
            begin_epoch(world, begun, look.validator_pool)
            continue
        expected = apply_entry(world, entry)
        if (entry.reason if entry.status == "failed" else "") != entry.refused:
            what = f"{entry.kind} of {entry.sender}"
            differences.append(Difference(what, entry.refused or "applied", entry.reason or "applied"))
        elif not entry.refused and entry.result != expected:
            differences.append(
                Difference(f"result of {entry.kind} of {entry.sender}", str(expected), str(entry.result))
            )
    return world, differences


def _by_epoch_and_slot(step: tuple[int, int, Entry | None]) -> tuple[int, int, int]:
    epoch, number, entry = step
    return epoch, -1 if entry is None else entry.slot, number
