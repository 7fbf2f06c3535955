from skytrail.compiler.derived import DerivedKey
from skytrail.compiler.emit import Create, Delete, Update, all_keys, as_operation, plan
from skytrail.compiler.engine import Engine, Put, Remove
from skytrail.compiler.passes import ALL_PASSES
from skytrail.compiler.transactions import groups, transactions
from skytrail.model.derived_uuid import derived_uuid
from skytrail.model.generated.objects import (
    AccessControlList,
    LogicalRouter,
    RouteTarget,
    VirtualDnsRecord,
)
from skytrail.model.objects import decode_object
from skytrail.testing.configuration import (
    link,
    network_policy,
    routing_instance,
    rule,
    security_group,
    virtual_network,
)


def compiled(*items):
    engine = Engine(ALL_PASSES)
    engine.load(items)
    return engine


def full_plan(engine):
    return plan(engine, all_keys(engine))


def apply(engine, writes):
    """Do to the intent what the API would do to the store."""
    for write in writes:
        match write:
            case Create(key, _, wire):
                engine.apply([Put(decode_object(key.type_name, dict(wire)))])
            case Update(key, uuid, wire):
                known = engine.intent.item(key.type_name, uuid)
                changed = decode_object(
                    key.type_name, {"uuid": uuid, "fq_name": list(known.fq_name), **wire}
                )
                engine.apply([Put(changed)])
            case Delete(key, uuid):
                engine.apply([Remove(key.type_name, uuid)])


def target(text, uuid=None):
    return RouteTarget(uuid=uuid or derived_uuid("route-target", (text,)), fq_name=(text,))


def test_new_network_is_one_target_then_its_instance_in_one_group():
    red = virtual_network("red")
    writes = full_plan(compiled(red, routing_instance(red)))

    assert [type(each) for each in writes] == [Create, Update]
    assert len(groups(writes)) == 1
    (reference,) = writes[1].wire["route_target_refs"]
    assert reference["uuid"] == writes[0].uuid == derived_uuid("route-target", reference["to"])


def test_nothing_is_written_twice():
    policy = network_policy("p", rule("any", "any", protocol="tcp", port=(1, 2)))
    red, blue = virtual_network("red", policy), virtual_network("blue", policy)
    group = security_group("web", 8000000, rule("group=any", "group=local"))
    engine = compiled(policy, red, blue, group, *map(routing_instance, (red, blue)))

    first = full_plan(engine)
    apply(engine, first)

    assert len(first) == 8
    assert full_plan(engine) == []


def test_user_objects_are_never_deleted():
    mine = target("target:1:1", uuid="6f1f7f2e-8a3c-4f6e-9b53-1f0d3e6a5c11")
    record = VirtualDnsRecord(
        uuid="7f1f7f2e-8a3c-4f6e-9b53-1f0d3e6a5c11", fq_name=("default-domain", "zone", "www")
    )
    acl = AccessControlList(
        uuid="8f1f7f2e-8a3c-4f6e-9b53-1f0d3e6a5c11",
        fq_name=("default-domain", "demo", "red", "handmade"),
        parent_type="virtual-network",
    )

    assert full_plan(compiled(mine, record, acl)) == []


def test_unwanted_derived_objects_are_deleted():
    acl = AccessControlList(
        uuid="8f1f7f2e-8a3c-4f6e-9b53-1f0d3e6a5c11",
        fq_name=("default-domain", "demo", "red", "red"),
        parent_type="virtual-network",
    )

    writes = full_plan(compiled(target("target:64512:8000001"), acl))

    assert [(type(each), each.key.type_name) for each in writes] == [
        (Delete, "access-control-list"),
        (Delete, "route-target"),
    ]


def test_target_in_use_by_a_logical_router_stays():
    used = target("target:64512:8000001")
    router = LogicalRouter(
        uuid="r", fq_name=("default-domain", "demo", "r"), route_target_refs=(link(used),)
    )

    assert full_plan(compiled(used, router)) == []


def test_target_is_deleted_after_the_instance_lets_go_of_it():
    old = target("target:65000:5")
    red = virtual_network("red")
    instance = routing_instance(red)
    holding = type(instance)(
        uuid=instance.uuid, fq_name=instance.fq_name, route_target_refs=(link(old),)
    )

    writes = full_plan(compiled(red, holding, old))

    assert [(type(each), each.key.type_name) for each in writes] == [
        (Create, "route-target"),
        (Update, "routing-instance"),
        (Delete, "route-target"),
    ]


def test_adopted_target_is_referred_to_by_its_own_uuid():
    foreign = target("target:65000:5", uuid="6f1f7f2e-8a3c-4f6e-9b53-1f0d3e6a5c11")
    red = virtual_network("red", both=["target:65000:5"])

    writes = full_plan(compiled(red, routing_instance(red), foreign))

    (update,) = [each for each in writes if isinstance(each, Update)]
    uuids = {each["to"][0]: each["uuid"] for each in update.wire["route_target_refs"]}
    assert uuids["target:65000:5"] == foreign.uuid


def test_groups_are_cut_into_bounded_transactions_without_splitting():
    networks = [virtual_network(f"n{number}") for number in range(700)]
    writes = full_plan(compiled(*networks, *map(routing_instance, networks)))

    runs = list(transactions(groups(writes)))

    assert [sum(len(group) for group in run) for run in runs] == [1000, 400]
    assert all(len(group) == 2 for run in runs for group in run)


def test_operation_names_what_the_api_needs():
    key = DerivedKey("route-target", ("target:1:1",))

    assert as_operation(Delete(key, "u")) == {"op": "delete", "type": "route-target", "uuid": "u"}
