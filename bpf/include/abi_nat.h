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

/* An address of another network that stands for one of the workload's own. IPv4 addresses use the
 * first word, the rest is zero. */
struct floating {
	__be32 outside[4];
	__be32 inside[4];
	__u32 vrf; /* Where the outside address is known. */
	__u32 identity;
	__u32 policy_egress;
	__u32 policy_ingress;
	__u32 flags;
	__u32 family; /* 4 or 6. */
};
_Static_assert(sizeof(struct floating) == 56, "floating");

enum {
	FLOATING_PORT_OUTSIDE = 0,
	FLOATING_PORT_INSIDE = 1,
};

/* The port that stands for another one, seen from either side. */
struct floating_port_key {
	__u32 vif;
	__be32 outside[4];
	__be16 port;
	__u8 protocol;
	__u8 side; /* Of `port`. */
	__u32 family;
};
_Static_assert(sizeof(struct floating_port_key) == 28, "floating_port_key");

/* A link-local address and port at which workloads find a service outside of all networks. */
struct link_service_key {
	__be32 address[4]; /* An IPv4 one has the first word; no IPv6 one of these begins so. */
	__be16 port;
	__u8 pad[2];
};
_Static_assert(sizeof(struct link_service_key) == 20, "link_service_key");

/* Where it is: in the underlay, or at the host itself behind a next hop. */
struct link_service {
	__be32 target[LINK_SERVICE_TARGETS_MAX * 4]; /* Addresses of four words. */
	__u32 used;
	__u32 nexthop; /* To the host; 0: in the underlay. */
	__be16 port;
	__u8 is_agents; /* The agent is there, whom others need too: how much is sent is limited. */
	__u8 pad;
};
_Static_assert(sizeof(struct link_service) == 140, "link_service");

struct port_range {
	__u16 first;
	__u16 last;
};

/* Ports, or echo identifiers, of the host that stand for those of workloads. */
struct port_pool {
	__u32 used;
	__u32 size; /* Of all ranges. */
	struct port_range range[PORT_RANGES_MAX];
};
_Static_assert(sizeof(struct port_pool) == 40, "port_pool");

#endif
