"""The node's view of its signer: wait, alarm, what is refused from memory, and what status pages show."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest
import trio
from builders.blocks import FoundedChain, found_chain
from builders.live_node import Lines, WallClock, clock_at
from builders.signing import block_core, vote_from

from consensus.blocks import Header, header_id
from ledger.keys import KeyPair
from ledger.storage.memory import MemoryStore
from node.env import InlineWorkers
from node.metrics import Metrics
from node.signing.errors import AlreadySigned, DoppelgangerSeen, DoppelgangerWait, SignerUnavailable
from node.signing.guard import OwnValidators, SigningGuard, vote_observer
from node.signing.local_signer import LocalSigner
from node.signing.protection import KeyHistory, LastBlock, SigningProtection
from node.signing.remote_signer import RemoteSigner

T = TypeVar("T")

CHAIN: FoundedChain = found_chain(6, network="fast")
KEY = CHAIN.keys[2]
WAIT_SLOTS = CHAIN.params.doppelganger_periods * CHAIN.params.period_slots
WAIT_S = WAIT_SLOTS * CHAIN.params.slot_ms / 1000
START = 1_000


class Node:
    """A guard on a clock, with a real signer unless another one is given."""

    def __init__(self, *, slot: int = START, signer: RemoteSigner | None = None) -> None:
        self.clock: WallClock = clock_at(CHAIN, slot)
        self.log, self.metrics = Lines(), Metrics(process=False)
        self.protection = SigningProtection(MemoryStore(), CHAIN.params.genesis_hash)
        self.workers = InlineWorkers()
        self.guard = SigningGuard(
            signer or LocalSigner([KEY], self.protection),
            CHAIN.params,
            self.workers,
            now_ms=self.clock,
            metrics=self.metrics,
            log=self.log,  # type: ignore[arg-type]
        )

    async def sign(self, slot: int, variant: int = 0) -> Header:
        return await self.guard.sign_block(KEY.public_key, block_core(slot, variant))


@pytest.fixture
async def node() -> Node:
    started = Node()
    await started.guard.refresh()
    return started


async def test_L22_the_wait_is_counted_down_in_log_metrics_and_status(
    node: Node, autojump_clock: object
) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(node.guard.run)
        await trio.sleep(0.1)
        status = node.guard.status
        assert (status.state, status.keys, status.wait_slots) == ("waiting", 1, WAIT_SLOTS)
        assert "another node" in status.reason
        with pytest.raises(DoppelgangerWait):
            await node.sign(START + 1)
        with pytest.raises(DoppelgangerWait):
            await node.guard.sign_vote(KEY.public_key, vote_from(2, 3))
        assert isinstance(node.guard.refusal(KEY.public_key, START + 1), DoppelgangerWait)
        await trio.sleep(WAIT_S / 2)
        assert 0 < node.metrics.signing_wait_slots._value.get() < WAIT_SLOTS
        await trio.sleep(WAIT_S / 2 + 3)
        assert node.guard.status.state == "ready" and node.guard.status.reason == ""
        assert node.metrics.signing_wait_slots._value.get() == 0
        await node.sign(START + WAIT_SLOTS)
        nursery.cancel_scope.cancel()
    left = [facts["slots_left"] for _, event, facts in node.log.lines if event == "doppelganger wait"]
    assert left[0] == WAIT_SLOTS and len(left) >= 2
    assert node.log.events("info")[-1] == "doppelganger wait over"
    assert node.protection.last_block(KEY.public_key) is not None


async def test_L22_a_doppelganger_is_an_alarm_that_says_what_to_do(
    node: Node, autojump_clock: object
) -> None:
    node.guard.observed_block(KEY.public_key, START + 1, b"i" * 32)
    await trio.sleep(10 * WAIT_S)
    with pytest.raises(DoppelgangerSeen):
        await node.sign(START + 10 * WAIT_SLOTS)
    status = node.guard.status
    assert status.state == "doppelganger" and "Stop the other one" in status.reason
    (line,) = [facts for level, event, facts in node.log.lines if level == "error"]
    assert "Stop the other one" in str(line["error"])
    assert node.metrics.doppelgangers._value.get() == 1
    assert node.protection.last_block(KEY.public_key) is None


async def test_our_own_blocks_and_votes_come_back_without_an_alarm(
    node: Node, autojump_clock: object
) -> None:
    await trio.sleep(WAIT_S)
    header = await node.sign(START + WAIT_SLOTS)
    vote = await node.guard.sign_vote(KEY.public_key, vote_from(200, 300))
    node.guard.observed_block(KEY.public_key, header.slot, header_id(header))
    node.guard.observed_vote(KEY.public_key, vote)
    assert node.guard.status.state == "ready"


async def test_L22_a_vote_by_our_key_that_we_did_not_cast_is_an_alarm(
    node: Node, autojump_clock: object
) -> None:
    await trio.sleep(WAIT_S)
    elsewhere = LocalSigner([KEY], SigningProtection(MemoryStore(), CHAIN.params.genesis_hash))
    node.guard.observed_vote(KEY.public_key, elsewhere.sign_vote(KEY.public_key, vote_from(200, 300)))
    assert node.guard.status.state == "doppelganger"


async def test_votes_are_watched_by_the_validator_that_they_name(node: Node, autojump_clock: object) -> None:
    await trio.sleep(WAIT_S)
    observe = vote_observer(node.guard, OwnValidators(CHAIN.schedule, node.guard), CHAIN.params)
    elsewhere = LocalSigner([KEY], SigningProtection(MemoryStore(), CHAIN.params.genesis_hash))
    vote = elsewhere.sign_vote(KEY.public_key, vote_from(200, 300))
    observe(vote)
    assert node.guard.status.state == "ready"
    observe(msgspec.structs.replace(vote, validator=2))
    assert node.guard.status.state == "doppelganger"


async def test_a_doppelganger_that_is_seen_while_we_sign_holds_the_signature_back(
    node: Node, monkeypatch: pytest.MonkeyPatch, autojump_clock: object
) -> None:
    await trio.sleep(WAIT_S)

    async def run_signer(job: Callable[[], T]) -> T:
        signed = job()
        node.guard.observed_block(KEY.public_key, START + 5, b"i" * 32)
        return signed

    monkeypatch.setattr(node.workers, "run_signer", run_signer)
    with pytest.raises(DoppelgangerSeen):
        await node.sign(START + WAIT_SLOTS)


async def test_R16_a_slot_that_was_signed_is_refused_from_memory(node: Node, autojump_clock: object) -> None:
    await trio.sleep(WAIT_S)
    assert node.guard.refusal(KEY.public_key, START + 30) is None
    await node.sign(START + 30)
    for slot in (1, START + 29, START + 30):
        assert isinstance(node.guard.refusal(KEY.public_key, slot), AlreadySigned)
    assert node.guard.refusal(KEY.public_key, START + 31) is None


async def test_what_the_signer_alone_knew_is_remembered_too(node: Node, autojump_clock: object) -> None:
    await trio.sleep(WAIT_S)
    node.protection.raise_to([KeyHistory(KEY.public_key, LastBlock(START + 500))])
    assert node.guard.refusal(KEY.public_key, START + 30) is None
    with pytest.raises(AlreadySigned):
        await node.sign(START + 30)
    assert isinstance(node.guard.refusal(KEY.public_key, START + 500), AlreadySigned)
    assert node.guard.refusal(KEY.public_key, START + 501) is None


async def test_an_unavailable_signer_is_shown_and_logged_once(tmp_path: Path, autojump_clock: object) -> None:
    node = Node(signer=RemoteSigner(tmp_path / "s", CHAIN.params.genesis_hash))
    for _ in range(3):
        await node.guard.refresh()
        with pytest.raises(SignerUnavailable):
            await node.guard.reveal(KEY.public_key, 0, 5)
    status = node.guard.status
    assert (status.state, status.keys) == ("unavailable", 0)
    assert "nexus validator signer" in status.reason
    assert node.log.events("error") == ["signer unavailable"]
    assert node.metrics.signer_available._value.get() == 0


async def test_our_validators_are_those_whose_keys_we_hold(node: Node, autojump_clock: object) -> None:
    own = OwnValidators(CHAIN.schedule, node.guard)
    assert own.at(START) == {2: KEY.public_key}
    assert own.indices(-5) == (2,) and own.strangers(START) == ()
    assert OwnValidators(CHAIN.schedule, None).at(START) == {}
    other = OwnValidators(found_chain(2, network="fast", chain_id="other").schedule, node.guard)
    assert other.indices(START) == () and other.strangers(START) == (KEY.public_key,)


class GrowingSigner(LocalSigner):
    """A signer that is found to hold another key between two probes, as a remote one that was restarted."""

    def take(self, key: KeyPair) -> None:
        self._keys[key.public_key] = key


async def test_L22_a_key_that_the_signer_came_back_with_is_watched_for_before_it_signs(
    autojump_clock: object,
) -> None:
    node, late = Node(), CHAIN.keys[3]
    signer = GrowingSigner([KEY], node.protection)
    node.guard = SigningGuard(
        signer,
        CHAIN.params,
        node.workers,
        now_ms=node.clock,
        metrics=node.metrics,
        log=node.log,  # type: ignore[arg-type]
    )
    await node.guard.refresh()
    await trio.sleep(WAIT_S + 1)
    signer.take(late)
    slot = START + WAIT_SLOTS + 5
    assert isinstance(node.guard.refusal(late.public_key, slot), DoppelgangerWait)
    with pytest.raises(DoppelgangerWait):
        await node.guard.sign_block(late.public_key, block_core(slot))
    with pytest.raises(DoppelgangerWait):
        await node.guard.sign_vote(late.public_key, vote_from(1, 2))
    assert node.protection.last_block(late.public_key) is None
    await node.guard.refresh()
    await trio.sleep(WAIT_S + 1)
    await node.guard.sign_block(late.public_key, block_core(slot + 2 * WAIT_SLOTS))
