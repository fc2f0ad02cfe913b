"""Bans over a restart: the bytes beside the address book."""

import random

import pytest

from p2p.errors import SavedBansMalformed
from p2p.peers import Fault, PeerBook, ScoreRules
from p2p.saved_bans import MAX_SAVED_BYTES, restore_bans, save_bans

DAY_S = ScoreRules().ban_duration_s


def banned_book() -> PeerBook:
    """A peer and its neighbourhood banned at 1,000 s of the book's clock, another peer for an hour."""
    book = PeerBook()
    book.report("bad", Fault.MALFORMED, 1_000.0, ("/ip4/203.0.113.8/tcp/1",))
    book.ban("rude", 1_000.0, reason="by hand", duration_s=3_600)
    return book


def restored(saved: bytes, unix_s: float, now_s: float = 5.0) -> PeerBook:
    """A new run's book."""
    book = PeerBook()
    restore_bans(saved, book, now_s=now_s, unix_s=unix_s)
    return book


def test_bans_hold_over_a_restart_and_end_when_they_would_have_ended() -> None:
    saved = save_bans(banned_book().bans(1_600.0), 7_000_000.0)
    book = restored(saved, 7_000_100.0)
    left = {ban.subject: (ban.remaining_s, ban.reason) for ban in book.bans(5.0)}
    assert left == {
        "bad": (DAY_S - 700, "malformed"),
        "203.0.113.0/24": (DAY_S - 700, "malformed"),
        "rude": (2_900, "by hand"),
    }
    assert book.is_banned("other", 5.0, ("/ip4/203.0.113.9/tcp/1",))
    assert not book.is_banned("bad", 5.0 + DAY_S - 700)


def test_a_ban_that_ended_meanwhile_is_forgotten() -> None:
    saved = save_bans(banned_book().bans(1_000.0), 7_000_000.0)
    assert [ban.subject for ban in restored(saved, 7_003_600.0).bans(5.0)] == ["203.0.113.0/24", "bad"]
    assert restored(saved, 7_000_000.0 + DAY_S).bans(5.0) == ()


def test_a_clock_that_was_set_back_makes_no_ban_longer() -> None:
    saved = save_bans(banned_book().bans(1_000.0), 7_000_000.0)
    assert max(ban.remaining_s for ban in restored(saved, 1.0).bans(5.0)) == DAY_S


def test_scores_begin_anew() -> None:
    book = PeerBook()
    book.report("suspect", Fault.INVALID, 0.0)
    again = restored(save_bans(book.bans(0.0), 0.0), 0.0)
    assert len(again) == 0


def test_as_many_bans_as_a_book_holds_are_kept() -> None:
    book = PeerBook()
    for number in range(5_000):
        book.ban(f"peer-{number:05}", 0.0, reason="x" * 400)
    saved = save_bans(book.bans(0.0), 0.0)
    assert len(saved) <= MAX_SAVED_BYTES
    assert len(restored(saved, 0.0).bans(5.0)) == 4_096


def test_C1_damaged_bans_are_reported_and_nothing_else_raised() -> None:
    saved = save_bans(banned_book().bans(1_000.0), 7_000_000.0)
    rng = random.Random(1)
    refused = 0
    for _ in range(3_000):
        damaged = bytearray(saved)
        for _ in range(rng.randrange(1, 4)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        try:
            restored(bytes(damaged), 7_000_000.0)
        except SavedBansMalformed:
            refused += 1
    assert refused > 500
    with pytest.raises(SavedBansMalformed, match=str(MAX_SAVED_BYTES)):
        restored(bytes(MAX_SAVED_BYTES + 1), 0.0)
