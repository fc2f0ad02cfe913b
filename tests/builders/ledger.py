"""Builders of ledger values for tests. Everything is a function of its arguments: no clock, no randomness."""

from collections.abc import Sequence
from hashlib import blake2b

from ledger.addresses import address_of
from ledger.amounts import UNITS_PER_NXT
from ledger.batch_transfer import BATCH_TRANSFER, BatchTransfer, Leg
from ledger.execution import MergedBlock
from ledger.genesis import Genesis, GenesisValidator, chain_rules, new_genesis
from ledger.keys import KeyPair
from ledger.onion import onion_layer, onion_secret
from ledger.rules import BlockContext, ChainRules
from ledger.staking_rules import StakingRules
from ledger.transactions import SignedTransaction, sign_transaction
from ledger.transfer import TRANSFER, Transfer

GENESIS_TIME_MS = 1_700_000_000_000
FAR_SLOT = 1_000_000
"""An expiry that no test reaches."""

ONION_LAYERS = 512
"""Enough for a test's epochs, and quickly made."""

STAKING = StakingRules(
    activation_delay_epochs=4,
    unbonding_epochs=16,
    evidence_epochs=8,
    jail_epochs=8,
    epochs_per_year=985_500,
    voting_epochs=3,
)
"""The devnet's, with epochs of 32 s."""


def key_pair(seed: int | str, role: str, index: int) -> KeyPair:
    """The key of `role` number `index` under `seed`; the same on every call."""
    return KeyPair.from_seed(blake2b(f"{seed}/{role}/{index}".encode(), digest_size=32).digest())


def devnet_genesis(
    validators: int = 12,
    accounts: int = 8,
    slot_ms: int = 1_000,
    seed: int | str = 0,
    *,
    network: str = "devnet",
    chain_id: str = "nexus-test",
    epoch_slots: int = 32,
    stake_units: int | Sequence[int] = 1_000 * UNITS_PER_NXT,
    account_units: int = 100 * UNITS_PER_NXT,
    registrars: Sequence[bytes] = (),
    parameters: Sequence[tuple[int, int]] = (),
) -> tuple[Genesis, list[KeyPair], list[KeyPair]]:
    """(genesis, the validators' keys by index, the funded accounts' keys). `stake_units` may give one per validator."""
    validator_keys = [key_pair(seed, "validator", index) for index in range(validators)]
    account_keys = [key_pair(seed, "account", index) for index in range(accounts)]
    stakes = [stake_units] * validators if isinstance(stake_units, int) else list(stake_units)
    genesis = new_genesis(
        chain_id=chain_id,
        network=network,
        genesis_time_ms=GENESIS_TIME_MS,
        slot_ms=slot_ms,
        epoch_slots=epoch_slots,
        allocations=tuple((address_of(key.public_key), account_units) for key in account_keys),
        validators=tuple(
            GenesisValidator(
                key.public_key,
                address_of(key_pair(seed, "withdrawal", index).public_key),
                stake,
                onion_layer(onion_secret(key.seed, 0), ONION_LAYERS),
                ONION_LAYERS,
            )
            for index, (key, stake) in enumerate(zip(validator_keys, stakes, strict=True))
        ),
        registrars=tuple(registrars),
        parameters=tuple(parameters),
    )
    return genesis, validator_keys, account_keys


def devnet_rules(seed: int | str = 0) -> ChainRules:
    """Rules of `devnet_genesis(seed=seed)`."""
    return chain_rules(devnet_genesis(seed=seed)[0])


def transfer(
    key: KeyPair,
    rules: ChainRules,
    nonce: int,
    to: bytes,
    amount: int,
    *,
    fee: int | None = None,
    expiry_slot: int = FAR_SLOT,
    memo: bytes = b"",
) -> SignedTransaction:
    """A signed transfer to the 20-byte address `to`; `fee` None is the least fee."""
    payload = Transfer(to, amount, memo)
    return sign_transaction(
        key, rules, nonce=nonce, expiry_slot=expiry_slot, fee=fee, kind=TRANSFER, payload_record=payload
    )


def batch_transfer(
    key: KeyPair,
    rules: ChainRules,
    nonce: int,
    legs: Sequence[tuple[bytes, int]],
    *,
    fee: int | None = None,
    expiry_slot: int = FAR_SLOT,
) -> SignedTransaction:
    """A signed batch transfer of (address, units) legs."""
    payload = BatchTransfer(tuple(Leg(address, amount) for address, amount in legs))
    return sign_transaction(
        key, rules, nonce=nonce, expiry_slot=expiry_slot, fee=fee, kind=BATCH_TRANSFER, payload_record=payload
    )


def merged_block(
    transactions: Sequence[SignedTransaction],
    *,
    number: int = 0,
    proposer: int = 0,
    blue: bool = True,
    epoch: int = 0,
    reveal: bytes = b"",
) -> MergedBlock:
    """A carrier whose id is a function of `number`. Without a reveal it earns no reward."""
    return MergedBlock(
        blake2b(b"block %d" % number, digest_size=32).digest(),
        proposer,
        blue,
        tuple(transactions),
        epoch,
        reveal,
    )


def block_context(
    rules: ChainRules,
    *,
    slot: int = 10,
    merging_proposer: int = 11,
    epoch: int = 0,
    finalised_epoch: int = 0,
    staking: StakingRules = STAKING,
    timely_votes: tuple[int, ...] = (),
) -> BlockContext:
    """The accepting block's view."""
    return BlockContext(
        rules=rules,
        slot=slot,
        epoch=epoch,
        finalised_epoch=finalised_epoch,
        merging_proposer=merging_proposer,
        staking=staking,
        timely_votes=timely_votes,
    )
