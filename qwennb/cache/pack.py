"""A pack: answers with their whole requests, as a value, and as a file that can be handed to anybody.

    {"qwennb_pack":2,"needs":"qwennb 0.2","defaults":{"model":"qwen3.5-plus","endpoint":"dashscope-intl"},"seal":"9f86…"}
    {"key":"2c26…","seal":"5e88…","request":{…},"answer":{…}}
    {"key":"fcde…","seal":"1f2a…","request":{…},"answer":{…}}
    {"qwennb_pack":"end"}

One answer a line, sorted by key, each spelled in one way only: the same content is the same bytes, a pull request shows
which answers changed, and git merges two of them (`pack_format`). On the way in nothing is believed: every key is made
again from its request, every line must be spelled as we would spell it, and every seal must fit. Media stand there by
their hash. No file name in a pack means anything, and nothing in one runs.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import orjson

from qwennb.answer import Answer, with_quotes
from qwennb.cache import pack_file
from qwennb.cache.pack_format import (
    END,
    SEALED,
    hash_root,
    read_lines,
    request_of,
    rewrite,
    seal_header,
    seal_line,
)
from qwennb.cache.pack_media import PackMedia
from qwennb.cache.record import Name, record_of
from qwennb.config import Secret
from qwennb.errors import BadInput, PackRefused, show_value
from qwennb.request import file_path, parse_json
from qwennb.secrets import SecretScanner
from qwennb.text import plural
from qwennb.tuning import Form, check_form, choose_answers, read_labels_of, write_examples

if TYPE_CHECKING:
    import polars

SHORTEST_KEY = 8  # characters, of a key that is given by how it begins
_SHA256 = re.compile(rb'"sha256":"([0-9a-f]{64})"')  # in a text its quotes would be escaped


@dataclass(frozen=True)
class Pack:
    """Answers with their requests, to be handed to anybody.

    `Pack.read(file)` and `Pack.of(answers)` make one, `qwen.pack(answers)` that of a run. `len(pack)` counts its answers,
    iterating gives them sorted by key, and `older | newer` is both together. Nothing in a pack runs, and it holds no secret
    and no path.

    Parameters
    ----------
    records : Mapping
        The recorded answers by name, as `read` and `of` make them.
    model, endpoint : str, optional
        What stands in for a model or an endpoint that a request leaves open; those of most of its answers without it.

    Attributes
    ----------
    root : str
        The sha256 over all of its content: another root, another pack.
    models : frozenset of str
        The models that were asked.
    asked : Counter
        How many answers there are of each model at each endpoint.
    by_key : Mapping
        The names of the answers to each request's key.
    media : frozenset of str
        The sha256 of each picture, video and PDF that was asked about.

    Raises
    ------
    BadInput
        If `records` are none.

    Examples
    --------
    >>> pack = qwen.pack(qwen.ask("What is the capital of France?"))
    >>> len(pack), pack.model
    (1, 'qwen3.5-flash')
    >>> [answer.text for answer in pack]
    ['Paris']
    >>> pack.write("answers.qwenpack")
    >>> Pack.read("answers.qwenpack") == pack
    True
    """

    records: Mapping[Name, bytes] = field(default_factory=dict, repr=False)
    model: str = ""
    endpoint: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.records, Mapping) or not all(isinstance(name, Name) for name in self.records):
            raise BadInput(
                f"Pack({show_value(self.records)}) holds no records. Type: Pack.read(file), or Pack.of(answers)"
            )
        ordered = {name: self.records[name] for name in sorted(self.records, key=lambda name: name.text)}
        object.__setattr__(self, "records", ordered)
        if not (self.model and self.endpoint):  # what most of its answers come from
            asked = Counter(pair for pair in _count_by_model(ordered) if self.model in ("", pair[0]))
            ((model, endpoint), _), *_ = asked.most_common(1) or [((self.model, self.endpoint), 0)]
            object.__setattr__(self, "model", model)
            object.__setattr__(self, "endpoint", self.endpoint or endpoint)

    # ------------------------------------------------------------------ making and reading

    @classmethod
    def of(cls, answers: Iterable[Answer], *, model: str = "", endpoint: str = "") -> Self:
        """Make a pack of *answers*.

        Parameters
        ----------
        answers : iterable of Answer
            Those that failed or are not whole are left out. Of two to one request the later stands.
        model, endpoint : str, optional
            What stands in for a model or an endpoint that a request leaves open; those of most of the answers without it.

        Returns
        -------
        Pack
            The answers with their requests.

        Raises
        ------
        BadInput
            If something among them is no answer.

        Examples
        --------
        >>> answers = qwen.ask_many(["What is the capital of France?", "What is the capital of Italy?"])
        >>> sorted(answer.text for answer in Pack.of(answers))
        ['Paris', 'Rome']
        """
        if not isinstance(answers, Iterable):
            raise BadInput(f"A pack is made of answers, and {show_value(answers)} is no list of them.")
        answers = list(answers)
        if other := [one for one in answers if not isinstance(one, Answer)]:
            raise BadInput(f"A pack is made of answers, and {show_value(other[0])} is none.")
        made = {Name(a.key, a.endpoint): record_of(a) for a in answers if a.complete and a.endpoint}
        return cls.of_records(made, model=model, endpoint=endpoint)

    @classmethod
    def of_records(cls, records: Mapping[Name, bytes], *, model: str = "", endpoint: str = "") -> Self:
        """A pack of what a store holds. A record that can't be read is left out."""
        made = ((name, rewrite(value)) for name, value in records.items())
        return cls({name: value for name, value in made if value is not None}, model, endpoint)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read the pack in a file. Nothing in it is believed before it is checked.

        Parameters
        ----------
        path : str or path
            The file; one whose name ends in `.zst` is compressed.

        Returns
        -------
        Pack
            All of its answers.

        Raises
        ------
        PackRefused
            If anything about the file is not as it should be, with the line and the reason.

        Examples
        --------
        >>> qwen.pack(qwen.ask("What is the capital of France?")).write("answers.qwenpack")
        >>> Pack.read("answers.qwenpack").models
        frozenset({'qwen3.5-flash'})
        >>> Pack.read("report.pdf")
        Traceback (most recent call last):
            ...
        qwennb.errors.PackRefused: ...
        """
        file = file_path("The pack", path)
        records: dict[Name, bytes] = {}

        def take(at: str, name: Name, record: bytes) -> None:
            if records.setdefault(name, record) != record:
                raise PackRefused(
                    f"{at}: {file.name} holds two different answers to the request {name.key[:12]}. "
                    f"Type: qwennb pack --merge {file.name} --keep newer, or --keep older"
                )

        with pack_file.open_plain(file) as opened:
            # Twice: what turns out to be refused in its last line has not filled the memory by then.
            header, whole = read_lines(pack_file.lines_of(opened, file.name), file.name)
            _, again = read_lines(pack_file.lines_of(opened, file.name), file.name, take, trusted=True)
        if again != whole:
            raise PackRefused(f"{file.name} changed while it was read. Read it again.")
        return cls(records, header.defaults["model"], header.defaults["endpoint"])

    # ------------------------------------------------------------------ writing

    def write(
        self,
        path: str | os.PathLike[str],
        *,
        allow: Collection[str] = (),
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Write the pack to a file, in one step; `check` comes first.

        Parameters
        ----------
        path : str or path
            The file. Where its name ends in `.zst` it is compressed.
        allow : collection of str, optional
            Keys of answers, or how they begin, in which what only looks like a secret may stay.
        environ : Mapping, optional
            Where API keys are looked up, so that none is written; the process's own environment without it.

        Raises
        ------
        PackRefused
            If it holds a secret, or more than a pack may hold. Nothing was written.
        BadInput
            If the file can't be written.

        Examples
        --------
        >>> qwen.pack(qwen.ask("What is the capital of France?")).write("answers.qwenpack")
        >>> qwen.pack(qwen.ask("Is sk-or-v1-0123456789abcdef0123456789abcdef a good key?")).write("other.qwenpack")
        Traceback (most recent call last):
            ...
        qwennb.errors.PackRefused: The answer ... or its request holds ... Nothing was written. ...
        """
        self.check(allow=allow, environ=environ)
        pack_file.write(file_path("The pack", path), self.lines())

    def check(self, *, allow: Collection[str] = (), environ: Mapping[str, str] | None = None) -> None:
        """Refuse a pack that must not be written; `write` does so itself.

        Parameters
        ----------
        allow : collection of str, optional
            Keys of answers, or how they begin, in which what only looks like a secret may stay.
        environ : Mapping, optional
            Where API keys are looked up; the process's own environment without it. A key that is in use here is always one.

        Raises
        ------
        PackRefused
            If it holds a secret, or more than a pack may hold.

        Examples
        --------
        >>> qwen.pack(qwen.ask("What is the capital of France?")).check()
        """
        leaks = SecretScanner.from_environ(os.environ if environ is None else environ, Secret.in_use())
        total = 0
        for name, line in self._lines():
            allowed = any(len(key) >= SHORTEST_KEY and name.key.startswith(key) for key in allow)
            if (kind := leaks.find(line, by_value_only=allowed)) is not None:
                raise PackRefused(
                    f"The answer {name.key[:12]} or its request holds {kind}. Nothing was written. Take it out of the prompt "
                    "and ask again, or leave that question out."
                )
            length = len(line) + SEALED
            if length > pack_file.LONGEST_LINE:
                raise PackRefused(
                    f"The answer {name.key[:12]} is longer than a pack's line may be ({length:,} bytes). Leave it out."
                )
            total += length + 1
        if len(self) > pack_file.MOST_LINES or total > pack_file.MOST_BYTES:
            raise PackRefused(
                f"{len(self):,} answers of {total:,} bytes are more than one pack may hold. Make several."
            )

    def lines(self) -> Iterator[bytes]:
        """Spell the lines of the file, the header first."""
        yield seal_header(self._defaults)
        for _, line in self._lines():
            yield seal_line(line)
        yield END

    def _lines(self) -> Iterator[tuple[Name, bytes]]:
        """Spell each answer's line without its seal."""
        for name, record in self.records.items():
            yield name, b'{"key":"%b",%b' % (name.key.encode(), record[1:])

    @property
    def _defaults(self) -> dict[str, str]:
        return {"model": self.model, "endpoint": self.endpoint}

    # ------------------------------------------------------------------ what is in it

    @cached_property
    def root(self) -> str:
        """The sha256 over all of the content: another root, another pack."""
        return hash_root(len(self), self._defaults, (line for _, line in self._lines()))

    @cached_property
    def by_key(self) -> Mapping[str, tuple[Name, ...]]:
        """The names of the answers to each request's key."""
        made: dict[str, tuple[Name, ...]] = {}
        for name in self.records:
            made[name.key] = (*made.get(name.key, ()), name)
        return made

    @cached_property
    def asked(self) -> Counter[tuple[str, str]]:
        """How many answers there are of each model at each endpoint."""
        return Counter(_count_by_model(self.records))

    @cached_property
    def models(self) -> frozenset[str]:
        """The models that were asked."""
        return frozenset(model for model, _ in self.asked)

    @cached_property
    def media(self) -> frozenset[str]:
        """The sha256 of each picture, video and PDF that was asked about."""
        return frozenset(
            found.decode() for record in self.records.values() for found in _SHA256.findall(record)
        )

    def with_default_model(self, model: str) -> Pack:
        """The same, to be replayed with *model* where a request names none."""
        return Pack(self.records, model)

    def answers(self) -> Iterator[Answer]:
        """Give every answer with its request, sorted by key.

        Yields
        ------
        Answer
            Its `data` is a choice, or what a schema was filled with, as JSON.

        Examples
        --------
        >>> [answer.text for answer in qwen.pack(qwen.ask("What is the capital of France?")).answers()]
        ['Paris']
        """
        for record in self.records.values():
            data = orjson.loads(record)
            request = request_of(data["request"])
            answer = with_quotes(Answer.from_json(data["answer"], request))
            yield replace(answer, data=_value(answer))

    def __iter__(self) -> Iterator[Answer]:
        return self.answers()

    def __len__(self) -> int:
        return len(self.records)

    def __bool__(self) -> bool:
        return True

    def __hash__(self) -> int:
        return hash(self.root)

    def __or__(self, newer: Pack) -> Pack:
        """Both together; where they have an answer of the same name, *newer* stands."""
        return Pack(
            {**self.records, **newer.records}, self.model or newer.model, self.endpoint or newer.endpoint
        )

    def export(
        self,
        path: str | os.PathLike[str],
        form: Form,
        *,
        labels: str | os.PathLike[str] | None = None,
        by: str | None = None,
        right: bool = False,
        reasoning: bool = False,
        media: str | os.PathLike[str] | None = None,
        valid: float | None = None,
        seed: int = 0,
        environ: Mapping[str, str] | None = None,
    ) -> list[Path]:
        """Write the answers as examples for fine-tuning: into a folder with a card, or into one file.

        Parameters
        ----------
        path : str or path
            A folder, which gets train.jsonl, valid.jsonl and README.md, or the name of one file, such as `"train.jsonl"`.
        form : str
            "messages", "trl", "dpo", "kto", "unsloth" or "llama-factory".
        labels : path, optional
            A file of labels that Review keeps: of all answers, those that are fixed are written, as they should be.
        by : str, optional
            Whose labels count, where several people gave some.
        right : bool, default False
            Those that were labelled right too.
        reasoning : bool, default False
            The model's thought before its answer, as <think>…</think>, where it is recorded.
        media : path, optional
            The folder of pictures beside the pack, `analysis.qwenpack.media`.
        valid : float, optional
            The share that is kept for validation in a folder; 0.1 without it. Twins never stand on both sides.
        seed : int, default 0
            Another one parts the examples otherwise.
        environ : Mapping, optional
            Where API keys are looked up, so that none is written; the process's own environment without it.

        Returns
        -------
        list of Path
            The files that were written.

        Raises
        ------
        BadInput
            If the form is none, needs what is not here (a pair needs a fixed answer), or the file can't be written.

        Examples
        --------
        >>> pack = qwen.pack(qwen.ask_many(["What is the capital of France?", "What is the capital of Italy?"]))
        >>> [file.name for file in pack.export("capitals", "trl", valid=0.5)]
        ['train.jsonl', 'valid.jsonl', 'README.md']
        >>> pack.export("pairs", "dpo")
        Traceback (most recent call last):
            ...
        qwennb.errors.BadInput: 'dpo' is made of what people said of answers. Give labels=, the file that Review keeps.
        """
        form = check_form(form, right=right, reasoning=reasoning)
        if labels is None and (right or by is not None):
            raise BadInput(
                f"{'right' if right else 'by'}= is about what people said, and nobody is heard. Give labels=."
            )
        answers: Iterable[Answer] = self
        if media is not None:
            folder = file_path("The folder of media", media)
            if not folder.is_dir():
                raise BadInput(
                    f"There is no folder {folder}. qwennb pack NOTEBOOK --media makes one beside the pack."
                )
            kept = PackMedia(folder)
            answers = [replace(one, request=kept.fill(one.request)) for one in self]
        given = None if labels is None else read_labels_of(file_path("The file of labels", labels), by)
        source = f"pack of {plural(len(self), 'answer')}, root {self.root}"
        selection, origin = choose_answers(
            answers, given, form, right=right, reasoning=reasoning, source=source
        )
        secrets = SecretScanner.from_environ(os.environ if environ is None else environ, Secret.in_use())
        return write_examples(
            path, selection, form, origin, secrets, valid=valid, seed=seed, reasoning=reasoning
        )

    def frame(self) -> polars.DataFrame:
        """Show the pack as a table.

        Returns
        -------
        polars.DataFrame
            One row an answer: key, model, endpoint, question, text, finish_reason, tokens, cost, attempts, created, request.

        Examples
        --------
        >>> qwen.pack(qwen.ask("What is the capital of France?")).frame().select("model", "question", "text").row(0)
        ('qwen3.5-flash', 'What is the capital of France?', 'Paris')
        """
        import polars as pl

        columns: dict[str, tuple[Any, Callable[[Answer], Any]]] = {
            "key": (pl.String, lambda answer: answer.key),
            "model": (pl.String, lambda answer: answer.model),
            "endpoint": (pl.String, lambda answer: answer.endpoint),
            "question": (pl.String, lambda answer: answer.request.question),
            "text": (pl.String, lambda answer: answer.text),
            "finish_reason": (pl.String, lambda answer: answer.finish_reason),
            "input_tokens": (pl.Int64, lambda answer: answer.usage.input),
            "output_tokens": (pl.Int64, lambda answer: answer.usage.output),
            "cost": (pl.Float64, lambda answer: None if answer.cost is None else float(answer.cost)),
            "attempts": (pl.Int64, lambda answer: answer.attempts),
            "created": (pl.Datetime("us", "UTC"), lambda answer: answer.created),
            "request": (pl.String, lambda answer: orjson.dumps(answer.request.canonical()).decode()),
        }
        answers = list(self)
        return pl.DataFrame(
            {name: pl.Series(map(read, answers), dtype=dtype) for name, (dtype, read) in columns.items()}
        )


def _value(answer: Answer) -> Any:
    if answer.request.choices is not None:
        return answer.text
    if answer.request.schema is None or answer.tool_calls:
        return None
    try:
        return parse_json(answer.text)
    except ValueError:
        return None


def _count_by_model(records: Mapping[Name, bytes]) -> Iterator[tuple[str, str]]:
    for name, record in records.items():
        yield orjson.loads(record)["request"]["model"], name.endpoint
