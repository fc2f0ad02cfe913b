"""Every unit that crosses the border of the reserves is counted."""

import pytest
from builders.ledger import devnet_genesis
from builders.staking import NXT, StakingChain

from ledger.accounts import (
    F_FLOOR_ADDRESS,
    RESERVES,
    TRANSITION_RESERVE_ADDRESS,
    TREASURY_ADDRESS,
    is_reserved_address,
)
from ledger.addresses import address_of, is_pool_address, pool_address, token_id
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.epoch_steps import EpochChange
from ledger.errors import ConservationBroken, Malformed, RecipientRefused
from ledger.genesis import genesis_state
from ledger.issuance import (
    FLOWS_KEY,
    ONE,
    burn_for_message,
    burn_units,
    issue_units,
    read_flows,
    read_issuance_share,
    read_price_rise_ppm,
    take_epoch_flows,
    write_issuance_share,
    write_price_rise_ppm,
)
from ledger.registry import Rejected
from ledger.staking.activity import take_activity
from ledger.staking.delegation_kinds import Delegate
from ledger.staking.rewards import pay_rewards
from ledger.staking.slashing import slash
from ledger.state import MappingState, Overlay
from ledger.transfer import Transfer


def identity_holds(chain: StakingChain) -> bool:
    reserved = sum(chain.system(name) for name in RESERVES)
    return MAX_SUPPLY_UNITS - reserved == read_flows(chain.reader).circulating_units


def chain_of_steps() -> StakingChain:
    """Without the builder's own gifts out of TREASURY, which are no transactions."""
    chain = StakingChain(4)
    chain.state = genesis_state(chain.genesis)
    return chain


def test_genesis_counts_what_circulates() -> None:
    genesis, _, _ = devnet_genesis(4)
    flows = read_flows(MappingState(genesis_state(genesis)))
    assert flows.circulating_at_genesis == flows.circulating_units == (4 * 1_000 + 8 * 100) * NXT
    assert (flows.issued_units, flows.burned_units) == (0, 0)


def test_fees_burn_and_rewards_issue() -> None:
    chain = chain_of_steps()
    bob = address_of(chain.accounts[1].public_key)
    chain.carrier = 1
    assert chain.send(chain.accounts[0], "transfer", Transfer(bob, NXT, b"")) == ""
    fee = chain.outcomes[-1].receipts[0].fee
    flows = read_flows(chain.reader)
    assert (flows.issued_units, flows.burned_units, flows.epoch_fee_units) == (0, fee, fee)
    assert flows.epoch_transactions == 1
    assert identity_holds(chain)
    chain.run(proposers=(0,), carrier_reveals=True)
    before = chain.system("VALIDATOR_POOL")
    chain.go_to(1)
    flows = read_flows(chain.reader)
    assert flows.issued_units == fee + before - chain.system("VALIDATOR_POOL") > fee
    assert identity_holds(chain)


def test_failed_transactions_count_as_fees_and_not_as_activity() -> None:
    chain = chain_of_steps()
    assert chain.send(chain.accounts[0], "delegate", Delegate(9, 100 * NXT)) == "UnknownValidator"
    flows = read_flows(chain.reader)
    assert flows.epoch_transactions == 0
    assert flows.epoch_fee_units == chain.outcomes[-1].receipts[0].fee > 0


def test_slashes_burn_what_the_reporter_does_not_get() -> None:
    chain = chain_of_steps()
    overlay = Overlay(chain.reader)
    taken = slash(overlay, 1, b"o" * 32, 0, b"r" * 20, chain.context())
    chain.apply(overlay.changes())
    flows = read_flows(chain.reader)
    assert (
        flows.burned_units
        == chain.system("TRANSITION_RESERVE")
        == taken - Overlay(chain.reader).account(b"r" * 20).balance
    )
    assert identity_holds(chain)


def test_a_reserve_cannot_issue_more_than_it_holds() -> None:
    overlay = Overlay(chain_of_steps().reader)
    with pytest.raises(ConservationBroken):
        issue_units(overlay, F_FLOOR_ADDRESS, b"r" * 20, 1)


def test_burning_needs_the_balance() -> None:
    chain = chain_of_steps()
    overlay = Overlay(chain.reader)
    with pytest.raises(Rejected, match="balance 0 units, 1 needed"):
        burn_units(overlay, b"r" * 20, TRANSITION_RESERVE_ADDRESS, 1)
    sender = address_of(chain.accounts[0].public_key)
    burn_units(overlay, sender, TRANSITION_RESERVE_ADDRESS, 5)
    burn_for_message(overlay, sender, TRANSITION_RESERVE_ADDRESS, 7)
    issue_units(overlay, TREASURY_ADDRESS, sender, 2)
    taken = take_epoch_flows(overlay)
    assert (taken.burned_units, taken.issued_units, taken.epoch_message_units) == (12, 2, 7)
    assert read_flows(overlay).epoch_message_units == 0
    assert read_flows(overlay).burned_units == 12


def test_sums_beyond_64_bits_are_kept() -> None:
    chain = chain_of_steps()
    overlay = Overlay(chain.reader)
    overlay.put(FLOWS_KEY, bytes(8) + (2**100).to_bytes(16, "big") + bytes(40))
    issue_units(overlay, TREASURY_ADDRESS, b"r" * 20, 1)
    assert read_flows(overlay).issued_units == 2**100 + 1
    overlay.put(FLOWS_KEY, bytes(63))
    with pytest.raises(Malformed):
        read_flows(overlay)


def test_share_and_price_have_defaults_that_change_nothing() -> None:
    overlay = Overlay(chain_of_steps().reader)
    assert (read_issuance_share(overlay), read_price_rise_ppm(overlay)) == (ONE, 0)
    write_issuance_share(overlay, ONE // 2)
    write_price_rise_ppm(overlay, 250_000)
    assert (read_issuance_share(overlay), read_price_rise_ppm(overlay)) == (ONE // 2, 250_000)


def test_half_a_share_pays_half_the_rewards() -> None:
    paid = []
    for share in (ONE, ONE // 2, 0):
        chain = chain_of_steps()
        overlay = Overlay(chain.reader)
        write_issuance_share(overlay, share)
        chain.apply(overlay.changes())
        chain.run(proposers=(0,), votes=(0,), carrier_reveals=True)
        before = chain.system("VALIDATOR_POOL")
        overlay = Overlay(chain.reader)
        chain.epoch = 1
        pay_rewards(overlay, EpochChange(chain.context(), 0, take_activity(overlay)))
        chain.apply(overlay.changes())
        paid.append(before - chain.system("VALIDATOR_POOL"))
    assert paid == [608_828, 304_414, 0]


def test_addresses_of_pools_are_known_without_the_state() -> None:
    pool = pool_address(bytes(20), token_id(b"c" * 20, 3))
    assert len(pool) == 20 and is_pool_address(pool) and is_reserved_address(pool)
    assert pool != pool_address(bytes(20), token_id(b"c" * 20, 4))
    assert not is_reserved_address(b"r" * 20)
    chain = chain_of_steps()
    with pytest.raises(RecipientRefused, match="a pool of the exchange"):
        chain.send(chain.accounts[0], "transfer", Transfer(pool, 1, b""))
