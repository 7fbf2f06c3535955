"""Compares what a topology expects with what packets show. Pure; ``check`` collects the evidence.

*Reached* means: the probe's token was seen in the destination and the answer came back. An address
that exists in two tenants may well answer: by the workload one may reach. That is isolation at work,
and noted as such; a token seen by anyone else is a leak and fails the cell.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from rich import box
from rich.table import Table as RichTable
from rich.text import Text

from skytrail.lab.topology import Expectation
from skytrail.lab.trace import without_uuids

IpAddress = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Member:
    """A workload or guest as far as judging needs it."""

    name: str
    network: tuple[str, ...]
    addresses: tuple[IpAddress, ...]
    observed: bool
    """True when arrivals in it can be seen (a namespace); False for a virtual machine."""

    def address(self, *, version: int) -> IpAddress | None:
        return next((item for item in self.addresses if item.version == version), None)


@dataclass(frozen=True, slots=True)
class Denial:
    """Why the datapath refused: a ``drop_reasons.h`` name, where, and the deciding rule."""

    reason: str
    host: str
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What happened to the probe of one expectation."""

    replied: bool
    arrived: frozenset[str]
    denial: Denial | None = None
    round_trip_s: float | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    expectation: Expectation
    evidence: Evidence
    reached: bool
    leaked: frozenset[str]
    twin: str
    """Name of the workload the source may reach that has the same address, or empty."""
    ok: bool

    @property
    def seen(self) -> str:
        """A few words for the matrix."""
        if self.leaked:
            return "LEAK to " + ", ".join(sorted(self.leaked))
        if self.reached:
            return "reply"
        if self.twin == self.expectation.source:
            return "isolated (own address)"
        if self.twin:
            return f"isolated (is {self.twin})"
        return self.evidence.denial.reason if self.evidence.denial else "no reply"

    @property
    def wanted(self) -> str:
        expectation = self.expectation
        return "reply" if expectation.reply else expectation.reason or "no reply"


def judge(
    expectation: Expectation,
    evidence: Evidence,
    members: Mapping[str, Member],
    allowed: Collection[tuple[str, str]] = (),
) -> Cell:
    """Compare one expectation with its evidence; ``allowed``: pairs that should reach each other."""
    destination = members[expectation.destination]
    twin = _twin(expectation, members, allowed)
    permitted = {destination.name} | ({twin} if twin else set[str]())
    leaked = evidence.arrived - permitted
    arrived = destination.name in evidence.arrived or (not destination.observed and not twin)
    reached = evidence.replied and arrived
    reason = evidence.denial.reason if evidence.denial else None
    ok = (
        reached == expectation.reply
        and not leaked
        and (expectation.reason is None or expectation.reason == reason)
        and (reached or not evidence.replied or bool(twin))
        and (expectation.reply or bool(twin) or reason is not None)
    )
    return Cell(
        expectation=expectation,
        evidence=evidence,
        reached=reached,
        leaked=leaked,
        twin=twin,
        ok=ok,
    )


def rounds(
    expectations: Sequence[Expectation], members: Mapping[str, Member]
) -> list[list[Expectation]]:
    """Split probes into rounds that may be sent together.

    No member has a part in two probes of a round, nor has one with the address of another's end:
    what a port counts meanwhile is about one probe.
    """
    found: list[tuple[set[str], list[Expectation]]] = []
    for expectation in expectations:
        touched = _touched(expectation, members)
        for busy, batch in found:
            if busy.isdisjoint(touched):
                busy |= touched
                batch.append(expectation)
                break
        else:
            found.append((touched, [expectation]))
    return [batch for _, batch in found]


def _touched(expectation: Expectation, members: Mapping[str, Member]) -> set[str]:
    """Return the ends of a probe, and everyone who has an address of theirs."""
    ends = (members[expectation.source], members[expectation.destination])
    addresses = {address for end in ends for address in end.addresses}
    twins = {each.name for each in members.values() if not addresses.isdisjoint(each.addresses)}
    return twins | {end.name for end in ends}


def _twin(
    expectation: Expectation,
    members: Mapping[str, Member],
    allowed: Collection[tuple[str, str]],
) -> str:
    source, destination = members[expectation.source], members[expectation.destination]
    version = 6 if expectation.protocol == "icmp6" else 4
    address = destination.address(version=version)
    for member in members.values():
        if (
            member.name != destination.name
            and address in member.addresses
            and (member.network == source.network or (source.name, member.name) in allowed)
        ):
            return member.name
    return ""


def matrix(cells: Sequence[Cell], names: Sequence[str]) -> RichTable:
    """The ping matrix: one row a source, one column a destination."""
    table = RichTable(title="Reachability (ping; row sends)", title_justify="left", box=box.ROUNDED)
    table.add_column("")
    for name in names:
        table.add_column(name, justify="center")
    found = {
        (cell.expectation.source, cell.expectation.destination): cell
        for cell in cells
        if cell.expectation.protocol == "icmp"
    }
    for source in names:
        row = [Text(source, style="bold")]
        row += [_cell_text(found.get((source, destination))) for destination in names]
        table.add_row(*row)
    return table


def probe_list(cells: Sequence[Cell]) -> RichTable:
    """Every probe that is not an IPv4 ping, and every wrong one."""
    table = RichTable(title="Other probes", title_justify="left", box=box.ROUNDED)
    for column in ("from", "to", "probe", "expected", "seen", "deciding rule"):
        table.add_column(column)
    for cell in cells:
        expectation = cell.expectation
        if expectation.protocol == "icmp" and cell.ok:
            continue
        port = f"/{expectation.port}" if expectation.port else ""
        denial = cell.evidence.denial
        table.add_row(
            expectation.source,
            expectation.destination,
            f"{expectation.protocol}{port}",
            cell.wanted,
            _cell_text(cell),
            Text(without_uuids(denial.rule) if denial else ""),
        )
    return table


def _cell_text(cell: Cell | None) -> Text:
    if cell is None:
        return Text("·", style="dim")
    if not cell.ok:
        return Text(f"WRONG: {cell.seen}, expected {cell.wanted}", style="bold white on red")
    return Text(cell.seen, style="green" if cell.reached else "yellow" if not cell.twin else "cyan")
