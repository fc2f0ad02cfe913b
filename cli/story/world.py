"""What the book holds: every account of the story, and every figure that a rule of the economy reads."""

from dataclasses import dataclass, field
from fractions import Fraction

from cli.story.formulas import CATEGORIES, SECTORS

FEES, BONDED, DEPOSITS = "FEES", "BONDED", "DEPOSITS"
TREASURY, VALIDATOR_POOL, ECOSYSTEM_FUND = "TREASURY", "VALIDATOR_POOL", "ECOSYSTEM_FUND"
RESERVE, F_FLOOR = "TRANSITION_RESERVE", "F_FLOOR"
SECTOR_ACCOUNTS = tuple(f"SECTOR_{sector}" for sector in SECTORS)
RESERVES = frozenset((TREASURY, VALIDATOR_POOL, ECOSYSTEM_FUND, RESERVE, F_FLOOR, FEES, *SECTOR_ACCOUNTS))
"""What crosses their border is issued or burned."""
SYSTEM = (*sorted(RESERVES), BONDED, DEPOSITS)
POOL = "the pool"


class BookError(Exception):
    """The book cannot follow: something was asked of it that the rules forbid."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One side of one movement."""

    epoch: int
    cause: str
    account: str
    asset: str
    units: int
    """Negative where it leaves."""


@dataclass(frozen=True, slots=True)
class Calendar:
    """What epochs mean on the chain, from its slot length (consensus/README.md, Presets)."""

    epoch_slots: int
    year_epochs: int
    voting_epochs: int

    @property
    def month_epochs(self) -> int:
        """Of a twelfth of a year."""
        return max(1, self.year_epochs // 12)

    @property
    def day_epochs(self) -> int:
        """Of a day."""
        return max(1, self.year_epochs // 365)


@dataclass(slots=True)
class FloorBook:
    """The floor as a whole."""

    epoch: int = 0
    population: int = 0
    owed: int = 0
    held_back: int = 0
    income: int = 0
    paid: int = 0


@dataclass(slots=True)
class CitizenBook:
    """One citizen's allowances."""

    left: list[int] = field(default_factory=lambda: [0] * len(CATEGORIES))
    claimed: int = 0
    spent: int = 0


@dataclass(slots=True)
class PoolBook:
    """The story's pool; its reserves are balances."""

    fee_bp: int
    shares: int
    positions: dict[str, int]


@dataclass(slots=True)
class ProposalBook:
    """One proposal of the story."""

    number: int
    proposer: str
    threshold_ppm: int
    lock_epochs: int
    closes: int
    quorum_units: Fraction
    deposit: int
    parameter: str = ""
    value: int = 0
    yes: int = 0
    voted: int = 0
    effect: int = 0
    status: str = "open"


@dataclass(slots=True)
class FeedBook:
    """One feed."""

    value: int
    epoch: int
    fresh_through: int


@dataclass(slots=True)
class PolicyBook:
    """What the Nexus equation remembers and decided last."""

    error: Fraction | None = None
    integral: Fraction = Fraction(0)
    output: Fraction = Fraction(1)
    rise_ppm: int = 0


@dataclass(slots=True)
class World:
    """All of it. `balances` are units of NXT, `tokens` units of the story's token."""

    calendar: Calendar
    epoch: int
    balances: dict[str, int]
    parameters: dict[str, int]
    stakes: dict[int, int]
    """Effective stake by validator, which weighs its reports."""
    own_stakes: dict[int, int]
    """Own stake by validator, which weighs its votes."""
    total_stake: int
    circulating_at_genesis: int
    issued: int
    burned: int
    floor: FloorBook
    feeds: dict[int, FeedBook]
    policy: PolicyBook
    epoch_fees: int = 0
    epoch_messages: int = 0
    epoch_transactions: int = 0
    delegated: dict[tuple[str, int], int] = field(default_factory=dict)
    tokens: dict[str, int] = field(default_factory=dict)
    supply: int = 0
    pool: PoolBook | None = None
    citizens: dict[str, CitizenBook] = field(default_factory=dict)
    reports: dict[int, dict[int, int]] = field(default_factory=dict)
    proposals: dict[int, ProposalBook] = field(default_factory=dict)
    stability_ppm: int = 1_000_000
    """Of the floor, as of the last transition."""
    drained: int = 0
    rewards: int = 0
    flows: list[Flow] = field(default_factory=list)

    @property
    def circulating(self) -> int:
        """Units outside of the reserves, by the flows alone."""
        return self.circulating_at_genesis + self.issued - self.burned

    def pay(self, cause: str, source: str, target: str, units: int) -> None:
        """Move NXT, note both sides, and count what crosses the border of the reserves. Errors: `BookError`."""
        if not units:
            return
        if self.balances[source] < units:
            raise BookError(f"{cause}: {source} has {self.balances[source]} units, {units} needed")
        self.balances[source] -= units
        self.balances[target] += units
        if source in RESERVES and target not in RESERVES:
            self.issued += units
        elif target in RESERVES and source not in RESERVES:
            self.burned += units
        self.flows.append(Flow(self.epoch, cause, source, "NXT", -units))
        self.flows.append(Flow(self.epoch, cause, target, "NXT", units))

    def give_tokens(self, cause: str, source: str, target: str, units: int) -> None:
        """Move units of the token; an empty name creates or destroys them. Errors: `BookError`."""
        for name, change in ((source, -units), (target, units)):
            if name and units:
                left = self.tokens.get(name, 0) + change
                if left < 0:
                    raise BookError(f"{cause}: {name} lacks {-left} units of the token")
                self.tokens[name] = left
                self.flows.append(Flow(self.epoch, cause, name, "token", change))
