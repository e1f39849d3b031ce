"""A key planted as a canary: one notebook uses all that cells have, and the key is in nothing that is left of it.

Looked for as it is, reversed, in base64 at each offset, percent-encoded, in hex and as JSON escapes it, by windows of eight
characters, so that a key shown in part is found as well.
"""

from __future__ import annotations

import base64
import json
import random
import string
from pathlib import Path
from urllib.parse import quote

import pytest

from qwennb.simulator import Reply, Simulator, ToolCall
from tests.notebook.conftest import Kernel

WINDOW = 8
KEY = "sk-CANARY" + "".join(random.Random(26).choices(string.ascii_letters + string.digits, k=24))


def disguises(key: str) -> set[str]:
    """Every window of *key* in each of its disguises."""
    whole = {key, key[::-1], quote(key, safe=""), key.encode().hex(), json.dumps(key)[1:-1]}
    # Base64 reads differently at each of three offsets; its edges are not the key's own.
    whole |= {base64.b64encode(b"\0" * n + key.encode()).decode().rstrip("=")[4:] for n in range(3)}
    return {form[at : at + WINDOW] for form in whole for at in range(len(form) - WINDOW + 1)}


WANTED = disguises(KEY) - disguises("sk-CANARY")  # the word alone is no secret


def leaks(data: bytes | str) -> set[str]:
    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
    return {window for window in WANTED if window in text}


SET_UP = """
import io, logging, sys
import matplotlib
matplotlib.use("agg")
import matplotlib.pyplot as plt
import polars as pl
from PIL import Image
logging.basicConfig(filename="debug.log", level=logging.DEBUG, force=True)
sys.stdout.flush()
%load_ext qwennb
frame = pl.DataFrame({"text": ["good", "bad", "good"]})
picture = Image.new("RGB", (40, 40), "red")
def find(city: str) -> str:
    "Finds a city."
    return "found " + city
def raises(city: str) -> str:
    "Raises."
    raise ValueError("no " + city)
plt.plot([1, 2]);
"""
CELLS = [
    SET_UP,
    "%qwen hello",
    "%qwen hello",
    "%%qwen --think --into said\nAbout {{ frame }} and {{ picture }}",
    "said",
    "print(said, repr(said), said.to_json(), vars(said), said.request, sep='\\n')",
    "%qwen --schema 'name, age int' who",
    "%qwen --choices 'yes, no' right?",
    "%qwen --chat talk first",
    "%qwen --chat talk --tools find --yes second",
    "%qwen --tools raises --yes third",
    "%qwen --code some code",
    "%qwen --plan how much",
    "%qwen --image picture --search look",
    "%qwen_look",
    "1 / 0",
    "%qwen_fix",
    "%qwen_models",
    "%qwen_usage",
    "%qwen_cache",
    "%qwen_config",
    "%qwen_chat talk",
    "%qwen_chat talk save talk.json",
    "%qwen_chat talk export talk.md",
    "%qwen_sent",
    "%qwen_sent --as curl",
    "%%qwen?",
    "from qwennb import Qwen\nqwen = Qwen()\nqwen",
    "print(qwen, repr(qwen), vars(qwen), vars(qwen.session), qwen.session.config, qwen.endpoint, vars(qwen.endpoint) if hasattr(qwen.endpoint, '__dict__') else '')",
    "str(qwen.ask('of the client')), repr(qwen.openai), str(list(qwen.stream('in pieces')))",
    "await qwen.ask_async('awaited')",
    "frame.qwen.ask('{{ text }}', into='mood', choices=['yes', 'no'])",
    "frame.qwen.plan('{{ text }}')",
    "import ipywidgets as w\nw.Label(str(qwen)), w.Widget.get_manager_state()",
    "import pickle\ntry:\n    pickle.dumps(qwen.session.config)\nexcept TypeError as error:\n    print(error)",
]
WRONG = [
    "%qwen about {{ nothing }}",
    "%qwen --no-cache --param timeout=0.5 refused",
    """def deep(client):
    config, key, settings = client.session.config, client.session.config.api_key, dict(a=client.session.config)
    return client.ask('refused too', cache='off', timeout=0.5)
deep(qwen)""",
    "def odd(client):\n    held = [client, client.session.config, client.endpoint, vars(client)]\n    raise ValueError(held)\nodd(qwen)",
    "frame.qwen.ask('{{ text }} fails', into='x', on_error='raise', cache='off')",
    "Qwen(api_key=qwen.session.config.api_key.reveal(), model=object())",
]


@pytest.mark.slow
def test_the_key_is_in_nothing_that_a_notebook_leaves(tmp_path):
    call = Reply(None, tool_calls=[ToolCall("find", {"city": "Bonn"}, id="call_1")])
    failing = Reply(None, tool_calls=[ToolCall("raises", {"city": "Bonn"}, id="call_2")])
    replies = {"who": '{"name": "Ada", "age": 36}', "right?": "yes", "second": call, "third": failing}

    def script(asked):
        last = asked.body["messages"][-1]
        text = last["content"] if isinstance(last["content"], str) else ""
        known = [reply for end, reply in replies.items() if text.split("\n")[0].endswith(end)]
        return "yes" if "choices" in str(asked.body.get("response_format")) else known[0] if known else None

    told: list[str] = []
    with Simulator("openrouter", api_key=KEY, script=script) as sim:
        running = Kernel(
            {
                "OPENROUTER_API_KEY": KEY, "QWENNB_API_KEY": KEY, "QWENNB_ENDPOINT": f"openrouter+{sim.base_url}",
                "QWENNB_CACHE_DIR": str(tmp_path / "answers"), "HOME": str(tmp_path), "IPYTHONDIR": str(tmp_path / "ipython"),
                "OPENAI_LOG": "debug", "QWENNB_LOG": "DEBUG", "PYTHONASYNCIODEBUG": "1",
            }
        )  # fmt: skip
        try:
            running.run(f"import os\nos.chdir({str(tmp_path)!r})")
            for cell in CELLS:
                ran = running.run(cell)
                assert ran.status == ("error" if cell == "1 / 0" else "ok"), (cell, ran.outputs)
                told.append(str(ran.messages) + str(ran.payload))
            sim.fault("401")
            for mode in ("Plain", "Context", "Verbose", "Minimal"):
                running.run(f"%xmode {mode}")
                for cell in WRONG:
                    ran = running.run(cell)
                    assert ran.status == "error", (cell, ran.outputs)
                    told.append(str(ran.messages))
        finally:
            running.stop()
        assert sim.ledger.count("asked") > 10
    left = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"debug.log", "talk.json", "talk.md"} <= {path.name for path in left}
    assert any("answers" in path.parts for path in left) and (tmp_path / "debug.log").stat().st_size > 1_000
    assert {
        str(path.relative_to(tmp_path)): found for path in left if (found := leaks(path.read_bytes()))
    } == {}
    assert {text[:2_000]: found for text in told if (found := leaks(text))} == {}


def test_the_search_finds_a_key_in_each_disguise():
    for shown in (
        f"Bearer {KEY}", KEY[::-1], base64.b64encode(f"user:{KEY}".encode()).decode(), quote(KEY, safe=""), KEY[:12] + "…",
        "…" + KEY[-9:], KEY.encode().hex(), json.dumps({"k": KEY}),
    ):  # fmt: skip
        assert leaks(shown), shown
    assert not leaks(f"sk-CANARY is set, {Path(__file__).name}, {'a' * 64}")
