"""Tables at their limit: what has no room is told, all else is written, and what is freed serves."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, ip_network

import frames
import pytest
from conftest import (
    MAC,
    OWN_NEXTHOP,
    PEER_IFINDEX,
    PEER_MAC,
    PEER_NEXTHOP,
    PEER_VIF,
    TUNNEL_NEXTHOP,
    UNDERLAY_IFINDEX,
    VIF,
    VRF,
    Box,
    base_rows,
    clear,
    interface_row,
    route_row,
)
from test_table_sizes import again

from skytrail.agent.plugin import TableFullError
from skytrail.agent.tables import (
    PROTOCOL_ANY,
    Action,
    BgpServiceRow,
    BridgeRow,
    FatFlowRow,
    FloatingPortRow,
    FloatingRow,
    FloodRow,
    IdentityId,
    InterfaceRow,
    NextHopId,
    PolicyId,
    PolicyIdentityRow,
    PolicyPrefixRow,
    Row,
    RuleId,
    SourcePortRow,
    SourceRow,
    VerdictRow,
    VifId,
    VniRow,
    VrfId,
)
from skytrail.net import Mac

COUNT = 1024
"""Of entries in every table of a size of choice: the least there is."""
POLICY, FILLER, CELL = PolicyId(7), PolicyId(8), 9

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def small_box() -> Iterator[Box]:
    made = Box(f"std{secrets.token_hex(3)}", 1024)
    again(made, dict.fromkeys(ROWS, COUNT))
    yield made
    made.close()


@pytest.fixture
def small(small_box: Box) -> Iterator[Box]:
    """A datapath whose tables are small, with the base rows."""
    small_box.apply(*base_rows())
    yield small_box
    clear(small_box)


def prefix4(number: int) -> str:
    return f"172.{16 + (number >> 16)}.{number >> 8 & 255}.{number & 255}/32"


def verdict(
    policy: PolicyId, port: int, action: Action, bits: int = 16, cell: int = 0
) -> VerdictRow:
    return VerdictRow(policy, 0, 0, PROTOCOL_ANY, port, bits, action, RuleId(5), source_cell=cell)


def floating(number: int) -> FloatingRow:
    return FloatingRow(
        vif_id=VifId(100 + number),
        place=0,
        outside=IPv4Address(number + 1),
        inside=IPv4Address(number + 1),
        vrf_id=VRF,
        identity=IdentityId(0),
        policy_egress=PolicyId(0),
        policy_ingress=PolicyId(0),
    )


ROWS: dict[str, Callable[[int], Row]] = {
    "routes4": lambda n: route_row(prefix4(n), TUNNEL_NEXTHOP),
    "routes6": lambda n: route_row(f"fd00:9::{n:x}/128", TUNNEL_NEXTHOP),
    "bridges": lambda n: BridgeRow(
        VRF, Mac((0x02_0000_010000 + n).to_bytes(6)), TUNNEL_NEXTHOP, 0, IdentityId(3)
    ),
    "sources4": lambda n: SourceRow(VIF, ip_network(prefix4(n)), MAC),
    "sources6": lambda n: SourceRow(VIF, ip_network(f"fd00:9::{n:x}/128"), MAC),
    "policy_identities": lambda n: PolicyIdentityRow(FILLER, IdentityId(1000 + n), 1),
    "policy_prefixes4": lambda n: PolicyPrefixRow(FILLER, ip_network(prefix4(n)), 1),
    "policy_prefixes6": lambda n: PolicyPrefixRow(FILLER, ip_network(f"fd00:9::{n:x}/128"), 1),
    "verdicts": lambda n: verdict(FILLER, 1 + n, Action.ALLOW),
    "source_ports": lambda n: SourcePortRow(CELL + 1, 1 + n, 16, Action.ALLOW, RuleId(5)),
    "floods": lambda n: FloodRow(VrfId(1000 + n), ((TUNNEL_NEXTHOP, 1),)),
    "floatings": floating,
    "floating_ports": lambda n: FloatingPortRow(VIF, IPv4Address(9), 6, 1 + n, False, 1 + n),
    "bgp_services": lambda n: BgpServiceRow(
        VifId(100 + n), IPv4Address(9), IPv4Address(8), 50000, UNDERLAY_IFINDEX
    ),
    "fat_flows": lambda n: FatFlowRow(VIF, 6, 1 + n),
    "vnis": lambda n: VniRow(10000 + n, NextHopId(16)),
}


def fill(box: Box, name: str) -> list[Row]:
    """Fill a table to its last entry."""
    made = [ROWS[name](number) for number in range(COUNT + 10)]
    with pytest.raises(TableFullError):
        box.apply(*made)
    return made


def held(box: Box, name: str) -> int:
    return len(list(box.datapath._maps[name].items()))


@pytest.mark.parametrize("name", ROWS)
def test_full_table_is_told_by_name_and_serves_again_when_freed(small: Box, name: str) -> None:
    made = [ROWS[name](number) for number in range(COUNT + 10)]
    kind = type(made[0]).__name__

    with pytest.raises(TableFullError, match=f"no room in the kernel's tables for [0-9]+ {kind}"):
        small.apply(*made)

    assert held(small, name) == COUNT
    assert small.send(frames.udp(1, 2), frames.UDP).forwarded, "what is there forwards"
    last = ROWS[name](COUNT + 100)
    with pytest.raises(TableFullError):
        small.apply(last, deletes=tuple(made))
    small.apply(last)
    assert last in small.datapath.dump(type(last))


def test_full_table_holds_up_no_other_and_no_deletion(small: Box) -> None:
    """A change of everything, of which only routes have no room."""
    filler = fill(small, "routes4")
    mac = Mac.parse("02:00:00:00:00:55")
    bridge = BridgeRow(VRF, mac, OWN_NEXTHOP, 0, IdentityId(1))
    other = interface_row(VifId(50), 7050, mac)
    gone = BridgeRow(VRF, PEER_MAC, PEER_NEXTHOP, 0, IdentityId(2))

    with pytest.raises(TableFullError, match="1 InetRouteRow"):
        small.apply(
            route_row("192.0.2.0/24", TUNNEL_NEXTHOP), bridge, other, deletes=(gone, filler[0])
        )

    assert bridge in small.datapath.dump(BridgeRow)
    assert gone not in small.datapath.dump(BridgeRow)
    assert other in small.datapath.dump(InterfaceRow)
    assert held(small, "routes4") == COUNT - 1
    small.apply(route_row("192.0.2.0/24", TUNNEL_NEXTHOP))


def test_policy_without_room_lets_nobody_in_or_out_until_it_has(small: Box) -> None:
    """Of "all but port 80" only "all" finds room: its ports stay closed, and only they."""
    filler = fill(small, "verdicts")
    assert small.send(frames.udp(1, 53), frames.UDP).forwarded
    policy = (verdict(POLICY, 0, Action.ALLOW, 0), verdict(POLICY, 80, Action.DENY))
    closed = (*policy, interface_row(egress=POLICY, ingress=POLICY))

    with pytest.raises(TableFullError, match="2 VerdictRow"):
        small.apply(*closed, deletes=(filler[0],))
    # The deletion came after: now one of the two has room, the first to be written.
    with pytest.raises(TableFullError, match="1 VerdictRow"):
        small.apply(*closed)

    assert small.send(frames.udp(1, 53), frames.UDP).drops == {"POLICY": 1}, "also a live flow"
    assert small.send(frames.udp(1, 80), frames.UDP).drops == {"POLICY": 1}
    with pytest.raises(TableFullError):
        small.apply(*closed, deletes=tuple(filler))
    small.apply(*closed)
    assert small.send(frames.udp(1, 53), frames.UDP).forwarded
    assert small.send(frames.udp(1, 80), frames.UDP).drops == {"POLICY": 1}


def test_policy_that_grows_beyond_its_room_closes_ports_that_had_it(small: Box) -> None:
    """The interfaces' own rows are not part of the change."""
    allow = verdict(POLICY, 0, Action.ALLOW, 0)
    peer = interface_row(PEER_VIF, PEER_IFINDEX, PEER_MAC, identity=2)
    small.apply(allow, interface_row(egress=POLICY), peer)
    assert small.send(frames.udp(1, 53), frames.UDP).forwarded
    fill(small, "policy_identities")

    with pytest.raises(TableFullError, match="1 PolicyIdentityRow"):
        small.apply(PolicyIdentityRow(POLICY, IdentityId(3), 4))

    assert small.send(frames.udp(1, 53), frames.UDP).drops == {"POLICY": 1}
    assert peer in small.datapath.dump(InterfaceRow)
    small.apply(interface_row(egress=POLICY))
    assert small.send(frames.udp(1, 53), frames.UDP).forwarded


def test_verdict_whose_source_ports_have_no_room_is_not_written(small: Box) -> None:
    fill(small, "source_ports")
    wanted = verdict(POLICY, 80, Action.ALLOW, 16, CELL)

    with pytest.raises(TableFullError, match="1 SourcePortRow, 1 VerdictRow"):
        small.apply(
            SourcePortRow(CELL, 7, 16, Action.DENY, RuleId(5)),
            wanted,
            verdict(POLICY, 0, Action.ALLOW, 0),
            interface_row(egress=POLICY),
        )

    assert wanted not in small.datapath.dump(VerdictRow)
    assert small.send(frames.udp(7, 80), frames.UDP).drops == {"POLICY": 1}
    assert small.send(frames.udp(7, 53), frames.UDP).drops == {"POLICY": 1}
