"""Import and export between VRFs by route target (RFC 4364 section 4.3.1).

```
 agent's path --> its VRF's table (primary)
              --> VPN table, where the route distinguisher tells equal prefixes apart,
                 indexed by route target
                     --> tables of every VRF that imports one of its targets (secondary)
```
Secondary paths are the same objects as the primary ones and are never exported again. A change of
an instance's targets walks that instance's own paths, or the paths indexed under the targets that
were added or dropped: never a whole table of somebody else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from skytrail.control.path import InstanceName, Path, PathSlot
from skytrail.control.vrf import InstanceConfig, Vrf
from skytrail.net import RouteTarget
from skytrail.wire.xmpp import Family, family_of


class Replicator:
    """Owns the VRFs and the VPN tables; every path enters and leaves through here."""

    def __init__(self) -> None:
        self.vrfs: dict[InstanceName, Vrf] = {}
        self.vpn: dict[Family, dict[PathSlot, Path]] = {family: {} for family in Family}
        self._by_target: dict[RouteTarget, dict[PathSlot, Path]] = {}
        self._importers: dict[RouteTarget, dict[InstanceName, Vrf]] = {}

    def add_vrf(self, config: InstanceConfig) -> Vrf:
        """Create the instance and import what others already export to it."""
        vrf = self.vrfs[config.name] = Vrf(replace(config, imports=frozenset()))
        self.configure(config)
        return vrf

    def remove_vrf(self, name: InstanceName) -> None:
        """Withdraw all the instance's own paths everywhere, then forget it."""
        vrf = self.vrfs[name]
        for path in list(self.own_paths(vrf)):
            self.remove(path.slot)
        self.configure(replace(vrf.config, imports=frozenset(), exports=frozenset()))
        del self.vrfs[name]

    def configure(self, config: InstanceConfig) -> None:
        """Apply changed targets of an existing instance."""
        vrf = self.vrfs[config.name]
        before, vrf.config = vrf.config, config
        self._change_imports(vrf, before.imports, config.imports)
        if (before.exports, before.virtual_network) != (config.exports, config.virtual_network):
            for path in list(self.own_paths(vrf)):
                self.put(
                    replace(path, targets=config.exports, virtual_network=config.virtual_network)
                )

    def put(self, path: Path) -> None:
        """Add or replace an agent's path in its VRF, which must exist, and wherever it belongs."""
        slot = path.slot
        vrf = self.vrfs[slot.instance]
        family = family_of(slot.key)
        before = self.vpn[family].get(slot)
        if before is not None and before.targets != path.targets:
            self._unexport(before, keep=path.targets)
        vrf.ribs[family].put(path)
        self.vpn[family][slot] = path
        for target in path.targets:
            self._by_target.setdefault(target, {})[slot] = path
        for importer in self._importing(path.targets, vrf):
            importer.ribs[family].put(path)

    def remove(self, slot: PathSlot) -> None:
        """Remove a path from everywhere; unknown ones are ignored."""
        family = family_of(slot.key)
        path = self.vpn[family].get(slot)
        if path is not None:
            self._unexport(path, keep=frozenset())
            self.vrfs[slot.instance].ribs[family].remove(slot)

    def own_paths(self, vrf: Vrf) -> Iterator[Path]:
        """Yield the paths agents published in this instance."""
        for rib in vrf.ribs.values():
            for entry in rib.entries.values():
                for path in entry.paths.values():
                    if path.instance == vrf.name:
                        yield path

    def _importing(self, targets: Iterable[RouteTarget], own: Vrf) -> list[Vrf]:
        found: dict[InstanceName, Vrf] = {}
        for target in targets:
            found.update(self._importers.get(target, {}))
        found.pop(own.name, None)
        return list(found.values())

    def _unexport(self, path: Path, *, keep: frozenset[RouteTarget]) -> None:
        """Take a path out of the VPN table and of importers that ``keep`` does not reach."""
        family = family_of(path.key)
        slot = path.slot
        self.vpn[family].pop(slot, None)
        for target in path.targets:
            paths = self._by_target.get(target)
            if paths is not None:
                paths.pop(slot, None)
                if not paths:
                    del self._by_target[target]
        own = self.vrfs[path.instance]
        for importer in self._importing(path.targets, own):
            if keep.isdisjoint(importer.config.imports):
                importer.ribs[family].remove(slot)

    def _change_imports(
        self, vrf: Vrf, before: frozenset[RouteTarget], after: frozenset[RouteTarget]
    ) -> None:
        for target in sorted(after - before):
            self._importers.setdefault(target, {})[vrf.name] = vrf
            for path in list(self._by_target.get(target, {}).values()):
                if path.instance != vrf.name:
                    vrf.ribs[family_of(path.key)].put(path)
        for target in sorted(before - after):
            importers = self._importers[target]
            del importers[vrf.name]
            if not importers:
                del self._importers[target]
            for path in list(self._by_target.get(target, {}).values()):
                if path.instance != vrf.name and after.isdisjoint(path.targets):
                    vrf.ribs[family_of(path.key)].remove(path.slot)
