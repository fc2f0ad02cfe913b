"""What a hostile key holder does with its votes, and evidence that it makes up."""

from contextlib import closing
from typing import TYPE_CHECKING

from network.fault_schedule import VOTE_ACTS, FaultKind
from network.scenario import EXPIRY_SLOT

from consensus.blocks import HEADER_VERSION, HeaderCore, sign_header
from consensus.evidence import evidence_of_headers
from consensus.stores import chain_index, read_finality, read_ghostdag
from consensus.vote_errors import VoteTargetUnknown
from consensus.vote_judging import VoteJudge
from consensus.vote_pool import offence_of
from consensus.vote_validation import VerifiedVotes
from consensus.votes import Checkpoint, Vote, VoteCore, encode_vote, sign_vote
from consensus.voting import VoteChoice, choose_vote, freeze_bound, vote_slot
from ledger.addresses import address_of
from ledger.keys import KeyPair
from ledger.transactions import SignedTransaction, sign_transaction
from node.flows.wire import votes_topic
from node.services import Services
from wnsp.spectrum import BAND_COUNT

if TYPE_CHECKING:
    from network.byzantine import HostileKeys

ACCUSED = 0
"""Validator that false evidence is about."""


class HostileVotes:
    """The votes of one life of the node."""

    def __init__(self, holder: "HostileKeys", services: Services) -> None:
        self._holder = holder
        self._services = services
        genesis = chain_index(services.store, 0)
        assert genesis is not None
        self._judge = VoteJudge(services.store, services.params, services.schedule, genesis, VerifiedVotes())
        self._told: dict[int, list[Vote]] = {}

    def take_period(self, period: int) -> None:
        """Vote with each key, as the strategy has it."""
        services = self._services
        with closing(services.store.snapshot()) as snapshot:
            choice = choose_vote(snapshot, services.params, period, freeze_bound(snapshot), 0)
        if choice is not None:
            for index in self._holder.keys:
                self._vote(index, period, choice)

    def _vote(self, index: int, period: int, choice: VoteChoice) -> None:
        holder, params = self._holder, self._services.params
        act = holder.strategy(VOTE_ACTS)
        honest = self._ballot(index, choice.source, choice.target)
        if act is FaultKind.SILENT_VOTE:
            holder.note(act)
        elif honest is None:
            return
        elif act is FaultKind.WITHHOLD_VOTE:
            holder.note(act)
            until = vote_slot(params, period) + holder.chance.randint(4, 3 * params.period_slots)
            holder.hold_back(until, lambda: self._tell(honest))
        elif act is FaultKind.DOUBLE_VOTE:
            self._tell(honest)
            other = self._other_target(choice)
            second = None if other is None else self._ballot(index, choice.source, other)
            if second is not None:
                self._offend(index, act, second, period)
        elif act is FaultKind.SURROUND_VOTE:
            oldest = self._older_source(choice)
            around = None if oldest is None else self._ballot(index, oldest, choice.target)
            if around is None:
                self._tell(honest)
            else:
                self._offend(index, act, around, period)
        else:
            self._tell(honest)

    def _offend(self, index: int, act: FaultKind, vote: Vote, period: int) -> None:
        """Tell it; an offence, if something told before contradicts it."""
        if any(offence_of(one, vote) is not None for one in self._told.get(index, ())):
            self._holder.prove(index, act, vote_slot(self._services.params, period))
        else:
            self._holder.note(act)
        self._tell(vote)

    def _ballot(self, index: int, source: Checkpoint, target: Checkpoint) -> Vote | None:
        """A signed vote; None when the validator has none for that target."""
        try:
            band = self._judge.band_of(index, target)
        except VoteTargetUnknown:
            return None
        if band is None:
            return None
        core = VoteCore(index, band, source, target)
        return sign_vote(core, self._holder.keys[index], self._services.params.genesis_hash)

    def _other_target(self, choice: VoteChoice) -> Checkpoint | None:
        """The selected parent of the right one, unless that is at or below the source."""
        data = read_ghostdag(self._services.store, choice.target.block_id)
        if data is None or choice.source.block_id in (choice.target.block_id, data.selected_parent):
            return None
        return Checkpoint(choice.target.period, data.selected_parent)

    def _older_source(self, choice: VoteChoice) -> Checkpoint | None:
        """The oldest checkpoint that the target's chain still knows as justified, below the right source."""
        finality = read_finality(self._services.store, choice.target.block_id)
        chain = () if finality is None else finality.view.justified_chain
        older = [one for one in chain if one.period < choice.source.period]
        return older[0] if older else None

    def _tell(self, vote: Vote) -> None:
        services = self._services
        self._told.setdefault(vote.validator, []).append(vote)
        peers = [info.peer_id for info in services.network.peers()]
        self._holder.tell(peers, votes_topic(services.params.chain_id), encode_vote(vote))


async def false_evidence(services: Services, account: KeyPair, key: KeyPair, slot: int) -> SignedTransaction:
    """A transaction that accuses an honest validator of two blocks; both are signed by `key`, which is not its."""
    kind = services.registry.named("evidence")
    genesis = chain_index(services.store, 0)
    assert kind is not None and genesis is not None

    def core(variant: int) -> HeaderCore:
        return HeaderCore(
            version=HEADER_VERSION,
            parents=(genesis,),
            slot=slot,
            band=slot % BAND_COUNT,
            proposer=ACCUSED,
            blue_score=1,
            blue_work=1,
            state_root=bytes(32),
            receipts_root=bytes(32),
            body_root=bytes([variant]) * 32,
            votes_root=bytes(32),
            reveal=bytes(32),
        )

    one, other = (sign_header(core(variant), key, services.params.genesis_hash) for variant in (1, 2))
    address = address_of(account.public_key)
    state = await services.chain_writer.call(lambda engine: engine.virtual_account(address))
    return sign_transaction(
        account,
        services.rules,
        nonce=state.nonce,
        expiry_slot=EXPIRY_SLOT,
        fee=None,
        kind=kind,
        payload_record=evidence_of_headers(one, other),
    )
