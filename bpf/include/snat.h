/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What leaves a VRF by an address that this host has in an external network, at the first packet of a
 * flow: one address and its ports stand for all workloads of the networks that are led out by it.
 *
 * The address is an interface of kind INTERFACE_SNAT, without a link that anybody is at. From where it
 * is known the packet is routed on in that interface's VRF. The reverse entry lives where answers
 * begin: at that interface for those out of tunnels, at the far end's own when that is on this host.
 */
#ifndef SKYTRAIL_SNAT_H
#define SKYTRAIL_SNAT_H

#include "fabric.h"
#include "share.h"

/* How well a route knows a destination, from 1 on. One that leaves by the host's address gives way to
 * a floating address whose network knows it as well: that is the workload's alone. */
static __always_inline __u32 own_bits(const struct route *route)
{
	const struct nexthop *nh;

	if (!route)
		return 0;
	nh = nexthop_lookup(route->nexthop);
	return route->bits + !(nh && nh->kind == NEXTHOP_FABRIC);
}

/* Begins to leave by `vif` what a route leads there: DROP_NONE, with s->snat when that is an address of
 * an external network, or why it may not. */
static __noinline int snat_begin(struct scratch *s, __u32 vif, __u32 opens, __u32 family)
{
	const struct interface *by = interface_by_vif(vif);

	if (!by || by->kind != INTERFACE_SNAT)
		return DROP_NONE;
	if (is_link_service(s->key.destination, family))
		return DROP_LINK_SERVICE;
	if (family != FAMILY_V4 || is_nobody(s->key.destination[0]))
		return DROP_FABRIC_ADDRESS;
	/* Of answers only the workload's ICMP errors about some: translated as their flow is. */
	if (!opens && !s->quotes)
		return DROP_FABRIC_UNKNOWN;
	if (opens && s->key.protocol != IP_PROTOCOL_TCP && s->key.protocol != IP_PROTOCOL_UDP &&
	    (s->key.protocol != IP_PROTOCOL_ICMP ||
	     s->flow.policy_port != bpf_htons(ICMP4_ECHO_REQUEST)))
		return DROP_FABRIC_PROTOCOL;
	s->snat = vif;
	s->sender_vrf = by->vrf;
	s->sender_identity = by->identity;
	if (opens) {
		s->flow.to.source = by->tunnel_address;
		s->flow.flags |= FLOW_TRANSLATED;
	}
	return DROP_NONE;
}

/* The route to go on by: that of the external network, `own` when nothing leaves by it; NULL: there is
 * none, or one to the vRouter itself or to everybody, which are not for strangers. */
static __noinline struct route *snat_route(struct scratch *s, struct route *own, __u32 family)
{
	struct route *route;
	const struct nexthop *nh;

	if (!s->snat)
		return own;
	route = route_lookup(s->sender_vrf, s->key.destination, family);
	if (!route)
		return NULL;
	nh = nexthop_lookup(route->nexthop);
	return nh && nh->kind != NEXTHOP_RECEIVE && nh->kind != NEXTHOP_BRIDGE ? route : NULL;
}

/* The next hop of an answer that begins on this host: to who asked, s->back_vif, by a route of theirs. */
static __noinline __u32 snat_back(struct scratch *s)
{
	const struct interface *asked = interface_by_vif(s->back_vif);
	const __be32 address[4] = { s->flow.to.destination };
	struct route *route;

	if (!s->back_vif || !asked || !asked->kind)
		return 0;
	route = route_lookup(asked->vrf, address, FAMILY_V4);
	return route ? route->nexthop : 0;
}

/* The end of such a decision: which port the flow leaves by. */
static __noinline int snat_end(struct scratch *s)
{
	s->fabric = 1;
	return fabric_port(s);
}

#endif
