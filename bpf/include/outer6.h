/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Tunnels over an IPv6 underlay: the same three encapsulations, 20 bytes more. Out of line, so that
 * those over IPv4 pay one test of the next hop's flags, and one of the EtherType they test anyway.
 *
 * The UDP checksum is zero, as RFC 6935 and RFC 6936 allow for tunnels (ADR 0271); the flow's entropy
 * is in the flow label as well (RFC 6438), for routers that look no further.
 */
#ifndef SKYTRAIL_OUTER6_H
#define SKYTRAIL_OUTER6_H

#include <linux/ipv6.h>
#include "encap_mplsgre.h"
#include "encap_mplsudp.h"
#include "encap_vxlan.h"
#include "outer_sum.h"
#include "parse.h"
#include "router_mac.h"
#include "uplink.h"
#include "tunnel_ends.h"

#define OUTER6_BYTES 40
#define MPLSUDP6_LABEL_OFFSET (OUTER6_L4_OFFSET + 8)
#define MPLSGRE6_LABEL_OFFSET (OUTER6_L4_OFFSET + 4)
#define OUTER6_BYTES_MAX (MPLSUDP6_LABEL_OFFSET + 8)
/* The last 32 bits of the far end: in a next hop, and in a frame that came from there. */
#define HEADER6_REMOTE_END 40
#define OUTER6_SOURCE 22
#define OUTER6_SOURCE_END 34
#define OUTER6_HOP_LIMIT 64

/* What outer6_examine() says beside actions: how the packet is tunnelled. */
enum {
	OUTER6_MPLSUDP = 1010,
	OUTER6_MPLSGRE = 1011,
	OUTER6_VXLAN = 1012,
};

static __always_inline __u32 outer6_tunnel_bytes(const struct nexthop *nh)
{
	if (nh->encapsulation == ENCAP_MPLS_GRE)
		return 8;
	return nh->encapsulation == ENCAP_VXLAN ? 16 : 12;
}

/* The outer headers of a frame that has been grown for them. */
static __always_inline long outer6_write(struct __sk_buff *ctx, const struct nexthop *nh,
					 __u32 label, __be16 entropy, __u8 tos)
{
	const __be16 payload = bpf_htons(ctx->len - OUTER6_L4_OFFSET);
	const bool is_gre = nh->encapsulation == ENCAP_MPLS_GRE;
	void *frame = packet_data(ctx);
	void *l4 = frame + OUTER6_L4_OFFSET;

	if (frame + OUTER6_BYTES_MAX > packet_end(ctx))
		return -1;
	COPY_WORD(frame, nh->header, 0);
	*(__be32 *)(frame + 8) = *(const __be32 *)(nh->header + 8);
	*(__be16 *)(frame + 12) = bpf_htons(ETH_P_IPV6);
	*(__be32 *)(frame + 14) = bpf_htonl(6U << 28 | (__u32)tos << 20 | bpf_ntohs(entropy));
	*(__be16 *)(frame + 18) = payload;
	*(__u8 *)(frame + 20) = is_gre ? IP_PROTOCOL_GRE : IP_PROTOCOL_UDP;
	*(__u8 *)(frame + 21) = OUTER6_HOP_LIMIT;
	for (int i = 0; i < 32; i += 4)
		*(__be32 *)(frame + OUTER6_SOURCE + i) =
			*(const __be32 *)(nh->header + HEADER6_LOCAL + i);
	if (is_gre) {
		*(__be32 *)l4 = bpf_htonl(MPLSGRE_PROTOCOL);
		*(__be32 *)(l4 + 4) = label_word(label);
		return 0;
	}
	*(__be16 *)l4 = entropy;
	*(__be16 *)(l4 + 4) = payload;
	*(__be16 *)(l4 + 6) = 0;
	if (nh->encapsulation == ENCAP_MPLS_UDP) {
		*(__be16 *)(l4 + 2) = bpf_htons(MPLSUDP_PORT);
		*(__be32 *)(l4 + 8) = label_word(label);
		return 0;
	}
	*(__be16 *)(l4 + 2) = bpf_htons(VXLAN_PORT);
	*(__be32 *)(l4 + 8) = bpf_htonl(VXLAN_FLAG_VNI << 24);
	*(__be32 *)(l4 + 12) = bpf_htonl(label << 8);
	return 0;
}

/* The same out of line, for what is no flow's packet: copies, and frames that are not IP. */
static __noinline long outer6_copy(struct __sk_buff *ctx, const struct nexthop *nh, __u32 label,
				   __be16 entropy, __u8 tos)
{
	return outer6_write(ctx, nh, label, entropy, tos);
}

/* grow() for an outer header of IPv6: what keeps the marks of a first tunnel becomes IPv6 by the way
 * of growing too far, where that is known (Linux 6.3). */
static __always_inline long outer6_grow(struct __sk_buff *ctx, __u32 bytes, __u64 flags)
{
	long failure = bpf_skb_adjust_room(ctx, bytes, BPF_ADJ_ROOM_MAC,
					   flags | BPF_F_ADJ_ROOM_FIXED_GSO);

	if (likely(failure != ERROR_ALREADY))
		return failure;
	if (ctx->protocol == bpf_htons(ETH_P_IPV6))
		return bpf_skb_adjust_room(ctx, bytes, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO);
	failure = bpf_skb_adjust_room(ctx, bytes + SPARE_BYTES, BPF_ADJ_ROOM_MAC,
				      BPF_F_ADJ_ROOM_FIXED_GSO);
	return failure ?: bpf_skb_adjust_room(ctx, -SPARE_BYTES, BPF_ADJ_ROOM_MAC,
					      BPF_F_ADJ_ROOM_FIXED_GSO | DECAP_L3_IPV6);
}

/* What the kernel is told of a tunnel over IPv6; `whole`: with the inner Ethernet header. */
static __always_inline __u64 outer6_flags(const struct nexthop *nh, bool whole)
{
	const __u64 l3 = BPF_F_ADJ_ROOM_ENCAP_L3_IPV6;

	if (nh->encapsulation == ENCAP_VXLAN)
		/* As for IPv4: the room has the VXLAN header, its last bytes are the inner Ethernet's. */
		return l3 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_ENCAP_L2(ETHERNET_BYTES) |
		       BPF_F_ADJ_ROOM_ENCAP_L2_ETH;
	return l3 |
	       (nh->encapsulation == ENCAP_MPLS_GRE ? BPF_F_ADJ_ROOM_ENCAP_L4_GRE :
						      BPF_F_ADJ_ROOM_ENCAP_L4_UDP) |
	       (whole ? BPF_F_ADJ_ROOM_ENCAP_L2(18) : BPF_F_ADJ_ROOM_ENCAP_L2(4));
}

/* Room for the first tunnel of a copy, below its Ethernet header, which moves. */
static __noinline long outer6_grow_copy(struct __sk_buff *ctx, const struct nexthop *nh,
					__u32 room)
{
	return outer6_grow(ctx, room, outer6_flags(nh, true));
}

/* Encapsulates an IP packet of a flow. Zero, or the kernel's refusal. */
static __noinline long encapsulate6(struct __sk_buff *ctx, const struct packet *p,
				    const struct nexthop *nh, const struct flow *flow, __u32 label)
{
	const __u32 tunnel = outer6_tunnel_bytes(nh);
	const bool is_vxlan = nh->encapsulation == ENCAP_VXLAN;
	const bool whole = is_vxlan || nh->flags & NEXTHOP_LAYER2;
	__u32 room = OUTER6_BYTES + tunnel;
	void *frame;
	long failure;

	if (nh->encapsulation != ENCAP_MPLS_UDP && nh->encapsulation != ENCAP_MPLS_GRE && !is_vxlan)
		return -1;
	if (whole)
		room += ETHERNET_BYTES;
	failure = outer6_grow(ctx, room, outer6_flags(nh, whole)) ?:
			  outer6_write(ctx, nh, label, flow->entropy, p->tos);
	if (failure || !whole)
		return failure;
	frame = packet_data(ctx);
	if (tunnel == 16) {
		if (frame + OUTER6_L4_OFFSET + 16 + ETHERNET_BYTES > packet_end(ctx))
			return -1;
		write_inner_ethernet(frame + OUTER6_L4_OFFSET + 16, p, flow->mac);
	} else if (tunnel == 12) {
		if (frame + OUTER6_L4_OFFSET + 12 + ETHERNET_BYTES > packet_end(ctx))
			return -1;
		write_inner_ethernet(frame + OUTER6_L4_OFFSET + 12, p, flow->mac);
	} else {
		if (frame + OUTER6_L4_OFFSET + 8 + ETHERNET_BYTES > packet_end(ctx))
			return -1;
		write_inner_ethernet(frame + OUTER6_L4_OFFSET + 8, p, flow->mac);
	}
	return 0;
}

static __always_inline bool ipv6_same(const __be32 *a, const __be32 *b)
{
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3];
}

/* A frame whose EtherType is IPv6's, from the underlay: PASS, an action, or how it is tunnelled. */
static __noinline int outer6_examine(struct __sk_buff *ctx, struct packet *p)
{
	const struct settings *now = get_settings();
	const struct ipv6hdr *ip;
	const __be32 *to;
	const __be16 *l4;
	__be16 word;
	int found;

	if (!now || !(now->tunnel_address6[0] | now->tunnel_address6[1] | now->tunnel_address6[2] |
		      now->tunnel_address6[3]))
		return PASS;
	ensure_linear(ctx, OUTER6_BYTES_MAX + ETHERNET_BYTES);
	ip = packet_data(ctx) + ETHERNET_BYTES;
	if ((void *)(ip + 1) + 8 > packet_end(ctx))
		return PASS;
	to = (const void *)ip + 24;
	if (!ipv6_same(to, now->tunnel_address6)) {
		if (!now->replicator_address6[0] || !ipv6_same(to, now->replicator_address6))
			return PASS;
		/* Copied on to all but whom it comes from. */
		set_relayed_from(ctx, end_number((const void *)ip + 8));
	}
	/* Fragments and what has options are the host's, as is all that is no tunnel's. */
	l4 = (const void *)(ip + 1);
	if (ip->nexthdr == IP_PROTOCOL_UDP) {
		if (l4[1] != bpf_htons(MPLSUDP_PORT) && l4[1] != bpf_htons(VXLAN_PORT))
			return PASS;
	} else if (ip->nexthdr != IP_PROTOCOL_GRE || l4[1] != bpf_htons(MPLSGRE_PROTOCOL)) {
		return PASS;
	}
	if (ip->version != 6 ||
	    (!ctx->gso_size && OUTER6_L4_OFFSET + bpf_ntohs(ip->payload_len) > ctx->len))
		return drop(ctx, DROP_OUTER_HEADER);
	if (!is_known_end6(now, (const void *)ip + 8))
		return drop(ctx, DROP_OUTER_SOURCE);
	word = *(const __be16 *)ip;
	p->outer_tos = bpf_ntohs(word) >> 4;
	if (ip->nexthdr == IP_PROTOCOL_GRE)
		return l4[0] ? drop(ctx, DROP_TUNNEL_HEADER) : OUTER6_MPLSGRE;
	found = l4[1] == bpf_htons(VXLAN_PORT) ? OUTER6_VXLAN : OUTER6_MPLSUDP;
	return l4[3] && settle_outer_sum6(ctx) ? drop(ctx, DROP_ENCAPSULATION) : found;
}

#endif
