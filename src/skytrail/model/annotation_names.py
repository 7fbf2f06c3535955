"""Annotations by which components tell each other what the model has no field for."""

from collections.abc import Iterator, Mapping
from typing import Final, cast

BGPAAS_CONTROL_NODES = ("bgpaas-primary-control-nodes", "bgpaas-secondary-control-nodes")
"""Of a client router: addresses of the control nodes that its two sessions lead to, by comma."""

STICKY_MAC = "sticky-mac"
"""Of a port: ``true`` keeps others from claiming its MAC (ADR 0172)."""

BROADCAST_REPLICATION, BY_TREE, ASSISTED = "broadcast-replication", "tree", "assisted"
"""Of a virtual network: ``tree`` has broadcasts travel along an overlay tree (ADR 0153),
``assisted`` has a replicator copy them, where one offers to (ADR 0154)."""

REPLICATOR_ADDRESS = "replicator-address"
"""Of a virtual-router: a second tunnel address, by which it copies for leaves (ADR 0210)."""

RATE_LIMITS = ("rate-limit-sent-kbps", "rate-limit-received-kbps")
"""Of a port: what its workload may send and receive, in kilobits a second (ADR 0226)."""
RATE_KBPS_MAX = 400_000_000

LOAD_BALANCER = "load-balancer"
"""Of a machine that stands for a copy of a load balancer: what it serves, as JSON (ADR 0207)."""

LOAD_BALANCER_HOSTS = "load-balancer-hosts"
"""Of a load balancer: the hosts of its copies by name, the active one first; else they are chosen."""

SOURCE_NAT = "source-nat"
"""Of a machine that stands for an address by which workloads leave: whose, as JSON (ADR 0360)."""

UNHEARD_MULTICAST, FLOODED = "unheard-multicast", "flood"
"""Of a virtual network that takes reports of listeners: ``flood`` has everybody get what is sent to
groups nobody listens to (ADR 0211)."""

ALARM_ACTIVE_TIMER = "active-timer-seconds"
"""Of an alarm rule: how long it has to hold before the alarm is raised (ADR 0467)."""
ALARM_IDLE_TIMER = "idle-timer-seconds"
"""Of an alarm rule: how long it must not hold before the alarm goes."""
ALARM_FREQUENCY = ("frequency-check-times", "frequency-check-seconds")
"""Of an alarm rule: an alarm that went up more often than so many times in so many seconds stays."""

ALARM_COLLECT = "collect"
"""Of an alarm rule: live tables of nodes that are kept when its alarm is raised (ADR 0388)."""

OF_ADMINISTRATORS: Final[Mapping[str, frozenset[str]]] = {
    "alarm": frozenset({ALARM_COLLECT}),
    "loadbalancer": frozenset({LOAD_BALANCER_HOSTS}),
    "virtual-machine-interface": frozenset(RATE_LIMITS),
}
"""By type: those that guard, or use, what is everybody's. Tenants read them on their objects, and leave them (ADR 0468)."""

READ_BY_AGENTS = frozenset(
    (
        *BGPAAS_CONTROL_NODES,
        *RATE_LIMITS,
        BROADCAST_REPLICATION,
        LOAD_BALANCER,
        REPLICATOR_ADDRESS,
        SOURCE_NAT,
        STICKY_MAC,
        UNHEARD_MULTICAST,
    )
)
"""All that hosts are told of; what else users note is no business of theirs."""


def annotations_of(document: Mapping[str, object]) -> Iterator[tuple[object, object]]:
    """Yield keys and values that an object's document notes, as far as it has that form."""
    annotations = document.get("annotations")
    pairs = (
        cast("Mapping[str, object]", annotations).get("key_value_pair")
        if isinstance(annotations, dict)
        else None
    )
    for pair in cast("list[object]", pairs) if isinstance(pairs, list) else []:
        if isinstance(pair, dict):
            held = cast("Mapping[str, object]", pair)
            yield held.get("key"), held.get("value")
