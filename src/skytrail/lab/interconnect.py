"""Two labs as two data centers: joined underlays, control nodes that peer by eBGP.

Each lab keeps its own API, compiler, control nodes and AS. Nothing else is shared: which networks
are stretched is up to the route targets their users give them.
"""

from __future__ import annotations

from skytrail.lab.io import netns
from skytrail.lab.io.underlay import join
from skytrail.lab.service import Lab
from skytrail.lab.state import LabError


def connect(one: Lab, other: Lab) -> None:
    """Join two labs; doing it again changes nothing. :class:`LabError` says what keeps them apart.

    To be repeated after a lab was taken down and brought up.
    """
    if one.name == other.name:
        raise LabError("a lab cannot be joined to itself")
    networks = one.topology.underlay.network, other.topology.underlay.network
    if networks[0].overlaps(networks[1]):
        raise LabError(
            f"the underlays {networks[0]} of {one.name} and {networks[1]} of {other.name} overlap; "
            "give one lab another range: underlay: {network: 100.64.0.0/15}"
        )
    if one.topology.autonomous_system == other.topology.autonomous_system:
        raise LabError(
            f"both labs are AS {one.topology.autonomous_system}; "
            "give one another number: autonomous_system: 64513"
        )
    for lab in (one, other):
        if lab.plan.is_ipv6:
            raise LabError(f"{lab.name} has an IPv6 underlay; labs with IPv4 are joined")
        if lab.plan.second_router:
            raise LabError(f"{lab.name} has two uplinks; labs with one are joined")
        if not netns.exists(lab.plan.router_namespace):
            raise LabError(f"lab {lab.name} is not up")
    join((one.plan.router_namespace, networks[0]), (other.plan.router_namespace, networks[1]))
    one.add_external_peers(other)
    other.add_external_peers(one)
