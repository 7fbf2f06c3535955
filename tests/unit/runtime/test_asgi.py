"""The router and application, called as an ASGI server calls them: no socket, no thread."""

import asyncio
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

import msgspec
import pytest

from skytrail.runtime.asgi import (
    AsgiApp,
    HttpError,
    Request,
    Router,
    StreamResponse,
    build_request,
    encode_json,
    json_reply,
    text_reply,
)
from skytrail.runtime.stream_limits import StreamLimits


class Body(msgspec.Struct, frozen=True, kw_only=True):
    name: str
    count: int = 0


async def call(app, method="GET", path="/", *, body=b"", headers=(), query=b"", chunks=None):
    """Return (status, headers, body) of one request."""
    incoming = [
        {"type": "http.request", "body": part, "more_body": index + 1 < len(chunks or [body])}
        for index, part in enumerate(chunks or [body])
    ]
    sent = []
    never = asyncio.Event()

    async def receive():
        if incoming:
            return incoming.pop(0)
        await never.wait()
        return None

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query,
        "headers": list(headers),
        "client": ("127.0.0.1", 1),
    }
    await app(scope, receive, send)
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(m["body"] for m in sent[1:])


def run(app, *args, **kwargs):
    return asyncio.run(call(app, *args, **kwargs))


async def echo(request: Request):
    return json_reply({"params": request.params, "query": dict(request.query)})


def app_with(*routes, **options) -> AsgiApp:
    router = Router()
    for method, pattern, handler in routes:
        router.add(method, pattern, handler)
    return AsgiApp(router, **options)


def test_captures_are_percent_decoded_segment_by_segment():
    app = app_with(("GET", "/a/{x}/b/{y}", echo))

    status, _headers, body = run(app, path="/a/one%2Ftwo/b/%C3%A4")

    assert status == 200
    assert msgspec.json.decode(body)["params"] == {"x": "one/two", "y": "ä"}


def test_literal_segments_win_over_captures():
    async def literal(request):
        return text_reply("literal")

    app = app_with(("GET", "/t/{x}", echo), ("GET", "/t/all", literal))

    assert run(app, path="/t/all")[2] == b"literal"


def test_rest_capture_takes_all_remaining_segments():
    app = app_with(("GET", "/docs/{path...}", echo))

    assert msgspec.json.decode(run(app, path="/docs/a/b/c")[2])["params"] == {"path": "a/b/c"}


def test_last_query_value_wins_and_blank_values_are_kept():
    app = app_with(("GET", "/q", echo))

    body = run(app, path="/q", query=b"a=1&a=2&b=&c=x%20y")[2]

    assert msgspec.json.decode(body)["query"] == {"a": "2", "b": "", "c": "x y"}


def test_unknown_path_is_404_and_wrong_method_405_with_allow():
    app = app_with(("GET", "/x", echo))

    assert run(app, path="/y")[0] == 404
    status, headers, _body = run(app, "DELETE", "/x")
    assert (status, headers[b"allow"]) == (405, b"GET")


def test_head_answers_without_body():
    status, headers, body = run(app_with(("GET", "/x", echo)), "HEAD", "/x")

    assert (status, body) == (200, b"")
    assert int(headers[b"content-length"]) > 0


def test_taken_route_and_differing_capture_names_are_refused():
    router = Router()
    router.add("GET", "/a/{x}", echo)

    with pytest.raises(ValueError, match="has a handler already"):
        router.add("GET", "/a/{x}", echo)
    with pytest.raises(ValueError, match="already called x"):
        router.add("GET", "/a/{y}/b", echo)


@pytest.mark.parametrize("declared", [True, False])
def test_body_over_the_limit_is_413_before_it_is_read_to_its_end(declared):
    headers = [(b"content-length", b"11")] if declared else []

    status, _headers, body = run(
        app_with(("POST", "/x", echo), body_limit_bytes=10),
        "POST",
        "/x",
        headers=headers,
        chunks=[b"12345", b"678901", b"never read"],
    )

    assert status == 413
    assert b"limit of 10 bytes" in body


def test_body_of_exactly_the_limit_passes():
    assert (
        run(app_with(("POST", "/x", echo), body_limit_bytes=5), "POST", "/x", body=b"12345")[0]
        == 200
    )


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b'{"name":1}', b"does not fit"),
        (b"{", b"not JSON"),
        (b"\xff\xfe", b"not JSON"),
        (b"", b"not JSON"),
    ],
)
def test_body_that_does_not_fit_is_400_with_the_place(body, text):
    async def handler(request):
        return json_reply(request.json(Body))

    status, _headers, reply = run(app_with(("POST", "/x", handler)), "POST", "/x", body=body)

    assert status == 400
    assert text in reply


def test_deep_nesting_is_400_not_a_crash():
    async def handler(request):
        return json_reply(request.json(dict))

    app = app_with(("POST", "/x", handler))

    assert run(app, "POST", "/x", body=b'{"a":' * 100_000)[0] == 400


def test_http_error_is_its_status_and_plain_text():
    async def handler(request):
        raise HttpError(409, "Delete when children still present: ['x']")

    status, headers, body = run(app_with(("GET", "/x", handler)), path="/x")

    assert (status, body) == (409, b"Delete when children still present: ['x']")
    assert headers[b"content-type"].startswith(b"text/plain")


def test_unexpected_exception_is_500_without_detail():
    async def handler(request):
        raise RuntimeError("the inside")

    status, _headers, body = run(app_with(("GET", "/x", handler)), path="/x")

    assert status == 500
    assert b"the inside" not in body


def test_stream_sends_each_chunk_and_ends():
    async def chunks():
        yield b"1\n"
        yield b"2\n"

    async def handler(request):
        return StreamResponse(chunks())

    assert run(app_with(("GET", "/x", handler)), path="/x")[2] == b"1\n2\n"


def test_stream_iterator_is_closed_when_the_client_leaves():
    closed = []

    async def chunks():
        try:
            yield b"1\n"
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    async def handler(request):
        return StreamResponse(chunks())

    async def scenario():
        sent = asyncio.Event()
        incoming = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive():
            if incoming:
                return incoming.pop()
            await sent.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            if message.get("body"):
                sent.set()

        scope = {"type": "http", "method": "GET", "path": "/x", "headers": []}
        async with asyncio.timeout(5):
            await app_with(("GET", "/x", handler))(scope, receive, send)

    asyncio.run(scenario())

    assert closed == [True]


@dataclass(frozen=True)
class Row:
    prefix: IPv4Network
    next_hops: tuple[IPv4Address, ...]


def test_rows_encode_addresses_and_odd_keys_as_text():
    row = Row(IPv4Network("10.0.0.0/8"), (IPv4Address("10.0.0.2"), IPv4Address("10.0.0.1")))

    assert msgspec.json.decode(encode_json(row)) == {
        "prefix": "10.0.0.0/8",
        "next_hops": ["10.0.0.2", "10.0.0.1"],
    }
    assert encode_json({IPv4Address("10.0.0.1"): 1}) == b'{"10.0.0.1":1}'


def test_repeated_parameter_keeps_its_values_in_order():
    query = b"&".join(b"a=%d" % number for number in range(1000))

    request = build_request("GET", "/", query, {}, client="", scheme="http", made_id="1")

    assert request.query_all == {"a": tuple(map(str, range(1000)))}


def test_query_of_too_many_parameters_is_refused_with_the_bound():
    status, _, body = run(AsgiApp(Router()), query=b"a=1&" * 1000)

    assert status == 400
    assert b"at most 1000" in body


def test_a_stream_that_is_one_too_many_gives_back_what_it_holds():
    """A generator that was never asked does not get to its own end."""
    closed = []

    class Held:
        def __aiter__(self):
            return self

        async def __anext__(self):
            raise StopAsyncIteration

        async def aclose(self):
            closed.append(True)

    async def handler(_request):
        return StreamResponse(Held())

    class OfOne(AsgiApp):
        def stream_client(self, _request):
            return "one"

    status, _, _ = run(OfOne(handler, streams=StreamLimits(per_client=0)), path="/x")

    assert (status, closed) == (429, [True])
