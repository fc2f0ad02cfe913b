"""The full audit: every balance on disk counted again, against the supply, the fee credits, the stakes, the economy."""

from dataclasses import dataclass

from ledger.accounts import BONDED, FEES, RESERVES, SYSTEM_ACCOUNTS, SYSTEM_ADDRESSES, decode_account
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.errors import Malformed
from ledger.fee_credits import decode_fee_credit
from ledger.state import ACCOUNT_KEY_BYTES, ACCOUNT_PREFIX, FEE_CREDIT_PREFIX
from ledger.storage.economy_audit import EconomyFigures, audit_economy
from ledger.storage.staking_audit import audit_staking
from ledger.storage.state_store import LedgerStore
from ledger.storage.store import Reader


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What the audit counted, in units."""

    accounts: int
    """Accounts in the state, system accounts included."""
    total_units: int
    """Sum of all balances; MAX_SUPPLY_UNITS when nothing is wrong."""
    reserved_units: int
    """Sum over the reserves (`ledger.accounts.RESERVES`)."""
    circulating_units: int
    """total_units less reserved_units."""
    system_balances: dict[str, int]
    """Name of each system account found -> balance."""
    fee_credits_units: int
    """Sum of the proposers' fee credits; equals the balance of FEES."""
    staked_units: int
    """Stakes, delegations, unbonding pools and unpaid rewards; equals the balance of BONDED."""
    economy: EconomyFigures
    """Tokens, pools, floor, proposals, flows."""
    faults: tuple[str, ...]
    """What contradicts a rule, in words; empty for a sound state."""


def audit(reader: Reader) -> AuditReport:
    """Count the state again. Reads every state key once; pass a snapshot while the node runs."""
    faults: list[str] = []
    accounts = total = credited = 0
    system_balances: dict[str, int] = {}
    store = LedgerStore(reader)
    for key, value in store.state(ACCOUNT_PREFIX):
        try:
            account = decode_account(value)
        except Malformed as error:
            faults.append(f"account {key[1:].hex()}: {error}")
            continue
        if len(key) != ACCOUNT_KEY_BYTES:
            faults.append(f"account key of {len(key)} bytes: {key.hex()}")
        accounts += 1
        total += account.balance
        name = SYSTEM_ADDRESSES.get(key[1:])
        if name is not None:
            system_balances[name] = account.balance
    for key, value in store.state(FEE_CREDIT_PREFIX):
        if len(key) != 9 or len(value) != 8:
            faults.append(f"fee credit {key.hex()} is malformed")
        credited += decode_fee_credit(value)
    missing = [name for name in SYSTEM_ACCOUNTS if name not in system_balances]
    if missing:
        faults.append(f"system accounts missing: {', '.join(missing)}")
    if total != MAX_SUPPLY_UNITS:
        faults.append(
            f"balances sum to {total} units, expected {MAX_SUPPLY_UNITS}: off by {total - MAX_SUPPLY_UNITS}"
        )
    if credited != system_balances.get(FEES, 0):
        faults.append(f"fee credits sum to {credited} units, FEES holds {system_balances.get(FEES, 0)}")
    staked, staking_faults = audit_staking(store, system_balances.get(BONDED, 0))
    faults += staking_faults
    reserved = sum(system_balances.get(name, 0) for name in RESERVES)
    economy, economy_faults = audit_economy(store, system_balances, MAX_SUPPLY_UNITS - reserved)
    faults += economy_faults
    return AuditReport(
        accounts=accounts,
        total_units=total,
        reserved_units=reserved,
        circulating_units=total - reserved,
        system_balances=system_balances,
        fee_credits_units=credited,
        staked_units=staked,
        economy=economy,
        faults=tuple(faults),
    )
