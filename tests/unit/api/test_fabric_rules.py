"""BGP numbers and routers, sub-clusters, virtual port groups and VLANs."""

from __future__ import annotations

import pytest

PROJECT = ["default-domain", "default-project"]
SYSTEM = ["default-global-system-config"]
INSTANCE = [*PROJECT, "ip-fabric", "__default__"]


def post(api, type_name, *name, **members):
    return api.call("POST", f"/{type_name}s", {type_name: {"fq_name": list(name), **members}})


def system(api, **members):
    uuid = api.service.graph.uuid_of("global-system-config", tuple(SYSTEM))
    return api.call("PUT", f"/global-system-config/{uuid}", {"global-system-config": members})


def router(api, name, **parameters):
    refs = {n: parameters.pop(n) for n in list(parameters) if n.endswith("_refs")}
    return post(
        api, "bgp-router", *INSTANCE, name, parent_type="routing-instance",
        bgp_router_parameters=parameters, **refs,
    )  # fmt: skip


def test_numbers_of_four_bytes_have_to_be_enabled(api) -> None:
    assert system(api, autonomous_system=70_000).text.startswith("ASN out of range")
    assert router(api, "r", autonomous_system=70_000).status == 400

    assert system(api, autonomous_system=70_000, enable_4byte_as=True).status == 200
    assert router(api, "r", autonomous_system=70_000).status == 200
    assert system(api, enable_4byte_as=False).status == 400


def test_the_global_number_keeps_clear_of_configured_targets(api) -> None:
    api.network("n", route_target_list={"route_target": ["target:65000:8000001"]})

    assert system(api, autonomous_system=65_000).status == 400
    assert system(api, autonomous_system=65_001).status == 200


@pytest.mark.parametrize(
    "parameters",
    [
        {"address": "nonsense"},
        {"identifier": "1.2.3"},
        {"port": 70_000},
        {"local_autonomous_system": 70_000},
    ],
)
def test_bad_routers_are_refused(api, parameters) -> None:
    assert router(api, "r", **parameters).status == 400


@pytest.mark.parametrize(("kind", "status"), [("control-node", 400), ("bgpaas-client", 200)])
def test_only_the_end_of_a_service_s_session_is_in_two_zones(api, kind, status) -> None:
    zones = []
    for name in ("east", "west"):
        fq_name = [*SYSTEM, name]
        post(api, "control-node-zone", *fq_name, parent_type="global-system-config")
        zones.append({"to": fq_name})

    answer = router(api, "r", router_type=kind, control_node_zone_refs=zones)

    assert answer.status == status


@pytest.mark.parametrize(
    ("parameters", "status"),
    [
        ({"address": "fd09::2", "router_type": "router"}, 200),
        ({"address": "fd09::1", "identifier": "10.9.0.1", "router_type": "control-node"}, 200),
        ({"address": "fd09::1", "router_type": "control-node"}, 400),
        ({"address": "fd09::1", "identifier": "fd09::1", "router_type": "router"}, 400),
    ],
    ids=["a router", "ours with identifier", "ours without", "an identifier that is none"],
)
def test_sessions_may_run_over_ipv6_and_identifiers_are_ipv4(api, parameters, status) -> None:
    answer = router(api, "r", autonomous_system=64512, **parameters)

    assert answer.status == status
    if status == 400:
        assert "identifier" in answer.text
        assert "IPv4 address" in answer.text


def test_sub_clusters_get_numbers_and_keep_them(api) -> None:
    first = post(api, "sub-cluster", "a", sub_cluster_asn=65_010).json["sub-cluster"]["uuid"]
    given = post(api, "sub-cluster", "b", sub_cluster_id=7).json["sub-cluster"]["uuid"]

    assert api.read("sub-cluster", first)["sub_cluster_id"] == 1
    assert api.read("sub-cluster", given)["sub_cluster_id"] == 7
    assert post(api, "sub-cluster", "c", sub_cluster_id=7).status == 400
    change = {"sub-cluster": {"sub_cluster_id": 8}}
    assert api.call("PUT", f"/sub-cluster/{given}", change).status == 400
    api.call("DELETE", f"/sub-cluster/{given}")
    assert post(api, "sub-cluster", "c", sub_cluster_id=7).status == 200
    refs = [{"uuid": first}]
    assert router(api, "r", autonomous_system=65_011, sub_cluster_refs=refs).status == 400
    assert router(api, "r", autonomous_system=65_010, sub_cluster_refs=refs).status == 200


def test_a_shared_bgp_service_needs_an_address_and_stays_shared(api) -> None:
    def service(name, **members):
        return post(api, "bgp-as-a-service", *PROJECT, name, parent_type="project", **members)

    bare = service("s", bgpaas_shared=True)
    assert bare.text == "BGPaaS IP Address needs to be configured if BGPaaS is shared"
    made = service("s", bgpaas_shared=True, bgpaas_ip_address="10.0.0.1")
    uuid = made.json["bgp-as-a-service"]["uuid"]
    change = {"bgp-as-a-service": {"bgpaas_shared": False}}
    assert api.call("PUT", f"/bgp-as-a-service/{uuid}", change).status == 400


@pytest.mark.parametrize(
    ("auth", "problem"),
    [
        ({"key_type": "md5", "key_items": []}, "must have one key, not 0"),
        ({"key_type": "md5", "key_items": [{"key_id": 0, "key": ""}]}, "1 to 80 bytes, not 0"),
        ({"key_type": "md5", "key_items": [{"key_id": 0, "key": "ü" * 41}]}, "80 bytes, not 82"),
    ],
)
def test_a_key_that_no_session_could_have_is_refused(api, auth, problem) -> None:
    session = {"auth_data": auth}

    refused = post(
        api, "bgp-as-a-service", *PROJECT, "s", parent_type="project",
        bgpaas_session_attributes=session,
    )  # fmt: skip

    assert refused.status == 400
    assert problem in refused.text
    assert "ü" not in refused.text


def test_ports_of_bgp_services_do_not_shrink_in_use(api) -> None:
    assert system(api, bgpaas_parameters={"port_start": 9, "port_end": 5}).status == 400
    wide = {"port_start": 50_000, "port_end": 51_000}
    assert system(api, bgpaas_parameters=wide).status == 200
    post(api, "bgp-as-a-service", *PROJECT, "s", parent_type="project")

    shrunk = system(api, bgpaas_parameters={"port_start": 50_000, "port_end": 50_999})

    assert (shrunk.status, shrunk.text) == (400, "BGP Port range cannot be shrunk")
    assert system(api, bgpaas_parameters={**wide, "port_end": 51_001}).status == 200


@pytest.fixture
def ports(api):
    """Two ports on each of two devices, by name."""
    found = {}
    for device in ("d1", "d2"):
        api.create("physical-router", fq_name=[*SYSTEM, device])
        for port in ("p1", "p2", "p3"):
            found[device + port] = api.create(
                "physical-interface", fq_name=[*SYSTEM, device, port], parent_type="physical-router"
            )
    return found


def group(api, name, *ports, **members):
    refs = [{"uuid": port} for port in ports]
    return post(
        api, "virtual-port-group", *PROJECT, name, parent_type="project",
        physical_interface_refs=refs, **members,
    )  # fmt: skip


def bundle_numbers(api, uuid):
    refs = api.read("virtual-port-group", uuid).get("physical_interface_refs", [])
    return {ref["to"][-2] + ref["to"][-1]: (ref["attr"] or {}).get("ae_num") for ref in refs}


def test_bundles_are_numbered_per_device(api, ports) -> None:
    one = group(api, "a", ports["d1p1"], ports["d2p1"]).json["virtual-port-group"]["uuid"]
    two = group(api, "b", ports["d1p2"], ports["d1p3"]).json["virtual-port-group"]["uuid"]
    single = group(api, "c", ports["d2p2"]).json["virtual-port-group"]["uuid"]

    assert bundle_numbers(api, one) == {"d1p1": 0, "d2p1": 0}
    assert bundle_numbers(api, two) == {"d1p2": 1, "d1p3": 1}
    assert bundle_numbers(api, single) == {"d2p2": None}

    refs = {"physical_interface_refs": [{"uuid": ports["d1p1"]}]}
    api.call("PUT", f"/virtual-port-group/{one}", {"virtual-port-group": refs})
    again = group(api, "d", ports["d2p1"], ports["d2p3"]).json["virtual-port-group"]["uuid"]
    assert bundle_numbers(api, one) == {"d1p1": None}
    assert bundle_numbers(api, again) == {"d2p1": 0, "d2p3": 0}


def test_a_port_is_in_one_group(api, ports) -> None:
    group(api, "a", ports["d1p1"])

    assert group(api, "b", ports["d1p1"]).status == 400


def interface(api, name, **members):
    refs = [{"to": [*PROJECT, "default-virtual-network"]}]
    return post(
        api, "virtual-machine-interface", *PROJECT, name, parent_type="project",
        virtual_network_refs=refs, **members,
    )  # fmt: skip


def vlan(number):
    return {"virtual_machine_interface_properties": {"sub_interface_vlan_tag": number}}


def test_interfaces_of_a_group_differ_by_vlan(api) -> None:
    uuid = group(api, "g").json["virtual-port-group"]["uuid"]
    refs = {"virtual_port_group_refs": [{"uuid": uuid}]}
    assert interface(api, "a", **refs, **vlan(5)).status == 200
    assert interface(api, "b", **refs).status == 200

    assert interface(api, "c", **refs, **vlan(5)).status == 400
    assert interface(api, "c", **refs).status == 400
    tagged = [{"uuid": uuid, "attr": {"vlan_tag": 6}}]
    assert interface(api, "c", virtual_port_group_refs=tagged).status == 200
    loose = interface(api, "d", **vlan(6)).json["virtual-machine-interface"]["uuid"]
    change = {"virtual-port-group": {"virtual_machine_interface_refs": [{"uuid": loose}]}}
    assert api.call("PUT", f"/virtual-port-group/{uuid}", change).status == 400


@pytest.fixture
def fabric(api, ports):
    """A fabric of both devices."""
    uuid = api.create("fabric", fq_name=[*SYSTEM, "f"], parent_type="global-system-config")
    for device in ("d1", "d2"):
        router_uuid = api.service.graph.uuid_of("physical-router", (*SYSTEM, device))
        change = {"physical-router": {"fabric_refs": [{"uuid": uuid}]}}
        assert api.call("PUT", f"/physical-router/{router_uuid}", change).status == 200
    for name in ("red", "blue"):
        api.network(name)
    return uuid


def on(api, name, group_uuid, network, number):
    return post(
        api, "virtual-machine-interface", *PROJECT, name, parent_type="project",
        virtual_network_refs=[{"to": [*PROJECT, network]}],
        virtual_port_group_refs=[{"uuid": group_uuid}], **vlan(number),
    )  # fmt: skip


def two_groups(api, ports):
    """One group below the fabric, one that is of it by its ports."""
    first = post(
        api, "virtual-port-group", *SYSTEM, "f", "one", parent_type="fabric",
        physical_interface_refs=[{"uuid": ports["d1p1"]}],
    ).json  # fmt: skip
    second = group(api, "two", ports["d2p1"]).json
    return [each["virtual-port-group"]["uuid"] for each in (first, second)]


def test_vlan_means_one_network_in_a_fabric_of_enterprise_style(api, ports, fabric) -> None:
    one, two = two_groups(api, ports)
    made = on(api, "a", one, "red", 10).json["virtual-machine-interface"]["uuid"]

    other_network = on(api, "b", two, "blue", 10)
    other_vlan = on(api, "b", two, "red", 11)

    assert other_network.status == other_vlan.status == 400
    assert "VLAN 10 carries another network" in other_network.text
    there = f"{made} on ['default-global-system-config', 'f', 'one']"
    assert other_network.text.endswith(there)
    assert "the network already has VLAN 10, not 11" in other_vlan.text
    assert on(api, "b", two, "red", 10).status == 200
    assert on(api, "c", two, "blue", 11).status == 200
    change = {"virtual-machine-interface": {"virtual_network_refs": [{"to": [*PROJECT, "blue"]}]}}
    assert api.call("PUT", f"/virtual-machine-interface/{made}", change).status == 400


@pytest.mark.parametrize(
    "style", [{"fabric_enterprise_style": False}, {"disable_vlan_vn_uniqueness_check": True}]
)
def test_vlan_is_free_per_group_where_the_fabric_says_so(api, ports, fabric, style) -> None:
    assert api.call("PUT", f"/fabric/{fabric}", {"fabric": style}).status == 200
    one, two = two_groups(api, ports)

    assert on(api, "a", one, "red", 10).status == 200
    assert on(api, "b", two, "blue", 10).status == 200
    assert on(api, "c", two, "red", 11).status == 200
    assert on(api, "d", two, "red", 10).status == 400
    (name,) = style
    back = api.call("PUT", f"/fabric/{fabric}", {"fabric": {name: not style[name]}})
    assert (back.status, "carries another network" in back.text) == (400, True)


def test_vlan_of_another_fabric_or_of_none_is_another(api, ports, fabric) -> None:
    one, _ = two_groups(api, ports)
    loose = group(api, "loose").json["virtual-port-group"]["uuid"]
    assert on(api, "a", one, "red", 10).status == 200

    assert on(api, "b", loose, "blue", 10).status == 200


def test_interfaces_put_into_a_group_are_judged_by_the_fabric(api, ports, fabric) -> None:
    one, two = two_groups(api, ports)
    on(api, "a", one, "red", 10)
    loose = post(
        api, "virtual-machine-interface", *PROJECT, "b", parent_type="project",
        virtual_network_refs=[{"to": [*PROJECT, "blue"]}], **vlan(10),
    ).json["virtual-machine-interface"]["uuid"]  # fmt: skip

    body = {
        "type": "virtual-port-group", "uuid": two, "operation": "ADD",
        "ref-type": "virtual-machine-interface", "ref-uuid": loose,
    }  # fmt: skip
    refused = api.call("POST", "/ref-update", body)

    assert (refused.status, "carries another network" in refused.text) == (400, True)


def test_logical_interfaces_of_a_port_differ_by_vlan(api, ports) -> None:
    def logical(name, number):
        return post(
            api, "logical-interface", *SYSTEM, "d1", "p1", name, parent_type="physical-interface",
            logical_interface_vlan_tag=number,
        )  # fmt: skip

    made = logical("a", 5).json["logical-interface"]["uuid"]
    clash = logical("b", 5)

    assert (clash.status, clash.text) == (
        403, f"Vlan tag 5 already used in another interface : {made}",
    )  # fmt: skip
    assert logical("b", 6).status == 200
    assert logical("c", 4095).status == 400
    change = {"logical-interface": {"logical_interface_vlan_tag": 9}}
    assert api.call("PUT", f"/logical-interface/{made}", change).text == "Cannot change Vlan tag"
