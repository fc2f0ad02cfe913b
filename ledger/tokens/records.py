"""What the state holds about tokens, and the functions that move them. Bytes: README.

An asset is 20 bytes: `NXT_ASSET`, or the id of a token. NXT is no token and has no record here.
"""

from typing import Annotated, Final

import msgspec

from ledger.accounts import decode_account
from ledger.addresses import NXT_ASSET
from ledger.encoding import MAX_INTEGER, Address20, Codec, Count, Record
from ledger.errors import Malformed
from ledger.registry import Rejected
from ledger.state import Overlay, StateReader, account_key
from ledger.tokens.names import MAX_NAME_BYTES, MAX_SYMBOL_CHARACTERS
from ledger.transfer import move_units

MAX_TOKEN_SUPPLY: Final = MAX_INTEGER
MAX_DECIMALS: Final = 18

UNKNOWN_TOKEN: Final = "UnknownToken"
INSUFFICIENT_TOKENS: Final = "InsufficientTokens"

TOKEN_PREFIX: Final = b"ti"
"""State key of a token: `ti` ‖ id; value `TokenInfo`. Never deleted."""
TOKEN_BALANCE_PREFIX: Final = b"tb"
"""State key of a balance: `tb` ‖ address ‖ id; value u64 big-endian, at least 1. Absent: 0."""

_BALANCE_BYTES: Final = 8

Symbol = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_SYMBOL_CHARACTERS)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_NAME_BYTES)]
"""At most so many characters here; `names.check_name` counts bytes."""
Decimals = Annotated[int, msgspec.Meta(ge=0, le=MAX_DECIMALS)]


class TokenInfo(Record, frozen=True):
    """One token."""

    creator: Address20
    symbol: Symbol
    """Not unique."""
    name: Name
    decimals: Decimals
    """Places that people write after the point; the chain counts whole units only."""
    supply: Count
    """Units that exist: the sum of all balances."""
    burned: Count
    """Units that existed once; supply + burned is what was created."""


TOKEN_CODEC: Final = Codec(TokenInfo, "token", 256)


def token_key(token: bytes) -> bytes:
    """State key of the token with an id of 20 bytes."""
    return TOKEN_PREFIX + token


def token_balance_key(address: bytes, token: bytes) -> bytes:
    """State key of what `address` has of a token."""
    return TOKEN_BALANCE_PREFIX + address + token


def read_token(reader: StateReader, token: bytes) -> TokenInfo | None:
    """The token with this id, or None. Errors: `CodecError` for a damaged state."""
    raw = reader.get(TOKEN_PREFIX + token)
    return None if raw is None else TOKEN_CODEC.decode(raw)


def write_token(overlay: Overlay, token: bytes, info: TokenInfo) -> None:
    """Put a token's record."""
    overlay.put(TOKEN_PREFIX + token, TOKEN_CODEC.encode(info))


def decode_balance(raw: bytes | None) -> int:
    """Units in the value of a balance; None is 0. Errors: `Malformed`."""
    if raw is None:
        return 0
    if len(raw) != _BALANCE_BYTES:
        raise Malformed("token balance", f"{len(raw)} bytes, expected {_BALANCE_BYTES}")
    return int.from_bytes(raw, "big")


def token_balance(reader: StateReader, address: bytes, token: bytes) -> int:
    """Units of a token that `address` has."""
    return decode_balance(reader.get(TOKEN_BALANCE_PREFIX + address + token))


def debit_tokens(overlay: Overlay, token: bytes, address: bytes, amount: int) -> None:
    """Take `amount` (>= 0) units of a token from `address`: to move or to burn them, or a token is not conserved.

    Errors: `Rejected` UnknownToken, InsufficientTokens, nothing written.
    """
    key = TOKEN_BALANCE_PREFIX + address + token
    balance = decode_balance(overlay.get(key))
    if amount < balance:
        overlay.put(key, (balance - amount).to_bytes(_BALANCE_BYTES, "big"))
    elif amount > balance:
        if read_token(overlay, token) is None:
            raise Rejected(UNKNOWN_TOKEN, f"no token has the id {token.hex()}")
        raise Rejected(INSUFFICIENT_TOKENS, f"{balance} units of token {token.hex()}, {amount} needed")
    elif amount:
        overlay.delete(key)


def credit_tokens(overlay: Overlay, token: bytes, address: bytes, amount: int) -> None:
    """Give `amount` (>= 0) units that were debited or are being created. No bound: no balance exceeds the supply."""
    if amount:
        key = TOKEN_BALANCE_PREFIX + address + token
        balance = decode_balance(overlay.get(key)) + amount
        overlay.put(key, balance.to_bytes(_BALANCE_BYTES, "big"))


def move_tokens(overlay: Overlay, token: bytes, sender: bytes, recipient: bytes, amount: int) -> None:
    """Take `amount` (>= 0) units of a token from one address and give them to another, or to the same.

    Two writes; atomic only within the caller's checkpoint. Errors: `Rejected` UnknownToken, InsufficientTokens,
    nothing written.
    """
    debit_tokens(overlay, token, sender, amount)
    credit_tokens(overlay, token, recipient, amount)


def asset_balance(reader: StateReader, address: bytes, asset: bytes) -> int:
    """Units of NXT or of a token that `address` has."""
    if asset == NXT_ASSET:
        if isinstance(reader, Overlay):
            return reader.account(address).balance
        raw = reader.get(account_key(address))
        return 0 if raw is None else decode_account(raw).balance
    return decode_balance(reader.get(TOKEN_BALANCE_PREFIX + address + asset))


def move_asset(overlay: Overlay, asset: bytes, sender: bytes, recipient: bytes, amount: int) -> None:
    """`move_units` or `move_tokens`. Errors: `Rejected` InsufficientBalance, UnknownToken, InsufficientTokens."""
    if asset == NXT_ASSET:
        move_units(overlay, sender, recipient, amount)
    else:
        move_tokens(overlay, asset, sender, recipient, amount)
