"""What an agent keeps on disk: plugged ports, numbers, the last configuration, failed checks.

Each file is replaced in one step, so a kill at any moment leaves the old or the new one. They are
not flushed to the medium: they matter after a process's death; after a host's, the kernel's rows
they match are gone too. An unreadable file is reported and treated as absent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from skytrail.agent.interface import PluggedPort
from skytrail.agent.label import Numbers
from skytrail.agent.tables import InterfaceKind
from skytrail.wire.xmpp import ConfigKey, ConfigLink, ConfigNode, ConfigUpdate, ConfigValue

STATE_VERSION = 1
_KINDS = {
    "veth": InterfaceKind.WORKLOAD_VETH,
    "tap": InterfaceKind.WORKLOAD_TAP,
    "snat": InterfaceKind.SNAT,
}
_KIND_TEXTS = {kind: text for text, kind in _KINDS.items()}
T = TypeVar("T")


class _PortRecord(msgspec.Struct, frozen=True, kw_only=True):
    vmi_uuid: str
    vm_uuid: str
    ifname: str
    kind: str
    sequences: dict[str, int] = {}


class _PortsFile(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    ports: list[_PortRecord]


class _NumbersFile(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    spaces: dict[str, tuple[dict[str, int], int]]


class _ConfigFile(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    nodes: list[tuple[str, str, dict[str, object]]]
    links: list[tuple[str, str, str, str, str, object]]


class _ChecksFile(msgspec.Struct, frozen=True, kw_only=True):
    version: int
    failed: list[tuple[str, str]]


class StateFolder:
    """The folder of one agent. Methods block for a small file's write; ``OSError`` passes."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self.problems: list[str] = []

    def load_ports(self) -> list[PluggedPort]:
        saved = self._read("ports.json", _PortsFile)
        if saved is None:
            return []
        return [
            PluggedPort(
                record.vmi_uuid,
                record.vm_uuid,
                record.ifname,
                _KINDS[record.kind],
                sequences=tuple(sorted(record.sequences.items())),
            )
            for record in saved.ports
            if record.kind in _KINDS
        ]

    def save_ports(self, ports: Sequence[PluggedPort]) -> None:
        records = [
            _PortRecord(
                vmi_uuid=port.vmi_uuid,
                vm_uuid=port.vm_uuid,
                ifname=port.ifname,
                kind=_KIND_TEXTS[port.kind],
                sequences=dict(port.sequences),
            )
            for port in ports
        ]
        self._write("ports.json", _PortsFile(version=STATE_VERSION, ports=records))

    def load_numbers(self, numbers: Numbers) -> bool:
        """Return False when there was nothing to load."""
        saved = self._read("numbers.json", _NumbersFile)
        if saved is None:
            return False
        numbers.load(saved.spaces)
        return True

    def save_numbers(self, spaces: Mapping[str, tuple[Mapping[str, int], int]]) -> None:
        copied = {name: (dict(names), upcoming) for name, (names, upcoming) in spaces.items()}
        self._write("numbers.json", _NumbersFile(version=STATE_VERSION, spaces=copied))

    def load_config(self) -> ConfigUpdate | None:
        """The last configuration of a session, to answer workloads until a new one arrives."""
        saved = self._read("config.json", _ConfigFile)
        if saved is None:
            return None
        nodes = [
            ConfigNode(ConfigKey(kind, name), _properties(values))
            for kind, name, values in saved.nodes
        ]
        links = [
            ConfigLink(ConfigKey(lt, ln), ConfigKey(rt, rn), kind, _value(value))
            for lt, ln, rt, rn, kind, value in saved.links
        ]
        return ConfigUpdate(tuple(nodes), tuple(links))

    def save_config(self, nodes: Sequence[ConfigNode], links: Sequence[ConfigLink]) -> None:
        self._write(
            "config.json",
            _ConfigFile(
                version=STATE_VERSION,
                nodes=[(n.key.type_name, n.key.name, dict(n.properties)) for n in nodes],
                links=[
                    (
                        link.left.type_name,
                        link.left.name,
                        link.right.type_name,
                        link.right.name,
                        link.kind,
                        link.value,
                    )
                    for link in links
                ],
            ),
        )

    def load_failed_checks(self) -> list[tuple[str, str]]:
        """Return (port, name of the check) of every health check that had failed."""
        saved = self._read("checks.json", _ChecksFile)
        return [] if saved is None else saved.failed

    def save_failed_checks(self, failed: Sequence[tuple[str, str]]) -> None:
        self._write("checks.json", _ChecksFile(version=STATE_VERSION, failed=list(failed)))

    def _read(self, name: str, kind: type[T]) -> T | None:
        try:
            content = (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None
        try:
            saved = msgspec.json.decode(content, type=kind)
        except msgspec.MsgspecError as error:
            self.problems.append(f"{self._folder / name}: {error}")
            return None
        version = getattr(saved, "version", None)
        if version != STATE_VERSION:
            self.problems.append(f"{self._folder / name}: version {version} is not ours")
            return None
        return saved

    def _write(self, name: str, content: msgspec.Struct) -> None:
        place = self._folder / name
        scratch = place.with_suffix(".tmp")
        # Keys of workloads' BGP are in the configuration.
        scratch.unlink(missing_ok=True)
        scratch.touch(0o600)
        scratch.write_bytes(msgspec.json.encode(content))
        scratch.replace(place)


def _properties(values: Mapping[str, object]) -> dict[str, ConfigValue]:
    found = {name: _value(value) for name, value in values.items()}
    return {name: value for name, value in found.items() if value is not None}


def _value(value: object) -> ConfigValue | None:
    """JSON back to the normal form; anything else in the file is left out."""
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return _properties({str(name): part for name, part in value.items()})
    if isinstance(value, list):
        parts = [_value(part) for part in value]
        return tuple(part for part in parts if part is not None)
    return None
