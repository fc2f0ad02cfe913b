"""Signing over a Unix socket: as good as here when it works, and a missed slot when it does not."""

import functools
import os
import random
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import trio
from builders.live_node import Lines
from builders.signing import CHAIN, OTHER_CHAIN, block_core, vote_from
from builders.wallets import key_number
from faults.faulty_store import FaultyDisk

from consensus.blocks import core_of, sign_header
from ledger.errors import CodecError, NotEncodable
from ledger.storage.errors import StoreWriteFailed
from ledger.storage.memory import MemoryStore
from ledger.storage.store import Store, WriteBatch
from node.keystore import MAX_KEYS
from node.signing.errors import (
    AlreadySigned,
    AlreadyVoted,
    KeyUnknown,
    SignerBindFailed,
    SignerRefused,
    SignerUnavailable,
    SigningRecordCorrupted,
    SurroundRefused,
)
from node.signing.local_signer import LocalSigner
from node.signing.protection import KeyHistory, LastBlock, LastVote, SigningProtection
from node.signing.remote_signer import RETRY_AFTER_S, RemoteSigner
from node.signing.signer_server import MAX_CLIENTS, SignerServer, listening_socket
from node.signing.wire import (
    MAX_REPLY_BYTES,
    MAX_REQUEST_BYTES,
    SIGNER_VERSION,
    HeldKey,
    Hello,
    Keys,
    Refused,
    Reveal,
    Revealed,
    SignBlock,
    SignVote,
    content_length,
    decode_content,
    encode_frame,
)

pytestmark = pytest.mark.xdist_group("processes")

KEY, OTHER = key_number(1), key_number(2)
HELLO = encode_frame(Hello(SIGNER_VERSION, CHAIN))


def local(store: Store | None = None, *keys: Any) -> LocalSigner:
    """A signer of this process."""
    protection = SigningProtection(MemoryStore() if store is None else store, CHAIN)
    return LocalSigner(keys or [KEY], protection)


@asynccontextmanager
async def served(path: Path, signer: LocalSigner, log: Lines | None = None) -> AsyncIterator[None]:
    """The real server, while the block lasts."""
    server = SignerServer(signer, CHAIN, log=log or Lines())  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        await nursery.start(server.run, path)
        yield
        nursery.cancel_scope.cancel()


async def off_loop(call: Callable[..., Any], *arguments: Any) -> Any:
    """The client blocks; the server runs on this loop."""
    return await trio.to_thread.run_sync(functools.partial(call, *arguments))


@contextmanager
def scripted(path: Path, answer: Callable[[socket.socket], None]) -> Iterator[None]:
    """Another server: `answer` has each connection, in a thread."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen(8)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                answer(connection)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)


def read_frame(connection: socket.socket) -> Any:
    """One message, whole."""
    length = content_length(connection.recv(4, socket.MSG_WAITALL), MAX_REPLY_BYTES)
    return decode_content(connection.recv(length, socket.MSG_WAITALL))


def welcome(connection: socket.socket) -> None:
    """Answer a hello as a signer of `KEY` does."""
    read_frame(connection)
    held = HeldKey(KEY.public_key, 0, 0, 0)
    connection.sendall(encode_frame(Keys(SIGNER_VERSION, CHAIN, (held,))))


async def test_signatures_from_the_socket_are_those_of_the_key(tmp_path: Path) -> None:
    remote, here = RemoteSigner(tmp_path / "s", CHAIN), local()
    async with served(tmp_path / "s", local()):
        assert remote.public_keys() == ()
        await off_loop(remote.probe)
        assert remote.public_keys() == (KEY.public_key,)
        for sign, core in (("sign_block", block_core(5)), ("sign_vote", vote_from(2, 3))):
            expected = getattr(here, sign)(KEY.public_key, core)
            assert await off_loop(getattr(remote, sign), KEY.public_key, core) == expected
        assert await off_loop(remote.reveal, KEY.public_key, 1, 9) == here.reveal(KEY.public_key, 1, 9)
        await off_loop(remote.probe)
        assert remote.histories() == (KeyHistory(KEY.public_key, LastBlock(5), LastVote(2, 3)),)
        remote.close()


async def test_refusals_keep_their_class(tmp_path: Path) -> None:
    remote = RemoteSigner(tmp_path / "s", CHAIN)
    async with served(tmp_path / "s", local()):
        await off_loop(remote.sign_block, KEY.public_key, block_core(5))
        await off_loop(remote.sign_vote, KEY.public_key, vote_from(2, 3))
        with pytest.raises(AlreadySigned) as signed:
            await off_loop(remote.sign_block, KEY.public_key, block_core(4))
        assert (signed.value.slot, signed.value.last) == (4, 5)
        with pytest.raises(AlreadyVoted):
            await off_loop(remote.sign_vote, KEY.public_key, vote_from(2, 3, 1))
        with pytest.raises(SurroundRefused):
            await off_loop(remote.sign_vote, KEY.public_key, vote_from(1, 4))
        with pytest.raises(KeyUnknown):
            await off_loop(remote.sign_block, OTHER.public_key, block_core(9))
        with pytest.raises(SignerRefused, match="BandUnknown"):
            await off_loop(remote.sign_block, KEY.public_key, block_core(9, band=6))
        with pytest.raises(SignerRefused, match="NotEncodable"):
            await off_loop(remote.reveal, KEY.public_key, 0, 2**40)
        with pytest.raises(NotEncodable):
            await off_loop(remote.reveal, KEY.public_key, 0, 2**70)
        await off_loop(remote.sign_block, KEY.public_key, block_core(6))
        remote.close()


async def test_a_signer_of_another_network_is_refused_by_both_sides(tmp_path: Path) -> None:
    log = Lines()
    async with served(tmp_path / "s", local(), log):
        with pytest.raises(SignerUnavailable, match=OTHER_CHAIN.hex()):
            await off_loop(RemoteSigner(tmp_path / "s", OTHER_CHAIN).probe)
        assert "signer refused a node of another network" in log.events("warning")

    def answer(connection: socket.socket) -> None:
        read_frame(connection)
        connection.sendall(encode_frame(Keys(SIGNER_VERSION, OTHER_CHAIN, ())))

    with scripted(tmp_path / "t", answer), pytest.raises(SignerUnavailable, match=OTHER_CHAIN.hex()):
        RemoteSigner(tmp_path / "t", CHAIN).sign_block(KEY.public_key, block_core(5))


def test_no_signer_is_a_missed_slot_with_the_next_step(tmp_path: Path) -> None:
    with pytest.raises(SignerUnavailable, match="nexus validator signer --socket"):
        RemoteSigner(tmp_path / "s", CHAIN).sign_block(KEY.public_key, block_core(5))
    with pytest.raises(SignerUnavailable):
        RemoteSigner(tmp_path / ("s" * 200), CHAIN).probe()


def test_a_silent_signer_costs_the_deadline_once(tmp_path: Path) -> None:
    released = threading.Event()
    with scripted(tmp_path / "s", lambda _: released.wait(30) and None):
        remote = RemoteSigner(tmp_path / "s", CHAIN, deadline_s=0.3)
        started = monotonic()
        with pytest.raises(SignerUnavailable, match=r"0\.3 s"):
            remote.sign_block(KEY.public_key, block_core(5))
        assert 0.25 < monotonic() - started < 2
        started = monotonic()
        with pytest.raises(SignerUnavailable):
            remote.sign_block(KEY.public_key, block_core(6))
        assert monotonic() - started < RETRY_AFTER_S / 2
        released.set()


def test_a_drip_of_bytes_does_not_stretch_the_deadline(tmp_path: Path) -> None:
    stop = threading.Event()

    def answer(connection: socket.socket) -> None:
        with suppress(OSError):
            for byte in encode_frame(Keys(SIGNER_VERSION, CHAIN, ())):
                connection.sendall(bytes([byte]))
                if stop.wait(0.05):
                    return

    with scripted(tmp_path / "s", answer):
        started = monotonic()
        with pytest.raises(SignerUnavailable):
            RemoteSigner(tmp_path / "s", CHAIN, deadline_s=0.3).probe()
        assert monotonic() - started < 2
        stop.set()


def test_threads_that_wait_for_a_silent_signer_wait_no_longer_than_one(tmp_path: Path) -> None:
    released = threading.Event()
    failures: list[float] = []

    def ask(remote: RemoteSigner) -> None:
        started = monotonic()
        with pytest.raises(SignerUnavailable):
            remote.probe()
        failures.append(monotonic() - started)

    with scripted(tmp_path / "s", lambda _: released.wait(30) and None):
        remote = RemoteSigner(tmp_path / "s", CHAIN, deadline_s=0.3)
        threads = [threading.Thread(target=ask, args=(remote,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        released.set()
    assert len(failures) == 6 and max(failures) < 2


async def test_a_signer_that_dies_in_the_middle_of_a_request_costs_that_request(tmp_path: Path) -> None:
    """The record may be written by then; the same block is signed after the restart, and no other."""
    store, died = MemoryStore(), threading.Event()

    def die(connection: socket.socket) -> None:
        welcome(connection)
        request = read_frame(connection)
        local(store).sign_block(request.public_key, request.core)
        died.set()

    remote = RemoteSigner(tmp_path / "s", CHAIN, deadline_s=5)
    with scripted(tmp_path / "s", die), pytest.raises(SignerUnavailable, match="hung up"):
        await off_loop(remote.sign_block, KEY.public_key, block_core(5))
    assert died.is_set()
    await trio.sleep(RETRY_AFTER_S)
    async with served(tmp_path / "s", local(store)):
        with pytest.raises(AlreadySigned):
            await off_loop(remote.sign_block, KEY.public_key, block_core(5, 1))
        header = await off_loop(remote.sign_block, KEY.public_key, block_core(5))
        assert core_of(header) == block_core(5)
        remote.close()


async def test_a_restarted_signer_is_found_again_without_a_missed_slot(tmp_path: Path) -> None:
    store, remote = MemoryStore(), RemoteSigner(tmp_path / "s", CHAIN)
    for slot in (5, 6, 7):
        async with served(tmp_path / "s", local(store)):
            await off_loop(remote.sign_block, KEY.public_key, block_core(slot))
    with pytest.raises(SignerUnavailable):
        await off_loop(remote.sign_block, KEY.public_key, block_core(8))


@pytest.mark.parametrize("what", ["block", "vote", "kind"])
def test_what_was_not_asked_for_is_not_taken(tmp_path: Path, what: str) -> None:
    def answer(connection: socket.socket) -> None:
        welcome(connection)
        read_frame(connection)
        match what:
            case "block":
                reply: Any = sign_header(block_core(5, 1), KEY, CHAIN)
            case "vote":
                reply = local().sign_vote(KEY.public_key, vote_from(2, 3, 1))
            case _:
                reply = Revealed(bytes(32))
        connection.sendall(encode_frame(reply))

    with scripted(tmp_path / "s", answer):
        remote = RemoteSigner(tmp_path / "s", CHAIN)
        sign = remote.sign_vote if what == "vote" else remote.sign_block
        core: Any = vote_from(2, 3) if what == "vote" else block_core(5)
        with pytest.raises(SignerUnavailable):
            sign(KEY.public_key, core)


@pytest.mark.parametrize("seed", range(20))
def test_junk_from_the_signer_is_unavailability(tmp_path: Path, seed: int) -> None:
    junk = random.Random(seed).randbytes(200)

    def answer(connection: socket.socket) -> None:
        read_frame(connection)
        connection.sendall((len(junk) if seed % 2 else 2**31).to_bytes(4, "big") + junk)

    with scripted(tmp_path / "s", answer), pytest.raises(SignerUnavailable):
        RemoteSigner(tmp_path / "s", CHAIN).probe()


async def exchange(path: Path, content: bytes) -> bytes:
    """Send bytes, read until the server hangs up or 5 s pass."""
    stream = await trio.open_unix_socket(str(path))
    received = b""
    with trio.move_on_after(5), suppress(trio.BrokenResourceError):
        async with stream:
            await stream.send_all(content)
            async for part in stream:
                received += part
    return received


@pytest.mark.parametrize(
    "content",
    [
        bytes(4),
        b"\xff\xff\xff\xff",
        (MAX_REQUEST_BYTES + 1).to_bytes(4, "big"),
        b"\0\0\0\1\1",
        b"\0\0\0\1\0",
        b"\0\0\0\2\7\0",
        HELLO[:4] + b"\1\x91" + HELLO[6:],
        HELLO + b"\0\0\0\3\2\x92\xc0",
        HELLO + b"\0\0\1\1\4" + b"\x91" * 256,
    ],
)
async def test_a_client_that_talks_junk_is_hung_up_on_and_the_others_are_served(
    tmp_path: Path, content: bytes
) -> None:
    log, remote = Lines(), RemoteSigner(tmp_path / "s", CHAIN)
    async with served(tmp_path / "s", local(), log):
        await off_loop(remote.probe)
        started = trio.current_time()
        await exchange(tmp_path / "s", content)
        assert trio.current_time() - started < 4
        assert "signer hung up on a client" in log.events("warning")
        await off_loop(remote.sign_block, KEY.public_key, block_core(5))
        remote.close()


async def test_half_a_request_is_given_up_after_the_deadline(tmp_path: Path) -> None:
    async with served(tmp_path / "s", local()):
        started = trio.current_time()
        await exchange(tmp_path / "s", HELLO[:-1])
        assert 1.5 < trio.current_time() - started < 4.5


async def test_nothing_is_signed_before_a_hello(tmp_path: Path) -> None:
    store = MemoryStore()
    async with served(tmp_path / "s", local(store)):
        started = trio.current_time()
        reply = await exchange(tmp_path / "s", encode_frame(SignBlock(KEY.public_key, block_core(5))))
        assert trio.current_time() - started < 4
    refused = decode_content(reply[4:])
    assert isinstance(refused, Refused) and refused.symbol == "HelloMissing"
    assert SigningProtection(store, CHAIN).last_block(KEY.public_key) is None


async def test_clients_are_few(tmp_path: Path) -> None:
    async with served(tmp_path / "s", local()):
        held = [await trio.open_unix_socket(str(tmp_path / "s")) for _ in range(MAX_CLIENTS)]
        for stream in held:
            await stream.send_all(HELLO)
            assert await stream.receive_some(1)
        assert await exchange(tmp_path / "s", HELLO) == b""
        await held.pop().aclose()
        with trio.fail_after(10):
            while not await exchange(tmp_path / "s", encode_frame(Hello(9, CHAIN))):  # noqa: ASYNC110
                await trio.sleep(0.01)
        for stream in held:
            await stream.aclose()


async def test_the_socket_is_its_owners_alone_and_goes_with_the_signer(tmp_path: Path) -> None:
    path, mask = tmp_path / "s", os.umask(0)
    try:
        async with served(path, local()):
            assert path.stat().st_mode & 0o777 == 0o600
        assert not path.exists()
    finally:
        os.umask(mask)


async def test_L22_a_second_signer_on_the_socket_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s"
    async with served(path, local()):
        with pytest.raises(SignerBindFailed, match="another signer"):
            await off_loop(listening_socket, path)
        await off_loop(RemoteSigner(path, CHAIN).probe)


def test_the_socket_of_a_killed_signer_is_taken_over(tmp_path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(tmp_path / "s"))
    left.close()
    listening_socket(tmp_path / "s").close()


@pytest.mark.parametrize("spoil", ["file", "no directory", "name"])
def test_a_path_that_is_no_place_for_a_socket_is_refused(tmp_path: Path, spoil: str) -> None:
    path = tmp_path / "s"
    match spoil:
        case "file":
            path.write_text("something")
        case "no directory":
            path = tmp_path / "none" / "s"
        case _:
            path = tmp_path / ("s" * 150)
    with pytest.raises(SignerBindFailed, match=str(path)):
        listening_socket(path)
    if spoil == "file":
        assert path.read_text() == "something"


async def unavailable_at(path: Path, signer: LocalSigner, call: Callable[..., Any], *arguments: Any) -> None:
    """Serve until the server ends by itself; the client's call gets nothing."""
    async with served(path, signer):
        with pytest.raises(SignerUnavailable):
            await off_loop(call, *arguments)
        await trio.sleep(5)


async def test_a_failing_store_ends_the_signer_and_nothing_leaves(tmp_path: Path) -> None:
    disk, remote = FaultyDisk(1), RemoteSigner(tmp_path / "s", CHAIN)
    signer = local(disk.open())
    disk.fail_write(1)
    with pytest.raises(ExceptionGroup) as caught:
        await unavailable_at(tmp_path / "s", signer, remote.sign_block, KEY.public_key, block_core(5))
    assert caught.group_contains(StoreWriteFailed)


async def test_a_damaged_record_ends_the_signer(tmp_path: Path) -> None:
    store = MemoryStore()
    signer = local(store)
    batch = WriteBatch()
    batch.put(b"p" + KEY.public_key, b"short")
    store.write(batch, sync=True)
    with pytest.raises(ExceptionGroup) as caught:
        await unavailable_at(tmp_path / "s", signer, RemoteSigner(tmp_path / "s", CHAIN).probe)
    assert caught.group_contains(SigningRecordCorrupted)


MESSAGES: tuple[Any, ...] = (
    Hello(SIGNER_VERSION, CHAIN),
    Keys(
        SIGNER_VERSION,
        CHAIN,
        tuple(HeldKey(bytes(32), 2**63 - 1, 2**63 - 1, 2**63 - 1) for _ in range(MAX_KEYS)),
    ),
    SignBlock(KEY.public_key, block_core(2**63 - 1)),
    SignVote(KEY.public_key, vote_from(2, 3)),
    Reveal(KEY.public_key, 1, 2),
    Revealed(bytes(32)),
    sign_header(block_core(5), KEY, CHAIN),
    Refused("X" * 64, "\U0001f600" * 1_024, 2**63 - 1),
)


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_every_message_fits_its_frame_and_comes_back(message: Any) -> None:
    frame = encode_frame(message)
    assert content_length(frame[:4], max(MAX_REQUEST_BYTES, MAX_REPLY_BYTES)) == len(frame) - 4
    assert decode_content(frame[4:]) == message


def test_the_readmes_example_is_the_hello() -> None:
    assert encode_frame(Hello(1, bytes(32))).hex() == "00000025" + "01" + "9201c420" + "00" * 32


def test_mutated_frames_only_ever_raise_codec_errors() -> None:
    chance = random.Random(7)
    frames = [encode_frame(message)[4:] for message in MESSAGES if len(encode_frame(message)) < 2_000]
    for _ in range(5_000):
        mutant = bytearray(chance.choice(frames))
        for _ in range(chance.randint(1, 4)):
            mutant[chance.randrange(len(mutant))] = chance.randrange(256)
        try:
            message = decode_content(bytes(mutant[: chance.randint(1, len(mutant))]))
        except CodecError:
            continue
        assert decode_content(encode_frame(message)[4:]) == message
