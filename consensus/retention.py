"""Where the base of a pruned store may stand: how much of the finalised chain the next blocks still need.

A node keeps the chain above its *base* and all that the kept blocks have in their past and the base has not. New
blocks must have the base's *floor*, a chain block above it, on their selected chains; they are judged exactly as by a
node that keeps everything, because nothing that judging them reads lies below the base. README, Pruning, has the
argument; the bounds here are its premises.
"""

from collections.abc import Callable

from consensus.anchors import SEEN_EPOCHS
from consensus.finality import BlockFinality
from consensus.params import Params
from consensus.stores import Base, ConsensusStores, number_key


class Retention:
    """Chooses the base. Over the writer's tables; one thread at a time."""

    def __init__(
        self,
        stores: ConsensusStores,
        params: Params,
        genesis_id: bytes,
        merge_floor: Callable[[bytes], bytes],
    ) -> None:
        """`merge_floor(selected parent)`: `merge_depth.MergeRoots.floor`."""
        self._stores = stores
        self._genesis_id = genesis_id
        self._merge_floor = merge_floor
        self._step_slots = params.period_slots
        self._ghostdag_k = params.ghostdag_k
        self._retention_slots = params.retention_slots

    def next_base(self, present: Base, finalised: bytes, retention_slots: int = 0) -> Base | None:
        """The base that follows from the node's finalised block, or None when it would not rise by a period at least.

        `retention_slots`: what stays below the finalised block; the network's own number counts when it is greater.
        """
        height = self._stores.dag.reachability.height
        floor = self._merge_floor(finalised)
        limit = height(floor) - self._ghostdag_k
        if limit <= present.chain_index:
            return None
        limit = min(limit, height(self._lowest_needed(finalised, floor)))
        last_slot = self._slot(finalised) - max(self._retention_slots, retention_slots) - 1
        index = self._last_index(present.chain_index, limit, last_slot)
        block = self._chain_block(index)
        slot = self._slot(block)
        if slot < present.slot + self._step_slots:
            return None
        return Base(block, index, slot, floor)

    def lowest_base(self, finalised: bytes) -> Base | None:
        """The highest base with which blocks above `finalised` are judged as by a node that keeps everything: what a
        newcomer that begins at `finalised` must have. None where that is genesis."""
        height = self._stores.dag.reachability.height
        floor = self._merge_floor(finalised)
        index = height(floor) - self._ghostdag_k
        if index > 0:
            index = min(index, height(self._lowest_needed(finalised, floor)))
        if index <= 0:
            return None
        block = self._chain_block(index)
        return Base(block, index, self._slot(block), floor)

    def _lowest_needed(self, finalised: bytes, floor: bytes) -> bytes:
        """The lowest block on the chain of which anything is asked when a block with `floor` on its chain is judged.

        A selected parent S is `floor` or above it. Merge depth and votes look at the chain from merge_floor(S) on; the
        targets that count are above merge_floor(floor); their schedules come from the anchors of their epochs, and an
        anchor's finalised block names the transition whose snapshot is kept. What is seen from the sink begins
        `SEEN_EPOCHS` epochs below the finalised block. All of these rise along the chain, so the lowest S decides.
        """
        lowest = self._merge_floor(floor)
        for block in (lowest, *self._seen_epochs(finalised)):
            anchor = self._finality(block).anchor
            candidate = self._finality(anchor).view.finalised.block_id
            if self._slot(candidate) < self._slot(lowest):
                lowest = candidate
        return lowest

    def _seen_epochs(self, finalised: bytes) -> list[bytes]:
        """The last block of each of the epochs that `Anchors.seen_from` looks at, from the finalised block down."""
        blocks = [finalised]
        while len(blocks) < SEEN_EPOCHS:
            transition = self._finality(blocks[-1]).transition
            if transition == self._genesis_id:
                break
            blocks.append(self._stores.dag.data.get(transition).selected_parent)
        return blocks

    def _last_index(self, low: int, high: int, last_slot: int) -> int:
        """The greatest chain index from `low` to `high` whose block is of `last_slot` at most; `low` when none is.

        Slots rise along the chain, so bisection finds it.
        """
        while low < high:
            middle = (low + high + 1) >> 1
            if self._slot(self._chain_block(middle)) <= last_slot:
                low = middle
            else:
                high = middle - 1
        return low

    def _chain_block(self, index: int) -> bytes:
        return self._stores.chain.get(number_key(index))

    def _slot(self, block: bytes) -> int:
        return self._stores.headers.get(block).slot

    def _finality(self, block: bytes) -> BlockFinality:
        return self._stores.finality.get(block)
