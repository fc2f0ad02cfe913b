"""chain_*: the selected chain and the DAG around it."""

from consensus.blocks import Header
from consensus.params import epoch_at
from consensus.stores import (
    chain_index,
    index_on_chain,
    latest_blocks,
    merging_index,
    read_base,
    read_block,
    read_ghostdag,
    read_head,
)
from ledger.execution import APPLIED, FAILED, Receipt
from ledger.registry import KindRegistry
from ledger.storage.state_store import LedgerStore
from ledger.storage.store import Reader
from node.rpc.groups import Method, MethodGroup
from node.rpc.protocol import INVALID_PARAMS, NOT_FOUND, RpcError, pruned
from node.rpc.receipts import receipt_result
from node.rpc.schema import GetBlock, GetDag, Params
from wnsp.spectrum import BANDS

_STATUS_WORDS = {APPLIED: "applied", FAILED: "failed"}


class ChainMethods(MethodGroup):
    """Heads, blocks, the DAG."""

    def methods(self) -> tuple[Method, ...]:
        """See `MethodGroup`."""
        return (
            Method("chain_head", Params, self._chain_head),
            Method("chain_getBlock", GetBlock, self._get_block),
            Method("chain_getDag", GetDag, self._get_dag),
        )

    async def _chain_head(self, _: Params) -> object:
        head = await self.read(read_head)
        finality = await self.read(lambda _: self.services.finality())
        if head is None:
            raise RpcError(NOT_FOUND, "the store holds no chain yet", code="NoChain")
        return {
            "id": head.id.hex(),
            "slot": str(head.slot),
            "epoch": str(epoch_at(self.services.params, head.slot)),
            "blue_score": str(head.blue_score),
            "blue_work": str(head.blue_work),
            "chain_index": str(head.chain_index),
            "state_root": head.state_root.hex(),
            "justified_period": str(finality.justified.period),
            "finalised_period": str(finality.finalised.period),
            "finalised": finality.finalised.block_id.hex(),
        }

    async def _get_block(self, params: GetBlock) -> object:
        if (params.id is None) == (params.index is None):
            raise RpcError(INVALID_PARAMS, "name the block by id or by index, not both", code="ParamsInvalid")
        return await self.read(lambda reader: _block_json(reader, params, self.services.registry))

    async def _get_dag(self, params: GetDag) -> object:
        return await self.read(lambda reader: _dag_json(reader, params))


def _color(reader: Reader, block_id: bytes) -> str:
    """chain, blue, red; pending when no chain block has merged it yet."""
    if index_on_chain(reader, block_id) is not None:
        return "chain"
    index = merging_index(reader, block_id)
    merging = None if index is None else chain_index(reader, index)
    data = None if merging is None else read_ghostdag(reader, merging)
    if data is None:
        return "pending"
    return "blue" if block_id in data.mergeset_blues else "red"


def _header_json(block_id: bytes, header: Header) -> dict[str, object]:
    return {
        "id": block_id.hex(),
        "slot": str(header.slot),
        "band": BANDS[header.band].name,
        "proposer": header.proposer,
        "parents": [parent.hex() for parent in header.parents],
        "blue_score": str(header.blue_score),
        "blue_work": str(header.blue_work),
        "state_root": header.state_root.hex(),
        "receipts_root": header.receipts_root.hex(),
        "body_root": header.body_root.hex(),
        "votes_root": header.votes_root.hex(),
        "reveal": header.reveal.hex(),
    }


def _receipt_json(receipt: Receipt, registry: KindRegistry) -> dict[str, object]:
    return {
        "id": receipt.transaction_id.hex(),
        "status": _STATUS_WORDS.get(receipt.status, "skipped"),
        "reason": receipt.reason,
        "carrier": receipt.block_id.hex(),
        "fee": str(receipt.fee),
        "kind": registry.kind(receipt.kind).name,
        "result": receipt_result(receipt, registry),
    }


def _block_json(reader: Reader, params: GetBlock, registry: KindRegistry) -> dict[str, object]:
    if params.id is not None:
        block_id: bytes | None = bytes.fromhex(params.id)
    else:
        block_id = chain_index(reader, params.index or 0)
    block = None if block_id is None else read_block(reader, block_id)
    if block is None or block_id is None:
        raise _missing(reader, params)
    data = read_ghostdag(reader, block_id)
    index = index_on_chain(reader, block_id)
    shown = _header_json(block_id, block.header)
    shown |= {
        "color": _color(reader, block_id),
        "chain_index": None if index is None else str(index),
        "transaction_count": len(block.transactions),
        "votes": [
            {
                "validator": vote.validator,
                "source_period": str(vote.source.period),
                "target_period": str(vote.target.period),
                "target": vote.target.block_id.hex(),
            }
            for vote in block.votes
        ],
        "selected_parent": None if data is None or not block.header.parents else data.selected_parent.hex(),
        "mergeset_blues": [] if data is None else [one.hex() for one in data.mergeset_blues],
        "mergeset_reds": [] if data is None else [one.hex() for one in data.mergeset_reds],
    }
    if params.transactions:
        shown["transactions"] = [raw.hex() for raw in block.transactions]
    if params.receipts:
        receipts = LedgerStore(reader).receipts(block_id) if index is not None else None
        shown["receipts"] = [_receipt_json(receipt, registry) for receipt in receipts or ()]
    return shown


def _missing(reader: Reader, params: GetBlock) -> RpcError:
    """Why there is no such block here."""
    base = read_base(reader)
    base_slot, base_index = (0, 0) if base is None else (base.slot, base.chain_index)
    if params.index is not None and params.index < base_index:
        return pruned(f"the block at chain index {params.index}", base_slot)
    name = params.id if params.id is not None else f"at chain index {params.index}"
    hint = f"blocks below slot {base_slot} are pruned here: ask a node that runs with --archive"
    return RpcError(NOT_FOUND, f"no block {name}", code="BlockNotFound", hint=hint if base_slot else "")


def _dag_json(reader: Reader, params: GetDag) -> dict[str, object]:
    base = read_base(reader)
    if base is not None and params.last_slot is not None and params.last_slot < base.slot:
        raise pruned(f"the DAG up to slot {params.last_slot}", base.slot)
    entries = []
    for entry in latest_blocks(reader, params.last_slot):
        entries.append(entry)
        if len(entries) >= params.limit:
            break
    blocks = []
    for entry in reversed(entries):
        block = read_block(reader, entry.block_id)
        if block is not None:
            shown = _header_json(entry.block_id, block.header)
            shown["color"] = _color(reader, entry.block_id)
            shown["transactions"] = len(block.transactions)
            blocks.append(shown)
    return {"blocks": blocks}
