"""Shares of a pool of ports: no interface takes those of others, and every end gives them back."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import IPv4Network

import frames
import pytest
from conftest import (
    LOOPBACK_IFINDEX,
    MAC,
    OWN,
    PEER_IFINDEX,
    PEER_VIF,
    TUNNEL_NEXTHOP,
    VIF,
    Box,
    Outcome,
    interface_row,
)
from test_floating import CLIENT
from test_source_nat import FIRST, opened, snat
from translated import CLIENT_LABEL, packet, public_route, send

from skytrail.agent.io.ebpf import IDLE_OPENING_S
from skytrail.agent.tables import PortPoolRow, SourceRow, VifId

__all__ = ["snat"]
pytestmark = pytest.mark.root
POOL, SHARE = 512, 128
"""Ports of the pool, and of them an interface's by default."""


def flood(snat: Box, count: int) -> list[Outcome]:
    """What becomes of so many questions from ports of a workload's own to one far end."""
    return [
        send(snat, packet(frames.UDP, OWN[4], CLIENT, frames.udp(port, 443, b"hi")))
        for port in range(1024, 1024 + count)
    ]


def as_peer(snat: Box) -> None:
    """From here on the sender is another interface."""
    snat.apply(
        interface_row(PEER_VIF, LOOPBACK_IFINDEX, MAC),
        replace(interface_row(), ifindex=PEER_IFINDEX),
        SourceRow(PEER_VIF, IPv4Network(OWN[4]), MAC),
    )


@pytest.fixture
def shared(snat: Box) -> Box:
    snat.apply(PortPoolRow(frames.UDP, ((FIRST, FIRST + POOL - 1),)))
    return snat


def ports_of(box: Box, vif: VifId) -> set[int]:
    """Ports that flows of an interface hold."""
    return {
        flow.leaves_as.source_port
        for flow in box.datapath.flows()
        if flow.leaves_as and flow.vif_id == vif and flow.leaves_as.source_port >= FIRST
    }


def unplugged(box: Box) -> None:
    """The interface goes, and comes back."""
    box.apply(deletes=(interface_row(),))
    box.apply(interface_row())


def test_one_interface_has_its_share_of_ports_and_the_other_keeps_its_own(shared: Box) -> None:
    """Whoever floods, others still open connections to the same far end by the same address."""
    before = shared.datapath.interface_drop_counts().get(VIF, {}).get("PORT_SHARE", 0)
    sent = flood(shared, 2 * SHARE)
    held = len(ports_of(shared, VIF))
    refused = [each for each in sent if not each.forwarded]

    assert SHARE * 3 // 4 < held <= SHARE
    assert held + len(refused) == len(sent)
    assert all(each.drops == {"PORT_SHARE": 1} for each in refused)
    drops = shared.datapath.interface_drop_counts()[VIF]
    assert drops["PORT_SHARE"] == before + len(refused)

    as_peer(shared)
    flood(shared, 2 * SHARE)
    others = ports_of(shared, PEER_VIF)
    assert SHARE // 2 < len(others) <= SHARE
    assert not others & ports_of(shared, VIF)


def test_a_share_is_towards_each_far_end(shared: Box) -> None:
    flood(shared, 2 * SHARE)
    other = packet(frames.UDP, OWN[4], CLIENT, frames.udp(9, 444, b"hi"))

    assert send(shared, other).forwarded


@pytest.mark.parametrize("seed", range(3))
def test_what_ends_in_whatever_way_gives_its_part_of_the_share_back(shared: Box, seed: int) -> None:
    """As many connections fit after any mixture of ends as did at first: nothing is kept."""
    chance = random.Random(seed)
    flood(shared, 4 * SHARE)
    most = len(ports_of(shared, VIF))
    now = 1_000_000.0
    for _ in range(6):
        match chance.choice(("age", "purge", "renew")):
            case "age":
                now += 2_000_000.0
                shared.datapath.age_flows(now)
                shared.datapath.age_flows(now + 1_000_000.0)
            case "purge":
                unplugged(shared)
            case _:
                shared.apply(public_route(f"{CLIENT}/32", TUNNEL_NEXTHOP, CLIENT_LABEL))
        flood(shared, chance.randrange(4 * SHARE))
    unplugged(shared)
    assert ports_of(shared, VIF) == set()
    flood(shared, 4 * SHARE)
    assert len(ports_of(shared, VIF)) == most


def test_a_question_that_nobody_answers_gives_its_port_back_early(snat: Box) -> None:
    opened(snat)
    snat.datapath.age_flows(1_000_000.0)

    assert snat.datapath.age_flows(1_000_000.0 + IDLE_OPENING_S - 1) == 0
    assert snat.datapath.age_flows(1_000_000.0 + IDLE_OPENING_S + 1) == 1
