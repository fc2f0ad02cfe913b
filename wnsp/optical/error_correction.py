"""Reed-Solomon over GF(256) for a picture's bytes, by reedsolo; interleaved and whitened.

A picture of `capacity` bytes holds ceil(capacity / 255) blocks whose lengths differ by one at most; all have the
same even number of parity bytes, `redundancy` eighths of the shorter. Byte i of block j stands at i · blocks + j,
so that a patch of damage falls on all blocks alike. Then a fixed SHAKE-128 stream is XORed over all, so that no
content (such as zeros) makes a field of one colour.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from reedsolo import ReedSolomonError, RSCodec

from wnsp.optical.errors import TooManyErrors
from wnsp.optical.header import HEADER_BYTES

MOST_BLOCK_BYTES = 255
HEADER_PARITY_BYTES = 16
HEADER_CODED_BYTES = HEADER_BYTES + HEADER_PARITY_BYTES
ERASURE_SHARES = (0.5, 0.85)
"""Of a block's parity: how many of its least certain bytes are given up as erased where plain correction fails."""
MOST_BLOCKS_WITH_ERASURES = 24
"""Per picture; bounds the time that a hostile picture costs."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """How a picture's bytes fall into blocks."""

    lengths: tuple[int, ...]
    parity_bytes: int

    @property
    def data_bytes(self) -> int:
        return sum(self.lengths) - len(self.lengths) * self.parity_bytes


def blocks(capacity_bytes: int, redundancy: int) -> Blocks:
    """The blocks of a picture. `capacity_bytes` may be too small for any data: then `data_bytes` is what remains."""
    count = max(1, -(-capacity_bytes // MOST_BLOCK_BYTES))
    short, longer = divmod(capacity_bytes, count)
    parity = max(2, short * redundancy // 16 * 2)
    return Blocks(tuple(short + (number < longer) for number in range(count)), parity)


def encode_body(part: bytes, plan: Blocks) -> bytes:
    """Coded bytes of a part no longer than `plan.data_bytes`, padded with zeros."""
    padded = part.ljust(plan.data_bytes, b"\0")
    codec = _codec(plan.parity_bytes)
    coded = np.zeros(sum(plan.lengths), dtype=np.uint8)
    start = 0
    for number, length in enumerate(plan.lengths):
        size = length - plan.parity_bytes
        block = bytes(codec.encode(padded[start : start + size]))
        coded[number :: len(plan.lengths)][:length] = np.frombuffer(block, dtype=np.uint8)
        start += size
    return _whitened(coded).tobytes()


def decode_body(coded: bytes, certainty: npt.NDArray[np.float64], plan: Blocks) -> tuple[bytes, int]:
    """The padded part and the number of bytes that were corrected.

    `certainty: float64[len(coded)]`, greater is surer. Raises TooManyErrors.
    """
    plain = _whitened(np.frombuffer(coded, dtype=np.uint8))
    count = len(plan.lengths)
    parts: list[bytes] = []
    corrected = 0
    tries_left = MOST_BLOCKS_WITH_ERASURES * len(ERASURE_SHARES)
    for number, length in enumerate(plan.lengths):
        block = plain[number::count][:length].tobytes()
        doubtful = np.argsort(certainty[number::count][:length], kind="stable")
        message, spent = _decode_block(block, doubtful, plan.parity_bytes, number, tries_left)
        tries_left -= spent
        repaired = _codec(plan.parity_bytes).encode(message)
        corrected += sum(one != other for one, other in zip(block, repaired, strict=True))
        parts.append(message)
    return b"".join(parts), corrected


def encode_header_bytes(header: bytes) -> bytes:
    """32 bytes of 16."""
    return bytes(_codec(HEADER_PARITY_BYTES).encode(header))


def decode_header_bytes(coded: bytes, certainty: npt.NDArray[np.float64]) -> bytes:
    """16 bytes of 32. Raises TooManyErrors."""
    doubtful = np.argsort(certainty, kind="stable")
    return _decode_block(coded, doubtful, HEADER_PARITY_BYTES, -1, len(ERASURE_SHARES))[0]


def _decode_block(
    block: bytes, doubtful: npt.NDArray[np.int64], parity: int, number: int, tries: int
) -> tuple[bytes, int]:
    codec = _codec(parity)
    spent = 0
    for share in (0.0, *ERASURE_SHARES):
        if share and spent >= tries:
            break
        spent += share > 0
        erased = [int(position) for position in doubtful[: int(parity * share)]]
        try:
            return bytes(codec.decode(block, erase_pos=erased or None)[0]), spent
        except (ReedSolomonError, ZeroDivisionError, IndexError):
            continue  # reedsolo fails by division by zero or index on some words beyond its reach
    raise TooManyErrors(block=number, parity_bytes=parity)


@lru_cache(maxsize=128)
def _codec(parity_bytes: int) -> RSCodec:
    return RSCodec(parity_bytes)


def _whitened(coded: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    stream = hashlib.shake_128(b"wnsp/optical/whitening").digest(len(coded))
    return coded ^ np.frombuffer(stream, dtype=np.uint8)
