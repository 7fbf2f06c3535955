"""What devices say by SNMP: whatever it is, it is read, bounded, and becomes cables."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skytrail.analytics import snmp_tables as tables
from skytrail.analytics.io.snmp_poller import OFTEN, SELDOM
from skytrail.analytics.snmp_devices import Community, CredentialsUnusable, User, device_of
from skytrail.analytics.telemetry import typed_fields

VALUES = st.one_of(st.integers(-(1 << 31), (1 << 64) - 1), st.binary(max_size=300))
INDEXES = st.lists(st.integers(0, (1 << 32) - 1), max_size=20).map(tuple)


def said(*cells):
    return tables.Read(dict(cells))


def interfaces(**octets):
    cells = []
    for number, (name, count) in enumerate(octets.items(), start=1):
        cells.append(((*tables.INTERFACES_MORE, 1, number), name.encode()))
        cells.append(((*tables.INTERFACES_MORE, 6, number), count))
    return cells


@given(
    st.dictionaries(
        st.builds(lambda at, index: (*at, *index), st.sampled_from((*OFTEN, *SELDOM)), INDEXES),
        VALUES,
        max_size=40,
    )
)
def test_whatever_a_device_says_is_read_and_can_be_told(rows):
    switch = tables.switch_of(tables.Read(rows))

    told = {
        "ifTable": [dict(each) for each in switch.interfaces.values()],
        "links": tables.links_of(switch, {}, {}, []),
        "system": switch.system,
        "grown": tables.growth(switch.interfaces, switch.interfaces),
        "course": tables.grown_on({}, tables.growth(switch.interfaces, switch.interfaces)),
    }
    assert typed_fields(told)
    for each in switch.neighbours:
        assert len(each.name) <= tables.TEXT_CHARACTERS_MAX
        assert each.name.isprintable()


def test_device_with_too_many_interfaces_keeps_the_first():
    rows = {(*tables.INTERFACES, 8, n): 1 for n in range(tables.ROWS_MAX + 9)}

    assert len(tables.switch_of(tables.Read(rows)).interfaces) == tables.ROWS_MAX


def test_port_of_a_host_is_known_by_its_description():
    row = (0, 3, 1)
    read = said(
        *interfaces(et0=0, et1=0, et2=0),
        ((*tables.LLDP_PORTS, 2, 3), 5), ((*tables.LLDP_PORTS, 3, 3), b"et2"),
        ((*tables.LLDP_NEIGHBOURS, 4, *row), 4), ((*tables.LLDP_NEIGHBOURS, 5, *row), b"\2\0\0\0\0\1"),
        ((*tables.LLDP_NEIGHBOURS, 6, *row), 3), ((*tables.LLDP_NEIGHBOURS, 7, *row), b"\2\0\0\0\0\2"),
        ((*tables.LLDP_NEIGHBOURS, 8, *row), b"eth0"), ((*tables.LLDP_NEIGHBOURS, 9, *row), b"host1"),
    )  # fmt: skip

    links = tables.links_of(tables.switch_of(read), {}, {}, [])

    assert links == [
        {
            "remote_system_name": "host1", "local_interface_name": "et2", "local_interface_index": 3,
            "remote_interface_name": "eth0", "type": tables.VROUTER,
        }
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("index", "address"),
    [
        ((*tables.ARP, 2, 192, 0, 2, 7), "192.0.2.7"),
        ((*tables.NEIGHBOURS_OF_IP, 2, 1, 4, 192, 0, 2, 7), "192.0.2.7"),
        ((*tables.NEIGHBOURS_OF_IP, 2, 2, 16, 0x20, 1, 0xD, 0xB8, *(0,) * 11, 7), "2001:db8::7"),
    ],
)
def test_host_without_lldp_is_where_its_address_is_known(index, address):
    read = said(*interfaces(et0=0, et1=0), (index, b"\2\0\0\0\0\1"))

    links = tables.links_of(tables.switch_of(read), {}, {address: "host2"}, [])

    assert [(each["remote_system_name"], each["local_interface_name"]) for each in links] == [
        ("host2", "et1")
    ]


@pytest.mark.parametrize(
    ("before", "after", "grown"),
    [(5, 9, 4), ((1 << 64) - 2, 3, 5), (1000, 10, 10)],
    ids=["grew", "went round", "began again"],
)
def test_growth_of_a_counter(before, after, grown):
    one, other = (
        tables.switch_of(said(*interfaces(et0=count))).interfaces for count in (before, after)
    )

    assert tables.growth(one, other)["1"]["ifInOctets"] == grown


def test_course_of_a_counter_adds_up_what_polls_find():
    one, two, three = (
        tables.switch_of(said(*interfaces(et0=count))).interfaces for count in (5, 9, 2)
    )
    course = tables.grown_on({}, tables.growth(one, two))
    course = tables.grown_on(course, tables.growth(two, two))

    assert course["1"]["ifInOctets"] == 4
    assert tables.grown_on(course, tables.growth(two, three))["1"]["ifInOctets"] == 6
    assert tables.grown_on(course, {}) == {}
    assert tables.grown_on({"1": {"ifInOctets": (1 << 63) - 1}}, {"1": {"ifInOctets": 3}}) == {
        "1": {"ifInOctets": 2}
    }


def test_new_interface_has_not_grown():
    read = tables.switch_of(said(*interfaces(et0=7))).interfaces

    assert tables.growth({}, read) == {}


def document(**words):
    return {
        "fq_name": ["default-global-system-config", "leaf1"], "physical_router_snmp": True,
        "physical_router_management_ip": "192.0.2.1", "physical_router_snmp_credentials": words,
    }  # fmt: skip


def test_versions_2_and_3_are_read_from_the_object():
    assert device_of(document(version=2, v2_community="c")).who == Community("c")
    words = {
        "v3_security_name": "u", "v3_authentication_password": "12345678", "v3_privacy_password": "abcdefgh",
        "v3_authentication_protocol": "SHA-256",
    }  # fmt: skip
    assert device_of(document(version=3, **words)).who == User(
        "u", "sha256", "12345678", "aes", "abcdefgh"
    )


def test_device_that_is_not_to_be_polled_is_left_alone():
    assert device_of({**document(v2_community="c"), "physical_router_snmp": False}) is None


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ({"version": 1, "v2_community": "c"}, "version"),
        ({}, "v2_community"),
        ({"version": 3}, "v3_security_name"),
        ({"version": 3, "v3_security_name": "u", "v3_security_level": "all"}, "v3_security_level"),
        ({"version": 3, "v3_security_name": "u"}, "v3_authentication_password"),
        (
            {"version": 3, "v3_security_name": "u", "v3_authentication_protocol": "rot13"},
            "v3_authentication_protocol",
        ),
    ],
)
def test_words_of_no_use_are_named(words, named):
    with pytest.raises(CredentialsUnusable, match=named):
        device_of(document(**words))


@given(
    st.dictionaries(
        st.sampled_from(["version", "v2_community", "v3_security_name", "timeout", "retries"]),
        st.one_of(st.none(), st.integers(), st.text(), st.lists(st.integers())),
        max_size=5,
    )
)
def test_strange_objects_are_refused_or_read(words):
    try:
        device = device_of(document(**words))
    except CredentialsUnusable:
        return
    assert device is not None
    assert 1 <= device.timeout_s <= 30
