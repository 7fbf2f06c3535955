"""What a change comes to, told before it is made: objects that change, and the hosts concerned."""

from __future__ import annotations

from collections.abc import Mapping

from skytrail.api import authorize, documents, secret_fields
from skytrail.api.caller import THE_SERVER, Caller
from skytrail.api.differences import differences
from skytrail.api.documents import Document
from skytrail.api.graph import Overlay, Record, View
from skytrail.api.hosts import PORT, hosts_of
from skytrail.api.schema import Schema

_NOISE = frozenset({"/id_perms/last_modified"})
"""Changes with every write and tells nobody anything."""
HOSTS_SHOWN_MAX = 500
_CARRIERS = ("virtual-network", "security-group")
"""What interfaces are attached to: a change of one concerns the hosts of all of them."""


def intent_changes(
    plan: Overlay, caller: Caller = THE_SERVER, schema: Schema | None = None
) -> list[Document]:
    """Return every object a plan creates, updates or deletes, with what differs.

    Objects that the caller does not see change with the others, but are not told of; with the
    schema, secrets are masked as in reads.
    """
    found: list[Document] = []
    for uuid, record in plan.changed.items():
        before = plan.base.get(uuid)
        shown = record or before
        if shown is not None and not authorize.sees(plan, caller, shown):
            continue
        if schema is not None:
            before, record = (
                None if each is None else secret_fields.shown(schema, plan, caller, each)
                for each in (before, record)
            )
        if record is None:
            if before is not None:
                found.append(_entry("delete", before))
        elif before is None:
            found.append({**_entry("create", record), "object": record.body})
        else:
            changed = [
                each.shown()
                for each in differences(before.body, record.body)
                if each.shown()["path"] not in _NOISE
            ]
            if changed or before.side != record.side:
                found.append({**_entry("update", record), "fields": changed})
    return found


def _entry(verb: str, record: Record) -> Document:
    return {
        "op": verb,
        "type": record.type_name,
        "uuid": record.uuid,
        "fq_name": list(record.fq_name),
    }


def concerned_hosts(
    plan: Overlay, derived: list[Document], machines: Mapping[str, set[str]]
) -> Document:
    """Return the hosts whose datapath a plan changes, and how many interfaces on each.

    Those are hosts of interfaces that change, and of interfaces in networks and security groups
    that change or that something derived belongs to; before the plan or after it. ``machines`` are
    hosts by the machines their agents asked for.
    """
    counts: dict[str, set[str]] = {}
    unplaced: set[str] = set()
    for view in (plan.base, plan):
        ports = _changed_ports(plan, view)
        for uuid in _carriers(plan, view, derived):
            ports.update(view.referrer_uuids(uuid, PORT))
        for port in ports:
            hosts = hosts_of(view, port, machines)
            for host in hosts:
                counts.setdefault(host, set()).add(port)
            if not hosts:
                unplaced.add(port)
    placed = {port for ports in counts.values() for port in ports}
    hosts = [
        {"host": name, "interfaces": len(counts[name])} for name in sorted(counts)[:HOSTS_SHOWN_MAX]
    ]
    return {
        "hosts": hosts,
        "hosts_count": len(counts),
        "interfaces_count": len(placed),
        "interfaces_without_host_count": len(unplaced - placed),
    }


def _changed_ports(plan: Overlay, view: View) -> set[str]:
    ports: set[str] = set()
    for uuid in plan.changed:
        record = view.get(uuid)
        if record is None:
            continue
        if record.type_name == PORT:
            ports.add(uuid)
        else:
            targets = (view.get(target) for _, target in record.targets)
            ports.update(t.uuid for t in targets if t is not None and t.type_name == PORT)
    return ports


def _carriers(plan: Overlay, view: View, derived: list[Document]) -> set[str]:
    found: set[str] = set()
    for uuid in plan.changed:
        record = view.get(uuid)
        if record is not None and record.type_name in _CARRIERS:
            found.add(uuid)
    for entry in derived:
        name = tuple(documents.texts(entry, "fq_name"))[:-1]
        for type_name in _CARRIERS:
            uuid = view.uuid_of(type_name, name)
            if uuid is not None:
                found.add(uuid)
    return found
