"""What a network must hold to, checked from its stores alone: an oracle that adds up transfers and shares nothing else
with the nodes."""

from collections.abc import Iterator, Sequence

from network.scenario import RuleBroken

from consensus.evidence import Evidence, offender
from consensus.stores import chain_index, read_block
from ledger.accounts import Account, decode_account
from ledger.addresses import address_of
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.execution import APPLIED, SKIPPED, Receipt
from ledger.genesis import Genesis, genesis_state
from ledger.keys import KeyPair
from ledger.kinds import KindRegistry
from ledger.state import account_key
from ledger.storage.audit import audit
from ledger.storage.state_store import LedgerStore
from ledger.storage.store import Reader
from ledger.transactions import SignedTransaction, decode_transaction
from ledger.transfer import Transfer


def is_settled(store: Reader, transaction_id: bytes) -> bool:
    """Whether the selected chain has charged the transaction."""
    found = LedgerStore(store).transaction(transaction_id)
    return found is not None and found[1].status != SKIPPED


def check_conservation(name: str, store: Reader) -> None:
    """No unit was lost or made. Errors: `RuleBroken`."""
    report = audit(store)
    if report.total_units != MAX_SUPPLY_UNITS or report.faults:
        raise RuleBroken(f"{name}: {report.total_units} of {MAX_SUPPLY_UNITS} units, faults {report.faults}")


def settled_transactions(
    store: Reader, registry: KindRegistry
) -> Iterator[tuple[Receipt, SignedTransaction]]:
    """Every transaction that the selected chain charged, in order, from genesis on."""
    ledger = LedgerStore(store)
    bodies: dict[bytes, dict[bytes, SignedTransaction]] = {}
    index = 0
    while (block_id := chain_index(store, index)) is not None:
        index += 1
        for receipt in ledger.receipts(block_id) or ():
            if receipt.status == SKIPPED:
                continue
            if receipt.block_id not in bodies:
                carrier = read_block(store, receipt.block_id)
                assert carrier is not None
                decoded = [decode_transaction(raw, registry) for raw in carrier.transactions]
                bodies[receipt.block_id] = {one.id: one for one in decoded}
            yield receipt, bodies[receipt.block_id][receipt.transaction_id]


def check_accounts(
    name: str, store: Reader, genesis: Genesis, registry: KindRegistry, keys: Sequence[KeyPair]
) -> None:
    """The accounts of `keys` hold what adding up the chain's transfers gives; nonces were used 0, 1, 2, … and no
    transaction twice. Nobody else sends transfers. Errors: `RuleBroken`."""
    state = genesis_state(genesis)
    addresses = [address_of(key.public_key) for key in keys]
    balances = {address: decode_account(state[account_key(address)]).balance for address in addresses}
    nonces = dict.fromkeys(addresses, 0)
    seen: set[bytes] = set()
    for receipt, transaction in settled_transactions(store, registry):
        sender = transaction.sender
        if sender not in balances:
            continue  # evidence, paid by a node's own account
        if transaction.id in seen:
            raise RuleBroken(f"{name}: transaction {transaction.id.hex()} was charged twice")
        if transaction.body.nonce != nonces[sender]:
            raise RuleBroken(f"{name}: nonce {transaction.body.nonce} was used, {nonces[sender]} was next")
        seen.add(transaction.id)
        nonces[sender] += 1
        balances[sender] -= transaction.body.fee
        if receipt.status == APPLIED and isinstance(transaction.payload, Transfer):
            balances[sender] -= transaction.payload.amount
            balances[transaction.payload.recipient] += transaction.payload.amount
    ledger = LedgerStore(store)
    for address in addresses:
        found = decode_account(ledger.get(account_key(address)) or b"")
        expected = Account(balances[address], nonces[address])
        if found != expected:
            raise RuleBroken(f"{name}: account {address.hex()} has {found}, adding up gives {expected}")


def check_verdicts(name: str, store: Reader, registry: KindRegistry, honest: int) -> tuple[int, ...]:
    """Indices of the validators that evidence on the chain has punished. Evidence against one of the first `honest`
    validators never succeeds, and whoever sends it pays. Errors: `RuleBroken`."""
    punished: set[int] = set()
    for receipt, transaction in settled_transactions(store, registry):
        if not isinstance(transaction.payload, Evidence):
            continue
        accused = offender(transaction.payload)
        if receipt.fee <= 0:
            raise RuleBroken(f"{name}: evidence against validator {accused} cost nothing")
        if receipt.status == APPLIED:
            punished.add(accused)
            if accused < honest:
                raise RuleBroken(f"{name}: honest validator {accused} was punished")
    return tuple(sorted(punished))
