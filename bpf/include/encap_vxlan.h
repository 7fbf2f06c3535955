/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* VXLAN, RFC 7348: always carries an inner Ethernet header. */
#ifndef SKYTRAIL_ENCAP_VXLAN_H
#define SKYTRAIL_ENCAP_VXLAN_H

#include "encap.h"

#define VXLAN_PORT 4789
#define VXLAN_FLAGS_OFFSET 42
#define VXLAN_VNI_OFFSET 46
#define VXLAN_BYTES 50 /* Without the inner Ethernet header. */
#define VXLAN_ROOM VXLAN_BYTES
#define VXLAN_FLAG_VNI 0x08
#define VXLAN_FLAGS                                                                                \
	(BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 | BPF_F_ADJ_ROOM_ENCAP_L4_UDP |                              \
	 BPF_F_ADJ_ROOM_ENCAP_L2(ETHERNET_BYTES) | BPF_F_ADJ_ROOM_ENCAP_L2_ETH)

static __always_inline int encap_vxlan(struct __sk_buff *ctx, const struct nexthop *nh, __u32 vni,
				       __be16 entropy, __u8 tos)
{
	const __u32 ip_bytes = ctx->len - ETHERNET_BYTES;
	void *frame = packet_data(ctx);

	if (frame + VXLAN_BYTES + ETHERNET_BYTES > packet_end(ctx))
		return -1;
	COPY_WORD(frame, nh->header, 0);
	COPY_WORD(frame, nh->header, 8);
	COPY_WORD(frame, nh->header, 16);
	COPY_WORD(frame, nh->header, 24);
	COPY_WORD(frame, nh->header, 32);
	*(__be16 *)(frame + 40) = 0;
	*(__be16 *)(frame + OUTER_L4_OFFSET) = entropy;
	*(__be16 *)(frame + OUTER_UDP_LENGTH_OFFSET) = bpf_htons(ip_bytes - 20);
	*(__be32 *)(frame + VXLAN_FLAGS_OFFSET) = bpf_htonl(VXLAN_FLAG_VNI << 24);
	*(__be32 *)(frame + VXLAN_VNI_OFFSET) = bpf_htonl(vni << 8);
	finish_ip(frame, nh, ip_bytes, tos);
	return 0;
}

#endif
