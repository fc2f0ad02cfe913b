"""Whether a store at rest is whole: every record read, the chain of commits followed, the state's root built again.

Needs no genesis document. More than `Engine.open` looks at, which reads what the next blocks need; slower by the size
of the store. Nothing is changed.
"""

from dataclasses import dataclass

from consensus.commit_chain import read_commit_chain
from consensus.errors import ConsensusFault
from consensus.stores import Head, blocks_by_slot, read_block, read_ghostdag, read_head
from ledger.state_commitment import StateTree
from ledger.storage.state_store import LedgerStore
from ledger.storage.store import Reader


@dataclass(frozen=True, slots=True)
class StoreCheck:
    """What was found. A number is None where a fault stopped the count."""

    commits: int | None
    blocks: int | None
    head: Head | None
    state_keys: int | None
    state_root: bytes | None
    faults: tuple[str, ...]
    """Empty: the store is whole."""


def check_store(reader: Reader) -> StoreCheck:
    """Check everything in `reader`. Errors: the store's, when bytes cannot be read."""
    faults: list[str] = []
    commits = blocks = state_keys = None
    head = state_root = None
    try:
        commits = read_commit_chain(reader).sequence
        head = read_head(reader)
        blocks = 0
        for entry in blocks_by_slot(reader):
            blocks += 1
            if read_block(reader, entry.block_id) is None:
                faults.append(f"block {entry.block_id.hex()} of slot {entry.slot} has no header or body")
            if read_ghostdag(reader, entry.block_id) is None:
                faults.append(f"block {entry.block_id.hex()} of slot {entry.slot} has no colouring")
        if head is None:
            faults.append("there is no chain head")
        else:
            tree = StateTree.build(LedgerStore(reader).state())
            state_keys, state_root = len(tree), tree.root
            if tree.root != head.state_root:
                faults.append(f"the state's root is {tree.root.hex()}, the head says {head.state_root.hex()}")
    except ConsensusFault as error:
        faults.append(str(error))
    return StoreCheck(commits, blocks, head, state_keys, state_root, tuple(faults))
