/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * All maps. "Agent" is user space, "datapath" the programs of this object.
 * User space sizes the flow maps at load time; everything else is as written here.
 */
#ifndef SKYTRAIL_MAPS_H
#define SKYTRAIL_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include "abi.h"
#include "drop_reasons.h"

const volatile struct limits limits SEC(".rodata.limits") = {
	.cpu_count = 1,
	.flow_pairs_max = FLOW_PAIRS_DEFAULT,
	.flow_limit_default = FLOW_PAIRS_DEFAULT / 4,
	.punt_tokens_max = 256,
	.punt_token_ns = 1000000,
	.port_parts = 1,
};

/* Never read: they keep the enumerations in BTF, from which user space learns the names. */
const volatile struct {
	enum abi abi;
	enum interface_kind interface_kind;
	enum interface_flags interface_flags;
	enum nexthop_kind nexthop_kind;
	enum nexthop_flags nexthop_flags;
	enum encapsulation encapsulation;
	enum flood_flags flood_flags;
	enum floating_flags floating_flags;
	enum interface_options interface_options;
	enum qos qos;
	struct qos_mark qos_mark;
	struct translation translation;
	struct translation_rest translation_rest;
	enum punt_reason punt_reason;
	enum punt_class punt_class;
	enum hash_fields hash_fields;
	enum flow_flags flow_flags;
	enum flow_direction flow_direction;
	enum drop_reason drop_reason;
	enum mirror_kind mirror_kind;
	enum capture_point capture_point;
	enum capture_asks capture_asks;
	struct capture_event capture_event;
	enum session_kind session_kind;
	struct session_event session_event;
	enum mirror_flags mirror_flags;
	struct punt_event punt_event;
	struct flow_scan flow_scan;
	struct ecmp_member ecmp_member;
} abi_types = {};

#define MAP_ARRAY_FLAGS(name_, value_, count_, flags_)                                             \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                  \
		__uint(max_entries, count_);                                                       \
		__uint(map_flags, flags_);                                                         \
		__type(key, __u32);                                                                \
		__type(value, value_);                                                             \
	} name_ SEC(".maps")

#define MAP_ARRAY(name_, value_, count_)                                                           \
	MAP_ARRAY_FLAGS(name_, value_, count_, BPF_F_MMAPABLE)

#define MAP_HASH(name_, key_, value_, count_)                                                      \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_HASH);                                                   \
		__uint(max_entries, count_);                                                       \
		__uint(map_flags, BPF_F_NO_PREALLOC);                                              \
		__type(key, key_);                                                                 \
		__type(value, value_);                                                             \
	} name_ SEC(".maps")

#define MAP_LPM(name_, key_, value_, count_)                                                       \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_LPM_TRIE);                                               \
		__uint(max_entries, count_);                                                       \
		__uint(map_flags, BPF_F_NO_PREALLOC);                                              \
		__type(key, key_);                                                                 \
		__type(value, value_);                                                             \
	} name_ SEC(".maps")

/* Index 0 only. Agent writes, datapath reads at every packet: not mappable, so that it lies in the
 * kernel's own large pages instead of one of its own. */
MAP_ARRAY_FLAGS(settings, struct settings, 1, 0);

/* ifindex -> vif id, 0 = none. Agent writes. */
MAP_ARRAY(ifindex_vif, __u32, IFINDEX_DIRECT_MAX);
/* The same for ifindexes beyond the array. Full: the agent's update fails. */
MAP_HASH(ifindex_vif_high, __u32, __u32, VIF_COUNT_MAX);
/* VLAN of an interface -> vif id of its own. Agent writes. Full: the agent's update fails. */
MAP_HASH(vlans, struct vlan_key, __u32, VIF_COUNT_MAX);
/* vif id -> interface; kind 0 = none. Agent writes. */
MAP_ARRAY(interfaces, struct interface, VIF_COUNT_MAX);

/* Scratch of uplink.h: what the kernel is asked for a route of the underlay with. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bpf_fib_lookup);
} uplink_ways SEC(".maps");

/* Next-hop id -> next hop; kind 0 = none. Agent writes. */
MAP_ARRAY(nexthops, struct nexthop, NEXTHOP_COUNT_MAX);
/* ECMP next-hop id -> members. Agent writes. Full: the agent's update fails. */
MAP_HASH(ecmp_members, __u32, struct ecmp_members, NEXTHOP_COUNT_MAX);

/* (VRF, prefix) -> route. Agent writes; read at a flow's first packet, ARP and ND.
 * Full: the agent's update fails with ENOSPC. */
MAP_LPM(routes4, struct route_key4, struct route, 2097152);
MAP_LPM(routes6, struct route_key6, struct route, 2097152);
/* (VRF, MAC) -> route. Agent writes. Full: the agent's update fails. */
MAP_HASH(bridges, struct bridge_key, struct route, 262144);
/* Outer source address -> 0: where other hosts' and routers' tunnels come from. Agent writes; read for
 * every packet out of a tunnel while OPTION_CHECKS_ENDS is set. Full: the agent's update fails. */
MAP_HASH(tunnel_ends4, __be32, __u32, 65536);
MAP_HASH(tunnel_ends6, struct tunnel_end6, __u32, 65536);
/* (vif, MAC) -> when it last sent, within a second. Agent writes and deletes rows, datapath the time.
 * Full: the agent's update fails; it learns fewer. */
MAP_HASH(macs_seen, struct mac_seen_key, __u64, 32768);
/* (VRF, group, source) -> members that get copies. Agent writes; read for broadcast and multicast.
 * Full: the agent's update fails; it keeps lists of groups to 16384, twice that while they change. */
MAP_HASH(floods, struct flood_key, struct flood, 98304);
/* MPLS label -> next-hop id, 0 = none. Agent writes. */
MAP_ARRAY(labels, __u32, LABEL_COUNT);
/* VNI -> next-hop id. Agent writes. Full: the agent's update fails. */
MAP_HASH(vnis, __u32, __u32, 65536);

/* (vif, place) -> floating address. Agent writes; read at the first packet of a flow of an interface
 * that has INTERFACE_FLOATING. Full: the agent's update fails. */
MAP_HASH(floatings, struct floating_key, struct floating, 131072);
/* (vif, floating address, port seen from one side) -> port of the other side. Agent writes.
 * Full: the agent's update fails. */
MAP_HASH(floating_ports, struct floating_port_key, __be16, 262144);

/* QoS configuration -> marks. Agent writes; read for packets of flows and interfaces that have one.
 * Full: the agent's update fails. */
MAP_HASH(qos_maps, __u32, struct qos_map, QOS_MAP_COUNT_MAX);
/* Link-local service -> where it really is. Agent writes; read at a flow's first packet. Full: the
 * agent's update fails. */
MAP_HASH(link_services, struct link_service_key, struct link_service, 4096);
/* IP protocol -> ports of the host for workloads. Agent writes; read at a flow's first packet. */
MAP_ARRAY(port_pools, struct port_pool, 256);

/* vif * 2 + direction -> rate. Agent writes, datapath keeps due_ns. Full: the agent's update fails. */
MAP_HASH(rates, __u32, struct rate, VIF_COUNT_MAX * 2);

/* (vif, own address) -> control node. Agent writes. Full: the agent's update fails. */
MAP_HASH(bgp_services, struct bgp_service_key, struct bgp_service, 16384);
/* (control node, source port) -> connection. Datapath writes. Full: the oldest is forgotten. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct bgp_client_key);
	__type(value, struct bgp_client);
} bgp_clients SEC(".maps");

/* (vif, prefix) -> MAC a workload may send from. Agent writes. Keys are shaped as routes'. */
MAP_LPM(sources4, struct route_key4, struct source, 262144);
MAP_LPM(sources6, struct route_key6, struct source, 262144);

/* Policy tables. Agent writes; read at a flow's first packet. Full: the agent's update fails. */
MAP_HASH(policy_identities, struct policy_identity_key, __u32, 1048576);
MAP_LPM(policy_prefixes4, struct route_key4, __u32, 262144);
MAP_LPM(policy_prefixes6, struct route_key6, __u32, 262144);
MAP_LPM(verdicts, struct verdict_key, struct verdict, 1048576);
MAP_LPM(source_ports, struct source_port_key, struct verdict, 262144);

/* Flows, two entries a pair. Datapath writes, scan deletes, agent reads. Preallocated, so that a
 * full table is a counted drop and never an allocation failure. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FLOW_PAIRS_DEFAULT * 2);
	__type(key, struct flow_key4);
	__type(value, struct flow);
} flows4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, FLOW_PAIRS_DEFAULT);
	__type(key, struct flow_key6);
	__type(value, struct flow6);
} flows6 SEC(".maps");

/* (vif, protocol, port) -> unused. Agent writes; read after a miss of an interface with OPTION_FAT.
 * Full: the agent's update fails. */
MAP_HASH(fat_flows, struct fat_key, __u32, 65536);
/* vif -> interfaces of its machine, where there are several. Agent writes; read when a flow is made.
 * Full: the agent's update fails. */
MAP_HASH(flow_shares, __u32, struct flow_share, VIF_COUNT_MAX);
/* (protocol, port) -> nanoseconds of silence. Agent writes, scan reads. Full: the update fails. */
MAP_HASH(ageing, struct ageing_key, __u64, 4096);

/* Pair index -> ageing state. Scan writes. */
MAP_ARRAY(flow_pairs, struct flow_pair, FLOW_PAIRS_DEFAULT);
/* cpu * flow_pairs_max + pair -> counters. Each CPU writes its own slice, so no atomics. */
MAP_ARRAY(flow_counters, struct flow_counters, FLOW_PAIRS_DEFAULT);
/* Index 0: pair indices below this were handed out at least once. Index 0 of pairs is unused. */
MAP_ARRAY(flow_pair_next, __u32, 1);
/* Freed pair indices. Scan and datapath push, datapath pops. Cannot overflow. */
struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, FLOW_PAIRS_DEFAULT);
	__type(value, __u32);
} flow_pairs_free SEC(".maps");
/* vif id -> flows it owns, 0 -> all flows. Datapath and scan write atomically. */
MAP_ARRAY(interface_flows, __u32, VIF_COUNT_MAX);

/* Ports of a fragmented packet, learned from its first fragment. Full: the oldest is forgotten. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct fragment_key);
	__type(value, struct fragment_ports);
} fragments SEC(".maps");

/* Frames for the agent. Full: DROP_PUNT_FULL. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, PUNT_RING_BYTES);
} punts SEC(".maps");
/* vif * PUNT_CLASS_COUNT + class -> token bucket. Datapath writes; a lost race costs or gives one token. */
MAP_ARRAY(punt_buckets, struct punt_bucket, VIF_COUNT_MAX * PUNT_CLASS_COUNT);

#define MAP_COUNTERS(name_, count_)                                                                \
	struct {                                                                                   \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);                                           \
		__uint(max_entries, count_);                                                       \
		__type(key, __u32);                                                                \
		__type(value, __u64);                                                              \
	} name_ SEC(".maps")

/* Mirror id -> where copies go; kind 0 = none. Agent writes. */
MAP_ARRAY(mirrors, struct mirror, MIRROR_COUNT);
/* vif -> its mirrors. Agent writes; read for interfaces that have INTERFACE_WATCHED. Full: the agent's
 * update fails. */
MAP_HASH(port_mirrors, __u32, struct port_mirror, VIF_COUNT_MAX);
/* Mirror id -> what became of copies. Datapath writes. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MIRROR_COUNT);
	__type(key, __u32);
	__type(value, struct mirror_counters);
} mirror_counters SEC(".maps");

/* Slot -> what is captured. Agent writes. Index 0 of the other: the points that any slot asks for. */
MAP_ARRAY(captures, struct capture_filter, CAPTURE_SLOTS);
MAP_ARRAY(capture_points, __u32, 1);
/* Captured frames for the agent. Full: lost, and counted in capture_counters. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 2097152);
} captured SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, CAPTURE_SLOTS);
	__type(key, __u32);
	__type(value, struct capture_counters);
} capture_counters SEC(".maps");

/* vif -> what it was given: a frame that is redirected to the workload's end passes no counter of
 * the kernel's. Datapath writes. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, VIF_COUNT_MAX);
	__type(key, __u32);
	__type(value, struct delivered_counters);
} delivered SEC(".maps");

/* Index 0: not 0 while somebody reads `sessions`. Agent writes. */
MAP_ARRAY(sessions_wanted, __u32, 1);
/* Beginnings and ends of flows, 34,952 of them. Read in batches, nobody is woken. Full: lost, and counted. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4194304);
} sessions SEC(".maps");
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct session_counters);
} session_counters SEC(".maps");

/* drop_reason -> packets; punt_reason -> packets. Datapath writes. */
MAP_COUNTERS(drops, DROP_REASON_COUNT);
MAP_COUNTERS(punt_counts, PUNT_REASON_COUNT);
/* (vif, reason) -> packets. Full: only the interface's share is lost, the reason is counted. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 131072);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct drop_key);
	__type(value, __u64);
} interface_drops SEC(".maps");

#endif
