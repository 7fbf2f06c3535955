"""Runs a command of this checkout on Debian's own kernel, in a virtual machine.

    python bpf/other_kernel.py -- .venv/bin/pytest bpf/tests

The machine sees this machine's /usr, the checkout and its Python environment, read-only below a
layer in memory: programs and libraries are the same, only the kernel differs. It is the kernel that
Debian 12 installs on servers, downloaded once into ``build/kernel61`` and never installed here.
Nothing the command writes outlives it but what it prints; its exit status is passed on. Emulated,
a test takes ten to thirty times as long as here.
"""

from __future__ import annotations

import argparse
import re
import resource
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from skytrail.lab.guest_image import (
    APPLETS,
    BUSYBOX,
    CpioArchive,
    GuestImage,
    GuestImageError,
    UnpackedKernel,
    find,
    unpacked_kernel,
    write_image,
)

CHECKOUT = Path(__file__).resolve().parents[1]
IMAGE = CHECKOUT / "build" / "kernel61"
META_PACKAGE = "linux-image-amd64"
"""Not the cloud one, which has no 9p."""
MODULES = (
    "virtio_pci 9p 9pnet_virtio overlay virtio_rng veth cls_bpf sch_ingress dummy bridge vxlan tun "
    "ip_gre vrf act_mirred"
)
"""Those they depend on come by themselves."""
MEMORY_MIB = 2048

_FILES = ("etc/ld.so.cache", "etc/protocols", "etc/services", "etc/passwd", "etc/group")
_STATUS = re.compile(r"^@status (\d+)")

_INIT = r"""#!/bin/busybox sh
export PATH=/bin HOME=/
mount -t proc proc /proc
mount -t devtmpfs devtmpfs /dev
exec </dev/ttyS0 >/dev/ttyS0 2>&1
stty -F /dev/ttyS0 -echo -icrnl -opost
echo 1 >/proc/sys/kernel/printk
# Each path is read at once and kept: the host's files do not change below us.
options=trans=virtio,version=9p2000.L,ro,cache=loose,msize=262144
fail() { echo "cannot $1"; echo '@status 1'; poweroff -f; }
while read -r module; do insmod "/modules/$module" || fail "load $module"; done </modules/order
mount -t tmpfs root /root && mkdir /root/lower /root/layer || fail 'mount a file system in memory'
for name in bin sbin lib lib64; do ln -s usr/$name /root/$name; done
for folder in dev proc sys run tmp etc root var/tmp; do mkdir -p /root/$folder; done
cp -a /etc/* /root/etc/
chmod 1777 /root/tmp
mkdir /job
mount -t 9p -o $options job /job || fail 'share the job'
while read -r tag path; do
    mkdir -p /root/lower/$tag /root/layer/$tag/upper /root/layer/$tag/work "/root$path"
    mount -t 9p -o $options $tag /root/lower/$tag &&
        mount -t overlay -o \
        lowerdir=/root/lower/$tag,upperdir=/root/layer/$tag/upper,workdir=/root/layer/$tag/work \
        overlay "/root$path" || fail "share $path"
done </job/shares
mount -t proc proc /root/proc
mount -t sysfs sysfs /root/sys
mount -t bpf bpf /root/sys/fs/bpf
mount -t devtmpfs devtmpfs /root/dev
ip link set dev lo up
cp /job/command /root/run/command
chroot /root /bin/sh /run/command
echo "@status $?"
poweroff -f
"""


@dataclass(frozen=True, slots=True)
class Share:
    """A folder of this machine that is at the same place in the other one."""

    tag: str
    path: Path


def build(*, force: bool = False) -> GuestImage:
    """Return the machine's kernel and initramfs, downloaded and made if they are not there."""
    if not force:
        try:
            return find(IMAGE)
        except GuestImageError:
            pass
    IMAGE.mkdir(parents=True, exist_ok=True)
    with unpacked_kernel(META_PACKAGE, IMAGE) as kernel:
        write_image(IMAGE, kernel, initramfs(kernel))
    return find(IMAGE)


def initramfs(kernel: UnpackedKernel) -> bytes:
    archive = CpioArchive()
    for folder in ("bin", "dev", "etc", "modules", "proc", "root", "sys"):
        archive.add_directory(folder)
    archive.add_device("dev/console", major=5, minor=1)
    archive.add_device("dev/ttyS0", major=4, minor=64)
    archive.add_device("dev/null", major=1, minor=3)
    archive.add_file("bin/busybox", BUSYBOX.read_bytes(), executable=True)
    for applet in {*APPLETS.split(), "chmod", "chroot", "cp", "ln"}:
        archive.add_symlink(f"bin/{applet}", "busybox")
    modules = in_order(MODULES.split(), kernel.modules)
    for module in modules:
        archive.add_file(f"modules/{module.name}", module.read_bytes())
    archive.add_file("modules/order", "".join(f"{each.name}\n" for each in modules).encode())
    for name in _FILES:
        if (present := Path("/", name)).exists():
            archive.add_file(name, present.read_bytes())
    archive.add_file("init", _INIT.encode(), executable=True)
    return archive.finish()


def in_order(names: list[str], folder: Path) -> list[Path]:
    """Return modules after those they depend on; what the kernel has built in is left out."""
    files = {file.stem.replace("-", "_"): file for file in folder.rglob("*.ko")}
    ordered: dict[str, Path] = {}

    def add(name: str) -> None:
        if name in ordered or name not in files:
            return
        found = re.search(rb"\0depends=([^\0]+)\0", files[name].read_bytes())
        for other in found[1].decode().split(",") if found else []:
            add(other.replace("-", "_"))
        ordered[name] = files[name]

    for name in names:
        add(name)
    return list(ordered.values())


def shares() -> list[Share]:
    """Everything a command of the checkout uses."""
    environment = (CHECKOUT / ".venv").resolve()
    found = [Share("usr", Path("/usr")), Share("checkout", CHECKOUT)]
    if not environment.is_relative_to(CHECKOUT):
        found.append(Share("environment", environment))
    return found


def run(command: list[str]) -> int:
    """Run it in the checkout on the other kernel, its output to ours; returns its status."""
    image = build()
    with tempfile.TemporaryDirectory(prefix="skytrail-kernel-") as folder:
        job = Path(folder)
        shared = shares()
        (job / "shares").write_text("".join(f"{each.tag} {each.path}\n" for each in shared))
        (job / "command").write_text(
            "export PATH=/usr/sbin:/usr/bin HOME=/root LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1\n"
            f"cd {shlex.quote(str(CHECKOUT))} || exit 1\n"
            f"export PYTHONPATH={shlex.quote(str(CHECKOUT / 'src'))}\n"
            f"exec {shlex.join(command)}\n"
        )
        machine = subprocess.Popen(
            qemu(image, [*shared, Share("job", job)]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
            errors="replace",
        )
        status = None
        try:
            assert machine.stdout is not None
            for line in machine.stdout:
                if found := _STATUS.match(line):
                    status = int(found[1])
                else:
                    print(line, end="", flush=True)
        finally:
            machine.kill()
            machine.wait()
    if status is None:
        print(f"the machine ended (status {machine.returncode}) before the command did")
        return 1
    return status


def qemu(image: GuestImage, shared: list[Share]) -> list[str]:
    command = [
        "qemu-system-x86_64", "-M", "pc", "-accel", "tcg", "-cpu", "max", "-nodefaults",
        "-no-user-config", "-no-reboot", "-display", "none", "-smp", "2",
        "-m", str(MEMORY_MIB), "-kernel", str(image.kernel), "-initrd", str(image.initramfs),
        "-append", "console=ttyS0 quiet panic=-1", "-serial", "stdio",
        "-device", "virtio-rng-pci",
    ]  # fmt: skip
    for share in shared:
        # Commas end an option's value unless doubled.
        path = str(share.path).replace(",", ",,")
        command += [
            "-fsdev",
            f"local,id={share.tag},path={path},security_model=none,readonly=on,multidevs=remap",
            "-device",
            f"virtio-9p-pci,fsdev={share.tag},mount_tag={share.tag}",
        ]
    return command


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Runs a command on Debian's own kernel.")
    parser.add_argument("--rebuild", action="store_true", help="download the kernel again")
    parser.add_argument("command", nargs="*", help="what to run in the checkout, after --")
    options = parser.parse_args(arguments)
    # As an interrupt does: the machine must not outlive us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        image = build(force=options.rebuild)
        print(f"kernel {image.kernel_version}", flush=True)
        if not options.command:
            return 0
        began = time.monotonic()
        status = run(options.command)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(f"{time.monotonic() - began:.0f} s, {used.ru_utime + used.ru_stime:.0f} s of CPU")
        return status
    except GuestImageError as error:
        print(f"other kernel: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
