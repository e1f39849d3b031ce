"""Every row of the data is whole, dated, and points at something that exists."""

import re
import tomllib
from copy import deepcopy
from datetime import date
from itertools import pairwise
from pathlib import Path

import pytest

import qwennb.catalog
from qwennb.catalog import Catalog, Range
from qwennb.errors import BadInput
from qwennb.request import SETTINGS

TABLE = tomllib.loads(Path(qwennb.catalog.__file__).with_name("models.toml").read_text(encoding="utf-8"))
NAMES = {row["name"] for row in TABLE["model"]}
ENDPOINTS = {row["name"] for row in TABLE["endpoint"]}
# The options of an asking call, as the public interface lists them.
# fmt: off
OPTIONS = {
    "model", "system", "images", "videos", "files", "schema", "choices", "thinking", "temperature", "top_p", "top_k",
    "min_p", "max_tokens", "seed", "stop", "presence_penalty", "frequency_penalty", "repetition_penalty",
    "logit_bias", "logprobs", "tools", "tool_choice", "search", "sample", "extra", "cache", "timeout", "budget",
    "overflow", "max_pixels", "max_steps", "allow_urls",
}
# fmt: on


def test_the_options_are_those_of_the_public_interface() -> None:
    assert set(TABLE["options"]["sent"]) | set(TABLE["options"]["own"]) | set(SETTINGS) == OPTIONS
    assert len(TABLE["options"]["sent"]) + len(TABLE["options"]["own"]) + len(SETTINGS) == len(OPTIONS)
    assert not set(TABLE["instead"]) & OPTIONS


def test_every_kind_sorts_only_options_that_exist_and_none_twice() -> None:
    sent = Catalog(TABLE).sent
    for name, kind in TABLE["kind"].items():
        accepts, ignores = kind["accepts"], kind.get("ignores", [])
        assert len(accepts) == len(set(accepts)), name
        assert set(accepts) | set(ignores) <= sent, name
        assert not set(accepts) & set(ignores), name
        assert set(kind.get("ranges", {})) <= sent, name
        assert set(kind["thinking"]) <= {"off", "on", "levels", "budget"}, name
        assert set(kind["tool_choice"]) <= {"auto", "none", "required", "named"}, name
        assert ("tool_choice" in accepts) == bool(kind["tool_choice"]), name
        assert set(kind.get("tool_choice_thinking", [])) <= set(kind["tool_choice"]), name
        assert ("images" in accepts) == ("images" in kind), name
        assert ("videos" in accepts) == ("videos" in kind), name
        assert kind["schema"] in {"json_schema", "json_object", "prompt"}, name
        assert kind["max_tokens"] in {"answer", "all"}, name
        assert kind["ids"] in {"own", "hub", "any"}, name


def test_every_endpoint_is_of_a_known_kind_and_its_default_can_be_asked_there() -> None:
    assert {row["kind"] for row in TABLE["endpoint"]} | {"openai"} == set(TABLE["kind"])
    catalog = Catalog(TABLE)
    for place in catalog.endpoints():
        if place.default_model is not None:
            assert catalog.id_at(place.default_model, place.name)
            assert catalog.abilities(place.default_model, place.name).known


def test_every_id_names_one_model_only() -> None:
    owner: dict[str, str] = {}
    for row in TABLE["model"]:
        ids = {i for ids in row["ids"].values() for i in ids}
        for name in {row["name"], *row["aliases"], *ids, row.get("hub", row["name"])}:
            assert owner.setdefault(name.lower(), row["name"]) == row["name"], name


def test_every_row_about_a_model_points_at_a_model_and_an_endpoint_that_serves_it() -> None:
    catalog = Catalog(TABLE)
    for row in TABLE["model"]:
        assert set(row["ids"]) <= ENDPOINTS, row["name"]
        assert set(row.get("stands_for", {}).values()) <= NAMES, row["name"]
        for endpoint, snapshot in row.get("stands_for", {}).items():
            assert endpoint not in row["ids"]
            assert endpoint in catalog.model(snapshot).ids
    for row in TABLE["override"]:
        assert row["kind"] in TABLE["kind"]
        assert set(row["models"]) <= NAMES
        assert set(row.get("adds", [])) <= Catalog(TABLE).sent
    for row in TABLE["preset"]:
        assert set(row["models"]) <= NAMES
        assert set(row["values"]) <= OPTIONS
        assert row["source"]
    for row in [*TABLE["price"], *TABLE["quota"]]:
        assert row["endpoint"] in ENDPOINTS
        for model in row["models"]:
            assert row["endpoint"] in catalog.model(model).ids, row


def test_every_preset_lies_in_the_range_of_every_kind_that_is_sent_it() -> None:
    for kind in TABLE["kind"].values():
        for name, bounds in kind.get("ranges", {}).items() if kind.get("presets") else ():
            for preset in TABLE["preset"]:
                assert preset["values"].get(name, bounds.get("low", 0)) in Range(**bounds), (name, preset)


def test_every_price_and_quota_has_a_date_and_a_source() -> None:
    for row in [*TABLE["price"], *TABLE["quota"], *TABLE["rate"]]:
        assert isinstance(row["checked"], date)
        assert row["source"].strip()
        assert row["checked"] <= TABLE["checked"]


def test_every_price_climbs_with_its_tiers_and_the_last_tier_is_open() -> None:
    for row in TABLE["price"]:
        assert row["currency"] in {"USD", *(rate["currency"] for rate in TABLE["rate"])}
        bounds = [tier.get("up_to") for tier in row["tiers"]]
        assert bounds[-1] is None
        assert all(bound is not None for bound in bounds[:-1])
        for lower, higher in pairwise(row["tiers"]):
            assert lower["input"] <= higher["input"], row
            assert lower["output"] <= higher["output"], row
            assert higher.get("up_to") is None or lower["up_to"] < higher["up_to"], row
        for tier in row["tiers"]:
            assert 0 < tier["input"] < tier["output"], row
            assert tier.get("cache_read", 0) < tier["input"], row


def test_no_two_prices_of_a_model_begin_on_the_same_day() -> None:
    starts = [(row["endpoint"], model, row.get("since")) for row in TABLE["price"] for model in row["models"]]
    assert len(starts) == len(set(starts))


def test_the_levels_rise_and_stay_within_what_every_model_may_think() -> None:
    low, medium, high = (TABLE["levels"][level] for level in ("low", "medium", "high"))
    assert 0 < low < medium < high <= min(row["max_thinking"] for row in TABLE["model"] if row["thinks"])


def test_dated_snapshots_are_named_by_a_date() -> None:
    for row in TABLE["model"]:
        if dated := re.search(r"\d{4}-\d{2}-\d{2}$", row["name"]):
            assert date.fromisoformat(dated[0]) <= row["released"]


@pytest.mark.parametrize(
    ("name", "context", "hub"),
    [
        ("qwen3.5-plus", 1_000_000, None),
        ("qwen3.5-flash", 1_000_000, None),
        ("qwen3.5-9b", 262_144, "Qwen/Qwen3.5-9B"),
        ("qwen3.5-27b", 262_144, "Qwen/Qwen3.5-27B"),
        ("qwen3.5-397b-a17b", 262_144, "Qwen/Qwen3.5-397B-A17B"),
    ],
)
def test_windows_and_hub_ids_are_as_published(name: str, context: int, hub: str | None) -> None:
    model = Catalog(TABLE).model(name)

    assert (model.context, model.hub) == (context, hub)


def test_plus_and_flash_take_less_input_when_they_may_think() -> None:
    for name in ("plus", "flash"):
        model = Catalog(TABLE).model(name)
        assert model.max_input(thinking=True) == 983_616
        assert model.max_input(thinking=False) == 991_808
        assert (model.max_output, model.max_thinking) == (65_536, 81_920)


def test_the_two_smallest_do_not_think_unless_asked_and_the_embedded_model_never() -> None:
    quiet = {m.name: m.max_thinking for m in Catalog(TABLE).models() if not m.thinks}
    assert set(quiet) == {"qwen3.5-0.8b", "qwen3.5-2b", "qwen2.5-coder-0.5b-instruct"}
    assert quiet["qwen2.5-coder-0.5b-instruct"] == 0 < quiet["qwen3.5-2b"]


def test_what_the_guides_invented_is_in_no_list() -> None:
    everything = {option for kind in TABLE["kind"].values() for option in kind["accepts"]}
    assert not everything & {"enable_fast", "enable_auto", "n"}


@pytest.mark.parametrize(
    ("part", "field", "said"),
    [
        ("model", "contxt", "`contxt` is no field of Model in the catalogue; did you mean `context`?"),
        (
            "endpoint",
            "hostde",
            "`hostde` is no field of EndpointSpec in the catalogue; did you mean `hosted`?",
        ),
        (
            "images",
            "max_pixel",
            "`max_pixel` is no field of Images in the catalogue; did you mean `max_pixels`?",
        ),
        ("quota", "rqm", "`rqm` is no field of RateQuota in the catalogue; did you mean `rpm`?"),
    ],
)
def test_a_misspelt_field_of_a_row_is_refused(part: str, field: str, said: str) -> None:
    table = deepcopy(TABLE)
    row = table["kind"]["vllm"]["images"] if part == "images" else table[part][0]
    row[field] = 1
    with pytest.raises(BadInput) as told:
        read = Catalog(table)
        read.abilities("9b", "vllm")
        read.quota("qwen3.5-plus", "dashscope")
    assert str(told.value) == said
