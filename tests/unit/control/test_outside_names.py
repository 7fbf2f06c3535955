"""What is answered outside of the overlay, and what is not."""

from __future__ import annotations

import pytest

from skytrail.control.outside_names import OutsideNames
from skytrail.control.plane import ControlPlane
from skytrail.testing.dns_world import NEXT, TENANT, dns_record, dns_server
from skytrail.wire.dns import (
    DnsMessage,
    Question,
    RecordType,
    ResourceRecord,
    ResponseCode,
    decode_dns,
)

HIDDEN = "default-domain:hidden-dns"


def names(*more: object, is_complete: bool = True) -> OutsideNames:
    plane = ControlPlane()
    made = OutsideNames(plane, list.reverse)
    if is_complete:
        listed = [
            dns_server(
                TENANT,
                "demo.test",
                external_visible=True,
                reverse_resolution=True,
                next_virtual_DNS=NEXT,
            ),
            dns_record(TENANT, 1, "web", "A", "192.0.2.7"),
            dns_record(TENANT, 2, "www", "CNAME", "web"),
            dns_record(TENANT, 3, "7.2.0.192.in-addr.arpa", "PTR", "web.demo.test"),
            dns_server(NEXT, "next.test"),
            dns_record(NEXT, 1, "db", "A", "10.2.0.9"),
            dns_server(HIDDEN, "inner.demo.test"),
            dns_record(HIDDEN, 1, "x", "A", "10.2.0.10"),
        ]
        plane.config_replace([*listed, *more])  # type: ignore[list-item]
        plane.commit(1, 0.0)
    return made


def ask(
    made: OutsideNames, name: str, kind: int = RecordType.A, **fields: object
) -> tuple[int, list[str]]:
    query = DnsMessage(
        message_id=7,
        recursion_desired=True,
        **{"questions": (Question(name, kind),), **fields},  # type: ignore[arg-type]
    )
    message = made.answer(query.encode(), is_stream=False)
    assert message is not None
    answer = decode_dns(message)
    assert (answer.message_id, answer.recursion_available) == (7, False)
    return answer.response_code, [str(each.content) for each in answer.answers]


@pytest.mark.parametrize(
    ("name", "kind", "code", "content"),
    [
        ("web.demo.test", RecordType.A, ResponseCode.NO_ERROR, ["192.0.2.7"]),
        ("www.demo.test", RecordType.A, ResponseCode.NO_ERROR, ["web.demo.test", "192.0.2.7"]),
        ("web.demo.test", RecordType.MX, ResponseCode.NO_ERROR, []),
        ("nobody.demo.test", RecordType.A, ResponseCode.NAME_ERROR, []),
        ("7.2.0.192.in-addr.arpa", RecordType.PTR, ResponseCode.NO_ERROR, ["web.demo.test"]),
        ("8.2.0.192.in-addr.arpa", RecordType.PTR, ResponseCode.REFUSED, []),
        ("db.next.test", RecordType.A, ResponseCode.REFUSED, []),
        ("x.inner.demo.test", RecordType.A, ResponseCode.NAME_ERROR, []),
        ("example.com", RecordType.A, ResponseCode.REFUSED, []),
        ("", RecordType.NS, ResponseCode.REFUSED, []),
    ],
)
def test_only_visible_servers_answer_for_their_own_domain(
    name: str, kind: int, code: int, content: list[str]
) -> None:
    assert ask(names(), name, kind) == (code, content)


def test_longest_domain_of_those_that_are_visible_answers() -> None:
    inner = "default-domain:inner-dns"
    more = [
        dns_server(inner, "inner.demo.test", external_visible=True),
        dns_record(inner, 1, "y", "A", "192.0.2.9"),
    ]

    assert ask(names(*more), "y.inner.demo.test") == (ResponseCode.NO_ERROR, ["192.0.2.9"])


def test_node_without_configuration_says_that_it_cannot_tell() -> None:
    code, _ = ask(names(is_complete=False), "web.demo.test")

    assert code == ResponseCode.SERVER_FAILURE


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"opcode": 5}, ResponseCode.NOT_IMPLEMENTED),
        ({"questions": ()}, ResponseCode.FORMAT_ERROR),
        ({"questions": (Question("web.demo.test", 1, 3),)}, ResponseCode.REFUSED),
        (
            {"additionals": (ResourceRecord("", RecordType.OPT, 1 << 16, b"", 4096),)},
            ResponseCode.NO_ERROR,
        ),
    ],
)
def test_strange_questions_get_a_code_and_no_records(fields: dict[str, object], code: int) -> None:
    assert ask(names(), "web.demo.test", **fields) == (code, [])


@pytest.mark.parametrize("message", [b"", b"junk", bytes(2) + b"\x80" + bytes(9)])
def test_what_is_no_question_gets_no_answer(message: bytes) -> None:
    made = names()

    assert made.answer(message, is_stream=False) is None
    assert made.counts["malformed"] == 1
