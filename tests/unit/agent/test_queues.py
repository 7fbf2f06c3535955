"""Queues of the uplink: what is made of their configuration."""

import pytest

from skytrail.agent.config import ConfigGraph
from skytrail.agent.queues import (
    CLASS_FIRST,
    DEFAULT,
    QUEUE_FIRST,
    ROOT,
    Queue,
    TrafficClass,
    queues_of,
    rows,
    traffic_classes,
)
from skytrail.testing.agent_world import ConfigBuilder

GBIT = 1_000_000


def queues(*classes, **listed):
    """Queues by name as (number, min, max); classes as (name, number, queue's name)."""
    config = ConfigBuilder()
    for name, (number, low, high) in listed.items():
        config.node(
            "qos-queue",
            name,
            qos_queue_identifier=number,
            min_bandwidth=low,
            max_bandwidth=high,
        )
    for name, number, queue in classes:
        key = config.node("forwarding-class", name, forwarding_class_id=number)
        if queue:
            config.link(key, config.node("qos-queue", queue, **dict(_of(config, queue))))
    graph = ConfigGraph()
    graph.update(config.update())
    return queues_of(graph)


def _of(config, queue):
    found = (node for key, node in config.nodes.items() if key.name == queue)
    return next(found).properties


def test_queue_carries_the_classes_that_refer_to_it():
    found = queues(("ef", 1, "q"), ("af", 7, "q"), ("be", 0, ""), q=(3, 20, 60), idle=(4, 5, 5))

    assert found == (Queue(3, 20, 60, (1, 7)),)


def test_first_by_name_counts_where_numbers_are_given_twice():
    found = queues(("a", 1, "q"), ("b", 1, "r"), q=(3, 20, 60), r=(3, 5, 5))

    assert found == (Queue(3, 20, 60, (1,)),)


@pytest.mark.parametrize(
    ("low", "high", "share"), [(None, None, (0, 100)), (30, 0, (30, 100)), (120, 50, (0, 50))]
)
def test_share_that_is_not_said_is_no_promise_and_no_ceiling(low, high, share):
    (found,) = queues(("ef", 1, "q"), q=(3, low, high))

    assert (found.min_percent, found.max_percent) == share


def test_classes_share_what_their_queue_is_promised_and_the_rest_is_everybodys():
    found = traffic_classes([Queue(3, 20, 60, (1, 7)), Queue(9, 30, 30, (2,))], GBIT)

    assert found == (
        TrafficClass(ROOT, 0, GBIT, GBIT, False),
        TrafficClass(DEFAULT, ROOT, GBIT // 2, GBIT, True),
        TrafficClass(QUEUE_FIRST + 3, ROOT, GBIT // 5, GBIT * 6 // 10, False),
        TrafficClass(CLASS_FIRST + 1, QUEUE_FIRST + 3, GBIT // 10, GBIT * 6 // 10, True),
        TrafficClass(CLASS_FIRST + 7, QUEUE_FIRST + 3, GBIT // 10, GBIT * 6 // 10, True),
        TrafficClass(QUEUE_FIRST + 9, ROOT, GBIT * 3 // 10, GBIT * 3 // 10, False),
        TrafficClass(CLASS_FIRST + 2, QUEUE_FIRST + 9, GBIT * 3 // 10, GBIT * 3 // 10, True),
    )


def test_promises_beyond_the_link_shrink_alike():
    found = traffic_classes([Queue(1, 100, 100, (1,)), Queue(2, 100, 100, (2,))], GBIT)

    rates = {each.minor: each.rate_kbps for each in found}
    assert (rates[QUEUE_FIRST + 1], rates[QUEUE_FIRST + 2]) == (GBIT // 2, GBIT // 2)
    assert rates[DEFAULT] == 64


def test_rows_name_queue_and_class_and_what_was_counted():
    held = [Queue(3, 20, 60, (1,))]

    rest, found = rows(held, traffic_classes(held, GBIT), {CLASS_FIRST + 1: {"packets": 5}})

    assert (rest["queue"], rest["forwarding_class"]) == (None, None)
    assert (found["queue"], found["forwarding_class"], found["packets"]) == (3, 1, 5)
