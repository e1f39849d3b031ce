"""Tokens and money."""

import copy
import json
import pickle

import pytest

from qwennb.answer import Cost, Usage, money


def test_a_cost_is_a_number_that_knows_where_it_comes_from():
    cost = Cost(0.0012, "table")
    assert cost == 0.0012
    assert cost + 1 == 1.0012
    assert type(cost + cost) is float
    assert sum([Cost(0.1, "server"), Cost(0.2, "server")]) == pytest.approx(0.3)
    assert max(cost, Cost(1, "server")).source == "server"
    assert json.dumps(cost) == "0.0012"
    assert f"{cost:.2f}" == "0.00"
    assert cost.estimated
    assert not Cost(1, "server").estimated
    assert not Cost(0, "local")


def test_a_cost_is_shown_as_money_and_an_estimate_says_so():
    assert str(Cost(1.4, "table")) == f"{Cost(1.4, 'table')}" == "≈ $1.40"
    assert str(Cost(1.4, "server")) == "$1.40"
    assert str(Cost(0, "local")) == "$0.00"
    assert repr(Cost(0.5, "table")) == "Cost(0.5, 'table')"


def test_a_cost_keeps_its_source_through_pickle_and_copy():
    cost = Cost(0.5, "table")
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(cost, protocol))
        assert (again, type(again), again.source) == (0.5, Cost, "table")
    for again in (copy.copy(cost), copy.deepcopy(cost)):
        assert (again, again.source) == (0.5, "table")


@pytest.mark.parametrize(
    ("dollars", "shown"),
    [
        (None, "price unknown"),
        (0, "$0.00"),
        (0.0012, "$0.0012"),
        (0.5, "$0.50"),
        (0.05, "$0.05"),
        (0.123456789, "$0.123457"),
        (0.000001, "$0.000001"),
        (0.0000006, "$0.000001"),
        (0.0000004, "under $0.000001"),
        (0.9999999, "$1.00"),
        (1, "$1.00"),
        (12.345, "$12.35"),
        (1234.5, "$1234.50"),
    ],
)
def test_money_is_written_as_people_read_it(dollars, shown):
    assert money(dollars) == shown
    if dollars is not None:
        assert money(dollars, estimated=True) == f"≈ {shown}"


def test_usages_add_up_and_an_estimate_makes_the_sum_one():
    one, other = Usage(1, 2, 3, 4, 5, 6, 7), Usage(10, 20, 30, 40, 50, 60, 70, estimated=True)
    assert one + other == Usage(11, 22, 33, 44, 55, 66, 77, estimated=True)
    assert (one + one).estimated is False
    assert (one + other).total == 33


def test_a_usage_is_remembered_whole():
    for usage in (Usage(), Usage(1, 2, 3, 4, 5, 6, 7, True), Usage(output=3)):
        assert Usage.from_json(json.loads(json.dumps(usage.to_json()))) == usage
