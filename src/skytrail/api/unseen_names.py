"""Objects that others name in text and the caller may not know of. Pure.

Policies name networks, services and groups without referring to them, also ones that do not exist or
belong to others. What became of such a name tells whether the object exists: whoever may not know
that is told neither, and the same text in both cases.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address

from skytrail.api import authorize, documents
from skytrail.api.caller import Caller
from skytrail.api.documents import is_document
from skytrail.api.graph import FqName, Record, View, find

_NAMING = {
    "virtual_network": "virtual-network",
    "left_virtual_network": "virtual-network",
    "right_virtual_network": "virtual-network",
    "management_virtual_network": "virtual-network",
    "network_policy": "network-policy",
    "security_group": "security-group",
    "address_group": "address-group",
    "apply_service": "service-instance",
    "analyzer_name": "service-instance",
    "next_hop": "service-instance",
    "routing_instance": "routing-instance",
    "assign_routing_instance": "routing-instance",
    "qos_action": "qos-config",
    "virtual_dns_server_name": "virtual-DNS",
}
"""Members, at any depth, whose text is the name of an object of the type."""


@dataclass(frozen=True, slots=True)
class Eyes:
    """What one caller may be told."""

    view: View
    caller: Caller

    def unseen(self, record: Record) -> list[str]:
        """Return what the object names that does not exist or is not the caller's to know."""
        named = dict.fromkeys(names_in_text(record.body))
        return [f"{kind} {name}" for kind, name in named if not self._knows(kind, name)]

    def may_hear_of(self, type_name: str, fq_name: FqName) -> bool:
        """Whether trouble with that object tells the caller of nothing it does not see."""
        record = find(self.view, type_name, fq_name)
        if record is None or not authorize.sees(self.view, self.caller, record):
            return False
        return not self.unseen(record)

    def _knows(self, kind: str, name: str) -> bool:
        record = find(self.view, kind, tuple(name.split(":")))
        return record is not None and authorize.knows(self.view, self.caller, record)


def eyes_of(view: View, caller: Caller) -> Eyes | None:
    """Return the caller's eyes, None for whoever sees everything."""
    if caller.is_reader or not authorize.is_restricted(view, caller):
        return None
    return Eyes(view, caller)


def names_in_text(value: object) -> Iterator[tuple[str, str]]:
    """Yield type and name; names of one part are words such as ``any`` and ``local``."""
    if isinstance(value, list):
        for each in documents.as_list(value):
            yield from names_in_text(each)
    if not is_document(value):
        return
    for key, member in value.items():
        kind = _NAMING.get(key)
        texts = documents.texts(value, key) or [documents.text(value, key) or ""]
        if kind is not None:
            yield from ((kind, text) for text in texts if ":" in text and not _is_address(text))
        yield from names_in_text(member)


def _is_address(text: str) -> bool:
    """Whether it is an IPv6 address: a route's next hop is one, or a service's name."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
