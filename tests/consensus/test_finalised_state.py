"""The state as of the finalised checkpoint: as the chain had it then, however far the sink is ahead."""

import pytest
from builders.chain import state_of
from builders.proofs import keep_proofs, proved_chain

from consensus.finalised_state import UndoRecordsGone, build_finalised_state, entries_at
from consensus.proof_making import begin_state, catch_up
from consensus.proof_store import PROOFS_PREFIX, proof_epochs, read_finality_proof
from consensus.stores import chain_index, index_on_chain, number_key
from ledger.state_commitment import StateTree, verify_proof
from ledger.storage.errors import StoreCorrupted
from ledger.storage.state_store import UNDO_PREFIX
from ledger.storage.store import WriteBatch


def test_following_finality_gives_the_root_that_the_finalised_header_states() -> None:
    chain = proved_chain(5, 60, odd=0.4)
    assert chain.state.checkpoint == chain.engine.finalised
    again = build_finalised_state(chain.engine.stores.store, chain.engine.finalised)
    assert len(again) == len(chain.state)
    assert StateTree.build(chain.state.entries(chain.engine.stores.store)).root == again.header.state_root


def test_every_key_is_proved_as_it_was() -> None:
    chain = proved_chain(6, 50, odd=0.2)
    store = chain.engine.stores.store
    keys = sorted(state_of(chain.engine))
    then = dict(entries_at(store, chain.state.index))
    for proved in chain.state.prove(store, keys):
        assert proved.value == then.get(proved.key)
        verify_proof(chain.state.header.state_root, proved.key, proved.value, proved.proof)
    assert then != state_of(chain.engine)


def test_a_node_that_starts_again_makes_the_proofs_that_it_missed() -> None:
    chain = proved_chain(5, 60)
    engine = chain.engine
    store = engine.stores.store
    batch = WriteBatch()
    for epoch in (4, 5):
        batch.delete(PROOFS_PREFIX + number_key(epoch))
    missing = [read_finality_proof(store, epoch) for epoch in (4, 5)]
    for epoch in list(proof_epochs(store, 6)):
        batch.delete(PROOFS_PREFIX + number_key(epoch))
    engine.write_beside(batch)
    state = begin_state(store, engine.params)
    assert state.checkpoint.period < engine.finalised.period
    made = keep_proofs(engine, state)
    assert list(made[:2]) == missing
    assert state.checkpoint == engine.finalised
    assert keep_proofs(engine, begin_state(store, engine.params)) == ()


def test_without_the_undo_records_between_it_says_so_and_begins_anew() -> None:
    chain = proved_chain(5, 40)
    store = chain.engine.stores.store
    before = chain.state.checkpoint
    chain.maker.live(30, presence=0.8, odd=0, payments=1)
    index = index_on_chain(store, chain.engine.finalised.block_id)
    assert index is not None
    gone = chain_index(store, index - 3)
    assert gone is not None
    batch = WriteBatch()
    batch.delete(UNDO_PREFIX + gone)
    chain.engine.write_beside(batch)
    with pytest.raises(UndoRecordsGone):
        catch_up(chain.state, store, chain.engine.params)
    assert chain.state.checkpoint.period >= before.period
    state = begin_state(store, chain.engine.params)
    assert catch_up(state, store, chain.engine.params) is not None
    assert state.checkpoint == chain.engine.finalised


def test_a_damaged_state_value_is_found_and_never_proved() -> None:
    chain = proved_chain(5, 40)
    store = chain.engine.stores.store
    batch = WriteBatch()
    key = next(iter(sorted(dict(entries_at(store, chain.state.index)))))
    batch.put(b"s" + key, b"another")
    chain.engine.write_beside(batch)
    if dict(entries_at(store, chain.state.index))[key] == b"another":
        with pytest.raises(StoreCorrupted, match="header commits"):
            build_finalised_state(store, chain.engine.finalised)
