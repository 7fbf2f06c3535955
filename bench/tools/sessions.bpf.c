// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Writes beginnings and ends of sessions as the datapath does, into a ring of the same shape: what the
 * rest of the way to the store takes, without the packets.
 */
#include <linux/bpf.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "../../bpf/include/abi.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

enum {
	SESSIONS_A_RUN = 512,
	KIND_COUNT = 4096, /* Of sessions; a power of two. */
	PAIR_COUNT = 131072,
	RING_FULL_BYTES = 2097152, /* Half of it: there is no loss to be measured. */
};

/* What sessions of a kind have in common. */
struct kind {
	__u8 source[4];
	__u8 destination[4];
	__u32 rule;
	__u32 identity;
	__u16 vif;
	__u16 nexthop;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KIND_COUNT);
	__type(key, __u32);
	__type(value, struct kind);
} kinds SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4194304);
} sessions SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} sessions_wanted SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct session_counters);
} session_counters SEC(".maps");

static __always_inline int tell(__u64 number, __u8 kind)
{
	__u32 which = number & (KIND_COUNT - 1);
	const struct kind *as = bpf_map_lookup_elem(&kinds, &which);
	struct session_event *event;

	if (!as)
		return 1;
	event = bpf_ringbuf_reserve(&sessions, sizeof(*event), 0);
	if (!event)
		return 1;
	__builtin_memset(event, 0, sizeof(*event));
	event->time_ns = bpf_ktime_get_tai_ns();
	event->created_ns = number + 1;
	event->pair = number & (PAIR_COUNT - 1);
	event->rule = as->rule;
	event->identity = kind == SESSION_BEGIN ? as->identity : 0;
	event->nexthop = as->nexthop;
	event->kind = kind;
	event->family = 4;
	__builtin_memcpy(event->key.source, as->source, sizeof(as->source));
	__builtin_memcpy(event->key.destination, as->destination, sizeof(as->destination));
	event->key.source_port = bpf_htons(32768 + number % 28000);
	event->key.destination_port = bpf_htons(number & 1 ? 443 : 5432);
	event->key.vif = as->vif;
	event->key.protocol = 6;
	if (kind == SESSION_END) {
		event->packets[0] = number % 100;
		event->packets[1] = number % 300;
		event->bytes[0] = number % 100000;
		event->bytes[1] = number % 900000;
	}
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	return 0;
}

/* Sessions from `ctx->args[0]` on. How many records had no room; 100,000: the ring is half full, nothing is told. */
SEC("raw_tp")
int write_sessions(struct bpf_raw_tracepoint_args *ctx)
{
	__u64 first = ctx->args[0];
	int lost = 0;
	__u32 i;

	if (bpf_ringbuf_query(&sessions, BPF_RB_AVAIL_DATA) > RING_FULL_BYTES)
		return 100000;
	for (i = 0; i < SESSIONS_A_RUN; i++)
		lost += tell(first + i, SESSION_BEGIN);
	for (i = 0; i < SESSIONS_A_RUN; i++)
		lost += tell(first + i, SESSION_END);
	return lost;
}
