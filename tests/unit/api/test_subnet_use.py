"""How full subnets are: of all networks and flat IPAMs, the fullest first, as the caller sees them."""

from __future__ import annotations

import pytest

from .two_tenants import Tenants

PROJECT = ["default-domain", "default-project"]
OF_THE_SYSTEM = "service-chain-flat-ipam"
IPAM = [*PROJECT, "default-network-ipam"]


def network(api, name: str, prefix: str, length: int, **more: object) -> str:
    subnet = {"subnet": {"ip_prefix": prefix, "ip_prefix_len": length}, **more}
    return api.create(
        "virtual-network",
        fq_name=[*PROJECT, name],
        network_ipam_refs=[{"to": IPAM, "attr": {"ipam_subnets": [subnet]}}],
    )


def take(api, network: str, count: int) -> None:
    for number in range(count):
        api.create(
            "instance-ip", fq_name=[f"{network}-{number}"], virtual_network_refs=[{"uuid": network}]
        )


def use(api, query: str = "") -> list[tuple[str, int, str]]:
    reply = api.call("GET", f"/api/v1/subnet-use?{query}")
    assert reply.status == 200, reply.text
    found = [
        (each["holder_name"][-1], each["used"], each["capacity"]) for each in reply.json["items"]
    ]
    return [each for each in found if each[0] != OF_THE_SYSTEM]


def test_fullest_subnet_comes_first_wherever_it_is(api) -> None:
    take(api, network(api, "wide", "10.0.0.0", 24), 3)
    take(api, network(api, "zz-narrow", "10.1.0.0", 29), 2)
    network(api, "empty", "10.2.0.0", 24)
    network(api, "six", "fd00::", 64)

    assert use(api) == [
        ("zz-narrow", 2, "4"),
        ("wide", 3, "252"),
        ("empty", 0, "252"),
        ("six", 0, str(2**64 - 4)),
    ]


def test_pages_and_names_narrow_what_is_told_but_not_what_is_looked_at(api) -> None:
    take(api, network(api, "web-wide", "10.0.0.0", 24), 1)
    network(api, "web-empty", "10.2.0.0", 24)
    network(api, "else", "10.3.0.0", 24)

    assert [name for name, *_ in use(api, "q=default-project:web&limit=1&offset=1")] == [
        "web-empty"
    ]
    assert api.call("GET", "/api/v1/subnet-use?q=default-project:web&limit=1").json["count"] == 2


def test_pools_are_what_a_subnet_has_to_give_and_flat_ipams_share_theirs(api) -> None:
    network(
        api, "pooled", "10.0.0.0", 24, allocation_pools=[{"start": "10.0.0.10", "end": "10.0.0.19"}]
    )
    api.create(
        "network-ipam",
        fq_name=[*PROJECT, "shared"],
        ipam_subnet_method="flat-subnet",
        ipam_subnets={"subnets": [{"subnet": {"ip_prefix": "10.9.0.0", "ip_prefix_len": 28}}]},
    )

    assert sorted(use(api)) == [("pooled", 0, "10"), ("shared", 0, "12")]


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "offset=-1", "limit=x", "sort=x"])
def test_what_cannot_be_asked_is_refused(api, query) -> None:
    assert api.call("GET", f"/api/v1/subnet-use?{query}").status == 400


def test_subnets_of_others_are_not_told(api) -> None:
    tenants = Tenants(api)
    subnet = {"subnet": {"ip_prefix": "10.7.0.0", "ip_prefix_len": 24}}
    refs = [{"to": IPAM, "attr": {"ipam_subnets": [subnet]}}]
    with api.as_caller(tenants.red):
        tenants.make("virtual-network", "red", "hidden", network_ipam_refs=refs)
        assert ("hidden", 0, "252") in use(api)
    with api.as_caller(tenants.blue):
        assert use(api) == []
