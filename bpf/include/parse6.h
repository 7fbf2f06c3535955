/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * IPv6 headers and their extension chain to struct packet; as parse.h for everything above.
 */
#ifndef SKYTRAIL_PARSE6_H
#define SKYTRAIL_PARSE6_H

#include <linux/ipv6.h>
#include "parse.h"

#define IP6_EXTENSIONS_MAX 6

/* Walks the extension chain. Sets l4, protocol, fragment flags and the identification. */
static __always_inline int ip6_extensions(struct __sk_buff *ctx, struct packet *p, __u8 protocol,
					  __be32 *identification)
{
	__u32 l4 = p->l4;
	int i;

	for (i = 0; i < IP6_EXTENSIONS_MAX; i++) {
		__u8 *header = packet_data(ctx) + (l4 & OFFSET_MASK);

		if (protocol != 0 && protocol != 43 && protocol != 44 && protocol != 60)
			break;
		if ((void *)header + 8 > packet_end(ctx))
			return DROP_TRUNCATED;
		if (protocol == 0 && i)
			return DROP_EXTENSION_HEADERS; /* RFC 8200 §4.1: hop-by-hop comes first. */
		if (protocol == 44) {
			const __u32 fragment = bpf_ntohs(*(__be16 *)(header + 2));

			*identification = *(__be32 *)(header + 4);
			/* As in IPv4: it would overwrite the transport header. */
			if ((fragment & 0xfff8) == 8)
				return DROP_FRAGMENT_TINY;
			if (fragment & 0xfff8)
				p->flags |= PACKET_LATER_FRAGMENT;
			else if (fragment & 1)
				p->flags |= PACKET_FIRST_FRAGMENT;
			protocol = header[0];
			l4 += 8;
			if (p->flags & PACKET_LATER_FRAGMENT)
				break;
			continue;
		}
		protocol = header[0];
		l4 += (header[1] + 1) * 8;
		if (l4 > OFFSET_MASK)
			return DROP_EXTENSION_HEADERS;
	}
	if (i == IP6_EXTENSIONS_MAX)
		return DROP_EXTENSION_HEADERS;
	p->l4 = l4;
	if (p->l4 - p->l3 > p->ip_bytes)
		return DROP_MALFORMED;
	p->key6.protocol = protocol;
	return DROP_NONE;
}

static __always_inline int parse_ipv6(struct __sk_buff *ctx, struct packet *p)
{
	__be32 identification = 0;
	struct ipv6hdr *ip;
	int reason;

	ensure_linear(ctx, (p->l3 & OFFSET_MASK) + sizeof(*ip));
	ip = packet_data(ctx) + (p->l3 & OFFSET_MASK);
	if ((void *)(ip + 1) > packet_end(ctx))
		return DROP_TRUNCATED;
	if (ip->version != 6)
		return DROP_MALFORMED;
	if (sizeof(*ip) + bpf_ntohs(ip->payload_len) > 0xffff)
		return DROP_MALFORMED;
	p->ip_bytes = sizeof(*ip) + bpf_ntohs(ip->payload_len);
	if (p->l3 + (__u32)p->ip_bytes > ctx->len)
		return DROP_TRUNCATED;
	p->l4 = p->l3 + sizeof(*ip);
	p->tos = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	p->ttl = ip->hop_limit;
	p->flags |= PACKET_DONT_FRAGMENT;
	__builtin_memcpy(p->key6.source, &ip->saddr, 16);
	__builtin_memcpy(p->key6.destination, &ip->daddr, 16);
	p->key6.protocol = ip->nexthdr;
	switch (ip->nexthdr) {
	case 0:
	case 43:
	case 44:
	case 60:
		reason = ip6_extensions(ctx, p, ip->nexthdr, &identification);
		if (reason)
			return reason;
	}
	if (unlikely(p->flags & PACKET_LATER_FRAGMENT))
		return fragment_ports(p, FAMILY_V6, identification);
	reason = parse_transport(ctx, p, p->key6.protocol, &p->key6.source_port,
				 &p->key6.destination_port);
	if (reason || !(p->flags & PACKET_FIRST_FRAGMENT))
		return reason;
	return fragment_ports(p, FAMILY_V6, identification);
}

#endif
