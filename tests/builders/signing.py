"""Blocks and votes to sign, and who finds two of them slashable: EIP-3076's definitions, written down anew."""

from collections.abc import Iterable

from consensus.blocks import HEADER_VERSION, Header, HeaderCore, core_of
from consensus.votes import Checkpoint, Vote, VoteCore, vote_core

CHAIN = bytes(range(32))
"""A genesis hash."""
OTHER_CHAIN = bytes(range(1, 33))


def block_core(slot: int, variant: int = 0, band: int = 0) -> HeaderCore:
    """A block to sign; another `variant` is another block of the same lane."""
    return HeaderCore(
        version=HEADER_VERSION,
        parents=(bytes(32),),
        slot=slot,
        band=band,
        proposer=3,
        blue_score=slot,
        blue_work=slot,
        state_root=bytes(32),
        receipts_root=bytes(32),
        body_root=variant.to_bytes(32, "big"),
        votes_root=bytes(32),
        reveal=bytes(32),
    )


def vote_from(source: int, target: int, variant: int = 0) -> VoteCore:
    """A vote to sign; another `variant` votes for another block."""
    return VoteCore(3, 1, Checkpoint(source, bytes(32)), Checkpoint(target, variant.to_bytes(32, "big")))


def slashable_pairs(headers: Iterable[Header], votes: Iterable[Vote]) -> list[tuple[object, object]]:
    """Pairs of one key's signatures that prove a fault: two blocks of a slot, a double vote, a surround vote."""
    cores = {core_of(header) for header in headers}
    ballots = {vote_core(vote) for vote in votes}
    blocks = [(one, other) for one in cores for other in cores if one != other and one.slot == other.slot]
    doubles = [
        (one, other)
        for one in ballots
        for other in ballots
        if one != other and one.target.period == other.target.period
    ]
    surrounds = [
        (one, other)
        for one in ballots
        for other in ballots
        if one.source.period < other.source.period and other.target.period < one.target.period
    ]
    return [*blocks, *doubles, *surrounds]
