"""Signatures of transactions, verified before anything reaches the writer, once each.

Work goes to the verifier threads in chunks of 64 (libsodium releases the GIL, so the chunks run on all cores); fewer
than 32 are verified where they are, because a thread hop costs as much (performance.md, What gets there). Ids that
verified are remembered in a bounded cache, so that a transaction which came by gossip is not verified again in a
block. An id covers the signature, so a cached id vouches for exactly these bytes.
"""

from collections import OrderedDict
from collections.abc import Sequence

import trio

from ledger.errors import SignatureInvalid
from ledger.rules import ChainRules
from ledger.transaction_validation import verify_transaction_signature
from ledger.transactions import SignedTransaction
from node.env import Workers

CHUNK = 64
INLINE_BELOW = 32
DEFAULT_CACHE = 131_072
"""Twice and a half the mempool's 50,000 transactions; 32-byte ids, about 20 MB when full."""


class SignatureVerifier:
    """Verifies for one chain. For use on the event loop; the cache belongs to its task."""

    def __init__(self, workers: Workers, rules: ChainRules, *, cache: int = DEFAULT_CACHE) -> None:
        self._workers = workers
        self._rules = rules
        self._cache_size = cache
        self._verified: OrderedDict[bytes, None] = OrderedDict()
        self.hits = 0
        """Transactions found in the cache."""
        self.verified = 0
        """Signatures that were computed."""

    def knows(self, transaction_id: bytes) -> bool:
        """Whether the transaction has verified before, as far as is remembered."""
        return transaction_id in self._verified

    async def verify_each(self, transactions: Sequence[SignedTransaction]) -> tuple[bool, ...]:
        """For each transaction, in order: whether its signature is valid."""
        open_positions = [at for at, one in enumerate(transactions) if one.id not in self._verified]
        self.hits += len(transactions) - len(open_positions)
        self.verified += len(open_positions)
        results = [True] * len(transactions)
        if len(open_positions) < INLINE_BELOW:
            for at in open_positions:
                results[at] = _is_valid(transactions[at], self._rules)
        else:
            async with trio.open_nursery() as nursery:
                for start in range(0, len(open_positions), CHUNK):
                    nursery.start_soon(
                        self._verify_chunk, transactions, open_positions[start : start + CHUNK], results
                    )
        for at in open_positions:
            if results[at]:
                self._remember(transactions[at].id)
        return tuple(results)

    async def verify_all(self, transactions: Sequence[SignedTransaction]) -> None:
        """Errors: `SignatureInvalid` when any of them is not valid."""
        if not all(await self.verify_each(transactions)):
            raise SignatureInvalid

    async def _verify_chunk(
        self, transactions: Sequence[SignedTransaction], positions: Sequence[int], results: list[bool]
    ) -> None:
        chunk = [transactions[at] for at in positions]
        rules = self._rules
        valid = await self._workers.run_verifier(lambda: [_is_valid(one, rules) for one in chunk])
        for at, is_valid in zip(positions, valid, strict=True):
            results[at] = is_valid

    def _remember(self, transaction_id: bytes) -> None:
        self._verified[transaction_id] = None
        self._verified.move_to_end(transaction_id)
        if len(self._verified) > self._cache_size:
            self._verified.popitem(last=False)


def _is_valid(transaction: SignedTransaction, rules: ChainRules) -> bool:
    try:
        verify_transaction_signature(transaction, rules)
    except SignatureInvalid:
        return False
    return True
