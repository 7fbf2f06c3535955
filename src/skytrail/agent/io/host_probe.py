"""Finds the facts that :mod:`skytrail.agent.host_check` judges. Changes nothing, leaves nothing."""

from __future__ import annotations

import ctypes
import gzip
import os
import platform
import socket
import struct
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pyroute2 import IPRoute

from skytrail.agent import abi
from skytrail.agent.control_choice import read_control
from skytrail.agent.host_check import (
    OWN_PROGRAMS,
    TUNNEL_PORTS,
    ControlFacts,
    HostFacts,
    KernelFacts,
    UnderlayFacts,
    UplinksFacts,
    Wanted,
)
from skytrail.agent.io import bpf_probe, bpf_syscall, nic
from skytrail.agent.io.bpf_links import OWN_HANDLE
from skytrail.agent.io.ebpf import adopted_size
from skytrail.agent.io.netlink import link_index

CONTROL_PORT = 5269
_CONNECT_TIMEOUT_S = 2.0
_LOOPBACK_IFINDEX = 1
_IFF_UP, _IFF_LOWER_UP = 0x1, 0x10000
_INGRESS = 0xFFFFFFF2
_TIMEX_BYTES, _TIME_ERROR, _STA_UNSYNC = 208, 5, 0x40
_UNIT_MEMORY = Path("/sys/fs/cgroup/system.slice/skytrail-agent.service")
_CLSACT = ("sch_ingress", "cls_bpf")


def probe(wanted: Wanted, pins: Path) -> HostFacts:
    """Look at this machine. ``pins`` is where its agent pins tables."""
    synchronised, error_s = _clock()
    names = [each for each in wanted.underlay.split(",") if each]
    return HostFacts(
        kernel=_kernel(wanted.tables),
        underlay=_underlay(names[0]) if names else None,
        uplinks=_uplinks(names[1:], wanted.address) if names[1:] else None,
        controls=tuple([_control(text) for text in wanted.controls]),
        taken_ports=_taken_ports(),
        cpu_count=bpf_syscall.possible_cpu_count(),
        memory_bytes=_memory(),
        adopted_flows=_adopted_flows(pins),
        is_clock_synchronised=synchronised,
        clock_error_s=error_s,
    )


def _kernel(tables: Mapping[str, int]) -> KernelFacts:
    compiled = Path("/proc/sys/net/core/bpf_jit_enable")
    problem, size = bpf_probe.load_programs(sizes=tables)
    return KernelFacts(
        release=platform.release(),
        is_root=os.geteuid() == 0,
        # A kernel that always compiles has no such setting, or lets only root read it.
        jit=not os.access(compiled, os.R_OK) or compiled.read_text().strip() != "0",
        has_btf=Path("/sys/kernel/btf/vmlinux").exists(),
        has_tcx=bpf_probe.tcx_programs(_LOOPBACK_IFINDEX) is not None,
        has_clsact=_has_clsact(),
        missing_helpers=bpf_probe.missing_helpers(),
        missing_maps=bpf_probe.missing_maps(),
        load_problem=problem,
        tables_bytes=size,
    )


def _has_clsact() -> bool | None:
    """Look for the two parts among modules, or in the kernel's configuration."""
    folder = Path("/lib/modules") / platform.release()
    lists = [folder / "modules.builtin", folder / "modules.dep"]
    texts = [each.read_text(errors="replace") for each in lists if each.exists()]
    if texts:
        return all(any(f"/{name}.ko" in text for text in texts) for name in _CLSACT)
    configuration = Path("/proc/config.gz")
    if not configuration.exists():
        return None
    text = gzip.decompress(configuration.read_bytes()).decode(errors="replace")
    return all(f"\nCONFIG_NET_{name.upper()}=" in text for name in _CLSACT)


def _underlay(ifname: str) -> UnderlayFacts:
    ifindex = link_index(ifname)
    if not ifindex:
        return UnderlayFacts(ifname)
    with IPRoute() as route:
        link = next(iter(route.get_links(ifindex)))
        addresses = [
            str(each.get_attr("IFA_LOCAL") or each.get_attr("IFA_ADDRESS"))
            for each in route.get_addr(index=ifindex)
        ]
        filters = [
            _filter_name(each["handle"], each.get_attr("TCA_KIND"), each.get_attr("TCA_OPTIONS"))
            for each in route.get_filters(index=ifindex, parent=_INGRESS)
        ]
    xdp = link.get_attr("IFLA_XDP")
    program = xdp.get_attr("IFLA_XDP_PROG_ID") if xdp else None
    return UnderlayFacts(
        ifname=ifname,
        mtu_bytes=int(link.get_attr("IFLA_MTU") or 0),
        is_up=bool(link["flags"] & _IFF_UP),
        has_carrier=bool(link["flags"] & _IFF_LOWER_UP),
        addresses=addresses,
        driver=nic.driver(ifname),
        offloads=nic.features(ifname),
        xdp_program=bpf_probe.program_name(int(program)) if program else "",
        ingress_programs=[
            *(bpf_probe.tcx_programs(ifindex) or []),
            *dict.fromkeys(name for name in filters if name),
        ],
    )


def _uplinks(further: Sequence[str], address: str) -> UplinksFacts:
    is_ipv6 = ":" in address
    settings = Path("/proc/sys/net/ipv6" if is_ipv6 else "/proc/sys/net/ipv4")

    def is_on(name: str) -> bool:
        return (settings / name).read_text(encoding="ascii").strip() != "0"

    return UplinksFacts(
        further=[_underlay(each) for each in further],
        loopback_addresses=_underlay("lo").addresses,
        hashes_ports=is_on("fib_multipath_hash_policy"),
        shuns_dead_links=is_on("conf/all/ignore_routes_with_linkdown"),
        shuns_dead_neighbours=None if is_ipv6 else is_on("fib_multipath_use_neigh"),
    )


def _filter_name(handle: int, kind: str, options: object) -> str:
    """Name a filter by what it was loaded from; empty for the kernel's heads of lists."""
    get = getattr(options, "get_attr", None)
    if get is None:
        return ""
    if kind != "bpf":
        return f"filter {kind}"
    if handle == OWN_HANDLE:
        return OWN_PROGRAMS[0]
    return str(get("TCA_BPF_NAME") or "filter of classic BPF")


def _control(text: str) -> ControlFacts:
    try:
        node = read_control(text, CONTROL_PORT)
    except ValueError as error:
        return ControlFacts(text, "", str(error))
    host, port = node.host, node.port
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as handle:
            # Sends nothing: the kernel only chooses the way.
            handle.connect((host, port))
            source = str(handle.getsockname()[0])
    except OSError as error:
        return ControlFacts(shown, "", error.strerror or str(error))
    try:
        socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT_S).close()
    except OSError as error:
        return ControlFacts(shown, source, error.strerror or str(error))
    return ControlFacts(shown, source)


def _taken_ports() -> list[int]:
    taken: set[int] = set()
    for name in ("udp", "udp6"):
        path = Path("/proc/self/net") / name
        lines = path.read_text(encoding="ascii").splitlines()[1:] if path.exists() else []
        taken |= {int(line.split()[1].rpartition(":")[2], 16) for line in lines}
    return sorted(taken & TUNNEL_PORTS.keys())


def _memory() -> int:
    """What the machine has available, or less when the agent's unit may use less."""
    values = dict(_pairs(Path("/proc/meminfo").read_text(encoding="ascii").splitlines()))
    available = values["MemAvailable"] * 1024
    limit = _UNIT_MEMORY / "memory.max"
    text = limit.read_text(encoding="ascii").strip() if limit.exists() else "max"
    return min(available, int(text)) if text.isdigit() else available


def _pairs(lines: Iterable[str]) -> Iterable[tuple[str, int]]:
    for line in lines:
        name, _, rest = line.partition(":")
        yield name, int(rest.split()[0])


def _adopted_flows(pins: Path) -> int:
    """Size of the table of this version that an agent made here; of several the largest."""
    if os.geteuid():
        return 0
    sizes = [adopted_size(pin) for pin in pins.glob(f"*/v{abi.ABI_VERSION}/flow_pairs")]
    return max((size for size in sizes if size), default=0)


def _clock() -> tuple[bool, float]:
    """Whether the kernel's clock is kept by something, and the most it may be off by."""
    libc = ctypes.CDLL(None, use_errno=True)
    state = ctypes.create_string_buffer(_TIMEX_BYTES)
    result: int = libc.adjtimex(state)
    microseconds: int = struct.unpack_from("=q", state, 24)[0]
    status: int = struct.unpack_from("=i", state, 40)[0]
    synchronised = result not in {-1, _TIME_ERROR} and not status & _STA_UNSYNC
    return synchronised, microseconds / 1e6
