"""Configuration in layers, each value with its origin: defaults < TOML file < environment < flags.

The daemon reads it once and never writes it. An unknown key fails with the nearest known name.
"""

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

ENVIRONMENT_PREFIX = "NEXUS_"


class ConfigError(Exception):
    """The configuration breaks a rule; the text says which key, from where, and what is expected."""


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """Everything an operator can set. Names are the TOML keys and, upper-cased with `NEXUS_`, the variables."""

    dir: str = "."
    """Data directory: genesis.json, database, identity, address book."""
    genesis: str = ""
    """Path of the genesis document; empty: `genesis.json` in the data directory."""
    validator_keys: str = ""
    """Path of the validator key file; empty: `validators.json` in the data directory when it exists."""
    signer_socket: str = ""
    """Path of a remote signer's Unix socket; empty: this process signs, with the keys of the key file."""
    p2p_listen: tuple[str, ...] = ("/ip4/0.0.0.0/tcp/16110",)
    """Multiaddresses to listen on; port 0 lets the system choose."""
    p2p_announce: tuple[str, ...] = ()
    """Multiaddresses that others reach us at, when they differ from those that we listen on (NAT, containers)."""
    bootstrap: tuple[str, ...] = ()
    """Multiaddresses with /p2p/<id>, dialled until they answer."""
    max_connections: int = 50
    outbound_peers: int = 8
    """Connections that we dial ourselves."""
    rpc_host: str = "127.0.0.1"
    rpc_port: int = 16210
    """0 lets the system choose; -1 turns the RPC off."""
    rpc_allowed_hosts: tuple[str, ...] = ()
    """Further values of the Host header that are answered, besides loopback names with the RPC's port."""
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 9464
    """0 lets the system choose; -1 turns metrics off."""
    checkpoint: str = ""
    """PERIOD:ID of a finalised checkpoint that somebody trusted vouches for: an empty store begins there. Empty: with
    genesis, as far as peers still have it."""
    archive: bool = False
    """Keep every block for ever: nothing is pruned."""
    retention_slots: int = 0
    """Slots below the finalised checkpoint that are kept; the network's own number counts when it is greater."""
    mempool_max_transactions: int = 50_000
    mempool_max_bytes: int = 64 * 1024 * 1024
    log_level: str = "info"
    """debug, info, warning or error."""
    log_format: str = "console"
    """console or json."""


DEFAULTS = NodeConfig()
_KNOWN = {field.name: type(getattr(DEFAULTS, field.name)) for field in fields(NodeConfig)}
_CHOICES = {
    "log_level": ("debug", "info", "warning", "error"),
    "log_format": ("console", "json"),
}


@dataclass(frozen=True, slots=True)
class LayeredConfig:
    """The merged configuration and where each value came from."""

    config: NodeConfig
    origins: Mapping[str, str]
    """key -> `default`, `file PATH`, `environment NEXUS_…` or `flag --…`."""


def _unknown(name: str, origin: str) -> ConfigError:
    near = difflib.get_close_matches(name, _KNOWN, n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(sorted(_KNOWN))}"
    return ConfigError(f"unknown configuration key {name!r} in {origin}{hint}")


def _converted(name: str, value: object, origin: str) -> object:
    """`value` as the key's type. Text (environment, flags) is parsed; TOML values must have the type already."""
    wanted = _KNOWN[name]
    if wanted is bool:
        known = {"true": True, "1": True, "false": False, "0": False}
        truth = value if isinstance(value, bool) else known.get(str(value).lower())
        if truth is None or isinstance(value, float):
            raise ConfigError(f"{name} from {origin} must be true or false, found {value!r}")
        return truth
    if wanted is int:
        if type(value) is int:
            return value
        if isinstance(value, str) and value.lstrip("-").isascii() and value.lstrip("-").isdigit():
            return int(value)
        raise ConfigError(f"{name} from {origin} must be a whole number, found {value!r}")
    if wanted is tuple:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
            return tuple(value)
        raise ConfigError(f"{name} from {origin} must be a list of texts, found {value!r}")
    if not isinstance(value, str):
        raise ConfigError(f"{name} from {origin} must be text, found {value!r}")
    choices = _CHOICES.get(name)
    if choices is not None and value not in choices:
        raise ConfigError(f"{name} from {origin} must be one of {', '.join(choices)}, found {value!r}")
    return value


def load_config(
    *, file: Path | None, environment: Mapping[str, str], flags: Mapping[str, object]
) -> LayeredConfig:
    """Merge the layers. `flags` holds only flags that were given. Errors: `ConfigError`."""
    values: dict[str, object] = {name: getattr(DEFAULTS, name) for name in _KNOWN}
    origins = dict.fromkeys(_KNOWN, "default")

    def take(name: str, value: object, origin: str) -> None:
        if name not in _KNOWN:
            raise _unknown(name, origin)
        values[name] = _converted(name, value, origin)
        origins[name] = origin

    if file is not None:
        try:
            document = tomllib.loads(file.read_text(encoding="utf-8"))
        except OSError as error:
            raise ConfigError(f"cannot read the configuration file {file}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"{file} is not TOML: {error}") from None
        for name, value in document.items():
            take(name, value, f"file {file}")
    for variable in sorted(environment):
        name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
        if variable.startswith(ENVIRONMENT_PREFIX) and name in _KNOWN:
            take(name, environment[variable], f"environment {variable}")
    for name, value in flags.items():
        take(name, value, f"flag --{name.replace('_', '-')}")
    return LayeredConfig(NodeConfig(**values), origins)  # type: ignore[arg-type]
