"""Asking a notebook's questions again: it is run as it was recorded, then with something else above all that it says.

The second run has a cache of its own that goes with it, so it recalls nothing and replaces nothing; what it spends is
written down where everything is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import date
from itertools import zip_longest
from pathlib import Path
from typing import Any

from qwennb.answer import MIME, Answer
from qwennb.cache import Name, Pack, Spendings, Store, read_answer, read_record
from qwennb.config import Config
from qwennb.errors import NotRecorded
from qwennb.notebook.drift.report import CellQuestions, Drift, drift
from qwennb.notebook.verify import RanCell, Sandbox, run_notebook
from qwennb.text import plural

# A column's line tells its model, its tokens and its cost, which change by themselves. That of 0.1 began with the rows.
_RUN_OF_A_COLUMN = re.compile(r"(?:[^\n]* · )?[\d,]+ rows?, [\d,]+ unique")


def ask_again(
    notebook: Path,
    above: Mapping[str, Any],
    config: Config,
    *,
    pack: Path | None,
    environ: Mapping[str, str],
    day: date,
    tolerance: float = 0.01,
    timeout: float = 600.0,
    tell: Callable[[str], None] = lambda line: None,
) -> Drift:
    """Ask again with what stands *above* (a model, an endpoint, options), and report how the answers of *notebook* change.

    What is recorded is taken from *pack*, or from one's own answers where there is none.
    """
    recorded = _collect_recorded(notebook, config, pack, environ, timeout)
    count = sum(len(cell.answers) for cell in recorded)
    tell(f"{plural(count, 'recorded answer')}; asking again …")
    with Sandbox.create(sealed=False) as sandbox:
        _lend_models(config.cache_dir, sandbox.cache)
        over = {**above, "cache": "on", "packs": False, "consents": _consents(recorded)}
        cells = run_notebook(notebook, sandbox, over, compare=False, timeout=timeout, environ=environ)
        anew = _collect_asked(cells, folder=sandbox.cache)
        spent = Spendings(sandbox.cache).rows()
    if spent:
        Spendings(config.cache_dir).add(spent)
    unpriced = any(row.unknown_cost for row in spent)
    cost = None if unpriced else sum(row.cost for row in spent)
    options = ", ".join(f"{name}={value}" for name, value in above.get("options", {}).items())
    return drift(
        notebook.name, recorded, anew, day=day.isoformat(), tolerance=tolerance, cost=cost, options=options
    )


def _collect_recorded(
    notebook: Path, config: Config, pack: Path | None, environ: Mapping[str, str], timeout: float
) -> list[CellQuestions]:
    over: dict[str, Any] = {"cache": "replay"}
    if pack is None:
        over["cache_dir"] = str(config.cache_dir)
    with Sandbox.create(sealed=True) as sandbox:
        settings = {} if pack is None else {"QWENNB_PACK": str(pack.resolve())}
        cells = run_notebook(
            notebook, sandbox, over, settings=settings, compare=False, timeout=timeout, environ=environ
        )
    if any(use.missing for cell in cells for use in cell.uses):
        raise NotRecorded(
            f"Not every answer of {notebook.name} is recorded, so there is nothing to compare with. "
            "Run it once from start to end, or give its pack with --pack."
        )
    return _collect_asked(cells, pack=pack, folder=config.cache_dir)


def _collect_asked(
    cells: Sequence[RanCell], *, pack: Path | None = None, folder: Path
) -> list[CellQuestions]:
    """Collect what each cell asked, from *pack* or else the store in *folder*. What several cells used counts in the first."""
    names = dict.fromkeys(
        Name(use.key, use.endpoint) for cell in cells for use in cell.uses if not use.missing
    )
    records: Mapping[Name, bytes] = {}
    if pack is not None:
        records = Pack.read(pack).records
    elif names and folder.is_dir():
        with closing(Store(folder)) as store:
            records = store.get_many(list(names))
    seen: set[str] = set()
    made = []
    for cell in cells:
        answers = []
        for use in cell.uses:
            record = records.get(Name(use.key, use.endpoint))
            if record is not None and use.key not in seen:
                seen.add(use.key)
                answers.append(_answer(record))
        made.append(CellQuestions(cell.number, cell.title, tuple(answers), _outputs(cell), cell.trouble))
    return made


def _consents(recorded: Sequence[CellQuestions]) -> list[tuple[str, str, bool]]:
    """List which calls of tools were allowed, and which were not: nobody is there to be asked again.

    A result without a word about it was not asked about, or recorded by qwennb 0.1, which kept only what was allowed.
    """
    return [
        (call.name, call.arguments, consent is not False)
        for cell in recorded
        for answer in cell.answers
        if answer.tool_results is not None
        for call, consent in zip_longest(answer.tool_calls, answer.consents)
    ]


def _answer(record: bytes) -> Answer:
    request, data = read_record(record)
    read = read_answer(record, request)
    return read if isinstance(read, Answer) else Answer.from_json(data, request)


def _outputs(cell: RanCell) -> str:
    """Return what a cell shows beside its answers, as text."""
    told = []
    for output in cell.outputs:
        data = output.get("data", {})
        text = str(data.get("text/plain", output.get("text", "")))
        is_ours = MIME in data or "qwennb" in output.get("metadata", {}) or _RUN_OF_A_COLUMN.match(text)
        if not is_ours:
            told.append(text.rstrip("\n"))
    return "\n".join(filter(None, told))


def _lend_models(ours: Path, theirs: Path) -> None:
    """Let the embedded local model be found in the other cache folder."""
    models = ours / "models"
    if models.is_dir():
        theirs.mkdir(mode=0o700, parents=True)
        (theirs / "models").symlink_to(models.resolve(), target_is_directory=True)
