/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What remembers a decision: the pair of entries, their limits, and their renewal after a change.
 */
#ifndef SKYTRAIL_FLOW_WRITE_H
#define SKYTRAIL_FLOW_WRITE_H

#include "decide.h"

/* Deny flows only save time. They may use half of an interface's share, so that probing cannot
 * starve its real flows, and little of the table, so that probing interfaces starve no others. */
#define DENY_SHARE 2
#define DENY_TABLE_SHARE 64
/* The last eighth of the table is for interfaces that hold little of it: two greedy ones would
 * otherwise leave nothing to the others. */
#define RESERVE_SHARE 8
#define MODEST_SHARE 64

static __always_inline void scratch_begin(struct scratch *s, const struct packet *p, __u32 family)
{
	if (family == FAMILY_V4)
		to_key6(&s->key, &p->key4);
	else
		s->key = p->key6;
	__builtin_memset(&s->flow6, 0, sizeof(s->flow6));
	s->back_from = 0;
	s->back_vif = 0;
	s->quotes = 0;
	s->kept_port = 0;
	s->merged = 0;
	s->by_source_port = 0;
	mac_copy(s->flow.mac, p->destination_mac);
	mac_copy(s->flow.source_mac, p->source_mac);
	s->flow.policy_port = p->policy_port;
	s->flow.entropy =
		bpf_htons(ENTROPY_PORT_FIRST + (flow_hash(&s->key) & ENTROPY_PORT_MASK));
}

/* scratch_begin() for what may become a flow; a frame from a tunnel still has its outer header. */
static __always_inline void flow_begin(struct __sk_buff *ctx, struct scratch *s,
				       const struct packet *p, __u32 family)
{
	scratch_begin(s, p, family);
	if (s->key.direction == DIRECTION_FROM_UNDERLAY && p->l3 != ETHERNET_BYTES)
		bpf_skb_load_bytes(ctx,
				   ctx->protocol == bpf_htons(ETH_P_IPV6) ? OUTER6_SOURCE_END :
									    OUTER_SOURCE_OFFSET,
				   &s->flow.came_from, sizeof(s->flow.came_from));
}

/* The same where the stack is short of room. */
static __noinline int flow_begin_again(struct __sk_buff *ctx, struct scratch *s,
				       const struct packet *p, __u32 family)
{
	flow_begin(ctx, s, p, family);
	return 0;
}

/* Stores the reverse entry of s->key / s->flow, in place of whatever lone entry is there. */
static __noinline long reverse_insert(struct scratch *s, __u32 family)
{
	const __u16 peer_vif = s->flow.peer_vif, nexthop = s->flow.nexthop;
	const __u32 generation = s->flow.generation, label = s->flow.label;
	const __u8 flags = s->flow.flags;
	struct flow *present;
	long failure;

	mirror_decided(s);
	present = flow_find(&s->pair_key, family);
	if (present) {
		if (present->flags & FLOW_REVERSE) {
			if (present->pair == s->flow.pair)
				return 0;
			/* Another CPU gave the same port of the host away just now. */
			if (s->fabric)
				return -1;
			flow_erase(&s->pair_key, family);
		} else {
			s->lone_key = s->pair_key;
			flow_remove(&s->lone_key, present, &s->pair_key, family);
			s->pair_key = s->lone_key;
		}
	}
	s->flow.flags = FLOW_REVERSE | (flags & (FLOW_TRANSLATED | FLOW_MIRRORED | FLOW_BRIDGED));
	translate_mirrored(s, &s->key);
	s->flow.peer_vif = peer_vif ? s->key.vif : 0;
	/* Its own way out is looked up when it is first used; delivery needs none. */
	if (s->pair_key.direction == DIRECTION_FROM_WORKLOAD)
		s->flow.generation = 0;
	s->flow.nexthop = 0;
	s->flow.label = 0;
	failure = flow_insert(&s->pair_key, &s->flow, family);
	s->flow.flags = flags;
	s->flow.peer_vif = peer_vif;
	s->flow.generation = generation;
	s->flow.nexthop = nexthop;
	s->flow.label = label;
	translate_mirrored(s, &s->pair_key);
	return failure;
}

/* True when what is left of the table is not for an interface that owns so many flows. */
static __always_inline bool table_reserved(__u32 owned)
{
	const __u32 everybody = 0, size = limits.flow_pairs_max;
	const __u32 *used = bpf_map_lookup_elem(&interface_flows, &everybody);

	return used && *used >= size - size / RESERVE_SHARE && owned >= size / MODEST_SHARE;
}

/* True when the interfaces of one machine have all the flows it may have. Nothing is counted by
 * machine, so that an interface that comes to another one takes its flows along. */
static __noinline bool machine_exceeds(__u32 vif_id)
{
	const struct flow_share *share = bpf_map_lookup_elem(&flow_shares, &vif_id);
	__u32 i, id, limit, sum = 0;
	const __u32 *owned;

	if (!share)
		return false;
	limit = share->limit > limits.flow_limit_default ? share->limit : limits.flow_limit_default;
	if (share->parts)
		limit = limit / share->parts ?: 1;
	for (i = 0; i < FLOW_SHARE_MEMBERS_MAX; i++) {
		if (i >= share->used)
			break;
		id = share->vif[i];
		owned = bpf_map_lookup_elem(&interface_flows, &id);
		if (owned)
			sum += *owned;
	}
	return sum >= limit;
}

/* Stores the decision in s->flow under s->key. DROP_NONE, or why it cannot be stored. */
static __noinline int flow_create(struct scratch *s, __u32 family, __u32 reason)
{
	const __u32 vif_id = s->key.vif;
	struct interface *vif = interface_by_vif(vif_id);
	__u32 *owned = bpf_map_lookup_elem(&interface_flows, &vif_id);
	__u32 limit;

	if (!vif || !owned)
		return DROP_INTERFACE_UNKNOWN;
	limit = vif->flow_count_max ?: limits.flow_limit_default;
	if (reason) {
		limit /= DENY_SHARE;
		if (limit > limits.flow_pairs_max / DENY_TABLE_SHARE)
			limit = limits.flow_pairs_max / DENY_TABLE_SHARE;
	}
	if (*owned >= limit)
		return DROP_FLOW_LIMIT;
	if (machine_exceeds(vif_id))
		return DROP_FLOW_LIMIT_MACHINE;
	if (table_reserved(*owned))
		return DROP_FLOW_TABLE_FULL;
	s->flow.pair = pair_allocate();
	if (!s->flow.pair)
		return DROP_FLOW_TABLE_FULL;
	s->flow.created_ns = bpf_ktime_get_ns();
	if (reason) {
		mirror_nothing(s);
		s->flow.drop_reason = reason;
	}
	if (reason)
		s->flow.flags |= FLOW_DENY;
	else if (!(s->key.direction & DIRECTION_FOLDED))
		s->flow.flags |= FLOW_HAS_PAIR;
	if (flow_insert(&s->key, &s->flow, family)) {
		pair_free(s->flow.pair);
		s->flow.pair = 0;
		/* Another CPU was first with the same flow: use ours for this packet only. */
		return flow_find(&s->key, family) ? DROP_NONE : DROP_FLOW_TABLE_FULL;
	}
	interface_flows_add(vif_id, 1);
	if (unlikely(sessions_are_wanted()))
		session_tell(&s->key, &s->flow,
			     session_what(family, SESSION_BEGIN, s->far_identity));
	if (s->flow.flags & FLOW_HAS_PAIR && reverse_insert(s, family)) {
		flow_remove(&s->key, &s->flow, &s->pair_key, family);
		return DROP_FLOW_TABLE_FULL;
	}
	return DROP_NONE;
}

/* Evaluates the live forward entry of s->key again and writes the answer into it. `flow` is a
 * table entry; s->flow is left as its copy. Returns the reason it is now denied or unroutable. */
static __noinline int flow_refresh(struct scratch *s, struct flow *flow, __u32 family,
				   __u32 generation)
{
	const __u16 peer_vif = flow->peer_vif;
	const __u8 had_pair = flow->flags & FLOW_HAS_PAIR;
	int reason;

	s->flow.nexthop = flow->nexthop;
	s->flow.label = flow->label;
	s->flow.pair = flow->pair;
	s->flow.entropy = flow->entropy;
	s->flow.policy_port = flow->policy_port;
	s->flow.created_ns = flow->created_ns;
	s->flow.flags = flow->flags;
	s->flow.drop_reason = 0;
	s->kept_port = flow->flags & FLOW_TRANSLATED ? flow->to.source_port : 0;
	if (!s->flow.came_from)
		s->flow.came_from = flow->came_from;
	reason = decide(s, family, DECIDE_ROUTE | DECIDE_POLICY);
	if (reason && reason != DROP_POLICY)
		return reason;
	if (had_pair && (s->flow.peer_vif != peer_vif || translates_anew(s, flow, family))) {
		/* The far end moved: the old mirror image is nobody's any more. */
		struct flow *reverse;

		mirror_flow(&s->pair_key, &s->key, flow, family);
		reverse = flow_find(&s->pair_key, family);
		if (reverse && (reverse->flags & FLOW_REVERSE) && reverse->pair == flow->pair)
			flow_erase(&s->pair_key, family);
	}
	s->flow.generation = generation;
	if (reason) {
		mirror_nothing(s);
		s->flow.flags |= FLOW_DENY;
		s->flow.drop_reason = reason;
	} else {
		s->flow.flags |= FLOW_HAS_PAIR;
		if (reverse_insert(s, family))
			return DROP_FLOW_TABLE_FULL;
	}
	flow_give(s, flow, family);
	return reason;
}

/* An answer renews its forward flow only while the opener may still use its address. */
static __noinline int forward_source_check(struct scratch *s, __u32 family)
{
	struct interface *vif = interface_by_vif(s->key.vif);

	if (!vif)
		return DROP_INTERFACE_UNKNOWN;
	if (s->key.direction != DIRECTION_FROM_WORKLOAD || !(vif->flags & INTERFACE_ANTISPOOF))
		return DROP_NONE;
	/* Of a link-local service's user: the interface's own address, by its MAC. */
	if (family == FAMILY_V6 && is_link_local(s->key.source))
		return mac_equal(s->flow.source_mac, vif->mac) ? DROP_NONE : DROP_SPOOFED_MAC;
	return source_check(s->key.vif, s->key.source, s->flow.source_mac, family);
}

/* Return traffic: admitted by its forward flow, never by a rule; only its way is its own.
 * Returns PROCEED with s->flow set, a drop reason, or -1 when the entry is an orphan. */
static __noinline int reverse_refresh(struct scratch *s, struct flow *entry, __u32 family,
				      __u32 generation)
{
	struct flow *forward;
	int reason = DROP_NONE;

	mac_copy(s->own_mac, s->flow.mac);
	mac_copy(s->own_source_mac, s->flow.source_mac);
	s->own_key = s->key;
	mirror_flow(&s->pair_key, &s->key, entry, family);
	forward = flow_find(&s->pair_key, family);
	if (!forward || (forward->flags & FLOW_REVERSE) || forward->pair != entry->pair)
		return -1;
	if (forward->generation != generation || forward->flags & FLOW_BRIDGED) {
		s->key = s->pair_key;
		mac_copy(s->flow.mac, forward->mac);
		mac_copy(s->flow.source_mac, forward->source_mac);
		reason = forward_source_check(s, family) ?:
				 flow_refresh(s, forward, family, generation);
		s->key = s->own_key;
	} else if (forward->flags & FLOW_DENY) {
		reason = forward->drop_reason;
	}
	if (reason)
		return reason == DECIDED_RECEIVE ? DROP_POLICY : reason;
	/* The far end may have moved, and this entry with it. */
	if (flow_find(&s->own_key, family) != entry)
		return -1;
	flow_take(s, entry, family);
	mirror_as(s, forward);
	bridged_as(s, forward);
	mac_copy(s->flow.mac, s->own_mac);
	mac_copy(s->flow.source_mac, s->own_source_mac);
	if (s->key.direction == DIRECTION_FROM_WORKLOAD) {
		const __u16 peer_vif = entry->peer_vif;

		s->back_vif = peer_vif;
		s->back_from = peer_vif ? 0 : forward->came_from;
		reason = decide_from_workload(s, family, DECIDE_ROUTE);
		if (reason)
			return reason == DECIDED_RECEIVE ? -1 : reason;
		if (s->flow.peer_vif != peer_vif)
			return -1;
	}
	s->flow.flags |= FLOW_REVERSE;
	s->flow.generation = generation;
	*entry = s->flow;
	return PROCEED;
}

#endif
