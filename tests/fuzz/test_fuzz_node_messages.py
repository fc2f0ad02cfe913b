"""Mutated input for the decoders of node and p2p, and for the genesis text (reliability.md C1, C6, C11).

NEXUS_FUZZ_INPUTS sets the number of inputs per test (default 2,000), NEXUS_FUZZ_SEED the seed.
"""

import gc
import json
import os
from collections.abc import Callable, Iterator
from hashlib import sha256
from time import process_time
from typing import Any

import msgspec
import pytest
from builders.ledger import devnet_genesis, transfer
from builders.spellings import respellings
from fuzz.mutators import mutants
from fuzz.tree_mutators import json_mutants, messagepack_mutants

from consensus.blocks import encode_block, encode_header, genesis_block
from consensus.params import params_from_genesis
from ledger.addresses import address_of, encode_address
from ledger.encoding import Codec
from ledger.errors import CodecError, GenesisInvalid
from ledger.genesis import chain_rules, genesis_hash, genesis_state
from ledger.genesis_text import genesis_from_json, genesis_to_json
from node.flows import wire
from node.rpc import economy_schema, protocol, schema
from node.rpc.protocol import RpcError, error_reply, parse_body, parse_call, to_body
from node.rpc.schema import Params, parse_params
from p2p import peer_exchange
from p2p.address_book import AddressBook
from p2p.addresses import parse_address
from p2p.errors import AddressBookMalformed, AddressMalformed
from p2p.identity import has_signed
from p2p.peer_records import PeerRecord

INPUTS = int(os.environ.get("NEXUS_FUZZ_INPUTS", "2000"))
SEED = int(os.environ.get("NEXUS_FUZZ_SEED", "1"))
LONGEST_S = 0.05
"""Of CPU, for one input that comes from outside."""

GENESIS, _, KEYS = devnet_genesis(validators=3, accounts=3)
RULES = chain_rules(GENESIS)
TRANSFERS = tuple(
    transfer(key, RULES, nonce, address_of(KEYS[0].public_key), 1).raw for nonce, key in enumerate(KEYS)
)
GENESIS_BLOCK = genesis_block(GENESIS, bytes(32))
RAW_BLOCK = encode_block(GENESIS_BLOCK)


def ids(count: int) -> tuple[bytes, ...]:
    """Block ids that look like real ones."""
    return tuple(sha256(bytes([number])).digest() for number in range(count))


def judge(inputs: Iterator[bytes], accepts: Callable[[bytes], bool], longest_s: float = LONGEST_S) -> None:
    """Give all inputs to `accepts`, which lets out what it does not expect; hold the time and that both ways occur."""
    slowest, accepted = 0.0, 0
    gc.freeze()  # what the other tests have left in memory is no input's fault
    for raw in inputs:
        began = process_time()
        accepted += accepts(raw)
        slowest = max(slowest, process_time() - began)
    gc.unfreeze()
    assert accepted, "no mutant passed the form: the mutators only make noise"
    assert accepted < INPUTS, "nothing was refused: the mutators do nothing"
    assert slowest < longest_s, f"one input took {slowest:.3f} s of CPU"


# the wire

HEADER_ENTRY = wire.HeaderEntry(encode_header(GENESIS_BLOCK.header), b"\x90")
COMPACT = wire.CompactBlock(encode_header(GENESIS_BLOCK.header), b"\x90", ids(3))
MARK = wire.AntipastMark(2**20, ids(1)[0])

WIRE: list[Any] = [
    pytest.param(
        wire.STATUS_CODEC,
        [
            wire.Status(wire.WIRE_VERSION, genesis_hash(GENESIS), "devnet-1", slot, slot * 6, ids(1)[0])
            for slot in (0, 1, 300, 2**40)
        ],
        id="status",
    ),
    pytest.param(
        wire.BLOCKS_REQUEST_CODEC,
        [wire.BlocksRequest(ids(count)) for count in (1, 3, 20)],
        id="blocks request",
    ),
    pytest.param(
        wire.BLOCKS_REPLY_CODEC,
        [
            wire.BlocksReply((), 0),
            wire.BlocksReply((RAW_BLOCK,), 1),
            wire.BlocksReply((RAW_BLOCK, b"", RAW_BLOCK * 2), 512),
        ],
        id="blocks reply",
    ),
    pytest.param(
        wire.SYNC_REQUEST_CODEC,
        [
            wire.SyncRequest(ids(1), 1, ()),
            wire.SyncRequest(ids(9), 512, (MARK,)),
            wire.SyncRequest(ids(20), wire.MAX_PLAN_IDS, ()),
        ],
        id="sync request",
    ),
    pytest.param(
        wire.SYNC_REPLY_CODEC,
        [
            wire.SyncReply(ids(1)[0], (), True, ids(1)[0], (), 0),
            wire.SyncReply(ids(1)[0], ids(2), False, ids(2)[1], (MARK,), 200),
            wire.SyncReply(ids(1)[0], ids(30), True, ids(3)[2], (), 2**33),
        ],
        id="sync reply",
    ),
    pytest.param(
        wire.HEADERS_REPLY_CODEC,
        [
            wire.HeadersReply((), 0),
            wire.HeadersReply((HEADER_ENTRY,), 1),
            wire.HeadersReply((HEADER_ENTRY, wire.HeaderEntry(b"", b"")), 512),
        ],
        id="headers reply",
    ),
    pytest.param(
        wire.BODIES_REPLY_CODEC,
        [
            wire.BodiesReply((), 3),
            wire.BodiesReply((wire.BodyEntry(0, tuple(TRANSFERS)), wire.BodyEntry(511, ())), 512),
        ],
        id="bodies reply",
    ),
    pytest.param(
        wire.COMPACT_CODEC,
        [COMPACT, wire.CompactBlock(b"", b"", ids(20))],
        id="compact block",
    ),
    pytest.param(
        wire.BLOCK_TRANSACTIONS_REQUEST_CODEC,
        [
            wire.BlockTransactionsRequest(ids(1)[0], (0,)),
            wire.BlockTransactionsRequest(ids(1)[0], (1, 127, 128, 4_095)),
        ],
        id="block transactions request",
    ),
    pytest.param(
        wire.BLOCK_TRANSACTIONS_REPLY_CODEC,
        [wire.BlockTransactionsReply(()), wire.BlockTransactionsReply(tuple(TRANSFERS))],
        id="block transactions reply",
    ),
    pytest.param(
        wire.TRANSACTIONS_CODEC,
        [TRANSFERS[:1], TRANSFERS, TRANSFERS * 5],
        id="transactions",
    ),
]


@pytest.mark.parametrize(("codec", "values"), WIRE)
@pytest.mark.parametrize("mutate", [mutants, messagepack_mutants], ids=["bytes", "tree"])
def test_C1_mutated_wire_messages_raise_codec_errors_only(
    codec: Codec[Any], values: list[Any], mutate: Callable[[int, list[bytes], int], Iterator[bytes]]
) -> None:
    corpus = [codec.encode(value) for value in values]

    def accepts(raw: bytes) -> bool:
        try:
            value = codec.decode(raw)
        except CodecError:
            return False
        assert codec.encode(value) == raw
        return True

    judge(mutate(SEED, corpus, INPUTS), accepts)


@pytest.mark.parametrize(("codec", "values"), WIRE)
def test_C6_longer_spellings_of_wire_messages_are_refused(codec: Codec[Any], values: list[Any]) -> None:
    refused = 0
    for value in values:
        for what, mutant in respellings(codec.encode(value)):
            with pytest.raises(CodecError):
                codec.decode(mutant)
            refused += 1
            assert what
    assert refused >= 10


def test_C1_mutated_block_messages_raise_codec_errors_only() -> None:
    corpus = [wire.block_message(RAW_BLOCK), wire.compact_message(COMPACT)]

    def accepts(raw: bytes) -> bool:
        try:
            message = wire.read_block_message(raw)
        except CodecError:
            return False
        again = wire.block_message(message) if isinstance(message, bytes) else wire.compact_message(message)
        assert again == raw
        return True

    judge(mutants(SEED, corpus, INPUTS), accepts)


# the RPC

RPC_PARAMS: list[tuple[type[Params], list[object]]] = [
    (
        schema.GetBlock,
        [{"id": "0a" * 32}, {"index": 7, "transactions": True, "receipts": False}, ["0a" * 32]],
    ),
    (schema.GetDag, [{"limit": 50}, {"limit": 1, "last_slot": 2**40}, [5, 1_000], {}]),
    (schema.GetAccount, [{"address": encode_address("dnxt", bytes(20))}, ["x"]]),
    (schema.Submit, [{"raw": TRANSFERS[0].hex()}, [TRANSFERS[1].hex()]]),
    (schema.SubmitBatch, [{"raw": [raw.hex() for raw in TRANSFERS]}, [["00"]]]),
    (schema.ById, [{"id": "ff" * 32}, ["00" * 32]]),
    (schema.GetValidator, [{"index": 3}, [2**32 - 1]]),
    (schema.GetSchedule, [{"first_slot": 9, "slots": 16, "validator": 1}, {}, [2**40, 512]]),
    (schema.GetStakes, [{"address": encode_address("dnxt", bytes(20)), "validator": 0}, ["x"]]),
    (schema.GetProofs, [{}, {"limit": 2}]),
    (schema.GetCertificates, [{"first_period": 1, "limit": 8}, [2**40]]),
    (economy_schema.ListTokens, [{}, {"limit": 3, "after": "0a" * 20}]),
    (economy_schema.GetToken, [{"id": "ff" * 20}]),
    (economy_schema.GetBalances, [{"address": "dnxt1x", "limit": 100, "after": "0a" * 20}]),
    (economy_schema.GetPools, [{}, {"limit": 1, "after": "dnxt1x"}]),
    (economy_schema.GetPool, [{"address": "dnxt1x"}, {"first": "NXT", "second": "0a" * 20}]),
    (
        economy_schema.GetQuote,
        [
            {"amount": "500", "path": ["NXT", "0a" * 20], "exact": "out", "slippage_ppm": 0},
            {"amount": 2**63 - 1, "sell": "0a" * 20, "buy": "NXT"},
        ],
    ),
    (economy_schema.GetPositions, [{"address": "dnxt1x", "limit": 2, "after": "dnxt1y"}]),
    (economy_schema.GetTwap, [{"address": "dnxt1x", "window_epochs": 7}, {"first": "NXT"}]),
    (
        economy_schema.GetMessagePrice,
        [{"size_bytes": 8_192, "region": "RED", "priority": "low"}, [1, "BLUE"]],
    ),
    (economy_schema.GetCitizen, [{"address": "dnxt1x"}]),
    (economy_schema.GetAttestation, [{"person": "0a" * 32}]),
    (economy_schema.ListProposals, [{}, {"limit": 5, "after": "12", "open": True}]),
    (economy_schema.GetProposal, [{"id": 7, "limit": 0}, {"id": "7", "after": "dnxt1x"}]),
    (economy_schema.GetParameters, [{}, {"subject": "dnxt1x"}]),
    (
        economy_schema.GetVoter,
        [{"address": "dnxt1x", "proposal": "3", "validators": [0, 2**32 - 1], "after": "dnxt1y"}],
    ),
    (Params, [{}, []]),
]


def test_every_schema_of_the_rpc_is_fuzzed() -> None:
    known = {kind for kind, _ in RPC_PARAMS}
    assert known == {Params, *Params.__subclasses__()}


def understood(number: int, read: Callable[..., Any], *arguments: object) -> list[Any]:
    """What `read` gives, in a list; an empty one when it refuses with that number, in a reply that can be sent."""
    try:
        return [read(*arguments)]
    except RpcError as error:
        refusal = error
    assert refusal.number == number
    assert len(to_body(error_reply(None, refusal))) < 2_000
    return []


@pytest.mark.parametrize(("kind", "examples"), RPC_PARAMS, ids=lambda part: getattr(part, "__name__", ""))
def test_C11_mutated_rpc_bodies_raise_rpc_errors_only(kind: type[Params], examples: list[object]) -> None:
    calls = [
        {"jsonrpc": "2.0", "id": call_id, "method": "chain_getBlock", "params": params}
        for call_id, params in zip(("a", 1, None, 2**53), examples, strict=False)
    ]
    corpus = [json.dumps(call).encode() for call in [*calls, calls]]

    def accepts(raw: bytes) -> bool:
        accepted = False
        for body in understood(protocol.PARSE_ERROR, parse_body, raw):
            for single in body if isinstance(body, list) else [body]:
                for call in understood(protocol.INVALID_REQUEST, parse_call, single):
                    for params in understood(protocol.INVALID_PARAMS, parse_params, kind, call.params):
                        assert parse_params(kind, msgspec.to_builtins(params)) == params
                        accepted = True
        return accepted

    judge(json_mutants(SEED, corpus, INPUTS), accepts)


@pytest.mark.parametrize("value", [b"1", b"[]", b"{}", b'""', b"[[[[[[[[]]]]]]]]"])
def test_C11_body_full_of_small_values_is_refused_in_time(value: bytes) -> None:
    count = (protocol.MAX_BODY_BYTES - 1) // (len(value) + 1)
    body = b"[" + b",".join([value] * count) + b"]"
    began = process_time()
    with pytest.raises(RpcError) as refusal:
        parse_body(body)
    assert process_time() - began < LONGEST_S
    assert (refusal.value.number, refusal.value.code) == (protocol.PARSE_ERROR, "TooManyValues")


# peers

PEER_ADDRESSES = (
    "/ip4/8.8.8.8/tcp/16110/p2p/12D3KooWAlpha",
    "/ip6/2001:db8::1/tcp/1/p2p/12D3KooWBeta",
    "/ip4/127.0.0.1/tcp/65535/p2p/12D3KooWGamma",
    "/dns4/node.example/tcp/16110/p2p/12D3KooWDelta",
    "/memory/epsilon/p2p/12D3KooWEpsilon",
)
SIGNED_S = 1_700_000_000
PEER_RECORDS = tuple(PeerRecord(address, SIGNED_S, bytes(64)) for address in PEER_ADDRESSES)


def knows_its_addresses(addresses: tuple[str, ...]) -> None:
    """Parse claims as the asker does: they are addresses, or `AddressMalformed`."""
    for address in addresses:
        try:
            parse_address(address)
        except AddressMalformed:
            continue


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(
            [
                peer_exchange.PeersRequest(2, limit, PEER_RECORDS[:count])
                for limit, count in ((1, 0), (32, 4))
            ],
            id="request",
        ),
        pytest.param(
            [peer_exchange.PeersReply(SIGNED_S, PEER_RECORDS[:count]) for count in (0, 1, len(PEER_RECORDS))],
            id="reply",
        ),
    ],
)
@pytest.mark.parametrize("mutate", [mutants, messagepack_mutants], ids=["bytes", "tree"])
def test_C1_mutated_peer_exchange_is_understood_or_none(
    values: list[Any], mutate: Callable[[int, list[bytes], int], Iterator[bytes]]
) -> None:
    kind = type(values[0])

    def accepts(raw: bytes) -> bool:
        message = peer_exchange._decode(raw, kind)
        if message is None:
            return False
        assert msgspec.msgpack.encode(message) == raw
        knows_its_addresses(tuple(record.address for record in message.records))
        for record in message.records:
            has_signed("12D3KooWAlpha", record.signature, record.signature)
        return True

    judge(mutate(SEED, [msgspec.msgpack.encode(value) for value in values], INPUTS), accepts)


def book_of(addresses: tuple[str, ...]) -> bytes:
    """A saved address book."""
    book = AddressBook(b"k" * 16)
    for number, address in enumerate(addresses):
        book.add(address, 1_000.0 + number)
        if number % 2:
            book.succeeded(address, 2_000.0)
        else:
            book.failed(address)
    book.set_anchors(addresses[:2])
    return book.to_bytes()


@pytest.mark.parametrize("mutate", [mutants, messagepack_mutants], ids=["bytes", "tree"])
def test_C1_mutated_address_books_raise_their_own_error_only(
    mutate: Callable[[int, list[bytes], int], Iterator[bytes]],
) -> None:
    corpus = [book_of(PEER_ADDRESSES[:count]) for count in (0, 1, len(PEER_ADDRESSES))]

    def accepts(raw: bytes) -> bool:
        try:
            book = AddressBook.from_bytes(raw)
        except AddressBookMalformed:
            return False
        again = AddressBook.from_bytes(book.to_bytes())
        assert (again.known(), again.anchors) == (book.known(), book.anchors)
        return True

    judge(mutate(SEED, corpus, INPUTS), accepts)


# genesis


def test_C11_mutated_genesis_texts_raise_genesis_errors_only() -> None:
    corpus = [genesis_to_json(GENESIS).encode(), genesis_to_json(devnet_genesis(1, 1, 50)[0]).encode()]

    def accepts(raw: bytes) -> bool:
        text = raw.decode("utf-8", "surrogateescape")
        try:
            genesis = genesis_from_json(text)
        except GenesisInvalid:
            return False
        assert genesis_from_json(genesis_to_json(genesis)) == genesis
        assert len(genesis_hash(genesis)) == 32
        assert genesis_state(genesis)
        try:
            params_from_genesis(genesis)
        except GenesisInvalid:
            return False
        return True

    # A file of the operator's own; a thousand addresses in it take 60 ms.
    judge(json_mutants(SEED, corpus, INPUTS), accepts, longest_s=1.0)


def test_tree_mutants_are_the_same_for_the_same_seed() -> None:
    corpus = [b'{"a": [1, "b", {"c": null}]}']
    assert list(json_mutants(7, corpus, 50)) == list(json_mutants(7, corpus, 50))
    packed = [wire.BLOCKS_REQUEST_CODEC.encode(wire.BlocksRequest(ids(2)))]
    assert list(messagepack_mutants(7, packed, 50)) == list(messagepack_mutants(7, packed, 50))
