"""Fifty nodes on the move with 30 % black holes and 10 % loss, against epidemic flooding on the same walks.

NEXUS_MESH_SIM_SEEDS=20 runs the long version: so many seeds, with more messages.
"""

import os

from builders.mesh_mobility import Scenario, run_flooding, run_mesh

LONG_SEEDS = int(os.environ.get("NEXUS_MESH_SIM_SEEDS", "0"))


def scenarios() -> list[Scenario]:
    """The short run, or the long one."""
    if not LONG_SEEDS:
        return [Scenario(seed=1)]
    return [Scenario(seed=seed, messages=200) for seed in range(1, LONG_SEEDS + 1)]


def test_M3_99_percent_arrive_once_within_20_minutes_for_a_fifth_of_floodings_transmissions() -> None:
    sent = delivered = deliveries = bundles = flooded = flood_bundles = message_bytes = flood_bytes = 0
    delays_ms: list[int] = []
    for scenario in scenarios():
        mesh, flooding = run_mesh(scenario), run_flooding(scenario)
        sent += scenario.messages
        delivered += mesh.delivered
        deliveries += mesh.deliveries
        bundles += mesh.bundles
        message_bytes += mesh.message_bytes
        flooded += flooding.delivered
        flood_bundles += flooding.bundles
        flood_bytes += flooding.all_bytes
        assert mesh.delays_ms[-1] <= scenario.lifetime_ms
        delays_ms += mesh.delays_ms
    delays_ms.sort()
    print(
        f"delivered {delivered}/{sent}, flooding {flooded}/{sent}; transmissions {bundles}/{flood_bundles};"
        f" bytes {message_bytes}/{flood_bytes}; delay p50 {delays_ms[len(delays_ms) // 2]} ms,"
        f" p95 {delays_ms[len(delays_ms) * 95 // 100]} ms, max {delays_ms[-1]} ms"
    )
    assert deliveries == delivered
    assert delivered * 100 >= sent * 99
    assert delivered * 100 >= flooded * 99
    assert bundles * 100 <= flood_bundles * 20
    assert message_bytes * 100 <= flood_bytes * 40
