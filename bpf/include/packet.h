/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What every stage knows about the packet at hand, and the two ways out: drop and punt share the
 * interface number that the entry program left in the control block.
 */
#ifndef SKYTRAIL_PACKET_H
#define SKYTRAIL_PACKET_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>
#include <stddef.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include "maps.h"

/* A function with external linkage: the verifier checks it once, not once per call. Its pointer
 * arguments may be NULL for all it knows, so each such function checks them. */
#define VERIFIED_ONCE __attribute__((noinline))

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* The next program or the host's own stack handles the packet. */
#define PASS TC_ACT_UNSPEC
/* Not a TC action: the stage has no objection, the pipeline goes on. */
#define PROCEED 1000
/* Likewise: the packet is for everybody in the VRF. */
#define FLOOD 1001
/* By the frame's destination MAC, as if it were not IP. */
#define BRIDGE 1002

enum {
	FAMILY_V4 = 4,
	FAMILY_V6 = 6,
};

enum {
	IP_PROTOCOL_ICMP = 1,
	IP_PROTOCOL_IGMP = 2,
	IP_PROTOCOL_TCP = 6,
	IP_PROTOCOL_UDP = 17,
	IP_PROTOCOL_GRE = 47,
	IP_PROTOCOL_ICMP6 = 58,
	IP_PROTOCOL_SCTP = 132,
};

enum packet_flags {
	PACKET_FIRST_FRAGMENT = 1,
	PACKET_LATER_FRAGMENT = 2,
	PACKET_SYN = 4,		/* TCP SYN, with or without ACK. */
	PACKET_OPENS = 8,	/* TCP SYN without ACK. */
	PACKET_CLOSES = 16,	/* TCP FIN or RST. */
	PACKET_DONT_FRAGMENT = 32,
	PACKET_TO_GATEWAY = 64, /* Destination MAC is the gateway's: routed, not bridged. */
	PACKET_LAYER2 = 128,	/* Came with its own Ethernet header. */
};

struct packet {
	__u16 l3;	    /* Offset of the IP header. */
	__u16 l4;	    /* Offset of the transport header. */
	__u16 ip_bytes;	    /* Of the IP packet, as its header says. */
	__u16 segment_header_bytes; /* IP and transport headers of each GSO segment. */
	__u8 flags;
	__u8 tos;
	__u8 ttl;
	__u8 outer_tos;
	__be16 policy_port;
	__be16 ethertype;
	/* 6 bytes each, padded so that they can be compared as words. */
	__u8 destination_mac[8];
	__u8 source_mac[8];
	/* The IPv4 key is built directly; both live here so that stages take one pointer. */
	union {
		struct flow_key4 key4;
		struct flow_key6 key6;
	};
};

/* A MAC address on the stack, aligned for word access. */
struct mac {
	__u8 byte[8];
} __attribute__((aligned(8)));

/* Loads written out: the compiler would otherwise move the offset into the pointer, which the
 * verifier refuses for a context. */
static __always_inline void *packet_data(const struct __sk_buff *ctx)
{
	void *data;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		     : "=r"(data)
		     : "r"(ctx), "i"(offsetof(struct __sk_buff, data)));
	return data;
}

static __always_inline void *packet_end(const struct __sk_buff *ctx)
{
	void *end;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		     : "=r"(end)
		     : "r"(ctx), "i"(offsetof(struct __sk_buff, data_end)));
	return end;
}

/* True when a number of bytes is 1 to `max`, so that the verifier knows it as well: Linux 6.1 learns
 * nothing from a comparison with zero. */
static __always_inline bool is_size(__u32 *bytes, __u32 max)
{
	__u32 beyond_one = *bytes - 1;

	asm volatile("" : "+r"(beyond_one));
	if (beyond_one >= max)
		return false;
	*bytes = beyond_one + 1;
	return true;
}

static __always_inline void set_vif(struct __sk_buff *ctx, __u32 vif)
{
	ctx->cb[0] = vif;
}

static __always_inline __u32 get_vif(const struct __sk_buff *ctx)
{
	return ctx->cb[0];
}

/* Whose copy a relay or replicator has at hand: the outer source address. 0: neither. */
static __always_inline void set_relayed_from(struct __sk_buff *ctx, __be32 address)
{
	ctx->cb[1] = address;
}

static __always_inline __be32 get_relayed_from(const struct __sk_buff *ctx)
{
	return ctx->cb[1];
}

/* What labels of a flood's copies carry beside the number. */
static __always_inline void set_label_bits(struct __sk_buff *ctx, __u32 bits)
{
	ctx->cb[2] = bits;
}

static __always_inline __u32 get_label_bits(const struct __sk_buff *ctx)
{
	return ctx->cb[2];
}

/* Whether what is at hand out of a tunnel is a copy for an analyzer (mirror.h). */
static __always_inline void set_copy(struct __sk_buff *ctx, __u32 is_copy)
{
	ctx->cb[3] = is_copy;
}

static __always_inline __u32 get_copy(const struct __sk_buff *ctx)
{
	return ctx->cb[3];
}

/* Why the packet was dropped, for a capture at the end; 0: it was not. */
static __always_inline void set_dropped(struct __sk_buff *ctx, __u32 reason)
{
	ctx->cb[4] = reason;
}

static __always_inline __u32 get_dropped(const struct __sk_buff *ctx)
{
	return ctx->cb[4];
}

/* Out of line: one call with either map would be a call the kernel cannot inline. */
static __noinline __u32 vif_by_high_ifindex(__u32 ifindex)
{
	const __u32 *vif = bpf_map_lookup_elem(&ifindex_vif_high, &ifindex);

	return vif ? *vif : 0;
}

/* Vif id of an ifindex, 0 when it has no row; with VIF_WATCHED, VIF_LEARNS. */
static __always_inline __u32 watched_vif(__u32 ifindex)
{
	const __u32 *vif;

	if (unlikely(ifindex >= IFINDEX_DIRECT_MAX))
		return vif_by_high_ifindex(ifindex);
	vif = bpf_map_lookup_elem(&ifindex_vif, &ifindex);
	return vif ? *vif : 0;
}

static __always_inline __u32 vif_by_ifindex(__u32 ifindex)
{
	return watched_vif(ifindex) & (VIF_COUNT_MAX - 1);
}

/* capture.h. `what`: a capture_point, and a drop's reason above it. */
int capture_frame(struct __sk_buff *ctx, __u32 vif, __u32 what);

/* Whether any capture asks for frames at a point. */
static __always_inline bool captures_at(__u32 point)
{
	const __u32 zero = 0;
	const __u32 *points = bpf_map_lookup_elem(&capture_points, &zero);

	return points && *points & point;
}

/* The only way to lose a packet: counts it under its reason, in total and for the interface. While
 * that is not known to be a workload's, it is the one the packet came in by. */
VERIFIED_ONCE int drop(struct __sk_buff *ctx, __u32 reason)
{
	struct drop_key key = { .vif = get_vif(ctx), .reason = reason };
	__u64 *count = bpf_map_lookup_elem(&drops, &reason);
	const __u64 one = 1;

	set_dropped(ctx, reason);
	if (!key.vif)
		key.vif = vif_by_ifindex(ctx->ifindex);
	if (count)
		*count += 1;
	count = bpf_map_lookup_elem(&interface_drops, &key);
	if (count)
		*count += 1;
	else
		bpf_map_update_elem(&interface_drops, &key, &one, BPF_NOEXIST);
	return TC_ACT_SHOT;
}

static __always_inline struct settings *get_settings(void)
{
	const __u32 zero = 0;

	return bpf_map_lookup_elem(&settings, &zero);
}

static __always_inline struct interface *interface_by_vif(__u32 vif)
{
	return bpf_map_lookup_elem(&interfaces, &vif);
}

/* MAC addresses are compared and copied as 4 + 2 bytes: bytewise code costs on every packet. */
static __always_inline bool mac_equal(const void *a, const void *b)
{
	return *(const __u32 *)a == *(const __u32 *)b &&
	       *(const __u16 *)(a + 4) == *(const __u16 *)(b + 4);
}

static __always_inline void mac_copy(void *to, const void *from)
{
	*(__u16 *)to = *(const __u16 *)from;
	*(__u16 *)(to + 2) = *(const __u16 *)(from + 2);
	*(__u16 *)(to + 4) = *(const __u16 *)(from + 4);
}

/* Addresses have 4 words; IPv4 uses the first. */
static __always_inline bool same_address(const __be32 *one, const __be32 *other)
{
	/* Without branches: loops of the slow path compare many. */
	return !((one[0] ^ other[0]) | (one[1] ^ other[1]) | (one[2] ^ other[2]) |
		 (one[3] ^ other[3]));
}

/* 00:00:5e:00:01:00, what every vRouter answers for the gateway of a subnet. */
#define GATEWAY_MAC_HIGH bpf_htons(0x0100)

static __always_inline bool mac_is_gateway(const void *mac)
{
	return *(const __u16 *)(mac + 4) == GATEWAY_MAC_HIGH &&
	       *(const __u16 *)mac == bpf_htons(0x0000) &&
	       *(const __u16 *)(mac + 2) == bpf_htons(0x5e00);
}

static __always_inline void mac_set_gateway(void *mac)
{
	*(__u16 *)mac = bpf_htons(0x0000);
	*(__u16 *)(mac + 2) = bpf_htons(0x5e00);
	*(__u16 *)(mac + 4) = GATEWAY_MAC_HIGH;
}

static __always_inline bool mac_is_group(const __u8 *mac)
{
	return mac[0] & 1;
}

#endif
