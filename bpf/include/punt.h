/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Frames for the agent, through a ring buffer. Each interface has its own token buckets, one for
 * requests and one for ICMP errors, so a noisy workload starves nobody else, nor its own DHCP.
 */
#ifndef SKYTRAIL_PUNT_H
#define SKYTRAIL_PUNT_H

#include "packet.h"

static __always_inline bool punt_is_error(__u32 reason)
{
	return reason == PUNT_ICMP_TTL_EXCEEDED || reason == PUNT_ICMP_TOO_BIG ||
	       reason == PUNT_ICMP_UNREACHABLE;
}

static __always_inline bool punt_token(__u32 vif, __u32 reason)
{
	const __u32 index = (vif & (VIF_COUNT_MAX - 1)) * 2 + punt_is_error(reason);
	struct punt_bucket *bucket = bpf_map_lookup_elem(&punt_buckets, &index);
	const __u64 now = bpf_ktime_get_ns();
	__u64 gained, tokens;

	if (!bucket)
		return false;
	gained = (now - bucket->last_ns) / limits.punt_token_ns;
	tokens = bucket->tokens;
	if (gained) {
		tokens += gained;
		bucket->last_ns = now;
	}
	if (tokens > limits.punt_tokens_max)
		tokens = limits.punt_tokens_max;
	if (!tokens) {
		bucket->tokens = 0;
		return false;
	}
	bucket->tokens = tokens - 1;
	return true;
}

/* DROP_NONE when the agent will see the frame. */
VERIFIED_ONCE int punt_frame(struct __sk_buff *ctx, __u32 reason, __u32 argument)
{
	struct punt_event *event;
	__u32 bytes = ctx->len;
	__u64 *count;

	if (!punt_token(get_vif(ctx), reason))
		return DROP_PUNT_RATE;
	event = bpf_ringbuf_reserve(&punts, sizeof(*event), 0);
	if (!event)
		return DROP_PUNT_FULL;
	if (bytes > PUNT_FRAME_BYTES_MAX)
		bytes = PUNT_FRAME_BYTES_MAX;
	if (bytes < 1 || bpf_skb_load_bytes(ctx, 0, event->frame, bytes)) {
		bpf_ringbuf_discard(event, 0);
		return DROP_TRUNCATED;
	}
	event->ifindex = ctx->ifindex;
	event->vif = get_vif(ctx);
	event->reason = reason;
	event->pad = 0;
	event->argument = argument;
	event->frame_bytes = bytes;
	bpf_ringbuf_submit(event, 0);
	count = bpf_map_lookup_elem(&punt_counts, &reason);
	if (count)
		*count += 1;
	return DROP_NONE;
}

/* Hands the packet over instead of forwarding it: consumed, not dropped. */
static __always_inline int punt(struct __sk_buff *ctx, __u32 reason)
{
	const int failure = punt_frame(ctx, reason, 0);

	return failure ? drop(ctx, failure) : TC_ACT_SHOT;
}

/* Drops the packet under its own reason and lets the agent tell the sender. */
static __always_inline int drop_and_tell(struct __sk_buff *ctx, __u32 reason, __u32 punt_reason,
					 __u32 argument)
{
	punt_frame(ctx, punt_reason, argument);
	return drop(ctx, reason);
}

#endif
