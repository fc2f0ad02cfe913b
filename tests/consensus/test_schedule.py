"""Validator sets, the cap on stake, bands, proposers, seeds and lane ranks."""

from collections import Counter
from hashlib import blake2b, sha256
from random import Random

import pytest
from builders.blocks import STAKE_UNITS, found_chain

from consensus import schedule as schedule_module
from consensus.schedule import (
    EPOCHS_KEPT,
    Anchor,
    Schedule,
    ValidatorSet,
    deal_bands,
    effective_stake_cap,
    epoch_seed,
    lane_tie,
    validator_set,
)
from ledger.staking.snapshot import SnapshotValidator
from wnsp.spectrum import BAND_COUNT


def _set(stakes: list[int]) -> ValidatorSet:
    return validator_set(
        _entry(index, sha256(bytes([index])).digest(), stake) for index, stake in enumerate(stakes)
    )


def _entry(index: int, key: bytes, stake: int) -> SnapshotValidator:
    return SnapshotValidator(index, key, stake, bytes(32), 0, 512, 0)


def _band_stakes(validators: ValidatorSet, bands: tuple[tuple[int, ...], ...]) -> list[int]:
    effective = {validator.index: validator.effective_stake_units for validator in validators.validators}
    return [sum(effective[index] for index in band) for band in bands]


# The cap


def test_the_cap_is_the_greatest_that_its_definition_allows() -> None:
    source = Random(1)
    for _ in range(300):
        stakes = [
            source.choice([1, 2, 5, 30, 200]) + source.randrange(4) for _ in range(source.randrange(12, 24))
        ]
        allowed = [
            cap for cap in range(sum(stakes) + 2) if 12 * cap <= sum(min(stake, cap) for stake in stakes)
        ]
        assert effective_stake_cap(stakes) == allowed[-1]


def test_a_whale_with_nine_tenths_of_the_stake_ends_at_a_twelfth() -> None:
    others = [10] * 20
    whale = 9 * sum(others)
    validators = _set([whale, *others])
    assert validators.full
    whale_units = validators.validators[0].effective_stake_units
    assert 12 * whale_units <= validators.total_effective_stake_units
    assert whale_units == 18  # 12 c = 200 + c
    plain_share = sum([whale, *others]) // 12
    assert 12 * plain_share > 5 * (plain_share + sum(others)), "the plain rule would have left it above 5/12"


def test_the_whale_of_twelve_is_cut_down_to_the_smallest() -> None:
    validators = _set([9_000, *range(50, 61)])
    assert {validator.effective_stake_units for validator in validators.validators} == {50}


def test_equal_stakes_are_not_cut() -> None:
    validators = _set([STAKE_UNITS] * 12)
    assert validators.total_effective_stake_units == 12 * STAKE_UNITS


def test_nobody_is_capped_in_bootstrap_mode() -> None:
    validators = _set([9_000, *[10] * 10])
    assert not validators.full
    assert validators.status == "bootstrap"
    assert validators.validators[0].effective_stake_units == 9_000


def test_twelve_validators_make_the_mode_full() -> None:
    assert _set([1] * 12).status == "full"
    assert _set([1] * 11).status == "bootstrap"


def test_a_validator_without_stake_does_not_count() -> None:
    validators = _set([1] * 11 + [0])
    assert not validators.full
    assert validators.find(11) is None


def test_validators_are_found_by_index_also_with_gaps() -> None:
    validators = validator_set([_entry(7, bytes(32), 5), _entry(2, bytes(32), 6), _entry(40, bytes(32), 7)])
    assert [validator.index for validator in validators.validators] == [2, 7, 40]
    found = validators.find(7)
    assert found is not None and found.stake_units == 5
    assert [validators.find(index) for index in (0, 3, 41)] == [None, None, None]


def test_one_index_twice_is_refused() -> None:
    with pytest.raises(ValueError):
        validator_set([_entry(1, bytes(32), 5), _entry(1, bytes(32), 6)])


def test_the_digest_tells_sets_apart() -> None:
    sets = [_set([1] * 12), _set([1] * 13), _set([2] * 12), _set([1] * 11 + [2])]
    assert len({validators.digest for validators in sets}) == 4
    assert _set([1] * 12).digest == sets[0].digest


# Bands


def test_every_band_has_two_validators_in_full_mode_whatever_the_stakes() -> None:
    source = Random(2)
    for trial in range(200):
        stakes = [
            source.choice([1, 10, 1_000, 10**6]) * source.randrange(1, 9)
            for _ in range(source.randrange(12, 40))
        ]
        validators = _set(stakes)
        bands, _ = deal_bands(sha256(bytes([trial])).digest(), validators)
        assert min(map(len, bands)) >= 2
        assert sorted(index for band in bands for index in band) == list(range(len(stakes)))


def test_bands_differ_by_at_most_one_capped_stake() -> None:
    source = Random(3)
    for trial in range(200):
        validators = _set([source.randrange(1, 10**6) for _ in range(source.randrange(12, 60))])
        bands, _ = deal_bands(sha256(bytes([trial])).digest(), validators)
        stakes = _band_stakes(validators, bands)
        greatest = max(validator.effective_stake_units for validator in validators.validators)
        assert max(stakes) - min(stakes) <= greatest
        assert 4 * max(stakes) <= validators.total_effective_stake_units


def test_the_order_of_dealing_is_that_of_the_seeded_hash() -> None:
    validators = _set([5] * 12)
    bands, cumulative = deal_bands(bytes(32), validators)
    first_six = [band[0] for band in bands]
    second_six = [band[1] for band in bands]

    def rank(index: int) -> bytes:
        return blake2b(
            b"\x12nexus/band-deal/v1" + bytes(32) + index.to_bytes(8, "big"), digest_size=32
        ).digest()

    assert first_six + second_six == sorted(range(12), key=rank)
    assert cumulative == ((5, 10),) * 6


def test_bands_are_dealt_anew_every_epoch() -> None:
    schedule = found_chain().schedule
    dealt = [schedule.of_epoch(epoch).bands for epoch in range(20)]
    assert len(set(dealt)) == 20


def test_a_band_without_validators_has_no_proposer() -> None:
    lanes = found_chain(validators=4).schedule.of_epoch(0)
    assert lanes.populated == (0, 1, 2, 3)
    assert [lanes.proposer(1, band) is None for band in range(6)] == [False] * 4 + [True] * 2
    assert lanes.bands_required == 4


@pytest.mark.parametrize(("validators", "required"), [(1, 1), (3, 3), (5, 5), (6, 5), (12, 5)])
def test_certificates_need_five_bands_or_all_that_are_populated(validators: int, required: int) -> None:
    assert found_chain(validators=validators).schedule.of_epoch(0).bands_required == required


def test_a_single_validator_proposes_in_one_lane_of_every_slot() -> None:
    schedule = found_chain(validators=1).schedule
    assert schedule.lanes_of({0}, range(1, 4)) == ((1, 0, 0), (2, 0, 0), (3, 0, 0))


def test_the_band_of_a_validator_is_where_it_was_dealt() -> None:
    lanes = found_chain(validators=13).schedule.of_epoch(1)
    for index in range(13):
        band = lanes.band_of(index)
        assert band is not None and index in lanes.bands[band]
    assert lanes.band_of(13) is None


# Proposers


def test_proposers_come_as_often_as_their_stake_says() -> None:
    stakes = [1, 2, 3, 4, 6, 8, 8, 8, 8, 8, 8, 8, 5, 7]
    chain = found_chain(stakes_units=[stake * STAKE_UNITS for stake in stakes], epoch_slots=4_000)
    lanes = chain.schedule.of_epoch(0)
    effective = {one.index: one.effective_stake_units for one in lanes.validators.validators}
    for band in range(BAND_COUNT):
        drawn = Counter(lanes.proposer(slot, band) for slot in range(4_000))
        total = sum(effective[index] for index in lanes.bands[band])
        chi_square = 0.0
        for index in lanes.bands[band]:
            expected = 4_000 * effective[index] / total
            chi_square += (drawn[index] - expected) ** 2 / expected
        assert sum(drawn.values()) == 4_000
        # At most three degrees of freedom here: 16.3 is exceeded once in a thousand runs, and this one is seeded.
        assert len(lanes.bands[band]) <= 4
        assert chi_square < 16.3


def test_a_proposer_is_the_first_whose_running_sum_exceeds_the_draw() -> None:
    """The formulas of the README, word for word, on stakes so small that every border is met."""
    lanes = found_chain(
        stakes_units=[one for _ in range(6) for one in (1, 2, 3)], epoch_slots=80
    ).schedule.of_epoch(0)
    for slot in range(80):
        for band in range(BAND_COUNT):
            members = lanes.bands[band]
            stakes = [
                one.effective_stake_units for index in members for one in [lanes.validators.validators[index]]
            ]
            drawn = blake2b(
                b"\x11nexus/proposer/v1" + lanes.seed + slot.to_bytes(8, "big") + bytes([band]) + bytes(8),
                digest_size=32,
            ).digest()
            ticket = int.from_bytes(drawn[:8], "big") % sum(stakes)
            owners = [index for index, stake in zip(members, stakes, strict=True) for _ in range(stake)]
            assert lanes.proposer(slot, band) == owners[ticket]


def test_only_members_of_the_band_propose_in_it() -> None:
    lanes = found_chain(validators=20).schedule.of_epoch(3)
    for slot in range(lanes.first_slot, lanes.end_slot):
        for band in range(BAND_COUNT):
            assert lanes.proposer(slot, band) in lanes.bands[band]


def test_draws_above_the_last_whole_multiple_are_drawn_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [b"\xff" * 32, b"\xff" * 32, (2**40 + 5).to_bytes(8, "big") + bytes(24)]
    asked: list[bytes] = []

    def scripted(tag: bytes, *parts: bytes) -> bytes:
        asked.append(parts[-1])
        return answers[len(asked) - 1]

    monkeypatch.setattr(schedule_module, "digest", scripted)
    assert schedule_module._uniform(bytes(32), 1, 1, 10) == (2**40 + 5) % 10
    assert asked == [counter.to_bytes(8, "big") for counter in range(3)]


def test_a_slot_of_another_epoch_is_a_mistake_of_the_caller() -> None:
    lanes = found_chain().schedule.of_epoch(1)
    with pytest.raises(ValueError):
        lanes.proposer(31, 0)
    with pytest.raises(ValueError):
        lanes.proposer(64, 0)


def test_lanes_of_names_exactly_the_lanes_that_are_scheduled() -> None:
    schedule = found_chain(validators=7).schedule
    expected = tuple(
        (slot, band, schedule.proposer(slot, band))
        for slot in range(28, 40)
        for band in range(BAND_COUNT)
        if schedule.proposer(slot, band) in (2, 5)
    )
    assert schedule.lanes_of((2, 5), range(28, 40)) == expected
    assert expected


# Seeds


def test_L19_what_blocks_carry_leaves_bands_and_proposers_unchanged() -> None:
    chain = found_chain()
    before = [(lanes.bands, lanes.seed) for lanes in (chain.schedule.of_epoch(epoch) for epoch in range(6))]
    for nonce in range(3):
        chain.block(slot=31, transactions=(chain.transfer(0, 1, nonce=nonce).raw,))
    fresh = Schedule(chain.params, chain.schedule.genesis_anchor)
    assert [(fresh.of_epoch(epoch).bands, fresh.of_epoch(epoch).seed) for epoch in range(6)] == before


def test_L19_the_seed_takes_nothing_but_chain_mix_and_epoch() -> None:
    seeds = {
        epoch_seed(chain, mix, epoch)
        for chain in (bytes(32), b"\x01" * 32)
        for mix in (bytes(32), b"\x01" * 32)
        for epoch in (0, 1, 2)
    }
    assert len(seeds) == 12
    assert epoch_seed.__code__.co_varnames[: epoch_seed.__code__.co_argcount] == ("chain", "mix", "epoch")


def test_another_chain_has_another_schedule() -> None:
    first, second = found_chain(chain_id="one").schedule, found_chain(chain_id="two").schedule
    assert first.of_epoch(0).seed != second.of_epoch(0).seed


def test_a_later_anchor_judges_from_epoch_two_on() -> None:
    chain = found_chain()
    anchor = Anchor(epoch=1, mix=b"\x07" * 32, validators=_set([3] * 14))
    for epoch in (0, 1):
        assert chain.schedule.of_epoch(epoch, anchor) == chain.schedule.of_epoch(epoch)
    assert chain.schedule.of_epoch(2, anchor).validators == anchor.validators
    assert chain.schedule.of_epoch(2, anchor).seed != chain.schedule.of_epoch(2).seed
    assert chain.schedule.of_epoch(2).validators == chain.schedule.validators


def test_the_cache_is_bounded_and_never_changes_an_answer() -> None:
    schedule = found_chain().schedule
    first = [schedule.of_epoch(epoch) for epoch in range(50)]
    assert len(schedule._kept) <= EPOCHS_KEPT
    assert [schedule.of_epoch(epoch) for epoch in range(50)] == first


def test_a_schedule_is_the_same_in_another_instance() -> None:
    one, other = found_chain().schedule, found_chain().schedule
    for slot in (0, 31, 32, 1_000):
        for band in range(BAND_COUNT):
            assert one.proposer(slot, band) == other.proposer(slot, band)
            assert one.lane_tie(slot, band) == other.lane_tie(slot, band)


# Lane ranks


def test_lane_ranks_differ_by_seed_slot_and_band() -> None:
    ranks = {
        lane_tie(bytes([seed]) * 32, slot, band)
        for seed in range(3)
        for slot in range(5)
        for band in range(6)
    }
    assert len(ranks) == 90


def test_every_band_leads_a_sixth_of_the_slots() -> None:
    lanes = found_chain(epoch_slots=3_000).schedule.of_epoch(0)
    leads = Counter(max(range(6), key=lambda band: lanes.lane_tie(slot, band)) for slot in range(3_000))
    # Five degrees of freedom: 20.5 is exceeded once in a thousand runs, and this one is seeded.
    assert sum((leads[band] - 500) ** 2 for band in range(6)) < 20.5 * 500


def test_a_proposer_cannot_influence_its_lane_rank() -> None:
    """The rank has no block content among its inputs, so trying other contents gains nothing."""
    chain = found_chain()
    ranks = {
        chain.schedule.lane_tie(block.header.slot, block.header.band) for block in map(chain.block, [5] * 3)
    }
    assert len(ranks) == 1


# The mempool's lane


def test_senders_spread_over_the_populated_bands_and_move_by_epoch() -> None:
    schedule = found_chain(validators=3).schedule
    senders = [sha256(bytes([number])).digest()[:20] for number in range(200)]
    lanes = [schedule.of_epoch(0).mempool_lane(sender) for sender in senders]
    assert set(lanes) == {0, 1, 2}
    assert lanes != [schedule.of_epoch(1).mempool_lane(sender) for sender in senders]


def test_ranks_of_any_number_of_epochs_deal_no_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    """A merge set can hold blocks of more epochs than are kept; with 1,000 validators a deal takes milliseconds."""
    chain = found_chain(6)
    epochs = range(EPOCHS_KEPT * 3)
    expected = [
        chain.schedule.of_epoch(epoch).lane_tie(epoch * chain.params.epoch_slots, 1) for epoch in epochs
    ]
    monkeypatch.delattr(schedule_module, "deal_bands")
    assert [chain.schedule.lane_tie(epoch * chain.params.epoch_slots, 1) for epoch in epochs] == expected
