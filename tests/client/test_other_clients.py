"""Other people's libraries ask through `qwen.openai`: they get what they should, and the second time it is recalled.

The programs are those of `peers.py`; `poe setup` makes the environment that they run in.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from pathlib import Path

import pytest

from qwennb import Qwen
from qwennb.simulator import Reply, ToolCall
from tests.endpoints.wire import Raw, reply, serving
from tests.test_docs import ROOT

PEERS = ROOT / ".venv-peers" / ("Scripts" if os.name == "nt" else "bin") / "python"
ORDER = {"item": "tea", "amount": 2}


def says(asked):
    """What the model says: a form of the order as it is asked for, after a look into the stock where there is one."""
    if "Read the order" not in asked.text:
        return f"You said: {asked.text}"
    form = next((tool["name"] for tool in asked.tools if tool["name"] != "stock"), None)
    if len(asked.tools) == 2 and asked.messages[-1]["role"] == "user":
        return Reply(None, tool_calls=[ToolCall("stock", {"item": "tea"})])
    return Reply(None, tool_calls=[ToolCall(form, ORDER)]) if form else json.dumps(ORDER)


def run(name: str, base_url: str, folder: Path) -> list[object]:
    """What the program printed, one value each time that it asked."""
    if not PEERS.exists():
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{name} is not here: poe setup installs it")
    environ = {one: os.environ[one] for one in ("PATH", "SYSTEMROOT") if one in os.environ} | {
        "HOME": str(folder),
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # or it fetches its prices when it is imported
        "LANGSMITH_TRACING": "false",
    }
    done = subprocess.run(
        [PEERS, "-m", "tests.client.peers", name, base_url, str(folder / "answers")],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "gives", "questions"),
    [
        ("instructor", [ORDER, ORDER, ORDER], 2),  # of three calls the last is the second's question
        ("pydantic_ai", ORDER, 2),  # the tool, then the form
        ("langchain", ["You said: Hello", "You said: Hello again", ORDER], 3),
        ("litellm", ["You said: Hello", "You said: Hello again"], 2),
    ],
)
def test_another_library_gets_its_answers_and_recalls_them(simulate, tmp_path, name, gives, questions):
    sim = simulate(script=says)
    assert run(name, sim.base_url, tmp_path) == [gives, gives]
    assert (sim.ledger.count("asked"), sim.ledger.count("paid")) == (questions, questions)


@pytest.mark.parametrize("model", ["my-qwen", "dashscope/qwen3.5-plus"])
@pytest.mark.parametrize("form", ["", "/", "/v1", "/v1/"])
@pytest.mark.parametrize("kind", ["", "openai+"])
@pytest.mark.slow
def test_the_address_of_a_litellm_proxy_is_asked_as_it_is_given(tmp_path, kind, form, model):
    """With `/v1` and without: such a proxy answers at both, its models have names of its own, and its keys begin with sk-."""

    def proxy(asked):
        if asked.target in ("/models", "/v1/models"):
            return reply(json.dumps({"object": "list", "data": [{"id": model, "object": "model"}]}).encode())
        if asked.target not in ("/chat/completions", "/v1/chat/completions"):
            return reply(b'{"detail":"Not Found"}', status="404 Not Found")
        said = {"role": "assistant", "content": "Paris"}
        choice = {"index": 0, "finish_reason": "stop", "message": said}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        return reply(json.dumps({"id": "chatcmpl-1", "choices": [choice], "usage": usage}).encode())

    async def ask():
        raw = Raw(proxy)
        async with serving(raw) as port:
            qwen = Qwen(model, f"{kind}http://127.0.0.1:{port}{form}", api_key="sk-1234", cache_dir=tmp_path)
            return await qwen.ask_async("Hello"), raw.asked[-1]

    answer, asked = asyncio.run(ask())
    assert answer.text == "Paris"
    assert asked.target == f"{form.rstrip('/')}/chat/completions"
    assert (json.loads(asked.body)["model"], asked.header("authorization")) == (model, ["Bearer sk-1234"])
