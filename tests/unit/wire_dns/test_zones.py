"""What one server answers, whoever asks it."""

from __future__ import annotations

import pytest

from skytrail.wire.dns import DnsMessage, Question, RecordType, ResourceRecord, ResponseCode
from skytrail.wire.dns.zones import DnsRecord, VirtualDns, authoritative, is_reverse, record_of

SERVER = VirtualDns("d:tenant", "Demo.Test.", 300, "", ())


def ask(name: str, kind: int, *records: DnsRecord) -> DnsMessage | None:
    found: dict[str, list[ResourceRecord]] = {}
    for record in records:
        made = record_of(record, "demo.test")
        assert made is not None
        found.setdefault(made.name, []).append(made)
    query = DnsMessage(message_id=1, questions=(Question(name, kind),))
    return authoritative(SERVER, lambda each: found.get(each, ()), query)


def test_the_start_of_authority_is_answered_where_it_is_asked_for() -> None:
    answer = ask("demo.test", RecordType.SOA)

    assert answer is not None
    assert [each.record_type for each in answer.answers] == [RecordType.SOA]
    assert not answer.authorities


def test_below_the_apex_the_start_of_authority_is_no_answer() -> None:
    answer = ask("web.demo.test", RecordType.SOA, DnsRecord("web", "A", "10.0.0.1", 5))

    assert answer is not None
    assert (answer.answers, answer.response_code) == ((), ResponseCode.NO_ERROR)


def test_aliases_in_a_circle_end() -> None:
    answer = ask(
        "a.demo.test",
        RecordType.A,
        DnsRecord("a", "CNAME", "b", 5),
        DnsRecord("b", "CNAME", "a", 5),
    )

    assert answer is not None
    assert {each.record_type for each in answer.answers} == {RecordType.CNAME}


def test_a_name_outside_is_not_known_here() -> None:
    assert ask("example.com", RecordType.A) is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [("4.1.1.10.in-addr.arpa", True), ("ip6.arpa", True), ("xip6.arpa", False), ("a.test", False)],
)
def test_names_of_addresses_are_told_from_others(name: str, expected: bool) -> None:
    assert is_reverse(name) is expected
