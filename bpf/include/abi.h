/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Everything shared with user space. The Python side is generated from this file's BTF.
 *
 * A change of any struct here is a new ABI_VERSION: maps are pinned below a directory of that
 * number, so two versions never read each other's memory.
 */
#ifndef SKYTRAIL_ABI_H
#define SKYTRAIL_ABI_H

#include <linux/types.h>

enum abi {
	ABI_VERSION = 13,
	VIF_COUNT_MAX = 65536,
	IFINDEX_DIRECT_MAX = 65536, /* Larger ones are found by hash. */
	NEXTHOP_COUNT_MAX = 65536,
	ECMP_MEMBERS_MAX = 16,
	FLOOD_MEMBERS_MAX = 1000, /* With its key a list then fits into 8 KiB of the kernel. */
	FLOOD_RELAYED = 1 << 30, /* In a member's label: gets what came by a relay's label, too. */
	FLOATING_PLACES_MAX = 16, /* Floating addresses of one interface. */
	LINK_SERVICE_TARGETS_MAX = 8,
	PORT_RANGES_MAX = 8, /* Of a pool of ports. */
	CPU_COUNT_MAX = 256,
	MIRROR_COUNT = 256,
	CAPTURE_SLOTS = 4,
	CAPTURE_FRAME_BYTES_MAX = 9216,
	MIRROR_HEADER_BYTES_MAX = 352,
	VIF_WATCHED = 65536, /* In ifindex_vif, beside the vif: as INTERFACE_WATCHED. */
	VIF_LEARNS = 131072, /* Likewise: as OPTION_LEARNS. */
	FLOW_SHARE_MEMBERS_MAX = 32,
	FOLDS_COUNT_MAX = 8, /* Of a protocol and port of an interface. */
	FOLD_KEEPS_ALL = 255, /* Bits of an address: as many as it has. */
	LABEL_COUNT = 1048576,
	FLOW_PAIRS_DEFAULT = 262144,
	PUNT_FRAME_BYTES_MAX = 2048,
	PUNT_RING_BYTES = 4194304,
	OUTER_HEADER_BYTES_MAX = 48,
	PROTOCOL_ANY = 256,
};

enum interface_kind {
	INTERFACE_VETH = 1,
	INTERFACE_TAP = 2,
	INTERFACE_UNDERLAY = 3,
	INTERFACE_SNAT = 4, /* Nobody's link: an address by which workloads leave (snat.h). */
};

enum interface_flags {
	INTERFACE_ANTISPOOF = 1,
	INTERFACE_TRANSIT = 2, /* Sends for others: the source address says who it is. */
	INTERFACE_FLOATING = 4, /* Has floating addresses. */
	INTERFACE_ANNOUNCES = 8, /* Who has an address now is known by its gratuitous ARP. */
	INTERFACE_TAGGED = 16, /* A VLAN of ifindex, by which a chain passes a transparent service. */
	INTERFACE_WATCHED = 32, /* Its frames are copied. */
	INTERFACE_VLAN = 128, /* A VLAN of ifindex that is a port of its own. */
	INTERFACE_TRANSLATES = 64, /* Underlay: its answers to workloads are for the host's address. */
};

enum interface_options {
	OPTION_PRIORITY_TAGS = 1, /* Underlay: what QoS marks carries a VLAN tag of VLAN 0. */
	OPTION_RATE_SENT = 2,	  /* There is a limit to what the workload may send, */
	OPTION_RATE_RECEIVED = 4, /* and to what it may receive. */
	OPTION_FAT = 8,		  /* Some of its flows are merged. */
	OPTION_LAYER2 = 16,	  /* Its network only bridges: members answer each other. */
	OPTION_LAYER3 = 32,	  /* Its network only routes: the vRouter stands for everybody. */
	OPTION_ASKS_MEMBERS = 64, /* Whom the vRouter does not know, members are asked for. */
	OPTION_LETS_DHCP_BY = 128, /* Requests for addresses are for members. */
	OPTION_PACKET_MODE = 256, /* No policy: what cannot be remembered is decided packet by packet. */
	OPTION_LEARNS = 512,	  /* Which MACs are behind it is learnt from what it sends; */
	OPTION_MACS_FULL = 1024,  /* those that are not known by now have no place. */
	OPTION_CHECKS_ENDS = 2048, /* Underlay: tunnels come from known ends alone. */
	OPTION_LEARNS_ADDRESSES = 4096, /* Which addresses are behind which of them is learnt, too. */
	OPTION_FOLDS = 8192, /* Some of its flows are one for many addresses. */
	OPTION_HOST_SIDE = 16384, /* No workload's: the host's stack is behind it. */
};

enum nexthop_kind {
	NEXTHOP_NONE = 0,
	NEXTHOP_INTERFACE = 1,
	NEXTHOP_TUNNEL = 2,
	NEXTHOP_RECEIVE = 3,
	NEXTHOP_DISCARD = 4,
	NEXTHOP_ECMP = 5,
	NEXTHOP_BRIDGE = 6,
	NEXTHOP_FABRIC = 7, /* Out by a port of another address: the host's, or an INTERFACE_SNAT's. */
};

enum nexthop_flags {
	NEXTHOP_LAYER2 = 1,
	NEXTHOP_RESOLVED = 2,	 /* Destination MAC is known. */
	NEXTHOP_HAS_SOURCE = 4,	 /* Source MAC was given. */
	NEXTHOP_HAS_LOCAL = 8,	 /* Local address was given. */
	NEXTHOP_HAS_REMOTE = 16, /* Remote address was given. */
	NEXTHOP_RELAYS = 32,	 /* Bridge: frames to everybody go on to relayed members. */
	NEXTHOP_OUTER6 = 128,	 /* Over IPv6: header has MACs, local and remote address. */
	NEXTHOP_ROUTED = 64,	 /* Of several links into the underlay the kernel's route chooses. */
};

enum flood_flags {
	FLOOD_UNKNOWN = 1, /* Frames for MACs that nobody is known to have go to everybody, too. */
	FLOOD_SNOOPS = 2,  /* Who gets what is sent to a group is known by reports, in other lists. */
	FLOOD_GROUP = 4,   /* Is such a list. */
};

enum encapsulation {
	ENCAP_NONE = 0,
	ENCAP_MPLS_UDP = 1,
	ENCAP_MPLS_GRE = 2,
	ENCAP_VXLAN = 3,
	ENCAP_NATIVE = 4, /* None: the underlay routes the packet itself. */
};

/* Constants of one load, set by user space before it, so the verifier prunes by them. */
struct limits {
	__u32 cpu_count;
	__u32 flow_pairs_max;
	__u32 flow_limit_default; /* Flows of an interface that sets no limit. */
	__u32 punt_tokens_max;
	__u64 punt_token_ns;	  /* A bucket gains one token per this time; punt_cost() times. */
	__u32 port_parts; /* An interface may hold one of so many parts of a pool of ports. */
	__u32 pad;
	__u64 tai_offset_ns;	  /* What the kernel's atomic time is ahead of UTC. */
};

/* One value for the whole datapath, written by the agent. */
struct settings {
	__u32 generation; /* Flows of another generation are evaluated again. Never 0. */
	__be32 tunnel_address;
	__be32 replicator_address; /* What comes to it is copied on (RFC 9574); 0: nothing is. */
	__u16 fabric_qos; /* By which the underlay's marks become the workload's; 0: they do not. */
	__u16 options;	  /* Of the underlay interface. */
	__u32 mirror_ifindex; /* Where frames enter that are to be mirrored; 0: nowhere. */
	__be32 tunnel_address6[4]; /* Of a host whose underlay is IPv6; zero: it is IPv4. */
	__be32 replicator_address6[4]; /* As replicator_address. Never begins with zero. */
};

struct interface {
	/* What every packet reads comes first: 16 bytes that share a cache line. */
	__u32 ifindex;
	__u16 vrf;
	__u16 mtu;
	__u8 mac[6];
	__u8 kind;
	__u8 flags;
	__u32 policy_egress;
	__u32 policy_ingress;
	__u32 identity;
	__u32 flow_count_max;
	__be32 tunnel_address; /* INTERFACE_UNDERLAY; INTERFACE_SNAT: its address. */
	/* What frames carry towards a transparent service, beside mac as their destination. */
	__u8 tag_source[6];
	__u16 vlan; /* INTERFACE_TAGGED. */
	__be32 replicator_address; /* INTERFACE_UNDERLAY. */
	__u16 qos;  /* Where no rule names one; underlay: the fabric's. 0: none. */
	__u16 options;
	__u32 vif; /* Its own number. */
	__u8 pad[8];
};
_Static_assert(sizeof(struct interface) == 64, "interface");

/* A VLAN of an interface that is one of its own. */
struct vlan_key {
	__u32 ifindex;
	__u32 vlan;
};

struct nexthop {
	__u8 kind;
	__u8 encapsulation;
	__u8 flags;
	__u8 pad;
	__u16 vif;
	__u16 vrf;
	__u32 out_ifindex;
	__u16 mtu;	       /* Largest inner IP packet, GSO segments counted one by one. */
	__u16 outer_checksum;  /* Folded sum of the outer IPv4 header with TOS and length zero. */
	/* Outer Ethernet, IPv4 and UDP or GRE; zero where a packet decides. */
	__u8 header[OUTER_HEADER_BYTES_MAX];
};
_Static_assert(sizeof(struct nexthop) == 64, "nexthop");

#include "abi_share.h"

/* Who gets copies of what a workload of a VRF sends to everybody: local interfaces, then tunnels,
 * those with smaller outer headers first. Labels may carry FLOOD_RELAYED. */
struct flood {
	__u16 used;
	__u16 flags;
	__u32 beyond; /* Members for whom there was no place. */
	struct ecmp_member member[FLOOD_MEMBERS_MAX];
};

/* What is sent to everybody, group and source zero; or to a group, by anybody where the source is
 * zero; or to any other group, source all ones. */
struct flood_key {
	__u32 vrf;
	__be32 group[4];
	__be32 source[4];
};
_Static_assert(sizeof(struct flood_key) == 36, "flood_key");

struct route_key4 {
	__u32 prefixlen; /* Of vrf and address together. */
	__be32 vrf;
	__be32 address;
};
_Static_assert(sizeof(struct route_key4) == 12, "route_key4");

struct route_key6 {
	__u32 prefixlen;
	__be32 vrf;
	__be32 address[4];
};
_Static_assert(sizeof(struct route_key6) == 24, "route_key6");

/* Also the value of a bridge entry; routes alone use mac. */
struct route {
	__u32 label;
	__u32 identity;
	__u16 nexthop;
	__u8 has_mac;
	__u8 bits; /* Length of the prefix. */
	__u8 mac[6];
	__u8 pad2[2];
};
_Static_assert(sizeof(struct route) == 20, "route");

struct bridge_key {
	__u32 vrf;
	__u8 mac[6];
	__u8 pad[2];
};
_Static_assert(sizeof(struct bridge_key) == 12, "bridge_key");

struct source {
	__u8 mac[6];
	__u8 pad[2];
};

/* An address of the vRouter at which a workload may speak BGP. */
struct bgp_service_key {
	__u32 vif;
	__be32 address;
};

/* Where such a connection really goes, and the port it comes from there. */
struct bgp_service {
	__be32 control;
	__u32 out_ifindex; /* 0: as the kernel routes it, of several links. */
	__be16 source_port;
	__u8 pad[2];
};
_Static_assert(sizeof(struct bgp_service) == 12, "bgp_service");

struct bgp_client_key {
	__be32 control;
	__be16 source_port;
	__u8 pad[2];
};

/* The workload's end of the connection that uses a source port now. */
struct bgp_client {
	__be32 client;
	__be32 service;
	__be16 client_port;
	__u16 vif;
	__u8 mac[6];
	__u8 pad[2];
};
_Static_assert(sizeof(struct bgp_client) == 20, "bgp_client");

struct drop_key {
	__u32 vif;
	__u32 reason;
};

#include "abi_ends.h"
#include "abi_flow.h"
#include "abi_learn.h"
#include "abi_nat.h"
#include "abi_punt.h"
#include "abi_policy.h"
#include "abi_qos.h"
#include "abi_watch.h"

#endif
