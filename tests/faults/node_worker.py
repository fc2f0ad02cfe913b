"""Real nodes on real databases that die at a fail point: the nursery of test_fail_points.

As a program: for each line `DIRECTORY FIRST_SLOT SLOTS FAIL_POINT` on its standard input (FAIL_POINT is `name:n`, or
`-`) it forks a worker. That runs the node of `node.daemon` with all validators' keys, on LevelDB, on a clock that jumps
to the next deadline and on a simulated wire, from FIRST_SLOT on for so many slots, and stops in order. All imports are
done before: a worker starts in milliseconds. The journal on standard output:

    ready
    opened INDEX                          chain index of the head that the node found
    head INDEX BLOCK                      the node has told its subscribers
    published SLOT BAND BLOCK             the node gives this block to the network, now
    voted VALIDATOR PERIOD VOTE           the same for a vote; VOTE is a digest of what it says
    ended EXIT_CODE                       by the nursery
"""

import os
import sys
from hashlib import blake2b
from pathlib import Path

import trio
import trio.testing
from builders.chain import devnet
from builders.live_node import clock_at, live_node

from consensus.blocks import decode_block
from consensus.votes import decode_vote
from ledger.storage.fail_points import arm
from ledger.storage.store import Store
from node.chain_writer import Resync
from node.env import real_env
from node.flows.wire import blocks_topic, read_block_message, votes_topic
from p2p import simulated
from p2p.simulated import SimulatedFabric
from p2p.simulated_network import SimulatedNetwork

CHAIN = devnet()


class DiskStores:
    """Stores as a real node opens them."""

    def open(self, path: Path) -> Store:
        """LevelDB in `path`."""
        return real_env().open_store(path)


def report(*words: object) -> None:
    """One line of the journal, written whole or not at all."""
    os.write(sys.stdout.fileno(), (" ".join(map(str, words)) + "\n").encode("ascii"))


class ReportingNetwork(SimulatedNetwork):
    """Says what leaves at the instant at which it leaves: nobody may hear of what a restart would not know."""

    async def publish(self, topic: str, data: bytes) -> None:
        """As the network's."""
        chain_id = CHAIN.params.chain_id
        if topic == blocks_topic(chain_id):
            raw = read_block_message(data)
            assert isinstance(raw, bytes), "blocks without transactions travel whole"
            block = decode_block(raw)
            report("published", block.header.slot, block.header.band, block.header_id.hex())
        elif topic == votes_topic(chain_id):
            vote = decode_vote(data)
            said = blake2b(repr((vote.source, vote.target)).encode(), digest_size=16).hexdigest()
            report("voted", vote.validator, vote.target.period, said)
        await super().publish(topic, data)


async def live(directory: Path, first_slot: int, slots: int) -> None:
    """Run the node for so many slots."""
    async with SimulatedFabric(1) as fabric:
        async with live_node(
            fabric,
            CHAIN,
            directory,
            clock=clock_at(CHAIN, first_slot),
            keys=CHAIN.keys,
            stores=DiskStores(),  # type: ignore[arg-type]
        ) as node:
            report("opened", node.services.head.chain_index)
            with node.services.chain_writer.subscribe() as updates:
                while node.services.head.slot < first_slot + slots:
                    update = await updates.receive()
                    assert not isinstance(update, Resync)
                    report("head", update.head.chain_index, update.head.id.hex())
        assert not fabric.own_faults


def main() -> None:
    """The nursery."""
    simulated.SimulatedNetwork = ReportingNetwork  # type: ignore[misc]
    report("ready")
    for line in sys.stdin:
        directory, first_slot, slots, point = line.split()
        worker = os.fork()
        if not worker:
            arm("" if point == "-" else point)
            clock = trio.testing.MockClock(autojump_threshold=0)
            trio.run(live, Path(directory), int(first_slot), int(slots), clock=clock)
            os._exit(0)
        _, status = os.waitpid(worker, 0)
        report("ended", os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
