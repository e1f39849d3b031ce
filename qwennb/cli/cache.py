"""`qwennb cache`: what is kept, what was spent, and forgetting on purpose."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from qwennb.answer import money
from qwennb.cache import (
    BatchOrder,
    BatchOrders,
    Memory,
    PrunePlan,
    PruneRule,
    Spending,
    list_kept,
    open_store,
    plan_prune,
    prune,
)
from qwennb.catalog import Catalog
from qwennb.cli.command import Parser
from qwennb.cli.world import World
from qwennb.errors import BadInput, CacheError, nearest
from qwennb.text import amount, plural, shorten, table, wrap

_UNITS = {"h": "hours", "d": "days", "w": "weeks"}
NARROW = 44  # characters of an identity in a table: a local model's has 64 hexadecimal ones
_BY = ("day", "model", "endpoint", "notebook")


@contextmanager
def open_memory(folder: Path) -> Iterator[Memory | None]:
    """Open the memory in *folder*; None where nothing was ever kept, for looking must not make a folder."""
    if not holds_answers(folder):
        yield None
        return
    memory = Memory(open_store(folder))
    try:
        yield memory
    finally:
        memory.close()


def holds_answers(folder: Path) -> bool:
    """Tell whether a store or a ledger lies in *folder*."""
    try:
        return folder.is_dir() and any(path.is_file() for path in folder.iterdir())
    except OSError as error:
        raise CacheError(f"The cache folder {folder} can't be read ({error.strerror}).") from error


# ---------------------------------------------------------------------- info


def cache_info_options(parser: Parser) -> None:
    """Add the options of `qwennb cache info`."""
    parser.switch("--json", "as JSON, for programs")


def cache_info(given: Any, world: World) -> int:
    """Print how many answers there are, from which models and endpoints, and what was spent."""
    config = world.config()
    orders = BatchOrders(config.cache_dir).under_way()
    told: dict[str, Any] = {"folder": str(config.cache_dir), "answers": 0}
    with open_memory(config.cache_dir) as memory:
        if memory is not None:
            told |= _count(memory, config.cache_dir)
        spent = _sum([] if memory is None else memory.spendings.rows())
    told["batches"] = _orders_as_json(orders)
    if given.json:
        world.say_json(told if memory is None else told | {"spent": spent.cost, "requests": spent.requests})
        return 0
    if memory is None:
        world.say(f"No answers are kept yet in {config.cache_dir}.", *_under_way(orders))
        return 0
    world.say(
        f"{plural(told['answers'], 'answer')} in {config.cache_dir}, {amount(told['bytes'])} on the disk, mode {config.cache!r}"
    )
    if told["by"]:
        rows = [("model", "endpoint", "answers", "size")]
        rows += [
            (by["model"], shorten(by["endpoint"], NARROW), f"{by['answers']:,}", amount(by["bytes"]))
            for by in told["by"]
        ]
        world.say(*table(rows, right=(2, 3)))
    if told["damaged"]:
        world.say(f"{plural(told['damaged'], 'damaged answer')} set aside; asked again when next wanted.")
    world.say(*_under_way(orders))
    world.say(
        f"Spent so far: {_cost_text(spent)} for {plural(spent.requests, 'request')} (qwennb cache usage)."
    )
    return 0


def _count(memory: Memory, folder: Path) -> dict[str, Any]:
    """Count the answers and their bytes, by model and endpoint."""
    counts: Counter[tuple[str, str]] = Counter()
    sizes: Counter[tuple[str, str]] = Counter()
    for answer in list_kept(memory):
        counts[answer.model, answer.name.endpoint] += 1
        sizes[answer.model, answer.name.endpoint] += answer.size
    return {
        "answers": counts.total(),
        "bytes": memory.store.size() + sum(path.lstat().st_size for path in (folder / "batches").glob("*")),
        "damaged": memory.store.quarantine_count,
        "by": [
            {"model": model, "endpoint": endpoint, "answers": n, "bytes": sizes[model, endpoint]}
            for (model, endpoint), n in counts.most_common()
        ],
    }


# ---------------------------------------------------------------------- batches


def _under_way(orders: list[BatchOrder]) -> list[str]:
    """Tell what was handed in and not fetched yet: its answers are charged, and wait at the endpoint."""
    if not orders:
        return []
    questions = plural(sum(order.questions for order in orders), "question")
    head = f"{plural(len(orders), 'batch', 'batches')} under way with {questions}; the column's next call fetches the answers:"
    rows = [
        (
            shorten(order.endpoint, NARROW),
            order.model,
            plural(order.questions, "question"),
            f"{_day(order)}, {order.batch or 'no number yet'}",
        )
        for order in orders
    ]
    return [head, *table(rows, right=(2,))]


def _orders_as_json(orders: list[BatchOrder]) -> list[dict[str, Any]]:
    return [
        {"endpoint": order.endpoint, "model": order.model, "questions": order.questions, "batch": order.batch, "since": _day(order)}
        for order in orders
    ]  # fmt: skip


def _day(order: BatchOrder) -> str:
    return f"{datetime.fromtimestamp(order.created, UTC):%Y-%m-%d}"


def _forget_orders(folder: Path, orders: list[BatchOrder], world: World, *, yes: bool) -> bool:
    """Forget *orders* on a yes, having said what that means; False where it was a no."""
    world.say(*_under_way(orders))
    world.say("The endpoint goes on with them and charges them; what it answers is not fetched any more.")
    if not (yes or world.agrees(f"Forget {len(orders):,} of what is under way?")):
        world.say("Nothing of it was forgotten.")
        return False
    claim = BatchOrders(folder).claim()
    if claim is None:
        raise CacheError("Another process hands in or fetches a batch right now. Try again when it is done.")
    with claim:
        for order in orders:
            BatchOrders(folder).drop(order)
    world.say(f"{len(orders):,} under way forgotten.")
    return True


# ---------------------------------------------------------------------- prune


def cache_prune_options(parser: Parser) -> None:
    """Add the options of `qwennb cache prune`."""
    parser.option("--older-than AGE", "asked longer ago: 12h, 30d, 8w, or before a day such as 2026-01-31")
    parser.option("--model", "of this model")
    parser.option("--endpoint", "from this endpoint, or this server and model (vllm:Qwen/Qwen3.5-9B)")
    parser.switch("--all", "all of them")
    parser.switch(
        "--batches",
        "what of these is under way in a batch too, though it is charged; left alone without this",
    )
    parser.switch("--yes", "don't ask back")


def cache_prune(given: Any, world: World) -> int:
    """Say what would be forgotten and what it would cost to ask again; forget it on a yes."""
    before = None if given.older_than is None else _before(given.older_than, world.now())
    rule = PruneRule(before, _canonical(given.model), given.endpoint)
    if given.all == (rule != PruneRule()):
        raise BadInput(
            "qwennb cache prune wants to know which answers: --older-than 30d, --model, --endpoint (together: those that all "
            "of these mean), or --all alone."
        )
    folder = world.config().cache_dir
    orders = [
        order
        for order in BatchOrders(folder).under_way()
        if rule.means(datetime.fromtimestamp(order.created, UTC), order.model, order.endpoint)
    ]
    with open_memory(folder) as memory:
        plan = None if memory is None else plan_prune(memory, rule)
        if memory is None or not plan:
            world.say("No answer fits that; nothing is forgotten.")
        else:
            world.say(*wrap(_meaning(plan), indent=""))
            if not (given.yes or world.agrees(f"Forget {plural(len(plan), 'answer')}?")):
                world.say("Nothing was forgotten.")
                return 1
            world.say(f"{plural(prune(memory, plan), 'answer')} forgotten.")
    if orders and given.batches:
        return 0 if _forget_orders(folder, orders, world, yes=given.yes) else 1
    if orders:
        world.say(*_under_way(orders), "They stay: their answers are charged. --batches forgets them too.")
    return 0


def _canonical(model: str | None) -> str | None:
    """Find the name under which answers of *model* are kept."""
    known = Catalog.load_bundled().find(model) if model else None
    return known.name if known else model


def _meaning(plan: PrunePlan) -> str:
    models = ", ".join(f"{model} ({n:,})" for model, n in plan.models[:6])
    rest = f" and {plural(len(plan.models) - 6, 'more model')}" if len(plan.models) > 6 else ""
    again = f"Asking them again would cost {money(plan.cost, estimated=bool(plan.cost))}"
    unpriced = f", and {plan.unpriced:,} of them have no known price" if plan.unpriced else ""
    return f"{plural(len(plan), 'answer')}, {amount(plan.size)}: {models}{rest}. {again}{unpriced}."


def _before(age: str, now: datetime) -> datetime:
    if match := re.fullmatch(r"(\d{1,5})([hdw])", age):
        return now - timedelta(**{_UNITS[match[2]]: int(match[1])})
    try:
        return datetime.fromisoformat(age).replace(tzinfo=UTC)
    except ValueError:
        raise BadInput(
            f"--older-than {age} is no age: write 12h, 30d, 8w, or a day such as 2026-01-31."
        ) from None


# ---------------------------------------------------------------------- usage


def cache_usage_options(parser: Parser) -> None:
    """Add the options of `qwennb cache usage`."""
    parser.option("--by", f"summed by which of {', '.join(_BY)} (default: all)", ",".join(_BY))
    parser.option("--since DAY", "from this day on, such as 2026-11-01")
    for name in ("model", "endpoint", "notebook"):
        parser.option(f"--{name}", f"of this {name} only")
    parser.switch("--json", "as JSON, for programs")


def cache_usage(given: Any, world: World) -> int:
    """Print what was spent."""
    by = [word.strip() for word in given.by.split(",")]
    for word in by:
        if word not in _BY:
            raise BadInput(
                f"--by {word} is not known{nearest(word, _BY) or '; there are ' + ', '.join(_BY) + '.'}"
            )
    if given.since is not None:
        try:
            datetime.fromisoformat(given.since)
        except ValueError:
            raise BadInput(f"--since {given.since} is no day; write it as 2026-11-01.") from None
    rules = {
        "model": _canonical(given.model),
        "since": given.since,
        "endpoint": given.endpoint,
        "notebook": given.notebook,
    }
    with open_memory(world.config().cache_dir) as memory:
        rows = [] if memory is None else memory.spendings.rows(**rules)
    sums: dict[tuple[str, ...], list[Spending]] = {}
    for row in rows:
        sums.setdefault(tuple(getattr(row, word) for word in by), []).append(row)
    spent = {name: _sum(several) for name, several in sorted(sums.items())}
    if given.json:
        world.say_json([{**dict(zip(by, name, strict=True)), **_as_json(one)} for name, one in spent.items()])
        return 0
    if not spent:
        world.say("Nothing was spent yet." if not any(rules.values()) else "Nothing was spent on that.")
        return 0
    total = _sum(rows)
    shown = [(*by, "requests", "tokens in", "out", "cost")]
    shown += [(*(part or "-" for part in name), *_figures(one)) for name, one in spent.items()]
    shown.append(("all", *[""] * (len(by) - 1), *_figures(total)))
    world.say(*table(shown, right=range(len(by), len(by) + 4)))
    if total.unknown_cost:
        world.say(f"  {plural(total.unknown_cost, 'request')} of unknown price not in the sums")
    if total.maybe_billed:
        world.say(
            f"  {plural(total.maybe_billed, 'attempt')} that brought no answer may have been charged all the same"
        )
    return 0


def _figures(row: Spending) -> tuple[str, str, str, str]:
    return f"{row.requests:,}", f"{row.input:,}", f"{row.output:,}", _cost_text(row)


def _cost_text(row: Spending) -> str:
    priced = row.requests > row.unknown_cost or not row.requests
    return money(row.cost if priced else None) + ("+" if priced and row.unknown_cost else "")


def _as_json(row: Spending) -> dict[str, Any]:
    figures = ("requests", "input", "output", "unknown_cost", "maybe_billed", "cost")
    return {name: getattr(row, name) for name in figures}


def _sum(rows: list[Spending]) -> Spending:
    total = Spending("", "", "", "")
    for row in rows:
        total += replace(row, day="", notebook="", model="", endpoint="")
    return total
