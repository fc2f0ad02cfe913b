"""The economy's gauges: they say what the state holds, and are read a few times an epoch however many blocks come."""

import math
from contextlib import closing
from pathlib import Path

import pytest
import trio
from builders.chain import devnet
from builders.economic_loop import change_state
from builders.economy import EconomyChain, founded_economy
from builders.live_node import clock_at, live_node

from consensus.params import params_from_genesis
from ledger.accounts import F_FLOOR_ADDRESS, SYSTEM_ACCOUNTS, TREASURY_ADDRESS
from ledger.economy.floor.records import read_floor
from ledger.issuance import read_flows
from ledger.state import StateReader
from ledger.storage.memory import MemoryStore
from ledger.storage.state_store import LedgerStore
from ledger.storage.store import WriteBatch
from ledger.transfer import move_units
from node.chain_context import ChainContext
from node.economy_meter import EVERY_S, EconomyMeter
from node.env import InlineWorkers
from node.metrics import Metrics
from p2p.simulated import SimulatedFabric


def value(metrics: Metrics, name: str, **labels: str) -> float:
    found = metrics.registry.get_sample_value(name, labels)
    assert found is not None, name
    return found


def metered(chain: EconomyChain) -> Metrics:
    """Metrics after one look at the chain's state."""
    store, batch = MemoryStore(), WriteBatch()
    LedgerStore(store).stage_genesis(batch, chain.state)
    store.write(batch, sync=False)
    founded, params = devnet(), params_from_genesis(chain.genesis)
    context = ChainContext(
        chain.genesis, params, chain.rules, chain.registry, founded.schedule, store, lambda: 0
    )
    metrics = Metrics(process=False)
    with closing(store.snapshot()) as snapshot:
        EconomyMeter(context, InlineWorkers(), metrics.economy)._set(LedgerStore(snapshot), chain.epoch)
    return metrics


def test_the_gauges_say_what_the_state_holds() -> None:
    chain = founded_economy()
    assert chain.message(chain.accounts[3], b"hello" * 20) == ""
    assert chain.create(chain.accounts[4]) == ""
    metrics, floor, flows = metered(chain), read_floor(chain.reader), read_flows(chain.reader)
    for name in SYSTEM_ACCOUNTS:
        assert value(metrics, "nexus_system_account_units", account=name) == chain.system(name)
    assert value(metrics, "nexus_circulating_units") == flows.circulating_units
    assert value(metrics, "nexus_issued_units") == flows.issued_units
    assert value(metrics, "nexus_burned_units") == flows.burned_units
    assert value(metrics, "nexus_message_burned_units", region="GREEN") > 0
    assert value(metrics, "nexus_message_burned_units", region="RED") == 0
    assert value(metrics, "nexus_floor_population") == 3
    assert value(metrics, "nexus_floor_owed_units") == floor.owed_units > 0
    assert 0 < value(metrics, "nexus_floor_stability_ratio") <= 1
    assert value(metrics, "nexus_open_proposals") == 1
    assert -1 <= value(metrics, "nexus_policy_output_ratio") <= 1


def test_a_feed_without_a_value_has_no_age() -> None:
    metrics = metered(founded_economy())
    assert math.isnan(value(metrics, "nexus_oracle_feed_age_epochs", feed="nxt_price"))
    assert value(metrics, "nexus_oracle_feed_fresh", feed="nxt_price") == 0
    # Reported in epoch 0, read in epoch 3.
    assert value(metrics, "nexus_oracle_feed_age_epochs", feed="demand_electricity") == 3


def test_a_floor_that_cannot_pay_its_near_need_is_in_crisis() -> None:
    chain = founded_economy()
    assert value(metered(chain), "nexus_crisis_active") == 0
    units = chain.system("F_FLOOR")
    change_state(chain, lambda overlay: move_units(overlay, F_FLOOR_ADDRESS, TREASURY_ADDRESS, units))
    assert value(metered(chain), "nexus_crisis_active") == 1


async def test_within_an_epoch_the_state_is_read_every_few_seconds_only(
    tmp_path: Path, autojump_clock: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs: list[int] = []

    def note(_: EconomyMeter, state: StateReader, epoch: int) -> None:
        epochs.append(epoch)

    monkeypatch.setattr(EconomyMeter, "_set", note)
    chain = devnet()
    async with (
        SimulatedFabric(1) as fabric,
        live_node(fabric, chain, tmp_path, clock=clock_at(chain, 1), keys=chain.keys),
    ):
        await trio.sleep(28)
        within = len(epochs)
        await trio.sleep(6)
    assert set(epochs[:within]) == {0}
    assert 28 / EVERY_S / 2 < within <= 28 / EVERY_S + 1
    assert 1 in epochs[within:]
