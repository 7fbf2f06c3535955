"""Semantic checks by type: the table of all hand-written rules."""

from __future__ import annotations

from skytrail.api.change import Rule
from skytrail.api.rules.addresses import ALIAS_IP, FLOATING_IP, INSTANCE_IP
from skytrail.api.rules.alarm import ALARM
from skytrail.api.rules.bgp import (
    BGP_AS_A_SERVICE,
    BGP_ROUTER,
    GLOBAL_SYSTEM_CONFIG,
    SUB_CLUSTER,
)
from skytrail.api.rules.draft import POLICY_MANAGEMENT
from skytrail.api.rules.fabric_vlans import FABRIC
from skytrail.api.rules.firewall import (
    ADDRESS_GROUP,
    FIREWALL_POLICY,
    FIREWALL_RULE,
    SERVICE_GROUP,
)
from skytrail.api.rules.health_check import SERVICE_HEALTH_CHECK
from skytrail.api.rules.load_balancer import HEALTHMONITOR, LISTENER, LOADBALANCER, MEMBER, POOL
from skytrail.api.rules.policy import NETWORK_POLICY, SECURITY_GROUP
from skytrail.api.rules.qos import FORWARDING_CLASS, QOS_CONFIG, QOS_QUEUE
from skytrail.api.rules.security_logging import SECURITY_LOGGING_OBJECT
from skytrail.api.rules.tags import TAG, TAG_TYPE
from skytrail.api.rules.tenancy import APPLICATION_POLICY_SET, NETWORK_IPAM, PROJECT
from skytrail.api.rules.virtual_machine_interface import VIRTUAL_MACHINE_INTERFACE
from skytrail.api.rules.virtual_network import (
    BGPVPN,
    LOGICAL_ROUTER,
    ROUTE_TARGET,
    ROUTING_INSTANCE,
    VIRTUAL_NETWORK,
)
from skytrail.api.rules.virtual_port_group import LOGICAL_INTERFACE, VIRTUAL_PORT_GROUP
from skytrail.api.rules.virtual_router import VIRTUAL_ROUTER

RULES: dict[str, Rule] = {
    "address-group": ADDRESS_GROUP,
    "alarm": ALARM,
    "alias-ip": ALIAS_IP,
    "application-policy-set": APPLICATION_POLICY_SET,
    "bgp-as-a-service": BGP_AS_A_SERVICE,
    "bgp-router": BGP_ROUTER,
    "fabric": FABRIC,
    "firewall-policy": FIREWALL_POLICY,
    "firewall-rule": FIREWALL_RULE,
    "floating-ip": FLOATING_IP,
    "forwarding-class": FORWARDING_CLASS,
    "global-system-config": GLOBAL_SYSTEM_CONFIG,
    "instance-ip": INSTANCE_IP,
    "loadbalancer": LOADBALANCER,
    "loadbalancer-healthmonitor": HEALTHMONITOR,
    "loadbalancer-listener": LISTENER,
    "loadbalancer-member": MEMBER,
    "loadbalancer-pool": POOL,
    "logical-router": LOGICAL_ROUTER,
    "logical-interface": LOGICAL_INTERFACE,
    "network-ipam": NETWORK_IPAM,
    "network-policy": NETWORK_POLICY,
    "policy-management": POLICY_MANAGEMENT,
    "project": PROJECT,
    "qos-config": QOS_CONFIG,
    "qos-queue": QOS_QUEUE,
    "bgpvpn": BGPVPN,
    "route-target": ROUTE_TARGET,
    "routing-instance": ROUTING_INSTANCE,
    "security-group": SECURITY_GROUP,
    "security-logging-object": SECURITY_LOGGING_OBJECT,
    "service-group": SERVICE_GROUP,
    "service-health-check": SERVICE_HEALTH_CHECK,
    "sub-cluster": SUB_CLUSTER,
    "tag": TAG,
    "tag-type": TAG_TYPE,
    "virtual-machine-interface": VIRTUAL_MACHINE_INTERFACE,
    "virtual-network": VIRTUAL_NETWORK,
    "virtual-port-group": VIRTUAL_PORT_GROUP,
    "virtual-router": VIRTUAL_ROUTER,
}
