/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Rewrites the packet that nearly all of translated traffic is made of: TCP or UDP with its headers at
 * hand. What a call costs on a processor that guards its returns is more than all arithmetic here, so
 * the packet is changed in place and the kernel is asked for the transport sum alone, whose kind only
 * it knows: finished, or left to a device.
 */
#ifndef SKYTRAIL_REWRITE_H
#define SKYTRAIL_REWRITE_H

#include <linux/ip.h>
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

/* 0; REWRITE_UNUSUAL, then nothing was done; or the kernel could not. `sum` is where the transport sum
 * is, `flags` how it is to be changed. */
static __always_inline long rewrite(struct __sk_buff *ctx, const struct packet *p,
				    const struct translation *to, __u32 sum, __u64 flags)
{
	const __u32 ports_to = to->source_port | (__u32)to->destination_port << 16;
	struct iphdr *ip = packet_data(ctx) + (p->l3 & OFFSET_MASK);
	__u32 *ports = packet_data(ctx) + (p->l4 & OFFSET_MASK);
	__u32 addresses_change, ports_change;

	if ((void *)(ip + 1) > packet_end(ctx) || (void *)(ports + 1) > packet_end(ctx))
		return REWRITE_UNUSUAL;
	addresses_change = sum_words((__u64)to->source + to->destination +
				     (__u32)~ip->saddr + (__u32)~ip->daddr);
	ports_change = *ports == ports_to ? 0 : sum_words((__u64)ports_to + (__u32)~*ports);
	ip->saddr = to->source;
	ip->daddr = to->destination;
	ip->check = ~sum_halves(sum_words((__u64)(__u16)~ip->check + addresses_change));
	*ports = ports_to;
	if (bpf_l4_csum_replace(ctx, sum, 0, addresses_change, flags | BPF_F_PSEUDO_HDR))
		return -1;
	return ports_change ? bpf_l4_csum_replace(ctx, sum, 0, ports_change, flags) : 0;
}

#endif
