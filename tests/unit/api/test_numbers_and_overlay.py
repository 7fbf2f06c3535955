"""Planning on overlays: reads show the plan, a discarded plan leaves no trace."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from skytrail.api.graph import Graph, Overlay, make_record
from skytrail.api.numbers import Numbers, NumbersOverlay


def record(uuid: str, parent: str | None = None, target: str | None = None):
    body = {"uuid": uuid, "fq_name": [uuid]}
    if parent is not None:
        body["parent_uuid"] = parent
    if target is not None:
        body["thing_refs"] = [{"uuid": target, "to": [target], "attr": None}]
    return make_record("thing", body)


def state(view, uuids: str):
    return (
        {u for u in uuids if view.get(u)},
        {u: view.uuid_of("thing", (u,)) for u in uuids},
        {u: sorted(view.child_uuids(u, "thing")) for u in uuids},
        {u: sorted(view.referrer_uuids(u, "thing")) for u in uuids},
        sorted(r.uuid for r in view.of_type("thing")),
    )


steps = st.lists(
    st.tuples(
        st.booleans(),
        st.sampled_from("abcd"),
        st.sampled_from("abcd") | st.none(),
        st.sampled_from("abcd") | st.none(),
    ),
    max_size=12,
)


def apply(view, changes) -> None:
    parents: dict[str, str | None] = {}
    for put, uuid, parent, target in changes:
        present = view.get(uuid)
        if not put:
            view.remove(uuid)
        else:
            # A parent never changes, so an update keeps the one it was created with.
            parents[uuid] = present.parent_uuid if present else parent
            view.put(record(uuid, parents[uuid], target))


@given(steps, steps)
def test_an_overlay_reads_like_a_graph_with_the_same_changes(first, second) -> None:
    base, same = Graph(), Graph()
    apply(base, first)
    apply(same, first)
    before = state(base, "abcd")
    overlay = Overlay(base)
    layer = Overlay(overlay)

    apply(layer, second)
    apply(same, second)

    assert state(layer, "abcd") == state(same, "abcd")
    assert state(base, "abcd") == before
    overlay.absorb(layer)
    assert state(overlay, "abcd") == state(same, "abcd")
    base.absorb(overlay)
    assert state(base, "abcd") == state(same, "abcd")


@given(
    st.lists(
        st.tuples(st.sampled_from("trfo"), st.integers(0, 14), st.booleans(), st.integers(0, 2)),
        max_size=40,
    ),
    st.sampled_from([1, 2, 4]),
)
def test_pools_at_every_depth_do_what_a_plain_dictionary_does(actions, unit) -> None:
    numbers = Numbers()
    layers = [NumbersOverlay(numbers)]
    layers.append(NumbersOverlay(layers[0]))
    model: dict[int, str] = {}
    ranges = ((2, 6), (9, 12))
    for action, value, descending, merge in actions:
        plan = layers[-1]
        owner = f"o{value % 3}"
        if action == "t":
            assert plan.take("p", value, owner) == (model.get(value, owner) == owner)
            model.setdefault(value, owner)
        elif action == "r":
            plan.release("p", value)
            model.pop(value, None)
        elif action == "o":
            plan.release_owner(owner)
            model = {number: who for number, who in model.items() if who != owner}
        else:
            candidates = [
                number
                for low, high in ranges
                for number in range(low, high + 1)
                if number % unit == 0 and number + unit - 1 <= high and number not in model
            ]
            wanted = (candidates[-1] if descending else candidates[0]) if candidates else None
            found = plan.take_first("p", ranges, owner, descending=descending, unit=unit)
            assert found == wanted
            if found is not None:
                model[found] = owner
        assert dict(plan.pool("p")) == model
        for who in ("o0", "o1", "o2"):
            owned = {number for _, number in plan.owned_by(who)}
            assert owned == {number for number, holder in model.items() if holder == who}
        if merge:
            layers[0].absorb(layers[1])
            if merge == 2:
                numbers.absorb(layers[0])
                layers = [NumbersOverlay(numbers)]
                assert dict(numbers.pool("p")) == model
            layers = [layers[0], NumbersOverlay(layers[0])]


def test_releasing_an_owner_frees_all_it_has() -> None:
    numbers = Numbers()
    overlay = NumbersOverlay(numbers)
    overlay.take("p", 1, "a")
    overlay.take("q", 2, "a")
    overlay.take("q", 3, "b")
    numbers.absorb(overlay)

    release = NumbersOverlay(numbers)
    release.release_owner("a")
    numbers.absorb(release)

    assert (numbers.owner("p", 1), numbers.owner("q", 2), numbers.owner("q", 3)) == (
        None,
        None,
        "b",
    )
    assert not list(numbers.owned_by("a"))
