"""The doctor tells what answers and what to type next, and never shows a key."""

from __future__ import annotations

import contextlib
import http.server
import threading

import pytest

KEY = "sk-not-to-be-seen-anywhere"
REGIONS = ("dashscope", "dashscope-intl", "dashscope-us")


@pytest.fixture
def regions(simulate):
    """The three regions of DashScope; the key is good in one of them."""

    def made(good: str) -> dict[str, str]:
        keys = {name: KEY if name == good else "sk-other" for name in REGIONS}
        return {name: simulate("dashscope", api_key=key).base_url for name, key in keys.items()}

    return made


def test_with_nothing_there_it_says_what_to_type_and_fails(run, tmp_path):
    ran = run("doctor")
    assert ran.code == 1 and not ran.err
    assert ran.out.count("not set") == 3
    assert "DASHSCOPE_API_KEY or OPENROUTER_API_KEY" in " ".join(ran.out.split("Next")[1].split())
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("good", REGIONS)
def test_it_finds_the_region_that_a_key_belongs_to(run, regions, good):
    ran = run("doctor", environ={"DASHSCOPE_API_KEY": KEY}, hosts=regions(good))
    told = {
        line.split()[0]: line
        for line in ran.out.split("Servers")[0].splitlines()
        if line.split()[:1] and line.split()[0] in REGIONS
    }
    assert {name: "takes the key" in line for name, line in told.items()} == {
        name: name == good for name in REGIONS
    }
    assert sum("refuses the key (401)" in line for line in told.values()) == 2
    step = " ".join(ran.out.split("Next")[1].split())
    assert ran.code == 0
    assert ("Ready" in step) if good == "dashscope-intl" else f"export QWENNB_ENDPOINT={good}" in step


def test_a_key_that_is_good_nowhere_is_said_to_be(run, regions):
    ran = run("doctor", environ={"DASHSCOPE_API_KEY": KEY}, hosts=regions("none"))
    assert ran.code == 1 and ran.out.split("Servers")[0].count("refuses the key (401)") == 3
    assert "dashscope-intl can't answer" in " ".join(ran.out.split())


def test_no_character_of_a_key_is_ever_shown(run, regions, simulate):
    hosts = regions("dashscope-us") | {"openrouter": simulate("openrouter", api_key="sk-or").base_url}
    environ = {"DASHSCOPE_API_KEY": KEY, "OPENROUTER_API_KEY": KEY, "QWENNB_API_KEY": KEY}
    ran = run("doctor", "--debug", environ=environ, hosts=hosts)
    assert ran.out.count(" set\n") >= 1 and "not set" not in ran.out
    assert KEY not in ran.out + ran.err and KEY[3:9] not in ran.out + ran.err


def test_nothing_is_asked_of_a_model_and_nothing_is_paid(run, simulate):
    sim, other = simulate("dashscope", api_key=KEY), simulate("openrouter", api_key=KEY)
    hosts = dict.fromkeys(REGIONS, sim.base_url) | {"openrouter": other.base_url}
    ran = run("doctor", environ={"DASHSCOPE_API_KEY": KEY, "OPENROUTER_API_KEY": KEY}, hosts=hosts)
    assert ran.code == 0 and "of its limit" in ran.out
    assert sim.ledger.count("arrived") == 3 and other.ledger.count("arrived") == 1
    assert sim.ledger.count("paid") == other.ledger.count("paid") == 0


class Busy(http.server.BaseHTTPRequestHandler):
    """A provider that refuses for its rate before it looks at anything else."""

    def do_POST(self):
        body = b'{"error": {"code": "limit_requests", "message": "too fast"}}'
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(429)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def test_a_provider_too_busy_to_answer_has_still_taken_the_key(run):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        hosts = dict.fromkeys(REGIONS, f"http://127.0.0.1:{server.server_port}/v1")
        ran = run("doctor", environ={"DASHSCOPE_API_KEY": KEY}, hosts=hosts)
        server.shutdown()
    assert ran.code == 0 and ran.out.count("takes the key") == 3


@contextlib.contextmanager
def answering(status, body):
    """The address of a server that says *body* to whoever gets anything from it."""

    class Says(Busy):
        def do_GET(self):
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Says) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()


@pytest.mark.parametrize(
    ("left", "code", "said"),
    [(b"0", 1, "its limit is used up"), (b"-0.5", 1, "its limit is used up"), (b"2.5", 0, "$2.50 left of its limit"),
     (b"null", 0, "takes the key"), (b"false", 0, "takes the key")],
)  # fmt: skip
def test_a_key_whose_limit_is_used_up_can_not_answer(run, left, code, said):
    with answering(200, b'{"data": {"limit_remaining": %s}}' % left) as url:
        ran = run("doctor", environ={"OPENROUTER_API_KEY": KEY}, hosts={"openrouter": url})
    assert ran.code == code and said in " ".join(ran.out.split())


@pytest.mark.parametrize(("status", "code"), [(200, 0), (404, 0), (500, 1), (403, 1)])
@pytest.mark.slow
def test_a_chosen_address_that_only_fails_can_not_answer(run, status, code):
    with answering(status, b"{}") as url:
        ran = run("doctor", environ={"QWENNB_ENDPOINT": url})
    assert ran.code == code, ran.out


def test_a_variables_own_key_is_tried_whatever_the_general_one_says(run, regions):
    environ = {"DASHSCOPE_API_KEY": KEY, "QWENNB_API_KEY": "sk-for-something-else"}
    ran = run("doctor", environ=environ, hosts=regions("dashscope-us"))
    assert ran.out.split("Servers")[0].count("refuses the key (401)") == 2


def test_servers_of_this_machine_are_found_with_their_models(run, simulate):
    first, second = simulate("vllm"), simulate("llama.cpp")
    ran = run("doctor", ports=(first.port, second.port))
    assert ran.code == 0
    assert f"vllm at 127.0.0.1:{first.port} serves Qwen/Qwen3.5-9B" in ran.out
    assert f"llama.cpp at 127.0.0.1:{second.port} serves" in ran.out
    assert "Ready: vllm will be asked" in ran.out


def test_where_a_key_is_bad_and_a_server_good_it_names_the_server_and_its_address(run, simulate, regions):
    sim = simulate("sglang")
    ran = run("doctor", environ={"DASHSCOPE_API_KEY": KEY}, hosts=regions("none"), ports=(sim.port,))
    assert ran.code == 0
    assert f"export QWENNB_ENDPOINT=sglang+{sim.base_url}" in " ".join(ran.out.split())


def test_the_chosen_endpoint_is_looked_at_first(run, simulate):
    sim = simulate("vllm")
    ran = run("doctor", environ={"QWENNB_ENDPOINT": f"vllm+{sim.base_url}"})
    assert ran.code == 0 and "serves Qwen/Qwen3.5-9B" in " ".join(ran.out.split())
    sim.stop()
    ran = run("doctor", environ={"QWENNB_ENDPOINT": f"vllm+{sim.base_url}"})
    assert ran.code == 1 and "can't be reached" in " ".join(ran.out.split())


@pytest.mark.parametrize("endpoint", ["openrouter", "vlm", "https://user:pw@example.org/v1"])
def test_a_chosen_endpoint_that_cannot_be_used_is_explained(run, endpoint):
    ran = run("doctor", environ={"QWENNB_ENDPOINT": endpoint})
    assert ran.code == 1 and "Chosen endpoint" in ran.out and "can't answer" in " ".join(ran.out.split())


def test_it_tells_of_the_answers_and_of_versions(run, simulate, client):
    client(simulate()).ask("Why?", model="flash")
    from qwennb.client.runtime import runtime

    runtime().close()
    ran = run("doctor")
    assert "1 answer in " in ran.out
    assert ran.out.startswith("qwennb ") and "openai " in ran.out.splitlines()[0]
    assert max(map(len, ran.out.splitlines())) <= 140  # only a long path goes beyond


def test_a_password_in_a_base_url_is_shown_to_nobody(run):
    ran = run("doctor", environ={"QWENNB_ENDPOINT": "https://user:pass-word@example.org/v1"})
    assert "example.org" in ran.out and "pass-word" not in ran.out + ran.err
