"""What a cell refers to: values of the notebook's namespace, each as what it is.

Only what the user typed is evaluated, by IPython's own `ev`; what comes out of it is never looked at again. An object
with `_ai_repr_` says itself how it wants to be read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qwennb.errors import BadInput, TemplateError, nearest
from qwennb.notebook.interpolated import Interpolated, digest_of, parse_expression, read_value

_NAME = re.compile(r"[^\W\d]\w*")


def own_names(shell: Any) -> dict[str, Any]:
    """Collect what the notebook itself has named, without what IPython keeps there."""
    hidden = shell.user_ns_hidden
    return {n: v for n, v in shell.user_ns.items() if not n.startswith("_") and n not in hidden}


def typed_names(shell: Any) -> dict[str, Any]:
    """Collect the notebook's names, with its cells in `In` as they were typed; an `In` of the notebook's own stays."""
    names, history = dict(shell.user_ns), getattr(shell, "history_manager", None)
    if history is not None and names.get("In") is history.input_hist_parsed:
        names["In"] = history.input_hist_raw
    return names


class Scope:
    """The namespace of one shell. `readings` are what was taken out of it for the question, as it is sent."""

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self.readings: list[Interpolated] = []

    def value(self, source: str, option: str | None = None) -> Any:
        """Evaluate the expression *source*. `Err` is the last error, unless the notebook has such a name."""
        asked = f"`{{{{ {source} }}}}`" if option is None else f"--{option} {source}"
        if source.strip() == "Err" and "Err" not in self._shell.user_ns:
            return self.last_error()
        try:
            if "In" in source:  # as it was typed: IPython keeps there what it made of a magic
                return eval(source.strip(), self._shell.user_global_ns, typed_names(self._shell))  # noqa: S307  (typed by the user)
            return self._shell.ev(source)
        except NameError as error:
            name = getattr(error, "name", None) or ""
            braces = ' Two braces as text: --raw, or {{ "{{" }}.' if option is None else ""
            raise TemplateError(
                f"{asked}: the notebook has no `{name}`{nearest(name, own_names(self._shell)) or '.'}{braces}"
            ) from None
        except Exception as error:
            raise TemplateError(f"{asked} failed: {type(error).__name__}: {error}") from None

    def fill(self, text: str) -> tuple[str, dict[str, Any]]:
        """Make *text* a template of plain names, and return the values that its expressions have."""
        from qwennb.request import Template, part_of

        pieces = Template.of_expressions(text).evaluate(
            lambda source: _Value(self._read(source, part_of(read_value(self.value(source)))))
        )
        values: dict[str, Any] = {}
        made = []
        for piece in pieces:
            if isinstance(piece, _Value):
                name = f"value_{len(values)}"
                values[name] = piece.value
                made.append(f"{{{{ {name} }}}}")
            else:
                made.append(escape_braces(piece))
        return "".join(made), values

    def option_value(self, option: str, text: str) -> Any:
        """Evaluate an option that takes a variable: the name must be there."""
        if _names(text) is None:
            raise BadInput(f"--{option} {text!r} is not the name of a variable.")
        return self.value(text, option)

    def knows(self, text: str) -> bool:
        """Tell whether *text* is an expression that begins with a name of the notebook."""
        name = _names(text)
        return name is not None and name in self._shell.user_ns

    def media(self, option: str, text: str, of: Callable[[Any], Any]) -> list[Any]:
        """Look up pictures, videos or documents, made into parts by *of*; what is no variable is a path, read with the question."""
        if not text.isidentifier() and Path(text).is_file():  # chart.png, though there is a `chart` too
            return [text]
        if not self.knows(text):
            if text.isidentifier() and not Path(text).exists():
                raise BadInput(
                    f"--{option} {text}: there is neither such a variable nor such a file"
                    f"{nearest(text, own_names(self._shell)) or '.'}"
                )
            return [text]
        value = self.value(text, option)
        return [
            self._read(text, of(item)) for item in (value if isinstance(value, list | tuple) else [value])
        ]

    def _read(self, source: str, part: Any) -> Any:
        """Note that the expression *source* gave *part*, or the path of one."""
        from qwennb.request import part_of

        self.readings.append(Interpolated.of(source, digest_of(part_of(part)), typed_names(self._shell)))
        return part

    def schema(self, text: str) -> Any:
        """Look up a class or dict of the notebook, else take a schema line."""
        return self.value(text, "schema") if self.knows(text) or text.isidentifier() else text

    def choices(self, text: str) -> Any:
        """Look up a list or class of the notebook, else take the words between commas."""
        if self.knows(text) and "," not in text:
            given = self.value(text, "choices")
            return _split(given) if isinstance(given, str) else given
        if "," not in text and text.isidentifier():
            raise BadInput(
                f"--choices {text}: the notebook has no `{text}`{nearest(text, own_names(self._shell)) or '.'} Choices are a "
                'list, or words with commas between: --choices "yes, no".'
            )
        return _split(text)

    def tools(self, text: str) -> list[Any]:
        """Look up the functions named between commas."""
        return [self.option_value("tools", name) for name in _split(text)]

    def last_error(self) -> str:
        """Write the last error with its traceback as text, without colours."""
        import sys
        import traceback

        value = getattr(sys, "last_value", None)
        if value is None:
            raise BadInput("No cell of this kernel has failed yet.")
        return "".join(traceback.format_exception(value)).strip()


class _Value:
    """Tells what an expression gave from the text around it."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def escape_braces(text: str) -> str:
    """Write *text* as a template that is nothing but this text."""
    return text.replace("{{", '{{ "{{" }}')


def _split(text: str) -> list[str]:
    return [piece.strip() for piece in text.split(",") if piece.strip()]


def _names(text: str) -> str | None:
    found = _NAME.match(text)
    return found[0] if found and parse_expression(text) is not None else None
