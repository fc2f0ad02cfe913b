"""What a transition knows besides the state: the chain's rules and where in the chain it happens."""

from dataclasses import dataclass

from ledger.staking_rules import StakingRules

BASE_FEE_UNITS = 1_000
"""Default part of the least fee that does not depend on size (ledger.md, Transactions)."""

FEE_PER_BYTE_UNITS = 10
"""Default part of the least fee per byte: filling a 512 KiB block costs at least 0.0524 NXT."""


@dataclass(frozen=True, slots=True)
class ChainRules:
    """Parameters of one chain that transactions are judged by."""

    chain_id: str
    genesis_hash: bytes
    """32 bytes; part of every signed preimage."""
    address_prefix: str
    base_fee_units: int = BASE_FEE_UNITS
    fee_per_byte_units: int = FEE_PER_BYTE_UNITS


@dataclass(frozen=True, slots=True)
class BlockContext:
    """The accepting chain block, as the state transition sees it."""

    rules: ChainRules
    slot: int
    """Slot of the accepting chain block; expiry is compared with it."""
    epoch: int
    finalised_epoch: int
    """Latest finalised epoch in the block's own view."""
    merging_proposer: int
    """Index of the validator that proposed the accepting block; gets the fees that red carriers forfeit."""
    staking: StakingRules
    timely_votes: tuple[int, ...] = ()
    """Indices of the validators whose votes this block is the first to count and in time, ascending; an index stands
    there once per vote."""


def minimum_fee(rules: ChainRules, size_bytes: int, touches: int = 1) -> int:
    """Least fee in units for a transaction of `size_bytes`, signature included, that touches `touches` records.

    The base fee is paid per record: what a batch saves is bytes and signatures, not state.
    """
    return rules.base_fee_units * max(1, touches) + rules.fee_per_byte_units * size_bytes
