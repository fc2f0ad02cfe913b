"""The Nexus equation in integers: one step of the controller that steers circulation. Pure; nothing here knows a state.

    dN/dt = αC + βD + γE − δN + PID(e),   e = N_target − N        (seed, system 2; ledger.md, Monetary policy)

Everything is a part of its target in Q32.32 (an int of 2^-32ths): C, D, E and x = N / N_target in 0 … 2, so that
e = 1 − x lies in −1 … 1. The result u in −1 … 1 is what part of the budgets is issued, or how hard the brake is pulled.
Rounding: products are exact; there is one floor division (towards −∞) for the derivative and one for u. Time is in
days. Formulas, bounds and the derivation of the error against floats: MONETARY_POLICY.md.
"""

from dataclasses import dataclass
from typing import Final

from ledger.amounts import PPM
from ledger.issuance import FRACTION_BITS, ONE

SIGNAL_LIMIT: Final = 2 * ONE
"""No signal counts for more than twice its target."""
INTEGRAL_LIMIT: Final = ONE
"""The integral stays between minus this and this: a day of the greatest error."""
DERIVATIVE_LIMIT: Final = ONE
"""The derivative stays between minus this and this: a change by the whole target in a day."""


@dataclass(frozen=True, slots=True)
class Coefficients:
    """What the parts of the equation weigh, each in ppm, 0 or more."""

    alpha: int
    """Of contribution."""
    beta: int
    """Of distribution."""
    gamma: int
    """Of activity."""
    delta: int
    """Of circulation; it is taken away."""
    proportional: int
    integral: int
    derivative: int


@dataclass(frozen=True, slots=True)
class Signals:
    """What the controller sees of the time since its last step; Q32.32, each 0 to `SIGNAL_LIMIT`."""

    contribution: int
    """C: fees and message burns over their target."""
    distribution: int
    """D: the floor's stability."""
    activity: int
    """E: transactions over their target."""
    circulation: int
    """x: circulating supply over its target."""
    epochs: int
    """Epochs that the step covers, 1 to `day_epochs`."""
    day_epochs: int
    """Epochs of a day; the same at every step of one chain."""


@dataclass(frozen=True, slots=True)
class ControllerState:
    """What the controller remembers."""

    integral: int
    """Error times days, Q32.32, rounded down."""
    remainder: int
    """What rounding took from it, in 2^-32ths of an epoch's part of a day: 0 to `day_epochs` − 1."""
    error: int
    """Of the last step, Q32.32."""


def ratio(part: int, whole: int) -> int:
    """`part` (>= 0) over `whole` (>= 1) in Q32.32, rounded down, at most `SIGNAL_LIMIT`."""
    return min((part << FRACTION_BITS) // whole, SIGNAL_LIMIT)


def error_of(circulation: int) -> int:
    """e = 1 − x."""
    return ONE - circulation


def first_state(circulation: int) -> ControllerState:
    """What the controller begins with: no past, so that its first derivative is 0."""
    return ControllerState(0, 0, error_of(circulation))


def policy_output(
    state: ControllerState, signals: Signals, coefficients: Coefficients
) -> tuple[ControllerState, int]:
    """(what is remembered, u in Q32.32 from −`ONE` to `ONE`)."""
    day, error = signals.day_epochs, error_of(signals.circulation)
    slope = (error - state.error) * day // signals.epochs
    slope = min(max(slope, -DERIVATIVE_LIMIT), DERIVATIVE_LIMIT)
    present = (
        coefficients.alpha * signals.contribution
        + coefficients.beta * signals.distribution
        + coefficients.gamma * signals.activity
        - coefficients.delta * signals.circulation
        + coefficients.proportional * error
        + coefficients.derivative * slope
    )
    area = _next_area(state.integral * day + state.remainder, error, present, signals, coefficients.integral)
    output = (present * day + coefficients.integral * area) // (PPM * day)
    return ControllerState(area // day, area % day, error), min(max(output, -ONE), ONE)


def _next_area(area: int, error: int, present: int, signals: Signals, gain: int) -> int:
    """The integral, `day_epochs` fold and therefore exact, after the step.

    Anti-windup: it is bounded, and integrates conditionally: it grows no further than to where the output is at its
    limit, however long the error lasts. `present` is the rest of the output, ppm times Q32.32; so is `gain` (ppm).
    """
    day = signals.day_epochs
    after = area + error * signals.epochs
    if gain and error > 0:
        after = min(after, max(area, _at_most((PPM * ONE - present) * day, gain)))
    elif gain and error < 0:
        after = max(after, min(area, -_at_most((PPM * ONE + present) * day, gain)))
    return min(max(after, -INTEGRAL_LIMIT * day), INTEGRAL_LIMIT * day)


def _at_most(room: int, gain: int) -> int:
    """room / gain, rounded up: there the output reaches its limit."""
    return -(-room // gain)
