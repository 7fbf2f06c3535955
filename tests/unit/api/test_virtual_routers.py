"""Rules of virtual-routers: the address by which a host replicates is nobody else's."""

from __future__ import annotations

import pytest

SYSTEM = "default-global-system-config"


def router(api, name, address, replicator=None):
    body = {
        "fq_name": [SYSTEM, name],
        "parent_type": "global-system-config",
        "virtual_router_ip_address": address,
    }
    if replicator is not None:
        body["annotations"] = notes(replicator)
    return api.call("POST", "/virtual-routers", {"virtual-router": body})


def notes(value):
    return {"key_value_pair": [{"key": "replicator-address", "value": value}]}


def test_a_second_address_makes_a_replicator(api) -> None:
    assert router(api, "one", "192.0.2.1", "192.0.2.101").status == 200
    assert router(api, "two", "2001:db8::1", "2001:db8::101").status == 200


@pytest.mark.parametrize(
    "value", ["x", "fd00::1", "239.1.1.1", "127.0.0.1", "0.0.0.0", "255.255.255.255"]
)
def test_what_is_no_unicast_address_is_refused(api, value) -> None:
    reply = router(api, "one", "192.0.2.1", value)

    assert reply.status == 400
    assert reply.text.startswith("annotation replicator-address: ")


@pytest.mark.parametrize("value", ["192.0.2.1", "fe80::1", "ff05::1", "::", "2001:DB8:0::1"])
def test_what_no_tunnel_over_ipv6_can_end_at_is_refused(api, value) -> None:
    reply = router(api, "one", "2001:db8::1", value)

    assert reply.status == 400
    assert reply.text.startswith("annotation replicator-address: ")


def test_another_spelling_of_an_address_is_the_same(api) -> None:
    router(api, "one", "2001:db8::1", "2001:db8::101")

    assert router(api, "two", "2001:db8::2", "2001:DB8:0:0::101").status == 409


def test_the_tunnel_address_itself_is_refused(api) -> None:
    reply = router(api, "one", "192.0.2.1", "192.0.2.1")

    assert reply.status == 400
    assert "second one" in reply.text


@pytest.mark.parametrize("taken", ["192.0.2.1", "192.0.2.101"])
def test_an_address_of_another_host_is_refused_at_creation_and_later(api, taken) -> None:
    router(api, "one", "192.0.2.1", "192.0.2.101")

    assert router(api, "two", "192.0.2.2", taken).status == 409
    two = router(api, "two", "192.0.2.2").json["virtual-router"]["uuid"]
    change = {"virtual-router": {"annotations": notes(taken)}}
    assert api.call("PUT", f"/virtual-router/{two}", change).status == 409
    change = {"virtual-router": {"annotations": notes("192.0.2.102")}}
    assert api.call("PUT", f"/virtual-router/{two}", change).status == 200
