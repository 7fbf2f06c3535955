/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Frames for the agent, shared with user space: why they are handed over, and how many may be. Part of
 * abi.h, which says what a change means.
 */
#ifndef SKYTRAIL_ABI_PUNT_H
#define SKYTRAIL_ABI_PUNT_H

#include <linux/types.h>

enum punt_reason {
	PUNT_NONE = 0,
	PUNT_DHCP = 1,
	PUNT_DHCP6 = 2,
	PUNT_DNS = 3,
	PUNT_ROUTER_SOLICITATION = 4,
	PUNT_ICMP_TTL_EXCEEDED = 5,
	PUNT_ICMP_TOO_BIG = 6,
	PUNT_RECEIVE = 7,
	PUNT_ICMP_UNREACHABLE = 8,
	PUNT_ANNOUNCEMENT = 9, /* Who has an address now that others had. */
	PUNT_MEMBERSHIP = 10, /* IGMP or MLD: who listens to which group. */
	PUNT_MAC = 11, /* A source that is not known behind its interface. */
	PUNT_MAC_UNTOLD = 12, /* Never handed over: counts such frames beyond what may be. */
	PUNT_REASON_COUNT,
};

/* Of PUNT_ANNOUNCEMENT: the frame goes on, and the agent is to learn from it who has an address. */
#define PUNTED_TO_LEARN 1

/* Each interface has a token bucket for each. */
enum punt_class {
	PUNT_CLASS_OTHER = 0,
	PUNT_CLASS_NEIGHBOUR = 1,
	PUNT_CLASS_DHCP = 2,
	PUNT_CLASS_DNS = 3,
	PUNT_CLASS_ERROR = 4, /* ICMP errors to be told. */
	PUNT_CLASS_MAC = 5,
	PUNT_CLASS_SERVICE = 6, /* What reaches the agent by the host's stack. */
	PUNT_CLASS_COUNT = 8,
};

struct punt_bucket {
	__u64 last_ns;
	__u64 tokens;
};

struct punt_event {
	__u32 ifindex;
	__u16 vif;
	__u8 reason;
	__u8 pad;
	__u32 argument;
	__u32 frame_bytes;  /* Bytes present below. */
	__u8 frame[PUNT_FRAME_BYTES_MAX];
};

#endif
