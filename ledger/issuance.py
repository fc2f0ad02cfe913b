"""What crosses the border of the reserves, and how much may: the flows of the whole chain and of the running epoch.

The reserves R are `ledger.accounts.RESERVES`. Units that leave R are issued, units that enter it are burned; nothing is
made or destroyed by either. At every moment, to the unit,

    MAX_SUPPLY − Σ balances of R  ==  circulating at genesis + issued − burned

Whoever moves units over the border counts them here, in the same journal. Source: ledger.md, Money.
"""

from struct import Struct as ByteLayout
from typing import Final

import msgspec

from ledger.errors import ConservationBroken, Malformed
from ledger.state import Overlay, StateReader
from ledger.transfer import move_units

FLOWS_KEY: Final = b"lf"
"""State key of `Flows`: circulating u64 ‖ issued u128 ‖ burned u128 ‖ fees u64 ‖ messages u64 ‖ transactions u64."""

SHARE_KEY: Final = b"ls"
"""State key of the issuance share: u64. Absent: all of it."""

PRICE_RISE_KEY: Final = b"lr"
"""State key of the rise of the message price in ppm: u64. Absent: none."""

FRACTION_BITS: Final = 32
ONE: Final = 1 << FRACTION_BITS
"""1 in Q32.32."""

_LAYOUT: Final = ByteLayout(">Q16s16sQQQ")


class Flows(msgspec.Struct, frozen=True, gc=False):
    """Units over the border of the reserves, and what the running epoch has seen."""

    circulating_at_genesis: int
    issued_units: int
    """Out of the reserves since genesis."""
    burned_units: int
    """Into the reserves since genesis."""
    epoch_fee_units: int
    """Fees since the last transition."""
    epoch_message_units: int
    """Message burns since the last transition."""
    epoch_transactions: int
    """Transactions applied since the last transition."""

    @property
    def circulating_units(self) -> int:
        """What lies outside of the reserves."""
        return self.circulating_at_genesis + self.issued_units - self.burned_units


NO_FLOWS: Final = Flows(0, 0, 0, 0, 0, 0)


def encode_flows(flows: Flows) -> bytes:
    """64 bytes, big-endian."""
    return _LAYOUT.pack(
        flows.circulating_at_genesis,
        flows.issued_units.to_bytes(16, "big"),
        flows.burned_units.to_bytes(16, "big"),
        flows.epoch_fee_units,
        flows.epoch_message_units,
        flows.epoch_transactions,
    )


def read_flows(reader: StateReader) -> Flows:
    """The flows so far. Errors: `Malformed` for a damaged state."""
    raw = reader.get(FLOWS_KEY)
    if raw is None:
        return NO_FLOWS
    if len(raw) != _LAYOUT.size:
        raise Malformed("flows", f"{len(raw)} bytes, expected {_LAYOUT.size}")
    circulating, issued, burned, fees, messages, transactions = _LAYOUT.unpack(raw)
    return Flows(
        circulating,
        int.from_bytes(issued, "big"),
        int.from_bytes(burned, "big"),
        fees,
        messages,
        transactions,
    )


def _write(overlay: Overlay, flows: Flows) -> None:
    overlay.put(FLOWS_KEY, encode_flows(flows))


def count_issued(overlay: Overlay, units: int) -> None:
    """Note `units` (>= 0) that left a reserve."""
    if units:
        flows = read_flows(overlay)
        _write(overlay, msgspec.structs.replace(flows, issued_units=flows.issued_units + units))


def count_burned(overlay: Overlay, units: int) -> None:
    """Note `units` (>= 0) that entered a reserve."""
    if units:
        flows = read_flows(overlay)
        _write(overlay, msgspec.structs.replace(flows, burned_units=flows.burned_units + units))


def issue_units(overlay: Overlay, reserve: bytes, recipient: bytes, units: int) -> None:
    """Move `units` (>= 0) from a reserve's address to one outside. Errors: `ConservationBroken` when it holds less."""
    if overlay.debit(reserve, units) is None:
        raise ConservationBroken("issuance", overlay.account(reserve).balance, units)
    overlay.credit(recipient, units)
    count_issued(overlay, units)


def burn_units(overlay: Overlay, sender: bytes, reserve: bytes, units: int) -> None:
    """Move `units` (>= 0) from outside to a reserve's address. Errors: `Rejected` InsufficientBalance."""
    move_units(overlay, sender, reserve, units)
    count_burned(overlay, units)


def burn_for_message(overlay: Overlay, sender: bytes, reserve: bytes, units: int) -> None:
    """`burn_units` for a message, which counts in the epoch's figures too. Errors: `Rejected` InsufficientBalance."""
    move_units(overlay, sender, reserve, units)
    flows = read_flows(overlay)
    _write(
        overlay,
        msgspec.structs.replace(
            flows,
            burned_units=flows.burned_units + units,
            epoch_message_units=flows.epoch_message_units + units,
        ),
    )


def note_block(overlay: Overlay, fee_units: int, transactions: int) -> None:
    """At the end of a merge set: its fees, which burned into FEES, and how many transactions it applied."""
    if not fee_units and not transactions:
        return
    flows = read_flows(overlay)
    _write(
        overlay,
        msgspec.structs.replace(
            flows,
            burned_units=flows.burned_units + fee_units,
            epoch_fee_units=flows.epoch_fee_units + fee_units,
            epoch_transactions=flows.epoch_transactions + transactions,
        ),
    )


def take_epoch_flows(overlay: Overlay) -> Flows:
    """The flows with the figures of the epoch that ends, which begin again at 0."""
    flows = read_flows(overlay)
    _write(
        overlay,
        msgspec.structs.replace(flows, epoch_fee_units=0, epoch_message_units=0, epoch_transactions=0),
    )
    return flows


def read_issuance_share(reader: StateReader) -> int:
    """The part of the epoch's budgets that is issued, Q32.32, 0 to `ONE`."""
    raw = reader.get(SHARE_KEY)
    return ONE if raw is None else int.from_bytes(raw, "big")


def write_issuance_share(overlay: Overlay, share: int) -> None:
    """Set the part of the budgets that is issued, Q32.32, 0 to `ONE`."""
    overlay.put(SHARE_KEY, share.to_bytes(8, "big"))


def read_price_rise_ppm(reader: StateReader) -> int:
    """By how much a message costs more than its formula says, in ppm."""
    raw = reader.get(PRICE_RISE_KEY)
    return 0 if raw is None else int.from_bytes(raw, "big")


def write_price_rise_ppm(overlay: Overlay, rise_ppm: int) -> None:
    """Set the rise of the message price in ppm, >= 0."""
    overlay.put(PRICE_RISE_KEY, rise_ppm.to_bytes(8, "big"))
