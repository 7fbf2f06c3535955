"""Typed objects accept what clients send and give back the wire form."""

import pytest

from skytrail.model.catalog import CATALOG, resolve_type_name
from skytrail.model.generated.objects import OBJECT_CLASSES, VirtualNetwork
from skytrail.model.generated.types import VnSubnetsType
from skytrail.model.objects import ModelError, Reference, decode_object, encode_object

# A network as a client library of the compatible API sends it, nulls and empty lists included.
SENT = {
    "uuid": "4ea25b7e-0000-4000-8000-000000000001",
    "fq_name": ["default-domain", "default-project", "vn1"],
    "parent_type": "project",
    "route_target_list": {"route_target": ["target:64512:1"]},
    "network_policy_refs": [],
    "network_ipam_refs": [
        {
            "to": ["default-domain", "default-project", "default-network-ipam"],
            "attr": {
                "ipam_subnets": [
                    {
                        "subnet": {"ip_prefix": "10.0.0.0", "ip_prefix_len": 24},
                        "default_gateway": None,
                        "enable_dhcp": True,
                        "dns_nameservers": [],
                        "allocation_pools": None,
                        "alloc_unit": "1",
                    }
                ],
                "host_routes": None,
            },
        }
    ],
}


def test_network_as_sent_by_clients_is_decoded_with_its_types():
    network = decode_object("virtual-network", SENT)

    assert isinstance(network, VirtualNetwork)
    assert network.name == "vn1"
    assert network.mtu is None
    assert network.network_policy_refs == ()
    (reference,) = network.network_ipam_refs
    assert isinstance(reference, Reference)
    assert isinstance(reference.attr, VnSubnetsType)
    (subnet,) = reference.attr.ipam_subnets
    assert (subnet.alloc_unit, subnet.allocation_pools) == (1, ())


def test_encoding_leaves_out_what_is_not_given():
    encoded = encode_object(decode_object("virtual-network", SENT))

    assert encoded["network_ipam_refs"][0]["attr"] == {
        "ipam_subnets": [
            {
                "subnet": {"ip_prefix": "10.0.0.0", "ip_prefix_len": 24},
                "enable_dhcp": True,
                "alloc_unit": 1,
            }
        ]
    }
    assert "network_policy_refs" not in encoded
    assert "mtu" not in encoded


def test_attribute_on_a_reference_without_one_is_dropped():
    wire = {"fq_name": ["a"], "security_group_refs": [{"to": ["g"], "uuid": "u", "attr": {}}]}

    port = decode_object("virtual-machine-interface", wire)

    assert port.security_group_refs == (Reference(to=("g",), uuid="u"),)


@pytest.mark.parametrize(
    ("type_name", "wire", "text"),
    [
        ("no-such-type", {}, "unknown object type 'no-such-type'"),
        ("virtual-network", {}, "fq_name"),
        ("virtual-network", b"{", "virtual-network: "),
        ("virtual-network", {"fq_name": ["a"], "mtu": "x"}, "mtu"),
    ],
)
def test_what_does_not_fit_is_a_model_error_that_names_it(type_name, wire, text):
    with pytest.raises(ModelError, match=text):
        decode_object(type_name, wire)


def test_every_type_has_a_class_that_knows_its_name():
    assert {name: cls.type_name for name, cls in OBJECT_CLASSES.items()} == {
        name: name for name in CATALOG.objects
    }


def test_every_description_says_something():
    entries = [
        *CATALOG.objects.values(),
        *CATALOG.types.values(),
        *CATALOG.simple_types.values(),
        *CATALOG.families.values(),
    ]
    for entry in CATALOG.objects.values():
        entries += [*entry.properties.values(), *entry.references.values()]
    for entry in CATALOG.types.values():
        entries += entry.fields.values()

    assert [entry.name for entry in entries if len(entry.description) < 15] == []
    assert [entry.name for entry in entries if "\n" in entry.description] == []


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("virtual-network", "virtual-network"),
        ("virtual_networks", "virtual-network"),
        ("VirtualNetwork", "virtual-network"),
        ("vn", "virtual-network"),
        ("VMIs", "virtual-machine-interface"),
        ("virtual-dns", "virtual-DNS"),
        ("ipam", "network-ipam"),
        ("network-policys", "network-policy"),
        ("config-properties", "config-properties"),
        ("config-propertiess", "config-properties"),
        ("nonsense", None),
        ("", None),
    ],
)
def test_people_may_call_a_type_by_many_names(said, meant):
    assert resolve_type_name(said) == meant
