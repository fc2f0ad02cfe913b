"""Whoever else signs with our keys is seen before we sign, and what we signed ourselves is never taken for it."""

from dataclasses import replace

import pytest
from builders.blocks import found_chain
from builders.wallets import key_number

from node.signing.doppelganger import REMEMBERED, DoppelgangerWatch
from node.signing.errors import DoppelgangerSeen, DoppelgangerWait
from node.signing.protection import KeyHistory, LastBlock, LastVote

KEY, OTHER = key_number(1).public_key, key_number(2).public_key
PARAMS = replace(found_chain(network="fast").params, doppelganger_periods=2)
SLOT_S = PARAMS.slot_ms / 1000
WAIT_SLOTS = 2 * PARAMS.period_slots
START = 1_000
ID, OTHER_ID = b"i" * 32, b"o" * 32
PERIOD_AHEAD = (START + WAIT_SLOTS) // PARAMS.period_slots
"""A period whose votes are cast after the start."""


def watch(slot: int = START, block: int = 0, vote: int = 0, now_s: float = 0.0) -> DoppelgangerWatch:
    """A watch that began in `slot` with what the key signed before."""
    watched = DoppelgangerWatch(PARAMS)
    watched.track([history(block, vote)], slot, now_s)
    return watched


def history(block: int = 0, vote: int = 0, public_key: bytes = KEY) -> KeyHistory:
    return KeyHistory(
        public_key, LastBlock(block) if block else None, LastVote(vote - 1, vote) if vote else None
    )


def test_L22_nothing_is_signed_for_two_periods_and_the_countdown_is_visible() -> None:
    watched = watch()
    for passed in range(WAIT_SLOTS):
        refusal = watched.refusal(START + passed, passed * SLOT_S)
        assert isinstance(refusal, DoppelgangerWait)
        assert refusal.remaining_slots == WAIT_SLOTS - passed
        assert str(WAIT_SLOTS - passed) in str(refusal)
    assert watched.refusal(START + WAIT_SLOTS, WAIT_SLOTS * SLOT_S) is None


def test_the_last_moment_of_the_wait_is_one_slot() -> None:
    assert watch().remaining_slots(START + WAIT_SLOTS - 1, (WAIT_SLOTS - 0.01) * SLOT_S) == 1


def test_L22_a_block_of_another_node_with_our_key_stops_signing_for_good() -> None:
    watched = watch()
    sighting = watched.observed_block(KEY, START + 1, ID)
    assert sighting is not None and str(START + 1) in str(sighting)
    refusal = watched.refusal(START + 10_000, 10_000.0)
    assert isinstance(refusal, DoppelgangerSeen)
    for step in ("Stop the other one", "protection export", "restart"):
        assert step in str(refusal)


def test_L22_a_vote_of_another_node_with_our_key_stops_signing_for_good() -> None:
    watched = watch()
    assert watched.observed_vote(KEY, PERIOD_AHEAD, ID) is not None
    assert isinstance(watched.refusal(START + 10_000, 10_000.0), DoppelgangerSeen)


def test_the_alarm_is_given_once() -> None:
    watched = watch()
    assert watched.observed_block(KEY, START + 1, ID) is not None
    assert watched.observed_block(KEY, START + 2, ID) is None
    assert watched.observed_vote(KEY, PERIOD_AHEAD, ID) is None


def test_keys_of_others_are_none_of_our_business() -> None:
    watched = watch()
    assert watched.observed_block(OTHER, START + 1, ID) is None
    assert watched.observed_vote(OTHER, PERIOD_AHEAD, ID) is None


def test_blocks_of_our_previous_life_are_ours() -> None:
    watched = watch(block=START + 3, vote=PERIOD_AHEAD)
    for slot in (1, START - 1, START, START + 3):
        assert watched.observed_block(KEY, slot, ID) is None
    assert watched.observed_vote(KEY, PERIOD_AHEAD, ID) is None
    assert watched.observed_block(KEY, START + 4, ID) is not None


def test_a_vote_that_was_due_before_the_start_may_be_ours() -> None:
    cast = START // PARAMS.period_slots * PARAMS.period_slots + PARAMS.vote_offset_slots
    period = START // PARAMS.period_slots
    assert watch(slot=cast).observed_vote(KEY, period, ID) is None
    assert watch(slot=cast - 1).observed_vote(KEY, period, ID) is not None


def test_what_we_sign_after_the_wait_is_ours_and_another_message_of_its_slot_is_not() -> None:
    watched, slot = watch(), START + WAIT_SLOTS + 5
    watched.signed_block(KEY, slot, ID)
    watched.signed_vote(KEY, PERIOD_AHEAD + 1, ID)
    assert watched.observed_block(KEY, slot, ID) is None
    assert watched.observed_vote(KEY, PERIOD_AHEAD + 1, ID) is None
    assert watch().observed_vote(KEY, PERIOD_AHEAD + 1, OTHER_ID) is not None
    assert watched.observed_block(KEY, slot, OTHER_ID) is not None


def test_a_block_between_two_of_ours_is_not_ours() -> None:
    watched = watch()
    watched.signed_block(KEY, START + 20, ID)
    watched.signed_block(KEY, START + 30, ID)
    assert watched.observed_block(KEY, START + 25, ID) is not None


def test_what_is_older_than_our_memory_is_not_judged() -> None:
    watched = watch()
    for slot in range(START + 20, START + 20 + REMEMBERED + 5):
        watched.signed_block(KEY, slot, ID)
    assert watched.observed_block(KEY, START + 24, OTHER_ID) is None
    assert watched.observed_block(KEY, START + 25, OTHER_ID) is not None


@pytest.mark.parametrize("slot", [-5, 0, 1, PARAMS.period_slots - 1])
def test_a_chain_can_begin(slot: int) -> None:
    watched = watch(slot=slot)
    assert watched.refusal(slot, 0.0) is None
    assert watched.observed_block(KEY, max(slot, 0) + 5, ID) is not None


def test_from_the_second_period_of_a_chain_on_there_is_a_wait() -> None:
    assert watch(slot=PARAMS.period_slots).remaining_slots(PARAMS.period_slots, 0.0) == WAIT_SLOTS


def test_where_the_preset_says_0_nothing_is_watched() -> None:
    watched = DoppelgangerWatch(replace(PARAMS, doppelganger_periods=0))
    watched.track([history()], START, 0.0)
    assert watched.refusal(START, 0.0) is None
    assert watched.observed_block(KEY, START + 1, ID) is None
    assert watched.refusal(START + 1, 1.0) is None


def test_R16_a_jump_ahead_of_the_wall_clock_shortens_nothing() -> None:
    refusal = watch().refusal(START + 5_000, 2 * SLOT_S)
    assert isinstance(refusal, DoppelgangerWait) and refusal.remaining_slots == WAIT_SLOTS - 2


def test_R16_a_clock_that_was_ahead_at_the_start_begins_the_wait_anew() -> None:
    watched = watch(slot=10_000)
    assert watched.refusal(10_000 + WAIT_SLOTS, 100.0) is None
    assert watched.observed_block(KEY, 4_000, ID) is None
    refusal = watched.refusal(4_000, 100.0)
    assert isinstance(refusal, DoppelgangerWait) and refusal.remaining_slots == WAIT_SLOTS
    assert watched.observed_block(KEY, 4_001, ID) is not None


def test_a_step_back_of_a_slot_or_two_changes_nothing() -> None:
    watched = watch()
    assert watched.remaining_slots(START - 2, 5 * SLOT_S) == WAIT_SLOTS - 5


def test_a_key_that_comes_later_is_waited_for() -> None:
    watched, now_s = watch(), 100.0
    assert watched.refusal(START + 50, now_s) is None
    watched.track([history(), history(public_key=OTHER)], START + 50, now_s)
    assert watched.remaining_slots(START + 50, now_s) == WAIT_SLOTS
    watched.track([history(), history(public_key=OTHER)], START + 60, now_s + 1)
    assert watched.remaining_slots(START + 60, now_s + SLOT_S) == WAIT_SLOTS - 1
