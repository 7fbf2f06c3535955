/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What we are called as a router of EVPN (RFC 9135 section 4.1): 02:5e and four bytes that the
 * tunnel's address is, or that stand for it, so that whoever knows the tunnel knows it.
 */
#ifndef SKYTRAIL_ROUTER_MAC_H
#define SKYTRAIL_ROUTER_MAC_H

#include "maps.h"

#define TUNNEL_NUMBER_SEED 0x9e3779b97f4a7c15ULL
#define TUNNEL_NUMBER_FACTOR 0xff51afd7ed558ccdULL

/* Four bytes that stand for an IPv6 address. net/tunnel_end.py computes the same. */
static __noinline __u32 end_number(const __be32 *address)
{
	__u64 hashed = TUNNEL_NUMBER_SEED;

	for (int i = 0; i < 4; i++) {
		hashed = (hashed ^ address[i]) * TUNNEL_NUMBER_FACTOR;
		hashed ^= hashed >> 29;
	}
	return hashed >> 32;
}

static __always_inline __u32 tunnel_number(const struct settings *now)
{
	return likely(now->tunnel_address) ? now->tunnel_address :
					     end_number(now->tunnel_address6);
}

static __always_inline bool mac_is_router(const void *mac)
{
	const struct settings *now = get_settings();
	__u32 number;

	if (!now || *(const __u16 *)mac != bpf_htons(0x025e))
		return false;
	number = tunnel_number(now);
	return *(const __u16 *)(mac + 2) == (__u16)number &&
	       *(const __u16 *)(mac + 4) == (__u16)(number >> 16);
}

#endif
