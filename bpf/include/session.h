/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Beginnings and ends of flows for whoever keeps records of them. Only the slow path comes here, and
 * does nothing unless somebody reads.
 */
#ifndef SKYTRAIL_SESSION_H
#define SKYTRAIL_SESSION_H

#include "packet.h"

static __always_inline bool sessions_are_wanted(void)
{
	const __u32 zero = 0;
	const __u32 *wanted = bpf_map_lookup_elem(&sessions_wanted, &zero);

	return wanted && *wanted;
}

/* What both directions of the pair had by now, over all CPUs. */
static __always_inline void session_count(struct session_event *event, __u32 pair)
{
	struct flow_counters *counters;
	__u32 cpu, slot;

	for (cpu = 0; cpu < CPU_COUNT_MAX; cpu++) {
		if (cpu >= limits.cpu_count)
			break;
		slot = cpu * limits.flow_pairs_max + pair;
		counters = bpf_map_lookup_elem(&flow_counters, &slot);
		if (!counters)
			continue;
		event->packets[0] += counters->packets[0];
		event->packets[1] += counters->packets[1];
		event->bytes[0] += counters->bytes[0];
		event->bytes[1] += counters->bytes[1];
	}
}

/* `what`: family, kind above it, and the far end's identity above both. */
VERIFIED_ONCE int session_tell(const struct flow_key6 *key, const struct flow *flow, __u64 what)
{
	const __u32 zero = 0;
	struct session_counters *counters = bpf_map_lookup_elem(&session_counters, &zero);
	struct session_event *event;

	if (!key || !flow || !counters)
		return 0;
	counters->events++;
	event = bpf_ringbuf_reserve(&sessions, sizeof(*event), 0);
	if (!event) {
		counters->lost++;
		return 0;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->time_ns = bpf_ktime_get_tai_ns();
	event->created_ns = flow->created_ns;
	event->pair = flow->pair;
	event->rule = flow->rule;
	event->identity = what >> 32;
	event->source_bits = bpf_ntohs(flow->to.source_port);
	event->destination_bits = bpf_ntohs(flow->to.destination_port);
	event->nexthop = flow->nexthop;
	event->peer_vif = flow->peer_vif;
	event->family = what;
	event->kind = what >> 8;
	event->flags = flow->flags;
	event->drop_reason = flow->flags & FLOW_DENY ? flow->drop_reason : 0;
	event->key = *key;
	if (event->kind == SESSION_END)
		session_count(event, flow->pair);
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

static __always_inline __u64 session_what(__u32 family, __u32 kind, __u32 identity)
{
	return family | kind << 8 | (__u64)identity << 32;
}

#endif
