"""Random sequences of staking, epochs and slashes: money, identities, undo (ledger.md, What must always hold).

NEXUS_STAKING_STEPS sets the number of steps per seed (default 250).
"""

import os
from random import Random
from typing import Any

import pytest
from builders.accusation import ACCUSE, Accuse
from builders.ledger import key_pair
from builders.staking import NXT, StakingChain

from ledger.accounts import SYSTEM_ADDRESSES, decode_account
from ledger.addresses import address_of
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.kinds import ledger_kinds
from ledger.onion import onion_layer, onion_secret
from ledger.staking.delegation_kinds import Delegate, Undelegate, Withdraw
from ledger.staking.queries import delegations, validators
from ledger.staking.records import read_epoch
from ledger.staking.validator_kinds import CommissionSet, OnionRenew, Unjail, ValidatorExit
from ledger.state import ACCOUNT_PREFIX

STEPS = int(os.environ.get("NEXUS_STAKING_STEPS", "250"))
REGISTRY = ledger_kinds().extended([ACCUSE])


def random_action(chain: StakingChain, rng: Random, number: int) -> tuple[Any, str, Any]:
    """(sender, kind, payload)."""
    index = rng.randrange(10)
    account = rng.choice(chain.accounts)
    owner = rng.choice([*chain.owners, *chain.accounts[:2]])
    if index < len(chain.owners) and rng.random() < 0.6:
        owner = chain.owners[index]
    units = rng.choice((10 * NXT, rng.randrange(10 * NXT, 400 * NXT), rng.randrange(1, 10**9)))
    match rng.randrange(14):
        case 0:
            return (
                account,
                "validator_register",
                chain.registration(
                    rng.randrange(8),
                    rng.choice(chain.accounts[:2]),
                    units=rng.choice((999, 1_000, 1_500)) * NXT,
                ),
            )
        case 1 | 2 | 3:
            return account, "delegate", Delegate(index, units)
        case 4 | 5:
            return account, "undelegate", Undelegate(index, rng.choice((0, units)))
        case 6:
            return owner, "undelegate", Undelegate(index, units)
        case 7 | 8:
            return rng.choice((account, owner)), "withdraw", Withdraw(index)
        case 9:
            return owner, "commission_set", CommissionSet(index, rng.randrange(60_000))
        case 10:
            tip = onion_layer(onion_secret(bytes(32), number), 3)
            return owner, "onion_renew", OnionRenew(index, tip, 3)
        case 11:
            if rng.random() < 0.5:
                return owner, "key_rotate", chain.rotation(index, rng.randrange(40))
            return owner, "delegate", Delegate(index, units)
        case 12:
            if rng.random() < 0.15:
                return owner, "validator_exit", ValidatorExit(index)
            return owner, "unjail", Unjail(index)
        case _:
            return account, "accuse", Accuse(index, b"%032d" % rng.randrange(40), rng.randrange(10))


def share_values(chain: StakingChain) -> dict[tuple[bytes, int], int]:
    """Units of each delegation, by delegator and validator."""
    store = chain.store()
    return {
        (address, part.validator): part.stake_units
        for address in (address_of(key.public_key) for key in chain.accounts)
        for part in delegations(store, address, 0)
    }


@pytest.mark.parametrize("seed", range(4))
def test_L26_random_staking_conserves_every_unit_and_undoes_exactly(seed: int) -> None:
    rng = Random(seed)
    chain = StakingChain(6, seed=f"property {seed}", registry=REGISTRY)
    for key in (*chain.owners, *(key_pair(chain.seed, "validator", index) for index in range(6))):
        chain.give(key, 200 * NXT)
    history = [dict(chain.state)]
    chain.outcomes.clear()
    reasons: dict[str, int] = {}
    kinds: set[str] = set()
    pool_at_genesis = chain.system("VALIDATOR_POOL")
    for number in range(STEPS):
        if rng.random() < 0.25:
            chain.epoch += rng.choice((1, 1, 1, 2, 5))
            chain.finalised_epoch = max(chain.finalised_epoch, chain.epoch - rng.choice((0, 1, 1, 3)))
        before = share_values(chain)
        sender, kind, payload = random_action(chain, rng, number)
        transaction = chain.signed(sender, kind, payload)
        known = [view.record.index for view in validators(chain.store(), chain.epoch)]
        transition = chain.epoch > read_epoch(chain.reader)[0]
        reason = chain.run(
            transaction,
            proposers=[rng.choice(known) for _ in range(rng.randrange(1, 4))],
            reds=[rng.choice(known)],
            votes=sorted(rng.choices(known, k=rng.randrange(4))),
            carrier_reveals=True,
        )[0]
        reasons[reason] = reasons.get(reason, 0) + 1
        if reason == "":
            kinds.add(kind)
        history.append(dict(chain.state))
        balances = [
            decode_account(value).balance for key, value in chain.state.items() if key[:1] == ACCOUNT_PREFIX
        ]
        assert sum(balances) == MAX_SUPPLY_UNITS
        assert min(balances) >= 0
        assert chain.faults() == (), (kind, payload, reason)
        assert chain.stakes, "a set without anybody"
        if kind not in ("delegate", "undelegate"):  # what rounding leaves stays with those who stay
            after = share_values(chain)
            for place in before.keys() & after.keys():
                assert after[place] <= before[place], (kind, payload, reason)
        if transition:
            paid = pool_at_genesis - chain.system("VALIDATOR_POOL")
            assert 0 <= paid <= 608_828 * (chain.epoch + 1)
    assert kinds >= {
        "validator_register",
        "delegate",
        "undelegate",
        "withdraw",
        "commission_set",
        "onion_renew",
        "key_rotate",
        "accuse",
    }, "the sequence exercised too little"
    assert len(reasons) >= 8
    for outcome, earlier in zip(reversed(chain.outcomes), reversed(history[:-1]), strict=True):
        chain.apply(outcome.previous)
        assert chain.state == earlier


@pytest.mark.parametrize("seed", range(2))
def test_everybody_can_go_home_and_bonded_is_left_with_dust(seed: int) -> None:
    rng = Random(seed)
    chain = StakingChain(4, seed=f"home {seed}", registry=REGISTRY)
    for step in range(60):
        sender = rng.choice(chain.accounts)
        chain.send(sender, "delegate", Delegate(rng.randrange(4), rng.randrange(10 * NXT, 100 * NXT)))
        if step % 7 == 0:
            chain.send(sender, "accuse", Accuse(rng.randrange(4), b"%032d" % step, 0))
        chain.run(proposers=[rng.randrange(4)], votes=(0, 1, 2, 3), carrier_reveals=True)
        if step % 5 == 0:
            chain.go_to(chain.epoch + 1)
    for key in chain.accounts:
        for index in range(4):
            chain.send(key, "undelegate", Undelegate(index, 0))
    for index, owner in enumerate(chain.owners):
        assert chain.send(owner, "validator_exit", ValidatorExit(index)) == ""
    chain.carrier = 3
    chain.go_to(chain.epoch + 1)
    chain.go_to(chain.epoch + 20)
    for key in (*chain.accounts, *chain.owners):
        for index in range(4):
            chain.send(key, "withdraw", Withdraw(index))
    chain.go_to(chain.epoch + 1)
    for owner in chain.owners:
        for index in range(4):
            chain.send(owner, "withdraw", Withdraw(index))
    fees = chain.validator(3).own_units - chain.validator(3).own_paid_units
    assert chain.faults() == ()
    assert 0 <= chain.system("BONDED") - fees < 200, "units that rounding left"
    assert set(SYSTEM_ADDRESSES), "the reserves are there"
