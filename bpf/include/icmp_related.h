/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* ICMP errors: which flow the packet they quote belongs to. */
#ifndef SKYTRAIL_ICMP_RELATED_H
#define SKYTRAIL_ICMP_RELATED_H

#include "fat.h"
#include "fold.h"

#define ICMP_HEADER_BYTES 8

static __always_inline bool is_icmp_error(const struct packet *p, __u8 protocol, __u32 family)
{
	const __u32 type = bpf_ntohs(p->policy_port);

	if (p->flags & PACKET_LATER_FRAGMENT)
		return false;
	if (family == FAMILY_V4)
		return protocol == IP_PROTOCOL_ICMP && (type == 3 || type == 11 || type == 12);
	return protocol == IP_PROTOCOL_ICMP6 && type >= 1 && type <= 4;
}

#define IP6_FRAGMENT_HEADER 44
#define IP6_FRAGMENT_BYTES 8

/* Where the ports of a quoted packet are, in place of `offset`, behind its IP header; 0: it has none,
 * being a later fragment. IPv6 may have a fragment header there. */
static __always_inline __u32 quoted_ports(struct __sk_buff *ctx, __u32 offset, __u8 *protocol,
					  __u32 family)
{
	__u8 header[4];
	__be16 fragment;

	if (family == FAMILY_V4) {
		if (bpf_skb_load_bytes(ctx, offset + 6, &fragment, sizeof(fragment)) ||
		    bpf_skb_load_bytes(ctx, offset, header, 1))
			return 0;
		if (fragment & bpf_htons(IP4_FRAGMENT_OFFSET))
			return 0;
		return offset + (header[0] & 0xf) * 4;
	}
	offset += sizeof(struct ipv6hdr);
	if (*protocol != IP6_FRAGMENT_HEADER)
		return offset;
	if (bpf_skb_load_bytes(ctx, offset, header, sizeof(header)) ||
	    header[2] || header[3] & 0xf8)
		return 0;
	*protocol = header[0];
	return offset + IP6_FRAGMENT_BYTES;
}

/* An ICMP error is admitted when the packet it quotes belongs to an admitted flow and was sent by
 * the error's receiver (RFC 5927's advice to check the quoted tuple): a flow with one workload is
 * no passport to another. s->pair_key is built from the quoted headers, its vif last. */
static __noinline bool icmp_error_related(struct __sk_buff *ctx, struct packet *p,
					  struct scratch *s, __u32 family)
{
	struct flow_key6 *quoted = &s->pair_key;
	struct flow *flow;
	__u32 offset = p->l4 + ICMP_HEADER_BYTES;
	__u8 ports[8];

	__builtin_memset(quoted, 0, sizeof(*quoted));
	if (family == FAMILY_V4) {
		if (bpf_skb_load_bytes(ctx, offset + 9, &quoted->protocol, 1) ||
		    bpf_skb_load_bytes(ctx, offset + 12, quoted->source, 4) ||
		    bpf_skb_load_bytes(ctx, offset + 16, quoted->destination, 4))
			return false;
	} else {
		if (bpf_skb_load_bytes(ctx, offset + 6, &quoted->protocol, 1) ||
		    bpf_skb_load_bytes(ctx, offset + 8, quoted->source, 16) ||
		    bpf_skb_load_bytes(ctx, offset + 24, quoted->destination, 16))
			return false;
	}
	offset = quoted_ports(ctx, offset, &quoted->protocol, family);
	if (!offset || bpf_skb_load_bytes(ctx, offset, ports, sizeof(ports)))
		return false;
	if (quoted->source[0] != s->key.destination[0] ||
	    quoted->source[1] != s->key.destination[1] ||
	    quoted->source[2] != s->key.destination[2] ||
	    quoted->source[3] != s->key.destination[3])
		return false;
	switch (quoted->protocol) {
	case IP_PROTOCOL_TCP:
	case IP_PROTOCOL_UDP:
	case IP_PROTOCOL_SCTP:
		quoted->source_port = *(__be16 *)ports;
		quoted->destination_port = *(__be16 *)(ports + 2);
		break;
	case IP_PROTOCOL_ICMP:
		quoted->source_port = *(__be16 *)(ports + 4);
		quoted->destination_port = bpf_htons(ICMP4_ECHO_REQUEST);
		break;
	case IP_PROTOCOL_ICMP6:
		quoted->source_port = *(__be16 *)(ports + 4);
		quoted->destination_port = bpf_htons(ICMP6_ECHO_REQUEST);
		break;
	}
	quoted->vif = s->key.vif;
	quoted->direction = !s->key.direction;
	flow = flow_find(quoted, family);
	if (!flow || flow->flags & FLOW_TRANSLATED) {
		/* What was translated is known here by the tuple of its answers alone. */
		mirror_key(&s->lone_key, quoted, 0);
		flow = flow_find(&s->lone_key, family);
	}
	if (!flow) {
		s->lone_key = *quoted;
		flow = fat_find(&s->lone_key, family, 0);
	}
	if (!flow || flow->flags & FLOW_DENY)
		return false;
	if (flow->flags & FLOW_TRANSLATED)
		translate_as(s, flow, family);
	return true;
}

#endif
