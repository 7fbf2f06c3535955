"""A route reflector: whatever the order of events, every peer ends with the best of all others."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.control.bgp import Bgp
from skytrail.control.bgp_config import BgpConfig, BgpPeerConfig, Speaker
from skytrail.control.bgp_import import name_of
from skytrail.control.bgp_values import NetworkIds
from skytrail.control.path import PeerName
from skytrail.control.route_target import Replicator
from skytrail.net import Mac, RouteDistinguisher, RouteTarget
from skytrail.testing.bgp import messages_of
from skytrail.wire.bgp import (
    Attributes,
    BgpFamily,
    GracefulRestart,
    IpPrefixRoute,
    Negotiated,
    Nlri,
    RouteRefresh,
    Unreach,
    Update,
    VpnNlri,
    decode_update,
    encode_update,
)
from skytrail.wire.bgp.communities import Encapsulation, RouterMac
from skytrail.wire.bgp.framing import HEADER_BYTES
from skytrail.wire.bgp.nlri import NO_SEGMENT, route_key

ASN = 64512
PEERS = ("p1", "p2", "p3")
KEYS = tuple(range(4))
VPN, EVPN = BgpFamily.INET_VPN, BgpFamily.EVPN
RESTART = GracefulRestart(restart_time_s=30, families=((VPN, True), (EVPN, True)))
NEVER = 1e9

peers, keys, numbers = st.sampled_from(PEERS), st.sampled_from(KEYS), st.integers(0, 2)
kinds = st.sampled_from((VPN, EVPN))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("announce"), peers, kinds, keys, numbers),
        st.tuples(st.just("announce"), peers, kinds, keys, numbers),
        st.tuples(st.just("announce"), peers, kinds, st.lists(keys, min_size=2), numbers),
        st.tuples(st.just("withdraw"), peers, kinds, keys),
        st.tuples(st.just("down"), peers, st.booleans()),
        st.tuples(st.just("up"), peers),
        st.tuples(st.just("end"), peers, kinds),
        st.tuples(st.just("work"), st.integers(1, 5)),
        st.tuples(st.just("pull"), peers),
        st.tuples(st.just("refresh"), peers),
    ),
    max_size=60,
)


class Receiver:
    """A peer that believes what it is told."""

    def __init__(self) -> None:
        self.routes: dict[object, tuple[object, ...]] = {}

    def hear(self, messages: list[bytes], negotiated: Negotiated) -> None:
        for _, body in messages_of(b"".join(messages)):
            update = decode_update(body, negotiated)
            assert not update.problems
            for unreach in update.withdrawn:
                for nlri in unreach.nlri:
                    self.routes.pop((unreach.family, route_key(nlri)), None)
            for reach in update.reach:
                for nlri in reach.nlri:
                    told = (reach.next_hop, update.attributes.extended_communities, nlri)
                    self.routes[reach.family, route_key(nlri)] = told


class World:
    def __init__(self) -> None:
        self.bgp = Bgp(Replicator(), NetworkIds())
        self.bgp.may_end_rib = True
        self.replicator = self.bgp._replicator
        self.receivers = {name: Receiver() for name in PEERS}
        self.said: dict[tuple[str, BgpFamily, int], int] = {}
        """What peers said and, unless it is in the second, confirmed since they came back."""
        self.stale: set[tuple[str, BgpFamily, int]] = set()
        address = IPv4Address("10.0.0.1")
        speaker = Speaker("own", ASN, address, cluster_id=address)
        self.bgp.configure(BgpConfig(speaker, tuple(map(config_of, PEERS))))
        self.bgp.take_changes()
        for name in PEERS:
            self.up(name)

    def up(self, name: str) -> None:
        if not self.bgp.peers[PeerName(name)].is_up:
            self.receivers[name] = Receiver()
            self.bgp.session_up(name, negotiated_of(name), 0.0)

    def act(self, step: tuple[object, ...]) -> None:
        bgp, said = self.bgp, self.said
        name = str(step[1])
        is_up = step[0] != "work" and bgp.peers[PeerName(name)].is_up
        match step:
            case ("announce", _, BgpFamily() as family, int(key), int(number)) if is_up:
                self.announce(name, family, [key], number)
            case ("announce", _, BgpFamily() as family, list(several), int(number)) if is_up:
                self.announce(name, family, several, number)
            case ("withdraw", _, BgpFamily() as family, int(key)) if is_up:
                bgp.receive(name, withdrawal(family, key))
                said.pop((name, family, key), None)
                self.stale.discard((name, family, key))
            case ("down", _, bool(graceful)) if is_up:
                bgp.session_down(name, "", 0.0, graceful=graceful)
                if graceful:
                    # What it had not said again since the last time is not waited for once more.
                    self._forget({each for each in self.stale if each[0] == name})
                own = {each for each in said if each[0] == name}
                if graceful:
                    self.stale |= own
                else:
                    self._forget(own)
            case ("end", _, BgpFamily() as family) if is_up:
                bgp.receive(name, Update(Attributes(), end_of_rib=family))
                self._forget({each for each in self.stale if each[:2] == (name, family)})
            case ("up", _):
                self.up(name)
            case ("work", int(count)):
                bgp.work(count)
            case ("pull", _) if is_up:
                bgp.take_ready()
                self.receivers[name].hear(bgp.collect(name, 1), negotiated_of(name))
            case ("refresh", _) if is_up:
                for family in (VPN, EVPN):
                    bgp.refresh(name, RouteRefresh(family))
            case _:
                pass

    def announce(self, name: str, family: BgpFamily, several: list[int], number: int) -> None:
        self.bgp.receive(name, announcement(family, several, number))
        for key in several:
            self.said[name, family, key] = number
            self.stale.discard((name, family, key))

    def _forget(self, gone: set[tuple[str, BgpFamily, int]]) -> None:
        self.stale -= gone
        for each in gone:
            del self.said[each]

    def settle(self) -> None:
        for name in PEERS:
            self.up(name)
        while self.bgp.work():
            pass
        self.bgp.take_ready()
        while any(self.bgp.peers[PeerName(name)].has_work for name in PEERS):
            for name in PEERS:
                while messages := self.bgp.collect(name, 1 << 20):
                    self.receivers[name].hear(messages, negotiated_of(name))


def config_of(name: str) -> BgpPeerConfig:
    address = IPv4Address(f"10.0.1.{PEERS.index(name)}")
    return BgpPeerConfig(name, address, ASN, ASN, families=(VPN, EVPN))


def negotiated_of(name: str) -> Negotiated:
    router_id = IPv4Address(f"10.0.1.{PEERS.index(name)}")
    return Negotiated(frozenset((VPN, EVPN)), ASN, ASN, router_id, graceful_restart=RESTART)


def nlri_of(family: BgpFamily, key: int, number: int) -> Nlri:
    distinguisher = RouteDistinguisher.of_address(IPv4Address("10.1.1.1"), 1 + key // 2)
    prefix = IPv4Network(((20 << 24) + key % 2, 32))
    if family is VPN:
        return VpnNlri(distinguisher, prefix, (100 + number,))
    return IpPrefixRoute(distinguisher, NO_SEGMENT, 0, prefix, IPv4Address(0), 200 + number)


def announcement(family: BgpFamily, several: list[int], number: int) -> Update:
    communities = (
        RouteTarget.parse(f"target:{ASN}:{number}").packed,
        Encapsulation(13 if family is VPN else 8).packed,
        RouterMac(Mac.parse("02:00:00:00:00:01")).packed,
    )
    attributes = Attributes(
        local_preference=100 + 100 * (number == 2), extended_communities=communities
    )
    (message,) = encode_update(
        family,
        IPv4Address("172.16.0.1"),
        attributes,
        [nlri_of(family, key, number) for key in several],
        negotiated_of(PEERS[0]),
    )
    return decode_update(message[HEADER_BYTES:], negotiated_of(PEERS[0]))


def withdrawal(family: BgpFamily, key: int) -> Update:
    return Update(Attributes(), withdrawn=(Unreach(family, (nlri_of(family, key, 0),)),))


@settings(max_examples=300)
@given(STEPS)
def test_every_peer_ends_with_the_best_of_all_others(steps: list[tuple[object, ...]]) -> None:
    world = World()
    for step in steps:
        world.act(step)
    world.settle()

    held = {
        (peer.name, family, key)
        for peer in world.bgp.peers.values()
        for family, table in peer.adj_in.tables.items()
        for key in KEYS
        if any(heard.name == nlri_name(family, key) for heard in table.values())
    }
    assert held == set(world.said)
    stale = sum(peer.adj_in.stale_count for peer in world.bgp.peers.values())
    assert stale == len(world.stale)
    tables = world.replicator.vpn.values()
    assert sum(map(len, tables)) == len(world.said)
    expected: dict[str, dict[object, object]] = {name: {} for name in PEERS}
    for entry in (each for table in tables for each in table.entries.values()):
        best = entry.best
        assert best is not None
        is_routed = best.learned is not None and best.learned.is_prefix_route
        family = EVPN if is_routed else VPN
        said = [key for key in KEYS if nlri_name(family, key) == entry.name]
        number = world.said[best.source, family, said[0]]
        for name in PEERS:
            if name != best.source:
                nlri = nlri_of(family, said[0], number)
                expected[name][family, route_key(nlri)] = nlri
    told = {
        name: {key: routes[-1] for key, routes in receiver.routes.items()}
        for name, receiver in world.receivers.items()
    }
    assert told == expected


def nlri_name(family: BgpFamily, key: int) -> object:
    return name_of(nlri_of(family, key, 0))
