"""A guest: a real virtual machine under QEMU's software emulation, on a tap of its host.

It boots the image of ``guest_image``; nothing but its host name is passed to it. Commands go over
its serial console (see that module for the lines).
"""

from __future__ import annotations

import itertools
import json
import re
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from skytrail.lab import guest_image
from skytrail.lab.io import netns
from skytrail.lab.io.processes import ProcessTable, Specification
from skytrail.net import Mac

_POLL_S = 0.02
_READ_BYTES = 65536
_ids = itertools.count(1)


class GuestError(Exception):
    """A guest did not do what was asked; the text holds the end of its console."""


@dataclass(frozen=True, slots=True)
class GuestPlace:
    """Where a guest runs and how it is attached."""

    name: str
    host_namespace: str
    ifname: str
    mac: Mac
    memory_mib: int
    mtu_bytes: int
    """Of the tap: at least what the network's MTU option may allow the guest."""
    console: Path
    """Unix socket of the serial console; what it says is also kept in ``<console>.log``."""

    @property
    def process(self) -> str:
        return f"guest-{self.name}"

    @property
    def transcript(self) -> Path:
        return self.console.with_suffix(".console-log")


@dataclass(frozen=True, slots=True)
class GuestLease:
    address: str
    """With prefix length."""
    router: str
    dns: str
    domain: str
    mtu: str


@dataclass(frozen=True, slots=True)
class CommandResult:
    status: int
    output: str


def create_tap(place: GuestPlace) -> None:
    """Create the tap on the host; a leftover is replaced."""
    destroy_tap(place)
    netns.configure(
        place.host_namespace,
        [
            f"tuntap add dev {place.ifname} mode tap vnet_hdr",
            f"link set dev {place.ifname} mtu {place.mtu_bytes} up",
        ],
    )


def destroy_tap(place: GuestPlace) -> None:
    if netns.has_link(place.host_namespace, place.ifname):
        netns.configure(place.host_namespace, [f"link delete dev {place.ifname}"])


def boot(place: GuestPlace, table: ProcessTable) -> None:
    """Start the virtual machine; returns before it has booted."""
    image = guest_image.find()
    place.console.unlink(missing_ok=True)
    place.transcript.unlink(missing_ok=True)
    console = (
        f"socket,id=console,path={place.console},server=on,wait=off,logfile={place.transcript}"
    )
    # An emulated timer may miss its interrupts while the host is busy; the kernel's check of how it
    # is wired would then end in a panic. KVM's guests leave it out of themselves, TCG's do not.
    command = [
        "qemu-system-x86_64", "-M", "pc", "-accel", "tcg", "-cpu", "max", "-nodefaults",
        "-no-user-config", "-no-reboot", "-display", "none", "-smp", "1",
        "-m", str(place.memory_mib), "-kernel", str(image.kernel), "-initrd", str(image.initramfs),
        "-append", f"console=ttyS0 quiet panic=-1 no_timer_check skytrail.hostname={place.name}",
        "-netdev", f"tap,id=net0,ifname={place.ifname},script=no,downscript=no",
        "-device", f"virtio-net-pci,netdev=net0,mac={place.mac},romfile=",
        "-chardev", console,
        "-serial", "chardev:console",
    ]  # fmt: skip
    line = netns.inside(place.host_namespace, command)
    table.start(Specification(name=place.process, command=tuple(line)))


def current_lease(place: GuestPlace) -> GuestLease | None:
    """The address the guest's own DHCP client got, None while it has none."""
    pattern = r"^@skytrail lease (\S+) (\S+) (.+) (\S+) (\S+)\r?$"
    found = re.search(pattern, _log(place), re.MULTILINE)
    return GuestLease(*found.groups()) if found else None


def wait_lease(place: GuestPlace, timeout_s: float) -> GuestLease:
    """Return the guest's address once it has one; :class:`GuestError` when time is up."""
    deadline = time.monotonic() + timeout_s
    while (lease := current_lease(place)) is None:
        if time.monotonic() > deadline:
            raise GuestError(f"guest {place.name}: no lease after {timeout_s:g} s\n{tail(place)}")
        time.sleep(_POLL_S)
    return lease


def boot_s(place: GuestPlace) -> float | None:
    """Seconds from power-on to the guest's init program, by its own clock."""
    found = re.search(r"^@skytrail boot ([0-9.]+)", _log(place), re.MULTILINE)
    return float(found[1]) if found else None


def run(place: GuestPlace, command: str, *, timeout_s: float = 20.0) -> CommandResult:
    """Run a shell command in the guest; one at a time. :class:`GuestError` when it hangs."""
    number = f"{next(_ids)}-{time.monotonic_ns()}"
    pattern = re.compile(
        rf"@skytrail begin {number}\r?\n(.*?)@skytrail end {number} (\d+)".encode(), re.DOTALL
    )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as console:
        console.settimeout(timeout_s)
        received = bytearray()
        try:
            console.connect(str(place.console))
            console.sendall(f"{number} {command}\n".encode())
            while not (found := pattern.search(received)):
                part = console.recv(_READ_BYTES)
                if not part:
                    raise GuestError(f"guest {place.name} ended\n{tail(place)}")
                received += part
        except OSError as error:
            raise GuestError(
                f"guest {place.name}: {json.dumps(command)}: {error}\n{tail(place)}"
            ) from error
    return CommandResult(status=int(found[2]), output=found[1].decode(errors="replace"))


def tail(place: GuestPlace, lines: int = 10) -> str:
    return "\n".join(_log(place).splitlines()[-lines:])


def _log(place: GuestPlace) -> str:
    try:
        return place.transcript.read_text(errors="replace")
    except FileNotFoundError:
        return ""
