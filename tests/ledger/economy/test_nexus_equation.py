"""The Nexus equation in integers: parity with floats, bounds, anti-windup. Row D7 of reliability.md."""

from dataclasses import replace
from hashlib import blake2b
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.economy.nexus_equation import (
    INTEGRAL_LIMIT,
    SIGNAL_LIMIT,
    Coefficients,
    ControllerState,
    Signals,
    error_of,
    first_state,
    policy_output,
    ratio,
)
from ledger.governed.parameters import (
    POLICY_ALPHA_PPM,
    POLICY_BETA_PPM,
    POLICY_DELTA_PPM,
    POLICY_GAMMA_PPM,
    POLICY_KD_PPM,
    POLICY_KI_PPM,
    POLICY_KP_PPM,
)
from ledger.issuance import ONE

PARAMETERS = (
    POLICY_ALPHA_PPM,
    POLICY_BETA_PPM,
    POLICY_GAMMA_PPM,
    POLICY_DELTA_PPM,
    POLICY_KP_PPM,
    POLICY_KI_PPM,
    POLICY_KD_PPM,
)
"""In the order of `Coefficients`."""

DEFAULTS = Coefficients(*(parameter.default for parameter in PARAMETERS))
GREATEST = POLICY_KP_PPM.greatest
DAY = 2_700
AT_TARGET = Signals(ONE, ONE, ONE, ONE, 1, DAY)


# a plain float copy ---------------------------------------------------------------------------------------------------


def float_step(
    integral: float, last_error: float, signals: Signals, coefficients: Coefficients
) -> tuple[float, float, float]:
    """(integral, error, u): the equation as it is written, in floats."""
    alpha, beta, gamma, delta, kp, ki, kd = (
        value / 1e6
        for value in (
            coefficients.alpha,
            coefficients.beta,
            coefficients.gamma,
            coefficients.delta,
            coefficients.proportional,
            coefficients.integral,
            coefficients.derivative,
        )
    )
    c, d, e, x = (
        value / 2**32
        for value in (signals.contribution, signals.distribution, signals.activity, signals.circulation)
    )
    days = signals.epochs / signals.day_epochs
    error = 1.0 - x
    slope = min(max((error - last_error) / days, -1.0), 1.0)
    present = alpha * c + beta * d + gamma * e - delta * x + kp * error + kd * slope
    after = integral + error * days
    if ki > 0 and error > 0:
        after = min(after, max(integral, (1.0 - present) / ki))
    if ki > 0 and error < 0:
        after = max(after, min(integral, (-1.0 - present) / ki))
    after = min(max(after, -1.0), 1.0)
    return after, error, min(max(present + ki * after, -1.0), 1.0)


def stated_bound(coefficients: Coefficients, steps: int) -> float:
    """MONETARY_POLICY.md, Against floats."""
    ki, kd = coefficients.integral / 1e6, coefficients.derivative / 1e6
    return (1 + ki + 2 * kd) * 2.0**-32 + ki * steps * 2.0**-53 + 2.0**-40


def random_coefficients(source: Random) -> Coefficients:
    return Coefficients(
        *(
            source.choice((0, 1, parameter.default, GREATEST, source.randrange(GREATEST)))
            for parameter in PARAMETERS
        )
    )


def random_signals(source: Random, before: Signals) -> Signals:
    """A walk with jumps, to the ends too."""

    def next_of(value: int) -> int:
        kind = source.randrange(20)
        if kind == 0:
            return source.choice((0, ONE, SIGNAL_LIMIT, source.randrange(SIGNAL_LIMIT)))
        step = source.randrange(-(1 << 24), 1 << 24) if kind < 15 else source.randrange(-(1 << 30), 1 << 30)
        return min(max(value + step, 0), SIGNAL_LIMIT)

    return Signals(
        next_of(before.contribution),
        next_of(before.distribution),
        next_of(before.activity),
        next_of(before.circulation),
        source.choice((1, 1, 1, source.randrange(1, before.day_epochs + 1))),
        before.day_epochs,
    )


@pytest.mark.parametrize("seed", range(24))
def test_D7_integers_stay_within_the_stated_bound_of_floats(seed: int) -> None:
    source = Random(seed)
    coefficients = DEFAULTS if seed < 6 else random_coefficients(source)
    signals = replace(AT_TARGET, day_epochs=source.choice((1, 42, DAY, 216_000)))
    steps = 2_000
    bound = stated_bound(coefficients, steps)
    assert bound < 2.0**-26
    state = first_state(signals.circulation)
    integral, error = 0.0, state.error / 2**32
    worst = 0.0
    for _ in range(steps):
        signals = random_signals(source, signals)
        state, output = policy_output(state, signals, coefficients)
        integral, error, expected = float_step(integral, error, signals, coefficients)
        worst = max(worst, abs(output / 2**32 - expected))
    assert worst <= bound, (coefficients, worst / bound)


def test_D7_a_long_run_gives_these_bytes_on_every_machine() -> None:
    source = Random(7)
    signals, state = AT_TARGET, first_state(ONE)
    digest = blake2b(digest_size=16)
    for _ in range(3_000):
        signals = random_signals(source, signals)
        state, output = policy_output(state, signals, DEFAULTS)
        for number in (state.integral, state.remainder, state.error, output):
            assert type(number) is int
            digest.update(number.to_bytes(8, "big", signed=True))
    assert digest.hexdigest() == "2949d1ce297b5f31f305c8d4d5f956a2"


# bounds ---------------------------------------------------------------------------------------------------------------

q_signals = st.integers(0, SIGNAL_LIMIT) | st.sampled_from((0, 1, ONE - 1, ONE, ONE + 1, SIGNAL_LIMIT))
ppm = st.sampled_from((0, 1, GREATEST)) | st.integers(0, GREATEST)


@st.composite
def steps_of_a_run(draw: st.DrawFn) -> list[Signals]:
    day = draw(st.sampled_from((1, 2, 42, DAY, 216_000)))
    return draw(
        st.lists(
            st.builds(Signals, q_signals, q_signals, q_signals, q_signals, st.integers(1, day), st.just(day)),
            min_size=1,
            max_size=8,
        )
    )


@settings(max_examples=150, deadline=None)
@given(run=steps_of_a_run(), coefficients=st.builds(Coefficients, *[ppm] * 7))
def test_D7_output_and_state_stay_in_their_bounds_for_any_coefficients(
    run: list[Signals], coefficients: Coefficients
) -> None:
    state = first_state(run[0].circulation)
    for signals in run:
        state, output = policy_output(state, signals, coefficients)
        assert -ONE <= output <= ONE
        assert -INTEGRAL_LIMIT <= state.integral <= INTEGRAL_LIMIT
        assert 0 <= state.remainder < signals.day_epochs
        assert state.error == error_of(signals.circulation)


@settings(max_examples=100, deadline=None)
@given(run=steps_of_a_run())
def test_at_half_of_the_target_or_less_all_is_issued_whatever_was_before(run: list[Signals]) -> None:
    """So a young chain pays its validators their whole budget."""
    state = first_state(run[0].circulation)
    for signals in run:
        state, _ = policy_output(state, signals, DEFAULTS)
    last = replace(run[-1], circulation=ONE // 2)
    assert policy_output(state, last, DEFAULTS)[1] == ONE
    poor = Signals(0, 0, 0, ONE // 2, last.epochs, last.day_epochs)
    assert policy_output(state, poor, DEFAULTS)[1] == ONE


def test_ratio_is_rounded_down_and_bounded() -> None:
    assert ratio(1, 3) == ONE // 3
    assert ratio(2, 3) == 2 * ONE // 3
    assert ratio(7, 7) == ONE
    assert ratio(10**14, 1) == SIGNAL_LIMIT


# meaning --------------------------------------------------------------------------------------------------------------


def test_with_everything_at_its_target_nothing_is_issued_and_nothing_is_dearer() -> None:
    assert policy_output(first_state(ONE), AT_TARGET, DEFAULTS)[1] == 0


def test_every_part_pulls_its_way() -> None:
    def output(**changed: int) -> int:
        signals = replace(AT_TARGET, **changed)
        return policy_output(first_state(signals.circulation), signals, DEFAULTS)[1]

    assert output(contribution=ONE * 3 // 2) == ONE // 20
    assert output(activity=ONE // 2) == -ONE // 20
    assert output(distribution=ONE // 2) == -ONE // 20
    assert output(circulation=ONE * 9 // 10) > 0 > output(circulation=ONE * 11 // 10)
    assert output(circulation=0) == ONE
    assert output(circulation=SIGNAL_LIMIT) == -ONE


def test_derivative_brakes_a_circulation_that_rises_fast() -> None:
    rising = ControllerState(0, 0, error_of(ONE - ONE // 1_000))
    only = Coefficients(0, 0, 0, 0, 0, 0, 1_000_000)
    assert policy_output(rising, replace(AT_TARGET, epochs=DAY), only)[1] == error_of(ONE) - rising.error
    assert policy_output(rising, AT_TARGET, only)[1] == -ONE, "a thousandth within an epoch is 2.7 a day"


def test_integral_is_the_error_in_days() -> None:
    only = Coefficients(0, 0, 0, 0, 0, 1_000_000, 0)
    signals = replace(AT_TARGET, circulation=ONE * 9 // 10)
    state = first_state(signals.circulation)
    for _ in range(DAY):
        state, output = policy_output(state, signals, only)
    assert output == state.integral == error_of(signals.circulation)
    assert state.remainder == 0, "no rounding is lost on the way"


def test_skipped_epochs_count_once_in_one_step() -> None:
    only = Coefficients(0, 0, 0, 0, 0, 1_000_000, 0)
    one = replace(AT_TARGET, circulation=ONE * 9 // 10 + 1)
    state = first_state(one.circulation)
    for _ in range(7):
        state, _ = policy_output(state, one, only)
    merged, _ = policy_output(first_state(one.circulation), replace(one, epochs=7), only)
    assert merged == state


# anti-windup ----------------------------------------------------------------------------------------------------------

WINDING = (
    DEFAULTS,
    Coefficients(0, 0, 0, 0, 0, 10_000_000, 0),
    Coefficients(0, 0, 0, 0, 500_000, 2_000_000, 0),
    Coefficients(100_000, 100_000, 100_000, 300_000, 3_000_000, 10_000_000, 100_000),
)


@pytest.mark.parametrize("coefficients", WINDING)
@pytest.mark.parametrize("sign", [1, -1])
def test_D7_after_long_saturation_the_output_leaves_it_in_the_first_epoch(
    coefficients: Coefficients, sign: int
) -> None:
    """Three days below (above) the target, then an error of a hundredth the other way."""
    state, saturating = first_state(ONE), replace(AT_TARGET, circulation=ONE - sign * ONE // 2)
    for _ in range(3 * DAY):
        state, output = policy_output(state, saturating, coefficients)
    assert output == sign * ONE
    crossed = replace(AT_TARGET, circulation=ONE + sign * ONE // 100)
    _, output = policy_output(state, crossed, coefficients)
    assert abs(output) < ONE


def test_D7_a_saturated_output_winds_nothing_up() -> None:
    state = first_state(ONE // 2)
    for _ in range(DAY):
        state, output = policy_output(state, replace(AT_TARGET, circulation=ONE // 2), DEFAULTS)
        assert (output, state.integral, state.remainder) == (ONE, 0, 0)


@pytest.mark.parametrize("sign", [1, -1])
def test_integral_grows_to_where_the_output_is_at_its_limit_and_no_further(sign: int) -> None:
    coefficients = Coefficients(0, 0, 0, 0, 500_000, 1_700_001, 0)
    signals = replace(AT_TARGET, circulation=ONE - sign * ONE // 2)
    state = first_state(signals.circulation)
    seen = []
    for _ in range(3 * DAY):
        state, output = policy_output(state, signals, coefficients)
        seen.append(sign * output)
    assert seen == sorted(seen)
    assert seen[-1] == ONE, "at its limit, not a rounding below"
    assert abs(1_700_001 * abs(state.integral) - 750_000 * ONE) <= 1_700_001


def test_loop_with_the_equation_settles_at_the_target() -> None:
    """A plain economy: a tenth of the target a day at full issuance, a fiftieth of what circulates burned a day."""
    circulation = ONE // 10
    state = first_state(circulation)
    for _ in range(60):
        for _ in range(24):
            signals = Signals(ONE, ONE, ONE, circulation, 1, 24)
            state, output = policy_output(state, signals, DEFAULTS)
            circulation += max(output, 0) // 240 - circulation // 1_200
    assert abs(circulation - ONE) < ONE // 10
    assert abs(state.error) < ONE // 10
