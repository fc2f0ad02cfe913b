"""Compact blocks: a block as header, votes and transaction ids, and how its body is made again.

An id covers all bytes of its transaction, so there are no collisions: a list of ids that does not give the header's
body root was forged by whoever sent it, for honest nodes forward a compact block only after they have made its body.
What the mempool lacks is asked for once, from the sender, by position (`/nexus/blocktxs/1`); when that fails, the whole
block is fetched from others. Each peer is asked once for a block.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import trio

from consensus.blocks import Block, decode_header, encode_header, header_id
from consensus.errors import BlockNotJudged, BodyMismatch, InvalidBlock
from consensus.prepare import PreparedBlock
from consensus.votes import VOTES_CODEC
from ledger.errors import CodecError
from ledger.transactions import transaction_id
from node.chain_context import ChainContext
from node.env import Workers
from node.flows.asking import PeerServedJunk, Report, ask
from node.flows.header_fetch import BareBlock
from node.flows.judging import BlockJudge
from node.flows.recent_blocks import RecentBlocks
from node.flows.wire import (
    BLOCK_TRANSACTIONS_PROTOCOL,
    BLOCK_TRANSACTIONS_REPLY_CODEC,
    BLOCK_TRANSACTIONS_REQUEST_CODEC,
    BlockTransactionsReply,
    BlockTransactionsRequest,
    CompactBlock,
)
from node.logs import Log
from node.mempool import Mempool
from node.metrics import Metrics
from p2p.errors import NetworkError, RequestRefused
from p2p.network import Network, PeerId
from p2p.peers import Fault

MAX_COMPLETING = 16
"""Blocks whose missing transactions are asked for at once; further ones are fetched whole, in their turn."""
MAX_COMPLETING_PER_PEER = 4
COMPLETE_TIMEOUT_S = 2.0
"""After this the whole block is asked for: a slot has passed."""
MAX_REMEMBERED = 1_024
"""(peer, block) pairs that were asked already."""


@dataclass(frozen=True, slots=True)
class PartialBlock:
    """A compact block with the transactions that were found."""

    bare: BareBlock
    signer_key: bytes
    """The key that the header's signature was verified with."""
    ids: tuple[bytes, ...]
    found: tuple[bytes | None, ...]
    """Raw transactions, aligned with `ids`."""

    @property
    def block_id(self) -> bytes:
        """32 bytes."""
        return self.bare.block_id

    @property
    def missing(self) -> tuple[int, ...]:
        """Positions of those that were not."""
        return tuple(at for at, raw in enumerate(self.found) if raw is None)

    def complete(self, transactions: Sequence[bytes] = ()) -> Block:
        """The block, when `transactions` are the missing ones in order."""
        rest = iter(transactions)
        body = tuple(next(rest) if raw is None else raw for raw in self.found)
        return Block(self.bare.header, self.bare.block_id, self.bare.votes, body)


def compact(block: Block) -> CompactBlock:
    """The compact form of a block."""
    return CompactBlock(
        encode_header(block.header),
        VOTES_CODEC.encode(block.votes),
        tuple(transaction_id(raw) for raw in block.transactions),
    )


def expand(bare: BareBlock, signer_key: bytes, ids: Sequence[bytes], mempool: Mempool) -> PartialBlock:
    """What the mempool gives for a header and votes that were judged."""
    pending = [mempool.get(one) for one in ids]
    found = tuple(None if one is None else one.raw for one in pending)
    return PartialBlock(bare, signer_key, tuple(ids), found)


def bare_block(message: CompactBlock) -> BareBlock:
    """Header and votes of a compact block, in shape. Errors: `CodecError`, `UnknownHeaderVersion` among them."""
    header, votes = decode_header(message.header), VOTES_CODEC.decode(message.votes)
    return BareBlock(header_id(header), header, votes, len(message.header) + len(message.votes))


async def serve_block_transactions(
    network: Network, chain: ChainContext, recent: RecentBlocks, workers: Workers, *, report: Report
) -> None:
    """Answer `/nexus/blocktxs/1` from the store, and from what is on its way there."""

    def reply(request: BlockTransactionsRequest) -> BlockTransactionsReply:
        block = recent.read(chain.store, request.block_id)
        if block is None or request.positions[-1] >= len(block.transactions):
            return BlockTransactionsReply(())
        return BlockTransactionsReply(tuple(block.transactions[at] for at in request.positions))

    async def answer(peer: PeerId, data: bytes) -> bytes:
        try:
            request = BLOCK_TRANSACTIONS_REQUEST_CODEC.decode(data)
        except CodecError as error:
            report(peer, Fault.MALFORMED)
            raise RequestRefused(str(error)) from None
        if any(at >= after for at, after in pairwise(request.positions)):
            report(peer, Fault.BAD_REPLY)
            raise RequestRefused("positions stand in ascending order, each once")
        return BLOCK_TRANSACTIONS_REPLY_CODEC.encode(await workers.run_reader(lambda: reply(request)))

    await network.serve(
        BLOCK_TRANSACTIONS_PROTOCOL, answer, max_request_bytes=BLOCK_TRANSACTIONS_REQUEST_CODEC.max_bytes
    )


class Completer:
    """Asks for what the mempool lacks. `run` is the service."""

    def __init__(
        self,
        network: Network,
        judge: BlockJudge,
        workers: Workers,
        *,
        report: Report,
        metrics: Metrics,
        log: Log,
    ) -> None:
        self._network = network
        self._judge = judge
        self._workers = workers
        self._report = report
        self._metrics = metrics
        self._log = log
        self._nursery: trio.Nursery | None = None
        self._open: dict[bytes, list[PeerId]] = {}
        """Block id -> who sent it: first the peer that is asked, then others that have it too."""
        self._asked: OrderedDict[tuple[PeerId, bytes], None] = OrderedDict()

    def __contains__(self, block_id: bytes) -> bool:
        return block_id in self._open

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Holds the tasks; until cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    def heard_again(self, block_id: bytes, peer: PeerId) -> None:
        """Another peer has sent a block that is being completed."""
        senders = self._open.get(block_id)
        if senders is not None and peer not in senders:
            senders.append(peer)

    async def judged(self, partial: PartialBlock, transactions: Sequence[bytes] = ()) -> PreparedBlock:
        """The block made of `partial` and what it missed. Errors: `BodyMismatch` (the sender forged the ids),
        `InvalidBlock`."""
        block = partial.complete(transactions)
        return await self._workers.run_verifier(lambda: self._judge.body(block, partial.signer_key))

    def start(
        self,
        partial: PartialBlock,
        peer: PeerId,
        taken: Callable[[PreparedBlock], Awaitable[None]],
        given_up: Callable[[PeerId], None],
    ) -> None:
        """Complete the block in a task of ours; returns at once.

        `taken(block)` is called with the good block, or `given_up(peer)` with whom to ask for the whole block. Neither
        is when the block can never be valid, or this peer was asked for it before.
        """
        key = (peer, partial.block_id)
        if key in self._asked:
            return
        self._asked[key] = None
        if len(self._asked) > MAX_REMEMBERED:
            self._asked.popitem(last=False)
        of_peer = sum(1 for senders in self._open.values() if senders[0] == peer)
        if self._nursery is None or len(self._open) >= MAX_COMPLETING or of_peer >= MAX_COMPLETING_PER_PEER:
            given_up(peer)
            return
        self._open[partial.block_id] = [peer]
        self._nursery.start_soon(self._complete, partial, peer, taken, given_up)

    async def _complete(
        self,
        partial: PartialBlock,
        peer: PeerId,
        taken: Callable[[PreparedBlock], Awaitable[None]],
        given_up: Callable[[PeerId], None],
    ) -> None:
        result, prepared = "failed", None
        try:
            transactions = await self._fetch(partial, peer)
            prepared = await self.judged(partial, transactions)
            result = "asked"
            self._metrics.compact_transactions.labels("asked").inc(len(transactions))
        except (NetworkError, PeerServedJunk, BlockNotJudged) as error:
            self._log.debug("completing a block failed", block=partial.block_id, peer=peer, error=str(error))
        except BodyMismatch as error:
            self._log.warning("peer forged a compact block", peer=peer, error=str(error))
            self._report(peer, Fault.INVALID)
        except InvalidBlock as error:
            self._log.warning("peer sent an invalid block", peer=peer, rule=error.code, error=str(error))
            self._report(peer, Fault.INVALID)
            result = "invalid"
        finally:
            senders = self._open.pop(partial.block_id)
        self._metrics.compact_blocks.labels(result).inc()
        if prepared is not None:
            await taken(prepared)
        elif result == "failed":
            given_up(senders[-1])

    async def _fetch(self, partial: PartialBlock, peer: PeerId) -> tuple[bytes, ...]:
        """The missing transactions. Errors: `NetworkError`; `PeerServedJunk` after the fault was reported."""
        missing = partial.missing
        reply = await ask(
            self._network,
            peer,
            BLOCK_TRANSACTIONS_PROTOCOL,
            BLOCK_TRANSACTIONS_REQUEST_CODEC.encode(BlockTransactionsRequest(partial.block_id, missing)),
            BLOCK_TRANSACTIONS_REPLY_CODEC,
            report=self._report,
            timeout_s=COMPLETE_TIMEOUT_S,
        )
        if not reply.transactions:
            self._report(peer, Fault.WITHHELD)
            raise PeerServedJunk(peer, "nothing of a block that it had sent")
        expected = tuple(partial.ids[at] for at in missing)
        if tuple(transaction_id(raw) for raw in reply.transactions) != expected:
            self._report(peer, Fault.BAD_REPLY)
            raise PeerServedJunk(peer, "transactions that were not asked for")
        return reply.transactions
