"""DHCP options that cannot be sent are refused where they are written."""

import pytest

PROJECT = ["default-domain", "default-project"]
BAD = ("ntp-servers", "clock.example")
GOOD = ("ntp-servers", "192.0.2.1")


def options(name, value):
    entry = {
        "dhcp_option_name": name,
        "dhcp_option_value": value,
        "dhcp_option_value_bytes": "",
    }
    return {"dhcp_option": [entry]}


def manager(api, option):
    body = {
        "fq_name": [*PROJECT, "ipam-1"],
        "parent_type": "project",
        "network_ipam_mgmt": {"ipam_method": "dhcp", "dhcp_option_list": options(*option)},
    }
    return api.call("POST", "/network-ipams", {"network-ipam": body})


def network(api, option):
    subnet = {
        "subnet": {"ip_prefix": "10.1.1.0", "ip_prefix_len": 24},
        "dhcp_option_list": options(*option),
    }
    body = {
        "fq_name": [*PROJECT, "red"],
        "parent_type": "project",
        "network_ipam_refs": [
            {
                "to": [*PROJECT, "default-network-ipam"],
                "attr": {"ipam_subnets": [subnet]},
            }
        ],
    }
    return api.call("POST", "/virtual-networks", {"virtual-network": body})


def port(api, option):
    assert network(api, GOOD).status == 200
    body = {
        "fq_name": [*PROJECT, "port-1"],
        "parent_type": "project",
        "virtual_network_refs": [{"to": [*PROJECT, "red"]}],
        "virtual_machine_interface_dhcp_option_list": options(*option),
    }
    kind = "virtual-machine-interface"
    return api.call("POST", f"/{kind}s", {kind: body})


LEVELS = {"manager": manager, "network": network, "port": port}


@pytest.mark.parametrize("level", LEVELS)
def test_option_that_can_be_sent_is_taken(api, level):
    reply = LEVELS[level](api, GOOD)

    assert reply.status == 200, reply.text


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("option", "says"), [(BAD, "ntp-servers"), (("53", "1"), "message type"), (("x", "1"), "known")]
)
def test_option_that_cannot_be_sent_is_refused_by_name(api, level, option, says):
    reply = LEVELS[level](api, option)

    assert reply.status == 400
    assert says in reply.text
    assert "dhcp_option_list" in reply.text
