"""The economy's cost beside transfers: `PYTHONPATH=tests python tests/benchmarks/bench_economy.py`.

Blocks of 1,000 signed transactions through all stages (decode, verify, execute, root, synced commit to LevelDB), by 100
senders over a state of 100,000 accounts: a mix of swaps, messages, token transfers, floor spends and votes, and each of
them alone, as a share of the rate of transfers in the same round.

The epoch transition, executed and with its root, of 12 validators that all worked in a chain with twelve sectors and
their pools; then beside 100,000 citizens, 10,000 delegators, 1,000 skipped epochs, 64 proposals that close and 64 that
take effect, full oracle reports. A goal names the most milliseconds; everything at once and 1,000 validators have none.
"""

import random
import statistics
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from bench_ledger import ACCOUNTS, BLOCK_TRANSFERS, REGISTRY, STAGES, Chain, import_block
from builders.ledger import block_context, devnet_genesis, devnet_rules, key_pair, merged_block
from msgspec.structs import replace

from ledger.accounts import (
    BONDED_ADDRESS,
    DEPOSITS_ADDRESS,
    F_FLOOR_ADDRESS,
    SECTOR_ADDRESSES,
    SYSTEM_ADDRESSES,
    TRANSITION_RESERVE_ADDRESS,
    Account,
    encode_account,
)
from ledger.addresses import NXT_ASSET, address_of, token_id
from ledger.amounts import UNITS_PER_NXT
from ledger.economy.floor.records import (
    EMPTY_FLOOR,
    Citizen,
    person_key,
    read_floor,
    write_citizen,
    write_floor,
)
from ledger.economy.floor.spending import FloorSpend
from ledger.economy.message_burn import Message
from ledger.exchange.kinds import Swap
from ledger.exchange.liquidity import create_pool
from ledger.execution import execute_mergeset
from ledger.genesis import chain_rules, genesis_state
from ledger.governance.actions import Action, KindPause, ParameterChange, RegistrarAdd, TextOnly
from ledger.governance.classes import CONSTITUTIONAL, EMERGENCY, PARAMETER, POLICY
from ledger.governance.records import (
    OPEN,
    OPEN_KEY,
    PASSED,
    WAITING_KEY,
    CountedStake,
    Proposal,
    VoteRecord,
    due_of,
    write_due,
    write_proposal,
    write_tally,
    write_vote,
)
from ledger.governance.voting import Ballot, Vote
from ledger.governed.parameters import RESERVE_SHARE_PPM
from ledger.governed.sector_tokens import write_sector_token
from ledger.keys import KeyPair
from ledger.oracle.feeds import FEEDS
from ledger.oracle.reports import OracleReport
from ledger.rules import BlockContext, ChainRules
from ledger.staking.records import (
    ZERO_ACCUMULATOR,
    Delegation,
    read_validator,
    shares_bytes,
    write_delegation,
    write_validator,
)
from ledger.staking.shares import with_delegated
from ledger.state import MappingState, Overlay, account_key
from ledger.state_commitment import StateTree
from ledger.storage.database import Database
from ledger.storage.state_cache import StateCache
from ledger.storage.state_store import LedgerStore
from ledger.storage.store import WriteBatch
from ledger.tokens.kinds import TokenTransfer
from ledger.tokens.records import TokenInfo, credit_tokens, write_token
from ledger.transactions import sign_transaction
from ledger.transfer import Transfer

NXT = UNITS_PER_NXT
SENDERS = 100
FAR_SLOT = 1_000_000
TOKENS = 4
LEAST_SHARE = 0.4
MOST_MS = 10

CITIZENS = 100_000
DELEGATORS = 10_000
SKIPPED_EPOCHS = 1_000
PROPOSALS = 64
CLOSING_EPOCH = 4
"""Late enough for the sectors to seed their pools: prices must be two epochs old."""

State = dict[bytes, bytes]


def changed(state: State, act: Callable[[Overlay], None]) -> State:
    """The state after `act`, whatever it does to the supply."""
    overlay = Overlay(MappingState(state))
    act(overlay)
    return {key: value for key, value in {**state, **overlay.changes()}.items() if value is not None}


def found_token(overlay: Overlay, number: int, owner: bytes, units: int) -> bytes:
    """A token of which `owner` has so many units; it is created by nobody's transaction."""
    token = token_id(owner, 10**6 + number)
    write_token(overlay, token, TokenInfo(owner, f"T{number}", f"Token {number}", 8, 10**18, 0))
    credit_tokens(overlay, token, owner, units)
    return token


def proposal(number: int, class_: int, action: Action, **changed_fields: int) -> Proposal:
    """A proposal of epoch 0 that closes in the transition that is measured."""
    fields: dict[str, int] = {
        "deposit_units": 10 * NXT,
        "total_stake_units": 12_000 * NXT,
        "quorum_ppm": 334_000,
        "closes_epoch": CLOSING_EPOCH + 1,
        "yes_units": 0,
        "no_units": 0,
        "status": OPEN,
        "effect_epoch": 0,
    } | changed_fields
    return Proposal(
        id=number,
        class_=class_,
        proposer=number.to_bytes(20, "big"),
        campaign_validator=0,
        title=f"Proposal {number}",
        text_hash=bytes(32),
        action=action,
        burned_units=0,
        created_epoch=0,
        abstain_units=0,
        ballots=12,
        bands_approving=0,
        bands_populated=0,
        reason="",
        closed_epoch=0,
        executed_epoch=0,
        **fields,
    )


# blocks ---------------------------------------------------------------------------------------------------------------

MIX = ("swap", "message", "token_transfer", "floor_spend", "vote")
ALONE = ("transfer", *MIX)


@dataclass(slots=True)
class Crowd:
    """100 senders who own, trade, live and vote, and what they send next."""

    keys: list[KeyPair]
    recipients: list[bytes]
    tokens: list[bytes]
    rules: ChainRules
    rng: random.Random
    nonces: list[int]
    votes: list[int]
    """How often each has voted: on proposals 1, 2, …"""

    def payload(self, kind: str, sender: int, number: int) -> object:
        """What `sender` sends as its transaction `number` of a block."""
        recipient = self.recipients[self.rng.randrange(len(self.recipients))]
        token = self.tokens[number % TOKENS]
        if kind == "swap":
            path = (NXT_ASSET, token) if number % 2 else (token, NXT_ASSET)
            if number % 5 == 4:  # one of five goes through two pools
                path = (self.tokens[number % TOKENS - 1], NXT_ASSET, token)
            return Swap(path, 0, 10_000 + number, 1)
        if kind == "message":
            return Message(number % 6, number % 4, b"\0" * 32, NXT)
        if kind == "token_transfer":
            return TokenTransfer(token, recipient, 1_000, b"")
        if kind == "floor_spend":
            return FloorSpend(number % 7, recipient, 1_000)
        if kind == "vote":
            self.votes[sender] += 1
            ballot = Ballot(address_of(self.keys[sender].public_key), (sender % 12,))
            return Vote(self.votes[sender], number % 3, (ballot,))
        return Transfer(recipient, 1_000, b"")

    def block(self, kinds: tuple[str, ...]) -> list[bytes]:
        """1,000 signed transactions, as many of each kind; a sender's follow each other."""
        each = BLOCK_TRANSFERS // SENDERS
        raws = []
        for number in range(BLOCK_TRANSFERS):
            sender = number // each
            kind = kinds[number % len(kinds)]
            made = sign_transaction(
                self.keys[sender],
                self.rules,
                nonce=self.nonces[sender],
                expiry_slot=FAR_SLOT,
                fee=None,
                kind=REGISTRY.named(kind),  # type: ignore[arg-type]
                payload_record=self.payload(kind, sender, number),  # type: ignore[arg-type]
            )
            self.nonces[sender] += 1
            raws.append(made.raw)
        return raws


def crowded_state(crowd: Crowd, proposals: int) -> State:
    """100,000 accounts, the senders with everything that they need, four pools, and open proposals."""
    genesis, _, _ = devnet_genesis()
    state = genesis_state(genesis)
    state |= {account_key(address): encode_account(Account(10**6, 0)) for address in crowd.recipients}
    addresses = [address_of(key.public_key) for key in crowd.keys]
    founder = addresses[0]

    def fill(overlay: Overlay) -> None:
        for address in (*addresses, *SYSTEM_ADDRESSES):
            overlay.credit(address, 10**12)
        overlay.credit(founder, 10**13)
        for number in range(TOKENS):
            token = found_token(overlay, number, founder, 10**16)
            crowd.tokens.append(token)
            for address in addresses:
                credit_tokens(overlay, token, address, 10**12)
            create_pool(
                overlay, founder, NXT_ASSET, token, 30, 10**12, 10**15, block_context(crowd.rules, slot=1)
            )
        write_floor(overlay, replace(EMPTY_FLOOR, population=len(addresses), owed_units=10**11))
        for number, address in enumerate(addresses):
            person = number.to_bytes(32, "big")
            overlay.put(person_key(person), address)
            write_citizen(overlay, address, Citizen(person, 0, (0,) * 7, (10**8,) * 7, 0, 0))
            delegate(overlay, address, number % 12, 10 * NXT)
        made = [
            proposal(1 + number, POLICY, TextOnly(), closes_epoch=CLOSING_EPOCH, deposit_units=0)
            for number in range(proposals)
        ]
        for one in made:
            write_proposal(overlay, one)
        write_due(overlay, OPEN_KEY, tuple(due_of(one, one.closes_epoch) for one in made))

    return changed(state, fill)


def delegate(overlay: Overlay, address: bytes, index: int, units: int) -> None:
    """Stake of `address` in a validator, since ever."""
    write_delegation(overlay, address, index, Delegation(shares_bytes(units), ZERO_ACCUMULATOR, 0, 0))
    record = read_validator(overlay, index)
    assert record is not None
    write_validator(overlay, with_delegated(record, units, units))
    overlay.credit(BONDED_ADDRESS, units)


def measure_blocks(rounds: int) -> dict[str, list[float]]:
    """Seconds per block of 1,000, a figure for each round: transfers, the mix, and each kind alone."""
    rng = random.Random(1)
    crowd = Crowd(
        keys=[key_pair("bench economy", "sender", number) for number in range(SENDERS)],
        recipients=[rng.randbytes(20) for _ in range(ACCOUNTS)],
        tokens=[],
        rules=devnet_rules(),
        rng=rng,
        nonces=[0] * SENDERS,
        votes=[0] * SENDERS,
    )
    workloads = {"mix": MIX} | {kind: (kind,) for kind in ALONE}
    votes_each = rounds * 12 + 2
    state = crowded_state(crowd, votes_each)
    seconds: dict[str, list[float]] = {name: [] for name in workloads}
    stages: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as directory:
        database = Database(Path(directory) / "store", schema_version=1)
        ledger = LedgerStore(database)
        batch = WriteBatch()
        ledger.stage_genesis(batch, state)
        database.write(batch, sync=True)
        cache = StateCache(ledger, 2 * len(state))
        cache.fill(ledger.state())
        chain = Chain(database, ledger, cache, StateTree.build(ledger.state()), crowd.rules, [])
        try:
            for _ in range(rounds):
                for name, kinds in workloads.items():
                    chain.stages_us = {stage: [] for stage in STAGES}
                    seconds[name].append(import_block(chain, crowd.block(kinds), verify=True))
                    stages[name] = {stage: took[-1] for stage, took in chain.stages_us.items()}
        finally:
            database.close()
    for name, took in stages.items():
        shown = ", ".join(f"{stage} {us:.1f}" for stage, us in took.items())
        print(
            f"  {name:<16} {1000 / statistics.median(seconds[name]):8,.0f}/s   µs in the last round: {shown}"
        )
    return seconds


# transitions ----------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Scene:
    """A state at the end of an epoch in which a number of validators all worked."""

    validators: int
    state: State
    rules: ChainRules
    owners: list[KeyPair]
    epoch: int = CLOSING_EPOCH + 1
    """That the transition begins."""

    def change(self, act: Callable[[Overlay], None]) -> None:
        self.state = changed(self.state, act)


def scene(validators: int) -> Scene:
    """Twelve sectors with means, tokens and pools, a reserve, an income of the floor; everybody has worked."""
    units = min(1_000, 300_000 // validators) * NXT
    genesis, _, _ = devnet_genesis(validators, seed="bench economy", stake_units=units)
    rules = chain_rules(genesis)
    made = Scene(
        validators,
        genesis_state(genesis),
        rules,
        [key_pair("bench economy", "withdrawal", number) for number in range(validators)],
    )
    founder = bytes([7]) * 20

    def fill(overlay: Overlay) -> None:
        for address in (founder, TRANSITION_RESERVE_ADDRESS, F_FLOOR_ADDRESS, *SECTOR_ADDRESSES):
            overlay.credit(address, 20_000 * NXT)
        for number, account in enumerate(SECTOR_ADDRESSES):
            token = found_token(overlay, number, founder, 10**15)
            credit_tokens(overlay, token, account, 10**14)
            write_sector_token(overlay, number, token)
            create_pool(overlay, founder, NXT_ASSET, token, 30, 500 * NXT, 10**13, block_context(rules))
        for owner in made.owners:
            overlay.credit(address_of(owner.public_key), 10 * NXT)

    made.change(fill)
    work(made, CLOSING_EPOCH)
    return made


def work(made: Scene, epoch: int) -> None:
    """A blue block and a timely vote of every validator."""
    blocks = [
        merged_block((), number=index, proposer=index, reveal=bytes([1]) * 32, epoch=epoch)
        for index in range(made.validators)
    ]
    context = at(made, epoch, votes=tuple(range(made.validators)))
    outcome = execute_mergeset(MappingState(made.state), blocks, context, REGISTRY)
    made.state = {key: value for key, value in {**made.state, **outcome.changes}.items() if value is not None}


def at(made: Scene, epoch: int, votes: tuple[int, ...] = ()) -> BlockContext:
    return block_context(
        made.rules, slot=32 * epoch + 1, epoch=epoch, finalised_epoch=epoch, timely_votes=votes
    )


def with_citizens(made: Scene) -> None:
    """100,000 citizens, who have got something already."""

    def fill(overlay: Overlay) -> None:
        floor, owed = read_floor(overlay), 7 * 1_000 * CITIZENS
        write_floor(overlay, replace(floor, population=CITIZENS, owed_units=owed))
        overlay.credit(F_FLOOR_ADDRESS, owed)
        for number in range(CITIZENS):
            address, person = number.to_bytes(20, "big"), number.to_bytes(32, "big")
            overlay.put(person_key(person), address)
            write_citizen(overlay, address, Citizen(person, 0, floor.accumulators, (1_000,) * 7, 0, 0))

    made.change(fill)


def with_delegators(made: Scene) -> None:
    """10,000 delegations."""

    def fill(overlay: Overlay) -> None:
        for number in range(DELEGATORS):
            delegate(overlay, (10**6 + number).to_bytes(20, "big"), number % made.validators, 10 * NXT)

    made.change(fill)


def with_skipped_epochs(made: Scene) -> None:
    """Nothing happens for a long time."""
    made.epoch += SKIPPED_EPOCHS


def with_proposals(made: Scene) -> None:
    """64 that close (constitutional ones by band, some that pass, fail, have no quorum) and 64 that take effect."""

    def fill(overlay: Overlay) -> None:
        opened, waiting = [], []
        for number in range(PROPOSALS):
            class_ = (POLICY, CONSTITUTIONAL, CONSTITUTIONAL, EMERGENCY)[number % 4]
            action: Action = KindPause(3) if class_ == EMERGENCY else TextOnly()
            yes, no = ((12_000, 0), (6_000, 6_000), (100, 0))[number % 3]
            opened.append(proposal(1 + number, class_, action, yes_units=yes * NXT, no_units=no * NXT))
            effect: Action = RegistrarAdd(number.to_bytes(20, "big"))
            if number % 2:
                effect = ParameterChange(RESERVE_SHARE_PPM.number, b"", 10_000 + number)
            waiting.append(
                proposal(
                    101 + number,
                    PARAMETER if number % 2 else POLICY,
                    effect,
                    status=PASSED,
                    effect_epoch=CLOSING_EPOCH + 1,
                    deposit_units=0,
                )
            )
        for one in (*opened, *waiting):
            write_proposal(overlay, one)
        for one in opened:
            for index in range(12):
                stake = (CountedStake(index, 1_000 * NXT),)
                address = address_of(made.owners[index].public_key)
                write_vote(overlay, one.id, address, VoteRecord(1, address, 0, 0, stake))
                if one.class_ == CONSTITUTIONAL:
                    write_tally(overlay, one.id, index, 1_000 * NXT, 0)
        overlay.credit(DEPOSITS_ADDRESS, 10 * NXT * PROPOSALS)
        write_due(overlay, OPEN_KEY, tuple(due_of(one, one.closes_epoch) for one in opened))
        write_due(overlay, WAITING_KEY, tuple(due_of(one, one.effect_epoch) for one in waiting))

    made.change(fill)


def with_reports(made: Scene) -> None:
    """Every validator has reported on every feed, a third of them far off."""
    kind = REGISTRY.named("oracle_report")
    assert kind is not None
    for place, feed in enumerate(FEEDS):
        reports = []
        for index, owner in enumerate(made.owners):
            value = max(feed.least, feed.greatest // 1_000) * (2 if index % 3 == 2 else 1) + index
            payload = OracleReport(index, feed.number, value)
            reports.append(
                sign_transaction(
                    owner,
                    made.rules,
                    nonce=place,
                    expiry_slot=FAR_SLOT,
                    fee=None,
                    kind=kind,
                    payload_record=payload,
                )
            )
        outcome = execute_mergeset(
            MappingState(made.state), [merged_block(reports)], at(made, CLOSING_EPOCH), REGISTRY
        )
        if outcome.applied != made.validators:
            raise AssertionError(f"{outcome.applied} of {made.validators} reports applied")
        made.state |= {key: value for key, value in outcome.changes.items() if value is not None}


NOTHING, EVERYTHING = "nothing else", "everything at once"
VARIANTS: Mapping[str, tuple[Callable[[Scene], None], ...]] = {
    NOTHING: (),
    f"{CITIZENS:,} citizens": (with_citizens,),
    f"{DELEGATORS:,} delegators": (with_delegators,),
    f"{SKIPPED_EPOCHS:,} skipped epochs": (with_skipped_epochs,),
    f"{PROPOSALS} proposals close, {PROPOSALS} take effect": (with_proposals,),
    f"{len(FEEDS)} feeds reported by everyone": (with_reports,),
    "citizens, delegators and skipped epochs": (with_citizens, with_delegators, with_skipped_epochs),
    EVERYTHING: (with_reports, with_citizens, with_delegators, with_proposals, with_skipped_epochs),
}


def transition_ms(made: Scene, rounds: int) -> tuple[float, float, int]:
    """(median of execution with its root, least of it, keys changed) of the first, empty block of the next epoch."""
    tree = StateTree.build(iter(sorted(made.state.items())))
    reader = MappingState(made.state)
    took, keys = [], 0
    for _ in range(rounds):
        began = perf_counter()
        outcome = execute_mergeset(reader, [], at(made, made.epoch), REGISTRY)
        tree.prepare(outcome.changes)
        took.append((perf_counter() - began) * 1e3)
        keys = len(outcome.changes)
    return statistics.median(took), min(took), keys


def measure_transitions(rounds: int) -> Iterator[tuple[str, float]]:
    """(figure's name, median of milliseconds)."""
    for validators, names in ((12, tuple(VARIANTS)), (1_000, (NOTHING, EVERYTHING))):
        for name in names:
            made = scene(validators)
            for change in VARIANTS[name]:
                change(made)
            median, least, keys = transition_ms(made, rounds)
            print(
                f"  {validators:>5,} validators, {name:<42} median {median:.2f}, least {least:.2f}, {keys} keys"
            )
            goal = "" if validators > 12 or name == EVERYTHING else f" (goal <= {MOST_MS})"
            yield f"ms of an epoch transition, {validators:,} validators, {name}{goal}", median


def run(rounds: int = 7, transitions: int = 41) -> dict[str, float]:
    """Print all figures; returns them by name, with goals."""
    print(f"blocks of {BLOCK_TRANSFERS:,} transactions, all stages ({rounds} rounds)")
    seconds = measure_blocks(rounds)

    def share(name: str) -> float:
        return statistics.median(
            transfers / took for transfers, took in zip(seconds["transfer"], seconds[name], strict=True)
        )

    figures = {"transfers/s": BLOCK_TRANSFERS / statistics.median(seconds["transfer"])}
    goal = f" (goal >= {LEAST_SHARE})"
    figures[f"mix of five kinds, share of the transfers' rate{goal}"] = share("mix")
    for kind in MIX:
        wanted = goal if kind in ("swap", "message") else ""
        figures[f"{kind} alone, share of the transfers' rate{wanted}"] = share(kind)
    for name, value in figures.items():
        print(f"  {name:<70}{value:8.2f}")
    print(f"epoch transitions, execution and root, milliseconds ({transitions} rounds)")
    return figures | dict(measure_transitions(transitions))


if __name__ == "__main__":
    run()
