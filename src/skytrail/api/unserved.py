"""Objects that are stored and compiled although no control node or host acts on them yet.

Their status says so; each entry goes when what it speaks of works. Pure.
"""

from __future__ import annotations

from typing import Final

from skytrail.api import documents
from skytrail.api.graph import Record
from skytrail.model.load_balancer import PROVIDERS

_UNSERVED_OF_NETWORKS: Final = (
    "layer2_control_word",
    "pbb_evpn_enable",
    "pbb_etree_enable",
)


def why_unserved(record: Record) -> str:
    """Return what does not happen with the object yet; empty when everything does."""
    kind = record.type_name
    if kind == "virtual-ip":
        return "nothing is served of the older interface: use loadbalancer, loadbalancer-listener"
    if kind == "loadbalancer":
        provider = documents.text(record.body, "loadbalancer_provider") or ""
        is_served = provider in PROVIDERS
        return "" if is_served else f"hosts serve no load balancers of provider {provider}"
    if kind == "virtual-network":
        return _why_network_unserved(record)
    return ""


def _why_network_unserved(record: Record) -> str:
    asked = [name for name in _UNSERVED_OF_NETWORKS if documents.flag(record.body, name)]
    return f"hosts do not serve {', '.join(asked)} yet: frames go as without" if asked else ""
