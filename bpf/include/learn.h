/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * MACs behind interfaces that learn. Those that the agent knows have a row, of which the time is kept
 * here; frames of others are shown to the agent as well, as many as an interface may.
 */
#ifndef SKYTRAIL_LEARN_H
#define SKYTRAIL_LEARN_H

#include "punt.h"

/* What a second more or less changes nothing of. */
#define MAC_SEEN_NS 1000000000ull

/* Looks at the source of a frame of an interface that learns. DROP_NONE: it may go on. */
VERIFIED_ONCE int learn_source(struct __sk_buff *ctx, __u32 vif_id)
{
	const struct interface *vif = interface_by_vif(vif_id);
	const __u64 now = bpf_ktime_get_ns();
	struct mac_seen_key key = { .vif = vif_id };
	__u32 untold = PUNT_MAC_UNTOLD;
	struct mac source = {};
	__u64 *seen;

	if (!vif || bpf_skb_load_bytes(ctx, 6, source.byte, 6) || mac_equal(source.byte, vif->mac))
		return DROP_NONE;
	mac_copy(key.mac, source.byte);
	seen = bpf_map_lookup_elem(&macs_seen, &key);
	if (likely(seen)) {
		if (now - *seen > MAC_SEEN_NS)
			*seen = now;
		return DROP_NONE;
	}
	/* Nobody is there: no frame may come from a group, and the gateway is the vRouter's. */
	if (mac_is_group(source.byte) || mac_is_gateway(source.byte))
		return DROP_SPOOFED_MAC;
	if (vif->options & OPTION_MACS_FULL)
		return DROP_MAC_LIMIT;
	if (punt_frame(ctx, PUNT_MAC, 0)) {
		seen = bpf_map_lookup_elem(&punt_counts, &untold);
		if (seen)
			*seen += 1;
	}
	return DROP_NONE;
}

#endif
