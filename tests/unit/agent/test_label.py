import pytest

from skytrail.agent.label import Numbers, NumbersExhausted, NumberSpace


def test_name_keeps_its_number():
    space = NumberSpace("label", 16, 31)
    first = space.number("a")
    space.number("b")

    assert space.number("a") == first == 16


def test_saved_numbers_survive_a_restart():
    before = Numbers()
    label = before.label.number("port")
    before.vrf.number("red")
    after = Numbers()
    after.load(before.save())

    assert after.label.number("port") == label
    assert after.label.number("other") != label


def test_freed_number_is_not_given_out_next():
    space = NumberSpace("label", 1, 10)
    space.number("a")
    space.finish_cycle(retired_count_max=0)
    space.finish_cycle(retired_count_max=0)

    assert space.find("a") is None
    assert space.number("b") == 2


def test_full_space_takes_the_oldest_retired_number():
    space = NumberSpace("label", 1, 2)
    space.number("old")
    space.finish_cycle()
    space.number("kept")
    space.finish_cycle()

    assert space.number("new") == 1
    assert space.find("old") is None


def test_exhausted_space_says_so():
    space = NumberSpace("label", 1, 1)
    space.number("a")

    with pytest.raises(NumbersExhausted, match="label"):
        space.number("b")


def test_name_wanted_again_is_no_longer_retired():
    space = NumberSpace("label", 1, 2)
    space.number("a")
    space.finish_cycle()
    space.finish_cycle()
    space.number("a")
    space.number("b")
    space.finish_cycle()

    with pytest.raises(NumbersExhausted):
        space.number("c")


def test_reserved_numbers_are_passed_over():
    space = NumberSpace("label", 1, 10)
    space.reserve([1, 2])

    assert space.number("a") == 3


@pytest.mark.parametrize("saved", [{"a": 99}, {"a": 0}])
def test_saved_number_outside_the_space_is_ignored(saved):
    space = NumberSpace("label", 1, 10)
    space.load(saved, 77)

    assert space.number("a") == 1
