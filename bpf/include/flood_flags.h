/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How everybody in a VRF is reached. */
#ifndef SKYTRAIL_FLOOD_FLAGS_H
#define SKYTRAIL_FLOOD_FLAGS_H

#include "flow.h"

#define FLOOD_NOBODY 0x10000

/* How everybody in the VRF is reached; FLOOD_NOBODY: there is no list. */
static __noinline __u32 flood_flags(__u32 vrf)
{
	struct scratch *s = get_scratch();
	const struct flood *list;

	if (!s)
		return FLOOD_NOBODY;
	/* Not on the stack: the chains of calls that lead here are deep. */
	__builtin_memset(&s->flood_key, 0, sizeof(s->flood_key));
	s->flood_key.vrf = vrf;
	list = bpf_map_lookup_elem(&floods, &s->flood_key);
	return list ? list->flags : FLOOD_NOBODY;
}

/* Whether what is for a MAC nobody is known to have goes to everybody in the VRF. */
static __always_inline bool floods_unknown(__u32 vrf)
{
	return flood_flags(vrf) & FLOOD_UNKNOWN;
}

#endif
