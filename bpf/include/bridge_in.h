/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which workload a frame is for whose tunnel header only names its VRF.
 */
#ifndef SKYTRAIL_BRIDGE_IN_H
#define SKYTRAIL_BRIDGE_IN_H

#include "fib.h"

/* One of the local interfaces that share an address with other hosts'; which one, `spread` says. */
static __noinline struct nexthop *local_member(__u32 id, __u32 spread)
{
	const struct ecmp_members *ecmp = bpf_map_lookup_elem(&ecmp_members, &id);
	struct nexthop *nh, *found = NULL;
	__u32 i, at;

	if (!ecmp || !ecmp->used)
		return NULL;
	for (i = 0; i < ECMP_MEMBERS_MAX; i++) {
		at = (i + spread) % ecmp->used;
		if (i >= ecmp->used || at >= ECMP_MEMBERS_MAX)
			break;
		nh = nexthop_lookup(ecmp->member[at].nexthop);
		if (nh && nh->kind == NEXTHOP_INTERFACE) {
			found = nh;
			break;
		}
	}
	return found;
}

/* Which local interface a bridged frame is for: by MAC, or by route when sent to the gateway. */
static __noinline int bridge_destination(struct __sk_buff *ctx, struct packet *p, __u32 vrf,
					 __u32 *vif)
{
	struct route *route;
	struct nexthop *nh;
	__be32 address[4] = {};

	if (!(p->flags & PACKET_TO_GATEWAY)) {
		route = bridge_lookup(vrf, p->destination_mac);
		if (!route)
			return DROP_UNKNOWN_MAC;
	} else if (p->ethertype == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(ctx, p->l3 + 16, address, 4))
			return DROP_TRUNCATED;
		route = route_lookup(vrf, address, FAMILY_V4);
	} else if (p->ethertype == bpf_htons(ETH_P_IPV6)) {
		if (bpf_skb_load_bytes(ctx, p->l3 + 24, address, 16))
			return DROP_TRUNCATED;
		route = route_lookup(vrf, address, FAMILY_V6);
	} else {
		return DROP_UNKNOWN_MAC;
	}
	if (!route)
		return DROP_NO_ROUTE;
	nh = nexthop_lookup(route->nexthop);
	if (nh && nh->kind == NEXTHOP_ECMP) {
		/* By who sends it, so that a sender stays with one of them. */
		__u32 spread = 0;

		bpf_skb_load_bytes(ctx, p->l3 + (p->ethertype == bpf_htons(ETH_P_IP) ? 12 : 20), &spread,
				   sizeof(spread));
		nh = local_member(route->nexthop, bpf_ntohl(spread));
		if (!nh)
			return DROP_LOOP;
	}
	if (!nh)
		return DROP_NEXTHOP;
	if (nh->kind == NEXTHOP_TUNNEL)
		return DROP_LOOP;
	if (nh->kind != NEXTHOP_INTERFACE)
		return DROP_NEXTHOP;
	*vif = nh->vif;
	return DROP_NONE;
}

#endif
