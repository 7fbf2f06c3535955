/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Frames for people: what a capture asks for is copied into a ring buffer, as far as it is to be kept.
 * Nothing of this runs unless a capture is on. Frames of the underlay still have their outer header
 * when they are dropped; filters look at the packet inside.
 */
#ifndef SKYTRAIL_CAPTURE_H
#define SKYTRAIL_CAPTURE_H

#include "encap_mplsgre.h"
#include "encap_mplsudp.h"
#include "encap_vxlan.h"
#include "parse.h"

struct capture_key {
	__be32 source[4];
	__be32 destination[4];
	__be16 ports[2];
	__u8 family;
	__u8 protocol;
	__u8 pad[2];
};

struct capture_space {
	struct capture_key key;
	__u32 snap;
	struct capture_event event;
};

/* One per CPU is enough: a frame is done with before another one is looked at. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct capture_space);
} capture_spaces SEC(".maps");

/* Where the IP header of the packet is that somebody sent; 0: there is none. */
static __always_inline __u32 capture_l3(struct __sk_buff *ctx)
{
	const struct settings *now = get_settings();
	__u32 at = ETHERNET_BYTES;
	__be32 destination;
	__be16 word;
	__u8 byte;

	if (bpf_skb_load_bytes(ctx, 12, &word, 2))
		return 0;
	if (word == bpf_htons(ETH_P_IPV6))
		return at;
	if (word != bpf_htons(ETH_P_IP))
		return 0;
	if (!now || bpf_skb_load_bytes(ctx, OUTER_DESTINATION_OFFSET, &destination, 4) ||
	    destination != now->tunnel_address ||
	    bpf_skb_load_bytes(ctx, ETHERNET_BYTES + 9, &byte, 1) ||
	    bpf_skb_load_bytes(ctx, OUTER_L4_OFFSET + 2, &word, 2))
		return at;
	if (byte == IP_PROTOCOL_UDP && word == bpf_htons(MPLSUDP_PORT))
		at = MPLSUDP_BYTES;
	else if (byte == IP_PROTOCOL_UDP && word == bpf_htons(VXLAN_PORT))
		at = VXLAN_BYTES;
	else if (byte == IP_PROTOCOL_GRE && word == bpf_htons(MPLSGRE_PROTOCOL))
		at = MPLSGRE_BYTES;
	else
		return at;
	if (bpf_skb_load_bytes(ctx, at, &byte, 1))
		return 0;
	/* A frame below the label has an address there, mostly one that is no IP version. */
	if (at != VXLAN_BYTES && (byte >> 4 == 4 || byte >> 4 == 6))
		return at;
	return at + ETHERNET_BYTES;
}

static __always_inline void capture_parse(struct __sk_buff *ctx, struct capture_key *key)
{
	const __u32 l3 = capture_l3(ctx);
	__u32 l4;
	__u8 first;

	__builtin_memset(key, 0, sizeof(*key));
	if (!l3 || bpf_skb_load_bytes(ctx, l3, &first, 1))
		return;
	if (first >> 4 == 4) {
		if (bpf_skb_load_bytes(ctx, l3 + 9, &key->protocol, 1) ||
		    bpf_skb_load_bytes(ctx, l3 + 12, key->source, 4) ||
		    bpf_skb_load_bytes(ctx, l3 + 16, key->destination, 4))
			return;
		key->family = FAMILY_V4;
		l4 = l3 + (first & 0xf) * 4;
	} else if (first >> 4 == 6) {
		if (bpf_skb_load_bytes(ctx, l3 + 6, &key->protocol, 1) ||
		    bpf_skb_load_bytes(ctx, l3 + 8, key->source, 32))
			return;
		key->family = FAMILY_V6;
		l4 = l3 + 40;
	} else {
		return;
	}
	if (key->protocol == IP_PROTOCOL_TCP || key->protocol == IP_PROTOCOL_UDP ||
	    key->protocol == IP_PROTOCOL_SCTP)
		bpf_skb_load_bytes(ctx, l4, key->ports, 4);
}

/* The ends in one order: `back` 1 takes the packet for an answer. */
static __always_inline bool capture_ends(const struct capture_filter *f,
					 const struct capture_key *key, __u32 back)
{
	const __be32 *source = back ? key->destination : key->source;
	const __be32 *destination = back ? key->source : key->destination;

	if (f->asks & CAPTURE_SOURCE && !same_address(f->source, source))
		return false;
	if (f->asks & CAPTURE_DESTINATION && !same_address(f->destination, destination))
		return false;
	if (f->asks & CAPTURE_SOURCE_PORT && f->source_port != key->ports[back ? 1 : 0])
		return false;
	return !(f->asks & CAPTURE_DESTINATION_PORT) ||
	       f->destination_port == key->ports[back ? 0 : 1];
}

static __always_inline bool capture_wants(const struct capture_filter *f, const struct capture_key *key,
				     __u32 vif, __u32 what)
{
	const __u8 reason = what >> 8;

	if (!f->snap || !(f->points & what & 0xff) || (f->vif && f->vif != vif))
		return false;
	if (reason && f->reason && f->reason != reason)
		return false;
	if (f->family && f->family != key->family)
		return false;
	if (f->asks & CAPTURE_PROTOCOL && f->protocol != key->protocol)
		return false;
	return capture_ends(f, key, 0) || capture_ends(f, key, 1);
}

/* Which slots want the frame, and how much of it. */
static __always_inline __u32 capture_slots(struct capture_space *space, __u32 vif, __u32 what)
{
	__u32 i, slots = 0;

	space->snap = 0;
	for (i = 0; i < CAPTURE_SLOTS; i++) {
		const __u32 slot = i;
		const struct capture_filter *f = bpf_map_lookup_elem(&captures, &slot);

		if (!f || !capture_wants(f, &space->key, vif, what))
			continue;
		slots |= 1 << i;
		if (f->snap > space->snap)
			space->snap = f->snap;
	}
	return slots;
}

static __always_inline void capture_count(__u32 slots, bool lost)
{
	__u32 i;

	for (i = 0; i < CAPTURE_SLOTS; i++) {
		const __u32 slot = i;
		struct capture_counters *counters;

		if (!(slots & 1 << i))
			continue;
		counters = bpf_map_lookup_elem(&capture_counters, &slot);
		if (!counters)
			continue;
		counters->matched++;
		if (lost)
			counters->lost++;
	}
}

VERIFIED_ONCE int capture_frame(struct __sk_buff *ctx, __u32 vif, __u32 what)
{
	const __u32 zero = 0;
	struct capture_space *space = bpf_map_lookup_elem(&capture_spaces, &zero);
	struct capture_event *event;
	__u32 slots, kept;

	if (!space)
		return 0;
	capture_parse(ctx, &space->key);
	slots = capture_slots(space, vif, what);
	if (!slots)
		return 0;
	event = &space->event;
	kept = ctx->len < space->snap ? ctx->len : space->snap;
	if (!is_size(&kept, CAPTURE_FRAME_BYTES_MAX) ||
	    bpf_skb_load_bytes(ctx, 0, event->frame, kept)) {
		capture_count(slots, true);
		return 0;
	}
	event->time_ns = bpf_ktime_get_tai_ns();
	event->vif = vif;
	event->bytes = ctx->len;
	event->kept = kept;
	event->slots = slots;
	event->point = what;
	event->reason = what >> 8;
	event->pad = 0;
	capture_count(slots,
		      bpf_ringbuf_output(&captured, event,
					 __builtin_offsetof(struct capture_event, frame) + kept, 0));
	return 0;
}

/* Of copies of a broadcast, the last that was dropped. */
VERIFIED_ONCE int capture_dropped(struct __sk_buff *ctx)
{
	const __u32 reason = get_dropped(ctx);
	__u32 vif = get_vif(ctx);

	if (!reason || !captures_at(CAPTURE_DROPPED))
		return 0;
	if (!vif)
		vif = vif_by_ifindex(ctx->ifindex);
	return capture_frame(ctx, vif, CAPTURE_DROPPED | reason << 8);
}

#endif
