"""Hosts with certificates tell a real node of what a real API places on them, and of nothing else."""

from __future__ import annotations

import socket
import ssl
import time

import httpx
import pytest

from skytrail.lab.io.machine import free_port
from skytrail.runtime.certificates import Authority
from skytrail.testing.controller import Controller, wait_until
from skytrail.wire.telemetry import Hello, TelemetryFramer, Uve, encode
from skytrail.wire.telemetry.sessions import pack

PROJECT = ["default-domain", "red"]
NET = [*PROJECT, "net"]
FULL_NET = ":".join(NET)
MODULE = "contrail-vrouter-agent"


class Site:
    """An API, a store, a node that hears hosts with certificates, and two hosts."""

    def __init__(self, folder):
        self.folder, self.rest, self.telemetry = folder, free_port(), free_port()
        authority = Authority(folder / "authority")
        authority.issue_folder(folder / "node", "node1", hosts=["127.0.0.1"])
        for name in ("h1", "h2"):
            authority.issue_folder(folder / name, name, hosts=[name], is_client=True)
        self.controller = Controller(folder)
        self.controller.start_api()
        self.client = self.controller.client()
        start = self.controller.start
        start("history", "--data", folder / "kept", "--socket", folder / "history.sock")
        start(
            "analytics", "--name", "node1", "--port", self.rest, "--history", folder / "history.sock",
            "--telemetry-port", self.telemetry, "--tls", folder / "node", "--log-json",
            "--api-socket", self.controller.api_socket, "--log-level", "warning",
        )  # fmt: skip
        wait_until(self.is_well, "the node follows configuration")
        self.streams = {name: self._host(name) for name in ("h1", "h2")}
        self.client.create("project", {"fq_name": PROJECT, "parent_type": "domain"})
        self.client.create("virtual-network", {"fq_name": NET, "parent_type": "project"})

    def _host(self, name):
        context = ssl.create_default_context(cafile=self.folder / name / "ca.pem")
        context.load_cert_chain(
            self.folder / name / "certificate.pem", self.folder / name / "key.pem"
        )
        plain = socket.create_connection(("127.0.0.1", self.telemetry), 30.0)
        stream = context.wrap_socket(plain, server_hostname="127.0.0.1")
        hello = Hello(
            source=name, node_type="Compute", module=MODULE, instance_id="0", pid=5, started_us=1
        )
        stream.sendall(encode(hello))
        framer = TelemetryFramer()
        while framer.next_frame() is None:
            framer.feed(stream.recv(65536))
        return stream

    def port(self, name, host):
        bindings = {"key_value_pair": [{"key": "host_id", "value": host}]}
        return self.client.create(
            "virtual-machine-interface",
            {
                "fq_name": [*PROJECT, name],
                "parent_type": "project",
                "virtual_network_refs": [{"to": NET}],
                "virtual_machine_interface_bindings": bindings,
            },
        )

    def tell(self, host, *messages):
        self.streams[host].sendall(b"".join(map(encode, messages)))

    def tell_port(self, host, name):
        key = ":".join([*PROJECT, name])
        self.tell(
            host, Uve(table="ObjectVMITable", key=key, struct="S", sequence=1, fields={"by": host})
        )

    def tell_sessions(self, host, *pairs):
        now_us = time.time_ns() // 1000
        rows = [
            {"T": now_us, "vmi": ":".join([*PROJECT, vmi]), "vn": vn, "sample_weight": 1.0}
            for vmi, vn in pairs
        ]
        self.tell(host, pack(rows))

    def says(self, name):
        key = ":".join([*PROJECT, name])
        found = self._get(f"/analytics/uves/virtual-machine-interface/{key}?flat")
        return found.get("S", {}).get("by")

    def sessions(self):
        body = {
            "table": "SessionRecordTable", "start_time": "now-10m", "end_time": "now",
            "select_fields": ["vmi", "vn", "vrouter"],
        }  # fmt: skip
        reply = httpx.post(f"http://127.0.0.1:{self.rest}/analytics/query", json=body, timeout=30)
        rows = reply.json()["value"] if reply.status_code == 200 else []
        return sorted((each["vmi"].rpartition(":")[2], each["vrouter"]) for each in rows)

    def is_well(self):
        return httpx.get(f"http://127.0.0.1:{self.rest}/healthz", timeout=30).status_code == 200

    def _get(self, path):
        return httpx.get(f"http://127.0.0.1:{self.rest}{path}", timeout=30).json()

    def metric(self, name):
        text = httpx.get(f"http://127.0.0.1:{self.rest}/metrics").text
        lines = [line for line in text.splitlines() if line.startswith(name + " ")]
        return float(lines[0].rpartition(" ")[2]) if lines else 0.0

    def refusals(self):
        return {
            row["machine"]: row["by_reason"] for row in self._get("/introspect/refusals")["rows"]
        }

    def close(self):
        for stream in self.streams.values():
            stream.close()
        self.client.close()
        self.controller.stop()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    made = Site(tmp_path_factory.mktemp("trust"))
    yield made
    made.close()


def test_hosts_tell_of_what_configuration_places_on_them(site):
    site.port("web", "h1")
    site.tell_port("h1", "web")
    wait_until(lambda: site.says("web") == "h1", "the host tells of its port")

    site.tell_port("h2", "web")
    wait_until(lambda: site.refusals().get("h2") == {"placed_elsewhere": 1}, "the other is refused")
    assert site.says("web") == "h1"

    site.tell_sessions("h1", ("web", FULL_NET), ("web", "default-domain:blue:net"))
    site.tell_sessions("h2", ("web", FULL_NET))
    wait_until(lambda: site.sessions() == [("web", "h1")], "the host's own session is kept")
    assert site.refusals() == {"h1": {"not_its_network": 1}, "h2": {"placed_elsewhere": 2}}


def test_refusals_are_metrics_and_one_line_of_the_log_for_each_machine(site):
    site.port("lines", "h1")
    wait_until(lambda: site.says("lines") is None, "nobody tells of it")
    for _ in range(20):
        site.tell_port("h2", "lines")
    wait_until(
        lambda: site.metric('skytrail_analytics_dropped_total{reason="not_its_own"}') >= 20,
        "refusals are counted",
    )

    def lines():
        return (site.folder / "analytics.log").read_text().count('"machine": "h2"')

    wait_until(lambda: lines() == 1, "the log tells of the machine")


def test_sessions_of_a_port_that_was_deleted_before_they_came_are_kept(site):
    uuid = site.port("short", "h2")
    site.tell_port("h2", "short")
    wait_until(lambda: site.says("short") == "h2", "the placement is known")
    site.client.delete("virtual-machine-interface", uuid)
    # Changes are followed in order: whoever knows this port knows that the other is gone.
    site.port("after", "h2")
    site.tell_port("h2", "after")
    wait_until(lambda: site.says("after") == "h2", "configuration is followed")

    site.tell_sessions("h2", ("short", FULL_NET))

    wait_until(lambda: ("short", "h2") in site.sessions(), "the late session is kept")


def test_host_that_tells_before_it_is_placed_is_heard_when_it_is(site):
    site.tell_port("h2", "early")
    wait_until(lambda: site.metric("skytrail_analytics_uves_held") >= 1, "it waits")
    assert site.says("early") is None

    site.port("early", "h2")

    wait_until(lambda: site.says("early") == "h2", "it is shown once it is placed")
