"""``skytrail user``: the local users of the API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast
from urllib.parse import quote

import click
from rich.table import Table

from skytrail.cli.help_text import examples
from skytrail.cli.passwords import ask_password, read_password
from skytrail.cli.session import Refused, Session, api_options, console, opened
from skytrail.client.messages import Call

_PATH = "/api/v1/users"


@click.group(epilog=examples("skytrail user add ann --role member", "skytrail user list"))
def user() -> None:
    """Add, list, change and remove local users."""


def _password(file: Path | None) -> str:
    if file is not None:
        return read_password(file)
    return ask_password(confirm=True)


_password_option = click.option(
    "--password-file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Read the password from there instead of asking.",
)


@user.command(
    epilog=examples(
        "skytrail user add ann --role member --project default-domain:red",
        "skytrail user add boss --role admin --password-file secret",
    )
)
@click.argument("name")
@click.option("--role", "roles", multiple=True, metavar="ROLE", help="May be given several times.")
@click.option("--project", metavar="PROJECT", help="Uuid or DOMAIN:PROJECT the user works in.")
@click.option("--force", is_flag=True, help="Set password and roles of an existing user anew.")
@_password_option
@api_options
def add(
    name: str,
    roles: tuple[str, ...],
    project: str | None,
    password_file: Path | None,
    *,
    force: bool,
) -> None:
    """Add a user. One that exists is left alone, unless --force."""
    with opened(writes=True) as session:
        if not force:
            _refuse_existing(session, name)  # Before a password is asked for.
        body: dict[str, object] = {"password": _password(password_file), "roles": list(roles)}
        if project is not None:
            body["project"] = project
        if force:
            session.client.call(Call("PUT", f"{_PATH}/{quote(name, safe='')}", body=body))
        else:
            session.client.call(Call("POST", _PATH, body={"name": name, **body}))
    click.echo(f"User {name} can log in")


def _refuse_existing(session: Session, name: str) -> None:
    found = json.loads(session.client.call(Call("GET", _PATH)))["users"]
    if any(each["name"] == name for each in found):
        raise Refused(
            f"User {name} exists already. Change it with `skytrail user roles {name} ROLE...` or"
            f" `skytrail user password {name}`, or set it anew with --force."
        )


@user.command(epilog=examples("skytrail user roles ann member", "skytrail user roles ann"))
@click.argument("name")
@click.argument("roles", metavar="[ROLE]...", nargs=-1)
@api_options
def roles(name: str, roles: tuple[str, ...]) -> None:
    """Set the roles of a user; none takes all away."""
    with opened(writes=True) as session:
        found = json.loads(session.client.call(Call("GET", _PATH)))["users"]
        if all(each["name"] != name for each in found):
            raise Refused(f"There is no user {name}. `skytrail user list` shows all.")
        body = {"roles": list(roles)}
        session.client.call(Call("PUT", f"{_PATH}/{quote(name, safe='')}", body=body))
    click.echo(f"User {name} has {'the roles ' + ', '.join(roles) if roles else 'no roles'}")


@user.command(name="list", epilog=examples("skytrail user list"))
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@api_options
def list_users(*, as_json: bool) -> None:
    """List the users with their roles and projects."""
    with opened() as session:
        content = session.client.call(Call("GET", _PATH))
    if as_json:
        click.echo(content.decode())
        return
    found = cast("list[dict[str, object]]", json.loads(content)["users"])
    table = Table("NAME", "ROLES", "PROJECT", box=None, pad_edge=False)
    for each in found:
        roles = ",".join(cast("list[str]", each["roles"]))
        table.add_row(str(each["name"]), roles or "-", str(each["project"] or "-"))
    console().print(table)


@user.command(epilog=examples("skytrail user remove ann"))
@click.argument("name")
@api_options
def remove(name: str) -> None:
    """Remove a user; its tokens end at once."""
    with opened(writes=True) as session:
        session.client.call(Call("DELETE", f"{_PATH}/{quote(name, safe='')}"))
    click.echo(f"User {name} is gone")


@user.command(epilog=examples("skytrail user password ann"))
@click.argument("name")
@click.option("--old-password-file", metavar="FILE",
              type=click.Path(dir_okay=False, path_type=Path),
              help="One's own password, where an administrator is not asking.")  # fmt: skip
@_password_option
@api_options
def password(name: str, old_password_file: Path | None, password_file: Path | None) -> None:
    """Change a password; all tokens of the user end."""
    old = read_password(old_password_file) if old_password_file else ""
    body: dict[str, object] = {"password": _password(password_file), "old_password": old}
    with opened(writes=True) as session:
        session.client.call(Call("POST", f"{_PATH}/{quote(name, safe='')}/password", body=body))
    click.echo(f"The password of {name} is changed")
