"""Bytes to pictures."""

import numpy as np

from wnsp.optical.error_correction import Blocks, blocks, encode_body, encode_header_bytes
from wnsp.optical.errors import MessageTooLong, SettingOutOfRange
from wnsp.optical.header import (
    LEAST_REDUNDANCY,
    MOST_MESSAGE_BYTES,
    MOST_PICTURES,
    MOST_REDUNDANCY,
    Header,
    encode_header,
    message_check,
)
from wnsp.optical.layout import MARGIN_CELLS, Int64s, Layout, layout, sides
from wnsp.optical.palette import COLOURS, WHITE, states
from wnsp.optical.picture_file import Shades, animated_png_bytes, png_bytes

CELL_PIXELS = 12
LEAST_CELL_PIXELS, MOST_CELL_PIXELS = 4, 32
BITS_PER_CELL = 3
REDUNDANCY = 3
ANIMATION_CELLS = 64
"""Side of an animation's pictures: legible from a screen at arm's length, and 736 bytes each."""
FRAME_MS = 400
HEADER_BITS_PER_CELL = 2

SHADES = (*COLOURS, WHITE)
"""The picture's palette: the eight states, and white for marks and margin."""


def picture_capacity(cells: int, *, bits_per_cell: int = BITS_PER_CELL, redundancy: int = REDUNDANCY) -> int:
    """Bytes of message that one picture of that side holds. Raises PictureSizeUnknown, SettingOutOfRange."""
    return max(0, body_blocks(layout(cells), bits_per_cell, redundancy).data_bytes)


def body_blocks(plan: Layout, bits_per_cell: int, redundancy: int) -> Blocks:
    """The Reed-Solomon blocks of a picture's body. Raises SettingOutOfRange."""
    _check("bits_per_cell", bits_per_cell, 2, 3)
    _check("redundancy", redundancy, LEAST_REDUNDANCY, MOST_REDUNDANCY)
    return blocks(len(plan.body) * bits_per_cell // 8, redundancy)


def encode_picture(
    data: bytes,
    *,
    cells: int | None = None,
    bits_per_cell: int = BITS_PER_CELL,
    redundancy: int = REDUNDANCY,
    cell_pixels: int = CELL_PIXELS,
) -> bytes:
    """One PNG that holds `data`, by default of the smallest side that does.

    `bits_per_cell` 2 halves the colours and reads further down; `redundancy` is the parity in eighths. The same
    data and settings give the same bytes with one version of Pillow. Raises MessageTooLong, SettingOutOfRange,
    PictureSizeUnknown.
    """
    side = cells if cells is not None else _smallest_side(len(data), bits_per_cell, redundancy)
    limit = picture_capacity(side, bits_per_cell=bits_per_cell, redundancy=redundancy)
    if len(data) > limit:
        raise MessageTooLong(found=len(data), limit=limit)
    header = Header(bits_per_cell, redundancy, 0, 1, len(data), message_check(data))
    return png_bytes(render(data, header, side, cell_pixels), SHADES)


def encode_animation(
    data: bytes,
    *,
    cells: int = ANIMATION_CELLS,
    bits_per_cell: int = BITS_PER_CELL,
    redundancy: int = REDUNDANCY,
    cell_pixels: int = CELL_PIXELS,
) -> tuple[bytes, ...]:
    """As many PNGs of one side as `data` needs, to be shown one after the other, over and over.

    Raises MessageTooLong (255 pictures, 1 MiB), SettingOutOfRange, PictureSizeUnknown.
    """
    frames = _frames(data, cells, bits_per_cell, redundancy, cell_pixels)
    return tuple(png_bytes(frame, SHADES) for frame in frames)


def encode_animated_png(
    data: bytes,
    *,
    cells: int = ANIMATION_CELLS,
    bits_per_cell: int = BITS_PER_CELL,
    redundancy: int = REDUNDANCY,
    cell_pixels: int = 8,
    frame_ms: int = FRAME_MS,
) -> bytes:
    """The same as one animated PNG file, `frame_ms` milliseconds a picture, for a browser to show."""
    _check("frame_ms", frame_ms, 20, 60_000)
    return animated_png_bytes(_frames(data, cells, bits_per_cell, redundancy, cell_pixels), SHADES, frame_ms)


def render(part: bytes, header: Header, cells: int, cell_pixels: int) -> Shades:
    """One picture, uint8[side, side] of indices into `SHADES`, with side = (cells + 8) · cell_pixels."""
    _check("cell_pixels", cell_pixels, LEAST_CELL_PIXELS, MOST_CELL_PIXELS)
    plan = layout(cells)
    white = len(COLOURS)
    grid = np.full((plan.side_cells, plan.side_cells), white, dtype=np.int64)
    inner = grid[MARGIN_CELLS : MARGIN_CELLS + cells, MARGIN_CELLS : MARGIN_CELLS + cells]
    for row, column in plan.finder_corners():
        inner[row : row + 7, column : column + 7] = 0
        inner[row + 1 : row + 6, column + 1 : column + 6] = white
        inner[row + 2 : row + 5, column + 2 : column + 5] = 0
    for line in plan.timing:
        inner[line[::2, 0], line[::2, 1]] = 0
    inner[plan.calibration[:, 0], plan.calibration[:, 1]] = plan.calibration_states
    coded_header = encode_header_bytes(encode_header(header, part))
    inner[plan.header[:, 0], plan.header[:, 1]] = cell_states(
        coded_header, HEADER_BITS_PER_CELL, len(plan.header)
    )
    coded = encode_body(part, body_blocks(plan, header.bits_per_cell, header.redundancy))
    inner[plan.body[:, 0], plan.body[:, 1]] = cell_states(coded, header.bits_per_cell, len(plan.body))
    return grid.astype(np.uint8).repeat(cell_pixels, axis=0).repeat(cell_pixels, axis=1)


def cell_states(data: bytes, bits_per_cell: int, cells: int) -> Int64s:
    """int64[cells]: the bits of `data`, most significant first, in groups; what is left over is state 0."""
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8))
    room = np.zeros(cells * bits_per_cell, dtype=np.int64)
    room[: len(bits)] = bits
    values = room.reshape(cells, bits_per_cell) @ (1 << np.arange(bits_per_cell)[::-1])
    return np.array(states(bits_per_cell), dtype=np.int64)[values]


def _frames(data: bytes, cells: int, bits_per_cell: int, redundancy: int, cell_pixels: int) -> list[Shades]:
    capacity = picture_capacity(cells, bits_per_cell=bits_per_cell, redundancy=redundancy)
    limit = min(capacity * MOST_PICTURES, MOST_MESSAGE_BYTES)
    if len(data) > limit:
        raise MessageTooLong(found=len(data), limit=limit)
    count = max(1, -(-len(data) // capacity)) if capacity else 1
    check = message_check(data)
    frames = []
    for number in range(count):
        header = Header(bits_per_cell, redundancy, number, count, len(data), check)
        start = number * header.part_bytes
        part = data[start : start + header.part_length()]
        frames.append(render(part, header, cells, cell_pixels))
    return frames


def _smallest_side(length: int, bits_per_cell: int, redundancy: int) -> int:
    limit = 0
    for side in sides():
        limit = picture_capacity(side, bits_per_cell=bits_per_cell, redundancy=redundancy)
        if length <= limit and limit:
            return side
    raise MessageTooLong(found=length, limit=limit)


def _check(setting: str, value: int, lowest: int, highest: int) -> None:
    if not lowest <= value <= highest:
        raise SettingOutOfRange(setting=setting, value=value, lowest=lowest, highest=highest)
