"""Messages: the kind `message`, its price, and the seed's `process_message_burn`. Bytes and figures: README, Messages.

A message of n bytes at a centre wavelength λ costs the energy of n photons, E = hc/λ, in units: 19,864,458,000 is
hc = 1.9864458…·10⁻²⁵ J·m by digits, λ is in picometres, and the priority multiplies by 1/2, 1, 2 or 4. The units go
from the sender to TRANSITION_RESERVE, on top of the fee. One function gives the price and one burns it, for the kind,
for the seed's entry and for quotes.
"""

from struct import Struct as ByteLayout
from typing import Annotated, Final

import msgspec

from ledger.accounts import TRANSITION_RESERVE_ADDRESS, is_reserved_address, reserved_name
from ledger.addresses import ADDRESS_BYTES
from ledger.amounts import MAX_SUPPLY_UNITS, PPM
from ledger.economy.journal import all_legs_or_none
from ledger.economy.regions import REGIONS
from ledger.encoding import Codec, Count, Record
from ledger.errors import Malformed, PayloadInvalid
from ledger.issuance import burn_for_message, read_price_rise_ppm
from ledger.registry import Kind, Rejected
from ledger.rules import BlockContext, ChainRules
from ledger.state import Overlay, StateReader
from ledger.transactions import MAX_PAYLOAD_BYTES, SignedTransaction

PRICE_NUMERATOR: Final = 19_864_458_000
"""Units times picometres per byte: hc in J·m by its digits (CODATA 2018: 1.986 445 857…·10⁻²⁵)."""

PRIORITIES: Final = ("low", "normal", "high", "critical")
"""A priority's place is its number on the wire, 0 to 3."""
_PRIORITY_FACTORS: Final = ((1, 2), (1, 1), (2, 1), (4, 1))
"""Numerator and denominator by priority."""

MAX_CONTENT_BYTES: Final = 8_192


PRICE_ABOVE_LIMIT: Final = "PriceAboveLimit"

REGION_LEDGER_PREFIX: Final = b"mr"
"""State key of a region's ledger: `mr` and the region, one byte; value: messages, content bytes, units, each u64."""

_LAYOUT: Final = ByteLayout(">QQQ")


class Message(Record, frozen=True):
    """Payload of kind 3."""

    region: Annotated[int, msgspec.Meta(ge=0, le=len(REGIONS) - 1)]
    """Place in `REGIONS`."""
    priority: Annotated[int, msgspec.Meta(ge=0, le=len(PRIORITIES) - 1)]
    """Place in `PRIORITIES`."""
    content: Annotated[bytes, msgspec.Meta(min_length=1, max_length=MAX_CONTENT_BYTES)]
    """A WNSP message or its digest; never interpreted on chain. Its length is what is paid for."""
    max_price_units: Count
    """The most that the sender agrees to burn, 1 to the supply."""


class RegionLedger(msgspec.Struct, frozen=True, gc=False):
    """What one region's messages have brought to the reserve since genesis."""

    messages: int
    content_bytes: int
    burned_units: int


NO_MESSAGES: Final = RegionLedger(0, 0, 0)


class MessageBurn(msgspec.Struct, frozen=True, gc=False):
    """What one message burned."""

    sender: bytes
    region: int
    priority: int
    size_bytes: int
    burned_units: int
    rise_ppm: int
    """The policy's rise that `burned_units` includes."""


# price ----------------------------------------------------------------------------------------------------------------


def message_price_units(region: int, priority: int, size_bytes: int, rise_ppm: int = 0) -> int:
    """Units that a message burns: max(1, 19,864,458,000 · bytes · num // (centre_pm · den)), then raised by the policy.

    `region` 0 to 5, `priority` 0 to 3, `size_bytes` >= 1, `rise_ppm` >= 0. Rounded down twice, never below 1.
    """
    numerator, denominator = _PRIORITY_FACTORS[priority]
    units = max(1, PRICE_NUMERATOR * size_bytes * numerator // (REGIONS[region].centre_pm * denominator))
    return units * (PPM + rise_ppm) // PPM


# reserve ledger by region ---------------------------------------------------------------------------------------------


def region_ledger_key(region: int) -> bytes:
    """State key of a region's ledger."""
    return REGION_LEDGER_PREFIX + region.to_bytes(1, "big")


def read_region_ledger(reader: StateReader, region: int) -> RegionLedger:
    """What a region's messages burned so far. Errors: `Malformed` for a damaged state."""
    raw = reader.get(region_ledger_key(region))
    if raw is None:
        return NO_MESSAGES
    if len(raw) != _LAYOUT.size:
        raise Malformed("region ledger", f"{len(raw)} bytes, expected {_LAYOUT.size}")
    return RegionLedger(*_LAYOUT.unpack(raw))


def burn_message(
    overlay: Overlay, sender: bytes, region: int, priority: int, size_bytes: int, max_price_units: int
) -> MessageBurn:
    """Burn a message's price at the state's present rise; arguments within their bounds.

    Atomic only within the caller's checkpoint. Errors: `Rejected` PriceAboveLimit, InsufficientBalance.
    """
    rise_ppm = read_price_rise_ppm(overlay)
    units = message_price_units(region, priority, size_bytes, rise_ppm)
    if units > max_price_units:
        raise Rejected(
            PRICE_ABOVE_LIMIT,
            f"the price is {units} units with a rise of {rise_ppm} ppm, at most {max_price_units} were agreed to; "
            "ask for the price again",
        )
    burn_for_message(overlay, sender, TRANSITION_RESERVE_ADDRESS, units)
    known = read_region_ledger(overlay, region)
    overlay.put(
        region_ledger_key(region),
        _LAYOUT.pack(known.messages + 1, known.content_bytes + size_bytes, known.burned_units + units),
    )
    return MessageBurn(sender, region, priority, size_bytes, units, rise_ppm)


# the kind -------------------------------------------------------------------------------------------------------------


def base_price_units(payload: Message) -> int:
    """Units that the sender must own at least besides the fee: the price without any rise."""
    return message_price_units(payload.region, payload.priority, len(payload.content))


def check_message(payload: Message, rules: ChainRules) -> None:
    """What no state can make valid. Errors: `PayloadInvalid`: the rise never is negative."""
    if not 1 <= payload.max_price_units <= MAX_SUPPLY_UNITS:
        raise PayloadInvalid(
            "message", f"max_price_units is {payload.max_price_units}, expected 1 to {MAX_SUPPLY_UNITS}"
        )
    least = base_price_units(payload)
    if payload.max_price_units < least:
        raise PayloadInvalid(
            "message", f"max_price_units is {payload.max_price_units}, this message costs at least {least}"
        )


def apply_message(
    overlay: Overlay, transaction: SignedTransaction, payload: Message, context: BlockContext
) -> tuple[int, ...]:
    """Burn the price; (burned units,). Errors: `Rejected` PriceAboveLimit, InsufficientBalance."""
    burn = burn_message(
        overlay,
        transaction.sender,
        payload.region,
        payload.priority,
        len(payload.content),
        payload.max_price_units,
    )
    return (burn.burned_units,)


def _two_records(_: Message) -> int:
    """TRANSITION_RESERVE and the region's ledger; the flows are written for every fee already."""
    return 2


MESSAGE: Final = Kind(
    number=3,
    name="message",
    payload_codec=Codec(Message, "message payload", MAX_PAYLOAD_BYTES),
    check_payload=check_message,
    apply=apply_message,
    spends=base_price_units,
    touches=_two_records,
    result_names=("burned_units",),
)


# the seed's entry -----------------------------------------------------------------------------------------------------


class MessagingFlowController:
    """The seed's named entry to message burns (economic loop, milestone 1), over one overlay."""

    __slots__ = ("_overlay",)

    def __init__(self, overlay: Overlay) -> None:
        self._overlay = overlay

    def process_message_burn(
        self, sender: bytes, region: int, priority: int, size_bytes: int, max_price_units: int
    ) -> tuple[bool, MessageBurn | None, str]:
        """Snapshot, execute, roll back: burn, flows and region ledger, or nothing at all. O(1).

        `sender` a 20-byte address that is no system account, `region` 0 to 5, `priority` 0 to 3, `size_bytes` 1 to
        8,192, `max_price_units` 1 to the supply. Returns (success, burn or None, message) and raises for no input
        whatever; a failure of the state below is raised after the rollback. No fee, no nonce: those are the
        transaction's, whose kind takes the same path.
        """
        fault = _argument_fault(sender, region, priority, size_bytes, max_price_units)
        if fault:
            return False, None, fault
        try:
            with all_legs_or_none(self._overlay):
                burn = burn_message(self._overlay, sender, region, priority, size_bytes, max_price_units)
        except Rejected as rejected:
            return False, None, str(rejected)
        return True, burn, "applied"


def _argument_fault(
    sender: object, region: object, priority: object, size_bytes: object, max_price_units: object
) -> str:
    """In words, which argument of `process_message_burn` is wrong, if any. bool and float are no numbers."""
    if type(sender) is not bytes or len(sender) != ADDRESS_BYTES:
        return f"sender must be {ADDRESS_BYTES} bytes"
    if is_reserved_address(sender):
        return f"sender is {reserved_name(sender)}, which sends no messages"
    for name, value, least, greatest in (
        ("region", region, 0, len(REGIONS) - 1),
        ("priority", priority, 0, len(PRIORITIES) - 1),
        ("size_bytes", size_bytes, 1, MAX_CONTENT_BYTES),
        ("max_price_units", max_price_units, 1, MAX_SUPPLY_UNITS),
    ):
        if type(value) is not int or not least <= value <= greatest:
            return f"{name} must be an int from {least} to {greatest}"
    return ""
