"""A secured controller with tenants, what hosts tell of them, and how the tenants ask analytics."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path

import httpx

from skytrail.client import ApiClient
from skytrail.client.messages import Call
from skytrail.lab.io.machine import free_port
from skytrail.model.derived_uuid import derived_uuid
from skytrail.testing.controller import wait_until
from skytrail.wire.telemetry import Hello, Statistic, TelemetryFramer, Uve, encode
from skytrail.wire.telemetry.sessions import pack

DOMAIN = "default-domain"
PASSWORD = "a long password"  # noqa: S105 - of users of a controller that a test starts
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
        self.http_trust = trust
        self.http = httpx.Client(verify=trust, timeout=30.0)
        self._make_tenants()
        self._make_rules()
        self.hosts = [self._host("host1"), self._host("host2")]
        self._tell()
        self.tokens = {name: self.token(name) for name in ("red", "blue", "green", "guest", "eve")}

    def _make_tenants(self) -> None:
        rule = {"rule_object": "*", "rule_perms": [{"role_name": "member", "role_crud": "CRUD"}]}
        with ApiClient(unix_socket=str(self.data / "api.sock")) as client:
            entry = {
                "parent_type": "global-system-config",
                "fq_name": ["default-global-system-config", "m"],
                "api_access_list_entries": {"rbac_rule": [rule]},
            }
            client.call(Call("POST", "/api-access-lists", body={"api-access-list": entry}))
            for name in ("red", "blue", "green"):
                project = {"fq_name": [DOMAIN, name], "parent_type": "domain"}
                client.call(Call("POST", "/projects", body={"project": project}))
                user = {"password": PASSWORD, "roles": ["member"], "project": f"{DOMAIN}:{name}"}
                client.call(Call("PUT", f"/api/v1/users/{name}", body=user))
            for name, role in (("guest", "guest"), ("eve", "member")):
                user = {"password": PASSWORD, "roles": [role], "project": f"{DOMAIN}:red"}
                client.call(Call("PUT", f"/api/v1/users/{name}", body=user))

    def _make_rules(self) -> None:
        """Make a rule of everybody, one of red that asks where its port is, and one of blue that holds everywhere."""

        def rule(path: str, operation: str, value: str, kind: str) -> dict[str, object]:
            condition = {
                "operand1": path, "operation": operation, "operand2": {"json_value": value}, "variables": [],
            }  # fmt: skip
            return {
                "alarm_severity": 1, "uve_keys": {"uve_key": [kind]},
                "alarm_rules": {"or_list": [{"and_list": [condition]}]},
            }  # fmt: skip

        system = ["default-global-system-config"]
        ports, port = "virtual-machine-interface", "UveVMInterfaceAgent"
        made = {
            (*system, "any"): rule(f"{port}", "!=", "null", ports),
            (DOMAIN, "red", "where"): rule(f"{port}.vrouter", "!=", "null", ports),
            (DOMAIN, "red", "own"): rule(f"{port}.active", "==", "null", ports),
            (DOMAIN, "blue", "phish"): rule(f"{port}", "!=", "null", ports),
            (DOMAIN, "blue", "host"): rule("VrouterAgent", "!=", "null", "vrouter"),
        }
        with ApiClient(unix_socket=str(self.data / "api.sock")) as client:
            for name, fields in made.items():
                parent = "global-system-config" if len(name) == 2 else "project"
                body = {"alarm": {"fq_name": list(name), "parent_type": parent, **fields}}
                client.call(Call("POST", "/alarms", body=body))

    def _host(self, name: str) -> socket.socket:
        stream = socket.socket(socket.AF_UNIX)
        stream.connect(str(self.data / "telemetry.sock"))
        hello = Hello(
            source=name, node_type="Compute", module="agent", instance_id="0", pid=5, started_us=1
        )
        stream.sendall(encode(hello))
        framer = TelemetryFramer()
        while framer.next_frame() is None:
            framer.feed(stream.recv(65536))
        return stream

    def _tell(self) -> None:
        """Tell a session as both hosts see it, how much each port carried, and what is where."""
        rows, told = _sessions(), [*_ports_and_networks(), *_of_green(), *_machines()]
        one, other = self.hosts
        one.sendall(b"".join(map(encode, [pack(rows), *told])))
        # Another host says something else of the same port: both then stand beside their values.
        moved = Uve(
            table="ObjectVMITable", key=f"{DOMAIN}:red:port", struct="UveVMInterfaceAgent",
            fields={"mac_address": "02:00:00:00:00:01", "in_bytes": 9, "vrouter": "host2"},
        )  # fmt: skip
        other.sendall(encode(moved))
        with httpx.Client(
            transport=httpx.HTTPTransport(uds=str(self.data / "analytics.sock")), timeout=30.0
        ) as operator:

            def stored(table: str, field: str, count: int) -> bool:
                body = query(table, [field])
                reply = operator.post("http://node/analytics/query", json=body)
                return reply.status_code == 200 and len(reply.json()["value"]) == count

            wait_until(lambda: stored("SessionRecordTable", "vmi", 5), "the sessions are stored")
            wait_until(lambda: stored(PORTS, "name", 3), "the numbers are stored")

    def token(self, user: str) -> str:
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


def _sessions() -> list[dict[str, object]]:
    now_us = round(time.time() * 1e6)
    rows: list[dict[str, object]] = [
        {
            "T": now_us, "session_type": side, "vrouter": "host1", "vmi": f"{DOMAIN}:{own}:port",
            "vn": f"{DOMAIN}:{own}:net", "remote_vn": f"{DOMAIN}:{other}:net",
            "other_vrouter_ip": "192.0.2.9",
            "local_ip": "10.0.0.1", "remote_ip": "10.0.0.2", "server_port": 80, "protocol": 6,
            "sample_weight": 1.0, "forward_sampled_bytes": 100, "reverse_sampled_pkts": 1,
        }
        for own, other, side in (("red", "blue", "client"), ("blue", "red", "server"))
    ]  # fmt: skip
    # A name that begins like the project's is another project's.
    rows.append({**rows[0], "vmi": f"{DOMAIN}:reddish:port", "vn": f"{DOMAIN}:red:net"})
    common = {"vn": f"{DOMAIN}:common:net", "remote_vn": f"{DOMAIN}:common:net"}
    rows += [
        {**rows[0], **common, "vmi": f"{DOMAIN}:{name}:port", "remote_prefix": "10.0.0.0/24"}
        for name in ("green", "common")
    ]
    return rows


def _ports_and_networks() -> list[Uve]:
    told = [
        Uve(
            table="ObjectVMITable", key=f"{DOMAIN}:{name}:port", struct="UveVMInterfaceAgent",
            fields={"in_bytes": 7, "vrouter": "host1"},
            statistics=[Statistic(name="if_stats", gauges=["in_bytes"])],
        )
        for name in ("red", "blue", "reddish")
    ]  # fmt: skip
    told += [
        Uve(
            table="ObjectVNTable", key=f"{DOMAIN}:{name}:net", struct="UveVirtualNetworkAgent",
            fields={
                "interface_list": [f"{DOMAIN}:red:port", f"{DOMAIN}:blue:port"],
                "virtualmachine_list": ["vm-red", "vm-blue"],
            },
            rules={"interface_list": "union", "virtualmachine_list": "union"},
        )
        for name in ("red", "blue")
    ]  # fmt: skip
    return told


def _of_green() -> list[Uve]:
    """Return a port in a network of others, that network, and a load balancer."""
    copy = "load-balancer-lb-green-1"
    return [
        Uve(
            table="ObjectLBTable", key="lb-green", struct="UveLoadbalancerStats",
            fields={"vip_address": "10.0.0.9", "bytes_in": 5, "vrouter_list": ["host1"]},
        ),
        Uve(
            table="ObjectVMTable", key=derived_uuid("virtual-machine", (copy,)),
            struct="UveVirtualMachineAgent",
            fields={"vm_name": copy, "interface_list": [f"{DOMAIN}:green:{copy}"]},
        ),
        Uve(
            table="ObjectVMITable", key=f"{DOMAIN}:green:port", struct="UveVMInterfaceAgent",
            fields={"virtual_network": f"{DOMAIN}:common:net"},
        ),
        Uve(
            table="ObjectVNTable", key=f"{DOMAIN}:common:net", struct="UveVirtualNetworkAgent",
            fields={
                "interface_list": [f"{DOMAIN}:green:port", f"{DOMAIN}:common:port"],
                "in_bytes": 77, "virtualmachine_list": ["vm-common"],
            },
            rules={"interface_list": "union", "virtualmachine_list": "union"},
        ),
    ]  # fmt: skip


def _machines() -> list[Uve]:
    told = [
        Uve(
            table="ObjectVMTable", key=f"vm-{name}", struct="UveVirtualMachineAgent",
            fields={"vm_name": f"machine-{name}", "vrouter": "host1", "interface_list": ports},
            rules={"interface_list": "union"},
        )
        for name, ports in (
            ("red", [f"{DOMAIN}:red:port"]),
            ("blue", [f"{DOMAIN}:blue:port"]),
            ("both", [f"{DOMAIN}:red:port2", f"{DOMAIN}:blue:port2"]),
        )
    ]  # fmt: skip
    told.append(
        Uve(
            table="ObjectVRouter",
            key="host1",
            struct="VrouterAgent",
            fields={"res_limit": True},
        )
    )
    return told
