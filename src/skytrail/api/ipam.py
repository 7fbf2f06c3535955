"""Subnets and addresses: completes subnets, judges them, and hands out addresses.

A subnet's addresses are numbers in the pool ``ip/<holder>/<subnet uuid>``, the holder being the
network, or the address manager that shares it over networks; gateway and service (DNS) address
are never handed out. Defaults follow the wire contract: with ``addr_from_start`` the gateway is the
first address, the service address the second and allocation ascends; without it everything starts
at the far end and descends.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from itertools import pairwise

from skytrail.api import documents
from skytrail.api.documents import Document
from skytrail.api.numbers import NumbersOverlay, Ranges
from skytrail.api.refusal import bad_request, conflict
from skytrail.model.validate import shown

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
NO_ADDRESS = ("0.0.0.0", "::")
_PLAIN_HOSTS_MIN = 4
"""Subnets smaller than this have neither network, broadcast, gateway nor service address."""


@dataclass(frozen=True, slots=True)
class Subnet:
    """A complete subnet."""

    uuid: str
    holder: str
    network: Network
    gateway: int | None
    service: int | None
    pools: Ranges
    """Ranges addresses are limited to; none means the whole subnet, unless router_pools has some."""
    router_pools: Ranges
    """Ranges only virtual-routers hand out."""
    from_start: bool
    unit: int
    tag: str | None
    pool: str = field(init=False)
    """Name of the pool of numbers its addresses are."""
    family: str = field(init=False)
    usable: Ranges = field(init=False)
    """The ranges addresses are taken from."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "pool", f"ip/{self.holder}/{self.uuid}")
        object.__setattr__(self, "family", f"v{self.network.version}")
        whole = not (self.pools or self.router_pools)
        ranges = [host_range(self.network)] if whole else self.pools
        object.__setattr__(self, "usable", self.free_of_own(ranges))

    def free_of_own(self, given: Ranges) -> Ranges:
        """Return the ranges without gateway and service address."""
        ranges = list(given)
        for reserved in {self.gateway, self.service} - {None}:
            ranges = [part for whole in ranges for part in _around(whole, reserved)]
        return ranges

    def text_of(self, value: int) -> str:
        """Return an address of this subnet as text."""
        return str(IPv4Address(value) if self.network.version == 4 else IPv6Address(value))


def _around(whole: tuple[int, int], value: int | None) -> list[tuple[int, int]]:
    low, high = whole
    if value is None or not low <= value <= high:
        return [whole]
    return [part for part in ((low, value - 1), (value + 1, high)) if part[0] <= part[1]]


def host_range(network: Network) -> tuple[int, int]:
    """Return first and last address a host may have."""
    first, last = int(network.network_address), int(network.broadcast_address)
    return (first, last) if network.num_addresses < _PLAIN_HOSTS_MIN else (first + 1, last - 1)


def parse_address(text: object, what: str) -> Address:
    """Return an address; refuse anything else, naming what it was for.

    An IPv6 zone, for which any text passes, means nothing beyond one host and is refused as well.
    """
    if isinstance(text, str) and "%" not in text:
        try:
            return ip_address(text)
        except (AddressValueError, ValueError):
            pass
    raise bad_request(f"Invalid {what}: {shown(text)}")


def parse_prefix(text: str, length: int) -> Network:
    """Return the prefix, host bits cleared; raises ``ValueError``, also for an IPv6 zone."""
    if "%" in text:
        raise ValueError(f"{text!r} names a zone")
    return ip_network(f"{text}/{length}", strict=False)


def prefix_in(prefix: Document, refusal: str) -> Network | None:
    """Return the prefix a rule gives, None for half of one; refuse what is none, shown after."""
    text, length = documents.text(prefix, "ip_prefix"), documents.number(prefix, "ip_prefix_len")
    if text is None or length is None:
        return None
    try:
        return parse_prefix(text, length)
    except ValueError:
        raise bad_request(f"{refusal}: {shown(prefix)}") from None


def network_of(subnet: Document) -> Network:
    """Return the prefix of a subnet; host bits are cleared, as clients send addresses."""
    prefix = documents.section(subnet, "subnet")
    text, length = documents.text(prefix, "ip_prefix"), documents.number(prefix, "ip_prefix_len")
    if not text or length is None or "/" in text:
        raise bad_request(f"Invalid subnet: {shown(prefix)}")
    try:
        return parse_prefix(text, length)
    except ValueError as error:
        raise bad_request(f"Invalid subnet: {shown(error)}") from None


def complete(subnet: Document, previous: Document | None, now: str, fresh_uuid: str) -> Document:
    """Return the subnet with everything the server fills; refuse contradictions.

    ``previous`` is the stored subnet of the same prefix, whose answers are kept.
    """
    network = network_of(subnet)
    known = previous or {}
    filled = dict(subnet)
    filled["subnet"] = {
        "ip_prefix": str(network.network_address),
        "ip_prefix_len": network.prefixlen,
    }
    filled["subnet_uuid"] = (
        documents.text(subnet, "subnet_uuid") or documents.text(known, "subnet_uuid") or fresh_uuid
    )
    if "addr_from_start" in known and "addr_from_start" not in filled:
        filled["addr_from_start"] = known["addr_from_start"]
    filled["default_gateway"] = _gateway(filled, known, network)
    filled["dns_server_address"] = _service(filled, known, network)
    filled["allocation_pools"] = [
        _checked_pool(pool, network) for pool in documents.sections(subnet, "allocation_pools")
    ]
    _check_unit(filled, known)
    filled["created"] = documents.text(known, "created") or now
    unchanged = previous is not None and {**filled, "last_modified": 0} == {
        **previous,
        "last_modified": 0,
    }
    filled["last_modified"] = known["last_modified"] if unchanged else now
    return filled


def _none_address(network: Network) -> str:
    return NO_ADDRESS[0] if network.version == 4 else NO_ADDRESS[1]


def _gateway(subnet: Document, known: Document, network: Network) -> str:
    given, kept = (
        documents.text(subnet, "default_gateway"),
        documents.text(known, "default_gateway"),
    )
    if not given:
        return kept or _default_address(subnet, network, 0)
    gateway = parse_address(given, "default gateway")
    if str(gateway) not in NO_ADDRESS and gateway not in network:
        raise bad_request(f"gateway Ip {gateway} not in cidr {network}")
    if kept and gateway != ip_address(kept):
        raise bad_request(f"default gateway change is not allowed orig:{kept}, new: {gateway}")
    return str(gateway)


def _service(subnet: Document, known: Document, network: Network) -> str:
    given = documents.text(subnet, "dns_server_address")
    if not given:
        kept = documents.text(known, "dns_server_address")
        if kept:
            return kept
        second = _default_address(subnet, network, 1)
        gateway = documents.text(subnet, "default_gateway")
        return _default_address(subnet, network, 0) if second == gateway else second
    service = parse_address(given, "dns server address")
    if str(service) not in NO_ADDRESS and service not in network:
        raise bad_request(f"dns server address {service} not in cidr {network}")
    return str(service)


def _default_address(subnet: Document, network: Network, place: int) -> str:
    if network.num_addresses < _PLAIN_HOSTS_MIN:
        return _none_address(network)
    low, high = host_range(network)
    value = low + place if documents.flag(subnet, "addr_from_start") else high - place
    return str(network[value - int(network.network_address)])


def _checked_pool(pool: Document, network: Network) -> Document:
    start, end = documents.text(pool, "start"), documents.text(pool, "end")
    first = parse_address(start, "allocation pool start")
    last = parse_address(end, "allocation pool end")
    if first not in network or last not in network or int(last) < int(first):
        raise conflict(f"allocation pool start:{start}, end:{end} out of cidr:{network}")
    return pool


def _check_unit(subnet: Document, known: Document) -> None:
    """Refuse a unit that makes no blocks, and to change it: blocks in use would overlap."""
    if "alloc_unit" in known:
        subnet.setdefault("alloc_unit", known["alloc_unit"])
    unit = documents.number(subnet, "alloc_unit")
    if known and (documents.number(known, "alloc_unit") or 1) != (unit or 1):
        raise bad_request("alloc_unit can not be changed")
    if unit is not None and (unit < 1 or unit & (unit - 1)):
        raise bad_request(f"allocation-unit {unit} is not power of 2")


def parse(subnet: Document, holder: str) -> Subnet:
    """Return a stored, hence complete, subnet of the holder with that uuid."""
    network = network_of(subnet)
    return Subnet(
        uuid=documents.text(subnet, "subnet_uuid") or "",
        holder=holder,
        network=network,
        gateway=_value(documents.text(subnet, "default_gateway")),
        service=_value(documents.text(subnet, "dns_server_address")),
        pools=_pools(subnet, of_routers=False),
        router_pools=_pools(subnet, of_routers=True),
        from_start=documents.flag(subnet, "addr_from_start") or False,
        unit=documents.number(subnet, "alloc_unit") or 1,
        tag=documents.text(subnet, "subscriber_tag"),
    )


def _pools(subnet: Document, *, of_routers: bool) -> Ranges:
    return tuple(
        (int(ip_address(str(pool.get("start")))), int(ip_address(str(pool.get("end")))))
        for pool in documents.sections(subnet, "allocation_pools")
        if (documents.flag(pool, "vrouter_specific_pool") or False) == of_routers
    )


def _value(text: str | None) -> int | None:
    return None if not text or text in NO_ADDRESS else int(ip_address(text))


def check_disjoint(networks: list[Network]) -> None:
    """Refuse prefixes of one network that share addresses."""
    ordered = sorted(networks, key=lambda n: (n.version, int(n.network_address), n.prefixlen))
    for one, other in pairwise(ordered):
        if one.version == other.version and int(other.network_address) <= int(
            one.broadcast_address
        ):
            raise bad_request(f"Overlapping addresses: {[str(one), str(other)]}")


def allocate(
    numbers: NumbersOverlay, subnets: list[Subnet], owner: str
) -> tuple[Subnet, str] | None:
    """Take the next address of the first subnet with room."""
    for subnet in subnets:
        text = take_next(numbers, subnet, subnet.usable, owner)
        if text is not None:
            return subnet, text
    return None


def take_next(numbers: NumbersOverlay, subnet: Subnet, ranges: Ranges, owner: str) -> str | None:
    """Take the next address of a subnet that is in the ranges."""
    value = numbers.take_first(
        subnet.pool, ranges, owner, descending=not subnet.from_start, unit=subnet.unit
    )
    return None if value is None else subnet.text_of(value)
