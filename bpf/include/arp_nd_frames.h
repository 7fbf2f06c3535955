/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What ARP and neighbour discovery look like. */
#ifndef SKYTRAIL_ARP_ND_FRAMES_H
#define SKYTRAIL_ARP_ND_FRAMES_H

#include <linux/types.h>

#define ARP_REQUEST 1
#define ND_ROUTER_SOLICITATION 133
#define ND_ROUTER_ADVERTISEMENT 134
#define ND_NEIGHBOUR_SOLICITATION 135
#define ND_REDIRECT 137
#define ND_HOP_LIMIT 255
#define ND_FLAGS_SOLICITED_OVERRIDE 0x60000000
#define ND_FLAGS_OVERRIDE 0x20000000
#define ND_FLAG_ROUTER 0x80000000
#define ND_FLAG_SOLICITED 0x40 /* Of the first byte. */
#define ND_OPTION_TARGET 2
#define ND_ANSWER_BYTES (14 + 40 + 32)
#define ETHERTYPE_IP 0x0800

struct arp_frame {
	__u8 destination[6];
	__u8 source[6];
	__be16 ethertype;
	__be16 hardware_type;
	__be16 protocol_type;
	__u8 hardware_bytes;
	__u8 protocol_bytes;
	__be16 operation;
	__u8 sender_mac[6];
	__u8 sender_address[4];
	__u8 target_mac[6];
	__u8 target_address[4];
};
_Static_assert(sizeof(struct arp_frame) == 42, "arp_frame");

struct nd_message {
	__u8 type;
	__u8 code;
	__u16 checksum;
	__be32 flags;
	__be32 target[4];
	__u8 option_type;
	__u8 option_units;
	__u8 option_mac[6];
};
_Static_assert(sizeof(struct nd_message) == 32, "nd_message");

/* IPv6 pseudo-header, RFC 8200 §8.1. */
struct nd_pseudo_header {
	__be32 source[4];
	__be32 destination[4];
	__be32 bytes;
	__be32 protocol;
};

#endif
