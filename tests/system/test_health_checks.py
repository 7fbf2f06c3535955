"""Workloads that stop answering lose their routes by packet, and get them back."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager
from ipaddress import ip_network
from pathlib import Path

import pytest

from skytrail.client import ApiClient
from skytrail.lab import check
from skytrail.lab.io import netns
from skytrail.lab.io.traffic import PingTraffic
from skytrail.lab.reachability import Member
from skytrail.lab.service import Lab
from skytrail.net import IpAddress
from skytrail.runtime.introspection import read_table

from .test_service_chain import passed

PROJECT = ["default-domain", "red"]
FRONT = "default-domain:red:front:front"
CHAIN = Path(__file__).parents[2] / "examples" / "service-chain"
Row = Mapping[str, object]
Eventually = Callable[..., object]
Members = Mapping[str, Member]
LabOf = Callable[..., AbstractContextManager[Lab]]
FAST: Mapping[str, object] = {
    "enabled": True,
    "health_check_type": "link-local",
    "delay": 0,
    "delayUsecs": 200_000,
    "timeout": 0,
    "timeoutUsecs": 500_000,
    "max_retries": 2,
}
"""A dead workload is noticed within about a second."""


def address_of(members: Members, name: str, version: int = 4) -> IpAddress:
    found = members[name].address(version=version)
    assert found is not None
    return found


def create(api: ApiClient, name: str, **properties: object) -> str:
    body = {
        "fq_name": [*PROJECT, name],
        "parent_type": "project",
        "service_health_check_properties": {**FAST, **properties},
    }
    return api.create("service-health-check", body)


@contextlib.contextmanager
def attached(api: ApiClient, port: str, name: str, **properties: object) -> Generator[str]:
    """A health check of a port, for the time of the block."""
    uuid = create(api, name, **properties)
    reference = {"to": [*PROJECT, name], "uuid": uuid}
    api.update("virtual-machine-interface", port, {"service_health_check_refs": [reference]})
    try:
        yield uuid
    finally:
        api.update("virtual-machine-interface", port, {"service_health_check_refs": []})
        api.delete("service-health-check", uuid)


def pings_answered(namespace: str, *, are: bool) -> None:
    netns.set_sysctls(
        namespace,
        {
            "net/ipv4/icmp_echo_ignore_all": int(not are),
            "net/ipv6/icmp/echo_ignore_all": int(not are),
        },
    )


def states(lab: Lab, name: str) -> Mapping[str, Row]:
    host, port = lab.topology.endpoint(name).host, lab.attached(name).uuid
    rows = read_table(lab.paths.introspect_socket(host), "health")
    return {str(row["check"]).split(":")[-1]: row for row in rows if row["vmi_uuid"] == port}


def trouble_of(lab: Lab, port: str) -> str:
    """What the API's status of a port says that is not as it should be."""
    url = f"{lab.api_url}/api/v1/virtual-machine-interface/{port}/status"
    conditions = json.loads(urllib.request.urlopen(url, timeout=10).read())["conditions"]
    return " ".join(each["detail"] for each in conditions if each["status"] == "false")


def is_known(lab: Lab, host: str, address: object, vrf: str | None = FRONT) -> bool:
    """Whether a host has a route to exactly this address, of red's front network or any."""
    prefix = str(ip_network(str(address)))
    rows = read_table(lab.paths.introspect_socket(host), "routes")
    return any(row["prefix"] == prefix and row["vrf"] == (vrf or row["vrf"]) for row in rows)


@pytest.mark.parametrize("version", [4, 6])
def test_workload_that_does_not_answer_ping_is_not_led_to_until_it_does(
    lab: Lab, api: ApiClient, members: Members, eventually: Eventually, version: int
) -> None:
    port = lab.attached("red-web2").uuid
    address = address_of(members, "red-web2", version)
    own, other = lab.topology.endpoint("red-web2").host, lab.topology.endpoint("red-web1").host
    namespace = lab.plan.namespace_of("red-web2")
    with attached(api, port, f"ping{version}", monitor_type="PING", url_path=str(address)):
        eventually(
            lambda: states(lab, "red-web2").get(f"ping{version}", {}).get("passed"), "it answers"
        )
        assert is_known(lab, other, address), "a check attached to what works takes nothing away"
        try:
            pings_answered(namespace, are=False)
            for host in (own, other):
                eventually(lambda host=host: not is_known(lab, host, address), "no way there")
            eventually(
                lambda: "health check" in trouble_of(lab, port), "its status says why", timeout_s=30
            )
            assert "no answer to ping" in str(states(lab, "red-web2")[f"ping{version}"])
        finally:
            pings_answered(namespace, are=True)
        eventually(lambda: is_known(lab, other, address), "it is led to again")
        with PingTraffic(lab.plan.namespace_of("red-web1"), address) as traffic:
            assert traffic.wait_replies(5, timeout_s=30)


def test_restarted_agent_knows_who_had_failed_and_withdraws_nobody_else(
    lab: Lab, api: ApiClient, members: Members, eventually: Eventually
) -> None:
    well, ill = lab.attached("red-web1").uuid, lab.attached("red-web2").uuid
    host, other = (lab.topology.endpoint(each).host for each in ("red-web2", "red-web1"))
    address = address_of(members, "red-web2", 4)
    namespace = lab.plan.namespace_of("red-web2")
    with (
        attached(api, ill, "ill", monitor_type="PING"),
        attached(api, well, "well", monitor_type="PING"),
    ):
        try:
            pings_answered(namespace, are=False)
            eventually(lambda: not is_known(lab, other, address), "no way there")
            for each in (host, other):
                lab.restart(each)
            eventually(
                lambda: all(
                    read_table(lab.paths.introspect_socket(each), "status")[0]["complete"]
                    for each in (host, other)
                ),
                "all is learnt again",
                timeout_s=30,
            )
            assert not is_known(lab, other, address)
            assert states(lab, "red-web2")["ill"]["state"] == "down"
            row = states(lab, "red-web1")["well"]
            assert (row["state"], row["changes"]) == ("up", 0)
        finally:
            pings_answered(namespace, are=True)
        eventually(lambda: is_known(lab, other, address), "it is led to again")


_SERVE = """
import http.server, sys
class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(open(sys.argv[1]).read()) if self.path == "/ready" else 404)
        self.end_headers()
        self.wfile.write(b"ready")
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", 8080), Answer).serve_forever()
"""


def test_http_status_decides_and_a_closed_port_is_told(
    lab: Lab, api: ApiClient, members: Members, eventually: Eventually, tmp_path: Path
) -> None:
    port = lab.attached("red-web2").uuid
    address = address_of(members, "red-web2", 4)
    other = lab.topology.endpoint("red-web1").host
    code = tmp_path / "code"
    code.write_text("200")
    asked = {"monitor_type": "HTTP", "url_path": "http://local-ip:8080/ready"}
    command = ["python3", "-c", _SERVE, str(code)]
    with attached(api, port, "http", **asked, expected_codes="200,204"):
        eventually(
            lambda: "refuses" in str(states(lab, "red-web2").get("http", {}).get("detail")),
            "nobody listens",
        )
        eventually(lambda: not is_known(lab, other, address), "no way there")
        server = subprocess.Popen(netns.inside(lab.plan.namespace_of("red-web2"), command))
        try:
            eventually(lambda: is_known(lab, other, address), "it is led to")
            code.write_text("503")
            eventually(lambda: not is_known(lab, other, address), "no way there")
            assert states(lab, "red-web2")["http"]["detail"] == "HTTP status 503"
        finally:
            server.kill()
            server.wait()
    eventually(lambda: is_known(lab, other, address), "without a check it is led to")


@pytest.fixture(scope="module")
def chain(lab_of: LabOf) -> Iterator[Lab]:
    with lab_of(CHAIN, "sth") as created:
        yield created


@pytest.mark.root
def test_standby_takes_over_when_the_active_copy_stops_answering(
    chain: Lab, eventually: Eventually
) -> None:
    """The checks of the example are the service's: its ports get them by its sides."""
    command = [sys.executable, "-m", "skytrail.cli", "apply", "-f", str(CHAIN / "health.yaml")]
    environment = {**os.environ, "SKYTRAIL_API": chain.api_url}
    subprocess.run(command, check=True, env=environment, timeout=60)
    sides = [f"{copy}-{side}" for copy in ("fw1", "fw2") for side in ("left", "right")]
    eventually(
        lambda: all(any(row["proven"] for row in states(chain, side).values()) for side in sides),
        "all sides of both copies are asked and answer",
        timeout_s=30,
    )
    right = address_of(check.members(chain), "right")
    with PingTraffic(chain.plan.namespace_of("left"), right) as traffic:
        eventually(lambda: traffic.wait_replies(5, timeout_s=0.5), "right is reached")
        before = passed(chain, "fw2")
        began = time.monotonic()
        dead(chain, "fw1", are=True)
        assert traffic.wait_replies(20, timeout_s=30), "the stand-by takes over"
        print(
            f"fail-over: traffic is back {time.monotonic() - began - 0.2:.2f} s after, "
            "asked every second, three failures"
        )
        assert passed(chain, "fw2") - before >= 15

        dead(chain, "fw1", are=False)
        eventually(
            lambda: all(
                row["state"] == "up" for side in sides for row in states(chain, side).values()
            ),
            "it is well again",
            timeout_s=30,
        )
        before = passed(chain, "fw1")
        assert traffic.wait_replies(40, timeout_s=30)
        eventually(lambda: passed(chain, "fw1") - before >= 20, "the active copy is used again")


def dead(lab: Lab, copy: str, *, are: bool) -> None:
    """Let a copy pass and answer nothing, though its links stay up; or end that."""
    for side in ("left", "right"):
        namespace = lab.plan.namespace_of(f"{copy}-{side}")
        netns.set_sysctls(namespace, {"net/ipv4/ip_forward": int(not are)})
        pings_answered(namespace, are=not are)


@pytest.mark.root
def test_side_that_does_not_answer_takes_the_whole_copy_out_of_the_way(
    chain: Lab, eventually: Eventually
) -> None:
    """Only fw1-left is deaf; both sides of fw1 could still pass packets, and do not get any."""
    members = check.members(chain)
    namespace = chain.plan.namespace_of("fw1-left")
    ends = (("left", "right"), ("right", "left"))
    eventually(lambda: states(chain, "fw1-left"), "its checks are there")
    with contextlib.ExitStack() as stack:
        pings = [
            stack.enter_context(
                PingTraffic(chain.plan.namespace_of(one), address_of(members, other))
            )
            for one, other in ends
        ]
        stack.callback(pings_answered, namespace, are=True)
        pings_answered(namespace, are=False)

        def stand_by_passes_all() -> bool:
            before = passed(chain, "fw1"), passed(chain, "fw2")
            answered = all(ping.wait_replies(20, timeout_s=1) for ping in pings)
            after = passed(chain, "fw1"), passed(chain, "fw2")
            return answered and after[0] - before[0] < 5 and after[1] - before[1] >= 70

        eventually(stand_by_passes_all, "both directions take the stand-by")


@pytest.mark.root
def test_check_to_the_far_end_notices_a_copy_that_answers_but_passes_nothing(
    chain: Lab, eventually: Eventually
) -> None:
    """The only copy: what comes back from the far end takes the way through the active one."""
    far = address_of(check.members(chain), "right")
    for side in ("left", "right"):
        chain.unplug(chain.topology.endpoint(f"fw2-{side}"))
    with ApiClient(chain.api_url) as api:
        service = api.list("service-instance")[0]
        reference = {"to": service["fq_name"], "attr": {"interface_type": "left"}}
        body = {
            "fq_name": ["default-domain", "chain", "passes"],
            "parent_type": "project",
            "service_health_check_properties": {
                **FAST,
                "health_check_type": "end-to-end",
                "monitor_type": "PING",
                "url_path": str(far),
            },
            "service_instance_refs": [reference],
        }
        api.create("service-health-check", body)

    def row() -> Row:
        return states(chain, "fw1-left").get("passes", {"state": "", "proven": False})

    eventually(lambda: row()["state"] == "up" and row()["proven"], "it passes")
    assert row()["target"] == str(far)
    for side in ("left", "right"):
        namespace = chain.plan.namespace_of(f"fw1-{side}")
        netns.set_sysctls(namespace, {"net/ipv4/ip_forward": 0})
    eventually(lambda: row()["state"] == "down", "it passes nothing")
    assert not is_known(chain, "compute1", row()["source"], vrf=None), "nobody else is led there"
    for side in ("left", "right"):
        namespace = chain.plan.namespace_of(f"fw1-{side}")
        netns.set_sysctls(namespace, {"net/ipv4/ip_forward": 1})
    eventually(lambda: row()["state"] == "up", "it passes again")


@pytest.mark.root
def test_copy_that_passes_nothing_loses_its_share_to_the_other_one(
    lab_of: LabOf, eventually: Eventually
) -> None:
    """Copies on different hosts that share the load: each is asked through by itself."""
    with lab_of(CHAIN, "sth", topology="scaled.yaml") as lab, ApiClient(lab.api_url) as api:
        far = address_of(check.members(lab), "right")
        with PingTraffic(lab.plan.namespace_of("left"), far) as traffic:
            eventually(
                lambda: traffic.wait_replies(5, timeout_s=0.5), "right is reached", timeout_s=30
            )
        project = ["default-domain", "scaled"]
        (service,) = [
            each for each in api.list("service-instance") if each["fq_name"] == [*project, "probe"]
        ]
        body = {
            "fq_name": [*project, "passes"],
            "parent_type": "project",
            "service_health_check_properties": {
                **FAST,
                "health_check_type": "end-to-end",
                "monitor_type": "PING",
                "url_path": str(far),
            },
            "service_instance_refs": [
                {"to": service["fq_name"], "attr": {"interface_type": "left"}}
            ],
        }
        api.create("service-health-check", body)

        def row(copy: str) -> Row:
            nobody = {"state": "", "proven": False}
            return states(lab, f"{copy}-left").get("passes", nobody)

        for copy in ("probe1", "probe2"):
            eventually(
                lambda copy=copy: row(copy)["state"] == "up" and row(copy)["proven"],
                f"{copy} passes",
                timeout_s=30,
            )
        for side in ("left", "right"):
            namespace = lab.plan.namespace_of(f"probe1-{side}")
            netns.set_sysctls(namespace, {"net/ipv4/ip_forward": 0})
        eventually(lambda: row("probe1")["state"] == "down", "probe1 passes nothing")
        assert row("probe2")["state"] == "up"
        for _ in range(5):
            # Each is a flow of its own; about half of them would have passed probe1.
            with PingTraffic(lab.plan.namespace_of("left"), far) as traffic:
                assert traffic.wait_replies(3, timeout_s=30)
