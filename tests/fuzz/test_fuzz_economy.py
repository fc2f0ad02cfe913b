"""The economy under random operations, for as long as one likes (ledger.md, What must always hold).

NEXUS_FUZZ_INPUTS sets the number of operations (default 500), NEXUS_FUZZ_SEED the seed. `tests/properties` runs the
same machine in every test run.
"""

import os

import pytest
from properties.economy_machine import run_machine
from properties.economy_walk import EconomyWalk, wander

OPERATIONS = int(os.environ.get("NEXUS_FUZZ_INPUTS", "500"))
SEED = int(os.environ.get("NEXUS_FUZZ_SEED", "1"))
WALKERS = 2
PART = 250
"""Operations between two moments of finality."""


@pytest.mark.timeout(7_200)  # shrinking may take five minutes
@pytest.mark.parametrize("walker", range(WALKERS))
def test_random_operations_of_all_kinds_keep_every_invariant(walker: int) -> None:
    done, _ = run_machine(100 * SEED + walker, OPERATIONS // WALKERS)
    assert done >= OPERATIONS // WALKERS


def test_one_chain_that_grows_old_keeps_every_invariant() -> None:
    """A tenth of the operations on one chain, which becomes final from time to time."""
    walk = EconomyWalk()
    for part in range(max(1, OPERATIONS // 10 // PART)):
        wander(1_000 * SEED + part, PART, walk)
        walk.audit()
        walk.steps.clear()
    assert walk.done >= OPERATIONS // 10
