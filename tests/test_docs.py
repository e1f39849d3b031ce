"""The pages are true: their examples run, their quotations stand in the code, their names exist, their links lead somewhere.

A line of comment before each Python block says how it is checked:

    <!-- run -->                       run against the simulator; what it prints is compared
    <!-- run, answers by … -->         run against the simulator; what it prints was another model's and is not compared
    <!-- not run: why -->              neither
    <!-- from qwennb/engine/… -->      a quotation: the block stands in that file, word for word

The blocks of a page share their names and run in one process of their own: this file, called with the page's path.
"""

from __future__ import annotations

import doctest
import inspect
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
CLIENT = ROOT / "docs" / "client.md"
RUN, QUOTED = "run", "from "

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@dataclass(frozen=True)
class Block:
    """A fenced block: the comment before it, its language, its text, its line."""

    marker: str
    language: str
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in re.finditer(r"(?:^<!-- ([^\n]*) -->\n)?^```(\w*)\n(.*?)^```$", text, re.M | re.S):
        yield Block(found[1] or "", found[2], found[3], text[: found.start(3)].count("\n") + 1)


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)


def section(page: Path, heading: str) -> str:
    found = re.search(
        rf"^(#+) {re.escape(heading)}\n(.*?)(?=^#+ |\Z)", page.read_text(encoding="utf-8"), re.M | re.S
    )
    assert found, f"{page.name} has no section {heading!r}"
    return found[2]


def first_column(page: Path, heading: str) -> list[str]:
    """The names in backticks that stand in the first column of the tables under *heading*."""
    cells = re.findall(r"^\| ([^|]*) \|", section(page, heading), re.M)
    return [name for cell in cells for name in re.findall(r"`([\w\[\].]+)`", cell)]


# ---------------------------------------------------------------------- examples


def run(page: Path) -> int:
    """Run the examples of *page*; how many failed."""
    parser, names = doctest.DocTestParser(), {"__name__": "__main__"}
    failed = 0
    for block in blocks(page):
        if block.language != "python" or not block.marker.startswith(RUN):
            continue
        compared = block.marker == RUN
        examples = parser.get_examples(block.text)
        if not compared:
            for example in examples:
                # An error that is shown must still be one of its kind.
                example.want, example.exc_msg = "", (example.exc_msg or "").partition(":")[0] or None
        test = doctest.DocTest(examples, names, f"{page.name}:{block.line}", str(page), block.line, None)
        flags = (
            doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL * (not compared)
        )
        checker = None if compared else _Anything()
        failed += doctest.DocTestRunner(checker, optionflags=flags).run(test, clear_globs=False).failed
        names = test.globs
    return failed


class _Anything(doctest.OutputChecker):
    """Takes whatever is printed; that nothing was raised is checked all the same."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return True


@pytest.mark.slow
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(b.marker.startswith(RUN) for b in blocks(page))],
    ids=lambda page: page.name,
)
def test_the_examples_run_and_print_what_is_shown(page, tmp_path):
    environ = {name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "HOME") if name in os.environ}
    environ |= {
        "PYTHONPATH": str(ROOT),
        "QWENNB_ENDPOINT": "simulator",
        "QWENNB_CACHE_DIR": str(tmp_path / "answers"),
        "PYTHONIOENCODING": "utf-8",
    }
    done = subprocess.run(
        [sys.executable, __file__, str(page)],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pages
def test_every_python_block_says_how_it_is_checked(page):
    for block in blocks(page):
        if block.language == "python":
            known = block.marker == RUN or block.marker.startswith(
                (f"{RUN}, answers by ", "not run: ", QUOTED)
            )
            assert known, f"{page.name}:{block.line} says {block.marker!r}"


def test_an_example_that_prints_something_else_fails(tmp_path):
    page = tmp_path / "page.md"
    wrong = "<!-- run -->\n```python\n>>> 1 + 1\n3\n```\n"
    for text, failed in (
        (wrong, 1),
        (wrong.replace("3", "2"), 0),
        (wrong.replace("run", "run, answers by x"), 0),
    ):
        page.write_text(text, encoding="utf-8")
        assert run(page) == failed
    page.write_text(wrong.replace("run", "run, answers by x").replace("1 + 1", "1 / 0"), encoding="utf-8")
    assert run(page) == 1


# ---------------------------------------------------------------------- quotations, links, paths


def quotations() -> list[tuple[str, Block]]:
    found = [(page.name, b) for page in PAGES for b in blocks(page) if b.marker.startswith(QUOTED)]
    assert found
    return found


@pytest.mark.parametrize(
    ("page", "block"), quotations(), ids=lambda x: x if isinstance(x, str) else f"{x.line}"
)
def test_a_quotation_stands_in_the_file_that_it_names(page, block):
    file = ROOT / block.marker.removeprefix(QUOTED)
    assert block.text in file.read_text(encoding="utf-8"), f"{page}:{block.line} is no longer in {file.name}"


def anchors(page: Path) -> set[str]:
    heads = re.findall(r"^#+ (.+)$", prose(page), re.M)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pages
def test_every_link_leads_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in anchors(file), f"{page.name}: {target}"


def test_every_page_is_linked_from_the_readme():
    for page in PAGES[1:]:
        assert f"](docs/{page.name})" in README.read_text(encoding="utf-8")


@pages
def test_every_file_and_test_that_is_named_exists(page):
    for path, test in re.findall(r"`((?:qwennb|tests|docs)/[\w./-]*)(?:::(\w+))?`", prose(page)):
        assert (ROOT / path).exists(), f"{page.name}: {path}"
        if test:
            assert f"def {test}(" in (ROOT / path).read_text(encoding="utf-8"), f"{page.name}: {path}::{test}"


def test_every_room_is_drawn():
    page = ROOT / "docs" / "how-it-works.md"
    drawing = next(block.text for block in blocks(page) if block.language == "text")
    rooms = [
        path for path in (ROOT / "qwennb").iterdir() if path.suffix in ("", ".py") and path.name[0] != "_"
    ]
    rooms = [path.stem for path in rooms if path.is_file() or (path / "__init__.py").exists()]
    assert len(rooms) > 10
    for room in rooms:
        assert re.search(rf"\b{room}\b", drawing), room


# ---------------------------------------------------------------------- names


def test_every_option_of_a_call_is_in_the_reference_and_no_other():
    from qwennb.client import Options

    assert first_column(CLIENT, "Options of a call") == [f.name for f in fields(Options)]


def test_every_option_of_a_column_is_in_the_reference_and_no_other():
    from qwennb.frames.options import OWN_MEANINGS

    assert first_column(CLIENT, "Options of a column") == list(OWN_MEANINGS)


def test_the_reference_and_the_question_mark_explain_an_option_in_the_same_words():
    from qwennb.client import MEANINGS
    from qwennb.frames.options import OWN_MEANINGS

    for heading, meanings in (("Options of a call", MEANINGS), ("Options of a column", OWN_MEANINGS)):
        rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", section(CLIENT, heading), re.M))
        assert {name: re.sub(r"\[(.*?)\]\(.*?\)", r"\1", words) for name, words in rows.items()} == meanings


def test_every_argument_of_a_client_is_in_the_reference_and_no_other():
    from qwennb import Qwen

    arguments = [name for name in inspect.signature(Qwen).parameters if name != "options"]
    assert first_column(CLIENT, "Making a client") == arguments


def test_every_setting_and_variable_is_in_the_reference_and_no_other():
    from qwennb.config import Config
    from qwennb.endpoints import HOSTED

    settings = {f"QWENNB_{f.name.upper()}" for f in fields(Config)}
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "qwennb").rglob("*.py")]
    read = {name for text in sources for name in re.findall(r'"(QWENNB_[A-Z_]*[A-Z])"', text)}
    keys = {provider.variable for provider in HOSTED.values()}
    assert set(first_column(CLIENT, "Environment variables")) == settings | read | keys
    for page in PAGES:
        named = re.findall(r"\b(QWENNB_[A-Z_]*[A-Z]|[A-Z]+_API_KEY)\b", page.read_text(encoding="utf-8"))
        tests_own = {name for name in named if name.startswith("QWENNB_TEST_")}
        assert set(named) - tests_own <= settings | read | keys, page.name
    assert first_column(CLIENT, "Settings of a project") == [
        f.name for f in fields(Config) if f.name != "api_key"
    ]


def test_every_error_is_in_the_reference_and_no_other():
    from qwennb import errors

    raised = [name for name in errors.__all__ if _is_kind(getattr(errors, name), errors.QwenError)]
    assert sorted(first_column(CLIENT, "Errors")) == raised


def test_every_warning_is_in_the_reference_and_no_other():
    from qwennb import errors

    warned = {name for name in errors.__all__ if _is_kind(getattr(errors, name), errors.QwenWarning)}
    assert set(first_column(CLIENT, "Warnings")) == warned


def _is_kind(thing, kind):
    return isinstance(thing, type) and issubclass(thing, kind)


def test_every_rule_of_a_check_is_in_the_reference_in_its_own_words():
    from qwennb.checks import RULES

    rows = re.findall(
        r"^\| `(\w+)` \| `([^`]*)` \| (.*) \|$", section(ROOT / "docs" / "check.md", "Rules"), re.M
    )
    assert rows == [(name, rule.typed, rule.about) for name, rule in RULES.items()]


def test_every_part_of_an_answer_is_in_the_reference():
    from qwennb import Answer

    public = {f.name for f in fields(Answer)} | {
        n for n, v in vars(Answer).items() if isinstance(v, property)
    }
    assert set(first_column(CLIENT, "An answer")) == public


def test_every_command_is_told_somewhere_and_every_command_told_exists():
    from tests.cli.conftest import leaves

    known = [f"qwennb {path}" for path in leaves()]
    groups = {path.rsplit(" ", 1)[0] for path in known}
    told = set()
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for words in re.findall(r"(?:^\$ |`|bin/)qwennb ([a-z][a-z -]*)", text, re.M):
            path = " ".join(("qwennb", *words.split()))
            meant = [name for name in known if path == name or path.startswith(f"{name} ")]
            assert meant or path in groups or path in told_as_missing(), f"{page.name}: {path}"
            told |= set(meant)
    assert told == set(known)


def told_as_missing() -> set[str]:
    """The commands that the README says are not there yet."""
    return set(re.findall(r"`(qwennb [a-z]+)`", section(README, "What is not there yet")))


def test_what_is_said_to_be_missing_is_missing():
    from qwennb.cli.command import COMMANDS

    assert not told_as_missing() & {f"qwennb {path}" for path in COMMANDS}


def test_every_extra_that_is_shown_exists():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "optional-dependencies"
    ]
    for page in PAGES:
        shown = re.findall(
            r"pip install (?:-e )?\"(?:qwennb|\.)\[([\w,]+)\]", page.read_text(encoding="utf-8")
        )
        assert {name for names in shown for name in names.split(",")} <= set(extras), page.name


def test_every_option_of_a_command_that_is_shown_exists(capsys):
    from qwennb.cli import main
    from tests.cli.conftest import leaves

    for path in leaves():
        main([*path.split(), "--help"])
        takes = set(re.findall(r"--[a-z][a-z-]*", capsys.readouterr().out))
        for page in PAGES:
            for rest in re.findall(
                rf"qwennb {re.escape(path)}((?: [^\s`]+)*)", page.read_text(encoding="utf-8")
            ):
                assert set(re.findall(r"--[a-z][a-z-]*", rest)) <= takes | {"--debug"}, (
                    f"{page.name}: qwennb {path}{rest}"
                )


def test_every_endpoint_has_its_section_and_no_other():
    from qwennb.endpoints import NAMES

    text = (ROOT / "docs" / "endpoints.md").read_text(encoding="utf-8")
    heads = re.findall(r"^## (?:[^\n(]*)\(([^\n)]*)\)$", text, re.M)
    assert sorted(name for head in heads for name in re.findall(r"`([\w.-]+)`", head)) == sorted(NAMES)


def test_the_readmes_commands_are_the_ones_that_are_run():
    text = README.read_text(encoding="utf-8")
    first = 'python3 -m venv .venv && .venv/bin/pip install ".[all]" && .venv/bin/qwennb demo'
    second = 'python3 -m venv .venv && .venv/bin/pip install -e ".[dev]" && .venv/bin/poe ci'
    assert first in text
    assert second in text
    assert (ROOT / ".ci" / "run").read_text(encoding="utf-8").rstrip().endswith(second)


if __name__ == "__main__":
    sys.exit(1 if run(Path(sys.argv[1])) else 0)
