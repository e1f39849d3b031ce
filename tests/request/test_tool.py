"""Tools: what is read from a function, and what is done with the arguments a model gives."""

import asyncio
import datetime
import enum
import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from qwennb.errors import ToolError
from qwennb.request import Request, Tool, ToolCall


class Unit(enum.Enum):
    C = "celsius"
    F = "fahrenheit"


class Place(BaseModel):
    name: str
    country: str = "IT"


def forecast(
    city: str,
    day: datetime.date,
    unit: Unit = Unit.C,
    tags: list[str] | None = None,
    place: Place | None = None,
) -> str:
    """What the weather will be
    in a city.

    More about it, for people.
    """
    return f"{city} {day:%d.%m.} {unit.name} {tags} {place}"


def about(function):
    properties = Tool.of(function).schema["properties"]
    return {name: body.get("description") for name, body in properties.items()}


# ------------------------------------------------------------------ what is read from a function


def test_a_definition_is_read_from_name_hints_and_docstring():
    tool = Tool.of(forecast)
    assert tool.definition() == {
        "type": "function",
        "function": {
            "name": "forecast",
            "description": "What the weather will be in a city.",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string"},
                    "day": {"type": "string", "format": "date"},
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"},
                    "tags": {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}], "default": None},
                    "place": {
                        "anyOf": [
                            {
                                "type": "object",
                                "properties": {"name": {"type": "string"}, "country": {"type": "string", "default": "IT"}},
                                "required": ["name"],
                            },
                            {"type": "null"},
                        ],
                        "default": None,
                    },
                },
                "required": ["city", "day"],
            },
        },
    }  # fmt: skip
    assert Tool.of(tool) is tool


def test_google_docstrings_tell_about_the_arguments():
    def two(a: int, b: str, c: float = 1.0, d: int = 0):
        """Sum up.

        Args:
          a: the first of them,
            and more: of it
          b (str, optional): the second
          c (dict[str, (int)]): odd (type): told
          d:
            below its name

        Returns:
          x: nothing of the arguments
        """

    def four(a: int, b: str):
        """Sum up.
        Args:
            a: one
                and on

                over an empty line
            b: two
        """

    assert about(two) == {
        "a": "the first of them, and more: of it",
        "b": "the second",
        "c": "odd (type): told",
        "d": "below its name",
    }
    assert about(four) == {"a": "one and on over an empty line", "b": "two"}
    assert Tool.of(two).description == Tool.of(four).description == "Sum up."


def test_numpy_docstrings_tell_about_the_arguments():
    def f(a: int, b: str, c: str, d: float = 1.0):
        """
        Sum up.

        Parameters
        ----------
        a : int
            The first,
            at length: so.
        b, c : str
            Two of a kind.

        d : float, optional
            The last.

        Returns
        -------
        a : int
            Not an argument.
        """

    assert about(f) == {
        "a": "The first, at length: so.",
        "b": "Two of a kind.",
        "c": "Two of a kind.",
        "d": "The last.",
    }
    assert Tool.of(f).description == "Sum up."


def test_sphinx_docstrings_tell_about_the_arguments():
    def f(a: int, b: str, c: float = 1.0):
        """Sum up.
        :param a: the first
            over two lines
        :param str b: the second
        :type c: float
        :param dict[str, int] c: the third
        :returns: nothing
        """

    assert about(f) == {"a": "the first over two lines", "b": "the second", "c": "the third"}
    assert Tool.of(f).description == "Sum up."


def test_a_description_of_the_hints_own_comes_before_the_docstrings():
    def f(a: Annotated[int, Field(description="from the hint", ge=1)], b: int):
        """Sum.

        Args:
            a: from the docstring
            b: there
        """

    assert about(f) == {"a": "from the hint", "b": "there"}
    assert Tool.of(f).schema["properties"]["a"]["minimum"] == 1


def test_a_function_without_docstring_or_arguments_is_a_tool():
    def now():
        return 1

    tool = Tool.of(now)
    assert tool.definition() == {
        "type": "function",
        "function": {"name": "now", "parameters": {"type": "object", "properties": {}}},
    }
    assert tool.arguments("") == tool.arguments("{}") == {}


def test_arguments_may_have_names_that_pydantic_keeps_for_itself(recwarn):
    def f(schema: str, model_config: int, copy: bool, json: str = "", _hidden: int = 1, self_: int = 0):
        """Do."""

    tool = Tool.of(f)
    assert list(tool.schema["properties"]) == ["schema", "model_config", "copy", "json", "_hidden", "self_"]
    given = {"schema": "a", "model_config": 1, "copy": True, "json": "b", "_hidden": 3}
    assert tool.arguments('{"schema":"a","model_config":1,"copy":true,"json":"b","_hidden":3}') == given
    assert [
        one for one in recwarn if one.category is not ResourceWarning
    ] == []  # a socket of an earlier test's


def test_a_default_that_json_can_not_carry_is_left_alone(recwarn):
    marker = object()

    def f(a: int = marker, b: str | None = None):  # type: ignore[assignment]
        return a

    tool = Tool.of(f)
    assert tool.schema["properties"]["a"] == {"type": "integer"}
    assert f(**tool.arguments("{}")) is marker
    assert [one for one in recwarn if one.category is not ResourceWarning] == []


# ------------------------------------------------------------------ which functions


def test_async_functions_methods_partials_and_objects_are_tools():
    async def later(x: int) -> int:
        """Later."""
        return x

    class Shop:
        """A shop."""

        def price(self, article: str) -> float:
            """What it costs."""
            return 1.0

        @classmethod
        def open(cls, day: str) -> bool:
            """Whether it is open."""
            return True

        @staticmethod
        def close(day: str) -> bool:
            """Close it."""
            return True

        def __call__(self, what: str) -> str:
            return what

        def __eq__(self, other):  # and so without a hash
            return isinstance(other, Shop)

    shop = Shop()
    tool = Tool.of(later)
    assert inspect.iscoroutinefunction(tool.function)
    assert asyncio.run(tool.function(**tool.arguments('{"x": 3}'))) == 3
    for function, name, argument in (
        (shop.price, "price", "article"),
        (Shop.open, "open", "day"),
        (Shop.close, "close", "day"),
        (shop, "Shop", "what"),
    ):
        tool = Tool.of(function)
        assert (tool.name, list(tool.schema["properties"])) == (name, [argument])
        assert tool.function(**tool.arguments(f'{{"{argument}": "x"}}')) is not None
    assert Tool.of(shop.price).description == "What it costs."


def test_what_a_partial_fixed_is_not_the_models_to_give():
    class Database:
        pass

    def query(database: Database, table: str, limit: int = 10) -> str:
        """Ask the database.

        Args:
            table: which one
        """
        return f"{type(database).__name__} {table} {limit}"

    for bound in (
        functools.partial(query, database=Database()),
        functools.partial(query, Database()),
        functools.partial(functools.partial(query, Database()), limit=10),
    ):
        tool = Tool.of(bound)
        assert tool.name == "query"
        assert tool.description == "Ask the database."
        assert tool.schema["properties"]["table"] == {"type": "string", "description": "which one"}
        assert "database" not in tool.schema["properties"]
        assert bound(**tool.arguments('{"table": "t"}')) == "Database t 10"
        with pytest.raises(ValueError, match="no such argument: database"):
            tool.arguments('{"table": "t", "database": 1}')


def _starred(*cities: str):
    pass


def _keywords(**cities: str):
    pass


def _positional(city: str, /):
    pass


class Foreign:
    def method(self, a: int):
        """M."""


def _foreign(thing: Foreign):
    pass


def _calls(back: Callable[[int], int]):
    pass


def _lost(a: "NoSuchType"):  # noqa: F821
    pass


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (lambda x: x, r"^A lambda can't be a tool: the model knows a tool by its name\. Write it as a def\.$"),
        (_starred, r"^Tool `_starred` takes `\*cities: str`; a model can only give named arguments\. Name each one\.$"),
        (_keywords, r"^Tool `_keywords` takes `\*\*cities: str`; a model"),
        (_positional, r"^Tool `_positional` takes `city: str`; a model"),
        (_foreign, r"^An argument of tool `_foreign` can't be expressed as JSON: pydantic can't describe the class `Foreign`\.$"),
        (_calls, r"^An argument of tool `_calls` can't be expressed as JSON: it holds a function\.$"),
        (_lost, r"^The type hints of tool `_lost` can't be read: name 'NoSuchType' is not defined\.$"),
        (Foreign.method, r"^Tool `method` is a method without its object\. Give `the_object\.method`\.$"),
        (5, r"^5 is not a tool\. Give a function, or a dict"),
        ({"description": "x"}, "needs a name"),
        ({"function": "x"}, "needs a name"),
        ({"name": "f", "parameters": "x"}, "The parameters of tool `f` must be a JSON Schema, as a dict"),
        ({"name": "f", "parameters": {"type": {1, 2}}}, "The parameters of tool `f` can't be sent"),
    ],
)  # fmt: skip
def test_what_can_not_be_a_tool_is_told_in_one_sentence(given, told):
    with pytest.raises(ToolError, match=told):
        Tool.of(given)


def test_a_definition_as_a_dict_is_taken_in_both_spellings():
    body = {
        "name": "f",
        "description": "F.",
        "parameters": {"type": "object", "properties": {"a": {"type": "string"}}},
    }
    assert Tool.of(body) == Tool.of({"type": "function", "function": body})
    assert Tool.of({"name": "f"}).schema == {"type": "object", "properties": {}}
    assert Tool.of(body).arguments('{"b": 1}') == {"b": 1}


# ------------------------------------------------------------------ the arguments that a model gives


def test_arguments_are_checked_and_converted_and_defaults_left_alone():
    given = Tool.of(forecast).arguments(
        '{"city": "Rome", "day": "2026-11-21", "unit": "fahrenheit", "place": {"name": "R"}}'
    )
    assert given == {
        "city": "Rome",
        "day": datetime.date(2026, 11, 21),
        "unit": Unit.F,
        "place": Place(name="R"),
    }
    assert forecast(**given) == "Rome 21.11. F None name='R' country='IT'"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"city": "Rome"}', "^day: Field required$"),
        ('{"city": 5, "day": "2026-11-21"}', "^city: Input should be a valid string$"),
        ('{"city": "Rome", "day": "tomorrow"}', "^day: Input should be a valid date"),
        ('{"city": "Rome", "day": "2026-11-21", "place": {}}', r"^place\.name: Field required$"),
        (
            '{"city": "Rome", "dya": "2026-11-21"}',
            "^no such argument: dya; there are city, day, unit, tags, place$",
        ),
        ('["Rome"]', "^the arguments are not a JSON object$"),
        ('{"city": "Rome", "city": "Oslo"}', "stands twice"),
        ("city=Rome", "this is not JSON"),
        ('{"city": "Rome"', "this is not JSON"),
    ],
)
def test_arguments_that_do_not_fit_are_told_in_words_for_the_model(text, told):
    with pytest.raises(ValueError, match=told):
        Tool.of(forecast).arguments(text)


def test_a_number_without_end_is_an_integer_all_the_same():
    def f(n: int):
        """N."""

    assert Tool.of(f).arguments(f'{{"n": {10**30}}}') == {"n": 10**30}


# ------------------------------------------------------------------ in the key


def test_the_function_itself_takes_no_part_in_the_key():
    def make(result):
        def look(where: str) -> Any:
            """Looks."""
            return result

        return look

    one, other = Tool.of(make(1)), Tool.of(make(2))
    assert one == other
    assert Request("m", (), tools=(one,)).key == Request("m", (), tools=(other,)).key
    changed = make(1)
    changed.__doc__ = "Sees."
    assert Request("m", (), tools=(Tool.of(changed),)).key != Request("m", (), tools=(one,)).key


def test_the_order_in_which_a_definition_lists_what_it_requires_takes_no_part():
    def tool(required, **extra):
        return Tool.of(
            {
                "name": "f",
                "parameters": {
                    "type": "object",
                    "properties": {"a": {}, "b": {}},
                    "required": required,
                    **extra,
                },
            }
        )

    assert Request("m", (), tools=(tool(["a", "b"]),)).key == Request("m", (), tools=(tool(["b", "a"]),)).key
    assert Request("m", (), tools=(tool(["a"]),)).key != Request("m", (), tools=(tool(["b"]),)).key
    nested = {
        "properties": {"a": {"$ref": "#/properties/b/$defs/X"}, "b": {"$defs": {"X": {"type": "string"}}}}
    }
    other = {
        "properties": {"a": {"$ref": "#/properties/b/$defs/X"}, "b": {"$defs": {"X": {"type": "number"}}}}
    }
    assert (
        Request("m", (), tools=(tool([], **nested),)).key != Request("m", (), tools=(tool([], **other),)).key
    )


def test_a_call_is_written_and_read_back():
    call = ToolCall("call_1", "f", '{"a": 1}')
    assert ToolCall.from_json(call.to_json()) == call


def test_the_same_function_is_looked_at_only_once(seconds):
    Tool.of(forecast)
    with seconds(0.1):
        for _ in range(300):
            Tool.of(forecast).arguments('{"city": "R", "day": "2026-11-21"}')


@dataclass
class Unhashable:
    """Compares by value and so has no hash."""

    n: int = 0

    def look(self, a: int) -> int:
        """Looks."""
        return a + self.n


def test_a_method_of_an_object_without_a_hash_is_a_tool():
    tool = Tool.of(Unhashable(2).look)
    assert tool.function(**tool.arguments('{"a": 1}')) == 3
