"""The settings that hold for a whole notebook, and where they come from.

    argument  >  environment  >  [tool.qwennb] in the nearest pyproject.toml  >  default

`Config.load` reads all four once and gives a frozen value. Secrets are the exception to "anywhere": a key comes from
an argument or the environment, never from a file that is shared. What leads elsewhere, an address or a path, is taken
from such a file only once the user trusts it (`project`).
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args
from weakref import WeakValueDictionary

from qwennb.errors import ConfigError, nearest, show_value
from qwennb.project import TrustList, home_of, leads_elsewhere, project_settings

CacheMode = Literal["on", "refresh", "replay", "off"]
CACHE_MODES: tuple[str, ...] = get_args(CacheMode)


class Secret:
    """A key that does not show itself: not in `repr`, `str`, `vars`, a pickle or a traceback's variables.

    White space around it, as copying leaves it, is dropped. What no header can carry is refused here, for an HTTP
    library would refuse it in words that hold the key.
    """

    __slots__ = ("__hash", "__reveal", "__weakref__")

    def __init__(self, value: str) -> None:
        key, value = value.strip(), ""  # a traceback may show what an argument is bound to
        if not key:
            raise ConfigError("The API key is empty. Leave it out, or copy it again.")
        if not all("!" <= character <= "~" for character in key):
            key = ""
            raise ConfigError("The API key holds a character that no key has. Copy it again.")
        # Kept in a closure: whatever walks attributes and prints them finds a function.
        self.__reveal: Callable[[], str] = lambda: key
        self.__hash = hash(key)  # with a salt of this process's own; each question looks its server up by it
        _SECRETS[id(self)] = self

    @staticmethod
    def in_use() -> list[Secret]:
        """Every key that this process holds, for whoever must make sure that none of them is shared."""
        return list(_SECRETS.values())

    def reveal(self) -> str:
        """The characters, for the one place that puts them into a header."""
        return self.__reveal()

    def __repr__(self) -> str:
        return "<Secret: set>"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal() == self.reveal()

    def __hash__(self) -> int:
        return self.__hash

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> Any:
        raise TypeError("a Secret is not pickled")


_SECRETS: WeakValueDictionary[int, Secret] = WeakValueDictionary()


@dataclass(frozen=True, slots=True)
class Config:
    """What holds where a call says nothing else.

    endpoint      a name or a base URL; None: found by the rules of `endpoints`
    model         a model's name; None: the endpoint's default
    api_key       for a base URL, or in place of the endpoint's own variable
    cache         "on", "refresh", "replay" or "off"
    cache_dir     the folder of the answers
    budget        US dollars that this client may spend; None: no limit
    timeout       seconds for one request, all its attempts together
    concurrency   the most requests in flight at one endpoint
    pace          the share of a known quota that is used
    referer, title   OpenRouter's optional attribution headers
    """

    endpoint: str | None = None
    model: str | None = None
    api_key: Secret | None = None
    cache: CacheMode = "on"
    cache_dir: Path = Path()
    budget: float | None = None
    timeout: float = 600.0
    concurrency: int = 256
    pace: float = 0.8
    referer: str | None = None
    title: str | None = None

    @classmethod
    def load(
        cls,
        arguments: Mapping[str, Any] | None = None,
        *,
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> Config:
        """The settings as they hold now: *arguments* over *environ* over the pyproject.toml at or above *folder*."""
        environ = os.environ if environ is None else environ
        given = {
            name: _hide_key(name, value) for name, value in (arguments or {}).items() if value is not None
        }
        arguments = None
        variables = _from_environment(environ)
        over = {name: value for name, value in read_overrides(environ).items() if name not in _NO_SETTINGS}
        names = [field.name for field in fields(cls)]
        file = project_settings(folder, environ, settings=names, given={*variables, *given, *over})
        if "endpoint" in file and leads_elsewhere("endpoint", file["endpoint"]):
            # A file that came with somebody's repository must not be able to have our key sent to its server.
            variables.pop("api_key", None)
        if "endpoint" in over:
            given.pop("api_key", None)  # it was given for another endpoint
        settings = {"cache_dir": default_cache_dir(environ)} | file | variables | given | over
        return cls(
            **{
                name: _check_setting(name, value, _origin(name, given, variables))
                for name, value in settings.items()
            }
        )


_NO_SETTINGS = ("options", "packs", "accept_figures", "consents")


def read_overrides(environ: Mapping[str, str]) -> dict[str, Any]:
    """What stands above every argument for one run of a notebook: settings, and under "options" options of a call.

    `qwennb verify` and `qwennb drift` set it, as JSON in QWENNB_ABOVE, for the kernel that they start. With "packs" false
    the notebook's own packs are neither read nor written; with "accept_figures" true every pack's figures are accepted.
    "consents" are the calls of tools that were allowed, or not.
    """
    written = environ.get("QWENNB_ABOVE")
    if not written:
        return {}
    import json  # only such a run needs it

    try:
        made = json.loads(written)
    except ValueError:
        made = None
    if not isinstance(made, dict) or "api_key" in made:
        raise ConfigError("QWENNB_ABOVE is set by qwennb verify and drift for their own kernels. Unset it.")
    return made


def lend_trust(folder: Path, mine: Mapping[str, str], environ: Mapping[str, str]) -> None:
    """Let a kernel with *environ* use what the user of *mine* trusts in the project of *folder*, and learn of nothing else.

    ConfigError for what waits for trust: nobody can be asked there.
    """
    own, theirs = TrustList.of(mine), TrustList.of(environ)
    if own.file != theirs.file:
        own.lend(folder, theirs)
    Config.load(environ=environ, folder=folder)


def default_cache_dir(environ: Mapping[str, str]) -> Path:
    """Where answers live: with the user's data, not among caches that are cleared, for they were paid for."""
    home = home_of(environ)
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "qwennb"
    if sys.platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "qwennb"
    return Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "qwennb"


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    given = {f.name: environ.get(_variable(f.name)) for f in fields(Config)}
    return {name: _hide_key(name, value) for name, value in given.items() if value}


def _variable(name: str) -> str:
    return f"QWENNB_{name.upper()}"


def _hide_key(name: str, value: Any) -> Any:
    """*value*; a key so that no traceback shows it."""
    return Secret(str(value)) if name == "api_key" and not isinstance(value, Secret) else value


def _origin(name: str, given: Mapping[str, Any], variables: Mapping[str, Any]) -> str:
    """How the user wrote the setting *name*, for an error about it."""
    if name in given:
        return name
    return _variable(name) if name in variables else f"[tool.qwennb] {name}"


def _check_setting(name: str, value: Any, origin: str) -> Any:
    known = [f.name for f in fields(Config)]
    if name not in known:
        raise ConfigError(
            f"There is no setting `{origin}`{nearest(name, known) or '; there are ' + ', '.join(known)}."
        )
    if name == "cache":
        if not isinstance(value, str) or value not in CACHE_MODES:
            close = nearest(value, CACHE_MODES) if isinstance(value, str) else ""
            raise ConfigError(
                f"{origin}={show_value(value)} is not a mode{close}. Use {', '.join(CACHE_MODES)}."
            )
        return value
    if name == "cache_dir":
        return _path(value, origin)
    if name in ("budget", "timeout", "pace", "concurrency"):
        return _number(name, value, origin)
    if name != "api_key" and not isinstance(value, str):
        raise ConfigError(f"{origin}={show_value(value)} must be text.")
    return _header(value, origin) if name in ("referer", "title") else value


def _header(value: str, origin: str) -> str:
    """*value* as a header can carry it: one line of sound text."""
    line = value.strip()
    if any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in line):
        raise ConfigError(
            f"{origin}={show_value(value)} can't stand in a header. Give it as one line of plain text."
        )
    return line


def _path(value: Any, origin: str) -> Path:
    try:
        os.fsencode(path := Path(value).expanduser())
        if "\0" in str(path):
            raise ValueError
        return path
    except (TypeError, ValueError, RuntimeError):  # UnicodeEncodeError is a ValueError: half a character
        raise ConfigError(f"{origin}={show_value(value)} is not a folder's path.") from None


def _number(name: str, value: Any, origin: str) -> float:
    whole = name == "concurrency"
    try:
        number = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if number != number or (whole and not number.is_integer()):
        raise ConfigError(f"{origin}={show_value(value)} is not a {'whole ' if whole else ''}number.")
    if number <= 0 or (name == "pace" and number > 1):
        raise ConfigError(
            f"{origin}={show_value(value)} must be above 0{' and at most 1' if name == 'pace' else ''}."
        )
    return int(number) if whole else number
