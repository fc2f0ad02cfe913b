"""governance_*: proposals, parameters, and what an address may say."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from ledger.accounts import SECTORS
from ledger.errors import UnknownKind
from ledger.exchange.community import community_weight
from ledger.governance.actions import (
    Action,
    KindPause,
    ParameterChange,
    Payment,
    RegistrarAdd,
    RegistrarRemove,
    SectorToken,
    sector_of,
    source_name,
)
from ledger.governance.deposits import next_deposit_units
from ledger.governance.queries import (
    VoterView,
    newest_proposals,
    open_proposals,
    parameters,
    proposal_view,
    read_proposal,
    read_vote,
    vote_delegations,
    voter,
    votes,
    waiting_proposals,
)
from ledger.governance.records import (
    DELEGATION_PREFIX,
    MAX_BALLOT_VALIDATORS,
    VOTE_PREFIX,
    Proposal,
    VoteRecord,
)
from ledger.governed.parameters import PARAMETER_NUMBERED, Parameter, read_parameter
from ledger.staking.queries import delegations, validators
from ledger.state import StateListing
from node.rpc.economy_schema import GetParameters, GetProposal, GetVoter, ListProposals
from node.rpc.groups import Method, MethodGroup, SinkState
from node.rpc.paging import Page, listed_after, page
from node.rpc.protocol import NOT_FOUND, RpcError

CHOICE_NAMES = ("no", "yes", "abstain")

SEARCHED_DELEGATIONS = 10_000
"""Delegations of votes that one call looks through; the answer says where to go on."""
SEARCHED_STAKES = 1_024
"""Validators in which one call looks for an address's stake."""


@dataclass(frozen=True, slots=True)
class VoterAnswer:
    """All that `governance_getVoter` shows, of one instant."""

    epoch: int
    created_epoch: int
    view: VoterView
    community_units: int
    delegators: list[tuple[bytes, int]]
    next_after: bytes | None
    ballot: VoteRecord | None


class GovernanceMethods(MethodGroup):
    """What validators and delegators decide."""

    def methods(self) -> tuple[Method, ...]:
        """See `MethodGroup`."""
        return (
            Method("governance_list", ListProposals, self._list),
            Method("governance_get", GetProposal, self._get),
            Method("governance_getParameters", GetParameters, self._get_parameters),
            Method("governance_getVoter", GetVoter, self._get_voter),
        )

    # proposals --------------------------------------------------------------------------------------------------------

    async def _list(self, params: ListProposals) -> object:
        below = None if params.after is None else int(params.after)

        def job(sink: SinkState) -> tuple[Page[Proposal], int]:
            deposit = next_deposit_units(sink.state)
            if not params.open:
                return page(newest_proposals(sink.state, below), params.limit), deposit
            listed = (*waiting_proposals(sink.state), *open_proposals(sink.state))
            newest = sorted(listed, key=lambda one: one.id, reverse=True)
            older = (one for one in newest if below is None or one.id < below)
            return page(older, params.limit), deposit

        found, deposit = await self.read_state(job)
        return {
            "next_deposit": str(deposit),
            "proposals": [self._proposal_json(one) for one in found.items],
            "next_after": None if found.last is None else str(found.last.id),
        }

    async def _get(self, params: GetProposal) -> object:
        number, after = int(params.id), None
        if params.after is not None:
            address = self.decode_address(params.after)
            after = VOTE_PREFIX + number.to_bytes(8, "big") + address

        def job(sink: SinkState) -> tuple[Proposal | None, Page[tuple[bytes, VoteRecord]]]:
            known = read_proposal(sink.state, number)
            if known is None or not params.limit:
                return known, Page([], more=False)
            return known, page(votes(listed_after(sink.state, after), number), params.limit)

        known, ballots = await self.read_state(job)
        if known is None:
            raise _no_proposal(number)
        return {
            **self._proposal_json(known),
            "votes": [self._vote_json(address, vote) for address, vote in ballots.items],
            "next_after": None if ballots.last is None else self.encode_address(ballots.last[0]),
        }

    def _proposal_json(self, proposal: Proposal) -> dict[str, object]:
        view = proposal_view(proposal)
        return {
            "id": str(proposal.id),
            "class": view.class_name,
            "status": view.status,
            "reason": proposal.reason,
            "title": proposal.title,
            "text_hash": proposal.text_hash.hex(),
            "action": self._action_json(proposal.action),
            "proposer": self.encode_address(proposal.proposer),
            "campaign_validator": proposal.campaign_validator - 1 if proposal.campaign_validator else None,
            "deposit": str(proposal.deposit_units),
            "burned": str(proposal.burned_units),
            "created_epoch": str(proposal.created_epoch),
            "before_epoch": str(proposal.before_epoch),
            "closes_epoch": str(proposal.closes_epoch),
            "closed_epoch": _epoch_text(proposal.closed_epoch),
            "effect_epoch": _epoch_text(proposal.effect_epoch),
            "executed_epoch": _epoch_text(proposal.executed_epoch),
            "yes": str(proposal.yes_units),
            "no": str(proposal.no_units),
            "abstain": str(proposal.abstain_units),
            "ballots": str(proposal.ballots),
            "total_stake": str(proposal.total_stake_units),
            "approval_ppm": view.approval_ppm,
            "threshold_ppm": view.threshold_ppm,
            "threshold_reached": view.threshold_reached,
            "turnout_ppm": view.turnout_ppm,
            "quorum_ppm": proposal.quorum_ppm,
            "quorum_reached": view.quorum_reached,
            "bands_approving": proposal.bands_approving,
            "bands_populated": proposal.bands_populated,
        }

    def _vote_json(self, address: bytes, vote: VoteRecord) -> dict[str, object]:
        return {
            "address": self.encode_address(address),
            "choice": CHOICE_NAMES[vote.choice],
            "cast_by": self.encode_address(vote.cast_by),
            "epoch": str(vote.epoch),
            "weight": str(vote.units),
            "community": str(vote.community_units),
            "stakes": [{"validator": one.validator, "units": str(one.units)} for one in vote.counted],
        }

    def _action_json(self, action: Action) -> dict[str, object]:
        match action:
            case RegistrarAdd(address=address):
                return {"type": "registrar_add", "address": self.encode_address(address)}
            case RegistrarRemove(address=address):
                return {"type": "registrar_remove", "address": self.encode_address(address)}
            case SectorToken(sector=sector, token=token):
                return {"type": "sector_token", "sector": SECTORS[sector], "token": token.hex()}
            case Payment(source=source, recipient=recipient, units=units):
                return {
                    "type": "payment",
                    "source": source_name(source),
                    "recipient": self.encode_address(recipient),
                    "units": str(units),
                }
            case ParameterChange(number=number, subject=subject, value=value):
                known = PARAMETER_NUMBERED.get(number)
                return {
                    "type": "parameter",
                    "number": number,
                    "parameter": None if known is None else known.name,
                    "subject": self.encode_address(subject) if subject else None,
                    "value": str(value),
                }
            case KindPause(kind=kind):
                return {"type": "kind_pause", "number": kind, "kind": self._kind_name(kind)}
        return {"type": "text"}

    def _kind_name(self, number: int) -> str | None:
        try:
            return self.services.registry.kind(number).name
        except UnknownKind:
            return None

    # parameters -------------------------------------------------------------------------------------------------------

    async def _get_parameters(self, params: GetParameters) -> object:
        subject = None if params.subject is None else self.decode_address(params.subject)

        def job(sink: SinkState) -> tuple[list[tuple[Parameter, bytes, int]], int, int]:
            return _parameters(sink.state, subject), sink.epoch, next_deposit_units(sink.state)

        found, epoch, deposit = await self.read_state(job)
        return {
            "epoch": str(epoch),
            "next_deposit": str(deposit),
            "parameters": [
                {
                    "number": parameter.number,
                    "name": parameter.name,
                    "value": str(value),
                    "default": str(parameter.default),
                    "least": str(parameter.least),
                    "greatest": str(parameter.greatest),
                    "unit": parameter.unit,
                    "meaning": parameter.meaning,
                    "class": "constitutional" if parameter.constitutional else "parameter",
                    "per_subject": parameter.per_subject,
                    "subject": self.encode_address(about) if about else None,
                }
                for parameter, about, value in found
            ],
        }

    # voters -----------------------------------------------------------------------------------------------------------

    async def _get_voter(self, params: GetVoter) -> object:
        address = self.decode_address(params.address)
        proposal = None if params.proposal is None else int(params.proposal)
        after = None
        if params.after is not None:
            after = DELEGATION_PREFIX + self.decode_address(params.after)

        def job(sink: SinkState) -> VoterAnswer | None:
            return _voter(sink, address, proposal, params.validators, after)

        answer = await self.read_state(job)
        if answer is None:
            raise _no_proposal(params.proposal)
        view = answer.view
        before_epoch = max(0, answer.created_epoch - 1)
        return {
            "address": params.address.lower(),
            "epoch": str(answer.epoch),
            "proposal": None if proposal is None else str(proposal),
            "before_epoch": str(before_epoch),
            "weights": [{"validator": index, "units": str(units)} for index, units in view.weights],
            "weight": str(sum(units for _, units in view.weights) + answer.community_units),
            "community": str(answer.community_units),
            "max_ballot_validators": MAX_BALLOT_VALIDATORS,
            "locked_until_epoch": _epoch_text(view.locked_until_epoch),
            "locked": answer.epoch < view.locked_until_epoch,
            "delegate": self.encode_address(view.delegate) if view.delegate else None,
            "delegate_since_epoch": str(view.delegate_since_epoch) if view.delegate else None,
            "delegators": [
                {
                    "address": self.encode_address(one),
                    "since_epoch": str(since_epoch),
                    "counts": since_epoch < before_epoch,
                }
                for one, since_epoch in answer.delegators
            ],
            "next_after": None if answer.next_after is None else self.encode_address(answer.next_after),
            "vote": None if answer.ballot is None else self._vote_json(address, answer.ballot),
        }


def _voter(
    sink: SinkState,
    address: bytes,
    proposal: int | None,
    named: Sequence[int] | None,
    after: bytes | None,
) -> VoterAnswer | None:
    """None when there is no such proposal."""
    state = sink.state
    created_epoch, community, ballot = sink.epoch, 0, None
    if proposal is not None:
        known = read_proposal(state, proposal)
        if known is None:
            return None
        created_epoch, ballot = known.created_epoch, read_vote(state, proposal, address)
        sector = sector_of(known.action)
        if sector is not None:
            community = community_weight(state, sector, address, known.before_epoch, known.total_stake_units)
    indices = sorted(named) if named is not None else _stakes_of(state, address, sink.epoch)
    searched = page(vote_delegations(listed_after(state, after)), SEARCHED_DELEGATIONS)
    return VoterAnswer(
        sink.epoch,
        created_epoch,
        voter(state, address, indices, created_epoch),
        community,
        [(one, handed.since_epoch) for one, handed in searched.items if handed.delegate == address],
        None if searched.last is None else searched.last[0],
        ballot,
    )


def _stakes_of(state: StateListing, address: bytes, epoch: int) -> list[int]:
    """Validators in which `address` has stake, its own among them; ascending."""
    delegated = islice(delegations(state, address, 0), SEARCHED_STAKES)
    own = (
        view.record.index for view in validators(state, epoch) if view.record.withdrawal_address == address
    )
    return sorted({part.validator for part in delegated} | set(own))


def _parameters(state: StateListing, subject: bytes | None) -> list[tuple[Parameter, bytes, int]]:
    """Every parameter once; one that has subjects for `subject`, or without one with its default."""
    found: dict[int, tuple[Parameter, bytes, int]] = {
        view.parameter.number: (view.parameter, b"", view.value)
        for view in parameters(state)
        if not view.parameter.per_subject
    }
    for parameter in PARAMETER_NUMBERED.values():
        if parameter.per_subject:
            value = parameter.default if subject is None else read_parameter(state, parameter, subject)
            found[parameter.number] = (parameter, subject or b"", value)
    return [found[number] for number in sorted(found)]


def _epoch_text(epoch: int) -> str | None:
    """None for 0, which stands for never."""
    return str(epoch) if epoch else None


def _no_proposal(number: int | str | None) -> RpcError:
    return RpcError(
        NOT_FOUND,
        f"there is no proposal {number}",
        code="ProposalNotFound",
        hint="governance_list shows all of them",
    )
