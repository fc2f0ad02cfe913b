"""What the engine tells its caller: values, in the order in which things happened. The node logs, counts, relays."""

from dataclasses import dataclass
from typing import TypeAlias

from consensus.certificates import Certificate
from consensus.errors import ConsensusError
from consensus.stores import Head
from consensus.votes import Checkpoint
from ledger.execution import Receipt


@dataclass(frozen=True, slots=True)
class BlockAdded:
    """A block is part of the DAG now."""

    block_id: bytes
    slot: int
    band: int
    proposer: int
    blue_score: int


@dataclass(frozen=True, slots=True)
class BlockRefused:
    """A block of a batch was not added; `error` is what `process_block` would have raised for it."""

    block_id: bytes
    error: ConsensusError


@dataclass(frozen=True, slots=True)
class DuplicateLane:
    """A second (or further) block of one lane: its validator's equivocation."""

    slot: int
    band: int
    block_ids: tuple[bytes, ...]
    """All blocks of the lane in order of arrival; the last one is new."""


@dataclass(frozen=True, slots=True)
class BlockDisqualified:
    """A block states a wrong state and can never be on the selected chain; it can still be merged."""

    block_id: bytes
    reason: str
    """Stable symbol: a name of `consensus.virtual.StateFault`."""
    detail: str


@dataclass(frozen=True, slots=True)
class AcceptedBlock:
    """A block that joined the selected chain, with what became of the transactions that it merged."""

    block_id: bytes
    slot: int
    receipts: tuple[Receipt, ...]


@dataclass(frozen=True, slots=True)
class ChainAdvanced:
    """The selected chain ends elsewhere: higher, or on another branch."""

    head: Head
    removed: tuple[bytes, ...]
    """Blocks that left the chain, from the old sink downwards. Their receipts can still be read."""
    added: tuple[AcceptedBlock, ...]
    """Blocks that joined it, ascending; the last one is the new sink."""


@dataclass(frozen=True, slots=True)
class PeriodJustified:
    """The votes in the past of the chain justify a checkpoint."""

    certificate: Certificate


@dataclass(frozen=True, slots=True)
class PeriodFinalised:
    """This node's finalised checkpoint has risen: nothing below it will ever change."""

    checkpoint: Checkpoint
    at_slot: int
    """Slot of the chain block in whose view it is final."""


Event: TypeAlias = (
    BlockAdded
    | BlockRefused
    | DuplicateLane
    | BlockDisqualified
    | ChainAdvanced
    | PeriodJustified
    | PeriodFinalised
)
