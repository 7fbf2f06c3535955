"""Routing instances: their own route target, the user's route targets, links to other networks.

The API server makes a network's default routing instance; this pass fills its references and makes
the route-target objects they need. Numbers are a function of current state: an instance keeps the
route target it refers to, a fresh one starts looking at a hash of its uuid. Numbers therefore do
not depend on the order of events, and a freed one is not handed to the next network while routes of
the former owner may still travel (docs/adr/0051).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from skytrail.compiler.derived import (
    Derived,
    DerivedKey,
    FqName,
    Link,
    Outcome,
    Violation,
    derived_uuid,
)
from skytrail.compiler.engine import TablePass, UnitPass, View
from skytrail.compiler.intent import ReadKey
from skytrail.model.generated.objects import (
    Bgpvpn,
    GlobalSystemConfig,
    RouteTarget,
    RoutingInstance,
    VirtualNetwork,
)
from skytrail.model.generated.types import InstanceTargetType, RouteTargetList
from skytrail.net import RouteTarget as RouteTargetValue

SYSTEM_CONFIG_NAME: Final = ("default-global-system-config",)
ASN_DEFAULT: Final = 64512
ASN_TWO_BYTES_MAX: Final = 65535
NUMBERS_TWO_BYTE_AS: Final = range(8_000_000, 1 << 24)
NUMBERS_FOUR_BYTE_AS: Final = range(8_000, 32_769)

NETWORK: Final = VirtualNetwork.type_name
INSTANCE: Final = RoutingInstance.type_name
TARGET: Final = RouteTarget.type_name
TARGET_FIELD: Final = "route_target_refs"
INSTANCE_FIELD: Final = "routing_instance_refs"


@dataclass(frozen=True, slots=True)
class OwnTarget:
    """The route target that belongs to one routing instance alone."""

    route_target: str
    number: int
    is_kept: bool
    """True when the stored instance refers to it already."""


@dataclass(frozen=True, slots=True)
class _Numbers:
    asn: int
    pool: range

    def text(self, number: int) -> str:
        return f"target:{self.asn}:{number}"

    def claim(self, instance: RoutingInstance) -> int | None:
        """Return the smallest number of this pool the instance already has for both directions."""
        prefix = f"target:{self.asn}:"
        found = [
            int(name.removeprefix(prefix))
            for reference in instance.route_target_refs
            if reference.attr is None or reference.attr.import_export is None
            for name in reference.to[:1]
            if name.startswith(prefix) and name.removeprefix(prefix).isdecimal()
        ]
        return min((number for number in found if number in self.pool), default=None)

    def candidates(self, uuid: str) -> Iterator[int]:
        """Yield every number of the pool, starting at a place that depends on the uuid."""
        digest = hashlib.blake2b(uuid.encode(), digest_size=8).digest()
        start = int.from_bytes(digest) % len(self.pool)
        for step in range(len(self.pool)):
            yield self.pool[(start + step) % len(self.pool)]


def assign_targets(view: View) -> dict[str, Outcome]:
    """Give every default routing instance its own route target.

    Instances keep what they have; of two with the same number the smaller uuid keeps it. The rest
    choose in uuid order among numbers that no instance has and no user's route-target object names.
    """
    numbers = _numbers(view)
    claimed: dict[int, str] = {}
    pending: list[str] = []
    for instance in _default_instances(view):
        number = numbers.claim(instance)
        if number is None or number in claimed:
            pending.append(instance.uuid)
        else:
            claimed[number] = instance.uuid
    outcomes = {
        uuid: Outcome(OwnTarget(numbers.text(number), number, is_kept=True))
        for number, uuid in claimed.items()
    }
    outcomes.update(_choose(view, numbers, pending, set(claimed)))
    return outcomes


def change_targets(
    view: View, before: Mapping[str, Outcome], touched: frozenset[ReadKey]
) -> dict[str, Outcome | None] | None:
    """Answer changes that leave settled instances alone; decline anything with a choice in it."""
    if any(key[1] == GlobalSystemConfig.type_name for key in touched):
        return None
    claimed: dict[int, str] = {}
    for uuid, outcome in before.items():
        if not isinstance(outcome.value, OwnTarget) or not outcome.value.is_kept:
            return None
        claimed[outcome.value.number] = uuid
    numbers = _numbers(view)
    uuids = sorted({key[2] for key in touched if key[0] == "object" and key[1] == INSTANCE})
    answer: dict[str, Outcome | None] = {}
    pending: list[str] = []
    for uuid in uuids:
        held = before.get(uuid)
        if held is not None and isinstance(held.value, OwnTarget):
            del claimed[held.value.number]
    for uuid in uuids:
        instance = view.get(RoutingInstance, uuid)
        if instance is None or not _is_default(instance):
            answer[uuid] = None
            continue
        number = numbers.claim(instance)
        if number is None:
            pending.append(uuid)
        elif number in claimed:
            return None
        else:
            claimed[number] = uuid
            answer[uuid] = Outcome(OwnTarget(numbers.text(number), number, is_kept=True))
    answer.update(_choose(view, numbers, pending, set(claimed)))
    return answer


def routing_instance(view: View, uuid: str) -> Outcome:
    """Derive the references of a network's default instance and the route targets they name."""
    network = view.get(VirtualNetwork, uuid)
    if network is None:
        return Outcome()
    name = default_instance_name(network.fq_name)
    instance = view.by_name(RoutingInstance, name)
    if instance is None:
        return Outcome(
            violations=(
                Violation(
                    NETWORK,
                    network.fq_name,
                    "no_routing_instance",
                    "the network has no default routing instance and carries no routes;"
                    " delete the network and create it again",
                ),
            )
        )
    directions, violations = _directions(view, network)
    own = view.row("own_route_target", instance.uuid, OwnTarget)
    if own is not None:
        directions[own.route_target] = None
    targets = tuple(
        Link((text,), InstanceTargetType(import_export=directions[text]))
        for text in sorted(directions)
    )
    filled = Derived(
        DerivedKey(INSTANCE, name),
        links={TARGET_FIELD: targets, INSTANCE_FIELD: _peer_links(view, uuid)},
        update_only=True,
    )
    objects = [Derived(DerivedKey(TARGET, link.to)) for link in targets]
    return Outcome(derived=(*objects, filled), violations=tuple(violations))


def default_instance_name(network: FqName) -> FqName:
    return (*network, network[-1])


def _peer_links(view: View, uuid: str) -> tuple[Link, ...]:
    names = view.row("connections", uuid, tuple) or ()
    instances = [default_instance_name(tuple(name.split(":"))) for name in names]
    return tuple(Link(name) for name in instances if view.by_name(RoutingInstance, name))


def _directions(
    view: View, network: VirtualNetwork
) -> tuple[dict[str, str | None], list[Violation]]:
    """Return the user's route targets with their direction; None stands for both."""
    violations: list[Violation] = []
    imported: set[str] = set()
    exported: set[str] = set()
    for source in [network, *_layer3_vpns(view, network)]:
        both = _read_targets(source, source.route_target_list, violations)
        imported |= both | _read_targets(source, source.import_route_target_list, violations)
        exported |= both | _read_targets(source, source.export_route_target_list, violations)
    directions: dict[str, str | None] = dict.fromkeys(imported, "import")
    directions.update(dict.fromkeys(exported, "export"))
    directions.update(dict.fromkeys(imported & exported))
    return directions, violations


def _layer3_vpns(view: View, network: VirtualNetwork) -> list[Bgpvpn]:
    found = [view.get(Bgpvpn, reference.uuid) for reference in network.bgpvpn_refs]
    return [vpn for vpn in found if vpn is not None and vpn.bgpvpn_type in {None, "l3"}]


def _read_targets(
    source: VirtualNetwork | Bgpvpn, listed: RouteTargetList | None, violations: list[Violation]
) -> set[str]:
    found: set[str] = set()
    for text in () if listed is None else listed.route_target:
        try:
            found.add(str(RouteTargetValue.parse(text)))
        except ValueError as error:
            violations.append(
                Violation(source.type_name, source.fq_name, "bad_route_target", f"{error}: skipped")
            )
    return found


def _choose(
    view: View, numbers: _Numbers, pending: Iterable[str], used: set[int]
) -> dict[str, Outcome]:
    chosen: dict[str, Outcome] = {}
    for uuid in pending:
        for number in numbers.candidates(uuid):
            text = numbers.text(number)
            if number not in used and not _is_foreign(view.by_name(RouteTarget, (text,))):
                used.add(number)
                chosen[uuid] = Outcome(OwnTarget(text, number, is_kept=False))
                break
        else:
            chosen[uuid] = Outcome(violations=(_exhausted(view, numbers, uuid),))
    return chosen


def _is_foreign(target: RouteTarget | None) -> bool:
    """Whether somebody else made this object; a compiler's own counts only while it is claimed."""
    return target is not None and target.uuid != derived_uuid(TARGET, target.fq_name)


def _exhausted(view: View, numbers: _Numbers, uuid: str) -> Violation:
    instance = view.get(RoutingInstance, uuid)
    return Violation(
        INSTANCE,
        () if instance is None else instance.fq_name,
        "route_targets_exhausted",
        f"all {len(numbers.pool)} route targets of AS {numbers.asn} are in use;"
        " the network exchanges no routes until others are deleted",
    )


def _numbers(view: View) -> _Numbers:
    system = view.by_name(GlobalSystemConfig, SYSTEM_CONFIG_NAME)
    asn = ASN_DEFAULT if system is None else system.autonomous_system or ASN_DEFAULT
    return _Numbers(asn, NUMBERS_TWO_BYTE_AS if asn <= ASN_TWO_BYTES_MAX else NUMBERS_FOUR_BYTE_AS)


def _default_instances(view: View) -> list[RoutingInstance]:
    return [each for each in view.every(RoutingInstance) if _is_default(each)]


def _is_default(instance: RoutingInstance) -> bool:
    # The name decides: it is what the passes look the instance up by.
    return len(instance.fq_name) > 1 and instance.fq_name[-1] == instance.fq_name[-2]


PASSES: Final = (
    TablePass(
        "own_route_target",
        frozenset({INSTANCE, TARGET, GlobalSystemConfig.type_name}),
        assign_targets,
        change_targets,
    ),
    UnitPass(
        "routing_instance",
        NETWORK,
        frozenset({NETWORK, INSTANCE, Bgpvpn.type_name}),
        routing_instance,
        ("connections", "own_route_target"),
    ),
)
