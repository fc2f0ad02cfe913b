"""Figures of the economy as gauges: read anew in every epoch, and every few seconds while the chain moves.

Only records of bounded number and size are read here. Tokens, pools and what they hold are counted by the audit.
"""

import math
from contextlib import closing

import trio

from consensus.params import epoch_at
from consensus.stores import Head
from ledger.accounts import ADDRESS_OF_SYSTEM_ACCOUNT, decode_account
from ledger.economy.floor.queries import floor_view
from ledger.economy.message_burn import read_region_ledger
from ledger.economy.monetary_policy import read_policy
from ledger.economy.regions import REGIONS
from ledger.governance.records import OPEN_KEY, read_due
from ledger.issuance import ONE, read_flows, read_price_rise_ppm
from ledger.oracle.feeds import FEEDS
from ledger.oracle.records import read_feed
from ledger.state import StateReader, account_key
from ledger.storage.state_store import LedgerStore
from node.chain_context import ChainContext
from node.chain_writer import Subscription
from node.env import Workers
from node.metrics import EconomyMetrics

EVERY_S = 5.0
"""Within an epoch: what transactions change shows after so long at most, while blocks come."""

PPM = 1_000_000


class EconomyMeter:
    """Follows the chain's updates."""

    def __init__(self, chain: ChainContext, workers: Workers, metrics: EconomyMetrics) -> None:
        self._chain = chain
        self._workers = workers
        self._metrics = metrics

    async def run(self, updates: Subscription) -> None:
        """Follow `updates` until the writer ends. Errors: the store's, and `CodecError` for a damaged state."""
        with updates:
            shown = await self._show(updates.head)
            due_s = trio.current_time() + EVERY_S
            while True:
                try:
                    head = (await updates.receive()).head
                except trio.EndOfChannel:
                    return
                if self._epoch(head) != shown or trio.current_time() >= due_s:
                    shown = await self._show(head)
                    due_s = trio.current_time() + EVERY_S

    def _epoch(self, head: Head) -> int:
        return epoch_at(self._chain.params, head.slot)

    async def _show(self, head: Head) -> int:
        """Set the gauges; the head's epoch."""
        epoch = self._epoch(head)

        def job() -> None:
            with closing(self._chain.store.snapshot()) as snapshot:
                self._set(LedgerStore(snapshot), epoch)

        await self._workers.run_reader(job)
        return epoch

    def _set(self, state: StateReader, epoch: int) -> None:
        metrics = self._metrics
        for name, address in ADDRESS_OF_SYSTEM_ACCOUNT.items():
            raw = state.get(account_key(address))
            metrics.system_account.labels(name).set(0 if raw is None else decode_account(raw).balance)
        flows = read_flows(state)
        metrics.circulating.set(flows.circulating_units)
        metrics.issued.set(flows.issued_units)
        metrics.burned.set(flows.burned_units)
        for number, region in enumerate(REGIONS):
            burned = read_region_ledger(state, number).burned_units
            metrics.message_burned.labels(region.name).set(burned)
        metrics.price_rise.set(read_price_rise_ppm(state) / PPM)
        policy = read_policy(state)
        metrics.policy_output.set(0 if policy is None else policy.output / ONE)
        self._set_floor(state, epoch)
        metrics.open_proposals.set(len(read_due(state, OPEN_KEY)))
        for feed in FEEDS:
            value = read_feed(state, feed.number)
            metrics.feed_age.labels(feed.name).set(math.nan if value is None else max(0, epoch - value.epoch))
            metrics.feed_fresh.labels(feed.name).set(value is not None and epoch <= value.fresh_through)

    def _set_floor(self, state: StateReader, epoch: int) -> None:
        metrics = self._metrics
        floor = floor_view(state, epoch, self._chain.params.staking)
        metrics.floor_population.set(floor.floor.population)
        metrics.floor_stability.set(floor.stability_ppm / PPM)
        metrics.floor_owed.set(floor.floor.owed_units)
        metrics.floor_paid.set(floor.floor.paid_units)
        metrics.crisis.set(floor.crisis_have_units < floor.crisis_need_units)
