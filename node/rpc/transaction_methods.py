"""tx_* and mempool_*: submitting transactions and what became of them."""

from typing import Any

from consensus.stores import index_on_chain, read_block, read_finality_status, read_header
from ledger.addresses import ADDRESS_BYTES, NXT_ASSET, encode_address
from ledger.execution import APPLIED, FAILED
from ledger.registry import KindRegistry
from ledger.storage.state_store import LedgerStore
from ledger.storage.store import Reader
from ledger.transactions import SignedTransaction, decode_transaction
from ledger.transactions import transaction_id as id_of
from node.rpc.groups import Method, MethodGroup
from node.rpc.protocol import NOT_FOUND, REJECTED, RpcError, pruned
from node.rpc.receipts import receipt_result
from node.rpc.schema import ById, Params, Submit, SubmitBatch

ASSET_FIELDS = frozenset(("token", "first", "second", "path"))
"""Fields of payloads whose 20 bytes name an asset and no account."""


class TransactionMethods(MethodGroup):
    """Transactions by id, and the mempool."""

    def methods(self) -> tuple[Method, ...]:
        """See `MethodGroup`."""
        return (
            Method("tx_submit", Submit, self._submit),
            Method("tx_submitBatch", SubmitBatch, self._submit_batch),
            Method("tx_get", ById, self._get_transaction),
            Method("tx_status", ById, self._transaction_status),
            Method("mempool_status", Params, self._mempool_status),
        )

    async def _submit(self, params: Submit) -> object:
        outcome = (await self.services.submit_transactions([bytes.fromhex(params.raw)]))[0]
        if isinstance(outcome, SignedTransaction):
            return {"id": outcome.id.hex(), "status": "pending"}
        raise RpcError(REJECTED, str(outcome), code=outcome.code)

    async def _submit_batch(self, params: SubmitBatch) -> object:
        outcomes = await self.services.submit_transactions([bytes.fromhex(raw) for raw in params.raw])
        return {
            "results": [
                {"id": outcome.id.hex(), "status": "pending"}
                if isinstance(outcome, SignedTransaction)
                else {"error": outcome.code, "message": str(outcome)}
                for outcome in outcomes
            ]
        }

    async def _transaction_status(self, params: ById) -> object:
        return await self._status(bytes.fromhex(params.id))

    async def _status(self, transaction_id: bytes) -> dict[str, object]:
        registry = self.services.registry
        found = await self.read(lambda reader: _location(reader, transaction_id, registry))
        if found is not None:
            return found
        mempool = self.services.mempool
        shown: dict[str, object] = {"id": transaction_id.hex()}
        if transaction_id in mempool:
            return {**shown, "status": "pending"}
        reason = mempool.drop_reason(transaction_id)
        if reason is not None:
            return {**shown, "status": "rejected", "reason": reason}
        reason = "neither accepted nor pending at this node"
        base_slot = self.services.chain_writer.base.slot
        if base_slot:
            reason += f", which keeps blocks from slot {base_slot} on"
        return {**shown, "status": "unknown", "reason": reason}

    async def _get_transaction(self, params: ById) -> object:
        transaction_id = bytes.fromhex(params.id)
        status = await self._status(transaction_id)
        transaction = self.services.mempool.get(transaction_id)
        if transaction is None and "carrier" in status:
            carrier = bytes.fromhex(str(status["carrier"]))
            registry = self.services.registry
            transaction = await self.read(lambda reader: _carried(reader, carrier, transaction_id, registry))
        if transaction is None and "carrier" in status:
            raise pruned(f"transaction {params.id}", self.services.chain_writer.base.slot)
        if transaction is None:
            raise RpcError(
                NOT_FOUND,
                f"transaction {params.id} is {status['status']} here: {status['reason']}",
                code="TransactionNotFound",
                hint="ask the node that it was submitted to",
            )
        return {**status, **self._transaction_json(transaction)}

    def _transaction_json(self, transaction: SignedTransaction) -> dict[str, object]:
        body = transaction.body
        prefix = self.services.rules.address_prefix
        return {
            "kind": self.services.registry.kind(body.kind).name,
            "sender": encode_address(prefix, transaction.sender),
            "nonce": str(body.nonce),
            "expiry_slot": str(body.expiry_slot),
            "fee": str(body.fee),
            "payload": _payload_json(transaction.payload, prefix),
            "raw": transaction.raw.hex(),
        }

    async def _mempool_status(self, _: Params) -> object:
        mempool = self.services.mempool
        return {
            "transactions": len(mempool),
            "bytes": mempool.size_bytes,
            "max_transactions": mempool.limits.max_transactions,
            "max_bytes": mempool.limits.max_bytes,
        }


def _carried(
    reader: Reader, block_id: bytes, wanted: bytes, registry: KindRegistry
) -> SignedTransaction | None:
    """The transaction of a block, by id; thousands stand beside it and are not decoded."""
    block = read_block(reader, block_id)
    raws = () if block is None else block.transactions
    found = next((raw for raw in raws if id_of(raw) == wanted), None)
    return None if found is None else decode_transaction(found, registry)


def _is_final(reader: Reader, accepting_block: bytes) -> bool:
    """Whether no reorganisation can take the block from the chain any more."""
    status, index = read_finality_status(reader), index_on_chain(reader, accepting_block)
    final = None if status is None else index_on_chain(reader, status.finalised.block_id)
    return index is not None and final is not None and index <= final


def _location(reader: Reader, transaction_id: bytes, registry: KindRegistry) -> dict[str, object] | None:
    found = LedgerStore(reader).transaction(transaction_id)
    if found is None:
        return None
    location, receipt = found
    header = read_header(reader, location.accepting_block)
    if receipt.status == APPLIED:
        status = "accepted"
    else:
        status = "failed" if receipt.status == FAILED else "rejected"
    return {
        "id": transaction_id.hex(),
        "status": status,
        "reason": receipt.reason,
        "block": location.accepting_block.hex(),
        "slot": "" if header is None else str(header.slot),
        "final": _is_final(reader, location.accepting_block),
        "carrier": location.carrier.hex(),
        "fee_charged": str(receipt.fee),
        "kind": registry.kind(receipt.kind).name,
        "result": receipt_result(receipt, registry),
    }


def _payload_json(payload: Any, prefix: str) -> dict[str, object]:
    """A payload's fields: addresses as text, assets as NXT or hex, other bytes as hex, numbers as strings."""
    return {
        name: _asset_json(value) if name in ASSET_FIELDS else _field_json(value, prefix)
        for name in payload.__struct_fields__
        for value in (getattr(payload, name),)
    }


def _asset_json(value: Any) -> object:
    if isinstance(value, tuple):
        return [_asset_json(item) for item in value]
    return "NXT" if value == NXT_ASSET else value.hex()


def _field_json(value: Any, prefix: str) -> object:
    if isinstance(value, bytes):
        return encode_address(prefix, value) if len(value) == ADDRESS_BYTES else value.hex()
    if isinstance(value, tuple):
        return [_field_json(item, prefix) for item in value]
    if hasattr(value, "__struct_fields__"):
        return _payload_json(value, prefix)
    return str(value) if isinstance(value, int) else value
