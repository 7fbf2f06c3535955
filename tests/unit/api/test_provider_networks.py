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
