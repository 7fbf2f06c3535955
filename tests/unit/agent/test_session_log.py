"""Records of sessions: what a line says, and who wants it."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from skytrail.agent.config import ConfigGraph
from skytrail.agent.logging_objects import OBJECT, LoggingObjects
from skytrail.agent.session_log import (
    LoggedSessions,
    SessionBook,
    SessionEvent,
    SessionFilter,
    SessionKind,
)
from skytrail.agent.session_rows import SessionRows
from skytrail.agent.tables import IdentityId, InetRouteRow, NextHopId, RuleId, VerdictRow, VifId
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, rule, subnet, uuid_of
from skytrail.wire.xmpp import ConfigKey


class World:
    """Ports web and db of one network, with a rule that logs port 80 and one that logs nothing."""

    def __init__(self):
        config = ConfigBuilder()
        blue = config.network("blue", 5, [subnet("10.1.1.0/24")])
        config.port("web", blue, ["10.1.1.3"])
        config.port("db", blue, ["10.1.1.4"])
        ends = ({"virtual_network": f"{PROJECT}:blue"}, {"virtual_network": f"{PROJECT}:blue"})
        logged, plain = (rule(*ends, ports=(port, port)) for port in (80, 81))
        logged["action_list"]["log"] = True
        config.access_list(blue, "blue", [logged, plain])
        self.host = AgentHost()
        for index, name in enumerate(("web", "db")):
            self.host.plug(name, 10 + index)
        self.host.connect()
        self.host.configure(config.update())
        self.host.reconcile()
        self.book = SessionBook(self.host.numbers)

    def event(self, port, **changed):
        desired = self.host.desired
        verdicts = desired.rows[VerdictRow].values()
        number = next(row.rule_id for row in verdicts if row.port == port and row.port_bits == 16)
        vrf_id = desired.vrfs[f"{PROJECT}:blue:blue"]
        routes = desired.rows[InetRouteRow].values()
        far = next(r for r in routes if str(r.prefix) == "10.1.1.4/32" and r.vrf_id == vrf_id)
        made = SessionEvent(
            kind=SessionKind.BEGIN,
            time_ns=1_500_000_000,
            created_ns=77,
            pair=5,
            vif_id=self.host.vif("web"),
            peer_vif_id=self.host.vif("db"),
            is_opened_here=True,
            source=ip_address("10.1.1.3"),
            destination=ip_address("10.1.1.4"),
            source_port=40000,
            destination_port=port,
            protocol=6,
            rule_id=number,
            identity=far.identity,
            nexthop_id=far.nexthop_id,
            drop_reason="",
            packets=(0, 0),
            bytes=(0, 0),
        )
        return replace(made, **changed)

    def record(self, *args, **changed):
        return self.book.record(self.event(*args, **changed), self.host.desired)

    def logged(self, rate, holder):
        """Who logs sessions: an object of port 81's rule, attached to one place."""
        config = ConfigBuilder()
        rule_uuid = self.record(81)["rule_uuids"][-1]
        listed = {"rule": [{"rule_uuid": rule_uuid, "rate": rate}]}
        slo = config.node(OBJECT, "audit", security_logging_object_rules=listed)
        config.link(ConfigKey(*holder), slo)
        graph = ConfigGraph()
        graph.update(config.update())
        return LoggedSessions(self.host.numbers, LoggingObjects(lambda: graph))

    def rows(self, draw=lambda: 0.0, **limits):
        return SessionRows(self.book, "h1", "192.0.2.1", draw, **limits)

    def told(self, rows, *changes, port=80):
        """Let sessions begin and end, one for each change of their events."""
        for index, changed in enumerate(changes):
            for kind in SessionKind:
                event = self.event(port, kind=kind, pair=index, packets=(3, 2), bytes=(300, 200))
                rows.note(replace(event, **changed), self.host.desired)
        return rows.take()


@pytest.fixture
def world():
    return World()


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

    record = world.record(
        80, kind=SessionKind.END, identity=IdentityId(0), packets=(3, 2), bytes=(300, 200)
    )

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


def test_session_is_a_row_from_its_ports_side(world):
    (row,) = world.told(world.rows(), {"peer_vif_id": VifId(0)})

    assert (row["session_type"], row["vrouter"], row["vrouter_ip"]) == ("client", "h1", "192.0.2.1")
    assert (row["local_ip"], row["remote_ip"]) == ("10.1.1.3", "10.1.1.4")
    assert (row["client_port"], row["server_port"]) == (40000, 80)
    assert row["remote_vn"] == f"{PROJECT}:blue"
    assert (row["forward_sampled_bytes"], row["reverse_sampled_pkts"]) == (300, 2)
    assert row["forward_logged_bytes"] == 300
    assert row["T"] == 1_500_000


def test_session_that_came_in_has_its_ends_the_other_way_round(world):
    (row,) = world.told(world.rows(), {"is_opened_here": False, "drop_reason": "POLICY"})

    assert (row["session_type"], row["local_ip"], row["remote_ip"]) == (
        "server",
        "10.1.1.4",
        "10.1.1.3",
    )
    assert (row["forward_action"], row["drop_reason"]) == ("deny", "POLICY")


def test_row_names_the_rule_that_decided_or_what_had_none(world):
    ruled = world.record(80)["rule_uuids"][-1]
    none = RuleId(world.host.numbers.rule.number("security groups d:p:web#no rule allows"))

    rows = world.told(world.rows(), {}, {"rule_id": none, "drop_reason": "POLICY"})

    assert [row["security_policy_rule"] for row in rows] == [ruled, "security groups d:p:web"]


def test_sampled_rows_stand_for_all_that_came(world):
    numbers = iter(index / 1000 for index in range(1000))
    rows = world.rows(lambda: next(numbers), rows_per_s=100)
    first = world.told(rows, *[{"time_ns": 1_000_000_000}] * 1000, port=81)

    sampled = world.told(rows, *[{"time_ns": 2_000_000_000}] * 1000, port=81)

    assert [row["sample_weight"] for row in first] == [1.0] * 1000
    assert len(sampled) == 100
    assert sum(row["sample_weight"] for row in sampled) == pytest.approx(1000)


def test_rate_that_falls_is_kept_whole_again(world):
    rows = world.rows(lambda: 0.99, rows_per_s=10)
    world.told(rows, *[{"time_ns": 1_000_000_000}] * 100, port=81)
    assert not world.told(rows, *[{"time_ns": 2_000_000_000}] * 5, port=81)

    assert len(world.told(rows, *[{"time_ns": 3_000_000_000}] * 5, port=81)) == 5


def test_logged_session_is_a_row_that_counts_for_nothing_where_it_was_not_sampled(world):
    rows = world.rows(lambda: 0.99, rows_per_s=10)
    world.told(rows, *[{"time_ns": 1_000_000_000}] * 100)

    (row,) = world.told(rows, {"time_ns": 2_000_000_000})

    assert (row["sample_weight"], row["forward_sampled_bytes"]) == (0.0, 0)
    assert (row["forward_logged_bytes"], row["reverse_logged_pkts"]) == (300, 2)


def test_session_is_counted_once_and_its_end_is_logged_like_its_beginning(world):
    sessions = world.logged(2, ("virtual-network", f"{PROJECT}:blue"))
    events = [
        world.event(81, kind=kind, pair=pair)
        for kind in (SessionKind.BEGIN, SessionKind.END)
        for pair in (1, 2)
    ]

    found = [sessions.by(event, world.host.desired) for event in events]

    assert found == [("audit",), (), ("audit",), ()]
    record = world.book.record(events[0], world.host.desired, found[0])
    assert (record["logged"], record["logged_by"]) == (True, ["audit"])


def test_session_whose_beginning_nobody_saw_is_counted_at_its_end(world):
    # Attached to the port at the other end, which is on the same host.
    sessions = world.logged(1, ("virtual-machine-interface", f"{PROJECT}:db"))

    assert sessions.by(world.event(81, kind=SessionKind.END), world.host.desired) == ("audit",)
