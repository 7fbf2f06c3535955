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
    st.lists(st.tuples(st.sampled_from("trf"), st.integers(0, 14), st.booleans()), max_size=30),
    st.sampled_from([1, 2, 4]),
)
def test_first_free_is_what_a_full_search_finds(actions, unit) -> None:
    numbers = Numbers()
    model: dict[int, str] = {}
    ranges = ((2, 6), (9, 12))
    for action, value, descending in actions:
        overlay = NumbersOverlay(numbers)
        if action == "t":
            overlay.take("p", value, f"o{value}")
            model.setdefault(value, f"o{value}")
        elif action == "r":
            overlay.release("p", value)
            model.pop(value, None)
        else:
            candidates = [
                number
                for low, high in ranges
                for number in range(low, high + 1)
                if number % unit == 0 and number + unit - 1 <= high and number not in model
            ]
            wanted = (candidates[-1] if descending else candidates[0]) if candidates else None
            found = overlay.take_first("p", ranges, "x", descending=descending, unit=unit)
            assert found == wanted
            if found is not None:
                model[found] = "x"
        numbers.absorb(overlay)
        assert dict(numbers.pool("p")) == model


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
