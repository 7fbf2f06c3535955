"""Annotations that guard what is everybody's: tenants read them on their own objects, and leave them."""

from __future__ import annotations

import pytest

from skytrail.model.annotation_names import OF_ADMINISTRATORS

from .two_tenants import Tenants

SENT, RECEIVED = "rate-limit-sent-kbps", "rate-limit-received-kbps"
VMI = "virtual-machine-interface"


def notes(*pairs):
    return {"annotations": {"key_value_pair": [{"key": key, "value": each} for key, each in pairs]}}


@pytest.fixture
def tenants(api) -> Tenants:
    return Tenants(api)


@pytest.fixture
def limited(tenants) -> Tenants:
    """Red's port is limited by an administrator."""
    reply = put(tenants.api, tenants.port, notes((SENT, "1000"), ("color", "red")))
    assert reply.status == 200, reply.text
    return tenants


def put(api, uuid, body, kind=VMI):
    return api.call("PUT", f"/{kind}/{uuid}", {kind: body})


def patch(api, uuid, body):
    return api.call("PATCH", f"/api/v1/{VMI}/{uuid}", body)


def elements(api, uuid, *updates):
    given = [{"field": "annotations", **each} for each in updates]
    return api.call("POST", "/prop-collection-update", {"uuid": uuid, "updates": given})


def refused(reply, key):
    return reply.status == 403 and f"annotation {key}" in reply.text


LIFTS = {
    "changed": notes((SENT, "999999"), ("color", "red")),
    "dropped": notes(("color", "red")),
    "dropped with all others": {"annotations": None},
    "another one before it": notes((SENT, "999999"), (SENT, "1000")),
    "another one behind it": notes((SENT, "1000"), (SENT, "999999")),
    "one of the other direction": notes((SENT, "1000"), (RECEIVED, "5")),
}


@pytest.mark.parametrize("way", [put, patch])
@pytest.mark.parametrize("body", LIFTS.values(), ids=list(LIFTS))
def test_tenant_lifts_no_limit_of_his_port(limited, way, body):
    before = limited.api.service.revision

    with limited.api.as_caller(limited.red):
        reply = way(limited.api, limited.port, body)

    key = RECEIVED if RECEIVED in str(body) else SENT
    assert refused(reply, key), reply.text
    assert limited.api.service.revision == before


@pytest.mark.parametrize(
    "update",
    [
        {"operation": "delete", "position": SENT},
        {"operation": "set", "value": {"key": SENT, "value": "5"}, "position": SENT},
        {"operation": "set", "value": {"key": RECEIVED, "value": "5"}, "position": RECEIVED},
    ],
)
def test_tenant_lifts_no_limit_element_by_element(limited, update):
    before = limited.api.service.revision

    with limited.api.as_caller(limited.red):
        reply = elements(limited.api, limited.port, update)

    assert refused(reply, update["position"]), reply.text
    assert limited.api.service.revision == before


def test_tenant_writes_his_own_notes_beside_a_limit(limited):
    with limited.api.as_caller(limited.red):
        whole = put(limited.api, limited.port, notes((SENT, "1000"), ("color", "blue")))
        one = elements(
            limited.api, limited.port,
            {"operation": "set", "value": {"key": "size", "value": "L"}, "position": "size"},
        )  # fmt: skip
        other = put(limited.api, limited.port, {"display_name": "mine"})

    assert (whole.status, one.status, other.status) == (200, 200, 200)
    kept = limited.api.read(VMI, limited.port)["annotations"]["key_value_pair"]
    assert {each["key"]: each["value"] for each in kept} == {
        SENT: "1000", "color": "blue", "size": "L",
    }  # fmt: skip


def test_administrator_sets_and_lifts_limits(limited):
    changed = put(limited.api, limited.port, notes((SENT, "2000"), (RECEIVED, "3000")))
    lifted = put(limited.api, limited.port, notes(("color", "red")))

    assert (changed.status, lifted.status) == (200, 200)


WRITTEN = [(kind, key) for kind, keys in OF_ADMINISTRATORS.items() for key in sorted(keys)]
VALUES = {"collect": "agent/drops"}
NEEDED = {
    "alarm": {"alarm_severity": 1, "uve_keys": {"uve_key": [VMI]}},
    "loadbalancer": {"loadbalancer_properties": {}},
}


@pytest.mark.parametrize(("kind", "key"), WRITTEN)
def test_tenant_creates_nothing_with_what_administrators_annotate(tenants, kind, key):
    body = {"fq_name": ["default-domain", "red", "x"], "parent_type": "project", **NEEDED.get(kind, {})}  # fmt: skip
    if kind == VMI:
        body["virtual_network_refs"] = [{"uuid": tenants.network}]

    with tenants.api.as_caller(tenants.red):
        reply = tenants.api.call(
            "POST", f"/{kind}s", {kind: {**body, **notes((key, VALUES.get(key, "7")))}}
        )
        without = tenants.api.call("POST", f"/{kind}s", {kind: body})

    assert refused(reply, key), reply.text
    assert without.status == 200, without.text


def test_mac_is_sticky_in_own_networks_only(tenants):
    sticky = notes(("sticky-mac", "true"))
    shared = {"perms2": {"owner": tenants.red.owner, "global_access": 5}}
    tenants.api.call("PUT", f"/virtual-network/{tenants.network}", {"virtual-network": shared})
    place = {"virtual_network_refs": [{"uuid": tenants.network}]}
    with tenants.api.as_caller(tenants.blue):
        own = tenants.make("virtual-network", "blue", "own")
        name = ["default-domain", "blue", "thief"]
        body = {"fq_name": name, "parent_type": "project", **place, **sticky}
        created = tenants.api.call("POST", f"/{VMI}s", {VMI: body})
        guest = tenants.make(VMI, "blue", "guest", **place)
        later = put(tenants.api, guest, sticky)
        moved_in = tenants.make(VMI, "blue", "own", virtual_network_refs=[{"uuid": own}], **sticky)
        moved = put(tenants.api, moved_in, {"virtual_network_refs": [{"uuid": tenants.network}]})
    with tenants.api.as_caller(tenants.red):
        owner = put(tenants.api, tenants.port, sticky)

    assert [refused(each, "sticky-mac") for each in (created, later, moved)] == [True] * 3
    assert owner.status == 200, owner.text
    by_operator = put(tenants.api, guest, sticky)
    assert by_operator.status == 200, by_operator.text
    with tenants.api.as_caller(tenants.blue):
        assert put(tenants.api, guest, {"display_name": "still"}).status == 200
