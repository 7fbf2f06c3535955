/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Copies of packets for analyzers, first half: a clone of the frame goes to a device of the agent's,
 * whose mark says which mirror it is for. The frame itself is not touched: what is put in front of
 * the copy is put there by `mirror_ingress`, at the other end of that device (mirror_send.h), after
 * the kernel has cut the clone of a large frame into packets and finished its checksums.
 *
 * A copy is never copied: what comes to a host from a tunnel says by its outer source port or label
 * TTL that it is one.
 */
#ifndef SKYTRAIL_MIRROR_H
#define SKYTRAIL_MIRROR_H

#include <linux/ip.h>
#include "encap.h"

/* Below the ports that spread flows, and what no label of a packet has. */
#define COPY_SOURCE_PORT 8097
#define COPY_LABEL_TTL 2

/* For watch_delivered(), beside the rule's mirror: what is delivered is a copy. */
#define IS_COPY (1 << 16)

static __always_inline void mirror_lost(__u32 id)
{
	struct mirror_counters *counters = bpf_map_lookup_elem(&mirror_counters, &id);

	if (counters)
		counters->lost++;
}

VERIFIED_ONCE int mirror_frame(struct __sk_buff *ctx, __u32 id)
{
	const struct settings *now = get_settings();
	const __u32 mark = ctx->mark;

	if (!now || !now->mirror_ifindex) {
		mirror_lost(id);
		return 0;
	}
	ctx->mark = id;
	if (bpf_clone_redirect(ctx, now->mirror_ifindex, 0))
		mirror_lost(id);
	ctx->mark = mark;
	return 0;
}

/* By its rule; 0: none. Only of what passes. */
static __always_inline __u32 flow_mirror(const struct flow *flow)
{
	return unlikely(flow->flags & FLOW_MIRRORED) ? flow->drop_reason : 0;
}

/* A frame that the workload sends, as it is. */
VERIFIED_ONCE int watch_sent(struct __sk_buff *ctx, __u32 vif)
{
	const struct port_mirror *mirror = bpf_map_lookup_elem(&port_mirrors, &vif);

	if (captures_at(CAPTURE_SENT))
		capture_frame(ctx, vif, CAPTURE_SENT);
	if (mirror && mirror->sent)
		mirror_frame(ctx, mirror->sent);
	return 0;
}

/* A frame that is ready for delivery to the workload behind `ifindex`; `rules`: its rule's mirror. */
VERIFIED_ONCE int watch_delivered(struct __sk_buff *ctx, __u32 ifindex, __u32 rules)
{
	const __u32 vif = vif_by_ifindex(ifindex);
	const struct port_mirror *mirror;

	if (captures_at(CAPTURE_DELIVERED))
		capture_frame(ctx, vif, CAPTURE_DELIVERED);
	if (rules & IS_COPY)
		return 0;
	if (rules)
		mirror_frame(ctx, rules);
	mirror = bpf_map_lookup_elem(&port_mirrors, &vif);
	if (mirror && mirror->delivered && mirror->delivered != rules)
		mirror_frame(ctx, mirror->delivered);
	return 0;
}

/* Whether what came out of the underlay, with its outer header, is a copy already. */
static __noinline __u32 arrived_copy(struct __sk_buff *ctx)
{
	const bool over6 = ctx->protocol == bpf_htons(ETH_P_IPV6);
	const __u32 l4 = over6 ? OUTER6_L4_OFFSET : OUTER_L4_OFFSET;
	__u8 protocol, ttl;
	__be16 port;

	if (bpf_skb_load_bytes(ctx, ETHERNET_BYTES + (over6 ? 6 : 9), &protocol, 1) ||
	    bpf_skb_load_bytes(ctx, l4, &port, 2))
		return 0;
	if (protocol == IP_PROTOCOL_UDP)
		return port == bpf_htons(COPY_SOURCE_PORT) ? IS_COPY : 0;
	if (protocol != IP_PROTOCOL_GRE || bpf_skb_load_bytes(ctx, l4 + 7, &ttl, 1))
		return 0;
	return ttl == COPY_LABEL_TTL ? IS_COPY : 0;
}

#endif
