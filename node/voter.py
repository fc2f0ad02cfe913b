"""Our validators' finality votes: freeze, choose, sign, send; once per period and validator.

At the freezing slot of a period the bound of our own best tip is noted; at its voting slot each of our validators
votes for the chain of the period's leader (`consensus.voting`). The signer keeps its record before any signature
leaves; whatever it refuses is a vote missed, never a vote twice.
"""

from contextlib import closing
from dataclasses import dataclass

import trio

from consensus.params import period_at, slot_start_ms
from consensus.vote_errors import InvalidVote, VoteNotJudged, VoteTargetUnknown
from consensus.vote_judging import VoteJudge
from consensus.votes import VoteCore
from consensus.voting import (
    Bound,
    VoteChoice,
    bound_of_past,
    choose_vote,
    freeze_bound,
    freeze_slot,
    vote_slot,
)
from node.chain_context import ChainContext
from node.env import Workers
from node.flows.sync import Synchroniser
from node.flows.vote_relay import VoteRelay
from node.logs import Log
from node.metrics import Metrics
from node.signing.errors import SigningRefused, SurroundRefused
from node.signing.guard import OwnValidators, SigningGuard

SHORTEST_SLEEP_S = 0.001


@dataclass(slots=True)
class _Voter:
    """What one of our keys has done since the start."""

    last_source: int = 0
    last_target: int = 0


class Voter:
    """One per node with keys. `run` is the service."""

    def __init__(
        self,
        chain: ChainContext,
        signing: SigningGuard,
        own: OwnValidators,
        judge: VoteJudge,
        relay: VoteRelay,
        synchroniser: Synchroniser,
        workers: Workers,
        *,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._chain = chain
        self._signing = signing
        self._own = own
        self._judge = judge
        self._relay = relay
        self._synchroniser = synchroniser
        self._workers = workers
        self._metrics = metrics
        self._log = log
        self._voters: dict[bytes, _Voter] = {}
        """By consensus key."""

    async def run(self) -> None:
        """Vote until cancelled."""
        params, period = self._chain.params, self._present_period()
        while True:
            bound: Bound | None = None
            freeze = freeze_slot(params, period)
            if await self._came(freeze, period) and self._chain.now_slot() <= freeze:
                bound = await self._workers.run_reader(lambda: freeze_bound(self._chain.store))
            if not await self._came(vote_slot(params, period), period):
                period = self._present_period()
                self._log.warning("clock stepped back", slot=self._chain.now_slot(), next_vote_period=period)
                continue
            if self._chain.now_slot() < vote_slot(params, period) + params.period_slots:
                if self._synchroniser.may_propose:
                    await self._vote(period, bound)
                else:
                    self._metrics.votes_cast.labels("synchronising").inc()
            # After a jump of the clock the periods in between are gone.
            period = max(period + 1, self._present_period())

    def _present_period(self) -> int:
        return max(1, period_at(self._chain.params, self._chain.now_slot()))

    async def _came(self, slot: int, period: int) -> bool:
        """Wait for the beginning of `slot`, not at all when it has come. False: the clock was set back to before the
        period that precedes `period`, which will not come for long (R16)."""
        params = self._chain.params
        while self._chain.now_slot() < slot:
            if self._present_period() < period - 1:
                return False
            wait_ms = slot_start_ms(params, slot) - self._chain.now_ms()
            await trio.sleep(max(SHORTEST_SLEEP_S, min(wait_ms, params.slot_ms) / 1000))
        return True

    async def _vote(self, period: int, bound: Bound | None) -> None:
        for index, key in self._own.at(period * self._chain.params.period_slots).items():
            await self._vote_as(index, key, period, bound)

    async def _vote_as(self, index: int, key: bytes, period: int, bound: Bound | None) -> None:
        voter = self._voters.setdefault(key, _Voter())
        if period <= voter.last_target:
            return
        choice = await self._workers.run_reader(lambda: self._choose(period, bound, voter.last_source))
        if choice is None:
            self._metrics.votes_cast.labels("no_source").inc()
            self._log.warning(
                "no vote without going back behind our last source", period=period, validator=index
            )
            return
        try:
            band = await self._workers.run_reader(lambda: self._judge.band_of(index, choice.target))
        except VoteTargetUnknown as error:
            # A leader's chain whose set was never executed here: nobody who judges by it can count us yet.
            self._metrics.votes_cast.labels("no_source").inc()
            self._log.warning("vote could not be cast", period=period, validator=index, error=str(error))
            return
        if band is None:
            return  # its stake counts in our chain's set, not in the one that this target is judged by
        core = VoteCore(index, band, choice.source, choice.target)
        try:
            vote = await self._signing.sign_vote(key, core)
        except SigningRefused as error:
            if isinstance(error, SurroundRefused):
                # Known only to the record until now: the next choice goes by it.
                voter.last_source = max(voter.last_source, error.last)
            self._metrics.votes_cast.labels("refused").inc()
            self._log.warning("vote was not signed", period=period, validator=index, error=str(error))
            return
        voter.last_source, voter.last_target = choice.source.period, period
        try:
            await self._workers.run_reader(lambda: self._judge.check(vote, self._chain.now_slot()))
        except (InvalidVote, VoteNotJudged) as error:
            # A remote signer that signs with another key, or one so slow that nobody counts the vote any more.
            self._metrics.votes_cast.labels("refused").inc()
            self._log.error("own vote is not valid", period=period, validator=index, error=str(error))
            return
        self._metrics.votes_cast.labels("cast").inc()
        self._log.debug(
            "vote cast",
            period=period,
            validator=index,
            target=choice.target.block_id,
            source=choice.source.period,
            leader=choice.leader,
        )
        await self._relay.publish(vote)

    def _choose(self, period: int, bound: Bound | None, last_source: int) -> VoteChoice | None:
        params = self._chain.params
        with closing(self._chain.store.snapshot()) as snapshot:
            if bound is None:
                bound = bound_of_past(snapshot, params, period)
            return choose_vote(snapshot, params, period, bound, last_source)
