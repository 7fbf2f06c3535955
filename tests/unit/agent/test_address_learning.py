"""Addresses behind ports: learnt with their MACs, told, asked after, moved, and never a port's."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, TypeVar

import pytest

from skytrail.agent.address_frames import claim_of, question_frame
from skytrail.agent.address_learning import (
    QUESTIONS_COUNT,
    AddressTable,
    Question,
    World,
)
from skytrail.agent.interface import LearntMacs
from skytrail.agent.learnt_moves import HELD_S
from skytrail.agent.mac_config import LEARNT_PREFERENCE
from skytrail.agent.tables import BridgeRow, InetRouteRow, InterfaceRow, Row, SeenMacRow
from skytrail.net import GATEWAY_MAC, IpAddress, Label, Mac
from skytrail.testing.agent_world import PROJECT, AgentHost, ConfigBuilder, subnet, uuid_of
from skytrail.wire.errors import DecodeError
from skytrail.wire.xmpp import EnetKey, NextHop, Route, RouteAttributes

VRF = f"{PROJECT}:pods:pods"
OWN, LOWER, HIGHER = (IPv4Address(f"192.0.2.{n}") for n in (5, 1, 9))
POD, OTHER = Mac.parse("06:00:00:00:00:01"), Mac.parse("06:00:00:00:00:02")
T = TypeVar("T", bound=Row)
V4, V6 = IPv4Address("10.1.1.200"), IPv6Address("fd01::c8")


class Pods:
    """A host with ports a and b of a network that learns addresses."""

    def __init__(self, *, secure: bool = False, **settings: Any) -> None:
        self.config = ConfigBuilder()
        self.secure = secure
        self.configure_network(**settings)
        self.host = AgentHost(str(OWN))
        self.host.connect()
        for index, name in enumerate("ab"):
            self.host.plug(name, 10 + index)
        self.table = AddressTable()
        self.configure()

    def configure_network(self, **settings: Any) -> None:
        settings = {"mac_ip_learning_enable": True, **settings}
        subnets = [subnet("10.1.1.0/24"), subnet("fd01::/64")]
        network = self.config.network("pods", 5, subnets, **settings)
        for name in "ab":
            key = self.config.port(name, network, [f"10.1.1.{ord(name)}"])
            properties = {
                **self.config.nodes[key].properties,
                "port_security_enabled": self.secure,
            }
            self.config.node(key.type_name, key.name, **properties)

    def configure(self) -> None:
        self.host.configure(self.config.update())
        self.host.reconcile()

    @property
    def world(self) -> World:
        planner = self.host.planner
        return World(planner.who_has_address, planner.who_has, OWN)

    def learn(self, name: str, address: IpAddress, mac: Mac = POD, at: float = 0.0) -> None:
        self.table.learn(self.host.view.ports[uuid_of(name)], (address, mac), at, self.world)
        self.settle()

    def follow(self, at: float = 0.0) -> None:
        self.host.reconcile()
        self.table.follow(self.host.view.ports, at, self.world)
        self.settle()

    def settle(self) -> None:
        self.table.settle()
        learnt = {uuid: LearntMacs(addresses=found) for uuid, found in self.table.learnt.items()}
        self.host.macs.learnt = learnt
        self.host.reconcile()

    def hear(
        self, address: IpAddress, mac: Mac, host: IPv4Address, *, sequence: int, preference: int
    ) -> None:
        hop = NextHop(address=host, label=Label(77), encapsulations=("udp",), mac=mac)
        told = RouteAttributes(local_preference=preference, sequence_number=sequence)
        prefix = ip_network(address)
        keys = (prefix, EnetKey(mac, prefix))
        self.host.learn(VRF, [Route(key, (hop,), told) for key in keys])
        self.host.resolve(str(host))
        self.host.reconcile()

    def rows(self, kind: type[T]) -> list[T]:
        return [row for row in self.host.desired.rows[kind].values() if isinstance(row, kind)]

    def known(self) -> dict[str, tuple[str, Mac, int]]:
        ports = {uuid_of(name): name for name in "ab"}
        return {
            str(each.address): (ports[uuid], each.mac, each.sequence)
            for uuid, found in self.table.learnt.items()
            for each in found
        }


@pytest.fixture
def pods() -> Pods:
    return Pods()


@pytest.mark.parametrize("address", [V4, V6])
def test_an_address_is_a_route_with_its_mac_and_told_below_any_port(
    pods: Pods, address: IpAddress
) -> None:
    pods.learn("a", address)

    prefix = ip_network(address)
    (route,) = [row for row in pods.rows(InetRouteRow) if row.prefix == prefix]
    assert route.mac == POD
    assert [row for row in pods.rows(BridgeRow) if row.mac == POD]
    assert not pods.rows(SeenMacRow), "its MAC is not aged beside"
    published = {route.key: route for vrf, route in pods.host.published() if vrf == VRF}
    for key in (prefix, EnetKey(POD, prefix)):
        told = published[key]
        assert told.attributes.local_preference == LEARNT_PREFERENCE
        assert told.next_hops[0].mac == POD
    assert all(row.learns_addresses for row in pods.rows(InterfaceRow) if row.vrf_id)


def test_ports_with_port_security_and_other_networks_learn_none() -> None:
    for pods in (Pods(secure=True), Pods(mac_ip_learning_enable=False)):
        pods.learn("a", V4)
        assert pods.known() == {}
        assert not any(row.learns_addresses for row in pods.rows(InterfaceRow))


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("10.1.1.98", "addresses of ports"),
        ("10.1.1.1", "addresses outside the network"),
        ("10.1.1.255", "addresses outside the network"),
        ("10.2.0.1", "addresses outside the network"),
    ],
)
def test_what_is_nobodys_to_learn_is_counted(pods: Pods, address: str, why: str) -> None:
    pods.learn("a", ip_address(address))

    assert pods.known() == {}
    assert pods.table.counts == {why: 1}


def test_a_mac_of_another_port_brings_no_address(pods: Pods) -> None:
    pods.learn("a", V4, pods.host.view.ports[uuid_of("b")].mac)

    assert pods.table.counts == {"addresses at MACs of other ports": 1}


def test_an_address_that_a_port_elsewhere_has_is_not_learnt(pods: Pods) -> None:
    pods.hear(V4, OTHER, HIGHER, sequence=0, preference=200)
    pods.learn("a", V4)

    assert pods.known() == {}


def test_an_address_is_claimed_from_the_host_that_learnt_it_and_given_up_to_the_next(
    pods: Pods,
) -> None:
    pods.hear(V4, POD, HIGHER, sequence=3, preference=LEARNT_PREFERENCE)
    pods.learn("a", V4)
    assert pods.known() == {str(V4): ("a", POD, 4)}

    pods.hear(V4, POD, HIGHER, sequence=5, preference=LEARNT_PREFERENCE)
    pods.follow()
    assert pods.known() == {}


def test_an_address_that_becomes_a_ports_is_given_up(pods: Pods) -> None:
    pods.learn("a", V4)
    pods.hear(V4, OTHER, HIGHER, sequence=0, preference=200)
    pods.follow()

    assert pods.known() == {}


def test_of_two_hosts_that_learn_at_once_the_lower_keeps_it(pods: Pods) -> None:
    pods.learn("a", V4)
    pods.hear(V4, POD, HIGHER, sequence=0, preference=LEARNT_PREFERENCE)
    pods.follow()
    assert pods.known()

    pods.hear(V4, POD, LOWER, sequence=0, preference=LEARNT_PREFERENCE)
    pods.follow()
    assert not pods.known()


def test_an_address_that_moves_too_often_is_held(pods: Pods) -> None:
    for number in range(6):
        pods.learn("ab"[number % 2], V4, at=float(number))
    assert pods.known()[str(V4)][0] == "a", "its fifth move was one too many"

    pods.learn("b", V4, at=HELD_S)
    assert pods.known()[str(V4)][0] == "a"
    pods.learn("b", V4, at=HELD_S + 6)
    assert pods.known()[str(V4)][0] == "b"


def test_a_port_has_no_more_than_the_limit() -> None:
    pods = Pods(mac_limit_control={"mac_limit": 2, "mac_limit_action": "drop"})
    for number in range(4):
        pods.learn("a", IPv4Address(int(V4) + number))

    assert len(pods.known()) == 2
    assert pods.table.counts == {"addresses beyond the limit of a port": 2}


def test_who_was_silent_is_asked_three_times_and_then_forgotten(pods: Pods) -> None:
    pods.learn("a", V4, at=0.0)
    assert pods.table.due(299.0) == []

    asked = [pods.table.due(300.0 + second) for second in range(QUESTIONS_COUNT)]
    assert asked == [[Question(uuid_of("a"), V4, POD)]] * QUESTIONS_COUNT
    pods.learn("a", V4, at=303.5)
    assert pods.table.due(304.0) == [], "it has answered"
    for second in range(QUESTIONS_COUNT + 1):
        pods.table.due(604.0 + second)
    pods.settle()
    assert pods.known() == {}


def test_what_a_restart_found_is_asked_at_once_and_no_port_loses_its_own(pods: Pods) -> None:
    own = pods.host.view.ports[uuid_of("a")]
    pods.table.restore({own.uuid: [(V4, POD), (own.addresses[0], own.mac)]})
    pods.settle()
    pods.follow(at=1000.0)

    assert pods.known() == {str(V4): ("a", POD, 0)}
    assert pods.table.due(1000.0) == [Question(own.uuid, V4, POD)]


@pytest.mark.parametrize("address", [V4, V6])
def test_a_question_is_for_the_very_machine_and_its_answer_is_a_claim(
    pods: Pods, address: IpAddress
) -> None:
    port = pods.host.view.ports[uuid_of("a")]

    frame = question_frame(port, Question(port.uuid, address, POD))

    assert frame is not None
    assert frame[:12] == POD.packed + GATEWAY_MAC.packed
    assert address.packed in frame
    if address.version == 4:
        answer = GATEWAY_MAC.packed + POD.packed + b"\x08\x06\0\x01\x08\0\x06\x04\0\x02"
        answer += POD.packed + address.packed + GATEWAY_MAC.packed + bytes(4)
        assert claim_of(answer) == (address, POD)
        with pytest.raises(DecodeError, match="another MAC"):
            claim_of(answer[:6] + OTHER.packed + answer[12:])
