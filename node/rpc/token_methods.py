"""token_*: the tokens there are, and who has how much of them."""

from ledger.tokens.queries import balances_of, tokens
from ledger.tokens.records import TokenInfo, read_token, token_balance_key, token_key
from node.rpc.economy_schema import GetBalances, GetToken, ListTokens
from node.rpc.groups import Method, MethodGroup, SinkState
from node.rpc.paging import Page, listed_after, page
from node.rpc.protocol import NOT_FOUND, RpcError


class TokenMethods(MethodGroup):
    """Tokens of fixed supply."""

    def methods(self) -> tuple[Method, ...]:
        """See `MethodGroup`."""
        return (
            Method("token_list", ListTokens, self._list),
            Method("token_get", GetToken, self._get),
            Method("token_getBalances", GetBalances, self._get_balances),
        )

    async def _list(self, params: ListTokens) -> object:
        after = None if params.after is None else token_key(bytes.fromhex(params.after))
        found = await self.read_state(
            lambda sink: page(tokens(listed_after(sink.state, after)), params.limit)
        )
        return {
            "tokens": [self._token_json(token, info) for token, info in found.items],
            "next_after": None if found.last is None else found.last[0].hex(),
        }

    async def _get(self, params: GetToken) -> object:
        token = bytes.fromhex(params.id)
        info = await self.read_state(lambda sink: read_token(sink.state, token))
        if info is None:
            raise RpcError(
                NOT_FOUND,
                f"no token has the id {params.id}",
                code="TokenNotFound",
                hint="token_list shows all of them",
            )
        return self._token_json(token, info)

    async def _get_balances(self, params: GetBalances) -> object:
        address = self.decode_address(params.address)
        after = None if params.after is None else token_balance_key(address, bytes.fromhex(params.after))

        def job(sink: SinkState) -> tuple[Page[tuple[bytes, int]], list[TokenInfo | None]]:
            found = page(balances_of(listed_after(sink.state, after), address), params.limit)
            return found, [read_token(sink.state, token) for token, _ in found.items]

        found, infos = await self.read_state(job)
        return {
            "address": params.address.lower(),
            "balances": [
                {
                    "token": token.hex(),
                    "symbol": "" if info is None else info.symbol,
                    "decimals": 0 if info is None else info.decimals,
                    "balance": str(units),
                }
                for (token, units), info in zip(found.items, infos, strict=True)
            ],
            "next_after": None if found.last is None else found.last[0].hex(),
        }

    def _token_json(self, token: bytes, info: TokenInfo) -> dict[str, object]:
        return {
            "id": token.hex(),
            "symbol": info.symbol,
            "name": info.name,
            "decimals": info.decimals,
            "supply": str(info.supply),
            "burned": str(info.burned),
            "creator": self.encode_address(info.creator),
        }
