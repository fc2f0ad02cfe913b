"""Metrics: the README's table is the registry's, every figure of a running node moves, and the port serves them."""

import re
import urllib.request
from pathlib import Path

import pytest
import trio
from builders.chain import devnet
from builders.live_node import clock_at, live_node
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ledger.accounts import RESERVES
from ledger.amounts import MAX_SUPPLY_UNITS
from node.metrics import Metrics, MetricsBindFailed, serve_metrics
from p2p.simulated import SimulatedFabric

README = Path(__file__).resolve().parents[2] / "node" / "README.md"


def families(metrics: Metrics) -> dict[str, tuple[str, str]]:
    """Name (as Prometheus shows it) -> (type, help)."""
    found = {}
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        if family.name.endswith("_created"):
            continue
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = (family.type, family.documentation)
    return found


def test_the_readme_lists_exactly_the_metrics_that_exist() -> None:
    listed = re.findall(
        r"^\| `(nexus_[a-z0-9_]+)(?:\{[^`]*\})?` \|", README.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(listed) == sorted(families(Metrics(process=False)))


def test_names_follow_the_conventions() -> None:
    for name, (kind, text) in families(Metrics(process=False)).items():
        assert re.fullmatch(r"nexus_[a-z0-9_]+", name)
        assert text.strip() and text.endswith(".")
        assert name.endswith("_total") == (kind == "counter")
        assert not name.endswith(("_ms", "_kb", "_mb"))


def value(metrics: Metrics, name: str, **labels: str) -> float:
    found = metrics.registry.get_sample_value(name, labels)
    assert found is not None, name
    return found


async def test_a_running_node_moves_its_figures(tmp_path: Path, autojump_clock: object) -> None:
    chain = devnet()
    async with (
        SimulatedFabric(1) as fabric,
        live_node(fabric, chain, tmp_path, clock=clock_at(chain, 1), keys=chain.keys) as node,
    ):
        await trio.sleep(3)
        await node.services.submit_transactions([chain.transfer(0, 1).raw, chain.transfer(0, 1, fee=1).raw])
        await node.services.submit_transactions([chain.transfer(2, 1, nonce=90).raw])
        await trio.sleep(7)
        metrics, head = node.services.metrics, node.services.head
        assert value(metrics, "nexus_dag_blue_score") == head.blue_score > 40
        assert value(metrics, "nexus_dag_blocks_total", color="blue") == head.blue_score
        assert value(metrics, "nexus_dag_blocks_total", color="red") == 0
        assert value(metrics, "nexus_dag_tips") == 6
        assert value(metrics, "nexus_proposals_total", result="made") == value(
            metrics, "nexus_dag_blocks_added_total"
        )
        assert value(metrics, "nexus_ledger_transfers_total", result="applied") == 1
        assert value(metrics, "nexus_transactions_total", kind="transfer", result="applied") == 1
        assert value(metrics, "nexus_tokens") == value(metrics, "nexus_dex_pools") == 0
        reserves = [value(metrics, "nexus_system_account_units", account=name) for name in RESERVES]
        assert sum(reserves) + value(metrics, "nexus_circulating_units") == MAX_SUPPLY_UNITS
        assert value(metrics, "nexus_mempool_rejected_total", reason="NonceGapTooWide") == 1
        assert value(metrics, "nexus_conservation_error_units") == 0
        parts = [value(metrics, "nexus_supply_units", part=part) for part in ("circulating", "reserved")]
        assert sum(parts) == MAX_SUPPLY_UNITS and RESERVES
        assert value(metrics, "nexus_sync_state") == 0
        assert value(metrics, "nexus_db_size_bytes") > 0
        assert value(metrics, "nexus_db_write_seconds_count") > 0
        slot_s = chain.params.genesis_time_ms / 1000 + head.slot
        assert value(metrics, "nexus_head_timestamp_seconds") == slot_s


async def test_the_port_serves_them_and_a_taken_one_is_named() -> None:
    metrics = Metrics(process=False)
    async with serve_metrics(metrics, "127.0.0.1", 0) as address:

        def fetch() -> str:
            with urllib.request.urlopen(f"http://{address.host}:{address.port}/metrics", timeout=10) as reply:
                body: bytes = reply.read()
                return body.decode()

        assert "nexus_dag_blue_score 0.0" in await trio.to_thread.run_sync(fetch)
        with pytest.raises(MetricsBindFailed, match=str(address.port)):
            async with serve_metrics(metrics, "127.0.0.1", address.port):
                pass
