"""The whole control plane in one process: two control nodes, several agents, virtual time.

After the faults end everything must converge to what a slow, obvious oracle says from the intent
alone; at every moment no table may hold a route its network was never allowed to import, and no copy
of a broadcast may arrive twice.

A failing seed is in the test's name: ``pytest tests/simulation -k "seed-17"``. More seeds:
``SKYTRAIL_SIM_SEEDS=200 pytest tests/simulation``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from ipaddress import IPv4Network

import pytest

from skytrail.testing.control_plane import instance_of
from skytrail.testing.sim_control import (
    APART,
    BOTH,
    CONTROLS,
    HOLD_TIME_S,
    HOSTS,
    LIMITS,
    NETWORKS,
    BgpWire,
    Link,
    View,
    Workload,
    World,
    populated,
)

SEEDS_COUNT = "200" if "SKYTRAIL_NIGHTLY" in os.environ else "8"
SEEDS = range(int(os.environ.get("SKYTRAIL_SIM_SEEDS", SEEDS_COUNT)))
CHAOS_S = 240.0
CALM_S = 150.0

Fault = Callable[[World], None]


def _some_workload(world: World) -> str | None:
    names = sorted(world.workloads)
    return world.network.rng.choice(names) if names else None


def fault_move(world: World) -> None:
    name = _some_workload(world)
    if name is not None:
        world.move_workload(name, world.network.rng.choice(HOSTS))


def fault_remove(world: World) -> None:
    name = _some_workload(world)
    if name is not None:
        world.remove_workload(name)


def fault_add(world: World) -> None:
    rng = world.network.rng
    name = f"x{world.revision}"
    prefix = f"10.1.1.{rng.randrange(100, 110)}/32"
    workload = Workload(rng.choice(NETWORKS), prefix, rng.choice(HOSTS))
    # The same prefix on two hosts is an anycast service; twice on one host is a mistake.
    for other in world.workloads.values():
        if (other.network, other.prefix) == (workload.network, prefix):
            if other.host == workload.host:
                return
            workload.sequence = max(workload.sequence, other.sequence)
    world.add_workload(name, workload)


def fault_connect(world: World) -> None:
    one, other = world.network.rng.sample(NETWORKS, 2)
    world.toggle_connection(one, other)


def fault_network(world: World) -> None:
    world.toggle_network(world.network.rng.choice(NETWORKS))


def _some_link(world: World) -> Link | None:
    links = [link for agent in world.agents.values() for link in agent.links.values()]
    return world.network.rng.choice(links) if links else None


def fault_cut(world: World) -> None:
    link = _some_link(world)
    if link is not None:
        link.cut(both=world.network.rng.random() < 0.5)


def fault_black_hole(world: World) -> None:
    link = _some_link(world)
    if link is not None:
        link.black_hole()


def fault_partition(world: World) -> None:
    link = _some_link(world)
    if link is not None:
        until = world.network.now() + world.network.rng.uniform(5.0, 100.0)
        link.agent.blocked_until[link.control.name] = until
        link.black_hole()


def fault_restart_agent(world: World) -> None:
    world.agents[world.network.rng.choice(HOSTS)].restart()


def fault_restart_control(world: World) -> None:
    control = world.controls[world.network.rng.choice(CONTROLS)]
    if control.is_up:
        control.stop()
        world.network.after(world.network.rng.uniform(0.5, 40.0), control.start)


def fault_bgp(world: World) -> None:
    """Cut, swallow or part the connection of the two control nodes."""
    rng = world.network.rng
    wires: list[BgpWire] = [wire for each in world.controls.values() for wire in each.wires]
    if rng.random() < 0.3:
        world.bgp_blocked_until = world.network.now() + rng.uniform(5.0, 100.0)
    for wire in wires[:1]:
        if rng.random() < 0.5:
            wire.cut(both=rng.random() < 0.5)
        else:
            wire.black_hole()


FAULTS: tuple[Fault, ...] = (
    fault_move, fault_move, fault_add, fault_add, fault_remove, fault_connect, fault_network,
    fault_cut, fault_cut, fault_black_hole, fault_partition, fault_restart_agent,
    fault_restart_control, fault_bgp,
)  # fmt: skip


@pytest.mark.parametrize("homes", [BOTH, APART], ids=["two-control-nodes", "routes-by-bgp"])
@pytest.mark.parametrize("seed", SEEDS, ids=lambda seed: f"seed-{seed}")
def test_control_plane_converges_to_the_oracle_after_faults(
    seed: int, homes: Mapping[str, tuple[str, ...]]
) -> None:
    print(f"seed {seed}")
    world = populated(seed, homes=homes)
    world.run(10)
    end = world.network.now() + CHAOS_S

    while world.network.now() < end:
        world.run(world.network.rng.expovariate(1 / 4.0))
        world.network.rng.choice(FAULTS)(world)
        world.check_no_copy_arrives_twice()
    for name in sorted(set(NETWORKS) - world.present):
        world.toggle_network(name)
    world.run(CALM_S)

    world.check_converged()


def all_views(world: World) -> dict[tuple[str, str], View]:
    return {
        (host, instance): agent.view(instance)
        for host, agent in world.agents.items()
        for instance in agent.vrfs
    }


@pytest.mark.parametrize("homes", [BOTH, APART], ids=["two-control-nodes", "routes-by-bgp"])
def test_quiet_network_converges_within_seconds(homes: Mapping[str, tuple[str, ...]]) -> None:
    world = populated(1, homes=homes)
    world.toggle_connection("red", "blue")
    # Where some agents never come to a node, it waits for them as long as it may.
    world.run(10 if homes is BOTH else 10 + LIMITS.deferral_time_s)

    world.check_converged()


@pytest.mark.parametrize("victims", [("c0",), ("c0", "c1")])
def test_restart_of_control_nodes_loses_no_route_at_any_moment(victims: tuple[str, ...]) -> None:
    world = populated(2)
    world.run(30)
    before = all_views(world)
    assert any(before.values())
    for name in victims:
        world.controls[name].stop()
    world.run(20)
    for name in victims:
        world.controls[name].start()

    for _ in range(600):
        world.run(0.2)
        assert all_views(world) == before


@pytest.mark.parametrize("homes", [BOTH, APART], ids=["two-control-nodes", "trees-by-bgp"])
def test_no_copy_arrives_twice_at_any_moment_of_faults(
    homes: Mapping[str, tuple[str, ...]],
) -> None:
    world = populated(7, homes=homes)
    for _ in range(40):
        world.network.rng.choice(FAULTS)(world)
        for _ in range(25):
            world.run(0.1)
            world.check_no_copy_arrives_twice()


@pytest.mark.parametrize("victims", [("c0",), ("c1",), ("c0", "c1")])
def test_restart_of_control_nodes_takes_no_host_out_of_a_tree_at_any_moment(
    victims: tuple[str, ...],
) -> None:
    world = populated(8)
    world.run(30)
    world.check_trees_converged()
    for name in victims:
        world.controls[name].stop()
    world.run(20)
    for name in victims:
        world.controls[name].start()

    for _ in range(600):
        world.run(0.2)
        world.check_trees_converged()


def test_agent_back_within_the_restart_time_changes_nothing_for_others() -> None:
    world = populated(3)
    world.run(30)
    before = {key: view for key, view in all_views(world).items() if key[0] != "h0"}
    world.agents["h0"].restart()
    for name in CONTROLS:
        world.agents["h0"].blocked_until[name] = world.network.now() + 50

    for _ in range(600):
        world.run(0.2)
        assert {key: view for key, view in all_views(world).items() if key[0] != "h0"} == before


def test_agent_that_stays_away_is_withdrawn_after_the_restart_time() -> None:
    world = populated(4)
    world.run(30)
    gone = world.agents["h0"]
    gone.restart()
    for name in CONTROLS:
        gone.blocked_until[name] = world.network.now() + 1000
    lost = {str(hop.address) for route in gone.intent.values() for hop in route.next_hops}

    # The hold time finds half-open connections, then the restart time passes.
    world.run(HOLD_TIME_S + LIMITS.restart_time_s + 5)

    for (host, _), view in all_views(world).items():
        if host != "h0":
            assert not {address for hops in view.values() for address, _ in hops} & lost


def test_equal_seeds_give_equal_runs() -> None:
    first, second = populated(5), populated(5)
    for world in (first, second):
        world.run(5)
        fault_restart_control(world)
        world.run(20)

    assert all_views(first) == all_views(second)
    assert first.network.rng.random() == second.network.rng.random()


def test_withdrawn_workload_is_gone_everywhere() -> None:
    world = populated(6)
    world.run(20)
    key: IPv4Network = IPv4Network(world.workloads["w0"].prefix)
    world.remove_workload("w0")

    world.run(5)

    world.check_converged()
    for agent in world.agents.values():
        assert (instance_of("red"), key) not in agent.intent


def test_restart_of_an_agent_makes_control_nodes_tell_each_other_nothing() -> None:
    """Each hears the agent's routes from the other as well: neither may prefer that for being fresh."""
    world = populated(3)
    world.run(40)

    def told() -> list[int]:
        peers = [peer for each in world.controls.values() for peer in each.plane.bgp.peers.values()]
        return [peer.counters.updates_in for peer in peers]

    before = told()
    for agent in world.agents.values():
        agent.restart()
    world.run(20)

    assert told() == before
