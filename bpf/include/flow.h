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

#include "flow_keys.h"
#include "flow_pairs.h"
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

/* What of a packet that an ICMPv6 error quotes is translated, in the order of the sums. */
struct quoted_words {
	__be32 source[4];
	__be32 destination[4];
	__be16 ports[2];
	__u16 sum[2];
};

/* The slow path works on one key shape; IPv4 addresses use the first word, the rest is zero. */
struct scratch {
	struct flow_key6 key;
	struct flow_key6 pair_key;
	struct flow_key6 own_key;  /* Of a reverse entry while its forward one is evaluated. */
	struct flow_key6 lone_key; /* Of an entry being removed. */
	struct flow_key6 folded;   /* Of an entry that many addresses share (fold.h). */
	struct flow_key6 folded_question; /* The question that it would be found by. */
	__u32 folded_bits[2]; /* What the key has of source and destination. */
	__u8 own_mac[8], own_source_mac[8]; /* Likewise. */
	struct policy_question question; /* Not on the stack: deep callers ask. */
	union { /* The decision. */
		struct flow flow;
		struct flow6 flow6;
	};
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
	struct translation_rest quoted_rest;
	struct quoted_words quoted_was, quoted_is; /* Likewise. */
	__u32 fabric; /* The flow leaves by a port that is not its own: nobody else's answers come by it. */
	__u32 snat; /* The INTERFACE_SNAT that it leaves by; 0: by none. */
	__u32 kept_rule; /* That an answer had before its own way was looked up. */
	__u32 kept_port; /* The port it has of the host, when it is decided again. */
	struct flood_key flood_key; /* Of the list that copies are made by. */
	/* Bytes of outer header that copies have by now. Not on the stack: Linux 6.1 verifies the body of
	 * a loop once, takes the first turn's value there for every turn's, and removes what else is. */
	__u32 copy_room;
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

/* The other words of what an IPv6 packet of the entry under `key` leaves with. By its key: who has an
 * entry of either family at hand may not look beyond what both have. */
static __noinline const struct translation_rest *rest_of(const struct flow_key6 *key)
{
	const struct flow6 *flow = bpf_map_lookup_elem(&flows6, key);

	return flow ? &flow->rest : NULL;
}

static __always_inline void mirror_rest(struct flow_key6 *to, const struct translation_rest *rest)
{
	__builtin_memcpy(to->source + 1, rest->destination, sizeof(rest->destination));
	__builtin_memcpy(to->destination + 1, rest->source, sizeof(rest->source));
}

static __always_inline void mirror_translation(struct flow_key6 *to, const struct translation *as)
{
	to->source[0] = as->destination;
	to->destination[0] = as->source;
	to->source_port = as->destination_port;
	to->destination_port = as->source_port;
}

/* The key of the other entry of a pair, of which `from` is one: the mirror image of what a packet
 * leaves as. */
static __always_inline void mirror_flow(struct flow_key6 *to, const struct flow_key6 *from,
					const struct flow *flow, __u32 family)
{
	const struct translation_rest *rest;

	mirror_key(to, from, flow->peer_vif);
	if (likely(!(flow->flags & FLOW_TRANSLATED)))
		return;
	mirror_translation(to, &flow->to);
	if (family != FAMILY_V6)
		return;
	rest = rest_of(from);
	if (rest)
		mirror_rest(to, rest);
}

/* The same for the decision at hand, which may not be stored yet. */
static __always_inline void mirror_decided(struct scratch *s)
{
	mirror_key(&s->pair_key, &s->key, s->flow.peer_vif);
	if (likely(!(s->flow.flags & FLOW_TRANSLATED)))
		return;
	mirror_translation(&s->pair_key, &s->flow.to);
	mirror_rest(&s->pair_key, &s->flow6.rest);
}

/* The decision is what the entry under s->key says already. */
static __noinline int flow_take(struct scratch *s, const struct flow *flow, __u32 family)
{
	const struct translation_rest *rest;

	s->flow = *flow;
	if (family != FAMILY_V6 || !(flow->flags & FLOW_TRANSLATED))
		return 0;
	rest = rest_of(&s->key);
	if (rest)
		s->flow6.rest = *rest;
	return 0;
}

/* The entry under s->key says what the decision is. */
static __noinline int flow_give(struct scratch *s, struct flow *flow, __u32 family)
{
	struct flow6 *whole;

	*flow = s->flow;
	if (family != FAMILY_V6 || !(s->flow.flags & FLOW_TRANSLATED))
		return 0;
	whole = bpf_map_lookup_elem(&flows6, &s->key);
	if (whole)
		whole->rest = s->flow6.rest;
	return 0;
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

/* Removes a forward entry, its reverse entry if any, and frees what they own. Whoever erases the
 * forward entry frees the pair, so two CPUs never free it twice. Not verified once: Linux 6.1 takes no
 * map key from a pointer it knows only as memory. */
static __noinline int flow_remove(const struct flow_key6 *key, const struct flow *flow,
				  struct flow_key6 *pair_key, __u32 family)
{
	const __u32 index = flow->pair;
	const __u8 flags = flow->flags;
	struct flow *reverse;

	mirror_flow(pair_key, key, flow, family);
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

#endif
