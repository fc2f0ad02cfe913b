"""Numbers of staking on one network, in epochs and units. Consensus derives them from the network's preset."""

from dataclasses import dataclass

from ledger.amounts import UNITS_PER_NXT

MIN_SELF_STAKE_UNITS = 1_000 * UNITS_PER_NXT
MIN_DELEGATION_UNITS = 10 * UNITS_PER_NXT

MAX_ACTIVE_VALIDATORS = 1_000
"""Validity costs one vote per validator without aggregation (reliability.md 3.2 f)."""

DOWNTIME_EPOCHS = 8
"""4.5 hours on main: longer than any update or reboot."""


@dataclass(frozen=True, slots=True)
class StakingRules:
    """What the epochs of one network mean for stakes. Source: ledger.md, Staking; consensus.md, Presets."""

    activation_delay_epochs: int
    """Epochs between a registration and the first snapshot that counts its stake."""
    unbonding_epochs: int
    """Epochs that stake stays slashable after it was taken out."""
    evidence_epochs: int
    """Epochs in which a fault can still be proved; fewer than `unbonding_epochs`."""
    jail_epochs: int
    """Least time in jail."""
    epochs_per_year: int
    """Of 365 days, at least 1: what a year's share of the rewards is divided by."""
    voting_epochs: int = 16
    """How long a proposal is voted on; at most `unbonding_epochs`, so that who voted still has stake at the end."""
    min_self_stake_units: int = MIN_SELF_STAKE_UNITS
    min_delegation_units: int = MIN_DELEGATION_UNITS
    max_validators: int = MAX_ACTIVE_VALIDATORS
    downtime_epochs: int = DOWNTIME_EPOCHS
    """Epochs in a row without a block or vote after which a validator is jailed."""

    @property
    def month_epochs(self) -> int:
        """Epochs of a twelfth of a year, at least 1."""
        return max(1, self.epochs_per_year // 12)

    @property
    def day_epochs(self) -> int:
        """Epochs of a day, at least 1."""
        return max(1, self.epochs_per_year // 365)
