"""What a verified notebook's code meets: no network by any door, no key of its owner; and what is said before it runs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys

import nbformat
import pytest

from qwennb.cache import Pack
from qwennb.notebook.verify import Sandbox, run_notebook
from tests.notebooks import written
from tests.test_machine import NEEDED, SECRETS

pytestmark = pytest.mark.timeout(300)
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="the system's own wall is there on Linux")


@pytest.fixture
def guarded(tmp_path):
    """Run code in an interpreter that is refused the network: what it printed, and what it tried."""

    def run(code: str) -> tuple[str, list[str]]:
        sandbox = Sandbox(tmp_path, sealed=True)
        environ = sandbox.environ(os.environ, {})
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert not done.stderr, done.stderr
        lines = sandbox.attempts.read_text().splitlines() if sandbox.attempts.exists() else []
        return done.stdout, [json.loads(line)["tried"] for line in lines]

    return run


def test_every_way_into_the_network_is_refused_and_told(guarded):
    printed, tried = guarded("""
import socket
ways = [
    lambda: socket.socket(), lambda: socket.socket(socket.AF_INET6, socket.SOCK_DGRAM),
    lambda: socket.create_connection(("192.0.2.1", 80)), lambda: socket.getaddrinfo("example.com", 443),
    lambda: socket.gethostbyname("example.com"), lambda: socket.create_server(("127.0.0.1", 0)),
]
for way in ways:
    try:
        way()
    except OSError as error:
        print(type(error).__name__)
""")
    assert printed.split() == ["PermissionError"] * 6
    assert tried == [
        "a socket was opened", "a socket was opened", "the address of 192.0.2.1 was looked up",
        "the address of example.com was looked up", "the address of example.com was looked up", "a socket was opened",
    ]  # fmt: skip


def test_local_sockets_and_event_loops_go_on(guarded):
    printed, tried = guarded("""
import asyncio, socket
socket.socketpair()
print(asyncio.run(asyncio.sleep(0, "ran")))
""")
    assert printed == "ran\n" and tried == []


def test_a_library_that_asks_while_it_is_imported_is_refused_and_not_told(guarded, tmp_path):
    (tmp_path / "probing.py").write_text(
        "import socket\ntry:\n    socket.socket(socket.AF_INET6)\nexcept OSError:\n    HAS = False\n"
    )
    printed, tried = guarded(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\nimport probing; print(probing.HAS)"
    )
    assert printed == "False\n" and tried == []


@on_linux
def test_what_python_does_not_see_meets_a_closed_door_too(guarded):
    printed, _ = guarded("""
import ctypes, os
print([ctypes.CDLL(None).socket(family, 1, 0) for family in (1, 2, 10, 17, 40)])
if not os.fork():
    print(ctypes.CDLL(None).socket(2, 1, 0)); os._exit(0)
os.wait()
""")
    assert printed == "-1\n[-1, -1, -1, -1, -1]\n" or printed == "[-1, -1, -1, -1, -1]\n-1\n"


def test_a_sitecustomize_of_ones_own_still_runs(guarded, tmp_path):
    own = tmp_path / "own"
    own.mkdir()
    (own / "sitecustomize.py").write_text("import builtins; builtins.mine = 'here'")
    sandbox = Sandbox(tmp_path, sealed=True)
    environ = sandbox.environ({**os.environ, "PYTHONPATH": str(own)}, {})
    done = subprocess.run(
        [sys.executable, "-c", "print(mine)"], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout == "here\n"


# Machine code for `int 0x80`, the system call of 32-bit programs, which a 64-bit one can make too.
OTHER_DOORS = """
import ctypes, errno, mmap, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def tried(call, *arguments):
    ctypes.set_errno(0)
    return "open" if libc.syscall(call, *arguments) >= 0 else errno.errorcode[ctypes.get_errno()]
page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(bytes.fromhex("5389f889f389d131d2cd805bc3"))
old = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_int] * 3)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
said = {"i386 socket": old(359, 2, 1) == -errno.EACCES, "i386 getpid": old(20, 0, 0) == -errno.EACCES}
said["x32"] = tried(0x40000000 | 41, 2, 1, 0)
said["io_uring"] = [tried(number, 8, 0) for number in (425, 426, 427)]
said["local"] = [tried(41, 1, kind, 0) for kind in (1, 2, 5)]
said["others' memory"] = [tried(101, 16, 0, 0, 0), tried(310, 0, 0, 0, 0, 0, 0), tried(438, 0, 0, 0)]
pair = (ctypes.c_int * 2)()
said["datagrams"] = [tried(53, 1, kind | socket.SOCK_CLOEXEC, 0, pair) for kind in (2, 3)]
said["pairs"] = [tried(53, 1, kind | socket.SOCK_CLOEXEC, 0, pair) for kind in (1, 5)]
said["netlink"] = tried(41, 16, 3, 0)
print(said)
"""
SHUT = {
    "i386 socket": True, "i386 getpid": True, "x32": "EACCES", "io_uring": ["EACCES"] * 3, "local": ["EACCES"] * 3,
    "others' memory": ["EACCES"] * 3, "datagrams": ["EACCES"] * 2, "pairs": ["open"] * 2, "netlink": "open",
}  # fmt: skip
on_x86 = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() != "x86_64", reason="the numbers are those of x86-64"
)


@on_x86
def test_foreign_calls_rings_local_sockets_and_others_memory_are_shut_pairs_not(guarded):
    printed, _ = guarded(OTHER_DOORS)
    assert eval(printed) == SHUT


@on_linux
def test_a_local_socket_that_python_opens_is_refused_and_told(guarded):
    printed, tried = guarded("""
import socket
for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    try:
        socket.socket(socket.AF_UNIX, kind)
    except PermissionError as error:
        print(error.errno)
""")
    assert printed == "13\n13\n" and tried == ["a local socket was opened"] * 2


def test_pools_pipes_and_subprocesses_of_an_event_loop_go_on(guarded):
    printed, tried = guarded("""
import asyncio, concurrent.futures, multiprocessing, sys
async def said():
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "print(input())", stdin=-1, stdout=-1)
    return (await process.communicate(b"said"))[0].decode()
if __name__ == "__main__":
    fork = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=fork) as pool:
        print(pool.submit(len, "four").result(), end=" ")
    one, other = multiprocessing.Pipe()
    one.send("sent")
    print(other.recv(), asyncio.run(said()), end="")
""")
    assert printed == "4 sent said\n" and tried == []


# ---------------------------------------------------------------------- in a kernel


def outputs_of(path, **environ):
    """The text that each cell of the notebook in *path* printed in a sealed kernel, and what it tried."""
    with Sandbox.create(sealed=True) as sandbox:
        cells = run_notebook(
            path, sandbox, {"cache": "replay"}, compare=False, environ={**os.environ, **environ}
        )
    assert not any(cell.trouble for cell in cells), cells
    return ["".join(o.get("text", "") for o in cell.outputs) for cell in cells], [
        attempt.tried for cell in cells for attempt in cell.attempts
    ]


@pytest.mark.slow
@on_x86
def test_a_kernel_has_its_own_sockets_and_can_open_no_others(tmp_path):
    child = f"import subprocess, sys\nprint(subprocess.run([sys.executable, '-I', '-c', {OTHER_DOORS!r}], capture_output=True, text=True).stdout)"
    threads = (
        "import concurrent.futures as f, os\nwith f.ThreadPoolExecutor(1) as pool:\n"
        f"    pool.submit(exec, {OTHER_DOORS!r}, {{}}).result()"
    )
    reach = "import socket\ntry:\n    socket.socket(socket.AF_UNIX)\nexcept PermissionError:\n    print('refused')"
    shell = "print(input.__name__)\n!echo from a shell"
    path = written(tmp_path / "n.ipynb", [OTHER_DOORS, child, threads, reach, shell])
    (here, below, beside, python, rest), tried = outputs_of(path)
    assert eval(here) == eval(below) == eval(beside) == SHUT
    assert python == "refused\n" and tried == ["a local socket was opened"]
    assert "from a shell" in rest


@pytest.mark.slow
def test_an_attempt_is_told_at_its_cell_though_the_same_code_stands_below_again(tmp_path):
    reach = "import socket\ntry:\n    socket.socket()\nexcept OSError:\n    pass"
    path = written(tmp_path / "n.ipynb", [reach, "1", reach])
    with Sandbox.create(sealed=True) as sandbox:
        cells = run_notebook(path, sandbox, {"cache": "replay"})
    assert [[attempt.line for attempt in cell.attempts] for cell in cells] == [[3], [], [3]]


@pytest.mark.slow
def test_a_kernel_gets_no_secret_of_the_environment_and_all_that_it_needs(tmp_path):
    look = "import json, os\nprint(json.dumps(dict(os.environ)))"
    path = written(tmp_path / "n.ipynb", [look])
    needed = {
        name: f"mine-{name}" for name in NEEDED if name not in os.environ and not name.startswith("PYTHON")
    }
    [[shown], _] = outputs_of(path, **dict.fromkeys(SECRETS, "hunter2"), **needed)
    given = json.loads(shown)
    assert (
        not {name for name, value in given.items() if "hunter2" in value} and not set(SECRETS) & given.keys()
    )
    assert given.items() >= needed.items() and given["PATH"] and given["HOME"] != os.environ["HOME"]


# ---------------------------------------------------------------------- what is said, and what may be let in


@pytest.fixture
def packed(tmp_path):
    """A notebook that prints a variable of its owner's, with a pack."""
    path = written(tmp_path / "n.ipynb", ["import os\nprint(os.environ['DATA_FOLDER'])"])
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].execution_count = 1
    notebook.cells[0].outputs = [nbformat.v4.new_output("stream", name="stdout", text="/data\n")]
    nbformat.write(notebook, path)
    Pack.of([]).write(tmp_path / "n.qwenpack")
    return path


@pytest.mark.slow
def test_what_verify_runs_and_does_not_protect_from_is_said_before_it_runs(run, packed):
    told = run("verify", packed.name)
    assert told.code == 1
    said = told.err.splitlines()[0]
    assert "runs as you" in said and "files" in said and "no network" in said and len(said) < 400
    assert told.err.count("runs as you") == 1 and "runs as you" not in told.out


@pytest.mark.slow
def test_a_variable_that_the_notebook_needs_is_let_in_by_name(run, packed):
    given = {**os.environ, "DATA_FOLDER": "/data"}
    without = run("verify", packed.name, environ=given)
    assert without.code == 1 and "KeyError: 'DATA_FOLDER'" in without.out and "--env NAME" in without.err
    done = run("verify", packed.name, "--env", "DATA_FOLDER", environ=given)
    assert done.code == 0, done.out + done.err
    assert "DATA_FOLDER" in done.err.splitlines()[0]
    missing = run("verify", packed.name, "--env", "NOT_SET", environ=given)
    assert missing.code == 2 and "NOT_SET" in missing.err
