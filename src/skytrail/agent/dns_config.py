"""What the agent understands of virtual DNS servers. Pure."""

from __future__ import annotations

from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import mapping_of, number_of, text_of
from skytrail.wire.dns.ordering import ORDER_DEFAULT
from skytrail.wire.dns.zones import DnsRecord, VirtualDns
from skytrail.wire.xmpp import ConfigNode


def read_virtual_dns(graph: ConfigGraph, node: ConfigNode) -> VirtualDns:
    """Return a virtual DNS server with its records."""
    settings = mapping_of(node.properties.get("virtual_DNS_data"))
    ttl_s = number_of(settings.get("default_ttl_seconds")) or 86400
    records: list[DnsRecord] = []
    for entry in graph.linked_nodes(node.key, "virtual-DNS-record"):
        parts = mapping_of(entry.properties.get("virtual_DNS_record_data"))
        own_ttl = number_of(parts.get("record_ttl_seconds"))
        records.append(
            DnsRecord(
                name=text_of(parts.get("record_name")),
                record_type=text_of(parts.get("record_type")).upper(),
                content=text_of(parts.get("record_data")),
                ttl_s=ttl_s if own_ttl is None else max(0, own_ttl),
                preference=number_of(parts.get("record_mx_preference")) or 0,
            )
        )
    return VirtualDns(
        name=node.key.name,
        domain=text_of(settings.get("domain_name")),
        ttl_s=ttl_s,
        next_server=text_of(settings.get("next_virtual_DNS")),
        records=tuple(records),
        order=text_of(settings.get("record_order")) or ORDER_DEFAULT,
        negative_ttl_s=number_of(
            mapping_of(settings.get("soa_record")).get("negative_cache_ttl_seconds")
        ),
    )
