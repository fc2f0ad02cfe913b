"""`make sim SEED=1`: one simulated network of real nodes, a summary, and the hash of everything that happened."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from network.simulation import Scenario, run_scenario


def main() -> int:
    """Exit 0 when all rules held; a broken one is a traceback and exit 1."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--virtual-seconds", type=float, default=300.0, help="of the phase with faults")
    parser.add_argument("--nodes", type=int, default=6)
    parser.add_argument("--validators", type=int, default=12)
    options = parser.parse_args()
    print(f"seed {options.seed}: {options.nodes} nodes, {options.validators} validators", flush=True)
    report = run_scenario(
        Scenario(
            seed=options.seed,
            virtual_seconds=options.virtual_seconds,
            nodes=options.nodes,
            validators=options.validators,
        )
    )
    print("\n".join(report.lines()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
