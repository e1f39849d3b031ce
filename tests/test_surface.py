"""Every public call, with every kind of thing that it is not made for: it answers, or refuses in words of its own."""

from __future__ import annotations

import contextlib
import warnings

import numpy
import polars as pl
import pytest

import qwennb
from qwennb import Answer, Chat, Image, Pack, Pdf, Video
from qwennb.checks import RULES
from qwennb.errors import BadInput, QwenError
from qwennb.frames import forget_default
from qwennb.request import Message, Request, Text

FRAME = pl.DataFrame({"text": ["a"], "n": [1]})
PACK = Pack.of(
    [Answer(Request("qwen3.5-flash", (Message("user", (Text("a"),)),)), text="b", endpoint="openrouter")]
)


class Unwritable:
    """Has no text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")

    __repr__ = __str__


ODD = {
    "None": None,
    "True": True,
    "5": 5,
    "-1": -1,
    "1.5": 1.5,
    "nan": float("nan"),
    "inf": float("inf"),
    "bytes": b"\xff\x00",
    "empty": "",
    "space": " ",
    "half a character": "a\ud800b",
    "null character": "a\x00b",
    "hole": "{{ text }}",
    "open hole": "{{ text",
    "list": [],
    "list of numbers": [1, 2],
    "list of texts": ["a", "b"],
    "list of half": ["a", "\udfff"],
    "dict": {},
    "dict of numbers": {"x": 1},
    "dict by number": {1: 2},
    "set": {"a"},
    "tuple": (1, "a"),
    "object": object(),
    "unwritable": Unwritable(),
    "function": lambda: None,
    "class": int,
    "module": contextlib,
    "array": numpy.zeros((2, 2)),
    "Series": pl.Series(["a", "b"]),
    "DataFrame": FRAME,
    "LazyFrame": FRAME.lazy(),
    "expression": pl.col("text"),
    "range": range(3),
    "error": ValueError("x"),
}

CALLS = {
    "ask": lambda q, v: q.ask(v),
    "ask of a value": lambda q, v: q.ask("{{ x }}", x=v),
    "stream": lambda q, v: list(q.stream(v)),
    "ask_many": lambda q, v: q.ask_many(v),
    "ask_many of one": lambda q, v: q.ask_many([v]),
    "ask_many of a value": lambda q, v: q.ask_many([{"x": v}], prompt="{{ x }}"),
    "ask_many with a template": lambda q, v: q.ask_many([{"x": 1}], prompt=v),
    "plan": lambda q, v: q.plan(v),
    "plan of one": lambda q, v: q.plan([v]),
    "chat": lambda q, v: q.chat(v),
    "chat with tools": lambda q, v: q.chat(tools=v),
    "chat.ask": lambda q, v: q.chat().ask(v),
    "Chat.load": lambda q, v: Chat.load(v, q),
    "pack": lambda q, v: q.pack(v),
    "Pack": lambda q, v: Pack(v),
    "ask from a folder": lambda q, v: qwennb.Qwen(endpoint="simulator", cache_dir=v).ask("a") if isinstance(v, str) and not v.isprintable() else None,
    "Pack.read": lambda q, v: Pack.read(v),
    "Pack.of": lambda q, v: Pack.of(v),
    "pack.export": lambda q, v: PACK.export(v, "trl"),
    "pack.export as": lambda q, v: PACK.export("out", v),
    "pack.export labels": lambda q, v: PACK.export("out", "trl", labels=v),
    "pack.export by": lambda q, v: PACK.export("out", "trl", labels="labels.jsonl", by=v),
    "pack.export media": lambda q, v: PACK.export("out", "trl", media=v),
    "pack.export valid": lambda q, v: PACK.export("out", "trl", valid=v),
    "pack.export seed": lambda q, v: PACK.export("out", "trl", seed=v),
    "chat.save": lambda q, v: q.chat().save(v),
    "use": lambda q, v: qwennb.use(v),
    "use an endpoint": lambda q, v: qwennb.use(endpoint=v),
    "batches": lambda q, v: qwennb.batches(v),
    "compare": lambda q, v: qwennb.compare(v, ["a", "b"]),
    "compare with": lambda q, v: qwennb.compare(["a", None], v),
    "check": lambda q, v: qwennb.check(v, "text"),
    "check values": lambda q, v: qwennb.check(v, rules=["no_failed"]),
    "df.check": lambda q, v: FRAME.qwen.check(v),
    "report.accept": lambda q, v: FRAME.qwen.check("n").accept(v),
    "df.check the rule": lambda q, v: FRAME.qwen.check("n", rules={"matches": v}),
    "draw": lambda q, v: qwennb.draw(v, "text"),
    "df.draw": lambda q, v: FRAME.qwen.draw(v),
    "df.draw n=": lambda q, v: FRAME.qwen.draw("text", n=v),
    "df.draw seed=": lambda q, v: FRAME.qwen.draw("text", seed=v),
    "df.draw key=": lambda q, v: FRAME.qwen.draw("text", key=v),
    "estimate": lambda q, v: qwennb.estimate(v).share("text", human="n"),
    "df.estimate.share": lambda q, v: FRAME.qwen.estimate.share(v, human="n"),
    "df.estimate.share drawn=": lambda q, v: FRAME.qwen.estimate.share("text", human="n", drawn=v),
    "df.estimate.ols on=": lambda q, v: FRAME.qwen.estimate.ols("n", v, human="n", design="as if random"),
    **{
        f"df.estimate.share({name}=)": lambda q, v, name=name: FRAME.qwen.estimate.share("text", **{"human": "text", "design": "as if random", name: v})
        for name in ("human", "of", "by", "exact", "population", "level", "design")
    },
    "df.ask several": lambda q, v: FRAME.qwen.ask({"a": "{{ text }}", "b": v}, client=q),
    "df.ask with a value": lambda q, v: FRAME.qwen.ask("{{ text }} {{ x }}", values={"x": v}, client=q),
    "Image": lambda q, v: Image(v),
    "Image.of": lambda q, v: Image.of(v),
    "Video": lambda q, v: Video(v),
    "Pdf": lambda q, v: Pdf(v),
    "ask a table": lambda q, v: qwennb.ask(v, "{{ text }}", client=q),
    "ask a table with": lambda q, v: qwennb.ask(FRAME, v, client=q),
    "df.ask": lambda q, v: FRAME.qwen.ask(v, client=q),
    "df.classify": lambda q, v: FRAME.qwen.classify(v, ["a", "b"], client=q),
    "df.classify as": lambda q, v: FRAME.qwen.classify("text", v, client=q),
    "df.extract": lambda q, v: FRAME.qwen.extract(v, "name", client=q),
    "df.extract as": lambda q, v: FRAME.qwen.extract("text", v, client=q),
    "df.summarize": lambda q, v: FRAME.qwen.summarize(v, client=q),
    "df.translate": lambda q, v: FRAME.qwen.translate(v, "French", client=q),
    "df.translate to": lambda q, v: FRAME.qwen.translate("text", v, client=q),
    "df.score": lambda q, v: FRAME.qwen.score(v, "how urgent", client=q),
    "df.score by": lambda q, v: FRAME.qwen.score("text", v, client=q),
    "df.score from": lambda q, v: FRAME.qwen.score("text", "how urgent", low=v, high=5, client=q),
    "df.filter": lambda q, v: FRAME.qwen.filter(v, client=q),
    "df.plan": lambda q, v: FRAME.qwen.plan(v, client=q),
    "df.plan.classify": lambda q, v: FRAME.qwen.plan.classify("text", v, client=q),
    "lf.ask": lambda q, v: FRAME.lazy().qwen.ask(v, client=q),
    "lf.classify": lambda q, v: FRAME.lazy().qwen.classify(v, ["a", "b"], client=q),
    "lf.extract": lambda q, v: FRAME.lazy().qwen.extract("text", v, client=q),
    "lf.filter": lambda q, v: FRAME.lazy().qwen.filter(v, client=q),
    "expr.ask": lambda q, v: pl.col("text").qwen.ask(v, client=q),
    "expr.classify": lambda q, v: pl.col("text").qwen.classify(v, client=q),
    "expr.extract": lambda q, v: pl.col("text").qwen.extract(v, client=q),
    "expr.translate": lambda q, v: pl.col("text").qwen.translate(v, client=q),
    "expr.score": lambda q, v: pl.col("text").qwen.score(v, client=q),
    "expr.filter": lambda q, v: pl.col("text").qwen.filter(v, client=q),
    **{
        f"Qwen({name}=)": lambda q, v, name=name: qwennb.Qwen(**{name: v})
        for name in ("model", "endpoint", "api_key", "cache", "cache_dir", "budget", "timeout", "concurrency", "pace", "referer", "title", "system", "thinking", "tools", "schema")
    },
    **{
        f"ask({name}=)": lambda q, v, name=name: q.ask("a", **{name: v})
        for name in ("model", "system", "images", "videos", "files", "schema", "choices", "thinking", "temperature", "max_tokens", "stop", "logit_bias", "logprobs", "tools", "tool_choice", "search", "sample", "extra", "cache", "timeout", "budget", "overflow", "max_pixels", "max_steps")
    },
    **{
        f"df.ask({name}=)": lambda q, v, name=name: FRAME.qwen.ask("{{ text }}", **{"client": q, name: v})
        for name in ("into", "on_error", "meta", "nulls", "concurrency", "progress", "image", "root", "lane", "client", "system", "schema", "choices", "extra", "logit_bias", "stop", "model", "values")
    },
    **{
        f"df.classify({name}=)": lambda q, v, name=name: FRAME.qwen.classify("text", ["a", "b"], **{"client": q, name: v})
        for name in ("draws", "truth")
    },
    **{
        f"df.check({name}=)": lambda q, v, name=name: FRAME.qwen.check("n", **{name: v})
        for name in ("rules", "truth", "field", "key", "source", "people", "seconds", "tolerance", "at_least", "last", "level", "name", "judge")
    },
    **{
        f"df.check by {name}": lambda q, v, name=name: FRAME.qwen.check("text", truth="text", rules={name: v})
        for name in RULES
    },
}  # fmt: skip


def wrong(call, qwen):
    """What *call* raised that is no error of ours, by the thing that it was given."""
    found = {}
    for name, value in ODD.items():
        try:
            call(qwen, value)
        except QwenError as error:
            if "\n" in str(error).split("\nThe ")[0] or not str(error):
                found[name] = f"no sentence: {error!s:.200}"
        except BaseException as error:
            found[name] = f"{type(error).__name__}: {str(error)[:200]}"
    return found


@pytest.mark.parametrize("name", CALLS)
def test_a_call_answers_or_refuses_in_words_of_ours(simulate, client, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a chat is saved under any name that is one
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert wrong(CALLS[name], client(simulate(), timeout=5)) == {}
    finally:
        forget_default()


HALF = "a\ud800b {{ text }}"

HALVES = {
    "a prompt": lambda q: FRAME.qwen.ask(HALF, client=q),
    "a lazy prompt": lambda q: FRAME.lazy().qwen.ask(HALF, client=q).collect(),
    "an expression": lambda q: FRAME.select(pl.col("text").qwen.ask("a\udfffb {{ it }}", client=q)),
    "a statement": lambda q: FRAME.qwen.filter(HALF, client=q),
    "a criterion": lambda q: FRAME.qwen.score("text", "how a\ud800b", client=q),
    "a language": lambda q: FRAME.qwen.translate("text", to="a\ud800b", client=q),
    "what a label means": lambda q: FRAME.qwen.classify("text", {"a": "x\ud800", "b": "y"}, client=q),
    "a plan": lambda q: FRAME.qwen.plan(HALF, client=q),
}


@pytest.mark.parametrize("name", HALVES)
def test_half_a_character_in_what_a_column_asks_is_refused_and_not_sent_as_another(simulate, client, name):
    sim = simulate()
    with pytest.raises(BadInput, match="half a character"):
        HALVES[name](client(sim, timeout=5))
    assert sim.ledger.count("asked") == 0


def test_extract_without_a_schema_is_refused(simulate, client):
    sim = simulate()
    for frame in (FRAME.qwen, FRAME.lazy().qwen):
        with pytest.raises(BadInput, match="what to look for"):
            frame.extract("text", None, client=client(sim))
    with pytest.raises(BadInput, match="what to look for"):
        pl.col("text").qwen.extract(None, client=client(sim))
    assert sim.ledger.count("asked") == 0
