"""Each server's own shape: whole answers, streams, thoughts, usage, tools, side routes."""

import json

import pytest

from qwennb.simulator import MODELS, Options, Reply, ToolCall

from .wire import ask, get, send

THOUGHT = {
    "openrouter": "reasoning",
    "dashscope": "reasoning_content",
    "vllm": "reasoning",
    "sglang": "reasoning_content",
    "mlx-vlm": "reasoning",
    "llama.cpp": "reasoning_content",
    "ollama": "reasoning",
    "lmstudio": "reasoning_content",
}
ON = {"mlx-vlm": {"enable_thinking": True}}
OFF = {
    "openrouter": {"reasoning": {"enabled": False}},
    "dashscope": {"enable_thinking": False},
    "vllm": {"chat_template_kwargs": {"enable_thinking": False}},
    "sglang": {"chat_template_kwargs": {"enable_thinking": False}},
    "mlx-vlm": {"enable_thinking": False},
    "llama.cpp": {"chat_template_kwargs": {"enable_thinking": False}},
    "ollama": {"reasoning_effort": "none"},
    "lmstudio": {"reasoning_effort": "none"},
}
USAGE = {
    "openrouter": {"cost", "is_byok", "prompt_tokens_details", "cost_details", "completion_tokens_details"},
    "dashscope": {"prompt_tokens_details", "completion_tokens_details"},
    "vllm": {"prompt_tokens_details"},
    "sglang": {"prompt_tokens_details", "reasoning_tokens", "completion_tokens_details"},
    "mlx-vlm": {"prompt_tokens_details"},
    "llama.cpp": {"prompt_tokens_details"},
    "ollama": set(),
    "lmstudio": {"completion_tokens_details"},
}
LOOK_UP = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks a word up.",
        "parameters": {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]},
    },
}
DOT = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAgAAAAIACAIAAAB7GkOt"  # the head of a 512 × 512 picture


def thinking(sim):
    return ON.get(sim.dialect, {})


def test_a_whole_answer_says_back_what_was_asked(each):
    heard = ask(each)
    choice = heard.json["choices"][0]
    assert heard.headers["content-type"].startswith("application/json")
    assert heard.json["object"] == "chat.completion"
    assert choice["message"]["content"].endswith("Say hello to Ada.")
    assert choice["finish_reason"] == "stop"


def test_a_stream_carries_the_same_text_and_thought_as_the_whole_answer(each):
    whole, stream = ask(each, **thinking(each)), ask(each, stream=True, **thinking(each))
    field = THOUGHT[each.dialect]
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert stream.done
    message = whole.json["choices"][0]["message"]
    assert message[field]
    assert stream.joined(field).split(" ")[0] == message[field].split(" ")[0]
    assert stream.joined().endswith("Say hello to Ada.")
    reasons = [choice["finish_reason"] for event in stream.events for choice in event["choices"]]
    assert reasons[-1] == "stop"
    assert set(reasons[:-1]) == {None}


def test_the_thought_comes_in_the_servers_own_field_and_no_other(each):
    message = ask(each, **thinking(each)).json["choices"][0]["message"]
    said = {name for name in ("reasoning", "reasoning_content") if message.get(name)}
    assert said == (
        {"reasoning", "reasoning_content"} if each.dialect == "mlx-vlm" else {THOUGHT[each.dialect]}
    )


def test_thinking_can_be_turned_off(each):
    heard = ask(each, **OFF[each.dialect])
    message = heard.json["choices"][0]["message"]
    assert not message.get("reasoning")
    assert not message.get("reasoning_content")
    assert "<think>" not in message["content"]


@pytest.mark.parametrize("dialect", ["openrouter", "sglang", "ollama", "llama.cpp", "lmstudio"])
def test_the_switch_of_dashscope_means_nothing_elsewhere(start, dialect):
    sim = start(dialect)
    assert ask(sim, enable_thinking=False).json["choices"][0]["message"][THOUGHT[dialect]]
    assert "enable_thinking" in sim.ledger.last().ignored


def test_sglang_falls_through_a_reasoning_object_that_says_off(start):
    sim = start("sglang")
    assert ask(sim, reasoning={"enabled": False}).json["choices"][0]["message"]["reasoning_content"]
    assert not ask(sim, reasoning_effort="none").json["choices"][0]["message"]["reasoning_content"]


def test_small_models_do_not_think_unless_told_to(start):
    sim = start("vllm", models=["Qwen/Qwen3.5-2B"])
    body = {"model": "Qwen/Qwen3.5-2B"}
    assert not ask(sim, **body).json["choices"][0]["message"]["reasoning"]
    assert ask(sim, **body, chat_template_kwargs={"enable_thinking": True}).json["choices"][0]["message"][
        "reasoning"
    ]


def test_a_budget_bounds_the_thought(start):
    budgets = {
        "openrouter": {"reasoning": {"max_tokens": 3}},
        "dashscope": {"thinking_budget": 3},
        "vllm": {"thinking_token_budget": 3},
        "mlx-vlm": {"enable_thinking": True, "thinking_budget": 3},
    }
    for dialect, budget in budgets.items():
        message = ask(start(dialect), **budget).json["choices"][0]["message"]
        assert 0 < len(message[THOUGHT[dialect]]) <= 12


def test_usage_has_the_servers_own_details(each):
    usage = ask(each, **thinking(each)).json["usage"]
    totals = {"prompt_tokens", "completion_tokens", "total_tokens"}
    assert usage.keys() == totals | USAGE[each.dialect]
    assert usage["prompt_tokens"] + usage["completion_tokens"] == usage["total_tokens"]


def test_a_stream_ends_with_usage_only_where_the_server_gives_it(each):
    plain = [event for event in ask(each, stream=True).events if event.get("usage")]
    wanted = ask(each, stream=True, stream_options={"include_usage": True}).events
    assert len(plain) == (1 if each.dialect == "openrouter" else 0)
    assert wanted[-1]["choices"] == []
    assert wanted[-1]["usage"]["total_tokens"] > 0


def test_role_stands_in_the_first_delta_only_where_it_does_there(start):
    for dialect, always in (("dashscope", False), ("vllm", False), ("llama.cpp", False), ("mlx-vlm", True)):
        events = ask(start(dialect), stream=True).events
        roles = [bool(event["choices"][0]["delta"].get("role")) for event in events]
        assert roles[0]
        assert all(roles) is always


def test_openrouter_comments_first_names_the_generation_and_says_the_cost(start):
    sim = start("openrouter")
    heard = ask(sim, stream=True)
    assert heard.body.startswith(b": OPENROUTER PROCESSING\n\n")
    identity = heard.events[0]["id"]
    assert heard.headers["x-generation-id"] == identity
    assert identity.startswith("gen-")
    usage = heard.events[-1]["usage"]
    assert usage["cost"] == pytest.approx(
        (usage["prompt_tokens"] * 0.30 + usage["completion_tokens"] * 1.80) / 1e6
    )
    told = get(sim, f"/api/v1/generation?id={identity}").json["data"]
    assert told["total_cost"] == usage["cost"]
    details = heard.events[0]["choices"][0]["delta"]["reasoning_details"]
    assert details[0]["type"] == "reasoning.text"


def test_openrouter_bills_a_long_prompt_at_the_higher_tier(start):
    usage = ask(start("openrouter"), messages=[{"role": "user", "content": "x" * 1_100_000}]).json["usage"]
    assert usage["prompt_tokens"] > 256_000
    assert usage["cost"] == pytest.approx(
        (usage["prompt_tokens"] * 0.375 + usage["completion_tokens"] * 2.25) / 1e6
    )


def test_openrouter_drops_what_the_model_does_not_list(start):
    sim = start("openrouter")
    ask(sim, stop=["hello"], top_k=20)
    assert {"stop", "top_k"} <= sim.ledger.last().ignored
    ask(sim, model="qwen/qwen3.5-9b", stop=["hello"], top_k=20)
    assert {"stop", "top_k"} <= sim.ledger.last().read


def test_openrouters_models_are_priced_by_strings(start):
    data = get(start("openrouter"), "/api/v1/models", key=None).json["data"]
    plus = next(model for model in data if model["id"] == "qwen/qwen3.5-plus-20260420")
    assert plus["pricing"]["prompt"] == "0.0000003"
    assert plus["pricing"]["overrides"][0] == {
        "min_prompt_tokens": 256_000,
        "prompt": "0.000000375",
        "completion": "0.00000225",
    }
    assert plus["top_provider"]["max_completion_tokens"] == 65_536
    assert "stop" not in plus["supported_parameters"]


def test_dashscope_says_usage_null_on_every_other_chunk(start):
    events = ask(start("dashscope"), stream=True, stream_options={"include_usage": True}).events
    assert all(event["usage"] is None for event in events[:-1])
    assert events[-1]["usage"]["completion_tokens_details"]["reasoning_tokens"] > 0


def test_dashscopes_max_tokens_is_for_the_answer_alone(start):
    body = {
        "max_tokens": 2,
        "messages": [{"role": "user", "content": "Tell me much about the sea and its ships."}],
    }
    for dialect, thought in (("dashscope", True), ("vllm", False)):
        choice = ask(start(dialect), **body).json["choices"][0]
        assert choice["finish_reason"] == "length"
        assert (len(choice["message"][THOUGHT[dialect]]) > 8) is thought


def test_without_its_parser_the_thought_stands_in_the_content(start):
    for dialect in ("sglang", "vllm", "llama.cpp"):
        sim = start(dialect, options=Options(reasoning_parser=False))
        for heard in (ask(sim).json["choices"][0]["message"]["content"], ask(sim, stream=True).joined()):
            assert "<think>" not in heard
            assert "\n</think>\n\n" in heard
            assert heard.startswith("The user writes")
    inline = ask(start("lmstudio", options=Options(reasoning_parser=False))).json["choices"][0]["message"][
        "content"
    ]
    assert inline.startswith("<think>\n")


def test_llama_cpp_leaves_the_tags_when_told_to(start):
    content = ask(start("llama.cpp"), reasoning_format="none").json["choices"][0]["message"]["content"]
    assert content.startswith("<think>")
    assert "</think>" in content


def test_llama_cpps_timings_come_with_the_last_chunk_that_has_figures(start):
    sim = start("llama.cpp")
    assert ask(sim).json["timings"]["predicted_n"] > 0
    alone = ask(sim, stream=True).events
    assert [place for place, event in enumerate(alone) if "timings" in event] == [len(alone) - 1]
    told = ask(sim, stream=True, stream_options={"include_usage": True}).events
    assert [place for place, event in enumerate(told) if "timings" in event] == [len(told) - 1]
    assert "logprobs" not in alone[0]["choices"][0]


def test_a_vllm_may_put_the_answer_into_the_thought(start):
    sim = start("vllm", options=Options(reasoning_stray=True))
    heard = ask(sim, stream=True, chat_template_kwargs={"enable_thinking": False})
    assert heard.joined() == ""
    assert heard.joined("reasoning").endswith("Ada.")


def test_a_named_tool_is_called_with_arguments_that_fit(each):
    if each.dialect == "ollama":
        changes = {"messages": [{"role": "user", "content": "Use look_up."}]}
    else:
        changes = {"tool_choice": {"type": "function", "function": {"name": "look_up"}}}
    choice = ask(each, tools=[LOOK_UP], **changes, **OFF[each.dialect]).json["choices"][0]
    call = choice["message"]["tool_calls"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert call["function"]["name"] == "look_up"
    assert isinstance(json.loads(call["function"]["arguments"])["word"], str)


def test_streamed_calls_come_by_index_with_the_name_once_and_arguments_in_pieces(each):
    other = {"type": "function", "function": {**LOOK_UP["function"], "name": "translate"}}
    messages = [{"role": "user", "content": "Use look_up and translate."}]
    body = {"tools": [LOOK_UP, other], "messages": messages, "stream": True, "parallel_tool_calls": True}
    heard = ask(each, **body, **OFF[each.dialect])
    deltas = [call for e in heard.events for c in e["choices"] for call in c["delta"].get("tool_calls") or []]
    names, arguments = {}, {}
    for call in deltas:
        if call["function"].get("name"):
            assert call["index"] not in names
            assert call["id"]
            names[call["index"]] = call["function"]["name"]
        arguments[call["index"]] = arguments.get(call["index"], "") + call["function"]["arguments"]
    assert names == {0: "look_up", 1: "translate"}
    assert len(deltas) > 4
    assert all("word" in json.loads(text) for text in arguments.values())


def test_dashscope_makes_one_call_unless_allowed_several(start):
    other = {"type": "function", "function": {**LOOK_UP["function"], "name": "translate"}}
    messages = [{"role": "user", "content": "Use look_up and translate."}]
    sim = start("dashscope")
    made = ask(sim, tools=[LOOK_UP, other], messages=messages).json["choices"][0]["message"]["tool_calls"]
    assert len(made) == 1


def test_a_tools_result_is_said_back(each):
    call = {"id": "a", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "look_up it"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "forty-two"},
    ]
    choice = ask(each, messages=messages, tools=[LOOK_UP]).json["choices"][0]
    assert "forty-two" in choice["message"]["content"]


def test_llama_cpp_may_leave_a_call_as_bare_json(start):
    sim = start("llama.cpp", options=Options(tool_parser=False))
    messages = [{"role": "user", "content": "Use look_up."}]
    choice = ask(sim, tools=[LOOK_UP], messages=messages, reasoning_format="auto").json["choices"][0]
    assert "tool_calls" not in choice["message"]
    assert choice["finish_reason"] == "stop"
    assert json.loads(choice["message"]["content"])["name"] == "look_up"


SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "size": {"$ref": "#/$defs/Size"},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1},
    },
    "required": ["name", "size", "tags"],
    "$defs": {"Size": {"type": "integer", "minimum": 3, "maximum": 5}},
}


def fits(text):
    value = json.loads(text)
    assert value.keys() == {"name", "size", "tags"}
    assert 3 <= value["size"] <= 5
    assert value["tags"]


def test_an_answer_fits_the_schema_asked_for(each):
    if each.dialect == "dashscope":
        prompt = f"Answer as JSON by this schema: {json.dumps(SCHEMA)}"
        more = {"response_format": {"type": "json_object"}, "messages": [{"role": "user", "content": prompt}]}
    else:
        more = {
            "response_format": {"type": "json_schema", "json_schema": {"name": "thing", "schema": SCHEMA}}
        }
    fits(ask(each, **more, **OFF[each.dialect]).json["choices"][0]["message"]["content"])


def test_each_server_has_its_own_ways_to_bind_an_answer(start):
    ways = [
        ("vllm", {"structured_outputs": {"choice": ["yes", "no"]}}, ("yes", "no")),
        ("vllm", {"structured_outputs": {"regex": "(yes|no)"}}, ("yes", "no")),
        ("sglang", {"regex": "(yes|no)"}, ("yes", "no")),
        ("sglang", {"ebnf": 'root ::= "yes" | "no"'}, ("yes", "no")),
        ("llama.cpp", {"grammar": 'root ::= "yes" | "no"'}, ("yes", "no")),
    ]
    for dialect, way, allowed in ways:
        sim = start(dialect)
        said = {ask(sim, **way, seed=seed).json["choices"][0]["message"]["content"] for seed in range(12)}
        assert said == set(allowed)
    for way in ({"json_schema": SCHEMA}, {"response_format": {"type": "json_object", "schema": SCHEMA}}):
        fits(ask(start("llama.cpp"), **way).json["choices"][0]["message"]["content"])
    assert (
        not ask(start("ollama"), grammar='root ::= "yes"')
        .json["choices"][0]["message"]["content"]
        .startswith("yes")
    )


def test_several_choices_where_the_server_gives_them(start):
    choices = ask(start("vllm"), n=3).json["choices"]
    assert [choice["index"] for choice in choices] == [0, 1, 2]
    assert len({choice["message"]["content"] for choice in choices}) == 3
    assert len(ask(start("openrouter"), n=3).json["choices"]) == 1


def test_logprobs_where_the_field_is_read(start):
    content = ask(start("vllm"), logprobs=True, top_logprobs=2).json["choices"][0]["logprobs"]["content"]
    assert all(token["logprob"] <= 0 and len(token["top_logprobs"]) == 2 for token in content)
    assert ask(start("dashscope"), logprobs=True).json["choices"][0]["logprobs"] is None
    streamed = ask(start("llama.cpp"), logprobs=True, stream=True).events
    assert any(event["choices"][0].get("logprobs") for event in streamed)


def test_a_picture_costs_tokens_by_its_size(start):
    parts = [{"type": "text", "text": "Look."}, {"type": "image_url", "image_url": {"url": DOT}}]
    usage = ask(start("dashscope"), messages=[{"role": "user", "content": parts}]).json["usage"]
    assert usage["prompt_tokens_details"]["image_tokens"] == 258
    told = ask(start("vllm"), messages=[{"role": "user", "content": parts}]).json["usage"]
    assert told["prompt_tokens_details"]["multimodal_tokens"] == {"image": 258}


def test_stop_cuts_where_it_is_read(start):
    for dialect, cut in (("dashscope", True), ("mlx-vlm", False)):
        content = ask(start(dialect), stop=["Ada"]).json["choices"][0]["message"]["content"]
        assert ("Ada" not in content) is cut


PROBES = {
    "openrouter": ("/api/v1/key", "data"),
    "dashscope": ("/compatible-mode/v1/models", "data"),
    "vllm": ("/version", "version"),
    "sglang": ("/get_model_info", "model_path"),
    "mlx-vlm": ("/v1/settings", "current"),
    "llama.cpp": ("/props", "default_generation_settings"),
    "ollama": ("/api/version", "version"),
    "lmstudio": ("/api/v0/models", "data"),
}


def test_each_server_is_told_apart_by_a_route_that_the_others_lack(each):
    for dialect, (path, field) in PROBES.items():
        heard = get(each, path)
        found = heard.status == 200 and heard.body.startswith(b"{") and field in heard.json
        assert found is (dialect == each.dialect)


def test_model_lists_name_the_models(each):
    path = {"openrouter": "/api/v1/models", "dashscope": "/compatible-mode/v1/models"}.get(
        each.dialect, "/v1/models"
    )
    heard = get(each, path)
    assert [model["id"] for model in heard.json["data"]] == [model.id for model in MODELS[each.dialect]]


def test_lm_studio_answers_200_to_anything_and_the_others_404(each):
    heard = get(each, "/nothing/here")
    assert heard.status == (200 if each.dialect == "lmstudio" else 404)


def test_tokens_can_be_counted_where_the_server_counts(start):
    body = json.dumps({"prompt": "12345678", "content": "12345678"})
    assert send(start("vllm"), "POST", "/tokenize", body).json["count"] == 2
    assert len(send(start("llama.cpp"), "POST", "/tokenize", body).json["tokens"]) == 2
    asked = json.dumps({"messages": [{"role": "user", "content": "12345678"}]})
    told = send(start("llama.cpp"), "POST", "/v1/chat/completions/input_tokens", asked).json
    assert told["input_tokens"] == 2 + 5 + 3 + 2


def test_a_scripted_call_and_a_null_finish_come_as_they_are(start):
    said = Reply(text=None, tool_calls=[ToolCall("look_up", '{"word": "sea"')], usage={"cached_tokens": 7})
    heard = ask(start("dashscope", script=[said])).json
    assert heard["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"word": "sea"'
    assert heard["choices"][0]["message"]["content"] == ""
    assert heard["usage"]["prompt_tokens_details"]["cached_tokens"] == 7
    events = ask(start("ollama", options=Options(null_finish=True)), stream=True).events
    assert {choice["finish_reason"] for event in events for choice in event["choices"]} == {None}
