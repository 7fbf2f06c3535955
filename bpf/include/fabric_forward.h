/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Packets of translated flows between workloads and the host's own network, whose routes the kernel
 * knows: out by its underlay interface, and what comes back to the host's address.
 */
#ifndef SKYTRAIL_FABRIC_FORWARD_H
#define SKYTRAIL_FABRIC_FORWARD_H

#include <linux/bpf.h>
#include "receive.h"

/* Out by the underlay interface, to the router or neighbour that the kernel knows for it. */
static __noinline int fabric_route(struct __sk_buff *ctx, __be32 source, __be32 destination,
				   __u32 out_ifindex)
{
	struct bpf_fib_lookup lookup = {
		.family = FAMILY_INET,
		.ifindex = out_ifindex,
		.ipv4_src = source,
		.ipv4_dst = destination,
	};
	struct bpf_redir_neigh neighbour = { .nh_family = FAMILY_INET };

	switch (bpf_fib_lookup(ctx, &lookup, sizeof(lookup), BPF_FIB_LOOKUP_OUTPUT)) {
	case BPF_FIB_LKUP_RET_SUCCESS:
	case BPF_FIB_LKUP_RET_NO_NEIGH:
		neighbour.ipv4_nh = lookup.ipv4_dst;
		return bpf_redirect_neigh(out_ifindex, &neighbour, sizeof(neighbour), 0);
	case BPF_FIB_LKUP_RET_FWD_DISABLED:
		/* A host that is no router is not asked that way; sending asks its routes itself. */
		return bpf_redirect_neigh(out_ifindex, NULL, 0, 0);
	}
	return drop(ctx, DROP_FABRIC_ROUTE);
}

/* A workload's packet whose next hop is NEXTHOP_FABRIC. */
VERIFIED_ONCE int send_to_fabric(struct __sk_buff *ctx, const struct packet *p,
				 const struct flow *flow)
{
	const struct nexthop *nh;
	__u32 out_ifindex, is_routed;
	int reason;

	if (!p || !flow)
		return drop(ctx, DROP_NEXTHOP);
	nh = nexthop_lookup(flow->nexthop);
	/* What has a workload's own source never leaves this way. */
	if (!nh || !(flow->flags & FLOW_TRANSLATED))
		return drop(ctx, DROP_NEXTHOP);
	out_ifindex = nh->out_ifindex;
	is_routed = nh->flags & NEXTHOP_ROUTED;
	if (exceeds_mtu(ctx, p, nh->mtu))
		return drop_and_tell(ctx, DROP_TOO_BIG, PUNT_ICMP_TOO_BIG, nh->mtu);
	if (p->flags & PACKET_SYN)
		clamp_mss(ctx, p, nh->mtu, FAMILY_V4);
	reason = decrement_ttl(ctx, p, FAMILY_V4);
	if (reason == DROP_TTL)
		return drop_and_tell(ctx, reason, PUNT_ICMP_TTL_EXCEEDED, 0);
	if (reason)
		return drop(ctx, reason);
	if (translate(ctx, p, flow))
		return drop(ctx, DROP_TRANSLATION);
	if (is_routed)
		return uplink_forward(ctx, flow->to.source, flow->to.destination);
	return fabric_route(ctx, flow->to.source, flow->to.destination, out_ifindex);
}

/* The flow of an ICMP error to the host's address is the workload's whose packet it quotes: its
 * interface, 0 when the error is for the host itself. */
static __noinline __u32 fabric_error(struct __sk_buff *ctx, struct packet *p, struct scratch *s)
{
	const struct flow *about;

	flow_begin(ctx, s, p, FAMILY_V4);
	if (!icmp_error_related(ctx, p, s, FAMILY_V4))
		return 0;
	about = flow_find(&s->lone_key, FAMILY_V4);
	return about ? about->peer_vif : 0;
}

/* A packet to the host's address that is no tunnel's: an answer to a workload, or the host's own. */
VERIFIED_ONCE int fabric_receive(struct __sk_buff *ctx, struct packet *p)
{
	const __u32 underlay_id = vif_by_ifindex(ctx->ifindex);
	const struct interface *underlay = interface_by_vif(underlay_id);
	const struct settings *now = get_settings();
	const struct interface *to;
	struct scratch *s;
	struct flow *flow;
	__u32 vif;
	int reason;

	if (!p || !now || !underlay || !(underlay->flags & INTERFACE_TRANSLATES))
		return PASS;
	p->l3 = ETHERNET_BYTES;
	p->ethertype = bpf_htons(ETH_P_IP);
	p->key4.vif = underlay_id;
	p->key4.direction = DIRECTION_FROM_WORKLOAD;
	/* What cannot be read is not for us to judge. */
	if (parse_ipv4(ctx, p))
		return PASS;
	s = get_scratch();
	if (!s)
		return PASS;
	if (unlikely(is_icmp_error(p, p->key4.protocol, FAMILY_V4))) {
		vif = fabric_error(ctx, p, s);
		if (!vif)
			return PASS;
		flow = &s->flow;
	} else {
		flow = flow_of_argument(p, FAMILY_V4);
		if (!flow)
			return PASS;
		if (unlikely(flow->generation != now->generation || flow_reopens(flow, p))) {
			const int action = flow_miss(ctx, p, FAMILY_V4);

			if (action != PROCEED)
				return action;
			flow = &s->flow;
		}
		vif = flow->peer_vif;
		set_vif(ctx, vif);
		flow_count(ctx, flow);
		if (unlikely(flow->flags & FLOW_DENY))
			return drop(ctx, flow->drop_reason);
		if (unlikely(p->flags & PACKET_CLOSES))
			flow_close(ctx, p, FAMILY_V4);
	}
	set_vif(ctx, vif);
	to = interface_by_vif(vif);
	if (unlikely(!to || !to->kind || !(flow->flags & FLOW_TRANSLATED)))
		return drop(ctx, DROP_INTERFACE_UNKNOWN);
	if (unlikely(p->flags & PACKET_SYN))
		clamp_mss(ctx, p, to->mtu, FAMILY_V4);
	if (unlikely(exceeds_mtu(ctx, p, to->mtu)))
		return drop(ctx, DROP_TOO_BIG);
	reason = decrement_ttl(ctx, p, FAMILY_V4);
	if (unlikely(reason))
		return drop(ctx, reason);
	if (translate(ctx, p, flow))
		return drop(ctx, DROP_TRANSLATION);
	return shrink_and_deliver(ctx, p, to, true, 0, flow_mirror(flow));
}

#endif
