"""One child process serves the model: on first use, on loopback, behind a key, and never longer than its parent.

Most of it is tried on the real child with a stand-in for the library that it loads, in an interpreter of its own;
what only llama.cpp can show is tried on llama.cpp.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import venv
from pathlib import Path

import pytest

from qwennb.config import Secret, default_cache_dir
from qwennb.endpoints.local import BUNDLED, LocalModel, LocalServer, ModelFile, find
from qwennb.errors import ConfigError, QwenError, ServerFailed, UnknownEndpoint

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it looks at processes through /proc")

STAND_IN = """
import json, os, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

class CommonParams(SimpleNamespace):
    def __init__(self):
        super().__init__(model=SimpleNamespace(), cpuparams=SimpleNamespace(), cpuparams_batch=SimpleNamespace())

class Server:
    def __init__(self, params):
        if "slow" in params.model.path:
            print("loading", file=open(params.model.path + ".pid", "w"))
            threading.Event().wait()
        said = {name: value for name, value in vars(params).items() if isinstance(value, (int, str, list))}
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                body = json.dumps(said).encode()
                self.send_response(200 if self.path == "/health" else 404)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            def log_message(self, *_): ...
        http = ThreadingHTTPServer((params.hostnames[0], params.port), Handler)
        self.listening_address = f"http://127.0.0.1:{http.server_port}"
        threading.Thread(target=http.serve_forever, daemon=True).start()
        os.write(2, b"0.00.001.000 E warming: a word on stderr\\n")
        os.write(1, b"a word on stdout\\n")
"""

PARENT = """
import os, signal, sys, threading
from pathlib import Path
from qwennb.endpoints.local import LocalModel, LocalServer, ModelFile
path = Path(sys.argv[1])
model = LocalModel(ModelFile("stand-in", "0" * 64, 4, "a test", "none"), path, path.with_suffix(".log"))
server = LocalServer(model, python=sys.argv[2])
"""


@pytest.fixture(scope="session")
def bare(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter without xllamacpp."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False, symlinks=True)
    return str(folder / "bin" / "python")


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter whose xllamacpp is the stand-in."""
    folder = tmp_path_factory.mktemp("stand-in")
    venv.create(folder, with_pip=False, symlinks=True)
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "xllamacpp.py").write_text(STAND_IN)
    return str(folder / "bin" / "python")


@pytest.fixture
def model(tmp_path: Path) -> LocalModel:
    return stand_in_model(tmp_path / "model.gguf")


def stand_in_model(path: Path, content: bytes = b"GGUF") -> LocalModel:
    path.write_bytes(content)
    return LocalModel(ModelFile("stand-in", "0" * 64, 4, "a test", "none"), path, path.with_suffix(".log"))


def get(url: str, key: str | None = None, body: object = None) -> tuple[int, bytes]:
    request = urllib.request.Request(url, data=None if body is None else json.dumps(body).encode())
    request.add_header("Content-Type", "application/json")
    if key is not None:
        request.add_header("Authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=250) as reply:
            return reply.status, reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def health(server: LocalServer) -> dict[str, object]:
    status, body = get(server.base_url.removesuffix("/v1") + "/health")
    assert status == 200
    return json.loads(body)


def ended(process: int, within: float = 100.0) -> bool:
    """Whether *process* (a pidfd) has ended; it waits for that."""
    watch = select.poll()
    watch.register(process, select.POLLIN)
    return bool(watch.poll(within * 1000))


# ---------------------------------------------------------------------------------------- its life


def test_it_starts_on_first_use_and_ends_when_closed(model: LocalModel, python: str) -> None:
    server = LocalServer(model, python=python)
    assert server.pid is None
    assert "not running" in repr(server)
    health(server)
    assert server.pid is not None
    process = os.pidfd_open(server.pid)
    assert (server.memory() or 0) > 3
    server.close()
    assert ended(process, within=0)
    assert server.pid is server.memory() is None


def test_the_child_is_told_what_it_may_do(model: LocalModel, python: str) -> None:
    server = LocalServer(model, python=python, threads=3)
    said = health(server)
    assert said["hostnames"] == ["127.0.0.1"]
    assert said["api_keys"] == [server.key.reveal()]
    assert (said["n_parallel"], said["n_ctx"]) == (4, 4 * 8192)
    assert (said["ui"], said["use_jinja"], said["offline"], said["endpoint_slots"]) == (
        False,
        True,
        True,
        False,
    )
    assert "4 at once, 8192 tokens each, 3 threads" in repr(server)
    server.close()


def test_the_key_is_random_and_on_no_command_line(model: LocalModel, python: str) -> None:
    first, second = LocalServer(model, python=python), LocalServer(model, python=python)
    assert first.key != second.key
    assert len(first.key.reveal()) > 30
    first.start()
    for file in ("cmdline", "environ"):
        assert first.key.reveal().encode() not in Path(f"/proc/{first.pid}/{file}").read_bytes()
    first.close()


def test_the_child_gets_no_key_of_the_environment_and_what_it_needs(model: LocalModel, python: str) -> None:
    keys = dict.fromkeys(
        ("DASHSCOPE_API_KEY", "HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "PGPASSWORD"), "sk-not-for-you"
    )
    others = {
        "DATABASE_URL": "postgres://me:sk-not-for-you@db/x",
        "https_proxy": "http://me:sk-not-for-you@proxy",
    }
    server = LocalServer(
        model, python=python, environ={**os.environ, **keys, **others, "CUDA_VISIBLE_DEVICES": "1"}
    )
    server.start()
    given = Path(f"/proc/{server.pid}/environ").read_bytes()
    server.close()
    assert b"not-for-you" not in given
    assert b"CUDA_VISIBLE_DEVICES=1" in given and b"PATH=" in given


def test_a_port_and_a_key_can_be_given(model: LocalModel, python: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = LocalServer(model, python=python, port=port, key=Secret("mine"))
    assert server.base_url == f"http://127.0.0.1:{port}/v1"
    assert health(server)["api_keys"] == ["mine"]
    server.close()


def test_many_threads_start_one_child(model: LocalModel, python: str) -> None:
    server = LocalServer(model, python=python)
    seen: list[tuple[str, int | None]] = []
    threads = [threading.Thread(target=lambda: seen.append((server.base_url, server.pid))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(seen)) == 1
    server.close()


def test_there_is_one_shared_server_for_a_file(tmp_path: Path) -> None:
    one = stand_in_model(tmp_path / "one.gguf")
    other = LocalModel(ModelFile("other", "1" * 64, 4, "a test", "none"), one.path, one.log)
    assert LocalServer.server_for(one) is LocalServer.server_for(one)
    assert LocalServer.server_for(one) is not LocalServer.server_for(other)


def test_it_outlives_the_thread_that_asked_first(model: LocalModel, python: str) -> None:
    server = LocalServer(model, python=python)
    starter = threading.Thread(target=server.start)
    starter.start()
    starter.join()
    assert server.pid is not None
    process, pid = os.pidfd_open(server.pid), server.pid
    assert not ended(process, within=0.5)
    health(server)
    assert server.pid == pid
    server.close()


def test_a_child_that_died_is_reaped_and_started_anew(model: LocalModel, python: str) -> None:
    server = LocalServer(model, python=python)
    server.start()
    first = server.pid
    assert first is not None
    os.kill(first, signal.SIGKILL)
    server.wait()
    assert not Path(f"/proc/{first}").exists()
    health(server)
    assert server.pid not in (None, first)
    server.close()


def run_parent(code: str, model: LocalModel, python: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PARENT + code, str(model.path), python],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        process_group=0,
    )


def says(parent: subprocess.Popen[str]) -> str:
    assert parent.stdout is not None
    return parent.stdout.readline().strip()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
@pytest.mark.slow
def test_it_ends_with_a_parent_that_is_killed(model: LocalModel, python: str, how: signal.Signals) -> None:
    with run_parent(
        "server.start(); print(server.pid, flush=True); sys.stdin.read()", model, python
    ) as parent:
        child = os.pidfd_open(int(says(parent)))
        parent.send_signal(how)
        assert ended(child)


@pytest.mark.slow
def test_it_ends_with_a_parent_that_ends(model: LocalModel, python: str) -> None:
    with run_parent(
        "server.start(); print(server.pid, flush=True); sys.stdin.read()", model, python
    ) as parent:
        child = os.pidfd_open(int(says(parent)))
        parent.communicate("")
        assert parent.returncode == 0
        assert ended(child)


def test_it_ends_when_its_stdin_does(model: LocalModel, python: str) -> None:
    """Which is how it sees the end of its parent on systems other than Linux."""
    settings = {"parent": os.getpid(), "path": str(model.path), "name": model.file.name, "key": "any"}
    settings |= {"port": 0, "context": 512, "parallel": 1, "threads": 1}
    child_file = str(Path(sys.modules[LocalServer.__module__].__file__ or "").with_name("child.py"))
    with subprocess.Popen([python, "-P", child_file], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None and child.stdout is not None
        child.stdin.write(json.dumps(settings).encode() + b"\n")
        child.stdin.flush()
        assert b"address" in child.stdout.readline()
        child.stdin.close()
        try:
            assert child.wait(30) == 0
        finally:
            child.kill()


@pytest.mark.slow
def test_it_ends_with_its_parent_while_it_loads(tmp_path: Path, python: str) -> None:
    model = stand_in_model(tmp_path / "slow.gguf")
    code = """
threading.Thread(target=server.start, daemon=True).start()
while server.pid is None or not Path(str(path) + ".pid").exists(): pass
print(server.pid, flush=True); sys.stdin.read()
"""
    with run_parent(code, model, python) as parent:
        child = os.pidfd_open(int(says(parent)))
        parent.kill()
        assert ended(child)


@pytest.mark.slow
def test_an_interrupt_of_the_whole_group_leaves_it_running(model: LocalModel, python: str) -> None:
    code = """
server.start()
try: print(server.pid, flush=True); sys.stdin.read()
except KeyboardInterrupt: print("interrupted", flush=True)
print(server.start() and server.pid, flush=True)
"""
    with run_parent(code, model, python) as parent:
        child = says(parent)
        os.killpg(parent.pid, signal.SIGINT)
        assert says(parent) == "interrupted"
        assert says(parent) == child


@pytest.mark.slow
def test_an_interrupt_while_it_loads_returns_at_once_and_leaves_no_child(tmp_path: Path, python: str) -> None:
    model = stand_in_model(tmp_path / "slow.gguf")
    code = """
def interrupt():
    while server.pid is None or not Path(str(path) + ".pid").exists(): pass
    print(server.pid, flush=True); sys.stdin.readline(); os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=interrupt, daemon=True).start()
try: server.start()
except KeyboardInterrupt: print(server.pid, flush=True)
sys.stdin.readline()
"""
    with run_parent(code, model, python) as parent:
        child = os.pidfd_open(int(says(parent)))
        assert parent.stdin is not None
        parent.stdin.write("now\n")
        parent.stdin.flush()
        assert says(parent) == "None"
        assert ended(child, within=0)


@pytest.mark.slow
def test_a_forked_process_starts_its_own(model: LocalModel, python: str) -> None:
    code = """
server.start(); print(server.pid, flush=True)
if (forked := os.fork()) == 0:
    print(server.pid, flush=True)
    server.start(); print(server.pid, flush=True)
    server.close(); os._exit(0)
os.waitpid(forked, 0)
print(server.pid, flush=True)
"""
    with run_parent(code, model, python) as parent:
        first, inherited, own, still = says(parent), says(parent), says(parent), says(parent)
    assert inherited == "None"
    assert own != first == still


@pytest.mark.slow
def test_a_forked_process_does_not_keep_the_childs_stdin_open(model: LocalModel, python: str) -> None:
    code = """
server.start()
ours = os.readlink(f"/proc/{server.pid}/fd/0")
def holds():
    ends = [f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd")]
    return sum(os.path.islink(end) and os.readlink(end) == ours for end in ends)
print(holds(), flush=True)
if (forked := os.fork()) == 0:
    print(holds(), flush=True)
    os._exit(0)
os.waitpid(forked, 0)
"""
    with run_parent(code, model, python) as parent:
        assert (says(parent), says(parent)) == ("1", "0")


@pytest.mark.slow
def test_a_proxy_of_the_environment_is_not_asked(model: LocalModel, python: str) -> None:
    code = 'print(server.start() and "ready", flush=True)'
    with subprocess.Popen(
        [sys.executable, "-c", PARENT + code, str(model.path), python],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "http_proxy": "http://127.0.0.1:9", "no_proxy": ""},
    ) as parent:
        assert says(parent) == "ready"


def test_what_it_prints_goes_to_the_log_and_nowhere_else(
    model: LocalModel, python: str, capfd: pytest.CaptureFixture[str]
) -> None:
    server = LocalServer(model, python=python)
    server.start()
    server.close()
    assert capfd.readouterr() == ("", "")
    assert model.log.read_text() == "0.00.001.000 E warming: a word on stderr\na word on stdout\n"
    assert model.log.stat().st_mode & 0o777 == 0o600


def test_the_log_does_not_grow_without_end(model: LocalModel, tmp_path: Path) -> None:
    chatter = tmp_path / "chatter"
    chatter.write_text("#!/bin/sh\nread settings\nyes '0.1 E llama: again and again' | head -c 5000000 >&2\n")
    chatter.chmod(0o700)
    with pytest.raises(ServerFailed, match="llama: again and again"):
        LocalServer(model, python=str(chatter)).start()
    assert 0 < model.log.stat().st_size <= 2**20


# ---------------------------------------------------------------------------------------- what goes wrong


def test_without_xllamacpp_it_says_what_to_install(model: LocalModel, bare: str) -> None:
    with pytest.raises(
        UnknownEndpoint, match=r'not installed.*Type: pip install "qwennb\[local\]"'
    ) as caught:
        LocalServer(model, python=bare).start()
    assert "\n" not in str(caught.value)


def test_an_interpreter_that_is_not_there_is_named(model: LocalModel) -> None:
    with pytest.raises(ServerFailed, match="/no/python can't be run"):
        LocalServer(model, python="/no/python").start()


def test_a_file_that_is_no_gguf_never_reaches_llama_cpp(tmp_path: Path, python: str) -> None:
    server = LocalServer(stand_in_model(tmp_path / "model.gguf", b"PK\x03\x04"), python=python)
    with pytest.raises(ConfigError, match="not a GGUF file"):
        server.start()
    assert server.pid is None


def test_a_broken_model_is_refused_with_llama_cpps_own_words(tmp_path: Path) -> None:
    model = stand_in_model(tmp_path / "model.gguf", b"GGUF\x03\0\0\0" + bytes(7))
    server = LocalServer(model)
    with pytest.raises(ServerFailed, match=r"did not start with stand-in: .*gguf.*Its log is") as caught:
        server.start()
    assert (caught.value.fatal, caught.value.transient) == (True, False)
    assert "\n" not in str(caught.value)
    assert server.pid is None


# ---------------------------------------------------------------------------------------- the real model


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> LocalModel:
    try:
        if path := os.environ.get("QWENNB_TEST_MODEL"):
            return find(path, cache_dir=tmp_path_factory.mktemp("cache"))
        return find(cache_dir=Path(os.environ.get("QWENNB_CACHE_DIR") or default_cache_dir(os.environ)))
    except QwenError as error:
        if os.environ.get("CI") == "true":
            pytest.fail(f"The local model has to be here in CI. {error}")
        pytest.skip(f"No local model, so llama.cpp is not tried. {error}")


@pytest.fixture(scope="module")
def running(real: LocalModel):
    server = LocalServer(real, context=2048, parallel=2)
    server.start()
    yield server
    server.close()


@pytest.mark.real
def test_the_real_file_is_the_bundled_one(real: LocalModel) -> None:
    assert (real.file.sha256, real.file.size) == (BUNDLED.file.sha256, BUNDLED.file.size)


@pytest.mark.real
def test_the_real_model_answers_under_its_own_name(running: LocalServer) -> None:
    asked = {"messages": [{"role": "user", "content": "What is the capital of France?"}], "max_tokens": 20}
    status, body = get(
        f"{running.base_url}/chat/completions", running.key.reveal(), {**asked, "temperature": 0}
    )
    reply = json.loads(body)
    assert status == 200
    assert "Paris" in reply["choices"][0]["message"]["content"]
    assert reply["model"] == running.model.file.name
    assert reply["usage"]["completion_tokens"] <= 20


@pytest.mark.real
def test_the_real_model_keeps_to_a_schema(running: LocalServer) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string", "enum": ["Rome", "Paris"]}},
              "required": ["city"], "additionalProperties": False}  # fmt: skip
    asked = {
        "messages": [{"role": "user", "content": "The capital of France, as JSON."}],
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}},
        "max_tokens": 30,
    }
    _, body = get(f"{running.base_url}/chat/completions", running.key.reveal(), asked)
    assert json.loads(json.loads(body)["choices"][0]["message"]["content"])["city"] in ("Rome", "Paris")


@pytest.mark.real
def test_nobody_without_the_key_is_answered(running: LocalServer) -> None:
    asked = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}
    for key in (None, "", "guess"):
        assert get(f"{running.base_url}/chat/completions", key, asked)[0] == 401
        assert get(f"{running.base_url}/models", key)[0] == 401
    assert get(running.base_url.removesuffix("/v1") + "/health")[0] == 200
    assert get(running.base_url.removesuffix("/v1") + "/")[0] == 404


@pytest.mark.real
def test_it_listens_on_loopback_only(running: LocalServer) -> None:
    sockets = {str(link.readlink()) for link in Path(f"/proc/{running.pid}/fd").iterdir()}
    listening = []
    for table in ("tcp", "tcp6"):
        rows = [
            line.split() for line in Path(f"/proc/{running.pid}/net/{table}").read_text().splitlines()[1:]
        ]
        listening += [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]
    port = int(running.base_url.removesuffix("/v1").rpartition(":")[2])
    assert listening == [f"0100007F:{port:04X}"]


@pytest.mark.real
def test_its_memory_is_known(running: LocalServer) -> None:
    memory = running.memory()
    assert memory is not None
    assert 300 < memory < 1500


@pytest.mark.real
def test_no_word_of_a_prompt_is_logged(running: LocalServer) -> None:
    asked = {"messages": [{"role": "user", "content": "xyzzyplugh"}], "max_tokens": 1}
    assert get(f"{running.base_url}/chat/completions", running.key.reveal(), asked)[0] == 200
    wrong = {
        "messages": [{"role": "user", "content": "xyzzyplugh"}],
        "response_format": {"type": "xyzzyplugh"},
    }
    assert get(f"{running.base_url}/chat/completions", running.key.reveal(), wrong)[0] >= 400
    assert "xyzzyplugh" not in running.model.log.read_text()


@pytest.mark.real
def test_a_port_that_is_taken_is_said(running: LocalServer, real: LocalModel) -> None:
    port = int(running.base_url.removesuffix("/v1").rpartition(":")[2])
    with pytest.raises(ServerFailed, match=f"did not start.*{port}"):
        LocalServer(real, port=port).start()


@pytest.mark.real
def test_llama_cpp_ends_with_a_parent_that_is_killed(real: LocalModel) -> None:
    with run_parent(
        "server.start(); print(server.pid, flush=True); sys.stdin.read()", real, sys.executable
    ) as parent:
        child = os.pidfd_open(int(says(parent)))
        parent.kill()
        assert ended(child)
