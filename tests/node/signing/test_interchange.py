"""EIP-3076 files: what a key signed elsewhere forbids here, and nothing that was forbidden is allowed by a file."""

import itertools
import json
import random
from typing import Any

import pytest
from builders.signing import CHAIN, OTHER_CHAIN, block_core, vote_from
from builders.wallets import key_number

from ledger.storage.memory import MemoryStore
from node.signing.errors import AlreadySigned, AlreadyVoted, SurroundRefused
from node.signing.interchange import (
    InterchangeMalformed,
    InterchangeOfAnotherChain,
    InterchangeVersionUnknown,
    export_interchange,
    import_interchange,
    read_interchange,
)
from node.signing.local_signer import LocalSigner
from node.signing.protection import KeyHistory, LastBlock, LastVote, SigningProtection

KEY, OTHER = key_number(1), key_number(2)
ROOT, OTHER_ROOT = "0x" + "0b" * 32, "0x" + "0c" * 32


def empty() -> SigningProtection:
    return SigningProtection(MemoryStore(), CHAIN)


def used() -> SigningProtection:
    """Two keys have signed."""
    protection = empty()
    signer = LocalSigner([KEY, OTHER], protection)
    signer.sign_block(KEY.public_key, block_core(7))
    signer.sign_vote(KEY.public_key, vote_from(2, 3))
    signer.sign_block(OTHER.public_key, block_core(9))
    return protection


def document(
    blocks: list[dict[str, str]] | None = None, votes: list[dict[str, str]] | None = None, **changes: Any
) -> bytes:
    """An interchange file of one key."""
    entry = {
        "pubkey": "0x" + KEY.public_key.hex(),
        "signed_blocks": blocks or [],
        "signed_attestations": votes or [],
    }
    metadata = {"interchange_format_version": "5", "genesis_validators_root": "0x" + CHAIN.hex()}
    return json.dumps({"metadata": metadata, "data": [entry]} | changes).encode()


def test_an_exported_file_is_the_formats_json() -> None:
    found = json.loads(export_interchange(used()))
    assert found["metadata"] == {
        "interchange_format_version": "5",
        "genesis_validators_root": "0x" + CHAIN.hex(),
    }
    entry = next(one for one in found["data"] if one["pubkey"] == "0x" + KEY.public_key.hex())
    assert set(entry) == {"pubkey", "signed_blocks", "signed_attestations"}
    (block,), (vote,) = entry["signed_blocks"], entry["signed_attestations"]
    assert block["slot"] == "7" and len(block["signing_root"]) == 66
    assert (vote["source_epoch"], vote["target_epoch"]) == ("2", "3")


def test_export_import_export_gives_the_same_bytes() -> None:
    first = export_interchange(used())
    second = empty()
    assert import_interchange(second, first) == (2, 2)
    assert export_interchange(second) == first
    assert import_interchange(second, first) == (2, 0)
    assert export_interchange(second) == first


def test_what_was_signed_there_is_not_signed_against_here() -> None:
    protection = empty()
    import_interchange(protection, export_interchange(used()))
    signer = LocalSigner([KEY], protection)
    with pytest.raises(AlreadySigned):
        signer.sign_block(KEY.public_key, block_core(7, 1))
    with pytest.raises(AlreadyVoted):
        signer.sign_vote(KEY.public_key, vote_from(2, 3, 1))
    with pytest.raises(SurroundRefused):
        signer.sign_vote(KEY.public_key, vote_from(1, 4))
    again = signer.sign_block(KEY.public_key, block_core(7))
    assert again.signature == LocalSigner([KEY], empty()).sign_block(KEY.public_key, block_core(7)).signature


def test_of_a_complete_history_the_greatest_slot_source_and_target_count() -> None:
    protection = empty()
    blocks = [{"slot": "4"}, {"slot": "243", "signing_root": ROOT}, {"slot": "98"}]
    votes = [
        {"source_epoch": "2", "target_epoch": "9", "signing_root": OTHER_ROOT},
        {"source_epoch": "5", "target_epoch": "6", "signing_root": ROOT},
        {"source_epoch": "0", "target_epoch": "1"},
    ]
    import_interchange(protection, document(blocks, votes))
    assert protection.history(KEY.public_key) == KeyHistory(
        KEY.public_key, LastBlock(243, bytes.fromhex(ROOT[2:])), LastVote(5, 9)
    )


def test_an_import_never_lowers_what_is_there() -> None:
    protection = empty()
    import_interchange(protection, document([{"slot": "351"}], [{"source_epoch": "8", "target_epoch": "9"}]))
    import_interchange(protection, document([{"slot": "243"}], [{"source_epoch": "2", "target_epoch": "30"}]))
    import_interchange(protection, document())
    assert protection.history(KEY.public_key) == KeyHistory(KEY.public_key, LastBlock(351), LastVote(8, 30))


@pytest.mark.parametrize("second", [{"signing_root": OTHER_ROOT}, {}])
def test_two_messages_of_one_slot_or_target_close_it(second: dict[str, str]) -> None:
    protection = empty()
    block, vote = {"slot": "5"}, {"source_epoch": "2", "target_epoch": "5"}
    root = {"signing_root": ROOT}
    import_interchange(protection, document([block | root, block | second], [vote | root, vote | second]))
    assert protection.history(KEY.public_key) == KeyHistory(KEY.public_key, LastBlock(5), LastVote(2, 5))


def test_the_same_message_twice_is_one_message() -> None:
    protection = empty()
    block = {"slot": "5", "signing_root": ROOT}
    vote = {"source_epoch": "2", "target_epoch": "5", "signing_root": ROOT}
    import_interchange(protection, document([block, block], [vote, vote]))
    root = bytes.fromhex(ROOT[2:])
    assert protection.history(KEY.public_key) == KeyHistory(
        KEY.public_key, LastBlock(5, root), LastVote(2, 5, root)
    )


def test_a_zero_root_is_no_root() -> None:
    protection = empty()
    import_interchange(protection, document([{"slot": "5", "signing_root": "0x" + "00" * 32}]))
    assert protection.last_block(KEY.public_key) == LastBlock(5)


def test_a_key_that_comes_twice_is_one_key_and_unknown_fields_are_passed_over() -> None:
    content = json.loads(document([{"slot": "5"}]))
    content["data"].append(
        {
            "pubkey": content["data"][0]["pubkey"].upper().replace("0X", "0x"),
            "signed_blocks": [{"slot": "8", "more": 1}],
            "signed_attestations": [],
        }
    )
    content["comment"] = "from elsewhere"
    protection = empty()
    assert import_interchange(protection, json.dumps(content).encode()) == (1, 1)
    assert protection.last_block(KEY.public_key) == LastBlock(8)


@pytest.mark.parametrize("seed", range(40))
def test_the_order_of_messages_and_files_makes_no_difference(seed: int) -> None:
    chance = random.Random(seed)
    roots = ({}, {"signing_root": ROOT}, {"signing_root": OTHER_ROOT})
    blocks = [{"slot": str(chance.randint(1, 3))} | chance.choice(roots) for _ in range(3)]
    votes = [
        {"source_epoch": str(chance.randint(0, 2)), "target_epoch": str(chance.randint(3, 4))}
        | chance.choice(roots)
        for _ in range(3)
    ]
    found = set()
    for order in itertools.permutations(range(3)):
        whole, pieces = empty(), empty()
        import_interchange(whole, document([blocks[n] for n in order], [votes[n] for n in order]))
        for n in order:
            import_interchange(pieces, document([blocks[n]], [votes[n]]))
        found |= {whole.history(KEY.public_key), pieces.history(KEY.public_key)}
    assert len(found) == 1
    (history,) = found
    assert history.block is not None and history.vote is not None
    assert history.block.slot == max(int(one["slot"]) for one in blocks)
    assert history.vote.source_period == max(int(one["source_epoch"]) for one in votes)
    assert history.vote.target_period == max(int(one["target_epoch"]) for one in votes)
    last = [one for one in blocks if int(one["slot"]) == history.block.slot]
    if any(one != last[0] for one in last):
        assert history.block.signing_root is None


def test_the_history_of_another_chain_is_refused_whole() -> None:
    protection = empty()
    metadata = {"interchange_format_version": "5", "genesis_validators_root": "0x" + OTHER_CHAIN.hex()}
    with pytest.raises(InterchangeOfAnotherChain, match=CHAIN.hex()):
        import_interchange(protection, document([{"slot": "5"}], metadata=metadata))
    assert list(protection.histories()) == []


@pytest.mark.parametrize("version", ["4", "6", "05", ""])
def test_another_version_is_refused(version: str) -> None:
    metadata = {"interchange_format_version": version}
    with pytest.raises(InterchangeVersionUnknown):
        read_interchange(document(metadata=metadata), CHAIN)


PUBKEY = "0x" + KEY.public_key.hex()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b"{}",
        b"\xff",
        b"1e999",
        b"[" * 100_000,
        document(metadata={}),
        document(metadata=None),
        document(metadata={"interchange_format_version": 5, "genesis_validators_root": "0x" + CHAIN.hex()}),
        document(metadata={"interchange_format_version": "5", "genesis_validators_root": CHAIN.hex()}),
        document(data={}),
        document(data=[{"pubkey": PUBKEY}]),
        document(data=[{"pubkey": PUBKEY[:-2], "signed_blocks": [], "signed_attestations": []}]),
        document([{"slot": 5}]),  # type: ignore[dict-item]
        document([{"slot": "-5"}]),
        document([{"slot": "05"}]),
        document([{"slot": "5 "}]),
        document([{"slot": str(2**63)}]),
        document([{"slot": "9" * 30}]),
        document([{"slot": "５"}]),
        document([{"slot": "5", "signing_root": "0x00"}]),
        document([{"signing_root": ROOT}]),
        document(votes=[{"source_epoch": "1"}]),
        document(votes=[{"source_epoch": "1", "target_epoch": "x"}]),
        document([{"slot": "5"}]).replace(b'"signed_blocks"', b'"signed_blocks": [], "signed_blocks"'),
    ],
)
def test_what_is_no_interchange_is_refused_whole(content: bytes) -> None:
    protection = empty()
    with pytest.raises(InterchangeMalformed):
        import_interchange(protection, content)
    assert list(protection.histories()) == []


def test_one_bad_entry_keeps_the_good_ones_out() -> None:
    protection = empty()
    with pytest.raises(InterchangeMalformed):
        import_interchange(protection, document([{"slot": "5"}, {"slot": "x"}]))
    assert list(protection.histories()) == []
