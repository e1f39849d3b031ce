"""This machine: which addresses are its own, and what of its environment a process that we start may have.

Both are decided here and nowhere else, for on both hangs who sees a key. An address is judged by what it is, never by
how its spelling begins. Of the environment only what is known to be needed is handed on: a list of what to hold back
would be one secret short.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from urllib.parse import urlsplit

# Where these end, readers of URLs disagree about which part is the host.
_UNCLEAR = re.compile(r"[\s\\%\x00-\x1f\x7f-\U0010ffff]")

# A host, or an address in brackets and nothing behind it but a port: what else stands there, some readers leave out.
_AUTHORITY = re.compile(r"(?:[^@]*@)?(?:\[[^\[\]]*\]|[^\[\]:@]+)(?::[0-9]*)?")


def is_loopback(url: str) -> bool:
    """Whether *url* leads to this machine, however it is read."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return False
    authority = re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]
    is_clear = _AUTHORITY.fullmatch(authority) and not _UNCLEAR.search(authority)
    return bool(is_clear) and is_loopback_host(host)


def is_loopback_host(host: str) -> bool:
    """Whether *host*, a name or an address without brackets, is this machine.

    An address is one in its usual spelling: of `2130706433`, `0x7f.1` and `0177.0.0.1` readers make different things.
    """
    if host.lower().removesuffix(".") == "localhost":
        return True
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    inner = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (inner or address).is_loopback


# ---------------------------------------------------------------------- the environment

_SECRET = re.compile(
    r"(?:^|_)(?:api_?keys?|keys?|tokens?|secrets?|pass|passphrase|passwd|pat|auth|credentials?|cookies?)(?=_|$)|password|_pwd$",
    re.IGNORECASE,
)
_NEEDED = frozenset((
    # who and where
    "PATH", "HOME", "USER", "LOGNAME", "USERNAME", "SHELL", "TERM", "PWD", "TZ", "LANG", "LANGUAGE", "LOCALE_ARCHIVE", "TMPDIR", "TEMP", "TMP", "COLUMNS", "LINES",
    "NO_COLOR", "FORCE_COLOR", "CLICOLOR",
    # interpreters and libraries
    "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH",
    "JAVA_HOME", "R_HOME", "GDAL_DATA", "PROJ_DATA", "PROJ_LIB", "FONTCONFIG_FILE", "FONTCONFIG_PATH", "SOURCE_DATE_EPOCH",
    # Windows
    "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "OS", "NUMBER_OF_PROCESSORS", "PROGRAMDATA", "PROGRAMFILES", "ALLUSERSPROFILE",
    "USERPROFILE", "LOCALAPPDATA", "APPDATA",
))  # fmt: skip
_NEEDED_FAMILIES = (
    "LC_", "PYTHON", "JUPYTER_", "MPL", "PROCESSOR_",
    # threads and devices
    "OMP_", "KMP_", "OPENBLAS_", "MKL_", "BLIS_", "VECLIB_", "NUMEXPR_", "NUMBA_", "POLARS_", "RAYON_", "MALLOC_",
    "CUDA_", "HIP_", "HSA_", "ROCM_", "ROCR_", "VK_", "GGML_",
)  # fmt: skip


def names_secret(name: str) -> bool:
    """Whether a variable of this *name* holds a key or a password."""
    return _SECRET.search(name) is not None


def keep_needed(environ: Mapping[str, str]) -> dict[str, str]:
    """What of *environ* a program needs to run: no key, no password, no address (one may stand in it), no agent's socket."""
    return {name: value for name, value in environ.items() if _is_needed(name) and "://" not in value}


def _is_needed(name: str) -> bool:
    return name in _NEEDED or (name.startswith(_NEEDED_FAMILIES) and not names_secret(name))
