"""One check of one port at work: asks when it is time, or keeps a BFD session. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from skytrail.agent.health.attempts import Attempt, HttpAttempt, PingAttempt, Way
from skytrail.agent.health.check import HealthCheck, Monitor
from skytrail.agent.health.standing import Standing
from skytrail.wire.bfd import (
    BfdChange,
    BfdError,
    BfdSession,
    BfdSettings,
    BfdState,
    decode_bfd,
    encode_bfd,
)
from skytrail.wire.errors import DecodeError
from skytrail.wire.frame import PROTOCOL_UDP, IpPacket, UdpDatagram, decode_udp

NEVER = float("inf")
BFD_PORT = 3784
BFD_HOPS = 255
BFD_INTERVAL_US_MIN = 50_000
"""Faster sessions are told this pace: what answers them is one process for all workloads."""
BFD_START_S = 5.0
"""How long a session may take to come up before that is a failure."""
_CONTROL_CLASS = 0xC0
DELAY_US_MIN = 100_000
"""Between questions; what is configured to be asked more often is asked this often."""
_FIRST_DELAY_S_MAX = 1.0
_JITTER = 0.1
_PORTS_FIRST, _PORTS_COUNT = 32768, 28232
_BFD_SOURCE_FIRST, _BFD_SOURCE_COUNT = 49152, 16384
_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Subject:
    """Which port is asked, by which link, and between whom; ``problem``: why it cannot be."""

    port: str
    ifname: str
    way: Way | None
    problem: str = ""


class Run:
    """``random`` gives numbers from 0 up to 1. Call :meth:`advance` when :attr:`due`."""

    def __init__(
        self,
        check: HealthCheck,
        subject: Subject,
        standing: Standing,
        random: Callable[[], float],
        now: float,
    ) -> None:
        self.check = check
        self.subject = subject
        self.standing = standing
        self.due = NEVER
        self.has_turn = False
        """It waited because others were to start first."""
        self.asked_count = 0
        self.passed_count = 0
        self.failed_count = 0
        self.last_failure = ""
        self._random = random
        self._number = int(random() * (1 << 32))
        self._attempt: Attempt | None = None
        self._started_at = now
        self._bfd: _Bfd | None = None
        if self.problem:
            return
        if check.monitor is Monitor.BFD:
            self._bfd = _Bfd(check, self._number or 1, random, now)
            self.due = self._bfd.due
        else:
            # Checks that begin together, at a start or of one network, spread over their period.
            spread = min(self.interval_s, _FIRST_DELAY_S_MAX)
            self.due = now + spread * random()

    @property
    def problem(self) -> str:
        """Why it is not run at all; empty when it is."""
        return self.check.problem or self.subject.problem

    @property
    def interval_s(self) -> float:
        """Between questions, or BFD packets of ours."""
        least = BFD_INTERVAL_US_MIN if self.check.monitor is Monitor.BFD else DELAY_US_MIN
        return max(self.check.delay_us, least) / _US

    @property
    def is_start(self) -> bool:
        """What is due is a new question, which may wait for its turn."""
        return self._bfd is None and self._attempt is None

    def advance(self, now: float) -> tuple[Sequence[bytes], bool]:
        """Do what is due; return frames to send, and whether the standing changed."""
        way = self.subject.way
        if way is None or self.problem:
            self.due = NEVER
            return (), False
        if self._bfd is not None:
            frames, heard = self._bfd.advance(way, now)
            self.due = self._bfd.due
            return frames, self._bfd_says(heard, now)
        if self._attempt is None:
            self._attempt = self._ask(way)
            self._started_at = now
            self.asked_count += 1
            frames = self._attempt.start(now)
        else:
            frames = self._attempt.tick(now)
        return frames, self._after(self._attempt, now)

    def receive(self, packet: IpPacket, now: float) -> tuple[Sequence[bytes], bool]:
        """Take a packet of the workload; raises ``DecodeError`` for one that cannot be read."""
        way = self.subject.way
        if way is None or not way.answers(packet):
            return (), False
        if self._bfd is not None:
            frames, heard = self._bfd.receive(way, packet, now)
            self.due = self._bfd.due
            return frames, self._bfd_says(heard, now)
        attempt = self._attempt
        if attempt is None:
            return (), False
        frames = attempt.receive(packet, now)
        return frames, self._after(attempt, now)

    def close(self) -> Sequence[bytes]:
        """End it; what is returned tells the workload so."""
        way = self.subject.way
        return self._bfd.close(way) if self._bfd is not None and way is not None else ()

    @property
    def detail(self) -> str:
        """What it waits for or last met, for people."""
        if self.problem:
            return f"not run: {self.problem}"
        if not self.standing.is_up and self.standing.well_since is not None:
            return f"answers again, held down for {self.standing.hold_s:g} s because it flaps"
        if self.standing.failures_row:
            return self.last_failure
        return self.standing.reason

    def asked(self, rest: int) -> bool:
        """Tell whether an echo with this identifier and sequence number is one of its questions."""
        is_ping = self.check.monitor is Monitor.PING
        return is_ping and rest >> 16 == self._number & 0xFFFF

    def _ask(self, way: Way) -> Attempt:
        timeout_s = self.check.timeout_us / _US
        if self.check.monitor is Monitor.PING:
            return PingAttempt(way, self._number, self.asked_count, timeout_s)
        # Each question has a port of its own, so that late answers of others do not count.
        port = _PORTS_FIRST + (self._number + self.asked_count) % _PORTS_COUNT
        sequence = int(self._random() * (1 << 32))
        return HttpAttempt(way, self.check.http, (port, sequence), timeout_s)

    def _after(self, attempt: Attempt, now: float) -> bool:
        verdict = attempt.verdict
        if verdict is None:
            self.due = attempt.next_deadline
            return False
        self._attempt = None
        delay_s = self.interval_s * (1 - _JITTER * self._random())
        self.due = max(self._started_at + delay_s, now)
        if not verdict.reason:
            self.passed_count += 1
            return self.standing.passed(now)
        self.failed_count += 1
        self.last_failure = verdict.reason
        return self.standing.failed(verdict.reason, self.check.retries_count, now)

    def _bfd_says(self, heard: Sequence[str], now: float) -> bool:
        changed = False
        for reason in heard:
            if reason:
                self.failed_count += 1
                self.last_failure = reason
                changed |= self.standing.failed(reason, 1, now)
            else:
                self.passed_count += 1
                changed |= self.standing.passed(now)
        return changed


@dataclass(slots=True)
class _Bfd:
    """The session, and how long it may take to come up."""

    check: HealthCheck
    number: int
    random: Callable[[], float]
    started_at: float
    session: BfdSession = field(init=False)
    due: float = field(init=False)
    _up_until: float = field(init=False)
    """When it must be up; never, while it is."""

    def __post_init__(self) -> None:
        send, receive = (
            max(time, BFD_INTERVAL_US_MIN) for time in (self.check.delay_us, self.check.timeout_us)
        )
        settings = BfdSettings(self.number, send, self.check.retries_count, receive)
        self.session = BfdSession(settings)
        if self.check.is_answered_only:
            self.due = self._up_until = NEVER
            return
        self.due = self.started_at
        self._up_until = self.started_at + max(
            BFD_START_S, self.check.retries_count * max(send, receive) / _US
        )

    def advance(self, way: Way, now: float) -> tuple[Sequence[bytes], list[str]]:
        # With a multiplier of one the peer waits for one packet only (RFC 5880 section 6.8.7).
        top = 0.9 if self.check.retries_count == 1 else 1.0
        packet, change = self.session.tick(now, 0.75 + (top - 0.75) * self.random())
        frames = () if packet is None else (self._frame(way, encode_bfd(packet)),)
        heard = list(self._heard(change))
        if now >= self._up_until:
            heard.append(f"no BFD session with {way.destination}")
            self._up_until = NEVER
        if self.session.state is BfdState.UP and not heard:
            # One that was held down for flapping is heard again while it stays up.
            heard.append("")
        self._plan()
        return frames, heard

    def receive(self, way: Way, packet: IpPacket, now: float) -> tuple[Sequence[bytes], list[str]]:
        if packet.protocol != PROTOCOL_UDP or packet.is_fragment or packet.hop_limit != BFD_HOPS:
            return (), []
        datagram = decode_udp(packet.payload)
        if datagram.destination_port != BFD_PORT:
            return (), []
        try:
            control = decode_bfd(datagram.payload)
        except BfdError as error:
            raise DecodeError(f"BFD: {error}", 0, "RFC 5880 section 6.8.6") from error
        if control.your_discriminator not in {0, self.number}:
            return (), []
        answer, change = self.session.receive(control, now)
        heard = list(self._heard(change))
        self._plan()
        return () if answer is None else (self._frame(way, encode_bfd(answer)),), heard

    def close(self, way: Way) -> Sequence[bytes]:
        return (self._frame(way, encode_bfd(self.session.close())),)

    def _heard(self, change: BfdChange | None) -> Iterator[str]:
        if change is None:
            return
        if change.is_up:
            self._up_until = NEVER
            yield ""
            return
        if change.is_administrative:
            yield "the workload turned BFD off"
        else:
            yield f"BFD session lost (diagnostic {change.diagnostic})"

    def _plan(self) -> None:
        self.due = min(self.session.next_deadline(), self._up_until)

    def _frame(self, way: Way, payload: bytes) -> bytes:
        source_port = _BFD_SOURCE_FIRST + self.number % _BFD_SOURCE_COUNT
        datagram = UdpDatagram(source_port, BFD_PORT, payload)
        return way.frame(
            PROTOCOL_UDP,
            datagram.encode(way.source, way.destination),
            hop_limit=BFD_HOPS,
            traffic_class=_CONTROL_CLASS,
        )
