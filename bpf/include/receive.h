/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a verified tunnel header to the workload: next hop of the label or VNI, inner packet,
 * flow and policy of the destination interface, shrink, deliver.
 */
#ifndef SKYTRAIL_RECEIVE_H
#define SKYTRAIL_RECEIVE_H

#include "flood_flags.h"
#include "behind.h"
#include "bridge_in.h"
#include "flood_receive.h"
#include "router_mac.h"
#include "snat_receive.h"

/* Removes everything between the outer Ethernet header and the inner packet, and writes the
 * Ethernet header the workload sees. */
static __always_inline int shrink_and_deliver(struct __sk_buff *ctx, const struct packet *p,
					      const struct interface *to, bool is_ip, __u64 flags,
					      __u32 mirror)
{
	void *frame;

	if (unlikely(mirror || to->flags & INTERFACE_WATCHED) && p->l3 != ETHERNET_BYTES)
		mirror |= arrived_copy(ctx);
	if (likely(p->l3 != ETHERNET_BYTES) &&
	    bpf_skb_adjust_room(ctx, -(__s32)(p->l3 - ETHERNET_BYTES), BPF_ADJ_ROOM_MAC,
				BPF_F_ADJ_ROOM_FIXED_GSO | flags) &&
	    (!flags || decap_untold(ctx, p->l3 - ETHERNET_BYTES, flags)))
		return drop(ctx, DROP_ENCAPSULATION);
	frame = packet_data(ctx);
	if (frame + ETHERNET_BYTES > packet_end(ctx))
		return drop(ctx, DROP_TRUNCATED);
	if ((p->flags & (PACKET_LAYER2 | PACKET_TO_GATEWAY)) == PACKET_LAYER2) {
		mac_copy(frame, p->destination_mac);
		mac_copy(frame + 6, p->source_mac);
	} else {
		mac_copy(frame, to->mac);
		mac_set_gateway(frame + 6);
	}
	*(__be16 *)(frame + 12) = p->ethertype;
	return deliver(ctx, to, is_ip, mirror);
}

/* Linux 6.1 takes no map key from what a function verified once was given. */
static __always_inline struct flow *flow_of_argument(const struct packet *p, const __u32 family)
{
	if (family == FAMILY_V4) {
		const struct flow_key4 key = p->key4;

		return bpf_map_lookup_elem(&flows4, &key);
	} else {
		const struct flow_key6 key = p->key6;

		return bpf_map_lookup_elem(&flows6, &key);
	}
}

static __always_inline int receive_inet(struct __sk_buff *ctx, struct packet *p, __u32 vif,
					__u32 family)
{
	const struct interface *to = interface_by_vif(vif);
	struct settings *now = get_settings();
	struct flow *flow;
	__u32 mirror;
	int reason;

	set_vif(ctx, vif);
	if (unlikely(!to || !to->kind))
		return drop(ctx, DROP_INTERFACE_UNKNOWN);
	snat_arrives(p, to, family);
	reason = family == FAMILY_V4 ? parse_ipv4(ctx, p) : parse_ipv6(ctx, p);
	if (unlikely(reason))
		return drop(ctx, reason);
	flow = flow_of_argument(p, family);
	if (unlikely(!flow || !now || flow->generation != now->generation ||
		     flow->flags & FLOW_BRIDGED || flow_reopens(flow, p))) {
		const int action = flow_miss(ctx, p, family);

		if (action != PROCEED)
			return action;
		flow = decided_flow();
		if (!flow)
			return drop(ctx, DROP_INTERFACE_UNKNOWN);
	}
	flow_count(ctx, flow);
	if (unlikely(flow->flags & FLOW_DENY))
		return drop(ctx, flow->drop_reason);
	if (unlikely(to->kind == INTERFACE_SNAT)) {
		vif = flow->peer_vif;
		to = snat_asker(ctx, p, flow);
		if (!to)
			return drop(ctx, DROP_INTERFACE_UNKNOWN);
	}
	if (unlikely(p->flags & (PACKET_CLOSES | PACKET_SYN))) {
		if (p->flags & PACKET_CLOSES)
			flow_close(ctx, p, family);
		if (p->flags & PACKET_SYN)
			clamp_mss(ctx, p, to->mtu, family);
	}
	if (unlikely(exceeds_mtu(ctx, p, to->mtu)))
		return drop(ctx, DROP_TOO_BIG);
	if (unlikely(to->options & OPTION_RATE_RECEIVED) &&
	    rate_exceeded(ctx, p, vif, RATE_RECEIVED))
		return drop(ctx, DROP_RATE_RECEIVED);
	if (unlikely(now && now->fabric_qos) && qos_inward(ctx, p, now->fabric_qos))
		return drop(ctx, DROP_TRUNCATED);
	/* Without a tunnel nobody has routed it for the workload yet. */
	reason = likely(p->l3 != ETHERNET_BYTES) ? copy_congestion(ctx, p, family) :
						   decrement_ttl(ctx, p, family);
	if (unlikely(reason))
		return drop(ctx, reason);
	/* An entry of flows6 is a flow6, and so is the decision at hand. */
	if (unlikely(flow->flags & FLOW_TRANSLATED) &&
	    (family == FAMILY_V6 ? translate6(ctx, p, (const struct flow6 *)flow) :
				   translate(ctx, p, flow)))
		return drop(ctx, DROP_TRANSLATION);
	mirror = flow_mirror(flow);
	if (unlikely(to->options & OPTION_LEARNS_ADDRESSES) &&
	    (p->flags & (PACKET_LAYER2 | PACKET_TO_GATEWAY)) != PACKET_LAYER2)
		find_behind(p, to->vrf, vif, family);
	return shrink_and_deliver(ctx, p, to, true, decap_flags(ctx, family), mirror);
}

/* Inner IP packet at p->l3 for workload `vif`. */
VERIFIED_ONCE int receive_ipv4(struct __sk_buff *ctx, struct packet *p, __u32 vif)
{
	if (!p)
		return drop(ctx, DROP_TRUNCATED);
	p->key4.vif = vif;
	p->key4.direction = DIRECTION_FROM_UNDERLAY;
	return receive_inet(ctx, p, vif, FAMILY_V4);
}

VERIFIED_ONCE int receive_ipv6(struct __sk_buff *ctx, struct packet *p, __u32 vif)
{
	if (!p)
		return drop(ctx, DROP_TRUNCATED);
	p->key6.vif = vif;
	p->key6.direction = DIRECTION_FROM_UNDERLAY;
	return receive_inet(ctx, p, vif, FAMILY_V6);
}

/* Which workload a packet without tunnel is for that is not for the host: 0 unless the underlay
 * routes its network. The underlay interface is in the VRF that holds these workloads. */
static __noinline __u32 native_vif(struct __sk_buff *ctx, __be32 address)
{
	const struct interface *underlay = interface_by_vif(vif_by_ifindex(ctx->ifindex));
	const __be32 key[4] = { address };
	struct route *route;
	struct nexthop *nh;

	if (!underlay || underlay->kind != INTERFACE_UNDERLAY || !underlay->vrf)
		return 0;
	route = route_lookup(underlay->vrf, key, FAMILY_V4);
	if (!route)
		return 0;
	nh = nexthop_lookup(route->nexthop);
	return nh && nh->kind == NEXTHOP_INTERFACE ? nh->vif : 0;
}

/* Reads the inner Ethernet header at `offset`. */
static __always_inline int parse_inner_ethernet(struct __sk_buff *ctx, struct packet *p,
						__u32 offset)
{
	struct ethhdr *ethernet = packet_data(ctx) + offset;

	if ((void *)(ethernet + 1) > packet_end(ctx))
		return DROP_TRUNCATED;
	mac_copy(p->destination_mac, ethernet->h_dest);
	mac_copy(p->source_mac, ethernet->h_source);
	p->ethertype = *(__be16 *)((void *)ethernet + 12);
	p->l3 = offset + ETHERNET_BYTES;
	p->flags |= PACKET_LAYER2;
	if (mac_is_gateway(p->destination_mac) || mac_is_router(p->destination_mac))
		p->flags |= PACKET_TO_GATEWAY;
	if (p->ethertype == bpf_htons(ETH_P_8021Q) || p->ethertype == bpf_htons(ETH_P_8021AD))
		return DROP_VLAN;
	return DROP_NONE;
}

/* An Ethernet frame at `offset`; `vif` 0 means: find it in `vrf` by MAC. */
static __always_inline int receive_frame(struct __sk_buff *ctx, struct packet *p, __u32 offset,
					 __u32 vif, __u32 vrf)
{
	const struct interface *to;
	int reason = parse_inner_ethernet(ctx, p, offset);

	if (unlikely(reason))
		return drop(ctx, reason);
	if (!vif) {
		if (mac_is_group(p->destination_mac))
			return flood_received(ctx, p, vrf);
		reason = bridge_destination(ctx, p, vrf, &vif);
		if (unlikely(reason == DROP_UNKNOWN_MAC && !(p->flags & PACKET_TO_GATEWAY) &&
			     floods_unknown(vrf)))
			return flood_received(ctx, p, vrf);
		if (unlikely(reason))
			return drop(ctx, reason);
	}
	if (p->ethertype == bpf_htons(ETH_P_IP))
		return receive_ipv4(ctx, p, vif);
	if (p->ethertype == bpf_htons(ETH_P_IPV6))
		return receive_ipv6(ctx, p, vif);
	set_vif(ctx, vif);
	to = interface_by_vif(vif);
	if (unlikely(!to || !to->kind || to->kind == INTERFACE_SNAT))
		return drop(ctx, DROP_INTERFACE_UNKNOWN);
	return shrink_and_deliver(ctx, p, to, false, decap_flags(ctx, 0), 0);
}

/* An IP packet at p->l3 straight under the label. The first nibble tells the family. */
static __always_inline int receive_labelled_ip(struct __sk_buff *ctx, struct packet *p, __u32 vif)
{
	const __u8 *first = packet_data(ctx) + (p->l3 & OFFSET_MASK);

	if ((void *)(first + 1) > packet_end(ctx))
		return drop(ctx, DROP_TRUNCATED);
	if (*first >> 4 == 4) {
		p->ethertype = bpf_htons(ETH_P_IP);
		return receive_ipv4(ctx, p, vif);
	}
	if (*first >> 4 == 6) {
		p->ethertype = bpf_htons(ETH_P_IPV6);
		return receive_ipv6(ctx, p, vif);
	}
	return drop(ctx, DROP_NOT_IP);
}

/* From what lies at `offset` of the frame, which the caller has checked. */
static __always_inline __be32 outer_source(const void *at, __u32 offset)
{
	const __u16 *address = at - offset + OUTER_SOURCE_OFFSET;

	if (offset > MPLSUDP_LABEL_OFFSET)
		return end_number(at - offset + OUTER6_SOURCE);
	return address[0] | (__u32)address[1] << 16;
}

/* MPLS label at `offset`, payload after it. */
static __always_inline int receive_label(struct __sk_buff *ctx, struct packet *p, __u32 offset)
{
	const __be32 *at = packet_data(ctx) + offset;
	__u32 word, label, *id;
	struct nexthop *nh;

	if ((void *)(at + 1) > packet_end(ctx))
		return drop(ctx, DROP_TRUNCATED);
	word = bpf_ntohl(*at);
	if (!(word & LABEL_BOTTOM))
		return drop(ctx, DROP_TUNNEL_HEADER);
	label = word >> LABEL_SHIFT;
	id = bpf_map_lookup_elem(&labels, &label);
	if (unlikely(!id || !*id))
		return drop(ctx, DROP_LABEL_UNKNOWN);
	nh = nexthop_lookup(*id);
	if (unlikely(!nh))
		return drop(ctx, DROP_NEXTHOP);
	switch (nh->kind) {
	case NEXTHOP_INTERFACE:
		if (unlikely(nh->flags & NEXTHOP_LAYER2))
			return receive_frame(ctx, p, offset + 4, nh->vif, 0);
		p->l3 = offset + 4;
		return receive_labelled_ip(ctx, p, nh->vif);
	case NEXTHOP_BRIDGE:
		if (nh->flags & NEXTHOP_RELAYS)
			set_relayed_from(ctx, outer_source(at, offset));
		return receive_frame(ctx, p, offset + 4, 0, nh->vrf);
	case NEXTHOP_TUNNEL:
	case NEXTHOP_ECMP:
		return drop(ctx, DROP_LOOP);
	}
	return drop(ctx, DROP_NEXTHOP);
}

/* VXLAN header at `offset`. */
static __always_inline int receive_vxlan(struct __sk_buff *ctx, struct packet *p, __u32 offset)
{
	const __u8 *at = packet_data(ctx) + offset;
	struct nexthop *nh;
	__u32 vni, *id;

	if ((void *)(at + 8) > packet_end(ctx))
		return drop(ctx, DROP_TRUNCATED);
	if (!(at[0] & VXLAN_FLAG_VNI))
		return drop(ctx, DROP_TUNNEL_HEADER);
	vni = at[4] << 16 | at[5] << 8 | at[6];
	id = bpf_map_lookup_elem(&vnis, &vni);
	if (unlikely(!id))
		return drop(ctx, DROP_VNI_UNKNOWN);
	nh = nexthop_lookup(*id);
	if (unlikely(!nh || nh->kind != NEXTHOP_BRIDGE))
		return drop(ctx, DROP_NEXTHOP);
	return receive_frame(ctx, p, offset + 8, 0, nh->vrf);
}

#endif
