"""How a plan is shown to people."""

from __future__ import annotations

from skytrail.cli import plan


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
