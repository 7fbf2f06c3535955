"""Several servers on one store: whoever decides on an old copy is told by the store.

Each server follows the store through a gate. A closed gate keeps its copy old, as a slow network
would, so every race runs in the one order that hurts.
"""

import asyncio
import random

import msgspec
import pytest

from skytrail.api import admission, operations, persistence
from skytrail.api.admission import Links
from skytrail.api.feed import Derived
from skytrail.api.io import shared
from skytrail.api.io.shared import Fenced
from skytrail.api.refusal import Refused
from skytrail.api.schema import Schema
from skytrail.api.service import ConfigService
from skytrail.model.catalog import CATALOG
from skytrail.store.io.memory import MemoryStore
from skytrail.store.plugin import StoreUnavailable

PROJECT = ["default-domain", "default-project"]
SCHEMA = Schema(CATALOG)


class Gated:
    """One server's way to the store."""

    def __init__(self, store):
        self._store = store
        self.open = asyncio.Event()
        self.open.set()
        self.fail_before = 0
        self.fail_after = 0
        self.down = False

    def __getattr__(self, name):
        return getattr(self._store, name)

    async def watch(self, prefix, from_revision):
        async for batch in self._store.watch(prefix, from_revision):
            await self.open.wait()
            yield batch

    async def revision(self):
        if self.down:
            raise StoreUnavailable("down")
        return await self._store.revision()

    async def transact(self, compares, then, otherwise=()):
        if self.down:
            raise StoreUnavailable("down")
        if self.fail_before:
            self.fail_before -= 1
            raise StoreUnavailable("nobody knows (it did not happen)")
        result = await self._store.transact(compares, then, otherwise)
        if self.fail_after:
            self.fail_after -= 1
            raise StoreUnavailable("nobody knows (it happened)")
        return result


class Server:
    def __init__(self, service, gate, task):
        self.service, self.gate, self.task = service, gate, task

    async def create(self, type_name, body):
        resource = SCHEMA.resources[type_name]
        written = await self.service.write(lambda c: admission.create(c, resource, dict(body)))
        return written.value.uuid

    async def update(self, uuid, body):
        def plan(change):
            record = change.view.get(uuid)
            if record is None:
                raise Refused(404, "gone")
            return admission.update(change, record, dict(body))

        return await self.service.write(plan)

    async def delete(self, uuid):
        def plan(change):
            record = change.view.get(uuid)
            if record is None:
                raise Refused(404, "gone")
            admission.delete(change, record, Links("http://here"))

        return await self.service.write(plan)

    async def network(self, name, prefix="10.0.0.0", length=24):
        subnet = {"subnet": {"ip_prefix": prefix, "ip_prefix_len": length}}
        ipam = {"to": [*PROJECT, "default-network-ipam"], "attr": {"ipam_subnets": [subnet]}}
        body = {"fq_name": [*PROJECT, name], "parent_type": "project", "network_ipam_refs": [ipam]}
        return await self.create("virtual-network", body)

    async def port(self, name, network):
        refs = [{"uuid": network}]
        body = {
            "fq_name": [*PROJECT, name], "parent_type": "project", "virtual_network_refs": refs
        }  # fmt: skip
        return await self.create("virtual-machine-interface", body)

    async def address(self, name, network):
        body = {"fq_name": [name], "virtual_network_refs": [{"uuid": network}]}
        return await self.create("instance-ip", body)

    async def caught_up(self):
        assert await self.service.shared.staleness() is None

    def behind(self):
        """Keep the copy old for a moment of the races to come."""
        self.gate.open.clear()
        asyncio.get_running_loop().call_later(0.02, self.gate.open.set)


def on_servers(scenario, count=2):
    async def run():
        store = MemoryStore()
        servers = []
        for _ in range(count):
            gate = Gated(store)
            service = await ConfigService.start(SCHEMA, gate, shared=True)
            servers.append(Server(service, gate, asyncio.ensure_future(service.run())))
        try:
            async with asyncio.timeout(60):
                return await scenario(*servers)
        finally:
            for server in servers:
                server.gate.open.set()
                server.task.cancel()
            await asyncio.gather(*(server.task for server in servers), return_exceptions=True)
            await store.close()

    return asyncio.run(run())


def contents(graph):
    """Return all a graph holds, in a form that compares."""
    return (
        {
            uuid: (r.mod_revision, r.create_revision, r.body, r.side)
            for uuid, r in graph.records.items()
        },
        graph.names,
        {pool: numbers for pool, numbers in graph.numbers.pools.items() if numbers},
        graph.memory,
        graph.note_revisions,
        graph.guards,
        graph.numbers.revisions,
    )


def test_what_one_server_acknowledged_every_server_shows():
    async def scenario(one, other):
        uuid = await one.network("red")
        await other.caught_up()
        return other.service.graph.get(uuid).fq_name

    assert on_servers(scenario) == (*PROJECT, "red")


def test_object_created_elsewhere_may_be_referred_to_at_once():
    async def scenario(one, other):
        other.behind()
        network = await one.network("red")
        return await other.port("p", network)

    assert on_servers(scenario)


def test_uuid_that_comes_back_as_another_object_is_the_same_to_every_server():
    async def scenario(one, other):
        network = await one.network("red")
        group = {"fq_name": [*PROJECT, "before"], "parent_type": "project"}
        uuid = await one.create("address-group", group)

        def recreate(change):
            admission.delete(change, change.view.get(uuid), Links("http://here"))
            body = {**group, "uuid": uuid, "fq_name": [*PROJECT, "after"]}
            return admission.create(change, SCHEMA.resources["address-group"], body)

        await one.service.write(recreate)
        await other.caught_up()
        late = await ConfigService.start(SCHEMA, one.gate, shared=True)
        same = contents(one.service.graph) == contents(other.service.graph) == contents(late.graph)
        await other.delete(uuid)
        await other.delete(network)
        return same

    assert on_servers(scenario)


def test_child_cannot_be_added_to_what_another_server_deletes():
    async def scenario(one, other):
        network = await one.network("red")
        await other.caught_up()
        other.behind()
        await one.delete(network)
        with pytest.raises(Refused) as refused:
            await other.port("p", network)
        return refused.value.status

    assert on_servers(scenario) == 400


def test_what_another_server_has_just_referred_to_cannot_be_deleted():
    async def scenario(one, other):
        network = await one.network("red")
        await other.caught_up()
        other.behind()
        await one.port("p", network)
        with pytest.raises(Refused) as refused:
            await other.delete(network)
        return refused.value.status

    assert on_servers(scenario) == 409


def test_quota_holds_over_servers():
    async def scenario(one, other):
        project = await one.create(
            "project", {"fq_name": ["default-domain", "small"], "quota": {"virtual_network": 1}}
        )
        await other.caught_up()
        other.behind()
        body = {"parent_type": "project", "fq_name": ["default-domain", "small", "a"]}
        await one.create("virtual-network", body)
        with pytest.raises(Refused) as refused:
            await other.create("virtual-network", {**body, "fq_name": [*body["fq_name"][:2], "b"]})
        return project, refused.value.status

    assert on_servers(scenario)[1] == 412


def test_one_name_and_one_uuid_have_one_owner():
    uuid = "11111111-2222-4333-8444-555555555555"

    async def scenario(one, other):
        one.behind()
        other.behind()
        network = {"fq_name": [*PROJECT, "same"], "parent_type": "project"}
        results = await asyncio.gather(
            one.create("virtual-network", network),
            other.create("virtual-network", network),
            one.create("virtual-network", {**network, "fq_name": [*PROJECT, "x"], "uuid": uuid}),
            other.create("security-group", {**network, "fq_name": [*PROJECT, "y"], "uuid": uuid}),
            return_exceptions=True,
        )
        return [each.status if isinstance(each, Refused) else "made" for each in results]

    results = on_servers(scenario)

    assert sorted(map(str, results[:2])) == ["409", "made"]
    assert sorted(map(str, results[2:])) == ["409", "made"]


@pytest.mark.parametrize("length", [16, 24])
def test_addresses_of_one_subnet_are_given_once(length):
    async def scenario(one, other):
        network = await one.network("red", length=length)
        await other.caught_up()
        await asyncio.gather(
            *(
                server.address(f"{n}-{id(server)}", network)
                for n in range(60)
                for server in (one, other)
            )
        )
        await one.caught_up()
        return [
            each.body["instance_ip_address"] for each in one.service.graph.of_type("instance-ip")
        ]

    addresses = on_servers(scenario)

    assert len(addresses) == len(set(addresses)) == 120


def test_concurrent_changes_of_one_object_lose_none():
    async def scenario(one, other):
        uuid = await one.network("red")
        await other.caught_up()

        def add(server, key):
            request = {
                "uuid": uuid,
                "updates": [{
                    "field": "annotations", "operation": "set",
                    "value": {"key": key, "value": key},
                }],
            }  # fmt: skip
            return server.service.write(lambda c: operations.edit_elements(c, dict(request)))

        names = [f"k{number}" for number in range(20)]
        await asyncio.gather(
            *(
                add(server, f"{name}-{place}")
                for name in names
                for place, server in enumerate((one, other))
            )
        )
        await one.caught_up()
        pairs = one.service.graph.get(uuid).body["annotations"]["key_value_pair"]
        return {pair["key"] for pair in pairs}

    assert len(on_servers(scenario)) == 40


def test_note_that_a_plan_read_and_rewrites_loses_nothing():
    async def scenario(one, other):
        def count(change):
            before = int(change.view.remembered("counter") or 0)
            change.view.remember("counter", str(before + 1))

        await asyncio.gather(
            *(server.service.write(count) for _ in range(15) for server in (one, other))
        )
        await one.caught_up()
        return one.service.graph.memory["counter"]

    assert on_servers(scenario) == "30"


@pytest.mark.parametrize("failing", ["fail_before", "fail_after"])
def test_commit_with_unknown_outcome_happens_exactly_once(failing):
    async def scenario(one, other):
        setattr(one.gate, failing, 1)
        uuid = await one.network("red")
        await other.caught_up()
        return uuid, [each.uuid for each in other.service.graph.of_type("virtual-network")].count(
            uuid
        )

    uuid, count = on_servers(scenario)

    assert uuid
    assert count == 1


def test_reads_go_on_and_tell_their_age_when_the_store_is_gone(monkeypatch):
    monkeypatch.setattr(shared, "PATIENCE_S", 0.05)
    monkeypatch.setattr(shared, "PROBE_EVERY_S", 0.01)

    async def scenario(one, other):
        uuid = await one.network("red")
        one.gate.down = True
        ages = [await one.service.shared.staleness() for _ in range(3)]
        with pytest.raises(Refused) as refused:
            await one.network("blue")
        held = one.service.graph.get(uuid) is not None
        one.gate.down = False
        return ages, refused.value.status, held, await one.network("blue")

    ages, status, held, made = on_servers(scenario)

    assert all(age is not None for age in ages)
    assert (status, held) == (503, True)
    assert made


def test_server_that_shares_with_nobody_ends_the_others():
    async def scenario(one, other):
        service = await ConfigService.start(SCHEMA, one.gate._store)
        del service
        with pytest.raises(ExceptionGroup) as ended:
            await one.task
        return ended.value

    assert on_servers(scenario).subgroup(Fenced) is not None


@pytest.mark.parametrize("seed", range(6))
def test_copies_agree_with_each_other_and_with_the_store_whatever_happens(seed):
    rng = random.Random(seed)

    async def work(server, networks):
        for number in range(25):
            if rng.random() < 0.3:
                server.behind()
            network = rng.choice(networks)
            try:
                match rng.randrange(6):
                    case 0:
                        await server.port(f"p{seed}-{number % 7}", network)
                    case 1:
                        await server.address(f"a{number % 7}", network)
                    case 2:
                        await server.delete(rng.choice(list(server.service.graph.records)))
                    case 3:
                        await server.update(network, {"display_name": str(number)})
                    case 4:
                        await server.network(f"n{number % 5}")
                    case 5:
                        await server.create("tag-type", {"fq_name": [f"t{number % 3}"]})
            except Refused:
                continue

    async def scenario(*servers):
        networks = [await servers[0].network(f"red{number}") for number in range(3)]
        await asyncio.gather(*(work(server, networks) for server in servers for _ in range(2)))
        for server in servers:
            await server.caught_up()
        fresh = await ConfigService.start(SCHEMA, servers[0].gate._store, shared=True)
        for server in servers:
            await server.caught_up()
        return [contents(server.service.graph) for server in servers], fresh.graph

    copies, loaded = on_servers(scenario, count=3)

    assert copies[0] == copies[1] == copies[2] == contents(loaded)
    for record in loaded.records.values():
        assert record.parent_uuid is None or record.parent_uuid in loaded.records
        assert all(target in loaded.records for _, target in record.targets)
    for pool, taken in loaded.numbers.pools.items():
        if pool.startswith("ip/"):
            assert all(owner in loaded.records for owner in taken.values()), pool


def test_loading_is_the_same_as_following():
    async def scenario(one, other):
        await one.network("red")
        await other.caught_up()
        loader = persistence.Loader(persistence.head_reader(SCHEMA), shared=True)
        page = await one.gate._store.range("/", limit=10_000)
        for item in page.items:
            loader.feed(item)
        return msgspec.json.encode(len(loader.finish().records)), other.service.graph.records

    count, records = on_servers(scenario)

    assert int(count) == len(records)


def test_ids_drawn_from_blocks_of_their_own_cost_no_server_a_second_plan():
    async def scenario(*servers):
        for name, server in zip("abc", servers, strict=True):
            server.service.shared.server = name  # Blocks are drawn by it.

        async def some(server, mark):
            for number in range(40):
                await server.create(
                    "virtual-network",
                    {"fq_name": [*PROJECT, f"{mark}{number}"], "parent_type": "project"},
                )

        await asyncio.gather(*(some(*each) for each in zip(servers, "abc", strict=True)))
        for server in servers:
            await server.caught_up()
        graph = servers[0].service.graph
        ids = [r.body["virtual_network_network_id"] for r in graph.of_type("virtual-network")]
        return ids, [each.service.shared.number_conflicts_count for each in servers]

    ids, conflicts = on_servers(scenario, count=3)

    assert len(set(ids)) == len(ids) >= 120
    assert conflicts == [0, 0, 0]


def test_a_lost_race_for_a_number_is_counted_as_one():
    async def scenario(one, other):
        network = await one.network("red")
        await other.caught_up()
        other.behind()
        await one.address("a", network)
        await other.address("b", network)
        return other.service.shared.number_conflicts_count

    assert on_servers(scenario) == 1


def test_an_id_freed_by_one_server_rests_for_all():
    async def scenario(one, other):
        uuid = await one.network("red")
        freed = one.service.graph.get(uuid).body["virtual_network_network_id"]
        await one.delete(uuid)
        await other.caught_up()
        numbers = other.service.graph.numbers
        return numbers.rests("virtual-network-id", freed), numbers.owner(
            "virtual-network-id", freed
        )

    assert on_servers(scenario) == (True, None)


def test_every_server_says_what_a_commit_was_derived_from():
    async def scenario(one, other):
        resource = SCHEMA.resources["namespace"]
        body = {"fq_name": ["default-domain", "derived"]}
        derived = await one.service.write(
            lambda change: admission.create(change, resource, body), derived_from=5
        )
        plain = await one.create("namespace", {"fq_name": ["default-domain", "asked"]})
        await other.caught_up()
        heard = [server.service.feed.since(derived.revision) for server in (one, other)]
        named = [[(b.revision, b.history, b.derived) for b in batches] for batches in heard]
        return plain, derived.revision, named

    _, revision, (one, other) = on_servers(scenario)

    assert one == other
    assert [derived for _, _, derived in one] == [Derived(5), None]
    assert one[0][0] == revision
