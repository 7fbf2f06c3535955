"""The lab's topology file: what exists, where, and what should reach what. Pure.

A topology is strict YAML: unknown keys, names used twice and dangling references are errors, and
all of them are reported at once, each naming the file, the entry and the fix. The addresses of the
underlay follow from the order of the entries (see ``plan``), never from the file.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import TypeVar

import yaml

NAME = re.compile(r"[a-z][a-z0-9-]{0,22}[a-z0-9]|[a-z]")
NODES_COUNT_MAX = 250
"""Hosts, and separately controllers: each takes a /24 of its half of the underlay range."""
GATEWAYS_COUNT_MAX = 4
"""They take the /24s behind those of the hosts."""
MTU_DEFAULT_BYTES = 1600
UPLINKS_COUNT_MAX = 2
UNDERLAY_DEFAULT = IPv4Network("198.18.0.0/15")
"""The range RFC 2544 sets aside for tests of interconnected devices."""
AUTONOMOUS_SYSTEM_DEFAULT = 64512
AUTONOMOUS_SYSTEM_MAX = 4_294_967_294
PROTOCOLS = ("icmp", "icmp6", "tcp", "udp")


class TopologyError(Exception):
    """The file is not a valid topology; the text has one line for each fault."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = tuple(faults)


@dataclass(frozen=True, slots=True)
class Switch:
    """The underlay's router as a switch that speaks BGP (FRR) with the control nodes."""

    autonomous_system: int
    outside: IPv4Network
    """A range behind it: it has the first address, a host the tenth."""
    host: str
    """Name of the host behind, as probes and ``lab exec`` call it."""
    name: str = "underlay"


@dataclass(frozen=True, slots=True)
class Underlay:
    network: IPv4Network = UNDERLAY_DEFAULT
    mtu_bytes: int = MTU_DEFAULT_BYTES
    switch: Switch | None = None
    """None: it routes by static routes alone."""
    version: int = 4
    """IP version of the underlay; with 6 nodes have no IPv4 address there."""
    uplinks_count: int = 1
    """Links of each node, each to a router of its own: 1 or 2."""


@dataclass(frozen=True, slots=True)
class Controller:
    name: str


@dataclass(frozen=True, slots=True)
class Host:
    name: str
    controllers: tuple[str, ...] = ()
    """Those its agent connects to; none named: all."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """A data-center gateway: FRR, which joins one virtual network to a network outside."""

    name: str
    network: tuple[str, ...]
    """Fully qualified name of the virtual network."""
    outside: IPv4Network
    """The gateway has its first address, a host outside its tenth."""
    host: str
    """Name of the host outside, as probes and ``lab exec`` call it."""


@dataclass(frozen=True, slots=True)
class Router:
    """A physical router on a port of a host's vRouter, which is the gateway to what lies behind."""

    name: str
    host: str
    port: tuple[str, ...]
    """Fully qualified name of its virtual-machine-interface."""
    behind: IPv4Network
    """The router has its first address, a host there its tenth."""
    site: str
    """Name of the host behind, as probes and ``lab exec`` call it."""
    autonomous_system: int | None = None
    """Of its BGP sessions with the vRouter; None: it has static routes only."""


@dataclass(frozen=True, slots=True)
class Workload:
    """A network namespace with one veth, plugged as the port ``port``."""

    name: str
    host: str
    port: tuple[str, ...]
    """Fully qualified name of its virtual-machine-interface."""
    plugged: bool = True
    """Whether it is plugged when the lab comes up, or later: ``skytrail lab plug``."""


class ApplianceKind(enum.Enum):
    """What two joined workloads are."""

    ROUTER = "router"
    NAT = "nat"
    """A router that sends everything to its right with its own address."""
    BRIDGE = "bridge"


@dataclass(frozen=True, slots=True)
class Appliance:
    """A network function with two ports: two workloads of one host, joined by a cable."""

    name: str
    left: str
    right: str
    kind: ApplianceKind = ApplianceKind.ROUTER


@dataclass(frozen=True, slots=True)
class Guest:
    """A virtual machine in software emulation on a tap, plugged as the port ``port``."""

    name: str
    host: str
    port: tuple[str, ...]
    memory_mib: int = 128


@dataclass(frozen=True, slots=True)
class Expectation:
    """What one probe between two workloads must give."""

    source: str
    destination: str
    protocol: str = "icmp"
    port: int = 0
    reply: bool = True
    reason: str | None = None
    """Name of the drop reason that must be seen, when ``reply`` is False; None accepts any."""


@dataclass(frozen=True, slots=True)
class Topology:
    name: str
    controllers: tuple[Controller, ...]
    hosts: tuple[Host, ...]
    workloads: tuple[Workload, ...] = ()
    guests: tuple[Guest, ...] = ()
    appliances: tuple[Appliance, ...] = ()
    gateways: tuple[Gateway, ...] = ()
    routers: tuple[Router, ...] = ()
    underlay: Underlay = field(default_factory=Underlay)
    autonomous_system: int = AUTONOMOUS_SYSTEM_DEFAULT
    record: bool = False
    """Control nodes record their sessions."""
    tls: bool = False
    """Agents and control nodes encrypt their sessions and show certificates."""
    analytics: bool = False
    """Whether an analytics node hears all processes."""
    metadata_secret: str | None = None
    """A file, relative to this one: what agents sign questions to the metadata service with."""
    provision: str | None = None
    """A Python program, relative to the file, that fills the controller before ports are plugged."""
    expect: tuple[Expectation, ...] = ()

    @property
    def endpoints(self) -> tuple[Workload | Guest, ...]:
        return (*self.workloads, *self.guests)

    @property
    def outside_hosts(self) -> Mapping[str, Gateway | Router | Switch]:
        """Hosts behind gateways, routers and the underlay: they can be probed, but have no port."""
        found: dict[str, Gateway | Router | Switch] = {each.host: each for each in self.gateways}
        found |= {router.site: router for router in self.routers}
        switch = self.underlay.switch
        return found | ({switch.host: switch} if switch else {})

    def endpoint(self, name: str) -> Workload | Guest:
        """Return the workload or guest; ``KeyError`` listing the known ones."""
        for endpoint in self.endpoints:
            if endpoint.name == name:
                return endpoint
        known = ", ".join(endpoint.name for endpoint in self.endpoints) or "none"
        raise KeyError(f"no workload or guest {name!r} in this lab; known: {known}")


def parse(text: str, source: str) -> Topology:
    """Read a topology; ``source`` names the file in errors. :class:`TopologyError`."""
    try:
        document: object = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise TopologyError(
            [f"{source}: not YAML: {' '.join(str(error).split())}; {_FORM}"]
        ) from error
    if not isinstance(document, Mapping):
        raise TopologyError([f"{source}: expected a mapping of {', '.join(_TOP_KEYS)}; {_FORM}"])
    reader = _Reader(source)
    topology = _topology(reader, document)
    if reader.faults:
        raise TopologyError(reader.faults)
    return topology


class _Reader:
    """Collects faults while values are taken out of the document."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.faults: list[str] = []

    def fault(self, place: str, text: str) -> None:
        self.faults.append(f"{self.source}: {place}: {text}")

    def mapping(self, place: str, value: object, keys: Sequence[str]) -> Mapping[str, object]:
        if not isinstance(value, Mapping):
            self.fault(place, f"expected a mapping with {', '.join(keys)}")
            return {}
        for key in value:
            if key not in keys:
                self.fault(place, f"unknown key {key!r}; known keys: {', '.join(keys)}")
        return value

    def sequence(self, place: str, value: object) -> Sequence[object]:
        if value is None:
            return ()
        if not isinstance(value, list):
            self.fault(place, "expected a list")
            return ()
        return value

    def name(self, place: str, value: object) -> str:
        if isinstance(value, str) and NAME.fullmatch(value):
            return value
        what = "missing" if value is None else f"{value!r} is not a name"
        self.fault(place, f"{what}: use 1-24 of a-z, 0-9 and -, starting with a letter")
        return ""

    def integer(self, place: str, value: object, low: int, high: int) -> int:
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        self.fault(place, f"{value!r} must be a whole number from {low} to {high}")
        return low

    def path(self, place: str, value: object, what: str) -> str | None:
        if value is None or isinstance(value, str):
            return value
        self.fault(place, f"expected the path of {what}")
        return None

    def boolean(self, place: str, value: object) -> bool:
        if isinstance(value, bool):
            return value
        self.fault(place, f"{value!r} must be true or false")
        return False

    def fully_qualified(self, place: str, value: object, form: str) -> tuple[str, ...]:
        parts = value.split(":") if isinstance(value, str) else value
        if isinstance(parts, list) and len(parts) > 1 and all(map(_is_text, parts)):
            return tuple(str(part) for part in parts)
        what = "missing" if value is None else f"{value!r} is not a fully qualified name"
        self.fault(place, f"{what}: write {form}, as in default-domain:red:web1")
        return ("",)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)


_FORM = "a topology is a YAML file, docs/lab.md describes it"
_TOP_KEYS = (
    "name", "underlay", "controllers", "hosts", "gateways", "routers", "workloads", "guests",
    "appliances",    "provision", "expect", "tls", "autonomous_system", "record", "analytics",
    "metadata_secret",
)  # fmt: skip


def _topology(reader: _Reader, document: object) -> Topology:
    top = reader.mapping("file", document, _TOP_KEYS)
    controllers = _nodes(reader, "controllers", top.get("controllers", ["control1"]), Controller)
    hosts = _hosts(reader, top.get("hosts"), [each.name for each in controllers])
    host_names = [host.name for host in hosts]
    workloads = [
        _workload(reader, f"workloads[{index}]", entry, host_names)
        for index, entry in enumerate(reader.sequence("workloads", top.get("workloads")))
    ]
    guests = [
        _guest(reader, f"guests[{index}]", entry, host_names)
        for index, entry in enumerate(reader.sequence("guests", top.get("guests")))
    ]
    appliances = [
        _appliance(reader, f"appliances[{index}]", entry, workloads)
        for index, entry in enumerate(reader.sequence("appliances", top.get("appliances")))
    ]
    sides = [side for each in appliances for side in (each.left, each.right)]
    _unique(reader, "appliances: workload", sides)
    gateways = [
        _gateway(reader, f"gateways[{index}]", entry)
        for index, entry in enumerate(reader.sequence("gateways", top.get("gateways")))
    ]
    if len(gateways) > GATEWAYS_COUNT_MAX:
        reader.fault("gateways", f"{len(gateways)} entries; at most {GATEWAYS_COUNT_MAX} fit")
    routers = [
        _router(reader, f"routers[{index}]", entry, host_names)
        for index, entry in enumerate(reader.sequence("routers", top.get("routers")))
    ]
    endpoints = [*workloads, *guests]
    underlay = _underlay(reader, top.get("underlay"))
    if gateways and underlay.version != 4:
        reader.fault("gateways", "go with an IPv4 underlay; take them or underlay.version out")
    if gateways and underlay.uplinks_count > 1:
        reader.fault("gateways", "go with one uplink; take them or underlay.uplinks out")
    switches = [underlay.switch] if underlay.switch else []
    outside = [each.host for each in (*gateways, *switches)]
    outside += [router.site for router in routers]
    nodes = [node.name for node in (*hosts, *controllers, *gateways, *routers, *endpoints)]
    nodes += [appliance.name for appliance in appliances]
    _unique(reader, "name", [*nodes, *outside])
    _unique(reader, "port", [":".join(each.port) for each in (*endpoints, *routers)])
    return Topology(
        name=reader.name("name", top.get("name")),
        controllers=controllers,
        hosts=hosts,
        workloads=tuple(workloads),
        guests=tuple(guests),
        appliances=tuple(appliances),
        gateways=tuple(gateways),
        routers=tuple(routers),
        underlay=underlay,
        autonomous_system=reader.integer(
            "autonomous_system",
            top.get("autonomous_system", AUTONOMOUS_SYSTEM_DEFAULT),
            1,
            AUTONOMOUS_SYSTEM_MAX,
        ),
        record=reader.boolean("record", top.get("record", False)),
        tls=reader.boolean("tls", top.get("tls", False)),
        analytics=reader.boolean("analytics", top.get("analytics", False)),
        metadata_secret=reader.path("metadata_secret", top.get("metadata_secret"), "a file"),
        provision=reader.path("provision", top.get("provision"), "a Python program"),
        expect=_expectations(
            reader, top.get("expect"), [*(each.name for each in endpoints), *outside]
        ),
    )


def _underlay(reader: _Reader, value: object) -> Underlay:
    if value is None:
        return Underlay()
    entry = reader.mapping("underlay", value, ("network", "mtu", "switch", "uplinks", "version"))
    network = UNDERLAY_DEFAULT
    if "network" in entry:
        try:
            network = IPv4Network(str(entry["network"]))
        except ValueError as error:
            reader.fault("underlay.network", f"{error}; write an IPv4 range of /15 or larger")
        if network.prefixlen > 15:
            reader.fault("underlay.network", f"{network} is too small; /15 or larger is needed")
    mtu = reader.integer("underlay.mtu", entry.get("mtu", MTU_DEFAULT_BYTES), 1280, 9200)
    switch = _switch(reader, entry["switch"]) if "switch" in entry else None
    uplinks = reader.integer("underlay.uplinks", entry.get("uplinks", 1), 1, UPLINKS_COUNT_MAX)
    if switch and uplinks > 1:
        reader.fault("underlay.switch", "goes with one uplink; take it or uplinks out")
    version = reader.integer("underlay.version", entry.get("version", 4), 4, 6)
    if version == 5:
        reader.fault("underlay.version", "5 is not an IP version; write 4 or 6")
    for key in sorted(entry.keys() & {"network", "switch"}) if version == 6 else ():
        reader.fault(f"underlay.{key}", "goes with an IPv4 underlay; take it or version out")
    return Underlay(
        network=network, mtu_bytes=mtu, switch=switch, version=version, uplinks_count=uplinks
    )


def _switch(reader: _Reader, value: object) -> Switch:
    place = "underlay.switch"
    entry = reader.mapping(place, value, ("autonomous_system", "outside", "host"))
    number = entry.get("autonomous_system")
    host = reader.name(f"{place}.host", entry["host"]) if "host" in entry else "underlay-outside"
    return Switch(
        reader.integer(f"{place}.autonomous_system", number, 1, AUTONOMOUS_SYSTEM_MAX),
        _range(reader, f"{place}.outside", entry.get("outside")),
        host,
    )


NodeT = TypeVar("NodeT", Host, Controller)


def _nodes(
    reader: _Reader, place: str, value: object, node_type: Callable[[str], NodeT]
) -> tuple[NodeT, ...]:
    entries = reader.sequence(place, value)
    if not entries:
        reader.fault(place, "at least one is needed")
    if len(entries) > NODES_COUNT_MAX:
        reader.fault(place, f"{len(entries)} entries; at most {NODES_COUNT_MAX} fit the underlay")
    nodes: list[NodeT] = []
    for index, entry in enumerate(entries):
        where = f"{place}[{index}]"
        if isinstance(entry, str):
            nodes.append(node_type(reader.name(where, entry)))
        else:
            keys = reader.mapping(where, entry, ("name",))
            nodes.append(node_type(reader.name(f"{where}.name", keys.get("name"))))
    return tuple(nodes)


def _hosts(reader: _Reader, value: object, controllers: Sequence[str]) -> tuple[Host, ...]:
    """Read hosts, each a name or a mapping that says which controllers it connects to."""
    chosen: dict[int, tuple[str, ...]] = {}
    names: list[object] = []
    for index, entry in enumerate(reader.sequence("hosts", value)):
        where = f"hosts[{index}]"
        if not isinstance(entry, Mapping):
            names.append(entry)
            continue
        keys = reader.mapping(where, entry, ("name", "controllers"))
        names.append(keys.get("name"))
        if "controllers" in keys:
            place = f"{where}.controllers"
            chosen[index] = _names(reader, place, keys["controllers"], controllers, "controller")
    nodes = _nodes(reader, "hosts", names, Host)
    return tuple(Host(node.name, chosen.get(index, ())) for index, node in enumerate(nodes))


def _gateway(reader: _Reader, place: str, value: object) -> Gateway:
    entry = reader.mapping(place, value, ("name", "network", "outside", "host"))
    name = reader.name(f"{place}.name", entry.get("name"))
    host = reader.name(f"{place}.host", entry["host"]) if "host" in entry else f"{name}-outside"
    return Gateway(
        name=name,
        host=host,
        network=reader.fully_qualified(
            f"{place}.network", entry.get("network"), "domain:project:network"
        ),
        outside=_range(reader, f"{place}.outside", entry.get("outside")),
    )


def _router(reader: _Reader, place: str, value: object, hosts: Sequence[str]) -> Router:
    known = ("name", "host", "port", "behind", "site", "autonomous_system")
    entry = reader.mapping(place, value, known)
    name, host, port = _endpoint(reader, place, entry, hosts)
    site = reader.name(f"{place}.site", entry["site"]) if "site" in entry else f"{name}-site"
    number = entry.get("autonomous_system")
    if number is not None:
        where = f"{place}.autonomous_system"
        number = reader.integer(where, number, 1, AUTONOMOUS_SYSTEM_MAX)
    behind = _range(reader, f"{place}.behind", entry.get("behind"))
    return Router(name, host, port, behind, site, number)


def _range(reader: _Reader, place: str, value: object) -> IPv4Network:
    try:
        found = IPv4Network(str(value))
    except ValueError as error:
        reader.fault(place, f"{error}; write a range such as 198.51.100.0/24")
        return IPv4Network(0)
    if not 8 <= found.prefixlen <= 28:
        reader.fault(place, f"{found} must be a range from /8 to /28")
    return found


def _workload(reader: _Reader, place: str, value: object, hosts: Sequence[str]) -> Workload:
    entry = reader.mapping(place, value, ("name", "host", "port", "plugged"))
    name, host, port = _endpoint(reader, place, entry, hosts)
    plugged = reader.boolean(f"{place}.plugged", entry.get("plugged", True))
    return Workload(name=name, host=host, port=port, plugged=plugged)


def _appliance(
    reader: _Reader, place: str, value: object, workloads: Sequence[Workload]
) -> Appliance:
    entry = reader.mapping(place, value, ("name", "left", "right", "kind"))
    hosts = {workload.name: workload.host for workload in workloads}
    sides: list[str] = []
    for side in ("left", "right"):
        name = entry.get(side)
        if not isinstance(name, str) or name not in hosts:
            reader.fault(f"{place}.{side}", f"{name!r} is not in workloads")
        sides.append(str(name))
    if len({hosts.get(side) for side in sides}) > 1:
        reader.fault(place, "left and right are on different hosts; a network function is on one")
    kinds = {kind.value: kind for kind in ApplianceKind}
    kind = entry.get("kind", ApplianceKind.ROUTER.value)
    if kind not in kinds:
        reader.fault(f"{place}.kind", f"{kind!r} is not one of {', '.join(kinds)}")
    name = reader.name(f"{place}.name", entry.get("name"))
    left, right = sides
    return Appliance(name, left, right, kinds.get(str(kind), ApplianceKind.ROUTER))


def _guest(reader: _Reader, place: str, value: object, hosts: Sequence[str]) -> Guest:
    entry = reader.mapping(place, value, ("name", "host", "port", "memory_mib"))
    name, host, port = _endpoint(reader, place, entry, hosts)
    memory = reader.integer(f"{place}.memory_mib", entry.get("memory_mib", 128), 96, 4096)
    return Guest(name=name, host=host, port=port, memory_mib=memory)


def _endpoint(
    reader: _Reader, place: str, entry: Mapping[str, object], hosts: Sequence[str]
) -> tuple[str, str, tuple[str, ...]]:
    name = reader.name(f"{place}.name", entry.get("name"))
    host = entry.get("host")
    if host not in hosts:
        reader.fault(
            f"{place}.host",
            f"{host!r} is not in hosts; known hosts: {', '.join(hosts) or 'none'}",
        )
        host = ""
    return (
        name,
        str(host),
        reader.fully_qualified(f"{place}.port", entry.get("port"), "domain:project:port"),
    )


def _unique(reader: _Reader, what: str, values: Sequence[str]) -> None:
    for value in sorted({value for value in values if value and values.count(value) > 1}):
        reader.fault(what, f"{value!r} is used {values.count(value)} times; it must be unique")


_EXPECT_KEYS = ("from", "to", "protocol", "port", "reply", "reason")


def _expectations(
    reader: _Reader, value: object, endpoints: Sequence[str]
) -> tuple[Expectation, ...]:
    """Expand every (from, to) pair of every entry; one pair may be stated only once a probe."""
    expanded: dict[tuple[str, str, str, int], Expectation] = {}
    for index, raw in enumerate(reader.sequence("expect", value)):
        place = f"expect[{index}]"
        entry = reader.mapping(place, raw, _EXPECT_KEYS)
        protocol, port = _probe(reader, place, entry)
        reply, reason = entry.get("reply", True), entry.get("reason")
        if not isinstance(reply, bool):
            reader.fault(f"{place}.reply", f"{reply!r} must be true or false")
        if reason is not None and (reply or not isinstance(reason, str)):
            reader.fault(f"{place}.reason", "a drop reason's name goes with reply: false only")
        for source in _names(reader, f"{place}.from", entry.get("from"), endpoints):
            for destination in _names(reader, f"{place}.to", entry.get("to"), endpoints):
                if source == destination:
                    continue
                expectation = Expectation(
                    source=source,
                    destination=destination,
                    protocol=protocol,
                    port=port,
                    reply=bool(reply),
                    reason=str(reason) if reason is not None else None,
                )
                key = (source, destination, protocol, port)
                if expanded.setdefault(key, expectation) != expectation:
                    reader.fault(
                        place, f"{source} to {destination} {protocol} is already stated otherwise"
                    )
    return tuple(expanded.values())


def _probe(reader: _Reader, place: str, entry: Mapping[str, object]) -> tuple[str, int]:
    protocol = entry.get("protocol", "icmp")
    if protocol not in PROTOCOLS:
        reader.fault(f"{place}.protocol", f"{protocol!r} is not one of {', '.join(PROTOCOLS)}")
        protocol = "icmp"
    if protocol in {"tcp", "udp"}:
        return str(protocol), reader.integer(f"{place}.port", entry.get("port"), 1, 65535)
    if "port" in entry:
        reader.fault(f"{place}.port", f"{protocol} has no port")
    return str(protocol), 0


def _names(
    reader: _Reader,
    place: str,
    value: object,
    endpoints: Sequence[str],
    what: str = "workload, guest or host outside",
) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not values:
        reader.fault(place, f"expected the name of a {what} or a list of them")
        return ()
    for name in values:
        if name not in endpoints:
            reader.fault(
                place,
                f"{name!r} is no {what}; known: {', '.join(filter(None, endpoints)) or 'none'}",
            )
    return tuple(str(name) for name in values if name in endpoints)
