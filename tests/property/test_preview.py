"""A preview says what the compiler would do, and leaves nothing behind."""

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from skytrail.compiler import emit
from skytrail.compiler.preview import Preview
from skytrail.model.catalog import CATALOG
from skytrail.testing import configuration as build

NAMES = ("red", "green", "blue")
policy = st.builds(
    lambda name, rules: build.network_policy(name, *rules),
    st.sampled_from(("p1", "p2")),
    st.lists(
        st.builds(
            build.rule,
            st.sampled_from(("any", *(f"default-domain:demo:{name}" for name in NAMES))),
            st.sampled_from(("any", *(f"default-domain:demo:{name}" for name in NAMES))),
            protocol=st.sampled_from(("any", "tcp")),
        ),
        max_size=2,
    ),
)
network = st.builds(
    lambda name, policies: build.virtual_network(name, *map(build.network_policy, policies)),
    st.sampled_from(NAMES),
    st.lists(st.sampled_from(("p1", "p2")), max_size=2, unique=True),
)
instance = st.builds(
    lambda name: build.routing_instance(build.virtual_network(name)), st.sampled_from(NAMES)
)
group = st.builds(
    lambda rules: build.security_group(
        "web", 8000000, *[build.rule("10.0.0.0/8", "group=local", ethertype="IPv4")] * rules
    ),
    st.integers(0, 2),
)
stored = st.one_of(policy, network, instance, group).map(
    lambda item: (item.type_name, item.uuid, msgspec.json.encode(item))
)
change = st.tuples(stored, st.integers(0, 3)).map(
    lambda pair: (*pair[0][:2], None) if pair[1] == 0 else pair[0]
)

# As in a transaction, an object changes once.
CHANGES = st.lists(change, max_size=5, unique_by=lambda each: each[1])


def loaded(objects: list) -> Preview:
    shadow = Preview()
    shadow.load(list({each[1]: each for each in objects}.values()))
    shadow.preview([])
    return shadow


def outputs(shadow: Preview) -> dict:
    intent = shadow._engine.intent
    return {kind: list(intent.objects(kind)) for kind in sorted(emit.OUTPUT_KINDS)}


@settings(max_examples=60, deadline=None)
@given(st.lists(stored, max_size=10), CHANGES)
def test_a_preview_leaves_the_shadow_as_it_was(objects, changes) -> None:
    shadow = loaded(objects)
    before = outputs(shadow)

    first = shadow.preview(changes)

    assert outputs(shadow) == before
    assert shadow.preview(changes) == first
    assert shadow.preview([])["derived"] == []


@settings(max_examples=60, deadline=None)
@given(st.lists(stored, max_size=10), CHANGES)
def test_what_was_previewed_is_what_a_committed_change_derives(objects, changes) -> None:
    shadow = loaded(objects)
    names = {
        (kind, item.fq_name): item for kind, items in outputs(shadow).items() for item in items
    }
    told = {(d["type"], tuple(d["fq_name"])): d["op"] for d in shadow.preview(changes)["derived"]}

    shadow.follow(changes)
    shadow.preview([])

    after = {
        (kind, item.fq_name): item for kind, items in outputs(shadow).items() for item in items
    }
    made = {key for key in after if key not in names}
    gone = {key for key in names if key not in after}
    assert {key for key, op in told.items() if op == "create"} <= made
    assert {key for key, op in told.items() if op == "delete"} <= gone
    differing = {key for key in after if key in names and after[key] != names[key]}
    assert {key for key, op in told.items() if op == "update"} <= differing
    for key in made | gone:
        if CATALOG.objects[key[0]].origin == "user":
            continue  # People's own objects are the plan, not what follows from it.
        fields = [f for f in (after.get(key) or names[key]).__struct_fields__ if "_refs" in f]
        assert key in told or not any(getattr(after.get(key) or names[key], f) for f in fields)
