"""A chain with the whole economy on it: tokens, pools, a sector's liquidity, citizens, registrars, votes, reports.

Validators 0 to 5 vote and report by their owners' keys; accounts 0 to 5 trade and live; 6 and 7 are registrars.
"""

from collections.abc import Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import Any

from builders.economic_loop import change_state, fund
from builders.exchange import create_token, found_pool
from builders.floor import person, short_months
from builders.governance import GovernanceChain
from builders.ledger import key_pair
from builders.staking import NXT

from ledger.accounts import F_FLOOR_ADDRESS, SECTOR_ADDRESSES, TREASURY_ADDRESS
from ledger.addresses import NXT_ASSET, address_of
from ledger.economy.floor.attestation import CitizenAttest
from ledger.economy.floor.records import note_floor_income
from ledger.economy.floor.registration import CitizenRegister
from ledger.economy.message_burn import Message
from ledger.exchange.kinds import Swap
from ledger.exchange.swapping import EXACT_IN
from ledger.governed.sector_tokens import write_sector_token
from ledger.keys import KeyPair
from ledger.oracle.feeds import DEMAND_FEEDS
from ledger.oracle.reports import OracleReport
from ledger.registry import KindRegistry
from ledger.rules import BlockContext
from ledger.staking_rules import StakingRules
from ledger.state import Overlay
from ledger.tokens.kinds import TokenTransfer

REGISTRARS = (6, 7)
"""Numbers of the accounts that attest."""
EPOCH_SLOTS = 32
TOKEN_UNITS = 10**13
"""What each trader begins with of each token."""


class EconomyChain(GovernanceChain):
    """`GovernanceChain` with six validators, two registrars and months of 30 epochs; nothing else has happened yet."""

    def __init__(
        self,
        validators: int = 6,
        *,
        seed: str = "economy",
        staking: StakingRules | None = None,
        registry: KindRegistry | None = None,
        stake_units: int | Sequence[int] = 1_000 * NXT,
        parameters: Sequence[tuple[int, int]] = (),
    ) -> None:
        super().__init__(
            validators,
            seed=seed,
            staking=staking or short_months(30),
            registry=registry,
            stake_units=stake_units,
            registrars=[address_of(key_pair(seed, "account", number).public_key) for number in REGISTRARS],
            parameters=parameters,
        )
        self.registrars = [self.accounts[number] for number in REGISTRARS]
        self.slot_in_epoch = 0
        self.tokens: list[bytes] = []
        """Ids of the tokens that `founded_economy` has created."""

    def context(self, **changed: Any) -> BlockContext:
        return replace(super().context(**changed), slot=self.epoch * EPOCH_SLOTS + self.slot_in_epoch)

    def next_epoch(self, epochs: int = 1, *, lag: int = 0) -> None:
        """The first chain block, empty, of the epoch that comes after `epochs`; finality lags that far behind."""
        self.slot_in_epoch = 0
        self.go_to(self.epoch + epochs, max(self.finalised_epoch, self.epoch + epochs - lag))

    # tokens and exchange ----------------------------------------------------------------------------------------------

    def create_token(self, creator: KeyPair, symbol: str, supply: int) -> bytes:
        """The id of a new token, all of it the creator's."""
        return create_token(self, creator, symbol, supply)

    def found_pool(self, founder: KeyPair, amounts: dict[bytes, int], fee_bp: int = 30) -> bytes:
        """The address of a new pool of the two assets of `amounts`."""
        return found_pool(self, founder, amounts, fee_bp)

    def swap(self, trader: KeyPair, path: Sequence[bytes], amount: int) -> str:
        """Sell `amount` of the path's first asset for whatever it brings; the reason."""
        return self.send(trader, "swap", Swap(tuple(path), EXACT_IN, amount, 1))

    # messages, floor, oracle ------------------------------------------------------------------------------------------

    def message(self, sender: KeyPair, content: bytes, *, region: int = 2, priority: int = 1) -> str:
        """The reason; the sender agrees to any price."""
        return self.send(sender, "message", Message(region, priority, content, 1_000 * NXT))

    def admit(self, key: KeyPair, number: int) -> None:
        """Make the owner of `key` a citizen, as person `number`."""
        assert (
            self.send(self.registrars[0], "citizen_attest", CitizenAttest(person(number), self.address(key)))
            == ""
        )
        assert self.send(key, "citizen_register", CitizenRegister(person(number))) == ""

    def pay_floor(self, units: int) -> None:
        """Units of TREASURY for F_FLOOR, as income. Not a transaction."""

        def pay(overlay: Overlay) -> None:
            assert overlay.debit(TREASURY_ADDRESS, units) is not None
            overlay.credit(F_FLOOR_ADDRESS, units)
            note_floor_income(overlay, units)

        change_state(self, pay)

    def report(self, validator: int, feed: int, value: int) -> str:
        """The validator's owner reports; the reason."""
        return self.send(self.owners[validator], "oracle_report", OracleReport(validator, feed, value))

    # comparing --------------------------------------------------------------------------------------------------------

    def fingerprint(self) -> bytes:
        """32 bytes over all of the state and over all receipts, in the order in which they stand."""
        hasher = blake2b(digest_size=32)
        for key in sorted(self.state):
            hasher.update(len(key).to_bytes(2, "big") + key + len(self.state[key]).to_bytes(4, "big"))
            hasher.update(self.state[key])
        for outcome in self.outcomes:
            hasher.update(outcome.receipts_root)
            hasher.update(b"".join(outcome.changes))
        return hasher.digest()


def founded_economy(
    seed: str = "economy", *, staking: StakingRules | None = None, registry: KindRegistry | None = None
) -> EconomyChain:
    """An economy at work, in epoch 3: three tokens, four pools, sector 0 with the first token, three citizens.

    The reserve, a sector and the floor have means, so that every step of a transition moves something.
    """
    chain = EconomyChain(seed=seed, staking=staking, registry=registry, stake_units=2_000 * NXT)
    founder = chain.accounts[0]
    for key in (*chain.owners, *(key_pair(seed, "validator", index) for index in range(6))):
        chain.give(key, 500 * NXT)
    chain.tokens = [chain.create_token(founder, symbol, 10**15) for symbol in ("ALPHA", "BETA", "GAMMA")]
    for trader in chain.accounts[1:5]:
        for token in chain.tokens:
            payload = TokenTransfer(token, chain.address(trader), TOKEN_UNITS, b"")
            assert chain.send(founder, "token_transfer", payload) == ""
    alpha, beta, gamma = chain.tokens
    payload = TokenTransfer(alpha, SECTOR_ADDRESSES[0], TOKEN_UNITS, b"")
    assert chain.send(founder, "token_transfer", payload) == ""
    change_state(chain, lambda overlay: write_sector_token(overlay, 0, alpha))
    chain.found_pool(founder, {NXT_ASSET: 1_000 * NXT, alpha: 2 * 10**12})
    chain.found_pool(founder, {alpha: 3 * 10**12, beta: 5 * 10**11}, fee_bp=10)
    chain.found_pool(founder, {beta: 7 * 10**11, gamma: 7 * 10**13}, fee_bp=50)
    chain.found_pool(founder, {NXT_ASSET: 500 * NXT, beta: 10**11})
    fund(chain, "TRANSITION_RESERVE", 20_000 * NXT)
    fund(chain, "SECTOR_ELECTRICITY", 1_000 * NXT)
    chain.pay_floor(2_000 * NXT)
    for number in (0, 1, 2):
        chain.admit(chain.accounts[number], number)
    for index in range(5):
        assert chain.report(index, DEMAND_FEEDS[0].number, 1_200_000) == ""
    for _ in range(3):
        chain.next_epoch()
    return chain
