"""Steady traffic between two workloads, to see what an event costs: every lost packet, every gap."""

from __future__ import annotations

import os
import select
import socket
import threading
import time
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Self

from skytrail.lab.io import netns
from skytrail.wire.icmp import IcmpMessage

_GRACE_S = 0.5
_READ_BYTES = 2048


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of the packets sent so far."""

    sent: int
    lost: int
    longest_gap_s: float
    """Longest time between two replies."""


class PingTraffic:
    """Echo requests at a steady pace from a background thread while the context is entered."""

    def __init__(
        self, namespace: str, address: IPv4Address | IPv6Address, *, interval_s: float = 0.01
    ) -> None:
        self._ipv6 = address.version == 6
        family = socket.AF_INET6 if self._ipv6 else socket.AF_INET
        protocol = socket.IPPROTO_ICMPV6 if self._ipv6 else socket.IPPROTO_ICMP
        self._socket = netns.open_socket(namespace, family, socket.SOCK_RAW, protocol)
        self._socket.setblocking(False)
        self._address = str(address)
        self._interval_s = interval_s
        self._identifier = int.from_bytes(os.urandom(2))
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._lock = threading.Lock()
        self._sent = 0
        self._seen: set[int] = set()
        self._last_reply = 0.0
        self._longest_gap_s = 0.0

    def __enter__(self) -> Self:
        self._last_reply = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> Outcome:
        """Stop sending, wait for stragglers, and return the outcome; may be called again."""
        if not self._stopping.is_set():
            self._stopping.set()
            self._thread.join()
            self._receive_until(time.monotonic() + _GRACE_S)
            self._socket.close()
        return Outcome(self._sent, self._sent - len(self._seen), self._longest_gap_s)

    def replies(self) -> int:
        """How many different replies have come so far."""
        with self._lock:
            return len(self._seen)

    def wait_replies(self, more: int, timeout_s: float) -> bool:
        """Wait for ``more`` further replies; False when the time is up."""
        wanted, deadline = self.replies() + more, time.monotonic() + timeout_s
        while self.replies() < wanted:
            if time.monotonic() > deadline:
                return False
            time.sleep(self._interval_s)
        return True

    def _run(self) -> None:
        due = time.monotonic()
        while not self._stopping.is_set():
            self._send()
            due += self._interval_s
            self._receive_until(due)

    def _send(self) -> None:
        word = self._identifier << 16 | (self._sent & 0xFFFF)
        kind = 128 if self._ipv6 else 8
        message = IcmpMessage(icmp_type=kind, code=0, rest=word, payload=bytes(40))
        address = IPv6Address(0) if self._ipv6 else IPv4Address(0)
        self._sent += 1
        try:
            self._socket.sendto(message.encode(address, address), (self._address, 0))
        except OSError:
            return  # Counted as lost: the workload itself could not send.

    def _receive_until(self, deadline: float) -> None:
        while (left_s := deadline - time.monotonic()) > 0:
            if not select.select([self._socket], [], [], left_s)[0]:
                return
            packet = self._socket.recv(_READ_BYTES)
            self._note(packet if self._ipv6 else packet[(packet[0] & 0x0F) * 4 :])

    def _note(self, message: bytes) -> None:
        reply = 129 if self._ipv6 else 0
        if len(message) < 8 or message[0] != reply:
            return
        if int.from_bytes(message[4:6]) != self._identifier:
            return
        now = time.monotonic()
        with self._lock:
            self._seen.add(int.from_bytes(message[6:8]))
        self._longest_gap_s = max(self._longest_gap_s, now - self._last_reply)
        self._last_reply = now
