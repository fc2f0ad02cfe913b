"""The picture of wnsp/RENDERING.md, figure by figure."""

import hashlib
from pathlib import Path

import numpy as np

from wnsp.optical.encoder import (
    body_blocks,
    cell_states,
    encode_picture,
    picture_capacity,
    render,
)
from wnsp.optical.error_correction import encode_body, encode_header_bytes
from wnsp.optical.header import Header, encode_header, message_check
from wnsp.optical.layout import layout
from wnsp.optical.palette import COLOURS
from wnsp.optical.picture_file import read_pixels
from wnsp.rendering.colour import hexadecimal

TEXT = (Path(__file__).parents[3] / "wnsp" / "RENDERING.md").read_text(encoding="utf-8")
MESSAGE = b"NEXUS"
HEADER = Header(3, 3, 0, 1, len(MESSAGE), message_check(MESSAGE))


def test_header_and_parity_are_those_of_the_example() -> None:
    plain = encode_header(HEADER, MESSAGE)
    coded = encode_header_bytes(plain)
    assert f"header          {plain.hex(' ')}\n" in TEXT
    assert coded[:16] == plain and f"… {coded[16:].hex(' ')}\n" in TEXT


def test_the_body_is_that_of_the_example() -> None:
    plan = layout(24)
    blocks = body_blocks(plan, 3, 3)
    coded = encode_body(MESSAGE, blocks)
    assert (len(plan.body), blocks.lengths, blocks.parity_bytes) == (96, (36,), 12)
    assert f"coded body      {coded.hex(' ')}\n" in TEXT
    states = cell_states(coded, 3, len(plan.body))
    cells = ", ".join(
        f"({row},{column}) {state}"
        for (row, column), state in zip(plan.body[:4].tolist(), states[:4].tolist(), strict=True)
    )
    assert f"body cells      {cells}, …" in TEXT


def test_the_header_lies_in_the_examples_cells() -> None:
    plan = layout(24)
    states = cell_states(encode_header_bytes(encode_header(HEADER, MESSAGE)), 2, 128)
    cells = ", ".join(
        f"({row},{column}) {state}"
        for (row, column), state in zip(plan.header[:4].tolist(), states[:4].tolist(), strict=True)
    )
    assert f"header cells    {cells}, …" in TEXT


def test_the_whole_picture_is_that_of_the_example() -> None:
    cells = render(MESSAGE, HEADER, 24, 4)[::4, ::4]
    assert hashlib.blake2b(cells.tobytes(), digest_size=16).hexdigest() in TEXT
    (pixels,) = read_pixels(encode_picture(MESSAGE))
    colours = np.array([*COLOURS, (255, 255, 255)], dtype=np.uint8)
    assert (pixels[6::12, 6::12] == colours[cells]).all()


def test_the_tables_of_capacities_and_colours_are_true() -> None:
    for cells in (24, 32, 48, 64, 96, 128):
        eight, four = (picture_capacity(cells, bits_per_cell=bits) for bits in (3, 2))
        assert f"| {cells} | {(cells + 8) * 12:,} | {eight:,} | {four:,} |" in TEXT
    assert all(hexadecimal(colour) in TEXT for colour in COLOURS[1:])
