"""What is sent to a multicast group reaches who listens to it, and reports reach the agent."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address

import frames
import pytest
from rig import Rig
from test_flood import (
    GROUPS,
    LAYER2_NEXTHOP_BASE,
    Ears,
    every_tunnel,
    flood_rows,
    program,
    say,
    shout,
    udp_to,
)

from skytrail.agent.plugin import Punt, PuntReason
from skytrail.agent.tables import Encapsulation, FloodRow, GroupRow, NextHopId, Row, VrfId
from skytrail.wire.frame import internet_checksum, pseudo_header

pytestmark = pytest.mark.root
UDP = Encapsulation.MPLS_UDP
RED = VrfId(1)


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    """Workloads 1, 2, 3 on host 1, 4, 5 on host 2, all of one network; 6 of another."""
    made = Rig(2)
    try:
        for host in (0, 0, 0, 1, 1):
            made.add_workload(made.hosts[host])
        made.add_workload(made.hosts[0], vrf=2, subnet=1)
        yield made
    finally:
        made.close()


def snoop(rig: Rig, encapsulation: Encapsulation, *wanted: tuple[str, str, set[int]]) -> None:
    """Install lists: group, source (both may be empty) and the workloads that listen."""
    program(rig, encapsulation, encapsulation)
    for host in rig.hosts:
        host.datapath.apply([], list(host.datapath.dump(GroupRow)))
        for row in list(flood_rows(rig, host)):
            if not isinstance(row, FloodRow) or row.vrf_id != RED:
                continue
            rows: list[Row] = [replace(row, snoops=True)]
            for group, source, listeners in wanted:
                local = [
                    (NextHopId(LAYER2_NEXTHOP_BASE + w.number), 0)
                    for w in host.workloads
                    if w.number in listeners
                ]
                elsewhere = any(w.number in listeners for w in rig.workloads if w.host is not host)
                tunnels = [m for m in row.members if m[0] >= 500] if elsewhere else []
                rows.append(
                    GroupRow(
                        RED,
                        ip_address(group) if group else None,
                        ip_address(source) if source else None,
                        (*local, *tunnels),
                    )
                )
            host.datapath.apply(rows, [])


def heard(rig: Rig, speaker: int, group: str) -> set[int]:
    """Who gets one copy of a datagram; everybody gets at most one."""
    token, mouth = os.urandom(12), rig.workloads[speaker - 1]
    with Ears(rig.workloads) as ears:
        packed = ip_address(group).packed
        mac = b"\x01\0\x5e" + bytes((packed[1] & 0x7F,)) + packed[2:]
        if len(packed) == 16:
            mac = b"\x33\x33" + packed[12:]
        say(mouth, udp_to(mouth, group, token, mac))
        got = ears.heard(token)
    assert all(len(copies) == 1 for copies in got.values())
    return set(got)


@every_tunnel
@pytest.mark.parametrize("group", ["239.1.2.3", "ff05::1234"])
def test_listeners_alone_get_what_is_sent_to_their_group(
    rig: Rig, encapsulation: Encapsulation, group: str
) -> None:
    snoop(rig, encapsulation, (group, "", {2, 5}), ("", "", set()))

    assert heard(rig, 1, group) == {2, 5}
    assert heard(rig, 4, group) == {2, 5}


def test_the_list_of_a_source_comes_before_that_of_the_group(rig: Rig) -> None:
    source = str(rig.workloads[0].address4)
    snoop(rig, UDP, ("239.1.2.3", "", {2, 5}), ("239.1.2.3", source, {3, 5}), ("", "", set()))

    assert heard(rig, 1, "239.1.2.3") == {3, 5}
    assert heard(rig, 4, "239.1.2.3") == {2, 5}


def test_a_group_nobody_reported_goes_to_who_is_never_asked_or_to_all(rig: Rig) -> None:
    snoop(rig, UDP, ("239.1.2.3", "", {2}), ("", "", {3}))
    assert heard(rig, 1, "239.7.7.7") == {3}

    snoop(rig, UDP, ("239.1.2.3", "", {2}))
    assert heard(rig, 1, "239.7.7.7") == {2, 3, 4, 5}


def test_a_group_without_listeners_is_dropped_by_name(rig: Rig) -> None:
    snoop(rig, UDP, ("", "", set()))
    before = rig.hosts[0].datapath.drop_counts().get("GROUP_UNHEARD", 0)

    assert heard(rig, 1, "239.7.7.7") == set()
    assert rig.hosts[0].datapath.drop_counts()["GROUP_UNHEARD"] == before + 1


@pytest.mark.parametrize("group", ["224.0.0.251", "ff02::fb"])
def test_groups_of_a_link_and_broadcasts_are_everybody_s(rig: Rig, group: str) -> None:
    snoop(rig, UDP, ("", "", set()))

    assert heard(rig, 1, group) == {2, 3, 4, 5}
    token, mouth = os.urandom(12), rig.workloads[0]
    with Ears(rig.workloads) as ears:
        say(mouth, udp_to(mouth, "255.255.255.255", token, GROUPS["255.255.255.255"]))
        assert set(ears.heard(token)) == {2, 3, 4, 5}


def reports(rig: Rig, speaker: int) -> list[bytes]:
    """A report of each family, as a workload's kernel sends it."""
    mouth = rig.workloads[speaker - 1]
    tail = bytes((0, 0, 0, 1, 4, 0, 0, 0)) + ip_address("239.1.2.3").packed
    body = b"\x22\0" + internet_checksum(b"\x22\0", tail).to_bytes(2) + tail
    packet = frames.ip(str(mouth.address4), "224.0.0.22", 2, body)
    group = ip_address("ff02::16")
    source = ip_address("fe80::1")
    tail = bytes((0, 0, 0, 1, 4, 0, 0, 0)) + ip_address("ff05::7").packed
    pseudo = pseudo_header(source, group, 58, 4 + len(tail))
    body = b"\x8f\0" + internet_checksum(pseudo, b"\x8f\0", tail).to_bytes(2) + tail
    alert = bytes((58, 0, 5, 2, 0, 0, 1, 0))
    six = frames.ip(str(source), str(group), 0, alert + body)
    own = mouth.mac.packed
    return [
        frames.ethernet(bytes.fromhex("01005e000016"), own, 0x0800, packet),
        frames.ethernet(bytes.fromhex("333300000016"), own, 0x86DD, six),
    ]


def punts(rig: Rig) -> list[Punt]:
    found: list[Punt] = []
    datapath = rig.hosts[0].datapath
    datapath.open_punts(found.append)
    datapath.poll_punts()
    return [each for each in found if each.reason is PuntReason.MEMBERSHIP]


def test_reports_go_to_the_agent_and_to_nobody_else(rig: Rig) -> None:
    snoop(rig, UDP, ("", "", set()))
    punts(rig)
    sent = reports(rig, 1)
    with Ears(rig.workloads) as ears:
        for frame in sent:
            say(rig.workloads[0], frame)
        assert not ears.heard(ip_address("239.1.2.3").packed)

    assert [each.frame for each in punts(rig)] == sent


def test_reports_of_a_network_that_takes_none_are_like_any_multicast(rig: Rig) -> None:
    program(rig, UDP, UDP)
    punts(rig)
    with Ears(rig.workloads) as ears:
        say(rig.workloads[0], reports(rig, 1)[0])
        assert set(ears.heard(ip_address("239.1.2.3").packed)) == {2, 3, 4, 5}

    assert punts(rig) == []


def test_a_report_with_another_s_mac_reaches_nobody(rig: Rig) -> None:
    snoop(rig, UDP, ("", "", set()))
    punts(rig)
    forged = reports(rig, 2)
    for frame in forged:
        say(rig.workloads[0], frame)

    assert punts(rig) == []


def test_a_flood_of_reports_is_cut_off_and_counted_and_leaves_requests_alone(rig: Rig) -> None:
    snoop(rig, UDP, ("", "", set()))
    datapath = rig.hosts[0].datapath
    before = datapath.drop_counts().get("PUNT_RATE", 0)
    frame, own = reports(rig, 3)[0], rig.workloads[2]
    for _ in range(4):
        shout(own, frame, 2000)
        if datapath.drop_counts().get("PUNT_RATE", 0) > before:
            break
    lost = datapath.drop_counts().get("PUNT_RATE", 0) - before
    asked = (bytes([1, 1, 6, 0]) + bytes(24) + own.mac.packed).ljust(240, b"\0")
    dhcp = frames.ip("0.0.0.0", "255.255.255.255", 17, frames.udp(68, 67, asked))
    found: list[Punt] = []
    datapath.open_punts(found.append)
    # A call takes so many and no more.
    while datapath.poll_punts():
        pass
    say(own, frames.ethernet(b"\xff" * 6, own.mac.packed, 0x0800, dhcp))
    datapath.poll_punts()

    assert lost > 0
    assert found[-1].reason is PuntReason.DHCP
