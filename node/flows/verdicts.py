"""The one table that turns a family of errors into what happens to a message and to the peer that sent it.

Nobody else decides. What a relay could not have known when it forwarded a block (its context, its transactions'
signatures) costs a gossiping peer nothing: the points are for the `judged` stage only. A peer that *serves* a block
had it in its own DAG, so there every fault counts.
"""

from dataclasses import dataclass

from consensus.errors import (
    BelowBase,
    BlockNotJudged,
    BodyMismatch,
    InvalidBlock,
    MissingParents,
    SlotInFuture,
)
from ledger.errors import CodecError, InvalidTransaction
from p2p.network import Verdict
from p2p.peers import Fault


@dataclass(frozen=True, slots=True)
class Consequence:
    """What follows from an error."""

    verdict: Verdict
    """Of the gossiped message, when the error is found before the verdict."""
    fault: Fault | None
    """Of the peer that sent the message, or served the block."""


BlockError = (
    InvalidBlock
    | BodyMismatch
    | MissingParents
    | BlockNotJudged
    | BelowBase
    | SlotInFuture
    | CodecError
    | InvalidTransaction
)

CONSEQUENCES: tuple[tuple[type[Exception], Consequence], ...] = (
    (MissingParents, Consequence(Verdict.ACCEPT, None)),
    (BelowBase, Consequence(Verdict.IGNORE, None)),
    (BlockNotJudged, Consequence(Verdict.IGNORE, None)),
    (SlotInFuture, Consequence(Verdict.IGNORE, None)),
    (InvalidBlock, Consequence(Verdict.REJECT, Fault.INVALID)),
    (BodyMismatch, Consequence(Verdict.REJECT, Fault.INVALID)),
    (InvalidTransaction, Consequence(Verdict.REJECT, Fault.INVALID)),
    (CodecError, Consequence(Verdict.REJECT, Fault.MALFORMED)),
)
"""First match wins: `UnknownHeaderVersion` is an `InvalidBlock` and a `CodecError`."""


def consequence_of(error: BlockError) -> Consequence:
    """The row of the table for `error`."""
    return next(row for family, row in CONSEQUENCES if isinstance(error, family))
