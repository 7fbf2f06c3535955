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

/* What a copy's header has at least, behind Ethernet's. */
#define MIRROR_IP_BYTES 20
#define MIRROR_UDP_BYTES 8
#define MIRROR_RECORD_BYTES 16
/* UDP over IPv6 is summed up by parts; so many of them are more than any link's MTU. */
#define SUM_PART_BYTES 128
#define SUM_PARTS_MAX 520

struct mirror_way {
	struct nexthop *nh;
	__u32 label;
	__u8 mac[6];
	__u16 skip; /* Bytes of the mirror's header that are left out: Ethernet's, or none. */
};

/* Bytes of a frame that are summed up. */
struct mirror_sum {
	struct __sk_buff *ctx;
	__u32 at;
	__u32 end;
	__s64 sum; /* Below 0: it could not be read. */
};

static __always_inline bool mirror_find(const struct mirror *m, struct mirror_way *way)
{
	const __be32 address[4] = { m->analyzer[0], m->analyzer[1], m->analyzer[2],
				    m->analyzer[3] };
	struct route *route = NULL;
	__u32 id = m->nexthop;

	way->label = 0;
	__builtin_memset(way->mac, 0, sizeof(way->mac));
	if (m->kind == MIRROR_ROUTED)
		route = m->flags & MIRROR_IP6 ? route_lookup(m->vrf, address, FAMILY_V6) :
						route_lookup(m->vrf, address, FAMILY_V4);
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

static long mirror_sum_part(__u32 index, struct mirror_sum *s)
{
	__u8 part[SUM_PART_BYTES] = {};
	__u32 bytes = s->end - s->at;

	if (s->at >= s->end)
		return 1;
	if (bytes > SUM_PART_BYTES)
		bytes = SUM_PART_BYTES;
	if (!is_size(&bytes, SUM_PART_BYTES) || bpf_skb_load_bytes(s->ctx, s->at, part, bytes)) {
		s->sum = -1;
		return 1;
	}
	s->sum = bpf_csum_diff(NULL, 0, (void *)part, sizeof(part), s->sum);
	s->at += bytes;
	return s->sum < 0;
}

/* The length of IPv6 at `ip`, and of UDP with its checksum, without which no socket takes it. What is
 * a tunnel's goes without (ADR 0271). */
static __noinline long mirror_finish6(struct __sk_buff *ctx, __u32 flags, __u32 ip)
{
	const __u32 bytes = ctx->len - ip - OUTER6_BYTES, udp = ip + OUTER6_BYTES;
	const __be16 length = bpf_htons(bytes);
	struct mirror_sum s = { .ctx = ctx, .at = ip + 8, .end = ctx->len };
	__u32 sum;
	__u16 word;

	if (bpf_skb_store_bytes(ctx, ip + 4, &length, 2, 0))
		return -1;
	if (!(flags & MIRROR_UDP))
		return 0;
	if (bpf_skb_store_bytes(ctx, udp + 4, &length, 2, 0))
		return -1;
	if (!(flags & MIRROR_PCAP))
		return 0;
	/* The pseudo header's length and protocol; its addresses are before UDP. */
	s.sum = bpf_htonl(bytes) + (__u64)bpf_htonl(IP_PROTOCOL_UDP);
	s.sum = (__u32)s.sum + (s.sum >> 32);
	bpf_loop(SUM_PARTS_MAX, mirror_sum_part, &s, 0);
	if (s.sum < 0 || s.at < s.end)
		return -1;
	sum = s.sum;
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	word = ~sum;
	if (!word)
		word = 0xffff;
	return bpf_skb_store_bytes(ctx, udp + 6, &word, 2, 0);
}

/* Length and checksum of IPv4 at `ip`, and the length of UDP. */
static __noinline long mirror_finish4(struct __sk_buff *ctx, const struct mirror *m, __u32 ip)
{
	__u16 words[MIRROR_IP_BYTES / 2];
	__be16 length;

	__builtin_memcpy(words, m->header + ETHERNET_BYTES, sizeof(words));
	words[1] = bpf_htons(ctx->len - ip);
	words[5] = 0;
	words[5] = ip4_header_sum(words, 0);
	if (bpf_skb_store_bytes(ctx, ip, words, sizeof(words), 0))
		return -1;
	length = bpf_htons(ctx->len - ip - MIRROR_IP_BYTES);
	return m->flags & MIRROR_UDP ?
		       bpf_skb_store_bytes(ctx, ip + MIRROR_IP_BYTES + 4, &length, 2, 0) :
		       0;
}

/* The record header at `at`: when the packet came, and how long it is here and was. */
static __noinline long mirror_record(struct __sk_buff *ctx, __u32 at, __u32 kept, __u32 original)
{
	const __u64 now = bpf_ktime_get_tai_ns() - limits.tai_offset_ns;
	const __u32 record[4] = { bpf_htonl(now / 1000000000),
				  bpf_htonl(now % 1000000000 / 1000), bpf_htonl(kept),
				  bpf_htonl(original) };

	return bpf_skb_store_bytes(ctx, at, record, sizeof(record), 0);
}

/* Fills a mirror's header, whose Ethernet part would begin at `base`. */
static __noinline long mirror_store(struct __sk_buff *ctx, const struct mirror *m,
				    const struct mirror_way *way, __u32 base, __u32 original)
{
	const __u32 ip = base + ETHERNET_BYTES, all = m->header_bytes;
	const __u32 ip_bytes = m->flags & MIRROR_IP6 ? OUTER6_BYTES : MIRROR_IP_BYTES;
	__u32 bytes = all - way->skip;
	long failure;

	if (all < ETHERNET_BYTES + ip_bytes ||
	    (m->flags & MIRROR_PCAP &&
	     all < ETHERNET_BYTES + ip_bytes + MIRROR_UDP_BYTES + MIRROR_RECORD_BYTES))
		return -1;
	if (!is_size(&bytes, MIRROR_HEADER_BYTES_MAX - ETHERNET_BYTES))
		return -1;
	if (way->skip)
		failure = bpf_skb_store_bytes(ctx, ip, m->header + ETHERNET_BYTES, bytes, 0);
	else
		failure = bpf_skb_store_bytes(ctx, base, m->header, bytes, 0) ?:
				  bpf_skb_store_bytes(ctx, base, way->mac, sizeof(way->mac), 0);
	if (!failure && m->flags & MIRROR_PCAP)
		failure = mirror_record(ctx, ip + ip_bytes + MIRROR_UDP_BYTES,
					ctx->len - base - all, original);
	if (failure)
		return failure;
	return m->flags & MIRROR_IP6 ? mirror_finish6(ctx, m->flags, ip) :
				       mirror_finish4(ctx, m, ip);
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
	const bool whole = nh->flags & NEXTHOP_LAYER2 || nh->encapsulation == ENCAP_VXLAN;
	const __u32 outer = outer_bytes(nh);

	if (!(m->flags & MIRROR_IP)) {
		if (outer ? !whole : nh->kind == NEXTHOP_TUNNEL)
			return -1;
		return outer ? bpf_skb_change_head(ctx, outer, 0) : 0;
	}
	way->skip = outer && !whole ? ETHERNET_BYTES : 0;
	if (bpf_skb_change_head(ctx, outer + m->header_bytes - way->skip, 0))
		return -1;
	return mirror_store(ctx, m, way, outer - way->skip, original);
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
