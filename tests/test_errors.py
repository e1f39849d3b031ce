"""The tree of errors: as its docstring draws it, and each rebuilt from its message alone."""

import copy
import inspect
import pickle
import re

import pytest

from qwennb import errors
from qwennb.errors import EndpointError, QwenError, QwenWarning, RateLimited, TimedOut, nearest

CLASSES = [
    c
    for name, c in inspect.getmembers(errors, inspect.isclass)
    if c.__module__ == "qwennb.errors" and name[0] != "_"
]


def drawn():
    """Parent by class, as the module's docstring draws it."""
    parents, above = {}, {}
    for line in errors.__doc__.splitlines():
        if match := re.match(r"^    ([│├└─ ]*)([A-Z]\w+)(?:  |$)", line):
            depth = len(match[1]) // 4
            above[depth] = match[2]
            parents[match[2]] = above.get(depth - 1)
    return parents


def test_the_tree_in_the_docstring_is_the_real_one():
    real = {c.__name__: next((b.__name__ for b in c.__bases__ if b in CLASSES), None) for c in CLASSES}
    assert drawn() == real
    assert len(real) > 25


def test_every_class_is_exported_and_told():
    assert set(errors.__all__) == {c.__name__ for c in CLASSES} | {
        "code_place",
        "in_words",
        "nearest",
        "show_in_one_line",
        "show_value",
        "user_code",
        "where_raised",
    }
    assert errors.__all__ == sorted(errors.__all__)
    for c in CLASSES:
        assert c.__doc__
        assert c.__doc__.strip().splitlines()[0].endswith(".")


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_is_rebuilt_from_its_message_alone(kind):
    error = kind("Row 3 failed: {{ x }} is 'odd'. Type this.")
    again = type(error)(str(error))
    assert type(again) is kind
    assert str(again) == str(error) == "Row 3 failed: {{ x }} is 'odd'. Type this."
    assert isinstance(again, QwenError | QwenWarning)
    assert str(kind()) == ""
    for same in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert (type(same), str(same), vars(same)) == (kind, str(error), vars(error))


def test_what_an_endpoint_said_travels_with_its_error():
    error = RateLimited(
        "Too fast.", status=429, code="throttled", retry_after=2.5, maybe_billed=True, transient=False
    )
    again = pickle.loads(pickle.dumps(error))
    assert vars(again) == vars(error)
    assert (again.status, again.code, again.retry_after, again.maybe_billed, again.transient) == (
        429,
        "throttled",
        2.5,
        True,
        False,
    )
    plain = RateLimited("Too fast.")
    assert (plain.status, plain.code, plain.retry_after, plain.maybe_billed, plain.transient) == (
        None,
        None,
        None,
        False,
        True,
    )


def test_what_helps_to_ask_again_and_what_every_other_would_meet():
    transient = {c.__name__ for c in CLASSES if issubclass(c, EndpointError) and c("x").transient}
    fatal = {c.__name__ for c in CLASSES if issubclass(c, EndpointError) and c("x").fatal}
    assert transient == {"RateLimited", "ServerFailed", "TimedOut", "Incomplete"}
    assert fatal == {"KeyRefused", "CreditExhausted", "ModelRefused", "Unreachable"}
    assert not TimedOut("x", transient=False).transient
    assert TimedOut("x").transient


def test_bad_input_is_a_value_error_and_a_missing_record_a_lookup_error():
    assert {c.__name__ for c in CLASSES if issubclass(c, ValueError)} == {
        name for name, parent in drawn().items() if "BadInput" in (name, parent)
    }
    assert issubclass(errors.NotRecorded, LookupError)
    assert str(errors.NotRecorded("two words")) == "two words"


@pytest.mark.parametrize(
    ("name", "known", "most", "told"),
    [
        ("modl", ["model", "other"], 1, "; did you mean `model`?"),
        ("modl", ["model", "mode", "other"], 2, "; did you mean `model` or `mode`?"),
        ("zzz", ["model"], 1, ""),
        ("x", [], 1, ""),
        ("price", ["", "stars"], 1, ""),  # nothing is no suggestion
        ("modl", iter(["model"]), 1, "; did you mean `model`?"),
        ("alias", ["logit_bias", "into"], 1, "; did you mean `into`?"),
        ("alias", ["logit_bias", "lane"], 1, ""),
        ("name", ["into", "image", "lane"], 1, "; did you mean `into`?"),
        ("name", ["into", "names"], 1, "; did you mean `names`?"),
        ("retries", ["timeout", "images"], 1, "; did you mean `timeout`?"),
        ("max_retries", ["timeout", "max_pixels"], 1, "; did you mean `timeout`?"),
        ("n", ["sample", "min_p"], 1, "; did you mean `sample`?"),
        ("name", ["sample", "min_p"], 1, ""),  # elsewhere a column's name, and here there is none
        ("colour", ["color", "column"], 1, "; did you mean `color`?"),
        ("Review", ["review"], 1, "; did you mean `review`?"),
    ],
)
def test_the_nearest_name_is_suggested(name, known, most, told):
    assert nearest(name, known, most=most) == told
