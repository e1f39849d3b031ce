"""No network, for everybody in this process."""

from __future__ import annotations

import errno
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_INTERNET = (socket.AF_INET, socket.AF_INET6)
_refusing: list[list[str]] = []
_installed = threading.Lock()


@contextmanager
def no_network() -> Iterator[list[str]]:
    """Refuse the network to everybody in this process while it stands.

    Connecting, sending, listening and looking up a name are refused; local sockets (AF_UNIX) go on.

    Yields
    ------
    list of str
        What was tried, for a test to look at.

    Raises
    ------
    PermissionError
        An OSError, raised where somebody tries.

    Examples
    --------
    >>> from qwennb.testing import no_network
    >>> import socket
    >>> with no_network() as tried:
    ...     socket.create_connection(("127.0.0.1", 80))
    Traceback (most recent call last):
        ...
    PermissionError: [Errno 13] The network is refused here: ...
    >>> tried
    ['getaddrinfo 127.0.0.1']
    """
    if _installed.acquire(blocking=False):  # once: an audit hook can't be taken out again
        sys.addaudithook(_look)
    tried: list[str] = []
    _refusing.append(tried)
    try:
        yield tried
    finally:
        _refusing[:] = [one for one in _refusing if one is not tried]


def _look(event: str, arguments: tuple[Any, ...]) -> None:
    if not _refusing or not event.startswith("socket."):
        return
    what = event.removeprefix("socket.")
    if what in ("connect", "bind", "sendto", "sendmsg"):
        if arguments[0].family not in _INTERNET:
            return
        where = arguments[-1]
    elif what in ("getaddrinfo", "gethostbyname", "gethostbyaddr", "getnameinfo"):
        where = arguments[0]
    else:
        return
    for tried in _refusing:
        tried.append(f"{what} {where}")
    raise PermissionError(errno.EACCES, f"The network is refused here: {what} {where}")
