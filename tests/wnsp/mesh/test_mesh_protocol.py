"""The protocol by the rows of the threat table, over links that the test makes."""

from random import Random

import pytest
from builders.mesh import (
    GENESIS,
    HOUR_MS,
    READER,
    START_MS,
    MeshNode,
    MeshWorld,
    envelope,
    identity,
    kind_of,
    line,
)

from wnsp.errors import MtuOutOfRange
from wnsp.mesh.announcements import sign_announcement
from wnsp.mesh.datagrams import (
    Answer,
    BundleDatagram,
    Hello,
    Offer,
    Prekey,
    ReceiptDatagram,
    Status,
    encode_datagram,
)
from wnsp.mesh.errors import AnnouncementRefused, ExpiryTooFar, QuotaExceeded, UnknownBundle
from wnsp.mesh.events import (
    CustodyFreed,
    CustodyTaken,
    Delivered,
    NeighbourLost,
    Receipted,
    Refused,
    Relayed,
    Resprayed,
    Transmit,
)
from wnsp.mesh.limits import BROADCAST_ADDRESS, GATEWAY_ADDRESS, HOP_LIMIT, MAX_LIFETIME_MS, Limits
from wnsp.mesh.receipts import sign_receipt
from wnsp.mesh.routes import RouteTable


def send(world: MeshWorld, source: str, target: str, payload: bytes = b"hello", **fields: int) -> bytes:
    """Submit an envelope; its id."""
    raw = envelope(
        world.nodes[source].identity,
        world.nodes[target].address,
        payload,
        created_ms=world.now_ms,
        **fields,
    )
    world.submit(source, raw)
    return READER.bundle_id(raw)


def bundles_sent(outputs: tuple[object, ...]) -> int:
    """Bundle datagrams among the outputs."""
    return sum(isinstance(o, Transmit) and kind_of(o.datagram) == "BUNDLE" for o in outputs)


def test_a_message_crosses_five_nodes_and_its_receipt_frees_all_custody() -> None:
    world = line("abcde")
    world.run(5_000)
    bundle_id = send(world, "a", "e")
    world.run(30_000)
    assert [event.bundle_id for event in world.nodes["e"].all(Delivered)] == [bundle_id]
    assert [event.recipient for event in world.nodes["a"].all(Receipted)] == [world.nodes["e"].address]
    world.nodes["e"].protocol.taken(bundle_id)
    assert [len(node.protocol.state.holdings) for node in world.nodes.values()] == [0] * 5


def test_a_message_waits_in_custody_for_a_link() -> None:
    world = MeshWorld([MeshNode(name) for name in "abc"], [("a", "b")])
    world.run(5_000)
    send(world, "a", "c")
    world.run(60_000)
    assert world.nodes["b"].all(CustodyTaken) and not world.nodes["c"].all(Delivered)
    world.unlink("a", "b")
    world.run(60_000)
    world.link("b", "c")
    world.run(60_000)
    assert len(world.nodes["c"].all(Delivered)) == 1


def test_a_direct_neighbour_gets_its_message_without_bothering_others() -> None:
    world = MeshWorld([MeshNode(name) for name in "abcd"], [("a", "b"), ("a", "c"), ("a", "d")])
    world.run(5_000)
    send(world, "a", "b")
    world.run(120_000)
    assert world.sent["BUNDLE"] == 1 and len(world.nodes["b"].all(Delivered)) == 1


def test_a_broadcast_reaches_everybody_once() -> None:
    world = line("abcd")
    world.run(5_000)
    world.submit("b", envelope(world.nodes["b"].identity, b""))
    world.run(30_000)
    assert [len(node.all(Delivered)) for node in world.nodes.values()] == [1, 0, 1, 1]
    assert world.sent["BUNDLE"] == 3


def test_M1_a_bundle_is_delivered_once_over_replays_and_restarts() -> None:
    world = line("ab")
    world.run(5_000)
    raw = envelope(world.nodes["a"].identity, world.nodes["b"].address)
    world.submit("a", raw)
    bob = world.nodes["b"]
    replay = encode_datagram(BundleDatagram(9, 1, raw))
    again = []
    for _ in range(3):
        bob.restart()
        assert [event.envelope for event in bob.protocol.inbox()] == [raw]
        again += bob.protocol.receive(replay, "x", world.now_ms)
    bob.protocol.taken(READER.bundle_id(raw))
    bob.restart()
    assert bob.protocol.inbox() == ()
    again += bob.protocol.receive(replay, "x", world.now_ms + HOUR_MS - 10_000)
    assert len(bob.all(Delivered)) == 1 and not [event for event in again if isinstance(event, Delivered)]


def test_M1_a_broadcast_that_was_taken_is_not_delivered_again_after_a_restart() -> None:
    bob = MeshNode("b")
    raw = envelope(identity("a"), b"")
    replay = encode_datagram(BundleDatagram(0, 1, raw))
    assert [event for event in bob.protocol.receive(replay, "a", START_MS) if isinstance(event, Delivered)]
    bob.protocol.taken(READER.bundle_id(raw))
    bob.protocol.release(READER.bundle_id(raw))
    bob.restart()
    again = bob.protocol.receive(replay, "a", START_MS + 1_000)
    assert not [event for event in again if isinstance(event, Delivered)]


def test_M1_an_id_is_remembered_until_expiry_and_skew_and_refused_by_expiry_after() -> None:
    alice, bob = MeshNode("a"), MeshNode("b")
    raw = envelope(alice.identity, bob.address, lifetime_ms=60_000)
    bundle_id = READER.bundle_id(raw)
    replay = encode_datagram(BundleDatagram(9, 1, raw))
    bob.protocol.receive(replay, "a", START_MS)
    bob.protocol.taken(bundle_id)
    bob.protocol.tick(START_MS + 60_000 + 599_000)
    assert bob.protocol.state.holdings.seen(bundle_id)
    bob.protocol.tick(START_MS + 60_000 + 620_000)
    assert not bob.protocol.state.holdings.seen(bundle_id)
    refused = bob.protocol.receive(replay, "a", START_MS + 60_000 + 620_000)
    assert [event.code for event in refused if isinstance(event, Refused)] == ["BundleExpired"]


def test_M1_a_full_memory_of_ids_refuses_rather_than_forgets() -> None:
    bob = MeshNode("b", Limits(seen=2))
    outcomes = []
    for number in range(3):
        raw = envelope(identity("a"), bob.address, bytes([number]))
        outcomes += bob.protocol.receive(encode_datagram(BundleDatagram(9, 1, raw)), "a", START_MS)
    assert [type(e) for e in outcomes if not isinstance(e, Transmit)] == [Delivered, Delivered, Refused]


def test_M2_sixteen_transmissions_are_the_most() -> None:
    names = "abcdefghijklmnopqr"
    world = line(names)
    world.run(5_000)
    send(world, "a", names[HOP_LIMIT])
    send(world, "a", names[HOP_LIMIT + 1])
    world.run(90_000)
    assert len(world.nodes[names[HOP_LIMIT]].all(Delivered)) == 1
    assert not world.nodes[names[HOP_LIMIT + 1]].all(Delivered)


def test_M2_a_signed_expiry_beyond_a_week_is_refused() -> None:
    alice = MeshNode("a")
    raw = envelope(alice.identity, identity("b").hash, lifetime_ms=MAX_LIFETIME_MS + 700_000)
    with pytest.raises(ExpiryTooFar):
        alice.protocol.submit(raw, START_MS)


def test_M3_a_swallowed_message_is_sprayed_again_by_its_source() -> None:
    nodes = [MeshNode(name) for name in "ahb"]
    world = MeshWorld(nodes, [("a", "h")])
    world.silenced = lambda source, datagram: source == "h" and kind_of(datagram) in ("OFFER", "RECEIPT")
    world.run(5_000)
    send(world, "a", "b")
    world.run(60_000)
    assert world.nodes["a"].all(Relayed)
    world.nodes["c"] = honest = MeshNode("c")
    world.linked["c"] = []
    world.link("a", "c")
    world.run(11 * 60_000)
    assert world.nodes["a"].all(Resprayed) and honest.all(CustodyTaken)
    world.link("c", "b")
    world.run(60_000)
    assert len(world.nodes["b"].all(Delivered)) == 1


def test_M3_a_receipt_that_the_recipient_did_not_sign_frees_nothing() -> None:
    world = line("ab")
    world.run(5_000)
    raw = envelope(world.nodes["a"].identity, identity("elsewhere").hash)
    world.submit("a", raw)
    facts = READER.read(raw)
    fake = sign_receipt(identity("eve"), GENESIS, facts.bundle_id, facts.sender, START_MS, facts.expires_ms)
    for name in "ab":
        world.act(
            name,
            world.nodes[name].protocol.receive(
                encode_datagram(ReceiptDatagram(1, fake)), "eve", world.now_ms
            ),
        )
    world.run(20_000)
    assert not world.nodes["a"].all(Receipted)
    assert [len(node.protocol.state.holdings) for node in world.nodes.values()] == [1, 1]


def test_M4_a_refused_neighbour_does_not_stop_others() -> None:
    carol = MeshNode("c", Limits(bundles_per_destination=1))
    first, second = (envelope(identity("a"), identity("b").hash, bytes([n])) for n in range(2))
    other = envelope(identity("a"), identity("d").hash)
    outputs = []
    for raw in (first, second, other):
        outputs += carol.protocol.receive(encode_datagram(BundleDatagram(9, 1, raw)), "a", START_MS)
    events = [type(event) for event in outputs if not isinstance(event, Transmit)]
    assert events == [CustodyTaken, Refused, CustodyTaken]


def test_M5_an_envelope_whose_sender_did_not_sign_it_is_refused() -> None:
    raw = bytearray(envelope(identity("a"), identity("b").hash))
    raw[-1] ^= 1
    bob = MeshNode("b")
    outputs = bob.protocol.receive(encode_datagram(BundleDatagram(9, 1, bytes(raw))), "a", START_MS)
    assert [event.code for event in outputs if isinstance(event, Refused)] == ["SignatureInvalid"]
    assert not [event for event in outputs if isinstance(event, Delivered)]


def test_M8_without_one_time_prekeys_the_signed_prekey_serves_and_is_flagged() -> None:
    world = line("ab")
    signed = Prekey(b"\x01" * 32, START_MS + HOUR_MS, one_time=False)
    single = Prekey(b"\x02" * 32, START_MS + HOUR_MS, one_time=True)
    world.nodes["a"].protocol.set_prekeys((signed, single), START_MS)
    world.run(5_000)
    bob = world.nodes["b"].protocol
    choices = [bob.choose_prekey(world.nodes["a"].address, world.now_ms) for _ in range(3)]
    assert [(choice.public_key, choice.fallback) for choice in choices] == [
        (single.public_key, False),
        (signed.public_key, True),
        (signed.public_key, True),
    ]
    assert bob.choose_prekey(world.nodes["a"].address, START_MS + HOUR_MS) is None


def test_M8_announcements_of_one_identity_are_taken_at_intervals_only() -> None:
    table = RouteTable(GENESIS, Limits())
    first, second = (
        sign_announcement(identity("a"), GENESIS, sequence, START_MS + HOUR_MS, False, ())
        for sequence in (1, 2)
    )
    assert table.learn(first, "n", 10, START_MS) is not None
    with pytest.raises(AnnouncementRefused, match="at least 30000 ms"):
        table.learn(second, "n", 10, START_MS + 29_999)
    assert table.learn(second, "n", 10, START_MS + 30_000) is not None


def test_M9_a_gateways_receipt_leaves_a_payment_pending_until_it_is_released() -> None:
    nodes = [MeshNode("a"), MeshNode("b"), MeshNode("g", gateway=True)]
    world = MeshWorld(nodes, [("a", "b"), ("b", "g")])
    world.run(5_000)
    raw = envelope(nodes[0].identity, GATEWAY_ADDRESS, b"a signed transaction")
    world.submit("a", raw)
    world.run(60_000)
    assert [event.envelope for event in nodes[2].all(Delivered)] == [raw]
    assert [event.recipient for event in nodes[0].all(Receipted)] == [nodes[2].address]
    assert not nodes[0].all(CustodyFreed) and len(nodes[0].protocol.state.holdings) == 1
    freed = nodes[0].protocol.release(READER.bundle_id(raw))
    assert [event.why for event in freed] == ["released"]
    with pytest.raises(UnknownBundle):
        nodes[0].protocol.release(READER.bundle_id(raw))


def test_M10_a_flood_is_cut_off_at_the_neighbours_budget_and_others_are_heard() -> None:
    node = MeshNode("a", Limits(duty_bytes_per_second=1_000, duty_burst_bytes=5_000))
    junk = encode_datagram(Answer(((bytes(32), Status.HELD),))) + bytes(64)
    heard = cut = 0
    for _ in range(1_000):
        (refused,) = node.protocol.receive(junk, "flood", START_MS)
        cut += refused.code == "DutyCycleExceeded"
        heard += refused.code == "DatagramMalformed"
    assert heard == 5_000 // len(junk) and cut == 1_000 - heard
    assert node.protocol.receive(encode_datagram(Hello(identity("b").hash, False)), "b", START_MS)
    (refused,) = node.protocol.receive(junk, "flood", START_MS + 1_000)
    assert refused.code == "DatagramMalformed"


def test_M10_many_names_of_one_flooder_share_a_budget() -> None:
    limits = Limits(duty_bytes_per_second=1_000, duty_burst_bytes=5_000, duty_neighbours=2)
    node = MeshNode("a", limits)
    codes = [node.protocol.receive(bytes(1_000), f"name {n}", START_MS)[0].code for n in range(20)]
    assert codes.count("DutyCycleExceeded") == 10


def test_M10_we_keep_to_half_of_a_neighbours_budget_ourselves() -> None:
    world = line("ab", Limits(duty_bytes_per_second=2_000, duty_burst_bytes=10_000))
    world.run(2_000)
    for number in range(60):
        send(world, "a", "b", Random(number).randbytes(1_000))
    before = world.sent_bytes.total()
    world.run(20_000)
    assert world.sent_bytes.total() - before < 2 * 20 * 1_000 + 10_000
    assert not world.nodes["b"].all(Refused)
    world.run(120_000)
    assert len(world.nodes["b"].all(Delivered)) == 60


def test_a_datagram_larger_than_the_link_goes_in_frames_and_survives_loss() -> None:
    world = line("ab", Limits(link_bytes=256))
    chance = Random(3)
    world.drop = lambda source, target, datagram: chance.random() < 0.1
    world.run(20_000)
    payload = Random(1).randbytes(20_000)
    send(world, "a", "b", payload)
    world.run(60_000)
    assert world.sent["FRAME"] > 80 and world.sent["BUNDLE"] == 0
    assert [payload in event.envelope for event in world.nodes["b"].all(Delivered)] == [True]


def test_a_link_too_small_to_cut_to_is_refused() -> None:
    node = MeshNode("a")
    with pytest.raises(MtuOutOfRange):
        node.protocol.describe_link("b", 10, 63, START_MS)


def test_answers_nobody_asked_for_change_nothing_and_one_offer_draws_one_bundle() -> None:
    world = line("ab")
    world.run(5_000)
    raw = envelope(world.nodes["a"].identity, world.nodes["b"].address)
    alice = world.nodes["a"].protocol
    alice.submit(raw, world.now_ms)
    wanted, accepted = (
        encode_datagram(Answer(((READER.bundle_id(raw), status),)))
        for status in (Status.WANTED, Status.ACCEPTED)
    )
    assert alice.receive(accepted, "stranger", world.now_ms) == ()
    assert sum(bundles_sent(alice.receive(wanted, "b", world.now_ms)) for _ in range(50)) == 1


def test_whatever_strangers_send_receive_does_not_raise_and_stays_bounded() -> None:
    limits = Limits(
        neighbours=8,
        routes=16,
        receipts=32,
        bundles=16,
        seen=16,
        custody_bytes=20_000,
        reassembly_bytes=20_000,
    )
    rng = Random(5)
    node = MeshNode("a", limits)
    names = [identity(f"n{n}") for n in range(40)]
    for step in range(600):
        who = rng.choice(names)
        now_ms = START_MS + 40_000 * step
        raw = envelope(
            who,
            rng.choice((node.address, b"", GATEWAY_ADDRESS, rng.choice(names).hash)),
            rng.randbytes(rng.randrange(1_500)),
            created_ms=now_ms,
        )
        identifier = READER.bundle_id(raw)
        choice = rng.choice(
            (
                Hello(who.hash, bool(rng.randrange(2))),
                Offer(((identifier, rng.randrange(1 << 32)),)),
                Answer(((identifier, Status(rng.randint(1, 6))),)),
                BundleDatagram(rng.randrange(256), rng.randrange(256), raw),
                sign_announcement(who, GENESIS, now_ms, now_ms + HOUR_MS, False, ()),
                ReceiptDatagram(
                    rng.randrange(256), sign_receipt(who, GENESIS, identifier, node.address, now_ms, now_ms)
                ),
            )
        )
        data = bytearray(encode_datagram(choice))
        if rng.random() < 0.5:
            data[rng.randrange(len(data))] ^= rng.randrange(1, 256)
        node.protocol.receive(bytes(data), f"link {rng.randrange(30)}", now_ms)
        node.protocol.receive(b"\xab" + rng.randbytes(40), f"link {rng.randrange(30)}", now_ms)
        if step % 5 == 0:
            node.protocol.tick(now_ms)
    state = node.protocol.state
    assert len(state.contacts) <= 8 and len(state.routes) <= 16 and len(state.holdings) <= 16
    assert state.holdings.usage.total_bytes <= 20_000
    assert len(list(node.custody.iterate(b"s"))) <= 16


def test_a_lost_link_ends_its_routes_at_once() -> None:
    world = line("abc")
    world.run(5_000)
    routes = world.nodes["a"].protocol.state.routes
    assert [hop.cost for hop in routes.next_hops(world.nodes["c"].address, world.now_ms)] == [20]
    world.unlink("a", "b")
    world.run(60_000)
    assert world.nodes["a"].all(NeighbourLost)
    assert routes.next_hops(world.nodes["c"].address, world.now_ms) == ()


def test_announcements_rise_over_restarts_though_the_clock_went_back() -> None:
    world = line("ab")
    world.run(2_000)
    before = world.nodes["b"].protocol.state.routes.get(world.nodes["a"].address).announcement.sequence
    world.nodes["a"].restart()
    world.nodes["a"].protocol.tick(START_MS - HOUR_MS)
    assert world.nodes["a"].protocol.state.announcement.sequence > before


def test_a_neighbour_who_introduces_a_crowd_fills_an_eighth_of_the_table() -> None:
    table = RouteTable(GENESIS, Limits(routes=16))
    announcements = [
        sign_announcement(identity(f"n{n}"), GENESIS, 1, START_MS + HOUR_MS, False, ()) for n in range(3)
    ]
    for announcement in announcements[:2]:
        table.learn(announcement, "eve", 10, START_MS)
    with pytest.raises(QuotaExceeded):
        table.learn(announcements[2], "eve", 10, START_MS)
    assert table.learn(announcements[2], "bob", 10, START_MS) is not None


def test_nobody_is_called_by_a_reserved_address() -> None:
    node = MeshNode("a")
    for address in (BROADCAST_ADDRESS, GATEWAY_ADDRESS):
        (refused,) = node.protocol.receive(encode_datagram(Hello(address, False)), "eve", START_MS)
        assert refused.code == "DatagramMalformed"


def test_a_receipt_that_came_before_its_bundle_turns_the_bundle_away() -> None:
    relay = MeshNode("r")
    raw = envelope(identity("a"), identity("b").hash)
    facts = READER.read(raw)
    receipt = sign_receipt(identity("b"), GENESIS, facts.bundle_id, facts.sender, START_MS, facts.expires_ms)
    relay.protocol.receive(encode_datagram(ReceiptDatagram(1, receipt)), "x", START_MS)
    outputs = relay.protocol.receive(encode_datagram(BundleDatagram(9, 1, raw)), "y", START_MS)
    assert len(relay.protocol.state.holdings) == 0
    assert [type(output) for output in outputs] == [Transmit]
