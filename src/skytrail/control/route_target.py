"""Import and export between VRFs by route target (RFC 4364 section 4.3.1).

```
 agent's path --> its VRF's table (primary)
              \
 BGP peer's path --> VPN table, where the route distinguisher tells equal prefixes apart;
                     the best path of each destination, indexed by route target
                     --> tables of every VRF that imports one of its targets (secondary)
                     --> BGP peers, through ``on_selection``
```
Secondary paths are the same objects as the primary ones and are never exported again. A change of
an instance's targets walks that instance's own paths, or the paths indexed under the targets that
were added or dropped: never a whole table of somebody else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import groupby, repeat
from typing import TypeAlias, TypeVar

from skytrail.control.chores import STEPS_OF_PUTTING, Chores
from skytrail.control.inclusive import may_import
from skytrail.control.path import InstanceName, Path, PathSlot, Shared
from skytrail.control.rib import Rib
from skytrail.control.routing_policy import Policies
from skytrail.control.vpn import Fresh, Selection, VpnEntry, VpnTable
from skytrail.control.vrf import InstanceConfig, OnTableChange, Vrf
from skytrail.net import IpAddress, Mac, RouteTarget
from skytrail.wire.xmpp import EnetKey, Family, RouteKey, family_of

_CACHE_COUNT_MAX = 65_536

T = TypeVar("T")

OnSelection: TypeAlias = Callable[[list[Selection]], None]
OnFresh: TypeAlias = Callable[[Fresh], None]


class Replicator:
    """Owns the VRFs and the VPN tables; every path enters and leaves through here."""

    def __init__(self) -> None:
        self.chores = Chores()
        """What looks at many routes; part of it may not be done yet."""
        self.vrfs: dict[InstanceName, Vrf] = {}
        self.vpn: dict[Family, VpnTable] = {family: VpnTable(family) for family in Family}
        self.by_target: dict[RouteTarget, dict[VpnEntry, Path]] = {}
        """Destinations by the targets of their best path."""
        self.on_selection: OnSelection | None = None
        """Told what was selected anew in the VPN tables, after VRFs have followed it.

        Some of it may have changed once more since; what counts is the entry's best path now.
        """
        self.on_fresh: OnFresh | None = None
        """Told likewise of destinations that were in no table before, and not told so as well."""
        self.on_table_change: list[OnTableChange] = []
        """Each is told every destination of an instance whose selection changed."""
        self._leaving: set[InstanceName] = set()
        """Removed instances whose tables may not be empty yet."""
        self._importers: dict[RouteTarget, dict[InstanceName, Vrf]] = {}
        # Of sets of targets, which many routes share; worked out when first asked for.
        self._importers_of: dict[frozenset[RouteTarget], tuple[Vrf, ...]] = {}
        self._indexes_of: dict[frozenset[RouteTarget], tuple[dict[VpnEntry, Path], ...]] = {}

    def add_vrf(self, config: InstanceConfig) -> Vrf:
        """Create the instance and import what others already export to it."""
        if config.name in self._leaving:
            # What the earlier one of the name takes back must come before what this one has.
            self.chores.finish()
        vrf = Vrf(replace(config, imports=frozenset()), self._table_changed)
        self.vrfs[config.name] = vrf
        self.configure(config)
        return vrf

    def remove_vrf(self, name: InstanceName) -> None:
        """Forget the instance; its own paths are withdrawn everywhere, what it imported goes."""
        vrf = self.vrfs[name]
        self.configure(replace(vrf.config, imports=frozenset()))
        del self.vrfs[name]
        self.chores.add(self._emptying(vrf))
        if self.chores.is_idle:
            self._leaving.clear()
        else:
            self._leaving.add(name)

    def configure(self, config: InstanceConfig) -> None:
        """Apply changed targets of an existing instance."""
        vrf = self.vrfs[config.name]
        before, vrf.config = vrf.config, config
        self._change_imports(vrf, before.imports, config.imports)
        if (before.exports, before.virtual_network) != (config.exports, config.virtual_network):
            self.chores.add(self._exporting(vrf))

    def put(self, path: Path) -> None:
        """Add or replace a path: an agent's, whose VRF must exist, or one of a BGP peer."""
        slot = path.slot
        family = _family(slot)
        if slot.instance:
            vrf = self.vrfs[slot.instance]
            path = vrf.put(path)
            if slot.key in vrf.withheld:
                self._remove_from_vpn(slot)
                return
        changes: list[Selection] = []
        self.vpn[family].put(path, changes)
        self._follow(changes)

    def put_learned(self, paths: Iterable[Path]) -> None:
        """Add or replace paths of BGP peers, all together."""
        tables = self.vpn
        changes: list[Selection] = []
        for path in paths:
            entry = path.slot.entry
            family = entry.family if entry is not None else family_of(path.slot.key)
            tables[family].put(path, changes)
        self._follow(changes)

    def remove(self, slot: PathSlot) -> None:
        """Remove a path from everywhere; unknown ones are ignored."""
        self._remove_from_vpn(slot)
        vrf = self.vrfs.get(slot.instance)
        if vrf is not None:
            vrf.ribs[_family(slot)].remove(slot)

    def remove_learned(self, slots: Iterable[PathSlot]) -> None:
        """Remove paths of BGP peers, all together."""
        changes: list[Selection] = []
        for family, some in groupby(slots, _family):
            self.vpn[family].remove_all(some, changes)
        self._follow(changes)

    def _remove_from_vpn(self, slot: PathSlot) -> None:
        changes: list[Selection] = []
        self.vpn[_family(slot)].remove(slot, changes)
        self._follow(changes)

    def withhold(self, name: InstanceName, key: RouteKey, *, withheld: bool) -> None:
        """Export an instance's own paths to a destination no longer, or again."""
        vrf = self.vrfs.get(name)
        if vrf is None or (key in vrf.withheld) == withheld:
            return
        if withheld:
            vrf.withheld[key] = None
        else:
            del vrf.withheld[key]
        entry = vrf.ribs[family_of(key)].entries.get(key)
        for path in list(entry.paths.values()) if entry is not None else ():
            if path.instance == name:
                self.put(path.original or path)

    def set_policies(self, name: InstanceName, policies: Policies) -> None:
        """Give an instance other routing policies; all its paths are judged again."""
        vrf = self.vrfs.get(name)
        if vrf is None or vrf.policies == policies:
            return
        vrf.policies = policies
        self.chores.add(self._judging(vrf))

    def _emptying(self, vrf: Vrf) -> Iterator[None]:
        """Take a removed instance's own paths out of all tables: a chore."""
        for rib in vrf.ribs.values():
            for key in list(rib.entries):
                entry = rib.entries.get(key)
                for path in () if entry is None else list(entry.paths.values()):
                    if path.instance == vrf.name:
                        yield from repeat(None, STEPS_OF_PUTTING)
                        self._remove_from_vpn(path.slot)
                        rib.remove(path.slot)

    def _judging(self, vrf: Vrf) -> Iterator[None]:
        """Let an instance's policies of then judge all its paths: a chore."""
        for rib in vrf.ribs.values():
            for key in list(rib.entries):
                yield from repeat(None, STEPS_OF_PUTTING)
                if self.vrfs.get(vrf.name) is not vrf:
                    return
                if key in rib.entries:
                    self._judge_again(vrf, rib, [key])

    def _exporting(self, vrf: Vrf) -> Iterator[None]:
        """Export all own paths of an instance with its targets of then: a chore."""
        for rib in vrf.ribs.values():
            for key in list(rib.entries):
                yield from repeat(None, STEPS_OF_PUTTING)
                if self.vrfs.get(vrf.name) is not vrf:
                    return
                self._export_again(vrf, rib, key)

    def _export_again(self, vrf: Vrf, rib: Rib, key: RouteKey) -> None:
        targets, network = vrf.config.exports, vrf.config.virtual_network
        entry = rib.entries.get(key)
        for path in () if entry is None else list(entry.paths.values()):
            # What is made here may have more targets than these, and is made again.
            if path.instance == vrf.name and path.made is None:
                exported = path.original or path
                self.put(replace(exported, targets=targets, virtual_network=network))

    def hold(self, name: InstanceName, mac: Mac, hosts: frozenset[IpAddress] | None) -> None:
        """Use a MAC's routes from these tunnel ends only, or from everywhere again."""
        vrf = self.vrfs.get(name)
        if vrf is None:
            return
        if hosts is None:
            vrf.held.pop(mac, None)
        else:
            vrf.held[mac] = hosts
        rib = vrf.ribs[Family.ENET]
        keys = [key for key in rib.entries if isinstance(key, EnetKey) and key.mac == mac]
        self._judge_again(vrf, rib, keys)

    def _judge_again(self, vrf: Vrf, rib: Rib, keys: Iterable[RouteKey]) -> None:
        for key in keys:
            for path in list(rib.entries[key].paths.values()):
                if path.instance == vrf.name:
                    self.put(path.original or path)
                else:
                    # As it was exported; its own instance's policies are part of that.
                    vrf.put(self.vpn[rib.family].path(path.slot) or path)

    def own_paths(self, vrf: Vrf) -> Iterator[Path]:
        """Yield the paths of this instance itself, as they were before its policies."""
        for rib in vrf.ribs.values():
            for entry in rib.entries.values():
                for path in entry.paths.values():
                    if path.instance == vrf.name:
                        yield path.original or path

    def _table_changed(self, name: InstanceName, family: Family, key: RouteKey) -> None:
        for listener in self.on_table_change:
            listener(name, family, key)

    def importers(self, targets: frozenset[RouteTarget]) -> tuple[Vrf, ...]:
        """Return the instances that import any of these targets."""
        found = self._importers_of.get(targets)
        if found is None:
            vrfs: dict[InstanceName, Vrf] = {}
            for target in sorted(targets):
                vrfs.update(self._importers.get(target, {}))
            found = tuple(vrfs.values())
            _keep(self._importers_of, targets, found)
        return found

    def _importing(self, path: Path) -> tuple[Vrf, ...]:
        """Return the instances that hold ``path`` as a secondary one while it is best."""
        found = self.importers(path.targets)
        instance = path.slot.instance
        if instance and found:
            return tuple([vrf for vrf in found if vrf.config.name != instance])
        return found

    def _indexes(self, targets: frozenset[RouteTarget]) -> tuple[dict[VpnEntry, Path], ...]:
        """Return the parts of ``by_target`` for these targets."""
        found = self._indexes_of.get(targets)
        if found is None:
            found = tuple([self.by_target.setdefault(each, {}) for each in sorted(targets)])
            _keep(self._indexes_of, targets, found)
        return found

    def follow_fresh(self, fresh: Fresh) -> None:
        """As after a change, for destinations that are in the VPN tables since."""
        targets = fresh.shared.targets
        for index in self._indexes(targets):
            index.update(zip(fresh.entries, fresh.paths, strict=True))
        importers = self.importers(targets)
        if importers:
            for path in fresh.paths:
                for vrf in importers:
                    if may_import(path, vrf.config):
                        vrf.put(path)
        if self.on_fresh is not None:
            self.on_fresh(fresh)

    def _follow(self, changes: list[Selection]) -> None:
        """Let targets and importers follow what the VPN tables selected."""
        gone = [(entry, path) for entry, path in changes if path and entry.best is None]
        if gone:
            self._follow_gone(gone)
        if len(gone) < len(changes):
            self._follow_selected(changes)
        if changes and self.on_selection is not None:
            self.on_selection(changes)

    def _follow_gone(self, gone: list[tuple[VpnEntry, Path]]) -> None:
        """Remove destinations that have no path left, and what these paths had been."""
        dropped: dict[frozenset[RouteTarget], None] = {}
        shared: Shared | None = None
        indexes: tuple[dict[VpnEntry, Path], ...] = ()
        importing: tuple[Vrf, ...] = ()
        for entry, before in gone:
            # Neighbours in a list mostly share all that is the same for many routes.
            if shared is None or before.shared is not shared:
                shared, targets = before.shared, before.targets
                dropped[targets] = None
                indexes, importing = self._indexes(targets), self._importing(before)
            for index in indexes:
                index.pop(entry, None)
            for vrf in importing:
                vrf.ribs[entry.family].remove(before.slot)
        for target in sorted({target for targets in dropped for target in targets}):
            if not self.by_target.get(target, True):
                del self.by_target[target]
                self._indexes_of.clear()

    def _follow_selected(self, changes: list[Selection]) -> None:
        targets: frozenset[RouteTarget] | None = None
        indexes: tuple[dict[VpnEntry, Path], ...] = ()
        importers: tuple[Vrf, ...] = ()
        for entry, before in changes:
            best = entry.best
            if best is None:
                continue
            if before is not None:
                if best.targets is not before.targets:
                    self._unindex(entry, before, best)
                    targets = None
                self._leave(entry, before, best)
            # Neighbours in a list mostly share their targets.
            if best.targets is not targets:
                targets = best.targets
                indexes = self._indexes(targets)
                importers = self.importers(targets)
            for index in indexes:
                index[entry] = best
            for vrf in self._importing(best) if best.slot.instance else importers:
                if may_import(best, vrf.config):
                    vrf.put(best)
                else:
                    vrf.ribs[entry.family].remove(best.slot)

    def _leave(self, entry: VpnEntry, before: Path, best: Path) -> None:
        """Remove the former best path from instances that do not import the present one."""
        stays = best.slot is before.slot
        for vrf in self._importing(before):
            if not stays or best.targets.isdisjoint(vrf.config.imports):
                vrf.ribs[entry.family].remove(before.slot)

    def _unindex(self, entry: VpnEntry, before: Path, best: Path) -> None:
        for target in before.targets - best.targets:
            destinations = self.by_target[target]
            destinations.pop(entry, None)
            if not destinations:
                del self.by_target[target]
                self._indexes_of.clear()

    def _change_imports(
        self, vrf: Vrf, before: frozenset[RouteTarget], after: frozenset[RouteTarget]
    ) -> None:
        self._importers_of.clear()
        added, dropped = sorted(after - before), sorted(before - after)
        for target in added:
            self._importers.setdefault(target, {})[vrf.name] = vrf
        for target in dropped:
            importers = self._importers[target]
            del importers[vrf.name]
            if not importers:
                del self._importers[target]
        if dropped:
            self.chores.add(self._dropping(vrf, dropped))
        if added:
            self.chores.add(self._importing_more(vrf, added))

    def _importing_more(self, vrf: Vrf, targets: list[RouteTarget]) -> Iterator[None]:
        """Import what is exported with these targets: a chore.

        What is selected from now on reaches the instance by itself.
        """
        for target in targets:
            for entry in list(self.by_target.get(target, ())):
                yield
                best = entry.best
                if best is not None and self._is_imported(best, vrf):
                    vrf.put(best)

    def _dropping(self, vrf: Vrf, targets: list[RouteTarget]) -> Iterator[None]:
        """Remove what an instance imported by these targets only: a chore.

        What stands in its tables by then is looked at, for changes no longer reach them.
        """
        lost = [path for each in targets for path in self.by_target.get(each, {}).values()]
        for path in lost:
            yield
            best = path.slot.entry.best if path.slot.entry is not None else None
            is_same = best is not None and best.slot is path.slot
            if path.instance != vrf.name and not (is_same and self._is_imported(best, vrf)):
                vrf.ribs[family_of(path.key)].remove(path.slot)

    def _is_imported(self, best: Path | None, vrf: Vrf) -> bool:
        """Tell whether the best path of a destination belongs into another's tables now."""
        return (
            best is not None
            and best.instance != vrf.name
            and not vrf.config.imports.isdisjoint(best.targets)
            and may_import(best, vrf.config)
        )


def _family(slot: PathSlot) -> Family:
    # The key of a BGP peer's route need not even be read for this.
    return slot.entry.family if slot.entry is not None else family_of(slot.key)


def _keep(
    cache: dict[frozenset[RouteTarget], T], targets: frozenset[RouteTarget], value: T
) -> None:
    if len(cache) >= _CACHE_COUNT_MAX:
        cache.clear()
    cache[targets] = value
