"""What is checked of QoS configurations, forwarding classes and queues."""

import pytest

PROJECT = ["default-domain", "default-project"]
GLOBAL = ["default-global-system-config", "default-global-qos-config"]


def pairs(*keys):
    return {
        "qos_id_forwarding_class_pair": [{"key": key, "forwarding_class_id": 1} for key in keys]
    }


def create(api, type_name, name, parent=GLOBAL, **fields):
    body = {
        "fq_name": [*parent, name],
        "parent_type": "project" if parent is PROJECT else "global-qos-config",
        **fields,
    }
    return api.call("POST", f"/{type_name}s", {type_name: body})


@pytest.mark.parametrize("parent", [PROJECT, GLOBAL])
def test_a_configuration_with_every_mark_is_taken(api, parent):
    reply = create(
        api,
        "qos-config",
        "all",
        parent,
        qos_config_type="project",
        dscp_entries=pairs(*range(64)),
        vlan_priority_entries=pairs(*range(8)),
        mpls_exp_entries=pairs(*range(8)),
    )

    assert reply.status == 200, reply.text


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"dscp_entries": pairs(64)}, "dscp_entries has key 64"),
        ({"dscp_entries": pairs(-1)}, "dscp_entries has key -1"),
        ({"vlan_priority_entries": pairs(8)}, "vlan_priority_entries has key 8"),
        ({"mpls_exp_entries": pairs(3, 3)}, "mpls_exp_entries has key 3 twice"),
        ({"qos_config_type": "fabric"}, "qos_config_type fabric"),
        ({"qos_config_type": "vhost"}, "qos_config_type vhost"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused_by_name(api, fields, names):
    reply = create(api, "qos-config", "bad", PROJECT, **{"qos_config_type": "project", **fields})

    assert reply.status == 400
    assert names in reply.text


def test_a_changed_configuration_is_checked_as_a_new_one(api):
    made = create(api, "qos-config", "gold", PROJECT, qos_config_type="project")
    uuid = made.json["qos-config"]["uuid"]

    reply = api.call("PUT", f"/qos-config/{uuid}", {"qos-config": {"dscp_entries": pairs(99)}})

    assert reply.status == 400
    assert "dscp_entries has key 99" in reply.text


def test_forwarding_classes_have_numbers_of_their_own(api):
    first = create(api, "forwarding-class", "voice", forwarding_class_id=7)
    second = create(api, "forwarding-class", "video", forwarding_class_id=7)
    other = create(api, "forwarding-class", "bulk", forwarding_class_id=8)
    moved = api.call(
        "PUT",
        f"/forwarding-class/{other.json['forwarding-class']['uuid']}",
        {"forwarding-class": {"forwarding_class_id": 7}},
    )
    same = api.call(
        "PUT",
        f"/forwarding-class/{first.json['forwarding-class']['uuid']}",
        {"forwarding-class": {"forwarding_class_id": 7, "forwarding_class_dscp": 46}},
    )

    assert [first.status, second.status, other.status, moved.status, same.status] == [
        200,
        400,
        200,
        400,
        200,
    ]
    assert "forwarding_class_id" in second.text


@pytest.mark.parametrize(
    ("value", "status"), [("1", 200), ("0", 400), ("-5", 400), ("10M", 400), ("9" * 30, 400)]
)
def test_a_ports_rate_limit_is_a_number_of_kilobits(api, value, status):
    network = {"fq_name": [*PROJECT, "front"], "parent_type": "project"}
    api.call("POST", "/virtual-networks", {"virtual-network": network})
    port = {
        "fq_name": [*PROJECT, "web"],
        "parent_type": "project",
        "virtual_network_refs": [{"to": network["fq_name"]}],
        "annotations": {"key_value_pair": [{"key": "rate-limit-sent-kbps", "value": value}]},
    }

    reply = api.call("POST", "/virtual-machine-interfaces", {"virtual-machine-interface": port})

    assert reply.status == status, reply.text
    assert status == 200 or "rate-limit-sent-kbps" in reply.text


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"min_bandwidth": -1}, "min_bandwidth"),
        ({"max_bandwidth": 101}, "max_bandwidth"),
        ({"min_bandwidth": 50, "max_bandwidth": 40}, "more than max_bandwidth"),
        ({"qos_queue_identifier": 256}, "qos_queue_identifier"),
    ],
)
def test_a_queue_has_a_share_of_the_link_and_a_number(api, fields, names):
    good = create(api, "qos-queue", "good", min_bandwidth=10, max_bandwidth=100)
    reply = create(api, "qos-queue", "bad", **fields)

    assert good.status == 200, good.text
    assert reply.status == 400
    assert names in reply.text
