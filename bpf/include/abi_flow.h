/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The flow tables' part of what is shared with user space; included by abi.h alone.
 */
#ifndef SKYTRAIL_ABI_FLOW_H
#define SKYTRAIL_ABI_FLOW_H

#include <linux/types.h>

enum flow_flags {
	FLOW_DENY = 1,
	FLOW_REVERSE = 2,
	FLOW_BRIDGED = 4,	/* Decided by a MAC, and again at every packet. */
	FLOW_TRANSLATED = 8,	/* Leaves with other addresses or ports than it came with. */
	FLOW_CLOSED = 16,	/* RST was seen, or FIN of both sides. */
	FLOW_HAS_PAIR = 32,	/* A reverse entry was created. */
	FLOW_FINISHED = 64,	/* FIN was seen in this entry's direction. */
	FLOW_MIRRORED = 128,	/* A rule asks for copies. */
};

enum flow_direction {
	DIRECTION_FROM_WORKLOAD = 0,
	DIRECTION_FROM_UNDERLAY = 1,
	DIRECTION_FOLDED = 2, /* Beside either: an entry of many addresses, no packet's own key. */
};

struct flow_key4 {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
	__u16 vif;
	__u8 protocol;
	__u8 direction;
};
_Static_assert(sizeof(struct flow_key4) == 16, "flow_key4");

struct flow_key6 {
	__be32 source[4];
	__be32 destination[4];
	__be16 source_port;
	__be16 destination_port;
	__u16 vif;
	__u8 protocol;
	__u8 direction;
};
_Static_assert(sizeof(struct flow_key6) == 40, "flow_key6");

/* What a packet leaves with; of IPv6 addresses the first words. */
struct translation {
	__be32 source;
	__be32 destination;
	__be16 source_port;
	__be16 destination_port;
};

struct flow {
	__u32 generation;
	__u32 pair;	    /* Index into pairs and counters, shared by both directions. */
	/* Label and next hop share 8 bytes, written and read at once: the label of one host must
	 * never be sent to another, where it may be another tenant's. */
	__u32 label;
	__u16 nexthop;
	__u16 peer_vif;	    /* Where the reverse entry lives; 0: same interface, other direction. */
	__u8 flags;
	__u8 drop_reason;   /* FLOW_DENY; FLOW_MIRRORED alone: the mirror. */
	__be16 entropy;	    /* Outer UDP source port. */
	__u8 source_mac[6]; /* The sender's, admitted when the flow was decided. */
	__u8 mac[6];	    /* Destination MAC of the delivered or bridged frame. */
	/* Above: what every packet reads. */
	__u32 rule;
	__be16 policy_port; /* Destination port as policy sees it: ICMP type for ICMP. */
	__u16 qos;	    /* Marks what it sends into the underlay; 0: nothing does. */
	__u64 created_ns;
	/* With the kernel's 48 bytes and an IPv4 key: two cache lines, the value in the second. */
	/* FLOW_TRANSLATED. Under a key with DIRECTION_FOLDED the ports are the bits that it has of the
	 * source and of the destination. */
	struct translation to;
	__be32 came_from;      /* The host that sent the packet that was decided; 0: this one. */
};
_Static_assert(sizeof(struct flow) == 64, "flow");
_Static_assert(__builtin_offsetof(struct flow, label) == 8, "flow");

/* The other words of the addresses that an IPv6 packet leaves with. */
struct translation_rest {
	__be32 source[3];
	__be32 destination[3];
};

struct flow6 {
	struct flow flow;
	struct translation_rest rest; /* FLOW_TRANSLATED. */
};
_Static_assert(sizeof(struct flow6) == 88, "flow6");

/* Ageing state of a pair; written by the scan alone. */
struct flow_pair {
	__u64 packets_seen;
	__u64 active_ns;
};

/* Per CPU and pair: index = cpu * pairs_max + pair. Forward direction first. */
struct flow_counters {
	__u64 packets[2];
	__u64 bytes[2];
};

struct fragment_key {
	__be32 source[4];
	__be32 destination[4];
	__be32 identification;
	__u16 vif;
	__u8 protocol;
	__u8 direction;
};
_Static_assert(sizeof(struct fragment_key) == 40, "fragment_key");

struct fragment_ports {
	__be16 source;
	__be16 destination;
	__be16 policy;
	__be16 pad;
};

/* Flows of an interface to a port, or all of a protocol (port 0), that are merged. */
struct fat_key {
	__u32 vif;
	__be16 port;
	__u8 protocol;
	__u8 pad;
};
_Static_assert(sizeof(struct fat_key) == 8, "fat_key");

/* One of several rules of an interface by which flows of a port, or all of a protocol (port 0), are
 * folded. */
struct fold_key {
	__u32 vif;
	__be16 port;
	__u8 protocol;
	__u8 number;
};
_Static_assert(sizeof(struct fold_key) == 8, "fold_key");

/* Connections between these addresses, and what of the addresses counts. `own`: the interface's side. */
struct fold {
	__be32 own[4];
	__be32 own_mask[4];
	__be32 far[4];
	__be32 far_mask[4];
	__be32 own_kept[4];
	__be32 far_kept[4];
	__u8 own_bits; /* That are kept, for people; FOLD_KEEPS_ALL. */
	__u8 far_bits;
	__u8 family; /* 0: either. */
	__u8 pad;
};
_Static_assert(sizeof(struct fold) == 100, "fold");

/* Interfaces of one machine, which share its part of the table. */
struct flow_share {
	__u32 limit; /* Flows of the machine; 0, or less than the default: the default. */
	__u16 used;
	__u16 parts; /* These interfaces have one of so many equal parts; 0: all of it. */
	__u32 vif[FLOW_SHARE_MEMBERS_MAX];
};
_Static_assert(sizeof(struct flow_share) == 136, "flow_share");

/* Flows that live longer or shorter than others; port 0: all of the protocol. */
struct ageing_key {
	__be16 port;
	__u8 protocol;
	__u8 pad;
};
_Static_assert(sizeof(struct ageing_key) == 4, "ageing_key");

/* Argument and result of the flow_scan program. */
struct flow_scan {
	__u64 now_ns;
	__u32 purge_vif;   /* 0: age; otherwise delete every flow of this interface. */
	__u32 deleted;
	__u32 visited;
	__u32 has_ageing; /* There are entries in ageing. */
	__u64 idle_tcp_ns;
	__u64 idle_udp_ns;
	__u64 idle_closed_ns; /* Closed TCP and denied flows. */
	__u64 idle_opening_ns; /* Translated TCP that nobody answered: it may hold a port. */
};

/* What an interface was given, by one CPU. What it sends, the kernel's device counts. */
struct delivered_counters {
	__u64 packets; /* As the workload counts them: segments of a larger one. */
	__u64 bytes;
};
_Static_assert(sizeof(struct delivered_counters) == 16, "delivered_counters");

#endif
