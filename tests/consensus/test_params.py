"""Numbers of consensus: what follows from what, and slot arithmetic."""

import msgspec
import pytest
from builders.blocks import found_chain
from builders.ledger import GENESIS_TIME_MS

from consensus.params import (
    MAX_PARENTS,
    PRESETS,
    epoch_at,
    first_slot_of_epoch,
    params_from_genesis,
    period_at,
    slot_at,
    slot_start_ms,
)
from ledger.errors import GenesisInvalid
from wnsp.spectrum import BAND_COUNT

NETWORKS = tuple(PRESETS)


@pytest.mark.parametrize("network", NETWORKS)
def test_presets_give_the_numbers_of_the_specification(network: str) -> None:
    params = found_chain(network=network).params
    assert (params.period_slots, params.margin_slots, params.vote_offset_slots) == (8, 2, 3)
    assert (params.ghostdag_k, params.look_back_slots, params.mergeset_limit) == (18, 6, 180)
    assert (params.max_parents, params.max_block_bytes, params.max_header_bytes) == (12, 524_288, 8_192)


def test_merge_depths_are_those_of_the_specification() -> None:
    depths = [found_chain(network=network).params.merge_depth_slots for network in NETWORKS]
    assert dict(zip(NETWORKS, depths, strict=True)) == {
        "devnet": 1_200,
        "fast": 1_200,
        "testnet": 1_800,
        "main": 1_800,
    }


def test_k_exceeds_the_anticone_that_delays_below_the_margin_can_give() -> None:
    params = found_chain().params
    own_slot = 100
    unseen = [
        (slot, band)
        for slot in range(200)
        for band in range(BAND_COUNT)
        if abs(slot - own_slot) < params.margin_slots and (slot, band) != (own_slot, 0)
    ]
    assert len(unseen) == 17 < params.ghostdag_k


def test_main_unbonds_in_fourteen_days_and_proves_faults_for_seven() -> None:
    params = found_chain(network="main").params
    epoch_ms = params.slot_ms * params.epoch_slots
    fortnight_ms = 14 * 24 * 3600 * 1000
    assert fortnight_ms <= params.unbonding_epochs * epoch_ms < fortnight_ms + epoch_ms
    assert params.evidence_epochs * 2 == params.unbonding_epochs + params.unbonding_epochs % 2


def test_devnet_and_fast_unbond_in_sixteen_epochs() -> None:
    for network in ("devnet", "fast"):
        params = found_chain(network=network).params
        assert (params.unbonding_epochs, params.evidence_epochs) == (16, 8)


def test_retention_is_an_hour_on_devnets_and_thirty_on_main() -> None:
    assert found_chain(network="devnet").params.retention_slots == 3_600
    assert found_chain(network="fast").params.retention_slots == 6_000
    assert found_chain(network="main").params.retention_slots == 54_000


def test_devnet_slots_may_be_chosen_and_depths_keep_their_time() -> None:
    params = found_chain(slot_ms=200, epoch_slots=16).params
    assert (params.slot_ms, params.epoch_slots, params.merge_depth_slots) == (200, 16, 6_000)


def test_slots_shorter_than_the_delay_raise_margin_and_k() -> None:
    params = found_chain(slot_ms=50).params
    assert (params.margin_slots, params.vote_offset_slots) == (3, 4)
    assert (params.ghostdag_k, params.look_back_slots, params.mergeset_limit) == (30, 8, 300)


def test_merge_depth_stays_above_the_partition_that_must_heal() -> None:
    params = found_chain(slot_ms=60_000).params
    assert params.merge_depth_slots >= 20 * params.period_slots * 2


def test_slots_so_short_that_a_period_cannot_hold_its_vote_are_refused() -> None:
    genesis = msgspec.structs.replace(found_chain().genesis, slot_ms=10)
    with pytest.raises(GenesisInvalid, match="use slots of at least 20 ms"):
        params_from_genesis(genesis)
    assert params_from_genesis(msgspec.structs.replace(genesis, slot_ms=20)).vote_offset_slots == 7


@pytest.mark.parametrize("network", ["fast", "testnet", "main"])
def test_only_devnets_choose_their_slots(network: str) -> None:
    with pytest.raises(GenesisInvalid, match="slots of"):
        found_chain(network=network, slot_ms=700)


def test_an_epoch_holds_whole_periods() -> None:
    with pytest.raises(GenesisInvalid, match="no multiple"):
        found_chain(epoch_slots=36)


def test_an_unknown_network_is_named_with_the_known_ones() -> None:
    genesis = msgspec.structs.replace(found_chain().genesis, network="moon")
    with pytest.raises(GenesisInvalid, match="'moon' is unknown; known: devnet, fast, testnet, main"):
        params_from_genesis(genesis)


def test_a_slot_begins_at_its_start_and_lasts_to_the_millisecond_before_the_next() -> None:
    params = found_chain(slot_ms=600).params
    for slot in (0, 1, 7, 1_000_003):
        start_ms = slot_start_ms(params, slot)
        assert slot_at(params, start_ms) == slot
        assert slot_at(params, start_ms + 599) == slot
        assert slot_at(params, start_ms - 1) == slot - 1


def test_slots_before_genesis_are_negative() -> None:
    assert slot_at(found_chain().params, GENESIS_TIME_MS - 1) == -1


def test_epochs_and_periods_divide_the_slots() -> None:
    params = found_chain().params
    assert [epoch_at(params, slot) for slot in (0, 31, 32, 64)] == [0, 0, 1, 2]
    assert [first_slot_of_epoch(params, epoch) for epoch in (0, 1, 2)] == [0, 32, 64]
    assert [period_at(params, slot) for slot in (0, 7, 8, 16)] == [0, 0, 1, 2]


def test_L11_parents_are_at_most_two_slots_of_all_lanes() -> None:
    assert MAX_PARENTS == 2 * BAND_COUNT == 12
