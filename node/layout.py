"""What stands where in a node's data directory.

genesis.json      the chain; anybody may read it
validators.json   signing keys, 0600, only on a validator
identity.json     peer identity, 0600, made at the first start
operator.json     the node's own account, 0600, made at the first start: pays for evidence, gets its rewards
db/               the chain's store
snapshots/        the last two state snapshots, for newcomers; may be removed at any time
signer/           what our keys signed last (slashing protection); survives when db/ is deleted and synced anew
peers.bin         address book
bans.bin          bans in force
endpoints.json    while the node runs: where it can be reached
"""

from pathlib import Path

from consensus.stores import SCHEMA_VERSION
from node.config import NodeConfig
from node.signing.protection import PROTECTION_SCHEMA_VERSION

SIGNER_DIRECTORY = "signer"


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


def operator_path(directory: Path) -> Path:
    """The node's own account."""
    return directory / "operator.json"


def database_directory(directory: Path) -> Path:
    """The chain's store."""
    return directory / "db"


def snapshots_directory(directory: Path) -> Path:
    """State snapshots that are served to newcomers."""
    return directory / "snapshots"


def signer_directory(directory: Path) -> Path:
    """The slashing-protection store."""
    return directory / SIGNER_DIRECTORY


def schema_version(store_directory: Path) -> int:
    """Of the keys and values in the store there. The protection store's is its own: when the chain's changes, that
    store is thrown away and synced anew, and what was signed must outlive it."""
    return PROTECTION_SCHEMA_VERSION if store_directory.name == SIGNER_DIRECTORY else SCHEMA_VERSION


def address_book_path(directory: Path) -> Path:
    """Known addresses of peers."""
    return directory / "peers.bin"


def bans_path(directory: Path) -> Path:
    """Bans in force."""
    return directory / "bans.bin"


def endpoints_path(directory: Path) -> Path:
    """Where the running node can be reached, as JSON."""
    return directory / "endpoints.json"
