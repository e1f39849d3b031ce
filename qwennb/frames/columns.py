"""What a column asks of each row: the prompt around a text, the form of its answer, and what becomes of a row that fails.

A verb's subject is a column's name, or a template over several; its words stand in wording.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import polars as pl

from qwennb.client import Options, Qwen
from qwennb.documents import cell_text
from qwennb.errors import BadInput, TemplateError, nearest, show_value
from qwennb.frames.draft_terms import TERM_CHECKS, DraftTerms, take_terms
from qwennb.frames.fields import tell_fields
from qwennb.frames.form import ColumnForm
from qwennb.frames.options import Lane, Nulls, OnError, split_options
from qwennb.frames.outcome import meta_type, quotes_type
from qwennb.frames.polars_calls import refuse_after_fork
from qwennb.frames.progress import Progress
from qwennb.frames.prompts import check_file_column, check_image_column, check_names, fill_in, read_values
from qwennb.frames.wording import (
    PLAIN,
    Wording,
    choose_words,
    classify_words,
    extract_words,
    filter_words,
    read_examples,
    score_words,
    summarize_words,
)
from qwennb.request import (
    NO_QUOTES_OF_CHOICES,
    CitedSchema,
    Request,
    Schema,
    Template,
    check_characters,
    flag,
    number,
    read_labels,
)

YES, NO = "yes", "no"

# What each verb calls its column, unless a name is given.
_NOUNS = {
    "ask": "answer",
    "classify": "label",
    "extract": "extracted",
    "summarize": "summary",
    "translate": "translation",
    "score": "score",
    "filter": "is it true",
}


@dataclass(frozen=True, slots=True)
class Column:
    """What is asked of each row: one question, or several that share all but their prompts, each with a column of its own.

    `it` is what an expression's own value is called in a template.
    """

    verb: str
    questions: Mapping[str, Template]  # by the name of the column that each makes
    options: Options
    form: ColumnForm
    into: str  # the first of these names
    is_named: bool  # by the user; a verb's own noun replaces no column
    client: Qwen | None  # None: the default one, when it is first needed
    system: Template | None  # where the system text differs from row to row; else it is an option
    templates: tuple[Template, ...]  # what is filled from the columns: the prompts, and `system`
    columns: list[str]  # those of the frame that it reads
    values: tuple[str, ...]  # the names of constants that stand in the templates already
    details: tuple[str, ...]  # what meta has more than the usual, because it was asked for and is paid
    outputs: Mapping[str, pl.DataType]  # the columns that it makes
    wording: Wording  # a verb's own words, which stand in the template
    older: tuple[tuple[Wording, Options], ...]  # under which a row may be recorded
    is_calibrated: bool  # whether the lean to a label is taken away: lean.py
    on_error: OnError = "null"
    meta: bool | Literal["run"] = False
    nulls: Nulls = "skip"
    concurrency: int | None = None
    progress: bool | Callable[[Progress], None] | None = None
    image: str | None = None
    file: str | None = None
    root: Path | None = None
    lane: Lane = "live"
    draws: int | None = None  # so many of each prompt, of which the majority counts
    truth: str | None = None  # the column that says what is right
    span: float | None = None  # the whole range of a score
    after: str = ""  # what is said of quotes after each prompt
    terms: DraftTerms | None = None  # on which another one's answers are taken: drafted.py

    @property
    def title(self) -> str:
        """What errors and warnings call it."""
        names = ", ".join(f"`{name}`" for name in self.questions)
        return f"column{'s' if len(self.questions) > 1 else ''} {names}"

    def as_draft(self, terms: DraftTerms) -> Column:
        """The same asked of who drafts."""
        older = tuple((words, replace(options, model=terms.draft)) for words, options in self.older)
        return replace(self, options=replace(self.options, model=terms.draft), older=older, terms=None)

    def question_of(self, output: str) -> str:
        """The name of the question whose answers, or whose errors or meta, make the column *output*."""
        return output if output in self.questions else output.rpartition("_")[0]

    def columns_of(self, question: str) -> list[str]:
        """The columns that *question* reads."""
        others = [hole.name for name, one in self.questions.items() if name != question for hole in one.holes]
        mine = [hole.name for one in (self.questions[question], self.system) if one for hole in one.holes]
        mine += [name for name in (self.image, self.file, self.truth) if name]
        return [name for name in self.columns if name in mine or name not in others]

    def check(self, schema: Mapping[str, object]) -> None:
        """Refuse a column that reads what is not in *schema*, or takes a name in it that nobody gave."""
        self.check_names(schema)
        for name in () if self.is_named else self.outputs:
            if name in schema:
                raise BadInput(
                    f"There is a column `{name}` already, and a name that nobody gave replaces none. "
                    f'Give into="…" for another name, or into="{self.into}" to replace it.'
                )

    def check_names(self, schema: Mapping[str, object]) -> None:
        """Refuse a column that reads what is not there, or takes for pictures what are none."""
        for name in self.values:
            if name in schema:
                raise BadInput(
                    f"`{name}` is a column and stands in values= too, so what {{{{ {name} }}}} means is not clear. Give the constant another name."
                )
        for template in self.templates:
            check_names(template, [*schema, *self.values])
        if self.truth is not None and self.truth not in schema:
            raise BadInput(
                f"truth={show_value(self.truth)} names no column{nearest(self.truth, schema) or '.'}"
            )
        for name in filter(None, (self.image, self.file)):
            if name not in schema:
                check_names(Template.of(f"{{{{ `{name}` }}}}"), schema)
        if self.image is not None and isinstance(dtype := schema[self.image], pl.DataType):
            check_image_column(dtype, self.image, root=self.root, urls=bool(self.options.allow_urls))
        if self.file is not None and isinstance(dtype := schema[self.file], pl.DataType):
            check_file_column(dtype, self.file, root=self.root)


def build_column(
    prompt: str | Mapping[str, str],
    given: Mapping[str, Any],
    *,
    verb: str,
    words: Sequence[Wording] = (Wording(options=Options()),),
    defaults: Options | None = None,
    take: str | None = None,
    span: float | None = None,
    is_whole: bool = False,
    votes: bool = False,
) -> Column:
    """Make the column that a call with the options *given* stands for; its name is the noun of the *verb* unless they name it.

    *prompt* may be several, by the names of their columns. Where its answers can be counted (*votes*) there may be several
    draws of each, and a column of truth; *span* is the range of numbers, which are whole ones or not. *words* are a verb's own, the newest first.
    """
    refuse_after_fork()
    own, call, client = split_options(given)
    terms = None if TERM_CHECKS.keys().isdisjoint(own) else take_terms(own, verb, is_whole=is_whole)
    own.pop("prompt_version", None)
    into = own.pop("into", None)
    prompts = _name_prompts(prompt, into) if isinstance(prompt, Mapping) else {into or _NOUNS[verb]: prompt}
    for one in prompts.values():
        if not isinstance(one, str):
            raise BadInput(
                f'The prompt is {type(one).__name__}, not text. Columns are named in it: "… {{{{ review }}}}".'
            )
        check_characters("The prompt", one)
    if not votes:
        for name in ("draws", "truth"):
            if own.get(name) is not None:
                raise BadInput(
                    f"{name}= is for classify(), score() and filter(), whose answers can be counted. For another draw of a text, ask with sample=1, 2 …"
                )
    if draws := own.get("draws"):
        check_draws(draws, call, sample=call.sample)
        # Draws at temperature 0 are all the same.
        words = [replace(one, options=replace(one.options, temperature=None)) for one in words]
    bounded = call if defaults is None else call.over(defaults)
    options = bounded.over(words[0].options)
    schema, after = None if options.schema is None else Schema.of(options.schema), ""
    cited = _cite(verb, schema, options) if options.cite else None
    if cited is not None:
        options, words = replace(options, schema=cited), words[:1]
        if cited.has_fields:
            said = "\n\n".join(filter(None, (words[0].system, cited.words)))
            words = [replace(words[0], system=said)]
        else:
            after = f"\n\n{cited.words}"
            prompts = {name: f"{one}{_text(after)}" for name, one in prompts.items()}
    # A request without a text: what can't be asked for is said now, and not with the first row.
    Request("", (), settings=options.settings, schema=cited or schema, choices=options.choices)
    questions = dict(zip(prompts, map(Template.of, prompts.values()), strict=True))
    system = Template.of(options.system) if options.system else None
    values: Mapping[str, pl.Series] = {}
    if constants := own.pop("values", None):
        values = read_values(constants)
        _refuse_unused(values, [*questions.values(), *([] if system is None else [system])])
        questions = {name: fill_in(template, values) for name, template in questions.items()}
        system = system and fill_in(system, values)
    if system is not None and not system.holes:
        options, system = replace(options, system="".join(map(str, system.pieces))), None
    has_media = own.get("image") is not None or own.get("file") is not None
    for name, template in questions.items():
        if not template.holes and system is None and not has_media:
            of = f" of `{name}`" if len(questions) > 1 else ""
            raise TemplateError(
                f'The prompt{of} names no column, so every row would ask the same. Put one in: "… {{{{ review }}}}".'
            )
    form = ColumnForm.of(schema, options.choices, take=take)
    is_calibrated = (
        words[0].is_calibrated
        and not (options.thinking or own.get("draws"))
        and system is None
        and not has_media
    )
    details = _list_details(options, client, is_calibrated) if own.get("meta") else ()
    outputs = _list_outputs(questions, form, cited, details, own)
    templates = (*questions.values(), *([] if system is None else [system]))
    columns = [hole.name for template in templates for hole in template.holes]
    if (truth := own.get("truth")) in columns:
        raise BadInput(
            f"The prompt reads `{truth}`, which is the truth, so that the model would be told what is right. Leave it out of the prompt."
        )
    columns += filter(None, (own.get("image"), own.get("file"), truth))
    return Column(
        verb=verb,
        questions=questions,
        options=options,
        form=form,
        into=next(iter(questions)),
        is_named=isinstance(prompt, Mapping) or into is not None,
        client=client,
        system=system,
        templates=templates,
        columns=list(dict.fromkeys(columns)),
        values=tuple(values),
        details=details,
        outputs=outputs,
        wording=words[0],
        older=tuple((one, replace(bounded.over(one.options), system=options.system)) for one in words[1:]),
        is_calibrated=is_calibrated,
        span=span,
        after=after,
        terms=terms,
        **own,
    )


def _cite(verb: str, schema: Schema | None, options: Options) -> CitedSchema:
    """The form in which each claim or field has its quote; refused for answers that have neither."""
    if verb not in ("ask", "extract"):
        raise BadInput(
            f"cite=True goes with ask() and extract(), whose claims and fields rest on words of the text; {verb}() has none to quote. "
            'Ask for the words in a schema: ask("… {{ text }}", schema="label, why", cite=True).'
        )
    if options.choices is not None:
        raise BadInput(NO_QUOTES_OF_CHOICES)
    return CitedSchema.around(schema)


def check_draws(draws: int, options: Options, *, sample: int | None = None) -> None:
    """Refuse *options* under which all draws would be the same."""
    if sample is not None:
        raise BadInput(
            f"draws={draws} asks for the samples 0 to {draws - 1}, so there is no sample=. Leave one of them out."
        )
    for name, is_fixed in (("temperature", options.temperature == 0), ("seed", options.seed is not None)):
        if is_fixed:
            raise BadInput(
                f"{name}={getattr(options, name)} makes every one of {draws} draws the same. Leave it out; a draw that was made is kept, and the same call asks for none again."
            )


def _name_prompts(prompts: Mapping[str, str], into: str | None) -> Mapping[str, str]:
    """Several prompts, by the names of their columns."""
    if into is not None:
        raise BadInput(
            f'Several prompts are given, and each names its own column, so there is no into={show_value(into)}. Rename it there: {{"mood": "…"}}.'
        )
    if not prompts or not all(isinstance(name, str) and name for name in prompts):
        raise BadInput(
            'Several prompts are a dict from the names of the new columns to the prompts: {"mood": "… {{ review }}", "dish": "… {{ review }}"}.'
        )
    for name in prompts:
        check_characters("The name of a column", name)
    return prompts


def _list_outputs(
    questions: Iterable[str],
    form: ColumnForm,
    cited: CitedSchema | None,
    details: tuple[str, ...],
    own: Mapping[str, Any],
) -> dict[str, pl.DataType]:
    """The columns that *questions* make: of each its answers, and beside them what the options *own* ask for."""
    outputs: dict[str, pl.DataType] = {}
    for into in questions:
        made: dict[str, pl.DataType] = {into: form.dtype}
        if cited is not None:
            made[f"{into}_quotes"] = quotes_type(cited)
        if meta := own.get("meta"):
            of_draws = own.get("draws") is not None
            made[f"{into}_meta"] = meta_type(details, of_the_run=meta == "run", of_draws=of_draws)
        if own.get("on_error") == "column":
            made[f"{into}_error"] = pl.String()
        for name in made.keys() & outputs.keys():
            raise BadInput(f"Two of the columns would be called `{name}`. Rename one of the questions.")
        outputs |= made
    return outputs


def _refuse_unused(values: Iterable[str], templates: Iterable[Template]) -> None:
    named = {hole.name for template in templates for hole in template.holes}
    for name in values:
        if name not in named:
            raise BadInput(
                f"values= has `{name}`, and no template names `{name}`{nearest(name, named) or '. Leave it out, or name it: {{ … }}.'}"
            )


def _list_details(options: Options, client: Qwen | None, is_calibrated: bool) -> tuple[str, ...]:
    # The default client may be another one by the time it is first needed; a type is known now.
    asked = options if client is None else client.session.with_defaults(options)
    made = ["reasoning"] if asked.thinking else []
    if asked.logprobs is not None and asked.logprobs is not False:
        made += ["logprobs", "confidence"]
    elif is_calibrated:
        made.append("confidence")
    return (*made, *(["sources"] if asked.search else []))


# ---------------------------------------------------------------------- what each verb asks


_NUMBER = r"-?[0-9]+(?:\.[0-9]+)?"
# A criterion that ends in a plain range: "1 to 5". What is joined to its first number (a word, a minus, a comma of
# thousands) makes it another number, and then nothing is read.
_RANGE = re.compile(rf"(?<![\w.−–—-])(?<!\d,)({_NUMBER})\s+to\s+({_NUMBER})\s*\.?$")
# A date, a time, a fraction, a range of three: what stands before the range makes something else of its first number.
_NOT_PLAIN = re.compile(r"(?:\d\s*[−–—/:-]|\bto)\s*$")
_FAR = 1e15  # beyond it a float no longer tells whole numbers apart
_SCORE_TOKENS = 64  # `{"score": 0.75}`, with room for spaces


def ask_column(prompt: str | Mapping[str, str], given: Mapping[str, Any]) -> Column:
    """The user's own question, or several by the names of their columns."""
    if given.get("prompt_version") is not None:
        raise BadInput("ask() has no words but yours, so it takes no prompt_version=.")
    return build_column(prompt, given, verb="ask")


def _verb_column(
    subject: str, versions: Mapping[int, Wording], given: Mapping[str, Any], **rest: Any
) -> Column:
    """Put a verb's words round *subject*, a template."""
    words = choose_words(versions, given.get("prompt_version"))
    prompt = f"{_text(words[0].before)}{subject}{_text(words[0].after)}"
    return build_column(prompt, given, words=words, **rest)


def classify_column(
    subject: str, labels: Any, given: Mapping[str, Any], *, several: bool = False, examples: Any = None
) -> Column:
    """One of *labels* for each text, or *several*; *examples* are texts with the labels that are right."""
    _refuse(given, "classify() chooses among its labels", "choices", "schema")
    meanings = read_labels("labels", labels)
    shown = (
        [] if examples is None else read_examples(examples, list(meanings), several=flag("several", several))
    )
    versions = classify_words(meanings, several=flag("several", several), examples=shown)
    if not several:
        given = {**given, "choices": list(meanings)}
        return _verb_column(_hole(subject), versions, given, verb="classify", votes=True)
    listed = {"type": "array", "items": {"enum": list(meanings)}, "maxItems": len(meanings)}
    schema = {
        "type": "object",
        "properties": {"labels": listed},
        "required": ["labels"],
        "additionalProperties": False,
    }
    given = {**given, "schema": schema}
    return _verb_column(_hole(subject), versions, given, verb="classify", take="labels", votes=True)


def extract_column(subject: str, schema: Any, given: Mapping[str, Any]) -> Column:
    """What *schema* asks for, out of each text."""
    if schema is None:
        raise BadInput('extract() takes what to look for: extract("mail", "name, count int").')
    words = extract_words(tell_fields(Schema.of(schema)))  # what can't be asked for is said first
    return _verb_column(_hole(subject), words, {**given, "schema": schema}, verb="extract")


def summarize_column(subject: str, given: Mapping[str, Any]) -> Column:
    """A sentence or two about each text."""
    return _verb_column(_hole(subject), summarize_words(), given, verb="summarize")


def translate_column(subject: str, to: str, given: Mapping[str, Any]) -> Column:
    """Each text in the language *to*, a template: it may stand in a column."""
    if not isinstance(to, str) or not to.strip():
        raise BadInput('translate() takes a language: translate("text", to="French").')
    choose_words({1: Wording()}, given.get("prompt_version"))
    prompt = f"Translate the text to {to}. Answer with the translation alone.\n\nText:\n{_hole(subject)}"
    return build_column(prompt, given, verb="translate", defaults=PLAIN)


def score_column(
    subject: str,
    criterion: str,
    given: Mapping[str, Any],
    *,
    low: float | None = None,
    high: float | None = None,
    integer: bool = False,
) -> Column:
    """A number for each text, from *low* to *high*, or in the range that the *criterion* ends in; else from 0 to 1."""
    if not isinstance(criterion, str) or not criterion.strip():
        raise BadInput('score() takes a criterion: score("text", "how urgent", low=1, high=5).')
    check_characters("The criterion", criterion)
    _refuse(given, "score() gives a number", "choices", "schema")
    low, high, bare = _range_of(criterion, low, high)
    if flag("integer", integer) and not (float(low).is_integer() and float(high).is_integer()):
        raise BadInput(
            f"With integer=True, low= and high= are whole numbers, and {_range(low, high)} is not."
        )
    value = {"type": "integer" if integer else "number", "minimum": low, "maximum": high}
    schema = {
        "type": "object",
        "properties": {"score": value},
        "required": ["score"],
        "additionalProperties": False,
    }
    with_range = f"{criterion}, {_range(low, high)}" if bare == criterion else criterion
    bound = Options(max_tokens=_SCORE_TOKENS) if given.get("thinking") is None else None
    return _verb_column(
        _hole(subject),
        score_words(bare, cell_text(low), cell_text(high), with_range),
        {**given, "schema": schema},
        verb="score",
        defaults=bound,
        take="score",
        span=high - low,
        is_whole=integer,
        votes=True,
    )


def _range_of(criterion: str, low: Any, high: Any) -> tuple[float, float, str]:
    """The range of a score, and the *criterion* without it."""
    found = _RANGE.search(criterion)
    if found and _NOT_PLAIN.search(criterion[: found.start()]):
        found = None
    said = (float(found[1]), float(found[2])) if found else None
    if (low is None) != (high is None):
        raise BadInput("low= and high= are given together: score(…, low=1, high=5).")
    if low is None:
        if said is None and re.search(r"\d", criterion):
            raise BadInput(
                f"The criterion {show_value(criterion)} has digits in it, and what range they mean is not guessed. "
                f"Say it: score(…, {show_value(criterion)}, low=0, high=10)."
            )
        low, high = said or (0.0, 1.0)
    else:
        bound = number(-_FAR, _FAR)
        low, high = bound("low", low), bound("high", high)
    if low >= high:
        raise BadInput(
            f"The range {_range(low, high)} is empty: low= must be below high=, as in score(…, low=1, high=5)."
        )
    if said is not None and said != (low, high):
        raise BadInput(
            f"The criterion says {_range(*said)} and the arguments {_range(low, high)}. Leave one of them out."
        )
    return low, high, criterion[: found.start()].rstrip(" ,;:–—-") if found else criterion


def _range(low: float, high: float) -> str:
    return f"{cell_text(low)} to {cell_text(high)}"


def filter_column(statement: str, given: Mapping[str, Any]) -> Column:
    """Whether *statement*, a template, is true of each row. A row that fails must not vanish: it is an error."""
    _refuse(given, f"filter() asks for {YES} or {NO}", "choices", "schema")
    given = {name: value for name, value in given.items() if value is not None}
    for name in ("into", "meta"):
        if given.get(name, False) is not False:
            raise BadInput(
                f'filter() makes no column, so it takes no {name}=. To keep the answers, use ask(…, choices=["yes", "no"]).'
            )
    if given.get("on_error") == "column":
        raise BadInput(
            'filter() makes no column; use on_error="raise", or "null" to drop the rows that failed.'
        )
    if not isinstance(statement, str) or not statement.strip():
        raise BadInput(
            'filter() takes a statement over the columns: filter("{{ review }} mentions delivery").'
        )
    options = {"on_error": "raise", **given, "into": _NOUNS["filter"], "choices": [YES, NO]}
    return _verb_column(statement, filter_words(), options, verb="filter", votes=True)


def _refuse(given: Mapping[str, Any], why: str, *names: str) -> None:
    """Refuse options that the verb would have to drop."""
    for name in names:
        if given.get(name) is not None:
            raise BadInput(f"{why}, so it takes no {name}=. For a form of your own, use ask(…, {name}=…).")


def _hole(subject: str) -> str:
    if not isinstance(subject, str):
        raise BadInput(
            f'{show_value(subject)} is not a column\'s name. Give a name, or a template: "{{{{ title }}}}: {{{{ body }}}}".'
        )
    if "{{" in subject:
        return subject
    if "`" in subject or "\n" in subject or not subject:
        raise BadInput(f"A column called {show_value(subject)} can't stand in a template. Rename it first.")
    return f"{{{{ `{subject}` }}}}"


def _text(words: str) -> str:
    """*words* so that two braces in them stay text."""
    return words.replace("{{", '{{ "{{" }}')
