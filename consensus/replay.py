"""Replays a DAG file: colours every block and compares with the values that the file expects.

Pure over bytes; the formats, the bounds and a worked example are in README.md, Replay files. ORDER is that of the
public vectors, (blue work, the id's 32 bytes), and there are no lanes.
"""

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import hexdigits
from typing import Annotated, Final, TypeVar

import msgspec

from consensus.errors import ReplayFileMalformed
from consensus.ghostdag import Dag, GhostdagData, GhostdagRules, OrderKey, colour

MIB: Final = 1024 * 1024

DECOMPRESSED_LIMIT_BYTES: Final = 512 * MIB
"""Greatest size of the JSON text, whether it came compressed or not."""

MAX_BLOCKS: Final = 250_000
MAX_PARENTS: Final = 4_096
MAX_K: Final = 65_535
MAX_WORK: Final = 2**192 - 1
"""What a proof-of-work chain's difficulty fits in; sums stay in memory, so nothing narrower is needed."""

ID_BYTES: Final = 32
HEX_ID_LETTERS: Final = 64

_GZIP_MAGIC: Final = b"\x1f\x8b"
_GZIP_WINDOW_BITS: Final = 31

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=HEX_ID_LETTERS)]
Names = Annotated[list[Name], msgspec.Meta(max_length=MAX_BLOCKS)]
Parents = Annotated[list[Name], msgspec.Meta(max_length=MAX_PARENTS)]


class FileBlock(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="pascal"):
    """A block of an object file; the expectations are optional, one by one."""

    id: Name = msgspec.field(name="ID")
    parents: Parents
    work: int = 1
    expected_score: int | None = None
    expected_blue_work: int | None = None
    expected_selected_parent: Name | None = None
    expected_blues: Names | None = None
    expected_reds: Names | None = None


class DagFile(msgspec.Struct, frozen=True, rename="pascal"):
    """An object file. Other fields (notes, totals) are ignored."""

    genesis_id: Name = msgspec.field(name="GenesisID")
    blocks: Annotated[list[FileBlock], msgspec.Meta(max_length=MAX_BLOCKS)]
    k: int | None = None
    genesis_work: int = 1


class TopologyBlock(msgspec.Struct, frozen=True):
    """A block of an array file, which has edges only."""

    id: Name | int
    parents: Annotated[list[Name | int], msgspec.Meta(max_length=MAX_PARENTS)] | None = None


T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One value that differs from the file's."""

    block: str
    """The block's name in the file."""
    field: str
    """`score`, `blue work`, `selected parent`, `blues` or `reds`."""
    found: str
    expected: str


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What a replay found."""

    k: int
    blocks: int
    """Coloured blocks; genesis is not one."""
    compared: int
    """Values that the file expects. 0: the file has edges only."""
    mismatches: tuple[Mismatch, ...]
    reds: int
    """Red places in all merge sets; a block can be red in several views."""
    largest_mergeset: int
    """Blocks in the largest merge set, its selected parent not counted."""
    tips: int
    sink: str
    """Name of the greatest tip by ORDER."""
    sink_blue_score: int
    sink_blue_work: int


def replay_dag(
    raw: bytes, k: int | None = None, *, limit_bytes: int = DECOMPRESSED_LIMIT_BYTES
) -> ReplayReport:
    """Colour the DAG in `raw` (JSON, plain or gzip) and compare.

    `k`: the rule's parameter; None takes the file's. With another k than the file's the expectations will differ.
    `limit_bytes` bounds the JSON text. Raises `ReplayFileMalformed`.
    """
    file = _parse(_plain_text(raw, limit_bytes))
    names, ids = _name_blocks(file)
    chosen = _chosen_k(file.k if k is None else k)
    genesis = ids[file.genesis_id]
    works = {ids[block.id]: _checked_work(block.id, block.work) for block in file.blocks}
    works[genesis] = _checked_work(file.genesis_id, file.genesis_work)
    dag = Dag(GhostdagRules(chosen, _by_blue_work, works.__getitem__, _no_lane))
    dag.add_genesis(genesis)
    sink, sink_key = genesis, dag.order_key(genesis)
    mismatches: list[Mismatch] = []
    compared = reds = largest = 0
    for block in file.blocks:
        block_id = ids[block.id]
        parents = _parents_of(block, ids, dag)
        data = colour(dag, parents)
        dag.add(block_id, parents, data)
        key = dag.order_key(block_id)
        if key > sink_key:
            sink, sink_key = block_id, key
            dag.reachability.advance_root(sink)
        reds += len(data.mergeset_reds)
        largest = max(largest, len(data.mergeset) - 1)
        for field, found, expected in _comparisons(block, data, names):
            compared += 1
            if found != expected:
                mismatches.append(Mismatch(block.id, field, str(found), str(expected)))
    return ReplayReport(
        k=chosen,
        blocks=len(file.blocks),
        compared=compared,
        mismatches=tuple(mismatches),
        reds=reds,
        largest_mergeset=largest,
        tips=len(dag.relations.tips()),
        sink=names[sink],
        sink_blue_score=dag.data.get(sink).blue_score,
        sink_blue_work=dag.data.get(sink).blue_work,
    )


def id_of(name: str) -> bytes:
    """The 32 bytes that a name stands for: its 64 hex digits, else its UTF-8 bytes and zeros on the right.

    Raises `ReplayFileMalformed`.
    """
    if len(name) == HEX_ID_LETTERS and all(letter in hexdigits for letter in name):
        return bytes.fromhex(name)
    try:
        raw = name.encode()
    except UnicodeEncodeError:
        raise ReplayFileMalformed(f"id {name!r} has no UTF-8 form") from None
    if not raw or len(raw) > ID_BYTES:
        raise ReplayFileMalformed(
            f"id {name!r} has {len(raw)} bytes, expected 64 hex digits or 1 to {ID_BYTES} bytes"
        )
    return raw.ljust(ID_BYTES, b"\0")


def _plain_text(raw: bytes, limit_bytes: int) -> bytes:
    """The JSON text, never more than `limit_bytes` of it in memory."""
    if not raw.startswith(_GZIP_MAGIC):
        if len(raw) > limit_bytes:
            raise ReplayFileMalformed(f"{len(raw)} bytes of text, at most {limit_bytes} are read")
        return raw
    parts = []
    room = limit_bytes
    while raw:
        reader = zlib.decompressobj(_GZIP_WINDOW_BITS)
        try:
            part = reader.decompress(raw, room + 1)
        except zlib.error as error:
            raise ReplayFileMalformed(f"gzip: {error}") from None
        room -= len(part)
        if room < 0:
            raise ReplayFileMalformed(f"it decompresses to more than {limit_bytes} bytes")
        if not reader.eof:
            raise ReplayFileMalformed("gzip: the file ends in the middle")
        parts.append(part)
        raw = reader.unused_data
    return b"".join(parts)


def _parse(text: bytes) -> DagFile:
    """The file in the form of an object file, whichever it is."""
    if text.lstrip()[:1] != b"[":
        return _decode(text, DagFile)
    topology = _decode(text, list[TopologyBlock])
    if not 1 <= len(topology) <= MAX_BLOCKS + 1:
        raise ReplayFileMalformed(f"{len(topology)} blocks, expected 1 to {MAX_BLOCKS + 1} with genesis")
    first, *others = topology
    if first.parents:
        raise ReplayFileMalformed(f"the first block, {first.id}, has parents; genesis comes first")
    blocks = [
        FileBlock(id=_name_of(block.id), parents=[_name_of(parent) for parent in block.parents or ()])
        for block in others
    ]
    return DagFile(genesis_id=_name_of(first.id), blocks=blocks)


def _decode(text: bytes, form: type[T]) -> T:
    try:
        return msgspec.json.decode(text, type=form)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ReplayFileMalformed(str(error)) from None


def _name_of(identifier: str | int) -> str:
    """Integer ids are their decimal digits."""
    if isinstance(identifier, int) and not 0 <= identifier < 10**ID_BYTES:
        raise ReplayFileMalformed(f"an integer id is negative or has more than {ID_BYTES} digits")
    return str(identifier)


def _name_blocks(file: DagFile) -> tuple[dict[bytes, str], dict[str, bytes]]:
    """id -> name and name -> id of all blocks; no two may share an id."""
    names: dict[bytes, str] = {}
    ids: dict[str, bytes] = {}
    for name in (file.genesis_id, *(block.id for block in file.blocks)):
        block_id = id_of(name)
        if block_id in names:
            raise ReplayFileMalformed(f"block {name} stands for the same id as an earlier block")
        names[block_id] = name
        ids[name] = block_id
    return names, ids


def _chosen_k(k: int | None) -> int:
    if k is None:
        raise ReplayFileMalformed("it does not say k; give it with --k")
    if not 0 <= k <= MAX_K:
        raise ReplayFileMalformed(f"k is {k}, expected 0 to {MAX_K}")
    return k


def _checked_work(name: str, work: int) -> int:
    """At least 1, or ORDER would not place a block above its ancestors."""
    if not 1 <= work <= MAX_WORK:
        raise ReplayFileMalformed(f"work of block {name} is outside 1 to 2^192 - 1")
    return work


def _parents_of(block: FileBlock, ids: Mapping[str, bytes], dag: Dag) -> tuple[bytes, ...]:
    """The parents' ids: one or more, distinct, and all of earlier blocks."""
    if not block.parents:
        raise ReplayFileMalformed(f"block {block.id} has no parents; only genesis has none")
    parents = tuple(ids.get(name) or id_of(name) for name in block.parents)
    for name, parent in zip(block.parents, parents, strict=True):
        if not dag.has(parent):
            raise ReplayFileMalformed(f"block {block.id} names parent {name}, which is no earlier block")
    if len(set(parents)) != len(parents):
        raise ReplayFileMalformed(f"block {block.id} names a parent twice")
    return parents


def _comparisons(
    block: FileBlock, data: GhostdagData, names: Mapping[bytes, str]
) -> Iterator[tuple[str, object, object]]:
    """(field, found, expected) for each expectation of the block, ids as names."""
    if block.expected_score is not None:
        yield "score", data.blue_score, block.expected_score
    if block.expected_blue_work is not None:
        yield "blue work", data.blue_work, block.expected_blue_work
    if block.expected_selected_parent is not None:
        expected = names.get(id_of(block.expected_selected_parent), block.expected_selected_parent)
        yield "selected parent", names[data.selected_parent], expected
    for field, found, wanted in (
        ("blues", data.mergeset_blues, block.expected_blues),
        ("reds", data.mergeset_reds, block.expected_reds),
    ):
        if wanted is not None:
            known = [names.get(id_of(name), name) for name in wanted]
            yield field, " ".join(names[item] for item in found), " ".join(known)


def _by_blue_work(block: bytes, data: GhostdagData) -> OrderKey:
    return data.blue_work, block


def _no_lane(block: bytes) -> bytes | None:
    return None
