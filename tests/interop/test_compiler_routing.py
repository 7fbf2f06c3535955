"""What the compiler makes of routers, BGP services and route tables, through the real API."""

import pytest

from skytrail.client import ApiError
from skytrail.runtime.introspection import read_table
from skytrail.testing.controller import running_controller, wait_until

PROJECT = ["default-domain", "default-project"]
FABRIC = [*PROJECT, "ip-fabric", "__default__"]


@pytest.fixture
def controller(tmp_path):
    with running_controller(tmp_path) as found:
        yield found


@pytest.fixture
def api(controller):
    with controller.client() as client:
        yield client


def create(api, type_name, name, **members):
    content = {"fq_name": [*PROJECT, name], "parent_type": "project", **members}
    return api.create(type_name, content)


def network_with_port(api, name, prefix):
    """A network, one port in it with an address; returns the port's uuid."""
    subnet = {"subnet": {"ip_prefix": prefix, "ip_prefix_len": 24}}
    ipam = {"to": [*PROJECT, "default-network-ipam"], "attr": {"ipam_subnets": [subnet]}}
    create(api, "virtual-network", name, network_ipam_refs=[ipam])
    port = create(
        api,
        "virtual-machine-interface",
        f"{name}-port",
        virtual_network_refs=[{"to": [*PROJECT, name]}],
    )
    api.create(
        "instance-ip",
        {
            "fq_name": [f"{name}-ip"],
            "virtual_network_refs": [{"to": [*PROJECT, name]}],
            "virtual_machine_interface_refs": [{"to": [*PROJECT, f"{name}-port"]}],
        },
    )
    return port


def instance(api, name):
    return api.read_by_name("routing-instance", [*PROJECT, name, name])


def targets(api, name):
    return {each["to"][0] for each in instance(api, name).get("route_target_refs", [])}


def exists(api, type_name, fq_name):
    try:
        return api.name_to_id(type_name, fq_name)
    except ApiError:
        return None


def refused(controller):
    return read_table(controller.compiler_socket, "refused")


def test_logical_router_gets_its_target_and_shares_it_while_it_is_there(api, controller):
    ports = [network_with_port(api, name, f"10.1.{n}.0") for n, name in enumerate(("a", "b"))]
    wait_until(lambda: targets(api, "a") and targets(api, "b"), "route targets")
    before = targets(api, "a")
    references = [{"to": [*PROJECT, f"{name}-port"]} for name in ("a", "b")]

    router = create(api, "logical-router", "r", virtual_machine_interface_refs=references)

    wait_until(lambda: len(targets(api, "a") & targets(api, "b")) == 1, "the shared target")
    (shared,) = targets(api, "a") & targets(api, "b")
    (own,) = api.read("logical-router", router)["route_target_refs"]
    assert own["to"] == [shared]

    api.delete("logical-router", router)

    wait_until(lambda: targets(api, "a") == before, "parting")
    wait_until(lambda: exists(api, "route-target", [shared]) is None, "removal of the target")
    assert ports
    assert refused(controller) == []


def test_vxlan_router_has_an_internal_network_with_its_number_and_targets(api, controller):
    network_with_port(api, "a", "10.1.1.0")
    router = create(
        api,
        "logical-router",
        "r",
        logical_router_type="vxlan-routing",
        vxlan_network_identifier="5001",
        configured_route_target_list={"route_target": ["target:65000:1"]},
        virtual_machine_interface_refs=[{"to": [*PROJECT, "a-port"]}],
    )
    name = f"__contrail_lr_internal_vn_{router}__"

    def joined():
        found = instance(api, "a").get("routing_instance_refs", [])
        return [each["to"][-1] for each in found] == [name]

    wait_until(joined, "connection of the internal network")
    wait_until(lambda: "target:65000:1" in targets(api, name), "its route targets")
    internal = api.read_by_name("virtual-network", [*PROJECT, name])
    assert internal["virtual_network_properties"]["vxlan_network_identifier"] == 5001
    assert internal["id_perms"]["user_visible"] is False

    api.delete("logical-router", router)

    wait_until(lambda: exists(api, "virtual-network", [*PROJECT, name]) is None, "its removal")
    assert refused(controller) == []


def test_bgp_service_makes_routers_and_removes_them_with_itself(api, controller):
    port = network_with_port(api, "a", "10.1.1.0")
    service = create(
        api,
        "bgp-as-a-service",
        "bgp",
        autonomous_system=65010,
        virtual_machine_interface_refs=[{"to": [*PROJECT, "a-port"]}],
        bgpaas_session_attributes={"hold_time": 30},
    )

    wait_until(lambda: api.read("bgp-as-a-service", service).get("bgp_router_refs"), "client")
    (reference,) = api.read("bgp-as-a-service", service)["bgp_router_refs"]
    client = api.read("bgp-router", reference["uuid"])
    assert client["bgp_router_parameters"]["source_port"] in range(50000, 50513)
    assert client["bgp_router_parameters"]["gateway_address"].startswith("10.1.1.")
    (peer,) = client["bgp_router_refs"]
    assert peer["to"] == [*PROJECT, "a", "a", "bgpaas-server"]
    assert (
        api.read("virtual-machine-interface", port)["bgp_router_refs"][0]["to"] == client["fq_name"]
    )

    api.delete("bgp-as-a-service", service)

    wait_until(lambda: exists(api, "bgp-router", peer["to"]) is None, "removal of the server")
    assert "bgp_router_refs" not in api.read("virtual-machine-interface", port)
    assert refused(controller) == []


def test_control_nodes_peer_and_follow_the_global_as(api, controller):
    def router(name, **parameters):
        content = {
            "fq_name": [*FABRIC, name],
            "parent_type": "routing-instance",
            "bgp_router_parameters": {"vendor": "contrail", "router_type": "control-node",
                                      "autonomous_system": 64512, **parameters},
        }  # fmt: skip
        return api.create("bgp-router", content)

    one, two = router("c1"), router("c2")
    router("gw", vendor="other", router_type="router", autonomous_system=65001)

    def peers(uuid):
        found = api.read("bgp-router", uuid).get("bgp_router_refs", [])
        return {each["to"][-1] for each in found}

    def asn(uuid):
        return api.read("bgp-router", uuid)["bgp_router_parameters"]["autonomous_system"]

    wait_until(lambda: (peers(one), peers(two)) == ({"c2"}, {"c1"}), "the mesh")
    system = api.name_to_id("global-system-config", ["default-global-system-config"])

    api.update("global-system-config", system, {"autonomous_system": 64600})

    wait_until(lambda: asn(one) == asn(two) == 64600, "the new AS")
    assert (peers(one), peers(two)) == ({"c2"}, {"c1"})
    assert refused(controller) == []


def test_route_table_and_policy_reach_the_default_instance(api, controller):
    network_with_port(api, "a", "10.1.1.0")
    network = api.name_to_id("virtual-network", [*PROJECT, "a"])
    routes = [{"prefix": "172.16.0.0/12", "next_hop": "10.1.1.9", "next_hop_type": "ip-address"}]
    create(api, "route-table", "t", routes={"route": routes})
    policy = create(api, "routing-policy", "p")

    api.update(
        "virtual-network",
        network,
        {
            "route_table_refs": [{"to": [*PROJECT, "t"]}],
            "routing_policy_refs": [{"to": [*PROJECT, "p"], "attr": {"sequence": "1"}}],
        },
    )

    wait_until(lambda: "static_route_entries" in instance(api, "a"), "the static route")
    (route,) = instance(api, "a")["static_route_entries"]["route"]
    assert (route["prefix"], route["next_hop"]) == ("172.16.0.0/12", "10.1.1.9")
    wait_until(lambda: api.read("routing-policy", policy).get("routing_instance_refs"), "policy")

    api.update("virtual-network", network, {"route_table_refs": [], "routing_policy_refs": []})

    wait_until(lambda: not instance(api, "a").get("static_route_entries"), "removal")
    wait_until(
        lambda: not api.read("routing-policy", policy).get("routing_instance_refs"), "removal"
    )
    assert refused(controller) == []
