"""Headers alone and against their parents, over the real reachability, colouring and schedule."""

from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest
from builders.blocks import FoundedChain, found_chain
from builders.ledger import key_pair

from consensus.blocks import (
    Block,
    Header,
    block_preimage,
    core_id,
    core_of,
    encode_core,
    header_id,
    sign_block,
)
from consensus.errors import (
    BandDigestWrong,
    BandUnknown,
    BlockSignatureInvalid,
    BlueScoreWrong,
    BlueWorkWrong,
    ConsensusError,
    InvalidBlock,
    LaneEmpty,
    MergesetTooLarge,
    MergeTooDeep,
    ParentCountInvalid,
    ParentsNotAntichain,
    ParentsNotSorted,
    SlotInFuture,
    SlotNotAfterParent,
    SlotReserved,
    UnknownHeaderVersion,
    ValidatorUnknown,
    WrongProposer,
)
from consensus.ghostdag import Dag, GhostdagData, GhostdagRules, colour
from consensus.header_validation import (
    HeaderContext,
    KnownReveals,
    validate_header_in_context,
    validate_header_in_isolation,
    validate_parents_in_context,
)
from consensus.merge_depth import MergeRoots, validate_merge_depth
from consensus.reachability import Reachability
from ledger.hashing import signing_preimage, tagged
from wnsp.spectrum import BANDS

CHAIN = found_chain()
NOW = 50
STRANGER = key_pair(0, "stranger", 0)


def _isolated(header: Header, chain: FoundedChain = CHAIN, now_slot: int = NOW) -> None:
    validate_header_in_isolation(header, chain.params, chain.schedule, now_slot)


class _Ledgerless:
    """Blocks on a founded chain, coloured and judged by the real code, without stores or execution."""

    def __init__(self, chain: FoundedChain, **limits: int) -> None:
        self.chain = chain
        self.params = replace(chain.params, **limits)
        self.headers = {chain.genesis_block.header_id: chain.genesis_block.header}
        self.dag = Dag(
            GhostdagRules(self.params.ghostdag_k, self._order_key, lambda block: 1, self._lane),
        )
        self.dag.add_genesis(chain.genesis_block.header_id)
        self.roots = MergeRoots(
            self.params.merge_depth_slots,
            lambda block: self.headers[block].slot,
            lambda block: self.dag.data.get(block).selected_parent,
            self.dag.reachability.chain_child_towards,
            lambda block: chain.genesis_block.header_id,
        )

    def _order_key(self, block: bytes, data: GhostdagData) -> tuple[int | bytes, ...]:
        header = self.headers[block]
        tie = self.chain.schedule.lane_tie(header.slot, header.band)
        return (data.blue_work, data.blue_score, tie, block)

    def _lane(self, block: bytes) -> bytes | None:
        header = self.headers[block]
        return header.slot.to_bytes(8, "big") + bytes([header.band]) if header.slot else None

    def made(self, slot: int, band: int, parents: Sequence[bytes], **fields: object) -> Block:
        """A block by the scheduled proposer, with the scores that its parents give."""
        data = colour(self.dag, sorted(parents))
        scores = {"blue_score": data.blue_score, "blue_work": data.blue_work} | fields
        return self.chain.block(slot, band, parents=parents, **scores)

    def validate(self, block: Block, data: GhostdagData | None = None) -> GhostdagData:
        header = block.header
        data = colour(self.dag, header.parents) if data is None else data
        context = HeaderContext(
            params=self.params,
            epoch_schedule=self.chain.schedule.of_slot(header.slot),
            parents=[self.headers[parent] for parent in header.parents],
            reachability=self.dag.reachability,
            merge_root=self.roots.root(data.selected_parent),
            merge_floor=self.roots.floor(data.selected_parent),
            signer_key=self.chain.keys[header.proposer].public_key,
            reveals=KnownReveals(),
        )
        validate_header_in_context(header, data, context)
        return data

    def add(self, slot: int, band: int, parents: Sequence[bytes]) -> bytes:
        """Make, validate and add a block; its id."""
        block = self.made(slot, band, parents)
        data = self.validate(block)
        self.headers[block.header_id] = block.header
        self.dag.add(block.header_id, block.header.parents, data)
        return block.header_id

    @property
    def genesis(self) -> bytes:
        return self.chain.genesis_block.header_id


# In isolation


def test_a_block_by_the_scheduled_proposer_is_valid_in_isolation() -> None:
    for band in range(6):
        _isolated(CHAIN.block(slot=7, band=band).header)


def test_C10_a_version_that_decodes_but_is_unknown_is_refused() -> None:
    with pytest.raises(UnknownHeaderVersion):
        _isolated(CHAIN.block(version=200).header)


def test_a_block_without_parents_is_refused() -> None:
    with pytest.raises(ParentCountInvalid, match="0 parents, expected 1 to 12"):
        _isolated(CHAIN.block(parents=()).header)


def test_L11_parents_beyond_the_limit_are_refused() -> None:
    ids = tuple(bytes([number]) * 32 for number in range(13))
    header = msgspec.structs.replace(CHAIN.block().header, parents=ids)
    with pytest.raises(ParentCountInvalid, match="13 parents"):
        _isolated(header)


@pytest.mark.parametrize("order", [(2, 1), (1, 1), (1, 3, 2)])
def test_L11_parents_out_of_order_or_repeated_are_refused(order: tuple[int, ...]) -> None:
    header = msgspec.structs.replace(CHAIN.block().header, parents=tuple(bytes([one]) * 32 for one in order))
    with pytest.raises(ParentsNotSorted):
        _isolated(header)


def test_a_band_outside_the_spectrum_is_refused() -> None:
    with pytest.raises(BandUnknown):
        _isolated(msgspec.structs.replace(CHAIN.block().header, band=6))


def test_slot_zero_belongs_to_genesis() -> None:
    with pytest.raises(SlotReserved):
        _isolated(CHAIN.block(slot=0).header)


def test_an_unknown_validator_is_refused() -> None:
    core = CHAIN.core(proposer=12)
    with pytest.raises(ValidatorUnknown, match="no key known for proposer 12"):
        _isolated(sign_block(core, (), (), STRANGER, CHAIN.params.genesis_hash).header)


def test_L1_a_signature_by_another_key_is_refused() -> None:
    with pytest.raises(BlockSignatureInvalid):
        _isolated(CHAIN.block(key=STRANGER).header)


def test_L1_another_validators_signature_is_refused() -> None:
    core = CHAIN.core(slot=3)
    other = CHAIN.keys[(core.proposer + 1) % 12]
    with pytest.raises(BlockSignatureInvalid):
        _isolated(sign_block(core, (), (), other, CHAIN.params.genesis_hash).header)


def test_L1_L3_a_block_of_another_chain_with_the_same_keys_is_refused() -> None:
    other = found_chain(chain_id="other-chain")
    assert other.schedule.validators == CHAIN.schedule.validators
    with pytest.raises(BlockSignatureInvalid, match="another chain"):
        _isolated(other.block().header)


def test_L3_a_signature_over_the_transaction_domain_is_refused() -> None:
    core = CHAIN.core()
    core_bytes = encode_core(core)
    content = core_id(core_bytes) + BANDS[core.band].digest(core_bytes)
    forged = CHAIN.keys[core.proposer].sign(
        signing_preimage(tagged("nexus/transaction/v1"), CHAIN.params.genesis_hash, content)
    )
    with pytest.raises(BlockSignatureInvalid):
        _isolated(msgspec.structs.replace(CHAIN.block().header, signature=forged))


def test_L1_every_flipped_bit_of_a_signature_is_refused() -> None:
    header = CHAIN.block().header
    for bit in range(512):
        flipped = bytearray(header.signature)
        flipped[bit >> 3] ^= 1 << (bit & 7)
        with pytest.raises(BlockSignatureInvalid):
            _isolated(msgspec.structs.replace(header, signature=bytes(flipped)))


def test_a_digest_by_another_bands_hash_is_refused() -> None:
    header = CHAIN.block(band=2).header
    other = BANDS[4].digest(encode_core(core_of(header)))
    with pytest.raises(BandDigestWrong, match="GREEN digest"):
        _isolated(msgspec.structs.replace(header, band_digest=other))


def test_a_digest_of_another_core_is_refused_even_when_signed() -> None:
    """As if the id's hash were broken: the band's digest alone still tells the two apart."""
    header, other = CHAIN.block(band=0).header, CHAIN.block(band=0, blue_score=9).header
    digest = BANDS[0].digest(encode_core(core_of(other)))
    signature = CHAIN.keys[header.proposer].sign(
        block_preimage(CHAIN.params.genesis_hash, header_id(header), digest)
    )
    with pytest.raises(BandDigestWrong):
        _isolated(msgspec.structs.replace(header, band_digest=digest, signature=signature))


def test_L9_one_slot_ahead_of_the_clock_is_allowed() -> None:
    _isolated(CHAIN.block(slot=NOW + 1).header)


def test_L9_a_later_slot_is_not_yet_and_not_invalid() -> None:
    with pytest.raises(SlotInFuture, match="keep the block until slot 51") as caught:
        _isolated(CHAIN.block(slot=NOW + 2).header)
    assert not isinstance(caught.value, InvalidBlock)
    assert isinstance(caught.value, ConsensusError)
    assert (caught.value.slot, caught.value.now_slot) == (NOW + 2, NOW)


def test_L9_a_later_slot_without_a_valid_signature_is_not_worth_keeping() -> None:
    with pytest.raises(BlockSignatureInvalid):
        _isolated(CHAIN.block(slot=NOW + 2, key=STRANGER).header)


# In context


def test_a_block_on_genesis_is_valid_in_context() -> None:
    world = _Ledgerless(CHAIN)
    world.validate(world.made(1, 0, [world.genesis]))


def test_another_validator_than_the_scheduled_one_is_refused() -> None:
    world = _Ledgerless(CHAIN)
    scheduled = CHAIN.schedule.proposer(1, 0)
    assert scheduled is not None
    intruder = (scheduled + 1) % 12
    block = world.made(1, 0, [world.genesis], proposer=intruder)
    _isolated(block.header)
    with pytest.raises(
        WrongProposer, match=f"validator {intruder} proposes .* scheduled is validator {scheduled}"
    ):
        world.validate(block)


def test_a_proposer_in_another_lane_than_its_own_is_refused() -> None:
    world = _Ledgerless(CHAIN)
    own = CHAIN.schedule.proposer(1, 0)
    for band in range(1, 6):
        with pytest.raises(WrongProposer):
            world.validate(world.made(1, band, [world.genesis], proposer=own))


def test_a_block_in_a_band_without_validators_is_refused() -> None:
    world = _Ledgerless(found_chain(validators=3))
    with pytest.raises(LaneEmpty, match="band 5 has no validators at slot 1"):
        world.validate(world.made(1, 5, [world.genesis]))


@pytest.mark.parametrize("slot", [4, 3, 1])
def test_L9_a_slot_not_after_a_parents_is_refused(slot: int) -> None:
    world = _Ledgerless(CHAIN)
    parent = world.add(4, 0, [world.genesis])
    with pytest.raises(SlotNotAfterParent, match=f"slot {slot} is not after slot 4"):
        world.validate(world.made(slot, 1, [parent]))


def test_L9_the_youngest_parent_counts() -> None:
    world = _Ledgerless(CHAIN)
    parents = [world.add(2, 0, [world.genesis]), world.add(4, 1, [world.genesis])]
    with pytest.raises(SlotNotAfterParent):
        world.validate(world.made(3, 0, parents))
    world.validate(world.made(5, 0, parents))


def test_L11_a_parent_that_another_parent_has_in_its_past_is_refused() -> None:
    world = _Ledgerless(CHAIN)
    older = world.add(1, 0, [world.genesis])
    middle = world.add(2, 0, [older])
    younger = world.add(3, 1, [middle])
    aside = world.add(2, 3, [world.genesis])
    for parents in ([older, younger], [middle, younger], [world.genesis, aside, younger]):
        with pytest.raises(ParentsNotAntichain):
            world.validate(world.made(4, 0, parents))
    world.validate(world.made(4, 0, [aside, younger]))


def test_L11_parents_are_judged_without_a_colouring_too() -> None:
    world = _Ledgerless(CHAIN)
    older = world.add(1, 0, [world.genesis])
    younger = world.add(2, 0, [older])
    header = world.made(3, 0, [older, younger]).header
    headers = [world.headers[parent] for parent in header.parents]
    with pytest.raises(ParentsNotAntichain) as caught:
        validate_parents_in_context(header, headers, world.dag.reachability)
    assert (caught.value.ancestor, caught.value.descendant) == (older, younger)


@pytest.mark.parametrize("wrong", [-1, 1, 100])
def test_scores_other_than_the_parents_give_are_refused(wrong: int) -> None:
    world = _Ledgerless(CHAIN)
    parents = [world.add(1, band, [world.genesis]) for band in range(3)]
    right = world.made(2, 0, parents).header
    assert (right.blue_score, right.blue_work) == (4, 4)
    with pytest.raises(BlueScoreWrong, match=f"blue score {4 + wrong}, parents give 4"):
        world.validate(world.made(2, 0, parents, blue_score=4 + wrong))
    with pytest.raises(BlueWorkWrong, match=f"blue work {4 + wrong}, parents give 4"):
        world.validate(world.made(2, 0, parents, blue_work=4 + wrong))


def test_L12_a_merge_set_at_the_limit_is_valid_and_one_block_more_is_not() -> None:
    world = _Ledgerless(CHAIN, mergeset_limit=4)
    tip = world.add(1, 0, [world.genesis])
    for slot in range(2, 7):
        tip = world.add(slot, 0, [tip])
    side = [world.add(1, 1, [world.genesis])]
    for slot in range(2, 6):
        side.append(world.add(slot, 1, [side[-1]]))
    world.validate(world.made(7, 0, [tip, side[3]]))
    with pytest.raises(MergesetTooLarge, match="5 blocks or more, at most 4"):
        world.validate(world.made(7, 0, [tip, side[4]]))


# Bounded merge


def _split(world: _Ledgerless, main_slots: range, side_slots: range) -> tuple[list[bytes], list[bytes]]:
    """Two chains from genesis: the main one in bands 0 to 2 (three blocks a slot), the side one in band 3."""
    chain = [world.genesis]
    for slot in main_slots:
        tips = [world.genesis] if slot == main_slots[0] else chain[-3:]
        chain.extend([world.add(slot, band, tips) for band in range(3)])
    side = [world.genesis]
    for slot in side_slots:
        side.append(world.add(slot, 3, [side[-1]]))
    return chain, side


def test_a_red_without_the_merge_root_in_its_past_is_refused() -> None:
    world = _Ledgerless(CHAIN, merge_depth_slots=20)
    chain, side = _split(world, range(1, 31), range(1, 11))
    block = world.made(31, 0, [*chain[-3:], side[-1]])
    data = colour(world.dag, block.header.parents)
    assert data.mergeset_reds
    with pytest.raises(MergeTooDeep) as caught:
        world.validate(block)
    assert caught.value.merge_root == world.roots.root(data.selected_parent)
    assert world.headers[caught.value.merge_root].slot == 10


def test_the_same_red_is_merged_while_the_merge_root_lies_deep_enough() -> None:
    world = _Ledgerless(CHAIN, merge_depth_slots=30)
    chain, side = _split(world, range(1, 31), range(1, 11))
    block = world.made(31, 0, [*chain[-3:], side[-1]])
    assert world.validate(block).mergeset_reds


def test_a_red_that_a_blue_on_the_roots_chain_brings_is_merged() -> None:
    """A proposer merges the side chain in time; whoever merges that blue later inherits its reds."""
    world = _Ledgerless(CHAIN, merge_depth_slots=20)
    chain, side = _split(world, range(1, 20), range(1, 11))
    bringing = world.add(20, 4, [*chain[-3:], side[-1]])
    tips = chain[-3:]
    for slot in range(20, 24):
        tips = [world.add(slot, band, tips) for band in range(3)]
    block = world.made(24, 0, [*tips, bringing])
    data = world.validate(block)
    root = world.roots.root(data.selected_parent)
    assert data.selected_parent != bringing
    assert bringing in data.mergeset_blues
    assert root != world.genesis
    assert any(not world.dag.is_ancestor(root, red) for red in data.mergeset_reds)


@pytest.mark.parametrize("root_is_on_its_chain", [True, False])
def test_a_blue_brings_reds_only_with_the_root_on_its_own_chain(root_is_on_its_chain: bool) -> None:
    genesis, root, red, blue, selected_parent = (bytes([number]) * 32 for number in range(5))
    reachability = Reachability()
    reachability.add_genesis(genesis)
    reachability.add_block(root, genesis, ())
    reachability.add_block(red, genesis, ())
    reachability.add_block(selected_parent, root, ())
    reachability.add_block(blue, *((root, (red,)) if root_is_on_its_chain else (red, (root,))))
    if root_is_on_its_chain:
        validate_merge_depth((selected_parent, blue), (red,), root, reachability)
    else:
        with pytest.raises(MergeTooDeep):
            validate_merge_depth((selected_parent, blue), (red,), root, reachability)


def test_merge_roots_are_the_last_chain_blocks_at_the_depth_in_any_order_of_asking() -> None:
    world = _Ledgerless(CHAIN, merge_depth_slots=7)
    chain = [world.genesis]
    for slot in (1, 2, 5, 6, 7, 11, 12, 13, 14, 20, 29, 30, 31):
        chain.append(world.add(slot, 0, [chain[-1]]))
    expected = {}
    for at, block in enumerate(chain):
        limit = world.headers[block].slot - 7
        below = [one for one in chain[: at + 1] if world.headers[one].slot <= limit]
        expected[block] = below[-1] if below else world.genesis
    for order in (chain, chain[::-1], chain[::2] + chain[1::2], chain[5:] + chain[:5]):
        roots = MergeRoots(
            7,
            lambda block: world.headers[block].slot,
            lambda block: world.dag.data.get(block).selected_parent,
            world.dag.reachability.chain_child_towards,
            lambda block: world.genesis,
        )
        assert {block: roots.root(block) for block in order} == expected


def test_a_chain_that_stood_still_does_not_age() -> None:
    """Depth counts from the selected parent: after a long silence the last tips can all still be merged."""
    world = _Ledgerless(CHAIN, merge_depth_slots=20)
    tips = [world.add(1, band, [world.genesis]) for band in range(6)]
    world.validate(world.made(5_000, 0, tips))
