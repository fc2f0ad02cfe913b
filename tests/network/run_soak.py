"""`make soak`: a devnet under load for a long time, a node killed and healed every minute.

Prints a line a round: what was accepted, resident memory, open files and database size per node, equal state or not.
Ends with an audit of every node's disk. Exit 1 when a node does not come back, states differ, or a unit is missing.
"""

import argparse
import random
import sys
import tempfile
from pathlib import Path
from time import monotonic

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from builders.commands import await_equal, devnet, nexus, nexus_json


def _footprint(directory: Path) -> str:
    """Memory, open files and database size of each node."""
    shown = []
    for node in nexus_json("devnet", "status", directory=directory)["nodes"]:
        process = Path("/proc") / str(node["pid"])
        resident = next(
            int(line.split()[1]) // 1024
            for line in (process / "status").read_text().splitlines()
            if line.startswith("VmRSS:")
        )
        files = sum(1 for _ in (process / "fd").iterdir())
        size = sum(path.stat().st_size for path in (directory / node["dir"] / "db").glob("*")) // 2**20
        shown.append(f"{node['number']}: {resident} MiB, {files} files, db {size} MiB")
    return "; ".join(shown)


def main() -> int:
    """Run the soak; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="which nodes are killed")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rate", type=int, default=200, help="transfers a second")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name) / "devnet"
        with devnet(directory):
            end = monotonic() + options.minutes * 60
            number = 0
            while monotonic() < end:
                number += 1
                victim = rng.randint(1, 4)
                nexus("devnet", "kill", str(victim), directory=directory)
                half = ("devnet", "load", "--senders", "100", "--seconds", "25", "--rate", str(options.rate))
                first = nexus_json(*half, directory=directory)
                nexus("devnet", "heal", str(victim), directory=directory)
                second = nexus_json(*half, directory=directory)
                compared = await_equal(directory)
                lost, rejected = first["lost"] + second["lost"], [first["rejected"], second["rejected"]]
                print(
                    f"round {number}: killed {victim}; accepted {first['accepted']} + {second['accepted']}, "
                    f"rejected {rejected}, lost {lost}; equal at chain block {compared['index']}; "
                    f"{_footprint(directory)}",
                    flush=True,
                )
        for node in range(1, 5):
            nexus("db", "check", "--node", str(node), directory=directory)
            nexus("db", "audit", "--node", str(node), directory=directory)
    print("every node's disk is whole and exact to the unit")
    return 0


if __name__ == "__main__":
    sys.exit(main())
