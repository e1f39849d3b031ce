"""Who looks sees how far a run is; where nobody looks nothing is shown; what stays is the same in a replay."""

from __future__ import annotations

import io

import polars as pl
import pytest

from qwennb.frames import Progress
from qwennb.frames.outcome import Outcome
from qwennb.frames.progress import Tally
from qwennb.watchers import watchers

TABLE = pl.DataFrame({"n": [0, 1, 2, 2]})


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def clock(*times: float):
    ticking = iter(times)
    return lambda: next(ticking)


@pytest.fixture
def seen():
    progress: list[Progress] = []
    watchers[:] = [progress.append]
    yield progress
    watchers.clear()


def test_a_watcher_is_told_and_the_last_line_is_the_same_again(simulate, client, seen):
    qwen = client(simulate())
    TABLE.qwen.ask("Say {{ n }}", client=qwen)
    live = seen[-1]
    assert live.finished and (live.rows, live.unique, live.done, live.cached, live.failed) == (4, 3, 3, 0, 0)
    TABLE.qwen.ask("Say {{ n }}", client=qwen)
    again = seen[-1]
    assert again.cached == 3 and again.line == live.line
    assert (
        live.line.startswith("qwen3.5-flash · 4 rows, 3 unique · ")
        and " in, " in live.line
        and "$" in live.line
    )


def test_a_call_may_have_a_watcher_of_its_own_or_none(simulate, client, seen):
    qwen, mine = client(simulate()), []
    TABLE.qwen.ask("Say {{ n }}", client=qwen, progress=mine.append)
    assert mine[-1].finished and not seen
    TABLE.qwen.ask("Say {{ n }}", client=qwen, progress=False)
    assert not seen


def test_nothing_is_shown_where_nobody_looks(simulate, client, capfd):
    TABLE.qwen.ask("Say {{ n }}", client=client(simulate()))
    assert capfd.readouterr() == ("", "")


def test_a_terminal_shows_a_bar_and_then_one_line():
    out = Terminal()
    tally = Tally(4, 3, "m", out=out, clock=clock(0, 2, 2, 5, 5))
    tally.add("k", Outcome("k", "x", cost=0.5, input_tokens=10, output_tokens=2))
    tally.show()
    assert "████████░░░░" in out.getvalue() and "1/3" in out.getvalue() and "$0.5" in out.getvalue()
    assert "30 a minute" in out.getvalue() and "4 s left" in out.getvalue()
    tally.show(finished=True)
    assert out.getvalue().endswith("\r\x1b[Km · 4 rows, 3 unique, 2 not asked · 10 in, 2 out · $0.50\n")


def test_a_bar_stays_within_eighty_columns_whatever_there_is_to_say():
    for note in ("", "waits for a batch at dashscope-intl, of which 1,200 of 24,000 are answered so far"):
        out = Terminal()
        tally = Tally(1_234_567, 1_234_567, "m", out=out, clock=clock(0, 4000, 4000))
        tally._done, tally._cached, tally._failed, tally._cost = 234_567, 100_000, 12_345, 1_234.5
        tally.note(note)
        tally.show()
        line = out.getvalue().removeprefix("\r\x1b[K")
        assert len(line) < 80 and "234,567/1,234,567" in line and "$1234.50" in line, line


def test_what_is_over_in_a_moment_draws_no_bar():
    out = Terminal()
    tally = Tally(1, 1, "m", out=out, clock=clock(0, 0.5, 0.5, 0.6, 0.6))
    tally.show()
    tally.show(finished=True)
    assert out.getvalue() == ""


def test_an_unknown_price_is_said_to_be_unknown():
    tally = Tally(1, 1, "m")
    tally.add("k", Outcome("k", "x", cost=None))
    assert "price unknown" in tally.progress().line
