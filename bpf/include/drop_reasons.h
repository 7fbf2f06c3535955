/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Every way a packet can end without being forwarded, answered or punted.
 *
 * The enum is the contract with user space: names (without DROP_) are what counters, traces and
 * tests show. Append only; a number is never reused.
 */
#ifndef SKYTRAIL_DROP_REASONS_H
#define SKYTRAIL_DROP_REASONS_H

enum drop_reason {
	DROP_NONE = 0,
	/* Frame and header shape. */
	DROP_TRUNCATED = 1,	      /* Shorter than a header it announces. */
	DROP_MALFORMED = 2,	      /* Header fields contradict each other. */
	DROP_CHECKSUM = 3,	      /* IPv4 header checksum is wrong. */
	DROP_VLAN = 4,		      /* Tagged frame from a workload. */
	DROP_EXTENSION_HEADERS = 5,   /* IPv6 extension chain too long or out of order. */
	DROP_FRAGMENT_UNKNOWN = 6,    /* Later fragment whose first one was not seen. */
	DROP_FRAGMENT_TINY = 7,	      /* First fragment without its transport header. */
	/* Interface and source. */
	DROP_INTERFACE_UNKNOWN = 8,   /* No row for this ifindex. */
	DROP_SPOOFED_MAC = 9,
	DROP_SPOOFED_ADDRESS = 10,
	DROP_SOURCE_LOCAL = 11,	      /* From the underlay with a source that lives here. */
	/* Forwarding. */
	DROP_NO_ROUTE = 12,
	DROP_UNKNOWN_MAC = 13,	      /* Flooded only where the network asks for it. */
	DROP_MULTICAST = 14,	      /* Broadcast and multicast nobody answers. */
	DROP_DISCARD = 15,	      /* Next hop says so. */
	DROP_NEXTHOP = 16,	      /* Next hop is missing or of the wrong kind. */
	DROP_UNDERLAY_UNRESOLVED = 17,
	DROP_TTL = 18,
	DROP_TOO_BIG = 19,
	DROP_LOOP = 20,		      /* From the underlay towards a tunnel. */
	DROP_SAME_INTERFACE = 21,
	DROP_LINK_LOCAL = 22,	      /* Link-local addresses are never forwarded. */
	DROP_ENCAPSULATION = 23,      /* The kernel could not grow or shrink the frame. */
	/* ARP and neighbour discovery. */
	DROP_ARP_MALFORMED = 24,
	DROP_ARP_IGNORED = 25,	      /* Nothing to answer: a reply, an announcement, a probe. */
	DROP_ARP_UNKNOWN = 26,	      /* Target has no known MAC. */
	DROP_ND_MALFORMED = 27,
	DROP_ND_IGNORED = 28,
	DROP_ND_UNKNOWN = 29,
	/* Policy and flows. */
	DROP_POLICY = 30,
	DROP_FLOW_TABLE_FULL = 31,
	DROP_FLOW_LIMIT = 32,	      /* The interface owns too many flows. */
	/* Underlay. */
	DROP_OUTER_HEADER = 33,	      /* Options, fragments or lengths we do not decapsulate. */
	DROP_TUNNEL_HEADER = 34,      /* GRE or VXLAN flags, label stack. */
	DROP_LABEL_UNKNOWN = 35,
	DROP_VNI_UNKNOWN = 36,
	DROP_ECN = 37,		      /* Congestion marked outside, not capable inside (RFC 6040). */
	/* Punt. */
	DROP_PUNT_RATE = 38,
	DROP_PUNT_FULL = 39,
	DROP_NOT_IP = 40,	      /* A label for IP carries something else. */
	DROP_FLOOD_LIMIT = 41,	      /* Some members of the network got no copy: there are too many. */
	DROP_FLOOD_POLICY = 42,	      /* A member's policy refuses its copy of a broadcast. */
	DROP_FLOOD_SOURCE = 43,	      /* A copy to be relayed that comes from no neighbour. */
	/* Translation. */
	DROP_FLOATING_PORT = 44,      /* A floating address with mapped ports has none such. */
	DROP_FLOATING_GONE = 45,      /* An answer's floating address is not the workload's any more. */
	DROP_TRANSLATION = 46,	      /* The kernel could not rewrite the packet. */
	/* More than an interface may hand over, and what only the vRouter may say. */
	DROP_PUNT_RATE_NEIGHBOUR = 47, /* Too many router solicitations or announcements. */
	DROP_PUNT_RATE_DHCP = 48,
	DROP_PUNT_RATE_DNS = 49,
	DROP_DHCP_CLIENT = 50,	      /* A request in the name of another MAC. */
	DROP_DHCP_SERVER = 51,	      /* A workload answers as a DHCP server. */
	DROP_ND_ROUTER = 52,	      /* A workload advertises or redirects as a router. */
	/* Quality of service. */
	DROP_RATE_SENT = 53,	      /* The interface sends faster than it may. */
	DROP_RATE_RECEIVED = 54,      /* It is sent more than it may receive. */
	/* Towards the host's own network. */
	DROP_LINK_SERVICE = 55,	      /* No service at this link-local address and port. */
	DROP_FABRIC_PROTOCOL = 56,    /* Has neither ports nor an echo identifier to be told apart by. */
	DROP_FABRIC_ADDRESS = 57,     /* This host, or nobody's: not for workloads by the underlay. */
	DROP_FABRIC_ROUTE = 58,	      /* The host has no route by its underlay interface. */
	DROP_FABRIC_UNKNOWN = 59,     /* No answer to what is translated: nobody asked, or not any more. */
	DROP_PORTS_EXHAUSTED = 60,    /* Every port tried of the pool is taken towards that far end. */
	DROP_GROUP_UNHEARD = 61,      /* Nobody listens to the multicast group. */
	DROP_FLOW_LIMIT_MACHINE = 62, /* All interfaces of the machine have as many flows as it may. */
	DROP_LAYER3_ONLY = 63,	      /* Not IP, and the network only routes. */
	DROP_VLAN_NESTED = 64,	      /* A tag within a tag. */
	DROP_FABRIC_FAMILY = 65,      /* By the host's address, which is of the other IP version. */
	DROP_MAC_LIMIT = 66,	      /* From a MAC that its interface has no place for. */
	DROP_OUTER_SOURCE = 67,	      /* A tunnel from an address that no known tunnel ends at. */
	DROP_PORT_SHARE = 68,	      /* The interface has its share of ports towards that far end. */
	DROP_PUNT_RATE_SERVICE = 69,  /* Too many datagrams or connections to a service of the agent's. */
	DROP_REASON_COUNT,
};

#endif
