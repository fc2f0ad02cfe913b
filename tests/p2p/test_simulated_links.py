"""Fates of messages on simulated links."""

import pytest

from p2p.simulated_links import LinkFaults, Links


def test_a_duplicate_is_really_sent() -> None:
    arrivals = Links(1, LinkFaults(duplication=1)).fate("a", "b", b"hello", duplicable=True)
    assert [arrival.data for arrival in arrivals] == [b"hello", b"hello"]
    assert arrivals[0].delay_s != arrivals[1].delay_s


def test_corruption_changes_exactly_one_byte() -> None:
    links = Links(1, LinkFaults(corruption=1))
    for _ in range(500):
        (arrival,) = links.fate("a", "b", b"hello", duplicable=True)
        assert len(arrival.data) == 5
        assert sum(was != now for was, now in zip(b"hello", arrival.data, strict=True)) == 1


def test_traffic_on_one_link_never_changes_the_fate_of_another() -> None:
    faults = LinkFaults(loss=0.5)
    quiet, busy = Links(1, faults), Links(1, faults)
    for _ in range(37):
        busy.fate("b", "a", b"x", duplicable=True)
    assert [quiet.fate("a", "b", b"x", duplicable=True) for _ in range(20)] == [
        busy.fate("a", "b", b"x", duplicable=True) for _ in range(20)
    ]


def test_switching_a_fault_off_leaves_the_draws_of_the_others() -> None:
    with_corruption, without = Links(1, LinkFaults(loss=0.5, corruption=0.5)), Links(1, LinkFaults(loss=0.5))
    for _ in range(100):
        one, other = (links.fate("a", "b", b"x", duplicable=True) for links in (with_corruption, without))
        assert [arrival.delay_s for arrival in one] == [arrival.delay_s for arrival in other]


@pytest.mark.parametrize(
    "faults", [{"loss": 1.1}, {"corruption": -0.1}, {"delay_min_ms": 5, "delay_max_ms": 4}]
)
def test_impossible_faults_are_refused(faults: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        LinkFaults(**faults)


def test_peers_that_no_group_names_form_a_group() -> None:
    links = Links(1, LinkFaults())
    links.partition([["a"]])
    assert links.is_open("b", "c")
    assert not links.is_open("a", "b")
    assert not links.is_open("b", "a")
