/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A tunnel packet whose outer UDP sum is still to be computed. A router leaves that to its device, and
 * between namespaces or machines of one host no device does it. The kernel notes of a packet only that
 * one sum is unfinished (CHECKSUM_PARTIAL) and where, so a change of the inner packet would be made as
 * if it were the inner sum; and the note would stay when the outer header is gone (ADR 0400).
 */
#ifndef SKYTRAIL_OUTER_SUM_H
#define SKYTRAIL_OUTER_SUM_H

#include <linux/ip.h>
#include <linux/ipv6.h>
#include "encap.h"
#include "rewrite.h"

/* UDP's own header, and so much that the kernel is beyond its beginning with the Ethernet header that
 * it keeps. All of it is there in every tunnel: a label and an IP header, or VXLAN's header. */
#define OUTER_SUM_BEYOND 16
#define IP_WORDS(header, field) (offsetof(struct header, field) / sizeof(__be32))
#define IP_WORDS_OF(header) (sizeof(struct header) / sizeof(__be32))

/* Whether the sum is what an unfinished one is. The finished one may be the same by chance, which costs
 * time and nothing else. */
static __always_inline bool is_pseudo_sum(const __be32 *head, __u32 addresses, __u32 l4_words)
{
	const struct udphdr *udp = (const struct udphdr *)(head + l4_words);
	__u64 sum = 0;
	__u32 i;

#pragma unroll
	for (i = addresses; i < l4_words; i++)
		sum += head[i];
	return udp->check == udp_pseudo_sum(sum, udp);
}

/* Takes headers off and makes room for them again: the kernel forgets of an unfinished sum when what it
 * is in goes, and keeps in mind one that lies further inside. Fails if the packet is spoilt. */
static __always_inline long take_off(struct __sk_buff *ctx)
{
	const __s32 bytes = sizeof(struct iphdr) + OUTER_SUM_BEYOND;

	/* Less than a header would be left: of such packets nothing is changed. */
	if (bpf_skb_adjust_room(ctx, -bytes, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO))
		return 0;
	return bpf_skb_adjust_room(ctx, bytes, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO);
}

/* For a tunnel over IPv4 without options whose UDP sum is not zero. Large packets (GSO) have theirs
 * prepared for each segment, and what the kernel notes is the inner sum. */
static __noinline long settle_outer_sum(struct __sk_buff *ctx)
{
	__be32 head[(sizeof(struct iphdr) + OUTER_SUM_BEYOND) / sizeof(__be32)];

	if (ctx->gso_size || bpf_skb_load_bytes(ctx, ETHERNET_BYTES, head, sizeof(head)) ||
	    !is_pseudo_sum(head, IP_WORDS(iphdr, saddr), IP_WORDS_OF(iphdr)))
		return 0;
	return take_off(ctx) ?: bpf_skb_store_bytes(ctx, ETHERNET_BYTES, head, sizeof(head),
						    BPF_F_RECOMPUTE_CSUM);
}

/* Likewise over IPv6. A header of the family that the kernel knows must be left, which is more than the
 * shortest packets have: it is IPv4 for the while, as in a translation between the two. */
static __noinline long settle_outer_sum6(struct __sk_buff *ctx)
{
	__be32 head[(sizeof(struct ipv6hdr) + OUTER_SUM_BEYOND) / sizeof(__be32)];

	if (ctx->gso_size || bpf_skb_load_bytes(ctx, ETHERNET_BYTES, head, sizeof(head)) ||
	    !is_pseudo_sum(head, IP_WORDS(ipv6hdr, saddr), IP_WORDS_OF(ipv6hdr)))
		return 0;
	return bpf_skb_change_proto(ctx, bpf_htons(ETH_P_IP), 0) ?:
	       take_off(ctx) ?:
	       bpf_skb_change_proto(ctx, bpf_htons(ETH_P_IPV6), 0) ?:
	       bpf_skb_store_bytes(ctx, ETHERNET_BYTES, head, sizeof(head), BPF_F_RECOMPUTE_CSUM);
}

#endif
