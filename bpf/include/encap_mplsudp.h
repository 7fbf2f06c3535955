/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* MPLS over UDP, RFC 7510: UDP checksum zero, entropy in the source port. */
#ifndef SKYTRAIL_ENCAP_MPLSUDP_H
#define SKYTRAIL_ENCAP_MPLSUDP_H

#include "encap.h"

#define MPLSUDP_PORT 6635
#define MPLSUDP_LABEL_OFFSET 42
#define MPLSUDP_BYTES 46 /* Whole outer header, Ethernet included. */
#define MPLSUDP_ROOM (MPLSUDP_BYTES - ETHERNET_BYTES)
#define MPLSUDP_FLAGS (BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP)

/* 0 when the outer header is written; the inner Ethernet header is the caller's. */
static __always_inline int encap_mplsudp(struct __sk_buff *ctx, const struct nexthop *nh,
					 __u32 label, __be16 entropy, __u8 tos)
{
	const __u32 ip_bytes = ctx->len - ETHERNET_BYTES;
	void *frame = packet_data(ctx);

	if (frame + MPLSUDP_BYTES > packet_end(ctx))
		return -1;
	COPY_WORD(frame, nh->header, 0);
	COPY_WORD(frame, nh->header, 8);
	COPY_WORD(frame, nh->header, 16);
	COPY_WORD(frame, nh->header, 24);
	COPY_WORD(frame, nh->header, 32);
	*(__be16 *)(frame + 40) = 0;
	*(__be16 *)(frame + OUTER_L4_OFFSET) = entropy;
	*(__be16 *)(frame + OUTER_UDP_LENGTH_OFFSET) = bpf_htons(ip_bytes - 20);
	*(__be32 *)(frame + MPLSUDP_LABEL_OFFSET) = label_word(label);
	finish_ip(frame, nh, ip_bytes, tos);
	return 0;
}

#endif
