"""Owner, mode and sharing of objects: the state of perms2."""

from __future__ import annotations

import pytest

from skytrail.api import admission, query
from skytrail.api.caller import Caller

PROJECT = ["default-domain", "default-project"]
TENANT = "6f9f2c1e-5c6b-4a53-9a38-0d2c7c1f7a11"


def perms(api, network):
    return api.read("virtual-network", network)["perms2"]


def test_chown_stores_a_project_without_dashes(api) -> None:
    network = api.network("n")

    reply = api.call("POST", "/chown", {"uuid": network, "owner": TENANT})

    assert (reply.status, reply.json) == (200, {})
    assert perms(api, network)["owner"] == TENANT.replace("-", "")


def test_chmod_changes_only_what_is_given(api) -> None:
    network = api.network("n")
    before = perms(api, network)
    share = [{"tenant": TENANT, "tenant_access": 5}, {"tenant": "domain:x", "tenant_access": 4}]

    api.call("POST", "/chmod", {"uuid": network, "share": share, "owner_access": None})

    assert perms(api, network) == {**before, "share": share}


def test_global_access_and_the_shared_flag_say_the_same(api) -> None:
    by_mode, by_flag = api.network("n"), api.network("m", is_shared=True)

    api.call("POST", "/chmod", {"uuid": by_mode, "global_access": 5})
    assert api.read("virtual-network", by_mode)["is_shared"] is True
    assert perms(api, by_flag)["global_access"] == 7

    api.call("POST", "/chmod", {"uuid": by_mode, "global_access": 0})
    api.call("PUT", f"/virtual-network/{by_flag}", {"virtual-network": {"is_shared": False}})
    assert api.read("virtual-network", by_mode)["is_shared"] is False
    assert perms(api, by_flag)["global_access"] == 0


@pytest.mark.parametrize(
    ("path", "members", "text"),
    [
        ("chown", {"uuid": "x", "owner": "me"}, "Bad Request, invalid object id"),
        ("chown", {"uuid": 7, "owner": "me"}, "Bad Request, invalid object id"),
        ("chown", {"owner": ""}, "Bad Request, invalid owner"),
        ("chown", {"owner": ["a"]}, "Bad Request, invalid owner"),
        ("chown", {"owner": "a\x01"}, "Bad Request, invalid owner"),
        ("chown", {"owner": "a" * 1_000_000}, "Bad Request, invalid owner"),
        ("chmod", {"owner": {}}, "Bad Request, invalid owner"),
        ("chmod", {"owner_access": 8}, "Bad Request, invalid owner_access value"),
        ("chmod", {"owner_access": True}, "Bad Request, invalid owner_access value"),
        ("chmod", {"global_access": "7"}, "Bad Request, invalid global_access value"),
        ("chmod", {"share": {}}, "Bad Request, invalid share list"),
        ("chmod", {"share": [{"tenant": "t"}]}, "Bad Request, invalid share list"),
        ("chmod", {"share": [7]}, "Bad Request, invalid share list"),
        ("chmod", {"share": [{"tenant_access": 7}]}, "Bad Request, invalid share list"),
    ],
)
def test_bad_permissions_are_refused_and_change_nothing(api, path, members, text) -> None:
    network = api.network("n")
    before = api.service.revision

    reply = api.call("POST", f"/{path}", {"uuid": network, **members})

    assert (reply.status, reply.text) == (400, text)
    assert api.service.revision == before


def test_the_default_owner_is_the_caller_the_parents_owner_or_the_project_itself(api) -> None:
    caller = Caller(user="u", project=TENANT, is_admin=True)

    async def create(type_name, **body):
        resource = api.service.schema.resources[type_name]
        written = await api.service.write(
            lambda change: admission.create(change, resource, body), caller=caller
        )
        return written.value

    def owner_of(type_name, **body):
        record = api.loop.run_until_complete(create(type_name, **body))
        return record.uuid, record.body["perms2"]["owner"]

    own = TENANT.replace("-", "")
    project, owner = owner_of("project", fq_name=["default-domain", "p"])
    assert owner == project.replace("-", "")
    assert owner_of("virtual-network", fq_name=["default-domain", "p", "n"])[1] == owner
    assert owner_of("virtual-DNS", fq_name=["default-domain", "dns"])[1] == own
    assert owner_of("virtual-machine", fq_name=["vm"])[1] == own
    given = {"perms2": {"owner": "somebody"}}
    assert owner_of("virtual-machine", fq_name=["vm2"], **given)[1] == "somebody"


def test_lists_of_a_parent_add_what_is_shared_when_asked(api) -> None:
    mine = api.create("project", fq_name=["default-domain", "mine"])
    own = api.create("virtual-network", fq_name=["default-domain", "mine", "own"])
    shared, world, closed = api.network("shared"), api.network("world"), api.network("closed")
    share = [{"tenant": f"tenant:{mine}", "tenant_access": 5}]
    api.call("POST", "/chmod", {"uuid": shared, "share": share})
    api.call("POST", "/chmod", {"uuid": world, "global_access": 5})
    resource = api.service.schema.resources["virtual-network"]

    def listed(caller, **given):
        asked = query.parse({"parent_id": mine, **given})
        return [r.uuid for r in query.select(api.service.graph, resource, asked, caller)]

    tenant = Caller(user="u", project=mine)
    assert listed(tenant, shared="True") == [own, shared, world]
    assert listed(tenant, shared="False") == [own]
    assert listed(Caller(user="u", project=TENANT), shared="true") == [own, world]
    assert closed not in listed(tenant, shared="true")
    reply = api.call("GET", f"/virtual-networks?parent_id={mine}&shared=True").json
    assert [item["uuid"] for item in reply["virtual-networks"]] == [own, world]
