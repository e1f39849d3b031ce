"""The key: any change to what is asked gives another one, and nothing else does."""

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qwennb.errors import BadInput
from qwennb.request import (
    KEY_VERSION,
    Image,
    Message,
    Pdf,
    Request,
    Schema,
    Settings,
    Text,
    Tool,
    ToolCall,
    Video,
    canonical_json,
    key_of,
    user_message,
)

from .golden import golden, requests

GOLDEN = Path(__file__).with_name("golden_keys.json")

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
names = st.from_regex(r"[a-z]{1,6}", fullmatch=True)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
digests = st.binary(max_size=3).map(lambda data: hashlib.sha256(data).hexdigest())
pixels = st.none() | st.integers(1, 10**6)

images = st.builds(
    lambda sha, most, detail: Image.from_json(
        {"type": "image", "sha256": sha} | {k: v for k, v in (("max_pixels", most), ("detail", detail)) if v}
    ),
    digests,
    pixels,
    st.sampled_from([None, "low", "high", "auto"]),
)  # fmt: skip
urls = st.from_regex(r"https://[a-z]{1,5}\.org/[a-z]{1,5}\.png", fullmatch=True).map(Image)
videos = st.builds(Video, st.lists(images, min_size=1, max_size=3), fps=st.none() | st.floats(0.1, 10))
pdfs = st.builds(
    lambda sha, pages: Pdf.from_json({"type": "pdf", "sha256": sha} | ({"pages": pages} if pages else {})),
    digests,
    st.none() | st.lists(st.integers(1, 50), min_size=1, max_size=3, unique=True).map(sorted),
)
parts = st.lists(words.map(Text) | images | urls | videos | pdfs, max_size=4).map(tuple)
calls = st.lists(st.builds(ToolCall, names, names, words), max_size=2).map(tuple)
blocks = st.just("") | st.lists(st.dictionaries(names, values, max_size=2), max_size=2).map(
    lambda b: json.dumps(b)
)
messages = st.builds(
    Message,
    st.sampled_from(["system", "user", "assistant", "tool"]),
    parts,
    tool_calls=calls,
    tool_call_id=st.none() | names,
    reasoning=words,
    reasoning_blocks=blocks,
)
unit = st.floats(0, 1)
OPTIONS = {
    "thinking": st.booleans() | st.sampled_from(["low", "medium", "high"]) | st.integers(1, 10**5),
    "temperature": st.floats(0, 2) | st.integers(0, 2),
    "top_p": unit,
    "top_k": st.integers(0, 100),
    "min_p": unit,
    "max_tokens": st.integers(1, 10**6),
    "seed": st.integers(0, 2**63 - 1),
    "stop": words.filter(bool) | st.lists(words.filter(bool), min_size=1, max_size=3),
    "presence_penalty": st.floats(-2, 2),
    "frequency_penalty": st.floats(-2, 2),
    "repetition_penalty": st.floats(0, 10),
    "logit_bias": st.dictionaries(st.integers(0, 200_000), st.floats(-100, 100), max_size=3),
    "logprobs": st.booleans() | st.integers(0, 20),
    "tool_choice": st.sampled_from(["auto", "none", "required", "look"]),
    "search": st.booleans(),
    "sample": st.integers(0, 9),
    "extra": st.dictionaries(words.filter(lambda w: w != "n"), values, max_size=3),
}
options = st.fixed_dictionaries({}, optional=OPTIONS)
plain_schemas = st.recursive(
    st.sampled_from([{"type": "string"}, {"type": ["integer", "null"]}, {"enum": ["a", 1]}, {"$ref": "#/$defs/D"}]),
    lambda inner: st.builds(lambda i: {"type": "array", "items": i}, inner)
    | st.builds(
        lambda p: {"type": "object", "properties": p, "required": sorted(p, reverse=True), "title": "Made Up"},
        st.dictionaries(names, inner, min_size=1, max_size=3),
    ),
    max_leaves=5,
)  # fmt: skip
schemas = st.builds(
    lambda body, d: Schema.of({**body, "$defs": {"D": d}}),
    plain_schemas,
    st.sampled_from([{"type": "number", "title": "D"}, {"type": "array", "items": {"$ref": "#/$defs/D"}}]),
)
tools = st.builds(
    lambda name, about, parameters: Tool.of({"name": name, "description": about, "parameters": parameters}),
    names,
    words,
    plain_schemas,
)
some_choices = st.lists(names, min_size=2, max_size=4, unique=True).map(tuple)
some_requests = st.builds(
    lambda model, said, given, form, tools: Request(
        model,
        said,
        Settings.of(**given),
        schema=form if isinstance(form, Schema) else None,
        choices=form if isinstance(form, tuple) else None,
        tools=tools,
    ),
    names,
    st.lists(messages, max_size=3).map(tuple),
    options,
    st.none() | schemas | some_choices,
    st.lists(tools, max_size=2).map(tuple),
)


@given(some_requests)
@settings(max_examples=50, deadline=None)
@pytest.mark.slow
def test_a_request_read_from_its_canonical_form_has_the_same_key(request):
    canonical = request.canonical()
    assert Request.from_json(canonical).key == request.key
    spelled = json.loads(canonical_json(canonical))
    assert Request.from_json(spelled).key == request.key == key_of(spelled)


def test_the_key_is_the_sha256_of_plain_canonical_json():
    for name, request in requests().items():
        spelled = json.loads(canonical_json(request.canonical()))
        text = json.dumps(
            {"v": KEY_VERSION, **spelled}, sort_keys=True, ensure_ascii=False, separators=(",", ":")
        )
        assert request.key == hashlib.sha256(text.encode()).hexdigest(), name


def test_golden_keys_stay_as_they_are():
    """The committed keys name answers that people have paid for.

    When this fails, what a request's canonical form looks like has changed, and every remembered answer of that kind
    can't be found any more. If that is meant, raise KEY_VERSION in request/canonical.py and write the file anew:
    python tests/request/golden.py > tests/request/golden_keys.json
    """
    committed = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert golden() == committed
    keys = [entry["key"] for entry in committed.values()]
    assert len(set(keys)) == len(keys) >= 40
    assert KEY_VERSION == 1


@pytest.mark.slow
@pytest.mark.parametrize(("locale", "seed"), [("C", "0"), ("de_DE.UTF-8", "4242")])
def test_golden_keys_need_no_extra_and_know_no_locale_and_no_display_setting(locale, seed):
    environ = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "LC_ALL": locale,
        "LANG": locale,
        "PYTHONHASHSEED": seed,
        "TZ": "Asia/Tokyo",
        "COLUMNS": "20",
        "POLARS_FMT_MAX_ROWS": "1",
        "POLARS_FMT_MAX_COLS": "1",
    }
    script = Path(__file__).with_name("golden.py")
    done = subprocess.run([sys.executable, script, "--bare"], env=environ, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == json.loads(GOLDEN.read_text(encoding="utf-8"))


# ------------------------------------------------------------------ any change gives another key

CHANGED = {
    "thinking": [None, True, False, "low", "high", 1, 2048],
    "temperature": [None, 0, 0.5, 1],
    "top_p": [None, 0.5, 1],
    "top_k": [None, 0, 20],
    "min_p": [None, 0, 0.1],
    "max_tokens": [None, 1, 100],
    "seed": [None, 0, 1],
    "stop": [None, "a", ["a", "b"], ["ab"]],
    "presence_penalty": [None, 0, 1],
    "frequency_penalty": [None, 0, 1],
    "repetition_penalty": [None, 1, 1.1],
    "logit_bias": [None, {1: 1}, {1: 2}, {2: 1}],
    "logprobs": [None, True, 1, 5],
    "tool_choice": [None, "auto", "none", "look"],
    "search": [None, True, False],
    "sample": [None, 1, 2],
    "extra": [None, {"num_ctx": 1}, {"num_ctx": 2}, {"num_ctx": "1"}, {"num_ctx": None}, {"a": {"b": 1}}, {"a": {"b": [1]}}],
}  # fmt: skip


def test_every_option_takes_part_in_the_key():
    assert set(CHANGED) == {f.name for f in fields(Settings)}
    keys = {}
    for name, several in CHANGED.items():
        for value in several:
            if value is not None or name == "thinking":
                key = Request("m", (user_message("hi"),), Settings.of(**{name: value})).key
                assert key not in keys, (name, value, keys.get(key))
                keys[key] = (name, value)


def test_every_field_of_a_request_and_of_its_parts_takes_part_in_the_key():
    call = ToolCall("1", "look", "{}")
    said = Message(
        "assistant", (Text("hello"),), tool_calls=(call,), reasoning="so", reasoning_blocks='[{"a":1}]'
    )
    tool = Tool("look", "Looks.", '{"type":"object","properties":{"a":{"type":"string"}}}')
    picture = Image.from_json({"type": "image", "sha256": "0" * 64, "max_pixels": 5, "detail": "low"})
    question = Message("user", (Text("hi"), picture))
    base = Request("m", (question, said), schema=Schema.of("a, b int"), tools=(tool,))

    def with_said(**changed):
        return replace(base, messages=(question, replace(said, **changed)))

    def with_part(part):
        return replace(base, messages=(replace(question, parts=(Text("hi"), part)), said))

    varied = [
        base,
        replace(base, model="m2"),
        replace(base, messages=(question,)),
        replace(base, messages=(question, said, question)),
        replace(base, schema=None),
        replace(base, schema=Schema.of("a, b float")),
        replace(base, schema=Schema.of("a, b int: how many")),
        replace(base, schema=None, choices=("a", "b")),
        replace(base, schema=None, choices=("b", "a")),
        replace(base, tools=()),
        replace(base, tools=(tool, tool)),
        replace(base, tools=(replace(tool, name="see"),)),
        replace(base, tools=(replace(tool, description="Sees."),)),
        replace(base, tools=(replace(tool, parameters='{"type":"object"}'),)),
        with_said(role="user"),
        with_said(parts=(Text("hello!"),)),
        with_said(parts=()),
        with_said(tool_calls=()),
        with_said(tool_calls=(replace(call, id="2"),)),
        with_said(tool_calls=(replace(call, name="see"),)),
        with_said(tool_calls=(replace(call, arguments='{"a":1}'),)),
        with_said(tool_call_id="1"),
        with_said(reasoning=""),
        with_said(reasoning="but"),
        with_said(reasoning_blocks=""),
        with_said(reasoning_blocks='[{"a":2}]'),
        with_part(Text("")),
        with_part(Image.from_json({"type": "image", "sha256": "1" * 64, "max_pixels": 5, "detail": "low"})),
        with_part(Image(picture.source, max_pixels=6, detail="low")),
        with_part(Image(picture.source, max_pixels=5, detail="high")),
        with_part(Image(picture.source, max_pixels=5)),
        with_part(Pdf.from_json({"type": "pdf", "sha256": "0" * 64})),
        with_part(Pdf.from_json({"type": "pdf", "sha256": "0" * 64, "pages": [1]})),
        with_part(Pdf.from_json({"type": "pdf", "sha256": "0" * 64, "pages": [2]})),
        with_part(Video.from_json({"type": "video", "sha256": "0" * 64})),
        with_part(Video.from_json({"type": "video", "sha256": "0" * 64, "fps": 2})),
        with_part(Video([picture])),
        with_part(Video([picture, picture])),
        with_part(Image("https://example.org/a.png")),
        with_part(Image("https://example.org/b.png")),
    ]
    keys = [request.key for request in varied]
    assert len(set(keys)) == len(keys), [i for i, key in enumerate(keys) if keys.index(key) != i]


@given(st.dictionaries(words, values, max_size=3), st.dictionaries(words, values, max_size=3))
@settings(max_examples=50, deadline=None)
def test_two_unknown_fields_that_differ_give_two_keys(one, other):
    def key(extra):
        return Request("m", (), Settings.of(extra={"x": extra})).key

    def spelled(value):
        return json.dumps(value, sort_keys=True)

    if spelled(json.loads(canonical_json(one))) != spelled(json.loads(canonical_json(other))):
        assert key(one) != key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"max_tokens": 10}, {"max_tokens": 20}),
        ({"logit_bias": {50256: -100}}, {}),
        ({"logit_bias": {50256: -100}}, {"logit_bias": {50256: 100}}),
        ({"extra": {"num_ctx": 2048}}, {"extra": {"num_ctx": 8192}}),
        ({"extra": {"reasoning": {"effort": "low"}}}, {"extra": {"reasoning": {"effort": "high"}}}),
        ({"extra": {"instructions": "a"}}, {"extra": {"instructions": "b"}}),
        ({"extra": {"a": [1, 2]}}, {"extra": {"a": [2, 1]}}),
        ({"extra": {"a": True}}, {"extra": {"a": 1}}),
        ({"thinking": True}, {"thinking": 1}),
        ({"thinking": False}, {}),
        ({"seed": 0}, {}),
        ({"logprobs": 0}, {}),
    ],
)
def test_wrong_answers_that_other_caches_served_are_not_served_here(one, other):
    """Keys made of a list of known parameters have handed out answers to other questions."""
    hello = (user_message("hi"),)
    assert Request("m", hello, Settings.of(**one)).key != Request("m", hello, Settings.of(**other)).key


def test_text_moved_from_one_place_to_another_gives_another_key():
    def said(*messages):
        return Request("m", tuple(Message(role, (Text(text),)) for role, text in messages)).key

    keys = [
        said(("user", "ab")),
        said(("user", "a"), ("user", "b")),
        said(("system", "a"), ("user", "b")),
        said(("user", "a b")),
        said(("user", "ab ")),
        said(("user", "AB")),
        said(("user", "a\nb")),
    ]
    assert len(set(keys)) == len(keys)
    composed, decomposed = said(("user", "\u00e9")), said(("user", "e\u0301"))
    assert composed != decomposed


# ------------------------------------------------------------------ what says nothing changes nothing


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"temperature": 1}, {"temperature": 1.0}),
        ({"presence_penalty": 0.0}, {"presence_penalty": -0.0}),
        ({"sample": 0}, {}),
        ({"extra": {}}, {}),
        ({"logit_bias": {}}, {}),
        ({"logprobs": False}, {}),
        ({"logprobs": True}, {"logprobs": 0}),
        ({"stop": "a"}, {"stop": ["a"]}),
        ({"stop": ["a", "b"]}, {"stop": ("b", "a", "b")}),
        ({"logit_bias": {1: 2, 3: 4}}, {"logit_bias": {"3": 4.0, "1": 2}}),
        ({"extra": {"a": {"x": 1, "y": 2}, "b": 1.0}}, {"extra": {"b": 1, "a": {"y": 2, "x": 1}}}),
        ({"extra": {"big": 10**16}}, {"extra": {"big": 1e16}}),
        ({"extra": '{"a": 1}'}, {"extra": {"a": 1}}),
        ({"extra": {"a": (1, 2)}}, {"extra": {"a": [1, 2]}}),
        ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"tool_choice": "f"}),
        ({"temperature": None, "seed": None, "thinking": None}, {}),
    ],
)
def test_what_means_the_same_has_the_same_key(one, other):
    hello = (user_message("hi"),)
    assert Request("m", hello, Settings.of(**one)).key == Request("m", hello, Settings.of(**other)).key


def test_numbers_of_numpy_are_the_numbers_they_are():
    np = pytest.importorskip("numpy")
    one = Settings.of(
        seed=np.int64(7),
        temperature=np.float64(0.5),
        max_tokens=np.int32(9),
        logit_bias={np.int64(3): np.float32(1)},
    )
    assert one == Settings.of(seed=7, temperature=0.5, max_tokens=9, logit_bias={3: 1})


def test_how_a_text_is_cut_into_parts_does_not_matter():
    picture = Image.from_json({"type": "image", "sha256": "0" * 64})

    def key(*parts):
        return Request("m", (Message("user", parts),)).key

    assert key(Text("ab")) == key(Text("a"), Text("b")) == key(Text(""), Text("ab"))
    assert (
        key(Text("ab"), picture) == key(Text("a"), Text("b"), picture) == key(Text("ab"), picture, Text(""))
    )
    assert key() == key(Text(""))


def test_order_of_fields_class_names_and_white_space_in_a_schema_do_not_matter():
    one = Schema.of(
        {"type": "object", "properties": {"a": {"type": "string"}, "b": {}}, "required": ["b", "a"]}
    )
    other = Schema.of(
        json.loads(
            '{"required":["a","b"],"properties":{"b":{},"a":{"type":"string","title":"A"}},"type":"object","title":"T"}'
        )
    )
    assert Request("m", (), schema=one).key == Request("m", (), schema=other).key


def test_thoughts_before_the_last_question_do_not_matter_and_those_after_it_do():
    def key(thought, *after):
        return Request(
            "m", (user_message("a"), Message("assistant", (Text("b"),), reasoning=thought), *after)
        ).key

    again = user_message("c")
    assert key("x", again) == key("y", again) == key("", again)
    assert key("x") != key("y")
    assert key("x", Message("tool", (Text("r"),))) != key("y", Message("tool", (Text("r"),)))


def test_thoughts_where_there_is_no_question_take_part():
    first = Request("m", (Message("assistant", (Text("b"),), reasoning="x"),))
    assert first.key != Request("m", (Message("assistant", (Text("b"),), reasoning="y"),)).key


@pytest.mark.parametrize(
    ("extra", "told"),
    [
        ({"a": float("nan")}, "nan, which JSON can't carry"),
        ({"a": float("inf")}, "inf, which JSON can't carry"),
        ({"a": {1, 2}}, "set is not JSON"),
        ({1: "a"}, "the name 1 is not text"),
        ({"a": "\ud800"}, "JSON can't carry"),
        ({"a": 2**70}, "JSON can't carry"),
        ({"a": object()}, "object is not JSON"),
    ],
)
def test_what_json_cannot_say_is_refused_before_anything_is_sent(extra, told):
    with pytest.raises(BadInput, match=told):
        Settings.of(extra=extra)


def test_a_lone_surrogate_in_the_prompt_is_refused_in_one_sentence():
    with pytest.raises(BadInput, match="holds something that JSON can't carry"):
        _ = Request("m", (user_message("\ud800"),)).key


def test_a_request_nested_without_end_is_refused():
    nested: list = []
    for _ in range(5000):
        nested = [nested]
    with pytest.raises(BadInput, match="nested too deeply"):
        Settings.of(extra={"a": nested})
