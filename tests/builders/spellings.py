"""Every longer MessagePack spelling of the values in an encoding: what a canonical decoder must refuse."""

from collections.abc import Iterator


def respellings(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """(what was changed, bytes) for each value of `raw` (integers, bin, str, arrays) in each longer form it has.

    MessagePack readers that are not strict give the same value for all of them.
    """
    at = 0
    while at < len(raw):
        header, content, kind, value = _token(raw, at)
        for spelled in _longer(kind, value, header):
            yield f"{kind} {value} at byte {at} as {spelled.hex()}", raw[:at] + spelled + raw[at + header :]
        at += header + content


def _token(raw: bytes, at: int) -> tuple[int, int, str, int]:
    """(bytes of the header, bytes of content that follow, kind, number that the header holds)."""
    first = raw[at]
    if first <= 0x7F:
        return 1, 0, "int", first
    if first in (0xC2, 0xC3):
        return 1, 0, "bool", first & 1
    if 0x90 <= first <= 0x9F:
        return 1, 0, "array", first & 0x0F
    if 0xA0 <= first <= 0xBF:
        return 1, first & 0x1F, "str", first & 0x1F
    for kind, base, widths in (
        ("bin", 0xC4, (1, 2, 4)),
        ("int", 0xCC, (1, 2, 4, 8)),
        ("str", 0xD9, (1, 2, 4)),
        ("array", 0xDC, (2, 4)),
    ):
        if base <= first < base + len(widths):
            width = widths[first - base]
            value = int.from_bytes(raw[at + 1 : at + 1 + width], "big")
            return 1 + width, value if kind in ("bin", "str") else 0, kind, value
    raise AssertionError(f"byte {first:#x} is in none of our encodings")


def _longer(kind: str, value: int, header: int) -> Iterator[bytes]:
    spellings: dict[str, tuple[tuple[int, int], ...]] = {
        "bool": (),
        "int": ((0xCC, 1), (0xCD, 2), (0xCE, 4), (0xCF, 8), (0xD0, 1), (0xD1, 2), (0xD2, 4), (0xD3, 8)),
        "bin": ((0xC4, 1), (0xC5, 2), (0xC6, 4)),
        "str": ((0xD9, 1), (0xDA, 2), (0xDB, 4)),
        "array": ((0xDC, 2), (0xDD, 4)),
    }
    for lead, width in spellings[kind]:
        greatest = 1 << (8 * width - (1 if kind == "int" and lead >= 0xD0 else 0))
        is_signed = kind == "int" and lead >= 0xD0
        if value < greatest and (1 + width > header or (is_signed and 1 + width >= header)):
            yield bytes([lead]) + value.to_bytes(width, "big")
