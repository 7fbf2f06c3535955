"""Rules of flat subnets: pools of a manager that several routed networks share."""

from __future__ import annotations

from skytrail.api import addressing, documents, ipam
from skytrail.api.change import Change
from skytrail.api.documents import Document
from skytrail.api.graph import Record, referrers
from skytrail.api.references import referred
from skytrail.api.refusal import bad_request, conflict
from skytrail.api.rules.scope import router_settings

_FIELD = "network_ipam_refs"
_FLAT = "flat-subnet"


def is_flat(manager: Record) -> bool:
    """Whether the manager's subnets are its own."""
    return manager.body.get("ipam_subnet_method") == _FLAT


def check_network(change: Change, body: Document, old: Record | None) -> None:
    """Refuse flat subnets in a switched network, own subnets beside them, overlap, and loss."""
    managers = [each for each in referred(change, body, _FIELD) if is_flat(each)]
    if managers:
        _check_references(body, {each.uuid for each in managers})
        if not change.by_system and _forwarding_mode(change, body) != "l3":
            raise bad_request(
                "flat-subnet is allowed only with l3 network: set forwarding_mode to l3"
            )
        check_overlap(addressing.own_subnets(body), managers)
    if old is not None:
        _refuse_loss(change, old, {each.uuid for each in managers})


def _check_references(body: Document, flat: set[str]) -> None:
    for reference in documents.sections(body, _FIELD):
        if documents.text(reference, "uuid") not in flat:
            continue
        attribute = documents.section(reference, "attr")
        if any(
            documents.section(s, "subnet") for s in documents.sections(attribute, "ipam_subnets")
        ):
            raise bad_request("with flat-subnet, network can not have user-defined subnet")


def _forwarding_mode(change: Change, body: Document) -> str | None:
    own = documents.text(documents.section(body, "virtual_network_properties"), "forwarding_mode")
    if own:
        return own
    return documents.text(router_settings(change), "forwarding_mode")


def check_overlap(own: list[Document], managers: list[Record]) -> None:
    """Refuse a network in which an address would be of two subnets."""
    networks = [ipam.network_of(subnet) for subnet in own]
    for manager in managers:
        shared = addressing.parsed_subnets(manager, addressing.flat_subnets)
        networks += [subnet.network for subnet in shared]
    ipam.check_disjoint(networks)


def _refuse_loss(change: Change, old: Record, left: set[str]) -> None:
    """Refuse to part from a manager whose addresses the network uses."""
    gone = {
        f"ip/{manager.uuid}/"
        for manager in referred(change, old.body, _FIELD)
        if is_flat(manager) and manager.uuid not in left
    }
    if not gone:
        return
    for address in referrers(change.view, old.uuid, "instance-ip"):
        for pool, _ in change.view.numbers.owned_by(address.uuid):
            if pool[: len("ip/") + 37] in gone:
                text = documents.text(address.body, "instance_ip_address")
                raise conflict(f"Cannot Delete IP Block, IP({text}) is in use")


def check_manager(change: Change, old: Record, body: Document) -> None:
    """Refuse subnets that overlap others of a network that uses the manager, and lost pools."""
    for network in referrers(change.view, old.uuid, "virtual-network"):
        others = [
            each
            for each in referred(change, network.body, _FIELD)
            if is_flat(each) and each.uuid != old.uuid
        ]
        own = addressing.own_subnets(network.body) + addressing.flat_subnets(body)
        check_overlap(own, others)
