/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Ageing and purging of flows, run by the agent through BPF_PROG_RUN. The scan compares counters
 * with what it saw last, so forwarding never reads a clock.
 */
#ifndef SKYTRAIL_FLOW_SCAN_H
#define SKYTRAIL_FLOW_SCAN_H

#include "flow.h"

static __always_inline __u64 pair_packets(__u32 index, bool *answered)
{
	struct flow_counters *counters;
	__u64 packets = 0;
	__u32 cpu, slot;

	for (cpu = 0; cpu < CPU_COUNT_MAX; cpu++) {
		if (cpu >= limits.cpu_count)
			break;
		slot = cpu * limits.flow_pairs_max + index;
		counters = bpf_map_lookup_elem(&flow_counters, &slot);
		if (!counters)
			continue;
		packets += counters->packets[0] + counters->packets[1];
		if (counters->packets[1])
			*answered = true;
	}
	return packets;
}

/* What is configured for a flow: by the port it was opened to, or by its protocol; 0: nothing. */
static __noinline __u64 idle_configured(const struct flow_key6 *key)
{
	struct ageing_key ageing_key = { .port = key->destination_port, .protocol = key->protocol };
	__u64 *idle = bpf_map_lookup_elem(&ageing, &ageing_key);

	if (!idle) {
		ageing_key.port = 0;
		idle = bpf_map_lookup_elem(&ageing, &ageing_key);
	}
	return idle ? *idle : 0;
}

static __always_inline __u64 idle_limit(const struct flow_scan *scan, const struct flow *flow,
					const struct flow_key6 *key, bool answered)
{
	const __u8 protocol = key->protocol;
	__u64 configured;

	if (flow->flags & (FLOW_CLOSED | FLOW_DENY))
		return scan->idle_closed_ns;
	configured = scan->has_ageing ? idle_configured(key) : 0;
	if (configured && (protocol != IP_PROTOCOL_TCP || answered))
		return configured;
	if (protocol == IP_PROTOCOL_TCP && !answered && flow->flags & FLOW_TRANSLATED)
		return scan->idle_opening_ns;
	/* A SYN nobody answered is no connection: probing must not fill the table for long. */
	return protocol == IP_PROTOCOL_TCP && answered ? scan->idle_tcp_ns : scan->idle_udp_ns;
}

/* True when the pair was silent for longer than its limit. */
static __always_inline bool pair_idle(const struct flow_scan *scan, const struct flow *flow,
				      const struct flow_key6 *key)
{
	const __u32 index = flow->pair;
	struct flow_pair *pair = bpf_map_lookup_elem(&flow_pairs, &index);
	bool answered = false;
	__u64 packets;

	if (!pair)
		return true;
	packets = pair_packets(index, &answered);
	if (!pair->active_ns || packets != pair->packets_seen) {
		pair->packets_seen = packets;
		pair->active_ns = scan->now_ns;
		return false;
	}
	return scan->now_ns - pair->active_ns > idle_limit(scan, flow, key, answered);
}

/* One entry. `key` is in the long form whatever the family. */
static __noinline int scan_entry(struct flow_scan *scan, const struct flow_key6 *key,
				 struct flow *flow, __u32 family)
{
	struct flow_key6 pair_key;

	__builtin_memset(&pair_key, 0, sizeof(pair_key));
	scan->visited++;
	if (flow->flags & FLOW_REVERSE) {
		struct flow *forward;

		mirror_flow(&pair_key, key, flow, family);
		forward = flow_find(&pair_key, family);
		if (!forward || forward->pair != flow->pair)
			flow_erase(key, family);
		return 0;
	}
	if (scan->purge_vif) {
		if (key->vif != scan->purge_vif && flow->peer_vif != scan->purge_vif)
			return 0;
	} else if (!pair_idle(scan, flow, key)) {
		return 0;
	}
	flow_remove(key, flow, &pair_key, family);
	scan->deleted++;
	return 0;
}

static long scan_flow4(void *map, const struct flow_key4 *key, struct flow *flow,
		       struct flow_scan *scan)
{
	struct flow_key6 long_key;

	to_key6(&long_key, key);
	scan_entry(scan, &long_key, flow, FAMILY_V4);
	return 0;
}

static long scan_flow6(void *map, const struct flow_key6 *key, struct flow *flow,
		       struct flow_scan *scan)
{
	struct flow_key6 own = *key;

	scan_entry(scan, &own, flow, FAMILY_V6);
	return 0;
}

/* A raw tracepoint for its BPF_PROG_RUN alone: a system call program would be sleepable, which Linux
 * 6.1 keeps away from stacks, and a tc program is run with softirqs off on newer kernels. Never attached.
 * Returns how many pairs were deleted. */
SEC("raw_tp")
int flow_scan(struct flow_scan *argument)
{
	struct flow_scan scan = *argument;

	scan.deleted = 0;
	scan.visited = 0;
	bpf_for_each_map_elem(&flows4, scan_flow4, &scan, 0);
	bpf_for_each_map_elem(&flows6, scan_flow6, &scan, 0);
	return scan.deleted;
}

#endif
