"""The sides of one copy of a service are led to together or not at all. Pure.

Else what goes from left to right would take the next copy while answers still take this one, which
can pass on neither. Its own addresses a side keeps: it is only not where chains lead to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from skytrail.agent.interface import WELL, Failing, PluggedPort, lacks
from skytrail.agent.port_config import Port
from skytrail.agent.service_tags import OtherSide
from skytrail.agent.view import View
from skytrail.net import IpAddress


def with_copies(
    plugged: Mapping[str, PluggedPort], view: View, failing: Mapping[str, Failing]
) -> Mapping[str, Failing]:
    """Return what fails, and with it the sides of copies that lack another one. O(ports)."""
    found: dict[str, Failing] = {}
    for uuid in plugged:
        port = view.ports.get(uuid)
        if port is None or not port.other_sides:
            continue
        reason = next(_reasons(port, plugged, view, failing), "")
        if reason:
            own = failing.get(uuid, WELL)
            addresses = tuple((address, reason) for address in _chained(port))
            found[uuid] = replace(own, addresses=(*own.addresses, *addresses))
    return {**failing, **found} if found else failing


def _reasons(
    port: Port,
    plugged: Mapping[str, PluggedPort],
    view: View,
    failing: Mapping[str, Failing],
) -> Iterator[str]:
    for side in port.other_sides:
        why = _why(side, plugged, view, failing)
        if why:
            yield f"{side.name}, the other side of its copy: {why}"


def _why(
    side: OtherSide,
    plugged: Mapping[str, PluggedPort],
    view: View,
    failing: Mapping[str, Failing],
) -> str:
    link = plugged.get(side.uuid)
    if link is None:
        # On its own machine it may be plugged at another host.
        return "not plugged on this host" if side.same_machine else ""
    missing = lacks(link, view.ports.get(side.uuid), view.problems.get(side.uuid))
    if missing:
        return missing
    # What fails beyond the workload needs this side, for the first answer that is to come back.
    fails = failing.get(side.uuid, WELL)
    return "; ".join(fails.port) if fails.workload else ""


def _chained(port: Port) -> Iterator[IpAddress]:
    yield from port.shared_addresses or port.addresses
    for tag in port.service_tags:
        yield from tag.addresses
