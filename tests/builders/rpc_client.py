"""A client that calls the RPC's methods of a real node in this process, as the server does."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import trio
from builders.blocks import FoundedChain
from builders.chain import devnet
from builders.ledger import transfer
from builders.live_node import clock_at, live_node

from ledger.addresses import address_of, encode_address
from ledger.transactions import SignedTransaction
from node.rpc.methods import NodeMethods
from p2p.simulated import SimulatedFabric


class Client:
    """Calls methods as the server does."""

    def __init__(self, chain: FoundedChain, methods: NodeMethods) -> None:
        self.chain = chain
        self.methods = methods

    async def call(self, method: str, **params: object) -> Any:
        return await self.methods.call(method, params)

    def payment(self, nonce: int = 0, amount: int = 7, sender: int = 0) -> SignedTransaction:
        chain = self.chain
        to = address_of(chain.accounts[1].public_key)
        return transfer(chain.accounts[sender], chain.rules, nonce, to, amount)

    async def until(self, transaction: SignedTransaction, status: str) -> Any:
        with trio.fail_after(30):
            while True:
                found = await self.call("tx_status", id=transaction.id.hex())
                if found["status"] == status:
                    return found
                await trio.sleep(0.1)


@asynccontextmanager
async def client_of_a_validator(directory: Path) -> AsyncIterator[Client]:
    chain = devnet()
    async with (
        SimulatedFabric(1) as fabric,
        live_node(fabric, chain, directory, clock=clock_at(chain, 1), keys=chain.keys) as handle,
    ):
        yield Client(chain, NodeMethods(handle.services))


def address_text(client: Client, account: int) -> str:
    return encode_address(
        client.chain.rules.address_prefix, address_of(client.chain.accounts[account].public_key)
    )
