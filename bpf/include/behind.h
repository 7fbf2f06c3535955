/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Machines behind an interface that learns addresses: who of them a routed packet is for, and which
 * of their addresses are not known.
 */
#ifndef SKYTRAIL_BEHIND_H
#define SKYTRAIL_BEHIND_H

#include "fib.h"
#include "packet.h"

/* Routes that were told to others may have the MAC of a vRouter as a router, which no machine has. */
static __always_inline bool is_machines(const __u8 *mac)
{
	return mac[0] != 0x02 || mac[1] != 0x5e;
}

/* Whom a routed packet is for: one of those behind an interface that learns addresses, or its own
 * workload. */
static __always_inline const __u8 *mac_behind(const struct route *route, __u32 nexthop,
					      const struct interface *to)
{
	if (likely(!(to->options & OPTION_LEARNS_ADDRESSES)) || route->nexthop != nexthop ||
	    !route->has_mac || !is_machines(route->mac))
		return to->mac;
	return route->mac;
}

/* A routed packet for an interface that learns addresses: to whom of those behind it. */
static __noinline int find_behind(struct packet *p, __u32 vrf, __u32 vif, __u32 family)
{
	__be32 address[4] = {};
	struct route *route;
	struct nexthop *nh;

	if (family == FAMILY_V4)
		address[0] = p->key4.destination;
	else
		__builtin_memcpy(address, p->key6.destination, sizeof(address));
	route = route_lookup(vrf, address, family);
	if (!route || !route->has_mac || !is_machines(route->mac))
		return 0;
	nh = nexthop_lookup(route->nexthop);
	if (!nh || nh->kind != NEXTHOP_INTERFACE || nh->vif != vif)
		return 0;
	mac_copy(p->destination_mac, route->mac);
	mac_set_gateway(p->source_mac);
	p->flags = (p->flags | PACKET_LAYER2) & ~PACKET_TO_GATEWAY;
	return 0;
}

/* True when nobody knows by now that the address has the MAC, behind this interface. */
static __noinline bool is_address_new(const struct interface *vif, __u32 vif_id,
				      const __be32 *address, const __u8 *mac, __u32 family)
{
	struct route *route = route_lookup(vif->vrf, address, family);
	struct nexthop *nh;

	if (!route || !route->has_mac || !mac_equal(route->mac, mac))
		return true;
	nh = nexthop_lookup(route->nexthop);
	return !nh || nh->kind != NEXTHOP_INTERFACE || nh->vif != vif_id;
}

#endif
