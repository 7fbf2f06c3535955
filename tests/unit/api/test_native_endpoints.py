"""Transactions, allocation, watch and restart: what the other daemons rely on."""

from __future__ import annotations

import asyncio
import json

import pytest

from skytrail.api.io import watch
from skytrail.api.service import ConfigService, Fenced
from skytrail.api.transaction import OPERATIONS_COUNT_MAX
from skytrail.compiler.transactions import WRITES_COUNT_MAX
from skytrail.store.plugin import StoreUnavailable

PROJECT = ["default-domain", "default-project"]


def transact(api, *operations: dict, **more: object):
    return api.call("POST", "/api/v1/transaction", {"operations": list(operations), **more})


def test_operations_of_a_transaction_see_each_other(api) -> None:
    uuid = "11111111-1111-4111-8111-111111111111"
    reply = transact(
        api,
        {
            "op": "create",
            "type": "route-target",
            "object": {"uuid": uuid, "fq_name": ["target:1:2"]},
        },
        {"op": "create", "type": "virtual-network", "object": {"fq_name": [*PROJECT, "n"]}},
        {
            "op": "update",
            "type": "route-target",
            "uuid": uuid,
            "object": {"display_name": "seen"},
        },
        derived_from=5,
    )

    assert reply.json["results"][0] == {"uuid": uuid, "result": "created"}
    assert reply.json["revision"] == api.service.revision
    assert api.read("route-target", uuid)["display_name"] == "seen"


def test_a_transaction_happens_as_a_whole_or_not_at_all(api) -> None:
    before, count = api.service.revision, len(api.service.graph.records)

    reply = transact(
        api,
        {"op": "create", "type": "virtual-network", "object": {"fq_name": [*PROJECT, "n"]}},
        {"op": "delete", "type": "virtual-network", "uuid": "11111111-1111-4111-8111-111111111111"},
    )

    assert reply.status == 404
    assert reply.json["detail"].startswith("operation 1 (delete virtual-network): ")
    assert (api.service.revision, len(api.service.graph.records)) == (before, count)


def test_compiled_kinds_are_written_natively_by_the_compiler_alone(api) -> None:
    create = {"op": "create", "type": "route-target", "object": {"fq_name": ["target:1:2"]}}

    assert transact(api, create).status == 403
    assert transact(api, create, derived_from=1).status == 200


def test_derived_update_never_overwrites_what_its_author_has_not_seen(api) -> None:
    uuid = api.network("n")
    seen = api.service.revision
    update = {"op": "update", "type": "virtual-network", "uuid": uuid, "object": {"mtu": 1400}}
    assert transact(api, update).status == 200

    late = transact(api, {**update, "object": {"mtu": 1300}}, derived_from=seen)

    assert (late.status, "changed after revision" in late.text) == (409, True)
    assert api.read("virtual-network", uuid)["mtu"] == 1400
    assert transact(api, update, derived_from=api.service.revision).status == 200


def test_unknown_fields_are_refused_natively(api) -> None:
    create = {"op": "create", "type": "virtual-machine"}

    inner = transact(api, {**create, "object": {"fq_name": ["m"], "colour": 1}})
    outer = transact(api, {**create, "colour": 1, "object": {"fq_name": ["m"]}})

    assert (inner.status, outer.status) == (400, 400)
    assert "colour" in inner.text


def test_a_name_passes_on_within_a_transaction(api) -> None:
    uuid = api.network("n")

    reply = transact(
        api,
        {"op": "delete", "type": "virtual-network", "uuid": uuid},
        {"op": "create", "type": "virtual-network", "object": {"fq_name": [*PROJECT, "n"]}},
    )

    assert reply.status == 200
    renewed = reply.json["results"][1]["uuid"]
    assert renewed != uuid
    found = {"type": "virtual-network", "fq_name": [*PROJECT, "n"]}
    assert api.call("POST", "/fqname-to-id", found).json == {"uuid": renewed}
    again = api.restarted()
    assert again.call("POST", "/fqname-to-id", found).json == {"uuid": renewed}
    again.close()


def test_an_object_touched_and_deleted_in_one_transaction_is_gone(api) -> None:
    uuid = api.network("n")

    reply = transact(
        api,
        {"op": "update", "type": "virtual-network", "uuid": uuid, "object": {"display_name": "x"}},
        {"op": "delete", "type": "virtual-network", "uuid": uuid},
    )

    assert reply.status == 200
    assert api.call("GET", f"/virtual-network/{uuid}").status == 404
    assert api.network("n") != uuid


def test_a_deleted_uuid_may_come_back_as_something_else(api) -> None:
    uuid = api.create("virtual-router", fq_name=["default-global-system-config", "r"])
    tag = {"uuid": uuid, "fq_name": ["m"]}

    reply = transact(
        api,
        {"op": "delete", "type": "virtual-router", "uuid": uuid},
        {"op": "create", "type": "virtual-machine", "object": tag},
    )

    assert reply.status == 200, reply.text
    assert api.call("GET", "/virtual-routers").json == {"virtual-routers": []}
    changed = {"virtual-machine": {"display_name": "d"}}
    assert api.call("PUT", f"/virtual-machine/{uuid}", changed).status == 200
    assert api.call("DELETE", f"/virtual-machine/{uuid}").status == 200
    again = api.restarted()
    assert again.service.graph.get(uuid) is None
    again.close()


def test_an_object_too_large_to_keep_is_refused_alone(api) -> None:
    large = {"fq_name": ["m"], "display_name": "x" * 1_500_000}

    reply = transact(api, {"op": "create", "type": "virtual-machine", "object": large})

    assert reply.status == 413
    assert api.create("route-target", fq_name=["target:1:3"])


def test_allocation_is_unique_idempotent_and_survives_a_restart(api) -> None:
    def allocate(server, owner: str, **more: object):
        body = {"pool": "rt", "low": 8000000, "high": 8000002, "owner": owner, **more}
        return server.call("POST", "/api/v1/allocate", body)

    first = allocate(api, "a").json["value"]
    second = allocate(api, "b").json["value"]

    assert (first, second) == (8000000, 8000001)
    assert allocate(api, "a").json["value"] == first
    assert allocate(api, "c", want=first).status == 409
    again = api.restarted()
    assert allocate(again, "b").json["value"] == second
    assert allocate(again, "c").json["value"] == 8000002
    assert allocate(again, "d").status == 409
    free = {"pool": "rt", "value": first, "owner": "b"}
    assert again.call("POST", "/api/v1/free", free).status == 409
    assert again.call("POST", "/api/v1/free", free | {"owner": "a"}).status == 200
    assert allocate(again, "d").json["value"] == first
    again.close()


async def read_until(stream, kind: str) -> list[dict]:
    lines: list[dict] = []
    async for chunk in stream:
        lines += [json.loads(line) for line in chunk.splitlines()]
        if lines[-1]["kind"] == kind:
            return lines
    return lines


def test_a_watch_sends_a_snapshot_then_every_change(api) -> None:
    async def scenario() -> None:
        stream = watch.native(api.service, frozenset({"route-target"}), None)
        snapshot = await read_until(stream, "snapshot_end")
        create = {"route-target": {"fq_name": ["target:1:2"]}}
        made = await api.acall("POST", "/route-targets", create)
        uuid = made.json["route-target"]["uuid"]
        put = await read_until(stream, "revision_end")
        await api.acall("DELETE", f"/route-target/{uuid}")
        gone = await read_until(stream, "revision_end")
        await stream.aclose()

        assert [line["kind"] for line in snapshot] == ["snapshot_begin", "snapshot_end"]
        assert put[0]["object"]["fq_name"] == ["target:1:2"]
        assert (put[0]["uuid"], put[0]["revision"]) == (uuid, put[-1]["revision"])
        assert "href" not in put[0]["object"]
        assert gone[0] == {
            "kind": "delete", "type": "route-target", "uuid": uuid, "fq_name": ["target:1:2"],
            "revision": gone[-1]["revision"],
        }  # fmt: skip
        assert api.service.feed.watchers_count == 0

    api.loop.run_until_complete(scenario())


def test_a_watch_resumes_without_a_snapshot(api) -> None:
    async def scenario() -> None:
        known = api.service.revision
        create = {"route-target": {"fq_name": ["target:1:2"]}}
        await api.acall("POST", "/route-targets", create)
        resumed = watch.native(api.service, frozenset(), (known + 1, ""))
        lines = await read_until(resumed, "revision_end")
        await resumed.aclose()
        ancient = watch.native(api.service, frozenset(), (0, ""))
        full = await read_until(ancient, "snapshot_end")
        await ancient.aclose()

        assert [line["kind"] for line in lines] == ["put", "revision_end"]
        assert full[0]["kind"] == "snapshot_begin"

    api.loop.run_until_complete(scenario())


def test_a_watcher_that_was_up_to_date_resumes_across_a_restart(api) -> None:
    known = api.service.revision
    again = api.restarted()

    async def scenario() -> None:
        stream = watch.native(again.service, frozenset(), (known + 1, ""))
        lines = await read_until(stream, "bookmark")
        await stream.aclose()
        assert [line["kind"] for line in lines] == ["bookmark"]

    again.loop.run_until_complete(scenario())
    again.close()


async def first_kind(service, from_revision: int, history: str = "") -> str:
    stream = watch.native(service, frozenset(), (from_revision, history))
    chunk = await anext(stream)
    await stream.aclose()
    return json.loads(chunk.splitlines()[0])["kind"]


def test_a_watcher_that_missed_something_before_a_restart_gets_a_snapshot(api) -> None:
    known = api.service.revision
    api.create("route-target", fq_name=["target:1:2"])
    again = api.restarted()

    assert again.loop.run_until_complete(first_kind(again.service, known + 1)) == "snapshot_begin"
    again.close()


def test_a_revision_counts_only_with_the_history_that_led_to_it(api) -> None:
    known, history = api.service.revision, api.service.feed.history
    api.create("route-target", fq_name=["target:1:2"])
    later = api.service.feed.history

    kinds = [
        api.loop.run_until_complete(first_kind(api.service, known + 1, each))
        for each in (history, later, "0a1b")
    ]

    assert len({history, later}) == 2
    assert kinds == ["put", "snapshot_begin", "snapshot_begin"]


def test_a_restart_leads_to_the_same_history(api) -> None:
    api.create("route-target", fq_name=["target:1:2"])
    known, history = api.service.revision, api.service.feed.history
    again = api.restarted()

    kind = again.loop.run_until_complete(first_kind(again.service, known + 1, history))

    assert kind == "bookmark"
    again.close()


def test_a_watcher_of_a_revision_that_is_to_come_gets_a_snapshot(api) -> None:
    present = api.service.revision

    kinds = [
        api.loop.run_until_complete(first_kind(api.service, present + ahead)) for ahead in (1, 2, 9)
    ]

    assert kinds == ["bookmark", "snapshot_begin", "snapshot_begin"]


def test_a_watcher_from_before_the_kept_batches_gets_a_snapshot(api, monkeypatch) -> None:
    monkeypatch.setattr("skytrail.api.feed.BATCHES_COUNT_MAX", 2)
    known = api.service.revision
    for number in range(3):
        api.create("route-target", fq_name=[f"target:1:{number}"])

    kinds = [
        api.loop.run_until_complete(first_kind(api.service, known + after)) for after in (1, 2)
    ]

    assert kinds == ["snapshot_begin", "put"]


def test_too_many_operations_for_one_transaction_are_refused(api) -> None:
    before = api.service.revision
    delete = {"op": "delete", "type": "domain", "uuid": "11111111-1111-4111-8111-111111111111"}

    reply = transact(api, *[delete] * 4_001)

    text = "More than 4000 operations in one transaction"
    assert (reply.status, reply.json["detail"]) == (400, text)
    assert transact(api, *[delete] * 4_000).status == 404
    assert api.service.revision == before


def test_the_compiler_stays_below_the_bound_of_a_transaction() -> None:
    assert WRITES_COUNT_MAX <= OPERATIONS_COUNT_MAX // 2


def test_a_slow_watcher_is_cut_off(api, monkeypatch) -> None:
    monkeypatch.setattr("skytrail.api.feed.QUEUE_BATCHES_MAX", 3)

    async def scenario() -> int:
        stream = watch.native(api.service, frozenset(), None)
        await read_until(stream, "snapshot_end")
        for number in range(8):
            body = {"route-target": {"fq_name": [f"target:1:{number}"]}}
            await api.acall("POST", "/route-targets", body)
        chunks = [chunk async for chunk in stream]
        return len(chunks)

    assert api.loop.run_until_complete(scenario()) <= 1


def test_watchers_get_what_waits_for_them_in_small_chunks(api) -> None:
    async def scenario() -> list[list[int]]:
        wanted = {"network-policy": None}
        early = watch.native(api.service, frozenset(wanted), None)
        await read_until(early, "snapshot_end")
        for number in range(20):
            body = {"fq_name": [*PROJECT, f"p{number}"], "display_name": "x" * 20_000}
            await api.acall("POST", "/network-policys", {"network-policy": body})
        late = watch.native(api.service, frozenset(wanted), None)
        events = watch.server_sent(api.service, wanted, "http://x")
        sizes = []
        for stream in (early, late, events):
            sizes.append([len(await anext(stream)) for _ in range(5)])
            await stream.aclose()
        return sizes

    sizes = api.loop.run_until_complete(scenario())

    assert all(sum(stream) > 200_000 for stream in sizes)
    assert max(map(max, sizes)) < 100_000


def test_server_sent_events_start_with_init_and_follow(api) -> None:
    async def scenario() -> None:
        wanted = {"route-target": None}
        stream = watch.server_sent(api.service, wanted, "http://x")
        first = await anext(stream)
        body = {"route-target": {"fq_name": ["target:1:2"]}}
        made = await api.acall("POST", "/route-targets", body)
        uuid = made.json["route-target"]["uuid"]
        second = await anext(stream)
        await api.acall("DELETE", f"/route-target/{uuid}")
        third = await anext(stream)
        await stream.aclose()

        assert first == b'event: init\ndata: {"route-targets":[]}\n\n'
        assert second.startswith(b'event: create\ndata: {"route-target":{"uuid":"')
        assert third == b'event: delete\ndata: {"route-target":{"uuid":"%s"}}\n\n' % uuid.encode()

    api.loop.run_until_complete(scenario())


def test_concurrent_creates_of_one_name_have_one_winner(api) -> None:
    async def scenario() -> list[int]:
        body = {"virtual-network": {"fq_name": [*PROJECT, "n"]}}
        replies = await asyncio.gather(
            *(api.acall("POST", "/virtual-networks", body) for _ in range(10))
        )
        return sorted(reply.status for reply in replies)

    assert api.loop.run_until_complete(scenario()) == [200] + [409] * 9


def test_concurrent_addresses_are_all_different(api) -> None:
    network = api.network("n", api.subnet("10.0.0.0/24"))

    async def scenario() -> list[str]:
        await asyncio.gather(
            *(
                api.acall(
                    "POST",
                    "/instance-ips",
                    {
                        "instance-ip": {
                            "fq_name": [f"i{n}"],
                            "virtual_network_refs": [{"uuid": network}],
                        }
                    },
                )
                for n in range(100)
            )
        )
        return [r.body["instance_ip_address"] for r in api.service.graph.of_type("instance-ip")]

    addresses = api.loop.run_until_complete(scenario())
    assert len(addresses) == len(set(addresses)) == 100
    assert api.service.batches_count < 60


def test_a_reference_and_the_delete_of_its_target_cannot_both_win(api) -> None:
    policy = api.create("network-policy", fq_name=[*PROJECT, "p"])

    async def scenario() -> list[int]:
        body = {
            "virtual-network": {
                "fq_name": [*PROJECT, "n"],
                "network_policy_refs": [{"uuid": policy}],
            }
        }
        replies = await asyncio.gather(
            api.acall("POST", "/virtual-networks", body),
            api.acall("DELETE", f"/network-policy/{policy}"),
        )
        return [reply.status for reply in replies]

    assert api.loop.run_until_complete(scenario()) in ([200, 409], [400, 200])


def test_everything_is_back_after_a_restart(api) -> None:
    network = api.network("n", api.subnet("10.0.0.0/24"))
    address = api.address(network, "i").json["instance-ip"]["uuid"]
    before = api.call("GET", "/virtual-networks?detail=true").json
    whole = api.read("virtual-network", network)

    again = api.restarted()

    assert again.call("GET", "/virtual-networks?detail=true").json == before
    assert again.read("virtual-network", network) == whole
    following = again.address(network, "j").json["instance-ip"]["uuid"]
    taken = {again.read("instance-ip", u)["instance_ip_address"] for u in (address, following)}
    assert taken == {"10.0.0.252", "10.0.0.251"}
    assert len(again.service.graph.records) == len(api.service.graph.records) + 1
    again.close()


def test_a_second_server_fences_off_the_first(api) -> None:
    second = api.restarted()

    reply = api.call("POST", "/route-targets", {"route-target": {"fq_name": ["target:1:2"]}})

    assert reply.status == 503
    with pytest.raises(Fenced):
        api.loop.run_until_complete(api.writer)
    assert second.call("GET", "/route-targets").json == {"route-targets": []}
    second.close()


def test_an_unavailable_store_is_a_503_and_changes_nothing(api, monkeypatch) -> None:
    async def refuse(*arguments: object) -> None:
        raise StoreUnavailable("disk full")

    monkeypatch.setattr(api.store, "transact", refuse)
    reply = api.call("POST", "/route-targets", {"route-target": {"fq_name": ["target:1:2"]}})
    health = api.call("GET", "/healthz")
    monkeypatch.undo()
    after = api.call("POST", "/route-targets", {"route-target": {"fq_name": ["target:1:2"]}})

    assert (reply.status, health.status, after.status) == (503, 503, 200)
    assert isinstance(api.service, ConfigService)


def test_openapi_describes_every_type(api) -> None:
    page = api.call("GET", "/openapi.json").json

    assert page["openapi"] == "3.1.0"
    for resource in api.service.schema.resources.values():
        assert f"/{resource.name}s" in page["paths"]
        assert f"/{resource.name}/{{uuid}}" in page["paths"]
    text = json.dumps(page)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(page["components"]["schemas"])


def test_introspection_and_metrics_answer(api) -> None:
    rows = api.call("GET", "/introspect/types?type=domain").json["rows"]

    assert rows == [{"type": "domain", "count": 1}]
    assert b"skytrail_api_objects" in api.call("GET", "/metrics").body
    assert api.call("GET", "/healthz").json["healthy"] is True


def test_a_commit_of_unknown_outcome_that_happened_ends_the_process(api, monkeypatch) -> None:
    real = api.store.transact

    async def commit_then_fail(*arguments: object) -> None:
        await real(*arguments)
        raise StoreUnavailable("connection lost")

    monkeypatch.setattr(api.store, "transact", commit_then_fail)
    reply = api.call("POST", "/route-targets", {"route-target": {"fq_name": ["target:1:2"]}})

    assert reply.status == 503
    with pytest.raises(Fenced):
        api.loop.run_until_complete(api.writer)
