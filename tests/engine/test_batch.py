"""A batch is paid for once, wherever the process dies; every answer is kept; what failed says why."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from dataclasses import replace

import pytest

from qwennb.answer import Answer
from qwennb.cache import BatchOrders, Name
from qwennb.client import Options
from qwennb.endpoints import Batches, BatchTerms, batch_terms
from qwennb.engine import BatchRun
from qwennb.errors import (
    BadInput,
    BudgetExceeded,
    Incomplete,
    InvalidAnswer,
    KeyRefused,
    RequestRefused,
    Stopped,
    TimedOut,
    Unreachable,
    WindowExceeded,
)
from qwennb.simulator import Options as Switches

KEYS = 12


class Died(BaseException):
    """The process is gone, as far as the code under test can tell."""


class Dying(Batches):
    """Dies before or after a call of the endpoint, or after so many lines."""

    def __init__(self, endpoint, call="", *, after=False, lines=None):
        super().__init__(endpoint)
        self.call, self.after, self.most = call, after, lines
        self.seen = Counter()

    async def _do(self, name, work):
        self.seen[name] += 1
        if name == self.call and not self.after:
            work.close()
            raise Died
        made = await work
        if name == self.call:
            raise Died
        return made

    async def upload(self, file):
        return await self._do("upload", super().upload(file))

    async def create(self, *order):
        return await self._do("create", super().create(*order))

    async def get(self, batch):
        return await self._do("get", super().get(batch))

    async def delete(self, file):
        return await self._do("delete", super().delete(file))

    async def lines(self, file):
        async for count, line in _counted(super().lines(file)):
            if count == self.most:
                raise Died
            yield line


async def _counted(lines):
    count = 0
    async for line in lines:
        yield count, line
        count += 1


class Bench:
    """A client of a simulator, and runs of the same questions."""

    def __init__(self, qwen, sim, **options):
        self.qwen, self.sim = qwen, sim
        self.context = replace(qwen.session.call_context(Options(**options), direct=True))
        self.orders = BatchOrders(qwen.session.config.cache_dir)
        self.notes = []

    def question(self, number, **options):
        return self.qwen.session.build_request(
            "Say {{ n }}", {"n": number}, Options(**{"thinking": False, "max_tokens": 50, **options})
        )

    def run(self, questions=None, *, batches=None, terms=None, **settings):
        """The outcomes of *questions* (numbers, or requests), by key."""
        return asyncio.run(self.begun(questions, batches=batches, terms=terms, **settings))

    async def begun(self, questions=None, *, batches=None, terms=None, **settings):
        asked = [
            q if not isinstance(q, int) else self.question(q)
            for q in (range(KEYS) if questions is None else questions)
        ]
        by_key = {request.key: request for request in asked}
        missing = [key for key in by_key if self.kept(key) is None or self.context.mode == "refresh"]
        outcomes = {}
        self.last = BatchRun(
            self.context,
            self.orders,
            asked[0].model,
            by_key.__getitem__,
            outcomes.__setitem__,
            batches=batches or Batches(self.context.endpoint),
            terms=terms,
            tell=self.notes.append,
            wait=lambda look: 0.01,
            **settings,
        )
        if missing:
            await self.last.run(missing)
        return outcomes

    def kept(self, key):
        return self.context.memory.store.get(Name(key, self.context.endpoint.identity("qwen3.5-flash")))

    @property
    def made(self):
        """How many batches were made at the endpoint."""
        return sum(
            e.path.endswith("/batches") and e.method == "POST" and e.status == 200
            for e in self.sim.ledger.entries()
        )

    @property
    def uploaded(self):
        return [e for e in self.sim.ledger.entries("/files") if e.method == "POST"]


@pytest.fixture
def bench(simulate, client):
    def make(*, switches=None, options=None, **settings) -> Bench:
        sim = simulate("dashscope", options=switches or Switches(batch_polls=2), **settings)
        return Bench(client(sim), sim, **(options or {}))

    return make


# ---------------------------------------------------------------------- what comes back


@pytest.mark.parametrize("reverse", [False, True])
def test_every_question_is_answered_once_and_kept_under_its_own_key(bench, reverse):
    one = bench(switches=Switches(batch_reversed=reverse))
    outcomes = one.run()
    assert len(outcomes) == KEYS == one.sim.ledger.count("paid") and one.made == 1
    for number in range(KEYS):
        key = one.question(number).key
        assert outcomes[key].text.endswith(f"Say {number}") and outcomes[key].endpoint == "dashscope-intl"
        assert one.kept(key) is not None
        recalled = one.context.memory.recall(one.question(number), "dashscope-intl", "on")
        assert recalled.text == outcomes[key].text and recalled.cost == outcomes[key].cost
    assert not one.orders.under_way()
    assert one.run() == {} and one.made == 1


def test_an_answer_costs_half_and_the_ledger_says_so(bench):
    one = bench()
    live = one.qwen.ask(one.question(99))
    answer = one.run([0])[one.question(0).key]
    assert answer.usage.input == live.usage.input and answer.usage.output == live.usage.output
    assert float(answer.cost) == pytest.approx(float(live.cost) / 2) and answer.cost.source == "table"
    one.qwen.session.runtime().settle(one.qwen.session.config.cache_dir)
    assert sum(row.cost for row in one.context.memory.spendings.rows()) == pytest.approx(
        float(answer.cost) * 3
    )


def test_questions_are_split_by_lines_and_by_bytes(bench):
    one = bench()
    terms = batch_terms(one.context.endpoint)
    assert len(one.run(range(7), terms=replace(terms, lines=3))) == 7
    assert one.made == 3
    size = 260
    assert len(one.run(range(100, 107), terms=replace(terms, file_bytes=2 * size))) == 7
    assert one.made == 3 + 4 and not one.sim.ledger.duplicates


def test_a_question_too_long_for_a_batch_is_refused_alone(bench):
    one = bench()
    terms = replace(batch_terms(one.context.endpoint), line_bytes=5_000, max_input=300)
    long, longer = one.question("word " * 800), one.question("x" * 6_000)
    outcomes = one.run([1, long, longer, 2], terms=terms)
    assert isinstance(outcomes[long.key], WindowExceeded) and isinstance(outcomes[longer.key], RequestRefused)
    assert sum(isinstance(outcome, Answer) for outcome in outcomes.values()) == 2


def test_a_line_that_fails_has_its_error_and_is_asked_again_by_the_next_run(bench):
    one = bench()
    one.sim.fault("400", times=1)
    failed = [outcome for outcome in one.run().values() if not isinstance(outcome, Answer)]
    assert [type(error) for error in failed] == [RequestRefused]
    again = one.run()
    assert len(again) == 1 and isinstance(next(iter(again.values())), Answer)
    assert one.made == 2 and one.sim.ledger.count("paid") == KEYS


def test_what_does_not_fit_its_form_or_was_cut_is_not_kept(bench):
    one = bench()
    choice = one.question(0, choices=["a", "b"], max_tokens=None)
    one.sim.script(["neither of them"])
    assert isinstance(one.run([choice])[choice.key], InvalidAnswer) and one.kept(choice.key) is None
    one.sim.script(None)
    one.sim.fault("length", times=1)
    assert isinstance(one.run([1])[one.question(1).key], Incomplete)
    assert one.kept(one.question(1).key) is None


def test_questions_that_fail_alike_again_are_asked_again_each_time(bench):
    """A batch of the same name that was fetched already is not taken for one that was lost."""
    one = bench()
    one.sim.fault("400", times=2)
    assert all(isinstance(o, RequestRefused) for o in one.run([1]).values())
    assert all(isinstance(o, RequestRefused) for o in one.run([1]).values())
    assert all(isinstance(o, Answer) for o in one.run([1]).values())
    assert one.made == 3


# ---------------------------------------------------------------------- the end of a batch


def test_an_expired_batch_keeps_what_was_answered_and_the_next_run_asks_the_rest(bench):
    one = bench(switches=Switches(batch_answers=5))
    outcomes = one.run()
    assert sum(isinstance(o, Answer) for o in outcomes.values()) == 5
    assert sum(isinstance(o, TimedOut) for o in outcomes.values()) == KEYS - 5
    assert len(one.run()) == KEYS - 5
    assert one.sim.ledger.count("paid") == 10 and not one.sim.ledger.duplicates


@pytest.mark.parametrize("answers", [None, 4])
def test_a_cancelled_batch_keeps_what_was_answered(bench, answers):
    one = bench(switches=Switches(batch_polls=10_000, batch_answers=answers))

    class Cancelling(Batches):
        async def create(self, *order):
            batch = await super().create(*order)
            await self.cancel(batch.id)
            return batch

    outcomes = one.run(batches=Cancelling(one.context.endpoint))
    assert sum(isinstance(o, Answer) for o in outcomes.values()) == (answers or 0)
    assert sum(isinstance(o, Stopped) for o in outcomes.values()) == KEYS - (answers or 0)


def test_what_ended_while_nobody_looked_is_fetched_and_the_rest_asked_at_once(bench):
    """The kernel was gone when the batch expired: one call brings what was answered, and asks for the others."""
    one = bench(switches=Switches(batch_answers=8))
    with pytest.raises(Died):
        one.run(batches=Dying(one.context.endpoint, "get"))
    number = one.orders.under_way()[0].batch
    asyncio.run(_poll_to_the_end(one, number))
    outcomes = one.run()
    assert len(outcomes) == KEYS and not [o for o in outcomes.values() if not isinstance(o, Answer)]
    assert one.made == 2 and not one.sim.ledger.duplicates


async def _poll_to_the_end(one, number):
    batches = Batches(one.context.endpoint)
    while (await batches.get(number)).state == "waiting":
        pass
    await batches.close()


def test_a_batch_that_is_refused_says_why_at_every_row(bench):
    one = bench(switches=Switches(batch_limits=Switches().batch_limits.__class__(lines=2)))
    outcomes = one.run()
    assert len(outcomes) == KEYS
    assert all(isinstance(o, RequestRefused) and "too many lines" in str(o) for o in outcomes.values())
    assert one.sim.ledger.count("paid") == 0


# ---------------------------------------------------------------------- dying


DEATHS = [
    ("upload", False), ("upload", True), ("create", False), ("create", True), ("get", False), ("get", True),
    ("delete", False), ("delete", True),
]  # fmt: skip


@pytest.mark.parametrize(("call", "after"), DEATHS)
def test_wherever_a_run_dies_nothing_is_paid_twice(bench, call, after):
    one = bench()
    with pytest.raises(Died):
        one.run(batches=Dying(one.context.endpoint, call, after=after))
    outcomes = one.run()
    assert all(isinstance(o, Answer) for o in outcomes.values())
    assert all(one.kept(one.question(n).key) is not None for n in range(KEYS))
    assert one.sim.ledger.count("paid") == KEYS and one.made == 1
    assert not one.orders.under_way()
    left = {path.suffix for path in one.orders.folder.iterdir()}
    assert left <= {".json", ""}, "nothing half made is left behind"


def test_a_run_that_dies_while_fetching_pays_nothing_twice_and_counts_nothing_twice(bench):
    one = bench()
    with pytest.raises(Died):
        one.run(batches=Dying(one.context.endpoint, lines=5))
    assert all(isinstance(o, Answer) for o in one.run().values())
    assert one.sim.ledger.count("paid") == KEYS and one.made == 1
    one.qwen.session.runtime().settle(one.qwen.session.config.cache_dir)
    assert sum(row.requests for row in one.context.memory.spendings.rows()) == KEYS


def test_a_batch_is_found_by_its_name_where_the_cache_folder_was_lost(bench, client, tmp_path):
    one = bench()
    with pytest.raises(Died):
        one.run(batches=Dying(one.context.endpoint, "get"))
    elsewhere = Bench(client(one.sim, cache_dir=tmp_path / "another"), one.sim)
    assert len(elsewhere.run()) == KEYS
    assert one.made == 1 and len(one.uploaded) == 1


def test_refresh_takes_no_finished_batch_for_a_fresh_one(bench, client, tmp_path):
    one = bench()
    one.run()
    elsewhere = Bench(client(one.sim, cache_dir=tmp_path / "another"), one.sim, cache="refresh")
    assert len(elsewhere.run()) == KEYS
    assert one.made == 2


def test_refresh_takes_up_its_own_batch(bench):
    one = bench(options={"cache": "refresh"})
    one.run()
    with pytest.raises(Died):
        one.run(batches=Dying(one.context.endpoint, "get"))
    assert len(one.run()) == KEYS and one.made == 2


def test_a_create_whose_reply_is_lost_is_looked_for_before_it_is_repeated(bench):
    one = bench()

    class Lossy(Batches):
        lost = 0

        async def create(self, *order):
            batch = await super().create(*order)
            if not self.lost:
                self.lost += 1
                raise Unreachable("lost on the way")
            return batch

    assert len(one.run(batches=Lossy(one.context.endpoint))) == KEYS
    assert one.made == 1


def test_a_key_that_is_refused_ends_the_run_and_leaves_nothing_behind(bench, client):
    one = bench()
    wrong = Bench(client(one.sim, api_key="sk-wrong"), one.sim)
    with pytest.raises(KeyRefused):
        wrong.run()
    assert not wrong.orders.under_way()
    assert len(one.run()) == KEYS


# ---------------------------------------------------------------------- several at once, and others


def test_two_runs_at_once_hand_in_once(bench):
    one = bench()

    async def both():
        return await asyncio.gather(one.begun(), one.begun(range(KEYS + 3)))

    first, second = asyncio.run(both())
    assert len(first) == KEYS and len(second) == KEYS + 3
    assert all(isinstance(o, Answer) for o in (*first.values(), *second.values()))
    assert one.sim.ledger.count("paid") == KEYS + 3 and not one.sim.ledger.duplicates


def test_what_was_answered_while_the_run_waited_for_its_turn_is_not_ordered_again(bench):
    one = bench()
    asked = one.question(1)
    outcomes = {}

    async def late():
        found = outcomes.__setitem__
        run = BatchRun(one.context, one.orders, asked.model, lambda key: asked, found, wait=lambda look: 0.01)
        claim = one.orders.claim()
        waiting = asyncio.ensure_future(run.run([asked.key]))
        await asyncio.sleep(0)
        await asyncio.to_thread(one.qwen.ask, asked)
        claim.close()
        await waiting

    asyncio.run(late())
    assert outcomes[asked.key].cached and one.made == 0


def test_answers_that_nobody_asks_for_any_more_are_kept_all_the_same(bench):
    one = bench()
    with pytest.raises(Died):
        one.run(batches=Dying(one.context.endpoint, "get"))
    assert len(one.run([3])) == 1
    assert all(one.kept(one.question(n).key) is not None for n in range(KEYS))
    assert not one.orders.under_way()


def test_what_grew_meanwhile_is_handed_in_beside_what_is_under_way(bench):
    one = bench()
    with pytest.raises(Died):
        one.run(batches=Dying(one.context.endpoint, "get"))
    assert len(one.run(range(KEYS + 4))) == KEYS + 4
    assert one.made == 2 and not one.sim.ledger.duplicates


def test_an_endpoint_that_is_away_is_waited_for(bench):
    one = bench()

    class Away(Batches):
        looks = 0

        async def get(self, batch):
            self.looks += 1
            if self.looks in (1, 2, 3):
                raise Unreachable("no network for a while")
            return await super().get(batch)

    assert len(one.run(batches=Away(one.context.endpoint))) == KEYS
    assert any("no network for a while" in note for note in one.notes)


def test_a_batch_of_another_account_is_told_and_not_ordered_anew(bench):
    one = bench()
    with pytest.raises(Died):
        one.run(batches=Dying(one.context.endpoint, "get"))
    order = one.orders.under_way()[0]
    one.orders.write(replace(order, batch="batch_of_another"))
    with pytest.raises(BadInput, match=r"batch_of_another, which holds 12 .* not known .* forget"):
        one.run()
    assert one.made == 1


def test_an_answer_that_can_not_be_kept_leaves_its_batch_to_be_fetched_again(bench):
    one = bench()
    file = one.context.memory.store.folder / "cache.db"
    with closing(sqlite3.connect(file)) as table:  # nothing can be kept from here on
        table.execute("CREATE TRIGGER is_full BEFORE INSERT ON Cache BEGIN SELECT RAISE(ABORT, 'full'); END")
    warned = []
    one.context = replace(one.context, warn=warned.append)
    outcomes = one.run()
    assert all(isinstance(o, Answer) for o in outcomes.values()) and warned
    assert [order.questions for order in one.orders.under_way()] == [KEYS]


# ---------------------------------------------------------------------- money


def test_a_budget_reserves_half_the_bound_and_the_rest_is_told(bench):
    one = bench()
    bound = one.context.endpoint.worst_cost(one.question(0)) / 2
    one = Bench(one.qwen, one.sim, budget=bound * 7.5)
    outcomes = one.run()
    kinds = Counter(type(o) for o in outcomes.values())
    assert kinds == {Answer: 7, BudgetExceeded: KEYS - 7}
    budget = one.context.budgets[0]
    assert budget.spent == pytest.approx(sum(o.cost for o in outcomes.values() if isinstance(o, Answer)))
    assert budget.reserved == 0 and budget.maybe_billed == 0
    assert one.sim.ledger.count("paid") == 7
    assert len(Bench(one.qwen, one.sim, budget=1.0).run()) == KEYS - 7


def test_a_batch_that_goes_on_without_us_stays_in_the_budget(bench):
    one = bench()
    one = Bench(one.qwen, one.sim, budget=1.0)
    with pytest.raises(Died):
        one.run(batches=Dying(one.context.endpoint, "get"))
    bounds = sum(one.context.endpoint.worst_cost(one.question(n)) for n in range(KEYS))
    assert one.context.budgets[0].maybe_billed == pytest.approx(bounds / 2)
    assert one.last.words.startswith("Batch batch_00000000 goes on at dashscope-intl. The same call takes up")
    spent = Bench(one.qwen, one.sim, budget=1e-12)
    assert len(spent.run()) == KEYS, (
        "what was ordered under an earlier budget is fetched whatever this one is"
    )


def test_a_folder_that_can_not_be_written_is_told_before_anything_is_sent(bench):
    one = bench()
    shutil.rmtree(one.orders.folder, ignore_errors=True)
    one.orders.folder.parent.mkdir(exist_ok=True)
    one.orders.folder.write_text("in the way")
    with pytest.raises(Exception, match="not a folder"):
        one.run()
    assert not one.uploaded


def test_terms_are_those_of_the_endpoint_unless_given(bench):
    assert isinstance(batch_terms(bench().context.endpoint), BatchTerms)
