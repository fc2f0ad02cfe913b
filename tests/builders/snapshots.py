"""A donor's snapshot of its finalised checkpoint, and a newcomer's import of it, without a network."""

from collections.abc import Callable
from dataclasses import dataclass

from builders.proofs import ProvedChain

from consensus.chain_import import ChainImport, check_manifest
from consensus.engine import Engine
from consensus.finalised_state import FinalisedState
from consensus.light_client import Trusted, follow, follow_all
from consensus.proof_making import make_finality_proof
from consensus.window import SnapshotManifest, WindowPage, describe_window, read_window
from ledger.state_snapshot import StateChunk, make_chunks
from ledger.storage.store import Store


@dataclass
class Donation:
    """Everything that a donor sends."""

    manifest: SnapshotManifest
    chunks: list[StateChunk]
    pages: list[WindowPage]
    trusted: Trusted


def donate(chain: ProvedChain) -> Donation | None:
    """The snapshot of the checkpoint that the chain's finalised state stands at; None while the chain is too short."""
    return donate_from(chain.engine, chain.state, follow_all(chain.trusted, chain.proofs))


def donate_from(engine: Engine, state: FinalisedState, trusted: Trusted) -> Donation | None:
    """The same of an engine and its finalised state; `trusted` is what the stored proofs lead to."""
    reader = engine.stores.store.snapshot()
    try:
        proof = make_finality_proof(reader, state)
        base = engine.newcomers_base(state.checkpoint.block_id)
        if proof is None or base is None:
            return None
        manifest = describe_window(reader, proof, base, len(state))
        assert manifest is not None
        chunks = list(make_chunks(state.tree, state.entries(reader)))
        pages = []
        index = offset = 0
        while True:
            page = read_window(reader, base, manifest.chain_index, index, offset)
            pages.append(page)
            index, offset = page.next_index, page.next_offset
            if not index:
                break
    finally:
        reader.close()
    if trusted.finalised != manifest.checkpoint:
        trusted = follow(trusted, proof)
    return Donation(manifest, chunks, pages, trusted)


def take_in(
    chain: ProvedChain,
    donation: Donation,
    store: Store,
    *,
    after_step: Callable[[ChainImport], ChainImport] = lambda one: one,
) -> None:
    """A whole import. `after_step` may put another one in its place, as after a crash."""
    check_manifest(donation.manifest, donation.trusted)
    running = ChainImport(store, chain.chain.genesis, chain.chain.params, donation.manifest)
    while not running.state_is_complete:
        running.put_chunk(donation.chunks[running.progress.chunks])
        running = after_step(running)
    starts = [(0, 0), *((page.next_index, page.next_offset) for page in donation.pages)]
    while not running.window_is_complete:
        place = running.progress.index, running.progress.offset
        running.put_page(donation.pages[starts.index(place)])
        running = after_step(running)
    running.finish(donation.trusted, chain.proofs)
