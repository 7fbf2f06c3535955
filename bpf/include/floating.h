/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Floating addresses at the first packet of a flow: which of them a packet comes for or leaves by,
 * and what it therefore becomes; translate.h and translate6.h then rewrite packets.
 */
#ifndef SKYTRAIL_FLOATING_H
#define SKYTRAIL_FLOATING_H

#include "fib.h"
#include "flow.h"
#include "leave.h"

static __always_inline struct floating *floating_at(__u32 vif, __u32 place)
{
	const struct floating_key key = { .vif = vif, .place = place };

	return bpf_map_lookup_elem(&floatings, &key);
}

struct floating_address {
	__be32 words[4];
};

/* The place of a port's floating address, from 1 on; 0: it has no such. */
VERIFIED_ONCE int floating_place(__u32 vif, const struct floating_address *outside, __u32 family)
{
	const struct floating *found;
	__u32 place;

	if (!outside)
		return 0;
	for (place = 0; place < FLOATING_PLACES_MAX; place++) {
		found = floating_at(vif, place);
		if (!found)
			return 0;
		if (found->family == family && same_address(found->outside, outside->words))
			return place + 1;
	}
	return 0;
}

static __always_inline struct floating *floating_find(__u32 vif, const __be32 *outside,
						      __u32 family)
{
	const int place = floating_place(vif, (const void *)outside, family);

	return place ? floating_at(vif, place - 1) : NULL;
}

/* The port that stands for the one of `side`; 0: the address has none such. */
static __noinline __be16 floating_port(const struct scratch *s, __u32 vif,
				       const struct floating *at, __u32 side)
{
	const struct floating_port_key key = {
		.vif = vif,
		.outside = { at->outside[0], at->outside[1], at->outside[2], at->outside[3] },
		.family = at->family,
		.port = side == FLOATING_PORT_INSIDE ? s->key.source_port : s->key.destination_port,
		.protocol = s->key.protocol,
		.side = side,
	};
	const __be16 *port = bpf_map_lookup_elem(&floating_ports, &key);

	return port ? *port : 0;
}

/* What a packet of `key` becomes when nothing is translated. */
static __always_inline void translate_nothing(struct scratch *s)
{
	s->flow.flags &= ~FLOW_TRANSLATED;
	leave_as(s, s->key.source);
	leave_to(s, s->key.destination);
	s->flow.to.source_port = s->key.source_port;
	s->flow.to.destination_port = s->key.destination_port;
	if (s->key.protocol != IP_PROTOCOL_ICMP && s->key.protocol != IP_PROTOCOL_ICMP6)
		s->flow.policy_port = s->key.destination_port;
}

/* A packet for a floating address of `vif` is one for the address it stands for. DROP_NONE, or why
 * nobody may come by it. */
static __noinline int floating_inward(struct scratch *s, __u32 vif, const struct floating *at)
{
	__be16 port;

	if (!(at->flags & FLOATING_INWARD))
		return DROP_POLICY;
	if (at->flags & FLOATING_PORTS) {
		port = floating_port(s, vif, at, FLOATING_PORT_OUTSIDE);
		if (!port)
			return DROP_FLOATING_PORT;
		s->flow.to.destination_port = port;
		s->flow.policy_port = port;
	}
	leave_to(s, at->inside);
	if (!same_address(at->inside, at->outside))
		s->flow.flags |= FLOW_TRANSLATED;
	return DROP_NONE;
}

/* Whether both entries of the flow would have the same key. */
static __noinline bool is_own_mirror(struct scratch *s)
{
	const __u64 *one = (const void *)&s->key, *other = (const void *)&s->pair_key;

	mirror_decided(s);
	return one[0] == other[0] && one[1] == other[1] && one[2] == other[2] &&
	       one[3] == other[3] && one[4] == other[4];
}

/* Whether a workload's packet to itself goes there: to a floating address of its own, left by one, so
 * that each end takes the other for a stranger (ADR 0321). Both entries of such a flow are at one
 * interface; where they would be the same one, nothing tells question and answer apart. */
static __always_inline bool reaches_itself(const struct scratch *s, bool is_answer,
					   const struct floating *at)
{
	if (is_answer)
		return s->back_vif == s->key.vif;
	return at && s->flow.flags & FLOW_TRANSLATED && !same_address(at->inside, at->outside) &&
	       s->key.source_port != s->key.destination_port;
}

static __always_inline void send_by(struct scratch *s, const struct floating *by)
{
	s->sender_vrf = by->vrf;
	s->sender_policy = by->policy_egress;
	s->sender_identity = by->identity;
}

/* Whether the sender of s->key leaves by a floating address: when that one's network knows the
 * destination better than its own does, of which `own` bits are known, from 1 on; the first of several
 * that know it equally well. What is sent from an alias address, which stands for itself, only ever
 * goes by its network. */
VERIFIED_ONCE int floating_outward(struct scratch *s, __u32 family, __u32 own)
{
	const struct floating *by;
	const struct route *route;
	const struct nexthop *nh;
	__u32 place, found = 0;
	__be16 port;

	if (!s)
		return 0;
	for (place = 0; place < FLOATING_PLACES_MAX; place++) {
		by = floating_at(s->key.vif, place);
		if (!by)
			break;
		if (by->family != family || !(by->flags & FLOATING_OUTWARD) ||
		    !same_address(by->inside, s->key.source))
			continue;
		if (same_address(by->inside, by->outside)) {
			send_by(s, by);
			return 1;
		}
		route = route_lookup(by->vrf, s->key.destination, family);
		if (!route || route->bits < own)
			continue;
		nh = nexthop_lookup(route->nexthop);
		if (!nh || nh->kind == NEXTHOP_RECEIVE || nh->kind == NEXTHOP_BRIDGE)
			continue;
		port = s->key.source_port;
		if (by->flags & FLOATING_PORTS)
			port = floating_port(s, s->key.vif, by, FLOATING_PORT_INSIDE);
		if (!port && by->flags & FLOATING_PORTS)
			continue;
		found = 1;
		own = route->bits + 1;
		send_by(s, by);
		leave_as(s, by->outside);
		s->flow.to.source_port = port;
		s->flow.flags |= FLOW_TRANSLATED;
	}
	return found;
}

/* The way of an answer: that of the address it leaves with. False: it is not the workload's now. */
static __noinline bool answer_sender(struct scratch *s, __u32 family)
{
	const struct floating *by;
	__be32 source[4];

	__builtin_memcpy(source, s->key.source, sizeof(source));
	if (s->flow.flags & FLOW_TRANSLATED) {
		source[0] = s->flow.to.source;
		if (family == FAMILY_V6)
			__builtin_memcpy(source + 1, s->flow6.rest.source, 12);
	}
	by = floating_find(s->key.vif, source, family);
	if (by)
		send_by(s, by);
	return by || same_address(source, s->key.source);
}

static __always_inline bool same_rest(const struct translation_rest *one,
				      const struct translation_rest *other)
{
	const __u64 *a = (const void *)one, *b = (const void *)other;

	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2];
}

/* Of the reverse entry: it becomes the mirror image of what the forward one came as. */
static __always_inline void translate_mirrored(struct scratch *s, const struct flow_key6 *other)
{
	leave_as(s, other->destination);
	leave_to(s, other->source);
	s->flow.to.source_port = other->destination_port;
	s->flow.to.destination_port = other->source_port;
}

/* Whether the decision is another one than what the entry under s->key says. */
static __noinline bool translates_anew(const struct scratch *s, const struct flow *other,
				       __u32 family)
{
	const struct flow *one = &s->flow;
	const struct translation_rest *rest;

	if (!((one->flags | other->flags) & FLOW_TRANSLATED))
		return false;
	if ((one->flags ^ other->flags) & FLOW_TRANSLATED ||
	    one->to.source != other->to.source || one->to.destination != other->to.destination ||
	    one->to.source_port != other->to.source_port ||
	    one->to.destination_port != other->to.destination_port)
		return true;
	if (family != FAMILY_V6)
		return false;
	rest = rest_of(&s->key);
	return rest && !same_rest(rest, &s->flow6.rest);
}

/* An ICMP error about a flow goes the way of that flow's packets: `flow` is the entry of those in
 * the error's direction. Its sender may be a router on the way, which nothing stands for. */
static __noinline int translate_as(struct scratch *s, const struct flow *flow, __u32 family)
{
	const __u32 is_end = same_address(s->lone_key.source, s->key.source);
	const struct translation_rest *rest;

	s->quoted.source = flow->to.destination;
	s->quoted.destination = flow->to.source;
	s->quoted.source_port = flow->to.destination_port;
	s->quoted.destination_port = flow->to.source_port;
	s->flow.to.source = is_end ? flow->to.source : s->key.source[0];
	s->flow.to.destination = flow->to.destination;
	s->quotes = 1;
	s->flow.flags |= FLOW_TRANSLATED;
	s->flow.peer_vif = flow->peer_vif;
	if (flow->flags & FLOW_REVERSE)
		s->back_vif = flow->peer_vif;
	if (family != FAMILY_V6)
		return 0;
	rest = rest_of(&s->lone_key);
	if (!rest)
		return 0;
	__builtin_memcpy(s->quoted_rest.source, rest->destination, 12);
	__builtin_memcpy(s->quoted_rest.destination, rest->source, 12);
	__builtin_memcpy(s->flow6.rest.source, is_end ? rest->source : s->key.source + 1, 12);
	__builtin_memcpy(s->flow6.rest.destination, rest->destination, 12);
	return 0;
}

#endif
