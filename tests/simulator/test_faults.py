"""Each fault of the table, seen on the wire."""

import http.client
import json
import time

import pytest

from qwennb.errors import ConfigError
from qwennb.simulator import DIALECTS, FAULTS, Fault, Options, Reply, sabotage

from .wire import ask, raw, valid

REFUSING = [name for name, kind in FAULTS.items() if kind.problem is not None]
SPOKEN = "The sea is wide and deep, and ships go over it from land to land, day and night."


def home(name):
    """A dialect in which the fault happens."""
    return (FAULTS[name].dialects or ("vllm",))[0]


def split(came):
    head, _, body = came.partition(b"\r\n\r\n")
    return head.decode(), body


def test_every_kind_is_carried_out_in_exactly_one_place():
    for name, kind in FAULTS.items():
        ways = (kind.problem is not None) + (name in sabotage.ON_REPLY) + (name in sabotage.ON_WIRE)
        assert ways == (2 if name == "partial" else 1), name
    assert sabotage.ON_REPLY.keys() | sabotage.ON_WIRE.keys() <= FAULTS.keys()


@pytest.mark.parametrize("name", REFUSING)
@pytest.mark.parametrize("stream", [False, True])
def test_a_refusal_on_demand_has_its_status_and_comes_once(start, name, stream):
    sim = start(home(name), faults=[Fault(name, times=1)])
    heard = ask(sim, stream=stream)
    assert heard.status == FAULTS[name].problem.status
    assert heard.headers["content-type"] == "application/json"
    assert json.dumps(heard.json)
    entry = sim.ledger.last()
    assert (entry.fault, entry.paid, entry.delivered) == (name, False, True)
    assert ask(sim, stream=stream).status == 200


def test_dashscope_says_the_same_flat_or_nested(start):
    sim = start("dashscope", faults=[Fault("token_quota", times=1, flat=True), Fault("token_quota", times=1)])
    flat, nested = ask(sim).json, ask(sim).json
    assert (flat["code"], nested["error"]["code"]) == ("InsufficientQuota", "insufficient_quota")
    assert flat["message"] == nested["error"]["message"]
    assert "error" not in flat


def test_money_dressed_as_rate_says_so_only_by_its_code(start):
    names = ["not_purchased", "prepaid_overdue", "postpaid_overdue", "budget_limit", "free_quota"]
    sim = start("dashscope", faults=[Fault(name, times=1) for name in names])
    heard = [ask(sim) for _ in names]
    assert {one.status for one in heard} == {429}
    assert heard[0].json["error"]["code"] == "CommodityNotPurchased"


def test_retry_after_comes_in_every_form(start):
    wanted = [
        (Fault("429", times=1, retry_after=2), {"retry-after": "2"}),
        (Fault("429", times=1, retry_after=0.25), {"retry-after": "0.250"}),
        (Fault("429", times=1, retry_after=1.5, retry_form="ms"), {"retry-after-ms": "1500"}),
        (Fault("429", times=1, retry_after=1e9), {"retry-after": "1000000000"}),
        (Fault("429", times=1, retry_after="-5"), {"retry-after": "-5"}),
        (Fault("429", times=1, retry_after="soon"), {"retry-after": "soon"}),
        (
            Fault("429", times=1, retry_after=60, retry_form="date"),
            {"retry-after": "Thu, 01 Jan 1970 00:02:00 GMT"},
        ),
        (Fault("429", times=1), {}),
    ]
    sim = start("dashscope", faults=[fault for fault, _ in wanted], clock=lambda: 60.0)
    for _, headers in wanted:
        got = ask(sim).headers
        assert {name: value for name, value in got.items() if name.startswith("retry")} == headers


def test_openrouters_429_counts_down_and_its_capacity_error_has_no_code(start):
    sim = start("openrouter", faults=[Fault("429", times=1), Fault("capacity", times=1)])
    assert {"x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"} <= ask(sim).headers.keys()
    error = ask(sim).json["error"]
    assert error["availability"] == {"code": "capacity_exhausted", "retryable": True, "requested_models": []}
    assert "code" not in error


# What the model says.


def said(start, name, script=SPOKEN, **changes):
    sim = start("vllm", script=lambda _: Reply(script), faults=[Fault(name)])
    whole, stream = ask(sim, **changes), ask(sim, stream=True, **changes)
    choice = whole.json["choices"][0]
    assert stream.joined() == (choice["message"]["content"] or "")
    reasons = [c["finish_reason"] for event in stream.events for c in event["choices"] if c["finish_reason"]]
    assert reasons == [choice["finish_reason"]]
    assert sim.ledger.count("paid") == (2 if FAULTS[name].whole else 0)
    return choice


@pytest.mark.parametrize("name", ["length", "content_filter"])
def test_an_answer_may_break_off_and_say_why(start, name):
    choice = said(start, name)
    assert choice["finish_reason"] == name
    assert SPOKEN.startswith(choice["message"]["content"])
    assert len(choice["message"]["content"]) < len(SPOKEN)


def test_content_may_be_null_or_empty_or_only_a_thought(start):
    assert said(start, "null_content")["message"]["content"] is None
    assert said(start, "empty_content")["message"]["content"] == ""
    lonely = said(start, "reasoning_only")["message"]
    assert (lonely["content"], bool(lonely["reasoning"])) == ("", True)


def test_json_may_be_cut_or_wrong_or_fenced_or_doubled_or_no_number(start):
    good = '{"name": "Ada", "size": 3}'
    assert good.startswith(said(start, "cut_json", good)["message"]["content"])
    assert "unexpected" in json.loads(said(start, "wrong_schema", good)["message"]["content"])
    assert said(start, "fenced_json", good)["message"]["content"] == f"```json\n{good}\n```"
    pairs = json.loads(said(start, "duplicate_keys", good)["message"]["content"], object_pairs_hook=list)
    assert [name for name, _ in pairs] == ["name", "name", "size", "size"]
    assert "NaN" in said(start, "nan", good)["message"]["content"]


# How the bytes leave.


@pytest.mark.parametrize("stream", [False, True])
def test_a_page_comes_in_place_of_an_answer(start, stream):
    for name, kind in (
        ("html", "text/html"),
        ("html_as_json", "text/event-stream" if stream else "application/json"),
    ):
        heard = ask(start("vllm", faults=[Fault(name)]), stream=stream)
        assert heard.status == 200
        assert heard.headers["content-type"].startswith(kind)
        assert heard.body.startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_200_may_carry_an_error_in_the_servers_shape(start, dialect):
    heard = ask(start(dialect, faults=[Fault("error_in_200")]))
    assert heard.status == 200
    assert "choices" not in heard.json
    assert heard.json.keys() & {"error", "detail", "message"}


@pytest.mark.parametrize("stream", [False, True])
def test_bodies_may_be_broken_in_every_way(start, stream):
    def heard(name):
        sim = start("vllm", faults=[Fault(name)])
        one = ask(sim, stream=stream)
        assert one.status == 200
        assert not sim.ledger.last().paid
        return one

    with pytest.raises(UnicodeDecodeError):
        heard("bad_utf8").body.decode()
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        one = heard("bad_json")
        one.events if stream else one.json  # noqa: B018
    assert b"NaN" in heard("nan_body").body
    assert heard("empty_body").body == b""
    empty = heard("no_choices")
    assert not any(event["choices"] for event in (empty.events if stream else [empty.json]))


def test_a_body_may_say_a_key_twice(start):
    body = ask(start("vllm", faults=[Fault("duplicate_body")])).body
    pairs = json.loads(body, object_pairs_hook=list)
    assert [name for name, _ in pairs].count("choices") == 2


def test_a_redirect_leads_elsewhere(start):
    heard = ask(start("vllm", faults=[Fault("redirect")]))
    assert (heard.status, heard.headers["location"]) == (307, "/elsewhere/v1/chat/completions")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.slow
def test_connections_break_where_they_are_told_to(start, stream):
    for name, some, ending in (
        ("reset", False, "reset"),
        ("reset_midway", True, "reset"),
        ("short_body", True, "closed"),
        ("hang", False, "silence"),
        ("hang_midway", True, "silence"),
    ):
        sim = start("vllm", faults=[Fault(name)])
        came, end = raw(sim, valid("vllm", stream=stream), timeout=1.0)
        assert (bool(came), end) == (some, ending), name
        sim.ledger.wait_for(1)
        assert sim.ledger.last().outcome in ("broken", "abandoned")
        if some and not stream:
            head, body = split(came)
            promised = int(head.lower().partition("content-length: ")[2].split("\r\n")[0])
            assert 0 < len(body) < promised


def test_a_short_body_is_an_incomplete_read(start):
    with pytest.raises(http.client.IncompleteRead):
        ask(start("vllm", faults=[Fault("short_body")]))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.slow
def test_bytes_come_one_at_a_time(start, stream):
    sim = start("vllm", script=lambda _: "é", faults=[Fault("drip", seconds=0.0005)])
    began = time.monotonic()
    heard = ask(sim, stream=stream)
    assert time.monotonic() - began > len(heard.body) * 0.0005
    assert sim.ledger.last().paid
    sim = start("vllm", script=lambda _: "snö ⛄", faults=[Fault("utf8_split")])
    heard = ask(sim, stream=stream)
    assert (heard.joined() if stream else heard.json["choices"][0]["message"]["content"]) == "snö ⛄"
    assert sim.ledger.last().paid


def test_one_byte_each_100_ms_is_the_usual_drip(start):
    sim = start("vllm", faults=[Fault("drip")])
    came = b""
    with raw(sim, valid("vllm"), read=False) as plug:
        began = time.monotonic()
        while len(came.partition(b"\r\n\r\n")[2]) < 4:
            came += plug.recv(1)
        assert time.monotonic() - began >= 3 * 0.1


def test_a_body_of_two_gigabytes_is_promised_and_made_as_it_goes(start):
    sim = start("vllm", faults=[Fault("huge_body")])
    with raw(sim, valid("vllm"), read=False) as plug:
        came = 0
        head = b""
        while came < 32 * 1024 * 1024:
            piece = plug.recv(1024 * 1024)
            head = head or piece
            came += len(piece)
    assert int(split(head)[0].partition("content-length: ")[2].split("\r\n")[0]) > 2 * 1024**3
    sim.ledger.wait_for(1)
    assert sim.ledger.last().outcome == "abandoned"


def test_a_small_huge_body_is_still_the_answer_behind_blanks(start):
    heard = ask(start("vllm", faults=[Fault("huge_body", size=3_000_000)]))
    assert len(heard.body) > 3_000_000
    assert heard.json["choices"]


def test_half_an_answer_after_300_seconds_is_marked_by_a_header(start):
    heard = ask(start("dashscope", script=[SPOKEN], faults=[Fault("partial")]))
    assert (heard.status, heard.headers["x-dashscope-partialresponse"]) == (200, "true")
    assert heard.json["choices"][0]["message"]["content"] == SPOKEN[: len(SPOKEN) // 2]


def streamed(start, name, dialect="vllm", **fault):
    sim = start(dialect, script=lambda _: Reply(SPOKEN), faults=[Fault(name, **fault)])
    heard = ask(sim, stream=True)
    return heard, sim.ledger.last()


def test_a_stream_may_be_nothing_but_comments(start):
    heard, entry = streamed(start, "comments_only", size=3, seconds=0.001)
    assert (heard.events, heard.body.count(b": keep-alive\n\n"), entry.paid) == ([], 3, False)


def test_a_flood_of_comments_ends_in_the_answer(start):
    heard, entry = streamed(start, "comment_flood", size=20_000)
    assert heard.body.count(b": keep-alive\n\n") == 20_000
    assert (heard.joined(), entry.paid) == (SPOKEN, True)


def test_one_line_may_have_a_million_characters(start):
    heard, _ = streamed(start, "long_line")
    assert max(map(len, heard.body.split(b"\n"))) > 1_000_000


def test_a_stream_may_never_end(start):
    sim = start("vllm", faults=[Fault("endless", seconds=0.0)])
    with raw(sim, valid("vllm", stream=True), read=False) as plug:
        came = b""
        while len(came) < 200_000:
            came += plug.recv(65_536)
    assert b"[DONE]" not in came
    sim.ledger.wait_for(1)
    assert sim.ledger.last().outcome == "abandoned"


def test_a_stream_may_end_without_saying_so(start):
    def reasons(heard):
        return [c["finish_reason"] for event in heard.events for c in event["choices"] if c["finish_reason"]]

    quiet, entry = streamed(start, "no_done")
    assert (quiet.done, reasons(quiet), quiet.joined(), entry.paid) == (False, ["stop"], SPOKEN, True)
    half, entry = streamed(start, "no_finish")
    assert (half.done, reasons(half), entry.paid) == (False, [], False)
    assert 0 < len(half.joined()) < len(SPOKEN)
    done, entry = streamed(start, "done_only")
    assert (done.done, reasons(done), entry.paid) == (True, [], False)
    assert 0 < len(done.joined()) < len(SPOKEN)


def test_a_page_may_come_as_a_stream_or_in_the_middle_of_one(start):
    page, _ = streamed(start, "stream_html")
    assert page.headers["content-type"].startswith("text/event-stream")
    assert page.body.startswith(b"<!DOCTYPE")
    middle, _ = streamed(start, "html_midway")
    assert middle.joined()
    assert b"<!DOCTYPE" in middle.body


MIDWAY = {
    "openrouter": lambda last: (
        last["choices"][0]["finish_reason"] == "error" and last["error"]["code"] == 502
    ),
    "dashscope": lambda last: last.keys() == {"code", "message", "request_id"},
    "vllm": lambda last: last["error"].keys() == {"message", "type", "param", "code"},
    "sglang": lambda last: last["error"]["object"] == "error",
    "mlx-vlm": lambda last: isinstance(last["error"], str),
    "llama.cpp": lambda last: last["error"]["code"] == 502,
    "ollama": lambda last: last["error"]["type"] == "api_error",
    "lmstudio": lambda last: "message" in last["error"],
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_error_midway_has_the_servers_own_shape(start, dialect):
    heard, entry = streamed(start, "error_midway", dialect)
    assert heard.status == 200
    assert 0 < len(heard.joined()) < len(SPOKEN)
    assert MIDWAY[dialect](heard.events[-1])
    assert heard.done is (dialect in ("vllm", "sglang"))
    assert not entry.paid


# When they strike.


def test_a_fault_strikes_by_index_by_function_or_by_chance(start):
    def statuses(fault, n=6, seed=0):
        sim = start("vllm", faults=[fault], seed=seed)
        return [ask(sim).status for _ in range(n)]

    assert statuses(Fault("500", when={1, 3})) == [200, 500, 200, 500, 200, 200]
    assert statuses(Fault("500", when=lambda asked: asked.index % 2 == 0)) == [500, 200] * 3
    some = statuses(Fault("500", probability=0.5), 20)
    assert {200, 500} == set(some)
    assert some == statuses(Fault("500", probability=0.5), 20)
    assert some != statuses(Fault("500", probability=0.5), 20, seed=1)


def test_a_fault_of_streams_waits_for_a_stream(start):
    sim = start("vllm", faults=[Fault("no_finish", times=1)])
    assert ask(sim).json["choices"]
    assert not ask(sim, stream=True).done
    assert ask(sim, stream=True).done


def test_a_script_may_bring_its_fault_along(start):
    sim = start("vllm", script=["one", Fault("503"), Reply("three", fault=Fault("length"))])
    assert ask(sim).json["choices"][0]["message"]["content"] == "one"
    assert ask(sim).status == 503
    assert ask(sim).json["choices"][0]["finish_reason"] == "length"


def test_an_unknown_fault_names_the_nearest():
    with pytest.raises(ConfigError, match=r"did you mean `reset`"):
        Fault("rest")


def test_a_fault_laid_later_waits_behind_the_others(start):
    sim = start("vllm")
    sim.fault("500", "503", times=1)
    assert [ask(sim).status for _ in range(3)] == [500, 503, 200]


def test_comments_may_come_before_a_stream_with_a_pause(start):
    heard = ask(start("vllm", options=Options(comments=2, comment_delay=0.001)), stream=True)
    assert heard.body.startswith(b": keep-alive\n\n" * 2)
