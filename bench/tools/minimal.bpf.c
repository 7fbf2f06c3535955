// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The least an MPLS-over-UDP vRouter can do, as a yardstick: IPv4 route, tunnel, label, deliver.
 * No policy, no flows, no anti-spoofing, no checks beyond what the verifier asks. What the real
 * datapath costs more than this is the price of those. Loaded and filled by datapath_paths.py.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define PORT 6635
#define OUTER_BYTES 46 /* Ethernet, IPv4, UDP, label. */

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct route_key {
	__u32 bits;
	__be32 address;
};

struct route {
	__u32 ifindex;
	__u32 label; /* 0: local. */
	__u8 mac[8];
	__u8 header[40]; /* Ethernet, IPv4 and UDP ports of the tunnel. */
	__u32 sum;	 /* Of the IPv4 header without its length. */
	__u32 pad;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct route_key);
	__type(value, struct route);
} min_routes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct route);
} min_labels SEC(".maps");

static __always_inline int deliver(struct __sk_buff *skb, const struct route *to)
{
	struct ethhdr *ethernet = (void *)(long)skb->data;

	if ((void *)(ethernet + 1) > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	__builtin_memcpy(ethernet->h_dest, to->mac, 6);
	ethernet->h_proto = bpf_htons(ETH_P_IP);
	return bpf_redirect_peer(to->ifindex, 0);
}

SEC("tc")
int min_workload(struct __sk_buff *skb)
{
	struct route_key key = { .bits = 32 };
	__u32 bytes = skb->len + OUTER_BYTES - ETH_HLEN - ETH_HLEN, sum, hash;
	struct ethhdr *ethernet = (void *)(long)skb->data;
	struct iphdr *ip = (void *)(ethernet + 1);
	struct route *to;
	__u8 *frame;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end ||
	    ethernet->h_proto != bpf_htons(ETH_P_IP))
		return TC_ACT_UNSPEC;
	key.address = ip->daddr;
	to = bpf_map_lookup_elem(&min_routes, &key);
	if (!to)
		return TC_ACT_SHOT;
	if (!to->label)
		return deliver(skb, to);
	hash = bpf_get_hash_recalc(skb);
	if (bpf_skb_adjust_room(skb, OUTER_BYTES - ETH_HLEN, BPF_ADJ_ROOM_MAC,
				BPF_F_ADJ_ROOM_FIXED_GSO | BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 |
					BPF_F_ADJ_ROOM_ENCAP_L4_UDP | BPF_F_ADJ_ROOM_ENCAP_L2(4)))
		return TC_ACT_SHOT;
	frame = (void *)(long)skb->data;
	if ((void *)frame + OUTER_BYTES > (void *)(long)skb->data_end)
		return TC_ACT_SHOT;
	__builtin_memcpy(frame, to->header, 40);
	*(__be16 *)(frame + 16) = bpf_htons(bytes);
	sum = to->sum + bpf_htons(bytes);
	sum = (sum & 0xffff) + (sum >> 16);
	*(__u16 *)(frame + 24) = ~((sum & 0xffff) + (sum >> 16));
	*(__be16 *)(frame + 34) = bpf_htons(49152 + (hash & 0x3fff));
	*(__be16 *)(frame + 38) = bpf_htons(bytes - 20);
	*(__be16 *)(frame + 40) = 0;
	*(__be32 *)(frame + 42) = bpf_htonl(to->label << 12 | 0x100 | 64);
	return bpf_redirect(to->ifindex, 0);
}

SEC("tc")
int min_underlay(struct __sk_buff *skb)
{
	const __u8 *frame = (void *)(long)skb->data;
	struct route *to;
	__u32 label;

	if ((void *)frame + OUTER_BYTES > (void *)(long)skb->data_end ||
	    frame[23] != 17 || *(__be16 *)(frame + 36) != bpf_htons(PORT))
		return TC_ACT_UNSPEC;
	label = bpf_ntohl(*(__be32 *)(frame + 42)) >> 12;
	to = bpf_map_lookup_elem(&min_labels, &label);
	if (!to || bpf_skb_adjust_room(skb, -(OUTER_BYTES - ETH_HLEN), BPF_ADJ_ROOM_MAC,
				       BPF_F_ADJ_ROOM_FIXED_GSO))
		return TC_ACT_SHOT;
	return deliver(skb, to);
}
