"""Every widget with every attack in it: run in a kernel, for `test_attacks.py` to look at in the browser.

Each function shows one widget and then takes all attacks, one after the other, through all of its fields and answers, on
the paths that they would come by: typed, answered, named by a frame or a server, told by an error. The browser draws
every one of them. `FIELDS` is what has been attacked; the test holds it against what is in the page.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
from IPython.display import display
from PIL import Image as Picture

from qwennb import Qwen
from qwennb.answer import Answer
from qwennb.cache import Spending
from qwennb.frames import Progress
from qwennb.notebook.widgets import (
    ChatPanel,
    Playground,
    Review,
    Usage,
    chat_page,
    progress,
)
from qwennb.notebook.widgets.chat_asking import ChatQuestion
from qwennb.notebook.widgets.chat_attach import Attached, TypedQuestion
from qwennb.notebook.widgets.chat_talk import STOPPED, ChatTurn
from qwennb.notebook.widgets.inert import read_tree
from qwennb.notebook.widgets.playground_run import VariantOutcome
from qwennb.notebook.widgets.review_rows import ReviewRows
from qwennb.request import Request, Text, ToolCall, part_of, user_message
from qwennb.tuning import Labels
from tests.browser import corpus
from tests.conftest import until

ATTACKS = corpus.ATTACKS[:352]  # one after the other: more would take minutes
END = "all are through"


def weather(city: str) -> str:
    """The weather in a city."""
    return city


def chat() -> ChatPanel:
    """The chat: fields, uploads, tables, turns, calls, errors, a stopped and a failed answer."""
    os.chdir(tempfile.mkdtemp())  # some names can be saved under
    panel = ChatPanel(tools=[weather])
    display(panel)
    drawn = io.BytesIO()
    Picture.new("RGB", (2, 2)).save(drawn, "PNG")
    question = ChatQuestion(
        panel._talk.client.session,
        _nothing,
        is_allowed_always=lambda _: False,
        changed=_nothing,
        ended=_nothing,
    )
    for attack in ATTACKS:
        panel.act("attach_name", name=attack)
        panel.act("save", where=attack)
        panel.act("choose", model=attack)
        panel.act("attach_file", name=attack, buffers=[drawn.getvalue()])
        table = Attached(attack, "table", part_of(attack))
        question.call = ToolCall("call", attack, json.dumps({"city": attack}))
        question.request = Request(attack, (user_message(Text(attack)),))
        question.error = None
        with panel.lock:
            panel.draw()
            panel.asking = chat_page.view_asking(1, TypedQuestion(attack, (table,)), question, 1)
            panel.tail = {"text": read_tree(attack), "thought": read_tree(attack)}
        panel.act("detach", number=0)
    whole = "\n\n".join(ATTACKS)
    for turns in (
        [*map(_turn, ATTACKS)],
        [ChatTurn(TypedQuestion(whole), partial=whole, ended=STOPPED, model=whole)],
        [ChatTurn(TypedQuestion("?"), ended=attack, model=attack) for attack in ATTACKS],
        [],
    ):
        panel._talk.branches[0] = turns
        with panel.lock:
            panel.draw()
    panel.act("choose", model="")
    panel.say(END)
    return panel


def _nothing(*_: Any) -> Any:
    """Do nothing."""


def playground(endpoint: str) -> Playground:
    """The playground: prompt, inputs, settings, answers, copies, what an error names. *endpoint* gives back what it is asked."""
    panel = Playground("Say {{ x }}", client=Qwen(endpoint=endpoint, cache_dir=tempfile.mkdtemp()), rows=20)
    display(panel)
    for attack in ATTACKS:
        for name in ("system", "choices", "schema", "stop"):
            panel.act("change", variant=0, name=name, value=attack)
        panel.act("write", prompt=attack, typed=attack, rows=20)
        with panel.lock:
            panel.draw()
        panel.act("run", prompt="{{ nope }}", typed=json.dumps({attack: "x"}), rows=20)
        assert not panel.running, "what it names is not there"
    for name in ("system", "choices", "schema", "stop"):
        panel.act("change", variant=0, name=name, value="")
    for batch in _batches(ATTACKS, 20):
        typed = "\n".join(json.dumps({"x": attack}) for attack in batch)
        panel.act("run", prompt="Say {{ x }}", typed=typed, rows=20)
        until(lambda: panel.status.startswith("Done"), "the end of the run")
        assert [answer.text for answer in panel.answers.values()].count(f"Say {batch[1]}") >= 1
        for form in ("cell", "column", "curl"):
            panel.act("copy", cell="A2", form=form)
            with panel.lock:
                panel.draw()
    for attack in ATTACKS:  # what it would be named, and what an error says, and marks between two answers
        panel.act("change", variant=0, name="system", value=attack)
        request = Request(attack, (user_message(Text(attack)),))
        with panel.lock:
            panel._asked = ("Say {{ x }}", [f"Say {attack}"], [{"model": attack}] * 2)
            panel._outcomes = {
                (0, 0): VariantOutcome(Answer(request, text=f"{attack} first")),
                (0, 1): VariantOutcome(Answer(request, text=f"{attack} second {attack}")),
            }
            panel.draw()
            panel._outcomes[0, 1] = VariantOutcome(problem=attack)
            panel.status = attack
            panel.draw()
    panel.act("change", variant=0, name="system", value="")
    panel.act("write", prompt="Say {{ x }}", typed="", rows=20)
    panel.status = END
    return panel


def review() -> Review:
    """The review: names and texts of sources, answers, corrections, names of reviewers and of files, classes, what is said.

    Each is drawn once and holds as much as there is room for, since a page draws what it has when it draws.
    """
    folder = Path(tempfile.mkdtemp())
    os.chdir(folder)
    whole = "\n\n".join(ATTACKS)
    frame = pl.DataFrame({attack: [attack] for attack in dict.fromkeys(ATTACKS)})
    frame = frame.with_columns(qw_answer=pl.lit(whole), qw_other=pl.lit(whole[::-1]))
    row = ReviewRows(frame, answer="qw_answer", other="qw_other").all[0]
    labels = Labels(folder / "labels.jsonl", ATTACKS[0])
    labels.give(row.name, "fixed", whole + "?")
    with labels.path.open("a") as file:
        for attack in ATTACKS[1:]:
            line = {"row": row.name, "verdict": "right", "fix": None, "by": attack, "at": ""}
            file.write(json.dumps(line) + "\n")
    made = Review(frame, answer="qw_answer", other="qw_other", labels=labels.path, by=ATTACKS[0])
    assert len(made.agreement) > 0.8 * len(ATTACKS)
    display(made)
    for attack in ATTACKS[::20]:  # what the file system and the form say of a name
        made.act("write", path=attack, form="trl", right=True)
        made.act("write", path="x", form=attack)
    made.act("choose", which=whole)
    made.act("press", letter=whole)
    named = [
        "\n".join(batch) for batch in _batches(ATTACKS, len(ATTACKS) // 9 + 1)
    ]  # labels with a button each
    few = pl.DataFrame({"a": named, "label": pl.Series(named, dtype=pl.Enum(named))})
    classes = Review(few, answer="label", labels=folder / "classes.jsonl", name=whole)
    for _ in named:
        classes.act("press", letter="1")
    assert classes.confusion is not None
    classes.act("picture")
    display(classes)
    made.say(whole + END)
    return made


def usage() -> Usage:
    """The usage: the names that the ledger holds, and what an error says."""
    rows = [Spending(attack, attack, attack, attack, requests=1, nanos=10**9) for attack in ATTACKS]
    config = SimpleNamespace(cache_dir=Path(tempfile.mkdtemp()), budget=2.0)
    memory = SimpleNamespace(spendings=SimpleNamespace(rows=lambda: rows, stamp=lambda: ()))
    client = SimpleNamespace(session=SimpleNamespace(config=config, memory=memory), config=config, spent=1.0)
    made = Usage(client)
    display(made)
    chosen = [("by", by) for by in ("model", "day", "notebook", "endpoint")]
    chosen += [("notebook", attack) for attack in ATTACKS[:9]] + [("notebook", "all")]
    for switch, value in chosen:
        made.act("choose", switch=switch, value=value)
        with made.lock:
            made.draw()
    for attack in ATTACKS:
        made.say(attack)
    made.say(END)
    return made


def progressing() -> None:
    """The progress: what a model is called and what a run waits for, in the panel and in the line."""
    seen = {
        "rows": 9,
        "unique": 9,
        "done": 3,
        "cached": 0,
        "failed": 0,
        "tokens": (1, 1),
        "cost": 0.5,
        "seconds": 9.0,
    }
    run = progress._ShownRun()
    run._is_watched = True
    for finished in (False, True):
        for attack in ATTACKS:
            run.see(Progress(**seen, finished=finished, model=attack, stop=lambda: None, note=attack))
            if run._panel is not None:
                run._panel.draw()
            if finished:
                run._show_line(Progress(**seen, finished=True, model=attack, stop=lambda: None, note=attack))
    print(END)


def _turn(attack: str) -> ChatTurn:
    asked = user_message(Text(attack))
    question = TypedQuestion(attack, (Attached(attack, "table", part_of(attack)),))
    answer = Answer(Request(attack, (asked,)), text=attack, reasoning=attack)
    return ChatTurn(question, answers=(answer,), messages=(asked,), model=attack)


def _batches(texts: Sequence[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(texts), size):
        yield list(texts[start : start + size])
