"""The frame: 12 bytes of header, payload, CRC-32C. Source: README, The frame.

`encode_frame` and `decode_frame` are exact inverses on valid frames. Decoding raises `FrameError`s (and `SymbolError`s
for payloads of letters or text) and nothing else.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from wnsp.alphabet import (
    BITS_PER_SYMBOL,
    SYMBOLS,
    encode_letters,
    encode_text,
    require_letters,
    require_symbols,
)
from wnsp.crc32c import crc32c
from wnsp.errors import (
    ChecksumMismatch,
    FrameFieldRefused,
    FrameLengthWrong,
    FrameTooShort,
    MessageTooLong,
    SyncMissing,
)
from wnsp.spectrum import BAND_COUNT

SYNC: Final = 0xAB
HEADER_BYTES: Final = 12
CHECKSUM_BYTES: Final = 4
OVERHEAD_BYTES: Final = HEADER_BYTES + CHECKSUM_BYTES
MAX_PAYLOAD_BYTES: Final = 0xFFFF
MAX_FRAME_BYTES: Final = OVERHEAD_BYTES + MAX_PAYLOAD_BYTES
MAX_SEQUENCE: Final = 0xFFFFFFFF
MAX_FRAGMENT: Final = 0xFFFF

LETTER_MS: Final = 100
"""How long a letter of version 1 is shown."""
FRAME_MS: Final = 50
"""How long a frame of version 2 is shown."""

_HEADER: Final = struct.Struct(">BBBBIHH")
_CHECKSUM: Final = struct.Struct(">I")


class FrameType(IntEnum):
    """What the payload is. 0 is never used, so that a run of zeros is no frame."""

    LETTERS = 1
    """Version 1 only: letters with intensities, one byte each."""
    TEXT = 2
    """Version 2: symbols as characters, one byte each, the high two bits zero."""
    BYTES = 3
    """Version 2: any bytes, on light as base-64 symbols; a fragment of a message."""


class Modulation(IntEnum):
    """How a carrier in the frame's band carries the payload's bits."""

    OOK = 0
    ASK = 1
    FSK = 2
    PSK = 3
    QPSK = 4
    QAM16 = 5
    QAM64 = 6

    @property
    def bits_per_symbol(self) -> int:
        """Bits that one symbol of the carrier holds."""
        return _BITS_PER_SYMBOL[self]


_BITS_PER_SYMBOL: Final = (1, 1, 1, 1, 2, 4, 6)

VERSION_OF_TYPE: Final = {FrameType.LETTERS: 1, FrameType.TEXT: 2, FrameType.BYTES: 2}


@dataclass(frozen=True, slots=True)
class WNSPFrame:
    """One frame. Every combination of fields that `encode_frame` accepts has exactly one spelling."""

    version: int
    """1 (letters) or 2."""
    type: int
    """A `FrameType`."""
    region: int
    """Index of the spectral band whose carrier sends it, 0 (violet) to 5 (red)."""
    modulation: int
    """A `Modulation`."""
    last: bool
    """The message's last fragment."""
    encrypted: bool
    """The payload belongs to a sealed message; true exactly when `scheme` is not 0."""
    scheme: int
    """How it is sealed, 0 to 255; 0 is not at all. The numbers are those of `wnsp/ciphers`."""
    sequence: int
    """The message's number at its sender, 32 bits."""
    fragment: int
    """Place of the payload in the message, from 0, 16 bits."""
    payload: bytes
    """At most 65,535 bytes."""


def plausible_second_byte(byte: int) -> bool:
    """Whether version and type of a frame can be spelled so."""
    return byte in _SECOND_BYTES


_SECOND_BYTES: Final = frozenset(version << 4 | kind for kind, version in VERSION_OF_TYPE.items())


def plausible_third_byte(byte: int, scheme: int) -> bool:
    """Whether region, modulation and the encrypted bit can be spelled so beside `scheme`."""
    return byte >> 5 < BAND_COUNT and byte >> 2 & 7 < len(_BITS_PER_SYMBOL) and bool(byte & 1) == bool(scheme)


def encode_frame(frame: WNSPFrame) -> bytes:
    """The frame's bytes, 16 more than its payload. Errors: `FrameFieldRefused`, `SymbolOutOfRange`."""
    _require_fields(frame)
    body = (
        _HEADER.pack(
            SYNC,
            frame.version << 4 | frame.type,
            frame.region << 5 | frame.modulation << 2 | frame.last << 1 | frame.encrypted,
            frame.scheme,
            frame.sequence,
            frame.fragment,
            len(frame.payload),
        )
        + frame.payload
    )
    return body + _CHECKSUM.pack(crc32c(body))


def decode_frame(raw: bytes) -> WNSPFrame:
    """The frame that `raw` is, with nothing before or after it.

    Errors, in this order: `FrameTooShort`, `SyncMissing`, `FrameLengthWrong`, `ChecksumMismatch`, `FrameFieldRefused`,
    `SymbolOutOfRange`.
    """
    if len(raw) < OVERHEAD_BYTES:
        raise FrameTooShort(len(raw), OVERHEAD_BYTES)
    if raw[0] != SYNC:
        raise SyncMissing(raw[0], SYNC)
    expected = OVERHEAD_BYTES + (raw[10] << 8 | raw[11])
    if len(raw) != expected:
        raise FrameLengthWrong(len(raw), expected)
    computed = crc32c(memoryview(raw)[:-CHECKSUM_BYTES])
    (found,) = _CHECKSUM.unpack_from(raw, len(raw) - CHECKSUM_BYTES)
    if found != computed:
        raise ChecksumMismatch(found, computed)
    return frame_of_checked_bytes(raw)


def frame_of_checked_bytes(raw: bytes) -> WNSPFrame:
    """The frame of bytes whose sync, length and checksum are right. Errors: `FrameFieldRefused`, `SymbolOutOfRange`."""
    _, second, third, scheme, sequence, fragment, _ = _HEADER.unpack_from(raw)
    frame = WNSPFrame(
        version=second >> 4,
        type=second & 0x0F,
        region=third >> 5,
        modulation=third >> 2 & 7,
        last=bool(third & 2),
        encrypted=bool(third & 1),
        scheme=scheme,
        sequence=sequence,
        fragment=fragment,
        payload=bytes(raw[HEADER_BYTES:-CHECKSUM_BYTES]),
    )
    _require_fields(frame)
    return frame


def _require_fields(frame: WNSPFrame) -> None:
    """Every field has a meaning. Errors: `FrameFieldRefused`, `SymbolOutOfRange`."""
    for name, value, greatest in (
        ("region", frame.region, BAND_COUNT - 1),
        ("modulation", frame.modulation, len(_BITS_PER_SYMBOL) - 1),
        ("scheme", frame.scheme, 0xFF),
        ("sequence", frame.sequence, MAX_SEQUENCE),
        ("fragment", frame.fragment, MAX_FRAGMENT),
        ("payload length", len(frame.payload), MAX_PAYLOAD_BYTES),
    ):
        if not 0 <= value <= greatest:
            raise FrameFieldRefused(name, f"{value}, expected 0 to {greatest}")
    if frame.version << 4 | frame.type not in _SECOND_BYTES:
        raise FrameFieldRefused(
            "version and type", f"{frame.version} and {frame.type}, expected 1 and 1, 2 and 2, or 2 and 3"
        )
    if frame.encrypted != (frame.scheme != 0):
        raise FrameFieldRefused(
            "scheme", f"{frame.scheme} while the encrypted bit is {int(frame.encrypted)}; 0 goes with 0 only"
        )
    if frame.type == FrameType.LETTERS:
        require_letters(frame.payload)
    elif frame.type == FrameType.TEXT:
        require_symbols(frame.payload, len(SYMBOLS.characters))


def letters_frame(
    text: str, *, intensity: int = 7, sequence: int = 0, region: int = 0, modulation: int = Modulation.OOK
) -> WNSPFrame:
    """A frame of version 1, A to Z only. Errors: `CharacterUnsupported`, `IntensityOutOfRange`, `MessageTooLong`."""
    return _single(1, FrameType.LETTERS, region, modulation, sequence, encode_letters(text, intensity))


def text_frame(
    text: str, *, sequence: int = 0, region: int = 0, modulation: int = Modulation.OOK
) -> WNSPFrame:
    """A frame of version 2 with characters of the 64. Errors: `CharacterUnsupported`, `MessageTooLong`."""
    return _single(2, FrameType.TEXT, region, modulation, sequence, encode_text(text))


def _single(
    version: int, kind: FrameType, region: int, modulation: int, sequence: int, payload: bytes
) -> WNSPFrame:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise MessageTooLong(len(payload), MAX_PAYLOAD_BYTES)
    return WNSPFrame(version, kind, region, modulation, True, False, 0, sequence, 0, payload)


def light_symbols(frame: WNSPFrame) -> int:
    """How many symbols of its alphabet show the payload: one per letter or character, four for three bytes."""
    if frame.type == FrameType.BYTES:
        return -(-8 * len(frame.payload) // BITS_PER_SYMBOL)
    return len(frame.payload)


def carrier_symbols(frame: WNSPFrame) -> int:
    """How many symbols of the frame's modulation carry the whole frame, the last one filled with zero bits."""
    return -(-8 * (OVERHEAD_BYTES + len(frame.payload)) // _BITS_PER_SYMBOL[frame.modulation])


def display_ms(frame: WNSPFrame) -> int:
    """How long a display shows the frame: 100 ms per letter, 50 ms per frame of version 2."""
    return LETTER_MS * len(frame.payload) if frame.version == 1 else FRAME_MS
