"""Models of this machine: fetched or pointed at, listed, served."""

from __future__ import annotations


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
