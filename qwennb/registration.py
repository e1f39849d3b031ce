"""What other libraries are given of ours by `import qwennb`, and none of them is imported for it.

polars and pandas have `df.qwen`, `lf.qwen`, `series.qwen` and `pl.col(…).qwen`: where such a library is loaded already, at
once; else by a finder that waits on `sys.meta_path` until somebody imports it, and then steps aside. An IPython that runs has
Tab within the parentheses of our calls. What is registered is a small function: the room behind it is loaded with its first use.
"""

from __future__ import annotations

import sys

# Everything that `import qwennb` loads is paid by everybody: not even typing, and no base classes of importlib.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.abc import Loader
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any


def register() -> None:
    """See to it that frames, series and expressions have `.qwen`, now or once their library is imported."""
    for name, (whole, register_in) in _LIBRARIES.items():
        library = sys.modules.get(name)
        if library is not None and hasattr(library, whole):
            if getattr(library.DataFrame, "qwen", None) is not _frame:  # `%reload_ext` comes here once more
                register_in(library)
        elif not any(isinstance(finder, _Waiting) and finder.name == name for finder in sys.meta_path):
            sys.meta_path.insert(0, _Waiting(name))
    marimo = sys.modules.get("marimo")
    if marimo is not None and marimo.running_in_notebook():
        from qwennb.watchers import watchers

        watchers[:] = [_see_in_marimo]


def show_options_on_tab(shell: Any = None) -> None:
    """Have *shell*, or the IPython that runs, if one does, show the options of our calls on Tab (notebook/keywords.py)."""
    if shell is None:
        shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    # Not all that is found there completes as IPython does.
    matchers = getattr(getattr(shell, "Completer", None), "custom_matchers", None)
    if matchers is not None and _complete_keywords not in matchers:
        matchers.append(_complete_keywords)


def _complete_keywords(context: Any) -> Any:
    try:
        from qwennb.notebook.keywords import complete_keywords

        return complete_keywords(context)
    except Exception:  # IPython would print a traceback into the line that is being written
        return {"completions": []}


_complete_keywords.matcher_api_version = 2  # type: ignore[attr-defined]  # as IPython's own decorator would say


class _Waiting:
    """Finds nothing itself; it sees to it that the loader of the library *name* is followed by the registration."""

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the other finders find for the library, with our loader around theirs."""
        if fullname != self.name:
            return None
        for finder in list(sys.meta_path):
            found = finder.find_spec(fullname, path, target) if finder is not self else None
            if found is not None:
                if found.loader is not None:
                    found.loader = _Followed(found.loader)  # type: ignore[assignment]
                return found
        return None


class _Followed:
    """Another loader, with the registration after it."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As the other loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Run the module as ever, then register."""
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader  # nobody need know that we were here
        module.__loader__ = self._loader
        name = module.__name__
        sys.meta_path[:] = [
            finder for finder in sys.meta_path if not (isinstance(finder, _Waiting) and finder.name == name)
        ]
        self._loader.exec_module(module)
        _LIBRARIES[name][1](module)


def _register_in_polars(polars: ModuleType) -> None:
    polars.api.register_dataframe_namespace("qwen")(_frame)
    polars.api.register_lazyframe_namespace("qwen")(_frame)
    polars.api.register_series_namespace("qwen")(_series)
    polars.api.register_expr_namespace("qwen")(_expr)


def _register_in_pandas(pandas: ModuleType) -> None:
    pandas.api.extensions.register_dataframe_accessor("qwen")(_frame)
    pandas.api.extensions.register_series_accessor("qwen")(_series)


# What a library has once it is loaded as a whole, and how it is registered in.
_LIBRARIES: dict[str, tuple[str, Callable[[Any], None]]] = {
    "polars": ("LazyFrame", _register_in_polars),
    "pandas": ("api", _register_in_pandas),
}


def _see_in_marimo(progress: Any) -> None:
    from qwennb.notebook.in_marimo import see

    see(progress)


def _frame(frame: Any) -> Any:
    from qwennb.frames import QwenFrame

    return QwenFrame(frame)


def _series(series: Any) -> Any:
    from qwennb.frames import QwenSeries

    return QwenSeries(series)


def _expr(expr: Any) -> Any:
    from qwennb.frames import QwenExpr

    return QwenExpr(expr)
