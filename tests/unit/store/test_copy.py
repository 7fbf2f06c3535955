"""Whole stores copied: everything arrives, nothing half, nothing over what is there."""

import asyncio
import gzip

import pytest
from click.testing import CliRunner

from skytrail.api.schema import Schema
from skytrail.api.service import ConfigService, Fenced
from skytrail.daemons.store import main
from skytrail.model.catalog import CATALOG
from skytrail.store import copy
from skytrail.store.copy import CopyRefused
from skytrail.store.io.memory import MemoryStore
from skytrail.store.io.sqlite import SqliteStore
from skytrail.store.plugin import Put, StoreClosed, StoreUnavailable


async def filled(store, count=1500):
    for number in reversed(range(count)):
        await store.transact((), (Put(f"/o/thing/{number:05}", b"v" * 40 + str(number).encode()),))
    await store.transact(
        (), (Put("/v/u/guard", b""), Put("/e/mark/x", b"1"), Put("/e/derived", b"7"))
    )
    return store


async def contents(store):
    return {item.key: item.value async for item in copy.items_of(store, await store.revision())}


async def backup_of(store):
    return [line async for line in copy.lines_of(store, await store.revision(), lambda _: None)]


def test_backup_restored_elsewhere_holds_the_same_in_the_order_of_creation():
    async def scenario():
        source, target = await filled(MemoryStore()), MemoryStore()
        done = []
        lines = list(copy.read_lines(await backup_of(source)))
        await copy.fill(target, lines, done.append)
        first, last = await target.get("/o/thing/01499"), await target.get("/o/thing/00000")
        return await contents(source), await contents(target), done, first, last

    before, after, done, first, last = asyncio.run(scenario())

    assert after == before
    assert set(before) == {*(f"/o/thing/{n:05}" for n in range(1500)), "/e/derived"}
    assert sum(done) == 1501
    assert first.create_revision < last.create_revision


def test_backup_is_of_one_revision_while_others_write():
    async def scenario():
        source = await filled(MemoryStore(), 5)
        lines = []
        async for line in copy.lines_of(source, await source.revision(), lambda _: None):
            lines.append(line)
            await source.transact((), (Put(f"/z/{len(lines)}", b""),))
        return {line.key for line in copy.read_lines(lines)}

    assert asyncio.run(scenario()) == {*(f"/o/thing/{n:05}" for n in range(5)), "/e/derived"}


def test_store_that_holds_something_is_replaced_only_by_force():
    async def scenario():
        source, target = await filled(MemoryStore(), 3), await filled(MemoryStore(), 9)
        lines = list(copy.read_lines(await backup_of(source)))
        before = await contents(target)
        with pytest.raises(CopyRefused, match="10 keys already; --force"):
            await copy.fill(target, lines, lambda _: None)
        unchanged = await contents(target) == before
        await copy.fill(target, lines, lambda _: None, force=True)
        return unchanged, await contents(target), await contents(source)

    unchanged, after, wanted = asyncio.run(scenario())

    assert unchanged
    assert after == wanted


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda lines: lines[:-1], "cut off"),
        (lambda lines: [*lines[:2], *lines[3:]], "checksum"),
        (lambda lines: [*lines[:2], lines[2].replace(b"thing", b"thong"), *lines[3:]], "checksum"),
        (lambda lines: [*lines[:2], b"{\n", *lines[3:]], "line 3"),
        (lambda lines: [*lines[:2], b'{"type":"\xff"}\n', *lines[3:]], "line 3"),
        (lambda lines: lines[1:], "not a backup"),
        (
            lambda lines: [b'{"type":"head","format":99,"revision":1}\n', *lines[1:]],
            "newer release",
        ),
        (lambda lines: [*lines, *lines], "not a backup"),
    ],
)
def test_damaged_backup_is_refused_with_the_reason(damage, reason):
    lines = asyncio.run(_lines())

    with pytest.raises(CopyRefused, match=reason):
        list(copy.read_lines(damage(lines)))


async def _lines():
    return await backup_of(await filled(MemoryStore(), 4))


def test_interrupted_restore_leaves_a_store_no_server_starts_on():
    async def scenario():
        target = MemoryStore()
        lines = list(copy.read_lines(await _lines()))

        def interrupt(_count):
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await copy.fill(target, lines, interrupt)
        with pytest.raises(StoreUnavailable, match="repeat the restore with --force"):
            await ConfigService.start(Schema(CATALOG), target)
        with pytest.raises(CopyRefused):
            await copy.fill(target, lines, lambda _: None)
        await copy.fill(target, lines, lambda _: None, force=True)
        return await target.get(copy.CLOSED)

    assert asyncio.run(scenario()) is None


def test_moved_configuration_serves_from_the_new_store_and_not_from_the_old(tmp_path):
    old, new, file = tmp_path / "old", tmp_path / "new", tmp_path / "copy.gz"

    async def served(place):
        store = await SqliteStore.open(place / "config.db")
        try:
            service = await ConfigService.start(Schema(CATALOG), store)
            return {uuid: record.body for uuid, record in service.graph.records.items()}
        finally:
            await store.close()

    before = asyncio.run(served(old))
    runner = CliRunner()
    moved = runner.invoke(main, ["move", "--from", str(old), "--to", str(new)])
    again = runner.invoke(main, ["move", "--from", str(old), "--to", str(new)])
    saved = runner.invoke(main, ["backup", "--store", str(new), str(file)])
    twice = runner.invoke(main, ["backup", "--store", str(new), str(file)])

    assert moved.exit_code == 0, moved.output
    assert asyncio.run(served(new)) == before
    assert again.exit_code == 1
    assert "--force" in again.output
    with pytest.raises(StoreUnavailable, match=f"moved to {new}"):
        asyncio.run(served(old))
    assert saved.exit_code == 0, saved.output
    assert twice.exit_code == 1
    assert file.stat().st_mode & 0o777 == 0o600
    with gzip.open(file) as lines:
        assert len(list(copy.read_lines(lines))) > len(before)


def test_move_ends_the_server_of_the_old_store():
    async def scenario():
        store = MemoryStore()
        service = await ConfigService.start(Schema(CATALOG), store)
        await copy.close_for_servers(store, "it was moved")
        running = asyncio.ensure_future(service.run())
        change = service.write(lambda c: c.view.remember("k", "v"))
        results = await asyncio.gather(running, change, return_exceptions=True)
        return results[0]

    assert isinstance(asyncio.run(scenario()), Fenced)


def test_server_of_a_closed_store_ends_although_nobody_writes():
    async def scenario():
        store = MemoryStore()
        service = await ConfigService.start(Schema(CATALOG), store)
        await copy.close_for_servers(store, "it was moved")
        with pytest.raises(Fenced, match="a move"):
            await service.keep_fence(every_s=0.0)
        with pytest.raises(StoreClosed, match="it was moved"):
            await ConfigService.start(Schema(CATALOG), store)

    asyncio.run(scenario())


def test_store_is_closed_during_a_move_and_open_again_when_it_fails():
    async def scenario():
        store = MemoryStore()

        async def move():
            async with copy.closed_while_moved(store, "etcd://n1"):
                with pytest.raises(StoreClosed, match="being moved to etcd://n1"):
                    await ConfigService.start(Schema(CATALOG), store)
                raise CopyRefused("full")

        with pytest.raises(CopyRefused, match="full"):
            await move()
        await ConfigService.start(Schema(CATALOG), store)

    asyncio.run(scenario())


def test_missing_store_is_not_made_up(tmp_path):
    result = CliRunner().invoke(
        main, ["backup", "--store", str(tmp_path / "no"), str(tmp_path / "f")]
    )

    assert result.exit_code == 1
    assert "there is no store" in result.output
    assert not (tmp_path / "no").exists()
