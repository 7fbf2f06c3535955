"""The kernel's verdict equals a plain evaluation of the same rows, whatever the rows are."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address, ip_network

import frames
from conftest import OWN, REMOTE, TUNNEL_NEXTHOP, Box, clear, interface_row, route_row
from conftest import base_rows as rows_of_the_host
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from skytrail.agent.tables import (
    PROTOCOL_ANY,
    Action,
    IdentityId,
    PolicyId,
    PolicyIdentityRow,
    PolicyPrefixRow,
    Row,
    RuleId,
    SourcePortRow,
    VerdictRow,
)

POLICY, OTHER_POLICY, IDENTITY = 60, 61, 3
PORTS = st.sampled_from([0, 1, 22, 79, 80, 81, 443, 1023, 1024, 8080, 32768, 65535])
PROTOCOLS = st.sampled_from([frames.TCP, frames.UDP, frames.ICMP, 132])
PREFIXES = {
    4: ["0.0.0.0/0", "10.0.0.0/8", "10.1.1.0/24", "10.1.1.12/32", "10.1.1.12/31", "192.0.2.0/24"],
    6: ["::/0", "fd00::/16", "fd00:1::/64", "fd00:1::c/128", "2001:db8::/32"],
}


def block(port: int, bits: int) -> tuple[int, int]:
    """(start, bits) of the aligned block a port lies in."""
    return (port >> (16 - bits) << (16 - bits)) if bits else 0, bits


@st.composite
def verdict_rows(draw: st.DrawFn) -> list[VerdictRow]:
    rows: dict[object, VerdictRow] = {}
    for _ in range(draw(st.integers(0, 12))):
        port, bits = block(draw(PORTS), draw(st.sampled_from([0, 1, 8, 12, 15, 16])))
        row = VerdictRow(
            policy_id=PolicyId(draw(st.sampled_from([POLICY, POLICY, OTHER_POLICY]))),
            identity_class=draw(st.integers(0, 2)),
            prefix_class=draw(st.integers(0, 2)),
            protocol=draw(st.sampled_from([frames.TCP, frames.UDP, frames.ICMP, PROTOCOL_ANY])),
            port=port,
            port_bits=bits,
            action=draw(st.sampled_from(list(Action))),
            rule_id=RuleId(draw(st.integers(1, 9))),
            source_cell=draw(st.sampled_from([0, 0, 1, 2])),
        )
        rows[row.key] = row
    return list(rows.values())


@st.composite
def source_port_rows(draw: st.DrawFn) -> list[SourcePortRow]:
    rows: dict[object, SourcePortRow] = {}
    for _ in range(draw(st.integers(0, 4))):
        port, bits = block(draw(PORTS), draw(st.sampled_from([0, 4, 16])))
        row = SourcePortRow(
            cell=draw(st.integers(1, 2)),
            port=port,
            port_bits=bits,
            action=draw(st.sampled_from(list(Action))),
            rule_id=RuleId(draw(st.integers(10, 19))),
        )
        rows[row.key] = row
    return list(rows.values())


@st.composite
def class_rows(draw: st.DrawFn, family: int) -> list[Row]:
    rows: list[Row] = []
    if draw(st.booleans()):
        rows.append(
            PolicyIdentityRow(PolicyId(POLICY), IdentityId(IDENTITY), draw(st.integers(0, 2)))
        )
    prefixes = draw(st.sets(st.sampled_from(PREFIXES[family]), max_size=4))
    return rows + [
        PolicyPrefixRow(PolicyId(POLICY), ip_network(prefix), draw(st.integers(0, 2)))
        for prefix in sorted(prefixes)
    ]


def covers(row: VerdictRow | SourcePortRow, port: int) -> bool:
    return port >> (16 - row.port_bits) == row.port >> (16 - row.port_bits)


def expected_verdict(
    rows: list[Row], address: str, protocol: int, source_port: int, port: int
) -> tuple[bool, int]:
    """(allowed, rule) by looking at every row."""
    identity_class = max(
        (row.identity_class for row in rows if isinstance(row, PolicyIdentityRow)), default=0
    )
    prefixes = [
        row
        for row in rows
        if isinstance(row, PolicyPrefixRow) and ip_address(address) in row.prefix
    ]
    prefix_class = (
        max(prefixes, key=lambda row: row.prefix.prefixlen).prefix_class if prefixes else 0
    )
    for candidate in (protocol, PROTOCOL_ANY):
        matching = [
            row
            for row in rows
            if isinstance(row, VerdictRow)
            and (row.policy_id, row.identity_class, row.prefix_class, row.protocol)
            == (POLICY, identity_class, prefix_class, candidate)
            and covers(row, port)
        ]
        if matching:
            break
    else:
        return False, 0
    chosen: VerdictRow | SourcePortRow = max(matching, key=lambda row: row.port_bits)
    if isinstance(chosen, VerdictRow) and chosen.source_cell:
        cell = [
            row
            for row in rows
            if isinstance(row, SourcePortRow)
            and row.cell == chosen.source_cell
            and covers(row, source_port)
        ]
        if not cell:
            return False, 0
        chosen = max(cell, key=lambda row: row.port_bits)
    return chosen.action is Action.ALLOW, chosen.rule_id


@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    data=st.data(),
    family=st.sampled_from([4, 6]),
    ingress=st.booleans(),
    protocol=PROTOCOLS,
    source_port=PORTS,
    port=PORTS,
)
def test_kernel_verdict_equals_plain_evaluation(
    box: Box,
    data: st.DataObject,
    family: int,
    ingress: bool,
    protocol: int,
    source_port: int,
    port: int,
) -> None:
    rows = data.draw(class_rows(family)) + data.draw(verdict_rows()) + data.draw(source_port_rows())
    clear(box)
    box.apply(*rows_of_the_host(), *rows)
    policy = {"ingress": POLICY} if ingress else {"egress": POLICY}
    box.apply(interface_row(**policy))
    if protocol == frames.ICMP:
        protocol = frames.ICMP if family == 4 else frames.ICMP6
        port, source_port = port % 120 + 9, 0
        payload = frames.icmp(port)
    elif protocol == frames.TCP:
        payload = frames.tcp(source_port, port)
    else:
        payload = frames.udp(source_port, port)

    if ingress:
        outcome = box.receive(frames.ip(REMOTE[family], OWN[family], protocol, payload))
    else:
        outcome = box.send(payload, protocol, family=family)

    allowed, rule = expected_verdict(rows, REMOTE[family], protocol, source_port, port)
    assert ({} if allowed else {"POLICY": 1}) == outcome.drops
    record = next(f for f in box.datapath.flows() if not f.is_reverse)
    assert (allowed, rule) == (record.allowed, record.rule_id)


def test_policy_sees_the_identity_of_the_route_and_not_of_another(box: Box) -> None:
    allow = VerdictRow(PolicyId(POLICY), 1, 0, PROTOCOL_ANY, 0, 0, Action.ALLOW, RuleId(4))
    box.apply(
        interface_row(egress=POLICY),
        PolicyIdentityRow(PolicyId(POLICY), IdentityId(3), 1),
        allow,
        replace(route_row("10.1.1.13/32", TUNNEL_NEXTHOP, label=78), identity=IdentityId(4)),
    )

    assert box.send(frames.udp(1, 2), frames.UDP).forwarded
    assert box.send(frames.udp(1, 2), frames.UDP, to="10.1.1.13").drops == {"POLICY": 1}
