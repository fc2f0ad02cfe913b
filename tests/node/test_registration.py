"""From a registration to blocks and votes: a node whose key belongs to nobody yet takes up its work by itself."""

from collections.abc import Callable
from pathlib import Path

import trio
from builders.blocks import chain_of
from builders.ledger import devnet_genesis, key_pair
from builders.live_node import Lines, clock_at, live_node

from consensus.stores import blocks_by_slot, read_header, read_votes
from ledger.addresses import address_of
from ledger.amounts import UNITS_PER_NXT
from ledger.onion import onion_layer, onion_secret
from ledger.staking.validator_kinds import VALIDATOR_REGISTER, RegistrationCore, sign_registration
from ledger.transactions import sign_transaction
from node.daemon import NodeHandle
from node.rpc.methods import NodeMethods
from p2p.simulated import SimulatedFabric

LAYERS = 100
EPOCH_SLOTS = 16
NEWCOMER = 12
"""The index that the thirteenth validator gets."""


def blocks_of(node: NodeHandle, validator: int) -> list[int]:
    """Slots of a validator's blocks in the node's DAG."""
    store = node.services.store
    headers = [read_header(store, entry.block_id) for entry in blocks_by_slot(store, 1)]
    return [one.slot for one in headers if one is not None and one.proposer == validator]


def votes_of(node: NodeHandle, validator: int) -> set[int]:
    """Periods that a validator's votes in blocks are for."""
    store = node.services.store
    return {
        vote.target.period
        for entry in blocks_by_slot(store, 1)
        for vote in read_votes(store, entry.block_id) or ()
        if vote.validator == validator
    }


async def until(condition: Callable[[], bool], within_s: float) -> None:
    with trio.fail_after(within_s):
        while not condition():  # noqa: ASYNC110 - a running node tells no one
            await trio.sleep(1)


async def test_a_registered_validator_proposes_and_votes_after_its_activation(
    tmp_path: Path, autojump_clock: object
) -> None:
    genesis, keys, accounts = devnet_genesis(
        12, 2, epoch_slots=EPOCH_SLOTS, account_units=5_000 * UNITS_PER_NXT
    )
    chain = chain_of(genesis, keys, accounts)
    key, owner, log = key_pair("newcomer", "validator", 0), accounts[0], Lines()
    clock = clock_at(chain, 1)
    async with (
        SimulatedFabric(1) as fabric,
        live_node(fabric, chain, tmp_path / "old", name="old", clock=clock, keys=chain.keys) as old,
        live_node(
            fabric,
            chain,
            tmp_path / "new",
            name="new",
            clock=clock,
            keys=[key],
            bootstrap=["/memory/old/p2p/old"],
            log=log,
        ) as new,
    ):
        assert new.services.validator_indices == ()
        assert "key belongs to no validator of this network" in log.events("warning")
        core = RegistrationCore(
            key.public_key,
            address_of(owner.public_key),
            1_000 * UNITS_PER_NXT,
            50_000,
            onion_layer(onion_secret(key.seed, 0), LAYERS),
            LAYERS,
        )
        registration = sign_transaction(
            owner,
            chain.rules,
            nonce=0,
            expiry_slot=100,
            fee=None,
            kind=VALIDATOR_REGISTER,
            payload_record=sign_registration(core, key, chain.rules),
        )
        await new.services.submit_transactions([registration.raw])

        await until(lambda: new.services.validator_indices == (NEWCOMER,), 8 * EPOCH_SLOTS)
        shown = await NodeMethods(old.services).call("validator_get", {"index": NEWCOMER})
        activation_slot = int(shown["activation_epoch"]) * EPOCH_SLOTS
        assert shown["status"] == "active" and activation_slot >= 4 * EPOCH_SLOTS
        await until(
            lambda: bool(blocks_of(old, NEWCOMER)) and len(votes_of(old, NEWCOMER)) >= 2, 3 * EPOCH_SLOTS
        )
        assert min(blocks_of(old, NEWCOMER)) >= activation_slot
        assert min(votes_of(old, NEWCOMER)) * chain.params.period_slots >= activation_slot
        assert log.events("error") == []
