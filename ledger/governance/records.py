"""What the state holds about proposals and votes, and under which keys. Bytes: README."""

from struct import Struct as ByteLayout
from typing import Annotated, Final

import msgspec

from ledger.encoding import Address20, Codec, Count, Hash32, Record
from ledger.governance.actions import Action
from ledger.governance.classes import CAMPAIGN, POLICY
from ledger.staking.snapshot import ValidatorIndex
from ledger.state import Overlay, StateReader

# bounds ---------------------------------------------------------------------------------------------------------------

MAX_TITLE_CHARACTERS: Final = 120
MAX_OPEN: Final = 64
"""Proposals that are voted on at a time, emergencies aside: what closes in one transition is bounded by it. Of
emergencies there is one at most for each kind that may be paused: whoever fills the places cannot keep the network
from acting, and whoever takes those has asked for what may be needed."""
MAX_OPEN_PER_PROPOSER: Final = 2
MAX_BALLOT_VALIDATORS: Final = 16
"""Validators whose stake one ballot may count."""
MAX_LISTED: Final = 1_024
"""Far above what can wait at a time: what waits was open at one moment not long ago."""

# status of a proposal -------------------------------------------------------------------------------------------------

OPEN: Final = 0
PASSED: Final = 1
"""Waits for its time lock."""
EXECUTED: Final = 2
REJECTED: Final = 3
"""Too few of the votes were yes, or approved by too few bands."""
NO_QUORUM: Final = 4
FAILED: Final = 5
"""It passed, and could not be done when its time came; `reason` says why."""

STATUS_NAMES: Final = ("open", "passed", "executed", "rejected", "no_quorum", "failed")

# choices --------------------------------------------------------------------------------------------------------------

NO: Final = 0
YES: Final = 1
ABSTAIN: Final = 2

CHOICE_NAMES: Final = ("no", "yes", "abstain")

Title = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TITLE_CHARACTERS)]
ClassNumber = Annotated[int, msgspec.Meta(ge=POLICY, le=CAMPAIGN)]
Choice = Annotated[int, msgspec.Meta(ge=NO, le=ABSTAIN)]

# records --------------------------------------------------------------------------------------------------------------


class Proposal(Record, frozen=True):
    """One proposal, from its creation on; never removed."""

    id: Count
    """From 1 on, in order of creation."""
    class_: ClassNumber
    proposer: Address20
    campaign_validator: Count
    """Of a campaign: the validator's index + 1; else 0."""
    title: Title
    text_hash: Hash32
    """Of the text, which lies elsewhere."""
    action: Action
    deposit_units: Count
    """In DEPOSITS while it is open: what was paid, whatever the next one pays."""
    burned_units: Count
    """By a campaign."""
    created_epoch: Count
    closes_epoch: Count
    """The first transition at or after this epoch closes it."""
    total_stake_units: Count
    """Of the snapshot when it was created: what the quorum is a part of."""
    quorum_ppm: Count
    """As it was then."""
    yes_units: Count
    no_units: Count
    abstain_units: Count
    ballots: Count
    bands_approving: Count
    """Of a constitutional proposal whose votes were counted by band."""
    bands_populated: Count
    status: Annotated[int, msgspec.Meta(ge=OPEN, le=FAILED)]
    reason: Annotated[str, msgspec.Meta(max_length=64)]
    """Why it failed or was rejected: a stable symbol."""
    closed_epoch: Count
    """0 while it is open."""
    effect_epoch: Count
    """Once it has passed: the first transition at or after this epoch executes it."""
    executed_epoch: Count
    """When that was tried; 0 before."""

    @property
    def voted_units(self) -> int:
        """What counts for the quorum."""
        return self.yes_units + self.no_units + self.abstain_units

    @property
    def before_epoch(self) -> int:
        """Its snapshot, the epoch before its creation: stake and delegations of votes count when they are older."""
        return max(0, self.created_epoch - 1)


class Due(Record, frozen=True):
    """A proposal in a list, with what the list is asked for."""

    id: Count
    epoch: Count
    """The first transition at or after this epoch takes it."""
    class_: ClassNumber
    proposer: Address20
    campaign_validator: Count


class CountedStake(Record, frozen=True):
    """What a ballot counts of one validator's stake."""

    validator: ValidatorIndex
    units: Count


class VoteRecord(Record, frozen=True):
    """One address's ballot on one proposal, as it was counted."""

    choice: Choice
    cast_by: Address20
    """The address itself or its delegate."""
    epoch: Count
    community_units: Count
    """By its share of a sector's exchange pool."""
    counted: Annotated[tuple[CountedStake, ...], msgspec.Meta(max_length=MAX_BALLOT_VALIDATORS)]

    @property
    def units(self) -> int:
        """Its whole weight."""
        return self.community_units + sum(one.units for one in self.counted)


class VoteDelegation(Record, frozen=True):
    """Who may vote for an address."""

    delegate: Address20
    since_epoch: Count


DueList = Annotated[tuple[Due, ...], msgspec.Meta(max_length=MAX_LISTED)]

PROPOSAL_CODEC: Final = Codec(Proposal, "proposal", 2_048)
DUE_CODEC: Final[Codec[tuple[Due, ...]]] = Codec(DueList, "list of proposals", 64 * 1024)
VOTE_CODEC: Final = Codec(VoteRecord, "vote record", 512)
VOTE_DELEGATION_CODEC: Final = Codec(VoteDelegation, "vote delegation", 64)

# keys -----------------------------------------------------------------------------------------------------------------

NEXT_ID_KEY: Final = b"gn"
OPEN_KEY: Final = b"go"
WAITING_KEY: Final = b"gw"
PROPOSAL_PREFIX: Final = b"gi"
VOTE_PREFIX: Final = b"gv"
DELEGATION_PREFIX: Final = b"gd"
TALLY_PREFIX: Final = b"gt"

_TALLY: Final = ByteLayout(">QQ")


def proposal_key(proposal: int) -> bytes:
    """State key of a proposal."""
    return PROPOSAL_PREFIX + proposal.to_bytes(8, "big")


def vote_key(proposal: int, address: bytes) -> bytes:
    """State key of the ballot of an address (20 bytes)."""
    return VOTE_PREFIX + proposal.to_bytes(8, "big") + address


def delegation_key(address: bytes) -> bytes:
    """State key of whom an address (20 bytes) lets vote for it."""
    return DELEGATION_PREFIX + address


def tally_key(proposal: int, index: int) -> bytes:
    """State key of the votes on a constitutional proposal by the stake of one validator."""
    return TALLY_PREFIX + proposal.to_bytes(8, "big") + index.to_bytes(4, "big")


# reading and writing --------------------------------------------------------------------------------------------------


def take_id(overlay: Overlay) -> int:
    """The next proposal's id."""
    raw = overlay.get(NEXT_ID_KEY)
    number = 1 if raw is None else int.from_bytes(raw, "big")
    overlay.put(NEXT_ID_KEY, (number + 1).to_bytes(8, "big"))
    return number


def read_proposal(reader: StateReader, proposal: int) -> Proposal | None:
    """A proposal, or None. Errors: `CodecError` for a damaged state."""
    if not 0 <= proposal < 2**64:
        return None
    raw = reader.get(proposal_key(proposal))
    return None if raw is None else PROPOSAL_CODEC.decode(raw)


def write_proposal(overlay: Overlay, proposal: Proposal) -> None:
    """Put a proposal."""
    overlay.put(proposal_key(proposal.id), PROPOSAL_CODEC.encode(proposal))


def read_due(reader: StateReader, key: bytes) -> tuple[Due, ...]:
    """The list under OPEN_KEY (voted on) or WAITING_KEY (passed, in their time lock), ascending by id."""
    raw = reader.get(key)
    return () if raw is None else DUE_CODEC.decode(raw)


def write_due(overlay: Overlay, key: bytes, due: tuple[Due, ...]) -> None:
    """Put a list, or remove it when it is empty."""
    if due:
        overlay.put(key, DUE_CODEC.encode(due))
    else:
        overlay.delete(key)


def due_of(proposal: Proposal, epoch: int) -> Due:
    """The proposal's entry in a list, to be taken at `epoch`."""
    return Due(proposal.id, epoch, proposal.class_, proposal.proposer, proposal.campaign_validator)


def read_vote(reader: StateReader, proposal: int, address: bytes) -> VoteRecord | None:
    """The ballot of an address (20 bytes), or None."""
    raw = reader.get(vote_key(proposal, address))
    return None if raw is None else VOTE_CODEC.decode(raw)


def write_vote(overlay: Overlay, proposal: int, address: bytes, vote: VoteRecord) -> None:
    """Put the ballot of an address."""
    overlay.put(vote_key(proposal, address), VOTE_CODEC.encode(vote))


def read_vote_delegation(reader: StateReader, address: bytes) -> VoteDelegation | None:
    """Whom an address (20 bytes) lets vote for it, or None."""
    raw = reader.get(delegation_key(address))
    return None if raw is None else VOTE_DELEGATION_CODEC.decode(raw)


def read_tally(reader: StateReader, proposal: int, index: int) -> tuple[int, int]:
    """(yes, no) units of the stake of one validator, on a constitutional proposal."""
    raw = reader.get(tally_key(proposal, index))
    if raw is None:
        return 0, 0
    yes, no = _TALLY.unpack(raw)
    return yes, no


def write_tally(overlay: Overlay, proposal: int, index: int, yes_units: int, no_units: int) -> None:
    """Put what the stake of one validator says."""
    overlay.put(tally_key(proposal, index), _TALLY.pack(yes_units, no_units))
