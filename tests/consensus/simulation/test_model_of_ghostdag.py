"""The lean colouring of the models equals the real one; the lean deal of bands equals the real deal."""

from random import Random

import pytest
from builders.dag import DagBlock, DagCase, colour_case, random_dag

from consensus.schedule import deal_bands, effective_stake_cap, validator_set
from consensus.simulation.committee import Committee, deal, effective_stakes
from consensus.simulation.dag import Block, ModelDag, members
from consensus.simulation.rules import ProtocolRules
from ledger.hashing import digest, tagged
from ledger.staking.snapshot import SnapshotValidator

DAGS = 60


class CaseDag(ModelDag):
    """A model DAG filled from a case; ties are broken by id, as in the case's rules."""

    def __init__(self, case: DagCase) -> None:
        super().__init__(ProtocolRules(k=case.k), Committee((1,) * 12, 0, 32))
        ranks = {block: rank for rank, block in enumerate(sorted(block.id for block in case.blocks))}
        self.by_id: dict[bytes, Block] = {case.genesis.id: self.genesis}
        for number, block in enumerate(case.blocks[1:], 1):
            slot, band = slot_and_band(block, number)
            colouring = self.colour([self.by_id[parent] for parent in block.parents])
            self.by_id[block.id] = self.add(slot, band, -1, colouring, rank=ranks[block.id])


def slot_and_band(block: DagBlock, number: int) -> tuple[int, int]:
    """The case's lane; a lane of its own where the case has none."""
    if block.lane is None:
        return number, 0
    return int.from_bytes(block.lane[:8], "big"), block.lane[8]


@pytest.mark.parametrize("seed", range(DAGS))
def test_the_lean_colouring_equals_the_real_one(seed: int) -> None:
    rng = Random(seed)
    case = random_dag(
        rng,
        blocks=120,
        width=rng.randint(1, 24),
        k=rng.choice((0, 1, 2, 3, 5, 8, 18, 31)),
        withheld=rng.choice((0, 0, 12)),
        bands=rng.choice((0, 1, 2, 6)),
    )
    real, lean = colour_case(case), CaseDag(case)
    ids = {block.number: name for name, block in lean.by_id.items()}
    for block in case.blocks[1:]:
        expected, found = real.data.get(block.id), lean.by_id[block.id].colouring
        assert ids[found.selected.number] == expected.selected_parent
        assert found.score == expected.blue_score == expected.blue_work
        assert tuple(ids[number] for number in found.mergeset) == expected.mergeset
        assert tuple(ids[number] for number in found.mergeset_reds) == expected.mergeset_reds
        for blue, size in expected.blues_anticone_sizes.items():
            number = lean.by_id[blue].number
            assert sum((plane >> number & 1) << bit for bit, plane in enumerate(found.planes)) == size
        assert len(members(found.blues)) == found.score


@pytest.mark.parametrize("validators", [1, 5, 6, 12, 13, 31, 60])
def test_every_validator_is_dealt_to_the_lightest_band(validators: int) -> None:
    rng = Random(validators)
    stakes = [rng.randint(1, 1_000) for _ in range(validators)]
    order = rng.sample(range(validators), validators)
    bands = deal(order, stakes)
    assert sorted(validator for band in bands for validator in band) == sorted(order)
    dealt = [0] * len(bands)
    for validator in order:
        band = next(number for number, members_of in enumerate(bands) if validator in members_of)
        assert dealt[band] == min(dealt)
        assert all(stake > dealt[band] for stake in dealt[:band])
        dealt[band] += stakes[validator]


@pytest.mark.parametrize("validators", [12, 13, 40])
def test_the_lean_deal_in_the_real_order_gives_the_real_bands(validators: int) -> None:
    rng = Random(validators)
    seed = rng.randbytes(32)
    real = validator_set(
        SnapshotValidator(index, rng.randbytes(32), rng.randint(1, 10**9), bytes(32), 0, 0, 0)
        for index in range(validators)
    )
    order = sorted(
        range(validators),
        key=lambda index: digest(tagged("nexus/band-deal/v1"), seed, index.to_bytes(8, "big")),
    )
    stakes = effective_stakes([validator.stake_units for validator in real.validators])
    assert stakes == tuple(validator.effective_stake_units for validator in real.validators)
    assert deal(order, stakes) == deal_bands(seed, real)[0]


def test_a_whale_counts_for_a_twelfth_in_full_mode_and_for_all_it_has_in_bootstrap_mode() -> None:
    stakes = (1_000, *[10] * 20)
    assert effective_stakes(stakes) == tuple(min(stake, effective_stake_cap(stakes)) for stake in stakes)
    assert effective_stakes(stakes)[0] * 12 <= sum(effective_stakes(stakes))
    assert effective_stakes((1_000, 10)) == (1_000, 10)


def test_a_k_that_does_not_fit_in_the_planes_is_refused() -> None:
    with pytest.raises(ValueError, match="bit planes"):
        ModelDag(ProtocolRules(k=32), Committee((1,) * 12, 0, 32))
