/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rewrites a packet of a translated flow: addresses, ports or identifier, all sums by difference.
 * Sums of packets whose transport sum is still to be computed are left to who computes it.
 */
#ifndef SKYTRAIL_TRANSLATE_H
#define SKYTRAIL_TRANSLATE_H

#include "flow.h"
#include "parse.h"
#include "rewrite.h"

#define IP4_SUM_OFFSET 10
#define IP4_SOURCE_OFFSET 12
#define IP4_DESTINATION_OFFSET 16
#define ICMP_SUM_OFFSET 2
#define ICMP_IDENTIFIER_OFFSET 4
#define ICMP_QUOTE_OFFSET 8
#define UDP_SUM_OFFSET 6
#define TCP_SUM_OFFSET 16

/* Offset of the transport sum, 0: it has none that addresses or ports count in. */
static __always_inline __u32 transport_sum_offset(__u8 protocol)
{
	if (protocol == IP_PROTOCOL_TCP)
		return TCP_SUM_OFFSET;
	return protocol == IP_PROTOCOL_UDP ? UDP_SUM_OFFSET : 0;
}

/* Where a transport sum is, and how it is to be changed, as one argument. */
#define SUM(at, flags) ((__u64)(flags) << 32 | (at))

/* Replaces the address at `offset` of the header at `ip`. */
static __noinline long replace_address(struct __sk_buff *ctx, __u32 ip, __u32 offset, __be32 to,
				       __u64 sum)
{
	__be32 from;

	if (bpf_skb_load_bytes(ctx, ip + offset, &from, sizeof(from)))
		return -1;
	if (from == to)
		return 0;
	if ((__u32)sum && bpf_l4_csum_replace(ctx, (__u32)sum, from, to, sum >> 32 | sizeof(to)))
		return -1;
	return bpf_l3_csum_replace(ctx, ip + IP4_SUM_OFFSET, from, to, sizeof(to)) ?:
	       bpf_skb_store_bytes(ctx, ip + offset, &to, sizeof(to), 0);
}

static __noinline long replace_port(struct __sk_buff *ctx, __u32 offset, __be16 to, __u64 sum)
{
	__be16 from;

	if (bpf_skb_load_bytes(ctx, offset, &from, sizeof(from)))
		return -1;
	if (from == to)
		return 0;
	if ((__u32)sum && bpf_l4_csum_replace(ctx, (__u32)sum, from, to, sum >> 32 | sizeof(to)))
		return -1;
	return bpf_skb_store_bytes(ctx, offset, &to, sizeof(to), 0);
}

/* What an ICMP error quotes becomes what its receiver sent. The quoted header's own sum makes up
 * for its addresses, so the error's sum follows ports and the quoted transport sum alone. */
static __noinline long translate_quoted(struct __sk_buff *ctx, __u32 icmp,
					const struct translation *to)
{
	const __u32 ip = icmp + ICMP_QUOTE_OFFSET;
	__u32 l4, sum = 0;
	__u16 before, after;
	__u8 first, protocol;

	if (bpf_skb_load_bytes(ctx, ip, &first, 1) ||
	    bpf_skb_load_bytes(ctx, ip + 9, &protocol, 1))
		return -1;
	l4 = ip + (first & 0xf) * 4;
	if (transport_sum_offset(protocol)) {
		/* It may be cut off: eight bytes are all that must be quoted. */
		sum = l4 + transport_sum_offset(protocol);
		if (bpf_skb_load_bytes(ctx, sum, &before, sizeof(before)) ||
		    (!before && protocol == IP_PROTOCOL_UDP))
			sum = 0;
	}
	if (replace_address(ctx, ip, IP4_SOURCE_OFFSET, to->source, sum) ||
	    replace_address(ctx, ip, IP4_DESTINATION_OFFSET, to->destination, sum))
		return -1;
	if (protocol == IP_PROTOCOL_TCP || protocol == IP_PROTOCOL_UDP) {
		__be16 old[2];
		const __be16 new[2] = { to->source_port, to->destination_port };

		if (bpf_skb_load_bytes(ctx, l4, old, sizeof(old)) ||
		    replace_port(ctx, l4, new[0], sum) ||
		    replace_port(ctx, l4 + 2, new[1], sum) ||
		    bpf_l4_csum_replace(ctx, icmp + ICMP_SUM_OFFSET, *(__u32 *)old, *(__u32 *)new,
					sizeof(new)))
			return -1;
	} else if (protocol == IP_PROTOCOL_ICMP) {
		if (replace_port(ctx, l4 + ICMP_IDENTIFIER_OFFSET, to->source_port, 0))
			return -1;
	}
	if (!sum)
		return 0;
	return bpf_skb_load_bytes(ctx, sum, &after, sizeof(after)) ?:
	       bpf_l4_csum_replace(ctx, icmp + ICMP_SUM_OFFSET, before, after, sizeof(after));
}

static __always_inline bool quotes_packet(const struct packet *p)
{
	const __u32 type = bpf_ntohs(p->policy_port);

	return p->key4.protocol == IP_PROTOCOL_ICMP && (type == 3 || type == 11 || type == 12);
}

/* Ports or the echo identifier. Later fragments have neither. */
static __always_inline long translate_ports(struct __sk_buff *ctx, const struct packet *p,
					    const struct translation *to, __u64 sum)
{
	switch (p->key4.protocol) {
	case IP_PROTOCOL_TCP:
	case IP_PROTOCOL_UDP:
		return replace_port(ctx, p->l4, to->source_port, sum) ?:
		       replace_port(ctx, p->l4 + 2, to->destination_port, sum);
	case IP_PROTOCOL_ICMP:
		if (p->policy_port == bpf_htons(ICMP4_ECHO_REQUEST))
			return replace_port(ctx, p->l4 + ICMP_IDENTIFIER_OFFSET, to->source_port,
					    p->l4 + ICMP_SUM_OFFSET);
		if (p->policy_port == bpf_htons(ICMP4_ECHO_REPLY))
			return replace_port(ctx, p->l4 + ICMP_IDENTIFIER_OFFSET,
					    to->destination_port, p->l4 + ICMP_SUM_OFFSET);
	}
	return 0;
}

/* The IPv4 packet at p->l3 becomes what its flow says. 0, or the kernel could not. */
VERIFIED_ONCE int translate(struct __sk_buff *ctx, const struct packet *p, const struct flow *flow)
{
	struct scratch *s = get_scratch();
	struct translation to;
	__u32 sum = 0, ip, icmp;
	__u64 flags = 0;
	bool quotes;
	long done;

	if (!p || !flow || !s)
		return -1;
	to = flow->to;
	ip = p->l3;
	icmp = p->l4;
	quotes = quotes_packet(p) && !(p->flags & PACKET_LATER_FRAGMENT);
	if (!(p->flags & PACKET_LATER_FRAGMENT) && transport_sum_offset(p->key4.protocol)) {
		sum = p->l4 + transport_sum_offset(p->key4.protocol);
		/* RFC 768: a sum of zero says there is none, and none must become so. */
		flags = p->key4.protocol == IP_PROTOCOL_UDP ? BPF_F_MARK_MANGLED_0 : 0;
		done = rewrite(ctx, p, &to, sum, flags);
		if (likely(done != REWRITE_UNUSUAL))
			return done;
	}
	if (replace_address(ctx, ip, IP4_SOURCE_OFFSET, to.source,
			    SUM(sum, flags | BPF_F_PSEUDO_HDR)) ||
	    replace_address(ctx, ip, IP4_DESTINATION_OFFSET, to.destination,
			    SUM(sum, flags | BPF_F_PSEUDO_HDR)))
		return -1;
	if (quotes)
		return s->quotes ? translate_quoted(ctx, icmp, &s->quoted) : 0;
	if (p->flags & PACKET_LATER_FRAGMENT)
		return 0;
	return translate_ports(ctx, p, &to, SUM(sum, flags));
}

#endif
