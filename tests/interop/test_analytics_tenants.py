"""Two tenants of a secured controller ask analytics: each sees his own, through the node and through the API."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from skytrail.client import ApiClient
from skytrail.client.messages import Call
from skytrail.lab.io.machine import free_port
from skytrail.testing.controller import wait_until
from skytrail.wire.telemetry import Hello, Statistic, TelemetryFramer, Uve, encode
from skytrail.wire.telemetry.sessions import pack

DOMAIN = "default-domain"
PASSWORD = "a long password"
PORTS = "StatTable.UveVMInterfaceAgent.if_stats"


class Controller:
    """``skytrail up --secure`` with projects red and blue, a member of each, and a session between their ports."""

    def __init__(self, folder: Path) -> None:
        self.data = folder / "data"
        self.api, self.node = free_port(), free_port()
        command = [
            sys.executable,
            "-m",
            "skytrail.daemons.up",
            "--data",
            str(self.data),
            "--secure",
        ]
        command += ["--api-port", str(self.api), "--control-port", str(free_port())]
        command += ["--analytics-port", str(self.node)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert " ready" in self.process.stdout.readline()
        trust = ssl.create_default_context(cafile=self.data / "security/ca.pem")
        self.http = httpx.Client(verify=trust, timeout=30.0)
        self._make_tenants()
        self._tell()
        self.tokens = {name: self._token(name) for name in ("red", "blue", "guest")}

    def _make_tenants(self) -> None:
        rule = {"rule_object": "*", "rule_perms": [{"role_name": "member", "role_crud": "CRUD"}]}
        with ApiClient(unix_socket=str(self.data / "api.sock")) as client:
            entry = {
                "parent_type": "global-system-config",
                "fq_name": ["default-global-system-config", "m"],
            }
            entry["api_access_list_entries"] = {"rbac_rule": [rule]}
            client.call(Call("POST", "/api-access-lists", body={"api-access-list": entry}))
            for name in ("red", "blue"):
                project = {"fq_name": [DOMAIN, name], "parent_type": "domain"}
                client.call(Call("POST", "/projects", body={"project": project}))
                user = {"password": PASSWORD, "roles": ["member"], "project": f"{DOMAIN}:{name}"}
                client.call(Call("PUT", f"/api/v1/users/{name}", body=user))
            user = {"password": PASSWORD, "roles": ["guest"], "project": f"{DOMAIN}:red"}
            client.call(Call("PUT", "/api/v1/users/guest", body=user))

    def _tell(self) -> None:
        """Tell a session as both hosts see it, and how much each port carried."""
        now_us = round(time.time() * 1e6)
        rows = [
            {
                "T": now_us, "session_type": side, "vrouter": "host1", "vmi": f"{DOMAIN}:{own}:port",
                "vn": f"{DOMAIN}:{own}:net", "remote_vn": f"{DOMAIN}:{other}:net",
                "other_vrouter_ip": "192.0.2.9",
                "local_ip": "10.0.0.1", "remote_ip": "10.0.0.2", "server_port": 80, "protocol": 6,
                "sample_weight": 1.0, "forward_sampled_bytes": 100,
            }
            for own, other, side in (("red", "blue", "client"), ("blue", "red", "server"))
        ]  # fmt: skip
        # A name that begins like the project's is another project's.
        rows.append({**rows[0], "vmi": f"{DOMAIN}:reddish:port", "vn": f"{DOMAIN}:red:net"})
        told = [
            Uve(
                table="ObjectVMITable", key=f"{DOMAIN}:{name}:port", struct="UveVMInterfaceAgent",
                fields={"in_bytes": 7}, statistics=[Statistic(name="if_stats", gauges=["in_bytes"])],
            )
            for name in ("red", "blue", "reddish")
        ]  # fmt: skip
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(str(self.data / "telemetry.sock"))
            hello = Hello(
                source="host1", node_type="Compute", module="agent", instance_id="0", pid=5, started_us=1
            )  # fmt: skip
            stream.sendall(encode(hello))
            framer = TelemetryFramer()
            while framer.next_frame() is None:
                framer.feed(stream.recv(65536))
            stream.sendall(b"".join(map(encode, [pack(rows), *told])))
            with httpx.Client(
                transport=httpx.HTTPTransport(uds=str(self.data / "analytics.sock")), timeout=30.0
            ) as operator:

                def stored(table: str, field: str, count: int) -> bool:
                    body = query(table, [field])
                    reply = operator.post("http://node/analytics/query", json=body)
                    return reply.status_code == 200 and len(reply.json()["value"]) == count

                wait_until(
                    lambda: stored("SessionRecordTable", "vmi", 3), "the sessions are stored"
                )
                wait_until(lambda: stored(PORTS, "name", 3), "the numbers are stored")

    def _token(self, user: str) -> str:
        body = {"user": user, "password": PASSWORD}
        reply = self.http.post(f"https://127.0.0.1:{self.api}/api/v1/login", json=body)
        assert reply.status_code == 200, reply.text
        return reply.json()["token"]

    def ask(
        self, user: str, way: str, method: str, path: str, body: object = None
    ) -> httpx.Response:
        """Ask the node itself or by way of the API; ``path`` is as the node has it."""
        base = f"https://127.0.0.1:{self.node}"
        if way == "api":
            path = path.removeprefix("/analytics/").removeprefix("/api/v1/")
            base = f"https://127.0.0.1:{self.api}/api/v1/analytics/"
        headers = {"x-auth-token": self.tokens[user]}
        return self.http.request(method, base + path, json=body, headers=headers)


def query(table: str, fields: list[str], **members: object) -> dict[str, object]:
    span = {"start_time": "now-10m", "end_time": "now"}
    return {"table": table, "select_fields": fields, **span, **members}


@pytest.fixture(scope="module")
def controller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Controller]:
    running = Controller(tmp_path_factory.mktemp("tenants"))
    yield running
    running.http.close()
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
        "/api/v1/logs", "/api/v1/introspect/routes", "/analytics/uves/vrouter/*", "/analytics/alarms",
        "/analytics/uve-stream", "/analytics/tables", "/analytics/table/SessionRecordTable/column-values/vn",
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
