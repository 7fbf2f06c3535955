"""Next hops in use: asked for by meaning, numbered by a stable name, made once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address

from skytrail.agent.label import NumberSpace
from skytrail.agent.tables import (
    Encapsulation,
    NextHopId,
    NextHopKind,
    NextHopRow,
    Row,
    VifId,
    VrfId,
)
from skytrail.net import IpAddress, Mac

ECMP_MEMBERS_COUNT_MAX = 16
NO_NEXT_HOP = NextHopId(0)
_FURTHER_BYTES = 20
"""An IPv6 header beside one of IPv4."""


@dataclass(frozen=True, slots=True)
class UnderlayPath:
    """How the underlay reaches an address; ``destination_mac`` None while unresolved."""

    out_ifindex: int
    source_mac: Mac
    destination_mac: Mac | None


@dataclass(frozen=True, slots=True)
class HostSide:
    """The link by which workloads use services of the host itself."""

    ifindex: int
    """Of its end in the datapath."""
    mtu_bytes: int
    metadata_port: int = 0
    """Where the metadata proxy listens; 0: nowhere yet."""
    metadata_port6: int = 0
    """Likewise over IPv6."""
    has_ipv6: bool = False
    """Workloads reach services at IPv6 addresses by it."""
    relay_ports: Mapping[tuple[IpAddress, int], int] = field(
        default_factory=dict[tuple[IpAddress, int], int]
    )
    """Where the relay listens for a service, by its address and port."""


@dataclass(frozen=True, slots=True)
class Underlay:
    """The host's place in the underlay."""

    ifname: str
    ifindex: int
    address: IpAddress
    """Where our tunnels end; those of other hosts end at addresses of the same IP version."""
    mac: Mac
    mtu_bytes: int
    controls: tuple[IpAddress, ...] = ()
    """The control nodes, to which workloads' BGP goes."""
    paths: Mapping[IpAddress, UnderlayPath] = field(default_factory=dict[IpAddress, UnderlayPath])
    priority_tags: bool = False
    """Its switches know the priority of a frame by a tag of VLAN 0."""
    host: HostSide | None = None
    further_links: tuple[int, ...] = ()
    """Indexes of the other links, where the host has several."""
    is_routed: bool = False
    """The kernel's routes choose among several links."""
    further_ends: tuple[IpAddress, ...] = ()
    """Tunnels may come from these as well (``tunnel_ends``)."""
    takes_any_end: bool = False
    """They may come from anywhere."""

    @property
    def address4(self) -> IPv4Address | None:
        """By which workloads use the underlay as IPv4 hosts; None where the underlay is IPv6."""
        return self.address if isinstance(self.address, IPv4Address) else None

    @property
    def mtu4_bytes(self) -> int:
        """The MTU, without what an IPv6 header is longer by than an IPv4 header."""
        return self.mtu_bytes if self.address.version == 4 else self.mtu_bytes - _FURTHER_BYTES

    def reaches(self, address: IpAddress) -> bool:
        """Tell whether a tunnel can lead there: the IP version is ours."""
        return address.version == self.address.version


def known_paths(
    actual: Mapping[type[Row], Mapping[object, Row]],
) -> dict[IpAddress, UnderlayPath]:
    """Return the paths installed tunnels use, so that a restart does not unresolve them."""
    return {
        row.remote: UnderlayPath(row.out_ifindex, row.out_source_mac, row.out_destination_mac)
        for row in actual.get(NextHopRow, {}).values()
        if isinstance(row, NextHopRow) and row.remote is not None and row.out_source_mac is not None
    }


class NextHopTable:
    """The rows that routes, labels and VNIs refer to; ``note`` is told each name asked for."""

    def __init__(
        self, numbers: NumberSpace, underlay: Underlay, note: Callable[[str], None]
    ) -> None:
        self._numbers = numbers
        self._underlay = underlay
        self._note = note
        self._rows: dict[NextHopId, NextHopRow] = {}
        self._ids: dict[str, NextHopId] = {}
        self._tunnels: dict[str, IpAddress] = {}
        self._tunnel_names: dict[tuple[IpAddress, Encapsulation, bool], str] = {}
        self._unreachable: dict[str, IpAddress] = {}
        self._made: set[str] = set()

    def take_made(self) -> list[tuple[str, NextHopRow]]:
        """Return the names and rows made since the last call and still there, members of
        load-shared sets before the sets.
        """
        made, self._made = self._made, set()
        rows = [(name, self._rows[self._ids[name]]) for name in sorted(made) if name in self._ids]
        return sorted(rows, key=lambda entry: entry[1].kind is NextHopKind.ECMP)

    def remotes(self) -> frozenset[IpAddress]:
        """Tunnel end points in use: the underlay must be resolved for them."""
        return frozenset(self._tunnels.values())

    def unreachable(self) -> frozenset[IpAddress]:
        """Tunnel end points that routes lead to, but no tunnel of ours: of the other IP version."""
        return frozenset(self._unreachable.values())

    def nowhere(self) -> tuple[str, ...]:
        """Return the names under which they were asked for."""
        return tuple(self._unreachable)

    def reaches(self, remote: IpAddress) -> bool:
        """Tell whether a tunnel can lead there; remember where none can for who asks why."""
        if self._underlay.reaches(remote):
            return True
        name = f"unreachable:{remote}"
        self._unreachable[name] = remote
        self._note(name)
        return False

    def release(self, name: str) -> None:
        """Nobody uses this next hop any more."""
        self._forget(name)
        self._numbers.retire(name)

    def move(self, underlay: Underlay) -> list[str]:
        """Take over new underlay paths; return the tunnels that must be asked for again."""
        old, self._underlay = self._underlay.paths, underlay
        names = [n for n, far in self._tunnels.items() if old.get(far) != underlay.paths.get(far)]
        for name in names:
            self._forget(name)
        return names

    def _forget(self, name: str) -> None:
        nexthop_id = self._ids.pop(name, None)
        self._tunnels.pop(name, None)
        self._unreachable.pop(name, None)
        if nexthop_id is not None:
            del self._rows[nexthop_id]

    def interface(self, port_uuid: str, vif_id: VifId, *, layer2: bool) -> NextHopId:
        """Deliver to a local port."""
        name = f"interface:{'l2' if layer2 else 'l3'}:{port_uuid}"
        row = NextHopRow(self._id(name), NextHopKind.INTERFACE, vif_id=vif_id, layer2=layer2)
        return self._add(name, row)

    def receive(self) -> NextHopId:
        return self._simple("receive", NextHopKind.RECEIVE)

    def discard(self) -> NextHopId:
        return self._simple("discard", NextHopKind.DISCARD)

    def fabric(self, underlay_vif: VifId) -> NextHopId:
        """Leave by the host's address and a port of its own."""
        nexthop_id = self._id("fabric")
        row = NextHopRow(
            nexthop_id,
            NextHopKind.FABRIC,
            vif_id=underlay_vif,
            out_ifindex=self._underlay.ifindex,
            is_routed=self._underlay.is_routed,
        )
        return self._add("fabric", row)

    def source_nat(self, port_uuid: str, vif_id: VifId) -> NextHopId:
        """Leave by the address of a port, and a port number of it."""
        name = f"source-nat:{port_uuid}"
        return self._add(name, NextHopRow(self._id(name), NextHopKind.FABRIC, vif_id=vif_id))

    def bridge(self, vrf: str, vrf_id: VrfId) -> NextHopId:
        """Look the inner destination MAC up in a VRF."""
        name = f"bridge:{vrf}"
        return self._add(name, NextHopRow(self._id(name), NextHopKind.BRIDGE, vrf_id=vrf_id))

    def relay(self, vrf: str, vrf_id: VrfId) -> NextHopId:
        """The same; what is for everybody goes on to other hosts as well."""
        name = f"relay:{vrf}"
        kind = NextHopKind.BRIDGE
        return self._add(name, NextHopRow(self._id(name), kind, vrf_id=vrf_id, relays=True))

    def tunnel(self, remote: IpAddress, encapsulation: Encapsulation, *, layer2: bool) -> NextHopId:
        """Encapsulate towards ``remote``."""
        whole_frame = layer2 or encapsulation is Encapsulation.VXLAN
        name = self._tunnel_name(remote, encapsulation, whole_frame)
        known = self._ids.get(name)
        if known is not None:
            self._note(name)
            return known
        nexthop_id = self._id(name)
        self._tunnels[name] = remote
        path = self._underlay.paths.get(remote)
        row = NextHopRow(
            nexthop_id,
            NextHopKind.TUNNEL,
            layer2=whole_frame,
            encapsulation=encapsulation,
            local=self._underlay.address,
            remote=remote,
            out_ifindex=path.out_ifindex if path else self._underlay.ifindex,
            out_source_mac=path.source_mac if path else self._underlay.mac,
            out_destination_mac=path.destination_mac if path else None,
            is_routed=self._underlay.is_routed,
        )
        return self._add(name, row)

    def _tunnel_name(
        self, remote: IpAddress, encapsulation: Encapsulation, whole_frame: bool
    ) -> str:
        """Of few tunnels, asked for by each route."""
        key = (remote, encapsulation, whole_frame)
        name = self._tunnel_names.get(key)
        if name is None:
            name = f"tunnel:{encapsulation.name}:{'l2' if whole_frame else 'l3'}:{remote}"
            self._tunnel_names[key] = name
        return name

    def encapsulation(self, nexthop_id: NextHopId) -> Encapsulation:
        """Return how a tunnel carries packets; ``ValueError`` for what is none."""
        found = self._rows[nexthop_id].encapsulation
        if found is None:
            raise ValueError(f"next hop {nexthop_id} is no tunnel")
        return found

    def is_resolved(self, nexthop_id: NextHopId) -> bool:
        """False for a tunnel whose underlay neighbour is not known."""
        row = self._rows[nexthop_id]
        return row.kind is not NextHopKind.TUNNEL or row.out_destination_mac is not None

    def ecmp(self, members: Mapping[tuple[NextHopId, int], int], omitted: int = 0) -> NextHopId:
        """Share over (next hop, label) pairs, given with what stands for each on every host.

        Of more than 16 every host takes the same ones.
        """
        taken = sorted(members, key=lambda member: (members[member], member))
        chosen = tuple(sorted(taken[:ECMP_MEMBERS_COUNT_MAX]))
        shares = tuple([members[member] for member in chosen])
        listed = zip(chosen, shares, strict=True)
        name = "ecmp:" + ",".join(f"{hop}/{label}/{share:x}" for (hop, label), share in listed)
        name += f" without {omitted:x}" if omitted else ""
        row = NextHopRow(
            self._id(name), NextHopKind.ECMP, members=chosen, shares=shares, omitted=omitted
        )
        return self._add(name, row)

    def _simple(self, name: str, kind: NextHopKind) -> NextHopId:
        return self._add(name, NextHopRow(self._id(name), kind))

    def _id(self, name: str) -> NextHopId:
        return NextHopId(self._numbers.number(name))

    def _add(self, name: str, row: NextHopRow) -> NextHopId:
        self._note(name)
        if self._rows.get(row.nexthop_id) != row:
            self._ids[name] = row.nexthop_id
            self._rows[row.nexthop_id] = row
            self._made.add(name)
        return row.nexthop_id
