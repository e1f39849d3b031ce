"""Cells as they are seen: an answer grows, thinks, calls, ends, is stopped, and stays."""

from __future__ import annotations

import itertools

import pytest

from qwennb.answer import MIME
from qwennb.simulator import Reply, Simulator, ToolCall

THOUGHT = (
    "I compare March with February.\n\n- north: 361 against 410, so **down**\n- <b>south</b> and west: up\n"
)
ANSWER = """The **north** shop fell behind.

| shop | change |
|:---|---:|
| north | −12 % |
| south | +5 % |

It costs $5 or $10. The rate is $g = \\frac{m}{n} - 1$, here

$$g_{north} = \\frac{361}{410} - 1$$

```python
print("as it was <written>", `x`, $y$)
```
"""


@pytest.fixture(scope="module")
def sim():
    with Simulator("openrouter", api_key="sk-sim") as simulator:
        yield simulator


@pytest.fixture(scope="module")
def one_kernel(notebooks, sim):
    """A notebook that asks the simulator, for all tests here."""
    return notebooks([], QWENNB_ENDPOINT=f"openrouter+{sim.base_url}", QWENNB_API_KEY="sk-sim")


@pytest.fixture
def asking(one_kernel, sim):
    """The notebook with these cells, and the simulator with these replies."""

    def opened(cells, *replies):
        sim.script(list(replies))
        one_kernel.begin(["%reload_ext qwennb", *cells])
        return one_kernel

    return opened


# What a person sees of a cell, each time it changes.
WATCH = """n => {
  window.seen = [];
  const cell = document.querySelectorAll('.jp-Notebook .jp-Cell')[n];
  new MutationObserver(() => {
    const area = cell.querySelector('.jp-Cell-outputArea');
    if (!area || !area.innerText.trim()) return;
    const folds = [...area.querySelectorAll('details')];
    const now = {text: area.innerText, open: folds.filter(f => f.open).length, folds: folds.length,
                 formulas: area.querySelectorAll('mjx-container').length, height: area.offsetHeight};
    const last = seen[seen.length - 1];
    if (!last || last.text !== now.text || last.open !== now.open) seen.push(now);
  }).observe(cell, {subtree: true, childList: true, characterData: true, attributes: true});
}"""


def pieces(text: str, size: int = 8) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def test_an_answer_grows_its_reasoning_folds_and_both_stay(asking):
    chunks = [*({"reasoning": piece} for piece in pieces(THOUGHT)), *pieces(ANSWER)]
    opened = asking(
        ["%qwen --think Which shop fell behind?"],
        Reply(ANSWER, chunks=chunks, chunk_delay=0.12),
    )
    opened.page.evaluate(WATCH, 1)
    opened.run_all()
    opened.wait_text("qwen3.5-flash · ")
    opened.wait_done()
    opened.page.wait_for_function("() => document.querySelectorAll('mjx-container').length === 2")
    seen = opened.page.evaluate("seen")

    thinking = [one for one in seen if one["open"]]
    assert thinking and len({one["text"] for one in thinking}) >= 3, "the reasoning is seen to grow, unfolded"
    assert "I compare March" in thinking[-1]["text"] and "north shop fell" not in thinking[-1]["text"]
    answering = [one for one in seen if one["folds"] and not one["open"]]
    assert len({one["text"] for one in answering}) >= 3, "the answer is seen to grow, the reasoning folded"
    # It never falls together. For a moment after each update JupyterLab shows the formulas as the text that they are made of.
    assert all(now["height"] >= 0.6 * before["height"] for before, now in itertools.pairwise(answering))

    output = opened.output(1)
    assert output.locator("details").count() == 1 and not output.locator("details[open]").count()
    assert output.locator("table td").all_inner_texts() == ["north", "−12 %", "south", "+5 %"]
    assert "It costs $5 or $10." in opened.shown(1) and output.locator("mjx-container").count() == 2
    assert 'print("as it was <written>", `x`, $y$)' in opened.shown(1)
    output.locator("summary").click()
    assert "<b>south</b> and west: up" in opened.shown(1) and output.locator("li strong").count() == 1

    [saved] = opened.save()["cells"][1]["outputs"]
    assert saved["output_type"] == "display_data"
    assert set(saved["data"]) == {"text/markdown", "text/plain", MIME}
    output.locator("summary").click()
    live = opened.shown(1)
    for trusted in (True, False):
        opened.reopen_without_kernel(trusted=trusted)
        opened.page.wait_for_function("() => document.querySelectorAll('mjx-container').length === 2")
        assert opened.shown(1) == live, f"trusted: {trusted}"
    assert opened.complaints() == [] and opened.strangers() == [] and opened.dialogs == []


def test_a_table_a_call_and_an_error_are_seen(asking):
    call = Reply(None, tool_calls=[ToolCall("stock", {"shop": "north"}, id="call_1")])
    opened = asking(
        [
            "%qwen --schema 'name, born int, known_for list[str]' --into ada Who was Ada?",
            "def stock(shop: str) -> dict:\n    'What is left.'\n    return {'left': 17}",
            "%qwen --tools stock --yes How much is left?",
            "%%qwen\nTell me about {{ ad }}",
        ],
        '{"name": "Ada", "born": 1815, "known_for": ["notes", "a program"]}',
        call,
        "There are **17** left.",
    )
    opened.run_all()
    opened.wait_text("TemplateError")
    opened.wait_done()
    assert opened.output(1).locator("td").all_inner_texts() == [
        "name", "Ada", "born", "1815", "known_for", "notes\na program",
    ]  # fmt: skip
    line = opened.output(3).locator("details:not([open]) summary")
    assert line.inner_text() == "Called stock(shop='north')" and "17 left" in opened.shown(3)
    line.click()
    assert '{"left":17}' in opened.shown(3).replace(" ", "")
    assert opened.shown(4).startswith("TemplateError") and "did you mean `ada`?" in opened.shown(4)
    assert opened.shown(4).count("\n") <= 1, "an error is the one sentence it is"
    assert opened.complaints() == []


def test_an_interrupt_leaves_what_had_come(asking):
    story = "".join(f"word{n} " for n in range(400))
    opened = asking(
        ["%qwen --chat tale --into part A long story", "%qwen --chat tale And then?"],
        Reply(story, chunks=pieces(story, 7), chunk_delay=0.05),
        "The end.",
    )
    opened.run(0)
    opened.wait_done()
    opened.run(1)
    opened.wait_text("word3 ")
    opened.interrupt()
    opened.wait_done()
    assert (
        "word3" in opened.shown(1) and "[interrupted]" in opened.shown(1) and "word399" not in opened.shown(1)
    )
    assert opened.shown(1).splitlines()[-1].startswith("KeyboardInterrupt: stopped")
    opened.run(2)
    opened.wait_text("The end.")
    saved = opened.save()["cells"][1]["outputs"]
    assert [output["output_type"] for output in saved] == ["display_data", "error"]
    assert "interrupted" in saved[0]["data"][MIME]["finish_reason"]


def test_code_is_put_into_the_next_cell_once(asking):
    opened = asking(["%qwen --code Print one."], "So:\n\n```python\nprint('amber')\n```")
    opened.run_all()
    opened.wait_text("print('amber')")
    opened.wait_done()
    opened.run(1)  # now it is remembered
    opened.wait_done()
    assert ["".join(cell["source"]) for cell in opened.save()["cells"][2:]] == ["print('amber')"]
