"""Two tenants of a secured controller ask analytics: each sees his own, through the node and through the API."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner

from skytrail.analytics.io.own_uves import STREAMS_COUNT_MAX
from skytrail.cli import main
from skytrail.client import ApiClient, ApiError
from skytrail.client.messages import Call
from skytrail.lab.io.machine import free_port
from skytrail.testing.analytics_tenants import DOMAIN, PASSWORD, PORTS, Controller, query
from skytrail.testing.controller import wait_until
from skytrail.wire.telemetry import Uve, encode


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    running = Controller(tmp_path_factory.mktemp("tenants"))
    yield running
    running.http.close()
    for host in running.hosts:
        host.close()
    running.process.terminate()
    running.process.wait()
    assert running.process.stdout is not None
    running.process.stdout.close()


ANYTHING = [
    {"where": [[{"name": "vmi", "value": "default-domain", "op": 7}]]},
    {"where": [[{"name": "vmi", "value": "x", "op": 1}], [{"name": "vmi", "value": "x", "op": 2}]]},
    {"filter": [[{"name": "vn", "value": ".*", "op": 8}], [{"name": "vmi", "value": "", "op": 2}]]},
    {"where": [[{"name": "vmi", "value": "') OR 1=1 OR ('' = '", "op": 2}]]},
    {"where": [[{"name": "vn", "value": "default-domain:blue:net", "op": 2}], []]},
    {},
]


@pytest.mark.parametrize("way", ["node", "api"])
@pytest.mark.parametrize("members", ANYTHING)
def test_only_rows_of_own_ports_are_shown_whatever_is_asked(controller, way, members) -> None:
    fields = ["vmi", "remote_vn", "vrouter", "other_vrouter_ip", "remote_ip"]
    body = query("SessionRecordTable", fields, **members)

    reply = controller.ask("red", way, "POST", "/analytics/query", body)

    assert reply.status_code == 200, reply.text
    assert reply.json()["value"] == [
        {
            "vmi": "default-domain:red:port", "remote_vn": "",
            "vrouter": "", "other_vrouter_ip": "", "remote_ip": "10.0.0.2",
        }
    ]  # fmt: skip


@pytest.mark.parametrize("way", ["node", "api"])
@pytest.mark.parametrize("user", ["red", "blue"])
def test_flows_sums_and_numbers_are_a_project_s_own(controller, way, user) -> None:
    def value(table: str, *fields: str) -> list[dict[str, object]]:
        reply = controller.ask(user, way, "POST", "/analytics/query", query(table, list(fields)))
        assert reply.status_code == 200, reply.text
        return reply.json()["value"]

    own = f"default-domain:{user}:"
    ends = {
        (row["sourcevn"], row["destvn"]) for row in value("FlowRecordTable", "sourcevn", "destvn")
    }
    assert ends == {(f"{own}net", ""), ("", f"{own}net")}
    assert value("SessionSeriesTable", "vn", "SUM(forward_sampled_bytes)") == [
        {"vn": f"{own}net", "SUM(forward_sampled_bytes)": 100}
    ]
    assert value(PORTS, "name", "Source") == [{"name": f"{own}port", "Source": ""}]
    rows = controller.ask(user, way, "GET", "/api/v1/flows").json()["rows"]
    assert [row["vmi"] for row in rows] == [f"{own}port"]
    path = f"/api/v1/metrics?table={PORTS}&select=SUM(if_stats.in_bytes)&by=name&step=60&last=1d"
    rows = controller.ask(user, way, "GET", path).json()["rows"]
    assert [row["name"] for row in rows] == [f"{own}port"]


def test_who_is_at_the_far_end_is_not_found_out_by_comparing(controller) -> None:
    for op, told in ((1, "default-domain:blue:net"), (7, "default-domain:b"), (8, "blue")):
        where = [[{"name": "remote_vn", "value": told, "op": op}]]
        body = query("SessionRecordTable", ["vmi"], where=where)

        assert controller.ask("red", "node", "POST", "/analytics/query", body).json() == {
            "value": []
        }


@pytest.mark.parametrize("way", ["node", "api"])
@pytest.mark.parametrize(
    "table",
    [
        "MessageTable",
        "GapTable",
        "ObjectVNTable",
        "StatTable.UFlowData.flow",
        "OverlayToUnderlayFlowMap",
    ],
)
def test_tables_of_all_tenants_are_refused(controller, way, table) -> None:
    reply = controller.ask("red", way, "POST", "/analytics/query", query(table, ["Source"]))

    assert reply.status_code == 403
    assert "administrators and global readers" in reply.text


@pytest.mark.parametrize("way", ["node", "api"])
@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/logs", "/api/v1/introspect/routes", "/analytics/uves/vrouter/*", "/analytics/uves/vrouters",
        "/analytics/uve-stream?tablefilt=vrouter", "/api/v1/alarms/vrouter/host1/collected",
        "/analytics/table/MessageTable/schema", "/analytics/table/SessionRecordTable",
        "/analytics/alarms?sfilt=host1", "/analytics/uves/virtual-network/*?mfilt=Compute:agent:0", "/analytics/table/SessionRecordTable/column-values/vn",
    ],
)  # fmt: skip
def test_paths_that_know_no_tenants_are_refused(controller, way, path) -> None:
    assert controller.ask("red", way, "GET", path).status_code == 403


@pytest.mark.parametrize("way", ["node", "api"])
def test_who_may_not_read_ports_sees_nothing(controller, way) -> None:
    body = query("SessionRecordTable", ["vmi"])

    assert controller.ask("guest", way, "POST", "/analytics/query", body).status_code == 403


def test_naming_another_project_to_the_node_shows_nothing_of_it(controller) -> None:
    headers = {
        "x-auth-token": controller.tokens["red"],
        "x-skytrail-project": "default-domain:blue",
    }
    url = f"https://127.0.0.1:{controller.node}/api/v1/flows"

    rows = controller.http.get(url, headers=headers).json()["rows"]

    assert {row["vmi"] for row in rows} == {"default-domain:red:port"}


@pytest.fixture
def far(controller, tmp_path) -> Iterator[Path]:
    """Yield the socket of a second node, with a store of its own, that asks the secured one over TLS as an administrator."""
    with ApiClient(unix_socket=str(controller.data / "api.sock")) as client:
        user = {"password": PASSWORD, "roles": ["admin"], "project": f"{DOMAIN}:red"}
        client.call(Call("PUT", "/api/v1/users/node", body=user))
    token, store, rest = tmp_path / "token", tmp_path / "history.sock", tmp_path / "rest.sock"
    token.write_text(controller.token("node"))
    identity = [
        *("--api-url", f"https://127.0.0.1:{controller.api}", "--api-token-file", token),
        *("--api-ca", controller.data / "security/ca.pem"),
    ]
    peer = ["--peer", f"https://127.0.0.1:{controller.node}"]
    with contextlib.ExitStack() as stack:
        for module, arguments in (
            ("history", ["--data", tmp_path / "data", "--socket", store]),
            ("analytics", ["--name", "far", "--port", free_port(), "--socket", rest,
                           "--history", store, *identity, *peer]),
        ):  # fmt: skip
            command = [sys.executable, "-m", f"skytrail.daemons.{module}", *map(str, arguments)]
            process = stack.enter_context(
                subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            assert " ready" in process.stdout.readline()
        yield rest


def test_another_node_gets_a_part_by_its_identity_and_a_tenant_s_alone(controller, far) -> None:
    body = query("SessionRecordTable", ["vmi"])

    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(far)), base_url="http://far", timeout=30.0
    ) as client:
        wait_until(lambda: client.get("/healthz").status_code == 200, "the far node's store")

        def found(headers: dict[str, str]) -> set[str]:
            reply = client.post("/analytics/query", json=body, headers=headers)
            assert (reply.status_code, reply.headers.get("x-skytrail-missing-nodes")) == (200, None)
            return {row["vmi"] for row in reply.json()["value"]}

        of_all = found({})
        of_red = found({"x-skytrail-project": "default-domain:red"})

    assert {"default-domain:red:port", "default-domain:blue:port"} < of_all
    # The far node has no rows of its own: what it shows a tenant came narrowed.
    assert of_red == {"default-domain:red:port"}


def test_parts_are_no_way_round_what_a_tenant_may_ask(controller) -> None:
    part = {"now_us": time.time_ns() // 1000}
    own = query("SessionRecordTable", ["vmi"])
    hidden = query("MessageTable", ["Source"])

    def asked(what: str, body: dict[str, object]) -> httpx.Response:
        return controller.ask("red", "node", "POST", f"/api/v1/parts/{what}", body)

    # Nodes count whose turn it is where a tenant asks: a part would be one more.
    assert asked("query", {**part, "request": own}).status_code == 403
    assert asked("query", {**part, "request": hidden}).status_code == 403
    assert asked("values", {"kind": "tables"}).status_code == 403
    moment = {"tables": ["ObjectVRouter"], "keys": [], "parts": [], "at_us": 1}
    assert asked("moment", moment).status_code == 403


RED_PORT = [{"in_bytes": count, "mac_address": "02:00:00:00:00:01"} for count in (7, 9)]
"""As either host says it."""
SECRETS = ("blue", "reddish", "host1", "host2", "phish")
"""What no answer to a member of red may hold: names of others, and of hosts."""


def uves_of(controller, way, path):
    reply = controller.ask("red", way, "GET", path)
    assert reply.status_code == 200, reply.text
    assert not [each for each in SECRETS if each in reply.text], reply.text
    return reply.json()


@pytest.mark.parametrize("way", ["node", "api"])
@pytest.mark.parametrize(
    "asked",
    [
        "*", "*?flat", "default-domain:*", "default-domain:red*", "default-domain:red:*", "d*?kfilt=*",
        "*?kfilt=default-domain:blue:port,default-domain:red:port,default-domain:reddish:*",
        "*?cfilt=UveVMInterfaceAgent,UveVMInterfaceAgent:vrouter",
    ],
)  # fmt: skip
def test_only_own_ports_are_shown_whatever_is_asked(controller, way, asked) -> None:
    found = uves_of(controller, way, f"/analytics/uves/virtual-machine-interface/{asked}")["value"]

    (port,) = found
    assert port["name"] == "default-domain:red:port"
    assert port["value"]["UveVMInterfaceAgent"] in RED_PORT


@pytest.mark.parametrize("way", ["node", "api"])
@pytest.mark.parametrize(
    "path",
    [
        "virtual-machine-interface/default-domain:blue:port", "virtual-network/default-domain:blue:*",
        "virtual-machine-interface/default-domain:red:port?cfilt=UveVMInterfaceAgent:vrouter",
        "virtual-machine-interface/*?kfilt=default-domain:reddish:*", "virtual-machine/vm-blue",
        "virtual-network/default-domain:red:net?cfilt=UveVirtualNetworkAgent:virtualmachine_list",
        "virtual-network/default-domain:red:net?cfilt=ContrailConfig",
    ],
)  # fmt: skip
def test_what_is_of_others_or_hidden_is_not_there(controller, way, path) -> None:
    assert uves_of(controller, way, f"/analytics/uves/{path}") in ({}, {"value": []})


@pytest.mark.parametrize("way", ["node", "api"])
def test_own_networks_and_machines_are_shown_with_own_ports(controller, way) -> None:
    names = uves_of(controller, way, "/analytics/uves/virtual-networks")
    assert [each["name"] for each in names] == ["default-domain:red:net"]
    network = uves_of(controller, way, "/analytics/uves/virtual-network/default-domain:red:net")
    assert network == {"UveVirtualNetworkAgent": {"interface_list": ["default-domain:red:port"]}}
    machines = uves_of(controller, way, "/analytics/uves/virtual-machine/*")["value"]
    assert sorted(each["name"] for each in machines) == ["vm-both", "vm-red"]
    shared = uves_of(controller, way, "/analytics/uves/virtual-machine/vm-both")
    assert shared["UveVirtualMachineAgent"]["interface_list"] == ["default-domain:red:port2"]
    types = {each["name"] for each in uves_of(controller, way, "/analytics/uves")}
    assert types == {
        "virtual-networks", "virtual-machine-interfaces", "virtual-machines", "loadbalancers",
    }  # fmt: skip


@pytest.mark.parametrize("way", ["node", "api"])
def test_network_of_others_is_shown_by_its_name_and_own_ports_to_who_is_in_it(
    controller, way
) -> None:
    common, own = "default-domain:common:net", {"interface_list": ["default-domain:green:port"]}

    def asked(method, path, body=None):
        reply = controller.ask("green", way, method, path, body)
        assert reply.status_code == 200, reply.text
        return reply.json()

    listed = asked("GET", "/analytics/uves/virtual-networks")
    every = asked("GET", "/analytics/uves/virtual-network/*")["value"]
    body = query("SessionRecordTable", ["vmi", "vn", "remote_vn", "remote_prefix", "vrouter"])
    rows = asked("POST", "/analytics/query", body)["value"]

    assert [each["name"] for each in listed] == [common]
    assert every == [{"name": common, "value": {"UveVirtualNetworkAgent": own}}]
    assert asked("GET", f"/analytics/uves/virtual-network/{common}") == every[0]["value"]
    assert rows == [
        {
            "vmi": "default-domain:green:port", "vn": common, "remote_vn": common,
            "remote_prefix": "", "vrouter": "",
        }
    ]  # fmt: skip
    stream = Streamed(controller, "green", way, "uve-stream?tablefilt=virtual-network")
    wait_until(lambda: "synced" in stream.text, "everything is told")
    assert f'"key":"ObjectVNTable:{common}"' in stream.text
    assert not [each for each in ("common:port", "vm-common", "77") if each in stream.text]


@pytest.mark.parametrize("way", ["node", "api"])
def test_own_load_balancers_are_shown_without_their_hosts(controller, way) -> None:
    def asked(user, path):
        return controller.ask(user, way, "GET", f"/analytics/uves/loadbalancer/{path}").json()

    own = {"UveLoadbalancerStats": {"vip_address": "10.0.0.9", "bytes_in": 5}}
    assert asked("green", "*")["value"] == [{"name": "lb-green", "value": own}]
    assert asked("green", "lb-green") == own
    assert asked("red", "*") == {"value": []}
    assert asked("red", "lb-green") == {}


@pytest.mark.parametrize("way", ["node", "api"])
def test_alarms_of_own_ports_are_shown_and_no_rule_finds_out_where_they_are(
    controller, way
) -> None:
    def raised():
        found = uves_of(controller, way, "/analytics/alarms")
        return {
            (entity["name"], alarm["type"]): alarm
            for entity in found.get("virtual-machine-interface", [])
            for alarm in entity["value"]["UVEAlarms"]["alarms"]
        }

    port, system = "default-domain:red:port", "default-global-system-config:any"
    wait_until(lambda: len(raised()) == 2, "the alarms are raised")
    assert raised().keys() == {(port, system), (port, "default-domain:red:own")}
    assert {"parent", "children", "alarm_rules"}.isdisjoint(raised()[port, system])
    assert "alarm_rules" in raised()[port, "default-domain:red:own"]
    assert uves_of(controller, way, "/analytics/alarms?kfilt=default-domain:blue:port") == {}


@pytest.mark.parametrize("way", ["node", "api"])
def test_alarms_of_own_ports_are_acknowledged_by_who_may_change_these(controller, way) -> None:
    kind, rule = "virtual-machine-interface", "default-global-system-config:any"

    def alarm_of(user: str) -> dict[str, object]:
        listed = controller.ask(user, way, "GET", "/analytics/alarms").json().get(kind, [])
        return next(
            (
                alarm
                for entity in listed
                for alarm in entity["value"]["UVEAlarms"]["alarms"]
                if alarm["type"] == rule
            ),
            {},
        )

    def acknowledge(user: str, name: str, token: object, table: str = kind) -> httpx.Response:
        body = {"table": table, "name": name, "type": rule, "token": token}
        return controller.ask(user, way, "POST", "/analytics/alarms/acknowledge", body)

    wait_until(lambda: alarm_of("red") and alarm_of("blue"), "the alarms are raised")
    other = acknowledge("red", "default-domain:blue:port", alarm_of("blue")["token"])
    nobody = acknowledge("red", "default-domain:blue:none", "x")
    host = acknowledge("red", "host1", "x", table="vrouter")
    guest = acknowledge("guest", "default-domain:red:port", alarm_of("red")["token"])
    assert [each.status_code for each in (other, nobody, host, guest)] == [404, 404, 404, 403]
    # Whether there is such an alarm of others is not told.
    assert other.text.replace("blue:port", "") == nobody.text.replace("blue:none", "")
    was_seen = alarm_of("red")["ack"]

    done = acknowledge("red", "default-domain:red:port", alarm_of("red")["token"])

    assert done.status_code == 200, done.text
    assert alarm_of("red")["ack"] is True
    assert alarm_of("blue")["ack"] is False
    transport = httpx.HTTPTransport(uds=str(controller.data / "analytics.sock"))
    with httpx.Client(transport=transport, base_url="http://node", timeout=30.0) as operator:
        path = f"/analytics/uves/{kind}/default-domain:red:port?flat&cfilt=UVEAlarms"
        found = operator.get(path).json()["UVEAlarms"]["alarms"]
        (shown,) = [each for each in found if each["type"] == rule]
        assert (shown["ack_user"], shown["ack_project"]) == ("red", "default-domain:red")

        def logged() -> int:
            where = [[{"name": "Messagetype", "value": "AlarmAcknowledged", "op": 1}]]
            body = query("MessageTable", ["Xmlmessage"], where=where)
            told = operator.post("/analytics/query", json=body).json()["value"]
            return sum("default-domain:red" in str(each) for each in told)

        wait_until(lambda: logged() >= 1 + was_seen, "who it was is in the log")


@pytest.mark.parametrize("way", ["node", "api"])
def test_past_is_as_narrow_as_the_present(controller, way) -> None:
    def at(seconds_ago=0.0):
        return f"{datetime.fromtimestamp(time.time() - seconds_ago, UTC):%Y-%m-%dT%H:%M:%S.%f}"

    def then(path, sign="?"):
        return uves_of(controller, way, f"/analytics/{path}{sign}at={at()}")

    ports = "uves/virtual-machine-interface"
    wait_until(lambda: then(f"{ports}/*")["value"], "the ports are kept")
    wait_until(lambda: then("alarms"), "the alarms are kept")
    (port,) = then(f"{ports}/*")["value"]
    assert port["name"] == "default-domain:red:port"
    assert port["value"]["UveVMInterfaceAgent"] in RED_PORT
    assert then(f"{ports}/default-domain:blue:port") == {}
    assert then(f"{ports}/*?kfilt=default-domain:blue:*", "&") == {"value": []}
    assert then(f"{ports}/*?cfilt=UveVMInterfaceAgent:vrouter", "&") == {"value": []}
    assert [each["name"] for each in then("uves/virtual-networks")] == ["default-domain:red:net"]
    shared = then("uves/virtual-machine/vm-both")["UveVirtualMachineAgent"]
    assert shared["interface_list"] == ["default-domain:red:port2"]
    assert then("uves/virtual-machine/vm-red")["UveVirtualMachineAgent"]["vm_name"] == "machine-red"
    (entity,) = then("alarms")["virtual-machine-interface"]
    assert {each["type"] for each in entity["value"]["UVEAlarms"]["alarms"]} == {
        "default-global-system-config:any", "default-domain:red:own",
    }  # fmt: skip
    assert uves_of(controller, way, f"/analytics/{ports}/*?at={at(3600)}") == {"value": []}
    for closed, status in (("uves/vrouter/host1", 403), ("uves/virtual-machine/*", 400)):
        assert (
            controller.ask("red", way, "GET", f"/analytics/{closed}?at={at()}").status_code
            == status
        )


@pytest.mark.parametrize("way", ["node", "api"])
def test_rules_are_tried_over_own_ports_only(controller, way) -> None:
    def tried(**members):
        return controller.ask("red", way, "POST", "/api/v1/alarms/dry-run", members)

    def names(**members):
        reply = tried(**members)
        assert reply.status_code == 200, reply.text
        assert not [each for each in SECRETS if each in reply.text]
        return [each["name"] for each in reply.json()["alarms"]]

    everybody = "default-global-system-config:any"
    wait_until(lambda: names(name=everybody), "the ports are kept")
    found = tried(name=everybody).json()
    assert names(name=everybody) == ["default-domain:red:port"]
    assert found["entities_count"] == 1
    assert names(name=everybody, entity="default-domain:blue:*") == []
    assert names(name="default-domain:red:where") == []
    condition = {"operand1": "VrouterAgent", "operation": "!=", "operand2": {"json_value": "null"}}
    rule = {
        "alarm_severity": 1, "uve_keys": {"uve_key": ["vrouter"]},
        "alarm_rules": {"or_list": [{"and_list": [condition]}]},
    }  # fmt: skip
    assert tried(rule=rule).status_code == 400
    assert tried(name="default-domain:blue:phish").status_code == 404
    # Whose rule it says it is changes nothing of over what it is tried.
    rule["uve_keys"] = {"uve_key": ["virtual-machine-interface"]}
    rule["fq_name"] = ["default-domain", "other", "x"]
    condition["operand1"] = "UveVMInterfaceAgent"
    assert names(rule=rule) == ["default-domain:red:port"]


def test_alarm_soaks_and_is_kept_while_it_came_too_often_as_its_object_says(controller) -> None:
    def rule(times: str, seconds: str) -> dict[str, object]:
        given = {
            "active-timer-seconds": "2", "idle-timer-seconds": "0",
            "frequency-check-times": times, "frequency-check-seconds": seconds,
        }  # fmt: skip
        condition = {
            "operand1": "Flaps.bad", "operation": "==", "operand2": {"json_value": "true"}, "variables": [],
        }  # fmt: skip
        return {
            "fq_name": ["default-global-system-config", "flaps"], "parent_type": "global-system-config",
            "alarm_severity": 2, "uve_keys": {"uve_key": ["service-chain"]},
            "alarm_rules": {"or_list": [{"and_list": [condition]}]},
            "annotations": {
                "key_value_pair": [{"key": key, "value": each} for key, each in given.items()]
            },
        }  # fmt: skip

    numbers = iter(range(5_000_000, 5_000_100))

    def tell(*, is_bad: bool) -> float:
        uve = Uve(
            table="ServiceChain", key="flapping", struct="Flaps", sequence=next(numbers),
            fields={"bad": is_bad},
        )  # fmt: skip
        controller.hosts[0].sendall(encode(uve))
        return time.monotonic()

    transport = httpx.HTTPTransport(uds=str(controller.data / "analytics.sock"))
    with (
        ApiClient(unix_socket=str(controller.data / "api.sock")) as client,
        httpx.Client(transport=transport, base_url="http://node", timeout=30.0) as operator,
    ):

        def stands() -> bool:
            found = operator.get("/analytics/uves/service-chain/flapping?flat").json()
            return "UVEAlarms" in found

        with pytest.raises(ApiError, match="frequency-check-seconds"):
            client.call(Call("POST", "/alarms", body={"alarm": rule("1", "soon")}))
        client.call(Call("POST", "/alarms", body={"alarm": rule("1", "12")}))
        started = tell(is_bad=True)
        wait_until(stands, "the alarm is raised")
        assert time.monotonic() - started >= 2.0
        tell(is_bad=False)
        wait_until(lambda: not stands(), "the first alarm goes at once")
        tell(is_bad=True)
        wait_until(stands, "the alarm is raised again")
        tell(is_bad=False)
        span = {"name": "default-global-system-config:flaps", "last": "10m"}

        def kept() -> list[dict[str, object]]:
            return operator.post("/api/v1/alarms/dry-run", json=span).json()["alarms"]

        # It went up twice in twelve seconds: it stays until the first time is longer ago.
        wait_until(lambda: not stands(), "the second alarm goes at last")
        wait_until(lambda: len(kept()) == 2 and "cleared_us" in kept()[1], "what was is kept")
        first, second = kept()
        assert second["cleared_us"] - first["raised_us"] >= 11_000_000
        assert first["cleared_us"] - first["raised_us"] < 9_000_000


class Streamed:
    """A stream that a thread reads; ``text`` is what came."""

    def __init__(self, controller, user, way, path) -> None:
        base = f"https://127.0.0.1:{controller.node}/analytics/"
        if way == "api":
            base = f"https://127.0.0.1:{controller.api}/api/v1/analytics/"
        self._headers = {"x-auth-token": controller.tokens[user]}
        self._http = httpx.Client(verify=controller.http_trust, timeout=60.0)
        self._url = base + path
        self.status, self.text = 0, ""
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        # The node ends before its readers do.
        with (
            contextlib.suppress(httpx.RemoteProtocolError),
            self._http.stream("GET", self._url, headers=self._headers) as reply,
        ):
            self.status = reply.status_code
            for chunk in reply.iter_text():
                self.text += chunk


@pytest.mark.parametrize("way", ["node", "api"])
def test_stream_tells_of_own_ports_and_ends_with_the_rights(controller, way) -> None:
    stream = Streamed(controller, "eve", way, "uve-stream")
    told = '"key":"ObjectVMITable:default-domain:red:port"'
    wait_until(lambda: told in stream.text, "what there is comes")
    marks = {}
    for number, name in enumerate(("blue", "reddish", "red")):
        marks[name] = 1_000_000 + 1000 * len(way) + number
        fields = {"out_bytes": marks[name]}
        uve = Uve(
            table="ObjectVMITable", key=f"{DOMAIN}:{name}:port", struct="UveVMInterfaceAgent",
            sequence=marks[name], fields=fields,
        )  # fmt: skip
        controller.hosts[0].sendall(encode(uve))
    wait_until(lambda: str(marks["red"]) in stream.text, "a change comes")
    assert not [each for each in (*SECRETS, str(marks["blue"])) if each in stream.text]

    with ApiClient(unix_socket=str(controller.data / "api.sock")) as client:
        user = {"password": PASSWORD, "roles": ["guest"], "project": f"{DOMAIN}:red"}
        client.call(Call("PUT", "/api/v1/users/eve", body=user))
    wait_until(lambda: not stream.thread.is_alive(), "the stream ends")
    assert controller.ask("eve", way, "GET", "/analytics/alarms").status_code in {401, 403}
    with ApiClient(unix_socket=str(controller.data / "api.sock")) as client:
        user = {"password": PASSWORD, "roles": ["member"], "project": f"{DOMAIN}:red"}
        client.call(Call("PUT", "/api/v1/users/eve", body=user))
    controller.tokens["eve"] = controller.token("eve")


def test_stream_says_when_all_was_told_and_of_other_tables_what_alarms_stand(controller) -> None:
    path = "uve-stream?tablefilt=virtual-network&alarms=all"
    stream = Streamed(controller, "red", "node", path)

    wait_until(lambda: "event: synced" in stream.text, "everything was told")
    wait_until(lambda: '"type":"UVEAlarms"' in stream.text, "the port's alarms are told")
    assert '"key":"ObjectVNTable:default-domain:red:net"' in stream.text
    assert '"type":"UveVMInterfaceAgent"' not in stream.text
    assert not [each for each in SECRETS if each in stream.text]
    assert controller.ask("red", "node", "GET", "/analytics/uve-stream?alarms=x").status_code == 400


def test_so_many_streams_of_a_project_are_open_and_others_have_theirs(controller) -> None:
    statuses = []
    while 503 not in statuses and len(statuses) <= STREAMS_COUNT_MAX:
        last = Streamed(controller, "red", "node", "alarm-stream")
        wait_until(lambda: last.status, "it is answered")  # noqa: B023
        statuses.append(last.status)

    # Some may be open still that others opened before.
    assert STREAMS_COUNT_MAX - 4 <= statuses.count(200) <= STREAMS_COUNT_MAX
    assert statuses[-1] == 503
    other = Streamed(controller, "blue", "node", "alarm-stream")
    wait_until(lambda: "default-domain:blue:port" in other.text, "another project has its own")
    assert "default-domain:red" not in other.text


@pytest.mark.parametrize("way", ["node", "api"])
def test_tables_with_an_own_part_are_listed_and_described(controller, way) -> None:
    listed = {each["name"] for each in uves_of(controller, way, "/analytics/tables")}
    assert listed == {
        "SessionSeriesTable", "SessionRecordTable", "FlowSeriesTable", "FlowRecordTable", PORTS,
        "StatTable.UveVirtualNetworkAgent.vn_stats",
    }  # fmt: skip
    columns = uves_of(controller, way, f"/analytics/table/{PORTS}/schema")["columns"]
    assert "in_bytes" in {each["name"] for each in columns}


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["sessions", "--network", "red:net"], "default-domain:red:net"),
        (["stats", PORTS, "--select", "name,SUM(if_stats.in_bytes)"], "default-domain:red:port"),
        (["alarms"], "default-domain:red:port"),
        (["alarms", "--acknowledge", "virtual-machine-interface:default-domain:red:port"], "yes"),
        (["uve", "virtual-machine-interface"], "default-domain:red:port"),
        (["alarms", "dry-run", "any", "--since", "10m"], "default-domain:red:port"),
    ],
)
def test_member_asks_on_the_terminal(controller, words, shown, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    access = ["--token", controller.tokens["red"], "--ca", str(controller.data / "security/ca.pem")]
    place = ["--analytics", f"https://127.0.0.1:{controller.node}"]

    done = CliRunner().invoke(main, [*access, *words, *place])

    assert done.exit_code == 0, done.output
    assert shown in done.output
    assert not [each for each in SECRETS if each in done.output]


@pytest.mark.parametrize("words", [["sessions"], ["uve", "virtual-machine-interface"], ["alarms"]])
def test_who_logged_in_asks_by_way_of_the_api(controller, words, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("SKYTRAIL_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("SKYTRAIL_LAB_ROOT", str(tmp_path / "labs"))
    monkeypatch.setenv("COLUMNS", "400")
    (tmp_path / "password").write_text(PASSWORD)
    place = ["--api", f"https://127.0.0.1:{controller.api}"]
    place += ["--ca", str(controller.data / "security/ca.pem")]
    login = ["login", "red", "--password-file", str(tmp_path / "password"), *place]
    assert CliRunner().invoke(main, login).exit_code == 0

    done = CliRunner().invoke(main, words)

    assert done.exit_code == 0, done.output
    assert "default-domain:red:" in done.output
    assert not [each for each in SECRETS if each in done.output]
