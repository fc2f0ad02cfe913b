"""Parameters of the economy's methods: tokens, exchange, messages, floor, governance. Assets are text: `NXT`, or a
token's id in 40 hex digits."""

from typing import Annotated, Literal

import msgspec

from ledger.addresses import NXT_ASSET
from ledger.economy.message_burn import MAX_CONTENT_BYTES, PRIORITIES
from ledger.economy.regions import REGIONS
from ledger.exchange.swapping import MAX_HOPS
from ledger.exchange.twap import MAX_OBSERVATIONS
from node.rpc.schema import HexId, Index, Params, ValidatorIndex

MAX_PAGE = 100
MAX_VOTER_VALIDATORS = 16
"""As many as one ballot may name."""

NXT_TEXT = "NXT"

TokenId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{40}$")]
Asset = Annotated[str, msgspec.Meta(pattern="^(NXT|[0-9a-f]{40})$")]
Address = Annotated[str, msgspec.Meta(max_length=100)]
Limit = Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)]
Amount = (
    Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]
    | Annotated[str, msgspec.Meta(pattern="^[1-9][0-9]{0,18}$")]
)
"""Units, as a number or as decimal digits."""

ProposalId = Index | Annotated[str, msgspec.Meta(pattern="^[0-9]{1,18}$")]
"""As a number, or as results show it."""

RegionName = Literal["VIOLET", "BLUE", "GREEN", "YELLOW", "ORANGE", "RED"]
PriorityName = Literal["low", "normal", "high", "critical"]

REGION_NUMBER = {region.name: place for place, region in enumerate(REGIONS)}
PRIORITY_NUMBER = {name: place for place, name in enumerate(PRIORITIES)}


def asset_bytes(text: str) -> bytes:
    """The 20 bytes of an asset."""
    return NXT_ASSET if text == NXT_TEXT else bytes.fromhex(text)


def asset_text(asset: bytes) -> str:
    """The opposite."""
    return NXT_TEXT if asset == NXT_ASSET else asset.hex()


class ListTokens(Params, frozen=True):
    """All tokens, ascending by id."""

    limit: Limit = 50
    after: TokenId | None = None


class GetToken(Params, frozen=True):
    """One token."""

    id: TokenId


class GetBalances(Params, frozen=True):
    """What an address has, ascending by token."""

    address: Address
    limit: Limit = 50
    after: TokenId | None = None


class GetPools(Params, frozen=True):
    """All pools, ascending by address."""

    limit: Limit = 50
    after: Address | None = None
    """The address of a pool."""


class GetPool(Params, frozen=True):
    """One pool: its address, or its two assets in any order."""

    address: Address | None = None
    first: Asset | None = None
    second: Asset | None = None


class GetQuote(Params, frozen=True):
    """A swap that is not made: along `path`, or from `sell` to `buy`."""

    amount: Amount
    path: Annotated[list[Asset], msgspec.Meta(min_length=2, max_length=MAX_HOPS + 1)] | None = None
    sell: Asset | None = None
    buy: Asset | None = None
    """Without a path: the better of the pool of both, and the two pools that both have with NXT."""
    exact: Literal["in", "out"] = "in"
    """Whether `amount` goes in or comes out."""
    slippage_ppm: Annotated[int, msgspec.Meta(ge=0, lt=1_000_000)] = 5_000
    """What the limit of the result leaves for others' trades in between."""


class GetPositions(Params, frozen=True):
    """What an address owns of pools, ascending by pool."""

    address: Address
    limit: Limit = 50
    after: Address | None = None
    """The address of a pool."""


class GetTwap(Params, frozen=True):
    """Average prices of a pool: its address, or its two assets in any order."""

    address: Address | None = None
    first: Asset | None = None
    second: Asset | None = None
    window_epochs: Annotated[int, msgspec.Meta(ge=0, lt=MAX_OBSERVATIONS)] = 1


class GetMessagePrice(Params, frozen=True):
    """What a message burns."""

    size_bytes: Annotated[int, msgspec.Meta(ge=1, le=MAX_CONTENT_BYTES)]
    region: RegionName | None = None
    """Absent: each of them."""
    priority: PriorityName = "normal"


class GetCitizen(Params, frozen=True):
    """One citizen."""

    address: Address


class GetAttestation(Params, frozen=True):
    """One person."""

    person: HexId


class ListProposals(Params, frozen=True):
    """Proposals, the newest first."""

    limit: Limit = 50
    after: ProposalId | None = None
    """Those that are older."""
    open: bool = False
    """Only those that are voted on or wait for their effect."""


class GetProposal(Params, frozen=True):
    """One proposal, and some of its ballots ascending by address."""

    id: ProposalId
    limit: Annotated[int, msgspec.Meta(ge=0, le=MAX_PAGE)] = 0
    """Ballots to show."""
    after: Address | None = None
    """The address of a ballot."""


class GetParameters(Params, frozen=True):
    """All parameters; those of single subjects with the values of this one."""

    subject: Address | None = None
    """The address of a pool."""


class GetVoter(Params, frozen=True):
    """What an address may say, on one proposal or on one that were made now."""

    address: Address
    proposal: ProposalId | None = None
    validators: Annotated[list[ValidatorIndex], msgspec.Meta(max_length=MAX_VOTER_VALIDATORS)] | None = None
    """In which its stake is to be weighed; absent: in all that it has stake in."""
    after: Address | None = None
    """Where to go on with who lets it vote for them."""
