"""Analytics of a running lab: what hosts and control nodes say, counted by real packets."""

import json
import socket
import subprocess
import sys

import httpx
import pytest
from click.testing import CliRunner

from skytrail.cli import main
from skytrail.client import ApiClient


@pytest.fixture
def uve(lab):
    """Return the structs of an entity as the REST interface shows them."""

    def read(kind, name):
        url = f"{lab.analytics_url}/analytics/uves/{kind}/{name}"
        return httpx.get(url, params={"flat": ""}).json()

    return read


@pytest.fixture
def done(lab):
    def run(*arguments):
        finished = CliRunner().invoke(main, [*arguments, "--analytics", lab.analytics_url])
        assert finished.exit_code == 0, finished.output
        return finished

    return run


@pytest.fixture
def skytrail(done):
    return lambda *arguments: done(*arguments).stdout


@pytest.fixture
def noted(done):
    """What is said beside a result, for people."""
    return lambda *arguments: done(*arguments).stderr


def test_every_process_says_that_it_works(lab, uve, eventually):
    hosts = [("vrouter", node.namespace) for node in lab.plan.hosts]
    controls = [("control-node", node.namespace) for node in lab.plan.controllers]

    def functional():
        states = [
            process["state"]
            for place in (*hosts, *controls)
            for process in uve(*place).get("NodeStatus", {}).get("process_status", [])
        ]
        return states == ["Functional"] * len((*hosts, *controls))

    eventually(functional, "all say they are functional", timeout_s=40)


def test_api_tells_of_itself_and_of_changes(lab, uve, eventually):
    def processes():
        states = uve("config-node", socket.gethostname()).get("NodeStatus", {})
        return {each["module_id"] for each in states.get("process_status", [])}

    eventually(
        lambda: {"contrail-api", "contrail-schema"} <= processes(), "both tell", timeout_s=40
    )
    question = {
        "table": "ConfigObjectTable", "start_time": "now-1d", "end_time": "now",
        "select_fields": ["ObjectId", "Messagetype", "Xmlmessage"],
        "where": [[{"name": "ObjectId", "value": "virtual-network:default-domain:red:front", "op": 1}]],
    }  # fmt: skip

    def told():
        reply = httpx.post(f"{lab.analytics_url}/analytics/query", json=question, timeout=30)
        return reply.json()["value"]

    eventually(told, "the network's creation is stored", timeout_s=40)
    assert {row["Messagetype"] for row in told()} == {"VncApiConfigLog"}


def test_traffic_of_a_network_is_what_its_ports_carry_on_all_hosts(lab, uve, ping, eventually):
    network = "default-domain:red:front"

    def carried():
        return uve("virtual-network", network).get("UveVirtualNetworkAgent", {}).get("in_tpkts", 0)

    eventually(carried, "the network is told of", timeout_s=40)
    before = carried()
    traffic = ping("red-web1", "red-web2")
    eventually(lambda: carried() >= before + 200, "a hundred echoes are counted", timeout_s=40)
    traffic.stop()
    question = {
        "table": "StatTable.UveVirtualNetworkAgent.vn_stats", "start_time": "now-10m",
        "end_time": "now", "select_fields": ["name", "SUM(vn_stats.in_tpkts)"],
        "where": [[{"name": "name", "value": network, "op": 1}]],
    }  # fmt: skip

    def course():
        reply = httpx.post(f"{lab.analytics_url}/analytics/query", json=question, timeout=30)
        return sum(row["SUM(vn_stats.in_tpkts)"] for row in reply.json()["value"])

    eventually(lambda: course() >= 200, "the growth is stored", timeout_s=40)

    told = uve("virtual-network", network)["UveVirtualNetworkAgent"]
    assert {"default-domain:red:web1", "default-domain:red:web2"} <= set(told["interface_list"])


CONNECT = """
import socket, sys
with socket.socket() as probe:
    probe.bind(("", int(sys.argv[2])))
    probe.connect_ex((sys.argv[1], 4444))
"""


def connect(lab, members, client_port=0):
    """Let one port of the front network begin a TCP connection to another of it, at the other host."""
    target = str(members["red-web2"].address(version=4))
    inside = ["ip", "netns", "exec", lab.plan.namespace_of("red-web1")]
    command = [*inside, sys.executable, "-c", CONNECT, target, str(client_port)]
    subprocess.run(command, check=True, timeout=20)


def test_session_between_hosts_is_told_by_both_with_its_rule(lab, members, eventually):
    source = members["red-web1"]
    connect(lab, members, client_port=41234)
    question = {
        "table": "SessionRecordTable", "start_time": "now-10m", "end_time": "now",
        "select_fields": [
            "session_type", "vmi", "local_ip", "remote_ip", "forward_action",
            "forward_sampled_pkts", "security_policy_rule",
        ],
        "where": [[{"name": "client_port", "value": 41234, "op": 1}]],
    }  # fmt: skip

    def told():
        reply = httpx.post(f"{lab.analytics_url}/analytics/query", json=question, timeout=30)
        return {row["session_type"]: row for row in reply.json()["value"]}

    eventually(lambda: len(told()) == 2, "both hosts told the session", timeout_s=60)
    client, server = told()["client"], told()["server"]

    assert (client["vmi"], server["vmi"]) == ("default-domain:red:web1", "default-domain:red:web2")
    assert client["local_ip"] == server["remote_ip"] == str(source.address(version=4))
    assert client["forward_action"] == "pass"
    assert client["forward_sampled_pkts"] >= 1
    assert client["security_policy_rule"]


@pytest.fixture
def tagged(lab):
    """Ports with a tag each; taken away at the end."""
    with ApiClient(lab.api_url) as api:
        made = {}
        for port, kind, value in (("web1", "application", "shop"), ("web2", "label", "till")):
            tag = {"fq_name": [f"{kind}={value}"], "tag_type_name": kind, "tag_value": value}
            uuid = api.create("tag", tag)
            name = ["default-domain", "red", port]
            made[api.name_to_id("virtual-machine-interface", name)] = uuid
        ends = [(port, {"ref_type": "tag", "ref_uuid": uuid}) for port, uuid in made.items()]
        for port, end in ends:
            api.ref_update("virtual-machine-interface", port, **end)
        yield
        for port, end in ends:
            api.ref_update("virtual-machine-interface", port, **end, operation="DELETE")
            api.delete("tag", end["ref_uuid"])


def test_sessions_are_found_by_tags_of_both_ends(lab, tagged, members, skytrail, eventually):
    def told():
        connect(lab, members)
        rows = skytrail(
            "sessions", "--tag", "application=shop", "--remote-tag", "label=till",
            "--by", "app,remote_app,remote_labels,vn", "--last", "10m", "--json",
        )  # fmt: skip
        return json.loads(rows)

    eventually(told, "a session of tagged ends is told", timeout_s=60)
    (row,) = told()

    assert row["application"] == "application=shop"
    assert (row["remote_application"], row["remote_labels"]) == ("", "label=till")
    assert row["vn"] == "default-domain:red:front"


def test_logs_of_hosts_are_found_by_host(lab, skytrail, eventually):
    host = lab.plan.hosts[0].namespace

    def said():
        return skytrail("logs", "--source", host, "--last", "1d")

    eventually(lambda: "port_active" in said(), "the host's log is stored", timeout_s=40)

    assert [line for line in said().splitlines() if host not in line] == []
    assert "session_established" in skytrail("logs", "--module", "contrail-control", "--last", "1d")


def test_tables_of_all_hosts_are_one_by_their_own_connections(lab, skytrail):
    hosts = {node.namespace for node in lab.plan.hosts}

    listed = json.loads(skytrail("introspect", "--json"))
    ports = json.loads(skytrail("introspect", "interfaces", "--json"))
    one = skytrail(
        "introspect", "interfaces", "--where", "name=default-domain:red:web1", "--columns", "name"
    )

    assert {row["process"] for row in listed["processes"]} >= {
        "contrail-vrouter-agent", "contrail-control", "contrail-api", "contrail-schema",
        "contrail-analytics-api",
    }  # fmt: skip
    assert {row["node"] for row in ports["rows"]} == hosts
    assert ports["failures"] == []
    assert "red:web1" in one
    assert "red:web2" not in one


@pytest.fixture
def watched(lab):
    """A rule that holds for every host, and wants to know what it dropped; taken away at the end."""
    condition = {
        "operand1": "VrouterAgent.res_limit", "operation": "!=",
        "operand2": {"json_value": "true"}, "variables": [],
    }  # fmt: skip
    with ApiClient(lab.api_url) as api:
        uuid = api.create(
            "alarm",
            {
                "fq_name": ["default-global-system-config", "what-was-dropped"],
                "parent_type": "global-system-config",
                "alarm_severity": 2,
                "uve_keys": {"uve_key": ["vrouter"]},
                "alarm_rules": {"or_list": [{"and_list": [condition]}]},
                "annotations": {
                    "key_value_pair": [{"key": "collect", "value": "agent/drops agent/status"}]
                },
            },
        )
        yield "default-global-system-config:what-was-dropped"
        api.delete("alarm", uuid)


def test_state_of_a_host_is_kept_when_a_rule_is_met(lab, watched, skytrail, eventually):
    host = lab.plan.hosts[0].namespace

    def kept():
        found = json.loads(skytrail("alarms", "--collected", f"vrouter:{host}"))
        return [each for each in found if each["rule"] == watched]

    eventually(kept, "the host's pages are kept", timeout_s=60)
    (one,) = kept()

    assert one["nodes"] == [host]
    pages = {page["table"]: page for page in one["pages"]}
    assert [row["node"] for row in pages["status"]["rows"]] == [host]
    assert pages["drops"]["failures"] == []


def test_entity_is_shown_on_the_terminal(skytrail):
    shown = skytrail("uve", "virtual-machine-interface", "default-domain:red:web1")

    assert "UveVMInterfaceAgent" in shown
    assert "10.1.1.3" in shown


def test_sessions_numbers_and_alarms_are_shown_on_the_terminal(
    lab, members, skytrail, noted, eventually
):
    connect(lab, members)

    def listed(*arguments):
        return json.loads(skytrail(*arguments, "--json", "--last", "1d"))

    front = ("--network", "default-domain:red:front")
    eventually(lambda: listed("sessions", *front), "sessions are known", timeout_s=60)
    assert {row["vn"] for row in listed("sessions", *front)} == {"default-domain:red:front"}
    sums = listed("sessions", "--by", "vn,protocol")
    assert all(row["SUM(sample_count)"] >= 1 for row in sums)
    shown = skytrail("sessions", *front, "--protocol", "tcp", "--port", "4444", "--last", "1d")
    assert "default-domain:red:front" in shown.replace("\n", "").replace(" ", "")

    table = "StatTable.UveVirtualNetworkAgent.vn_stats"
    assert table in skytrail("stats")
    assert "vn_stats.in_bytes" in skytrail("stats", table)
    total = "SUM(vn_stats.in_bytes)"
    rows = listed("stats", table, "--select", f"name,{total}", "--sort", total)
    assert rows[0][total] > 0
    assert isinstance(json.loads(skytrail("alarms", "--json")), list)

    short = listed("sessions", "--network", "red:front")
    assert {row["vn"] for row in short} == {"default-domain:red:front"}
    assert "SUM(vn_stats." in noted("stats", table)


def test_what_is_not_there_is_said(lab, noted):
    assert "no such message came" in noted("logs", "--module", "nobody")
    assert "no such session came in the last 10m" in noted("sessions", "--port", "1")
    place = ("--analytics", lab.analytics_url)
    elsewhere = CliRunner().invoke(main, ["introspect", "drops", "--node", "compute1", *place])
    assert elsewhere.exit_code == 1
    assert f"Did you mean {lab.plan.hosts[0].namespace}" in elsewhere.output
    for wrong in (("stats", "StatTable.nope"), ("sessions", "--network", "red:nope")):
        done = CliRunner().invoke(main, [*wrong, *place])
        assert done.exit_code == 1, done.output
        assert "lists" in done.output


def test_a_lab_is_chosen_by_name(lab):
    listed = CliRunner().invoke(main, ["uve", "--json", "--lab", lab.name])

    assert listed.exit_code == 0
    assert "vrouters" in json.loads(listed.stdout)
