"""Objects that are stored and compiled although no control node or host acts on them yet.

Their status says so; each entry goes when what it speaks of works. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final

from skytrail.api import documents
from skytrail.api.documents import Document
from skytrail.api.graph import Record
from skytrail.model.load_balancer import PROVIDERS

_UNSERVED_OF_NETWORKS: Final = (
    "layer2_control_word",
    "pbb_evpn_enable",
    "pbb_etree_enable",
)
_METADATA: Final = ("metadata", "metadata6")


def why_unserved(record: Record) -> str:
    """Return what does not happen with the object yet; empty when everything does."""
    kind = record.type_name
    if kind == "virtual-ip":
        return "nothing is served of the older interface: use loadbalancer, loadbalancer-listener"
    if kind == "loadbalancer":
        provider = documents.text(record.body, "loadbalancer_provider") or ""
        is_served = provider in PROVIDERS
        return "" if is_served else f"hosts serve no load balancers of provider {provider}"
    if kind == "global-vrouter-config" and (names := _services_out_of_reach(record.body)):
        return (
            f"link-local services {', '.join(names)}: at an IPv6 address hosts serve metadata and"
            " what is on themselves (ip_fabric_service_ip ::1 or 127.0.0.1)"
        )
    if kind == "virtual-network":
        return _why_network_unserved(record)
    return ""


def _why_network_unserved(record: Record) -> str:
    asked = [name for name in _UNSERVED_OF_NETWORKS if documents.flag(record.body, name)]
    return f"hosts do not serve {', '.join(asked)} yet: frames go as without" if asked else ""


def _services_out_of_reach(body: Document) -> list[str]:
    """Return the names of services at IPv6 addresses that are somewhere in the underlay."""
    services = documents.section(body, "linklocal_services")
    return [
        name
        for each in documents.sections(services, "linklocal_service_entry")
        if (name := documents.text(each, "linklocal_service_name") or "").lower() not in _METADATA
        and ":" in (documents.text(each, "linklocal_service_ip") or "")
        and not _is_of_host(documents.texts(each, "ip_fabric_service_ip"))
    ]


def _is_of_host(addresses: Iterable[str]) -> bool:
    found = [*addresses]
    return bool(found) and all(ip_address(each).is_loopback for each in found)
