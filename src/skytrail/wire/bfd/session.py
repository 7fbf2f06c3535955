"""One session in asynchronous mode (RFC 5880 section 6.8), without sockets and clocks.

```
            hears DOWN          hears INIT or UP
    DOWN ----------------> INIT ----------------> UP
     ^ ^------- hears INIT: UP ------------------^ |
     +---- detection time over, hears DOWN --------+
```
Both sides send all the time: once a second until the session is up, then as often as agreed.
The caller gives the time in seconds of any monotonic clock and sends what is returned.
"""

from __future__ import annotations

from dataclasses import dataclass

from skytrail.wire.bfd.packet import BfdPacket, BfdState, Diagnostic

NEVER = float("inf")
_SLOW_US = 1_000_000
"""How often to send at most while the session is not up (section 6.8.3)."""
_US = 1_000_000


@dataclass(frozen=True, slots=True)
class BfdSettings:
    """``discriminator`` tells our sessions apart and must not be 0."""

    discriminator: int
    interval_us: int = 300_000
    """How often we send at most."""
    multiplier: int = 3
    receive_interval_us: int = 0
    """How often the peer may send at most; 0: as often as we do."""
    is_guarded: bool = False
    """While up, only packets that name our discriminator count: where packets may come from any
    distance, anybody can send one in the peer's name, and that number is what he cannot know. A
    peer that restarted names none; it is noticed when the detection time is over."""

    @property
    def required_min_rx_us(self) -> int:
        return self.receive_interval_us or self.interval_us


@dataclass(frozen=True, slots=True)
class BfdChange:
    """The session came up or went down.

    ``is_administrative``: the peer's operator took it down, which says nothing about the path
    (RFC 5882 section 4.2). ``is_independent``: the peer's BFD outlives its routing daemon.
    """

    is_up: bool
    diagnostic: int = Diagnostic.NONE
    is_administrative: bool = False
    is_independent: bool = False


class BfdSession:
    """Our end. ``jitter`` is a factor from 0.75 to 0.9 (section 6.8.7)."""

    def __init__(self, settings: BfdSettings) -> None:
        self.settings = settings
        self.state = BfdState.DOWN
        self.diagnostic: int = Diagnostic.NONE
        self._remote: BfdPacket | None = None
        self._detection_deadline = NEVER
        self._send_at = 0.0
        self._is_polling = False

    @property
    def remote_state(self) -> BfdState:
        return BfdState.DOWN if self._remote is None else self._remote.state

    @property
    def transmit_interval_s(self) -> float:
        """How often to send; infinity while the peer wants nothing."""
        remote_min = 1 if self._remote is None else self._remote.required_min_rx_us
        if not remote_min:
            return NEVER
        return max(self._desired_min_tx_us, remote_min) / _US

    @property
    def detection_time_s(self) -> float:
        """How long the peer may be silent (section 6.8.4)."""
        remote = self._remote
        if remote is None:
            return NEVER
        agreed = max(self.settings.required_min_rx_us, remote.desired_min_tx_us)
        return remote.multiplier * agreed / _US

    def next_deadline(self) -> float:
        return min(self._send_at, self._detection_deadline)

    def tick(self, now: float, jitter: float) -> tuple[BfdPacket | None, BfdChange | None]:
        """Let time pass; due at :meth:`next_deadline`, harmless at any time."""
        change = None
        if now >= self._detection_deadline:
            change = self._down(Diagnostic.DETECTION_TIME_EXPIRED)
            self._remote = None
            self._detection_deadline = NEVER
        if now < self._send_at:
            return None, change
        self._send_at = now + self.transmit_interval_s * jitter
        return self._packet(poll=self._is_polling), change

    def receive(self, packet: BfdPacket, now: float) -> tuple[BfdPacket | None, BfdChange | None]:
        """Act on a packet of this session's peer; the answer, if any, is to be sent at once."""
        is_up = self.state is BfdState.UP
        if self.settings.is_guarded and is_up and not packet.your_discriminator:
            return None, None
        had_interval = self.transmit_interval_s
        self._remote = packet
        if packet.final:
            self._is_polling = False
        change = self._follow(packet)
        self._detection_deadline = now + self.detection_time_s
        if self.transmit_interval_s < had_interval:
            # The agreed pace is faster now: do not sleep through it.
            self._send_at = min(self._send_at, now + self.transmit_interval_s)
        elif self._send_at == NEVER:
            self._send_at = now
        answer = self._packet(final=True) if packet.poll else None
        return answer, change

    def close(self) -> BfdPacket:
        """Return the last packet: our operator wants no session."""
        self.state, self.diagnostic = BfdState.ADMIN_DOWN, Diagnostic.ADMINISTRATIVELY_DOWN
        return self._packet()

    def _follow(self, packet: BfdPacket) -> BfdChange | None:
        match self.state, packet.state:
            case ((BfdState.INIT | BfdState.UP), BfdState.ADMIN_DOWN):
                return self._down(Diagnostic.NEIGHBOR_SIGNALED_DOWN)
            case BfdState.DOWN, BfdState.DOWN:
                self.state = BfdState.INIT
            case (BfdState.DOWN, BfdState.INIT) | (BfdState.INIT, BfdState.INIT | BfdState.UP):
                self.state, self.diagnostic = BfdState.UP, Diagnostic.NONE
                # The pace changes from one second to what is configured (section 6.8.3).
                self._is_polling = True
                return BfdChange(is_up=True)
            case BfdState.UP, BfdState.DOWN:
                return self._down(Diagnostic.NEIGHBOR_SIGNALED_DOWN)
            case _:
                pass
        return None

    def _down(self, diagnostic: int) -> BfdChange | None:
        was_up = self.state is BfdState.UP
        self.state, self.diagnostic = BfdState.DOWN, diagnostic
        self._is_polling = False
        if not was_up:
            return None
        remote = self._remote
        return BfdChange(
            is_up=False,
            diagnostic=diagnostic,
            is_administrative=remote is not None and remote.state is BfdState.ADMIN_DOWN,
            is_independent=remote is not None and remote.is_independent,
        )

    @property
    def _desired_min_tx_us(self) -> int:
        interval = self.settings.interval_us
        return interval if self.state is BfdState.UP else max(interval, _SLOW_US)

    def _packet(self, *, poll: bool = False, final: bool = False) -> BfdPacket:
        remote = self._remote
        return BfdPacket(
            state=self.state,
            my_discriminator=self.settings.discriminator,
            your_discriminator=0 if remote is None else remote.my_discriminator,
            multiplier=self.settings.multiplier,
            desired_min_tx_us=self._desired_min_tx_us,
            required_min_rx_us=self.settings.required_min_rx_us,
            diagnostic=self.diagnostic,
            poll=poll and not final,
            final=final,
        )
