/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Limits of rate, by the time at which everything let pass so far would be due at the rate: a packet
 * goes while that is not further ahead than the burst. One word of state, whatever the rate.
 */
#ifndef SKYTRAIL_RATE_H
#define SKYTRAIL_RATE_H

#include "encap.h"

#define RATE_ATTEMPTS 4

/* True when the packet is beyond the rate. CPUs that meet at the word try again; who loses each
 * time lets its packet pass uncounted. */
VERIFIED_ONCE int rate_exceeded(struct __sk_buff *ctx, struct packet *p, __u32 vif, __u32 way)
{
	const __u32 key = vif * 2 + way;
	struct rate *rate = bpf_map_lookup_elem(&rates, &key);
	const __u32 segments = ctx->gso_segs;
	__u64 now, due, from, bytes;
	int i;

	if (!rate || !p)
		return false;
	bytes = ctx->len - p->l3 + ETHERNET_BYTES;
	if (segments > 1)
		bytes += (__u64)(segments - 1) * (ETHERNET_BYTES + p->segment_header_bytes);
	now = bpf_ktime_get_ns();
	for (i = 0; i < RATE_ATTEMPTS; i++) {
		due = *(volatile __u64 *)&rate->due_ns;
		from = due > now ? due : now;
		if (from - now > rate->burst_ns)
			return true;
		if (__sync_val_compare_and_swap(&rate->due_ns, due,
						from + (bytes * rate->byte_ns >> RATE_SHIFT)) ==
		    due)
			break;
	}
	return false;
}

#endif
