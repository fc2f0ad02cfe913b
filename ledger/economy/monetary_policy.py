"""The step `policy` of the epoch transition: how much of the budgets is issued, and what a message costs more.

The Nexus equation (`ledger.economy.nexus_equation`) looks at the epoch that ends and gives u from −1 to 1. u > 0: that
part of the validators' budget is paid by the next step, and that part of the treasury's yearly budget goes to the
floor. u < 0: nothing is issued, and messages cost more by a bounded part. Nobody's balance is burned without its
signature. Figures: MONETARY_POLICY.md. Source: ledger.md, Monetary policy.
"""

from typing import Annotated, Final

import msgspec

from ledger.accounts import F_FLOOR_ADDRESS, TREASURY, TREASURY_ADDRESS
from ledger.amounts import PPM
from ledger.economy.floor.records import note_floor_income, read_floor
from ledger.economy.nexus_equation import (
    Coefficients,
    ControllerState,
    Signals,
    first_state,
    policy_output,
    ratio,
)
from ledger.encoding import MAX_INTEGER, Codec, Count, Record
from ledger.epoch_steps import EpochChange
from ledger.genesis import FUNDED_AT_GENESIS
from ledger.governed.parameters import (
    FLOOR_INCOME_PPM,
    POLICY_ALPHA_PPM,
    POLICY_BETA_PPM,
    POLICY_DELTA_PPM,
    POLICY_GAMMA_PPM,
    POLICY_KD_PPM,
    POLICY_KI_PPM,
    POLICY_KP_PPM,
    PRICE_RISE_LIMIT_PPM,
    TARGET_CIRCULATION_UNITS,
    TARGET_CONTRIBUTION_UNITS_PER_DAY,
    TARGET_TRANSACTIONS_PER_DAY,
    read_parameter,
)
from ledger.issuance import (
    FRACTION_BITS,
    Flows,
    take_epoch_flows,
    write_issuance_share,
    write_price_rise_ppm,
)
from ledger.staking_rules import StakingRules
from ledger.state import Overlay, StateReader
from ledger.transfer import move_units

__all__ = ["PolicyRecord", "apply_policy", "policy_output", "read_policy"]

POLICY_KEY: Final = b"lp"
"""State key of `PolicyRecord`; absent before the first transition."""

Signed = Annotated[int, msgspec.Meta(ge=-MAX_INTEGER - 1, le=MAX_INTEGER)]


class PolicyRecord(Record, frozen=True):
    """What the last step saw and decided. Fractions are Q32.32."""

    epoch: Count
    """The epoch that it closed."""
    epochs: Count
    """How many it covered, at most a day's."""
    contribution: Count
    distribution: Count
    activity: Count
    circulation: Count
    circulating_units: Count
    target_units: Count
    """Of circulation."""
    error: Signed
    integral: Signed
    remainder: Count
    output: Signed
    price_rise_ppm: Count
    floor_income_units: Count
    """TREASURY -> F_FLOOR by this step."""
    floor_income_total_units: Count
    """The same since genesis."""

    @property
    def state(self) -> ControllerState:
        """What the controller remembers."""
        return ControllerState(self.integral, self.remainder, self.error)


POLICY_CODEC: Final = Codec(PolicyRecord, "policy record", 256)


def read_policy(reader: StateReader) -> PolicyRecord | None:
    """What the last transition decided; None before the first. Errors: `CodecError` for a damaged state."""
    raw = reader.get(POLICY_KEY)
    return None if raw is None else POLICY_CODEC.decode(raw)


def read_coefficients(reader: StateReader) -> Coefficients:
    """The governed coefficients, in ppm."""
    return Coefficients(
        alpha=read_parameter(reader, POLICY_ALPHA_PPM),
        beta=read_parameter(reader, POLICY_BETA_PPM),
        gamma=read_parameter(reader, POLICY_GAMMA_PPM),
        delta=read_parameter(reader, POLICY_DELTA_PPM),
        proportional=read_parameter(reader, POLICY_KP_PPM),
        integral=read_parameter(reader, POLICY_KI_PPM),
        derivative=read_parameter(reader, POLICY_KD_PPM),
    )


def covered_epochs(change: EpochChange) -> int:
    """Epochs that a transition counts for: those that it covers, and of a longer silence a day's."""
    return min(change.context.epoch - change.closing_epoch, change.context.staking.day_epochs)


def signals_of(reader: StateReader, flows: Flows, epochs: int, day_epochs: int) -> Signals:
    """What happened in `epochs`, over the governed targets: those of a day times `epochs` / `day_epochs`."""
    contributed = flows.epoch_fee_units + flows.epoch_message_units

    def of_target(figure: int, per_day: int) -> int:
        return ratio(figure * day_epochs, per_day * epochs)

    return Signals(
        contribution=of_target(contributed, read_parameter(reader, TARGET_CONTRIBUTION_UNITS_PER_DAY)),
        distribution=ratio(read_floor(reader).stability_ppm, PPM),
        activity=of_target(flows.epoch_transactions, read_parameter(reader, TARGET_TRANSACTIONS_PER_DAY)),
        circulation=ratio(flows.circulating_units, read_parameter(reader, TARGET_CIRCULATION_UNITS)),
        epochs=epochs,
        day_epochs=day_epochs,
    )


def apply_policy(overlay: Overlay, change: EpochChange) -> None:
    """The step `policy`: sets the issuance share and the price rise, pays the floor its income, keeps the record."""
    rules, epochs = change.context.staking, covered_epochs(change)
    flows = take_epoch_flows(overlay)
    signals = signals_of(overlay, flows, epochs, rules.day_epochs)
    last = read_policy(overlay)
    before = first_state(signals.circulation) if last is None else last.state
    state, output = policy_output(before, signals, read_coefficients(overlay))
    share, brake = max(output, 0), max(-output, 0)
    rise_ppm = brake * read_parameter(overlay, PRICE_RISE_LIMIT_PPM) >> FRACTION_BITS
    write_issuance_share(overlay, share)
    write_price_rise_ppm(overlay, rise_ppm)
    income = _pay_floor_income(overlay, share, epochs, rules)
    record = PolicyRecord(
        epoch=change.closing_epoch,
        epochs=epochs,
        contribution=signals.contribution,
        distribution=signals.distribution,
        activity=signals.activity,
        circulation=signals.circulation,
        circulating_units=flows.circulating_units,
        target_units=read_parameter(overlay, TARGET_CIRCULATION_UNITS),
        error=state.error,
        integral=state.integral,
        remainder=state.remainder,
        output=output,
        price_rise_ppm=rise_ppm,
        floor_income_units=income,
        floor_income_total_units=income + (0 if last is None else last.floor_income_total_units),
    )
    overlay.put(POLICY_KEY, POLICY_CODEC.encode(record))


def floor_income_units(yearly_ppm: int, share: int, epochs: int, epochs_per_year: int) -> int:
    """Units of TREASURY's balance at genesis for `epochs` at `yearly_ppm` a year times `share` (Q32.32); floor."""
    yearly = FUNDED_AT_GENESIS[TREASURY] * yearly_ppm // PPM
    return yearly * epochs * share // epochs_per_year >> FRACTION_BITS


def _pay_floor_income(overlay: Overlay, share: int, epochs: int, rules: StakingRules) -> int:
    """Move the floor's income, never more than TREASURY holds. Both are reserves: nothing is issued by it. Units."""
    yearly_ppm = read_parameter(overlay, FLOOR_INCOME_PPM)
    budget = floor_income_units(yearly_ppm, share, epochs, rules.epochs_per_year)
    units = min(budget, overlay.account(TREASURY_ADDRESS).balance)
    if units:
        move_units(overlay, TREASURY_ADDRESS, F_FLOOR_ADDRESS, units)
        note_floor_income(overlay, units)
    return units
