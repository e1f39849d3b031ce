"""A place: the names of its models, under what its answers are filed, and what a request may cost there."""

from dataclasses import replace
from urllib.parse import urlsplit

import pytest

from qwennb.answer import Usage
from qwennb.config import Secret
from qwennb.endpoints import Endpoint, most_tokens
from qwennb.endpoints.dialects import DashScope, Dialect, LlamaCpp, Ollama, OpenRouter, Vllm
from qwennb.errors import BadInput, KeyRefused, UnknownModel
from qwennb.request import Image, Message, Request, Schema, Settings, Text, Tool

from .kit import png

OPENROUTER = Endpoint("openrouter", "https://openrouter.ai/api/v1", OpenRouter(), hosted=True)
DASHSCOPE = Endpoint(
    "dashscope-intl", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", DashScope(), hosted=True
)
VLLM = Endpoint("vllm", "http://127.0.0.1:8000/v1", Vllm(), hosted=False, served=("Qwen/Qwen3.5-9B",))
LLAMA = Endpoint(
    "llama.cpp",
    "http://127.0.0.1:8080/v1",
    LlamaCpp(),
    hosted=False,
    served=("/models/Qwen3.5-9B-Q4_K_M.gguf",),
)
OLLAMA = Endpoint(
    "ollama", "http://127.0.0.1:11434/v1", Ollama(), hosted=False, served=("llama3:8b", "qwen3.5:9b")
)
UNKNOWN = Endpoint("models.example", "https://models.example/v1", Dialect(), hosted=True)


def request(text="Hello", model="qwen3.5-flash", **settings):
    return Request(model, (Message("user", (Text(text),)),), Settings.of(**settings))


# ---------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("endpoint", "wanted", "name", "sent"),
    [
        (OPENROUTER, None, "qwen3.5-flash", "qwen/qwen3.5-flash-02-23"),
        (OPENROUTER, "plus", "qwen3.5-plus", "qwen/qwen3.5-plus-20260420"),
        (OPENROUTER, "qwen/qwen3.5-9b", "qwen3.5-9b", "qwen/qwen3.5-9b"),
        (DASHSCOPE, "plus", "qwen3.5-plus", "qwen3.5-plus"),
        (VLLM, None, "qwen3.5-9b", "Qwen/Qwen3.5-9B"),
        (VLLM, "9b", "qwen3.5-9b", "Qwen/Qwen3.5-9B"),
        (LLAMA, None, "qwen3.5-9b", "/models/Qwen3.5-9B-Q4_K_M.gguf"),
        (OLLAMA, None, "qwen3.5-9b", "qwen3.5:9b"),
        (OLLAMA, "llama3:8b", "llama3:8b", "llama3:8b"),
        (UNKNOWN, "own-model", "own-model", "own-model"),
        (replace(VLLM, served=()), "9b", "qwen3.5-9b", "Qwen/Qwen3.5-9B"),
    ],
)
def test_one_name_is_each_places_own_id(endpoint, wanted, name, sent):
    assert endpoint.model_name(wanted) == name
    assert endpoint.model_id(name) == sent


@pytest.mark.parametrize(
    ("endpoint", "wanted", "words"),
    [
        (DASHSCOPE, "9b", "qwen3.5-9b"),
        (OPENROUTER, "qwen3.5-plsu", "qwen3.5-plus"),
        (
            replace(VLLM, chosen_by_user=False),
            "27b",
            r"does not serve `qwen3.5-27b`.*It serves `Qwen/Qwen3.5-9B`",
        ),
        (LLAMA, "27b", r"serves `Qwen3.5-9B-Q4_K_M.gguf`, not `qwen3.5-27b`"),
        (replace(OLLAMA, chosen_by_user=False), "lama3:8b", "did you mean `llama3:8b`"),
        (UNKNOWN, None, "has no default model. Give model="),
        (replace(VLLM, served=()), None, "does not answer, or does not say which model it serves"),
        (replace(VLLM, served=("a", "b")), None, "serves several models.*`a`, `b`. Choose one"),
    ],
)
def test_a_model_that_is_not_there_is_told_with_those_that_are(endpoint, wanted, words):
    with pytest.raises(UnknownModel, match=words) as caught:
        endpoint.model_id(endpoint.model_name(wanted))
    assert "/models/" not in str(caught.value)


# ---------------------------------------------------------------------- identity


def test_a_provider_is_told_by_its_name_and_a_server_by_its_kind_and_model():
    assert OPENROUTER.identity("qwen3.5-flash") == "openrouter"
    assert VLLM.identity("qwen3.5-9b") == "vllm:Qwen/Qwen3.5-9B"
    assert replace(VLLM, base_url="http://127.0.0.1:9000/v1").identity("qwen3.5-9b") == VLLM.identity(
        "qwen3.5-9b"
    )
    assert replace(VLLM, served=("Qwen/Qwen3.5-9B-FP8",)).identity("qwen3.5-9b") != VLLM.identity(
        "qwen3.5-9b"
    )


def test_no_folder_of_anybodys_machine_is_in_an_identity():
    for served in (
        "/home/ada/models/Qwen3.5-9B-Q4_K_M.gguf",
        r"C:\models\Qwen3.5-9B-Q4_K_M.gguf",
        "~/Qwen3.5-9B-Q4_K_M.gguf",
    ):
        assert replace(LLAMA, served=(served,)).identity("qwen3.5-9b") == "llama.cpp:Qwen3.5-9B-Q4_K_M.gguf"


def test_a_place_shows_its_name_and_host_and_never_its_key():
    assert str(OPENROUTER) == "openrouter"
    assert str(VLLM) == "vllm at 127.0.0.1:8000"
    assert "sk-hidden" not in repr(replace(VLLM, key=Secret("sk-hidden")))


# ---------------------------------------------------------------------- what goes out


def test_the_call_has_what_the_dialect_wrote():
    wire = OPENROUTER.write(request(), stream=True)
    call = replace(OPENROUTER, key=Secret("sk-hidden")).call(wire)
    assert call.url == "https://openrouter.ai/api/v1/chat/completions"
    assert call.body["model"] == "qwen/qwen3.5-flash-02-23"
    assert call.body["stream"] is True
    assert "sk-hidden" not in repr(call)


def test_a_key_that_a_server_repeats_is_taken_out_of_the_error():
    endpoint = replace(VLLM, key=Secret("hunter2hunter2"))
    error = endpoint.call(endpoint.write(request(model="qwen3.5-9b"), stream=False)).read_error(
        401, {}, b'{"error": {"message": "hunter2hunter2 is not the key"}}'
    )
    assert isinstance(error, KeyRefused)
    assert "hunter2" not in str(error)


def test_what_the_user_adds_is_merged_into_what_is_sent():
    asked = request(
        model="qwen3.5-9b", thinking=False, extra={"chat_template_kwargs": {"own": 1}, "user": "me"}
    )
    body = VLLM.write(asked, stream=False).body
    assert body["chat_template_kwargs"] == {"enable_thinking": False, "own": 1}
    assert body["user"] == "me"


# ---------------------------------------------------------------------- money


def test_what_the_server_says_it_cost_counts_before_the_table():
    usage = Usage(input=1_000_000, output=0)
    assert OPENROUTER.cost("qwen3.5-flash", usage, 0.5) == 0.5
    assert not OPENROUTER.cost("qwen3.5-flash", usage, 0.5).estimated
    assert OPENROUTER.cost("qwen3.5-flash", usage, None).estimated
    assert UNKNOWN.cost("own-model", usage, None) is None
    assert VLLM.cost("qwen3.5-9b", usage, None) == 0


def test_the_bound_is_above_what_any_answer_can_cost():
    bound = DASHSCOPE.worst_cost(request("word " * 1000, max_tokens=100, thinking=False))
    worst = Usage(input=len("word " * 1000), output=100)
    assert bound >= DASHSCOPE.cost("qwen3.5-flash", worst, None)
    assert DASHSCOPE.worst_cost(request(max_tokens=100)) > DASHSCOPE.worst_cost(
        request(max_tokens=100, thinking=False)
    )
    assert VLLM.worst_cost(request(model="qwen3.5-9b")) == 0


def test_a_choice_has_a_small_bound_of_its_own():
    asked = replace(request(thinking=False), choices=("yes", "no"))
    assert DASHSCOPE.worst_cost(asked) < DASHSCOPE.worst_cost(request(thinking=False)) / 100


def test_a_budget_where_the_price_is_unknown_is_refused():
    with pytest.raises(BadInput, match=r"budget= can't be kept at models.example: the price of own-model"):
        UNKNOWN.worst_cost(request(model="own-model", max_tokens=5))


def test_hanging_up_saves_nothing_where_alibaba_serves():
    assert DASHSCOPE.bills_cancelled("qwen3.5-flash")
    assert OPENROUTER.bills_cancelled("qwen3.5-flash")
    assert not OPENROUTER.bills_cancelled("qwen3.5-9b")
    assert not VLLM.bills_cancelled("qwen3.5-9b")


def test_no_request_has_more_tokens_than_are_counted_for_it():
    def look_up(word: str) -> str:
        """Looks a word up."""
        return word

    plain = request("Grüße, 世界")
    assert most_tokens(plain) >= len("Grüße, 世界".encode())
    bare = most_tokens(plain)
    picture = Message("user", (Text("x"), Image(png())))
    assert most_tokens(replace(plain, messages=(picture,))) > 16_000
    assert most_tokens(replace(plain, tools=(Tool.of(look_up),))) > bare
    assert most_tokens(replace(plain, schema=Schema.of("name, age int"))) > bare


# ---------------------------------------------------------------------- what the simulator alone is told


def test_only_a_simulator_is_told_which_draw_a_question_is(simulate):
    sim = simulate("vllm")
    port = urlsplit(sim.base_url).port
    told = [
        replace(VLLM, base_url=url).write(request(sample=2), stream=False).headers
        for url in (sim.base_url, f"http://127.0.0.1:{port + 1}/v1", VLLM.base_url)
    ]
    sim.stop()
    told.append(replace(VLLM, base_url=sim.base_url).write(request(sample=2), stream=False).headers)
    assert told == [{"X-Sample": "2"}, {}, {}, {}]
