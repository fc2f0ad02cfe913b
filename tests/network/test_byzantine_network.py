"""Real nodes beside hostile keys: what just under a third of the stake can do, and what it costs."""

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from network.byzantine import HostileKeys
from network.fault_schedule import Fault, FaultKind, Menu
from network.oracle import settled_transactions
from network.replays import blocks_of, feed, fresh_engine
from network.scenario import CALM, Report, RunFailed, Scenario
from network.simulation import Simulation, run_scenario

from consensus.errors import FinalityConflict
from consensus.evidence import Evidence
from consensus.finality_proofs import read_conflict
from consensus.schedule import schedule_from_genesis
from consensus.stores import index_on_chain
from ledger.addresses import address_of
from ledger.execution import FAILED
from ledger.staking.slashing import read_validator
from ledger.storage.state_store import LedgerStore
from node.signing.protection import SigningProtection

Record = Callable[[str, object], None]

WEIGHTED = (10,) * 9 + (10, 40, 40, 40)
"""Four hostile validators have 59 % of all stake; the cap leaves them 32.5 %."""

SETS = {
    "a quarter of twelve": {"validators": 12, "byzantine_validators": 3},
    "four of thirteen": {"validators": 13, "byzantine_validators": 4},
    "whales under the cap": {"validators": 13, "byzantine_validators": 4, "stake_weights": WEIGHTED},
}


def run(scenario: Scenario, record: Record, after: Callable[[Simulation], object] | None = None) -> Report:
    """A run whose faults count."""
    report = run_scenario(scenario, after=after)
    record("faults of real nodes", report.counted_faults)
    print("\n".join(report.lines()))
    return report


@pytest.mark.parametrize("seed", range(10))
def test_just_under_a_third_of_the_stake_is_byzantine_and_the_network_is_safe_and_live(
    seed: int, record_property: Record
) -> None:
    """After 48 slots period 4 is final when nobody disturbs; a lost period costs two."""
    name = ("four of thirteen", "whales under the cap", "a quarter of twelve")[seed % 3]
    report = run(
        Scenario(
            seed=seed,
            virtual_seconds=48,
            nodes=3,
            byzantine_nodes=1,
            byzantine_stays=True,
            menu=Menu.BYZANTINE,
            **SETS[name],
        ),
        record_property,
    )
    assert report.finalised_under_faults >= 2
    assert report.agreed_after_s <= 24 and report.final_after_s <= 24
    assert report.counted_faults >= 40


def test_the_hostile_sets_hold_just_under_a_third(tmp_path: Path) -> None:
    for name, shares in {
        "a quarter of twelve": 250,
        "four of thirteen": 307,
        "whales under the cap": 324,
    }.items():
        simulated = Scenario(0, **SETS[name])
        place = tmp_path / str(shares)
        place.mkdir()
        simulation = Simulation(simulated, place)
        schedule = schedule_from_genesis(simulation.genesis, simulation.params)
        effective = [one.effective_stake_units for one in schedule.validators.validators]
        hostile = sum(effective[simulated.honest_validators :])
        assert 3 * hostile < sum(effective)
        assert 1000 * hostile // sum(effective) == shares


def acts(kind: FaultKind, *, seconds: float = 40, at_s: float = 8) -> Scenario:
    """A quarter of the stake does one thing, in a calm network."""
    return Scenario(
        seed=40,
        virtual_seconds=seconds,
        nodes=3,
        wire=CALM,
        byzantine_nodes=1,
        byzantine_validators=3,
        faults=(Fault(kind, at_s, 12.0, (2,)),),
    )


def punishments(simulation: Simulation) -> dict[int, list[tuple[int, int]]]:
    """Validator -> (epoch of the offence, epoch of the punishment), as the first node's ledger has it."""
    handle = simulation.nodes[0].handle
    assert handle is not None
    ledger = LedgerStore(handle.services.store)
    found = {}
    for index in range(simulation.scenario.validators):
        record = read_validator(ledger, index)
        assert record is not None
        if record.slashes:
            found[index] = [(one.offence_epoch, one.epoch) for one in record.slashes]
    return found


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("L6", FaultKind.EQUIVOCATE),
        ("L7", FaultKind.DOUBLE_VOTE),
        ("L7", FaultKind.SURROUND_VOTE),
    ],
)
def test_L6_L7_provable_faults_are_punished_within_two_epochs_and_only_theirs(
    row: str, kind: FaultKind, record_property: Record
) -> None:
    found: dict[int, list[tuple[int, int]]] = {}
    guilty: set[int] = set()

    async def look(simulation: Simulation) -> None:
        found.update(punishments(simulation))
        guilty.update(offence.validator for offence in simulation.offences)

    at_s = 28 if kind is FaultKind.SURROUND_VOTE else 8
    report = run(acts(kind, at_s=at_s), record_property, after=look)
    assert report.faults[kind] > 0
    assert guilty and set(found) == guilty
    for slashes in found.values():
        assert len(slashes) == 1, "one mistake, one penalty"
        assert all(0 <= imposed - offended <= 2 for offended, imposed in slashes)


def test_L6_an_equivocation_is_punished_though_every_node_restarts_before_it_is_reported(
    record_property: Record,
) -> None:
    found: dict[int, list[tuple[int, int]]] = {}
    guilty: set[int] = set()

    async def look(simulation: Simulation) -> None:
        found.update(punishments(simulation))
        guilty.update(offence.validator for offence in simulation.offences)

    faults = (
        Fault(FaultKind.EQUIVOCATE, 7.5, 2.0, (2,)),
        Fault(FaultKind.BLACKOUT, 9.6, 1.0),
    )
    report = run(
        replace(acts(FaultKind.EQUIVOCATE, seconds=20), seed=41, faults=faults), record_property, after=look
    )
    assert report.faults[FaultKind.CRASH_DROPPED] == 3
    assert guilty and set(found) == guilty


def test_L8_false_evidence_costs_its_sender_the_fee_and_hurts_nobody(record_property: Record) -> None:
    paid: list[int] = []

    async def look(simulation: Simulation) -> None:
        handle = simulation.nodes[0].handle
        assert handle is not None
        (keys,) = simulation.hostile.values()
        paid.append(spent(simulation, keys))
        assert punishments(simulation) == {}

    report = run(acts(FaultKind.FALSE_EVIDENCE, seconds=22), record_property, after=look)
    assert report.faults[FaultKind.FALSE_EVIDENCE] > 3
    assert paid[0] > 0


def spent(simulation: Simulation, keys: HostileKeys) -> int:
    """Units of fees that evidence from hostile hands has paid on the chain."""
    handle = simulation.nodes[0].handle
    assert handle is not None
    sender = address_of(keys.account.public_key)
    receipts = [
        receipt
        for receipt, transaction in settled_transactions(handle.services.store, simulation.registry)
        if isinstance(transaction.payload, Evidence) and transaction.sender == sender
    ]
    assert all(receipt.status == FAILED for receipt in receipts)
    return sum(receipt.fee for receipt in receipts)


def test_N12_votes_withheld_and_released_late_count_once_or_not_at_all(record_property: Record) -> None:
    """Released up to three periods later: those of the last two periods may still be carried, older ones are not."""
    carried: Counter[tuple[int, int]] = Counter()
    late: list[int] = []

    async def look(simulation: Simulation) -> None:
        handle = simulation.nodes[0].handle
        assert handle is not None
        for block in blocks_of(handle.services.store):
            for vote in block.votes:
                lag = block.header.slot // 8 - vote.target.period
                late.append(lag)
                if vote.validator >= simulation.scenario.honest_validators:
                    carried[vote.validator, vote.target.period] += 1

    report = run(acts(FaultKind.WITHHOLD_VOTE, seconds=44), record_property, after=look)
    assert report.faults[FaultKind.WITHHOLD_VOTE] >= 3
    assert report.finalised_under_faults >= 3, "the others are enough"
    assert max(late) <= 2
    assert carried


def test_L15_the_chain_advances_while_most_lanes_are_silent(record_property: Record) -> None:
    """Ten of twelve validators are silent: no finality, but the selected tip goes on, and all of it comes back."""
    slots: list[int] = []

    async def silence(simulation: Simulation) -> None:
        await trio.sleep(30)
        handle = simulation.nodes[0].handle
        assert handle is not None
        slots.append(handle.services.head.slot)
        assert handle.services.finality().finalised.period == 0

    scenario = Scenario(
        seed=15,
        nodes=3,
        wire=CALM,
        byzantine_nodes=1,
        byzantine_validators=10,
        ends_agreed=False,
        faults=(Fault(FaultKind.SILENT_LANE, 0.0, 99, (2,)), Fault(FaultKind.SILENT_VOTE, 0.0, 99, (2,))),
    )
    report = run_scenario(scenario, script=silence)
    record_property("faults of real nodes", report.counted_faults)
    assert slots[0] >= 25


HOSTILE = tuple(range(6, 12))

TWO_FINALITIES = Scenario(
    seed=14,
    held=((0, 1, 2), HOSTILE, (3, 4, 5), HOSTILE),
    byzantine_validators=6,
    wire=CALM,
    faults=(Fault(FaultKind.SPLIT, 0.0, 37.0, (0, 1)),),
    may_halt=True,
    ends_agreed=False,
)
"""Half of the stake signs on both sides of a partition, by two honest nodes with the same keys."""


def test_L14_who_sees_two_final_chains_halts_with_both_proofs_and_nobody_ever_switches(
    record_property: Record,
) -> None:
    async def both_final(simulation: Simulation) -> None:
        await trio.sleep(36)
        sides = [simulation.nodes[0].handle, simulation.nodes[2].handle]
        finals = [handle.services.finality().finalised for handle in sides if handle is not None]
        assert min(final.period for final in finals) >= 2 and finals[0] != finals[1]
        ours, theirs = (blocks_of(handle.services.store) for handle in sides if handle is not None)
        engine = fresh_engine(simulation.genesis, simulation.registry)
        feed(engine, ours, random.Random(1))
        known = engine.finalised
        with pytest.raises(FinalityConflict):
            feed(engine, theirs, random.Random(2))
        conflict = read_conflict(engine.stores.store)
        assert conflict is not None
        assert conflict.ours.checkpoint == known
        assert conflict.theirs.checkpoint.block_id != known.block_id
        assert all(len(proof.certificates) == 2 for proof in (conflict.ours, conflict.theirs))
        honest = [simulation.nodes[number] for number in (0, 2)]
        with trio.fail_after(60):
            while all(node.halted is None for node in honest):  # noqa: ASYNC110
                await trio.sleep(1)
        # The partition is over. Whoever still runs has not left its final checkpoint, whatever it hears.
        for number, final in zip((0, 2), finals, strict=True):
            handle = simulation.nodes[number].handle
            if handle is None:
                assert simulation.nodes[number].halted is not None
            else:
                assert index_on_chain(handle.services.store, final.block_id) is not None

    report = run_scenario(TWO_FINALITIES, script=both_final)
    record_property("faults of real nodes", report.counted_faults)


def test_the_harness_notices_an_honest_node_that_signs_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """The checks must be able to fail: without slashing protection a node that comes back with an older clock signs the
    same slots again."""
    monkeypatch.setattr(SigningProtection, "claim_block", lambda *_: None)
    monkeypatch.setattr(SigningProtection, "claim_vote", lambda *_: None)
    scenario = Scenario(
        seed=16,
        virtual_seconds=24,
        wire=CALM,
        faults=(
            Fault(FaultKind.CLOCK_STEP, 12.5, 9.0, (0,), -6_000),
            Fault(FaultKind.CRASH_KEPT, 13, 0.5, (0,)),
        ),
    )
    with pytest.raises(RunFailed, match="honest validator"):
        run_scenario(scenario)


def test_two_final_chains_on_honest_nodes_would_be_noticed() -> None:
    """The check must be able to fail: the run of L14, with nodes that are said to be honest and enough of them."""
    with pytest.raises(RunFailed, match=r"and final on"):
        run_scenario(replace(TWO_FINALITIES, may_halt=False, virtual_seconds=36))
