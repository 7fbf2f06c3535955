"""Garbage at the open ports: one clear answer each, nothing changed, nothing crashed."""

import socket

import httpx
import pytest

from skytrail.lab import show
from skytrail.lab.commands import CONTROL_PORT
from skytrail.lab.io import netns

STREAM = (
    b"<?xml version='1.0'?><stream:stream from='intruder' to='network-control' version='1.0' "
    b"xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"
)
BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(
        b'<!ENTITY a%d "%s">' % (level, (b"&a%d;" % (level - 1) if level > 1 else b"&a;") * 10)
        for level in range(1, 10)
    )
    + b"]><b>&a9;</b>"
)
STANZAS = {
    "binary noise": bytes(range(256)) * 20,
    "HTTP": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "truncated stream": STREAM[:60],
    "unclosed stanza": STREAM + b"<iq type='set'><pubsub>",
    "crossed tags": STREAM + b"<iq><pubsub></iq></pubsub>",
    "entity bomb": BOMB,
    "entity bomb inside a stream": STREAM + BOMB,
    "huge stanza": STREAM + b"<iq>" + b"x" * 20_000_000,
    "deep nesting": STREAM + b"<a>" * 100_000,
    "route with a bad prefix": STREAM
    + b"<iq type='set' from='intruder' to='x'><pubsub xmlns='http://jabber.org/protocol/pubsub'>"
    b"<publish node='1/1/nonsense/999.1.1.1/77'><item><entry/></item></publish></pubsub></iq>",
}


@pytest.mark.parametrize("case", STANZAS)
def test_garbage_on_the_control_port_ends_only_that_connection(lab, ping, case):
    traffic = ping("red-web1", "red-web2")
    before = lab.processes.identity("control1")
    namespace = lab.plan.node("compute1").namespace
    with netns.open_socket(namespace, socket.AF_INET, socket.SOCK_STREAM) as intruder:
        intruder.settimeout(5)
        intruder.connect((str(lab.plan.node("control1").address), CONTROL_PORT))
        try:
            intruder.sendall(STANZAS[case])
            intruder.shutdown(socket.SHUT_WR)
            while intruder.recv(65536):
                pass
        except OSError:
            pass  # Cut off: an answer too.

    assert lab.processes.identity("control1") == before
    assert show.process_health(lab, "control1")[0] == "healthy"
    assert traffic.stop().lost == 0


BODIES = {
    "no JSON": b"{",
    "a list": b"[]",
    "nothing": b"",
    "wrong wrapper": b'{"nonsense": {}}',
    "wrong types": b'{"virtual-network": {"fq_name": 7, "parent_type": []}}',
    "unknown parent": b'{"virtual-network": {"fq_name": ["a", "b", "c"], "parent_type": "project"}}',
    "invalid UTF-8": b'{"virtual-network": {"fq_name": ["\xff"]}}',
    "deep nesting": b'{"virtual-network":' * 20_000,
    "huge": b'{"virtual-network": {"display_name": "' + b"x" * 5_000_000 + b'"}}',
}


@pytest.mark.parametrize("case", BODIES)
def test_garbage_body_is_refused_with_a_text_and_changes_nothing(lab, case):
    def revision():
        return httpx.get(f"{lab.api_url}/introspect/service").json()["rows"][0].get("revision")

    before = revision()

    reply = httpx.post(
        f"{lab.api_url}/virtual-networks",
        content=BODIES[case],
        headers={"content-type": "application/json"},
    )

    assert 400 <= reply.status_code < 500, reply.text
    assert reply.text
    assert revision() == before


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe\n",
        b"{}\n",
        b'{"op":"destroy"}\n',
        b'{"op":"plug"}\n',
        b'{"op":"plug","vmi_uuid":"x","vm_uuid":"y","ifname":"z","kind":"veth"}\n',
        b"x" * 200_000 + b"\n",
    ],
)
def test_garbage_on_the_plug_socket_is_refused_by_one_line(lab, line):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(5)
        connection.connect(str(lab.paths.plug_socket("compute1")))
        try:
            connection.sendall(line)
            answer = connection.recv(65536)
        except OSError:
            answer = b""  # Cut off: too long to be a request.

    assert answer == b"" or b'"ok":false' in answer.replace(b" ", b"")
    assert show.process_health(lab, "compute1")[0] == "healthy"
