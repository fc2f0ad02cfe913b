"""The kinds `floor_claim` and `floor_spend`: allowances become money, the citizen's own or a merchant's.

Both settle the citizen first and pay out of F_FLOOR, whose balance covers what is owed. Rules: README, Spending.
"""

from typing import Annotated, Final

import msgspec

from ledger.accounts import F_FLOOR_ADDRESS
from ledger.economy.floor.allowances import after_claim, after_spending, claimable_units, settled
from ledger.economy.floor.categories import CATEGORIES, CATEGORY_COUNT
from ledger.economy.floor.records import (
    Citizen,
    FloorState,
    Units,
    read_citizen,
    read_floor,
    write_citizen,
    write_floor,
)
from ledger.encoding import Address20, Codec, Count, Record
from ledger.governed.parameters import FLOOR_CASH_PPM, read_parameter
from ledger.issuance import issue_units
from ledger.registry import Kind, Rejected, spends_nothing
from ledger.rules import BlockContext, ChainRules
from ledger.state import Overlay
from ledger.transactions import SignedTransaction
from ledger.transfer import check_leg

NOT_CITIZEN: Final = "NotCitizen"
NOTHING_TO_CLAIM: Final = "NothingToClaim"
ALLOWANCE_EXCEEDED: Final = "AllowanceExceeded"
OWN_ADDRESS: Final = "OwnAddress"


class FloorClaim(Record, frozen=True):
    """Payload of kind 42."""

    units: Units
    """0: all that may be claimed."""


class FloorSpend(Record, frozen=True):
    """Payload of kind 43."""

    category: Annotated[int, msgspec.Meta(ge=0, le=CATEGORY_COUNT - 1)]
    """Place in `CATEGORIES`."""
    recipient: Address20
    """Who sells what the category is for."""
    units: Count
    """At least 1."""


def check_floor_claim(_: FloorClaim, __: ChainRules) -> None:
    """Every well-formed payload may be valid."""


def apply_floor_claim(
    overlay: Overlay, transaction: SignedTransaction, payload: FloorClaim, context: BlockContext
) -> tuple[int, ...]:
    """Pay the sender out of its allowances; (units,).

    Errors: `Rejected` NotCitizen, NothingToClaim, AllowanceExceeded.
    """
    floor, citizen = _settled_sender(overlay, transaction.sender)
    cash_ppm = read_parameter(overlay, FLOOR_CASH_PPM)
    claimable = claimable_units(citizen, cash_ppm)
    units = payload.units or claimable
    if not units:
        raise Rejected(
            NOTHING_TO_CLAIM, f"{sum(citizen.left)} units are left, none of them as money at {cash_ppm} ppm"
        )
    if units > claimable:
        raise Rejected(ALLOWANCE_EXCEEDED, f"{claimable} units may be claimed now, {units} asked for")
    _pay(overlay, floor, transaction.sender, after_claim(citizen, units), transaction.sender, units)
    return (units,)


def check_floor_spend(payload: FloorSpend, _: ChainRules) -> None:
    """What no state can make valid. Errors: `PayloadInvalid`, `RecipientRefused`."""
    check_leg("floor_spend", payload.recipient, payload.units)


def apply_floor_spend(
    overlay: Overlay, transaction: SignedTransaction, payload: FloorSpend, context: BlockContext
) -> tuple[int, ...]:
    """Pay the recipient out of the sender's allowance in the category; (units,).

    Errors: `Rejected` OwnAddress, NotCitizen, AllowanceExceeded.
    """
    if payload.recipient == transaction.sender:
        raise Rejected(OWN_ADDRESS, "the recipient is the sender; floor_claim pays the citizen itself")
    floor, citizen = _settled_sender(overlay, transaction.sender)
    category, units = payload.category, payload.units
    if units > citizen.left[category]:
        raise Rejected(
            ALLOWANCE_EXCEEDED,
            f"{citizen.left[category]} units are left for {CATEGORIES[category]}, {units} asked for",
        )
    after = after_spending(citizen, category, units)
    _pay(overlay, floor, transaction.sender, after, payload.recipient, units)
    return (units,)


def _settled_sender(overlay: Overlay, address: bytes) -> tuple[FloorState, Citizen]:
    """The floor, and the citizen at `address` with all that it was paid. Errors: `Rejected` NotCitizen."""
    citizen = read_citizen(overlay, address)
    if citizen is None:
        raise Rejected(NOT_CITIZEN, f"{address.hex()} is no citizen; register with an attestation first")
    floor = read_floor(overlay)
    return floor, settled(citizen, floor)


def _pay(
    overlay: Overlay, floor: FloorState, address: bytes, citizen: Citizen, recipient: bytes, units: int
) -> None:
    """Write the citizen at `address` as it is afterwards, and move the units. Errors: `ConservationBroken`."""
    write_citizen(overlay, address, citizen)
    write_floor(
        overlay,
        msgspec.structs.replace(
            floor,
            owed_units=floor.owed_units - units,
            paid_total=(floor.paid_units + units).to_bytes(16, "big"),
        ),
    )
    issue_units(overlay, F_FLOOR_ADDRESS, recipient, units)


def _four_records(_: FloorClaim) -> int:
    """Citizen, floor, F_FLOOR, flows."""
    return 4


def _five_records(_: FloorSpend) -> int:
    """Citizen, floor, F_FLOOR, recipient, flows."""
    return 5


FLOOR_CLAIM: Final = Kind(
    number=42,
    name="floor_claim",
    payload_codec=Codec(FloorClaim, "floor_claim payload", 32),
    check_payload=check_floor_claim,
    apply=apply_floor_claim,
    spends=spends_nothing,
    touches=_four_records,
    result_names=("units",),
)
FLOOR_SPEND: Final = Kind(
    number=43,
    name="floor_spend",
    payload_codec=Codec(FloorSpend, "floor_spend payload", 64),
    check_payload=check_floor_spend,
    apply=apply_floor_spend,
    spends=spends_nothing,
    touches=_five_records,
    result_names=("units",),
)
