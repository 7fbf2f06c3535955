"""Networks that the underlay routes: packets leave and arrive without tunnel."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network

import frames
import pytest
from conftest import (
    LOOPBACK_IFINDEX,
    MAC,
    OWN,
    OWN_NEXTHOP,
    REMOTE,
    TC_REDIRECT,
    TUNNEL_NEXTHOP,
    UNDERLAY_MTU,
    UNDERLAY_VIF,
    VIF,
    Box,
    as_frame,
    base_rows,
    tunnel_row,
)

from skytrail.agent.tables import (
    Encapsulation,
    IdentityId,
    InetRouteRow,
    InterfaceRow,
    VrfId,
)
from skytrail.net import GATEWAY_MAC, Mac

FABRIC = VrfId(9)
WORKLOAD_IFINDEX = 4321
ROUTER_MAC = Mac.parse("02:00:00:00:01:02")
PASS = -1


@pytest.fixture
def leaving(box: Box) -> Box:
    """The way to the remote workload needs no tunnel."""
    box.apply(tunnel_row(Encapsulation.NATIVE))
    return box


@pytest.fixture
def arriving(box: Box) -> Box:
    """Frames come in by the underlay; the workload is known in the VRF that it is in."""
    rows = {row.vif_id: row for row in base_rows() if isinstance(row, InterfaceRow)}
    box.apply(
        replace(rows[VIF], ifindex=WORKLOAD_IFINDEX),
        replace(rows[UNDERLAY_VIF], ifindex=LOOPBACK_IFINDEX, vrf_id=FABRIC),
        InetRouteRow(FABRIC, IPv4Network(OWN[4]), OWN_NEXTHOP, 0, IdentityId(1), MAC),
    )
    return box


def plain(to: str, *, ttl: int = 64, source: str = "192.0.2.99") -> bytes:
    packet = frames.ip(source, to, frames.UDP, frames.udp(7, 9, b"there"), ttl=ttl)
    return as_frame(packet, Mac(bytes(6)), Mac(bytes(6)))


def test_a_packet_leaves_for_the_underlays_router_as_it_is(leaving: Box) -> None:
    outcome = leaving.send(frames.udp(1, 2, b"x"), frames.UDP, destination_mac=GATEWAY_MAC, ttl=64)

    packet = frames.ip(OWN[4], REMOTE[4], frames.UDP, frames.udp(1, 2, b"x"), ttl=63)
    assert outcome.verdict == TC_REDIRECT
    assert as_frame(packet, ROUTER_MAC, Mac.parse("02:00:00:00:01:01")) == outcome.frame


def test_a_packet_may_be_as_large_as_the_underlays_own(leaving: Box) -> None:
    fits, exceeds = (bytes(UNDERLAY_MTU - 28 + more) for more in (0, 1))

    assert leaving.send(frames.udp(1, 2, fits), frames.UDP).verdict == TC_REDIRECT
    assert leaving.send(frames.udp(1, 2, exceeds), frames.UDP).drops == {"TOO_BIG": 1}


def test_an_unresolved_router_is_told_by_name(leaving: Box) -> None:
    leaving.apply(replace(tunnel_row(Encapsulation.NATIVE), out_destination_mac=None))

    outcome = leaving.send(frames.udp(1, 2), frames.UDP)

    assert outcome.drops == {"UNDERLAY_UNRESOLVED": 1}


def test_a_plain_packet_for_the_workload_is_routed_to_it(arriving: Box) -> None:
    outcome = arriving.underlay(plain(OWN[4]))

    packet = frames.ip("192.0.2.99", OWN[4], frames.UDP, frames.udp(7, 9, b"there"), ttl=63)
    assert outcome.forwarded
    assert as_frame(packet, MAC, GATEWAY_MAC) == outcome.frame


def test_a_plain_packet_that_has_travelled_too_far_is_dropped(arriving: Box) -> None:
    assert arriving.underlay(plain(OWN[4], ttl=1)).drops == {"TTL": 1}


@pytest.mark.parametrize("to", [REMOTE[4], "198.51.100.1"])
def test_plain_packets_for_others_are_the_hosts_own_affair(arriving: Box, to: str) -> None:
    arriving.apply(InetRouteRow(FABRIC, IPv4Network(REMOTE[4]), TUNNEL_NEXTHOP, 0, IdentityId(3)))

    outcome = arriving.underlay(plain(to))

    assert outcome.verdict == PASS
    assert outcome.frame == plain(to)


def test_without_such_networks_no_plain_packet_reaches_a_workload(arriving: Box) -> None:
    rows = {row.vif_id: row for row in base_rows() if isinstance(row, InterfaceRow)}
    arriving.apply(replace(rows[UNDERLAY_VIF], ifindex=LOOPBACK_IFINDEX))

    assert arriving.underlay(plain(OWN[4])).verdict == PASS


def test_a_source_that_lives_here_is_not_believed(arriving: Box) -> None:
    outcome = arriving.underlay(plain(OWN[4], source="10.1.1.11"))

    assert outcome.drops == {"SOURCE_LOCAL": 1}
