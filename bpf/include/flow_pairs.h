/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Indices of pairs of flow entries, by which both directions find their counters, and how many flows
 * each interface owns.
 */
#ifndef SKYTRAIL_FLOW_PAIRS_H
#define SKYTRAIL_FLOW_PAIRS_H

#include "packet.h"

/* An unused pair index, or 0 when all are taken. */
static __always_inline __u32 pair_allocate(void)
{
	const __u32 zero = 0;
	__u32 *next, index = 0;

	if (!bpf_map_pop_elem(&flow_pairs_free, &index))
		return index;
	next = bpf_map_lookup_elem(&flow_pair_next, &zero);
	if (!next || *next + 1 >= limits.flow_pairs_max)
		return 0;
	index = __sync_fetch_and_add(next, 1) + 1;
	if (index >= limits.flow_pairs_max) {
		/* Lost a race for the last one; the counter must not run away. */
		__sync_fetch_and_add(next, -1);
		return 0;
	}
	return index;
}

/* Zeroes the counters of every CPU, so that the next owner starts at nothing. */
VERIFIED_ONCE int pair_free(__u32 index)
{
	struct flow_counters *counters;
	struct flow_pair *pair;
	__u32 cpu, slot;

	for (cpu = 0; cpu < CPU_COUNT_MAX; cpu++) {
		if (cpu >= limits.cpu_count)
			break;
		slot = cpu * limits.flow_pairs_max + index;
		counters = bpf_map_lookup_elem(&flow_counters, &slot);
		if (counters)
			__builtin_memset(counters, 0, sizeof(*counters));
	}
	pair = bpf_map_lookup_elem(&flow_pairs, &index);
	if (pair)
		__builtin_memset(pair, 0, sizeof(*pair));
	return bpf_map_push_elem(&flow_pairs_free, &index, 0);
}

static __always_inline void interface_flows_add(__u32 vif, __s32 change)
{
	const __u32 everybody = 0;
	__u32 *owned = bpf_map_lookup_elem(&interface_flows, &vif);

	if (owned)
		__sync_fetch_and_add(owned, change);
	owned = bpf_map_lookup_elem(&interface_flows, &everybody);
	if (owned)
		__sync_fetch_and_add(owned, change);
}

#endif
