"""A judge: an endpoint that knows what is right of each row, and is wrong as often as it is told to be.

It is the simulator, over a real socket, and its answers go the way of any model's: forms, retries, money, the cache. What
it is asked it reads from the request: the form of the answer says what, and the text which row; where rows stand together, their
blocks do (qwennb/request/blocks.py).
"""

from __future__ import annotations

import json
import re
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import Any, NamedTuple

import polars as pl

from qwennb.client import Qwen
from qwennb.errors import BadInput
from qwennb.frames import as_polars
from qwennb.request import GROUPS, MATCHES, ORDER, Block, read_blocks
from qwennb.simulator import Asked, Fault, Reply, Simulator, find_schema, text_of

Row = Mapping[str, Any]
Share = float | Callable[[Row], float]
UNREADABLE = '{"answer": …'


class Judge:
    """What `judge` gives: a client whose model knows what is right, and what it was asked.

    Attributes
    ----------
    client : Qwen
        Answers what any operator asks, with a memory of its own.
    calls : int
        Requests so far; what is recalled is none.
    kinds : Counter
        The same by what was asked: "label", "labels", "score", "fields", "text", "groups", "order", "matches".
    models : Counter
        The same by the model that was asked.

    Examples
    --------
    >>> from qwennb.testing import judge
    >>> reviews = pl.DataFrame({"review": ["Cold soup.", "Lovely."]})
    >>> with judge(rows=reviews, label=lambda row: "bad" if "Cold" in row["review"] else "good") as j:
    ...     labels = reviews.qwen.classify("review", ["good", "bad"], client=j.client)["label"].to_list()
    >>> labels, j.calls, dict(j.kinds)
    (['bad', 'good'], 2, {'label': 2})
    """

    client: Qwen

    def __init__(self, gold: Gold, noise: Noise) -> None:
        self._gold, self._noise = gold, noise
        self._lock = threading.Lock()
        self.kinds: Counter[str] = Counter()
        self.models: Counter[str] = Counter()

    @property
    def calls(self) -> int:
        """Requests so far."""
        return self.kinds.total()

    def _answer(self, asked: Asked) -> Reply | Fault:
        """Answer one request, as the simulator's script."""
        model = _DATED.sub("", asked.model.id.rpartition("/")[2])
        question = Question.read(asked)
        with self._lock:
            self.kinds[question.kind] += 1
            self.models[model] += 1
        try:
            said = self._gold.answer(question, self._noise.of(model, asked.sample))
        except Exception as unknown:  # what a gold function raises is told where the answer is missing
            return Fault("400", message=f"The judge can't tell: {type(unknown).__name__}: {unknown}")
        return Reply(said)


_DATED = re.compile(r"-(\d{8}|\d\d-\d\d)$")  # the day of a snapshot, as OpenRouter's ids have it


class Question(NamedTuple):
    """What one request asks: its kind, the field and the form of the answer, the text, the blocks in it."""

    kind: str
    form: Mapping[str, Any]
    text: str
    blocks: Sequence[Block]

    @classmethod
    def read(cls, asked: Asked) -> Question:
        """Read it from a request; after a complaint the question is still the first thing that the user said."""
        said = [text_of(message) for message in asked.messages if message.get("role") == "user"]
        form = asked.constraint.value if asked.constraint else None
        if not isinstance(form, Mapping):  # a server that takes no schema is told it in words
            form = find_schema([text_of(message) for message in asked.messages]) or {}
        text = said[0].partition(_IN_WORDS)[0] if said else ""
        fields = list(form.get("properties", ()))
        if len(fields) == 1 and fields[0] in _KINDS:
            return cls(_KINDS[fields[0]], form["properties"][fields[0]], text, read_blocks(text))
        return cls("fields" if fields else "text", form, text, ())


_KINDS = {
    "answer": "label",
    "labels": "labels",
    "score": "score",
    GROUPS: GROUPS,
    ORDER: ORDER,
    MATCHES: MATCHES,
}


_IN_WORDS = "\n\nAnswer with "


class Noise:
    """How a judge errs. What it says of a row, or of a pair, is the same however often it is asked, but for other draws."""

    def __init__(
        self,
        agree: Share | Mapping[str, Share],
        *,
        position_bias: float,
        intransitive: float,
        unreadable: float,
        seed: int,
    ) -> None:
        self._agree, self._seed = agree, seed
        self.position_bias, self.intransitive, self.unreadable = position_bias, intransitive, unreadable

    def of(self, model: str, sample: int) -> ModelNoise:
        """The noise of one draw of one model."""
        agree = self._agree
        if isinstance(agree, Mapping):
            agree = agree.get(model, agree.get(model.removeprefix("qwen3.5-"), 1.0))
        return ModelNoise(self, agree, f"{self._seed}/{model}/{sample}")


class ModelNoise:
    """The noise of one draw of one model: chances that depend on what is asked about alone."""

    def __init__(self, noise: Noise, agree: Share, name: str) -> None:
        self._noise, self._agree, self._name = noise, agree, name

    def chance(self, purpose: str, about: object) -> float:
        """A number from 0 to 1, always the same for the same."""
        written = f"{self._name}/{purpose}/{about!r}".encode("utf-8", "surrogatepass")
        return int.from_bytes(blake2b(written, digest_size=7).digest(), "big") / 2**56

    def is_right(self, row: Row, about: object) -> bool:
        """Whether it says what is right of *row*."""
        share = self._agree(row) if callable(self._agree) else self._agree
        return self.chance("agree", about) < share

    def takes_first(self, about: object) -> bool:
        """Whether it takes what stands first, whatever that is."""
        return self.chance("position", about) < self._noise.position_bias

    def is_unreadable(self, about: object) -> bool:
        """Whether it says what nobody can read."""
        return self.chance("unreadable", about) < self._noise.unreadable

    def flips(self, about: object) -> bool:
        """Whether it judges a pair against the order that it goes by otherwise."""
        return self.chance("pair", about) < self._noise.intransitive


class Gold:
    """What is right: the rows, and the functions that say so."""

    def __init__(
        self,
        left: pl.DataFrame,
        right: pl.DataFrame,
        label: Callable[[Row], Any] | None,
        same: Callable[[Row, Row], bool] | None,
        order: Callable[[Row, Row], float] | None,
    ) -> None:
        self._left, self._right = RowFinder(left), RowFinder(right)
        self._label, self._same, self._order = label, same, order

    def answer(self, question: Question, noise: ModelNoise) -> str:
        """Say what is asked for, in its form, with the *noise* in it."""
        about = question.text
        if noise.is_unreadable(about):
            return UNREADABLE
        if question.blocks and question.kind in _WINDOWS:
            said = _WINDOWS[question.kind](self, question, noise)
            return json.dumps({question.kind: said})
        rows = self._left.find_all(question.text)
        row, right = rows[0], _need(self._label, "label")(rows[0])
        if any(self._label(other) != right for other in rows[1:]):  # type: ignore[misc]
            raise BadInput(
                f"{len(rows)} rows of rows= stand in {about[:80]!r}, and what is right of them differs"
            )
        if not noise.is_right(row, about):
            right = _err(right, question, noise.chance("error", about))
        if question.kind == "text":
            return str(right)
        if question.kind == "fields":
            return json.dumps(right, ensure_ascii=False, default=str)
        choices = question.form.get("enum")
        if isinstance(right, bool) and choices is not None:
            right = "yes" if right else "no"
        if choices and noise.takes_first(about):
            right = choices[0]
        return json.dumps({_FIELDS[question.kind]: right}, ensure_ascii=False)

    def group(self, question: Question, noise: ModelNoise) -> list[list[int]]:
        """Say which rows of a window are the same; a pair that is the same brings all that are the same as either."""
        rows = [self._left.find(block.text) for block in question.blocks]
        group = list(range(len(rows)))
        for one in range(len(rows)):
            for other in range(one):
                if self._are_same(
                    rows[one], rows[other], question.blocks[one], question.blocks[other], noise
                ):
                    was, to = group[one], group[other]
                    group = [to if at == was else at for at in group]
        return [[place + 1 for place, at in enumerate(group) if at == name] for name in dict.fromkeys(group)]

    def match(self, question: Question, noise: ModelNoise) -> list[int]:
        """Say which rows on the right match the one on the left."""
        here = [block for block in question.blocks if block.tag == "left"]
        there = [block for block in question.blocks if block.tag == "right"]
        if there and noise.takes_first(question.text):
            return [1]
        row = self._left.find(here[0].text)
        return [
            block.number
            for block in there
            if self._are_same(row, self._right.find(block.text), here[0], block, noise)
        ]

    def sort(self, question: Question, noise: ModelNoise) -> list[int]:
        """Say the order of a window, the most first: by how many others each is above."""
        if noise.takes_first(question.text):
            return [block.number for block in question.blocks]
        rows = [self._left.find(block.text) for block in question.blocks]
        wins = [0] * len(rows)
        for one in range(len(rows)):
            for other in range(one):
                pair = sorted((question.blocks[one].text, question.blocks[other].text))
                above = _need(self._order, "order")(rows[one], rows[other]) > 0
                wrong = not noise.is_right(rows[one], pair) or noise.flips(pair)
                wins[one if above is not wrong else other] += 1
        return [place + 1 for place in sorted(range(len(rows)), key=lambda place: -wins[place])]

    def _are_same(self, one: Row, other: Row, here: Block, there: Block, noise: ModelNoise) -> bool:
        pair = sorted((here.text, there.text))
        right = bool(_need(self._same, "same")(one, other))
        return right is not (not noise.is_right(one, pair) or noise.flips(pair))


_WINDOWS: dict[str, Callable[[Gold, Question, ModelNoise], Any]] = {
    GROUPS: Gold.group, ORDER: Gold.sort, MATCHES: Gold.match
}  # fmt: skip
_FIELDS = {kind: field for field, kind in _KINDS.items()}


def _need(function: Any, name: str) -> Any:
    if function is None:
        raise BadInput(f"judge(…) was given no {name}=, and is asked for it.")
    return function


def _err(right: Any, question: Question, chance: float) -> Any:
    """Make an answer of the same form that is not *right*."""
    choices = question.form.get("enum") or question.form.get("items", {}).get("enum")
    if isinstance(right, bool):
        return not right
    if isinstance(right, list) and choices:
        flipped = choices[int(chance * len(choices))]
        return [one for one in choices if (one in right) is not (one == flipped)]
    if choices:
        others = [one for one in choices if one != right]
        return others[int(chance * len(others))] if others else right
    if isinstance(right, int | float):
        low, high = question.form.get("minimum", right - 1), question.form.get("maximum", right + 1)
        far = high if right - low < high - right else low
        value = right + (far - right) * (0.5 + chance / 2)
        return round(value) if question.form.get("type") == "integer" else value
    if isinstance(right, Mapping):
        field = sorted(right)[int(chance * len(right))]
        form = Question("score", question.form["properties"].get(field, {}), "", ())
        return {**right, field: _err(right[field], form, chance)}
    return f"not {right}"


class RowFinder:
    """Finds the row that a text is about, by the cells that stand in it."""

    START = 12  # letters by which a cell is looked for

    def __init__(self, frame: pl.DataFrame) -> None:
        self._rows = frame.to_dicts()
        self._texts: list[list[str]] = []
        self._exact: dict[str, list[int]] = {}
        self._starts: dict[str, list[int]] = {}
        for index, row in enumerate(self._rows):
            texts = sorted({str(cell) for cell in row.values() if cell is not None and str(cell)}, key=len)
            self._texts.append(texts)
            for text in texts:
                self._exact.setdefault(text, []).append(index)
            if texts:
                self._starts.setdefault(texts[-1][: self.START], []).append(index)
        self._lengths = sorted({len(start) for start in self._starts})

    def find(self, text: str) -> Row:
        """Find the row of which most letters stand in *text*; of several the first."""
        return self.find_all(text)[0]

    def find_all(self, text: str) -> list[Row]:
        """Find the rows of which most letters stand in *text*: several, where only other cells tell them apart."""
        body = text.removeprefix("Text: ")
        for end in ("\n\nCategory:", "\n\nCategories:"):
            body = body.removesuffix(end)
        found = self._exact.get(body) or self._look(text)
        if not found:
            raise BadInput(f"none of rows= stands in {text[:80]!r}")
        return [self._rows[index] for index in found]

    def _look(self, text: str) -> list[int]:
        seen: dict[int, int] = {}
        for place in range(len(text)):
            for length in self._lengths:
                for index in self._starts.get(text[place : place + length], ()):
                    if index not in seen:
                        seen[index] = sum(len(cell) for cell in self._texts[index] if cell in text)
                        if self._texts[index][-1] not in text:
                            seen[index] = 0
        most = max(seen.values(), default=0)
        return [index for index, letters in seen.items() if letters == most and most]


@contextmanager
def judge(
    rows: Any,
    label: Callable[[Row], Any] | None = None,
    same: Callable[[Row, Row], bool] | None = None,
    order: Callable[[Row, Row], float] | None = None,
    *,
    agree: Share | Mapping[str, Share] = 1.0,
    seed: int = 0,
    position_bias: float = 0.0,
    intransitive: float = 0.0,
    unreadable: float = 0.0,
    **settings: Any,
) -> Iterator[Judge]:
    """Serve a judge that knows what is right of each row, and errs as much as is planted.

    What it is asked it reads from the request alone, so that a pipeline is tested as it stands. What it says of a row is the same
    however often it is asked: a second run of anything costs nothing and gives the same.

    Parameters
    ----------
    rows : DataFrame or pair of such
        What will be asked about; for a join (left, right). A row is known by its cells that stand in the question.
    label : callable, optional
        What is right of a row, given as a dict: a label, a list of labels, a number, True or False, a dict of fields, a text.
    same : callable, optional
        Whether two rows are the same thing, or belong together.
    order : callable, optional
        Above 0 where the first of two rows is more of what is asked.
    agree : float, callable or dict, default 1.0
        How often it says what is right: a share, a function of the row, or either by the model's name ({"flash": 0.9}; models that
        are not named are always right).
    seed : int, default 0
        Another seed, other errors.
    position_bias : float, default 0.0
        How often it takes what stands first, whatever that is.
    intransitive : float, default 0.0
        How often it judges a pair against its own order.
    unreadable : float, default 0.0
        How often it says what nobody can read.
    **settings
        Those of its client, a `Qwen`.

    Yields
    ------
    Judge
        `client` to ask, and `calls`, `kinds`, `models` so far.

    Raises
    ------
    BadInput
        If a share is none, or rows are no frame.

    Examples
    --------
    >>> from qwennb.testing import judge
    >>> mails = pl.DataFrame({"mail": [f"mail {n}" for n in range(100)]})
    >>> with judge(rows=mails, label=lambda row: row["mail"].endswith("7"), agree={"flash": 0.9}) as j:
    ...     kept = mails.qwen.filter("{{ mail }} ends in 7", model="plus", client=j.client)
    >>> kept.height, j.calls, j.models
    (10, 100, Counter({'qwen3.5-plus': 100}))
    """
    left, right = rows if isinstance(rows, tuple) else (rows, rows)
    frames = [_as_frame(one) for one in (left, right)]
    for name, share in (
        ("position_bias", position_bias),
        ("intransitive", intransitive),
        ("unreadable", unreadable),
        *(("agree", one) for one in (agree.values() if isinstance(agree, Mapping) else [agree])),
    ):
        if not callable(share) and not (isinstance(share, int | float) and 0 <= share <= 1):
            raise BadInput(f"{name}={share!r} must be from 0 to 1.")
    noise = Noise(
        agree, position_bias=position_bias, intransitive=intransitive, unreadable=unreadable, seed=seed
    )
    made = Judge(Gold(frames[0], frames[1], label, same, order), noise)
    with (
        tempfile.TemporaryDirectory(prefix="qwennb-", ignore_cleanup_errors=True) as folder,
        Simulator("openrouter", script=made._answer) as server,
    ):
        given = {
            "endpoint": f"openrouter+{server.base_url}",
            "api_key": "sk-judge",
            "cache_dir": folder,
            "cache": "on",
        }
        made.client = Qwen(**(given | settings))
        yield made


def _as_frame(rows: Any) -> pl.DataFrame:
    if isinstance(rows, pl.DataFrame):
        return rows
    if not hasattr(rows, "columns"):
        raise BadInput(f"rows= takes a frame, or (left, right) for a join, not {type(rows).__name__}.")
    return as_polars(rows, list(rows.columns))
