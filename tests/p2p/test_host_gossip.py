"""Gossip between real hosts over loopback."""

import pytest
import trio
from builders.hosts import TOPIC, Node, assert_gossip_flows, open_line, open_node, wait_for

from p2p.errors import MessageTooLarge
from p2p.network import PeerId, Verdict


async def test_a_message_crosses_a_line_of_three_hosts_in_both_directions() -> None:
    async with open_line(3) as nodes:
        await assert_gossip_flows(*nodes)


async def test_the_publisher_does_not_judge_its_own_message() -> None:
    async with open_line(2) as (left, right):
        await left.network.publish(TOPIC, b"mine")
        await wait_for(lambda: right.received == [b"mine"])
        assert left.received == []


async def test_the_validator_learns_who_sent_the_message_to_us() -> None:
    async with open_line(3) as (first, middle, last):
        senders: list[PeerId] = []

        async def judge(peer: PeerId, data: bytes) -> Verdict:
            senders.append(peer)
            return Verdict.ACCEPT

        await last.network.subscribe(TOPIC, judge, max_bytes=1_000)
        await first.network.publish(TOPIC, b"from the first")
        await wait_for(lambda: senders)
        assert senders == [middle.peer_id]


@pytest.mark.parametrize("verdict", [Verdict.IGNORE, Verdict.REJECT])
async def test_a_message_that_is_not_accepted_goes_no_further(verdict: Verdict) -> None:
    async with open_line(3) as (first, middle, last):
        await assert_gossip_flows(first, middle, last)
        middle.verdict = verdict
        await first.network.publish(TOPIC, b"unwanted")
        await wait_for(lambda: b"unwanted" in middle.received)
        middle.verdict = Verdict.ACCEPT
        await first.network.publish(TOPIC, b"wanted")
        await wait_for(lambda: b"wanted" in last.received)
        assert b"unwanted" not in last.received
        assert first.peer_id in middle.connected(), "the verdict is for the score of the layer above"


async def test_copies_from_several_peers_are_judged_once_even_while_the_first_is_being_judged() -> None:
    async with open_line(4) as nodes, trio.open_nursery() as nursery:
        await nodes[0].network.connect(nodes[2].address)
        await nodes[0].network.connect(nodes[3].address)
        target, judged, go_on = nodes[3], [], trio.Event()

        async def judge(peer: PeerId, data: bytes) -> Verdict:
            judged.append(data)
            await go_on.wait()
            return Verdict.ACCEPT

        await assert_gossip_flows(*nodes)
        await target.network.subscribe(TOPIC, judge, max_bytes=1_000)
        for number in range(5):
            nursery.start_soon(nodes[0].network.publish, TOPIC, b"%d" % number)
        await wait_for(lambda: all(b"4" in node.received for node in nodes[1:3]) and len(judged) == 5)
        go_on.set()
        await assert_gossip_flows(*nodes[:3], mark="again")
        assert sorted(judged[:5]) == [b"0", b"1", b"2", b"3", b"4"]
        assert len(set(judged)) == len(judged)


async def test_a_message_of_600_kb_passes_two_hops() -> None:
    async with open_line(3) as (first, middle, last):
        block = bytes(range(256)) * 2_343
        await first.network.publish(TOPIC, block)
        await wait_for(lambda: last.received == [block])
        assert middle.received == [block]


async def test_publishing_more_than_the_topic_takes_is_refused_locally() -> None:
    async with open_line(2) as (left, right):
        with pytest.raises(MessageTooLarge, match=r"600001 bytes .* limit is 600000"):
            await left.network.publish(TOPIC, bytes(600_001))
        await assert_gossip_flows(left, right)


async def test_a_topic_limit_above_one_gossip_rpc_is_refused() -> None:
    async def judge(peer: PeerId, data: bytes) -> Verdict:
        return Verdict.ACCEPT

    async with open_node(1) as node:
        with pytest.raises(ValueError, match="max_bytes of 2000000"):
            await node.network.subscribe("/test/huge/1", judge, max_bytes=2_000_000)


async def test_a_host_that_does_not_subscribe_can_publish() -> None:
    async with open_line(2) as (left, right):
        got: list[bytes] = []

        async def judge(peer: PeerId, data: bytes) -> Verdict:
            got.append(data)
            return Verdict.ACCEPT

        await right.network.subscribe("/test/other/1", judge, max_bytes=1_000)
        await wait_for(lambda: left.network._gossip.peer_topics.get("/test/other/1"))
        await left.network.publish("/test/other/1", b"fanned out")
        await wait_for(lambda: got == [b"fanned out"])
        assert left.network.topics() == (TOPIC,)
        assert right.network.topics() == (TOPIC, "/test/other/1")


async def test_a_peer_that_comes_a_moment_late_still_gets_the_last_messages() -> None:
    async with open_node(1) as early, open_node(2) as late:
        await early.network.publish(TOPIC, b"just before")
        await late.network.connect(early.address)
        await wait_for(lambda: late.received == [b"just before"])


async def test_three_hundred_messages_in_one_loop_all_arrive() -> None:
    async with open_line(3) as nodes:
        await assert_gossip_flows(*nodes)
        for number in range(300):
            await nodes[0].network.publish(TOPIC, b"flood %d" % number)
        expected = {b"flood %d" % number for number in range(300)}
        await wait_for(lambda: all(expected <= set(node.received) for node in nodes[1:]))


async def test_a_restarted_host_is_heard_though_it_published_more_than_a_message_a_second() -> None:
    async with open_node(1) as listener:
        for life in range(2):
            async with open_node(2) as speaker:
                await speaker.network.connect(listener.address)
                for number in range(20):
                    await speaker.network.publish(TOPIC, b"life %d message %d" % (life, number))
                await wait_for(lambda life=life: len(listener.received) == 20 * (life + 1))
        assert len(set(listener.received)) == 40


async def test_a_validator_without_an_end_holds_up_neither_its_peer_nor_the_host() -> None:
    async with open_line(2, validation_deadline_s=0.3) as (left, right):
        seen: list[bytes] = []

        async def judge(peer: PeerId, data: bytes) -> Verdict:
            seen.append(data)
            if data == b"stuck":
                await trio.sleep_forever()
            return Verdict.ACCEPT

        await right.network.subscribe(TOPIC, judge, max_bytes=1_000)
        await left.network.publish(TOPIC, b"stuck")
        await left.network.publish(TOPIC, b"quick")
        await wait_for(lambda: b"quick" in seen)
        await wait_for(right.own_faults)
        assert "no verdict within 0.3 s" in right.own_faults()[0]
        assert left.connected() == [right.peer_id]


async def test_more_slow_validations_than_slots_slow_the_reading_down_and_lose_nothing() -> None:
    async with open_line(2, validation_deadline_s=5.0) as (left, right):
        running, most, done = 0, 0, 0

        async def judge(peer: PeerId, data: bytes) -> Verdict:
            nonlocal running, most, done
            running += 1
            most = max(most, running)
            await trio.sleep(0.01)
            running -= 1
            done += 1
            return Verdict.ACCEPT

        await right.network.subscribe(TOPIC, judge, max_bytes=1_000)
        for number in range(100):
            await left.network.publish(TOPIC, b"%d" % number)
        await wait_for(lambda: done == 100)
        assert most <= 16


async def test_nobody_is_told_about_topics_that_no_peer_shares() -> None:
    async def reject(peer: PeerId, data: bytes) -> Verdict:
        raise AssertionError("not subscribed")

    async with open_line(2) as (left, right):
        await left.network.subscribe("/test/lonely/1", reject, max_bytes=1_000)
        await left.network.publish("/test/lonely/1", b"anyone?")
        await assert_gossip_flows(left, right)
        assert right.own_faults() == []


async def test_a_mesh_of_five_delivers_to_everyone() -> None:
    async with open_line(5) as nodes:
        for index in range(5):
            await nodes[index].network.connect(nodes[(index + 2) % 5].address)
        await assert_gossip_flows(*nodes)
        counts = [_count(node) for node in nodes]
        assert counts == [4] * 5


def _count(node: Node) -> int:
    return len(node.received)
