"""Custody, quotas and bundle files."""

from random import Random

import pytest
from builders.mesh import GENESIS, HOUR_MS, READER, START_MS, MeshNode, envelope, identity, line

from wnsp.mesh.bundle_files import MAX_FILE_BYTES, decode_file, encode_file
from wnsp.mesh.custody import MemoryCustody
from wnsp.mesh.errors import BundleFileMalformed, CustodyFull, QuotaExceeded
from wnsp.mesh.events import CustodyFreed, CustodyTaken, Delivered, Receipted, Refused
from wnsp.mesh.holdings import Held, Holdings, link_key
from wnsp.mesh.limits import Limits
from wnsp.mesh.quotas import charged_bytes

ALICE = identity("alice")


def held(raw: bytes, neighbour: str) -> Held:
    """The bundle as it comes from a neighbour, or as our own (empty name)."""
    link = link_key(neighbour) if neighbour else b""
    return Held(READER.read(raw), len(raw), link, 15, 1, inbox=False, carrying=True, arrived_ms=START_MS)


def bundle(
    number: int, recipient: str = "bob", payload_bytes: int = 100, lifetime_ms: int = HOUR_MS
) -> bytes:
    """An envelope of its own."""
    payload = Random(number).randbytes(payload_bytes)
    return envelope(ALICE, identity(recipient).hash, payload, lifetime_ms=lifetime_ms)


def test_a_full_store_refuses_and_stays_as_it_was() -> None:
    store = MemoryCustody(10)
    store.put(b"a", b"12345")
    with pytest.raises(CustodyFull):
        store.write(((b"b", b"1"), (b"c", b"123")))
    assert list(store.iterate(b"")) == [(b"a", b"12345")] and store.used_bytes == 6
    store.write(((b"b", b"1"), (b"c", b"123")), (b"a",))
    assert [key for key, _ in store.iterate(b"")] == [b"b", b"c"] and store.used_bytes == 6


def test_M4_one_neighbour_cannot_fill_the_store() -> None:
    limits = Limits(neighbour_bytes=5 * charged_bytes(len(bundle(0))))
    holdings = Holdings(MemoryCustody(1 << 20), limits)
    for number in range(5):
        holdings.admit(held(bundle(number), "eve"), bundle(number), START_MS)
    with pytest.raises(QuotaExceeded, match="this neighbour"):
        holdings.admit(held(bundle(5), "eve"), bundle(5), START_MS)
    holdings.admit(held(bundle(5), "carol"), bundle(5), START_MS)
    assert len(holdings) == 6


def test_M4_one_destination_has_256_bundles_at_most() -> None:
    holdings = Holdings(MemoryCustody(1 << 22), Limits())
    for number in range(256):
        holdings.admit(held(bundle(number), "eve"), bundle(number), START_MS)
    with pytest.raises(QuotaExceeded, match="destination: 257"):
        holdings.admit(held(bundle(256), "carol"), bundle(256), START_MS)
    holdings.admit(held(bundle(257, "dave"), "carol"), bundle(257, "dave"), START_MS)


def test_M4_the_link_that_takes_most_loses_what_expires_first() -> None:
    size = charged_bytes(len(bundle(0)))
    limits = Limits(custody_bytes=10 * size, own_reserve_percent=0)
    holdings = Holdings(MemoryCustody(1 << 20), limits)
    hours = (9, 2, 5, 7, 3, 4, 6, 8, 9, 9)
    for number, lifetime in enumerate(hours):
        raw = bundle(number, lifetime_ms=lifetime * HOUR_MS)
        holdings.admit(held(raw, "eve"), raw, START_MS)
    raw = bundle(10)
    evicted = holdings.admit(held(raw, "carol"), raw, START_MS)
    assert [victim.facts.expires_ms for victim in evicted] == [START_MS + 2 * HOUR_MS]
    raw = bundle(11)
    with pytest.raises(QuotaExceeded):
        holdings.admit(held(raw, "eve"), raw, START_MS)


def test_M4_a_tenth_is_kept_for_own_messages_which_may_displace_others() -> None:
    size = charged_bytes(len(bundle(0)))
    holdings = Holdings(MemoryCustody(1 << 20), Limits(custody_bytes=20 * size))
    for number in range(18):
        holdings.admit(held(bundle(number), "eve"), bundle(number), START_MS)
    with pytest.raises(QuotaExceeded, match="relayed bytes"):
        holdings.admit(held(bundle(18), "eve"), bundle(18), START_MS)
    evicted = [holdings.admit(held(bundle(n), ""), bundle(n), START_MS) for n in range(20, 25)]
    assert [len(victims) for victims in evicted] == [0, 0, 1, 1, 1]
    assert holdings.usage.total_bytes == 20 * size


def test_M4_the_account_is_zero_again_when_everything_is_gone() -> None:
    store = MemoryCustody(1 << 20)
    holdings = Holdings(store, Limits())
    for number in range(20):
        raw = bundle(number, f"bob {number % 3}")
        holdings.admit(held(raw, f"eve {number % 4}"), raw, START_MS)
    reopened = Holdings(store, Limits())
    assert reopened.usage == holdings.usage
    assert len(reopened.expire(START_MS + HOUR_MS)) == 20
    assert reopened.usage.total_bytes == 0 and not reopened.usage.link_bytes
    assert not reopened.usage.destination_bundles and store.used_bytes == 0


def test_M4_what_a_neighbour_sends_beyond_its_quota_is_refused_and_shown() -> None:
    world = line("ab", Limits(neighbour_bytes=3_000))
    world.run(2_000)
    for number in range(6):
        raw = envelope(world.nodes["a"].identity, identity("elsewhere").hash, Random(number).randbytes(600))
        world.submit("a", raw)
    world.run(20_000)
    relay = world.nodes["b"]
    assert 0 < len(relay.all(CustodyTaken)) < 6
    assert {event.code for event in relay.all(Refused)} == {"QuotaExceeded"}
    assert relay.protocol.state.holdings.usage.relayed_bytes <= 3_000


def test_bundles_and_receipts_cross_a_gap_in_files() -> None:
    a, b = MeshNode("a"), MeshNode("b")
    raw = envelope(a.identity, b.address)
    a.protocol.submit(raw, START_MS)
    to_b = a.protocol.export_file(START_MS, MAX_FILE_BYTES)
    arrived = b.protocol.import_file(to_b, START_MS + 1_000)
    again = b.protocol.import_file(to_b, START_MS + 2_000)
    assert [event.envelope for event in arrived if isinstance(event, Delivered)] == [raw]
    assert not [event for event in again if isinstance(event, Delivered)]
    back = a.protocol.import_file(b.protocol.export_file(START_MS + 3_000, MAX_FILE_BYTES), START_MS + 4_000)
    assert [type(event) for event in back if not isinstance(event, Refused)][-2:] == [Receipted, CustodyFreed]
    assert len(a.protocol.state.holdings) == 0


def test_a_file_gives_keys_and_no_routes() -> None:
    a, b = MeshNode("a"), MeshNode("b")
    b.protocol.import_file(a.protocol.export_file(START_MS, MAX_FILE_BYTES), START_MS)
    routes = b.protocol.state.routes
    assert routes.get(a.address) is not None and routes.next_hops(a.address, START_MS) == ()


def test_every_changed_byte_of_a_file_is_found() -> None:
    data = encode_file(ALICE.hash, [b"one", b"three"], 1_000)
    for position in range(len(data)):
        changed = bytearray(data)
        changed[position] ^= 0x40
        with pytest.raises(BundleFileMalformed):
            decode_file(bytes(changed))
    for length in range(len(data)):
        with pytest.raises(BundleFileMalformed):
            decode_file(data[:length])


def test_a_file_keeps_to_its_bound() -> None:
    data = encode_file(ALICE.hash, [bytes(500), bytes(600), bytes(100)], 800)
    assert [len(datagram) for datagram in decode_file(data).datagrams] == [500, 100]
    with pytest.raises(BundleFileMalformed, match="at most"):
        decode_file(bytes(MAX_FILE_BYTES + 1))


def test_strangers_in_a_file_are_judged_like_strangers_on_the_air() -> None:
    node = MeshNode("b")
    foreign = b"\x4d\x15\x0f\x01" + b"no envelope"
    outputs = node.protocol.import_file(encode_file(ALICE.hash, [foreign, b"?"], 1_000), START_MS)
    assert [type(event) for event in outputs] == [Refused, Refused]
    assert GENESIS not in [key for key, _ in node.custody.iterate(b"b")]
