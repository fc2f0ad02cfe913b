"""What the floor needs for the time that lies ahead, for the crisis drain and the figures shown."""

from ledger.accounts import F_FLOOR_ADDRESS, decode_account
from ledger.amounts import PPM
from ledger.economy.crisis import CrisisNeed
from ledger.economy.floor.categories import monthly_basket
from ledger.economy.floor.records import read_floor
from ledger.governed.parameters import CRISIS_HORIZON_PPM, read_parameter
from ledger.state import StateReader, account_key


def floor_need_units(reader: StateReader, months_ppm: int) -> int:
    """What all citizens are entitled to in `months_ppm` millionths of a month, rounded down."""
    return read_floor(reader).population * sum(monthly_basket(reader)) * months_ppm // PPM


def floor_balance(reader: StateReader) -> int:
    """Units in F_FLOOR."""
    raw = reader.get(account_key(F_FLOOR_ADDRESS))
    return 0 if raw is None else decode_account(raw).balance


def crisis_need(reader: StateReader) -> CrisisNeed:
    """What F_FLOOR has besides what it owes already, and what its citizens are entitled to within the horizon.

    What is owed belongs to citizens who have not claimed it: it cannot pay the next month to others.
    """
    horizon = read_parameter(reader, CRISIS_HORIZON_PPM)
    return CrisisNeed(
        floor_balance(reader) - read_floor(reader).owed_units, floor_need_units(reader, horizon)
    )
