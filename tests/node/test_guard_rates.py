"""What one peer may send fits what an honest network sends."""

import pytest
from builders.blocks import found_chain

from node.flows.wire import votes_topic
from node.peer_watch import guard_limits
from p2p.guarded import open_guarded
from p2p.network import PeerId, Validator, Verdict
from p2p.peers import PeerBook
from p2p.simulated import SimulatedFabric


@pytest.mark.parametrize("network_name", ["devnet", "fast"])
async def test_N2_all_votes_of_a_full_set_pass_in_one_burst_through_one_peer(
    network_name: str, autojump_clock: object
) -> None:
    """A thousand validators vote in one slot; a peer that brings all their votes has done nothing wrong."""
    params = found_chain(12, network=network_name).params
    topic, most = votes_topic(params.chain_id), params.staking.max_validators
    forwarded: list[Verdict] = []

    async def accept(_peer: PeerId, _data: bytes) -> Verdict:
        return Verdict.ACCEPT

    async with SimulatedFabric(1) as fabric, fabric.join("node") as wire:
        judges: list[Validator] = []
        subscribe = wire.subscribe

        async def keep(topic: str, judge: Validator, *, max_bytes: int) -> None:
            judges.append(judge)
            await subscribe(topic, judge, max_bytes=max_bytes)

        wire.subscribe = keep  # type: ignore[method-assign]
        async with open_guarded(wire, PeerBook(), guard_limits(params, 64)) as network:
            await network.subscribe(topic, accept, max_bytes=512)
            for number in range(most):
                forwarded.append(await judges[0](PeerId("peer"), number.to_bytes(256)))
            assert network.score(PeerId("peer")) == 0
            assert forwarded == [Verdict.ACCEPT] * most


def test_N2_one_peer_costs_at_most_a_few_hundred_votes_a_second() -> None:
    params = found_chain(12).params
    rate = guard_limits(params, 64).gossip[votes_topic(params.chain_id)]
    assert rate.per_second <= 400
