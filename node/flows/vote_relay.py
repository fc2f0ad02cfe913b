"""Gossip of finality votes: what comes in, what waits, what our blocks carry, and what proves double voting.

A vote is judged at once, on a reader thread: form, target, source, set, band and signature. One whose target is not
known here waits, bounded, until that block is; nobody is blamed for it. Verified votes go into the pool, from which
templates take them; votes that arrive inside blocks go there too, so that an offence is seen however it comes. The
pool belongs to the event loop. README, Votes.
"""

from collections import OrderedDict
from collections.abc import Callable

import trio

from consensus.events import BlockAdded
from consensus.params import period_at
from consensus.stores import read_votes
from consensus.vote_errors import InvalidVote, VoteNotJudged, VoteTargetUnknown
from consensus.vote_judging import VoteJudge
from consensus.vote_pool import VoteConflict, VotePool
from consensus.votes import MAX_VOTE_BYTES, Vote, decode_vote, encode_vote, vote_id
from ledger.errors import CodecError
from ledger.storage.fail_points import fail_point
from node.chain_context import ChainContext
from node.chain_writer import ChainUpdate, Subscription
from node.env import Workers
from node.flows.wire import votes_topic
from node.logs import Log
from node.metrics import Metrics
from p2p.network import Network, PeerId, Verdict
from p2p.peers import Fault

MAX_WAITING_VOTES = 4_096
"""Votes whose target is not known yet: four periods of 1,000 validators, 1 MiB."""

MAX_WAITING_OF_A_VALIDATOR = 8
"""Of these: its votes and double votes for the periods that count. More only somebody hostile has."""

OFFERED_PERIODS = 2
"""Periods before the present one whose votes a block may carry (consensus.md; reliability.md N12)."""

PUBLISH_TIMEOUT_S = 5.0


class VoteRelay:
    """One per node. `run` is the service."""

    def __init__(
        self,
        chain: ChainContext,
        judge: VoteJudge,
        network: Network,
        workers: Workers,
        *,
        found_conflict: Callable[[VoteConflict], None],
        observed: Callable[[Vote], None],
        report: Callable[[PeerId, Fault], None],
        metrics: Metrics,
        log: Log,
    ) -> None:
        """`found_conflict` is told of two votes that prove an offence; `observed` of each vote that is new here."""
        self._chain = chain
        self._judge = judge
        self._network = network
        self._workers = workers
        self._found_conflict = found_conflict
        self._observed = observed
        self._report = report
        self._metrics = metrics
        self._log = log
        self._topic = votes_topic(chain.params.chain_id)
        self._pool = VotePool()
        self._waiting: OrderedDict[bytes, Vote] = OrderedDict()
        """By vote id: their targets are unknown."""

    @property
    def waiting(self) -> int:
        """Votes that wait for their target."""
        return len(self._waiting)

    async def run(
        self, updates: Subscription, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Subscribe, then follow the chain until cancelled or the writer ends."""
        await self._network.subscribe(self._topic, self.accept, max_bytes=MAX_VOTE_BYTES)
        task_status.started()
        with updates:
            while True:
                try:
                    update = await updates.receive()
                except trio.EndOfChannel:
                    return
                if isinstance(update, ChainUpdate):
                    recent = self._chain.now_slot() - (OFFERED_PERIODS + 1) * self._chain.params.period_slots
                    for event in update.events:
                        # What a node catches up with was judged, and punished, long ago.
                        if isinstance(event, BlockAdded) and event.slot >= recent:
                            self._take_carried(event.block_id)
                await self._judge_waiting()

    async def accept(self, peer: PeerId, raw: bytes) -> Verdict:
        """Judge a gossiped vote. Never raises for what a peer sent."""
        verdict = await self._verdict(peer, raw)
        self._metrics.messages.labels("votes", verdict.value).inc()
        self._metrics.message_bytes.labels("votes").inc(len(raw))
        return verdict

    async def publish(self, vote: Vote) -> None:
        """Gossip a vote of our own."""
        self._take(vote)
        fail_point("vote_publish_before")
        await self._send(vote)
        fail_point("vote_publish_after")

    def offered(self, slot: int) -> tuple[Vote, ...]:
        """What a block of `slot` may carry, by (target period, validator)."""
        period = period_at(self._chain.params, slot)
        return self._pool.votes(max(0, period - OFFERED_PERIODS), period)

    def voters(self, period: int) -> frozenset[int]:
        """Indices of the validators whose votes for a target period are known here."""
        return frozenset(vote.validator for vote in self._pool.votes(period, period))

    # ---- in

    async def _verdict(self, peer: PeerId, raw: bytes) -> Verdict:
        try:
            vote = decode_vote(raw)
        except CodecError as error:
            self._log.warning("peer sent a malformed vote", peer=peer, error=str(error))
            self._report(peer, Fault.MALFORMED)
            return Verdict.REJECT
        if self._is_known(vote):
            return Verdict.IGNORE
        try:
            await self._check(vote)
        except VoteTargetUnknown:
            if await self._workers.run_reader(lambda: self._judge.is_worth_keeping(vote)):
                self._wait(vote)
            return Verdict.IGNORE
        except VoteNotJudged as error:
            self._log.debug("vote dropped", peer=peer, rule=error.code, error=str(error))
            return Verdict.IGNORE
        except InvalidVote as error:
            self._log.warning("peer sent an invalid vote", peer=peer, rule=error.code, error=str(error))
            return Verdict.REJECT
        # Both votes of an offender are forwarded, so that everybody can prove it; a third is not.
        return Verdict.ACCEPT if self._take(vote) else Verdict.IGNORE

    async def _check(self, vote: Vote) -> None:
        now_slot = self._chain.now_slot()
        await self._workers.run_reader(lambda: self._judge.check(vote, now_slot))

    def _is_known(self, vote: Vote) -> bool:
        return self._pool.find(vote.validator, vote.target.period) == vote

    def _take(self, vote: Vote) -> bool:
        """Into the pool; whether others should hear of it."""
        is_new = self._pool.add(vote)
        conflicts = tuple(self._pool.take_conflicts())
        for conflict in conflicts:
            self._found_conflict(conflict)
        if is_new:
            self._observed(vote)
        return is_new or bool(conflicts)

    def _take_carried(self, block_id: bytes) -> None:
        """The votes of a block that is in the DAG are judged already."""
        for vote in read_votes(self._chain.store, block_id) or ():
            if not self._is_known(vote):
                self._take(vote)

    # ---- waiting

    def _wait(self, vote: Vote) -> None:
        key = vote_id(vote)
        if key in self._waiting:
            return
        own = [one for one, other in self._waiting.items() if other.validator == vote.validator]
        for one in own[: max(0, len(own) + 1 - MAX_WAITING_OF_A_VALIDATOR)]:
            del self._waiting[one]
        self._waiting[key] = vote
        while len(self._waiting) > MAX_WAITING_VOTES:
            self._waiting.popitem(last=False)

    async def _judge_waiting(self) -> None:
        """Look again at votes whose target may be known now, and pass on those that are good."""
        if not self._waiting:
            return
        waiting, now_slot = list(self._waiting.items()), self._chain.now_slot()
        # All in one trip to a thread: there may be thousands, and this comes with every block.
        judged = await self._workers.run_reader(
            lambda: [(key, vote, self._outcome(vote, now_slot)) for key, vote in waiting]
        )
        for key, vote, is_good in judged:
            if is_good is None:
                continue
            self._waiting.pop(key, None)
            if is_good and not self._is_known(vote) and self._take(vote):
                await self._send(vote)

    def _outcome(self, vote: Vote, now_slot: int) -> bool | None:
        """Whether a vote is good; None while its target is unknown. In any thread."""
        try:
            self._judge.check(vote, now_slot)
        except VoteTargetUnknown:
            return None
        except (VoteNotJudged, InvalidVote):
            return False
        return True

    async def _send(self, vote: Vote) -> None:
        with trio.move_on_after(PUBLISH_TIMEOUT_S) as patience:
            await self._network.publish(self._topic, encode_vote(vote))
        if patience.cancelled_caught:
            self._log.warning("publishing a vote took too long", validator=vote.validator)
