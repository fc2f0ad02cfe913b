"""The kinds `pool_create`, `liquidity_add`, `liquidity_remove` and `swap`.

Their deadline is the envelope's `expiry_slot`, which is signed like everything else; their bounds are in the payloads.
"""

from typing import Annotated, Final

import msgspec

from ledger.addresses import NXT_ASSET
from ledger.encoding import Address20, Codec, Count, Record
from ledger.errors import PayloadInvalid
from ledger.exchange.liquidity import add_liquidity, create_pool, remove_liquidity
from ledger.exchange.math import GREATEST_FEE_BP, LEAST_FEE_BP
from ledger.exchange.pools import address_of_pair
from ledger.exchange.swapping import EXACT_IN, EXACT_OUT, MAX_HOPS, swap
from ledger.registry import Kind, spends_nothing
from ledger.rules import BlockContext, ChainRules
from ledger.state import Overlay
from ledger.transactions import SignedTransaction

_LIQUIDITY: Final = ("first", "second", "shares")


class PoolCreate(Record, frozen=True):
    """Payload of kind 30."""

    first: Address20
    second: Address20
    """Greater than `first`; NXT, 20 zero bytes, is less than every token."""
    fee_bp: Annotated[int, msgspec.Meta(ge=LEAST_FEE_BP, le=GREATEST_FEE_BP)]
    first_amount: Count
    second_amount: Count
    """The price at the beginning is second_amount / first_amount."""


class LiquidityAdd(Record, frozen=True):
    """Payload of kind 31."""

    first: Address20
    second: Address20
    max_first: Count
    max_second: Count
    min_shares: Count


class LiquidityRemove(Record, frozen=True):
    """Payload of kind 32."""

    first: Address20
    second: Address20
    shares: Count
    min_first: Count
    min_second: Count


class Swap(Record, frozen=True):
    """Payload of kind 33."""

    path: Annotated[tuple[Address20, ...], msgspec.Meta(min_length=2, max_length=MAX_HOPS + 1)]
    """Assets in the order of the trade; none twice, so no pool twice either."""
    exact: Annotated[int, msgspec.Meta(ge=EXACT_IN, le=EXACT_OUT)]
    """0: `amount` goes in; 1: `amount` comes out."""
    amount: Count
    limit: Count
    """exact 0: the least that comes out; exact 1: the most that goes in."""


def _check_pair(kind: str, first: bytes, second: bytes) -> None:
    if first >= second:
        raise PayloadInvalid(
            kind, f"first asset {first.hex()} is not less than the second, {second.hex()}; swap them"
        )


def _check_amounts(kind: str, **amounts: int) -> None:
    for name, amount in amounts.items():
        if not amount:
            raise PayloadInvalid(kind, f"{name} is 0, expected at least 1")


def check_pool_create(payload: PoolCreate, _: ChainRules) -> None:
    """What no state can make valid. Errors: `PayloadInvalid`."""
    _check_pair("pool_create", payload.first, payload.second)
    _check_amounts("pool_create", first_amount=payload.first_amount, second_amount=payload.second_amount)


def check_liquidity_add(payload: LiquidityAdd, _: ChainRules) -> None:
    """What no state can make valid. Errors: `PayloadInvalid`."""
    _check_pair("liquidity_add", payload.first, payload.second)
    _check_amounts("liquidity_add", max_first=payload.max_first, max_second=payload.max_second)


def check_liquidity_remove(payload: LiquidityRemove, _: ChainRules) -> None:
    """What no state can make valid. Errors: `PayloadInvalid`."""
    _check_pair("liquidity_remove", payload.first, payload.second)
    _check_amounts("liquidity_remove", shares=payload.shares)


def check_swap(payload: Swap, _: ChainRules) -> None:
    """What no state can make valid. Errors: `PayloadInvalid`."""
    path = payload.path
    for place, asset in enumerate(path):
        if asset in path[:place]:
            raise PayloadInvalid("swap", f"asset {asset.hex()} is twice in the path; a path has no cycles")
    _check_amounts("swap", amount=payload.amount, limit=payload.limit)


def apply_pool_create(
    overlay: Overlay, transaction: SignedTransaction, payload: PoolCreate, context: BlockContext
) -> tuple[int, int, int]:
    """Found the pool; errors as `create_pool`."""
    return create_pool(
        overlay,
        transaction.sender,
        payload.first,
        payload.second,
        payload.fee_bp,
        payload.first_amount,
        payload.second_amount,
        context,
    )


def apply_liquidity_add(
    overlay: Overlay, transaction: SignedTransaction, payload: LiquidityAdd, context: BlockContext
) -> tuple[int, int, int]:
    """Buy shares; errors as `add_liquidity`."""
    pool = address_of_pair(payload.first, payload.second)
    return add_liquidity(
        overlay,
        transaction.sender,
        pool,
        payload.max_first,
        payload.max_second,
        payload.min_shares,
        context,
    )


def apply_liquidity_remove(
    overlay: Overlay, transaction: SignedTransaction, payload: LiquidityRemove, context: BlockContext
) -> tuple[int, int, int]:
    """Give up shares; errors as `remove_liquidity`."""
    pool = address_of_pair(payload.first, payload.second)
    return remove_liquidity(
        overlay,
        transaction.sender,
        pool,
        payload.shares,
        payload.min_first,
        payload.min_second,
        context,
    )


def apply_swap(
    overlay: Overlay, transaction: SignedTransaction, payload: Swap, context: BlockContext
) -> tuple[int, int]:
    """Trade; errors as `swap`."""
    return swap(
        overlay,
        transaction.sender,
        payload.path,
        payload.exact,
        payload.amount,
        payload.limit,
        context,
    )


def _founding_units(payload: PoolCreate) -> int:
    """All of both amounts is taken."""
    return payload.first_amount if payload.first == NXT_ASSET else 0


def _least_added_units(payload: LiquidityAdd) -> int:
    """A share costs at least a unit of each; how much less than `max_first` it will be only the state knows."""
    return 1 if payload.first == NXT_ASSET else 0


def _least_swapped_units(payload: Swap) -> int:
    """What goes in, where that is signed; for an exact amount out, a unit: the price only the state knows."""
    if payload.path[0] != NXT_ASSET:
        return 0
    return payload.amount if payload.exact == EXACT_IN else 1


def _pool_records(payload: PoolCreate | LiquidityAdd | LiquidityRemove) -> int:
    """Pool, observations, position, the pool's two reserves, and the sender's balance of each token."""
    return 6 if payload.first == NXT_ASSET else 7


def _swap_records(payload: Swap) -> int:
    """Of each hop the pool, its observations and two reserves; and the sender's balances where they are tokens."""
    path = payload.path
    return 4 * (len(path) - 1) + (path[0] != NXT_ASSET) + (path[-1] != NXT_ASSET)


POOL_CREATE: Final = Kind(
    number=30,
    name="pool_create",
    payload_codec=Codec(PoolCreate, "pool_create payload", 128),
    check_payload=check_pool_create,
    apply=apply_pool_create,
    spends=_founding_units,
    touches=_pool_records,
    result_names=_LIQUIDITY,
)
LIQUIDITY_ADD: Final = Kind(
    number=31,
    name="liquidity_add",
    payload_codec=Codec(LiquidityAdd, "liquidity_add payload", 128),
    check_payload=check_liquidity_add,
    apply=apply_liquidity_add,
    spends=_least_added_units,
    touches=_pool_records,
    result_names=_LIQUIDITY,
)
LIQUIDITY_REMOVE: Final = Kind(
    number=32,
    name="liquidity_remove",
    payload_codec=Codec(LiquidityRemove, "liquidity_remove payload", 128),
    check_payload=check_liquidity_remove,
    apply=apply_liquidity_remove,
    spends=spends_nothing,
    touches=_pool_records,
    result_names=_LIQUIDITY,
)
SWAP: Final = Kind(
    number=33,
    name="swap",
    payload_codec=Codec(Swap, "swap payload", 192),
    check_payload=check_swap,
    apply=apply_swap,
    spends=_least_swapped_units,
    touches=_swap_records,
    result_names=("amount_in", "amount_out"),
)
EXCHANGE_KINDS: Final = (POOL_CREATE, LIQUIDITY_ADD, LIQUIDITY_REMOVE, SWAP)
