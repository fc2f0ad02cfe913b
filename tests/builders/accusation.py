"""The kind `accuse`: a proof of guilt that everybody believes, to slash without consensus' evidence."""

from ledger.encoding import Codec, Hash32, Record
from ledger.registry import Kind
from ledger.rules import BlockContext
from ledger.staking.slashing import slash
from ledger.staking.snapshot import ValidatorIndex
from ledger.state import Overlay
from ledger.transactions import SignedTransaction


class Accuse(Record, frozen=True):
    """Payload of kind 91."""

    validator: ValidatorIndex
    offence_id: Hash32
    epochs_ago: int


def _apply(overlay: Overlay, transaction: SignedTransaction, payload: Accuse, context: BlockContext) -> None:
    epoch = max(0, context.epoch - payload.epochs_ago)
    slash(overlay, payload.validator, payload.offence_id, epoch, transaction.sender, context)


ACCUSE = Kind(91, "accuse", Codec(Accuse, "accuse", 64), lambda *_: None, _apply, lambda _: 0, lambda _: 32)
