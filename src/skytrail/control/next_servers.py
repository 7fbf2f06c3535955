"""Which virtual DNS servers are asked after one another, as far as walks of the configuration go.

A server names the next one by text, and servers may name each other in a circle. So walks do not go
from server to server, but from an address manager to its server and all that may be asked next.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from skytrail.control.config_graph import Change
from skytrail.model.config_object import ConfigObject
from skytrail.model.generated.objects import NetworkIpam, VirtualDns
from skytrail.model.graph import ObjectGraph
from skytrail.wire.dns.zones import CHAIN_LENGTH_MAX

Uuids = dict[str, None]


def domain_of(server: str) -> str:
    """Return the owner of a server: who could name any next one could read everybody's names."""
    return server.rpartition(":")[0]


def asked_next(graph: ObjectGraph, manager: ConfigObject) -> list[ConfigObject]:
    """Return the servers that may be asked after those an address manager refers to."""

    def find(name: str) -> tuple[str, str] | None:
        found = graph.by_name(VirtualDns.type_name, name.split(":"))
        return None if not isinstance(found, VirtualDns) else (found.uuid, _next_of(found))

    found: Uuids = {}
    for server in graph.refs(manager.uuid, VirtualDns.type_name):
        if isinstance(server, VirtualDns):
            found.update(dict.fromkeys(_chain(_name_of(server), _next_of(server), find)))
    return [each for uuid in found if (each := graph.get(uuid)) is not None]


class NextServers:
    """The same, kept up to date change by change."""

    def __init__(self) -> None:
        self._servers: dict[str, tuple[str, str]] = {}
        """Name and next server's name, by uuid."""
        self._uuids: dict[str, str] = {}
        self._managers: dict[str, tuple[str, ...]] = {}
        """Servers that address managers refer to."""
        self._steps: dict[str, Uuids] = {}

    def follow(self, changes: Iterable[Change]) -> Iterator[tuple[str, str, int]]:
        """Take over a commit; yield steps that came (1) or went (-1)."""
        is_touched = False
        for change in changes:
            for version, is_new in ((change.before, False), (change.after, True)):
                if isinstance(version, VirtualDns):
                    is_touched = True
                    self._server(version, is_new=is_new)
                elif isinstance(version, NetworkIpam):
                    is_touched = True
                    self._managers.pop(version.uuid, None)
                    if is_new:
                        listed = tuple(each.uuid for each in version.virtual_DNS_refs)
                        self._managers[version.uuid] = listed
        if is_touched:
            yield from self._changed()

    def _server(self, version: VirtualDns, *, is_new: bool) -> None:
        name = _name_of(version)
        if is_new:
            self._servers[version.uuid] = (name, _next_of(version))
            self._uuids[name] = version.uuid
            return
        self._servers.pop(version.uuid, None)
        if self._uuids.get(name) == version.uuid:
            del self._uuids[name]

    def _changed(self) -> Iterator[tuple[str, str, int]]:
        for manager in self._steps.keys() | self._managers.keys():
            before, after = self._steps.pop(manager, {}), self._targets(manager)
            if after:
                self._steps[manager] = after
            for server in before.keys() - after.keys():
                yield manager, server, -1
            for server in after.keys() - before.keys():
                yield manager, server, 1

    def _targets(self, manager: str) -> Uuids:
        found: Uuids = {}
        for uuid in self._managers.get(manager, ()):
            if uuid in self._servers:
                name, after = self._servers[uuid]
                found.update(dict.fromkeys(_chain(name, after, self._find)))
        return found

    def _find(self, name: str) -> tuple[str, str] | None:
        uuid = self._uuids.get(name)
        return None if uuid is None else (uuid, self._servers[uuid][1])


def _chain(first: str, after: str, find: Callable[[str], tuple[str, str] | None]) -> Iterator[str]:
    for _ in range(CHAIN_LENGTH_MAX - 1):
        found = find(after) if after and domain_of(after) == domain_of(first) else None
        if found is None:
            return
        uuid, after = found
        yield uuid


def _name_of(server: VirtualDns) -> str:
    return ":".join(server.fq_name)


def _next_of(server: VirtualDns) -> str:
    settings = server.virtual_DNS_data
    return "" if settings is None else settings.next_virtual_DNS or ""
