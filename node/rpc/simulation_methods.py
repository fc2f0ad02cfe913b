"""tx_simulate: what a transaction would do if the next block carried it. Nothing is signed, sent or written."""

from contextlib import closing

from consensus.params import epoch_at, slot_at
from ledger.errors import LedgerError
from ledger.execution import APPLIED, FAILED, BlockContext, MergedBlock, Outcome, execute_mergeset
from ledger.storage.state_store import LedgerStore
from ledger.transaction_validation import validate_transaction_in_isolation
from ledger.transactions import SignedTransaction, decode_transaction
from node.rpc.groups import Method, MethodGroup
from node.rpc.protocol import REJECTED, RpcError
from node.rpc.receipts import receipt_result
from node.rpc.schema import Submit

_STATUS = {APPLIED: "applied", FAILED: "failed"}


class SimulationMethods(MethodGroup):
    """Dry runs on the committed state."""

    def methods(self) -> tuple[Method, ...]:
        """See `MethodGroup`."""
        return (Method("tx_simulate", Submit, self._simulate),)

    async def _simulate(self, params: Submit) -> object:
        services = self.services
        try:
            transaction = decode_transaction(bytes.fromhex(params.raw), services.registry)
            validate_transaction_in_isolation(transaction, services.rules, services.registry)
        except LedgerError as error:
            raise RpcError(REJECTED, str(error), code=error.code) from None
        slot = max(services.head.slot + 1, slot_at(services.params, services.now_ms()))
        context = BlockContext(
            rules=services.rules,
            slot=slot,
            epoch=epoch_at(services.params, slot),
            finalised_epoch=services.finalised_epoch(),
            merging_proposer=0,
            staking=services.params.staking,
        )
        outcome = await services.workers.run_reader(lambda: self._outcome(transaction, context))
        receipt = outcome.receipts[0]
        return {
            "id": transaction.id.hex(),
            "status": _STATUS.get(receipt.status, "skipped"),
            "reason": receipt.reason,
            "slot": str(slot),
            "fee": str(receipt.fee),
            "kind": services.registry.kind(transaction.body.kind).name,
            "result": receipt_result(receipt, services.registry),
        }

    def _outcome(self, transaction: SignedTransaction, context: BlockContext) -> Outcome:
        carrier = MergedBlock(bytes(32), 0, True, (transaction,))
        with closing(self.services.store.snapshot()) as snapshot:
            return execute_mergeset(LedgerStore(snapshot), [carrier], context, self.services.registry)
