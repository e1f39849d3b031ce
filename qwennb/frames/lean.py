"""Which way a model leans when it chooses, and its choice when that is taken away.

A model prefers some labels whatever the text says. How much is read from texts that say nothing, asked in the words of the
column, once for all rows; it is taken from what each row's labels got (Zhao and others, "Calibrate before use", 2021). No
row depends on the others, so a row has the same label in every table. A recorded row is read beside what was recorded with
it; where that is missing, or an endpoint tells no likelihoods, a label is as it was said.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from qwennb.answer import Answer
from qwennb.cache import BriefAnswer, read_brief
from qwennb.errors import QwenError
from qwennb.frames.progress import Tally
from qwennb.frames.prompts import Prompt
from qwennb.request import BLANK_PROMPTS

if TYPE_CHECKING:
    from qwennb.frames.asking import ColumnAsker

SHARPNESS = 2.0
"""What gains are multiplied by to say how sure a choice is. Plain gains say too little: over the seven sets of
tests/benchmarks/verbs the expected calibration error is 0.08 with 1, 0.03 with 2, 0.06 with 2.5."""


NO_MORE = 1e-3  # a gain that is no more than another: log probabilities are kept with four places


def mean_lean(likely: Sequence[Sequence[float]]) -> tuple[float, ...]:
    """Take the mean of the choices' log probabilities over the texts that say nothing."""
    return tuple(sum(column) / len(likely) for column in zip(*likely, strict=True))


def choose(
    choices: Sequence[str], likely: Sequence[float], lean: Sequence[float], said: str
) -> tuple[str, float]:
    """Choose the label that gains most over the *lean*, and say how sure that is, from 0 to 1; *said* where others gain no more."""
    gains = [one - away for one, away in zip(likely, lean, strict=True)]
    most = max(gains)
    best = said if gains[choices.index(said)] > most - NO_MORE else choices[gains.index(most)]
    return best, 1 / sum(math.exp(SHARPNESS * (gain - most)) for gain in gains)


class Lean(NamedTuple):
    """What each label gets for texts that say nothing, and what it took to ask."""

    likely: tuple[float, ...]
    input_tokens: int
    output_tokens: int
    cost: float | None


class Leans:
    """Which way a model leans in one column that chooses among labels, by the endpoint that answered."""

    def __init__(self, asker: ColumnAsker) -> None:
        self._asker = asker
        self._by_endpoint: dict[str, Lean] = {}
        self._read: set[str] = set()
        self._missed: set[str] = set()
        self._blanks = [Prompt(text) for text in BLANK_PROMPTS]
        self._failed: Tally | None = None  # the run in which it could not be found out
        self._failure: QwenError | None = None  # why, until that is told
        self._lock = threading.Lock()

    def find(self) -> None:
        """Read the leans from the cache, where they are recorded."""
        if self._by_endpoint:
            return
        asker, answers = self._asker, dict[str, dict[str, BriefAnswer]]()
        for key, values in asker.look_up(self._blanks).items():
            for value in values:
                with suppress(ValueError):
                    one = read_brief(value)
                    if one.choice_logprobs is not None:
                        answers.setdefault(one.endpoint, {}).setdefault(key, one)
        for endpoint, by_key in answers.items():
            if len(by_key) == len(self._blanks):
                costs = [None if one.cost is None else one.cost[0] for one in by_key.values()]
                self._by_endpoint[endpoint] = _lean(list(by_key.values()), costs)
                asker.session.memory.record_use([(key, endpoint) for key in by_key])

    def list_unknown(self) -> list[Prompt]:
        """The prompts that `ask` would ask."""
        asker = self._asker
        if not asker.context().endpoint.tells_likelihoods(asker.template().sample):
            return []
        known = asker.look_up(self._blanks)
        return [
            prompt
            for prompt, key in zip(self._blanks, asker.keys(self._blanks), strict=True)
            if key not in known
        ]

    @property
    def is_missed(self) -> bool:
        """Whether a recorded row would have been read beside the lean of the endpoint that is asked, and was not."""
        endpoint = self._asker.session.known_endpoint
        return endpoint is not None and endpoint.identity(self._asker.template().model) in self._missed

    def ask(self, tally: Tally) -> bool:
        """Ask which way the model leans, and tell whether that is news; once in a run, where its endpoint tells."""
        asker = self._asker
        context, sample = asker.context(), asker.template().sample
        with self._lock:
            endpoint = context.endpoint.identity(sample.model)
            is_known = endpoint in self._by_endpoint or self._failed is tally
            if is_known or not context.endpoint.tells_likelihoods(sample):
                return False
            came: list[Answer | BaseException] = []
            if tally.trace is not None:
                context = replace(context, trace=tally.trace)

            async def ask_all() -> None:
                asks = (asker.session.ask_engine(asker.build_request(one), context) for one in self._blanks)
                came.extend(await asyncio.gather(*asks, return_exceptions=True))

            asker.wait(ask_all(), tally)
            answers = [one for one in came if isinstance(one, Answer)]
            told = [one for one in answers if one.choice_logprobs is not None]
            costs = [None if one.cost is None else float(one.cost) for one in answers]
            if answers and len(told) == len(self._blanks):
                self._by_endpoint = {**self._by_endpoint, endpoint: _lean(told, costs)}
                self._read.add(endpoint)
                return True
            self._failed = tally
            tally.add_beside(endpoint, *_sum_up(answers, costs))
            self._failure = next((one for one in came if isinstance(one, QwenError)), None)
            return False

    def choose(
        self, answer: Answer | BriefAnswer, said: Any, choices: Sequence[str]
    ) -> tuple[Any, float | None]:
        """Choose the label of *answer* beside the lean, and tell how sure it is; what was *said*, where that is unknown."""
        if answer.choice_logprobs is None:
            return said, None
        lean = self._by_endpoint.get(answer.endpoint)
        (self._missed if lean is None else self._read).add(answer.endpoint)
        if lean is None:
            return said, None
        return choose(choices, answer.choice_logprobs, lean.likely, said)

    def tell(self, tally: Tally) -> None:
        """Warn of labels that were read without a lean that could not be found out, and count what the others took.

        That is the same, whether it was paid now or is recorded.
        """
        if self._failure is not None and self.is_missed:
            self._asker.session.warn(
                f"Which way the model leans could not be found out ({self._failure}), so labels are as it said them. "
                "The same call asks again."
            )
            self._asker.session.emit_warnings()
            self._failure = None
        for endpoint in self._read:
            lean = self._by_endpoint[endpoint]
            tally.add_beside(endpoint, lean.input_tokens, lean.output_tokens, lean.cost)


def _lean(blanks: Sequence[Answer | BriefAnswer], costs: Sequence[float | None]) -> Lean:
    likely = [one.choice_logprobs for one in blanks if one.choice_logprobs is not None]
    return Lean(mean_lean(likely), *_sum_up(blanks, costs))


def _sum_up(
    answers: Sequence[Answer | BriefAnswer], costs: Sequence[float | None]
) -> tuple[int, int, float | None]:
    known = [cost for cost in costs if cost is not None]
    return (
        sum(one.usage.input for one in answers),
        sum(one.usage.output for one in answers),
        sum(known) if len(known) == len(costs) else None,
    )
