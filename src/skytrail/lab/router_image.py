"""Builds a guest that is a router: FRR on Debian's kernel with VRFs, MPLS and GRE.

The kernel of the machine at hand may have none of these. Programs and libraries are this machine's
own; the kernel is Debian's, as for every guest. Run as ``python -m skytrail.lab.router_image``.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from skytrail.lab.guest_image import (
    Extra,
    GuestImage,
    GuestImageError,
    build,
    default_directory,
)
from skytrail.lab.guest_image import find as find_guest

MODULES = (
    "drivers/net/vrf.ko",
    "net/ipv4/ip_tunnel.ko",
    "net/ipv4/gre.ko",
    "net/ipv4/ip_gre.ko",
    "net/mpls/mpls_router.ko",
    "net/mpls/mpls_iptunnel.ko",
    "net/mpls/mpls_gso.ko",
)
PROGRAMS = {
    "usr/lib/frr/zebra": Path("/usr/lib/frr/zebra"),
    "usr/lib/frr/bgpd": Path("/usr/lib/frr/bgpd"),
    # Busybox's knows neither VRFs nor MPLS.
    "usr/sbin/ip": Path("/sbin/ip"),
}
_FOLDERS = ("etc/frr", "run/frr", "var/run/frr", "var/tmp/frr")
_LIBRARY = re.compile(r"(/\S+) \(0x")


def directory() -> Path:
    """Where the image is, beside the common one."""
    return default_directory().with_name("guest-router")


def build_router(*, force: bool = False) -> GuestImage:
    """Build the image if it is missing (or ``force``); :class:`GuestImageError`."""
    return build(directory(), force=force, extra=extra())


def find() -> GuestImage:
    """Return the built image; :class:`GuestImageError` when there is none."""
    try:
        return find_guest(directory())
    except GuestImageError as error:
        raise GuestImageError(
            f"no router image in {directory()}; build it: packaging/setup.sh router"
        ) from error


def extra() -> Extra:
    """Return what makes a guest a router."""
    missing = [str(path) for path in PROGRAMS.values() if not path.exists()]
    if missing:
        raise GuestImageError(f"missing: {', '.join(missing)}; run packaging/setup.sh packages")
    libraries = {found for path in PROGRAMS.values() for found in _libraries(path)}
    files = {**PROGRAMS, **{str(path).lstrip("/"): path for path in sorted(libraries)}}
    folders = folders_of([*map(Path, files), *(Path(folder, "file") for folder in _FOLDERS)])
    return Extra(MODULES, folders, tuple(files.items()))


def folders_of(files: Iterable[Path]) -> tuple[str, ...]:
    """Return the folders these are in, parents before children."""
    parents = (parent for file in files for parent in reversed(file.parents))
    return tuple(dict.fromkeys(str(parent) for parent in parents if parent != Path()))


def _libraries(program: Path) -> list[Path]:
    listed = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        raise GuestImageError(f"ldd {program} failed: {listed.stderr.strip()}")
    return [Path(found) for found in _LIBRARY.findall(listed.stdout)]


def main(arguments: list[str]) -> int:
    try:
        image = build_router(force="--force" in arguments)
    except GuestImageError as error:
        print(f"router image: {error}", file=sys.stderr)
        return 1
    print(f"router image: kernel {image.kernel_version} in {image.kernel.parent}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
