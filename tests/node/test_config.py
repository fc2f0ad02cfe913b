"""The configuration: layers, origins, and errors that name the key."""

from pathlib import Path

import pytest

from node.config import DEFAULTS, ConfigError, load_config


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "nexus.toml"
    path.write_text(text)
    return path


def test_without_layers_everything_is_default() -> None:
    layered = load_config(file=None, environment={}, flags={})
    assert layered.config == DEFAULTS
    assert set(layered.origins.values()) == {"default"}


def test_flags_win_over_environment_over_file_over_defaults(tmp_path: Path) -> None:
    file = written(tmp_path, 'rpc_port = 1\nmetrics_port = 1\nmax_connections = 1\nlog_level = "debug"\n')
    layered = load_config(
        file=file,
        environment={"NEXUS_METRICS_PORT": "2", "NEXUS_MAX_CONNECTIONS": "2", "PATH": "/bin"},
        flags={"max_connections": 3},
    )
    config, origins = layered.config, layered.origins
    assert (config.rpc_port, config.metrics_port, config.max_connections) == (1, 2, 3)
    assert origins["rpc_port"] == f"file {file}"
    assert origins["metrics_port"] == "environment NEXUS_METRICS_PORT"
    assert origins["max_connections"] == "flag --max-connections"
    assert origins["dir"] == "default"


def test_an_unknown_key_fails_with_the_nearest_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"rpc_prot.*did you mean 'rpc_port'"):
        load_config(file=written(tmp_path, "rpc_prot = 1\n"), environment={}, flags={})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('rpc_port = "x"', "rpc_port .* whole number"),
        ("rpc_port = true", "rpc_port .* whole number"),
        ("rpc_port = 1.5", "rpc_port .* whole number"),
        ("rpc_host = 1", "rpc_host .* text"),
        ("bootstrap = [1]", "bootstrap .* list of texts"),
        ('log_level = "loud"', "log_level .* one of debug, info, warning, error"),
        ("rpc_port = ", "not TOML"),
    ],
)
def test_a_value_of_the_wrong_kind_names_its_key_and_origin(
    tmp_path: Path, text: str, complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint) as caught:
        load_config(file=written(tmp_path, text), environment={}, flags={})
    assert "nexus.toml" in str(caught.value)


def test_lists_come_from_commas_in_the_environment() -> None:
    layered = load_config(
        file=None, environment={"NEXUS_BOOTSTRAP": "/ip4/1.2.3.4/tcp/1/p2p/a, ,b"}, flags={}
    )
    assert layered.config.bootstrap == ("/ip4/1.2.3.4/tcp/1/p2p/a", "b")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml"):
        load_config(file=tmp_path / "none.toml", environment={}, flags={})


def test_truth_values_come_from_flags_files_and_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "nexus.toml"
    file.write_text("archive = true\n")
    assert load_config(file=file, environment={}, flags={}).config.archive is True
    assert load_config(file=file, environment={"NEXUS_ARCHIVE": "false"}, flags={}).config.archive is False
    assert load_config(file=None, environment={}, flags={"archive": True}).config.archive is True
    with pytest.raises(ConfigError, match="true or false"):
        load_config(file=None, environment={"NEXUS_ARCHIVE": "perhaps"}, flags={})
