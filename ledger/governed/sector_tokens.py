"""Which token stands for a sector: its exchange pool against NXT is the one that the sector seeds with liquidity."""

from typing import Final

from ledger.accounts import SECTORS
from ledger.state import Overlay, StateReader

SECTOR_TOKEN_PREFIX: Final = b"gs"
"""State key of a sector's token: `gs` ‖ sector u8; value: the token's id, 20 bytes."""

SECTOR_COUNT: Final = len(SECTORS)


def sector_token_key(sector: int) -> bytes:
    """State key of the token of a sector, its place in `ledger.accounts.SECTORS`."""
    return SECTOR_TOKEN_PREFIX + bytes([sector])


def read_sector_token(reader: StateReader, sector: int) -> bytes | None:
    """The id (20 bytes) of the sector's token, or None."""
    return reader.get(sector_token_key(sector))


def write_sector_token(overlay: Overlay, sector: int, token: bytes) -> None:
    """Name the token (20 bytes) of a sector, instead of the one before."""
    overlay.put(sector_token_key(sector), token)
