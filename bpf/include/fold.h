/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Flows that are one for many addresses: where an interface says so, the connections of a port share
 * an entry whose key has prefixes of the addresses, and no port of the opener's. The entry counts and
 * ages, it decides nothing: every packet is decided by its own addresses and ports, as the first one
 * of a flow is. It has no mirror image; an answer finds it by the key of its question, and gets
 * through as long as policy would admit that question.
 */
#ifndef SKYTRAIL_FOLD_H
#define SKYTRAIL_FOLD_H

#include "flow_write.h"

/* (vif, protocol, port, number) -> what of the addresses counts; numbers from 0 on, without a gap.
 * Agent writes; read after a miss of an interface with OPTION_FOLDS. Full: the agent's update fails. */
MAP_HASH(folds, struct fold_key, struct fold, 16384);

static __always_inline bool is_outside(const __be32 *address, const __be32 *prefix,
				       const __be32 *mask)
{
	return (address[0] ^ prefix[0]) & mask[0] || (address[1] ^ prefix[1]) & mask[1] ||
	       (address[2] ^ prefix[2]) & mask[2] || (address[3] ^ prefix[3]) & mask[3];
}

static __always_inline void keep_bits(__be32 *address, const __be32 *mask)
{
	address[0] &= mask[0];
	address[1] &= mask[1];
	address[2] &= mask[2];
	address[3] &= mask[3];
}

static __always_inline bool fold_by(struct scratch *s, __be16 port, __u32 family)
{
	struct fold_key key = {
		.vif = s->folded.vif,
		.port = port,
		.protocol = s->folded.protocol,
	};
	const bool sent = s->folded.direction == DIRECTION_FROM_WORKLOAD;
	__be32 *own = sent ? s->folded.source : s->folded.destination;
	__be32 *far = sent ? s->folded.destination : s->folded.source;
	__u32 i;

	for (i = 0; i < FOLDS_COUNT_MAX; i++) {
		const struct fold *fold;

		key.number = i;
		fold = bpf_map_lookup_elem(&folds, &key);
		if (!fold)
			return false;
		if (fold->family && fold->family != family)
			continue;
		if (is_outside(own, fold->own, fold->own_mask) ||
		    is_outside(far, fold->far, fold->far_mask))
			continue;
		keep_bits(own, fold->own_kept);
		keep_bits(far, fold->far_kept);
		s->folded_bits[0] = sent ? fold->own_bits : fold->far_bits;
		s->folded_bits[1] = sent ? fold->far_bits : fold->own_bits;
		s->folded.source_port = 0;
		s->folded.direction |= DIRECTION_FOLDED;
		return true;
	}
	return false;
}

/* Makes s->folded, the key of a connection's first packet, that of the entry it shares. 0: it has one
 * of its own. */
VERIFIED_ONCE int fold_key(struct scratch *s, __u32 family)
{
	if (!s)
		return 0;
	return fold_by(s, s->folded.destination_port, family) || fold_by(s, 0, family);
}

/* True when a packet under s->key may be an answer to what shares an entry. */
static __always_inline bool folds_answers(struct scratch *s, __u32 family)
{
	mirror_key(&s->folded, &s->key, 0);
	return fold_key(s, family);
}

/* Whether who asked, under s->key, may not use that address any more; whichever MAC it has: an answer
 * says nothing of that. */
static __noinline bool asker_is_gone(struct scratch *s, __u32 family)
{
	const struct interface *vif = interface_by_vif(s->key.vif);

	if (!vif || s->key.direction != DIRECTION_FROM_WORKLOAD || !(vif->flags & INTERFACE_ANTISPOOF))
		return !vif;
	return source_check(s->key.vif, s->key.source, s->flow.source_mac, family) ==
	       DROP_SPOOFED_ADDRESS;
}

/* The entry under s->folded, as far as s->folded_question, the packet that it would be found by, is one
 * that may be sent: by its sender's addresses, by route and by policy, today. Leaves the decision in
 * s->flow. */
static __always_inline struct flow *fold_admits(struct scratch *s, __u32 family)
{
	struct flow *flow = flow_find(&s->folded, family);
	bool admitted;

	if (!flow)
		return NULL;
	s->own_key = s->key;
	s->key = s->folded_question;
	mac_copy(s->flow.mac, flow->mac);
	mac_copy(s->flow.source_mac, flow->source_mac);
	s->flow.policy_port = flow->policy_port;
	admitted = !asker_is_gone(s, family) && !decide(s, family, DECIDE_ROUTE | DECIDE_POLICY);
	s->key = s->own_key;
	if (!admitted || s->flow.flags & (FLOW_TRANSLATED | FLOW_BRIDGED) || s->flow.peer_vif)
		return NULL;
	return flow;
}

/* Decides a packet that nothing is remembered of as an answer. Returns like decide(), -1 when it is
 * none: it is to be decided as a question then, by flow_begin() anew. */
static __noinline int fold_answer(struct scratch *s, __u32 family)
{
	const struct flow *flow;
	__u32 pair, rule;
	int reason;

	mac_copy(s->own_mac, s->flow.mac);
	mac_copy(s->own_source_mac, s->flow.source_mac);
	mirror_key(&s->folded_question, &s->key, 0);
	s->folded = s->folded_question;
	if (!fold_key(s, family))
		return -1;
	flow = fold_admits(s, family);
	if (!flow)
		return -1;
	pair = flow->pair;
	rule = s->flow.rule;
	mac_copy(s->flow.mac, s->own_mac);
	mac_copy(s->flow.source_mac, s->own_source_mac);
	if (s->key.direction == DIRECTION_FROM_WORKLOAD) {
		reason = decide_from_workload(s, family, DECIDE_ROUTE);
		if (reason == DECIDED_RECEIVE || s->flow.flags & FLOW_BRIDGED || s->flow.peer_vif)
			return -1;
		if (reason)
			return reason;
	}
	s->flow.pair = pair;
	s->flow.rule = rule;
	s->flow.flags |= FLOW_REVERSE;
	return DROP_NONE;
}

/* Whether an admitted question under s->key shares an entry: -1: no. 0: it is to be made, under what is
 * s->key now. 1: it is there. What is translated, what a MAC decides and what stays on this host has
 * entries of its own: there, addresses are few or both are needed. */
static __noinline int fold_question(struct scratch *s, __u32 family)
{
	const struct flow *flow;

	if (s->flow.peer_vif || s->fabric || s->flow.flags & (FLOW_TRANSLATED | FLOW_BRIDGED))
		return -1;
	s->folded = s->key;
	if (!fold_key(s, family))
		return -1;
	flow = flow_find(&s->folded, family);
	if (flow) {
		s->flow.pair = flow->pair;
		return 1;
	}
	s->key = s->folded;
	s->flow.to.source_port = bpf_htons(s->folded_bits[0]);
	s->flow.to.destination_port = bpf_htons(s->folded_bits[1]);
	return 0;
}

/* Whether a packet that an ICMP error quotes, under s->pair_key, is one of those that share an entry:
 * a question or an answer. Leaves s->flow to be begun anew. */
static __noinline bool fold_quoted(struct scratch *s, __u32 family)
{
	const struct interface *vif = interface_by_vif(s->key.vif);

	if (!vif || !(vif->options & OPTION_FOLDS) || !s->pair_key.vif)
		return false;
	s->folded_question = s->pair_key;
	s->folded = s->folded_question;
	if (!fold_key(s, family) || !flow_find(&s->folded, family)) {
		mirror_key(&s->folded_question, &s->pair_key, 0);
		s->folded = s->folded_question;
		if (!fold_key(s, family))
			return false;
	}
	return fold_admits(s, family);
}

/* Whether an ICMP error that no entry of its own flow admits is one about what shares an entry. */
static __always_inline bool fold_related(struct __sk_buff *ctx, struct packet *p, struct scratch *s,
					 __u32 family)
{
	const bool related = fold_quoted(s, family);

	flow_begin_again(ctx, s, p, family);
	return related;
}

#endif
