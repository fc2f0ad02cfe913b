"""node_*: the node itself and its peers."""

from importlib.metadata import version

from consensus.blocks import HEADER_VERSION
from consensus.params import slot_at
from ledger.transactions import TRANSACTION_VERSION
from node.rpc.groups import Method, MethodGroup
from node.rpc.schema import Params


class NodeInfoMethods(MethodGroup):
    """Who this node is and whom it knows."""

    def methods(self) -> tuple[Method, ...]:
        """See `MethodGroup`."""
        return (
            Method("node_info", Params, self._node_info),
            Method("node_peers", Params, self._node_peers),
        )

    async def _node_info(self, _: Params) -> object:
        services = self.services
        params, rules, network = services.params, services.rules, services.network
        return {
            "version": version("nexusos-node"),
            "protocol": {"header": HEADER_VERSION, "transaction": TRANSACTION_VERSION},
            "peer_id": network.peer_id,
            "listen_addrs": list(network.listen_addresses),
            "gossip_topics": list(network.topics()),
            "network": params.network,
            "chain_id": params.chain_id,
            "genesis": params.genesis_hash.hex(),
            "genesis_time_ms": str(params.genesis_time_ms),
            "slot": str(slot_at(params, services.now_ms())),
            "slot_ms": params.slot_ms,
            "epoch_slots": params.epoch_slots,
            "ghostdag_k": params.ghostdag_k,
            "address_prefix": rules.address_prefix,
            "base_fee_units": str(rules.base_fee_units),
            "fee_per_byte_units": str(rules.fee_per_byte_units),
            "validators": list(services.validator_indices),
            "signing": services.signing_report(),
            "base_slot": str(services.chain_writer.base.slot),
            "archive": services.config.archive,
            "sync": services.sync_report(),
        }

    async def _node_peers(self, _: Params) -> object:
        services = self.services
        return {
            "peers": [
                {
                    "peer_id": peer.peer_id,
                    "addresses": list(peer.addresses),
                    "direction": peer.direction,
                    "score": services.peer_score(peer.peer_id),
                }
                for peer in services.network.peers()
            ]
        }
