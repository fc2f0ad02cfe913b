"""What flows ask consensus about a block that stands alone: header and votes, body, or all of it.

One place, so that headers that came before their bodies and whole blocks are judged by the same rules, each rule once.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from consensus.blocks import Block, Header
from consensus.prepare import PreparedBlock, prepare_body, prepare_decoded, prepare_header
from consensus.votes import Vote
from node.chain_context import ChainContext
from node.env import Workers

INLINE_BYTES = 8 * 1024
"""Blocks below this are judged on the event loop: a thread hop costs more."""


@dataclass(frozen=True, slots=True)
class BlockJudge:
    """Stateless; its plain methods may be called from any thread."""

    chain: ChainContext
    workers: Workers

    def header(self, header: Header, votes: Sequence[Vote], now_slot: int) -> bytes:
        """Everything about a header and its votes that needs no other block; the key that signed.

        Errors as `prepare_header`.
        """
        return prepare_header(header, votes, self.chain.params, self.chain.schedule, now_slot)

    def body(self, block: Block, signer_key: bytes) -> PreparedBlock:
        """The block of a header that `header` has found good, with its body judged. Errors as `prepare_body`."""
        chain = self.chain
        return prepare_body(block, signer_key, chain.params, chain.rules, chain.registry)

    async def block(self, block: Block, size: int, now_slot: int) -> PreparedBlock:
        """All of a decoded block of `size` bytes, large ones in a worker. Errors as `prepare_decoded`."""
        chain = self.chain

        def job() -> PreparedBlock:
            return prepare_decoded(block, chain.params, chain.rules, chain.registry, chain.schedule, now_slot)

        if size < INLINE_BYTES:
            return job()
        return await self.workers.run_verifier(job)
