"""Examples for fine-tuning, held against what the two programs document of the files that they read."""

from __future__ import annotations

import json

import pytest

from qwennb.errors import BadInput
from qwennb.request import Message, Text
from qwennb.secrets import SecretScanner
from qwennb.tuning import Example, Origin, Selection, answer_message, check_form, write_examples


def example(question, answer, system=None):
    asked = (Message("user", (Text(question),)),)
    return Example(
        asked if system is None else (Message("system", (Text(system),)), *asked), answer_message(answer)
    )


def write(path, examples, form):
    origin = Origin("test", len(examples))
    return write_examples(path, Selection(list(examples)), check_form(form), origin, SecretScanner())


EXAMPLES = [
    example("Praise or complaint?\nThe soup was cold.", "complaint", "Be short."),
    example('Überraschung: "\u2028" und \\', "praise 🎉"),
]


def lines(path):
    text = path.read_bytes().decode()
    assert text.endswith("\n") and not text.endswith("\n\n")
    return [json.loads(line) for line in text[:-1].split("\n")]


# LLaMA-Factory: data/README.md, "OpenAI Format", and what its converter takes: an optional system message first, then
# user and assistant in turn, an even number of them; the description with exactly these columns and tags.
DOCUMENTED = {
    "formatting": "sharegpt",
    "columns": {"messages": "messages"},
    "tags": {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "system_tag": "system",
    },
}


def test_llama_factory_finds_the_file_and_its_description(tmp_path):
    path = tmp_path / "corrected.jsonl"
    written = write(path, EXAMPLES, "llama-factory")
    assert written == [path, tmp_path / "dataset_info.json"]
    known = json.loads(written[1].read_text())
    assert known == {"corrected": {"file_name": "corrected.jsonl", **DOCUMENTED}}
    read = lines(path)
    tags = known["corrected"]["tags"]
    for line, example in zip(read, EXAMPLES, strict=True):
        assert set(line) == {known["corrected"]["columns"]["messages"]}
        said = line["messages"]
        assert all(set(message) == {tags["role_tag"], tags["content_tag"]} for message in said)
        if said[0]["role"] == tags["system_tag"]:
            assert said[0]["content"] == example.prompt[0].text
            said = said[1:]
        assert [message["role"] for message in said] == [tags["user_tag"], tags["assistant_tag"]]
        assert [message["content"] for message in said] == [example.prompt[-1].text, example.answer.text]


def test_what_else_llama_factory_knows_is_left_as_it_is(tmp_path):
    described = tmp_path / "dataset_info.json"
    described.write_text('{"theirs": {"file_name": "theirs.json"}, "corrected": {"file_name": "old"}}')
    write(tmp_path / "corrected.jsonl", EXAMPLES, "llama-factory")
    known = json.loads(described.read_text())
    assert known["theirs"] == {"file_name": "theirs.json"}
    assert known["corrected"]["file_name"] == "corrected.jsonl"
    described.write_text("[1]")
    with pytest.raises(BadInput, match="no list of data sets"):
        write(tmp_path / "other.jsonl", EXAMPLES, "llama-factory")
    assert described.read_text() == "[1]" and not (tmp_path / "other.jsonl").exists()


# Unsloth: `standardize_data_formats` looks for a column "conversations" of messages with two texts each, one of them a
# role out of system, user and assistant (or their aliases), and gives back "role" and "content".
def test_unsloth_finds_conversations_with_roles_it_knows(tmp_path):
    path = tmp_path / "corrected.jsonl"
    assert write(path, EXAMPLES, "unsloth") == [path]
    read = lines(path)
    assert [set(line) for line in read] == [{"conversations"}] * 2
    messages = [message for line in read for message in line["conversations"]]
    assert all(set(message) == {"role", "content"} for message in messages)
    assert all(isinstance(value, str) for message in messages for value in message.values())
    assert {message["role"] for message in messages} == {"system", "user", "assistant"}
    assert read[0]["conversations"][0] == {"role": "system", "content": "Be short."}
    assert [message["content"] for message in read[1]["conversations"]] == [
        EXAMPLES[1].prompt[-1].text,
        EXAMPLES[1].answer.text,
    ]


def test_an_export_may_be_done_again_but_takes_nobody_elses_place(tmp_path):
    path = tmp_path / "corrected.jsonl"
    write(path, EXAMPLES, "unsloth")
    write(path, EXAMPLES[:1], "unsloth")
    assert len(lines(path)) == 1
    with pytest.raises(BadInput, match="something else"):
        write(path, EXAMPLES, "llama-factory")
    theirs = tmp_path / "reviews.csv"
    theirs.write_text("review,label\n")
    with pytest.raises(BadInput, match="something else"):
        write(theirs, EXAMPLES, "unsloth")
    assert theirs.read_text() == "review,label\n"
    assert [file.name for file in sorted(tmp_path.iterdir())] == ["corrected.jsonl", "reviews.csv"]


@pytest.mark.parametrize(
    ("examples", "form", "said"),
    [
        ([], "unsloth", "nothing to export: no answer is here"),
        (EXAMPLES, "axolotl", "is not a form"),
        ([example(" ", "a")], "unsloth", "Example 1"),
        ([EXAMPLES[0], example("q", "")], "llama-factory", "Example 2"),
    ],
)
def test_what_can_not_be_learnt_from_is_not_written(tmp_path, examples, form, said):
    with pytest.raises(BadInput, match=said):
        write(tmp_path / "corrected.jsonl", examples, form)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_said(tmp_path):
    with pytest.raises(BadInput, match="can't be written"):
        write(tmp_path / "none" / "corrected.jsonl", EXAMPLES, "unsloth")
    with pytest.raises(BadInput, match="Choose another name"):
        write(tmp_path / "dataset_info.json", EXAMPLES, "llama-factory")
