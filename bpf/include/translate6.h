/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * As translate.h, for IPv6: its header has no sum, and the sums of TCP, UDP and ICMPv6 all count the
 * addresses.
 */
#ifndef SKYTRAIL_TRANSLATE6_H
#define SKYTRAIL_TRANSLATE6_H

#include <linux/ipv6.h>
#include "translate.h"

#define IP6_NEXT_HEADER_OFFSET 6
#define IP6_SOURCE_OFFSET 8
#define IP6_DESTINATION_OFFSET 24
#define IP6_FRAGMENT 44
#define IP6_FRAGMENT_HEADER_BYTES 8

/* What a device summed of a packet (CHECKSUM_COMPLETE) is not to change when an address and the sum
 * that counts it do; the kernel thinks of an IPv4 header's sum, and takes the address away. Without
 * a sum the address alone has changed. Both times it is to be added. */
static __noinline long replace_address6(struct __sk_buff *ctx, __u32 offset, const __be32 *to,
					__u64 sum)
{
	__be32 from[4];
	__s64 difference;

	if (bpf_skb_load_bytes(ctx, offset, from, sizeof(from)))
		return -1;
	if (from[0] == to[0] && from[1] == to[1] && from[2] == to[2] && from[3] == to[3])
		return 0;
	difference = bpf_csum_diff(from, sizeof(from), (__be32 *)to, sizeof(from), 0);
	if (difference < 0)
		return -1;
	if ((__u32)sum &&
	    bpf_l4_csum_replace(ctx, (__u32)sum, 0, difference, sum >> 32 | BPF_F_PSEUDO_HDR))
		return -1;
	bpf_csum_update(ctx, difference);
	return bpf_skb_store_bytes(ctx, offset, to, sizeof(from), 0);
}

static __always_inline void replace_word(__be32 *at, __be32 to, __u64 *change)
{
	*change += (__u64)to + (__u32)~*at;
	*at = to;
	/* One after the other: all at once they do not fit in registers. */
	asm volatile("" ::: "memory");
}

static __always_inline __u64 addresses_sum6(const struct ipv6hdr *ip)
{
	const __be32 *word = ip->saddr.in6_u.u6_addr32;
	__u64 sum = 0;
	int i;

#pragma unroll
	for (i = 0; i < 8; i++)
		sum += word[i];
	return sum;
}

/* As rewrite() for TCP and UDP whose headers are at hand. */
static __always_inline long rewrite6(struct __sk_buff *ctx, const struct packet *p,
				     const struct flow6 *flow, __u32 sum, __u64 flags)
{
	const struct translation *to = &flow->flow.to;
	const __u32 ports_to = to->source_port | (__u32)to->destination_port << 16;
	struct ipv6hdr *ip = packet_data(ctx) + (p->l3 & OFFSET_MASK);
	__u32 *ports = packet_data(ctx) + (p->l4 & OFFSET_MASK);
	struct udphdr *udp = (struct udphdr *)ports;
	__u32 addresses_change, ports_change;
	bool finished = false;
	__u64 change = 0;
	int i;

	if ((void *)(ip + 1) > packet_end(ctx) || (void *)(udp + 1) > packet_end(ctx))
		return REWRITE_UNUSUAL;
	if (p->key6.protocol == IP_PROTOCOL_UDP)
		finished = is_finished_udp(ctx, addresses_sum6(ip), udp);
	replace_word(&ip->saddr.in6_u.u6_addr32[0], to->source, &change);
	replace_word(&ip->daddr.in6_u.u6_addr32[0], to->destination, &change);
#pragma unroll
	for (i = 0; i < 3; i++) {
		replace_word(&ip->saddr.in6_u.u6_addr32[1 + i], flow->rest.source[i], &change);
		replace_word(&ip->daddr.in6_u.u6_addr32[1 + i], flow->rest.destination[i], &change);
	}
	addresses_change = sum_words(change);
	ports_change = *ports == ports_to ? 0 : sum_words((__u64)ports_to + (__u32)~*ports);
	*ports = ports_to;
	if (finished) {
		/* All changes make up for each other in what a device summed of the packet. */
		change_udp_sum(udp, (__u64)addresses_change + ports_change);
		return 0;
	}
	if (bpf_l4_csum_replace(ctx, sum, 0, addresses_change, flags | BPF_F_PSEUDO_HDR))
		return -1;
	bpf_csum_update(ctx, addresses_change);
	return ports_change ? bpf_l4_csum_replace(ctx, sum, 0, ports_change, flags) : 0;
}

/* Where the sum of a quoted transport header is from its beginning; 0: it has none. */
static __always_inline __u32 quoted_sum_offset(__u8 protocol)
{
	return protocol == IP_PROTOCOL_ICMP6 ? ICMP_SUM_OFFSET : transport_sum_offset(protocol);
}

/* The quoted ports or echo identifier and the sum: s->quoted_was has what they were. */
static __noinline long translate_quoted_transport(struct __sk_buff *ctx, struct scratch *s,
						  __u32 l4, __u8 protocol)
{
	struct quoted_words *was = &s->quoted_was, *is = &s->quoted_is;
	const __u32 at = l4 + quoted_sum_offset(protocol);
	const bool has_ports = protocol != IP_PROTOCOL_ICMP6;
	__u64 sum;

	if (bpf_skb_load_bytes(ctx, has_ports ? l4 : l4 + ICMP_IDENTIFIER_OFFSET, was->ports,
			       sizeof(was->ports)))
		return -1;
	is->ports[0] = s->quoted.source_port;
	is->ports[1] = has_ports ? s->quoted.destination_port : was->ports[1];
	if (bpf_skb_store_bytes(ctx, has_ports ? l4 : l4 + ICMP_IDENTIFIER_OFFSET, is->ports,
				sizeof(is->ports), 0))
		return -1;
	/* It may be cut off. */
	if (bpf_skb_load_bytes(ctx, at, was->sum, sizeof(was->sum[0])) ||
	    (!was->sum[0] && protocol == IP_PROTOCOL_UDP)) {
		was->sum[0] = 0;
		return 0;
	}
	sum = (__u16)~was->sum[0];
	sum = bpf_csum_diff((__be32 *)was, offsetof(struct quoted_words, sum), (__be32 *)is,
			    offsetof(struct quoted_words, sum), sum);
	sum = (sum & 0xffff) + ((sum >> 16) & 0xffff);
	sum = (sum & 0xffff) + (sum >> 16);
	is->sum[0] = ~sum;
	if (!is->sum[0] && protocol == IP_PROTOCOL_UDP)
		is->sum[0] = 0xffff;
	return bpf_skb_store_bytes(ctx, at, is->sum, sizeof(is->sum[0]), 0);
}

/* What an ICMPv6 error quotes becomes what its receiver sent; the error's sum counts all of it. */
static __noinline long translate_quoted6(struct __sk_buff *ctx, struct scratch *s, __u32 icmp)
{
	const __u32 ip = icmp + ICMP_QUOTE_OFFSET;
	__u32 l4 = ip + sizeof(struct ipv6hdr);
	struct quoted_words *was = &s->quoted_was, *is = &s->quoted_is;
	__u8 protocol;

	__builtin_memset(was, 0, sizeof(*was));
	__builtin_memset(is, 0, sizeof(*is));
	if (bpf_skb_load_bytes(ctx, ip + IP6_NEXT_HEADER_OFFSET, &protocol, 1) ||
	    bpf_skb_load_bytes(ctx, ip + IP6_SOURCE_OFFSET, was->source, 32))
		return -1;
	if (protocol == IP6_FRAGMENT) {
		if (bpf_skb_load_bytes(ctx, l4, &protocol, 1))
			return -1;
		l4 += IP6_FRAGMENT_HEADER_BYTES;
	}
	is->source[0] = s->quoted.source;
	is->destination[0] = s->quoted.destination;
	__builtin_memcpy(is->source + 1, s->quoted_rest.source, 12);
	__builtin_memcpy(is->destination + 1, s->quoted_rest.destination, 12);
	if (quoted_sum_offset(protocol) && translate_quoted_transport(ctx, s, l4, protocol))
		return -1;
	if (bpf_skb_store_bytes(ctx, ip + IP6_SOURCE_OFFSET, is->source, 32, 0))
		return -1;
	return bpf_l4_csum_replace(
		ctx, icmp + ICMP_SUM_OFFSET, 0,
		bpf_csum_diff((__be32 *)was, sizeof(*was), (__be32 *)is, sizeof(*is), 0), 0);
}

/* Ports or the echo identifier. */
static __always_inline long translate_ports6(struct __sk_buff *ctx, const struct packet *p,
					     const struct translation *to, __u64 sum)
{
	switch (p->key6.protocol) {
	case IP_PROTOCOL_TCP:
	case IP_PROTOCOL_UDP:
		return replace_port(ctx, p->l4, to->source_port, sum) ?:
		       replace_port(ctx, p->l4 + 2, to->destination_port, sum);
	case IP_PROTOCOL_ICMP6:
		if (p->policy_port == bpf_htons(ICMP6_ECHO_REQUEST))
			return replace_port(ctx, p->l4 + ICMP_IDENTIFIER_OFFSET, to->source_port,
					    sum);
		if (p->policy_port == bpf_htons(ICMP6_ECHO_REPLY))
			return replace_port(ctx, p->l4 + ICMP_IDENTIFIER_OFFSET,
					    to->destination_port, sum);
	}
	return 0;
}

/* The IPv6 packet at p->l3 becomes what its flow says. 0, or the kernel could not. */
VERIFIED_ONCE int translate6(struct __sk_buff *ctx, const struct packet *p,
			     const struct flow6 *flow)
{
	struct scratch *s = get_scratch();
	struct translation to;
	__u32 ip, icmp, type;
	__be32 address[4];
	__u64 sum = 0;
	long done;

	if (!p || !flow || !s)
		return -1;
	to = flow->flow.to;
	ip = p->l3;
	icmp = p->l4;
	if (!(p->flags & PACKET_LATER_FRAGMENT) && quoted_sum_offset(p->key6.protocol))
		sum = SUM(p->l4 + quoted_sum_offset(p->key6.protocol),
			  p->key6.protocol == IP_PROTOCOL_UDP ? BPF_F_MARK_MANGLED_0 : 0);
	if (sum && p->key6.protocol != IP_PROTOCOL_ICMP6) {
		done = rewrite6(ctx, p, flow, sum, sum >> 32);
		if (likely(done != REWRITE_UNUSUAL))
			return done;
	}
	address[0] = to.source;
	__builtin_memcpy(address + 1, flow->rest.source, 12);
	if (replace_address6(ctx, ip + IP6_SOURCE_OFFSET, address, sum))
		return -1;
	address[0] = to.destination;
	__builtin_memcpy(address + 1, flow->rest.destination, 12);
	if (replace_address6(ctx, ip + IP6_DESTINATION_OFFSET, address, sum))
		return -1;
	if (p->flags & PACKET_LATER_FRAGMENT)
		return 0;
	type = bpf_ntohs(p->policy_port);
	if (p->key6.protocol == IP_PROTOCOL_ICMP6 && type >= 1 && type <= 4)
		return s->quotes ? translate_quoted6(ctx, s, icmp) : 0;
	return translate_ports6(ctx, p, &to, sum);
}

#endif
