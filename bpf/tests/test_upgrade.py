"""Another agent takes over from one that is running: of the same tables, and of other ones."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from rig import Host, Rig, Workload, inside

from skytrail.agent import abi
from skytrail.agent.io.bpf_links import LinkTable
from skytrail.agent.io.ebpf import EbpfDatapath, adopted_size
from skytrail.agent.tables import InetRouteRow

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")

OTHER_PROCESS = """
import os, sys
from skytrail.agent.io.ebpf import EbpfDatapath
EbpfDatapath.open(sys.argv[1], sizes={"routes4": int(size) for size in sys.argv[2:]})
os._exit(9)
"""


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    made = Rig()
    try:
        for host in made.hosts:
            made.add_workload(host)
        made.program()
        yield made
    finally:
        made.close()


@contextmanager
def unbroken_ping(first: Workload, second: Workload) -> Iterator[None]:
    """A packet every 10 ms; all of them are answered."""
    command = f"nsenter --net=/run/netns/{first.namespace} ping -i0.01 -W1 {second.address4}"
    ping = subprocess.Popen(command.split(), stdout=subprocess.PIPE, text=True)
    text = ""
    try:
        yield
    finally:
        ping.send_signal(signal.SIGINT)
        text = ping.communicate(timeout=5)[0]
    sent, answered = re.search(r"(\d+) packets transmitted, (\d+) received", text).groups()
    # The last may still be under way when the signal comes.
    assert int(sent) - int(answered) <= 1, text
    assert int(answered) > 10


def programs_of(host: Host) -> set[int]:
    return {
        (host.datapath._base / "programs" / name).stat().st_ino for name in ("underlay_ingress",)
    }


def test_second_process_of_the_same_tables_swaps_the_programs_and_loses_no_packet(rig: Rig) -> None:
    host = rig.hosts[0]
    first, second = rig.workloads
    name = host.datapath._base.parent.name
    attached, before = host.datapath.attached(), programs_of(host)

    with unbroken_ping(first, second):
        # Nobody lets go first: the agent before was killed, or hangs.
        done = subprocess.run([sys.executable, "-c", OTHER_PROCESS, name], check=False)

    assert done.returncode == 9
    assert programs_of(host) != before
    assert host.datapath.attached() == attached


def test_another_size_of_a_table_loses_no_packet(rig: Rig) -> None:
    host = rig.hosts[0]
    name = host.datapath._base.parent.name
    rows = {row.key for row in host.datapath.dump(InetRouteRow)}

    with unbroken_ping(*rig.workloads):
        done = subprocess.run([sys.executable, "-c", OTHER_PROCESS, name, "4096"], check=False)

    assert done.returncode == 9
    assert adopted_size(host.datapath._base / "routes4") == 4096
    with inside(host.namespace):
        host.datapath.close()
        host.datapath = EbpfDatapath.open(name)
    assert {row.key for row in host.datapath.dump(InetRouteRow)} == rows


@pytest.mark.parametrize("version", [abi.ABI_VERSION + 1, abi.ABI_VERSION])
def test_other_tables_take_over_interface_by_interface_and_lose_no_packet(
    rig: Rig, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There, and back again."""
    host = rig.hosts[0]
    first, second = rig.workloads
    old = host.datapath._base
    carried = frozenset(host.datapath.attached())
    if old.name == f"v{version}":
        pytest.skip("the first part did not run")
    monkeypatch.setattr(abi, "ABI_VERSION", version)

    with unbroken_ping(first, second):
        host.datapath.close()
        fresh = EbpfDatapath.open(old.parent.name, flow_pairs_max=8192)
        host.datapath = fresh
        assert fresh.carried_before() == carried
        assert fresh.attached() == []
        fresh.apply(rig.rows(host), [])
        with inside(host.namespace):
            for ifindex in sorted(carried):
                fresh.attach(ifindex)
            assert fresh.carried_before() == frozenset()
            fresh.retire_before()

    assert fresh._base.name == f"v{version}"
    assert not old.exists()
    assert LinkTable(fresh._base).ifindexes() == sorted(carried)
