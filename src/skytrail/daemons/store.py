"""Copies of the whole configuration: backup, restore, move to another store.

    python -m skytrail.daemons.store backup  --store PLACE FILE
    python -m skytrail.daemons.store restore --store PLACE FILE [--force]
    python -m skytrail.daemons.store move    --from PLACE --to PLACE [--force]

A place is the folder of an embedded store or etcd://HOST:PORT[,HOST:PORT...].
"""

from __future__ import annotations

import asyncio
import gzip
import os
import sys
import zlib
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from skytrail.store import copy
from skytrail.store.copy import Advance, CopyRefused, Line
from skytrail.store.io.open import open_store
from skytrail.store.location import LocationInvalid, SqliteLocation, parse_location
from skytrail.store.plugin import ConfigStore, StoreUnavailable

_PLACE = "Folder of an embedded store, or etcd://HOST:PORT[,HOST:PORT...]."


@click.group()
def main() -> None:
    """Copy the whole configuration."""


@main.command()
@click.option("--store", "place", required=True, help=_PLACE)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
def backup(place: str, file: Path, *, force: bool) -> None:
    """Write the configuration, as of one revision, to FILE; servers may go on running."""
    if file.exists() and not force:
        raise click.ClickException(f"{file} exists; choose another name, or --force replaces it")
    _run(_backup(place, file))


@main.command()
@click.option("--store", "place", required=True, help=_PLACE)
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--force", is_flag=True, help="Replace what the store holds.")
def restore(place: str, file: Path, *, force: bool) -> None:
    """Make the store hold what FILE holds; ends servers that run on it."""
    _run(_restore(place, file, force=force))


@main.command()
@click.option("--from", "source", required=True, help=_PLACE)
@click.option("--to", "target", required=True, help=_PLACE)
@click.option("--force", is_flag=True, help="Replace what the target holds.")
def move(source: str, target: str, *, force: bool) -> None:
    """Copy the configuration to another store and close the old one; ends servers on both."""
    _run(_move(source, target, force=force))


def _run(work: object) -> None:
    try:
        asyncio.run(work)  # type: ignore[arg-type] # always one of the coroutines below
    except (CopyRefused, StoreUnavailable, LocationInvalid, OSError, EOFError) as error:
        raise click.ClickException(str(error)) from error


async def _backup(place: str, file: Path) -> None:
    partial = file.with_name(f"{file.name}.partial")
    async with _opened(place, existing=True) as store:
        revision = await store.revision()
        total = await _count(store, revision)
        with _progress("backup", total) as advance:
            # It holds keys and passwords.
            descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as raw, gzip.GzipFile(fileobj=raw, mode="wb") as out:
                async for line in copy.lines_of(store, revision, advance):
                    out.write(line)
            _sync(partial)
    partial.replace(file)
    print(f"{file}: {total} keys as of revision {revision}")


async def _restore(place: str, file: Path, *, force: bool) -> None:
    try:
        with gzip.open(file, "rb") as lines:
            held = list(copy.read_lines(lines))
    except (CopyRefused, OSError, EOFError, zlib.error) as error:
        raise CopyRefused(f"{file}: {error}") from error
    async with _opened(place) as store:
        with _progress("restore", len(held)) as advance:
            await copy.fill(store, held, advance, force=force)
    print(f"{place}: {len(held)} keys restored from {file}; start the API on it")


async def _move(source: str, target: str, *, force: bool) -> None:
    if parse_location(source) == parse_location(target):
        raise CopyRefused("source and target are the same store")
    async with (
        _opened(source, existing=True) as old,
        _opened(target) as new,
        copy.closed_while_moved(old, target) as revision,
    ):
        held = [
            Line(item.key, item.create_revision, item.value)
            async for item in copy.items_of(old, revision)
        ]
        with _progress("move", len(held)) as advance:
            await copy.fill(new, held, advance, force=force)
    print(f"{len(held)} keys moved from {source} to {target}; start the API with --store {target}")


@asynccontextmanager
async def _opened(place: str, *, existing: bool = False) -> AsyncGenerator[ConfigStore]:
    location = parse_location(place)
    if existing and isinstance(location, SqliteLocation) and not location.path.exists():
        raise CopyRefused(f"there is no store in {location.path.parent}")
    store = await open_store(location)
    try:
        yield store
    finally:
        await store.close()


async def _count(store: ConfigStore, revision: int) -> int:
    count = 0
    async for _ in copy.items_of(store, revision):
        count += 1
    return count


@contextmanager
def _progress(what: str, total: int) -> Generator[Advance]:
    columns = (
        TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    bar = Progress(*columns, console=Console(stderr=True))
    task = bar.add_task(what, total=total)
    begun = False

    def advance(count: int) -> None:
        nonlocal begun
        if not begun:
            begun = True
            bar.start()  # Not before: what is refused shows no bar.
        bar.advance(task, count)

    try:
        yield advance
    finally:
        if begun:
            bar.stop()


def _sync(path: Path) -> None:
    with path.open("rb") as written:
        os.fsync(written.fileno())


if __name__ == "__main__":
    sys.exit(main())
