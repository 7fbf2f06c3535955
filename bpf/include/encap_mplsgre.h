/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* MPLS over GRE, RFC 4023: plain four-byte GRE header. */
#ifndef SKYTRAIL_ENCAP_MPLSGRE_H
#define SKYTRAIL_ENCAP_MPLSGRE_H

#include "encap.h"

#define MPLSGRE_PROTOCOL 0x8847
#define MPLSGRE_LABEL_OFFSET 38
#define MPLSGRE_BYTES 42
#define MPLSGRE_ROOM (MPLSGRE_BYTES - ETHERNET_BYTES)
#define MPLSGRE_FLAGS (BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_GRE)

static __always_inline int encap_mplsgre(struct __sk_buff *ctx, const struct nexthop *nh,
					 __u32 label, __u8 tos)
{
	void *frame = packet_data(ctx);

	if (frame + MPLSGRE_BYTES > packet_end(ctx))
		return -1;
	COPY_WORD(frame, nh->header, 0);
	COPY_WORD(frame, nh->header, 8);
	COPY_WORD(frame, nh->header, 16);
	COPY_WORD(frame, nh->header, 24);
	COPY_WORD(frame, nh->header, 30);
	*(__be32 *)(frame + MPLSGRE_LABEL_OFFSET) = label_word(label);
	finish_ip(frame, nh, ctx->len - ETHERNET_BYTES, tos);
	return 0;
}

#endif
