"""One request of a column, as a mould: its canonical form is written once, and only the user's text is replaced.

A key is sha256 over canonical JSON. All of a column's requests share what stands before and after the text, so the
hash of what stands before is taken once and copied for each row: a key then costs a microsecond.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Any

import orjson

from qwennb.request import KEY_VERSION, Image, Message, Request, Text, canonical_json, merge_texts

_MARK = "\u241a the text of a row \u241a"


class RequestTemplate:
    """Makes the requests, and the keys, of a column whose rows differ in one text, and perhaps a picture."""

    def __init__(self, model: str, system: str | None, **form: Any) -> None:
        self._before = (Message("system", (Text(system),)),) if system else ()
        self.sample = Request(model, (*self._before, Message("user", (Text(_MARK),))), **form)
        written = canonical_json({"v": KEY_VERSION, **self.sample.canonical()})
        before, found, self._end = written.rpartition(orjson.dumps(_MARK))
        assert found
        self._start = hashlib.sha256(before)

    @property
    def model(self) -> str:
        """The model that all of them ask."""
        return self.sample.model

    def key(self, text: str) -> str:
        """The key of the request with *text*, which is not empty."""
        made = self._start.copy()
        made.update(orjson.dumps(text) + self._end)
        return made.hexdigest()

    def request(self, text: str, image: Image | None = None, key: str | None = None) -> Request:
        """The request with *text*, and *image* behind it. A *key* that is known need not be made again."""
        parts = merge_texts((Text(text), *([image] if image is not None else [])))
        made = replace(self.sample, messages=(*self._before, Message("user", parts)))
        if key is not None:
            made.__dict__["key"] = key
        return made
