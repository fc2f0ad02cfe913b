"""ledger_*: accounts, their proofs, and supply."""

from consensus.light_client import FINALITY_PROOF_CODEC
from ledger.accounts import EMPTY_ACCOUNT, RESERVES, SYSTEM_ADDRESSES, Account, decode_account
from ledger.addresses import encode_address
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.state import account_key
from ledger.storage.state_store import LedgerStore
from ledger.storage.store import Reader
from node.finalised_keeper import NothingProved
from node.rpc.groups import Method, MethodGroup
from node.rpc.protocol import NOT_FOUND, RpcError
from node.rpc.schema import GetAccount, Params


class LedgerMethods(MethodGroup):
    """Balances and where all units are."""

    def methods(self) -> tuple[Method, ...]:
        """See `MethodGroup`."""
        return (
            Method("ledger_getAccount", GetAccount, self._get_account),
            Method("ledger_getProof", GetAccount, self._get_proof),
            Method("ledger_getSupply", Params, self._get_supply),
        )

    async def _get_account(self, params: GetAccount) -> object:
        address = self.decode_address(params.address)
        account = await self.read(lambda reader: _account(reader, address))
        return {
            "address": params.address.lower(),
            "balance": str(account.balance),
            "nonce": str(account.nonce),
            "next_nonce": str(self.services.mempool.next_nonce(address, account)),
            "pending": len(self.services.mempool.pending_of(address)),
            "system_account": SYSTEM_ADDRESSES.get(address),
        }

    async def _get_proof(self, params: GetAccount) -> object:
        address = self.decode_address(params.address)
        try:
            proved = await self.services.finalised.prove((account_key(address),))
        except NothingProved as error:
            raise RpcError(NOT_FOUND, str(error), code="NothingProved") from None
        account, checkpoint = proved.values[0], proved.finality.justifying.target
        found = EMPTY_ACCOUNT if account.value is None else decode_account(account.value)
        return {
            "address": params.address.lower(),
            "balance": str(found.balance),
            "nonce": str(found.nonce),
            "period": str(checkpoint.period),
            "block": checkpoint.block_id.hex(),
            "slot": str(proved.finality.header.slot),
            "state_root": proved.finality.header.state_root.hex(),
            "value": None if account.value is None else account.value.hex(),
            "proof": account.proof.to_bytes().hex(),
            "finality": FINALITY_PROOF_CODEC.encode(proved.finality).hex(),
        }

    async def _get_supply(self, _: Params) -> object:
        balances = await self.read(_system_balances)
        prefix = self.services.rules.address_prefix
        reserved = sum(balances[name] for name in RESERVES)
        return {
            "max_supply": str(MAX_SUPPLY_UNITS),
            "reserved": str(reserved),
            "circulating": str(MAX_SUPPLY_UNITS - reserved),
            "conservation_error": str(self.services.conservation_error_units()),
            "system_accounts": [
                {"name": name, "address": encode_address(prefix, address), "balance": str(balances[name])}
                for address, name in SYSTEM_ADDRESSES.items()
            ],
        }


def _account(reader: Reader, address: bytes) -> Account:
    raw = LedgerStore(reader).get(account_key(address))
    return Account(0, 0) if raw is None else decode_account(raw)


def _system_balances(reader: Reader) -> dict[str, int]:
    return {name: _account(reader, address).balance for address, name in SYSTEM_ADDRESSES.items()}
