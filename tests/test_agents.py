"""What is for coding agents: the skill in the wheel, the index of the pages, the functions that only read."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from qwennb import Pack, agents
from qwennb.agents import qwennb_models, qwennb_pack_answers, qwennb_plan, qwennb_usage, qwennb_verify
from qwennb.answer import Answer
from qwennb.cli import main
from qwennb.errors import BadInput, PackRefused
from qwennb.request import Message, Request, Settings, Text
from tests.conftest import until
from tests.loaders import run_loader
from tests.test_docs import PAGES, ROOT

SKILL = ROOT / "qwennb" / ".agents" / "skills" / "qwennb" / "SKILL.md"
TOUR = ROOT / "notebooks" / "00-tour.ipynb"
KEY = "canary-51d0e7a3c2b94f"


def asked(question, text, model="qwen3.5-flash"):
    request = Request(model, (Message("user", (Text(question),)),), Settings())
    return Answer(request, text=text, endpoint="openrouter", served_by=model)


def names_in(folder):
    """The files in a folder, but for the journal of what is being written."""
    return sorted(file.name for file in folder.iterdir() if not file.name.endswith("-journal"))


# ---------------------------------------------------------------------- the skill


@pytest.mark.slow
def test_every_snippet_of_the_skill_runs(tmp_path):
    page = tmp_path / "SKILL.md"
    page.write_text(
        SKILL.read_text(encoding="utf-8").replace("```python", "<!-- run -->\n```python"), encoding="utf-8"
    )
    environ = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "HOME") if name in os.environ}
    environ |= {
        "PYTHONPATH": str(ROOT),
        "QWENNB_ENDPOINT": "simulator",
        "QWENNB_CACHE_DIR": str(tmp_path / "answers"),
    }
    words = [sys.executable, str(ROOT / "tests" / "test_docs.py"), str(page)]
    done = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=250)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_command_and_option_of_the_skill_exists(capsys):
    typed = [words.split() for words in re.findall(r"`qwennb ([^`]+)`", SKILL.read_text(encoding="utf-8"))]
    assert len(typed) > 4
    for words in typed:
        names = [word for word in words if word.isalpha()]
        path = names[:2] if names[0] == "cache" else names[:1]
        assert main([*path, "--help"]) == 0
        told = capsys.readouterr().out
        assert all(word in told for word in words if word.startswith("--")), words


def test_the_skill_is_short_and_has_the_head_that_agents_read():
    text = SKILL.read_text(encoding="utf-8")
    head = re.match(r"---\nname: ([a-z0-9-]+)\ndescription: (.+)\n---\n", text)
    assert head and head[1] == SKILL.parent.name and len(head[2]) <= 1024
    assert len(text.splitlines()) <= 150


@pytest.mark.slow
def test_the_skill_and_the_tools_are_in_a_wheel_where_others_find_them(tmp_path):
    build = [sys.executable, "-m", "uv", "build", "-q", "--wheel", "--out-dir", str(tmp_path), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=200)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    assert (tmp_path / "site" / SKILL.relative_to(ROOT)).read_bytes() == SKILL.read_bytes()
    panels = Path("qwennb", "notebook", "widgets")
    drawn = sorted(file.name for file in (ROOT / panels).glob("*.[jc]s*"))
    assert drawn == sorted(file.name for file in (tmp_path / "site" / panels).glob("*.[jc]s*")) != []
    [points] = (tmp_path / "site").glob("*.dist-info/entry_points.txt")
    assert "[jupyter_server_mcp.tools]\nqwennb = qwennb.agents:TOOLS" in points.read_text()
    program = "import sys, pathlib; from library_skills.scanner import scan_python_distributions as scan; found = scan(pathlib.Path(sys.argv[1])); print([s.name for s in found.skills], found.warnings)"
    assert run_loader("-c", program, str(tmp_path / "site")).strip() == "['qwennb'] []"


# ---------------------------------------------------------------------- the index


def test_the_index_has_the_form_of_llms_txt_and_every_page_once():
    """The form is that of llmstxt.org: a title, a summary in a quotation, lists of links below headings of the second level."""
    text = (ROOT / "docs" / "llms.txt").read_text(encoding="utf-8")
    title, summary, *rest = text.split("\n\n")
    assert re.fullmatch(r"# \w+", title) and re.fullmatch(r"> [^\n]+", summary)
    sections = re.split(r"^## (.+)$", "\n\n".join(rest), flags=re.M)[1:]
    links = []
    for name, body in zip(sections[::2], sections[1::2], strict=True):
        lines = body.strip().split("\n")
        found = [re.fullmatch(r"- \[([^\]]+)\]\(([^)]+)\): (.+)", line) for line in lines]
        assert all(found), name
        links += [match[2] for match in found if match]
    named = [(ROOT / "docs" / link).resolve() for link in links]
    assert sorted(named) == sorted(page.resolve() for page in PAGES)


# ---------------------------------------------------------------------- the functions


@pytest.fixture
def packed(tmp_path):
    answers = [
        asked("What is in the soup?", "Carrots."),
        asked("My key?", f"It is {KEY}."),
        asked("Long?", "word " * 1000),
    ]
    Pack.of(answers).write(tmp_path / "a.qwenpack", environ={})
    return tmp_path / "a.qwenpack"


@pytest.mark.slow
def test_the_real_loader_finds_five_functions_that_open_no_connection(packed, tmp_path):
    from qwennb import Qwen

    Qwen(endpoint="simulator", cache_dir=tmp_path / "answers").ask("Hello")
    calls = [
        ["qwennb_models", {"endpoint": "openrouter"}],
        ["qwennb_plan", {"prompts": ["a", "b", "a"], "model": "flash", "endpoint": "dashscope-intl", "max_tokens": 10}],
        ["qwennb_usage", {"by": "model"}],
        ["qwennb_pack_answers", {"pack": str(packed), "contains": "soup"}],
        ["qwennb_verify", {"notebook": str(TOUR)}],
        ["qwennb_pack_answers", {"pack": str(tmp_path / "none.qwenpack")}],
        ["qwennb_plan", {"prompts": ["a"], "model": "flash", "endpoint": "http://127.0.0.1:9/v1"}],
    ]  # fmt: skip
    environ = {
        "HOME": str(tmp_path),
        "QWENNB_CACHE_DIR": str(tmp_path / "answers"),
        "OPENROUTER_API_KEY": KEY,
        "FASTMCP_LOG_LEVEL": "CRITICAL",
    }
    until((tmp_path / "answers" / "ledger.sqlite3").exists, "what was spent is written down")
    before = names_in(tmp_path / "answers")
    told = json.loads(run_loader("-m", "tests.agent_tools", json.dumps(calls), **environ).splitlines()[-1])
    assert (
        told["specs"] == agents.TOOLS
        and [f"qwennb.agents:{tool['name']}" for tool in told["tools"]] == agents.TOOLS
    )
    for tool in told["tools"]:
        # Each argument is told by its own line of the docstring.
        assert all(about.get("description") for about in tool["schema"]["properties"].values()), tool["name"]
        assert len(tool["description"]) > 80
    models, plan, usage, found, verified, missing, refused = told["given"]
    assert all(row["endpoint"] == "openrouter" for row in models["value"]) and plan["value"]["to_ask"] == 2
    assert usage["value"][0]["requests"] == 1 and verified["value"]["same"] is True
    assert [row["text"] for row in found["value"]["shown"]] == ["Carrots."]
    assert "There is no pack none.qwenpack" in missing["text"] and "Endpoints: openrouter" in refused["text"]
    assert told["tried"] == [] and KEY not in json.dumps(told) and str(tmp_path) not in json.dumps(told)
    assert names_in(tmp_path / "answers") == before


def test_looking_makes_no_folder_where_nothing_was_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("QWENNB_CACHE_DIR", str(tmp_path / "none"))
    monkeypatch.setenv("OPENROUTER_API_KEY", KEY)
    plan = qwennb_plan(["a"], model="flash", endpoint="openrouter")
    assert plan["cost"] > 0 and plan["known"] == 0 and qwennb_usage() == [] and qwennb_models("dashscope")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BadInput, match="--by month is not known"):
        qwennb_usage(by="month")
    with pytest.raises(BadInput, match="did you mean"):
        qwennb_plan(["a"], model="flash", endpoint="openruter")


def test_an_answer_with_a_key_is_counted_and_not_shown(packed, monkeypatch):
    monkeypatch.setenv("SERVICE_API_KEY", KEY)
    told = qwennb_pack_answers(str(packed))
    assert told["answers"] == 3 and told["with_a_secret"] == 1 and KEY not in json.dumps(told)
    assert max(len(row["text"]) for row in told["shown"]) == agents.LONGEST
    assert [row["question"] for row in qwennb_pack_answers(str(packed), limit=1, offset=1)["shown"]] == [
        told["shown"][1]["question"]
    ]
    with pytest.raises(PackRefused, match="test_agents.py is no pack"):
        qwennb_pack_answers(__file__)


def test_a_saved_notebook_is_held_against_its_pack_and_not_run(tmp_path):
    saved = json.loads(TOUR.read_text(encoding="utf-8"))
    saved["cells"].insert(
        0,
        {
            "cell_type": "code",
            "metadata": {},
            "outputs": [],
            "source": f"open({str(tmp_path / 'ran')!r}, 'w')",
            "execution_count": 1,
        },
    )
    notebook, pack = tmp_path / "tour.ipynb", Pack.read(ROOT / "notebooks" / "packs" / "00-tour.qwenpack")
    notebook.write_text(json.dumps(saved), encoding="utf-8")
    with pytest.raises(PackRefused, match="no pack beside tour.ipynb. .*qwennb pack tour.ipynb"):
        qwennb_verify(str(notebook))
    pack.write(tmp_path / "tour.qwenpack")
    told = qwennb_verify(str(notebook))
    assert (
        told["same"]
        and told["answers_shown"] == 4
        and told["root"] == pack.root
        and not (tmp_path / "ran").exists()
    )

    outputs = [
        output
        for cell in saved["cells"]
        for output in cell.get("outputs", ())
        if "application/vnd.qwennb.answer+json" in output.get("data", {})
    ]
    outputs[0]["data"]["text/plain"] = "Something else."
    gone = outputs[1]["data"]["application/vnd.qwennb.answer+json"]["key"]
    notebook.write_text(json.dumps(saved), encoding="utf-8")
    Pack({name: record for name, record in pack.records.items() if name.key != gone}).write(
        tmp_path / "less.qwenpack"
    )
    told = qwennb_verify(str(notebook), str(tmp_path / "less.qwenpack"))
    assert (
        not told["same"]
        and [one["key"] for one in told["not_in_pack"]] == [gone]
        and len(told["another_text"]) == 1
    )


@pytest.mark.parametrize(
    "written",
    [
        "",
        "[]",
        "{}",
        '{"cells": 1}',
        "not json",
        '{"cells": [1, {"outputs": [{"data": {"application/vnd.qwennb.answer+json": 1}}]}]}',
    ],
)
def test_a_file_that_is_no_notebook_is_one_sentence(tmp_path, packed, written):
    (tmp_path / "a.ipynb").write_text(written)
    if written.startswith('{"cells": [1'):
        assert qwennb_verify(str(tmp_path / "a.ipynb"))["answers_shown"] == 0
        return
    with pytest.raises(BadInput, match="a.ipynb is no notebook"):
        qwennb_verify(str(tmp_path / "a.ipynb"))
