"""All attacks, wherever an answer can hold one, and what a page must not have once it shows them.

Each attack is made an answer, a thought, an error, a footer, and names and values of tables. In CI a dozen share an output:
what is shown of one is made by itself, and put beside the others, so none covers another. `nightly` has an output for each.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from qwennb.answer import Answer
from qwennb.errors import BadInput
from qwennb.request import Request, user_message

FILE = Path(__file__).parents[1] / "answer" / "attacks.json"
ATTACKS: list[str] = [  # the wire holds no half characters
    attack.encode("utf-8", "replace").decode() for attack in json.loads(FILE.read_text(encoding="utf-8"))
]
EVERYTHING = "\n\n".join(ATTACKS)
TOGETHER = 12  # attacks in one output
_OPENS = (
    "```",
    "~~~",
    "$$",
    "\\[",
    "\\begin",
    "&#96;",
    "`",
    "<!--",
    "|",
)  # what could reach what comes after it

# What no output of ours may hold once a front end has rendered it, within the elements that are given. The front end's own:
# anchors beside headings, and the boxes of a list of tasks, which nobody can press.
ACTIVE = """where => {
  const found = [];
  for (const area of document.querySelectorAll(where || '.jp-OutputArea-output')) for (const node of area.querySelectorAll('*')) {
    const name = node.tagName.toLowerCase();
    if (node.closest('mjx-container, .MathJax_CHTML, .MathJax_Preview, marimo-tex, script[type^="math/"]')) {
      if (name === 'a' || node.hasAttribute('href')) found.push(node.outerHTML.slice(0, 200));  // no formula leads anywhere
      continue;
    }
    const isBox = name === 'input' && node.type === 'checkbox' && node.disabled;
    if (!isBox && /^(script|img|image|iframe|object|embed|style|link|meta|base|form|input|button|textarea|select|video|audio|source|svg|math|template|portal|marquee|frame|frameset|applet|area|map)$/.test(name))
      found.push(node.outerHTML.slice(0, 200));
    if (/^marimo-/.test(name)) found.push(node.outerHTML.slice(0, 200));
    for (const at of node.attributes) {
      if (/^on/i.test(at.name) || at.name === 'data-commandlinker-command' || at.name === 'srcdoc')
        found.push(node.outerHTML.slice(0, 200));
      const led = /^(href|src|action|formaction|xlink:href|background|poster)$/i.test(at.name);
      // In plain text and tracebacks the front end makes links of its own, which no output can prevent.
      if (led && !area.matches('.jp-RenderedText') && !/^(https?:\\/\\/|#)/i.test(at.value))
        found.push(node.outerHTML.slice(0, 200));
    }
  }
  return found;
}"""


def answers_with(attack: str) -> list[Answer]:
    """The attack as an answer, a thought, an error, a footer, and the name and value of a column."""
    request = Request("m", (user_message("x"),))
    return [
        Answer(request, text=attack),
        Answer(request, text="said", reasoning=attack),
        Answer(request, error=BadInput(attack)),
        Answer(Request(attack, (user_message("x"),)), text="said"),
        Answer(request, text="{}", data={attack: attack}),
        Answer(request, text="{}", data=[{attack: 1}, {attack: attack}]),
    ]


def outputs(*, alone: bool = False) -> list[dict[str, Any]]:
    """Every attack in every place, as what notebooks keep of it; last, all of them in one answer."""
    pages = [page._repr_mimebundle_() for attack in ATTACKS for page in answers_with(attack)]
    size = 1 if alone else TOGETHER
    made = [_join(pages[start : start + size]) for start in range(0, len(pages), size)]
    return [*made, *(page._repr_mimebundle_() for page in answers_with(EVERYTHING))]


def replies(*, alone: bool = False) -> Iterator[str]:
    """Every attack as it is said by a model: what leaves the rest of a text open by itself, others together."""
    few: list[str] = []
    for attack in ATTACKS:
        if alone or any(sign in attack for sign in _OPENS):
            yield attack
            continue
        few.append(attack)
        if len(few) == TOGETHER:
            yield "\n\n".join(few)
            few = []
    yield "\n\n".join(few)


def _join(pages: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        kind: "\n\n---\n\n".join(page[kind] for page in pages) for kind in ("text/markdown", "text/plain")
    }
