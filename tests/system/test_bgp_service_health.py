"""A workload that runs BIRD loses what it announced as soon as its BFD session with the gateway ends."""

import signal
import subprocess
from ipaddress import ip_address

import pytest

from skytrail.lab.io import netns
from skytrail.lab.io.traffic import PingTraffic
from skytrail.runtime.introspection import read_table

from .test_bgp_as_a_service import BEHIND, PREFIX, content_of

PROJECT = ["default-domain", "red"]
HOLD_S = 240
"""Without BFD nobody would notice before."""
CONFIG = """
router id {address};
protocol device {{}}
protocol bfd {{ interface "eth0" {{ interval 100 ms; idle tx interval 300 ms; multiplier 3; }}; }}
protocol static {{ ipv4; route {prefix} blackhole; }}
template bgp control {{
  local {address} as 65001;
  connect delay time 1;
  error wait time 1, 2;
  hold time {hold_s};
  bfd on;
  ipv4 {{ import all; export where proto = "static1"; }};
}}
protocol bgp one from control {{ neighbor {gateway} as 64512; }}
protocol bgp two from control {{ neighbor {service} as 64512; }}
"""


class Bird:
    """BIRD in a workload's namespace; it may be stopped in its tracks and go on."""

    def __init__(self, folder, namespace, address):
        network = str(address).rpartition(".")[0]
        place, self.control = folder / "bird.conf", folder / "bird.ctl"
        place.write_text(
            CONFIG.format(
                address=address,
                gateway=f"{network}.1",
                service=f"{network}.2",
                prefix=PREFIX,
                hold_s=HOLD_S,
            )
        )
        command = ["/usr/sbin/bird", "-f", "-c", str(place), "-s", str(self.control)]
        with (folder / "bird.log").open("ab") as log:
            self.process = subprocess.Popen(
                netns.inside(namespace, command), stdout=log, stderr=log
            )

    def show(self, what):
        done = subprocess.run(
            ["/usr/sbin/birdc", "-s", str(self.control), "show", what],
            capture_output=True, text=True, check=False, timeout=20,
        )  # fmt: skip
        return done.stdout

    def close(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
def speaker(lab, members, tmp_path):
    """BIRD in red-web2, which also has an address of what it announces."""
    namespace = lab.plan.namespace_of("red-web2")
    netns.configure(namespace, [f"address add {BEHIND}/32 dev lo", "link set lo up"])
    made = Bird(tmp_path, namespace, members["red-web2"].address(version=4))
    yield made
    made.close()
    netns.configure(namespace, [f"address del {BEHIND}/32 dev lo"])


@pytest.fixture
def service(api, lab):
    check = api.create(
        "service-health-check",
        {
            "fq_name": [*PROJECT, "bfd"],
            "parent_type": "project",
            "service_health_check_properties": {
                "enabled": True,
                "health_check_type": "link-local",
                "monitor_type": "BFD",
                "delay": 0,
                "delayUsecs": 200_000,
                "timeout": 0,
                "timeoutUsecs": 200_000,
                "max_retries": 3,
            },
        },
    )
    reference = {"to": [*PROJECT, "bfd"], "uuid": check}
    content = content_of(api, lab, "red-web2", service_health_check_refs=[reference])
    uuid = api.create("bgp-as-a-service", content)
    yield uuid
    api.delete("bgp-as-a-service", uuid)
    api.delete("service-health-check", check)


def test_frozen_speaker_loses_its_routes_by_bfd_and_gets_them_back(
    lab, members, speaker, service, eventually
):
    host, port = lab.topology.endpoint("red-web2").host, lab.attached("red-web2").uuid

    def check():
        rows = read_table(lab.paths.introspect_socket(host), "health")
        mine = (row for row in rows if (row["vmi_uuid"], row["source"][-2:]) == (port, ".1"))
        return next(mine, {"state": "", "proven": False})

    eventually(lambda: check()["state"] == "up" and check()["proven"], "BFD is up")
    own = str(members["red-web2"].address(version=4))
    assert check()["source"] == own.rpartition(".")[0] + ".1", "the gateway, BGP's neighbour"
    eventually(
        lambda: speaker.show("bfd sessions").count("Up") == 2,
        "for the workload too, and with its second neighbour",
        timeout_s=30,
    )
    with PingTraffic(lab.plan.namespace_of("red-web1"), ip_address(BEHIND)) as traffic:
        assert traffic.wait_replies(10, timeout_s=30), "another host reaches the prefix"

        speaker.process.send_signal(signal.SIGSTOP)
        eventually(
            lambda: not traffic.wait_replies(5, timeout_s=0.3),
            "the prefix is gone long before the hold time",
        )
        assert "BFD session lost" in check()["detail"]

        speaker.process.send_signal(signal.SIGCONT)
        assert traffic.wait_replies(10, timeout_s=30), "and back"
