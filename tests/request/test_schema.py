"""Schemas: what can be given, how it is spelled in the key, and how an answer is held against it."""

import datetime
import decimal
import enum
import json
import subprocess
import sys
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, Optional, Union

import pydantic
import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from qwennb.errors import SchemaError
from qwennb.request import Request, Schema


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Line(BaseModel):
    """One line of an order."""

    what: str = Field(description="the article")
    colour: Optional[Colour] = None  # noqa: UP045


class Order(BaseModel):
    number: int = Field(ge=1)
    lines: list[Line]
    placed: datetime.date
    at: datetime.datetime | None = None
    total: decimal.Decimal
    kind: Literal["rush", "plain"] = "plain"


class Node(BaseModel):
    name: str
    children: list["Node"] = []


@dataclass
class Point:
    """A place."""

    x: float
    y: float = 0.0


class Film(TypedDict):
    title: str
    year: int


class Pair(NamedTuple):
    left: str
    right: int


class Foreign:
    pass


def key(wanted):
    return Request("m", (), schema=Schema.of(wanted)).key


def nodes(value):
    if isinstance(value, dict):
        yield value
        for inner in value.values():
            yield from nodes(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from nodes(inner)


# ------------------------------------------------------------------ what can be given


def test_a_pydantic_class_is_written_out_without_titles_and_references():
    assert Schema.of(Order).json == {
        "properties": {
            "number": {"minimum": 1, "type": "integer"},
            "lines": {
                "items": {
                    "description": "One line of an order.",
                    "properties": {
                        "what": {"description": "the article", "type": "string"},
                        "colour": {
                            "anyOf": [{"enum": ["red", "blue"], "type": "string"}, {"type": "null"}],
                            "default": None,
                        },
                    },
                    "required": ["what"],
                    "type": "object",
                },
                "type": "array",
            },
            "placed": {"format": "date", "type": "string"},
            "at": {"anyOf": [{"format": "date-time", "type": "string"}, {"type": "null"}], "default": None},
            "total": Schema.of(decimal.Decimal).json,
            "kind": {"default": "plain", "enum": ["rush", "plain"], "type": "string"},
        },
        "required": ["number", "lines", "placed", "total"],
        "type": "object",
    }
    assert Schema.of(Order).name == "Order"


def test_a_recursive_class_keeps_its_definition():
    schema = Schema.of(Node)
    assert schema.json["$ref"] == "#/$defs/Node"
    value = {"name": "a", "children": [{"name": "b", "children": [{"name": "c"}]}]}
    read = schema.read(json.dumps(value))
    assert isinstance(read.children[0].children[0], Node)
    with pytest.raises(ValueError, match=r"children\.0"):
        schema.read('{"name": "a", "children": [{"children": []}]}')


@pytest.mark.parametrize(
    ("wanted", "text", "value"),
    [
        (Point, '{"x": 1}', Point(1.0, 0.0)),
        (Film, '{"title": "M", "year": 1931}', {"title": "M", "year": 1931}),
        (Pair, '["a", 1]', Pair("a", 1)),
        (list[int], "[1, 2]", [1, 2]),
        (dict[str, list[Point]], '{"a": [{"x": 0.5}]}', {"a": [Point(0.5)]}),
        (Colour, '"red"', Colour.RED),
        (Literal["a", "b"], '"b"', "b"),
        (int | None, "null", None),
        (Annotated[int, Field(gt=3)], "4", 4),
        (datetime.date, '"2026-11-21"', datetime.date(2026, 11, 21)),
        (decimal.Decimal, '"19.99"', decimal.Decimal("19.99")),
        (decimal.Decimal, "19.99", decimal.Decimal("19.99")),
        (bool, "true", True),
        ("name, age int", '{"name": "A", "age": 3}', {"name": "A", "age": 3}),
        ("on date, tags list[str]?", '{"on": "2026-11-21", "tags": null}', {"on": "2026-11-21", "tags": None}),
        ({"type": "array", "items": {"type": "integer"}}, "[1, 2]", [1, 2]),
        ({"type": "integer"}, str(10**30), 10**30),
        (int, str(10**30), 10**30),
    ],
)  # fmt: skip
def test_an_answer_becomes_the_value_of_the_schema(wanted, text, value):
    read = Schema.of(wanted).read(text)
    assert read == value
    assert type(read) is type(value)


def test_a_schema_line_is_names_with_types_and_what_they_are_about():
    schema = Schema.of("name, age int?, tags list[list[int]]: what, on datetime")
    assert schema.json == {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "age": {"type": ["integer", "null"]},
            "tags": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}, "description": "what"},
            "on": {"type": "string", "format": "date-time"},
        },
        "required": ["name", "tags", "on"],
        "additionalProperties": False,
    }  # fmt: skip


def test_a_schema_of_a_schema_is_that_schema():
    schema = Schema.of("a")
    assert Schema.of(schema) is schema


def test_the_same_class_is_read_only_once(seconds):
    assert Schema.of(Order) is Schema.of(Order)
    with seconds(0.05):
        for _ in range(1000):
            Schema.of(Order)


def test_the_name_of_a_schema_is_one_that_servers_take():
    assert Schema.of({"type": "object", "title": "Rechnung Nr. 5 (été)"}).name == "Rechnung_Nr_5_t"
    assert Schema.of({"type": "object", "title": "订单"}).name == "answer"


# ------------------------------------------------------------------ one spelling


def test_the_key_knows_neither_names_of_classes_nor_their_order():
    def family(first, second, colour):
        shades = enum.Enum(colour, {"A": "a", "B": "b"})
        one = pydantic.create_model(first, shade=(shades, ...), n=(int, ...))
        two = pydantic.create_model(second, shade=(shades, ...))
        return one, two

    a, b = family("Alpha", "Beta", "Hue")
    d, c = family("Zeta", "Eta", "Tint")
    whole = pydantic.create_model("Whole", x=(a, ...), y=(b, ...), z=(a | None, None))
    again = pydantic.create_model("Other", z=(d | None, None), y=(c, ...), x=(d, ...))
    assert key(whole) == key(again)


def test_the_key_knows_no_names_of_recursive_classes():
    def tree(node, leaf, order):
        leaf_made = pydantic.create_model(leaf, up=(list["Tree"], ...), n=(int, ...))  # noqa: F821
        made = pydantic.create_model(
            node,
            **{name: {"left": (list["Tree"], ...), "leaf": (list[leaf_made], ...)}[name] for name in order},  # noqa: F821
        )
        leaf_made.model_rebuild(_types_namespace={"Tree": made})
        made.model_rebuild(_types_namespace={"Tree": made})
        return made

    assert key(tree("Tree", "Leaf", ["left", "leaf"])) == key(tree("Zoo", "Ape", ["leaf", "left"]))
    assert key(tree("Tree", "Leaf", ["left", "leaf"])) != key(tree("Tree", "Leaf", ["left"]))


def test_a_class_and_the_dict_that_pydantic_makes_of_it_share_a_key():
    for wanted in (Order, Node, Line):
        assert key(wanted) == key(wanted.model_json_schema())


def test_the_order_of_a_union_is_as_typed_whatever_came_before():
    def order(wanted):
        return [entry["type"] for entry in Schema.of(wanted).json["anyOf"]]

    assert order(Union[int, str]) == ["integer", "string"]  # noqa: UP007
    assert order(Union[str, int]) == ["string", "integer"]  # noqa: UP007


def test_fields_go_out_in_the_order_they_were_typed():
    assert list(Schema.of("z, a, m").json["properties"]) == ["z", "a", "m"]
    assert list(Schema.of(Order).json["properties"]) == ["number", "lines", "placed", "at", "total", "kind"]


def test_titles_descriptions_and_defaults_of_the_users_own_stay():
    class Rated(BaseModel):
        stars: int = Field(title="How many stars", description="of five", default=3)
        title: str = "T"

    assert Schema.of(Rated).json["properties"] == {
        "stars": {"title": "How many stars", "description": "of five", "default": 3, "type": "integer"},
        "title": {"default": "T", "type": "string"},
    }


def test_what_is_no_schema_is_not_touched():
    schema = {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "required": {"const": {"required": ["b", "a"], "title": "x"}},
        },
        "required": ["title"],
        "default": {"$ref": "#/nowhere", "title": "T"},
        "examples": [{"title": "T", "required": ["z", "y"]}],
    }
    assert Schema.of(schema).json == schema
    assert Schema.of(schema).canonical() == schema


def test_a_discriminated_union_points_to_nothing_that_is_gone():
    class Cat(BaseModel):
        kind: Literal["cat"]

    class Dog(BaseModel):
        kind: Literal["dog"]

    class Home(BaseModel):
        pet: Annotated[Cat | Dog, Field(discriminator="kind")]

    schema = Schema.of(Home)
    assert "$defs" not in schema.text
    assert "discriminator" not in schema.text
    assert isinstance(schema.read('{"pet": {"kind": "dog"}}').pet, Dog)


def test_what_stands_beside_a_reference_holds_together_with_it():
    schema = Schema.of(
        {
            "$ref": "#/$defs/Base",
            "properties": {"b": {"type": "integer"}},
            "required": ["b"],
            "description": "both",
            "$defs": {"Base": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}},
        }
    )
    assert schema.check({"a": "x", "b": 1}) == {"a": "x", "b": 1}
    for lacking in ({"a": "x"}, {"b": 1}, {"a": 1, "b": 1}):
        with pytest.raises(ValueError):
            schema.check(lacking)


@pytest.mark.parametrize(
    "word", ["items", "additionalProperties", "unevaluatedProperties", "not", "if", "contains"]
)
def test_references_are_written_out_wherever_a_schema_may_stand(word):
    schema = Schema.of({word: {"$ref": "#/$defs/a~1b"}, "$defs": {"a/b": {"type": "string"}}})
    assert schema.json == {word: {"type": "string"}}


def test_definitions_of_the_old_spelling_are_found():
    assert Schema.of({"$ref": "#/definitions/A", "definitions": {"A": {"type": "string"}}}).json == {
        "type": "string"
    }


def test_a_schema_read_from_its_canonical_form_is_spelled_the_same():
    for wanted in (Order, Node, Line, "a, b list[int]?: c", Point):
        canonical = Schema.of(wanted).canonical()
        assert Schema.of(canonical).canonical() == canonical


# ------------------------------------------------------------------ what can't be expressed


class Handler(BaseModel):
    on_change: Callable[[int], int]


@dataclass
class Holds:
    thing: "Foreign"


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        (Handler, r"^`Handler` can't be expressed as JSON Schema: it holds a function\. Give a pydantic class"),
        (Foreign, r"^`Foreign` can't be expressed as JSON Schema: pydantic can't describe the class `Foreign`\. Give"),
        (Holds, r"^`Holds` can't be expressed as JSON Schema: pydantic can't describe the class `Foreign`\. Give"),
        (Foreign(), r"^`Foreign` can't be expressed as JSON Schema: it is not a type\."),
        (["name", "age"], r"^`\['name', 'age'\]` can't be expressed as JSON Schema: it is not a type\."),
        (5, r"^`5` can't be expressed as JSON Schema: it is not a type\."),
        (lambda x: x, r"^`<lambda>` is a function, and a schema is a type\."),
        ({}, "is empty; it would accept anything"),
        ({"type": "strin"}, "is not a JSON Schema: 'strin' is not valid"),
        ({"type": "string", "pattern": "("}, "is not a JSON Schema"),
        ({"enum": {1, 2}}, "can't be sent.*set is not JSON"),
        ({"const": float("nan")}, "can't be sent.*nan"),
        ({1: 2}, "can't be sent.*the name 1 is not text"),
        ({"$ref": "#/$defs/Gone"}, r"points to '#/\$defs/Gone', which is not in it\. Put it under"),
        ({"properties": {"a": {"$ref": "#/properties/b"}, "b": {}}}, "points to '#/properties/b'"),
        ({"items": {"$ref": "https://example.org/schema.json"}}, "points to 'https://example.org/schema.json'"),
        ({"items": {"$dynamicRef": "https://example.org/x"}}, r"uses \$dynamicRef"),
        ("name, age integr", r"`integr` is not a type of a schema line \(`name, age integr`\); did you mean `integer`\?"),
        ("name qq", r"`qq` is not a type .*; use str, int, float"),
        ("name, , b", "`` can't be read in the schema line"),
        ("two words here", "`two words here` can't be read in the schema line"),
        ("a, a int", "`a` stands twice in the schema line"),
        ("", "can't be read in the schema line"),
    ],
)  # fmt: skip
def test_what_can_not_be_expressed_is_told_in_one_clear_sentence(wanted, told):
    with pytest.raises(SchemaError, match=told) as caught:
        Schema.of(wanted)
    words = str(caught.value)
    assert "\n" not in words
    assert " at 0x" not in words
    assert "arbitrary_types_allowed" not in words
    assert len(words) < 400


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="pydantic reads typing.TypedDict from Python 3.12 on")
def test_a_typed_dict_of_the_standard_librarys_is_refused_with_the_one_to_take():
    with pytest.raises(
        SchemaError, match=r"`Old` can't be expressed .*use `typing_extensions\.TypedDict` instead"
    ):
        Schema.of(typing.TypedDict("Old", {"a": int}))


def test_a_schema_that_doubles_at_every_level_is_refused_and_not_written_out(seconds):
    definitions = {f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(40)}
    with seconds(2.0), pytest.raises(SchemaError, match="over 20,000 parts"):
        Schema.of({"$ref": "#/$defs/d0", "$defs": {**definitions, "d40": {"type": "string"}}})


def test_a_schema_nested_without_end_is_refused():
    deep: dict[str, Any] = {"type": "string"}
    for _ in range(3000):
        deep = {"items": deep}
    with pytest.raises(SchemaError, match="too deeply"):
        Schema.of(deep)


# ------------------------------------------------------------------ holding an answer against it


@pytest.mark.parametrize(
    ("wanted", "text", "told"),
    [
        (Order, '{"number": "5"}', "number: '5' is not of type 'integer'"),
        (Line, "{}", "'what' is a required property"),
        (Line, '{"what": "x", "colour": "green"}', "colour: 'green' is not valid"),
        (datetime.date, '"yesterday"', "'yesterday' is not a 'date'"),
        ("on date", '{"on": "2026-13-01"}', "on: '2026-13-01' is not a 'date'"),
        ("on datetime", '{"on": "noon"}', "on: 'noon' is not a 'date-time'"),
        ("a int", '{"a": 1, "b": 2}', "'b' was unexpected"),
        ("a bool", '{"a": 1}', "a: 1 is not of type 'boolean'"),
        ("a int", '{"a": true}', "a: True is not of type 'integer'"),
        ("a int", '{"a": 1, "a": 2}', "stands twice"),
        ("a int", "[]", r"\[\] is not of type 'object'"),
        ("a", "plain words", "this is not JSON"),
    ],
)  # fmt: skip
def test_an_answer_that_does_not_fit_is_told_in_words_for_the_model(wanted, text, told):
    with pytest.raises(ValueError, match=told):
        Schema.of(wanted).read(text)


def test_a_validator_of_the_classs_own_has_the_last_word():
    class Even(BaseModel):
        n: int

        @pydantic.field_validator("n")
        @classmethod
        def even(cls, n):
            if n % 2:
                raise ValueError("must be even")
            return n

    assert Schema.of(Even).read('{"n": 2}') == Even(n=2)
    with pytest.raises(ValueError, match="n: Value error, must be even"):
        Schema.of(Even).read('{"n": 3}')


def test_many_problems_are_told_as_five_and_a_long_one_is_cut():
    with pytest.raises(ValueError) as caught:
        Schema.of(list[int]).check(["x" * 5000] * 1000)
    assert str(caught.value).count(";") == 4
    assert len(str(caught.value)) < 2000


def test_an_answer_nested_without_end_is_no_crash():
    deep = '{"name":"a","children":[' * 150 + "]}" * 150
    with pytest.raises(ValueError):
        Schema.of(Node).read(deep + "x")
    endless = Schema.of(
        {"$ref": "#/$defs/L", "$defs": {"L": {"type": "array", "items": {"$ref": "#/$defs/L"}}}}
    )
    with pytest.raises(ValueError, match="too deeply"):
        endless.read("[" * 900 + "]" * 900)


@pytest.mark.slow
def test_reading_a_schema_opens_no_socket_and_answers_hold_no_remote_reference():
    program = (
        "import sys\n"
        "def hook(event, args):\n"
        "    if event.startswith(('socket.', 'urllib.')): raise SystemExit('touched the network: ' + event)\n"
        "sys.addaudithook(hook)\n"
        "from qwennb.request import Schema\n"
        "from qwennb.errors import SchemaError\n"
        "s = Schema.of({'$schema': 'https://example.org/meta', '$id': 'https://example.org/a', 'type': 'object'})\n"
        "assert s.check({}) == {}\n"
        "for bad in ({'$ref': 'https://example.org/a'}, {'$dynamicRef': 'https://example.org/a'}):\n"
        "    try: Schema.of(bad).check({})\n"
        "    except SchemaError: pass\n"
        "    else: raise SystemExit('taken')\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
