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
	MIRROR_IP = 1,	 /* The header is Ethernet, IPv4 and more. */
	MIRROR_UDP = 2,	 /* Next to IPv4 is UDP. */
	MIRROR_PCAP = 4, /* Next to UDP is a record header of pcap: time and lengths. */
};

/* Where copies go, and what is put in front of each. */
struct mirror {
	__u8 kind;
	__u8 flags;
	__u16 header_bytes;
	__u32 vrf;
	__be32 analyzer;
	__u32 nexthop;
	__u8 mac[6];
	__u8 pad[2];
	__u8 header[MIRROR_HEADER_BYTES_MAX];
};
_Static_assert(sizeof(struct mirror) == 24 + MIRROR_HEADER_BYTES_MAX, "mirror");

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

#endif
