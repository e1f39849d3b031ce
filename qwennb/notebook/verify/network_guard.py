"""Refuses the network to the interpreter that it is put into, and to whatever that interpreter starts.

This file is copied into a folder of its own as `sitecustomize.py`, with a line below that names its report, and the
folder stands first on PYTHONPATH: so it runs before anything else, in a kernel and in each Python that a cell starts.
It imports the standard library alone, for it lives in somebody else's interpreter.

Two walls. An audit hook sees what Python itself does with sockets: it refuses, and writes into the report what was
tried and which line of which cell tried it. Beneath it, on Linux, a seccomp filter lets the system make no socket, for
every thread and child from then on: code in C or Rust, and other programs, meet a closed door too.

What is left open are pairs of connected local sockets, which event loops need, and netlink, which asks the system about
itself. Shut with the sockets are the ways around: system calls of another architecture, io_uring, and the memory and
sockets of other processes. A local socket would lead to whoever listens on this machine and has a network (an agent,
Docker, a desktop). The kernel's own talk with its notebook goes over such sockets: so it alone may make them, until it
is ready, and then `shut_local_sockets` is called, before the first cell.
"""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from pathlib import Path
from types import FrameType
from typing import Any

# What asks for a name, or talks to an address. A socket that is only made is told by `socket.__new__`.
_LOOKUPS = frozenset(
    ["socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo"]
)
_TALKS = frozenset(["socket.connect", "socket.bind", "socket.sendto", "socket.sendmsg"])
_INTERNET = (socket.AF_INET, socket.AF_INET6)
# Windows has no socket pairs but over the loopback: there a loopback address is let through.
_PAIRS_NEED_LOOPBACK = sys.platform == "win32"
_LOOPBACK = ("127.0.0.1", "::1")
_LOCAL = getattr(socket, "AF_UNIX", None)
# The variable that lets a process make local sockets until it is ready. Its children never see it.
OWN_SOCKETS = "QWENNB_OWN_SOCKETS"
_local_is_shut = False


def install(report: str) -> None:
    """Refuse the network from here on; what was tried is written to the file *report*, a line of JSON each."""
    sys.addaudithook(lambda event, arguments: _look(event, arguments, report))
    if os.environ.pop(OWN_SOCKETS, None) is None:
        shut_local_sockets()
    else:
        _shut_the_system_door(local=False)


def shut_local_sockets() -> bool:
    """Let no local socket be made either from here on, in any thread. Returns whether the system itself sees to it all."""
    global _local_is_shut
    _local_is_shut = True
    return _shut_the_system_door(local=True)


def _look(event: str, arguments: tuple[Any, ...], report: str) -> None:
    if not event.startswith("socket."):
        return
    frame = sys._getframe(2)
    tried = _describe_attempt(event, arguments) or _describe_local(event, arguments, frame)
    if tried is None:
        return
    source, line, importing = _where(frame)
    # Libraries try, while they are imported, whether there is an IPv6: they are refused, and it is no attempt to talk.
    if not (importing and event == "socket.__new__"):
        told = json.dumps({"tried": tried, "source": source, "line": line}) + "\n"
        file = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, told.encode())
        finally:
            os.close(file)
    raise PermissionError(errno.EACCES, f"The network is refused in this run: {tried}")


def _describe_attempt(event: str, arguments: tuple[Any, ...]) -> str | None:
    """Say an event in words; None for what is no use of the network."""
    if event in _LOOKUPS:
        return f"the address of {_address_text(arguments[0])} was looked up"
    if event == "socket.__new__" and arguments[1] in _INTERNET and not _PAIRS_NEED_LOOPBACK:
        return "a socket was opened"
    if event in _TALKS and arguments[0].family in _INTERNET:
        address = arguments[-1]
        if _PAIRS_NEED_LOOPBACK and isinstance(address, tuple) and address[0] in _LOOPBACK:
            return None
        return f"a socket was opened to {_address_text(address)}"
    return None


def _describe_local(event: str, arguments: tuple[Any, ...], frame: FrameType) -> str | None:
    """Say the same of a local socket. One that is half of a pair, or was accepted, is made around what there is already."""
    if not _local_is_shut or event != "socket.__new__" or arguments[1] != _LOCAL:
        return None
    is_made_around = frame.f_code.co_name == "__init__" and frame.f_locals.get("fileno") is not None
    return None if is_made_around else "a local socket was opened"


def _address_text(address: Any) -> str:
    if isinstance(address, bytes):
        address = address.decode("ascii", "replace")
    if isinstance(address, tuple) and len(address) >= 2:
        return f"{address[0]}:{address[1]}"
    return str(address)


def _where(frame: FrameType | None) -> tuple[str | None, int | None, bool]:
    """Find the file and line of the cell that is on the stack, and whether an import is under way there."""
    importing = False
    while frame is not None:
        folder, name = os.path.split(frame.f_code.co_filename)
        if os.path.basename(folder).startswith("ipykernel_"):  # noqa: PTH119  (no Path in a hook that runs this often)
            return name, frame.f_lineno, importing
        importing = importing or (folder == "" and name.startswith("<frozen importlib"))
        frame = frame.f_back
    return None, None, importing


# Numbers of the system: the architecture as it names itself, and the calls that make a socket, make a pair, set a filter,
# trace a process, read and write another's memory.
_SYSTEMS = {
    "x86_64": (0xC000003E, 41, 53, 317, (101, 310, 311)),
    "aarch64": (0xC00000B7, 198, 199, 277, (117, 270, 271)),
}
_EVERYWHERE = (425, 426, 427, 438)  # io_uring's three, and taking a file of another process
_OTHER_TABLE = 0x40000000  # from here on x86-64 counts the calls of x32
_UNIX, _NETLINK, _STREAM, _SEQPACKET = 1, 16, 1, 5
_REFUSE, _ALLOW = 0x00050000 | errno.EACCES, 0x7FFF0000
# What seccomp reads: (what, jump if so, jump if not, operand).
_LOAD, _EQUAL, _FROM, _AND, _GIVE = 0x20, 0x15, 0x35, 0x54, 0x06
_CALL, _ARCHITECTURE, _FIRST, _SECOND = 0, 4, 16, 24  # where they stand in what it is shown


def can_refuse() -> bool:
    """Tell whether the system itself can be asked to refuse sockets. Asking this changes nothing."""
    import ctypes
    import platform

    if sys.platform != "linux" or platform.machine() not in _SYSTEMS:
        return False
    action = ctypes.c_uint32(_REFUSE & 0xFFFF0000)
    is_available, no_flags = 2, 0
    call = _SYSTEMS[platform.machine()][3]
    return bool(ctypes.CDLL(None).syscall(call, is_available, no_flags, ctypes.byref(action)) == 0)


def _shut_the_system_door(*, local: bool) -> bool:
    """Have the system make no socket for this process and its children, *local* ones included. Returns whether it does."""
    import ctypes
    import platform
    import struct

    if not can_refuse():
        return False
    steps = _filter_steps(platform.machine(), local=local)
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))

    class Filter(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))

    held = Filter(len(steps), ctypes.addressof(code))
    system = ctypes.CDLL(None, use_errno=True)
    no_new_privileges, set_filter, all_threads = 38, 1, 1
    refused = system.prctl(no_new_privileges, *[ctypes.c_ulong(n) for n in (1, 0, 0, 0)]) or system.syscall(
        _SYSTEMS[platform.machine()][3], set_filter, all_threads, ctypes.byref(held)
    )
    if refused:
        raise OSError(ctypes.get_errno(), "The system would not shut the network")
    return True


def _filter_steps(machine: str, *, local: bool) -> list[tuple[int, int, int, int]]:
    architecture, socket_call, pair_call, _, traces = _SYSTEMS[machine]
    families = (_NETLINK,) if local else (_NETLINK, _UNIX)
    steps = [(_LOAD, 0, 0, _ARCHITECTURE), (_EQUAL, 1, 0, architecture), (_GIVE, 0, 0, _REFUSE)]
    steps += [(_LOAD, 0, 0, _CALL), (_FROM, 0, 1, _OTHER_TABLE), (_GIVE, 0, 0, _REFUSE)]
    for call in (*_EVERYWHERE, *traces):
        steps += [(_EQUAL, 0, 1, call), (_GIVE, 0, 0, _REFUSE)]
    steps += [(_EQUAL, 0, 2 + 2 * len(families), socket_call), (_LOAD, 0, 0, _FIRST)]
    for family in families:
        steps += [(_EQUAL, 0, 1, family), (_GIVE, 0, 0, _ALLOW)]
    steps += [(_GIVE, 0, 0, _REFUSE)]
    # Local pairs, and only those that stay connected: half of a pair for datagrams could be sent to anybody.
    steps += [(_EQUAL, 0, 7, pair_call), (_LOAD, 0, 0, _FIRST), (_EQUAL, 0, 4, _UNIX), (_LOAD, 0, 0, _SECOND)]
    steps += [(_AND, 0, 0, 0xF), (_EQUAL, 2, 0, _STREAM), (_EQUAL, 1, 0, _SEQPACKET), (_GIVE, 0, 0, _REFUSE)]
    return [*steps, (_GIVE, 0, 0, _ALLOW)]


def run_next_sitecustomize() -> None:
    """Run the sitecustomize that this file stands in front of, if there is one."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    here = Path(__file__).parent
    found = PathFinder.find_spec("sitecustomize", [folder for folder in sys.path if Path(folder) != here])
    if found is not None and found.loader is not None:
        found.loader.exec_module(module_from_spec(found))
