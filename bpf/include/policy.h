/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A verdict costs at most five lookups however many rules there are: identity class, prefix class,
 * exact protocol, any protocol, source port.
 */
#ifndef SKYTRAIL_POLICY_H
#define SKYTRAIL_POLICY_H

#include "fib.h"

#define VERDICT_FIXED_BITS (32 + 16 + 16 + 16)
#define SOURCE_PORT_FIXED_BITS 32
#define PORT_BITS 16

static __always_inline __u32 prefix_class(const struct policy_question *q)
{
	__u32 *class;

	if (q->family == FAMILY_V4) {
		const struct route_key4 key = {
			.prefixlen = VRF_BITS + 32,
			.vrf = bpf_htonl(q->policy),
			.address = q->address[0],
		};

		class = bpf_map_lookup_elem(&policy_prefixes4, &key);
	} else {
		const struct route_key6 key = {
			.prefixlen = VRF_BITS + 128,
			.vrf = bpf_htonl(q->policy),
			.address = { q->address[0], q->address[1], q->address[2], q->address[3] },
		};

		class = bpf_map_lookup_elem(&policy_prefixes6, &key);
	}
	return class ? *class : 0;
}

/* 1 = allowed. Sets the deciding rule, 0 when nothing matched, the VRF it leads to and its QoS. */
VERIFIED_ONCE int policy_allows(struct policy_question *q)
{
	struct policy_identity_key identity;
	struct verdict *verdict;
	__u32 *class;

	if (!q)
		return 0;
	q->rule = 0;
	q->vrf = 0;
	q->qos = 0;
	q->by_source_port = 0;
	q->mirror = 0;
	if (!q->policy)
		return 1;
	identity.policy = q->policy;
	identity.identity = q->identity;
	class = bpf_map_lookup_elem(&policy_identities, &identity);
	struct verdict_key key = {
		.prefixlen = VERDICT_FIXED_BITS + PORT_BITS,
		.policy = bpf_htonl(q->policy),
		.identity_class = bpf_htons(class ? *class : 0),
		.prefix_class = bpf_htons(prefix_class(q)),
		.protocol = bpf_htons(q->protocol),
		.port = q->destination_port,
	};

	verdict = bpf_map_lookup_elem(&verdicts, &key);
	if (!verdict) {
		key.protocol = bpf_htons(PROTOCOL_ANY);
		verdict = bpf_map_lookup_elem(&verdicts, &key);
	}
	if (verdict && verdict->source_cell) {
		q->by_source_port = 1;
		const struct source_port_key cell = {
			.prefixlen = SOURCE_PORT_FIXED_BITS + PORT_BITS,
			.cell = bpf_htonl(verdict->source_cell),
			.port = q->source_port,
		};

		verdict = bpf_map_lookup_elem(&source_ports, &cell);
	}
	if (!verdict)
		return 0;
	q->rule = verdict->rule;
	q->vrf = verdict->vrf;
	q->qos = verdict->qos;
	q->mirror = verdict->mirror;
	return verdict->action == 1;
}

#endif
