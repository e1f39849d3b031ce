"""What a simulated server says of itself, in OpenAPI 3.1, is what it does: held by readers of others."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from qwennb.simulator import DIALECTS, MODELS, REFUSALS, Options
from tests.simulator.wire import KEY, ask, get

PROGRAMS = Path(__file__).parents[2] / ".venv-openapi" / "bin"
VALIDATE = """
import json, sys
from openapi_spec_validator import OpenAPIV31SpecValidator
print([name for name in sys.argv[1:] if not OpenAPIV31SpecValidator(json.load(open(name))).is_valid()])
"""
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,negative_data_rejection"


def program(name: str) -> str:
    if not (PROGRAMS / name).exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(
            f"{name} is not installed: python tests/setup.py"
        )
    return str(PROGRAMS / name)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_page_has_every_field_that_is_read_and_every_status_that_is_told(start, dialect):
    page = get(start(dialect), "/openapi.json").json
    (path,) = [path for path in page["paths"] if path.endswith("/chat/completions")]
    asked = page["paths"][path]["post"]
    spoken = DIALECTS[dialect](MODELS[dialect], Options(), float)
    sent = asked["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert sent.keys() == spoken.tree({"model": MODELS[dialect][0].id}).keys()
    told = {str(row.status) for row in REFUSALS if dialect in row.dialects and not row.options}
    assert told - {"401"} <= asked["responses"].keys()
    assert ("401" in asked["responses"]) == (spoken.key != "ignored")
    assert page["openapi"] == "3.1.0" and f"{spoken.base}/models" in page["paths"]


@pytest.mark.slow
def test_the_page_of_every_server_is_valid(start, tmp_path):
    python = program("python")
    for dialect in DIALECTS:
        (tmp_path / dialect).write_bytes(get(start(dialect), "/openapi.json").body)
    broken = json.loads((tmp_path / "vllm").read_text())
    broken["paths"]["/health"]["get"]["responses"]["200"].pop("description")
    (tmp_path / "broken").write_text(json.dumps(broken))
    words = [python, "-c", VALIDATE, *DIALECTS, "broken"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout == "['broken']\n", done.stderr


@pytest.mark.parametrize(
    ("dialect", "examples"),
    [
        pytest.param("lmstudio", 3, marks=pytest.mark.slow),
        *(pytest.param(dialect, 100, marks=pytest.mark.nightly) for dialect in DIALECTS),
    ],
)
def test_a_fuzzer_that_reads_the_page_finds_no_server_that_breaks_its_word(
    start, tmp_path, dialect, examples
):
    """schemathesis: no failure, no status or shape that is not told, and what breaks the schema is refused."""
    words = [
        "--seed",
        "1",
        "-n",
        f"{examples}",
        "--checks",
        CHECKS,
        "-H",
        f"Authorization: Bearer {KEY}",
        "--no-color",
    ]
    words += ["--phases", "fuzzing"] if examples < 10 else []
    url = f"{start(dialect).root_url}/openapi.json"
    done = subprocess.run([program("st"), "run", url, *words], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-6000:]


@pytest.mark.parametrize(
    ("dialect", "field", "value"),
    [
        ("vllm", "thinking_token_budget", {}),
        ("vllm", "structured_outputs", {"grammar": ""}),
        ("vllm", "messages", [{"role": {}, "content": "Hello"}]),
        ("sglang", "ebnf", {}),
        ("llama.cpp", "messages", None),
        ("ollama", "reasoning_effort", [None]),
        ("dashscope", "search_options", [None]),
        ("openrouter", "reasoning", {"max_tokens": {}}),
    ],
)
def test_a_field_of_another_type_is_refused_and_breaks_nothing(start, dialect, field, value):
    """Each of these had broken the connection when the fuzzer first ran."""
    assert ask(start(dialect), **{field: value}).status == 400
