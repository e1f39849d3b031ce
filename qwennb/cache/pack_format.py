"""How a pack's file is spelled, and its lines read, one after the other. Two forms are read, the second is written.

Form 2 is made so that git can merge it: no line of it counts or covers the others. Each is sealed by itself (the seal is
the sha256 of the rest of the line, cut to half), and the last one tells that the file is whole. So two branches that
each add answers have no line in common but the ones that are the same. In which order the lines stand, and whether one
stands there twice, makes no difference: `git merge` may have put them together.

Form 1, of qwennb 0.1, has a count and a root over all of its bytes in the first line, and nothing else.

A line is believed when it is byte for byte what we would write for what it says: then no name stands twice in it, no
field is smuggled past the key, nothing is spelled so that two readers see two things.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any

import msgspec
import orjson

from qwennb.answer import Answer
from qwennb.cache import pack_file
from qwennb.cache.record import KEY_LENGTH, Name, check_answer_form, record_of
from qwennb.errors import PackRefused, QwenError
from qwennb.request import KEY_VERSION, Request, Schema, key_of

FORM = 2
NEEDS = "qwennb 0.2"
END = b'{"qwennb_pack":"end"}'
SEAL_LENGTH = 32
_BEFORE, _BETWEEN = b'{"key":"', b'","seal":"'
_KEY_END = len(_BEFORE) + KEY_LENGTH
_SEAL_START = _KEY_END + len(_BETWEEN)
_SEAL_END = _SEAL_START + SEAL_LENGTH
SEALED = _SEAL_END - _KEY_END  # bytes that a seal adds to a line
_MARKS = (b"<<<<<<< ", b"||||||| ", b">>>>>>> ")
_DIVIDES = b"======="


class PackHeader(msgspec.Struct, frozen=True, rename={"form": "qwennb_pack"}):
    """What the first line says. Only form 1 has a count and a root there."""

    form: int
    defaults: dict[str, str]
    count: Annotated[int, msgspec.Meta(ge=0)] = 0
    root: str = ""


# ---------------------------------------------------------------------- spelling


def seal_header(defaults: Mapping[str, str]) -> bytes:
    """Spell the first line."""
    made = orjson.dumps({"qwennb_pack": FORM, "needs": NEEDS, "defaults": dict(defaults)})
    return b'%b,"seal":"%b"}' % (made[:-1], _seal(made))


def seal_line(line: bytes) -> bytes:
    """*line*, as form 1 spells it, with its seal behind the key."""
    return line[:_KEY_END] + _BETWEEN + _seal(line) + line[_KEY_END:]


def _seal(spelled: bytes) -> bytes:
    return hashlib.sha256(spelled).hexdigest()[:SEAL_LENGTH].encode()


def _unseal(line: bytes, at: str) -> bytes:
    bare = line[:_KEY_END] + line[_SEAL_END:]
    if not line.startswith(_BEFORE) or line[_KEY_END:_SEAL_START] != _BETWEEN:
        raise PackRefused(f"{at}: it is no line of a pack: a key and its seal do not stand first.")
    if line[_SEAL_START:_SEAL_END] != _seal(bare):
        raise PackRefused(
            f"{at}: it was changed after it was made: its seal does not fit. Get the pack again."
        )
    return bare


def hash_root(count: int, defaults: Mapping[str, str], lines: Iterator[bytes]) -> str:
    """Make the sha256 over a content: of the header as form 1 spells it, and of the *lines* without seals."""
    made = hashlib.sha256(_spell_first(count, defaults) + b"\n")
    for line in lines:
        made.update(line + b"\n")
    return made.hexdigest()


def _spell_first(count: int, defaults: Mapping[str, str], root: str = "") -> bytes:
    """Spell the first line of form 1."""
    made: dict[str, Any] = {"qwennb_pack": 1, "count": count, "defaults": dict(defaults)}
    return orjson.dumps({**made, "root": root} if root else made)


# ---------------------------------------------------------------------- reading


def is_mark(line: bytes) -> bool:
    """Tell whether git left *line* where it could not merge."""
    return line.startswith(_MARKS) or line == _DIVIDES


def read_lines(
    lines: Iterator[bytes],
    name: str,
    take: Callable[[str, Name, bytes], None] | None = None,
    *,
    trusted: bool = False,
) -> tuple[PackHeader, bytes]:
    """Read the header and make the hash of all *lines*, if everything in them fits; PackRefused at the first thing amiss.

    Each answer is given to *take*: at which line, its name, its record. Lines that are *trusted*, because they were read
    before, are not looked into again.
    """
    first = next(lines, b"")
    header = read_header(first, name)
    whole = hashlib.sha256(first + b"\n")
    root = hashlib.sha256(_spell_first(header.count, header.defaults) + b"\n")
    count, last, ended = 0, "", False
    for line in lines:
        count += 1
        at = f"{name}, line {count + 1}"
        _refuse_mark(line, name)
        if ended:
            raise PackRefused(f"{at}: it stands behind the end of the pack. Get it again.")
        if header.form == 1 and count > header.count:
            break
        whole.update(line + b"\n")
        if header.form == FORM and line == END:
            ended = True
            continue
        if count > pack_file.MOST_LINES:
            raise PackRefused(
                f"{name} holds more than the {pack_file.MOST_LINES:,} answers that a pack may hold."
            )
        bare = line if header.form == 1 else _unseal(line, at)
        root.update(bare + b"\n")
        if not trusted:
            read = check_line(bare, at)
            if header.form == 1 and read.text <= last:
                raise PackRefused(f"{at}: it stands in the wrong place, or twice; a pack is sorted by key.")
            last = read.text
        if take is not None:
            take(at, *read_line(bare))
    if header.form == 1:
        _check_first(header, count, root.hexdigest(), name)
    elif not ended:
        raise PackRefused(f"{name} is cut off: its last line is missing. Get it again.")
    return header, whole.digest()


def _check_first(header: PackHeader, count: int, root: str, name: str) -> None:
    if count != header.count:
        raise PackRefused(f"{name} says that it holds {header.count:,} answers, and holds another number.")
    if root != header.root:
        raise PackRefused(f"{name} was changed after it was made: its root hash does not fit. Get it again.")


def _refuse_mark(line: bytes, name: str) -> None:
    if is_mark(line):
        raise PackRefused(
            f"{name} holds the marks of a merge that git left open. Type: qwennb pack --merge {name}"
        )


def read_header(line: bytes, name: str) -> PackHeader:
    """Read what the first line says, if it is a pack's."""
    _refuse_mark(line, name)
    try:
        said = orjson.loads(line)
        if type(form := said["qwennb_pack"]) is int and form > FORM:
            raise PackRefused(
                f"{name} was made by a newer qwennb{_needs_text(said.get('needs'))}. Upgrade to read it."
            )
        header = msgspec.convert(said, PackHeader)
    except (orjson.JSONDecodeError, KeyError, TypeError, msgspec.ValidationError):
        raise PackRefused(f"{name} is no pack: its first line is not a pack's header.") from None
    if header.form == FORM:
        spelled = seal_header(header.defaults)
    else:
        spelled = _spell_first(header.count, header.defaults, header.root)
    if spelled != line or list(header.defaults) != ["model", "endpoint"]:
        raise PackRefused(
            f"{name} was changed after it was made: its header is not as it was written. Get it again."
        )
    if header.count > pack_file.MOST_LINES:
        raise PackRefused(
            f"{name} says that it holds {header.count:,} answers; a pack may hold {pack_file.MOST_LINES:,}."
        )
    return header


def _needs_text(needs: Any) -> str:
    is_plain = isinstance(needs, str) and needs.isascii() and needs.isprintable() and len(needs) < 40
    return f" (it needs {needs})" if is_plain else ""


# ---------------------------------------------------------------------- one line

START = len('{"key":"') + KEY_LENGTH + len('",')
_FLOAT = re.compile(rb"[0-9](?:\.0|e)")


_CANT = (QwenError, ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError)


def rewrite(record: bytes) -> bytes | None:
    """Spell a stored *record* as it is written today; None where it can't be read, or holds no whole answer."""
    try:
        data = orjson.loads(record)
        answer = _answer(data["answer"], request_of(data["request"]))
    except _CANT:
        return None
    return record_of(answer)


def check_line(line: bytes, at: str) -> Name:
    """Check a line and tell the name of what it holds; PackRefused, told *at* which line, where it is not what we would write."""
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise PackRefused(f"{at}: it is not JSON.") from None
    try:
        key, asked = data["key"], data["request"]
        request = request_of(asked)
        answer = _answer(data["answer"], request)
        canonical = request.canonical()
        if _key_of(canonical) != key:
            raise PackRefused(f"{at}: its key is not that of its request. Somebody changed one of them.")
        again = orjson.dumps({"key": key, "request": canonical, "answer": answer.to_json()})
    except PackRefused:
        raise
    except _CANT as error:
        raise PackRefused(f"{at}: it holds no request with its answer ({_error_text(error)}).") from None
    if again != line:
        raise PackRefused(
            f"{at}: it is not spelled as a pack spells it: a name given twice or unknown, a space, another order."
        )
    return Name(key, answer.endpoint)


def _key_of(canonical: Mapping[str, Any]) -> str:
    """Make the key; in a fifth of the time where there is no number of which JSON has two spellings."""
    spelled = orjson.dumps({"v": KEY_VERSION, **canonical}, option=orjson.OPT_SORT_KEYS)
    return key_of(canonical) if _FLOAT.search(spelled) else hashlib.sha256(spelled).hexdigest()


def read_line(line: bytes) -> tuple[Name, bytes]:
    """Read the name and the record of a line that was checked before."""
    record = b"{" + line[START:]
    return Name(line[8 : 8 + KEY_LENGTH].decode(), orjson.loads(record)["answer"]["endpoint"]), record


def request_of(data: Mapping[str, Any]) -> Request:
    """Read the request that *data* spells. A schema is taken as it is: nothing is ever held against one that came in a pack."""
    schema = data.get("schema")
    if schema is None:
        return Request.from_json(data)
    if not isinstance(schema, dict):
        raise TypeError("a schema is an object")
    return Request.from_json({**data, "schema": Schema(orjson.dumps(schema).decode())})


def _error_text(error: BaseException) -> str:
    text = str(error) if isinstance(error, QwenError | ValueError) else f"{type(error).__name__}: {error}"
    return text[:200]


def _answer(data: Mapping[str, Any], request: Request) -> Answer:
    """Read the answer that *data* spells, if every field of it is what it should be; ValueError and its like otherwise."""
    check_answer_form(data)
    answer = Answer.from_json(data, request)
    if not answer.complete:
        raise ValueError("the answer is not whole")
    if not answer.endpoint.isprintable():
        raise ValueError("its endpoint can't be one")
    likely = answer.choice_logprobs
    if likely is not None and len(likely) != len(request.choices or ()):
        raise ValueError("the log probabilities of its choices can't be")
    return answer
