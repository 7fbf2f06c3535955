/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The translations' part of what is shared with user space; included by abi.h alone.
 */
#ifndef SKYTRAIL_ABI_NAT_H
#define SKYTRAIL_ABI_NAT_H

#include <linux/types.h>

enum floating_flags {
	FLOATING_INWARD = 1,  /* Others may open connections to the address. */
	FLOATING_OUTWARD = 2, /* The workload opens connections by it. */
	FLOATING_PORTS = 4,   /* Only ports that floating_ports lists. */
};

/* Places of an interface are used from 0 on, without gaps. */
struct floating_key {
	__u32 vif;
	__u32 place;
};

/* An address of another network that stands for one of the workload's own. */
struct floating {
	__be32 outside;
	__be32 inside;
	__u32 vrf; /* Where the outside address is known. */
	__u32 identity;
	__u32 policy_egress;
	__u32 policy_ingress;
	__u32 flags;
	__u32 pad;
};
_Static_assert(sizeof(struct floating) == 32, "floating");

enum {
	FLOATING_PORT_OUTSIDE = 0,
	FLOATING_PORT_INSIDE = 1,
};

/* The port that stands for another one, seen from either side. */
struct floating_port_key {
	__u32 vif;
	__be32 outside;
	__be16 port;
	__u8 protocol;
	__u8 side; /* Of `port`. */
};
_Static_assert(sizeof(struct floating_port_key) == 12, "floating_port_key");

#endif
