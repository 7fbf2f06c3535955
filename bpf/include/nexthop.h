/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What happens to a decided packet: into a tunnel, or to a local workload.
 */
#ifndef SKYTRAIL_NEXTHOP_H
#define SKYTRAIL_NEXTHOP_H

#include <linux/ip.h>
#include <linux/ipv6.h>
#include "tagged.h"
#include "encap_mplsgre.h"
#include "encap_mplsudp.h"
#include "encap_vxlan.h"
#include "fib.h"
#include "mirror.h"
#include "mtu.h"
#include "outer6.h"
#include "punt.h"
#include "qos.h"
#include "service_rate.h"
#include "translate6.h"
#include "uplink.h"

/* Only routed packets (sent to the gateway's MAC) live shorter. From a workload, so no tunnel. */
static __always_inline int decrement_ttl(struct __sk_buff *ctx, const struct packet *p,
					 __u32 family)
{
	void *ip = packet_data(ctx) + ETHERNET_BYTES;

	if (p->ttl <= 1)
		return DROP_TTL;
	if (ip + sizeof(struct iphdr) > packet_end(ctx))
		return DROP_TRUNCATED;
	if (family == FAMILY_V6) {
		((struct ipv6hdr *)ip)->hop_limit--;
		return DROP_NONE;
	}
	/* RFC 1624: the sum grows by what the TTL byte lost; the carry wraps around. */
	__u32 sum = (__u32)((struct iphdr *)ip)->check + bpf_htons(0x0100);

	((struct iphdr *)ip)->check = sum + (sum >= 0xffff);
	((struct iphdr *)ip)->ttl--;
	return DROP_NONE;
}

static __always_inline int write_layer2_inner(struct __sk_buff *ctx, const struct packet *p,
					      const __u8 *mac, __u32 offset)
{
	void *frame = packet_data(ctx);

	if (frame + offset + ETHERNET_BYTES > packet_end(ctx))
		return -1;
	write_inner_ethernet(frame + offset, p, mac);
	return 0;
}

/* Without a tunnel the packet only changes its Ethernet header: the underlay's next router. */
static __always_inline int write_outer_macs(struct __sk_buff *ctx, const struct nexthop *nh)
{
	void *frame = packet_data(ctx);

	if (frame + ETHERNET_BYTES > packet_end(ctx))
		return -1;
	mac_copy(frame, nh->header);
	mac_copy(frame + 6, nh->header + 6);
	return 0;
}

/* How many bytes the tunnel puts in front, its Ethernet header included; 0: there is no tunnel. */
static __always_inline __u32 outer_bytes(const struct nexthop *nh)
{
	const __u32 further = nh->flags & NEXTHOP_OUTER6 ? OUTER6_BYTES - 20 : 0;

	if (nh->kind != NEXTHOP_TUNNEL)
		return 0;
	if (nh->encapsulation == ENCAP_MPLS_UDP)
		return MPLSUDP_BYTES + further;
	if (nh->encapsulation == ENCAP_MPLS_GRE)
		return MPLSGRE_BYTES + further;
	return nh->encapsulation == ENCAP_VXLAN ? VXLAN_BYTES + further : 0;
}

/* The outer headers of a frame that has room for them. Zero, or a refusal. */
static __always_inline long outer_write(struct __sk_buff *ctx, const struct nexthop *nh,
					__u32 label, __be16 entropy, __u8 tos)
{
	if (nh->flags & NEXTHOP_OUTER6)
		return outer6_copy(ctx, nh, label, entropy, tos);
	switch (nh->encapsulation) {
	case ENCAP_MPLS_UDP:
		return encap_mplsudp(ctx, nh, label, entropy, tos);
	case ENCAP_MPLS_GRE:
		return encap_mplsgre(ctx, nh, label, tos);
	case ENCAP_VXLAN:
		return encap_vxlan(ctx, nh, label, entropy, tos);
	}
	return -1;
}

/* Encapsulates an IP packet. `mac` is the inner destination when the encapsulation carries
 * Ethernet. Zero, or the kernel's refusal. */
static __always_inline long encapsulate(struct __sk_buff *ctx, const struct packet *p,
					const struct nexthop *nh, __u32 label, __be16 entropy,
					const __u8 *mac)
{
	const __u32 inner = nh->flags & NEXTHOP_LAYER2 ? ETHERNET_BYTES : 0;
	long failure;

	switch (nh->encapsulation) {
	case ENCAP_MPLS_UDP:
		if (likely(!inner))
			failure = grow(ctx, MPLSUDP_ROOM, MPLSUDP_FLAGS | BPF_F_ADJ_ROOM_ENCAP_L2(4));
		else
			failure = grow(ctx, MPLSUDP_ROOM + ETHERNET_BYTES,
				       MPLSUDP_FLAGS | BPF_F_ADJ_ROOM_ENCAP_L2(18));
		failure = failure ?: encap_mplsudp(ctx, nh, label, entropy, p->tos);
		if (unlikely(inner))
			failure = failure ?: write_layer2_inner(ctx, p, mac, MPLSUDP_BYTES);
		return failure;
	case ENCAP_MPLS_GRE:
		if (likely(!inner))
			failure = grow(ctx, MPLSGRE_ROOM, MPLSGRE_FLAGS | BPF_F_ADJ_ROOM_ENCAP_L2(4));
		else
			failure = grow(ctx, MPLSGRE_ROOM + ETHERNET_BYTES,
				       MPLSGRE_FLAGS | BPF_F_ADJ_ROOM_ENCAP_L2(18));
		failure = failure ?: encap_mplsgre(ctx, nh, label, p->tos);
		if (unlikely(inner))
			failure = failure ?: write_layer2_inner(ctx, p, mac, MPLSGRE_BYTES);
		return failure;
	case ENCAP_VXLAN:
		failure = grow(ctx, VXLAN_ROOM, VXLAN_FLAGS);
		failure = failure ?: encap_vxlan(ctx, nh, label, entropy, p->tos);
		return failure ?: write_layer2_inner(ctx, p, mac, VXLAN_BYTES);
	case ENCAP_NATIVE:
		return write_outer_macs(ctx, nh);
	}
	return -1;
}

/* What is looked at before a packet is changed for a tunnel: PROCEED, or its final action. */
static __always_inline int fit_for_tunnel(struct __sk_buff *ctx, const struct packet *p,
					  const struct nexthop *nh, __u32 family)
{
	if (unlikely(!(nh->flags & (NEXTHOP_RESOLVED | NEXTHOP_ROUTED))))
		return drop(ctx, DROP_UNDERLAY_UNRESOLVED);
	if (unlikely(exceeds_mtu(ctx, p, nh->mtu)))
		return drop_and_tell(ctx, DROP_TOO_BIG, PUNT_ICMP_TOO_BIG, nh->mtu);
	if (unlikely(p->flags & PACKET_SYN))
		clamp_mss(ctx, p, nh->mtu, family);
	if (p->flags & PACKET_TO_GATEWAY) {
		const int reason = decrement_ttl(ctx, p, family);

		if (unlikely(reason == DROP_TTL))
			return drop_and_tell(ctx, reason, PUNT_ICMP_TTL_EXCEEDED, 0);
		if (unlikely(reason))
			return drop(ctx, reason);
	}
	return PROCEED;
}

static __always_inline int enter_tunnel(struct __sk_buff *ctx, const struct packet *p,
					const struct nexthop *nh, const struct flow *flow,
					__u32 label)
{
	if (unlikely(nh->flags & NEXTHOP_OUTER6 ?
			     encapsulate6(ctx, p, nh, flow, label) :
			     encapsulate(ctx, p, nh, label, flow->entropy, flow->mac)))
		return drop(ctx, DROP_ENCAPSULATION);
	if (unlikely(nh->flags & NEXTHOP_ROUTED))
		return uplink_send(ctx, nh, flow->entropy);
	return bpf_redirect(nh->out_ifindex, 0);
}

static __always_inline int send_to_tunnel(struct __sk_buff *ctx, const struct packet *p,
					  const struct nexthop *nh, const struct flow *flow,
					  __u32 label, __u32 family)
{
	const int action = fit_for_tunnel(ctx, p, nh, family);

	if (unlikely(action != PROCEED))
		return action;
	if (family == FAMILY_V4 && unlikely(flow->flags & FLOW_TRANSLATED) &&
	    translate(ctx, p, flow))
		return drop(ctx, DROP_TRANSLATION);
	return enter_tunnel(ctx, p, nh, flow, label);
}

static __always_inline void count_delivered(struct __sk_buff *ctx, __u32 vif)
{
	struct delivered_counters *count = bpf_map_lookup_elem(&delivered, &vif);

	if (!count)
		return;
	count->packets += ctx->gso_segs ? ctx->gso_segs : 1;
	count->bytes += ctx->len;
}

/* Hands the frame to the workload's end of its interface. A frame whose protocol the kernel has
 * to find out again takes the longer way through the device. `mirror`: who else gets it, by a rule. */
static __always_inline int deliver(struct __sk_buff *ctx, const struct interface *to, bool is_ip,
				   __u32 mirror)
{
	if (unlikely(mirror || to->flags & INTERFACE_WATCHED))
		watch_delivered(ctx, to->ifindex, mirror);
	count_delivered(ctx, to->vif);
	if (unlikely(to->flags & (INTERFACE_TAGGED | INTERFACE_VLAN)))
		return tagged_deliver(ctx, to);
	if (to->kind == INTERFACE_VETH && is_ip)
		return bpf_redirect_peer(to->ifindex, 0);
	return bpf_redirect(to->ifindex, 0);
}

/* Likewise, for a local workload. */
static __always_inline int fit_for_local(struct __sk_buff *ctx, const struct packet *p,
					 const struct nexthop *nh, const struct interface *to,
					 __u32 family)
{
	if (unlikely(!to || !to->kind))
		return drop(ctx, DROP_INTERFACE_UNKNOWN);
	if (unlikely(to->options & OPTION_RATE_RECEIVED) &&
	    rate_exceeded(ctx, (struct packet *)p, nh->vif, RATE_RECEIVED))
		return drop(ctx, DROP_RATE_RECEIVED);
	if (unlikely(to->options & OPTION_HOST_SIDE) &&
	    service_rate_exceeded(ctx, (struct packet *)p, family))
		return drop(ctx, DROP_PUNT_RATE_SERVICE);
	if (unlikely(exceeds_mtu(ctx, p, to->mtu)))
		return drop_and_tell(ctx, DROP_TOO_BIG, PUNT_ICMP_TOO_BIG, to->mtu);
	if (p->flags & PACKET_TO_GATEWAY) {
		const int reason = decrement_ttl(ctx, p, family);

		if (unlikely(reason == DROP_TTL))
			return drop_and_tell(ctx, reason, PUNT_ICMP_TTL_EXCEEDED, 0);
		if (unlikely(reason))
			return drop(ctx, reason);
	}
	return PROCEED;
}

static __always_inline int enter_local(struct __sk_buff *ctx, const struct packet *p,
				       const struct interface *to, const struct flow *flow)
{
	void *frame = packet_data(ctx);

	if (frame + ETHERNET_BYTES > packet_end(ctx))
		return drop(ctx, DROP_TRUNCATED);
	mac_copy(frame, flow->mac);
	if (p->flags & PACKET_TO_GATEWAY)
		mac_set_gateway(frame + 6);
	return deliver(ctx, to, true, 0);
}

static __always_inline int send_to_local(struct __sk_buff *ctx, const struct packet *p,
					 const struct nexthop *nh, const struct flow *flow,
					 __u32 family)
{
	const struct interface *to = interface_by_vif(nh->vif);
	const int action = fit_for_local(ctx, p, nh, to, family);

	if (unlikely(action != PROCEED))
		return action;
	if (family == FAMILY_V4 && unlikely(flow->flags & FLOW_TRANSLATED) &&
	    translate(ctx, p, flow))
		return drop(ctx, DROP_TRANSLATION);
	return enter_local(ctx, p, to, flow);
}

/* An IPv6 packet of a translated flow. A function of its own: on the way of every packet there is no
 * room on the stack for another pointer. */
static __noinline int send_translated6(struct __sk_buff *ctx, const struct packet *p,
				       const struct nexthop *nh, const struct flow6 *flow,
				       __u32 label)
{
	const struct interface *to = NULL;
	int action;

	if (nh->kind == NEXTHOP_TUNNEL) {
		action = fit_for_tunnel(ctx, p, nh, FAMILY_V6);
	} else if (nh->kind == NEXTHOP_INTERFACE) {
		to = interface_by_vif(nh->vif);
		action = fit_for_local(ctx, p, nh, to, FAMILY_V6);
	} else {
		action = drop(ctx, DROP_NEXTHOP);
	}
	if (unlikely(action != PROCEED))
		return action;
	if (translate6(ctx, p, flow))
		return drop(ctx, DROP_TRANSLATION);
	return to ? enter_local(ctx, p, to, &flow->flow) :
		    enter_tunnel(ctx, p, nh, &flow->flow, label);
}

#endif
