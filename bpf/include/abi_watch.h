/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What is shared with user space about copies of packets; included by abi.h alone.
 */
#ifndef SKYTRAIL_ABI_WATCH_H
#define SKYTRAIL_ABI_WATCH_H

#include <linux/types.h>

enum mirror_kind {
	MIRROR_NONE = 0,
	MIRROR_ROUTED = 1,  /* To an address in a VRF. */
	MIRROR_BRIDGED = 2, /* To a MAC in a VRF. */
	MIRROR_FIXED = 3,   /* By a next hop. */
};

enum mirror_flags {
	MIRROR_IP = 1,	 /* The header is Ethernet, IP and more. */
	MIRROR_UDP = 2,	 /* Next to IP is UDP. */
	MIRROR_PCAP = 4, /* Next to UDP is a record header of pcap: time and lengths. */
	MIRROR_IP6 = 8,	 /* IP is IPv6, and so is the analyzer's address. */
};

/* Where copies go, and what is put in front of each. */
struct mirror {
	__u8 kind;
	__u8 flags;
	__u16 header_bytes;
	__u32 vrf;
	__be32 analyzer[4]; /* IPv4: the first alone. */
	__u32 nexthop;
	__u8 mac[6];
	__u8 pad[2];
	__u8 header[MIRROR_HEADER_BYTES_MAX];
};
_Static_assert(sizeof(struct mirror) == 36 + MIRROR_HEADER_BYTES_MAX, "mirror");

struct mirror_counters {
	__u64 copies;
	__u64 truncated; /* Of the copies. */
	__u64 lost;	 /* No way, or the kernel could not. */
};

/* Which mirrors an interface's frames are copied to; 0: none. */
struct port_mirror {
	__u8 sent;	/* By the workload. */
	__u8 delivered; /* To it. */
	__u8 pad[2];
};

enum capture_point {
	CAPTURE_SENT = 1,      /* By the workload, before anything is decided. */
	CAPTURE_DELIVERED = 2, /* To it, as it gets it. */
	CAPTURE_DROPPED = 4,
};

enum capture_asks {
	CAPTURE_SOURCE = 1,
	CAPTURE_DESTINATION = 2,
	CAPTURE_SOURCE_PORT = 4,
	CAPTURE_DESTINATION_PORT = 8,
	CAPTURE_PROTOCOL = 16,
};

/* What a capture is about; the ends of a flow match either way round. */
struct capture_filter {
	__u32 snap; /* Bytes kept of a frame; 0: the slot is free. */
	__u32 vif;  /* 0: any. */
	__u8 points;
	__u8 asks;
	__u8 protocol;
	__u8 reason; /* Of drops; 0: any. */
	__u8 family; /* 0: any, and frames that are not IP. */
	__u8 pad[3];
	__be32 source[4];
	__be32 destination[4];
	__be16 source_port;
	__be16 destination_port;
};
_Static_assert(sizeof(struct capture_filter) == 52, "capture_filter");

struct capture_event {
	__u64 time_ns; /* Atomic time. */
	__u32 vif;
	__u32 bytes; /* The frame had. */
	__u32 kept;  /* Are below. */
	__u8 slots;
	__u8 point;
	__u8 reason;
	__u8 pad;
	__u8 frame[CAPTURE_FRAME_BYTES_MAX];
};
_Static_assert(__builtin_offsetof(struct capture_event, frame) == 24, "capture_event");

struct capture_counters {
	__u64 matched;
	__u64 lost; /* Of the matched: nobody read fast enough. */
};

enum session_kind {
	SESSION_BEGIN = 1,
	SESSION_END = 2,
};

/* A flow began or is gone. */
struct session_event {
	__u64 time_ns;	  /* Atomic time. */
	__u64 created_ns; /* Of the flow, monotonic: with `pair` its name. */
	__u32 pair;
	__u32 rule;
	__u32 identity; /* Of the far end, at the beginning. */
	__u16 source_bits; /* DIRECTION_FOLDED: what the key has of its addresses. */
	__u16 destination_bits;
	__u16 nexthop;
	__u16 peer_vif;
	__u8 kind;
	__u8 family;
	__u8 flags; /* Of the flow. */
	__u8 drop_reason;
	struct flow_key6 key;
	__u64 packets[2]; /* At the end: forward, then answers. */
	__u64 bytes[2];
};
_Static_assert(sizeof(struct session_event) == 112, "session_event");

struct session_counters {
	__u64 events;
	__u64 lost; /* Of the events: nobody read fast enough. */
};

#endif
