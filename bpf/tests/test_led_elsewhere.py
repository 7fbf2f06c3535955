"""Rules that lead to another VRF: a service chain's way there and back, and nothing beside it."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import frames
import pytest
from conftest import (
    MAC,
    OWN,
    OWN_NEXTHOP,
    PEER,
    PEER_IFINDEX,
    PEER_MAC,
    PEER_VIF,
    REMOTE,
    REMOTE_LABEL,
    TUNNEL_NEXTHOP,
    Box,
    interface_row,
    route_row,
)

from skytrail.agent.tables import (
    Action,
    IdentityId,
    InetRouteRow,
    PolicyId,
    PolicyIdentityRow,
    PolicyPrefixRow,
    RuleId,
    SourceRow,
    VerdictRow,
    VrfId,
)

every_family = pytest.mark.parametrize("family", [4, 6])
CHAIN = VrfId(9)
POLICY = 52
SERVICE_LABEL = 88
ANYWHERE = {4: "0.0.0.0/0", 6: "::/0"}


def led(*, allow: bool = True, port: int = 0, bits: int = 0) -> VerdictRow:
    return VerdictRow(
        policy_id=PolicyId(POLICY),
        identity_class=0,
        prefix_class=0,
        protocol=256,
        port=port,
        port_bits=bits,
        action=Action.ALLOW if allow else Action.DENY,
        rule_id=RuleId(9),
        vrf_id=CHAIN if allow else VrfId(0),
    )


def through_service(family: int) -> InetRouteRow:
    return InetRouteRow(
        CHAIN, ip_network(ANYWHERE[family]), TUNNEL_NEXTHOP, SERVICE_LABEL, IdentityId(3)
    )


def label_of(frame: bytes) -> int:
    """The MPLS label under Ethernet, IPv4 and UDP."""
    return int.from_bytes(frame[42:46]) >> 12


@every_family
def test_packet_takes_the_way_of_the_vrf_its_rule_leads_to(box: Box, family: int) -> None:
    assert label_of(box.send(frames.udp(1, 2), frames.UDP, family=family).frame) == REMOTE_LABEL

    box.apply(led(), through_service(family), interface_row(egress=POLICY))

    outcome = box.send(frames.udp(1, 2), frames.UDP, family=family)
    assert outcome.forwarded
    assert label_of(outcome.frame) == SERVICE_LABEL


@every_family
def test_packet_led_to_a_vrf_without_a_way_goes_nowhere(box: Box, family: int) -> None:
    box.apply(led(), interface_row(egress=POLICY))

    assert box.send(frames.udp(1, 2), frames.UDP, family=family).drops == {"NO_ROUTE": 1}


@every_family
def test_running_flow_stops_when_the_service_is_gone(box: Box, family: int) -> None:
    box.apply(led(), through_service(family), interface_row(egress=POLICY))
    assert box.send(frames.udp(1, 2), frames.UDP, family=family).forwarded

    box.apply(deletes=(through_service(family),))

    assert box.send(frames.udp(1, 2), frames.UDP, family=family).drops == {"NO_ROUTE": 1}


@every_family
def test_answer_follows_the_rule_for_its_direction(box: Box, family: int) -> None:
    """The far end opened; the way straight back to it would go round the service."""
    answers = led(port=1, bits=16)
    box.apply(answers, led(allow=False), through_service(family), interface_row(egress=POLICY))
    ask = frames.ip(REMOTE[family], OWN[family], frames.UDP, frames.udp(1, 2))
    assert box.receive(ask).forwarded

    outcome = box.send(frames.udp(2, 1), frames.UDP, family=family)

    assert outcome.forwarded
    assert label_of(outcome.frame) == SERVICE_LABEL


@every_family
def test_answer_to_a_flow_no_rule_leads_anywhere_goes_straight(box: Box, family: int) -> None:
    box.apply(led(allow=False), through_service(family), interface_row(egress=POLICY))
    ask = frames.ip(REMOTE[family], OWN[family], frames.UDP, frames.udp(1, 2))
    assert box.receive(ask).forwarded

    outcome = box.send(frames.udp(2, 1), frames.UDP, family=family)

    assert outcome.forwarded
    assert label_of(outcome.frame) == REMOTE_LABEL


@every_family
def test_answer_is_led_by_a_rule_that_denies_and_nothing_else_is(box: Box, family: int) -> None:
    """A service that hides its left: nobody may begin there, what it answers goes on in front."""
    denies = replace(led(allow=False), vrf_id=CHAIN)
    box.apply(denies, through_service(family), interface_row(egress=POLICY))
    ask = frames.ip(REMOTE[family], OWN[family], frames.UDP, frames.udp(1, 2))
    assert box.receive(ask).forwarded

    answer = box.send(frames.udp(2, 1), frames.UDP, family=family)

    assert label_of(answer.frame) == SERVICE_LABEL
    assert box.send(frames.udp(5, 6), frames.UDP, family=family).drops == {"POLICY": 1}


@every_family
def test_source_of_this_host_comes_in_from_a_tunnel_only_by_a_chain(box: Box, family: int) -> None:
    bits = {4: 32, 6: 128}[family]
    local = route_row(f"{REMOTE[family]}/{bits}", OWN_NEXTHOP, identity=1, mac=MAC)
    box.apply(local)
    ask = frames.ip(REMOTE[family], OWN[family], frames.UDP, frames.udp(1, 2))
    assert box.receive(ask).drops == {"SOURCE_LOCAL": 1}

    box.apply(led(), interface_row(ingress=POLICY))

    assert box.receive(ask).forwarded


@every_family
def test_receiver_judges_whom_a_service_passes_on_not_the_service(box: Box, family: int) -> None:
    """The peer on this host lets in nobody but the network behind the service's source address."""
    stranger = {4: "10.9.9.9", 6: "fd00:9::9"}[family]
    allowed = replace(led(), vrf_id=VrfId(0), identity_class=1)
    sources = SourceRow(interface_row().vif_id, ip_network(ANYWHERE[family]), MAC)
    box.apply(
        allowed,
        led(allow=False),
        PolicyIdentityRow(PolicyId(POLICY), IdentityId(44), 1),
        PolicyPrefixRow(PolicyId(POLICY), ip_network(ANYWHERE[family]), 0),
        interface_row(PEER_VIF, PEER_IFINDEX, PEER_MAC, identity=2, ingress=POLICY),
        route_row(ANYWHERE[family], OWN_NEXTHOP, identity=44),
        sources,
    )
    sent = {"to": PEER[family], "source": stranger, "destination_mac": PEER_MAC}
    assert box.send(frames.udp(1, 2), frames.UDP, family=family, **sent).drops == {"POLICY": 1}

    box.apply(replace(interface_row(), transit=True))

    assert box.send(frames.udp(1, 2), frames.UDP, family=family, **sent).forwarded
