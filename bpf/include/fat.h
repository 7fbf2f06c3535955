/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Merged ("fat") flows: where an interface says so for a protocol and port, all connections between
 * two addresses to that port are one flow, whose key has port 0 for the opener's. They are looked
 * for after a miss alone, so nobody else pays. What would make connections differ keeps them apart:
 * a policy that asks for the opener's port, a translation, a neighbour that does not merge.
 */
#ifndef SKYTRAIL_FAT_H
#define SKYTRAIL_FAT_H

#include "flow.h"

static __always_inline bool fat_port(__u32 vif, __u8 protocol, __be16 port)
{
	struct fat_key key = { .vif = vif, .protocol = protocol, .port = port };

	if (bpf_map_lookup_elem(&fat_flows, &key))
		return true;
	key.port = 0;
	return bpf_map_lookup_elem(&fat_flows, &key);
}

/* The merged flow that a packet belongs to; `key` becomes that flow's. Answers belong to one by the
 * port they come from, whichever port they go to: who opens a connection answers nobody. */
static __noinline struct flow *fat_find(struct flow_key6 *key, __u32 family, __u32 opens)
{
	const __be16 source = key->source_port, destination = key->destination_port;
	struct flow *flow;

	if (fat_port(key->vif, key->protocol, destination)) {
		key->source_port = 0;
		flow = flow_find(key, family);
		if (flow)
			return flow;
		key->source_port = source;
	}
	if (!opens && fat_port(key->vif, key->protocol, source)) {
		key->destination_port = 0;
		flow = flow_find(key, family);
		if (flow && flow->flags & FLOW_REVERSE)
			return flow;
		key->destination_port = destination;
	}
	return NULL;
}

/* Makes the flow that was just admitted, and is not stored yet, a merged one if it may be. */
static __noinline int fat_merge(struct scratch *s)
{
	const __u16 peer = s->flow.peer_vif;

	if (s->by_source_port || s->flow.flags & (FLOW_TRANSLATED | FLOW_BRIDGED))
		return 0;
	if (!fat_port(s->key.vif, s->key.protocol, s->key.destination_port))
		return 0;
	if (peer && !fat_port(peer, s->key.protocol, s->key.destination_port))
		return 0;
	s->key.source_port = 0;
	return 0;
}

#endif
