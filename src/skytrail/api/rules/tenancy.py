"""Rules of projects and address managers."""

from __future__ import annotations

from dataclasses import replace

from skytrail.api import addressing, dhcp_options, documents, router_pools
from skytrail.api.change import Change, Companion, Rule
from skytrail.api.documents import Document
from skytrail.api.graph import Record, make_record, referrers
from skytrail.api.references import reference_to
from skytrail.api.refusal import bad_request
from skytrail.api.rules import flat
from skytrail.api.rules.draft import follow_flag, holder_companion
from skytrail.api.rules.firewall import POLICY_SET_CHECKS

_APS = "default-application-policy-set"
_FLAT = "flat-subnet"


def _project_companions(change: Change, record: Record) -> list[Companion]:
    return [
        Companion(
            "application-policy-set",
            {
                "fq_name": [*record.fq_name, _APS],
                "parent_type": "project",
                "all_applications": True,
            },
        ),
        *holder_companion(record),
    ]


def _policy_set_companions(change: Change, record: Record) -> list[Companion]:
    """Have the project refer to its default set."""
    parent = change.view.get(record.parent_uuid or "")
    if parent is None or parent.type_name != "project" or record.name != _APS:
        return []
    body = dict(parent.body)
    field = "application_policy_set_refs"
    body[field] = [*documents.sections(body, field), reference_to(record)]
    renewed = make_record(parent.type_name, body, parent.side)
    renewed.mod_revision = parent.mod_revision
    renewed.create_revision = parent.create_revision
    change.view.put(renewed)
    return []


def _create_manager(change: Change, body: Document) -> None:
    dhcp_options.check_manager(body, None)
    _complete_flat(change, body, None)


def _update_manager(change: Change, old: Record, body: Document) -> None:
    for name in ("ipam_subnet_method", "ipam_subnetting"):
        if name in body and body[name] != old.body.get(name, _default(name)):
            raise bad_request(f"{name} can not be changed")
        if name in old.body:
            body.setdefault(name, old.body[name])
    dhcp_options.check_manager(body, old.body)
    _complete_flat(change, body, old)
    if body.get("ipam_subnets") != old.body.get("ipam_subnets"):
        flat.check_manager(change, old, body)


def _default(name: str) -> object:
    return "user-defined-subnet" if name == "ipam_subnet_method" else False


def _complete_flat(change: Change, body: Document, old: Record | None) -> None:
    holder = documents.text(body, "uuid") or ""
    given = documents.sections(documents.section(body, "ipam_subnets"), "subnets")
    if body.get("ipam_subnet_method") != _FLAT:
        if given:
            raise bad_request("ipam-subnets are allowed only with flat-subnet")
        return
    previous = addressing.flat_subnets(old.body) if old is not None else []
    complete = addressing.complete_subnets(change, given, previous, holder)
    if complete:
        body["ipam_subnets"] = {"subnets": complete}


def _after_update_manager(change: Change, old: Record, new: Record) -> None:
    """Refuse to take back a pool that a virtual-router hands out."""
    for router in referrers(change.view, new.uuid, "virtual-router"):
        router_pools.pools_of(change, router.body)


def _delete_manager(change: Change, record: Record) -> None:
    for subnet in addressing.parsed_subnets(record, addressing.flat_subnets):
        addressing.release_all(change, subnet)


PROJECT = Rule(companions=_project_companions, after_update=follow_flag)
APPLICATION_POLICY_SET = replace(POLICY_SET_CHECKS, companions=_policy_set_companions)
NETWORK_IPAM = Rule(
    create=_create_manager,
    update=_update_manager,
    after_update=_after_update_manager,
    delete=_delete_manager,
)
