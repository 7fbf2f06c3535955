/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Copies of packets, second half: each gets its mirror's header and goes to the analyzer, through a
 * tunnel, to a local workload, or into the underlay. What does not fit into the way's MTU is cut off
 * at the end; the record header says how long the packet was.
 */
#ifndef SKYTRAIL_MIRROR_SEND_H
#define SKYTRAIL_MIRROR_SEND_H

#include "mirror.h"
#include "nexthop.h"

#define MIRROR_FIXED_BYTES (14 + 20 + 8 + 16)

/* The start of a mirror's header, where things depend on the packet. */
struct mirror_front {
	__u8 ethernet[14];
	__u8 ip[20];
	__u8 udp[8];
	__u8 pcap[16];
} __attribute__((packed));

struct mirror_way {
	struct nexthop *nh;
	__u32 label;
	__u8 mac[8];
};

static __always_inline bool mirror_find(const struct mirror *m, struct mirror_way *way)
{
	const __be32 address[4] = { m->analyzer };
	struct route *route = NULL;
	__u32 id = m->nexthop;

	way->label = 0;
	__builtin_memset(way->mac, 0, sizeof(way->mac));
	if (m->kind == MIRROR_ROUTED)
		route = route_lookup(m->vrf, address, FAMILY_V4);
	else if (m->kind == MIRROR_BRIDGED)
		route = bridge_lookup(m->vrf, m->mac);
	if (route) {
		id = route->nexthop;
		way->label = route->label;
		mac_copy(way->mac, route->mac);
	}
	if (!id)
		return false;
	way->nh = nexthop_lookup(id);
	if (way->nh && way->nh->kind == NEXTHOP_ECMP) {
		const struct ecmp_members *ecmp = bpf_map_lookup_elem(&ecmp_members, &id);

		if (!ecmp || !ecmp->used)
			return false;
		way->label = ecmp->member[0].label;
		way->nh = nexthop_lookup(ecmp->member[0].nexthop);
	}
	return way->nh != NULL;
}

static __always_inline __u32 ip_sum(const __u8 *ip)
{
	__u16 words[10];

	__builtin_memcpy(words, ip, sizeof(words));
	return ip4_header_sum(words, 0);
}

/* Lengths, times and sums; `bytes` follow the Ethernet header, `kept` of `original` are the packet. */
static __always_inline void mirror_finish(struct mirror_front *front, const struct mirror *m,
					  __u32 bytes, __u32 kept, __u32 original)
{
	__u32 record[4];
	__be16 word;
	__u64 now;

	word = bpf_htons(bytes);
	__builtin_memcpy(front->ip + 2, &word, 2);
	word = 0;
	__builtin_memcpy(front->ip + 10, &word, 2);
	word = ip_sum(front->ip);
	__builtin_memcpy(front->ip + 10, &word, 2);
	if (m->flags & MIRROR_UDP) {
		word = bpf_htons(bytes - 20);
		__builtin_memcpy(front->udp + 4, &word, 2);
	}
	if (m->flags & MIRROR_PCAP) {
		now = bpf_ktime_get_tai_ns() - limits.tai_offset_ns;
		record[0] = bpf_htonl(now / 1000000000);
		record[1] = bpf_htonl(now % 1000000000 / 1000);
		record[2] = bpf_htonl(kept);
		record[3] = bpf_htonl(original);
		__builtin_memcpy(front->pcap, record, 16);
	}
}

/* Puts the header at `at` of the frame: without its Ethernet part if `skip` is that long. */
static __always_inline long mirror_store(struct __sk_buff *ctx, const struct mirror *m,
					 struct mirror_front *front, __u32 at, __u32 skip)
{
	const __u32 all = m->header_bytes;
	__u32 fixed = MIRROR_FIXED_BYTES, rest;
	long failure;

	if (!(m->flags & MIRROR_PCAP))
		fixed = m->flags & MIRROR_UDP ? 14 + 20 + 8 : 14 + 20;
	if (all < fixed || all > MIRROR_HEADER_BYTES_MAX)
		return -1;
	if (skip)
		failure = fixed == MIRROR_FIXED_BYTES ?
				  bpf_skb_store_bytes(ctx, at, front->ip, MIRROR_FIXED_BYTES - 14, 0) :
				  bpf_skb_store_bytes(ctx, at, front->ip, fixed - 14, 0);
	else
		failure = bpf_skb_store_bytes(ctx, at, front, fixed, 0);
	rest = all - fixed;
	if (failure || !rest)
		return failure;
	if (!is_size(&rest, MIRROR_HEADER_BYTES_MAX - MIRROR_FIXED_BYTES))
		return -1;
	if (fixed == MIRROR_FIXED_BYTES)
		return bpf_skb_store_bytes(ctx, at + MIRROR_FIXED_BYTES - skip,
					   m->header + MIRROR_FIXED_BYTES, rest, 0);
	if (fixed == 14 + 20 + 8)
		return bpf_skb_store_bytes(ctx, at + 14 + 20 + 8 - skip, m->header + 14 + 20 + 8,
					   rest, 0);
	return bpf_skb_store_bytes(ctx, at + 14 + 20 - skip, m->header + 14 + 20, rest, 0);
}

static __always_inline long mirror_outer(struct __sk_buff *ctx, const struct nexthop *nh,
					 __u32 label)
{
	const __be16 entropy = bpf_htons(COPY_SOURCE_PORT);
	const __u8 ttl = COPY_LABEL_TTL;

	long failure;

	if (nh->encapsulation == ENCAP_NATIVE)
		return write_outer_macs(ctx, nh);
	failure = outer_write(ctx, nh, label, entropy, 0);
	if (failure || nh->encapsulation != ENCAP_MPLS_GRE)
		return failure;
	return bpf_skb_store_bytes(ctx,
				   nh->flags & NEXTHOP_OUTER6 ? MPLSGRE6_LABEL_OFFSET + 3 :
								MPLSGRE_LABEL_OFFSET + 3,
				   &ttl, 1, 0);
}

/* Grows the frame by tunnel and mirror headers and fills them. Zero, or the kernel's refusal. */
static __noinline long mirror_encapsulate(struct __sk_buff *ctx, const struct mirror *m,
					  struct mirror_way *way, __u32 original)
{
	const struct nexthop *nh = way->nh;
	const __u32 outer = outer_bytes(nh), kept = ctx->len;
	const bool whole = nh->flags & NEXTHOP_LAYER2 || nh->encapsulation == ENCAP_VXLAN;
	const __u32 skip = outer && !whole ? ETHERNET_BYTES : 0;
	struct mirror_front front;

	if (!(m->flags & MIRROR_IP)) {
		if (outer ? !whole : nh->kind == NEXTHOP_TUNNEL)
			return -1;
		return outer ? bpf_skb_change_head(ctx, outer, 0) : 0;
	}
	__builtin_memcpy(&front, m->header, sizeof(front));
	mac_copy(front.ethernet, way->mac);
	mirror_finish(&front, m, m->header_bytes - ETHERNET_BYTES + kept, kept, original);
	if (bpf_skb_change_head(ctx, outer + m->header_bytes - skip, 0))
		return -1;
	return mirror_store(ctx, m, &front, outer, skip);
}

static __always_inline int mirror_give_up(__u32 id)
{
	mirror_lost(id);
	return TC_ACT_SHOT;
}

/* A packet to be mirrored, at the far end of the agent's device. */
SEC("tc")
int mirror_ingress(struct __sk_buff *ctx)
{
	const __u32 id = ctx->mark;
	struct mirror *m = bpf_map_lookup_elem(&mirrors, &id);
	struct mirror_counters *counters = bpf_map_lookup_elem(&mirror_counters, &id);
	const __u32 original = ctx->len;
	struct interface *to = NULL;
	struct mirror_way way;
	__u32 header, out, room;

	/* The host's own packets have no mark. */
	if (!id || !m || !counters || !m->kind)
		return mirror_give_up(id);
	if (!mirror_find(m, &way))
		return mirror_give_up(id);
	room = way.nh->mtu;
	out = 0;
	if (way.nh->kind == NEXTHOP_INTERFACE) {
		to = interface_by_vif(way.nh->vif);
		if (!to || !to->kind)
			return mirror_give_up(id);
		room = to->mtu;
		out = to->ifindex;
		mac_copy(way.mac, to->mac);
	} else if (way.nh->kind != NEXTHOP_TUNNEL ||
		   !(way.nh->flags & (NEXTHOP_RESOLVED | NEXTHOP_ROUTED))) {
		return mirror_give_up(id);
	}
	/* What the header and the packet behind it may have after one Ethernet header. */
	header = m->flags & MIRROR_IP ? m->header_bytes : ETHERNET_BYTES;
	if (m->flags & MIRROR_IP ? header - ETHERNET_BYTES + original > room :
				   original - ETHERNET_BYTES > room) {
		const __u32 keep = m->flags & MIRROR_IP ? room + ETHERNET_BYTES - header :
							  room + ETHERNET_BYTES;

		if (keep > room + ETHERNET_BYTES || bpf_skb_change_tail(ctx, keep, 0))
			return mirror_give_up(id);
		counters->truncated++;
	}
	if (mirror_encapsulate(ctx, m, &way, original))
		return mirror_give_up(id);
	if (!to && mirror_outer(ctx, way.nh, way.label))
		return mirror_give_up(id);
	if (!to)
		out = tunnel_link(ctx, way.nh, bpf_htons(COPY_SOURCE_PORT));
	if (!out)
		return mirror_give_up(id);
	counters->copies++;
	return bpf_redirect(out, 0);
}

#endif
