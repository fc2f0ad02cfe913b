"""What the slashing-protection store allows a key to sign: never anything against itself, and the same thing again."""

import pytest
from builders.signing import CHAIN, OTHER_CHAIN
from builders.wallets import key_number
from faults.faulty_store import Crash, FaultyDisk

from ledger.storage.errors import StoreWriteFailed, WrongGenesis
from ledger.storage.memory import MemoryStore
from ledger.storage.store import WriteBatch
from node.signing.errors import (
    AlreadySigned,
    AlreadyVoted,
    SigningRecordCorrupted,
    SourceNotBelowTarget,
    SurroundRefused,
)
from node.signing.protection import KeyHistory, LastBlock, LastVote, SigningProtection

KEY, OTHER = key_number(1).public_key, key_number(2).public_key
ROOT, OTHER_ROOT = b"r" * 32, b"o" * 32


@pytest.fixture
def protection() -> SigningProtection:
    return SigningProtection(MemoryStore(), CHAIN)


def test_a_slot_belongs_to_one_block(protection: SigningProtection) -> None:
    protection.claim_block(KEY, 5, ROOT)
    with pytest.raises(AlreadySigned):
        protection.claim_block(KEY, 5, OTHER_ROOT)


def test_the_same_block_may_be_signed_again(protection: SigningProtection) -> None:
    protection.claim_block(KEY, 5, ROOT)
    protection.claim_block(KEY, 5, ROOT)
    assert protection.last_block(KEY) == LastBlock(5, ROOT)


def test_the_same_block_is_not_signed_again_after_a_later_one(protection: SigningProtection) -> None:
    protection.claim_block(KEY, 5, ROOT)
    protection.claim_block(KEY, 6, OTHER_ROOT)
    with pytest.raises(AlreadySigned):
        protection.claim_block(KEY, 5, ROOT)


def test_R16_after_the_clock_steps_back_signing_waits(protection: SigningProtection) -> None:
    protection.claim_block(KEY, 100, ROOT)
    for slot in (-1, 0, 1, 99, 100):
        with pytest.raises(AlreadySigned):
            protection.claim_block(KEY, slot, OTHER_ROOT)
    protection.claim_block(KEY, 101, OTHER_ROOT)


@pytest.mark.parametrize("slot", [-1, 0, 2**63, 2**64, 2**80])
def test_no_slot_is_signed_that_no_block_can_have(protection: SigningProtection, slot: int) -> None:
    with pytest.raises(AlreadySigned):
        protection.claim_block(KEY, slot, ROOT)
    assert protection.last_block(KEY) is None


def test_L18_a_period_belongs_to_one_vote(protection: SigningProtection) -> None:
    protection.claim_vote(KEY, 3, 4, ROOT)
    protection.claim_vote(KEY, 3, 4, ROOT)
    for root, source in ((OTHER_ROOT, 3), (ROOT, 2), (OTHER_ROOT, 2)):
        with pytest.raises(AlreadyVoted):
            protection.claim_vote(KEY, source, 4, root)


def test_L18_an_earlier_period_is_closed(protection: SigningProtection) -> None:
    protection.claim_vote(KEY, 3, 7, ROOT)
    with pytest.raises(AlreadyVoted):
        protection.claim_vote(KEY, 3, 5, OTHER_ROOT)


def test_a_source_never_falls(protection: SigningProtection) -> None:
    protection.claim_vote(KEY, 3, 4, ROOT)
    with pytest.raises(SurroundRefused):
        protection.claim_vote(KEY, 2, 5, ROOT)
    protection.claim_vote(KEY, 3, 5, ROOT)
    protection.claim_vote(KEY, 5, 6, ROOT)


@pytest.mark.parametrize(("source", "target"), [(4, 4), (5, 4), (0, 0), (-1, 4), (0, 2**63)])
def test_a_vote_leads_from_earlier_to_later(protection: SigningProtection, source: int, target: int) -> None:
    with pytest.raises(SourceNotBelowTarget):
        protection.claim_vote(KEY, source, target, ROOT)


def test_keys_blocks_and_votes_do_not_hinder_each_other(protection: SigningProtection) -> None:
    protection.claim_block(KEY, 9, ROOT)
    protection.claim_vote(KEY, 0, 1, ROOT)
    protection.claim_block(OTHER, 8, ROOT)
    assert list(protection.histories()) == sorted(
        [
            KeyHistory(KEY, LastBlock(9, ROOT), LastVote(0, 1, ROOT)),
            KeyHistory(OTHER, LastBlock(8, ROOT)),
        ],
        key=lambda history: history.public_key,
    )


def test_a_claim_whose_write_failed_is_no_claim() -> None:
    disk = FaultyDisk(1)
    protection = SigningProtection(disk.open(), CHAIN)
    disk.fail_write(1)
    with pytest.raises(StoreWriteFailed):
        protection.claim_block(KEY, 5, ROOT)
    with pytest.raises(StoreWriteFailed):
        protection.claim_block(KEY, 6, ROOT)


def test_R19_a_claim_survives_a_power_cut() -> None:
    disk = FaultyDisk(1)
    protection = SigningProtection(disk.open(), CHAIN)
    protection.claim_block(KEY, 5, ROOT)
    protection.claim_vote(KEY, 0, 1, ROOT)
    assert disk.unsynced_batches() == 0
    disk.crash(Crash.DROP_UNSYNCED)
    protection = SigningProtection(disk.open(), CHAIN)
    assert protection.history(KEY) == KeyHistory(KEY, LastBlock(5, ROOT), LastVote(0, 1, ROOT))


@pytest.mark.parametrize("size", [0, 1, 7, 9, 39, 41, 64])
def test_a_damaged_block_record_stops_the_key(size: int) -> None:
    store = MemoryStore()
    protection = SigningProtection(store, CHAIN)
    batch = WriteBatch()
    batch.put(b"p" + KEY, bytes(size))
    store.write(batch, sync=True)
    with pytest.raises(SigningRecordCorrupted):
        protection.claim_block(KEY, 10**9, ROOT)
    with pytest.raises(SigningRecordCorrupted):
        list(protection.histories())
    with pytest.raises(SigningRecordCorrupted):
        protection.raise_to([KeyHistory(KEY, LastBlock(10**9))])
    protection.claim_block(OTHER, 1, ROOT)


@pytest.mark.parametrize("size", [0, 8, 15, 17, 47, 49])
def test_a_damaged_vote_record_stops_the_key(size: int) -> None:
    store = MemoryStore()
    protection = SigningProtection(store, CHAIN)
    batch = WriteBatch()
    batch.put(b"v" + KEY, bytes(size))
    store.write(batch, sync=True)
    with pytest.raises(SigningRecordCorrupted):
        protection.claim_vote(KEY, 0, 10**9, ROOT)


def test_a_record_under_no_key_stops_the_listing() -> None:
    store = MemoryStore()
    protection = SigningProtection(store, CHAIN)
    batch = WriteBatch()
    batch.put(b"p" + KEY[:31], bytes(8))
    store.write(batch, sync=True)
    with pytest.raises(SigningRecordCorrupted):
        list(protection.histories())


def test_a_slot_without_a_root_is_closed(protection: SigningProtection) -> None:
    protection.raise_to([KeyHistory(KEY, LastBlock(5), LastVote(2, 3))])
    with pytest.raises(AlreadySigned):
        protection.claim_block(KEY, 5, ROOT)
    with pytest.raises(AlreadyVoted):
        protection.claim_vote(KEY, 2, 3, ROOT)


def test_a_store_of_another_chain_is_refused() -> None:
    store = MemoryStore()
    SigningProtection(store, CHAIN)
    SigningProtection(store, CHAIN)
    with pytest.raises(WrongGenesis):
        SigningProtection(store, OTHER_CHAIN)
