"""The signing record: slots of a key strictly increase, over restarts, power cuts and clocks that step back."""

import random
from itertools import pairwise

import pytest
from builders.wallets import key_number
from faults.faulty_store import Crash, FaultyDisk

from ledger.storage.errors import StoreWriteFailed
from ledger.storage.memory import MemoryStore
from ledger.storage.store import WriteBatch
from node.signer import AlreadySigned, BlockSigner, SigningRecordCorrupted

KEY, OTHER = key_number(1), key_number(2)


def test_a_slot_is_signed_once() -> None:
    signer = BlockSigner(MemoryStore())
    assert signer.sign_once(KEY, 5, lambda key: key.public_key) == KEY.public_key
    with pytest.raises(AlreadySigned):
        signer.sign_once(KEY, 5, lambda key: pytest.fail("signed twice"))


def test_R16_after_the_clock_steps_back_signing_waits() -> None:
    signer = BlockSigner(MemoryStore())
    signer.claim(KEY.public_key, 100)
    for slot in (1, 99, 100):
        with pytest.raises(AlreadySigned):
            signer.claim(KEY.public_key, slot)
    signer.claim(KEY.public_key, 101)


def test_keys_do_not_hinder_each_other() -> None:
    signer = BlockSigner(MemoryStore())
    signer.claim(KEY.public_key, 9)
    signer.claim(OTHER.public_key, 9)
    assert signer.last_slot(KEY.public_key) == signer.last_slot(OTHER.public_key) == 9


def test_nothing_is_signed_when_the_record_cannot_be_written() -> None:
    disk = FaultyDisk(1)
    signer = BlockSigner(disk.open())
    disk.fail_write(1)
    with pytest.raises(StoreWriteFailed):
        signer.sign_once(KEY, 5, lambda key: pytest.fail("signed without a record"))


def test_a_damaged_record_stops_the_key() -> None:
    store = MemoryStore()
    batch = WriteBatch()
    batch.put(b"p" + KEY.public_key, b"short")
    store.write(batch, sync=True)
    with pytest.raises(SigningRecordCorrupted):
        BlockSigner(store).claim(KEY.public_key, 10**9)


@pytest.mark.parametrize("seed", range(5))
def test_R19_no_slot_is_signed_twice_over_random_crashes(seed: int) -> None:
    chance = random.Random(seed)
    disk = FaultyDisk(seed)
    signer = BlockSigner(disk.open())
    signed: list[int] = []
    clock = 10
    for _ in range(400):
        clock += chance.choice((-3, 1, 1, 1, 1, 1))
        if chance.random() < 0.1:
            disk.crash(chance.choice(list(Crash)))
            signer = BlockSigner(disk.open())
        if chance.random() < 0.05:
            disk.fail_write(1)
        try:
            signer.sign_once(KEY, max(clock, 1), lambda key, slot=clock: signed.append(slot))
        except AlreadySigned:
            continue
        except StoreWriteFailed:
            disk.crash(chance.choice(list(Crash)))
            signer = BlockSigner(disk.open())
    assert len(signed) > 40
    assert all(one < other for one, other in pairwise(signed))
