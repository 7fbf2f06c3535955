"""Devices that export to us over protocols without a login: who is admitted, how much, and what was not taken. Pure.

```
 datagram --> admit(address) --no--> counted, as one of the refused
                |yes
                `--> its share of the second left? --no--> counted, as shed
```
Admitted are this machine, addresses that a setting names, and those of configured physical routers. Nothing else says
who a device is, so that state is kept of these alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

PER_S: Final = 2_000
"""Pieces of datagrams of one device; twice as many at once."""
ALL_PER_S: Final = 4_000
"""Of all devices: what reading these costs leaves the node time for everybody else."""
QUIET_PER_S: Final = 1_000
"""Beside that, of devices that send less than their part: those that flood leave them room."""
PIECE_BYTES: Final = 512
"""A datagram counts once for each of these that it begins: what it costs grows with its length."""
EXPORTERS_COUNT_MAX: Final = 4_096
REFUSED_COUNT_MAX: Final = 64
"""Strangers that are told apart; the rest is counted together."""
UNKNOWN: Final = "exporter_unknown"
SHED: Final = "exporter_shed"


@dataclass(frozen=True, slots=True)
class DeviceSettings:
    """Where to listen to devices, and to which; ports that are 0 are not listened at."""

    listen: str = "127.0.0.1"
    admitted: tuple[Network, ...] = ()
    syslog_port: int = 0
    syslog_tls_port: int = 0
    sflow_port: int = 0
    ipfix_port: int = 0


@dataclass(slots=True)
class Bucket:
    """Lets ``per_s`` things through, and twice as many after a pause."""

    per_s: float
    left: float
    at: float

    def take(self, now: float, count: int) -> bool:
        """Tell whether there is room for so many more."""
        self.left = min(2 * self.per_s, self.left + (now - self.at) * self.per_s)
        self.at = now
        if self.left < count:
            return False
        self.left -= count
        return True

    def charge(self, count: int) -> None:
        """Take what turned out to be more work than it seemed; a pause makes up for a second of it at most."""
        self.left = max(-self.per_s, self.left - count)


@dataclass(slots=True, eq=False, weakref_slot=True)
class Exporter:
    """One device, as it speaks one protocol; ``since`` and ``seen`` are seconds of the collector's clock."""

    address: str
    protocol: str
    name: str
    """Of the configured physical router, else empty."""
    since: float
    bucket: Bucket
    seen: float = 0.0
    datagrams_count: int = 0
    bytes_count: int = 0
    records_count: int = 0
    dropped: Counter[str] = field(default_factory=Counter[str])

    @property
    def shown(self) -> str:
        """Return what people call it."""
        return self.name or self.address


class Exporters:
    """The register, by protocol and address; bounded. Addresses are canonical texts."""

    def __init__(
        self, admitted: Sequence[Network] = (), dropped: Counter[str] | None = None
    ) -> None:
        self._admitted = tuple(admitted)
        self._routers: Mapping[str, str] = {}
        self._by_place: dict[tuple[str, str], Exporter] = {}
        self._all: Bucket | None = None
        self._quiet: Bucket | None = None
        self.dropped = dropped if dropped is not None else Counter[str]()
        """What was not taken, by reason, of all; devices have their own."""
        self.refused: Counter[str] = Counter()
        """Datagrams and connections of strangers by address, the first few of them."""

    def __iter__(self) -> Iterator[Exporter]:
        return iter(self._by_place.values())

    def configure(self, routers: Mapping[str, str]) -> None:
        """Set the addresses of physical routers, with their names; what strangers lose, they lose now."""
        self._routers = dict(routers)
        for place, exporter in list(self._by_place.items()):
            exporter.name = self._routers.get(exporter.address, "")
            if not self.is_admitted(exporter.address):
                del self._by_place[place]

    def is_admitted(self, address: str) -> bool:
        """Tell whether a device is one of those we listen to."""
        if address in self._routers:
            return True
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        return parsed.is_loopback or any(parsed in network for network in self._admitted)

    def known(
        self, protocol: str, address: str, now: float, *, proven: bool = False
    ) -> Exporter | None:
        """Return the device, None (counted) for strangers; one with a certificate is ``proven``."""
        found = self._by_place.get((protocol, address))
        if found is None:
            if not (proven or self.is_admitted(address)):
                self.refuse(address)
                return None
            if len(self._by_place) >= EXPORTERS_COUNT_MAX:
                self.dropped["too_many_exporters"] += 1
                return None
            name = self._routers.get(address, "")
            found = Exporter(address, protocol, name, now, Bucket(PER_S, 2 * PER_S, now))
            self._by_place[protocol, address] = found
        return found

    def refuse(self, address: str) -> None:
        """Count what a stranger sent."""
        self.dropped[UNKNOWN] += 1
        if address in self.refused or len(self.refused) < REFUSED_COUNT_MAX:
            self.refused[address] += 1

    def admit(self, protocol: str, address: str, size: int, now: float) -> Exporter | None:
        """Return whose datagram of ``size`` bytes is to be read, None (counted) when it is not."""
        found = self.known(protocol, address, now)
        if found is None:
            return None
        self.note(found, size, now)
        if self._all is None or self._quiet is None:
            self._all = Bucket(ALL_PER_S, 2 * ALL_PER_S, now)
            self._quiet = Bucket(QUIET_PER_S, 2 * QUIET_PER_S, now)
        count = max(1, -(-size // PIECE_BYTES))
        is_taken = found.bucket.take(now, count) and (
            self._all.take(now, count)
            or (found.bucket.left >= found.bucket.per_s and self._quiet.take(now, count))
        )
        if not is_taken:
            self.drop(found, SHED)
            return None
        return found

    def note(self, exporter: Exporter, size: int, now: float) -> None:
        """Count a datagram, or a message of a stream."""
        exporter.seen = now
        exporter.datagrams_count += 1
        exporter.bytes_count += size

    def drop(self, exporter: Exporter, reason: str, count: int = 1) -> None:
        """Count what of a device was not taken."""
        exporter.dropped[reason] += count
        self.dropped[reason] += count

    def rows(self) -> Iterator[Mapping[str, object]]:
        """Yield the table of introspection: those admitted, then strangers."""
        for each in self:
            yield {
                "address": each.address,
                "protocol": each.protocol,
                "name": each.name,
                "admitted": True,
                "datagrams": each.datagrams_count,
                "bytes": each.bytes_count,
                "records": each.records_count,
                "dropped": dict(each.dropped),
            }
        for address, count in self.refused.items():
            yield {"address": address, "admitted": False, "datagrams": count}


def canonical(host: str) -> str:
    """Return an address of a socket as it is registered: without zone, IPv4 in IPv6 as IPv4."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)
