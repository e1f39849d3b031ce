"""What is taken where, and in which words the rest is refused."""

from typing import Any

import pytest

from qwennb.catalog import Catalog, Range
from qwennb.errors import UnknownModel, UnsupportedOption

catalog = Catalog.load_bundled()

# The lists of parameters on the four pages of OpenRouter, in its words.
PAGES = {
    "qwen3.5-plus-2026-04-20": """reasoning include_reasoning max_tokens temperature top_p seed presence_penalty
        response_format tools tool_choice structured_outputs""",
    "qwen3.5-flash-2026-02-23": """reasoning max_tokens temperature top_p seed presence_penalty response_format
        tools tool_choice""",
    "qwen3.5-9b": """reasoning max_tokens temperature top_p stop frequency_penalty presence_penalty
        repetition_penalty top_k seed min_p response_format logit_bias tools tool_choice""",
    "qwen3.5-27b": """reasoning max_tokens temperature top_p seed presence_penalty response_format tools tool_choice
        top_logprobs logprobs""",
}
OURS = {
    "reasoning": "thinking",
    "include_reasoning": "thinking",
    "response_format": "schema",
    "structured_outputs": "schema",
    "top_logprobs": "logprobs",
}
# Not parameters of theirs: parts of a message, a plugin, and two options that we turn into what is listed.
BESIDE = {"images", "videos", "files", "max_pixels", "search", "choices"}


def refusal(model: str, endpoint: str, **options: Any) -> str:
    with pytest.raises(UnsupportedOption) as told:
        catalog.abilities(model, endpoint).check(options)
    return str(told.value)


def passes(model: str, endpoint: str, **options: Any) -> None:
    catalog.abilities(model, endpoint).check(options)


@pytest.mark.parametrize("model", PAGES)
def test_openrouter_takes_exactly_what_the_models_page_lists(model: str) -> None:
    listed = {OURS.get(name, name) for name in PAGES[model].split()}

    assert catalog.abilities(model, "openrouter").options - BESIDE == listed


def test_only_the_page_that_lists_structured_outputs_gets_a_json_schema() -> None:
    support = {model: catalog.abilities(model, "openrouter").schema for model in PAGES}

    assert {m for m, s in support.items() if s == "json_schema"} == {"qwen3.5-plus-2026-04-20"}
    assert set(support.values()) == {"json_schema", "json_object"}


def test_the_undated_name_takes_what_its_snapshot_takes() -> None:
    assert catalog.abilities("plus", "openrouter").options == (
        catalog.abilities("qwen3.5-plus-2026-04-20", "openrouter").options
    )
    assert catalog.abilities("plus", "openrouter").model == "qwen3.5-plus"


SAMPLERS = ["top_k", "min_p", "frequency_penalty", "repetition_penalty", "logit_bias", "logprobs", "stop"]


@pytest.mark.parametrize(
    ("endpoint", "model", "taken"),
    [
        ("dashscope", "plus", ["top_k", "repetition_penalty", "stop"]),
        ("vllm", "9b", SAMPLERS),
        ("sglang", "9b", SAMPLERS),
        ("mlx-vlm", "9b", [s for s in SAMPLERS if s != "stop"]),
        ("llama.cpp", "9b", SAMPLERS),
        ("ollama", "9b", ["frequency_penalty", "logprobs", "stop"]),
        ("https://example.org/v1", "plus", ["frequency_penalty", "logit_bias", "logprobs", "stop"]),
        ("simulator", "plus", SAMPLERS),
    ],
)
def test_each_kind_of_server_takes_its_own_samplers(endpoint: str, model: str, taken: list[str]) -> None:
    abilities = catalog.abilities(model, endpoint)

    assert [s for s in SAMPLERS if abilities.accepts(s)] == [s for s in SAMPLERS if s in taken]


def test_the_simulator_takes_everything() -> None:
    abilities = catalog.abilities("plus", "simulator")

    passes("plus", "simulator", search=True, thinking=5000, tool_choice="required", schema={"type": "object"})
    assert not abilities.ignored


def test_what_a_server_would_drop_is_refused_with_who_takes_it_and_what_is_taken() -> None:
    assert refusal("flash", "openrouter", top_k=5) == (
        "`top_k` is not supported by qwen3.5-flash at openrouter: the server would drop it in silence. "
        "It is taken by qwen3.5-9b at openrouter; qwen3.5-flash at dashscope, dashscope-intl, dashscope-us. "
        "Supported here: choices, files, images, max_pixels, max_tokens, presence_penalty, schema, search, seed, "
        "temperature, thinking, tool_choice, tools, top_p, videos. "
        "Whoever knows better sends it with extra={'top_k': 5}."
    )


@pytest.mark.parametrize("option", ["frequency_penalty", "logit_bias"])
def test_dashscope_ignores_in_silence_what_we_therefore_refuse(option: str) -> None:
    assert "would drop it in silence" in refusal(
        "plus", "dashscope-intl", **{option: {"1": 1} if option[0] == "l" else 1}
    )
    assert option in catalog.abilities("plus", "dashscope").ignored


def test_what_no_source_says_a_server_takes_is_refused_too() -> None:
    assert "the server does not take it" in refusal("plus", "dashscope", min_p=0.1)
    assert "the server does not take it" in refusal("plus", "dashscope", logprobs=True)


def test_an_option_left_alone_is_never_refused() -> None:
    passes("flash", "openrouter", top_k=None, logprobs=False, stop=[], images=(), logit_bias={}, search=False)


def test_a_zero_is_not_left_alone() -> None:
    assert "`top_k`" in refusal("flash", "openrouter", top_k=0)


def test_the_clients_own_options_pass_everywhere() -> None:
    passes(
        "flash",
        "openrouter",
        system="be kind",
        sample=3,
        extra={"x": 1},
        timeout=5,
        budget=1.0,
        allow_urls=True,
    )


def test_an_option_that_does_not_exist_is_told_the_nearest() -> None:
    assert refusal("plus", "openrouter", topp=1) == "There is no option `topp`; did you mean `top_p`?"


@pytest.mark.parametrize(
    ("foreign", "ours"),
    [
        ("n", "sample="),
        ("enable_fast", "thinking=False"),
        ("enable_auto", "leave thinking alone"),
        ("response_format", "schema="),
    ],
)
def test_words_of_other_libraries_are_translated(foreign: str, ours: str) -> None:
    said = refusal("plus", "openrouter", **{foreign: 2})

    assert said.startswith(f"`{foreign}` is no option of qwennb; type instead: ")
    assert ours in said


@pytest.mark.parametrize(
    ("model", "endpoint", "options", "words"),
    [
        ("plus", "dashscope", {"temperature": 2}, "at least 0 and below 2"),
        ("plus", "dashscope", {"top_p": 0}, "above 0 and at most 1"),
        ("plus", "dashscope", {"top_k": 101}, "at least 0 and at most 100"),
        ("plus", "dashscope", {"repetition_penalty": 0}, "above 0"),
        ("plus", "dashscope", {"max_tokens": 65_537}, "at least 1 and at most 65536"),
        ("9b", "vllm", {"max_tokens": 0}, "at least 1"),
        ("27b", "openrouter", {"logprobs": 21}, "at least 0 and at most 20"),
        ("plus", "openrouter", {"presence_penalty": -2.5}, "at least -2 and at most 2"),
    ],
)
def test_a_number_out_of_range_is_told_the_range(
    model: str, endpoint: str, options: dict[str, Any], words: str
) -> None:
    said = refusal(model, endpoint, **options)

    assert said.startswith(f"`{next(iter(options))}=")
    assert "is out of range for" in said
    assert said.endswith(f"which takes {words}.")


def test_numbers_at_the_edge_pass() -> None:
    passes("plus", "dashscope", temperature=1.99, top_p=1, top_k=100, presence_penalty=-2, max_tokens=65_536)
    passes("27b", "openrouter", logprobs=20, temperature=2, max_tokens=200_000)
    passes("27b", "openrouter", logprobs=True)


def test_vllm_takes_at_most_four_stop_strings() -> None:
    passes("27b", "vllm", stop=["a", "b", "c", "d"])
    passes("27b", "vllm", stop="abcdef")
    assert refusal("27b", "vllm", stop=list("abcde")) == (
        "`stop` with 5 strings is too many for qwen3.5-27b at vllm, which takes at most 4."
    )
    passes("27b", "sglang", stop=list("abcde"))


@pytest.mark.parametrize(
    ("endpoint", "taken", "refused"),
    [
        ("openrouter", [True, False, "low", 5000], ["huge", 81_921, 0]),
        ("dashscope", [True, False, "high", 1, 81_920], [81_921]),
        ("vllm", [True, False, "low", 100_000 // 2], ["minimal"]),
        ("sglang", [True, False], ["low", 100]),
        ("llama.cpp", [True, False], ["low", 100]),
        ("mlx-vlm", [True, False, "low", 100], []),
        ("ollama", [True, False, "medium"], [100]),
        ("lmstudio", [True, False, "medium"], [100]),
    ],
)
def test_thinking_is_asked_for_only_as_the_server_understands_it(
    endpoint: str, taken: list[Any], refused: list[Any]
) -> None:
    for value in taken:
        passes("27b", endpoint, thinking=value)
    for value in refused:
        assert (
            f"`thinking={value!r}` is not supported by qwen3.5-27b at {endpoint}, which takes True, False"
            in refusal("27b", endpoint, thinking=value)
        )


def test_a_level_is_a_budget_where_budgets_are_all_there_is() -> None:
    abilities = catalog.abilities("plus", "dashscope")

    assert [abilities.thinking_budget(level) for level in ("low", "medium", "high")] == [4096, 16_384, 65_536]
    with pytest.raises(UnsupportedOption, match="`thinking='extreme'` is not supported"):
        abilities.thinking_budget("extreme")


def test_whether_a_model_thinks_when_nothing_is_said_depends_on_model_and_server() -> None:
    def default(model: str, endpoint: str) -> bool | None:
        return catalog.abilities(model, endpoint).thinking.default

    assert default("plus", "dashscope") is True
    assert default("9b", "vllm") is True
    assert default("0.8b", "vllm") is False
    assert default("9b", "mlx-vlm") is False
    assert default("qwen2.5-coder-0.5b", "llama.cpp") is None


def test_a_model_that_does_not_think_by_itself_needs_no_room_for_thinking() -> None:
    quiet = catalog.abilities("0.8b", "vllm").thinking
    unknown = catalog.abilities("qwen2.5-coder-0.5b", "llama.cpp").thinking
    plus = catalog.abilities("plus", "dashscope").thinking

    assert [t.may_happen(None) for t in (quiet, unknown, plus)] == [False, True, True]
    assert [t.may_happen(False) for t in (quiet, unknown, plus)] == [False, False, False]
    assert [t.may_happen("low") for t in (quiet, unknown, plus)] == [True, True, True]


def test_json_and_thinking_exclude_each_other_at_dashscope_only() -> None:
    said = refusal("plus", "dashscope", schema={"type": "object"}, thinking="low")

    assert said.startswith("`schema` and thinking='low' do not go together for qwen3.5-plus at dashscope")
    assert said.endswith("leave thinking alone or give thinking=False.")
    assert refusal("plus", "dashscope", choices=["a", "b"], thinking=True).startswith(
        "`choices` and thinking=True do"
    )
    passes("plus", "dashscope", schema={"type": "object"})
    passes("plus", "dashscope", schema={"type": "object"}, thinking=False)
    passes("9b", "vllm", schema={"type": "object"}, thinking=True)


def test_dashscope_never_takes_a_required_tool_and_a_named_one_only_without_thinking() -> None:
    tools = ["look_up"]

    assert refusal("plus", "dashscope", tools=tools, tool_choice="required") == (
        '`tool_choice` of "required" is not supported by qwen3.5-plus at dashscope, '
        'which takes "auto", "none", a named tool.'
    )
    assert refusal("plus", "dashscope", tools=tools, tool_choice="look_up").endswith(
        "while it thinks; add thinking=False."
    )
    passes("plus", "dashscope", tools=tools, tool_choice="look_up", thinking=False)
    passes("plus", "dashscope", tools=tools, tool_choice="auto", thinking=True)
    passes("9b", "vllm", tools=tools, tool_choice={"type": "function", "function": {"name": "look_up"}})


def test_ollama_takes_tools_but_no_choice_among_them() -> None:
    passes("9b", "ollama", tools=["look_up"])
    assert refusal("9b", "ollama", tools=["look_up"], tool_choice="auto").startswith(
        "`tool_choice` is not supported"
    )


def test_search_is_for_the_hosted_models_that_have_it() -> None:
    passes("plus", "dashscope", search=True)
    passes("9b", "openrouter", search=True)
    assert "It is taken by qwen3.5-plus, " in refusal("27b", "dashscope", search=True)
    assert "`search` is not supported by qwen3.5-9b at vllm" in refusal("9b", "vllm", search=True)
    assert catalog.abilities("flash", "dashscope").search_strategies == ("turbo", "max", "agent")


def test_the_9b_at_openrouter_sees_pictures_but_no_video() -> None:
    abilities = catalog.abilities("9b", "openrouter")

    assert abilities.modalities == {"text", "image"}
    assert abilities.videos is None
    assert "`videos` is not supported by qwen3.5-9b at openrouter" in refusal(
        "9b", "openrouter", videos=["a.mp4"]
    )
    passes("plus", "openrouter", videos=["a.mp4"])


def test_a_text_only_conversion_takes_no_pictures_and_of_files_their_text() -> None:
    abilities = catalog.abilities("397b", "mlx-vlm")

    assert abilities.modalities == {"text"}
    assert not abilities.options & {"images", "videos", "max_pixels"}
    assert "files" in abilities.options
    assert abilities.images is None
    assert abilities.pdf is None


def test_media_travel_in_the_forms_each_server_reads() -> None:
    dashscope = catalog.abilities("plus", "dashscope").images
    assert dashscope is not None
    assert (dashscope.url_bytes, dashscope.base64_bytes) == (20 * 2**20, 10 * 2**20)
    assert (dashscope.url_most, dashscope.base64_most, dashscope.max_aspect) == (256, 250, 200)
    assert (dashscope.min_pixels, dashscope.max_pixels, dashscope.hard_pixels) == (
        65_536,
        2_621_440,
        16_777_216,
    )
    video = catalog.abilities("plus", "dashscope").videos
    assert video is not None
    assert (video.min_seconds, video.max_seconds, video.min_fps, video.max_fps) == (2, 7200, 0.1, 10)
    ollama = catalog.abilities("9b", "ollama")
    assert ollama.images is not None
    assert ollama.images.forms == ("base64",)
    assert ollama.videos is None
    llama = catalog.abilities("9b", "llama.cpp").images
    assert llama is not None
    assert "webp" not in llama.formats


def test_a_pdf_is_a_part_at_openrouter_and_pages_elsewhere() -> None:
    assert {e: catalog.abilities("27b", e).pdf for e in ("openrouter", "dashscope", "vllm")} == {
        "openrouter": "part",
        "dashscope": "pages",
        "vllm": "pages",
    }


def test_a_model_nobody_knows_is_taken_on_a_server_of_ones_own() -> None:
    abilities = catalog.abilities("qwen2.5-coder-0.5b", "llama.cpp")

    assert not abilities.known
    assert abilities.options == catalog.abilities("9b", "llama.cpp").options
    assert (abilities.context, abilities.max_input(), abilities.output_bound()) == (None, None, None)
    abilities.check({"temperature": 0.2, "thinking": False, "top_k": 4, "schema": {"type": "object"}})


def test_a_model_nobody_knows_is_refused_where_others_host_it() -> None:
    with pytest.raises(UnknownModel):
        catalog.abilities("qwen2.5-coder-0.5b", "openrouter")


def test_the_bound_on_output_adds_thinking_where_max_tokens_covers_the_answer_alone() -> None:
    dashscope = catalog.abilities("plus", "dashscope")
    assert dashscope.output_bound(100) == 100 + 81_920
    assert dashscope.output_bound(100, False) == 100
    assert dashscope.output_bound(100, "low") == 100 + 4096
    assert dashscope.output_bound(100, 50) == 150
    assert dashscope.output_bound() == 65_536 + 81_920
    vllm = catalog.abilities("9b", "vllm")
    assert vllm.output_bound(100, True) == 100
    assert vllm.output_bound() == vllm.context == 262_144


def test_the_window_depends_on_thinking() -> None:
    plus = catalog.abilities("plus", "dashscope")

    assert (plus.max_input(), plus.max_input(True), plus.max_input(False)) == (983_616, 983_616, 991_808)


def test_presets_go_to_servers_with_poor_defaults_and_hold_only_what_they_take() -> None:
    assert catalog.abilities("9b", "vllm").preset(False) == {}
    assert catalog.abilities("plus", "dashscope").preset(True) == {}
    assert catalog.abilities("9b", "llama.cpp").preset(False) == {
        "temperature": 0.7,
        "top_p": 0.8,
        "top_k": 20,
        "min_p": 0.0,
        "presence_penalty": 1.5,
        "repetition_penalty": 1.0,
    }
    assert catalog.abilities("9b", "ollama").preset(True) == {
        "temperature": 1.0,
        "top_p": 0.95,
        "presence_penalty": 1.5,
    }
    assert catalog.abilities("397b", "llama.cpp").preset(True)["temperature"] == 0.6
    assert catalog.abilities("9b", "mlx-vlm").preset(False)["max_tokens"] == 32_768
    assert catalog.abilities("someone/else", "mlx-vlm").preset(False) == {"max_tokens": 32_768}


def test_every_preset_that_is_sent_passes_our_own_check() -> None:
    for row in catalog.rows():
        for thinking in (True, False):
            row.abilities.check(row.abilities.preset(thinking))


def test_every_refusal_names_option_model_and_endpoint() -> None:
    values: dict[str, Any] = {
        "stop": ["x"],
        "logit_bias": {"1": 1},
        "images": ["a"],
        "videos": ["a"],
        "files": ["a"],
    }
    sent = catalog.abilities("plus", "simulator").options
    for row in catalog.rows():
        for option in sent - row.abilities.options:
            said = refusal(row.model.name, row.endpoint, **{option: values.get(option, 1)})
            assert said.startswith(f"`{option}` is not supported by {row.model.name} at {row.endpoint}: ")
            assert f"Supported here: {', '.join(sorted(row.abilities.options))}." in said


def test_a_range_says_its_bounds_in_words() -> None:
    assert str(Range()) == "any number"
    assert 0 not in Range(low=0, low_open=True)
    assert 2 not in Range(high=2, high_open=True)
    assert 2 in Range(high=2)
