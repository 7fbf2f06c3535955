"""The demo program's verdict."""

import secrets
import subprocess
import sys
from pathlib import Path

from skytrail.lab import labs


def demo(tmp_path, expectation):
    example = Path(__file__).parents[2] / "examples" / "two-tenants"
    name = f"stt{secrets.token_hex(3)}d"
    file = tmp_path / "topology.yaml"
    file.write_text(
        f"""
name: {name}
hosts: [compute1, compute2]
provision: {example / "provision.py"}
workloads:
  - {{name: web1, host: compute1, port: "default-domain:red:web1"}}
  - {{name: web2, host: compute2, port: "default-domain:red:web2"}}
expect:
  - {{from: web1, to: web2}}
  - {{from: web2, to: web1, {expectation}}}
"""
    )
    finished = subprocess.run(
        [sys.executable, "-m", "skytrail.lab.demo", "--topology", str(file)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert name not in labs.names(), "the demo takes its lab down"
    return finished


def test_demo_passes_when_every_cell_is_right(lab, tmp_path):
    finished = demo(tmp_path, "reply: true")

    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "demo passed" in finished.stdout
    assert "2 of 2 probes as expected" in finished.stdout
    for figure in ("plain veth pair", "kernel bridge+VXLAN", "first reply", "MPLS label"):
        assert figure in finished.stdout


def test_demo_fails_when_a_cell_is_wrong(lab, tmp_path):
    finished = demo(tmp_path, "reply: false")

    assert finished.returncode == 1
    assert "web2 -> web1 icmp: expected no reply, seen reply" in finished.stdout
