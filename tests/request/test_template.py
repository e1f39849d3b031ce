"""The `{{ name }}` template: what is a hole, what is text, and what is said when a name is wrong."""

import contextlib
import json
import re
import warnings
from dataclasses import dataclass

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from qwennb.errors import BadInput, TemplateError
from qwennb.request import Hole, Template, Text, user_message

SOUP = [
    r"\frac{1}{2} + \sqrt{x_{i}}",
    r"\begin{cases} {a} \\ {b} \end{cases}",
    '{"a": {"b": {"c": [1, {"d": {}}]}}}',
    'f"{x:>{width}}" and f"{x!r}"',
    "${HOME} {0} {} {%s} %(x)s {#if} { {1} } }} }}}",
    "{% raw %} { { }} }}} { {x} }",
    "int main() { if (x) { return 1; } }",
    "",
    "{",
    "}}",
]
WRONG = {
    "{{ w col }}": "`{{ w col }}` is no name; an odd name is written {{ `w col` }}.",
    "{{ a-b }}": "`{{ a-b }}` is an expression; outside a cell only names are filled in. Compute it first and pass it by "
    "name; an odd name is written {{ `a-b` }}.",
    "{{ v|upper }}": "is an expression",
    "{{ v[0] }}": "is an expression",
    "{{ f() }}": "is an expression",
    "{{ a. }}": "is no name; an odd name is written {{ `a.` }}",
    "{{ .a }}": "is no name",
    "{{ a..b }}": "is no name",
    "{{ v:.2f }}": "is no name; an odd name is written {{ `v:.2f` }}",
    "{{ 2024 }}": "is no name; an odd name is written {{ `2024` }}",
    "{{1}}": "is no name; an odd name is written {{ `1` }}",
    "{{ 2 + 2 }}": "is an expression",
    "{{ color: 'red' }}": "is no name",
    "{{ $x }}": "is no name",
    "{{#if x}}": "is no name",
    "{{ }}": "`{{ }}` names nothing.",
    "{{}}": "`{{}}` names nothing.",
    "{{\n}}": "begins with two braces, and no name follows",
    "{{ `` }}": "`{{ `` }}` is no name. To",
    "{{ a\nb }}": "begins with two braces, and no name follows",
    "{{": "begins with two braces, and no name follows",
    "{{ a": "begins with two braces",
    "{{ a }": "begins with two braces",
    "{{ 'a": "begins with two braces",
    "{{{{ v }}}}": "begins with two braces",
    "{{{}}}": "begins with two braces",
}
braces = st.text(st.sampled_from("{}{}{} ab.1`\"'\n\\é"), max_size=30)
anything = st.text(max_size=30)


def filled(text, values):
    return "".join(map(str, Template.of(text, values).fill(values)))


@pytest.mark.parametrize("text", SOUP)
def test_text_without_a_hole_comes_out_byte_for_byte(text):
    assert filled(text, {}) == text
    assert Template.of(text).holes == ()


@pytest.mark.parametrize("around", ["", "{{ v }} and ", 'two: {{ "{{" }} '])
@pytest.mark.parametrize("text", WRONG)
def test_two_braces_that_begin_no_name_are_an_error_that_shows_what_to_type(text, around):
    """Alone, and beside a hole that is one."""
    with pytest.raises(TemplateError) as caught:
        Template.of(around + text + " more")
    assert WRONG[text] in str(caught.value) and str(caught.value).endswith(
        'To send two braces as text, write {{ "{{" }}.'
    )
    assert len(str(caught.value)) < 260


def test_what_is_data_is_no_template():
    for text in [*SOUP, *WRONG, "{{ v }}", '{{ "{{" }}']:
        assert user_message(Text(text)).text == text


@given(anything | braces)
@settings(deadline=None)
def test_any_text_that_holds_no_doubled_brace_is_one_literal_piece(text):
    assume("{{" not in text)
    for cut in (Template.of(text), Template.of_expressions(text)):
        assert cut.pieces == ((text,) if text else ())


@given(
    st.recursive(
        st.none() | st.integers() | st.text(max_size=4),
        lambda i: st.lists(i, max_size=3) | st.dictionaries(st.text(max_size=3), i, max_size=3),
        max_leaves=8,
    )
)
@settings(deadline=None)
def test_json_comes_out_byte_for_byte(value):
    for indent in (None, 2):
        text = json.dumps(value, indent=indent, ensure_ascii=False)
        assume("{{" not in text)
        assert filled(text, {}) == text
        assert Template.of_expressions(text).pieces == (text,)


QUOTED = re.compile(r"\{\{\s*[\"']")


@given(braces)
@example("{{''}}")
@example("{{'{'}}")
@example("a{{ '' }}b")
@settings(max_examples=120, deadline=None)
def test_literals_and_holes_together_are_the_text(text):
    """Whatever the soup, if it is no error: put back as typed, the pieces are what was cut."""
    try:
        template = Template.of(text)
    except TemplateError:
        return
    position = 0
    for piece in template.pieces:
        if isinstance(piece, Hole):
            hole = re.compile(r"\{\{\s*" + "".join(r"`?" + re.escape(c) for c in piece.source) + r"`?\s*\}\}")
            found = hole.match(text, position)
            assert found, (text, piece)
            position = found.end()
        elif text.startswith(piece, position):
            position += len(piece)
        else:  # the one other thing that is taken out: a quoted text
            assert QUOTED.search(text)
            return
    assert position == len(text) or QUOTED.search(text), "nothing is left but of a quoted text"


@given(
    st.dictionaries(st.sampled_from("abcd"), braces | anything | st.just("{{ a }}{{ b }}"), min_size=4),
    braces,
)
@settings(max_examples=120, deadline=None)
def test_what_is_inserted_is_never_expanded_again(values, around):
    around = around.replace("{", "(").replace("}", ")")
    text = around.join(["", "{{ a }}", "{{b}}", "{{ c }}{{ d }}", ""])
    a, b, c, d = (values[name] for name in "abcd")
    assert filled(text, values) == around.join(["", a, b, c + d, ""])


def test_a_hole_that_two_values_make_together_is_text():
    assert filled("{{ a }}{{ b }}", {"a": "{{ ", "b": "c }}", "c": "never"}.copy() | {}) == "{{ c }}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ x }}", "1"),
        ("{{x}}", "1"),
        ("{{\n  x\n}}", "1"),
        ("{{{ x }}}", "{1}"),
        ('{{ "{{" }}{{ x }}}}', "{{1}}"),
        (r"\frac{{{ x }}}{2}", r"\frac{1}{2}"),
        ('{"a": {{ x }}}', '{"a": 1}'),
        ("{{ s.city }}, {{ s.at.zip }}", "Rome, 00100"),
        ("{{ o.city }}", "Oslo"),
        ("{{ `odd name` }}!", "odd!"),
        ("{{ `a.b` }}", "dotted"),
        ("{{ `odd struct`.city }}", "Lima"),
        ("{{ größe }}", "9"),
        ('{{ "{{" }} and {{ "}}" }}', "{{ and }}"),
        ("{{ '{{ x }}' }}", "{{ x }}"),
        ('{{ "{{ x }}" }}', "{{ x }}"),
    ],
)
def test_a_hole_is_filled(text, expected):
    @dataclass
    class Place:
        city: str

    values = {
        "x": 1,
        "s": {"city": "Rome", "at": {"zip": "00100"}},
        "o": Place("Oslo"),
        "odd name": "odd",
        "a.b": "dotted",
        "odd struct": {"city": "Lima"},
        "größe": 9,
    }
    assert filled(text, values) == expected


def test_holes_are_told_in_order_with_repeats():
    template = Template.of("{{ b }} {{ a.x }} {{ `c d`.e }} {{ b }}")
    assert [(h.name, h.path, h.source) for h in template.holes] == [
        ("b", ("b",), "b"),
        ("a", ("a", "x"), "a.x"),
        ("c d", ("c d", "e"), "c d.e"),
        ("b", ("b",), "b"),
    ]


def test_values_come_out_as_they_are():
    frame = object()
    assert Template.of("a {{ f }} b").fill({"f": frame}) == ("a ", frame, " b")


# ------------------------------------------------------------------ what goes wrong


def test_an_unknown_name_names_the_nearest():
    with pytest.raises(
        TemplateError,
        match=r"^The template names `revew`, and there is no `revew`; did you mean `review`\? To send two braces as text, write \{\{ \"\{\{\" \}\}\.$",
    ):
        Template.of("{{ revew }}").fill({"review": 1, "other": 2})


def test_an_unknown_name_that_is_near_nothing_tells_what_there_is():
    with pytest.raises(TemplateError, match=r"there is no `x`; given: `review`, `other`\. To send"):
        Template.of("{{ x }}").fill({"review": 1, "other": 2})
    with pytest.raises(TemplateError, match=r"there is no `x`; given: nothing\."):
        Template.of("{{ x }}").fill({})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{{ s.cty }}", r"names `s\.cty`, and `s` has no `cty`; did you mean `city`\?"),
        ("{{ s.at.q }}", r"and `s\.at` has no `q`\."),
        ("{{ s.city.uper }}", r"and `s\.city` has no `uper`; did you mean `upper`\?"),
        ("{{ n.x }}", r"and `n` has no `x`\."),
    ],
)
def test_an_unknown_field_names_the_nearest(text, told):
    with pytest.raises(TemplateError, match=told):
        Template.of(text).fill({"s": {"city": "Rome", "at": {1: 2, None: 3}}, "n": None})


@pytest.mark.parametrize("path", ["__class__", "__class__.__init__.__globals__", "_secret"])
def test_a_template_can_not_walk_into_what_python_keeps_to_itself(path):
    class Thing:
        _secret = "hidden"

    with pytest.raises(TemplateError, match="has no `_"):
        Template.of(f"{{{{ t.{path} }}}}").fill({"t": Thing()})
    assert Template.of("{{ d._id }}").fill({"d": {"_id": 5}}) == (5,)


@pytest.mark.parametrize(
    "text",
    [
        "{{ price * 2 }}",
        "{{ price*2 }}",
        "{{ f(price) }}",
        "{{ items[price] }}",
        "{{ price:.2f }}",
        "{{ -price }}",
        "{{ price | round }}",
    ],
)
def test_an_expression_with_a_known_name_is_refused_and_not_sent_as_text(text):
    with pytest.raises(
        TemplateError, match=r"is an expression; outside a cell only names are filled in\. Compute it first"
    ):
        Template.of(text, {"price": 3})
    with pytest.raises(TemplateError, match=re.escape(text)):
        Template.of("before " + text, iter(["other", "price"]))


def test_the_guard_looks_at_every_piece_though_the_names_come_from_an_iterator():
    for text in ("{{ b: 1 }} {{ a }}", "{{ a }} {{ b: 1 }} {{ c }}", "{{ a }} {{ b: 1 }}"):
        with pytest.raises(TemplateError, match=r"`\{\{ b: 1 \}\}` is an expression"):
            Template.of(text, iter(["b"]))


def test_a_prompt_says_which_value_is_not_used():
    with pytest.raises(BadInput, match=r"`doc` is given and not used: the prompt has no \{\{ doc \}\}"):
        user_message("Sum up", {"doc": "x"})
    with pytest.raises(BadInput, match="The prompt is int, not text"):
        user_message(5)  # type: ignore[arg-type]


# ------------------------------------------------------------------ cells


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("{{ x }} and {{ y + 1 }}", ["x", "y + 1"]),
        ("{{ {'a': {1: 2}}['a'] }}", ["{'a': {1: 2}}['a']"]),
        ("{{ [d for d in {1, 2}] }}", ["[d for d in {1, 2}]"]),
        ("{{ f'{x}' }}", ["f'{x}'"]),
        ("{{{ x }}}", ["x"]),
        ("{{ df.head(3) }}{{ '}}'.join(a) }}", ["df.head(3)", "'}}'.join(a)"]),
        ("{{\n  call(\n    1,\n    2)\n}}", ["call(\n    1,\n    2)"]),
        ('{"a": {"b": 1}}', []),
        ('{{ "{{" }} {{ x }}', ["x"]),
    ],
)
def test_in_a_cell_a_hole_is_what_compiles_between_double_braces(text, sources):
    template = Template.of_expressions(text)
    assert [hole.source for hole in template.holes] == sources
    if not sources:
        assert template.evaluate(lambda source: 1 / 0) == (text,)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (r"\frac{{1}}{2}", "`{{1}}` begins with a number, not with a name."),
        ("{{}}", "`{{}}` names nothing."),
        ("{{ x }} {{ }}", "`{{ }}` names nothing."),
        ("{{ x }} {{ a b }}", "`{{ a b }}` is no Python expression."),
        ("{{ x = 1 }}", "is no Python expression."),
        ('{{"a": 1}} {{ x }}', "is no Python expression."),
        ("{{ a\n\nb }}", "begins with two braces, and no expression follows that two braces close."),
        ("{{ x }} {{ unclosed", "`{{ unclosed` begins with two braces"),
        ("{{{{ x }}}}", "begins with two braces"),
        ("{{ `a b` }}", "is no Python expression."),
    ],
)
def test_in_a_cell_two_braces_that_begin_no_expression_are_an_error(text, told):
    with pytest.raises(TemplateError) as caught:
        Template.of_expressions(text)
    assert told in str(caught.value) and str(caught.value).endswith(
        'Two braces as text: --raw, or {{ "{{" }}.'
    )


def test_what_a_cell_evaluates_is_never_looked_at_again():
    asked = []

    def evaluate(source):
        asked.append(source)
        return "{{ boom() }}"

    assert Template.of_expressions("a {{ x }} {{ '{{' }} b").evaluate(evaluate) == (
        "a ",
        "{{ boom() }}",
        " {{ b",
    )
    assert asked == ["x"]


def test_odd_text_in_a_cell_gives_no_warning_of_pythons():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Template.of_expressions(r"{{ x + '\d' }}").holes
        with pytest.raises(TemplateError):
            Template.of_expressions(r"{{ '\d' '\frac }}")


@pytest.mark.parametrize(
    "text", ["{{" * 3000, "{{ a " * 2000, "{{ " + "}} " * 3000, "{{ (" * 500 + ")}} " * 500, "{{ '" * 800]
)
def test_a_soup_of_braces_is_cut_in_no_time(text, seconds):
    with seconds(1.0), contextlib.suppress(TemplateError):
        Template.of(text, {"b": 1})
    with seconds(2.0), contextlib.suppress(TemplateError):
        Template.of_expressions(text)


def test_a_message_is_the_filled_template():
    message = user_message("Sum up {{ doc }} in {{ n }} words", {"doc": "{{ n }}", "n": 5})
    assert message.parts == (Text("Sum up {{ n }} in 5 words"),)
