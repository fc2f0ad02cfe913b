"""Signing in this process: right signatures, only after the record, only with keys that are held."""

import pytest
from builders.signing import CHAIN, OTHER_CHAIN, block_core, vote_from
from builders.wallets import key_number
from faults.faulty_store import FaultyDisk

from consensus.blocks import block_preimage, core_of, header_id
from consensus.errors import BandUnknown
from consensus.votes import verify_vote_signature, vote_core
from ledger.errors import CodecError, NotEncodable
from ledger.keys import verify
from ledger.onion import MAX_ONION_LAYERS, onion_secret, onion_step
from ledger.storage.errors import StoreWriteFailed
from ledger.storage.memory import MemoryStore
from node.signing.errors import AlreadySigned, AlreadyVoted, KeyUnknown
from node.signing.local_signer import LocalSigner
from node.signing.protection import KeyHistory, LastBlock, SigningProtection
from node.signing.signer import block_signing_root, vote_signing_root

KEY, OTHER = key_number(1), key_number(2)


@pytest.fixture
def signer() -> LocalSigner:
    return LocalSigner([KEY], SigningProtection(MemoryStore(), CHAIN))


def test_a_signed_header_is_its_proposers(signer: LocalSigner) -> None:
    core = block_core(5, band=2)
    header = signer.sign_block(KEY.public_key, core)
    assert core_of(header) == core
    preimage = block_preimage(CHAIN, header_id(header), header.band_digest)
    verify(KEY.public_key, preimage, header.signature)


def test_a_signed_vote_is_its_validators(signer: LocalSigner) -> None:
    vote = signer.sign_vote(KEY.public_key, vote_from(2, 3))
    assert vote_core(vote) == vote_from(2, 3)
    verify_vote_signature(vote, KEY.public_key, CHAIN)


def test_the_same_message_gets_the_same_signature_again(signer: LocalSigner) -> None:
    assert signer.sign_block(KEY.public_key, block_core(5)) == signer.sign_block(
        KEY.public_key, block_core(5)
    )
    assert signer.sign_vote(KEY.public_key, vote_from(2, 3)) == signer.sign_vote(
        KEY.public_key, vote_from(2, 3)
    )


def test_L6_no_second_block_of_a_lane_is_signed(signer: LocalSigner) -> None:
    signer.sign_block(KEY.public_key, block_core(5))
    for other in (block_core(5, 1), block_core(5, 0, band=1)):
        with pytest.raises(AlreadySigned):
            signer.sign_block(KEY.public_key, other)


def test_L18_nothing_at_stake_one_vote_a_period_whatever_the_forks(signer: LocalSigner) -> None:
    signer.sign_vote(KEY.public_key, vote_from(2, 3, 0))
    for fork in range(1, 6):
        with pytest.raises(AlreadyVoted):
            signer.sign_vote(KEY.public_key, vote_from(2, 3, fork))


def test_a_key_that_is_not_held_signs_nothing(signer: LocalSigner) -> None:
    with pytest.raises(KeyUnknown):
        signer.sign_block(OTHER.public_key, block_core(5))
    with pytest.raises(KeyUnknown):
        signer.sign_vote(OTHER.public_key, vote_from(2, 3))
    with pytest.raises(KeyUnknown):
        signer.reveal(OTHER.public_key, 0, 5)
    assert signer.public_keys() == (KEY.public_key,)


def test_nothing_is_signed_when_the_record_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FaultyDisk(1)
    signer = LocalSigner([KEY], SigningProtection(disk.open(), CHAIN))
    monkeypatch.setattr(type(KEY), "sign", lambda *_: pytest.fail("signed without a record"))
    for sign in (
        lambda: signer.sign_block(KEY.public_key, block_core(5)),
        lambda: signer.sign_vote(KEY.public_key, vote_from(2, 3)),
    ):
        disk.fail_write(1)
        with pytest.raises(StoreWriteFailed):
            sign()


def test_the_record_is_on_the_disk_when_the_signature_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    disk = FaultyDisk(1)
    protection = SigningProtection(disk.open(), CHAIN)
    signer, really_sign = LocalSigner([KEY], protection), type(KEY).sign
    found: list[KeyHistory] = []

    def sign(key, message):  # type: ignore[no-untyped-def]
        assert disk.unsynced_batches() == 0
        found.append(protection.history(KEY.public_key))
        return really_sign(key, message)

    monkeypatch.setattr(type(KEY), "sign", sign)
    signer.sign_block(KEY.public_key, block_core(5))
    assert [one.block for one in found] == [LastBlock(5, block_signing_root(block_core(5), CHAIN))]
    signer.sign_vote(KEY.public_key, vote_from(2, 3))
    assert found[1].vote is not None
    assert found[1].vote.signing_root == vote_signing_root(vote_from(2, 3), CHAIN)


def test_signing_roots_tell_messages_chains_and_kinds_apart() -> None:
    roots = [
        root
        for chain in (CHAIN, OTHER_CHAIN)
        for root in (
            block_signing_root(block_core(5), chain),
            block_signing_root(block_core(5, 1), chain),
            block_signing_root(block_core(5, band=1), chain),
            vote_signing_root(vote_from(2, 3), chain),
            vote_signing_root(vote_from(2, 3, 1), chain),
        )
    ]
    assert len(set(roots)) == len(roots)


@pytest.mark.parametrize("band", [6, 200])
def test_a_core_of_no_band_costs_no_slot(signer: LocalSigner, band: int) -> None:
    with pytest.raises(BandUnknown):
        signer.sign_block(KEY.public_key, block_core(5, band=band))
    signer.sign_block(KEY.public_key, block_core(5))


def test_reveals_are_the_layers_of_the_keys_own_onion(signer: LocalSigner) -> None:
    outer, inner = signer.reveal(KEY.public_key, 1, 9), signer.reveal(KEY.public_key, 1, 8)
    assert onion_step(inner) == outer
    assert signer.reveal(KEY.public_key, 1, 0) == onion_secret(KEY.seed, 1)
    assert signer.reveal(KEY.public_key, 2, 8) != inner
    assert signer.reveal(KEY.public_key, 1, 9) == outer


@pytest.mark.parametrize(("generation", "layers"), [(0, -1), (0, MAX_ONION_LAYERS + 1), (-1, 5), (2**63, 5)])
def test_no_onion_is_as_thick_or_as_old_as_that(signer: LocalSigner, generation: int, layers: int) -> None:
    with pytest.raises(NotEncodable) as caught:
        signer.reveal(KEY.public_key, generation, layers)
    assert isinstance(caught.value, CodecError)
