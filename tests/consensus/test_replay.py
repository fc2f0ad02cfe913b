"""Replays of DAG files: the public vectors match, and a bad file is refused by name."""

import gzip
import json
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

import pytest
from builders.dag import colour_case, random_dag

from consensus.errors import ReplayFileMalformed
from consensus.replay import ID_BYTES, MAX_PARENTS, id_of, replay_dag

VECTORS = Path(__file__).parents[1] / "vectors" / "ghostdag"
FILES = sorted(VECTORS.glob("*.json.gz"))


def spelled(document: Any) -> bytes:
    return json.dumps(document).encode()


def two_parallel(**changes: Any) -> dict[str, Any]:
    """A file of four blocks with every expectation, right for k = 0."""
    blocks: list[dict[str, Any]] = [
        {"ID": "B", "Parents": ["A"], "ExpectedScore": 1, "ExpectedSelectedParent": "A"},
        {"ID": "C", "Parents": ["A"], "ExpectedBlues": ["A"], "ExpectedReds": []},
        {
            "ID": "D",
            "Parents": ["B", "C"],
            "ExpectedScore": 2,
            "ExpectedBlueWork": 2,
            "ExpectedSelectedParent": "C",
            "ExpectedBlues": ["C"],
            "ExpectedReds": ["B"],
        },
    ]
    return {"K": 0, "GenesisID": "A", "Blocks": blocks, **changes}


def with_block(**fields: Any) -> bytes:
    """The file with a fifth block."""
    document = two_parallel()
    document["Blocks"].append({"ID": "E", "Parents": ["D"], **fields})
    return spelled(document)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name.removesuffix(".json.gz"))
def test_the_public_vectors_match(path: Path) -> None:
    report = replay_dag(path.read_bytes())
    assert report.mismatches == ()
    assert report.compared == 5 * report.blocks
    assert report.blocks >= 399


def test_there_are_vectors() -> None:
    assert len(FILES) == 6


def test_a_plain_file_is_read_as_a_compressed_one() -> None:
    raw = spelled(two_parallel())
    assert replay_dag(raw) == replay_dag(gzip.compress(raw))
    assert replay_dag(raw).compared == 9


def test_gzip_members_are_read_one_after_the_other() -> None:
    raw = spelled(two_parallel())
    assert replay_dag(gzip.compress(raw[:50]) + gzip.compress(raw[50:])) == replay_dag(raw)


def test_the_report_counts_and_names_the_sink() -> None:
    report = replay_dag(spelled(two_parallel()))
    assert (report.k, report.blocks, report.reds, report.largest_mergeset, report.tips) == (0, 3, 1, 1, 1)
    assert (report.sink, report.sink_blue_score, report.sink_blue_work) == ("D", 2, 2)


def test_another_k_gives_other_colours_and_says_which() -> None:
    report = replay_dag(spelled(two_parallel()), 1)
    assert report.k == 1
    assert {(m.block, m.field, m.found, m.expected) for m in report.mismatches} == {
        ("D", "score", "3", "2"),
        ("D", "blue work", "3", "2"),
        ("D", "blues", "C B", "C"),
        ("D", "reds", "", "B"),
    }


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("ExpectedScore", 3, "score"),
        ("ExpectedBlueWork", 7, "blue work"),
        ("ExpectedSelectedParent", "B", "selected parent"),
        ("ExpectedBlues", ["C", "B"], "blues"),
        ("ExpectedReds", [], "reds"),
        ("ExpectedReds", ["nobody"], "reds"),
    ],
)
def test_one_wrong_expectation_is_one_mismatch(field: str, value: Any, named: str) -> None:
    document = two_parallel()
    document["Blocks"][2][field] = value
    assert [(m.block, m.field) for m in replay_dag(spelled(document)).mismatches] == [("D", named)]


def test_work_decides_the_selected_parent() -> None:
    document = two_parallel()
    document["Blocks"].insert(2, {"ID": "B2", "Parents": ["B"]})
    document["Blocks"][0]["Work"] = 2**190
    document["Blocks"][3] = {"ID": "D", "Parents": ["B2", "C"], "ExpectedSelectedParent": "B2"}
    report = replay_dag(spelled(document))
    assert report.mismatches == ()
    assert report.sink_blue_work == 1 + 2**190 + 1


def test_genesis_work_counts() -> None:
    assert replay_dag(spelled(two_parallel(GenesisWork=5))).sink_blue_work == 6


def test_unknown_fields_beside_the_blocks_are_ignored() -> None:
    assert replay_dag(spelled(two_parallel(Note="x", ExpectedReds=["B"]))).mismatches == ()


def test_an_id_is_64_hex_digits_or_padded_text() -> None:
    assert id_of("0a" * 32) == bytes([10]) * 32
    assert id_of("0A" * 32) == bytes([10]) * 32
    assert id_of("17") == b"17" + bytes(30)
    assert id_of("é" * 16) == "é".encode() * 16


@pytest.mark.parametrize("name", ["", "x" * 33, "g" * 64, "é" * 17, "\ud800", "0a " * 21 + "0"])
def test_a_name_that_fits_no_id_is_refused(name: str) -> None:
    with pytest.raises(ReplayFileMalformed):
        id_of(name)


# Edges only


def test_an_array_of_edges_is_read() -> None:
    raw = spelled(
        [{"id": 0}, {"id": 1, "parents": [0]}, {"id": "x", "parents": [0]}, {"id": 3, "parents": [1, "x"]}]
    )
    report = replay_dag(raw, 3)
    assert (report.k, report.blocks, report.compared, report.tips, report.sink) == (3, 3, 0, 1, "3")
    assert report.sink_blue_score == 3


def test_edges_without_k_ask_for_it() -> None:
    with pytest.raises(ReplayFileMalformed, match="--k"):
        replay_dag(spelled([{"id": 0, "parents": []}]))


def test_edges_of_a_random_dag_are_coloured_as_the_dag() -> None:
    case = random_dag(Random(6), blocks=200, width=6, k=3, withheld=10)
    raw = spelled([{"id": b.id.hex(), "parents": [p.hex() for p in b.parents]} for b in case.blocks])
    report = replay_dag(raw, case.k)
    dag = colour_case(case)
    assert report.reds == sum(len(dag.data.get(block.id).mergeset_reds) for block in case.blocks)
    assert bytes.fromhex(report.sink) == max(dag.relations.tips(), key=dag.order_key)
    assert report.tips == len(dag.relations.tips())


# What is refused

GOOD = spelled(two_parallel())

REFUSED: dict[str, bytes] = {
    "nothing": b"",
    "no JSON": b"DAG",
    "two values": GOOD + b"{}",
    "a number": b"17",
    "null": b"null",
    "an empty object": b"{}",
    "an empty array": b"[]",
    "not UTF-8": b'{"K": 0, "GenesisID": "\xff", "Blocks": []}',
    "deep nesting": b"[" * 100_000,
    "deep nesting in an ignored field": b'{"Note": ' + b"[" * 100_000,
    "no genesis": spelled({"K": 0, "Blocks": []}),
    "no blocks": spelled({"K": 0, "GenesisID": "A"}),
    "no k": spelled({"GenesisID": "A", "Blocks": []}),
    "negative k": spelled(two_parallel(K=-1)),
    "huge k": spelled(two_parallel(K=65_536)),
    "fractional k": spelled(two_parallel(K=1.5)),
    "k as text": spelled(two_parallel(K="1")),
    "k as a truth value": spelled(two_parallel(K=True)),
    "k of 5,000 digits": b'{"GenesisID": "A", "Blocks": [], "K": 1' + b"0" * 5_000 + b"}",
    "empty genesis name": spelled(two_parallel(GenesisID="")),
    "genesis without work": spelled(two_parallel(GenesisWork=0)),
    "no parents": with_block(Parents=[]),
    "parents null": with_block(Parents=None),
    "unknown parent": with_block(Parents=["Z"]),
    "itself as parent": with_block(Parents=["E"]),
    "parent twice": with_block(Parents=["D", "D"]),
    "too many parents": with_block(Parents=["D"] * (MAX_PARENTS + 1)),
    "id twice": with_block(ID="B"),
    "genesis again": with_block(ID="A"),
    "id in two spellings": with_block(ID=(b"B" + bytes(31)).hex()),
    "id too long": with_block(ID="x" * (ID_BYTES + 1)),
    "id of 65 letters": with_block(ID="0" * 65),
    "id as a number": with_block(ID=5),
    "work of nothing": with_block(Work=0),
    "negative work": with_block(Work=-1),
    "huge work": with_block(Work=2**192),
    "unknown field in a block": with_block(ExpectedBlue=["D"]),
    "score as text": with_block(ExpectedScore="4"),
    "a block as a list": spelled({"K": 0, "GenesisID": "A", "Blocks": [["B", ["A"]]]}),
    "edges with a block before its parent": spelled([{"id": 0}, {"id": 1, "parents": [2]}, {"id": 2, "parents": [0]}]),
    "edges whose first block has parents": spelled([{"id": 0, "parents": [1]}, {"id": 1}]),
    "edges with two roots": spelled([{"id": 0}, {"id": 1}]),
    "edges with a negative id": spelled([{"id": -1}]),
    "edges with an id of 33 digits": spelled([{"id": 10**32}]),
    "edges with one id as number and text": spelled([{"id": 0}, {"id": "0", "parents": [0]}]),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_malformed_file_is_refused(what: str) -> None:
    with pytest.raises(ReplayFileMalformed):
        replay_dag(REFUSED[what], 1 if what.startswith("edges") else None)


def test_a_gzip_bomb_is_refused_before_it_unfolds() -> None:
    bomb = gzip.compress(bytes(40_000_000))
    with pytest.raises(ReplayFileMalformed, match="more than 1000000 bytes"):
        replay_dag(bomb, limit_bytes=1_000_000)


def test_many_small_members_together_are_a_bomb_too() -> None:
    with pytest.raises(ReplayFileMalformed, match="more than 1000 bytes"):
        replay_dag(gzip.compress(b" " * 400) * 3, limit_bytes=1_000)


def test_a_plain_file_has_the_same_limit() -> None:
    assert replay_dag(GOOD, limit_bytes=len(GOOD)).blocks == 3
    with pytest.raises(ReplayFileMalformed, match="at most"):
        replay_dag(GOOD, limit_bytes=len(GOOD) - 1)


@pytest.mark.parametrize("cut", [1, 2, 9, 10, 30, -9, -8, -1])
def test_a_cut_gzip_file_is_refused(cut: int) -> None:
    with pytest.raises(ReplayFileMalformed):
        replay_dag(gzip.compress(GOOD)[:cut])


def test_a_changed_gzip_file_is_refused() -> None:
    raw = bytearray(gzip.compress(GOOD))
    raw[len(raw) // 2] ^= 1
    with pytest.raises(ReplayFileMalformed):
        replay_dag(bytes(raw))


@pytest.mark.parametrize("seed", range(200))
def test_random_damage_gives_a_report_or_the_named_error(seed: int) -> None:
    rng = Random(seed)
    raw = bytearray(GOOD)
    for _ in range(rng.randint(1, 6)):
        raw[rng.randrange(len(raw))] = rng.randrange(256)
    with suppress(ReplayFileMalformed):
        replay_dag(bytes(raw))
