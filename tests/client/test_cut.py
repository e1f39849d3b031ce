"""A text cut at its own `max_tokens` is the answer to that request: kept, marked, told. Anything else that was cut is a failure."""

from __future__ import annotations

import asyncio
import warnings

import pytest

from qwennb.client import QwenWarning
from qwennb.errors import Incomplete, InvalidAnswer
from qwennb.simulator import Reply, ToolCall
from tests.conftest import NAMES

STORY = Reply("Once upon a time there was a rive", finish_reason="length", usage={"completion_tokens": 8})


def told(do):
    """What *do* gives back, and the words of the warnings that came of it."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = do()
    return made, [str(one.message) for one in caught if issubclass(one.category, QwenWarning)]


def is_told_once(words):
    return len(words) == 1 and "cut at max_tokens=8" in words[0] and "larger max_tokens=" in words[0]


@pytest.mark.parametrize("dialect", NAMES)
def test_a_text_cut_at_its_own_max_tokens_is_kept_and_replays_at_every_endpoint(simulate, client, dialect):
    sim = simulate(dialect, script=lambda asked: STORY)
    first, live = told(lambda: client(sim).ask("Tell me", max_tokens=8, thinking=False))
    again, recalled = told(lambda: client(sim).ask("Tell me", max_tokens=8, thinking=False))
    replayed, replay = told(lambda: client(sim, cache="replay").ask("Tell me", max_tokens=8, thinking=False))
    assert first.text and first.finish_reason == "length" and first.complete and first.is_cut
    assert again == first == replayed and again.cached
    assert sim.ledger.count("asked") == 1
    assert is_told_once(live) and live == recalled == replay


def doors(qwen):
    """Every way to ask one question in words, by name."""
    messages = [{"role": "user", "content": "Tell me"}]
    ask = {"max_tokens": 8, "thinking": False}
    body = {"model": "qwen3.5-flash", "messages": messages, "max_tokens": 8}
    body |= {"extra_body": {"enable_thinking": False}}

    async def create(**more):
        made = await qwen.openai_async.chat.completions.create(**body, **more)
        return [piece async for piece in made] if more else made

    return {
        "ask": lambda: qwen.ask("Tell me", **ask),
        "ask_async": lambda: asyncio.run(qwen.ask_async("Tell me", **ask)),
        "stream": lambda: qwen.stream("Tell me", **ask).answer,
        "ask_many": lambda: qwen.ask_many(["Tell me"], **ask),
        "chat": lambda: qwen.chat().ask("Tell me", **ask),
        "chat, async": lambda: asyncio.run(qwen.chat().ask_async("Tell me", **ask)),
        "openai": lambda: qwen.openai.chat.completions.create(**body),
        "openai, stream": lambda: list(qwen.openai.chat.completions.create(**body, stream=True)),
        "openai, async": lambda: asyncio.run(create()),
        "openai, async stream": lambda: asyncio.run(create(stream=True)),
    }


@pytest.mark.parametrize("door", doors(None))
def test_a_cut_text_is_told_once_live_and_from_memory_at_every_door(simulate, client, door):
    sim = simulate(script=lambda asked: STORY)
    for number in range(2):
        _, words = told(doors(client(sim))[door])
        assert is_told_once(words), (number, words)
    assert sim.ledger.count("asked") == 1


def test_many_cut_texts_are_told_in_one_sentence(simulate, client):
    sim = simulate(script=lambda asked: "Short." if asked.text.endswith("3") else STORY)
    for _ in range(2):
        answers, words = told(lambda: client(sim).ask_many([f"Tell {n}" for n in range(4)], max_tokens=8))
        assert [a.finish_reason for a in answers] == ["length"] * 3 + ["stop"]
        assert is_told_once(words) and "3 of 4" in words[0]
    assert sim.ledger.count("asked") == 4


@pytest.mark.parametrize("mode", ["off", "refresh"])
def test_a_cut_text_is_told_in_every_mode(simulate, client, mode):
    sim = simulate(script=lambda asked: STORY)
    for _ in range(2):
        _, words = told(lambda: client(sim).ask("Tell me", max_tokens=8, cache=mode))
        assert is_told_once(words)
    assert sim.ledger.count("asked") == 2


# What the server says besides: the reply, what was asked with, and whether the request itself drew the line.
OWN = {
    "no usage": (Reply("one two", finish_reason="length", usage=False), {"max_tokens": 8}, True),
    "the number itself": (Reply("one two", finish_reason="length", usage={"completion_tokens": 8}), {"max_tokens": 8}, True),
    "a thought that counts": (
        Reply("one", reasoning="hm", finish_reason="length", usage={"completion_tokens": 8, "reasoning_tokens": 6}),
        {"max_tokens": 8}, True,
    ),
    "a thought that does not count": (
        Reply("one", reasoning="hm", finish_reason="length", usage={"completion_tokens": 30, "reasoning_tokens": 22}),
        {"max_tokens": 8}, True,
    ),
    "a limit given in extra": (
        Reply("one two", finish_reason="length", usage={"completion_tokens": 8}), {"extra": {"max_completion_tokens": 8}}, True,
    ),
    "no limit given": (Reply("one two", finish_reason="length"), {}, False),
    "fewer tokens than it had": (
        Reply("one two", finish_reason="length", usage={"completion_tokens": 5}), {"max_tokens": 8}, False,
    ),
    "long thought, short text": (
        Reply("one", reasoning="hm", finish_reason="length", usage={"completion_tokens": 30, "reasoning_tokens": 29}),
        {"max_tokens": 8}, False,
    ),
    "nothing but blanks": (Reply(" \n", finish_reason="length", usage={"completion_tokens": 8}), {"max_tokens": 8}, False),
    "no text": (Reply("", finish_reason="length", usage={"completion_tokens": 8}), {"max_tokens": 8}, False),
    "a filter": (Reply("one two", finish_reason="content_filter", usage={"completion_tokens": 8}), {"max_tokens": 8}, False),
    "broken off": (Reply("one two", finish_reason="error", usage={"completion_tokens": 8}), {"max_tokens": 8}, False),
}  # fmt: skip


@pytest.mark.parametrize("case", OWN)
@pytest.mark.parametrize("many", [False, True])
def test_only_the_requests_own_limit_makes_a_cut_text_an_answer(simulate, client, case, many):
    reply, given, is_own = OWN[case]
    sim = simulate(script=lambda asked: reply)
    qwen = client(sim)

    def ask():
        if not many:
            return qwen.ask("Tell me", **given)
        (answer,) = qwen.ask_many(["Tell me"], **given)
        if answer.error is not None:
            raise answer.error
        return answer

    if is_own:
        (answer, words), _ = told(ask), told(ask)
        assert answer.is_cut and len(words) == 1 and len(qwen.session.memory.store) == 1
        assert sim.ledger.count("asked") == 1
    else:
        with pytest.raises(Exception, match=r"[.…]$") as failed:
            ask()
        assert "Error" not in type(failed.value).__name__
        assert len(qwen.session.memory.store) == 0


@pytest.mark.parametrize(
    ("given", "words"),
    [({}, r"limit of its own.*max_tokens="), ({"max_tokens": 90}, r"before max_tokens=90.*shorter")],
)
def test_a_text_cut_by_the_server_is_a_failure_that_says_so(simulate, client, given, words):
    sim = simulate(script=lambda asked: Reply("one two", finish_reason="length"))
    with pytest.raises(Incomplete, match=words):
        client(sim).ask("Tell me", **given)
    with pytest.raises(Incomplete, match=words):
        client(sim).stream("Tell me", **given).answer  # noqa: B018
    assert sim.ledger.count("asked") == 2  # asking again by itself would only cost again


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ('{"name": "Ad', {"schema": "name"}),
        ('{"name": "Ada"}', {"schema": "name"}),
        ("yes", {"choices": ["yes", "yes and no"]}),
        ("no", {"choices": ["yes", "no"]}),
    ],
)
def test_a_form_that_was_cut_is_never_kept_however_whole_it_looks(simulate, client, text, form):
    sim = simulate(script=lambda asked: Reply(text, finish_reason="length", usage={"completion_tokens": 4}))
    qwen = client(sim)
    for given in (form, {**form, "max_tokens": 4}):
        with pytest.raises(InvalidAnswer, match="give a larger max_tokens="):
            qwen.ask("Who?", **given)
        (answer,) = qwen.ask_many(["Who?"], **given)
        assert isinstance(answer.error, InvalidAnswer)
    assert len(qwen.session.memory.store) == 0


def test_a_call_of_a_tool_that_was_cut_runs_nothing(simulate, client):
    ran = []

    def look_up(name: str) -> str:
        """Look a name up."""
        ran.append(name)
        return name

    call = ToolCall("look_up", {"name": "Ulm"})
    sim = simulate(script=lambda asked: Reply(None, tool_calls=[call], finish_reason="length"))
    qwen = client(sim)
    with pytest.raises(Incomplete, match="max_tokens="):
        qwen.ask("Where?", tools=[look_up], max_tokens=8)
    assert not ran and len(qwen.session.memory.store) == 0


def test_the_openai_client_sees_where_a_cut_text_ended(simulate, client):
    sim = simulate(script=lambda asked: STORY)
    for _ in range(2):
        reply, _ = told(doors(client(sim))["openai"])
        assert reply.choices[0].finish_reason == "length"
        assert reply.choices[0].message.content


def test_attempts_before_a_cut_text_do_not_hide_whose_limit_it_was(simulate, client):
    thought = Reply("", reasoning="hm", usage={"completion_tokens": 5, "reasoning_tokens": 5})
    cut = Reply(
        "one", reasoning="hm", finish_reason="length", usage={"completion_tokens": 8, "reasoning_tokens": 6}
    )
    sim = simulate(script=[thought, cut])
    qwen = client(sim)
    (first, _), (again, _) = (told(lambda: qwen.ask("Tell me", max_tokens=8)) for _ in range(2))
    assert first.attempts == 2 and again == first and again.cached
