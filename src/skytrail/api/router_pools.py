"""Addresses out of a virtual-router's own pools: the part of a shared subnet one host hands out.

A flat-subnet manager marks pools of its subnets as ``vrouter_specific_pool``; nobody gets their
addresses but through a virtual-router whose reference to the manager names them. With
``ipam_subnetting`` the reference may name whole subnets inside the manager's instead.
"""

from __future__ import annotations

from typing import NamedTuple

from skytrail.api import addressing, documents, ipam
from skytrail.api.addressing import Wish
from skytrail.api.change import Change
from skytrail.api.documents import Document
from skytrail.api.graph import Record, referrers
from skytrail.api.ipam import Subnet
from skytrail.api.refusal import bad_request, conflict

_FIELD = "network_ipam_refs"
_FLAT = "flat-subnet"
_COUNT_MAX = 128


class Pool(NamedTuple):
    """A range a virtual-router hands out of one subnet."""

    subnet: Subnet
    low: int
    high: int

    def __str__(self) -> str:
        return f"{self.subnet.text_of(self.low)}-{self.subnet.text_of(self.high)}"

    def meets(self, other: Pool) -> bool:
        """Whether both hold an address of the same subnet."""
        same = self.subnet.pool == other.subnet.pool
        return same and self.low <= other.high and other.low <= self.high


def pools_of(change: Change, body: Document) -> list[Pool]:
    """Return the pools of a virtual-router; refuse ones its managers do not set aside."""
    found: list[Pool] = []
    for reference in documents.sections(body, _FIELD):
        manager = change.view.get(documents.text(reference, "uuid") or "")
        if manager is None:
            continue
        if manager.body.get("ipam_subnet_method") != _FLAT:
            raise bad_request(
                f"Only flat-subnet ipam can be attached to a virtual-router, not {manager.name}"
            )
        attribute = documents.section(reference, "attr")
        subnets = addressing.parsed_subnets(manager, addressing.flat_subnets)
        pools = documents.sections(attribute, "allocation_pools")
        prefixes = documents.sections(attribute, "subnet")
        if len(found) + len(pools) + len(prefixes) > _COUNT_MAX:
            raise bad_request(f"A virtual-router has at most {_COUNT_MAX} allocation pools")
        found += [_given_pool(manager, subnets, pool) for pool in pools]
        found += [_given_subnet(manager, subnets, prefix) for prefix in prefixes]
    for index, pool in enumerate(found):
        if any(pool.meets(other) for other in found[:index]):
            raise bad_request(f"allocation pool {pool} is given twice")
    return found


def _given_pool(manager: Record, subnets: list[Subnet], given: Document) -> Pool:
    start = ipam.parse_address(documents.text(given, "start"), "allocation pool start")
    end = ipam.parse_address(documents.text(given, "end"), "allocation pool end")
    for subnet in subnets:
        inside = start in subnet.network and end in subnet.network and int(start) <= int(end)
        if inside and any(
            low <= int(start) and int(end) <= high for low, high in subnet.router_pools
        ):
            return Pool(subnet, int(start), int(end))
    raise bad_request(
        f"allocation pool start:{start}, end:{end} is not in a vrouter_specific_pool of "
        f"{list(manager.fq_name)}"
    )


def _given_subnet(manager: Record, subnets: list[Subnet], prefix: Document) -> Pool:
    network = ipam.network_of({"subnet": prefix})
    if not documents.flag(manager.body, "ipam_subnetting"):
        raise bad_request(f"subnet {network} needs ipam_subnetting on {list(manager.fq_name)}")
    for subnet in subnets:
        first, last = ipam.host_range(network)
        if (
            network.network_address in subnet.network
            and network.broadcast_address in subnet.network
        ):
            return Pool(subnet, first, last)
    raise bad_request(f"subnet {network} is not inside a subnet of {list(manager.fq_name)}")


def check(change: Change, body: Document, old: Record | None) -> None:
    """Refuse pools of somebody else, and to give up pools whose addresses are in use."""
    pools = pools_of(change, body)
    uuid = documents.text(body, "uuid")
    for reference in documents.sections(body, _FIELD):
        manager = documents.text(reference, "uuid") or ""
        for other in referrers(change.view, manager, "virtual-router"):
            if other.uuid == uuid:
                continue
            for taken in pools_of(change, other.body):
                clash = next((pool for pool in pools if pool.meets(taken)), None)
                if clash is not None:
                    raise conflict(
                        f"allocation pool {clash} overlaps {taken} of virtual-router {other.name}"
                    )
    if old is not None:
        _refuse_loss(change, old, pools)


def _refuse_loss(change: Change, old: Record, pools: list[Pool]) -> None:
    for address in referrers(change.view, old.uuid, "instance-ip"):
        for pool, value in change.view.numbers.owned_by(address.uuid):
            if not any(p.subnet.pool == pool and p.low <= value <= p.high for p in pools):
                text = documents.text(address.body, "instance_ip_address")
                raise conflict(f"allocation pool cannot be removed: IP({text}) is in use")


def take(change: Change, router: Record, wish: Wish, owner: str) -> tuple[str, Subnet]:
    """Take the wished or the next address of a virtual-router's pools."""
    name = f"Virtual-Router({list(router.fq_name)})"
    pools = pools_of(change, router.body)
    if not pools:
        raise bad_request(f"{name} has no allocation pool")
    chosen = [p for p in pools if not wish.subnet_uuids or p.subnet.uuid in wish.subnet_uuids]
    chosen = [p for p in chosen if wish.family in (None, p.subnet.family)]
    if wish.address is not None:
        return _take_explicit(change, name, chosen, wish.address, owner)
    for pool in chosen:
        text = ipam.take_next(
            change.view.numbers,
            pool.subnet,
            pool.subnet.free_of_own([(pool.low, pool.high)]),
            owner,
        )
        if text is not None:
            return text, pool.subnet
    raise bad_request(f"{name} has exhausted allocation pools({[str(pool) for pool in chosen]})")


def _take_explicit(
    change: Change, name: str, pools: list[Pool], text: str, owner: str
) -> tuple[str, Subnet]:
    address = ipam.parse_address(text, "IP address")
    for pool in pools:
        if address in pool.subnet.network and pool.low <= int(address) <= pool.high:
            addressing.take_exactly(change, pool.subnet, address, owner)
            return str(address), pool.subnet
    raise bad_request(f"{name} has no allocation pool with {address}")
