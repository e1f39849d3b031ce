"""What one model takes at one endpoint, and the refusal of everything else before it is sent.

An option can be accepted, ignored (the server would drop it in silence, so we refuse it) or refused by the
server. `check` raises for the last two alike and says where the option is taken. What is meant for a server
that is known to read more than the table says goes through `extra=`, which is never checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from qwennb.catalog.media import Images, Videos
from qwennb.errors import UnsupportedOption, nearest

SchemaSupport = Literal["json_schema", "json_object", "prompt"]


@dataclass(frozen=True, slots=True)
class Range:
    """The numbers that an option may take. `None` is no bound; an open bound is itself excluded."""

    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False

    def __contains__(self, number: float) -> bool:
        low = self.low is None or (number > self.low if self.low_open else number >= self.low)
        high = self.high is None or (number < self.high if self.high_open else number <= self.high)
        return low and high

    def __str__(self) -> str:
        bounds = []
        if self.low is not None:
            bounds.append(f"{'above' if self.low_open else 'at least'} {self.low:g}")
        if self.high is not None:
            bounds.append(f"{'below' if self.high_open else 'at most'} {self.high:g}")
        return " and ".join(bounds) or "any number"


@dataclass(frozen=True, slots=True)
class Thinking:
    """How thinking can be asked for: `modes` out of "off", "on", "levels", "budget".

    `default` is what happens when nothing is said; `None` for a model that nobody knows.
    """

    modes: frozenset[str]
    default: bool | None
    levels: Mapping[str, int]
    most: int | None

    def may_happen(self, asked: bool | str | int | None) -> bool:
        """True unless it is certain that the model will not think."""
        return asked is not False if asked is not None else self.default is not False

    def takes(self, asked: bool | str | int) -> bool:
        """True when this value of `thinking=` can be sent."""
        if isinstance(asked, bool):
            return ("on" if asked else "off") in self.modes
        if isinstance(asked, str):
            return "levels" in self.modes and asked in self.levels
        return "budget" in self.modes and asked >= 1 and (self.most is None or asked <= self.most)

    def __str__(self) -> str:
        said = [word for mode, word in (("on", "True"), ("off", "False")) if mode in self.modes]
        if "levels" in self.modes:
            said += [f'"{level}"' for level in self.levels]
        if "budget" in self.modes:
            said.append(f"a budget of 1 to {self.most:,} tokens" if self.most else "a budget in tokens")
        return ", ".join(said)


@dataclass(frozen=True, slots=True)
class Abilities:
    """What `model` takes at `endpoint`.

    `known` is False for a model that is not in the catalogue, on a server that takes any: then nothing is
    known of its window and its default, and it is taken to see whatever its server can be shown.
    """

    model: str
    endpoint: str
    known: bool
    options: frozenset[str]
    ignored: frozenset[str]
    own: frozenset[str]
    thinking: Thinking
    schema: SchemaSupport
    tool_choice: frozenset[str]
    tool_choice_thinking: frozenset[str]
    ranges: Mapping[str, Range]
    modalities: frozenset[str]
    max_tokens: Literal["answer", "all"]
    schema_without_thinking: bool = False
    schema_says_json: bool = False
    stop_most: int | None = None
    images: Images | None = None
    videos: Videos | None = None
    pdf: Literal["part", "pages"] | None = None
    search_strategies: tuple[str, ...] = ()
    context: int | None = None
    max_input_thinking: int | None = None
    max_input_direct: int | None = None
    max_output: int | None = None
    presets: Mapping[bool, Mapping[str, float]] = field(default_factory=dict)
    instead: Mapping[str, str] = field(default_factory=dict, repr=False)
    elsewhere: Callable[[str], str | None] = field(default=lambda _: "", repr=False, compare=False)

    def accepts(self, option: str) -> bool:
        """True when the option may be given."""
        return option in self.options or option in self.own

    def most(self, option: str, wanted: int) -> int:
        """What to give *option* where *wanted* would be best: no more than is taken."""
        allowed = self.ranges.get(option)
        return wanted if allowed is None or allowed.high is None else min(wanted, int(allowed.high))

    def thinking_budget(self, level: str) -> int:
        """The tokens that a level stands for, where a server knows budgets only."""
        if level not in self.thinking.levels:
            raise UnsupportedOption(self._thinking_complaint(level))
        return self.thinking.levels[level]

    def max_input(self, asked: bool | str | int | None = None) -> int | None:
        """The longest input in tokens, given what was asked of thinking; `None` where nobody knows."""
        return self.max_input_thinking if self.thinking.may_happen(asked) else self.max_input_direct

    def output_bound(
        self, max_tokens: int | None = None, asked: bool | str | int | None = None
    ) -> int | None:
        """The most tokens that can be written, thinking included; `None` where nobody knows.

        This is what a budget reserves: where `max_tokens` bounds the answer alone, the thinking comes on top.
        """
        if max_tokens is not None and self.max_tokens == "all":
            return max_tokens
        answer = max_tokens if max_tokens is not None else self.max_output
        if answer is None:
            return self.context
        return answer + (self._thinking_bound(asked) if self.thinking.may_happen(asked) else 0)

    def preset(self, asked: bool | str | int | None = None) -> Mapping[str, float]:
        """What to send where the user said nothing, for a server whose own defaults don't suit the model."""
        return self.presets.get(self.thinking.may_happen(asked), {})

    def check(self, options: Mapping[str, Any]) -> None:
        """Raise UnsupportedOption for the first option that would be refused or dropped in silence.

        Options left alone (`None`, or empty) are not checked.
        """
        given = {name: value for name, value in options.items() if _was_asked(name, value)}
        if not given:
            return
        for name in given:
            if not self.accepts(name):
                raise UnsupportedOption(self._not_taken(name, given[name]))
        for complaint in (
            self._thinking_problem(given),
            self._range_problem(given),
            self._stop_problem(given),
            self._tool_choice_problem(given),
            self._schema_problem(given),
        ):
            if complaint:
                raise UnsupportedOption(complaint)

    # What can be wrong, one sentence each.

    @property
    def _here(self) -> str:
        return f"{self.model} at {self.endpoint}"

    def _not_taken(self, name: str, value: Any) -> str:
        if (hint := self.instead.get(name)) is not None:
            return f"`{name}` is no option of qwennb; type instead: {hint}."
        if (where := self.elsewhere(name)) is None:
            return f"There is no option `{name}`{nearest(name, self.options | self.own) or '.'}"
        why = "the server would drop it in silence" if name in self.ignored else "the server does not take it"
        extra = (
            "" if name in _PARTS else f" Whoever knows better sends it with extra={{{name!r}: {value!r}}}."
        )
        return (
            f"`{name}` is not supported by {self._here}: {why}. {where}"
            f"Supported here: {', '.join(sorted(self.options))}.{extra}"
        )

    def _thinking_complaint(self, asked: object) -> str:
        return f"`thinking={asked!r}` is not supported by {self._here}, which takes {self.thinking}."

    def _thinking_problem(self, given: Mapping[str, Any]) -> str | None:
        asked = given.get("thinking")
        return None if asked is None or self.thinking.takes(asked) else self._thinking_complaint(asked)

    def _range_problem(self, given: Mapping[str, Any]) -> str | None:
        for name, allowed in self.ranges.items():
            value = given.get(name)
            if value is None or isinstance(value, bool) or value in allowed:
                continue
            return f"`{name}={value!r}` is out of range for {self._here}, which takes {allowed}."
        return None

    def _stop_problem(self, given: Mapping[str, Any]) -> str | None:
        stop = given.get("stop")
        if self.stop_most is None or stop is None or isinstance(stop, str) or len(stop) <= self.stop_most:
            return None
        return f"`stop` with {len(stop)} strings is too many for {self._here}, which takes at most {self.stop_most}."

    def _tool_choice_problem(self, given: Mapping[str, Any]) -> str | None:
        choice = given.get("tool_choice")
        if choice is None:
            return None
        kind = choice if isinstance(choice, str) and choice in {"auto", "none", "required"} else "named"
        shown = "a named tool" if kind == "named" else f'"{kind}"'
        if kind not in self.tool_choice:
            return f"`tool_choice` of {shown} is not supported by {self._here}, which takes {_list(self.tool_choice)}."
        if kind not in self.tool_choice_thinking and self.thinking.may_happen(given.get("thinking")):
            return f"`tool_choice` of {shown} is not supported by {self._here} while it thinks; add thinking=False."
        return None

    def _schema_problem(self, given: Mapping[str, Any]) -> str | None:
        form = next((name for name in ("schema", "choices") if name in given), None)
        if not self.schema_without_thinking or form is None or not given.get("thinking"):
            return None
        return (
            f"`{form}` and thinking={given['thinking']!r} do not go together for {self._here}, which writes JSON "
            f"only without thinking; leave thinking alone or give thinking=False."
        )

    def _thinking_bound(self, asked: bool | str | int | None) -> int:
        if isinstance(asked, str):
            return self.thinking_budget(asked)
        if asked is not None and not isinstance(asked, bool):
            return asked
        return self.thinking.most or 0


# Options that are parts of the message and not settings: no `extra` could replace them.
_PARTS = frozenset(
    {"images", "videos", "files", "max_pixels", "thinking", "schema", "choices", "tools", "search"}
)


def _was_asked(name: str, value: Any) -> bool:
    if value is None or (value is False and name != "thinking"):
        return False
    return not (isinstance(value, (str, list, tuple, dict, set, frozenset)) and len(value) == 0)


def _list(values: frozenset[str]) -> str:
    order = ("auto", "none", "required", "named")
    return (
        ", ".join("a named tool" if v == "named" else f'"{v}"' for v in order if v in values) or "none at all"
    )
