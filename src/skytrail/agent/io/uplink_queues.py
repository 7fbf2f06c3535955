"""Puts the configured queues on the uplink: a queueing discipline that is made, changed and taken away.

Classes are changed in place, so packets that wait are not lost; a discipline somebody else put there
is left alone, and told of.
"""

from __future__ import annotations

import errno
import json
import re
import subprocess
from collections.abc import Mapping, Sequence

from skytrail.agent import queues as plans
from skytrail.agent.io import nic
from skytrail.agent.io.followed import Followed
from skytrail.agent.queues import HANDLE, Queue, TrafficClass, traffic_classes

LINK_KBPS_DEFAULT = 10_000_000
"""Of a link that does not know its speed."""
_BURST_MS, _BURST_BYTES_MIN = 4, 131_072
_QUANTUM_BYTES = 65_536
"""At least the largest segment, so that classes take turns by whole ones."""
_CLASS = re.compile(rf"^class htb {HANDLE:x}:([0-9a-f]+) (?:root|parent {HANDLE:x}:([0-9a-f]*)) ?")
_SENT = re.compile(r"Sent (\d+) bytes (\d+) pkts? \(dropped (\d+),")
_BACKLOG = re.compile(r"backlog \S+ (\d+)p ")


class UplinkQueues:
    """The queues of one link."""

    def __init__(self, link_kbps: int = 0) -> None:
        self._given_kbps = link_kbps
        self._wanted: tuple[str, Sequence[Queue]] = ("", ())
        self._followed = Followed[tuple[str, Sequence[Queue]]]("queues", self._install)

    @property
    def problem(self) -> str:
        """Why queues are not as configured; empty when they are."""
        return self._followed.problem

    def follow(self, ifname: str, queues: Sequence[Queue]) -> None:
        """Have the link carry these from soon on; no link: nothing."""
        self._wanted = ifname, queues
        if ifname:
            self._followed.follow(self._wanted)

    async def run(self) -> None:
        """Carry out what is wanted, until cancelled."""
        await self._followed.run()

    def _install(self, wanted: tuple[str, Sequence[Queue]]) -> None:
        ifname, queues = wanted
        install(ifname, queues, self._rate(ifname))

    def rows(self) -> list[Mapping[str, object]]:
        """Rows for people, with counters. Asks the kernel: not from the event loop."""
        ifname, queues = self._wanted
        if not ifname or not queues:
            return []
        classes = traffic_classes(queues, self._rate(ifname))
        return list(plans.rows(queues, classes, counters(ifname)))

    def _rate(self, ifname: str) -> int:
        return self._given_kbps or nic.speed_kbps(ifname) or LINK_KBPS_DEFAULT


def install(ifname: str, queues: Sequence[Queue], kbps: int) -> None:
    """Make the link's queueing discipline what ``queues`` say; ``OSError`` when it cannot be."""
    present = _root(ifname)
    is_ours = present == ("htb", f"{HANDLE:x}:")
    if not queues:
        if is_ours:
            _tc("qdisc", "del", "dev", ifname, "root")
        return
    if not is_ours:
        kind, handle = present
        if handle not in {"", "0:"}:
            raise OSError(
                errno.EBUSY,
                f"{ifname} has a queueing discipline {kind} {handle} that is not ours: remove it with"
                f" `tc qdisc del dev {ifname} root`, or the references of forwarding classes to queues",
            )
        root = ("root", "handle", f"{HANDLE:x}:", "htb", "default", f"{plans.DEFAULT:x}")
        _tc("qdisc", "add", "dev", ifname, *root)
    wanted = traffic_classes(queues, kbps)
    _remove_others(ifname, wanted)
    for each in wanted:
        _put(ifname, each)


def remove_all() -> list[str]:
    """Take the disciplines away that are ours, of whichever links; return these."""
    ours = ("htb", f"{HANDLE:x}:")
    found = [
        str(each["dev"])
        for each in json.loads(_tc("-j", "qdisc", "show") or "[]")
        if each.get("root") and (each["kind"], each["handle"]) == ours
    ]
    for ifname in found:
        _tc("qdisc", "del", "dev", ifname, "root")
    return found


def counters(ifname: str) -> dict[int, dict[str, int]]:
    """Return what each class had, by minor number."""
    found: dict[int, dict[str, int]] = {}
    for text in _tc("-s", "class", "show", "dev", ifname).split("\n\n"):
        head, sent, waits = _CLASS.match(text.lstrip()), _SENT.search(text), _BACKLOG.search(text)
        if head and sent:
            names = ("bytes", "packets", "dropped")
            found[int(head[1], 16)] = {
                **{name: int(value) for name, value in zip(names, sent.groups(), strict=True)},
                "waiting": int(waits[1]) if waits else 0,
            }
    return found


def _put(ifname: str, each: TrafficClass) -> None:
    parent = f"{HANDLE:x}:{each.parent:x}" if each.parent else f"{HANDLE:x}:"
    _tc(
        *("class", "replace", "dev", ifname, "parent", parent),
        *("classid", f"{HANDLE:x}:{each.minor:x}", "htb"),
        *("rate", f"{each.rate_kbps}kbit", "burst", _burst(each.rate_kbps)),
        *("ceil", f"{each.ceil_kbps}kbit", "cburst", _burst(each.ceil_kbps)),
        *("quantum", str(_QUANTUM_BYTES)),
    )


def _burst(kbps: int) -> str:
    return str(max(kbps * 125 * _BURST_MS // 1000, _BURST_BYTES_MIN))


def _remove_others(ifname: str, wanted: Sequence[TrafficClass]) -> None:
    """Remove classes that are not wanted, or not there, leaves first."""
    parents = {each.minor: each.parent for each in wanted}
    present: dict[int, int] = {}
    for line in _tc("class", "show", "dev", ifname).splitlines():
        head = _CLASS.match(line)
        if head:
            present[int(head[1], 16)] = int(head[2] or "0", 16)
    # A class that goes takes no others along: those of it go before.
    gone = {minor for minor, parent in present.items() if parents.get(minor) != parent}
    gone |= {minor for minor, parent in present.items() if parent in gone}
    for minor in sorted(gone, key=lambda minor: minor >= plans.QUEUE_FIRST):
        _tc("class", "del", "dev", ifname, "classid", f"{HANDLE:x}:{minor:x}")


def _root(ifname: str) -> tuple[str, str]:
    """Return kind and handle of the discipline at the link's root; ("", ""): none."""
    for each in json.loads(_tc("-j", "qdisc", "show", "dev", ifname) or "[]"):
        if each.get("root"):
            return str(each["kind"]), str(each["handle"])
    return "", ""


def _tc(*arguments: str) -> str:
    done = subprocess.run(["tc", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(errno.EIO, f"tc {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout
