"""Status conditions: told from reports that hold, unknown with the reason otherwise."""

from __future__ import annotations

from skytrail.api.security_settings import SecuritySettings
from skytrail.api.status import LEASE_S_MAX

from .security_server import Secured

PROJECT = ["default-domain", "default-project"]


def report(api, reporter: str, **members: object):
    return api.call("POST", f"/api/v1/status/{reporter}", members)


def conditions(api, uuid: str, type_name: str = "virtual-network") -> dict[str, dict]:
    reply = api.call("GET", f"/api/v1/{type_name}/{uuid}/status")
    assert reply.status == 200, reply.text
    return {each["type"]: each for each in reply.json["conditions"]}


def hosted(api) -> str:
    red = api.network("red")
    machine = api.create("virtual-machine", fq_name=["vm"])
    api.create(
        "virtual-machine-interface",
        fq_name=[*PROJECT, "port"],
        parent_type="project",
        virtual_network_refs=[{"uuid": red}],
        virtual_machine_refs=[{"uuid": machine}],
    )
    api.create(
        "virtual-router",
        fq_name=["default-global-system-config", "one"],
        parent_type="global-system-config",
        virtual_machine_refs=[{"uuid": machine}],
    )
    return red


def test_without_reports_everything_but_acceptance_is_unknown(api) -> None:
    found = conditions(api, hosted(api))

    assert found["accepted"]["status"] == "true"
    assert (found["derived"]["status"], found["derived"]["reason"]) == ("unknown", "no_compiler")
    assert found["distributed"]["status"] == "unknown"
    assert [(each["host"], each["state"]) for each in found["programmed"]["hosts"]] == [
        ("one", "unknown")
    ]
    assert found["programmed"]["reason"] == "no_control_node"


def test_a_change_is_pending_until_the_reporter_has_seen_it(api) -> None:
    uuid = api.network("red")
    report(api, "c", kind="compiler", revision=api.service.revision - 1)
    report(api, "n1", kind="control", revision=api.service.revision)
    report(api, "n2", kind="control", revision=api.service.revision - 1)
    before = conditions(api, uuid)
    report(api, "c", kind="compiler", revision=api.service.revision)
    report(api, "n2", kind="control", revision=api.service.revision)
    after = conditions(api, uuid)

    assert before["derived"]["reason"] == "pending"
    assert before["distributed"]["detail"] == "1 of 2 control nodes have it; not n2"
    assert (after["derived"]["status"], after["distributed"]["status"]) == ("true", "true")


def test_what_the_compiler_could_not_do_is_told_at_the_object(api) -> None:
    uuid, other = api.network("red"), api.network("blue")
    trouble = {
        "type": "virtual-network",
        "fq_name": [*PROJECT, "red"],
        "reason": "too_many_rules",
        "detail": "2001 entries",
    }
    report(api, "c", kind="compiler", revision=api.service.revision, troubles=[trouble])

    found = conditions(api, uuid)["derived"]

    assert (found["status"], found["reason"]) == ("false", "too_many_rules")
    assert "2001" in found["detail"]
    assert conditions(api, other)["derived"]["status"] == "true"


def test_what_an_older_compiler_said_of_the_object_before_it_changed_is_not_told(api) -> None:
    uuid = api.network("red")
    trouble = {"type": "virtual-network", "fq_name": [*PROJECT, "red"], "reason": "too_many_rules"}
    report(api, "old", kind="compiler", revision=api.service.revision - 1, troubles=[trouble])
    report(api, "new", kind="compiler", revision=api.service.revision)

    assert conditions(api, uuid)["derived"]["status"] == "true"


def test_hosts_are_counted_by_what_their_agents_say(api) -> None:
    uuid = hosted(api)
    now = api.service.revision

    def programmed(agent: dict) -> dict:
        report(api, "n", kind="control", revision=now, agents=[agent])
        return conditions(api, uuid)["programmed"]

    assert programmed({"name": "one", "connected": True})["reason"] == "not_reported"
    assert programmed({"name": "one", "connected": True, "revision": now})["status"] == "true"
    assert programmed({"name": "one", "connected": True, "revision": 1})["reason"] == "pending"
    assert programmed({"name": "one", "connected": False})["reason"] == "not_connected"


def behind(api, uuid: str, type_name: str = "virtual-network") -> tuple[str, str]:
    found = conditions(api, uuid, type_name)["programmed"]
    return found["reason"], found["detail"]


def told(api, *agents: dict, revision: int | None = None) -> None:
    now = api.service.revision if revision is None else revision
    report(api, "n", kind="control", revision=now, agents=agents)


def test_host_that_lags_is_named_with_its_reason(api) -> None:
    uuid = hosted(api)
    now = api.service.revision

    told(api, {"name": "one", "connected": True, "revision": 1, "problem": "map is full"})
    refused = behind(api, uuid)
    told(api, {"name": "one", "connected": True, "revision": 1})
    pending = behind(api, uuid)
    told(api, {"name": "one", "connected": True, "revision": now, "problem": "map is full"})

    assert refused == ("refused", "0 of 1 hosts; one: map is full")
    assert pending == ("pending", "0 of 1 hosts; one: its agent has not confirmed it yet")
    assert behind(api, uuid) == ("programmed", "1 of 1 hosts")


def test_agents_place_machines_that_configuration_does_not(api) -> None:
    uuid = hosted(api)
    now = api.service.revision
    rows = [{"host": "two", "machines": ["vm"]}]
    report(api, "n-placement", kind="placement", revision=0, placements=rows)

    told(
        api,
        {"name": "one", "connected": True, "revision": now},
        {"name": "two", "connected": False},
    )

    assert behind(api, uuid) == (
        "not_connected",
        "1 of 2 hosts; two: its agent has no session with a control node",
    )


def test_what_a_node_holds_of_a_host_gives_way_to_what_another_sees(api) -> None:
    uuid = hosted(api)
    held = {"host": "two", "machines": ["vm"], "held": True}
    report(api, "n1-placement", kind="placement", revision=0, placements=[held])
    before = conditions(api, uuid)["programmed"]["hosts_count"]

    seen = {"host": "two", "machines": []}
    report(api, "n2-placement", kind="placement", revision=0, placements=[seen])

    assert (before, conditions(api, uuid)["programmed"]["hosts_count"]) == (2, 1)


def test_the_control_node_that_gives_configuration_knows_best(api) -> None:
    uuid = hosted(api)
    now = api.service.revision

    report(api, "n1", kind="control", revision=now, agents=[{"name": "one", "connected": False}])
    report(api, "n2", kind="control", revision=now, agents=[{"name": "one", "connected": True}])
    agent = {"name": "one", "connected": True, "revision": now}
    report(api, "n3", kind="control", revision=now, agents=[agent])

    assert behind(api, uuid)[0] == "programmed"


def test_hosts_must_have_what_is_derived_too(api) -> None:
    uuid = hosted(api)
    before = api.service.revision
    told(api, {"name": "one", "connected": True, "revision": before})
    api.create(
        "access-control-list",
        fq_name=[*PROJECT, "red", "red"],
        parent_type="virtual-network",
    )
    old = behind(api, uuid)
    report(api, "c", kind="compiler", revision=1)
    told(api, {"name": "one", "connected": True, "revision": api.service.revision})

    assert old[0] == "pending"
    assert behind(api, uuid)[1] == "0 of 1 hosts; one: what follows from it is not derived yet"
    report(api, "c", kind="compiler", revision=api.service.revision)
    assert behind(api, uuid)[0] == "programmed"


def test_port_that_does_not_forward_says_why(api) -> None:
    network = hosted(api)
    reply = api.call("GET", "/virtual-machine-interfaces").json["virtual-machine-interfaces"]
    port = reply[0]["uuid"]
    troubles = [{"uuid": port, "reason": "no instance-ip has arrived"}]
    agent = {"name": "one", "connected": True, "revision": api.service.revision}

    told(api, {**agent, "ports": troubles})

    assert behind(api, port, "virtual-machine-interface") == (
        "port_inactive",
        f"0 of 1 hosts; one: {port}: no instance-ip has arrived",
    )
    assert behind(api, network)[0] == "programmed"


def test_hosts_of_an_object_are_those_of_the_ports_it_leads_to(api) -> None:
    uuid = hosted(api)
    ipam = api.create("network-ipam", fq_name=[*PROJECT, "i"], parent_type="project")
    unused = api.create("network-ipam", fq_name=[*PROJECT, "u"], parent_type="project")
    attr = {"ipam_subnets": [{"subnet": {"ip_prefix": "10.9.0.0", "ip_prefix_len": 24}}]}
    body = {"network_ipam_refs": [{"uuid": ipam, "attr": attr}]}
    api.call("PUT", f"/virtual-network/{uuid}", {"virtual-network": body})
    project = api.call("GET", f"/virtual-network/{uuid}").json["virtual-network"]["parent_uuid"]

    def count(type_name: str, uuid: str) -> int:
        return conditions(api, uuid, type_name)["programmed"]["hosts_count"]

    assert count("network-ipam", ipam) == 1
    assert count("network-ipam", unused) == 0
    assert count("project", project) == 1


def test_health_check_that_fails_is_told_at_the_check_and_at_the_port(api) -> None:
    hosted(api)
    reply = api.call("GET", "/virtual-machine-interfaces").json["virtual-machine-interfaces"]
    port = reply[0]["uuid"]
    check = api.create(
        "service-health-check",
        fq_name=[*PROJECT, "ping"],
        parent_type="project",
        service_health_check_properties={
            "health_check_type": "link-local",
            "monitor_type": "PING",
            "delay": 1,
            "timeout": 1,
            "max_retries": 2,
        },
    )
    body = {"service_health_check_refs": [{"uuid": check}]}
    api.call("PUT", f"/virtual-machine-interface/{port}", {"virtual-machine-interface": body})
    agent = {"name": "one", "connected": True, "revision": api.service.revision}

    told(api, agent)
    assert behind(api, check, "service-health-check")[0] == "programmed"
    told(api, {**agent, "ports": [{"uuid": port, "reason": "health check ping: no answer"}]})

    for kind, uuid in (("service-health-check", check), ("virtual-machine-interface", port)):
        assert "no answer" in behind(api, uuid, kind)[1]


def test_a_report_ends_with_its_lease(api) -> None:
    uuid = api.network("red")
    report(api, "c", kind="compiler", revision=api.service.revision, lease_s=1e-9)

    assert conditions(api, uuid)["derived"]["reason"] == "no_compiler"


def test_bad_reports_are_refused(api) -> None:
    good = {"kind": "compiler", "revision": 1}

    assert report(api, "c", **{**good, "lease_s": LEASE_S_MAX + 1}).status == 400
    assert report(api, "c", **{**good, "kind": "other"}).status == 400
    assert report(api, "c", revision=1).status == 400
    assert report(api, "x" * 200, **good).status == 400
    assert api.call("GET", "/api/v1/status").json["reports"] == []


def test_objects_nobody_acts_on_yet_say_so(api) -> None:
    def policy(name: str, **action: object) -> str:
        rule = {
            "direction": "<>",
            "protocol": "any",
            "src_addresses": [{"virtual_network": "any"}],
            "dst_addresses": [{"virtual_network": "any"}],
            "src_ports": [{"start_port": -1, "end_port": -1}],
            "dst_ports": [{"start_port": -1, "end_port": -1}],
            "action_list": action,
        }
        entries = {"policy_rule": [rule]}
        return api.create(
            "network-policy", fq_name=[*PROJECT, name], network_policy_entries=entries
        )

    def on_hosts(uuid: str, type_name: str) -> tuple[str, str]:
        found = conditions(api, uuid, type_name)["programmed"]
        return found["status"], found["reason"]

    steering = policy("steers", apply_service=["default-domain:default-project:fw"])
    mode = {"service_mode": "transparent"}
    template = api.create(
        "service-template", fq_name=["default-domain", "bump"], service_template_properties=mode
    )
    plain = policy("passes", simple_action="pass")

    own = api.create(
        "qos-config",
        fq_name=["default-global-system-config", "default-global-qos-config", "own"],
        parent_type="global-qos-config",
        qos_config_type="vhost",
    )
    assert on_hosts(own, "qos-config")[1] != "not_applied"
    for setting in ("pbb_evpn_enable", "layer2_control_word"):
        wire = api.create("virtual-network", fq_name=[*PROJECT, setting], **{setting: True})
        assert on_hosts(wire, "virtual-network") == ("false", "not_applied")
    assert on_hosts(steering, "network-policy") == ("true", "no_host_concerned")
    assert on_hosts(template, "service-template") == ("true", "no_host_concerned")
    assert on_hosts(plain, "network-policy") == ("true", "no_host_concerned")


def test_conditions_of_many_are_told_at_once(api) -> None:
    first, second = api.network("red"), api.network("blue")
    policy = api.create("network-policy", fq_name=[*PROJECT, "p"], parent_type="project")
    asked = f"{second},{first},{policy},{first},00000000-0000-4000-8000-000000000000"

    reply = api.call("GET", f"/api/v1/conditions?type=virtual-network&uuids={asked}")

    assert [each["uuid"] for each in reply.json["items"]] == [second, first]
    told = {each["type"]: each for each in reply.json["items"][1]["conditions"]}
    assert told == conditions(api, first)


def test_conditions_of_nothing_of_too_many_or_of_no_type_are_refused(api) -> None:
    many = ",".join([api.network("red")] * 201)
    for query in (
        "type=virtual-network",
        f"type=virtual-network&uuids={many}",
        "uuids=a",
        "type=gadget&uuids=a",
        "type=virtual-network&uuids=a&x=1",
    ):
        assert api.call("GET", f"/api/v1/conditions?{query}").status == 400, query


def test_members_are_told_how_far_their_own_objects_have_come(api) -> None:
    own = api.create("project", fq_name=["default-domain", "own"])
    api.create("project", fq_name=["default-domain", "other"])
    mine, theirs = (
        api.create("virtual-network", fq_name=["default-domain", name, "net"], parent_type="project")
        for name in ("own", "other")
    )  # fmt: skip
    server = Secured(api, SecuritySettings(authentication=["local"], cloud_admin_role="admin"))
    server.user("ann", roles=["member"], project="default-domain:own")
    token = server.login("ann")
    asked = f"/api/v1/conditions?type=virtual-network&uuids={mine},{theirs}"
    assert server.call("GET", asked, x_auth_token=token).status == 403

    rules = [
        {"rule_object": "virtual-network", "rule_perms": [{"role_name": "member", "role_crud": "R"}]}
    ]  # fmt: skip
    server.as_root("POST", "/api-access-lists", {"api-access-list": {
        "fq_name": ["default-global-system-config", "members"],
        "parent_type": "global-system-config",
        "api_access_list_entries": {"rbac_rule": rules}}})  # fmt: skip
    reply = server.call("GET", asked, x_auth_token=token)

    assert [each["uuid"] for each in reply.json["items"]] == [mine], own
