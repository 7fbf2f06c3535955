"""Whatever is drafted and committed is what the same edits, made directly, would have left."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

PROJECT = ["default-domain", "default-project"]
KINDS = {
    "address-group": ["a1", "a2"], "service-group": ["s1"], "firewall-rule": ["r1", "r2"],
    "firewall-policy": ["p1"], "application-policy-set": ["x1"],
}  # fmt: skip
ORDER = list(KINDS)
COMPARED = (
    "display_name", "endpoint_1", "service", "service_group_refs", "address_group_refs",
    "firewall_rule_refs", "firewall_policy_refs",
)  # fmt: skip

edits = st.tuples(
    st.sampled_from(["create", "create", "update", "delete"]),
    st.sampled_from([(kind, name) for kind, names in KINDS.items() for name in names]),
    st.integers(0, 3),
)


def members(kind: str, dice: int) -> dict:
    """Content of an object; the dice decide what it refers to."""
    first = {"attr": {"sequence": str(dice)}}
    match kind:
        case "firewall-rule":
            name = ":".join([*PROJECT, "a1" if dice % 2 else "a2"])
            by_group = {"service": None, "service_group_refs": [{"to": [*PROJECT, "s1"]}]}
            plain = {"service": {"protocol": "tcp"}, "service_group_refs": []}
            end = {"any": True} if dice == 0 else {"address_group": name}
            return {"endpoint_1": end, **(by_group if dice == 3 else plain)}
        case "firewall-policy":
            names = ["r1", "r2"][: dice % 3]
            return {"firewall_rule_refs": [{"to": [*PROJECT, name], **first} for name in names]}
        case "application-policy-set":
            policies = [{"to": [*PROJECT, "p1"], **first}]
            return {"firewall_policy_refs": policies if dice % 2 else []}
        case _:
            return {"display_name": f"shown-{dice}"}


def leans_on(edit) -> set[tuple[str, str]]:
    """What the written object refers to."""
    _, (kind, _), dice = edit
    found = set()
    for field, value in members(kind, dice).items():
        if field.endswith("_refs"):
            kind_of = field.removesuffix("_refs").replace("_", "-")
            found |= {(kind_of, item["to"][-1]) for item in value}
        elif field == "endpoint_1" and "address_group" in value:
            found.add(("address-group", value["address_group"].rpartition(":")[2]))
    return found


def carry_out(api, edit) -> int:
    action, (kind, name), dice = edit
    graph = api.service.graph
    enforced = graph.uuid_of(kind, (*PROJECT, name))
    uuid = enforced or graph.uuid_of(kind, (*PROJECT, "draft-policy-management", name))
    if action == "create":
        body = {"fq_name": [*PROJECT, name], "parent_type": "project", **members(kind, dice)}
        return api.call("POST", f"/{kind}s", {kind: body}).status
    if uuid is None:
        return 404
    if action == "update":
        return api.call("PUT", f"/{kind}/{uuid}", {kind: members(kind, dice)}).status
    return api.call("DELETE", f"/{kind}/{uuid}").status


def settle(api, action: str):
    scope = api.service.graph.uuid_of("project", tuple(PROJECT))
    body = {"scope_uuid": scope, "action": action}
    return api.call("POST", "/security-policy-draft", body)


def enforced(api) -> dict:
    """What is in force, by name."""
    found = {}
    for kind, names in KINDS.items():
        for name in names:
            uuid = api.service.graph.uuid_of(kind, (*PROJECT, name))
            if uuid is None:
                continue
            body = api.service.graph.get(uuid).body
            found[kind, name] = {
                field: [(item["to"], item["attr"]) for item in value]
                if field.endswith("_refs")
                else value
                for field in COMPARED
                if (value := body.get(field)) is not None
            }
    return found


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(edits, max_size=8), st.lists(edits, min_size=1, max_size=10))
def test_a_commit_leaves_what_direct_edits_leave(fresh, before, drafted) -> None:
    direct, draft = fresh(), fresh()
    try:
        for edit in sorted(before, key=lambda edit: ORDER.index(edit[1][0])):
            assert carry_out(direct, edit) == carry_out(draft, edit)
        start = enforced(draft)
        scope = draft.service.graph.uuid_of("project", tuple(PROJECT))
        mode = {"project": {"enable_security_policy_draft": True}}
        assert draft.call("PUT", f"/project/{scope}", mode).status == 200

        leaving: set[tuple[str, str]] = set()
        for edit in drafted:
            if edit[0] != "delete" and leaving & leans_on(edit):
                # Without a draft what it leans on would be gone already.
                continue
            if carry_out(draft, edit) == 202:
                # A second deletion is one in a draft, and is of nothing without.
                fine = (200, 404) if edit[0] == "delete" else (200,)
                assert carry_out(direct, edit) in fine, edit
                (leaving.add if edit[0] == "delete" else leaving.discard)(edit[1])
        assert enforced(draft) == start
        reply = settle(draft, "commit")

        assert reply.status == 200, reply.text
        assert enforced(draft) == enforced(direct)
        assert settle(draft, "commit").status == 200
    finally:
        direct.close()
        draft.close()
