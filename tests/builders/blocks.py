"""A founded chain with all its keys, and signed blocks on it: the real records, keys and schedule."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from builders.ledger import ONION_LAYERS, devnet_genesis, transfer

from consensus.blocks import HEADER_VERSION, Block, HeaderCore, genesis_block, sign_block
from consensus.body_tree import body_root
from consensus.evidence import chain_kinds
from consensus.params import PRESETS, Params, epoch_at, params_from_genesis
from consensus.schedule import Schedule, schedule_from_genesis
from consensus.votes import Vote, votes_root
from ledger.addresses import address_of
from ledger.amounts import UNITS_PER_NXT
from ledger.genesis import Genesis, chain_rules, genesis_state
from ledger.keys import KeyPair
from ledger.kinds import KindRegistry
from ledger.onion import onion_layer, onion_secret
from ledger.rules import ChainRules
from ledger.state_commitment import StateTree
from ledger.transactions import SignedTransaction

STAKE_UNITS = 1_000 * UNITS_PER_NXT


@cache
def _layer(key_seed: bytes, epoch: int) -> bytes:
    return onion_layer(onion_secret(key_seed, 0), ONION_LAYERS - epoch)


@dataclass(frozen=True, slots=True)
class FoundedChain:
    """A genesis document, what follows from it, and all keys."""

    genesis: Genesis
    keys: tuple[KeyPair, ...]
    """The validators', by index."""
    accounts: tuple[KeyPair, ...]
    """Of funded accounts."""
    params: Params
    rules: ChainRules
    registry: KindRegistry
    schedule: Schedule
    genesis_block: Block

    def core(
        self,
        slot: int = 1,
        band: int | None = None,
        *,
        parents: Sequence[bytes] | None = None,
        transactions: Sequence[bytes] = (),
        votes: Sequence[Vote] = (),
        **fields: Any,
    ) -> HeaderCore:
        """A core by the scheduled proposer; `fields` replace what would follow. Parents: genesis when not given.

        `band` None takes the first band that has validators.
        """
        lanes = self.schedule.of_slot(slot)
        band = lanes.populated[0] if band is None else band
        proposer = lanes.proposer(slot, band)
        core = HeaderCore(
            version=HEADER_VERSION,
            parents=tuple(sorted([self.genesis_block.header_id] if parents is None else parents)),
            slot=slot,
            band=band,
            proposer=0 if proposer is None else proposer,
            blue_score=1,
            blue_work=1,
            state_root=self.genesis_block.header.state_root,
            receipts_root=bytes(32),
            body_root=body_root(transactions),
            votes_root=votes_root(tuple(votes)),
            reveal=bytes(32) if proposer is None else self.reveal(proposer, slot),
        )
        return msgspec.structs.replace(core, **fields)

    def block(
        self,
        slot: int = 1,
        band: int | None = None,
        *,
        parents: Sequence[bytes] | None = None,
        transactions: Sequence[bytes] = (),
        votes: Sequence[Vote] = (),
        key: KeyPair | None = None,
        **fields: Any,
    ) -> Block:
        """A block of that core, signed with `key` (the scheduled proposer's when None)."""
        core = self.core(slot, band, parents=parents, transactions=transactions, votes=votes, **fields)
        signer = self.keys[core.proposer] if key is None else key
        return sign_block(core, votes, transactions, signer, self.params.genesis_hash)

    def reveal(self, validator: int, slot: int) -> bytes:
        """The layer that a genesis validator reveals in the epoch of `slot`."""
        return self.reveal_of(self.keys[validator], slot)

    def reveal_of(self, key: KeyPair, slot: int) -> bytes:
        """The layer of `key`'s first onion, of as many layers as in genesis, for the epoch of `slot`."""
        return _layer(key.seed, epoch_at(self.params, slot))

    def transfer(
        self, sender: int, recipient: int, units: int = 1, *, nonce: int = 0, **fields: Any
    ) -> SignedTransaction:
        """A signed transfer between accounts by number; `fields` as in `builders.ledger.transfer`."""
        to = address_of(self.accounts[recipient].public_key)
        return transfer(self.accounts[sender], self.rules, nonce, to, units, **fields)


def found_chain(
    validators: int = 12,
    *,
    network: str = "devnet",
    chain_id: str = "nexus-test",
    stakes_units: Sequence[int] | None = None,
    slot_ms: int | None = None,
    epoch_slots: int | None = None,
) -> FoundedChain:
    """A chain with that many validators of equal stake, or of `stakes_units`, and eight funded accounts."""
    preset = PRESETS[network]
    genesis, keys, accounts = devnet_genesis(
        validators if stakes_units is None else len(stakes_units),
        slot_ms=preset.slot_ms if slot_ms is None else slot_ms,
        network=network,
        chain_id=chain_id,
        epoch_slots=preset.epoch_slots if epoch_slots is None else epoch_slots,
        stake_units=STAKE_UNITS if stakes_units is None else stakes_units,
    )
    return chain_of(genesis, keys, accounts)


def chain_of(genesis: Genesis, keys: Sequence[KeyPair], accounts: Sequence[KeyPair]) -> FoundedChain:
    """Everything that follows from `genesis`; `keys` are its validators' by index."""
    params = params_from_genesis(genesis)
    return FoundedChain(
        genesis=genesis,
        keys=tuple(keys),
        accounts=tuple(accounts),
        params=params,
        rules=chain_rules(genesis),
        registry=chain_kinds(params),
        schedule=schedule_from_genesis(genesis, params),
        genesis_block=genesis_block(genesis, StateTree.build(genesis_state(genesis).items()).root),
    )
