/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* MACs learnt behind interfaces, shared with user space. Part of abi.h, which says what a change means. */
#ifndef SKYTRAIL_ABI_LEARN_H
#define SKYTRAIL_ABI_LEARN_H

#include <linux/types.h>

struct mac_seen_key {
	__u32 vif;
	__u8 mac[6];
	__u8 pad[2];
};
_Static_assert(sizeof(struct mac_seen_key) == 12, "mac_seen_key");

#endif
