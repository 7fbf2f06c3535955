"""Types of UVE (user-visible entity): the word in a path, and the table that generators name.

The web console has them from here, generated.
"""

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
