/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Path MTU: the size check, and the MSS of connections that begin.
 *
 * The datapath never fragments. What does not fit is dropped under its reason and the agent tells
 * the sender, also for IPv4 without DF: senders learn the path MTU either way.
 */
#ifndef SKYTRAIL_MTU_H
#define SKYTRAIL_MTU_H

#include "parse6.h"

#define TCP_OPTION_END 0
#define TCP_OPTION_NOP 1
#define TCP_OPTION_MSS 2
#define TCP_OPTION_MSS_BYTES 4
#define TCP_OPTIONS_MAX 20
#define TCP_CHECKSUM_OFFSET 16

/* A GSO packet leaves as segments: each of them must fit. */
static __always_inline bool exceeds_mtu(const struct __sk_buff *ctx, const struct packet *p,
					__u32 mtu)
{
	const __u32 segment = ctx->gso_size;

	if (segment)
		return segment + p->segment_header_bytes > mtu;
	/* With what follows the packet: it leaves with it. */
	return ctx->len - p->l3 > mtu;
}

/* Lowers the MSS option of a SYN so that full segments fit into `mtu`. */
VERIFIED_ONCE int clamp_mss(struct __sk_buff *ctx, const struct packet *p, __u32 mtu,
				__u32 family)
{
	const __u32 headers = (family == FAMILY_V4 ? 20 : 40) + sizeof(struct tcphdr);
	__u32 offset, end;
	const __be16 clamped = bpf_htons(mtu - headers);
	__u8 option[TCP_OPTION_MSS_BYTES];
	int i;

	if (!p || mtu <= headers)
		return 0;
	offset = p->l4 + sizeof(struct tcphdr);
	end = p->l3 + p->segment_header_bytes;
	for (i = 0; i < TCP_OPTIONS_MAX; i++) {
		if (offset + TCP_OPTION_MSS_BYTES > end ||
		    bpf_skb_load_bytes(ctx, offset, option, sizeof(option)))
			return 0;
		if (option[0] == TCP_OPTION_END)
			return 0;
		if (option[0] == TCP_OPTION_NOP) {
			offset += 1;
			continue;
		}
		if (option[0] == TCP_OPTION_MSS && option[1] == TCP_OPTION_MSS_BYTES) {
			const __be16 offered = *(__be16 *)(option + 2);
			/* RFC 1071: at an odd place the two bytes belong to other words, as if
			 * swapped. By shifts: a branch in this loop is too much to verify. */
			const __u32 swap = ((offset - p->l4) & 1) * 8;

			if (bpf_ntohs(offered) <= mtu - headers)
				return 0;
			bpf_l4_csum_replace(ctx, p->l4 + TCP_CHECKSUM_OFFSET,
					    (__u16)(offered << swap | offered >> swap),
					    (__u16)(clamped << swap | clamped >> swap),
					    sizeof(clamped));
			return bpf_skb_store_bytes(ctx, offset + 2, &clamped, sizeof(clamped), 0);
		}
		if (option[1] < 2)
			return 0;
		offset += option[1];
	}
	return 0;
}

#endif
