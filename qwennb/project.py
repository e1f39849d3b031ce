"""What a project's file may set, and what of it the user has trusted.

`[tool.qwennb]` in the nearest pyproject.toml comes with a repository, from whoever wrote that. In it names and numbers
are free: a provider, a model, a mode. What leads elsewhere (an address, a folder of answers, a model file) waits until
the user has typed `qwennb trust FOLDER`; until then it is neither used nor opened. Trust is bound to the file and to
those very values, and for a path also to where it leads: what has changed since waits again.

It is kept in the user's own config folder, never in the repository, and is believed only where nobody else could have
written it. Whatever comes from a project's file is named once in a process.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import stat
import sys
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qwennb.errors import ConfigError, ProjectWarning, QwenWarning
from qwennb.files import make_private_folder, replace_file
from qwennb.terminal import flatten
from qwennb.warn import warn_user

# What can neither send anything anywhere nor have anything read. Every other setting waits for trust.
_FREE = frozenset(["cache", "budget", "timeout", "concurrency", "pace", "referer", "title"])
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_WHAT = {
    "endpoint": "an address, to which every prompt would go",
    "cache_dir": "a folder, whose answers would count as yours",
    "model": "a model file, which would be loaded",
}


def names_file(model: str) -> bool:
    """Whether *model* means a file on this machine, and not a model by its name."""
    return (
        model.lower().endswith(".gguf")
        or model.startswith(("/", "~", ".", "\\"))
        or model[1:3] in (":\\", ":/")
    )


def leads_elsewhere(name: str, value: Any) -> bool:
    """Whether the *value* of the setting *name* waits for trust."""
    if name == "endpoint":
        return _NAME.fullmatch(str(value)) is None
    if name == "model":
        return names_file(str(value)) or str(value).startswith("hub:")
    return name not in _FREE


@dataclass(frozen=True, slots=True)
class Leading:
    """A value of a project's file that leads elsewhere: as it is written, and, for a path, where it leads."""

    name: str
    value: Any
    target: str

    def __str__(self) -> str:
        leads = f" ({show_path(self.target)})" if self.target else ""
        return flatten(f"{self.name} = {show_setting(self.value)}{leads}")


@dataclass(frozen=True, slots=True)
class Project:
    """The table [tool.qwennb] of a pyproject.toml. `file` is its path, whatever links led to its folder."""

    file: Path
    table: Mapping[str, Any]

    @classmethod
    def find(cls, folder: Path | None = None) -> Project | None:
        """That of the nearest pyproject.toml at or above *folder*; None where it has no such table."""
        file, table = _nearest_table(folder)
        if file is None:
            return None
        if not isinstance(table, Mapping):
            raise ConfigError("[tool.qwennb] in pyproject.toml must be a table of settings.")
        if "api_key" in table:
            table = {}  # a traceback may show it
            raise ConfigError(
                "[tool.qwennb] in pyproject.toml holds an api_key. Files are shared: take it out, and set "
                "QWENNB_API_KEY (or the endpoint's own variable) in the environment."
            )
        return cls(file.parent.resolve() / file.name, table)

    def waiting(self, names: Collection[str]) -> dict[str, Any]:
        """The settings among *names* that lead elsewhere, as they are written. Nothing is looked at for that."""
        return {
            name: value
            for name, value in self.table.items()
            if name in names and leads_elsewhere(name, value)
        }

    def lead(self, name: str, value: Any) -> Leading:
        """Where the *value* of *name* leads, through `..` and links."""
        if name == "endpoint" or str(value).startswith("hub:"):
            return Leading(name, value, "")
        try:
            return Leading(name, value, str((self.file.parent / Path(value).expanduser()).resolve()))
        except (TypeError, ValueError, RuntimeError, OSError):
            raise ConfigError(f"[tool.qwennb] {name}={show_setting(value)} is no path.") from None

    @property
    def command(self) -> str:
        """What to type to trust it."""
        return f"qwennb trust {shlex.quote(show_path(str(self.file.parent)))}"


def project_settings(
    folder: Path | None, environ: Mapping[str, str], *, settings: Collection[str], given: Collection[str]
) -> dict[str, Any]:
    """What the nearest pyproject.toml sets, beside what is *given* already. ConfigError for what waits for trust.

    *settings* are the names of all there are.
    """
    project = Project.find(folder)
    if project is None:
        return {}
    made = {name: value for name, value in project.table.items() if name not in given}
    if waiting := project.waiting(made.keys() & set(settings)):
        trusted = TrustList.of(environ).values(project)
        refused = [
            told
            for name, value in waiting.items()
            if (told := _explain_refusal(project, name, value, trusted))
        ]
        if refused:
            raise ConfigError(
                f"{show_path(str(project.file))} sets {'; and '.join(refused)}. Such a file may come from anybody, so nothing "
                f"of that is used before you trust it. If you do, type: {project.command}"
            )
        made |= {name: trusted[name][1] or value for name, value in waiting.items()}
    if made.keys() <= set(settings):
        _name_once(project, {name: project.table[name] for name in made})
    return made


def _explain_refusal(project: Project, name: str, value: Any, trusted: Mapping[str, tuple[Any, str]]) -> str:
    """Why *value* is not used, in words; empty where it is trusted."""
    what = _WHAT.get(name, "which leads elsewhere")
    written = f"{name} = {show_setting(value)} ({what})"
    if name not in trusted:
        return written
    if trusted[name][0] != value:
        return f"{written}, where you trusted {show_setting(trusted[name][0])}"
    leads = project.lead(name, value).target  # only now is anything looked at: these very words were trusted
    if leads != trusted[name][1]:
        return f"{written}, which leads to {show_path(leads)}, and led to {show_path(trusted[name][1])} when you trusted it"
    return ""


# ---------------------------------------------------------------------- the user's own list


class TrustList:
    """What the user has trusted: by the path of a pyproject.toml, the values and where each leads."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> TrustList:
        """That of the user of *environ*, in the config folder."""
        home = home_of(environ)
        if sys.platform == "darwin":
            folder = home / "Library" / "Application Support"
        elif sys.platform == "win32":
            folder = Path(environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
        else:
            # A relative one would lie in the repository, and is to be ignored anyway (XDG Base Directory 0.8).
            configured = Path(environ.get("XDG_CONFIG_HOME") or ".")
            folder = configured if configured.is_absolute() else home / ".config"
        return cls(folder / "qwennb" / "trust.json")

    def values(self, project: Project) -> dict[str, tuple[Any, str]]:
        """What is trusted of *project*: each value as it was written, and where it led."""
        return {one.name: (one.value, one.target) for one in self.read().get(str(project.file), ())}

    def add(self, project: Project, names: Collection[str]) -> list[Leading]:
        """Trust what *project* sets now, of the settings *names*, and nothing that it set before."""
        leading = [project.lead(name, value) for name, value in project.waiting(names).items()]
        for one in leading:
            if one.name == "endpoint" and _password(str(one.value)):
                raise ConfigError(
                    "The address holds a password, and a file is shared. Take it out, and give it as api_key= or in QWENNB_API_KEY."
                )
        if leading:
            self._write({**self.read(), str(project.file): leading})
        return leading

    def remove(self, file: Path) -> bool:
        """Trust nothing of the pyproject.toml *file* any more; False where nothing was trusted."""
        known = self.read()
        if str(file) not in known:
            return False
        self._write({name: leading for name, leading in known.items() if name != str(file)})
        return True

    def lend(self, folder: Path, other: TrustList) -> None:
        """Have *other* hold what is trusted here of the project of *folder*, and nothing else."""
        with suppress(ConfigError):  # told where it is asked for
            project = Project.find(folder)
            if project is not None and (leading := self.read().get(str(project.file))):
                other._write({str(project.file): leading})

    def read(self) -> dict[str, list[Leading]]:
        """All that is trusted, by the path of the file that sets it."""
        try:
            with self.file.open("rb") as opened:
                facts, written = os.fstat(opened.fileno()), opened.read()
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigError(f"{self.file} can't be read ({error.strerror}).") from None
        if os.name == "posix" and (facts.st_uid != os.geteuid() or stat.S_IMODE(facts.st_mode) & 0o077):
            # A checkout leaves 0644: where the config folder lies in a repository, its file counts for nothing.
            raise ConfigError(
                f"{self.file} is open to others, so nothing in it is believed. If it is yours, type: chmod 600 "
                f"{shlex.quote(str(self.file))}"
            )
        try:
            return {
                file: [Leading(name, value, str(target)) for name, (value, target) in leading.items()]
                for file, leading in json.loads(written).items()
            }
        except (ValueError, AttributeError, TypeError, RecursionError):
            raise ConfigError(
                f"{self.file} is not as qwennb writes it. Delete it, and trust again what you trust."
            ) from None

    def _write(self, trusted: Mapping[str, Collection[Leading]]) -> None:
        made = {
            file: {one.name: [one.value, one.target] for one in leading} for file, leading in trusted.items()
        }
        try:
            make_private_folder(self.file.parent)
            replace_file(self.file, json.dumps(made, indent=1).encode())
        except OSError as error:
            raise ConfigError(f"{self.file} can't be written ({error.strerror}).") from None


def home_of(environ: Mapping[str, str]) -> Path:
    """The user's own folder; of one who has none, a folder that nobody can make, which the cache tells."""
    try:
        return Path(environ.get("HOME") or environ.get("USERPROFILE") or Path.home())
    except RuntimeError:
        return Path(os.devnull, "there-is-no-home-folder")


# ---------------------------------------------------------------------- in words


def show_setting(value: Any) -> str:
    """*value* as a file spells it: escapes and marks of direction visible, what may be a password left out."""
    if isinstance(value, str) and (_password(value) or "://" in value):
        value = re.sub(r"(://)[^/]*@", r"\1…@", value)
        value = re.sub(r"[?#].*", "?…", value, flags=re.DOTALL)
    try:
        return json.dumps(value).replace("\\u2026", "…")
    except (TypeError, ValueError):  # a date, say
        return json.dumps(str(value))


def show_path(path: str) -> str:
    """*path*, which whoever made a repository may have named."""
    return path if path.isprintable() else json.dumps(path)


def _password(address: str) -> bool:
    return re.search(r"://[^/]*@", address) is not None


_named: set[tuple[str, str]] = set()


def _name_once(project: Project, settings: Mapping[str, Any]) -> None:
    """Say what the file sets, unless this process has said so: in a notebook as a line that belongs to no answer."""
    told = [f"{name} = {show_setting(value)}" for name, value in settings.items()]
    news = [one for one in told if (str(project.file), one) not in _named]
    if not news:
        return
    _named.update((str(project.file), one) for one in news)
    file = project.file
    with suppress(OSError, ValueError):  # a notebook is shared: no folder of this machine stands in it
        file = Path(os.path.relpath(file))
    announce(f"Settings from {show_path(str(file))}: {', '.join(news)}.", "project", ProjectWarning)


def announce(sentence: str, about: str, category: type[QwenWarning] = QwenWarning) -> None:
    """Say *sentence* to the user: in a notebook as a line that belongs to no answer and is not compared, else as a warning."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is not None:
        shell.display_pub.publish({"text/plain": sentence}, metadata={"qwennb": {"state": about}})
        return
    warn_user(sentence, category)


def _nearest_table(folder: Path | None) -> tuple[Path | None, Any]:
    import tomllib  # only where there is a file to read

    try:
        folder = (folder or Path.cwd()).resolve()  # what lies above `a/link/..` is not what stands there
        file = next((f for at in (folder, *folder.parents) if (f := at / "pyproject.toml").is_file()), None)
        tool = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {}) if file else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"pyproject.toml can't be read as TOML: {error}.") from None
    except (OSError, RuntimeError):
        return None, None  # a folder that is gone or a circle of links, or a file that is not ours to read
    return (file, tool["qwennb"]) if isinstance(tool, Mapping) and "qwennb" in tool else (None, None)
