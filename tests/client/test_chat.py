"""Conversations and tools."""

from __future__ import annotations

import asyncio
import os

import polars
import pytest

from qwennb import Chat, Image, Qwen
from qwennb.errors import BadInput, RequestRefused, ToolError
from qwennb.simulator import Reply, ToolCall
from tests.conftest import NAMES

PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63f8cfc000000301010018dd8db0"
    "0000000049454e44ae426082"
)


def calls(*pairs: tuple[str, dict[str, object]]) -> Reply:
    return Reply(tool_calls=[ToolCall(name, arguments) for name, arguments in pairs])


def test_a_question_carries_what_was_said_before(simulate, client):
    sim = simulate(script=["I am Ada.", "Ada."])
    chat = client(sim).chat(system="Be brief.")
    chat.ask("Who are you?")
    chat.ask("Again, {{ how }}?", how="shorter")
    said = [(m["role"], m["content"]) for m in sim.ledger.last().body["messages"]]
    assert said == [
        ("system", "Be brief."),
        ("user", "Who are you?"),
        ("assistant", "I am Ada."),
        ("user", "Again, shorter?"),
    ]
    assert [m.role for m in chat.messages] == ["system", "user", "assistant", "user", "assistant"]


def test_a_chat_gone_through_again_costs_nothing(simulate, client):
    sim = simulate()
    for _ in range(2):
        chat = client(sim).chat()
        chat.ask("One?")
        chat.ask("Two?")
    assert sim.ledger.count("asked") == 2


def test_a_failed_question_leaves_the_chat_as_it_was(simulate, client):
    sim = simulate()
    chat = client(sim).chat()
    chat.ask("One?")
    before = chat.messages
    sim.fault("400", times=1)
    with pytest.raises(RequestRefused):
        chat.ask("Two?")
    assert chat.messages == before


def test_a_fork_goes_its_own_way(simulate, client):
    chat = client(simulate()).chat()
    chat.ask("One?")
    twin = chat.fork()
    twin.ask("Two?")
    assert len(chat.messages) == 2 and len(twin.messages) == 4


def test_save_and_load_keep_everything_and_the_file_is_private(simulate, client, tmp_path):
    sim = simulate()
    qwen = client(sim)
    chat = qwen.chat(system="Be brief.")
    chat.ask("What is this?", images=[Image(PNG)])
    chat.save(tmp_path / "chat.json")
    assert os.stat(tmp_path / "chat.json").st_mode & 0o777 == 0o600
    again = Chat.load(tmp_path / "chat.json", qwen)
    assert again.messages == chat.messages
    again.ask("And now?")
    assert sim.ledger.last().status == 200
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(BadInput, match=r"other.json is not a chat"):
        Chat.load(tmp_path / "other.json", qwen)


@pytest.mark.parametrize("dialect", NAMES)
def test_tools_are_called_and_their_results_go_back(simulate, client, dialect):
    def weather(city: str, days: int = 1) -> dict[str, object]:
        """The weather of a city.

        Args:
            city: its name
        """
        return {"city": city, "days": days, "sky": "clear"}

    sim = simulate(
        dialect,
        script=[calls(("weather", {"city": "Paris", "days": "2"}), ("weather", {"city": "Rome"})), "Clear."],
    )
    answer = client(sim).ask("Weather?", tools=[weather])
    assert str(answer) == "Clear."
    messages = sim.ledger.last().body["messages"]
    assert [m["role"] for m in messages] == ["user", "assistant", "tool", "tool"]
    assert messages[2]["content"] == '{"city":"Paris","days":2,"sky":"clear"}'
    assert messages[2]["tool_call_id"] == messages[1]["tool_calls"][0]["id"]
    definition = sim.ledger.asks()[0].body["tools"][0]["function"]
    assert definition["description"] == "The weather of a city."
    assert definition["parameters"]["properties"]["city"]["description"] == "its name"


def test_a_remembered_step_runs_no_tool(simulate, client):
    ran = []

    def note(text: str) -> str:
        """Write it down."""
        ran.append(text)
        return "done"

    sim = simulate(script=[calls(("note", {"text": "x"})), "Noted."])
    qwen = client(sim)
    assert [str(qwen.ask("Note x", tools=[note])) for _ in range(3)] == ["Noted."] * 3
    assert ran == ["x"] and sim.ledger.count("asked") == 2
    assert str(qwen.ask("Note x", tools=[note], cache="replay")) == "Noted." and ran == ["x"]


def test_an_exception_in_a_tool_goes_back_to_the_model(simulate, client):
    def broken() -> str:
        """Break."""
        raise RuntimeError("no luck")

    sim = simulate(script=[calls(("broken", {})), "Sorry."])
    assert str(client(sim).ask("Try", tools=[broken])) == "Sorry."
    assert sim.ledger.last().body["messages"][-1]["content"] == "Error: RuntimeError: no luck"


def test_arguments_are_checked_before_the_call(simulate, client):
    ran = []

    def add(a: int, b: int) -> int:
        """Add."""
        ran.append((a, b))
        return a + b

    script = [
        calls(("add", {"a": "x", "b": 1})),
        calls(("add", {"a": 1, "c": 2})),
        calls(("gone", {})),
        calls(("add", {"a": 1, "b": 2})),
        "3",
    ]
    sim = simulate("vllm", script=script)
    assert str(client(sim).ask("Add", tools=[add])) == "3"
    results = [m["content"] for m in sim.ledger.last().body["messages"] if m["role"] == "tool"]
    assert "a: Input should be a valid integer" in results[0]
    assert "no such argument: c" in results[1]
    assert "there is no tool 'gone'" in results[2]
    assert results[3] == "3" and ran == [(1, 2)]


def test_a_model_that_never_stops_calling_is_stopped(simulate, client):
    def again() -> str:
        """Again."""
        return "more"

    sim = simulate(script=lambda asked: calls(("again", {})))
    with pytest.raises(ToolError, match="after 3 steps. Give a higher max_steps="):
        client(sim).ask("Go", tools=[again], max_steps=3)
    assert sim.ledger.count("asked") == 3


def test_async_tools_run_in_both_doors(simulate, client):
    async def fetch(n: int) -> int:
        """Fetch."""
        await asyncio.sleep(0)
        return n + 1

    sim = simulate(
        script=lambda asked: "two" if asked.messages[-1]["role"] == "tool" else calls(("fetch", {"n": 1}))
    )
    assert str(client(sim).ask("Go", tools=[fetch], cache="off")) == "two"
    assert str(asyncio.run(client(sim).ask_async("Go", tools=[fetch], cache="off"))) == "two"


def test_a_tool_that_is_not_allowed_does_not_run(simulate, client):
    ran = []

    def wipe() -> None:
        """Wipe."""
        ran.append(1)

    sim = simulate(script=[calls(("wipe", {})), "Then not."])
    chat = Chat(client(sim), tools=[wipe], approve=lambda call: False)
    assert str(chat.ask("Wipe")) == "Then not." and not ran
    assert "did not allow" in sim.ledger.last().body["messages"][-1]["content"]
    # The refusal is not remembered as what the tool gave.
    sim.script(["Done."])
    assert str(Chat(client(sim), tools=[wipe], approve=lambda call: True).ask("Wipe")) == "Done." and ran == [
        1
    ]


def test_reasoning_goes_back_within_a_tool_loop_as_each_server_wants_it(simulate, client):
    wanted = {
        "openrouter": "reasoning_details", "dashscope": "reasoning_content", "vllm": "reasoning", "sglang": "reasoning_content",
        "mlx-vlm": "reasoning", "llama.cpp": "reasoning_content", "ollama": "reasoning",
    }  # fmt: skip

    def look() -> str:
        """Look."""
        return "seen"

    for dialect, field in wanted.items():
        step = Reply(reasoning="I must look.", tool_calls=[ToolCall("look", {})])
        sim = simulate(dialect, script=[step, "Seen.", "Bye."])
        chat = Chat(client(sim), tools=[look], thinking=True)
        chat.ask("Look")
        assistant = sim.ledger.last().body["messages"][1]
        told = assistant[field]
        assert (told[0]["text"] if isinstance(told, list) else told) == "I must look.", dialect
        chat.ask("Bye")
        if dialect != "openrouter":
            assert not any("reasoning" in name for m in sim.ledger.last().body["messages"] for name in m), (
                dialect
            )


def test_tool_definitions_that_break_a_rule_are_refused_before_sending(simulate, client):
    def search(query: str) -> str:
        """Search."""
        return ""

    def silent(query: str) -> str:
        return ""

    def spoken(query: str) -> str:
        """Spoken."""
        return ""

    sim = simulate("dashscope")
    qwen = client(sim)
    for tools, words in [
        ([search], "no tool called `search`"),
        ([silent], "wants a description of tool `silent`"),
        ([spoken, spoken], "Two tools are called `spoken`"),
        ([{"name": "bad name", "description": "x"}], "can't be a tool's name"),
        ([{"name": "n" * 65, "description": "x"}], "64 at most"),
        ([{"name": "naïve", "description": "x"}], "can't be a tool's name"),
        ([{"name": "list", "description": "x", "parameters": {"type": "array"}}], 'of type "object"'),
        ([lambda x: x], "lambda can't be a tool"),
    ]:
        with pytest.raises(ToolError, match=words):
            qwen.ask("Go", tools=tools)
    assert sim.ledger.count("asked") == 0


def test_a_chat_without_a_client_finds_one(tmp_path):
    (tmp_path / "chat.json").write_text('{"qwennb_chat": 1, "messages": [{"role": "user", "content": "hi"}]}')
    chat = Chat.load(tmp_path / "chat.json", Qwen(cache_dir=tmp_path))
    assert chat.messages[0].text == "hi"


def test_what_a_client_was_made_with_holds_in_its_chats_too(simulate, client):
    sim = simulate(script=["one", "two", "three"])
    qwen = client(sim, system="Be brief.", temperature=0.25)
    chat = qwen.chat()
    chat.ask("first")
    chat.ask("second")
    body = sim.ledger.last().body
    assert [m["content"] for m in body["messages"]] == ["Be brief.", "first", "one", "second"]
    assert body["temperature"] == 0.25
    qwen.chat(system="Be kind.", temperature=1).ask("first")
    body = sim.ledger.last().body
    assert [m["content"] for m in body["messages"]] == ["Be kind.", "first"] and body["temperature"] == 1
    with pytest.raises(BadInput, match="its system text from the start"):
        chat.ask("third", system="Be quick.")


def test_a_fork_has_the_tools_and_options_of_its_chat(simulate, client):
    def look(city: str) -> str:
        """Looks."""
        return city

    sim = simulate(script=["one", "two"])
    chat = client(sim).chat(tools=[look], temperature=0.5)
    chat.ask("first")
    chat.fork().ask("second")
    body = sim.ledger.last().body
    assert [tool["function"]["name"] for tool in body["tools"]] == ["look"] and body["temperature"] == 0.5


def test_a_stream_runs_no_tools_and_says_so(simulate, client):
    sim = simulate()
    with pytest.raises(BadInput, match="runs no tools. Use ask"):
        client(sim).stream("Why?", tools=[len])
    assert sim.ledger.count("asked") == 0


def test_a_chat_of_a_newer_version_and_another_file_are_told_apart(tmp_path):
    (tmp_path / "newer.json").write_text('{"qwennb_chat": 99, "messages": []}')
    with pytest.raises(BadInput, match="written by a newer qwennb"):
        Chat.load(tmp_path / "newer.json")
    (tmp_path / "other.json").write_text('{"messages": []}')
    with pytest.raises(BadInput, match="not a chat that qwennb wrote"):
        Chat.load(tmp_path / "other.json")


def test_a_frame_that_a_tool_gives_goes_back_as_a_small_table(simulate, client):
    def sales() -> polars.DataFrame:
        """The sales."""
        return polars.DataFrame({"shop": ["north", "south"]})

    sim = simulate(script=[calls(("sales", {})), "done"])
    client(sim).ask("How was it?", tools=[sales])
    told = next(m for m in sim.ledger.last().body["messages"] if m["role"] == "tool")["content"]
    assert told.startswith("2 rows × 1 columns") and "| north |" in told
