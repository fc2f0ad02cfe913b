"""What the groups of methods share: the running node, reads in a worker, and the way a group names its methods."""

from collections.abc import Awaitable, Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, TypeVar

from consensus.params import epoch_at
from consensus.stores import read_head
from ledger.addresses import decode_address, encode_address
from ledger.errors import AddressMalformed
from ledger.storage.state_store import LedgerStore
from ledger.storage.store import Reader
from node.rpc.protocol import INVALID_PARAMS, RpcError
from node.rpc.schema import Params
from node.services import Services

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SinkState:
    """The state at the sink of one instant, whatever is written meanwhile."""

    state: LedgerStore
    slot: int
    """Of the sink."""
    epoch: int
    """Of the sink: what governance and the oracle say of this epoch counts."""


@dataclass(frozen=True, slots=True)
class Method:
    """One method of the RPC."""

    name: str
    params: type[Params]
    call: Callable[[Any], Awaitable[object]]
    """Takes a record of `params`, gives the JSON result. Errors: `RpcError`."""


class MethodGroup:
    """Methods over the running node."""

    def __init__(self, services: Services) -> None:
        self.services = services

    def methods(self) -> tuple[Method, ...]:
        """All methods of the group."""
        raise NotImplementedError

    async def read(self, job: Callable[[Reader], T]) -> T:
        """The result of a job over the committed store, in a reader worker."""
        reader = self.services.store
        return await self.services.workers.run_reader(lambda: job(reader))

    async def read_state(self, job: Callable[[SinkState], T]) -> T:
        """The result of a job over one snapshot of the state, in a reader worker: its figures agree."""

        def over_snapshot() -> T:
            with closing(self.services.store.snapshot()) as snapshot:
                head = read_head(snapshot)
                slot = 0 if head is None else head.slot
                return job(SinkState(LedgerStore(snapshot), slot, epoch_at(self.services.params, slot)))

        return await self.services.workers.run_reader(over_snapshot)

    def decode_address(self, text: str) -> bytes:
        """The 20 bytes of an address of this network. Errors: `RpcError` INVALID_PARAMS."""
        try:
            return decode_address(self.services.rules.address_prefix, text)
        except AddressMalformed as error:
            raise RpcError(INVALID_PARAMS, str(error), code=error.code) from None

    def encode_address(self, address: bytes) -> str:
        """The text of a 20-byte address."""
        return encode_address(self.services.rules.address_prefix, address)
