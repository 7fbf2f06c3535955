/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Keys of the flow tables: their shapes, mirror images and hash.
 */
#ifndef SKYTRAIL_FLOW_KEYS_H
#define SKYTRAIL_FLOW_KEYS_H

#include "packet.h"

static __always_inline void to_key4(struct flow_key4 *to, const struct flow_key6 *from)
{
	to->source = from->source[0];
	to->destination = from->destination[0];
	to->source_port = from->source_port;
	to->destination_port = from->destination_port;
	to->vif = from->vif;
	to->protocol = from->protocol;
	to->direction = from->direction;
}

static __always_inline bool is_link_local(const __be32 *address)
{
	return (address[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

static __always_inline void to_key6(struct flow_key6 *to, const struct flow_key4 *from)
{
	__builtin_memset(to, 0, sizeof(*to));
	to->source[0] = from->source;
	to->destination[0] = from->destination;
	to->source_port = from->source_port;
	to->destination_port = from->destination_port;
	to->vif = from->vif;
	to->protocol = from->protocol;
	to->direction = from->direction;
}

static __always_inline void mirror_key(struct flow_key6 *to, const struct flow_key6 *from,
				       __u16 peer_vif)
{
	__builtin_memcpy(to->source, from->destination, 16);
	__builtin_memcpy(to->destination, from->source, 16);
	to->source_port = from->destination_port;
	to->destination_port = from->source_port;
	to->protocol = from->protocol;
	to->vif = peer_vif ?: from->vif;
	to->direction = peer_vif ? from->direction : !from->direction;
}

/* Spreads keys over ECMP members and outer source ports; the same after a restart. */
static __always_inline __u32 flow_hash(const struct flow_key6 *key)
{
	const __u32 *word = (const __u32 *)key;
	__u64 hash = 0x9e3779b97f4a7c15ULL;
	int i;

	/* Not the last word: interface and direction would make two hosts disagree. */
#pragma unroll
	for (i = 0; i < 9; i++) {
		hash ^= word[i];
		hash *= 0xff51afd7ed558ccdULL;
		hash ^= hash >> 29;
	}
	return hash >> 32;
}

#endif
