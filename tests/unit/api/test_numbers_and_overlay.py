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


IDS = "virtual-network-id"


def committed(numbers: Numbers, plan) -> object:
    overlay = NumbersOverlay(numbers)
    result = plan(overlay)
    numbers.absorb(overlay)
    return result


def test_a_freed_id_rests_until_others_were_freed(monkeypatch) -> None:
    monkeypatch.setattr("skytrail.api.numbers.RESTS_COUNT_MAX", 2)
    numbers = Numbers()

    def first(plan: NumbersOverlay) -> int | None:
        return plan.take_first(IDS, ((1, 100),), "a")

    assert [committed(numbers, first) for _ in range(4)] == [1, 2, 3, 4]
    committed(numbers, lambda plan: plan.release(IDS, 1))
    committed(numbers, lambda plan: plan.release(IDS, 2))
    assert committed(numbers, first) == 5
    committed(numbers, lambda plan: plan.release(IDS, 3))
    assert committed(numbers, first) == 1
    assert committed(numbers, first) == 6


def test_a_freed_address_does_not_rest() -> None:
    numbers = Numbers()
    for _ in range(3):
        committed(numbers, lambda plan: plan.take_first("ip/x", ((1, 9),), "a"))
    committed(numbers, lambda plan: plan.release("ip/x", 2))

    assert committed(numbers, lambda plan: plan.take_first("ip/x", ((1, 9),), "b")) == 2


def test_an_id_freed_in_a_plan_is_not_given_again_in_it() -> None:
    numbers = Numbers()
    committed(numbers, lambda plan: plan.take_first(IDS, ((1, 9),), "a"))

    def replace(plan: NumbersOverlay) -> int | None:
        plan.release(IDS, 1)
        return plan.take_first(IDS, ((1, 9),), "b")

    assert committed(numbers, replace) == 2


def test_a_resting_id_may_be_asked_for_by_number() -> None:
    numbers = Numbers()
    committed(numbers, lambda plan: plan.take(IDS, 1, "a"))
    committed(numbers, lambda plan: plan.release(IDS, 1))

    assert committed(numbers, lambda plan: plan.take(IDS, 1, "b"))
    assert not numbers.rests(IDS, 1)


@given(
    st.lists(
        st.tuples(st.sampled_from("fftr"), st.integers(1, 8), st.booleans(), st.booleans()),
        max_size=60,
    )
)
def test_ids_are_given_once_and_refused_only_when_all_are_taken(actions) -> None:
    numbers, taken = Numbers(), dict[int, str]()
    plan = NumbersOverlay(numbers)
    for action, value, descending, commit in actions:
        if action == "f":
            owner = f"o{len(taken)}"
            found = plan.take_first(IDS, ((1, 8),), owner, descending=descending)
            assert (found is None) == (len(taken) == 8)
            if found is not None:
                assert found not in taken
                taken[found] = owner
        elif action == "t":
            assert plan.take(IDS, value, "x") == (taken.get(value, "x") == "x")
            taken.setdefault(value, "x")
        else:
            plan.release(IDS, value)
            taken.pop(value, None)
        if commit:
            numbers.absorb(plan)
            plan = NumbersOverlay(numbers)
        assert dict(plan.pool(IDS)) == taken
        assert not set(plan.resting(IDS)) & set(taken)
