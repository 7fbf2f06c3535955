"""A project whose name another one had before: what is kept of that one is not its own."""

from __future__ import annotations

import time

import httpx

from skytrail.client import ApiClient
from skytrail.client.messages import Call
from skytrail.testing.controller import wait_until
from skytrail.wire.telemetry import encode
from skytrail.wire.telemetry.sessions import pack

from .test_analytics_tenants import DOMAIN, PASSWORD, controller, query

__all__ = ["controller"]


def test_a_project_is_told_nothing_of_one_that_had_its_name_before(controller) -> None:
    """What is kept of a project is kept by its name, for days after it is gone."""
    name = f"{DOMAIN}:reborn"

    def tell() -> None:
        row = {
            "T": round(time.time() * 1e6), "session_type": "client", "vrouter": "host1", "vmi": f"{name}:port",
            "vn": f"{name}:net", "remote_vn": f"{name}:net", "local_ip": "10.0.0.1", "remote_ip": "10.0.0.7",
            "server_port": 80, "protocol": 6, "sample_weight": 1.0, "forward_sampled_bytes": 100,
        }  # fmt: skip
        controller.hosts[0].sendall(encode(pack([row])))

    def seen(tenant: str, count: int) -> bool:
        headers = {"x-skytrail-project": tenant, "x-skytrail-project-since": "0"}
        body = query("SessionRecordTable", ["vmi"])
        with httpx.Client(
            transport=httpx.HTTPTransport(uds=str(controller.data / "analytics.sock"))
        ) as node:
            reply = node.post("http://node/analytics/query", json=body, headers=headers)
        return reply.status_code == 200 and len(reply.json()["value"]) == count

    tell()
    wait_until(lambda: seen(name, 1), "the session of the former project is stored")
    with ApiClient(unix_socket=str(controller.data / "api.sock")) as client:
        project = {"fq_name": name.split(":"), "parent_type": "domain"}
        client.call(Call("POST", "/projects", body={"project": project}))
        user = {"password": PASSWORD, "roles": ["member"], "project": name}
        client.call(Call("PUT", "/api/v1/users/reborn", body=user))
    controller.tokens["reborn"] = controller.token("reborn")

    def own(way: str, path: str, body: object = None) -> int:
        reply = controller.ask("reborn", way, "POST" if body else "GET", path, body)
        assert reply.status_code == 200, reply.text
        return len(reply.json()["value" if body else "rows"])

    sessions = ("/analytics/query", query("SessionRecordTable", ["vmi"]))
    ways = [(way, *asked) for way in ("node", "api") for asked in (sessions, ("/api/v1/flows",))]
    assert [own(*way) for way in ways] == [0, 0, 0, 0]

    tell()
    wait_until(lambda: seen(name, 2), "a session of the new project is stored")
    assert [own(*way) for way in ways] == [1, 1, 1, 1]


def test_when_a_project_began_is_a_time(controller) -> None:
    headers = {"x-skytrail-project": f"{DOMAIN}:red", "x-skytrail-project-since": "-1"}
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(controller.data / "analytics.sock"))
    ) as node:
        assert node.get("http://node/analytics/alarms", headers=headers).status_code == 400
