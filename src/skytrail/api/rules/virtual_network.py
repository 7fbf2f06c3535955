"""Rules of virtual networks: subnets, the numeric id, the default routing instance."""

from __future__ import annotations

from skytrail.api import addressing, documents, texts
from skytrail.api.change import Change, Companion, Rule
from skytrail.api.documents import Document
from skytrail.api.graph import Record
from skytrail.api.quota import check_subnets
from skytrail.api.refusal import Refused, bad_request, conflict
from skytrail.api.rules import flat
from skytrail.api.rules.fat_flows import check_fat_flows
from skytrail.api.rules.provider_network import check_provider
from skytrail.api.rules.scope import system_settings
from skytrail.model.validate import shown
from skytrail.net import RouteTarget
from skytrail.net.decimal_text import decimal

ID_POOL = "virtual-network-id"
ID_RANGE = ((1, (1 << 24) - 1),)
SYSTEM_NETWORKS = ("ip-fabric", "__link_local__", "dci-network")
ROUTE_TARGET_LISTS = (
    "route_target_list",
    "import_route_target_list",
    "export_route_target_list",
    "configured_route_target_list",
)
GENERATED = range(8_000_000, 1 << 24)
GENERATED_FOUR_BYTE_AS = range(8_000, 32_769)
ASN_TWO_BYTES_MAX = 65_535
SNAT_ROUTING = "snat-routing"
_EVERYTHING = 7
_FAT_FLOWS = "virtual_network_fat_flow_protocols"
_PROJECT = ("default-domain", "default-project")


def _create(change: Change, body: Document) -> None:
    if body.get("virtual_network_network_id") is not None and not change.by_system:
        raise Refused(403, "Cannot set the virtual network ID")
    uuid = documents.text(body, "uuid") or ""
    numbers = change.view.numbers
    vni = _user_vni(body)
    if vni is not None and not numbers.take(ID_POOL, vni, uuid):
        raise bad_request(_vni_clash(vni))
    given = documents.number(body, "virtual_network_network_id")
    if given is not None:
        if not numbers.take(ID_POOL, given, uuid):
            raise bad_request(_vni_clash(given))
    else:
        given = numbers.take_first(ID_POOL, ID_RANGE, uuid)
    if given is None:
        raise conflict("No virtual network ID is left")
    body["virtual_network_network_id"] = given
    check_route_targets(change, body)
    check_provider(change, body, None)
    check_fat_flows(body, None, _FAT_FLOWS)
    _complete_subnets(change, body, None)
    _tie_sharing(body, None)


def _user_vni(body: Document) -> int | None:
    properties = documents.section(body, "virtual_network_properties")
    return documents.number(properties, "vxlan_network_identifier") or None


def _tie_sharing(body: Document, old: Record | None) -> None:
    """Keep ``is_shared`` and global access saying the same; what was changed decides."""
    perms = documents.section(body, "perms2")
    access, shared = documents.number(perms, "global_access") or 0, bool(body.get("is_shared"))
    before = 0 if old is None else _global_access(old)
    if access != before:
        if "is_shared" in body or access:
            body["is_shared"] = access != 0
    elif shared != (access != 0):
        body["perms2"] = {**perms, "global_access": _EVERYTHING if shared else 0}


def _global_access(network: Record) -> int:
    return documents.number(documents.section(network.body, "perms2"), "global_access") or 0


def _vni_clash(vni: int) -> str:
    return f"Cannot use VNI {vni}: it is allocated to another virtual network"


def _complete_subnets(change: Change, body: Document, old: Record | None) -> None:
    """Fill the subnets of all references at once: overlap is judged over the whole network."""
    holder = documents.text(body, "uuid") or ""
    references = documents.sections(body, "network_ipam_refs")
    if old is not None and references == documents.sections(old.body, "network_ipam_refs"):
        return
    flat.check_network(change, body, old)
    previous = addressing.own_subnets(old.body) if old is not None else []
    given = addressing.own_subnets(body)
    check_subnets(change, body, old)
    complete = iter(addressing.complete_subnets(change, given, previous, holder))
    renewed: list[Document] = []
    for reference in references:
        attribute = dict(documents.section(reference, "attr"))
        if "ipam_subnets" in attribute:
            attribute["ipam_subnets"] = [
                next(complete) if documents.section(subnet, "subnet") else subnet
                for subnet in documents.sections(attribute, "ipam_subnets")
            ]
        has_attribute = reference.get("attr") is not None
        renewed.append({**reference, "attr": attribute if has_attribute else None})
    if renewed:
        body["network_ipam_refs"] = renewed


def check_route_targets(change: Change, body: Document) -> None:
    """Refuse malformed route targets and ones the compiler may generate itself."""
    asn = global_asn(change)
    generated = generated_numbers(asn)
    for name in ROUTE_TARGET_LISTS:
        for target in documents.texts(documents.section(body, name), "route_target"):
            _, own, number = _canonical(target).split(":")
            if own == str(asn) and int(number) in generated:
                raise bad_request(
                    "Configured route target must use ASN that is different from global ASN or "
                    f"route target value must be less than {generated.start}"
                )


def _canonical(target: str) -> str:
    """Return the target; another spelling of a route target, as with leading zeros, is refused.

    Whoever compares texts must not be led past a target by a name that means the same.
    """
    try:
        meant = str(RouteTarget.parse(target))
    except ValueError:
        meant = ""
    if meant == target:
        return target
    hint = f"; write {meant}" if meant else ""
    raise bad_request(
        f"Bad Request, route target {target[:64]} is not of the form target:<asn>:<n>{hint}"
    )


def generated_numbers(asn: int) -> range:
    """Return the route-target numbers the compiler generates under a global number."""
    return GENERATED if asn <= ASN_TWO_BYTES_MAX else GENERATED_FOUR_BYTE_AS


def global_asn(change: Change) -> int:
    """Return the system's autonomous system number."""
    number = documents.number(system_settings(change), "autonomous_system")
    return 64512 if number is None else number


def _companions(change: Change, record: Record) -> list[Companion]:
    instances = [(record.name, True)]
    if record.fq_name[:-1] == _PROJECT and record.name in ("ip-fabric", "dci-network"):
        instances.append(("__default__", False))
    return [
        Companion(
            "routing-instance",
            {
                "fq_name": [*record.fq_name, name],
                "parent_type": "virtual-network",
                "routing_instance_is_default": is_default,
            },
        )
        for name, is_default in instances
    ]


def _update(change: Change, old: Record, body: Document) -> None:
    number = documents.number(old.body, "virtual_network_network_id")
    if body.get("virtual_network_network_id") != number:
        if not change.by_system and body.get("virtual_network_network_id") is not None:
            raise Refused(403, "Cannot update the virtual network ID")
        body["virtual_network_network_id"] = number
    before, after = _user_vni(old.body), _user_vni(body)
    if before != after:
        if before is not None and before != number:
            change.view.numbers.release(ID_POOL, before)
        if after is not None and not change.view.numbers.take(ID_POOL, after, old.uuid):
            raise bad_request(_vni_clash(after))
    check_route_targets(change, body)
    check_provider(change, body, old)
    check_fat_flows(body, old.body, _FAT_FLOWS)
    _complete_subnets(change, body, old)
    _tie_sharing(body, old)


def _delete(change: Change, record: Record) -> None:
    if record.fq_name[:-1] == _PROJECT and record.name in SYSTEM_NETWORKS:
        raise conflict(f"Can not delete system created default virtual-network {record.uuid}")
    for subnet in addressing.subnets_of(change.view, record):
        if subnet.holder == record.uuid:
            addressing.release_all(change, subnet)


def _delete_instance(change: Change, record: Record) -> None:
    if documents.flag(record.body, "routing_instance_is_default") and not change.by_system:
        raise conflict(texts.system_resource("Routing Instance", record.fq_name, record.uuid))


def _prepare_route_target(change: Change, body: Document) -> None:
    """Refuse names that no control node could read."""
    name = documents.texts(body, "fq_name")
    if name and len(name) != 1:
        raise bad_request(
            f"Bad Request, route target {shown(name)} is not of the form target:<asn>:<n>"
        )
    if name:
        _canonical(name[0])


def _check_bgpvpn(change: Change, body: Document) -> None:
    check_route_targets(change, body)


def _update_bgpvpn(change: Change, old: Record, body: Document) -> None:
    check_route_targets(change, body)


def _check_router(change: Change, body: Document) -> None:
    check_route_targets(change, body)
    vni = body.get("vxlan_network_identifier")
    text = "" if vni is None else str(vni)
    if text and decimal(text, 1, (1 << 24) - 1) is None:
        raise bad_request(
            f"Bad Request, vxlan_network_identifier {shown(vni)} must be a number from 1 to 16777215"
        )


def _update_router(change: Change, old: Record, body: Document) -> None:
    _check_router(change, body)
    kinds = [each.get("logical_router_type") or SNAT_ROUTING for each in (old.body, body)]
    if kinds[0] != kinds[1]:
        raise bad_request("logical_router_type cannot be changed: create another logical router")


BGPVPN = Rule(create=_check_bgpvpn, update=_update_bgpvpn)
LOGICAL_ROUTER = Rule(create=_check_router, update=_update_router)
ROUTE_TARGET = Rule(prepare=_prepare_route_target)
VIRTUAL_NETWORK = Rule(create=_create, companions=_companions, update=_update, delete=_delete)
ROUTING_INSTANCE = Rule(delete=_delete_instance)
