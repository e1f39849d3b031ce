"""Every row refuses what it says it refuses, in its server's shape, and lets the same request pass without its patch."""

import json

import pytest

from qwennb.simulator import LEFT_OUT, MODELS, REFUSALS, Options, Simulator

from .wire import ask, valid

CASES = [(row, dialect) for row in REFUSALS for dialect in row.dialects]


def body_of(row, dialect):
    if "" in row.patch:
        return row.patch[""]
    body = valid(dialect, **{name: value for name, value in row.patch.items() if value is not LEFT_OUT})
    return {name: value for name, value in body.items() if row.patch.get(name) is not LEFT_OUT}


def shape(dialect, problem):
    """The keys of an error in each server's own shape."""
    if dialect == "openrouter":
        return {"error"}, problem["error"]["message"]
    if dialect == "sglang":
        return {"object", "message", "type", "param", "code"}, problem["message"]
    if dialect == "mlx-vlm":
        detail = problem["detail"]
        return {"detail"}, detail if isinstance(detail, str) else detail[0]["msg"]
    if dialect == "dashscope":
        return {"error", "request_id"}, problem["error"]["message"]
    return {"error"}, problem["error"]["message"]


@pytest.mark.parametrize(("row", "dialect"), CASES, ids=lambda case: getattr(case, "name", case))
def test_a_row_refuses_its_example_and_nothing_without_it(row, dialect):
    options = Options(**row.options)
    with Simulator(dialect, api_key="sk-sim", options=options) as sim:
        heard = ask(sim, body_of(row, dialect), headers=dict(row.headers))
        refused = sim.ledger.last()
    assert heard.status == row.status
    assert (refused.refusal, refused.status, refused.paid) == (row.name, row.status, False)
    if row.status == 401 and dialect in ("vllm", "sglang"):
        assert heard.json == {"error": "Unauthorized"}
    else:
        keys, message = shape(dialect, heard.json)
        assert keys == heard.json.keys()
        assert message and (not row.message or message == row.message)
    with Simulator(dialect, api_key="sk-sim") as sim:
        model = row.patch.get("model")
        known = {m.id for m in MODELS[dialect]}
        assert ask(sim, valid(dialect, **({"model": model} if model in known else {}))).status == 200


def test_every_row_rests_on_a_section_and_names_its_dialects():
    for row in REFUSALS:
        assert row.section.startswith("§")
        assert row.dialects
        assert row.patch or row.headers or row.options


def test_no_dialect_has_two_rows_that_only_differ_in_order():
    seen = [(row.name, dialect) for row, dialect in CASES]
    assert len(seen) == len(set(seen))


def test_a_key_of_another_region_looks_like_a_wrong_key(start):
    sim = start("dashscope", api_key="sk-beijing")
    heard = ask(sim, headers={"authorization": "Bearer sk-singapore"})
    assert heard.status == 401
    assert heard.json["error"]["code"] == "invalid_api_key"


def test_hosted_servers_want_a_key_even_when_any_will_do(start):
    for dialect, status in (("openrouter", 401), ("dashscope", 401), ("vllm", 200), ("ollama", 200)):
        sim = start(dialect, api_key=None)
        assert ask(sim, headers={"authorization": None}).status == status
        assert ask(sim).status == 200


def test_openrouters_availability_errors_have_no_code(start):
    error = ask(start("openrouter"), model="qwen/nothing").json["error"]
    assert "code" not in error
    assert error["availability"]["code"] == "no_endpoints"


def test_an_overflow_in_llama_cpp_says_the_figures(start):
    sim = start("llama.cpp")
    error = ask(sim, messages=[{"role": "user", "content": "x" * 1_200_000}]).json["error"]
    assert error["type"] == "exceed_context_size_error"
    assert error["n_prompt_tokens"] > error["n_ctx"] == 262_144


def test_ollama_cuts_a_long_prompt_in_silence(start):
    heard = ask(start("ollama"), messages=[{"role": "user", "content": "x" * 400_000}])
    assert heard.status == 200
    assert heard.json["usage"]["prompt_tokens"] == 32_768


def test_the_commercial_models_think_without_a_stream_where_open_ones_refuse(start):
    sim = start("dashscope", options=Options(refuse_plain_thinking=True))
    assert ask(sim, model="qwen3.5-plus", enable_thinking=True).status == 200
    assert ask(sim, model="qwen3.5-27b", enable_thinking=True).status == 400
    assert ask(sim, model="qwen3.5-27b", enable_thinking=True, stream=True).status == 200


def test_llama_cpp_loads_its_model_first(start):
    sim = start("llama.cpp", options=Options(loading=2))
    assert [ask(sim).status for _ in range(3)] == [503, 503, 200]


def test_a_trusting_vllm_takes_a_template(start):
    assert ask(start("vllm", options=Options(trust_request=True)), chat_template="{{ m }}").status == 200


def test_deep_nesting_is_a_refusal_and_not_a_crash(each):
    body = json.dumps(valid(each.dialect))[:-1] + ', "extra": ' + "[" * 100_000 + "]" * 100_000 + "}"
    assert ask(each, body).status in (400, 422)
    assert ask(each).status == 200
