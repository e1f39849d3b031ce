"""The openai package's own clients, asked through a Qwen: one cache, one limiter, one ledger, whichever door."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import gc
import io
import json
import os
import socket
import subprocess
import sys
import threading

import openai
import pydantic
import pytest
from PIL import Image as Pillow

from qwennb import Image, Qwen
from qwennb.errors import KeyRefused, NotRecorded
from qwennb.request import Message, Request, Text, ToolCall
from qwennb.simulator import Reply
from qwennb.simulator import ToolCall as Called

ASK = [{"role": "user", "content": "Why?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
ORDER = {
    "type": "object",
    "properties": {"item": {"type": "string"}, "amount": {"type": "integer"}},
    "required": ["item", "amount"],
    "additionalProperties": False,
}


def png() -> bytes:
    made = io.BytesIO()
    Pillow.new("RGB", (64, 48), "teal").save(made, "PNG")
    return made.getvalue()


def uri(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def create(qwen, messages=ASK, model="flash", **options):
    return qwen.openai.chat.completions.create(model=model, messages=messages, **options)


@pytest.fixture
def replay(simulate, client):
    """A client that may only recall, pointed at a port where nobody listens."""
    sim = simulate()
    sim.stop()
    return client(sim, cache="replay")


# ---------------------------------------------------------------------- one key for one content


@pytest.mark.parametrize(
    ("body", "asked"),
    [
        ({}, {}),
        ({"temperature": 0.5, "seed": 7, "top_p": 0.9}, {"temperature": 0.5, "seed": 7, "top_p": 0.9}),
        ({"max_tokens": 50}, {"max_tokens": 50}),
        ({"max_completion_tokens": 50}, {"max_tokens": 50}),
        ({"stop": "END"}, {"stop": ["END"]}),
        ({"stop": ["END", "FIN"]}, {"stop": ["END", "FIN"]}),
        ({"logprobs": True, "top_logprobs": 3}, {"logprobs": 3}),
        ({"logprobs": True}, {"logprobs": True}),
        ({"reasoning_effort": "low"}, {"thinking": "low"}),
        ({"reasoning_effort": "none"}, {"thinking": False}),
        ({"extra_body": {"enable_thinking": False}}, {"thinking": False}),
        ({"extra_body": {"enable_thinking": True, "thinking_budget": 800}}, {"thinking": 800}),
        ({"extra_body": {"chat_template_kwargs": {"enable_thinking": True}}}, {"thinking": True}),
        ({"extra_body": {"reasoning": {"max_tokens": 900}}}, {"thinking": 900}),
        ({"extra_body": {"top_k": 20, "repetition_penalty": 1.1}}, {"top_k": 20, "repetition_penalty": 1.1}),
        ({"extra_body": {"sample": 2}}, {"sample": 2}),
        ({"user": "me", "extra_body": {"provider": {"sort": "price"}}}, {"extra": {"user": "me", "provider": {"sort": "price"}}}),
        ({"n": 1, "temperature": None, "stream_options": None}, {}),
        ({"tools": [WEATHER], "tool_choice": "auto"}, {"tools": [WEATHER], "tool_choice": "auto"}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "order", "schema": ORDER, "strict": True}}},
            {"schema": ORDER},
        ),
        ({"response_format": {"type": "text"}}, {}),
    ],
)  # fmt: skip
def test_the_same_content_has_the_same_key_through_either_door(simulate, client, body, asked):
    qwen = client(simulate("vllm"), model="9b")
    wanted = qwen.plan("Why?", **asked)
    assert wanted.known == 0
    try:
        reply = create(qwen, model="9b", **body)
    except (
        openai.BadRequestError
    ) as error:  # an option that this server does not take; the key is made all the same
        pytest.fail(str(error))
    assert qwen.plan("Why?", **asked).known == 1
    assert reply.qwennb["key"] == qwen.ask("Why?", **asked).key


def test_an_answer_asked_through_one_door_is_a_hit_through_the_other(simulate, client):
    sim = simulate()
    qwen = client(sim)
    assert create(qwen).choices[0].message.content == str(qwen.ask("Why?", model="flash"))
    assert qwen.ask("And why not?", system="Be brief.", model="flash").text == create(
        qwen,
        [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": [{"type": "text", "text": "And why not?"}]}],
    ).choices[0].message.content  # fmt: skip
    assert sim.ledger.count("asked") == 2


def test_what_a_client_was_made_with_holds_here_too(simulate, client):
    sim = simulate()
    qwen = client(sim, model="flash", system="Be brief.", temperature=0.25)
    answer = qwen.ask("Why?")
    assert create(qwen, model="").qwennb["key"] == answer.key
    assert create(qwen, temperature=0.75).qwennb["key"] != answer.key
    assert sim.ledger.last().body["messages"][0] == {"role": "system", "content": "Be brief."}


def test_a_picture_given_as_data_is_the_same_picture_given_as_bytes(simulate, client):
    sim = simulate()
    qwen = client(sim, model="flash")
    parts = [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": uri(png())}}]
    reply = create(qwen, [{"role": "user", "content": parts}])
    assert qwen.ask("What is it?", images=[png()]).key == reply.qwennb["key"]
    assert sim.ledger.count("asked") == 1
    bounded = client(sim, model="flash", max_pixels=100_000)
    assert (
        create(bounded, [{"role": "user", "content": parts}]).qwennb["key"]
        == bounded.ask("What is it?", images=[Image(png(), max_pixels=100_000)]).key
    )


def test_a_picture_given_as_a_url_is_passed_on_and_never_fetched(simulate, client):
    sim = simulate()
    url = "https://example.org/cat.png"
    create(client(sim), [{"role": "user", "content": [
        {"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}
    ]}])  # fmt: skip
    assert sim.ledger.last().body["messages"][0]["content"][1] == {
        "type": "image_url",
        "image_url": {"url": url},
    }


@pytest.mark.parametrize("path", ["{file}", "file://{file}", "{file}#https://"])
def test_a_path_in_a_body_opens_no_file(simulate, client, tmp_path, path):
    sim = simulate()
    (tmp_path / "secret.png").write_bytes(png())
    parts = [{"type": "image_url", "image_url": {"url": path.format(file=tmp_path / "secret.png")}}]
    with pytest.raises(openai.BadRequestError):
        create(client(sim), [{"role": "user", "content": parts}])
    assert sim.ledger.count("arrived") == 0


def test_a_conversation_with_tools_has_the_key_that_a_chat_gives_it(simulate, client):
    def weather(city: str) -> str:
        """The weather in a city."""
        return f"rain in {city}"

    script = [
        Reply(None, reasoning="I must look.", tool_calls=[Called("weather", {"city": "Bonn"}, id="c1")]),
        "It rains.",
    ]
    sim = simulate(script=script)
    qwen = client(sim, model="flash")
    chat = qwen.chat(tools=[weather])
    assert str(chat.ask("How is it in Bonn?")) == "It rains."
    messages = [{"role": "user", "content": "How is it in Bonn?"}]
    first = create(qwen, messages, tools=[WEATHER]).choices[0]
    assert first.finish_reason == "tool_calls" and first.message.content is None
    call = first.message.tool_calls[0]
    assert (call.id, call.function.name, json.loads(call.function.arguments)) == (
        "c1",
        "weather",
        {"city": "Bonn"},
    )
    messages += [first.message, {"role": "tool", "tool_call_id": call.id, "content": "rain in Bonn"}]
    assert create(qwen, messages, tools=[WEATHER]).choices[0].message.content == "It rains."
    assert sim.ledger.count("asked") == 2


def test_a_call_of_a_tool_nobody_has_is_handed_back_all_the_same(simulate, client):
    sim = simulate(script=[Reply(None, tool_calls=[Called("teleport", {})])])
    reply = create(client(sim), tools=[WEATHER])
    assert reply.choices[0].message.tool_calls[0].function.name == "teleport"
    assert sim.ledger.count("asked") == 1


# ---------------------------------------------------------------------- replies and streams


@pytest.mark.parametrize("dialect", ["openrouter", "dashscope", "vllm", "llama.cpp"])
def test_a_hit_is_the_very_reply_that_came_live(simulate, client, dialect):
    qwen = client(simulate(dialect), model="9b" if dialect in ("vllm", "llama.cpp") else "flash")
    options = (
        {} if dialect == "dashscope" else {"logprobs": True, "top_logprobs": 2} if dialect == "vllm" else {}
    )
    live, hit = create(qwen, model="", **options), create(qwen, model="", **options)
    assert hit.to_dict() == live.to_dict()
    assert live.object == "chat.completion" and live.choices[0].finish_reason == "stop"
    assert live.usage.prompt_tokens + live.usage.completion_tokens == live.usage.total_tokens > 0
    if options:
        tokens = live.choices[0].logprobs.content
        assert "".join(t.token for t in tokens).strip() and len(tokens[0].top_logprobs) == 2


def said(stream):
    """What a stream told: text, reasoning, finish reasons, usage, number of chunks."""
    text, reasoning, ends, usage, count = "", "", [], None, 0
    for chunk in stream:
        count += 1
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            reasoning += getattr(choice.delta, "reasoning_content", None) or ""
            ends += [choice.finish_reason] if choice.finish_reason else []
    return text, reasoning, ends, usage, count


@pytest.mark.parametrize("dialect", ["openrouter", "dashscope", "vllm"])
def test_a_stream_brings_what_the_whole_reply_has(simulate, client, dialect):
    script = [Reply("one two three", reasoning="let me see", chunks=["one ", "two ", "three"])]
    sim = simulate(dialect, script=script)
    qwen = client(sim)
    streaming = {"stream": True, "stream_options": {"include_usage": True}}
    live = said(create(qwen, model="", **streaming))
    hit = said(create(qwen, model="", **streaming))
    whole = create(qwen, model="")
    assert live[:4] == hit[:4]
    assert live[0] == whole.choices[0].message.content == "one two three"
    assert live[1] == (getattr(whole.choices[0].message, "reasoning_content", None) or "")
    assert live[2] == ["stop"] and live[3].to_dict() == whole.usage.to_dict()
    assert live[4] > hit[4]  # it came in pieces, and a hit in one
    assert sim.ledger.count("asked") == 1


def test_a_stream_ends_with_its_usage_only_when_asked_and_with_done_always(simulate, client):
    qwen = client(simulate())
    for options, has_usage in (({}, False), ({"stream_options": {"include_usage": True}}, True)):
        for _ in ("live", "hit"):
            raw = qwen.openai.chat.completions.with_raw_response.create(
                model="flash", messages=ASK, stream=True, **options
            )
            events = b"".join(raw.http_response.iter_bytes()).split(b"\n\n")
            assert raw.headers["content-type"] == "text/event-stream"
            assert events[-2:] == [b"data: [DONE]", b""]
            data = [json.loads(event.removeprefix(b"data: ")) for event in events[:-2]]
            assert ("usage" in data[-1] and data[-1]["choices"] == []) is has_usage
            assert data[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
            assert len({(d["id"], d["created"], d["model"]) for d in data}) == 1


def test_tools_called_in_a_stream_arrive_whole(simulate, client):
    calls = [Called("weather", {"city": city}, id=city) for city in ("Bonn", "Ulm")]
    sim = simulate(script=[Reply(None, tool_calls=calls)])
    qwen = client(sim)
    for _ in ("live", "hit"):
        with qwen.openai.chat.completions.stream(model="flash", messages=ASK, tools=[WEATHER]) as stream:
            made = stream.get_final_completion().choices[0]
        assert made.finish_reason == "tool_calls"
        assert [(c.id, c.function.arguments) for c in made.message.tool_calls] == [
            (c.id, c.text) for c in calls
        ]
    assert sim.ledger.count("asked") == 1


def test_parse_gives_the_pydantic_value_and_a_hit_gives_it_again(simulate, client):
    class Order(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="forbid")
        item: str
        amount: int

    sim = simulate(script=['{"item": "tea", "amount": 2}'])
    qwen = client(sim, model="flash")
    for _ in ("live", "hit"):
        reply = qwen.openai.chat.completions.parse(model="flash", messages=ASK, response_format=Order)
        assert reply.choices[0].message.parsed == Order(item="tea", amount=2)
    with qwen.openai.chat.completions.stream(model="flash", messages=ASK, response_format=Order) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == Order(item="tea", amount=2)
    assert qwen.ask("Why?", schema=Order).data == Order(item="tea", amount=2)
    assert sim.ledger.count("asked") == 1


def test_json_object_is_passed_on_as_it_is(simulate, client):
    sim = simulate("dashscope")
    create(client(sim), [{"role": "user", "content": "Some JSON, please."}], response_format={"type": "json_object"},
           extra_body={"enable_thinking": False})  # fmt: skip
    assert sim.ledger.last().body["response_format"] == {"type": "json_object"}


def test_the_asynchronous_client_gives_the_same_and_shares_the_cache(simulate, client):
    sim = simulate()
    qwen = client(sim)

    async def ask() -> tuple[str, str, object]:
        door = qwen.openai_async
        whole = await door.chat.completions.create(model="flash", messages=ASK)
        pieces = [
            c async for c in await door.chat.completions.create(model="flash", messages=ASK, stream=True)
        ]
        other = [c async for c in await door.chat.completions.create(
            model="flash", messages=[{"role": "user", "content": "Else?"}], stream=True)]  # fmt: skip
        parsed = await door.chat.completions.create(
            model="flash", messages=[{"role": "user", "content": "Else?"}]
        )
        text = "".join(c.choices[0].delta.content or "" for c in pieces if c.choices)
        live = "".join(c.choices[0].delta.content or "" for c in other if c.choices)
        assert live == parsed.choices[0].message.content
        return whole.choices[0].message.content, text, whole.qwennb["key"]

    whole, streamed, key = asyncio.run(ask())
    assert whole == streamed == create(qwen).choices[0].message.content
    assert key == qwen.ask("Why?", model="flash").key
    assert sim.ledger.count("asked") == 2


def test_many_at_once_are_asked_at_once_and_a_twin_joins(simulate, client):
    sim = simulate(latency=0.2)
    qwen = client(sim)

    async def ask() -> list[object]:
        door = qwen.openai_async
        questions = [[{"role": "user", "content": f"Question {i % 4}"}] for i in range(8)]
        return await asyncio.gather(
            *(door.chat.completions.create(model="flash", messages=q) for q in questions)
        )

    replies = asyncio.run(ask())
    assert [r.id for r in replies[:4]] == [r.id for r in replies[4:]]
    assert sim.ledger.count("asked") == 4 and sim.ledger.peak > 1


def test_leaving_a_stream_early_ends_the_asking(simulate, client):
    pieces = [f"{i} " for i in range(200)]
    script = [Reply("".join(pieces), reasoning="", chunks=pieces, chunk_delay=0.05)] * 2
    sim = simulate("vllm", script=script)
    qwen = client(sim)
    stream = create(qwen, model="", stream=True)
    next(iter(stream))
    stream.close()
    sim.ledger.wait_for(1, "abandoned")

    async def leave() -> None:
        door = qwen.openai_async
        async with await door.chat.completions.create(
            model="", messages=[{"role": "user", "content": "Else?"}], stream=True
        ) as stream:
            async for _ in stream:
                break

    asyncio.run(leave())
    sim.ledger.wait_for(2, "abandoned")


# ---------------------------------------------------------------------- refusals and failures


@pytest.mark.parametrize(
    ("fault", "kind", "status"),
    [
        ("401", openai.AuthenticationError, 401),
        ("402", openai.APIStatusError, 402),
        ("403", openai.PermissionDeniedError, 403),
        ("404", openai.NotFoundError, 404),
        ("422", openai.UnprocessableEntityError, 422),
        ("400", openai.BadRequestError, 400),
        ("content_filter", openai.BadRequestError, 400),
        ("501", openai.InternalServerError, 501),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_an_error_is_the_packages_own_class_with_our_sentence(simulate, client, fault, kind, status, stream):
    sim = simulate()
    sim.fault(fault)
    qwen = client(sim)
    with pytest.raises(openai.APIStatusError) as caught:
        list(create(qwen, stream=stream))
    assert type(caught.value) is kind and caught.value.status_code == status
    assert str(caught.value) == str(caught.value.__cause__) and "openrouter" in str(caught.value)
    assert caught.value.response.json()["error"]["message"] == str(caught.value)


def test_a_stream_that_fails_before_its_first_piece_fails_the_call_itself(simulate, client):
    sim = simulate()
    sim.fault("401")
    qwen = client(sim)
    with pytest.raises(openai.AuthenticationError):
        create(qwen, stream=True)  # not read: a caller's `try` stands around the call

    async def ask() -> None:
        await qwen.openai_async.chat.completions.create(model="flash", messages=ASK, stream=True)

    with pytest.raises(openai.AuthenticationError):
        asyncio.run(ask())


def test_what_the_engine_has_given_up_is_not_asked_again_by_the_package(simulate, client):
    sim = simulate()
    sim.fault("401")
    door = client(sim).openai.with_options(max_retries=5)
    with pytest.raises(openai.AuthenticationError):
        door.chat.completions.create(model="flash", messages=ASK)
    assert sim.ledger.count("asked") == 1


def test_a_timeout_of_the_package_is_a_deadline_here(simulate, client):
    sim = simulate()
    sim.fault("hang")
    with pytest.raises(openai.APITimeoutError, match="Give a longer timeout="):
        create(client(sim), timeout=0.3)


def test_an_answer_that_never_fits_its_schema_is_a_validation_error(simulate, client):
    sim = simulate(script=["no", "no", "no"])
    form = {"type": "json_schema", "json_schema": {"name": "order", "schema": ORDER}}
    with pytest.raises(openai.APIResponseValidationError, match="does not fit"):
        create(client(sim), response_format=form)


def test_a_server_that_is_not_there_is_a_connection_error(simulate, client):
    sim = simulate("vllm")
    qwen = client(sim, model="9b")
    qwen.endpoint  # noqa: B018  (found while it was there)
    sim.stop()
    with pytest.raises(openai.APIConnectionError, match="can't be reached"):
        create(qwen, model="9b")


def test_a_stream_that_breaks_raises_where_it_is_read(simulate, client):
    pieces = [f"{i} " for i in range(40)]
    sim = simulate(script=[Reply("".join(pieces), chunks=pieces, chunk_delay=0.01)] * 9)
    sim.fault("reset_midway")
    stream = create(client(sim), stream=True)
    with pytest.raises(openai.InternalServerError, match="broke"):
        list(stream)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"n": 3}, "extra_body="),
        ({"temperature": 9.0}, "temperature=9.0 is out of range"),
        ({"reasoning_effort": "xhigh"}, "'none', 'low', 'medium', 'high'"),
        ({"reasoning_effort": "low", "extra_body": {"enable_thinking": False}}, "on and off"),
        ({"reasoning_effort": "low", "extra_body": {"thinking_budget": 5}}, "bounded twice"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "Give one of them"),
        ({"top_logprobs": 2}, "needs logprobs"),
        ({"tools": [{"type": "custom", "custom": {"name": "x"}}]}, "custom"),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {}}}, "tool_choice="),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x"}}}, "schema must be"),
        ({"messages": []}, "no question"),
        ({"messages": [{"role": "function", "content": "x"}]}, "role 'function'"),
        ({"messages": [{"role": "user", "content": "x", "name": "Ann"}]}, "`name`"),
        ({"messages": [{"role": "tool", "content": "x"}]}, "tool_call_id"),
        ({"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}, "input_audio"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "cache_control": {}}]}]}, "cache_control"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "1"}]}]}, "function of a tool call"),
    ],
)  # fmt: skip
def test_what_cannot_be_asked_is_refused_before_anything_is_sent(simulate, client, options, sentence):
    sim = simulate()
    with pytest.raises(openai.BadRequestError) as caught:
        create(client(sim), **{"messages": ASK, **options})
    assert sentence in str(caught.value)
    assert sim.ledger.count("arrived") == 0


def test_the_budget_and_the_ledger_hold_here_too(simulate, client):
    sim = simulate()
    qwen = client(sim, budget=0.001)
    direct = {"enable_thinking": False}
    create(qwen, max_tokens=50, extra_body=direct)
    assert 0 < qwen.spent == pytest.approx(sim.ledger.last().usage["cost"])
    with pytest.raises(openai.APIStatusError, match="budget") as caught:
        create(qwen, [{"role": "user", "content": "Else?"}], max_tokens=60_000, extra_body=direct)
    assert caught.value.status_code == 402
    with pytest.raises(openai.BadRequestError, match="can't be kept for /embeddings"):
        qwen.openai.embeddings.create(model="e", input="x")


# ---------------------------------------------------------------------- replay, keys, other routes


def test_in_replay_a_recorded_answer_comes_back_and_a_miss_opens_no_socket(simulate, client, replay):
    sim = simulate()
    live = create(client(sim))
    assert create(replay).to_dict() == live.to_dict()
    with pytest.raises(openai.APIError) as caught:
        create(replay, [{"role": "user", "content": "Never asked"}])
    assert isinstance(caught.value.__cause__, NotRecorded) and "Never asked" in str(caught.value)
    assert not isinstance(caught.value, openai.APIStatusError | openai.APIConnectionError)


@pytest.mark.parametrize("call", [
    lambda door: door.models.list(),
    lambda door: door.embeddings.create(model="e", input="x"),
    lambda door: door.files.create(file=("a.jsonl", b"{}"), purpose="batch"),
    lambda door: door.responses.create(model="m", input="x"),
])  # fmt: skip
def test_in_replay_the_other_routes_are_an_error_and_open_no_socket(replay, call):
    with pytest.raises(openai.APIError) as caught:
        call(replay.openai)
    assert isinstance(caught.value.__cause__, NotRecorded)
    assert not isinstance(caught.value, openai.APIConnectionError)  # which a closed port would have given


def test_the_other_routes_reach_the_endpoint_with_the_real_key(simulate, client):
    sim = simulate("dashscope")
    qwen = client(sim)
    made = qwen.openai.files.create(file=("a.jsonl", b'{"custom_id": "1"}'), purpose="batch")
    assert qwen.openai.files.retrieve(made.id).filename == "a.jsonl"
    assert qwen.openai.files.content(made.id).read() == b'{"custom_id": "1"}'
    assert asyncio.run(listed(qwen.openai_async)) == [made.id]
    with pytest.raises(openai.AuthenticationError):
        client(sim, api_key="sk-wrong").openai.files.list()


class Listener:
    """A socket that answers every request with an empty list, or sends it elsewhere, and keeps what came."""

    def __init__(self, moved_to: str | None = None) -> None:
        self._status = "200 OK" if moved_to is None else f"302 Found\r\nlocation: {moved_to}"
        self.came: list[bytes] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        body = b'{"object": "list", "data": []}'
        head = b"HTTP/1.1 %s\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._socket.accept()
                came = b""
                while b"\r\n\r\n" not in came:
                    came += line.recv(65536)
                self.came.append(came)
                line.sendall(head % (self._status.encode(), len(body)) + body)
                line.close()

    def close(self) -> None:
        self._socket.close()


def test_no_other_route_follows_a_redirect_with_the_key(tmp_path):
    elsewhere = Listener()
    moved = Listener(moved_to=f"{elsewhere.url}/v1/files")
    qwen = Qwen("flash", f"vllm+{moved.url}/v1", api_key="sk-real", cache_dir=tmp_path)
    with pytest.raises(openai.APIStatusError) as caught:
        qwen.openai.files.list()
    assert caught.value.status_code == 302
    with pytest.raises(openai.APIStatusError):
        asyncio.run(listed(qwen.openai_async))
    moved.close()
    elsewhere.close()
    assert elsewhere.came == [] and b"Bearer sk-real" in moved.came[-1]


OTHERS = {
    "OPENAI_CUSTOM_HEADERS": "Authorization: Bearer sk-other\nX-Other: theirs",
    "OPENAI_ORG_ID": "org-other",
    "OPENAI_PROJECT_ID": "proj-other",
    "OPENAI_ADMIN_KEY": "sk-other",
    "OPENAI_API_KEY": "sk-other",
    "OPENAI_BASE_URL": "http://127.0.0.1:1/other",
}
LISTS = """
import sys
from qwennb import Qwen
Qwen("m", f"vllm+{sys.argv[1]}", api_key="sk-real", cache_dir=sys.argv[2]).openai.models.list()
"""


@pytest.mark.slow
def test_nothing_of_another_account_goes_to_the_endpoint(tmp_path):
    listener = Listener()
    command = [sys.executable, "-c", LISTS, listener.url + "/v1", str(tmp_path / "cache")]
    subprocess.run(command, env={**os.environ, **OTHERS}, check=True, timeout=120)
    listener.close()
    listed = next(came.decode().lower() for came in listener.came if b"stainless" in came.lower())
    assert listed.startswith("get /v1/models http") and "authorization: bearer sk-real" in listed
    assert f"host: {listener.url.removeprefix('http://')}" in listed
    for theirs in ("sk-other", "x-other", "org-other", "proj-other", "held-by-qwennb", "qwennb.invalid"):
        assert theirs not in listed


def test_a_client_turned_to_another_address_is_refused(simulate, client):
    sim, other = simulate(), simulate("dashscope")
    door = client(sim).openai.with_options(base_url=other.base_url)
    with pytest.raises(openai.BadRequestError, match="another"):
        door.models.list()
    assert other.ledger.count("arrived") == 0


def test_the_key_is_in_no_attribute_no_text_and_no_error(simulate, client):
    sim = simulate("dashscope", api_key="sk-very-secret-key")
    qwen = client(sim, api_key="sk-very-secret-key")
    door = qwen.openai
    create(qwen)
    door.files.list()
    shown = f"{door!r} {vars(door)!r} {vars(door._client)!r} {door.api_key} {door.default_headers}"
    sim.fault("401")
    with pytest.raises(openai.AuthenticationError) as caught:
        create(qwen, [{"role": "user", "content": "Else?"}])
    assert isinstance(caught.value.__cause__, KeyRefused)
    shown += f"{caught.value!r} {caught.value.request.headers!r} {vars(caught.value)!r}"
    sim.stop()
    with pytest.raises(openai.APIConnectionError) as lost:
        door.files.list()
    shown += repr(lost.value.request.headers) + repr(dict(lost.value.__cause__.request.headers))
    assert "very-secret" not in shown


async def listed(door: openai.AsyncOpenAI) -> list[str]:
    return [file.id async for file in door.files.list()]


@pytest.mark.slow
def test_a_door_left_behind_leaves_no_warning_and_the_next_one_works(simulate, client, recwarn):
    qwen = client(simulate("dashscope"))
    qwen.openai.files.list()
    gc.collect()
    qwen.openai.files.list()
    door = qwen.openai_async
    for _ in ("one loop", "and another"):
        assert asyncio.run(listed(door)) == []
    del door
    gc.collect()
    assert [w for w in recwarn if w.category is ResourceWarning] == []


def test_a_request_value_and_its_body_are_one(simulate, client):
    """What `ask` takes as a Request, the door makes of the body, field by field."""
    from qwennb.client.openai.body import read_body

    question = read_body({"messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "u"},
        {"role": "assistant", "content": None, "reasoning_content": "r", "refusal": None, "annotations": [],
         "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "1", "name": "f", "content": ""},
    ]})  # fmt: skip
    assert question.messages == (
        Message("system", (Text("s"),)),
        Message("user", (Text("u"),)),
        Message("assistant", tool_calls=(ToolCall("1", "f", "{}"),), reasoning="r"),
        Message("tool", (Text(""),), tool_call_id="1"),
    )
    assert Request("m", question.messages).key
