/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What comes to an address by which workloads leave (snat.h): answers to them, or nothing. */
#ifndef SKYTRAIL_SNAT_RECEIVE_H
#define SKYTRAIL_SNAT_RECEIVE_H

#include "flow.h"

/* An answer is found by what it looks like at the address, or not at all. */
static __always_inline void snat_arrives(struct packet *p, const struct interface *to,
					 const __u32 family)
{
	if (likely(to->kind != INTERFACE_SNAT))
		return;
	if (family == FAMILY_V4)
		p->key4.direction = DIRECTION_FROM_WORKLOAD;
	else
		p->key6.direction = DIRECTION_FROM_WORKLOAD;
}

/* Whom the answer is for; NULL: nobody who is here. */
static __always_inline const struct interface *snat_asker(struct __sk_buff *ctx, struct packet *p,
							  const struct flow *flow)
{
	const struct interface *to = interface_by_vif(flow->peer_vif);

	set_vif(ctx, flow->peer_vif);
	if (!to || !to->kind || !(flow->flags & FLOW_TRANSLATED))
		return NULL;
	p->flags |= PACKET_TO_GATEWAY;
	return to;
}

#endif
