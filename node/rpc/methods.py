"""The methods of the RPC: one table over all groups.

Reads go to the committed store through a reader worker, never to the chain writer's caches, so that a call neither
waits for a block nor sees half of one. Ids and digests are lower-case hex; amounts and scores are strings.
"""

from collections.abc import Mapping

from consensus.errors import ConsensusFault
from ledger.errors import LedgerFault
from ledger.storage.errors import StoreError
from node.rpc.chain_methods import ChainMethods
from node.rpc.economy_methods import EconomyMethods
from node.rpc.exchange_methods import ExchangeMethods
from node.rpc.finality_methods import FinalityMethods
from node.rpc.floor_methods import FloorMethods
from node.rpc.governance_methods import GovernanceMethods
from node.rpc.groups import Method
from node.rpc.ledger_methods import LedgerMethods
from node.rpc.node_methods import NodeInfoMethods
from node.rpc.oracle_methods import OracleMethods
from node.rpc.protocol import INTERNAL_ERROR, RpcError
from node.rpc.schema import parse_params
from node.rpc.simulation_methods import SimulationMethods
from node.rpc.token_methods import TokenMethods
from node.rpc.transaction_methods import TransactionMethods
from node.rpc.validator_methods import ValidatorMethods
from node.services import Services

GROUPS = (
    NodeInfoMethods,
    ChainMethods,
    FinalityMethods,
    LedgerMethods,
    TransactionMethods,
    SimulationMethods,
    ValidatorMethods,
    TokenMethods,
    ExchangeMethods,
    EconomyMethods,
    FloorMethods,
    GovernanceMethods,
    OracleMethods,
)


class NodeMethods:
    """The table of methods over the running node."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._table: dict[str, Method] = {
            method.name: method for group in GROUPS for method in group(services).methods()
        }
        self._names = tuple(sorted(self._table))

    def names(self) -> tuple[str, ...]:
        """All methods, sorted."""
        return self._names

    async def call(self, name: str, params: Mapping[str, object] | list[object]) -> object:
        """The JSON result. Errors: `RpcError`."""
        method = self._table[name]
        try:
            return await method.call(parse_params(method.params, params))
        except (StoreError, ConsensusFault, LedgerFault) as error:
            self._services.fail(error)
            raise RpcError(
                INTERNAL_ERROR, str(error), code=type(error).__name__, hint="the node stops"
            ) from error

    def readiness(self) -> tuple[bool, dict[str, str]]:
        """Whether the node can do its work, and each check's state in words."""
        return self._services.readiness()
