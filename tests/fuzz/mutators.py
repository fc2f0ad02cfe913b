"""Seeded, structure-aware mutations of encoded bytes, for every decoder of the project.

`mutations(rng, raw)` returns one mutant: plain damage (bits, slices), and what a MessagePack decoder may stumble over
(widened integers and lengths, foreign types, containers that claim too much, nesting, trailing bytes).
"""

import random
from collections.abc import Callable, Iterator

INTERESTING_INTEGERS = (
    0,
    1,
    127,
    128,
    255,
    256,
    65_535,
    65_536,
    2**31 - 1,
    2**32 - 1,
    2**63 - 1,
    2**63,
    2**64 - 1,
)

FOREIGN_VALUES = (
    b"\xc0",  # nil
    b"\xc2",  # false
    b"\xc3",  # true
    b"\xca\x7f\xc0\x00\x00",  # float 32 NaN
    b"\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00",  # float 64, 1.0
    b"\xff",  # -1
    b"\xd3" + b"\xff" * 8,  # int 64, -1
    b"\xcf" + b"\xff" * 8,  # uint 64, greatest
    b"\xa1\xff",  # str that is not UTF-8
    b"\xa3\xed\xa0\x80",  # str holding a lone surrogate
    b"\xd6\xff\x00\x00\x00\x00",  # ext: a timestamp
    b"\x90",  # empty array
    b"\x80",  # empty map
    b"\x81\x01\x01",  # map
)

HUGE_HEADERS = (
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
)


def mutations(rng: random.Random, raw: bytes) -> bytes:
    """One mutant of `raw`: one to four steps. May, rarely, equal it."""
    mutant = raw
    for _ in range(rng.choice((1, 1, 1, 2, 3, 4))):
        mutant = rng.choice(_STEPS)(rng, mutant)
    return mutant


def _place(rng: random.Random, raw: bytes) -> int:
    return rng.randrange(len(raw)) if raw else 0


def _flip_bit(rng: random.Random, raw: bytes) -> bytes:
    if not raw:
        return raw
    place = _place(rng, raw)
    return raw[:place] + bytes([raw[place] ^ (1 << rng.randrange(8))]) + raw[place + 1 :]


def _set_byte(rng: random.Random, raw: bytes) -> bytes:
    place = _place(rng, raw)
    return (
        raw[:place] + bytes([rng.choice((0, 0x7F, 0x80, 0xC1, 0xFF, rng.randrange(256)))]) + raw[place + 1 :]
    )


def _truncate(rng: random.Random, raw: bytes) -> bytes:
    return raw[: _place(rng, raw)]


def _extend(rng: random.Random, raw: bytes) -> bytes:
    return raw + rng.randbytes(rng.choice((1, 2, 8, 64)))


def _cut_slice(rng: random.Random, raw: bytes) -> bytes:
    start = _place(rng, raw)
    return raw[:start] + raw[start + rng.choice((1, 2, 4, 8, 32)) :]


def _repeat_slice(rng: random.Random, raw: bytes) -> bytes:
    start = _place(rng, raw)
    piece = raw[start : start + rng.choice((1, 4, 16, 64))]
    return raw[:start] + piece * rng.choice((2, 3, 300)) + raw[start + len(piece) :]


def _random_bytes(rng: random.Random, raw: bytes) -> bytes:
    return rng.randbytes(rng.choice((0, 1, 16, max(1, len(raw)))))


def _values(raw: bytes) -> list[tuple[int, int]]:
    """(start, end) of the scalar values inside the outermost array, as far as it can be read."""
    if not raw or raw[0] & 0xF0 != 0x90:
        return []
    found, start = [], 1
    while start < len(raw):
        end = _end_of_scalar(raw, start)
        if end is None:
            break
        found.append((start, end))
        start = end
    return found


def _end_of_scalar(raw: bytes, start: int) -> int | None:
    head = raw[start]
    if head < 0x80 or head >= 0xE0 or head in (0xC0, 0xC2, 0xC3):
        return start + 1
    if 0xA0 <= head < 0xC0:
        return start + 1 + (head & 0x1F)
    fixed = {0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9, 0xCA: 5, 0xCB: 9}
    if head in fixed:
        return start + fixed[head]
    width = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}.get(head)
    if width is None:
        return None
    return start + 1 + width + int.from_bytes(raw[start + 1 : start + 1 + width], "big")


def _replace_value(rng: random.Random, raw: bytes) -> bytes:
    places = _values(raw)
    if not places:
        return rng.choice(FOREIGN_VALUES) + raw
    start, end = rng.choice(places)
    choice = rng.randrange(3)
    if choice == 0:
        new = rng.choice(FOREIGN_VALUES)
    elif choice == 1:
        new = b"\xcf" + rng.choice(INTERESTING_INTEGERS).to_bytes(8, "big")
    else:
        new = rng.choice(HUGE_HEADERS)
    return raw[:start] + new + raw[end:]


def _widen_value(rng: random.Random, raw: bytes) -> bytes:
    """The same value in a longer spelling: never canonical."""
    places = _values(raw)
    if not places:
        return raw
    start, end = rng.choice(places)
    head = raw[start]
    if head < 0x80:
        new = b"\xcc" + raw[start:end]
    elif head in (0xCC, 0xCD, 0xCE):
        new = b"\xcf" + raw[start + 1 : end].rjust(8, b"\0")
    elif head == 0xC4:
        new = b"\xc5\x00" + raw[start + 1 : end]
    elif 0xA0 <= head < 0xC0:
        new = b"\xd9" + bytes([head & 0x1F]) + raw[start + 1 : end]
    else:
        return raw
    return raw[:start] + new + raw[end:]


def _swap_values(rng: random.Random, raw: bytes) -> bytes:
    places = _values(raw)
    if len(places) < 2:
        return raw
    (first_start, first_end), (second_start, second_end) = sorted(rng.sample(places, 2))
    return (
        raw[:first_start]
        + raw[second_start:second_end]
        + raw[first_end:second_start]
        + raw[first_start:first_end]
        + raw[second_end:]
    )


def _drop_or_double_value(rng: random.Random, raw: bytes) -> bytes:
    """One value less or more, with the array's header corrected half of the time."""
    places = _values(raw)
    if not places:
        return raw
    start, end = rng.choice(places)
    more = rng.random() < 0.5
    body = raw[1:end] + raw[start:] if more else raw[1:start] + raw[end:]
    count = len(places) + (1 if more else -1)
    header = bytes([0x90 | (count & 0x0F)]) if rng.random() < 0.5 else raw[:1]
    return header + body


def _widen_array_header(rng: random.Random, raw: bytes) -> bytes:
    if not raw or raw[0] & 0xF0 != 0x90:
        return raw
    count = raw[0] & 0x0F
    return rng.choice((b"\xdc" + count.to_bytes(2, "big"), b"\xdd" + count.to_bytes(4, "big"))) + raw[1:]


def _claim_too_much(rng: random.Random, raw: bytes) -> bytes:
    place = _place(rng, raw)
    return raw[:place] + rng.choice(HUGE_HEADERS) + raw[place:]


def _nest(rng: random.Random, raw: bytes) -> bytes:
    place = _place(rng, raw)
    return raw[:place] + rng.choice((b"\x91", b"\x81\x01")) * rng.choice((1, 20, 2_000)) + raw[place:]


_STEPS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    _flip_bit,
    _set_byte,
    _truncate,
    _extend,
    _cut_slice,
    _repeat_slice,
    _random_bytes,
    _replace_value,
    _replace_value,
    _widen_value,
    _widen_value,
    _swap_values,
    _drop_or_double_value,
    _widen_array_header,
    _claim_too_much,
    _nest,
)


def mutants(seed: int, corpus: list[bytes], count: int) -> Iterator[bytes]:
    """`count` mutants of the corpus, the same for the same seed."""
    rng = random.Random(seed)
    for _ in range(count):
        yield mutations(rng, rng.choice(corpus))
