"""Pictures to bytes. Whatever the bytes of the picture, nothing but WnspError comes out, in bounded time and
memory."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from wnsp.optical.encoder import HEADER_BITS_PER_CELL, body_blocks
from wnsp.optical.error_correction import decode_body, decode_header_bytes
from wnsp.optical.errors import (
    MarksNotFound,
    MessagesMixed,
    OpticalError,
    PartDamaged,
    PictureHeaderInvalid,
    PicturesMissing,
    TooManyErrors,
)
from wnsp.optical.header import CHECK_BYTES, Header, decode_header, message_check, part_is_intact
from wnsp.optical.layout import FINDER_CELLS, Layout, layout, sides
from wnsp.optical.marks import Mark, quadrilaterals
from wnsp.optical.palette import COLOURS, states
from wnsp.optical.picture_file import Pixels, read_pixels
from wnsp.optical.sampling import (
    Floats,
    Reference,
    classify,
    likeness,
    projection,
    reference,
    sample,
    separation,
    timing_strength,
)

SIDE_TOLERANCE = 0.2
"""How far the number of cells that the marks' size suggests may be from the real one."""
LEAST_TIMING = 0.5
MOST_UNREADABLE_FRAMES = 8
"""Of one animation; after them the rest is not looked at."""
SIDES_TRIED = 2
ORIENTATIONS_TRIED = 2
MOST_HEADER_ATTEMPTS = 24
"""Per picture; bounds what a picture full of false marks costs."""
MOST_BODY_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class Reading:
    """One picture, read."""

    header: Header
    part: bytes
    cells: int
    corrected_bytes: int
    """That Reed-Solomon put right in the body."""
    separation: float
    """Distance of the two nearest colours in units of the noise; 6 and more is comfortable."""


def decode_picture(data: bytes) -> bytes:
    """The message in a PNG or JPEG file (also an animated PNG). Raises OpticalError and nothing else."""
    return decode_pictures((data,))


def decode_pictures(pictures: Iterable[bytes]) -> bytes:
    """The message in several files, in any order, with repetitions. Unreadable ones are passed over if the rest
    suffices.

    Raises PicturesMissing with the numbers still to be shown, MessagesMixed, or, if nothing was readable, the
    first error.
    """
    parts: dict[int, bytes] = {}
    expected: Header | None = None
    first_error: OpticalError | None = None
    for picture in pictures:
        for reading in _readings(picture):
            if isinstance(reading, OpticalError):
                first_error = first_error or reading
                continue
            header = reading.header
            expected = expected or header
            if _message(header) != _message(expected):
                raise MessagesMixed(found=header.message_check.hex(), expected=expected.message_check.hex())
            parts[header.number] = reading.part
    if expected is None:
        raise first_error or MarksNotFound(found=0, wanted=4)
    missing = tuple(number for number in range(expected.count) if number not in parts)
    if missing:
        raise PicturesMissing(found=len(parts), count=expected.count, missing=missing)
    message = b"".join(parts[number] for number in range(expected.count))
    if message_check(message) != expected.message_check:
        raise PartDamaged(number=expected.count - 1)
    return message


def read_picture(pixels: Pixels) -> Reading:
    """The part of a message in one picture. Raises MarksNotFound, TooManyErrors, PartDamaged."""
    attempts, bodies, most_marks = 0, 0, 0
    failure: OpticalError | None = None
    for marks in quadrilaterals(pixels):
        most_marks = 4
        for plan, matrix, calibrated in _candidates(pixels, marks):
            attempts += 1
            if attempts > MOST_HEADER_ATTEMPTS or bodies >= MOST_BODY_ATTEMPTS:
                raise failure or MarksNotFound(found=most_marks, wanted=4)
            try:
                header, check = _read_header(pixels, plan, matrix, calibrated)
            except (TooManyErrors, PictureHeaderInvalid):
                continue
            bodies += 1
            try:
                return _read_body(pixels, plan, matrix, calibrated, header, check)
            except (TooManyErrors, PartDamaged) as error:
                failure = failure or error
    raise failure or MarksNotFound(found=most_marks, wanted=4)


def _readings(data: bytes) -> Iterator[Reading | OpticalError]:
    """Every frame of a file, read, or why it was not."""
    unreadable = 0
    frames = read_pixels(data)
    while unreadable < MOST_UNREADABLE_FRAMES:
        try:
            pixels = next(frames, None)
        except OpticalError as error:  # the file itself is broken from here on
            yield error
            return
        if pixels is None:
            return
        try:
            yield read_picture(pixels)
        except OpticalError as error:
            unreadable += 1
            yield error


def _message(header: Header) -> tuple[bytes, int, int]:
    return header.message_check, header.message_bytes, header.count


def _candidates(
    pixels: Pixels, marks: tuple[Mark, Mark, Mark, Mark]
) -> Iterator[tuple[Layout, Floats, Reference]]:
    """Ways to lay the grid over four marks, likeliest first: the number of cells by the timing lines, the turn
    and the mirror image by the calibration patches."""
    corners = np.array([(mark.x, mark.y) for mark in marks])
    lengths = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
    suggested = float(lengths.mean() / np.mean([mark.unit for mark in marks])) + FINDER_CELLS
    by_timing: list[tuple[float, int]] = []
    for side in sides():
        if abs(side - suggested) > SIDE_TOLERANCE * suggested + 2:
            continue
        matrix = projection(corners, side)
        by_timing.append((-timing_strength(pixels, matrix, layout(side)), side))
    for strength, side in sorted(by_timing)[:SIDES_TRIED]:
        if -strength < LEAST_TIMING:
            return
        plan = layout(side)
        ideal = np.array(COLOURS, dtype=np.float64)[plan.calibration_states]
        turned: list[tuple[float, int, Floats, Floats]] = []
        for turn in range(8):
            order = np.roll(corners, -(turn % 4), axis=0)
            if turn >= 4:
                order = order[[0, 3, 2, 1]]
            matrix = projection(order, side)
            samples = sample(pixels, matrix, plan.calibration)
            turned.append((-likeness(samples, ideal), turn, matrix, samples))
        turned.sort(key=lambda entry: entry[:2])
        for _, _, matrix, samples in turned[:ORIENTATIONS_TRIED]:
            yield plan, matrix, reference(samples, plan.calibration_states, len(COLOURS))


def _read_header(pixels: Pixels, plan: Layout, matrix: Floats, calibrated: Reference) -> tuple[Header, bytes]:
    used = states(HEADER_BITS_PER_CELL)
    values, certainty = classify(sample(pixels, matrix, plan.header), calibrated, used)
    coded, sure = _bytes_of(values, certainty, HEADER_BITS_PER_CELL)
    return decode_header(decode_header_bytes(coded, sure))


def _read_body(
    pixels: Pixels, plan: Layout, matrix: Floats, calibrated: Reference, header: Header, check: bytes
) -> Reading:
    values, certainty = classify(sample(pixels, matrix, plan.body), calibrated, states(header.bits_per_cell))
    coded, sure = _bytes_of(values, certainty, header.bits_per_cell)
    body = body_blocks(plan, header.bits_per_cell, header.redundancy)
    length = header.part_length()
    if length > body.data_bytes:
        raise PartDamaged(number=header.number)
    padded, corrected = decode_body(coded, sure, body)
    part = padded[:length]
    if any(padded[length:]) or not part_is_intact(header, part, check[:CHECK_BYTES]):
        raise PartDamaged(number=header.number)
    return Reading(header, part, plan.cells, corrected, separation(calibrated))


def _bytes_of(values: npt.NDArray[np.int64], certainty: Floats, bits_per_cell: int) -> tuple[bytes, Floats]:
    """Whole bytes of the cells' values, and of each the certainty of its least certain cell."""
    bits = (values[:, None] >> np.arange(bits_per_cell)[::-1]) & 1
    sure = np.repeat(certainty, bits_per_cell)
    count = len(values) * bits_per_cell // 8
    data = np.packbits(bits.reshape(-1)[: 8 * count].astype(np.uint8))
    return data.tobytes(), sure[: 8 * count].reshape(count, 8).min(axis=1)
