"""What the frameworks document of the files that they read, as checks of a line. None of them is installed here.

trl             docs/source/dataset_formats.md and trl/data_utils.py of TRL 1.16.0: `is_conversational`,
                `apply_chat_template` (the columns of each type, the last role of a prompt), `prepare_multimodal_messages`
                (as many places for pictures as pictures)
llama-factory   data/README.md and data/converter.py, parser.py, formatter.py, mm_plugin.py of llamafactory 0.9.5
unsloth         `standardize_data_formats` and `UnslothVisionDataCollator` of unsloth_zoo 2026.10.9
messages        OpenAI's chat completions: platform.openai.com/docs/api-reference/chat/create
"""

from __future__ import annotations

import json
from pathlib import Path

TYPES = {
    "messages": {"messages"}, "trl": {"prompt", "completion"}, "dpo": {"prompt", "chosen", "rejected"}, "kto": {"prompt", "completion", "label"},
}  # fmt: skip


def read_lines(path):
    text = Path(path).read_bytes().decode()
    assert text.endswith("\n") and not text.endswith("\n\n")
    return [json.loads(line) for line in text[:-1].split("\n")]


def check_line(line, form, folder=None):
    {"unsloth": check_unsloth, "messages": check_openai}.get(form, check_trl)(line, form, folder)


def check_trl(line, form, folder=None):
    assert set(line) - {"tools", "images"} == TYPES[form]
    for column in TYPES[form] - {"label"}:
        assert (
            isinstance(line[column], list) and line[column] and all("role" in turn for turn in line[column])
        )
    assert line["prompt"][-1]["role"] in ("user", "tool")
    for column in TYPES[form] - {"label", "prompt"}:
        assert [turn["role"] for turn in line[column]] == ["assistant"]
    if form == "kto":
        assert isinstance(line["label"], bool)
    turns = [turn for column in TYPES[form] - {"label"} for turn in line[column]]
    for turn in turns:
        assert turn["role"] in ("system", "user", "assistant", "tool")
        for call in turn.get("tool_calls", []):
            assert call["type"] == "function" and set(call["function"]) == {"name", "arguments"}
            assert isinstance(
                call["function"]["arguments"], dict
            )  # Qwen 3.5's template goes through its items
        if turn["role"] == "tool":
            assert turn["name"]
    check_tools(line)
    check_pictures(line, turns, folder)


def check_openai(line, form, folder=None):
    assert set(line) - {"tools", "images"} == {"messages"}
    turns, called = line["messages"], set()
    assert turns[-1]["role"] == "assistant"
    for turn in turns:
        assert turn["role"] in ("system", "user", "assistant", "tool") and "content" in turn
        for call in turn.get("tool_calls", []):
            assert set(call) == {"id", "type", "function"} and call["type"] == "function"
            assert isinstance(json.loads(call["function"]["arguments"]), dict)
            called.add(call["id"])
        if turn["role"] == "tool":
            assert turn["tool_call_id"] in called
    check_tools(line)
    check_pictures(line, turns, folder)


def check_tools(line):
    for tool in line.get("tools", []):
        assert tool["type"] == "function" and isinstance(tool["function"]["parameters"], dict)


def check_pictures(line, turns, folder):
    parts = [part for turn in turns if isinstance(turn["content"], list) for part in turn["content"]]
    kinds = {type(turn["content"]) for turn in turns}
    assert len(kinds) == 1, "a column is of one kind"
    assert all(part["type"] in ("text", "image") for part in parts)
    places = sum(part["type"] == "image" for part in parts)
    assert places == len(line.get("images", []))
    for path in line.get("images", []):
        assert (Path(folder) / path).is_file()


def check_unsloth(line, form, folder=None):
    """Of messages with texts, what `standardize_data_formats` takes; of parts, what the collator takes."""
    assert set(line) == {"conversations"}
    for turn in line["conversations"]:
        assert set(turn) == {"role", "content"} and turn["role"] in ("system", "user", "assistant")
        if isinstance(turn["content"], str):
            continue
        for part in turn["content"]:
            assert part["type"] in ("text", "image")
            assert part["type"] == "text" or (Path(folder) / part["image"]).is_file()


def read_as_llama_factory(folder, name):
    """Read a data set as `SharegptDatasetConverter` does; an example that it would skip fails."""
    entry = json.loads((Path(folder) / "dataset_info.json").read_text())[name]
    assert entry["formatting"] == "sharegpt" and not entry.get("ranking")
    # Where there are tags, those that are not given are None; so are columns.
    tags, columns = entry["tags"], entry["columns"]
    mapping = {
        tags.get(f"{role}_tag"): role for role in ("user", "assistant", "observation", "function", "system")
    }
    made = []
    for line in read_lines(Path(folder) / entry["file_name"]):
        messages = line[columns["messages"]]
        system = ""
        if messages[0][tags["role_tag"]] == tags["system_tag"]:
            system, messages = messages[0][tags["content_tag"]], messages[1:]
        accepted = (("user", "observation"), ("assistant", "function"))
        turns = []
        for number, message in enumerate(messages):
            role = mapping[message[tags["role_tag"]]]
            assert role in accepted[number % 2], "Invalid role tag"
            turns.append((role, message[tags["content_tag"]]))
        assert len(turns) % 2 == 0, "Invalid message count"
        for role, content in turns:
            assert isinstance(content, str)
            if role == "function":  # FunctionFormatter: JSON, a thought may stand before it
                calls = json.loads(content.rpartition("</think>")[2])
                assert all(set(call) >= {"name", "arguments"} for call in calls)
        tools = line.get(columns.get("tools", ""), "")
        for tool in json.loads(tools) if tools else []:
            assert (
                tool["name"] and isinstance(tool["description"], str) and "properties" in tool["parameters"]
            )
        images = line.get(columns.get("images", ""), [])
        assert sum(content.count("<image>") for _, content in turns) == len(images)
        assert not any(place in content for _, content in turns for place in ("<video>", "<audio>"))
        for path in images:
            assert (Path(folder) / path).is_file()
        made.append((system, turns, tools, images))
    return made
