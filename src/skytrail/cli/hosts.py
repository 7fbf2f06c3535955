"""``skytrail host-certificate``: certificates for hosts and further control nodes."""

from __future__ import annotations

import re
from ipaddress import ip_address
from pathlib import Path

import click

from skytrail.cli.help_text import examples
from skytrail.runtime.certificates import Authority

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?")


@click.command(
    epilog=examples(
        "skytrail host-certificate compute-7 --data /var/lib/skytrail --out compute-7",
        "skytrail host-certificate control-2 --serves 192.0.2.11 --data /var/lib/skytrail --out c2",
    )
)
@click.option(
    "--data",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Data folder of a controller that runs with --secure.",
)
@click.option(
    "--out",
    required=True,
    metavar="FOLDER",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where ca.pem, certificate.pem and key.pem go; files there are replaced.",
)
@click.option(
    "--serves",
    multiple=True,
    metavar="ADDRESS",
    help="It is for a control node, which agents call by this address or name. Repeatable.",
)
@click.argument("name")
def host_certificate(data: Path, out: Path, serves: tuple[str, ...], name: str) -> None:
    """Issue the certificate with which the agent of host NAME reaches control nodes.

    NAME is that of the virtual-router object. Copy the folder to the host by a way you trust, and
    start its agent with --xmpp-tls FOLDER. Renewal is the same command again: agents and control
    nodes take changed files for their next sessions.
    """
    authority = data / "security" / "hosts"
    if not (authority / "ca.key").exists():
        raise click.UsageError(
            f"there is no authority of hosts in {authority}; start the controller once with "
            f"'skytrail up --data {data} --secure'"
        )
    for each in (name, *serves):
        if not _NAME.fullmatch(each) and not _is_address(each):
            raise click.UsageError(f"{each!r} is neither a host's name nor an address")
    try:
        Authority(authority).issue_folder(out, name, hosts=serves or (name,), is_client=not serves)
    except (OSError, ValueError, TypeError) as error:
        raise click.ClickException(f"cannot issue a certificate to {out}: {error}") from error
    click.echo(f"{out}: ca.pem certificate.pem key.pem")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
