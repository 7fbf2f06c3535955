/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Which member of a load-shared next hop a flow takes. src/skytrail/agent/share.py says the same.
 *
 * Each member has a share: a number that stands for it on every host, and for both sides of a copy of
 * a service. The flow takes the member whose share, mixed with the flow's hash, is the greatest. The
 * hash is that of both directions, so forward and return traffic pass the same copy, and who leaves
 * or joins takes nobody else's flows.
 */
#ifndef SKYTRAIL_SHARE_H
#define SKYTRAIL_SHARE_H

#include "flow.h"

/* Bits of a weight. Before any member by hash: the one the flow has, and before that the one an
 * answer's question came through. */
#define SHARE_KEPT_BIT 32
#define SHARE_BACK_BIT 33

static __always_inline __u64 share_mix(__u64 hash, __u32 word)
{
	hash = (hash ^ word) * 0xff51afd7ed558ccdULL;
	return hash ^ hash >> 29;
}

/* All bits of a field that counts, none of one that does not. */
static __always_inline __u32 share_mask(__u32 omitted, __u32 field)
{
	return omitted & field ? 0 : ~0U;
}

static __always_inline __u64 share_end(const __be32 *address, __u32 mask, __u32 port)
{
	__u64 hash = 0x9e3779b97f4a7c15ULL;

	hash = share_mix(hash, address[0] & mask);
	hash = share_mix(hash, address[1] & mask);
	hash = share_mix(hash, address[2] & mask);
	hash = share_mix(hash, address[3] & mask);
	return share_mix(hash, port);
}

/* With all fields the same for a key and its mirror image. */
static __always_inline __u64 share_hash(const struct flow_key6 *key, __u32 omitted)
{
	const __u32 protocol = key->protocol & share_mask(omitted, HASH_PROTOCOL);
	__u64 hash;

	hash = share_end(key->source, share_mask(omitted, HASH_SOURCE_ADDRESS),
			 key->source_port & share_mask(omitted, HASH_SOURCE_PORT));
	hash += share_end(key->destination, share_mask(omitted, HASH_DESTINATION_ADDRESS),
			  key->destination_port & share_mask(omitted, HASH_DESTINATION_PORT));
	return share_mix(hash, protocol);
}

/* Whether a packet that came from an underlay address, or from an interface, came through here. */
VERIFIED_ONCE int share_is_back(const struct scratch *s, __u32 nexthop)
{
	const struct nexthop *nh = nexthop_lookup(nexthop);
	const __u8 *far;

	if (!s || !nh)
		return 0;
	far = nh->header + (nh->flags & NEXTHOP_OUTER6 ? 40 : 30);
	if (nh->kind == NEXTHOP_INTERFACE)
		return s->back_vif && nh->vif == s->back_vif;
	return s->back_from && *(const __u16 *)far == (__u16)s->back_from &&
	       *(const __u16 *)(far + 2) == (__u16)(s->back_from >> 16);
}

/* Follows ECMP from a route's next hop and label to a member: into s->flow. False: to nowhere. */
VERIFIED_ONCE int nexthop_resolve(struct scratch *s, __u32 id, __u32 label)
{
	struct ecmp_members *ecmp;
	const struct nexthop *nh;
	__u64 hash, best = 0;
	__u32 kept, kept_label, i;

	if (!s)
		return 0;
	kept = s->flow.nexthop;
	kept_label = s->flow.label;
	nh = nexthop_lookup(id);
	s->flow.nexthop = id;
	s->flow.label = label;
	if (!nh || nh->kind != NEXTHOP_ECMP)
		return !!nh;
	ecmp = bpf_map_lookup_elem(&ecmp_members, &id);
	if (!ecmp)
		return 0;
	hash = share_hash(&s->key, ecmp->omitted);
	for (i = 0; i < ECMP_MEMBERS_MAX; i++) {
		const struct ecmp_member *member = &ecmp->member[i];
		__u64 weight, differs;

		if (i >= ecmp->used)
			break;
		/* Never 0, so that some member is the best. */
		weight = (share_mix(hash, ecmp->share[i]) >> 32) | 1;
		/* Without branches: weights of which the verifier knows more by one way than by
		 * another cost it a third of its work on the whole program. */
		differs = (member->nexthop ^ kept) | (member->label ^ kept_label);
		asm volatile("" : "+r"(differs));
		weight |= (differs - 1) >> 63 << SHARE_KEPT_BIT;
		if (s->back_from || s->back_vif)
			weight |= (__u64)share_is_back(s, member->nexthop) << SHARE_BACK_BIT;
		if (weight > best) {
			best = weight;
			s->flow.nexthop = member->nexthop;
			s->flow.label = member->label;
		}
	}
	return !!best;
}

#endif
