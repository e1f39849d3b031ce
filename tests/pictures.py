"""`poe pictures`: every screenshot of the pages and of README, made anew.

    poe pictures                         all of them, into docs/pictures
    poe pictures cells-answer tour       these
    poe pictures --look FOLDER           and each in the dark and in a narrow window too, in FOLDER, to be looked at

Each scene below is one kernel in a real JupyterLab. Who answers: the simulator, which says what was written for the picture;
in the tour the embedded local model, whose answers are saved in it; in the page of drift the answers that
docs/sharing.md tells of. What is no screenshot (load.png) is made by the command that its page shows.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, expect, sync_playwright

from qwennb.answer import Answer
from qwennb.request import Request, Schema, user_message
from qwennb.simulator import Reply, Simulator, ToolCall
from tests.browser.lab import Lab, Notebook

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "pictures"
WIDE, NARROW = 1_060, 640
TALL = 2_400  # what is scrolled away has no picture
KEY = "sk-simulated"
# What is told of a machine that is busy with taking pictures has no place in them.
QUIET = "import warnings\nwarnings.filterwarnings('ignore', message='Nothing of qwennb has moved')"
SCENES: dict[str, Callable[[Stage], None]] = {}
STYLE = ".jp-cell-toolbar, .jp-Collapser, .jp-collapseHeadingButton { visibility: hidden !important; }"


class Stage:
    """Where the scenes are played, and the camera."""

    def __init__(self, lab: Lab, folder: Path, look: Path | None) -> None:
        self.lab, self.folder, self.look = lab, folder, look
        self.opened: Notebook | None = None
        self.sim = Simulator("openrouter", api_key=KEY)

    def open(self, cells: list[Any], *replies: Any) -> Notebook:
        """A notebook of these *cells*, and the simulator with these *replies*. All scenes share its kernel."""
        self.sim.reset()
        self.sim.script(list(replies))
        if self.opened is None:
            environ = {
                "QWENNB_ENDPOINT": f"openrouter+{self.sim.base_url}",
                "QWENNB_API_KEY": KEY,
                "QWENNB_CACHE": "refresh",
            }
            self.opened = self.lab.open([QUIET], environ)
            self.opened.page.set_default_timeout(100_000)
            self.opened.run_all()
            self.opened.wait_done()
        self.opened.page.set_viewport_size({"width": WIDE, "height": TALL})
        self.opened.begin(cells)
        hide_sidebars(self.opened.page)
        return self.opened

    def shoot(self, name: str, opened: Notebook, first: int, last: int | None = None) -> None:
        """Take the cells from *first* to *last*: in light and wide for the pages; dark and narrow to be looked at."""
        opened.page.mouse.move(0, 0)
        self.keep(FOLDER / f"{name}.png", opened, first, last)
        if self.look is None:
            return
        shutil.copy(FOLDER / f"{name}.png", self.look)
        set_theme(opened.page, "JupyterLab Dark")
        self.keep(self.look / f"{name}-dark.png", opened, first, last)
        set_theme(opened.page, "JupyterLab Light")
        opened.page.set_viewport_size({"width": NARROW, "height": TALL})
        self.keep(self.look / f"{name}-narrow.png", opened, first, last)
        opened.page.set_viewport_size({"width": WIDE, "height": TALL})

    def keep(self, file: Path, opened: Notebook, first: int, last: int | None) -> None:
        """One picture of cells."""
        opened.page.evaluate("() => document.activeElement && document.activeElement.blur()")
        top = opened.cell(first)
        top.scroll_into_view_if_needed()
        opened.page.wait_for_timeout(400)  # a theme and a width take some frames
        begin, end = top.bounding_box(), opened.cell(first if last is None else last).bounding_box()
        assert begin is not None and end is not None
        clip = {"x": begin["x"], "y": begin["y"], "width": begin["width"]}
        clip["height"] = end["y"] + end["height"] - begin["y"] + 4
        opened.page.screenshot(path=file, clip=clip, style=STYLE)  # type: ignore[arg-type]
        shrink(file)


def scene(play: Callable[[Stage], None]) -> Callable[[Stage], None]:
    """Have the picture that is called like *play*."""
    SCENES[play.__name__.replace("_", "-")] = play
    return play


def hide_sidebars(page: Page) -> None:
    """Have the notebook alone in the window."""
    page.evaluate(
        """() => {
          for (const side of ['left', 'right'])
            if (jupyterapp.commands.isToggled(`application:toggle-${side}-area`))
              jupyterapp.commands.execute(`application:toggle-${side}-area`);
        }"""
    )


def set_theme(page: Page, theme: str) -> None:
    """Change JupyterLab's colours."""
    page.evaluate("theme => jupyterapp.commands.execute('apputils:change-theme', {theme})", theme)
    page.wait_for_function(
        "light => document.body.dataset.jpThemeLight === light", arg=str(theme.endswith("Light")).lower()
    )


def shrink(file: Path) -> None:
    """Make a PNG small: what a screen shows has few colours."""
    with Image.open(file) as taken:
        picture = taken.convert("RGB").quantize(192, dither=Image.Dither.NONE)
    picture.save(file, optimize=True)


# ---------------------------------------------------------------------- cells

SALES = """%reload_ext qwennb
import polars as pl
sales = pl.DataFrame({
    "shop": ["north", "south", "west"],
    "february": [410, 288, 195],
    "march": [361, 301, 214],
})"""
THOUGHT = """I compare March with February, shop by shop.

- north: 361 against 410, so **down** by 49
- south: 301 against 288, up by 13
- west: 214 against 195, up by 19
"""
ANSWER = """The **north** shop fell behind: it sold 12 % less in March than in February, while the other two grew.

| shop | February | March | change |
|:---|---:|---:|---:|
| north | 410 | 361 | −12 % |
| south | 288 | 301 | +5 % |
| west | 195 | 214 | +10 % |

At $24 an order that is a loss of about $1,200. The rate of a shop is

$$g = \\frac{m_{\\text{March}}}{m_{\\text{February}}} - 1$$

```python
sales.with_columns(change=pl.col("march") / pl.col("february") - 1)
```
"""
QUESTION = "%%qwen --think\nWhich shop fell behind, and by how much?\n\n{{ sales }}"


def pieces(text: str, size: int = 6) -> list[str]:
    """Cut *text* as a stream is."""
    return [text[at : at + size] for at in range(0, len(text), size)]


@scene
def cells_answer(stage: Stage) -> None:
    """A question with its answer."""
    opened = stage.open([SALES, QUESTION], Reply(ANSWER, reasoning=THOUGHT))
    opened.run_all()
    opened.wait_done()
    opened.page.locator("mjx-container").first.wait_for()
    stage.shoot("cells-answer", opened, 1)


@scene
def cells_thinking(stage: Stage) -> None:
    """The thought, open, while it comes. After the answer: what asks the same meanwhile would join it."""
    chunks = [{"reasoning": piece} for piece in pieces(THOUGHT)]
    opened = stage.open(
        [SALES, QUESTION], Reply("", chunks=[*chunks, *([{"reasoning": ""}] * 600)], chunk_delay=0.03)
    )
    opened.run(0)
    opened.wait_done()
    opened.run(1)
    opened.wait_text("up by 19")
    stage.shoot("cells-thinking", opened, 1)
    opened.interrupt()
    opened.wait_done()


@scene
def cells_tab(stage: Stage) -> None:
    """Tab, after the beginning of an option."""
    opened = stage.open(["%reload_ext qwennb", "%%qwen "])
    opened.run(0)
    opened.wait_done()
    page = opened.page
    opened.cell(1).locator(".cm-content").click()
    page.keyboard.press("End")
    page.keyboard.type("--s")
    page.keyboard.press("Tab")
    popup = page.locator(".jp-Completer:visible")
    popup.wait_for(timeout=60_000)
    page.wait_for_timeout(500)
    cell, box = opened.cell(1).bounding_box(), popup.bounding_box()
    assert cell is not None and box is not None
    file = FOLDER / "cells-tab.png"
    clip = {
        "x": cell["x"],
        "y": cell["y"],
        "width": box["x"] + box["width"] - cell["x"] + 12,
        "height": box["y"] + box["height"] - cell["y"] + 6,
    }
    page.screenshot(path=file, clip=clip)  # type: ignore[arg-type]
    shrink(file)
    if stage.look:
        shutil.copy(file, stage.look)


@scene
def cells_error(stage: Stage) -> None:
    """A name that is not there."""
    opened = stage.open([SALES, "%%qwen\nWhat is odd about {{ sale }}?"])
    opened.run_all()
    opened.wait_text("TemplateError")
    opened.wait_done()
    stage.shoot("cells-error", opened, 1)


@scene
def cells_schema(stage: Stage) -> None:
    """A form of pydantic, and what it holds."""
    form = "from pydantic import BaseModel\n\nclass Person(BaseModel):\n    name: str\n    born: int\n    known_for: list[str]"
    said = {
        "name": "Ada Lovelace",
        "born": 1815,
        "known_for": ["notes on the Analytical Engine", "the first program"],
    }
    opened = stage.open(
        ["%reload_ext qwennb", form, "%%qwen --schema Person --into ada\nWho was Ada Lovelace?"],
        json.dumps(said),
    )
    opened.run_all()
    opened.wait_text("1815")
    opened.wait_done()
    stage.shoot("cells-schema", opened, 1, 2)


@scene
def cells_tool(stage: Stage) -> None:
    """A call that was allowed, unfolded, and the answer."""
    tool = (
        'def stock(shop: str) -> dict:\n    "How much a shop has left."\n    return {"tea": 17, "coffee": 4}'
    )
    call = Reply(None, tool_calls=[ToolCall("stock", {"shop": "north"}, id="call_1")])
    opened = stage.open(
        ["%reload_ext qwennb", tool, "%%qwen --tools stock --yes\nWhat has the north shop to order?"],
        call,
        "It has **17** boxes of tea and only **4** of coffee: order coffee.",
    )
    opened.run_all()
    opened.wait_text("order coffee")
    opened.wait_done()
    opened.output(2).locator("summary").click()
    stage.shoot("cells-tool", opened, 1, 2)


@scene
def cells_interrupted(stage: Stage) -> None:
    """An answer that was stopped."""
    story = (
        "Once there was a shop by the harbour that sold nothing but tea. Its keeper knew every ship by the sound of its bell, "
        "and every captain by the tea that he drank. One morning a bell rang that she had never heard before"
    )
    opened = stage.open(
        ["%reload_ext qwennb", "%%qwen\nTell me a story about a shop."],
        Reply(story, chunks=[*pieces(story), *([""] * 600)], chunk_delay=0.02),
    )
    opened.run(0)
    opened.wait_done()
    opened.run(1)
    opened.wait_text("never heard before")
    opened.interrupt()
    opened.wait_done()
    stage.shoot("cells-interrupted", opened, 1)


# ---------------------------------------------------------------------- panels

REVIEWS = """%reload_ext qwennb
import pathlib, tempfile
import polars as pl
from qwennb import Qwen, widgets
here = pathlib.Path(tempfile.mkdtemp())
reviews = pl.DataFrame({
    "review": ["The soup was cold.", "What a lovely evening!", "We waited an hour, but the fish was worth it."],
})"""
JUDGED = (
    REVIEWS.partition("reviews =")[0]
    + """reviews = pl.DataFrame({
    "review": [
        "The soup was cold.", "What a lovely evening!", "Do you have a table for six on Friday?", "Best tea in town.",
        "The bill was wrong, twice.", "We waited an hour, but the fish was worth it.", "Is there parking?",
        "Never again.", "The cake alone is worth the way.", "Nobody came to take our order.",
    ],
    "label": pl.Series(
        ["complaint", "praise", "question", "praise", "complaint", "complaint", "question", "complaint", "praise", "question"],
        dtype=pl.Enum(["praise", "complaint", "question"]),
    ),
})"""
)


HARBOUR = (
    REVIEWS.partition("reviews =")[0]
    + """def harbour(city: str) -> dict:
    "The ships that lie in a city's harbour."
    return {"city": city, "ships": 12}"""
)
TRIP = """Take the early train: it leaves at 7:12 and is there at 9:40.

| train | leaves | arrives |
|:---|---:|---:|
| early | 7:12 | 9:40 |
| late | 9:12 | 11:55 |

```python
trains.filter(pl.col("arrives") < "10:00")
```
"""


def send(opened: Notebook, text: str) -> None:
    """Type *text* into the chat, and send it."""
    opened.page.get_by_label("Your message", exact=True).fill(text)
    opened.page.keyboard.press("Enter")


@scene
def widget_chat(stage: Stage) -> None:
    """One question with its answer, and the next answer on its way."""
    second = "By bus 16 it is ten minutes to the museum, and it runs every quarter of an hour"
    opened = stage.open(
        [HARBOUR, 'chat = widgets.ChatPanel(name="trip")\nchat'],
        Reply(TRIP, reasoning="Both trains go on Fridays; only one is there by ten."),
        Reply(second, chunks=[*pieces(second), *([""] * 900)], chunk_delay=0.03),
    )
    opened.run_all()
    opened.wait_done()
    send(opened, "Which train gets me to Bonn by ten on Friday?")
    opened.wait_text("trains.filter")
    opened.wait_text("$")
    send(opened, "And from the station to the museum?")
    opened.wait_text("quarter of an hour")
    stage.shoot("widget-chat", opened, 1)
    opened.page.get_by_role("button", name="Stop").click()


@scene
def widget_chat_tool(stage: Stage) -> None:
    """A chat that waits for a word: may the model call this?"""
    opened = stage.open(
        [HARBOUR, 'chat = widgets.ChatPanel(name="harbour", tools=[harbour])\nchat'],
        Reply(None, tool_calls=[ToolCall("harbour", {"city": "Bonn"}, id="call_1")]),
        "There are twelve.",
    )
    opened.run_all()
    opened.wait_done()
    send(opened, "How many ships lie in Bonn?")
    opened.page.get_by_role("button", name="Deny").wait_for()
    stage.shoot("widget-chat-tool", opened, 1)
    opened.page.get_by_role("button", name="Deny").click()


@scene
def widget_playground(stage: Stage) -> None:
    """A prompt on three rows, with two settings."""
    said = {"soup": "complaint", "lovely": "praise", "hour": "praise"}

    def answer(asked: Any) -> Reply:
        text = str(asked.body["messages"][-1]["content"])
        word = next(label for sign, label in said.items() if sign in text)
        if asked.body.get("temperature") and "hour" in text:
            word = "complaint"
        return Reply(word)

    panel = """widgets.Playground(
    "Is this praise or a complaint? {{ review }}",
    reviews,
    variants=[
        {"model": "flash", "thinking": False, "choices": ["praise", "complaint"]},
        {"model": "27b", "thinking": False, "choices": ["praise", "complaint"], "temperature": 0.2},
    ],
)"""
    opened = stage.open([REVIEWS, panel])
    stage.sim.script(answer)
    opened.run_all()
    opened.wait_done()
    opened.page.get_by_role("button", name="Run", exact=True).click()
    opened.wait_text("Done: 6 of 6 answered.")
    stage.shoot("widget-playground", opened, 1)


def judge(stage: Stage, options: str, keys: str) -> Notebook:
    """A review whose first rows were judged by *keys*."""
    panel = f'widgets.Review(reviews, answer="label", source="review", labels=here / "labels.jsonl", by="ada"{options})'
    opened = stage.open([JUDGED, panel])
    opened.run_all()
    opened.wait_done()
    opened.page.get_by_label("show", exact=True).focus()
    for at, key in enumerate(keys, 1):
        opened.page.keyboard.press(key)
        opened.wait_text(f"{at} of 10 rows")
    return opened


@scene
def widget_review(stage: Stage) -> None:
    """Nine rows judged, the tenth in sight."""
    stage.shoot("widget-review", judge(stage, "", "rrrrr1rrr"), 1)


@scene
def widget_review_hidden(stage: Stage) -> None:
    """The answer hidden, a button for each label."""
    stage.shoot("widget-review-hidden", judge(stage, ", hide_answer=True", "213"), 1)


@scene
def widget_usage(stage: Stage) -> None:
    """What was spent, by model."""
    asked = """qwen = Qwen(budget=2.00, cache="on", cache_dir=here)
for model in ("flash", "plus", "27b"):
    for n in range(4):
        _ = qwen.ask(f"Say {n}", model=model)"""
    opened = stage.open([REVIEWS, asked, "widgets.Usage(qwen)"])
    stage.sim.script(lambda asked: Reply("said", usage={"prompt_tokens": 2_100, "completion_tokens": 640}))
    opened.run_all()
    opened.wait_done()
    opened.wait_text("budget of")
    stage.shoot("widget-usage", opened, 2)


@scene
def widget_progress(stage: Stage) -> None:
    """A run under way, and the line that it leaves."""
    column = 'said = pl.DataFrame({"n": range(300)}).qwen.ask("Say {{ n }}", concurrency=12)'
    opened = stage.open([REVIEWS, column])
    stage.sim.pace(0.4)
    opened.run(0)
    opened.wait_done()
    opened.run(1)
    opened.page.get_by_role("button", name="Stop").wait_for(timeout=60_000)
    stage.sim.ledger.wait_for(170, timeout=120)
    stage.shoot("widget-progress", opened, 1)
    opened.wait_done()
    stage.shoot("widget-progress-done", opened, 1)


# ---------------------------------------------------------------------- the tour, and drift


@scene
def tour(stage: Stage) -> None:
    """The first cells of the tour, as they are saved."""
    book = json.loads((ROOT / "notebooks" / "00-tour.ipynb").read_text(encoding="utf-8"))
    opened = stage.open(book["cells"])
    opened.page.evaluate(
        "n => { jupyterapp.shell.currentWidget.content.activeCellIndex = n }", len(book["cells"]) - 1
    )
    last = next(n for n in range(len(book["cells"])) if opened.cell(n).bounding_box()["y"] > 1_250)  # type: ignore[index]
    stage.shoot("tour", opened, 0, last - 1)


SCORE = "Score the text: how urgent an answer is, 0 to 1. Text: "
EXTRACT = "Extract what is asked for from the text. Take only what it says. Text: "
ORDER = {"item": "", "amount": 0, "city": ""}
# Cell, question, recorded, anew: what docs/sharing.md shows, and what did not change beside it.
TWICE: list[tuple[int, str, Any, Any]] = [
    *((3, f"Praise or complaint? {n}", "complaint", "complaint") for n in range(6)),
    *((4, f"{SCORE}{n}", {"score": 0.5}, {"score": 0.5}) for n in range(4)),
    (4, f"{SCORE}Forty minutes for a coffee.", {"score": 1}, {"score": 0}),
    (4, f"{SCORE}5", {"score": 0.2}, {"score": 0.2}),
    (5, f"{EXTRACT}Please send two boxes of green tea to Ulm.", {**ORDER, "item": "green tea", "amount": 2, "city": "Ulm"},
     {**ORDER, "item": "boxes of green tea to Ulm", "amount": 2, "city": "Ulm"}),
    (5, f"{EXTRACT}I need 5 lamps, delivered to Oslo.", {**ORDER, "item": "lamps", "amount": 5, "city": "Oslo"},
     {**ORDER, "item": "lamp", "amount": 5, "city": "Oslo"}),
    (5, f"{EXTRACT}One chair to Bonn.", {**ORDER, "item": "chair", "amount": 1, "city": "Bonn"},
     {**ORDER, "item": "chair", "amount": 1, "city": "Bonn"}),
    (6, "In one sentence: what should a restaurant do about The soup was cold and nobody came.",
     "A restaurant should prioritize cold food and ensure that no one comes to enjoy it.",
     "A restaurant should address the cold soup issue and make sure no one comes."),
    (6, "In one word: what is it about?", "Soup.", "Soup."),
]  # fmt: skip


@scene
def drift(stage: Stage) -> None:
    """The report that docs/sharing.md tells of, as a page."""
    from qwennb.notebook.drift import CellQuestions, page_of
    from qwennb.notebook.drift import drift as compare

    def asked(which: int) -> list[CellQuestions]:
        cells: dict[int, list[Answer]] = {}
        for cell, question, *said in TWICE:
            cells.setdefault(cell, []).append(told(question, said[which]))
        return [CellQuestions(number, "", tuple(answers)) for number, answers in cells.items()]

    report = compare(
        "reviews.ipynb", asked(0), asked(1), day="2026-11-21", cost=0.0, options="temperature=0.9, seed=7"
    )
    context = stage.lab.chromium.new_context(viewport={"width": WIDE, "height": 900})
    page = context.new_page()
    for name, scheme, width in (
        ("drift", "light", WIDE),
        ("drift-dark", "dark", WIDE),
        ("drift-narrow", "light", NARROW),
    ):
        folder = FOLDER if name == "drift" else stage.look
        if folder is not None:
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            page.set_content(page_of(report))
            page.screenshot(path=folder / f"{name}.png", full_page=True)
            shrink(folder / f"{name}.png")
    context.close()


def told(question: str, said: Any) -> Answer:
    """An answer as the small local model gave it."""
    choices, schema = (("praise", "complaint"), None) if said == "complaint" else (None, None)
    if isinstance(said, dict):
        schema = Schema.of("score number" if "score" in said else "item, amount int, city")
    request = Request(
        "qwen2.5-coder-0.5b-instruct-q4_k_m", (user_message(question),), schema=schema, choices=choices
    )
    text = said if isinstance(said, str) else json.dumps(said)
    data = said if not isinstance(said, str) or choices else None
    return Answer(request, text=text, data=data, endpoint="local")


def main(arguments: list[str]) -> None:
    """Make the pictures that are named, or all."""
    read = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    read.add_argument("names", nargs="*", metavar="NAME")
    read.add_argument("--look", type=Path, metavar="FOLDER")
    given = read.parse_args(arguments)
    if given.look:
        given.look.mkdir(parents=True, exist_ok=True)
    expect.set_options(timeout=60_000)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        lab = Lab(Path(folder), playwright).start()
        try:
            stage = Stage(lab, Path(folder), given.look)
            with stage.sim:
                for name in given.names or SCENES:
                    SCENES[name](stage)
                    print(f"{name}.png", f"{(FOLDER / f'{name}.png').stat().st_size / 1000:.0f} kB")
        finally:
            lab.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
