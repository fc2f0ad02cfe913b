"""The state tree against a plain reference, and its proofs against tampering."""

import random
import re
from functools import cache
from hashlib import blake2b
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.state_commitment import (
    DuplicateKey,
    ProofInvalid,
    ProofTooLarge,
    StaleUpdate,
    StateProof,
    StateTree,
    verify_proof,
)

README = Path(__file__).resolve().parents[2] / "ledger/README.md"

# ---- the reference: the definition of README.md, section State commitment, word for word; shares no code ----


def h(content: bytes) -> bytes:
    return blake2b(content, digest_size=32).digest()


def reference_root(content: dict[bytes, bytes]) -> bytes:
    return reference_digest(tuple(sorted((h(key), h(value)) for key, value in content.items())), 0)


def reference_digest(entries: tuple[tuple[bytes, bytes], ...], depth: int) -> bytes:
    """Digest of the subtree at `depth` that holds all of `entries`."""
    if not entries:
        return reference_empty(depth)
    if depth == 4:
        return h(b"\x15nexus/state-bucket/v1" + b"".join(key + value for key, value in entries))
    children = []
    for nibble in range(16):
        inside = tuple(entry for entry in entries if int(entry[0].hex()[depth], 16) == nibble)
        children.append(reference_digest(inside, depth + 1))
    return h(b"\x13nexus/state-node/v1" + b"".join(children))


@cache
def reference_empty(depth: int) -> bytes:
    if depth == 4:
        return h(b"\x15nexus/state-bucket/v1")
    return h(b"\x13nexus/state-node/v1" + reference_empty(depth + 1) * 16)


# ---- content whose keys crowd into few buckets, so that buckets of several entries are common ----


def find_crowded_keys(count: int) -> list[bytes]:
    """Keys of the first `count` numbers whose digests begin with three zero nibbles: 16 buckets."""
    keys: list[bytes] = []
    number = 0
    while len(keys) < count:
        key = b"crowd%d" % number
        if h(key)[0] == 0 and h(key)[1] < 16:
            keys.append(key)
        number += 1
    return keys


CROWDED_KEYS = find_crowded_keys(48)
KEYS = st.one_of(st.sampled_from(CROWDED_KEYS), st.binary(max_size=8))
CONTENT = st.dictionaries(KEYS, st.binary(max_size=8), max_size=40)


def tree_of(content: dict[bytes, bytes]) -> StateTree:
    return StateTree.build(content.items())


def apply(tree: StateTree, changes: dict[bytes, bytes | None]) -> None:
    tree.commit(tree.prepare(changes))


def random_content(generator: random.Random, count: int) -> dict[bytes, bytes]:
    numbered = {b"key%d" % number: generator.randbytes(8) for number in range(count)}
    return numbered | {key: generator.randbytes(8) for key in CROWDED_KEYS}


def test_empty_tree_has_the_reference_root() -> None:
    assert StateTree().root == StateTree.build([]).root == reference_root({})


@settings(max_examples=25, deadline=None)
@given(CONTENT)
def test_root_equals_the_reference(content: dict[bytes, bytes]) -> None:
    tree = tree_of(content)
    assert tree.root == reference_root(content)
    assert len(tree) == len(content)


def test_root_of_large_content_equals_the_reference() -> None:
    content = random_content(random.Random(1), 5_000)
    assert tree_of(content).root == reference_root(content)


@settings(max_examples=20, deadline=None)
@given(CONTENT, st.dictionaries(KEYS, st.one_of(st.none(), st.binary(max_size=8)), max_size=20))
def test_update_gives_the_reference_root_and_undo_the_old_one(
    before: dict[bytes, bytes], changes: dict[bytes, bytes | None]
) -> None:
    tree = tree_of(before)
    old_root = tree.root
    apply(tree, changes)
    after = {key: value for key, value in (before | changes).items() if value is not None}
    assert tree.root == reference_root(after)
    assert len(tree) == len(after)
    apply(tree, {key: before.get(key) for key in changes})
    assert tree.root == old_root
    assert len(tree) == len(before)


@pytest.mark.parametrize("seed", range(5))
def test_any_history_of_inserts_updates_deletes_and_undos_gives_the_same_root(seed: int) -> None:
    generator = random.Random(seed)
    goal = random_content(generator, 200)
    tree = StateTree()
    present: dict[bytes, bytes] = {}
    pool = [*goal, *(b"passing%d" % number for number in range(100))]
    for _ in range(30):
        changes: dict[bytes, bytes | None] = {
            key: None if generator.random() < 0.4 else generator.randbytes(4)
            for key in generator.sample(pool, generator.randrange(1, 60))
        }
        old_values = {key: present.get(key) for key in changes}
        apply(tree, changes)
        if generator.random() < 0.3:
            apply(tree, old_values)
        else:
            present = {key: value for key, value in (present | changes).items() if value is not None}
    remaining = list(goal.items() | {(key, None) for key in present if key not in goal})
    generator.shuffle(remaining)
    for start in range(0, len(remaining), 37):
        apply(tree, dict(remaining[start : start + 37]))
    assert tree.root == tree_of(goal).root
    assert len(tree) == len(goal)


def test_order_of_changes_and_of_bulk_items_carries_no_meaning() -> None:
    generator = random.Random(1)
    items = list(random_content(generator, 300).items())
    roots = set()
    for _ in range(5):
        generator.shuffle(items)
        roots.add(StateTree.build(items).root)
        tree = StateTree()
        apply(tree, dict(items))
        roots.add(tree.root)
    assert len(roots) == 1


def test_prepare_leaves_the_tree_as_it_is() -> None:
    tree = tree_of(random_content(random.Random(1), 500))
    root, count = tree.root, len(tree)
    probes = [*CROWDED_KEYS[:3], b"key1", b"new"]
    proofs = [tree.prove(key) for key in probes]
    pending = tree.prepare({CROWDED_KEYS[0]: b"x", CROWDED_KEYS[1]: None, b"key1": b"y", b"new": b"z"})
    assert pending.root != root
    assert (tree.root, len(tree)) == (root, count)
    assert [tree.prove(key) for key in probes] == proofs
    assert tree.prepare({}).root == root


def test_update_prepared_on_another_root_is_refused_and_changes_nothing() -> None:
    tree = tree_of({b"a": b"1"})
    stale = tree.prepare({b"a": b"2"})
    apply(tree, {b"b": b"1"})
    root = tree.root
    with pytest.raises(StaleUpdate):
        tree.commit(stale)
    assert tree.root == root


def test_update_may_be_committed_after_an_excursion_that_was_undone() -> None:
    tree = tree_of({b"a": b"1"})
    pending = tree.prepare({b"a": b"2"})
    apply(tree, {b"b": b"1"})
    apply(tree, {b"b": None})
    tree.commit(pending)
    assert tree.root == reference_root({b"a": b"2"})


def test_empty_value_is_not_absence() -> None:
    with_empty = tree_of({b"a": b""})
    assert with_empty.root != StateTree().root
    verify_proof(with_empty.root, b"a", b"", with_empty.prove(b"a"))
    with pytest.raises(ProofInvalid):
        verify_proof(with_empty.root, b"a", None, with_empty.prove(b"a"))


def test_value_that_hashes_like_a_neighbouring_key_is_not_taken_for_it() -> None:
    """A value may be the bytes of another key: then that key's digest stands at a value's place in the bucket."""
    content: dict[bytes, bytes] = dict.fromkeys(CROWDED_KEYS[1:], CROWDED_KEYS[0])
    tree = tree_of(content)
    apply(tree, {CROWDED_KEYS[0]: b"x"})
    assert tree.root == reference_root(content | {CROWDED_KEYS[0]: b"x"})
    apply(tree, {CROWDED_KEYS[0]: None})
    assert tree.root == reference_root(content)


def test_bulk_load_refuses_a_key_that_occurs_twice() -> None:
    with pytest.raises(DuplicateKey):
        StateTree.build([(b"a", b"1"), (b"b", b"1"), (b"a", b"2")])


@settings(max_examples=20, deadline=None)
@given(CONTENT, KEYS)
def test_proof_verifies_for_present_and_absent_keys(content: dict[bytes, bytes], key: bytes) -> None:
    tree = tree_of(content)
    verify_proof(tree.root, key, content.get(key), tree.prove(key))
    wrong = b"something else" if key not in content else None
    with pytest.raises(ProofInvalid):
        verify_proof(tree.root, key, wrong, tree.prove(key))


@pytest.mark.parametrize("key", [CROWDED_KEYS[0], b"absent"])
def test_proof_with_any_byte_altered_is_refused(key: bytes) -> None:
    content = dict.fromkeys(CROWDED_KEYS, b"value")
    tree = tree_of(content)
    raw = tree.prove(key).to_bytes()
    generator = random.Random(1)
    for position in range(len(raw)):
        altered = bytearray(raw)
        altered[position] ^= 1 << generator.randrange(8)
        with pytest.raises(ProofInvalid):
            verify_proof(tree.root, key, content.get(key), StateProof.from_bytes(bytes(altered)))


def test_proof_under_any_altered_root_or_value_is_refused() -> None:
    key, value = CROWDED_KEYS[0], b"the value"
    tree = tree_of(dict.fromkeys(CROWDED_KEYS, value))
    proof = tree.prove(key)
    for position in range(32):
        root = bytearray(tree.root)
        root[position] ^= 1
        with pytest.raises(ProofInvalid):
            verify_proof(bytes(root), key, value, proof)
    for position in range(len(value)):
        altered = bytearray(value)
        altered[position] ^= 1
        with pytest.raises(ProofInvalid):
            verify_proof(tree.root, key, bytes(altered), proof)


def test_proof_of_one_key_does_not_serve_another() -> None:
    tree = tree_of(dict.fromkeys([*CROWDED_KEYS, b"elsewhere"], b"value"))
    with pytest.raises(ProofInvalid):
        verify_proof(tree.root, b"elsewhere", b"value", tree.prove(CROWDED_KEYS[0]))
    with pytest.raises(ProofInvalid):
        verify_proof(tree.root, b"elsewhere", None, tree.prove(CROWDED_KEYS[0]))


def test_bucket_with_entries_out_of_order_or_of_another_bucket_is_refused() -> None:
    """Even when all hashes fit: a tree that holds such a bucket is no state tree."""
    entry = h(b"key") + h(b"value")
    position = entry[0] << 8 | entry[1]
    foreign = bytes([entry[0] ^ 1]) + entry[1:]
    unordered = entry[:31] + bytes([entry[31] ^ 0xFF]) + h(b"value")
    for bucket in (
        entry + entry,
        max(entry, unordered) + min(entry, unordered),
        min(entry, foreign) + max(entry, foreign),
    ):
        tree = StateTree()
        tree.commit(tree._prepare_buckets({position: bucket}, 2))
        with pytest.raises(ProofInvalid, match=r"out of order|an entry of bucket"):
            verify_proof(tree.root, b"key", b"value", tree.prove(b"key"))


@pytest.mark.parametrize("length", [0, 32, 1919, 1921, 1920 + 63, 1920 + 65, 1920 + 64 * 16_385])
def test_proof_bytes_of_a_wrong_length_are_refused(length: int) -> None:
    with pytest.raises(ProofInvalid):
        StateProof.from_bytes(bytes(length))


def test_proof_of_a_wrong_shape_is_refused() -> None:
    tree = tree_of({b"a": b"1"})
    proof = tree.prove(b"a")
    shapes = [
        StateProof(proof.bucket, proof.siblings[:3]),
        StateProof(proof.bucket, (*proof.siblings, proof.siblings[0])),
        StateProof(proof.bucket, (*proof.siblings[:3], proof.siblings[3][:-32])),
        StateProof(proof.bucket[:-1], proof.siblings),
        StateProof(proof.bucket * 16_385, proof.siblings),
    ]
    for shape in shapes:
        with pytest.raises(ProofInvalid):
            verify_proof(tree.root, b"a", b"1", shape)
    with pytest.raises(ProofInvalid):
        verify_proof(tree.root[:31], b"a", b"1", proof)


def test_proof_survives_its_bytes() -> None:
    tree = tree_of(dict.fromkeys(CROWDED_KEYS, b"value"))
    proof = tree.prove(CROWDED_KEYS[3])
    assert StateProof.from_bytes(proof.to_bytes()) == proof


def test_bucket_beyond_the_limit_is_not_proved() -> None:
    tree = StateTree()
    tree.commit(tree._prepare_buckets({h(b"a")[0] << 8 | h(b"a")[1]: bytes(64 * 16_385)}, 16_385))
    with pytest.raises(ProofTooLarge):
        tree.prove(b"a")


def test_worked_example_of_the_readme_is_right() -> None:
    section = README.read_text(encoding="utf-8").split("## State commitment")[1]
    named = dict(re.findall(r"^(\S.*\S) += ([0-9a-f]{64})$", section, flags=re.MULTILINE))
    tree = StateTree()
    assert named["root of the empty state"] == tree.root.hex()
    assert named["digest of an empty bucket"] == h(b"\x15nexus/state-bucket/v1").hex()
    assert named["key digest of 01 02"] == h(b"\x01\x02").hex()
    assert named["value digest of 03"] == h(b"\x03").hex()
    apply(tree, {b"\x01\x02": b"\x03"})
    bucket = tree.prove(b"\x01\x02").bucket
    assert bucket == h(b"\x01\x02") + h(b"\x03")
    assert named["bucket digest"] == h(b"\x15nexus/state-bucket/v1" + bucket).hex()
    assert named["root with 01 02 -> 03"] == tree.root.hex()
    apply(tree, {b"\x01\x04": b"\x05", b"\x01\x06": b""})
    assert named["root with all three"] == tree.root.hex()
    apply(tree, {b"\x01\x04": None, b"\x01\x06": None})
    assert named["root with 01 02 -> 03"] == tree.root.hex()
    found = re.search(r"bucket ([0-9a-f]{4}) of the first key", section)
    assert found is not None and found[1] == h(b"\x01\x02")[:2].hex()
