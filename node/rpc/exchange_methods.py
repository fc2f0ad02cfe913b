"""dex_*: pools, what a swap would give, who provides the liquidity, and average prices that are final."""

from consensus.finalised_state import FinalisedState
from consensus.params import epoch_at
from ledger.exchange.math import MINIMUM_SHARES
from ledger.exchange.pools import address_of_pair, pool_key
from ledger.exchange.positions import position_key
from ledger.exchange.queries import PoolView, PositionView, pool_view, pools, positions_of
from ledger.exchange.quotes import HopQuote, Quote, best_quote, quote
from ledger.exchange.swapping import EXACT_IN, EXACT_OUT
from ledger.exchange.twap import PRICE_BITS, Twap, observations_key, twap
from ledger.registry import Rejected
from ledger.state import MappingState, account_key
from ledger.storage.store import Reader
from ledger.tokens.records import token_balance_key
from node.finalised_keeper import NothingProved
from node.rpc.economy_schema import (
    NXT_TEXT,
    GetPool,
    GetPools,
    GetPositions,
    GetQuote,
    GetTwap,
    asset_bytes,
    asset_text,
)
from node.rpc.groups import Method, MethodGroup, SinkState
from node.rpc.paging import listed_after, page
from node.rpc.protocol import INVALID_PARAMS, NOT_FOUND, REJECTED, RpcError

PPM = 1_000_000
PRICE_PLACES = 18
"""Decimal places of a price, rounded down."""


class ExchangeMethods(MethodGroup):
    """The exchange."""

    def methods(self) -> tuple[Method, ...]:
        """See `MethodGroup`."""
        return (
            Method("dex_getPools", GetPools, self._get_pools),
            Method("dex_getPool", GetPool, self._get_pool),
            Method("dex_quote", GetQuote, self._quote),
            Method("dex_getPositions", GetPositions, self._get_positions),
            Method("dex_getTwap", GetTwap, self._get_twap),
        )

    # pools ------------------------------------------------------------------------------------------------------------

    async def _get_pools(self, params: GetPools) -> object:
        after = None if params.after is None else pool_key(self.decode_address(params.after))
        found = await self.read_state(lambda sink: page(pools(listed_after(sink.state, after)), params.limit))
        return {
            "pools": [self._pool_json(view) for view in found.items],
            "next_after": None if found.last is None else self.encode_address(found.last.pool.address),
        }

    async def _get_pool(self, params: GetPool) -> object:
        return self._pool_json(await self._known_pool(params))

    async def _known_pool(self, params: GetPool | GetTwap) -> PoolView:
        """The pool that the parameters name, at the sink. Errors: `RpcError`."""
        if params.address is not None and params.first is None and params.second is None:
            address = self.decode_address(params.address)
            named = params.address
        elif params.address is None and params.first is not None and params.second is not None:
            address = address_of_pair(asset_bytes(params.first), asset_bytes(params.second))
            named = f"{params.first} and {params.second}"
        else:
            raise RpcError(
                INVALID_PARAMS,
                "name the pool by its address, or by its two assets",
                code="ParamsInvalid",
                hint="address; or first and second",
            )
        view = await self.read_state(lambda sink: pool_view(sink.state, address))
        if view is None:
            raise RpcError(
                NOT_FOUND,
                f"there is no pool of {named}",
                code="PoolNotFound",
                hint="dex_getPools shows all of them",
            )
        return view

    def _pool_json(self, view: PoolView) -> dict[str, object]:
        pool = view.pool
        return {
            "address": self.encode_address(pool.address),
            "first": asset_text(pool.first),
            "second": asset_text(pool.second),
            "reserve_first": str(view.reserve_first),
            "reserve_second": str(view.reserve_second),
            "price": price_text(view.reserve_second, view.reserve_first),
            "fee_bp": view.fee_bp,
            "own_fee_bp": pool.fee_bp,
            "shares": str(pool.shares),
            "locked_shares": str(MINIMUM_SHARES),
        }

    # quotes -----------------------------------------------------------------------------------------------------------

    async def _quote(self, params: GetQuote) -> object:
        amount = int(params.amount)
        exact = EXACT_IN if params.exact == "in" else EXACT_OUT
        if params.path is not None and params.sell is None and params.buy is None:
            path = tuple(map(asset_bytes, params.path))
            _require_no_asset_twice(path)

            def job(sink: SinkState) -> Quote | None:
                return quote(sink.state, path, exact, amount)

        elif params.path is None and params.sell is not None and params.buy is not None:
            sell, buy = asset_bytes(params.sell), asset_bytes(params.buy)
            _require_no_asset_twice((sell, buy))

            def job(sink: SinkState) -> Quote | None:
                return best_quote(sink.state, sell, buy, exact, amount)

        else:
            raise RpcError(
                INVALID_PARAMS, "say either `path`, or `sell` and `buy`", code="ParamsInvalid", hint="path"
            )
        try:
            found = await self.read_state(job)
        except Rejected as rejected:
            raise RpcError(
                REJECTED,
                str(rejected),
                code=rejected.reason,
                hint="the swap would fail like this; try another amount or path",
            ) from None
        if found is None:
            raise RpcError(
                NOT_FOUND,
                f"no path of pools leads from {params.sell} to {params.buy} for this amount",
                code="PathNotFound",
                hint="try another amount; dex_getPools shows all pools",
            )
        return self._quote_json(found, params.slippage_ppm)

    def _quote_json(self, found: Quote, slippage_ppm: int) -> dict[str, object]:
        worst = (
            {"min_out": str(max(1, found.amount_out * (PPM - slippage_ppm) // PPM))}
            if found.exact == EXACT_IN
            else {"max_in": str(-(-found.amount_in * (PPM + slippage_ppm) // PPM))}
        )
        return {
            "path": [asset_text(asset) for asset in found.path],
            "exact": "in" if found.exact == EXACT_IN else "out",
            "amount_in": str(found.amount_in),
            "amount_out": str(found.amount_out),
            **worst,
            "slippage_ppm": slippage_ppm,
            "price": price_text(found.amount_out, found.amount_in),
            "spot_price": price_text(*found.spot_price),
            "price_impact_ppm": found.price_impact_ppm,
            "hops": [
                self._hop_json(hop, given, got)
                for hop, given, got in zip(found.hops, found.path, found.path[1:], strict=False)
            ],
        }

    def _hop_json(self, hop: HopQuote, given: bytes, got: bytes) -> dict[str, object]:
        return {
            "pool": self.encode_address(hop.pool),
            "asset_in": asset_text(given),
            "asset_out": asset_text(got),
            "amount_in": str(hop.amount_in),
            "amount_out": str(hop.amount_out),
            "fee_bp": hop.fee_bp,
            "fee": str(hop.fee),
            "reserve_in": str(hop.reserve_in),
            "reserve_out": str(hop.reserve_out),
        }

    # positions --------------------------------------------------------------------------------------------------------

    async def _get_positions(self, params: GetPositions) -> object:
        address = self.decode_address(params.address)
        after = None if params.after is None else position_key(self.decode_address(params.after), address)
        found = await self.read_state(
            lambda sink: page(positions_of(listed_after(sink.state, after), address), params.limit)
        )
        return {
            "address": params.address.lower(),
            "positions": [self._position_json(view) for view in found.items],
            "next_after": None if found.last is None else self.encode_address(found.last.pool.address),
        }

    def _position_json(self, view: PositionView) -> dict[str, object]:
        pool, position = view.pool, view.position
        return {
            "pool": self.encode_address(pool.address),
            "first": asset_text(pool.first),
            "second": asset_text(pool.second),
            "shares": str(position.shares),
            "share_ppm": position.shares * PPM // pool.shares,
            "amount_first": str(view.first),
            "amount_second": str(view.second),
            "locked_until_epoch": str(position.locked_until_epoch),
        }

    # average prices ---------------------------------------------------------------------------------------------------

    async def _get_twap(self, params: GetTwap) -> object:
        """Of the finalised state: what a reorganisation can still take back moves no price that others rely on (D5)."""
        pool = (await self._known_pool(params)).pool
        keys = [pool_key(pool.address), observations_key(pool.address)]
        for asset in (pool.first, pool.second):
            is_nxt = asset_text(asset) == NXT_TEXT
            keys.append(account_key(pool.address) if is_nxt else token_balance_key(pool.address, asset))
        chain = self.services.params

        def job(final: FinalisedState, reader: Reader) -> tuple[Twap | None, int, int]:
            values = {one.key: one.value for one in final.prove(reader, keys) if one.value is not None}
            slot = final.header.slot
            epoch = epoch_at(chain, slot)
            if keys[0] not in values:
                raise RpcError(
                    NOT_FOUND,
                    f"the pool is younger than the finalised slot {slot}",
                    code="PoolNotFinal",
                    hint="ask again when its creation is final",
                )
            found = twap(
                MappingState(values),
                pool.address,
                window_epochs=params.window_epochs,
                epoch=epoch,
                slot=slot,
            )
            return found, slot, epoch

        try:
            found, slot, epoch = await self.services.finalised.use(job)
        except NothingProved as error:
            raise RpcError(
                NOT_FOUND, str(error), code="NothingFinal", hint="ask again in some seconds"
            ) from None
        if found is None:
            raise RpcError(
                NOT_FOUND,
                f"no slot has passed for this pool up to the finalised slot {slot}",
                code="NoAverageYet",
                hint="ask again when a later slot is final",
            )
        return {
            "pool": self.encode_address(pool.address),
            "first": asset_text(pool.first),
            "second": asset_text(pool.second),
            "window_epochs": params.window_epochs,
            "from_slot": str(found.from_slot),
            "finalised_slot": str(slot),
            "finalised_epoch": str(epoch),
            "slots": str(found.slots),
            "first_price": price_text(found.first_price_q112, 1 << PRICE_BITS),
            "second_price": price_text(found.second_price_q112, 1 << PRICE_BITS),
            "first_price_q112": str(found.first_price_q112),
            "second_price_q112": str(found.second_price_q112),
        }


def _require_no_asset_twice(path: tuple[bytes, ...]) -> None:
    """Errors: `RpcError` INVALID_PARAMS."""
    if len(set(path)) != len(path):
        raise RpcError(
            INVALID_PARAMS, "an asset is twice in the path; a path has no cycles", code="ParamsInvalid"
        )


def price_text(numerator: int, denominator: int) -> str:
    """A price (units for one unit) in decimal digits, at most 18 places, rounded down."""
    whole, rest = divmod(numerator * 10**PRICE_PLACES // denominator, 10**PRICE_PLACES)
    places = f"{rest:0{PRICE_PLACES}d}".rstrip("0")
    return f"{whole}.{places}" if places else str(whole)
