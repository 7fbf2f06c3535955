"""``skytrail underlay``: the way of an overlay flow through switches."""

from __future__ import annotations

from urllib.parse import urlencode

import click
from rich.table import Table
from rich.text import Text

from skytrail.cli import output
from skytrail.cli.analytics import checked_time
from skytrail.cli.analytics_node import node_options, opened_node
from skytrail.cli.help_text import examples
from skytrail.cli.session import console, reported
from skytrail.cli.values import Json, mapping, text
from skytrail.runtime.terminal import printable

_FOUND: dict[str, str] = {
    "flow": "switches sampled the flow itself",
    "tunnel": "switches told of the tunnel between its hosts, not of the flow",
    "topology": "no switch told of it: the shortest way of the known links",
    "nothing": "no host or switch told of such a flow",
}
_NO_WAY = "no switch told of it, and no link between its hosts is known"


@click.command(
    epilog=examples(
        "skytrail underlay 10.1.0.3 10.1.0.4",
        "skytrail underlay 10.1.0.3 10.1.0.4 --port 443 --protocol 6 --last 1h --json",
    )
)
@click.argument("source", metavar="ADDRESS")
@click.argument("destination", metavar="ADDRESS")
@click.option("--port", type=click.IntRange(0, 65_535), metavar="N", help="Of the destination.")
@click.option("--source-port", type=click.IntRange(0, 65_535), metavar="N", help="Of the source.")
@click.option("--protocol", type=click.IntRange(0, 255), metavar="N", help="Its number.")
@click.option("--network", metavar="NAME", help="Of the source, in full.")
@click.option("--last", default="10m", show_default=True, metavar="TIME", help="As in 30s, 2h, 7d.")
@click.option("--json", "as_json", is_flag=True, help="Print nodes, links and path as JSON.")
@node_options
def underlay(
    url: str | None, lab_name: str | None, source: str, destination: str, port: int | None,
    source_port: int | None, protocol: int | None, network: str | None, last: str, *, as_json: bool,
) -> None:  # fmt: skip
    """Show which switches a flow from one workload to another passes.

    Switches tell by sFlow or IPFIX what they saw. How they are connected is known as far as a
    generator tells it (PRouterLinkEntry).
    """
    members = {
        "source": source, "destination": destination, "destination_port": port,
        "source_port": source_port, "protocol": protocol, "network": network,
        "start_time": f"now-{checked_time(last)}",
    }  # fmt: skip
    asked = urlencode({name: value for name, value in members.items() if value is not None})
    with reported():
        node = opened_node(url, lab_name)
        found = mapping(node.call("GET", f"/analytics/underlay-path?{asked}"))
    if as_json:
        output.print_json(found)
        return
    _show(found)


def _show(found: Json) -> None:
    by = text(found.get("found_by"))
    path = found.get("path")
    tunnel = mapping(found.get("tunnel"))
    if tunnel.get("source"):
        output.note(f"tunnel {tunnel['source']} -> {tunnel['destination']}")
    output.note(_NO_WAY if tunnel.get("source") and by == "nothing" else _FOUND.get(by, by))
    if not isinstance(path, list) or not path:
        return
    if not found.get("is_ordered"):
        output.note("how they are connected is not known: they are in no order")
    listed = found.get("nodes")
    nodes = {
        text(mapping(each).get("id")): mapping(each)
        for each in (listed if isinstance(listed, list) else [])
    }
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("NODE", "KIND", "SEEN", "PACKETS", "IN", "OUT"):
        table.add_column(name)
    for name in path:
        node = nodes.get(text(name), {})
        seen = mapping(node["seen"]) if isinstance(node.get("seen"), dict) else {}
        cells = (
            text(name),
            text(node.get("kind")),
            *(_shown(seen.get(member)) for member in ("by", "packets")),
            *(_shown(seen.get(f"{way}_interfaces")) for way in ("input", "output")),
        )
        table.add_row(*(Text(printable(cell)) for cell in cells))
    console().print(table)


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return "" if value is None else str(value)
