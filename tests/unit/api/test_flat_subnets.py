"""Subnets that networks share, blocks of addresses, and pools that virtual-routers hand out."""

from __future__ import annotations

import pytest

PROJECT = ["default-domain", "default-project"]
SYSTEM = ["default-global-system-config"]
L3 = {"virtual_network_properties": {"forwarding_mode": "l3"}}


def manager(api, name, *subnets, **members):
    return api.create(
        "network-ipam", fq_name=[*PROJECT, name], parent_type="project",
        ipam_subnet_method="flat-subnet", ipam_subnets={"subnets": list(subnets)}, **members,
    )  # fmt: skip


def network(api, name, *managers, attr=None, **members):
    refs = [{"uuid": each, "attr": attr or {"ipam_subnets": [{}]}} for each in managers]
    body = {
        "fq_name": [*PROJECT, name], "parent_type": "project", "network_ipam_refs": refs,
        **L3, **members,
    }  # fmt: skip
    return api.call("POST", "/virtual-networks", {"virtual-network": body})


def address_of(api, reply):
    assert reply.status == 200, reply.text
    return api.read("instance-ip", reply.json["instance-ip"]["uuid"])["instance_ip_address"]


def test_flat_subnets_need_a_routed_network(api) -> None:
    flat = manager(api, "m", api.subnet("10.0.0.0/24"))

    switched = network(api, "n", flat, virtual_network_properties={"forwarding_mode": "l2_l3"})

    assert switched.status == 400
    assert switched.text.startswith("flat-subnet is allowed only with l3 network")
    mode = {"global-vrouter-config": {"forwarding_mode": "l3"}}
    config = api.service.graph.uuid_of(
        "global-vrouter-config", (*SYSTEM, "default-global-vrouter-config")
    )
    api.call("PUT", f"/global-vrouter-config/{config}", mode)
    assert network(api, "n", flat, virtual_network_properties=None).status == 200


def test_a_reference_to_a_flat_manager_carries_no_prefix(api) -> None:
    flat = manager(api, "m", api.subnet("10.0.0.0/24"))

    reply = network(api, "n", flat, attr={"ipam_subnets": [api.subnet("10.9.0.0/24")]})

    assert reply.text == "with flat-subnet, network can not have user-defined subnet"


def test_subnets_of_one_network_do_not_overlap_wherever_they_come_from(api) -> None:
    one, two = manager(api, "a", api.subnet("10.0.0.0/24")), manager(api, "b")
    assert network(api, "n", one, two).status == 200

    body = {"network-ipam": {"ipam_subnets": {"subnets": [api.subnet("10.0.0.128/25")]}}}
    reply = api.call("PUT", f"/network-ipam/{two}", body)

    assert (reply.status, reply.text[:22]) == (400, "Overlapping addresses:")


def test_a_network_keeps_a_manager_whose_addresses_it_uses(api) -> None:
    flat = manager(api, "m", api.subnet("10.0.0.0/24"))
    uuid = network(api, "n", flat).json["virtual-network"]["uuid"]
    other = network(api, "o", flat).json["virtual-network"]["uuid"]
    address = api.address(uuid, "a")

    def part(which):
        return api.call(
            "PUT", f"/virtual-network/{which}", {"virtual-network": {"network_ipam_refs": []}}
        )

    kept = part(uuid)
    assert (kept.status, kept.text) == (409, "Cannot Delete IP Block, IP(10.0.0.252) is in use")
    assert part(other).status == 200
    api.call("DELETE", f"/instance-ip/{address.json['instance-ip']['uuid']}")
    assert part(uuid).status == 200


def test_blocks_are_given_out_whole(api) -> None:
    net = api.network("n", api.subnet("10.0.0.0/27", alloc_unit=8, addr_from_start=True))

    first = address_of(api, api.address(net, "a"))
    second = address_of(api, api.address(net, "b"))

    assert [first, second] == ["10.0.0.8", "10.0.0.16"]
    inside = api.address(net, "c", instance_ip_address="10.0.0.9")
    assert inside.status == 400
    assert "alloc_unit" in inside.text
    assert api.address(net, "d").text.startswith("Virtual-Network(")


def test_the_size_of_blocks_is_fixed(api) -> None:
    net = api.network("n", api.subnet("10.0.0.0/27", alloc_unit=8))

    refs = api.read("virtual-network", net)["network_ipam_refs"]
    refs[0]["attr"]["ipam_subnets"][0]["alloc_unit"] = 4
    reply = api.call(
        "PUT", f"/virtual-network/{net}", {"virtual-network": {"network_ipam_refs": refs}}
    )

    assert (reply.status, reply.text) == (400, "alloc_unit can not be changed")


def pool(start, end, **members):
    return {"start": start, "end": end, **members}


@pytest.fixture
def split(api):
    """A manager with ten general addresses and two pools for virtual-routers."""
    pools = [
        pool("10.0.0.10", "10.0.0.19"),
        pool("10.0.0.100", "10.0.0.101", vrouter_specific_pool=True),
        pool("10.0.0.110", "10.0.0.119", vrouter_specific_pool=True),
    ]
    flat = manager(
        api, "m", api.subnet("10.0.0.0/24", allocation_pools=pools, addr_from_start=True),
        ipam_subnetting=True,
    )  # fmt: skip
    return api, flat


def router(api, flat, name, *pools, subnet=()):
    attr = {"allocation_pools": list(pools), "subnet": list(subnet)}
    body = {
        "fq_name": [*SYSTEM, name], "parent_type": "global-system-config",
        "virtual_router_ip_address": "192.0.2.1",
        "network_ipam_refs": [{"uuid": flat, "attr": attr}],
    }  # fmt: skip
    return api.call("POST", "/virtual-routers", {"virtual-router": body})


def of_router(api, uuid, name, **members):
    body = {"fq_name": [name], "virtual_router_refs": [{"uuid": uuid}], **members}
    return api.call("POST", "/instance-ips", {"instance-ip": body})


def test_a_virtual_router_hands_out_its_own_pool_until_it_is_empty(split) -> None:
    api, flat = split
    made = router(api, flat, "v", pool("10.0.0.100", "10.0.0.101"))
    uuid = made.json["virtual-router"]["uuid"]

    taken = [address_of(api, of_router(api, uuid, name)) for name in ("a", "b")]
    full = of_router(api, uuid, "c")

    assert taken == ["10.0.0.100", "10.0.0.101"]
    assert full.status == 400
    assert full.text.startswith("Virtual-Router(")


def test_networks_do_not_get_the_addresses_of_virtual_routers(split) -> None:
    api, flat = split
    net = network(api, "n", flat).json["virtual-network"]["uuid"]

    taken = [address_of(api, api.address(net, f"a{i}")) for i in range(10)]

    assert taken[0] == "10.0.0.10"
    assert taken[-1] == "10.0.0.19"
    assert api.address(net, "more").status == 400


def test_an_explicit_address_has_to_be_in_the_pool(split) -> None:
    api, flat = split
    uuid = router(api, flat, "v", pool("10.0.0.110", "10.0.0.119")).json["virtual-router"]["uuid"]

    assert of_router(api, uuid, "a", instance_ip_address="10.0.0.115").status == 200
    assert of_router(api, uuid, "b", instance_ip_address="10.0.0.115").status == 409
    assert of_router(api, uuid, "b", instance_ip_address="10.0.0.100").status == 400


def test_a_subnet_of_the_manager_can_be_a_routers_pool(split) -> None:
    api, flat = split
    prefix = {"ip_prefix": "10.0.0.128", "ip_prefix_len": 30}
    uuid = router(api, flat, "v", subnet=[prefix]).json["virtual-router"]["uuid"]

    assert address_of(api, of_router(api, uuid, "a")) == "10.0.0.129"


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (pool("10.0.0.100", "10.0.0.102"), 400),
        (pool("10.0.0.10", "10.0.0.19"), 400),
        (pool("10.0.0.101", "10.0.0.100"), 400),
        (pool("x", "10.0.0.100"), 400),
        (pool("10.0.0.110", "10.0.0.112"), 409),
    ],
)
def test_pools_that_are_not_the_routers_are_refused(split, given, status) -> None:
    api, flat = split
    assert router(api, flat, "v", pool("10.0.0.112", "10.0.0.119")).status == 200

    assert router(api, flat, "w", given).status == status


def test_a_pool_in_use_stays(split) -> None:
    api, flat = split
    uuid = router(api, flat, "v", pool("10.0.0.100", "10.0.0.101")).json["virtual-router"]["uuid"]
    of_router(api, uuid, "a")

    lost = api.call("PUT", f"/virtual-router/{uuid}", {"virtual-router": {"network_ipam_refs": []}})
    subnets = {"subnets": [api.subnet("10.0.0.0/24", allocation_pools=[])]}
    taken_back = api.call(
        "PUT", f"/network-ipam/{flat}", {"network-ipam": {"ipam_subnets": subnets}}
    )

    assert (lost.status, taken_back.status) == (409, 400)


def test_an_address_comes_from_one_kind_of_place(split) -> None:
    api, flat = split
    uuid = router(api, flat, "v", pool("10.0.0.100", "10.0.0.101")).json["virtual-router"]["uuid"]

    both = of_router(api, uuid, "a", network_ipam_refs=[{"uuid": flat}])

    assert (both.status, both.text) == (400, "virtual_router_refs and ipam_refs are not allowed")


def test_only_flat_managers_go_on_virtual_routers(api) -> None:
    plain = api.create("network-ipam", fq_name=[*PROJECT, "p"], parent_type="project")

    assert router(api, plain, "v").status == 400
