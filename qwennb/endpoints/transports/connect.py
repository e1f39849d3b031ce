"""The way to an address: through which proxy, with whose certificates, and what is said when there is no way.

Both transports ask here, so that a cell and a column of one notebook go the same way and fail in the same words.

httpx is not left to read the environment by itself: it would not start where a SOCKS proxy is set that nothing here needs.
"""

from __future__ import annotations

import os
import socket
import ssl
import urllib.request
from functools import lru_cache
from importlib.metadata import version
from urllib.parse import urlsplit

import httpx2

from qwennb.endpoints.call import Call
from qwennb.errors import EndpointError, Incomplete, ServerFailed, TimedOut, Unreachable
from qwennb.machine import is_loopback

CONNECT_SECONDS = 20.0
ACCEPT = "application/json, text/event-stream"


@lru_cache(maxsize=1)
def user_agent() -> str:
    """Who we are, said to every server."""
    return f"qwennb/{version('qwennb')}"


def proxy_of(url: str) -> str | None:
    """The proxy that the environment wants for *url*. This machine's own servers are not asked through one."""
    parts = urlsplit(url)
    if is_loopback(url) or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    proxies = urllib.request.getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if proxy is None:
        return None
    scheme, found, _ = proxy.partition("://")
    if found and scheme.lower() not in ("http", "https"):
        raise Unreachable(
            f"The environment wants {parts.hostname} asked through a {scheme} proxy, which is not supported. Set "
            f"{parts.scheme.upper()}_PROXY to one that begins with http://, or name the host in NO_PROXY."
        )
    return proxy if found else f"http://{proxy}"


@lru_cache(maxsize=1)
def certificates() -> ssl.SSLContext:
    """Whom to trust: SSL_CERT_FILE and SSL_CERT_DIR, else what this system trusts."""
    return httpx2.create_ssl_context()


@lru_cache(maxsize=1)
def encodings() -> str:
    """How a reply may be packed: what httpx can unpack, for it does that for both transports."""
    return httpx2.AsyncClient(verify=certificates(), trust_env=False).headers["Accept-Encoding"]


# What is said when there is no way. *call* tells to whom; a proxy's own address may hold a password and is not shown.


def _way(call: Call) -> str:
    return " through the proxy of this environment" if proxy_of(call.base_url) else ""


def reason_of(error: OSError) -> str | None:
    """Why there is no connection, in the system's words: each event loop puts words of its own there."""
    if error.errno is not None and error.errno > 0 and not isinstance(error, socket.gaierror):
        return os.strerror(error.errno)
    return error.strerror


def http_reason(error: BaseException) -> str:
    """Why httpx got no connection: what the system said beneath, else its own words."""
    told = (reason_of(cause) for cause in reversed(causes_of(error)) if isinstance(cause, OSError))
    return next(filter(None, told), None) or str(error) or "no connection"


def causes_of(error: BaseException) -> list[BaseException]:
    """*error*, what it was raised from, and so on."""
    found: list[BaseException] = []
    step: BaseException | None = error
    while step is not None and step not in found:
        found.append(step)
        step = step.__cause__ or step.__context__
    return found


def unreachable(call: Call, reason: str) -> EndpointError:
    """No connection came about."""
    return Unreachable(f"{call.endpoint} can't be reached{_way(call)}: {reason.strip().rstrip('.')}.")


def certificate_error(call: Call, reason: str) -> EndpointError:
    """The other end could not show who it is."""
    return Unreachable(
        f"{call.endpoint} has no certificate that this machine trusts ({reason}). Where that is as it should be, name the file "
        "of the authority that signed it in SSL_CERT_FILE."
    )


def slow_to_connect(call: Call) -> EndpointError:
    """Nobody took the call, and nobody refused it."""
    return Unreachable(
        f"{call.endpoint} did not take a connection{_way(call)} within {CONNECT_SECONDS:.0f} s.",
        transient=True,
    )


def silent(call: Call) -> EndpointError:
    """The call was taken, and then nothing."""
    return TimedOut(f"{call.endpoint} fell silent.", maybe_billed=True)


def broken_connection(call: Call) -> EndpointError:
    """The connection ended before the answer did."""
    return Incomplete(
        f"The connection to {call.endpoint} broke before the answer was whole.", maybe_billed=True
    )


def unreadable_reply(call: Call, what: str) -> EndpointError:
    """Bytes came that can't be read."""
    return ServerFailed(f"{call.endpoint} {what}.", maybe_billed=True)
