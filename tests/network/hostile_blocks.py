"""What a hostile key holder does with its lanes."""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
from builders.ledger import transfer
from network.fault_schedule import BLOCK_ACTS, FaultKind
from network.scenario import EXPIRY_SLOT

from consensus.blocks import Block, core_of, encode_block, sign_block, with_body
from consensus.body_tree import body_root
from consensus.errors import (
    BelowBase,
    BlockNotJudged,
    InvalidBlock,
    MissingParents,
    NoParentUsable,
    SlotNotAvailable,
)
from consensus.params import epoch_at, period_at
from consensus.prepare import prepare_decoded
from consensus.stores import blocks_by_slot, chain_index, read_header
from consensus.votes import Checkpoint, VoteCore, sign_vote, votes_root
from ledger.addresses import address_of
from ledger.onion import onion_layer, onion_secret
from ledger.transactions import SignedTransaction
from node.flows.wire import block_message, blocks_topic
from node.services import Services

if TYPE_CHECKING:
    from network.byzantine import HostileKeys

HELD_SLOTS = 6
"""A withheld block comes out at most so much later."""
LAG_SLOTS = 6


@cache
def _reveal(seed: bytes, generation: int, layers: int) -> bytes:
    return onion_layer(onion_secret(seed, generation), layers)


class HostileBlocks:
    """The lanes of one life of the node."""

    def __init__(self, holder: "HostileKeys", services: Services) -> None:
        self._holder = holder
        self._services = services
        self._topic = blocks_topic(services.params.chain_id)

    async def take_lane(self, slot: int, band: int, index: int, accusation: SignedTransaction | None) -> None:
        """A lane of ours has come. `accusation` is for a body: an honest template carries nothing that would fail."""
        holder = self._holder
        act = holder.strategy(BLOCK_ACTS)
        if act is FaultKind.SILENT_LANE:
            holder.note(act)
            return
        if act is FaultKind.LATE_BLOCK:
            await self._late_block(slot)
            return
        # Only for an equivocation: the account's nonces are needed for evidence.
        spends = await self._two_spends() if act is FaultKind.EQUIVOCATE else ()
        block = await self._made(slot, band, index, spends[:1])
        if block is None:
            return
        match act:
            case FaultKind.EQUIVOCATE:
                await self._equivocate(block, index, spends[1])
            case FaultKind.WITHHOLD:
                holder.note(act)
                until = slot + holder.chance.randint(1, HELD_SLOTS)
                holder.hold_back(until, lambda: self._tell(block, self._everybody()))
            case FaultKind.WRONG_STATE:
                holder.note(act)
                await self._give(self._changed(block, index, state_root=holder.chance.randbytes(32)))
            case FaultKind.JUNK_BLOCK:
                holder.note(act)
                self._tell(self._junk(block, index), self._everybody())
            case _ if accusation is not None:
                holder.note(FaultKind.FALSE_EVIDENCE)
                body = (accusation.raw,)
                await self._give(self._changed(block, index, body, body_root=body_root(body)))
            case _:
                await self._give(block)

    async def _equivocate(self, block: Block, index: int, other_spend: SignedTransaction) -> None:
        """One block to one half, another, which spends the same units otherwise, to the other half."""
        holder = self._holder
        body = (other_spend.raw,)
        second = self._changed(block, index, body, body_root=body_root(body))
        peers = self._everybody()
        holder.chance.shuffle(peers)
        half = len(peers) // 2
        await self._take_in(block)
        self._tell(block, peers[:half])
        self._tell(second, peers[half:])
        if len(peers) > 1:
            holder.prove(index, FaultKind.EQUIVOCATE, block.header.slot)

    async def _late_block(self, slot: int) -> None:
        """For a lane that we had some slots ago and left empty."""
        holder = self._holder
        past = slot - holder.chance.randint(2, LAG_SLOTS)
        if past < 1:
            return
        taken = {read.band for read in map(self._header, self._blocks_of(past)) if read is not None}
        for band, index in self._services.schedule.of_slot(past).lanes_of(holder.keys, past):
            block = None if band in taken else await self._made(past, band, index, ())
            if block is not None:
                holder.note(FaultKind.LATE_BLOCK)
                await self._give(block)
                return

    def _junk(self, block: Block, index: int) -> Block:
        """A block that is no valid one: its votes are not those of the header, or are forged."""
        params = self._services.params
        if self._holder.chance.random() < 0.5:
            return self._changed(block, index, votes_root=bytes(32))
        genesis = chain_index(self._services.store, 0)
        assert genesis is not None
        target = Checkpoint(max(1, period_at(params, block.header.slot)), block.header.parents[0])
        core = VoteCore(0, 0, Checkpoint(0, genesis), target)
        forged = (sign_vote(core, self._holder.keys[index], params.genesis_hash),)
        return with_body(
            self._changed(block, index, votes_root=votes_root(forged)).header, forged, block.transactions
        )

    # ---- making

    async def _made(
        self, slot: int, band: int, index: int, candidates: Sequence[SignedTransaction]
    ) -> Block | None:
        """An honest block of the lane, None when there can be none."""
        services, key = self._services, self._holder.keys[index]
        validator = services.schedule.of_slot(slot).validators.find(index)
        if validator is None:
            return None
        layers = validator.layers_in(epoch_at(services.params, slot))
        reveal = _reveal(key.seed, validator.onion_generation, layers)
        try:
            unsigned = await services.chain_writer.call(
                lambda engine: engine.build_block(slot, band, index, candidates, (), reveal=reveal),
                expected=(SlotNotAvailable, NoParentUsable),
            )
        except (SlotNotAvailable, NoParentUsable):
            return None
        return unsigned.sign(key)

    def _changed(
        self, block: Block, index: int, transactions: Sequence[bytes] | None = None, **fields: Any
    ) -> Block:
        """The same block but for some fields, signed."""
        core = msgspec.structs.replace(core_of(block.header), **fields)
        body = block.transactions if transactions is None else transactions
        key = self._holder.keys[index]
        return sign_block(core, block.votes, body, key, self._services.params.genesis_hash)

    async def _two_spends(self) -> tuple[SignedTransaction, ...]:
        """Two transfers with one nonce."""
        services, account = self._services, self._holder.account
        address = address_of(account.public_key)
        nonce = (await services.chain_writer.call(lambda engine: engine.virtual_account(address))).nonce
        return (
            transfer(account, services.rules, nonce, address, 1, expiry_slot=EXPIRY_SLOT),
            transfer(account, services.rules, nonce, address, 2, expiry_slot=EXPIRY_SLOT),
        )

    # ---- sending

    async def _give(self, block: Block) -> None:
        await self._take_in(block)
        self._tell(block, self._everybody())

    async def _take_in(self, block: Block) -> None:
        """Into our own node's DAG, if it can be."""
        services = self._services
        try:
            prepared = prepare_decoded(
                block,
                services.params,
                services.rules,
                services.registry,
                services.schedule,
                block.header.slot,
            )
            await services.chain_writer.submit(prepared)
        except (InvalidBlock, MissingParents, BlockNotJudged, BelowBase):
            return

    def _tell(self, block: Block, peers: Sequence[str]) -> None:
        self._holder.tell(peers, self._topic, block_message(encode_block(block)))

    def _everybody(self) -> list[str]:
        return [info.peer_id for info in self._services.network.peers()]

    def _blocks_of(self, slot: int) -> list[bytes]:
        return [entry.block_id for entry in blocks_by_slot(self._services.store, slot, slot)]

    def _header(self, block_id: bytes) -> Any:
        return read_header(self._services.store, block_id)
