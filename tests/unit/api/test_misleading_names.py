"""Names that look like other ones: refused for what is new, and no hindrance for what is there."""

from __future__ import annotations

import pytest

from skytrail.api import identity
from skytrail.model.validate import misleading_character, without_misleading

PROJECT = ["default-domain", "default-project"]
CHARACTERS = [
    ("\u202e", "U+202E"), ("\u2066", "U+2066"), ("\u2028", "U+2028"),
    ("\n", "U+000A"), ("\t", "U+0009"), ("\x7f", "U+007F"), ("\x9b", "U+009B"),
]  # fmt: skip


@pytest.mark.parametrize(("character", "code"), CHARACTERS)
def test_a_new_object_gets_no_name_that_looks_like_another(api, character, code) -> None:
    before = api.service.revision
    for field, body in (
        ("fq_name", {"fq_name": [*PROJECT, f"fdp{character}exe"]}),
        ("display_name", {"fq_name": [*PROJECT, "n"], "display_name": f"fdp{character}exe"}),
    ):
        compatible = api.call("POST", "/virtual-networks", {"virtual-network": body})
        native = api.call("POST", "/api/v1/virtual-network", body)

        assert compatible.status == native.status == 400
        wanted = f"Bad Request, {field} has the character {code}"
        assert compatible.text.startswith(wanted)
        assert native.json["detail"].startswith(wanted)
    assert api.service.revision == before


@pytest.mark.parametrize("name", ["\u05d0\u05d1\u05d2", "a\u200fb", "net \u00e9t\u00e9 \U0001f600"])
def test_names_of_any_script_are_names(api, name) -> None:
    body = {"fq_name": [*PROJECT, name], "display_name": name}

    assert api.call("POST", "/virtual-networks", {"virtual-network": body}).status == 200


def test_what_was_named_so_before_is_read_changed_filled_and_deleted(api, monkeypatch) -> None:
    name = "fdp\u202eexe"
    with monkeypatch.context() as before:
        before.setattr(identity, "misleading_character", lambda _name: None)
        project = api.call(
            "POST", "/projects", {"project": {"fq_name": ["default-domain", name]}}
        ).json["project"]
    path = f"/project/{project['uuid']}"

    held = api.call("GET", path).json["project"]
    assert held["fq_name"][-1] == held["display_name"] == name
    # Clients edit what they read and send all of it back.
    assert api.call("PUT", path, {"project": held}).status == 200
    below = {"fq_name": ["default-domain", name, "net"], "parent_type": "project"}
    network = api.call("POST", "/virtual-networks", {"virtual-network": below})
    assert network.status == 200
    renamed = api.call("PUT", path, {"project": {"display_name": f"other {name}"}})
    assert renamed.status == 400
    assert "display_name" in renamed.text
    assert api.call("PUT", path, {"project": {"display_name": "fdp exe"}}).status == 200
    assert (
        api.call("DELETE", f"/virtual-network/{network.json['virtual-network']['uuid']}").status
        == 200
    )
    # Of a project's own there is a set that goes before it.
    for each in api.call("GET", f"/application-policy-sets?parent_id={project['uuid']}").json[
        "application-policy-sets"
    ]:
        api.call("DELETE", f"/application-policy-set/{each['uuid']}")
    assert api.call("DELETE", path).status == 200


def test_a_name_of_elsewhere_is_made_one_that_is_seen() -> None:
    assert without_misleading("fdp\u202eexe\n") == "fdp_exe_"
    assert misleading_character(without_misleading("".join(each for each, _ in CHARACTERS))) is None
