"""Real packets over an IPv6 underlay: two hosts and a router, static rows, no control plane."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv6Address

import pytest
from rig import TUNNEL_NEXTHOP_BASE, Rig, run
from test_namespaces import loss_percent, megabits, offload

from skytrail.agent.tables import Encapsulation, InterfaceKind, InterfaceRow, NextHopRow, Row

every_tunnel = pytest.mark.parametrize(
    "encapsulation", [each for each in Encapsulation if each is not Encapsulation.NATIVE]
)


def address6(number: int) -> IPv6Address:
    return IPv6Address(f"fd00:200:{number}::1")


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """Workload 1 on host 1, 2 on host 2."""
    made = Rig()
    try:
        made.add_workload(made.hosts[0])
        made.add_workload(made.hosts[1])
        run(f"nsenter --net=/run/netns/{made.router} sysctl -qw net.ipv6.conf.all.forwarding=1")
        for host in made.hosts:
            gateway, link = f"fd00:200:{host.number}::fe", f"h{host.number}"
            run(f"ip -n {made.router} addr add {gateway}/64 dev {link} nodad")
            run(f"ip -n {host.namespace} addr add {address6(host.number)}/64 dev under nodad")
            run(f"ip -n {host.namespace} -6 route add default via {gateway}")
        yield made
    finally:
        made.close()


def use(rig: Rig, encapsulation: Encapsulation) -> None:
    """Have both hosts send by this encapsulation, over IPv6, and know no tunnels over IPv4."""
    rig.encapsulation = dict.fromkeys((1, 2), encapsulation)
    rig.program()
    for host in rig.hosts:
        rows: list[Row] = []
        for row in rig.rows(host):
            if isinstance(row, InterfaceRow) and row.kind is InterfaceKind.UNDERLAY:
                own = address6(host.number)
                rows.append(replace(row, tunnel_address=None, tunnel_address6=own))
            if isinstance(row, NextHopRow) and row.remote is not None:
                far = address6(row.nexthop_id - TUNNEL_NEXTHOP_BASE)
                rows.append(replace(row, local=address6(host.number), remote=far))
        host.datapath.apply(rows, [])


@every_tunnel
def test_both_families_cross_with_full_segments(rig: Rig, encapsulation: Encapsulation) -> None:
    use(rig, encapsulation)
    first, second = rig.workloads

    for address in (second.address4, second.address6):
        assert loss_percent(first, address) == 0
        assert loss_percent(first, address, "-s 1400", "-M do") == 0
    assert megabits(first, second, second.address4) > 20


@every_tunnel
def test_segments_made_on_the_underlay_are_whole(rig: Rig, encapsulation: Encapsulation) -> None:
    """Without offloads the kernel must segment the tunnelled packets itself, and the receiver
    verifies every checksum."""
    use(rig, encapsulation)
    first, second = rig.workloads
    devices = [(host.namespace, "under") for host in rig.hosts]
    devices += [(rig.router, f"h{host.number}") for host in rig.hosts]
    try:
        for device in devices:
            offload(*device, "off")
        assert megabits(first, second, second.address4) > 5
        assert megabits(first, second, second.address6) > 5
    finally:
        for device in devices:
            offload(*device, "on")
