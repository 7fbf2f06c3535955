"""A routing instance in running form: three tables and the targets it exports and imports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from skytrail.control.path import InstanceName
from skytrail.control.rib import Rib
from skytrail.net import RouteTarget
from skytrail.wire.xmpp import Family


@dataclass(frozen=True, slots=True)
class InstanceConfig:
    """What configuration says about an instance, connections to others already resolved."""

    name: InstanceName
    virtual_network: str = ""
    exports: frozenset[RouteTarget] = frozenset()
    imports: frozenset[RouteTarget] = frozenset()


class Vrf:
    """Running state of one instance; :class:`~skytrail.control.route_target.Replicator` fills it."""

    __slots__ = ("config", "ribs")

    def __init__(self, config: InstanceConfig) -> None:
        self.config = config
        self.ribs: Mapping[Family, Rib] = {family: Rib(config.name, family) for family in Family}

    @property
    def name(self) -> InstanceName:
        return self.config.name
