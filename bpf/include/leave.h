/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What addresses a packet of the decision at hand leaves with. */
#ifndef SKYTRAIL_LEAVE_H
#define SKYTRAIL_LEAVE_H

#include "flow.h"

static __always_inline void leave_as(struct scratch *s, const __be32 *source)
{
	s->flow.to.source = source[0];
	__builtin_memcpy(s->flow6.rest.source, source + 1, sizeof(s->flow6.rest.source));
}

static __always_inline void leave_to(struct scratch *s, const __be32 *destination)
{
	s->flow.to.destination = destination[0];
	__builtin_memcpy(s->flow6.rest.destination, destination + 1,
			 sizeof(s->flow6.rest.destination));
}

#endif
