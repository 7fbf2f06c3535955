"""What several stores answer becomes what one would: cases that whole queries do not reach."""

from __future__ import annotations

import random
from statistics import quantiles

import pytest

from skytrail.analytics.gathering import merged, part_of
from skytrail.analytics.query_request import LIMIT_MAX, QueryRequest, QueryUnusable


def request(*fields, **members):
    return QueryRequest("SessionSeriesTable", 0, 1, list(fields), **members)


def test_every_group_is_asked_for_where_sums_choose_the_first():
    asked = part_of(request("vn", "SUM(x)", sort_fields=["SUM(x)"], sort=2, limit=3))

    assert (asked.limit, asked.sort_fields, asked.sort) == (LIMIT_MAX, None, None)


def test_groups_that_are_equal_in_order_are_cut_alike_everywhere():
    asked = part_of(request("T=60", "vn", "SUM(x)", sort_fields=["T=60"], sort=2, limit=3))

    assert (asked.limit, asked.sort_fields, asked.sort) == (3, ["T=60", "vn"], 2)


def test_single_rows_are_asked_for_as_they_are():
    asked = request("T", "vn", sort_fields=["T"], limit=3)

    assert part_of(asked) == asked


def test_too_many_groups_are_refused_and_not_cut():
    asked = request("T=60", "vn", "SUM(x)", sort_fields=["SUM(x)"], limit=3)
    rows = [[0, str(number), 1] for number in range(LIMIT_MAX)]

    with pytest.raises(QueryUnusable, match="choose fewer"):
        merged(asked, [rows, []])


def test_who_has_no_row_of_it_is_neither_the_least_nor_in_the_average():
    asked = request("MIN(x)", "MAX(x)", "AVG(x)", "SUM(x)", "COUNT(x)")
    none, some = [[0, 0], [0, 0], [0, 0], 0, 0], [[7, 2], [-3, 2], [10, 2], 10, 2]

    assert merged(asked, [[none], [some]]) == [[7, -3, 5.0, 10, 2]]
    assert merged(asked, [[none], [none]]) == [[0, 0, None, 0, 0]]


def test_values_of_other_kinds_are_in_the_store_s_order():
    asked = request("x", sort_fields=["x"])

    found = merged(asked, [[[2], ["b"], [None]], [["a"], [1.5]]])

    assert found == [[1.5], [2], ["a"], ["b"], [None]]


def test_percentiles_of_whole_samples_are_exact():
    chance = random.Random(3)
    values = [chance.random() for _ in range(1000)]
    asked = request("PERCENTILES(x)")
    parts = [[[[values[:300], 300]]], [[[values[300:], 700]]], [[[[], 0]]]]

    ((found,),) = merged(asked, parts)

    exact = quantiles(values, n=100, method="inclusive")
    expected = [exact[each - 1] for each in (1, 5, 25, 50, 75, 95, 99)]
    assert found == pytest.approx(expected)
    assert merged(asked, [[[[[], 0]]]]) == [[[None] * 7]]


def test_a_sample_weighs_as_much_as_it_stands_for():
    # A tenth of a node's million values was looked at; the other has as many, all greater.
    low, high = list(range(100)), list(range(1000, 2000))
    asked = request("PERCENTILES(x)")

    ((found,),) = merged(asked, [[[[low, 1000]]], [[[high, 1000]]]])

    assert found[3] == pytest.approx(549.5, abs=500)
    assert found[2] == pytest.approx(50, abs=1)
    assert found[4] == pytest.approx(1500, abs=1)
