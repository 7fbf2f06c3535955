"""A routing instance in running form: three tables and the targets it exports and imports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from skytrail.control.path import DUPLICATE_MAC, InstanceName, Path
from skytrail.control.rib import Rib
from skytrail.control.routing_policy import Policies, admit
from skytrail.net import IpAddress, Mac, RouteTarget
from skytrail.wire.xmpp import EnetKey, Family, RouteKey, family_of

OnTableChange = Callable[[InstanceName, Family, RouteKey], None]
"""Told of a destination whose selection changed in a way that can be seen."""


@dataclass(frozen=True, slots=True)
class InstanceConfig:
    """What configuration says about an instance, connections to others already resolved."""

    name: InstanceName
    virtual_network: str = ""
    exports: frozenset[RouteTarget] = frozenset()
    imports: frozenset[RouteTarget] = frozenset()


class Vrf:
    """Running state of one instance; :class:`~skytrail.control.route_target.Replicator` fills it."""

    __slots__ = ("config", "held", "policies", "ribs", "withheld")

    def __init__(self, config: InstanceConfig, on_change: OnTableChange) -> None:
        self.config = config
        self.ribs: Mapping[Family, Rib] = {
            family: Rib(config.name, family, on_change) for family in Family
        }
        self.policies: Policies = ()
        self.held: dict[Mac, frozenset[IpAddress]] = {}
        """MACs that moved too often, and the tunnel ends where each is to stay for now."""
        self.withheld: dict[RouteKey, None] = {}
        """Destinations an aggregate stands for: their own paths are not exported."""

    @property
    def name(self) -> InstanceName:
        return self.config.name

    def put(self, path: Path) -> Path:
        """Take a path in; return it as routing policies and held MACs let it be here."""
        admitted = admit(self.policies, path) if self.policies else path
        if self.held and isinstance(path.key, EnetKey):
            admitted = self._held(admitted, path.key.mac)
        self.ribs[family_of(path.key)].put(admitted)
        return admitted

    def _held(self, path: Path, mac: Mac) -> Path:
        hosts = self.held.get(mac)
        if hosts is None or hosts.issuperset(hop.address for hop in path.next_hops):
            return path
        return replace(path, rejected_by=DUPLICATE_MAC, original=path.original or path)
