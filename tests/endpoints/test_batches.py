"""`/files` and `/batches`, over the wire: what is written, what is read, who has them, who says that they have not."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from qwennb.config import Secret
from qwennb.endpoints import (
    Batches,
    BatchTerms,
    Dialect,
    Endpoint,
    batch_line,
    batch_terms,
    line_reply,
    was_asked,
)
from qwennb.errors import (
    ContentFiltered,
    Incomplete,
    KeyRefused,
    QwenError,
    RateLimited,
    RequestRefused,
    ServerFailed,
    UnsupportedOption,
)
from qwennb.request import Message, Request, Settings, Text
from qwennb.simulator import Options
from tests.endpoints.kit import KEY, client, simulator


def question(number: int = 0, **settings: object) -> Request:
    words = (Message("user", (Text(f"Say {number}"),)),)
    return Request("qwen3.5-flash", words, settings=Settings.of(**settings))


def told(work):
    """Run *work* with the batches of a place, and close them."""

    async def run(endpoint: Endpoint):
        batches = Batches(endpoint)
        try:
            return await work(batches)
        finally:
            await batches.close()

    return lambda endpoint: asyncio.run(run(endpoint))


@pytest.fixture
def sim():
    with simulator("dashscope", options=Options(batch_polls=1)) as sim:
        yield sim


@pytest.fixture
def endpoint(sim, tmp_path):
    return client(sim, tmp_path).endpoint


def plain(sim, tmp_path) -> Endpoint:
    """The same server as one that nobody recognises."""
    return replace(client(sim, tmp_path).endpoint, name="openai", dialect=Dialect(), hosted=False)


# ---------------------------------------------------------------------- writing


@pytest.mark.parametrize(
    "settings", [{"thinking": False, "max_tokens": 9}, {"thinking": True}, {"top_p": 0.5}]
)
def test_a_line_asks_what_the_live_lane_asks(sim, tmp_path, endpoint, settings):
    """Streaming aside, and thinking is always said: a batch has a default of its own."""
    qwen = client(sim, tmp_path)
    qwen.ask("Say 0", **settings)
    live = dict(sim.ledger.last().body)
    line = json.loads(batch_line(endpoint, question(**settings)))
    assert (line["method"], line["url"]) == ("POST", "/v1/chat/completions")
    assert line["custom_id"] == question(**settings).key
    for name in ("stream", "stream_options"):
        live.pop(name, None)
    assert line["body"] == {"enable_thinking": True, **live}


def test_terms_are_those_of_the_endpoint(endpoint, sim, tmp_path):
    assert batch_terms(endpoint) == BatchTerms(share=0.5, max_input=256_000)
    other = batch_terms(plain(sim, tmp_path))
    assert (other.share, other.file_bytes) == (None, 200_000_000)


@pytest.mark.parametrize("dialect", ["openrouter", "vllm", "llama.cpp"])
def test_an_endpoint_without_batches_names_those_that_have_them(dialect, tmp_path):
    with simulator(dialect) as sim:
        endpoint = client(sim, tmp_path).endpoint
        with pytest.raises(UnsupportedOption, match=r"takes no batches.*dashscope, dashscope-intl"):
            batch_terms(endpoint)


def test_a_region_without_batches_is_refused(endpoint):
    with pytest.raises(UnsupportedOption, match="takes no batches"):
        batch_terms(replace(endpoint, name="dashscope-us"))


def test_a_server_that_has_not_got_the_routes_says_so_in_the_same_words(tmp_path):
    with simulator("vllm") as sim:
        endpoint = Endpoint("openai", sim.base_url, Dialect(), hosted=False)
        for work in (lambda b: b.upload(tmp_path / "in.jsonl"), _all):
            (tmp_path / "in.jsonl").write_bytes(b"{}\n")
            with pytest.raises(UnsupportedOption, match="takes no batches"):
                told(work)(endpoint)


async def _all(batches):
    return [batch async for batch in batches.all()]


# ---------------------------------------------------------------------- the whole way


@pytest.mark.parametrize("kind", ["dashscope", "openai"])
def test_questions_go_up_and_answers_come_down(sim, tmp_path, endpoint, kind):
    endpoint = endpoint if kind == "dashscope" else plain(sim, tmp_path)
    questions = [question(n, max_tokens=50) for n in range(3)]
    file = tmp_path / "questions.jsonl"
    file.write_bytes(b"".join(batch_line(endpoint, q) + b"\n" for q in questions))

    async def work(batches):
        number = await batches.upload(file)
        batch = await batches.create(number, BatchTerms(), "qwennb-abc", "3 questions")
        assert (batch.state, batch.name, batch.file) == ("waiting", "qwennb-abc", number)
        assert [each.id for each in await _all(batches)] == [batch.id]
        done = await batches.get(batch.id)
        assert (done.state, done.total, done.answered, done.failed) == ("done", 3, 3, 0)
        lines = [line async for line in batches.lines(done.answers)]
        await batches.delete(number)
        with pytest.raises(ServerFailed, match="no longer has the file"):
            [line async for line in batches.lines(number)]
        assert await batches.get("batch_none") is None
        await batches.delete(number)  # gone is gone
        return lines

    lines = told(work)(endpoint)
    assert {line["custom_id"] for line in lines} == {q.key for q in questions}
    said = endpoint.dialect.read(line_reply(endpoint, lines[0]), "there")
    assert said.text and said.usage is not None and said.ended


def test_a_batch_can_be_cancelled(endpoint, sim, tmp_path):
    (tmp_path / "in.jsonl").write_bytes(batch_line(endpoint, question()) + b"\n")

    async def work(batches):
        batch = await batches.create(await batches.upload(tmp_path / "in.jsonl"), BatchTerms(), "x", "y")
        await batches.cancel(batch.id)
        return await batches.get(batch.id)

    assert told(work)(endpoint).state == "cancelled"


def test_a_wrong_key_is_told_as_such_and_shows_itself_nowhere(endpoint):
    wrong = replace(endpoint, key=Secret("sk-other-0123456789"))
    with pytest.raises(KeyRefused) as refused:
        told(_all)(wrong)
    assert "0123456789" not in str(refused.value)


# ---------------------------------------------------------------------- reading lines


def line(status=200, body=None, error=None):
    reply = None if status is None else {"status_code": status, "body": body}
    return {"custom_id": "k", "response": reply, "error": error}


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (line(400, {"error": {"code": "data_inspection_failed", "message": "no"}}), ContentFiltered),
        (line(400, {"error": {"code": "invalid_parameter_error", "message": "no"}}), RequestRefused),
        (line(429, {"error": {"code": "limit_requests", "message": "fast"}}), RateLimited),
        (line(500, None), ServerFailed),
        (line(None, error={"code": "strange", "message": "m"}), ServerFailed),
        (line(None), Incomplete),
        ({}, Incomplete),
    ],
)
def test_a_line_that_is_no_answer_is_the_error_that_it_would_be_live(endpoint, said, kind):
    with pytest.raises(QwenError) as raised:
        line_reply(endpoint, said)
    assert type(raised.value) is kind


@pytest.mark.parametrize("code", ["batch_expired", "batch_cancelled"])
def test_a_line_that_was_never_asked_is_told_from_one_that_failed(code):
    assert not was_asked(line(None, error={"code": code, "message": "m"}))
    assert was_asked(line(500))
    assert was_asked(line(200, {}))


class Canned(BaseHTTPRequestHandler):
    """Answers what the server's `pages` say, in pieces of an odd size."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        status, body = self.server.pages(self.path)
        self.send_response(status)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        for start in range(0, len(body), 7):
            self.wfile.write(body[start : start + 7])

    def log_message(self, *_):
        pass


@pytest.fixture
def canned():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Canned)
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def make(pages) -> Endpoint:
        server.pages = pages
        return Endpoint(
            "openai", f"http://127.0.0.1:{server.server_port}/v1", Dialect(), hosted=False, key=Secret(KEY)
        )

    yield make
    server.shutdown()
    server.server_close()


def test_lines_come_whole_however_the_bytes_are_cut_and_what_is_no_json_is_left_out(canned):
    body = '{"custom_id": "ä"}\n\n{broken\n[1]\n{"custom_id": "last"}'.encode()

    async def work(batches):
        return [line.get("custom_id") async for line in batches.lines("f")]

    assert told(work)(canned(lambda path: (200, body))) == ["ä", None, "last"]


def test_the_list_is_read_page_by_page_and_not_for_ever(canned):
    asked = []

    def pages(path):
        after = parse_qs(urlsplit(path).query).get("after", ["b0"])[0]
        asked.append(after)
        first = int(after[1:]) + 1
        data = [{"id": f"b{n}", "status": "completed"} for n in range(first, first + 2)]
        return 200, json.dumps({"data": data, "has_more": True}).encode()

    found = told(_all)(canned(pages))
    assert [batch.id for batch in found] == [f"b{n}" for n in range(1, 41)]
    assert len(asked) == 20


def test_a_page_that_makes_no_sense_is_an_error_and_not_an_empty_list(canned):
    with pytest.raises(ServerFailed, match="not JSON"):
        told(_all)(canned(lambda path: (200, b"<html>")))
    with pytest.raises(ServerFailed):
        told(_all)(canned(lambda path: (502, b"bad gateway")))
