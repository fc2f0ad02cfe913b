"""Nothing that decides what is on chain may depend on floats, clocks, chance or the order of a set.

Architecture rule 9, read off the syntax trees. What a tree cannot show (the order of a dict, values that come in as
arguments) is for the differential runs.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

OFF_CHAIN = (
    "ledger/storage/",  # files, paths and locks: bytes in, the same bytes out
    "ledger/simulation/",
    "ledger/codegen/",
    "ledger/genesis_text.py",  # JSON for people; what is hashed is the record that it gives
    "consensus/simulation/",  # models: delays and shares are floats, chance is seeded; nothing on chain imports it
    "consensus/replay.py",  # reads DAG files for tools and tests
)
"""Beginnings of paths that belong to the packages but decide nothing on chain."""

FORBIDDEN_MODULES = frozenset(
    (
        "cmath",
        "datetime",
        "decimal",
        "fractions",
        "locale",
        "math",
        "numpy",
        "random",
        "secrets",
        "statistics",
        "time",
        "uuid",
        "zoneinfo",
    )
)
EXACT_FUNCTIONS = frozenset((("math", "isqrt"), ("math", "gcd")))
"""Of forbidden modules: functions of integers, exact, the same everywhere."""
FORBIDDEN_CALLS = frozenset(("hash", "id", "float", "complex", "round"))
ORDER_FREE_CALLS = frozenset(("sorted", "len", "min", "max", "sum", "any", "all", "set", "frozenset"))
"""Results that are the same in whatever order a set is walked."""


def on_chain_modules() -> list[Path]:
    """The modules under the rule."""
    found = [ROOT / "wnsp" / "spectrum.py"]
    for package in ("ledger", "consensus"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if not path.relative_to(ROOT).as_posix().startswith(OFF_CHAIN):
                found.append(path)
    return found


def violations(source: str) -> list[str]:
    """What breaks the rule in `source`, each with its line."""
    tree = ast.parse(source)
    sets = _names_of_sets(tree)
    return [f"line {node.lineno}: {what}" for node, what in _found(tree, sets)]


def _found(tree: ast.AST, sets: frozenset[str]) -> Iterator[tuple[ast.expr | ast.stmt, str]]:
    order_free: set[ast.expr] = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ORDER_FREE_CALLS
        ):
            order_free.update(node.args)
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            yield node, f"float literal {node.value}"
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            yield node, "operator /"
        elif isinstance(node, ast.Import):
            for name in node.names:
                if name.name.split(".")[0] in FORBIDDEN_MODULES:
                    yield node, f"import of {name.name}"
        elif isinstance(node, ast.ImportFrom):
            exact = all((node.module, name.name) in EXACT_FUNCTIONS for name in node.names)
            if node.level == 0 and (node.module or "").split(".")[0] in FORBIDDEN_MODULES and not exact:
                yield node, f"import from {node.module}"
        elif isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
                yield node, f"call of {node.func.id}()"
            if node not in order_free and _orders(node):
                for argument in node.args:
                    if _is_set(argument, sets):
                        yield node, "a set put in order by its hashes"
        elif isinstance(node, ast.For | ast.AsyncFor):
            if _is_set(node.iter, sets):
                yield node, "iteration over a set"
        elif isinstance(node, ast.ListComp | ast.GeneratorExp | ast.DictComp) and node not in order_free:
            if any(_is_set(generator.iter, sets) for generator in node.generators):
                yield node, "iteration over a set"
        elif isinstance(node, ast.Starred) and _is_set(node.value, sets):
            yield node, "a set unpacked"


def _orders(call: ast.Call) -> bool:
    """Whether the call's result keeps the order in which its argument was walked."""
    if isinstance(call.func, ast.Name):
        return call.func.id in ("list", "tuple", "enumerate", "zip", "map", "filter", "iter", "dict")
    return isinstance(call.func, ast.Attribute) and call.func.attr in (
        "join",
        "extend",
        "fromkeys",
        "from_iterable",
    )


def _is_set(node: ast.expr, names: frozenset[str]) -> bool:
    if isinstance(node, ast.Set | ast.SetComp):
        return True
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in ("set", "frozenset")
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr | ast.BitAnd | ast.Sub | ast.BitXor):
        return _is_set(node.left, names) or _is_set(node.right, names)
    return isinstance(node, ast.Name) and node.id in names


def _names_of_sets(tree: ast.AST) -> frozenset[str]:
    """Names that are given a set anywhere in the module, by value or by annotation."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and _is_set(node.value, frozenset(names)):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            if _is_set_annotation(node.annotation):
                names.add(node.target.id)
        elif (
            isinstance(node, ast.arg) and node.annotation is not None and _is_set_annotation(node.annotation)
        ):
            names.add(node.arg)
    return frozenset(names)


def _is_set_annotation(node: ast.expr) -> bool:
    base = node.value if isinstance(node, ast.Subscript) else node
    return isinstance(base, ast.Name) and base.id in ("set", "frozenset", "AbstractSet")


@pytest.mark.parametrize("path", on_chain_modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_L16_an_on_chain_module_is_integers_only(path: Path) -> None:
    assert violations(path.read_text(encoding="utf-8")) == []


def test_the_rule_reaches_the_modules_that_decide() -> None:
    reached = {path.relative_to(ROOT).as_posix() for path in on_chain_modules()}
    assert reached >= {
        "wnsp/spectrum.py",
        "ledger/execution.py",
        "ledger/state_commitment.py",
        "ledger/transfer.py",
        "consensus/blocks.py",
        "consensus/ghostdag.py",
        "consensus/schedule.py",
    }


@pytest.mark.parametrize(
    "snippet",
    [
        "fee = 0.5",
        "fee = 1e8",
        "half = total / 2",
        "total /= 2",
        "import math",
        "from math import isqrt, sqrt",
        "import numpy.random",
        "from random import Random",
        "from datetime import datetime",
        "def now():\n    import time\n    return time.time()",
        "key = hash(block)",
        "key = id(block)",
        "share = float(stake)",
        "share = round(stake)",
        "for block in {first, second}:\n    add(block)",
        "for block in set(blocks):\n    add(block)",
        "seen = set()\nfor block in seen:\n    add(block)",
        "seen: set[bytes] = make()\nrows = [block for block in seen]",
        "def order(seen: frozenset[bytes]):\n    return tuple(seen)",
        "rows = [block for block in {first, second}]",
        "raw = b''.join({first, second})",
        "rows = list(set(blocks))",
        "rows = list(set(blocks) - known)",
        "rows = (*set(blocks),)",
        "by_id = {block: 1 for block in set(blocks)}",
    ],
)
def test_the_rule_can_fail(snippet: str) -> None:
    assert violations(snippet)


@pytest.mark.parametrize(
    "snippet",
    [
        "half = total // 2",
        "from math import isqrt",
        "text = 'a / b'",
        "rows = sorted(set(blocks))",
        "count = len({first, second})",
        "known = block in {first, second}",
        "known = any(block in past for block in {first, second})",
        "seen = set()\nseen.add(block)\nrows = sorted(block for block in seen)",
        "seen = {block for block in blocks}",
        "from ledger.hashing import digest",
        "value = record.id",
    ],
)
def test_the_rule_lets_integers_and_sorted_sets_pass(snippet: str) -> None:
    assert violations(snippet) == []
