"""What the lab reads of a port."""

from ipaddress import ip_address

import pytest

from skytrail.lab.ports import PortError, ports, require

NAME = ("default-domain", "red", "web1")
INTERFACE = {
    "uuid": "u1",
    "fq_name": list(NAME),
    "virtual_machine_interface_mac_addresses": {"mac_address": ["02:00:00:00:00:01"]},
    "virtual_machine_refs": [{"to": ["vm1"], "uuid": "vm1", "attr": None}],
    "virtual_network_refs": [{"to": ["default-domain", "red", "front"], "uuid": "n1"}],
}


def instance_ip(address):
    return {
        "uuid": address,
        "instance_ip_address": address,
        "virtual_machine_interface_refs": [{"to": list(NAME), "uuid": "u1"}],
    }


def test_addresses_of_both_families_are_joined_with_their_interface():
    port = ports([INTERFACE], [instance_ip("10.1.1.3"), instance_ip("fd00::3")])[NAME]

    assert port.addresses == (ip_address("10.1.1.3"), ip_address("fd00::3"))
    assert port.has_ipv6
    assert port.vm_uuid == "vm1"


def test_an_interface_without_machine_is_not_complete():
    incomplete = {key: value for key, value in INTERFACE.items() if key != "virtual_machine_refs"}

    with pytest.raises(PortError, match="default-domain:red:web1"):
        require(ports([incomplete], []), NAME)
