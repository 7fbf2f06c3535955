"""The alarms that every installation has. Pure."""

from __future__ import annotations

from typing import Final

from skytrail.analytics.alarm_rule import AlarmRule, Condition

NODES: Final = (
    "analytics-node",
    "config-node",
    "control-node",
    "database-node",
    "vrouter",
)
CRITICAL, MAJOR, MINOR = 0, 1, 2
_STARTING_S: Final = 30.0
"""A process that starts is no alarm yet."""


def _rule(
    name: str,
    severity: int,
    types: tuple[str, ...],
    *alternatives: tuple[Condition, ...],
    description: str,
    active_s: float = 0.0,
    collect: tuple[str, ...] = (),
) -> AlarmRule:
    return AlarmRule(
        f"default-global-system-config:system-defined-{name}",
        severity,
        types,
        alternatives,
        description,
        active_s,
        collect=collect,
    )


def _not_equal(path: str, constant: object, *variables: str) -> Condition:
    return Condition(path, "!=", constant, "", variables)


def _peers(kind: str) -> tuple[tuple[Condition, ...], ...]:
    up, all_of_them = f"BgpRouterState.num_up_{kind}_peer", f"BgpRouterState.num_{kind}_peer"
    return (
        (Condition(up, "==", None), Condition("BgpRouterState", "!=", None)),
        (Condition(up, "!=", None, all_of_them),),
    )


_DISK: Final = "NodeStatus.disk_usage_info.*.percentage_partition_space_used"
_TABLES: Final = ("VrouterAgent.tables_nearly_full",)

SYSTEM_ALARMS: Final = (
    _rule(
        "node-status", CRITICAL, NODES, (Condition("NodeStatus", "==", None),),
        description="A node that is configured says nothing of itself", active_s=_STARTING_S,
    ),
    _rule(
        "process-connectivity", CRITICAL, NODES,
        (_not_equal("NodeStatus.process_status.*.state", "Functional",
                    "NodeStatus.process_status.*.module_id"),
         Condition("NodeStatus", "!=", None)),
        description="A process lacks something it needs", active_s=_STARTING_S,
    ),
    _rule(
        "process-status", CRITICAL, NODES,
        (_not_equal("NodeStatus.process_info.*.process_state", "PROCESS_STATE_RUNNING",
                    "NodeStatus.process_info.*.process_name"),
         Condition("NodeStatus.process_info", "!=", None)),
        description="A process does not run",
    ),
    _rule(
        "disk-usage-high", MAJOR, NODES, (Condition(_DISK, "range", [70, 90]),),
        description="A partition is filling up",
    ),
    _rule(
        "disk-usage-critical", CRITICAL, NODES, (Condition(_DISK, ">", 90),),
        description="A partition is nearly full",
    ),
    _rule(
        "core-files", CRITICAL, NODES,
        (Condition("NodeStatus.all_core_file_list", "size!=", 0),),
        description="A process has crashed",
    ),
    _rule(
        "bgp-connectivity", MAJOR, ("control-node",), *_peers("bgp"),
        description="Not all BGP peers are up", active_s=_STARTING_S,
    ),
    _rule(
        "xmpp-connectivity", MAJOR, ("control-node",), *_peers("xmpp"),
        description="Not all agents are connected", active_s=_STARTING_S,
    ),
    _rule(
        "xmpp-close-reason", MAJOR, ("xmpp-peer",),
        (_not_equal("XmppPeerInfoData.close_reason", ""),
         _not_equal("XmppPeerInfoData.close_reason", None),
         _not_equal("XmppPeerInfoData.state_info.state", "Established")),
        description="An agent's session ended and did not come back",
        collect=("agent/sessions", "agent/underlay"),
    ),
    _rule(
        "vrouter-interface", MAJOR, ("vrouter",),
        (Condition("VrouterAgent.down_interface_count", ">=", 1, "",
                   ("VrouterAgent.error_intf_list",)),),
        description="Ports that are plugged do not forward", active_s=_STARTING_S,
        collect=("agent/interfaces", "agent/sessions"),
    ),
    _rule(
        "vrouter-limit-exceeded", MAJOR, ("vrouter",),
        (Condition("VrouterAgent.res_limit", "==", True, "", _TABLES),),
        description="A table of the host is nearly full", collect=("agent/tables",),
    ),
    _rule(
        "vrouter-table-limit-exceeded", CRITICAL, ("vrouter",),
        (Condition("VrouterAgent.res_table_limit", "==", True, "", _TABLES),),
        description="A table of the host is full, or as good as that", collect=("agent/tables",),
    ),
    _rule(
        "vrouter-flow-limit", MINOR, ("vrouter",),
        (Condition("VrouterAgent.flow_limited_ports", "size!=", 0),),
        description="Ports have all the flows they may: new ones are refused",
    ),
    _rule(
        "vrouter-port-translation", MAJOR, ("vrouter",),
        (Condition("VrouterAgent.translation_limited_ports", "size!=", 0),),
        description="The host has no ports left, or none of their share, that stand for workloads' towards a far end",
    ),
    _rule(
        "storage-cluster-state", MAJOR, ("storage-cluster",),
        (_not_equal("StorageCluster.info_stats.*.status", 0),
         Condition("StorageCluster", "!=", None)),
        description="The storage cluster is not well",
    ),
)  # fmt: skip
