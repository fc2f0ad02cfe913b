"""DAGs for tests: a small text language, and seeded generators with the shapes that break colourings.

A `DagCase` is plain data (ids, parents, weights, lanes) in a topological order; `colour_case` runs the real code.

Text language, one block a line or between semicolons, parents before children; the first block is genesis::

    a                      genesis (with more to say: `a: weight 5`)
    b: a                   child of a
    c: a  weight 5         a heavier one
    d: b c  lane 7.1       slot 7, band 1
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from consensus.ghostdag import Dag, GhostdagData, GhostdagRules, OrderKey, colour
from ledger.storage.store import Reader


@dataclass(frozen=True, slots=True)
class DagBlock:
    """One block of a case. `lane` is None, or slot (8 bytes) and band (1 byte)."""

    id: bytes
    parents: tuple[bytes, ...]
    weight: int = 1
    lane: bytes | None = None


@dataclass(frozen=True, slots=True)
class DagCase:
    """A DAG in topological order; the first block is genesis."""

    k: int
    blocks: tuple[DagBlock, ...]

    @property
    def genesis(self) -> DagBlock:
        return self.blocks[0]


def name_id(name: str) -> bytes:
    """The 32 bytes of a short name: UTF-8, zeros on the right."""
    return name.encode().ljust(32, b"\0")


def lane_key(slot: int, band: int) -> bytes:
    """The lane's key: slot (8 bytes, big-endian), band (1 byte)."""
    return slot.to_bytes(8, "big") + bytes([band])


def parse_dag(text: str, k: int) -> DagCase:
    """A case from the text language above. Names become ids by `name_id`."""
    blocks = []
    for line in text.replace(";", "\n").splitlines():
        words = line.replace(":", " : ").split()
        if not words:
            continue
        weight, lane, parents = 1, None, []
        rest = iter(words[2:])
        for word in rest:
            if word == "weight":
                weight = int(next(rest))
            elif word == "lane":
                slot, band = next(rest).split(".")
                lane = lane_key(int(slot), int(band))
            else:
                parents.append(name_id(word))
        blocks.append(DagBlock(name_id(words[0]), tuple(parents), weight, lane))
    return DagCase(k, tuple(blocks))


def rules_of(case: DagCase) -> GhostdagRules:
    """The rules of the public vectors, (blue work, id), with the case's weights and lanes."""
    weights = {block.id: block.weight for block in case.blocks}
    lanes = {block.id: block.lane for block in case.blocks}

    def order_key(block: bytes, data: GhostdagData) -> OrderKey:
        return data.blue_work, block

    return GhostdagRules(case.k, order_key, weights.__getitem__, lanes.__getitem__)


def empty_dag(case: DagCase, store: Reader | None = None, *, window_span: int | None = None) -> Dag:
    """A real `Dag` with the case's rules and nothing in it."""
    return Dag(rules_of(case), store, window_span=window_span)


def add_blocks(dag: Dag, blocks: Sequence[DagBlock]) -> None:
    """Colour and add blocks in the order given, the reindex root following the best tip."""
    best: OrderKey | None = None
    for block in blocks:
        if not block.parents:
            dag.add_genesis(block.id)
        else:
            dag.add(block.id, block.parents, colour(dag, block.parents))
        key = dag.order_key(block.id)
        if best is None or key > best:
            best = key
            dag.reachability.advance_root(block.id)
        dag.commit()


def colour_case(case: DagCase, *, window_span: int | None = None) -> Dag:
    """The whole case in a real `Dag` in memory."""
    dag = empty_dag(case, window_span=window_span)
    add_blocks(dag, case.blocks)
    return dag


def antichain_of(candidates: Sequence[int], past: Sequence[int]) -> list[int]:
    """Those candidates that are in no other candidate's past (bitsets by position)."""
    covered = 0
    for position in candidates:
        covered |= past[position]
    return [position for position in candidates if not covered >> position & 1]


def random_dag(
    rng: Random,
    *,
    blocks: int,
    width: int,
    k: int,
    weights: Sequence[int] = (1,),
    withheld: int = 0,
    bands: int = 0,
    max_parents: int = 12,
) -> DagCase:
    """A DAG in which each block sees the others with a lag of its own, up to `width` blocks.

    `weights` are drawn per block; few distinct ones make ties. `withheld` > 0: from time to time a private chain of up
    to that many blocks grows on an old block and is shown at once. `bands` > 0 gives lanes: slots rise from parent to
    child, and with few bands parallel blocks often share a lane (double proposals).
    """
    genesis = DagBlock(rng.randbytes(32), (), rng.choice(weights), lane_key(0, 0) if bands else None)
    made = [genesis]
    past = [0]
    slots = [0]

    def make(parents: list[int]) -> int:
        rng.shuffle(parents)
        parents = parents[:max_parents]
        bits = 0
        for parent in parents:
            bits |= past[parent] | 1 << parent
        slot = max(slots[parent] for parent in parents) + 1
        lane = lane_key(slot, rng.randrange(bands)) if bands else None
        ids = tuple(made[parent].id for parent in parents)
        made.append(DagBlock(rng.randbytes(32), ids, rng.choice(weights), lane))
        past.append(bits)
        slots.append(slot)
        return len(made) - 1

    while len(made) < blocks:
        if withheld and rng.random() < 0.08:
            tip = rng.randrange(max(0, len(made) - 3 * withheld), len(made))
            for _ in range(min(rng.randint(1, withheld), blocks - len(made))):
                tip = make([tip])
            continue
        horizon = max(1, len(made) - rng.randrange(width)) if width else len(made)
        visible = [
            position for position in range(horizon) if position >= horizon - 6 * width - 2 * withheld - 1
        ]
        missed = rng.random() * 0.3
        seen = [position for position in visible if rng.random() >= missed] or visible[-1:]
        make(antichain_of(seen, past))
    return DagCase(k, tuple(made))


def layered_dag(rng: Random, *, blocks: int, width: int, k: int, missed: float = 0.1) -> DagCase:
    """Rounds of `width` parallel blocks. A block misses each block of the round before with the given probability; what
    a whole round missed is a tip for the next one. The making costs the same per block at any age of the DAG."""
    made = [DagBlock(rng.randbytes(32), ())]
    tips = [made[0].id]
    while len(made) < blocks:
        fresh = []
        for _ in range(min(width, blocks - len(made))):
            parents = [tip for tip in tips if rng.random() >= missed] or tips[:1]
            fresh.append(DagBlock(rng.randbytes(32), tuple(parents)))
        made.extend(fresh)
        merged = {parent for block in fresh for parent in block.parents}
        tips = [tip for tip in tips if tip not in merged] + [block.id for block in fresh]
    return DagCase(k, tuple(made))


def pasts_of(case: DagCase) -> list[int]:
    """Bitset of each block's past, by position in the case."""
    position_of = {block.id: position for position, block in enumerate(case.blocks)}
    pasts: list[int] = []
    for block in case.blocks:
        past = 0
        for parent in block.parents:
            position = position_of[parent]
            past |= pasts[position] | 1 << position
        pasts.append(past)
    return pasts


def shuffled_arrival(rng: Random, case: DagCase) -> list[DagBlock]:
    """The blocks in another topological order, drawn at random."""
    waiting = {block.id: len(block.parents) for block in case.blocks}
    children: dict[bytes, list[DagBlock]] = {block.id: [] for block in case.blocks}
    for block in case.blocks:
        for parent in block.parents:
            children[parent].append(block)
    ready = [case.genesis]
    order = []
    while ready:
        position = rng.randrange(len(ready))
        ready[position], ready[-1] = ready[-1], ready[position]
        block = ready.pop()
        order.append(block)
        for child in children[block.id]:
            waiting[child.id] -= 1
            if not waiting[child.id]:
                ready.append(child)
    return order
