"""`qwennb models`: the catalogue as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from qwennb.catalog import Catalog, ModelRow, Price
from qwennb.cli.command import Parser
from qwennb.cli.world import World
from qwennb.text import spell_window, table, wrap

# What is worth telling apart, in the order in which it is told.
_ABILITIES = (
    "thinking", "images", "videos", "files", "schema", "choices", "tools", "search", "logprobs", "seed", "stop",
)  # fmt: skip


def models_options(parser: Parser) -> None:
    """Add the options of `qwennb models`."""
    parser.option("-e --endpoint", "of one endpoint only")
    parser.switch("--json", "as JSON, for programs")


def models(given: Any, world: World) -> int:
    """Print every model at every endpoint that serves it."""
    catalog = Catalog.load_bundled()
    rows = [
        row
        for row in catalog.rows(given.endpoint)
        if given.endpoint or row.endpoint != "simulator"  # its answers are no model's
    ]
    if given.json:
        world.say_json([_as_json(row) for row in rows])
        return 0
    for endpoint, group in groupby(rows, key=lambda row: row.endpoint):
        world.say(*_section(endpoint, list(group)), "")
    world.say(
        *wrap(
            "Prices are US dollars for a million tokens and estimates, read on the dates above; ≈ is converted from another "
            "currency. What an answer did cost is what its endpoint reports, where it does.",
            indent="",
        ),
        *wrap(f"* is asked where no model is named. The catalogue is of {catalog.checked}.", indent=""),
    )
    return 0


def _section(endpoint: str, rows: Sequence[ModelRow]) -> list[str]:
    common = Counter(_can(row) for row in rows).most_common(1)[0][0]
    free = all(row.free for row in rows)
    lines = [endpoint]
    lines += wrap(f"takes {', '.join(common)}")
    shown: list[Sequence[str]] = [("model", "id there", "window", *(() if free else ("in", "out")), "")]
    for row in rows:
        lacks = [name for name in common if name not in _can(row)]
        more = [name for name in _can(row) if name not in common]
        differs = [f"{word} {', '.join(names)}" for word, names in (("no", lacks), ("also", more)) if names]
        name = row.model.name + ("*" if row.default else "")
        prices: Sequence[Price | None] = row.prices or (None,)
        for tier, price in enumerate(prices):
            head = (
                (name, row.id, spell_window(row.model.context))
                if tier == 0
                else (f"  input over {spell_window(prices[tier - 1].up_to)}", "", "")  # type: ignore[union-attr]
            )
            shown.append((*head, *(() if free else _sums(price)), "; ".join(differs) if tier == 0 else ""))
    lines += table(shown, right=(2,) if free else (2, 3, 4))
    if free:
        return [*lines, "  free: a server of your own"]
    dates = sorted({f"{p.checked} ({p.source})" for row in rows for p in row.prices})
    return [*lines, *wrap(f"prices read on {', '.join(dates)}")] if dates else lines


def _can(row: ModelRow) -> tuple[str, ...]:
    return tuple(name for name in _ABILITIES if row.abilities.accepts(name))


def _sums(price: Price | None) -> tuple[str, str]:
    if price is None:
        return "unknown", "unknown"
    mark = "" if price.currency == "USD" else "≈"
    return tuple(f"{mark}{sum_ * price.usd:.4g}" for sum_ in (price.input, price.output))  # type: ignore[return-value]


def _as_json(row: ModelRow) -> dict[str, Any]:
    inner, abilities = row.model, row.abilities
    prices = () if row.free else row.prices
    return {
        "model": inner.name,
        "aliases": list(inner.aliases),
        **{name: getattr(row, name) for name in ("endpoint", "id", "default", "free")},
        "context": inner.context,
        "max_input": {"thinking": abilities.max_input_thinking, "direct": abilities.max_input_direct},
        "max_output": abilities.max_output,
        "options": sorted(abilities.options),
        "modalities": sorted(abilities.modalities),
        "prices": [
            {
                **{name: getattr(price, name) for name in ("input", "output", "currency", "usd", "up_to")},
                "checked": price.checked.isoformat(),
                "source": price.source,
                "estimate": True,
            }
            for price in prices
        ],
    }
