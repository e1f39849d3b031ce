"""What an answer costs: tiers of the whole request, dates, regions, and never a made-up figure."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwennb.answer import Usage
from qwennb.catalog import Catalog

catalog = Catalog.load_bundled()
PRICED = [(row.model.name, row.endpoint) for row in catalog.rows() if row.prices]
tokens = st.integers(0, 1_200_000)


def dollars(model: str, endpoint: str, usage: Usage, *, batch: bool = False, on: date | None = None) -> float:
    cost = catalog.cost(model, endpoint, usage, batch=batch, on=on)
    assert cost is not None
    return float(cost)


@pytest.mark.parametrize(
    ("model", "endpoint", "input_tokens", "input_price", "output_price"),
    [
        ("plus", "openrouter", 256_000, 0.30, 1.80),
        ("plus", "openrouter", 256_001, 0.375, 2.25),
        ("qwen3.5-plus-2026-02-15", "openrouter", 256_000, 0.26, 1.56),
        ("qwen3.5-plus-2026-02-15", "openrouter", 256_001, 0.325, 1.95),
        ("flash", "openrouter", 1, 0.065, 0.26),
        ("flash", "openrouter", 900_000, 0.065, 0.26),
        ("9b", "openrouter", 1000, 0.10, 0.15),
        ("27b", "openrouter", 1000, 0.195, 1.56),
        ("35b", "openrouter", 1000, 0.1625, 1.30),
        ("122b", "openrouter", 1000, 0.26, 2.08),
        ("397b", "openrouter", 1000, 0.39, 2.34),
        ("plus", "dashscope", 128_000, 0.8, 4.8),
        ("plus", "dashscope", 128_001, 2.0, 12.0),
        ("plus", "dashscope", 256_001, 4.0, 24.0),
        ("plus", "dashscope-us", 128_001, 2.0, 12.0),
        ("plus", "dashscope-intl", 256_000, 0.40, 2.40),
        ("plus", "dashscope-intl", 256_001, 0.50, 3.00),
        ("flash", "dashscope", 128_000, 0.2, 2.0),
        ("flash", "dashscope", 200_000, 0.8, 8.0),
        ("flash", "dashscope", 300_000, 1.2, 12.0),
        ("flash", "dashscope-intl", 300_000, 0.10, 0.40),
    ],
)
def test_a_request_is_priced_at_the_tier_of_its_input(
    model: str, endpoint: str, input_tokens: int, input_price: float, output_price: float
) -> None:
    price = catalog.price(model, endpoint, input_tokens)

    assert price is not None
    assert (price.input, price.output) == (input_price, output_price)


def test_the_whole_request_is_billed_at_its_tier_and_not_the_part_above() -> None:
    below = dollars("plus", "dashscope-intl", Usage(input=256_000))
    above = dollars("plus", "dashscope-intl", Usage(input=256_001))

    assert below == pytest.approx(256_000 * 0.40 / 1e6)
    assert above == pytest.approx(256_001 * 0.50 / 1e6)


def test_thinking_is_billed_as_output_once() -> None:
    with_thought = dollars("plus", "dashscope-intl", Usage(input=10, output=100, reasoning=90))

    assert with_thought == dollars("plus", "dashscope-intl", Usage(input=10, output=100))


def test_yuan_become_dollars_at_the_dated_rate() -> None:
    cost = catalog.cost("plus", "dashscope", Usage(input=100_000, output=10_000))

    assert cost is not None
    assert float(cost) == pytest.approx((0.1 * 0.8 + 0.01 * 4.8) * 0.13624)
    assert cost.estimated
    assert str(cost).startswith("≈ $")


@pytest.mark.parametrize(
    ("yuan", "dollars_listed"), [(2.936, 0.40), (17.614, 2.40), (3.67, 0.50), (22.018, 3.00)]
)
def test_alibabas_two_price_lists_agree_through_the_rate(yuan: float, dollars_listed: float) -> None:
    price = catalog.price("plus", "dashscope", 1)

    assert price is not None
    assert price.currency == "CNY"
    assert yuan * price.usd == pytest.approx(dollars_listed, rel=1e-3)


def test_cached_input_is_cheaper_and_cache_writing_dearer() -> None:
    plain = dollars("plus", "dashscope-intl", Usage(input=1000))

    assert dollars("plus", "dashscope-intl", Usage(input=1000, cached=1000)) == pytest.approx(plain * 0.2)
    assert dollars("plus", "dashscope-intl", Usage(input=1000, cache_write=1000)) == pytest.approx(
        plain * 1.25
    )


def test_cached_input_without_a_price_of_its_own_counts_in_full() -> None:
    assert dollars("flash", "openrouter", Usage(input=1000, cached=800)) == dollars(
        "flash", "openrouter", Usage(input=1000)
    )


def test_a_batch_costs_half_where_there_are_batches() -> None:
    usage = Usage(input=1000, output=1000)

    assert dollars("flash", "dashscope", usage, batch=True) == pytest.approx(
        dollars("flash", "dashscope", usage) / 2
    )
    assert catalog.cost("flash", "openrouter", usage, batch=True) is None


@pytest.mark.parametrize(
    ("on", "input_price"),
    [(date(2026, 9, 1), 0.195), (date(2026, 10, 18), 0.195), (date(2026, 10, 19), 0.27), (date(2026, 11, 2), 0.27),
     (date(2026, 11, 3), 0.195), (None, 0.195)],
)  # fmt: skip
def test_a_price_is_that_of_the_day(on: date | None, input_price: float) -> None:
    price = catalog.price("27b", "openrouter", 1000, on)

    assert price is not None
    assert price.input == input_price


def test_an_unknown_price_is_none_and_never_zero() -> None:
    for model, endpoint in [
        ("27b", "dashscope"),
        ("qwen3.5-plus-2026-04-20", "dashscope"),
        ("plus", "https://example.org/v1"),
        ("nobody", "openrouter"),
    ]:
        assert catalog.price(model, endpoint, 10) is None
        assert catalog.cost(model, endpoint, Usage(input=10)) is None
        assert catalog.worst_cost(model, endpoint, 10, 10) is None


@pytest.mark.parametrize(
    "endpoint", ["vllm", "sglang", "mlx-vlm", "llama.cpp", "ollama", "lmstudio", "local"]
)
def test_a_server_of_ones_own_costs_nothing(endpoint: str) -> None:
    cost = catalog.cost("whatever-it-is", endpoint, Usage(input=10_000, output=10_000))

    assert cost == 0
    assert cost is not None
    assert cost.source == "local"
    assert not cost.estimated
    assert catalog.worst_cost("whatever-it-is", endpoint, 10, 10) == 0
    price = catalog.price("whatever-it-is", endpoint, 10)
    assert price is not None
    assert price.source == "local"


def test_every_priced_row_carries_its_date_and_source() -> None:
    for row in catalog.rows():
        for price in row.prices:
            assert price.checked
            assert price.source


@given(where=st.sampled_from(PRICED), given_in=tokens, more=tokens, out=tokens, further=tokens)
def test_more_tokens_never_cost_less(
    where: tuple[str, str], given_in: int, more: int, out: int, further: int
) -> None:
    model, endpoint = where
    small = dollars(model, endpoint, Usage(input=given_in, output=out))
    large = dollars(model, endpoint, Usage(input=given_in + more, output=out + further))

    assert 0 <= small <= large


@given(where=st.sampled_from(PRICED), read=tokens, written=tokens, plain=tokens, out=tokens)
def test_the_worst_case_is_never_below_the_cost(
    where: tuple[str, str], read: int, written: int, plain: int, out: int
) -> None:
    model, endpoint = where
    usage = Usage(input=read + written + plain, output=out, cached=read, cache_write=written)
    worst = catalog.worst_cost(model, endpoint, usage.input, usage.output)

    assert worst is not None
    assert 0 <= dollars(model, endpoint, usage) <= worst * (1 + 1e-12)


@given(where=st.sampled_from(PRICED), cached=tokens, out=tokens)
def test_a_server_that_counts_more_cached_than_input_never_makes_the_cost_negative(
    where: tuple[str, str], cached: int, out: int
) -> None:
    assert dollars(*where, Usage(input=1, cached=cached, output=out)) >= 0
