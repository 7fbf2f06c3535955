/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What leaves a VRF for the host's own network, at the first packet of a flow: by the host's address
 * and one of its ports, which stand for a workload's towards one far end, or, for link-local services
 * that the host itself offers, by an address that tells the interface. Only the latter for IPv6.
 *
 * The reverse entry of such a flow is what takes the port: it lives at the underlay interface as if
 * that were a workload's, so that ageing it gives the port back.
 */
#ifndef SKYTRAIL_FABRIC_H
#define SKYTRAIL_FABRIC_H

#include "fib.h"
#include "flow.h"
#include "leave.h"

/* Ports of the pool that a flow tries before there is none for it. */
#define PORT_TRIES 64
/* Ports that an interface has towards one far end at least: no pool is divided into smaller parts. */
#define PORT_SHARE_MIN 64
/* 169.254.0.0/17 and the interface's number: what the host sees of workloads that use its services. */
#define HOST_SIDE 0xa9fe0000
#define HOST_SIDE_VIF_MAX 0x7fff
/* The first words of the same for IPv6; the interface's number is the last one. No link-local
 * addresses: the host would have to be told a link with each. */
#define HOST_SIDE6_0 0xfd736b79
#define HOST_SIDE6_1 0x74720000

static __always_inline bool is_link_service(const __be32 *address, __u32 family)
{
	if (family == FAMILY_V6)
		return is_link_local(address);
	return (address[0] & bpf_htonl(0xffff0000)) == bpf_htonl(0xa9fe0000);
}

/* This network, loopback, multicast and beyond: no host of the underlay is called so. */
static __always_inline bool is_nobody(__be32 address)
{
	const __u32 first = bpf_ntohl(address) >> 24;

	return !first || first == 127 || first >= 224;
}

/* Without branches, as each would double what the verifier follows for every port tried. */
static __always_inline __be16 pool_port(const struct port_pool *pool, __u64 index)
{
	__u64 found = 0, port = 0, size, is_here;
	__u32 i;

	for (i = 0; i < PORT_RANGES_MAX; i++) {
		size = (__u64)pool->range[i].last - pool->range[i].first + 1;
		is_here = (index - size) >> 63 & ~found;
		asm volatile("" : "+r"(is_here));
		port |= (pool->range[i].first + index) & -is_here;
		found |= is_here;
		index -= size;
	}
	return bpf_htons((__u16)port);
}

/* Into how many parts a pool is divided: more than one only while each is worth something. Without
 * branches: it would be followed for each number. */
static __always_inline __u32 port_parts(__u32 size)
{
	__u64 parts = limits.port_parts, most = size / PORT_SHARE_MIN;
	__u64 is_less = (most - parts) >> 63;

	asm volatile("" : "+r"(is_less));
	parts += (most - parts) & -is_less;
	is_less = (parts - 1) >> 63;
	asm volatile("" : "+r"(is_less));
	return parts + is_less;
}

/* Where in the pool a place of an interface's share is: of each `parts` neighbours one, as good as by
 * lot, so that two interfaces have few in common and none can take another's share from it. Nothing is
 * counted, so nothing is left over when a flow ends in whatever way. */
static __always_inline __u32 share_place(__u32 vif, __u32 place, __u32 parts)
{
	__u32 lot = (vif * 0x9e3779b1U ^ place) * 0x85ebca6bU;

	lot = (lot ^ lot >> 15) * 0xc2b2ae35U;
	return place * parts + (lot >> 16) % parts;
}

/* A port of the host, of the interface's share, that no other flow has towards the same far end: DROP_NONE
 * with it in s->flow.to, or why there is none. A flow that is decided again keeps its own. */
VERIFIED_ONCE int fabric_port(struct scratch *s)
{
	const struct port_pool *pool;
	const struct flow *present;
	struct flow_key4 key = {};
	__u32 protocol, size, parts = 1, place, stride = 1, differs, others = 0, i;

	if (!s)
		return DROP_PORTS_EXHAUSTED;
	protocol = s->key.protocol;
	pool = bpf_map_lookup_elem(&port_pools, &protocol);
	if (!pool)
		return DROP_PORTS_EXHAUSTED;
	if (!pool->size)
		return DROP_PORTS_EXHAUSTED;
	key.source = s->flow.to.destination;
	key.destination = s->flow.to.source;
	key.source_port = s->flow.to.destination_port;
	key.vif = s->flow.peer_vif;
	key.protocol = protocol;
	key.direction = DIRECTION_FROM_WORKLOAD;
	if (s->kept_port) {
		key.destination_port = s->kept_port;
		present = bpf_map_lookup_elem(&flows4, &key);
		if (present && present->pair == s->flow.pair) {
			s->flow.to.source_port = s->kept_port;
			return DROP_NONE;
		}
	}
	place = flow_hash(&s->key);
	/* Small shares are searched from end to end, large ones here and there. */
	if (pool->size / port_parts(pool->size) > PORT_TRIES)
		stride = (place >> 16) | 1;
	for (i = 0; i < PORT_TRIES; i++) {
		/* Read anew each time: the stack has no room for what would be kept of it. */
		size = *(const volatile __u32 *)&pool->size;
		parts = port_parts(size);
		key.destination_port = pool_port(
			pool, share_place(s->key.vif, place % (size / parts), parts));
		place += stride;
		present = bpf_map_lookup_elem(&flows4, &key);
		if (!present) {
			s->flow.to.source_port = key.destination_port;
			return key.destination_port ? DROP_NONE : DROP_PORTS_EXHAUSTED;
		}
		differs = present->peer_vif ^ s->key.vif;
		asm volatile("" : "+r"(differs));
		others += -differs >> 31;
	}
	/* Who holds most of what was tried is the one to ask less. */
	return parts > 1 && others < PORT_TRIES / 2 ? DROP_PORT_SHARE : DROP_PORTS_EXHAUSTED;
}

/* The service that s->key is a packet to, NULL: none. */
static __always_inline const struct link_service *link_service_of(const struct scratch *s)
{
	struct link_service_key key = { .port = s->key.destination_port };

	if (s->key.protocol != IP_PROTOCOL_TCP && s->key.protocol != IP_PROTOCOL_UDP)
		return NULL;
	__builtin_memcpy(key.address, s->key.destination, sizeof(key.address));
	return bpf_map_lookup_elem(&link_services, &key);
}

static __noinline bool is_to_link_service(const struct scratch *s)
{
	return link_service_of(s) != NULL;
}

/* To a link-local service: DROP_NONE with its real place in s->flow.to, or why not. */
static __noinline int link_service_outward(struct scratch *s, __u32 family)
{
	const struct link_service *service = link_service_of(s);
	const struct interface *host;
	const struct nexthop *nh;
	__u32 chosen;

	if (!service || !service->used)
		return DROP_LINK_SERVICE;
	chosen = flow_hash(&s->key) % (service->used ?: 1);
	leave_to(s, service->target + 4 * (chosen & (LINK_SERVICE_TARGETS_MAX - 1)));
	s->flow.to.destination_port = service->port;
	/* Over IPv6 nobody leaves by the host's address. */
	if (!service->nexthop)
		return family == FAMILY_V4 ? DROP_NONE : DROP_LINK_SERVICE;
	nh = nexthop_lookup(service->nexthop);
	host = nh && nh->kind == NEXTHOP_INTERFACE ? interface_by_vif(nh->vif) : NULL;
	if (!host || !host->kind || s->key.vif > HOST_SIDE_VIF_MAX)
		return DROP_LINK_SERVICE;
	s->fabric = 0;
	s->flow.nexthop = service->nexthop;
	s->flow.peer_vif = nh->vif;
	if (family == FAMILY_V4) {
		s->flow.to.source = bpf_htonl(HOST_SIDE | s->key.vif);
	} else {
		const __be32 source[4] = { bpf_htonl(HOST_SIDE6_0), bpf_htonl(HOST_SIDE6_1), 0,
					   bpf_htonl(s->key.vif) };

		leave_as(s, source);
	}
	mac_copy(s->flow.mac, host->mac);
	return DROP_NONE;
}

/* The rest of a decision whose way is s->flow.nexthop, of kind NEXTHOP_FABRIC. Link-local services
 * are the operator's: no policy of the workload's keeps it from them. */
static __noinline int fabric_outward(struct scratch *s, __u32 opens, bool allowed, __u32 family)
{
	const struct nexthop *nh = nexthop_lookup(s->flow.nexthop);
	const bool is_service = is_link_service(s->key.destination, family);
	const struct settings *now = get_settings();
	int reason;

	if (!nh || !now)
		return DROP_NEXTHOP;
	s->flow.peer_vif = nh->vif;
	/* The workload's ICMP error about an answer: it is translated as its flow is. */
	if (!opens)
		return s->quotes && !is_service ? DROP_NONE : DROP_LINK_SERVICE;
	if (family == FAMILY_V6 && !is_service)
		return DROP_FABRIC_ADDRESS;
	if (s->key.protocol != IP_PROTOCOL_TCP && s->key.protocol != IP_PROTOCOL_UDP &&
	    (s->key.protocol != IP_PROTOCOL_ICMP ||
	     s->flow.policy_port != bpf_htons(ICMP4_ECHO_REQUEST)))
		return DROP_FABRIC_PROTOCOL;
	s->fabric = 1;
	s->flow.to.source = now->tunnel_address;
	if (is_service) {
		s->flow.rule = 0;
		reason = link_service_outward(s, family);
		if (reason)
			return reason;
	} else if (!allowed) {
		return DROP_POLICY;
	}
	s->flow.flags |= FLOW_TRANSLATED;
	if (!s->fabric)
		return DROP_NONE;
	if (!now->tunnel_address)
		return DROP_FABRIC_FAMILY;
	if (is_nobody(s->flow.to.destination) || s->flow.to.destination == now->tunnel_address)
		return DROP_FABRIC_ADDRESS;
	return fabric_port(s);
}

#endif
