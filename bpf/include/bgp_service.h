/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * BGP as a service: a workload's connection to an address of the vRouter goes to a control node.
 *
 * Source and destination are translated; the control node knows the workload by the source port,
 * which is its own and no other's. One connection at a time: the latest SYN has the port.
 * What cannot be translated (signed segments, IPv6) goes as it is to a relay on this host.
 */
#ifndef SKYTRAIL_BGP_SERVICE_H
#define SKYTRAIL_BGP_SERVICE_H

#include <linux/ip.h>
#include "fib.h"
#include "parse.h"
#include "punt.h"
#include "uplink.h"

#define PORT_BGP 179
#define UNDERLAY_TTL 64
/* What RFC 5082 expects of a neighbour. */
#define NEIGHBOUR_TTL 255

struct bgp_ends {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
};

static __always_inline long bgp_replace_address(struct __sk_buff *ctx, __u32 l4, __u32 offset,
						__be32 from, __be32 to)
{
	return bpf_l4_csum_replace(ctx, l4 + 16, from, to, BPF_F_PSEUDO_HDR | 4) ?:
	       bpf_l3_csum_replace(ctx, ETHERNET_BYTES + 10, from, to, 4) ?:
	       bpf_skb_store_bytes(ctx, ETHERNET_BYTES + offset, &to, 4, 0);
}

static __always_inline long bgp_replace_port(struct __sk_buff *ctx, __u32 offset, __u32 l4,
					     __be16 from, __be16 to)
{
	return bpf_l4_csum_replace(ctx, l4 + 16, from, to, 2) ?:
	       bpf_skb_store_bytes(ctx, l4 + offset, &to, 2, 0);
}

/* Rewrites both ends and the TTL of a TCP packet behind an Ethernet header. */
static __noinline long bgp_translate(struct __sk_buff *ctx, __u32 l4, const struct bgp_ends *to,
				     __u8 ttl)
{
	struct bgp_ends from;
	__be16 before, after;

	if (bpf_skb_load_bytes(ctx, ETHERNET_BYTES + 12, &from.source, 8) ||
	    bpf_skb_load_bytes(ctx, l4, &from.source_port, 4) ||
	    bpf_skb_load_bytes(ctx, ETHERNET_BYTES + 8, &before, 2))
		return -1;
	/* TTL and protocol are one word of the header's sum. */
	after = bpf_htons(ttl << 8 | IP_PROTOCOL_TCP);
	return bgp_replace_address(ctx, l4, 12, from.source, to->source) ?:
	       bgp_replace_address(ctx, l4, 16, from.destination, to->destination) ?:
	       bgp_replace_port(ctx, 0, l4, from.source_port, to->source_port) ?:
	       bgp_replace_port(ctx, 2, l4, from.destination_port, to->destination_port) ?:
	       bpf_l3_csum_replace(ctx, ETHERNET_BYTES + 10, before, after, 2) ?:
	       bpf_skb_store_bytes(ctx, ETHERNET_BYTES + 8, &after, 2, 0);
}

/* To the relay, if the interface has one: its end of the link has the gateway's MAC, and answers come
 * back from there without us. */
VERIFIED_ONCE int bgp_to_relay(struct __sk_buff *ctx)
{
	const struct bgp_service_key key = { .vif = get_vif(ctx) };
	const struct bgp_service *relay = bpf_map_lookup_elem(&bgp_services, &key);

	if (!relay || relay->control)
		return punt(ctx, PUNT_RECEIVE);
	return bpf_redirect(relay->out_ifindex, 0);
}

/* A parsed TCP packet of the workload to port 179 of the vRouter; its source was checked. */
VERIFIED_ONCE int bgp_to_control(struct __sk_buff *ctx, struct packet *p)
{
	const struct settings *now = get_settings();
	struct bgp_service_key key = { .vif = get_vif(ctx) };
	struct bgp_client_key slot = {};
	struct bgp_client client = {};
	struct bgp_service *service;
	struct bgp_ends to;

	if (!p || !now)
		return drop(ctx, DROP_INTERFACE_UNKNOWN);
	if (p->flags & (PACKET_FIRST_FRAGMENT | PACKET_LATER_FRAGMENT))
		return drop(ctx, DROP_MALFORMED);
	key.address = p->key4.destination;
	service = bpf_map_lookup_elem(&bgp_services, &key);
	if (!service)
		return bgp_to_relay(ctx);
	slot.control = to.destination = service->control;
	slot.source_port = to.source_port = service->source_port;
	to.source = now->tunnel_address;
	to.destination_port = bpf_htons(PORT_BGP);
	client.client = p->key4.source;
	client.service = p->key4.destination;
	client.client_port = p->key4.source_port;
	client.vif = key.vif;
	mac_copy(client.mac, p->source_mac);
	if (p->flags & PACKET_OPENS) {
		if (bpf_map_update_elem(&bgp_clients, &slot, &client, BPF_ANY))
			return drop(ctx, DROP_FLOW_TABLE_FULL);
	} else {
		const struct bgp_client *known = bpf_map_lookup_elem(&bgp_clients, &slot);

		if (!known || known->client_port != client.client_port || known->vif != client.vif ||
		    known->client != client.client)
			return drop(ctx, DROP_NEXTHOP);
	}
	const __u32 out_ifindex = service->out_ifindex;

	if (bgp_translate(ctx, p->l4, &to, UNDERLAY_TTL))
		return drop(ctx, DROP_ENCAPSULATION);
	return out_ifindex ? bpf_redirect_neigh(out_ifindex, NULL, 0, 0) :
			     uplink_forward(ctx, to.source, to.destination);
}

/* A TCP packet from the underlay to our tunnel address: a control node's answer, or the host's. */
VERIFIED_ONCE int bgp_from_control(struct __sk_buff *ctx)
{
	struct bgp_client_key slot = {};
	struct bgp_service_key key = {};
	struct bgp_service *service;
	struct bgp_client *client;
	struct interface *to;
	struct bgp_ends ends;
	__be16 ports[2];
	void *frame;
	__u8 first;

	if (bpf_skb_load_bytes(ctx, ETHERNET_BYTES, &first, 1) || first != 0x45 ||
	    bpf_skb_load_bytes(ctx, ETHERNET_BYTES + 12, &slot.control, 4) ||
	    bpf_skb_load_bytes(ctx, ETHERNET_BYTES + sizeof(struct iphdr), ports, sizeof(ports)))
		return PASS;
	if (ports[0] != bpf_htons(PORT_BGP))
		return PASS;
	slot.source_port = ports[1];
	client = bpf_map_lookup_elem(&bgp_clients, &slot);
	if (!client)
		return PASS;
	key.vif = client->vif;
	key.address = client->service;
	service = bpf_map_lookup_elem(&bgp_services, &key);
	/* What is left of a service or an interface that is gone. */
	if (!service || service->control != slot.control ||
	    service->source_port != slot.source_port)
		return PASS;
	set_vif(ctx, client->vif);
	to = interface_by_vif(client->vif);
	if (!to || !to->kind)
		return drop(ctx, DROP_INTERFACE_UNKNOWN);
	ends.source = client->service;
	ends.destination = client->client;
	ends.source_port = ports[0];
	ends.destination_port = client->client_port;
	if (bgp_translate(ctx, ETHERNET_BYTES + sizeof(struct iphdr), &ends, NEIGHBOUR_TTL))
		return drop(ctx, DROP_ENCAPSULATION);
	frame = packet_data(ctx);
	if (frame + ETHERNET_BYTES > packet_end(ctx))
		return drop(ctx, DROP_TRUNCATED);
	mac_copy(frame, client->mac);
	mac_set_gateway(frame + 6);
	return bpf_redirect(to->ifindex, 0);
}

#endif
