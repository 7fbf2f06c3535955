"""BGP of a workload as configured: where its sessions lead, by which port, with which key. Pure.

```
 port --> client router: source port, control nodes      plain: rows for the kernel, which translates
      +--> bgp-as-a-service: MD5 key                       signed or over IPv6: RelaySpec for the relay
```
What a signature covers cannot be translated, and IPv6 not into IPv4 (ADR 0205): such connections end
on the host, where the workload's own address and that of the vRouter are the ends, and the relay
takes their bytes to the control node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from itertools import zip_longest

from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import (
    annotation_of,
    bounded_of,
    list_of,
    mapping_of,
    text_of,
    usable_address_of,
)
from skytrail.agent.health.configured import BGP_SERVICE
from skytrail.model.annotation_names import BGPAAS_CONTROL_NODES
from skytrail.net import IpAddress
from skytrail.wire.xmpp import ConfigKey, ConfigNode

_U16_MAX = (1 << 16) - 1
_SESSION = "bgpaas_session_attributes"


@dataclass(frozen=True, slots=True)
class WorkloadBgp:
    """The sessions of one port."""

    source_port: int
    """By which control nodes know them."""
    zones: tuple[tuple[IpAddress, ...], tuple[IpAddress, ...]] = ((), ())
    """The control nodes of the first and second session, best first, where a zone is configured."""
    is_signed: bool = False
    key: str = field(default="", repr=False)
    is_ipv6: bool = False
    """The workload's end has an IPv6 address."""


def is_relayed(bgp: WorkloadBgp, source: IpAddress) -> bool:
    """Tell whether sessions end at our relay: what the datapath translates is unsigned IPv4."""
    return bgp.is_signed or bgp.is_ipv6 or source.version != 4


def workload_bgp(graph: ConfigGraph, port: ConfigKey) -> WorkloadBgp | None:
    """Read what a port has by its client router; None: it has no service."""
    found: dict[int, ConfigNode] = {}
    for node in graph.linked_nodes(port, "bgp-router"):
        parameters = mapping_of(node.properties.get("bgp_router_parameters"))
        if text_of(parameters.get("router_type")) == "bgpaas-client":
            found[bounded_of(parameters.get("source_port"), _U16_MAX)] = node
    number = min(found.keys() - {0}, default=0)
    if not number:
        return None
    client = found[number]
    texts = [annotation_of(client.properties, key) for key in BGPAAS_CONTROL_NODES]
    first, second = (tuple(_addresses(text)) for text in texts)
    parameters = mapping_of(client.properties.get("bgp_router_parameters"))
    address = usable_address_of(parameters.get("address"))
    services = graph.linked_nodes(client.key, BGP_SERVICE)
    if not services:
        # Whether the session is signed is not known yet: it must not begin unsigned.
        return None
    is_signed, key = False, ""
    for service in services:
        session = mapping_of(service.properties.get(_SESSION))
        auth = mapping_of(session.get("auth_data"))
        items = list_of(auth.get("key_items"))
        if items:
            is_signed = True
            is_md5 = text_of(auth.get("key_type")) in {"", "md5"}
            key = text_of(mapping_of(items[0]).get("key")) if is_md5 else ""
    return WorkloadBgp(
        number,
        (first, second),
        is_signed=is_signed,
        key=key,
        is_ipv6=address is not None and address.version == 6,
    )


def gates(
    bgp: WorkloadBgp,
    places: Iterable[tuple[IpAddress | None, IpAddress | None]],
    controls: tuple[IpAddress, ...],
    source: IpAddress,
) -> Iterator[tuple[IpAddress, IpAddress]]:
    """Yield where the workload may speak BGP, and to whom: of each pair of places the first leads
    to the first control node. Control nodes of the service's zones come before the agent's own;
    ``source``, our tunnel address, reaches those of its IP version.
    """
    zoned = [
        next((each for each in zone if each.version == source.version), None) for zone in bgp.zones
    ]
    reached = [each for each in controls if each.version == source.version][: len(zoned)]
    wanted = [zone or own for zone, own in zip_longest(zoned, reached)]
    for pair in places:
        for place, control in zip(pair, wanted, strict=False):
            if place is not None and control is not None:
                yield place, control


def without_keys(nodes: Iterable[ConfigNode]) -> Iterator[ConfigNode]:
    """Yield objects as they may be shown: a key is nobody's business but the kernel's."""
    for node in nodes:
        session = node.properties.get(_SESSION)
        if node.key.type_name == BGP_SERVICE and isinstance(session, Mapping):
            shown = {**session, "auth_data": "***"} if "auth_data" in session else session
            yield replace(node, properties={**node.properties, _SESSION: shown})
        else:
            yield node


def _addresses(text: str) -> Iterator[IpAddress]:
    """Yield the addresses of a list: no zone, or one without control nodes, has none."""
    for each in text.split(","):
        with suppress(ValueError):
            yield ip_address(each)
