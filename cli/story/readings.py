"""Figures under the same names from both sides: what the book expects, and what the chain's answers say."""

from collections.abc import Callable
from typing import Any

from cli.story.chain import Call, Chain
from cli.story.formulas import CATEGORIES
from cli.story.world import BONDED, DEPOSITS, POOL, RESERVES, World

FEEDS = (1, 2, *range(10, 22))
"""Debt, price, and the demand of twelve sectors; a feed without a value is 0 here."""

Figures = dict[str, int | str]
Reading = tuple[Call, Callable[[Any], Figures]]
"""A call, and how its answer becomes figures."""


def readings_of(world: World, names: dict[str, bytes], chain: Chain, token: str) -> list[Reading]:
    """What is asked of the chain beside its status, for all that the book knows of; `token` its id or empty."""
    readings: list[Reading] = [(("floor_getStatus", {}), _floor_figures)]
    readings.append((("governance_getParameters", {}), _parameter_figures))
    readings.append((("oracle_getFeeds", {}), _feed_figures))
    for name, address in names.items():
        asked: dict[str, object] = {"address": chain.text(address)}
        readings.append((("ledger_getAccount", asked), _account_figures(name)))
        if token:
            readings.append((("token_getBalances", asked), _token_figures(name, token)))
        if name in world.citizens:
            readings.append((("floor_getCitizen", asked), _citizen_figures(name)))
        if world.pool is not None and name in world.pool.positions:
            readings.append((("dex_getPositions", asked), _position_figures(name, token)))
    if token:
        readings.append((("token_get", {"id": token}), _supply_figures))
    if world.pool is not None:
        readings.append((("dex_getPool", {"first": "NXT", "second": token}), _pool_figures))
    for number in world.proposals:
        readings.append((("governance_get", {"id": number}), _proposal_figures))
    return readings


def figures_of(world: World) -> Figures:
    """All that the book expects, by name."""
    figures: Figures = dict(world.balances)
    figures |= {f"{name}, token": world.tokens.get(name, 0) for name in world.balances}
    floor, policy = world.floor, world.policy
    figures |= {
        "epoch": world.epoch,
        "issued since genesis": world.issued,
        "burned since genesis": world.burned,
        "circulating": world.circulating,
        "token supply": world.supply,
        "fees of the epoch": world.epoch_fees,
        "message burns of the epoch": world.epoch_messages,
        "transactions of the epoch": world.epoch_transactions,
        "price rise": policy.rise_ppm,
        "citizens": floor.population,
        "floor owed": floor.owed,
        "floor held back": floor.held_back,
        "floor income that waits": floor.income,
        "floor paid": floor.paid,
    }
    figures |= {f"parameter {name}": value for name, value in world.parameters.items()}
    for number in FEEDS:
        feed = world.feeds.get(number)
        figures[f"feed {number}"] = 0 if feed is None else feed.value
    for name, citizen in world.citizens.items():
        for category, left in zip(CATEGORIES, citizen.left, strict=True):
            figures[f"{name}, left for {category}"] = left
        figures |= {f"{name}, claimed": citizen.claimed, f"{name}, spent": citizen.spent}
    if world.pool is not None:
        figures["pool shares"] = world.pool.shares
        figures |= {f"{name}, shares": shares for name, shares in world.pool.positions.items()}
    for number, proposal in world.proposals.items():
        figures |= {
            f"proposal {number}": proposal.status,
            f"proposal {number}, yes": proposal.yes,
            f"proposal {number}, closes": proposal.closes,
        }
    return figures


def common_figures(status: Any, policy: Any) -> Figures:
    supply, running = status["supply"], policy["running_epoch"]
    figures: Figures = {name: int(units) for name, units in status["reserves"].items() if name in RESERVES}
    return figures | {
        BONDED: int(status["bonded"]),
        DEPOSITS: int(status["deposits"]),
        "epoch": int(status["epoch"]),
        "issued since genesis": int(supply["issued"]),
        "burned since genesis": int(supply["burned"]),
        "circulating": int(supply["circulating"]),
        "fees of the epoch": int(running["fees"]),
        "message burns of the epoch": int(running["message_burns"]),
        "transactions of the epoch": int(running["transactions"]),
        "price rise": status["price_rise_ppm"],
    }


def _floor_figures(floor: Any) -> Figures:
    return {
        "citizens": int(floor["population"]),
        "floor owed": int(floor["owed"]),
        "floor held back": int(floor["held_back"]),
        "floor income that waits": int(floor["waiting_income"]),
        "floor paid": int(floor["paid"]),
    }


def _parameter_figures(told: Any) -> Figures:
    return {
        f"parameter {one['name']}": int(one["value"]) for one in told["parameters"] if not one["per_subject"]
    }


def _feed_figures(told: Any) -> Figures:
    return {f"feed {one['number']}": int(one["value"] or 0) for one in told["feeds"]}


def _account_figures(name: str) -> Callable[[Any], Figures]:
    return lambda told: {name: int(told["balance"])}


def _token_figures(name: str, token: str) -> Callable[[Any], Figures]:
    return lambda told: {
        f"{name}, token": sum(int(one["balance"]) for one in told["balances"] if one["token"] == token)
    }


def _citizen_figures(name: str) -> Callable[[Any], Figures]:
    return lambda told: {
        **{f"{name}, left for {category}": int(left) for category, left in told["left_by_category"].items()},
        f"{name}, claimed": int(told["claimed"]),
        f"{name}, spent": int(told["spent"]),
    }


def _position_figures(name: str, token: str) -> Callable[[Any], Figures]:
    return lambda told: {
        f"{name}, shares": sum(int(one["shares"]) for one in told["positions"] if one["second"] == token)
    }


def _supply_figures(told: Any) -> Figures:
    return {"token supply": int(told["supply"])}


def _pool_figures(told: Any) -> Figures:
    return {
        POOL: int(told["reserve_first"]),
        f"{POOL}, token": int(told["reserve_second"]),
        "pool shares": int(told["shares"]),
    }


def _proposal_figures(told: Any) -> Figures:
    number = told["id"]
    return {
        f"proposal {number}": told["status"],
        f"proposal {number}, yes": int(told["yes"]),
        f"proposal {number}, closes": int(told["closes_epoch"]),
    }
