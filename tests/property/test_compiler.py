"""Incremental evaluation equals a full one, whatever is edited, in whatever order."""

import random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.compiler.emit import all_keys, as_operation, plan
from skytrail.compiler.engine import Engine, Put, Remove
from skytrail.compiler.passes import ALL_PASSES
from skytrail.compiler.passes.chain import chain_id_of
from skytrail.model.generated.objects import (
    GlobalSystemConfig,
    QosConfig,
    RouteTarget,
    SecurityLoggingObject,
)
from skytrail.model.generated.types import ActionListType, InstanceTargetType
from skytrail.model.objects import Reference
from skytrail.testing import configuration as build
from skytrail.testing import firewall, routing, services
from skytrail.testing.compiled import settle
from skytrail.testing.strategies import config_objects

NAMES = ("red", "green", "blue")
TARGETS = ("target:64512:8000001", "target:65000:7", "10.0.0.1:5", "target:64512:8000002")

ASSIGNED = "default-domain:demo:blue:blue"

network_name = st.sampled_from(NAMES)
address = st.one_of(
    st.sampled_from(
        ("any", "local", "10.1.0.0/16", "policy=default-domain:demo:p1", "policy=local")
    ),
    network_name.map(lambda name: f"default-domain:demo:{name}"),
)
action = st.one_of(
    st.sampled_from(("pass", "deny")),
    st.just(services.through(services.service_instance("fw"))),
    st.just(services.through(*map(services.service_instance, ("fw", "ids")))),
    st.just(ActionListType(simple_action="pass", log=True, qos_action="default-domain:demo:gold")),
    st.just(ActionListType(simple_action="pass", assign_routing_instance=ASSIGNED)),
    st.just(ActionListType(simple_action="pass", mirror_to=services.to_analyzer("ids"))),
)
rule = st.builds(
    build.rule,
    address,
    address,
    protocol=st.sampled_from(("any", "tcp", "17", "smoke", "icmp")),
    ethertype=st.sampled_from((None, "IPv6")),
    uuid=st.sampled_from(("", "one", "two")),
    direction=st.sampled_from((">", "<>")),
    action=action,
)
policy = st.builds(
    lambda name, rules: build.network_policy(name, *rules),
    st.sampled_from(("p1", "p2")),
    st.lists(rule, max_size=3),
)
server = st.builds(build.virtual_dns, st.just("zone"), st.sampled_from(("a.example", "b.example")))
ipam = st.builds(
    lambda resolves: build.network_ipam(
        "ipam", build.virtual_dns("zone", "a.example") if resolves else None
    ),
    st.booleans(),
)
network = st.builds(
    lambda name, policies, both, exports: build.virtual_network(
        name,
        *(build.network_policy(each) for each in policies),
        both=both,
        exports=exports,
        ipams=[(build.network_ipam("ipam"), "10.1.1.0/24")],
    ),
    network_name,
    st.lists(st.sampled_from(("p1", "p2")), max_size=2, unique=True),
    st.lists(st.sampled_from(TARGETS), max_size=2),
    st.lists(st.sampled_from(TARGETS), max_size=2),
)


@st.composite
def instance(draw):
    found = build.routing_instance(build.virtual_network(draw(network_name)))
    targets = draw(st.lists(st.sampled_from(TARGETS), max_size=2, unique=True))
    links = tuple(
        build.link_with(
            RouteTarget(uuid=build.uuid_of("route-target", (text,)), fq_name=(text,)),
            InstanceTargetType(import_export=draw(st.sampled_from((None, "import")))),
        )
        for text in targets
    )
    return type(found)(
        uuid=found.uuid,
        fq_name=found.fq_name,
        parent_type="virtual-network",
        parent_uuid=found.parent_uuid,
        route_target_refs=links,
    )


@st.composite
def group(draw):
    side = draw(st.sampled_from(("group=any", "group=default-domain:demo:web", "10.0.0.0/8", "x")))
    rules = [
        build.rule("group=local", side, ethertype="IPv6", protocol="icmp"),
        build.rule(side, "group=local", ethertype="IPv4", protocol="tcp", port=(80, 81)),
    ]
    count = draw(st.integers(0, 2))
    return build.security_group(
        draw(st.sampled_from(("web", "db"))), draw(st.sampled_from((None, 8000000))), *rules[:count]
    )


@st.composite
def workload(draw):
    net = build.virtual_network(draw(network_name))
    machine = build.virtual_machine("m", draw(st.sampled_from(("Web 1", "db", "!!"))))
    port = build.port(draw(st.sampled_from(("port1", "port2"))), net, machine)
    return draw(
        st.sampled_from(
            (
                machine,
                port,
                build.instance_ip("ip1", "10.1.1.3", net, port),
                build.instance_ip("ip2", "10.1.1.4", net, port),
                build.instance_ip("ip2", "192.0.2.4", net),
            )
        )
    )


GOLD = ("default-domain", "demo", "gold")
gold = st.just(QosConfig(uuid=build.uuid_of("qos-config", GOLD), fq_name=GOLD))


@st.composite
def logging(draw):
    name = (*build.PROJECT, "audit")
    return SecurityLoggingObject(
        uuid=build.uuid_of("security-logging-object", name),
        fq_name=name,
        security_logging_object_rate=draw(st.sampled_from((None, 7))),
        network_policy_refs=tuple(
            build.link(build.network_policy(each))
            for each in draw(st.lists(st.sampled_from(("p1", "p2")), max_size=2, unique=True))
        ),
        security_group_refs=(build.link(build.security_group("web", None)),),
    )


@st.composite
def system(draw):
    name = ("default-global-system-config",)
    return GlobalSystemConfig(
        uuid=build.uuid_of("global-system-config", name),
        fq_name=name,
        autonomous_system=draw(st.sampled_from((64512, 65000, 70000))),
    )


target = st.sampled_from(TARGETS).map(
    lambda text: RouteTarget(uuid=build.uuid_of("route-target", (text,)), fq_name=(text,))
)
item = st.one_of(
    network,
    policy,
    instance(),
    group(),
    workload(),
    system(),
    target,
    server,
    ipam,
    gold,
    logging(),
    routing.items(NAMES),
    routing.items(NAMES),
    services.items(NAMES),
    services.items(NAMES),
    firewall.items(NAMES),
    firewall.items(NAMES),
)


@st.composite
def change(draw):
    found = draw(item)
    return Remove(found.type_name, found.uuid) if draw(st.integers(0, 3)) == 0 else Put(found)


edits_strategy = st.lists(st.lists(change(), min_size=1, max_size=4), min_size=1, max_size=12)


def state(engine):
    return (
        {key: engine.wanted(key) for key in engine.wanted_keys()},
        engine.violations(),
        {key: engine.provenance(key) for key in engine.wanted_keys()},
    )


def recomputed(engine):
    full = Engine(ALL_PASSES)
    full.load(
        each for kind in sorted(engine.intent.counts()) for each in engine.intent.objects(kind)
    )
    return full


@settings(max_examples=150, deadline=None)
@given(edits_strategy)
def test_incremental_equals_full_after_every_batch(edits):
    engine = Engine(ALL_PASSES)

    for batch in edits:
        before = {key: engine.wanted(key) for key in engine.wanted_keys()}
        differing = engine.apply(batch)
        after = {key: engine.wanted(key) for key in engine.wanted_keys()}

        assert state(recomputed(engine)) == state(engine)
        changed = {k for k in {*before, *after} if before.get(k) != after.get(k)}
        assert changed <= differing


SERVICE = services.service_instance("fw", services.service_template("t1", "in-network"))
CHAIN_NAMES = ("red", "blue")
chain_rule = st.builds(
    build.rule,
    st.just("default-domain:demo:red"),
    st.just("default-domain:demo:blue"),
    protocol=st.sampled_from(("any", "tcp")),
    direction=st.sampled_from((">", "<>")),
    action=st.sampled_from((services.through(SERVICE), services.through(SERVICE), "pass")),
)
chain_policy = st.lists(chain_rule, min_size=1, max_size=3).map(
    lambda rules: build.network_policy("p1", *rules)
)


@st.composite
def chain_network(draw):
    found = build.virtual_network(
        draw(st.sampled_from(CHAIN_NAMES)),
        *draw(st.sampled_from(([build.network_policy("p1")], [build.network_policy("p1")], []))),
        ipams=[(build.network_ipam("ipam"), draw(st.sampled_from(("10.1.0.0/24", "fd00::/64"))))],
    )
    several = draw(st.booleans())
    return msgspec.structs.replace(found, multi_policy_service_chains_enabled=several)


def chain_base():
    """Red and blue, joined through one service: what edits then take apart and join again."""
    policy = build.network_policy(
        "p1",
        build.rule(
            "default-domain:demo:red", "default-domain:demo:blue", action=services.through(SERVICE)
        ),
    )
    red, blue = (
        build.virtual_network(name, policy, ipams=[(build.network_ipam("ipam"), "10.1.0.0/24")])
        for name in CHAIN_NAMES
    )
    template = services.service_template("t1", "transparent")
    found = [policy, red, blue, *map(build.routing_instance, (red, blue)), template, SERVICE]
    return [*found, services.chain_ipam(), *services.members(SERVICE, red, blue)]


chain_item = st.one_of(
    chain_policy, chain_network(), services.items(CHAIN_NAMES), st.sampled_from(chain_base())
)
chain_edit = chain_item.flatmap(
    lambda found: st.sampled_from((Put(found), Put(found), Remove(found.type_name, found.uuid)))
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(chain_edit, st.booleans()), min_size=1, max_size=8))
def test_incremental_service_chains_equal_full_ones_and_come_to_rest(edits):
    """Derived objects are written back between edits, or wait until the end."""
    engine = Engine(ALL_PASSES)
    engine.load(chain_base())

    for edit, is_written in edits:
        engine.apply([edit])
        if is_written:
            settle(engine)
        assert state(recomputed(engine)) == state(engine)
    settle(engine)

    assert state(recomputed(engine)) == state(engine)


@settings(max_examples=30, deadline=None)
@given(st.lists(chain_edit, min_size=1, max_size=6))
def test_service_that_is_taken_apart_leaves_nothing(edits):
    engine = Engine(ALL_PASSES)
    engine.load(chain_base())
    for edit in edits:
        engine.apply([edit])
        settle(engine)

    engine.apply([Put(build.network_policy("p1")), Remove(SERVICE.type_name, SERVICE.uuid)])
    settle(engine)

    names = [each.fq_name for each in engine.intent.objects("routing-instance")]
    assert [name for name in names if chain_id_of(name)] == []
    held = {
        reference.to
        for each in engine.intent.objects("virtual-machine-interface")
        for reference in each.routing_instance_refs
    }
    assert not held


firewall_edit = firewall.items(("red",)).flatmap(
    lambda found: st.sampled_from((Put(found), Put(found), Remove(found.type_name, found.uuid)))
)


@settings(max_examples=100, deadline=None)
@given(st.lists(firewall_edit, min_size=1, max_size=15))
def test_incremental_policy_sets_equal_full_ones(edits):
    engine = Engine(ALL_PASSES)
    engine.load([build.virtual_network("red")])

    for edit in edits:
        engine.apply([edit])
    full = recomputed(engine)

    assert state(full) == state(engine)
    assert effective_sets(full) == effective_sets(engine)


def effective_sets(engine):
    return [
        [(unit, outcome.value) for unit, outcome in sorted(engine._states[name].outcomes.items())]
        for name in ("port_tags", "firewall_rule", "policy_set", "port_policy_sets")
    ]


@st.composite
def claiming_instance(draw):
    """An instance that owns one of few numbers, or none: contests are common."""
    found = build.routing_instance(build.virtual_network(draw(network_name)))
    numbers = st.sampled_from((8000001, 8000002, 8000003))
    texts = [f"target:64512:{each}" for each in draw(st.lists(numbers, max_size=2, unique=True))]
    links = tuple(
        build.link(RouteTarget(uuid=build.uuid_of("route-target", (text,)), fq_name=(text,)))
        for text in texts
    )
    return type(found)(uuid=found.uuid, fq_name=found.fq_name, route_target_refs=links)


@st.composite
def claiming_router(draw):
    """A router that owns one of the same numbers, which instances hold too."""
    found = routing.logical_router(draw(st.sampled_from(("r1", "r2"))))
    text = draw(st.sampled_from(("target:64512:8000001", "target:64512:8000002")))
    held = RouteTarget(uuid=build.uuid_of("route-target", (text,)), fq_name=(text,))
    return msgspec.structs.replace(found, route_target_refs=(build.link(held),))


claims = claiming_instance()
target_edit = st.one_of(
    claims, claims, claims, claims, claiming_router(), target, system()
).flatmap(
    lambda found: st.sampled_from((Put(found), Put(found), Remove(found.type_name, found.uuid)))
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(target_edit, min_size=1, max_size=2), min_size=1, max_size=10))
def test_incremental_route_targets_equal_full_ones(edits):
    engine = Engine(ALL_PASSES)
    engine.load([build.virtual_network(name) for name in NAMES])

    for batch in edits:
        engine.apply(batch)

        assert state(recomputed(engine)) == state(engine)


@settings(max_examples=80, deadline=None)
@given(st.lists(item, min_size=1, max_size=14, unique_by=lambda each: each.uuid))
def test_order_of_arrival_does_not_matter(items):
    forward, backward, one_batch = (Engine(ALL_PASSES) for _ in range(3))

    for each in items:
        forward.apply([Put(each)])
    for each in reversed(items):
        backward.apply([Put(each)])
    one_batch.apply([Put(each) for each in items])

    assert state(forward) == state(backward) == state(one_batch)


@settings(max_examples=60, deadline=None)
@given(st.lists(item, min_size=1, max_size=14, unique_by=lambda each: each.uuid), st.randoms())
def test_removing_everything_leaves_nothing_derived(items, rng):
    engine = Engine(ALL_PASSES)
    engine.load(items)
    removals = [Remove(each.type_name, each.uuid) for each in items]
    random.Random(rng.random()).shuffle(removals)

    for each in removals:
        engine.apply([each])

    assert engine.wanted_keys() == []
    assert engine.violations() == []


@settings(max_examples=60, deadline=None)
@given(st.lists(instance(), min_size=1, max_size=3, unique_by=lambda each: each.uuid))
def test_no_two_instances_own_the_same_route_target(instances):
    engine = Engine(ALL_PASSES)
    networks = [build.virtual_network(name) for name in NAMES]
    engine.load([*networks, *instances])

    owned = [
        outcome.value.route_target
        for outcome in engine._states["own_route_target"].outcomes.values()
    ]

    assert len(owned) == len(instances)
    assert len(set(owned)) == len(owned)


KINDS = sorted(Engine(ALL_PASSES).input_kinds | {"access-control-list", "virtual-DNS-record"})


@settings(max_examples=100, deadline=None)
@given(st.lists(config_objects(st.sampled_from(KINDS)), min_size=1, max_size=8), st.data())
def test_any_object_the_model_allows_can_be_compiled(items, choice):
    """Whatever users write, the compiler goes on and knows what to do about it."""
    tied = [tie(each, items, choice) for each in items]
    engine = Engine(ALL_PASSES)

    engine.apply([Put(each) for each in tied])

    for write in plan(engine, all_keys(engine)):
        assert as_operation(write)["type"] == write.key.type_name
    assert state(recomputed(engine)) == state(engine)


def tie(found, items, choice):
    """Let an object's references point to other objects of the sample."""
    changes = {}
    for name in found.__struct_fields__:
        targets = [each for each in items if f"{each.type_name.replace('-', '_')}_refs" == name]
        if targets:
            chosen = choice.draw(st.lists(st.sampled_from(targets), max_size=2))
            attrs = [each.attr for each in getattr(found, name)] or [None]
            changes[name] = tuple(
                Reference(to=each.fq_name, uuid=each.uuid, attr=attrs[0]) for each in chosen
            )
    return msgspec.structs.replace(found, **changes)
