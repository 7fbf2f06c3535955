"""Drafts of security policy: nothing is enforced before its commit, and then all of it."""

from __future__ import annotations

import pytest

PROJECT = ["default-domain", "default-project"]
DRAFT = "draft-policy-management"
ANY = {"protocol": "any"}
KINDS = (
    "service-group", "address-group", "firewall-rule", "firewall-policy", "application-policy-set",
)  # fmt: skip


class Drafted:
    """A project (or everything global) in draft mode, with calls that expect 202."""

    def __init__(self, api, *, is_global=False) -> None:
        self.api = api
        self.home = ["default-policy-management"] if is_global else PROJECT
        self.place = [DRAFT] if is_global else [*PROJECT, DRAFT]
        self.kind = "global-system-config" if is_global else "project"
        name = ("default-global-system-config",) if is_global else tuple(PROJECT)
        self.scope = api.service.graph.uuid_of(self.kind, name)
        self.parent_type = "policy-management" if is_global else "project"

    def mode(self, on: bool):
        body = {self.kind: {"enable_security_policy_draft": on}}
        return self.api.call("PUT", f"/{self.kind}/{self.scope}", body)

    def create(self, kind: str, name: str, **members):
        if kind == "firewall-rule" and "service_group_refs" not in members:
            members.setdefault("service", ANY)
        body = {"fq_name": [*self.home, name], "parent_type": self.parent_type, **members}
        return self.api.call("POST", f"/{kind}s", {kind: body})

    def put(self, kind: str, uuid: str, **members):
        return self.api.call("PUT", f"/{kind}/{uuid}", {kind: members})

    def settle(self, action: str):
        body = {"scope_uuid": self.scope, "action": action}
        return self.api.call("POST", "/security-policy-draft", body)

    def find(self, kind: str, name: str, *, draft: bool = False):
        place = self.place if draft else self.home
        uuid = self.api.service.graph.uuid_of(kind, (*place, name))
        return None if uuid is None else self.api.read(kind, uuid)

    def states(self):
        return {
            record.name: record.body["draft_mode_state"]
            for kind in KINDS
            for record in self.api.service.graph.of_type(kind)
            if record.fq_name[-2] == DRAFT
        }


@pytest.fixture(params=[False, True], ids=["project", "global"])
def scope(api, request):
    return Drafted(api, is_global=request.param)


def uuid_of(reply, status=200):
    assert reply.status == status, reply.text
    ((_, made),) = reply.json.items()
    return made["uuid"]


def test_without_draft_mode_nothing_is_drafted(scope) -> None:
    uuid_of(scope.create("address-group", "g"))

    assert scope.settle("commit").status == 400
    assert scope.find("address-group", "g")


def test_a_create_waits_for_its_commit(scope) -> None:
    scope.mode(True)

    uuid = uuid_of(scope.create("address-group", "g"), 202)

    draft = scope.api.read("address-group", uuid)
    assert draft["fq_name"] == [*scope.place, "g"]
    assert draft["draft_mode_state"] == "created"
    assert scope.find("address-group", "g") is None
    assert scope.settle("commit").json == {}
    made = scope.find("address-group", "g")
    assert "draft_mode_state" not in made
    assert scope.states() == {}


def test_updates_and_deletes_show_only_after_the_commit(scope) -> None:
    changed = uuid_of(scope.create("address-group", "a"))
    gone = uuid_of(scope.create("service-group", "s"))
    scope.mode(True)

    one = scope.put("address-group", changed, display_name="new")
    two = scope.api.call("DELETE", f"/service-group/{gone}")

    assert (one.status, two.status) == (202, 202)
    assert scope.states() == {"a": "updated", "s": "deleted"}
    assert scope.api.read("address-group", changed)["display_name"] == "a"
    assert scope.api.read("service-group", gone)
    scope.settle("commit")
    assert scope.api.read("address-group", changed)["display_name"] == "new"
    assert scope.find("service-group", "s") is None
    assert scope.states() == {}


def test_discard_drops_everything_pending(scope) -> None:
    kept = uuid_of(scope.create("address-group", "a"))
    scope.mode(True)
    scope.put("address-group", kept, display_name="new")
    scope.create("service-group", "s")
    before = scope.api.read("address-group", kept)

    assert scope.settle("discard").status == 200

    assert scope.states() == {}
    assert scope.api.read("address-group", kept) == before
    assert scope.find("service-group", "s") is None


def build(scope, status):
    """A whole policy: set, policy, two rules, groups; references by name and by uuid."""
    group = uuid_of(scope.create("address-group", "ag"), status)
    scope.create("service-group", "sg")
    end = {"address_group": ":".join([*scope.home, "ag"])}
    first = uuid_of(scope.create("firewall-rule", "r1", endpoint_1=end), status)
    sg = [{"to": [*scope.home, "sg"]}]
    scope.create("firewall-rule", "r2", service_group_refs=sg)
    rules = [
        {"uuid": first, "attr": {"sequence": "1"}},
        {"to": [*scope.home, "r2"], "attr": {"sequence": "2"}},
    ]
    policy = uuid_of(scope.create("firewall-policy", "p", firewall_rule_refs=rules), status)
    sets = [{"uuid": policy, "attr": {"sequence": "1"}}]
    uuid_of(scope.create("application-policy-set", "s", firewall_policy_refs=sets), status)
    return group, first, policy


def test_a_whole_policy_is_committed_with_its_references(scope) -> None:
    scope.mode(True)
    build(scope, 202)

    assert scope.settle("commit").status == 200, scope.states()

    policy = scope.find("firewall-policy", "p")
    assert [ref["to"] for ref in policy["firewall_rule_refs"]] == [
        [*scope.home, "r1"], [*scope.home, "r2"],
    ]  # fmt: skip
    assert [ref["attr"]["sequence"] for ref in policy["firewall_rule_refs"]] == ["1", "2"]
    assert scope.find("firewall-rule", "r1")["address_group_refs"][0]["to"][-1] == "ag"
    assert scope.find("firewall-rule", "r2")["service_group_refs"][0]["to"] == [*scope.home, "sg"]
    assert scope.find("application-policy-set", "s")["firewall_policy_refs"][0]["to"][-1] == "p"


def test_a_rule_goes_once_the_draft_of_its_policy_lets_go(scope) -> None:
    _, first, policy = build(scope, 200)
    scope.mode(True)

    held = scope.api.call("DELETE", f"/firewall-rule/{first}")
    body = {
        "type": "firewall-policy", "uuid": policy, "ref-type": "firewall-rule", "ref-uuid": first,
        "operation": "DELETE",
    }  # fmt: skip
    scope.api.call("POST", "/ref-update", body)
    freed = scope.api.call("DELETE", f"/firewall-rule/{first}")

    assert (held.status, freed.status) == (409, 202)
    assert held.text.startswith("Delete when resource still referred: ['http://")
    assert len(scope.find("firewall-policy", "p")["firewall_rule_refs"]) == 2
    assert scope.settle("commit").status == 200
    assert len(scope.find("firewall-policy", "p")["firewall_rule_refs"]) == 1
    assert scope.find("firewall-rule", "r1") is None


def test_drafts_can_be_changed_and_deleted_by_their_own_uuid(scope) -> None:
    scope.mode(True)
    uuid = uuid_of(scope.create("address-group", "g"), 202)

    assert scope.put("address-group", uuid, display_name="x").status == 202
    assert scope.states() == {"g": "created"}
    assert scope.api.call("DELETE", f"/address-group/{uuid}").status == 202
    assert scope.states() == {}


def test_what_is_pending_deletion_takes_no_update(scope) -> None:
    uuid = uuid_of(scope.create("address-group", "g"))
    scope.mode(True)
    scope.api.call("DELETE", f"/address-group/{uuid}")

    assert scope.put("address-group", uuid, display_name="x").status == 409
    assert scope.create("address-group", "g").status == 409
    assert scope.api.call("DELETE", f"/address-group/{uuid}").status == 202


def test_draft_mode_is_not_left_with_something_pending(scope) -> None:
    scope.mode(True)
    scope.create("address-group", "g")

    refused = scope.mode(False)
    scope.settle("discard")
    left = scope.mode(False)

    assert refused.status == 409
    assert "address-group g" in refused.text
    assert left.status == 200
    uuid_of(scope.create("address-group", "g"), 200)


def test_a_commit_that_is_refused_changes_nothing(api) -> None:
    world, own = Drafted(api, is_global=True), Drafted(api)
    group = uuid_of(world.create("service-group", "sg"))
    world.mode(True)
    world.create("address-group", "ag")
    api.call("DELETE", f"/service-group/{group}")
    own.create("firewall-rule", "r", service_group_refs=[{"uuid": group}])
    before = api.service.revision

    reply = world.settle("commit")

    assert (reply.status, api.service.revision) == (409, before)
    assert world.states() == {"ag": "created", "sg": "deleted"}


def test_an_enforced_object_refers_to_no_draft_of_another_scope(api) -> None:
    world, own = Drafted(api, is_global=True), Drafted(api)
    world.mode(True)
    group = uuid_of(world.create("service-group", "sg"), 202)

    by_uuid = own.create("firewall-rule", "r", service_group_refs=[{"uuid": group}])
    by_name = own.create(
        "firewall-rule", "r", service_group_refs=[{"to": ["default-policy-management", "sg"]}]
    )

    assert (by_uuid.status, by_name.status) == (400, 400)


def test_nothing_goes_past_the_draft(scope) -> None:
    uuid = uuid_of(scope.create("address-group", "g"))
    scope.mode(True)
    name = [*scope.home, "g"]
    apply = {"op": "apply", "type": "address-group", "name": name, "object": {"display_name": "x"}}
    cascade = {"op": "delete", "type": "address-group", "uuid": uuid, "cascade": True}

    applied = scope.api.call("POST", "/api/v1/transaction", {"operations": [apply]})
    gone = scope.api.call("POST", "/api/v1/transaction", {"operations": [cascade]})
    mode = scope.api.call("POST", "/chmod", {"uuid": uuid, "global_access": 5})
    holder = scope.api.service.graph.uuid_of("policy-management", tuple(scope.place))

    assert (applied.status, gone.status, mode.status) == (409, 409, 200)
    assert scope.states() == {}
    assert scope.api.call("DELETE", f"/policy-management/{holder}").status == 409


@pytest.mark.parametrize("verb", ["PATCH", "PUT"])
def test_the_native_api_changes_the_draft(scope, verb) -> None:
    uuid = uuid_of(scope.create("address-group", "g", display_name="g"))
    scope.mode(True)
    path = f"/api/v1/address-group/{uuid}"

    same = scope.api.call(verb, path, {"display_name": "g"})
    first = scope.api.call(verb, path, {"display_name": "x"})
    again = scope.api.call(verb, path, {"display_name": "y"})

    assert (same.status, first.status, again.status) == (200, 200, 200)
    assert same.json["uuid"] == uuid
    assert first.json["fq_name"] == [*scope.place, "g"]
    assert scope.states() == {"g": "updated"}
    assert scope.find("address-group", "g")["display_name"] == "g"
    assert scope.settle("commit").status == 200
    assert scope.find("address-group", "g")["display_name"] == "y"


def test_what_changes_nothing_makes_no_draft(scope) -> None:
    uuid = uuid_of(scope.create("address-group", "g", display_name="g"))
    scope.mode(True)

    scope.api.call("PATCH", f"/api/v1/address-group/{uuid}", {"display_name": "g"})

    assert scope.states() == {}


def test_one_transaction_drafts_a_rule_and_its_place_in_a_policy(scope) -> None:
    _, first, policy = build(scope, 200)
    scope.mode(True)
    name = [*scope.home, "new"]
    rule = {
        "fq_name": name, "parent_type": scope.parent_type, "service": ANY,
        "endpoint_1": {"any": True}, "endpoint_2": {"any": True}, "direction": ">",
    }  # fmt: skip
    places = [{"to": name, "attr": {"sequence": "1"}}]

    made = scope.api.call("POST", "/api/v1/transaction", {"operations": [
        {"op": "create", "type": "firewall-rule", "object": rule},
        {"op": "patch", "type": "firewall-policy", "uuid": policy, "object": {"firewall_rule_refs": places}},
        {"op": "delete", "type": "firewall-rule", "uuid": first},
    ]})  # fmt: skip

    assert made.status == 200, made.text
    assert scope.states() == {"new": "created", "p": "updated", "r1": "deleted"}
    assert scope.find("firewall-rule", "r1")
    assert scope.settle("commit").status == 200
    assert scope.find("firewall-rule", "r1") is None
    assert scope.find("firewall-policy", "p")["firewall_rule_refs"][0]["to"] == name


def test_elements_are_edited_in_the_draft(scope) -> None:
    prefixes = {"subnet": [{"ip_prefix": "10.0.0.0", "ip_prefix_len": 8}]}
    uuid = uuid_of(scope.create("address-group", "g", address_group_prefix=prefixes))
    scope.mode(True)
    update = {
        "field": "address_group_prefix", "operation": "add", "position": "mine",
        "value": {"ip_prefix": "11.0.0.0", "ip_prefix_len": 8},
    }  # fmt: skip
    body = {"uuid": uuid, "updates": [update]}

    assert scope.api.call("POST", "/prop-collection-update", body).status == 200

    assert scope.api.read("address-group", uuid)["address_group_prefix"] == prefixes
    scope.settle("commit")
    got = scope.api.call("GET", f"/prop-collection-get?uuid={uuid}&fields=address_group_prefix")
    assert [pair[1] for pair in got.json["address_group_prefix"]] == ["0", "mine"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"action": "merge"}, 400),
        ({"action": "commit"}, 400),
        ({"action": "commit", "scope_uuid": "x"}, 404),
        ({"action": ["commit"], "scope_uuid": "x"}, 400),
    ],
)
def test_bad_draft_requests_are_refused(api, body, status) -> None:
    assert api.call("POST", "/security-policy-draft", body).status == status


def test_the_holder_of_drafts_cannot_be_made_by_hand(api) -> None:
    body = {"policy-management": {"fq_name": [*PROJECT, DRAFT], "parent_type": "project"}}

    assert api.call("POST", "/policy-managements", body).status == 400


def test_a_project_with_an_empty_draft_holder_can_go(api) -> None:
    name = ["default-domain", "p"]
    uuid = api.create("project", fq_name=name, enable_security_policy_draft=True)
    assert api.service.graph.uuid_of("policy-management", (*name, DRAFT))

    assert api.call("DELETE", f"/project/{uuid}").status == 200
