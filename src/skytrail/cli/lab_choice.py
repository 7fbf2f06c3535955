"""Which lab a command means; loads none of what builds labs."""

from __future__ import annotations

from collections.abc import Iterator

import click
import msgspec

from skytrail.cli.place import complete_lab, given_access
from skytrail.lab import labs, state
from skytrail.lab.state import LabError, LabState


def _else_the_groups(ctx: click.Context, _: click.Parameter, value: str | None) -> str | None:
    """Return what the option says, else what `skytrail --lab NAME ...` says."""
    return value or given_access(ctx).get("lab")


lab_option = click.option(
    "--lab",
    "lab_name",
    metavar="NAME",
    callback=_else_the_groups,
    shell_complete=complete_lab,
    help=f"Which lab; not needed while there is only one.  [env {labs.VARIABLE}]",
)


def readable_labs() -> Iterator[LabState]:
    """Yield the labs there are, by name; those that cannot be read are named and passed."""
    for name in labs.names():
        try:
            yield state.read(name)
        except (OSError, LabError, msgspec.DecodeError, UnicodeDecodeError) as error:
            click.echo(f"lab {name} cannot be read: {error}", err=True)
