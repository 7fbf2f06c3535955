"""A physical router on a port: its addressing and its FRR."""

from ipaddress import IPv4Address, IPv4Network

import pytest

from skytrail.lab.router import RouterError, bgpd_config, link


def network(*subnets):
    return {"fq_name": ["d", "p", "n"], "network_ipam_refs": [{"attr": {"ipam_subnets": subnets}}]}


def subnet(prefix, length, **more):
    return {"subnet": {"ip_prefix": prefix, "ip_prefix_len": length}, **more}


V6 = subnet("fd00::", 64, default_gateway="fd00::1")
V4 = subnet("10.0.0.0", 24, default_gateway="10.0.0.1", dns_server_address="10.0.0.2")


def test_a_router_is_addressed_by_the_subnet_that_holds_its_ports_address():
    other = subnet("10.9.0.0", 24, default_gateway="10.9.0.1")
    found = link(network(other, V4), IPv4Address("10.0.0.7"))

    assert str(found.address) == "10.0.0.7/24"
    assert (str(found.gateway), str(found.service)) == ("10.0.0.1", "10.0.0.2")


def test_a_network_without_the_subnet_is_named():
    with pytest.raises(RouterError, match="d:p:n has no subnet with a gateway"):
        link(network(V4), IPv4Address("10.1.0.7"))


def test_a_subnet_of_the_other_family_is_passed_over():
    assert link(network(V6, V4), IPv4Address("10.0.0.7")).gateway == IPv4Address("10.0.0.1")


def test_a_router_speaks_to_both_control_nodes_and_announces_what_is_behind_it():
    end = link(network(V4), IPv4Address("10.0.0.7"))

    config = bgpd_config(end, IPv4Network("192.168.0.0/24"), own_asn=65010, asn=64512)

    assert "router bgp 65010\n bgp router-id 10.0.0.7\n" in config
    assert config.count("remote-as 64512") == 2
    assert "  network 192.168.0.0/24\n" in config
