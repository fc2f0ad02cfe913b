"""The README's table of parameters is that of the code. NEXUS_WRITE_README=1 writes it."""

import os
from pathlib import Path

from ledger.governed.parameters import PARAMETERS, QUORUM_PPM, parameter_key, write_parameter
from ledger.state import MappingState, Overlay

README = Path(__file__).parents[3] / "ledger" / "governed" / "README.md"
MARK = "<!-- parameters: written by tests/ledger/governed/test_readme.py -->\n"


def table() -> str:
    lines = [
        "| number | name | default | least | greatest | unit | meaning | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one in PARAMETERS:
        default = "the pool's own" if one.per_subject else f"{one.default:,}"
        lines.append(
            f"| {one.number} | `{one.name}` | {default} | {one.least:,} | {one.greatest:,} | {one.unit} "
            f"| {one.meaning} | {'constitutional' if one.constitutional else ''} |"
        )
    return "\n".join(lines) + "\n"


def test_the_table_of_parameters_is_that_of_the_code() -> None:
    text = README.read_text(encoding="utf-8")
    before, mark, after = text.partition(MARK)
    assert mark
    if os.environ.get("NEXUS_WRITE_README"):
        README.write_text(before + MARK + table(), encoding="utf-8")
        return
    assert after == table(), "NEXUS_WRITE_README=1 pytest tests/ledger/governed/test_readme.py writes it"


def test_worked_example() -> None:
    overlay = Overlay(MappingState({}))
    write_parameter(overlay, QUORUM_PPM, 400_000)
    assert overlay.changes() == {bytes.fromhex("67700028"): bytes.fromhex("0000000000061a80")}
    assert parameter_key(QUORUM_PPM) == b"gp\x00\x28"
