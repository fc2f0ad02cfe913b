"""The audit of the economy: a sound state has no fault and the right figures; every damage is found and named."""

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from builders.economy import EconomyChain, founded_economy
from builders.staking import NXT

from ledger.accounts import DEPOSITS_ADDRESS, F_FLOOR_ADDRESS, Account, decode_account, encode_account
from ledger.addresses import POOL_MARK
from ledger.economy.floor.records import FLOOR_CODEC, FLOOR_KEY, citizen_key, person_key
from ledger.economy.message_burn import region_ledger_key
from ledger.economy.monetary_policy import POLICY_CODEC, POLICY_KEY
from ledger.exchange.pools import POOL_PREFIX, address_of_pair, decode_pool, encode_pool
from ledger.exchange.positions import POSITION_CODEC, POSITION_PREFIX, Addition, position_key
from ledger.exchange.twap import observations_key
from ledger.governance.actions import TextOnly
from ledger.governance.classes import CONSTITUTIONAL
from ledger.governance.records import (
    NEXT_ID_KEY,
    NO,
    OPEN_KEY,
    PROPOSAL_CODEC,
    VOTE_CODEC,
    proposal_key,
    tally_key,
    vote_key,
)
from ledger.governed.parameters import POOL_FEE_BP, QUORUM_PPM, RESERVE_SHARE_PPM, parameter_key
from ledger.governed.pauses import PAUSE_KEY
from ledger.governed.sector_tokens import sector_token_key
from ledger.issuance import FLOWS_KEY, ONE, SHARE_KEY, encode_flows, read_flows
from ledger.oracle.feeds import DEMAND_FEEDS
from ledger.oracle.records import VALUE_CODEC, value_key
from ledger.staking.delegation_kinds import Delegate
from ledger.staking.vote_lock import vote_lock_key
from ledger.staking.vote_weight import ADDITIONS_CODEC, additions_key
from ledger.staking.vote_weight import Addition as StakeAddition
from ledger.state import MappingState, account_key
from ledger.storage.audit import AuditReport, audit
from ledger.storage.memory import MemoryStore
from ledger.storage.state_store import LedgerStore
from ledger.storage.store import WriteBatch
from ledger.tokens.records import TOKEN_CODEC, token_balance_key, token_key

State = dict[bytes, bytes]


@pytest.fixture(scope="module")
def chain() -> EconomyChain:
    """An economy at work with a message, two open proposals, ballots and a delegation."""
    made = founded_economy()
    assert made.message(made.accounts[3], b"hello" * 20) == ""
    made.proposed()
    made.proposed(CONSTITUTIONAL, TextOnly())
    made.vote_of_owners(2, yes=(0, 1), no=(2,), abstain=(3,))
    assert made.send(made.accounts[4], "delegate", Delegate(0, 20 * NXT)) == ""
    return made


def audited(state: State) -> AuditReport:
    store, batch = MemoryStore(), WriteBatch()
    LedgerStore(store).stage_genesis(batch, state)
    store.write(batch, sync=False)
    return audit(store)


def test_a_sound_economy_has_no_fault_and_the_right_figures(chain: EconomyChain) -> None:
    report = audited(chain.state)
    figures = report.economy
    assert report.faults == ()
    assert (figures.tokens, figures.pools, figures.citizens) == (3, 4, 3)
    assert (figures.proposals, figures.open_proposals, figures.deposits_units) == (2, 2, 20 * NXT)
    assert figures.pooled_units > 1_500 * NXT
    assert figures.message_burned_units > 0 < figures.floor_owed_units
    flows = read_flows(MappingState(chain.state))
    assert (figures.issued_units, figures.burned_units) == (flows.issued_units, flows.burned_units)


# damages: each changes one record of a sound state -------------------------------------------------------------------

Damage = Callable[[State, EconomyChain], None]


def changed(state: State, key: bytes, codec: Any, **fields: Any) -> None:
    """Replace fields of the record at a key."""
    state[key] = codec.encode(msgspec.structs.replace(codec.decode(state[key]), **fields))


def give(state: State, address: bytes, units: int) -> None:
    """Add units, possibly less than 0, to an account."""
    raw = state.get(account_key(address))
    before = Account(0, 0) if raw is None else decode_account(raw)
    state[account_key(address)] = encode_account(Account(before.balance + units, before.nonce))


def first_pool(state: State) -> bytes:
    return next(key[len(POOL_PREFIX) :] for key in sorted(state) if key.startswith(POOL_PREFIX))


def first_position(state: State) -> bytes:
    return next(key for key in sorted(state) if key.startswith(POSITION_PREFIX))


def token_from_nowhere(state: State, chain: EconomyChain) -> None:
    key = token_balance_key(chain.address(chain.accounts[1]), chain.tokens[0])
    state[key] = (int.from_bytes(state[key], "big") + 1).to_bytes(8, "big")


def token_without_record(state: State, chain: EconomyChain) -> None:
    del state[token_key(chain.tokens[2])]


def supply_that_is_not_held(state: State, chain: EconomyChain) -> None:
    changed(state, token_key(chain.tokens[1]), TOKEN_CODEC, supply=10**15 - 1)


def kept_zero(state: State, chain: EconomyChain) -> None:
    state[token_balance_key(b"z" * 20, chain.tokens[0])] = bytes(8)


def damaged_balance(state: State, chain: EconomyChain) -> None:
    state[token_balance_key(b"z" * 20, chain.tokens[0])] = b"short"


def more_shares_than_positions(state: State, chain: EconomyChain) -> None:
    address = first_pool(state)
    pool = decode_pool(address, state[POOL_PREFIX + address])
    state[POOL_PREFIX + address] = encode_pool(msgspec.structs.replace(pool, shares=pool.shares + 1))


def pool_without_a_reserve(state: State, chain: EconomyChain) -> None:
    alpha, beta = sorted(chain.tokens[:2])
    pool = address_of_pair(alpha, beta)
    units = state.pop(token_balance_key(pool, alpha))
    state[token_balance_key(b"z" * 20, alpha)] = units


def pool_elsewhere(state: State, chain: EconomyChain) -> None:
    address = first_pool(state)
    state[POOL_PREFIX + POOL_MARK + bytes(14)] = state[POOL_PREFIX + address]
    state[observations_key(POOL_MARK + bytes(14))] = state[observations_key(address)]


def nxt_at_no_pool(state: State, chain: EconomyChain) -> None:
    give(state, POOL_MARK + b"x" * 14, 5)
    give(state, chain.address(chain.accounts[1]), -5)


def observation_of_the_future(state: State, chain: EconomyChain) -> None:
    key = observations_key(first_pool(state))
    state[key] = state[key][:-88] + (99).to_bytes(8, "big") + state[key][-80:]


def fewer_shares_than_can_ever_be(state: State, chain: EconomyChain) -> None:
    key = observations_key(first_pool(state))
    state[key] = state[key][:-72] + (999).to_bytes(8, "big") + state[key][-64:]


def additions_above_the_shares(state: State, chain: EconomyChain) -> None:
    key = first_position(state)
    shares = POSITION_CODEC.decode(state[key]).shares
    changed(state, key, POSITION_CODEC, additions=(Addition(1, shares), Addition(2, 1)))


def position_locked_too_long(state: State, chain: EconomyChain) -> None:
    changed(state, first_position(state), POSITION_CODEC, locked_until_epoch=10**6)


def shares_of_no_pool(state: State, chain: EconomyChain) -> None:
    state[position_key(b"q" * 20, b"z" * 20)] = state[first_position(state)]


def floor_that_owes_more(state: State, chain: EconomyChain) -> None:
    floor = FLOOR_CODEC.decode(state[FLOOR_KEY])
    changed(state, FLOOR_KEY, FLOOR_CODEC, owed_units=floor.owed_units + 1)


def citizen_forgotten(state: State, chain: EconomyChain) -> None:
    del state[citizen_key(chain.address(chain.accounts[0]))]


def person_twice(state: State, chain: EconomyChain) -> None:
    state[person_key(b"p" * 32)] = b"a" * 20


def floor_without_money(state: State, chain: EconomyChain) -> None:
    units = chain.system("F_FLOOR")
    give(state, F_FLOOR_ADDRESS, -units)
    give(state, chain.address(chain.accounts[0]), units)


def floor_damaged(state: State, chain: EconomyChain) -> None:
    state[FLOOR_KEY] = b"\x91\x00"


def deposit_taken(state: State, chain: EconomyChain) -> None:
    give(state, DEPOSITS_ADDRESS, -1)
    give(state, chain.address(chain.accounts[0]), 1)


def proposal_not_listed(state: State, chain: EconomyChain) -> None:
    del state[OPEN_KEY]


def proposal_missing(state: State, chain: EconomyChain) -> None:
    state[NEXT_ID_KEY] = (4).to_bytes(8, "big")


def vote_from_nowhere(state: State, chain: EconomyChain) -> None:
    proposal = PROPOSAL_CODEC.decode(state[proposal_key(2)])
    changed(state, proposal_key(2), PROPOSAL_CODEC, yes_units=proposal.yes_units + 1)


def ballot_turned(state: State, chain: EconomyChain) -> None:
    changed(state, vote_key(2, chain.address(chain.owners[0])), VOTE_CODEC, choice=NO)


def tally_turned(state: State, chain: EconomyChain) -> None:
    state[tally_key(2, 0)] = bytes(8) + state[tally_key(2, 0)][:8]


def ballot_on_nothing(state: State, chain: EconomyChain) -> None:
    state[vote_key(77, b"z" * 20)] = state[vote_key(2, chain.address(chain.owners[0]))]


def voter_unlocked(state: State, chain: EconomyChain) -> None:
    del state[vote_lock_key(chain.address(chain.owners[1]))]


def locked_for_ever(state: State, chain: EconomyChain) -> None:
    state[vote_lock_key(b"z" * 20)] = (2**40).to_bytes(8, "big")


def stake_newer_than_itself(state: State, chain: EconomyChain) -> None:
    key = additions_key(chain.address(chain.accounts[4]), 0)
    addition = ADDITIONS_CODEC.decode(state[key])[0]
    state[key] = ADDITIONS_CODEC.encode((addition, StakeAddition(addition.epoch + 1, addition.shares)))


def issuance_uncounted(state: State, chain: EconomyChain) -> None:
    flows = read_flows(MappingState(state))
    state[FLOWS_KEY] = encode_flows(msgspec.structs.replace(flows, issued_units=flows.issued_units - 1))


def messages_above_all_burns(state: State, chain: EconomyChain) -> None:
    state[region_ledger_key(0)] = (2**62).to_bytes(8, "big") * 3


def flows_damaged(state: State, chain: EconomyChain) -> None:
    state[FLOWS_KEY] = b"short"


def parameter_out_of_bounds(state: State, chain: EconomyChain) -> None:
    state[parameter_key(RESERVE_SHARE_PPM)] = (100_001).to_bytes(8, "big")


def floor_basket_below_its_minimum(state: State, chain: EconomyChain) -> None:
    state[b"gp" + (10).to_bytes(2, "big")] = (1).to_bytes(8, "big")


def parameter_unknown(state: State, chain: EconomyChain) -> None:
    state[b"gp" + (9_999).to_bytes(2, "big")] = (1).to_bytes(8, "big")


def parameter_of_the_wrong_subject(state: State, chain: EconomyChain) -> None:
    state[parameter_key(QUORUM_PPM, first_pool(state))] = QUORUM_PPM.default.to_bytes(8, "big")


def fee_of_no_pool(state: State, chain: EconomyChain) -> None:
    state[parameter_key(POOL_FEE_BP)] = (30).to_bytes(8, "big")


def votes_paused(state: State, chain: EconomyChain) -> None:
    state[PAUSE_KEY] = (52).to_bytes(4, "big") + bytes(8)


def sector_with_no_token(state: State, chain: EconomyChain) -> None:
    state[sector_token_key(1)] = b"n" * 20


def issuing_too_much(state: State, chain: EconomyChain) -> None:
    state[SHARE_KEY] = (ONE + 1).to_bytes(8, "big")


def policy_beyond_its_clamp(state: State, chain: EconomyChain) -> None:
    changed(state, POLICY_KEY, POLICY_CODEC, output=ONE + 1)


def feed_out_of_bounds(state: State, chain: EconomyChain) -> None:
    changed(state, value_key(DEMAND_FEEDS[0].number), VALUE_CODEC, value=0)


DAMAGES: tuple[tuple[Damage, str], ...] = (
    (token_from_nowhere, "off by 1"),
    (token_without_record, "which is none"),
    (supply_that_is_not_held, "its supply is 999999999999999"),
    (kept_zero, "a balance of 0 is kept"),
    (damaged_balance, "token balance is malformed"),
    (more_shares_than_positions, "of nobody; it has"),
    (pool_without_a_reserve, "at least 1 of each expected"),
    (pool_elsewhere, "does not lie where its assets say"),
    (nxt_at_no_pool, "no pool of NXT"),
    (observation_of_the_future, "has observations of the epochs"),
    (fewer_shares_than_can_ever_be, "once had 999 shares"),
    (additions_above_the_shares, "were added lately"),
    (position_locked_too_long, "locked until epoch 1000000"),
    (shares_of_no_pool, "which is no pool"),
    (floor_that_owes_more, "the floor counts"),
    (citizen_forgotten, "the floor counts 3 citizens; there are 2"),
    (person_twice, "and 4 persons"),
    (floor_without_money, "F_FLOOR holds 0"),
    (floor_damaged, "floor records are damaged"),
    (deposit_taken, "DEPOSITS holds 1999999999"),
    (proposal_not_listed, "the list of open proposals is []"),
    (proposal_missing, "the next has number 4"),
    (vote_from_nowhere, "its ballots sum to"),
    (ballot_turned, "of validator 0, its ballots say"),
    (tally_turned, "(yes, no) of validator 0"),
    (ballot_on_nothing, "a ballot on proposal 77"),
    (voter_unlocked, "its stake is locked until 0"),
    (locked_for_ever, "locked until epoch 1099511627776"),
    (stake_newer_than_itself, "lately, of"),
    (issuance_uncounted, "lie outside of the reserves"),
    (messages_above_all_burns, "were burned by anything"),
    (flows_damaged, "flows are damaged"),
    (parameter_out_of_bounds, "reserve_share is 100001"),
    (floor_basket_below_its_minimum, "floor_food is 1"),
    (parameter_unknown, "parameter 9999 is none"),
    (parameter_of_the_wrong_subject, "parameter quorum is set for"),
    (fee_of_no_pool, "parameter pool_fee is set for the whole chain"),
    (votes_paused, "kind 52 was paused"),
    (sector_with_no_token, "sector WATER has the token"),
    (issuing_too_much, "the issuance share is"),
    (policy_beyond_its_clamp, "the policy's output is"),
    (feed_out_of_bounds, "feed demand_electricity is 0"),
)


@pytest.mark.parametrize(("damage", "expected"), DAMAGES, ids=lambda one: getattr(one, "__name__", None))
def test_damage_is_found_and_named(chain: EconomyChain, damage: Damage, expected: str) -> None:
    state = dict(chain.state)
    damage(state, chain)
    assert any(expected in fault for fault in audited(state).faults), audited(state).faults
