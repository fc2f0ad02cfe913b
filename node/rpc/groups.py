"""What the groups of methods share: the running node, reads in a worker, and the way a group names its methods."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from ledger.addresses import decode_address, encode_address
from ledger.errors import AddressMalformed
from ledger.storage.store import Reader
from node.rpc.protocol import INVALID_PARAMS, RpcError
from node.rpc.schema import Params
from node.services import Services

T = TypeVar("T")


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

    def decode_address(self, text: str) -> bytes:
        """The 20 bytes of an address of this network. Errors: `RpcError` INVALID_PARAMS."""
        try:
            return decode_address(self.services.rules.address_prefix, text)
        except AddressMalformed as error:
            raise RpcError(INVALID_PARAMS, str(error), code=error.code) from None

    def encode_address(self, address: bytes) -> str:
        """The text of a 20-byte address."""
        return encode_address(self.services.rules.address_prefix, address)
