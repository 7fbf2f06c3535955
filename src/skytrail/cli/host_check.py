"""``skytrail host check``: whether this machine can be a compute host, and what to mend."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click
from rich.table import Table
from rich.text import Text

from skytrail.cli.help_text import examples
from skytrail.cli.lab import json_option, print_json
from skytrail.cli.session import console
from skytrail.net.decimal_text import bounded, decimal

if TYPE_CHECKING:
    from skytrail.agent.host_check import Finding

SETTINGS: Final = Path("/etc/skytrail/agent.env")
PINS: Final = Path("/sys/fs/bpf/skytrail")
_FLOWS_MIN: Final = 1024
_FLOWS_MAX: Final = 4_194_304
_FLOWS_DEFAULT: Final = 131072


@click.command(
    short_help="Tell whether this machine can be a compute host.",
    epilog=examples(
        "skytrail host check",
        "skytrail host check --underlay eth1 --address 192.0.2.21 --control 192.0.2.1 --mtu 1500",
    ),
)
@click.option("--underlay", metavar="LINK,...", help="The link, or links, that carry tunnels.")
@click.option(
    "--address", metavar="ADDRESS", help="This host's own address there; with several links, on lo."
)
@click.option(
    "--control", metavar="ADDRESS[:PORT],...", help="The control nodes the host is to use."
)
@click.option(
    "--flows",
    metavar="COUNT",
    type=click.IntRange(_FLOWS_MIN, _FLOWS_MAX),
    help="Connections it is to hold at once.",
)
@click.option(
    "--table",
    "tables",
    metavar="NAME=COUNT",
    multiple=True,
    help="Entries another table is to hold; may be given again.",
)
@click.option(
    "--mtu", metavar="BYTES", type=click.IntRange(576, 65535),
    help="MTU that workloads need; without, whatever fits.",
)  # fmt: skip
@click.option(
    "--settings", metavar="FILE", type=click.Path(path_type=Path), default=SETTINGS,
    show_default=True, help="The agent's settings, for what no option tells.",
)  # fmt: skip
@json_option
def check(
    underlay: str | None, address: str | None, control: str | None, flows: int | None,
    tables: Sequence[str], mtu: int | None, settings: Path, *, as_json: bool,
) -> None:  # fmt: skip
    """Look at the kernel, the underlay, the control nodes, the clock and memory of this machine.

    Changes nothing. Exits with status 1 when a row failed; each row that is not ok says what to do.
    """
    from skytrail.agent.host_check import Wanted, is_fit, judge
    from skytrail.agent.io.host_probe import probe

    told = _told(settings)
    options = _words(told.get("OPTIONS", ""), settings)
    wanted = Wanted(
        underlay=underlay or told.get("UNDERLAY", ""),
        address=address or told.get("ADDRESS", ""),
        controls=_controls(control or told.get("CONTROL", "")),
        flows=flows or _flows_of(_given(options, "--flows"), settings),
        tables=_sizes(tables or _given(options, "--table")),
        mtu_bytes=mtu or 0,
    )
    findings = judge(wanted, probe(wanted, PINS))
    if as_json:
        records = [
            {
                "check": each.subject,
                "state": each.verdict.value,
                "found": each.found,
                "what to do": each.advice,
            }
            for each in findings
        ]
        print_json({"fit": is_fit(findings), "checks": records})
    else:
        _print(findings)
    if not is_fit(findings):
        raise SystemExit(1)


def _print(findings: Sequence[Finding]) -> None:
    """Print a row for each finding, with what to do below what was found: four columns do not fit 80 characters."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("STATE", "CHECK"):
        table.add_column(name, no_wrap=True)
    table.add_column("FOUND", overflow="fold")
    for each in findings:
        told = Text(each.found)
        if each.advice:
            told.append(f"\n{each.advice}", style="bold")
        table.add_row(Text(each.verdict.value), Text(each.subject), told)
    console().print(table)


def _told(path: Path) -> Mapping[str, str]:
    """Settings as systemd reads them: NAME=VALUE a line, perhaps quoted."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise click.ClickException(f"{path} cannot be read: {error}") from error
    found: dict[str, str] = {}
    for line in lines:
        name, separator, value = line.strip().partition("=")
        if separator and not name.startswith(("#", ";")):
            value = value.strip()
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
            found[name.strip()] = value[1:-1] if quoted else value
    return found


def _words(options: str, path: Path) -> Sequence[str]:
    try:
        return shlex.split(options)
    except ValueError as error:
        raise click.ClickException(f"OPTIONS of {path}: {error}") from error


def _given(words: Sequence[str], option: str) -> list[str]:
    """Return what the agent is given for an option, each time."""
    found: list[str] = []
    for word, following in zip(words, [*words, ""][1:], strict=True):
        if word == option:
            found.append(following)
        elif word.startswith(f"{option}="):
            found.append(word.partition("=")[2])
    return found


def _sizes(texts: Sequence[str]) -> Mapping[str, int]:
    from skytrail.agent.table_sizes import read_sizes

    try:
        return read_sizes(texts)
    except ValueError as error:
        raise click.ClickException(f"--table: {error}") from error


def _flows_of(given: Sequence[str], path: Path) -> int:
    """Read the last ``--flows`` among the agent's options."""
    text = given[-1] if given else ""
    if not text:
        return _FLOWS_DEFAULT
    try:
        return bounded(text, _FLOWS_MIN, _FLOWS_MAX)
    except ValueError as error:
        raise click.ClickException(f"OPTIONS of {path}: --flows {error}") from error


def _controls(text: str) -> tuple[str, ...]:
    found = tuple(each.strip() for each in text.split(",") if each.strip())
    for each in found:
        _, separator, port = each.partition("@")[0].rpartition(":")
        if separator and decimal(port, 1, 65_535) is None:
            raise click.ClickException(f"control node {each!r} is not ADDRESS[:PORT]")
    return found
