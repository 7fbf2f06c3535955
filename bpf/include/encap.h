/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the three encapsulations share: growing the frame, and finishing the outer headers that a
 * next hop carries ready-made. Layout after growing: Ethernet, IPv4, tunnel [, inner Ethernet].
 */
#ifndef SKYTRAIL_ENCAP_H
#define SKYTRAIL_ENCAP_H

#include "packet.h"

#define ETHERNET_BYTES 14
#define OUTER_IP_OFFSET 14
#define OUTER_TOS_OFFSET 15
#define OUTER_LENGTH_OFFSET 16
#define OUTER_CHECKSUM_OFFSET 24
#define OUTER_SOURCE_OFFSET 26
#define OUTER_DESTINATION_OFFSET 30
#define OUTER_L4_OFFSET 34
#define OUTER_UDP_LENGTH_OFFSET 38
/* Over IPv6. */
#define OUTER6_L4_OFFSET (ETHERNET_BYTES + 40)

#define LABEL_SHIFT 12
#define LABEL_BOTTOM 0x100
#define LABEL_TTL 64
/* Where a label carries its EXP bits until it is written: beyond any label, and dropped by VXLAN. */
#define LABEL_EXP_SHIFT 24
#define LABEL_EXP_IN_WORD 9

/* -EALREADY: the frame came out of a tunnel in this host and still says so. Its inner offsets
 * remain true, so it can be grown without being marked again (docs/packet-path.md). */
#define ERROR_ALREADY (-114)
/* BPF_F_ADJ_ROOM_DECAP_L3_IPV4 of Linux 6.3. */
#define DECAP_L3_IPV4 (1ULL << 7)
/* BPF_F_ADJ_ROOM_DECAP_L3_IPV6 of Linux 6.3, which Debian 12's headers do not know. */
#define DECAP_L3_IPV6 (1ULL << 8)
#define SPARE_BYTES 4

static __always_inline long grow(struct __sk_buff *ctx, __u32 bytes, __u64 flags)
{
	long failure = bpf_skb_adjust_room(ctx, bytes, BPF_ADJ_ROOM_MAC,
					   flags | BPF_F_ADJ_ROOM_FIXED_GSO);

	if (likely(failure != ERROR_ALREADY))
		return failure;
	/* Growing without marks leaves the kernel's idea of the protocol alone. Only shrinking can
	 * change it, so IPv6 grows too far and comes back as IPv4; otherwise the kernel would
	 * segment the outer header as if it were IPv6. */
	if (ctx->protocol != bpf_htons(ETH_P_IPV6))
		return bpf_skb_adjust_room(ctx, bytes, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO);
	failure = bpf_skb_adjust_room(ctx, bytes + SPARE_BYTES, BPF_ADJ_ROOM_MAC,
				      BPF_F_ADJ_ROOM_FIXED_GSO);
	if (failure || !bpf_skb_adjust_room(ctx, -SPARE_BYTES, BPF_ADJ_ROOM_MAC,
					    BPF_F_ADJ_ROOM_FIXED_GSO | DECAP_L3_IPV4))
		return failure;
	/* Before Linux 6.3 it stays IPv6, which only segmentation looks at (ADR 0235). */
	return bpf_skb_adjust_room(ctx, -SPARE_BYTES, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO);
}

/* `word` n of 8 bytes of the template, at byte n of the frame. */
#define COPY_WORD(to, from, n) (*(__u64 *)((to) + (n)) = *(const __u64 *)((from) + (n)))

/* Length, DSCP with ECN and checksum of the outer IPv4 header. `ip_bytes` wraps for GSO frames
 * near 64 KiB; their segments get lengths of their own. */
static __always_inline void finish_ip(void *frame, const struct nexthop *nh, __u32 ip_bytes,
				      __u8 tos)
{
	const __be16 length = bpf_htons(ip_bytes);
	__u32 sum = nh->outer_checksum + length + bpf_htons(tos);

	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	*(__u8 *)(frame + OUTER_TOS_OFFSET) = tos;
	*(__be16 *)(frame + OUTER_LENGTH_OFFSET) = length;
	*(__u16 *)(frame + OUTER_CHECKSUM_OFFSET) = ~sum;
}

static __always_inline __be32 label_word(__u32 label)
{
	return bpf_htonl(label << LABEL_SHIFT | (label >> LABEL_EXP_SHIFT) << LABEL_EXP_IN_WORD |
			 LABEL_BOTTOM | LABEL_TTL);
}

/* The Ethernet header under a tunnel header. `mac` is the decision's, never the sender's choice:
 * policy judged the route's owner. */
static __always_inline void write_inner_ethernet(void *at, const struct packet *p, const __u8 *mac)
{
	mac_copy(at, mac);
	if (p->flags & PACKET_TO_GATEWAY)
		mac_set_gateway(at + 6);
	else
		mac_copy(at + 6, p->source_mac);
	*(__be16 *)(at + 12) = p->ethertype;
}

#endif
