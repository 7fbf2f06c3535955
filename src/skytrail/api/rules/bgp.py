"""Rules of BGP: the system's own numbers, routers, sub-clusters, BGP as a service."""

from __future__ import annotations

from dataclasses import replace

from skytrail.api import documents, ipam
from skytrail.api.change import Change, Rule
from skytrail.api.documents import Document
from skytrail.api.graph import Record
from skytrail.api.references import referred
from skytrail.api.refusal import bad_request, conflict
from skytrail.api.rules import draft
from skytrail.api.rules.scope import system_settings
from skytrail.api.rules.virtual_network import ROUTE_TARGET_LISTS, generated_numbers

_ASN_2BYTE_MAX = 65_535
_PORT_MAX = 65_535
_KEY_BYTES_MAX = 80
"""As Linux takes them for a signature."""
_SUB_CLUSTER_POOL = "sub-cluster-id"
_SERVICE_PORTS = (50_000, 50_512)
_ZONE = "bgpaas_control_node_zone_type"


def _four_byte(change: Change) -> bool:
    """Whether the system uses autonomous system numbers of four bytes."""
    return documents.flag(system_settings(change), "enable_4byte_as") or False


def _check_asn(number: int | None, *, four_byte: bool) -> None:
    if number is not None and number > _ASN_2BYTE_MAX and not four_byte:
        raise bad_request(
            f"ASN out of range, should be between 1-{_ASN_2BYTE_MAX}: {number} needs enable_4byte_as"
        )


def _check_address(document: Document, name: str) -> None:
    text = documents.text(document, name)
    if text:
        ipam.parse_address(text, name)


def _create_system(change: Change, body: Document) -> None:
    _check_system(change, body, None)


def _update_system(change: Change, old: Record, body: Document) -> None:
    _check_system(change, body, old)


def _check_system(change: Change, body: Document, old: Record | None) -> None:
    number = documents.number(body, "autonomous_system")
    _check_asn(number, four_byte=documents.flag(body, "enable_4byte_as") or False)
    ports = _service_ports(body)
    before = _SERVICE_PORTS if old is None else _service_ports(old.body)
    shrunk = ports[0] > before[0] or ports[1] < before[1]
    if shrunk and next(change.view.of_type("bgp-as-a-service"), None) is not None:
        raise bad_request("BGP Port range cannot be shrunk")
    if old is not None and number != documents.number(old.body, "autonomous_system"):
        _refuse_configured_targets(change, number)


def _service_ports(body: Document) -> tuple[int, int]:
    given = documents.section(body, "bgpaas_parameters")
    low = documents.number(given, "port_start") if given else _SERVICE_PORTS[0]
    high = documents.number(given, "port_end") if given else _SERVICE_PORTS[1]
    if low is None or high is None or not 1 <= low <= high <= _PORT_MAX:
        raise bad_request("Invalid Port range specified")
    return low, high


def _refuse_configured_targets(change: Change, number: int | None) -> None:
    """Refuse a global number under which users have targets that will be generated."""
    for kind in ("virtual-network", "bgpvpn", "logical-router"):
        for record in change.view.of_type(kind):
            for name in ROUTE_TARGET_LISTS:
                targets = documents.texts(documents.section(record.body, name), "route_target")
                for target in targets:
                    _, asn, value = target.split(":")
                    if asn.lstrip("0") == str(number) and int(value) in generated_numbers(
                        number or 0
                    ):
                        raise bad_request(
                            f"ASN {number} cannot be used: {kind} {list(record.fq_name)} has the "
                            f"configured route target {target}"
                        )


def _check_router(change: Change, body: Document) -> None:
    parameters = documents.section(body, "bgp_router_parameters")
    number = documents.number(parameters, "autonomous_system")
    _check_asn(number, four_byte=_four_byte(change))
    _check_asn(
        documents.number(parameters, "local_autonomous_system"), four_byte=_four_byte(change)
    )
    for name in ("address", "identifier", "gateway_address", "ipv6_gateway_address"):
        _check_address(parameters, name)
    _check_identifier(parameters)
    port = documents.number(parameters, "port")
    if port is not None and not 0 <= port <= _PORT_MAX:
        raise bad_request(f"Invalid BGP port {port}")
    # The end of a service's session has the zones of both of its sessions.
    is_client = documents.text(parameters, "router_type") == "bgpaas-client"
    for name in ("sub_cluster_refs", *(() if is_client else ("control_node_zone_refs",))):
        if len(documents.sections(body, name)) > 1:
            raise bad_request(f"A bgp-router can have one of {name} only")
    for cluster in referred(change, body, "sub_cluster_refs"):
        own = documents.number(cluster.body, "sub_cluster_asn")
        if number is not None and own is not None and own != number:
            raise bad_request(
                f"Subcluster asn and bgp asn should be same: {own} of {cluster.name}, {number}"
            )


def _check_identifier(parameters: Document) -> None:
    """A BGP identifier has four bytes (RFC 4271 section 4.2), whatever the sessions run over."""
    given = documents.text(parameters, "identifier")
    if given and ipam.parse_address(given, "identifier").version != 4:
        raise bad_request(
            f"bgp_router_parameters identifier must be an IPv4 address, which {given} is not"
        )
    address = documents.text(parameters, "address")
    is_ours = documents.text(parameters, "router_type") == "control-node"
    if is_ours and not given and address and ipam.parse_address(address, "address").version != 4:
        raise bad_request(
            "bgp_router_parameters identifier is needed: an IPv4 address, as address is none"
        )


def _update_router(change: Change, old: Record, body: Document) -> None:
    _check_router(change, body)


def _check_service(change: Change, body: Document) -> None:
    number = documents.number(body, "autonomous_system")
    _check_asn(number, four_byte=_four_byte(change))
    _check_address(body, "bgpaas_ip_address")
    if documents.flag(body, "bgpaas_shared") and not documents.text(body, "bgpaas_ip_address"):
        raise bad_request("BGPaaS IP Address needs to be configured if BGPaaS is shared")
    _check_key(body)
    kinds = [
        documents.text(documents.section(reference, "attr"), _ZONE) or "primary"
        for reference in documents.sections(body, "control_node_zone_refs")
    ]
    if len(kinds) != len(set(kinds)):
        raise bad_request("BGPaaS can have one primary and one secondary control-node-zone only")


def _check_key(body: Document) -> None:
    """Refuse what no session could begin with; the key itself is in no message."""
    session = documents.section(body, "bgpaas_session_attributes")
    auth = documents.section(session, "auth_data")
    items = documents.sections(auth, "key_items")
    where = "bgpaas_session_attributes.auth_data"
    if not auth:
        return
    if (documents.text(auth, "key_type") or "md5") != "md5":
        raise bad_request(f"{where}.key_type must be md5: sessions have TCP MD5 signatures")
    if len(items) != 1:
        raise bad_request(f"{where}.key_items must have one key, not {len(items)}")
    length = len((documents.text(items[0], "key") or "").encode())
    if not 1 <= length <= _KEY_BYTES_MAX:
        raise bad_request(
            f"{where}.key_items.key must have 1 to {_KEY_BYTES_MAX} bytes, not {length}"
        )


def _update_service(change: Change, old: Record, body: Document) -> None:
    before, after = (documents.flag(each, "bgpaas_shared") or False for each in (old.body, body))
    if before != after:
        raise bad_request("BGPaaS sharing cannot be modified")
    _check_service(change, body)


def _create_sub_cluster(change: Change, body: Document) -> None:
    four_byte = _four_byte(change)
    _check_asn(documents.number(body, "sub_cluster_asn"), four_byte=four_byte)
    owner = documents.text(body, "uuid") or ""
    last = _ASN_2BYTE_MAX if four_byte else (1 << 32) - 1
    given = documents.number(body, "sub_cluster_id")
    if given is None:
        given = change.view.numbers.take_first(_SUB_CLUSTER_POOL, ((1, last),), owner)
        if given is None:
            raise conflict("No sub-cluster ID is left")
    elif given > last:
        raise bad_request(f"Sub cluster ID {given} is over {last}, with ASNs of four bytes")
    elif not change.view.numbers.take(_SUB_CLUSTER_POOL, given, owner):
        raise bad_request(f"Sub cluster ID {given} is in use")
    body["sub_cluster_id"] = given


def _update_sub_cluster(change: Change, old: Record, body: Document) -> None:
    for name in ("sub_cluster_id", "sub_cluster_asn"):
        if name in old.body and body.get(name) != old.body[name]:
            raise bad_request(f"{name} can not be changed")
    _check_asn(documents.number(body, "sub_cluster_asn"), four_byte=_four_byte(change))


GLOBAL_SYSTEM_CONFIG = replace(
    draft.GLOBAL_SYSTEM_CONFIG, create=_create_system, update=_update_system
)
BGP_ROUTER = Rule(create=_check_router, update=_update_router)
BGP_AS_A_SERVICE = Rule(create=_check_service, update=_update_service)
SUB_CLUSTER = Rule(create=_create_sub_cluster, update=_update_sub_cluster)
