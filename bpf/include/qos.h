/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Marking: what a packet says of itself names a forwarding class, and the class what the headers of
 * the underlay say. The workload's own header is left alone on the way into the underlay, unless it
 * is the underlay's header as well. From the underlay, headers come off without a trace, unless the
 * fabric has a QoS configuration: then it says what the workload sees.
 */
#ifndef SKYTRAIL_QOS_H
#define SKYTRAIL_QOS_H

#include <linux/ip.h>
#include "encap_vxlan.h"
#include "rate.h"

#define DSCP_SHIFT 2
#define ECN_BITS 3
#define VLAN_PRIORITY_SHIFT 13
#define VLAN_ID_MASK 0xfff
#define OUTER_PROTOCOL_OFFSET 23
#define OUTER_PORT_OFFSET 36
#define EXP_MASK 7

/* Of qos_outward(): the packet is beyond the rate. */
#define QOS_EXCEEDED 0xffffffff

enum qos_outward {
	QOS_TAGS = 1,	  /* The frame goes to the underlay alone: it may be tagged. */
	QOS_REWRITES = 2, /* No header will be put in front. */
	QOS_LOCAL = 4,	  /* It stays on this host: nothing is marked. */
};

static __always_inline bool qos_is_ip(const struct packet *p)
{
	return p->ethertype == bpf_htons(ETH_P_IP) || p->ethertype == bpf_htons(ETH_P_IPV6);
}

/* DSCP and ECN of the IP header at p->l3. */
static __always_inline long qos_write_tos(struct __sk_buff *ctx, const struct packet *p, __u8 tos)
{
	const __u32 offset = p->l3 & OFFSET_MASK;
	__be16 before, after;
	long failure = bpf_skb_load_bytes(ctx, offset, &before, sizeof(before));

	if (failure)
		return failure;
	if (p->ethertype == bpf_htons(ETH_P_IPV6)) {
		after = (before & bpf_htons(0xf00f)) | bpf_htons(tos << 4);
	} else {
		after = (before & bpf_htons(0xff00)) | bpf_htons(tos);
		failure = bpf_l3_csum_replace(ctx, offset + offsetof(struct iphdr, check), before,
					      after, sizeof(after));
	}
	return failure ?: bpf_skb_store_bytes(ctx, offset, &after, sizeof(after), 0);
}

/* Marks a packet of a workload that leaves for the underlay: p->tos becomes the outer header's.
 * `id` is a flow's or interface's. Returns what its label carries beside the number. */
VERIFIED_ONCE __u32 qos_outward(struct __sk_buff *ctx, struct packet *p, __u32 id, __u32 how)
{
	const struct settings *now = get_settings();
	const __u32 number = id & ~QOS_RATED;
	const struct qos_map *map;
	struct qos_mark mark;

	if (!p || !now)
		return 0;
	if (id & QOS_RATED && rate_exceeded(ctx, p, get_vif(ctx), RATE_SENT))
		return QOS_EXCEEDED;
	map = how & QOS_LOCAL ? NULL : bpf_map_lookup_elem(&qos_maps, &number);
	if (!map)
		return 0;
	/* A frame without a tag is of priority 0 (IEEE 802.1Q section 6.9.1). */
	mark = qos_is_ip(p) ? map->dscp[p->tos >> DSCP_SHIFT] : map->vlan[0];
	if (mark.dscp >= QOS_DSCP_COUNT)
		return 0;
	ctx->priority = QOS_PRIORITY_FIRST + mark.class_id;
	p->tos = mark.dscp << DSCP_SHIFT | (p->tos & ECN_BITS);
	if (how & QOS_REWRITES)
		qos_write_tos(ctx, p, p->tos);
	if (how & QOS_TAGS && now->options & OPTION_PRIORITY_TAGS)
		bpf_skb_vlan_push(ctx, bpf_htons(ETH_P_8021Q),
				  mark.vlan_priority << VLAN_PRIORITY_SHIFT);
	return (__u32)mark.exp << LABEL_EXP_SHIFT;
}

/* What an interface's packets are up to, as a flow keeps it. */
static __always_inline __u16 qos_sent(const struct interface *vif, __u32 rule_qos)
{
	return (rule_qos ?: vif->qos) | (vif->options & OPTION_RATE_SENT ? QOS_RATED : 0);
}

/* The traffic class bits of the label that a packet came by; -1: it came by none. */
static __always_inline int qos_received_exp(struct __sk_buff *ctx, const struct packet *p)
{
	__u32 offset = p->l3 - 4;
	__u8 protocol = 0;
	__be16 port = 0;
	__be32 word;

	if (p->flags & PACKET_LAYER2)
		offset -= ETHERNET_BYTES;
	if (bpf_skb_load_bytes(ctx, OUTER_PROTOCOL_OFFSET, &protocol, sizeof(protocol)) ||
	    bpf_skb_load_bytes(ctx, OUTER_PORT_OFFSET, &port, sizeof(port)) ||
	    bpf_skb_load_bytes(ctx, offset, &word, sizeof(word)))
		return -1;
	if (protocol == IP_PROTOCOL_UDP && port == bpf_htons(VXLAN_PORT))
		return -1;
	return bpf_ntohl(word) >> LABEL_EXP_IN_WORD & EXP_MASK;
}

/* A packet from the underlay for a workload, still as it came: what marked its tunnel, or itself
 * where there is none, decides what the workload sees. */
VERIFIED_ONCE int qos_inward(struct __sk_buff *ctx, struct packet *p, __u32 id)
{
	const struct qos_map *map = bpf_map_lookup_elem(&qos_maps, &id);
	struct qos_mark mark;
	int exp = -1;

	if (!p || !map)
		return 0;
	if (p->l3 == ETHERNET_BYTES) {
		mark = map->dscp[p->tos >> DSCP_SHIFT];
	} else {
		if (map->has_exp)
			exp = qos_received_exp(ctx, p);
		mark = exp < 0 ? map->dscp[p->outer_tos >> DSCP_SHIFT] :
				 map->exp[exp & EXP_MASK];
	}
	if (mark.dscp >= QOS_DSCP_COUNT)
		return 0;
	p->tos = mark.dscp << DSCP_SHIFT | (p->tos & ECN_BITS);
	return qos_write_tos(ctx, p, p->tos);
}

#endif
