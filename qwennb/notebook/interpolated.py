"""What an expression of a question gave when it was sent, and whether it would give the same now.

What a cell interpolates is hashed as it is sent. To find out what has become of it an expression is evaluated again only
where that does nothing: names, attributes, items, operators and constants. One that calls something is not called
again; it counts as unchanged while everything that it reads is what it was then, and as changed when some of that is
not. Where even that is not known, it is said.
"""

from __future__ import annotations

import ast
import base64
import hashlib
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from qwennb.documents import is_frame
from qwennb.errors import CallbackFailed, QwenError, user_code
from qwennb.request import canonical_json, part_of

SHORT = 16  # hexadecimal characters of a hash
# What IPython, or we, bind anew with each cell: the last results, the last inputs, the last error.
OF_THE_MOMENT = frozenset(["_", "__", "___", "_i", "_ii", "_iii", "Err"])
Since = Literal["same", "changed", "gone", "unknown"]
_HARMLESS = (
    ast.Expression, ast.Name, ast.Load, ast.Attribute, ast.Subscript, ast.Slice, ast.Constant, ast.Tuple, ast.List,
    ast.UnaryOp, ast.BinOp, ast.BoolOp, ast.Compare, ast.IfExp, ast.JoinedStr, ast.FormattedValue,
    ast.operator, ast.unaryop, ast.boolop, ast.cmpop,
)  # fmt: skip


def digest_of(part: Any) -> str:
    """Hash a part of a message as it is sent, shortly."""
    return hashlib.sha256(canonical_json(part.to_json())).hexdigest()[:SHORT]


@dataclass(frozen=True, slots=True)
class Interpolated:
    """One expression of a question: how it was sent, and for one that calls something, what it read."""

    source: str
    digest: str
    read: Mapping[str, str | None] = field(default_factory=dict)

    @classmethod
    def of(cls, source: str, digest: str, names: Mapping[str, Any]) -> Interpolated:
        """Note the expression *source* that was sent as *digest*, in a notebook that has *names*."""
        read = () if _is_harmless(source) else names_read_by(source)
        return cls(source, digest, {name: fingerprint(names[name]) for name in read if name in names})

    def since(self, names: Mapping[str, Any]) -> tuple[Since, str]:
        """Tell what has become of it, and whose doing that is."""
        roots = names_read_by(self.source)
        if not OF_THE_MOMENT.isdisjoint(roots):
            return "unknown", self.source
        if gone := [name for name in roots if name not in names and name in (self.read or roots)]:
            return "gone", gone[0]
        if not self.read:
            return self._read_again(names), self.source
        for name, then in self.read.items():
            now = fingerprint(names[name])
            if then is None or now is None:
                return "unknown", name
            if now != then:
                return "changed", name
        # What reads nothing but modules and functions (a clock, a draw) may say something else each time.
        reads_data = any(not _is_code(names[name]) for name in self.read)
        return ("same" if reads_data else "unknown"), self.source

    def _read_again(self, names: Mapping[str, Any]) -> Since:
        if not _is_harmless(self.source):
            return "unknown"
        try:
            value = eval(compile(self.source.strip(), "<stale>", "eval"), {"__builtins__": {}}, dict(names))  # noqa: S307  (typed by the user in the cell, and free of calls)
            return "same" if digest_of(part_of(read_value(value))) == self.digest else "changed"
        except QwenError:
            return "changed"
        except Exception:
            return "gone"


def read_value(value: Any) -> Any:
    """Return what *value* says it is by its `_ai_repr_`, else the value."""
    protocol = getattr(type(value), "_ai_repr_", None)
    if protocol is None or isinstance(value, type):
        return value
    name = f"`_ai_repr_` of {type(value).__name__}"
    with user_code(name, CallbackFailed, "Mend it, or put another value into the braces."):
        told = protocol(value)
    if not isinstance(told, Mapping):
        return told if isinstance(told, str) else value
    for mime in ("image/png", "image/jpeg"):
        if (data := told.get(mime)) is not None:
            return base64.b64decode(data) if isinstance(data, str) else data
    return next((told[mime] for mime in ("text/markdown", "text/plain") if mime in told), value)


def fingerprint(value: Any) -> str | None:
    """Hash all that *value* holds, within this kernel; None where that can't be told."""
    try:
        if isinstance(value, types.ModuleType):
            return value.__name__
        if (code := getattr(value, "__code__", None)) is not None:
            constants = [const for const in code.co_consts if not isinstance(const, types.CodeType)]
            return _hash(code.co_code, repr((constants, code.co_names)).encode())
        if isinstance(value, type) or callable(value):
            return _hash(repr(value).encode())
        frame = (
            value.to_frame() if hasattr(value, "to_frame") else value
        )  # a series holds more than its text shows
        if is_frame(frame):
            return _hash(*_frame_bytes(frame))
        return digest_of(part_of(value))
    except Exception:
        return None


def _frame_bytes(frame: Any) -> Iterable[bytes]:
    """Yield a frame's names, types and every row, hashed by the library that it comes from."""
    if hasattr(frame, "hash_rows"):
        yield repr((frame.schema, frame.height)).encode()
        yield str(frame.with_row_index("\0row").hash_rows(seed=1).bitwise_xor()).encode()
    else:
        from pandas.util import hash_pandas_object

        yield repr([(name, str(kind)) for name, kind in frame.dtypes.items()]).encode()
        yield hash_pandas_object(frame).to_numpy().tobytes()


def _hash(*pieces: bytes) -> str:
    made = hashlib.sha256()
    for piece in pieces:
        made.update(len(piece).to_bytes(8, "big") + piece)
    return made.hexdigest()[:SHORT]


def _is_code(value: Any) -> bool:
    return isinstance(value, types.ModuleType | type) or callable(value)


def parse_expression(source: str) -> ast.Expression | None:
    """Read *source* as one expression of Python; None where it is none."""
    try:
        return ast.parse(source.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError):
        return None


def _is_harmless(source: str) -> bool:
    tree = parse_expression(source)
    return tree is not None and all(isinstance(node, _HARMLESS) for node in ast.walk(tree))


def names_read_by(source: str) -> list[str]:
    """List the names that an expression reads, but those that it binds itself."""
    tree = parse_expression(source)
    nodes = list(ast.walk(tree)) if tree is not None else []
    names = [node for node in nodes if isinstance(node, ast.Name)]
    bound = {node.id for node in names if not isinstance(node.ctx, ast.Load)}
    bound |= {argument.arg for node in nodes if isinstance(node, ast.Lambda) for argument in node.args.args}
    return list(dict.fromkeys(node.id for node in names if node.id not in bound))
