"""Keeps the mempool in step with the chain: what was accepted leaves, what a reorganisation took away comes back."""

from collections.abc import Sequence

import trio

from consensus.events import ChainAdvanced
from consensus.stores import read_block
from ledger.execution import SKIPPED
from ledger.state import ACCOUNT_KEY_BYTES, ACCOUNT_PREFIX
from ledger.transactions import SignedTransaction, decode_transaction, transaction_id
from node.chain_context import ChainContext
from node.chain_writer import ChainUpdate, Resync, Subscription
from node.env import Workers
from node.flows.transaction_relay import TransactionRelay
from node.logs import Log
from node.mempool import Mempool
from node.metrics import Metrics


class MempoolUpkeep:
    """One per node. `run` is the service."""

    def __init__(
        self,
        chain: ChainContext,
        mempool: Mempool,
        relay: TransactionRelay,
        workers: Workers,
        *,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._chain = chain
        self._mempool = mempool
        self._relay = relay
        self._workers = workers
        self._metrics = metrics
        self._log = log

    async def run(self, updates: Subscription) -> None:
        """Follow `updates` until the writer ends, and drop what expires once a slot."""
        with updates:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._expire)
                await self._follow_all(updates)
                nursery.cancel_scope.cancel()

    async def _follow_all(self, updates: Subscription) -> None:
        while True:
            try:
                update = await updates.receive()
            except trio.EndOfChannel:
                return
            match update:
                case ChainUpdate(events=events):
                    for event in events:
                        if isinstance(event, ChainAdvanced):
                            await self._follow(event)
                case Resync():
                    self._log.warning("mempool lost updates of the chain and reads it anew")
                    self._read_anew()
            self._show()

    async def _follow(self, event: ChainAdvanced) -> None:
        settled = [
            receipt.transaction_id
            for block in event.added
            for receipt in block.receipts
            if receipt.status != SKIPPED
        ]
        removed = event.removed
        added = tuple(block.block_id for block in event.added)
        returned, touched = await self._workers.run_reader(
            lambda: (self._returned(removed, frozenset(settled)), self._touched((*removed, *added)))
        )
        back = self._mempool.on_chain_advanced(
            settled,
            returned,
            self._chain.account,
            touched=touched,
            now_s=trio.current_time(),
            slot=self._chain.now_slot(),
        )
        if back:
            self._log.info("transactions returned to the mempool", transactions=len(back))
            self._relay.announce(back)

    def _returned(self, removed: Sequence[bytes], settled: frozenset[bytes]) -> list[SignedTransaction]:
        """Transactions that `removed` chain blocks had settled and the new chain has not."""
        ledger = self._chain.ledger
        lost: dict[bytes, dict[bytes, None]] = {}
        for block_id in removed:
            for receipt in ledger.receipts(block_id) or ():
                if receipt.status != SKIPPED and receipt.transaction_id not in settled:
                    lost.setdefault(receipt.block_id, {})[receipt.transaction_id] = None
        found: list[SignedTransaction] = []
        for carrier, wanted in lost.items():
            block = read_block(self._chain.store, carrier)
            for raw in () if block is None else block.transactions:
                if transaction_id(raw) in wanted:
                    found.append(decode_transaction(raw, self._chain.registry))
        return found

    def _touched(self, blocks: Sequence[bytes]) -> list[bytes]:
        """Addresses of the accounts that these chain blocks changed."""
        ledger = self._chain.ledger
        found: dict[bytes, None] = {}
        for block_id in blocks:
            for key, _, _ in ledger.undo(block_id) or ():
                if key.startswith(ACCOUNT_PREFIX) and len(key) == ACCOUNT_KEY_BYTES:
                    found[key[len(ACCOUNT_PREFIX) :]] = None
        return list(found)

    def _read_anew(self) -> None:
        self._mempool.on_chain_advanced(
            (),
            (),
            self._chain.account,
            touched=self._mempool.senders(),
            now_s=trio.current_time(),
            slot=self._chain.now_slot(),
        )

    async def _expire(self) -> None:
        while True:
            await trio.sleep(self._chain.params.slot_ms / 1000)
            gone = self._mempool.expire(now_s=trio.current_time(), slot=self._chain.now_slot())
            if gone:
                self._log.debug("transactions expired", transactions=len(gone))
            self._show()

    def _show(self) -> None:
        self._metrics.mempool_transactions.set(len(self._mempool))
        self._metrics.mempool_bytes.set(self._mempool.size_bytes)
