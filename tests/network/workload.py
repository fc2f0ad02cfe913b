"""Wallets that pay each other through the nodes, now and then twice with one nonce."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

import trio
from builders.ledger import transfer
from network.node_life import SimulatedNode
from network.oracle import is_settled
from network.scenario import EXPIRY_SLOT, Report, Scenario

from ledger.addresses import address_of
from ledger.keys import KeyPair
from ledger.rules import ChainRules
from ledger.transactions import SignedTransaction
from node.daemon import NodeHandle


@dataclass(slots=True)
class Wallet:
    """Sends one transfer after the other, each again until the chain has it."""

    key: KeyPair
    home: SimulatedNode
    sent: list[tuple[SignedTransaction, ...]] = field(default_factory=list)
    """By nonce: one transfer, or two that contradict each other. A chain that has one may lose against one that has
    not, so whatever is not on the chain is sent again."""


class Workload:
    """All wallets of a run."""

    def __init__(
        self,
        scenario: Scenario,
        rules: ChainRules,
        keys: Sequence[KeyPair],
        nodes: Sequence[SimulatedNode],
        report: Report,
    ) -> None:
        """Each wallet sends through one of the honest `nodes` and sometimes another one."""
        self._scenario = scenario
        self._rules = rules
        self._keys = keys
        self._nodes = nodes
        self._report = report
        self._chance = random.Random(f"wallets/{scenario.seed}")
        honest = scenario.honest_nodes
        self._wallets = [Wallet(key, nodes[number % honest]) for number, key in enumerate(keys)]

    async def run(self) -> None:
        """Send until cancelled."""
        chance = self._chance
        while True:
            await trio.sleep(chance.expovariate(self._scenario.transfers_per_second))
            wallet = chance.choice(self._wallets)
            handle = wallet.home.handle
            if handle is None:
                continue
            waiting = _waiting(wallet, handle)
            if waiting:
                await _submit(wallet.home, waiting[0][0])
                continue
            signed = self._sign_next(wallet)
            await _submit(wallet.home, signed[0])
            if len(signed) == 2:
                await _submit(chance.choice(self._nodes), signed[1])
            elif chance.random() < 0.2:
                await _submit(chance.choice(self._nodes), signed[0])

    async def send_again(self, handle: NodeHandle) -> None:
        """Everything that is not on the chain of the node yet, to any node."""
        for wallet in self._wallets:
            for transactions in _waiting(wallet, handle):
                for transaction in transactions:
                    await _submit(self._chance.choice(self._nodes), transaction)

    def waiting(self, handle: NodeHandle) -> int:
        """Transfers that are not on the chain of the node."""
        return sum(len(_waiting(wallet, handle)) for wallet in self._wallets)

    def _sign_next(self, wallet: Wallet) -> tuple[SignedTransaction, ...]:
        """The wallet's next transfer; sometimes two that contradict each other."""
        count = 2 if self._chance.random() < self._scenario.conflict_share else 1
        self._report.conflicts += count - 1
        self._report.transfers += 2 - count
        signed = tuple(
            transfer(
                wallet.key,
                self._rules,
                len(wallet.sent),
                address_of(self._chance.choice(self._keys).public_key),
                self._chance.randint(1, 1_000_000),
                expiry_slot=EXPIRY_SLOT,
            )
            for _ in range(count)
        )
        wallet.sent.append(signed)
        return signed


def _waiting(wallet: Wallet, handle: NodeHandle) -> list[tuple[SignedTransaction, ...]]:
    """What the chain of the node has not charged, by nonce."""
    store = handle.services.store
    return [sent for sent in wallet.sent if not any(is_settled(store, one.id) for one in sent)]


async def _submit(node: SimulatedNode, transaction: SignedTransaction) -> None:
    if node.handle is not None:
        await node.handle.services.submit_transactions([transaction.raw])
