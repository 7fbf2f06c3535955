/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where tunnels come from, as shared with user space; included by abi.h alone.
 */
#ifndef SKYTRAIL_ABI_ENDS_H
#define SKYTRAIL_ABI_ENDS_H

#include <linux/types.h>

/* An address of an IPv6 underlay from which tunnels come. */
struct tunnel_end6 {
	__be32 address[4];
};
_Static_assert(sizeof(struct tunnel_end6) == 16, "tunnel_end6");

#endif
