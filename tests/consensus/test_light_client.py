"""The light client on a real chain of several epochs: it reaches what is final, and no changed proof passes."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from random import Random

import msgspec
import pytest
from builders.proofs import ProvedChain, proved_chain

from consensus.blocks import core_id, encode_core
from consensus.certificates import Certificate, interference_digest, make_certificate
from consensus.light_client import (
    FINALITY_PROOF_CODEC,
    FinalityProof,
    LightClientRefused,
    SnapshotUnknown,
    Trusted,
    _schedule,
    follow,
    follow_all,
    learn,
    trust_checkpoint,
    verify_account,
    verify_value,
)
from consensus.proof_making import make_finality_proof
from consensus.proof_store import earlier_snapshots, read_finality_proof, read_proofs
from consensus.votes import Checkpoint, VoteCore, sign_vote
from ledger.accounts import decode_account
from ledger.addresses import address_of
from ledger.errors import LedgerError
from ledger.staking.snapshot import SNAPSHOT_KEY
from ledger.state import account_key
from ledger.state_commitment import StateProof

SLOTS = 90


@cache
def lived() -> ProvedChain:
    return proved_chain(3, SLOTS, odd=0.3)


def after(count: int) -> Trusted:
    return follow_all(lived().trusted, lived().proofs[:count])


def account_proof(chain: ProvedChain, number: int) -> tuple[bytes, bytes | None, bytes]:
    address = address_of(chain.chain.accounts[number].public_key)
    (proved,) = chain.state.prove(chain.engine.stores.store, (account_key(address),))
    return address, proved.value, proved.proof.to_bytes()


def reached() -> Trusted:
    """What the proofs of all epochs lead to, and the one of the finalised state."""
    chain = lived()
    newest = finality_of_state(chain)
    trusted = follow_all(chain.trusted, chain.proofs)
    return trusted if trusted.finalised == chain.state.checkpoint else follow(trusted, newest)


def finality_of_state(chain: ProvedChain) -> FinalityProof:
    proof = make_finality_proof(chain.engine.stores.store, chain.state)
    assert proof is not None
    return proof


def test_the_proofs_of_all_epochs_lead_from_genesis_to_the_finalised_state() -> None:
    chain = lived()
    assert len(chain.proofs) >= 8
    trusted = reached()
    assert trusted.finalised == chain.engine.finalised
    assert 3 * trusted.signed_units > 2 * trusted.total_units > 0
    # Several snapshots were handed over: the last certificates rest on one that genesis did not name.
    assert chain.proofs[-1].justifying.snapshot_epoch > 3


def test_an_account_is_proved_with_the_balance_that_was_final() -> None:
    chain = lived()
    trusted = reached()
    address, value, proof = account_proof(chain, 0)
    account = verify_account(trusted, address, value, proof)
    now = chain.engine.stores.ledger.get(account_key(address))
    assert now is not None
    # It has paid since: what is proved is older than the sink.
    assert account.nonce < decode_account(now).nonce
    assert account.balance > decode_account(now).balance


def test_the_absence_of_an_account_is_proved() -> None:
    chain = lived()
    trusted = reached()
    (absent,) = chain.state.prove(chain.engine.stores.store, (account_key(bytes(20)),))
    assert absent.value is None
    assert verify_account(trusted, bytes(20), None, absent.proof.to_bytes()).balance == 0
    with pytest.raises(LightClientRefused):
        verify_account(trusted, bytes(20), bytes(16), absent.proof.to_bytes())


@pytest.mark.parametrize("at", [1, 4, 7])
def test_from_a_checkpoint_the_rest_of_the_chain_is_followed(at: int) -> None:
    chain = lived()
    proof = chain.proofs[at]
    trusted = trust_checkpoint(chain.trusted, proof.justifying.target, proof)
    assert trusted.total_units == 0
    for earlier in chain.proofs[:at]:
        trusted = learn(trusted, earlier.snapshot)
    for later in chain.proofs[at + 1 :]:
        trusted = follow(trusted, later)
    assert trusted.finalised == chain.proofs[-1].justifying.target


def test_a_checkpoint_without_the_snapshots_before_it_passes_over_what_it_cannot_check() -> None:
    chain = lived()
    at = 5
    trusted = trust_checkpoint(chain.trusted, chain.proofs[at].justifying.target, chain.proofs[at])
    with pytest.raises(SnapshotUnknown):
        follow(trusted, chain.proofs[at + 1])
    with pytest.raises(SnapshotUnknown):
        follow_all(trusted, chain.proofs[at + 1 : at + 2])
    epoch = chain.proofs[at].header.slot // chain.chain.params.epoch_slots
    later = [
        found
        for found, proof in enumerate(chain.proofs)
        if {proof.justifying.snapshot_epoch, proof.finalising.snapshot_epoch} == {epoch}
    ]
    for found in later:
        reached_then = follow_all(trusted, chain.proofs[at + 1 : found + 1])
        assert reached_then.finalised == chain.proofs[found].justifying.target


def test_a_checkpoint_with_the_header_of_another_block_is_refused() -> None:
    chain = lived()
    target = chain.proofs[3].justifying.target
    with pytest.raises(LightClientRefused, match="the header is of block"):
        trust_checkpoint(chain.trusted, target, chain.proofs[4])
    with pytest.raises(LightClientRefused):
        trust_checkpoint(chain.trusted, Checkpoint(target.period - 1, target.block_id), chain.proofs[3])


def test_a_snapshot_that_the_state_does_not_name_is_not_learned() -> None:
    chain = lived()
    trusted = after(4)
    with pytest.raises(LightClientRefused, match="none that the finalised state names"):
        learn(trusted, chain.proofs[6].snapshot)


# tampering ------------------------------------------------------------------------------------------------------------


def refused(trusted: Trusted, raw: bytes) -> bool:
    """Whether the bytes are no proof, or one that does not follow."""
    try:
        follow(trusted, FINALITY_PROOF_CODEC.decode(raw))
    except (LedgerError, LightClientRefused):
        return True
    return False


@pytest.mark.parametrize("seed", range(4))
def test_no_proof_survives_a_changed_byte(seed: int) -> None:
    rng = Random(seed)
    at = rng.randrange(3, len(lived().proofs))
    trusted, raw = after(at), FINALITY_PROOF_CODEC.encode(lived().proofs[at])
    assert not refused(trusted, raw)
    for position in rng.sample(range(len(raw)), 150):
        changed = bytearray(raw)
        changed[position] ^= 1 << rng.randrange(8)
        assert refused(trusted, bytes(changed)), position


@pytest.mark.parametrize("name", FinalityProof.__struct_fields__)
def test_no_proof_survives_a_part_of_another_one(name: str) -> None:
    proofs = lived().proofs
    for at in range(3, 8):
        for other in range(2, 8):
            if other == at:
                continue
            mixed = msgspec.structs.replace(proofs[at], **{name: getattr(proofs[other], name)})
            assert refused(after(at), FINALITY_PROOF_CODEC.encode(mixed)), (at, other)


def without_voters(certificate: Certificate, count: int) -> Certificate:
    votes = certificate.votes[count:]
    return msgspec.structs.replace(certificate, votes=votes, interference=interference_digest(votes))


TAMPERINGS: dict[str, Callable[[FinalityProof], FinalityProof]] = {
    "two_of_six_votes_fewer": lambda proof: msgspec.structs.replace(
        proof, finalising=without_voters(proof.finalising, 2)
    ),
    "a_vote_counted_twice": lambda proof: msgspec.structs.replace(
        proof,
        justifying=msgspec.structs.replace(
            proof.justifying, votes=(*proof.justifying.votes, proof.justifying.votes[-1])
        ),
    ),
    "certificates_exchanged": lambda proof: msgspec.structs.replace(
        proof, justifying=proof.finalising, finalising=proof.justifying
    ),
    "one_certificate_for_both": lambda proof: msgspec.structs.replace(proof, finalising=proof.justifying),
    "another_snapshot_epoch": lambda proof: msgspec.structs.replace(
        proof,
        justifying=msgspec.structs.replace(
            proof.justifying, snapshot_epoch=proof.justifying.snapshot_epoch + 1
        ),
    ),
    "votes_before_the_known_checkpoint": lambda proof: msgspec.structs.replace(
        proof,
        justifying=msgspec.structs.replace(proof.justifying, source=Checkpoint(1, bytes(32))),
    ),
    "no_history": lambda proof: msgspec.structs.replace(proof, history=b"", snapshot=b""),
}


@pytest.mark.parametrize("name", TAMPERINGS)
def test_a_tampered_proof_is_refused(name: str) -> None:
    proof = TAMPERINGS[name](lived().proofs[5])
    with pytest.raises(LightClientRefused):
        follow(after(5), proof)


def test_an_older_proof_is_refused_after_a_newer_one() -> None:
    for older in lived().proofs[:6]:
        with pytest.raises(LightClientRefused, match="is known already"):
            follow(after(6), older)


def forged(chain: ProvedChain, proof: FinalityProof, keys: range, snapshot_epoch: int) -> FinalityProof:
    """Everything as it should be, for a header with another state root, signed by `keys` only."""
    header = msgspec.structs.replace(proof.header, receipts_root=bytes(32))
    target = Checkpoint(proof.justifying.target.period, core_id(encode_core(header)))
    following = Checkpoint(target.period + 1, bytes([7]) * 32)
    trusted = after(5)

    def certificate(like: Certificate, source: Checkpoint, to: Checkpoint) -> Certificate:
        stated = msgspec.structs.replace(like, snapshot_epoch=snapshot_epoch)
        schedule = _schedule(trusted, stated)
        votes = [
            sign_vote(
                VoteCore(number, schedule.seats[number].band, source, to),
                chain.chain.keys[number],
                chain.chain.params.genesis_hash,
            )
            for number in keys
        ]
        return make_certificate(source, to, schedule, snapshot_epoch, votes)

    return msgspec.structs.replace(
        proof,
        header=header,
        justifying=certificate(proof.justifying, proof.justifying.source, target),
        finalising=certificate(proof.finalising, target, following),
    )


def test_two_thirds_of_the_stake_are_not_enough_to_forge_a_checkpoint_and_more_are() -> None:
    chain = lived()
    proof = chain.proofs[5]
    epoch = proof.justifying.snapshot_epoch
    with pytest.raises(LightClientRefused, match="units signed"):
        follow(after(5), forged(chain, proof, range(4), epoch))
    # What no light client can know: with more than two thirds of the keys any chain is the right one.
    assert follow(after(5), forged(chain, proof, range(6), epoch)).finalised != proof.justifying.target


def test_L17_votes_of_validators_whose_stake_is_free_by_now_prove_nothing() -> None:
    chain = lived()
    proof = chain.proofs[7]
    trusted = after(7)
    old = replace(trusted.params, unbonding_epochs=2)
    with pytest.raises(LightClientRefused, match="stake is free after 2"):
        follow(replace(trusted, params=old), proof)


def test_a_state_proof_of_another_key_or_root_or_value_is_refused() -> None:
    chain = lived()
    trusted = reached()
    address, value, proof = account_proof(chain, 1)
    other_address, other_value, other_proof = account_proof(chain, 7)
    assert value is not None
    verify_account(trusted, address, value, proof)
    richer = (int.from_bytes(value[:8], "big") + 1).to_bytes(8, "big") + value[8:]
    for claim in (
        (address, richer, proof),
        (address, None, proof),
        (address, other_value, proof),
        (address, value, other_proof),
        (other_address, value, proof),
        (address, value, proof[:-1]),
        (address, value, b""),
    ):
        with pytest.raises(LightClientRefused):
            verify_account(trusted, *claim)
    with pytest.raises(LightClientRefused):
        verify_account(after(3), address, value, proof)
    rng = Random(1)
    for position in rng.sample(range(len(proof)), 60):
        changed = bytearray(proof)
        changed[position] ^= 1 << rng.randrange(8)
        with pytest.raises(LightClientRefused):
            verify_account(trusted, address, value, bytes(changed))


# the store ------------------------------------------------------------------------------------------------------------


def test_stored_proofs_are_those_that_were_made_one_an_epoch() -> None:
    chain = lived()
    store, params = chain.engine.stores.store, chain.engine.params
    epochs = [proof.header.slot // params.epoch_slots for proof in chain.proofs]
    assert epochs == list(range(1, len(epochs) + 1))
    assert [read_finality_proof(store, epoch) for epoch in epochs] == chain.proofs
    page = read_proofs(store, 3, limit=4, max_bytes=2**20)
    assert [FINALITY_PROOF_CODEC.decode(raw) for raw in page.proofs] == chain.proofs[2:6]
    assert page.next_epoch == 7
    assert len(read_proofs(store, 0, limit=99, max_bytes=1).proofs) == 1
    assert earlier_snapshots(store, 4, count=2) == (chain.proofs[1].snapshot, chain.proofs[2].snapshot)


def test_the_snapshot_in_a_proof_is_the_one_in_the_state() -> None:
    chain = lived()
    (snapshot,) = chain.state.prove(chain.engine.stores.store, (SNAPSHOT_KEY,))
    verify_value(chain.state.header.state_root, SNAPSHOT_KEY, snapshot.value, snapshot.proof.to_bytes())
    assert isinstance(snapshot.proof, StateProof)
