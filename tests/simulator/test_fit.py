"""Invented values fit what was asked for, whatever the seed."""

import re
from random import Random

import jsonschema
import pytest

from qwennb.simulator.fit import find_schema, fit_schema
from qwennb.simulator.pictures import image_tokens, look
from qwennb.simulator.spell import fit_grammar, fit_regex

NODE = {
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]},
            },
            "required": ["name", "next"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/Node",
}
SCHEMAS = [
    {"type": "string", "minLength": 20, "maxLength": 30},
    {"type": "string", "pattern": "^[A-Z]{3}-\\d{2,4}$"},
    {"type": "string", "format": "date-time"},
    {"type": "integer", "exclusiveMinimum": 4, "exclusiveMaximum": 6},
    {"type": "integer", "maximum": -5},
    {"type": "integer", "multipleOf": 7, "minimum": 1},
    {"type": "number", "minimum": 0, "maximum": 1},
    {"type": ["string", "null"]},
    {"enum": ["a", 1, None]},
    {"const": {"a": 1}},
    {"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 3, "uniqueItems": True},
    {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False},
    {"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 2},
    {"type": "object", "required": ["x"], "properties": {"y": {"type": "boolean"}}},
    {
        "allOf": [
            {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
            {"properties": {"b": {"type": "string"}}},
        ]
    },
    {"oneOf": [{"type": "integer"}, {"type": "boolean"}]},
    {
        "anyOf": [{"type": "object", "properties": {"kind": {"const": "a"}}, "required": ["kind"]}],
        "title": "T",
    },
    NODE,
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_a_value_fits_its_schema(schema):
    for seed in range(40):
        jsonschema.validate(fit_schema(schema, Random(seed)), schema)


@pytest.mark.parametrize(
    "pattern", ["yes|no", r"\d{4}-\d{2}", "[^a-y]+", "(a|b)c*?d+", r"(\w)\1", "[a-f0-9]{8}", "x?"]
)
def test_a_text_fits_its_pattern(pattern):
    for seed in range(40):
        assert re.fullmatch(pattern, fit_regex(pattern, Random(seed)))


def test_a_text_fits_its_grammar():
    grammar = r"""
        root ::= "[" item ("," ws item)* "]"   # a list
        item ::= "\"" [a-c]{2,3} "\"" | number
        number ::= "-"? [0-9]+
        ws ::= [ ]
    """
    shape = re.compile(r'\[("[a-c]{2,3}"|-?\d+)(, ("[a-c]{2,3}"|-?\d+))*\]')
    for seed in range(60):
        assert shape.fullmatch(fit_grammar(grammar, Random(seed)))


def test_a_grammar_that_calls_itself_comes_to_an_end():
    assert fit_grammar('root ::= "x" | "(" root ")"', Random(3)).count("(") < 50


@pytest.mark.parametrize(
    "text", ["", "nothing", 'root ::= "a', "root ::= other", 'start ::= "a"', "root ::= *", 'root ::= ("a"']
)
def test_a_bad_grammar_is_a_value_error(text):
    with pytest.raises(ValueError):
        fit_grammar(text, Random(0))


def test_a_schema_is_found_in_a_prompt():
    text = (
        'Use {this}. Schema: {"type": "object", "properties": {"a": {"type": "integer"}}} Example: {"a": 1}'
    )
    assert find_schema(["no {json} here", text])["properties"] == {"a": {"type": "integer"}}
    assert find_schema(["nothing"]) is None


def test_pictures_cost_what_the_formula_says():
    figures = {(512, 512): 258, (1344, 1344): 1766, (1920, 1080): 2042, (8000, 8000): 2502, (40, 40): 66}
    assert {size: image_tokens(*size) for size in figures} == figures
    assert image_tokens(8000, 8000, most=16_777_216) == 16_386


def test_the_size_of_a_picture_is_read_from_its_head():
    pillow = pytest.importorskip("PIL.Image")
    import base64
    import io

    for kind, name in (("PNG", "png"), ("JPEG", "jpeg"), ("GIF", "gif"), ("BMP", "bmp"), ("WEBP", "webp")):
        for lossless in (False, True):
            held = io.BytesIO()
            pillow.new("RGB", (321, 123), (200, 10, 10)).save(
                held, kind, **({"lossless": lossless} if kind == "WEBP" else {})
            )
            seen = look(f"data:image/{name};base64," + base64.b64encode(held.getvalue()).decode())
            assert (seen.format, seen.width, seen.height) == (name, 321, 123)
    assert look("data:image/png;base64,!!") is None
    assert look("photos/cat.png") is None
    assert look("https://example.org/cat.png").by_url
