"""Frames out of a stream of bytes, whatever stands between them. Source: README, The stream.

A place where a plausible header begins is a candidate; a candidate whose checksum fits and whose letters or symbols are
some is a frame; every other byte is garbage. After a candidate whose checksum does not fit the search goes on at the
very next byte, so damage never swallows a frame that follows. Checking a candidate costs the same however long it
claims to be (`RunningChecksum`), so the whole is O(n) even when a stranger sends nothing but headers. Between calls the
buffer holds at most one longest frame and a row.
"""

import re
from dataclasses import dataclass
from typing import Final

from wnsp.crc32c import RunningChecksum
from wnsp.errors import WnspError
from wnsp.frame import (
    CHECKSUM_BYTES,
    HEADER_BYTES,
    OVERHEAD_BYTES,
    SYNC,
    WNSPFrame,
    frame_of_checked_bytes,
    plausible_second_byte,
    plausible_third_byte,
)


@dataclass(frozen=True, slots=True)
class Garbage:
    """Bytes of the stream that belong to no frame."""

    offset: int
    """Place of the first, counted from the stream's first byte."""
    length: int


def _candidate_pattern() -> re.Pattern[bytes]:
    """The first four bytes that a frame can have."""

    def one_of(values: list[int]) -> bytes:
        return b"[" + b"".join(b"\\x%02x" % value for value in values) + b"]"

    second = one_of([byte for byte in range(256) if plausible_second_byte(byte)])
    plain = one_of([byte for byte in range(256) if plausible_third_byte(byte, 0)])
    sealed = one_of([byte for byte in range(256) if plausible_third_byte(byte, 1)])
    return re.compile(
        b"\\x%02x" % SYNC + second + b"(?:" + plain + b"\\x00|" + sealed + b"[^\\x00])", re.DOTALL
    )


_CANDIDATE: Final = _candidate_pattern()
_PATTERN_BYTES: Final = 4
_PIECE_BYTES: Final = 1 << 16


class FrameDecoder:
    """Feed bytes as they come; `finish` when there are no more."""

    def __init__(self) -> None:
        self._stream = RunningChecksum()
        self._place = 0
        """Nothing before this is needed any more."""
        self._needed_end = 0
        """Until the stream is this long, there is nothing to decide."""

    @property
    def buffered_bytes(self) -> int:
        """Bytes that wait for the rest of their frame; at most one longest frame and a row."""
        return len(self._stream.buffer)

    def feed(self, data: bytes) -> tuple[WNSPFrame | Garbage, ...]:
        """What has become certain with `data`, in order of the stream. Raises nothing. O(len(data)) over time."""
        found: list[WNSPFrame | Garbage] = []
        for start in range(0, len(data), _PIECE_BYTES):
            self._stream.append(data[start : start + _PIECE_BYTES])
            if self._stream.end >= self._needed_end:
                self._scan(found, ended=False)
                self._stream.forget_before(self._place)
        return tuple(found)

    def finish(self) -> tuple[WNSPFrame | Garbage, ...]:
        """What the bytes still waiting are, now that no more come; the decoder is then as after a gap in the stream."""
        found: list[WNSPFrame | Garbage] = []
        self._scan(found, ended=True)
        self._stream.forget_before(self._place)
        self._needed_end = 0
        return tuple(found)

    def _scan(self, found: list[WNSPFrame | Garbage], *, ended: bool) -> None:
        """Decide on as many bytes as can be decided on, from `_place` on."""
        stream = self._stream
        search_from = self._place
        while True:
            begin, is_whole = self._next_candidate(search_from, ended)
            if not is_whole:
                self._give_up_before(begin, found)
                self._needed_end = begin + _PATTERN_BYTES
                return
            end = self._end_of_candidate(begin)
            if end > stream.end:
                if ended:
                    search_from = begin + 1
                    continue
                self._give_up_before(begin, found)
                self._needed_end = end
                return
            if not self._checksum_fits(begin, end):
                search_from = begin + 1
                continue
            search_from = end
            frame = self._frame(begin, end)
            if frame is not None:
                self._give_up_before(begin, found)
                found.append(frame)
                self._place = end

    def _next_candidate(self, first: int, ended: bool) -> tuple[int, bool]:
        """Where the next candidate begins, and whether its first four bytes are there.

        Without any: the place from which one may still begin when more bytes come.
        """
        stream = self._stream
        match = _CANDIDATE.search(stream.buffer, first - stream.begin)
        if match:
            return stream.begin + match.start(), True
        if ended:
            return stream.end, False
        tail = max(first, stream.end - _PATTERN_BYTES + 1)
        sync = stream.buffer.find(SYNC, tail - stream.begin)
        return (stream.begin + sync if sync >= 0 else stream.end), False

    def _end_of_candidate(self, begin: int) -> int:
        """As its header says; the header's end while the length is not there yet."""
        at = begin - self._stream.begin
        buffer = self._stream.buffer
        if len(buffer) < at + HEADER_BYTES:
            return begin + OVERHEAD_BYTES
        return begin + OVERHEAD_BYTES + (buffer[at + 10] << 8 | buffer[at + 11])

    def _checksum_fits(self, begin: int, end: int) -> bool:
        stream = self._stream
        at = end - CHECKSUM_BYTES - stream.begin
        found = int.from_bytes(stream.buffer[at : at + CHECKSUM_BYTES], "big")
        return stream.of(begin, end - CHECKSUM_BYTES) == found

    def _frame(self, begin: int, end: int) -> WNSPFrame | None:
        """The frame at these places, whose checksum fits, or None when its fields say that it is none.

        Then all of it is garbage: going on inside would cost its length again for every header in it.
        """
        stream = self._stream
        try:
            return frame_of_checked_bytes(bytes(stream.buffer[begin - stream.begin : end - stream.begin]))
        except WnspError:
            return None

    def _give_up_before(self, place: int, found: list[WNSPFrame | Garbage]) -> None:
        """All bytes from `_place` to `place` are garbage, joined to garbage found just before."""
        length = place - self._place
        if length <= 0:
            return
        previous = found[-1] if found else None
        if isinstance(previous, Garbage):
            found[-1] = Garbage(previous.offset, previous.length + length)
        else:
            found.append(Garbage(self._place, length))
        self._place = place
