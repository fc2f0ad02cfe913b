"""The message kind, its price, and the seed's entry."""

from collections.abc import Iterator

import pytest
from builders.failing_overlay import fail_at_every_write
from builders.staking import NXT, StakingChain
from hypothesis import given
from hypothesis import strategies as st

from ledger.accounts import RESERVES, SYSTEM_ADDRESSES
from ledger.addresses import POOL_MARK, address_of
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.economy.message_burn import (
    MAX_CONTENT_BYTES,
    Message,
    MessageBurn,
    MessagingFlowController,
    RegionLedger,
    message_price_units,
    read_region_ledger,
)
from ledger.economy.regions import REGIONS
from ledger.errors import Malformed, PayloadInvalid
from ledger.issuance import read_flows, write_price_rise_ppm
from ledger.state import Overlay
from wnsp.spectrum import BANDS

VIOLET, BLUE, GREEN, _, _, RED = range(6)
LOW, NORMAL, HIGH, CRITICAL = range(4)


@pytest.fixture
def chain() -> Iterator[StakingChain]:
    made = StakingChain(4)
    yield made
    assert made.faults() == ()


def test_regions_are_the_bands_of_the_spectrum() -> None:
    assert [(region.name, region.centre_pm) for region in REGIONS] == [
        (band.name, band.centre_pm) for band in BANDS
    ]


@pytest.mark.parametrize(
    ("region", "priority", "size_bytes", "rise_ppm", "units"),
    [
        (GREEN, NORMAL, 280, 0, 10_445_161),
        (GREEN, NORMAL, 280, 50_000, 10_967_419),
        (BLUE, NORMAL, 100, 0, 4_204_118),
        (BLUE, LOW, 1, 0, 21_020),
        (VIOLET, CRITICAL, 8_192, 0, 1_568_478_457),
        (RED, LOW, 1, 0, 14_499),
    ],
)
def test_price_of_the_worked_figures(
    region: int, priority: int, size_bytes: int, rise_ppm: int, units: int
) -> None:
    assert message_price_units(region, priority, size_bytes, rise_ppm) == units


@given(st.integers(0, 5), st.integers(0, 3), st.integers(1, MAX_CONTENT_BYTES), st.integers(0, 1_000_000))
def test_price_is_the_exact_energy_rounded_down_and_then_raised(
    region: int, priority: int, size_bytes: int, rise_ppm: int
) -> None:
    """Against the formula in halves: 2 × factor is 1, 2, 4, 8."""
    twice = (1, 2, 4, 8)[priority]
    base = message_price_units(region, priority, size_bytes)
    exact_numerator, exact_denominator = 19_864_458_000 * size_bytes * twice, 2 * BANDS[region].centre_pm
    assert 0 <= exact_numerator - base * exact_denominator < exact_denominator
    raised = message_price_units(region, priority, size_bytes, rise_ppm)
    assert 0 <= base * (1_000_000 + rise_ppm) - raised * 1_000_000 < 1_000_000


def test_message_burns_its_price_into_the_reserve_and_says_so(chain: StakingChain) -> None:
    sender = chain.accounts[0]
    before, flows = chain.account(sender).balance, read_flows(chain.reader)
    assert chain.send(sender, "message", Message(GREEN, NORMAL, b"m" * 280, 10_445_161)) == ""
    [receipt] = chain.outcomes[-1].receipts
    assert receipt.result == (10_445_161,)
    assert chain.account(sender).balance == before - receipt.fee - 10_445_161
    assert chain.system("TRANSITION_RESERVE") == 10_445_161
    after = read_flows(chain.reader)
    assert after.burned_units - flows.burned_units == 10_445_161 + receipt.fee
    assert after.epoch_message_units == 10_445_161


def test_every_region_has_a_ledger_of_its_own(chain: StakingChain) -> None:
    for region in (BLUE, BLUE, RED):
        chain.send(chain.accounts[0], "message", Message(region, NORMAL, b"m" * 100, NXT))
    assert read_region_ledger(chain.reader, BLUE) == RegionLedger(2, 200, 2 * 4_204_118)
    assert read_region_ledger(chain.reader, RED) == RegionLedger(1, 100, 2_899_920)
    assert read_region_ledger(chain.reader, GREEN) == RegionLedger(0, 0, 0)
    assert chain.system("TRANSITION_RESERVE") == 2 * 4_204_118 + 2_899_920


def test_price_above_the_signed_limit_is_refused_and_costs_the_fee_only(chain: StakingChain) -> None:
    overlay = Overlay(chain.reader)
    write_price_rise_ppm(overlay, 50_000)
    chain.apply(overlay.changes())
    sender = chain.accounts[0]
    before = chain.account(sender).balance
    assert chain.send(sender, "message", Message(GREEN, NORMAL, b"m" * 280, 10_967_418)) == "PriceAboveLimit"
    assert chain.account(sender).balance == before - chain.outcomes[-1].receipts[0].fee
    assert chain.system("TRANSITION_RESERVE") == 0
    assert chain.send(sender, "message", Message(GREEN, NORMAL, b"m" * 280, 10_967_419)) == ""


def test_message_that_the_sender_cannot_pay_is_refused(chain: StakingChain) -> None:
    poor = chain.owners[0]
    reason = chain.send(poor, "message", Message(VIOLET, CRITICAL, bytes(8_192), MAX_SUPPLY_UNITS))
    assert reason == "InsufficientBalance"
    assert chain.system("TRANSITION_RESERVE") == 0


@pytest.mark.parametrize(
    "message",
    [
        Message(GREEN, NORMAL, b"m" * 280, 10_445_160),
        Message(GREEN, NORMAL, b"m", MAX_SUPPLY_UNITS + 1),
        Message(GREEN, NORMAL, b"m", 0),
        Message(6, NORMAL, b"m", NXT),
        Message(GREEN, 4, b"m", NXT),
        Message(GREEN, NORMAL, b"", NXT),
        Message(GREEN, NORMAL, bytes(8_193), MAX_SUPPLY_UNITS),
    ],
)
def test_message_that_no_state_can_make_valid_is_refused_in_isolation(
    chain: StakingChain, message: Message
) -> None:
    with pytest.raises((PayloadInvalid, Malformed)):
        chain.signed(chain.accounts[0], "message", message)


def test_kind_and_controller_take_one_path(chain: StakingChain) -> None:
    sender = chain.accounts[0]
    transaction = chain.signed(sender, "message", Message(BLUE, HIGH, b"m" * 77, NXT))
    kind = chain.registry.named("message")
    assert kind is not None
    by_kind, by_controller = Overlay(chain.reader), Overlay(chain.reader)
    result = kind.apply(by_kind, transaction, transaction.payload, chain.context())
    success, burn, message = MessagingFlowController(by_controller).process_message_burn(
        address_of(sender.public_key), BLUE, HIGH, 77, NXT
    )
    assert (success, message) == (True, "applied")
    assert burn == MessageBurn(address_of(sender.public_key), BLUE, HIGH, 77, 6_474_341, 0)
    assert result == (burn.burned_units,)
    assert by_kind.changes() == by_controller.changes()


GOOD = (b"s" * 20, GREEN, NORMAL, 10, NXT)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *((0, value) for value in (b"", b"x" * 19, "x" * 20, None, POOL_MARK + bytes(14), *SYSTEM_ADDRESSES)),
        *((1, value) for value in (-1, 6, True, 1.0, None, "GREEN", [2])),
        *((2, value) for value in (-1, 4, False, 2**70, b"1")),
        *((3, value) for value in (0, -5, 8_193, True, 2.5, 10**40)),
        *((4, value) for value in (0, -1, MAX_SUPPLY_UNITS + 1, True, 1e9, object())),
    ],
)
def test_controller_refuses_bad_arguments_in_words_and_writes_nothing(
    chain: StakingChain, place: int, value: object
) -> None:
    overlay = Overlay(chain.reader)
    arguments = [*GOOD[:place], value, *GOOD[place + 1 :]]
    success, burn, message = MessagingFlowController(overlay).process_message_burn(*arguments)  # type: ignore[arg-type]
    assert (success, burn) == (False, None)
    assert message
    assert overlay.changes() == {}


def test_controller_says_why_the_state_refuses(chain: StakingChain) -> None:
    overlay = Overlay(chain.reader)
    flow = MessagingFlowController(overlay)
    assert flow.process_message_burn(b"s" * 20, GREEN, NORMAL, 280, NXT) == (
        False,
        None,
        "balance 0 units, 10445161 needed",
    )
    success, _, message = flow.process_message_burn(
        address_of(chain.accounts[0].public_key), GREEN, NORMAL, 280, 5
    )
    assert not success
    assert "10445161" in message
    assert "at most 5" in message
    assert overlay.changes() == {}


def test_fault_at_any_write_of_a_burn_leaves_the_root(chain: StakingChain) -> None:
    sender = address_of(chain.accounts[0].public_key)
    writes = fail_at_every_write(
        chain.state,
        lambda overlay: MessagingFlowController(overlay).process_message_burn(
            sender, GREEN, NORMAL, 280, NXT
        ),
        rolls_back_itself=True,
    )
    assert writes == 4


def test_burn_keeps_the_identity_of_circulation(chain: StakingChain) -> None:
    circulating, flows = _outside(chain), read_flows(chain.reader)
    overlay = Overlay(chain.reader)
    MessagingFlowController(overlay).process_message_burn(
        address_of(chain.accounts[0].public_key), GREEN, CRITICAL, 999, 100 * NXT
    )
    chain.apply(overlay.changes())
    after = read_flows(chain.reader)
    assert _outside(chain) - circulating == flows.burned_units - after.burned_units < 0


def _outside(chain: StakingChain) -> int:
    return MAX_SUPPLY_UNITS - sum(chain.system(name) for name in RESERVES)
