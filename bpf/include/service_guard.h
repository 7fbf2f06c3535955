/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What only the vRouter may say to workloads: DHCP servers, and clients that ask for others. Looked at
 * where a packet is no packet of a known flow, so established traffic pays nothing.
 */
#ifndef SKYTRAIL_SERVICE_GUARD_H
#define SKYTRAIL_SERVICE_GUARD_H

#include "packet.h"

#define DHCP_SERVER_PORT 67
#define DHCP_CLIENT_PORT 68
#define DHCP6_SERVER_PORT 547
#define DHCP6_CLIENT_PORT 546
#define DHCP_CLIENT_MAC_OFFSET (8 + 28) /* From the UDP header: RFC 2131 section 2, chaddr. */
#define MDNS_PORT 5353
#define MDNS_GROUP4 0xe00000fb

/* Whether a datagram is what a DHCP server sends to a client. */
static __always_inline bool is_dhcp_answer(__be16 source, __be16 destination, __u8 protocol)
{
	if (protocol != IP_PROTOCOL_UDP)
		return false;
	return (source == bpf_htons(DHCP_SERVER_PORT) &&
		destination == bpf_htons(DHCP_CLIENT_PORT)) ||
	       (source == bpf_htons(DHCP6_SERVER_PORT) &&
		destination == bpf_htons(DHCP6_CLIENT_PORT));
}

/* Whether a DHCPv4 request is for the interface's own MAC. */
static __always_inline bool dhcp_is_own(struct __sk_buff *ctx, const struct packet *p,
					const struct interface *vif)
{
	struct mac client;

	if (bpf_skb_load_bytes(ctx, p->l4 + DHCP_CLIENT_MAC_OFFSET, client.byte, 6))
		return true; /* Cut short: the agent says so. */
	return mac_equal(client.byte, vif->mac);
}

/* Multicast DNS (RFC 6762): the agent answers for those who do not. */
static __always_inline bool is_multicast_dns(const struct packet *p, __u32 family, __u16 port)
{
	if (port != MDNS_PORT)
		return false;
	if (family == FAMILY_V4)
		return p->key4.destination == bpf_htonl(MDNS_GROUP4);
	return p->key6.destination[0] == bpf_htonl(0xff020000) && !p->key6.destination[1] &&
	       !p->key6.destination[2] && p->key6.destination[3] == bpf_htonl(0xfb);
}

#endif
