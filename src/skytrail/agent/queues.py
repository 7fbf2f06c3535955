"""Queues of the uplink, as configured: which forwarding classes wait in which, and their shares. Pure.

```
 5150: htb (root)
   5150:1            the link's rate
     5150:fff0       what is of no class that has a queue; what the queues are not guaranteed
     5150:200+queue  guaranteed min_bandwidth, at most max_bandwidth percent
       5150:100+class  each forwarding class of the queue; the datapath's packet priority names it
```
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from skytrail.agent.config import ConfigGraph
from skytrail.agent.config_values import number_of
from skytrail.wire.xmpp import ConfigNode

HANDLE = 0x5150
"""Upper half of the priorities that the datapath gives packets (``QOS_PRIORITY_FIRST``)."""
ROOT, DEFAULT, CLASS_FIRST, QUEUE_FIRST = 0x1, 0xFFF0, 0x100, 0x200
RATE_MIN_KBPS = 64
"""A class without a guarantee: the kernel wants a rate."""
_PERCENT = 100
_NUMBER_MAX = 255


@dataclass(frozen=True, slots=True)
class Queue:
    number: int
    min_percent: int
    max_percent: int
    classes: tuple[int, ...]
    """Numbers of the forwarding classes that wait in it."""


@dataclass(frozen=True, slots=True)
class TrafficClass:
    """Of the kernel's queueing discipline; minor numbers of ``HANDLE``."""

    minor: int
    parent: int
    rate_kbps: int
    ceil_kbps: int
    is_leaf: bool


def queues_of(graph: ConfigGraph) -> tuple[Queue, ...]:
    """Return the queues that a forwarding class refers to, by number.

    Of several queues or classes with one number the first by name counts, on every host; a class
    waits in the first by name of its queues.
    """
    shares: dict[int, tuple[int, int]] = {}
    for node in graph.nodes("qos-queue"):
        number = _number(node, "qos_queue_identifier")
        if number is not None:
            shares.setdefault(number, _share(node))
    waits: dict[int, int] = {}
    for node in graph.nodes("forwarding-class"):
        number = _number(node, "forwarding_class_id")
        if number is None or number in waits:
            continue
        for queue in graph.linked_nodes(node.key, "qos-queue")[:1]:
            place = _number(queue, "qos_queue_identifier")
            if place is not None:
                waits[number] = place
    found = {place: sorted(c for c, p in waits.items() if p == place) for place in waits.values()}
    return tuple(
        Queue(place, *shares[place], tuple(classes)) for place, classes in sorted(found.items())
    )


def traffic_classes(queues: Sequence[Queue], link_kbps: int) -> tuple[TrafficClass, ...]:
    """Return the classes for a link, parents first; guarantees beyond the link shrink alike."""
    promised = sum(queue.min_percent for queue in queues)
    scale = max(promised, _PERCENT)
    left = link_kbps * (scale - promised) // scale
    return (
        TrafficClass(ROOT, 0, link_kbps, link_kbps, False),
        TrafficClass(DEFAULT, ROOT, max(left, RATE_MIN_KBPS), link_kbps, True),
        *(each for queue in queues for each in _of_queue(queue, link_kbps, scale)),
    )


def _of_queue(queue: Queue, link_kbps: int, scale: int) -> Iterator[TrafficClass]:
    rate = max(link_kbps * queue.min_percent // scale, RATE_MIN_KBPS)
    ceil = max(link_kbps * queue.max_percent // _PERCENT, rate)
    minor = QUEUE_FIRST + queue.number
    yield TrafficClass(minor, ROOT, rate, ceil, False)
    own = max(rate // len(queue.classes), RATE_MIN_KBPS)
    for number in queue.classes:
        yield TrafficClass(CLASS_FIRST + number, minor, own, ceil, True)


def rows(
    queues: Sequence[Queue], classes: Sequence[TrafficClass], counted: Mapping[int, Mapping[str, int]]
) -> Iterator[Mapping[str, object]]:  # fmt: skip
    """Rows for people, with the kernel's counters by minor number."""
    place = {number: queue.number for queue in queues for number in queue.classes}
    for each in classes:
        number = each.minor - CLASS_FIRST
        if each.is_leaf:
            is_default = each.minor == DEFAULT
            yield {
                "queue": None if is_default else place[number],
                "forwarding_class": None if is_default else number,
                "guaranteed_kbps": each.rate_kbps,
                "ceiling_kbps": each.ceil_kbps,
                **counted.get(each.minor, {}),
            }


def _share(node: ConfigNode) -> tuple[int, int]:
    low = _percent(node, "min_bandwidth") or 0
    high = _percent(node, "max_bandwidth")
    return low, max(high or _PERCENT, low)


def _percent(node: ConfigNode, name: str) -> int | None:
    number = number_of(node.properties.get(name))
    return number if number is not None and 0 <= number <= _PERCENT else None


def _number(node: ConfigNode, name: str) -> int | None:
    number = number_of(node.properties.get(name) or "0")
    return number if number is not None and 0 <= number <= _NUMBER_MAX else None
