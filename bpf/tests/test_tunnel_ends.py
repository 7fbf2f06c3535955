"""Tunnels are taken from known ends alone: forged outer sources end in a named drop."""

from __future__ import annotations

import random
from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import frames
import pytest
from conftest import (
    LABEL,
    LOCAL_TUNNEL,
    MAC,
    OWN,
    REMOTE,
    REMOTE_MAC,
    REMOTE_TUNNEL,
    VNI,
    Box,
    Outcome,
    as_frame,
    base_rows,
)
from test_outer6 import LOCAL6, REMOTE6, arrive

from skytrail.agent.tables import (
    Encapsulation,
    InterfaceKind,
    InterfaceRow,
    TunnelEndRow,
)

STRANGER = IPv4Address("198.51.100.66")
REPLICATOR = IPv4Address("192.0.2.77")
KINDS = {"udp": LABEL, "gre": LABEL, "vxlan": VNI}
GROUP_MAC = b"\xff" * 6
FORGERIES = 400


def checking(**changes: object) -> InterfaceRow:
    row = next(
        row
        for row in base_rows()
        if isinstance(row, InterfaceRow) and row.kind is InterfaceKind.UNDERLAY
    )
    return replace(row, checks_ends=True, **changes)


def inner(kind: str, payload: bytes = b"there") -> bytes:
    packet = frames.ip(REMOTE[4], OWN[4], frames.UDP, frames.udp(7, 9, payload))
    return as_frame(packet, MAC, REMOTE_MAC) if kind == "vxlan" else packet


def arrive4(
    box: Box,
    kind: str,
    source: IPv4Address,
    *,
    to: IPv4Address = LOCAL_TUNNEL,
    content: bytes | None = None,
) -> Outcome:
    carried = inner(kind) if content is None else content
    tunnel = frames.encode_tunnel(kind, str(source), str(to), KINDS[kind], carried)
    return box.underlay(frames.ethernet(bytes(6), bytes(6), 0x0800, tunnel))


@pytest.mark.parametrize("kind", KINDS)
def test_a_forged_label_from_an_unknown_address_is_a_named_drop(box: Box, kind: str) -> None:
    box.apply(TunnelEndRow(REMOTE_TUNNEL), checking())

    known = arrive4(box, kind, REMOTE_TUNNEL)
    forged = arrive4(box, kind, STRANGER)

    assert known.forwarded
    assert not forged.forwarded
    assert forged.drops == {"OUTER_SOURCE": 1}


@pytest.mark.parametrize("kind", KINDS)
def test_hosts_that_do_not_check_take_tunnels_from_anybody(box: Box, kind: str) -> None:
    box.apply(TunnelEndRow(REMOTE_TUNNEL), replace(checking(), checks_ends=False))

    assert arrive4(box, kind, STRANGER).forwarded


@pytest.mark.parametrize(
    "encapsulation", [each for each in Encapsulation if each is not Encapsulation.NATIVE]
)
def test_the_same_over_an_ipv6_underlay(box: Box, encapsulation: Encapsulation) -> None:
    vxlan = encapsulation is Encapsulation.VXLAN
    carried, label = inner("vxlan" if vxlan else "udp"), VNI if vxlan else LABEL
    box.apply(checking(tunnel_address=None, tunnel_address6=LOCAL6))

    forged = arrive(box, carried, encapsulation, label)
    box.apply(TunnelEndRow(REMOTE6))
    known = arrive(box, carried, encapsulation, label)

    assert forged.drops == {"OUTER_SOURCE": 1}
    assert known.forwarded


def test_an_end_that_goes_takes_its_live_flows_with_it(box: Box) -> None:
    box.apply(TunnelEndRow(REMOTE_TUNNEL), checking())
    before = arrive4(box, "udp", REMOTE_TUNNEL)

    box.apply(deletes=(TunnelEndRow(REMOTE_TUNNEL),))

    assert before.forwarded
    assert arrive4(box, "udp", REMOTE_TUNNEL).drops == {"OUTER_SOURCE": 1}


def test_a_live_flow_is_not_continued_by_a_stranger(box: Box) -> None:
    box.apply(TunnelEndRow(REMOTE_TUNNEL), checking())
    answered = box.send(frames.udp(9, 7), frames.UDP)

    assert answered.forwarded
    assert arrive4(box, "udp", STRANGER).drops == {"OUTER_SOURCE": 1}
    assert arrive4(box, "udp", REMOTE_TUNNEL).forwarded


def test_copies_and_what_a_replicator_is_asked_to_copy_come_from_known_ends(box: Box) -> None:
    box.apply(TunnelEndRow(REMOTE_TUNNEL), checking(replicator_address=REPLICATOR))
    everybody = frames.ethernet(GROUP_MAC, REMOTE_MAC.packed, 0x88B5, b"x" * 50)

    for to in (LOCAL_TUNNEL, REPLICATOR):
        forged = arrive4(box, "vxlan", STRANGER, to=to, content=everybody)
        known = arrive4(box, "vxlan", REMOTE_TUNNEL, to=to, content=everybody)
        assert forged.drops == {"OUTER_SOURCE": 1}
        assert "OUTER_SOURCE" not in known.drops


def test_what_is_no_tunnel_is_the_hosts_wherever_it_comes_from(box: Box) -> None:
    box.apply(checking())
    packet = frames.ip(str(STRANGER), str(LOCAL_TUNNEL), frames.UDP, frames.udp(5, 6))

    outcome = box.underlay(frames.ethernet(bytes(6), bytes(6), 0x0800, packet))

    assert not outcome.drops


def test_no_forgery_gets_through_whatever_is_in_it(box: Box) -> None:
    """Damaged and whole packets from near and far strangers: each is lost, and counted once."""
    box.apply(TunnelEndRow(REMOTE_TUNNEL), TunnelEndRow(REMOTE6), checking())
    rng = random.Random(20320)
    reasons: set[str] = set()
    for _ in range(FORGERIES):
        kind = rng.choice(sorted(KINDS))
        source = IPv4Address(int(REMOTE_TUNNEL) ^ 1 << rng.randrange(32))
        content = bytearray(inner(kind))
        for _ in range(rng.randrange(3)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        outcome = arrive4(box, kind, source, content=bytes(content[: rng.randrange(len(content))]))
        assert not outcome.forwarded
        assert sum(outcome.drops.values()) == 1
        reasons |= outcome.drops.keys()

    assert reasons <= {"OUTER_SOURCE", "OUTER_HEADER"}
    assert "OUTER_SOURCE" in reasons


def test_ends_are_read_back_as_written(box: Box) -> None:
    rows = [TunnelEndRow(REMOTE_TUNNEL), TunnelEndRow(REMOTE6), TunnelEndRow(IPv6Address("::1"))]

    box.apply(*rows, checking())

    assert sorted(map(str, rows)) == sorted(map(str, box.datapath.dump(TunnelEndRow)))
    assert checking() in box.datapath.dump(InterfaceRow)
