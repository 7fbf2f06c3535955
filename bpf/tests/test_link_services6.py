"""Link-local services over IPv6: at the host itself, asked from link-local addresses, and back."""

from __future__ import annotations

import struct
import time
from collections import Counter
from dataclasses import replace
from ipaddress import IPv6Address, IPv6Network

import frames
import pytest
from conftest import (
    LOOPBACK_IFINDEX,
    MAC,
    OWN,
    OWN_NEXTHOP,
    PEER_MAC,
    UNDERLAY_VIF,
    VIF,
    Box,
    Outcome,
    interface_row,
    route_row,
)
from test_floating6 import FRAGMENT
from test_neighbours import advertisement, solicitation
from translated import Seen, delivered, packet

from skytrail.agent.fabric import HOST_ADDRESS6, host_side_address6
from skytrail.agent.tables import (
    IdentityId,
    InetRouteRow,
    InterfaceRow,
    LinkServiceRow,
    NextHopId,
    NextHopKind,
    NextHopRow,
    PolicyId,
    VifId,
    VrfId,
)
from skytrail.net import GATEWAY_MAC, Mac

pytestmark = pytest.mark.root
FABRIC, HOST_NEXTHOP = NextHopId(40), NextHopId(41)
HOST_VIF, HOST_VRF, HOST_IFINDEX = VifId(13), VrfId(9), 7003
DENY = PolicyId(60)
METADATA, LINK_LOCAL = "fe80::a9fe:a9fe", "fe80::a"
PORT, TO_PORT = 80, 8775
SIDE = str(host_side_address6(VIF))
HOST = replace(
    interface_row(HOST_VIF, HOST_IFINDEX, GATEWAY_MAC, egress=DENY, antispoof=False),
    vrf_id=HOST_VRF,
    is_host_side=True,
)
SERVICE = LinkServiceRow(IPv6Address(METADATA), PORT, (HOST_ADDRESS6,), TO_PORT, HOST_NEXTHOP)


@pytest.fixture
def served(box: Box) -> Box:
    """The workload's policy lets nothing out: services are the operator's."""
    box.apply(
        HOST,
        replace(interface_row(), policy_egress=DENY),
        NextHopRow(FABRIC, NextHopKind.FABRIC, vif_id=UNDERLAY_VIF, out_ifindex=LOOPBACK_IFINDEX),
        NextHopRow(HOST_NEXTHOP, NextHopKind.INTERFACE, vif_id=HOST_VIF),
        SERVICE,
        route_row(f"{METADATA}/128", FABRIC, mac=GATEWAY_MAC),
        InetRouteRow(HOST_VRF, IPv6Network(SIDE), OWN_NEXTHOP, 0, IdentityId(1)),
    )
    return box


def ask(
    box: Box, source: str = LINK_LOCAL, port: int = PORT, mac: Mac = MAC, protocol: int = frames.TCP
) -> Outcome:
    segment = frames.udp(4000, port, b"hi")
    if protocol == frames.TCP:
        segment = frames.tcp(4000, port, flags=frames.SYN)
    raw = packet(protocol, source, METADATA, segment)
    return box.workload(frames.ethernet(GATEWAY_MAC.packed, mac.packed, 0x86DD, raw))


def say(box: Box, segment: bytes, protocol: int = frames.TCP) -> Outcome:
    """What the host sends by its side; the box's frames come by one interface, which is moved."""
    own = next(row for row in box.datapath.dump(InterfaceRow) if row.vif_id == VIF)
    box.apply(replace(own, ifindex=7001), replace(HOST, ifindex=LOOPBACK_IFINDEX))
    raw = packet(protocol, str(HOST_ADDRESS6), SIDE, segment)
    frame = frames.ethernet(GATEWAY_MAC.packed, GATEWAY_MAC.packed, 0x86DD, raw)
    outcome = box.workload(frame)
    box.apply(HOST, own)
    return outcome


def test_the_vrouter_answers_for_the_service_s_address(served: Box) -> None:
    got = served.workload(solicitation(METADATA, LINK_LOCAL))

    assert got.frame == advertisement(METADATA, GATEWAY_MAC, LINK_LOCAL, solicited=True)


@pytest.mark.parametrize("protocol", [frames.TCP, frames.UDP])
@pytest.mark.parametrize("source", [LINK_LOCAL, OWN[6]])
def test_the_host_sees_the_interface_and_answers_come_back(
    served: Box, source: str, protocol: int
) -> None:
    out = delivered(ask(served, source, protocol=protocol))
    answer = frames.tcp(TO_PORT, 4000) if protocol == frames.TCP else frames.udp(TO_PORT, 4000)
    back = [delivered(say(served, answer, protocol)) for _ in range(2)]

    assert (out.source, out.destination, out.ports) == (SIDE, str(HOST_ADDRESS6), (4000, TO_PORT))
    assert {(each.source, each.destination, each.ports) for each in back} == {
        (METADATA, source, (PORT, 4000))
    }


def test_answers_go_on_when_everything_is_decided_again(served: Box) -> None:
    """Also where the answer is first to come, and the asker's address no row of sources has."""
    first: Seen | None = None
    for _ in range(3):
        out = delivered(ask(served))
        first = first or out
        assert out == first
        served.datapath.invalidate_flows()
        assert delivered(say(served, frames.tcp(TO_PORT, 4000))).destination == LINK_LOCAL


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"port": 81}, "LINK_LOCAL"),
        ({"source": "2001:db8::66"}, "SPOOFED_ADDRESS"),
        ({"mac": PEER_MAC}, "SPOOFED_ADDRESS"),
    ],
)
def test_nothing_else_gets_there(served: Box, fields: dict[str, object], reason: str) -> None:
    assert ask(served, **fields).drops == {reason: 1}  # type: ignore[arg-type]  # one key each


def test_the_host_opens_nothing_by_its_side(served: Box) -> None:
    assert say(served, frames.tcp(22, 23, flags=frames.SYN)).drops == {"POLICY": 1}


def test_a_service_taken_away_is_no_longer_answered_through(served: Box) -> None:
    delivered(ask(served))
    served.apply(deletes=(SERVICE,))

    assert ask(served).drops == {"LINK_LOCAL": 1}


def test_rows_come_back_as_they_went(served: Box) -> None:
    assert served.datapath.dump(LinkServiceRow) == [SERVICE]


TOKENS, TOKEN_S = 256, 0.001
SERVICE_CLASS = 6


def passing(box: Box, frame: bytes, tokens: int, *, gso_size: int = 0) -> tuple[int, int]:
    """How many of 100 frames pass for so many tokens, and how many more were gained meanwhile."""
    bucket = struct.pack("=I", VIF * 8 + SERVICE_CLASS)
    before = box.datapath.drop_counts()
    began_ns = time.monotonic_ns()
    box.datapath._maps["punt_buckets"].update(bucket, struct.pack("=QQ", began_ns, tokens))
    box.run_only("workload_ingress", [frame] * 100, gso_size=gso_size)
    gained = int((time.monotonic_ns() - began_ns) / 1e9 / TOKEN_S) + 1
    drops = Counter(box.datapath.drop_counts()) - Counter(before)
    assert drops.keys() <= {"PUNT_RATE_SERVICE"}
    return 100 - drops.total(), gained


def is_limited(box: Box, frame: bytes) -> bool:
    """Whether frames pass for as many tokens as there are, unless they come more slowly than tokens do."""
    for _ in range(5):
        passed, gained = passing(box, frame, 10)
        if 10 + gained < 100:
            return 10 <= passed <= 10 + gained
    pytest.skip("emulated beside others: frames come more slowly than the rate")


def to_service(segment: bytes, protocol: int) -> bytes:
    raw = packet(protocol, LINK_LOCAL, METADATA, segment)
    return frames.ethernet(GATEWAY_MAC.packed, MAC.packed, 0x86DD, raw)


@pytest.mark.parametrize("protocol", [frames.TCP, frames.UDP])
def test_an_interface_asks_the_agent_no_more_than_its_rate(served: Box, protocol: int) -> None:
    """Datagrams and openings of connections; the host's own services judge for themselves."""
    segment = frames.udp(4000, PORT, b"hi")
    if protocol == frames.TCP:
        segment = frames.tcp(4000, PORT, flags=frames.SYN)
    frame = to_service(segment, protocol)
    assert passing(served, frame, 0)[0] == 100
    served.apply(replace(SERVICE, is_agents=True))

    assert is_limited(served, frame)


def test_an_open_connection_to_the_agent_goes_on_at_any_rate(served: Box) -> None:
    served.apply(replace(SERVICE, is_agents=True))
    ask(served)

    assert passing(served, to_service(frames.tcp(4000, PORT), frames.TCP), 0)[0] == 100


def test_datagrams_of_one_segmented_frame_count_each(served: Box) -> None:
    served.apply(replace(SERVICE, is_agents=True))
    frame = to_service(frames.udp(4000, PORT, bytes(1200)), frames.UDP)
    segments_count = -(-len(frame) // 20)

    passed, gained = passing(served, frame, 3 * segments_count, gso_size=20)

    assert 3 <= passed <= 3 + gained / segments_count + 1


def fragment(piece: bytes, protocol: int, offset: int, *, more: bool) -> bytes:
    header = struct.pack("!BBHI", protocol, 0, offset << 3 | more, 7)
    raw = frames.ipv6(LINK_LOCAL, METADATA, FRAGMENT, header + piece)
    return frames.ethernet(GATEWAY_MAC.packed, MAC.packed, 0x86DD, raw)


@pytest.mark.parametrize("protocol", [frames.TCP, frames.UDP])
def test_fragments_to_the_agent_count_each(served: Box, protocol: int) -> None:
    """Those of an open connection, too, which nobody but a flooder sends."""
    served.apply(replace(SERVICE, is_agents=True))
    segment = frames.udp(4000, PORT, bytes(24))
    if protocol == frames.TCP:
        ask(served)
        segment = frames.tcp(4000, PORT) + bytes(28)
    cut = len(segment) // 16 * 8
    first = fragment(segment[:cut], protocol, 0, more=True)
    later = fragment(segment[cut:], protocol, cut // 8, more=False)
    assert passing(served, first, 256)[0] == 100

    assert is_limited(served, first)
    assert is_limited(served, later)
