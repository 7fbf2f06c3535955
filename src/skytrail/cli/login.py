"""``skytrail login``: get a token from the API and keep it in the user's file."""

from __future__ import annotations

import os
from pathlib import Path

import click

from skytrail.cli.access import config_file, read_config, remember, resolved
from skytrail.cli.help_text import examples
from skytrail.cli.passwords import ask_password, read_password
from skytrail.cli.place import given_access
from skytrail.cli.session import Refused, api_options, reported
from skytrail.client import ApiClient, Unauthenticated
from skytrail.client.access import Access
from skytrail.client.messages import Call, decode_reply


@click.command(
    epilog=examples(
        "skytrail login admin --api https://controller:8082 --ca ca.pem",
        "skytrail login admin --password-file /root/admin-password",
    )
)
@click.argument("user")
@click.option(
    "--password-file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Read the password from there instead of asking.",
)
@api_options
@click.pass_context
def login(ctx: click.Context, user: str, password_file: Path | None) -> None:
    """Log in as a local user; later commands use the token until it expires.

    The address and the authority's certificate are kept with it in ~/.config/skytrail/config.toml.
    """
    with reported():
        place, access = resolved(given_access(ctx))
    password = ask_password() if password_file is None else read_password(password_file)
    anonymous = Access(ca_file=access.ca_file)
    with reported(), ApiClient(place.url, unix_socket=place.socket, access=anonymous) as client:
        body: dict[str, object] = {"user": user, "password": password}
        try:
            content = client.call(Call("POST", "/api/v1/login", body=body))
        except Unauthenticated as error:
            raise Refused(error.text) from error  # Without the advice to log in.
        token = str(decode_reply(content, dict[str, object])["token"])
        path = config_file(os.environ)
        before = read_config(path)
        kept = {n: v for n, v in before.items() if n in ("api", "api_socket", "ca_file")}
        if place.by:
            kept["api"] = place.url
        if access.ca_file is not None:
            kept["ca_file"] = str(access.ca_file.resolve())
        remember(path, {**kept, "token": token})
    click.echo(f"Logged in as {user}; the token is in {path}")
    if before.get("token") not in (None, token):
        click.echo("It replaces the one that was there.", err=True)
