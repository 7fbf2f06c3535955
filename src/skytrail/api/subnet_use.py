"""How full subnets are: of all networks and flat IPAMs that a caller sees, the fullest first. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from skytrail.api.addressing import flat_subnets, own_subnets, parsed_subnets
from skytrail.api.documents import Document
from skytrail.api.graph import Record
from skytrail.api.ipam import Subnet, host_range
from skytrail.api.numbers import Numbers

NETWORK = "virtual-network"
IPAM = "network-ipam"
_MILLIONTHS = 1_000_000


@dataclass(frozen=True, slots=True)
class Use:
    """One subnet: what it has to give, and how much of that is taken."""

    holder: Record
    written: Document
    prefix: str
    used: int
    capacity: int

    @property
    def order(self) -> tuple[int, str, str]:
        """The fullest first; one that has nothing to give is full."""
        share = self.used * _MILLIONTHS // self.capacity if self.capacity else _MILLIONTHS
        return -share, self.prefix, self.holder.uuid

    def document(self) -> Document:
        """Return what the API tells. ``capacity`` is decimal text: of IPv6 no number of JSON's."""
        return {
            "holder_type": self.holder.type_name,
            "holder_uuid": self.holder.uuid,
            "holder_name": list(self.holder.fq_name),
            "subnet": self.written,
            "used": self.used,
            "capacity": str(self.capacity),
        }


def capacity_of(subnet: Subnet) -> int:
    """Return how many addresses ports may get, those that only virtual-routers hand out too."""
    given = [*subnet.pools, *subnet.router_pools] or [host_range(subnet.network)]
    return sum(last - first + 1 for first, last in subnet.free_of_own(given))


def uses_of(holder: Record, numbers: Numbers) -> Iterator[Use]:
    """Yield the subnets that a network has of its own, or that a flat IPAM shares."""
    written = own_subnets if holder.type_name == NETWORK else flat_subnets
    for document, subnet in zip(written(holder.body), parsed_subnets(holder, written), strict=True):
        used = numbers.taken_count(subnet.pool)
        yield Use(holder, document, str(subnet.network), used, capacity_of(subnet))
