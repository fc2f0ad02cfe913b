"""What a transaction must have done, for each kind of the story: to the book, and the result that it must tell."""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from cli.story import formulas
from cli.story.world import (
    BONDED,
    DEPOSITS,
    F_FLOOR,
    FEES,
    POOL,
    RESERVE,
    BookError,
    CitizenBook,
    PoolBook,
    ProposalBook,
    World,
)

PPM = formulas.PPM
DROPPED = "dropped"
"""Status of what no node takes into a block, because it would fail."""
CAMPAIGN_THRESHOLD_PPM = 600_000
PARAMETER_THRESHOLD_PPM = 670_000


@dataclass(slots=True)
class Entry:
    """One transaction of the story, as it was sent and as the chain has taken it."""

    number: int
    kind: str
    sender: str
    names: dict[bytes, str]
    """Accounts by their address, for whoever the payload names."""
    payload: Any
    fee: int
    id: str
    refused: str = ""
    """The reason that it must fail with; empty: it must be applied."""
    status: str = ""
    reason: str = ""
    slot: int = 0
    result: dict[str, int] = field(default_factory=dict)
    final: bool = False

    @property
    def is_settled(self) -> bool:
        """Whether the chain has taken it, or never will."""
        return self.status in ("accepted", "failed", DROPPED)


def apply_entry(world: World, entry: Entry) -> dict[str, int]:
    """Do to the book what the transaction must do to the chain; the result it must tell. Errors: `BookError`."""
    world.pay("fee", entry.sender, FEES, entry.fee)
    world.epoch_fees += entry.fee
    if entry.refused:
        return {}
    world.epoch_transactions += 1
    return EFFECTS[entry.kind](world, entry, entry.payload)


# money, messages, tokens


def _batch_transfer(world: World, entry: Entry, payload: Any) -> dict[str, int]:
    for leg in payload.legs:
        world.pay("transfer", entry.sender, entry.names[leg.recipient], leg.amount)
    return {}


def _message(world: World, entry: Entry, payload: Any) -> dict[str, int]:
    size = len(payload.content)
    units = formulas.message_units(payload.region, payload.priority, size, world.policy.rise_ppm)
    world.pay("message burn", entry.sender, RESERVE, units)
    world.epoch_messages += units
    return {"burned_units": units}


def _token_create(world: World, entry: Entry, payload: Any) -> dict[str, int]:
    world.supply = payload.supply
    world.give_tokens("token created", "", entry.sender, payload.supply)
    return {}


def _token_transfer(world: World, entry: Entry, payload: Any) -> dict[str, int]:
    world.give_tokens("token sent", entry.sender, entry.names[payload.recipient], payload.amount)
    return {}


def _token_burn(world: World, entry: Entry, payload: Any) -> dict[str, int]:
    world.give_tokens("token burned", entry.sender, "", payload.amount)
    world.supply -= payload.amount
    return {"supply": world.supply}


# exchange: the story's pool has NXT first and the token second


def _reserves(world: World) -> tuple[int, int]:
    return world.balances[POOL], world.tokens[POOL]


def _known_pool(world: World) -> PoolBook:
    if world.pool is None:
        raise BookError("there is no pool yet")
    return world.pool


def _pool_create(world: World, entry: Entry, payload: Any) -> dict[str, int]:
    first, second = payload.first_amount, payload.second_amount
    shares = formulas.founding_shares(first, second)
    world.pool = PoolBook(payload.fee_bp, shares + formulas.LOCKED_SHARES, {entry.sender: shares})
    world.pay("liquidity", entry.sender, POOL, first)
    world.give_tokens("liquidity", entry.sender, POOL, second)
    return {"first": first, "second": second, "shares": shares}


def _liquidity_add(world: World, entry: Entry, payload: Any) -> dict[str, int]:
    pool = _known_pool(world)
    first, second, shares = formulas.added_liquidity(
        payload.max_first, payload.max_second, *_reserves(world), pool.shares
    )
    world.pay("liquidity", entry.sender, POOL, first)
    world.give_tokens("liquidity", entry.sender, POOL, second)
    pool.shares += shares
    pool.positions[entry.sender] = pool.positions.get(entry.sender, 0) + shares
    return {"first": first, "second": second, "shares": shares}


def _liquidity_remove(world: World, entry: Entry, payload: Any) -> dict[str, int]:
    pool = _known_pool(world)
    first, second = formulas.removed_liquidity(payload.shares, *_reserves(world), pool.shares)
    world.pay("liquidity back", POOL, entry.sender, first)
    world.give_tokens("liquidity back", POOL, entry.sender, second)
    pool.shares -= payload.shares
    pool.positions[entry.sender] -= payload.shares
    return {"first": first, "second": second, "shares": payload.shares}


def _swap(world: World, entry: Entry, payload: Any) -> dict[str, int]:
    nxt, token = _reserves(world)
    sells_nxt = not any(payload.path[0])
    side = (nxt, token) if sells_nxt else (token, nxt)
    fee_bp = _known_pool(world).fee_bp
    if payload.exact == 0:
        paid, got = payload.amount, formulas.swap_out(payload.amount, *side, fee_bp)
    else:
        paid, got = formulas.swap_in(payload.amount, *side, fee_bp), payload.amount
    if sells_nxt:
        world.pay("swap", entry.sender, POOL, paid)
        world.give_tokens("swap", POOL, entry.sender, got)
    else:
        world.give_tokens("swap", entry.sender, POOL, paid)
        world.pay("swap", POOL, entry.sender, got)
    return {"amount_in": paid, "amount_out": got}


# stakes, governance, oracle


def _delegate(world: World, entry: Entry, payload: Any) -> dict[str, int]:
    world.pay("stake", entry.sender, BONDED, payload.units)
    key = entry.sender, payload.validator
    world.delegated[key] = world.delegated.get(key, 0) + payload.units
    return {}


def _vote_delegate(_: World, __: Entry, ___: Any) -> dict[str, int]:
    return {}


def _proposal_create(world: World, entry: Entry, payload: Any) -> dict[str, int]:
    places = sum(one.status == "open" for one in world.proposals.values())
    deposit = formulas.proposal_deposit(world.parameters["proposal_deposit"], places)
    if deposit > payload.max_deposit_units:
        raise BookError(f"{entry.sender} deposits {deposit} units, signed for {payload.max_deposit_units}")
    world.pay("deposit", entry.sender, DEPOSITS, deposit)
    lock = max(1, world.calendar.voting_epochs // 7)
    proposal = _opened(world, entry, PARAMETER_THRESHOLD_PPM, lock, deposit)
    proposal.parameter = next(
        name for name, number in PARAMETER_NUMBERS.items() if number == payload.action.number
    )
    proposal.value = payload.action.value
    return {"proposal": proposal.number, "deposit_units": deposit}


def _campaign_create(world: World, entry: Entry, payload: Any) -> dict[str, int]:
    world.pay("campaign burn", entry.sender, RESERVE, payload.burn_units)
    return {"proposal": _opened(world, entry, CAMPAIGN_THRESHOLD_PPM, 0, 0).number}


def _opened(world: World, entry: Entry, threshold_ppm: int, lock: int, deposit: int) -> ProposalBook:
    number = entry.result.get("proposal", 0)  # the chain counts proposals of others too
    if number in world.proposals:
        raise BookError(f"two proposals have the number {number}")
    world.proposals[number] = ProposalBook(
        number=number,
        proposer=entry.sender,
        threshold_ppm=threshold_ppm,
        lock_epochs=lock,
        closes=world.epoch + world.calendar.voting_epochs,
        quorum_units=Fraction(world.total_stake * world.parameters["quorum"], PPM),
        deposit=deposit,
    )
    return world.proposals[number]


def _vote(world: World, entry: Entry, payload: Any) -> dict[str, int]:
    weight = 0
    for ballot in payload.ballots:
        name = entry.names[ballot.address]
        for index in ballot.validators:
            own = name == f"validator {index}"
            weight += world.own_stakes[index] if own else world.delegated.get((name, index), 0)
    proposal = world.proposals[payload.proposal]
    proposal.voted += weight
    proposal.yes += weight if payload.choice == 1 else 0
    return {"weight": weight}


def _oracle_report(world: World, _: Entry, payload: Any) -> dict[str, int]:
    reports = world.reports.setdefault(payload.feed, {})
    reports[payload.validator] = payload.value
    return {}


# floor


def _citizen_attest(_: World, __: Entry, ___: Any) -> dict[str, int]:
    return {"attestations": 1}


def _citizen_register(world: World, entry: Entry, _: Any) -> dict[str, int]:
    world.citizens[entry.sender] = CitizenBook()
    world.floor.population += 1
    return {"population": world.floor.population}


def _floor_claim(world: World, entry: Entry, payload: Any) -> dict[str, int]:
    citizen = world.citizens[entry.sender]
    received = sum(citizen.left) + citizen.claimed + citizen.spent
    claimable = min(sum(citizen.left), received * world.parameters["floor_cash"] // PPM - citizen.claimed)
    units = payload.units or claimable
    taken = formulas.largest_remainder(units, citizen.left)
    citizen.left = [left - part for left, part in zip(citizen.left, taken, strict=True)]
    citizen.claimed += units
    _paid_by_floor(world, "floor claim", entry.sender, units)
    return {"units": units}


def _floor_spend(world: World, entry: Entry, payload: Any) -> dict[str, int]:
    citizen = world.citizens[entry.sender]
    if payload.units > citizen.left[payload.category]:
        raise BookError(f"{entry.sender} spends more than is left of category {payload.category}")
    citizen.left[payload.category] -= payload.units
    citizen.spent += payload.units
    _paid_by_floor(world, "floor spending", entry.names[payload.recipient], payload.units)
    return {"units": payload.units}


def _paid_by_floor(world: World, cause: str, recipient: str, units: int) -> None:
    world.floor.owed -= units
    world.floor.paid += units
    world.pay(cause, F_FLOOR, recipient, units)


PARAMETER_NUMBERS = {"reserve_share": 1}
"""Parameters that the story votes on, by the numbers of ledger/governed."""

EFFECTS: dict[str, Callable[[World, Entry, Any], dict[str, int]]] = {
    "batch_transfer": _batch_transfer,
    "message": _message,
    "token_create": _token_create,
    "token_transfer": _token_transfer,
    "token_burn": _token_burn,
    "pool_create": _pool_create,
    "liquidity_add": _liquidity_add,
    "liquidity_remove": _liquidity_remove,
    "swap": _swap,
    "delegate": _delegate,
    "vote_delegate": _vote_delegate,
    "proposal_create": _proposal_create,
    "campaign_create": _campaign_create,
    "vote": _vote,
    "oracle_report": _oracle_report,
    "citizen_attest": _citizen_attest,
    "citizen_register": _citizen_register,
    "floor_claim": _floor_claim,
    "floor_spend": _floor_spend,
}
