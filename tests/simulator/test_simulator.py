"""Started, stopped, kept to this machine; the same seed says the same."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from qwennb.errors import ConfigError
from qwennb.simulator import Fault, Reply, Simulator

from .wire import ask, get


def test_the_same_seed_and_content_give_the_same_words(start):
    def words(seed, **changes):
        sim = start("vllm", seed=seed)
        return [ask(sim, **changes).json["choices"][0]["message"]["content"] for _ in range(2)]

    assert words(0)[0] == words(0)[1] == words(0)[0]
    assert words(0) != words(1)
    assert words(0) != words(0, temperature=1)


def test_a_script_is_used_in_order_and_then_the_simulator_speaks_for_itself(start):
    sim = start("vllm", script=["one", Reply("two", reasoning="hm", finish_reason="length")])
    assert ask(sim).json["choices"][0]["message"]["content"] == "one"
    second = ask(sim).json["choices"][0]
    assert (second["message"]["content"], second["message"]["reasoning"], second["finish_reason"]) == (
        "two",
        "hm",
        "length",
    )
    assert ask(sim).json["choices"][0]["message"]["content"].endswith("Ada.")


def test_a_script_may_be_a_function_of_the_question(start):
    sim = start(
        "dashscope", script=lambda asked: f"{asked.index} {asked.text} {asked.model.id} {asked.thinking}"
    )
    assert ask(sim).json["choices"][0]["message"]["content"] == "0 Say hello to Ada. qwen3.5-plus True"
    sim.script(lambda asked: None)
    assert ask(sim).json["choices"][0]["message"]["content"].endswith("Ada.")


def test_chunks_say_how_a_stream_is_cut(start):
    chunks = ["a", {"content": "b", "extra": 1}, b": aside\n\n", "c"]
    sim = start("vllm", script=lambda _: Reply("abc", chunks=chunks))
    heard = ask(sim, stream=True)
    assert heard.joined() == "abc"
    assert b": aside\n\n" in heard.body


def test_usage_may_be_set_or_left_out(start):
    sim = start(
        "openrouter", script=[Reply("a", usage={"cost": 0.5, "prompt_tokens": 9}), Reply("b", usage=False)]
    )
    usage = ask(sim).json["usage"]
    assert (usage["cost"], usage["prompt_tokens"]) == (0.5, 9)
    assert "usage" not in ask(sim).json


def test_reset_is_as_at_the_start(start):
    sim = start("vllm", script=["one"], faults=[Fault("500", when={1}, times=1)])
    assert [ask(sim).status for _ in range(3)] == [200, 500, 200]
    sim.reset()
    assert sim.ledger.entries() == []
    assert ask(sim).json["choices"][0]["message"]["content"] == "one"
    assert ask(sim).status == 500


# This machine only.


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "example.org"])
def test_it_does_not_listen_to_other_machines(host):
    with pytest.raises(ConfigError, match=r"this machine only"):
        Simulator("vllm", host=host)


def test_it_listens_on_the_loopback_and_nowhere_else(start):
    sim = start("vllm")
    assert sim.root_url.startswith("http://127.0.0.1:")
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {
        "127.0.0.1"
    }
    for other in others:
        if not other.startswith("127."):
            with pytest.raises(OSError, match=r"refused|unreachable|timed out"):
                socket.create_connection((other, sim.port), 5).close()


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "localhost.evil:80", "0.0.0.0"]
)
def test_a_rebound_name_is_turned_away(each, host):
    for path in ("/", "/v1/models"):
        assert get(each, path, headers={"host": host}).status == 403
    assert ask(each, headers={"host": host}).status == 403
    assert each.ledger.count("paid") == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1234", "LOCALHOST", "[::1]:80", "[::1]"])
def test_the_names_of_this_machine_are_welcome(start, host):
    assert ask(start("vllm"), headers={"host": host}).status == 200


@pytest.mark.parametrize("origin", ["null", "http://localhost", "https://evil.example"])
def test_web_pages_are_turned_away_and_told_nothing(each, origin):
    heard = ask(each, headers={"origin": origin})
    assert heard.status == 403
    assert not [name for name in heard.headers if name.startswith("access-control")]
    assert not [name for name in ask(each).headers if name.startswith("access-control")]


# Started and stopped.


COUNT = """
import gc, os, sys, threading
from qwennb.simulator import Fault, Simulator
from tests.simulator.wire import KEY, ask, raw, valid

sys.unraisablehook = lambda told: os._exit(3)

def held():
    gc.collect()
    return threading.active_count(), len(os.listdir("/proc/self/fd"))

with Simulator("vllm"):
    pass
before = held()
for _ in range(5):
    with Simulator("vllm", api_key=KEY, faults=[Fault("hang", when={1})]) as sim:
        ask(sim)
        plug = raw(sim, valid("vllm"), read=False)
        sim.ledger.wait_for(2, "asked")
    plug.close()
    assert sim.ledger.in_flight == 0
assert held() == before, (held(), before)
"""


def test_nothing_is_left_behind():
    """In a process of its own: in this one, what other tests have left may come and go meanwhile."""
    subprocess.run([sys.executable, "-W", "error", "-c", COUNT], cwd=Path(__file__).parents[2], check=True)


def test_a_taken_port_is_said_so(start):
    sim = start("vllm")
    with pytest.raises(ConfigError, match=r"can't listen on 127\.0\.0\.1"):
        Simulator("vllm", port=sim.port).start()


def test_an_unknown_dialect_names_the_nearest():
    with pytest.raises(ConfigError, match=r"did you mean `vllm`"):
        Simulator("vlm")


def test_it_needs_nothing_but_the_standard_library():
    code = (
        "import sys, qwennb.simulator as s\n"
        "own = {m for m in sys.modules if m.startswith('qwennb.') and not m.startswith('qwennb.simulator')}\n"
        "roots = {m.split('.')[0] for m in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(sorted(own), sorted(r for r in roots if not r.startswith('_')))"
    )
    told = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)
    assert (
        told.stdout.strip()
        == "['qwennb.errors', 'qwennb.registration', 'qwennb.terminal', 'qwennb.text'] ['qwennb']"
    )


def test_serve_forever_announces_itself_and_stops_at_an_interrupt():
    code = "from qwennb.simulator import serve_forever\nserve_forever('dashscope', announce=lambda url: print(url, flush=True))"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    url = process.stdout.readline().strip()
    assert url.endswith("/compatible-mode/v1")
    port = int(url.split(":")[2].split("/")[0])
    socket.create_connection(("127.0.0.1", port), 20).close()
    process.send_signal(2)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, out, err) == (0, "", "")
