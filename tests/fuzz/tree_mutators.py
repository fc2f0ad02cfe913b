"""Seeded mutations of nested documents, MessagePack and JSON: parse, change a place in the tree, write it out again.

What `fuzz.mutators` does to bytes does not reach deep into nested arrays and maps; this does. Half of the mutants are
damaged in their bytes afterwards, so that both kinds meet.
"""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
from fuzz.mutators import mutations

Tree = Any
"""What JSON or MessagePack hold: dict, list, str, bytes, int, float, bool, None."""

_INTEGERS = (
    0,
    1,
    -1,
    127,
    128,
    255,
    65_536,
    2**31,
    2**32 - 1,
    2**53 + 1,
    2**63 - 1,
    2**63,
    2**64 - 1,
    -(2**63),
)

_MESSAGEPACK_VALUES: tuple[Tree, ...] = (
    None,
    True,
    False,
    0.0,
    1.5,
    float("nan"),
    float("inf"),
    *_INTEGERS,
    "",
    "a" * 40,
    "é\0",
    b"",
    bytes(31),
    bytes(32),
    bytes(33),
    bytes(70_000),
    [],
    {},
    {1: 1},
    [[[[[]]]]],
    msgpack.ExtType(1, b"x"),
)

_JSON_VALUES: tuple[Tree, ...] = (
    None,
    True,
    False,
    0.0,
    1.5,
    float("nan"),
    float("inf"),
    *_INTEGERS,
    10**19,
    10**20,
    10**400,
    "",
    "0",
    "00",
    "-1",
    "1e3",
    "٣",
    "a" * 64,
    "0" * 64,
    "G" * 64,
    "ab" * 20_000,
    "\0",
    "\ud800",
    "é" * 33,
    [],
    {},
    {"": ""},
    [[]] * 600,
)

_JSON_TOKENS = (
    b"1e999",
    b"-0",
    b"NaN",
    b"-Infinity",
    b'"\\ud800"',
    b"\\u0000",
    b"{",
    b"[",
    b"}",
    b",",
    b":",
    b'"',
    b"\\",
    b"//",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\xed\xa0\x80",
    b"[" * 20,
    b'{"a":' * 20,
    b"[" * 100_000,
    b"9" * 21,
    b"9" * 5_000,
    b'"id":1,"id":2,',
)


def messagepack_mutants(seed: int, corpus: list[bytes], count: int) -> Iterator[bytes]:
    """`count` mutants of MessagePack documents, the same for the same seed."""
    rng = random.Random(seed)
    trees = [msgpack.unpackb(raw, strict_map_key=False) for raw in corpus]
    for _ in range(count):
        raw = msgpack.packb(_mutated(rng, rng.choice(trees), _MESSAGEPACK_VALUES))
        yield mutations(rng, raw) if rng.random() < 0.5 else raw


def json_mutants(seed: int, corpus: list[bytes], count: int) -> Iterator[bytes]:
    """`count` mutants of JSON documents, the same for the same seed."""
    rng = random.Random(seed)
    trees = [json.loads(raw) for raw in corpus]
    for _ in range(count):
        raw = json.dumps(_mutated(rng, rng.choice(trees), _JSON_VALUES)).encode()
        kind = rng.randrange(4)
        if kind == 0:
            raw = mutations(rng, raw)
        elif kind == 1:
            place = rng.randrange(len(raw) + 1)
            raw = raw[:place] + rng.choice(_JSON_TOKENS) + raw[place:]
        yield raw


def _mutated(rng: random.Random, tree: Tree, strange: tuple[Tree, ...]) -> Tree:
    """The tree with one to three places changed; sometimes with none, for the bytes alone."""
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3))):
        tree = _changed_at(rng, tree, rng.choice(_places(tree)), strange)
    return tree


def _places(tree: Tree, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every node, the root's first."""
    found = [here]
    if isinstance(tree, dict):
        for key, value in tree.items():
            found += _places(value, (*here, key))
    elif isinstance(tree, list):
        for number, value in enumerate(tree):
            found += _places(value, (*here, number))
    return found


def _changed_at(rng: random.Random, tree: Tree, place: tuple[Any, ...], strange: tuple[Tree, ...]) -> Tree:
    """A copy of the tree in which the node at `place` is changed."""
    if not place:
        return rng.choice(_CHANGES)(rng, tree, strange)
    key, rest = place[0], place[1:]
    copy = tree.copy()
    copy[key] = _changed_at(rng, tree[key], rest, strange)
    return copy


def _replace(rng: random.Random, _: Tree, strange: tuple[Tree, ...]) -> Tree:
    return rng.choice(strange)


def _nudge(rng: random.Random, node: Tree, strange: tuple[Tree, ...]) -> Tree:
    """A little more or less of the same."""
    if isinstance(node, bool) or node is None or isinstance(node, float):
        return rng.choice(strange)
    if isinstance(node, int):
        moved = rng.choice((node + 1, node - 1, 2 * node, node ^ (1 << rng.randrange(63))))
        return min(max(moved, -(2**63)), 2**64 - 1)
    if isinstance(node, str | bytes | list):
        at = rng.randrange(len(node) + 1)
        return rng.choice((node[:at], node[at:], node[:at] + node, node[:at] + node[at + 1 :], node * 2))
    return _less_or_more(rng, node, strange)


def _less_or_more(rng: random.Random, node: Tree, strange: tuple[Tree, ...]) -> Tree:
    """A member dropped, doubled, renamed or added."""
    if isinstance(node, list):
        if node and rng.random() < 0.5:
            at = rng.randrange(len(node))
            return rng.choice((node[:at] + node[at + 1 :], [*node, node[at]], node[::-1], node * 300))
        return [*node, rng.choice(strange)]
    if isinstance(node, dict):
        members = dict(node)
        if members and rng.random() < 0.7:
            key = rng.choice(list(members))
            value = members.pop(key)
            if rng.random() < 0.5 and isinstance(key, str):
                members[rng.choice((key + "x", key.upper(), key[:-1], ""))] = value
            return members
        return members | {rng.choice(("extra", "", "__class__", "id", "params")): rng.choice(strange)}
    return rng.choice(strange)


def _wrap(rng: random.Random, node: Tree, _: tuple[Tree, ...]) -> Tree:
    for _ in range(rng.choice((1, 1, 20, 200))):
        node = [node]
    return node


_CHANGES: tuple[Callable[[random.Random, Tree, tuple[Tree, ...]], Tree], ...] = (
    _replace,
    _replace,
    _nudge,
    _nudge,
    _nudge,
    _less_or_more,
    _less_or_more,
    _wrap,
)
