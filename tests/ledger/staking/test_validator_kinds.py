"""Validators come, change and go: registration, commission, onion, key rotation, exit, jail."""

from typing import Any

import msgspec
import pytest
from builders.ledger import ONION_LAYERS, key_pair
from builders.staking import NXT, StakingChain

from ledger.accounts import TREASURY_ADDRESS
from ledger.addresses import address_of
from ledger.errors import PayloadInvalid, RecipientRefused
from ledger.keys import SMALL_ORDER_ENCODINGS
from ledger.onion import onion_layer, onion_secret
from ledger.staking.delegation_kinds import Delegate
from ledger.staking.records import ACTIVE, EXITED, EXITING, JAILED, REGISTERED, commission_at, key_at, keys_at
from ledger.staking.slashing import slash
from ledger.staking.validator_kinds import CommissionSet, OnionRenew, Unjail, ValidatorExit
from ledger.state import Overlay


@pytest.fixture
def chain() -> StakingChain:
    return StakingChain()


def jail(chain: StakingChain, index: int) -> None:
    overlay = Overlay(chain.reader)
    slash(overlay, index, b"o" * 32, chain.epoch, address_of(chain.accounts[7].public_key), chain.context())
    chain.apply(overlay.changes())


def test_registration_bonds_the_stake_and_gives_the_next_index(chain: StakingChain) -> None:
    payer, owner = chain.accounts[0], chain.accounts[1]
    before, bonded = chain.account(payer).balance, chain.system("BONDED")
    assert chain.send(payer, "validator_register", chain.registration(0, owner, units=1_500 * NXT)) == ""
    record = chain.validator(4)
    assert (record.status, record.self_stake_units, record.commission_ppm) == (
        REGISTERED,
        1_500 * NXT,
        100_000,
    )
    assert record.withdrawal_address == address_of(owner.public_key)
    assert record.consensus_key == key_pair(chain.seed, "newcomer", 0).public_key
    fee = chain.outcomes[-1].receipts[0].fee
    assert chain.account(payer).balance == before - 1_500 * NXT - fee
    assert chain.system("BONDED") == bonded + 1_500 * NXT
    assert chain.faults() == ()


def test_L20_newcomer_takes_part_only_after_the_activation_delay(chain: StakingChain) -> None:
    chain.go_to(3)
    chain.send(chain.accounts[0], "validator_register", chain.registration(0, chain.accounts[0]))
    for epoch in (4, 5, 6):
        chain.go_to(epoch)
        assert 4 not in chain.stakes
        assert chain.snapshot.validators[4].consensus_key == chain.validator(4).consensus_key
    chain.go_to(7)
    assert chain.stakes[4] == 1_000 * NXT
    assert chain.validator(4).status == ACTIVE


@pytest.mark.parametrize(
    ("units", "reason"),
    [(1_000 * NXT - 1, "SelfStakeTooLow"), (1_000 * NXT, ""), (5_000 * NXT, "InsufficientBalance")],
)
def test_registration_needs_a_thousand_nxt_that_are_there(
    chain: StakingChain, units: int, reason: str
) -> None:
    payload = chain.registration(0, chain.accounts[0], units=units)
    assert chain.send(chain.accounts[0], "validator_register", payload) == reason


@pytest.mark.parametrize(
    "changed",
    [
        {"self_stake_units": 1_001 * NXT},
        {"withdrawal_address": b"w" * 20},
        {"commission_ppm": 1},
        {"onion_layers": 7},
        {"onion_tip": b"t" * 32},
        {"consensus_key": key_pair("other", "key", 0).public_key},
        {"proof": bytes(64)},
        {"consensus_key": min(SMALL_ORDER_ENCODINGS)},
        {"self_stake_units": 0},
    ],
)
def test_registration_whose_proof_is_not_the_consensus_keys_can_never_be_valid(
    chain: StakingChain, changed: dict[str, Any]
) -> None:
    payload = msgspec.structs.replace(chain.registration(0, chain.accounts[0]), **changed)
    with pytest.raises(PayloadInvalid):
        chain.signed(chain.accounts[0], "validator_register", payload)


def test_L1_proof_of_possession_is_bound_to_the_chain(chain: StakingChain) -> None:
    payload = StakingChain(seed="elsewhere").registration(0, chain.accounts[0])
    with pytest.raises(PayloadInvalid, match="proof"):
        chain.signed(chain.accounts[0], "validator_register", payload)


def test_withdrawal_to_a_system_account_is_refused(chain: StakingChain) -> None:
    payload = msgspec.structs.replace(
        chain.registration(0, chain.accounts[0]), withdrawal_address=TREASURY_ADDRESS
    )
    with pytest.raises(RecipientRefused):
        chain.signed(chain.accounts[0], "validator_register", payload)


def test_consensus_key_serves_one_validator_for_ever(chain: StakingChain) -> None:
    payload = chain.registration(0, chain.accounts[0])
    assert chain.send(chain.accounts[0], "validator_register", payload) == ""
    assert chain.send(chain.accounts[1], "validator_register", payload) == "KeyInUse"
    assert chain.send(chain.accounts[0], "key_rotate", chain.rotation(4, 0)) == ""
    assert chain.send(chain.accounts[1], "validator_register", payload) == "KeyInUse"
    assert chain.send(chain.owners[0], "key_rotate", chain.rotation(0, 0)) == "KeyInUse"


def test_commission_changes_by_at_most_five_points_from_the_next_epoch_on(chain: StakingChain) -> None:
    owner = chain.owners[0]
    assert chain.send(owner, "commission_set", CommissionSet(0, 50_001)) == "CommissionChangeTooGreat"
    assert chain.send(owner, "commission_set", CommissionSet(0, 50_000)) == ""
    assert chain.send(owner, "commission_set", CommissionSet(0, 100_000)) == "CommissionChangeTooGreat"
    assert [commission_at(chain.validator(0), epoch) for epoch in (0, 1)] == [0, 50_000]
    chain.go_to(1)
    assert chain.send(owner, "commission_set", CommissionSet(0, 100_000)) == ""
    assert [commission_at(chain.validator(0), epoch) for epoch in (1, 2)] == [50_000, 100_000]


def test_L22_consensus_key_may_not_set_commission_or_rotate(chain: StakingChain) -> None:
    consensus = chain.validator_keys[0]
    chain.give(consensus, NXT)
    assert chain.send(consensus, "commission_set", CommissionSet(0, 10)) == "NotWithdrawalKey"
    assert chain.send(consensus, "key_rotate", chain.rotation(0, 0)) == "NotWithdrawalKey"
    assert chain.send(chain.accounts[0], "validator_exit", ValidatorExit(0)) == "NotValidatorsKey"


def test_L22_withdrawal_key_rotates_the_consensus_key_and_the_old_one_stays_provable(
    chain: StakingChain,
) -> None:
    old, new = chain.validator_keys[0].public_key, key_pair(chain.seed, "rotated", 0).public_key
    chain.go_to(2)
    assert chain.send(chain.owners[0], "key_rotate", chain.rotation(0, 0)) == ""
    record = chain.validator(0)
    assert record.consensus_key == new
    assert [key_at(record, epoch) for epoch in (0, 2, 3)] == [old, old, new]
    assert keys_at(record, 6, 4) == (new, old)
    assert keys_at(record, 7, 4) == (new,)
    assert keys_at(record, 40, 4, 2) == (new, old), "not final yet: all schedules ask for the old one"
    assert keys_at(record, 40, 4, 3) == (new,)
    assert (record.onion_generation, record.onion_epoch) == (0, 2)
    assert chain.snapshot.validators[0].consensus_key == old
    chain.go_to(3)
    assert chain.snapshot.validators[0].consensus_key == new


def test_rotations_are_bounded_by_the_evidence_window(chain: StakingChain) -> None:
    reasons = [chain.send(chain.owners[0], "key_rotate", chain.rotation(0, number)) for number in range(9)]
    assert reasons == [""] * 8 + ["TooManyRotations"]
    chain.go_to(13)
    assert chain.send(chain.owners[0], "key_rotate", chain.rotation(0, 9)) == ""


def test_onion_renewed_by_the_consensus_key_is_of_the_next_generation(chain: StakingChain) -> None:
    consensus = chain.validator_keys[1]
    chain.give(consensus, NXT)
    chain.go_to(2)
    tip = onion_layer(onion_secret(consensus.seed, 1), ONION_LAYERS)
    assert chain.send(consensus, "onion_renew", OnionRenew(1, tip, ONION_LAYERS)) == ""
    assert chain.send(consensus, "onion_renew", OnionRenew(1, tip, ONION_LAYERS)) == "SameOnion"
    record = chain.validator(1)
    assert (record.onion_tip, record.onion_generation, record.onion_epoch) == (tip, 1, 2)


@pytest.mark.parametrize("by_consensus_key", [True, False])
def test_L22_either_key_can_exit_and_the_stake_goes_home_to_the_withdrawal_address(
    chain: StakingChain, by_consensus_key: bool
) -> None:
    key = chain.validator_keys[0] if by_consensus_key else chain.owners[0]
    chain.give(chain.validator_keys[0], NXT)
    assert chain.send(key, "validator_exit", ValidatorExit(0)) == ""
    assert chain.send(key, "validator_exit", ValidatorExit(0)) == "ValidatorExited"
    assert chain.validator(0).status == EXITING
    assert chain.validator(0).stake_units == 0
    chain.go_to(1)
    assert 0 not in chain.stakes
    assert chain.snapshot.validators[0].index == 0, "its key is known while its faults can be proved"
    chain.go_to(12)
    assert chain.validator(0).status == EXITING
    chain.go_to(13)
    assert chain.validator(0).status == EXITED
    assert [one.index for one in chain.snapshot.validators] == [1, 2, 3]


def test_jail_ends_after_its_time_by_unjail_and_through_the_activation_delay(chain: StakingChain) -> None:
    owner = chain.owners[0]
    assert chain.send(owner, "unjail", Unjail(0)) == "NotJailed"
    jail(chain, 0)
    assert chain.validator(0).status == JAILED
    assert chain.send(owner, "unjail", Unjail(0)) == "StillJailed"
    chain.go_to(8)
    assert 0 not in chain.stakes
    assert chain.send(owner, "unjail", Unjail(0)) == "SelfStakeTooLow"
    chain.give(owner, 2_000 * NXT)

    assert chain.send(owner, "delegate", Delegate(0, 1_000 * NXT)) == ""
    assert chain.send(owner, "unjail", Unjail(0)) == ""
    assert chain.validator(0).status == REGISTERED
    chain.go_to(11)
    assert 0 not in chain.stakes
    chain.go_to(12)
    assert 0 in chain.stakes
    assert chain.faults() == ()


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        ("commission_set", CommissionSet(9, 1)),
        ("onion_renew", OnionRenew(9, bytes(32), 1)),
        ("validator_exit", ValidatorExit(9)),
        ("unjail", Unjail(9)),
    ],
)
def test_unknown_validator_is_named(chain: StakingChain, kind: str, payload: Any) -> None:
    assert chain.send(chain.accounts[0], kind, payload) == "UnknownValidator"
