"""Stages of a policy: rules that speak of the remote end, the local one being settled."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from skytrail.agent.access_list import PortRange, Selector
from skytrail.agent.mirror import Copied


@dataclass(frozen=True, slots=True)
class RemoteRule:
    """A rule seen from one end."""

    name: str
    """Access list or policy set, and rule uuid: what people are shown."""
    allow: bool
    protocol: int | None
    version: int | None
    remote: Selector
    source_ports: PortRange
    destination_ports: PortRange
    instance: str = ""
    """Where the way on is looked up."""
    copied: Copied | None = None
    """Who gets copies of what it lets pass."""
    notes: str = ""
    """What else is asked for, and shown only."""
    qos: str = ""
    """QoS configuration that marks what it lets pass."""

    @property
    def text(self) -> str:
        remote = self.remote
        far = ",".join(str(prefix) for prefix in remote.prefixes)
        far = " ".join(
            part
            for part in (
                remote.network,
                f"sg {remote.group}" if remote.group else "",
                " ".join(f"tag 0x{tag:08x}" for tag in remote.tags),
                far,
            )
            if part
        )
        far = "nothing" if remote.never else far or "any"
        return (
            f"{'pass' if self.allow else 'deny'} protocol "
            f"{'any' if self.protocol is None else self.protocol}"
            f"{f' IPv{self.version}' if self.version else ''} remote {far} "
            f"ports {self.source_ports[0]}-{self.source_ports[1]}"
            f"->{self.destination_ports[0]}-{self.destination_ports[1]}"
            f"{f' by way of {self.instance}' if self.instance else ''}"
            f"{f' marked by {self.qos}' if self.qos else ''}"
            f"{f' mirror to {self.copied.to.analyzer or self.copied.to.mac}' if self.copied else ''}"
            f"{f' {self.notes}' if self.notes else ''}"
        )


@dataclass(frozen=True, slots=True)
class Stage:
    """Rules of one stage; ``first_match``: the first that matches decides, else any allow wins."""

    name: str
    first_match: bool
    rules: tuple[RemoteRule, ...]
    digest: str = field(default="", compare=False, repr=False)
    """``computed_digest`` of a stage that several ports share."""

    @property
    def computed_digest(self) -> str:
        """Names the content, also over restarts. O(rules)."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:32]
