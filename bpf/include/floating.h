/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Floating addresses at the first packet of a flow: which of them a packet comes for or leaves by,
 * and what it therefore becomes. IPv4; translate.h then rewrites packets.
 */
#ifndef SKYTRAIL_FLOATING_H
#define SKYTRAIL_FLOATING_H

#include "fib.h"
#include "flow.h"

static __always_inline struct floating *floating_at(__u32 vif, __u32 place)
{
	const struct floating_key key = { .vif = vif, .place = place };

	return bpf_map_lookup_elem(&floatings, &key);
}

static __noinline struct floating *floating_find(__u32 vif, __be32 outside)
{
	struct floating *found;
	__u32 place;

	for (place = 0; place < FLOATING_PLACES_MAX; place++) {
		found = floating_at(vif, place);
		if (!found)
			return NULL;
		if (found->outside == outside)
			return found;
	}
	return NULL;
}

/* The port that stands for the one of `side`; 0: the address has none such. */
static __noinline __be16 floating_port(const struct scratch *s, __u32 vif, __be32 outside,
				       __u32 side)
{
	const struct floating_port_key key = {
		.vif = vif,
		.outside = outside,
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
	s->flow.to.source = s->key.source[0];
	s->flow.to.destination = s->key.destination[0];
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
		port = floating_port(s, vif, at->outside, FLOATING_PORT_OUTSIDE);
		if (!port)
			return DROP_FLOATING_PORT;
		s->flow.to.destination_port = port;
		s->flow.policy_port = port;
	}
	s->flow.to.destination = at->inside;
	if (at->inside != at->outside)
		s->flow.flags |= FLOW_TRANSLATED;
	return DROP_NONE;
}

static __always_inline void send_by(struct scratch *s, const struct floating *by)
{
	s->sender_vrf = by->vrf;
	s->sender_policy = by->policy_egress;
	s->sender_identity = by->identity;
}

/* The way by a floating address, when it knows the destination better than the workload's own
 * network does (`own` is that route); the first of several that know it equally well. What is sent
 * from an alias address, which stands for itself, only ever goes by its network. */
static __noinline struct route *floating_outward(struct scratch *s, struct route *own)
{
	struct route *best = own, *route;
	const struct floating *by;
	struct nexthop *nh;
	__be16 port;
	__u32 place;

	for (place = 0; place < FLOATING_PLACES_MAX; place++) {
		by = floating_at(s->key.vif, place);
		if (!by)
			break;
		if (by->inside != s->key.source[0] || !(by->flags & FLOATING_OUTWARD))
			continue;
		route = route_lookup(by->vrf, s->key.destination, FAMILY_V4);
		if (by->inside == by->outside) {
			send_by(s, by);
			return route;
		}
		if (!route || (best && route->bits <= best->bits))
			continue;
		nh = nexthop_lookup(route->nexthop);
		if (!nh || nh->kind == NEXTHOP_RECEIVE || nh->kind == NEXTHOP_BRIDGE)
			continue;
		port = s->key.source_port;
		if (by->flags & FLOATING_PORTS)
			port = floating_port(s, s->key.vif, by->outside, FLOATING_PORT_INSIDE);
		if (!port && by->flags & FLOATING_PORTS)
			continue;
		best = route;
		send_by(s, by);
		s->flow.to.source = by->outside;
		s->flow.to.source_port = port;
		s->flow.flags |= FLOW_TRANSLATED;
	}
	return best;
}

/* The way of an answer: that of the address it leaves with. False: it is not the workload's now. */
static __noinline bool answer_sender(struct scratch *s)
{
	const struct floating *by;

	by = floating_find(s->key.vif, s->flow.flags & FLOW_TRANSLATED ? s->flow.to.source :
									 s->key.source[0]);
	if (by)
		send_by(s, by);
	return by || !(s->flow.flags & FLOW_TRANSLATED) || s->flow.to.source == s->key.source[0];
}

/* Of the reverse entry: it becomes the mirror image of what the forward one came as. */
static __always_inline void translate_mirrored(struct translation *to, const struct flow_key6 *other)
{
	to->source = other->destination[0];
	to->destination = other->source[0];
	to->source_port = other->destination_port;
	to->destination_port = other->source_port;
}

static __always_inline bool translates_anew(const struct flow *one, const struct flow *other)
{
	if (!((one->flags | other->flags) & FLOW_TRANSLATED))
		return false;
	return (one->flags ^ other->flags) & FLOW_TRANSLATED ||
	       one->to.source != other->to.source ||
	       one->to.destination != other->to.destination ||
	       one->to.source_port != other->to.source_port ||
	       one->to.destination_port != other->to.destination_port;
}

/* An ICMP error about a flow goes the way of that flow's packets: `flow` is the entry of those in
 * the error's direction. Its sender may be a router on the way, which nothing stands for. */
static __always_inline void translate_as(struct scratch *s, const struct flow *flow)
{
	const __u32 is_end = s->lone_key.source[0] == s->key.source[0];

	s->quoted.source = flow->to.destination;
	s->quoted.destination = flow->to.source;
	s->quoted.source_port = flow->to.destination_port;
	s->quoted.destination_port = flow->to.source_port;
	s->flow.to.source = is_end ? flow->to.source : s->key.source[0];
	s->flow.to.destination = flow->to.destination;
	s->quotes = 1;
	s->flow.flags |= FLOW_TRANSLATED;
}

#endif
