"""Reading a reply: any JSON that a server may send gives a chunk or one of our errors, in every dialect."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwennb.endpoints.call import Payload
from qwennb.endpoints.dialects import (
    DashScope,
    Dialect,
    LlamaCpp,
    LmStudio,
    MlxVlm,
    Ollama,
    OpenRouter,
    Sglang,
    Vllm,
)
from qwennb.endpoints.dialects.selfhosted import bare_calls
from qwennb.errors import EndpointError

DIALECTS = [
    kind() for kind in (Dialect, DashScope, LlamaCpp, LmStudio, MlxVlm, Ollama, OpenRouter, Sglang, Vllm)
]
NAMES = [
    "choices", "delta", "message", "content", "reasoning", "reasoning_content", "reasoning_details", "tool_calls",
    "function", "name", "arguments", "index", "id", "usage", "prompt_tokens", "prompt_tokens_details", "cached_tokens",
    "multimodal_tokens", "cost", "logprobs", "top_logprobs", "token", "logprob", "finish_reason", "annotations",
    "url_citation", "url", "title", "search_info", "search_results", "text", "type", "model", "error",
]  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=20,
)
CHOICE = st.dictionaries(st.sampled_from(["delta", "message", "finish_reason", "logprobs"]), JSON, max_size=4)
WHOLE = st.fixed_dictionaries(
    {"choices": st.lists(CHOICE, max_size=2)}, optional={"usage": JSON, "model": JSON}
)


@settings(max_examples=300, deadline=None)
@given(JSON | WHOLE, st.booleans())
@pytest.mark.slow
def test_a_payload_of_any_shape_is_a_chunk_or_one_of_our_errors(data, last):
    for dialect in DIALECTS:
        try:
            chunk = dialect.read(Payload(data, {}, last), "here")
        except EndpointError as error:
            assert error.maybe_billed
        else:
            assert isinstance(chunk.text, str)
            assert isinstance(chunk.reasoning, str)
            assert chunk.ended is last


def test_the_thought_is_read_from_whichever_field_and_never_from_two():
    def thought(**said):
        return Dialect().read(Payload({"choices": [{"delta": said}]}), "here").reasoning

    assert thought(reasoning="a") == thought(reasoning_content="a") == "a"
    assert thought(reasoning="a", reasoning_content="a") == "a"
    assert thought(reasoning=None, reasoning_content="b") == "b"
    assert thought(reasoning="", reasoning_content="b") == "b"
    assert thought() == ""


@pytest.mark.parametrize("reason", [None, "", "null"])
def test_an_answer_under_way_has_no_ending(reason):
    payload = Payload({"choices": [{"delta": {"content": "x"}, "finish_reason": reason}]})
    assert Dialect().read(payload, "here").finish_reason is None


def test_an_ending_that_nobody_knows_is_not_taken_for_a_whole_answer():
    payload = Payload({"choices": [{"delta": {}, "finish_reason": "abort"}]})
    assert Dialect().read(payload, "here").finish_reason == "aborted"


def test_pages_that_a_search_found_are_named():
    noted = {
        "annotations": [{"type": "url_citation", "url_citation": {"url": "https://a.example", "title": "A"}}]
    }
    (source,) = OpenRouter().read(Payload({"choices": [{"message": noted}]}), "here").sources
    assert (source.title, source.url) == ("A", "https://a.example")
    found = {
        "choices": [],
        "search_info": {"search_results": [{"url": "https://b.example"}, {"title": "no url"}]},
    }
    (source,) = DashScope().read(Payload(found), "here").sources
    assert (source.title, source.url) == ("https://b.example", "https://b.example")


CALL = '{"name": "look_up", "arguments": {"word": "river"}}'
GOOD = [
    CALL,
    f"  {CALL}\n",
    f"```json\n{CALL}\n```",
    f"```\n{CALL}\n```",
    f"<tool_call>\n{CALL}\n</tool_call>",
    f"<tool_call>{CALL}",
    '{"arguments": {"word": "river"}, "name": "look_up"}',
    '{"name": "look_up", "arguments": "{\\"word\\": \\"river\\"}"}',
]
NO_CALLS = [
    "",
    "river",
    f"I would call {CALL}",
    f"{CALL} and then tell you.",
    f"<tool_call>{CALL}</tool_call> Done.",
    '{"name": "other", "arguments": {}}',
    '{"name": "look_up"}',
    '{"name": "look_up", "arguments": [1]}',
    '{"name": "look_up", "arguments": "river"}',
    '{"name": "look_up", "arguments": {}, "why": "because"}',
    '{"name": ["look_up"], "arguments": {}}',
    f"[{CALL}]",
    f"{CALL}{{}}",
    CALL[:-2],
    "[" * 5000,
    "null",
]


@pytest.mark.parametrize("text", GOOD)
def test_a_call_that_is_all_of_the_text_is_a_call(text):
    (call,) = bare_calls(text, {"look_up"})
    assert (call.name, call.arguments, bool(call.id)) == ("look_up", '{"word":"river"}', True)


@pytest.mark.parametrize("text", NO_CALLS)
def test_anything_else_is_text(text):
    assert bare_calls(text, {"look_up"}) == ()


@pytest.mark.parametrize(
    "text", [f"{CALL}\n{CALL}", f"<tool_call>{CALL}</tool_call>\n<tool_call>{CALL}</tool_call>"]
)
def test_several_calls_have_ids_of_their_own(text):
    one, two = bare_calls(text, {"look_up"})
    assert one.id != two.id
