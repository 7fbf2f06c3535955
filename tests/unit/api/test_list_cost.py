"""What one list may cost: selectors are bounded, and saying a thing often is saying it once."""

from __future__ import annotations

import pytest

from skytrail.api import query, selection
from skytrail.api.graph import Graph
from skytrail.api.refusal import Refused
from skytrail.model.catalog import CATALOG

NETWORK = CATALOG.objects["virtual-network"]
PROJECT = ["default-domain", "default-project"]


def several(count: int, form: str) -> list[str]:
    return [form.format(number) for number in range(count)]


@pytest.mark.parametrize(
    ("name", "form"),
    [("labels", "k{}"), ("tags", "tier=t{}"), ("filter", "mtu:eq:{}")],
)
def test_selectors_of_each_kind_are_bounded(name, form) -> None:
    most, more = (
        {name: texts if name == "filter" else [",".join(texts)]}
        for texts in (several(20, form), several(21, form))
    )

    assert len(selection.selection_of(Graph(), NETWORK, most).tests) == 20
    with pytest.raises(Refused, match=f"{name}: at most 20, not 21") as refused:
        selection.selection_of(Graph(), NETWORK, more)
    assert refused.value.status == 400


def test_parents_of_a_native_list_are_bounded(api) -> None:
    parents = "&".join(several(21, "parent=00000000-0000-4000-8000-0000000000{:02}"))

    reply = api.call("GET", f"/api/v1/virtual-network?{parents}")

    assert (reply.status, "parent: at most 20" in reply.json["detail"]) == (400, True)


def test_selector_given_again_is_no_further_test() -> None:
    given = {"labels": ["a," * 5_000], "tags": ["tier=web", "tier=web"], "filter": ["mtu:eq:1"] * 9}

    assert len(selection.selection_of(Graph(), NETWORK, given).tests) == 3


def test_filters_of_the_compatible_api_are_bounded() -> None:
    assert len(query.parse_filters(",".join(["name==a"] * 100))["name"]) == 100
    with pytest.raises(Refused, match="at most 100") as refused:
        query.parse_filters(",".join(["name==a"] * 101))
    assert refused.value.status == 400


@pytest.mark.parametrize("name", ["parent_id", "back_ref_id", "obj_uuids", "fq_names"])
def test_anchor_given_again_is_not_looked_at_again(name) -> None:
    asked = query.parse({name: ["x"] * 4_000})
    found = asked.parent_uuids or asked.back_reference_uuids or asked.uuids or asked.names

    assert found is not None
    assert len(found) == 1


def test_bulk_list_takes_thousands_of_ids(api) -> None:
    project = api.service.graph.uuid_of("project", tuple(PROJECT))
    one = api.network("one")
    others = several(4_000, "00000000-0000-4000-8000-{:012}")

    def listed(**anchors: object) -> list[str]:
        body = {"type": "virtual-network", "fq_names": [":".join([*PROJECT, "one"])], **anchors}
        reply = api.call("POST", "/list-bulk-collection", body)
        assert reply.status == 200, reply.text
        return [item["uuid"] for item in reply.json["virtual-networks"]]

    assert listed(parent_id=[*others, project, project]) == [one]
    assert listed(obj_uuids=",".join([*others, one, one])) == [one]


@pytest.mark.parametrize("fields", ["mtu," * 900, "mtu"])
def test_fields_are_checked_even_where_nothing_is_found(api, fields) -> None:
    nothing = "/api/v1/virtual-network?filter=name:eq:none"

    assert api.call("GET", f"{nothing}&fields={fields}").status == 200
    assert api.call("GET", f"{nothing}&fields={fields},mtuu").status == 400
