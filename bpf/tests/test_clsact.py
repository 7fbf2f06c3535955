"""Programs as clsact filters, forced: what kernels before 6.6 use, on whatever kernel this is."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator

import pytest
from rig import Rig, Workload, inside, run

from skytrail.agent.io.bpf_links import Hook
from skytrail.agent.io.ebpf import EbpfDatapath

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    made = Rig(hook=Hook.CLSACT)
    try:
        for host in made.hosts:
            made.add_workload(host)
        made.program()
        yield made
    finally:
        made.close()


def filters(rig: Rig, device: str = "under") -> str:
    return run(f"tc -n {rig.hosts[0].namespace} filter show dev {device} ingress")


def reaches(first: Workload, second: Workload) -> bool:
    text = first.run(f"ping -c3 -i0.05 -W1 {second.address4}", check=False)
    return " 0% packet loss" in text


def restarted(rig: Rig, hook: Hook) -> EbpfDatapath:
    host = rig.hosts[0]
    host.datapath.close()
    with inside(host.namespace):
        host.datapath = EbpfDatapath.open(host.datapath._base.parent.name, hook=hook)
    return host.datapath


def test_traffic_passes_filters_of_both_hosts(rig: Rig) -> None:
    first, second = rig.workloads

    assert reaches(first, second)
    assert "underlay_ingress" in filters(rig)
    assert "workload_ingress" in filters(rig, first.ifname)
    assert rig.hosts[0].datapath.attached() == sorted([rig.hosts[0].ifindex, first.ifindex])


def test_restarts_swap_the_filters_programs_without_loss(rig: Rig) -> None:
    first, second = rig.workloads
    command = f"nsenter --net=/run/netns/{first.namespace} ping -i0.01 -W1 {second.address4}"
    ping = subprocess.Popen(command.split(), stdout=subprocess.PIPE, text=True)
    before = filters(rig)

    for _ in range(2):
        restarted(rig, Hook.CLSACT)

    ping.send_signal(signal.SIGINT)
    assert " 0% packet loss" in ping.communicate(timeout=5)[0]
    assert filters(rig).count("direct-action") == 1
    assert filters(rig) != before


def test_filters_become_links_and_links_filters(rig: Rig) -> None:
    first, second = rig.workloads
    datapath = restarted(rig, Hook.AUTO)
    has_links = any((datapath._base / "links").iterdir())
    assert has_links == (not filters(rig))
    assert reaches(first, second)

    datapath = restarted(rig, Hook.CLSACT)

    assert "underlay_ingress" in filters(rig)
    assert not any((datapath._base / "links").iterdir())
    assert reaches(first, second)


def test_filters_of_others_stay(rig: Rig) -> None:
    first, host = rig.workloads[0], rig.hosts[0]
    program = host.datapath._base / "programs" / "underlay_ingress"
    with inside(host.namespace):
        run(
            f"tc filter add dev {first.ifname} ingress prio 7 protocol all bpf direct-action "
            f"object-pinned {program}"
        )

    with inside(host.namespace):
        host.datapath.detach(first.ifindex)

    assert "workload_ingress" not in filters(rig, first.ifname)
    assert "underlay_ingress" in filters(rig, first.ifname)
    assert first.ifindex not in host.datapath.attached()
    rig.program()


def test_filter_of_an_interface_that_is_gone_is_forgotten(rig: Rig) -> None:
    host = rig.hosts[0]
    workload = rig.add_workload(host)
    rig.program()
    run(f"ip -n {host.namespace} link del {workload.ifname}")
    host.workloads.remove(workload)
    rig.workloads.remove(workload)

    with inside(host.namespace):
        host.datapath._links.sweep()

    assert workload.ifindex not in host.datapath.attached()
