/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Broadcast and multicast: a copy for every member of the VRF's flood list. What a workload sends
 * goes to the other local members and, once, to each vRouter that has some; what came out of a
 * tunnel goes to local members alone, so nothing goes round. But what came by a relay's label, from
 * a neighbour in a tree, goes on to the other neighbours: these form no circle (ADR 0152). And what
 * came to a replicator's own address goes on to all others, by addresses that copy no further.
 *
 * No flow is made. The sender's egress and each receiver's ingress policy are asked for each
 * packet, as for its own network: a group address has no owner that policy could know.
 */
#ifndef SKYTRAIL_FLOOD_H
#define SKYTRAIL_FLOOD_H

#include "flood_flags.h"
#include "groups.h"
#include "nexthop.h"
#include "slow_path.h"

#define ADD_ROOM_LAYER2 BPF_F_ADJ_ROOM_ENCAP_L2(18) /* Label and inner Ethernet. */

/* Who sends is in the control block: its vif, 0 for a tunnel; and the neighbour whose copy is relayed. */
struct flood_walk {
	struct __sk_buff *ctx;
	struct packet *p;
	struct flood *list;
	struct scratch *scratch;
	__u64 asker;	/* Whom receivers' policies are asked about. */
	__u32 family;	/* 0: not IP. */
	__u32 sent;
	__u32 known;	/* Neighbours that are `from`. */
	__u32 label_bits; /* As qos_outward() says. */
};

/* A far end's address, or what stands for it. */
static __always_inline __be32 tunnel_end(const struct nexthop *nh)
{
	if (nh->flags & NEXTHOP_OUTER6)
		return end_number((const void *)(nh->header + HEADER6_REMOTE));
	return outer_address(nh, OUTER_DESTINATION_OFFSET);
}

/* A rule that leads through a service cannot be followed by copies: it counts as a refusal. */
static __always_inline bool flood_allowed(struct scratch *s, __u32 family, __u32 policy,
					  __u64 identity)
{
	return ask_policy(s, family, policy, identity) && !s->vrf;
}

static __always_inline void flood_local(struct flood_walk *w, __u32 vif)
{
	const struct interface *to = interface_by_vif(vif);
	struct __sk_buff *ctx = w->ctx;

	if (vif == get_vif(w->ctx) || !to || !to->kind)
		return;
	/* Local members come first; another order is the list's fault. */
	if (w->scratch->copy_room) {
		drop(ctx, DROP_NEXTHOP);
		return;
	}
	if (w->family && !flood_allowed(w->scratch, w->family, to->policy_ingress, w->asker)) {
		drop(ctx, DROP_FLOOD_POLICY);
		return;
	}
	if (ctx->len - ETHERNET_BYTES > to->mtu) {
		drop(ctx, DROP_TOO_BIG);
		return;
	}
	if (unlikely(to->flags & INTERFACE_WATCHED))
		watch_delivered(ctx, to->ifindex, get_copy(ctx));
	count_delivered(ctx, to->vif);
	/* The tag is the copy's alone. */
	if (unlikely(to->flags & INTERFACE_VLAN))
		bpf_skb_vlan_push(ctx, bpf_htons(ETH_P_8021Q), to->vlan);
	if (!bpf_clone_redirect(ctx, to->ifindex, 0))
		w->sent++;
	if (unlikely(ctx->vlan_present))
		bpf_skb_vlan_pop(ctx);
}

/* Makes room for the first outer header of a frame, below its Ethernet header, which moves. */
static __always_inline long flood_grow(struct flood_walk *w, const struct nexthop *nh, __u32 room)
{
	struct __sk_buff *ctx = w->ctx;
	__u64 flags;
	long failure;

	/* The kernel's tunnel helper knows only IP. */
	if (!w->family)
		return bpf_skb_change_head(ctx, room, 0);
	if (nh->encapsulation == ENCAP_MPLS_UDP)
		flags = MPLSUDP_FLAGS | ADD_ROOM_LAYER2;
	else if (nh->encapsulation == ENCAP_MPLS_GRE)
		flags = MPLSGRE_FLAGS | ADD_ROOM_LAYER2;
	else
		flags = VXLAN_FLAGS;
	failure = nh->flags & NEXTHOP_OUTER6 ? outer6_grow_copy(ctx, nh, room) :
					       grow(ctx, room, flags);
	return failure ?: write_layer2_inner(ctx, w->p, w->p->destination_mac, room);
}

static __always_inline int flood_encapsulate(struct flood_walk *w, const struct nexthop *nh,
					     __u32 label)
{
	/* No flow to hash: one port for all frames of an EtherType. */
	const __be16 entropy = w->p->ethertype | bpf_htons(49152);
	struct __sk_buff *ctx = w->ctx;
	const __u32 room = outer_bytes(nh);

	/* The list has smaller headers first: a frame only grows. */
	if (!room || room < w->scratch->copy_room)
		return -1;
	if (!w->scratch->copy_room) {
		if (flood_grow(w, nh, room))
			return -1;
	} else if (room > w->scratch->copy_room && bpf_skb_change_head(ctx, room - w->scratch->copy_room, 0)) {
		return -1;
	}
	w->scratch->copy_room = room;
	return outer_write(ctx, nh, label, entropy, w->p->tos);
}

static __always_inline void flood_remote(struct flood_walk *w, const struct nexthop *nh,
					 __u32 label)
{
	struct __sk_buff *ctx = w->ctx;
	__u32 out_ifindex;

	if (!(nh->flags & (NEXTHOP_RESOLVED | NEXTHOP_ROUTED))) {
		drop(ctx, DROP_UNDERLAY_UNRESOLVED);
		return;
	}
	if (!(nh->flags & NEXTHOP_LAYER2) && nh->encapsulation != ENCAP_VXLAN) {
		drop(ctx, DROP_NEXTHOP);
		return;
	}
	if (ctx->len - w->scratch->copy_room - ETHERNET_BYTES > nh->mtu) {
		drop(ctx, DROP_TOO_BIG);
		return;
	}
	if (flood_encapsulate(w, nh, label)) {
		drop(ctx, DROP_ENCAPSULATION);
		return;
	}
	out_ifindex = tunnel_link(ctx, nh, w->p->ethertype | bpf_htons(49152));
	if (!out_ifindex) {
		drop(ctx, DROP_UNDERLAY_UNRESOLVED);
		return;
	}
	if (!bpf_clone_redirect(ctx, out_ifindex, 0))
		w->sent++;
}

static long flood_member(__u32 index, struct flood_walk *w)
{
	const struct ecmp_member *member;
	struct nexthop *nh;

	if (index >= FLOOD_MEMBERS_MAX || index >= w->list->used)
		return 1;
	member = &w->list->member[index];
	nh = nexthop_lookup(member->nexthop);
	if (!nh)
		return 0;
	if (nh->kind == NEXTHOP_INTERFACE)
		flood_local(w, nh->vif);
	else if (nh->kind == NEXTHOP_TUNNEL &&
		 (get_vif(w->ctx) || (get_relayed_from(w->ctx) && member->label & FLOOD_RELAYED &&
				tunnel_end(nh) != get_relayed_from(w->ctx))))
		flood_remote(w, nh, (member->label & ~FLOOD_RELAYED) | w->label_bits);
	return 0;
}

/* Stops at the neighbour that `from` is. */
static long flood_neighbour(__u32 index, struct flood_walk *w)
{
	const struct ecmp_member *member;
	struct nexthop *nh;

	if (index >= FLOOD_MEMBERS_MAX || index >= w->list->used)
		return 1;
	member = &w->list->member[index];
	if (!(member->label & FLOOD_RELAYED))
		return 0;
	nh = nexthop_lookup(member->nexthop);
	if (!nh || nh->kind != NEXTHOP_TUNNEL || tunnel_end(nh) != get_relayed_from(w->ctx))
		return 0;
	w->known = 1;
	return 1;
}

/* Copies for all members of a VRF that are to have one. Taking what is relayed from neighbours alone
 * is what keeps copies single. Who sends is in the control block. */
VERIFIED_ONCE int flood_copies(struct __sk_buff *ctx, struct packet *p, __u32 vrf, __u32 family,
			       __u64 asker)
{
	struct flood_walk w = {
		.ctx = ctx,
		.p = p,
		.family = family,
		.asker = asker,
	};

	if (get_vif(ctx))
		w.label_bits = get_label_bits(ctx);

	w.scratch = get_scratch();
	/* What a relay has at hand is for everybody: so the sender's host took it. */
	flood_choose(vrf, family, get_relayed_from(ctx));
	if (!p || !w.scratch)
		return drop(ctx, DROP_MULTICAST);
	w.scratch->copy_room = 0;
	w.list = bpf_map_lookup_elem(&floods, &w.scratch->flood_key);
	if (!w.list)
		return drop(ctx, DROP_MULTICAST);
	if (get_relayed_from(ctx)) {
		bpf_loop(FLOOD_MEMBERS_MAX, flood_neighbour, &w, 0);
		if (!w.known)
			return drop(ctx, DROP_FLOOD_SOURCE);
	}
	bpf_loop(FLOOD_MEMBERS_MAX, flood_member, &w, 0);
	if (w.list->beyond)
		return drop(ctx, DROP_FLOOD_LIMIT);
	if (w.sent)
		return TC_ACT_SHOT;
	return drop(ctx, w.list->flags & FLOOD_GROUP ? DROP_GROUP_UNHEARD : DROP_MULTICAST);
}

static __always_inline int flood_source_check(const struct interface *vif, __u32 vif_id,
					      const struct packet *p, const __be32 *source,
					      __u32 family)
{
	if (!(vif->flags & INTERFACE_ANTISPOOF))
		return DROP_NONE;
	/* Who asks for an address has none yet: only such requests come here from 0.0.0.0. */
	if (!family || (family == FAMILY_V6 && is_link_local(source)) ||
	    (family == FAMILY_V4 && !source[0]))
		return mac_equal(p->source_mac, vif->mac) ? DROP_NONE : DROP_SPOOFED_MAC;
	return source_check(vif_id, source, p->source_mac, family);
}

/* A frame of the workload to a group, or to a MAC that nobody is known to have; `family` 0 means that it is not IP, else it is parsed. */
VERIFIED_ONCE int flood_from_workload(struct __sk_buff *ctx, struct packet *p, __u32 family)
{
	const __u32 vif_id = get_vif(ctx);
	struct interface *vif = interface_by_vif(vif_id);
	struct scratch *s = get_scratch();
	__u32 vrf, bits;
	int reason;

	if (!p || !s || !vif || !vif->kind)
		return drop(ctx, DROP_INTERFACE_UNKNOWN);
	vrf = vif->vrf;
	if (!mac_is_group(p->destination_mac) &&
	    (mac_is_gateway(p->destination_mac) || !floods_unknown(vrf)))
		return drop(ctx, DROP_MULTICAST);
	if (flood_flags(vrf) & FLOOD_NOBODY)
		return drop(ctx, DROP_MULTICAST);
	if (ctx->gso_size)
		return drop(ctx, DROP_TOO_BIG);
	if (family)
		scratch_begin(s, p, family);
	reason = flood_source_check(vif, vif_id, p, s->key.source, family);
	if (reason)
		return drop(ctx, reason);
	if (family && !flood_allowed(s, family, vif->policy_egress, vif->identity))
		return drop(ctx, DROP_FLOOD_POLICY);
	set_relayed_from(ctx, 0);
	bits = qos_sent(vif, 0) ? qos_outward(ctx, p, qos_sent(vif, 0), 0) : 0;
	if (bits == QOS_EXCEEDED)
		return drop(ctx, DROP_RATE_SENT);
	set_label_bits(ctx, bits);
	set_copy(ctx, 0);
	return flood_copies(ctx, p, vrf, family, vif->identity | ASK_SOURCE);
}

#endif
