"""The set and the randomness of an epoch: snapshot, onions, downtime, liveness."""

from dataclasses import replace

import pytest
from builders.ledger import ONION_LAYERS, STAKING, merged_block
from builders.staking import NXT, StakingChain

from ledger.epoch_steps import EpochChange, EpochStep
from ledger.epoch_transition import LEDGER_EPOCH_STEPS, begin_epoch
from ledger.errors import EpochStepUnknown
from ledger.execution import execute_mergeset
from ledger.genesis import genesis_mix
from ledger.onion import onion_layer, onion_secret
from ledger.staking.delegation_kinds import Delegate
from ledger.staking.records import JAILED, REGISTERED, read_activity, read_epoch
from ledger.staking.validator_kinds import OnionRenew, ValidatorExit
from ledger.staking.validator_set import next_mix
from ledger.state import MappingState, Overlay


def revealing(chain: StakingChain, *indices: int) -> None:
    chain.run(proposers=indices, reveals={index: chain.onion_reveal(index, chain.epoch) for index in indices})


def test_genesis_is_a_snapshot_of_epoch_0() -> None:
    chain = StakingChain(3)
    assert chain.snapshot.epoch == 0
    assert chain.snapshot.mix == genesis_mix(chain.genesis)
    assert chain.stakes == {0: 1_000 * NXT, 1: 1_000 * NXT, 2: 1_000 * NXT}
    assert read_epoch(chain.reader) == (0, 3_000 * NXT)
    assert chain.faults() == ()


def test_mix_takes_in_the_reveals_by_validator_whatever_the_order_of_blocks() -> None:
    one, other = StakingChain(), StakingChain()
    revealing(one, 2, 0, 1)
    revealing(other, 1)
    revealing(other, 0, 2)
    reveals = b"".join(index.to_bytes(4, "big") + one.onion_reveal(index, 0) for index in range(3))
    for chain in (one, other):
        before = chain.snapshot.mix
        chain.go_to(1)
        assert chain.snapshot.mix == next_mix(before, reveals)


def test_mix_of_an_epoch_without_reveals_moves_too() -> None:
    chain = StakingChain()
    chain.go_to(1)
    first = chain.snapshot.mix
    chain.go_to(2)
    assert chain.snapshot.mix == next_mix(first, b"")


def test_reveal_counts_in_its_own_epoch_only_but_its_block_is_paid() -> None:
    chain = StakingChain()
    late = chain.onion_reveal(0, 0)
    chain.go_to(1)
    outcome = execute_mergeset(
        chain.reader,
        [merged_block((), proposer=0, epoch=0, reveal=late)],
        chain.context(),
        chain.registry,
    )
    chain.apply(outcome.changes)
    activity = read_activity(chain.reader, 0)
    assert activity is not None
    assert (activity.blocks, activity.reveal) == (1, b"")


def test_onion_moves_to_the_reveal() -> None:
    chain = StakingChain()
    for epoch in (1, 4):
        chain.go_to(epoch)
    revealing(chain, 0)
    chain.go_to(5)
    record = chain.validator(0)
    assert (record.onion_tip, record.onion_epoch) == (chain.onion_reveal(0, 4), 4)
    assert record.onion_layers == ONION_LAYERS - 4
    member = chain.snapshot.validators[0]
    assert (member.onion_tip, member.onion_epoch, member.onion_layers) == (
        record.onion_tip,
        4,
        ONION_LAYERS - 4,
    )
    chain.go_to(6)
    revealing(chain, 0)
    chain.go_to(7)
    assert chain.validator(0).onion_layers == ONION_LAYERS - 6


def test_reveal_of_the_generation_before_a_renewal_moves_nothing_and_mixes_in() -> None:
    chain = StakingChain()
    chain.go_to(1)
    tip = onion_layer(onion_secret(chain.validator_keys[0].seed, 1), 99)
    assert chain.send(chain.owners[0], "onion_renew", OnionRenew(0, tip, 99)) == ""
    chain.go_to(2)
    before = chain.snapshot.mix
    revealing(chain, 0)
    chain.go_to(3)
    assert (chain.validator(0).onion_tip, chain.validator(0).onion_layers) == (tip, 99)
    assert chain.snapshot.mix == next_mix(before, bytes(4) + chain.onion_reveal(0, 2))


def test_snapshot_takes_the_greatest_stakes_and_of_equals_the_lower_index() -> None:
    rules = replace(STAKING, max_validators=2)
    chain = StakingChain(4, staking=rules)
    chain.send(chain.accounts[0], "delegate", Delegate(3, 10 * NXT))
    chain.go_to(1)
    assert chain.stakes == {0: 1_000 * NXT, 3: 1_010 * NXT}
    assert len(chain.snapshot.validators) == 4


def test_set_that_nobody_is_left_in_goes_on_as_it_was() -> None:
    chain = StakingChain(2)
    for index in range(2):
        assert chain.send(chain.owners[index], "validator_exit", ValidatorExit(index)) == ""
    for epoch in (1, 13, 14, 40):
        chain.go_to(epoch)
        assert chain.stakes == {0: 1_000 * NXT, 1: 1_000 * NXT}
    assert chain.faults() == ()


def test_idle_validator_is_jailed_and_not_slashed() -> None:
    chain = StakingChain(3)
    for epoch in range(1, 9):
        chain.run(proposers=(0,), votes=(1,), carrier_reveals=True)
        chain.go_to(epoch)
    assert [chain.validator(index).status == JAILED for index in range(3)] == [False, False, True]
    assert chain.validator(2).self_stake_units == 1_000 * NXT
    assert chain.stakes.keys() == {0, 1}


def test_nobody_is_jailed_for_idleness_while_finality_stands_still() -> None:
    chain = StakingChain(3)
    for epoch in range(1, 30):
        chain.run(proposers=(0,), carrier_reveals=True)
        chain.go_to(epoch, finalised_epoch=0)
    assert chain.validator(1).idle_epochs <= STAKING.activation_delay_epochs + 1
    assert chain.stakes.keys() == {0, 1, 2}


def test_chain_that_slept_for_a_year_jails_nobody() -> None:
    chain = StakingChain(3)
    chain.run(proposers=(0, 1, 2), carrier_reveals=True)
    chain.go_to(1_000_000)
    assert chain.stakes.keys() == {0, 1, 2}


def test_one_block_of_a_merge_set_touches_one_activity_record() -> None:
    chain = StakingChain()
    chain.run(proposers=(0, 0, 1), carrier_reveals=True)
    assert [key for key in chain.outcomes[-1].changes if key[:2] == b"ea"] == [
        b"ea" + bytes(4),
        b"ea" + bytes(3) + b"\x01",
    ]
    chain.go_to(1)
    assert not [key for key in chain.state if key[:2] == b"ea"]


def test_transition_is_undone_with_its_block() -> None:
    chain = StakingChain()
    chain.send(chain.accounts[0], "delegate", Delegate(0, 100 * NXT))
    chain.run(proposers=(0, 1), votes=(0, 1, 2), carrier_reveals=True)
    before = dict(chain.state)
    chain.go_to(3)
    assert chain.state != before
    chain.apply(chain.outcomes[-1].previous)
    assert chain.state == before


def test_steps_of_the_transition_are_a_value_that_others_extend() -> None:
    seen: list[tuple[str, int, int]] = []

    def note(name: str) -> EpochStep:
        return EpochStep(
            name, lambda _, change: seen.append((name, change.closing_epoch, change.context.epoch))
        )

    steps = LEDGER_EPOCH_STEPS.before("rewards", note("one")).after("rewards", note("two"), note("three"))
    assert [step.name for step in steps.steps] == [
        *("oracle", "governance", "policy"),
        *("one", "rewards", "two", "three", "penalties"),
        *("reserve", "floor_share", "crisis", "floor", "validators", "snapshot"),
    ]
    chain = StakingChain()
    chain.epoch = 5
    execute_mergeset(chain.reader, [], chain.context(), chain.registry, steps)
    assert seen == [("one", 0, 5), ("two", 0, 5), ("three", 0, 5)]
    with pytest.raises(EpochStepUnknown, match="crisis, floor, validators, snapshot"):
        LEDGER_EPOCH_STEPS.after("moon", note("x"))


class CountingState(MappingState):
    """Counts what is read."""

    __slots__ = ("reads",)

    def __init__(self, values: dict[bytes, bytes]) -> None:
        super().__init__(values)
        self.reads = 0

    def get(self, key: bytes) -> bytes | None:
        self.reads += 1
        return super().get(key)


def transition_cost(delegators: int, skipped: int) -> tuple[int, int]:
    """(reads, changed keys) of a transition with 40 validators."""
    chain = StakingChain(40)
    key = chain.accounts[0]
    for number in range(delegators):
        # Another address each time: the payload names nobody, so the record is moved to one that no key has.
        chain.send(key, "delegate", Delegate(number % 40, 10 * NXT))
        own = b"vd" + chain.signed(key, "delegate", Delegate(0, 10 * NXT)).sender
        moved = own[:2] + number.to_bytes(20, "big") + (number % 40).to_bytes(4, "big")
        chain.state[moved] = chain.state.pop(own + (number % 40).to_bytes(4, "big"))
    chain.run(proposers=range(40), votes=range(40), carrier_reveals=True)
    chain.epoch = chain.finalised_epoch = 1 + skipped
    reader = CountingState(chain.state)
    overlay = Overlay(reader)
    assert begin_epoch(overlay, chain.context())
    changed = len(overlay.changes())
    return reader.reads, changed


def test_transition_costs_the_same_whatever_the_delegators_and_skipped_epochs() -> None:
    alone = transition_cost(1, 0)
    assert transition_cost(80, 0) == alone
    skipped = transition_cost(1, 10_000)  # less: nothing is seeded when nobody could trade
    assert skipped[0] <= alone[0]
    assert skipped[1] == alone[1]
    assert alone[0] < 40 * 12
    assert alone[1] <= 40 * 3 + 8


def test_block_that_is_not_the_first_of_its_epoch_reads_one_key_for_it() -> None:
    chain = StakingChain()
    reader = CountingState(chain.state)
    assert not begin_epoch(Overlay(reader), chain.context())
    assert reader.reads == 1


def test_change_shows_steps_what_was_merged() -> None:
    chain = StakingChain()
    chain.run(proposers=(1, 0), votes=(2,), carrier_reveals=True)
    seen: list[EpochChange] = []
    chain.epoch = 1
    steps = LEDGER_EPOCH_STEPS.before("rewards", EpochStep("look", lambda _, change: seen.append(change)))
    execute_mergeset(chain.reader, [], chain.context(), chain.registry, steps)
    assert {index: (one.blocks, one.votes) for index, one in seen[0].activity.items()} == {
        0: (1, 0),
        1: (1, 0),
        2: (0, 1),
    }
    assert list(seen[0].activity) == [0, 1, 2]


def test_newcomer_with_more_stake_does_not_push_anybody_out_before_its_time() -> None:
    chain = StakingChain(2, staking=replace(STAKING, max_validators=2))
    chain.send(
        chain.accounts[0], "validator_register", chain.registration(0, chain.accounts[0], units=2_000 * NXT)
    )
    chain.go_to(3)
    assert chain.stakes.keys() == {0, 1}
    assert chain.validator(2).status == REGISTERED
    chain.go_to(4)
    assert chain.stakes.keys() == {0, 2}
    assert chain.snapshot.validators[1].stake_units == 0
