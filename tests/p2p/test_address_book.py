"""The table of known addresses: bounds, buckets, what makes room, what is saved."""

import random

import pytest

from p2p.address_book import (
    BUCKET_SLOTS,
    GIVE_UP_FAILURES,
    MAX_ADDRESSES,
    MAX_ANCHORS,
    MAX_SAVED_BYTES,
    STALE_S,
    AddressBook,
)
from p2p.errors import AddressBookMalformed, AddressMalformed
from p2p.peer_records import PeerRecord

KEY = bytes(range(16))


def sybil(number: int) -> str:
    """Different hosts and peers, all of 203.0.0.0/16."""
    return f"/ip4/203.0.{number // 250}.{number % 250 + 1}/tcp/4001/p2p/sybil-{number}"


def elsewhere(number: int) -> str:
    """Each in a /16 of its own."""
    return f"/ip4/{20 + number // 200}.{number % 200}.1.1/tcp/4001/p2p/peer-{number}"


@pytest.mark.parametrize("seed", range(10))
def test_N1_a_thousand_sybils_of_one_slash_16_hold_at_most_an_eighth_of_the_table(seed: int) -> None:
    book = AddressBook(random.Random(seed).randbytes(16))
    for number in range(1_000):
        book.add(sybil(number), now_s=number)
    assert 16 <= len(book) <= MAX_ADDRESSES * 0.125


def test_N1_sybils_that_answer_hold_no_more() -> None:
    book = AddressBook(KEY)
    for number in range(5_000):
        book.add(sybil(number), now_s=number)
        book.succeeded(sybil(number), now_s=number)
    assert len(book) <= MAX_ADDRESSES * 0.125


def test_N1_sybils_of_one_slash_16_do_not_displace_a_working_address() -> None:
    book = AddressBook(KEY)
    for number in range(300):
        if book.add(elsewhere(number), now_s=0):
            book.succeeded(elsewhere(number), now_s=0)
    before = [entry.address for entry in book.known()]
    for number in range(5_000):
        book.add(sybil(number), now_s=1)
    assert all(book.get(address) is not None for address in before)


def test_N1_a_draw_follows_buckets_and_not_numbers() -> None:
    book = AddressBook(KEY)
    for number in range(1_000):
        book.add(sybil(number), now_s=0)
    for number in range(60):
        book.add(elsewhere(number), now_s=0)
    rng = random.Random(1)
    drawn = [book.draw(rng, 1, ())[0].peer_id.startswith("sybil") for _ in range(2_000)]
    assert len([entry for entry in book.known() if entry.peer_id.startswith("sybil")]) > 60
    assert sum(drawn) / len(drawn) < 0.25


def test_the_buckets_cannot_be_guessed_without_the_key() -> None:
    def bucket_mates(key: bytes) -> list[str]:
        book = AddressBook(key)
        for number in range(400):
            book.add(elsewhere(number), now_s=0)
        return sorted(next(bucket for bucket in book._buckets if elsewhere(0) in bucket))

    assert bucket_mates(bytes(16)) != bucket_mates(bytes(15) + b"\1")


def test_the_table_never_exceeds_its_places() -> None:
    book = AddressBook(KEY)
    for number in range(20_000):
        book.add(f"/memory/n{number}/p2p/n{number}", now_s=number)
    assert MAX_ADDRESSES - 64 < len(book) <= MAX_ADDRESSES
    assert all(len(bucket) <= BUCKET_SLOTS for bucket in book._buckets)


def full_of_working(book: AddressBook, now_s: float) -> list[str]:
    """Fill the table until no bucket takes a new address."""
    added = []
    for number in range(5_000):
        address = f"/memory/n{number}/p2p/n{number}"
        if book.add(address, now_s=now_s):
            book.succeeded(address, now_s=now_s)
            added.append(address)
    return added


def test_a_full_bucket_of_working_addresses_takes_no_new_one() -> None:
    book = AddressBook(KEY)
    added = full_of_working(book, now_s=0)
    assert len(added) == MAX_ADDRESSES
    assert not any(book.add(f"/memory/x{number}/p2p/x{number}", now_s=1) for number in range(200))


def test_an_address_that_failed_three_times_makes_room() -> None:
    book = AddressBook(KEY)
    added = full_of_working(book, now_s=0)
    for _ in range(GIVE_UP_FAILURES):
        book.failed(added[7])
    taken = [number for number in range(5_000) if book.add(f"/memory/x{number}/p2p/x{number}", now_s=1)]
    assert taken
    assert book.get(added[7]) is None
    assert all(book.get(address) is not None for address in added if address != added[7])


def test_an_address_that_last_worked_a_week_ago_makes_room() -> None:
    book = AddressBook(KEY)
    full_of_working(book, now_s=0)
    assert book.add("/memory/x/p2p/x", now_s=STALE_S + 1)


def test_a_success_forgets_the_failures() -> None:
    book = AddressBook(KEY)
    book.add(sybil(1), now_s=5)
    book.failed(sybil(1))
    book.failed(sybil(1))
    book.succeeded(sybil(1), now_s=9)
    entry = book.get(sybil(1))
    assert entry is not None
    assert (entry.failures, entry.last_success_s, entry.added_s) == (0, 9, 5)


def test_a_draw_gives_each_address_once_and_none_that_is_skipped() -> None:
    book = AddressBook(KEY)
    for number in range(50):
        book.add(elsewhere(number), now_s=0)
    drawn = [entry.address for entry in book.draw(random.Random(3), 100, {elsewhere(0), elsewhere(1)})]
    assert sorted(drawn) == sorted(elsewhere(number) for number in range(2, 50))
    assert drawn == [
        entry.address for entry in book.draw(random.Random(3), 100, {elsewhere(0), elsewhere(1)})
    ]


@pytest.mark.parametrize("address", ["/memory/a", "/ip4/1.2.3.4/tcp/1", "nonsense"])
def test_an_address_without_a_peer_id_is_refused(address: str) -> None:
    with pytest.raises(AddressMalformed):
        AddressBook(KEY).add(address, now_s=0)


def test_N1_a_saved_book_comes_back_whole_with_its_anchors() -> None:
    book = AddressBook(KEY)
    for number in range(2_000):
        book.add(elsewhere(number % 900) if number % 2 else sybil(number), now_s=number)
    for number in range(0, 900, 3):
        book.succeeded(elsewhere(number), now_s=5_000)
        book.failed(elsewhere(number + 1))
        book.keep_record(PeerRecord(elsewhere(number), 2_000_000_000 + number, bytes([number % 256]) * 64))
    book.set_anchors([elsewhere(number) for number in range(9)])
    again = AddressBook.from_bytes(book.to_bytes())
    assert again.known() == book.known()
    assert again.anchors == tuple(elsewhere(number) for number in range(MAX_ANCHORS))
    assert again._places == book._places


def test_C1_a_damaged_saved_book_is_reported_and_nothing_else_raised() -> None:
    book = AddressBook(KEY)
    for number in range(40):
        book.add(elsewhere(number), now_s=number)
        book.keep_record(PeerRecord(elsewhere(number), number, bytes(64)))
    book.set_anchors([elsewhere(0)])
    saved = book.to_bytes()
    rng = random.Random(1)
    refused = 0
    for _ in range(3_000):
        damaged = bytearray(saved)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        if rng.random() < 0.2:
            del damaged[rng.randrange(len(damaged)) :]
        try:
            AddressBook.from_bytes(bytes(damaged))
        except AddressBookMalformed:
            refused += 1
    assert refused > 500


def test_a_saved_book_above_its_size_is_refused_unread() -> None:
    with pytest.raises(AddressBookMalformed, match=str(MAX_SAVED_BYTES)):
        AddressBook.from_bytes(bytes(MAX_SAVED_BYTES + 1))
