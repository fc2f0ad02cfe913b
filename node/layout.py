"""What stands where in a node's data directory.

genesis.json      the chain; anybody may read it
validators.json   signing keys, 0600, only on a validator
identity.json     peer identity, 0600, made at the first start
db/               the chain's store
signer/           the last slots that our keys signed for; survives when db/ is deleted and synced anew
peers.bin         address book
endpoints.json    while the node runs: where it can be reached
"""

from pathlib import Path

from node.config import NodeConfig


def data_directory(config: NodeConfig) -> Path:
    """The data directory."""
    return Path(config.dir)


def genesis_path(config: NodeConfig) -> Path:
    """The genesis document."""
    return Path(config.genesis) if config.genesis else data_directory(config) / "genesis.json"


def validator_keys_path(config: NodeConfig) -> Path | None:
    """The validators' keys; None when none are configured and the usual file is absent."""
    if config.validator_keys:
        return Path(config.validator_keys)
    usual = data_directory(config) / "validators.json"
    return usual if usual.exists() else None


def identity_path(directory: Path) -> Path:
    """The peer identity."""
    return directory / "identity.json"


def database_directory(directory: Path) -> Path:
    """The chain's store."""
    return directory / "db"


def signer_directory(directory: Path) -> Path:
    """The signing record's store."""
    return directory / "signer"


def address_book_path(directory: Path) -> Path:
    """Known addresses of peers."""
    return directory / "peers.bin"


def endpoints_path(directory: Path) -> Path:
    """Where the running node can be reached, as JSON."""
    return directory / "endpoints.json"
