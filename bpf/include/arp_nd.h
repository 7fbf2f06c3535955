/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * ARP (RFC 826) and IPv6 neighbour discovery (RFC 4861) answered from the route table, so that
 * workloads find each other and their gateway while no agent runs.
 */
#ifndef SKYTRAIL_ARP_ND_H
#define SKYTRAIL_ARP_ND_H

#include "arp_nd_frames.h"
#include "behind.h"
#include "neighbour.h"
#include "parse6.h"
#include "punt.h"
#include "tagged.h"

/* What the vRouter leaves to members: to all of them, or to whom it is sent. */
static __always_inline int ask_members(const struct packet *p)
{
	return mac_is_group(p->destination_mac) ? FLOOD : BRIDGE;
}

/* The same where the vRouter knows some: nobody hears from others that an address of theirs is his. */
static __noinline int ask_of(struct __sk_buff *ctx, struct packet *p, const __be32 *claimed,
			     __u32 family)
{
	const __u32 vif_id = get_vif(ctx);
	struct interface *vif = interface_by_vif(vif_id);

	if (!vif || !p)
		return drop(ctx, DROP_INTERFACE_UNKNOWN);
	if (claims_anothers(vif, vif_id, claimed, family))
		return drop(ctx, DROP_SPOOFED_ADDRESS);
	return ask_members(p);
}

VERIFIED_ONCE int answer_arp(struct __sk_buff *ctx, struct packet *p)
{
	const __u32 vif_id = get_vif(ctx);
	struct interface *vif = interface_by_vif(vif_id);
	struct mac known, gateway, asker;
	struct arp_frame *arp;
	__be32 sender, target;
	const __u8 *mac;
	bool own, is_request;
	int reason;

	if (!vif || !p)
		return drop(ctx, DROP_INTERFACE_UNKNOWN);
	ensure_linear(ctx, sizeof(*arp));
	arp = packet_data(ctx);
	if ((void *)(arp + 1) > packet_end(ctx))
		return drop(ctx, DROP_ARP_MALFORMED);
	if (arp->hardware_type != bpf_htons(1) || arp->protocol_type != bpf_htons(ETHERTYPE_IP) ||
	    arp->hardware_bytes != 6 || arp->protocol_bytes != 4)
		return drop(ctx, DROP_ARP_MALFORMED);
	mac_copy(asker.byte, arp->sender_mac);
	is_request = arp->operation == bpf_htons(ARP_REQUEST);
	sender = *(__be32 *)arp->sender_address;
	target = *(__be32 *)arp->target_address;
	if (vif->flags & INTERFACE_ANTISPOOF) {
		if (!mac_equal(asker.byte, p->source_mac))
			return drop(ctx, DROP_SPOOFED_MAC);
		/* RFC 5227: a probe has no sender address yet. */
		if (sender)
			reason = source_check(vif_id, &sender, asker.byte, FAMILY_V4);
		else
			reason = mac_equal(asker.byte, vif->mac) ? DROP_NONE : DROP_SPOOFED_MAC;
		if (reason)
			return drop(ctx, reason);
	}
	if (sender && sender == target && vif->flags & INTERFACE_ANNOUNCES)
		return punt(ctx, PUNT_ANNOUNCEMENT);
	if (vif->options & OPTION_LAYER2)
		return ask_members(p);
	/* Answers to the gateway are answers to the agent, who asks whether an address is still there. */
	if (unlikely(vif->options & OPTION_LEARNS_ADDRESSES) && sender &&
	    ((!is_request && mac_is_gateway(p->destination_mac)) ||
	     is_address_new(vif, vif_id, &sender, asker.byte, FAMILY_V4)))
		punt_frame(ctx, PUNT_ANNOUNCEMENT, PUNTED_TO_LEARN);
	if (!is_request || sender == target) {
		if (vif->options & OPTION_ASKS_MEMBERS && !mac_is_gateway(p->destination_mac))
			return ask_of(ctx, p, &sender, FAMILY_V4);
		return drop(ctx, DROP_ARP_IGNORED);
	}
	mac = neighbour_mac(vif, vif_id, &target, FAMILY_V4, gateway.byte, &own);
	if (!mac && !own && vif->options & OPTION_ASKS_MEMBERS)
		return ask_of(ctx, p, &sender, FAMILY_V4);
	if (!mac)
		return drop(ctx, own ? DROP_ARP_IGNORED : DROP_ARP_UNKNOWN);
	mac_copy(known.byte, mac);
	arp = packet_data(ctx);
	if ((void *)(arp + 1) > packet_end(ctx))
		return drop(ctx, DROP_ARP_MALFORMED);
	mac_copy(arp->destination, asker.byte);
	mac_copy(arp->source, known.byte);
	arp->operation = bpf_htons(2);
	mac_copy(arp->target_mac, asker.byte);
	*(__be32 *)arp->target_address = sender;
	mac_copy(arp->sender_mac, known.byte);
	*(__be32 *)arp->sender_address = target;
	return answer(ctx, interface_by_vif(get_vif(ctx)));
}

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* RFC 4861 §7.1.1: what a solicitation must be before anything else looks at it. */
static __always_inline int nd_valid(struct __sk_buff *ctx, struct packet *p)
{
	struct nd_message nd;
	struct nd_pseudo_header pseudo = { .protocol = bpf_htonl(IP_PROTOCOL_ICMP6) };
	const __u32 bytes = p->ip_bytes - (p->l4 - p->l3);
	__s64 sum;

	if (p->ttl != ND_HOP_LIMIT || bytes < 24 || p->l4 - p->l3 != 40)
		return DROP_ND_MALFORMED;
	if (bytes >= sizeof(nd)) {
		if (bpf_skb_load_bytes(ctx, p->l4, &nd, sizeof(nd)))
			return DROP_ND_MALFORMED;
	} else {
		__builtin_memset(&nd, 0, sizeof(nd));
		if (bpf_skb_load_bytes(ctx, p->l4, &nd, 24))
			return DROP_ND_MALFORMED;
	}
	if (nd.code)
		return DROP_ND_MALFORMED;
	/* Longer ones (a nonce beside the address) are not summed: their answer needs no trust. */
	if (bytes != 24 && bytes != sizeof(nd))
		return DROP_NONE;
	__builtin_memcpy(pseudo.source, p->key6.source, 16);
	__builtin_memcpy(pseudo.destination, p->key6.destination, 16);
	pseudo.bytes = bpf_htonl(bytes);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&nd, sizeof(nd), sum);
	return fold(sum) ? DROP_ND_MALFORMED : DROP_NONE;
}

/* Turns the solicitation into its advertisement. `mac` answers for `target`. */
static __always_inline int nd_answer(struct __sk_buff *ctx, struct packet *p, const __be32 *target,
				     const __u8 *mac, bool probe)
{
	struct nd_pseudo_header pseudo = {
		.bytes = bpf_htonl(sizeof(struct nd_message)),
		.protocol = bpf_htonl(IP_PROTOCOL_ICMP6),
	};
	struct nd_message nd = {
		.type = ND_NEIGHBOUR_SOLICITATION + 1,
		.flags = bpf_htonl(probe ? ND_FLAGS_OVERRIDE : ND_FLAGS_SOLICITED_OVERRIDE),
		.option_type = ND_OPTION_TARGET,
		.option_units = 1,
	};
	const __be16 payload = bpf_htons(sizeof(nd));
	const __u8 next_header = IP_PROTOCOL_ICMP6;
	__u8 macs[12] __attribute__((aligned(4)));
	__s64 sum;

	/* RFC 4861 section 7.3.3: whose router says it is none takes its default route away. */
	if (mac_is_gateway(mac))
		nd.flags |= bpf_htonl(ND_FLAG_ROUTER);
	__builtin_memcpy(nd.target, target, 16);
	mac_copy(nd.option_mac, mac);
	__builtin_memcpy(pseudo.source, target, 16);
	if (probe) {
		pseudo.destination[0] = bpf_htonl(0xff020000);
		pseudo.destination[3] = bpf_htonl(1);
	} else {
		__builtin_memcpy(pseudo.destination, p->key6.source, 16);
	}
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&pseudo, sizeof(pseudo), 0);
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&nd, sizeof(nd), sum);
	nd.checksum = fold(sum);
	mac_copy(macs, p->source_mac);
	mac_copy(macs + 6, mac);
	if (bpf_skb_change_tail(ctx, ND_ANSWER_BYTES, 0) ||
	    bpf_skb_store_bytes(ctx, 0, macs, sizeof(macs), 0) ||
	    bpf_skb_store_bytes(ctx, 14 + 4, &payload, 2, 0) ||
	    bpf_skb_store_bytes(ctx, 14 + 6, &next_header, 1, 0) ||
	    bpf_skb_store_bytes(ctx, 14 + 8, pseudo.source, 32, 0) ||
	    bpf_skb_store_bytes(ctx, 14 + 40, &nd, sizeof(nd), 0))
		return drop(ctx, DROP_ND_MALFORMED);
	return answer(ctx, interface_by_vif(get_vif(ctx)));
}

static __always_inline bool is_solicited(struct __sk_buff *ctx, const struct packet *p)
{
	__u8 flags;

	return bpf_skb_load_bytes(ctx, p->l4 + 4, &flags, 1) || flags & ND_FLAG_SOLICITED;
}

/* As with ARP: who solicits has its source, who advertises the target. */
static __noinline int learn_neighbour(struct __sk_buff *ctx, const struct packet *p,
				      const __be32 *address, bool advertises)
{
	const __u32 vif_id = get_vif(ctx);
	const struct interface *vif = interface_by_vif(vif_id);

	if (!vif || !(address[0] | address[1] | address[2] | address[3]) ||
	    (address[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000))
		return 0;
	if ((advertises && mac_is_gateway(p->destination_mac)) ||
	    is_address_new(vif, vif_id, address, p->source_mac, FAMILY_V6))
		punt_frame(ctx, PUNT_ANNOUNCEMENT, PUNTED_TO_LEARN);
	return 0;
}

/* ICMPv6 133 to 137 from a workload. */
VERIFIED_ONCE int answer_nd(struct __sk_buff *ctx, struct packet *p)
{
	const __u32 vif_id = get_vif(ctx);
	struct interface *vif = interface_by_vif(vif_id);
	__be32 target[4], source[4];
	struct mac known, gateway;
	const __u8 *mac;
	bool own, probe, link_local;
	__u32 type;
	int reason;

	if (!vif || !p)
		return drop(ctx, DROP_INTERFACE_UNKNOWN);
	if (vif->flags & INTERFACE_TAGGED)
		return drop(ctx, DROP_ND_IGNORED);
	type = bpf_ntohs(p->policy_port);
	__builtin_memcpy(source, p->key6.source, 16);
	probe = !(source[0] | source[1] | source[2] | source[3]);
	link_local = (source[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
	if (vif->flags & INTERFACE_ANTISPOOF) {
		if (probe || link_local)
			reason = mac_equal(p->source_mac, vif->mac) ? DROP_NONE : DROP_SPOOFED_MAC;
		else
			reason = source_check(vif_id, source, p->source_mac, FAMILY_V6);
		if (reason)
			return drop(ctx, reason);
	}
	if (vif->options & OPTION_LAYER2 && !(vif->flags & INTERFACE_ANTISPOOF &&
					      (type == ND_ROUTER_ADVERTISEMENT || type == ND_REDIRECT)))
		return ask_members(p);
	if (type == ND_ROUTER_SOLICITATION)
		return punt(ctx, PUNT_ROUTER_SOLICITATION);
	if (type == ND_ROUTER_ADVERTISEMENT || type == ND_REDIRECT)
		return drop(ctx, DROP_ND_ROUTER);
	reason = nd_valid(ctx, p);
	if (reason)
		return drop(ctx, reason);
	if (bpf_skb_load_bytes(ctx, p->l4 + 8, target, sizeof(target)))
		return drop(ctx, DROP_ND_MALFORMED);
	if (unlikely(vif->options & OPTION_LEARNS_ADDRESSES))
		learn_neighbour(ctx, p, type == ND_NEIGHBOUR_SOLICITATION ? source : target,
				type != ND_NEIGHBOUR_SOLICITATION);
	if (type != ND_NEIGHBOUR_SOLICITATION) {
		/* Nobody gets to see it, but who claims another's address is to be found. */
		link_local = (target[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
		if (vif->flags & INTERFACE_ANTISPOOF && !link_local &&
		    source_check(vif_id, target, p->source_mac, FAMILY_V6))
			return drop(ctx, DROP_SPOOFED_ADDRESS);
		/* As gratuitous ARP: nobody has asked. */
		if (vif->flags & INTERFACE_ANNOUNCES && !link_local && !is_solicited(ctx, p))
			return punt(ctx, PUNT_ANNOUNCEMENT);
		if (vif->options & OPTION_ASKS_MEMBERS && !mac_is_gateway(p->destination_mac))
			return ask_of(ctx, p, target, FAMILY_V6);
		return drop(ctx, DROP_ND_IGNORED);
	}
	mac = neighbour_mac(vif, vif_id, target, FAMILY_V6, gateway.byte, &own);
	if (!mac && !own && vif->options & OPTION_ASKS_MEMBERS)
		return ask_of(ctx, p, source, FAMILY_V6);
	if (!mac)
		return drop(ctx, own || probe ? DROP_ND_IGNORED : DROP_ND_UNKNOWN);
	mac_copy(known.byte, mac);
	return nd_answer(ctx, p, target, known.byte, probe);
}

#endif
