/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Quality of service's part of what is shared with user space; included by abi.h alone.
 */
#ifndef SKYTRAIL_ABI_QOS_H
#define SKYTRAIL_ABI_QOS_H

#include <linux/types.h>

enum qos {
	QOS_MAP_COUNT_MAX = 4096,
	QOS_DSCP_COUNT = 64,
	QOS_VLAN_COUNT = 8,
	QOS_EXP_COUNT = 8,
	QOS_UNMARKED = 255, /* In a mark's dscp: there is no such forwarding class. */
	/* In a flow's qos, beside the number of its map: what it sends is limited in rate. */
	QOS_RATED = 1 << 15,
	RATE_SENT = 0, /* In a key of rates: vif * 2 + this. */
	RATE_RECEIVED = 1,
	RATE_SHIFT = 20,
	/* A packet's priority is this plus its forwarding class: also the class of a queueing
	 * discipline whose handle is the upper half. */
	QOS_PRIORITY_FIRST = 0x51500100,
};

/* What a forwarding class writes into the headers of the underlay. */
struct qos_mark {
	__u8 class_id;
	__u8 dscp;
	__u8 exp;
	__u8 vlan_priority;
};

/* A QoS configuration with its forwarding classes settled. */
struct qos_map {
	struct qos_mark dscp[QOS_DSCP_COUNT];
	struct qos_mark vlan[QOS_VLAN_COUNT];
	struct qos_mark exp[QOS_EXP_COUNT];
	__u32 has_exp; /* It has entries for MPLS: they come before those for DSCP. */
};
_Static_assert(sizeof(struct qos_map) == 324, "qos_map");

/* How fast an interface may send or receive. */
struct rate {
	__u64 bytes_per_s;
	__u64 burst_bytes;
	__u64 byte_ns; /* Time of a byte, times 1 << RATE_SHIFT. */
	__u64 burst_ns;
	__u64 due_ns; /* Datapath writes: when all it let pass will have been due. */
};
_Static_assert(sizeof(struct rate) == 40, "rate");

#endif
