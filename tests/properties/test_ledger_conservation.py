"""Random sequences of transfers and batches against a dict: money, nonces, undo (ledger.md, What must always hold).

NEXUS_PROPERTY_OPERATIONS sets the number of transactions per seed (default 600).
"""

import os
from random import Random

import pytest
from builders.ledger import (
    FAR_SLOT,
    batch_transfer,
    block_context,
    devnet_genesis,
    key_pair,
    merged_block,
    transfer,
)

from ledger.accounts import FEES_ADDRESS, SYSTEM_ADDRESSES, decode_account
from ledger.addresses import address_of
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.execution import APPLIED, FAILED, SKIPPED, execute_mergeset
from ledger.genesis import chain_rules, genesis_state
from ledger.kinds import ledger_kinds
from ledger.rules import ChainRules
from ledger.state import ACCOUNT_PREFIX, FEE_CREDIT_PREFIX, MappingState, Overlay
from ledger.transactions import SignedTransaction
from ledger.transfer import NativeTokenSystem, Transfer

OPERATIONS = int(os.environ.get("NEXUS_PROPERTY_OPERATIONS", "600"))
REGISTRY = ledger_kinds()


class Model:
    """The rules once more, on plain dicts and without a journal."""

    def __init__(self, balances: dict[bytes, int]) -> None:
        self.balances = dict(balances)
        self.nonces: dict[bytes, int] = {}
        self.applied_nonces: dict[bytes, list[int]] = {}

    def take(self, transaction: SignedTransaction, slot: int) -> int:
        """Apply one transaction and return its status."""
        body, sender = transaction.body, transaction.sender
        nonce, balance = self.nonces.get(sender, 0), self.balances.get(sender, 0)
        if body.nonce != nonce or slot > body.expiry_slot or balance < body.fee:
            return SKIPPED
        self.nonces[sender] = nonce + 1
        self.applied_nonces.setdefault(sender, []).append(body.nonce)
        self.balances[sender] = balance - body.fee
        self.balances[FEES_ADDRESS] += body.fee
        payload = transaction.payload
        if isinstance(payload, Transfer):
            legs = [(payload.recipient, payload.amount)]
        else:
            legs = [(leg.recipient, leg.amount) for leg in payload.legs]
        if sum(amount for _, amount in legs) > self.balances[sender]:
            return FAILED
        for recipient, amount in legs:
            self.balances[sender] -= amount
            self.balances[recipient] = self.balances.get(recipient, 0) + amount
        return APPLIED


def random_transaction(rng: Random, rules: ChainRules, next_nonce: dict[int, int]) -> SignedTransaction:
    sender = rng.randrange(10)
    key = key_pair("property", "account", sender)
    nonce = next_nonce.get(sender, 0)
    trouble = rng.random()
    if trouble < 0.1:
        nonce = max(0, nonce + rng.choice((-1, 1, 5)))
    else:
        next_nonce[sender] = nonce + 1
    expiry_slot = rng.choice((0, 5)) if trouble > 0.95 else FAR_SLOT
    fee = rng.choice((None, None, None, None, 10**6))

    def recipient() -> bytes:
        return address_of(key_pair("property", "account", rng.randrange(14)).public_key)

    def amount() -> int:
        return rng.choice((1, 2, rng.randrange(1, 10**6), rng.randrange(1, 10**8), MAX_SUPPLY_UNITS))

    if rng.random() < 0.6:
        return transfer(key, rules, nonce, recipient(), amount(), fee=fee, expiry_slot=expiry_slot)
    legs = [(recipient(), rng.choice((1, rng.randrange(1, 10**6)))) for _ in range(rng.randrange(1, 9))]
    return batch_transfer(key, rules, nonce, legs, fee=fee, expiry_slot=expiry_slot)


def patched(state: dict[bytes, bytes], changes: dict[bytes, bytes | None]) -> dict[bytes, bytes]:
    return {key: value for key, value in {**state, **changes}.items() if value is not None}


@pytest.mark.parametrize("seed", range(3))
def test_random_blocks_conserve_money_keep_nonces_and_undo_exactly(seed: int) -> None:
    rng = Random(seed)
    genesis, _, _ = devnet_genesis(accounts=10, seed="property", account_units=10**8)
    rules = chain_rules(genesis)
    state = genesis_state(genesis)
    model = Model(
        {key[1:]: decode_account(value).balance for key, value in state.items() if key[:1] == ACCOUNT_PREFIX}
    )
    history = [state]
    undos: list[dict[bytes, bytes | None]] = []
    next_nonce: dict[int, int] = {}
    statuses: set[int] = set()
    recent: list[SignedTransaction] = []
    executed = 0
    while executed < OPERATIONS:
        slot = 10 + len(undos)
        merged = []
        for number in range(rng.randrange(1, 4)):
            fresh = [random_transaction(rng, rules, next_nonce) for _ in range(rng.randrange(12))]
            again = rng.sample(recent, min(len(recent), rng.randrange(3)))
            recent = (recent + fresh)[-20:]
            merged.append(
                merged_block(fresh + again, number=number, proposer=rng.randrange(4), blue=rng.random() < 0.8)
            )
        outcome = execute_mergeset(MappingState(state), merged, block_context(rules, slot=slot), REGISTRY)
        expected = [model.take(transaction, slot) for block in merged for transaction in block.transactions]
        assert [receipt.status for receipt in outcome.receipts] == expected
        statuses.update(expected)
        executed += len(expected)
        state = patched(state, outcome.changes)
        history.append(state)
        undos.append(outcome.previous)
        assert set(outcome.changes) == set(outcome.previous)
        accounts = {
            key[1:]: decode_account(value) for key, value in state.items() if key[:1] == ACCOUNT_PREFIX
        }
        assert sum(account.balance for account in accounts.values()) == MAX_SUPPLY_UNITS
        assert {address: account.balance for address, account in accounts.items()} == model.balances
        assert all(account.nonce == model.nonces.get(address, 0) for address, account in accounts.items())
        credits = sum(
            int.from_bytes(value, "big") for key, value in state.items() if key[:1] == FEE_CREDIT_PREFIX
        )
        assert credits == accounts[FEES_ADDRESS].balance
    assert statuses == {APPLIED, FAILED, SKIPPED}, "the sequence exercised too little"
    assert all(nonces == list(range(len(nonces))) for nonces in model.applied_nonces.values())
    for undo, before in zip(reversed(undos), reversed(history[:-1]), strict=True):
        state = patched(state, undo)
        assert state == before


@pytest.mark.parametrize("seed", range(3))
def test_L26_random_atomic_transfers_drift_by_no_unit(seed: int) -> None:
    rng = Random(seed)
    addresses = [rng.randbytes(20) for _ in range(8)] + list(SYSTEM_ADDRESSES)[:3]
    genesis, _, keys = devnet_genesis(accounts=8)
    addresses += [address_of(key.public_key) for key in keys]
    overlay = Overlay(MappingState(genesis_state(genesis)))
    system = NativeTokenSystem(overlay)
    marks: list[tuple[int, dict[bytes, bytes | None]]] = []
    succeeded = 0
    for _ in range(5 * OPERATIONS):
        if rng.random() < 0.02:
            marks.append((overlay.checkpoint(), overlay.changes()))
        elif marks and rng.random() < 0.02:
            place = rng.randrange(len(marks))
            mark, before = marks[place]
            del marks[place:]
            overlay.rollback(mark)
            assert overlay.changes() == before
        amount = rng.choice((-1, 0, 1, True, 1.0, rng.randrange(10**9), rng.randrange(10**12), 2**63))
        fee = rng.choice((0, 1, -1, rng.randrange(10**6), 2**63, False))
        done, transaction, _ = system.transfer_atomic(
            rng.choice(addresses), rng.choice(addresses), amount, fee, "random"
        )
        assert done is (transaction is not None)
        succeeded += done
        assert overlay.balance_drift() == 0
    assert succeeded
    assert overlay.changes()  # no account negative or too rich, or this raises
