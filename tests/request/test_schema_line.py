"""The schema line, in both spellings: the key of a line that worked before is what it was."""

from __future__ import annotations

import pytest

from qwennb.errors import SchemaError
from qwennb.request import Request, Schema


def key(line: str) -> str:
    return Request("m", (), schema=Schema.of(line)).key


@pytest.mark.parametrize(
    ("line", "same"),
    [
        ("name: str, age: int", "name, age int"),
        ("name : str , age : int", "name str, age int"),
        ("tags: list[str], on: date", "tags list[str], on date"),
        ("age: int?", "age int?"),
        ("age?: int", "age int?"),
        ("age: Optional[int]", "age int?"),
        ("age: int | None", "age int?"),
        ("age int | None", "age int?"),
        ("age: None | int", "age int?"),
        ("at: datetime.datetime", "at datetime"),
        ("name: Str, n: INT, tags: List[str]", "name, n int, tags list[str]"),
        ("x: Union[int, None]", "x int?"),
        ("age: int: in years", "age int: in years"),
        ("age int : in years", "age int: in years"),
    ],
)
def test_a_type_after_a_colon_is_the_type(line, same):
    assert key(line) == key(same)


@pytest.mark.parametrize(
    ("spelling", "made"),
    [
        ("str", {"type": "string"}),
        ("date", {"type": "string", "format": "date"}),
        ("time", {"type": "string", "format": "time"}),
        ("timedelta", {"type": "string", "format": "duration"}),
        ("Decimal", {"anyOf": [{"type": "number"}, {"type": "string"}]}),
        ("list[list[int]]", {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}),
        ("list[Literal['a', 'b']]", {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}}),
        ('Literal["good, or so", "bad"]', {"type": "string", "enum": ["good, or so", "bad"]}),
        ("Literal[1, 2]", {"type": "integer", "enum": [1, 2]}),
        ("dict[str, int]", {"type": "object", "additionalProperties": {"type": "integer"}}),
        ("tuple[int, str]", {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 2, "maxItems": 2}),
        ("tuple[int, ...]", {"type": "array", "items": {"type": "integer"}}),
        ("int | str", {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
        ("Literal['a', None]", {"type": ["string", "null"], "enum": ["a", None]}),
        ("Literal['a']?", {"type": ["string", "null"], "enum": ["a", None]}),
    ],
)  # fmt: skip
def test_types_are_spelled_as_in_python_after_a_space_and_after_a_colon(spelling, made):
    for line in (f"x {spelling}, y", f"x: {spelling}, y: str"):
        schema = Schema.of(line).json
        assert schema["properties"] == {"x": made, "y": {"type": "string"}}
        assert ("x" in schema["required"]) == ("null" not in str(made))


@pytest.mark.parametrize(
    ("line", "about"),
    [
        ("name: who wrote it", "who wrote it"),
        ("name: years", "years"),
        ("name: the person's name", "the person's name"),
        ("name: one of [a; b]", "one of [a; b]"),
        ("name str: date of birth", "date of birth"),
        ("name str: date", "date"),
        ("name: type: what it is", "type: what it is"),
        ("name: yes | no", "yes | no"),
        ("name: text; keep the casing", "text; keep the casing"),
        ("name: date\nof birth", "date\nof birth"),
        ("name: who; when: then", "who; when: then"),
        ("name: x = y", "x = y"),
        ("name: seats[row]", "seats[row]"),
    ],
)
def test_words_after_a_colon_are_a_description(line, about):
    assert Schema.of(line).json["properties"]["name"] == {"type": "string", "description": about}


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("age: integr", "`integr` is not a type.*did you mean `integer`"),
        ("age: list[strng]", "`strng` is not a type.*`string`"),
        ("x dict[int, str]", "is not a type"),
        ("x Literal[]", "can't be read"),
        ("x Literal[good]", "not a type"),
        ("name: str; age: int", "`name: str; age: int` can't be read"),
        ("name: str; age int", "can't be read.*comma"),
        ("name: str; age", "can't be read"),
        ("id: int, name: list[str]; age: int", "can't be read"),
        ("name: str\nage: int", "can't be read"),
        ("name: str = 'x', age: int", "`name: str = 'x'` can't be read"),
        ("on: bool|None=None", "can't be read"),
        ("tags: array[str]", "`array` is not a type"),
        ("tags: Iterable[list[int]]", "`Iterable` is not a type"),
        ("x:", "can't be read"),
        ("x int:", "can't be read"),
        ("x list[int", "can't be read"),
        ("name str, name: int", "stands twice"),
        ("x __import__('os')", "can't be read"),
    ],
)
def test_what_is_no_type_is_refused_in_one_sentence(line, says):
    with pytest.raises(SchemaError, match=says) as caught:
        Schema.of(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("line", "made"),
    [
        ("name, age int", "06a0504327f96df1bbedfbc82979679bb161ff3d207f79b9e53398157f419b1a"),
        (
            "name, age int?, tags list[list[int]]: what, on datetime",
            "f85b151c9d453b5ea6b18b0e68f8277451ce4f1b247d8809e3d6922d1cce3180",
        ),
        (
            "x float?: a [rough, quick] guess, y",
            "f8a65d92dfb6d05524a3f2907e554dd15491e8e72ae29308d64a787066011860",
        ),
        ("note: it's a [thing, n int", "b1accbacea665314625d004e02165b5d17a13fa1cccbebff5f9604088d7d6afb"),
    ],
)
def test_lines_that_worked_in_0_1_keep_their_keys(line, made):
    assert key(line) == made
