"""The graph's indexes equal what a search over all its objects finds."""

from hypothesis import given
from hypothesis import strategies as st

from skytrail.model.graph import ObjectGraph, edges_of
from skytrail.model.objects import decode_object

UUIDS = ["a", "b", "c", "d", "e"]
TYPES = ["virtual-network", "virtual-machine-interface", "security-group"]


@st.composite
def objects(draw):
    type_name = draw(st.sampled_from(TYPES))
    wire = {
        "uuid": draw(st.sampled_from(UUIDS)),
        "fq_name": ["p", draw(st.sampled_from(["x", "y"]))],
        "parent_uuid": draw(st.sampled_from(UUIDS)),
    }
    if type_name == "virtual-machine-interface":
        for field in ("virtual_network_refs", "security_group_refs"):
            targets = draw(st.lists(st.sampled_from(UUIDS), unique=True, max_size=3))
            wire[field] = [{"to": ["t"], "uuid": uuid} for uuid in targets]
    return decode_object(type_name, wire)


@given(st.lists(objects() | st.sampled_from(UUIDS), max_size=20))
def test_indexes_equal_a_full_search_after_any_changes(changes):
    graph, kept = ObjectGraph(), {}
    for change in changes:
        if isinstance(change, str):
            assert graph.remove(change) == kept.pop(change, None)
        else:
            assert graph.put(change) == kept.get(change.uuid)
            kept[change.uuid] = change

    everything = sorted(kept.values(), key=lambda o: (o.type_name, o.fq_name, o.uuid))
    assert list(graph) == everything
    for uuid in UUIDS:
        assert graph.get(uuid) == kept.get(uuid)
        assert graph.children(uuid) == [o for o in everything if o.parent_uuid == uuid]
        assert graph.back_refs(uuid) == [
            o for o in everything if any(e.target == uuid for e in edges_of(o))
        ]
        own = kept.get(uuid)
        targets = {e.target for e in edges_of(own)} if own else set()
        assert graph.refs(uuid) == [o for o in everything if o.uuid in targets]
    assert {e.target for e in graph.dangling()} == {
        e.target for o in everything for e in edges_of(o) if e.target not in kept
    }


@given(st.lists(objects(), max_size=8), st.randoms(use_true_random=False))
def test_order_of_arrival_does_not_matter(arrivals, rng):
    unique = list({o.uuid: o for o in arrivals}.values())
    shuffled = list(unique)
    rng.shuffle(shuffled)

    first, second = ObjectGraph(unique), ObjectGraph(shuffled)

    assert list(first) == list(second)
    for uuid in UUIDS:
        assert first.edges_to(uuid) == second.edges_to(uuid)


def test_removing_everything_leaves_no_index_behind():
    graph = ObjectGraph()
    port = decode_object(
        "virtual-machine-interface",
        {
            "uuid": "a",
            "fq_name": ["p", "x"],
            "parent_uuid": "b",
            "virtual_network_refs": [{"to": ["n"], "uuid": "c"}],
        },
    )
    graph.put(port)

    graph.remove("a")

    assert (graph._children, graph._back_edges, graph._uuids_by_type, graph._uuid_by_name) == (
        {},
        {},
        {},
        {},
    )
