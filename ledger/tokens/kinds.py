"""The kinds `token_create`, `token_transfer` and `token_burn`."""

from typing import Annotated, Final

import msgspec

from ledger.accounts import SECTOR_ADDRESSES, is_reserved_address, reserved_name
from ledger.addresses import token_id
from ledger.encoding import Address20, Codec, Count, Record
from ledger.errors import ConservationBroken, PayloadInvalid, RecipientRefused
from ledger.registry import Kind, Rejected, spends_nothing
from ledger.rules import BlockContext, ChainRules
from ledger.state import Overlay
from ledger.tokens.names import check_name, check_symbol
from ledger.tokens.records import (
    UNKNOWN_TOKEN,
    Decimals,
    Name,
    Symbol,
    TokenInfo,
    credit_tokens,
    debit_tokens,
    move_tokens,
    read_token,
    write_token,
)
from ledger.transactions import SignedTransaction
from ledger.transfer import MAX_MEMO_BYTES

_SECTOR_ADDRESSES: Final = frozenset(SECTOR_ADDRESSES)


class TokenCreate(Record, frozen=True):
    """Payload of kind 20. The id follows from sender and nonce; the whole supply goes to the sender."""

    symbol: Symbol
    name: Name
    decimals: Decimals
    supply: Count
    """Units, at least 1; never more."""


class TokenTransfer(Record, frozen=True):
    """Payload of kind 21."""

    token: Address20
    recipient: Address20
    amount: Count
    """Units of the token, at least 1."""
    memo: Annotated[bytes, msgspec.Meta(max_length=MAX_MEMO_BYTES)]
    """Free bytes; never interpreted on chain."""


class TokenBurn(Record, frozen=True):
    """Payload of kind 22."""

    token: Address20
    amount: Count
    """Units of the token that the sender destroys, at least 1."""


def check_token_create(payload: TokenCreate, _: ChainRules) -> None:
    """What no state can make valid. Errors: `PayloadInvalid`."""
    check_symbol("token_create", payload.symbol)
    check_name("token_create", payload.name)
    _check_amount("token_create", "supply", payload.supply)


def check_token_transfer(payload: TokenTransfer, _: ChainRules) -> None:
    """What no state can make valid. Errors: `PayloadInvalid`, `RecipientRefused`.

    Of the reserved addresses only the sectors' may be paid to: so a sector gets what its exchange pool is seeded with.
    """
    _check_amount("token_transfer", "amount", payload.amount)
    if is_reserved_address(payload.recipient) and payload.recipient not in _SECTOR_ADDRESSES:
        raise RecipientRefused(reserved_name(payload.recipient))


def check_token_burn(payload: TokenBurn, _: ChainRules) -> None:
    """What no state can make valid. Errors: `PayloadInvalid`."""
    _check_amount("token_burn", "amount", payload.amount)


def _check_amount(kind: str, what: str, amount: int) -> None:
    if not amount:
        raise PayloadInvalid(kind, f"{what} is 0 units, expected at least 1")


def apply_token_create(
    overlay: Overlay, transaction: SignedTransaction, payload: TokenCreate, context: BlockContext
) -> None:
    """Put the token and give its creator all of it. Never rejected: nobody has had this nonce before."""
    creator = transaction.sender
    token = token_id(creator, transaction.body.nonce)
    info = TokenInfo(creator, payload.symbol, payload.name, payload.decimals, payload.supply, 0)
    write_token(overlay, token, info)
    credit_tokens(overlay, token, creator, payload.supply)


def apply_token_transfer(
    overlay: Overlay, transaction: SignedTransaction, payload: TokenTransfer, context: BlockContext
) -> None:
    """Move the units. Errors: `Rejected` UnknownToken, InsufficientTokens."""
    move_tokens(overlay, payload.token, transaction.sender, payload.recipient, payload.amount)


def apply_token_burn(
    overlay: Overlay, transaction: SignedTransaction, payload: TokenBurn, context: BlockContext
) -> tuple[int]:
    """Destroy units of the sender; the supply that is left. Errors: `Rejected` UnknownToken, InsufficientTokens."""
    token, amount = payload.token, payload.amount
    info = read_token(overlay, token)
    if info is None:
        raise Rejected(UNKNOWN_TOKEN, f"no token has the id {token.hex()}")
    debit_tokens(overlay, token, transaction.sender, amount)
    left = info.supply - amount
    if left < 0:
        raise ConservationBroken(f"token {token.hex()}", info.supply, amount)
    write_token(overlay, token, msgspec.structs.replace(info, supply=left, burned=info.burned + amount))
    return (left,)


def _token_and_balance(_: TokenCreate | TokenBurn) -> int:
    """The token and the sender's balance of it."""
    return 2


def _two_balances(_: TokenTransfer) -> int:
    """The sender's and the recipient's."""
    return 2


TOKEN_CREATE: Final = Kind(
    number=20,
    name="token_create",
    payload_codec=Codec(TokenCreate, "token_create payload", 128),
    check_payload=check_token_create,
    apply=apply_token_create,
    spends=spends_nothing,
    touches=_token_and_balance,
)
TOKEN_TRANSFER: Final = Kind(
    number=21,
    name="token_transfer",
    payload_codec=Codec(TokenTransfer, "token_transfer payload", 512),
    check_payload=check_token_transfer,
    apply=apply_token_transfer,
    spends=spends_nothing,
    touches=_two_balances,
)
TOKEN_BURN: Final = Kind(
    number=22,
    name="token_burn",
    payload_codec=Codec(TokenBurn, "token_burn payload", 64),
    check_payload=check_token_burn,
    apply=apply_token_burn,
    spends=spends_nothing,
    touches=_token_and_balance,
    result_names=("supply",),
)
TOKEN_KINDS: Final = (TOKEN_CREATE, TOKEN_TRANSFER, TOKEN_BURN)
