"""Types of UVE (user-visible entity): the word in a path, and the table that generators name."""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

TABLES: Final = MappingProxyType(
    {
        "virtual-network": "ObjectVNTable",
        "virtual-machine": "ObjectVMTable",
        "virtual-machine-interface": "ObjectVMITable",
        "service-instance": "ObjectSITable",
        "loadbalancer": "ObjectLBTable",
        "vrouter": "ObjectVRouter",
        "control-node": "ObjectBgpRouter",
        "bgp-peer": "ObjectBgpPeer",
        "xmpp-peer": "ObjectXmppPeerInfo",
        "routing-instance": "ObjectRoutingInstance",
        "analytics-node": "ObjectCollectorInfo",
        "analytics-alarm-node": "ObjectAnalyticsAlarmInfo",
        "analytics-snmp-node": "ObjectAnalyticsSnmpInfo",
        "database-node": "ObjectDatabaseInfo",
        "config-database-node": "ObjectConfigDatabaseInfo",
        "generator": "ObjectGeneratorInfo",
        "config-node": "ObjectConfigNode",
        "service-chain": "ServiceChain",
        "dns-node": "ObjectDns",
        "server": "ObjectServerTable",
        "prouter": "ObjectPRouter",
        "physical-interface": "ObjectPhysicalInterfaceTable",
        "logical-interface": "ObjectLogicalInterfaceTable",
        "storage-cluster": "ObjectStorageClusterTable",
        "storage-pool": "ObjectPoolTable",
        "storage-osd": "ObjectOsdTable",
        "storage-disk": "ObjectDiskTable",
        "user-defined-log-statistic": "UserDefinedLogStatTable",
        "kubernetes-manager-node": "ObjectKubernetesManagerNode",
        "tag": "ObjectTagTable",
        "project": "ObjectProjectTable",
        "firewall-policy": "ObjectFirewallPolicyTable",
        "firewall-rule": "ObjectFirewallRuleTable",
        "address-group": "ObjectAddressGroupTable",
        "service-group": "ObjectServiceGroupTable",
        "application-policy-set": "ObjectApplicationPolicySetTable",
        "job-execution": "ObjectJobExecutionTable",
    }
)
"""Word of a path, in the singular, to table."""

TYPES: Final = MappingProxyType({table: word for word, table in TABLES.items()})


def plural(word: str) -> str:
    """Return the word under which a type is listed; the inverse of :func:`singular`."""
    return f"{word}es" if word.endswith("s") else f"{word}s"


def singular(word: str) -> str | None:
    """Return the type that is listed under this word, None for no type."""
    for ending in ("s", "es"):
        if word.endswith(ending) and word.removesuffix(ending) in TABLES:
            return word.removesuffix(ending)
    return None
