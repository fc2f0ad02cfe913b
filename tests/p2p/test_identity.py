"""Signatures of peer identities, and signed records exchanged by real hosts."""

import random
import time
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import trio
from builders.hosts import open_line, open_node
from libp2p.peer.id import ID

from p2p import streams
from p2p.address_book import AddressBook
from p2p.host import HostConfig
from p2p.identity import has_signed, key_pair_from_seed, peer_id_of, sign_as
from p2p.peer_exchange import ask_for_addresses, serve_peer_exchange
from p2p.peer_records import PeerRecord, is_genuine, signed_part
from p2p.peers import Fault
from p2p.yamux import MAX_INBOUND_STREAMS

KEYS = [key_pair_from_seed(bytes([number]) * 32) for number in (1, 2)]
PEERS = [peer_id_of(key_pair).to_base58() for key_pair in KEYS]


def test_N7_a_signature_holds_for_its_own_identity_and_data_only() -> None:
    signature = sign_as(KEYS[0], b"data")
    assert has_signed(PEERS[0], b"data", signature)
    assert not has_signed(PEERS[1], b"data", signature)
    assert not has_signed(PEERS[0], b"date", signature)
    for bit in range(0, 512, 7):
        damaged = bytearray(signature)
        damaged[bit // 8] ^= 1 << bit % 8
        assert not has_signed(PEERS[0], b"data", bytes(damaged))


@pytest.mark.parametrize(
    "peer",
    ["", "nonsense", "0OIl", "ü", "1", ID(b"\x12\x20" + bytes(32)).to_base58(), ID(b"\0\x03abc").to_base58()],
)
def test_N7_what_names_no_ed25519_key_has_signed_nothing(peer: str) -> None:
    assert not has_signed(peer, b"data", sign_as(KEYS[0], b"data"))


@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31), b"\xff" * 32])
def test_N7_a_small_order_or_impossible_key_has_signed_nothing(key: bytes) -> None:
    peer = ID(bytes.fromhex("002408011220") + key).to_base58()
    assert not has_signed(peer, b"data", b"\x01" + bytes(63))


@pytest.mark.parametrize("length", [0, 63, 65])
def test_a_signature_of_another_length_is_none(length: int) -> None:
    assert not has_signed(PEERS[0], b"data", bytes(length))


async def test_N7_real_hosts_tell_each_other_signed_records_and_refuse_forged_ones() -> None:
    faults: list[Fault] = []

    def report(_peer: str, fault: Fault) -> None:
        faults.append(fault)

    def clock() -> float:
        return time.time()

    async with open_line(2) as (teller, asker), open_node(3) as third:
        known = AddressBook(bytes(16))
        known.add(third.address, clock())
        known.succeeded(third.address, clock())
        issued_s = int(clock()) - 10
        record = PeerRecord(third.address, issued_s, third.network.sign(signed_part(third.address, issued_s)))
        assert is_genuine(asker.network, record)
        known.keep_record(record)
        await serve_peer_exchange(teller.network, known, report, rng=random.Random(1), clock=clock)
        learned = AddressBook(bytes(16))
        peer = asker.network.peers()[0]
        assert await ask_for_addresses(asker.network, learned, peer, report, now_s=clock()) == 2
        assert [entry.address for entry in learned.known()] == sorted([teller.address, third.address])
        assert faults == []
        known.keep_record(PeerRecord(record.address, issued_s + 5, record.signature))
        fresh = AddressBook(bytes(16))
        assert await ask_for_addresses(asker.network, fresh, peer, report, now_s=clock()) == 0
        assert faults == [Fault.INVALID]


def test_N4_deadlines_and_stream_limits_are_those_of_the_row() -> None:
    assert HostConfig(bytes(32)).handshake_timeout_s == 5.0
    assert streams.REQUEST_READ_S == 10.0
    assert MAX_INBOUND_STREAMS == 64


def test_pinned_versions_are_what_is_installed_and_what_everybody_installs() -> None:
    """libp2p below 0.8.1 reads without a limit (GHSA-xqvc-92cf-94j4); the simulation rests on switches of trio's."""
    root = Path(__file__).parents[2]
    lock = (root / "requirements.lock").read_text()
    declared = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    for name, pinned in (("libp2p", "0.8.1"), ("trio", "0.35.0")):
        assert f"{name}=={pinned}" in declared
        assert f"\n{name}=={pinned} " in "\n" + lock
        assert version(name) == pinned
    assert tuple(map(int, version("libp2p").split("."))) >= (0, 8, 1)
    assert trio.__version__ == "0.35.0"
