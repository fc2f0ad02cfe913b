"""Scenes of the economic loop: funded reserves, sector tokens, pools; and the identity of circulation."""

from collections.abc import Callable
from dataclasses import replace

from builders.staking import StakingChain

from ledger.accounts import (
    ADDRESS_OF_SYSTEM_ACCOUNT,
    RESERVES,
    SECTOR_ADDRESSES,
    TREASURY_ADDRESS,
    decode_account,
)
from ledger.addresses import NXT_ASSET, address_of, token_id
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.epoch_steps import EpochChange
from ledger.exchange.liquidity import create_pool
from ledger.exchange.pools import address_of_pair
from ledger.exchange.swapping import EXACT_IN, swap
from ledger.governed.sector_tokens import write_sector_token
from ledger.issuance import read_flows
from ledger.keys import KeyPair
from ledger.state import MappingState, Overlay, StateReader, account_key
from ledger.tokens.records import TokenInfo, credit_tokens, write_token


def change_state(chain: StakingChain, act: Callable[[Overlay], object]) -> None:
    """Let `act` write to the chain's state. Not a transaction."""
    overlay = Overlay(MappingState(chain.state))
    act(overlay)
    chain.apply(overlay.changes())


def fund(chain: StakingChain, name: str, units: int) -> None:
    """Units out of TREASURY into another reserve."""

    def move(overlay: Overlay) -> None:
        overlay.debit(TREASURY_ADDRESS, units)
        overlay.credit(ADDRESS_OF_SYSTEM_ACCOUNT[name], units)

    change_state(chain, move)


def epoch_change(chain: StakingChain, epoch: int | None = None) -> EpochChange:
    """The transition that the chain's present epoch begins, without activity."""
    context = chain.context()
    return EpochChange(context, context.epoch - 1 if epoch is None else epoch, {})


def sector_token(
    chain: StakingChain, sector: int, founder: KeyPair, *, nxt: int, tokens: int, sector_tokens: int
) -> tuple[bytes, bytes]:
    """(token, pool): a token for the sector, a pool founded now; the founder keeps four times as many."""
    owner = address_of(founder.public_key)
    token = token_id(owner, 1_000 + sector)

    def found(overlay: Overlay) -> None:
        supply = 5 * tokens + sector_tokens
        write_token(overlay, token, TokenInfo(owner, f"S{sector}", f"sector {sector}", 8, supply, 0))
        credit_tokens(overlay, token, owner, 5 * tokens)
        credit_tokens(overlay, token, SECTOR_ADDRESSES[sector], sector_tokens)
        write_sector_token(overlay, sector, token)
        create_pool(overlay, owner, NXT_ASSET, token, 30, nxt, tokens, chain.context())

    change_state(chain, found)
    return token, address_of_pair(NXT_ASSET, token)


def circulation_gap(reader: StateReader) -> int:
    """Units outside of the reserves, less what the flows say. 0 always."""
    held = 0
    for name in RESERVES:
        raw = reader.get(account_key(ADDRESS_OF_SYSTEM_ACCOUNT[name]))
        held += 0 if raw is None else decode_account(raw).balance
    return MAX_SUPPLY_UNITS - held - read_flows(reader).circulating_units


def balances(reader: StateReader) -> dict[str, int]:
    """Balance of every reserve by name."""
    found = {}
    for name in RESERVES:
        raw = reader.get(account_key(ADDRESS_OF_SYSTEM_ACCOUNT[name]))
        found[name] = 0 if raw is None else decode_account(raw).balance
    return found


def trade(chain: StakingChain, trader: KeyPair, path: tuple[bytes, ...], amount: int, slot: int) -> int:
    """What `amount` of the path's first asset buys at `slot` of the chain's epoch. Not a transaction."""
    context = replace(chain.context(), slot=slot)
    overlay = Overlay(MappingState(chain.state))
    _, got = swap(overlay, address_of(trader.public_key), path, EXACT_IN, amount, 0, context)
    chain.apply(overlay.changes())
    return got
