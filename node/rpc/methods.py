"""The methods of the RPC: what each reads, and the JSON it answers with.

Reads go to the committed store through a reader worker, never to the chain writer's caches, so that a call neither
waits for a block nor sees half of one. Ids and digests are lower-case hex; amounts and scores are strings.
"""

from collections.abc import Awaitable, Callable, Mapping
from importlib.metadata import version
from typing import Any, TypeVar

from consensus.blocks import HEADER_VERSION, Header
from consensus.errors import ConsensusFault
from consensus.params import epoch_at, slot_at
from consensus.stores import (
    chain_index,
    index_on_chain,
    latest_blocks,
    merging_index,
    read_block,
    read_ghostdag,
    read_head,
    read_header,
)
from ledger.accounts import RESERVES, SYSTEM_ADDRESSES, Account, decode_account
from ledger.addresses import decode_address, encode_address
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.errors import AddressMalformed, LedgerFault
from ledger.execution import APPLIED, FAILED, Receipt
from ledger.state import account_key
from ledger.storage.errors import StoreError
from ledger.storage.state_store import LedgerStore
from ledger.storage.store import Reader
from ledger.transactions import TRANSACTION_VERSION, SignedTransaction, decode_transaction
from node.rpc.protocol import INTERNAL_ERROR, INVALID_PARAMS, NOT_FOUND, REJECTED, RpcError
from node.rpc.schema import ById, GetAccount, GetBlock, GetDag, Params, Submit, SubmitBatch, parse_params
from node.services import Services
from wnsp.spectrum import BANDS

P = TypeVar("P", bound=Params)
T = TypeVar("T")

_STATUS_WORDS = {APPLIED: "applied", FAILED: "failed"}


class NodeMethods:
    """The table of methods over the running node."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._table: dict[str, Callable[[Mapping[str, object] | list[object]], Awaitable[object]]] = {}
        self._add("node_info", Params, self._node_info)
        self._add("node_peers", Params, self._node_peers)
        self._add("chain_head", Params, self._chain_head)
        self._add("chain_getBlock", GetBlock, self._get_block)
        self._add("chain_getDag", GetDag, self._get_dag)
        self._add("ledger_getAccount", GetAccount, self._get_account)
        self._add("ledger_getSupply", Params, self._get_supply)
        self._add("tx_submit", Submit, self._submit)
        self._add("tx_submitBatch", SubmitBatch, self._submit_batch)
        self._add("tx_get", ById, self._get_transaction)
        self._add("tx_status", ById, self._transaction_status)
        self._add("mempool_status", Params, self._mempool_status)
        self._names = tuple(sorted(self._table))

    def _add(self, name: str, kind: type[P], method: Callable[[P], Awaitable[object]]) -> None:
        async def parsed(params: Mapping[str, object] | list[object]) -> object:
            return await method(parse_params(kind, params))

        self._table[name] = parsed

    def names(self) -> tuple[str, ...]:
        """All methods, sorted."""
        return self._names

    async def call(self, method: str, params: Mapping[str, object] | list[object]) -> object:
        """The JSON result. Errors: `RpcError`."""
        try:
            return await self._table[method](params)
        except (StoreError, ConsensusFault, LedgerFault) as error:
            self._services.fail(error)
            raise RpcError(
                INTERNAL_ERROR, str(error), code=type(error).__name__, hint="the node stops"
            ) from error

    def readiness(self) -> tuple[bool, dict[str, str]]:
        """Whether the node can do its work, and each check's state in words."""
        return self._services.readiness()

    async def _read(self, job: Callable[[Reader], T]) -> T:
        reader = self._services.store
        return await self._services.workers.run_reader(lambda: job(reader))

    # ---- node

    async def _node_info(self, _: Params) -> object:
        services = self._services
        params, rules, network = services.params, services.rules, services.network
        return {
            "version": version("nexusos-node"),
            "protocol": {"header": HEADER_VERSION, "transaction": TRANSACTION_VERSION},
            "peer_id": network.peer_id,
            "listen_addrs": list(network.listen_addresses),
            "gossip_topics": list(network.topics()),
            "network": params.network,
            "chain_id": params.chain_id,
            "genesis": params.genesis_hash.hex(),
            "genesis_time_ms": str(params.genesis_time_ms),
            "slot": str(slot_at(params, services.now_ms())),
            "slot_ms": params.slot_ms,
            "epoch_slots": params.epoch_slots,
            "ghostdag_k": params.ghostdag_k,
            "address_prefix": rules.address_prefix,
            "base_fee_units": str(rules.base_fee_units),
            "fee_per_byte_units": str(rules.fee_per_byte_units),
            "validators": list(services.validator_indices),
            "sync": services.sync_report(),
        }

    async def _node_peers(self, _: Params) -> object:
        services = self._services
        return {
            "peers": [
                {
                    "peer_id": peer.peer_id,
                    "addresses": list(peer.addresses),
                    "direction": peer.direction,
                    "score": services.peer_score(peer.peer_id),
                }
                for peer in services.network.peers()
            ]
        }

    # ---- chain

    async def _chain_head(self, _: Params) -> object:
        head = await self._read(read_head)
        if head is None:
            raise RpcError(NOT_FOUND, "the store holds no chain yet", code="NoChain")
        return {
            "id": head.id.hex(),
            "slot": str(head.slot),
            "epoch": str(epoch_at(self._services.params, head.slot)),
            "blue_score": str(head.blue_score),
            "blue_work": str(head.blue_work),
            "chain_index": str(head.chain_index),
            "state_root": head.state_root.hex(),
        }

    async def _get_block(self, params: GetBlock) -> object:
        if (params.id is None) == (params.index is None):
            raise RpcError(INVALID_PARAMS, "name the block by id or by index, not both", code="ParamsInvalid")
        return await self._read(lambda reader: _block_json(reader, params))

    async def _get_dag(self, params: GetDag) -> object:
        return await self._read(lambda reader: _dag_json(reader, params))

    # ---- ledger

    def _address(self, text: str) -> bytes:
        try:
            return decode_address(self._services.rules.address_prefix, text)
        except AddressMalformed as error:
            raise RpcError(INVALID_PARAMS, str(error), code=error.code) from None

    async def _get_account(self, params: GetAccount) -> object:
        address = self._address(params.address)
        account = await self._read(lambda reader: _account(reader, address))
        return {
            "address": params.address.lower(),
            "balance": str(account.balance),
            "nonce": str(account.nonce),
            "next_nonce": str(self._services.mempool.next_nonce(address, account)),
            "pending": len(self._services.mempool.pending_of(address)),
            "system_account": SYSTEM_ADDRESSES.get(address),
        }

    async def _get_supply(self, _: Params) -> object:
        balances = await self._read(_system_balances)
        prefix = self._services.rules.address_prefix
        reserved = sum(balances[name] for name in RESERVES)
        return {
            "max_supply": str(MAX_SUPPLY_UNITS),
            "reserved": str(reserved),
            "circulating": str(MAX_SUPPLY_UNITS - reserved),
            "conservation_error": str(self._services.conservation_error_units()),
            "system_accounts": [
                {"name": name, "address": encode_address(prefix, address), "balance": str(balances[name])}
                for address, name in SYSTEM_ADDRESSES.items()
            ],
        }

    # ---- transactions

    async def _submit(self, params: Submit) -> object:
        outcome = (await self._services.submit_transactions([bytes.fromhex(params.raw)]))[0]
        if isinstance(outcome, SignedTransaction):
            return {"id": outcome.id.hex(), "status": "pending"}
        raise RpcError(REJECTED, str(outcome), code=outcome.code)

    async def _submit_batch(self, params: SubmitBatch) -> object:
        outcomes = await self._services.submit_transactions([bytes.fromhex(raw) for raw in params.raw])
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
        found = await self._read(lambda reader: _location(reader, transaction_id))
        if found is not None:
            return found
        mempool = self._services.mempool
        shown: dict[str, object] = {"id": transaction_id.hex()}
        if transaction_id in mempool:
            return {**shown, "status": "pending"}
        reason = mempool.drop_reason(transaction_id)
        if reason is not None:
            return {**shown, "status": "rejected", "reason": reason}
        return {**shown, "status": "unknown", "reason": "neither accepted nor pending at this node"}

    async def _get_transaction(self, params: ById) -> object:
        transaction_id = bytes.fromhex(params.id)
        status = await self._status(transaction_id)
        transaction = self._services.mempool.get(transaction_id)
        if transaction is None and "carrier" in status:
            carrier = bytes.fromhex(str(status["carrier"]))
            raws = await self._read(lambda reader: _body(reader, carrier))
            for raw in raws:
                candidate = decode_transaction(raw, self._services.registry)
                if candidate.id == transaction_id:
                    transaction = candidate
                    break
        if transaction is None:
            raise RpcError(
                NOT_FOUND,
                f"transaction {params.id} is {status['status']} here",
                code="TransactionNotFound",
                hint="ask the node that it was submitted to",
            )
        return {**status, **self._transaction_json(transaction)}

    def _transaction_json(self, transaction: SignedTransaction) -> dict[str, object]:
        body = transaction.body
        prefix = self._services.rules.address_prefix
        return {
            "kind": self._services.registry.kind(body.kind).name,
            "sender": encode_address(prefix, transaction.sender),
            "nonce": str(body.nonce),
            "expiry_slot": str(body.expiry_slot),
            "fee": str(body.fee),
            "payload": _payload_json(transaction.payload, prefix),
            "raw": transaction.raw.hex(),
        }

    async def _mempool_status(self, _: Params) -> object:
        mempool = self._services.mempool
        return {
            "transactions": len(mempool),
            "bytes": mempool.size_bytes,
            "max_transactions": mempool.limits.max_transactions,
            "max_bytes": mempool.limits.max_bytes,
        }


def _account(reader: Reader, address: bytes) -> Account:
    raw = LedgerStore(reader).get(account_key(address))
    return Account(0, 0) if raw is None else decode_account(raw)


def _system_balances(reader: Reader) -> dict[str, int]:
    return {name: _account(reader, address).balance for address, name in SYSTEM_ADDRESSES.items()}


def _body(reader: Reader, block_id: bytes) -> tuple[bytes, ...]:
    block = read_block(reader, block_id)
    return () if block is None else block.transactions


def _location(reader: Reader, transaction_id: bytes) -> dict[str, object] | None:
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
        "carrier": location.carrier.hex(),
        "fee_charged": str(receipt.fee),
    }


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
    }


def _receipt_json(receipt: Receipt) -> dict[str, object]:
    return {
        "id": receipt.transaction_id.hex(),
        "status": _STATUS_WORDS.get(receipt.status, "skipped"),
        "reason": receipt.reason,
        "carrier": receipt.block_id.hex(),
        "fee": str(receipt.fee),
    }


def _block_json(reader: Reader, params: GetBlock) -> dict[str, object]:
    if params.id is not None:
        block_id: bytes | None = bytes.fromhex(params.id)
    else:
        block_id = chain_index(reader, params.index or 0)
    block = None if block_id is None else read_block(reader, block_id)
    if block is None or block_id is None:
        name = params.id if params.id is not None else f"at chain index {params.index}"
        raise RpcError(NOT_FOUND, f"no block {name}", code="BlockNotFound")
    data = read_ghostdag(reader, block_id)
    index = index_on_chain(reader, block_id)
    shown = _header_json(block_id, block.header)
    shown |= {
        "color": _color(reader, block_id),
        "chain_index": None if index is None else str(index),
        "transaction_count": len(block.transactions),
        "selected_parent": None if data is None or not block.header.parents else data.selected_parent.hex(),
        "mergeset_blues": [] if data is None else [one.hex() for one in data.mergeset_blues],
        "mergeset_reds": [] if data is None else [one.hex() for one in data.mergeset_reds],
    }
    if params.transactions:
        shown["transactions"] = [raw.hex() for raw in block.transactions]
    if params.receipts:
        receipts = LedgerStore(reader).receipts(block_id) if index is not None else None
        shown["receipts"] = [_receipt_json(receipt) for receipt in receipts or ()]
    return shown


def _dag_json(reader: Reader, params: GetDag) -> dict[str, object]:
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


def _payload_json(payload: Any, prefix: str) -> dict[str, object]:
    """A payload's fields: addresses as text, other bytes as hex, numbers as strings, records nested."""
    shown: dict[str, object] = {}
    for name in payload.__struct_fields__:
        shown[name] = _field_json(getattr(payload, name), prefix)
    return shown


def _field_json(value: Any, prefix: str) -> object:
    if isinstance(value, bytes):
        return encode_address(prefix, value) if len(value) == 20 else value.hex()
    if isinstance(value, tuple):
        return [_field_json(item, prefix) for item in value]
    if hasattr(value, "__struct_fields__"):
        return _payload_json(value, prefix)
    return str(value) if isinstance(value, int) else value
