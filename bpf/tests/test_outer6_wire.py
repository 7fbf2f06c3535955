"""Real packets over an IPv6 underlay: two hosts and a router, static rows, no control plane."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rig import Rig
from test_namespaces import loss_percent, megabits, offload

from skytrail.agent.tables import Encapsulation

every_tunnel = pytest.mark.parametrize(
    "encapsulation", [each for each in Encapsulation if each is not Encapsulation.NATIVE]
)


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """Workload 1 on host 1, 2 on host 2."""
    made = Rig(version=6)
    try:
        made.add_workload(made.hosts[0])
        made.add_workload(made.hosts[1])
        yield made
    finally:
        made.close()


def use(rig: Rig, encapsulation: Encapsulation) -> None:
    """Have both hosts send by this encapsulation."""
    rig.encapsulation = dict.fromkeys((1, 2), encapsulation)
    rig.program()


@every_tunnel
def test_both_families_cross_with_full_segments(rig: Rig, encapsulation: Encapsulation) -> None:
    use(rig, encapsulation)
    first, second = rig.workloads

    for address in (second.address4, second.address6):
        assert loss_percent(first, address) == 0
        assert loss_percent(first, address, "-s 1400", "-M do") == 0
    assert megabits(first, second, second.address4) > 20


@every_tunnel
def test_the_shortest_packets_cross(rig: Rig, encapsulation: Encapsulation) -> None:
    """Of IPv4, shorter than the IPv6 header around them (ADR 0365)."""
    use(rig, encapsulation)
    first, second = rig.workloads

    for address in (second.address4, second.address6):
        assert loss_percent(first, address, "-s 0") == 0


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
