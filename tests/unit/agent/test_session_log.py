"""Records of sessions: what a line says, and who wants it."""

from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from skytrail.agent import abi
from skytrail.agent.session_batch import RECORD, SessionKind
from skytrail.agent.session_log import SessionFilter
from skytrail.agent.tables import IdentityId, NextHopId, RuleId, VifId
from skytrail.testing.agent_world import PROJECT, uuid_of
from skytrail.testing.session_records import batch_of
from skytrail.testing.session_world import SessionWorld


@pytest.fixture
def world():
    return SessionWorld()


def test_beginning_names_both_ends_and_the_rule(world):
    record = world.record(80)

    assert record["time"] == "1970-01-01T00:00:01.500000Z"
    assert (record["kind"], record["vmi_uuid"]) == ("begin", uuid_of("web"))
    assert record["peer_vmi_uuid"] == uuid_of("db")
    assert record["virtual_network"] == f"{PROJECT}:blue"
    assert record["peer_networks"] == [f"{PROJECT}:blue"]
    assert record["logged"]
    assert record["rules"][0].startswith(f"{PROJECT}:blue:blue#")
    assert record["rule_uuids"] == [name.rpartition("#")[2] for name in record["rules"]]
    assert "forward_packets" not in record


def test_end_has_the_same_id_and_what_was_counted(world):
    begun = world.record(80)

    record = world.record(80, kind=SessionKind.END, packets=(3, 2), bytes=(300, 200))

    assert record["id"] == begun["id"]
    assert record["peer_networks"] == begun["peer_networks"]
    assert (record["forward_packets"], record["reverse_bytes"]) == (3, 200)


def test_denied_session_names_why(world):
    record = world.record(80, drop_reason="POLICY", rule_id=RuleId(0))

    assert (record["allowed"], record["drop_reason"]) == (False, "POLICY")
    assert (record["rules"], record["logged"]) == ([], False)


def test_port_that_is_gone_leaves_a_record_with_its_addresses(world):
    record = world.record(80, vif_id=VifId(99), peer_vif_id=VifId(0), nexthop_id=NextHopId(0))

    assert (record["port"], record["vmi_uuid"], record["source"]) == ("", "", "10.1.1.3")


def test_readers_choose_by_port_and_by_log_action(world):
    logged, plain = world.record(80), world.record(81)

    assert SessionFilter(is_logged=True).wants(logged)
    assert not SessionFilter(is_logged=True).wants(plain)
    assert SessionFilter(uuid_of("db")).wants(plain)
    assert not SessionFilter(uuid_of("other")).wants(plain)


def test_far_end_of_a_session_is_known_at_its_end(world):
    """In the same batch, in a later one, and not by a flow that had the same place before."""
    follower = world.follower()
    begin = world.event(80)
    end = replace(begin, kind=SessionKind.END, identity=IdentityId(0))
    later = {"created_ns": 78, "identity": IdentityId(9)}

    first = world.follow(follower, begin, end, replace(begin, **later))
    second = world.follow(follower, end, replace(end, created_ns=78), replace(end, pair=900))

    assert first.identities.tolist() == [begin.identity, begin.identity, 9]
    assert second.identities.tolist() == [0, 9, 0]


@pytest.mark.parametrize("size", [1, 2, 4])
def test_session_is_counted_once_and_its_end_is_logged_like_its_beginning(world, size):
    objects = world.logged(2, ("virtual-network", f"{PROJECT}:blue"))
    follower = world.follower(objects)
    events = [
        world.event(81, kind=kind, pair=pair)
        for kind in (SessionKind.BEGIN, SessionKind.END)
        for pair in (1, 2)
    ]

    found = []
    for start in range(0, len(events), size):
        followed = world.follow(follower, *events[start : start + size])
        found += [followed.logged_by.get(place, ()) for place in range(size)]

    assert found == [("audit",), (), ("audit",), ()]
    assert [row["sessions"] for row in objects.rows()] == [2]
    record = world.book.record(events[0], events[0].identity, world.host.desired, found[0])
    assert (record["logged"], record["logged_by"]) == (True, ["audit"])


def test_session_whose_beginning_nobody_saw_is_counted_at_its_end(world):
    # Attached to the port at the other end, which is on the same host.
    follower = world.follower(world.logged(1, ("virtual-machine-interface", f"{PROJECT}:db")))

    followed = world.follow(follower, world.event(81, kind=SessionKind.END))

    assert followed.logged_by == {0: ("audit",)}


def test_records_are_read_as_they_were_written(world):
    prefixes = (ip_network("10.1.1.3/32"), ip_network("10.0.0.0/8"))
    events = [
        world.event(80),
        world.event(80, kind=SessionKind.END, packets=(1, 2), bytes=(3, 1 << 40)),
        world.event(
            81,
            is_opened_here=False,
            drop_reason="POLICY",
            destination=ip_address("10.0.0.0"),
            folded=prefixes,
        ),
        world.event(81, source=ip_address("2001:db8::1"), destination=ip_address("::ffff:1:2")),
    ]

    assert list(batch_of(events).events()) == events


def test_layout_of_records_is_the_kernels(world):
    event = world.event(80, kind=SessionKind.END, packets=(1, 2), bytes=(3, 4), pair=70_000)
    (record,) = batch_of([event]).records

    assert RECORD.itemsize == abi.SESSION_EVENT_LAYOUT.size
    assert (record["time_ns"], record["created_ns"]) == (1_500_000_000, 77)
    assert (record["pair"], record["vif"], record["peer_vif"]) == (
        70_000,
        event.vif_id,
        event.peer_vif_id,
    )
    assert (record["source_port"], record["destination_port"]) == (40000, 80)
    assert (record["rule"], record["identity"], record["nexthop"]) == (
        event.rule_id,
        event.identity,
        event.nexthop_id,
    )
    assert (record["kind"], record["family"], record["protocol"]) == (SessionKind.END, 4, 6)
    assert (record["packets"].tolist(), record["bytes"].tolist()) == ([1, 2], [3, 4])
