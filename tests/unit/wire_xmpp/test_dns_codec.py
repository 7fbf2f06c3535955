"""Stanzas of the DNS channel, and stanzas that must be refused."""

from __future__ import annotations

import pytest

from skytrail.wire.errors import DecodeError
from skytrail.wire.xmpp import DnsEntry, DnsReply, DnsRequest, DnsVerb
from skytrail.wire.xmpp.codec import StanzaDecoder, encode
from skytrail.wire.xmpp.dns_codec import DNS_JID, ENTRIES_COUNT_MAX, TEXT_LENGTH_MAX

BODY = (
    "<virtual-dns>default-domain:tenant-dns</virtual-dns><zone>demo.test</zone>"
    "<entry><class>1</class><type>1</type><name>web</name><data>10.1.1.4</data>"
    "<ttl>300</ttl><priority>0</priority></entry>"
)
ENTRY = DnsEntry(1, 1, "web", "10.1.1.4", 300)
PLACE = ("default-domain:tenant-dns", "demo.test")


def decoded(stanza: str) -> list[object]:
    return list(StanzaDecoder().decode(stanza.encode()))


@pytest.mark.parametrize(
    ("kind", "inside", "expected"),
    [
        ("get", f"<query>{BODY}</query>", DnsRequest(7, DnsVerb.QUERY, *PLACE, (ENTRY,))),
        ("set", f"<update>{BODY}</update>", DnsRequest(7, DnsVerb.UPDATE, *PLACE, (ENTRY,))),
        (
            "result",
            f'<response code="3"><query>{BODY}</query></response>',
            DnsReply(7, DnsVerb.QUERY, 3, *PLACE, (ENTRY,)),
        ),
    ],
)
def test_a_stanza_of_the_specification_is_read(kind: str, inside: str, expected: object) -> None:
    stanza = f'<iq type="{kind}" from="a" to="b/dns-peer"><dns transid="7">{inside}</dns></iq>'

    assert decoded(stanza) == [expected]


def test_each_message_says_the_kind_of_its_iq_and_its_channel() -> None:
    query = DnsRequest(1, DnsVerb.QUERY, *PLACE)

    said = encode(query, sender="compute-7/dns", receiver=DNS_JID)

    assert said.startswith(
        b'<iq type="get" from="compute-7/dns" to="network-dns@contrailsystems.com/dns-peer"'
    )
    assert b'type="set"' in encode(
        DnsRequest(1, DnsVerb.UPDATE, *PLACE), sender="a", receiver=DNS_JID
    )
    assert b'type="result"' in encode(
        DnsReply(1, DnsVerb.QUERY, 0, *PLACE), sender=DNS_JID, receiver="a"
    )


def test_an_entry_may_leave_out_what_a_question_has_not() -> None:
    question = "<entry><class>1</class><type>28</type><name>web</name></entry>"
    stanza = f'<iq type="get"><dns transid="1"><query>{question}</query></dns></iq>'

    assert decoded(stanza) == [DnsRequest(1, DnsVerb.QUERY, "", "", (DnsEntry(1, 28, "web"),))]


def test_an_error_of_the_peer_is_read_over() -> None:
    assert decoded('<iq type="error"><dns transid="1"/></iq>') == []


@pytest.mark.parametrize(
    ("kind", "dns"),
    [
        ("get", '<dns transid="x"><query/></dns>'),
        ("get", '<dns transid="4294967296"><query/></dns>'),
        ("get", "<dns/>"),
        ("get", "<dns><query/><query/></dns>"),
        ("get", "<dns><notify/></dns>"),
        ("get", "<dns><query><name>a</name></query></dns>"),
        ("result", "<dns><query/></dns>"),
        ("result", '<dns><response code="0"/></dns>'),
        ("result", '<dns><response code="-1"><query/></response></dns>'),
        ("set", "<dns><update><entry><class>65536</class></entry></update></dns>"),
        ("set", "<dns><update><entry><ttl>1.5</ttl></entry></update></dns>"),
        ("set", "<dns><update><entry><priority>70000</priority></entry></update></dns>"),
        ("set", f"<dns><update><zone>{'a' * (TEXT_LENGTH_MAX + 1)}</zone></update></dns>"),
        ("set", f"<dns><update><virtual-dns>{'a' * 5000}</virtual-dns></update></dns>"),
        ("set", f"<dns><update>{'<entry/>' * (ENTRIES_COUNT_MAX + 1)}</update></dns>"),
    ],
)
def test_what_is_no_dns_is_refused(kind: str, dns: str) -> None:
    with pytest.raises(DecodeError):
        decoded(f'<iq type="{kind}">{dns}</iq>')
