"""The ``skytrail`` command: objects of the configuration, the lab, traces, status.

Command modules are imported only when they run, so that completion and ``--help`` stay fast.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Final

import click

from skytrail.cli.help_text import examples

__all__ = ["main"]

COMMANDS: Final = {
    # name: (module, one line for the overview)
    "get": ("get", "List objects, or show some of them in a table, JSON or YAML."),
    "describe": ("describe", "Show everything about an object, also what refers to it."),
    "create": ("create", "Create one object."),
    "apply": ("apply", "Create or change objects so that they match files."),
    "plan": ("plan", "Show what files would change, down to hosts and reachability."),
    "change": ("change", "Gather changes, review them, commit them together."),
    "history": ("history", "Tell who changed what and when; check the audit log."),
    "revert": ("history", "Take back a change, as a new change."),
    "delete": ("delete", "Delete objects, or say what blocks it."),
    "edit": ("edit", "Edit an object in your editor."),
    "types": ("types", "List object types, or explain the fields of one."),
    "lab": ("lab", "Build and look into labs: hosts, underlay, workloads, guests."),
    "host": ("host", "Look into the vRouter of this compute host, plug its ports."),
    "capture": ("capture", "Capture frames of workloads as a pcapng file."),
    "trace": ("trace", "Walk a packet from A to B through the actual tables."),
    "replay": ("replay", "Show what was said in a recorded session, or say it again."),
    "uve": ("analytics", "Show what processes say of networks, ports, hosts, peers now."),
    "logs": ("analytics", "Show what processes logged."),
    "sessions": ("analytics_tables", "Show what sessions workloads had, or sums of them."),
    "stats": ("analytics_tables", "Show numbers over time: traffic, drops, use of processes."),
    "underlay": ("underlay", "Show the way of an overlay flow through switches."),
    "alarms": ("alarms", "Show the alarms that stand; try rules over the past."),
    "introspect": ("introspect", "Show a table of what processes hold now, of all nodes."),
    "status": ("status", "Tell what runs and whether it is well."),
    "login": ("login", "Log in to the API; keep the token for later commands."),
    "user": ("user", "Add, list, change and remove the API's local users."),
    "host-certificate": ("hosts", "Issue what a host needs to reach a secure control node."),
    "up": ("up", "Run the controller alone: API, compiler, control node, analytics."),
    "backup": ("store", "Write the whole configuration to a file."),
    "restore": ("store", "Make a store hold what a backup holds."),
    "db-check": ("db_check", "Check that what the API's store holds is consistent."),
    "move-store": ("store", "Move the configuration to another store, also to a cluster."),
    "completion": ("completion", "Print the shell completion script."),
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and one-liners without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module = importlib.import_module(f"skytrail.cli.{entry[0]}")
        command = getattr(module, cmd_name.replace("-", "_"))
        if not isinstance(command, click.Command):
            raise TypeError(f"skytrail.cli.{entry[0]} has no command {cmd_name}")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            from skytrail.cli.names import did_you_mean

            raise click.UsageError(
                f"No command {args[0]!r}.{did_you_mean(args[0], COMMANDS)}", ctx=ctx
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def _complete_lab(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from skytrail.cli.place import complete_lab

    return complete_lab(ctx, parameter, incomplete)


@click.group(
    cls=LazyGroup,
    epilog=examples(
        "skytrail up --data /var/lib/skytrail",
        "skytrail get vn",
        "skytrail describe vn default-domain:demo:red",
        "skytrail plan -f network.yaml",
        "skytrail apply -f network.yaml",
        "skytrail lab up examples/two-tenants/topology.yaml",
    ),
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="skytrail", prog_name="skytrail")
@click.option("--api", metavar="URL", help="API address.  [env SKYTRAIL_API]")
@click.option(
    "--api-socket", metavar="PATH", help="API's Unix socket; wins.  [env SKYTRAIL_API_SOCKET]"
)
@click.option(
    "--lab",
    metavar="NAME",
    shell_complete=_complete_lab,
    help="The API, or the whole, of this lab.  [env SKYTRAIL_LAB]",
)
@click.option("--token", metavar="TOKEN", help="Who asks.  [env SKYTRAIL_TOKEN]")
@click.option(
    "--ca", metavar="FILE", help="Who signs the API's certificate (PEM).  [env SKYTRAIL_CA]"
)
@click.pass_context
def main(
    ctx: click.Context,
    api: str | None,
    api_socket: str | None,
    lab: str | None,
    token: str | None,
    ca: str | None,
) -> None:
    """Skytrail: virtual networks, policy and services on any IP underlay.

    Objects are named by their full name, DOMAIN:PROJECT:NAME. Shorter names are completed with the
    default project (SKYTRAIL_PROJECT, else default-domain:default-project) or found by their end
    when only one object fits.

    Without --api, --lab or a variable that names it, the server is the one you are logged in to,
    else the only one that runs here. Of several none is asked.

    Exit status: 0 done, 1 refused or not found, 2 wrong usage, 3 API not reachable.
    """
    from skytrail.cli.place import note_given

    note_given(ctx, {"api": api, "api_socket": api_socket, "lab": lab, "token": token, "ca": ca})


def run(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; for ``python -m skytrail.cli``."""
    main(args=None if arguments is None else list(arguments), prog_name="skytrail")
