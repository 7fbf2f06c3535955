/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The first packet of a flow, and the first after a change: route, next hop, policy, and the
 * entries that remember the answer. Never runs for the packets in between.
 */
#ifndef SKYTRAIL_DECIDE_H
#define SKYTRAIL_DECIDE_H

#include "behind.h"
#include "flood_flags.h"
#include "fabric.h"
#include "floating.h"
#include "policy.h"
#include "punt.h"
#include "share.h"
#include "snat.h"

#define ENTROPY_PORT_FIRST 49152
#define ENTROPY_PORT_MASK 0x3fff

/* What decide() answers beside drop reasons. */
#define DECIDED_RECEIVE 256
#define DECIDED_FLOOD 257

enum {
	DECIDE_ROUTE = 1,
	DECIDE_POLICY = 2,
};

/* The far end is the source (ingress policy) instead of the destination (egress policy). */
#define ASK_SOURCE (1ULL << 32)
/* About an answer: its own destination port counts, not that of the packet that opened the flow. */
#define ASK_ANSWER (1ULL << 33)

/* Asks one policy about s->key; the rule goes to s->flow, the VRF to s->vrf. */
static __always_inline bool ask_policy(struct scratch *s, __u32 family, __u32 policy,
				       __u64 identity)
{
	const __be32 *address = identity & ASK_SOURCE ? s->key.source : s->key.destination;
	const bool icmp = s->key.protocol == IP_PROTOCOL_ICMP ||
			  s->key.protocol == IP_PROTOCOL_ICMP6;
	struct policy_question *q = &s->question;
	bool allowed;

	q->policy = policy;
	q->identity = identity;
	__builtin_memcpy(q->address, address, sizeof(q->address));
	q->family = family;
	q->protocol = s->key.protocol;
	q->source_port = icmp ? 0 : s->key.source_port;
	q->destination_port =
		identity & ASK_ANSWER ? s->key.destination_port : s->flow.policy_port;
	q->rule = q->vrf = q->qos = q->by_source_port = q->mirror = 0;
	/* A merged flow has no source port: what would have to know it says no. */
	allowed = policy_allows(q) && !(s->merged && q->by_source_port);
	s->flow.rule = q->rule;
	s->vrf = q->vrf;
	s->qos = q->qos;
	s->by_source_port |= q->by_source_port;
	s->mirror = q->mirror;
	return allowed;
}

/* Takes over that the rule last asked wants copies; where two do, the sender's counts. */
static __always_inline void take_mirror(struct scratch *s)
{
	if (likely(!s->mirror) || s->flow.flags & FLOW_MIRRORED)
		return;
	s->flow.flags |= FLOW_MIRRORED;
	s->flow.drop_reason = s->mirror;
}

/* An answer's copies go where those of its question go. */
static __always_inline void mirror_as(struct scratch *s, const struct flow *other)
{
	s->flow.flags = (s->flow.flags & ~FLOW_MIRRORED) | (other->flags & FLOW_MIRRORED);
	s->flow.drop_reason = other->drop_reason;
}

/* An answer is looked at as often as its question. */
static __always_inline void bridged_as(struct scratch *s, const struct flow *other)
{
	s->flow.flags = (s->flow.flags & ~FLOW_BRIDGED) | (other->flags & FLOW_BRIDGED);
}

static __always_inline void mirror_nothing(struct scratch *s)
{
	s->flow.flags &= ~FLOW_MIRRORED;
}

/* Whom the receiver at `peer` has to do with: who is behind a source address that is not the
 * sender's own, or the sender. */
static __always_inline __u64 sender_identity(struct scratch *s, const struct interface *vif,
					     const struct interface *peer, __u32 family)
{
	struct route *from;

	if (likely(!(vif->flags & INTERFACE_TRANSIT)) || s->snat)
		return s->sender_identity | ASK_SOURCE;
	from = route_lookup(peer->vrf, s->key.source, family);
	return (from ? from->identity : s->sender_identity) | ASK_SOURCE;
}

/* Route and egress side of key; s->flow.mac holds the frame's destination MAC. A rule may lead to
 * another VRF (a service chain's): answers follow the rule for their direction as well, or they
 * would go round the service. */
static __noinline int decide_from_workload(struct scratch *s, __u32 family, __u32 what)
{
	struct interface *vif = interface_by_vif(s->key.vif), *peer;
	const struct floating *floating = NULL;
	struct route *route;
	struct nexthop *nh;
	bool allowed;
	int reason;

	if (!vif || !vif->kind)
		return DROP_INTERFACE_UNKNOWN;
	s->fabric = s->snat = 0;
	s->kept_rule = s->flow.rule;
	/* Neither opens anything: what is answered goes where it came from. */
	if (vif->kind == INTERFACE_UNDERLAY || vif->kind == INTERFACE_SNAT)
		return what & DECIDE_POLICY ? DROP_FABRIC_UNKNOWN : DROP_NONE;
	s->flow.flags &= ~(FLOW_BRIDGED | FLOW_DENY);
	s->sender_vrf = vif->vrf;
	s->sender_policy = vif->policy_egress;
	s->sender_identity = vif->identity;
	if (what & DECIDE_POLICY) {
		translate_nothing(s);
		mirror_nothing(s);
	} else if (unlikely(vif->flags & INTERFACE_FLOATING) && !answer_sender(s, family)) {
		return DROP_FLOATING_GONE;
	}
	route = route_lookup(s->sender_vrf, s->key.destination, family);
	if (unlikely(vif->flags & INTERFACE_FLOATING) && what & DECIDE_POLICY &&
	    floating_outward(s, family, own_bits(route)))
		route = route_lookup(s->sender_vrf, s->key.destination, family);
	if (!route) {
		if (mac_is_gateway(s->flow.mac) || vif->flags & INTERFACE_TAGGED)
			return DROP_NO_ROUTE;
		if (vif->options & OPTION_LAYER2 && mac_is_group(s->flow.mac))
			return DECIDED_FLOOD;
		route = bridge_lookup(vif->vrf, s->flow.mac);
		if (!route)
			return floods_unknown(vif->vrf) ? DECIDED_FLOOD : DROP_NO_ROUTE;
		s->flow.flags |= FLOW_BRIDGED;
	}
	nh = nexthop_lookup(route->nexthop);
	if (nh && nh->kind == NEXTHOP_RECEIVE)
		return DECIDED_RECEIVE;
	if (unlikely(nh && nh->kind == NEXTHOP_FABRIC)) {
		reason = snat_begin(s, nh->vif, what & DECIDE_POLICY, family);
		if (reason)
			return reason;
		route = snat_route(s, route, family);
		if (!route)
			return DROP_NO_ROUTE;
	}
	s->far_identity = route->identity;
	allowed = ask_policy(s, family, s->sender_policy,
			     route->identity | (what & DECIDE_POLICY ? 0 : ASK_ANSWER));
	s->flow.qos = qos_sent(vif, s->qos);
	if (!(what & DECIDE_POLICY))
		s->flow.rule = s->kept_rule;
	else
		take_mirror(s);
	if (s->vrf && (allowed || !(what & DECIDE_POLICY))) {
		route = route_lookup(s->vrf, s->key.destination, family);
		if (!route)
			return DROP_NO_ROUTE;
		s->flow.flags &= ~FLOW_BRIDGED;
	}
	if (!nexthop_resolve(s, route->nexthop, route->label))
		return DROP_NEXTHOP;
	nh = nexthop_lookup(s->flow.nexthop);
	if (!nh)
		return DROP_NEXTHOP;
	/* Where the reverse entry of what leaves this host lives. */
	s->flow.peer_vif = s->snat;
	switch (nh->kind) {
	case NEXTHOP_TUNNEL:
		if (!(s->flow.flags & FLOW_BRIDGED) && route->has_mac)
			mac_copy(s->flow.mac, route->mac);
		break;
	case NEXTHOP_INTERFACE:
		peer = interface_by_vif(nh->vif);
		if (peer && unlikely(peer->kind == INTERFACE_SNAT)) {
			if (what & DECIDE_POLICY || !nexthop_resolve(s, snat_back(s), 0))
				return DROP_FABRIC_UNKNOWN;
			nh = nexthop_lookup(s->flow.nexthop);
			if (!nh || nh->kind != NEXTHOP_INTERFACE || nh->vif != s->back_vif)
				return DROP_FABRIC_UNKNOWN;
			peer = interface_by_vif(nh->vif);
		}
		s->flow.peer_vif = nh->vif;
		if (!peer || !peer->kind)
			return DROP_INTERFACE_UNKNOWN;
		if (!(s->flow.flags & FLOW_BRIDGED))
			mac_copy(s->flow.mac, mac_behind(route, s->flow.nexthop, peer));
		if (unlikely(peer->flags & INTERFACE_FLOATING) && what & DECIDE_POLICY)
			floating = floating_find(nh->vif, s->key.destination, family);
		if (s->flow.peer_vif == s->key.vif &&
		    (s->snat || !reaches_itself(s, !(what & DECIDE_POLICY), floating)))
			return DROP_SAME_INTERFACE;
		break;
	case NEXTHOP_RECEIVE:
		return DECIDED_RECEIVE;
	case NEXTHOP_BRIDGE:
		return DECIDED_FLOOD;
	case NEXTHOP_DISCARD:
		return DROP_DISCARD;
	case NEXTHOP_FABRIC:
		/* Nothing is translated twice. */
		if (s->snat)
			return DROP_FABRIC_ROUTE;
		return fabric_outward(s, what & DECIDE_POLICY, allowed, family);
	default:
		return DROP_NEXTHOP;
	}
	if (!(what & DECIDE_POLICY))
		return DROP_NONE;
	if (!allowed)
		return DROP_POLICY;
	if (s->flow.peer_vif != s->snat) {
		const __u32 egress_rule = s->flow.rule;

		peer = interface_by_vif(s->flow.peer_vif);
		if (!peer)
			return DROP_INTERFACE_UNKNOWN;
		if (unlikely(floating)) {
			reason = floating_inward(s, s->flow.peer_vif, floating);
			if (reason)
				return reason;
			/* As mapped ports may have it. */
			if (s->flow.peer_vif == s->key.vif && is_own_mirror(s))
				return DROP_SAME_INTERFACE;
		}
		if (!ask_policy(s, family,
				floating ? floating->policy_ingress : peer->policy_ingress,
				sender_identity(s, vif, peer, family)))
			return DROP_POLICY;
		take_mirror(s);
		if (!s->flow.rule)
			s->flow.rule = egress_rule;
	}
	return s->snat ? snat_end(s) : DROP_NONE;
}

/* Ingress side of key, for a packet that came out of a tunnel. Its next hop is the label's. */
static __noinline int decide_from_underlay(struct scratch *s, __u32 family)
{
	struct interface *vif = interface_by_vif(s->key.vif);
	const struct floating *floating = NULL;
	struct route *route;
	struct nexthop *nh;
	__u64 identity = 0;
	bool allowed;
	int reason;

	if (!vif || !vif->kind)
		return DROP_INTERFACE_UNKNOWN;
	s->flow.flags &= ~(FLOW_BRIDGED | FLOW_DENY);
	s->flow.peer_vif = 0;
	translate_nothing(s);
	mirror_nothing(s);
	if (unlikely(vif->flags & INTERFACE_FLOATING))
		floating = floating_find(s->key.vif, s->key.destination, family);
	if (unlikely(floating)) {
		reason = floating_inward(s, s->key.vif, floating);
		if (reason)
			return reason;
	}
	route = route_lookup(floating ? floating->vrf : vif->vrf, s->key.source, family);
	/* Where addresses are nobody's business, the MAC says who it is, as long as it is there. */
	if (unlikely(!route && vif->options & OPTION_LAYER2)) {
		s->flow.flags |= FLOW_BRIDGED;
		route = bridge_lookup(vif->vrf, s->flow.source_mac);
	}
	if (route)
		identity = route->identity;
	s->far_identity = identity;
	allowed = ask_policy(s, family, floating ? floating->policy_ingress : vif->policy_ingress,
			     identity | ASK_SOURCE);
	take_mirror(s);
	/* What a chain leads here has been elsewhere, even when it comes from this host. */
	if (route && !s->vrf && !(vif->flags & INTERFACE_TAGGED)) {
		nh = nexthop_lookup(route->nexthop);
		if (nh && (nh->kind == NEXTHOP_INTERFACE || nh->kind == NEXTHOP_RECEIVE))
			return DROP_SOURCE_LOCAL;
	}
	return allowed ? DROP_NONE : DROP_POLICY;
}

static __always_inline int decide(struct scratch *s, __u32 family, __u32 what)
{
	if (s->key.direction == DIRECTION_FROM_WORKLOAD)
		return decide_from_workload(s, family, what);
	return decide_from_underlay(s, family);
}

#endif
