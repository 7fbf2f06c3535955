"""What is checked of objects that route between networks."""

import pytest

PROJECT = ["default-domain", "default-project"]


def create_router(api, name="r", **members):
    body = {"fq_name": [*PROJECT, name], "parent_type": "project", **members}
    return api.call("POST", "/logical-routers", {"logical-router": body})


@pytest.mark.parametrize(
    "target", ["target:64512:8000001", "64512:5", "target:red:5"], ids=["generated", "bare", "word"]
)
def test_router_takes_only_readable_targets_that_are_not_generated(api, target):
    reply = create_router(api, configured_route_target_list={"route_target": [target]})

    assert reply.status == 400
    assert "oute target" in reply.text


def test_generated_targets_of_a_four_byte_as_cannot_be_configured(api):
    uuid = api.call("GET", "/global-system-configs").json["global-system-configs"][0]["uuid"]
    body = {"global-system-config": {"autonomous_system": 70000, "enable_4byte_as": True}}
    assert api.call("PUT", f"/global-system-config/{uuid}", body).status == 200
    refused = {"route_target": ["target:70000:8000"]}
    accepted = {"route_target": ["target:70000:7999", "target:64512:8000001"]}

    assert create_router(api, configured_route_target_list=refused).status == 400
    assert create_router(api, configured_route_target_list=accepted).status == 200


@pytest.mark.parametrize("vni", ["0", "x", "16777216", "9" * 400])
def test_vxlan_number_of_a_router_has_24_bits(api, vni):
    reply = create_router(api, vxlan_network_identifier=vni)

    assert reply.status == 400
    assert "from 1 to 16777215" in reply.text


def test_kind_of_a_router_stays(api):
    uuid = create_router(api).json["logical-router"]["uuid"]

    def change(kind):
        body = {"logical-router": {"logical_router_type": kind}}
        return api.call("PUT", f"/logical-router/{uuid}", body).status

    assert change("snat-routing") == 200
    assert change("vxlan-routing") == 400
