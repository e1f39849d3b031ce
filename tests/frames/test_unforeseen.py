"""What nobody foresaw is told all the same: in a class of ours, with its own words, through polars too."""

from __future__ import annotations

import gc
from dataclasses import replace

import polars as pl
import pytest

from qwennb.errors import KeyRefused, QwenError
from qwennb.frames.columns import ask_column
from qwennb.frames.evaluator import Evaluator
from qwennb.frames.exactly_once import Evaluation, EvaluationGroup
from qwennb.frames.form import ColumnForm
from qwennb.frames.progress import Tally
from qwennb.frames.prompts import Prompt

ASK = "Say {{ n }}"
NUMBERS = pl.DataFrame({"n": range(40)})


class Ill(ColumnForm):
    """A form whose column can't be built."""

    error: BaseException

    def series(self, values):
        raise self.error


def ill(error: BaseException) -> ColumnForm:
    form = Ill(pl.String(), lambda text, data: text)
    object.__setattr__(form, "error", error)
    return form


def broken() -> UnicodeDecodeError:
    """An error that no message alone can build again, as polars would have it."""
    return UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")


WORDS = {
    "ExceptionGroup": (ExceptionGroup("several", [LookupError("no such row")]), "no such row"),
    "UnicodeDecodeError": (broken(), "invalid start byte"),
    "polars' own": (pl.exceptions.ShapeError("two heights"), "two heights"),
    "KeyError": (KeyError("Atlantis"), "Atlantis"),
    "SystemExit": (SystemExit("out"), "out"),
}


def evaluator(client, **options) -> Evaluator:
    return Evaluator(ask_column(ASK, {"client": client, **options}))


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
@pytest.mark.parametrize("kind", WORDS)
def test_what_polars_could_not_build_again_keeps_its_words(simulate, client, kind, engine):
    error, words = WORDS[kind]
    ours = evaluator(client(simulate()))
    ours = Evaluator(replace(ours.column, form=ill(error)))
    plan = NUMBERS.lazy().with_columns(
        pl.map_batches(
            [pl.col("n")], lambda columns: ours.batch(columns, ["n"], "answer"), return_dtype=pl.String()
        ).alias("answer")
    )
    with pytest.raises(QwenError, match=words) as told:
        plan.collect(engine=engine)
    assert "column `answer`" in str(told.value) and type(error).__name__ in str(told.value)


class Lost(Tally):
    """Counts nothing: it fails on the loop, beside the questions."""

    def add(self, *outcomes):
        raise self.error


@pytest.mark.parametrize("error", [LookupError("no such tally"), KeyRefused("no such key")])
def test_what_fails_on_the_loop_beside_a_question_is_told_itself_and_not_as_a_group(simulate, client, error):
    asker = evaluator(client(simulate())).find_asker()
    tally = Lost(3, 3, "qwen3.5-flash", progress=False)
    tally.error = error
    prompts = [Prompt(f"Say {n}") for n in range(3)]
    with pytest.raises(type(error), match="no such"):
        asker.outcomes(prompts, EvaluationGroup([Evaluation()]), tally, batches=False)


@pytest.mark.slow
def test_a_column_is_told_nothing_of_one_that_died_before_it(simulate, client):
    """Python gives the number of an object that has died to the next one."""
    sim = simulate()
    sim.fault("400", when=lambda asked: asked.text.endswith("Say 13"))
    qwen, numbers = client(sim), set()
    for _ in range(20):
        ill_fated = evaluator(qwen, on_error="raise", progress=False)
        with pytest.raises(QwenError):
            ill_fated.batch([pl.Series("n", [13])], ["n"], "answer")
        numbers.add(id(ill_fated))
        del ill_fated
        gc.collect()
        lucky = evaluator(qwen, on_error="raise", progress=False)
        assert lucky.batch([pl.Series("n", [7])], ["n"], "answer").len() == 1
        if id(lucky) in numbers:
            return
    pytest.skip("no number came twice")
