/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flow tables: keys, lookup, pair indices, counters, creation and removal of pairs.
 *
 * A flow belongs to the interface whose policy admitted it. Its reverse entry has the tuple
 * mirrored and lives at the same interface in the other direction, or, when both ends are local,
 * at the peer interface.
 */
#ifndef SKYTRAIL_FLOW_H
#define SKYTRAIL_FLOW_H

#include "session.h"

/* What a policy is asked, and its answers (policy.h). */
struct policy_question {
	__u32 policy;
	__u32 identity; /* Of the far end. */
	__be32 address[4];
	__u32 family;
	__u32 protocol;
	__be16 source_port;
	__be16 destination_port;
	__u32 rule; /* Answers. */
	__u32 vrf;
	__u32 qos;
	__u32 by_source_port;
	__u32 mirror;
};

/* The slow path works on one key shape; IPv4 addresses use the first word, the rest is zero. */
struct scratch {
	struct flow_key6 key;
	struct flow_key6 pair_key;
	struct flow_key6 own_key;  /* Of a reverse entry while its forward one is evaluated. */
	struct flow_key6 lone_key; /* Of an entry being removed. */
	__u8 own_mac[8], own_source_mac[8]; /* Likewise. */
	struct policy_question question; /* Not on the stack: deep callers ask. */
	struct flow flow; /* The decision. */
	__u32 vrf; /* Where the rule last asked leads; 0: nowhere else. */
	__u32 merged; /* The flow at hand is one of several connections (fat.h). */
	__u32 by_source_port; /* What was asked of policy depends on the source port. */
	__u32 qos; /* How the rule last asked has packets marked; 0: it does not say. */
	__u32 mirror; /* Who gets copies by it; 0: nobody. */
	__u32 far_identity; /* Of the end that the owner's policy was asked about. */
	/* Of an answer: where its question came from, a host or an interface here. */
	__be32 back_from;
	__u32 back_vif;
	/* Who the sender is: its interface's, or its floating address's. */
	__u32 sender_vrf, sender_policy, sender_identity;
	__u32 quotes; /* The packet is an ICMP error about a translated flow. */
	struct translation quoted; /* What the packet it quotes becomes. */
	__u32 fabric; /* The flow leaves by a port of the host: its reverse entry is there alone. */
	__u32 kept_port; /* The port it has of the host, when it is decided again. */
	struct flood_key flood_key; /* Of the list that copies are made by. */
};

/* Working space of the slow path: programs run with bottom halves off, so one per CPU is enough. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} scratches SEC(".maps");

static __always_inline struct scratch *get_scratch(void)
{
	const __u32 zero = 0;

	return bpf_map_lookup_elem(&scratches, &zero);
}

/* The decision a miss left behind. */
static __always_inline struct flow *decided_flow(void)
{
	struct scratch *s = get_scratch();

	if (!s)
		return NULL;
	/* Or the compiler computes the address first, which Linux 6.1 refuses. */
	asm volatile("" : "+r"(s));
	return &s->flow;
}

static __always_inline void to_key4(struct flow_key4 *to, const struct flow_key6 *from)
{
	to->source = from->source[0];
	to->destination = from->destination[0];
	to->source_port = from->source_port;
	to->destination_port = from->destination_port;
	to->vif = from->vif;
	to->protocol = from->protocol;
	to->direction = from->direction;
}

static __always_inline void to_key6(struct flow_key6 *to, const struct flow_key4 *from)
{
	__builtin_memset(to, 0, sizeof(*to));
	to->source[0] = from->source;
	to->destination[0] = from->destination;
	to->source_port = from->source_port;
	to->destination_port = from->destination_port;
	to->vif = from->vif;
	to->protocol = from->protocol;
	to->direction = from->direction;
}

static __always_inline void mirror_key(struct flow_key6 *to, const struct flow_key6 *from,
				       __u16 peer_vif)
{
	__builtin_memcpy(to->source, from->destination, 16);
	__builtin_memcpy(to->destination, from->source, 16);
	to->source_port = from->destination_port;
	to->destination_port = from->source_port;
	to->protocol = from->protocol;
	to->vif = peer_vif ?: from->vif;
	to->direction = peer_vif ? from->direction : !from->direction;
}

/* The key of the other entry of a pair: the mirror image of what a packet leaves as. */
static __always_inline void mirror_flow(struct flow_key6 *to, const struct flow_key6 *from,
					const struct flow *flow)
{
	mirror_key(to, from, flow->peer_vif);
	if (likely(!(flow->flags & FLOW_TRANSLATED)))
		return;
	to->source[0] = flow->to.destination;
	to->destination[0] = flow->to.source;
	to->source_port = flow->to.destination_port;
	to->destination_port = flow->to.source_port;
}

static __noinline struct flow *flow_find(const struct flow_key6 *key, __u32 family)
{
	struct flow_key4 key4;

	if (family == FAMILY_V6)
		return bpf_map_lookup_elem(&flows6, key);
	to_key4(&key4, key);
	return bpf_map_lookup_elem(&flows4, &key4);
}

static __noinline long flow_insert(const struct flow_key6 *key, const struct flow *flow,
				   __u32 family)
{
	struct flow_key4 key4;

	if (family == FAMILY_V6)
		return bpf_map_update_elem(&flows6, key, flow, BPF_NOEXIST);
	to_key4(&key4, key);
	return bpf_map_update_elem(&flows4, &key4, flow, BPF_NOEXIST);
}

static __noinline long flow_erase(const struct flow_key6 *key, __u32 family)
{
	struct flow_key4 key4;

	if (family == FAMILY_V6)
		return bpf_map_delete_elem(&flows6, key);
	to_key4(&key4, key);
	return bpf_map_delete_elem(&flows4, &key4);
}

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

/* Removes a forward entry, its reverse entry if any, and frees what they own. Whoever erases the
 * forward entry frees the pair, so two CPUs never free it twice. Not verified once: Linux 6.1 takes no
 * map key from a pointer it knows only as memory. */
static __noinline int flow_remove(const struct flow_key6 *key, const struct flow *flow,
				  struct flow_key6 *pair_key, __u32 family)
{
	const __u32 index = flow->pair;
	const __u8 flags = flow->flags;
	struct flow *reverse;

	mirror_flow(pair_key, key, flow);
	if (unlikely(sessions_are_wanted()))
		session_tell(key, flow, session_what(family, SESSION_END, 0));
	if (flow_erase(key, family))
		return 0;
	if (flags & FLOW_HAS_PAIR) {
		reverse = flow_find(pair_key, family);
		if (reverse && (reverse->flags & FLOW_REVERSE) && reverse->pair == index)
			flow_erase(pair_key, family);
	}
	interface_flows_add(key->vif, -1);
	return pair_free(index);
}

/* Packets and bytes of one direction. Each CPU has its own slice and is not interrupted. */
static __always_inline void flow_count(const struct __sk_buff *ctx, const struct flow *flow)
{
	const __u32 slot = bpf_get_smp_processor_id() * limits.flow_pairs_max + flow->pair;
	struct flow_counters *counters = bpf_map_lookup_elem(&flow_counters, &slot);
	const __u32 segments = ctx->gso_segs;

	if (unlikely(!counters))
		return;
	if (flow->flags & FLOW_REVERSE) {
		counters->packets[1] += segments ?: 1;
		counters->bytes[1] += ctx->len;
	} else {
		counters->packets[0] += segments ?: 1;
		counters->bytes[0] += ctx->len;
	}
}

/* Label and next hop as one value; another CPU may be changing the entry. */
static __always_inline __u64 flow_way(const struct flow *flow)
{
	return *(const volatile __u64 *)&flow->label;
}

static __always_inline __u32 way_label(__u64 way)
{
	return (__u32)way;
}

static __always_inline __u32 way_nexthop(__u64 way)
{
	return (__u16)(way >> 32);
}

/* A SYN on a connection whose opener said goodbye, or that is closed, begins another one. */
static __always_inline bool flow_reopens(const struct flow *flow, const struct packet *p)
{
	return p->flags & PACKET_OPENS && flow->flags & (FLOW_CLOSED | FLOW_FINISHED);
}

/* Spreads keys over ECMP members and outer source ports; the same after a restart. */
static __always_inline __u32 flow_hash(const struct flow_key6 *key)
{
	const __u32 *word = (const __u32 *)key;
	__u64 hash = 0x9e3779b97f4a7c15ULL;
	int i;

	/* Not the last word: interface and direction would make two hosts disagree. */
#pragma unroll
	for (i = 0; i < 9; i++) {
		hash ^= word[i];
		hash *= 0xff51afd7ed558ccdULL;
		hash ^= hash >> 29;
	}
	return hash >> 32;
}

#endif
