"""What `nexus chain status` tells people."""

from typing import Any

from cli.chain import _status_lines

HEAD = {"slot": "120", "blue_score": "700"}


def sync(**facts: Any) -> dict[str, Any]:
    return {
        "state": "synchronised",
        "activity": "none",
        "peer": None,
        "sources": 0,
        "blocks_done": 0,
        "blocks_target": 0,
        "blocks_per_second": 0.0,
        "transactions_per_second": 0.0,
        "slots_left": None,
        "seconds_left": None,
        "reason": "",
        **facts,
    }


def test_a_node_that_is_level_says_so() -> None:
    assert _status_lines(sync(), HEAD) == ["head   slot 120, blue score 700", "sync   synchronised"]


def test_a_node_that_is_stuck_says_why() -> None:
    assert "why    nobody delivers" in _status_lines(sync(state="stuck", reason="nobody delivers"), HEAD)


def test_a_node_that_catches_up_says_how_fast_and_until_when() -> None:
    busy = sync(
        state="synchronising",
        activity="bodies",
        peer="12D3",
        sources=3,
        blocks_done=500,
        blocks_target=2_000,
        blocks_per_second=90.5,
        transactions_per_second=4_500.0,
        slots_left=300,
        seconds_left=18_000.0,
    )
    lines = _status_lines(busy, HEAD)
    assert lines[2:] == [
        "doing  bodies, with 12D3, bodies from 3",
        "done   500 of about 2000 blocks, 90.5/s with 4500.0 transactions/s",
        "left   300 slots, about 5.0 h",
    ]
    assert _status_lines({**busy, "seconds_left": None}, HEAD)[-1] == "left   300 slots, no telling how long"
