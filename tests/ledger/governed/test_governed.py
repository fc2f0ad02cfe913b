"""Parameters keep their bounds whoever writes them; registrars, sector tokens and pauses are what was written last."""

import pytest

from ledger.errors import Malformed, ParameterOutOfBounds
from ledger.governed.parameters import (
    FLOOR_PARAMETERS,
    PARAMETER_NAMED,
    PARAMETERS,
    POOL_FEE_BP,
    QUORUM_PPM,
    Parameter,
    parameter_key,
    read_parameter,
    write_parameter,
)
from ledger.governed.pauses import pause_kind, paused_kind, read_pause
from ledger.governed.registrars import MAX_REGISTRARS, add_registrar, read_registrars, remove_registrar
from ledger.governed.sector_tokens import read_sector_token, write_sector_token
from ledger.state import MappingState, Overlay


def fresh() -> Overlay:
    return Overlay(MappingState({}))


def test_numbers_and_names_ascend_and_are_unique() -> None:
    numbers = [one.number for one in PARAMETERS]
    assert numbers == sorted(set(numbers))
    assert len(PARAMETER_NAMED) == len(PARAMETERS)


@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda one: one.name)
def test_G4_no_value_beyond_the_bounds_can_be_written(parameter: Parameter) -> None:
    overlay = fresh()
    assert read_parameter(overlay, parameter) == parameter.default
    for value in (parameter.least - 1, parameter.greatest + 1):
        with pytest.raises(ParameterOutOfBounds, match=f"its bounds are {parameter.least} to"):
            write_parameter(overlay, parameter, value)
    assert overlay.changes() == {}
    for value in (parameter.least, parameter.greatest):
        write_parameter(overlay, parameter, value)
        assert read_parameter(overlay, parameter) == value
    assert parameter.per_subject or parameter.least <= parameter.default <= parameter.greatest


def test_the_basket_never_falls_below_1150_nxt_a_month() -> None:
    assert sum(one.least for one in FLOOR_PARAMETERS) == sum(one.default for one in FLOOR_PARAMETERS)
    assert sum(one.least for one in FLOOR_PARAMETERS) == 1_150 * 10**8


def test_subjects_have_values_of_their_own() -> None:
    overlay = fresh()
    write_parameter(overlay, POOL_FEE_BP, 50, b"p" * 20)
    assert read_parameter(overlay, POOL_FEE_BP, b"p" * 20) == 50
    assert read_parameter(overlay, POOL_FEE_BP, b"q" * 20) == 0


def test_damaged_parameter_is_malformed() -> None:
    with pytest.raises(Malformed):
        read_parameter(MappingState({parameter_key(QUORUM_PPM): b"x"}), QUORUM_PPM)


def test_registrars_are_a_sorted_bounded_set() -> None:
    overlay = fresh()
    assert read_registrars(overlay) == ()
    assert add_registrar(overlay, b"b" * 20) and add_registrar(overlay, b"a" * 20)
    assert not add_registrar(overlay, b"a" * 20)
    assert read_registrars(overlay) == (b"a" * 20, b"b" * 20)
    assert remove_registrar(overlay, b"a" * 20) and not remove_registrar(overlay, b"a" * 20)
    assert remove_registrar(overlay, b"b" * 20)
    assert overlay.changes() == {}
    assert all(add_registrar(overlay, bytes([number]) * 20) for number in range(MAX_REGISTRARS))
    assert not add_registrar(overlay, b"z" * 20)


def test_a_sector_has_the_token_named_last() -> None:
    overlay = fresh()
    assert read_sector_token(overlay, 11) is None
    write_sector_token(overlay, 11, b"t" * 20)
    write_sector_token(overlay, 11, b"u" * 20)
    assert read_sector_token(overlay, 11) == b"u" * 20


def test_a_pause_counts_in_its_epoch_only() -> None:
    overlay = fresh()
    assert paused_kind(overlay, 0) is None
    pause_kind(overlay, 33, 7)
    assert read_pause(overlay) == (33, 7)
    assert [paused_kind(overlay, epoch) for epoch in (6, 7, 8)] == [None, 33, None]
    with pytest.raises(Malformed):
        paused_kind(MappingState({b"gk": b"x"}), 1)
