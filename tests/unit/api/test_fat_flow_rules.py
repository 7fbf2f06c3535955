"""What is checked of merged flows."""

import pytest

PROJECT = ["default-domain", "default-project"]


def create(api, *rules):
    body = {
        "fq_name": [*PROJECT, "front"],
        "parent_type": "project",
        "virtual_network_fat_flow_protocols": {"fat_flow_protocol": list(rules)},
    }
    return api.call("POST", "/virtual-networks", {"virtual-network": body})


def prefix(text, length):
    return {"ip_prefix": text, "ip_prefix_len": length}


def test_folds_of_both_sides_are_taken(api):
    rule = {
        "protocol": "udp",
        "port": 53,
        "ignore_address": "none",
        "source_prefix": prefix("10.0.0.0", 8),
        "source_aggregate_prefix_length": 28,
        "destination_prefix": prefix("20.0.0.0", 8),
        "destination_aggregate_prefix_length": 24,
    }

    reply = create(api, rule, {"protocol": "tcp", "port": 0, "ignore_address": "source"})

    assert reply.status == 200, reply.text


@pytest.mark.parametrize(
    ("fields", "names"),
    [
        ({"port": 65536}, "has port 65536"),
        ({"source_aggregate_prefix_length": 28}, "28 without source_prefix"),
        (
            {
                "destination_prefix": prefix("10.0.0.0", 8),
                "destination_aggregate_prefix_length": 33,
            },
            "must be 8 to 32",
        ),
        (
            {"source_prefix": prefix("10.0.0.0", 8), "source_aggregate_prefix_length": 4},
            "must be 8 to 32",
        ),
        (
            {
                "source_prefix": prefix("10.0.0.0", 8),
                "destination_prefix": prefix("2001:db8::", 32),
            },
            "two IP versions",
        ),
        ({"source_prefix": prefix("nonsense", 8)}, "Invalid source_prefix"),
    ],
)
def test_what_cannot_be_followed_is_refused(api, fields, names):
    reply = create(api, {"protocol": "udp", "port": 53, **fields})

    assert reply.status == 400
    assert names in reply.text
