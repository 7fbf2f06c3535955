"""What a lab remembers of itself in ``/run/skytrail/lab/<name>/lab.json``."""

from __future__ import annotations

import contextlib
import os

import msgspec

from skytrail.lab import topology as topology_file
from skytrail.lab.labs import VARIABLE, directory, names
from skytrail.lab.plan import Paths, Plan, plan
from skytrail.lab.topology import Topology


class LabError(Exception):
    """The lab cannot do what was asked; the text says what to do."""


class LabState(msgspec.Struct, frozen=True, kw_only=True):
    """Written before anything is created, so that whatever exists can always be found again."""

    name: str
    source: str
    """Path of the topology file it was made from."""
    topology_text: str
    api_port: int
    api_port_fixed: bool = False
    """True when the user named the port: then no other is taken instead."""
    analytics_port: int = 0
    """Of the analytics node; 0: there is none."""

    def topology(self) -> Topology:
        return topology_file.parse(self.topology_text, self.source)

    def plan(self) -> Plan:
        return plan(self.topology(), self.name)


def paths_of(name: str) -> Paths:
    return Paths(directory() / name)


def read(name: str) -> LabState:
    """Return a lab's state; :class:`LabError` when there is none."""
    try:
        return msgspec.json.decode(paths_of(name).state.read_bytes(), type=LabState)
    except FileNotFoundError as error:
        known = ", ".join(names()) or "none"
        raise LabError(f"no lab {name!r} is up; labs that are: {known}") from error


def ports_taken(*, but_of: str) -> set[int]:
    """Return the ports of all other labs, which their daemons may be about to come back to."""
    found: set[int] = set()
    for name in names():
        # One may go down meanwhile.
        with contextlib.suppress(LabError):
            if name != but_of:
                known = read(name)
                found |= {known.api_port, known.analytics_port}
    return found


def write(state: LabState) -> Paths:
    paths = paths_of(state.name)
    paths.root.mkdir(parents=True, exist_ok=True)
    temporary = paths.state.with_suffix(".new")
    temporary.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
    temporary.rename(paths.state)
    return paths


def chosen_name() -> str:
    """Return the lab that ``$SKYTRAIL_LAB`` names, else the one that is up.

    :class:`LabError` when that lab is not up, or unless there is exactly one.
    """
    known = names()
    chosen = os.environ.get(VARIABLE)
    if chosen and chosen not in known:
        listed = ", ".join(known) or "none"
        raise LabError(f"no lab {chosen!r} is up, which {VARIABLE} names; labs that are: {listed}")
    if chosen:
        return chosen
    if len(known) == 1:
        return known[0]
    if known:
        raise LabError(
            f"several labs are up: {', '.join(known)}; choose one: --lab NAME or"
            f" {VARIABLE}=NAME (`lab down NAME`)"
        )
    raise LabError("no lab is up; start one: skytrail lab up FILE, or make demo KEEP=1")
