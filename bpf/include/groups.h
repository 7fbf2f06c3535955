/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Who gets what is sent to a multicast group, where workloads' reports of what they listen to are
 * taken (IGMP, MLD): the members of (source, group), else of the group, else of all groups nobody
 * reported. Groups of one link (224.0.0.0/24, ff02::/16 and narrower) are everybody's.
 */
#ifndef SKYTRAIL_GROUPS_H
#define SKYTRAIL_GROUPS_H

#include "flood_flags.h"
#include "fib.h"
#include "flow.h"

#define MLD_QUERY 130
#define MLD_DONE 132
#define MLD_REPORT2 143
#define IP6_SCOPE_LINK 2

static __always_inline bool is_wide_group(const __be32 *group, __u32 family)
{
	if (family == FAMILY_V4)
		return (group[0] & bpf_htonl(0xf0000000)) == bpf_htonl(0xe0000000) &&
		       (group[0] & bpf_htonl(0xffffff00)) != bpf_htonl(0xe0000000);
	return (group[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000) &&
	       (bpf_ntohl(group[0]) >> 16 & 0xf) > IP6_SCOPE_LINK;
}

/* Which list the packet in scratch goes by: that of its group where reports are taken, else that of
 * all. It is left in scratch as a key, for a pointer would cost the verifier all ways it was found by. */
VERIFIED_ONCE int flood_choose(__u32 vrf, __u32 family, __u32 is_all)
{
	struct scratch *s = get_scratch();
	struct flood_key *key;
	int i;

	if (!s)
		return 0;
	key = &s->flood_key;
	if (!(flood_flags(vrf) & FLOOD_SNOOPS) || !family || is_all ||
	    !is_wide_group(s->key.destination, family))
		return 0; /* The key is that of all by now. */
	for (i = 0; i < 4; i++) {
		key->group[i] = s->key.destination[i];
		key->source[i] = s->key.source[i];
	}
	if (bpf_map_lookup_elem(&floods, key))
		return 0;
	__builtin_memset(key->source, 0, sizeof(key->source));
	if (bpf_map_lookup_elem(&floods, key))
		return 0;
	__builtin_memset(key->group, 0, sizeof(key->group));
	__builtin_memset(key->source, 0xff, sizeof(key->source));
	if (bpf_map_lookup_elem(&floods, key))
		return 0;
	__builtin_memset(key->source, 0, sizeof(key->source));
	return 0;
}

/* Whether a packet is about who listens to which group, and somebody here takes that. */
static __noinline bool is_membership(const struct packet *p, __u32 vrf, __u32 family)
{
	__u32 type;

	if (family == FAMILY_V4) {
		if (p->key4.protocol != IP_PROTOCOL_IGMP)
			return false;
	} else {
		type = bpf_ntohs(p->policy_port);
		if (p->key6.protocol != IP_PROTOCOL_ICMP6 || p->flags & PACKET_LATER_FRAGMENT ||
		    !((type >= MLD_QUERY && type <= MLD_DONE) || type == MLD_REPORT2))
			return false;
	}
	return flood_flags(vrf) & FLOOD_SNOOPS;
}

#endif
