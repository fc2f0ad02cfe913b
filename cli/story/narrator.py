"""Telling: what an act did to whom and why, the differences if there are any, and the table at the end."""

import json
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from cli.figures import format_units
from cli.story.book import Difference
from cli.story.world import SYSTEM, Flow, World

NXT_DECIMALS = 8


class Narrator:
    """Prints as the story goes, or keeps everything for one JSON document."""

    def __init__(self, *, as_json: bool, token_decimals: int) -> None:
        self.as_json = as_json
        self.decimals = {"NXT": NXT_DECIMALS, "token": token_decimals}
        self.symbols = {"NXT": "NXT", "token": "token"}
        self.acts: list[dict[str, Any]] = []
        self.result: dict[str, Any] = {}

    def say(self, text: str = "") -> None:
        """A line for people."""
        if not self.as_json:
            print(text, flush=True)

    def begin(self, title: str) -> None:
        """A new act."""
        self.acts.append({"title": title, "told": []})
        self.say(f"\nAct {len(self.acts)}. {title}")

    def tell(self, text: str) -> None:
        """What happens in the act."""
        self.acts[-1]["told"].append(text)
        self.say(f"  {text}")

    def explain(self, flows: list[Flow], world: World, checked: int, differences: list[Difference]) -> None:
        """Who got and gave what, by cause, since the last act; and whether the chain agrees."""
        for account, asset, causes in _grouped(flows):
            change = sum(causes.values())
            parts = ", ".join(
                f"{cause} {self.amount(units, asset, sign=True)}" for cause, units in causes.items()
            )
            self.say(
                f"    {account:<22} {self.amount(change, asset, sign=True):>22} {self.symbols[asset]}: {parts}"
            )
        self.acts[-1] |= {
            "epoch": world.epoch,
            "figures": checked,
            "flows": [
                {
                    "account": account,
                    "asset": asset,
                    "causes": {name: str(units) for name, units in causes.items()},
                }
                for account, asset, causes in _grouped(flows)
            ],
            "differences": [
                {"figure": one.figure, "expected": str(one.expected), "found": str(one.found)}
                for one in differences
            ],
        }
        for one in differences:
            self.say(f"    DIFFERENT {one.figure}: the book says {one.expected}, the chain {one.found}")
        if not differences:
            self.say(
                f"    epoch {world.epoch}: {checked} figures of the chain are what the book says, to the unit"
            )

    def amount(self, units: int, asset: str, *, sign: bool = False) -> str:
        """In decimals, with a plus where `sign` asks for it."""
        text = format_units(units, self.decimals[asset])
        return f"+{text}" if sign and units > 0 else text

    def table(self, first: World, last: World) -> None:
        """Every account: what it had, every cause that changed it, what it has. The sums are checked."""
        self.say("\nEvery account, and every flow that explains it")
        rows = []
        for asset, before, after in (("NXT", first.balances, last.balances), ("token", {}, last.tokens)):
            causes_of = {account: causes for account, of, causes in _grouped(last.flows) if of == asset}
            for account in sorted(after, key=_order):
                had, has = before.get(account, 0), after[account]
                causes = causes_of.get(account, {})
                if not (had or has or causes):
                    continue
                rows.append(
                    {
                        "account": account,
                        "asset": asset,
                        "before": str(had),
                        "causes": {name: str(units) for name, units in causes.items()},
                        "after": str(has),
                    }
                )
                figures = f"{self.amount(had, asset):>18} -> {self.amount(has, asset):>18}"
                self.say(f"  {account:<22} {figures} {self.symbols[asset]}")
                for name, units in causes.items():
                    self.say(f"  {'':<22}   {self.amount(units, asset, sign=True):>20}  {name}")
        self.result["accounts"] = rows

    def finish(self, **result: object) -> None:
        """The last word; the JSON document, when that was asked for."""
        self.result |= {"acts": self.acts, **result}
        if self.as_json:
            print(json.dumps(self.result, indent=2))


def _grouped(flows: Iterable[Flow]) -> list[tuple[str, str, dict[str, int]]]:
    """(account, asset, units by cause) in the order of `_order`; movements of an account to itself cancel out."""
    found: dict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    for flow in flows:
        causes = found[flow.account, flow.asset]
        causes[flow.cause] = causes.get(flow.cause, 0) + flow.units
    return [
        (account, asset, found[account, asset])
        for account, asset in sorted(found, key=lambda key: _order(key[0]))
    ]


def _order(account: str) -> tuple[bool, str]:
    """People first, then the chain's own accounts."""
    return account in SYSTEM, account
