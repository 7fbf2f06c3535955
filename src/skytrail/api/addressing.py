"""Which subnets a network offers, and taking addresses from them for ports and floating addresses."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address

from skytrail.api import dhcp_options, documents, ipam
from skytrail.api.change import Change
from skytrail.api.documents import Document
from skytrail.api.graph import Record, View
from skytrail.api.ipam import Subnet
from skytrail.api.refusal import Refused, bad_request, conflict

UNMANAGED_NETWORKS = ("ip-fabric", "__link_local__")
_PROJECT = ("default-domain", "default-project")
_FLAT = "flat-subnet"


def is_unmanaged(network: Record) -> bool:
    """Whether addresses of the network are nobody's business here."""
    return network.fq_name[:-1] == _PROJECT and network.name in UNMANAGED_NETWORKS


def own_subnets(network: Document) -> list[Document]:
    """Return the subnets written in a network's own references, complete or not."""
    return [
        subnet
        for reference in documents.sections(network, "network_ipam_refs")
        for subnet in documents.sections(documents.section(reference, "attr"), "ipam_subnets")
        if documents.section(subnet, "subnet")
    ]


def flat_subnets(manager: Document) -> list[Document]:
    """Return the subnets an address manager shares over all its networks."""
    if manager.get("ipam_subnet_method") != _FLAT:
        return []
    return documents.sections(documents.section(manager, "ipam_subnets"), "subnets")


def parsed_subnets(record: Record, written: Callable[[Document], list[Document]]) -> list[Subnet]:
    """Return the stored subnets of a network or manager; parsed once per version of it."""
    if record.subnets is None:
        record.subnets = tuple(ipam.parse(subnet, record.uuid) for subnet in written(record.body))
    return list(record.subnets)


def subnets_of(view: View, network: Record) -> list[Subnet]:
    """Return what the network offers, in the order its allocation mode says."""
    own = parsed_subnets(network, own_subnets)
    flat: list[Subnet] = []
    for reference in documents.sections(network.body, "network_ipam_refs"):
        shared = view.get(documents.text(reference, "uuid") or "")
        if shared is not None:
            flat += parsed_subnets(shared, flat_subnets)
    match documents.text(network.body, "address_allocation_mode"):
        case "flat-subnet-only":
            return flat
        case "user-defined-subnet-only":
            return own
        case "flat-subnet-preferred":
            return flat + own
        case _:
            return own + flat


class Wish:
    """What an address request asks for; every part may be absent."""

    __slots__ = ("address", "family", "subnet_uuids", "tag")

    def __init__(
        self,
        *,
        address: str | None = None,
        family: str | None = None,
        subnet_uuids: list[str] | None = None,
        tag: str | None = None,
    ) -> None:
        self.address = address
        self.family = family
        self.subnet_uuids = subnet_uuids or []
        self.tag = tag


def take_address(change: Change, network: Record, wish: Wish, owner: str) -> tuple[str, Subnet]:
    """Take the wished or the next address of a network; return it with its subnet."""
    name = f"Virtual-Network({list(network.fq_name)})"
    offered = subnets_of(change.view, network)
    if not offered:
        raise bad_request(f"{name} has no defined subnets")
    chosen = [s for s in offered if not wish.subnet_uuids or s.uuid in wish.subnet_uuids]
    if not chosen:
        raise bad_request(f"{name} has invalid subnet({','.join(wish.subnet_uuids)})")
    if wish.address:
        return _take_explicit(change, name, chosen, wish.address, owner)
    chosen = [s for s in chosen if wish.family in (None, s.family)]
    if wish.tag is not None:
        chosen = [s for s in chosen if s.tag == wish.tag]
    taken = ipam.allocate(change.view.numbers, chosen, owner)
    if taken is None:
        raise bad_request(f"{name} has exhausted subnet({[str(s.network) for s in chosen]})")
    subnet, address = taken
    return address, subnet


def _take_explicit(
    change: Change, name: str, offered: list[Subnet], text: str, owner: str
) -> tuple[str, Subnet]:
    address = ipam.parse_address(text, "IP address")
    for subnet in offered:
        if address in subnet.network:
            low, high = ipam.host_range(subnet.network)
            if not low <= int(address) <= high:
                raise bad_request(f"IP address {address} is no host address of {subnet.network}")
            take_exactly(change, subnet, address, owner)
            return str(address), subnet
    raise bad_request(f"{name} has invalid subnet({address})")


def take_exactly(change: Change, subnet: Subnet, address: ipam.Address, owner: str) -> None:
    """Take one address of a subnet; in a subnet of blocks it has to be the first of one."""
    if int(address) % subnet.unit:
        raise bad_request(
            f"IP address {address} is not the first of a block of {subnet.unit} (alloc_unit) "
            f"of {subnet.network}"
        )
    if not change.view.numbers.take(subnet.pool, int(address), owner):
        raise conflict("IP address already in use")


def refuse_if_in_use(change: Change, parsed: Subnet) -> None:
    """Refuse to take away a subnet that has addresses in use."""
    for value, owner in change.view.numbers.pool(parsed.pool):
        holder = change.view.get(owner)
        kind = {"floating-ip": "Floating IP", "alias-ip": "Alias IP"}.get(
            holder.type_name if holder is not None else "", "IP"
        )
        raise conflict(f"Cannot Delete IP Block, {kind}({parsed.text_of(value)}) is in use")


def release_all(change: Change, subnet: Subnet) -> None:
    """Free every address of a subnet that is going away."""
    for value, _ in list(change.view.numbers.pool(subnet.pool)):
        change.view.numbers.release(subnet.pool, value)


def complete_subnets(
    change: Change, given: list[Document], previous: list[Document], holder: str
) -> list[Document]:
    """Return completed subnets in place of the given ones; refuse to lose one that is in use."""
    known = {str(ipam.network_of(subnet)): subnet for subnet in previous}
    complete: list[Document] = []
    for subnet in given:
        kept = known.get(str(ipam.network_of(subnet)))
        dhcp_options.check_subnet(subnet, kept)
        complete.append(ipam.complete(subnet, kept, change.now, change.new_uuid()))
    ipam.check_disjoint([ipam.network_of(subnet) for subnet in complete])
    left = {documents.text(subnet, "subnet_uuid") for subnet in complete}
    if len(left) != len(complete):
        raise bad_request("subnet_uuid is used twice")
    for subnet in previous:
        if documents.text(subnet, "subnet_uuid") not in left:
            refuse_if_in_use(change, ipam.parse(subnet, holder))
    return complete


def alloc_addresses(change: Change, network: Record, wish: Wish, count: int) -> list[str]:
    """Reserve addresses without an object (ip-alloc)."""
    taken: list[str] = []
    for _ in range(count):
        try:
            taken.append(take_address(change, network, wish, RESERVED)[0])
        except Refused as refusal:
            if "exhausted" in refusal.text:
                raise conflict(refusal.text) from None
            raise Refused(404, refusal.text) from None
    return taken


def free_addresses(change: Change, network: Record, addresses: list[str]) -> None:
    """Give back reserved addresses; those of objects and unknown ones stay as they are."""
    offered = subnets_of(change.view, network)
    for text in addresses:
        address = ipam.parse_address(text, "IP address")
        for subnet in offered:
            held = change.view.numbers.owner(subnet.pool, int(address))
            if address in subnet.network and held == RESERVED:
                change.view.numbers.release(subnet.pool, int(address))


RESERVED = "ip-alloc"


def family_of(address: str) -> str:
    """Return v4 or v6."""
    return f"v{ip_address(address).version}"
