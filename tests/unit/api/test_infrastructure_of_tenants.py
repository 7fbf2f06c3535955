"""What lies below a tenant's objects by the model, and is the installation's: who may write it."""

from __future__ import annotations

import pytest

from .two_tenants import Tenants

INSTANCE = ["default-domain", "red", "secret-net", "secret-net"]


@pytest.fixture
def tenants(api) -> Tenants:
    return Tenants(api)


def router(kind: str, vendor: str = "other") -> dict[str, object]:
    return {
        "fq_name": [*INSTANCE, "mine"], "parent_type": "routing-instance",
        "bgp_router_parameters": {
            "router_type": kind, "vendor": vendor, "address": "203.0.113.9",
            "identifier": "203.0.113.9", "autonomous_system": 64512, "port": 179,
        },
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["router", "control-node", "bgpaas-client"])
@pytest.mark.parametrize("vendor", ["contrail", "other"])
def test_tenant_makes_no_bgp_speaker_below_his_network(tenants, kind, vendor):
    """Control nodes would peer with it, and hosts take tunnels from its address."""
    body = {"bgp-router": router(kind, vendor)}
    native = {**router(kind, vendor)}
    before = tenants.api.service.revision

    with tenants.api.as_caller(tenants.red):
        replies = [
            tenants.api.call("POST", "/bgp-routers", body),
            tenants.api.call("POST", "/api/v1/bgp-router", native),
        ]

    assert [each.status for each in replies] == [403, 403]
    assert "bgp-router is written by the compiler and administrators" in replies[0].text
    assert tenants.api.service.revision == before
    assert tenants.api.call("POST", "/bgp-routers", body).status == 200


def test_tenant_changes_and_deletes_no_bgp_speaker_though_it_is_shared(tenants):
    uuid = tenants.api.create("bgp-router", **router("bgpaas-client"))
    share = {"perms2": {"owner": tenants.red.owner, "global_access": 7}}
    assert tenants.api.call("PUT", f"/bgp-router/{uuid}", {"bgp-router": share}).status == 200
    edit = {"type": "bgp-router", "uuid": uuid, "ref-type": "bgp-router", "ref-uuid": uuid, "operation": "ADD"}  # fmt: skip

    with tenants.api.as_caller(tenants.red):
        changed = tenants.api.call("PUT", f"/bgp-router/{uuid}", {"bgp-router": {"display_name": "x"}})  # fmt: skip
        linked = tenants.api.call("POST", "/ref-update", edit)
        deleted = tenants.api.call("DELETE", f"/bgp-router/{uuid}")

    assert [each.status for each in (changed, linked, deleted)] == [403, 403, 403]


def test_why_a_speaker_is_refused_is_explained(tenants):
    with tenants.api.as_caller(tenants.red):
        reply = tenants.api.call("GET", "/api/v1/explain-access?type=bgp-router&operation=create")

    assert reply.status == 200, reply.text
    assert "written by the compiler and administrators" in reply.text


def test_tenant_gives_himself_no_quota(tenants):
    path = f"/project/{tenants.red.project}"
    limit = {"project": {"quota": {"virtual_network": 5}}}
    assert tenants.api.call("PUT", path, limit).status == 200

    with tenants.api.as_caller(tenants.red):
        more = tenants.api.call("PUT", path, {"project": {"quota": {"virtual_network": 500}}})
        none = tenants.api.call("PUT", path, {"project": {"quota": None}})
        same = tenants.api.call("PUT", path, {"project": {**limit["project"], "display_name": "x"}})

    assert [each.status for each in (more, none, same)] == [403, 403, 200]
    assert "quota of a project is written by administrators" in more.text
