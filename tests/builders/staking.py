"""A chain of merge sets for tests of staking: the state in a dict, the epoch set by hand, every step audited."""

from collections.abc import Sequence
from typing import Any

from builders.ledger import (
    FAR_SLOT,
    ONION_LAYERS,
    STAKING,
    block_context,
    devnet_genesis,
    key_pair,
    merged_block,
)

from ledger.accounts import ADDRESS_OF_SYSTEM_ACCOUNT, Account, decode_account
from ledger.addresses import address_of
from ledger.amounts import UNITS_PER_NXT
from ledger.epoch_transition import LEDGER_EPOCH_STEPS, EpochSteps
from ledger.execution import Outcome, execute_mergeset
from ledger.genesis import chain_rules, genesis_state
from ledger.issuance import issue_units
from ledger.keys import KeyPair
from ledger.kinds import ledger_kinds
from ledger.onion import onion_layer, onion_secret
from ledger.registry import KindRegistry
from ledger.rules import BlockContext
from ledger.staking.records import ValidatorRecord, read_validator
from ledger.staking.snapshot import EpochSnapshot, read_snapshot
from ledger.staking.validator_kinds import (
    KeyRotate,
    RegistrationCore,
    RotationCore,
    ValidatorRegister,
    sign_registration,
    sign_rotation,
)
from ledger.staking_rules import StakingRules
from ledger.state import MappingState, Overlay, account_key
from ledger.storage.audit import audit
from ledger.storage.memory import MemoryStore
from ledger.storage.state_store import LedgerStore
from ledger.storage.store import WriteBatch
from ledger.transaction_validation import validate_transaction_in_isolation
from ledger.transactions import SignedTransaction, decode_transaction, sign_transaction

NXT = UNITS_PER_NXT


class StakingChain:
    """Validators 0 to n − 1 of genesis with 1,000 NXT each, eight accounts with 5,000 NXT each."""

    def __init__(
        self,
        validators: int = 4,
        *,
        seed: str = "staking",
        staking: StakingRules = STAKING,
        registry: KindRegistry | None = None,
        stake_units: int | Sequence[int] = 1_000 * NXT,
        registrars: Sequence[bytes] = (),
        parameters: Sequence[tuple[int, int]] = (),
        steps: EpochSteps = LEDGER_EPOCH_STEPS,
    ) -> None:
        self.seed = seed
        self.steps = steps
        self.genesis, self.validator_keys, self.accounts = devnet_genesis(
            validators,
            seed=seed,
            account_units=5_000 * NXT,
            stake_units=stake_units,
            registrars=registrars,
            parameters=parameters,
        )
        self.owners = [key_pair(seed, "withdrawal", index) for index in range(validators)]
        self.rules = chain_rules(self.genesis)
        self.staking = staking
        self.registry = registry or ledger_kinds()
        self.state: dict[bytes, bytes] = genesis_state(self.genesis)
        self.epoch = 0
        self.finalised_epoch = 0
        self.outcomes: list[Outcome] = []
        self.carrier = 0
        """Proposes what no test names a proposer for, and earns the fees."""
        for owner in self.owners:
            self.give(owner, 10 * NXT)

    def give(self, key: KeyPair, units: int) -> None:
        """Units out of TREASURY, so that a key can pay fees. Not a transaction."""
        overlay = Overlay(MappingState(self.state))
        issue_units(overlay, ADDRESS_OF_SYSTEM_ACCOUNT["TREASURY"], address_of(key.public_key), units)
        self.apply(overlay.changes())

    def apply(self, changes: dict[bytes, bytes | None]) -> None:
        """Write changes into the state."""
        self.state = {key: value for key, value in {**self.state, **changes}.items() if value is not None}

    # looking --------------------------------------------------------------------------------------------------------

    @property
    def reader(self) -> MappingState:
        return MappingState(self.state)

    def account(self, key: KeyPair) -> Account:
        raw = self.state.get(account_key(address_of(key.public_key)))
        return Account(0, 0) if raw is None else decode_account(raw)

    def system(self, name: str) -> int:
        """Balance of a system account."""
        return decode_account(self.state[account_key(ADDRESS_OF_SYSTEM_ACCOUNT[name])]).balance

    def validator(self, index: int) -> ValidatorRecord:
        record = read_validator(self.reader, index)
        assert record is not None
        return record

    @property
    def snapshot(self) -> EpochSnapshot:
        return read_snapshot(self.reader)

    @property
    def stakes(self) -> dict[int, int]:
        """Units by index of those that take part."""
        return {one.index: one.stake_units for one in self.snapshot.validators if one.stake_units}

    def store(self) -> LedgerStore:
        """The state in a store, to be listed."""
        return LedgerStore(self._memory())

    def _memory(self) -> MemoryStore:
        memory = MemoryStore()
        batch = WriteBatch()
        LedgerStore(memory).stage_genesis(batch, self.state)
        memory.write(batch, sync=False)
        return memory

    def faults(self) -> tuple[str, ...]:
        """What the full audit says of the state."""
        return audit(self._memory()).faults

    # doing ----------------------------------------------------------------------------------------------------------

    def signed(self, key: KeyPair, kind: str, payload: Any, *, nonce: int | None = None) -> SignedTransaction:
        """A transaction with the sender's next nonce and the least fee, decoded and checked as a node does."""
        made = sign_transaction(
            key,
            self.rules,
            nonce=self.account(key).nonce if nonce is None else nonce,
            expiry_slot=FAR_SLOT,
            fee=None,
            kind=self.registry.named(kind),  # type: ignore[arg-type]
            payload_record=payload,
        )
        transaction = decode_transaction(made.raw, self.registry)
        validate_transaction_in_isolation(transaction, self.rules, self.registry)
        return transaction

    def context(self, **changed: Any) -> BlockContext:
        return block_context(
            self.rules,
            slot=self.epoch * 32 + 5,
            epoch=self.epoch,
            finalised_epoch=self.finalised_epoch,
            merging_proposer=0,
            staking=self.staking,
            **changed,
        )

    def run(
        self,
        *transactions: SignedTransaction,
        proposers: Sequence[int] | None = None,
        reds: Sequence[int] = (),
        votes: Sequence[int] = (),
        reveals: dict[int, bytes] | None = None,
        carrier_reveals: bool = False,
    ) -> list[str]:
        """One merge set in the present epoch: a blue block for each of `proposers` (None: `self.carrier`).

        The first has the transactions.

        Blocks have a reveal, so that they are paid, when `carrier_reveals` or named in `reveals`. Returns the reasons.
        """
        reveals = reveals or {}
        proposers = (self.carrier,) if proposers is None else proposers

        def reveal(proposer: int) -> bytes:
            return reveals.get(proposer, bytes([proposer + 1]) * 32 if carrier_reveals else b"")

        merged = [
            merged_block(
                transactions if number == 0 else (),
                number=number,
                proposer=proposer,
                blue=number < len(proposers),
                epoch=self.epoch,
                reveal=reveal(proposer),
            )
            for number, proposer in enumerate((*proposers, *reds))
        ]
        outcome = execute_mergeset(
            self.reader, merged, self.context(timely_votes=tuple(votes)), self.registry, self.steps
        )
        self.outcomes.append(outcome)
        self.apply(outcome.changes)
        return [receipt.reason for receipt in outcome.receipts]

    def send(self, key: KeyPair, kind: str, payload: Any) -> str:
        """One transaction in a merge set of its own; the reason, empty when it was applied."""
        return self.run(self.signed(key, kind, payload))[0]

    def go_to(self, epoch: int, finalised_epoch: int | None = None) -> None:
        """The first chain block of `epoch`, with nothing in it; final up to there unless told otherwise."""
        self.epoch = epoch
        self.finalised_epoch = epoch if finalised_epoch is None else finalised_epoch
        self.run(proposers=())

    def registration(
        self, number: int, owner: KeyPair, *, units: int = 1_000 * NXT, commission_ppm: int = 100_000
    ) -> ValidatorRegister:
        """The payload for new consensus key `number`."""
        key = key_pair(self.seed, "newcomer", number)
        tip = onion_layer(onion_secret(key.seed, 0), ONION_LAYERS)
        core = RegistrationCore(
            key.public_key, address_of(owner.public_key), units, commission_ppm, tip, ONION_LAYERS
        )
        return sign_registration(core, key, self.rules)

    def rotation(self, validator: int, number: int) -> KeyRotate:
        """The payload for replacing a consensus key by new key `number`."""
        key = key_pair(self.seed, "rotated", number)
        tip = onion_layer(onion_secret(key.seed, 0), ONION_LAYERS)
        return sign_rotation(RotationCore(validator, key.public_key, tip, ONION_LAYERS), key, self.rules)

    def onion_reveal(self, validator: int, epoch: int) -> bytes:
        """What genesis validator `validator` reveals in `epoch`."""
        secret = onion_secret(self.validator_keys[validator].seed, 0)
        return onion_layer(secret, ONION_LAYERS - epoch)
