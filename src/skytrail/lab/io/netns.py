"""Network namespaces and the links between them.

Namespaces are the named ones of iproute2 (files in ``/run/netns``), so every usual tool sees them.
A thread can work *inside* one (:func:`entered`): sockets it opens there stay there, which lets one
process hold sockets in every namespace of a lab.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from skytrail.net import Mac

NETNS_DIRECTORY = Path("/run/netns")
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class NetworkError(Exception):
    """A namespace or link operation failed; the text holds the tool's own words."""


def create(name: str) -> None:
    """Create the namespace with loopback up and no IPv6 duplicate-address delay."""
    run(["ip", "netns", "add", name])
    set_sysctls(
        name,
        {
            "net/ipv6/conf/all/accept_dad": 0,
            "net/ipv6/conf/default/accept_dad": 0,
            "net/ipv4/conf/all/rp_filter": 0,
            "net/ipv4/conf/default/rp_filter": 0,
            "net/ipv4/ping_group_range": "0 2147483647",
        },
    )
    configure(name, ["link set dev lo up"])


def delete(name: str) -> None:
    """Remove the namespace's name; does nothing when there is none."""
    if exists(name):
        run(["ip", "netns", "delete", name])


def exists(name: str) -> bool:
    return (NETNS_DIRECTORY / name).exists()


def names(prefix: str) -> list[str]:
    """Namespaces whose name starts with ``prefix``, sorted."""
    if not NETNS_DIRECTORY.exists():
        return []
    return sorted(path.name for path in NETNS_DIRECTORY.iterdir() if path.name.startswith(prefix))


def processes(name: str) -> list[int]:
    """Ids of processes whose network namespace this is."""
    return [int(line) for line in run(["ip", "netns", "pids", name]).split()]


def configure(namespace: str | None, commands: Sequence[str]) -> None:
    """Run ``ip`` commands as one batch inside the namespace (None: the caller's)."""
    inside = ["-n", namespace] if namespace else []
    run(["ip", *inside, "-batch", "-"], text="".join(f"{line}\n" for line in commands))


def has_link(namespace: str, ifname: str) -> bool:
    """Tell whether the namespace exists and has an interface of this name."""
    if not exists(namespace):
        return False
    with entered(namespace):
        return ifname in {name for _, name in socket.if_nameindex()}


def mac_of(namespace: str, ifname: str) -> Mac:
    """Return an interface's address; :class:`NetworkError` when there is no such interface."""
    with open_socket(namespace, socket.AF_PACKET, socket.SOCK_RAW) as probe:
        try:
            probe.bind((ifname, 0))
        except OSError as error:
            raise NetworkError(f"{namespace} has no interface {ifname}") from error
        return Mac(probe.getsockname()[4])


def connect(first: tuple[str, str], second: tuple[str, str], *, mtu_bytes: int) -> None:
    """Create a veth pair, each end given as (namespace, interface name), directly in place."""
    (namespace, ifname), (peer_namespace, peer_ifname) = first, second
    line = (
        f"link add name {ifname} mtu {mtu_bytes} netns {namespace} "
        f"type veth peer name {peer_ifname} mtu {mtu_bytes} netns {peer_namespace}"
    )
    configure(None, [line])


def set_sysctls(namespace: str, values: Mapping[str, int | str]) -> None:
    """Write ``net/...`` sysctls of the namespace."""
    with entered(namespace):
        for key, value in values.items():
            Path("/proc/sys", key).write_text(f"{value}\n")


@contextlib.contextmanager
def entered(namespace: str) -> Generator[None]:
    """Move the calling thread into the namespace for the block; other threads stay.

    Do not await inside the block: another task of the same thread would run in the namespace.
    """
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            there = os.open(NETNS_DIRECTORY / namespace, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise NetworkError(f"namespace {namespace} does not exist") from error
        try:
            _setns(there)
        finally:
            os.close(there)
        try:
            yield
        finally:
            _setns(home)
    finally:
        os.close(home)


def open_socket(
    namespace: str, family: int, kind: int = socket.SOCK_DGRAM, protocol: int = 0
) -> socket.socket:
    """Return a socket that lives in the namespace; usable from any thread."""
    with entered(namespace):
        return socket.socket(family, kind, protocol)


def inside(namespace: str, command: Sequence[str]) -> list[str]:
    """Return the command line that runs ``command`` in the namespace.

    Only the network changes: mounts stay shared, so pinned eBPF maps remain visible.
    """
    return ["nsenter", f"--net={NETNS_DIRECTORY / namespace}", "--", *command]


def run(command: Sequence[str], *, text: str | None = None) -> str:
    """Run a short tool and return its output; :class:`NetworkError` when it fails."""
    finished = subprocess.run(command, input=text, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise NetworkError(f"{' '.join(command)}: {finished.stderr.strip()}")
    return finished.stdout


def _setns(descriptor: int) -> None:
    if _libc.setns(descriptor, _CLONE_NEWNET) != 0:
        code = ctypes.get_errno()
        raise NetworkError(f"setns: {os.strerror(code)}; the lab needs root")
