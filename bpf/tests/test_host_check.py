"""``skytrail host check`` on this machine's kernel, in a namespace whose underlay has faults."""

import json
import secrets
import shlex
import subprocess
import sys

import pytest

from skytrail.agent.io.bpf_links import OWN_HANDLE

pytestmark = pytest.mark.root

FILTER = "filter add dev eth1 ingress prio {} handle {} bpf bytecode '1,6 0 0 0'"
OWN, OTHER = FILTER.format(1, hex(OWN_HANDLE)), FILTER.format(3, 1)


@pytest.fixture
def namespace():
    name = f"check-{secrets.token_hex(4)}"
    commands = (
        "link set lo up",
        "link add eth1 type veth peer name eth2",
        "address add 192.0.2.21/24 dev eth1",
        "link set eth1 mtu 1500 up",
        "link set eth2 up",
        "link add vxlan0 type vxlan id 5 dstport 4789 local 192.0.2.21",
        "link set vxlan0 up",
    )
    subprocess.run(["ip", "netns", "add", name], check=True)
    try:
        for command in commands:
            subprocess.run(["ip", "-n", name, *command.split()], check=True)
        for command in ("qdisc add dev eth1 clsact", OWN, OTHER):
            subprocess.run(["tc", "-n", name, *shlex.split(command)], check=True)
        yield name
    finally:
        subprocess.run(["ip", "netns", "delete", name], check=True)


def test_the_report_finds_this_kernel_fit_and_names_what_is_wrong_with_the_underlay(namespace):
    command = (
        f"ip netns exec {namespace} {sys.executable} -m skytrail.cli host check --json"
        " --settings /nonexistent --underlay eth1 --address 192.0.2.21 --control 127.0.0.1:1 --mtu 1452"
    )

    done = subprocess.run(command.split(), capture_output=True, text=True, check=False)

    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert report["fit"] is False
    rows = report["checks"]
    states = {row["check"]: row["state"] for row in rows}
    kernel = ("kernel", "rights", "BTF", "hook", "BPF maps and helpers", "programs")
    assert {states[each] for each in kernel} == {"ok"}
    assert (states["underlay"], states["address"]) == ("ok", "ok")
    failed = {row["check"]: row for row in rows if row["state"] == "failed"}
    assert failed.keys() == {"MTU, VXLAN", "control node"}
    assert "ip link set eth1 mtu 1502" in failed["MTU, VXLAN"]["what to do"]
    assert "refused" in failed["control node"]["found"]
    warned = {row["check"]: row["found"] for row in rows if row["state"] == "warning"}
    assert "4789" in warned["tunnel ports"]
    of_others = "of others, at ingress: filter of classic BPF"
    assert warned["programs on the underlay"] == of_others
    assert all(row["what to do"] for row in rows if row["state"] != "ok")
