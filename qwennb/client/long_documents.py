"""`overflow="map"`: what is too long for the window is asked in pieces, and the pieces' answers are combined.

    request ── fits ──▶ asked as it is
       │
       ╰─ SplitRequest: .requests, one a piece ── answers ──▶ .combine(texts) ──▶ request, or again a SplitRequest

Where to cut is decided by rules which depend on the model's window and on nothing that may or may not be installed: the same
document gives the same requests everywhere. Without files, the longest value of the template is the document, and its bytes are
counted. Files are cut between pages, else between sections, and their tokens are counted by our own estimate.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from qwennb.answer import Answer, tell_found
from qwennb.catalog import estimate_tokens
from qwennb.client.many import answer_many, failed_answer
from qwennb.client.options import Options
from qwennb.client.plan import GUESSED_ANSWER
from qwennb.client.session import Session
from qwennb.client.validation import PAGE_TOKENS
from qwennb.endpoints import is_read, most_tokens
from qwennb.errors import BadInput, MediaError, QwenError
from qwennb.request import Document, Image, Medium, Pdf, Request, Text, merge_texts
from qwennb.text import join_some

BYTES_A_TOKEN = 2.4  # fewer than any ordinary text has, so that a piece is sure to fit
MARGIN = 1.15  # the estimate of tokens is up to so much too low, on scripts that are rare in the models' vocabulary
# Sizes of pages are rounded up to so many tokens: a newer reader that finds a few words more cuts where the old one did.
GRAIN = 16
ANSWER = 1_024  # tokens that are left for an answer without max_tokens=: a server of one's own counts both together
HEADING = 24  # tokens of the line above a page
_BREAKS = (re.compile(r"\n\s*\n"), re.compile(r"\n"), re.compile(r"(?<=[.!?。！？])\s*"), re.compile(r"\s+"))
_SECTIONS = (re.compile(r"\n(?=#{1,6} )"), *_BREAKS)

Size = Callable[[str], int]


@dataclass(frozen=True, slots=True)
class SplitRequest:
    """What is asked in pieces: the request of each, and what they are of."""

    requests: tuple[Request, ...]
    subjects: tuple[str, ...]  # "report.pdf, pages 1 to 40"; empty for pieces of a text
    finish: Callable[[str], Request | SplitRequest]  # with the answers to the pieces, as one text
    whole: Request  # what was too long

    def combine(self, texts: Sequence[str]) -> Request | SplitRequest:
        """Make the request that combines *texts*, the answers to the pieces."""
        count = len(texts)
        told = []
        for i, (subject, text) in enumerate(zip(self.subjects, texts, strict=True), 1):
            told.append(f"Part {i} of {count}{f' ({subject})' if subject else ''}: {text}")
        return self.finish("\n\n".join(told))


def fit_window(
    session: Session, prompt: str | Request, values: Mapping[str, Any], options: Options
) -> Request:
    """Make the request of *prompt*; where its document is too long, with the answers to its pieces in the document's place."""
    (made,) = fit_windows(session, [split_request(session, prompt, values, options)], options)
    if isinstance(made, Answer):
        assert made.error is not None
        raise made.error
    return made


def fit_windows(
    session: Session, asked: Sequence[Request | SplitRequest | Answer], options: Options
) -> list[Request | Answer]:
    """Make the request of each of *asked*, with the answers to its pieces; where a piece failed, the answer that failed.

    The pieces of all are asked together, and what combines them is asked together where it is too long again.
    """
    made = list(asked)
    while cut := [(place, one) for place, one in enumerate(made) if isinstance(one, SplitRequest)]:
        requests = [request for _, one in cut for request in one.requests]
        answers = iter(answer_many(session, requests, replace(options, overflow=None)))
        for place, one in cut:
            made[place] = _combine(one, [next(answers) for _ in one.requests])
    # A quote must stand in what was too long, and not in what its pieces gave.
    return [
        _stand_for(one, was.whole) if isinstance(was, SplitRequest) and isinstance(one, Request) else one
        for was, one in zip(asked, made, strict=True)
        if not isinstance(one, SplitRequest)
    ]


def _combine(cut: SplitRequest, answers: Sequence[Answer]) -> Request | SplitRequest | Answer:
    """Make the request that combines *answers*; where one failed, or all are too long, the answer that failed."""
    try:
        if failed := next((answer.error for answer in answers if answer.error is not None), None):
            raise failed
        return cut.combine(list(map(tell_found, answers)))
    except QwenError as error:
        return failed_answer(cut.whole, error, asked=False)


def _stand_for(request: Request, whole: Request) -> Request:
    *before, last = request.messages
    return replace(request, messages=(*before, replace(last, stands_for=whole.messages[-1])))


def plan_pieces(
    session: Session, asked: Request | SplitRequest | Answer, options: Options
) -> tuple[list[Request | Answer], int]:
    """Make every request that *asked* would take, and tell how many of them are pieces.

    What the pieces' answers will be nobody knows: where not all are remembered, each is taken for a paragraph or two.
    """
    made: list[Request | Answer] = []
    while isinstance(asked, SplitRequest):
        made += asked.requests
        texts = [
            tell_found(answer)
            for one in asked.requests
            if (answer := _recall(session, one, options)) is not None
        ]
        if len(texts) < len(asked.requests):
            texts = [_GUESS] * len(asked.requests)
        asked = asked.combine(texts)
    return [*made, asked], len(made)


def _recall(session: Session, request: Request, options: Options) -> Answer | None:
    """Look up the answer to a piece, of which nobody is told: it is looked up for a plan."""
    mode = session.mode(options)
    if mode in ("off", "refresh"):
        return None
    try:
        identity = session.identity(request.model, [request.key], mode, request)
        return session.memory.recall(request, identity, mode)
    except QwenError:  # in replay, what is not recorded
        return None


_GUESS = "word " * GUESSED_ANSWER


def split_request(
    session: Session, prompt: str | Text | Request, values: Mapping[str, Any], options: Options
) -> Request | SplitRequest:
    """Make the request of *prompt*, or those of its pieces where it is too long. Nothing is asked."""
    if not isinstance(prompt, Request):
        options = _read_files(session, prompt, values, options)
    options = replace(options, overflow=None)
    request = session.build_request(prompt, values, options)
    if isinstance(prompt, Request) or (window := session.window(request)) is None:
        return request
    if any(map(is_read, request.media)):
        return _split_files(session, request, prompt, values, options, window)
    return _split_value(session, request, prompt, values, options, window)


def _read_files(session: Session, prompt: str | Text, values: Mapping[str, Any], options: Options) -> Options:
    """Read the files once, for all the requests that are made of them."""
    try:
        return replace(options, files=session.read_files(options.files))
    except MediaError:
        session.build_request(
            prompt, values, replace(options, overflow=None)
        )  # says more of a file that is missing
        raise


# ---------------------------------------------------------------------- a value of the template


def _split_value(
    session: Session,
    request: Request,
    prompt: str | Text,
    values: Mapping[str, Any],
    options: Options,
    window: int,
) -> Request | SplitRequest:
    room = int(window * BYTES_A_TOKEN)
    length = sum(len(message.text.encode()) for message in request.messages)
    if length <= room:
        return request
    document = max(
        (n for n, v in values.items() if isinstance(v, str)),
        key=lambda n: len(values[n].encode()),
        default=None,
    )
    if document is None:
        raise BadInput(
            'overflow="map" cuts the longest value of the template, and no value is text. Give the document by name: ask("… {{ doc }}", doc=text).'
        )
    rest = length - len(values[document].encode())
    if rest > room // 2:
        raise BadInput(
            f"What surrounds `{document}` is itself too long for the window of {request.model} ({window:,} tokens). Shorten it."
        )
    plain = replace(options, schema=None, choices=None)
    parts = pieces(values[document], room - rest)
    requests = [session.build_request(prompt, {**values, document: part}, plain) for part in parts]

    def finish(told: str) -> Request | SplitRequest:
        if len(told.encode()) > len(values[document].encode()) // 2:
            raise BadInput(
                f"The answers to the {len(parts)} pieces of `{document}` are too long to be combined. Ask for shorter ones, or bound them with max_tokens=."
            )
        combined = f"[The document was read in {len(parts)} parts. The answers that each part gave follow; combine them into one.]\n\n{told}"
        return split_request(session, prompt, {**values, document: combined}, options)

    return SplitRequest(tuple(requests), ("",) * len(requests), finish, request)


# ---------------------------------------------------------------------- files


def _split_files(
    session: Session,
    request: Request,
    prompt: str | Text,
    values: Mapping[str, Any],
    options: Options,
    window: int,
) -> Request | SplitRequest:
    if most_tokens(request) <= window:
        return request
    given: dict[str | int, Medium] = {n: v for n, v in values.items() if isinstance(v, Medium) and is_read(v)}
    files: list[Medium] = options.files or []
    given |= {place: one for place, one in enumerate(files) if is_read(one)}
    sizes = {place: _tokens(one) for place, one in given.items()}
    rest = sum(_text_tokens(message.text) for message in request.messages)
    rest += sum(_OTHER.get(type(one), 20_000) for one in request.media if not is_read(one))
    limit = int((window - (options.max_tokens or ANSWER)) / MARGIN)
    room = limit - rest - _NOTE
    if sum(sizes.values()) <= room:
        return request
    if room < limit // 2:
        raise BadInput(
            f"What surrounds the files is itself too long for the window of {request.model} ({window:,} tokens). Shorten it."
        )
    parts = _group(given, sizes, room)
    subjects = [_name_all(part, given) for part in parts]
    others = [one for one in files if not is_read(one)]
    plain = replace(options, schema=None, choices=None)
    requests = []
    for number, part in enumerate(parts, 1):
        told = {n: part.get(n, Text("[a file of another part]")) for n in given if isinstance(n, str)}
        own = [one for n, one in part.items() if isinstance(n, int)]
        note = _PIECE.format(number=number, count=len(parts), subject=subjects[number - 1])
        asked = session.build_request(prompt, {**values, **told}, replace(plain, files=[*own, *others]))
        requests.append(_put_before(asked, note))

    def finish(told: str) -> Request | SplitRequest:
        combined = _COMBINED.format(count=len(parts), told=told)
        if _text_tokens(combined) > sum(sizes.values()) // 2:
            raise BadInput(
                f"The answers to the {len(parts)} pieces of {_name_all(given, given)} are too long to be combined. Ask for shorter ones, or bound them with max_tokens=."
            )
        away = {n: Text("[a file; what was found in it stands above]") for n in given if isinstance(n, str)}
        if _text_tokens(combined) > room:
            answers = Document(combined.encode(), name="what was found")
            again = replace(options, files=[answers, *others])
            return split_request(session, prompt, {**values, **away}, again)
        asked = session.build_request(prompt, {**values, **away}, replace(options, files=others or None))
        return _put_before(asked, combined)

    return SplitRequest(tuple(requests), tuple(subjects), finish, request)


_NOTE = 120  # tokens that the note before a piece may take
_OTHER: dict[type[Medium], int] = {Image: 16_386}
_PIECE = (
    "[Part {number} of {count} of what is to be read: {subject}. Answer from this part alone, and name the page or the file; where it "
    "says nothing about the question, say so in a few words.]"
)
_COMBINED = (
    "[The files were read in {count} parts. What each part gave follows. Combine it into one answer, and keep the pages and files that "
    "are named; a part that says nothing about the question counts for nothing.]\n\n{told}"
)


def _put_before(request: Request, note: str) -> Request:
    """Put *note* before the last question."""
    *before, question = request.messages
    parts = merge_texts((Text(f"{note}\n\n"), *question.parts))
    return replace(request, messages=(*before, replace(question, parts=parts)))


def _group(
    given: Mapping[str | int, Medium], sizes: Mapping[str | int, int], room: int
) -> list[dict[str | int, Medium]]:
    """Put documents into pieces of at most *room* tokens, in their order: small ones together, a long one cut, and alone."""
    made: list[dict[str | int, Medium]] = []
    left = 0
    for place, medium in given.items():
        if sizes[place] <= left:
            made[-1][place] = medium
            left -= sizes[place]
        elif sizes[place] <= room:
            made.append({place: medium})
            left = room - sizes[place]
        else:
            assert isinstance(medium, Pdf | Document)
            made += [{place: piece} for piece in cut_document(medium, room)]
            left = 0
    return made


def cut_document(document: Pdf | Document, room: int) -> list[Pdf | Document]:
    """Cut *document* into pieces of at most *room* tokens: between pages; a page that is too long, and a text, between sections."""
    pages = document.read().pages
    if len(pages) == 1:
        return _cut_page(document, room)
    made: list[Pdf | Document] = []
    run: list[int] = []
    left = room
    for page in pages:
        assert page.number is not None
        size = _page_tokens(page.text, drawn=page.is_scanned)
        if run and size > left:
            made.append(type(document)(document, pages=run))
            run, left = [], room
        if size > room:
            made += _cut_page(type(document)(document, pages=[page.number]), room)
        else:
            run.append(page.number)
            left -= size
    return made + ([type(document)(document, pages=run)] if run else [])


def _cut_page(document: Pdf | Document, room: int) -> list[Pdf | Document]:
    """Cut the one page of *document*, which is too long, where a section, a paragraph, a line, a sentence or a word ends."""
    text = document.read().pages[0].text
    whole = document if isinstance(document, Document) else Document(document)
    begins = whole.span[0] if whole.span else 0
    made: list[Pdf | Document] = []
    for piece in _cut(text, room - HEADING, 0, _SECTIONS, _text_tokens):
        made.append(Document(whole, span=(begins, begins + len(piece))))
        begins += len(piece)
    return made


def _tokens(medium: Medium) -> int:
    assert isinstance(medium, Pdf | Document)
    return sum(_page_tokens(page.text, drawn=page.is_scanned) for page in medium.read().pages)


def _page_tokens(text: str, *, drawn: bool) -> int:
    tokens = _text_tokens(text) + HEADING + (PAGE_TOKENS if drawn else 0)
    return math.ceil(tokens / GRAIN) * GRAIN


def _text_tokens(text: str) -> int:
    return estimate_tokens(text).tokens


def _name_all(part: Mapping[str | int, Medium], given: Mapping[str | int, Medium]) -> str:
    """Name the documents of *part*, each with the pages or lines that are meant; a PDF without a name by its number among *given*."""
    nameless = [place for place, one in given.items() if isinstance(one, Pdf)]
    numbers = {place: f"PDF {n}" if len(nameless) > 1 else "the PDF" for n, place in enumerate(nameless, 1)}
    return join_some([_name(one, numbers.get(place, one.name)) for place, one in part.items()], 5)


def _name(medium: Medium, name: str) -> str:
    assert isinstance(medium, Pdf | Document)
    lines = medium.lines() if isinstance(medium, Document) else None
    where = [
        _range(_NOUNS.get(medium.kind, "page"), medium.pages),
        _range("line", lines and range(lines[0], lines[1] + 1)),
    ]
    return ", ".join(filter(None, [name, *where]))


_NOUNS = {"pptx": "slide", "xlsx": "sheet"}  # as the line above each says


def _range(noun: str, numbers: Sequence[int] | None) -> str:
    if not numbers:
        return ""
    if len(numbers) == 1:
        return f"{noun} {numbers[0]:,}"
    if numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{noun}s {numbers[0]:,} to {numbers[-1]:,}"
    return f"{noun}s {', '.join(map(str, numbers))}"


# ---------------------------------------------------------------------- cutting a text


def count_bytes(text: str) -> int:
    """Count the bytes of *text*."""
    return len(text.encode())


def pieces(text: str, most: int) -> list[str]:
    """Cut *text* into pieces of at most *most* bytes: at paragraphs, else lines, sentences, words, characters."""
    return _cut(text, most, 0, _BREAKS, count_bytes)


def _cut(text: str, most: int, level: int, breaks: Sequence[re.Pattern[str]], size_of: Size) -> list[str]:
    if most < 4:
        raise BadInput("There is no room for even a piece of the document.")
    if size_of(text) <= most:
        return [text] if text else []
    if level == len(breaks):
        return _by_characters(text, most)
    made: list[str] = []
    room = 0
    for part in _split_keeping(text, breaks[level]):
        size = size_of(part)
        if size > most:
            made.extend(_cut(part, most, level + 1, breaks, size_of))
            room = 0
        elif made and size <= room:
            made[-1] += part
            room -= size
        else:
            made.append(part)
            room = most - size
    return made


def _split_keeping(text: str, pattern: re.Pattern[str]) -> list[str]:
    made, start = [], 0
    for match in pattern.finditer(text):
        if match.end() > start:
            made.append(text[start : match.end()])
            start = match.end()
    if start < len(text):
        made.append(text[start:])
    return made


def _by_characters(text: str, most: int) -> list[str]:
    made, raw, start = [], text.encode(), 0
    while start < len(raw):
        end = min(start + most, len(raw))
        while end < len(raw) and raw[end] & 0xC0 == 0x80:
            end -= 1
        made.append(raw[start:end].decode())
        start = end
    return made
