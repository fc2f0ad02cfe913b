"""Whatever crashes, clocks and moves of the history do, a signer never gives away two signatures that are slashable.

`NEXUS_SIGNER_SEQUENCES` sets how many sequences are tried (10,000; the release runs a million).
"""

import os
import random

import pytest
from builders.signing import CHAIN, block_core, slashable_pairs, vote_from
from builders.wallets import key_number
from faults.faulty_store import Crash, FaultyDisk

from consensus.blocks import Header
from consensus.votes import Vote, VoteCore
from ledger.storage.errors import StoreWriteFailed
from node.signing.errors import SigningRefused
from node.signing.interchange import export_interchange, import_interchange
from node.signing.local_signer import LocalSigner
from node.signing.protection import SigningProtection
from node.signing.signer import block_signing_root, vote_signing_root

SEQUENCES = int(os.environ.get("NEXUS_SIGNER_SEQUENCES", "10000"))
KEY = key_number(1)
PARTS = 4
"""For so many test processes."""
CRASHES = tuple(Crash)


class Life:
    """A key's life on machines that fail: what it gave away, and its present signer."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.disk = FaultyDisk(seed)
        self.moves = 0
        self.headers: list[Header] = []
        self.votes: list[Vote] = []
        self.refused = 0
        self.slot = 20
        self.start()

    def start(self) -> None:
        """A process."""
        self.protection = SigningProtection(self.disk.open(), CHAIN)
        self.signer = LocalSigner([KEY], self.protection)

    def crash(self) -> None:
        """It ends, somehow, and another one starts."""
        self.disk.crash(self.chance.choice(CRASHES))
        self.start()

    def step(self) -> None:
        """One thing happens."""
        chance = self.chance
        self.slot = max(1, self.slot + chance.choice((0, 1, 1, 1, 2, 8, -1, -3, -9)))
        if chance.random() < 0.1:
            self.disk.fail_write(chance.choice((1, 1, 2)))
        try:
            match chance.choice(("block", "block", "vote", "vote", "crash", "half", "move")):
                case "block":
                    core = block_core(self.slot, chance.randrange(2))
                    self.headers.append(self.signer.sign_block(KEY.public_key, core))
                case "vote":
                    self.votes.append(self.signer.sign_vote(KEY.public_key, self.vote()))
                case "crash":
                    self.crash()
                case "half":
                    self.claim_and_die()
                case _:
                    self.move()
        except SigningRefused:
            self.refused += 1
        except StoreWriteFailed:
            self.crash()

    def vote(self) -> VoteCore:
        """A vote for the period of this moment, from some earlier one."""
        target = self.slot // 2
        return vote_from(max(0, target - self.chance.randint(1, 4)), target, self.chance.randrange(2))

    def claim_and_die(self) -> None:
        """The process ends between the record and the signature."""
        try:
            if self.chance.random() < 0.5:
                root = block_signing_root(block_core(self.slot, 0), CHAIN)
                self.protection.claim_block(KEY.public_key, self.slot, root)
            else:
                core = self.vote()
                root = vote_signing_root(core, CHAIN)
                self.protection.claim_vote(KEY.public_key, core.source.period, core.target.period, root)
        finally:
            self.crash()

    def move(self) -> None:
        """The key moves to another machine with its history, by way of a file."""
        content = export_interchange(self.protection)
        self.disk.crash(Crash.KEEP_ALL)
        self.moves += 1
        self.disk = FaultyDisk(self.chance.randrange(2**32), f"machine {self.moves}")
        self.start()
        import_interchange(self.protection, content)


@pytest.mark.parametrize("part", range(PARTS))
def test_L8_R19_no_sequence_of_crashes_restores_and_clock_jumps_yields_a_slashable_pair(part: int) -> None:
    signed = refused = 0
    seeds = range(part, SEQUENCES, PARTS)
    for seed in seeds:
        life = Life(seed)
        for _ in range(12):
            life.step()
        assert slashable_pairs(life.headers, life.votes) == [], f"seed {seed}"
        signed += len(life.headers) + len(life.votes)
        refused += life.refused
    # It would hold for a signer that never signs, and tries nothing on one that is never asked to sign twice.
    assert signed > 2 * len(seeds) and refused > len(seeds)


def test_the_judge_of_the_sequences_finds_each_kind_of_pair() -> None:
    signer = LocalSigner([KEY], SigningProtection(FaultyDisk(1).open(), CHAIN))
    header = signer.sign_block(KEY.public_key, block_core(5))
    vote = signer.sign_vote(KEY.public_key, vote_from(2, 3))
    fresh = LocalSigner([KEY], SigningProtection(FaultyDisk(1).open(), CHAIN))
    again = fresh.sign_block(KEY.public_key, block_core(5))
    assert slashable_pairs([header, again], [vote]) == []
    other = LocalSigner([KEY], SigningProtection(FaultyDisk(1).open(), CHAIN))
    assert slashable_pairs([header, other.sign_block(KEY.public_key, block_core(5, 1))], [])
    assert slashable_pairs([], [vote, other.sign_vote(KEY.public_key, vote_from(2, 3, 1))])
    assert slashable_pairs([], [vote, fresh.sign_vote(KEY.public_key, vote_from(1, 4))])
