/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Frames for the agent, through a ring buffer all interfaces share. Each interface has a token bucket
 * for each class of frames, so that a noisy workload starves neither others nor its own DHCP; once the
 * ring is half full, the rest is for those who did not use up theirs.
 */
#ifndef SKYTRAIL_PUNT_H
#define SKYTRAIL_PUNT_H

#include "packet.h"

static __always_inline __u32 punt_class(__u32 reason)
{
	switch (reason) {
	case PUNT_DHCP:
	case PUNT_DHCP6:
		return PUNT_CLASS_DHCP;
	case PUNT_DNS:
		return PUNT_CLASS_DNS;
	case PUNT_ROUTER_SOLICITATION:
	case PUNT_ANNOUNCEMENT:
		return PUNT_CLASS_NEIGHBOUR;
	case PUNT_MAC:
		return PUNT_CLASS_MAC;
	case PUNT_ICMP_TTL_EXCEEDED:
	case PUNT_ICMP_TOO_BIG:
	case PUNT_ICMP_UNREACHABLE:
		return PUNT_CLASS_ERROR;
	default:
		return PUNT_CLASS_OTHER;
	}
}

/* How many times longer than punt_token_ns a class waits for its next token: what one interface may
 * ask for is a fraction of what the agent can answer. */
static __always_inline __u32 punt_cost(__u32 class)
{
	switch (class) {
	case PUNT_CLASS_DHCP:
	case PUNT_CLASS_NEIGHBOUR:
		return 32;
	case PUNT_CLASS_DNS:
		return 2;
	case PUNT_CLASS_SERVICE:
		return 1;
	case PUNT_CLASS_ERROR:
	case PUNT_CLASS_MAC:
		return 8;
	default:
		return 4;
	}
}

static __always_inline int punt_refusal(__u32 class)
{
	switch (class) {
	case PUNT_CLASS_DHCP:
		return DROP_PUNT_RATE_DHCP;
	case PUNT_CLASS_DNS:
		return DROP_PUNT_RATE_DNS;
	case PUNT_CLASS_NEIGHBOUR:
		return DROP_PUNT_RATE_NEIGHBOUR;
	default:
		return DROP_PUNT_RATE;
	}
}

/* Takes tokens: how many there were, 0 if they are too few. */
static __always_inline __u64 punt_tokens(__u32 vif, __u32 class, __u32 count)
{
	const __u32 index = (vif & (VIF_COUNT_MAX - 1)) * PUNT_CLASS_COUNT + class;
	struct punt_bucket *bucket = bpf_map_lookup_elem(&punt_buckets, &index);
	const __u64 now = bpf_ktime_get_ns();
	__u64 gained, tokens;

	if (!bucket)
		return 0;
	gained = (now - bucket->last_ns) / (limits.punt_token_ns * punt_cost(class));
	tokens = bucket->tokens;
	if (gained) {
		tokens += gained;
		bucket->last_ns = now;
	}
	if (tokens > limits.punt_tokens_max)
		tokens = limits.punt_tokens_max;
	bucket->tokens = tokens >= count ? tokens - count : tokens;
	return tokens >= count ? tokens : 0;
}

/* DROP_NONE when the agent will see the frame. */
VERIFIED_ONCE int punt_frame(struct __sk_buff *ctx, __u32 reason, __u32 argument)
{
	const __u32 class = punt_class(reason);
	const __u64 tokens = punt_tokens(get_vif(ctx), class, 1);
	struct punt_event *event;
	__u32 bytes = ctx->len;
	__u64 *count;

	if (!tokens)
		return punt_refusal(class);
	if (tokens < limits.punt_tokens_max / 2 &&
	    bpf_ringbuf_query(&punts, BPF_RB_AVAIL_DATA) > PUNT_RING_BYTES / 2)
		return DROP_PUNT_FULL;
	event = bpf_ringbuf_reserve(&punts, sizeof(*event), 0);
	if (!event)
		return DROP_PUNT_FULL;
	if (bytes > PUNT_FRAME_BYTES_MAX)
		bytes = PUNT_FRAME_BYTES_MAX;
	if (!is_size(&bytes, PUNT_FRAME_BYTES_MAX) ||
	    bpf_skb_load_bytes(ctx, 0, event->frame, bytes)) {
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
