"""What is sent holds integers only: no float literal, no true division, no float function in the codec's modules."""

import ast
from pathlib import Path

import pytest

WNSP = Path(__file__).resolve().parents[2] / "wnsp"

CODEC_MODULES = (
    "spectrum",
    "alphabet",
    "crc32c",
    "frame",
    "modulation",
    "streaming",
    "fragments",
    "encoding",
    "identity",
    "envelope",
    "message_dag",
)

FLOATING = {"float", "math", "fsum", "round", "float32", "float64", "divide", "true_divide"}


def _floating(tree: ast.AST) -> list[str]:
    """What could bring a float in, with its line."""
    found = []
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.Constant) and isinstance(node.value, float | complex):
            found.append(f"{line}: {node.value}")
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            found.append(f"{line}: /")
        elif isinstance(node, ast.Name) and node.id in FLOATING:
            found.append(f"{line}: {node.id}")
        elif isinstance(node, ast.Attribute) and node.attr in FLOATING:
            found.append(f"{line}: {node.attr}")
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found += [f"{line}: {alias.name}" for alias in node.names if alias.name in FLOATING]
    return found


@pytest.mark.parametrize("module", CODEC_MODULES)
def test_W6_no_float_in_the_codec(module: str) -> None:
    assert _floating(ast.parse((WNSP / f"{module}.py").read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "line", ["x = 1.5", "x = a / b", "x /= 2", "x = float(3)", "import math", "x = np.float64(1)"]
)
def test_a_float_would_be_found(line: str) -> None:
    assert _floating(ast.parse(line))
