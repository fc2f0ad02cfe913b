"""What the daemon reads and opens before it runs, and how it gives that back."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from ledger.errors import GenesisInvalid
from ledger.genesis import MAX_GENESIS_BYTES, Genesis
from ledger.genesis_text import genesis_from_json
from ledger.keys import SEED_BYTES, KeyPair
from ledger.storage.fail_points import fail_point
from ledger.storage.store import Store
from node.chain_writer import ChainWriter
from node.config import ConfigError, NodeConfig
from node.env import Env
from node.keystore import KeyFileMissing, read_identity, read_validator_keys, write_identity
from node.layout import (
    address_book_path,
    bans_path,
    data_directory,
    genesis_path,
    identity_path,
    operator_path,
    signer_directory,
    validator_keys_path,
)
from node.logs import Log, Redactor
from node.signing.local_signer import LocalSigner
from node.signing.protection import SigningProtection
from node.signing.remote_signer import RemoteSigner
from node.signing.signer import Signer
from p2p.address_book import KEY_BYTES, AddressBook
from p2p.errors import AddressBookMalformed, SavedBansMalformed
from p2p.peers import Ban, PeerBook
from p2p.saved_bans import restore_bans, save_bans

DRAIN_S = 4.0
"""How long a shutdown waits for the writer's queue (256 requests at most)."""
CLOSE_S = 2.0
"""How long it waits for a store to close."""


def read_genesis(config: NodeConfig) -> Genesis:
    """The node's genesis document. Errors as `read_genesis_file`."""
    return read_genesis_file(genesis_path(config))


def read_genesis_file(path: Path) -> Genesis:
    """A genesis document. Errors: `ConfigError` when the file cannot be read, `GenesisInvalid`."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_GENESIS_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"cannot read the genesis document {path}: {error.strerror}; copy the network's genesis.json there or "
            "name it with --genesis"
        ) from None
    try:
        return genesis_from_json(content.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise GenesisInvalid(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from None


def peer_identity(env: Env, directory: Path) -> bytes:
    """The seed of our peer identity, made at the first start. Errors: `KeyFileError`."""
    path = identity_path(directory)
    try:
        return read_identity(path)
    except KeyFileMissing:
        seed = env.entropy(SEED_BYTES)
        write_identity(path, seed)
        return seed


def operator_account(env: Env, directory: Path) -> KeyPair:
    """The node's own account, made at the first start. Errors: `KeyFileError`."""
    path = operator_path(directory)
    try:
        return KeyPair.from_seed(read_identity(path))
    except KeyFileMissing:
        seed = env.entropy(SEED_BYTES)
        write_identity(path, seed)
        return KeyPair.from_seed(seed)


def read_address_book(env: Env, directory: Path, log: Log) -> AddressBook:
    """The saved address book, or a new one when there is none or it is damaged: nothing depends on it."""
    path = address_book_path(directory)
    try:
        return AddressBook.from_bytes(path.read_bytes())
    except FileNotFoundError:
        return AddressBook(env.entropy(KEY_BYTES))
    except (OSError, AddressBookMalformed) as error:
        log.warning("address book could not be read and begins anew", file=str(path), error=str(error))
        return AddressBook(env.entropy(KEY_BYTES))


def save_address_book(book: AddressBook, directory: Path, log: Log) -> None:
    """Replace the saved one atomically. A failure is logged: nothing depends on it."""
    _replace(address_book_path(directory), book.to_bytes(), 0o600, log)


def read_peer_book(env: Env, directory: Path, log: Log) -> PeerBook:
    """Scores begin anew at each start; what is left of the bans of the last run holds on."""
    path, book = bans_path(directory), PeerBook()
    try:
        kept = restore_bans(path.read_bytes(), book, now_s=trio.current_time(), unix_s=env.now_ms() / 1000)
    except FileNotFoundError:
        return book
    except (OSError, SavedBansMalformed) as error:
        log.warning("bans could not be read and begin anew", file=str(path), error=str(error))
        return book
    if kept:
        log.info("bans of the last run hold on", bans=kept)
    return book


def write_bans(bans: tuple[Ban, ...], unix_s: float, directory: Path, log: Log) -> None:
    """Replace the saved ones atomically. A failure is logged: nothing depends on it."""
    _replace(bans_path(directory), save_bans(bans, unix_s), 0o600, log)


def write_endpoints(path: Path, endpoints: dict[str, object], log: Log) -> None:
    """Say, for programs on this machine, where the node can be reached."""
    _replace(path, (json.dumps(endpoints, indent=2) + "\n").encode(), 0o644, log)


def _replace(path: Path, content: bytes, mode: int, log: Log) -> None:
    fresh = path.with_name(path.name + ".new")
    try:
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        fail_point("file_replace_before")
        fresh.replace(path)
        fail_point("file_replace_after")
    except OSError as error:
        log.warning("file could not be written", file=str(path), error=error.strerror or str(error))


@asynccontextmanager
async def opened_store(env: Env, directory: Path) -> AsyncIterator[Store]:
    """An open store; closed on the way out, within `CLOSE_S` even when that hangs. Errors: the store's."""
    store = await env.workers.run_reader(lambda: env.open_store(directory))
    try:
        yield store
    finally:
        with trio.CancelScope(shield=True), trio.move_on_after(CLOSE_S):
            await env.workers.run_closer(store.close)


@asynccontextmanager
async def opened_signer(
    env: Env, config: NodeConfig, genesis_hash: bytes, redactor: Redactor
) -> AsyncIterator[Signer | None]:
    """Who signs for this node: a remote signer, or this process with the key file's keys, or nobody (None).

    Errors: `KeyFileError`; `ConfigError` when both a socket and a key file are there; the store's.
    """
    path = validator_keys_path(config)
    if config.signer_socket:
        if path is not None:
            raise ConfigError(
                f"signer_socket is {config.signer_socket} and there is a key file too, {path}: two signers for one key "
                "sign against each other; move the file to the signer, or unset signer_socket"
            )
        remote = RemoteSigner(Path(config.signer_socket), genesis_hash)
        try:
            yield remote
        finally:
            remote.close()
    elif path is None:
        yield None
    else:
        keys = read_validator_keys(path)
        redactor.hide(key.seed for key in keys)
        directory = signer_directory(data_directory(config))
        async with opened_store(env, directory) as store:
            yield LocalSigner(
                keys,
                await env.workers.run_reader(lambda: SigningProtection(store, genesis_hash, directory)),
            )


@asynccontextmanager
async def running_writer(writer: ChainWriter) -> AsyncIterator[None]:
    """The writer's service. On the way out it takes no further work, finishes its queue within `DRAIN_S`, and ends.

    Errors: what `ChainWriter.run` raises, in an exception group.
    """
    scope = trio.CancelScope(shield=True)

    async def serve() -> None:
        with scope:
            await writer.run()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve)
        try:
            yield
        finally:
            writer.close()
            scope.deadline = trio.current_time() + DRAIN_S
