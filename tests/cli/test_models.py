"""The table of models fits a terminal, says its dates, and calls its prices estimates."""

from __future__ import annotations

import json

import pytest

from qwennb.catalog import Catalog


def test_every_endpoint_and_model_is_there_within_100_columns(run):
    ran = run("models")
    assert ran.code == 0
    assert max(map(len, ran.out.splitlines())) <= 100
    for row in Catalog.load_bundled().rows():
        assert row.endpoint == "simulator" or f" {row.id} " in ran.out
    assert "\nsimulator\n" not in ran.out


def test_prices_say_that_they_are_estimates_and_of_which_day(run):
    ran = run("models", "-e", "openrouter")
    price = next(r for r in Catalog.load_bundled().rows("openrouter") if r.default).prices[0]
    assert "estimates" in ran.out and str(price.checked) in ran.out
    line = next(line for line in ran.out.splitlines() if "*" in line)
    assert f"{price.input:.4g}" in line.split() and f"{price.output:.4g}" in line.split()


def test_yuan_are_shown_as_dollars_and_marked(run):
    ran = run("models", "--endpoint", "dashscope")
    row = next(r for r in Catalog.load_bundled().rows("dashscope") if r.model.name == "qwen3.5-plus")
    assert row.prices[0].currency == "CNY"
    assert f"≈{row.prices[0].input * row.prices[0].usd:.4g}" in ran.out
    assert "input over 128k" in ran.out and "unknown" in ran.out


def test_a_server_of_ones_own_is_free(run):
    ran = run("models", "-e", "vllm")
    assert "free: a server of your own" in ran.out and "$" not in ran.out and "prices read" not in ran.out


@pytest.mark.parametrize("endpoint", ["openrouter", "vllm"])
def test_programs_get_json(run, endpoint):
    rows = json.loads(run("models", "--json", "-e", endpoint).out)
    expected = Catalog.load_bundled().rows(endpoint)
    assert [(r["model"], r["id"], r["context"]) for r in rows] == [
        (e.model.name, e.id, e.model.context) for e in expected
    ]
    assert all(p["estimate"] and p["checked"] for r in rows for p in r["prices"])
    assert bool(rows[0]["prices"]) is (endpoint == "openrouter")
