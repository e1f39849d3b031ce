"""What is asked: a text of our own, those of a file, or the requests of a pack.

A server may remember how a prompt begins (prefix caching), and answer sooner when it comes again. So no two texts of our
own begin alike; those of a file are sent as they are, over and over, and what was remembered is part of what is measured.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from qwennb.catalog import estimate_tokens
from qwennb.errors import BadInput, nearest

# Short words, one token each in most vocabularies, so that a length in tokens can be kept.
_WORDS = [
    "time",
    "year",
    "people",
    "way",
    "day",
    "man",
    "thing",
    "woman",
    "life",
    "child",
    "world",
    "school",
    "state",
    "family",
    "student",
    "group",
    "country",
    "hand",
    "part",
    "place",
    "case",
    "week",
    "company",
    "system",
    "work",
    "night",
    "point",
    "home",
    "water",
    "room",
    "mother",
    "area",
    "money",
    "story",
    "fact",
    "month",
    "lot",
    "right",
    "study",
    "book",
    "eye",
    "job",
    "word",
    "issue",
    "side",
    "kind",
    "head",
    "house",
    "service",
    "friend",
    "father",
    "power",
    "hour",
    "game",
    "line",
    "end",
    "member",
    "law",
    "car",
    "city",
    "name",
    "team",
    "minute",
    "idea",
    "body",
    "back",
    "parent",
    "face",
]


def default_prompt(number: int, tokens: int, seed: int) -> str:
    """Write prompt *number*, of about so many *tokens* by our estimate; the same again for the same *seed*."""
    head = f"{number} of load test {seed}: tell a long story in which these words occur. "
    random, words = Random(f"{seed}/{number}"), [head]
    room = tokens - estimate_tokens(head).tokens
    words += [f"{random.choice(_WORDS)} " for _ in range(max(room, 0))]
    return "".join(words).rstrip()


def read_prompts(path: Path, column: str | None) -> list[str]:
    """Read the prompts of a file: the lines of a text, or one *column* of JSON lines, CSV or Parquet."""
    readers = {
        ".jsonl": "read_ndjson",
        ".ndjson": "read_ndjson",
        ".csv": "read_csv",
        ".parquet": "read_parquet",
    }
    reader = readers.get(path.suffix.lower())
    try:
        if reader is None:
            found = path.read_text(encoding="utf-8").splitlines()
        else:
            import polars as pl

            table = getattr(pl, reader)(path)
            name = column or ("prompt" if "prompt" in table.columns else table.columns[0])
            if name not in table.columns:
                raise BadInput(
                    f"{path.name} has no column {name!r}{nearest(name, table.columns) or '.'} It has {', '.join(table.columns)}."
                )
            found = table[name].cast(pl.String).drop_nulls().to_list()
    except BadInput:
        raise
    except FileNotFoundError:
        raise BadInput(
            f"There is no file {path.name}. Give texts (.txt), a table (.jsonl, .csv, .parquet) or a pack."
        ) from None
    except Exception as error:
        raise BadInput(f"The prompts in {path.name} can't be read ({type(error).__name__}).") from None
    if not (prompts := [text for text in found if text.strip()]):
        raise BadInput(f"{path.name} holds no prompt.")
    return prompts
