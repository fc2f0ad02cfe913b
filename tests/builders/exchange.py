"""Tokens and pools on a staking chain, through transactions as users send them."""

from copy import copy
from dataclasses import dataclass, replace

from builders.staking import NXT, StakingChain

from ledger.addresses import NXT_ASSET, address_of, token_id
from ledger.exchange.kinds import PoolCreate
from ledger.exchange.pools import address_of_pair, pool_reserves
from ledger.keys import KeyPair
from ledger.rules import BlockContext
from ledger.state import StateListing
from ledger.tokens.kinds import TokenCreate, TokenTransfer
from ledger.tokens.queries import tokens
from ledger.tokens.records import TOKEN_BALANCE_PREFIX, decode_balance

SUPPLY = 10**15
GIVEN = 10**14
"""Units of every token that each of the traders begins with."""


@dataclass(frozen=True, slots=True)
class Market:
    """Accounts 0 to 3 own three tokens; account 0 has founded pools NXT–A, A–B, B–C and NXT–B."""

    chain: StakingChain
    a: bytes
    b: bytes
    c: bytes

    @property
    def founder(self) -> KeyPair:
        return self.chain.accounts[0]

    @property
    def trader(self) -> KeyPair:
        return self.chain.accounts[1]

    def fresh(self) -> "Market":
        """The same with a chain of its own: what is sent there leaves this one as it is."""
        chain = copy(self.chain)
        chain.state, chain.outcomes = dict(chain.state), list(chain.outcomes)
        return replace(self, chain=chain)

    def reserves(self, paid: bytes, received: bytes) -> tuple[int, int]:
        """Reserves of the pool of two assets in the order given."""
        first, second = pool_reserves(self.chain.reader, address_of_pair(paid, received))
        return (first, second) if paid < received else (second, first)

    def at(self, slot: int, epoch: int = 0) -> BlockContext:
        """A block context in that slot."""
        return replace(self.chain.context(), slot=slot, epoch=epoch)

    def last_result(self) -> tuple[int, ...]:
        """What the latest transaction's receipt says that it did."""
        return self.chain.outcomes[-1].receipts[-1].result


def create_token(
    chain: StakingChain, creator: KeyPair, symbol: str, supply: int = SUPPLY, decimals: int = 8
) -> bytes:
    """The id of a new token of `creator`."""
    token = token_id(address_of(creator.public_key), chain.account(creator).nonce)
    assert chain.send(creator, "token_create", TokenCreate(symbol, f"Token {symbol}", decimals, supply)) == ""
    return token


def found_pool(
    chain: StakingChain,
    founder: KeyPair,
    amounts: dict[bytes, int],
    fee_bp: int = 30,
) -> bytes:
    """The address of a new pool of the two assets of `amounts`."""
    (first, first_amount), (second, second_amount) = sorted(amounts.items())
    payload = PoolCreate(first, second, fee_bp, first_amount, second_amount)
    assert chain.send(founder, "pool_create", payload) == ""
    return address_of_pair(first, second)


def market(seed: str = "market") -> Market:
    """A chain with three tokens and four pools; the traders have NXT and every token."""
    chain = StakingChain(1, seed=seed)
    founder = chain.accounts[0]
    a, b, c = (create_token(chain, founder, symbol) for symbol in ("AAA", "BBB", "CCC"))
    for trader in chain.accounts[1:4]:
        for token in (a, b, c):
            payload = TokenTransfer(token, address_of(trader.public_key), GIVEN, b"")
            assert chain.send(founder, "token_transfer", payload) == ""
    found_pool(chain, founder, {NXT_ASSET: 1_000 * NXT, a: 2 * 10**12})
    found_pool(chain, founder, {a: 3 * 10**12, b: 5 * 10**11}, fee_bp=10)
    found_pool(chain, founder, {b: 7 * 10**11, c: 7 * 10**13}, fee_bp=50)
    found_pool(chain, founder, {NXT_ASSET: 500 * NXT, b: 10**11})
    return Market(chain, a, b, c)


def token_faults(state: StateListing) -> list[str]:
    """Tokens whose balances do not sum up to their supply, and balances that may not stand there."""
    sums: dict[bytes, int] = {}
    faults = []
    for key, value in state.state(TOKEN_BALANCE_PREFIX):
        units = decode_balance(value)
        token = key[len(TOKEN_BALANCE_PREFIX) + 20 :]
        sums[token] = sums.get(token, 0) + units
        if units < 1:
            faults.append(f"a balance of {units} is written")
    for token, info in tokens(state):
        if sums.pop(token, 0) != info.supply:
            faults.append(f"{info.symbol} is not conserved")
    return faults + [f"balances of {token.hex()}, which nobody created" for token in sums]
