/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Load-shared next hops' part of what is shared with user space; included by abi.h alone.
 */
#ifndef SKYTRAIL_ABI_SHARE_H
#define SKYTRAIL_ABI_SHARE_H

#include <linux/types.h>

struct ecmp_member {
	__u32 nexthop;
	__u32 label;
};

/* What of a flow does not count when its member is chosen. Numbered as in the BGP community. */
enum hash_fields {
	HASH_SOURCE_ADDRESS = 128,
	HASH_DESTINATION_ADDRESS = 64,
	HASH_PROTOCOL = 32,
	HASH_SOURCE_PORT = 16,
	HASH_DESTINATION_PORT = 8,
};

struct ecmp_members {
	__u32 used;
	__u32 omitted; /* Fields of the hash, enum hash_fields. */
	struct ecmp_member member[ECMP_MEMBERS_MAX];
	__u32 share[ECMP_MEMBERS_MAX]; /* What stands for each on every host. */
};

#endif
