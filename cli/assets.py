"""What a command means by an asset: `NXT`, a token's id in 40 hex digits, or a symbol that only one token bears.

Symbols are not unique on the chain (ledger/tokens/README.md), so a symbol that several tokens bear is refused and the
candidates are shown: which of them is meant, only the user knows.
"""

from __future__ import annotations

import re

from cli.exits import CommandFailed, ExitCode
from cli.figures import format_units, parse_units

TYPE_CHECKING = False  # importing typing costs a third of bare Python's start
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from cli.connection import Caller

NXT = "NXT"
NXT_DECIMALS = 8
PAGE = 100
MAX_LISTED_TOKENS = 10_000
"""So many tokens are searched for a symbol; beyond that the id must be given."""

_TOKEN_ID = re.compile("[0-9a-f]{40}", re.ASCII)


class Asset:
    """NXT or a token. No dataclass: importing those takes longer than all else that a command needs to start."""

    __slots__ = ("decimals", "symbol", "text")

    def __init__(self, text: str, symbol: str, decimals: int) -> None:
        """`text` as the RPC names it: `NXT`, or the id in hex."""
        self.text = text
        self.symbol = symbol
        self.decimals = decimals

    @property
    def id(self) -> bytes:
        """20 bytes; zeros for NXT."""
        return bytes(20) if self.text == NXT else bytes.fromhex(self.text)

    def units(self, text: str) -> int:
        """Units of a decimal amount. Errors: `CommandFailed` USAGE."""
        return parse_units(text, self.decimals)

    def show(self, units: int | str) -> str:
        """`12.5 GOLD`."""
        return f"{format_units(int(units), self.decimals)} {self.symbol}"


NXT_OF_CHAIN = Asset(NXT, NXT, NXT_DECIMALS)


def pages(node: Caller, method: str, member: str, most: int, **params: object) -> Iterator[Any]:
    """The items of a listed method, page by page, at most `most`."""
    after, seen = None, 0
    while seen < most:
        asked = {**params, "limit": min(PAGE, most - seen)}
        if after is not None:
            asked["after"] = after
        result = node.call(method, **asked)
        yield from result[member]
        seen += len(result[member])
        after = result["next_after"]
        if after is None or not result[member]:
            return


def token_asset(token: Any) -> Asset:
    """The asset of an entry of `token_list`, `token_get`, or `token_getBalances`."""
    return Asset(token["id"] if "id" in token else token["token"], token["symbol"], int(token["decimals"]))


def resolve_asset(node: Caller, text: str) -> Asset:
    """What `text` means. Errors: `CommandFailed` NOT_FOUND, USAGE with the candidates of an ambiguous symbol."""
    if text.upper() == NXT:
        return NXT_OF_CHAIN
    if _TOKEN_ID.fullmatch(text.lower()):
        return token_asset(node.call("token_get", id=text.lower()))
    found = [
        token
        for token in pages(node, "token_list", "tokens", MAX_LISTED_TOKENS)
        if token["symbol"] == text.upper()
    ]
    if not found:
        raise CommandFailed(
            ExitCode.NOT_FOUND, f"no token has the symbol {text!r}; `nexus token list` shows all of them"
        )
    if len(found) > 1:
        candidates = "; ".join(
            f"{token['id']} ({token['name']}, by {token['creator']})" for token in found[:8]
        )
        more = f"; and {len(found) - 8} more" if len(found) > 8 else ""
        raise CommandFailed(
            ExitCode.USAGE,
            f"{len(found)} tokens have the symbol {text.upper()}, name one by its id: {candidates}{more}",
        )
    return token_asset(found[0])


def token_only(asset: Asset, what: str) -> Asset:
    """`asset`, unless it is NXT. Errors: `CommandFailed` USAGE."""
    if asset.text == NXT:
        raise CommandFailed(ExitCode.USAGE, f"NXT is no token: {what}")
    return asset
