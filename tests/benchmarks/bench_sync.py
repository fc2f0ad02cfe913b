"""A fresh node catches up with another over loopback: `python tests/benchmarks/bench_sync.py [--full]`.

Two real processes on LevelDB: one serves a chain that was made before, the other starts empty. Six lanes, votes and
finality as on a devnet, 50 transfers a block (and none, for the other goal). Default: 600 blocks, a hundred slots;
`--full`: 10,000 blocks. Printed: blocks/s and transfers/s from the first block to the last, and how many times as fast
as the network made them, slots being a second. Both processes share this machine's cores.
"""

import argparse
import dataclasses
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter, process_time

import trio

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from builders.blocks import FoundedChain, chain_of
from builders.finality import Life
from builders.ledger import devnet_genesis, transfer

from consensus.params import slot_start_ms
from consensus.stores import SCHEMA_VERSION
from ledger.addresses import address_of
from ledger.amounts import UNITS_PER_NXT
from ledger.genesis_text import genesis_to_json
from ledger.storage.database import Database
from node.config import NodeConfig
from node.daemon import NodeHandle, run_node
from node.env import Env, real_env
from wnsp.spectrum import BAND_COUNT

BLOCKS, FULL_BLOCKS = 600, 10_000
TRANSFERS = 50
SENDERS_PER_LANE = 50
LONGEST_S = 1_800.0


def found() -> FoundedChain:
    """Twelve validators, and senders enough that the lanes of a slot carry different ones."""
    genesis, keys, accounts = devnet_genesis(
        validators=12, accounts=BAND_COUNT * SENDERS_PER_LANE, account_units=1_500 * UNITS_PER_NXT
    )
    return chain_of(genesis, keys, accounts)


def make_chain(chain: FoundedChain, directory: Path, slots: int, transfers: int) -> None:
    """A node's directory with the chain in its store."""
    directory.mkdir(parents=True)
    (directory / "genesis.json").write_text(genesis_to_json(chain.genesis), encoding="utf-8")
    database = Database(directory / "db", schema_version=SCHEMA_VERSION, min_free_bytes=0)
    try:
        life = Life(chain, database)
        nonces = [0] * len(chain.accounts)
        recipients = [address_of(key.public_key) for key in chain.accounts]
        for slot in range(1, slots + 1):
            life.live(slot, bands=())
            made = []
            for band in range(BAND_COUNT):
                offers = []
                for number in range(transfers):
                    sender = band * SENDERS_PER_LANE + number % SENDERS_PER_LANE
                    to = recipients[(sender + slot) % len(recipients)]
                    offers.append(transfer(chain.accounts[sender], chain.rules, nonces[sender], to, 1))
                    nonces[sender] += 1
                made.append(life.propose(slot, band, offers))
            for block in made:
                assert len(block.transactions) == transfers
                life.take(block)
            life.blocks.clear()
            life.events.clear()
        assert life.engine.finalised.period > slots // 8 - 6
    finally:
        database.close()


def env_at(chain: FoundedChain, slot: int) -> Env:
    """The real outside, with a clock that runs from `slot` on."""
    start_ms, started_s = slot_start_ms(chain.params, slot), perf_counter()
    return dataclasses.replace(
        real_env(), now_ms=lambda: start_ms + int(1_000 * (perf_counter() - started_s))
    )


def config_of(directory: Path, bootstrap: tuple[str, ...] = ()) -> NodeConfig:
    """A node on loopback without RPC and metrics."""
    return NodeConfig(
        dir=str(directory),
        p2p_listen=("/ip4/127.0.0.1/tcp/0",),
        bootstrap=bootstrap,
        rpc_port=-1,
        metrics_port=-1,
        log_level="warning",
    )


def serve(directory: Path, slot: int) -> None:
    """The other process: a node that has the chain. Prints its address; ends with its standard input."""

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            node: NodeHandle = await nursery.start(run_node, env_at(found(), slot), config_of(directory))
            print(node.services.network.listen_addresses[0], flush=True)
            await trio.to_thread.run_sync(sys.stdin.read)
            nursery.cancel_scope.cancel()

    trio.run(main)


@contextmanager
def serving(directory: Path, slot: int) -> Iterator[str]:
    """Its address while it runs."""
    command = [sys.executable, str(Path(__file__).resolve()), "--serve", str(directory), "--slot", str(slot)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


async def synchronise(directory: Path, chain: FoundedChain, address: str, slots: int) -> tuple[float, float]:
    """Seconds from the first block to the last, and seconds of CPU that the node took for them."""
    env = env_at(chain, slots + 1)
    async with trio.open_nursery() as nursery:
        node: NodeHandle = await nursery.start(run_node, env, config_of(directory, (address,)))
        began_s = began_cpu_s = 0.0
        with trio.fail_after(LONGEST_S):
            while node.services.head.slot < slots:
                if not began_s and node.services.sync_status().state.value == "synchronising":
                    began_s, began_cpu_s = perf_counter(), process_time()
                await trio.sleep(0.01)
        took = perf_counter() - began_s, process_time() - began_cpu_s
        print(f"    {node.services.sync_report()}")
        nursery.cancel_scope.cancel()
    return took


def measure(blocks: int, transfers: int) -> dict[str, float]:
    """Figures of one chain."""
    chain, slots = found(), blocks // BAND_COUNT
    with tempfile.TemporaryDirectory(prefix="nexus-bench-") as parent:
        full, fresh = Path(parent) / "full", Path(parent) / "fresh"
        began = perf_counter()
        make_chain(chain, full, slots, transfers)
        print(
            f"{slots * BAND_COUNT} blocks with {transfers} transfers made in {perf_counter() - began:.0f} s"
        )
        fresh.mkdir()
        (fresh / "genesis.json").write_text(genesis_to_json(chain.genesis), encoding="utf-8")
        with serving(full, slots + 1) as address:
            took_s, cpu_s = trio.run(synchronise, fresh, chain, address, slots)
    label = f"{transfers} transfers a block"
    rate = slots * BAND_COUNT / took_s
    figures = {f"blocks/s, {label}": rate}
    if transfers:
        figures[f"transfers/s, {label} (goal >= 5000)"] = rate * transfers
    else:
        figures["times real time, empty blocks (goal >= 50)"] = slots / took_s
    figures[f"CPU ms of the fresh node, {label}"] = 1_000 * cpu_s / (slots * BAND_COUNT)
    return figures


def run(blocks: int = BLOCKS) -> dict[str, float]:
    """Print all figures and return them."""
    figures = {**measure(blocks, TRANSFERS), **measure(blocks, 0)}
    for figure, value in figures.items():
        print(f"{figure:>60} {value:10.2f}")
    return figures


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help=f"{FULL_BLOCKS} blocks")
    parser.add_argument("--blocks", type=int, default=int(os.environ.get("NEXUS_BENCH_BLOCKS", BLOCKS)))
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--slot", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.serve, options.slot)
    else:
        run(FULL_BLOCKS if options.full else options.blocks)
