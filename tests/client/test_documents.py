"""Documents asked about, over real sockets: what is sent, what is recalled, what is counted."""

from __future__ import annotations

import pytest

from qwennb import Document, Pdf
from qwennb.errors import MediaError, QwenWarning, WindowExceeded
from tests.papers import pdf

REPORT = pdf(*[f"Chapter {i}. The figure of this page is {1000 + i}." for i in range(1, 501)])


def content_sent(sim) -> str:
    """The content of the last message that arrived."""
    return sim.ledger.last().body["messages"][-1]["content"]


def test_five_hundred_pages_go_where_the_window_holds_them(simulate, client):
    sim = simulate("dashscope")
    client(sim).ask("What is the figure of page 212?", files=[REPORT])
    sent = content_sent(sim)
    assert "[page 212]\nChapter 212. The figure of this page is 1212." in sent
    assert sent.endswith("What is the figure of page 212?")


def test_a_file_of_every_kind_is_sent_as_what_it_says(simulate, client, tmp_path):
    (tmp_path / "notes.md").write_text("# Ask Ada\n")
    (tmp_path / "run.py").write_text("print(1)\n")
    sim = simulate("vllm")
    client(sim).ask(
        "What is it?",
        files=[tmp_path / "notes.md", str(tmp_path / "run.py"), b"bytes", Document(b"x", name="mail.txt")],
    )
    assert (
        content_sent(sim)
        == "[notes.md]\n# Ask Ada\n\n[run.py]\nprint(1)\n\n[document]\nbytes\n\n[mail.txt]\nx\n\nWhat is it?"
    )


def test_a_document_in_a_template_is_sent_where_it_stands(simulate, client):
    sim = simulate("vllm")
    client(sim).ask("Compare {{ a }} with {{ b }}.", a=Document(b"Ada", name="a"), b=Pdf(pdf("Bea")))
    assert content_sent(sim) == "Compare\n\n[a]\nAda\n\nwith\n\n[page 1]\nBea\n\n."


def test_an_answer_about_a_document_is_recalled_without_reading_it_again(simulate, client):
    sim = simulate("vllm")
    qwen = client(sim)
    first = qwen.ask("What is it?", files=[Document(b"x", name="a")])
    assert qwen.ask("What is it?", files=[Document(b"x", name="a")]).cached
    assert first.request.media[0].name == "a" and sim.ledger.count("asked") == 1


def test_the_window_is_checked_with_the_tokens_of_documents(simulate, client):
    sim = simulate("vllm")
    with pytest.raises(WindowExceeded, match=r"The input is .* tokens"):
        client(sim).ask("What is it?", files=[Document(b"word " * 400_000, name="a")])
    assert sim.ledger.count("asked") == 0


def test_a_plan_counts_the_tokens_of_documents(simulate, client):
    qwen = client(simulate("dashscope"))
    short, long = (
        qwen.plan("What?", files=[Document(b"word " * n, name="a")]).input.tokens for n in (10, 10_010)
    )
    assert long - short == pytest.approx(10_000, rel=0.1)


def test_pages_left_out_as_text_are_told_once(simulate, client):
    qwen = client(simulate("vllm"))
    report = Pdf(pdf("text", None), as_="text")
    with pytest.warns(
        QwenWarning, match=r'page 2 has no text but a picture, and as_="text" leaves that out'
    ) as told:
        qwen.ask("What is it?", files=[report])
        qwen.ask("And now?", files=[report])
    assert len(told) == 1


def test_a_file_that_can_not_be_read_fails_before_anything_is_sent(simulate, client):
    sim = simulate("vllm")
    with pytest.raises(MediaError, match=r"^broken\.pdf "):
        client(sim).ask("What is it?", files=[Document(b"%PDF-1.4 no", name="broken.pdf")])
    assert sim.ledger.count("asked") == 0


def test_a_folder_is_sent_and_what_is_left_out_told_once(simulate, client, tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("one\n")
    (tmp_path / "src" / "b.py").write_text("two\n")
    (tmp_path / "src" / "p.bin").write_bytes(b"\0\1")
    sim = simulate("vllm")
    qwen = client(sim)
    with pytest.warns(QwenWarning, match=r"2 files are sent\. Left out: 1 that is no document") as told:
        qwen.ask("What is it?", files=str(tmp_path / "src"))
        qwen.ask("And now?", files=[tmp_path / "src" / "*.py", tmp_path / "src"])
    assert len(told) == 1
    assert (
        content_sent(sim)
        == "[src/a.py]\none\n\n[src/b.py]\ntwo\n\n[src/a.py]\none\n\n[src/b.py]\ntwo\n\nAnd now?"
    )


def test_a_secret_in_a_folder_never_leaves_the_machine(simulate, client, tmp_path):
    (tmp_path / "conf.py").write_text("KEY = 'sk-" + "a1B2" * 8 + "'\n")
    sim = simulate("vllm")
    with pytest.raises(MediaError, match=r"conf\.py holds an API key"):
        client(sim).ask("What is it?", files=tmp_path)
    assert sim.ledger.count("asked") == 0
