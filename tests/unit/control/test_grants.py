"""Which instances and machines a host may use, where only what is placed counts."""

from __future__ import annotations

from ipaddress import IPv4Address
from random import Random

import pytest

from skytrail.control.config_filter import visible
from skytrail.control.limits import Limits
from skytrail.control.path import FABRIC_INSTANCE, InstanceName, PeerName
from skytrail.model.config_object import ConfigObject
from skytrail.net import Label
from skytrail.testing.control_plane import (
    SYSTEM,
    Bench,
    build,
    inet_route,
    instance_of,
    routing_instance,
    virtual_router,
)
from skytrail.wire.xmpp import (
    BROADCAST_TREE,
    ConfigKey,
    ConfigSubscribe,
    ConfigUnsubscribe,
    ConfigUpdate,
    EndOfRib,
    ItemsEvent,
    JoinTree,
    PublishRoute,
    Subscribe,
    WithdrawRoute,
)

NETWORKS = ("red", "blue")
RED, BLUE = map(instance_of, NETWORKS)
MACHINE = ConfigKey("virtual-machine", "m1")


def machine(name: str) -> ConfigObject:
    return build("virtual-machine", [name])


def port(name: str, owner: str, network: str = "red", host: str = "") -> ConfigObject:
    bindings = {"key_value_pair": [{"key": "host_id", "value": host}]}
    return build(
        "virtual-machine-interface",
        ["default-domain", "p", name],
        parent="project",
        fields={"virtual_machine_interface_bindings": bindings} if host else None,
        refs=[
            ("virtual-machine", [owner], None),
            ("virtual-network", ["default-domain", "p", network], None),
        ],
    )


def networks() -> list[ConfigObject]:
    made = [
        build("virtual-network", ["default-domain", "p", each], parent="project")
        for each in NETWORKS
    ]
    return [*made, routing_instance("red", both=[1]), routing_instance("blue", both=[2])]


def strict(*objects: ConfigObject) -> Bench:
    """Host ``reader`` has a port in red; of others the test says what they have."""
    bench = Bench(
        *networks(),
        machine("m0"),
        port("p0", "m0"),
        virtual_router("reader", ["m0"]),
        *objects,
        limits=Limits(placed_only=True, placement_grace_s=60.0),
    )
    bench.up("reader", "a")
    bench.say("reader", Subscribe(RED, 1))
    bench.hear("reader")
    return bench


def publish(instance: str = RED, prefix: str = "10.1.1.3/32") -> PublishRoute:
    return PublishRoute(instance, inet_route(prefix))


def routes(bench: Bench, name: str = "reader") -> tuple[list[str], list[str]]:
    """What ``name`` is told now: prefixes that are there, and that are gone."""
    events = [each for each in bench.hear(name) if isinstance(each, ItemsEvent)]
    return (
        [str(route.key) for event in events for route in event.routes],
        [str(key) for event in events for key in event.retracts],
    )


PLACED = [machine("m1"), port("p1", "m1"), virtual_router("a", ["m1"])]
BOUND = [machine("m1"), port("p1", "m1", host="a"), virtual_router("a")]


@pytest.mark.parametrize("objects", [PLACED, BOUND], ids=["virtual-router", "host-binding"])
def test_host_uses_the_networks_of_its_placed_machines_only(objects: list[ConfigObject]) -> None:
    bench = strict(*objects)
    bench.say("a", Subscribe(RED, 1), Subscribe(BLUE, 2), publish(), publish(BLUE, "10.2.2.2/32"))

    assert routes(bench) == (["10.1.1.3/32"], [])
    blue = bench.plane.replicator.vrfs[InstanceName(BLUE)]
    assert not any(rib.entries for rib in blue.ribs.values())


def test_host_nobody_placed_anything_on_reads_and_says_nothing() -> None:
    bench = strict(virtual_router("a"))
    bench.say("a", Subscribe(RED, 1), publish())
    bench.say("reader", publish(prefix="10.1.1.9/32"))

    assert routes(bench) == ([], [])
    assert routes(bench, "a") == ([], [])


def test_without_the_setting_hosts_use_what_they_name() -> None:
    bench = Bench(*networks())
    bench.up("a", "reader")
    bench.say("reader", Subscribe(RED, 1))
    bench.say("a", Subscribe(RED, 1), publish())

    assert routes(bench) == (["10.1.1.3/32"], [])


def test_placement_that_comes_after_the_routes_lets_them_count_and_the_host_read() -> None:
    bench = strict(virtual_router("a"))
    bench.say("reader", publish(prefix="10.1.1.9/32"))
    bench.say("a", Subscribe(RED, 1), publish(), EndOfRib())
    assert routes(bench) == ([], [])

    bench.put(*PLACED)

    assert routes(bench) == (["10.1.1.3/32"], [])
    assert routes(bench, "a") == (["10.1.1.9/32"], [])


def test_network_that_comes_after_placement_and_routes_is_used() -> None:
    bench = strict(*PLACED)
    instance = routing_instance("red", both=[1])
    bench.delete(instance)
    bench.say("a", Subscribe(RED, 1), publish())
    bench.put(instance)

    assert routes(bench)[0] == ["10.1.1.3/32"]


def test_placement_before_the_session_and_a_control_node_that_learns_late_are_the_same() -> None:
    bench = Bench(limits=Limits(placed_only=True))
    bench.up("a", "reader")
    bench.say("a", Subscribe(RED, 1), publish())
    bench.say("reader", Subscribe(RED, 1))
    reader = [machine("m0"), port("p0", "m0"), virtual_router("reader", ["m0"])]
    bench.plane.config_replace([*networks(), *PLACED, *reader])
    bench.commit()

    assert routes(bench) == (["10.1.1.3/32"], [])


def test_routes_stay_for_a_while_when_their_placement_goes_and_go_then() -> None:
    bench = strict(*PLACED)
    bench.say("a", Subscribe(RED, 1), publish(), EndOfRib())
    bench.hear("reader")

    bench.put(virtual_router("a"))
    bench.wait(59)
    assert routes(bench) == ([], [])
    bench.wait(2)
    assert routes(bench) == ([], ["10.1.1.3/32"])

    bench.put(virtual_router("a", ["m1"]))
    assert routes(bench) == (["10.1.1.3/32"], [])


def test_placement_that_is_back_in_time_changes_nothing() -> None:
    bench = strict(*PLACED)
    bench.say("a", Subscribe(RED, 1), publish())
    bench.hear("reader")

    bench.put(virtual_router("a"))
    bench.wait(30)
    bench.put(virtual_router("a", ["m1"]))
    bench.wait(61)

    assert routes(bench) == ([], [])


def test_held_route_that_is_withdrawn_does_not_count_later() -> None:
    bench = strict(virtual_router("a"))
    route = publish()
    bench.say("a", Subscribe(RED, 1), route, WithdrawRoute(RED, route.route.key))
    bench.put(*PLACED)

    assert routes(bench) == ([], [])


def names(bench: Bench, host: str = "a") -> list[str]:
    updates = [each for each in bench.hear(host) if isinstance(each, ConfigUpdate)]
    nodes = [node.key for each in updates for node in each.nodes]
    return [key.name for key in nodes if key.type_name == "virtual-machine"]


def test_machine_of_another_host_is_told_nobody_else() -> None:
    bench = strict(*PLACED, virtual_router("b"))
    bench.up("b")
    bench.say("b", ConfigSubscribe(ConfigKey("virtual-router", f"{SYSTEM}:b")))
    bench.say("b", ConfigSubscribe(MACHINE))
    assert names(bench, "b") == []

    bench.put(virtual_router("b", ["m1"]))
    assert names(bench, "b") == ["m1"]


def test_machine_that_is_no_longer_asked_for_is_not_told_when_it_is_placed() -> None:
    bench = strict(virtual_router("a"), machine("m1"))
    bench.say("a", ConfigSubscribe(MACHINE), ConfigUnsubscribe(MACHINE))
    bench.put(port("p1", "m1", host="a"))

    assert names(bench) == []
    assert bench.plane.peers[PeerName("a")].config.roots_length == 0


def test_every_host_may_use_the_fabric() -> None:
    bench = strict()

    assert bench.plane.grants is not None
    assert bench.plane.grants.may_use(PeerName("a"), FABRIC_INSTANCE)


@pytest.mark.parametrize("seed", range(20))
def test_grants_after_any_history_are_what_the_whole_walk_reaches(seed: int) -> None:
    rng = Random(seed)
    bench = Bench(*networks(), limits=Limits(placed_only=True, placement_grace_s=0.0))
    hosts, machines, ports = "ab", ("m1", "m2"), ("p1", "p2", "p3")
    bench.up(*hosts)
    placed: dict[str, str] = {}
    for _ in range(60):
        bench.now += 1
        match rng.randrange(5):
            case 0:
                bench.put(virtual_router(rng.choice(hosts), rng.sample(machines, rng.randrange(3))))
            case 1:
                name, host = rng.choice(ports), rng.choice(("", *hosts))
                owner = rng.choice(machines)
                placed[name] = f"{host}/{owner}" if host else ""
                bench.put(port(name, owner, rng.choice(NETWORKS), host))
            case 2:
                name = rng.choice(ports)
                placed.pop(name, None)
                bench.delete(port(name, "m1"))
            case 3:
                made = machine(rng.choice(machines))
                bench.put(made) if rng.random() < 0.7 else bench.delete(made)
            case _:
                made = routing_instance(rng.choice(NETWORKS), both=[1])
                bench.put(made) if rng.random() < 0.7 else bench.delete(made)
        bench.wait(1)

        for host in hosts:
            roots = [ConfigKey("virtual-router", f"{SYSTEM}:{host}")]
            bound = [each.split("/")[1] for each in placed.values() if each.startswith(host)]
            roots += [ConfigKey("virtual-machine", each) for each in bound]
            found = visible(bench.plane.config.graph, roots).values()
            seen = {":".join(each.fq_name) for each in found}
            assert bench.plane.grants is not None
            for instance in (RED, BLUE):
                granted = bench.plane.grants.may_use(PeerName(host), InstanceName(instance))
                assert granted == (instance in seen), (host, instance)


def test_tree_that_is_joined_before_its_placement_is_joined_then_and_left_when_that_goes() -> None:
    bench = strict(virtual_router("a"))
    address, label = IPv4Address("172.16.0.1"), Label(99)
    bench.say(
        "a", Subscribe(RED, 1), JoinTree(RED, BROADCAST_TREE, address, label, label, ("udp",))
    )
    claims = bench.plane.trees.claims
    assert PeerName("a") not in claims

    bench.put(*PLACED)
    assert len(claims[PeerName("a")]) == 1

    bench.put(virtual_router("a"))
    bench.wait(61)
    assert PeerName("a") not in claims

    bench.put(virtual_router("a", ["m1"]))
    assert len(claims[PeerName("a")]) == 1
