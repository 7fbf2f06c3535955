"""``skytrail backup``, ``restore`` and ``move-store``: copies of the whole configuration."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

import click

from skytrail.cli.help_text import examples

_PLACE = "Folder of an embedded store, or etcd://HOST:PORT[,HOST:PORT...]."


@click.command(epilog=examples("skytrail backup --store /var/lib/skytrail/store config.gz"))
@click.option("--store", required=True, metavar="PLACE", help=_PLACE)
@click.option("--force", is_flag=True, help="Replace the file if there is one.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def backup(store: str, file: Path, *, force: bool) -> None:
    """Write the whole configuration, as of one revision, to FILE.

    Servers go on running meanwhile. The file holds keys and passwords.
    """
    _replace("backup", "--store", store, str(file), force=force)


@click.command(
    epilog=examples(
        "skytrail restore --store /var/lib/skytrail/store config.gz",
        "skytrail restore --store etcd://n1:2379,n2:2379,n3:2379 config.gz --force",
    )
)
@click.option("--store", required=True, metavar="PLACE", help=_PLACE)
@click.option("--force", is_flag=True, help="Replace what the store holds.")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
def restore(store: str, file: Path, *, force: bool) -> None:
    """Make a store hold what FILE holds.

    Refuses a store that holds something. Servers that run on it end.
    """
    _replace("restore", "--store", store, str(file), force=force)


@click.command(
    epilog=examples(
        "skytrail move-store --from /var/lib/skytrail/store --to etcd://n1:2379,n2:2379,n3:2379"
    )
)
@click.option("--from", "source", required=True, metavar="PLACE", help=_PLACE)
@click.option("--to", "target", required=True, metavar="PLACE", help=_PLACE)
@click.option("--force", is_flag=True, help="Replace what the target holds.")
def move_store(source: str, target: str, *, force: bool) -> None:
    """Move the configuration to another store and close the old one.

    Servers that run on either of them end.
    """
    _replace("move", "--from", source, "--to", target, force=force)


def _replace(*arguments: str, force: bool) -> NoReturn:
    # Replaced rather than started: it works on the store itself, which nothing here may open.
    command = [sys.executable, "-m", "skytrail.daemons.store", *arguments]
    command += ["--force"] if force else []
    os.execv(sys.executable, command)  # noqa: S606 - a fixed program, not through a shell
