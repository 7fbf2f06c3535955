/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Longest-prefix match and MAC lookup in a VRF, and which sources an interface may use.
 * Only the slow path comes here: flows remember the answer.
 */
#ifndef SKYTRAIL_FIB_H
#define SKYTRAIL_FIB_H

#include "packet.h"

#define VRF_BITS 32

/* `address` has 4 words; IPv4 uses the first. */
static __always_inline struct route *route_lookup(__u32 vrf, const __be32 *address, __u32 family)
{
	if (family == FAMILY_V4) {
		const struct route_key4 key = {
			.prefixlen = VRF_BITS + 32,
			.vrf = bpf_htonl(vrf),
			.address = address[0],
		};

		return bpf_map_lookup_elem(&routes4, &key);
	}
	const struct route_key6 key = {
		.prefixlen = VRF_BITS + 128,
		.vrf = bpf_htonl(vrf),
		.address = { address[0], address[1], address[2], address[3] },
	};

	return bpf_map_lookup_elem(&routes6, &key);
}

static __always_inline struct route *bridge_lookup(__u32 vrf, const void *mac)
{
	struct bridge_key key = { .vrf = vrf };

	mac_copy(key.mac, mac);
	return bpf_map_lookup_elem(&bridges, &key);
}

static __always_inline struct nexthop *nexthop_lookup(__u32 id)
{
	return bpf_map_lookup_elem(&nexthops, &id);
}

/* DROP_NONE when the interface may send from this address with this MAC. */
static __always_inline int source_check(__u32 vif, const __be32 *address, const void *mac,
					__u32 family)
{
	struct source *source;

	if (family == FAMILY_V4) {
		const struct route_key4 key = {
			.prefixlen = VRF_BITS + 32,
			.vrf = bpf_htonl(vif),
			.address = address[0],
		};

		source = bpf_map_lookup_elem(&sources4, &key);
	} else {
		const struct route_key6 key = {
			.prefixlen = VRF_BITS + 128,
			.vrf = bpf_htonl(vif),
			.address = { address[0], address[1], address[2], address[3] },
		};

		source = bpf_map_lookup_elem(&sources6, &key);
	}
	if (!source)
		return DROP_SPOOFED_ADDRESS;
	return mac_equal(source->mac, mac) ? DROP_NONE : DROP_SPOOFED_MAC;
}

#endif
