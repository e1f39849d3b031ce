"""`qwennb check`: rules, truth and the last run over a file of checks; from a pack for nothing, live under a budget."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from xml.etree import ElementTree as ET

import polars as pl
import pytest

from qwennb import Pack
from qwennb.answer import Answer, Cost, Usage
from qwennb.cli.check_file import NOT_IN_A_FILE, VERBS, read_check_file
from qwennb.errors import BadInput
from qwennb.notebook.widgets.review_rows import ReviewRows
from qwennb.request import Request, Tool, ToolCall, user_message
from qwennb.testing import no_network
from qwennb.tuning import Labels
from tests.cli.test_hostile_text import HOSTILE, LINES, steers
from tests.conftest import until
from tests.test_docs import ROOT

REVIEWS = ["The soup was cold.", "Best tea in town!", "Nobody came.", "Lovely people."]
GOLD = ["complaint", "praise", "complaint", "praise"]
CHECKS = """
[from]
rows = "reviews.csv"
pack = "reviews.qwenpack"

[[check]]
name = "labels"
classify = {column = "review", labels = ["praise", "complaint"]}
truth = "gold"
no_failed = true
accuracy_at_least = 0.7
tokens_at_most = {p95 = 500}
"""


def says(asked):
    return "complaint" if "cold" in asked.text or "Nobody" in asked.text else "praise"


@pytest.fixture
def folder(tmp_path):
    """A table of reviews, and checks of their labels."""
    pl.DataFrame({"review": REVIEWS, "gold": GOLD}).write_csv(tmp_path / "reviews.csv")
    (tmp_path / "checks.toml").write_text(CHECKS, encoding="utf-8")
    return tmp_path


@pytest.fixture
def live(simulate, run):
    """Run live against a server that says what a script says."""

    def check(*words, script=says, dialect="vllm", latency=0.0, **more):
        sim = simulate(dialect, script=script, latency=latency)
        kind = "vllm" if dialect == "vllm" else "openrouter"
        typed = ["check", "checks.toml", "--live", "-e", f"{kind}+{sim.base_url}", *words]
        ran = run(*typed, environ={"QWENNB_API_KEY": "sk-sim"}, **more)
        return ran, sim

    return check


def test_checks_are_recorded_live_and_run_from_the_pack_for_nothing(run, folder, live):
    ran, sim = live("--record")
    assert ran.code == 0, ran.out + ran.err
    assert "reviews.qwenpack: " in ran.out and sim.ledger.count("asked") >= 4
    with no_network() as tried:
        again = run("check", "checks.toml")
    assert again.code == 0 and tried == [], again.out + again.err
    assert "accuracy 100.0% (4 of 4" in again.out
    assert "Answers from reviews.qwenpack; nothing was sent." in again.out
    assert not (folder / "checks.last.json").exists() and "nothing to compare with" in again.out


def test_what_else_is_in_a_pack_stays_when_answers_are_recorded_into_it(folder, live):
    Pack.of([answer("It rains.", "Oslo?")]).write(folder / "reviews.qwenpack")
    live("--record")
    questions = Pack.read(folder / "reviews.qwenpack").frame()["question"].to_list()
    assert "Oslo?" in questions and len(questions) >= 5


def test_a_secret_in_an_answer_is_not_recorded_and_the_report_is_given_all_the_same(folder, live):
    secret = "sk-or-v1-" + "0123456789abcdef" * 4
    (folder / "checks.toml").write_text(
        '[from]\nrows = "reviews.csv"\npack = "reviews.qwenpack"\n[[check]]\nask = "Key? {{ review }}"\nno_failed = true\n'
    )
    ran, _ = live("--record", script=lambda asked: secret)
    assert ran.code == 2 and "Nothing was recorded. The answer" in ran.err and "no_failed" in ran.out
    assert not (folder / "reviews.qwenpack").exists() and secret not in ran.out + ran.err


def test_pictures_are_looked_for_beside_the_file(run, folder, live, monkeypatch, tmp_path_factory):
    from PIL import Image

    (folder / "photos").mkdir()
    Image.new("RGB", (64, 64), "teal").save(folder / "photos" / "a.png")
    pl.DataFrame({"photo": ["a.png"]}).write_csv(folder / "reviews.csv")
    (folder / "checks.toml").write_text(
        '[from]\nrows = "reviews.csv"\npack = "reviews.qwenpack"\n[[check]]\n'
        'ask = {prompt = "What is on it?", image = "photo", root = "photos"}\nno_failed = true\n'
    )
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert live("--record")[0].code == 0 and run("check", "checks.toml").code == 0


def test_the_checks_of_a_file_share_the_chance_of_a_false_alarm(run, folder):
    check = '[[check]]\nname = "NAME"\ncolumn = "gold"\nno_failed = true\n'
    names = ("a", "b", "c", "d")
    (folder / "checks.toml").write_text(
        '[from]\nrows = "reviews.csv"\n' + "".join(check.replace("NAME", n) for n in names)
    )
    run("check", "checks.toml", "--accept")
    assert run("check", "checks.toml").out.count("limit 0.0125)") == 4


def test_a_live_run_asks_anew_and_leaves_the_users_own_answers_alone(run, folder, live):
    first, sim = live("--record")
    asked = sim.ledger.count("asked")
    pack = (folder / "reviews.qwenpack").read_bytes()
    second, other = live(script=lambda asked: "praise")
    assert other.ledger.count("asked") == asked and "accuracy 50.0%" in second.out
    assert (folder / "reviews.qwenpack").read_bytes() == pack
    assert not list(folder.glob("cache/*.db"))
    assert first.code == 0 and second.code == 1


def test_a_hosted_endpoint_is_asked_under_a_budget_only(run, folder, live):
    ran, sim = live(dialect="openrouter")
    assert (ran.code, sim.ledger.count("asked")) == (2, 0) and "Give --budget USD." in ran.err
    ran, sim = live("--budget", "0.5", dialect="openrouter")
    assert ran.code == 0 and re.search(r"Asked anew at .* for \$0\.00\d+", ran.out), ran.out + ran.err
    ran, sim = live("--budget", "0.0000001", dialect="openrouter")
    assert ran.code and sim.ledger.count("asked") == 0


def test_where_the_budget_ends_nothing_is_said_and_what_was_paid_is_recorded(folder, live):
    pl.DataFrame({"review": [f"{n} {'long ' * 400}" for n in range(60)], "gold": ["praise"] * 60}).write_csv(
        folder / "reviews.csv"
    )
    ran, sim = live("--budget", "0.0025", "--record", dialect="openrouter")
    asked = sim.ledger.count("asked")
    assert (
        ran.code == 2
        and "the budget was used up (give a higher --budget, or fewer rows) before" in ran.err
        and 0 < asked < 60
    ), ran.out + ran.err
    assert len(Pack.read(folder / "reviews.qwenpack")) == asked


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="interrupts are sent otherwise")
def test_an_interrupt_ends_a_live_check_and_nothing_is_said_of_what_was_not_asked(folder, simulate):
    sim = simulate("vllm", script=says, latency=60)
    (folder / "checks.toml").write_text(
        '[from]\nrows = "reviews.csv"\n[[check]]\nask = "Food? {{ review }}"\nmatches = "."\n'
    )
    command = [
        sys.executable,
        "-m",
        "qwennb.cli",
        "check",
        "checks.toml",
        "--live",
        "-e",
        f"vllm+{sim.base_url}",
    ]
    environ = {**os.environ, "HOME": str(folder), "QWENNB_API_KEY": "sk-sim", "PYTHONPATH": str(ROOT)}
    running = subprocess.Popen(
        command, cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        until(lambda: sim.ledger.count("asked") >= 1, "a question was asked")
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert (running.returncode, out) == (130, "") and err.endswith("Stopped.\n")


def test_seconds_are_measured_live(folder, live):
    checks = CHECKS.replace("tokens_at_most = {p95 = 500}", "seconds_at_most = {LIMIT = 0.4, total = 60}")
    (folder / "checks.toml").write_text(checks.replace("LIMIT", "p50"))
    ran, _ = live(latency=0.5)
    figure = re.search(r"p50 ([\d.]+) s, at most 0.4 s", ran.out)
    assert ran.code == 1 and float(figure[1]) >= 0.5, ran.out
    (folder / "checks.toml").write_text(
        checks.replace("LIMIT = 0.4", "p50 = 300").replace("total = 60", "total = 900")
    )
    assert live()[0].code == 0


def test_an_answer_that_is_not_in_the_pack_is_told_with_what_records_it(run, folder, live):
    ran = run("check", "checks.toml")
    assert ran.code == 2 and "qwennb check checks.toml --live --budget 1 --record" in ran.err
    live("--record")
    pl.DataFrame({"review": [*REVIEWS, "New."], "gold": [*GOLD, "praise"]}).write_csv(folder / "reviews.csv")
    ran = run("check", "checks.toml")
    assert ran.code == 2 and "the answers to 1 row of 5 are not in reviews.qwenpack" in ran.err
    live("--record")
    assert run("check", "checks.toml").code == 0


def test_a_run_worse_than_the_accepted_one_fails_until_it_is_accepted_itself(run, folder, live):
    rows = [f"review {n}" for n in range(30)]
    pl.DataFrame({"review": rows, "gold": ["praise"] * 30}).write_csv(folder / "reviews.csv")
    (folder / "checks.toml").write_text(CHECKS.replace("accuracy_at_least = 0.7\n", ""))
    good, _ = live("--accept", script=lambda asked: "praise")
    assert good.code == 0 and "checks.last.json" in good.out and (folder / "checks.last.json").exists()
    kept = (folder / "checks.last.json").read_text()
    assert "praise" not in kept and "review" not in kept

    def worse(asked):
        return "complaint" if re.search(r"review [5-9]\b", asked.text) else "praise"

    bad, _ = live(script=worse)
    assert (
        bad.code == 1
        and "worse by more than chance: of 30 rows known from last time, 5 got worse"
        in " ".join(bad.out.split())
    )
    assert live("--level", "0.01", script=worse)[0].code == 0
    assert (folder / "checks.last.json").read_text() == kept
    assert live("--accept", script=worse)[0].code == 1
    assert live(script=worse)[0].code == 0


def test_the_report_is_written_as_junit_json_lines_and_markdown(run, folder, live):
    live("--record")
    (folder / "checks.toml").write_text(CHECKS.replace("0.7", "1.0") + 'one_of = ["praise"]\n')
    ran = run("check", "checks.toml", "--junit", "a.xml", "--json", "a.jsonl", "--markdown", "a.md")
    assert ran.code == 1
    suite = ET.parse(folder / "a.xml").getroot()[0]
    assert (suite.get("tests"), suite.get("failures"), suite.get("skipped")) == ("5", "1", "1")
    lines = [json.loads(line) for line in (folder / "a.jsonl").read_text().splitlines()]
    assert [one["row"] for one in lines if one["kind"] == "row"] == [0, 2]
    assert "1 of 5 rules is broken" in (folder / "a.md").read_text()


def test_a_column_of_the_rows_is_checked_without_any_question(run, folder):
    frame = pl.DataFrame({"id": range(3), "stars": [1, 4, 9], "took": [0.1, 0.2, 3.0]})
    for name in ("rows.parquet", "rows.csv", "rows.jsonl"):
        {"parquet": frame.write_parquet, "csv": frame.write_csv, "jsonl": frame.write_ndjson}[name[5:]](
            folder / name
        )
        (folder / "checks.toml").write_text(
            f'[from]\nrows = "{name}"\n[[check]]\ncolumn = "stars"\nbetween = [1, 5]\nseconds = "took"\nseconds_at_most = {{p95 = 2}}'
        )
        ran = run("check", "checks.toml")
        assert ran.code == 1 and "row 2: 9 (not from 1 to 5)" in ran.out and "p95 3 s, at most 2 s" in ran.out


def answer(text, question="Weather?", calls=(), tools=(), **more):
    request = Request("qwen3.5-flash", (user_message(question),), tools=tools, **more)
    return Answer(
        request, text, tool_calls=calls, endpoint="openrouter", usage=Usage(3, 4), cost=Cost(0.25, "server")
    )


def test_the_answers_of_a_pack_are_checked_as_they_are(run, folder):
    """The guide's own example: valid JSON where tools are on."""
    tool = Tool.of({"name": "forecast", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}})  # fmt: skip
    good, bad = (ToolCall("1", "forecast", arguments) for arguments in ('{"city": "Ulm"}', '{"city": '))
    answers = [
        answer("", "Ulm?", (good,), (tool,)),
        answer("", "Rome?", (bad,), (tool,)),
        answer("It rains.", "Oslo?"),
    ]
    Pack.of(answers).write(folder / "tools.qwenpack")
    (folder / "checks.toml").write_text(
        '[from]\npack = "tools.qwenpack"\n[[check]]\nname = "tools"\nvalid_calls = true\ncost_at_most = {total = 1}\nseconds_at_most = 1\n'
        '[[check]]\nname = "prose"\nquestions = "^Oslo"\nmatches = "rain"\n'
    )
    ran = run("check", "checks.toml")
    assert ran.code == 1 and "1 of 2 answers breaks it" in ran.out and "forecast:" in ran.out
    assert (
        "neither a pack nor a column keeps how long" in " ".join(ran.out.split())
        and "prose (1 answer)" in ran.out
    )


def test_labels_of_review_are_the_truth_and_a_wrong_answer_counts_as_wrong(run, folder):
    frame = pl.DataFrame({"review": REVIEWS, "label": ["complaint", "praise", "praise", "praise"]})
    frame.write_csv(folder / "reviews.csv")
    rows = ReviewRows(frame, answer="label", source=["review"]).all
    labels = Labels(folder / "labels.jsonl", "ada")
    labels.give(rows[0].name, "right")
    labels.give(rows[1].name, "wrong")
    labels.give(rows[2].name, "fixed", "complaint")
    checks = '[from]\nrows = "reviews.csv"\n[[check]]\ncolumn = "label"\ntruth = "labels.jsonl"\nsource = "review"\naccuracy_at_least = 0.5\n'
    (folder / "checks.toml").write_text(checks)
    ran = run("check", "checks.toml")
    assert ran.code == 1 and "accuracy 33.3% (1 of 3" in ran.out and "1 row without a truth" in ran.out
    Labels(folder / "labels.jsonl", "bob").give(rows[1].name, "right")
    assert 'by = "ada"' in run("check", "checks.toml").err
    (folder / "checks.toml").write_text(checks + 'by = "bob"\n')
    assert "accuracy 100.0% (1 of 1" in run("check", "checks.toml").out
    (folder / "checks.toml").write_text(checks.replace('source = "review"\n', ""))
    assert 'source = "review"' in run("check", "checks.toml").err


def test_a_judge_is_an_ordinary_column_beside_what_people_said(run, folder, live):
    pl.DataFrame({"reply": REVIEWS, "human": ["yes", "no", "", ""]}).with_columns(
        human=pl.col("human").replace("", None)
    ).write_csv(folder / "reviews.csv")
    checks = """
[from]
rows = "reviews.csv"
[[check]]
name = "polite"
ask = {prompt = "Is it polite? {{ reply }}", choices = ["yes", "no"]}
people = "human"
share_at_least = {yes = 0.5}
kappa_at_least = 0.1
"""
    (folder / "checks.toml").write_text(checks)
    ran, _ = live(script=lambda asked: "no" if "tea" in asked.text else "yes")
    assert ran.code == 0 and "The judge against people: the same label for 100.0% (2 of 2" in ran.out, ran.out
    (folder / "checks.toml").write_text(checks.replace('people = "human"', "judge = true").replace("kappa_at_least = 0.1\n", ""))  # fmt: skip
    assert "The judge itself is unproven" in live(script=lambda asked: "yes")[0].out


def test_every_verb_stands_in_a_file_with_its_own_arguments(run, folder, live):
    (folder / "checks.toml").write_text("""
[from]
rows = "reviews.csv"
[[check]]
ask = "Is it about food? {{ review }}"
no_failed = true
[[check]]
extract = {column = "review", schema = "dish, mood"}
field = "mood"
one_of = ["good"]
[[check]]
score = {column = "review", criterion = "stars", low = 1, high = 5, integer = true}
between = [1, 5]
[[check]]
summarize = {column = "review", max_tokens = 50}
matches = "."
[[check]]
translate = {column = "review", to = "French"}
no_failed = true
[[check]]
classify = {column = "review", labels = {praise = "they liked it", complaint = "they did not"}, examples = [["Cold.", "complaint"]]}
one_of = ["praise", "complaint"]
""")

    def script(asked):
        body = json.dumps(asked.body) if hasattr(asked, "body") else asked.text
        for word, reply in (("mood", '{"dish": "soup", "mood": "good"}'), ("score", '{"score": 4}')):
            if word in body:
                return reply
        return "praise"

    ran, _ = live(script=script)
    assert ran.code == 0, ran.out + ran.err
    assert [verb for verb in VERBS if f"{verb} (4 answers)" not in ran.out] == []


def test_the_files_that_the_page_shows_can_be_read(tmp_path):
    page = (ROOT / "docs" / "check.md").read_text(encoding="utf-8")
    shown = re.findall(r"^```toml\n(.*?)^```$", page, re.M | re.S)
    assert len(shown) >= 2
    for text in shown:
        path = tmp_path / "checks.toml"
        path.write_text(
            text if "[from]" in text else f'[from]\nrows = "replies.csv"\n{text}', encoding="utf-8"
        )
        assert read_check_file(path).can_ask


# ---------------------------------------------------------------------- what is refused

WRONG = {
    "an unknown rule": ("accuracy_at_least", "acuracy_at_least", "did you mean `accuracy_at_least`?"),
    "an unknown column": ('truth = "gold"', 'truth = "golden"', "did you mean `gold`"),
    "an unknown column of a question": ('column = "review"', 'column = "revue"', "review"),
    "an unknown verb": ("classify =", "clasify =", "did you mean `classify`"),
    "an unknown table": ("[from]", "[form]", "did you mean `from`"),
    "an unknown source": ('pack = "reviews', 'packs = "reviews', "did you mean `pack`"),
    "no TOML": ("[from]", "[from", "checks.toml is no TOML"),
    "no rows": ('rows = "reviews.csv"\n', "", 'rows = "reviews.csv"'),
    "rows that are not there": ("reviews.csv", "others.csv", "There is no file others.csv"),
    "rows of no kind": ("reviews.csv", "reviews.xls", ".parquet, .csv"),
    "a rule that can't be": ("0.7", "70", "a share from 0 to 1"),
    "a truth that is asked about": ('column = "review"', 'column = "gold"', "told what is right"),
    "an endpoint in the file": ("labels = [", 'endpoint = "openrouter", labels = [', "--endpoint"),
    "a key in the file": ("labels = [", 'api_key = "sk-1", labels = [', "environment"),
    "a filter": ("classify = {column = \"review\", labels = [\"praise\", \"complaint\"]}", 'filter = {statement = "x"}', "makes no column"),
    "two sources": ("truth =", 'column = "gold"\ntruth =', "classify and column"),
    "a check of nothing": (CHECKS[CHECKS.index("classify") :], "no_failed = true", "whose answers"),
    "no check": (CHECKS[CHECKS.index("[[check]]") :], "", "has no check"),
    "no rule": (CHECKS[CHECKS.index("truth") :], "", "no rule and no truth"),
    "a level that is none": ("[from]", "level = 5\n[from]", "level=5"),
    "two of one name": ("[[check]]", '[[check]]\nname = "labels"\ncolumn = "gold"\nno_failed = true\n[[check]]', "Two checks are called `labels`"),
    "a column without an option like this": ("labels = [", "lables = 3, labels = [", "lables"),
}  # fmt: skip


@pytest.mark.parametrize("what", WRONG)
def test_a_file_that_can_not_be_is_one_sentence_with_what_to_type(run, folder, what):
    old, new, said = WRONG[what]
    assert old in CHECKS
    (folder / "checks.toml").write_text(CHECKS.replace(old, new, 1))
    Pack().write(folder / "reviews.qwenpack")
    ran = run("check", "checks.toml")
    assert ran.code == 2 and said in ran.err and ran.err.count("\n") == 1 and "Traceback" not in ran.err, (
        ran.err
    )


def test_what_is_typed_wrong_is_told(run, folder):
    assert "There is no file none.toml here" in run("check", "none.toml").err
    for option in (["--budget", "1"], ["--record"], ["-m", "plus"], ["-e", "vllm"]):
        assert "is for --live" in run("check", "checks.toml", *option).err
    (folder / "checks.toml").write_text(
        '[from]\nrows = "reviews.csv"\n[[check]]\ncolumn = "gold"\nno_failed = true\n'
    )
    assert "asks nothing" in run("check", "checks.toml", "--live").err
    ran = run("check", "checks.toml", "--junit", "missing/a.xml")
    assert ran.code == 2 and "missing/a.xml can't be written" in ran.err
    (folder / "checks.last.json").write_text("{}")
    assert "--accept" in run("check", "checks.toml").err


@pytest.mark.parametrize("name", NOT_IN_A_FILE)
def test_a_file_says_neither_where_to_ask_nor_for_how_much_nor_with_which_key(tmp_path, name):
    path = tmp_path / "checks.toml"
    path.write_text(
        f'[from]\nrows = "r.csv"\n[[check]]\nsummarize = {{column = "a", {name} = "x"}}\nno_failed = true'
    )
    with pytest.raises(BadInput, match=f"takes no `{name}` in a file"):
        read_check_file(path)


def test_hostile_rows_and_answers_steer_no_terminal(run, folder, live):
    text = (HOSTILE + LINES).replace("\x00", "")
    pl.DataFrame({"review": [text], "gold": [text]}).write_parquet(folder / "rows.parquet")
    (folder / "checks.toml").write_text(
        '[from]\nrows = "rows.parquet"\n[[check]]\nask = "{{ review }}"\ntruth = "gold"\nmatches = "^x"\n'
    )
    ran, _ = live(
        "--junit", "a.xml", "--json", "a.jsonl", "--markdown", "a.md", script=lambda asked: f"answer {text}"
    )
    assert ran.code == 1 and "evil" in ran.out and not steers(ran.out + ran.err)
    ET.parse(folder / "a.xml")
    assert not steers((folder / "a.md").read_text(encoding="utf-8"))
