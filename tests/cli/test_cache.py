"""What is kept is told, and forgotten only by somebody who was told what it means."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from qwennb.cache import BatchOrder, BatchOrders
from qwennb.client.runtime import runtime
from qwennb.request import Message, Request, Text


@pytest.fixture
def kept(simulate, client):
    """Three answers of two models at two endpoints, on the disk."""
    paid, free = simulate("openrouter"), simulate("vllm")
    answers = [
        client(paid).ask("One", model="flash"),
        client(paid).ask("Two", model="plus"),
        client(free).ask("Three"),
    ]
    runtime().close()  # what is still to be written is written
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


@pytest.mark.parametrize(
    "rule", [[], ["--batches"], ["--all", "--model", "plus"], ["--all", "--older-than", "1h"]]
)
def test_prune_wants_one_meaning(run, kept, rule):
    ran = run("cache", "prune", *rule, "--yes")
    assert ran.code == 2 and "--all alone" in ran.err
    assert run("cache", "info").out.startswith("3 answers")


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
    runtime().close()
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


# ---------------------------------------------------------------------- what is under way in batches


@pytest.fixture
def orders(tmp_path):
    """Two batches under way, one of them without a number yet, and one that was fetched."""
    made = BatchOrders(tmp_path / "cache")
    made.claim().close()
    for name, model, batch, day in (
        ("a", "qwen3.5-plus", "batch_17", 1),
        ("b", "qwen3.5-flash", "", 9),
        ("c", "qwen3.5-plus", "batch_3", 2),
    ):
        asked = [Request(model, (Message("user", (Text(f"{name} {n}"),)),)) for n in range(3)]
        order = BatchOrder(
            name, name, "dashscope-intl", model, datetime(2026, 11, day, tzinfo=UTC).timestamp(), batch=batch,
            questions=3, keys=frozenset(request.key for request in asked),
        )  # fmt: skip
        made.write(order, asked)
        if name == "c":
            made.close(order)
    return made


def under_way(orders: BatchOrders) -> set[str]:
    return {order.id for order in orders.under_way()}


def test_info_tells_what_is_under_way_though_nothing_is_kept_yet(run, orders, simulate, client):
    ran = run("cache", "info")
    assert ran.code == 0 and "No answers are kept yet" in ran.out
    assert "2 batches under way with 6 questions; the column's next call fetches the answers" in ran.out
    assert (
        "2026-11-01, batch_17" in ran.out
        and "2026-11-09, no number yet" in ran.out
        and "batch_3" not in ran.out
    )
    client(simulate()).ask("One")
    runtime().close()
    assert "2 batches under way with 6 questions" in run("cache", "info").out
    told = json.loads(run("cache", "info", "--json").out)
    assert [(one["batch"], one["questions"], one["since"]) for one in told["batches"]] == [
        ("batch_17", 3, "2026-11-01"), ("", 3, "2026-11-09"),
    ]  # fmt: skip
    files = sum(path.stat().st_size for path in orders.folder.iterdir())
    for path in orders.folder.iterdir():
        path.unlink()
    assert told["bytes"] - json.loads(run("cache", "info", "--json").out)["bytes"] == files > 0


def test_prune_leaves_what_is_under_way_and_says_so(run, kept, orders):
    ran = run("cache", "prune", "--all", "--yes")
    assert ran.code == 0 and "3 answers forgotten" in ran.out
    assert "2 batches under way" in ran.out and "They stay: their answers are charged." in ran.out
    assert under_way(orders) == {"a", "b"}


@pytest.mark.parametrize(
    ("rule", "left"),
    [
        (["--all"], set()),
        (["--model", "plus"], {"b"}),
        (["--endpoint", "dashscope-intl"], set()),
        (["--endpoint", "openrouter"], {"a", "b"}),
        (["--older-than", "2026-11-05"], {"b"}),
    ],
)
def test_what_is_under_way_is_forgotten_only_where_it_is_asked_for(run, orders, rule, left):
    ran = run("cache", "prune", *rule, "--batches", says="n\n")
    assert under_way(orders) == {"a", "b"} and ran.code == (1 if left != {"a", "b"} else 0)
    ran = run("cache", "prune", *rule, "--batches", says="y\n")
    assert ran.code == 0 and under_way(orders) == left
    if left != {"a", "b"}:
        assert "goes on with them and charges them" in ran.out
    assert orders.fetched_batches() == {
        "batch_3"
    }  # which is how a batch that is fetched is not fetched again


def test_nothing_is_forgotten_while_somebody_fetches(run, orders):
    claim = orders.claim()
    ran = run("cache", "prune", "--all", "--batches", "--yes")
    assert ran.code == 1 and "Another process" in ran.err and under_way(orders) == {"a", "b"}
    claim.close()
