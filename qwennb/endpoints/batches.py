"""Batches: questions in a file, answers in another some hours later, at a part of the price.

DashScope has OpenAI's two routes for it. A file goes to `/files`; a batch is made of it at `/batches`, looked at now and
then, and ends with a file of answers, a file of errors, or both. Lines come back in any order, and some may be missing.

`batch_terms` says what an endpoint allows, or refuses where there are no batches; `batch_line` writes a question as a
line of the file, as it would have been asked live; `Batches` speaks to the two routes.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import httpx2
import orjson

from qwennb.endpoints.call import Call, Payload
from qwennb.endpoints.dialects import Wire
from qwennb.endpoints.endpoint import Endpoint
from qwennb.endpoints.error_reply import classify_error, parse_error_body
from qwennb.endpoints.reading import mapping, mappings, number, text
from qwennb.endpoints.transports import SdkTransport, read_page
from qwennb.errors import EndpointError, Incomplete, ServerFailed, TimedOut, UnsupportedOption
from qwennb.request import Request

__all__ = ["Batch", "BatchTerms", "Batches", "batch_line", "batch_terms", "line_reply", "was_asked"]

CHAT = "/v1/chat/completions"
PAGE_SECONDS = 60.0
UPLOAD_SECONDS = 3600.0
SILENCE_SECONDS = 300.0
PAGES = 20  # of a hundred batches each, newest first, when one is looked for
MOST_LINE = 64 << 20

State = Literal["waiting", "done", "failed", "expired", "cancelled"]
_STATES: dict[str, State] = {
    "completed": "done",
    "failed": "failed",
    "expired": "expired",
    "cancelled": "cancelled",
}


@dataclass(frozen=True, slots=True)
class BatchTerms:
    """What a batch may hold, and its share of the price; None where nobody knows one."""

    lines: int = 50_000
    file_bytes: int = 500_000_000
    line_bytes: int = 6_000_000
    window: str = "24h"
    share: float | None = None
    max_input: int | None = None


_BY_KIND = {"dashscope": BatchTerms(), "openai": BatchTerms(file_bytes=200_000_000)}


def batch_terms(endpoint: Endpoint) -> BatchTerms:
    """What a batch at *endpoint* may hold; UnsupportedOption where there are none."""
    known = endpoint.catalog.endpoint(endpoint.catalogue_name)
    terms = _BY_KIND.get(endpoint.dialect.kind)
    if terms is None or (endpoint.dialect.kind != "openai" and known.batch_share is None):
        raise UnsupportedOption(no_batches(endpoint))
    return replace(terms, share=known.batch_share, max_input=known.batch_max_input)


def no_batches(endpoint: Endpoint) -> str:
    """Make the error that says that *endpoint* takes no batches, and who does."""
    those = [one.name for one in endpoint.catalog.endpoints() if one.batch_share is not None]
    return (
        f'{endpoint} takes no batches. lane="batch" is for {", ".join(those)}, and for a base URL whose server has OpenAI\'s '
        "/files and /batches. Leave lane= out, or choose another endpoint=."
    )


def batch_line(endpoint: Endpoint, request: Request) -> bytes:
    """*request* as a line of a batch's file, without the line's end."""
    body = dict(endpoint.write(request, stream=False).body)
    for name in ("stream", "stream_options"):
        body.pop(name, None)
    if endpoint.dialect.kind == "dashscope" and "enable_thinking" not in body:
        # A batch has a default of its own; what is asked must be the same in both lanes.
        thinks = endpoint.abilities(request.model).thinking.default
        if thinks is not None:
            body["enable_thinking"] = thinks
    return orjson.dumps({"custom_id": request.key, "method": "POST", "url": CHAT, "body": body})


def was_asked(line: Mapping[str, Any]) -> bool:
    """False for a line that only says that the batch ended before it came to this question."""
    return text(mapping(line.get("error")).get("code")) not in ("batch_expired", "batch_cancelled")


def line_reply(endpoint: Endpoint, line: Mapping[str, Any]) -> Payload:
    """The reply that *line* of an answers' or errors' file carries; the error that it stands for is raised."""
    reply = mapping(line.get("response"))
    status = reply.get("status_code")
    if isinstance(status, int) and status != 200:
        raise endpoint.dialect.refusal(endpoint.name, status, {}, orjson.dumps(reply.get("body")))
    if status == 200 and reply.get("body") is not None:
        return Payload(reply["body"], last=True)
    if said := mapping(line.get("error")):
        raise classify_error(parse_error_body({"error": said}), str(endpoint))
    raise Incomplete(f"{endpoint} gave an empty line for this question.", maybe_billed=True)


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as the endpoint describes it. `answered` and `failed` are lines so far."""

    id: str
    status: str
    file: str = ""
    answers: str = ""
    errors: str = ""
    name: str = ""
    created: float = 0.0
    total: int = 0
    answered: int = 0
    failed: int = 0
    complaint: str = ""

    @property
    def state(self) -> State:
        """What its status means."""
        return _STATES.get(self.status, "waiting")

    @classmethod
    def of(cls, data: Any) -> Batch:
        """The batch that the JSON *data* describes."""
        told = mapping(data)
        counts, metadata = mapping(told.get("request_counts")), mapping(told.get("metadata"))
        problems = mappings(mapping(told.get("errors")).get("data"))
        return cls(
            id=text(told.get("id")),
            status=text(told.get("status")),
            file=text(told.get("input_file_id")),
            answers=text(told.get("output_file_id")),
            errors=text(told.get("error_file_id")),
            name=text(metadata.get("ds_name")) or text(metadata.get("qwennb")),
            created=number(told.get("created_at")) or 0.0,
            total=int(number(counts.get("total")) or 0),
            answered=int(number(counts.get("completed")) or 0),
            failed=int(number(counts.get("failed")) or 0),
            complaint="; ".join(text(problem.get("message")) for problem in problems[:3]),
        )


class Batches:
    """The files and batches of one endpoint. Close it when done."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._wire = SdkTransport(connections=4)
        self._call = endpoint.call(Wire({}))

    async def upload(self, file: Path) -> str:
        """Send the questions in *file*; the endpoint's number for them."""
        with file.open("rb") as questions:
            form = {"file": (file.name, questions, "application/jsonl")}
            told = await self._request(
                "/files", "POST", data={"purpose": "batch"}, files=form, seconds=UPLOAD_SECONDS
            )
        return self._number(told)

    async def create(self, file: str, terms: BatchTerms, name: str, about: str) -> Batch:
        """Make a batch of an uploaded file. *name* is how it can be found again."""
        if self.endpoint.dialect.kind == "dashscope":
            metadata = {"ds_name": name, "ds_description": about}
        else:
            metadata = {"qwennb": name}
        order = {
            "input_file_id": file,
            "endpoint": CHAT,
            "completion_window": terms.window,
            "metadata": metadata,
        }
        batch = Batch.of(await self._request("/batches", "POST", json=order))
        self._number({"id": batch.id})
        return batch

    async def get(self, batch: str) -> Batch | None:
        """How the batch of that number stands; None where the endpoint does not know it."""
        told = await self._request(f"/batches/{batch}", unknown_is_none=True)
        return None if told is None else Batch.of(told)

    async def all(self) -> AsyncIterator[Batch]:
        """The batches of this account, the newest first, as far back as it makes sense to look."""
        after = ""
        for _ in range(PAGES):
            page = mapping(await self._request(f"/batches?limit=100{after}"))
            found = [Batch.of(item) for item in mappings(page.get("data"))]
            for batch in found:
                yield batch
            if not found or page.get("has_more") is not True:
                return
            after = f"&after={found[-1].id}"

    async def cancel(self, batch: str) -> None:
        """Have the batch ended. What is answered already stays, and is charged."""
        await self._request(f"/batches/{batch}/cancel", "POST", json={})

    async def delete(self, file: str) -> None:
        """Remove an uploaded file, if that can be done."""
        with suppress(EndpointError):
            await self._request(f"/files/{file}", "DELETE", unknown_is_none=True)

    async def lines(self, file: str) -> AsyncIterator[Mapping[str, Any]]:
        """The lines of a file of answers or errors. What can't be read is left out."""
        call = replace(self._call, path=f"/files/{file}/content")
        rest = bytearray()
        async with self._wire.exchange(call, "GET") as reply:
            if reply.status_code == 404:
                raise ServerFailed(
                    f"{self.endpoint} no longer has the file {file}.", status=404, transient=False
                )
            if reply.status_code != 200:
                raise await self._refusal(call, reply)
            pieces = reply.aiter_bytes()
            while True:
                async with _patience(call, SILENCE_SECONDS):
                    piece = await anext(pieces, b"")
                if not piece:
                    break
                rest += piece
                *whole, last = rest.split(b"\n")
                rest = bytearray(last)
                if len(rest) > MOST_LINE:
                    raise ServerFailed(
                        f"{self.endpoint} sent a line of over {MOST_LINE >> 20} MiB.", transient=False
                    )
                for line in whole:
                    if (read := _line(line)) is not None:
                        yield read
        if (read := _line(rest)) is not None:
            yield read

    async def close(self) -> None:
        """Close the connections."""
        await self._wire.close()

    async def _request(
        self,
        path: str,
        method: str = "GET",
        *,
        seconds: float = PAGE_SECONDS,
        unknown_is_none: bool = False,
        **content: Any,
    ) -> Any:
        call = replace(self._call, path=path)
        async with _patience(call, seconds), self._wire.exchange(call, method, **content) as reply:
            if reply.status_code in (404, 405, 501) and path.partition("?")[0] in ("/files", "/batches"):
                raise UnsupportedOption(no_batches(self.endpoint))
            if reply.status_code == 404 and unknown_is_none:
                return None
            if reply.status_code != 200:
                raise await self._refusal(call, reply)
            page = await read_page(call, reply)
        try:
            return orjson.loads(page)
        except orjson.JSONDecodeError:
            raise ServerFailed(f"{self.endpoint} answered {len(page)} bytes that are not JSON.") from None

    async def _refusal(self, call: Call, reply: httpx2.Response) -> EndpointError:
        headers = {name.lower(): value for name, value in reply.headers.items()}
        return call.read_error(reply.status_code, headers, await read_page(call, reply))

    def _number(self, told: Any) -> str:
        if not (number := text(mapping(told).get("id"))):
            raise ServerFailed(f"{self.endpoint} gave no number for what was handed in.", transient=False)
        return number


@asynccontextmanager
async def _patience(call: Call, seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise TimedOut(f"{call.endpoint} gave nothing for {seconds:.0f} s.") from None


def _line(raw: bytes | bytearray) -> Mapping[str, Any] | None:
    try:
        return mapping(orjson.loads(raw)) if raw.strip() else None
    except orjson.JSONDecodeError:
        return None
