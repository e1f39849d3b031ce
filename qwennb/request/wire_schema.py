"""A schema as servers can hold an answer to it.

Servers make a grammar of a schema. Look-around in a pattern, formats of pydantic's own, names held to a pattern and
conditions have no place in one, and each server does something else about them: ignores them, or refuses the request.
So what has a plain spelling is sent in it, what has none is left out and told (`find_unenforceable`), and every answer is held
against the whole schema all the same. What is sent is in no key.

A grammar without an end is a trap for a small model: at temperature 0 it writes digits until its tokens are used up. So
a pattern of ours says how many there may be at most. (llama.cpp's own grammars end numbers and spaces by themselves.)
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from typing import Any

from qwennb.request.normal_schema import map_schemas

# Beside a Decimal's schema: its digits and places. No server sees it, and no key.
DECIMAL = "x-qwennb-decimal"
PLACES = 9  # of a Decimal that says nothing: as in SQL's NUMERIC(38, 9)
DIGITS = 38
WHOLE = 18  # digits before the point that are sent of one that says nothing: more than any sum of money has

_DURATION = (
    "^P([0-9]{1,6}D|([0-9]{1,6}D)?T([0-9]{1,5}H([0-9]{1,2}M)?([0-9]{1,2}S)?"
    "|[0-9]{1,5}M([0-9]{1,2}S)?|[0-9]{1,6}(\\.[0-9]{1,6})?S))$"
)
# The grammars' own forms of these two want a zone, which a model then makes up, and have no end to a second's fraction.
_CLOCK_TIME = (
    r"([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,6})?)?(Z|[+\-]([01][0-9]|2[0-3]):[0-5][0-9])?"
)
_DAY = "[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_SPELT = {"time": f"^{_CLOCK_TIME}$", "date-time": f"^{_DAY}T{_CLOCK_TIME}$"}
_FORMATS = frozenset({"date", "uuid", "email", "ipv4", "ipv6", "hostname", "uri"})
_UNENFORCEABLE = {
    "not": "`not`", "if": "`if`", "contains": "`contains`", "patternProperties": "names held to a pattern",
    "propertyNames": "a rule for names", "dependentSchemas": "`dependentSchemas`", "dependentRequired": "`dependentRequired`",
    "uniqueItems": "that nothing stands twice", "multipleOf": "`multipleOf`",
}  # fmt: skip


def wire_schema(schema: Mapping[str, Any], *, in_words: bool = False) -> dict[str, Any]:
    """Write *schema* as it is sent; *in_words*, where a model reads it, nothing is left out that tells something."""

    def walk(node: Any, _: str | None) -> Any:
        if not isinstance(node, Mapping):
            return node
        made = dict(node)
        if (digits := made.pop(DECIMAL, None)) is not None:
            made = _decimal(made, digits)
        if made.get("format") == "duration" and "pattern" not in made:
            made["pattern"] = _DURATION
            made.setdefault("description", "an ISO 8601 duration, such as P2D or PT1H30M")
            del made["format"]
        if (values := _listed_fields(made)) is not None:
            made |= {"properties": values, "additionalProperties": False}
            del made["propertyNames"]
        if always := _always_fields(made):
            made["required"] = [*made.get("required", ()), *always]
        if not in_words:
            made = _plain_node(made)
        return map_schemas(made, walk, None)

    made: dict[str, Any] = walk(schema, None)
    if isinstance(definitions := schema.get("$defs"), Mapping):
        made["$defs"] = {name: walk(body, name) for name, body in definitions.items()}
    return made


def find_unenforceable(schema: Mapping[str, Any]) -> list[str]:
    """Tell what no grammar can hold an answer to, in words, each with its field."""
    return list(dict.fromkeys(_find_unenforceable(schema, "the answer")))


def _find_unenforceable(node: Any, name: str) -> Iterator[str]:
    found: list[str] = []

    def walk(inner: Any, field: str | None) -> Any:
        found.extend(_find_unenforceable(inner, f"`{field}`" if field else name))
        return inner

    if not isinstance(node, Mapping):
        return
    pattern = node.get("pattern")
    if isinstance(pattern, str) and plain_pattern(pattern) is None:
        yield f"{name}: the pattern {pattern}"
    is_map = _listed_fields(node) is not None
    yield from (
        f"{name}: {words}"
        for word, words in _UNENFORCEABLE.items()
        if word in node and not (is_map and word == "propertyNames")
    )
    map_schemas(node, walk, None)
    for body in (node.get("$defs") or {}).values():
        walk(body, None)
    yield from found


def _plain_node(node: dict[str, Any]) -> dict[str, Any]:
    """Take out of *node* what a server may refuse, and spell plainly what it can hold."""
    made = {word: value for word, value in node.items() if word not in ("uniqueItems", "propertyNames")}
    if made.get("format") in _SPELT and "pattern" not in made:
        made["pattern"] = _SPELT[made["format"]]
    if "format" in made and made["format"] not in _FORMATS:
        del made["format"]
    if isinstance(made.get("pattern"), str):
        plain = plain_pattern(made.pop("pattern"))
        if plain is not None:
            made["pattern"] = plain
    return made


def _listed_fields(node: Mapping[str, Any]) -> dict[str, Any] | None:
    """List the fields of a dict whose names are listed, `dict[Literal["a", "b"], int]`."""
    names = node.get("propertyNames")
    listed = names.get("enum") if isinstance(names, Mapping) else None
    value = node.get("additionalProperties")
    if not isinstance(listed, list) or not isinstance(value, Mapping) or "properties" in node:
        return None
    return {name: dict(value) for name in listed if isinstance(name, str)}


def _always_fields(node: Mapping[str, Any]) -> list[str]:
    """List the fields that may be left out and may as well be null: a model that has to write them looks for them."""
    required = node.get("required", ())
    return [
        name
        for name, field in (node.get("properties") or {}).items()
        if name not in required and isinstance(field, Mapping) and _takes_null(field)
    ]


def _takes_null(node: Mapping[str, Any]) -> bool:
    """Tell whether null stands for what is not there; a default of its own does where there is one."""
    kinds = [option.get("type") for option in (node, *node.get("anyOf", ())) if isinstance(option, Mapping)]
    return node.get("default") is None and any(
        kind == "null" or (isinstance(kind, list) and "null" in kind) for kind in kinds
    )


def _decimal(node: dict[str, Any], digits: Mapping[str, int]) -> dict[str, Any]:
    """Write a Decimal: a number, as models write it by themselves, or text, which loses no digit.

    Text alone was tried: a small model that may not begin with a digit writes null instead.
    """
    number: Mapping[str, Any] = next(
        (one for one in node.get("anyOf", ()) if one.get("type") == "number"), {}
    )
    bounds = {word: value for word, value in number.items() if word not in ("type", "multipleOf")}
    rest = {word: value for word, value in node.items() if word != "anyOf"}
    least = [bounds[word] for word in ("minimum", "exclusiveMinimum") if word in bounds]
    precision, scale = decimal_digits(digits)
    plain = {"type": "number" if scale else "integer", **bounds}
    if set(bounds) - {"minimum", "exclusiveMinimum"} or any(bound != 0 for bound in least):
        return {**rest, **plain}  # no pattern can hold these bounds
    whole = precision - scale if "max_digits" in digits else min(precision - scale, WHOLE)
    places = f"(\\.[0-9]{{1,{scale}}})?" if scale else ""
    pattern = f"^{'' if least else '-?'}{_whole_digits(whole)}{places}$"
    return {**rest, "anyOf": [plain, {"type": "string", "pattern": pattern}]}


def _whole_digits(most: int) -> str:
    """Write a pattern for a whole number of so many digits at *most*, without zeros before it."""
    return f"(0|[1-9][0-9]{{0,{most - 1}}})" if most > 1 else "[0-9]" if most else "0"


def decimal_digits(digits: Mapping[str, int]) -> tuple[int, int]:
    """Count the digits of a Decimal in all, and those behind the point.

    Where only one of the two is said, no digit is lost that it allows: of `max_digits=5` all may stand before the
    point or behind it.
    """
    most = digits.get("max_digits")
    scale = min(digits.get("decimal_places", PLACES if most is None else min(most, PLACES)), DIGITS)
    if most is None:
        return DIGITS, scale
    return max(1, min(most if "decimal_places" in digits else most + scale, DIGITS)), scale


_N = r"\d+(?:[.,]\d+)?"
_SPAN = re.compile(
    rf"(?P<sign>[+-])?P(?=[\dT])(?:(?P<years>{_N})Y)?(?:(?P<months>{_N})M)?(?:(?P<weeks>{_N})W)?(?:(?P<days>{_N})D)?"
    rf"(?:T(?=\d)(?:(?P<hours>{_N})H)?(?:(?P<minutes>{_N})M)?(?:(?P<seconds>{_N})S)?)?"
)
_CLOCK = re.compile(
    rf"(?P<sign>[+-])?(?:(?P<days>\d+)\s?(?:days?|d),?\s?)?(?P<hours>\d+):(?P<minutes>\d\d)(?::(?P<seconds>{_N}))?"
)
_IN_DAYS = {"years": 365, "months": 30}  # as pydantic counts them


def read_duration(text: str) -> datetime.timedelta:
    """Read the span of time that *text* says, in ISO 8601 (P2D, PT1H30M) or as a clock does (1 day, 01:30:00)."""
    found = _SPAN.fullmatch(text) or _CLOCK.fullmatch(text)
    if not found:
        raise ValueError(f"{text!r} is no ISO 8601 duration such as P2D or PT1H30M")
    said = {
        word: float(value.replace(",", "."))
        for word, value in found.groupdict().items()
        if value and word != "sign"
    }
    days = said.pop("days", 0.0) + sum(said.pop(word, 0.0) * days for word, days in _IN_DAYS.items())
    try:
        span = datetime.timedelta(days, **said)
    except OverflowError:
        raise ValueError(f"{text!r} is too long a time") from None
    return -span if found["sign"] == "-" else span


_PIECE = re.compile(
    r"(?P<class>\[\^?\]?(?:\\.|[^\]\\])*\])|(?P<escape>\\.)|(?P<open>\((?:\?(?P<kind>:|P<\w+>|.))?)|(?P<close>\))"
    r"|(?P<many>(?:[*+?]|\{\d+(?:,\d*)?\})(?P<lazy>[?+])?)|(?P<edge>[\^$])|(?P<other>.)",
    re.DOTALL,
)
_CLASSES = {"d": "0-9", "w": "A-Za-z0-9_", "s": " \\t\\n\\r"}
_LETTERS = "nrtfv0"


def plain_pattern(pattern: str) -> str | None:
    """Spell *pattern* as every grammar reads it: from edge to edge, with plain groups and classes; None where it can't be."""
    body = pattern.removeprefix("^")
    starts = body != pattern
    ends = body.endswith("$") and not re.search(r"(?<!\\)(?:\\\\)*\\\$$", body)
    body = body[:-1] if ends else body
    made: list[str] = []
    depth = 0
    top_choice = False
    for piece in _PIECE.finditer(body):
        if piece["edge"] or piece["lazy"] == "+":
            return None
        if piece["open"]:
            if piece["kind"] and piece["kind"] != ":" and not piece["kind"].startswith("P<"):
                return None
            depth += 1
            made.append("(")
        elif piece["close"]:
            depth -= 1
            made.append(")")
        elif piece["many"]:
            made.append(piece["many"].removesuffix(piece["lazy"] or ""))
        elif piece["class"] or piece["escape"]:
            plain = _plain_class(piece["class"]) if piece["class"] else _plain_escape(piece["escape"][1])
            if plain is None:
                return None
            made.append(plain)
        else:
            top_choice |= piece["other"] == "|" and depth == 0
            made.append(piece["other"])
    if depth or (top_choice and (starts or ends)):
        return None  # an edge that holds for one of the choices only
    inside = f"({''.join(made)})" if top_choice else "".join(made)
    return f"^{'' if starts else '.*'}{inside}{'' if ends else '.*'}$"


def _plain_escape(letter: str) -> str | None:
    if letter in _CLASSES:
        return f"[{_CLASSES[letter]}]"
    if letter.lower() in _CLASSES:
        return f"[^{_CLASSES[letter.lower()]}]"
    if letter in _LETTERS or not letter.isalnum():
        return f"\\{letter}"
    return None  # \b, \A, a back reference, \p


def _plain_class(text: str) -> str | None:
    made = text
    for letter, plain in _CLASSES.items():
        made = re.sub(rf"(?<!\\)((?:\\\\)*)\\{letter}", lambda found, plain=plain: found[1] + plain, made)  # type: ignore[misc]
    return None if re.search(r"(?<!\\)(?:\\\\)*\\[A-Zbp1-9]", made) else made
