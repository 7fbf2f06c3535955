"""MACs behind ports: learnt, limited, forgotten, and told to others with numbers that settle who has them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, ip_network

import pytest

from skytrail.agent.fib import LearntRoute
from skytrail.agent.interface import InactivePort, troubles
from skytrail.agent.learnt_moves import HELD_S
from skytrail.agent.mac_learning import HOST_COUNT_MAX, MacTable, Owners
from skytrail.agent.tables import BridgeRow, InterfaceRow, SeenMacRow
from skytrail.net import Mac
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet, uuid_of
from skytrail.wire.xmpp import EnetKey, NextHop, Route, RouteAttributes

VRF = f"{PROJECT}:nest:nest"
OWN, LOWER, HIGHER = (IPv4Address(f"192.0.2.{n}") for n in (5, 1, 9))
NESTED = Mac.parse("06:00:00:00:00:01")


def mac(number: int) -> Mac:
    return Mac(b"\x06\0\0\1" + number.to_bytes(2))


class Nest:
    """A host with ports a and b of a network that learns."""

    def __init__(self, *, secure: bool = False, system: dict | None = None, **settings: object):
        self.config = ConfigBuilder()
        self.settings = {"mac_learning_enabled": True, **settings}
        if system is not None:
            self.config.node("global-system-config", "default-global-system-config", **system)
        network = self.network(**self.settings)
        for name in "ab":
            key = self.config.port(name, network, [f"10.1.1.{ord(name)}"])
            properties = {**self.config.nodes[key].properties, "port_security_enabled": secure}
            self.config.node(key.type_name, key.name, **properties)
        self.host = AgentHost(str(OWN))
        self.host.connect()
        for index, name in enumerate("ab"):
            self.host.plug(name, 10 + index)
        self.configure()

    def network(self, **settings: object):
        return self.config.network("nest", 5, [subnet("10.1.1.0/24")], **settings)

    def configure(self) -> None:
        self.host.configure(self.config.update())
        self.host.reconcile()

    @property
    def owners(self):
        return (self.host.planner.who_has, OWN)

    def learn(self, name: str, *macs: Mac, at: float = 0.0) -> None:
        for each in macs:
            self.host.macs.learn(self.host.view.ports[uuid_of(name)], each, at, self.owners)
        self.settle()

    def follow(self, at: float = 0.0) -> None:
        self.host.reconcile()
        self.host.macs.follow(self.host.view.ports, at, self.owners)
        self.settle()

    def settle(self) -> None:
        self.host.macs.settle()
        self.host.reconcile()

    def hear(self, *, sequence: int, address=None, at=HIGHER, sticky: bool = False) -> None:
        """Another host announces the MAC."""
        hop = NextHop(at, label=400, encapsulations=("udp",))
        attributes = RouteAttributes(sequence_number=sequence, sticky=sticky)
        prefix = ip_network(address) if address else None
        self.host.learn(VRF, [Route(EnetKey(NESTED, prefix), (hop,), attributes)])
        self.host.resolve(str(at))
        self.host.reconcile()

    def macs(self, name: str) -> dict[Mac, int]:
        found = self.host.macs.learnt.get(uuid_of(name))
        return dict(found.sequences) if found else {}

    def told(self, which: Mac = NESTED) -> Route | None:
        found = [r for vrf, r in self.host.published() if r.key == EnetKey(which, None)]
        return found[0] if found else None

    def bridge(self, which: Mac = NESTED) -> BridgeRow | None:
        rows = self.host.desired.rows[BridgeRow].values()
        return next((r for r in rows if isinstance(r, BridgeRow) and r.mac == which), None)

    def interface(self, name: str) -> InterfaceRow:
        rows = self.host.desired.rows[InterfaceRow].values()
        return next(r for r in rows if r.vif_id == self.host.vif(name))


def test_a_learnt_mac_has_rows_and_is_told_by_itself():
    nest = Nest()
    nest.learn("a", NESTED)
    plan, row, route = nest.host.active("a"), nest.bridge(), nest.told()

    assert plan.macs.sequences == ((NESTED, 0),)
    assert row is not None
    assert (nest.host.vif("a"), NESTED) in nest.host.desired.rows[SeenMacRow]
    assert route is not None
    own = next(
        r
        for _, r in nest.host.published()
        if r.key == EnetKey(plan.port.mac, ip_network("10.1.1.97"))
    )
    assert route.next_hops[0].label == own.next_hops[0].label
    assert route.attributes.sequence_number == 0


@pytest.mark.parametrize(
    ("secure", "settings", "learns"),
    [
        (False, {}, True),
        (True, {}, False),
        (False, {"mac_learning_enabled": False}, False),
        (False, {"virtual_network_properties": {"forwarding_mode": "l3"}}, False),
    ],
)
def test_ports_learn_where_the_network_does_and_any_mac_may_send(secure, settings, learns):
    nest = Nest(secure=secure, **settings)
    nest.learn("a", NESTED)

    assert nest.interface("a").learns == learns
    assert (nest.told() is not None) == learns


def test_a_mac_that_moves_within_the_host_keeps_its_number_and_is_told_with_the_new_label():
    nest = Nest()
    nest.learn("a", NESTED)
    before = nest.told()
    nest.learn("b", NESTED)
    after = nest.told()

    assert nest.macs("a") == {}
    assert nest.macs("b") == {NESTED: 0}
    assert before and after and before.next_hops != after.next_hops


def test_a_mac_that_comes_from_another_host_is_told_with_a_higher_number():
    nest = Nest()
    nest.hear(sequence=4)
    nest.learn("a", NESTED)
    route = nest.told()

    assert route is not None
    assert route.attributes.sequence_number == 5
    nest.follow()
    assert nest.macs("a") == {NESTED: 5}


def test_a_mac_that_went_to_another_host_is_led_there_at_once_and_then_given_up():
    nest = Nest()
    nest.learn("a", NESTED)
    local = nest.bridge()
    nest.hear(sequence=1)

    assert nest.bridge() != local
    nest.follow()
    assert nest.macs("a") == {}
    assert nest.told() is None
    assert nest.bridge() is not None, "the other host's"


@pytest.mark.parametrize(("at", "kept"), [(LOWER, False), (HIGHER, True)])
def test_of_two_hosts_that_learnt_a_mac_at_once_the_lower_address_keeps_it(at, kept):
    nest = Nest()
    nest.learn("a", NESTED)
    nest.hear(sequence=0, at=at)
    nest.follow()

    assert (nest.macs("a") != {}) == kept


@pytest.mark.parametrize("how", [{"address": "10.1.1.50"}, {"sticky": True}])
def test_nobody_takes_over_the_mac_of_a_port_elsewhere(how):
    nest = Nest()
    nest.hear(sequence=0, **how)
    nest.learn("a", NESTED)

    assert nest.macs("a") == {}
    assert nest.host.macs.counts["MACs of other ports"] == 1


def test_nobody_takes_over_the_mac_of_a_port_here():
    nest = Nest()
    nest.learn("a", nest.host.active("b").port.mac)

    assert nest.macs("a") == {}


def test_a_port_without_address_announces_its_mac_as_one_that_stays():
    nest = Nest(virtual_network_properties={"forwarding_mode": "l2"})
    network = next(key for key in nest.config.nodes if key.name == f"{PROJECT}:nest")
    nest.config.port("c", network, [])
    nest.host.plug("c", 14)
    nest.configure()
    route = nest.told(nest.host.active("c").port.mac)

    assert route is not None
    assert route.attributes.sticky


@pytest.mark.parametrize("text", ["00:00:00:00:00:00", "02:5e:c0:00:02:01"])
def test_what_no_machine_has_is_not_learnt(text):
    nest = Nest()
    nest.learn("a", Mac.parse(text))

    assert nest.macs("a") == {}
    assert nest.host.macs.counts["MACs that nobody may have"] == 1


@pytest.mark.parametrize(("settings", "age_s"), [({}, 300), ({"mac_aging_time": 20}, 20)])
def test_who_is_silent_for_its_age_is_forgotten_and_withdrawn(settings, age_s):
    nest = Nest(**settings)
    nest.learn("a", NESTED, mac(1), at=1000.0)
    seen = {(uuid_of("a"), NESTED): 1000.0 + age_s}
    nest.host.macs.age(seen, 1000.0 + age_s)
    nest.settle()

    assert nest.macs("a") == {NESTED: 0}
    assert nest.told(mac(1)) is None


def test_a_mac_of_age_zero_stays():
    nest = Nest(mac_aging_time=0)
    nest.learn("a", NESTED)
    nest.host.macs.age({}, 1e9)
    nest.settle()

    assert nest.macs("a") == {NESTED: 0}


def limited(action: str, count: int = 2) -> Nest:
    return Nest(mac_limit_control={"mac_limit": count, "mac_limit_action": action})


@pytest.mark.parametrize("action", ["log", "alarm", "drop", "shutdown"])
def test_the_limit_of_a_port_holds_and_is_told_of_once(action):
    nest = limited(action)
    nest.learn("a", *[mac(number) for number in range(20)])
    nest.learn("b", NESTED)

    assert nest.macs("a").keys() == ({mac(0), mac(1)} if action != "shutdown" else set())
    assert [(n.event, n.port) for n in nest.host.macs.take_news()] == [
        ("mac_limit_exceeded", uuid_of("a"))
    ]
    assert nest.macs("b") == {NESTED: 0}
    state = nest.host.desired.ports[uuid_of("a")]
    assert isinstance(state, InactivePort) == (action == "shutdown")
    told = {each.uuid: each.reason for each in troubles(nest.host.desired.ports, nest.host.view)}
    wanted = {
        "alarm": "sends from more than 2 MACs",
        "shutdown": "shut down: sends from more than 2 MACs",
    }
    assert told.get(uuid_of("a")) == wanted.get(action)
    assert nest.interface("a").macs_full == (action == "drop")
    assert not nest.interface("b").macs_full


def test_a_port_is_not_full_any_more_once_a_mac_aged():
    nest = limited("drop")
    nest.learn("a", mac(0), mac(1), mac(2), at=0.0)
    nest.host.macs.age({(uuid_of("a"), mac(0)): 300.0}, 300.0)
    nest.settle()

    assert not nest.interface("a").macs_full
    nest.learn("a", mac(3), at=301.0)
    assert nest.macs("a").keys() == {mac(0), mac(3)}


def test_a_port_that_was_shut_down_works_again_with_other_limits():
    nest = limited("shutdown")
    nest.learn("a", mac(0), mac(1), mac(2))
    nest.network(
        mac_learning_enabled=True,
        mac_limit_control={"mac_limit": 9, "mac_limit_action": "shutdown"},
    )
    nest.configure()
    nest.follow()

    assert nest.interface("a").learns
    nest.learn("a", mac(0), mac(1), mac(2))
    assert len(nest.macs("a")) == 3


def test_a_port_that_was_shut_down_works_again_when_plugged_anew():
    nest = limited("shutdown")
    nest.learn("a", mac(0), mac(1), mac(2))
    nest.host.macs.forget_port(uuid_of("a"))
    nest.settle()

    assert nest.interface("a").learns


def test_the_system_has_limits_for_networks_without():
    nest = Nest(system={"mac_aging_time": 7, "mac_limit_control": {"mac_limit": 3}})
    learning = nest.host.active("a").port.learning

    assert learning is not None
    assert (learning.age_s, learning.limit_count) == (7, 3)


def test_a_lower_limit_takes_places_away():
    nest = Nest()
    nest.learn("a", mac(0), mac(1), mac(2))
    nest.network(mac_learning_enabled=True, mac_limit_control={"mac_limit": 1})
    nest.configure()
    nest.follow()

    assert nest.macs("a") == {mac(0): 0}


def test_a_network_that_learns_no_more_forgets():
    nest = Nest()
    nest.learn("a", NESTED)
    nest.network(mac_learning_enabled=False)
    nest.configure()
    nest.follow()

    assert nest.macs("a") == {}
    assert nest.bridge() is None


def moving(action: str, limit: int = 2) -> Nest:
    return Nest(
        mac_move_control={
            "mac_move_limit": limit,
            "mac_move_time_window": 60,
            "mac_move_limit_action": action,
        }
    )


@pytest.mark.parametrize(
    ("action", "at_last"), [("log", "b"), ("alarm", "b"), ("drop", "a"), ("shutdown", "a")]
)
def test_a_mac_that_moves_too_often_between_ports_is_told_of_and_perhaps_held(action, at_last):
    nest = moving(action)
    for at, name in enumerate("abab"):
        nest.learn(name, NESTED, at=float(at))

    assert NESTED in nest.macs(at_last)
    assert [each.event for each in nest.host.macs.take_news()] == ["mac_moves_too_often"]
    told = [each.uuid for each in troubles(nest.host.desired.ports, nest.host.view)]
    assert told == ([uuid_of("b")] if action != "log" else [])


def test_moves_that_are_long_ago_do_not_count():
    nest = moving("drop")
    for at, name in enumerate("ababab"):
        nest.learn(name, NESTED, at=at * 61.0)

    assert nest.macs("b") == {NESTED: 0}


def test_what_was_held_may_move_again_after_a_while():
    nest = moving("drop")
    for name in "abab":
        nest.learn(name, NESTED, at=1.0)
    assert nest.macs("a") == {NESTED: 0}
    nest.follow(at=2.0 + HELD_S)
    nest.learn("b", NESTED, at=2.0 + HELD_S)

    assert nest.macs("b") == {NESTED: 0}
    assert not list(troubles(nest.host.desired.ports, nest.host.view))


def test_a_restart_keeps_what_the_kernel_knew():
    nest = Nest()
    nest.host.macs.restore({uuid_of("a"): [NESTED]})
    nest.host.reconcile()
    assert nest.bridge() is not None

    nest.follow()
    assert nest.macs("a") == {NESTED: 0}
    nest.learn("b", NESTED)
    assert nest.macs("a") == {}


def test_a_host_has_room_for_so_many_macs_and_no_more():
    nest, table = Nest(), MacTable()
    port = nest.host.view.ports[uuid_of("a")]
    wide = replace(port.network.learning, limit_count=HOST_COUNT_MAX + 5)
    port = replace(port, network=replace(port.network, learning=wide))

    def nobody(vrf: str, which: Mac) -> Owners:
        del vrf, which
        return Owners()

    for number in range(HOST_COUNT_MAX + 3):
        table.learn(port, Mac(b"\x06\0" + number.to_bytes(4)), 0.0, (nobody, OWN))
    assert table.counts["MACs beyond what the host has room for"] == 3


def test_our_own_route_told_back_is_no_rival():
    route = LearntRoute(
        EnetKey(NESTED, None), (NextHop(OWN, label=3),), (), 100, 9, ("control",), stale=False
    )
    nest = Nest()
    nest.host.macs.learn(
        nest.host.view.ports[uuid_of("a")], NESTED, 0.0, (lambda *_: Owners(routes=(route,)), OWN)
    )
    nest.settle()

    assert nest.macs("a") == {NESTED: 0}
