"""Random steps through the whole economy, every step checked: what hypothesis drives, and plain random numbers too.

An operation draws small numbers from `Choices` (0 is always the plainest, so that shrinking leads there) and says what
is to be signed, by whom. `EconomyWalk.step` signs it, executes it as one merge set, checks it, and remembers how to
take it back.
"""

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random
from typing import Any, Protocol

from builders.accusation import ACCUSE, Accuse
from builders.economy import EPOCH_SLOTS, EconomyChain, founded_economy
from builders.economy_invariants import applied, audit_economy, check_step
from builders.floor import person
from builders.ledger import merged_block

from ledger.accounts import SECTOR_ADDRESSES
from ledger.addresses import NXT_ASSET, token_id
from ledger.amounts import MAX_SUPPLY_UNITS, UNITS_PER_NXT
from ledger.batch_transfer import BatchTransfer, Leg
from ledger.economy.floor.attestation import CitizenAttest
from ledger.economy.floor.queries import citizen_view
from ledger.economy.floor.registration import CitizenRegister
from ledger.economy.floor.spending import FloorClaim, FloorSpend
from ledger.economy.message_burn import Message, message_price_units
from ledger.encoding import MAX_INTEGER
from ledger.errors import InvalidTransaction
from ledger.exchange.kinds import LiquidityAdd, LiquidityRemove, PoolCreate, Swap
from ledger.exchange.pools import address_of_pair
from ledger.exchange.positions import read_position
from ledger.execution import Outcome, execute_mergeset
from ledger.governance.actions import (
    KindPause,
    ParameterChange,
    Payment,
    RegistrarAdd,
    RegistrarRemove,
    SectorToken,
    TextOnly,
    source_address,
)
from ledger.governance.classes import BUDGET, CONSTITUTIONAL, EMERGENCY, PARAMETER, POLICY
from ledger.governance.proposals import CampaignCreate, ProposalCreate
from ledger.governance.records import OPEN_KEY, read_due, read_vote_delegation
from ledger.governance.voting import Ballot, Vote, VoteDelegate
from ledger.governed.parameters import PARAMETERS, PROPOSAL_DEPOSIT_UNITS, read_parameter
from ledger.governed.pauses import PAUSABLE_KINDS
from ledger.keys import KeyPair
from ledger.kinds import ledger_kinds
from ledger.onion import onion_layer, onion_secret
from ledger.oracle.feeds import FEEDS
from ledger.oracle.reports import OracleReport
from ledger.staking.delegation_kinds import Delegate, Undelegate, Withdraw
from ledger.staking.records import DELEGATION_PREFIX, UNBONDING_PREFIX, read_count, read_epoch
from ledger.staking.validator_kinds import CommissionSet, OnionRenew, Unjail, ValidatorExit
from ledger.tokens.kinds import TokenBurn, TokenCreate, TokenTransfer
from ledger.tokens.records import asset_balance
from ledger.transactions import SignedTransaction
from ledger.transfer import Transfer

NXT = UNITS_PER_NXT
REGISTRY = ledger_kinds().extended([ACCUSE])
MAX_TOKENS = 6
"""That the walk deals with at a time; later ones take the places of earlier ones."""
REMEMBERED = 20
"""Transactions that may be sent again."""
AUDIT_EVERY = 40
"""Steps."""

Intent = tuple[KeyPair, str, Any]
"""Sender, name of the kind, payload."""


class Choices(Protocol):
    """Where an operation takes its numbers from."""

    def below(self, limit: int) -> int:
        """A number from 0 to limit − 1."""
        ...


@dataclass(slots=True)
class RandomChoices:
    """Choices of a seeded generator."""

    rng: Random

    def below(self, limit: int) -> int:
        return self.rng.randrange(limit)


@dataclass(slots=True)
class Step:
    """What it takes to go back before a merge set."""

    before: dict[bytes, bytes]
    place: tuple[int, int, int]
    """Epoch, finalised epoch, slot in the epoch."""
    outcome: Outcome


@cache
def _founded() -> EconomyChain:
    return founded_economy(registry=REGISTRY)


@dataclass(slots=True)
class EconomyWalk:
    """A chain on its way, and what it has seen."""

    chain: EconomyChain = field(default_factory=lambda: copy.copy(_founded()))
    steps: list[Step] = field(default_factory=list)
    seen: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often each kind had each reason; "" for applied, a class of error where it was refused before it was sent."""
    done: int = 0
    """Operations, those of undone branches too."""
    recent: list[SignedTransaction] = field(default_factory=list)
    voters: int = 0
    """How many of the validators' votes are counted in the next merge sets: 0 all, 1 every other, 2 one, 3 none."""

    def __post_init__(self) -> None:
        self.chain.outcomes = []
        self.chain.tokens = list(self.chain.tokens)

    # who and what -----------------------------------------------------------------------------------------------------

    def actor(self, choices: Choices) -> KeyPair:
        """An account, or a validator's owner."""
        keys = [*self.chain.accounts, *self.chain.owners]
        return keys[choices.below(len(keys))]

    def account(self, choices: Choices) -> KeyPair:
        return self.chain.accounts[choices.below(len(self.chain.accounts))]

    def address(self, choices: Choices) -> bytes:
        return self.chain.address(self.actor(choices))

    def asset(self, choices: Choices) -> bytes:
        return [NXT_ASSET, *self.chain.tokens][choices.below(1 + len(self.chain.tokens))]

    def pair(self, choices: Choices) -> tuple[bytes, bytes]:
        one, other = self.asset(choices), self.asset(choices)
        return (one, other) if one <= other else (other, one)

    def validator(self, choices: Choices) -> int:
        """The index of one that exists, or of the next."""
        return choices.below(1 + read_count(self.chain.reader))

    def balance(self, key: KeyPair, asset: bytes = NXT_ASSET) -> int:
        return asset_balance(self.chain.reader, self.chain.address(key), asset)

    # doing ------------------------------------------------------------------------------------------------------------

    def step(self, name: str, choices: Choices) -> None:
        """One operation, by its name in `OPERATIONS`."""
        self.done += 1
        OPERATIONS[name](self, choices)
        if self.done % AUDIT_EVERY == 0:
            self.audit()

    def send(self, *intents: Intent) -> None:
        """Sign what is valid in isolation, and execute it in one merge set of two parallel blocks."""
        chain = self.chain
        nonces: dict[bytes, int] = {}
        transactions = []
        for key, kind, payload in intents:
            nonce = nonces.get(key.public_key, chain.account(key).nonce)
            try:
                transactions.append(chain.signed(key, kind, payload, nonce=nonce))
            except InvalidTransaction as error:
                self.seen[kind, type(error).__name__] += 1
            else:
                nonces[key.public_key] = nonce + 1
        self.execute(transactions)

    def execute(self, transactions: Sequence[SignedTransaction]) -> None:
        """One merge set, checked."""
        chain, half = self.chain, (len(transactions) + 1) // 2
        known = read_count(chain.reader)
        proposers = (self.done % known, self.done * 5 % known)
        merged = [
            merged_block(
                carried,
                number=number,
                proposer=proposer,
                epoch=chain.epoch,
                reveal=bytes([proposer + 1]) * 32,
            )
            for number, (carried, proposer) in enumerate(
                zip((transactions[:half], transactions[half:]), proposers, strict=True)
            )
        ]
        votes = (range(known), range(0, known, 2), range(1), range(0))[self.voters]
        transition = chain.epoch > read_epoch(chain.reader)[0]
        before = chain.state
        context = chain.context(timely_votes=tuple(votes))
        outcome = execute_mergeset(chain.reader, merged, context, chain.registry, chain.steps)
        chain.state = applied(before, outcome.changes)
        chain.outcomes.append(outcome)
        self.steps.append(Step(before, self.place(), outcome))
        for receipt in outcome.receipts:
            self.seen[chain.registry.kind(receipt.kind).name, receipt.reason] += 1
        self.recent = [*self.recent, *transactions][-REMEMBERED:]
        check_step(before, chain.state, outcome, transactions, transition)

    def place(self) -> tuple[int, int, int]:
        return self.chain.epoch, self.chain.finalised_epoch, self.chain.slot_in_epoch

    def undo(self, steps: int) -> list[Step]:
        """Take back that many merge sets by their undos; what was taken back, newest first."""
        undone = []
        for _ in range(steps):
            step = self.steps.pop()
            self.chain.outcomes.pop()
            self.chain.state = applied(self.chain.state, step.outcome.previous)
            assert self.chain.state == step.before, "undo is not exact"
            undone.append(step)
        if undone:
            self.chain.epoch, self.chain.finalised_epoch, self.chain.slot_in_epoch = undone[-1].place
        return undone

    def redo(self, undone: Sequence[Step]) -> None:
        """Apply again what `undo` gave, without executing it."""
        for step in reversed(undone):
            self.chain.state = applied(self.chain.state, step.outcome.changes)
            self.chain.outcomes.append(step.outcome)
            self.steps.append(step)

    # checking ---------------------------------------------------------------------------------------------------------

    def audit(self) -> None:
        """Everything counted again."""
        assert self.chain.faults() == ()
        assert audit_economy(self.chain.store()) == []

    def finish(self) -> None:
        """The last audit, and all the way back to the beginning."""
        self.audit()
        self.undo(len(self.steps))
        assert self.chain.state == _founded().state


def part_of(choices: Choices, whole: int) -> int:
    """1, a few, a fraction of `whole`, all of it, one more than all of it, or far too much."""
    number = choices.below(16)
    if number < 10:
        return max(1, whole * (number + 1) // 40)
    if number == 10:
        return 1
    if number == 11:
        return 1 + choices.below(1_000)
    return min(MAX_INTEGER, (whole // 2, whole, whole + 1, MAX_SUPPLY_UNITS)[number - 12])


# operations -----------------------------------------------------------------------------------------------------------


def pay(walk: EconomyWalk, choices: Choices) -> None:
    sender = walk.actor(choices)
    walk.send(
        (sender, "transfer", Transfer(walk.address(choices), part_of(choices, walk.balance(sender)), b""))
    )


def pay_many(walk: EconomyWalk, choices: Choices) -> None:
    sender = walk.actor(choices)
    legs = [
        Leg(walk.address(choices), part_of(choices, walk.balance(sender) // 4))
        for _ in range(1 + choices.below(4))
    ]
    walk.send((sender, "batch_transfer", BatchTransfer(tuple(legs))))


def pay_in_parallel(walk: EconomyWalk, choices: Choices) -> None:
    """Several senders at once, one of them twice perhaps."""
    intents = []
    for _ in range(2 + choices.below(5)):
        sender = walk.actor(choices)
        amount = part_of(choices, walk.balance(sender))
        intents.append((sender, "transfer", Transfer(walk.address(choices), amount, b"")))
    walk.send(*intents)


def send_again(walk: EconomyWalk, choices: Choices) -> None:
    """An earlier transaction once more, in two blocks."""
    if walk.recent:
        again = walk.recent[-1 - choices.below(len(walk.recent))]
        walk.execute([again, again])


def send_ahead(walk: EconomyWalk, choices: Choices) -> None:
    """A nonce that is not the sender's next."""
    sender = walk.account(choices)
    nonce = max(0, walk.chain.account(sender).nonce + (1, 2, -1)[choices.below(3)])
    payload = Transfer(walk.address(choices), 1, b"")
    walk.execute([walk.chain.signed(sender, "transfer", payload, nonce=nonce)])


def write_message(walk: EconomyWalk, choices: Choices) -> None:
    sender = walk.actor(choices)
    size = (1, 32, 400, 8_192)[choices.below(4)]
    region, priority = choices.below(6), choices.below(4)
    bounds = (MAX_SUPPLY_UNITS, message_price_units(region, priority, size), walk.balance(sender) // 100)
    limit = bounds[choices.below(len(bounds))]
    walk.send((sender, "message", Message(region, priority, b"m" * size, limit)))


def make_token(walk: EconomyWalk, choices: Choices) -> None:
    creator = walk.account(choices)
    supply = (10**12, 1, 10**6, 2**63 - 1)[choices.below(4)]
    token = token_id(walk.chain.address(creator), walk.chain.account(creator).nonce)
    tokens = walk.chain.tokens
    if len(tokens) < MAX_TOKENS:
        tokens.append(token)
    else:
        tokens[3 + choices.below(MAX_TOKENS - 3)] = token
    walk.send((creator, "token_create", TokenCreate("NEW", "A new token", 8, supply)))


def move_token(walk: EconomyWalk, choices: Choices) -> None:
    sender, token = walk.account(choices), walk.asset(choices)
    recipient = walk.address(choices) if choices.below(6) else SECTOR_ADDRESSES[choices.below(3)]
    amount = part_of(choices, walk.balance(sender, token))
    walk.send((sender, "token_transfer", TokenTransfer(token, recipient, amount, b"")))


def burn_token(walk: EconomyWalk, choices: Choices) -> None:
    sender, token = walk.account(choices), walk.asset(choices)
    amount = part_of(choices, walk.balance(sender, token) // 8)
    walk.send((sender, "token_burn", TokenBurn(token, amount)))


def make_pool(walk: EconomyWalk, choices: Choices) -> None:
    founder, (first, second) = walk.account(choices), walk.pair(choices)
    amounts = [part_of(choices, walk.balance(founder, asset) // 4) for asset in (first, second)]
    walk.send((founder, "pool_create", PoolCreate(first, second, 10 + choices.below(41), *amounts)))


def add_liquidity(walk: EconomyWalk, choices: Choices) -> None:
    provider, (first, second) = walk.account(choices), walk.pair(choices)
    amounts = [part_of(choices, walk.balance(provider, asset) // 4) for asset in (first, second)]
    least = choices.below(2) * choices.below(10**6)
    walk.send((provider, "liquidity_add", LiquidityAdd(first, second, *amounts, least)))


def remove_liquidity(walk: EconomyWalk, choices: Choices) -> None:
    """Mostly of a position that there is."""
    provider, (first, second) = walk.account(choices), walk.pair(choices)
    reader = walk.chain.reader
    held = read_position(reader, address_of_pair(first, second), walk.chain.address(provider)).shares
    if not held:
        provider, first, second = walk.chain.accounts[0], NXT_ASSET, walk.chain.tokens[0]
        held = read_position(reader, address_of_pair(first, second), walk.chain.address(provider)).shares
    least = choices.below(2) * choices.below(10**6)
    walk.send(
        (provider, "liquidity_remove", LiquidityRemove(first, second, part_of(choices, held), least, 0))
    )


def _path(walk: EconomyWalk, choices: Choices) -> tuple[bytes, ...]:
    """Two to five assets; along pools that there are, most of the time."""
    alpha, beta, gamma = walk.chain.tokens[:3]
    known = (
        (NXT_ASSET, alpha),
        (NXT_ASSET, beta),
        (NXT_ASSET, alpha, beta),
        (alpha, beta, gamma),
        (NXT_ASSET, alpha, beta, gamma),
    )
    number = choices.below(2 * len(known) + 2)
    if number < 2 * len(known):
        return known[number // 2][:: -1 if number % 2 else 1]
    return tuple(walk.asset(choices) for _ in range(2 + choices.below(4)))


def swap_in(walk: EconomyWalk, choices: Choices) -> None:
    trader, path = walk.account(choices), _path(walk, choices)
    amount = part_of(choices, walk.balance(trader, path[0]))
    least = 1 + choices.below(2) * choices.below(10**9)
    walk.send((trader, "swap", Swap(path, 0, amount, least)))


def swap_out(walk: EconomyWalk, choices: Choices) -> None:
    trader, path = walk.account(choices), _path(walk, choices)
    pool = address_of_pair(path[-2], path[-1])
    amount = part_of(choices, asset_balance(walk.chain.reader, pool, path[-1]) // 2)
    most = part_of(choices, walk.balance(trader, path[0])) if choices.below(2) else MAX_SUPPLY_UNITS
    walk.send((trader, "swap", Swap(path, 1, amount, most)))


def swap_in_parallel(walk: EconomyWalk, choices: Choices) -> None:
    """A trade between another's two: a sandwich."""
    trader, victim, path = walk.account(choices), walk.account(choices), _path(walk, choices)
    amount = part_of(choices, walk.balance(trader, path[0]))
    walk.send(
        (trader, "swap", Swap(path, 0, amount, 1)),
        (victim, "swap", Swap(path, 0, part_of(choices, walk.balance(victim, path[0])), 1)),
        (trader, "swap", Swap(path[::-1], 0, part_of(choices, walk.balance(trader, path[-1])), 1)),
    )


def add_stake(walk: EconomyWalk, choices: Choices) -> None:
    index = walk.validator(choices)
    sender = walk.chain.owners[index] if index < 6 and choices.below(3) == 2 else walk.actor(choices)
    units = 10 * NXT + part_of(choices, walk.balance(sender) // 2)
    walk.send((sender, "delegate", Delegate(index, units)))


def _staked(walk: EconomyWalk, choices: Choices, prefix: bytes) -> tuple[KeyPair, int]:
    """Somebody and a validator: of those with a record under `prefix` mostly."""
    keys = {walk.chain.address(key): key for key in (*walk.chain.accounts, *walk.chain.owners)}
    places = [key[2:] for key in sorted(walk.chain.state) if key.startswith(prefix) and key[2:22] in keys]
    if not places or not choices.below(5):
        return walk.actor(choices), walk.validator(choices)
    place = places[choices.below(len(places))]
    return keys[place[:20]], int.from_bytes(place[20:], "big")


def take_stake(walk: EconomyWalk, choices: Choices) -> None:
    sender, index = _staked(walk, choices, DELEGATION_PREFIX)
    units = part_of(choices, 100 * NXT) * min(1, choices.below(4))
    walk.send((sender, "undelegate", Undelegate(index, units)))


def withdraw_stake(walk: EconomyWalk, choices: Choices) -> None:
    sender, index = _staked(walk, choices, UNBONDING_PREFIX)
    walk.send((sender, "withdraw", Withdraw(index)))


def run_validator(walk: EconomyWalk, choices: Choices) -> None:
    number, index = choices.below(10), walk.validator(choices)
    chain = walk.chain
    owner = chain.owners[index] if index < 6 else walk.actor(choices)
    if number == 0:
        walk.send((owner, "commission_set", CommissionSet(index, choices.below(60_000))))
    elif number == 1:
        tip = onion_layer(onion_secret(bytes(32), choices.below(50)), 3)
        walk.send((owner, "onion_renew", OnionRenew(index, tip, 3)))
    elif number == 2:
        walk.send((owner, "key_rotate", chain.rotation(index, choices.below(30))))
    elif number in (3, 4, 5):
        walk.send(*((one, "unjail", Unjail(place)) for place, one in enumerate(chain.owners)))
    elif number == 6 and choices.below(2):
        walk.send((owner, "validator_exit", ValidatorExit(index)))
    else:
        sender = walk.account(choices)
        units = (1_000, 1_500, 999)[choices.below(3)] * NXT
        walk.send((sender, "validator_register", chain.registration(choices.below(6), sender, units=units)))


def accuse(walk: EconomyWalk, choices: Choices) -> None:
    offence = b"%032d" % choices.below(40)
    accusation = Accuse(walk.validator(choices), offence, choices.below(10))
    walk.send((walk.account(choices), "accuse", accusation))


def attest(walk: EconomyWalk, choices: Choices) -> None:
    """By a registrar mostly; the subject registers in the same merge set, or not."""
    number = choices.below(8)
    registrar = walk.actor(choices) if number == 7 else walk.chain.registrars[number % 2]
    who, subject = person(choices.below(10)), walk.actor(choices)
    intents: list[Intent] = [(registrar, "citizen_attest", CitizenAttest(who, walk.chain.address(subject)))]
    if choices.below(2):
        intents.append((subject, "citizen_register", CitizenRegister(who)))
    walk.send(*intents)


def register(walk: EconomyWalk, choices: Choices) -> None:
    walk.send((walk.actor(choices), "citizen_register", CitizenRegister(person(choices.below(10)))))


def _left(walk: EconomyWalk, key: KeyPair) -> tuple[int, ...]:
    view = citizen_view(walk.chain.reader, walk.chain.address(key))
    return (0,) * 7 if view is None else view.citizen.left


def claim_floor(walk: EconomyWalk, choices: Choices) -> None:
    citizen = walk.account(choices)
    units = 0 if choices.below(2) else part_of(choices, sum(_left(walk, citizen)))
    walk.send((citizen, "floor_claim", FloorClaim(min(units, MAX_SUPPLY_UNITS))))


def spend_floor(walk: EconomyWalk, choices: Choices) -> None:
    citizen, category = walk.account(choices), choices.below(7)
    units = part_of(choices, _left(walk, citizen)[category])
    walk.send((citizen, "floor_spend", FloorSpend(category, walk.address(choices), units)))


def propose(walk: EconomyWalk, choices: Choices) -> None:
    sender, number = walk.actor(choices), choices.below(10)
    class_, action = POLICY, TextOnly()
    if number == 1:
        action = RegistrarAdd(walk.address(choices))
    elif number == 2:
        action = RegistrarRemove(walk.address(choices))
    elif number == 3:
        sector, token = choices.below(3), walk.chain.tokens[choices.below(len(walk.chain.tokens))]
        class_, action = BUDGET, SectorToken(sector, token)
    elif number in (4, 5):
        source = choices.below(3)
        held = asset_balance(walk.chain.reader, source_address(source), NXT_ASSET)
        class_, action = BUDGET, Payment(source, walk.address(choices), part_of(choices, held // 10))
    elif number in (6, 7):
        class_, action = _parameter_change(walk, choices)
    elif number == 8:
        kinds = sorted(PAUSABLE_KINDS)
        class_, action = EMERGENCY, KindPause(kinds[choices.below(len(kinds))])
    elif number == 9:
        class_ = CONSTITUTIONAL
    # Who signs no more than the base is refused once eight are open.
    most = read_parameter(walk.chain.reader, PROPOSAL_DEPOSIT_UNITS) if number == 0 else MAX_SUPPLY_UNITS
    walk.send((sender, "proposal_create", ProposalCreate(class_, "A proposal", bytes(32), action, most)))


def _parameter_change(walk: EconomyWalk, choices: Choices) -> tuple[int, ParameterChange]:
    """To a bound, to the default, between, or out of bounds."""
    parameter = PARAMETERS[choices.below(len(PARAMETERS))]
    least, greatest = parameter.least, parameter.greatest
    values = (greatest, least, (least + greatest) // 2, parameter.default, greatest + 1)
    subject = address_of_pair(*walk.pair(choices)) if parameter.per_subject else b""
    change = ParameterChange(parameter.number, subject, values[choices.below(len(values))])
    return CONSTITUTIONAL if parameter.constitutional else PARAMETER, change


def campaign(walk: EconomyWalk, choices: Choices) -> None:
    index = choices.below(6)
    units = 100 * NXT + choices.below(2) * part_of(choices, walk.balance(walk.chain.owners[index]))
    payload = CampaignCreate(index, "A campaign", bytes(32), units)
    walk.send((walk.chain.owners[index], "campaign_create", payload))


def _open_proposal(walk: EconomyWalk, choices: Choices) -> int:
    """The id of one that is voted on, or, when there is none or seldom anyway, any id."""
    opened = read_due(walk.chain.reader, OPEN_KEY)
    number = choices.below(8)
    return opened[-1 - number % len(opened)].id if opened and number < 7 else 1 + choices.below(20)


def vote_all(walk: EconomyWalk, choices: Choices) -> None:
    """All owners of validators, each with its own stake, of one opinion mostly."""
    proposal, against = _open_proposal(walk, choices), choices.below(4)
    intents: list[Intent] = []
    for index, owner in enumerate(walk.chain.owners):
        choice = 1 if against == 0 or index >= against else choices.below(3)
        ballot = Ballot(walk.chain.address(owner), (index,))
        intents.append((owner, "vote", Vote(proposal, choice, (ballot,))))
    walk.send(*intents)


def vote(walk: EconomyWalk, choices: Choices) -> None:
    """One voter, with the ballots of those who have handed it their votes, or not."""
    voter = walk.actor(choices)
    proposal, bits = _open_proposal(walk, choices), choices.below(64)
    validators = tuple(index for index in range(6) if not bits >> index & 1)
    addresses = [walk.chain.address(voter)]
    if choices.below(2):
        for key in (*walk.chain.accounts, *walk.chain.owners):
            handed = read_vote_delegation(walk.chain.reader, walk.chain.address(key))
            if handed is not None and handed.delegate == addresses[0]:
                addresses.append(walk.chain.address(key))
        if len(addresses) > 1 and choices.below(2):
            del addresses[0]
    ballots = tuple(Ballot(address, validators) for address in sorted(set(addresses)))
    walk.send((voter, "vote", Vote(proposal, (1, 0, 2)[choices.below(3)], ballots)))


def hand_over_vote(walk: EconomyWalk, choices: Choices) -> None:
    sender = walk.actor(choices)
    delegate = walk.address(choices) if choices.below(4) else b""
    walk.send((sender, "vote_delegate", VoteDelegate(delegate)))


def report_all(walk: EconomyWalk, choices: Choices) -> None:
    """Most validators on one feed, each near the same value or far off."""
    feed = FEEDS[choices.below(len(FEEDS))]
    middle = max(feed.least, min(feed.greatest, feed.least * 10 ** choices.below(4)))
    intents: list[Intent] = []
    for index in range(3 + choices.below(4)):
        value = middle * (100, 101, 95, 200)[choices.below(4)] // 100
        intents.append(
            (walk.chain.owners[index % 6], "oracle_report", OracleReport(index % 6, feed.number, value))
        )
    walk.send(*intents)


def report(walk: EconomyWalk, choices: Choices) -> None:
    index, feed = walk.validator(choices), choices.below(24)
    sender = walk.chain.owners[index] if index < 6 else walk.actor(choices)
    walk.send((sender, "oracle_report", OracleReport(index, feed, 10 ** choices.below(18))))


def go_on(walk: EconomyWalk, choices: Choices) -> None:
    """Later in the epoch, with more or fewer votes of validators."""
    chain = walk.chain
    chain.slot_in_epoch = min(EPOCH_SLOTS - 1, chain.slot_in_epoch + 1 + choices.below(8))
    walk.voters = choices.below(8) % 4 if choices.below(4) == 3 else 0
    walk.execute([])


def next_epoch(walk: EconomyWalk, choices: Choices) -> None:
    """The next epoch, or one after a silence; finality keeps up, or lags."""
    chain = walk.chain
    chain.epoch += (1, 1, 1, 1, 1, 2, 5, 20)[choices.below(8)]
    lag = (0, 0, 0, 0, 1, 1, 3, 8)[choices.below(8)]
    chain.finalised_epoch = max(chain.finalised_epoch, chain.epoch - lag)
    chain.slot_in_epoch = choices.below(4)
    walk.execute([])


def trade_in_new_epoch(walk: EconomyWalk, choices: Choices) -> None:
    """Transactions in the merge set that makes the transition."""
    walk.chain.epoch += 1
    walk.chain.finalised_epoch = walk.chain.epoch
    walk.chain.slot_in_epoch = 0
    swap_in(walk, choices)


def reorganise(walk: EconomyWalk, choices: Choices) -> None:
    """Back by some merge sets, across epochs too; then forward again, or on another branch from there."""
    undone = walk.undo(min(len(walk.steps), 1 + choices.below(8)))
    if choices.below(2):
        return
    place = walk.place()
    states = [walk.chain.state]
    walk.redo(undone)
    states.append(walk.chain.state)
    again = walk.undo(len(undone))
    assert [walk.chain.state, walk.place()] == [states[0], place]
    walk.redo(again)
    assert walk.chain.state == states[1]
    if undone:
        walk.chain.epoch, walk.chain.finalised_epoch, walk.chain.slot_in_epoch = undone[0].place


OPERATIONS: dict[str, Callable[[EconomyWalk, Choices], None]] = {
    one.__name__: one
    for one in (
        pay,
        pay_many,
        pay_in_parallel,
        send_again,
        send_ahead,
        write_message,
        make_token,
        move_token,
        burn_token,
        make_pool,
        add_liquidity,
        remove_liquidity,
        swap_in,
        swap_out,
        swap_in_parallel,
        add_stake,
        take_stake,
        withdraw_stake,
        run_validator,
        accuse,
        attest,
        register,
        claim_floor,
        spend_floor,
        propose,
        campaign,
        vote_all,
        vote,
        hand_over_vote,
        report_all,
        report,
        go_on,
        next_epoch,
        trade_in_new_epoch,
        reorganise,
    )
}
WEIGHTS = dict.fromkeys(OPERATIONS, 2) | {
    "next_epoch": 6,
    "vote_all": 4,
    "swap_in": 4,
    "propose": 4,
    "accuse": 1,
}


def wander(seed: int, operations: int, walk: EconomyWalk | None = None) -> EconomyWalk:
    """A walk of so many random operations, by plain random numbers."""
    walk = EconomyWalk() if walk is None else walk
    rng = Random(seed)
    names = [name for name, weight in WEIGHTS.items() for _ in range(weight)]
    for _ in range(operations):
        walk.step(rng.choice(names), RandomChoices(rng))
    return walk
