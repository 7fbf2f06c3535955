"""Ports that the agent plugs itself: copies of load balancers, and addresses to leave by."""

from __future__ import annotations

from dataclasses import replace

from skytrail.agent.config import ConfigGraph
from skytrail.agent.interface import PluggedPort
from skytrail.agent.io.balancers import Balancers
from skytrail.agent.io.netlink import Link, read_link
from skytrail.agent.io.source_nat import SourceNatLinks


def with_link(port: PluggedPort, link: Link | None) -> PluggedPort:
    """Return the port with what is known of its link; None: it does not exist."""
    return replace(
        port,
        ifindex=link.ifindex if link else 0,
        link_mtu_bytes=link.mtu_bytes if link else 0,
    )


def plug_own(
    graph: ConfigGraph,
    plugged: dict[str, PluggedPort],
    balancers: Balancers,
    addresses: SourceNatLinks,
) -> bool:
    """Plug and unplug them as configuration has them; tell whether anything changed."""
    new, old = balancers.plugs(graph, plugged)
    made, gone = addresses.plugs(graph, plugged)
    for port in (*new, *made):
        plugged[port.vmi_uuid] = with_link(port, read_link(port.ifname))
    for uuid in (*old, *gone):
        del plugged[uuid]
    return bool(new or made or old or gone)
