"""The chat, used as people use it: with the keyboard alone, with the mouse, after a reload and a restart, and as it is read."""

from __future__ import annotations

import io
import json

import nbformat
import pytest
from nbconvert import HTMLExporter
from PIL import Image as Picture
from playwright.sync_api import expect

from qwennb.simulator import Reply, Simulator, ToolCall
from tests.browser.lab import AXE

CANARY = "sk-canary-7d1e09ab33"
BEGIN = """%reload_ext qwennb
import polars as pl, matplotlib
matplotlib.use("agg")
from matplotlib import pyplot
from qwennb.notebook.widgets import ChatPanel
cities = pl.DataFrame({"city": ["Lima", "Oslo"], "people": [11, 1]})
pyplot.figure(); pyplot.plot([1, 2])
def weather(city: str) -> str:
    "The weather in a city."
    return f"sunny in {city}"
"""
PANEL = "panel = ChatPanel(tools=[weather])\npanel"


@pytest.fixture(scope="module")
def endpoint():
    with Simulator("openrouter", api_key=CANARY) as simulator:
        yield simulator


@pytest.fixture
def sim(endpoint):
    endpoint.reset()
    return endpoint


@pytest.fixture(scope="module")
def one_kernel(notebooks, endpoint):
    """A notebook that asks the simulator, for all tests here."""
    return notebooks([], QWENNB_ENDPOINT=f"openrouter+{endpoint.base_url}", QWENNB_API_KEY=CANARY)


@pytest.fixture
def chat(one_kernel):
    """The notebook with a chat of a name of its own in its second cell, and a third one to run beside it."""
    made: list[int] = []

    def opened(panel=PANEL, name=""):
        made.append(len(made))
        panel = panel.replace("ChatPanel(", f"ChatPanel(name={name or f'{id(made)}-{len(made)}'!r}, ")
        one_kernel.begin([BEGIN, panel, "print('the kernel is free')"])
        for cell in (0, 1):
            one_kernel.run(cell)
            one_kernel.wait_done()
        message(one_kernel).wait_for()
        return one_kernel

    return opened


def message(opened):
    return opened.page.get_by_label("Your message", exact=True)


def button(opened, name):
    return opened.output(1).get_by_role("button", name=name)


def panel(opened):
    return opened.output(1).locator(".qw")


def record(opened):
    """What the notebook keeps of the conversation; hidden where the panel shows the same."""
    return opened.output(1).locator(".jp-OutputArea-child").first


def send(opened, text):
    message(opened).click()
    opened.page.keyboard.type(text)
    opened.page.keyboard.press("Enter")


def slowly(words: int, delay: float = 0.1) -> Reply:
    pieces = [f"word{n} " for n in range(words)]
    return Reply("".join(pieces), chunks=pieces, chunk_delay=delay)


def body(sim):
    return sim.ledger.asks()[-1].body


def png() -> bytes:
    drawn = io.BytesIO()
    Picture.new("RGB", (8, 8), "red").save(drawn, "PNG")
    return drawn.getvalue()


def test_a_conversation_by_keyboard_alone(chat, sim):
    opened = chat()
    press, typed = opened.page.keyboard.press, opened.page.keyboard.type
    sim.script(
        [
            Reply("It is **bold**.\n\n```python\nprint(41 + 1)\n```", reasoning="let me think"),
            slowly(900),
            "short",
            "edited answer",
            "another draw",
        ]
    )
    message(opened).focus()
    typed("first line")
    press("Shift+Enter")
    typed("second line")
    expect(message(opened)).to_have_value("first line\nsecond line")
    press("Enter")
    expect(panel(opened).locator("strong", has_text="bold")).to_be_visible()
    expect(message(opened)).to_have_value("")
    assert body(sim)["messages"][-1]["content"] == "first line\nsecond line"
    thought = panel(opened).locator("details")
    assert thought.get_attribute("open") is None and "let me think" in thought.text_content()
    expect(panel(opened)).to_contain_text("1 answer")
    expect(record(opened)).to_be_hidden()

    # Stopped in mid-stream, with the kernel free all the while.
    typed("tell me a long story")
    press("Enter")
    opened.wait_text("word3")
    opened.run(2)
    opened.wait_text("the kernel is free")
    message(opened).focus()
    press("Escape")
    expect(panel(opened)).to_contain_text("Stopped: no part of the conversation.")
    assert "word899" not in opened.shown(1)
    typed("and now?")
    press("Enter")
    expect(panel(opened)).to_contain_text("short")
    asked = [m["content"] for m in body(sim)["messages"]]
    assert asked[0] == "first line\nsecond line" and "and now?" in asked[-1] and len(asked) == 3

    # No key reaches the notebook, wherever in the panel the focus is.
    for place in (panel(opened), panel(opened).locator(".qw-log"), button(opened, "More")):
        place.focus()
        for key in ("r", "m", "a", "b", "d", "d", "x", "y"):
            press(key)
    assert [cell["cell_type"] for cell in opened.save()["cells"]] == ["code"] * 3

    # Every control can be reached and has a name, in the order of reading.
    panel(opened).focus()
    names = []
    for _ in range(24):
        press("Tab")
        names.append(opened.page.evaluate(NAME))
    assert all(names) and names.index("More") < names.index("Edit question 1") < names.index("Copy answer 1")
    assert names.index("Copy answer 1") < names.index("Edit question 2") < names.index("Your message")

    # What was there is not lost: edited and asked again, the former answers are a branch.
    button(opened, "Edit question 1").press("Enter")
    editor = opened.page.get_by_label("Question 1", exact=True)
    expect(editor).to_be_focused()
    expect(editor).to_have_value("first line\nsecond line")
    editor.fill("other words")
    press("Enter")
    expect(panel(opened)).to_contain_text("edited answer")
    expect(panel(opened)).to_contain_text("Branch 2 of 2")
    expect(panel(opened)).not_to_contain_text("bold")
    button(opened, "Previous branch").press("Enter")
    expect(panel(opened).locator("strong", has_text="bold")).to_be_visible()
    button(opened, "Next branch").press("Enter")
    expect(panel(opened)).to_contain_text("edited answer")
    button(opened, "Ask question 1 again").press("Enter")
    expect(panel(opened)).to_contain_text("another draw")
    expect(panel(opened)).to_contain_text("Branch 3 of 3")

    # A cell is inserted, not run; the conversation is a value.
    button(opened, "Previous branch").press("Enter")
    expect(panel(opened)).to_contain_text("Branch 2 of 3")
    button(opened, "Previous branch").press("Enter")
    button(opened, "Insert as a new cell").press("Enter")
    expect(opened.page.locator(".jp-Notebook .jp-Cell")).to_have_count(4)
    saved = opened.save()["cells"][2]
    assert "".join(saved["source"]) == "print(41 + 1)" and saved["execution_count"] is None
    button(opened, "More").press("Enter")
    opened.page.get_by_label("Save as", exact=True).fill("kept")
    press("Enter")
    expect(panel(opened)).to_contain_text("Saved as the variable kept")
    opened.type_into(3, "print('said', len(kept.messages), kept.messages[1].text[:2])")
    opened.run(3)
    opened.wait_text("said 4 It")
    assert opened.strangers() == [] and opened.dialogs == []


NAME = """() => {
  const e = document.activeElement;
  return (e.getAttribute('aria-label') || e.title || e.innerText || '').trim();
}"""


def test_a_tool_runs_only_when_it_is_allowed(chat, sim):
    opened = chat()
    called = [
        Reply(None, tool_calls=[ToolCall("weather", {"city": city})])
        for city in ("Lima", "Oslo", "Bonn", "Kiel")
    ]
    sim.script(
        [
            called[0],
            "as you like",
            called[1],
            "it is fine there",
            called[2],
            "there too",
            called[3],
            "and there",
        ]
    )
    send(opened, "how is it in Lima?")
    call = opened.page.get_by_label("The call", exact=True)
    expect(call).to_have_text("weather(city='Lima')")
    assert opened.complaints() == []
    button(opened, "Deny this call").click()
    expect(panel(opened)).to_contain_text("as you like")
    assert "did not allow" in body(sim)["messages"][-1]["content"]
    said = opened.page.locator(
        ".qw > .qw-spoken"
    )  # to a screen reader: the question, then the answer and nothing else
    expect(said).to_have_text("as you like")
    send(opened, "and in Oslo?")
    expect(said).to_contain_text("wants to call weather")
    button(opened, "Allow this call").click()
    expect(panel(opened)).to_contain_text("it is fine there")
    expect(said).to_have_text("it is fine there")
    assert body(sim)["messages"][-1]["content"] == "sunny in Oslo"
    expect(call).not_to_be_visible()
    expect(panel(opened)).to_contain_text("Allowed weather(city='Oslo')")
    send(opened, "Bonn?")
    button(opened, "Allow each call").click()
    expect(panel(opened)).to_contain_text("there too")
    send(opened, "Kiel?")
    expect(panel(opened)).to_contain_text("and there")
    assert body(sim)["messages"][-1]["content"] == "sunny in Kiel"
    expect(record(opened)).to_contain_text("Allowed weather(city='Kiel')")


def test_pictures_figures_and_frames_go_along(chat, sim):
    opened = chat()
    page, shown = opened.page, panel(opened)
    sim.script(["three things", "two words"])
    button(opened, "Attach something").click()
    name = page.get_by_label("Name of a variable")
    expect(name).to_be_focused()
    file = {"name": '<img src=x onerror="alert(1)">.png', "mimeType": "image/png", "buffer": png()}
    with page.expect_file_chooser() as chooser:
        button(opened, "Attach a picture of this computer").click()
    chooser.value.set_files([file])
    expect(shown).to_contain_text("onerror")
    for event, carrier in (("paste", "clipboardData"), ("drop", "dataTransfer")):
        page.evaluate(DROP, [event, carrier, list(png())])
        expect(shown).to_contain_text(f"{event}.png (picture)")
    button(opened, "Detach drop.png").click()
    expect(shown).not_to_contain_text("drop.png")
    button(opened, "Attach the figure that was drawn last").click()
    name.fill("cities")
    name.press("Enter")
    expect(shown).to_contain_text("cities (table)")
    send(opened, "what are these?")
    expect(shown).to_contain_text("three things")
    [asked] = [m for m in body(sim)["messages"] if m["role"] == "user"]
    kinds = [part["type"] for part in asked["content"]]
    assert kinds.count("image_url") == 3 and "Lima" in str(asked["content"])
    expect(record(opened)).to_contain_text("last figure (picture)")

    for wrong, told in (
        ("citys", "did you mean `cities`"),
        ("__import__('os').system('x')", "is not the name of a variable"),
    ):
        name.fill(wrong)
        button(opened, "Attach this variable").click()
        expect(shown).to_contain_text(told)
    button(opened, "More").click()
    page.get_by_label("Model", exact=True).fill("plus")
    page.get_by_label("Thinking", exact=True).select_option("off")
    send(opened, "without thinking {{ cities }}")
    expect(shown).to_contain_text("two words")
    assert "plus" in body(sim)["model"] and "{{ cities }}" in str(body(sim)["messages"][-1]["content"])
    assert "reasoning" in body(sim) or "enable_thinking" in str(body(sim))
    assert opened.dialogs == [] and opened.strangers() == []


DROP = """([kind, carrier, bytes]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], `${kind}.png`, {type: 'image/png'}));
  document.querySelector('.qw-composer').dispatchEvent(kind === 'paste'
    ? new ClipboardEvent(kind, {[carrier]: data, bubbles: true, cancelable: true})
    : new DragEvent(kind, {[carrier]: data, bubbles: true, cancelable: true}));
}"""


def test_it_follows_what_comes_until_somebody_scrolls_up(chat, sim):
    opened = chat()
    page, log = opened.page, panel(opened).locator(".qw-log")
    sim.script(
        ["\n\n".join(f"line {n}" for n in range(60)), "\n\n".join(f"more {n}" for n in range(60)), "last"]
    )
    gap = "e => Math.round(e.scrollHeight - e.scrollTop - e.clientHeight)"
    send(opened, "many lines")
    expect(panel(opened)).to_contain_text("line 59")
    assert log.evaluate(gap) < 24
    log.hover()
    page.mouse.wheel(0, -600)
    expect(button(opened, "To the end")).to_be_visible()
    page.keyboard.press("Escape")
    sim.script([Reply("", chunks=[f"more {n}\n\n" for n in range(60)], chunk_delay=0.02)])
    opened.type_into(2, "panel.act('send', text='more lines')")
    opened.run(2)
    expect(panel(opened)).to_contain_text("more 59")
    assert log.evaluate(gap) > 300, "it has jumped away from who was reading"
    button(opened, "To the end").click()
    assert log.evaluate(gap) < 24


def test_after_a_reload_and_a_restart_it_goes_on(chat, sim):
    opened = chat(name="going on")
    sim.script(["the first answer", "said after the reload", slowly(60), "said after the restart"])
    send(opened, "one")
    expect(panel(opened)).to_contain_text("1 answer")
    opened.save()
    opened.reload()
    expect(panel(opened)).to_contain_text("the first answer")
    send(opened, "two")
    opened.wait_text("said after the reload")
    send(opened, "three")
    opened.wait_text("word5")  # it is seen to grow, too
    button(opened, "Stop this answer").click()
    opened.wait_text("Stopped: no part")
    opened.run(1)
    opened.wait_done()
    expect(panel(opened)).to_contain_text("said after the reload")
    state = f"import json, ipywidgets\nprint('a key:', {CANARY!r} in json.dumps(ipywidgets.Widget.get_manager_state(), default=str))"
    opened.type_into(2, state)
    opened.run_all()
    opened.wait_text("a key: False")
    opened.wait_done()
    asks = len(sim.ledger.asks())
    saved = []
    for _ in range(2):
        opened.restart_and_run_all()
        opened.wait_done()
        expect(panel(opened)).to_contain_text("said after the reload")
        saved.append(opened.save())
    assert saved[0] == saved[1] and len(sim.ledger.asks()) == asks, (
        "run again, the notebook is the same, byte for byte"
    )
    send(opened, "four")
    expect(panel(opened)).to_contain_text("said after the restart")
    assert body(sim)["messages"][0]["content"] == "one"


def test_a_saved_chat_is_read_by_whoever_has_the_file(chat, sim):
    opened = chat()
    sim.script(["an **answer** to keep"])
    send(opened, "keep this?")
    expect(panel(opened)).to_contain_text("1 answer")
    assert opened.complaints() == []
    opened.page.evaluate("jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Dark'})")
    opened.page.wait_for_function("document.body.dataset.jpThemeLight === 'false'")
    assert opened.complaints() == []
    opened.page.evaluate("jupyterapp.commands.execute('apputils:change-theme', {theme: 'JupyterLab Light'})")
    opened.page.wait_for_function("document.body.dataset.jpThemeLight === 'true'")
    opened.save()
    saved = nbformat.read(opened.path, as_version=4)
    nbformat.validate(saved)
    assert "widgets" not in saved["metadata"] and CANARY not in json.dumps(saved)
    html, _ = HTMLExporter().from_notebook_node(saved)
    assert "an <strong>answer</strong> to keep" in html and "Chat: run this cell to use it." in html
    opened.reopen_without_kernel()
    expect(record(opened)).to_contain_text("an answer to keep")
    expect(record(opened)).to_be_visible()
    opened.reopen_without_kernel(trusted=False)
    expect(opened.output(1)).to_contain_text("an answer to keep")
    expect(opened.output(1)).to_contain_text("Chat: run this cell to use it.")
    assert "Error displaying widget" not in opened.shown(1)


def test_it_is_the_same_in_notebook_7(chat, sim):
    opened = chat()
    sim.script(["seen before", "seen there"])
    send(opened, "asked in JupyterLab")
    expect(panel(opened)).to_contain_text("seen before")
    opened.save()
    page = opened.page.context.new_page()
    page.goto(opened.lab.address(opened.path, classic=True))
    shown = page.locator(".qw")
    expect(shown).to_contain_text("seen before")
    page.get_by_label("Your message", exact=True).click()
    page.keyboard.type("asked in Notebook 7")
    page.keyboard.press("Enter")
    expect(shown).to_contain_text("seen there")
    for place in (shown, shown.locator(".qw-log"), shown.get_by_role("button", name="More")):
        place.focus()
        for key in ("r", "m", "a", "b", "d", "d", "x", "y"):
            page.keyboard.press(key)
    expect(page.locator(".jp-Notebook .jp-CodeCell")).to_have_count(3)
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(
        "axe.run('.jp-Cell-outputArea', {resultTypes: ['violations']}).then(r => r.violations)"
    )
    assert [one["id"] for one in found] == []
    page.close()
