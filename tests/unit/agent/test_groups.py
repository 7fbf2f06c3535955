"""Groups of an agent: reports and queries of its ports, and the lists that follow for the kernel."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from ipaddress import ip_address

import pytest

from skytrail.agent.group_rows import GroupShares, GroupTable, Member
from skytrail.agent.io.ebpf_rows import group_entry, group_row, is_of_group
from skytrail.agent.membership import MEMBERSHIP_TIME_S, QUERY_INTERVAL_S, Listening
from skytrail.agent.querier import (
    QUESTIONS_COUNT_MAX,
    STARTUP_INTERVAL_S,
    Querier,
    owners_of,
)
from skytrail.agent.tables import FloodRow, GroupRow, NextHopId, NextHopRow, VrfId
from skytrail.net import GATEWAY_MAC
from skytrail.testing.agent_world import AgentHost, ConfigBuilder, subnet, uuid_of
from skytrail.wire.frame import (
    EthernetFrame,
    IpPacket,
    decode_ethernet,
    decode_ip,
    internet_checksum,
)
from skytrail.wire.igmp import RecordKind
from skytrail.wire.xmpp.values import Json

GROUP, OTHER = ip_address("239.1.2.3"), ip_address("239.4.4.4")
SENDER = ip_address("10.1.1.9")
ALL = Listening(takes_all=True)


def world(*names: str, network: Json = True, port: Json = None, everywhere: Json = None,
          unheard: str = "") -> AgentHost:  # fmt: skip
    config = ConfigBuilder()
    notes = {"key_value_pair": [{"key": "unheard-multicast", "value": unheard}]}
    red = config.network("red", 5, [subnet("10.1.1.0/24")], igmp_enable=network, annotations=notes)
    for number, name in enumerate("abc", start=3):
        key = config.port(name, red, [f"10.1.1.{number}"])
        if name == "a" and port is not None:
            old = config.nodes[key].properties
            config.node(key.type_name, key.name, **dict(old), igmp_enable=port)
    config.node("global-system-config", "default-global-system-config", igmp_enable=everywhere)
    made = AgentHost("192.0.2.1")
    for index, name in enumerate(names):
        made.plug(name, 10 + index)
    made.connect()
    made.configure(config.update())
    made.reconcile()
    return made


def lists(made: AgentHost) -> dict[tuple[str, str], set[str]]:
    """Members of each list by group and source: ports by uuid."""
    found = {}
    for row in made.datapath.rows[GroupRow].values():
        assert isinstance(row, GroupRow)
        hops = [made.datapath.rows[NextHopRow][hop] for hop, _ in row.members]
        found[str(row.group or ""), str(row.source or "")] = {
            made.desired.vifs.get(hop.vif_id, str(hop.remote)) for hop in hops
        }
    return found


def listen(made: AgentHost, **groups: dict) -> None:
    made.groups = {uuid_of(name): each for name, each in groups.items()}
    made.reconcile()


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"network": True}, True),
        ({"network": None, "port": True}, True),
        ({"network": None, "everywhere": True}, True),
        ({"network": None}, False),
    ],
)
def test_reports_are_taken_where_network_port_or_the_whole_asks(settings, expected) -> None:
    made = world("a", **settings)

    (flood,) = made.datapath.rows[FloodRow].values()
    assert flood.snoops == expected
    assert made.active("a").port.takes_reports == expected


def test_lists_hold_who_listens_and_others_none() -> None:
    made = world("a", "b", "c")
    listen(made, a={GROUP: ALL}, b={GROUP: Listening(wanted=frozenset({SENDER}))})

    a, b = uuid_of("a"), uuid_of("b")
    assert lists(made) == {
        ("239.1.2.3", ""): {a},
        ("239.1.2.3", "10.1.1.9"): {a, b},
        ("", ""): set(),
    }
    listen(made, a={GROUP: Listening(takes_all=True, unwanted=frozenset({SENDER}))})
    assert lists(made)["239.1.2.3", "10.1.1.9"] == set()
    listen(made)
    assert lists(made) == {("", ""): set()}


def test_a_port_that_is_not_asked_gets_everything() -> None:
    made = world("a", "b", network=None, port=True)
    listen(made, a={GROUP: ALL})

    assert lists(made) == {
        ("239.1.2.3", ""): {uuid_of("a"), uuid_of("b")},
        ("", ""): {uuid_of("b")},
    }


def test_what_nobody_listens_to_goes_to_all_where_the_network_says_so() -> None:
    made = world("a", "b", unheard="flood")
    listen(made, a={GROUP: ALL})

    assert set(lists(made)) == {("239.1.2.3", "")}


def test_incremental_lists_equal_those_computed_from_nothing() -> None:
    made = world("a", "b", "c")
    for groups in ({"a": {GROUP: ALL}}, {"b": {OTHER: ALL}, "a": {GROUP: ALL}}, {}):
        listen(made, **groups)
        rows = made.desired.rows
        made.planner.compute(made.inputs(), full=True)
        assert made.compute().rows[GroupRow] == rows[GroupRow]


@pytest.mark.parametrize(
    ("group", "source"),
    [(GROUP, None), (GROUP, SENDER), (None, None),
     (ip_address("ff05::7"), ip_address("fd00::1")), (ip_address("ff05::7"), None)],
)  # fmt: skip
def test_a_list_reads_from_the_kernel_as_it_was_written(group, source) -> None:
    row = GroupRow(VrfId(5), group, source, ((NextHopId(7), 900),), 3)

    assert group_row(*group_entry(row)) == row
    assert is_of_group(group_entry(row)[0])


def test_vrfs_share_the_kernel_s_table_and_those_cut_short_send_to_all() -> None:
    shares = GroupShares(count_max=10)

    def table(vrf: int, count: int) -> GroupTable:
        groups = {GROUP + number: ALL for number in range(count)}
        return GroupTable(VrfId(vrf), [Member((NextHopId(1), 0), groups)], drops_unheard=True)

    shares.put("one", table(1, 3))
    assert len(shares.settle()["one"]) == 4
    shares.put("two", table(2, 50))
    rows = shares.settle()
    assert len(rows["one"]) == 4
    assert len(rows["two"]) == 5
    assert all(row.group is not None for row in rows["two"])
    shares.put("two", None)
    assert {vrf: len(found) for vrf, found in shares.settle().items()} == {"one": 4, "two": 0}


def report(
    made: AgentHost, name: str, kind: int, *, source: str = "", sum_: int | None = None
) -> bytes:
    port = made.active(name).port
    tail = GROUP.packed
    checksum = internet_checksum(bytes((kind, 0)), tail) if sum_ is None else sum_
    body = bytes((kind, 0)) + checksum.to_bytes(2) + tail
    sender = ip_address(source) if source else port.addresses[0]
    packet = IpPacket(sender, GROUP, 2, body, hop_limit=1).encode()
    return EthernetFrame(GATEWAY_MAC, port.mac, 0x0800, packet).encode()


def test_ports_are_asked_at_once_soon_again_and_then_at_intervals() -> None:
    made, querier = world("a"), Querier()
    asked = []
    for second in range(int(STARTUP_INTERVAL_S + 2 * QUERY_INTERVAL_S) + 2):
        asked += [second] * len(querier.tick(made.desired.ports, float(second)))

    assert asked == [0, 32, 157, 282]
    (ifname, frame), *_ = Querier().tick(made.desired.ports, 0.0)
    packet = decode_ip(decode_ethernet(frame).payload)
    assert ifname == made.active("a").plugged.ifname
    assert (str(packet.source), str(packet.destination)) == ("10.1.1.1", "224.0.0.1")
    assert frame[:6] == bytes.fromhex("01005e000001")


def test_a_report_counts_until_it_is_taken_back_and_nobody_answers() -> None:
    made, querier = world("a"), Querier()
    active = made.active("a")
    querier.tick(made.desired.ports, 0.0)
    assert querier.receive(active, report(made, "a", 0x16), 1.0) == []
    assert querier.groups() == {active.port.uuid: {GROUP: replace(ALL, versions=2)}}

    (query,) = querier.receive(active, report(made, "a", 0x17), 5.0)
    assert decode_ip(decode_ethernet(query).payload).destination == GROUP
    (again,) = querier.tick(made.desired.ports, 6.0)
    assert again[1] == query
    querier.tick(made.desired.ports, 7.5)
    assert querier.groups() == {active.port.uuid: {}}


def report3(made: AgentHost, name: str, *records: tuple[RecordKind, int, tuple[int, ...]]) -> bytes:
    """An IGMPv3 report: kind, number of the group and numbers of sources of each record."""
    port = made.active(name).port
    tail = len(records).to_bytes(4)
    for kind, group, sources in records:
        tail += bytes((kind, 0)) + len(sources).to_bytes(2) + (GROUP + group).packed
        tail += b"".join((SENDER + each).packed for each in sources)
    head = bytes((0x22, 0))
    body = head + internet_checksum(head, bytes(2), tail).to_bytes(2) + tail
    packet = IpPacket(port.addresses[0], ip_address("224.0.0.22"), 2, body, hop_limit=1).encode()
    return EthernetFrame(GATEWAY_MAC, port.mac, 0x0800, packet).encode()


def test_who_leaves_over_and_over_is_asked_once_and_once_again() -> None:
    made, querier = world("a"), Querier()
    active = made.active("a")
    querier.tick(made.desired.ports, 0.0)
    querier.receive(active, report(made, "a", 0x16), 1.0)

    asked = [querier.receive(active, report(made, "a", 0x17), 5.0 + n / 100) for n in range(90)]

    assert [len(each) for each in asked] == [1] + [0] * 89
    assert len(querier.tick(made.desired.ports, 6.0)) == 1
    assert querier.tick(made.desired.ports, 6.5) == []
    querier.tick(made.desired.ports, 7.1)
    assert querier.groups() == {active.port.uuid: {}}


def test_a_port_that_leaves_in_ever_new_ways_is_asked_so_many_questions_and_no_more() -> None:
    made, querier = world("a"), Querier()
    active = made.active("a")
    querier.tick(made.desired.ports, 0.0)
    groups, sources = range(100), range(20)
    for first in (0, 50):
        joins = [(RecordKind.ALLOW, first + group, tuple(sources)) for group in range(50)]
        querier.receive(active, report3(made, "a", *joins), 1.0)

    queries = []
    for source in sources:
        leaves = [(RecordKind.BLOCK, group, (source,)) for group in groups]
        queries += querier.receive(active, report3(made, "a", *leaves), 2.0)

    assert len(queries) == QUESTIONS_COUNT_MAX
    beyond = len(groups) * len(sources) - QUESTIONS_COUNT_MAX
    assert querier.counts["leaves beyond what is asked about"] == beyond
    assert len(querier.tick(made.desired.ports, 3.0)) == QUESTIONS_COUNT_MAX


def test_what_is_no_report_of_the_port_s_own_is_counted_and_changes_nothing() -> None:
    made, querier = world("a"), Querier()
    active = made.active("a")
    querier.receive(active, report(made, "a", 0x16), 0.0)
    querier.tick(made.desired.ports, 0.0)
    for frame in (
        report(made, "a", 0x16, source="10.1.1.77"),
        report(made, "a", 0x11),
        report(made, "a", 0x16, sum_=7),
        report(made, "a", 0x16)[:40],
    ):
        querier.receive(active, frame, 1.0)

    assert querier.groups() == {active.port.uuid: {}}
    assert querier.counts == Counter(
        {
            "reports of ports that are not asked": 1,
            "reports with another's address": 1,
            "malformed: a workload sends queries": 1,
            "malformed: IGMP checksum is wrong": 1,
            "malformed: an IGMP message is cut short": 1,
        }
    )


def test_a_restarted_agent_keeps_what_ports_listened_to_until_they_were_asked() -> None:
    made = world("a", "b")
    some = Listening(takes_all=True, unwanted=frozenset({SENDER}))
    listen(made, a={GROUP: some}, b={GROUP: ALL, OTHER: Listening(wanted=frozenset({SENDER}))})
    ports = dict(made.desired.vifs)
    owners = owners_of(made.datapath.dump(NextHopRow), ports)

    querier = Querier()
    querier.restore(made.datapath.dump(GroupRow), owners)
    querier.tick(made.desired.ports, 0.0)

    assert querier.groups() == made.groups
    querier.tick(made.desired.ports, MEMBERSHIP_TIME_S + 1)
    assert querier.groups() == {uuid_of("a"): {}, uuid_of("b"): {}}
