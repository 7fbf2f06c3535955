"""Networks that the underlay routes refer to the provider network, and to nothing else."""

import pytest

PROJECT = ["default-domain", "default-project"]
PROVIDER = [*PROJECT, "ip-fabric"]


@pytest.fixture
def network(api):
    def create(name, *refs, **members):
        body = {
            "fq_name": [*PROJECT, name],
            "parent_type": "project",
            "virtual_network_refs": [{"to": ref} for ref in refs],
            **members,
        }
        return api.call("POST", "/virtual-networks", {"virtual-network": body})

    return create


def test_a_network_may_refer_to_the_provider_network(network):
    assert network("plain", PROVIDER).status == 200


def test_another_network_is_refused_with_the_one_that_is_meant(network):
    assert network("red").status == 200

    reply = network("plain", [*PROJECT, "red"])

    assert reply.status == 400
    assert "virtual_network_refs: default-domain:default-project:red is no provider" in reply.text
    assert "default-domain:default-project:ip-fabric" in reply.text


def test_a_provider_network_refers_to_none(network):
    reply = network("second", PROVIDER, is_provider_network=True)

    assert reply.status == 400
    assert "cannot refer to others" in reply.text


def test_a_network_in_use_as_provider_stays_one(api, network):
    uuid = network("mine", is_provider_network=True).json["virtual-network"]["uuid"]

    def take_away():
        body = {"virtual-network": {"is_provider_network": False}}
        return api.call("PUT", f"/virtual-network/{uuid}", body)

    plain = network("plain", [*PROJECT, "mine"]).json["virtual-network"]["uuid"]
    reply = take_away()
    assert reply.status == 409
    assert "default-domain:default-project:plain refers to this network" in reply.text
    assert api.call("DELETE", f"/virtual-network/{plain}").status == 200
    assert take_away().status == 200


def in_subnet(prefix):
    address, length = prefix.split("/")
    subnet = {"subnet": {"ip_prefix": address, "ip_prefix_len": int(length)}}
    ipam = ["default-domain", "default-project", "default-network-ipam"]
    return {"network_ipam_refs": [{"to": ipam, "attr": {"ipam_subnets": [subnet]}}]}


def test_networks_the_underlay_routes_share_no_addresses(api, network):
    assert network("one", PROVIDER, **in_subnet("10.1.0.0/16")).status == 200
    assert network("tunnelled", **in_subnet("10.1.1.0/24")).status == 200
    assert network("beside", PROVIDER, **in_subnet("10.2.0.0/24")).status == 200
    assert network("six", PROVIDER, **in_subnet("fd00::/64")).status == 200
    assert network("six again", PROVIDER, **in_subnet("fd00::/64")).status == 200

    reply = network("two", PROVIDER, **in_subnet("10.1.1.0/24"))

    assert reply.status == 409
    assert "network_ipam_refs: 10.1.1.0/24 overlaps 10.1.0.0/16 of" in reply.text
    assert "default-domain:default-project:one" in reply.text


def test_network_does_not_become_the_underlays_with_addresses_of_another(api, network):
    assert network("one", PROVIDER, **in_subnet("10.1.0.0/16")).status == 200
    two = network("two", **in_subnet("10.1.1.0/24")).json["virtual-network"]["uuid"]
    body = {"virtual-network": {"virtual_network_refs": [{"to": PROVIDER}]}}

    reply = api.call("PUT", f"/virtual-network/{two}", body)

    assert reply.status == 409
    assert "overlaps" in reply.text
    kept = api.call("GET", f"/virtual-network/{two}").json["virtual-network"]
    assert not kept.get("virtual_network_refs")


def test_network_the_underlay_routes_may_be_changed_otherwise(api, network):
    one = network("one", PROVIDER, **in_subnet("10.1.0.0/16")).json["virtual-network"]["uuid"]

    reply = api.call("PUT", f"/virtual-network/{one}", {"virtual-network": {"mtu": 1400}})

    assert reply.status == 200
