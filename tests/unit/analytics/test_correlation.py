"""Alarms that follow from a dead host: shown under its own, told once, told after all where it was not that."""

from __future__ import annotations

import pytest

from skytrail.analytics import uve_json
from skytrail.analytics.collector import Collector
from skytrail.analytics.configured import node_uve
from skytrail.analytics.correlation import HELD_BACK_S, SETTLES_S
from skytrail.analytics.generators import GRACE_S
from skytrail.analytics.telemetry import change_of, client_hello
from skytrail.analytics.uve_filter import UveFilter
from skytrail.analytics.watchman import Watchman
from skytrail.wire.telemetry import Hello, Uve, node_status

AGENT, CONTROL = "contrail-vrouter-agent", "contrail-control"


class Site:
    """Hosts h1, h2 and a control node, told by their processes; time is ours."""

    def __init__(self):
        self.collector = Collector()
        self.watchman = Watchman(self.collector, "node1")
        self.told = []
        self.watchman.tell_people = self.told.append
        self.now = 0.0
        for host in ("h1", "h2"):
            configured = node_uve("virtual-router", {"fq_name": ["g", host]})
            self.collector.apply(change_of("node1:Analytics:watch:0", configured), 0.0)
        self.up("h1", "h2")
        self.connect("c1", "Control", CONTROL)
        self.say("c1", "Control", CONTROL, node_status("ObjectBgpRouter", "c1", CONTROL, unmet=()))
        self.sessions(h1=True, h2=True)
        self.run(5)

    def connect(self, source, node_type, module):
        hello = Hello(
            source=source, node_type=node_type, module=module, instance_id="0", pid=7, started_us=1
        )
        self.collector.session_up(client_hello(hello), self.now, address="", protocol="telemetry")

    def say(self, source, node_type, module, *uves):
        for each in uves:
            generator = f"{source}:{node_type}:{module}:0"
            self.collector.apply(change_of(generator, each), self.now)

    def up(self, *hosts):
        for host in hosts:
            self.connect(host, "Compute", AGENT)
            port = Uve(
                table="ObjectVMITable", key=f"{host}-port", struct="UveVMInterfaceAgent",
                fields={"vrouter": host},
            )  # fmt: skip
            self.say(
                host, "Compute", AGENT, node_status("ObjectVRouter", host, AGENT, unmet=()), port
            )

    def cut(self, host):
        self.collector.session_down(f"{host}:Compute:{AGENT}:0", self.now)

    def sessions(self, **is_up):
        """What the control node says of hosts' sessions."""
        peers = [
            Uve(
                table="ObjectXmppPeerInfo", key=f"c1:192.0.2.{host[1:]}", struct="XmppPeerInfoData",
                fields={
                    "identifier": host,
                    "state_info": {"state": "Established" if up else "Active"},
                    "close_reason": "" if up else "hold timer",
                },
            )
            for host, up in is_up.items()
        ]  # fmt: skip
        counts = {
            "num_xmpp_peer": len(is_up), "num_up_xmpp_peer": sum(is_up.values()),
            "num_bgp_peer": 0, "num_up_bgp_peer": 0,
        }  # fmt: skip
        router = Uve(table="ObjectBgpRouter", key="c1", struct="BgpRouterState", fields=counts)
        self.say("c1", "Control", CONTROL, router, *peers)

    def run(self, seconds):
        for _ in range(round(seconds)):
            self.now += 1.0
            self.collector.tick(self.now)
            self.watchman.tick(self.now, round(self.now * 1e6))

    def heard(self):
        """What people heard since the last time."""
        found = [
            (each.is_raised, each.name, each.rule.rpartition("-defined-")[2]) for each in self.told
        ]
        self.told.clear()
        return found

    def alarms(self, table, key):
        entity = self.collector.uves.get(table, key) or {}
        said = uve_json.flat(UveFilter().part_of(entity)).get("UVEAlarms", {})
        return {each["type"].rpartition("-defined-")[2]: each for each in said.get("alarms", [])}


@pytest.fixture
def site():
    made = Site()
    assert made.heard() == []
    return made


def test_dead_host_is_told_once_with_what_follows_from_it(site):
    site.cut("h1")
    site.sessions(h1=False, h2=True)
    site.run(GRACE_S + 35)

    assert site.heard() == [(True, "h1", "node-status")]
    parent = site.alarms("ObjectVRouter", "h1")["node-status"]
    assert parent["children_count"] == 2
    assert {(each["type"], each["name"]) for each in parent["children"]} == {
        ("xmpp-peer", "c1:192.0.2.1"), ("control-node", "c1"),
    }  # fmt: skip
    child = site.alarms("ObjectXmppPeerInfo", "c1:192.0.2.1")["xmpp-close-reason"]
    assert (child["parent"]["type"], child["parent"]["name"]) == ("vrouter", "h1")


def test_notice_of_a_dead_host_counts_what_follows(site):
    site.cut("h1")
    site.sessions(h1=False, h2=True)
    site.run(GRACE_S + 35)

    (notice,) = site.told
    assert notice.shown()["following"] == 2
    assert "and 2 that follow from it" in notice.line()


def test_host_that_comes_back_is_told_and_what_followed_is_not(site):
    site.cut("h1")
    site.sessions(h1=False, h2=True)
    site.run(GRACE_S + 35)
    site.heard()

    site.up("h1")
    site.sessions(h1=True, h2=True)
    site.run(SETTLES_S + 5)

    assert site.heard() == [(False, "h1", "node-status")]
    assert site.alarms("ObjectXmppPeerInfo", "c1:192.0.2.1") == {}


def test_session_that_stays_down_when_its_host_is_back_is_told_then(site):
    site.cut("h1")
    site.sessions(h1=False, h2=True)
    site.run(GRACE_S + 35)
    site.heard()

    site.up("h1")
    site.run(20)
    assert site.heard() == [(False, "h1", "node-status")]
    site.run(SETTLES_S)

    assert set(site.heard()) == {
        (True, "c1:192.0.2.1", "xmpp-close-reason"), (True, "c1", "xmpp-connectivity"),
    }  # fmt: skip


def test_session_of_a_host_that_lives_is_told_at_once(site):
    site.sessions(h1=False, h2=True)
    site.run(2)

    assert site.heard() == [(True, "c1:192.0.2.1", "xmpp-close-reason")]


def test_host_that_was_only_cut_off_for_a_moment_hides_nothing(site):
    site.cut("h1")
    site.sessions(h1=False, h2=True)
    site.run(10)
    assert site.heard() == []

    site.up("h1")
    site.run(2)

    assert site.heard() == [(True, "c1:192.0.2.1", "xmpp-close-reason")]
    site.run(HELD_BACK_S)
    assert site.heard() == [(True, "c1", "xmpp-connectivity")]


def test_control_node_that_misses_a_living_host_too_is_told(site):
    site.cut("h1")
    site.sessions(h1=False, h2=False)
    site.run(GRACE_S + 40)

    heard = site.heard()
    assert (True, "h1", "node-status") in heard
    assert (True, "c1", "xmpp-connectivity") in heard
    assert (True, "c1:192.0.2.2", "xmpp-close-reason") in heard
    assert (True, "c1:192.0.2.1", "xmpp-close-reason") not in heard
