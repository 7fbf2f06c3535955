/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How much an interface may send to link-local services that end at the agent: the metadata service and
 * those that it relays. All workloads share its sockets, and the kernel drops from a full one whoever
 * sent: what one sends too much has to go before.
 */
#ifndef SKYTRAIL_SERVICE_RATE_H
#define SKYTRAIL_SERVICE_RATE_H

#include "punt.h"

/* True when a datagram, the opening of a connection, or a fragment of anything is beyond the rate: the
 * host keeps fragments until they are whole. What goes on in a connection is held up by its ends. */
VERIFIED_ONCE int service_rate_exceeded(struct __sk_buff *ctx, struct packet *p, __u32 family)
{
	struct link_service_key key = {};
	const struct link_service *service;
	__u32 datagrams = ctx->gso_segs;
	__u8 protocol;

	if (!p)
		return false;
	if (family == FAMILY_V4) {
		key.address[0] = p->key4.destination;
		key.port = p->key4.destination_port;
		protocol = p->key4.protocol;
	} else {
		__builtin_memcpy(key.address, p->key6.destination, sizeof(key.address));
		key.port = p->key6.destination_port;
		protocol = p->key6.protocol;
	}
	if (protocol == IP_PROTOCOL_TCP &&
	    !(p->flags & (PACKET_OPENS | PACKET_FIRST_FRAGMENT | PACKET_LATER_FRAGMENT)))
		return false;
	service = bpf_map_lookup_elem(&link_services, &key);
	if (!service || !service->is_agents)
		return false;
	return !punt_tokens(get_vif(ctx), PUNT_CLASS_SERVICE, datagrams ?: 1);
}

#endif
