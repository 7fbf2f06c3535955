"""Tables and explanations as people see them."""

import pytest

from skytrail.agent.introspect import (
    ExplainRefused,
    RuleBook,
    comparison_rows,
    explain_query,
    identity_rows,
    interface_rows,
    label_rows,
    nexthop_rows,
    policy_rows,
    route_rows,
    rule_rows,
    vrf_rows,
)
from skytrail.agent.trace import COPIED
from skytrail.runtime.asgi import encode_json
from skytrail.testing.agent_world import (
    PROJECT,
    AgentHost,
    ConfigBuilder,
    rule,
    subnet,
    uuid_of,
)

WEB_RULE = rule({}, {}, protocol="6", ports=(80, 80), ethertype="IPv4")


def host(**properties):
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24")], **properties)
    config.port("a", red, ["10.1.1.3"])
    b = config.port("b", red, ["10.1.1.4"])
    everything = rule({}, {"subnet": {"ip_prefix": "0.0.0.0", "ip_prefix_len": 0}})
    config.link(b, config.security_group("web", 8000001, [WEB_RULE], [everything]))
    made = AgentHost()
    made.plug("a", 10)
    made.plug("b", 11)
    made.plug("unconfigured", 12)
    made.connect()
    made.configure(config.update())
    made.reconcile()
    return made


def book(made):
    return RuleBook(made.numbers, made.planner.policies)


def explain(made, **query):
    return explain_query(made.datapath.tables(), made.desired, book(made), query)


def test_explanation_names_the_rule_that_allows():
    made = host()

    answer = explain(made, vmi=uuid_of("a"), dst="10.1.1.4", proto="tcp", port="80")

    assert (answer["outcome"], answer["vmi_uuid"]) == ("delivered", uuid_of("b"))
    assert answer["deciding_rule"]["rule_uuids"] == [WEB_RULE["rule_uuid"]]
    assert answer["deciding_rule"]["access_lists"] == [f"{PROJECT}:web:ingress-access-control-list"]


def test_explanation_names_the_stage_that_denies():
    made = host()

    answer = explain(made, vmi=uuid_of("a"), dst="10.1.1.4", proto="tcp", port="22")

    assert (answer["outcome"], answer["drop_reason"]) == ("dropped", "POLICY")
    assert "web" in answer["deciding_rule"]["name"]
    assert answer["deciding_rule"]["rule_uuids"] == ["no rule allows"]


def test_explanation_of_an_arrival_by_label():
    made = host()
    published = next(r for _, r in made.published() if str(r.key) == "10.1.1.4/32")
    label = str(published.next_hops[0].label)

    answer = explain(made, label=label, src="10.1.1.3", dst="10.1.1.4", proto="tcp", port="80")

    assert (answer["outcome"], answer["vmi_uuid"]) == ("delivered", uuid_of("b"))


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"vif": "2"},
        {"dst": "10.1.1.4"},
        {"vif": "x", "dst": "10.1.1.4"},
        {"vif": "2", "dst": "nonsense"},
        {"vif": "2", "dst": "10.1.1.4", "proto": "nonsense"},
        {"vif": "2", "dst": "10.1.1.4", "port": "-1"},
        {"vmi": "nobody", "dst": "10.1.1.4"},
    ],
)
def test_question_that_makes_no_sense_is_refused(query):
    with pytest.raises(ExplainRefused):
        explain(host(), **query)


def test_neighbour_nobody_has_is_told_to_be_flooded_where_the_network_floods():
    asked = {"vmi": uuid_of("a"), "dst": "10.1.1.250"}

    flooded, dropped = explain(host(flood_unknown_unicast=True), **asked), explain(host(), **asked)

    assert (flooded["outcome"], flooded["drop_reason"]) == (COPIED, "")
    assert flooded["steps"][-1].answer.startswith("vif ")
    assert (dropped["outcome"], dropped["drop_reason"]) == ("dropped", "NO_ROUTE")


def test_mac_nobody_has_is_told_to_be_flooded_where_the_network_floods():
    asked = {"vmi": uuid_of("a"), "dst": "0.0.0.0", "dmac": "02:00:00:00:be:ef"}

    flooded, dropped = explain(host(flood_unknown_unicast=True), **asked), explain(host(), **asked)

    assert flooded["outcome"] == COPIED
    assert (dropped["outcome"], dropped["drop_reason"]) == ("dropped", "NO_ROUTE")


def test_address_elsewhere_goes_to_the_gateway_and_is_not_flooded():
    made = host(flood_unknown_unicast=True)

    assert explain(made, vmi=uuid_of("a"), dst="10.9.9.9")["drop_reason"] == "NO_ROUTE"


def test_frame_that_arrives_for_a_mac_nobody_has_is_told_to_be_flooded():
    frame = {"vni": "5", "dst": "10.1.1.250", "src": "10.1.1.9", "dmac": "02:00:00:00:be:ef"}

    answer = explain(host(flood_unknown_unicast=True), **frame)

    assert answer["outcome"] == COPIED
    assert explain(host(), **frame)["drop_reason"] == "UNKNOWN_MAC"


def test_interface_that_is_not_plugged_is_a_drop():
    assert explain(host(), vif="999", dst="10.1.1.4")["drop_reason"] == "INTERFACE_UNKNOWN"


def test_inactive_interface_says_why():
    rows = {row["vmi_uuid"]: row for row in interface_rows(host().desired)}

    row = rows[uuid_of("unconfigured")]
    assert (row["active"], row["reason"]) == (False, "configuration has not arrived")


def test_every_table_is_json():
    made = host()
    rows = [
        *interface_rows(made.desired),
        *vrf_rows(made.desired),
        *route_rows(made.desired, made.numbers),
        *nexthop_rows(made.desired, made.numbers),
        *label_rows(made.desired, made.numbers),
        *policy_rows(made.desired),
        *rule_rows(made.desired, book(made)),
        *identity_rows(made.desired),
        *comparison_rows(made.desired.rows, made.datapath.rows),
    ]

    assert encode_json(rows).startswith(b"[{")
    assert all(row["missing"] == row["extra"] == 0 for row in rows if "missing" in row)


def test_rules_in_use_have_names_and_texts():
    made = host()

    texts = {row["name"]: row["text"] for row in rule_rows(made.desired, book(made))}

    name = f"{PROJECT}:web:ingress-access-control-list#{WEB_RULE['rule_uuid']}"
    assert "ports 0-65535->80-80" in texts[name]


def test_traffic_led_to_a_routing_instance_that_has_no_way_is_dropped():
    config = ConfigBuilder()
    red = config.network("red", 5, [subnet("10.1.1.0/24")])
    config.port("a", red, ["10.1.1.3"])
    config.port("b", red, ["10.1.1.4"])
    assigned = {**rule({}, {}), "action_list": {"simple_action": "pass"}}
    assigned["action_list"]["assign_routing_instance"] = "default-domain:demo:red:service-x"
    config.access_list(red, "red", [assigned])
    made = AgentHost()
    made.plug("a", 10)
    made.plug("b", 11)
    made.connect()
    made.configure(config.update())
    made.reconcile()

    answer = explain(made, vmi=uuid_of("a"), dst="10.1.1.4", proto="tcp", port="80")

    assert (answer["outcome"], answer["drop_reason"]) == ("dropped", "NO_ROUTE")


def test_trace_calls_vrfs_and_ports_by_their_names():
    steps = explain(host(), vmi=uuid_of("a"), dst="10.1.1.4")["steps"]

    assert steps[0].question.split()[2] == "default-domain:demo:a"
    routes = [step.question for step in steps if step.stage == "route"]
    assert routes == ["VRF default-domain:demo:red:red 10.1.1.4"]
