"""The classes of proposals: what share of the votes each needs, how long it is voted on, how long it waits then."""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ledger.staking_rules import StakingRules

POLICY: Final = 1
BUDGET: Final = 2
PARAMETER: Final = 3
EMERGENCY: Final = 4
CONSTITUTIONAL: Final = 5
CAMPAIGN: Final = 6

SHORTENING: Final = 14
"""An emergency is voted on for a fourteenth of the time: a day on main."""
WAITING: Final = 7
"""What changes the rules waits for a seventh of the voting time: two days on main."""


@dataclass(frozen=True, slots=True)
class ProposalClass:
    """One class."""

    number: int
    name: str
    threshold_ppm: int
    """Least share of yes among yes and no, by weight. Source: ledger.md, Governance."""


CLASSES: Final = MappingProxyType(
    {
        one.number: one
        for one in (
            ProposalClass(POLICY, "policy", 510_000),
            ProposalClass(BUDGET, "budget", 600_000),
            ProposalClass(PARAMETER, "parameter", 670_000),
            ProposalClass(EMERGENCY, "emergency", 670_000),
            ProposalClass(CONSTITUTIONAL, "constitutional", 800_000),
            ProposalClass(CAMPAIGN, "campaign", 600_000),
        )
    }
)
"""By number, ascending."""

CLASS_NAMES: Final = MappingProxyType({number: one.name for number, one in CLASSES.items()})


def voting_epochs(class_: int, rules: StakingRules) -> int:
    """Epochs from a proposal's creation to its close."""
    if class_ == EMERGENCY:
        return max(1, rules.voting_epochs // SHORTENING)
    return rules.voting_epochs


def time_lock_epochs(class_: int, rules: StakingRules) -> int:
    """Epochs between the close of a proposal that passed and its effect; 0: at once."""
    if class_ in (PARAMETER, CONSTITUTIONAL):
        return max(1, rules.voting_epochs // WAITING)
    return 1 if class_ in (POLICY, BUDGET) else 0
