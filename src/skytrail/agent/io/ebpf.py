"""The eBPF datapath: desired rows become entries of pinned kernel maps.

```
 <root>/<agent>/v<ABI>/            maps by name, adopted when the agent restarts
                      links/<ifindex>    one pinned TCX link an interface
                      filters/<ifindex>  instead where clsact is used: the program on it
                      programs/<name>    for diagnosis and clsact
```

Closing, or dying, leaves everything forwarding. Opening again adopts the maps and swaps the
programs under the links without losing a packet. Rows are written before the flow generation is
bumped, so a flow is re-evaluated against complete tables only.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import mmap
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from skytrail.agent import abi
from skytrail.agent.full_tables import Refusals
from skytrail.agent.io import bpf_syscall, ebpf_sizes, libbpf
from skytrail.agent.io.bpf_links import Hook, LinkTable
from skytrail.agent.io.ebpf_capture import CaptureSlots
from skytrail.agent.io.ebpf_rows import from_u32, u32
from skytrail.agent.io.ebpf_sessions import SessionRecords
from skytrail.agent.io.ebpf_tables import RowTables
from skytrail.agent.io.ebpf_use import table_uses
from skytrail.agent.io.mirror_device import close_links, open_links
from skytrail.agent.io.punt_ring import PuntRing
from skytrail.agent.plugin import Delivered, FlowEnds, FlowRecord, Punt, TableFullError
from skytrail.agent.session_batch import folded_prefix
from skytrail.agent.table_use import TableUse
from skytrail.agent.tables import (
    ROW_TYPES,
    FloatingRow,
    InterfaceKind,
    InterfaceRow,
    IpNetwork,
    MirrorRow,
    NextHopId,
    NextHopRow,
    Row,
    RuleId,
    VifId,
)
from skytrail.net import IpAddress, Mac

RowT = TypeVar("RowT", bound=Row)

ROOT = Path("/run/skytrail/bpf")
INSTALLED_OBJECT = Path(sys.prefix) / "lib/skytrail/vrouter_tc.bpf.o"
"""Where `make install` puts it: its machine's own, beside the package and not in it."""
CHECKOUT_OBJECT = Path(__file__).resolve().parents[4] / "build/bpf/vrouter_tc.bpf.o"
OBJECT = INSTALLED_OBJECT if INSTALLED_OBJECT.exists() else CHECKOUT_OBJECT

FLOW_PAIRS_MAX = 131072
"""Connections resident at once by default; each costs about 300 bytes of kernel memory."""
NO_SIZES: Mapping[str, int] = MappingProxyType({})
MACHINE_PERCENT = 50
"""Of these, how many one machine may have at most, and each of its interfaces."""
PORT_SHARE_PERCENT = 25
"""Of the ports towards one far end, how many one interface may hold at most."""
PUNTS_COUNT_MAX = 1 << 16
PUNT_TOKENS_MAX = 256
PUNT_TOKEN_NS = 1_000_000

IDLE_TCP_S = 1800.0
"""Silence after which an open TCP connection is forgotten."""
IDLE_OTHER_S = 180.0
IDLE_CLOSED_S = 10.0
"""For connections that said goodbye, and for denied flows."""
IDLE_OPENING_S = 30.0
"""For translated TCP that nobody answered: clients wait 16 s before they ask a sixth time."""

_NANOSECONDS = 1_000_000_000
_PROGRAMS = {
    InterfaceKind.WORKLOAD_VETH: "workload_ingress",
    InterfaceKind.WORKLOAD_TAP: "workload_ingress",
    InterfaceKind.SNAT: "workload_ingress",
    InterfaceKind.UNDERLAY: "underlay_ingress",
}
_ZERO = u32(0)


class EbpfDatapath:
    """Implements :class:`skytrail.agent.plugin.Datapath` on the running kernel."""

    def __init__(
        self, base: Path, loaded: libbpf.LoadedObject, flow_pairs_max: int, hook: Hook
    ) -> None:
        self._base = base
        self._name = base.parent.name
        self._loaded = loaded
        self._flow_pairs_max = flow_pairs_max
        self._maps = loaded.maps
        self._links = LinkTable(base, hook)
        self._mirror_links = LinkTable(base / "mirror", hook)
        self.kept_sizes: Mapping[str, int] = NO_SIZES
        """Tables that hold more than they were to, and kept their size: so many entries."""
        self._captures = CaptureSlots(loaded.maps)
        self._sessions = SessionRecords(loaded.maps)
        self._mirrors = False
        """The device that copies go through is ready."""
        self._tables = RowTables(loaded.maps)
        self._receive: Callable[[Punt], None] | None = None
        self._ring: PuntRing | None = None

    @classmethod
    def open(
        cls,
        name: str,
        *,
        flow_pairs_max: int = FLOW_PAIRS_MAX,
        machine_percent: int = MACHINE_PERCENT,
        port_share_percent: int = PORT_SHARE_PERCENT,
        sizes: Mapping[str, int] = NO_SIZES,
        object_path: Path = OBJECT,
        root: Path = ROOT,
        hook: Hook = Hook.AUTO,
    ) -> EbpfDatapath:
        """Load the programs of agent ``name``, adopting what an earlier run left.

        The flow table keeps the size it was first created with; the share of one machine is that
        of this call, and so is that of one interface in a pool of ports. Tables named in ``sizes``
        get these, with what they hold. ``OSError`` when the object is missing or the kernel refuses it.
        """
        if not object_path.exists():
            raise OSError(
                errno.ENOENT, f"{object_path} is missing: run `make -C bpf`, or `make install`"
            )
        mount_bpf_file_system(root)
        base = root / name / f"v{abi.ABI_VERSION}"
        base.mkdir(parents=True, exist_ok=True)
        flow_pairs_max = adopted_size(base / "flow_pairs") or flow_pairs_max
        cpu_count = bpf_syscall.possible_cpu_count()
        limits = abi.Limits(
            cpu_count=cpu_count,
            flow_pairs_max=flow_pairs_max,
            flow_limit_default=max(flow_pairs_max * machine_percent // 100, 1),
            punt_tokens_max=PUNT_TOKENS_MAX,
            punt_token_ns=PUNT_TOKEN_NS,
            port_parts=-(-100 // port_share_percent),
            tai_offset_ns=_tai_offset_ns(),
        )
        resizing = ebpf_sizes.prepare(base, sizes)
        entries = {
            **resizing.entries,
            "flows4": flow_pairs_max * 2,
            "flows6": flow_pairs_max * 2,
            "flow_pairs": flow_pairs_max,
            "flow_pairs_free": flow_pairs_max,
            "flow_counters": flow_pairs_max * cpu_count,
        }
        try:
            loaded = libbpf.load_object(
                object_path, pins=base, entries=entries, constants=limits.pack()
            )
        except OSError:
            resizing.give_up()
            raise
        resizing.copy(loaded.maps)
        datapath = cls(base, loaded, flow_pairs_max, hook)
        datapath.kept_sizes = resizing.kept
        datapath._start()
        return datapath

    def _start(self) -> None:
        # The last run may have died between writing rows and telling the flows. Also: never 0.
        self._set_underlay(self.dump(InterfaceRow))
        self.invalidate_flows()
        programs = self._base / "programs"
        programs.mkdir(exist_ok=True)
        for name, fd in self._loaded.programs.items():
            pin = programs / name
            pin.unlink(missing_ok=True)
            bpf_syscall.pin(fd, pin)
        self._links.sweep()
        for ifindex in self._links.ifindexes():
            if self._tables.interface_at(ifindex) is not None:
                self.attach(ifindex)
        self._captures.stop_all()
        self._sessions.want(wanted=False)
        if self.dump(MirrorRow):
            self._open_mirrors()

    def dump(self, row_type: type[RowT]) -> list[RowT]:
        """Return every row actually installed, decoded from the kernel."""
        return [row for row in self._tables.dump(row_type) if isinstance(row, row_type)]

    def apply(self, puts: Sequence[Row], deletes: Sequence[Row]) -> None:
        """Install and remove rows, then let live flows see it. Puts are idempotent.

        Raises ``TableFullError`` when some rows had no room, with everything else done.
        """
        gone = [row for row in deletes if isinstance(row, InterfaceRow)]
        if not self._mirrors and any(isinstance(row, MirrorRow) for row in puts):
            self._open_mirrors()
        changes_flows = self._tables.changes_flows(puts, deletes)
        try:
            refusals = self._put(puts)
            self._set_underlay([row for row in puts if isinstance(row, InterfaceRow)])
            if puts and any(isinstance(row, NextHopRow) for row in deletes):
                # Flows that were led elsewhere leave a next hop before it goes.
                self.invalidate_flows()
            self._remove(deletes)
        finally:
            # Also when something failed: rows before it are in the tables, and no later call
            # would write them again.
            if changes_flows:
                self.invalidate_flows()
            for row in gone:
                self._scan(purge_vif=row.vif_id)
                # The next interface of this number starts from nothing.
                counters = self._maps["delivered"]
                counters.update(u32(row.vif_id), bytes(counters.value_bytes))
        if refusals.rows:
            raise TableFullError(errno.ENOSPC, str(refusals))

    def _put(self, puts: Sequence[Row]) -> Refusals:
        refusals, by_type = Refusals(), _by_type(puts)
        for row_type in ROW_TYPES:
            if row_type is FloatingRow and refusals.rows:
                self._close(refusals)
            if row_type in by_type:
                refusals.add(self._tables.put(refusals.admitted(by_type[row_type])))
        return refusals

    def _close(self, refusals: Refusals) -> None:
        """Close what is installed with a policy that is not whole any more."""
        for kind in (FloatingRow, InterfaceRow):
            installed = list(self._tables.dump(kind))
            closed = [refusals.closed(row) for row in installed]
            self._tables.put(
                [new for new, old in zip(closed, installed, strict=True) if new != old]
            )

    def _remove(self, deletes: Sequence[Row]) -> None:
        by_type = _by_type(deletes)
        for row_type in reversed(ROW_TYPES):
            if row_type in by_type:
                self._tables.remove(by_type[row_type])

    def _set_underlay(self, rows: Iterable[InterfaceRow]) -> None:
        for row in rows:
            if row.kind is InterfaceKind.UNDERLAY and (row.tunnel_address or row.tunnel_address6):
                own, own6 = row.tunnel_address, row.tunnel_address6
                copying = row.replicator_address
                copying4 = copying if isinstance(copying, IPv4Address) else None
                copying6 = copying if isinstance(copying, IPv6Address) else None
                settings = self._settings()._replace(
                    tunnel_address=own.packed if own else bytes(4),
                    tunnel_address6=own6.packed if own6 else bytes(16),
                    replicator_address=copying4.packed if copying4 else bytes(4),
                    replicator_address6=copying6.packed if copying6 else bytes(16),
                    fabric_qos=row.qos_id,
                    options=(abi.InterfaceOptions.PRIORITY_TAGS if row.priority_tags else 0)
                    | (abi.InterfaceOptions.CHECKS_ENDS if row.checks_ends else 0),
                )
                self._write_settings(settings)

    def captures(self) -> CaptureSlots:
        """Return what captures are turned on and read by."""
        return self._captures

    def sessions(self) -> SessionRecords:
        """Return who tells of beginnings and ends of flows."""
        return self._sessions

    def _open_mirrors(self) -> None:
        """Make the device that copies go through: only hosts that mirror have it."""
        near, far = open_links(self._name)
        program = "mirror_ingress"
        pin = self._base / "programs" / program
        self._mirror_links.attach(far, self._loaded.programs[program], pin)
        self._write_settings(self._settings()._replace(mirror_ifindex=near))
        self._mirrors = True

    def mirror_counts(self) -> Mapping[int, tuple[int, int, int]]:
        """(copies, copies that were cut off, copies lost) since load, by mirror."""
        found: dict[int, tuple[int, int, int]] = {}
        for mirror_id in range(1, abi.MIRROR_COUNT):
            raw = self._maps["mirror_counters"].lookup(u32(mirror_id))
            if raw is not None and any(raw):
                words = memoryview(raw).cast("Q")
                found[mirror_id] = (sum(words[0::3]), sum(words[1::3]), sum(words[2::3]))
        return found

    def attach(self, ifindex: int) -> None:
        """Attach the right program to an interface that has an InterfaceRow; idempotent."""
        interface = self._tables.interface_at(ifindex)
        if interface is None:
            raise OSError(errno.ENOENT, f"interface {ifindex} has no row")
        program = _PROGRAMS[interface.kind]
        self._links.attach(
            ifindex, self._loaded.programs[program], self._base / "programs" / program
        )
        for other in self._others():
            LinkTable(other).forget(ifindex)

    def _others(self) -> list[Path]:
        """Where other ABI versions left tables, and perhaps carry interfaces."""
        return [each for each in self._base.parent.glob("v*") if each != self._base]

    def carried_before(self) -> frozenset[int]:
        """Interfaces that programs of another ABI version carry, by tables of their own."""
        return frozenset(
            ifindex for other in self._others() for ifindex in LinkTable(other).ifindexes()
        )

    def retire_before(self) -> None:
        """Take away what other ABI versions left: programs still attached, tables, their memory."""
        for other in self._others():
            _remove_version(other)

    def detach(self, ifindex: int) -> None:
        """Remove the program from an interface; it then carries nothing."""
        self._links.detach(ifindex)

    def attached(self) -> list[int]:
        """Interfaces that carry a program."""
        return self._links.ifindexes()

    def invalidate_flows(self) -> None:
        """Bump the generation: live flows are re-evaluated by their next packet."""
        settings = self._settings()
        following = (settings.generation + 1) & 0xFFFFFFFF
        self._write_settings(settings._replace(generation=following or 1))

    def flows(self) -> Iterable[FlowRecord]:
        """Every flow entry. Entries that come or go meanwhile may be missed."""
        now_ns = time.monotonic_ns()
        counters = self._counters()
        for name, layout in (("flows4", abi.FlowKey4), ("flows6", abi.FlowKey6)):
            for key, value in self._maps[name].items():
                yield _flow_record(layout.unpack(key), value, counters, now_ns)

    def _counters(self) -> _CounterReader:
        return _CounterReader(self._maps["flow_counters"], self._flow_pairs_max)

    def age_flows(self, now_s: float) -> int:
        """Delete flows idle beyond their protocol's time; returns how many."""
        return self._scan(now_ns=int(now_s * _NANOSECONDS))

    def _scan(self, *, now_ns: int = 0, purge_vif: int = 0) -> int:
        argument = abi.FlowScan(
            now_ns=now_ns,
            purge_vif=purge_vif,
            deleted=0,
            visited=0,
            has_ageing=next(self._maps["ageing"].items(), None) is not None,
            idle_tcp_ns=int(IDLE_TCP_S * _NANOSECONDS),
            idle_udp_ns=int(IDLE_OTHER_S * _NANOSECONDS),
            idle_closed_ns=int(IDLE_CLOSED_S * _NANOSECONDS),
            idle_opening_ns=int(IDLE_OPENING_S * _NANOSECONDS),
        )
        return bpf_syscall.run_on_context(self._loaded.programs["flow_scan"], argument.pack())

    def drop_counts(self) -> Mapping[str, int]:
        """Packets dropped since load, by ``drop_reasons.h`` name without ``DROP_``."""
        counts = {
            reason.name: _sum_u64(self._maps["drops"].lookup(u32(reason)))
            for reason in abi.DropReason
            if reason is not abi.DropReason.NONE
        }
        return {name: count for name, count in counts.items() if count}

    def delivered(self, vifs: Iterable[VifId]) -> Mapping[VifId, Delivered]:
        """What interfaces were given since they came."""
        found: dict[VifId, Delivered] = {}
        for vif_id in vifs:
            raw = self._maps["delivered"].lookup(u32(vif_id))
            if raw is not None:
                words = memoryview(raw).cast("Q")
                found[vif_id] = Delivered(sum(words[::2]), sum(words[1::2]))
        return found

    def macs_seen(self) -> Mapping[tuple[VifId, Mac], float]:
        """When learnt MACs last sent, within a second; 0: not since they are known."""
        found: dict[tuple[VifId, Mac], float] = {}
        for key, value in self._maps["macs_seen"].items():
            where = abi.MacSeenKey.unpack(key)
            seen_s = int.from_bytes(value, sys.byteorder) / _NANOSECONDS
            found[VifId(where.vif), Mac(where.mac)] = seen_s
        return found

    def punt_counts(self) -> Mapping[str, int]:
        """Frames handed to the agent since load, by reason."""
        counts = {
            reason.name: _sum_u64(self._maps["punt_counts"].lookup(u32(reason)))
            for reason in abi.PuntReason
        }
        return {name: count for name, count in counts.items() if count}

    def interface_drop_counts(self) -> Mapping[VifId, Mapping[str, int]]:
        """The same for each interface; 0 stands for frames of no known interface."""
        counts: dict[VifId, dict[str, int]] = {}
        for raw_key, value in self._maps["interface_drops"].items():
            key = abi.DropKey.unpack(raw_key)
            name = abi.DropReason(key.reason).name
            counts.setdefault(VifId(key.vif), {})[name] = _sum_u64(value)
        return counts

    def table_uses(self) -> Iterable[TableUse]:
        """Tell what maps hold, and the kernel memory they take."""
        return table_uses(self._maps)

    def open_punts(self, receive: Callable[[Punt], None]) -> int:
        """Register the consumer; returns a pollable file descriptor."""
        punts = self._maps["punts"]
        if self._ring is None:
            self._ring = PuntRing(punts.fd, punts.max_entries)
        self._receive = receive
        return punts.fd

    def poll_punts(self, count_max: int = PUNTS_COUNT_MAX) -> int:
        """Hand pending punts to the consumer; returns how many."""
        if self._ring is None or self._receive is None:
            return 0
        return self._ring.drain(self._receive, count_max)

    def close(self) -> None:
        """Release file descriptors; pinned maps and programs keep forwarding."""
        if self._ring is not None:
            self._ring.close()
            self._ring = None
        self._captures.stop_all()
        self._captures.close()
        self._sessions.want(wanted=False)
        self._sessions.close()
        self._loaded.close()

    def _settings(self) -> abi.Settings:
        raw = self._maps["settings"].lookup(_ZERO)
        return abi.Settings.unpack(raw or bytes(abi.SETTINGS_LAYOUT.size))

    def _write_settings(self, settings: abi.Settings) -> None:
        self._maps["settings"].update(_ZERO, settings.pack())


def _by_type(rows: Iterable[Row]) -> Mapping[type[Row], list[Row]]:
    found: dict[type[Row], list[Row]] = {}
    for row in rows:
        found.setdefault(type(row), []).append(row)
    return found


class _CounterReader:
    """Sums a pair's per-CPU counters from shared memory."""

    def __init__(self, counters: bpf_syscall.BpfMap, flow_pairs_max: int) -> None:
        self._pairs = flow_pairs_max
        self._cpu_count = counters.max_entries // flow_pairs_max
        size = counters.max_entries * abi.FLOW_COUNTERS_LAYOUT.size
        pages = (size + mmap.PAGESIZE - 1) // mmap.PAGESIZE * mmap.PAGESIZE
        self._memory = mmap.mmap(
            counters.fd, pages, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ, offset=0
        )

    def packets_and_bytes(self, pair: int, *, reverse: bool) -> tuple[int, int]:
        packets = size = 0
        for cpu in range(self._cpu_count):
            offset = (cpu * self._pairs + pair) * abi.FLOW_COUNTERS_LAYOUT.size
            values: tuple[int, int, int, int] = abi.FLOW_COUNTERS_LAYOUT.unpack_from(
                self._memory, offset
            )
            packets += values[1 if reverse else 0]
            size += values[3 if reverse else 2]
        return packets, size


def _flow_record(
    key: abi.FlowKey4 | abi.FlowKey6, raw: bytes, counters: _CounterReader, now_ns: int
) -> FlowRecord:
    flow = abi.Flow.unpack(raw[: abi.FLOW_LAYOUT.size])
    address = IPv4Address if isinstance(key, abi.FlowKey4) else IPv6Address
    reverse = bool(flow.flags & abi.FlowFlags.REVERSE)
    denied = bool(flow.flags & abi.FlowFlags.DENY)
    packets, size = counters.packets_and_bytes(flow.pair, reverse=reverse)
    return FlowRecord(
        vif_id=VifId(key.vif),
        source=address(key.source),
        destination=address(key.destination),
        protocol=key.protocol,
        source_port=int.from_bytes(key.source_port, "big"),
        destination_port=int.from_bytes(key.destination_port, "big"),
        is_reverse=reverse,
        allowed=not denied,
        drop_reason=abi.DropReason(flow.drop_reason).name if denied else None,
        rule_id=RuleId(flow.rule),
        nexthop_id=NextHopId(flow.nexthop),
        label=flow.label,
        packets=packets,
        bytes=size,
        age_s=max(now_ns - flow.created_ns, 0) / _NANOSECONDS,
        leaves_as=_translated(flow, raw[abi.FLOW_LAYOUT.size :]),
        folded=_folded(flow, address(key.source), address(key.destination))
        if key.direction & abi.FlowDirection.FOLDED
        else None,
    )


def _folded(flow: abi.Flow, *ends: IpAddress) -> tuple[IpNetwork, IpNetwork]:
    to = abi.Translation.unpack(flow.to)
    source, destination = (
        int.from_bytes(raw, "big") for raw in (to.source_port, to.destination_port)
    )
    return folded_prefix(ends[0], source), folded_prefix(ends[1], destination)


def _translated(flow: abi.Flow, beyond: bytes) -> FlowEnds | None:
    """``beyond``: the other words of IPv6 addresses, in an entry of such a flow."""
    if not flow.flags & abi.FlowFlags.TRANSLATED:
        return None
    to = abi.Translation.unpack(flow.to)
    rest = abi.TranslationRest.unpack(beyond) if beyond else abi.TranslationRest(b"", b"")
    return FlowEnds(
        source=ip_address(to.source + rest.source),
        destination=ip_address(to.destination + rest.destination),
        source_port=int.from_bytes(to.source_port, "big"),
        destination_port=int.from_bytes(to.destination_port, "big"),
    )


def _tai_offset_ns() -> int:
    """What the kernel's atomic time, which datapath programs can read, is ahead of UTC: whole seconds."""
    ahead = time.clock_gettime(time.CLOCK_TAI) - time.clock_gettime(time.CLOCK_REALTIME)
    return round(ahead) * _NANOSECONDS


def _sum_u64(raw: bytes | None) -> int:
    if raw is None:
        return 0
    return sum(memoryview(raw).cast("Q"))


def adopted_size(pin: Path) -> int | None:
    """Entries of a map already pinned there."""
    if not pin.exists():
        return None
    fd = bpf_syscall.open_pin(pin)
    try:
        description = bpf_syscall.object_description(fd)
    finally:
        os.close(fd)
    return from_u32(description[16:20])


def mount_bpf_file_system(root: Path) -> None:
    """Make ``root`` a bpf file system unless it is inside one already."""
    root.mkdir(parents=True, exist_ok=True)
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    if any(fields[2] == "bpf" and root.is_relative_to(fields[1]) for fields in mounts):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"bpf", str(root).encode(), b"bpf", 0, b"mode=0700"):
        number = ctypes.get_errno()
        raise OSError(number, f"cannot mount a bpf file system at {root}: {os.strerror(number)}")


def _remove_version(base: Path) -> None:
    """Interfaces that are gone have nothing to take off."""
    links = LinkTable(base)
    for ifindex in links.ifindexes():
        with contextlib.suppress(OSError):
            links.detach(ifindex)
    shutil.rmtree(base, ignore_errors=True)


def remove_datapath(name: str, root: Path = ROOT) -> None:
    """Unpin everything agent ``name`` left: its interfaces stop forwarding. Of filters, those of
    interfaces that this network namespace has.
    """
    for base in (root / name).glob("v*"):
        _remove_version(base)
    close_links(name)
    shutil.rmtree(root / name, ignore_errors=True)
