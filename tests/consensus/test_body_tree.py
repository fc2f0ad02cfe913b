"""The Merkle tree over a body."""

from itertools import permutations
from random import Random

import pytest

from consensus.body_tree import body_path, body_root, root_of_path
from ledger.hashing import digest, tagged


def _transactions(count: int) -> tuple[bytes, ...]:
    return tuple(Random(f"body {number}").randbytes(1 + number % 90) for number in range(count))


def _rfc6962(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, word for word: split at the greatest power of two below n."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return digest(tagged("nexus/body-node/v1"), _rfc6962(leaves[:split]), _rfc6962(leaves[split:]))


@pytest.mark.parametrize("count", [*range(1, 40), 63, 64, 65, 257])
def test_the_tree_is_that_of_rfc_6962_under_our_tags(count: int) -> None:
    transactions = _transactions(count)
    top = _rfc6962([digest(tagged("nexus/body-leaf/v1"), raw) for raw in transactions])
    assert body_root(transactions) == digest(tagged("nexus/body-root/v1"), count.to_bytes(8, "big"), top)


def test_an_empty_body_has_a_root_of_its_own() -> None:
    assert body_root(()) == digest(tagged("nexus/body-root/v1"), bytes(8))
    assert body_root(()) != body_root((b"",))


def test_order_is_part_of_the_root() -> None:
    transactions = _transactions(4)
    assert len({body_root(order) for order in permutations(transactions)}) == 24


@pytest.mark.parametrize("count", range(1, 20))
def test_doubling_trailing_transactions_changes_the_root(count: int) -> None:
    transactions = _transactions(count)
    for doubled in range(1, count + 1):
        assert body_root(transactions + transactions[-doubled:]) != body_root(transactions)


def test_an_inner_node_is_no_transaction() -> None:
    left, right, third = _transactions(3)
    leaves = [digest(tagged("nexus/body-leaf/v1"), raw) for raw in (left, right)]
    assert body_root((leaves[0] + leaves[1], third)) != body_root((left, right, third))
    assert body_root((leaves[0] + leaves[1],)) != body_root((left, right))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 11, 16, 33])
def test_a_path_proves_its_transaction_at_its_place_only(count: int) -> None:
    transactions = _transactions(count)
    root = body_root(transactions)
    for position, raw in enumerate(transactions):
        path = body_path(transactions, position)
        for claimed in range(count):
            assert (root_of_path(raw, claimed, count, path) == root) == (claimed == position)
        assert root_of_path(raw + b"x", position, count, path) != root
        assert root_of_path(raw, position, count + 1, path) != root
        assert root_of_path(raw, position, count, (*path, bytes(32))) is None
        if path:
            assert root_of_path(raw, position, count, path[:-1]) is None


def test_a_place_outside_the_body_is_refused() -> None:
    assert root_of_path(b"x", 1, 1, ()) is None
    assert root_of_path(b"x", -1, 1, ()) is None
    with pytest.raises(IndexError):
        body_path((b"x",), 1)
