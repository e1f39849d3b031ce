"""The chat, used as people use it: with the mouse, with the keyboard alone, after a reload, and as a reader finds it."""

from __future__ import annotations

import io
import json

import nbformat
import pytest
from nbconvert import HTMLExporter
from PIL import Image as Picture
from playwright.sync_api import expect

from qwennb.simulator import Reply, Simulator, ToolCall

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
    """The notebook with a chat in its second cell, and a third one to run beside it."""

    def opened(panel=PANEL):
        one_kernel.begin([BEGIN, panel, "print('the kernel is free')"])
        for cell in (0, 1):
            one_kernel.run(cell)
            one_kernel.wait_done()
        message(one_kernel).wait_for()
        return one_kernel

    return opened


def field(opened, label):
    return opened.page.get_by_label(label, exact=True)


def message(opened):
    return field(opened, "Your message")


def button(opened, name):
    return opened.output(1).get_by_role("button", name=name)  # before the name stands the icon's sign


def record(opened):
    """What the notebook keeps of the conversation."""
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


def test_a_conversation_by_keyboard_alone(chat, sim):
    opened = chat()
    page, press, typed = opened.page, opened.page.keyboard.press, opened.page.keyboard.type
    sim.script(
        [
            Reply("It is **bold**.\n\n```python\nprint(41 + 1)\n```", reasoning="let me think"),
            slowly(900),
            "short",
        ]
    )
    message(opened).focus()
    typed("first line\\")
    press("Enter")
    expect(message(opened)).to_have_value("first line\n")
    typed("second line")
    press("Enter")
    expect(record(opened).locator("strong", has_text="bold")).to_be_visible()
    expect(message(opened)).to_have_value("")
    assert body(sim)["messages"][-1]["content"] == "first line\nsecond line"
    thinking = record(opened).locator("details")
    assert thinking.get_attribute("open") is None and "let me think" in thinking.text_content()
    expect(opened.output(1)).to_contain_text("1 answer")
    expect(opened.output(1)).to_contain_text("$")

    # Stopped in mid-stream, with the kernel free all the while.
    typed("tell me a long story")
    press("Enter")
    opened.wait_text("word3")
    opened.run(2)
    opened.wait_text("the kernel is free")
    opened.wait_done()
    assert button(opened, "Stop").is_visible()
    message(opened).focus()
    press("Tab")
    assert page.evaluate("document.activeElement.innerText").strip() == "Stop"
    press("Space")
    expect(record(opened)).to_contain_text("[stopped: no part of the conversation]")
    expect(button(opened, "Send")).to_be_focused()
    assert "word899" not in opened.shown(1)

    press("Shift+Tab")
    typed("and now?")
    press("Enter")
    expect(record(opened)).to_contain_text("short")
    asked = [m["content"] for m in body(sim)["messages"]]
    assert asked[0] == "first line\nsecond line" and "and now?" in asked[-1] and len(asked) == 3

    # Every control can be reached, has a name, and comes in the order in which it stands.
    message(opened).focus()
    names = []
    for _ in range(16):
        names.append(page.evaluate(NAME))
        press("Tab")
    assert names[:3] == ["Your message", "Send", "Picture (0)"]
    assert all(names) and names.index("Turn") < names.index("Model") < names.index("Save as") < names.index(
        "Insert as cell"
    )

    # What was there is not lost: edited and asked again, the former answers are a branch.
    sim.script(["edited answer", "another draw"])
    field(opened, "Turn").select_option(index=0)
    button(opened, "Edit").press("Enter")
    expect(message(opened)).to_have_value("first line\nsecond line")
    message(opened).fill("other words")
    button(opened, "Send").press("Enter")
    expect(record(opened)).to_contain_text("edited answer")
    expect(record(opened)).to_contain_text("Branch 2 of 2")
    expect(record(opened)).not_to_contain_text("bold")
    field(opened, "Branch").select_option(index=0)
    expect(record(opened).locator("strong", has_text="bold")).to_be_visible()
    field(opened, "Branch").select_option(index=1)
    expect(record(opened)).to_contain_text("edited answer")
    button(opened, "Again").press("Enter")
    expect(record(opened)).to_contain_text("another draw")
    expect(record(opened)).to_contain_text("Branch 3 of 3")

    # A cell is inserted, not run; the conversation is a value.
    field(opened, "Branch").select_option(index=0)
    expect(record(opened)).to_contain_text("bold")
    field(opened, "Save as").fill("kept")
    button(opened, "Save").press("Enter")
    expect(opened.output(1)).to_contain_text("Saved as the variable kept")
    opened.type_into(2, "print('said', len(kept.messages), kept.messages[1].text[:2])")
    opened.run(2)
    opened.wait_text("said 4 It")
    button(opened, "Insert as cell").press("Enter")
    expect(opened.output(1)).to_contain_text("The code is ready")
    opened.run(2)
    opened.wait_done()
    expect(opened.page.locator(".jp-Notebook .jp-Cell")).to_have_count(4)
    assert ["".join(cell["source"]) for cell in opened.save()["cells"][3:]] == ["short"]
    assert opened.complaints() == [] and opened.strangers() == [] and opened.dialogs == []


NAME = """() => {
  const e = document.activeElement;
  const label = e.id && document.querySelector(`label[for="${e.id}"]`);
  return ((label && label.innerText) || e.innerText || e.getAttribute('aria-label') || e.title || '').trim();
}"""


def test_a_tool_runs_only_when_it_is_allowed(chat, sim):
    opened = chat()
    sim.script([Reply(None, tool_calls=[ToolCall("weather", {"city": "Lima"})]), "as you like"])
    send(opened, "how is it in Lima?")
    expect(field(opened, "The model wants to call")).to_have_value('weather({"city": "Lima"})')
    assert opened.complaints() == []
    button(opened, "Deny").click()
    expect(record(opened)).to_contain_text("as you like")
    assert "did not allow" in body(sim)["messages"][-1]["content"]
    sim.script([Reply(None, tool_calls=[ToolCall("weather", {"city": "Oslo"})]), "it is fine there"])
    send(opened, "and in Oslo?")
    button(opened, "Allow").click()
    expect(record(opened)).to_contain_text("it is fine there")
    assert body(sim)["messages"][-1]["content"] == "sunny in Oslo"
    expect(button(opened, "Allow")).not_to_be_visible()
    expect(record(opened)).to_contain_text("Allowed weather(city='Oslo')")


def test_pictures_figures_and_frames_go_along(chat, sim, tmp_path):
    opened = chat()
    page = opened.page
    sim.script(["one", "two"])
    drawn = io.BytesIO()
    Picture.new("RGB", (8, 8), "red").save(drawn, "PNG")
    file = {"name": '<img src=x onerror="alert(1)">.png', "mimeType": "image/png", "buffer": drawn.getvalue()}
    with page.expect_file_chooser() as chooser:
        button(opened, "Picture").click()
    chooser.value.set_files([file])
    expect(opened.output(1)).to_contain_text("onerror")
    button(opened, "Last figure").click()
    field(opened, "Variable").fill("cities")
    button(opened, "Attach").click()
    expect(opened.output(1)).to_contain_text("cities (table)")
    send(opened, "what are these?")
    expect(record(opened)).to_contain_text("one")
    [asked] = [m for m in body(sim)["messages"] if m["role"] == "user"]
    kinds = [part["type"] for part in asked["content"]]
    assert kinds.count("image_url") == 2 and "Lima" in str(asked["content"])
    expect(record(opened)).to_contain_text("With")
    expect(record(opened)).to_contain_text("last figure (picture)")

    field(opened, "Variable").fill("citys")
    button(opened, "Attach").click()
    expect(opened.output(1)).to_contain_text("did you mean `cities`")
    field(opened, "Variable").fill("__import__('os').system('x')")
    button(opened, "Attach").click()
    expect(opened.output(1)).to_contain_text("is not the name of a variable")

    field(opened, "Model").fill("plus")
    field(opened, "Thinking").select_option("off")
    send(opened, "without thinking {{ cities }}")
    expect(record(opened)).to_contain_text("two")
    assert "plus" in body(sim)["model"] and "{{ cities }}" in str(body(sim)["messages"][-1]["content"])
    assert "reasoning" in body(sim) or "enable_thinking" in str(body(sim))
    assert opened.dialogs == [] and opened.strangers() == []


def test_after_a_reload_it_goes_on_and_without_a_kernel_it_is_read(chat, sim):
    opened = chat()
    sim.script(["the first answer", "said after the reload", slowly(60)])
    send(opened, "one")
    expect(record(opened)).to_contain_text("the first answer")
    expect(opened.output(1)).to_contain_text("1 answer")
    opened.save()
    opened.reload()
    message(opened).wait_for()
    expect(record(opened)).to_contain_text("the first answer")
    send(opened, "two")
    opened.wait_text("said after the reload")
    send(opened, "three")
    opened.wait_text("word5")  # it is seen to grow, too
    button(opened, "Stop").click()
    opened.wait_text("stopped: no part")
    # Shown where its cell is run again, the record is whole.
    opened.type_into(2, "panel")
    opened.run(2)
    opened.wait_done()
    expect(opened.output(2)).to_contain_text("said after the reload")
    state = f"import json, ipywidgets\nprint('a key:', {CANARY!r} in json.dumps(ipywidgets.Widget.get_manager_state(), default=str))"
    opened.type_into(2, state)
    opened.run(2)
    opened.wait_text("a key: False")


def test_a_saved_chat_is_read_by_whoever_has_the_file(chat, sim):
    opened = chat()
    sim.script(["an **answer** to keep"])
    send(opened, "keep this?")
    expect(record(opened)).to_contain_text("an answer to keep")
    expect(opened.output(1)).to_contain_text("1 answer")
    opened.save()
    saved = nbformat.read(opened.path, as_version=4)
    nbformat.validate(saved)
    assert "widgets" not in saved["metadata"] and CANARY not in json.dumps(saved)
    html, _ = HTMLExporter().from_notebook_node(saved)
    assert "an <strong>answer</strong> to keep" in html and "Chat: run this cell to use it." in html
    opened.reopen_without_kernel()
    expect(opened.output(1)).to_contain_text("an answer to keep")
    opened.reopen_without_kernel(trusted=False)
    expect(opened.output(1)).to_contain_text("an answer to keep")
    expect(opened.output(1)).to_contain_text("Chat: run this cell to use it.")
    assert "Error displaying widget" not in opened.shown(1)
