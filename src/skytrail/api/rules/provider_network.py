"""Networks refer to provider networks: to ip-fabric, and the underlay routes them.

Provider networks refer to none: what hosts are told of the configuration follows these references.
"""

from __future__ import annotations

from ipaddress import IPv4Network

from skytrail.api import addressing, documents, ipam
from skytrail.api.change import Change
from skytrail.api.documents import Document
from skytrail.api.graph import Record
from skytrail.api.references import referred
from skytrail.api.refusal import bad_request, conflict

PROVIDER = "is_provider_network"
UNDERLAY = ("default-domain", "default-project", "ip-fabric")
_REFERENCES = "virtual_network_refs"


def check_provider(change: Change, body: Document, old: Record | None) -> None:
    """Refuse references between networks that mean nothing, or would go round in a circle."""
    is_provider = documents.flag(body, PROVIDER) is True
    targets = referred(change, body, _REFERENCES)
    if is_provider and targets:
        raise bad_request(
            f"{_REFERENCES}: a provider network (is_provider_network) cannot refer to others: "
            f"take {':'.join(targets[0].fq_name)} out"
        )
    for target in targets:
        if documents.flag(target.body, PROVIDER) is not True:
            raise bad_request(
                f"{_REFERENCES}: {':'.join(target.fq_name)} is no provider network; refer to "
                "default-domain:default-project:ip-fabric to have the underlay route this network"
            )
        if target.fq_name == UNDERLAY:
            _check_underlay(change, body, old, target)
    was_provider = old is not None and documents.flag(old.body, PROVIDER) is True
    if old is not None and was_provider and not is_provider:
        for uuid in change.view.referrer_uuids(old.uuid, old.type_name):
            other = change.view.get(uuid)
            name = ":".join(other.fq_name) if other else uuid
            raise conflict(f"{PROVIDER} cannot be taken away: {name} refers to this network")


def _check_underlay(change: Change, body: Document, old: Record | None, underlay: Record) -> None:
    """Refuse subnets of another network that the underlay routes: it has one of each address."""
    subnets = _subnets(body)
    if old is not None and subnets == _subnets(old.body) and _refers(old.body, underlay):
        return
    for uuid in change.view.referrer_uuids(underlay.uuid, underlay.type_name):
        other = change.view.get(uuid)
        if other is None or uuid == body.get("uuid"):
            continue
        for theirs in _subnets(other.body):
            for mine in subnets:
                if mine.overlaps(theirs):
                    raise conflict(
                        f"network_ipam_refs: {mine} overlaps {theirs} of {':'.join(other.fq_name)};"
                        " the underlay routes both networks, and can lead an address to one only:"
                        f" take another subnet, or {':'.join(UNDERLAY)} out of {_REFERENCES}"
                    )


def _subnets(body: Document) -> list[IPv4Network]:
    """Return the IPv4 subnets: the others have tunnels."""
    found: list[IPv4Network] = []
    for subnet in addressing.own_subnets(body):
        prefix = ipam.prefix_in(documents.section(subnet, "subnet"), "Invalid subnet")
        if isinstance(prefix, IPv4Network):
            found.append(prefix)
    return found


def _refers(body: Document, target: Record) -> bool:
    return any(each.get("uuid") == target.uuid for each in documents.sections(body, _REFERENCES))
