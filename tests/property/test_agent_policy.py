"""Compiled policy rows decide exactly as the oracle, for every packet."""

from ipaddress import ip_address, ip_network

from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.agent.access_list import Selector
from skytrail.agent.identity import Identity
from skytrail.agent.label import Numbers
from skytrail.agent.lookup import Tables
from skytrail.agent.policy import Policy, PolicyPacket, evaluate
from skytrail.agent.policy_rows import PolicyCompiler
from skytrail.agent.stage import RemoteRule, Stage
from skytrail.agent.tables import IdentityId

NETWORKS = ["d:p:red", "d:p:blue", "d:p:green"]
TAGS = [0x00010001, 0x00020001, 0x00020002, 0x00000007]
GROUPS = [8000001, 8000002, 8000003]
PREFIXES = [
    ip_network(text)
    for text in (
        "0.0.0.0/0",
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.1.0/24",
        "10.1.1.7/32",
        "192.168.0.0/16",
        "::/0",
        "fd00::/16",
        "fd00:1::/64",
    )
]
ADDRESSES = [
    ip_address(text)
    for text in ("10.1.1.7", "10.1.1.8", "10.1.2.1", "10.9.0.1", "192.168.3.4", "8.8.8.8")
] + [ip_address(text) for text in ("fd00:1::7", "fd00:2::7", "2001:db8::1")]
PORTS = st.sampled_from([0, 1, 22, 79, 80, 81, 443, 1023, 1024, 5000, 32768, 65534, 65535])
RANGES = st.one_of(st.just((0, 65535)), st.tuples(PORTS, PORTS), st.tuples(PORTS, st.just(65535)))
SELECTORS = st.one_of(
    st.just(Selector()),
    st.just(Selector(never=True)),
    st.builds(Selector, network=st.sampled_from(NETWORKS)),
    st.builds(Selector, group=st.sampled_from(GROUPS)),
    st.builds(
        Selector,
        network=st.sampled_from(["", *NETWORKS]),
        prefixes=st.lists(st.sampled_from(PREFIXES), min_size=1, max_size=3).map(tuple),
    ),
    st.builds(
        Selector,
        tags=st.lists(st.sampled_from(TAGS), min_size=1, max_size=3, unique=True).map(
            lambda tags: tuple(sorted(tags))
        ),
        prefixes=st.lists(st.sampled_from(PREFIXES), max_size=1).map(tuple),
    ),
)
RULES = st.builds(
    RemoteRule,
    name=st.sampled_from([f"acl#{number}" for number in range(6)]),
    allow=st.booleans(),
    protocol=st.sampled_from([None, None, 1, 6, 17, 58]),
    version=st.sampled_from([None, 4, 6]),
    remote=SELECTORS,
    source_ports=st.one_of(st.just((0, 65535)), st.just((0, 65535)), RANGES),
    destination_ports=RANGES,
    qos=st.sampled_from(["", "", "d:p:gold", "d:p:silver"]),
)
STAGES = st.builds(
    Stage,
    name=st.sampled_from(["network", "groups"]),
    first_match=st.booleans(),
    rules=st.lists(RULES, max_size=6).map(tuple),
)
POLICIES = st.builds(
    Policy,
    direction=st.just("egress"),
    stages=st.lists(STAGES, min_size=1, max_size=3).map(tuple),
)
IDENTITIES = st.builds(
    Identity,
    networks=st.frozensets(st.sampled_from(NETWORKS), max_size=2),
    groups=st.frozensets(st.sampled_from(GROUPS), max_size=2),
    tags=st.frozensets(st.sampled_from(TAGS), max_size=4),
)
PACKETS = st.builds(
    PolicyPacket,
    remote=IDENTITIES,
    remote_address=st.sampled_from(ADDRESSES),
    protocol=st.sampled_from([1, 6, 17, 47, 58]),
    source_port=PORTS,
    destination_port=st.one_of(PORTS, st.integers(0, 65535)),
)


def compiled(policies, identities, numbers=None):
    numbers = numbers or Numbers()
    compiler = PolicyCompiler(numbers)
    compiler.begin()
    policy_ids = [compiler.intern(policy) for policy in policies]
    rows = compiler.compile(identities)
    tables = Tables([*rows.identities, *rows.prefixes, *rows.verdicts, *rows.source_ports])
    return numbers, policy_ids, tables, rows


@settings(max_examples=300, deadline=None)
@given(policy=POLICIES, packets=st.lists(PACKETS, min_size=1, max_size=12))
def test_rows_decide_as_the_oracle(policy, packets):
    identities = {
        IdentityId(number): packet.remote for number, packet in enumerate(packets, start=1)
    }
    numbers, (policy_id,), tables, _ = compiled([policy], identities)

    for number, packet in enumerate(packets, start=1):
        verdict = tables.verdict(
            policy_id,
            (IdentityId(number), packet.remote_address),
            packet.protocol,
            (packet.source_port, packet.destination_port),
        )
        expected = evaluate(policy, packet)

        assert (expected.allow, expected.name, expected.qos) == (
            verdict.allow,
            numbers.rule.name(verdict.rule_id),
            numbers.qos.name(verdict.qos_id) if verdict.qos_id else "",
        )


@settings(max_examples=200, deadline=None)
@given(
    policy=POLICIES,
    packets=st.lists(PACKETS, min_size=1, max_size=8),
    kind=st.sampled_from(["identity_class", "source_cell", "rule"]),
    count=st.integers(0, 3),
)
def test_with_too_few_numbers_nothing_passes_that_the_oracle_denies(policy, packets, kind, count):
    identities = {
        IdentityId(number): packet.remote for number, packet in enumerate(packets, start=1)
    }
    numbers = Numbers()
    numbers.spaces()[kind]._last = numbers.spaces()[kind]._first + count - 1
    _, (policy_id,), tables, rows = compiled([policy], identities, numbers)

    for number, packet in enumerate(packets, start=1):
        verdict = tables.verdict(
            policy_id,
            (IdentityId(number), packet.remote_address),
            packet.protocol,
            (packet.source_port, packet.destination_port),
        )
        expected = evaluate(policy, packet)

        assert expected.allow or not verdict.allow
        assert expected.allow == verdict.allow or rows.lacking


@settings(max_examples=50, deadline=None)
@given(policies=st.lists(POLICIES, min_size=2, max_size=4), identity=IDENTITIES)
def test_policies_do_not_touch_each_other(policies, identity):
    identities = {IdentityId(1): identity}
    _, together_ids, together, _ = compiled(policies, identities)

    for policy, policy_id in zip(policies, together_ids, strict=True):
        for address in ADDRESSES:
            for protocol in (1, 6, 47):
                verdict = together.verdict(
                    policy_id, (IdentityId(1), address), protocol, (5000, 80)
                )
                packet = PolicyPacket(identity, address, protocol, 5000, 80)
                assert evaluate(policy, packet).allow == verdict.allow


@settings(max_examples=50, deadline=None)
@given(policy=POLICIES)
def test_row_keys_are_unique(policy):
    identities = {
        IdentityId(1): Identity(networks=frozenset(NETWORKS[:1])),
        IdentityId(2): Identity(groups=frozenset(GROUPS)),
    }
    _, _, _, rows = compiled([policy], identities)

    for group in (rows.identities, rows.prefixes, rows.verdicts, rows.source_ports):
        assert len({row.key for row in group}) == len(group)
