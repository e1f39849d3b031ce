"""Refuses the network to the interpreter that it is put into, and to whatever that interpreter starts.

This file is copied into a folder of its own as `sitecustomize.py`, with a line below that names its report, and the
folder stands first on PYTHONPATH: so it runs before anything else, in a kernel and in each Python that a cell starts.
It imports the standard library alone, for it lives in somebody else's interpreter.

Two walls. An audit hook sees what Python itself does with sockets: it refuses, and writes into the report what was
tried and which line of which cell tried it. Beneath it, on Linux, a seccomp filter lets the system make no socket but
local ones, for every thread and child from then on: code in C or Rust, and other programs, meet a closed door too.
The kernel's own talk with its notebook goes over local sockets, so nothing has to be let through.
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


def install(report: str) -> None:
    """Refuse the network from here on; what was tried is written to the file *report*, a line of JSON each."""
    sys.addaudithook(lambda event, arguments: _look(event, arguments, report))
    _close_the_system_door()


def _look(event: str, arguments: tuple[Any, ...], report: str) -> None:
    if not event.startswith("socket."):
        return
    tried = _tried(event, arguments)
    if tried is None:
        return
    source, line, importing = _where(sys._getframe(2))
    # Libraries try, while they are imported, whether there is an IPv6: they are refused, and it is no attempt to talk.
    if not (importing and event == "socket.__new__"):
        told = json.dumps({"tried": tried, "source": source, "line": line}) + "\n"
        file = os.open(report, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(file, told.encode())
        finally:
            os.close(file)
    raise PermissionError(errno.EACCES, f"The network is refused in this run: {tried}")


def _tried(event: str, arguments: tuple[Any, ...]) -> str | None:
    """What an event is, in words; None for what is no use of the network."""
    if event in _LOOKUPS:
        return f"the address of {_shown(arguments[0])} was looked up"
    if event == "socket.__new__" and arguments[1] in _INTERNET and not _PAIRS_NEED_LOOPBACK:
        return "a socket was opened"
    if event in _TALKS and arguments[0].family in _INTERNET:
        address = arguments[-1]
        if _PAIRS_NEED_LOOPBACK and isinstance(address, tuple) and address[0] in _LOOPBACK:
            return None
        return f"a socket was opened to {_shown(address)}"
    return None


def _shown(address: Any) -> str:
    if isinstance(address, bytes):
        address = address.decode("ascii", "replace")
    if isinstance(address, tuple) and len(address) >= 2:
        return f"{address[0]}:{address[1]}"
    return str(address)


def _where(frame: FrameType | None) -> tuple[str | None, int | None, bool]:
    """The file and line of the cell that is on the stack, and whether an import is under way there."""
    importing = False
    while frame is not None:
        folder, name = os.path.split(frame.f_code.co_filename)
        if os.path.basename(folder).startswith("ipykernel_"):  # noqa: PTH119  (no Path in a hook that runs this often)
            return name, frame.f_lineno, importing
        importing = importing or (folder == "" and name.startswith("<frozen importlib"))
        frame = frame.f_back
    return None, None, importing


def _close_the_system_door() -> None:
    """Let this process and its children make local sockets only, where the system can be asked to."""
    import ctypes
    import platform
    import struct

    known = {"x86_64": (0xC000003E, 41), "aarch64": (0xC00000B7, 198)}
    if sys.platform != "linux" or platform.machine() not in known:
        return
    architecture, socket_call = known[platform.machine()]
    load, equal, give = 0x20, 0x15, 0x06
    allow, refuse = 0x7FFF0000, 0x00050000 | errno.EACCES
    program = [  # (what, jump if so, jump if not, operand), as seccomp reads it
        (load, 0, 0, 4),
        (equal, 0, 5, architecture),
        (load, 0, 0, 0),
        (equal, 0, 3, socket_call),
        (load, 0, 0, 16),
        (equal, 1, 0, int(socket.AF_UNIX)),
        (equal, 0, 1, 16),  # netlink: asking the system about itself
        (give, 0, 0, allow),
        (give, 0, 0, refuse),
    ]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in program))

    class Filter(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("code", ctypes.c_void_p))

    held = Filter(len(program), ctypes.addressof(code))
    control = ctypes.CDLL(None, use_errno=True).prctl
    control.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    # No new privileges, then the filter. A system that knows neither refuses, and the audit hook stands alone.
    if control(38, 1, 0, 0, 0) == 0:
        control(22, 2, ctypes.addressof(held), 0, 0)


def go_on() -> None:
    """Run the sitecustomize that this file stands in front of, if there is one."""
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    here = Path(__file__).parent
    found = PathFinder.find_spec("sitecustomize", [place for place in sys.path if Path(place) != here])
    if found is not None and found.loader is not None:
        found.loader.exec_module(module_from_spec(found))
