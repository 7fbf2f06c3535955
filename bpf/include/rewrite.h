/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rewrites the packet that nearly all of translated traffic is made of: TCP or UDP with its headers at
 * hand. What a call costs on a processor that guards its returns is more than all arithmetic here, so
 * the packet is changed in place. The kernel is asked for the transport sum alone, whose kind it knows:
 * finished, or left to a device. It takes the sum of a tunnel that a workload makes in UDP for unfinished
 * where that of a packet inside is; such a one is told from its own pseudo header's (ADR 0402).
 */
#ifndef SKYTRAIL_REWRITE_H
#define SKYTRAIL_REWRITE_H

#include <linux/ip.h>
#include <linux/udp.h>
#include "flow.h"

#define REWRITE_UNUSUAL 1

/* Ones' complement sums (RFC 1624): of 32-bit words, and of their halves. */
static __always_inline __u32 sum_words(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (sum & 0xffffffff) + (sum >> 32);
}

static __always_inline __u16 sum_halves(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (sum & 0xffff) + (sum >> 16);
}

/* What an unfinished sum of UDP is: that of the addresses, of whose words this is given the sum, protocol
 * and length (RFC 768), not complemented. */
static __always_inline __u16 udp_pseudo_sum(__u64 addresses, const struct udphdr *udp)
{
	return sum_halves(sum_words(addresses + bpf_htons(IP_PROTOCOL_UDP) + udp->len));
}

/* Whether the sum is there, and finished for sure. Large packets (GSO) have their pseudo header's too. */
static __always_inline bool is_finished_udp(const struct __sk_buff *ctx, __u64 addresses,
					    const struct udphdr *udp)
{
	return !ctx->gso_size && udp->check && udp->check != udp_pseudo_sum(addresses, udp);
}

/* RFC 1624; RFC 768: a sum of zero says there is none, and none must become so. */
static __always_inline void change_udp_sum(struct udphdr *udp, __u64 change)
{
	udp->check = ~sum_halves(sum_words((__u16)~udp->check + change));
	if (!udp->check)
		udp->check = 0xffff;
}

/* 0; REWRITE_UNUSUAL, then nothing was done; or the kernel could not. `sum` is where the transport sum
 * is, `flags` how it is to be changed. */
static __always_inline long rewrite(struct __sk_buff *ctx, const struct packet *p,
				    const struct translation *to, __u32 sum, __u64 flags)
{
	const __u32 ports_to = to->source_port | (__u32)to->destination_port << 16;
	struct iphdr *ip = packet_data(ctx) + (p->l3 & OFFSET_MASK);
	__u32 *ports = packet_data(ctx) + (p->l4 & OFFSET_MASK);
	struct udphdr *udp = (struct udphdr *)ports;
	__u32 addresses_change, ports_change;
	bool finished;

	if ((void *)(ip + 1) > packet_end(ctx) || (void *)(udp + 1) > packet_end(ctx))
		return REWRITE_UNUSUAL;
	finished = p->key4.protocol == IP_PROTOCOL_UDP &&
		   is_finished_udp(ctx, (__u64)ip->saddr + ip->daddr, udp);
	addresses_change = sum_words((__u64)to->source + to->destination +
				     (__u32)~ip->saddr + (__u32)~ip->daddr);
	ports_change = *ports == ports_to ? 0 : sum_words((__u64)ports_to + (__u32)~*ports);
	ip->saddr = to->source;
	ip->daddr = to->destination;
	ip->check = ~sum_halves(sum_words((__u64)(__u16)~ip->check + addresses_change));
	*ports = ports_to;
	if (finished) {
		change_udp_sum(udp, (__u64)addresses_change + ports_change);
		/* What a device summed of the packet (CHECKSUM_COMPLETE) has the change of this sum in
		 * it, and that of ports, which make up for each other but for the addresses: theirs the
		 * header's own sum has made up for. Where no device did, this does nothing. */
		bpf_csum_update(ctx, ~addresses_change);
		return 0;
	}
	if (bpf_l4_csum_replace(ctx, sum, 0, addresses_change, flags | BPF_F_PSEUDO_HDR))
		return -1;
	return ports_change ? bpf_l4_csum_replace(ctx, sum, 0, ports_change, flags) : 0;
}

#endif
