"""``skytrail host clean``: take away what an agent leaves on the host's links and in its firewall."""

from __future__ import annotations

import socket
from pathlib import Path

import click

from skytrail.cli.help_text import examples


@click.command(
    short_help="Take away what a removed agent left: queues on links, marks of packets.",
    epilog=examples("skytrail host clean"),
)
@click.option(
    "--socket", "path", metavar="PATH", type=click.Path(path_type=Path),
    default=Path("/run/skytrail-agent/agent.sock"), show_default=True,
    help="Where an agent would answer: it must have ended.",
)  # fmt: skip
def clean(path: Path) -> None:
    """Remove the queueing disciplines that QoS put on this host's links, and its nf_tables tables.

    `make uninstall` does so too. Other disciplines and tables stay, and so does the datapath: traffic goes on.
    """
    from skytrail.agent.io import host_marks, uplink_queues

    if _answers(path):
        raise click.ClickException(
            "an agent runs here and would put them back; first: systemctl disable --now skytrail-agent"
        )
    try:
        links = uplink_queues.remove_all()
        host_marks.install((), ())
    except OSError as error:
        raise click.ClickException(f"{error.strerror or error} (needs root)") from error
    for link in links:
        click.echo(f"{link}: queues removed")
    click.echo(f"nf_tables {host_marks.TABLE}: none left")


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as agent:
        try:
            agent.connect(str(path))
        except OSError:
            return False
    return True
