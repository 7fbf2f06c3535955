"""How a plan is shown to people."""

from __future__ import annotations

import msgspec

from skytrail.cli import plan
from skytrail.cli.session import Session
from skytrail.client import Denied


class TenantsApi:
    """An API that shows plans to others only."""

    def call(self, call):
        if call.path == "/api/v1/plan":
            raise Denied(403, "not you")
        assert (call.path, call.query) == ("/api/v1/transaction", {"dry_run": "true"})
        name = ["d", "p", "red"]
        new = {"op": "create", "type": "virtual-network", "fq_name": name, "object": {"mtu": 9000}}
        return msgspec.json.encode({"dry_run": True, "revision": 7, "changes": [new]})


def test_a_plan_names_objects_pairs_hosts_and_violations(capsys) -> None:
    name = ["d", "p", "red"]
    found = {
        "revision": 7,
        "changes": [
            {
                "op": "update",
                "type": "virtual-network",
                "fq_name": name,
                "fields": [{"path": "/mtu", "from": 9000}],
            }
        ],
        "derived": [
            {
                "op": "create",
                "type": "access-control-list",
                "fq_name": [*name, "red"],
                "fields": [{"path": "/entries", "to": {"acl_rule": [1, 2]}}],
            }
        ],
        "reachability": [{"from": "a", "to": "b", "before": ["nothing"], "after": ["pass tcp"]}],
        "violations": [{"type": "network-policy", "fq_name": ["x"], "detail": "cannot"}],
        "hosts": [{"host": "one", "interfaces": 3}],
        "hosts_count": 1,
        "interfaces_count": 3,
    }

    plan.show(found, as_json=False)

    printed = capsys.readouterr()
    for part in ("d:p:red", "mtu: 9000 -> (none)", "2 rules", "pass tcp", "cannot", "one (3)"):
        assert part in printed.out
    assert "1 hosts with 3 interfaces would change at revision 7" in printed.err


def test_who_may_not_plan_is_shown_the_objects_alone(capsys) -> None:
    found = plan.ask(Session(TenantsApi(), None), [])

    plan.show(found, as_json=False)

    printed = capsys.readouterr()
    assert "mtu: 9000" in printed.out
    assert "shown to administrators" in printed.err


def test_of_rules_that_stay_as_many_those_that_differ_are_named() -> None:
    def rules(*ports):
        return {"acl_rule": [{"match": {"port": port}} for port in ports]}

    one = plan.field_text({"path": "/entries", "from": rules(1, 2, 3), "to": rules(1, 9, 3)})
    grown = plan.field_text({"path": "/entries", "from": rules(1), "to": rules(1, 2)})

    assert one == "entries/acl_rule/1/match/port: 2 -> 9"
    assert grown == "entries: 1 rule -> 2 rules"


def test_of_a_structure_only_the_parts_that_change_are_told() -> None:
    def rules(port, *more):
        return {"rule": [{"ports": [{"start": port, "end": 9}], "to": "a"}, *more]}

    one = plan.field_text({"path": "/entries", "from": rules(8), "to": rules(4)})
    grown = plan.field_text({"path": "/entries", "from": rules(8), "to": rules(8, {"to": "b"})})
    wide = [{"a": number} for number in range(20)]
    many = plan.field_text({"path": "/l", "from": wide, "to": [{"a": -1} for _ in wide]})

    assert one == "entries/rule/0/ports/0/start: 8 -> 4"
    assert grown.startswith("entries/rule: ")
    assert many.splitlines()[-1] == "..."
    assert len(many.splitlines()) == 9
