"""Edges and tips."""

import pytest
from builders.dag import name_id

from consensus.errors import BlockAlreadyInDag, MissingRecord
from consensus.relations import Relations
from ledger.storage.memory import MemoryStore
from ledger.storage.store import WriteBatch

A, B, C, D = map(name_id, "abcd")


def diamond(store: MemoryStore | None = None) -> Relations:
    relations = Relations(store)
    relations.add(A, ())
    relations.add(B, (A,))
    relations.add(C, (A,))
    relations.add(D, (B, C))
    return relations


def test_edges_are_known_both_ways() -> None:
    relations = diamond()
    assert relations.parents.get(D) == (B, C)
    assert relations.children.get(A) == (B, C)
    assert relations.children.get(D) == ()


def test_tips_are_the_blocks_without_children() -> None:
    relations = Relations()
    relations.add(A, ())
    relations.add(C, (A,))
    relations.add(B, (A,))
    assert relations.tips() == (B, C)
    relations.add(D, (B, C))
    assert relations.tips() == (D,)


def test_missing_parents_keep_their_order() -> None:
    assert diamond().missing_parents((name_id("y"), B, name_id("x"))) == (name_id("y"), name_id("x"))


def test_a_block_is_added_once() -> None:
    with pytest.raises(BlockAlreadyInDag):
        diamond().add(B, (A,))


def test_an_unknown_parent_leaves_everything_as_it_was() -> None:
    relations = diamond()
    with pytest.raises(MissingRecord):
        relations.add(name_id("e"), (B, name_id("x")))
    assert relations.children.get(B) == (D,)
    assert relations.tips() == (D,)


def test_tips_and_edges_are_read_back_from_the_store() -> None:
    store = MemoryStore()
    relations = diamond(store)
    batch = WriteBatch()
    relations.stage_into(batch)
    store.write(batch, sync=False)
    relations.commit()
    again = Relations(store)
    assert again.tips() == (D,)
    assert again.parents.get(D) == (B, C)


def test_discard_restores_the_tips() -> None:
    store = MemoryStore()
    relations = Relations(store)
    relations.add(A, ())
    relations.add(B, (A,))
    batch = WriteBatch()
    relations.stage_into(batch)
    store.write(batch, sync=False)
    relations.commit()
    relations.add(C, (A,))
    relations.add(D, (B, C))
    relations.discard()
    assert relations.tips() == (B,)
    assert not relations.has(C)
    relations.add(C, (A,))
    assert relations.tips() == (B, C)
