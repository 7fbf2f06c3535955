"""A workload: a network namespace with one veth, configured by a real DHCP client alone.

The lab never sets an address. ``udhcpc`` (and ``dhclient -6`` when the port has an IPv6 address)
stay running as on any machine; what they learn is applied by the scripts below and written to the
workload's folder: ``lease4.json``, ``lease6.json`` and ``resolv.conf``. A command run in the workload
sees that ``resolv.conf`` as ``/etc/resolv.conf``, and its own host name, by a private mount and UTS
namespace (:func:`inside`); the machine's own files are never touched.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv6Interface
from pathlib import Path
from typing import TypeVar

import msgspec

from skytrail.lab.io import netns
from skytrail.lab.io.processes import ProcessTable, Specification
from skytrail.lab.plan import WORKLOAD_IFNAME
from skytrail.net import Mac

WORKLOAD_MTU_BYTES = 1500
_POLL_S = 0.02

_UDHCPC_SCRIPT = r"""#!/bin/sh
# Called by udhcpc; $SKYTRAIL_FOLDER is the workload's folder.
case "$1" in
deconfig)
    ip link set dev "$interface" up
    ip -4 address flush dev "$interface"
    rm -f "$SKYTRAIL_FOLDER/lease4.json"
    ;;
bound | renew)
    [ -z "$mtu" ] || ip link set dev "$interface" mtu "$mtu"
    ip address replace "$ip/$mask" dev "$interface" valid_lft "$lease" preferred_lft "$lease"
    for gateway in $router; do
        ip route replace default via "$gateway" dev "$interface" && break
    done
    set -- $staticroutes
    while [ $# -ge 2 ]; do
        [ "$1" = 0.0.0.0/0 ] || ip route replace "$1" via "$2" dev "$interface"
        shift 2
    done
    new="$SKYTRAIL_FOLDER/resolv.conf.new"
    : >"$new"
    search="${search:-$domain}"
    [ -z "$search" ] || echo "search $search" >>"$new"
    for server in $dns; do echo "nameserver $server" >>"$new"; done
    cat "$new" >"$SKYTRAIL_FOLDER/resolv.conf"
    printf '{"address":"%s/%s","router":"%s","dns":"%s","domain":"%s","mtu":"%s","lease_s":"%s"}\n' \
        "$ip" "$mask" "$router" "$dns" "$domain" "$mtu" "$lease" >"$SKYTRAIL_FOLDER/lease4.new"
    mv "$SKYTRAIL_FOLDER/lease4.new" "$SKYTRAIL_FOLDER/lease4.json"
    ;;
esac
"""

_DHCLIENT_SCRIPT = r"""#!/bin/sh
# Called by dhclient -6; the default route comes from router advertisements, as RFC 8415 wants it.
case "$reason" in
BOUND6 | RENEW6 | REBIND6 | REBOOT)
    ip -6 address replace "$new_ip6_address/$new_ip6_prefixlen" dev "$interface" nodad \
        valid_lft "$new_max_life" preferred_lft "$new_preferred_life"
    printf '{"address":"%s/%s","dns":"%s"}\n' "$new_ip6_address" "$new_ip6_prefixlen" \
        "$new_dhcp6_name_servers" >"$SKYTRAIL_FOLDER/lease6.new"
    mv "$SKYTRAIL_FOLDER/lease6.new" "$SKYTRAIL_FOLDER/lease6.json"
    ;;
EXPIRE6 | RELEASE6 | STOP6)
    ip -6 address delete "$old_ip6_address/$old_ip6_prefixlen" dev "$interface"
    rm -f "$SKYTRAIL_FOLDER/lease6.json"
    ;;
esac
exit 0
"""

_ENTER = (
    'folder=$1; name=$2; shift 2; mount --bind "$folder/resolv.conf" /etc/resolv.conf && '
    'hostname "$name" && exec "$@"'
)


class WorkloadError(Exception):
    """A workload did not come up; the text says what is missing."""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """What the DHCPv4 client was given, as text."""

    address: str
    router: str = ""
    dns: str = ""
    domain: str = ""
    mtu: str = ""
    lease_s: str = ""


class Lease6(msgspec.Struct, frozen=True, kw_only=True):
    address: str
    dns: str = ""


LeaseT = TypeVar("LeaseT", Lease, Lease6)


@dataclass(frozen=True, slots=True)
class Attachment:
    """Where a workload sits: its namespace, its folder and its host's end of the link."""

    name: str
    namespace: str
    folder: Path
    host_namespace: str
    host_ifname: str
    mac: Mac
    host_mtu_bytes: int
    """Of the host's end: at least what the network's MTU option may allow the workload."""


def create(attachment: Attachment) -> None:
    """Create namespace and link; a leftover of the same name is replaced."""
    destroy(attachment)
    folder = attachment.folder
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "resolv.conf").write_text("")
    for name, text in (("udhcpc", _UDHCPC_SCRIPT), ("dhclient", _DHCLIENT_SCRIPT)):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    netns.create(attachment.namespace)
    netns.connect(
        (attachment.host_namespace, attachment.host_ifname),
        (attachment.namespace, WORKLOAD_IFNAME),
        mtu_bytes=WORKLOAD_MTU_BYTES,
    )
    netns.configure(
        attachment.namespace,
        [
            f"link set dev {WORKLOAD_IFNAME} address {attachment.mac}",
            f"link set dev {WORKLOAD_IFNAME} up",
        ],
    )
    netns.configure(
        attachment.host_namespace,
        [f"link set dev {attachment.host_ifname} mtu {attachment.host_mtu_bytes} up"],
    )


def destroy(attachment: Attachment) -> None:
    """Remove the workload's link and namespace, whatever is left of them."""
    if netns.has_link(attachment.host_namespace, attachment.host_ifname):
        netns.configure(attachment.host_namespace, [f"link delete dev {attachment.host_ifname}"])
    netns.delete(attachment.namespace)
    for lease in ("lease4.json", "lease6.json"):
        (attachment.folder / lease).unlink(missing_ok=True)


def start_clients(attachment: Attachment, table: ProcessTable, *, ipv6: bool) -> None:
    """Start the DHCP clients inside the workload."""
    folder = str(attachment.folder)
    environment = {"SKYTRAIL_FOLDER": folder}
    client = [
        "udhcpc", "-f", "-i", WORKLOAD_IFNAME, "-s", f"{folder}/udhcpc", "-t", "60", "-T", "1",
        "-A", "1", "-x", f"hostname:{attachment.name}", "-O", "mtu", "-O", "staticroutes",
        "-O", "search",
    ]  # fmt: skip
    _start(table, f"dhcp4-{attachment.name}", attachment, client, environment)
    if ipv6:
        client = [
            "dhclient", "-6", "-d", "-cf", "/dev/null", "-sf", f"{folder}/dhclient",
            "-lf", f"{folder}/dhclient6.leases", "-pf", f"{folder}/dhclient6.pid",
            "-e", f"SKYTRAIL_FOLDER={folder}", WORKLOAD_IFNAME,
        ]  # fmt: skip
        _start(table, f"dhcp6-{attachment.name}", attachment, client, environment)


def stop_clients(name: str, table: ProcessTable) -> None:
    for client in (f"dhcp4-{name}", f"dhcp6-{name}"):
        table.stop(client, graceful=False)


def wait_lease(folder: Path, timeout_s: float) -> Lease:
    """Return the IPv4 lease once the client has it; :class:`WorkloadError` when time is up."""
    return _wait(folder / "lease4.json", Lease, timeout_s)


def wait_lease6(folder: Path, timeout_s: float) -> Lease6:
    """Return the IPv6 lease once the client has it; :class:`WorkloadError` when time is up."""
    return _wait(folder / "lease6.json", Lease6, timeout_s)


def addresses(folder: Path) -> tuple[IPv4Interface | None, IPv6Interface | None]:
    """What the workload's DHCP clients hold now; None for a family without lease."""
    lease4, lease6 = _read(folder / "lease4.json", Lease), _read(folder / "lease6.json", Lease6)
    return (
        IPv4Interface(lease4.address) if lease4 else None,
        IPv6Interface(lease6.address) if lease6 else None,
    )


def inside(name: str, namespace: str, folder: Path, command: Sequence[str]) -> list[str]:
    """Return the command line that runs ``command`` as if on the workload itself."""
    return netns.inside(
        namespace,
        [
            *("unshare", "--mount", "--uts", "--propagation", "private", "--"),
            *("/bin/sh", "-c", _ENTER, "sh", str(folder), name, *command),
        ],
    )


def _start(
    table: ProcessTable,
    name: str,
    attachment: Attachment,
    command: Sequence[str],
    environment: dict[str, str],
) -> None:
    line = netns.inside(attachment.namespace, command)
    table.start(Specification(name=name, command=tuple(line), environment=environment))


def _wait(path: Path, kind: type[LeaseT], timeout_s: float) -> LeaseT:
    deadline = time.monotonic() + timeout_s
    while (lease := _read(path, kind)) is None:
        if time.monotonic() > deadline:
            raise WorkloadError(
                f"workload {path.parent.name}: no {path.stem} after {timeout_s:g} s; "
                "the DHCP client got no answer"
            )
        time.sleep(_POLL_S)
    return lease


def _read(path: Path, kind: type[LeaseT]) -> LeaseT | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
