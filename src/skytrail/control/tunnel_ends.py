"""Where tunnels of this installation begin, as told to every host (ADR 0320). Pure.

Hosts take a tunnelled packet only from these addresses and from those their routes lead to. The
list is cut into parts by a hash, so that one more host costs every other one a part and not all.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from ipaddress import ip_address

from skytrail.control.bgp_config import CONTROL_NODES, WORKLOAD_ROUTERS
from skytrail.control.config_graph import Change
from skytrail.model.annotation_names import REPLICATOR_ADDRESS
from skytrail.model.config_object import ConfigObject
from skytrail.model.generated.objects import BgpRouter, PhysicalRouter, VirtualRouter
from skytrail.net import IpAddress
from skytrail.wire.xmpp import TUNNEL_ENDS, TUNNEL_ENDS_PARTS_COUNT, ConfigKey, ConfigNode
from skytrail.wire.xmpp.config_codec import encode_node

SAID_BY_TYPES = frozenset({"virtual-router", "physical-router", "bgp-router"})
"""Whose objects say addresses."""
Node = tuple[ConfigKey, str]
"""A part as the config channel carries it: name and text."""


class TunnelEnds:
    """The addresses of virtual-routers, physical routers and gateways."""

    def __init__(self) -> None:
        self._counts: list[dict[IpAddress, int]] = [{} for _ in range(TUNNEL_ENDS_PARTS_COUNT)]
        """By part: how many objects say an address."""
        self._nodes = [self._node(part) for part in range(TUNNEL_ENDS_PARTS_COUNT)]

    def follow(self, changes: Iterable[Change]) -> list[Node]:
        """Take over changed configuration; return the parts that differ."""
        touched: dict[int, None] = {}
        for change in changes:
            before, after = set(_said(change.before)), set(_said(change.after))
            for address, step in (
                *((each, -1) for each in before - after),
                *((each, 1) for each in after - before),
            ):
                part = zlib.crc32(address.packed) % TUNNEL_ENDS_PARTS_COUNT
                counts = self._counts[part]
                counts[address] = counts.get(address, 0) + step
                if not counts[address]:
                    del counts[address]
                touched[part] = None
        for part in touched:
            self._nodes[part] = self._node(part)
        return [self._nodes[part] for part in touched]

    def nodes(self) -> list[Node]:
        """Return all parts; empty ones tell that they are."""
        return list(self._nodes)

    def _node(self, part: int) -> Node:
        listed = sorted(self._counts[part], key=lambda each: (each.version, each))
        key = ConfigKey(TUNNEL_ENDS, str(part))
        return key, encode_node(ConfigNode(key, {"address": tuple([str(each) for each in listed])}))


def _said(version: ConfigObject | None) -> Iterator[IpAddress]:
    for text in _texts(version):
        try:
            address = ip_address(text)
        except ValueError:
            # Not said, or what the API took for an address.
            continue
        if not address.is_unspecified:
            yield address


def _texts(version: ConfigObject | None) -> Iterator[str]:
    match version:
        case VirtualRouter():
            yield version.virtual_router_ip_address or ""
            pairs = version.annotations.key_value_pair if version.annotations is not None else ()
            yield from (each.value or "" for each in pairs if each.key == REPLICATOR_ADDRESS)
        case PhysicalRouter():
            yield version.physical_router_dataplane_ip or ""
            yield version.physical_router_loopback_ip or ""
            yield version.physical_router_replicator_loopback_ip or ""
        case BgpRouter():
            said = version.bgp_router_parameters
            if said is not None and said.router_type not in CONTROL_NODES | WORKLOAD_ROUTERS:
                yield said.address or ""
        case _:
            pass
