"""What the agent understands of security groups. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from skytrail.agent.access_list import AccessList, read_access_list
from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import bounded_of
from skytrail.wire.xmpp import ConfigKey

_U32_MAX = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class SecurityGroup:
    """``ingress``/``egress`` None = the list has not arrived: allows nothing."""

    name: str
    group_id: int
    ingress: AccessList | None
    egress: AccessList | None


def read_group(graph: ConfigGraph, key: ConfigKey) -> SecurityGroup:
    """Return what has arrived of a group."""
    node = graph.node(key)
    lists: dict[str, AccessList] = {}
    for entry in graph.linked_nodes(key, "access-control-list"):
        lists[entry.key.name.rpartition(":")[2]] = read_access_list(entry)
    return SecurityGroup(
        name=key.name,
        group_id=bounded_of(node.properties.get("security_group_id"), _U32_MAX) if node else 0,
        ingress=lists.get("ingress-access-control-list"),
        egress=lists.get("egress-access-control-list"),
    )
