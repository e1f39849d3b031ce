"""What is kept is told, and forgotten only by somebody who was told what it means."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from qwennb.client.household import household


@pytest.fixture
def kept(simulate, client):
    """Three answers of two models at two endpoints, on the disk."""
    paid, free = simulate("openrouter"), simulate("vllm")
    answers = [
        client(paid).ask("One", model="flash"),
        client(paid).ask("Two", model="plus"),
        client(free).ask("Three"),
    ]
    household().close()  # what is still to be written is written
    return answers


def test_info_counts_by_model_and_endpoint(run, kept, tmp_path):
    ran = run("cache", "info")
    assert ran.code == 0 and ran.out.startswith(f"3 answers in {tmp_path / 'cache'}")
    for answer in kept:
        line = next(line for line in ran.out.splitlines() if answer.endpoint in line and answer.model in line)
        assert line.split()[2] == "1"
    told = json.loads(run("cache", "info", "--json").out)
    assert told["answers"] == 3 and told["requests"] == 3
    assert told["spent"] == pytest.approx(sum(answer.cost for answer in kept))


def test_looking_makes_no_folder(run, tmp_path):
    for words in (("info",), ("usage",), ("prune", "--all", "--yes")):
        assert run("cache", *words).code == 0
    assert not (tmp_path / "cache").exists()


def test_prune_first_says_how_many_and_what_asking_again_would_cost(run, kept):
    ran = run("cache", "prune", "--endpoint", "openrouter", says="n\n")
    again = kept[0].cost + kept[1].cost
    assert ran.code == 1 and "2 answers" in ran.out and "Nothing was forgotten" in ran.out
    assert f"≈ ${again:.6f}".rstrip("0") in ran.out
    assert run("cache", "info").out.startswith("3 answers")


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        (["--model", "plus"], 2),
        (["--model", "qwen3.5-flash"], 2),
        (["--endpoint", "openrouter"], 1),
        (["--endpoint", "vllm"], 2),
        (["--endpoint", "vllm:Qwen/Qwen3.5-9B"], 2),
        (["--endpoint", "openrouter", "--model", "plus"], 2),
        (["--model", "plus", "--endpoint", "vllm"], 3),
        (["--older-than", "1h"], 3),
        (["--all"], 0),
    ],
)
def test_prune_forgets_what_the_rule_means_and_nothing_else(run, kept, rule, left):
    assert run("cache", "prune", *rule, "--yes").code == 0
    assert run("cache", "info").out.startswith(f"{left} answer")


def test_prune_goes_by_age(run, kept):
    later = datetime.now(UTC) + timedelta(days=2)
    assert "3 answers forgotten" in run("cache", "prune", "--older-than", "47h", now=later, says="y\n").out
    assert run("cache", "info").out.startswith("0 answers")


def test_no_terminal_to_say_yes_on_is_a_no(run, kept):
    for says in ("", "\n", "no\n", "yesterday\n"):
        assert run("cache", "prune", "--all", says=says).code == 1
    assert run("cache", "info").out.startswith("3 answers")


def test_what_was_forgotten_is_asked_again(run, simulate, client):
    sim = simulate()
    client(sim).ask("One", model="flash")
    household().close()
    run("cache", "prune", "--all", "--yes")
    assert not client(sim).ask("One", model="flash").cached
    assert sim.ledger.count("asked") == 2


def test_usage_sums_what_was_spent(run, kept):
    ran = run("cache", "usage")
    total = sum(answer.cost for answer in kept)
    assert ran.code == 0 and ran.out.splitlines()[-1].split()[1] == "3"
    assert f"${total:.6f}".rstrip("0") in ran.out.splitlines()[-1]
    by_endpoint = run("cache", "usage", "--by", "endpoint").out
    assert [line.split()[:2] for line in by_endpoint.splitlines()[1:]] == [
        ["openrouter", "2"],
        ["vllm", "1"],
        ["all", "3"],
    ]
    rows = json.loads(run("cache", "usage", "--by", "model", "--endpoint", "openrouter", "--json").out)
    assert {row["model"]: row["cost"] for row in rows} == pytest.approx(
        {a.model: float(a.cost) for a in kept[:2]}
    )
    assert "Nothing was spent on that" in run("cache", "usage", "--since", "2999-01-01").out


def test_forgetting_answers_does_not_forget_what_they_cost(run, kept):
    before = run("cache", "usage").out
    run("cache", "prune", "--all", "--yes")
    assert run("cache", "usage").out == before
