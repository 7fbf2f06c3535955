"""Rules, roles and permissions: who may do what, as a function of view, caller and question."""

from __future__ import annotations

import itertools

import pytest

from skytrail.api import access_rules, authorize
from skytrail.api.access_rules import AccessRule
from skytrail.api.authorize import LINK, MODE_NOTE, READ, WRITE, judge, judge_rule, sees
from skytrail.api.caller import NOBODY_ASKED, THE_SERVER, Caller
from skytrail.api.graph import Graph, make_record

RED, BLUE, DOMAIN = ("11111111-1111-4111-8111-111111111111", "22222222-2222-4222-8222-222222222222",
                     "33333333-3333-4333-8333-333333333333")  # fmt: skip
SYSTEM = "44444444-4444-4444-8444-444444444444"
MEMBER = frozenset({"member"})


def caller(project: str | None = RED, **members: object) -> Caller:
    given = {"user": "ann", "domain": DOMAIN, "roles": MEMBER, **members}
    return Caller(project=project, **given)


def network(**perms2: object):
    permissions = {"owner": RED.replace("-", ""), "owner_access": 7, "global_access": 0}
    return make_record(
        "virtual-network",
        {"uuid": "5" * 8, "fq_name": ["d", "p", "n"], "perms2": {**permissions, **perms2}},
    )


def rule(subject: str, crud: str, role: str = "member", field: str | None = None) -> dict:
    return {
        "rule_object": subject,
        "rule_field": field,
        "rule_perms": [{"role_name": role, "role_crud": crud}],
    }


def world(*lists: tuple[str, list[dict]], mode: str = "rbac") -> Graph:
    """A graph with access lists under the parents named by uuid."""
    graph = Graph()
    graph.memory[MODE_NOTE] = mode
    graph.put(
        make_record(
            "global-system-config", {"uuid": SYSTEM, "fq_name": ["default-global-system-config"]}
        )
    )
    for number, (parent, rules) in enumerate(lists):
        body = {
            "uuid": f"list-{number}",
            "fq_name": [parent, f"list-{number}"],
            "parent_uuid": parent,
            "api_access_list_entries": {"rbac_rule": rules},
        }
        graph.put(make_record("api-access-list", body))
    return graph


OPEN = (SYSTEM, [rule("*", "CRUD")])


def test_without_any_rule_a_member_may_do_nothing_to_networks() -> None:
    for operation in "CRUD":
        verdict = judge(world(), caller(), operation, "virtual-network")

        assert (verdict.allowed, verdict.status) == (False, 403)
        assert verdict.text.startswith(
            f"Permission Denied for ann as member to {operation} virtual-network in {RED}"
        )


@pytest.mark.parametrize("subject", ["fqname-to-id", "id-to-fqname", "useragent-kv"])
def test_the_default_rules_open_the_lookups_to_everybody(subject: str) -> None:
    assert all(judge_rule(world(), caller(), subject, op).allowed for op in "CRUD")


def test_the_default_rules_open_documentation_home_and_watch_for_reading_only() -> None:
    for subject in ("documentation", "/", "watch"):
        assert judge_rule(world(), caller(), subject, "R").allowed
        assert not judge_rule(world(), caller(), subject, "C").allowed


def test_a_field_of_the_body_is_decided_by_its_own_rule() -> None:
    rules = [rule("logical-router", "CRUD"), rule("logical-router", "R", "*", "external")]
    graph = world((SYSTEM, rules))

    assert judge_rule(graph, caller(), "logical-router", "C", ["name", "display_name"]).allowed
    assert not judge_rule(graph, caller(), "logical-router", "C", ["display_name", "external"])\
        .allowed  # fmt: skip


def test_a_rule_for_the_object_wins_over_the_star() -> None:
    graph = world((SYSTEM, [rule("*", "CRUD"), rule("virtual-network", "R")]))

    assert judge_rule(graph, caller(), "virtual-network", "R").allowed
    assert not judge_rule(graph, caller(), "virtual-network", "U").allowed
    assert judge_rule(graph, caller(), "network-policy", "U").allowed


def test_lists_of_system_domain_and_project_add_up() -> None:
    graph = world(
        (SYSTEM, [rule("virtual-network", "R")]),
        (DOMAIN, [rule("virtual-network", "U")]),
        (RED, [rule("virtual-network", "D")]),
    )

    found = {op for op in "CRUD" if judge_rule(graph, caller(), "virtual-network", op).allowed}

    assert found == {"R", "U", "D"}


def test_a_list_of_another_project_does_not_apply() -> None:
    graph = world((BLUE, [rule("*", "CRUD")]))

    assert not judge_rule(graph, caller(RED), "virtual-network", "R").allowed
    assert judge_rule(graph, caller(BLUE), "virtual-network", "R").allowed


def test_role_names_are_compared_without_case_and_stars_mean_everybody() -> None:
    graph = world((SYSTEM, [rule("virtual-network", "R", "_Member_"), rule("tag", "R", "*")]))

    assert judge_rule(graph, caller(roles=frozenset({"_member_"})), "virtual-network", "R").allowed
    assert judge_rule(graph, caller(roles=frozenset({"x"})), "tag", "R").allowed
    assert not judge_rule(graph, caller(roles=frozenset({"x"})), "virtual-network", "R").allowed


def test_a_caller_without_roles_is_sent_to_log_in() -> None:
    verdict = judge(world(OPEN), caller(roles=frozenset()), "R", "virtual-network")

    assert (verdict.status, verdict.text) == (401, "roles empty!!")


def test_administrators_components_and_no_auth_pass_everything() -> None:
    stranger = network(owner=BLUE.replace("-", ""))

    for who in (caller(is_admin=True), THE_SERVER, NOBODY_ASKED):
        assert all(
            judge(world(), who, operation, "virtual-network", record=stranger).allowed
            for operation in "CRUDX"
        )
    assert judge(world(mode="no-auth"), caller(), "D", "virtual-network", record=stranger).allowed


def test_cloud_admin_mode_admits_nobody_but_administrators() -> None:
    graph = world(OPEN, mode="cloud-admin")

    assert not judge(graph, caller(), "R", "virtual-network", record=network()).allowed
    assert not sees(graph, caller(), network())
    assert judge(graph, caller(is_admin=True), "R", "virtual-network", record=network()).allowed


def test_the_reading_role_reads_all_and_changes_nothing_by_itself() -> None:
    reader = caller(BLUE, is_reader=True)

    assert judge(world(), reader, "R", "virtual-network", record=network()).allowed
    assert sees(world(), reader, network())
    for operation in "CUDX":
        assert not judge(world(), reader, operation, "virtual-network", record=network()).allowed


def test_an_unknown_mode_note_means_rbac() -> None:
    graph = world(mode="whatever")

    assert authorize.mode_of(graph) == "rbac"


@pytest.mark.parametrize(
    ("operation", "needed"), [("R", READ), ("U", WRITE), ("C", WRITE), ("X", LINK)]
)
def test_each_operation_needs_its_bit_whoever_grants_it(operation: str, needed: int) -> None:
    for bits in range(8):
        grants = (
            network(owner_access=bits),
            network(owner="x", global_access=bits),
            network(owner="x", share=[{"tenant": RED, "tenant_access": bits}]),
            network(owner="x", share=[{"tenant": f"tenant:{RED}", "tenant_access": bits}]),
            network(owner="x", share=[{"tenant": f"domain:{DOMAIN}", "tenant_access": bits}]),
        )
        for record in grants:
            found = judge(world(OPEN), caller(), operation, "virtual-network", record=record)
            assert found.allowed == bool(bits & needed)


def test_only_the_owner_deletes_however_much_is_shared() -> None:
    shared = network(owner=BLUE.replace("-", ""), global_access=7)

    assert not judge(world(OPEN), caller(RED), "D", "virtual-network", record=shared).allowed
    assert judge(world(OPEN), caller(BLUE), "D", "virtual-network", record=shared).allowed


def test_a_share_of_a_domain_is_not_one_of_a_project_with_that_uuid() -> None:
    shared = network(owner="x", share=[{"tenant": f"domain:{RED}", "tenant_access": 7}])

    assert authorize.access_to(caller(RED), shared) == 0


def test_a_caller_without_project_owns_nothing() -> None:
    administrators = network(owner="cloud-admin")

    assert authorize.access_to(caller(None), administrators) == 0
    assert not authorize.is_owner(caller(None), administrators)


def test_odd_permission_values_grant_nothing() -> None:
    odd = network(owner=None, owner_access="7", global_access=None, share=[None, {"tenant": 1}])

    assert authorize.access_to(caller(), odd) == 0


def test_hidden_objects_do_not_exist_for_users() -> None:
    record = network()
    record.body["id_perms"] = {"user_visible": False}

    assert not sees(world(OPEN), caller(), record)
    assert not authorize.knows(world(OPEN), caller(), record)
    assert sees(world(OPEN), caller(is_admin=True), record)


def test_sight_in_lists_agrees_with_the_verdict_on_reading() -> None:
    callers = (caller(), caller(BLUE), caller(None), caller(is_reader=True), THE_SERVER)
    records = [network(global_access=g, owner=o) for g in range(8) for o in (RED, BLUE, "x")]

    for mode, who, record in itertools.product(authorize.MODES, callers, records):
        graph = world(OPEN, mode=mode)
        verdict = judge(graph, who, "R", "virtual-network", record=record)
        assert sees(graph, who, record) == verdict.allowed


def test_the_steps_tell_which_list_and_rule_decided() -> None:
    verdict = judge(world(OPEN), caller(BLUE), "R", "virtual-network", record=network())

    assert [(step.check, step.outcome) for step in verdict.steps] == [
        ("mode", "pass"),
        ("rule", "pass"),
        ("permissions", "deny"),
    ]
    assert (verdict.steps[1].text, verdict.steps[1].where) == (
        "rule * member:CRUD",
        f"{SYSTEM}:list-0",
    )


def test_default_entries_say_the_same_as_the_default_rules() -> None:
    graph = world((SYSTEM, access_rules.default_entries()["rbac_rule"]))

    found = access_rules.rules_for(graph, caller())

    assert [(r.subject, r.field, r.role, r.operations) for r in found] == [
        (r.subject, r.field, r.role, r.operations) for r in access_rules.DEFAULT_RULES
    ]


def test_every_field_of_a_body_has_to_be_allowed() -> None:
    rules = [
        AccessRule("vn", "a", "member", "CU", ""),
        AccessRule("vn", "b", "member", "R", ""),
        AccessRule("vn", "", "member", "CRUD", ""),
    ]

    assert access_rules.decide(rules, "vn", "U", {"member"}, ["a", "c"]).allowed
    assert not access_rules.decide(rules, "vn", "U", {"member"}, ["a", "b"]).allowed
    assert not access_rules.decide(rules[:2], "vn", "U", {"member"}, ["a", "c"]).allowed
