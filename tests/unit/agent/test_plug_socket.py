"""The plug socket's protocol, over a real Unix socket."""

import asyncio
import json

import pytest

from skytrail.agent.io.plug_socket import (
    LINE_BYTES_MAX,
    ListRequest,
    PlugRefused,
    PlugRequest,
    PlugServer,
    UnplugRequest,
)


class Ports:
    """Remembers what was asked."""

    def __init__(self):
        self.asked = []

    async def handle(self, request):
        self.asked.append(request)
        match request:
            case ListRequest():
                return {"ports": []}
            case PlugRequest(ifname="refuse"):
                raise PlugRefused("there is no link refuse")
            case PlugRequest(ifname="fail"):
                raise RuntimeError("bug")
            case _:
                return {}


def replies(path, ports, *lines):
    """Send lines to a fresh server; return one decoded reply per line answered."""

    async def talk():
        server = asyncio.create_task(PlugServer(path, ports.handle).serve())
        await asyncio.sleep(0)  # The task's first step binds the socket.
        reader, writer = await asyncio.open_unix_connection(path)
        for line in lines:
            writer.write(line)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)
        return [json.loads(line) for line in answer.splitlines()]

    return asyncio.run(talk())


PLUG = b'{"op":"plug","vmi_uuid":"u","vm_uuid":"v","ifname":"tap1","kind":"veth"}\n'


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a b", "a\0b", "tap\n", "a:b", "x" * 16])
def test_name_that_no_link_can_have_is_refused(tmp_path, name):
    ports = Ports()
    request = {**json.loads(PLUG), "ifname": name}

    (answer,) = replies(tmp_path / "s", ports, json.dumps(request).encode() + b"\n")

    assert answer["error"].startswith("not a request")
    assert ports.asked == []


def test_requests_are_answered_in_order(tmp_path):
    ports = Ports()

    answers = replies(
        tmp_path / "p",
        ports,
        PLUG,
        b'{"op":"list"}\n',
        b'{"op":"unplug","vmi_uuid":"u"}\n',
    )

    assert answers == [{"ok": True}, {"ok": True, "ports": []}, {"ok": True}]
    assert ports.asked == [
        PlugRequest(vmi_uuid="u", vm_uuid="v", ifname="tap1", kind="veth"),
        ListRequest(),
        UnplugRequest(vmi_uuid="u"),
    ]


def test_refusal_tells_why(tmp_path):
    (answer,) = replies(tmp_path / "p", Ports(), PLUG.replace(b"tap1", b"refuse"))

    assert answer == {"ok": False, "error": "there is no link refuse"}


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"junk\n",
        b"[]\n",
        b'{"op":"explode"}\n',
        b'{"op":"plug"}\n',
        PLUG.replace(b"veth", b"carrier-pigeon"),
        b'{"op":"unplug","vmi_uuid":7}\n',
        b"\xff\xfe\n",
        b"[" * 5000 + b"\n",
    ],
)
def test_bad_request_gets_one_error_and_the_next_one_is_served(tmp_path, line):
    ports = Ports()

    answers = replies(tmp_path / "p", ports, line, b'{"op":"list"}\n')

    assert [answer["ok"] for answer in answers] == [False, True]
    assert ports.asked == [ListRequest()]


def test_endless_line_ends_the_connection_with_an_error(tmp_path):
    answers = replies(tmp_path / "p", Ports(), b"x" * (2 * LINE_BYTES_MAX))

    assert answers == [{"ok": False, "error": "request line is too long"}]


def test_failure_inside_is_answered_without_detail(tmp_path):
    answers = replies(tmp_path / "p", Ports(), PLUG.replace(b"tap1", b"fail"), b'{"op":"list"}\n')

    assert answers[0] == {"ok": False, "error": "internal error: RuntimeError"}
    assert answers[1]["ok"]
