"""Questions through a transparent service: put in at one side, turned round at the other. Pure.

```
 asked port: echo request, VLAN and MACs of a chain --> function --> other side's port: handed over
             <-- answer, passed by the very function <--            <-- turned round by the agent
```
The two addresses exist in no network: hosts take what is for them in the chain's instances alone.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from skytrail.agent.health.attempts import Way
from skytrail.agent.service_tags import ServiceTag
from skytrail.wire.errors import DecodeError
from skytrail.wire.frame import PROTOCOL_ICMP, decode_ethernet, decode_ip
from skytrail.wire.icmp import ICMP_ECHO_REPLY, ICMP_ECHO_REQUEST, IcmpMessage, decode_icmp

NEAR, FAR = IPv4Address("169.254.79.1"), IPv4Address("169.254.79.2")
ENDS = (IPv4Network(NEAR), IPv4Network(FAR))


def way_through(tag: ServiceTag) -> Way:
    """Return the way a question goes: as frames of one chain, in at this side."""
    return Way(NEAR, FAR, tag.destination, source_mac=tag.source, vlan=tag.vlan)


def question_in(frame: bytes) -> IcmpMessage | None:
    """Return the question that came out of a service, if it is one; raises ``DecodeError``."""
    packet = decode_ip(decode_ethernet(frame).payload)
    if (packet.source, packet.destination, packet.protocol) != (NEAR, FAR, PROTOCOL_ICMP):
        return None
    if packet.is_fragment:
        raise DecodeError("a question in fragments", 0, "RFC 792")
    message = decode_icmp(packet.payload)
    return message if message.icmp_type == ICMP_ECHO_REQUEST else None


def turned(question: IcmpMessage, tag: ServiceTag) -> bytes:
    """Return the answer, for the side where the question came out."""
    back = Way(FAR, NEAR, tag.destination, source_mac=tag.source, vlan=tag.vlan)
    reply = IcmpMessage(ICMP_ECHO_REPLY, 0, question.rest, question.payload)
    return back.frame(PROTOCOL_ICMP, reply.encode(FAR, NEAR))
