// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A datapath that asks: the first packet of a flow goes to a process, which writes the flow's entries
 * and sends the packet on. A yardstick for deciding in the kernel; IPv4 and UDP between two interfaces.
 * The kernel's part is as small as it can be: one look-up, one ring.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/ip.h>
#include <linux/pkt_cls.h>
#include <linux/udp.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct flow_key {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	__u32 protocol;
};

struct flow {
	__u32 ifindex;
	__u32 allowed;
};

struct question {
	struct flow_key key;
	__u8 frame[64];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1048576);
	__type(key, struct flow_key);
	__type(value, struct flow);
} asked_flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16777216);
} questions SEC(".maps");

SEC("tc")
int asking_workload(struct __sk_buff *skb)
{
	struct ethhdr *ethernet = (void *)(long)skb->data;
	struct iphdr *ip = (void *)(ethernet + 1);
	struct udphdr *udp = (void *)(ip + 1);
	struct flow_key key = {};
	struct question *question;
	struct flow *flow;

	if ((void *)(udp + 1) > (void *)(long)skb->data_end ||
	    ethernet->h_proto != bpf_htons(ETH_P_IP) || ip->protocol != 17)
		return TC_ACT_UNSPEC;
	key.source = ip->saddr;
	key.destination = ip->daddr;
	key.source_port = udp->source;
	key.destination_port = udp->dest;
	key.protocol = 17;
	flow = bpf_map_lookup_elem(&asked_flows, &key);
	if (flow)
		return flow->allowed ? bpf_redirect_peer(flow->ifindex, 0) : TC_ACT_SHOT;
	question = bpf_ringbuf_reserve(&questions, sizeof(*question), 0);
	if (!question)
		return TC_ACT_SHOT;
	question->key = key;
	__builtin_memset(question->frame, 0, sizeof(question->frame));
	bpf_skb_load_bytes(skb, 0, question->frame, 60);
	bpf_ringbuf_submit(question, 0);
	return TC_ACT_SHOT;
}

/* At receivers of every datapath that is compared: what has arrived is done with. */
SEC("tc")
int discard(struct __sk_buff *skb)
{
	return TC_ACT_SHOT;
}
