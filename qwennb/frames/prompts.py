"""From rows to requests: a template over columns as one polars expression, unique prompts, and what they are sent as.

    rows ─ prompts() ─▶ a text for each row ─ read_rows() ─▶ unique prompts ─ RequestTemplate ─▶ keys, requests

No row is touched by a loop in Python before it is known to be unique. A cell is written as a reader would write it: dates
and times in ISO form, decimals with their places, a whole float without its ".0", categories by name, lists, structs
and maps as JSON. A prompt with a null in it is null, unless nulls are to be sent, and then it is an empty text. NaN is a value, as
polars has it; a pandas frame's was made null on the way in, for there it says that nothing is known. A picture is the bytes of a cell, a path under a stated folder, or a URL where those
are allowed; a document likewise, but for URLs; nothing else is opened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
import polars as pl

from qwennb.client import Options
from qwennb.collector import gc_paused
from qwennb.errors import BadInput, MediaError, QwenError, TemplateError, nearest
from qwennb.request import (
    KEY_VERSION,
    Hole,
    Image,
    Medium,
    Message,
    Request,
    Template,
    Text,
    canonical_json,
    check_characters,
    merge_texts,
    recognise,
    recognise_under,
)

if TYPE_CHECKING:
    from qwennb.frames.columns import Column

LARGEST_WHOLE = 1e15  # beyond it a float's own spelling is shorter and no less exact


def prompts(
    template: Template, columns: Mapping[str, pl.Series], *, nulls: bool = False, empty: bool = False
) -> pl.Series:
    """The prompt of each row. Null where a used cell is, unless *nulls* are sent; where it is *empty*, unless it may be."""
    check_names(template, columns)
    frame = pl.DataFrame(dict(columns))
    pieces = []
    for piece in template.pieces:
        if isinstance(piece, str):
            pieces.append(pl.lit(piece))
        else:
            text = cell(*_field(piece, columns), piece.source)
            pieces.append(text.fill_null("") if nulls else text)
    made = frame.select(pl.concat_str(pieces).alias("prompt")).to_series()
    # A prompt that is empty asks nothing; it is not worth a call.
    return made if nulls or empty else made.set(made == "", None)


def cell(value: pl.Expr, dtype: pl.DataType, name: str) -> pl.Expr:
    """*value* as text."""
    if dtype == pl.String:
        return value
    if dtype.is_float():
        whole = (value == value.round()) & (value.abs() < LARGEST_WHOLE)
        as_whole = value.cast(pl.Int64, strict=False).cast(pl.String)
        return pl.when(whole).then(as_whole).otherwise(value.cast(pl.String))
    if isinstance(dtype, pl.Datetime):
        return value.dt.to_string("%Y-%m-%d %H:%M:%S%.f" + ("%:z" if dtype.time_zone else ""))
    if dtype == pl.Time:
        return value.dt.to_string("%H:%M:%S%.f")
    if dtype == pl.Duration:
        return value.dt.to_string("polars")
    types = _list_types(dtype)
    if pl.Binary in types:
        raise BadInput(
            f'Column `{name}` holds bytes, which have no place in a text. A column of pictures is given by name: image="{name}".'
        )
    if pl.Object in types:
        raise BadInput(
            f"Column `{name}` holds Python objects, which polars can't write as text. Cast it to a type of polars'."
        )
    for one in types:
        if isinstance(one, pl.Map) and not isinstance(one.key, pl.String | pl.Categorical | pl.Enum):
            raise BadInput(
                f"Column `{name}` holds a map with keys of {one.key}, and JSON has texts for keys. Make it a list, with .map.entries()."
            )
    if isinstance(dtype, pl.Struct):
        return pl.when(value.is_not_null()).then(value.struct.json_encode())
    if isinstance(dtype, pl.List | pl.Array | pl.Map):
        # polars writes only structs as JSON: a list or a map travels in one, and is taken out of it again.
        inside = pl.struct(value.alias("a")).struct.json_encode()
        return pl.when(value.is_not_null()).then(inside.str.slice(5).str.head(-1))
    return value.cast(pl.String)


def read_values(values: Mapping[str, Any]) -> dict[str, pl.Series]:
    """Read the constants of `values=`, each as a column of one cell."""
    read: dict[str, pl.Series] = {}
    for name, value in values.items():
        if isinstance(value, str):
            check_characters(f"values={{'{name}': …}}", value)
        read[name] = _read_value(name, value)
        if any(one in (pl.Object, pl.Binary) for one in _list_types(read[name].dtype)):
            raise BadInput(
                f"values={{'{name}': …}} is {type(value).__name__}, which can't be written in a text. Give text, a number, a date, a list of one type or a dict."
            )
    return read


def _read_value(name: str, value: Any) -> pl.Series:
    """Read a constant; one that polars has no type for is an object."""
    # Not strict, whole numbers beside fractions become such; but a number becomes text, too, or null.
    for is_strict in (True, False):
        with suppress(Exception):  # why polars can't take a value is anybody's guess
            made = pl.Series(name, [value], strict=is_strict)
            if is_strict or made.to_list() == [value]:
                return made
    return pl.Series(name, [value], dtype=pl.Object)


def fill_in(template: Template, values: Mapping[str, pl.Series]) -> Template:
    """Put constants into *template*, each written as a cell would be."""
    pieces: list[str | Hole] = []
    for piece in template.pieces:
        if isinstance(piece, Hole) and piece.name in values:
            text = pl.DataFrame(dict(values)).select(cell(*_field(piece, values), piece.source)).item()
            if text is None:
                raise BadInput(
                    f"values= gives `{piece.source}`, which is null, so that no row would be asked."
                )
            pieces.append(text)
        else:
            pieces.append(piece)
    return Template(tuple(pieces))


def check_names(template: Template, schema: Collection[str]) -> None:
    """Raise TemplateError for a name that is no column, with the nearest that is."""
    for hole in template.holes:
        if hole.name not in schema:
            columns = ", ".join(f"`{name}`" for name in list(schema)[:20]) or "none"
            raise TemplateError(
                f"The template names `{hole.source}`, and there is no column `{hole.name}`"
                f"{nearest(hole.name, list(schema)) or f'; there are {columns}.'}"
                ' To send two braces as text, write {{ "{{" }}.'
            )


def _field(hole: Hole, columns: Mapping[str, pl.Series]) -> tuple[pl.Expr, pl.DataType]:
    value, dtype = pl.col(hole.name), columns[hole.name].dtype
    for step, name in enumerate(hole.path[1:], start=1):
        fields = {field.name: field.dtype for field in dtype.fields} if isinstance(dtype, pl.Struct) else {}
        if name not in fields:
            inside = ".".join(hole.path[:step])
            raise TemplateError(
                f"The template names `{hole.source}`, and `{inside}` has no field `{name}`{nearest(name, fields) or '.'}"
            )
        value, dtype = value.struct.field(name), fields[name]  # type: ignore[assignment]
    return value, dtype


def _list_types(dtype: Any) -> list[Any]:
    """List *dtype*, and the types within it."""
    inner: list[Any] = []
    if isinstance(dtype, pl.List | pl.Array):
        inner = [dtype.inner]
    elif isinstance(dtype, pl.Struct):
        inner = [field.dtype for field in dtype.fields]
    elif isinstance(dtype, pl.Map):
        inner = [dtype.key, dtype.value]
    return [dtype, *(one for part in inner for one in _list_types(part))]


# ---------------------------------------------------------------------- unique prompts


class Prompt(NamedTuple):
    """What differs from row to row: the text, picture and document where the column has them, the system text where it is a template.

    Of several draws, `sample` says which.
    """

    text: str
    media: tuple[Medium, ...] = ()
    system: str | None = None
    sample: int = 0


def draw_each(prompts: Iterable[Prompt], draws: int) -> list[Prompt]:
    """Each of *prompts* so many times, one draw after the other: what a server remembers of a prompt serves the next."""
    return [prompt._replace(sample=sample) for prompt in prompts for sample in range(draws)]


SURELY_FITS = 4_000  # characters of a prompt; every model's window is larger


@dataclass(frozen=True, slots=True)
class Rows:
    """The unique prompts of some rows, and for each row the index of its prompt; null for a row without one.

    `indices` has them by the name of the question. In place of a prompt whose picture or document can't be read stands its error.
    """

    count: int
    prompts: Sequence[Prompt | QwenError]
    indices: Mapping[str, pl.Series]

    @property
    def skipped(self) -> int:
        """How many rows ask nothing."""
        return pl.DataFrame(self.indices).select(pl.all_horizontal(pl.all().is_null()).sum()).item()  # type: ignore[no-any-return]

    def count_questions(self, draws: int) -> int:
        """How many questions they are, with so many *draws* of each; what can't be asked is one."""
        return sum(draws if isinstance(prompt, Prompt) else 1 for prompt in self.prompts)

    def find(self, index: int) -> str:
        """The first row with the prompt at *index*, as an error tells it; rows are counted from 0, as polars does."""
        for name, indices in self.indices.items():
            if (row := indices.index_of(index)) is not None:
                return f" (row {row:,}{f' of `{name}`' if len(self.indices) > 1 else ''})"
        return ""


def read_rows(column: Column, columns: Mapping[str, pl.Series], names: Sequence[str] = ()) -> Rows:
    """Read what *column* asks of the rows that *columns* hold: all of its questions, or those of *names*."""
    nulls = column.nulls == "send"
    count = len(next(iter(columns.values())))
    questions = {name: column.questions[name] for name in names} if names else column.questions
    # Of several questions, the rows of one stand below those of the other: what two of them ask alike is one prompt.
    # Older words round an empty text may have been asked.
    empty = bool(column.older)
    texts = pl.concat(
        [_read_texts(template, columns, count, nulls=nulls, empty=empty) for template in questions.values()]
    )
    asked, keys = pl.DataFrame({"text": texts}), ["text"]
    if len(questions) > 1:
        columns = {name: pl.concat([values] * len(questions)) for name, values in columns.items()}
    if column.system is not None:
        asked.insert_column(0, prompts(column.system, columns, nulls=nulls).alias("system"))
        keys.insert(0, "system")
    for what, name in (("image", column.image), ("file", column.file)):
        if name is not None:
            asked = asked.with_columns(columns[name].alias(what))
            keys.append(what)
    unique = asked.drop_nulls().unique(maintain_order=True)
    is_grouped = column.system is not None or any(len(one.holes) > 1 for one in questions.values())
    if is_grouped:
        # What begins alike goes one after the other, as a server's prefix cache likes it.
        unique = unique.sort(keys[:2] if keys[0] == "system" else "text", maintain_order=True)
    unique = unique.with_row_index("index")
    if len(unique) == len(asked) and not is_grouped:  # each row is a prompt of its own
        indices = unique["index"]
    else:
        indices = asked.join(unique, on=keys, how="left", maintain_order="left")["index"]
    by_name = {name: indices.slice(place * count, count) for place, name in enumerate(questions)}
    if keys == ["text"]:
        with gc_paused:
            return Rows(count, list(map(Prompt, unique["text"].to_list())), by_name)
    made = [_read_prompt(column, **row) for row in unique.select(keys).iter_rows(named=True)]
    return Rows(count, made, by_name)


def _read_texts(
    template: Template, columns: Mapping[str, pl.Series], count: int, *, nulls: bool, empty: bool
) -> pl.Series:
    if template.holes:
        return prompts(template, columns, nulls=nulls, empty=empty)
    text = "".join(piece for piece in template.pieces if isinstance(piece, str))
    return pl.Series("prompt", [text], dtype=pl.String).new_from_index(0, count)


def _read_prompt(
    column: Column, text: str, image: Any = None, file: Any = None, system: str | None = None
) -> Prompt | QwenError:
    media: list[Medium] = []
    try:
        if image is not None:
            media.append(image_of(image, root=column.root, options=column.options))
        if file is not None:
            media.append(file_of(file, root=column.root))
        return Prompt(text, tuple(media), system)
    except MediaError as error:
        return error


# ---------------------------------------------------------------------- pictures and documents


def check_image_column(dtype: pl.DataType, name: str, *, root: Path | None, urls: bool) -> None:
    """Refuse, before anything runs, a column whose cells are no pictures as it stands."""
    if dtype == pl.Binary or (dtype == pl.String and (root is not None or urls)):
        return
    if dtype == pl.String:
        raise BadInput(
            f"Column `{name}` holds text, and text in a cell is never opened by itself. For paths, give the folder that "
            'they are in: root="photos/"; for URLs, allow_urls=True.'
        )
    raise BadInput(f"Column `{name}` is {dtype}; pictures are Binary, or paths under root=.")


def image_of(cell: Any, *, root: Path | None, options: Options) -> Image:
    """The picture that a *cell* holds or names."""
    if isinstance(cell, bytes):
        return Image(cell, max_pixels=options.max_pixels)
    if options.allow_urls and str(cell).startswith(("https://", "http://")):
        return Image(cell, max_pixels=options.max_pixels)
    if root is None:
        raise MediaError(
            f"{str(cell)[:60]!r} is not a URL, and no folder is given as root=; it is not opened"
        )
    return Image.under(root, cell, max_pixels=options.max_pixels)


def check_file_column(dtype: pl.DataType, name: str, *, root: Path | None) -> None:
    """Refuse, before anything runs, a column whose cells are no documents as it stands."""
    if dtype == pl.Binary or (dtype == pl.String and root is not None):
        return
    if dtype == pl.String:
        raise BadInput(
            f"Column `{name}` holds text, and text in a cell is never opened by itself. For paths, give the folder that they are "
            f'in: root="documents/"; a text that is itself to be asked about stands in the prompt: {{{{ {name} }}}}.'
        )
    raise BadInput(f"Column `{name}` is {dtype}; documents are Binary, or paths under root=.")


def file_of(cell: Any, *, root: Path | None) -> Medium:
    """The document that a *cell* holds or names."""
    if isinstance(cell, bytes):
        return recognise(cell)
    assert root is not None
    return recognise_under(root, cell)


# ---------------------------------------------------------------------- requests


_MARK = "\u241a the text of a row \u241a"


class RowText(NamedTuple):
    """Where a row's own text stands in its prompt, for who looks for a quote in it: what stands around it, and its name."""

    before: str
    name: str
    after: str

    @classmethod
    def of(cls, templates: Collection[Template]) -> RowText | None:
        """Find it where there is one; with several templates, or several names in one, a prompt does not tell."""
        if len(templates) != 1 or len((template := next(iter(templates))).holes) != 1:
            return None
        hole = template.holes[0]
        place = template.pieces.index(hole)
        return cls(
            "".join(map(str, template.pieces[:place])),
            hole.source,
            "".join(map(str, template.pieces[place + 1 :])),
        )

    def cut(self, prompt: str) -> tuple[str, str]:
        """Cut it out of *prompt*, beside its name."""
        return self.name, prompt[len(self.before) : len(prompt) - len(self.after)]


class RequestTemplate:
    """Makes the requests, and the keys, of a column whose rows differ in one text, and perhaps a picture or a document.

    A key is sha256 over canonical JSON. All of a column's requests share what stands before and after the text, so the
    hash of what stands before is taken once and copied for each row: a key then costs a microsecond.
    """

    def __init__(self, model: str, system: str | None, row_text: RowText | None = None, **form: Any) -> None:
        self._row_text = row_text
        self._before = (Message("system", (Text(system),)),) if system else ()
        self.sample = Request(model, (*self._before, Message("user", (Text(_MARK),))), **form)
        written = canonical_json({"v": KEY_VERSION, **self.sample.canonical()})
        before, found, self._end = written.rpartition(orjson.dumps(_MARK))
        assert found
        self._start = hashlib.sha256(before)
        self.model = model

    def key(self, text: str) -> str:
        """The key of the request with *text*."""
        if not text:  # it has no part in its message
            return self.request("").key
        made = self._start.copy()
        made.update(orjson.dumps(text) + self._end)
        return made.hexdigest()

    def request(self, text: str, media: tuple[Medium, ...] = (), key: str | None = None) -> Request:
        """The request with *text*, and *media* behind it. A *key* that is known need not be made again."""
        parts = merge_texts((Text(text), *media))
        values = () if self._row_text is None else (self._row_text.cut(text),)
        messages = (*self._before, Message("user", parts, values=values))
        sample = self.sample
        made = Request(sample.model, messages, sample.settings, sample.schema, sample.choices, sample.tools)
        if key is not None:
            made.__dict__["key"] = key
        return made
