"""Scores, forgiveness, bans."""

import pytest

from p2p.addresses import ban_groups
from p2p.peers import FAULT_POINTS, Fault, PeerBook, ScoreRules

DAY_S = 86_400


def test_every_fault_has_points_below_zero() -> None:
    assert sorted(fault.value for fault in FAULT_POINTS) == sorted(fault.value for fault in Fault)
    assert all(points < 0 for points in FAULT_POINTS.values())


def test_a_peer_that_did_nothing_has_score_zero() -> None:
    assert PeerBook().score("a", 0) == 0


def test_C2_one_oversized_message_is_a_ban_at_once() -> None:
    book = PeerBook()
    assert book.report("a", Fault.OVERSIZED, 0).newly_banned
    assert book.is_banned("a", 1)


def test_N3_the_fifth_invalid_message_is_a_ban() -> None:
    book = PeerBook()
    newly = [book.report("a", Fault.INVALID, 20.0 * number).newly_banned for number in range(5)]
    assert newly == [False, False, False, False, True]


def test_a_banned_peer_is_not_banned_anew() -> None:
    book = PeerBook()
    book.report("a", Fault.OVERSIZED, 0)
    assert not book.report("a", Fault.OVERSIZED, 1).newly_banned


def test_a_score_halves_each_ten_minutes_after_half_a_quiet_minute() -> None:
    book = PeerBook()
    book.report("a", Fault.INVALID, 0)
    assert book.score("a", 30) == -20
    assert book.score("a", 630) == pytest.approx(-10)
    assert book.score("a", 1230) == pytest.approx(-5)


def test_rare_faults_never_add_up_to_a_ban() -> None:
    book = PeerBook()
    assert not any(book.report("a", Fault.INVALID, hour * 3600).newly_banned for hour in range(1000))


def test_a_ban_ends_after_24_hours_with_a_clean_score() -> None:
    book = PeerBook()
    book.report("a", Fault.OVERSIZED, 0)
    assert book.is_banned("a", DAY_S - 1)
    assert not book.is_banned("a", DAY_S)
    assert book.score("a", DAY_S) == 0


def test_a_ban_covers_the_slash_24_of_ipv4() -> None:
    book = PeerBook()
    book.report("a", Fault.OVERSIZED, 0, ("/ip4/203.0.113.7/tcp/4001",))
    assert book.is_banned("b", 1, ("/ip4/203.0.113.200/tcp/9",))
    assert not book.is_banned("b", 1, ("/ip4/203.0.114.7/tcp/4001",))


def test_a_ban_covers_the_slash_48_of_ipv6() -> None:
    book = PeerBook()
    book.report("a", Fault.OVERSIZED, 0, ("/ip6/2001:db8:1:2::1/tcp/4001",))
    assert book.is_banned("b", 1, ("/ip6/2001:db8:1:ffff::9/tcp/4001",))
    assert not book.is_banned("b", 1, ("/ip6/2001:db8:2::1/tcp/4001",))


def test_ipv4_in_ipv6_clothes_is_in_the_ipv4_group() -> None:
    assert ban_groups(("/ip6/::ffff:203.0.113.7/tcp/1",)) == ("203.0.113.0/24",)


@pytest.mark.parametrize(
    "endpoint",
    [
        "/ip4/127.0.0.1/tcp/1",
        "/ip4/10.1.2.3/tcp/1",
        "/ip4/172.20.0.3/tcp/1",
        "/ip4/192.168.1.1/tcp/1",
        "/ip4/100.64.0.1/tcp/1",
        "/ip6/::1/tcp/1",
        "/ip6/fd00::1/tcp/1",
        "/ip6/fe80::1/tcp/1",
        "/ip6/::ffff:10.0.0.1/tcp/1",
        "/memory/a",
        "/dns4/example.org/tcp/1",
        "/something/else",
    ],
)
def test_loopback_private_memory_and_names_have_no_group(endpoint: str) -> None:
    book = PeerBook()
    book.report("a", Fault.OVERSIZED, 0, (endpoint,))
    assert book.is_banned("a", 1)
    assert not book.is_banned("b", 1, (endpoint,))


def test_a_shorter_ban_does_not_replace_a_longer_one() -> None:
    book = PeerBook()
    book.ban("a", 0, reason="first")
    book.ban("a", 0, reason="second", duration_s=1)
    assert [(ban.subject, ban.remaining_s, ban.reason) for ban in book.bans(0)] == [("a", DAY_S, "first")]


def test_a_pardon_lifts_ban_and_score() -> None:
    book = PeerBook()
    book.report("a", Fault.OVERSIZED, 0)
    assert book.pardon("a")
    assert not book.pardon("a")
    assert book.score("a", 1) == 0


def test_thousands_of_peers_fit_in_the_bound_and_the_worst_are_kept() -> None:
    book = PeerBook(ScoreRules(max_scores=50, max_bans=20))
    for _ in range(4):
        book.report("bad", Fault.INVALID, 0)
    for number in range(2_000):
        book.report(f"sybil-{number}", Fault.GOSSIP_RATE, 1)
        if number < 100:
            book.ban(f"banned-{number}", number, reason="test")
    assert len(book) == 70
    assert book.score("bad", 1) == -80
    assert [ban.subject for ban in book.bans(0)] == sorted(f"banned-{number}" for number in range(80, 100))
