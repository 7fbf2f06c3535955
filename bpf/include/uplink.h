/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Hosts with several links into the underlay: the kernel's own routes choose the link of each flow,
 * by the entropy of its outer source port, and know at once which links are down, agent or not.
 *
 * All these links are one interface of kind INTERFACE_UNDERLAY, with one vif: whatever comes in by
 * either is the same to all tables.
 */
#ifndef SKYTRAIL_UPLINK_H
#define SKYTRAIL_UPLINK_H

#include <linux/bpf.h>
#include "encap.h"
#include "encap_mplsudp.h"

#define FAMILY_INET 2
#define FAMILY_INET6 10
/* Where a next hop with NEXTHOP_OUTER6 has the addresses: all else of the header is known. */
#define HEADER6_LOCAL 12
#define HEADER6_REMOTE 28
/* The kernel's routes as the host's own packets see them; the agent lets lo forward (ADR 0270). */
#define LOOPBACK_IFINDEX 1

static __always_inline bool is_uplink(__u32 ifindex)
{
	const struct interface *vif = interface_by_vif(vif_by_ifindex(ifindex));

	return vif && vif->kind == INTERFACE_UNDERLAY;
}

/* Where the kernel looks things up: no stack has room for it. Only one packet is at hand per CPU. */
static __always_inline struct bpf_fib_lookup *uplink_ask(__be32 source, __be32 destination)
{
	const __u32 zero = 0;
	struct bpf_fib_lookup *way = bpf_map_lookup_elem(&uplink_ways, &zero);

	if (!way)
		return NULL;
	__builtin_memset(way, 0, sizeof(*way));
	way->family = FAMILY_INET;
	way->ifindex = LOOPBACK_IFINDEX;
	way->ipv4_src = source;
	way->ipv4_dst = destination;
	return way;
}

static __always_inline __be32 outer_address(const struct nexthop *nh, __u32 offset)
{
	const __u16 *at = (const void *)(nh->header + offset);

	return at[0] | (__u32)at[1] << 16;
}

/* Asks for the way of a frame with outer headers: what the kernel says of it, below 0 for no way. */
static __always_inline long uplink_look(struct __sk_buff *ctx, const struct nexthop *nh,
					__be16 entropy, struct bpf_fib_lookup **found)
{
	struct bpf_fib_lookup *way = uplink_ask(outer_address(nh, OUTER_SOURCE_OFFSET),
						outer_address(nh, OUTER_DESTINATION_OFFSET));
	long answer;

	*found = way;
	if (!way)
		return -1;
	if (nh->flags & NEXTHOP_OUTER6) {
		way->family = FAMILY_INET6;
		/* Routes over IPv6 share by the flow label, if by no ports. */
		way->flowinfo = bpf_htonl(bpf_ntohs(entropy));
		for (int i = 0; i < 4; i++) {
			way->ipv6_src[i] = *(const __be32 *)(nh->header + HEADER6_LOCAL + 4 * i);
			way->ipv6_dst[i] = *(const __be32 *)(nh->header + HEADER6_REMOTE + 4 * i);
		}
	}
	way->l4_protocol = IP_PROTOCOL_UDP;
	way->sport = entropy;
	way->dport = bpf_htons(MPLSUDP_PORT);
	answer = bpf_fib_lookup(ctx, way, sizeof(*way), 0);
	if (answer != BPF_FIB_LKUP_RET_SUCCESS && answer != BPF_FIB_LKUP_RET_NO_NEIGH)
		return -1;
	return is_uplink(way->ifindex) ? answer : -1;
}

static __always_inline long uplink_write_macs(struct __sk_buff *ctx, const struct bpf_fib_lookup *way)
{
	void *frame = packet_data(ctx);

	if (frame + ETHERNET_BYTES > packet_end(ctx))
		return -1;
	mac_copy(frame, way->dmac);
	mac_copy(frame + 6, way->smac);
	return 0;
}

/* The router a way leads to, for the kernel to find its MAC. */
static __always_inline int uplink_redirect(const struct bpf_fib_lookup *way)
{
	struct bpf_redir_neigh neighbour = { .nh_family = way->family };

	if (way->family == FAMILY_INET)
		neighbour.ipv4_nh = way->ipv4_dst;
	else
		__builtin_memcpy(neighbour.ipv6_nh, way->ipv6_dst, sizeof(neighbour.ipv6_nh));
	return bpf_redirect_neigh(way->ifindex, &neighbour, sizeof(neighbour), 0);
}

/* A tunnelled IP packet of a flow, by the link the kernel chooses for it. */
static __noinline int uplink_send(struct __sk_buff *ctx, const struct nexthop *nh, __be16 entropy)
{
	struct bpf_fib_lookup *way;
	long answer = uplink_look(ctx, nh, entropy, &way);

	if (!way || answer < 0)
		return drop(ctx, DROP_UNDERLAY_UNRESOLVED);
	if (answer == BPF_FIB_LKUP_RET_NO_NEIGH)
		return uplink_redirect(way);
	if (uplink_write_macs(ctx, way))
		return drop(ctx, DROP_TRUNCATED);
	return bpf_redirect(way->ifindex, 0);
}

/* The link that a copy, or a frame whose inside is not IP, leaves by; 0: none. Its Ethernet header
 * becomes that link's. Nobody finds MACs for these: without one, the way the agent knows. */
static __noinline __u32 uplink_choose(struct __sk_buff *ctx, const struct nexthop *nh,
				      __be16 entropy)
{
	struct bpf_fib_lookup *way;
	long answer = uplink_look(ctx, nh, entropy, &way);

	if (!way || answer != BPF_FIB_LKUP_RET_SUCCESS)
		return nh->flags & NEXTHOP_RESOLVED ? nh->out_ifindex : 0;
	return uplink_write_macs(ctx, way) ? 0 : way->ifindex;
}

/* The same for any tunnel. */
static __always_inline __u32 tunnel_link(struct __sk_buff *ctx, const struct nexthop *nh,
					 __be16 entropy)
{
	if (unlikely(nh->flags & NEXTHOP_ROUTED))
		return uplink_choose(ctx, nh, entropy);
	return nh->out_ifindex;
}

/* A packet without tunnel out by any of several links, as the kernel routes it. */
static __noinline int uplink_forward(struct __sk_buff *ctx, __be32 source, __be32 destination)
{
	struct bpf_fib_lookup *way = uplink_ask(source, destination);
	long found;

	if (!way)
		return drop(ctx, DROP_FABRIC_ROUTE);
	found = bpf_fib_lookup(ctx, way, sizeof(*way), 0);
	if ((found != BPF_FIB_LKUP_RET_SUCCESS && found != BPF_FIB_LKUP_RET_NO_NEIGH) ||
	    !is_uplink(way->ifindex))
		return drop(ctx, DROP_FABRIC_ROUTE);
	return uplink_redirect(way);
}

#endif
