// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Entry points of the vRouter datapath. docs/packet-path.md walks through them table by table.
 */
#include "special.h"
#include "capture.h"
#include "learn.h"
#include "mirror_send.h"
#include "outer_sum.h"
#include "fabric_forward.h"
#include "flow_scan.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

static __always_inline __u32 qos_how(const struct nexthop *nh)
{
	if (nh->kind != NEXTHOP_TUNNEL)
		return QOS_LOCAL;
	return nh->encapsulation == ENCAP_NATIVE ? QOS_TAGS | QOS_REWRITES : QOS_TAGS;
}

static __always_inline int workload_inet(struct __sk_buff *ctx, struct packet *p,
					 const __u32 family)
{
	struct settings *now = get_settings();
	struct nexthop *nh;
	struct flow *flow;
	__u32 label = 0;
	int reason;
	__u64 way;

	reason = family == FAMILY_V4 ? parse_ipv4(ctx, p) : parse_ipv6(ctx, p);
	if (unlikely(reason))
		return drop(ctx, reason);
	if (family == FAMILY_V6 && unlikely(p->key6.protocol == IP_PROTOCOL_ICMP6) &&
	    bpf_ntohs(p->policy_port) >= ND_ROUTER_SOLICITATION &&
	    bpf_ntohs(p->policy_port) <= ND_REDIRECT)
		return for_neighbours(ctx, p, answer_nd(ctx, p), FAMILY_V6);
	if (unlikely(is_special(p, family))) {
		const int action = workload_special(ctx, p, family);

		return action == FLOOD ? flood_from_workload(ctx, p, family) : action;
	}
	flow = family == FAMILY_V4 ? bpf_map_lookup_elem(&flows4, &p->key4) :
				     bpf_map_lookup_elem(&flows6, &p->key6);
	if (unlikely(!flow || !now || flow->generation != now->generation ||
		     flow->flags & FLOW_BRIDGED || !mac_equal(p->source_mac, flow->source_mac) ||
		     flow_reopens(flow, p))) {
		const int action = flow_miss(ctx, p, family);

		if (action == FLOOD)
			return flood_from_workload(ctx, p, family);
		if (action != PROCEED)
			return action;
		flow = decided_flow();
		if (!flow)
			return drop(ctx, DROP_INTERFACE_UNKNOWN);
	}
	flow_count(ctx, flow);
	if (unlikely(flow->flags & FLOW_DENY))
		return drop(ctx, flow->drop_reason);
	if (unlikely(flow->flags & FLOW_MIRRORED))
		mirror_frame(ctx, flow_mirror(flow));
	if (unlikely(p->flags & PACKET_CLOSES))
		flow_close(ctx, p, family);
	way = flow_way(flow);
	nh = nexthop_lookup(way_nexthop(way));
	if (unlikely(!nh))
		return drop(ctx, DROP_NEXTHOP);
	if (unlikely(flow->qos)) {
		label = qos_outward(ctx, p, flow->qos, qos_how(nh));
		if (label == QOS_EXCEEDED)
			return drop(ctx, DROP_RATE_SENT);
	}
	/* An entry of flows6 is a flow6, and so is the decision at hand. */
	if (family == FAMILY_V6 && unlikely(flow->flags & FLOW_TRANSLATED))
		return send_translated6(ctx, p, nh, (const struct flow6 *)flow,
					label | way_label(way));
	if (nh->kind == NEXTHOP_TUNNEL)
		return send_to_tunnel(ctx, p, nh, flow, label | way_label(way), family);
	if (nh->kind == NEXTHOP_INTERFACE)
		return send_to_local(ctx, p, nh, flow, family);
	if (nh->kind == NEXTHOP_FABRIC && family == FAMILY_V4)
		return send_to_fabric(ctx, p, flow);
	return drop(ctx, DROP_NEXTHOP);
}

static __always_inline int from_workload(struct __sk_buff *ctx)
{
	bool tagged = false;
	const struct interface *vif;
	struct packet packet = {};
	struct ethhdr *ethernet;
	__u32 vif_id = watched_vif(ctx->ifindex);
	int reason;

	if (unlikely(vif_id >= VIF_COUNT_MAX)) {
		const bool learns = vif_id & VIF_LEARNS && !ctx->vlan_present;
		const bool watched = vif_id & VIF_WATCHED;

		vif_id &= VIF_COUNT_MAX - 1;
		set_vif(ctx, vif_id);
		if (watched)
			watch_sent(ctx, vif_id);
		reason = learns ? learn_source(ctx, vif_id) : DROP_NONE;
		if (reason)
			return drop(ctx, reason);
	}
	set_vif(ctx, vif_id);
	if (unlikely(!vif_id))
		return drop(ctx, DROP_INTERFACE_UNKNOWN);
	if (unlikely(ctx->vlan_present)) {
		vif_id = tagged_enter(ctx);
		if (!vif_id || vif_id == VLAN_NESTED)
			return drop(ctx, vif_id ? DROP_VLAN_NESTED : DROP_VLAN);
		set_vif(ctx, vif_id);
		vif = interface_by_vif(vif_id);
		tagged = vif && vif->flags & INTERFACE_TAGGED;
		reason = vif && vif->options & OPTION_LEARNS ? learn_source(ctx, vif_id) : DROP_NONE;
		if (reason)
			return drop(ctx, reason);
	}
	ensure_linear(ctx, ETHERNET_BYTES + sizeof(struct iphdr));
	ethernet = packet_data(ctx);
	if ((void *)(ethernet + 1) > packet_end(ctx))
		return drop(ctx, DROP_TRUNCATED);
	packet.flags = tagged || mac_is_gateway(ethernet->h_dest) ? PACKET_TO_GATEWAY : 0;
	packet.l3 = ETHERNET_BYTES;
	packet.ethertype = *(__be16 *)((void *)ethernet + 12);
	mac_copy(packet.destination_mac, ethernet->h_dest);
	mac_copy(packet.source_mac, ethernet->h_source);
	switch (packet.ethertype) {
	case bpf_htons(ETH_P_IP):
		packet.key4.vif = vif_id;
		packet.key4.direction = DIRECTION_FROM_WORKLOAD;
		return workload_inet(ctx, &packet, FAMILY_V4);
	case bpf_htons(ETH_P_IPV6):
		packet.key6.vif = vif_id;
		packet.key6.direction = DIRECTION_FROM_WORKLOAD;
		return workload_inet(ctx, &packet, FAMILY_V6);
	case bpf_htons(ETH_P_ARP):
		if (tagged)
			return drop(ctx, DROP_VLAN);
		return for_neighbours(ctx, &packet, answer_arp(ctx, &packet), 0);
	case bpf_htons(ETH_P_8021Q):
	case bpf_htons(ETH_P_8021AD):
		return drop(ctx, DROP_VLAN);
	}
	if (tagged)
		return drop(ctx, DROP_VLAN);
	vif = interface_by_vif(vif_id);
	if (!vif || !vif->kind)
		return drop(ctx, DROP_INTERFACE_UNKNOWN);
	if (vif->flags & INTERFACE_ANTISPOOF && !mac_equal(packet.source_mac, vif->mac))
		return drop(ctx, DROP_SPOOFED_MAC);
	if (vif->options & OPTION_LAYER3)
		return drop(ctx, DROP_LAYER3_ONLY);
	if (mac_is_group(packet.destination_mac) ||
	    (!bridge_lookup(vif->vrf, packet.destination_mac) && floods_unknown(vif->vrf)))
		return flood_from_workload(ctx, &packet, 0);
	return bridge_frame(ctx, &packet, vif->vrf);
}

/* The end of every packet: what was dropped may be captured. */
static __always_inline int finish(struct __sk_buff *ctx, int action)
{
	if (unlikely(action == TC_ACT_SHOT))
		capture_dropped(ctx);
	return action;
}

SEC("tc")
int workload_ingress(struct __sk_buff *ctx)
{
	set_dropped(ctx, 0);
	return finish(ctx, from_workload(ctx));
}

/* Reasons a frame to our tunnel address and port is not decapsulated. */
static __always_inline int outer_check(struct __sk_buff *ctx, const struct iphdr *ip,
				       const struct settings *now)
{
	if (ip->ihl != 5 || ip->frag_off & bpf_htons(IP4_MORE_FRAGMENTS))
		return DROP_OUTER_HEADER;
	/* The length of a GSO frame near 64 KiB has wrapped. */
	if (!ctx->gso_size && ETHERNET_BYTES + bpf_ntohs(ip->tot_len) > ctx->len)
		return DROP_OUTER_HEADER;
	if (ip4_header_sum((const __u16 *)ip, 0))
		return DROP_CHECKSUM;
	return likely(is_known_end(now, ip->saddr)) ? DROP_NONE : DROP_OUTER_SOURCE;
}

/* Not for a tunnel end of ours: for a workload the underlay routes to, or for the host. */
static __always_inline int underlay_native(struct __sk_buff *ctx, struct packet *p, __be32 address)
{
	const __u32 vif_id = native_vif(ctx, address);

	p->l3 = ETHERNET_BYTES;
	p->ethertype = bpf_htons(ETH_P_IP);
	return vif_id ? receive_ipv4(ctx, p, vif_id) : PASS;
}

static __always_inline int from_underlay6(struct __sk_buff *ctx, struct packet *p)
{
	int found;

	set_vif(ctx, 0);
	set_relayed_from(ctx, 0);
	found = outer6_examine(ctx, p);
	switch (found) {
	case OUTER6_MPLSUDP:
		return receive_label(ctx, p, MPLSUDP6_LABEL_OFFSET);
	case OUTER6_MPLSGRE:
		return receive_label(ctx, p, MPLSGRE6_LABEL_OFFSET);
	case OUTER6_VXLAN:
		return receive_vxlan(ctx, p, MPLSUDP6_LABEL_OFFSET);
	}
	return found;
}

static __always_inline int from_underlay(struct __sk_buff *ctx)
{
	const struct settings *now = get_settings();
	struct packet packet = {};
	struct ethhdr *ethernet;
	struct iphdr *ip;
	__be16 port;
	int reason;

	/* A tag of VLAN 0 tells a priority, no VLAN; the workload does not get it. */
	if (unlikely(ctx->vlan_present) && !(ctx->vlan_tci & VLAN_ID_MASK))
		bpf_skb_vlan_pop(ctx);
	ensure_linear(ctx, VXLAN_BYTES + ETHERNET_BYTES);
	ethernet = packet_data(ctx);
	ip = (void *)(ethernet + 1);
	if ((void *)(ip + 1) + 8 > packet_end(ctx) || !now)
		return PASS;
	if (*(__be16 *)((void *)ethernet + 12) != bpf_htons(ETH_P_IP) || ctx->vlan_present) {
		if (*(__be16 *)((void *)ethernet + 12) != bpf_htons(ETH_P_IPV6) || ctx->vlan_present)
			return PASS;
		return from_underlay6(ctx, &packet);
	}
	set_vif(ctx, 0);
	set_relayed_from(ctx, 0);
	packet.flags = 0;
	if (ip->daddr != now->tunnel_address) {
		if (!now->replicator_address || ip->daddr != now->replicator_address)
			return underlay_native(ctx, &packet, ip->daddr);
		/* Copied on to all but whom it comes from. */
		set_relayed_from(ctx, ip->saddr);
	}
	if (ip->frag_off & bpf_htons(IP4_FRAGMENT_OFFSET))
		return fabric_receive(ctx, &packet);
	packet.outer_tos = ip->tos;
	port = *(__be16 *)((void *)(ip + 1) + 2);
	switch (ip->protocol) {
	case IP_PROTOCOL_UDP:
		if (port != bpf_htons(MPLSUDP_PORT) && port != bpf_htons(VXLAN_PORT))
			return fabric_receive(ctx, &packet);
		reason = outer_check(ctx, ip, now);
		if (unlikely(reason))
			return drop(ctx, reason);
		if (unlikely(*(__be16 *)((void *)(ip + 1) + UDP_SUM_OFFSET)) && settle_outer_sum(ctx))
			return drop(ctx, DROP_ENCAPSULATION);
		if (port == bpf_htons(MPLSUDP_PORT))
			return receive_label(ctx, &packet, MPLSUDP_LABEL_OFFSET);
		return receive_vxlan(ctx, &packet, MPLSUDP_LABEL_OFFSET);
	case IP_PROTOCOL_TCP:
		reason = bgp_from_control(ctx);
		return reason == PASS ? fabric_receive(ctx, &packet) : reason;
	case IP_PROTOCOL_ICMP:
		return fabric_receive(ctx, &packet);
	case IP_PROTOCOL_GRE:
		if (port != bpf_htons(MPLSGRE_PROTOCOL))
			return PASS;
		reason = outer_check(ctx, ip, now);
		if (unlikely(reason))
			return drop(ctx, reason);
		if (*(__be16 *)(ip + 1))
			return drop(ctx, DROP_TUNNEL_HEADER);
		return receive_label(ctx, &packet, MPLSGRE_LABEL_OFFSET);
	}
	return PASS;
}

SEC("tc")
int underlay_ingress(struct __sk_buff *ctx)
{
	set_dropped(ctx, 0);
	return finish(ctx, from_underlay(ctx));
}
