/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who has an address, as workloads are told: of questions that the vRouter answers, and of claims that
 * it lets pass to members.
 */
#ifndef SKYTRAIL_NEIGHBOUR_H
#define SKYTRAIL_NEIGHBOUR_H

#include "fib.h"
#include "packet.h"

/* MAC that answers for an address; NULL when nobody is known or it is the asker itself. */
static __always_inline const __u8 *neighbour_mac(const struct interface *vif, __u32 vif_id,
						 const __be32 *address, __u32 family, __u8 *gateway,
						 bool *own)
{
	struct route *route = route_lookup(vif->vrf, address, family);
	struct nexthop *nh;

	*own = false;
	if (!route)
		return NULL;
	nh = nexthop_lookup(route->nexthop);
	if (!nh)
		return NULL;
	if (nh->kind == NEXTHOP_INTERFACE && nh->vif == vif_id) {
		*own = true;
		return NULL;
	}
	if (nh->kind == NEXTHOP_RECEIVE || vif->options & OPTION_LAYER3) {
		mac_set_gateway(gateway);
		return gateway;
	}
	return route->has_mac ? route->mac : NULL;
}

/* Whether an address is known to be somebody else's, the vRouter's among them: members, whose tables it
 * would change, are not shown a claim to it. The MAC claimed is not asked for: the frame's source and
 * what is said inside may differ. */
static __noinline bool claims_anothers(const struct interface *vif, __u32 vif_id,
				       const __be32 *address, __u32 family)
{
	struct route *route;
	struct nexthop *nh;

	/* Port security has looked at the source already. */
	if (vif->flags & INTERFACE_ANTISPOOF)
		return false;
	route = route_lookup(vif->vrf, address, family);
	if (!route)
		return false;
	nh = nexthop_lookup(route->nexthop);
	/* Of an address that several ports share, this may be one. */
	if (!nh || nh->kind == NEXTHOP_ECMP || (nh->kind == NEXTHOP_INTERFACE && nh->vif == vif_id))
		return false;
	return nh->kind == NEXTHOP_RECEIVE || route->has_mac;
}

#endif
