"""A host whose workloads have sessions, for tests of what is told of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from ipaddress import ip_address
from typing import Any, cast

from skytrail.agent.config import ConfigGraph
from skytrail.agent.logging_objects import OBJECT, LoggingObjects
from skytrail.agent.session_batch import SessionEvent, SessionKind
from skytrail.agent.session_follow import Followed, SessionFollower
from skytrail.agent.session_log import SessionBook
from skytrail.agent.tables import InetRouteRow, VerdictRow
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, rule, subnet
from skytrail.testing.session_records import batch_of
from skytrail.wire.xmpp import ConfigKey
from skytrail.wire.xmpp.values import Json


class SessionWorld:
    """Ports web and db of one network, with a rule that logs port 80 and one that logs nothing."""

    def __init__(self) -> None:
        config = ConfigBuilder()
        blue = config.network("blue", 5, [subnet("10.1.1.0/24")])
        config.port("web", blue, ["10.1.1.3"])
        config.port("db", blue, ["10.1.1.4"])
        ends = ({"virtual_network": f"{PROJECT}:blue"}, {"virtual_network": f"{PROJECT}:blue"})
        logged, plain = (
            dict(cast("Mapping[str, Json]", rule(*ends, ports=(port, port)))) for port in (80, 81)
        )
        logged["action_list"] = {"simple_action": "pass", "log": True}
        config.access_list(blue, "blue", [logged, plain])
        self.host = AgentHost()
        for index, name in enumerate(("web", "db")):
            self.host.plug(name, 10 + index)
        self.host.connect()
        self.host.configure(config.update())
        self.host.reconcile()
        self.book = SessionBook(self.host.numbers)

    def event(self, port: int, **changed: Any) -> SessionEvent:
        desired = self.host.desired
        verdicts = [row for row in desired.rows[VerdictRow].values() if isinstance(row, VerdictRow)]
        number = next(row.rule_id for row in verdicts if row.port == port and row.port_bits == 16)
        vrf_id = desired.vrfs[f"{PROJECT}:blue:blue"]
        rows = desired.rows[InetRouteRow].values()
        routes = [row for row in rows if isinstance(row, InetRouteRow)]
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

    def record(self, port: int, **changed: Any) -> Mapping[str, object]:
        event = self.event(port, **changed)
        return self.book.record(event, event.identity, self.host.desired)

    def logged(self, rate: int, holder: tuple[str, str]) -> LoggingObjects:
        """Objects of port 81's rule, one, attached to one place."""
        config = ConfigBuilder()
        record = self.record(81)
        rule_uuid = cast("list[str]", record["rule_uuids"])[-1]
        listed = {"rule": [{"rule_uuid": rule_uuid, "rate": rate}]}
        slo = config.node(OBJECT, "audit", security_logging_object_rules=listed)
        config.link(ConfigKey(*holder), slo)
        graph = ConfigGraph()
        graph.update(config.update())
        return LoggingObjects(lambda: graph)

    def follower(self, objects: LoggingObjects | None = None) -> SessionFollower:
        empty = ConfigGraph()
        return SessionFollower(self.host.numbers, objects or LoggingObjects(lambda: empty))

    def follow(self, follower: SessionFollower, *events: SessionEvent) -> Followed:
        return follower.follow(batch_of(events), self.host.desired)
