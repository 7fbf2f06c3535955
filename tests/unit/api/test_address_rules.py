"""Subnets, addresses, ids: what the server fills and what it refuses."""

from __future__ import annotations

import pytest

PROJECT = ["default-domain", "default-project"]


def stored_subnet(api, network: str) -> dict:
    return api.read("virtual-network", network)["network_ipam_refs"][0]["attr"]["ipam_subnets"][0]


@pytest.mark.parametrize(
    ("given", "gateway", "service", "addresses"),
    [
        ({}, "10.0.0.254", "10.0.0.253", ["10.0.0.252", "10.0.0.251"]),
        ({"addr_from_start": True}, "10.0.0.1", "10.0.0.2", ["10.0.0.3", "10.0.0.4"]),
        (
            {"default_gateway": "10.0.0.1", "addr_from_start": True},
            "10.0.0.1", "10.0.0.2", ["10.0.0.3"],
        ),
        ({"default_gateway": "0.0.0.0"}, "0.0.0.0", "10.0.0.253", ["10.0.0.254", "10.0.0.252"]),
        (
            {"allocation_pools": [{"start": "10.0.0.10", "end": "10.0.0.11"}]},
            "10.0.0.254", "10.0.0.253", ["10.0.0.11", "10.0.0.10"],
        ),
        ({"alloc_unit": 4, "addr_from_start": True}, "10.0.0.1", "10.0.0.2", ["10.0.0.4", "10.0.0.8"]),
    ],
)  # fmt: skip
def test_subnets_are_completed_and_used_in_their_direction(
    api, given, gateway, service, addresses
) -> None:
    network = api.network("n", api.subnet("10.0.0.77/24", **given))

    filled = stored_subnet(api, network)
    taken = [
        api.read("instance-ip", api.address(network, f"i{n}").json["instance-ip"]["uuid"])
        for n in range(len(addresses))
    ]

    assert filled["subnet"] == {"ip_prefix": "10.0.0.0", "ip_prefix_len": 24}
    assert (filled["default_gateway"], filled["dns_server_address"]) == (gateway, service)
    assert [each["instance_ip_address"] for each in taken] == addresses
    assert taken[0]["subnet_uuid"] == filled["subnet_uuid"]


def test_ipv6_addresses_are_taken_when_asked(api) -> None:
    network = api.network("n", api.subnet("10.0.0.0/24"), api.subnet("2001:db8::/32"))

    reply = api.address(network, "six", instance_ip_family="v6")

    read = api.read("instance-ip", reply.json["instance-ip"]["uuid"])
    assert read["instance_ip_address"] == "2001:db8:ffff:ffff:ffff:ffff:ffff:fffc"
    assert read["instance_ip_family"] == "v6"


@pytest.mark.parametrize(
    ("subnets", "status", "text"),
    [
        ([("10.0.0.0/24", {}), ("10.0.0.128/25", {})], 400, "Overlapping addresses: "),
        (
            [("10.0.0.0/24", {"allocation_pools": [{"start": "10.0.1.1", "end": "10.0.1.9"}]})],
            409,
            "allocation pool start:10.0.1.1, end:10.0.1.9 out of cidr:10.0.0.0/24",
        ),
        (
            [("10.0.0.0/24", {"default_gateway": "10.9.9.9"})],
            400,
            "gateway Ip 10.9.9.9 not in cidr",
        ),
        ([("10.0.0.0/99", {})], 400, "Invalid subnet"),
        ([("fe80::%<x>/64", {})], 400, "Invalid subnet"),
        ([("fd00::/64", {"default_gateway": "fd00::1%x"})], 400, "Invalid default gateway"),
        ([("10.0.0.0/24", {"alloc_unit": 3})], 400, "allocation-unit 3 is not power of 2"),
    ],
)
def test_contradictory_subnets_are_refused(api, subnets, status, text) -> None:
    body = {
        "fq_name": [*PROJECT, "n"],
        "network_ipam_refs": [
            {
                "to": [*PROJECT, "default-network-ipam"],
                "attr": {"ipam_subnets": [api.subnet(p, **more) for p, more in subnets]},
            }
        ],
    }

    reply = api.call("POST", "/virtual-networks", {"virtual-network": body})

    assert (reply.status, reply.text[: len(text)]) == (status, text)


def test_a_full_subnet_says_so_and_a_released_address_returns(api) -> None:
    network = api.network("n", api.subnet("10.0.0.0/29"))
    replies = [api.address(network, f"i{n}") for n in range(5)]

    assert [reply.status for reply in replies] == [200] * 4 + [400]
    assert replies[4].text.startswith(f"Virtual-Network({[*PROJECT, 'n']}) has exhausted subnet(")
    second = replies[1].json["instance-ip"]["uuid"]
    address = api.read("instance-ip", second)["instance_ip_address"]
    api.call("DELETE", f"/instance-ip/{second}")
    again = api.address(network, "again").json["instance-ip"]["uuid"]
    assert api.read("instance-ip", again)["instance_ip_address"] == address


def test_explicit_addresses_are_exclusive_and_within_the_subnet(api) -> None:
    pools = {"allocation_pools": [{"start": "10.0.0.10", "end": "10.0.0.20"}]}
    network = api.network("n", api.subnet("10.0.0.0/24", **pools))

    outside_pool = api.address(network, "a", instance_ip_address="10.0.0.99")
    twice = api.address(network, "b", instance_ip_address="10.0.0.99")
    elsewhere = api.address(network, "c", instance_ip_address="10.0.9.9")
    nonsense = api.address(network, "d", instance_ip_address="10.0.0.x")

    assert outside_pool.status == 200
    assert (twice.status, twice.text) == (409, "IP address already in use")
    assert elsewhere.text.startswith(f"Virtual-Network({[*PROJECT, 'n']}) has invalid subnet(")
    assert nonsense.status == 400
    for edge in ("10.0.0.0", "10.0.0.255"):
        assert api.address(network, "e", instance_ip_address=edge).status == 400


def test_an_address_with_a_zone_is_refused_everywhere(api) -> None:
    # Any text passes for a zone, and addresses travel unescaped in stanzas.
    network = api.network("n", api.subnet("fd00::/64"))
    prefix = {"ip_prefix": "fd00::%<x>", "ip_prefix_len": 64}
    port = {
        "fq_name": [*PROJECT, "p"],
        "parent_type": "project",
        "virtual_network_refs": [{"uuid": network}],
        "virtual_machine_interface_allowed_address_pairs": {
            "allowed_address_pair": [{"ip": prefix, "address_mode": "active-active"}]
        },
    }
    rule = {
        "direction": ">",
        "protocol": "any",
        "src_addresses": [{"security_group": "local"}],
        "dst_addresses": [{"subnet": prefix}],
        "src_ports": [{"start_port": 0, "end_port": 65535}],
        "dst_ports": [{"start_port": 0, "end_port": 65535}],
        "ethertype": "IPv6",
    }
    group = {
        "fq_name": [*PROJECT, "g"],
        "security_group_entries": {"policy_rule": [rule]},
    }

    refused = [
        api.address(network, "a", instance_ip_address="fd00::5%<x>"),
        api.call("POST", "/virtual-machine-interfaces", {"virtual-machine-interface": port}),
        api.call("POST", "/security-groups", {"security-group": group}),
    ]

    assert [reply.status for reply in refused] == [400] * 3
    assert [reply.text.partition(":")[0].strip() for reply in refused] == [
        "Invalid IP address",
        "Invalid allowed address pair",
        "Rule with invalid subnet",
    ]


def test_a_machine_port_cannot_take_the_gateway_but_a_router_port_can(api) -> None:
    network = api.network("n", api.subnet("10.0.0.0/24"))
    machine = api.create("virtual-machine", fq_name=["m"])
    port = {
        "fq_name": [*PROJECT, "p"],
        "parent_type": "project",
        "virtual_network_refs": [{"uuid": network}],
    }
    owned = api.create(
        "virtual-machine-interface", **port, virtual_machine_refs=[{"uuid": machine}]
    )
    router = api.create("virtual-machine-interface", **(port | {"fq_name": [*PROJECT, "r"]}))

    def wish(name: str, uuid: str):
        return api.address(
            network,
            name,
            instance_ip_address="10.0.0.254",
            virtual_machine_interface_refs=[{"uuid": uuid}],
        )

    assert wish("a", owned).text == "Gateway IP cannot be used by VM port"
    assert wish("b", router).status == 200


def test_networks_without_subnets_have_no_addresses(api) -> None:
    network = api.network("n")

    reply = api.address(network, "i")

    assert reply.text == f"Virtual-Network({[*PROJECT, 'n']}) has no defined subnets"


def test_a_subnet_in_use_stays_and_its_gateway_too(api) -> None:
    network = api.network("n", api.subnet("10.0.0.0/24"), api.subnet("10.0.1.0/24"))
    api.address(network, "i", instance_ip_address="10.0.0.5")
    manager = {"to": [*PROJECT, "default-network-ipam"]}

    def put(*subnets: dict):
        references = [{**manager, "attr": {"ipam_subnets": list(subnets)}}]
        return api.call(
            "PUT",
            f"/virtual-network/{network}",
            {"virtual-network": {"network_ipam_refs": references}},
        )

    gone = put(api.subnet("10.0.1.0/24"))
    moved = put(api.subnet("10.0.0.0/24", default_gateway="10.0.0.9"))
    before = stored_subnet(api, network)
    kept = put(api.subnet("10.0.0.0/24"))

    assert (gone.status, gone.text) == (409, "Cannot Delete IP Block, IP(10.0.0.5) is in use")
    assert moved.text == "default gateway change is not allowed orig:10.0.0.254, new: 10.0.0.9"
    assert kept.status == 200
    assert stored_subnet(api, network)["subnet_uuid"] == before["subnet_uuid"]


def test_flat_subnets_are_shared_by_all_networks_of_the_manager(api) -> None:
    manager = api.create(
        "network-ipam",
        fq_name=[*PROJECT, "flat"],
        ipam_subnet_method="flat-subnet",
        ipam_subnets={"subnets": [api.subnet("10.5.0.0/24")]},
    )
    reference = {
        "network_ipam_refs": [{"uuid": manager, "attr": {"ipam_subnets": [{}]}}],
        "virtual_network_properties": {"forwarding_mode": "l3"},
    }
    one = api.create("virtual-network", fq_name=[*PROJECT, "f1"], **reference)
    two = api.create("virtual-network", fq_name=[*PROJECT, "f2"], **reference)

    addresses = {
        api.read("instance-ip", api.address(n, n).json["instance-ip"]["uuid"])[
            "instance_ip_address"
        ]
        for n in (one, two)
    }

    assert addresses == {"10.5.0.252", "10.5.0.251"}
    changed = api.call(
        "PUT",
        f"/network-ipam/{manager}",
        {"network-ipam": {"ipam_subnet_method": "user-defined-subnet"}},
    )
    assert (changed.status, changed.text) == (400, "ipam_subnet_method can not be changed")


def test_floating_addresses_come_from_the_pool_of_the_network(api) -> None:
    network = api.network("public", api.subnet("2001:db8::/64"), api.subnet("192.0.2.0/24"))
    api.create("floating-ip-pool", fq_name=[*PROJECT, "public", "pool"])

    floating = api.read(
        "floating-ip", api.create("floating-ip", fq_name=[*PROJECT, "public", "pool", "f"],
                                  parent_type="floating-ip-pool")
    )  # fmt: skip

    assert floating["floating_ip_address"] == "192.0.2.252"
    assert floating["project_refs"][0]["to"] == PROJECT
    assert api.call("DELETE", f"/floating-ip/{floating['uuid']}").status == 200
    assert not list(api.service.graph.numbers.owned_by(floating["uuid"]))
    assert network


def test_a_floating_address_stands_for_one_of_its_own_version(api) -> None:
    api.network("public", api.subnet("2001:db8::/64"), api.subnet("192.0.2.0/24"))
    api.create("floating-ip-pool", fq_name=[*PROJECT, "public", "pool"])

    def make(name: str, fixed: str, **more):
        return api.call(
            "POST",
            "/floating-ips",
            {
                "floating-ip": {
                    "fq_name": [*PROJECT, "public", "pool", name],
                    "parent_type": "floating-ip-pool",
                    "floating_ip_fixed_ip_address": fixed,
                    **more,
                }
            },
        )

    assert make("a", "fd00::1", floating_ip_address="2001:db8::77").status == 200
    assert make("b", "fd00::1", floating_ip_address_family="v6").status == 200
    refused = make("c", "10.0.0.1", floating_ip_address="2001:db8::78")
    assert refused.status == 400
    assert "floating_ip_fixed_ip_address 10.0.0.1 is not of IPv6" in refused.text
    assert make("d", "fd00::1").status == 400
    assert make("e", "nonsense").status == 400


def test_reserved_addresses_are_taken_counted_and_given_back(api) -> None:
    network = api.network("n", api.subnet("10.0.0.0/29"))
    subnet = stored_subnet(api, network)["subnet_uuid"]
    path = f"/virtual-network/{network}"

    taken = api.call(
        "POST", f"{path}/ip-alloc", {"count": 2, "subnet": subnet, "family": None}
    ).json
    count = api.call("POST", f"{path}/subnet-ip-count", {"subnet_list": [subnet, "x"]}).json
    too_many = api.call("POST", f"{path}/ip-alloc", {"count": 9})
    no_number = {
        api.call("POST", f"{path}/ip-alloc", {"count": c}).status for c in ("²", "9" * 5000)
    }
    wrong = api.call("POST", f"{path}/ip-alloc", {"count": 1, "subnet": "none"})
    freed = api.call("POST", f"{path}/ip-free", {"ip_addr": taken["ip_addr"]})

    assert no_number == {400}
    assert taken == {"ip_addr": ["10.0.0.4", "10.0.0.3"]}
    assert count == {"ip_count_list": [2, 0]}
    assert (too_many.status, wrong.status, freed.body) == (409, 404, b"")
    assert api.call("POST", f"{path}/subnet-ip-count", {"subnet_list": [subnet]}).json == {
        "ip_count_list": [0]
    }


def test_an_address_of_an_instance_never_changes(api) -> None:
    network = api.network("n", api.subnet("10.0.0.0/24"))
    uuid = api.address(network, "i").json["instance-ip"]["uuid"]

    reply = api.call(
        "PUT", f"/instance-ip/{uuid}", {"instance-ip": {"instance_ip_address": "10.0.0.7"}}
    )

    assert (reply.status, reply.text) == (400, "Instance IP Address can not be changed")


def test_network_ids_are_unique_and_freed_ones_rest(api) -> None:
    first, second = api.network("a"), api.network("b")
    numbers = [
        api.read("virtual-network", u)["virtual_network_network_id"] for u in (first, second)
    ]
    api.call("DELETE", f"/virtual-network/{first}")

    third = api.read("virtual-network", api.network("c"))["virtual_network_network_id"]

    assert numbers[1] == numbers[0] + 1
    assert third == numbers[1] + 1


def test_a_chosen_vni_must_be_free(api) -> None:
    number = api.read("virtual-network", api.network("a"))["virtual_network_network_id"]
    body = {
        "fq_name": [*PROJECT, "b"],
        "virtual_network_properties": {"vxlan_network_identifier": number},
    }

    reply = api.call("POST", "/virtual-networks", {"virtual-network": body})

    assert reply.status == 400


def test_a_port_without_network_is_refused_and_macs_are_normalised(api) -> None:
    bare = api.call(
        "POST",
        "/virtual-machine-interfaces",
        {"virtual-machine-interface": {"fq_name": [*PROJECT, "p"], "parent_type": "project"}},
    )
    network = api.network("n")
    given = {"mac_address": ["02-AA-bb-00-00-01"]}
    port = api.create(
        "virtual-machine-interface",
        fq_name=[*PROJECT, "p"],
        parent_type="project",
        virtual_network_refs=[{"uuid": network}],
        virtual_machine_interface_mac_addresses=given,
    )

    assert bare.status == 400
    macs = api.read("virtual-machine-interface", port)["virtual_machine_interface_mac_addresses"]
    assert macs == {"mac_address": ["02:aa:bb:00:00:01"]}


def test_moving_a_port_moves_its_routing_instance(api) -> None:
    one, two = api.network("one"), api.network("two")
    port = api.create(
        "virtual-machine-interface",
        fq_name=[*PROJECT, "p"],
        parent_type="project",
        virtual_network_refs=[{"uuid": one}],
    )

    api.call(
        "PUT",
        f"/virtual-machine-interface/{port}",
        {"virtual-machine-interface": {"virtual_network_refs": [{"uuid": two}]}},
    )

    (instance,) = api.read("virtual-machine-interface", port)["routing_instance_refs"]
    assert instance["to"] == [*PROJECT, "two", "two"]
    assert instance["attr"] == {"direction": "both"}


RULE = {
    "direction": ">",
    "protocol": "tcp",
    "src_addresses": [{"security_group": "local"}],
    "dst_addresses": [{"subnet": {"ip_prefix": "0.0.0.0", "ip_prefix_len": 0}}],
    "src_ports": [{"start_port": 0, "end_port": 65535}],
    "dst_ports": [{"start_port": 80, "end_port": 80}],
    "ethertype": "IPv4",
}


@pytest.mark.parametrize(
    ("rules", "status", "text"),
    [
        ([RULE, RULE], 409, "Rule already exists : "),
        ([RULE | {"protocol": "nope"}], 400, "Rule with invalid protocol : nope"),
        (
            [RULE | {"src_addresses": []}],
            400,
            "At least one of source or destination addresses must be 'local'",
        ),
        ([RULE | {"ethertype": "IPv6"}], 400, "Rule subnet doesn't match ethertype"),
        (
            [RULE | {"dst_ports": [{"start_port": 9, "end_port": 8}]}],
            400,
            "Rule with invalid ports",
        ),
    ],
)
def test_bad_security_group_rules_are_refused(api, rules, status, text) -> None:
    body = {"fq_name": [*PROJECT, "g"], "security_group_entries": {"policy_rule": rules}}

    reply = api.call("POST", "/security-groups", {"security-group": body})

    assert (reply.status, reply.text[: len(text)]) == (status, text)


def test_policy_rules_need_an_action_and_name_no_group(api) -> None:
    rule = {k: v for k, v in RULE.items() if k not in ("src_addresses", "dst_addresses")}

    def make(**more: object):
        entries = {"policy_rule": [rule | more]}
        body = {"fq_name": [*PROJECT, "p"], "network_policy_entries": entries}
        return api.call("POST", "/network-policys", {"network-policy": body})

    assert make().text == "Action is required"
    grouped = make(action_list={"simple_action": "pass"}, src_addresses=[{"security_group": "x"}])
    assert grouped.status == 400
    assert make(action_list={"simple_action": "pass"}).status == 200


def test_security_group_ids_are_given_or_chosen(api) -> None:
    given = api.read("security-group", api.create("security-group", fq_name=[*PROJECT, "a"]))
    chosen = api.create("security-group", fq_name=[*PROJECT, "b"], configured_security_group_id=77)
    again = api.call(
        "POST",
        "/security-groups",
        {"security-group": {"fq_name": [*PROJECT, "c"], "configured_security_group_id": 77}},
    )

    assert given["security_group_id"] >= 8_000_000
    assert api.read("security-group", chosen)["security_group_id"] == 77
    assert again.status == 400


@pytest.mark.parametrize(
    "target",
    ["target:064512:8000001", "target:64512:08000001", "target:0.64512:1", "target:1:99999999999"],
)
def test_route_targets_have_one_spelling(api, target) -> None:
    """Another one of a generated target would lead into another tenant's network."""
    network = {"fq_name": [*PROJECT, "n"], "route_target_list": {"route_target": [target]}}

    replies = [
        api.call("POST", "/virtual-networks", {"virtual-network": network}),
        api.call("POST", "/route-targets", {"route-target": {"fq_name": [target]}}),
    ]

    for reply in replies:
        assert reply.status == 400
        assert "is not of the form target:<asn>:<n>" in reply.text


def test_generated_route_target_numbers_cannot_be_configured(api) -> None:
    body = {"route_target_list": {"route_target": ["target:64512:8000001"]}}

    reply = api.call(
        "POST", "/virtual-networks", {"virtual-network": {"fq_name": [*PROJECT, "n"], **body}}
    )

    assert reply.status == 400
    assert reply.text.startswith("Configured route target must use ASN that is different")
