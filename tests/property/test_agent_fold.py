"""Whose connections share a flow: always those that a rule names, and none beyond its prefixes."""

from ipaddress import IPv4Address, IPv6Address, ip_network

from hypothesis import given
from hypothesis import strategies as st

from skytrail.agent.fold import fold_of
from skytrail.agent.tables import FoldRow, VifId


@st.composite
def cases(draw):
    """Ends of one version, close to each other, and rules that speak of such addresses."""
    is_v4 = draw(st.booleans())
    base, width = (0x0A000000, 32) if is_v4 else (0xFD00 << 112, 128)
    address = IPv4Address if is_v4 else IPv6Address

    def an_end():
        return address(base + draw(st.integers(0, 0xFFFF)))

    def side():
        bits = draw(st.none() | st.integers(0, width))
        if not draw(st.booleans()):
            return None, draw(st.sampled_from([None, 0]))
        prefix = ip_network((an_end(), draw(st.integers(0, width))), strict=False)
        return prefix, None if bits is None else max(bits, prefix.prefixlen)

    rows = []
    for number in range(draw(st.integers(0, 4))):
        (own, own_bits), (far, far_bits) = side(), side()
        rows.append(FoldRow(VifId(1), 17, 53, number, own, far, own_bits, far_bits))
    return (an_end(), an_end()), rows


def fold(ends, rows, port=53):
    return fold_of(lambda asked: [row for row in rows if row.port == asked], ends, port)


@given(cases())
def test_a_flow_has_the_addresses_of_who_shares_it(case):
    ends, rows = case

    found = fold(ends, rows)

    assert found is None or (ends[0] in found[0] and ends[1] in found[1])


@given(cases())
def test_the_first_rule_that_fits_decides_alone(case):
    ends, rows = case
    fits = [
        row
        for row in rows
        if (row.own is None or ends[0] in row.own) and (row.far is None or ends[1] in row.far)
    ]

    assert fold(ends, rows) == fold(ends, fits[:1])


@given(cases())
def test_who_is_in_the_flow_of_a_rule_is_in_its_prefixes(case):
    ends, rows = case
    found = fold(ends, rows[:1])
    if found is None:
        return

    assert rows[0].own is None or found[0].subnet_of(rows[0].own)
    assert rows[0].far is None or found[1].subnet_of(rows[0].far)


@given(cases())
def test_nothing_is_shared_at_other_ports(case):
    ends, rows = case

    assert fold(ends, rows, port=54) is None
