"""Route targets: the own one of routing instances and logical routers, and lists of users.

Numbers are a function of current state: an owner keeps the route target it refers to, a fresh one
starts looking at a hash of its uuid. Numbers therefore do not depend on the order of events, and a
freed one is not handed to the next network while routes of the former owner may still travel
(docs/adr/0051).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from skytrail.compiler.derived import Outcome, Violation
from skytrail.compiler.engine import TablePass, View
from skytrail.compiler.intent import ReadKey
from skytrail.compiler.passes.chain import chain_id_of
from skytrail.model.derived_uuid import derived_uuid
from skytrail.model.generated.objects import (
    Bgpvpn,
    GlobalSystemConfig,
    LogicalRouter,
    RouteTarget,
    RoutingInstance,
    VirtualNetwork,
)
from skytrail.model.generated.types import RouteTargetList, StaticRouteType
from skytrail.model.objects import ConfigObject
from skytrail.net import RouteTarget as RouteTargetValue

INSTANCE: Final = RoutingInstance.type_name
ROUTER: Final = LogicalRouter.type_name
TARGET: Final = RouteTarget.type_name
SYSTEM_CONFIG_NAME: Final = ("default-global-system-config",)
ASN_DEFAULT: Final = 64512
ASN_TWO_BYTES_MAX: Final = 65535
NUMBERS_TWO_BYTE_AS: Final = range(8_000_000, 1 << 24)
NUMBERS_FOUR_BYTE_AS: Final = range(8_000, 32_769)
OWNER_KINDS: Final = frozenset({INSTANCE, ROUTER})


@dataclass(frozen=True, slots=True)
class Targets:
    """Route targets an instance imports and exports."""

    imports: frozenset[str] = frozenset()
    exports: frozenset[str] = frozenset()

    @classmethod
    def both(cls, *texts: str) -> Targets:
        return cls(frozenset(texts), frozenset(texts))

    def __or__(self, other: Targets) -> Targets:
        return Targets(self.imports | other.imports, self.exports | other.exports)

    def directions(self) -> dict[str, str | None]:
        """Return each target with its direction, as references say it; None stands for both."""
        found: dict[str, str | None] = dict.fromkeys(self.imports, "import")
        found.update(dict.fromkeys(self.exports, "export"))
        found.update(dict.fromkeys(self.imports & self.exports))
        return found


@dataclass(frozen=True, slots=True)
class Membership:
    """What others ask of the default instance of a network."""

    targets: Targets = Targets()
    peers: frozenset[str] = frozenset()
    """Full names of networks whose instances this one is connected to."""
    routes: frozenset[StaticRouteType] = frozenset()
    leaves_by_host: bool = False
    """Its workloads reach the underlay by their hosts' addresses."""

    def __or__(self, other: Membership) -> Membership:
        return Membership(
            self.targets | other.targets,
            self.peers | other.peers,
            self.routes | other.routes,
            self.leaves_by_host or other.leaves_by_host,
        )


@dataclass(frozen=True, slots=True)
class OwnTarget:
    """The route target that belongs to one routing instance or logical router alone."""

    route_target: str
    number: int
    is_settled: bool
    """True when the stored owner refers to it already and would rather have no other it holds."""


@dataclass(frozen=True, slots=True)
class _Numbers:
    asn: int
    pool: range

    def text(self, number: int) -> str:
        return f"target:{self.asn}:{number}"

    def held(self, owner: RoutingInstance | LogicalRouter) -> list[int]:
        """Return the numbers of this pool the owner has for both directions, likeliest own first.

        Targets of logical routers are shared for both directions too. A number near the place where
        the owner's search starts is more likely its own.
        """
        prefix = f"target:{self.asn}:"
        found = {
            int(name.removeprefix(prefix))
            for name in _claimed_names(owner)
            if name.startswith(prefix) and name.removeprefix(prefix).isdecimal()
        }
        start = self._start(owner.uuid)
        return sorted(
            (number for number in found if number in self.pool),
            key=lambda number: (number - self.pool.start - start) % len(self.pool),
        )

    def candidates(self, uuid: str) -> Iterator[int]:
        """Yield every number of the pool, starting at a place that depends on the uuid."""
        start = self._start(uuid)
        for step in range(len(self.pool)):
            yield self.pool[(start + step) % len(self.pool)]

    def _start(self, uuid: str) -> int:
        digest = hashlib.blake2b(uuid.encode(), digest_size=8).digest()
        return int.from_bytes(digest) % len(self.pool)


def assign_targets(view: View) -> dict[str, Outcome]:
    """Give every default routing instance and logical router its own route target.

    Owners keep what they have. A number that several refer to is the logical router's, which shares
    it with its networks, else the smallest uuid's. The rest choose in uuid order among numbers that
    no owner has and no user's route-target object names.
    """
    numbers = _numbers(view)
    claimed: dict[int, str] = {}
    pending: list[str] = []
    outcomes: dict[str, Outcome] = {}
    owners = _owners(view)
    for uuid in sorted(owners, key=lambda uuid: (owners[uuid].type_name != ROUTER, uuid)):
        held = numbers.held(owners[uuid])
        number = next((each for each in held if each not in claimed), None)
        if number is None:
            pending.append(uuid)
            continue
        claimed[number] = uuid
        is_settled = number == held[0]
        outcomes[uuid] = Outcome(OwnTarget(numbers.text(number), number, is_settled=is_settled))
    pending.sort()
    outcomes.update(_choose(view, numbers, pending, set(claimed)))
    return outcomes


def change_targets(
    view: View, before: Mapping[str, Outcome], touched: frozenset[ReadKey]
) -> dict[str, Outcome | None] | None:
    """Answer changes that leave settled owners alone; decline anything with a choice in it."""
    if any(key[1] == GlobalSystemConfig.type_name for key in touched):
        return None
    uuids = sorted({key[2] for key in touched if key[0] == "object" and key[1] in OWNER_KINDS})
    again = set(uuids)
    claimed: dict[int, str] = {}
    for uuid, outcome in before.items():
        if uuid in again:
            continue
        if not isinstance(outcome.value, OwnTarget) or not outcome.value.is_settled:
            return None
        claimed[outcome.value.number] = uuid
    numbers = _numbers(view)
    answer: dict[str, Outcome | None] = {}
    pending: list[str] = []
    for uuid in uuids:
        owner = _owner(view, uuid)
        if owner is None:
            answer[uuid] = None
            continue
        held = numbers.held(owner)
        if not held:
            pending.append(uuid)
        elif held[0] in claimed:
            return None
        else:
            claimed[held[0]] = uuid
            own = OwnTarget(numbers.text(held[0]), held[0], is_settled=True)
            answer[uuid] = Outcome(own)
    answer.update(_choose(view, numbers, pending, set(claimed)))
    return answer


def targets_of(sources: Iterable[VirtualNetwork | Bgpvpn], violations: list[Violation]) -> Targets:
    """Return what users configured on networks and VPNs; unreadable ones are reported."""
    found = Targets()
    for source in sources:
        both = read_targets(source, source.route_target_list, violations)
        found |= Targets(
            both | read_targets(source, source.import_route_target_list, violations),
            both | read_targets(source, source.export_route_target_list, violations),
        )
    return found


def read_targets(
    source: ConfigObject, listed: RouteTargetList | None, violations: list[Violation]
) -> frozenset[str]:
    """Return one list in the form control nodes print; unreadable entries are reported."""
    found: set[str] = set()
    for text in () if listed is None else listed.route_target:
        try:
            found.add(str(RouteTargetValue.parse(text)))
        except ValueError as error:
            violations.append(
                Violation(source.type_name, source.fq_name, "bad_route_target", f"{error}: skipped")
            )
    return frozenset(found)


def _choose(
    view: View, numbers: _Numbers, pending: Iterable[str], used: set[int]
) -> dict[str, Outcome]:
    chosen: dict[str, Outcome] = {}
    for uuid in pending:
        for number in numbers.candidates(uuid):
            text = numbers.text(number)
            if number not in used and not _is_foreign(view.by_name(RouteTarget, (text,))):
                used.add(number)
                chosen[uuid] = Outcome(OwnTarget(text, number, is_settled=False))
                break
        else:
            chosen[uuid] = Outcome(violations=(_exhausted(view, numbers, uuid),))
    return chosen


def _is_foreign(target: RouteTarget | None) -> bool:
    """Whether somebody else made this object; a compiler's own counts only while it is claimed."""
    return target is not None and target.uuid != derived_uuid(TARGET, target.fq_name)


def _exhausted(view: View, numbers: _Numbers, uuid: str) -> Violation:
    owner = _owner(view, uuid)
    return Violation(
        INSTANCE if owner is None else owner.type_name,
        () if owner is None else owner.fq_name,
        "route_targets_exhausted",
        f"all {len(numbers.pool)} route targets of AS {numbers.asn} are in use;"
        " it exchanges no routes until others are deleted",
    )


def _numbers(view: View) -> _Numbers:
    system = view.by_name(GlobalSystemConfig, SYSTEM_CONFIG_NAME)
    asn = ASN_DEFAULT if system is None else system.autonomous_system or ASN_DEFAULT
    return _Numbers(asn, NUMBERS_TWO_BYTE_AS if asn <= ASN_TWO_BYTES_MAX else NUMBERS_FOUR_BYTE_AS)


def _owners(view: View) -> dict[str, RoutingInstance | LogicalRouter]:
    found: dict[str, RoutingInstance | LogicalRouter] = {
        each.uuid: each for each in view.every(RoutingInstance) if _has_own_target(each)
    }
    found.update((each.uuid, each) for each in view.every(LogicalRouter))
    return found


def _owner(view: View, uuid: str) -> RoutingInstance | LogicalRouter | None:
    instance = view.get(RoutingInstance, uuid)
    if instance is not None:
        return instance if _has_own_target(instance) else None
    return view.get(LogicalRouter, uuid)


def _claimed_names(owner: RoutingInstance | LogicalRouter) -> Iterator[str]:
    for reference in owner.route_target_refs:
        if reference.attr is None or reference.attr.import_export is None:
            yield from reference.to[:1]


def _has_own_target(instance: RoutingInstance) -> bool:
    # The name decides: it is what the passes look the instance up by.
    name = instance.fq_name
    return len(name) > 1 and (name[-1] == name[-2] or chain_id_of(name) is not None)


PASSES: Final = (
    TablePass(
        "own_route_target",
        OWNER_KINDS | {TARGET, GlobalSystemConfig.type_name},
        assign_targets,
        change_targets,
    ),
)
