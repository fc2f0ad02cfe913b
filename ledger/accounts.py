"""Accounts: a balance and a nonce, in 16 bytes of state; and the system accounts that no key can sign for."""

from struct import Struct as ByteLayout

import msgspec

from ledger.addresses import is_pool_address, system_address
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.errors import AccountOutOfRange, Malformed

MAX_NONCE = 2**63 - 1

_LAYOUT = ByteLayout(">QQ")


class Account(msgspec.Struct, frozen=True, gc=False):
    """What an address owns and how many transactions it has sent."""

    balance: int
    """Units, 0 to MAX_SUPPLY_UNITS."""
    nonce: int
    """The nonce that its next transaction must carry."""


EMPTY_ACCOUNT = Account(0, 0)
"""What an address that the state does not hold reads as."""


def encode_account(account: Account) -> bytes:
    """16 bytes: balance and nonce, each u64 big-endian. Errors: `AccountOutOfRange`, a fault of ours."""
    if not (0 <= account.balance <= MAX_SUPPLY_UNITS and 0 <= account.nonce <= MAX_NONCE):
        raise AccountOutOfRange(account.balance, account.nonce)
    return _LAYOUT.pack(account.balance, account.nonce)


def decode_account(raw: bytes) -> Account:
    """Inverse of `encode_account`. Errors: `Malformed`."""
    if len(raw) != _LAYOUT.size:
        raise Malformed("account", f"{len(raw)} bytes, expected {_LAYOUT.size}")
    balance, nonce = _LAYOUT.unpack(raw)
    if balance > MAX_SUPPLY_UNITS or nonce > MAX_NONCE:
        raise Malformed("account", f"balance {balance} or nonce {nonce} is out of range")
    return Account(balance, nonce)


SECTORS = (
    "ELECTRICITY",
    "WATER",
    "MANUFACTURING",
    "LOGISTICS",
    "FOOD",
    "AGRICULTURE",
    "HORTICULTURE",
    "AQUACULTURE",
    "SERVICES",
    "TECHNOLOGY",
    "CARBON",
    "ENVIRONMENTAL",
)
"""The twelve sectors of the economic loop; each has a pool, the system account SECTOR_<name>."""

BONDED = "BONDED"
"""Holds the validators' stakes and the delegations. Bonded stake circulates: this is no reserve."""
FEES = "FEES"
"""Collects fees until they are paid with the epoch's rewards."""
TREASURY = "TREASURY"
VALIDATOR_POOL = "VALIDATOR_POOL"
ECOSYSTEM_FUND = "ECOSYSTEM_FUND"
TRANSITION_RESERVE = "TRANSITION_RESERVE"
F_FLOOR = "F_FLOOR"
DEPOSITS = "DEPOSITS"
"""Holds the deposits of open proposals. They still belong to their proposers: this is no reserve."""

RESERVES = (
    TREASURY,
    VALIDATOR_POOL,
    ECOSYSTEM_FUND,
    TRANSITION_RESERVE,
    F_FLOOR,
    FEES,
    *(f"SECTOR_{sector}" for sector in SECTORS),
)
"""Circulating supply is MAX_SUPPLY_UNITS less the balances of these."""

SYSTEM_ACCOUNTS = (*RESERVES, BONDED, DEPOSITS)
"""Names of all accounts without a key."""

ADDRESS_OF_SYSTEM_ACCOUNT = {name: system_address(name) for name in SYSTEM_ACCOUNTS}

SYSTEM_ADDRESSES = {address: name for name, address in ADDRESS_OF_SYSTEM_ACCOUNT.items()}
"""Address (20 bytes) -> name. Users' transfers to these are refused."""

FEES_ADDRESS = ADDRESS_OF_SYSTEM_ACCOUNT[FEES]
BONDED_ADDRESS = ADDRESS_OF_SYSTEM_ACCOUNT[BONDED]
TREASURY_ADDRESS = ADDRESS_OF_SYSTEM_ACCOUNT[TREASURY]
VALIDATOR_POOL_ADDRESS = ADDRESS_OF_SYSTEM_ACCOUNT[VALIDATOR_POOL]
ECOSYSTEM_FUND_ADDRESS = ADDRESS_OF_SYSTEM_ACCOUNT[ECOSYSTEM_FUND]
TRANSITION_RESERVE_ADDRESS = ADDRESS_OF_SYSTEM_ACCOUNT[TRANSITION_RESERVE]
F_FLOOR_ADDRESS = ADDRESS_OF_SYSTEM_ACCOUNT[F_FLOOR]
DEPOSITS_ADDRESS = ADDRESS_OF_SYSTEM_ACCOUNT[DEPOSITS]
SECTOR_ADDRESSES = tuple(ADDRESS_OF_SYSTEM_ACCOUNT[f"SECTOR_{sector}"] for sector in SECTORS)
"""In the order of SECTORS."""


def is_reserved_address(address: bytes) -> bool:
    """Whether users cannot pay to it: a system account, or a pool of the exchange."""
    return address in SYSTEM_ADDRESSES or is_pool_address(address)


def reserved_name(address: bytes) -> str:
    """What stands at a reserved address, in words."""
    name = SYSTEM_ADDRESSES.get(address)
    return "a pool of the exchange" if name is None else f"the system account {name}"
