/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Headers to struct packet. Each function returns DROP_NONE or the reason the frame is not
 * acceptable; nothing is believed before its bounds are checked.
 */
#ifndef SKYTRAIL_PARSE_H
#define SKYTRAIL_PARSE_H

#include <linux/ip.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include "packet.h"

/* Bounds every header offset for the verifier. */
#define OFFSET_MASK 0x3ff
#define IP4_FRAGMENT_OFFSET 0x1fff
#define IP4_MORE_FRAGMENTS 0x2000
#define IP4_DONT_FRAGMENT 0x4000
#define IP4_OPTION_WORDS_MAX 10
#define TCP_FLAGS_OFFSET 13
#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10
#define ICMP4_ECHO_REPLY 0
#define ICMP4_ECHO_REQUEST 8
#define ICMP6_ECHO_REQUEST 128
#define ICMP6_ECHO_REPLY 129
/* Enough for every outer and inner header the pipeline reads with direct access. */
#define LINEAR_BYTES 192

/* Makes the first bytes readable by direct access where the frame has them. Ask for the headers
 * and no more: the payload of a TCP segment lies in pages, and with a part of it beside the headers
 * the receiver can no longer merge segments. */
static __always_inline void ensure_linear(struct __sk_buff *ctx, __u32 bytes)
{
	if (likely(packet_data(ctx) + bytes <= packet_end(ctx)))
		return;
	bpf_skb_pull_data(ctx, ctx->len < LINEAR_BYTES ? ctx->len : LINEAR_BYTES);
}

/* Ports of a fragment: the first one teaches, later ones ask. */
VERIFIED_ONCE int fragment_ports(struct packet *p, __u32 family, __be32 identification)
{
	struct fragment_key key = { .identification = identification };
	struct fragment_ports *known;

	if (!p)
		return DROP_MALFORMED;
	if (family == FAMILY_V4) {
		key.source[0] = p->key4.source;
		key.destination[0] = p->key4.destination;
		key.vif = p->key4.vif;
		key.protocol = p->key4.protocol;
		key.direction = p->key4.direction;
	} else {
		__builtin_memcpy(key.source, p->key6.source, 16);
		__builtin_memcpy(key.destination, p->key6.destination, 16);
		key.vif = p->key6.vif;
		key.protocol = p->key6.protocol;
		key.direction = p->key6.direction;
	}
	if (p->flags & PACKET_FIRST_FRAGMENT) {
		struct fragment_ports ports = { .policy = p->policy_port };

		ports.source = family == FAMILY_V4 ? p->key4.source_port : p->key6.source_port;
		ports.destination = family == FAMILY_V4 ? p->key4.destination_port :
							  p->key6.destination_port;
		bpf_map_update_elem(&fragments, &key, &ports, BPF_ANY);
		return DROP_NONE;
	}
	known = bpf_map_lookup_elem(&fragments, &key);
	if (!known)
		return DROP_FRAGMENT_UNKNOWN;
	p->policy_port = known->policy;
	if (family == FAMILY_V4) {
		p->key4.source_port = known->source;
		p->key4.destination_port = known->destination;
	} else {
		p->key6.source_port = known->source;
		p->key6.destination_port = known->destination;
	}
	return DROP_NONE;
}

/* An echo request and its reply get mirrored ports (identifier, request type), so that they are
 * one flow; other types have the type as destination port. */
static __always_inline void icmp_ports(struct packet *p, const __u8 *icmp, __u8 request,
				       __u8 reply, __be16 *source, __be16 *destination)
{
	const __be16 identifier = *(const __be16 *)(icmp + 4);

	p->policy_port = bpf_htons(icmp[0]);
	*source = 0;
	*destination = p->policy_port;
	if (icmp[0] == request) {
		*source = identifier;
	} else if (icmp[0] == reply) {
		*source = bpf_htons(request);
		*destination = identifier;
	}
}

static __always_inline int parse_transport(struct __sk_buff *ctx, struct packet *p, __u8 protocol,
					   __be16 *source, __be16 *destination)
{
	const int tiny = p->flags & PACKET_FIRST_FRAGMENT ? DROP_FRAGMENT_TINY : DROP_TRUNCATED;
	const __u32 bytes = p->ip_bytes - (p->l4 - p->l3);
	__u8 *l4;

	ensure_linear(ctx, (p->l4 & OFFSET_MASK) + (protocol == IP_PROTOCOL_TCP ? 20 : 8));
	l4 = packet_data(ctx) + (p->l4 & OFFSET_MASK);
	*source = 0;
	*destination = 0;
	p->policy_port = 0;
	p->segment_header_bytes = p->l4 - p->l3;
	switch (protocol) {
	case IP_PROTOCOL_TCP:
		if (bytes < sizeof(struct tcphdr) ||
		    (void *)l4 + sizeof(struct tcphdr) > packet_end(ctx))
			return tiny;
		if ((l4[12] >> 4) < 5)
			return DROP_MALFORMED;
		*source = *(__be16 *)l4;
		*destination = *(__be16 *)(l4 + 2);
		p->segment_header_bytes += (l4[12] >> 4) * 4;
		if (unlikely(l4[TCP_FLAGS_OFFSET] & (TCP_SYN | TCP_FIN | TCP_RST))) {
			if (l4[TCP_FLAGS_OFFSET] & TCP_SYN)
				p->flags |= PACKET_SYN;
			if ((l4[TCP_FLAGS_OFFSET] & (TCP_SYN | TCP_ACK)) == TCP_SYN)
				p->flags |= PACKET_OPENS;
			if (l4[TCP_FLAGS_OFFSET] & (TCP_FIN | TCP_RST))
				p->flags |= PACKET_CLOSES;
		}
		break;
	case IP_PROTOCOL_UDP:
	case IP_PROTOCOL_SCTP:
		if (bytes < sizeof(struct udphdr) ||
		    (void *)l4 + sizeof(struct udphdr) > packet_end(ctx))
			return tiny;
		*source = *(__be16 *)l4;
		*destination = *(__be16 *)(l4 + 2);
		p->segment_header_bytes += sizeof(struct udphdr);
		break;
	case IP_PROTOCOL_ICMP:
	case IP_PROTOCOL_ICMP6:
		if (bytes < 8 || (void *)l4 + 8 > packet_end(ctx))
			return tiny;
		if (protocol == IP_PROTOCOL_ICMP)
			icmp_ports(p, l4, ICMP4_ECHO_REQUEST, ICMP4_ECHO_REPLY, source, destination);
		else
			icmp_ports(p, l4, ICMP6_ECHO_REQUEST, ICMP6_ECHO_REPLY, source, destination);
		return DROP_NONE;
	default:
		return DROP_NONE;
	}
	p->policy_port = *destination;
	return DROP_NONE;
}

/* Options are rare: word by word, out of line. */
VERIFIED_ONCE __u32 ip4_options_sum(struct __sk_buff *ctx, __u32 offset, __u32 words)
{
	__u16 word[2];
	__u32 sum = 0;
	int i;

	for (i = 0; i < IP4_OPTION_WORDS_MAX; i++) {
		if (i >= words || bpf_skb_load_bytes(ctx, offset + i * 4, word, sizeof(word)))
			break;
		sum += word[0] + word[1];
	}
	return sum;
}

/* RFC 1071 over the header at `word`; 0 when right. */
static __always_inline __u32 ip4_header_sum(const __u16 *word, __u32 options_sum)
{
	__u32 sum = options_sum;
	int i;

#pragma unroll
	for (i = 0; i < 10; i++)
		sum += word[i];
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return sum ^ 0xffff;
}

/* Needs l3, key4.vif and key4.direction; fills the rest of the packet. */
static __always_inline int parse_ipv4(struct __sk_buff *ctx, struct packet *p)
{
	__u32 header_bytes, fragment, options_sum = 0;
	struct iphdr *ip;
	int reason;

	ensure_linear(ctx, (p->l3 & OFFSET_MASK) + sizeof(*ip));
	ip = packet_data(ctx) + (p->l3 & OFFSET_MASK);
	if ((void *)(ip + 1) > packet_end(ctx))
		return DROP_TRUNCATED;
	header_bytes = ip->ihl * 4;
	p->ip_bytes = bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || header_bytes < sizeof(*ip) || p->ip_bytes < header_bytes)
		return DROP_MALFORMED;
	if (p->l3 + (__u32)p->ip_bytes > ctx->len)
		return DROP_TRUNCATED;
	if (unlikely(header_bytes > sizeof(*ip)))
		options_sum = ip4_options_sum(ctx, p->l3 + sizeof(*ip), header_bytes / 4 - 5);
	if (unlikely(ip4_header_sum((__u16 *)ip, options_sum)))
		return DROP_CHECKSUM;
	p->l4 = p->l3 + header_bytes;
	p->tos = ip->tos;
	p->ttl = ip->ttl;
	p->key4.source = ip->saddr;
	p->key4.destination = ip->daddr;
	p->key4.protocol = ip->protocol;
	fragment = bpf_ntohs(ip->frag_off);
	if (fragment & IP4_DONT_FRAGMENT)
		p->flags |= PACKET_DONT_FRAGMENT;
	if (unlikely(fragment & (IP4_FRAGMENT_OFFSET | IP4_MORE_FRAGMENTS))) {
		const __be32 identification = ip->id;

		if (fragment & IP4_FRAGMENT_OFFSET) {
			/* RFC 1858: offset 1 would overwrite the transport header. */
			if ((fragment & IP4_FRAGMENT_OFFSET) == 1)
				return DROP_FRAGMENT_TINY;
			p->flags |= PACKET_LATER_FRAGMENT;
			return fragment_ports(p, FAMILY_V4, identification);
		}
		p->flags |= PACKET_FIRST_FRAGMENT;
		reason = parse_transport(ctx, p, p->key4.protocol, &p->key4.source_port,
					 &p->key4.destination_port);
		return reason ?: fragment_ports(p, FAMILY_V4, identification);
	}
	return parse_transport(ctx, p, p->key4.protocol, &p->key4.source_port,
			       &p->key4.destination_port);
}

#endif
