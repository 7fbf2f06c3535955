"""A machine in namespaces: its own systemd, network and writable root over this machine's files.

```
 /     this machine's, read only, below a tmpfs with an installation made with DESTDIR
 /dev /proc /sys /run /tmp of its own; units only from the installation and what targets need
```

Nothing outside is written: mounts, processes, control groups and interfaces end with it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Generator
from pathlib import Path

from skytrail.testing.controller import wait_until

SYSTEMD = Path("/lib/systemd/systemd")
UNITS = "/usr/local/lib/systemd/system"
LOG = "/var/log/units.log"

_TARGETS = ("sysinit", "basic", "shutdown", "network-online", "multi-user", "idle")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_SCRIPT = """
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs "$FOLDER"
mkdir "$FOLDER/upper" "$FOLDER/work" "$FOLDER/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$FOLDER/upper,workdir=$FOLDER/work" "$FOLDER/root"
cp -a "$INSTALLED"/* "$FOLDER/root/"
cd "$FOLDER/root"
mount -t tmpfs tmpfs dev
for name in $DEVICES; do cp -a "/dev/$name" dev/; done
mkdir dev/pts dev/shm dev/mqueue
mount -t devpts devpts dev/pts -o newinstance
ln -s /proc/self/fd dev/fd
ln -s pts/ptmx dev/ptmx
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t bpf bpf sys/fs/bpf
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mkdir -p tmp/units/service.d
for name in $TARGETS; do printf '[Unit]\\nDefaultDependencies=no\\n' >"tmp/units/$name.target"; done
printf '[Service]\\nStandardOutput=append:%s\\nStandardError=inherit\\n' "$LOG" >tmp/units/service.d/log.conf
hostname "$NAME"; echo "$NAME" >etc/hostname
ip link set lo up
mkdir tmp/before
pivot_root . tmp/before
exec chroot . sh -c 'umount -l /tmp/before; exec "$@"' sh env -i PATH=/usr/local/bin:/usr/bin:/usr/sbin:/bin container=namespaces \\
  SYSTEMD_UNIT_PATH="/tmp/units:/etc/systemd/system:$UNITS" \\
  /lib/systemd/systemd --system --unit=basic.target --log-target=null
"""


def why_not() -> str | None:
    """Return why no machine can be made here."""
    if os.geteuid() != 0:
        return "needs root"
    if not SYSTEMD.exists() or shutil.which("systemctl") is None:
        return "systemd is not installed"
    if _control_groups() is None:
        return "no version 2 control groups are mounted"
    return None


class Machine:
    """A running one."""

    def __init__(self, name: str, pid: int) -> None:
        self.name, self.pid = name, pid

    def run(
        self, *command: str, check: bool = True, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command there, as root, to its end."""
        enter = ["nsenter", "-t", str(self.pid), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w"]
        clean = {"PATH": "/usr/local/bin:/usr/bin:/usr/sbin:/bin", "HOME": "/root", **(env or {})}
        done = subprocess.run(
            [*enter, *command], env=clean, capture_output=True, text=True, check=False
        )
        if check and done.returncode:
            raise AssertionError(
                f"{self.name}: {' '.join(command)}: {done.stdout}{done.stderr}\n{self.log()}"
            )
        return done

    def install(self) -> None:
        """Make the user and the folders, as an installation into / does by itself."""
        self.run("systemd-sysusers", "/usr/local/lib/sysusers.d/skytrail.conf")
        self.run("systemd-tmpfiles", "--create", "/usr/local/lib/tmpfiles.d/skytrail.conf")

    def write(self, path: str, text: str) -> None:
        self.run("sh", "-c", f"mkdir -p $(dirname {path}); cat >{path} <<'END'\n{text}\nEND")

    def log(self) -> str:
        """Return what its units printed."""
        return (self._root() / LOG.lstrip("/")).read_text() if self._has_log() else ""

    def link(self, other: Machine, interface: str, own: str, others: str) -> None:
        """Give both an interface of one name on one wire, with an address each."""
        ends = ["name", interface, "netns", str(self.pid)]
        peer = ["name", interface, "netns", str(other.pid)]
        subprocess.run(["ip", "link", "add", *ends, "type", "veth", "peer", *peer], check=True)
        for machine, address in ((self, own), (other, others)):
            machine.run("ip", "address", "add", address, "dev", interface)
            machine.run("ip", "link", "set", interface, "up")

    def _root(self) -> Path:
        return Path(f"/proc/{self.pid}/root")

    def _has_log(self) -> bool:
        return (self._root() / LOG.lstrip("/")).exists()


@contextlib.contextmanager
def booted(name: str, installed: Path) -> Generator[Machine]:
    """Boot one with what ``installed`` holds, an installation made with DESTDIR; end everything in it afterwards."""
    groups = _control_groups()
    assert groups is not None
    group = Path(tempfile.mkdtemp(prefix=f"skytrail-{name}-", dir=groups))
    folder = Path(tempfile.mkdtemp(prefix=f"skytrail-{name}-"))
    settings = {
        "FOLDER": str(folder), "INSTALLED": str(installed), "DEVICES": " ".join(_DEVICES), "LOG": LOG,
        "TARGETS": " ".join(_TARGETS), "NAME": name, "UNITS": UNITS, "GROUP": str(group),
        "PATH": "/usr/bin:/usr/sbin:/bin",
    }  # fmt: skip
    kinds = ("--mount", "--pid", "--fork", "--cgroup", "--uts", "--ipc", "--net", "--kill-child")
    inside = ["unshare", *kinds, "sh", "-c", _SCRIPT]
    running = subprocess.Popen(
        ["sh", "-c", 'echo $$ >"$GROUP/cgroup.procs"; exec "$@"', "sh", *inside],
        env=settings, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield _started(name, running)
    finally:
        running.kill()
        running.wait()
        _removed(group)
        folder.rmdir()


def _started(name: str, running: subprocess.Popen[bytes]) -> Machine:
    children = Path(f"/proc/{running.pid}/task/{running.pid}/children")
    wait_until(lambda: bool(children.read_text().split()), f"the namespaces of {name}")
    machine = Machine(name, int(children.read_text().split()[0]))

    def is_up() -> bool:
        assert running.poll() is None, f"{name} did not boot"
        state = machine.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state in {"running", "degraded"}

    wait_until(is_up, f"systemd of {name}")
    return machine


def _control_groups() -> Path | None:
    for line in Path("/proc/self/mounts").read_text().splitlines():
        fields = line.split()
        if fields[2] == "cgroup2":
            return Path(fields[1])
    return None


def _removed(group: Path) -> None:
    """Remove a tree of control groups, whose processes are ending."""
    for _ in range(100):
        with contextlib.suppress(OSError):
            for path in sorted(group.rglob("*/"), reverse=True):
                path.rmdir()
            group.rmdir()
            return
        time.sleep(0.05)
    group.rmdir()
