"""Whether a machine can be a compute host, from facts that ``io.host_probe`` found. Pure.

A finding that failed keeps the agent from starting or packets from flowing; a warning costs speed
or may bite. Both say what to do.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final

from skytrail.agent.interface import TUNNEL_OVERHEAD_BYTES

KERNEL_OLDEST: tuple[int, int] = (6, 1)
ENCAPSULATIONS: Final = {
    "MPLS over UDP": 46,
    "MPLS over GRE": 42,
    "VXLAN": TUNNEL_OVERHEAD_BYTES,
    "none (IPv4)": 0,
}
"""Bytes of underlay MTU a workload's packet does not get: outer IPv4, the tunnel, and the Ethernet header
of a bridged frame, which is the larger case."""
OUTER_IPV6_FURTHER_BYTES: Final = 20
_INNER_MTU_MIN: Final = 1280
"""What IPv6 asks of every link."""
TUNNEL_PORTS: Final = {6635: "MPLS over UDP", 4789: "VXLAN"}
TUNNEL_OFFLOADS: Final = ("tx-udp_tnl-segmentation", "tx-gre-segmentation")
OFFLOADS: Final = ("tx-tcp-segmentation", "tx-generic-segmentation", "rx-gro")
OWN_PROGRAMS: Final = ("underlay_ingress", "workload_ingress", "mirror_ingress")
_PROGRAM_NAME_BYTES: Final = 15
"""The kernel keeps so much of a name."""
_CPU_SHARE_BYTES: Final = 32
_FLOW_BYTES: Final = 644
_MEBIBYTE: Final = 1 << 20


class Verdict(enum.Enum):
    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One row of the report."""

    subject: str
    verdict: Verdict
    found: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class KernelFacts:
    release: str
    is_root: bool
    jit: bool
    has_btf: bool
    has_tcx: bool
    has_clsact: bool | None
    """None: nothing tells."""
    missing_helpers: Sequence[str]
    missing_maps: Sequence[str]
    load_problem: str
    """Why the programs do not load; empty when they do."""
    tables_bytes: int
    """Kernel memory of all tables but flows, while they are empty."""


@dataclass(frozen=True, slots=True)
class UnderlayFacts:
    """The link that carries tunnels; ``mtu_bytes`` 0: there is none of that name."""

    ifname: str
    mtu_bytes: int = 0
    is_up: bool = False
    has_carrier: bool = False
    addresses: Sequence[str] = ()
    driver: str = ""
    offloads: dict[str, bool] | None = None
    """By name whether it is on; a name that is missing the link cannot. None: it does not tell."""
    xdp_program: str = ""
    ingress_programs: Sequence[str] = ()
    """TCX programs and filters at ingress, in order."""


@dataclass(frozen=True, slots=True)
class UplinksFacts:
    """What counts where several links lead into the underlay, and the kernel's routes choose."""

    further: Sequence[UnderlayFacts]
    """The links after the first."""
    loopback_addresses: Sequence[str]
    hashes_ports: bool
    """Flows are told apart by their outer ports."""
    shuns_dead_links: bool
    """A link without carrier is not routed by."""
    shuns_dead_neighbours: bool | None
    """Nor is a router that does not answer ARP. None: over IPv6, which knows no such setting."""


@dataclass(frozen=True, slots=True)
class ControlFacts:
    address: str
    source: str = ""
    """What this host would speak to it from; empty: there is no route."""
    problem: str = ""
    """Why no connection came about; empty when one did."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the host is to be."""

    underlay: str = ""
    """Of several links their names joined by commas."""
    address: str = ""
    controls: Sequence[str] = ()
    flows: int = 131072
    mtu_bytes: int = 0
    """Of workloads; 0: whatever fits."""
    tables: Mapping[str, int] = field(default_factory=dict[str, int])
    """Sizes of other tables, where they are not the usual ones."""


@dataclass(frozen=True, slots=True)
class HostFacts:
    kernel: KernelFacts
    underlay: UnderlayFacts | None
    controls: Sequence[ControlFacts]
    taken_ports: Sequence[int]
    """Of TUNNEL_PORTS, those that a socket of this host has."""
    cpu_count: int
    memory_bytes: int
    """What is available, also to the agent's unit."""
    adopted_flows: int
    """Connections the table holds that an agent made here before; 0: there is none."""
    is_clock_synchronised: bool
    clock_error_s: float
    uplinks: UplinksFacts | None = None
    """None: one link leads into the underlay."""


def judge(wanted: Wanted, facts: HostFacts) -> list[Finding]:
    """Return the report, in the order in which things are to be mended."""
    return [
        *_kernel(facts.kernel),
        *_underlay(wanted, facts),
        *_controls(wanted, facts.controls),
        _clock(facts),
        _memory(wanted, facts),
    ]


def is_fit(findings: Sequence[Finding]) -> bool:
    """Tell whether nothing failed."""
    return all(finding.verdict is not Verdict.FAILED for finding in findings)


def flow_table_bytes(flows: int, cpu_count: int) -> int:
    """Kernel memory of a flow table, all of it taken when it is made."""
    return flows * (_FLOW_BYTES + _CPU_SHARE_BYTES * cpu_count)


def _kernel(kernel: KernelFacts) -> Iterator[Finding]:
    number = re.match(r"(\d+)\.(\d+)", kernel.release)
    is_old = number is None or _is_old(int(number[1]), int(number[2]))
    yield _failed_if(
        is_old, "kernel", kernel.release,
        "install a kernel of 6.1 or later (Debian 12 and Ubuntu 24.04 have one)",
    )  # fmt: skip
    yield _failed_if(
        not kernel.is_root, "rights", "root" if kernel.is_root else "not root",
        "run this as root: without, BPF cannot be looked at and the rows below may be wrong",
    )  # fmt: skip
    yield _failed_if(
        not kernel.has_btf, "BTF", "/sys/kernel/btf/vmlinux" if kernel.has_btf else "none",
        "use a kernel with CONFIG_DEBUG_INFO_BTF=y, as distributions' own are",
    )  # fmt: skip
    yield _hook(kernel)
    yield _warning_if(
        not kernel.jit, "BPF compiler", "on" if kernel.jit else "off: programs are interpreted",
        "sysctl -w net.core.bpf_jit_enable=1, and the same in /etc/sysctl.d",
    )  # fmt: skip
    missing = [*kernel.missing_maps, *kernel.missing_helpers]
    yield _failed_if(
        bool(missing), "BPF maps and helpers",
        f"missing: {', '.join(missing)}" if missing else "all that the programs need",
        "use a kernel of 6.1 or later with CONFIG_BPF_SYSCALL, CONFIG_NET_CLS_ACT and CONFIG_BPF_EVENTS",
    )  # fmt: skip
    yield _failed_if(
        bool(kernel.load_problem), "programs", kernel.load_problem or "load and pass the verifier",
        "mend the rows above; if they are well, `make install` again and report the kernel's release",
    )  # fmt: skip


def _is_old(major: int, minor: int) -> bool:
    return (major, minor) < KERNEL_OLDEST


def _hook(kernel: KernelFacts) -> Finding:
    if kernel.has_tcx:
        return Finding("hook", Verdict.OK, "TCX")
    advice = "modprobe sch_ingress && modprobe cls_bpf, or install the kernel's extra modules"
    if kernel.has_clsact is None:
        found = "no TCX; nothing tells whether clsact is there"
        return Finding("hook", Verdict.WARNING, found, advice)
    found = "clsact (TCX comes with 6.6)" if kernel.has_clsact else "neither TCX nor clsact"
    return _failed_if(not kernel.has_clsact, "hook", found, advice)


def _underlay(wanted: Wanted, facts: HostFacts) -> Iterator[Finding]:
    underlay = facts.underlay
    if underlay is None:
        advice = "set UNDERLAY in /etc/skytrail/agent.env, or give --underlay"
        yield Finding("underlay", Verdict.FAILED, "not told", advice)
        return
    uplinks = facts.uplinks
    links = (underlay, *(uplinks.further if uplinks else ()))
    for link in links:
        yield _link(link)
    there = [link for link in links if link.mtu_bytes]
    if not there:
        return
    if uplinks is None:
        yield _address(wanted, underlay.ifname, underlay.addresses)
    else:
        yield _address(wanted, "lo", uplinks.loopback_addresses)
        yield from _uplinks(uplinks)
    narrowest = min(there, key=lambda link: link.mtu_bytes)
    is_ipv6 = ":" in wanted.address
    for encapsulation, overhead in ENCAPSULATIONS.items():
        if is_ipv6 and overhead:
            name, further = f"{encapsulation} over IPv6", OUTER_IPV6_FURTHER_BYTES
            yield _headroom(wanted, narrowest, name, overhead + further)
        elif not is_ipv6:
            yield _headroom(wanted, narrowest, encapsulation, overhead)
    for link in there:
        yield from _offloads(link)
        yield from _programs(link)
    for port in facts.taken_ports:
        advice = (
            "the agent takes packets to it off the underlay: give what listens there another port "
            "(`ss -ulnp`, `ip -d link show type vxlan`), or another address and interface"
        )
        found = f"UDP {port} ({TUNNEL_PORTS[port]}) is in use on this host"
        yield Finding("tunnel ports", Verdict.WARNING, found, advice)


def _link(underlay: UnderlayFacts) -> Finding:
    name = underlay.ifname
    if not underlay.mtu_bytes:
        advice = "name a link that `ip link` lists"
        return Finding("underlay", Verdict.FAILED, f"there is no link {name}", advice)
    state = "up" if underlay.has_carrier else "no carrier"
    return _failed_if(
        not (underlay.is_up and underlay.has_carrier), "underlay",
        f"{name} {state if underlay.is_up else 'down'}",
        f"ip link set {name} up, and look at the cable or the bond below it",
    )  # fmt: skip


def _address(wanted: Wanted, ifname: str, addresses: Sequence[str]) -> Finding:
    there = ", ".join(addresses) or "none"
    if not wanted.address:
        advice = "set ADDRESS in /etc/skytrail/agent.env, or give --address"
        return Finding("address", Verdict.FAILED, f"not told; {ifname} has {there}", advice)
    return _failed_if(
        _plain(wanted.address) not in map(_plain, addresses), "address",
        f"{wanted.address}; {ifname} has {there}",
        f"ip address add {wanted.address}/LENGTH dev {ifname}, or name one that it has",
    )  # fmt: skip


def _plain(text: str) -> str:
    """Return an address as it is usually written; what is none stays as it is."""
    try:
        return str(ip_address(text))
    except ValueError:
        return text


def _uplinks(uplinks: UplinksFacts) -> Iterator[Finding]:
    if uplinks.shuns_dead_neighbours is None:
        yield from _uplinks6(uplinks)
        return
    yield _warning_if(
        not uplinks.hashes_ports, "flows over uplinks",
        "chosen by ports" if uplinks.hashes_ports else "chosen by the hosts' addresses alone",
        "sysctl -w net.ipv4.fib_multipath_hash_policy=1, and the same in /etc/sysctl.d; without, all "
        "flows between two hosts take one link",
    )  # fmt: skip
    good = uplinks.shuns_dead_links and uplinks.shuns_dead_neighbours
    yield _warning_if(
        not good, "failure of uplinks", "seen by carrier and ARP" if good else "not seen by routes",
        "sysctl -w net.ipv4.conf.all.ignore_routes_with_linkdown=1 net.ipv4.fib_multipath_use_neigh=1, "
        "and the same in /etc/sysctl.d; or a routing protocol that takes routes away in time",
    )  # fmt: skip


def _uplinks6(uplinks: UplinksFacts) -> Iterator[Finding]:
    """Routes over IPv6 tell flows apart by the flow label, if not by ports."""
    yield _warning_if(
        not uplinks.hashes_ports, "flows over uplinks",
        "chosen by ports" if uplinks.hashes_ports else "chosen by flow labels",
        "sysctl -w net.ipv6.fib_multipath_hash_policy=1, and the same in /etc/sysctl.d; without, "
        "`skytrail trace` cannot say which link a flow takes",
    )  # fmt: skip
    good = uplinks.shuns_dead_links
    yield _warning_if(
        not good, "failure of uplinks", "seen by carrier" if good else "not seen by routes",
        "sysctl -w net.ipv6.conf.all.ignore_routes_with_linkdown=1, and the same for default and the "
        "links, in /etc/sysctl.d as well; or a routing protocol that takes routes away in time",
    )  # fmt: skip


def _headroom(
    wanted: Wanted, underlay: UnderlayFacts, encapsulation: str, overhead: int
) -> Finding:
    inner = underlay.mtu_bytes - overhead
    needed = max(wanted.mtu_bytes, _INNER_MTU_MIN)
    return _failed_if(
        inner < needed, f"MTU, {encapsulation}",
        f"{underlay.mtu_bytes} - {overhead} = {inner} bytes for workloads",
        f"ip link set {underlay.ifname} mtu {needed + overhead}, and at least that on every switch and "
        "router between hosts"
        + (f"; or give workloads an MTU of {inner}" if inner >= _INNER_MTU_MIN else ""),
    )  # fmt: skip


def _offloads(underlay: UnderlayFacts) -> Iterator[Finding]:
    known = underlay.offloads
    if known is None:
        advice = "see `ethtool -k`"
        yield Finding("offloads", Verdict.WARNING, f"{underlay.ifname} does not tell", advice)
        return
    driver = f" ({underlay.driver})" if underlay.driver else ""
    off = [name for name in OFFLOADS if not known.get(name, False)]
    yield _warning_if(
        bool(off), "offloads",
        (f"off or missing: {', '.join(off)}" if off else "TSO, GSO, GRO") + driver,
        f"ethtool -K {underlay.ifname} tso on gso on gro on; without, each segment is handled by itself",
    )  # fmt: skip
    off = [name for name in TUNNEL_OFFLOADS if not known.get(name, False)]
    have = [name for name in off if name in known]
    turn_on = " ".join(f"{name} on" for name in have)
    yield _warning_if(
        bool(off), "tunnel offloads",
        (f"off or missing: {', '.join(off)}" if off else "UDP and GRE segmentation") + driver,
        (f"ethtool -K {underlay.ifname} {turn_on}" if have else "none with this card")
        + "; without, the kernel cuts tunnelled segments itself, which costs CPU",
    )  # fmt: skip


def _programs(underlay: UnderlayFacts) -> Iterator[Finding]:
    if underlay.xdp_program:
        advice = (
            "it sees packets before the vRouter does: let it pass UDP 6635 and 4789 and IP protocol 47, "
            f"or `ip link set {underlay.ifname} xdp off`"
        )
        found = f"{underlay.xdp_program} on {underlay.ifname}"
        yield Finding("XDP program", Verdict.WARNING, found, advice)
    own = {name[:_PROGRAM_NAME_BYTES] for name in OWN_PROGRAMS}
    others = [name for name in underlay.ingress_programs if name[:_PROGRAM_NAME_BYTES] not in own]
    ours = len(underlay.ingress_programs) - len(others)
    yield _warning_if(
        bool(others), "programs on the underlay",
        f"of others, at ingress: {', '.join(others)}" if others
        else ("the vRouter's own" if ours else "none"),
        "what comes first may take packets away from the other: let it pass UDP 6635 and 4789 and IP "
        f"protocol 47, or remove it (`bpftool net`, `tc filter show dev {underlay.ifname} ingress`)",
    )  # fmt: skip


def _controls(wanted: Wanted, controls: Sequence[ControlFacts]) -> Iterator[Finding]:
    if not wanted.controls:
        advice = "set CONTROL in /etc/skytrail/agent.env, or give --control"
        yield Finding("control node", Verdict.FAILED, "not told", advice)
    for control in controls:
        if not control.source:
            yield Finding(
                "control node", Verdict.FAILED, f"{control.address}: {control.problem or 'no route'}",
                "give this host a route to it (`ip route get`), or mend the name",
            )  # fmt: skip
            continue
        found = f"{control.address} from {control.source}"
        yield _failed_if(
            bool(control.problem), "control node",
            f"{found}: {control.problem or 'answers'}",
            "start it, have it listen there (`--control-listen`), and let TCP to that port pass",
        )  # fmt: skip


def _clock(facts: HostFacts) -> Finding:
    error = f"{facts.clock_error_s:.3f} s at most"
    return _warning_if(
        not facts.is_clock_synchronised, "clock",
        f"synchronised, off by {error}" if facts.is_clock_synchronised else "not synchronised",
        "run chrony or systemd-timesyncd: certificates and the order of logs of hosts need the time",
    )  # fmt: skip


def _memory(wanted: Wanted, facts: HostFacts) -> Finding:
    if facts.adopted_flows:
        found = f"tables are there, for {facts.adopted_flows:,} connections"
        return _warning_if(
            facts.adopted_flows != wanted.flows, "memory", found,
            f"`--flows {wanted.flows}` counts after the host started anew",
        )  # fmt: skip
    flows = flow_table_bytes(wanted.flows, facts.cpu_count)
    needed = flows + facts.kernel.tables_bytes
    found = (
        f"{_mebibytes(needed)} needed ({_mebibytes(flows)} for {wanted.flows:,} connections), "
        f"{_mebibytes(facts.memory_bytes)} available"
    )
    advice = "give the agent a smaller `--flows` or `--table`, or the host more memory"
    if needed > facts.memory_bytes:
        return Finding("memory", Verdict.FAILED, found, advice)
    return _warning_if(needed > facts.memory_bytes // 2, "memory", found, advice)


def _mebibytes(count: int) -> str:
    return f"{count / _MEBIBYTE:,.0f} MiB"


def _failed_if(bad: bool, subject: str, found: str, advice: str) -> Finding:
    return _judged(Verdict.FAILED if bad else Verdict.OK, subject, found, advice)


def _warning_if(bad: bool, subject: str, found: str, advice: str) -> Finding:
    return _judged(Verdict.WARNING if bad else Verdict.OK, subject, found, advice)


def _judged(verdict: Verdict, subject: str, found: str, advice: str) -> Finding:
    return Finding(subject, verdict, found, "" if verdict is Verdict.OK else advice)
