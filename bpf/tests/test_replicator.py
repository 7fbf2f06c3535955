"""Assisted replication (RFC 9574): leaves send one copy, the replicator's host makes the others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
from rig import VNI, Host, Rig, run, underlay_address
from test_flood import (
    FLOOD_LABEL,
    LAYER2_TUNNEL_BASE,
    TUNNELS,
    Ears,
    every_tunnel,
    flood_rows,
    program,
    say,
    udp_to,
)

from skytrail.agent.tables import (
    FLOOD_RELAYED,
    Encapsulation,
    FloodRow,
    InterfaceKind,
    InterfaceRow,
    NextHopId,
    NextHopKind,
    NextHopRow,
    Row,
)
from skytrail.net import BROADCAST_MAC, IpAddress

pytestmark = pytest.mark.root
REPLICATOR_TUNNEL = NextHopId(600)
GROUP_MAC = bytes.fromhex("01005e010203")
EXPERIMENT = 0x88B5


@pytest.fixture(scope="module", params=[4, 6])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    """Workloads 1, 2 on host 1, 3, 4 on host 2 (the replicator), 5 on host 3, 6 on host 4."""
    made = Rig(4, version=request.param)
    try:
        for host in (0, 0, 1, 1, 2, 3):
            made.add_workload(made.hosts[host])
        second = made.hosts[1]
        mac = made.mac(second.namespace, "under")
        at = f"lladdr {mac} dev h2 nud permanent"
        run(f"ip -n {made.router} neigh replace {replicator(made)} {at}")
        yield made
    finally:
        made.close()


def replicator(rig: Rig) -> IpAddress:
    """The second address of host 2."""
    return underlay_address(rig.version, 2, 250)


def assist(rig: Rig, *encapsulations: Encapsulation, leaves: tuple[int, ...] = (0, 2, 3)) -> None:
    """Host 2 copies for the hosts in ``leaves``; the others copy themselves."""
    program(rig, *encapsulations)
    for index, host in enumerate(rig.hosts):
        rows: list[Row] = []
        flood = next(row for row in flood_rows(rig, host) if isinstance(row, FloodRow))
        local = [member for member in flood.members if member[0] < LAYER2_TUNNEL_BASE]
        tunnels = [member for member in flood.members if member not in local]
        if host is rig.hosts[1]:
            rows.append(replace(interface(rig, host), replicator_address=replicator(rig)))
            tunnels = [(nexthop, label | FLOOD_RELAYED) for nexthop, label in tunnels]
        elif index in leaves:
            rows.append(to_replicator(rig, host))
            vxlan = rig.encapsulation[2] is Encapsulation.VXLAN
            tunnels = [(REPLICATOR_TUNNEL, (VNI if vxlan else FLOOD_LABEL) + 1)]
        host.datapath.apply([*rows, FloodRow(flood.vrf_id, (*local, *tunnels))], [])


def interface(rig: Rig, host: Host) -> InterfaceRow:
    return next(
        row
        for row in rig.rows(host)
        if isinstance(row, InterfaceRow) and row.kind is InterfaceKind.UNDERLAY
    )


def to_replicator(rig: Rig, host: Host) -> NextHopRow:
    return NextHopRow(
        nexthop_id=REPLICATOR_TUNNEL,
        kind=NextHopKind.TUNNEL,
        layer2=True,
        encapsulation=rig.encapsulation[2],
        local=host.address,
        remote=replicator(rig),
        out_ifindex=host.ifindex,
        out_source_mac=host.mac,
        out_destination_mac=host.neighbour_mac,
    )


def sent_by(rig: Rig, host: Host) -> int:
    lines = run(f"nsenter --net=/run/netns/{host.namespace} cat /proc/net/dev").splitlines()
    fields = next(line.split() for line in lines if line.strip().startswith("under:"))
    return int(fields[10])


@every_tunnel
@pytest.mark.parametrize("sender", range(6))
def test_everybody_gets_one_copy_whoever_sends(
    rig: Rig, encapsulation: Encapsulation, sender: int
) -> None:
    assist(rig, *(encapsulation,) * 4)
    token, mouth = os.urandom(12), rig.workloads[sender]
    with Ears(rig.workloads) as ears:
        frame = udp_to(mouth, "239.1.2.3", token, GROUP_MAC)
        say(mouth, frame)
        heard = ears.heard(token)

    assert heard == {n: [frame] for n in range(1, 7) if n != mouth.number}


def test_a_leaf_sends_one_copy_and_the_replicator_none_back(rig: Rig) -> None:
    assist(rig, *(Encapsulation.VXLAN,) * 4)
    growths: list[list[int]] = []
    for _ in range(3):
        before = [sent_by(rig, host) for host in rig.hosts]
        token, mouth = os.urandom(12), rig.workloads[0]
        with Ears(rig.workloads) as ears:
            say(mouth, udp_to(mouth, "239.1.2.3", token, GROUP_MAC))
            ears.heard(token)
        growths.append(
            [sent_by(rig, host) - was for host, was in zip(rig.hosts, before, strict=True)]
        )

    # The kernels of hosts send now and then too: what is sent every time is ours.
    growth = [min(each) for each in zip(*growths, strict=True)]
    assert growth == [1, 2, 0, 0]


def test_who_copies_itself_is_delivered_and_not_copied_again(rig: Rig) -> None:
    """A regular NVE (RNVE) sends to everybody's own address, the replicator's host's too."""
    assist(rig, *(Encapsulation.VXLAN,) * 4, leaves=(0, 2))
    token, mouth = os.urandom(12), rig.workloads[5]
    with Ears(rig.workloads) as ears:
        frame = udp_to(mouth, "255.255.255.255", token, BROADCAST_MAC.packed)
        say(mouth, frame)
        heard = ears.heard(token)

    assert heard == {n: [frame] for n in range(1, 6)}


def test_leaves_of_different_encapsulations_share_a_replicator(rig: Rig) -> None:
    kinds = (Encapsulation.VXLAN, Encapsulation.MPLS_UDP, Encapsulation.MPLS_GRE)
    assist(rig, *kinds, Encapsulation.VXLAN)
    for sender in (0, 4, 5):
        token, mouth = os.urandom(50), rig.workloads[sender]
        with Ears(rig.workloads) as ears:
            from_mac = mouth.mac.packed
            frame = BROADCAST_MAC.packed + from_mac + EXPERIMENT.to_bytes(2, "big") + token
            say(mouth, frame)
            heard = ears.heard(token)
        assert heard == {n: [frame] for n in range(1, 7) if n != mouth.number}


def test_a_stranger_s_frame_is_copied_to_nobody(rig: Rig) -> None:
    """Whoever is no member of the network gets nothing copied: here host 3, cut out of it."""
    assist(rig, *(TUNNELS[0],) * 4)
    second = rig.hosts[1]
    flood = next(row for row in second.datapath.dump(FloodRow) if row.vrf_id == 1)
    known = [m for m in flood.members if m[0] != LAYER2_TUNNEL_BASE + 3]
    second.datapath.apply([FloodRow(flood.vrf_id, tuple(known))], [])
    before = second.datapath.drop_counts().get("FLOOD_SOURCE", 0)
    token, mouth = os.urandom(12), rig.workloads[4]
    with Ears(rig.workloads) as ears:
        say(mouth, udp_to(mouth, "239.1.2.3", token, GROUP_MAC))
        assert ears.heard(token) == {}

    assert second.datapath.drop_counts()["FLOOD_SOURCE"] == before + 1


def test_nothing_is_copied_for_an_address_that_replicates_no_more(rig: Rig) -> None:
    assist(rig, *(Encapsulation.VXLAN,) * 4)
    second = rig.hosts[1]
    second.datapath.apply([interface(rig, second)], [])
    token, mouth = os.urandom(12), rig.workloads[4]
    with Ears(rig.workloads) as ears:
        say(mouth, udp_to(mouth, "239.1.2.3", token, GROUP_MAC))
        assert ears.heard(token) == {}
