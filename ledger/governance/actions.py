"""What a proposal does when it has passed, as it stands in the payload, and what of it no state can make valid."""

from types import MappingProxyType
from typing import Annotated, Final

import msgspec

from ledger.accounts import (
    ADDRESS_OF_SYSTEM_ACCOUNT,
    ECOSYSTEM_FUND,
    SECTORS,
    is_reserved_address,
    reserved_name,
)
from ledger.addresses import ADDRESS_BYTES, NXT_ASSET, is_pool_address
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.encoding import Address20, Count, Record
from ledger.errors import ParameterOutOfBounds, PayloadInvalid, RecipientRefused
from ledger.governance.classes import BUDGET, CLASS_NAMES, CONSTITUTIONAL, EMERGENCY, PARAMETER, POLICY
from ledger.governed.parameters import PARAMETER_NUMBERED, Parameter, require_in_bounds
from ledger.governed.pauses import PAUSABLE_KINDS

KIND_NAME: Final = "proposal_create"


class TextOnly(Record, frozen=True, tag=0):
    """Nothing on chain: what the text says is decided."""


class RegistrarAdd(Record, frozen=True, tag=1):
    """One more who may attest persons."""

    address: Address20


class RegistrarRemove(Record, frozen=True, tag=2):
    """One less."""

    address: Address20


class SectorToken(Record, frozen=True, tag=3):
    """The token that stands for a sector."""

    sector: Annotated[int, msgspec.Meta(ge=0, lt=len(SECTORS))]
    """Place in `ledger.accounts.SECTORS`."""
    token: Address20


class Payment(Record, frozen=True, tag=4):
    """Units out of a fund."""

    source: Annotated[int, msgspec.Meta(ge=0, le=len(SECTORS))]
    """0: ECOSYSTEM_FUND; else the sector's place + 1."""
    recipient: Address20
    units: Count


class ParameterChange(Record, frozen=True, tag=5):
    """A parameter's new value."""

    number: Count
    subject: Annotated[bytes, msgspec.Meta(max_length=ADDRESS_BYTES)]
    """20 bytes, the address of a pool, where the parameter has subjects; else empty."""
    value: Count


class KindPause(Record, frozen=True, tag=6):
    """One kind of transaction is refused for one epoch."""

    kind: Count


Action = TextOnly | RegistrarAdd | RegistrarRemove | SectorToken | Payment | ParameterChange | KindPause

ACTIONS_OF_CLASS: Final = MappingProxyType(
    {
        POLICY: (TextOnly, RegistrarAdd, RegistrarRemove),
        BUDGET: (SectorToken, Payment),
        PARAMETER: (ParameterChange,),
        EMERGENCY: (KindPause,),
        CONSTITUTIONAL: (TextOnly, ParameterChange),
    }
)
"""What a proposal of each class may do. A sector's token is a matter of class budget, as a payment is: the sector's NXT
goes into that token's pool, epoch after epoch. Campaigns have a kind of their own, and do nothing on chain."""


def source_name(source: int) -> str:
    """The system account that a payment's `source` means."""
    return f"SECTOR_{SECTORS[source - 1]}" if source else ECOSYSTEM_FUND


def source_address(source: int) -> bytes:
    """The address (20 bytes) that a payment's `source` means."""
    return ADDRESS_OF_SYSTEM_ACCOUNT[source_name(source)]


def sector_of(action: Action) -> int | None:
    """The sector whose matter this is, or None: whoever pays for its liquidity has a say there."""
    return action.source - 1 if isinstance(action, Payment) and action.source else None


def check_action(class_: int, action: Action) -> None:
    """What no state can make valid. Errors: `PayloadInvalid`, `RecipientRefused`."""
    allowed = ACTIONS_OF_CLASS.get(class_)
    if allowed is None:
        raise PayloadInvalid(
            KIND_NAME, f"class {class_}; known: {', '.join(map(str, sorted(ACTIONS_OF_CLASS)))}"
        )
    if not isinstance(action, allowed):
        names = ", ".join(one.__name__ for one in allowed)
        raise PayloadInvalid(
            KIND_NAME,
            f"a {CLASS_NAMES[class_]} proposal cannot be {type(action).__name__}, only {names}",
        )
    if isinstance(action, RegistrarAdd):
        if is_reserved_address(action.address):
            raise PayloadInvalid(KIND_NAME, f"{reserved_name(action.address)} has no key to attest with")
    elif isinstance(action, SectorToken):
        if action.token == NXT_ASSET:
            raise PayloadInvalid(KIND_NAME, "NXT is no sector's token; name a token that was created")
    elif isinstance(action, Payment):
        _check_payment(action)
    elif isinstance(action, ParameterChange):
        _check_parameter(class_, action)
    elif isinstance(action, KindPause) and action.kind not in PAUSABLE_KINDS:
        raise PayloadInvalid(KIND_NAME, f"kind {action.kind} may not be paused")


def _check_payment(action: Payment) -> None:
    if not 1 <= action.units <= MAX_SUPPLY_UNITS:
        raise PayloadInvalid(KIND_NAME, f"{action.units} units, expected 1 to {MAX_SUPPLY_UNITS}")
    if is_reserved_address(action.recipient):
        raise RecipientRefused(reserved_name(action.recipient))


def _check_parameter(class_: int, action: ParameterChange) -> None:
    parameter = PARAMETER_NUMBERED.get(action.number)
    if parameter is None:
        raise PayloadInvalid(KIND_NAME, f"no parameter has the number {action.number}")
    if parameter.constitutional != (class_ == CONSTITUTIONAL):
        needed = CONSTITUTIONAL if parameter.constitutional else PARAMETER
        raise PayloadInvalid(
            KIND_NAME,
            f"{parameter.name} is changed by a {CLASS_NAMES[needed]} proposal (class {needed}), not {class_}",
        )
    _check_subject(parameter, action.subject)
    try:
        require_in_bounds(parameter, action.value)
    except ParameterOutOfBounds as error:
        raise PayloadInvalid(KIND_NAME, str(error)) from None


def _check_subject(parameter: Parameter, subject: bytes) -> None:
    if not parameter.per_subject and subject:
        raise PayloadInvalid(
            KIND_NAME, f"{parameter.name} has no subject, {len(subject)} bytes of one were given"
        )
    if parameter.per_subject and not (len(subject) == ADDRESS_BYTES and is_pool_address(subject)):
        raise PayloadInvalid(
            KIND_NAME, f"{parameter.name} is set for one pool; its subject is the pool's address, 20 bytes"
        )
