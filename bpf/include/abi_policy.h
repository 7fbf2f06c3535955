/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The policy tables' part of what is shared with user space; included by abi.h alone.
 */
#ifndef SKYTRAIL_ABI_POLICY_H
#define SKYTRAIL_ABI_POLICY_H

#include <linux/types.h>

struct policy_identity_key {
	__u32 policy;
	__u32 identity;
};

struct verdict_key {
	__u32 prefixlen; /* Up to VERDICT_FIXED_BITS + 16. */
	__be32 policy;
	__be16 identity_class;
	__be16 prefix_class;
	__be16 protocol;
	__be16 port;
};
_Static_assert(sizeof(struct verdict_key) == 16, "verdict_key");

struct verdict {
	__u32 rule;
	__u32 source_cell;
	__u16 action;
	__u16 vrf; /* Where the way on is looked up; 0: in the interface's own. */
	__u16 qos; /* How the flow's packets are marked; 0: as the interface's are. */
	__u16 mirror; /* Who gets copies of what the rule lets pass; 0: nobody. */
};
_Static_assert(sizeof(struct verdict) == 16, "verdict");

struct source_port_key {
	__u32 prefixlen;
	__be32 cell;
	__be16 port;
	__u8 pad[2];
};
_Static_assert(sizeof(struct source_port_key) == 12, "source_port_key");

#endif
