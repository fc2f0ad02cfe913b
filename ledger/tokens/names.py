"""What a token may call itself, and what any text on the chain must be for people to see it.

Rules over code points, not over a library's Unicode tables: those differ by version.

Two tokens may bear one symbol and one name; only ids are unique (README).
"""

import re
from typing import Final

from ledger.errors import PayloadInvalid

MAX_SYMBOL_CHARACTERS: Final = 12
MAX_NAME_BYTES: Final = 64
NATIVE_SYMBOL: Final = "NXT"
"""No token may bear it."""

_SYMBOL: Final = re.compile(r"[A-Z][A-Z0-9]{0,11}", re.ASCII)

_REFUSED: Final = (
    (0x0000, 0x001F),  # controls
    (0x007F, 0x00A0),  # delete, further controls, no-break space
    (0x00AD, 0x00AD),  # soft hyphen
    (0x034F, 0x034F),  # combining grapheme joiner
    (0x061C, 0x061C),  # Arabic letter mark
    (0x115F, 0x1160),  # Hangul fillers
    (0x1680, 0x1680),  # Ogham space
    (0x17B4, 0x17B5),  # Khmer inherent vowels
    (0x180B, 0x180F),  # Mongolian selectors and separator
    (0x2000, 0x200F),  # spaces, zero-width characters, direction marks
    (0x2028, 0x202F),  # line and paragraph separators, direction embeddings
    (0x205F, 0x206F),  # spaces, invisible operators, direction isolates
    (0x2800, 0x2800),  # blank Braille
    (0x3000, 0x3000),  # ideographic space
    (0x3164, 0x3164),  # Hangul filler
    (0xD800, 0xF8FF),  # surrogates, private use
    (0xFDD0, 0xFDEF),  # noncharacters
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFEFF, 0xFEFF),  # byte order mark
    (0xFFA0, 0xFFA0),  # Hangul filler
    (0xFFF0, 0xFFFF),  # specials
    (0x1BCA0, 0x1BCA3),  # shorthand controls
    (0x1D173, 0x1D17A),  # musical controls
    (0xE0000, 0x10FFFF),  # tags, variation selectors, private use
)
"""Code points (first, last) that nobody sees, that turn the text around, or that look like a space. With them are
refused the last two code points of every plane, which are no characters."""

_NONCHARACTERS: Final = tuple((plane << 16 | 0xFFFE, plane << 16 | 0xFFFF) for plane in range(17))

_UNSEEN: Final = re.compile(
    "[" + "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in (*_REFUSED, *_NONCHARACTERS)) + "]"
)
"""Any one of them. A pattern, because a look at each range for each character costs more than a signature."""


def check_symbol(kind: str, symbol: str) -> None:
    """1 to 12 characters A to Z and 0 to 9, the first a letter, not NXT. Errors: `PayloadInvalid`."""
    if _SYMBOL.fullmatch(symbol) is None:
        raise PayloadInvalid(
            kind, f"symbol {symbol[:40]!r} is not 1 to {MAX_SYMBOL_CHARACTERS} of A-Z and 0-9, a letter first"
        )
    if symbol == NATIVE_SYMBOL:
        raise PayloadInvalid(kind, f"symbol {NATIVE_SYMBOL} is the chain's own money; choose another")


def check_name(kind: str, name: str) -> None:
    """1 to 64 bytes of UTF-8, all visible; single spaces, none at an end. Errors: `PayloadInvalid`."""
    size = len(name.encode())
    if not 1 <= size <= MAX_NAME_BYTES:
        raise PayloadInvalid(kind, f"name has {size} bytes, expected 1 to {MAX_NAME_BYTES}")
    if name.strip(" ") != name or "  " in name:
        raise PayloadInvalid(kind, "name begins or ends with a space or has two in a row")
    require_visible(kind, "name", name)


def require_visible(kind: str, what: str, text: str) -> None:
    """No character that nobody sees, that turns the text around, or that looks like a space. Errors:
    `PayloadInvalid`."""
    found = _UNSEEN.search(text)
    if found is not None:
        raise PayloadInvalid(
            kind,
            f"character {found.start() + 1} of the {what} is U+{ord(found[0]):04X}, which cannot be seen",
        )
