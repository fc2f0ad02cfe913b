"""Beginning at a checkpoint: over the simulated wire, from honest and dishonest peers, killed at any point."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from unittest.mock import patch

import msgspec
import pytest
import trio
from builders.blocks import FoundedChain
from builders.history import tiny, tiny_chain, tiny_engine
from builders.live_node import KeptStores, Lines, clock_at, live_node, prepare_directory
from builders.proofs import ProvedChain, proved_chain
from builders.simulated_peers import address_of
from builders.snapshots import Donation, donate, take_in

from consensus.blocks import decode_block
from consensus.import_marker import read_import
from consensus.light_client import FINALITY_PROOF_CODEC
from consensus.params import params_from_genesis, slot_start_ms
from consensus.proof_store import earlier_snapshots, proof_epochs, read_finality_proof
from consensus.stores import index_on_chain, read_head
from consensus.votes import Checkpoint
from consensus.window import MANIFEST_CODEC, PAGE_CODEC, SnapshotManifest
from ledger.genesis import Genesis
from ledger.state_snapshot import CHUNK_CODEC
from ledger.storage.memory import MemoryStore
from node.config import ConfigError
from node.env import InlineWorkers
from node.flows.snapshot_wire import (
    CHUNK_REQUEST_CODEC,
    CHUNKS_PROTOCOL,
    PROOFS_PROTOCOL,
    PROOFS_REPLY_CODEC,
    PROOFS_REQUEST_CODEC,
    SNAPSHOT_PROTOCOL,
    WINDOW_PROTOCOL,
    WINDOW_REQUEST_CODEC,
    ProofsReply,
)
from node.newcomer import Newcomer, checkpoint_to_begin_with
from p2p.network import Network, PeerId
from p2p.peers import Fault
from p2p.simulated import SimulatedFabric

SLOTS = 160
BEGUN_AT = 4
"""The stored proof whose checkpoint newcomers are given."""


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consensus.window.PAGE_BYTES", 60_000)
    monkeypatch.setattr("ledger.state_snapshot.CHUNK_ENTRIES", 6)


@cache
def lived() -> tuple[ProvedChain, Donation]:
    chain = proved_chain(2, SLOTS, odd=0.3)
    donation = donate(chain)
    assert donation is not None
    return chain, donation


def checkpoint() -> Checkpoint:
    return lived()[0].proofs[BEGUN_AT].justifying.target


Change = Callable[[bytes, bytes], bytes]
"""(request, right answer) -> what the peer says."""


@dataclass
class Donor:
    """A peer that serves the donation, with lies by protocol."""

    lies: dict[str, Change] = field(default_factory=dict)
    silent: frozenset[str] = frozenset()
    asked: list[str] = field(default_factory=list)

    async def serve(self, network: Network) -> None:
        for protocol, answer in (
            (PROOFS_PROTOCOL, self._proofs),
            (SNAPSHOT_PROTOCOL, self._manifest),
            (CHUNKS_PROTOCOL, self._chunk),
            (WINDOW_PROTOCOL, self._page),
        ):
            await network.serve(protocol, partial(self._answer, protocol, answer), max_request_bytes=100)

    async def _answer(self, protocol: str, answer: Callable[[bytes], bytes], _: PeerId, data: bytes) -> bytes:
        await trio.lowlevel.checkpoint()
        self.asked.append(protocol)
        if protocol in self.silent:
            await trio.sleep_forever()
        right = answer(data)
        return self.lies[protocol](data, right) if protocol in self.lies else right

    def _proofs(self, data: bytes) -> bytes:
        chain = lived()[0]
        request = PROOFS_REQUEST_CODEC.decode(data)
        later = [one for one in chain.proofs if one.justifying.target.period > request.after_period]
        epoch = later[0].header.slot // chain.chain.params.epoch_slots
        earlier = earlier_snapshots(chain.engine.stores.store, epoch) if request.earlier else ()
        page = tuple(FINALITY_PROOF_CODEC.encode(one) for one in later[:3])
        return PROOFS_REPLY_CODEC.encode(ProofsReply(page, earlier, len(later) <= 3))

    def _manifest(self, _: bytes) -> bytes:
        return MANIFEST_CODEC.encode(lived()[1].manifest)

    def _chunk(self, data: bytes) -> bytes:
        return CHUNK_CODEC.encode(lived()[1].chunks[CHUNK_REQUEST_CODEC.decode(data).number])

    def _page(self, data: bytes) -> bytes:
        request, pages = WINDOW_REQUEST_CODEC.decode(data), lived()[1].pages
        starts = [(0, 0), *((page.next_index, page.next_offset) for page in pages)]
        return PAGE_CODEC.encode(pages[starts.index((request.index, request.offset))])


@dataclass
class Faults:
    """Who was blamed for what."""

    seen: list[tuple[PeerId, Fault]] = field(default_factory=list)

    def __call__(self, peer: PeerId, fault: Fault) -> None:
        self.seen.append((peer, fault))


@asynccontextmanager
async def newcomer(
    store: MemoryStore, donors: Sequence[Donor], faults: Faults, begin_at: Checkpoint | None = None
) -> AsyncIterator[Newcomer]:
    chain = lived()[0].chain
    async with SimulatedFabric(1) as fabric, AsyncExitStack() as stack:
        network = await stack.enter_async_context(fabric.join("newcomer"))
        for number, donor in enumerate(donors):
            name = f"donor{number}"
            await donor.serve(await stack.enter_async_context(fabric.join(name)))
            await network.connect(address_of(name))
        yield Newcomer(
            store,
            chain.genesis,
            chain.params,
            begin_at or checkpoint(),
            network,
            InlineWorkers(),
            report=faults,
            log=Lines(),  # type: ignore[arg-type]
        )


def is_the_chain(store: MemoryStore) -> bool:
    chain, donation = lived()
    return tiny_engine(chain.chain, store).head.id == donation.manifest.checkpoint.block_id


async def test_a_newcomer_gets_a_chain_from_a_checkpoint(autojump_clock: trio.testing.MockClock) -> None:
    store, donor, faults = MemoryStore(), Donor(), Faults()
    async with newcomer(store, [donor], faults) as one:
        with trio.fail_after(60):
            await one.run()
        assert one.status.stage == "window"
        assert one.status.done == one.status.target == lived()[1].manifest.blocks
    assert is_the_chain(store)
    assert donor.asked.count(CHUNKS_PROTOCOL) == len(lived()[1].chunks)
    assert faults.seen == []


async def test_a_newcomer_killed_at_every_chunk_and_page_goes_on_there(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, donor, faults = MemoryStore(), Donor(), Faults()
    starts = 0
    while read_head(store) is None:
        starts += 1
        scope = trio.CancelScope()
        before = read_import(store)

        def step(_: bytes, right: bytes, scope: trio.CancelScope = scope, before: object = before) -> bytes:
            if read_import(store) not in (None, before):
                scope.cancel()
            return right

        donor.lies = {CHUNKS_PROTOCOL: step, WINDOW_PROTOCOL: step}
        with scope, trio.fail_after(60):
            async with newcomer(store, [donor], faults) as one:
                await one.run()
        assert starts < 200
    manifest = lived()[1].manifest
    steps = len(lived()[1].chunks) + len(lived()[1].pages)
    assert starts >= steps // 2
    # Nothing was written twice: what was asked again is the one that was on its way.
    assert donor.asked.count(CHUNKS_PROTOCOL) + donor.asked.count(WINDOW_PROTOCOL) <= steps + starts
    assert is_the_chain(store)
    assert manifest.blocks > 0


def flipped(data: bytes) -> bytes:
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def in_chunk(change: Callable[[bytes], bytes], number: int) -> Change:
    return lambda data, right: change(right) if CHUNK_REQUEST_CODEC.decode(data).number == number else right


def other_manifest(**fields: object) -> Change:
    def lie(_: bytes, right: bytes) -> bytes:
        manifest: SnapshotManifest = MANIFEST_CODEC.decode(right)
        return MANIFEST_CODEC.encode(msgspec.structs.replace(manifest, **fields))

    return lie


def older_manifest(_: bytes, right: bytes) -> bytes:
    manifest = MANIFEST_CODEC.decode(right)
    return MANIFEST_CODEC.encode(msgspec.structs.replace(manifest, finality=lived()[0].proofs[BEGUN_AT - 1]))


def fewer_votes(_: bytes, right: bytes) -> bytes:
    manifest = MANIFEST_CODEC.decode(right)
    finality = manifest.finality
    certificate = msgspec.structs.replace(finality.finalising, votes=finality.finalising.votes[:3])
    return MANIFEST_CODEC.encode(
        msgspec.structs.replace(manifest, finality=msgspec.structs.replace(finality, finalising=certificate))
    )


LIARS: dict[str, Donor] = {
    "a corrupted chunk": Donor({CHUNKS_PROTOCOL: in_chunk(flipped, 5)}),
    "a chunk of another number": Donor(
        {CHUNKS_PROTOCOL: in_chunk(lambda _: CHUNK_CODEC.encode(lived()[1].chunks[6]), 5)}
    ),
    "a manifest with other sizes": Donor({SNAPSHOT_PROTOCOL: other_manifest(entry_count=10**6)}),
    "a manifest without validators": Donor({SNAPSHOT_PROTOCOL: other_manifest(snapshots=())}),
    "a manifest below its base": Donor({SNAPSHOT_PROTOCOL: other_manifest(chain_index=1)}),
    "a manifest from before the checkpoint": Donor({SNAPSHOT_PROTOCOL: older_manifest}),
    "a manifest that too few signed": Donor({SNAPSHOT_PROTOCOL: fewer_votes}),
    "a corrupted page": Donor({WINDOW_PROTOCOL: lambda _, right: flipped(right)}),
    "corrupted proofs": Donor({PROOFS_PROTOCOL: lambda _, right: flipped(right)}),
}


@pytest.mark.parametrize("name", LIARS)
async def test_L17_a_lying_peer_is_blamed_and_another_one_serves(
    name: str, autojump_clock: trio.testing.MockClock
) -> None:
    store, faults, honest = MemoryStore(), Faults(), Donor()
    async with newcomer(store, [LIARS[name], honest], faults) as one:
        with trio.fail_after(300):
            await one.run()
    assert is_the_chain(store)
    assert {peer for peer, _ in faults.seen} == {"donor0"}
    assert {fault for _, fault in faults.seen} <= {Fault.INVALID, Fault.BAD_REPLY, Fault.MALFORMED}


async def test_a_silent_peer_is_left_for_another_within_fifteen_seconds(
    autojump_clock: trio.testing.MockClock,
) -> None:
    store, faults = MemoryStore(), Faults()
    silent = Donor(silent=frozenset({CHUNKS_PROTOCOL}))
    async with newcomer(store, [silent, Donor()], faults) as one:
        with trio.fail_after(15):
            await one.run()
    assert is_the_chain(store)
    assert faults.seen == []


async def test_L17_a_history_that_does_not_contain_the_checkpoint_is_never_taken(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A whole other chain of the same genesis, signed with its old keys: right in itself, and not the vouched one."""
    store, faults = MemoryStore(), Faults()
    vouched = Checkpoint(checkpoint().period, bytes([9]) * 32)
    async with newcomer(store, [Donor()], faults, begin_at=vouched) as one:
        with trio.move_on_after(60) as scope:
            await one.run()
        assert scope.cancelled_caught
        assert "no proof of the checkpoint" in one.status.reason
    assert read_head(store) is None


# when a checkpoint is needed ------------------------------------------------------------------------------------------


def on_main(chain: FoundedChain) -> FoundedChain:
    return replace(chain, params=replace(chain.params, network="main", unbonding_epochs=16))


def text(one: Checkpoint) -> str:
    return f"{one.period}:{one.block_id.hex()}"


def test_L17_without_recent_finality_a_checkpoint_is_required() -> None:
    chain = on_main(tiny_chain())
    store = MemoryStore()
    early = slot_start_ms(chain.params, 8 * 8)
    late = slot_start_ms(chain.params, 9 * 8 + 1)
    assert checkpoint_to_begin_with(store, chain.params, "", early) is None
    with pytest.raises(ConfigError, match="--checkpoint"):
        checkpoint_to_begin_with(store, chain.params, "", late)
    recent = Checkpoint(5, bytes(32))
    assert checkpoint_to_begin_with(store, chain.params, text(recent), late) == recent
    with pytest.raises(ConfigError, match="ask for a newer one"):
        checkpoint_to_begin_with(store, chain.params, text(recent), slot_start_ms(chain.params, 200))
    # A network of tests on one desk is stopped and started as a whole.
    assert checkpoint_to_begin_with(store, tiny_chain().params, "", late) is None


def test_L17_a_node_that_was_away_for_long_and_a_chain_without_the_checkpoint_are_stopped() -> None:
    chain, donation = lived()
    store = MemoryStore()
    take_in(chain, donation, store)
    params = on_main(chain.chain).params
    now = slot_start_ms(params, donation.trusted.slot + 8)
    assert checkpoint_to_begin_with(store, params, "", now) is None
    assert checkpoint_to_begin_with(store, params, text(donation.manifest.checkpoint), now) is None
    with pytest.raises(ConfigError, match="too old"):
        checkpoint_to_begin_with(store, params, "", slot_start_ms(params, donation.trusted.slot + 73))
    ids = [decode_block(one.block).header_id for page in donation.pages for one in page.blocks]
    off_chain = next(one for one in ids if index_on_chain(store, one) is None)
    with pytest.raises(ConfigError, match="does not contain checkpoint"):
        checkpoint_to_begin_with(store, params, text(Checkpoint(5, off_chain)), now)


@pytest.mark.parametrize("wrong", ["5", "5:ab", ":" + "00" * 32, "x:" + "00" * 32, "5:" + "zz" * 32])
def test_a_checkpoint_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ConfigError, match="expected PERIOD:ID"):
        checkpoint_to_begin_with(MemoryStore(), tiny_chain().params, wrong, 0)


async def from_genesis_is_told_to_use_a_checkpoint(
    fabric: SimulatedFabric, chain: FoundedChain, directory: Path, clock: Callable[[], int]
) -> None:
    """What peers have pruned cannot be had from them, and the status says what to do."""
    async with live_node(
        fabric, chain, directory, name="lost", clock=clock, bootstrap=(address_of("old"),)
    ) as lost:
        with trio.fail_after(60):
            while "checkpoint" not in lost.services.sync_report()["reason"]:  # type: ignore[operator]  # noqa: ASYNC110
                await trio.sleep(1)
        assert lost.services.head.slot == 0


# live nodes -----------------------------------------------------------------------------------------------------------


async def test_a_newcomer_joins_a_pruned_network_of_live_nodes_and_follows_finality(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.flows.snapshot_serving.SNAPSHOT_SLOTS", 16)
    chain = tiny_chain()

    def shortened(genesis: Genesis) -> object:
        return tiny(params_from_genesis(genesis))

    with (
        patch("consensus.engine.params_from_genesis", shortened),
        patch("node.joining.params_from_genesis", shortened),
    ):
        clock = clock_at(chain, 1)
        async with (
            SimulatedFabric(1) as fabric,
            live_node(fabric, chain, tmp_path / "old", name="old", clock=clock, keys=chain.keys) as old,
        ):
            with trio.fail_after(400):
                while (  # noqa: ASYNC110
                    not old.services.chain_writer.base.chain_index
                    or not list((tmp_path / "old").glob("snapshots/*"))
                ):
                    await trio.sleep(4)
            newest = old.services.finalised
            stored = await newest.use(lambda state, reader: state.checkpoint)
            assert stored.period > 10
            proofs = old.services.store
            proof = read_finality_proof(proofs, list(proof_epochs(proofs))[-3])
            assert proof is not None
            assert old.services.chain_writer.base.chain_index > 0
            prepare_directory(tmp_path / "new", chain, ())
            await from_genesis_is_told_to_use_a_checkpoint(fabric, chain, tmp_path / "lost", clock)
            log = Lines()
            async with live_node(
                fabric,
                chain,
                tmp_path / "new",
                name="new",
                clock=clock,
                bootstrap=(address_of("old"),),
                stores=KeptStores(),
                log=log,
                checkpoint=text(proof.justifying.target),
            ) as new:
                assert "checkpoint reached" in log.events("info")
                began = new.services.chain_writer.base
                assert began.chain_index > 0
                with trio.fail_after(60):
                    while (  # noqa: ASYNC110
                        new.services.chain_writer.finalised.period < proof.justifying.target.period + 8
                        or new.services.head.slot < old.services.head.slot - 2
                    ):
                        await trio.sleep(1)
                ours, theirs = new.services.chain_writer.finalised, old.services.chain_writer.finalised
                assert abs(ours.period - theirs.period) <= 1
                assert ours != theirs or ours.block_id == theirs.block_id
