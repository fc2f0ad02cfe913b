"""What a devnet consists of on disk: genesis, wallets, one directory a node, and `devnet.json` that names them all.

DIR/genesis.json        the chain
DIR/wallets/NAME.json   alice, bob, carol, registrar: funded in genesis; the last may attest citizens
DIR/load.json           seed of the accounts that `devnet load` sends from, funded in genesis
DIR/nodeN/              data directory of node N: genesis.json, validators.json, operator.json, store, node.log
DIR/devnet.json         the nodes: number, directory, URLs, process id; replaced atomically
"""

import fcntl
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.connection import read_json_file
from cli.exits import CommandFailed, ExitCode
from cli.keyfiles import write_wallet

if TYPE_CHECKING:
    from ledger.keys import KeyPair

REGISTRAR = "registrar"
WALLETS = ("alice", "bob", "carol", REGISTRAR)
WALLET_NXT = 10_000
LOAD_ACCOUNTS = 256
LOAD_NXT = 100
OPERATOR_NXT = 10
"""Of each node's own account: enough for the fees of some hundred reports of faults."""
STAKE_NXT = 10_000
"""A validator's stake; less when there are so many that TREASURY could not pay."""
ALL_STAKES_NXT = 400_000
EPOCH_SLOTS = 32


def devnet_path(directory: Path) -> Path:
    """Where the devnet is described."""
    return directory / "devnet.json"


def read_devnet(directory: Path) -> dict[str, Any]:
    """The devnet's description. Errors: `CommandFailed` NOT_FOUND, CONFIG."""
    path = devnet_path(directory)
    if not path.exists():
        raise CommandFailed(
            ExitCode.NOT_FOUND, f"no devnet in {directory}; make one with `nexus devnet up --dir {directory}`"
        )
    document: dict[str, Any] = read_json_file(path)
    return document


def write_devnet(directory: Path, devnet: dict[str, Any]) -> None:
    """Replace the description atomically."""
    path = devnet_path(directory)
    fresh = path.with_suffix(".json.new")
    fresh.write_text(json.dumps(devnet, indent=2) + "\n", encoding="utf-8")
    fresh.replace(path)


@contextmanager
def devnet_lock(directory: Path) -> Iterator[None]:
    """Held by whoever changes the devnet's description or starts one of its nodes."""
    descriptor = os.open(directory / "devnet.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def load_keys(directory: Path, count: int) -> "list[KeyPair]":
    """The first `count` keys of the accounts that `devnet load` sends from."""
    from ledger.hashing import digest, tagged
    from ledger.keys import KeyPair

    seed = bytes.fromhex(read_json_file(directory / "load.json")["seed"])
    tag = tagged("nexus/devnet-load/v1")
    return [KeyPair.from_seed(digest(tag, seed, index.to_bytes(4, "big"))) for index in range(count)]


def create_devnet(
    directory: Path, *, validators: int, nodes: int, slot_ms: int, now_ms: int
) -> dict[str, Any]:
    """Make keys, genesis and node directories; returns (and writes) the description, all nodes stopped.

    Validator keys are dealt to the nodes in turn. Errors: `CommandFailed` for an unusable directory.
    """
    from ledger.addresses import address_of
    from ledger.amounts import UNITS_PER_NXT
    from ledger.genesis import GenesisValidator, new_genesis
    from ledger.genesis_text import genesis_to_json
    from ledger.keys import KeyPair
    from ledger.onion import MAX_ONION_LAYERS, onion_layer, onion_secret
    from node.keystore import write_identity, write_validator_keys

    try:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise CommandFailed(ExitCode.STORE, f"cannot create {directory}: {error.strerror}") from None
    allocations: dict[bytes, int] = {}
    address_of_wallet: dict[str, bytes] = {}
    for name in WALLETS:
        seed = secrets.token_bytes(32)
        write_wallet(directory, name, seed)
        address_of_wallet[name] = address_of(KeyPair.from_seed(seed).public_key)
        allocations[address_of_wallet[name]] = WALLET_NXT * UNITS_PER_NXT
    _write_private(directory / "load.json", {"seed": secrets.token_hex(32)})
    for key in load_keys(directory, LOAD_ACCOUNTS):
        allocations[address_of(key.public_key)] = LOAD_NXT * UNITS_PER_NXT
    operators = [secrets.token_bytes(32) for _ in range(nodes)]
    for seed in operators:
        allocations[address_of(KeyPair.from_seed(seed).public_key)] = OPERATOR_NXT * UNITS_PER_NXT
    keys = [KeyPair.from_seed(secrets.token_bytes(32)) for _ in range(validators)]
    stake = min(STAKE_NXT, ALL_STAKES_NXT // validators) * UNITS_PER_NXT
    genesis = new_genesis(
        chain_id=f"devnet-{secrets.token_hex(4)}",
        network="devnet",
        genesis_time_ms=now_ms,
        slot_ms=slot_ms,
        epoch_slots=EPOCH_SLOTS,
        allocations=tuple(sorted(allocations.items())),
        validators=tuple(
            GenesisValidator(
                key.public_key,
                address_of(key.public_key),
                stake,
                onion_layer(onion_secret(key.seed, 0), MAX_ONION_LAYERS),
                MAX_ONION_LAYERS,
            )
            for key in keys
        ),
        registrars=(address_of_wallet[REGISTRAR],),
    )
    document = genesis_to_json(genesis)
    (directory / "genesis.json").write_text(document, encoding="utf-8")
    entries = []
    for number in range(1, nodes + 1):
        own = keys[number - 1 :: nodes]
        node_directory = directory / f"node{number}"
        node_directory.mkdir(exist_ok=True, mode=0o700)
        (node_directory / "genesis.json").write_text(document, encoding="utf-8")
        write_validator_keys(node_directory / "validators.json", own)
        write_identity(node_directory / "operator.json", operators[number - 1])
        entries.append(
            {
                "number": number,
                "dir": f"node{number}",
                "validators": [keys.index(key) for key in own],
                "rpc": "",
                "p2p": "",
                "metrics": "",
                "pid": 0,
            }
        )
    devnet = {
        "chain_id": genesis.chain_id,
        "slot_ms": slot_ms,
        "validators": validators,
        "nodes": entries,
    }
    write_devnet(directory, devnet)
    return devnet


def _write_private(path: Path, document: object) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=2)
        file.write("\n")
