"""Which machines of the compiler's own each host has: copies of balancers, addresses to leave by.

A host gets the configuration of the machines that its virtual-router refers to; what others had it
refer to stays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from skytrail.compiler.derived import Derived, DerivedKey, FqName, Link, Outcome
from skytrail.compiler.engine import TablePass, View
from skytrail.compiler.passes import load_balancers, source_nat
from skytrail.model.derived_uuid import derived_uuid
from skytrail.model.generated.objects import VirtualRouter
from skytrail.model.source_nat import NAME_START

_OWN_STARTS: Final = (load_balancers.NAME_START, NAME_START)


def host_machines(view: View) -> dict[str, Outcome]:
    """Let hosts refer to these machines, beside what others refer them to."""
    wanted: dict[str, set[FqName]] = {}
    for host, machine in _placed(view):
        wanted.setdefault(host, set()).add(machine)
    outcomes: dict[str, Outcome] = {}
    for router in view.every(VirtualRouter):
        known = {each.to: each.uuid for each in router.virtual_machine_refs}
        own = {to for to, uuid in known.items() if not _is_made(uuid, to)}
        named = own | wanted.get(router.uuid, set())
        if named != own or own != known.keys():
            links = {"virtual_machine_refs": tuple(Link(each) for each in sorted(named))}
            key = DerivedKey(router.type_name, router.fq_name)
            derived = Derived(key, links=links, update_only=True)
            outcomes[router.uuid] = Outcome(derived=(derived,))
    return outcomes


def _placed(view: View) -> Iterator[tuple[str, FqName]]:
    """Yield (uuid of a virtual-router, machine)."""
    for _, balancer in view.rows("load_balancer", load_balancers.Placed):
        yield from balancer.machines
    for _, address in view.rows("source_nat", source_nat.Placed):
        yield address.host, address.machine


def _is_made(uuid: str, name: FqName) -> bool:
    return name[-1].startswith(_OWN_STARTS) and uuid == derived_uuid(load_balancers.MACHINE, name)


PASSES: Final = (
    TablePass(
        "host_machines",
        frozenset({VirtualRouter.type_name}),
        host_machines,
        upstream=("load_balancer", "source_nat"),
    ),
)
