"""The kinds `proposal_create` and `campaign_create`: what is put to the vote, and what that costs."""

from collections.abc import Sequence
from typing import Annotated, Final

import msgspec

from ledger.accounts import DEPOSITS_ADDRESS, TRANSITION_RESERVE_ADDRESS
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.encoding import Codec, Count, Hash32, Record
from ledger.errors import PayloadInvalid
from ledger.governance.actions import Action, KindPause, TextOnly, check_action
from ledger.governance.classes import CAMPAIGN, EMERGENCY, voting_epochs
from ledger.governance.deposits import deposit_units, places_taken
from ledger.governance.effects import require_sensible
from ledger.governance.records import (
    MAX_OPEN,
    MAX_OPEN_PER_PROPOSER,
    OPEN,
    OPEN_KEY,
    Due,
    Proposal,
    Title,
    due_of,
    read_due,
    read_proposal,
    take_id,
    write_due,
    write_proposal,
)
from ledger.governed.parameters import (
    CAMPAIGN_BURN_UNITS,
    PROPOSAL_DEPOSIT_UNITS,
    QUORUM_PPM,
    read_parameter,
)
from ledger.issuance import burn_units
from ledger.registry import Kind, Rejected
from ledger.rules import BlockContext, ChainRules
from ledger.staking.records import ACTIVE, STATUS_NAMES, read_epoch
from ledger.staking.snapshot import ValidatorIndex
from ledger.staking.validator_lookup import known_validator, require_operator
from ledger.state import Overlay
from ledger.tokens.names import require_visible
from ledger.transactions import SignedTransaction
from ledger.transfer import move_units

TOO_MANY_OPEN = "TooManyOpenProposals"
TOO_MANY_OF_PROPOSER = "TooManyOfProposer"
PAUSE_PROPOSED = "PauseProposed"
DEPOSIT_ABOVE_LIMIT = "DepositAboveLimit"
CAMPAIGN_OPEN = "CampaignOpen"
VALIDATOR_INACTIVE = "ValidatorInactive"
BURN_TOO_SMALL = "BurnTooSmall"


class ProposalCreate(Record, frozen=True):
    """Payload of kind 50."""

    class_: Annotated[int, msgspec.Meta(ge=0, le=255)]
    title: Title
    text_hash: Hash32
    """Of the text that is to be decided on; where it lies is for people to agree on."""
    action: Action
    max_deposit_units: Count
    """The greatest deposit that the sender agrees to: how many proposals are open when this one comes, nobody knows."""


class CampaignCreate(Record, frozen=True):
    """Payload of kind 51: a validator promotes an innovation, and pays for being heard."""

    validator: ValidatorIndex
    title: Title
    text_hash: Hash32
    burn_units: Count
    """At least the parameter `campaign_burn`."""


def check_title(kind: str, title: str) -> None:
    """Not blank, and all of it can be seen as it stands. Errors: `PayloadInvalid`."""
    if not title.strip(" "):
        raise PayloadInvalid(kind, "title is blank")
    require_visible(kind, "title", title)


def check_proposal_create(payload: ProposalCreate, _: ChainRules) -> None:
    """What no state can make valid. Errors: `PayloadInvalid`, `RecipientRefused`."""
    check_title("proposal_create", payload.title)
    check_action(payload.class_, payload.action)


def apply_proposal_create(
    overlay: Overlay, transaction: SignedTransaction, payload: ProposalCreate, context: BlockContext
) -> tuple[int, ...]:
    """Put a proposal to the vote; its deposit moves into DEPOSITS. Gives its id and the deposit.

    Errors: `Rejected` TooManyOpenProposals, TooManyOfProposer, PauseProposed, DepositAboveLimit, InsufficientBalance,
    and what the action itself cannot be done for: AlreadyRegistrar, NotRegistrar, RegistrarsFull, UnknownToken,
    PaymentTooGreat.
    """
    sender = transaction.sender
    listed = _require_place(overlay, sender, payload.class_)
    if isinstance(payload.action, KindPause):
        _require_first_pause(overlay, listed, payload.action)
    require_sensible(overlay, payload.action)
    places = places_taken(listed)
    deposit = deposit_units(read_parameter(overlay, PROPOSAL_DEPOSIT_UNITS), places, payload.class_)
    if deposit > payload.max_deposit_units:
        raise Rejected(
            DEPOSIT_ABOVE_LIMIT,
            f"the deposit is {deposit} units while {places} places are taken, at most {payload.max_deposit_units} were "
            "agreed to; raise the limit, or wait until proposals close",
        )
    move_units(overlay, sender, DEPOSITS_ADDRESS, deposit)
    number = _open(
        overlay,
        listed,
        _new(overlay, context, payload.class_, sender, payload.title, payload.text_hash, payload.action),
        deposit_units=deposit,
    )
    return number, deposit


def check_campaign_create(payload: CampaignCreate, _: ChainRules) -> None:
    """What no state can make valid. Errors: `PayloadInvalid`."""
    check_title("campaign_create", payload.title)
    least = CAMPAIGN_BURN_UNITS.least
    if not least <= payload.burn_units <= MAX_SUPPLY_UNITS:
        raise PayloadInvalid(
            "campaign_create", f"burns {payload.burn_units} units, expected {least} to {MAX_SUPPLY_UNITS}"
        )


def apply_campaign_create(
    overlay: Overlay, transaction: SignedTransaction, payload: CampaignCreate, context: BlockContext
) -> tuple[int, ...]:
    """Put a campaign to the vote and burn for it at once, into TRANSITION_RESERVE. Gives its id.

    The validator's record says whether it takes part: the snapshot of a large set costs a hundred times as much to read
    as this transaction pays for.
    Errors: `Rejected` UnknownValidator, NotValidatorsKey, ValidatorInactive, BurnTooSmall, CampaignOpen,
    TooManyOpenProposals, TooManyOfProposer, InsufficientBalance.
    """
    sender, index = transaction.sender, payload.validator
    record = known_validator(overlay, index)
    require_operator(record, sender)
    if record.status != ACTIVE or not record.stake_units:
        raise Rejected(
            VALIDATOR_INACTIVE,
            f"validator {index} is {STATUS_NAMES[record.status]} with {record.stake_units} units of stake; "
            "active validators with stake campaign",
        )
    least = read_parameter(overlay, CAMPAIGN_BURN_UNITS)
    if payload.burn_units < least:
        raise Rejected(BURN_TOO_SMALL, f"burns {payload.burn_units} units, at least {least}")
    listed = _require_place(overlay, sender, CAMPAIGN)
    if any(one.campaign_validator == index + 1 for one in listed):
        raise Rejected(CAMPAIGN_OPEN, f"validator {index} has a campaign open; one at a time")
    burn_units(overlay, sender, TRANSITION_RESERVE_ADDRESS, payload.burn_units)
    number = _open(
        overlay,
        listed,
        _new(overlay, context, CAMPAIGN, sender, payload.title, payload.text_hash, TextOnly()),
        campaign_validator=index + 1,
        burned_units=payload.burn_units,
    )
    return (number,)


def _require_place(overlay: Overlay, proposer: bytes, class_: int) -> tuple[Due, ...]:
    """The open proposals, when there is room for one more. Errors: `Rejected` TooManyOpenProposals,
    TooManyOfProposer."""
    listed = read_due(overlay, OPEN_KEY)
    places = places_taken(listed)
    if places >= MAX_OPEN and class_ != EMERGENCY:
        raise Rejected(TOO_MANY_OPEN, f"{places} proposals are open, at most {MAX_OPEN} beside emergencies")
    own = sum(one.proposer == proposer for one in listed)
    if own >= MAX_OPEN_PER_PROPOSER:
        raise Rejected(TOO_MANY_OF_PROPOSER, f"{own} proposals of the sender are open; wait for their close")
    return listed


def _require_first_pause(overlay: Overlay, listed: Sequence[Due], action: KindPause) -> None:
    """Nobody asks for the same pause already. Errors: `Rejected` PauseProposed."""
    for one in listed:
        other = read_proposal(overlay, one.id) if one.class_ == EMERGENCY else None
        if other is not None and other.action == action:
            raise Rejected(
                PAUSE_PROPOSED, f"proposal {one.id} asks for a pause of kind {action.kind}; vote on that"
            )


def _new(
    overlay: Overlay,
    context: BlockContext,
    class_: int,
    proposer: bytes,
    title: str,
    text_hash: bytes,
    action: Action,
) -> Proposal:
    return Proposal(
        id=take_id(overlay),
        class_=class_,
        proposer=proposer,
        campaign_validator=0,
        title=title,
        text_hash=text_hash,
        action=action,
        deposit_units=0,
        burned_units=0,
        created_epoch=context.epoch,
        closes_epoch=context.epoch + voting_epochs(class_, context.staking),
        total_stake_units=read_epoch(overlay)[1],
        quorum_ppm=read_parameter(overlay, QUORUM_PPM),
        yes_units=0,
        no_units=0,
        abstain_units=0,
        ballots=0,
        bands_approving=0,
        bands_populated=0,
        status=OPEN,
        reason="",
        closed_epoch=0,
        effect_epoch=0,
        executed_epoch=0,
    )


def _open(overlay: Overlay, listed: tuple[Due, ...], proposal: Proposal, **paid: int) -> int:
    proposal = msgspec.structs.replace(proposal, **paid)
    write_proposal(overlay, proposal)
    write_due(overlay, OPEN_KEY, (*listed, due_of(proposal, proposal.closes_epoch)))
    return proposal.id


def _least_deposit(_: ProposalCreate) -> int:
    """The deposit itself follows a parameter and the places that are taken; it is never less."""
    return PROPOSAL_DEPOSIT_UNITS.least


def _burn(payload: CampaignCreate) -> int:
    return payload.burn_units


def _four_records(_: ProposalCreate) -> int:
    """Proposal, next id, list, DEPOSITS."""
    return 4


def _five_records(_: CampaignCreate) -> int:
    """Proposal, next id, list, TRANSITION_RESERVE, flows."""
    return 5


PROPOSAL_CREATE: Final = Kind(
    number=50,
    name="proposal_create",
    payload_codec=Codec(ProposalCreate, "proposal_create payload", 1_024),
    check_payload=check_proposal_create,
    apply=apply_proposal_create,
    spends=_least_deposit,
    touches=_four_records,
    result_names=("proposal", "deposit_units"),
    may_pause=False,
)
CAMPAIGN_CREATE: Final = Kind(
    number=51,
    name="campaign_create",
    payload_codec=Codec(CampaignCreate, "campaign_create payload", 1_024),
    check_payload=check_campaign_create,
    apply=apply_campaign_create,
    spends=_burn,
    touches=_five_records,
    result_names=("proposal",),
    may_pause=False,
)
