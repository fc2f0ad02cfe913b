"""Transactions between nodes, and in from local clients.

Gossip carries batches. A batch is judged as a whole: a transaction in it that can never be valid rejects it (its
sender should have looked), and it is forwarded as it is only when everything in it was new and came into the
mempool. If just a part was new, that part goes out with our own next batch. What the mempool does not want (a nonce
gap, a low fee, a full pool) is nobody's fault.

Bounds: signatures being verified (8,192 transactions; above that a batch is ignored), transactions waiting to go out
(8,192; above that they stay in the mempool and are not announced).
"""

from collections import deque
from collections.abc import Callable, Sequence

import trio

from ledger.errors import CodecError, InvalidTransaction, SignatureInvalid
from ledger.execution import SKIPPED
from ledger.transaction_validation import validate_transaction_in_isolation
from ledger.transactions import SignedTransaction, decode_transaction
from node.chain_context import ChainContext
from node.flows.wire import (
    ENTRY_OVERHEAD_BYTES,
    MAX_BATCH_BYTES,
    MAX_BATCH_TRANSACTIONS,
    TRANSACTIONS_CODEC,
    transactions_topic,
)
from node.logs import Log
from node.mempool import Mempool
from node.mempool_errors import AlreadyPending, MempoolRejected
from node.metrics import Metrics
from node.signatures import SignatureVerifier
from p2p.network import Network, PeerId, Verdict
from p2p.peers import Fault

WINDOW_LEAST_S = 0.010
WINDOW_MOST_S = 0.050
"""A batch goes out when nothing was added for the first, or the second has passed (p2p-notes.md, section 0)."""
Refusal = CodecError | InvalidTransaction | MempoolRejected
"""Why a transaction was not taken; `.code` is the rule's stable symbol."""

MAX_VERIFYING = 8_192
MAX_OUTGOING = 8_192
ANNOUNCE_AGAIN_S = 15.0
"""At this pace transactions that are still pending are announced again, our clients' first: the network may have lost
them, and whoever knows a transaction does not forward it to a peer that came later."""
ANNOUNCED_AGAIN_AT_ONCE = 256
"""Of our clients', and as many of all others."""


class TransactionRelay:
    """One per node. `run` is the service; `accept` and `submit` work while it runs."""

    def __init__(
        self,
        chain: ChainContext,
        mempool: Mempool,
        verifier: SignatureVerifier,
        network: Network,
        *,
        report: Callable[[PeerId, Fault], None],
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._chain = chain
        self._mempool = mempool
        self._verifier = verifier
        self._network = network
        self._report = report
        self._metrics = metrics
        self._log = log
        self._topic = transactions_topic(chain.params.chain_id)
        self._outgoing: dict[bytes, bytes] = {}
        self._grew = trio.Event()
        self._verifying = 0
        self._own: dict[bytes, None] = {}
        self._others: deque[bytes] = deque()
        """Who has its turn to be announced again: what was pending when it was empty last."""

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Subscribe, then send batches until cancelled."""
        await self._network.subscribe(self._topic, self.accept, max_bytes=MAX_BATCH_BYTES)
        task_status.started()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._send_batches)
            nursery.start_soon(self._announce_again)

    async def accept(self, peer: PeerId, raw: bytes) -> Verdict:
        """Judge a gossiped batch. Never raises for what a peer sent."""
        verdict = await self._judge(peer, raw)
        self._metrics.messages.labels("transactions", verdict.value).inc()
        self._metrics.message_bytes.labels("transactions").inc(len(raw))
        return verdict

    async def submit(self, raws: Sequence[bytes]) -> tuple[SignedTransaction | Refusal, ...]:
        """Take transactions from a client of this node: one answer each, in order. What is pending or accepted already
        is taken again, so a client may repeat itself."""
        answers: list[SignedTransaction | Refusal] = []
        fresh: dict[int, SignedTransaction] = {}
        for raw in raws:
            try:
                transaction = decode_transaction(raw, self._chain.registry)
                if transaction.id not in self._mempool and not self._is_accepted(transaction.id):
                    validate_transaction_in_isolation(transaction, self._chain.rules, self._chain.registry)
                    fresh[len(answers)] = transaction
                answers.append(transaction)
            except (CodecError, InvalidTransaction) as error:
                answers.append(error)
        valid = await self._verifier.verify_each(tuple(fresh.values()))
        taken: list[SignedTransaction] = []
        for (at, transaction), is_valid in zip(fresh.items(), valid, strict=True):
            if not is_valid:
                answers[at] = SignatureInvalid()
                continue
            try:
                self._admit(transaction, own=True)
            except AlreadyPending:
                continue
            except MempoolRejected as error:
                answers[at] = error
                continue
            self._own[transaction.id] = None
            taken.append(transaction)
        self._send_soon(taken)
        return tuple(answers)

    def announce(self, transactions: Sequence[SignedTransaction]) -> None:
        """Send transactions that are in the mempool: those that a reorganisation brought back."""
        self._send_soon(transactions)

    # ---- gossip in

    async def _judge(self, peer: PeerId, raw: bytes) -> Verdict:
        try:
            batch = TRANSACTIONS_CODEC.decode(raw)
            decoded = [decode_transaction(one, self._chain.registry) for one in batch]
        except CodecError as error:
            self._log.warning("peer sent malformed transactions", peer=peer, error=str(error))
            self._report(peer, Fault.MALFORMED)
            return Verdict.REJECT
        except InvalidTransaction as error:
            self._log.warning(
                "peer sent an invalid transaction", peer=peer, rule=error.code, error=str(error)
            )
            return Verdict.REJECT
        unknown = [one for one in decoded if one.id not in self._mempool]
        if not unknown:
            return Verdict.IGNORE
        if self._verifying + len(unknown) > MAX_VERIFYING:
            return Verdict.IGNORE
        self._verifying += len(unknown)
        try:
            await self._validate(unknown)
        except InvalidTransaction as error:
            self._log.warning(
                "peer sent an invalid transaction", peer=peer, rule=error.code, error=str(error)
            )
            return Verdict.REJECT
        finally:
            self._verifying -= len(unknown)
        admitted = [one for one in unknown if self._admit_from_peer(one)]
        if len(admitted) == len(decoded):
            return Verdict.ACCEPT
        self._send_soon(admitted)
        return Verdict.IGNORE

    async def _validate(self, transactions: Sequence[SignedTransaction]) -> None:
        for transaction in transactions:
            if not self._verifier.knows(transaction.id):
                validate_transaction_in_isolation(transaction, self._chain.rules, self._chain.registry)
        if not all(await self._verifier.verify_each(transactions)):
            raise SignatureInvalid

    def _admit_from_peer(self, transaction: SignedTransaction) -> bool:
        try:
            self._admit(transaction, own=False)
        except MempoolRejected as error:
            self._log.debug("transaction refused", transaction=transaction.id, rule=error.code)
            return False
        return True

    def _admit(self, transaction: SignedTransaction, *, own: bool) -> None:
        try:
            admission = self._mempool.add(
                transaction,
                self._chain.account(transaction.sender),
                now_s=trio.current_time(),
                slot=self._chain.now_slot(),
                own=own,
            )
        except MempoolRejected as error:
            self._metrics.mempool_rejected.labels(error.code).inc()
            raise
        self._metrics.mempool_evicted.inc(len(admission.evicted))

    def _is_accepted(self, transaction_id: bytes) -> bool:
        found = self._chain.ledger.transaction(transaction_id)
        return found is not None and found[1].status != SKIPPED

    # ---- gossip out

    def _send_soon(self, transactions: Sequence[SignedTransaction]) -> None:
        for transaction in transactions:
            if len(self._outgoing) < MAX_OUTGOING:
                self._outgoing[transaction.id] = transaction.raw
        if self._outgoing:
            self._grew.set()

    async def _send_batches(self) -> None:
        while True:
            await self._grew.wait()
            deadline_s = trio.current_time() + WINDOW_MOST_S
            while trio.current_time() < deadline_s and len(self._outgoing) < MAX_BATCH_TRANSACTIONS:
                before = len(self._outgoing)
                await trio.sleep(WINDOW_LEAST_S)
                if len(self._outgoing) == before:
                    break
            batch = self._next_batch()
            if not self._outgoing:
                self._grew = trio.Event()
            if batch:
                await self._network.publish(self._topic, TRANSACTIONS_CODEC.encode(batch))

    def _next_batch(self) -> tuple[bytes, ...]:
        """What fits into one message, in order; it leaves the queue."""
        taken: list[bytes] = []
        size = ENTRY_OVERHEAD_BYTES
        for transaction_id, raw in self._outgoing.items():
            size += len(raw) + ENTRY_OVERHEAD_BYTES
            if size > MAX_BATCH_BYTES or len(taken) == MAX_BATCH_TRANSACTIONS:
                break
            taken.append(transaction_id)
        return tuple(self._outgoing.pop(transaction_id) for transaction_id in taken)

    async def _announce_again(self) -> None:
        while True:
            await trio.sleep(ANNOUNCE_AGAIN_S)
            own = [one for one in self._own if one in self._mempool]
            again, waiting = own[:ANNOUNCED_AGAIN_AT_ONCE], own[ANNOUNCED_AGAIN_AT_ONCE:]
            # Who has had its turn goes to the end.
            self._own = dict.fromkeys((*waiting, *again))
            if not self._others:
                self._others.extend(one.id for one in self._mempool.entries(len(self._mempool)))
            for _ in range(min(ANNOUNCED_AGAIN_AT_ONCE, len(self._others))):
                other = self._others.popleft()
                if other not in self._own:
                    again.append(other)
            pending = [self._mempool.get(one) for one in again]
            self._send_soon([one for one in pending if one is not None])
