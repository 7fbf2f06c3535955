"""What switches say by SNMP: interfaces, counters, neighbours, and the cables that follow from it. Pure.

```
 IF-MIB (RFC 2863) ifTable, ifXTable --> interfaces, counters --> PRouterEntry, StatTable.PRouterEntry.ifStats
 LLDP-MIB (IEEE 802.1AB) ------------> neighbours ---+
 IP-MIB (RFC 4293) ARP and ND -------> hosts that say nothing by LLDP --> PRouterLinkEntry.link_table
```
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from itertools import islice
from typing import Final

Oid = tuple[int, ...]
Value = int | bytes

SYSTEM: Final[Oid] = (1, 3, 6, 1, 2, 1, 1)
INTERFACES: Final[Oid] = (1, 3, 6, 1, 2, 1, 2, 2, 1)
INTERFACES_MORE: Final[Oid] = (1, 3, 6, 1, 2, 1, 31, 1, 1, 1)
ARP: Final[Oid] = (1, 3, 6, 1, 2, 1, 4, 22, 1, 2)
NEIGHBOURS_OF_IP: Final[Oid] = (1, 3, 6, 1, 2, 1, 4, 35, 1, 4)
LLDP_PORTS: Final[Oid] = (1, 0, 8802, 1, 1, 2, 1, 3, 7, 1)
LLDP_NEIGHBOURS: Final[Oid] = (1, 0, 8802, 1, 1, 2, 1, 4, 1, 1)

INTERFACE_COLUMNS: Final = {
    **{(*INTERFACES, n): name for n, name in {
        2: "ifDescr", 4: "ifMtu", 5: "ifSpeed", 6: "ifPhysAddress", 7: "ifAdminStatus", 8: "ifOperStatus",
        13: "ifInDiscards", 14: "ifInErrors", 19: "ifOutDiscards", 20: "ifOutErrors",
    }.items()},
    **{(*INTERFACES_MORE, n): name for n, name in {
        1: "ifName", 6: "ifInOctets", 7: "ifInUcastPkts", 8: "ifInMulticastPkts", 9: "ifInBroadcastPkts",
        10: "ifOutOctets", 11: "ifOutUcastPkts", 12: "ifOutMulticastPkts", 13: "ifOutBroadcastPkts",
        15: "ifHighSpeed", 18: "ifAlias",
    }.items()},
}  # fmt: skip
"""Columns that are read of each interface; octets and packets are the counters of 64 bits."""
_COURSE_MAX: Final = 1 << 63
"""Numbers of telemetry end there: a course goes round, which its reader takes for a new beginning."""
COUNTER_WIDTHS: Final = {
    name: 64 if name.endswith(("Octets", "Pkts")) else 32
    for name in INTERFACE_COLUMNS.values()
    if name.startswith(("ifIn", "ifOut"))
}
_TEXTS: Final = frozenset({"ifDescr", "ifName", "ifAlias"})
_INTERFACE_NAME: Final = 5
_MAC: Final = 3
"""Of a port's identifier; of a chassis's it is 4 (both IEEE 802.1AB)."""
_CHASSIS_MAC: Final = 4
_LOCAL: Final = 7
TEXT_CHARACTERS_MAX: Final = 256
ROWS_MAX: Final = 4096
"""Interfaces, neighbours, addresses of one device each; what is beyond is left out."""
PHYSICAL_ROUTER: Final = 1
VROUTER: Final = 2
"""``type`` of a link: what is at its far end."""


@dataclass(slots=True)
class Read:
    """What one device said."""

    rows: dict[Oid, Value] = field(default_factory=dict[Oid, Value])

    def column(self, oid: Oid) -> Iterator[tuple[Oid, Value]]:
        """Yield index and value of a column's cells."""
        size = len(oid)
        for at, value in self.rows.items():
            if at[:size] == oid:
                yield at[size:], value


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Who is at the far end of a port, by LLDP."""

    port: int
    """The local port by LLDP's own number."""
    chassis: str
    system: str
    interface: str

    @property
    def name(self) -> str:
        return self.system or self.chassis


@dataclass(slots=True)
class Switch:
    """A device as it told of itself."""

    system: str = ""
    description: str = ""
    interfaces: dict[int, dict[str, int | str]] = field(
        default_factory=dict[int, dict[str, int | str]]
    )
    """By ``ifIndex``; counters as they stand."""
    ports: dict[int, str] = field(default_factory=dict[int, str])
    """LLDP's ports to interfaces' names."""
    neighbours: list[Neighbour] = field(default_factory=list[Neighbour])
    hosts: dict[str, int] = field(default_factory=dict[str, int])
    """Address of whom it knows by ARP or ND, to the interface."""

    def name_of(self, index: int) -> str:
        """Return an interface's name, empty for one it has not."""
        said = self.interfaces.get(index, {})
        return str(said.get("ifName") or said.get("ifDescr") or "")

    def index_of(self, name: str) -> int:
        """Return the index of an interface, 0 for one it has not."""
        return next((index for index in self.interfaces if self.name_of(index) == name), 0)


def switch_of(read: Read) -> Switch:
    """Return what a device said; cells that make no sense are passed over."""
    found = Switch()
    for at, value in read.column(SYSTEM):
        if at == (5, 0):
            found.system = text_of(value)
        elif at == (1, 0):
            found.description = text_of(value)
    for column, name in INTERFACE_COLUMNS.items():
        for at, value in read.column(column):
            if len(at) != 1 or (
                len(found.interfaces) >= ROWS_MAX and at[0] not in found.interfaces
            ):
                continue
            if (told := _cell(name, value)) is not None:
                found.interfaces.setdefault(at[0], {})[name] = told
    _read_neighbours(read, found)
    found.hosts = dict(islice(_hosts(read), ROWS_MAX))
    return found


def _hosts(read: Read) -> Iterator[tuple[str, int]]:
    """Yield addresses that a device knows by ARP or ND, with their interfaces."""
    for at, _ in read.column(ARP):
        if len(at) == 5 and _is_octets(at[1:]):
            yield str(IPv4Address(bytes(at[1:]))), at[0]
    for at, _ in read.column(NEIGHBOURS_OF_IP):
        # ifIndex, type of address (1: IPv4, 2: IPv6), its length, its octets.
        if len(at) > 3 and at[2] == len(at) - 3 == {1: 4, 2: 16}.get(at[1]) and _is_octets(at[3:]):
            octets = bytes(at[3:])
            yield str(IPv4Address(octets) if at[1] == 1 else IPv6Address(octets)), at[0]


def _cell(name: str, value: Value) -> int | str | None:
    if name in _TEXTS:
        return text_of(value)
    if name == "ifPhysAddress":
        return mac_of(value) if isinstance(value, bytes) and value else None
    return value if isinstance(value, int) and value >= 0 else None


def _is_octets(numbers: Sequence[int]) -> bool:
    return all(0 <= each <= 255 for each in numbers)


def _read_neighbours(read: Read, found: Switch) -> None:
    kinds = {at: value for at, value in read.column((*LLDP_PORTS, 2)) if len(at) == 1}
    names = dict(read.column((*LLDP_PORTS, 3)))
    descriptions = dict(read.column((*LLDP_PORTS, 4)))
    for at, kind in kinds.items():
        found.ports[at[0]] = _port_name(kind, names.get(at), descriptions.get(at))
    columns = {n: dict(read.column((*LLDP_NEIGHBOURS, n))) for n in (4, 5, 6, 7, 8, 9)}
    for at, chassis in columns[5].items():
        # When it was learnt, the local port, a number.
        if len(at) != 3 or len(found.neighbours) >= ROWS_MAX:
            continue
        is_mac = columns[4].get(at) == _CHASSIS_MAC and isinstance(chassis, bytes)
        found.neighbours.append(
            Neighbour(
                at[1],
                mac_of(chassis) if is_mac and isinstance(chassis, bytes) else text_of(chassis),
                text_of(columns[9].get(at, b"")),
                _port_name(columns[6].get(at, 0), columns[7].get(at), columns[8].get(at)),
            )
        )


def _port_name(kind: Value, identifier: Value | None, description: Value | None) -> str:
    """Return how people call a port: hosts identify theirs by MAC, and describe them by name."""
    if kind in {_INTERFACE_NAME, _LOCAL} and identifier:
        return text_of(identifier)
    if description:
        return text_of(description)
    if kind == _MAC and isinstance(identifier, bytes):
        return mac_of(identifier)
    return text_of(identifier or b"")


def text_of(value: Value) -> str:
    """Return readable text, of a bounded length; nothing of it is trusted to be text."""
    said = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return "".join(each if each.isprintable() else " " for each in said)[
        :TEXT_CHARACTERS_MAX
    ].strip()


def mac_of(value: bytes) -> str:
    return ":".join(f"{each:02x}" for each in value[:8])


def links_of(
    switch: Switch, names: Mapping[str, str], vrouters: Mapping[str, str], routers: Iterable[str]
) -> list[dict[str, object]]:
    """Return the cables of a switch, rows of ``link_table``.

    ``names``: what systems call themselves to what they are called here; ``vrouters``: addresses of hosts to
    their names. A host that speaks no LLDP is at the port where its address is known.
    """
    known, rows = set(routers), list[dict[str, object]]()
    for each in switch.neighbours:
        local = switch.ports.get(each.port, "") or switch.name_of(each.port)
        remote = names.get(each.name, each.name)
        if remote:
            rows.append(_row(remote, local, switch.index_of(local), each.interface, known))
    reached = {row["remote_system_name"] for row in rows}
    for address, index in switch.hosts.items():
        host, interface = vrouters.get(address, ""), switch.name_of(index)
        if host and interface and host not in reached:
            reached.add(host)
            rows.append(_row(host, interface, index, "", known))
    return rows


def _row(remote: str, local: str, index: int, interface: str, known: set[str]) -> dict[str, object]:
    return {
        "remote_system_name": remote,
        "local_interface_name": local,
        "local_interface_index": index,
        "remote_interface_name": interface,
        "type": PHYSICAL_ROUTER if remote in known else VROUTER,
    }


def growth(
    former: Mapping[int, Mapping[str, int | str]], now: Mapping[int, Mapping[str, int | str]]
) -> dict[str, dict[str, int | str]]:
    """Return by how much counters of interfaces grew, rows of ``ifStats`` by index; new interfaces have none yet."""
    rows = dict[str, dict[str, int | str]]()
    for index, said in now.items():
        before = former.get(index)
        if before is None:
            continue
        row: dict[str, int | str] = {"ifIndex": str(index), "ifName": str(said.get("ifName", ""))}
        for name, width in COUNTER_WIDTHS.items():
            one, other = before.get(name), said.get(name)
            if isinstance(one, int) and isinstance(other, int):
                grown = (other - one) % (1 << width)
                # What shrank by a little did not go round: the device began again.
                row[name] = other if grown >= 1 << (width - 1) else grown
        for name in ("ifOperStatus", "ifHighSpeed"):
            if isinstance(value := said.get(name), int):
                row[name] = value
        rows[str(index)] = row
    return rows


def grown_on(
    course: Mapping[str, Mapping[str, int | str]], grown: Mapping[str, Mapping[str, int | str]]
) -> dict[str, dict[str, int | str]]:
    """Return how much counters grew since an interface came up: ``course`` so far, ``grown`` since the poll before."""
    rows = dict[str, dict[str, int | str]]()
    for index, row in grown.items():
        so_far = course.get(index, {})
        rows[index] = dict(row)
        for name in COUNTER_WIDTHS:
            more, before = row.get(name), so_far.get(name, 0)
            if isinstance(more, int) and isinstance(before, int):
                rows[index][name] = (before + more) % _COURSE_MAX
    return rows
