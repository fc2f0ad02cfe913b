"""Provable faults that this node saw, brought to the chain as `evidence` transactions.

What proves a fault comes from two sides: a second block of one lane, which the engine tells of, and two votes that
exclude each other, which the vote relay finds. The node's own account (`operator.json`) signs and pays; the reward goes
there too. Since every node sees the same, each waits some slots at random and looks whether somebody was faster.
README, Evidence.
"""

import random
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import trio

from consensus.blocks import Header
from consensus.events import DuplicateLane
from consensus.evidence import (
    Evidence,
    evidence_of_headers,
    evidence_of_votes,
    offence_epoch,
    offence_id,
    offender,
)
from consensus.params import epoch_at
from consensus.stores import blocks_by_slot, read_header
from consensus.vote_pool import VoteConflict
from ledger.addresses import address_of, encode_address
from ledger.errors import LedgerError
from ledger.keys import KeyPair
from ledger.rules import minimum_fee
from ledger.staking.slashing import is_punished
from ledger.transactions import MAX_TRANSACTION_BYTES, SignedTransaction, sign_transaction
from node.chain_context import ChainContext
from node.chain_writer import ChainUpdate, Subscription
from node.logs import Log
from node.mempool import Mempool
from node.metrics import Metrics

MAX_CASES = 256
PATIENCE_SLOTS = 6
"""Most slots that a node waits for a faster one."""
RETRY_SLOTS = 24
"""After so many slots without a verdict on the chain a report is sent again."""
MAX_ATTEMPTS = 8
EXPIRY_SLOTS = 2 * RETRY_SLOTS
EVERY_S = 1.0
RECALLED_SLOTS = 512
"""How far back a node looks for double proposals when it starts: some 3,000 headers, read in 50 ms."""

Submit = Callable[[Sequence[bytes]], Awaitable[tuple[object, ...]]]


@dataclass(slots=True)
class _Case:
    """A fault that waits to be punished."""

    evidence: Evidence
    due_slot: int
    attempts: int = 0


class EvidenceReporter:
    """One per node. `run` is the service; `found_conflict` is for the vote relay."""

    def __init__(
        self,
        chain: ChainContext,
        account: KeyPair,
        mempool: Mempool,
        submit: Submit,
        *,
        chance: random.Random,
        metrics: Metrics,
        log: Log,
    ) -> None:
        """`account` signs and pays; `submit` is the transaction relay's."""
        self._chain = chain
        self._account = account
        self._address = address_of(account.public_key)
        self._mempool = mempool
        self._submit = submit
        self._chance = chance
        self._metrics = metrics
        self._log = log
        self._cases: OrderedDict[bytes, _Case] = OrderedDict()

    @property
    def open_cases(self) -> int:
        """Faults seen that the chain has not punished yet."""
        return len(self._cases)

    def found_conflict(self, conflict: VoteConflict) -> None:
        """Two votes of one validator that exclude each other."""
        self._open(evidence_of_votes(conflict), conflict.offence.value)

    async def run(self, updates: Subscription) -> None:
        """Follow the chain and report until cancelled or the writer ends."""
        self._recall()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._report_due)
            with updates:
                while True:
                    try:
                        update = await updates.receive()
                    except trio.EndOfChannel:
                        nursery.cancel_scope.cancel()
                        return
                    if isinstance(update, ChainUpdate):
                        for event in update.events:
                            if isinstance(event, DuplicateLane):
                                self._found_duplicate(event)

    def _recall(self) -> None:
        """Second blocks of a lane from before the last stop: what was known of them is gone, the blocks are not."""
        chain, lanes = self._chain, dict[tuple[int, int], list[Header]]()
        for entry in blocks_by_slot(chain.store, max(1, chain.now_slot() - RECALLED_SLOTS)):
            header = read_header(chain.store, entry.block_id)
            if header is not None:
                lanes.setdefault((header.slot, header.band), []).append(header)
        for headers in lanes.values():
            if len(headers) > 1 and headers[0].proposer == headers[1].proposer:
                evidence = evidence_of_headers(headers[0], headers[1])
                epoch = epoch_at(chain.params, headers[0].slot)
                if not is_punished(chain.ledger, offender(evidence), offence_id(evidence), epoch):
                    self._open(evidence, "double proposal")

    def _found_duplicate(self, event: DuplicateLane) -> None:
        headers = [read_header(self._chain.store, one) for one in event.block_ids[:2]]
        first, second = headers[0], headers[-1]
        if first is not None and second is not None and first != second:
            self._open(evidence_of_headers(first, second), "double proposal")

    def _open(self, evidence: Evidence, what: str) -> None:
        key = offence_id(evidence)
        if key in self._cases:
            return
        slot = self._chain.now_slot()
        self._cases[key] = _Case(evidence, slot + self._chance.randint(0, PATIENCE_SLOTS))
        while len(self._cases) > MAX_CASES:
            self._cases.popitem(last=False)
        self._metrics.offences_seen.labels(what).inc()
        self._log.warning(
            "validator broke a rule that costs its stake", validator=offender(evidence), offence=what
        )

    async def _report_due(self) -> None:
        while True:
            await trio.sleep(EVERY_S)
            slot = self._chain.now_slot()
            for key, case in list(self._cases.items()):
                epoch = offence_epoch(case.evidence, self._chain.params)
                if is_punished(self._chain.ledger, offender(case.evidence), key, epoch):
                    self._cases.pop(key, None)
                elif case.due_slot <= slot:
                    await self._report(key, case, slot)
                    break  # one at a time: the next one's nonce follows

    async def _report(self, key: bytes, case: _Case, slot: int) -> None:
        case.due_slot = slot + RETRY_SLOTS
        if case.attempts == MAX_ATTEMPTS:
            self._cases.pop(key, None)
            self._log.warning(
                "evidence was not accepted", validator=offender(case.evidence), attempts=MAX_ATTEMPTS
            )
            return
        account = self._chain.account(self._address)
        if account.balance < minimum_fee(
            self._chain.rules, MAX_TRANSACTION_BYTES, self._touches(case.evidence)
        ):
            self._log.warning(
                "evidence needs a funded operator account: send it some NXT",
                address=encode_address(self._chain.rules.address_prefix, self._address),
                balance_units=account.balance,
            )
            return
        case.attempts += 1
        try:
            transaction = self._signed(case.evidence, self._mempool.next_nonce(self._address, account), slot)
        except LedgerError as error:
            self._cases.pop(key, None)
            self._log.error("evidence could not be written", error=str(error))
            return
        outcome = (await self._submit([transaction.raw]))[0]
        if isinstance(outcome, SignedTransaction):
            self._log.info("evidence sent", validator=offender(case.evidence), transaction=transaction.id)
        else:
            self._log.warning("evidence was refused", validator=offender(case.evidence), error=str(outcome))

    def _touches(self, evidence: Evidence) -> int:
        kind = self._chain.registry.named("evidence")
        return 1 if kind is None else kind.touches(evidence)

    def _signed(self, evidence: Evidence, nonce: int, slot: int) -> SignedTransaction:
        kind = self._chain.registry.named("evidence")
        if kind is None:
            raise LedgerError("this chain knows no evidence")
        return sign_transaction(
            self._account,
            self._chain.rules,
            nonce=nonce,
            expiry_slot=slot + EXPIRY_SLOTS,
            fee=None,
            kind=kind,
            payload_record=evidence,
        )
