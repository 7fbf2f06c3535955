/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Broadcast and multicast out of a tunnel. */
#ifndef SKYTRAIL_FLOOD_RECEIVE_H
#define SKYTRAIL_FLOOD_RECEIVE_H

#include "flood_flags.h"
#include "decap.h"
#include "flood.h"

/* A frame to a group out of a tunnel into `vrf`: to the local members, if it comes from afar, and
 * by a relay's label to neighbours. */
VERIFIED_ONCE int flood_received(struct __sk_buff *ctx, struct packet *p, __u32 vrf)
{
	struct scratch *s = get_scratch();
	__u64 asker = 0;
	__u32 family = 0;
	__u64 flags;
	struct route *route;
	struct nexthop *nh;
	void *frame;
	int reason;

	if (!p || !s || flood_flags(vrf) & FLOOD_NOBODY)
		return drop(ctx, DROP_MULTICAST);
	if (ctx->gso_size)
		return drop(ctx, DROP_TOO_BIG);
	if (p->ethertype == bpf_htons(ETH_P_IP))
		family = FAMILY_V4;
	else if (p->ethertype == bpf_htons(ETH_P_IPV6))
		family = FAMILY_V6;
	if (family) {
		/* One place for the ports of fragments, whoever receives them. */
		if (family == FAMILY_V4) {
			p->key4.vif = vrf;
			p->key4.direction = DIRECTION_FROM_UNDERLAY;
			reason = parse_ipv4(ctx, p);
		} else {
			p->key6.vif = vrf;
			p->key6.direction = DIRECTION_FROM_UNDERLAY;
			reason = parse_ipv6(ctx, p);
		}
		if (!reason)
			reason = copy_congestion(ctx, p, family);
		if (reason)
			return drop(ctx, reason);
		scratch_begin(s, p, family);
		asker = ASK_SOURCE;
		route = route_lookup(vrf, s->key.source, family);
		if (!route)
			route = bridge_lookup(vrf, p->source_mac);
		if (route) {
			asker |= route->identity;
			nh = nexthop_lookup(route->nexthop);
			if (nh && (nh->kind == NEXTHOP_INTERFACE || nh->kind == NEXTHOP_RECEIVE))
				return drop(ctx, DROP_SOURCE_LOCAL);
		}
	}
	set_copy(ctx, arrived_copy(ctx));
	flags = decap_flags(ctx, family);
	if (bpf_skb_adjust_room(ctx, -(__s32)(p->l3 - ETHERNET_BYTES), BPF_ADJ_ROOM_MAC,
				BPF_F_ADJ_ROOM_FIXED_GSO | flags) &&
	    (!flags || decap_untold(ctx, p->l3 - ETHERNET_BYTES, flags)))
		return drop(ctx, DROP_ENCAPSULATION);
	frame = packet_data(ctx);
	if (frame + ETHERNET_BYTES > packet_end(ctx))
		return drop(ctx, DROP_TRUNCATED);
	mac_copy(frame, p->destination_mac);
	mac_copy(frame + 6, p->source_mac);
	*(__be16 *)(frame + 12) = p->ethertype;
	return flood_copies(ctx, p, vrf, family, asker);
}

#endif
