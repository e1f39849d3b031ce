"""Every form loads with `datasets`, and what comes back is what stands in the file."""

from __future__ import annotations

import json

import pytest

from qwennb import Pack
from qwennb.cache import PackMedia
from qwennb.tuning import FORMS
from tests.loaders import run_loader
from tests.tuning import rules
from tests.tuning.answers import QUESTIONS, answer, tool_steps, user


@pytest.mark.slow
def test_every_form_loads_with_datasets_as_it_was_written(judged, tmp_path, picture):
    PackMedia(tmp_path / "media").keep([picture])
    asked = [answer([user(f"What is this, {n}?", picture)], "blue") for n in range(4)]
    tools = [step for n in range(6) for step in tool_steps(n)]
    mixed = [*asked, *tools, *QUESTIONS[:9]]
    everything, labels = judged(mixed, *["no"] * len(mixed))
    folders = []
    for form in FORMS:
        given = {"labels": labels} if form in ("dpo", "kto") else {}
        pictures = Pack.of([*asked, *QUESTIONS[:9]]) if form == "unsloth" else everything
        for name, pack in (("texts", Pack.of(QUESTIONS)), ("pictures and tools", pictures)):
            folders.append(tmp_path / f"{form} {name}")
            pack.export(folders[-1], form, media=tmp_path / "media", valid=0.3, **given)
    printed = run_loader(
        "-m", "tests.tuning.loading", *folders, HF_HOME=str(tmp_path / "hf"), HF_HUB_OFFLINE="1"
    )
    for folder, line in zip(folders, printed.splitlines(), strict=True):
        loaded = json.loads(line)
        for name, split in (("train", "train"), ("valid", "validation")):
            assert loaded[split] == rules.read_lines(folder / f"{name}.jsonl"), folder.name
        if "images" in loaded["train"][0]:
            assert [8, 6] in [shown[:2] for row in loaded["seen"] for shown in row], folder.name
