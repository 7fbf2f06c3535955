import asyncio
from contextlib import asynccontextmanager

from skytrail.client import (
    ApiError,
    ApiUnavailable,
    ObjectDelete,
    ObjectPut,
    RevisionEnd,
    SnapshotBegin,
    SnapshotEnd,
    TransactionReply,
)
from skytrail.compiler.service import CompilerService, Pace, tables
from skytrail.model.objects import encode_object
from skytrail.testing.configuration import (
    network_policy,
    routing_instance,
    rule,
    security_group,
    virtual_network,
)


class StepClock:
    """Every look at the clock is 10 ms later than the last one."""

    def __init__(self):
        self.time = 0.0

    def now(self):
        self.time += 0.01
        return self.time

    def wall(self):
        return self.time


class FakeApi:
    """Objects by uuid, a watch per caller, transactions that can be made to fail."""

    watching = True

    def __init__(self, *items):
        self.revision = 1
        self.objects = {item.uuid: (item.type_name, encode_object(item)) for item in items}
        self.transactions = []
        self.failures = []
        self.refused_types = set()
        self.before_transaction = lambda: None
        self._streams = []

    async def watch(self, types):
        queue = asyncio.Queue()
        self._streams.append(queue)
        yield SnapshotBegin(self.revision)
        for uuid, (kind, wire) in list(self.objects.items()):
            yield ObjectPut(kind, uuid, self.revision, wire)
        yield SnapshotEnd(self.revision)
        while True:
            yield await queue.get()

    async def transaction(self, operations, derived_from=None):
        self.before_transaction()
        self.before_transaction = lambda: None
        if self.failures:
            raise self.failures.pop(0)
        for operation in operations:
            if operation["type"] in self.refused_types:
                raise ApiError(400, f"{operation['type']} is not liked today")
        self.transactions.append((derived_from, [dict(each) for each in operations]))
        self.commit(operations)
        return TransactionReply(revision=self.revision)

    def commit(self, operations):
        self.revision += 1
        events = [self._do(operation) for operation in operations]
        self._send(*events, RevisionEnd(self.revision))

    def put(self, *items):
        self.commit(
            [{"op": "create", "type": i.type_name, "object": encode_object(i)} for i in items]
        )

    def _do(self, operation):
        kind = operation["type"]
        if operation["op"] == "delete":
            _, wire = self.objects.pop(operation["uuid"])
            return ObjectDelete(kind, operation["uuid"], tuple(wire["fq_name"]), self.revision)
        wire = operation["object"]
        uuid = operation.get("uuid") or wire["uuid"]
        known = self.objects.get(uuid, (kind, {}))[1]
        self.objects[uuid] = (kind, {**known, **wire})
        return ObjectPut(kind, uuid, self.revision, self.objects[uuid][1])

    def _send(self, *events):
        for queue in self._streams:
            for event in events:
                queue.put_nowait(event)


@asynccontextmanager
async def running(api, news_s=0):
    service = CompilerService(
        api, StepClock(), pace=Pace(news_s=news_s), sleep=lambda _: asyncio.sleep(0)
    )
    task = asyncio.create_task(service.run())
    try:
        yield service
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition):
    """Let the service run; a test that never gets there fails by the bound."""
    for _ in range(20_000):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError("never happened")


async def settled(api, service):
    await until(lambda: service.seen_revision == api.revision and not service.pending)


def named(api, kind):
    return sorted(wire["fq_name"][-1] for found, wire in api.objects.values() if found == kind)


def network_items(*names):
    found = [virtual_network(name) for name in names]
    return [*found, *(routing_instance(each) for each in found)]


def test_start_writes_everything_as_one_transaction_that_names_its_revision():
    async def scenario():
        api = FakeApi(*network_items("red", "blue"), security_group("web", 8000000))
        async with running(api) as service:
            await settled(api, service)
        return api

    api = asyncio.run(scenario())

    ((derived_from, operations),) = api.transactions
    assert derived_from == 1
    assert len(operations) == 6


def test_restart_writes_nothing():
    async def scenario():
        api = FakeApi(*network_items("red"), security_group("web", 8000000))
        async with running(api) as service:
            await settled(api, service)
        written = len(api.transactions)
        async with running(api) as service:
            await settled(api, service)
        return written, len(api.transactions)

    assert asyncio.run(scenario()) == (1, 1)


def test_change_leads_to_one_derived_transaction():
    async def scenario():
        api = FakeApi(*network_items("red"))
        async with running(api) as service:
            await settled(api, service)
            api.put(security_group("web", 8000000, rule("group=any", "group=local")))
            await until(lambda: len(api.transactions) == 2)
            await settled(api, service)
        return api

    api = asyncio.run(scenario())

    assert named(api, "access-control-list") == [
        "egress-access-control-list",
        "ingress-access-control-list",
    ]
    assert len(api.transactions) == 2


def test_deleted_network_takes_its_derived_objects_along():
    async def scenario():
        policy = network_policy("p", rule("any", "any"))
        red = virtual_network("red", policy)
        instance = routing_instance(red)
        api = FakeApi(policy, red, instance)
        async with running(api) as service:
            await settled(api, service)
            assert named(api, "access-control-list") == ["red"]
            api.commit(
                [
                    {"op": "delete", "type": item.type_name, "uuid": item.uuid}
                    for item in (instance, red)
                ]
            )
            await until(lambda: not named(api, "route-target"))
            await settled(api, service)
        return named(api, "access-control-list")

    assert asyncio.run(scenario()) == []


def test_refused_write_is_singled_out_and_the_rest_goes_on():
    async def scenario():
        policy = network_policy("p", rule("any", "any"))
        red = virtual_network("red", policy)
        api = FakeApi(policy, red, routing_instance(red))
        api.refused_types = {"access-control-list"}
        async with running(api) as service:
            await until(lambda: service.refusals)
            await until(lambda: api.transactions)
            await settled(api, service)
            refused = list(tables(service)["refused"]())
            targets = named(api, "route-target")
            api.refused_types = set()
            api.put(network_policy("p", rule("any", "any", action="deny")))
            await until(lambda: named(api, "access-control-list") == ["red"])
            await settled(api, service)
            return refused, targets, service.refusals

    refused, targets, later = asyncio.run(scenario())

    assert [row["text"] for row in refused] == ["access-control-list is not liked today"]
    assert len(targets) == 1
    assert later == {}


def test_refusal_because_of_a_newer_change_leads_to_a_new_decision():
    async def scenario():
        group = security_group("web", 8000000)
        api = FakeApi(*network_items("red"))
        async with running(api, news_s=5) as service:
            await settled(api, service)
            removal = [{"op": "delete", "type": group.type_name, "uuid": group.uuid}]
            api.before_transaction = lambda: api.commit(removal)
            api.failures = [ApiError(404, "no parent")]
            api.put(group)
            await until(lambda: not api.failures)
            await settled(api, service)
            return named(api, "access-control-list"), service.refusals, api.transactions

    lists, refusals, transactions = asyncio.run(scenario())

    assert (lists, refusals) == ([], {})
    assert len(transactions) == 1


def test_write_that_does_not_stick_is_put_aside_and_reported():
    async def scenario():
        red = virtual_network("red")
        instance = routing_instance(red)
        api = FakeApi(red, instance)
        keep = api._do

        def forgetful(operation):
            if operation["type"] == "routing-instance":
                operation = {**operation, "object": {"route_target_refs": []}}
            return keep(operation)

        api._do = forgetful
        async with running(api) as service:
            await until(lambda: service.refusals)
            await settled(api, service)
            return len(api.transactions), [row["text"] for row in tables(service)["refused"]()]

    count, texts = asyncio.run(scenario())

    assert count == 5
    assert texts == ["the API accepts the write but does not keep it as sent"]


def test_unavailable_api_is_tried_again():
    async def scenario():
        api = FakeApi(*network_items("red"))
        api.failures = [ApiUnavailable("gone"), ApiUnavailable("gone")]
        async with running(api) as service:
            await until(lambda: api.transactions)
            await settled(api, service)
        return api

    assert len(asyncio.run(scenario()).transactions) == 1


def test_foreign_edit_of_a_compiled_object_is_put_right():
    async def scenario():
        red = virtual_network("red")
        instance = routing_instance(red)
        api = FakeApi(red, instance)
        async with running(api) as service:
            await settled(api, service)
            before = api.objects[instance.uuid][1]["route_target_refs"]
            api.commit(
                [
                    {
                        "op": "update",
                        "type": "routing-instance",
                        "uuid": instance.uuid,
                        "object": {"route_target_refs": []},
                    }
                ]
            )
            await until(lambda: api.objects[instance.uuid][1]["route_target_refs"])
            await settled(api, service)
            return before, api.objects[instance.uuid][1]["route_target_refs"]

    before, after = asyncio.run(scenario())

    assert len(before) == len(after) == 1


def test_unwanted_leftover_of_an_earlier_run_is_swept():
    async def scenario():
        api = FakeApi(security_group("web", 8000000))
        async with running(api) as service:
            await settled(api, service)
        uuid = security_group("web", 8000000).uuid
        api.objects.pop(uuid)
        async with running(api) as service:
            await until(lambda: len(api.transactions) == 2)
            await settled(api, service)
        return api.objects

    assert asyncio.run(scenario()) == {}


def test_introspection_shows_derived_objects_with_their_inputs():
    async def scenario():
        red = virtual_network("red")
        api = FakeApi(red, routing_instance(red))
        async with running(api) as service:
            await settled(api, service)
            return list(tables(service)["derived"]()), list(tables(service)["revision"]())

    derived, (revision,) = asyncio.run(scenario())

    instance = next(row for row in derived if row["type"] == "routing-instance")
    assert instance["state"] == "in sync"
    assert "virtual-network default-domain:demo:red" in instance["inputs"]
    assert revision["seen"] == revision["committed"] == 2


def test_standby_follows_without_writing_and_writes_once_it_leads():
    async def scenario():
        api = FakeApi(security_group("web", 8000000))
        async with running(api) as service:
            service.lead(False)
            await until(lambda: service.seen_revision is not None)
            for _ in range(50):
                await asyncio.sleep(0)
            while_standing_by = len(api.transactions)
            service.lead(True)
            await until(lambda: api.transactions)
            return while_standing_by, len(api.transactions)

    assert asyncio.run(scenario()) == (0, 1)
