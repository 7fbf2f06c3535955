"""Builds what lab guests boot: Debian's kernel and a busybox initramfs, into ``build/guest``.

The kernel package is downloaded and unpacked, never installed: nothing outside the output
directory changes. Run as ``python -m skytrail.lab.guest_image [--force]``; a second run does nothing.

The guest speaks on its serial console, one line per fact, each starting with ``@skytrail``:

    @skytrail boot <uptime s>              the init program runs
    @skytrail lease <address/prefix> <router> <dns> <domain> <mtu>
    @skytrail ready <uptime s>             commands are read from now on
    @skytrail begin <id>  ... output ...  @skytrail end <id> <exit status>

and reads ``<id> <shell command>`` lines from it.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import subprocess
import sys
import tempfile
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

KERNEL_META_PACKAGE = "linux-image-cloud-amd64"
BUSYBOX = Path("/bin/busybox")
MODULES = (
    # Load order: each needs the ones before it.
    "drivers/virtio/virtio_ring.ko",
    "drivers/virtio/virtio.ko",
    "drivers/virtio/virtio_pci_modern_dev.ko",
    "drivers/virtio/virtio_pci_legacy_dev.ko",
    "drivers/virtio/virtio_pci.ko",
    "net/core/failover.ko",
    "drivers/net/net_failover.ko",
    "drivers/net/virtio_net.ko",
)
APPLETS = (
    "arping awk cat cut dd echo false grep head hostname httpd ifconfig insmod ip kill ls mkdir mount nc "
    "netstat nslookup ping ping6 poweroff printf ps readlink sed seq sh sleep stty sync timeout true "
    "udhcpc uname wget"
)

_INIT = r"""#!/bin/sh
export PATH=/bin HOME=/
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
uptime_s() { cut -d ' ' -f 1 /proc/uptime; }
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -F /dev/ttyS0 -echo -icrnl -opost
echo 1 >/proc/sys/kernel/printk
echo "@skytrail boot $(uptime_s)"
while read -r module; do insmod "/modules/$module"; done </modules/order
name=guest dhcp=
for word in $(cat /proc/cmdline); do
    case "$word" in
    skytrail.hostname=*) name=${word#*=} ;;
    skytrail.dhcp=no) dhcp=no ;;
    esac
done
hostname "$name"
ip link set dev lo up
tries=0
while [ ! -e /sys/class/net/eth0 ] && [ $tries -lt 100 ]; do tries=$((tries + 1)); sleep 0.05; done
ip link set dev eth0 up
[ "$dhcp" = no ] || udhcpc -i eth0 -f -t 30 -T 1 -A 1 -s /etc/udhcpc.script -x "hostname:$name" \
    -O mtu -O staticroutes </dev/null >/dev/null 2>&1 &
echo "@skytrail ready $(uptime_s)"
while read -r id command; do
    [ -n "$id" ] || continue
    echo "@skytrail begin $id"
    sh -c "$command" </dev/null
    echo "@skytrail end $id $?"
done
poweroff -f
"""

_UDHCPC_SCRIPT = r"""#!/bin/sh
case "$1" in
deconfig) ip link set dev "$interface" up; ip addr flush dev "$interface" scope global ;;
bound | renew)
    [ -n "$mtu" ] && ip link set dev "$interface" mtu "$mtu"
    ip addr replace "$ip/$mask" dev "$interface"
    for router_address in $router; do
        ip route replace default via "$router_address" dev "$interface" && break
    done
    : >/etc/resolv.conf
    [ -n "$domain" ] && echo "search $domain" >>/etc/resolv.conf
    for server in $dns; do echo "nameserver $server" >>/etc/resolv.conf; done
    echo "@skytrail lease $ip/$mask ${router:--} ${dns:--} ${domain:--} ${mtu:--}" >/dev/ttyS0
    ;;
esac
"""


class GuestImageError(Exception):
    """The guest image cannot be built; the text says what to do."""


@dataclass(frozen=True, slots=True)
class GuestImage:
    kernel: Path
    initramfs: Path
    kernel_version: str


def default_directory() -> Path:
    """``$SKYTRAIL_GUEST_DIR``, else the checkout's ``build/guest``, else a cache directory."""
    chosen = os.environ.get("SKYTRAIL_GUEST_DIR")
    if chosen:
        return Path(chosen)
    checkout = Path(__file__).resolve().parents[3]
    if (checkout / "pyproject.toml").exists():
        return checkout / "build" / "guest"
    return Path("/var/cache/skytrail/guest")


def find(directory: Path | None = None) -> GuestImage:
    """Return the built image; :class:`GuestImageError` when there is none."""
    directory = directory or default_directory()
    image = GuestImage(directory / "vmlinuz", directory / "initramfs.cpio", "")
    version = directory / "version"
    if not (image.kernel.exists() and image.initramfs.exists() and version.exists()):
        raise GuestImageError(
            f"no guest image in {directory}; build it: python -m skytrail.lab.guest_image"
        )
    return GuestImage(image.kernel, image.initramfs, version.read_text().strip())


def build(
    directory: Path | None = None, *, force: bool = False, extra: Extra | None = None
) -> GuestImage:
    """Build the image if it is missing (or ``force``) and return it."""
    extra = extra or NOTHING_MORE
    directory = directory or default_directory()
    if not force:
        try:
            return find(directory)
        except GuestImageError:
            pass
    if not BUSYBOX.exists():
        raise GuestImageError(f"{BUSYBOX} is missing: apt-get install busybox-static")
    directory.mkdir(parents=True, exist_ok=True)
    with unpacked_kernel(KERNEL_META_PACKAGE, directory) as kernel:
        archive = initramfs(BUSYBOX.read_bytes(), kernel.modules, extra)
        write_image(directory, kernel, archive)
    return find(directory)


@dataclass(frozen=True, slots=True)
class UnpackedKernel:
    image: Path
    modules: Path
    version: str


@contextlib.contextmanager
def unpacked_kernel(meta_package: str, directory: Path) -> Generator[UnpackedKernel]:
    """Download Debian's kernel of this name and unpack it below ``directory`` for the block."""
    package = _kernel_package(meta_package)
    with tempfile.TemporaryDirectory(dir=directory, prefix="unpack-") as scratch:
        unpacked = _download_and_unpack(package, Path(scratch))
        kernels = sorted((unpacked / "boot").glob("vmlinuz-*"))
        if len(kernels) != 1:
            raise GuestImageError(f"package {package} holds {len(kernels)} kernels, expected one")
        version = kernels[0].name.removeprefix("vmlinuz-")
        modules = unpacked / "lib" / "modules" / version / "kernel"
        yield UnpackedKernel(kernels[0], modules, version)


def write_image(directory: Path, kernel: UnpackedKernel, archive: bytes) -> None:
    """Make a kernel and its initramfs what :func:`find` finds there."""
    _replace(directory / "initramfs.cpio", archive)
    _replace(directory / "vmlinuz", kernel.image.read_bytes())
    _replace(directory / "version", f"{kernel.version}\n".encode())


@dataclass(frozen=True, slots=True)
class Extra:
    """What a guest has beyond the common one."""

    modules: tuple[str, ...] = ()
    """Kernel modules in load order, after the common ones."""
    folders: tuple[str, ...] = ()
    """Parents before children."""
    files: tuple[tuple[str, Path], ...] = ()
    """Name in the guest, and the file of this machine that it is."""


NOTHING_MORE = Extra()


def initramfs(busybox: bytes, modules: Path, extra: Extra = NOTHING_MORE) -> bytes:
    """Return the cpio archive; modules the kernel has built in are left out."""
    wanted = (*MODULES, *extra.modules)
    present = [name for name in wanted if (modules / name).exists()]
    archive = CpioArchive()
    for folder in ("bin", "dev", "etc", "modules", "proc", "sys", "tmp"):
        archive.add_directory(folder)
    archive.add_device("dev/console", major=5, minor=1)
    archive.add_device("dev/ttyS0", major=4, minor=64)
    archive.add_device("dev/null", major=1, minor=3)
    archive.add_file("bin/busybox", busybox, executable=True)
    for applet in APPLETS.split():
        archive.add_symlink(f"bin/{applet}", "busybox")
    for name in present:
        archive.add_file(f"modules/{Path(name).name}", (modules / name).read_bytes())
    order = "".join(f"{Path(name).name}\n" for name in present)
    archive.add_file("modules/order", order.encode())
    archive.add_file("etc/udhcpc.script", _UDHCPC_SCRIPT.encode(), executable=True)
    archive.add_file("init", _INIT.encode(), executable=True)
    for folder in extra.folders:
        archive.add_directory(folder)
    for name, source in extra.files:
        archive.add_file(name, source.read_bytes(), executable=True)
    return archive.finish()


class CpioArchive:
    """Writes the "newc" archive format the kernel unpacks; times are 0 so builds are equal."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._inode = 0

    def add_directory(self, name: str) -> None:
        self._add(name, stat.S_IFDIR | 0o755, b"")

    def add_file(self, name: str, content: bytes, *, executable: bool = False) -> None:
        self._add(name, stat.S_IFREG | (0o755 if executable else 0o644), content)

    def add_symlink(self, name: str, target: str) -> None:
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def add_device(self, name: str, *, major: int, minor: int) -> None:
        self._add(name, stat.S_IFCHR | 0o600, b"", device=(major, minor))

    def finish(self) -> bytes:
        self._add("TRAILER!!!", 0, b"")
        return b"".join(self._parts)

    def _add(
        self, name: str, mode: int, content: bytes, *, device: tuple[int, int] = (0, 0)
    ) -> None:
        self._inode += 1
        encoded = name.encode() + b"\0"
        fields = (
            self._inode,
            mode,
            0,  # user
            0,  # group
            1,  # links
            0,  # time
            len(content),
            0,  # device the file is on
            0,
            *device,
            len(encoded),
            0,  # checksum, unused in this variant
        )
        header = b"070701" + b"".join(b"%08x" % field for field in fields)
        self._parts += [_pad(header + encoded), _pad(content)]


def _pad(part: bytes) -> bytes:
    return part + bytes(-len(part) % 4)


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_suffix(".new")
    temporary.write_bytes(content)
    temporary.rename(path)


def _kernel_package(meta_package: str) -> str:
    """Resolve the meta package to the versioned one that holds the kernel."""
    listing = _run(["apt-cache", "depends", meta_package], Path("/"))
    match = re.search(r"Depends: (linux-image-\S+)", listing)
    if not match:
        raise GuestImageError(
            f"the package lists name no kernel for {meta_package}; run: apt-get update"
        )
    return match[1]


def _download_and_unpack(package: str, scratch: Path) -> Path:
    _run(["apt-get", "download", "-o", "APT::Sandbox::User=root", package], scratch)
    archives = sorted(scratch.glob("*.deb"))
    if len(archives) != 1:
        raise GuestImageError(
            f"apt-get download {package} left {len(archives)} files, expected one"
        )
    unpacked = scratch / "root"
    _run(["dpkg-deb", "-x", str(archives[0]), str(unpacked)], scratch)
    return unpacked


def _run(command: list[str], directory: Path) -> str:
    finished = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    if finished.returncode != 0:
        raise GuestImageError(f"{' '.join(command)} failed: {finished.stderr.strip()}")
    return finished.stdout


def main(arguments: list[str]) -> int:
    try:
        image = build(force="--force" in arguments)
    except GuestImageError as error:
        print(f"guest image: {error}", file=sys.stderr)
        return 1
    print(f"guest image: kernel {image.kernel_version} in {image.kernel.parent}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
