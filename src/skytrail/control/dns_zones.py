"""The virtual DNS servers of the configuration and their records, found by name.

Follows commits change by change: one more record costs the same beside ten or ten thousand.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from skytrail.control.config_graph import Change
from skytrail.model.config_object import ConfigObject
from skytrail.model.generated.objects import VirtualDns as VirtualDnsObject
from skytrail.model.generated.objects import VirtualDnsRecord
from skytrail.wire.dns import ResourceRecord, normalise_name
from skytrail.wire.dns.ordering import ORDER_DEFAULT
from skytrail.wire.dns.zones import DnsRecord, VirtualDns, record_of

TTL_DEFAULT_S = 86_400


@dataclass(frozen=True, slots=True)
class ServedDns:
    """One virtual DNS server as the configuration wants it."""

    server: VirtualDns
    """Without its records, which :meth:`ConfiguredZones.find` has."""
    domain: str
    order: str
    """``fixed``, ``random`` or ``round-robin``."""
    takes_updates: bool
    answers_reverse: bool
    is_outside: bool = False
    """Also outside of the overlay its names are answered."""


class ConfiguredZones:
    """Servers by fully qualified name, records by server and name."""

    def __init__(self) -> None:
        self.servers: dict[str, ServedDns] = {}
        self._written: dict[str, dict[str, VirtualDnsRecord]] = {}
        """Of each server, also of one that is not there: its record objects by uuid."""
        self._found: dict[str, dict[str, dict[str, ResourceRecord]]] = {}
        """Of each server that is there, by the record's name: the records by object."""

    def follow(self, changes: Iterable[Change]) -> None:
        """Take over a commit."""
        # All that goes first: a new object may bear the name of an old one.
        changes = list(changes)
        for change in changes:
            if change.before is not None:
                self._remove(change.before)
        for change in changes:
            if change.after is not None:
                self._put(change.after)

    def find(self, server: str, name: str) -> list[ResourceRecord]:
        """Return a name's records in one server, in an order that stays."""
        found = self._found.get(server, {}).get(name)
        return [] if found is None else [found[uuid] for uuid in sorted(found)]

    def _remove(self, gone: ConfigObject) -> None:
        if isinstance(gone, VirtualDnsObject):
            name = ":".join(gone.fq_name)
            self.servers.pop(name, None)
            self._found.pop(name, None)
        elif isinstance(gone, VirtualDnsRecord):
            server = ":".join(gone.fq_name[:-1])
            written = self._written.get(server, {})
            written.pop(gone.uuid, None)
            if not written:
                self._written.pop(server, None)
            self._unindex(server, gone)

    def _put(self, fresh: ConfigObject) -> None:
        if isinstance(fresh, VirtualDnsObject):
            served = _served(fresh)
            name = served.server.name
            self.servers[name] = served
            self._found[name] = {}
            for record in self._written.get(name, {}).values():
                self._index(served, record)
        elif isinstance(fresh, VirtualDnsRecord):
            server = ":".join(fresh.fq_name[:-1])
            self._written.setdefault(server, {})[fresh.uuid] = fresh
            known = self.servers.get(server)
            if known is not None:
                self._index(known, fresh)

    def _index(self, served: ServedDns, written: VirtualDnsRecord) -> None:
        made = _record(served, written)
        if made is not None:
            names = self._found[served.server.name]
            names.setdefault(made.name, {})[written.uuid] = made

    def _unindex(self, server: str, gone: VirtualDnsRecord) -> None:
        served, names = self.servers.get(server), self._found.get(server)
        if served is None or names is None:
            return
        made = _record(served, gone)
        found = None if made is None else names.get(made.name)
        if made is not None and found is not None:
            found.pop(gone.uuid, None)
            if not found:
                del names[made.name]


def _served(configured: VirtualDnsObject) -> ServedDns:
    settings = configured.virtual_DNS_data
    domain = "" if settings is None else settings.domain_name or ""
    ttl_s = None if settings is None else settings.default_ttl_seconds
    soa = None if settings is None else settings.soa_record
    server = VirtualDns(
        name=":".join(configured.fq_name),
        domain=domain,
        ttl_s=TTL_DEFAULT_S if ttl_s is None else max(0, ttl_s),
        next_server="" if settings is None else settings.next_virtual_DNS or "",
        records=(),
        negative_ttl_s=None if soa is None else soa.negative_cache_ttl_seconds,
    )
    return ServedDns(
        server=server,
        domain=normalise_name(domain),
        order=(None if settings is None else settings.record_order) or ORDER_DEFAULT,
        takes_updates=settings is not None and bool(settings.dynamic_records_from_client),
        answers_reverse=settings is not None and bool(settings.reverse_resolution),
        is_outside=settings is not None and bool(settings.external_visible),
    )


def _record(served: ServedDns, written: VirtualDnsRecord) -> ResourceRecord | None:
    parts = written.virtual_DNS_record_data
    if parts is None:
        return None
    ttl_s = parts.record_ttl_seconds
    record = DnsRecord(
        name=parts.record_name or "",
        record_type=(parts.record_type or "").upper(),
        content=parts.record_data or "",
        ttl_s=served.server.ttl_s if ttl_s is None else max(0, ttl_s),
        preference=parts.record_mx_preference or 0,
    )
    return record_of(record, served.domain)
