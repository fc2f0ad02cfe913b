"""The DAG of messages: one order for all, whatever came first."""

from itertools import permutations
from random import Random

import pytest

from wnsp.errors import ParentNotEarlier, SelfParent
from wnsp.message_dag import MessageDag

A, B, C, D = (bytes([letter]) * 32 for letter in b"ABCD")

DIAMOND = {A: ((), 1), B: ((A,), 2), C: ((A,), 2), D: ((B, C), 3)}


@pytest.mark.parametrize(
    "order", list(permutations(DIAMOND)), ids=lambda ids: "".join(chr(key[0]) for key in ids)
)
def test_the_order_is_the_same_whatever_comes_first(order: tuple[bytes, ...]) -> None:
    dag = MessageDag()
    for key in order:
        dag.add(key, *DIAMOND[key])
    assert dag.order() == (A, B, C, D)
    assert dag.tips() == (D,)
    assert dag.thread(B) == (A, B) and dag.thread(D) == (A, B, C, D)


def test_parents_stand_before_children_in_random_dags() -> None:
    rng = Random(1)
    dag = MessageDag()
    slots: dict[bytes, int] = {}
    for _ in range(300):
        parents = tuple(sorted(rng.sample(sorted(slots), min(len(slots), rng.randrange(4)))))
        slot = max((slots[parent] for parent in parents), default=0) + rng.randrange(1, 5)
        key = rng.randbytes(32)
        dag.add(key, parents, slot)
        slots[key] = slot
    places = {key: place for place, key in enumerate(dag.order())}
    for key in slots:
        assert dag.missing_parents(key) == ()
        assert all(places[earlier] < places[key] for earlier in dag.thread(key)[:-1])


def test_missing_parents_are_named_until_they_come() -> None:
    dag = MessageDag()
    assert dag.add(D, (B, C), 3).missing == (B, C)
    dag.add(B, (A,), 2)
    assert dag.missing_parents(D) == (C,)


@pytest.mark.parametrize("slot", [1, 2])
def test_a_message_not_later_than_its_parent_is_refused(slot: int) -> None:
    dag = MessageDag()
    dag.add(A, (), 2)
    with pytest.raises(ParentNotEarlier):
        dag.add(B, (A,), slot)
    assert B not in dag


def test_a_parent_that_comes_later_and_is_not_earlier_refutes_its_child() -> None:
    dag = MessageDag()
    dag.add(B, (A,), 2)
    assert dag.add(A, (), 2).refuted == (B,)
    assert dag.order() == (A,) and dag.tips() == (A,)


def test_a_message_is_not_its_own_parent() -> None:
    with pytest.raises(SelfParent):
        MessageDag().add(A, (A,), 1)


def test_adding_a_message_again_changes_nothing() -> None:
    dag = MessageDag()
    dag.add(A, (), 1)
    dag.add(A, (), 1)
    assert dag.order() == (A,)


def test_the_earliest_messages_are_forgotten_above_the_limit() -> None:
    dag = MessageDag(greatest=2)
    dag.add(A, (), 1)
    dag.add(B, (A,), 2)
    assert dag.add(D, (B,), 3).forgotten == (A,)
    assert dag.order() == (B, D) and dag.missing_parents(B) == (A,)
    assert dag.add(A, (), 1).forgotten == (A,) and len(dag) == 2
