/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * From a flow miss, a stale generation or a per-packet check to a decision in scratch. Returns
 * PROCEED with scratch->flow set (it may be a denied one) or the packet's final TC action.
 */
#ifndef SKYTRAIL_SLOW_PATH_H
#define SKYTRAIL_SLOW_PATH_H

#include "bgp_service.h"
#include "icmp_related.h"
#include "parse6.h"
#include "service_guard.h"

#define PORT_DHCP_SERVER 67
#define PORT_DHCP6_SERVER 547
#define PORT_DNS 53

/* To an address of the vRouter itself. */
static __always_inline int punt_receive(struct __sk_buff *ctx, const struct flow_key6 *key)
{
	const __u16 port = bpf_ntohs(key->destination_port);

	if (key->protocol == IP_PROTOCOL_UDP && port == PORT_DHCP_SERVER)
		return punt(ctx, PUNT_DHCP);
	if (key->protocol == IP_PROTOCOL_UDP && port == PORT_DHCP6_SERVER)
		return punt(ctx, PUNT_DHCP6);
	if ((key->protocol == IP_PROTOCOL_UDP || key->protocol == IP_PROTOCOL_TCP) &&
	    port == PORT_DNS)
		return punt(ctx, PUNT_DNS);
	return punt(ctx, PUNT_RECEIVE);
}

/* The whole pair of a closed TCP connection goes when its tuple opens again. */
static __always_inline void flow_forget(struct scratch *s, struct flow *flow, __u32 family)
{
	if (flow->flags & FLOW_REVERSE) {
		struct flow *forward;

		mirror_flow(&s->pair_key, &s->key, flow, family);
		forward = flow_find(&s->pair_key, family);
		if (forward && !(forward->flags & FLOW_REVERSE) && forward->pair == flow->pair) {
			s->lone_key = s->pair_key;
			flow_remove(&s->lone_key, forward, &s->pair_key, family);
			return;
		}
		flow_erase(&s->key, family);
		return;
	}
	flow_remove(&s->key, flow, &s->pair_key, family);
}

/* True when nobody needs the flow to be remembered: policy is disabled at both ends that are here, and
 * answers come by themselves. */
static __always_inline bool flow_is_dispensable(const struct scratch *s, const struct interface *vif)
{
	const struct interface *peer = s->flow.peer_vif ? interface_by_vif(s->flow.peer_vif) : vif;

	return vif->options & OPTION_PACKET_MODE && peer && peer->options & OPTION_PACKET_MODE &&
	       !(s->flow.flags & FLOW_TRANSLATED) && !s->fabric;
}

/* No entry: decide and remember. Returns like decide(). */
static __noinline int flow_first(struct __sk_buff *ctx, struct packet *p, struct scratch *s,
				 __u32 family)
{
	struct interface *vif;
	int reason, failure;

	/* Errors leave no flow: the next one of the same tuple may quote something else. */
	if (unlikely(is_icmp_error(p, s->key.protocol, family))) {
		if (!icmp_error_related(ctx, p, s, family) && !fold_related(ctx, p, s, family))
			return decide(s, family, DECIDE_ROUTE | DECIDE_POLICY);
		return s->key.direction == DIRECTION_FROM_WORKLOAD ?
			       decide_from_workload(s, family, DECIDE_ROUTE) :
			       DROP_NONE;
	}
	reason = decide(s, family, DECIDE_ROUTE | DECIDE_POLICY);
	if (reason && reason != DROP_POLICY)
		return reason;
	vif = interface_by_vif(s->key.vif);
	if (vif && unlikely(vif->options & OPTION_FAT)) {
		/* Remembered, it would stand before the answers of a merged flow to come. */
		if (reason && fat_port(s->key.vif, s->key.protocol, s->key.source_port))
			return reason;
		if (!reason)
			fat_merge(s);
	}
	if (vif && unlikely(vif->options & OPTION_FOLDS)) {
		if (reason && folds_answers(s, family))
			return reason;
		if (!reason && fold_question(s, family) > 0)
			return DROP_NONE;
	}
	failure = flow_create(s, family, reason);
	if (failure) {
		s->flow.pair = 0;
		if (!reason && vif && flow_is_dispensable(s, vif))
			return DROP_NONE;
	}
	return reason ?: failure;
}

/* An entry exists but may not be believed as it is. Returns like decide(), -1 for an orphan. */
static __always_inline int flow_again(struct scratch *s, struct flow *flow, __u32 family,
				 __u32 generation)
{
	int reason;

	if (flow->flags & FLOW_REVERSE) {
		if (flow->generation == generation && !(flow->flags & FLOW_BRIDGED)) {
			flow_take(s, flow, family);
			return DROP_NONE;
		}
		reason = reverse_refresh(s, flow, family, generation);
		return reason == PROCEED ? DROP_NONE : reason;
	}
	if (flow->generation == generation && !(flow->flags & FLOW_BRIDGED)) {
		flow_take(s, flow, family);
		return DROP_NONE;
	}
	return flow_refresh(s, flow, family, generation);
}

VERIFIED_ONCE int flow_miss(struct __sk_buff *ctx, struct packet *p, __u32 family)
{
	struct scratch *s = get_scratch();
	struct settings *now = get_settings();
	struct interface *vif;
	struct flow *flow;
	bool link_local = false, fresh = true, to_service;
	int reason = -1;

	if (!s || !now || !p)
		return drop(ctx, DROP_INTERFACE_UNKNOWN);
	flow_begin(ctx, s, p, family);
	vif = interface_by_vif(s->key.vif);
	if (!vif)
		return drop(ctx, DROP_INTERFACE_UNKNOWN);
	/* A network that only bridges has no vRouter that they could be for. */
	if (family == FAMILY_V6 && !(vif->options & OPTION_LAYER2))
		link_local = is_link_local(s->key.source) || is_link_local(s->key.destination);
	to_service = link_local && s->key.direction == DIRECTION_FROM_WORKLOAD &&
		     is_to_link_service(s);
	if (s->key.direction == DIRECTION_FROM_WORKLOAD) {
		if (vif->flags & INTERFACE_ANTISPOOF) {
			reason = DROP_NONE;
			/* To a link-local service as well nobody sends by another's address. */
			if (!link_local || !mac_equal(p->source_mac, vif->mac) ||
			    (to_service && !is_link_local(s->key.source)))
				reason = source_check(s->key.vif, s->key.source, p->source_mac,
						      family);
			if (reason)
				return drop(ctx, reason);
			if (is_dhcp_answer(s->key.source_port, s->key.destination_port,
					   s->key.protocol))
				return drop(ctx, DROP_DHCP_SERVER);
		}
	}
	/* They only ever reach the vRouter itself, and never leave a flow that would let others by. */
	if (link_local && !to_service) {
		reason = DROP_LINK_LOCAL;
		if (s->key.direction == DIRECTION_FROM_WORKLOAD)
			reason = decide_from_workload(s, family, DECIDE_ROUTE);
		if (reason == DECIDED_RECEIVE)
			return punt_receive(ctx, &s->key);
		return drop(ctx, DROP_LINK_LOCAL);
	}
	s->flow.generation = now->generation;
	flow = flow_find(&s->key, family);
	if (!flow && unlikely(vif->options & OPTION_FAT)) {
		flow = fat_find(&s->key, family, p->flags & PACKET_OPENS);
		s->merged = !!flow;
	}
	reason = -1;
	/* Who opens a connection answers nobody. */
	if (!flow && unlikely(vif->options & OPTION_FOLDS) && !(p->flags & PACKET_OPENS))
		reason = fold_answer(s, family);
	if (flow && !s->merged && flow_reopens(flow, p)) {
		flow_forget(s, flow, family);
	} else if (flow) {
		reason = flow_again(s, flow, family, now->generation);
		fresh = false;
		/* A denied connection takes its answers along, but not a new one of the far end. */
		if (reason == DROP_POLICY && p->flags & PACKET_OPENS && flow->flags & FLOW_REVERSE)
			reason = -1;
		/* Merged flows are admitted ones; each connection is then judged by itself. */
		if (s->merged && reason > 0) {
			if (!(flow->flags & FLOW_REVERSE))
				reason = -1;
			flow_forget(s, flow, family);
			fresh = true;
		}
	}
	if (reason == -1) {
		if (!fresh)
			flow_erase(&s->key, family);
		flow_begin(ctx, s, p, family);
		s->flow.generation = now->generation;
		reason = flow_first(ctx, p, s, family);
	}
	if (reason == DECIDED_RECEIVE) {
		if (s->key.protocol == IP_PROTOCOL_TCP &&
		    s->key.destination_port == bpf_htons(PORT_BGP))
			return family == FAMILY_V4 ? bgp_to_control(ctx, p) : bgp_to_relay(ctx);
		return punt_receive(ctx, &s->key);
	}
	if (reason == DECIDED_FLOOD)
		return s->key.direction == DIRECTION_FROM_WORKLOAD ? FLOOD :
								     drop(ctx, DROP_NO_ROUTE);
	if (reason == DROP_NONE)
		return PROCEED;
	/* Only workloads are told: a frame of a tunnel is not theirs. */
	if (reason == DROP_NO_ROUTE && s->key.direction == DIRECTION_FROM_WORKLOAD)
		return drop_and_tell(ctx, reason, PUNT_ICMP_UNREACHABLE, 0);
	if (reason == DROP_POLICY && s->flow.pair) {
		flow_count(ctx, &s->flow);
		return drop(ctx, reason);
	}
	return drop(ctx, reason);
}

/* RST, or FIN of both sides: the pair ages out soon, or goes when the tuple opens again. After one
 * FIN the other side may still take its time to answer. */
VERIFIED_ONCE int flow_close(struct __sk_buff *ctx, struct packet *p, __u32 family)
{
	struct scratch *s = get_scratch();
	struct flow *flow, *pair;
	__u8 tcp_flags = 0;

	if (!s || !p)
		return 0;
	if (family == FAMILY_V4)
		to_key6(&s->key, &p->key4);
	else
		s->key = p->key6;
	flow = flow_find(&s->key, family);
	if (!flow || (flow->flags & FLOW_CLOSED))
		return 0;
	mirror_flow(&s->pair_key, &s->key, flow, family);
	pair = flow_find(&s->pair_key, family);
	bpf_skb_load_bytes(ctx, p->l4 + TCP_FLAGS_OFFSET, &tcp_flags, 1);
	if (!(tcp_flags & TCP_RST)) {
		flow->flags |= FLOW_FINISHED;
		if (pair && !(pair->flags & FLOW_FINISHED))
			return 0;
	}
	flow->flags |= FLOW_CLOSED;
	if (pair)
		pair->flags |= FLOW_CLOSED;
	return 0;
}

#endif
