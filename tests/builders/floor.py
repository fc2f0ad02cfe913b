"""A chain for tests of the floor: three registrars, and epochs in which only the floor's step touches F_FLOOR."""

from collections.abc import Sequence
from hashlib import blake2b

from builders.ledger import STAKING, key_pair
from builders.staking import NXT, StakingChain

from ledger.accounts import F_FLOOR_ADDRESS, RESERVES, TREASURY_ADDRESS
from ledger.addresses import address_of
from ledger.amounts import MAX_SUPPLY_UNITS
from ledger.economy.floor.accrual import accrue_floor
from ledger.economy.floor.attestation import CitizenAttest
from ledger.economy.floor.queries import CitizenView, audit_floor, citizen_view
from ledger.economy.floor.records import FloorState, note_floor_income, read_floor
from ledger.economy.floor.registration import CitizenRegister
from ledger.epoch_transition import EpochStep, EpochSteps
from ledger.governed.parameters import Parameter, write_parameter
from ledger.issuance import read_flows
from ledger.keys import KeyPair
from ledger.staking.validator_set import take_snapshot, update_validators
from ledger.staking_rules import StakingRules
from ledger.state import Overlay

FLOOR_STEPS = EpochSteps(
    (
        EpochStep("floor", accrue_floor),
        EpochStep("validators", update_validators),
        EpochStep("snapshot", take_snapshot),
    )
)

MONTH_UNITS = 1_150 * NXT


def person(number: int) -> bytes:
    """The commitment to person `number`."""
    return blake2b(b"person %d" % number, digest_size=32).digest()


def short_months(month_epochs: int) -> StakingRules:
    """Rules with so many epochs a month."""
    return StakingRules(
        activation_delay_epochs=STAKING.activation_delay_epochs,
        unbonding_epochs=STAKING.unbonding_epochs,
        evidence_epochs=STAKING.evidence_epochs,
        jail_epochs=STAKING.jail_epochs,
        epochs_per_year=12 * month_epochs,
        voting_epochs=STAKING.voting_epochs,
    )


class FloorChain(StakingChain):
    """Accounts 0 to 4 may become citizens; 5 to 7 are registrars. A month has 30 epochs unless told otherwise."""

    def __init__(
        self, *, seed: str = "floor", month_epochs: int = 30, parameters: Sequence[tuple[int, int]] = ()
    ) -> None:
        super().__init__(
            seed=seed,
            staking=short_months(month_epochs),
            registrars=sorted(
                address_of(key_pair(seed, "account", number).public_key) for number in (5, 6, 7)
            ),
            parameters=parameters,
            steps=FLOOR_STEPS,
        )
        self.registrars = self.accounts[5:8]

    def address(self, number: int) -> bytes:
        """Address of account `number`."""
        return address_of(self.accounts[number].public_key)

    def fund(self, units: int) -> None:
        """Units of TREASURY for F_FLOOR, as income. Not a transaction."""
        overlay = Overlay(self.reader)
        assert overlay.debit(TREASURY_ADDRESS, units) is not None
        overlay.credit(F_FLOOR_ADDRESS, units)
        note_floor_income(overlay, units)
        self.apply(overlay.changes())

    def govern(self, parameter: Parameter, value: int) -> None:
        """Change a parameter. Not a transaction."""
        overlay = Overlay(self.reader)
        write_parameter(overlay, parameter, value)
        self.apply(overlay.changes())

    def attest(self, registrar: int, number: int, subject: bytes) -> str:
        """Registrar 0 to 2 says that person `number` is at `subject`; the reason."""
        return self.send(self.registrars[registrar], "citizen_attest", CitizenAttest(person(number), subject))

    def register(self, key: KeyPair, number: int) -> str:
        """The owner of `key` registers as person `number`; the reason."""
        return self.send(key, "citizen_register", CitizenRegister(person(number)))

    def admit(self, *numbers: int) -> None:
        """Make accounts citizens, each as the person of its own number."""
        for number in numbers:
            assert self.attest(0, number, self.address(number)) == ""
            assert self.register(self.accounts[number], number) == ""

    @property
    def floor(self) -> FloorState:
        return read_floor(self.reader)

    def citizen(self, number: int) -> CitizenView:
        """The citizen at account `number`."""
        view = citizen_view(self.reader, self.address(number))
        assert view is not None
        return view

    def result(self) -> tuple[int, ...]:
        """Of the last transaction."""
        return self.outcomes[-1].receipts[-1].result

    def floor_faults(self) -> list[str]:
        """What the floor's audit says, and what circulates against what was counted over the border."""
        _, faults = audit_floor(self.store(), self.system("F_FLOOR"))
        circulating = MAX_SUPPLY_UNITS - sum(self.system(name) for name in RESERVES)
        counted = read_flows(self.reader).circulating_units
        if circulating != counted:
            faults.append(f"{circulating} units circulate, {counted} were counted")
        return faults
