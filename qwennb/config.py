"""The settings that hold for a whole notebook, and where they come from.

    argument  >  environment  >  [tool.qwennb] in the nearest pyproject.toml  >  default

`Config.load` reads all four once and gives a frozen value. Secrets are the exception to "anywhere": a key comes from
an argument or the environment, never from a file that is shared.
"""

from __future__ import annotations

import os
import sys
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from qwennb.errors import ConfigError, nearest

CacheMode = Literal["on", "refresh", "replay", "off"]
CACHE_MODES: tuple[str, ...] = get_args(CacheMode)


class Secret:
    """A key that does not show itself: not in `repr`, `str`, `vars`, a pickle or a traceback's variables."""

    __slots__ = ("__reveal",)

    def __init__(self, value: str) -> None:
        # Kept in a closure: whatever walks attributes and prints them finds a function.
        self.__reveal: Callable[[], str] = lambda: value

    def reveal(self) -> str:
        """The characters, for the one place that puts them into a header."""
        return self.__reveal()

    def __repr__(self) -> str:
        return "<Secret: set>"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other.reveal() == self.reveal()

    def __hash__(self) -> int:
        return hash(self.reveal())

    def __reduce__(self) -> Any:
        raise TypeError("a Secret is not pickled")


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
        settings: dict[str, Any] = {"cache_dir": default_cache_dir(environ)}
        project, environment = _from_project(folder or Path.cwd()), _from_environment(environ)
        if "://" in str(project.get("endpoint", "")) and "endpoint" not in environment:
            # A file that came with somebody's repository must not be able to have our key sent to its server.
            environment.pop("api_key", None)
        settings |= project | environment
        settings |= {name: value for name, value in (arguments or {}).items() if value is not None}
        return cls(**{name: _checked(name, value) for name, value in settings.items()})


def default_cache_dir(environ: Mapping[str, str]) -> Path:
    """Where answers live: with the user's data, not among caches that are cleared, for they were paid for."""
    home = Path(environ.get("HOME") or environ.get("USERPROFILE") or Path.home())
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "qwennb"
    if sys.platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or home / "AppData" / "Local") / "qwennb"
    return Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share") / "qwennb"


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    variables = {f"QWENNB_{f.name.upper()}": f.name for f in fields(Config)}
    made: dict[str, Any] = {
        variables[name]: value for name, value in environ.items() if name in variables and value
    }
    if isinstance(key := made.get("api_key"), str):
        made["api_key"] = Secret(key)
    return made


def _from_project(folder: Path) -> dict[str, Any]:
    for place in (folder, *folder.parents):
        file = place / "pyproject.toml"
        if not file.is_file():
            continue
        try:
            table = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}).get("qwennb")
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigError(f"pyproject.toml can't be read as TOML: {error}.") from None
        except OSError:
            continue
        if table is None:
            return {}
        if "api_key" in table:
            raise ConfigError(
                "[tool.qwennb] in pyproject.toml holds an api_key. Files are shared: take it out, and set "
                "QWENNB_API_KEY (or the endpoint's own variable) in the environment."
            )
        return dict(table)
    return {}


def _checked(name: str, value: Any) -> Any:
    if name not in {f.name for f in fields(Config)}:
        known = [f.name for f in fields(Config)]
        raise ConfigError(
            f"There is no setting `{name}`{nearest(name, known) or '; there are ' + ', '.join(known)}."
        )
    if name == "cache":
        if value not in CACHE_MODES:
            raise ConfigError(
                f"cache={value!r} is not a mode{nearest(str(value), CACHE_MODES)} Use {', '.join(CACHE_MODES)}."
            )
        return value
    if name == "cache_dir":
        return Path(value).expanduser()
    if name == "api_key":
        return value if isinstance(value, Secret) else Secret(str(value))
    if name in ("budget", "timeout", "pace", "concurrency"):
        kind = int if name == "concurrency" else float
        try:
            number = kind(value)
        except (TypeError, ValueError):
            raise ConfigError(f"{name}={value!r} is not a number.") from None
        if not number > 0 or (name == "pace" and number > 1):
            raise ConfigError(
                f"{name}={value!r} must be above 0{' and at most 1' if name == 'pace' else ''}."
            )
        return number
    if not isinstance(value, str):
        raise ConfigError(f"{name}={value!r} must be text.")
    return value
