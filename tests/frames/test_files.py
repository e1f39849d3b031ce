"""A column of documents: bytes, or paths under a stated folder; nothing else in a cell is ever opened."""

from __future__ import annotations

import os

import polars as pl
import pytest

import qwennb
from qwennb.errors import BadInput
from qwennb.frames import QwenFrameWarning
from qwennb.simulator import Options
from tests.papers import pdf


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "reports"
    root.mkdir()
    (root / "a.pdf").write_bytes(pdf("Ada wrote this.", "And this."))
    (root / "b.md").write_text("Bea wrote this.\n")
    (root / "twin.pdf").write_bytes((root / "a.pdf").read_bytes())
    return root


def sent(sim):
    return [entry.body["messages"][-1]["content"] for entry in sim.ledger.asks()]


def test_paths_under_a_root_are_read_and_twins_asked_once(simulate, client, folder):
    sim = simulate("vllm")
    qwen = client(sim)
    table = pl.DataFrame({"path": ["a.pdf", "b.md", None, "twin.pdf"]})
    made = table.qwen.ask("Who wrote it?", file="path", root=folder, client=qwen)
    assert [answer is None for answer in made["answer"]] == [False, False, True, False]
    assert sorted(sent(sim)) == [
        "[b.md]\nBea wrote this.\n\nWho wrote it?",
        "[page 1]\nAda wrote this.\n\n[page 2]\nAnd this.\n\nWho wrote it?",
    ]
    assert (
        qwen.ask("Who wrote it?", files=[folder / "a.pdf"]).cached
        and qwen.ask("Who wrote it?", files=[folder / "b.md"]).cached
    )


def test_bytes_are_documents_eager_and_lazy(simulate, client, folder):
    sim = simulate("vllm")
    qwen = client(sim)
    table = pl.DataFrame({"paper": [(folder / "a.pdf").read_bytes(), b"plain text"], "who": ["Ada", "Bea"]})
    made = table.qwen.ask("Is it by {{ who }}?", file="paper", client=qwen)
    assert table.lazy().qwen.ask("Is it by {{ who }}?", file="paper", client=qwen).collect().equals(made)
    assert sim.ledger.count("asked") == 2 and "[document]\nplain text\n\nIs it by Bea?" in sent(sim)


def test_extract_and_summarize_take_a_column_of_documents(simulate, client, folder):
    sim = simulate(
        "vllm", script=lambda asked: '{"author": "Ada"}' if asked.body.get("response_format") else "short"
    )
    table = pl.DataFrame({"path": ["a.pdf"], "title": ["A title"]})
    made = table.qwen.extract("title", "author", file="path", root=folder, client=client(sim))
    assert made["extracted"][0] == {"author": "Ada"}
    assert (
        qwennb.summarize(table, "title", file="path", root=folder, client=client(sim))["summary"][0]
        == "short"
    )
    assert all("[page 1]\nAda wrote this." in content for content in sent(sim))


def test_nothing_outside_the_root_is_opened_and_each_row_says_what_is_wrong(
    simulate, client, folder, tmp_path
):
    sim = simulate("vllm")
    (tmp_path / "secret.md").write_text("k")
    (folder / "link.md").symlink_to(tmp_path / "secret.md")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 no")
    (folder / "empty.md").write_bytes(b"")
    os.mkfifo(folder / "pipe")
    cells = [
        "../secret.md",
        str(tmp_path / "secret.md"),
        "link.md",
        "none.md",
        "https://example.com/a.pdf",
        "pipe",
        "empty.md",
        "broken.pdf",
        "b.md",
    ]
    made = pl.DataFrame({"path": cells}).qwen.ask(
        "Who?", file="path", root=folder, client=client(sim), on_error="column"
    )
    errors = dict(zip(cells, made["answer_error"], strict=True))
    assert all("is outside the folder given as root" in errors[cell] for cell in (*cells[:3],))
    assert "there is no file none.md" in errors["none.md"] and "is a pipe or a device" in errors["pipe"]
    assert "empty.md is empty" in errors["empty.md"] and "broken.pdf " in errors["broken.pdf"]
    assert errors["b.md"] is None and sim.ledger.count("asked") == 1


def test_a_failed_row_is_named_in_the_warning(simulate, client, folder):
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 no")
    table = pl.DataFrame({"path": ["b.md", "broken.pdf"]})
    with pytest.warns(QwenFrameWarning, match=r"MediaError: broken\.pdf .*row 1"):
        table.qwen.ask("Who?", file="path", root=folder, client=client(simulate("vllm")))


def test_a_document_longer_than_the_window_costs_nothing_and_no_other_row(simulate, client, folder):
    sim = simulate("llama.cpp", models=["qwen2.5-coder-0.5b-instruct"])
    (folder / "long.md").write_text("A sentence. " * 10_000)
    made = pl.DataFrame({"path": ["long.md", "b.md"]}).qwen.ask(
        "Who?", file="path", root=folder, client=client(sim), on_error="column"
    )
    assert "WindowExceeded" in made["answer_error"][0] and made["answer"][1] is not None
    assert sim.ledger.count("asked") == 1


def test_a_picture_and_a_document_may_stand_side_by_side(simulate, client, folder):
    sim = simulate("vllm")
    red = bytes.fromhex(
        "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63606060000000040001f61738550000000049454e44ae426082"
    )
    table = pl.DataFrame({"photo": [red], "path": ["b.md"]})
    table.qwen.ask("Do they fit?", image="photo", file="path", root=folder, client=client(sim))
    assert [part["type"] for part in sent(sim)[0]] == ["text", "image_url"]


def test_a_plan_counts_the_documents(simulate, client, folder):
    qwen = client(simulate("vllm"))
    (folder / "long.md").write_text("word " * 5_000)
    table = pl.DataFrame({"path": ["long.md", "broken.pdf"]})
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 no")
    assert 4_500 < table.qwen.plan("Who?", file="path", root=folder, client=qwen).tokens < 7_500


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"file": "path"},
            r'Column `path` holds text, and text in a cell is never opened by itself.*root="documents/"',
        ),
        ({"file": "n"}, "Column `n` is Int64; documents are Binary, or paths under root="),
        ({"file": "paht", "root": "."}, "there is no column `paht`.*`path`"),
        ({"files": ["a.pdf"]}, 'file="path", with root="folder"'),
    ],
)
def test_a_column_that_holds_no_documents_is_refused_before_anything_runs(options, words):
    with pytest.raises(BadInput, match=words):
        pl.DataFrame({"path": ["a"], "n": [1]}).qwen.ask("Who?", **options)


def test_the_batch_lane_brings_what_the_live_lane_would_and_refuses_the_same(
    simulate, client, folder, tmp_path
):
    sim = simulate("dashscope", options=Options(batch_polls=1))
    (folder / "broken.pdf").write_bytes(b"%PDF-1.4 no")
    table = pl.DataFrame({"path": ["a.pdf", "broken.pdf", "b.md"]})
    asked = {"file": "path", "root": folder, "on_error": "column", "thinking": False, "max_tokens": 50}
    made = table.qwen.ask("Who?", **asked, client=client(sim), lane="batch")
    assert made.equals(table.qwen.ask("Who?", **asked, client=client(sim, cache_dir=tmp_path / "elsewhere")))
    assert [error is None for error in made["answer_error"]] == [True, False, True]
    assert "Ada wrote this." in str([entry.body for entry in sim.ledger.asks()])
