"""How far a change has come, as the API tells: shown by describe, waited for by create and apply."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar
from urllib.parse import quote

import click

from skytrail.cli.names import FqName
from skytrail.cli.session import Refused, Session
from skytrail.cli.values import Json, items, mapping, text
from skytrail.client.messages import Call, decode_reply

WAIT_S: Final = 30.0
NOBODY_S: Final = 3.0
"""How long nobody may report who would have to act: a controller that just starts takes as long."""
POLL_S: Final = 0.2
DISTRIBUTED: Final = "distributed"
PROGRAMMED: Final = "programmed"
_WAITED_FOR: Final = {
    DISTRIBUTED: ("derived", DISTRIBUTED),
    PROGRAMMED: ("derived", DISTRIBUTED, PROGRAMMED),
}
"""What is waited for: hosts only on request, as one may be away for days."""

FunctionT = TypeVar("FunctionT", bound=Callable[..., object])


def wait_options(function: FunctionT) -> FunctionT:
    """Add the options that say whether to wait, and for what, as the argument ``wait``."""
    for name, until, what in (
        ("--wait-hosts", PROGRAMMED, "Return when every host that needs it has it, too."),
        ("--wait", DISTRIBUTED, "Return when all of it is derived and distributed."),
    ):
        function = click.option(name, "wait", flag_value=until, help=what)(function)
    return function


def conditions_of(session: Session, type_name: str, uuid: str) -> list[Json]:
    """Return the conditions of an object."""
    path = f"/api/v1/{quote(type_name)}/{quote(uuid)}/status"
    reply = decode_reply(session.client.call(Call("GET", path)), dict[str, object])
    return [mapping(each) for each in items(reply.get("conditions"))]


def lines(conditions: Iterable[Json]) -> Iterator[str]:
    """Yield one line per condition, and one per host that is not there yet."""
    for each in conditions:
        yield f"{each['type']}: {each['status']} ({text(each.get('detail'))})"
        for host in map(mapping, items(each.get("hosts"))):
            if host.get("state") != "programmed" and f"{host['host']}: " not in text(
                each["detail"]
            ):
                state = text(host.get("state")).replace("_", " ")
                yield f"  {host['host']}: {state}, {text(host.get('detail'))}"


def wait(
    session: Session,
    objects: Iterable[tuple[str, FqName]],
    *,
    until: str = DISTRIBUTED,
    limit_s: float = WAIT_S,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return when all objects are that far; Refused says which is not, and why."""
    begun = time.monotonic()
    for type_name, fq_name in objects:
        uuid = session.client.name_to_id(type_name, fq_name)
        while True:
            missing = [
                each
                for each in conditions_of(session, type_name, uuid)
                if each["type"] in _WAITED_FOR[until] and each["status"] != "true"
            ]
            if not missing:
                break
            title = f"{type_name} {':'.join(fq_name)}"
            last = missing[0]
            # A host that is away or lacks something may come round; what cannot be derived will not.
            waits = last["type"] == PROGRAMMED or last["reason"] == "pending"
            final = last["status"] == "false" and not waits
            # Unknown: no compiler or control node reports that could ever say so.
            bound_s = min(limit_s, NOBODY_S) if last["status"] == "unknown" else limit_s
            if final or time.monotonic() > begun + bound_s:
                words = "refused" if final else f"not {last['type']} after {bound_s:g} s"
                raise Refused(f"{title} is written, but {words}: {text(last.get('detail'))}")
            sleep(POLL_S)
