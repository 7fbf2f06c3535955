/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Frames of workloads that are not IP, by their destination MAC.
 */
#ifndef SKYTRAIL_BRIDGE_OUT_H
#define SKYTRAIL_BRIDGE_OUT_H

#include "nexthop.h"

/* Room for a tunnel under a frame that is not IP: the kernel's tunnel helper knows only IP. */
static __noinline int bridge_to_tunnel(struct __sk_buff *ctx, struct packet *p,
				       const struct nexthop *nh, __u32 label)
{
	/* No flow to hash: one port for all frames of an EtherType. */
	const __be16 entropy = p->ethertype | bpf_htons(49152);
	__u32 room, out_ifindex;

	if (!(nh->flags & (NEXTHOP_RESOLVED | NEXTHOP_ROUTED)))
		return drop(ctx, DROP_UNDERLAY_UNRESOLVED);
	if (nh->encapsulation != ENCAP_VXLAN && !(nh->flags & NEXTHOP_LAYER2))
		return drop(ctx, DROP_NOT_IP);
	if (ctx->len - ETHERNET_BYTES > nh->mtu)
		return drop(ctx, DROP_TOO_BIG);
	room = outer_bytes(nh);
	if (!room || bpf_skb_change_head(ctx, room, 0) ||
	    outer_write(ctx, nh, label, entropy, p->tos))
		return drop(ctx, DROP_ENCAPSULATION);
	out_ifindex = tunnel_link(ctx, nh, entropy);
	return out_ifindex ? bpf_redirect(out_ifindex, 0) : drop(ctx, DROP_UNDERLAY_UNRESOLVED);
}

/* A frame that is not IP, from a workload: by its destination MAC, or nowhere. */
VERIFIED_ONCE int bridge_frame(struct __sk_buff *ctx, struct packet *p, __u32 vrf)
{
	const __u32 from_id = get_vif(ctx);
	const struct interface *from = interface_by_vif(from_id);
	struct route *route;
	struct interface *to;
	struct nexthop *nh;
	__u32 label;

	if (!p || !from)
		return drop(ctx, DROP_TRUNCATED);
	if (mac_is_group(p->destination_mac))
		return drop(ctx, DROP_MULTICAST);
	route = bridge_lookup(vrf, p->destination_mac);
	if (!route)
		return drop(ctx, DROP_UNKNOWN_MAC);
	nh = nexthop_lookup(route->nexthop);
	if (!nh)
		return drop(ctx, DROP_NEXTHOP);
	switch (nh->kind) {
	case NEXTHOP_INTERFACE:
		to = interface_by_vif(nh->vif);
		if (!to || !to->kind)
			return drop(ctx, DROP_INTERFACE_UNKNOWN);
		if (nh->vif == get_vif(ctx))
			return drop(ctx, DROP_SAME_INTERFACE);
		return deliver(ctx, to, false, 0);
	case NEXTHOP_TUNNEL:
		label = route->label;
		if (qos_sent(from, 0)) {
			const __u32 bits = qos_outward(ctx, p, qos_sent(from, 0), QOS_TAGS);

			if (bits == QOS_EXCEEDED)
				return drop(ctx, DROP_RATE_SENT);
			label |= bits;
		}
		return bridge_to_tunnel(ctx, p, nh, label);
	case NEXTHOP_DISCARD:
		return drop(ctx, DROP_DISCARD);
	}
	return drop(ctx, DROP_NEXTHOP);
}

#endif
