"""Speakers and peerings read from ``bgp-router`` objects."""

from __future__ import annotations

from ipaddress import IPv4Address
from uuid import NAMESPACE_DNS, uuid5

import msgspec

from skytrail.control.bgp_config import DEFAULT_FAMILIES, BgpConfig, Speaker, bgp_config
from skytrail.model.config_object import ConfigObject, Reference
from skytrail.model.generated.objects import BgpRouter
from skytrail.model.generated.types import (
    AddressFamilies,
    AuthenticationData,
    AuthenticationKeyItem,
    BgpFamilyAttributes,
    BgpPeeringAttributes,
    BgpPrefixLimit,
    BgpRouterParams,
    BgpSession,
    BgpSessionAttributes,
)
from skytrail.model.graph import ObjectGraph
from skytrail.wire.bgp import BgpFamily

PLACE = ("default-domain", "default-project", "ip-fabric", "__default__")


def uuid_of(name: str) -> str:
    return str(uuid5(NAMESPACE_DNS, name))


def router(name: str, number: int, **parameters: object) -> BgpRouter:
    settings = {"autonomous_system": 64512, "address": f"10.0.0.{number}", **parameters}
    return BgpRouter(
        uuid=uuid_of(name),
        fq_name=(*PLACE, name),
        bgp_router_parameters=msgspec.convert(settings, BgpRouterParams),
    )


def peering(one: BgpRouter, other: BgpRouter, *sessions: BgpSessionAttributes) -> BgpRouter:
    attr = BgpPeeringAttributes(session=(BgpSession(uuid="s", attributes=sessions),))
    reference = Reference(to=other.fq_name, uuid=other.uuid, attr=attr)
    return msgspec.structs.replace(one, bgp_router_refs=(reference,))


def read(*objects: ConfigObject) -> BgpConfig:
    graph = ObjectGraph()
    for each in objects:
        graph.put(each)
    return bgp_config(graph, "control1")


def test_a_node_without_a_router_object_speaks_no_bgp() -> None:
    assert read(router("control2", 2)) == BgpConfig()


def test_a_peering_counts_whichever_side_holds_it() -> None:
    own, gateway = router("control1", 1), router("gateway", 9, autonomous_system=65001)

    for objects in ((peering(own, gateway), gateway), (own, peering(gateway, own))):
        config = read(*objects)
        (peer,) = config.peers
        assert config.speaker == Speaker(":".join(own.fq_name), 64512, IPv4Address("10.0.0.1"))
        assert (peer.address, peer.asn, peer.is_external) == (IPv4Address("10.0.0.9"), 65001, True)
        assert peer.families == DEFAULT_FAMILIES


def test_settings_of_our_end_win_over_those_of_both_and_over_the_routers() -> None:
    own = router("control1", 1, hold_time=60)
    both = BgpSessionAttributes(hold_time=30, passive=True)
    mine = BgpSessionAttributes(
        bgp_router="control1",
        hold_time=9,
        local_autonomous_system=64999,
        loop_count=2,
        auth_data=AuthenticationData(
            key_type="md5", key_items=(AuthenticationKeyItem(key_id=0, key="secret"),)
        ),
        family_attributes=(
            BgpFamilyAttributes(
                address_family="inet-vpn",
                prefix_limit=BgpPrefixLimit(maximum=100),
                default_tunnel_encap=("vxlan",),
            ),
        ),
    )
    theirs = BgpSessionAttributes(bgp_router="gateway", hold_time=200, admin_down=True)
    gateway = router("gateway", 9)

    (peer,) = read(peering(own, gateway, both, theirs, mine), gateway).peers

    assert (peer.hold_time_s, peer.local_asn, peer.loop_count) == (9, 64999, 2)
    assert peer.is_passive
    assert not peer.is_down
    assert peer.prefix_limits == ((BgpFamily.INET_VPN, 100),)
    assert peer.default_encapsulations == ((BgpFamily.INET_VPN, ("vxlan",)),)
    assert peer.md5_key == "secret"
    assert "secret" not in repr(peer)


def test_only_families_both_ends_list_are_offered() -> None:
    own = router("control1", 1)
    gateway = router("gateway", 9)
    listed = msgspec.structs.replace(
        gateway,
        bgp_router_parameters=msgspec.structs.replace(
            gateway.bgp_router_parameters or BgpRouterParams(),
            address_families=AddressFamilies(family=("inet-vpn", "inet")),
        ),
    )

    (peer,) = read(peering(own, listed), listed).peers

    assert peer.families == (BgpFamily.INET_VPN,)


def test_a_peer_without_address_is_named_and_the_others_stay() -> None:
    lost = replace_parameters(router("lost", 8), address=None)
    gateway = router("gateway", 9)
    own = router("control1", 1)
    references = tuple(
        Reference(to=each.fq_name, uuid=each.uuid, attr=None) for each in (lost, gateway)
    )

    config = read(msgspec.structs.replace(own, bgp_router_refs=references), lost, gateway)

    assert [peer.name.rpartition(":")[2] for peer in config.peers] == ["gateway"]
    (problem,) = config.problems
    assert problem.endswith(":lost: bgp_router_parameters.address is missing")


def replace_parameters(one: BgpRouter, **changes: object) -> BgpRouter:
    parameters = msgspec.structs.replace(one.bgp_router_parameters or BgpRouterParams(), **changes)
    return msgspec.structs.replace(one, bgp_router_parameters=parameters)
