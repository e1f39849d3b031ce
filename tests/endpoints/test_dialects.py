"""Every option, through the client, at every kind of server: what the server read, and what came of it.

The cases are a table: each takes a `Bench`, which is a simulated server of one dialect or a real llama.cpp. Where
servers differ, a second table says how. A field that a server drops in silence must never go out: each case ends with
a look at what the server ignored.
"""

import base64
import io
import json
from contextlib import suppress

import pytest
from PIL import Image

from qwennb import Image as Picture
from qwennb import Qwen, errors
from qwennb.client import QwenWarning
from qwennb.request import Tool
from qwennb.simulator import DIALECTS, Fault, Options, Reply, ToolCall

from .kit import HOSTED, Bench, client, png, simulator
from .real import real_llama_cpp  # noqa: F401  (a fixture)

# A column is a server and a model: at OpenRouter the models list different parameters.
COLUMNS = {
    "openrouter": ("openrouter", None),
    "openrouter plus": ("openrouter", "plus"),
    "openrouter 9b": ("openrouter", "9b"),
    "openrouter 27b": ("openrouter", "27b"),
    **{dialect: (dialect, None) for dialect in DIALECTS if dialect != "openrouter"},
}
OPENROUTER = [column for column in COLUMNS if column.startswith("openrouter")]
SELF_HOSTED = [column for column in COLUMNS if column not in OPENROUTER and column != "dashscope"]
REFUSED = None


def everywhere(path, **others):
    """The field *path* in every column but those in *others* (`_` for a space, a dot or a hyphen)."""
    named = {"".join(c if c.isalnum() else "_" for c in column): column for column in COLUMNS}
    assert set(others) <= set(named)
    return dict.fromkeys(COLUMNS, path) | {named[name]: field for name, field in others.items()}


def only(**columns):
    return everywhere(REFUSED, **columns)


OPEN_SAMPLER = {"openrouter": REFUSED, "openrouter_plus": REFUSED, "openrouter_27b": REFUSED}
SWITCH = "chat_template_kwargs.enable_thinking"
BUDGETS = dict.fromkeys(
    ("openrouter", "openrouter_plus", "openrouter_9b", "openrouter_27b"), "reasoning.max_tokens"
)

# option, what the user gives, where each server reads it, what it reads there where that is not what was given
SAMPLING = [
    ("temperature", 0.5, everywhere("temperature")),
    ("top_p", 0.5, everywhere("top_p")),
    ("top_k", 7, everywhere("top_k", **OPEN_SAMPLER, ollama=REFUSED)),
    ("min_p", 0.25, everywhere("min_p", **OPEN_SAMPLER, dashscope=REFUSED, ollama=REFUSED, lmstudio=REFUSED)),
    ("max_tokens", 64, everywhere("max_tokens")),
    ("seed", 11, everywhere("seed")),
    ("stop", ["END"], everywhere("stop", **OPEN_SAMPLER, mlx_vlm=REFUSED)),
    ("presence_penalty", 0.5, everywhere("presence_penalty")),
    ("frequency_penalty", 0.5, everywhere("frequency_penalty", **OPEN_SAMPLER, dashscope=REFUSED)),
    ("repetition_penalty", 1.25, everywhere("repetition_penalty", **OPEN_SAMPLER, llama_cpp="repeat_penalty", lmstudio="repeat_penalty", ollama=REFUSED)),
    ("logit_bias", {15: -50}, everywhere("logit_bias", **OPEN_SAMPLER, dashscope=REFUSED, ollama=REFUSED)),
]  # fmt: skip
READ_AS = {"logit_bias": {"15": -50}}

OFF = {"openrouter": "reasoning.enabled", "dashscope": "enable_thinking", "mlx-vlm": "enable_thinking"}
OFF |= dict.fromkeys(("vllm", "sglang", "llama.cpp"), SWITCH) | dict.fromkeys(
    ("ollama", "lmstudio"), "reasoning_effort"
)

THINKING = [
    ("low", only(**dict.fromkeys(BUDGETS, "reasoning.effort"), ollama="reasoning_effort", lmstudio="reasoning_effort", dashscope="thinking_budget", vllm="thinking_token_budget", mlx_vlm="thinking_budget")),
    (64, only(**BUDGETS, dashscope="thinking_budget", vllm="thinking_token_budget", mlx_vlm="thinking_budget")),
]  # fmt: skip

# How each server is told the form: (field, value there).
SCHEMA = {
    **dict.fromkeys(OPENROUTER, ("response_format.type", "json_object")),
    **dict.fromkeys(SELF_HOSTED, ("response_format.type", "json_schema")),
    "openrouter plus": ("response_format.type", "json_schema"),
    "dashscope": ("response_format.type", "json_object"),
}
CHOICES = SCHEMA | {
    "vllm": ("structured_outputs.choice", ["ja", "Ja", "nein", "Nein"]),
    "sglang": ("regex", "(ja|Ja|nein|Nein)"),
    "llama.cpp": ("grammar", 'root ::= "ja" | "Ja" | "nein" | "Nein"'),
}
# Where the thought of a turn under way goes back.
THOUGHT_BACK = {
    "openrouter": "reasoning_details",
    "vllm": "reasoning",
    "ollama": "reasoning",
    "mlx-vlm": "reasoning",
} | dict.fromkeys(("dashscope", "sglang", "llama.cpp", "lmstudio"), "reasoning_content")
TOOL_CHOICES = {
    "auto": everywhere("auto", ollama=REFUSED, lmstudio=REFUSED),
    "none": everywhere("none", ollama=REFUSED, lmstudio=REFUSED),
    "required": everywhere("required", dashscope=REFUSED, ollama=REFUSED, lmstudio=REFUSED),
    "look_up": everywhere("named", llama_cpp=REFUSED, ollama=REFUSED, lmstudio=REFUSED),
}


CASES = {}


def case(function):
    CASES[function.__name__] = function
    return function


def refused(bench, option, **given):
    asked = bench.sim.ledger.count("asked")
    with pytest.raises(errors.UnsupportedOption, match=rf"`{option}") as caught:
        bench.qwen.ask("Hello", **given)
    assert bench.sim.ledger.count("asked") == asked
    return str(caught.value)


# ---------------------------------------------------------------------- the cases


@case
def text(bench):
    answer = bench.qwen.ask("What is the capital of {{ country }}?", country="France", max_tokens=200)
    assert answer.text
    if not bench.real:
        assert answer.text.endswith("What is the capital of France?")
    bench.read("messages.0.content", "What is the capital of France?")
    assert answer.finish_reason == "stop"
    assert answer.attempts == 1
    assert answer.served_by


@case
def a_system_text(bench):
    bench.qwen.ask("Hello", system="Be brief.", max_tokens=50)
    bench.read("messages.0.role", "system")
    bench.read("messages.0.content", "Be brief.")


@case
def stream(bench):
    stream = bench.qwen.stream("Tell me three things about rivers.", max_tokens=60, seed=1)
    pieces = list(stream)
    assert len(pieces) > 2
    assert "".join(piece.text for piece in pieces) == stream.answer.text
    assert "".join(piece.reasoning for piece in pieces) == stream.answer.reasoning
    assert stream.answer.usage.output > 2
    bench.read("stream", True)


@case
def many_at_once_go_the_direct_way(bench):
    answers = bench.qwen.ask_many(["One?", "Two?", "One?"], max_tokens=40)
    assert [answer.error for answer in answers] == [None] * 3
    assert answers[0].text == answers[2].text
    if not bench.real:
        assert bench.sim.ledger.count("asked") == 2
        streamed = [bool(entry.body.get("stream")) for entry in bench.sim.ledger.asks()]
        # DashScope cuts a long plain reply after five minutes, and still says 200.
        assert streamed == [bench.dialect == "dashscope"] * 2


@case
def thinking_on(bench):
    answer = bench.qwen.ask("Hello", thinking=True, max_tokens=2000)
    assert answer.reasoning
    value = "medium" if bench.dialect in ("ollama", "lmstudio") else True
    bench.read(OFF[bench.dialect], value)


@case
def thinking_off(bench):
    answer = bench.qwen.ask("Hello", thinking=False, max_tokens=200)
    assert answer.reasoning == ""
    assert answer.text
    value = "none" if bench.dialect in ("ollama", "lmstudio") else False
    bench.read(OFF[bench.dialect], value)


@case
def thinking_left_alone(bench):
    answer = bench.qwen.ask("Hello")
    bench.absent(
        "reasoning", "enable_thinking", "thinking_budget", "chat_template_kwargs", "reasoning_effort"
    )
    assert bool(answer.reasoning) is (bench.dialect != "mlx-vlm")


@case
def thinking_by_level_and_by_budget(bench):
    levels = {"openrouter": "low", "ollama": "low", "lmstudio": "low"}
    for given, columns in THINKING:
        path = columns[bench.column]
        if path is REFUSED:
            assert "takes True, False" in refused(bench, "thinking", thinking=given)
        else:
            answer = bench.qwen.ask("Hello", thinking=given)
            bench.read(path, levels.get(bench.dialect, 4096) if given == "low" else given)
            assert answer.reasoning
            if given == 64 and not bench.real:
                assert len(answer.reasoning) <= 64 * 4
            if path.endswith("thinking_budget") and bench.dialect != "vllm":
                bench.read("enable_thinking", True)
            if bench.dialect == "vllm":
                bench.read(SWITCH, True)


@case
def image(bench):
    picture = png(40, 30)
    answer = bench.qwen.ask("What is it?", images=[picture])
    assert answer.text
    bench.read("messages.0.content.image_url.url".replace(".content.", ".content.1."))
    parts = bench.sim.ledger.last().body["messages"][0]["content"]
    assert [part["type"] for part in parts] == ["text", "image_url"]
    head, _, data = parts[1]["image_url"]["url"].partition(",")
    assert head.startswith("data:image/")
    assert head.endswith(";base64")
    with Image.open(io.BytesIO(base64.b64decode(data))) as sent:
        assert sent.size == (40, 30)


@case
def schema(bench):
    answer = bench.qwen.ask(
        "Ada is 36 years old. Who is it?", schema="name, age int", max_tokens=400, thinking=None
    )
    assert set(answer.data) == {"name", "age"}
    assert isinstance(answer.data["age"], int)
    path, value = SCHEMA[bench.column]
    bench.read(path, value)
    if value == "json_object" and not bench.real:
        said = bench.sim.ledger.last().body["messages"][-1]["content"]
        assert '"age"' in said
        assert "JSON" in said
    if bench.dialect == "dashscope":
        bench.read("enable_thinking", False)
        assert answer.defaults["thinking"] is False


@case
def choices(bench):
    answer = bench.qwen.ask("Is water wet? Ja oder nein?", choices=["ja", "nein"], thinking=False)
    assert answer.data in ("ja", "nein")
    assert answer.text == answer.data
    path, value = CHOICES[bench.column]
    bench.read(path, value)
    bench.read("max_tokens", 28)
    assert answer.defaults["max_tokens"] == 28


def look_up(word: str) -> str:
    """Looks a word up in the dictionary.

    Args:
        word: the word
    """
    return f"{word} is a stream of water"


@case
def a_tool_is_called_and_its_result_and_the_thought_go_back(bench):
    thought = "I need the dictionary."
    call = ToolCall("look_up", {"word": "river"}, "call_abc")
    bench.script(Reply(None, reasoning=thought, tool_calls=[call]), "A river is a stream.")
    answer = bench.qwen.ask("What is a river? Use look_up.", tools=[look_up], thinking=True)
    assert answer.text == "A river is a stream."
    first, second = bench.sim.ledger.asks()
    bench.read("tools.0.function.name", "look_up", entry=first)
    bench.read(
        "tools.0.function.parameters.properties.word",
        {"type": "string", "description": "the word"},
        entry=first,
    )
    _asked, called, result = second.body["messages"]
    assert called["tool_calls"][0]["id"] == result["tool_call_id"] == "call_abc"
    assert json.loads(called["tool_calls"][0]["function"]["arguments"]) == {"word": "river"}
    assert result == {"role": "tool", "tool_call_id": "call_abc", "content": "river is a stream of water"}
    field = THOUGHT_BACK[bench.dialect]
    bench.read(f"messages.1.{field}", entry=second)
    blocks = [{"type": "reasoning.text", "text": thought, "format": "unknown", "index": 0}]
    assert called[field] == (blocks if field == "reasoning_details" else thought)
    thoughts = {"reasoning", "reasoning_content", "reasoning_details"}
    assert thoughts & set(called) == {field}


@case
def a_thought_of_an_earlier_question_does_not_go_back(bench):
    bench.script(Reply("One.", reasoning="I think."), Reply("Two.", reasoning="I think again."))
    chat = bench.qwen.chat()
    chat.ask("One?")
    chat.ask("Two?")
    said = bench.sim.ledger.last().body["messages"]
    assert said[1] == {"role": "assistant", "content": "One."}


@case
def two_calls_at_once_are_answered_in_their_order(bench):
    calls = [ToolCall("look_up", {"word": word}, f"call_{word}") for word in ("river", "lake")]
    bench.script(Reply(None, tool_calls=calls), "Both are water.")
    bench.qwen.ask("River and lake?", tools=[look_up])
    results = bench.sim.ledger.last().body["messages"][-2:]
    assert [result["tool_call_id"] for result in results] == ["call_river", "call_lake"]


@case
def tool_choice(bench):
    for given, columns in TOOL_CHOICES.items():
        if columns[bench.column] is REFUSED:
            refused(bench, "tool_choice", tools=[look_up], tool_choice=given)
        else:
            bench.script("Nothing to call.")
            bench.qwen.ask(f"Hello {given}", tools=[look_up], tool_choice=given, thinking=False)
            named = {"type": "function", "function": {"name": "look_up"}}
            bench.read("tool_choice", given if given != "look_up" else named)


@case
def search(bench):
    if bench.dialect == "openrouter":
        bench.qwen.ask("News?", search=True)
        bench.read("plugins", [{"id": "web"}])
        bench.qwen.ask("News?", search=True, extra={"plugins": [{"id": "file-parser"}]})
        bench.read("plugins", [{"id": "web"}, {"id": "file-parser"}])
        bench.qwen.ask("News?", search=True, extra={"plugins": [{"id": "web", "max_results": 2}]})
        bench.read("plugins", [{"id": "web", "max_results": 2}])
    elif bench.dialect == "dashscope":
        bench.qwen.ask("News?", search=True)
        bench.read("enable_search", True)
    else:
        refused(bench, "search", search=True)


@case
def logprobs(bench):
    takes = only(
        openrouter_27b="logprobs", vllm="logprobs", sglang="logprobs", llama_cpp="logprobs", ollama="logprobs"
    )
    if (
        bench.column == "mlx-vlm"
    ):  # it reads logprobs; the others stay away unless the server was told to keep them
        bench.qwen.ask("Hello", logprobs=True, max_tokens=200)
        bench.read("logprobs", True)
        return
    if takes[bench.column] is REFUSED:
        refused(bench, "logprobs", logprobs=2)
        return
    answer = bench.qwen.ask("Say hello.", logprobs=2, thinking=False, max_tokens=20)
    bench.read("logprobs", True)
    bench.read("top_logprobs", 2)
    assert "".join(token.token for token in answer.logprobs).startswith(answer.text[:5])
    assert all(token.logprob <= 0 for token in answer.logprobs)
    assert len(answer.logprobs[0].top) == 2


@case
def sampling(bench):
    for option, given, columns in SAMPLING:
        path = columns[bench.column]
        if path is REFUSED:
            assert "Supported here: " in refused(bench, option, **{option: given})
        else:
            bench.qwen.ask(f"Hello {option}", **{option: given})
            bench.read(path, READ_AS.get(option, given))


@case
def the_same_seed_gives_the_same_text(bench):
    first, second = (
        bench.qwen.ask("Write a line about rain.", seed=5, max_tokens=24, temperature=0.9).text
        for _ in range(2)
    )
    assert first == second
    bench.read("seed", 5)
    if bench.column == "llama.cpp":
        bench.read("cache_prompt", False)


@case
def stop_ends_the_text_before_the_word(bench):
    if bench.column in ("openrouter", "openrouter plus", "openrouter 27b", "mlx-vlm"):
        refused(bench, "stop", stop=["ENOUGH"])
        return
    prompt = "Count: one two three ENOUGH four"
    if bench.real:
        prompt = "Repeat exactly, and nothing else: one two three ENOUGH four five"
    answer = bench.qwen.ask(prompt, stop=["ENOUGH"], max_tokens=40, temperature=0.0, thinking=False)
    assert answer.text
    assert "ENOUGH" not in answer.text
    assert answer.finish_reason == "stop"


@case
def an_answer_cut_by_max_tokens_says_so_and_may_be_kept(bench):
    with pytest.warns(QwenWarning, match="cut at max_tokens=8"):
        answer = bench.qwen.ask(
            "Write at length about the sea. " * 8, max_tokens=8, thinking=False, temperature=0.0
        )
    assert answer.finish_reason == "length"
    assert answer.complete and answer.is_cut


@case
def what_the_user_adds_goes_out_as_it_is(bench):
    bench.qwen.ask("Hello", extra={"metadata": {"team": "rivers"}}, max_tokens=20)
    if bench.sim is not None:
        assert bench.sim.ledger.last().body["metadata"] == {"team": "rivers"}


@case
def what_the_user_adds_does_not_push_out_the_thinking_switch(bench):
    field = OFF[bench.dialect].split(".")[0]
    if OFF[bench.dialect] == field:
        return
    bench.qwen.ask("Hello", thinking=False, extra={field: {"own": 1}}, max_tokens=20)
    if bench.sim is not None:
        assert at_least(
            bench.sim.ledger.last().body[field], {"own": 1, OFF[bench.dialect].split(".")[1]: False}
        )


def at_least(whole, part):
    return part.items() <= whole.items()


@case
def usage(bench):
    answer = bench.qwen.ask("Hello there", max_tokens=60)
    assert answer.usage.input > 0
    assert answer.usage.output > 0
    assert not answer.usage.estimated
    if bench.sim is not None:
        told = bench.sim.ledger.last().usage
        assert (answer.usage.input, answer.usage.output) == (told["prompt_tokens"], told["completion_tokens"])
        details = told.get("completion_tokens_details") or {}
        assert answer.usage.reasoning == details.get("reasoning_tokens", 0)


@case
def usage_of_the_cache_and_of_pictures_is_read(bench):
    bench.script(Reply("Seen.", usage={"prompt_tokens": 900, "cached_tokens": 512, "image_tokens": 66}))
    answer = bench.qwen.ask("What is it?", images=[png()])
    knows = bench.dialect not in ("ollama", "lmstudio")
    assert answer.usage.cached == (512 if knows else 0)
    knows = bench.dialect in ("dashscope", "vllm", "sglang")
    assert answer.usage.image == (66 if knows else 0)


@case
def cost(bench):
    answer = bench.qwen.ask("Hello there", max_tokens=60)
    if bench.dialect == "openrouter":
        assert answer.cost == bench.sim.ledger.last().usage["cost"] > 0
        assert not answer.cost.estimated
    elif bench.dialect == "dashscope":
        assert answer.cost.estimated
        used = bench.sim.ledger.last().usage
        assert answer.cost == pytest.approx(
            (used["prompt_tokens"] * 0.10 + used["completion_tokens"] * 0.40) / 1e6
        )
    else:
        assert answer.cost == 0


@case
def four_kinds_of_error(bench):
    qwen = bench.qwen
    # what no server takes is refused before it is sent
    with pytest.raises(errors.UnsupportedOption, match="thinking=1000000"):
        qwen.ask("Hello", thinking=1_000_000)
    # no such model: a provider's are known, and llama.cpp has one; of any other only the server can tell
    known = bench.dialect in (*HOSTED, "llama.cpp")
    with (
        pytest.raises(errors.UnknownModel, match=r"serve|There is no model")
        if known
        else suppress(errors.ModelRefused)
    ):
        qwen.ask("Hello", model="no-such-model")
    if not known:
        bench.read("model", "no-such-model")
    # longer than the window: by the numbers before it is sent where they are known, else by the server
    with pytest.raises(
        (errors.WindowExceeded, errors.RequestRefused), match=r"(?i)context|window|input length"
    ):
        wide = bench.column in ("openrouter", "openrouter plus", "dashscope")
        qwen.ask("word " * (20_000 if bench.real else 1_000_000 if wide else 270_000), max_tokens=10)
    # a field of the wrong type
    with pytest.raises(errors.RequestRefused, match=r"\(4\d\d"):
        qwen.ask("Hello", extra={"messages": "none"})


# ---------------------------------------------------------------------- over the simulated servers


@pytest.fixture(scope="module")
def benches(tmp_path_factory):
    """One simulator and one client for each column, made when first asked for."""
    made = {}

    def bench(column):
        dialect, model = COLUMNS[column]
        if column not in made:
            sim = simulator(dialect).start()
            made[column] = Bench(
                column, client(sim, tmp_path_factory.mktemp("cache"), model=model, cache="off"), sim
            )
        made[column].sim.reset()
        return made[column]

    yield bench
    for each in made.values():
        each.sim.stop()


NEVER_READ = {
    "what_the_user_adds_goes_out_as_it_is",
    "what_the_user_adds_does_not_push_out_the_thinking_switch",
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("column", COLUMNS)
def test_each_option_reaches_each_server_in_its_own_words(benches, column, name):
    bench = benches(column)
    CASES[name](bench)
    if name not in NEVER_READ and name != "four_kinds_of_error":
        bench.nothing_ignored()


def no_arguments() -> str:
    """Says what time it is."""
    return "noon"


@pytest.mark.parametrize("arguments", ["", "  ", "{}"])
@pytest.mark.parametrize("dialect", ["llama.cpp", "openrouter"])
def test_a_call_without_arguments_goes_back_as_an_empty_object(dialect, arguments, tmp_path):
    script = [Reply(tool_calls=[ToolCall("no_arguments", arguments)]), "It is noon."]
    with simulator(dialect, script=script) as sim:
        qwen = client(sim, tmp_path)
        chat = qwen.chat(tools=[no_arguments])
        assert chat.ask("What time is it?").text == "It is noon."
        (call,) = sim.ledger.last().body["messages"][1]["tool_calls"]
        assert call["function"]["arguments"] == "{}"
        (told,) = next(m.tool_calls for m in chat.messages if m.tool_calls)
        assert told.arguments == "{}"


@pytest.mark.parametrize("arguments", ['{"city": ', "nonsense", "[1]", "null"])
def test_arguments_that_no_server_can_parse_are_not_sent_back(arguments, tmp_path):
    script = [Reply(tool_calls=[ToolCall("no_arguments", arguments)]), "It is noon."]
    with simulator("llama.cpp", script=script) as sim:
        assert client(sim, tmp_path).ask("What time is it?", tools=[no_arguments]).text == "It is noon."
        call, result = sim.ledger.last().body["messages"][1:]
        assert call["tool_calls"][0]["function"]["arguments"] == "{}"
        assert "arguments do not fit" in result["content"] or arguments == "null"


def test_what_was_recorded_or_given_with_empty_arguments_goes_back_as_an_object_too(tmp_path):
    with simulator("llama.cpp", script=lambda asked: "It is noon.") as sim:
        called = {"id": "a", "type": "function", "function": {"name": "no_arguments", "arguments": ""}}
        messages = [
            {"role": "user", "content": "What time is it?"},
            {"role": "assistant", "content": None, "tool_calls": [called]},
            {"role": "tool", "tool_call_id": "a", "content": "noon"},
        ]
        create = client(sim, tmp_path).openai.chat.completions.create
        reply = create(model="qwen3.5-9b", messages=messages, tools=[Tool.of(no_arguments).definition()])
        assert reply.choices[0].message.content == "It is noon."


FIVE = [f"@{n}" for n in range(5)]


@pytest.mark.parametrize(
    ("dialect", "model", "refused", "taken", "words"),
    [
        ("sglang", None, {"top_k": 0}, {"top_k": 1}, "takes at least 1"),
        ("openrouter", "9b", {"stop": FIVE}, {"stop": FIVE[:4]}, "takes at most 4"),
        ("vllm", None, {"stop": FIVE}, {"stop": FIVE[:4], "top_k": 0}, "takes at most 4"),
    ],
)  # fmt: skip
def test_what_a_server_would_refuse_is_refused_before_it_is_sent(
    dialect, model, refused, taken, words, tmp_path
):
    with simulator(dialect) as sim:
        qwen = client(sim, tmp_path, **({"model": model} if model else {}))
        with pytest.raises(errors.UnsupportedOption, match=words):
            qwen.ask("Hello", **refused)
        assert isinstance(qwen.ask_many(["Hello"], **refused)[0].error, errors.UnsupportedOption)
        assert sim.ledger.asks() == []
        assert qwen.ask("Hello", **taken).text


@pytest.mark.parametrize("detail", ["low", "high", "auto"])
def test_the_detail_of_a_picture_goes_where_it_is_plain_openai(detail, tmp_path):
    with simulator("vllm") as sim:
        picture = Picture(png(), detail=detail)
        qwen = Qwen(endpoint=f"openai+{sim.base_url}", model="Qwen/Qwen3.5-9B", cache_dir=tmp_path)
        assert qwen.ask("What is this?", images=[picture]).text
        assert sim.ledger.last().body["messages"][0]["content"][1]["image_url"]["detail"] == detail


@pytest.mark.parametrize("title", ["Grüße aus Köln", "世界 🐟", "plain"])
def test_a_title_in_any_language_is_sent_the_same_from_a_cell_and_a_column(title, tmp_path):
    with simulator("openrouter") as sim:
        qwen = client(sim, tmp_path, title=title, referer="https://bücher.example")
        assert qwen.ask("Hello").text and qwen.ask_many(["Goodbye"])[0].text
        sent = [entry.headers["x-openrouter-title"] for entry in sim.ledger.asks()]
        assert len(sent) == 2 and len(set(sent)) == 1
        assert title in (sent[0], sent[0].encode("latin-1", "replace").decode(errors="replace"))


@pytest.mark.parametrize("name", ["title", "referer"])
@pytest.mark.parametrize("value", ["two\nlines", "two\r\nX-Evil: 1", "nul\0", "half \ud800", "a\u2028b"])
def test_what_no_header_can_carry_is_refused_in_a_sentence(name, value):
    with pytest.raises(errors.ConfigError, match=f"^{name}=.*Give it as one line"):
        Qwen(endpoint="openrouter", **{name: value})


# status, code of the simulator's fault → class, and what to do next
ERRORS = [
    ("400", errors.RequestRefused, "not acceptable"),
    ("401", errors.KeyRefused, "qwennb doctor"),
    ("402", errors.CreditExhausted, "Add credit"),
    ("403", errors.KeyRefused, "permission"),
    ("404", errors.ModelRefused, "qwennb models"),
    ("413", errors.RequestRefused, "too large"),
    ("422", errors.RequestRefused, "can't be processed"),
    ("501", errors.ServerFailed, "Not implemented"),
]


@pytest.mark.parametrize(("fault", "kind", "words"), ERRORS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_refusal_is_one_sentence_with_what_to_do_next(dialect, fault, kind, words, tmp_path):
    if (dialect, fault) == ("openrouter", "403"):  # it says why: flagged
        kind, words = errors.ContentFiltered, "Rephrase"
    with simulator(dialect, faults=[Fault(fault)]) as sim:
        qwen = client(sim, tmp_path)
        with pytest.raises(kind, match=words) as caught:
            qwen.ask("Hello")
        (failed,) = qwen.ask_many(["Hello"])
        assert type(failed.error) is type(caught.value) is kind
        assert str(failed.error) == str(caught.value)
        assert caught.value.status == int(fault)
        assert f"({fault}" in str(caught.value)
        assert sim.ledger.count("asked") == 2


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_wrong_key_is_told_in_words_and_never_shown(dialect, tmp_path):
    if dialect in ("ollama", "lmstudio"):
        return  # they take any key
    with simulator(dialect) as sim:
        sim.fault("401", message="Incorrect API key provided: sk-wrong-key-98765.", times=9)
        qwen = client(sim, tmp_path, api_key="sk-wrong-key-98765", model="9b" if dialect == "vllm" else None)
        with pytest.raises((errors.KeyRefused, errors.UnknownModel)) as caught:
            qwen.ask("Hello")
        assert "sk-wrong" not in str(caught.value)
        assert "98765" not in str(caught.value)


# ---------------------------------------------------------------------- over a real llama.cpp


# The local model is Qwen2.5-Coder 0.5B: it neither thinks nor sees.
NOT_FOR_REAL = {
    "thinking_on": "the model does not think",
    "thinking_left_alone": "the model does not think",
    "thinking_by_level_and_by_budget": "the model does not think",
    "image": "the model sees no pictures",
    "a_tool_is_called_and_its_result_and_the_thought_go_back": "needs a script; bare_tool_call stands for it",
    "two_calls_at_once_are_answered_in_their_order": "needs a script",
    "a_thought_of_an_earlier_question_does_not_go_back": "needs a script",
    "tool_choice": "needs a script",
    "usage_of_the_cache_and_of_pictures_is_read": "needs a script",
    "search": "refused before anything is sent, like every option that is refused",
    "sampling": "what a real server reads can't be seen",
    "what_the_user_adds_does_not_push_out_the_thinking_switch": "the template of this model has no such switch",
}
MUST_BE_REAL = {
    "text", "stream", "schema", "choices", "the_same_seed_gives_the_same_text", "stop_ends_the_text_before_the_word",
    "usage", "logprobs", "four_kinds_of_error",
}  # fmt: skip


def test_what_is_left_out_over_the_real_server_is_told_with_its_reason():
    assert set(NOT_FOR_REAL) <= set(CASES)
    assert all(NOT_FOR_REAL.values())
    assert not MUST_BE_REAL & set(NOT_FOR_REAL)
    assert set(CASES) >= MUST_BE_REAL


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name not in NOT_FOR_REAL])
def test_a_real_llama_cpp_takes_the_same_cases(real_llama_cpp, name):  # noqa: F811
    CASES[name](Bench("llama.cpp", real_llama_cpp))


@pytest.mark.real
@pytest.mark.slow
def test_a_real_model_that_answers_with_a_bare_call_gets_its_tool_called(real_llama_cpp):  # noqa: F811
    # Without a function to run, the call itself is the answer: what so small a model makes of a result is no promise.
    city = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = {"name": "get_weather", "description": "Get the current weather in a city", "parameters": city}
    for prompt in ("What is the weather in Paris? Use the tool.", "Call get_weather for Paris."):
        answer = real_llama_cpp.ask(prompt, tools=[tool], temperature=0.0, max_tokens=80)
        (call,) = answer.tool_calls
        assert (call.name, json.loads(call.arguments)) == ("get_weather", {"city": "Paris"})
        assert (answer.text, answer.finish_reason) == ("", "tool_calls")


# ---------------------------------------------------------------------- what only one of them does


@pytest.mark.parametrize("dialect", ["llama.cpp", "sglang"])
def test_a_call_left_in_the_text_is_taken_for_a_call(dialect, tmp_path):
    with simulator(dialect, options=Options(tool_parser=False)) as sim:
        call = ToolCall("look_up", {"word": "river"})
        sim.script([Reply(None, tool_calls=[call]), "A river."])
        answer = client(sim, tmp_path).ask("What is a river?", tools=[look_up])
        assert answer.text == "A river."
        assert sim.ledger.last().body["messages"][-1]["content"] == "river is a stream of water"


@pytest.mark.parametrize("dialect", ["vllm", "sglang", "llama.cpp", "lmstudio"])
def test_a_thought_left_in_the_text_is_taken_out(dialect, tmp_path):
    with simulator(dialect, options=Options(reasoning_parser=False)) as sim:
        sim.script([Reply("Four.", reasoning="Two and two."), Reply("Four.", reasoning="Two and two.")])
        qwen = client(sim, tmp_path, cache="off")
        for answer in (qwen.ask("2+2?"), *qwen.ask_many(["2+2?"])):
            assert (answer.text, answer.reasoning.strip()) == ("Four.", "Two and two.")


def test_vllm_that_puts_the_answer_into_the_thought_is_understood(tmp_path):
    with simulator("vllm", options=Options(reasoning_stray=True)) as sim:
        answer = client(sim, tmp_path).ask("Hello", thinking=False)
        assert answer.text.endswith("Hello")
        assert answer.reasoning == ""


def test_mlx_says_each_thought_twice_and_it_is_read_once(tmp_path):
    with simulator("mlx-vlm", script=[Reply("Yes.", reasoning="Let me see.")] * 2) as sim:
        qwen = client(sim, tmp_path, cache="off")
        assert qwen.ask("Well?", thinking=True).reasoning == "Let me see."
        assert qwen.ask_many(["Well?"], thinking=True)[0].reasoning == "Let me see."


def test_mlx_gets_the_sampling_that_its_own_defaults_spoil(tmp_path):
    with simulator("mlx-vlm") as sim:
        answer = client(sim, tmp_path).ask("Hello")
        body = sim.ledger.last().body
        assert body["temperature"] == 0.7
        assert body["max_tokens"] == 32_768
        assert answer.defaults["temperature"] == 0.7
        assert answer.request.settings.temperature is None


def test_ollama_may_end_a_whole_answer_without_a_reason(tmp_path):
    with simulator("ollama", options=Options(null_finish=True)) as sim:
        answer = client(sim, tmp_path).ask("Hello")
        assert answer.finish_reason == "stop"
        assert answer.complete


@pytest.mark.parametrize("dialect", ["ollama", "vllm"])
def test_half_an_answer_before_done_is_not_taken_for_a_whole_one(dialect, tmp_path):
    with (
        simulator(dialect, script=lambda asked: "One, two, three, four.", faults=[Fault("done_only")]) as sim,
        pytest.raises(errors.Incomplete, match="broke off"),
    ):
        client(sim, tmp_path, timeout=1.0).ask("Hello")


def test_choices_full_of_signs_are_themselves_in_sglangs_pattern(tmp_path):
    with simulator("sglang", script=["C++"]) as sim:
        assert client(sim, tmp_path).ask("Which?", choices=["C++", "C", "a.b|c"]).data == "C++"
        assert sim.ledger.last().body["regex"] == r"(C\+\+|C|a\.b\|c|A\.b\|c)"


@pytest.mark.parametrize("dialect", ["vllm", "sglang", "llama.cpp"])
def test_a_choice_may_be_said_with_a_great_letter(tmp_path, dialect):
    with simulator(dialect, script=["Yes"]) as sim:
        assert client(sim, tmp_path).ask("Is it?", choices=["yes", "no"]).text == "yes"
        assert all(word in str(sim.ledger.last().body) for word in ("yes", "Yes", "no", "No"))


def test_a_seed_goes_to_llama_cpp_without_its_prompt_cache(tmp_path):
    with simulator("llama.cpp") as sim:
        qwen = client(sim, tmp_path)
        qwen.ask("Hello", seed=3)
        assert sim.ledger.last().body["cache_prompt"] is False
        qwen.ask("Hello")
        assert "cache_prompt" not in sim.ledger.last().body


class TestOpenRouter:
    def test_comments_keep_a_stream_alive_and_are_no_text(self, tmp_path):
        with simulator("openrouter", options=Options(comments=5, comment_delay=0.02)) as sim:
            assert client(sim, tmp_path).ask("Hello").text.endswith(" Hello")

    def test_the_attribution_headers_go_only_where_they_were_given(self, tmp_path):
        with simulator("openrouter") as sim:
            client(sim, tmp_path / "a").ask("Hello")
            assert not {"http-referer", "x-openrouter-title", "x-title"} & set(sim.ledger.last().headers)
            client(sim, tmp_path / "b", referer="https://rivers.example", title="Rivers").ask("Hello")
            headers = sim.ledger.last().headers
            assert headers["http-referer"] == "https://rivers.example"
            assert headers["x-openrouter-title"] == "Rivers"

    def test_provider_preferences_and_fallbacks_go_through_extra(self, tmp_path):
        extra = {"provider": {"order": ["Alibaba"], "allow_fallbacks": False}, "models": ["qwen/qwen3.5-9b"]}
        with simulator("openrouter") as sim:
            answer = client(sim, tmp_path).ask("Hello", extra=extra)
            entry = sim.ledger.last()
            assert {"provider", "models"} <= entry.read
            assert entry.body["provider"] == extra["provider"]
            assert answer.request.settings.extra_fields == extra

    def test_a_routing_preference_that_does_not_exist_is_refused_by_the_server(self, tmp_path):
        with simulator("openrouter") as sim, pytest.raises(errors.RequestRefused, match="Unrecognized key"):
            client(sim, tmp_path).ask("Hello", extra={"provider": {"cheapest": True}})

    def test_reasoning_blocks_go_back_as_they_came(self, tmp_path):
        blocks = [
            {
                "type": "reasoning.text",
                "text": "First, ",
                "signature": "s1",
                "id": "r1",
                "format": "x-v1",
                "index": 0,
            },
            {"type": "reasoning.encrypted", "data": "AAAA", "id": "r2", "format": "x-v1", "index": 1},
            {"type": "reasoning.summary", "summary": "In short.", "format": "unknown", "index": 2},
        ]
        call = ToolCall("look_up", {"word": "river"}, "call_1")
        deltas = [{"reasoning_details": [block]} for block in blocks]
        replies = [Reply("", tool_calls=[call], chunks=deltas), "Done."]
        with simulator("openrouter", script=replies) as sim:
            client(sim, tmp_path).ask("What is a river?", tools=[look_up])
            assert sim.ledger.last().body["messages"][1]["reasoning_details"] == blocks

    def test_no_credit_is_told_as_money(self, tmp_path):
        with (
            simulator("openrouter", options=Options(credits=0.0)) as sim,
            pytest.raises(errors.CreditExhausted, match="Insufficient credits"),
        ):
            client(sim, tmp_path).ask("Hello")

    @pytest.mark.parametrize("fault", ["moderated", "refused", "policy"])
    def test_what_a_filter_stops_is_a_filter(self, fault, tmp_path):
        with simulator("openrouter", faults=[Fault(fault)]) as sim:
            with pytest.raises(errors.ContentFiltered, match="Rephrase"):
                client(sim, tmp_path).ask("Hello")
            assert sim.ledger.count("asked") == 1


DASHSCOPE = [
    ("burst", errors.RateLimited),
    ("concurrency", errors.RateLimited),
    ("token_quota", errors.RateLimited),
    ("current_quota", errors.RateLimited),
    ("free_quota", errors.CreditExhausted),
    ("free_tier_only", errors.CreditExhausted),
    ("not_purchased", errors.CreditExhausted),
    ("prepaid_overdue", errors.CreditExhausted),
    ("postpaid_overdue", errors.CreditExhausted),
    ("budget_limit", errors.CreditExhausted),
    ("arrearage", errors.CreditExhausted),
    ("inspected", errors.ContentFiltered),
    ("not_activated", errors.ModelRefused),
    ("algo", errors.ServerFailed),
    ("algo_parameter", errors.RequestRefused),
]


class TestDashScope:
    @pytest.mark.parametrize("flat", [False, True])
    @pytest.mark.parametrize(("fault", "kind"), DASHSCOPE)
    def test_money_and_rate_are_told_apart_in_both_shapes(self, fault, kind, flat, tmp_path):
        with simulator("dashscope", faults=[Fault(fault, flat=flat)]) as sim:
            # Less than the first pause after a refusal, so that none is waited for.
            (answer,) = client(sim, tmp_path, timeout=0.9).ask_many(["Hello"])
            assert type(answer.error) is kind
            if not answer.error.transient:
                assert sim.ledger.count("asked") == 1

    def test_a_key_of_another_region_is_told_with_the_regions(self, tmp_path):
        with (
            simulator("dashscope") as sim,
            pytest.raises(errors.KeyRefused, match='endpoint="dashscope" or endpoint="dashscope-us"'),
        ):
            client(sim, tmp_path, api_key="sk-of-another-region").ask("Hello")

    def test_a_short_plain_reply_is_not_streamed(self, tmp_path):
        with simulator("dashscope") as sim:
            qwen = client(sim, tmp_path)
            qwen.ask_many(["Short?"], thinking=False, max_tokens=100)
            assert "stream" not in sim.ledger.last().body
            qwen.ask_many(["Long?"], thinking=False)
            assert sim.ledger.last().body["stream"] is True

    def test_an_answer_cut_at_the_servers_time_limit_is_not_whole(self, tmp_path):
        with simulator("dashscope", faults=[Fault("partial", times=1)]) as sim:
            qwen = client(sim, tmp_path)
            (answer,) = qwen.ask_many(["Hello"], thinking=False, max_tokens=100)
            assert answer.attempts == 2
            assert sim.ledger.asks()[0].fault == "partial"

    def test_json_that_does_not_fit_is_asked_again_with_the_complaint(self, tmp_path):
        with simulator(
            "dashscope",
            script=['{"name": "Ada"}', '{"name": "Ada", "age": "old"}', '{"name": "Ada", "age": 36}'],
        ) as sim:
            answer = client(sim, tmp_path).ask("Who?", schema="name, age int")
            assert answer.data == {"name": "Ada", "age": 36}
            assert answer.attempts == 3
            one, two, three = sim.ledger.asks()
            assert [len(entry.body["messages"]) for entry in (one, two, three)] == [1, 3, 3]
            assert two.body["messages"][1]["content"] == '{"name": "Ada"}'
            assert "age" in two.body["messages"][2]["content"]
            assert "does not fit" in three.body["messages"][2]["content"]
            total = sum(entry.usage["prompt_tokens"] for entry in (one, two, three))
            assert answer.usage.input == total

    def test_json_that_never_fits_is_given_up_after_two_complaints(self, tmp_path):
        with simulator("dashscope", script=lambda asked: "no JSON at all") as sim:
            with pytest.raises(errors.InvalidAnswer, match="after 3 attempts"):
                client(sim, tmp_path).ask("Who?", schema="name, age int")
            assert sim.ledger.count("asked") == 3

    def test_schema_with_thinking_is_refused_with_what_to_do(self, tmp_path):
        with (
            simulator("dashscope") as sim,
            pytest.raises(errors.UnsupportedOption, match="leave thinking alone or give thinking=False"),
        ):
            client(sim, tmp_path).ask("Who?", schema="name", thinking=True)
