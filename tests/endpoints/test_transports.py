"""One contract over both transports: whatever a server does, a cell and a column hear the same of it."""

import asyncio
import json
import os
import re
import socket
import sys
import zlib
from importlib.metadata import version
from pathlib import Path

import pytest

import qwennb
from qwennb.cache.pack_file import zstd
from qwennb.endpoints import SdkTransport
from qwennb.endpoints.reply import MOST_BODY
from qwennb.errors import (
    CreditExhausted,
    Incomplete,
    KeyRefused,
    ModelRefused,
    RateLimited,
    RequestRefused,
    ServerFailed,
    TimedOut,
    Unreachable,
)

from .wire import (
    BODY,
    EVENTS,
    KEY,
    STREAM,
    TRANSPORTS,
    WHOLE,
    Raw,
    call,
    chunked,
    reply,
    sent,
    serving,
    zipped,
)

CERTIFICATE = Path(__file__).with_name("localhost.pem")
LAST = [False] * len(EVENTS) + [True]


@pytest.fixture(params=TRANSPORTS)
def transport(request):
    return TRANSPORTS[request.param]


def ask(make, raw, **given):
    """What came, or the error: the payloads' data, and whether each was the last."""

    async def run():
        async with serving(raw) as port:
            return await sent(make(), call(f"http://127.0.0.1:{port}/v1", **given))

    return asyncio.run(run())


def fails(make, kind, words, raw, **given):
    with pytest.raises(kind, match=words) as caught:
        ask(make, raw, **given)
    assert type(caught.value) is kind
    return caught.value


# ---------------------------------------------------------------------- what arrives


def test_a_whole_reply_is_one_payload_and_the_last(transport):
    (payload,) = ask(transport, Raw(reply(headers=["x-one: 1"])), stream=False)
    assert payload.data == WHOLE
    assert payload.last
    assert payload.headers["x-one"] == "1"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, None])
def test_a_stream_is_the_same_however_it_is_cut(transport, size):
    for raw in (chunked(), reply(STREAM, kind="text/event-stream; charset=utf-8")):
        payloads = ask(transport, Raw(raw, size=size))
        assert [payload.data for payload in payloads] == [*EVENTS, None]
        assert [payload.last for payload in payloads] == LAST


def test_a_stream_that_does_not_say_done_has_no_last_payload(transport):
    cut = STREAM.removesuffix(b"data: [DONE]\n\n")
    payloads = ask(transport, Raw(chunked(cut)))
    assert [payload.data for payload in payloads] == EVENTS
    assert not any(payload.last for payload in payloads)


def test_the_last_event_counts_without_a_blank_line_after_it(transport):
    cut = STREAM.removesuffix(b"\n: a comment\n\ndata: [DONE]\n\n")
    assert [payload.data for payload in ask(transport, Raw(chunked(cut)))] == EVENTS


def test_a_server_that_streams_or_not_as_it_likes_is_understood(transport):
    assert [p.data for p in ask(transport, Raw(reply()), stream=True)] == [WHOLE]
    assert [p.data for p in ask(transport, Raw(chunked()), stream=False)] == [*EVENTS, None]


def test_a_reply_without_a_content_type_is_read_as_json(transport):
    assert ask(transport, Raw(reply(kind="")), stream=False)[0].data == WHOLE


@pytest.mark.parametrize("stream", [False, True])
def test_a_compressed_reply_is_unpacked(transport, stream):
    headers = ["content-encoding: gzip"]
    raw = chunked(zipped(STREAM), headers=headers) if stream else reply(zipped(BODY), headers=headers)
    assert ask(transport, Raw(raw, size=9), stream=stream)[0].data == (EVENTS[0] if stream else WHOLE)


# Servers that do what no standard forbids, or what one forbids and some do all the same: the answer is whole.
JUNK = b"this is no JSON"
ODD = {
    "nothing odd": chunked(),
    "junk after done": chunked(STREAM + b"data: " + JUNK + b"\n\n"),
    "junk that is no event after done": chunked(STREAM + JUNK),
    "an error after done": chunked(STREAM + b'data: {"error": {"message": "late", "code": 500}}\n\n'),
    "another answer after done": chunked(STREAM + STREAM),
    "done twice": chunked(STREAM + b"data: [DONE]\n\n"),
    "a long line after done": chunked(STREAM + b"data: " + b"x" * 100_000),
    "done with blanks": chunked(STREAM.replace(b"[DONE]", b"  [DONE]  ")),
    "lines that end as in a letter": chunked(STREAM.replace(b"\n", b"\r\n")),
    "a byte order mark": chunked(b"\xef\xbb\xbf" + STREAM),
    "names and times of events": chunked(b"retry: 10\n\n" + STREAM.replace(b"data:", b"event: message\nid: 7\ndata:")),
    "no blank after the colon": chunked(STREAM.replace(b"data: ", b"data:")),
    "a header of nine thousand": chunked(headers=["x-trace: " + "t" * 9_000]),
    "a header of ninety thousand": chunked(headers=["x-trace: " + "t" * 90_000]),
    "six hundred headers": chunked(headers=[f"x-trace-{n}: {n}" for n in range(600)]),
    "nine thousand in cookies": chunked(headers=[f"set-cookie: c{n}={'v' * 900}" for n in range(10)]),
    "a header in other letters": chunked(headers=["x-greeting: Grüße"]),
    "a header twice": chunked(headers=["x-twice: 1", "x-twice: 2"]),
    "no reason beside the status": chunked().replace(b"200 OK", b"200 "),
    "a long reason beside the status": chunked().replace(b"200 OK", b"200 " + b"O" * 9_000),
    "the answer of old": b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\n" + STREAM,
    "hints before the answer": b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + chunked(),
    "many hints before the answer": b"HTTP/1.1 102 Processing\r\ncontent-length: 9\r\n\r\n" * 5 + chunked(),
    "trailers": chunked().removesuffix(b"\r\n") + b"content-type: text/html\r\nx-cost: 5\r\n\r\n",
    "words beside a chunk's size": chunked().replace(b"\r\n\r\n%x" % len(STREAM), b"\r\n\r\n%x;a=b" % len(STREAM)),
    "blanks after a chunk's size": chunked().replace(b"\r\n\r\n%x" % len(STREAM), b"\r\n\r\n%x  " % len(STREAM)),
    "a length beside chunks": chunked(headers=["content-length: 5"]),
    "lines that end in one letter": reply(STREAM, kind="text/event-stream").replace(b"\r\n", b"\n"),
    "a header without value": chunked(headers=["x-empty:", "x-blank: "]),
    "a header over two lines": chunked(headers=["x-long: a", "\tb"]),
    "an answer beyond the answer": chunked() + reply(b'{"choices": []}'),
    "an upgrade that is offered": chunked(headers=["upgrade: h2c", "connection: upgrade"]),
    "deflate": chunked(zlib.compress(STREAM), headers=["content-encoding: deflate"]),
    "bare deflate, at once": chunked(zlib.compress(STREAM, wbits=-15), headers=["content-encoding: deflate"]),
    "zstd": chunked(zstd.compress(STREAM), headers=["content-encoding: zstd"]),
    "packed twice": chunked(zlib.compress(zipped(STREAM)), headers=["content-encoding: gzip", "content-encoding: deflate"]),
    "gzip without length": b"HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip\r\n\r\n" + zipped(STREAM),
}  # fmt: skip


@pytest.mark.parametrize("size", [None, 7])
@pytest.mark.parametrize("name", ODD)
def test_an_odd_server_is_understood_by_both_transports(transport, name, size):
    if size is not None and (len(ODD[name]) > 20_000 or name.endswith("at once")):
        return
    payloads = ask(transport, Raw(ODD[name], size=size, close=True))
    assert [payload.data for payload in payloads] == [*EVENTS, None]
    assert [payload.last for payload in payloads] == LAST


def test_a_refusal_with_long_headers_is_read(transport):
    raw = Raw(reply(b'{"error": "No."}', status="429 Slow", headers=["x: " + "t" * 9_000, "retry-after: 7"]))
    assert fails(transport, RateLimited, r"refused \(429\): No\.", raw).retry_after == 7


def test_headers_without_reason_fail_alike(transport):
    fails(transport, ServerFailed, "not HTTP", Raw(reply(headers=["x: " + "t" * 300_000])), stream=False)


# What is no HTTP, or of a kind that was not asked for: it is told, and whatever was read is no answer.
NO_HTTP = {
    "another protocol": reply(status="101 Switching Protocols", headers=["upgrade: x", "connection: upgrade"]),
    "packed on the way": chunked().replace(b": chunked", b": gzip, chunked"),
    "packed on the way, without end": reply().replace(b"content-length:", b"transfer-encoding: gzip\r\nx-length:"),
    "two lengths": reply(headers=["content-length: 5"]),
    "a length below nothing": reply(length=-5),
    "a chunk without size": chunked().replace(b"%x\r\n" % len(STREAM), b"zz\r\n"),
    "a chunk that is longer than it says": chunked(BODY, kind="application/json").replace(b"\r\n0\r\n", b"XX0\r\n"),
    "a header without colon": reply(headers=["x-trace"]),
    "a header with a zero byte": reply(headers=["x-trace: a\0b"]),
    "a line's half end in a header": reply(headers=["x-trace: a\rx-b: c"]),
    "a status of two letters": reply(status="99 Low"),
    "a head without end": reply(headers=["x-trace: " + "t" * 1_000_000]),
    "a reason without end": reply(status="200 " + "O" * 1_000_000),
    "words without end beside a chunk's size": chunked().replace(b"\r\n\r\n", b"\r\n\r\n1;" + b"a" * 1_000_000, 1),
    "trailers without end": chunked(BODY, kind="application/json").removesuffix(b"\r\n") + b"x-cost: " + b"5" * 1_000_000 + b"\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("name", NO_HTTP)
def test_what_breaks_the_rules_of_http_is_told_by_both_transports(transport, name):
    assert fails(
        transport, ServerFailed, "not HTTP", Raw(NO_HTTP[name], close=True), stream=False
    ).maybe_billed


def test_what_comes_between_two_questions_is_not_read_as_an_answer(transport):
    async def run():
        raw = Raw(reply())
        async with serving(raw) as port:
            made, said = transport(), []
            for _ in range(2):
                said += [p.data async for p in made.send(call(f"http://127.0.0.1:{port}/v1", stream=False))]
                raw.writers[0].write(reply(b'{"choices": []}', status="408 Request Timeout"))
                await asyncio.sleep(0.05)  # until it has come
            await made.close()
        return said, raw.connections

    assert asyncio.run(run()) == ([WHOLE] * 2, 2)


@pytest.mark.parametrize("whole", [reply(), chunked(STREAM)], ids=["length", "chunks"])
def test_a_connection_that_ends_at_any_byte_is_never_a_wrong_answer(transport, whole):
    expected = [[WHOLE], [*EVENTS, None]]

    async def run(length):
        async with serving(Raw(whole[:length], close=True)) as port:
            try:
                return [p.data for p in await sent(transport(), call(f"http://127.0.0.1:{port}/v1"))]
            except Incomplete as error:
                assert error.maybe_billed
                return None

    async def run_all():
        return [await run(length) for length in range(len(whole) + 1)]

    told = asyncio.run(run_all())
    first = next(length for length, said in enumerate(told) if said is not None)
    assert first == (len(whole) if whole == reply() else whole.index(b"[DONE]") + len(b"[DONE]\n\n"))
    assert all(said in expected for said in told[first:])


def test_a_connection_that_the_server_closed_while_it_was_idle_costs_nothing(transport):
    async def run():
        raw = Raw(reply())
        async with serving(raw) as port:
            made, said = transport(), []
            for _ in range(3):
                said += [p.data async for p in made.send(call(f"http://127.0.0.1:{port}/v1", stream=False))]
                raw.writers[-1].close()
                await asyncio.sleep(0.02)  # until it is closed
            await made.close()
        return said, len(raw.asked)

    assert asyncio.run(run()) == ([WHOLE] * 3, 3)


def test_a_question_on_a_connection_that_just_ended_is_not_sent_twice_unasked(transport):
    """The server may have read it: whether to ask again is the engine's to decide."""

    async def run():
        raw = Raw(lambda asked: reply() if len(raw.asked) == 1 else b"", close=False)
        async with serving(raw) as port:
            made, at = transport(), call(f"http://127.0.0.1:{port}/v1", stream=False)
            async for _ in made.send(at):
                pass
            raw.close = True
            with pytest.raises(Incomplete, match="broke before the answer was whole") as caught:
                async for _ in made.send(at):
                    pass
            await made.close()
        return caught.value.maybe_billed, len(raw.asked)

    assert asyncio.run(run()) == (True, 2)


@pytest.mark.parametrize("told", [b"", chunked(STREAM[:40], ended=False)], ids=["nothing", "a piece"])
def test_who_stops_waiting_closes_the_connection_at_once(transport, told):
    async def run():
        raw = Raw(told)
        async with serving(raw) as port:
            made = transport()
            task = asyncio.create_task(sent(made, call(f"http://127.0.0.1:{port}/v1")))
            await raw.came.wait()
            await asyncio.sleep(0.02)  # the piece is read meanwhile
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with asyncio.timeout(5):
                await raw.gone.wait()

    asyncio.run(run())


def test_a_header_may_have_a_percent_sign(transport):
    raw = Raw(reply())
    ask(transport, raw, stream=False, headers={"X-OpenRouter-Title": "100 % of %d"})
    assert raw.asked[0].header("x-openrouter-title") == ["100 % of %d"]


def test_a_password_in_the_address_goes_the_same_way_in_both_transports():
    async def run(make):
        raw = Raw(reply())
        async with serving(raw) as port:
            await sent(make(), call(f"http://me:hunter2@127.0.0.1:{port}/v1", stream=False))
        return raw.asked[0].header("authorization"), raw.asked[0].header("host")[0].partition(":")[0]

    assert len({repr(asyncio.run(run(make))) for make in TRANSPORTS.values()}) == 1


def test_one_connection_serves_one_question_after_another(transport):
    async def run():
        raw = Raw(lambda asked: chunked() if b'"stream":true' in asked.body.replace(b" ", b"") else reply())
        async with serving(raw) as port:
            made = transport()
            for stream in (True, False, True, True):
                async for _ in made.send(call(f"http://127.0.0.1:{port}/v1", stream=stream)):
                    pass
            await made.close()
        return raw

    raw = asyncio.run(run())
    assert len(raw.asked) == 4
    assert raw.connections == 1


def test_a_server_that_goes_on_after_done_holds_nobody_up(transport):
    async def run():
        raw = Raw(chunked(ended=False))
        async with serving(raw) as port:
            made = transport()
            async with asyncio.timeout(2):
                payloads = [p async for p in made.send(call(f"http://127.0.0.1:{port}/v1"))]
            await made.close()
        return payloads

    assert asyncio.run(run())[-1].last


def test_a_connection_that_breaks_after_done_breaks_nothing(transport):
    raw = chunked(ended=False)
    assert ask(transport, Raw(raw, reset_after=len(raw)))[-1].last


# ---------------------------------------------------------------------- what goes out


def test_the_key_stands_in_the_authorization_header_and_nowhere_else(transport):
    raw = Raw(reply())
    ask(transport, raw, stream=False, headers={"HTTP-Referer": "https://rivers.example"})
    (asked,) = raw.asked
    assert asked.header("authorization") == [f"Bearer {KEY}"]
    rest = [value for name, value in asked.headers if name.lower() != "authorization"]
    assert not any(KEY in value for value in rest)
    assert KEY not in asked.target
    assert KEY.encode() not in asked.body
    assert asked.header("http-referer") == ["https://rivers.example"]
    assert (asked.method, asked.target) == ("POST", "/v1/chat/completions")
    assert asked.header("content-type") == ["application/json"]
    assert asked.header("cookie") == []
    assert json.loads(asked.body) == {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}


def test_a_server_is_told_who_asks(transport):
    raw = Raw(reply())
    ask(transport, raw, stream=False)
    assert raw.asked[0].header("user-agent") == [f"qwennb/{version('qwennb')}"]


def test_a_probe_tells_who_asks_too():
    async def run():
        raw = Raw(reply())
        async with serving(raw) as port:
            transport = SdkTransport()
            await transport.get(call(f"http://127.0.0.1:{port}/v1"))
            async with transport.exchange(call(f"http://127.0.0.1:{port}/v1"), "GET"):
                pass
            await transport.close()
        return [asked.header("user-agent") for asked in raw.asked]

    assert asyncio.run(run()) == [[f"qwennb/{version('qwennb')}"]] * 2


def test_a_header_may_have_letters_that_ascii_lacks(transport):
    raw = Raw(reply())
    ask(transport, raw, stream=False, headers={"X-OpenRouter-Title": "Grüße, 世界"})
    (title,) = raw.asked[0].header("x-openrouter-title")
    assert title.encode("latin-1").decode() == "Grüße, 世界"


def test_without_a_key_there_is_no_header(transport):
    raw = Raw(reply())
    ask(transport, raw, key=None, stream=False)
    assert raw.asked[0].header("authorization") == []


def test_two_keys_for_one_address_do_not_mix(transport):
    async def run():
        raw = Raw(reply())
        async with serving(raw) as port:
            made = transport()
            for key in ("sk-one-aaaaaa", None, "sk-two-bbbbbb"):
                async for _ in made.send(call(f"http://127.0.0.1:{port}/v1", key=key, stream=False)):
                    pass
            await made.close()
        return [asked.header("authorization") for asked in raw.asked]

    assert asyncio.run(run()) == [["Bearer sk-one-aaaaaa"], [], ["Bearer sk-two-bbbbbb"]]


def test_a_cookie_that_a_server_sets_is_not_sent_back(transport):
    async def run():
        raw = Raw(reply(headers=["set-cookie: id=1; Path=/"]))
        async with serving(raw) as port:
            made = transport()
            for _ in range(2):
                async for _ in made.send(call(f"http://localhost:{port}/v1", stream=False)):
                    pass
            await made.close()
        return raw

    assert asyncio.run(run()).asked[1].header("cookie") == []


@pytest.mark.parametrize(
    "status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"]
)
def test_no_redirect_is_followed(transport, status):
    async def run():
        elsewhere = Raw(reply())
        async with serving(elsewhere) as other:
            raw = Raw(reply(b"", status=status, headers=[f"location: http://127.0.0.1:{other}/v1"]))
            async with serving(raw) as port:
                with pytest.raises(ServerFailed, match="redirect") as caught:
                    await sent(transport(), call(f"http://127.0.0.1:{port}/v1", stream=False))
        return caught.value, elsewhere

    error, elsewhere = asyncio.run(run())
    assert elsewhere.asked == []
    assert not error.transient
    assert "give the final address as endpoint=" in str(error)


def test_no_redirect_is_followed_by_a_probe():
    async def run():
        elsewhere = Raw(reply())
        async with serving(elsewhere) as other:
            moved = reply(b"", status="302 Found", headers=[f"location: http://127.0.0.1:{other}/v1/models"])
            async with serving(Raw(moved)) as port:
                transport = SdkTransport()
                try:
                    return await transport.get(call(f"http://127.0.0.1:{port}/v1", stream=False)), elsewhere
                finally:
                    await transport.close()

    (status, _), elsewhere = asyncio.run(run())
    assert status == 302 and elsewhere.asked == []


# ---------------------------------------------------------------------- refusals

SHAPES = [
    ("nested", {"error": {"message": "No.", "type": "t", "code": "c"}}),
    ("flat", {"object": "error", "message": "No.", "type": "BadRequestError", "code": 400}),
    ("pascal", {"code": "InvalidParameter", "message": "No.", "request_id": "r"}),
    ("detail", {"detail": "No."}),
    ("list", {"detail": [{"loc": ["body"], "msg": "No.", "type": "missing"}]}),
    ("string", {"error": "No."}),
    ("bare", "No."),
]
STATUSES = [
    (400, RequestRefused), (401, KeyRefused), (402, CreditExhausted), (404, ModelRefused), (408, TimedOut),
    (413, RequestRefused), (422, RequestRefused), (429, RateLimited), (500, ServerFailed), (503, ServerFailed),
    (504, TimedOut), (529, ServerFailed),
]  # fmt: skip


@pytest.mark.parametrize(("name", "shape"), SHAPES)
def test_a_refusal_of_every_shape_is_read(transport, name, shape):
    raw = Raw(reply(json.dumps(shape).encode(), status="400 Bad Request"))
    error = fails(transport, RequestRefused, r"the place refused \(400.*\): No\.", raw)
    assert error.status == 400


@pytest.mark.parametrize(
    ("detail", "words"),
    [
        ([{"loc": ["body", "messages", 0, "content"], "msg": "Field required"}], "messages.0.content: Field required"),
        ([{"loc": ["body", "a"], "msg": "No"}, {"loc": ["query", "b"], "msg": "Nor"}], "a: No; query.b: Nor"),
        ([{"loc": "body", "msg": "No"}], "No"),
        ([{"loc": [], "msg": "No"}], "No"),
        (["No", 7], "No; 7"),
    ],
)  # fmt: skip
def test_the_field_that_is_wrong_is_told(transport, detail, words):
    raw = Raw(reply(json.dumps({"detail": detail}).encode(), status="422 Unprocessable"))
    assert str(fails(transport, RequestRefused, "422", raw)).endswith(f"(422): {words}.")


@pytest.mark.parametrize(("status", "kind"), STATUSES)
def test_a_status_alone_says_what_it_is(transport, status, kind):
    body = b"<html>nginx</html>"
    error = fails(transport, kind, str(status), Raw(reply(body, status=f"{status} X", kind="text/html")))
    assert error.status == status
    assert "html" not in str(error)


def test_the_wait_that_a_server_asks_for_is_heard(transport):
    for header, seconds in (
        ("retry-after: 7", 7.0),
        ("retry-after-ms: 250", 0.25),
        ("Retry-After: junk", None),
    ):
        error = fails(transport, RateLimited, "429", Raw(reply(b"{}", status="429 Slow", headers=[header])))
        assert error.retry_after == seconds


def test_a_refusal_without_end_is_read_only_so_far(transport):
    raw = Raw(reply(b" " * (3 << 20), status="500 Oops", kind="text/plain", length=1 << 40))

    async def run():
        async with serving(raw) as port, asyncio.timeout(5):
            await sent(transport(), call(f"http://127.0.0.1:{port}/v1"))

    with pytest.raises(ServerFailed, match="500"):
        asyncio.run(run())


# ---------------------------------------------------------------------- what goes wrong on the way


def test_a_page_in_place_of_an_answer_is_told_as_one(transport):
    page = b"<html>Sign in</html>"
    for stream in (False, True):
        error = fails(
            transport,
            ServerFailed,
            "login page",
            Raw(reply(page, kind="text/html; charset=utf-8")),
            stream=stream,
        )
        assert "text/html" in str(error)
    error = fails(transport, ServerFailed, "20 bytes that are not JSON", Raw(reply(page)), stream=False)
    assert error.maybe_billed


def test_a_page_that_calls_itself_a_stream_has_no_payload(transport):
    assert ask(transport, Raw(reply(b"<html>\n\nSign in</html>\n", kind="text/event-stream"))) == []


@pytest.mark.parametrize("body", [b"", b"{", b'{"a": NaN}', b'{"a": "\xff\xfe"}', b"\xef\xbb\xbf"])
def test_what_is_not_json_is_told_as_that(transport, body):
    error = fails(transport, ServerFailed, "not JSON", Raw(reply(body)), stream=False)
    assert error.transient
    assert error.maybe_billed
    event = b'data: {"choices": []}\n\ndata: ' + body.replace(b"\n", b"") + b"x\n\n"
    fails(transport, ServerFailed, "not JSON", Raw(chunked(event)))


@pytest.mark.parametrize("stream", [False, True])
def test_a_body_shorter_than_promised_is_incomplete(transport, stream):
    raw = Raw(chunked(ended=False) if stream else reply(BODY[:20], length=len(BODY)), close=True)
    if stream:
        raw.answer = raw.answer.replace(b"data: [DONE]\n\n", b"")
        raw.answer = raw.answer.replace(b"%x\r\n" % len(STREAM), b"%x\r\n" % (len(STREAM) - 14))
    error = fails(transport, Incomplete, "connection to the place broke", raw, stream=stream)
    assert error.transient
    assert error.maybe_billed


@pytest.mark.parametrize("after", [0, 10, 120, 200])
def test_a_reset_is_incomplete(transport, after):
    error = fails(transport, Incomplete, "connection to the place broke", Raw(chunked(), reset_after=after))
    assert error.maybe_billed


def test_a_server_that_hangs_up_without_a_word_is_incomplete(transport):
    fails(transport, Incomplete, "connection to the place broke", Raw(b"", close=True))


def test_what_is_not_http_is_told_as_that(transport):
    fails(transport, ServerFailed, "not HTTP", Raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n", close=True))


def test_bytes_that_do_not_unpack_are_told_as_that(transport):
    raw = Raw(reply(b"not gzip at all", headers=["content-encoding: gzip"]))
    fails(transport, ServerFailed, "don't decompress", raw, stream=False)


def test_a_body_over_the_limit_is_cut_with_what_to_do(transport):
    raw = Raw(reply(b" " * (MOST_BODY + 1), length=1 << 40))
    error = fails(transport, ServerFailed, r"over 32 MiB.*max_tokens=", raw, stream=False)
    assert not error.transient


def refuses(make, base_url, words, kind=Unreachable):
    with pytest.raises(kind, match=words) as caught:
        asyncio.run(sent(make(), call(base_url)))
    assert type(caught.value) is kind
    return str(caught.value)


def closed_port():
    """None that is given to whoever asks for one: no test beside this one opens it."""
    return 9


def test_nobody_at_the_port_is_told_at_once(transport):
    words = refuses(transport, f"http://127.0.0.1:{closed_port()}/v1", "^the place can't be reached: ")
    assert "refused" in words.lower() or "connect" in words.lower()
    assert len(words) < 120


def test_no_such_host_is_told_at_once(transport):
    words = refuses(transport, "https://nope.invalid/v1", "^the place can't be reached: ")
    assert len(words) < 120


@pytest.mark.skipif(not socket.has_ipv6, reason="this machine has no IPv6")
def test_a_server_on_ipv6_only_is_found(transport):
    named = {address[4][0] for address in socket.getaddrinfo("localhost", None)}

    async def run():
        raw = Raw(reply())
        async with serving(raw, host="::1") as port:
            for host in ["[::1]"] + ["localhost"] * ("::1" in named):
                (payload,) = await sent(transport(), call(f"http://{host}:{port}/v1", stream=False))
                assert payload.data == WHOLE

    asyncio.run(run())


def test_a_certificate_that_nobody_signed_is_told_and_nothing_is_sent(transport):
    async def run():
        raw = Raw(reply())
        async with serving(raw, tls=(CERTIFICATE,)) as port:
            with pytest.raises(Unreachable, match="no certificate that this machine trusts") as caught:
                await sent(transport(), call(f"https://localhost:{port}/v1"))
        return raw, caught.value

    raw, error = asyncio.run(run())
    assert raw.asked == []
    assert "SSL_CERT_FILE" in str(error)
    assert not error.transient


def test_both_transports_fail_in_the_same_words():
    async def words(make, raw, stream):
        async with serving(raw) as port:
            try:
                await sent(make(), call(f"http://127.0.0.1:{port}/v1", stream=stream))
            except Exception as error:
                return type(error), str(error), error.transient, error.maybe_billed
        raise AssertionError("it did not fail")

    wrong = [
        lambda: Raw(reply(b'{"error": {"message": "No."}}', status="400 Bad")),
        lambda: Raw(reply(b"", status="307 Moved", headers=["location: /"])),
        lambda: Raw(reply(b"<html>", kind="text/html")),
        lambda: Raw(reply(b"nonsense")),
        lambda: Raw(chunked(), reset_after=0),
        lambda: Raw(chunked(), reset_after=150),
        lambda: Raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n", close=True),
        lambda: Raw(reply(b"not gzip", headers=["content-encoding: gzip"])),
    ]
    for made in wrong:
        for stream in (False, True):
            sdk, direct = (asyncio.run(words(make, made(), stream)) for make in TRANSPORTS.values())
            assert sdk == direct
    port = closed_port()
    for url in (f"http://127.0.0.1:{port}/v1", "https://nope.invalid/v1"):
        assert len({refuses(make, url, "can't be reached") for make in TRANSPORTS.values()}) == 1


# ---------------------------------------------------------------------- the environment


OPENAI = {
    "OPENAI_API_KEY": "sk-of-openai-1111",
    "OPENAI_ADMIN_KEY": "sk-of-admin-2222",
    "OPENAI_BASE_URL": "http://127.0.0.1:1/v1",
    "OPENAI_ORG_ID": "org-of-mine",
    "OPENAI_PROJECT_ID": "proj-of-mine",
    "OPENAI_CUSTOM_HEADERS": "X-Mine: of-mine\nAuthorization: Bearer sk-custom-3333",
}


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """What both transports told, in a process with each environment in turn, and what the servers were asked."""
    home = tmp_path_factory.mktemp("home")
    (home / ".netrc").write_text("default login me password sk-netrc-4444\n")
    (home / ".netrc").chmod(0o600)

    async def run():
        plain, proxy, safe = Raw(reply()), Raw(reply()), Raw(reply())
        async with serving(plain) as at, serving(proxy) as through, serving(safe, tls=(CERTIFICATE,)) as tls:
            here, far = f"http://127.0.0.1:{at}/v1", "http://endpoint.test/v1"
            proxied = dict.fromkeys(("HTTP_PROXY", "http_proxy"), f"http://127.0.0.1:{through}")
            dead = f"http://user:hunter2@127.0.0.1:{closed_port()}"
            steps = {
                "trusted": (f"https://localhost:{tls}/v1", True, {"SSL_CERT_FILE": str(CERTIFICATE)}),
                "openai": (here, False, OPENAI),
                "through": (far, True, proxied),
                "past": (here, True, proxied),
                "lookalike": ("http://127.evil.example/v1", True, proxied),
                "spared": (far, True, proxied | {"NO_PROXY": "endpoint.test"}),
                "dead": ("https://endpoint.test/v1", True, {"HTTPS_PROXY": dead}),
                "socks": ("https://endpoint.test/v1", True, {"ALL_PROXY": "socks5://127.0.0.1:9"}),
                "netrc": (here, True, {"HOME": str(home)}),
                "netrc without a key": (here, False, {"HOME": str(home)}),
            }
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tests.endpoints.environment",
                env={n: v for n, v in os.environ.items() if not n.lower().endswith("_proxy")},
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[2],
            )  # fmt: skip
            made = [{"base_url": url, "key": key, "environ": environ} for url, key, environ in steps.values()]
            told, _ = await process.communicate(json.dumps(made).encode())
        return dict(zip(steps, json.loads(told), strict=True)), plain.asked, proxy.asked

    return asyncio.run(run())


def test_the_openai_packages_own_variables_have_no_effect(elsewhere):
    told, asked, _ = elsewhere
    assert told["openai"] == [[WHOLE], [WHOLE]]
    for one in asked[:2]:
        assert one.header("authorization") == []
        assert not {"openai-organization", "openai-project", "x-mine"} & {
            name.lower() for name, _ in one.headers
        }
        assert "of-mine" not in str(one.headers)


def test_the_proxy_of_the_environment_is_asked(elsewhere):
    told, _, proxied = elsewhere
    assert told["through"] == [[WHOLE], [WHOLE]]
    assert [one.target for one in proxied[:2]] == ["http://endpoint.test/v1/chat/completions"] * 2


def test_a_host_that_only_begins_like_this_machine_is_asked_through_the_proxy(elsewhere):
    told, _, proxied = elsewhere
    assert told["lookalike"] == [[WHOLE], [WHOLE]]
    assert [one.target for one in proxied[2:]] == ["http://127.evil.example/v1/chat/completions"] * 2


def test_no_proxy_is_asked_for_this_machine_or_for_a_host_that_is_spared(elsewhere):
    told, asked, proxied = elsewhere
    assert told["past"] == [[WHOLE], [WHOLE]]
    assert len(asked) == 8
    assert [one["error"] for one in told["spared"]] == ["Unreachable"] * 2
    assert len(proxied) == 4


def test_a_dead_proxy_is_named_as_the_cause_without_its_password(elsewhere):
    sdk, direct = elsewhere[0]["dead"]
    assert sdk == direct
    assert sdk["error"] == "Unreachable"
    assert "can't be reached through the proxy of this environment" in sdk["words"]
    assert "hunter2" not in sdk["words"]


def test_a_socks_proxy_is_refused_in_words(elsewhere):
    sdk, direct = elsewhere[0]["socks"]
    assert sdk == direct
    assert sdk["error"] == "Unreachable"
    assert "HTTPS_PROXY" in sdk["words"]


def test_the_certificates_of_the_environment_are_trusted(elsewhere):
    assert elsewhere[0]["trusted"] == [[WHOLE], [WHOLE]]


def test_a_password_file_for_the_host_changes_nothing(elsewhere):
    told, asked, _ = elsewhere
    assert told["netrc"] == told["netrc without a key"] == [[WHOLE], [WHOLE]]
    headers = [one.header("authorization") for one in asked[-4:]]
    assert headers == [[f"Bearer {KEY}"], [f"Bearer {KEY}"], [], []]


def test_nothing_that_is_shipped_speaks_http_by_hand():
    """The openai package's httpx2 and the transport of columns do; `urllib.request` only tells which proxy is wanted."""
    package = Path(qwennb.__file__).parent
    found = {
        (module.relative_to(package).as_posix(), name)
        for module in package.rglob("*.py")
        if not module.is_relative_to(package / "simulator")
        for name in re.findall(
            r"^\s*(?:import|from) (urllib\.request|urllib\.error|http\.client|requests|urllib3|httpx)\b",
            module.read_text(encoding="utf-8"),
            re.M,
        )
    }
    assert found == {("endpoints/transports/connect.py", "urllib.request")}
