"""A proposer whose votes certify a checkpoint of another branch builds there and carries them; nobody else does."""

from builders.blocks import found_chain
from builders.chain import Workshop, new_engine, prepare
from builders.finality import checkpoint_of, sign_for

from consensus.engine import Engine
from consensus.template import UnsignedBlock
from consensus.votes import Checkpoint, Vote

CHAIN = found_chain(6)
SLOT = 21


def forked() -> tuple[Workshop, str, str]:
    """Chain a of few blocks and the heavier chain b, both without votes; their last blocks by name."""
    shop = Workshop(CHAIN)
    shop.make("base", ["genesis"], slot=1, band=0)
    last = {}
    for name, slots in (("a", (9, 18, 19, 20)), ("b", tuple(range(8, 21)))):
        parent = "base"
        for slot in slots:
            shop.make(f"{name}{slot}", [parent], slot=slot, band="ab".index(name))
            parent = f"{name}{slot}"
        last[name] = parent
    return shop, last["a"], last["b"]


def votes_for(shop: Workshop, tip: str, voters: int) -> tuple[Vote, ...]:
    target = checkpoint_of(shop.engine, 2, shop.id(tip))
    source = Checkpoint(0, shop.engine.genesis_id)
    return tuple(sign_for(shop.engine, CHAIN, one, source, target) for one in range(voters))


def template(engine: Engine, votes: tuple[Vote, ...], slot: int = SLOT, band: int = 2) -> UnsignedBlock:
    proposer = CHAIN.schedule.proposer(slot, band)
    assert proposer is not None
    return engine.build_block(slot, band, proposer, (), votes, reveal=CHAIN.reveal(proposer, slot))


def add(shop: Workshop, unsigned: UnsignedBlock) -> bytes:
    block = unsigned.sign(CHAIN.keys[unsigned.core.proposer])
    shop.engine.process_block(prepare(CHAIN, block))
    return block.header_id


def test_without_votes_a_proposer_builds_on_the_best_tip() -> None:
    shop, _, best = forked()
    assert shop.name(shop.engine.head.id) == best
    assert shop.id(best) in template(shop.engine, ()).core.parents


def test_a_certificate_for_the_other_branch_is_built_on_and_carried() -> None:
    shop, tip, _ = forked()
    votes = votes_for(shop, tip, 6)
    made = template(shop.engine, votes)
    assert made.core.parents == (shop.id(tip),)
    assert made.votes == votes


def test_a_block_with_a_false_state_on_top_of_the_certified_branch_does_not_keep_proposers_away() -> None:
    shop, tip, _ = forked()
    votes = votes_for(shop, tip, 6)
    shop.make("bad", [tip], slot=21, band=3, state_root=bytes(32))
    made = template(shop.engine, votes, SLOT + 1)
    assert made.core.parents == (shop.id(tip),)
    assert made.votes == votes


def test_fewer_votes_than_a_quorum_move_nobody() -> None:
    shop, tip, best = forked()
    made = template(shop.engine, votes_for(shop, tip, 4))
    assert shop.id(best) in made.core.parents
    assert made.votes == ()


def test_the_network_follows_once_the_votes_stand_in_a_blocks_past() -> None:
    shop, tip, best = forked()
    votes = votes_for(shop, tip, 6)
    carrier = add(shop, template(shop.engine, votes))
    assert shop.name(shop.engine.head.id) == best, "the carrier's own votes count for its child"
    child = add(shop, template(shop.engine, votes, SLOT + 1))
    engine = shop.engine
    assert engine.stores.dag.data.get(child).selected_parent == carrier
    assert (engine.head.id, engine.justified.period) == (child, 2)
    assert shop.id(best) in template(engine, (), SLOT + 2).core.parents, "the other branch is merged"


def test_the_choice_leaves_the_engine_where_it_was() -> None:
    shop, tip, best = forked()
    template(shop.engine, votes_for(shop, tip, 6))
    assert shop.name(shop.engine.head.id) == best
    assert shop.id(best) in template(shop.engine, ()).core.parents
    again = new_engine(CHAIN, shop.engine.stores.store)
    assert again.head == shop.engine.head
