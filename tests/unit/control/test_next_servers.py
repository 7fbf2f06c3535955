"""Hosts see the servers that are asked after those of their networks, whatever names whom."""

from __future__ import annotations

import pytest

from skytrail.control.next_servers import asked_next
from skytrail.model.graph import ObjectGraph
from skytrail.model.objects import decode_object
from skytrail.testing.configuration import uuid_of


def graph_of(**after: str) -> ObjectGraph:
    """An address manager that refers to ``a``, and servers with what each names next."""
    graph = ObjectGraph()
    for name, following in after.items():
        fq_name = name.replace("_", ":").split(":") if "_" in name else ["d", name]
        document = {
            "uuid": uuid_of("virtual-DNS", fq_name),
            "fq_name": fq_name,
            "virtual_DNS_data": {"domain_name": name, "next_virtual_DNS": following},
        }
        graph.put(decode_object("virtual-DNS", document))
    reference = {"to": ["d", "a"], "uuid": uuid_of("virtual-DNS", ["d", "a"]), "attr": None}
    manager = {
        "uuid": uuid_of("network-ipam", ["d", "p", "m"]),
        "fq_name": ["d", "p", "m"],
        "virtual_DNS_refs": [reference],
    }
    graph.put(decode_object("network-ipam", manager))
    return graph


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        ({"a": ""}, []),
        ({"a": "192.0.2.53"}, []),
        ({"a": "d:gone"}, []),
        ({"a": "d:b", "b": "d:c", "c": "198.51.100.1"}, ["b", "c"]),
        ({"a": "d:b", "b": "d:a"}, ["b", "a"]),
        ({"a": "d:a"}, ["a"]),
        ({"a": "other:b", "other_b": ""}, []),
        (
            {"a": "d:b", "b": "d:c", "c": "d:e", "e": "d:f", "f": "d:g", "g": ""},
            ["b", "c", "e", "f"],
        ),
    ],
)
def test_chain_of_servers_is_seen_as_far_as_it_is_asked(
    after: dict[str, str], expected: list[str]
) -> None:
    graph = graph_of(**after)
    manager = graph.by_name("network-ipam", ["d", "p", "m"])
    assert manager is not None

    assert [each.fq_name[-1] for each in asked_next(graph, manager)] == expected
