"""Imports a donation that lies in a directory as files, in a process that may die: `import_worker.py FILES STORE`."""

import sys
from contextlib import closing
from pathlib import Path

from builders.history import tiny_chain
from builders.snapshots import Donation

from consensus.blocks import genesis_block
from consensus.chain_import import ChainImport
from consensus.light_client import FINALITY_PROOF_CODEC, follow, follow_all, trust_genesis
from consensus.stores import SCHEMA_VERSION
from consensus.window import MANIFEST_CODEC, PAGE_CODEC
from ledger.genesis import genesis_state
from ledger.state_commitment import StateTree
from ledger.state_snapshot import CHUNK_CODEC
from ledger.storage.database import Database


def open_database(directory: Path) -> Database:
    """The store of the import."""
    return Database(directory, schema_version=SCHEMA_VERSION)


def write_files(donation: Donation, proofs: list[bytes], files: Path) -> None:
    """The donation as files."""
    files.mkdir()
    (files / "manifest").write_bytes(MANIFEST_CODEC.encode(donation.manifest))
    for name, parts in (
        ("chunk", [CHUNK_CODEC.encode(chunk) for chunk in donation.chunks]),
        ("page", [PAGE_CODEC.encode(page) for page in donation.pages]),
        ("proof", proofs),
    ):
        for number, raw in enumerate(parts):
            (files / f"{name}-{number:05}").write_bytes(raw)


def main(files: Path, directory: Path) -> None:
    """Go on with the import to its end."""
    chain = tiny_chain()
    root = StateTree.build(genesis_state(chain.genesis).items()).root
    manifest = MANIFEST_CODEC.decode((files / "manifest").read_bytes())
    chunks = [CHUNK_CODEC.decode(path.read_bytes()) for path in sorted(files.glob("chunk-*"))]
    pages = [PAGE_CODEC.decode(path.read_bytes()) for path in sorted(files.glob("page-*"))]
    proofs = [FINALITY_PROOF_CODEC.decode(path.read_bytes()) for path in sorted(files.glob("proof-*"))]
    genesis_id = genesis_block(chain.genesis, root).header_id
    trusted = follow_all(trust_genesis(chain.genesis, chain.params, genesis_id), proofs)
    if trusted.finalised != manifest.checkpoint:
        trusted = follow(trusted, manifest.finality)
    starts = [(0, 0), *((page.next_index, page.next_offset) for page in pages)]
    with closing(open_database(directory)) as store:
        running = ChainImport(store, chain.genesis, chain.params, manifest)
        while not running.state_is_complete:
            running.put_chunk(chunks[running.progress.chunks])
        while not running.window_is_complete:
            running.put_page(pages[starts.index((running.progress.index, running.progress.offset))])
        running.finish(trusted, proofs)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
