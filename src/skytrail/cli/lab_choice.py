"""Which lab a command means; loads none of what builds labs."""

from __future__ import annotations

from collections.abc import Iterator

import click
import msgspec

from skytrail.lab import state
from skytrail.lab.state import LabError, LabState


def complete_lab(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
    """Shell completion of lab names."""
    return [name for name in state.names() if name.startswith(incomplete)]


lab_option = click.option(
    "--lab",
    "lab_name",
    metavar="NAME",
    shell_complete=complete_lab,
    help=f"Which lab; not needed while there is only one.  [env {state.VARIABLE}]",
)


def readable_labs() -> Iterator[LabState]:
    """Yield the labs there are, by name; those that cannot be read are named and passed."""
    for name in state.names():
        try:
            yield state.read(name)
        except (OSError, LabError, msgspec.DecodeError, UnicodeDecodeError) as error:
            click.echo(f"lab {name} cannot be read: {error}", err=True)
