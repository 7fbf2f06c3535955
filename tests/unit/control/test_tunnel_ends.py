"""What control nodes tell hosts of where tunnels begin."""

from skytrail.testing.control_plane import SYSTEM, Bench, build, virtual_router
from skytrail.wire.xmpp import (
    TUNNEL_ENDS,
    TUNNEL_ENDS_PARTS_COUNT,
    ConfigKey,
    ConfigSubscribe,
    ConfigUpdate,
)

ROUTER_A = ConfigKey("virtual-router", f"{SYSTEM}:a")


def router(name, address, kind="router"):
    parameters = {"address": address, "router_type": kind}
    fields = {"bgp_router_parameters": parameters}
    return build("bgp-router", ["default-domain", "p", "i", "i", name], fields=fields)


def replicating(name, address, second):
    pair = {"key": "replicator-address", "value": second}
    return build(
        "virtual-router",
        [SYSTEM, name],
        parent="global-system-config",
        fields={
            "virtual_router_ip_address": address,
            "annotations": {"key_value_pair": [pair]},
        },
    )


def bench_of(*objects):
    bench = Bench(
        build("global-system-config", [SYSTEM]), virtual_router("a", address="192.0.2.1"), *objects
    )
    bench.up("a")
    bench.say("a", ConfigSubscribe(ROUTER_A))
    return bench


def parts(bench):
    return {
        node.key.name: node.properties.get("address", "")
        for message in bench.hear("a")
        if isinstance(message, ConfigUpdate)
        for node in message.nodes
        if node.key.type_name == TUNNEL_ENDS
    }


def listed(found):
    return {
        address
        for value in found.values()
        for address in ([value] if isinstance(value, str) else value)
        if address
    }


def test_hosts_are_told_of_hosts_routers_and_gateways_in_all_parts():
    bench = bench_of(
        virtual_router("b", address="2001:db8::2"),
        replicating("c", "192.0.2.3", "192.0.2.33"),
        virtual_router("d"),
        router("gateway", "192.0.2.4"),
        router("control", "192.0.2.5", "control-node"),
        router("tenant", "10.1.1.3", "bgpaas-client"),
        build(
            "physical-router",
            [SYSTEM, "leaf"],
            parent="global-system-config",
            fields={
                "physical_router_dataplane_ip": "192.0.2.6",
                "physical_router_loopback_ip": "192.0.2.7",
            },
        ),
    )

    found = parts(bench)

    assert len(found) == TUNNEL_ENDS_PARTS_COUNT
    assert listed(found) == {
        "192.0.2.1", "2001:db8::2", "192.0.2.3", "192.0.2.33", "192.0.2.4", "192.0.2.6", "192.0.2.7",
    }  # fmt: skip


def test_a_new_host_costs_the_others_one_part():
    bench = bench_of(*[virtual_router(f"h{n}", address=f"192.0.2.{n}") for n in range(10, 60)])
    before = parts(bench)

    bench.put(virtual_router("new", address="192.0.2.99"))
    after = parts(bench)

    assert len(after) == 1
    assert listed(before | after) - listed(before) == {"192.0.2.99"}


def test_a_host_that_moves_or_goes_is_told_of_and_two_may_have_said_the_same():
    second = virtual_router("b", address="192.0.2.2")
    bench = bench_of(second, virtual_router("twin", address="192.0.2.2"))
    found = parts(bench)

    bench.delete(second)
    unchanged = listed(found | parts(bench))
    bench.put(virtual_router("twin", address="192.0.2.3"))
    moved = listed(found | parts(bench))

    assert unchanged == {"192.0.2.1", "192.0.2.2"}
    assert moved == {"192.0.2.1", "192.0.2.3"}
