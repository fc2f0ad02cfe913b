"""The parameters of the chain that a vote may change, each with bounds that no vote can leave.

A parameter that was never changed has its default, which is no state. Of the floor's monthly amounts the default is the
least value: 1,150 NXT a month is the minimum for ever. Source: ledger.md, Governance.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ledger.amounts import UNITS_PER_NXT
from ledger.errors import Malformed, ParameterOutOfBounds
from ledger.state import Overlay, StateReader

PARAMETER_PREFIX: Final = b"gp"
"""State key of a changed parameter: `gp` ‖ number u16 ‖ subject; value u64 big-endian."""

SUBJECT_BYTES: Final = 20


@dataclass(frozen=True, slots=True)
class Parameter:
    """One number that governance decides."""

    number: int
    """On the wire; never reused."""
    name: str
    default: int
    """Until a vote changes it; of a parameter with subjects 0, which means the subject's own value."""
    least: int
    greatest: int
    unit: str
    meaning: str
    constitutional: bool = False
    """Whether a change is a constitutional matter."""
    per_subject: bool = False
    """Whether it is one value for each subject (20 bytes: the address of a pool) instead of one for the chain."""


_MONTHLY = "units of NXT per citizen and month"

RESERVE_SHARE_PPM: Final = Parameter(
    1, "reserve_share", 10_000, 0, 100_000, "ppm per epoch", "part of TRANSITION_RESERVE for the sector pools"
)
FLOOR_RESERVE_SHARE_PPM: Final = Parameter(
    2, "floor_reserve_share", 10_000, 0, 200_000, "ppm per epoch", "part of TRANSITION_RESERVE for F_FLOOR"
)
FLOOR_SECTOR_SHARE_PPM: Final = Parameter(
    3, "floor_sector_share", 5_000, 0, 100_000, "ppm per epoch", "part of every sector pool for F_FLOOR"
)
SECTOR_SEED_SHARE_PPM: Final = Parameter(
    4,
    "sector_seed_share",
    100_000,
    0,
    500_000,
    "ppm per epoch",
    "part of a sector pool that seeds its token's exchange pool",
)
COMMUNITY_WEIGHT_PPM: Final = Parameter(
    5,
    "community_weight",
    250_000,
    0,
    500_000,
    "ppm of all stake",
    "what all shares of a sector's exchange pool weigh together in the sector's matters",
)
CRISIS_HORIZON_PPM: Final = Parameter(
    6,
    "crisis_horizon",
    500_000,
    100_000,
    2_000_000,
    "ppm of a month",
    "time for which F_FLOOR must be able to pay, or there is a crisis",
    constitutional=True,
)
CRISIS_DRAIN_LIMIT_PPM: Final = Parameter(
    7,
    "crisis_drain_limit",
    250_000,
    50_000,
    1_000_000,
    "ppm per epoch",
    "greatest part of TRANSITION_RESERVE that a crisis may drain",
)


def _floor(number: int, category: str, nxt: int) -> Parameter:
    units = nxt * UNITS_PER_NXT
    return Parameter(
        number,
        f"floor_{category}",
        units,
        units,
        10 * units,
        _MONTHLY,
        f"the floor's entitlement to {category}",
        constitutional=True,
    )


FLOOR_FOOD_UNITS: Final = _floor(10, "food", 250)
FLOOR_WATER_UNITS: Final = _floor(11, "water", 50)
FLOOR_HOUSING_UNITS: Final = _floor(12, "housing", 400)
FLOOR_ENERGY_UNITS: Final = _floor(13, "energy", 150)
FLOOR_HEALTHCARE_UNITS: Final = _floor(14, "healthcare", 200)
FLOOR_CONNECTIVITY_UNITS: Final = _floor(15, "connectivity", 75)
FLOOR_RECYCLING_UNITS: Final = _floor(16, "recycling", 25)

FLOOR_CASH_PPM: Final = Parameter(
    20, "floor_cash", 1_000_000, 0, 1_000_000, "ppm", "part of an allowance that may be claimed as money"
)
FLOOR_RELEASE_LEAST_PPM: Final = Parameter(
    21,
    "floor_release_least",
    500_000,
    500_000,
    1_000_000,
    "ppm",
    "part of the floor's income that is released however low the debt backing is",
)
REGISTRATIONS_PER_EPOCH: Final = Parameter(
    22, "registrations_per_epoch", 64, 1, 10_000, "citizens", "new citizens of one epoch at most"
)
ATTESTATIONS_NEEDED: Final = Parameter(
    23, "attestations_needed", 1, 1, 5, "registrars", "how many registrars must attest a person"
)
DEBT_CREDIT_UNITS_PER_MILLION_USD: Final = Parameter(
    24,
    "debt_conversion",
    12_600_000,
    1,
    10**12,
    "units per 1,000,000 USD",
    "floor credits per citizen and day for the debt behind one NXT",
)
DEBT_CREDIT_RATE_PPM: Final = Parameter(
    25, "debt_rate", 1_000_000, 1, 10_000_000, "ppm", "part of the floor credits that counts"
)
POOL_FEE_BP: Final = Parameter(
    30,
    "pool_fee",
    0,
    10,
    50,
    "hundredths of a percent",
    "fee of one exchange pool, instead of its own",
    per_subject=True,
)
QUORUM_PPM: Final = Parameter(
    40,
    "quorum",
    334_000,
    200_000,
    667_000,
    "ppm of the stake",
    "part that must have voted",
    constitutional=True,
)
PROPOSAL_DEPOSIT_UNITS: Final = Parameter(
    41,
    "proposal_deposit",
    10 * UNITS_PER_NXT,
    UNITS_PER_NXT,
    1_000 * UNITS_PER_NXT,
    "units",
    "deposit of a proposal while few are open, lost without a quorum",
)
CAMPAIGN_BURN_UNITS: Final = Parameter(
    42,
    "campaign_burn",
    100 * UNITS_PER_NXT,
    100 * UNITS_PER_NXT,
    10_000 * UNITS_PER_NXT,
    "units",
    "what a campaign burns at least",
)
TARGET_CIRCULATION_UNITS: Final = Parameter(
    50,
    "target_circulation",
    500_000 * UNITS_PER_NXT,
    100_000 * UNITS_PER_NXT,
    1_000_000 * UNITS_PER_NXT,
    "units",
    "circulation that the monetary policy steers to",
    constitutional=True,
)
TARGET_CONTRIBUTION_UNITS_PER_DAY: Final = Parameter(
    51,
    "target_contribution",
    1_000 * UNITS_PER_NXT,
    UNITS_PER_NXT,
    100_000 * UNITS_PER_NXT,
    "units per day",
    "fees and message burns that count as 1",
)
TARGET_TRANSACTIONS_PER_DAY: Final = Parameter(
    52, "target_transactions", 864_000, 1_000, 10**9, "transactions per day", "activity that counts as 1"
)


def _coefficient(number: int, name: str, default: int, meaning: str) -> Parameter:
    return Parameter(number, f"policy_{name}", default, 0, 10_000_000, "ppm", meaning)


POLICY_ALPHA_PPM: Final = _coefficient(53, "alpha", 100_000, "weight of contribution")
POLICY_BETA_PPM: Final = _coefficient(54, "beta", 100_000, "weight of distribution")
POLICY_GAMMA_PPM: Final = _coefficient(55, "gamma", 100_000, "weight of activity")
POLICY_DELTA_PPM: Final = _coefficient(56, "delta", 300_000, "weight of circulation, against issuance")
POLICY_KP_PPM: Final = _coefficient(57, "kp", 3_000_000, "proportional gain of the circulation's error")
POLICY_KI_PPM: Final = _coefficient(58, "ki", 100_000, "integral gain of the circulation's error")
POLICY_KD_PPM: Final = _coefficient(59, "kd", 100_000, "derivative gain of the circulation's error")
PRICE_RISE_LIMIT_PPM: Final = Parameter(
    60, "price_rise_limit", 500_000, 0, 1_000_000, "ppm", "greatest rise of the message price by the policy"
)
FLOOR_INCOME_PPM: Final = Parameter(
    61,
    "floor_income",
    20_000,
    0,
    100_000,
    "ppm per year",
    "part of TREASURY's 500,000 NXT that the policy may pay into F_FLOOR",
)

FLOOR_PARAMETERS: Final = (
    FLOOR_FOOD_UNITS,
    FLOOR_WATER_UNITS,
    FLOOR_HOUSING_UNITS,
    FLOOR_ENERGY_UNITS,
    FLOOR_HEALTHCARE_UNITS,
    FLOOR_CONNECTIVITY_UNITS,
    FLOOR_RECYCLING_UNITS,
)
"""The basket, in the order of its categories."""

PARAMETERS: Final = (
    RESERVE_SHARE_PPM,
    FLOOR_RESERVE_SHARE_PPM,
    FLOOR_SECTOR_SHARE_PPM,
    SECTOR_SEED_SHARE_PPM,
    COMMUNITY_WEIGHT_PPM,
    CRISIS_HORIZON_PPM,
    CRISIS_DRAIN_LIMIT_PPM,
    *FLOOR_PARAMETERS,
    FLOOR_CASH_PPM,
    FLOOR_RELEASE_LEAST_PPM,
    REGISTRATIONS_PER_EPOCH,
    ATTESTATIONS_NEEDED,
    DEBT_CREDIT_UNITS_PER_MILLION_USD,
    DEBT_CREDIT_RATE_PPM,
    POOL_FEE_BP,
    QUORUM_PPM,
    PROPOSAL_DEPOSIT_UNITS,
    CAMPAIGN_BURN_UNITS,
    TARGET_CIRCULATION_UNITS,
    TARGET_CONTRIBUTION_UNITS_PER_DAY,
    TARGET_TRANSACTIONS_PER_DAY,
    POLICY_ALPHA_PPM,
    POLICY_BETA_PPM,
    POLICY_GAMMA_PPM,
    POLICY_DELTA_PPM,
    POLICY_KP_PPM,
    POLICY_KI_PPM,
    POLICY_KD_PPM,
    PRICE_RISE_LIMIT_PPM,
    FLOOR_INCOME_PPM,
)
"""All of them, ascending by number."""

PARAMETER_NUMBERED: Final[Mapping[int, Parameter]] = MappingProxyType({one.number: one for one in PARAMETERS})
PARAMETER_NAMED: Final[Mapping[str, Parameter]] = MappingProxyType({one.name: one for one in PARAMETERS})


def parameter_key(parameter: Parameter, subject: bytes = b"") -> bytes:
    """State key of a changed parameter."""
    return PARAMETER_PREFIX + parameter.number.to_bytes(2, "big") + subject


def require_in_bounds(parameter: Parameter, value: int) -> None:
    """Errors: `ParameterOutOfBounds`."""
    if not parameter.least <= value <= parameter.greatest:
        raise ParameterOutOfBounds(parameter.name, value, parameter.least, parameter.greatest)


def read_parameter(reader: StateReader, parameter: Parameter, subject: bytes = b"") -> int:
    """The value that counts now. `subject`: 20 bytes where the parameter has subjects. Errors: `Malformed` state."""
    raw = reader.get(parameter_key(parameter, subject))
    if raw is None:
        return parameter.default
    if len(raw) != 8:
        raise Malformed(f"parameter {parameter.name}", f"{len(raw)} bytes, expected 8")
    return int.from_bytes(raw, "big")


def write_parameter(overlay: Overlay, parameter: Parameter, value: int, subject: bytes = b"") -> None:
    """Change a parameter. Errors: `ParameterOutOfBounds`, nothing written."""
    require_in_bounds(parameter, value)
    overlay.put(parameter_key(parameter, subject), value.to_bytes(8, "big"))
