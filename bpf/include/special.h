/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is not for one workload: requests to the vRouter, which answers, asks the agent or leaves them to
 * members of the network, and what is sent to everybody or to a group.
 */
#ifndef SKYTRAIL_SPECIAL_H
#define SKYTRAIL_SPECIAL_H

#include "arp_nd.h"
#include "bridge_out.h"
#include "flood.h"

static __always_inline bool is_unspecified(const struct packet *p, __u32 family)
{
	if (family == FAMILY_V4)
		return !p->key4.source;
	return !(p->key6.source[0] | p->key6.source[1] | p->key6.source[2] | p->key6.source[3]);
}

/* Broadcast, multicast and unspecified sources: requests to the vRouter, or FLOOD for the network.
 * Copies are made by the caller: with this frame between, stacks would add up beyond Linux 6.1's sum. */
VERIFIED_ONCE int workload_special(struct __sk_buff *ctx, struct packet *p, __u32 family)
{
	const __u32 vif_id = get_vif(ctx);
	struct interface *vif = interface_by_vif(vif_id);
	__be16 source;
	__u8 protocol;
	__u16 port;

	if (!vif || !p)
		return drop(ctx, DROP_INTERFACE_UNKNOWN);
	if (vif->flags & INTERFACE_TAGGED)
		return drop(ctx, DROP_MULTICAST);
	protocol = family == FAMILY_V4 ? p->key4.protocol : p->key6.protocol;
	port = bpf_ntohs(family == FAMILY_V4 ? p->key4.destination_port : p->key6.destination_port);
	if (vif->flags & INTERFACE_ANTISPOOF && !mac_equal(p->source_mac, vif->mac))
		return drop(ctx, DROP_SPOOFED_MAC);
	if (protocol == IP_PROTOCOL_UDP && !(p->flags & PACKET_LATER_FRAGMENT)) {
		source = family == FAMILY_V4 ? p->key4.source_port : p->key6.source_port;
		if (vif->flags & INTERFACE_ANTISPOOF &&
		    is_dhcp_answer(source, bpf_htons(port), protocol))
			return drop(ctx, DROP_DHCP_SERVER);
		if (family == FAMILY_V4 && port == PORT_DHCP_SERVER) {
			if (vif->flags & INTERFACE_ANTISPOOF && !dhcp_is_own(ctx, p, vif))
				return drop(ctx, DROP_DHCP_CLIENT);
			return vif->options & OPTION_LETS_DHCP_BY ? FLOOD : punt(ctx, PUNT_DHCP);
		}
		if (family == FAMILY_V6 && port == PORT_DHCP6_SERVER)
			return vif->options & OPTION_LETS_DHCP_BY ? FLOOD : punt(ctx, PUNT_DHCP6);
		/* A copy: members of the network may answer as well. */
		if (is_multicast_dns(p, family, port) && !is_unspecified(p, family))
			punt_frame(ctx, PUNT_DNS, 0);
	}
	if (is_membership(p, vif->vrf, family))
		return punt(ctx, PUNT_MEMBERSHIP);
	if (is_unspecified(p, family))
		return drop(ctx, DROP_MULTICAST);
	return FLOOD;
}

static __always_inline bool is_special(const struct packet *p, __u32 family)
{
	if (is_unspecified(p, family))
		return true;
	if (family == FAMILY_V4)
		return (p->key4.destination & bpf_htonl(0xe0000000)) == bpf_htonl(0xe0000000);
	return (p->key6.destination[0] & bpf_htonl(0xff000000)) == bpf_htonl(0xff000000);
}

/* What the vRouter does not answer itself goes to members. */
static __always_inline int for_neighbours(struct __sk_buff *ctx, struct packet *p, int action,
					  const __u32 family)
{
	const struct interface *vif;

	if (action == FLOOD)
		return flood_from_workload(ctx, p, family);
	if (action != BRIDGE)
		return action;
	vif = interface_by_vif(get_vif(ctx));
	return vif ? bridge_frame(ctx, p, vif->vrf) : drop(ctx, DROP_INTERFACE_UNKNOWN);
}

#endif
