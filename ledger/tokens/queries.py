"""What people ask about tokens, read from a state; for RPC and the console. Writes nothing."""

from collections.abc import Iterator

from ledger.state import StateListing
from ledger.tokens.records import (
    TOKEN_BALANCE_PREFIX,
    TOKEN_CODEC,
    TOKEN_PREFIX,
    TokenInfo,
    decode_balance,
)


def tokens(state: StateListing) -> Iterator[tuple[bytes, TokenInfo]]:
    """(id, token) of all tokens there ever were, ascending by id. Lazy: take as many as a page holds."""
    for key, value in state.state(TOKEN_PREFIX):
        yield key[len(TOKEN_PREFIX) :], TOKEN_CODEC.decode(value)


def balances_of(state: StateListing, address: bytes) -> Iterator[tuple[bytes, int]]:
    """(token id, units) of what `address` has, ascending by id. NXT is in its account."""
    prefix = TOKEN_BALANCE_PREFIX + address
    for key, value in state.state(prefix):
        yield key[len(prefix) :], decode_balance(value)
