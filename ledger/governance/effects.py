"""What a proposal that passed does to the state, and whether it can be done: asked at its creation and again then."""

from typing import Final

from ledger.errors import ParameterOutOfBounds
from ledger.governance.actions import (
    Action,
    KindPause,
    ParameterChange,
    Payment,
    RegistrarAdd,
    RegistrarRemove,
    SectorToken,
    source_address,
    source_name,
)
from ledger.governed.parameters import PARAMETER_NUMBERED, require_in_bounds, write_parameter
from ledger.governed.pauses import PAUSABLE_KINDS, pause_kind, paused_kind
from ledger.governed.registrars import MAX_REGISTRARS, add_registrar, read_registrars, remove_registrar
from ledger.governed.sector_tokens import write_sector_token
from ledger.issuance import issue_units
from ledger.registry import Rejected
from ledger.state import Overlay
from ledger.tokens.records import read_token

PAYMENT_SHARE: Final = 10
"""One proposal asks for at most a tenth of what its source holds at the proposal's creation."""

ALREADY_REGISTRAR = "AlreadyRegistrar"
NOT_REGISTRAR = "NotRegistrar"
REGISTRARS_FULL = "RegistrarsFull"
UNKNOWN_TOKEN = "UnknownToken"
PAYMENT_TOO_GREAT = "PaymentTooGreat"
SOURCE_TOO_SMALL = "SourceTooSmall"
OUT_OF_BOUNDS = "ParameterOutOfBounds"
PAUSE_IN_PLACE = "PauseInPlace"
NOT_PAUSABLE = "KindNotPausable"


def require_sensible(overlay: Overlay, action: Action) -> None:
    """Whether the state, as it is when a proposal is made, lets its action be done.

    Errors: `Rejected` AlreadyRegistrar, NotRegistrar, RegistrarsFull, UnknownToken, PaymentTooGreat.
    """
    if isinstance(action, Payment):
        balance = overlay.account(source_address(action.source)).balance
        if action.units * PAYMENT_SHARE > balance:
            raise Rejected(
                PAYMENT_TOO_GREAT,
                f"{action.units} units, at most a tenth of the {balance} that {source_name(action.source)} holds",
            )
    elif isinstance(action, RegistrarAdd | RegistrarRemove):
        _require_registrar_change(overlay, action)
    elif isinstance(action, SectorToken):
        _require_token(overlay, action)


def enact(overlay: Overlay, action: Action, epoch: int) -> None:
    """Do it, in the transition that begins `epoch`; what votes were cast for may have become impossible meanwhile.

    Errors: `Rejected` AlreadyRegistrar, NotRegistrar, RegistrarsFull, UnknownToken, SourceTooSmall,
    ParameterOutOfBounds, PauseInPlace, KindNotPausable. The caller rolls back.
    """
    if isinstance(action, RegistrarAdd | RegistrarRemove):
        _require_registrar_change(overlay, action)
        change = add_registrar if isinstance(action, RegistrarAdd) else remove_registrar
        change(overlay, action.address)
    elif isinstance(action, SectorToken):
        _require_token(overlay, action)
        write_sector_token(overlay, action.sector, action.token)
    elif isinstance(action, Payment):
        _pay(overlay, action)
    elif isinstance(action, ParameterChange):
        _change(overlay, action)
    elif isinstance(action, KindPause):
        _pause(overlay, action, epoch)


def _require_registrar_change(overlay: Overlay, action: RegistrarAdd | RegistrarRemove) -> None:
    known = read_registrars(overlay)
    if isinstance(action, RegistrarRemove):
        if action.address not in known:
            raise Rejected(NOT_REGISTRAR, f"{action.address.hex()} is no registrar")
        return
    if action.address in known:
        raise Rejected(ALREADY_REGISTRAR, f"{action.address.hex()} is a registrar")
    if len(known) >= MAX_REGISTRARS:
        raise Rejected(
            REGISTRARS_FULL, f"{len(known)} registrars, at most {MAX_REGISTRARS}; remove one first"
        )


def _require_token(overlay: Overlay, action: SectorToken) -> None:
    if read_token(overlay, action.token) is None:
        raise Rejected(UNKNOWN_TOKEN, f"no token {action.token.hex()}; create it first")


def _pay(overlay: Overlay, action: Payment) -> None:
    source = source_address(action.source)
    balance = overlay.account(source).balance
    if balance < action.units:
        raise Rejected(
            SOURCE_TOO_SMALL, f"{source_name(action.source)} holds {balance} units, {action.units} needed"
        )
    issue_units(overlay, source, action.recipient, action.units)


def _change(overlay: Overlay, action: ParameterChange) -> None:
    """Checked again: the software that carries it out may know other bounds than the one that took the proposal."""
    parameter = PARAMETER_NUMBERED.get(action.number)
    if parameter is None:
        raise Rejected(OUT_OF_BOUNDS, f"no parameter has the number {action.number}")
    try:
        require_in_bounds(parameter, action.value)
    except ParameterOutOfBounds as error:
        raise Rejected(OUT_OF_BOUNDS, str(error)) from None
    write_parameter(overlay, parameter, action.value, action.subject)


def _pause(overlay: Overlay, action: KindPause, epoch: int) -> None:
    if action.kind not in PAUSABLE_KINDS:
        raise Rejected(NOT_PAUSABLE, f"kind {action.kind} may not be paused")
    other = paused_kind(overlay, epoch)
    if other is not None:
        raise Rejected(PAUSE_IN_PLACE, f"kind {other} is paused in epoch {epoch}; one at a time")
    pause_kind(overlay, action.kind, epoch)
