"""What a BGP peer said, and how tables follow in slices when its session goes."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from skytrail.control.adj_in import AdjIn, Heard
from skytrail.control.path import Learned, PeerName, Shared, learned_path
from skytrail.control.relay import RelayTable
from skytrail.control.route_target import Replicator
from skytrail.control.vpn import VpnEntry, vpn_name
from skytrail.net import RouteDistinguisher
from skytrail.wire.bgp import Attributes, BgpFamily
from skytrail.wire.xmpp import Family, NextHop, RouteAttributes

VPN = BgpFamily.INET_VPN
DISTINGUISHER = RouteDistinguisher.parse("172.16.0.7:5")
SHARED = Shared(
    VPN,
    NextHop(IPv4Address("172.16.0.1"), encapsulations=("udp",)),
    RouteAttributes(),
    frozenset(),
    "",
    Learned(Attributes(), is_external=False, router_id=IPv4Address("10.0.0.9")),
)


class Said:
    """A peer with some routes, and the selections that followed."""

    def __init__(self, count: int) -> None:
        self.replicator = Replicator()
        relay = RelayTable(lambda _: None)
        self.adj_in = AdjIn(PeerName("peer"), self.replicator, relay)
        self.count = count
        self.hear(range(count))
        self.changes: list[VpnEntry] = []
        self.replicator.on_selection = lambda changes: self.changes.extend(
            entry for entry, _ in changes
        )

    def hear(self, numbers: range) -> None:
        for number in numbers:
            name = vpn_name(DISTINGUISHER, IPv4Network(((10 << 24) + number, 32)))
            (heard,) = self.adj_in.note(VPN, [name], 1_000)
            assert isinstance(name, bytes)
            wire = bytes((120,)) + b"\x00\x20\x01" + name[1:]
            self.replicator.put_learned([learned_path(heard, SHARED, wire)])

    @property
    def entries(self) -> list[VpnEntry]:
        return list(self.replicator.vpn[Family.INET].entries.values())


def test_lost_routes_leave_the_tables_in_slices() -> None:
    said = Said(10)

    said.adj_in.drop([VPN])

    assert (len(said.adj_in), len(said.entries)) == (0, 10)
    said.adj_in.work(4)
    assert len(said.entries) == 6
    said.adj_in.work(100)
    assert (said.entries, said.adj_in.has_work) == ([], False)


def test_route_said_again_while_it_waits_to_go_stays_and_is_no_news() -> None:
    said = Said(3)
    paths = {entry.best for entry in said.entries}
    said.adj_in.drop([VPN])

    said.hear(range(1))
    while said.adj_in.has_work:
        said.adj_in.work(1)

    (entry,) = said.entries
    (path,) = entry.paths
    assert isinstance(path.slot, Heard)
    assert path.slot in {old.slot for old in paths if old is not None}


def test_stale_routes_are_marked_and_swept_but_not_those_confirmed() -> None:
    said = Said(4)

    said.adj_in.age()
    assert said.adj_in.stale_count == 4
    said.hear(range(1))
    said.adj_in.work(100)
    assert [entry.best.is_stale for entry in said.entries if entry.best] == [False] + 3 * [True]
    said.adj_in.sweep(VPN)
    said.hear(range(1, 2))
    said.adj_in.work(100)

    assert (len(said.adj_in), len(said.entries), said.adj_in.stale_count) == (2, 2, 0)


def test_routes_dropped_while_they_are_swept_go_once() -> None:
    said = Said(4)

    said.adj_in.age()
    said.adj_in.sweep(VPN)
    said.adj_in.drop([VPN])
    while said.adj_in.has_work:
        said.adj_in.work(1)

    assert said.entries == []
    assert len(said.changes) == 4


def test_path_read_from_its_bytes_equals_one_made_whole() -> None:
    said = Said(1)
    (entry,) = said.entries
    path = entry.best

    assert path is not None
    assert path.is_feasible
    assert (path.distinguisher, path.key) == (DISTINGUISHER, IPv4Network("10.0.0.0/32"))
    (hop,) = path.next_hops
    assert (hop.address, hop.label) == (SHARED.hop.address, 0x200)


def test_routes_beyond_the_limit_are_not_noted() -> None:
    said = Said(2)
    names = [vpn_name(DISTINGUISHER, IPv4Network(f"10.9.0.{number}/32")) for number in range(3)]

    noted = said.adj_in.note(VPN, names, 3)

    assert [heard.name for heard in noted] == names[:1]
