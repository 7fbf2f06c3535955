/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whose tunnels end here: a label or a VNI means something only if it comes from a host or router
 * that somebody trusted told of (ADR 0320). Whoever else is in the underlay could guess them.
 */
#ifndef SKYTRAIL_TUNNEL_ENDS_H
#define SKYTRAIL_TUNNEL_ENDS_H

#include "packet.h"

static __always_inline bool is_known_end(const struct settings *now, __be32 address)
{
	return !(now->options & OPTION_CHECKS_ENDS) ||
	       bpf_map_lookup_elem(&tunnel_ends4, &address);
}

/* `address` lies in the frame, which no map takes a key from. */
static __always_inline bool is_known_end6(const struct settings *now, const __be32 *address)
{
	const struct tunnel_end6 key = { { address[0], address[1], address[2], address[3] } };

	return !(now->options & OPTION_CHECKS_ENDS) || bpf_map_lookup_elem(&tunnel_ends6, &key);
}

#endif
