/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a tunnel's outer header leaves behind in the packet it carried. */
#ifndef SKYTRAIL_DECAP_H
#define SKYTRAIL_DECAP_H

#include <linux/ip.h>
#include <linux/ipv6.h>
#include "encap.h"

#define ECN_MASK 3
#define ECN_CE 3

/* What the kernel has to be told of a packet that leaves its tunnel: only a change of the family.
 * What is not IP is called IPv4, of which the kernel wants to keep the least. */
static __always_inline __u64 decap_flags(const struct __sk_buff *ctx, __u32 family)
{
	if (family == FAMILY_V6)
		return DECAP_L3_IPV6;
	return unlikely(ctx->protocol == bpf_htons(ETH_P_IPV6)) ? DECAP_L3_IPV4 : 0;
}

/* Before Linux 6.3 the kernel cannot be told of a change of the family, which `flags` are for. It is
 * changed as if the packet were translated, which takes off the first bytes of the outer header or puts
 * some before it, and keeps what a large packet (GSO) says of its inner family (ADR 0401). Were the old
 * one kept, the kernel would look for its header to cut large packets, and drop them. */
static __noinline long decap_untold(struct __sk_buff *ctx, __u32 bytes, __u64 flags)
{
	const __u32 difference = sizeof(struct ipv6hdr) - sizeof(struct iphdr);

	if (flags & DECAP_L3_IPV4) {
		/* Before the shrinking, as less has to be left of what is no IPv6. */
		if (bpf_skb_change_proto(ctx, bpf_htons(ETH_P_IP), 0))
			return -1;
		bytes -= difference;
	} else if (ctx->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_change_proto(ctx, bpf_htons(ETH_P_IPV6), 0))
			return -1;
		bytes += difference;
	}
	return bpf_skb_adjust_room(ctx, -(__s32)bytes, BPF_ADJ_ROOM_MAC, BPF_F_ADJ_ROOM_FIXED_GSO);
}

/* RFC 6040 §4.2: congestion seen by the tunnel reaches the inner header. */
static __always_inline int copy_congestion(struct __sk_buff *ctx, const struct packet *p,
					   __u32 family)
{
	void *ip = packet_data(ctx) + (p->l3 & OFFSET_MASK);

	if (likely((p->outer_tos & ECN_MASK) != ECN_CE || (p->tos & ECN_MASK) == ECN_CE))
		return DROP_NONE;
	if (!(p->tos & ECN_MASK))
		return DROP_ECN;
	if (ip + sizeof(struct iphdr) > packet_end(ctx))
		return DROP_TRUNCATED;
	if (family == FAMILY_V6) {
		*(__u8 *)(ip + 1) |= ECN_CE << 4;
	} else {
		struct iphdr *ip4 = ip;
		const __u8 marked = ip4->tos | ECN_CE;
		__u32 sum = (__u16)~ip4->check + (__u16)~bpf_htons(ip4->tos) + bpf_htons(marked);

		sum = (sum & 0xffff) + (sum >> 16);
		sum = (sum & 0xffff) + (sum >> 16);
		ip4->check = ~sum;
		ip4->tos = marked;
	}
	return DROP_NONE;
}

#endif
