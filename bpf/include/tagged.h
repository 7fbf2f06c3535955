/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * VLANs of an interface that are interfaces. Sub-interfaces are ports like any other, but for the tag
 * that their frames have on the way in and out.
 *
 * Transparent services: frames of a chain go in and out by a VLAN of the service's interface, which is
 * an interface of its own to everything else. The service passes frames on as they are, so what they
 * carry on the way in (MACs and VLAN of the chain) is what they come out with on the other side.
 */
#ifndef SKYTRAIL_TAGGED_H
#define SKYTRAIL_TAGGED_H

#include "packet.h"

#define VLAN_NESTED 0xffffffff

/* Takes the tag off and returns the interface it stands for; 0: none. */
VERIFIED_ONCE int tagged_enter(struct __sk_buff *ctx)
{
	const struct vlan_key key = {
		.ifindex = ctx->ifindex,
		.vlan = ctx->vlan_tci & 0xfff,
	};
	const __u32 *vif = bpf_map_lookup_elem(&vlans, &key);

	if (!vif || bpf_skb_vlan_pop(ctx))
		return 0;
	/* The kernel takes the next tag where the first one was. */
	return ctx->vlan_present ? VLAN_NESTED : *vif;
}

/* Sends an answer back to whom it is for. */
VERIFIED_ONCE int answer(struct __sk_buff *ctx, const struct interface *to)
{
	if (!to)
		return drop(ctx, DROP_INTERFACE_UNKNOWN);
	if (to->flags & INTERFACE_VLAN && bpf_skb_vlan_push(ctx, bpf_htons(ETH_P_8021Q), to->vlan))
		return drop(ctx, DROP_ENCAPSULATION);
	return bpf_redirect(ctx->ifindex, 0);
}

/* Hands a frame with any MACs to the service, or one for a VLAN that is a port to that. */
VERIFIED_ONCE int tagged_deliver(struct __sk_buff *ctx, const struct interface *to)
{
	__u8 macs[12] __attribute__((aligned(4)));

	if (!to)
		return drop(ctx, DROP_INTERFACE_UNKNOWN);
	mac_copy(macs, to->mac);
	mac_copy(macs + 6, to->tag_source);
	if ((to->flags & INTERFACE_TAGGED &&
	     bpf_skb_store_bytes(ctx, 0, macs, sizeof(macs), 0)) ||
	    bpf_skb_vlan_push(ctx, bpf_htons(ETH_P_8021Q), to->vlan))
		return drop(ctx, DROP_ENCAPSULATION);
	return bpf_redirect(to->ifindex, 0);
}

#endif
